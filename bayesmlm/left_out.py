"""Densities of rows under draws from a posterior, with the effects of new levels integrated out.

Given fixed effects beta, covariances Sigma, sigma and the effects of known levels, rows are Gaussian:

    y = X beta + offset + Z b_known + Z_new b_new + e,   b_new ~ N(0, Sigma) per level,   e ~ N(0, sigma^2 W^-1).

`row_log_density` gives each row's own density, `bayesmlm.group_density.joint_log_density` that of all rows at once.
Rows of other families have the density of their family given the linear predictor, and b_new is integrated out by
quadrature (`bayesmlm.integrals`).
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bayesmlm.design import Design
from bayesmlm.draws import Posterior, kept_effects
from bayesmlm.errors import DataError
from bayesmlm.families import GAUSSIAN, LINKS, Family, log_density
from bayesmlm.integrals import unit_log_density
from bayesmlm.newdata import NewDesign
from bayesmlm.predictor import RowEffects, predictor_draws

CELLS = 4_000_000  # draws x rows (or entries of matrices) held at a time


NEW_LEVELS = (
    "the effects of a level that is left out are integrated out of one linear predictor, and this model has several: "
    "leave rows out instead"
)


@dataclass(frozen=True)
class Draws:
    """Draws in one long row per parameter.

    Attributes
    ----------
    beta : ndarray, shape (S, k)
        Fixed effects.
    sigma : ndarray, shape (S,)
        Residual standard deviations; 0 if there are none.
    b : tuple of ndarray, shape (S, J, p)
        Effects of each block.
    cov : tuple of ndarray, shape (S, p, p)
        Sigma of each block.
    auxiliary : mapping of str to ndarray, shape (S, ...)
        The family's other auxiliary parameters.
    others : mapping of str to Draws
        Of auxiliary parameters that have predictors.
    categories : tuple of Draws
        Of a categorical response, for all categories but the first.
    """

    beta: np.ndarray
    sigma: np.ndarray
    b: tuple[np.ndarray, ...]
    cov: tuple[np.ndarray, ...]
    auxiliary: Mapping[str, np.ndarray] = field(default_factory=dict)
    others: Mapping[str, Draws] = field(default_factory=dict)
    categories: tuple[Draws, ...] = ()

    def __len__(self) -> int:
        return len(self.sigma)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """Auxiliary parameters, sigma among them, each (S, 1, ...): the same for all rows."""
        return {name: x[:, None] for name, x in {**self.auxiliary, "sigma": self.sigma}.items()}

    def take(self, which: slice | np.ndarray) -> Draws:
        """Return some of the draws."""
        b, cov = (tuple(a[which] for a in part) for part in (self.b, self.cov))
        auxiliary = {name: x[which] for name, x in self.auxiliary.items()}
        others = {name: x.take(which) for name, x in self.others.items()}
        categories = tuple(x.take(which) for x in self.categories)
        return Draws(self.beta[which], self.sigma[which], b, cov, auxiliary, others, categories)


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
        If the effects of a needed block were not all kept.
    """

    def long(values: np.ndarray) -> np.ndarray:
        return values.reshape(posterior.n_draws, *values.shape[2:])

    if design.family.is_categorical and posterior.others:
        each = tuple(long_draws(design, posterior.part(name), needed) for name in posterior.others)
        return Draws(each[0].beta[:, :0], each[0].sigma, (), (), categories=each)
    pairs = zip(design.blocks, posterior.blocks, strict=True)
    b = [
        long(kept_effects(block, draws) if needed is None or i in needed else draws.b.values[:, :, :0])
        for i, (block, draws) in enumerate(pairs)
    ]
    cov = tuple(long(draws.cov.values) for draws in posterior.blocks)
    sigma = np.zeros(posterior.n_draws) if posterior.sigma is None else long(posterior.sigma.values)
    auxiliary = {name: long(x.values) for name, x in posterior.auxiliary.items()}
    others = {name: long_draws(own, posterior.part(name)) for name, own in design.others.items()}
    return Draws(long(posterior.fixef.values), sigma, tuple(b), cov, auxiliary, others)


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
        The residual variance of a Gaussian response is sigma^2 / weight; other densities are raised to the weight.
    blocks : tuple of RowBlock
        As in the posterior.
    family : Family
        Of the response.
    trials : ndarray, shape (n,), or None
        Of a binomial response.
    others : mapping of str to Rows
        Of auxiliary parameters that have predictors.
    """

    y: np.ndarray
    X: np.ndarray
    offset: np.ndarray
    weights: np.ndarray
    blocks: tuple[RowBlock, ...]
    family: Family = GAUSSIAN
    trials: np.ndarray | None = None
    others: Mapping[str, Rows] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, which: slice | np.ndarray) -> Rows:
        """Return some of the rows."""
        blocks = tuple(RowBlock(b.Z[which], b.known[which], b.new[which]) for b in self.blocks)
        y, X, offset, weights = self.y[which], self.X[which], self.offset[which], self.weights[which]
        trials = None if self.trials is None else self.trials[which]
        others = {name: rows.take(which) for name, rows in self.others.items()}
        return Rows(y, X, offset, weights, blocks, self.family, trials, others)


def rows_of_fit(design: Design) -> Rows:
    """Return the rows of a fit; all their levels are known."""
    nothing = np.full(design.nobs, -1)
    blocks = tuple(RowBlock(b.Z, b.index, nothing) for b in design.blocks)
    offset = np.zeros(design.nobs) if design.offset is None else design.offset
    weights = _weights(design.weights, design.nobs)
    others = {name: rows_of_fit(own) for name, own in design.others.items()}
    return Rows(design.y, design.X, offset, weights, blocks, design.family, design.trials, others)


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
    made = Rows(rows.y, rows.X, offset, _weights(weights, n), tuple(blocks), design.family, rows.trials)
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
    """Return X beta + offset + Z b of the known levels, shape (S, n); a new level adds nothing.

    Of a categorical response (S, n, K - 1).
    """
    if draws.categories:
        return np.stack([known_mean(rows, own) for own in draws.categories], axis=-1)
    effects = (
        RowEffects(b, block.known, block.Z, range(b.shape[2]))
        for block, b in zip(rows.blocks, draws.b, strict=True)
    )
    return predictor_draws(draws.beta, rows.X, rows.offset, effects)


def row_log_density(rows: Rows, draws: Draws) -> np.ndarray:
    """Return the log-density of each row, new levels' effects integrated out row by row, shape (S, n).

    Of Gaussian rows log N(y_i | mean_i, sigma^2 / w_i + sum over new levels of z_i'Sigma z_i); of others the density of
    their family at eta_i, averaged over eta_i + N(0, sum over new levels of z_i'Sigma z_i).
    """
    if not rows.family.is_gaussian_identity or draws.others:
        return _general_row_density(rows, draws)
    variance = draws.sigma[:, None] ** 2 / rows.weights
    _add_new_variance(rows, draws, variance)
    value = rows.y - known_mean(rows, draws)
    value *= value
    value /= variance
    value += np.log(2 * np.pi * variance)
    value *= -0.5
    return value


def _add_new_variance(rows: Rows, draws: Draws, variance: np.ndarray) -> None:
    """Add z'Sigma z of the new levels to variances (S, n)."""
    for block, cov in zip(rows.blocks, draws.cov, strict=True):
        at = np.flatnonzero(block.new >= 0)
        if len(at):
            variance[:, at] += np.einsum("na,sab,nb->sn", block.Z[at], cov, block.Z[at], optimize=True)


def conditional_log_density(rows: Rows, draws: Draws, eta: np.ndarray) -> np.ndarray:
    """Return the log-density of each row at a linear predictor (S, n)."""
    return log_density(rows.family, rows.y, eta, known_parameters(rows, draws), rows.trials, rows.weights)


def known_parameters(rows: Rows, draws: Draws) -> dict[str, np.ndarray]:
    """Return the auxiliary parameters, sigma among them: (S, 1, ...), or (S, n) of one that has predictors."""
    own = {
        name: LINKS[rows.others[name].family.link].inverse(known_mean(rows.others[name], other))
        for name, other in draws.others.items()
    }
    return {**draws.parameters, **own}


def _general_row_density(rows: Rows, draws: Draws) -> np.ndarray:
    eta = known_mean(rows, draws)
    value = np.empty(eta.shape[:2])
    new = np.zeros(len(rows), dtype=bool)
    for block in rows.blocks:
        new |= block.new >= 0
    if new.any() and (draws.others or draws.categories):
        raise DataError(NEW_LEVELS)
    known = rows.take(~new)
    value[:, ~new] = conditional_log_density(known, draws, eta[:, ~new])
    if new.any():
        part = rows.take(new)
        variance = np.zeros((len(draws), len(part)))
        _add_new_variance(part, draws, variance)
        value[:, new] = unit_log_density(
            lambda at: conditional_log_density(part, draws, at), eta[:, new], np.sqrt(variance)
        )
    return value
