"""Pooling and R2 level by level (Gelman & Pardoe 2006, Technometrics 48, 241-251).

A level is a batch of K coefficients theta_k with errors eps_k: theta_k = (what the model says of it) + eps_k. With V
the variance over the batch (divisor K - 1) and E the posterior mean,

    R2     = 1 - E V(eps) / E V(theta)
    lambda = 1 - V(E eps) / E V(eps).

R2 is how much of the spread of the coefficients the level's predictors and the levels above explain, lambda how far
they are pooled towards that: 1 is complete, 0 no pooling; above 0.5 the level above tells more of a coefficient than
its own rows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.design import Block, Design
from bayesmlm.draws import Posterior
from bayesmlm.families import mean
from bayesmlm.left_out import known_mean, long_draws, rows_of_fit
from bayesmlm.shares import CHUNK, flat_effects, is_nested, outer_levels
from bayesmlm.shrinkage import effect_draws, one_factor
from bayesmlm.tables import flat

DATA_LEVEL = "Residual"
SAME = 1e-9


def pooling_factors(design: Design, posterior: Posterior) -> pd.DataFrame:
    """Return R2 and pooling factor of the rows and of every column of every grouping factor.

    Returns
    -------
    DataFrame
        group (``Residual`` for the rows, on the scale of the response; left out for categories), term, n_units, r2,
        pooling. `r2` of a column of group effects is NaN where
        a level has no rows that say what the model expects of it and those that have are fewer than two.
    """
    categories = design.family.is_ordinal or design.family.is_categorical
    rows = [] if categories else [_data_level(design, posterior)]
    factors = [one_factor(design, group).blocks[0] for group in design.ngroups]
    effects = {f.group: effect_draws(posterior, f) for f in factors}
    for factor in factors:
        for j, term in enumerate(factor.columns):
            errors = effects[factor.group][..., j]
            expected, known = _expected(design, posterior, factor, j, factors, effects)
            theta = expected + errors
            enough = known.sum() > 1
            r2 = 1 - _mean_variance(errors[:, known]) / _mean_variance(theta[:, known]) if enough else np.nan
            if enough and not np.ptp(expected[:, known], axis=1).any():
                r2 = 0.0  # the same is expected of all
            pooling = 1 - errors.mean(axis=0).var(ddof=1) / _mean_variance(errors)
            rows.append((factor.group, term, len(factor.levels), r2, pooling))
    return pd.DataFrame(rows, columns=["group", "term", "n_units", "r2", "pooling"])


def _mean_variance(values: np.ndarray) -> float:
    return float(values.var(axis=1, ddof=1).mean())


def _data_level(design: Design, posterior: Posterior) -> tuple[str, str, int, float, float]:
    """The rows: theta is the response, eps what is left of it; of binomials the share of successes."""
    n, total = design.nobs, 0.0
    y = design.y if design.trials is None else design.y / design.trials
    mean = np.zeros(n)
    step = max(1, CHUNK // n)
    for start in range(0, posterior.n_draws, step):
        errors = residual_draws(design, posterior, slice(start, start + step))
        total += float(errors.var(axis=1, ddof=1).sum())
        mean += errors.sum(axis=0)
    spread, mean = total / posterior.n_draws, mean / posterior.n_draws
    r2, pooling = 1 - spread / y.var(ddof=1), 1 - mean.var(ddof=1) / spread
    return DATA_LEVEL, "y", n, float(r2), float(pooling)


def residual_draws(design: Design, posterior: Posterior, chosen: slice | np.ndarray) -> np.ndarray:
    """Draws of y - X beta - offset - Z b for some draws, shape (draw, n).

    Of other families those of y less the expected response; of binomials of the share of successes.
    """
    if not design.family.is_gaussian_identity:
        rows, every = rows_of_fit(design), long_draws(design, posterior).take(chosen)
        y = design.y if design.trials is None else design.y / design.trials
        return y - mean(design.family, known_mean(rows, every), every.parameters)
    errors = design.y - flat(posterior.fixef)[chosen] @ design.X.T
    if design.offset is not None:
        errors -= design.offset
    for block, draws in zip(design.blocks, posterior.blocks, strict=True):
        b = flat_effects(block, draws)[chosen]
        for j, z in enumerate(block.Z.T):
            errors -= b[:, block.index, j] * z
    return errors


def _expected(
    design: Design,
    posterior: Posterior,
    factor: Block,
    j: int,
    factors: list[Block],
    effects: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Draws of what the model expects of each level's coefficient, and for which levels that is known.

    A column of X that is w_j z within every level j adds w_j beta to the coefficient of z: for an intercept that is any
    column that is constant within levels, for a slope any interaction with such a one. The effects of the levels above
    count too.
    """
    z = factor.Z[:, j]
    beta = flat(posterior.fixef)
    expected = np.zeros((len(beta), len(factor.levels)))
    known = np.ones(len(factor.levels), dtype=bool)
    for c, column in enumerate(design.X.T):
        weights = _multiples(column, z, factor)
        if weights is not None:
            known &= ~np.isnan(weights)
            expected += beta[:, c, None] * np.nan_to_num(weights)
    for other in factors:
        if other.group != factor.group and is_nested(factor, other) and not is_nested(other, factor):
            for i, column in enumerate(other.Z.T):
                weights = _multiples(column, z, factor)
                if weights is not None:
                    known &= ~np.isnan(weights)
                    above = effects[other.group][:, outer_levels(factor, other), i]
                    expected += above * np.nan_to_num(weights)
    return expected, known


def _multiples(column: np.ndarray, z: np.ndarray, factor: Block) -> np.ndarray | None:
    """Return w with column = w_j z in every level j, or None if there is no such w.

    NaN where z is 0 throughout a level, unless w is the same in all the others.
    """
    size = np.bincount(factor.index, z**2, len(factor.levels))
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = np.bincount(factor.index, column * z, len(factor.levels)) / size
    gap = np.abs(column - np.nan_to_num(weights)[factor.index] * z)
    if gap.max() > SAME * np.abs(column).max():
        return None
    found = weights[~np.isnan(weights)]
    return np.full(len(weights), found[0]) if np.allclose(found, found[0], rtol=SAME, atol=0) else weights
