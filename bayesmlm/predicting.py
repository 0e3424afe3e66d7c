"""Draws of what a posterior predicts for rows: numbers only, in pieces of rows that fit in memory.

eta = X beta + offset + sum over blocks of z'b, per posterior draw. A level that the fit has seen has its posterior
effects. A new one has, in each draw, one effect b ~ N(0, Sigma) with that draw's Sigma, the same for all its rows and
correlated over the block's columns. Its random numbers depend on the seed, the block and the level's name alone: a
level has the same effects in every call with that seed, whatever else is in the data. Residuals have a stream of their
own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bayesmlm.design import Design
from bayesmlm.draws import SAMPLE, Posterior
from bayesmlm.errors import DataError
from bayesmlm.families import LINKS
from bayesmlm.newdata import NewBlock, NewDesign
from bayesmlm.outcome import Outcome, Parameters
from bayesmlm.predictor import RowEffects, predictor_draws

PIECE = 2_000_000  # draws x rows computed at a time: 16 MB for each array
EFFECTS, RESIDUALS = 0x6566, 0x7265  # keep the streams of one seed apart, and from those of the sampler


@dataclass(frozen=True, eq=False)
class Sample:
    """Posterior draws of what predictions need, chain after chain.

    Attributes
    ----------
    chain, draw : ndarray
        Labels of the C chains and of the D draws kept of each; S = C D.
    fixef : ndarray, shape (S, k)
        Fixed effects.
    effects : tuple of ndarray, shape (S, K, p)
        Effects of the levels of each block that were kept.
    places : tuple of ndarray of int, shape (J,)
        Where each level is among those; -1 if its effects were not kept.
    sd, corr : tuple of ndarray, shapes (S, p) and (S, p, p)
        Standard deviations and correlations of each block.
    sigma : ndarray, shape (S,)
        Residual standard deviation; 0 if there is none.
    auxiliary : mapping of str to ndarray, shape (S, ...)
        The family's other auxiliary parameters.
    others : mapping of str to Sample
        Of auxiliary parameters that have predictors; `inverses` has their inverse links.
    inverses : mapping of str to function
    categories : tuple of Sample
        Of a categorical response, for all categories but the first, which `levels` names; there are then no other
        fixed or group effects.
    levels : tuple of str
    """

    chain: np.ndarray
    draw: np.ndarray
    fixef: np.ndarray
    effects: tuple[np.ndarray, ...]
    places: tuple[np.ndarray, ...]
    sd: tuple[np.ndarray, ...]
    corr: tuple[np.ndarray, ...]
    sigma: np.ndarray
    auxiliary: Mapping[str, np.ndarray] = field(default_factory=dict)
    others: Mapping[str, Sample] = field(default_factory=dict)
    inverses: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)
    categories: tuple[Sample, ...] = ()
    levels: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of draws."""
        return len(self.fixef)

    @cached_property
    def parameters(self) -> Parameters:
        """Auxiliary parameters, sigma among them, each (S, 1, ...): the same for all rows."""
        return {name: x[:, None] for name, x in {**self.auxiliary, "sigma": self.sigma}.items()}

    @cached_property
    def roots(self) -> tuple[np.ndarray, ...]:
        """Factor of each block's covariance matrix, (S, p, p): b = root u with u ~ N(0, I)."""
        return tuple(sd[:, :, None] * _lower_root(corr) for sd, corr in zip(self.sd, self.corr, strict=True))

    def mean(self) -> Sample:
        """Return the posterior means as a sample of one draw, for what is linear in the parameters."""
        parts = (self.sd, self.corr)
        sd, corr = (tuple(x.mean(axis=0, keepdims=True) for x in part) for part in parts)
        effects = tuple(b.mean(axis=0, keepdims=True) for b in self.effects)
        fixef, sigma = self.fixef.mean(axis=0, keepdims=True), self.sigma.mean(keepdims=True)
        others = {name: x.mean(axis=0, keepdims=True) for name, x in self.auxiliary.items()}
        return Sample(self.chain[:1], self.draw[:1], fixef, effects, self.places, sd, corr, sigma, others)


def sample_of(design: Design, posterior: Posterior, draws: int | None = None) -> Sample:
    """Return the draws of a posterior, or evenly spaced ones.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    draws
        How many to keep at least, the same number of each chain; all if None.

    Raises
    ------
    DataError
        If there are not that many.
    """
    if design.family.is_categorical and posterior.others:
        each = [sample_of(design, posterior.part(name), draws) for name in posterior.others]
        empty = (np.zeros((each[0].size, 0)), (), (), (), (), each[0].sigma)
        return Sample(
            each[0].chain, each[0].draw, *empty, categories=tuple(each), levels=design.response_levels[1:]
        )
    at = _kept_draws(posterior, draws)

    def flat(values: np.ndarray) -> np.ndarray:
        kept = values if len(at) == values.shape[1] else values[:, at]
        return kept.reshape(len(values) * len(at), *values.shape[2:])

    fixef, blocks, sigma = posterior.fixef, posterior.blocks, posterior.sigma
    return Sample(
        chain=fixef["chain"].values,
        draw=fixef["draw"].values[at],
        fixef=flat(fixef.values),
        effects=tuple(flat(b.b.values) for b in blocks),
        places=tuple(_places(b.levels, d.levels) for b, d in zip(design.blocks, blocks, strict=True)),
        sd=tuple(flat(b.sd.values) for b in blocks),
        corr=tuple(flat(b.corr.values) for b in blocks),
        sigma=np.zeros(posterior.n_chains * len(at))
        if sigma is None
        else flat(sigma.transpose(*SAMPLE).values),
        auxiliary={name: flat(x.transpose(*SAMPLE, ...).values) for name, x in posterior.auxiliary.items()},
        others={name: sample_of(own, posterior.part(name), draws) for name, own in design.others.items()},
        inverses={name: LINKS[own.family.link].inverse for name, own in design.others.items()},
    )


def _kept_draws(posterior: Posterior, draws: int | None) -> np.ndarray:
    """Return the positions, within each chain, of the draws to keep."""
    chains, length = posterior.fixef.shape[:2]
    if draws is None:
        return np.arange(length)
    if (
        not isinstance(draws, int | np.integer)
        or isinstance(draws, bool)
        or not 1 <= draws <= chains * length
    ):
        raise DataError(
            f"draws = {draws!r}: give a whole number from 1 to {chains * length}, the posterior sample size"
        )
    return np.linspace(0, length - 1, -(-int(draws) // chains)).round().astype(int)


def _places(levels: Sequence[str], kept: Sequence[str]) -> np.ndarray:
    at = {level: i for i, level in enumerate(kept)}
    return np.array([at.get(level, -1) for level in levels])


def _lower_root(corr: np.ndarray) -> np.ndarray:
    """Return lower triangular L with L L' = corr for each matrix, also for correlations of -1 and 1."""
    p = corr.shape[-1]
    root = np.zeros_like(corr)
    for j in range(p):
        rest = corr[:, j:, j] - np.einsum("sik,sk->si", root[:, j:, :j], root[:, j, :j])
        pivot = np.sqrt(np.maximum(rest[:, :1], 0.0))
        root[:, j:, j] = np.divide(rest, pivot, out=np.zeros_like(rest), where=pivot > 1e-8)
    return root


# -- the linear predictor ----------------------------------------------------------------------------


def pieces(n_rows: int, n_draws: int) -> Iterator[slice]:
    """Cut rows into pieces of at most `PIECE` numbers."""
    step = max(1, PIECE // n_draws)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def linear_predictor_draws(
    sample: Sample, rows: NewDesign, seed: int | None, at: slice = slice(None)
) -> np.ndarray:
    """Return draws of X beta + offset + Z b, shape (draw, row); missing where the row has a missing value.

    Parameters
    ----------
    sample
        The draws.
    rows
        What to predict.
    seed
        Of the effects of new levels; these are 0 if None.
    at
        Which of the rows.
    """
    if sample.categories:
        own = enumerate(sample.categories, 1)
        return np.stack([linear_predictor_draws(s, rows, _own_seed(seed, k), at) for k, s in own], axis=-1)
    effects = (
        RowEffects(sample.effects[b.position], _kept_places(sample, b, b.index[at]), b.Z[at], b.columns)
        for b in rows.blocks
    )
    eta = predictor_draws(sample.fixef, rows.X[at], None if rows.offset is None else rows.offset[at], effects)
    for block in rows.blocks:
        new = block.index[at] < 0
        if new.any():
            level = block.new_index[at][new]
            eta[:, new] += _new_contribution(sample, block, block.Z[at][new], level, seed)
    return eta


def parameters_at(sample: Sample, rows: NewDesign, seed: int | None, at: slice = slice(None)) -> Parameters:
    """Return draws of the auxiliary parameters, sigma among them: (S, 1), or (S, rows) of one with predictors.

    Parameters are those of `linear_predictor_draws`.
    """
    own = {
        name: sample.inverses[name](linear_predictor_draws(other, rows.others[name], _own_seed(seed, k), at))
        for k, (name, other) in enumerate(sample.others.items(), 1)
    }
    return {**sample.parameters, **own} if own else sample.parameters


def _own_seed(seed: int | None, k: int) -> int | None:
    """Keep the effects of new levels on different linear predictors independent."""
    return None if seed is None else int(seed) + (k << 64)


def _kept_places(sample: Sample, block: NewBlock, index: np.ndarray) -> np.ndarray:
    """Return where the effects of levels are in the sample; -1 for a new one."""
    place = sample.places[block.position]
    found = np.where(index >= 0, place[index], -1)
    if (found[index >= 0] < 0).any():
        raise DataError(
            f"the effects of {(place >= 0).sum()} of the {len(place)} levels of {block.label} were kept: "
            "fit.with_ranef() draws the others; re_formula='~0' predicts without group effects"
        )
    return found


def _new_contribution(
    sample: Sample, block: NewBlock, Z: np.ndarray, level: np.ndarray, seed: int | None
) -> np.ndarray:
    """Return z'b of rows of new levels, shape (draw, row)."""
    out = np.zeros((sample.size, len(Z)))
    out += 0.0 * Z.sum(axis=1)  # a missing value stays missing
    if seed is None:
        return out
    wanted, place = np.unique(level, return_inverse=True)
    b = new_effects(sample, block, wanted, seed)
    for k, column in enumerate(block.columns):
        out += b[:, place, column] * Z[:, k]
    return out


def new_effects(sample: Sample, block: NewBlock, levels: Sequence[int] | np.ndarray, seed: int) -> np.ndarray:
    """Draw effects b ~ N(0, Sigma) of some of a block's new levels, shape (draw, len(levels), p)."""
    root = sample.roots[block.position]
    out = np.empty((sample.size, len(levels), root.shape[-1]))
    repeats = _repeats(block.new_levels)
    for i, level in enumerate(levels):
        name = _name_key(block.new_levels[level])
        rng = _stream(seed, EFFECTS, block.position, *name, repeats[level])
        u = rng.standard_normal((sample.size, root.shape[-1]))
        out[:, i] = np.einsum("spq,sq->sp", root, u)
    return out


def _name_key(name: str) -> list[int]:
    """Numbers that stand for a level's name."""
    return np.frombuffer(hashlib.blake2b(name.encode(), digest_size=8).digest(), dtype="<u4").tolist()


def _repeats(names: Sequence[str]) -> list[int]:
    """How often each name occurs before: two levels of ``a:b`` may read alike, ``x:y:z``."""
    seen: Counter[str] = Counter()
    out = []
    for name in names:
        out.append(seen[name])
        seen[name] += 1
    return out


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=key))


# -- the response ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Target:
    """Rows to predict.

    Attributes
    ----------
    rows : NewDesign
        Their columns.
    labels : ndarray, shape (n,)
        What they are called.
    weights : ndarray, shape (n,), or None
        Prior weights.
    averaged : tuple of (int, ndarray)
        Positions of blocks and columns (n, p) of the group effects to average over, 0 in rows where there are none.
        The effects of new levels are then not drawn.
    trials : ndarray, shape (n,), or None
        Numbers of trials of a binomial response to draw; None if each is 1.
    """

    rows: NewDesign
    labels: np.ndarray
    weights: np.ndarray | None = None
    averaged: tuple[tuple[int, np.ndarray], ...] = ()
    trials: np.ndarray | None = None

    def weight(self, at: slice) -> np.ndarray | None:
        """Return the weights of some rows."""
        return None if self.weights is None else self.weights[at]

    def n_trials(self, at: slice) -> np.ndarray | None:
        """Return the numbers of trials of some rows."""
        return None if self.trials is None else self.trials[at]


def averaged_variance(sample: Sample, target: Target, at: slice) -> np.ndarray | float:
    """Return the sum of z'Sigma z over the blocks to average over, shape (draw, row)."""
    total: np.ndarray | float = 0.0
    for position, Z in target.averaged:
        root = sample.roots[position]
        for q in range(root.shape[-1]):
            total = total + (root[:, :, q] @ Z[at].T) ** 2
    return total


def linear_pieces(sample: Sample, target: Target, seed: int | None) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the linear predictor of one piece of the rows after the other."""
    for at in pieces(target.rows.nobs, sample.size * max(1, len(sample.categories))):
        yield at, linear_predictor_draws(sample, target.rows, seed, at)


def expected_pieces(
    sample: Sample, target: Target, outcome: Outcome, seed: int | None
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the mean of the response given each draw, piece by piece."""
    if target.averaged and (sample.others or sample.categories):
        raise DataError(
            "marginal=True averages over the effects of one linear predictor, and this model has several: leave it out"
        )
    effects_seed = None if target.averaged else seed
    for at, eta in linear_pieces(sample, target, effects_seed):
        extra = 0.0 if outcome.is_linear else averaged_variance(sample, target, at)
        yield (
            at,
            outcome.mean(eta, parameters_at(sample, target.rows, effects_seed, at), target.weight(at), extra),
        )


def response_pieces(
    sample: Sample, target: Target, outcome: Outcome, seed: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield responses drawn from the posterior predictive distribution, piece by piece."""
    rng = _stream(seed, RESIDUALS)
    for at, eta in linear_pieces(sample, target, seed):
        weight, trials = target.weight(at), target.n_trials(at)
        yield at, outcome.draw(eta, parameters_at(sample, target.rows, seed, at), weight, trials, rng)
