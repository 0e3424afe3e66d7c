"""`ReweightedKernel`: weighted least squares with group effects, for weights that change from call to call."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bayesmlm.covariance import block_diag
from bayesmlm.crossprod import Basis, cross_products
from bayesmlm.design import Design
from bayesmlm.kernels.gaussian import GaussianKernel, compiled
from bayesmlm.kernels.sums import (
    AT_GRAD,
    AT_LAMBDA,
    AT_M0,
    AT_P0,
    AT_Q,
    CHAIN,
    COLUMN,
    EFFECTS,
    LEVELS,
    MEMORY,
    ROW,
    RR,
    START,
    TAIL,
    WIDTH,
)


class Solved(NamedTuple):
    """The solution of one penalised problem.

    Attributes
    ----------
    gamma : ndarray, shape (k,)
    b : ndarray, shape (q,)
        Group effects in elimination order.
    Zb : ndarray, shape (n,)
    logdet : float
        log|Lambda'Z'WZ Lambda + I|; NaN where the matrix is not positive definite.
    """

    gamma: np.ndarray
    b: np.ndarray
    Zb: np.ndarray
    logdet: float


class ReweightedKernel:
    """Solve (Lambda'Z'WZ Lambda + I) u = Lambda'Z'(v - WX gamma), b = Lambda u, X'(v - WX gamma - WZ b) = 0.

    It holds working memory: one per thread. Callers limit linear algebra to one thread (`threads.one_thread`).

    Parameters
    ----------
    design
        Its blocks count; response, offset and weights do not.
    X : ndarray, shape (n, k)
        Columns of gamma; k may be 0.
    bases : tuple of ndarray, shape (p, p)
        Z enters as Z T^-1 with the upper triangular T of each block.
    """

    def __init__(self, design: Design, X: np.ndarray, bases: tuple[np.ndarray, ...]):
        n, k = X.shape
        plain = replace(design, X=X, y=np.zeros(n), weights=None, offset=None)
        cp = cross_products(plain, Basis(np.zeros(k), np.eye(k), bases))
        self._compiled, self._marginal = compiled("weighted"), compiled("marginal")
        self._kernel = GaussianKernel(cp)
        self.X, self.k = np.ascontiguousarray(X), k
        layout = self._layout = self._kernel.sums.layout
        self._numbers = np.zeros(len(self._kernel.sums.numbers))
        self._memory = np.zeros(layout[MEMORY])
        self.size = int(layout[EFFECTS])
        members = [cp.factors[f].blocks for f in self._kernel.order]
        Z = [block.Z @ np.linalg.inv(t) for block, t in zip(design.blocks, bases, strict=True)]
        self.columns = np.ascontiguousarray(np.hstack([Z[i] for m in members for i in m]))
        indices = [design.blocks[m[0]].index for m in members]
        self.levels = np.ascontiguousarray(np.column_stack(indices).astype(np.int64))
        self._members = members
        self._shapes = [
            (self._of(f, ROW), self._of(f, LEVELS), self._of(f, WIDTH)) for f in range(len(members))
        ]
        self._entries = self._first_entries()
        self._rest = np.zeros(max(p for _, _, p in self._shapes) + 4)

    def _of(self, factor: int, what: int) -> int:
        return self._kernel.sums.of(factor, what)

    def _first_entries(self) -> np.ndarray:
        """Return, for each row, chain factor and tail factor, the entry of the level of one for the other's."""
        chain, n_tail = int(self._layout[CHAIN]), int(self._layout[TAIL])
        tail = range(chain, len(self._shapes))
        out = np.zeros((len(self.levels), chain, len(tail)), np.int64)
        first = self.size - n_tail
        for c in range(chain if n_tail else 0):
            levels = self._of(c, LEVELS)
            start = self._layout[self._of(c, START) :][: levels + 1]
            columns = self._layout[self._layout[COLUMN] + start[0] : self._layout[COLUMN] + start[-1]]
            known = np.repeat(np.arange(levels), np.diff(start)) * n_tail + columns
            for t in tail:
                row, _, width = self._shapes[t]
                wanted = self.levels[:, c] * n_tail + row - first + self.levels[:, t] * width
                out[:, c, t - chain] = np.searchsorted(known, wanted)
        return out

    def _weigh(self, lambdas: list[np.ndarray], w: np.ndarray, v: np.ndarray) -> None:
        self._compiled.weigh(
            self._layout, self.levels, self.columns, self._entries, self.X, w, v, self._numbers
        )
        flat, k, at = self._kernel.pack(lambdas), self.k, self._layout
        self._memory[at[AT_LAMBDA] : at[AT_LAMBDA] + len(flat)] = flat
        self._memory[at[AT_P0] : at[AT_P0] + k * k] = 0.0
        self._memory[at[AT_M0] : at[AT_M0] + k] = 0.0

    def solve(self, lambdas: list[np.ndarray], w: np.ndarray, v: np.ndarray) -> Solved:
        """Solve with weights w and right-hand side v, both (n,)."""
        gamma, b = np.empty(self.k), np.zeros(self.size)
        self._weigh(lambdas, w, v)
        logdet = self._compiled.solve(self._layout, self._numbers, self._memory, self._rest, gamma, b)
        return Solved(gamma, b, self.by_row(b), logdet)

    def curvature(
        self, lambdas: list[np.ndarray], w: np.ndarray
    ) -> tuple[float, list[np.ndarray], np.ndarray]:
        """Return log|C|, its derivative in Lambda by block, and the leverages z_i'K z_i."""
        self._weigh(lambdas, w, np.zeros(len(w)))
        at, r = self._layout, self.k + 1
        self._memory[at[AT_Q] : at[AT_Q] + r * r] = 0.0
        task = self._marginal.EFFECTS_GIVEN_Q
        found = self._marginal.marginal(at, self._numbers, self._memory, 1, 1.0, False, task)
        leverages = np.empty(len(w))
        self._compiled.leverages(at, self.levels, self.columns, self._entries, self._memory, leverages)
        slope = self._memory[at[AT_GRAD] : at[AT_GRAD] + self._kernel.n_lambda]
        return found[3], self._kernel.unpack(slope), leverages

    def logdet(self, lambdas: list[np.ndarray], w: np.ndarray) -> float:
        """Return log|C|."""
        return self.solve(lambdas, w, np.zeros(len(w))).logdet

    def reduced(self, lambdas: list[np.ndarray], w: np.ndarray) -> np.ndarray:
        """Return X'V^-1 X, V = W^-1 + Z Lambda Lambda'Z': the precision of gamma, shape (k, k)."""
        self.solve(lambdas, w, np.zeros(len(w)))
        r = self.k + 1
        return self._memory[self._layout[RR] :][: r * r].reshape(r, r)[: self.k, : self.k].copy()

    def effect_covariances(self, lambdas: list[np.ndarray], w: np.ndarray) -> list[np.ndarray]:
        """Return the diagonal blocks of K by block of the design, shape (J, p, p)."""
        self.curvature(lambdas, w)
        return self._kernel.covariances(self._memory)

    def by_row(self, b: np.ndarray) -> np.ndarray:
        """Return Z b, shape (n,), of group effects in elimination order."""
        out = np.empty(len(self.levels))
        self._compiled.by_row(self._layout, self.levels, self.columns, b, out)
        return out

    def by_effect(self, v: np.ndarray) -> np.ndarray:
        """Return Z'v in elimination order, shape (q,)."""
        out = np.empty(self.size)
        self._compiled.by_effect(self._layout, self.levels, self.columns, v, out)
        return out

    def times(self, lambdas: list[np.ndarray], effects: np.ndarray, transpose: bool = False) -> np.ndarray:
        """Return Lambda times, or Lambda' times, a vector in elimination order."""
        out = np.empty(self.size)
        for (row, levels, p), blocks in zip(self._shapes, self._members, strict=True):
            own, joint = slice(row, row + levels * p), block_diag([lambdas[i] for i in blocks])
            out[own] = (effects[own].reshape(levels, p) @ (joint if transpose else joint.T)).ravel()
        return out

    def outer(self, left: np.ndarray, right: np.ndarray) -> list[np.ndarray]:
        """Return sum over levels of left_j right_j' by block of the design, (p, p)."""
        found: dict[int, np.ndarray] = {}
        for (row, levels, p), blocks in zip(self._shapes, self._members, strict=True):
            own = slice(row, row + levels * p)
            product = left[own].reshape(levels, p).T @ right[own].reshape(levels, p)
            found |= dict(zip(blocks, self._diagonal(product, blocks), strict=True))
        return [found[i] for i in sorted(found)]

    def by_block(self, effects: np.ndarray) -> list[np.ndarray]:
        """Cut a vector in elimination order into (J, p) by block of the design."""
        found: dict[int, np.ndarray] = {}
        for f, ((row, levels, p), blocks) in enumerate(zip(self._shapes, self._members, strict=True)):
            matrix = effects[row : row + levels * p].reshape(levels, p)
            stops = np.cumsum(self._kernel.widths(f))
            found |= dict(zip(blocks, np.split(matrix, stops[:-1], axis=1), strict=True))
        return [found[i] for i in sorted(found)]

    def _diagonal(self, matrix: np.ndarray, blocks: tuple[int, ...]) -> list[np.ndarray]:
        f = self._members.index(blocks)
        stops = np.cumsum(self._kernel.widths(f))
        return [matrix[e - w : e, e - w : e] for w, e in zip(self._kernel.widths(f), stops, strict=True)]
