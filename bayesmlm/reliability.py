"""Reliability of group effects: how much of what the rows of a group say about its effects is signal.

Raudenbush & Bryk (2002, chapter 3): the least-squares coefficients of group j have covariance Sigma + V_j, with
V_j = sigma^2 (Z_j'Z_j)^-1, and the multivariate reliability matrix Sigma (Sigma + V_j)^-1 is by what the partially
pooled effects are pulled from zero to them. With R = Sigma / sigma^2 and A_j = Z_j'W_j Z_j it is

    R A_j (I + R A_j)^-1 = I - (I + R A_j)^-1,

which also exists where the rows of a group do not determine all its coefficients. For one column with n_j rows it is
sd^2 / (sd^2 + sigma^2 / n_j). Where other factors are nested in the group, the rows of a group are correlated, and A_j
is Z_j' (I + Z_l R_l Z_l')^-1 Z_j over the factors l below it. Factors that cross it are taken as known.

In generalised models effects are on the scale of the link, and a row says as much of them as a Gaussian one with the
weight w_i = (d mu / d eta)^2 / V(y_i | mu), its information on eta; A_j is Z_j'W Z_j with the posterior mean of W, and
sigma is 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Block, Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import BayesMLMError
from bayesmlm.families import LINKS, variance
from bayesmlm.left_out import CELLS, known_mean, long_draws, rows_of_fit
from bayesmlm.shares import flat_cov, interval_ends, is_nested, outer_levels, residual_sd
from bayesmlm.shrinkage import one_factor

CHUNK = 8_000_000  # numbers in the largest array of draws x units x columns x columns


@dataclass(frozen=True)
class Reliabilities:
    """Posterior of the reliability of each group's effects.

    Attributes
    ----------
    levels : DataFrame
        One row per level and column: group, level, term, n, reliability (posterior median of the diagonal of the
        reliability matrix), conf_low, conf_high; ols_reliability, the median of Sigma_qq / (Sigma_qq + V_qq), that of a
        column's least-squares coefficient, NaN where the rows of the level do not determine it.
    means : DataFrame
        One row per column, the mean over levels draw by draw: group, term, n_levels, reliability, conf_low, conf_high,
        n_determined, ols_reliability (mean over the levels that determine it).
    """

    levels: pd.DataFrame
    means: pd.DataFrame


def reliabilities(
    design: Design, posterior: Posterior, group: str | None = None, prob: float = 0.9
) -> Reliabilities:
    """Compute the reliability of the effects of a grouping factor, the one with most levels if `group` is None."""
    ends = interval_ends(prob)
    (block,) = one_factor(design, group).blocks
    design = replace(design, weights=row_information(design, posterior))
    own = relative_covariance(posterior, block, not design.family.is_gaussian_identity)
    n_levels, p = len(block.levels), len(block.columns)
    quantiles = np.empty((3, n_levels, p))
    of_ols = np.full((n_levels, p), np.nan)
    total, total_ols = np.zeros((len(own), p)), np.zeros((len(own), p))
    determined = _determined(design, block)
    for chosen, A in _informations(design, posterior, block):
        values = 1 - _inverse_diagonal(np.eye(p) + own[:, None] @ A)
        quantiles[:, chosen] = np.quantile(values, [ends[0], 0.5, ends[1]], axis=0)
        total += values.sum(axis=1)
        known = determined[chosen]
        if known.any():
            sd2 = np.diagonal(own, axis1=1, axis2=2)[:, None]
            ols = sd2 / (sd2 + _inverse_diagonal(A[:, known]))
            of_ols[np.flatnonzero(chosen)[known]] = np.median(ols, axis=0)
            total_ols += ols.sum(axis=1)
    frame = _level_frame(block, quantiles, of_ols)
    mean = total / n_levels
    low, middle, high = np.quantile(mean, [ends[0], 0.5, ends[1]], axis=0)
    count = int(determined.sum())
    means = pd.DataFrame(
        {
            "group": block.group,
            "term": list(block.columns),
            "n_levels": n_levels,
            "reliability": middle,
            "conf_low": low,
            "conf_high": high,
            "n_determined": count,
            "ols_reliability": np.median(total_ols, axis=0) / count if count else np.nan,
        }
    )
    return Reliabilities(frame, means)


def row_information(design: Design, posterior: Posterior) -> np.ndarray | None:
    """Posterior means of (d mu / d eta)^2 / V(y | mu) of a generalised model's rows, times their weights, shape (n,).

    Of Gaussian models the weights themselves.

    Raises
    ------
    BayesMLMError
        For families whose mean is not the inverse link of the linear predictor.
    """
    family = design.family
    if family.is_gaussian_identity:
        return design.weights
    mixed = family.name.startswith(("zero_inflated_", "hurdle_", "lognormal"))
    if mixed or family.is_ordinal or family.is_categorical:
        raise BayesMLMError(
            f"the reliability of group effects is not defined for {family.spelled} models: what a row says of them is "
            "not a single number"
        )
    rows, every = rows_of_fit(design), long_draws(design, posterior)
    total, step = np.zeros(design.nobs), max(1, CELLS // design.nobs)
    for start in range(0, len(every), step):
        draws = every.take(slice(start, start + step))
        eta = known_mean(rows, draws)
        spread = variance(family, eta, draws.parameters, design.trials)
        slope = LINKS[family.link].slope(eta)
        total += np.divide(slope**2, spread, out=np.zeros_like(eta), where=spread > 0).sum(axis=0)
    return total / len(every) * (1.0 if design.weights is None else design.weights)


def relative_covariance(posterior: Posterior, block: Block, absolute: bool = False) -> np.ndarray:
    """Draws of Sigma / sigma^2 of a factor's effects, all its blocks together: (chain x draw, column, column).

    `absolute` for those of Sigma.
    """
    p = len(block.columns)
    out = np.zeros((posterior.n_draws, p, p))
    for draws in posterior.blocks:
        if draws.group == block.group:
            at = [block.columns.index(c) for c in draws.columns]
            out[:, np.array(at)[:, None], at] += flat_cov(draws)
    return out if absolute else out / residual_sd(posterior)[:, None, None] ** 2


def _level_frame(block: Block, quantiles: np.ndarray, of_ols: np.ndarray) -> pd.DataFrame:
    p = len(block.columns)
    low, middle, high = quantiles
    table: dict[str, Any] = {
        "group": block.group,
        "level": np.repeat(np.array(block.levels, dtype=object), p),
        "term": list(block.columns) * len(block.levels),
        "n": np.repeat(np.bincount(block.index, minlength=len(block.levels)), p),
        "reliability": middle.ravel(),
        "conf_low": low.ravel(),
        "conf_high": high.ravel(),
        "ols_reliability": of_ols.ravel(),
    }
    return pd.DataFrame(table)


def _determined(design: Design, block: Block) -> np.ndarray:
    """Which levels have rows that determine all their coefficients, (J,)."""
    A = _products(block.Z, block.index, len(block.levels), None)
    size = np.sqrt(np.diagonal(A, axis1=1, axis2=2))
    scaled = A / np.where(size > 0, size, 1)[:, :, None] / np.where(size > 0, size, 1)[:, None, :]
    return np.linalg.eigvalsh(scaled)[:, 0] > 1e-10


def _products(Z: np.ndarray, index: np.ndarray, n_units: int, weights: np.ndarray | None) -> np.ndarray:
    """Z'WZ by unit, (unit, column, column)."""
    p = Z.shape[1]
    out = np.empty((n_units, p, p))
    for a in range(p):
        for b in range(a + 1):
            product = Z[:, a] * Z[:, b] * (1.0 if weights is None else weights)
            out[:, a, b] = out[:, b, a] = np.bincount(index, product, n_units)
    return out


def _below(design: Design, block: Block) -> list[Block]:
    """Factors nested in a factor, finest first, each nested in the next: those that make its rows correlated."""
    factors = [one_factor(design, group).blocks[0] for group in design.ngroups]
    lower = [f for f in factors if f.group != block.group and is_nested(f, block) and not is_nested(block, f)]
    chain: list[Block] = []
    for factor in sorted(lower, key=lambda f: -len(f.levels)):
        if not chain or is_nested(chain[-1], factor):
            chain.append(factor)
    return chain


def _informations(
    design: Design, posterior: Posterior, block: Block
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield levels, as a mask, and their A_j: (chain x draw or 1, level, column, column), some levels at a time."""
    below = _below(design, block)
    chain = [*below, block]
    Z = np.hstack([b.Z for b in chain])
    finest = _products(Z, chain[0].index, len(chain[0].levels), design.weights)
    absolute = not design.family.is_gaussian_identity
    relative = [relative_covariance(posterior, b, absolute) for b in below]
    upward = [outer_levels(a, b) for a, b in itertools.pairwise(chain)]
    home = np.arange(len(chain[0].levels))
    for step in upward:
        home = step[home]
    size = np.bincount(home, minlength=len(block.levels)) * Z.shape[1] ** 2 * posterior.n_draws
    part = np.minimum(np.cumsum(size) // CHUNK, np.arange(len(size)))
    for number in np.unique(part):
        chosen = part == number
        yield chosen, _eliminate(finest, chain, relative, upward, chosen)


def _eliminate(
    finest: np.ndarray,
    chain: list[Block],
    relative: list[np.ndarray],
    upward: list[np.ndarray],
    chosen: np.ndarray,
) -> np.ndarray:
    """Take the factors below out of the products, finest first, for the chosen levels of the last of the chain."""
    masks = [chosen]
    for step in reversed(upward):
        masks.insert(0, masks[0][step])
    A = finest[None, masks[0]]
    for k, R in enumerate(relative):
        q = len(chain[k].columns)
        inner, cross, rest = A[..., :q, :q], A[..., :q, q:], A[..., q:, q:]
        # (I + Z R Z')^-1 = I - Z R (I + Z'Z R)^-1 Z'
        M = np.eye(q) + inner @ R[:, None]
        A = rest - np.swapaxes(cross, -1, -2) @ R[:, None] @ np.linalg.solve(M, cross)
        A = _sum_units(A, upward[k][masks[k]], masks[k + 1])
    return A


def _sum_units(A: np.ndarray, home: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Add up (draw, unit, column, column) over the units of each kept level of the factor above."""
    order = np.argsort(home, kind="stable")
    starts = np.searchsorted(home[order], np.flatnonzero(kept))
    return np.add.reduceat(A[:, order], starts, axis=1)


def _inverse_diagonal(M: np.ndarray) -> np.ndarray:
    """Diagonal of the inverse of each matrix, (..., p, p) gives (..., p)."""
    if M.shape[-1] == 1:
        return 1 / M[..., 0]
    if M.shape[-1] == 2:
        determinant = M[..., 0, 0] * M[..., 1, 1] - M[..., 0, 1] * M[..., 1, 0]
        return np.stack([M[..., 1, 1], M[..., 0, 0]], axis=-1) / determinant[..., None]
    return np.diagonal(np.linalg.inv(M), axis1=-2, axis2=-1)
