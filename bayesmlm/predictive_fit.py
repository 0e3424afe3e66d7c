"""How well a posterior predicts what it has not seen: leave-one-out by importance sampling, WAIC, comparisons.

elpd is the sum over units i (rows, or whole groups) of log p(y_i | y_-i): the log density of a unit under the posterior
of all the others (Vehtari, Gelman & Gabry 2017, Statistics and Computing 27:1413, equation 4). Larger is better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayesmlm.errors import DataError
from bayesmlm.response_scale import ResponseScale

K_LIMIT = 0.7  # Vehtari, Simpson, Gelman, Yao & Gabry (2024, JMLR 25:72), section 3.2.4
VERY_BAD = 1.0  # the weights then have no mean
WAIC_LIMIT = 0.4  # of a row's p_waic: Vehtari, Gelman & Gabry (2017), section 2.2
LEAST_DRAWS = 100
SMALL_DIFFERENCE = 4.0  # Sivula, Magnusson, Matamoros & Vehtari (2020), arXiv:2008.10296
FEW_UNITS = 100  # ibid.: below, the standard error of a difference is too small
NAMED = 5  # units that a sentence names

Block = np.ndarray  # log densities (chain, draw, m) of some units


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Expected log predictive density, unit by unit.

    Attributes
    ----------
    method : str
        "loo", "waic" or "kfold".
    unit : str
        "row", or the factor whose levels were left out one by one.
    pointwise : DataFrame
        One row per unit: ``row`` (position in the caller's data) or ``level`` and ``n`` (rows);
        ``elpd``, ``p`` (log density under all data less elpd), ``ic`` = -2 elpd; for "loo" also ``pareto_k``,
        ``r_eff``, ``ess`` (effective draws behind the elpd) and ``refitted``; for "kfold" ``fold``.
    n_draws : int
        Posterior sample size.
    limit : float
        The Pareto k above which an elpd is not to be trusted: min(1 - 1 / log10(draws), 0.7).
    mc_se : float
        Monte Carlo standard error of elpd; it is too small where Pareto k is above the limit. NaN for "waic".
    notes : tuple of str
        What is wrong, in sentences.
    response : str
        What was predicted, as the formula spells it.
    y : ndarray
        The responses of all rows.
    rows : ndarray of int
        Positions of these rows in the caller's data.
    scale : ResponseScale or None
        The column that a transformed response was; None if it is not a function of one column.
    discrete : bool
        Whether elpd is a sum of log-probabilities, of counts or categories, rather than of log-densities.
    """

    method: str
    unit: str
    pointwise: pd.DataFrame
    n_draws: int
    limit: float
    mc_se: float
    notes: tuple[str, ...]
    response: str
    y: np.ndarray
    rows: np.ndarray
    scale: ResponseScale | None = None
    discrete: bool = False

    @property
    def estimates(self) -> pd.DataFrame:
        """Sums over units and their standard errors sqrt(n var_i): rows elpd_loo, p_loo, looic (say)."""
        values = self.pointwise[["elpd", "p", "ic"]]
        sums, spread = values.sum(), np.sqrt(len(values) * values.var(ddof=1))
        ic = {"loo": "looic", "waic": "waic", "kfold": "kfoldic"}[self.method]
        names = [f"elpd_{self.method}", f"p_{self.method}", ic]
        return pd.DataFrame({"estimate": sums.to_numpy(), "std_error": spread.to_numpy()}, index=names)

    @property
    def high(self) -> pd.DataFrame:
        """The units whose Pareto k is above the limit, highest first; none after exact refits."""
        if "pareto_k" not in self.pointwise:
            return self.pointwise.iloc[:0]
        bad = ~(self.pointwise["pareto_k"] <= self.limit) & ~self.pointwise["refitted"]
        return self.pointwise[bad].sort_values("pareto_k", ascending=False)


def units(unit: str) -> str:
    """Return what was left out, in the plural."""
    return "rows" if unit == "row" else f"levels of {unit}"


def k_limit(n_draws: int) -> float:
    """Return min(1 - 1 / log10(S), 0.7): up to there S draws are enough (Vehtari et al. 2024, equation 13)."""
    return min(1 - 1 / np.log10(n_draws), K_LIMIT)


# -- units -----------------------------------------------------------------------------------------


def smoothed_frame(blocks: Iterable[Block]) -> tuple[pd.DataFrame, np.ndarray]:
    """Leave each unit out by Pareto-smoothed importance sampling with the ratios 1 / p(y_i | theta).

    Parameters
    ----------
    blocks
        Log densities (chain, draw, m) of consecutive units.

    Returns
    -------
    DataFrame
        Columns elpd, p, ic, pareto_k, r_eff, ess, refitted (False); one row per unit.
    ndarray, shape (chain, draw)
        The influence of each draw on the total elpd, S sum_i w_is (p_is - p_i) / p_i. Its mean is 0, and the Monte
        Carlo error of its mean is that of the total elpd, to first order.
    """
    return _gather(blocks, _smoothed)


def plain_frame(blocks: Iterable[Block]) -> tuple[pd.DataFrame, np.ndarray]:
    """WAIC: columns elpd = lppd - p, p = variance over draws of the log density, ic; the influence is zero."""
    return _gather(blocks, _plain)


def mean_density(values: Block) -> tuple[np.ndarray, np.ndarray]:
    """Return log mean exp over draws, (m,), and the influence of each draw on its sum, (chain, draw)."""
    shift = values.max(axis=(0, 1))
    density = np.exp(values - shift)
    mean = density.mean(axis=(0, 1))
    return np.log(mean) + shift, (density / mean - 1).sum(axis=2)


def monte_carlo_se(*influences: np.ndarray) -> float:
    """Standard error of a sum of independent estimates, each the mean of an influence (chain, draw)."""
    from arviz_stats.base import array_stats

    parts = [float(array_stats.mcse(h, method="mean")) for h in influences if np.ptp(h) > 0]
    return float(np.sqrt(np.sum(np.square(parts))))


def _gather(
    blocks: Iterable[Block], judge: Callable[[Block], tuple[pd.DataFrame, np.ndarray]]
) -> tuple[pd.DataFrame, np.ndarray]:
    frames: list[pd.DataFrame] = []
    total: np.ndarray | None = None
    for block in blocks:
        if block.shape[0] * block.shape[1] < LEAST_DRAWS:
            raise DataError(
                f"the posterior has too few draws to predict from: {LEAST_DRAWS} or more are needed"
            )
        frame, influence = judge(block)
        frames.append(frame)
        total = influence if total is None else total + influence
    assert total is not None
    return pd.concat(frames, ignore_index=True), total


def _plain(values: Block) -> tuple[pd.DataFrame, np.ndarray]:
    lppd, _ = mean_density(values)
    p = values.var(axis=(0, 1), ddof=1)
    frame = pd.DataFrame({"elpd": lppd - p, "p": p, "ic": -2 * (lppd - p)})
    return frame, np.zeros(values.shape[:2])


def _smoothed(values: Block) -> tuple[pd.DataFrame, np.ndarray]:
    from arviz_stats.base import array_stats

    chains, draws, m = values.shape
    S = chains * draws
    lppd, _ = mean_density(values)
    density = np.exp(values - values.max(axis=(0, 1)))
    with np.errstate(all="ignore"):
        ess = array_stats.ess(density, chain_axis=0, draw_axis=1, method="mean")
    r_eff = np.nan_to_num(np.asarray(ess) / S, nan=1.0)
    by_unit = np.ascontiguousarray(values.reshape(S, m).T)
    elpd, k, size = np.empty(m), np.empty(m), np.empty(m)
    influence = np.zeros(S)
    for i, (unit, r) in enumerate(zip(by_unit, r_eff, strict=True)):
        log_w, k[i] = array_stats.psislw(unit, r_eff=r)
        w = np.exp(log_w)
        part = np.exp(unit + log_w - unit.max())
        elpd[i] = np.log(part.sum()) + unit.max()
        size[i] = r / (w @ w)
        influence += S * (part / part.sum() - w)
    frame = pd.DataFrame({"elpd": elpd, "p": lppd - elpd, "ic": -2 * elpd, "pareto_k": k})
    frame = frame.assign(r_eff=r_eff, ess=size, refitted=False)
    return frame, influence.reshape(chains, draws)


# -- in words --------------------------------------------------------------------------------------


def loo_sentences(accuracy: Accuracy) -> tuple[str, ...]:
    """Say which units importance sampling cannot leave out, and what to do; empty if it can all."""
    high, n = accuracy.high, len(accuracy.pointwise)
    if high.empty:
        return ()
    row = accuracy.unit == "row"
    what = units(accuracy.unit)
    call = "" if row else f"group={accuracy.unit!r}, "
    labels = high["row" if row else "level"].astype(str) + " (" + high["pareto_k"].map("{:.2f}".format) + ")"
    shown = ", ".join(labels[:NAMED]) + (f" and {len(high) - NAMED} more" if len(high) > NAMED else "")
    return (
        f"Pareto k is above {accuracy.limit:.2f} for {len(high)} of {n} {what}: {shown}. The posterior without them is "
        f"too far from the one with them, and their elpd is uncertain, most often too high; "
        f"fit.loo({call}k_threshold={accuracy.limit:.2g}) leaves them out exactly, by {_refits(len(high))}"
        + ("; fit.kfold(10) leaves out many at a time" if row else ""),
    )


def _refits(count: int) -> str:
    return "one refit" if count == 1 else f"{count} refits"


def waic_sentences(pointwise: pd.DataFrame) -> tuple[str, ...]:
    """Say for how many rows the variance that WAIC takes for a penalty is too large to be one."""
    count = int((pointwise["p"] > WAIC_LIMIT).sum())
    if not count:
        return ()
    return (
        f"p_waic is above {WAIC_LIMIT:g} for {count} of {len(pointwise)} rows, where WAIC is not a good approximation "
        "of leaving a row out: use fit.loo(), which says where it fails",
    )


def grade_frame(accuracy: Accuracy) -> pd.DataFrame:
    """Count units by Pareto k: columns low, high, grade, count, share, min_ess (of the good ones' ess)."""
    k, ess = accuracy.pointwise["pareto_k"].to_numpy(), accuracy.pointwise["ess"].to_numpy()
    left = ~accuracy.pointwise["refitted"].to_numpy()
    edges = (-np.inf, accuracy.limit, VERY_BAD, np.inf)
    lines = []
    for low, high, grade in zip(edges[:-1], edges[1:], ("good", "bad", "very bad"), strict=True):
        inside = left & (k > low) & ((k <= high) if high < np.inf else True)
        inside |= left & np.isnan(k) & (grade == "very bad")
        least = float(ess[inside].min()) if inside.any() else np.nan
        lines.append((low, high, grade, int(inside.sum()), inside.mean(), least))
    return pd.DataFrame(lines, columns=["low", "high", "grade", "count", "share", "min_ess"])


def refit_sentences(notes: Mapping[str, tuple[str, ...]], count: int) -> tuple[str, ...]:
    """Say once which of `count` refits sampled badly; `notes` are by what was left out."""
    bad = {name: said for name, said in notes.items() if said}
    if not bad:
        return ()
    names = ", ".join(list(bad)[:NAMED]) + (f" and {len(bad) - NAMED} more" if len(bad) > NAMED else "")
    (first, said), *_ = bad.items()
    return (f"{len(bad)} of {_refits(count)} sampled badly ({names}); without {first}: {said[0]}",)


# -- comparison ------------------------------------------------------------------------------------


def comparison_frame(accuracies: Mapping[str, Accuracy]) -> pd.DataFrame:
    """Compare models by elpd, unit by unit; of y, if their responses are different functions of one column y.

    Returns
    -------
    DataFrame
        Index model, best first; columns elpd_diff = sum_i (elpd_i - elpd_i of the best), se_diff = sqrt(n var_i) of
        these differences (Vehtari, Gelman & Gabry 2017, equation 24), elpd, se_elpd, p, se_p, ic, se_ic, n_high
        (units whose Pareto k is too high), verdict.

    Raises
    ------
    DataError
        If the models do not predict the same responses, or not by the same method.
    """
    accuracies = on_one_scale(accuracies)
    _reject_incomparable(accuracies)
    order = sorted(accuracies, key=lambda name: -accuracies[name].pointwise["elpd"].sum())
    best = accuracies[order[0]].pointwise["elpd"].to_numpy()
    lines = []
    for name in order:
        accuracy = accuracies[name]
        gap = accuracy.pointwise["elpd"].to_numpy() - best
        diff, se = float(gap.sum()), float(np.sqrt(len(gap) * gap.var(ddof=1)))
        table = accuracy.estimates
        pairs = [v for line in table.to_numpy() for v in line]
        n_high = max(len(accuracy.high), len(accuracies[order[0]].high))
        verdict = "best" if name == order[0] else _verdict(diff, se, len(gap), n_high)
        lines.append((diff, se, *pairs, len(accuracy.high), verdict))
    columns = ["elpd_diff", "se_diff", "elpd", "se_elpd", "p", "se_p", "ic", "se_ic", "n_high", "verdict"]
    return pd.DataFrame(lines, columns=columns, index=pd.Index(order, name="model"))


def _verdict(diff: float, se: float, n: int, n_high: int) -> str:
    if abs(diff) < SMALL_DIFFERENCE:
        said = f"about equal: a difference below {SMALL_DIFFERENCE:g} is small"
    elif abs(diff) < 2 * se:
        said = "not clearly worse: within 2 standard errors"
    else:
        said = f"worse, by {abs(diff) / se:.1f} standard errors" if se > 0 else "worse"
    if n < FEW_UNITS and abs(diff) >= SMALL_DIFFERENCE:
        said += f"; with {n} units (< {FEW_UNITS}) the standard error is itself unsure"
    if n_high:
        said += "; high Pareto k: refit those units first (k_threshold=)"
    return said


def on_one_scale(accuracies: Mapping[str, Accuracy]) -> dict[str, Accuracy]:
    """Return accuracies of different functions of one column as those of the column: elpd_i + log |f'(y_i)|.

    They are returned as they are where the responses are the same, or are not functions of one column.
    """
    scales = [a.scale for a in accuracies.values() if a.scale is not None]
    if len({a.response for a in accuracies.values()}) == 1 or len(scales) < len(accuracies):
        return dict(accuracies)
    first = scales[0]
    if any(s.column != first.column or not np.array_equal(s.values, first.values) for s in scales[1:]):
        return dict(accuracies)
    pairs = zip(accuracies.items(), scales, strict=True)
    return {name: _on_column(accuracy, scale) for (name, accuracy), scale in pairs}


def _on_column(accuracy: Accuracy, scale: ResponseScale) -> Accuracy:
    elpd = accuracy.pointwise["elpd"].to_numpy() + scale.log_slope
    frame = accuracy.pointwise.assign(elpd=elpd, ic=-2 * elpd)
    return replace(accuracy, pointwise=frame, response=scale.column, y=scale.values)


def _reject_incomparable(accuracies: Mapping[str, Accuracy]) -> None:
    (first_name, first), *others = accuracies.items()
    for name, other in others:
        if (other.method, other.unit) != (first.method, first.unit):
            kinds = f"{_kind(first)} of {first_name} and {_kind(other)} of {name}"
            raise DataError(f"{kinds} are different quantities: compare models by one method")
        if not np.array_equal(other.rows, first.rows):
            raise DataError(
                f"{first_name} and {name} use different rows ({len(first.rows)} and {len(other.rows)}): a model looks "
                "worse by each row it has more; fit both to the rows that are complete for both"
            )
        if other.response != first.response and not np.allclose(other.y, first.y, rtol=1e-12, atol=0):
            raise DataError(
                f"{first_name} predicts {first.response} and {name} predicts {other.response}: densities of different "
                "responses are in different units, whatever the models do; give both models one response (or functions "
                "of one column, such as y and log(y), which are compared by the densities of y)"
            )
        if not np.allclose(other.y, first.y, rtol=1e-12, atol=0):
            raise DataError(f"{first_name} and {name} predict different values of {first.response}")
        if other.discrete != first.discrete:
            raise DataError(
                f"{first_name} has {_measure(first)} and {name} {_measure(other)}: they are in different units, "
                "and are not compared; fit both with a family for counts, or both with one for continuous responses"
            )
        if other.method == "kfold" and not np.array_equal(other.pointwise["fold"], first.pointwise["fold"]):
            raise DataError(
                f"{first_name} and {name} have different folds: give both kfold() the same seed, or the same folds="
            )


def _measure(accuracy: Accuracy) -> str:
    return "probabilities of counts or categories" if accuracy.discrete else "densities of numbers"


def _kind(accuracy: Accuracy) -> str:
    return accuracy.method if accuracy.unit == "row" else f"{accuracy.method} by {accuracy.unit}"
