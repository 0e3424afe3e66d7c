"""The density of rows together under draws from a posterior, the effects of new levels integrated out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bayesmlm.crossprod import level_sums
from bayesmlm.integrals import POINTS, joint_integral, unit_log_density
from bayesmlm.left_out import CELLS, Draws, Rows, conditional_log_density, known_mean, row_log_density


def joint_log_density(rows: Rows, draws: Draws) -> np.ndarray:
    """Return the log density of all rows together, shape (S,), the effects of new levels integrated out.

    With V = sigma^2 W^-1 + Z_new Sigma Z_new', Sigma = R R' and Lambda = R / sigma, Woodbury's identity needs sums over
    the rows of each level only: log|V| = log|sigma^2 W^-1| + log|M| and r'V^-1 r = (r'W r - u'M^-1 u) / sigma^2, where
    M = I + Lambda'Z'WZ Lambda and u = Lambda'Z'W r. The factor with most effects has a block-diagonal part of M and is
    eliminated level by level; the effects of the other factors meet in a dense Schur complement.

    Of other families the effects of new levels are integrated out by quadrature where the rows have one block of one
    column with new levels, else by importance sampling; see `bayesmlm.integrals`.

    Raises
    ------
    DataError
        If there are more effects to integrate over than the latter can do.
    """
    if not rows.family.is_gaussian_identity:
        return _in_parts(draws, _general_cells(rows), lambda part: _general(rows, part))
    factors = _new_factors(rows)
    if not factors:
        return _in_parts(draws, len(rows), lambda part: row_log_density(rows, part).sum(axis=1))
    sums = _sums(rows, factors)
    cells = len(rows) + sums.first.levels * sums.first.width * (sums.first.width + sums.size + 1)
    return _in_parts(draws, cells + sums.size**2, lambda part: _joint(rows, sums, part))


def _general_cells(rows: Rows) -> int:
    effects = sum((int(b.new.max(initial=-1)) + 1) * b.Z.shape[1] for b in rows.blocks)
    return len(rows) * (POINTS if effects < 2 else effects + POINTS) + effects**2


def _general(rows: Rows, draws: Draws) -> np.ndarray:
    """Integrate over the effects of new levels, one number each where each level has one column."""
    eta = known_mean(rows, draws)

    def density(at: np.ndarray) -> np.ndarray:
        return conditional_log_density(rows, draws, at)

    new = [i for i, b in enumerate(rows.blocks) if (b.new >= 0).any()]
    if not new:
        return density(eta).sum(axis=1)
    block = rows.blocks[new[0]]
    if len(new) == 1 and block.Z.shape[1] == 1 and (block.new >= 0).all():
        slope = np.sqrt(draws.cov[new[0]][:, 0]) * block.Z[:, 0]
        return unit_log_density(density, eta, slope, block.new).sum(axis=1)
    return joint_integral(density, eta, _loadings(rows, draws, new))


def _loadings(rows: Rows, draws: Draws, new: Sequence[int]) -> np.ndarray:
    """Coefficients (S, n, d) of the standard normal effects of all new levels in the linear predictor."""
    parts = []
    for i in new:
        block = rows.blocks[i]
        value, vector = np.linalg.eigh(draws.cov[i])
        root = vector * np.sqrt(np.maximum(value, 0))[:, None, :]
        own = np.einsum("np,spq->snq", block.Z, root)
        levels = int(block.new.max()) + 1
        part = np.zeros((*own.shape[:2], levels, own.shape[2]))
        at = np.flatnonzero(block.new >= 0)
        part[:, at, block.new[at]] = own[:, at]
        parts.append(part.reshape(*own.shape[:2], -1))
    return np.concatenate(parts, axis=2)


def _in_parts(draws: Draws, cells: int, density: Callable[[Draws], np.ndarray]) -> np.ndarray:
    step = max(1, CELLS // max(1, cells))
    parts = [density(draws.take(slice(s, s + step))) for s in range(0, len(draws), step)]
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Factor:
    """New levels of one grouping factor: the blocks on it, side by side, and its rows sorted by level."""

    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    levels: int
    at: np.ndarray  # rows that have a new level, level by level
    level: np.ndarray  # of these rows
    Z: np.ndarray  # of these rows

    @property
    def width(self) -> int:
        return self.Z.shape[1]

    @property
    def size(self) -> int:
        return self.levels * self.width

    def root(self, draws: Draws) -> np.ndarray:
        """R / sigma of the blocks, (S, p, p): a symmetric root, which a singular Sigma has too."""
        out = np.zeros((len(draws), self.width, self.width))
        stop = np.cumsum(self.widths)
        for i, width, end in zip(self.blocks, self.widths, stop, strict=True):
            value, vector = np.linalg.eigh(draws.cov[i] / draws.sigma[:, None, None] ** 2)
            root = vector * np.sqrt(np.maximum(value, 0))[:, None, :]
            out[:, end - width : end, end - width : end] = root @ np.swapaxes(vector, 1, 2)
        return out

    def sums(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Z'W values of each level: (S, n) gives (S, levels, p)."""
        starts = np.searchsorted(self.level, np.arange(self.levels))
        weighted = values[:, self.at] * weights[self.at]
        return np.stack(
            [np.add.reduceat(weighted * self.Z[:, a], starts, axis=1) for a in range(self.width)], -1
        )


def _new_factors(rows: Rows) -> list[_Factor]:
    """Blocks with new levels, those on one grouping factor together, most effects first."""
    members: list[list[int]] = []
    for i, block in enumerate(rows.blocks):
        if (block.new >= 0).any():
            same = (m for m in members if np.array_equal(rows.blocks[m[0]].new, block.new))
            known = next(same, None)
            if known is None:
                members.append([i])
            else:
                known.append(i)
    factors = []
    for m in members:
        new = rows.blocks[m[0]].new
        at = np.argsort(new, kind="stable")[np.count_nonzero(new < 0) :]
        Z = np.hstack([rows.blocks[i].Z[at] for i in m])
        widths = tuple(rows.blocks[i].Z.shape[1] for i in m)
        factors.append(_Factor(tuple(m), widths, int(new.max()) + 1, at, new[at], Z))
    return sorted(factors, key=lambda f: -f.size)


@dataclass(frozen=True)
class _Sums:
    """Sums over rows: the factor that is eliminated, the others, and their products."""

    first: _Factor
    others: tuple[_Factor, ...]
    size: int  # effects of the others
    ff: np.ndarray  # (levels, p, p)
    fo: np.ndarray  # (levels, p, size)
    oo: np.ndarray  # (size, size)


def _sums(rows: Rows, factors: Sequence[_Factor]) -> _Sums:
    first, others = factors[0], tuple(factors[1:])
    size = sum(f.size for f in others)
    dense = np.zeros((len(rows), size))
    start = 0
    for f in others:
        for a in range(f.width):
            dense[f.at, start + f.level * f.width + a] = f.Z[:, a]
        start += f.size
    weighted = first.Z * rows.weights[first.at, None]
    return _Sums(
        first,
        others,
        size,
        level_sums(first.level, weighted, first.Z, first.levels),
        level_sums(first.level, weighted, dense[first.at], first.levels),
        dense.T @ (rows.weights[:, None] * dense),
    )


def _joint(rows: Rows, sums: _Sums, draws: Draws) -> np.ndarray:
    residual = rows.y - known_mean(rows, draws)
    total = (residual**2) @ rows.weights
    root = sums.first.root(draws)  # (S, p, p), symmetric
    M = np.eye(sums.first.width) + root[:, None] @ sums.ff @ root[:, None]
    u = (root[:, None] @ sums.first.sums(residual, rows.weights)[..., None])[..., 0]
    if sums.others:
        outer = _outer_roots(sums, draws)  # (S, size, size)
        right = root[:, None] @ sums.fo @ outer[:, None]
        solved = np.linalg.solve(M, np.concatenate([right, u[..., None]], axis=-1))
        schur = np.eye(sums.size) + outer @ sums.oo @ outer
        schur -= np.einsum("smpa,smpb->sab", right, solved[..., :-1], optimize=True)
        own = np.concatenate(
            [f.sums(residual, rows.weights).reshape(len(draws), -1) for f in sums.others], axis=1
        )
        v = (outer @ own[..., None])[..., 0]
        v -= np.einsum("smpa,smp->sa", right, solved[..., -1], optimize=True)
        total -= np.einsum("sa,sa->s", v, np.linalg.solve(schur, v[..., None])[..., 0])
        log_det = np.linalg.slogdet(schur)[1]
        inner = solved[..., -1]
    else:
        inner, log_det = np.linalg.solve(M, u[..., None])[..., 0], 0.0
    total -= np.einsum("smp,smp->s", u, inner)
    log_det = log_det + np.linalg.slogdet(M)[1].sum(axis=1)
    scale = len(rows) * np.log(2 * np.pi * draws.sigma**2) - np.log(rows.weights).sum()
    return -0.5 * (scale + log_det + total / draws.sigma**2)


def _outer_roots(sums: _Sums, draws: Draws) -> np.ndarray:
    out = np.zeros((len(draws), sums.size, sums.size))
    start = 0
    for f in sums.others:
        root = f.root(draws)
        for _ in range(f.levels):
            out[:, start : start + f.width, start : start + f.width] = root
            start += f.width
    return out
