"""Densities of rows under draws from a posterior, with the effects of new levels integrated out.

Given fixed effects beta, covariances Sigma, sigma and the effects of known levels, rows are Gaussian:

    y = X beta + offset + Z b_known + Z_new b_new + e,   b_new ~ N(0, Sigma) per level,   e ~ N(0, sigma^2 W^-1).

`row_log_density` gives each row's own density, `bayesmlm.group_density.joint_log_density` that of all rows at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace

import numpy as np

from bayesmlm.design import Design
from bayesmlm.draws import Posterior, kept_effects
from bayesmlm.errors import DataError
from bayesmlm.newdata import NewDesign
from bayesmlm.predictor import RowEffects, predictor_draws

CELLS = 4_000_000  # draws x rows (or entries of matrices) held at a time


@dataclass(frozen=True)
class Draws:
    """Draws in one long row per parameter.

    Attributes
    ----------
    beta : ndarray, shape (S, k)
        Fixed effects.
    sigma : ndarray, shape (S,)
        Residual standard deviations.
    b : tuple of ndarray, shape (S, J, p)
        Effects of each block.
    cov : tuple of ndarray, shape (S, p, p)
        Sigma of each block.
    """

    beta: np.ndarray
    sigma: np.ndarray
    b: tuple[np.ndarray, ...]
    cov: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.sigma)

    def take(self, which: slice | np.ndarray) -> Draws:
        """Return some of the draws."""
        b, cov = (tuple(a[which] for a in part) for part in (self.b, self.cov))
        return Draws(self.beta[which], self.sigma[which], b, cov)


def long_draws(design: Design, posterior: Posterior, needed: Container[int] | None = None) -> Draws:
    """Put the draws of all chains one after the other.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    needed
        Positions of the blocks whose effects are needed; all if None. Those of the others have no levels.

    Raises
    ------
    DataError
        If the effects of a needed block were not all kept, or the model has no residual standard deviation: only
        Gaussian models are known here.
    """
    if posterior.sigma is None:
        raise DataError("predictive densities are known for Gaussian models only")

    def long(values: np.ndarray) -> np.ndarray:
        return values.reshape(posterior.n_draws, *values.shape[2:])

    pairs = zip(design.blocks, posterior.blocks, strict=True)
    b = [
        long(kept_effects(block, draws) if needed is None or i in needed else draws.b.values[:, :, :0])
        for i, (block, draws) in enumerate(pairs)
    ]
    cov = tuple(long(draws.cov.values) for draws in posterior.blocks)
    return Draws(long(posterior.fixef.values), long(posterior.sigma.values), tuple(b), cov)


@dataclass(frozen=True)
class RowBlock:
    """The rows of one block.

    Attributes
    ----------
    Z : ndarray, shape (n, p)
        Values of the block's columns.
    known : ndarray of int, shape (n,)
        Position of each row's level among the posterior's; -1 for a new level.
    new : ndarray of int, shape (n,)
        Number of each row's new level; -1 for a known level.
    """

    Z: np.ndarray
    known: np.ndarray
    new: np.ndarray


@dataclass(frozen=True)
class Rows:
    """Rows whose density is asked for.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Responses.
    X : ndarray, shape (n, k)
        Fixed-effects columns.
    offset : ndarray, shape (n,)
        Known part of the mean.
    weights : ndarray, shape (n,)
        The residual variance is sigma^2 / weight.
    blocks : tuple of RowBlock
        As in the posterior.
    """

    y: np.ndarray
    X: np.ndarray
    offset: np.ndarray
    weights: np.ndarray
    blocks: tuple[RowBlock, ...]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, which: slice | np.ndarray) -> Rows:
        """Return some of the rows."""
        blocks = tuple(RowBlock(b.Z[which], b.known[which], b.new[which]) for b in self.blocks)
        return Rows(self.y[which], self.X[which], self.offset[which], self.weights[which], blocks)


def rows_of_fit(design: Design) -> Rows:
    """Return the rows of a fit; all their levels are known."""
    nothing = np.full(design.nobs, -1)
    blocks = tuple(RowBlock(b.Z, b.index, nothing) for b in design.blocks)
    offset = np.zeros(design.nobs) if design.offset is None else design.offset
    return Rows(design.y, design.X, offset, _weights(design.weights, design.nobs), blocks)


def new_rows(design: Design, rows: NewDesign, weights: np.ndarray | None) -> Rows:
    """Return rows that a fit has not seen, made by `bayesmlm.newdata.new_design` with the response.

    Raises
    ------
    DataError
        If a value is missing.
    """
    n = rows.nobs
    blocks = []
    for block, new in zip(design.blocks, rows.blocks, strict=True):
        Z = np.empty((n, len(block.columns)))
        Z[:, list(new.columns)] = new.Z
        blocks.append(RowBlock(Z, new.index, new.new_index))
    offset = np.zeros(n) if rows.offset is None else rows.offset
    assert rows.y is not None
    made = Rows(rows.y, rows.X, offset, _weights(weights, n), tuple(blocks))
    if not all(np.isfinite(v).all() for v in (made.y, made.X, offset, *(b.Z for b in blocks))):
        raise DataError("a row that is left out has a missing or infinite value once transformed")
    return made


def _weights(given: np.ndarray | None, n: int) -> np.ndarray:
    return np.ones(n) if given is None else given


def rows_by_group(rows: Rows, groups: np.ndarray) -> Iterator[Rows]:
    """Yield the rows of each group, the levels that occur in no other group counted as new.

    Parameters
    ----------
    rows
        The rows of a fit.
    groups : ndarray of int, shape (n,)
        Group of each row, 0, 1, ...; none is empty.
    """
    own = [_own_levels(block.known, groups) for block in rows.blocks]
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 2))
    for start, stop in itertools.pairwise(starts):
        part = rows.take(order[start:stop])
        blocks = []
        for block, only_here in zip(part.blocks, own, strict=True):
            fresh = only_here[block.known]
            new = np.full(len(fresh), -1)
            new[fresh] = np.unique(block.known[fresh], return_inverse=True)[1]
            blocks.append(RowBlock(block.Z, np.where(fresh, -1, block.known), new))
        yield replace(part, blocks=tuple(blocks))


def shared_blocks(rows: Rows, groups: np.ndarray) -> frozenset[int]:
    """Positions of the blocks with a level that several groups have: those whose effects `rows_by_group` needs."""
    return frozenset(i for i, b in enumerate(rows.blocks) if not _own_levels(b.known, groups).all())


def _own_levels(levels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Whether each level occurs in one group only."""
    least = np.full(levels.max() + 1, groups.max() + 1)
    most = np.full(levels.max() + 1, -1)
    np.minimum.at(least, levels, groups)
    np.maximum.at(most, levels, groups)
    return least == most


# -- densities -------------------------------------------------------------------------------------


def known_mean(rows: Rows, draws: Draws) -> np.ndarray:
    """Return X beta + offset + Z b of the known levels, shape (S, n); a new level adds nothing."""
    effects = (
        RowEffects(b, block.known, block.Z, range(b.shape[2]))
        for block, b in zip(rows.blocks, draws.b, strict=True)
    )
    return predictor_draws(draws.beta, rows.X, rows.offset, effects)


def row_log_density(rows: Rows, draws: Draws) -> np.ndarray:
    """Return log N(y_i | mean_i, sigma^2 / w_i + sum over new levels of z_i'Sigma z_i), shape (S, n)."""
    variance = draws.sigma[:, None] ** 2 / rows.weights
    for block, cov in zip(rows.blocks, draws.cov, strict=True):
        at = np.flatnonzero(block.new >= 0)
        if len(at):
            variance[:, at] += np.einsum("na,sab,nb->sn", block.Z[at], cov, block.Z[at], optimize=True)
    value = rows.y - known_mean(rows, draws)
    value *= value
    value /= variance
    value += np.log(2 * np.pi * variance)
    value *= -0.5
    return value
