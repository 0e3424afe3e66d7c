"""Ranks of units from draws of what they are ranked by: how sure a league table is.

Ranks are computed draw by draw, so that they have a posterior (Goldstein & Spiegelhalter 1996, J. R. Stat. Soc. A 159,
385-443). Their posterior means are the ranks that minimise squared-error loss; a ranking of point estimates does not
(Laird & Louis 1989, J. Educ. Stat. 14, 29-46; Lin, Louis, Paddock & Ridgeway 2006, Bayesian Analysis 1, 915-946). With
few rows per unit they are all pulled to the middle: little is known of ranks then (Lockwood, Louis & McCaffrey 2002,
J. Educ. Behav. Stat. 27, 255-270).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from bayesmlm.errors import BayesMLMError, DataError, did_you_mean
from bayesmlm.tables import check_probability
from bayesmlm.tiers import optimal_tiers

CHUNK = 4_000_000
COMPARISONS = 4e9  # comparisons of two numbers that a matrix of all pairs may take: some seconds
OVERLAP_ERROR = 0.05


@dataclass(frozen=True, eq=False)
class Ranking:
    """Units in order, with what the draws say of their order.

    Attributes
    ----------
    levels : tuple of str
        The J units, in the data's order.
    draws : ndarray, shape (chain x draw, J)
        What they are ranked by.
    frame : DataFrame
        One row per unit, best first: see `rank_units`.
    prob : float
        Probability of the central intervals.
    top, bottom : int
        How many units ``p_top`` and ``p_bottom`` are about.
    tier_prob : float
        How sure an order has to be for two units to be in different tiers.
    ascending : bool
        Whether rank 1 is the lowest.
    """

    levels: tuple[str, ...]
    draws: np.ndarray
    frame: pd.DataFrame
    prob: float
    top: int
    bottom: int
    tier_prob: float
    ascending: bool

    @cached_property
    def pairwise(self) -> pd.DataFrame:
        """P(row's unit is higher than column's), best first; NaN on the diagonal. All draws, half a tie each."""
        order = list(self.frame["level"])
        at = [self.levels.index(level) for level in order]
        matrix = probability_matrix(self.draws[:, at])
        np.fill_diagonal(matrix, np.nan)
        return pd.DataFrame(matrix, pd.Index(order, name="level"), pd.Index(order, name="than"))

    def probability_above(self, a: Any, b: Any) -> float:
        """Posterior probability that unit `a` is higher than unit `b`, half of the ties included."""
        return pair_probability(self.levels, self.draws, a, b)


def pair_probability(levels: Sequence[str], draws: np.ndarray, a: Any, b: Any) -> float:
    """P(a > b), half of the ties included, of two units of draws (chain x draw, J).

    Raises
    ------
    DataError
        If there is no such unit.
    """
    first, second = (draws[:, _position(levels, level)] for level in (a, b))
    return float(np.mean(first > second) + 0.5 * np.mean(first == second))


def _position(levels: Sequence[str], level: Any) -> int:
    text = str(level)
    if text not in levels:
        raise DataError(f"there is no unit {text!r} to rank.{did_you_mean(text, levels)}")
    return list(levels).index(text)


def rank_units(
    levels: Sequence[str],
    draws: np.ndarray,
    sizes: np.ndarray,
    *,
    reference: float | np.ndarray = 0.0,
    prob: float = 0.9,
    top: float | None = None,
    bottom: float | None = None,
    tier_prob: float = 0.8,
    ascending: bool = False,
) -> Ranking:
    """Rank units by draws of a quantity; rank 1 is the highest.

    Parameters
    ----------
    levels
        Names of the J units.
    draws
        Shape (chain x draw, J).
    sizes
        Rows of data per unit.
    reference
        What a unit is held against to be above or below: a number, or one per draw.
    prob
        Probability of central intervals, and of the class.
    top, bottom
        A number of units, or a share of them between 0 and 1; ten, or a quarter of fewer than forty, if None. `bottom`
        is as `top` if None.
    tier_prob
        See `bayesmlm.tiers.optimal_tiers`.
    ascending
        Rank 1 is the lowest; above and below still mean higher and lower.

    Returns
    -------
    Ranking
        Its frame has, per unit: level, n; estimate, conf_low, conf_high (median and interval of the quantity);
        pair_low, pair_high (mean -/+ c posterior sd: where two such intervals do not overlap, the two units differ; c,
        1.386 for equal sds, makes this an error of 5 % on average over pairs, Goldstein & Healy 1995, J. R. Stat. Soc.
        A 158, 175-177); rank (posterior mean, for equal values the mean of their places), rank_median, rank_low,
        rank_high; p_top, p_bottom; p_above (P(quantity > reference)); class ("above", "below" if the interval of the
        difference from the reference excludes 0, else "as expected"); tier, 1 for the best.

    Raises
    ------
    BayesMLMError
        For a probability outside (0, 1), or more units at the top than there are.
    """
    prob, tier_prob = check_probability(prob, "prob"), check_probability(tier_prob, "tier_prob")
    if tier_prob < 0.5:
        raise BayesMLMError(f"tier_prob = {tier_prob:g}: an order that is worth a tier is likelier than not")
    n_units = draws.shape[1]
    k_top = count_of(top, n_units, "top")
    k_bottom = k_top if bottom is None else count_of(bottom, n_units, "bottom")
    signed = draws if ascending else -draws
    ranks, p_top, p_bottom = rank_draws(signed, k_top, k_bottom)
    places = _rank_summary(ranks, prob)
    # Units in order of expected rank, and those that are never told apart in the order given.
    by_rank = np.argsort(places["rank"], kind="stable")
    tiers = np.empty(n_units, dtype=int)
    tiers[by_rank] = optimal_tiers(1 - probability_matrix(_thinned(signed)[:, by_rank]), tier_prob)
    frame = pd.DataFrame({"level": np.array(levels, dtype=object), "n": np.asarray(sizes)})
    frame = pd.concat([frame, _quantity(draws, reference, prob)], axis=1)
    frame = frame.assign(**places, p_top=p_top, p_bottom=p_bottom, tier=tiers)
    middle = frame["estimate"].to_numpy()
    order = np.argsort(middle if ascending else -middle, kind="stable")
    columns = [
        *("level", "n", "estimate", "conf_low", "conf_high", "pair_low", "pair_high"),
        *("rank", "rank_median", "rank_low", "rank_high", "p_top", "p_bottom", "p_above", "class", "tier"),
    ]
    frame = frame.loc[order, columns].reset_index(drop=True)
    return Ranking(tuple(levels), draws, frame, prob, k_top, k_bottom, tier_prob, ascending)


def rank_table(levels: Sequence[str], draws: np.ndarray, prob: float = 0.9) -> pd.DataFrame:
    """Rank units by draws of a quantity, 1 for the highest: the ranks of `rank_units` without what compares pairs.

    Parameters
    ----------
    levels
        Names of the J units.
    draws
        Shape (chain x draw, J).
    prob
        Probability of the central intervals.

    Returns
    -------
    DataFrame
        level, rank, rank_median, rank_low, rank_high, in the order of rank.

    Raises
    ------
    BayesMLMError
        For a probability outside (0, 1).
    """
    prob = check_probability(prob, "prob")
    ranks, _, _ = rank_draws(-draws, 1, 1)
    frame = pd.DataFrame({"level": np.array(list(levels), dtype=object)} | _rank_summary(ranks, prob))
    frame = frame[["level", "rank", "rank_median", "rank_low", "rank_high"]]
    return frame.sort_values("rank", kind="stable", ignore_index=True)


def count_of(asked: float | None, n_units: int, name: str) -> int:
    """Return how many units a number or a share of them is; ten, or a quarter of fewer than forty, for None."""
    if asked is None:
        return min(10, max(1, n_units // 4))
    is_number = isinstance(asked, int | float | np.number) and not isinstance(asked, bool)
    if is_number and 0 < asked < 1:
        return int(np.ceil(asked * n_units - 1e-9))
    if not is_number or asked != int(asked) or not 1 <= asked <= n_units:
        raise BayesMLMError(
            f"{name} = {asked!r}: give a number of units, 1 to {n_units}, or a share of them such as 0.1"
        )
    return int(asked)


def rank_draws(values: np.ndarray, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank the units of each draw, 1 for the lowest value.

    Returns
    -------
    ranks : ndarray of float32, shape (chain x draw, J)
        Equal values share the mean of their places.
    p_top, p_bottom : ndarray, shape (J,)
        Probability of a place among the first `top`, or the last `bottom`; equal values have equal chances. They add up
        to `top` and `bottom`.
    """
    n_draws, n_units = values.shape
    ranks = np.empty((n_draws, n_units), dtype=np.float32)
    counts = np.zeros((2, n_units))
    step = max(1, CHUNK // n_units)
    for start in range(0, n_draws, step):
        chunk = values[start : start + step]
        first = rankdata(chunk, method="min", axis=1)
        last = rankdata(chunk, method="max", axis=1)
        ranks[start : start + step] = (first + last) / 2
        size = last - first + 1
        counts[0] += np.clip((top - first + 1) / size, 0, 1).sum(axis=0)
        counts[1] += np.clip((last - (n_units - bottom)) / size, 0, 1).sum(axis=0)
    return ranks, *(counts / n_draws)


def probability_matrix(values: np.ndarray) -> np.ndarray:
    """P(i > j) of all pairs of columns, half of the ties included: (draw, J) gives (J, J) with 0.5 on the diagonal."""
    n_draws, n_units = values.shape
    columns = np.ascontiguousarray(values.T)
    matrix = np.full((n_units, n_units), 0.5)
    for i in range(n_units - 1):
        rest = columns[i + 1 :]
        above = np.count_nonzero(columns[i] > rest, axis=1)
        equal = np.count_nonzero(columns[i] == rest, axis=1)
        matrix[i, i + 1 :] = (above + 0.5 * equal) / n_draws
        matrix[i + 1 :, i] = 1 - matrix[i, i + 1 :]
    return matrix


def _thinned(draws: np.ndarray) -> np.ndarray:
    """Every so manieth draw, so that comparing all pairs of units takes seconds."""
    keep = max(200, int(COMPARISONS / draws.shape[1] ** 2))
    return draws if keep >= len(draws) else draws[:: int(np.ceil(len(draws) / keep))]


def _quantity(draws: np.ndarray, reference: float | np.ndarray, prob: float) -> pd.DataFrame:
    """Median and intervals of each unit, and on which side of the reference it is."""
    ends = [(1 - prob) / 2, 0.5, (1 + prob) / 2]
    low, middle, high = np.quantile(draws, ends, axis=0)
    mean, sd = draws.mean(axis=0), draws.std(axis=0, ddof=min(1, len(draws) - 1))
    half = overlap_factor(sd) * sd
    if np.ndim(reference) == 0:
        away_low, away_high = low - reference, high - reference
        above = (draws > reference).mean(axis=0) + 0.5 * (draws == reference).mean(axis=0)
    else:
        away = draws - np.asarray(reference)[:, None]
        away_low, away_high = np.quantile(away, [ends[0], ends[2]], axis=0)
        above = (away > 0).mean(axis=0) + 0.5 * (away == 0).mean(axis=0)
    words = np.where(away_low > 0, "above", np.where(away_high < 0, "below", "as expected"))
    return pd.DataFrame(
        {
            "estimate": middle,
            "conf_low": low,
            "conf_high": high,
            "pair_low": mean - half,
            "pair_high": mean + half,
            "p_above": above,
            "class": words.astype(object),
        }
    )


def _rank_summary(ranks: np.ndarray, prob: float) -> dict[str, np.ndarray]:
    """Mean, median and central interval of each unit's rank; the last are places that occur, not numbers between."""
    ends = [(1 - prob) / 2, 0.5, (1 + prob) / 2]
    found = np.empty((3, ranks.shape[1]))
    step = max(1, CHUNK // len(ranks))
    for start in range(0, ranks.shape[1], step):
        chosen = slice(start, start + step)
        found[:, chosen] = np.quantile(ranks[:, chosen], ends, axis=0, method="inverted_cdf")
    quantiles = dict(zip(("rank_low", "rank_median", "rank_high"), found, strict=True))
    return {"rank": ranks.mean(axis=0, dtype=float), **quantiles}


def overlap_factor(sd: np.ndarray) -> float:
    """Number of sds either side of a mean that makes overlap of two intervals a comparison of the two.

    Solves mean over pairs of 2 (1 - Phi(c (s_i + s_j) / sqrt(s_i^2 + s_j^2))) = 0.05 for c (Goldstein & Healy 1995,
    equation 2): 1.96 / sqrt(2) = 1.386 if all sds are equal, somewhat more otherwise.
    """
    positive = np.sort(sd[sd > 0])
    if len(positive) < 2:
        return float(norm.ppf(1 - OVERLAP_ERROR / 2) / np.sqrt(2))
    spread = positive[np.linspace(0, len(positive) - 1, min(500, len(positive))).round().astype(int)]
    i, j = np.triu_indices(len(spread), 1)
    ratio = (spread[i] + spread[j]) / np.hypot(spread[i], spread[j])
    return float(brentq(lambda c: 2 * norm.sf(c * ratio).mean() - OVERLAP_ERROR, 1.0, 2.0, xtol=1e-10))
