"""Checks of the errors at every level: their shape, their spread, and the rows and groups that stand out.

For a posterior the errors are realized ones (Chaloner & Brant 1988, Biometrika 75, 651-659): in each draw what is left
of the response over sigma, and each group effect over its standard deviation. If the model is right these are standard
normal, before anything is estimated, and no correction for shrinkage is needed. In generalised models the errors of
the rows are randomised quantile residuals (Dunn & Smyth 1996, Journal of Computational and Graphical Statistics 5,
236-244), normal quantiles of the probability that the model gives to a response at most as large. For a reference fit
they are the scaled residuals, and the BLUPs over the standard deviation that they should have, sqrt(sd^2 - conditional
sd^2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm
from scipy.stats import f as f_distribution

from bayesmlm.design import Block, Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import BayesMLMError
from bayesmlm.families import draw, log_density, mean, quantile_residuals, random_probabilities, variance
from bayesmlm.left_out import Draws, known_mean, long_draws, rows_of_fit
from bayesmlm.pooling_factors import DATA_LEVEL, residual_draws
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.shares import flat_effects, interval_ends, residual_sd

MOST_DRAWS = 400
NUMBERS = 20_000_000
MOST_QUANTILES = 199
TAIL = 20
LEAST_ROWS = 3
BINS = 10
CHANCE = 0.95
FALSE_OUTLIERS = 0.05  # probability that the largest of all normal errors of a level counts as an outlier


@dataclass(frozen=True, eq=False)
class Errors:
    """Standardized errors of one level.

    Attributes
    ----------
    group, term : str
        ``Residual`` and ``y`` for the rows; a block's label and column for group effects.
    names : sequence of str
        Rows or groups in the words of the data.
    draws : ndarray, shape (draw, K)
        Standard normal if the model is right; one draw for a reference fit.
    """

    group: str
    term: str
    names: Sequence[str]
    draws: np.ndarray


@dataclass(frozen=True, eq=False)
class ResidualChecks:
    """Tables on the standardized errors of each level.

    Attributes
    ----------
    shape : DataFrame
        One row per level and column: group, term, n; skewness and kurtosis (excess, 0 for a normal), posterior medians
        with ``_low`` and ``_high`` (NaN for a reference fit); skewness_chance and kurtosis_chance, how far from 0 they
        would be in 95 % of normal samples of this size, sqrt(6 / n) and sqrt(24 / n) times 1.96; beyond_2, the share
        of errors beyond 2 (0.046 for a normal).
    quantiles : DataFrame
        group, term, normal, sample: the points of a normal quantile-quantile plot.
    by_fitted : DataFrame
        Bins of the fitted values with equally many rows: low, high, n, mean and spread (root mean square, 1 if the
        model is right) of the standardized residuals, chance_low and chance_high, between which a spread is in 95 % of
        cases.
    by_group : DataFrame
        The same per level of each grouping factor: group, level, n, spread, chance_low, chance_high.
    levene : DataFrame
        group, F, df1, df2: ratio of the variance of absolute residuals between groups to that within, about the groups'
        medians (Brown & Forsythe 1974), groups of 3 rows or more; about 1 if spreads are equal, at most `chance` in
        95 % of cases. NaN without two such groups.
    outliers : DataFrame
        group, term, level (row or group), value (mean standardized error), probability that it is beyond `limit`, which
        the largest of n normal errors exceeds in 5 % of cases. Those with a probability above one half.
    counts : DataFrame or None
        Of generalised models: check, observed, expected, ratio (observed / expected) with ratio_low and ratio_high,
        p_value. ``dispersion``: mean of (y - mu)^2 / V(y | mu), beside that of replicated data; above 1 the responses
        are spread more than the family says. ``zeros`` of counts and binomials: number of zeros, beside the expected
        number. p_value is the probability that replicated data have more, half of ties included (Gelman, Meng & Stern
        1996, Statistica Sinica 6, 733-807).
    """

    shape: pd.DataFrame
    quantiles: pd.DataFrame
    by_fitted: pd.DataFrame
    by_group: pd.DataFrame
    levene: pd.DataFrame
    outliers: pd.DataFrame
    counts: pd.DataFrame | None = None


def posterior_checks(
    design: Design, posterior: Posterior, prob: float = 0.9, seed: int = 0
) -> ResidualChecks:
    """Check the errors of a posterior, on up to 400 of its draws, evenly spread.

    `seed` is that of the random numbers of quantile residuals and replicated data.
    """
    keep = int(np.clip(NUMBERS // design.nobs, 20, MOST_DRAWS))
    chosen = np.unique(
        np.linspace(0, posterior.n_draws - 1, min(keep, posterior.n_draws)).round().astype(int)
    )
    counts = None
    if design.family.is_gaussian_identity:
        raw = residual_draws(design, posterior, chosen)
        fitted = design.y - raw.mean(axis=0)
        root = 1.0 if design.weights is None else np.sqrt(design.weights)
        errors = [Errors(DATA_LEVEL, "y", (), raw * root / residual_sd(posterior)[chosen, None])]
    else:
        every, rng = long_draws(design, posterior).take(chosen), np.random.default_rng(seed)
        eta = known_mean(rows_of_fit(design), every)
        errors = [Errors(DATA_LEVEL, "y", (), _quantile_residuals(design, every, eta, rng))]
        if design.family.is_ordinal:
            fitted = eta.mean(axis=0)
        else:
            fitted = mean(design.family, eta, every.parameters).mean(axis=0)
            counts = _count_checks(design, every, eta, rng, prob)
    for block, draws in zip(design.blocks, posterior.blocks, strict=True):
        b, sd = flat_effects(block, draws)[chosen], draws.sd.values.reshape(-1, len(draws.columns))[chosen]
        for j, column in enumerate(draws.columns):
            errors.append(Errors(draws.label, column, draws.levels, b[..., j] / sd[:, j, None]))
    return _checks(design, errors, fitted, prob, counts)


def _quantile_residuals(
    design: Design, draws: Draws, eta: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    if design.family.is_categorical:
        raise BayesMLMError(f"{design.response} has categories without an order, and no residuals")
    weights = design.weights if design.family.name == "gaussian" else None
    return quantile_residuals(design.family, design.y, eta, draws.parameters, rng, design.trials, weights)


def predictive_quantiles(
    design: Design, posterior: Posterior, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the fitted values of a generalised model and normal quantiles of P(y_rep <= y | data), each (n,).

    P is averaged over up to 400 draws, and drawn between P(y_rep < y) and P(y_rep <= y) where a response has a
    probability of its own. Because y is among the data, the quantiles are a little less spread than standard normal.
    """
    if design.family.is_ordinal or design.family.is_categorical:
        raise BayesMLMError(f"{design.response} is a category and has no residuals to draw: see pp_check()")
    keep = min(posterior.n_draws, int(np.clip(NUMBERS // design.nobs, 20, MOST_DRAWS)))
    chosen = np.unique(np.linspace(0, posterior.n_draws - 1, keep).round().astype(int))
    draws = long_draws(design, posterior).take(chosen)
    eta = known_mean(rows_of_fit(design), draws)
    weights = design.weights if design.family.name == "gaussian" else None
    u = np.broadcast_to(np.random.default_rng(seed).random(design.nobs), eta.shape)
    p = random_probabilities(design.family, design.y, eta, draws.parameters, u, design.trials, weights)
    fitted = mean(design.family, eta, draws.parameters).mean(axis=0)
    return fitted, norm.ppf(np.clip(p.mean(axis=0), 1e-15, 1 - 1e-15))


def _count_checks(
    design: Design, draws: Draws, eta: np.ndarray, rng: np.random.Generator, prob: float
) -> pd.DataFrame:
    """Dispersion and zeros of the responses beside those of replicated ones."""
    family, m = design.family, design.trials
    weights = design.weights if family.name == "gaussian" else None
    y_rep = draw(family, eta, draws.parameters, rng, m, weights)
    mu = mean(family, eta, draws.parameters)
    spread = variance(family, eta, draws.parameters, m) / (1.0 if weights is None else weights)
    share = 1.0 if m is None else m
    with np.errstate(divide="ignore", invalid="ignore"):
        seen, made = (np.nanmean((y / share - mu) ** 2 / spread, axis=1) for y in (design.y, y_rep))
    rows = [_count_row("dispersion", seen, made, np.ones(len(seen)), prob)]
    if family.support in {"count", "binomial", "nonnegative"}:
        none = np.exp(log_density(family, np.zeros(design.nobs), eta, draws.parameters, m)).sum(axis=1)
        observed = np.full(len(eta), float((design.y == 0).sum()))
        rows.append(_count_row("zeros", observed, (y_rep == 0).sum(axis=1), none, prob))
    return pd.DataFrame(rows)


def _count_row(
    name: str, seen: np.ndarray, made: np.ndarray, expected: np.ndarray, prob: float
) -> dict[str, object]:
    with np.errstate(divide="ignore", invalid="ignore"):
        low, middle, high = np.quantile(seen / expected, [(1 - prob) / 2, 0.5, (1 + prob) / 2])
    return {
        "check": name,
        "observed": float(np.median(seen)),
        "expected": float(np.median(expected)),
        "ratio": middle,
        "ratio_low": low,
        "ratio_high": high,
        "p_value": float(np.mean(made > seen) + np.mean(made == seen) / 2),
    }


def reference_checks(design: Design, estimate: LmerEstimate) -> ResidualChecks:
    """Check the errors of a reference fit; group effects whose variance is estimated as 0 are left out."""
    errors = [Errors(DATA_LEVEL, "y", (), estimate.scaled_residuals[None])]
    for effects, cov in zip(estimate.ranef, estimate.varcorr.blocks, strict=True):
        for j, column in enumerate(effects.columns):
            spread = cov.sd[j] ** 2 - effects.sd[:, j] ** 2
            if cov.sd[j] > 0 and (spread > 1e-8 * cov.sd[j] ** 2).sum() > 2:
                known = spread > 1e-8 * cov.sd[j] ** 2
                names = [name for name, k in zip(effects.levels, known, strict=True) if k]
                values = effects.mode[known, j] / np.sqrt(spread[known])
                errors.append(Errors(effects.label, column, names, values[None]))
    return _checks(design, errors, estimate.fitted, 0.9)


def _checks(
    design: Design,
    errors: list[Errors],
    fitted: np.ndarray,
    prob: float,
    counts: pd.DataFrame | None = None,
) -> ResidualChecks:
    ends = interval_ends(prob)
    residuals = errors[0].draws
    groups = {b.group: b for b in design.blocks}
    outliers = [_outliers(e, design) for e in errors]
    return ResidualChecks(
        shape=pd.DataFrame([_shape(e, ends) for e in errors]),
        quantiles=pd.concat([_quantiles(e) for e in errors], ignore_index=True),
        by_fitted=_by_fitted(residuals, fitted),
        by_group=pd.concat([_by_group(residuals, b) for b in groups.values()], ignore_index=True)
        if groups
        else pd.DataFrame(columns=["group", "level", "n", "spread", "chance_low", "chance_high"]),
        levene=pd.DataFrame(
            [_levene(residuals, b) for b in groups.values()], columns=["group", "F", "df1", "df2", "chance"]
        ),
        outliers=pd.concat(outliers, ignore_index=True),
        counts=counts,
    )


def _shape(errors: Errors, ends: list[float]) -> dict[str, object]:
    n = errors.draws.shape[1]
    centred = errors.draws - errors.draws.mean(axis=1, keepdims=True)
    m2, m3, m4 = ((centred**k).mean(axis=1) for k in (2, 3, 4))
    row: dict[str, object] = {"group": errors.group, "term": errors.term, "n": n}
    for name, values, spread in (
        ("skewness", m3 / m2**1.5, np.sqrt(6 / n)),
        ("kurtosis", m4 / m2**2 - 3, np.sqrt(24 / n)),
    ):
        low, middle, high = np.quantile(values, [ends[0], 0.5, ends[1]])
        several = len(values) > 1
        row |= {
            name: middle,
            f"{name}_low": low if several else np.nan,
            f"{name}_high": high if several else np.nan,
        }
        row[f"{name}_chance"] = float(norm.ppf((1 + CHANCE) / 2) * spread)
    row["beyond_2"] = float((np.abs(errors.draws) > 2).mean())
    return row


def _quantiles(errors: Errors) -> pd.DataFrame:
    """Order statistics beside normal quantiles at (i - 1/2) / n: all up to 199, else both tails and some between."""
    n = errors.draws.shape[1]
    between = np.linspace(0, n - 1, min(n, MOST_QUANTILES)).round().astype(int)
    at = np.unique([*between, *range(min(n, TAIL)), *range(max(0, n - TAIL), n)])
    sample = np.sort(errors.draws, axis=1)[:, at].mean(axis=0)
    normal = norm.ppf((at + 0.5) / n)
    return pd.DataFrame({"group": errors.group, "term": errors.term, "normal": normal, "sample": sample})


def _chance(n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between what the root mean square of n standard normal errors lies in 95 % of cases."""
    low, high = (chi2.ppf(p, n) for p in ((1 - CHANCE) / 2, (1 + CHANCE) / 2))
    return np.sqrt(low / n), np.sqrt(high / n)


def _spread(residuals: np.ndarray, index: np.ndarray, n_units: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of rows and root mean square per unit; the square is that of all draws."""
    square = np.mean(residuals**2, axis=0)
    n = np.bincount(index, minlength=n_units)
    return n, np.sqrt(np.bincount(index, square, n_units) / n)


def _by_fitted(residuals: np.ndarray, fitted: np.ndarray) -> pd.DataFrame:
    edges = np.unique(np.quantile(fitted, np.linspace(0, 1, BINS + 1)))
    _, index = np.unique(
        np.clip(np.searchsorted(edges, fitted, side="right") - 1, 0, max(0, len(edges) - 2)),
        return_inverse=True,
    )
    n_bins = int(index.max()) + 1
    n, spread = _spread(residuals, index, n_bins)
    low, high = _chance(n)
    mean = np.bincount(index, residuals.mean(axis=0), n_bins) / n
    first = [fitted[index == k].min() for k in range(n_bins)]
    last = [fitted[index == k].max() for k in range(n_bins)]
    return pd.DataFrame(
        {
            "low": first,
            "high": last,
            "n": n,
            "mean": mean,
            "spread": spread,
            "chance_low": low,
            "chance_high": high,
        }
    )


def _by_group(residuals: np.ndarray, block: Block) -> pd.DataFrame:
    n, spread = _spread(residuals, block.index, len(block.levels))
    low, high = _chance(n)
    return pd.DataFrame(
        {
            "group": block.group,
            "level": list(block.levels),
            "n": n,
            "spread": spread,
            "chance_low": low,
            "chance_high": high,
        }
    )


def _levene(residuals: np.ndarray, block: Block) -> tuple[str, float, int, int, float]:
    """Brown & Forsythe's F of absolute residuals about medians, the median over draws; of levels with 3 rows or more.

    Two rows are equally far from their median whatever their spread.
    """
    order = np.argsort(block.index, kind="stable")
    size = np.bincount(block.index, minlength=len(block.levels))
    values = residuals[:, order[np.repeat(size >= LEAST_ROWS, size)]]
    n = size[size >= LEAST_ROWS]
    df1, df2 = len(n) - 1, int(n.sum()) - len(n)
    if df1 < 1:
        return block.group, np.nan, df1, df2, np.nan
    starts = np.cumsum(n) - n
    for start, stop in zip(starts, starts + n, strict=True):
        part = values[:, start:stop]
        values[:, start:stop] = np.abs(part - np.median(part, axis=1, keepdims=True))
    means = np.add.reduceat(values, starts, axis=1) / n
    between = (n * (means - values.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) / df1
    within = ((values - np.repeat(means, n, axis=1)) ** 2).sum(axis=1) / df2
    chance = float(f_distribution.ppf(CHANCE, df1, df2))
    return block.group, float(np.median(between / within)), df1, df2, chance


def _outliers(errors: Errors, design: Design) -> pd.DataFrame:
    n = errors.draws.shape[1]
    limit = float(norm.ppf((1 + (1 - FALSE_OUTLIERS) ** (1 / n)) / 2))
    probability = (np.abs(errors.draws) > limit).mean(axis=0)
    at = np.flatnonzero(probability > 0.5)
    value = errors.draws[:, at].mean(axis=0)
    at, value = at[np.argsort(-np.abs(value))], value[np.argsort(-np.abs(value))]
    names = row_names(design, at) if errors.group == DATA_LEVEL else [errors.names[int(i)] for i in at]
    return pd.DataFrame(
        {
            "group": errors.group,
            "term": errors.term,
            "level": pd.Series(names, dtype=object),
            "value": value,
            "probability": probability[at],
            "limit": limit,
        }
    )


def row_names(design: Design, rows: np.ndarray) -> list[str]:
    """Name rows in the words of the data: their label in the caller's data, and their groups."""
    out = []
    for i in rows:
        place = design.rows[i]
        label = place if design.data is None else design.data.index[place]
        groups = [f"{b.group} {b.levels[b.index[i]]}" for b in {b.group: b for b in design.blocks}.values()]
        out.append(", ".join([f"row {label}", *groups]))
    return out
