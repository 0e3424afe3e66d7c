"""`GaussianKernel`: the compiled marginal likelihood of one set of cross products, in terms of its blocks."""

from __future__ import annotations

import importlib
import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from weakref import WeakKeyDictionary

import numpy as np

from bayesmlm.covariance import block_diag
from bayesmlm.crossprod import CrossProducts
from bayesmlm.kernels.sums import (
    AT_B,
    AT_CURVE,
    AT_GRAD,
    AT_K,
    AT_KD,
    AT_LAMBDA,
    AT_M0,
    AT_P0,
    AT_Q,
    AT_SCORES,
    CHAIN,
    EFFECTS,
    HD,
    LAM,
    LEVELS,
    MEMORY,
    ROW,
    RR,
    TAIL,
    THETA,
    TT,
    WIDTH,
    R,
    ordered_sums,
)
from bayesmlm.kernels.threads import one_thread
from bayesmlm.progress import is_quiet

PATIENCE = 2.5  # seconds after which a compilation is worth a word


@cache
def _announce() -> None:
    """Say, once in a process, why there is nothing yet."""
    note = "bayesmlm: compiling its numerical kernels, once after an installation (about 10 seconds)"
    print(note, file=sys.stderr, flush=True)


@cache
def compiled(name: str) -> ModuleType:
    """Import a module of compiled functions; the first time ever, they are compiled, and the user is told."""
    timer = threading.Timer(PATIENCE, _announce)
    if not is_quiet():
        timer.start()
    try:
        return importlib.import_module(f"bayesmlm.kernels.{name}")
    finally:
        timer.cancel()


@dataclass(frozen=True, eq=False)
class Eliminated:
    """The normal equations at one Lambda without the group effects.

    Attributes
    ----------
    lambdas : list of ndarray, shape (p, p)
        Lambda of each block.
    logdet : float
        log|V| + log|W|, NaN where a matrix is not positive definite.
    S : ndarray, shape (k + 1, k + 1)
        [X y]'V^-1 [X y].
    """

    lambdas: list[np.ndarray]
    logdet: float
    S: np.ndarray


@dataclass(frozen=True, eq=False)
class Effects:
    """What the data say of the group effects at one Lambda, by block of the design, in the basis.

    Attributes
    ----------
    G : list of ndarray, shape (p, p)
        Without Q an empty list; else the derivative of log|V| + tr(Q S) in Lambda Lambda'.
    B : list of ndarray, shape (J, p, k + 1)
        B (-gamma, 1)' are the conditional modes of the group effects.
    scores : list of ndarray, shape (J, p, k + 1)
        Z_j'V^-1 [X y].
    K : list of ndarray, shape (J, p, p)
        Var(b_j | y, beta) / sigma^2.
    """

    G: list[np.ndarray]
    B: list[np.ndarray]
    scores: list[np.ndarray]
    K: list[np.ndarray]


class GaussianKernel:
    """Marginal likelihood of (Lambda, sigma) for one `CrossProducts`.

    Lambda is given per block of the design, (p, p), in the basis of the cross products; it need not be triangular.

    Parameters
    ----------
    cp
        The cross products.
    """

    def __init__(self, cp: CrossProducts):
        self._marginal = compiled("marginal")
        self.sums, self.order = ordered_sums(cp)
        self.n, self.k = cp.n, cp.n_coefficients
        self._blocks = [cp.factors[f].blocks for f in self.order]
        self._widths = [cp.factors[f].widths for f in self.order]
        self.n_lambda = int(self.sums.layout[THETA])

    def _call(
        self,
        lambdas: list[np.ndarray],
        sigma: float,
        integrate: bool,
        task: int,
        prior: tuple[np.ndarray, np.ndarray] | None = None,
        Q: np.ndarray | None = None,
    ) -> tuple[tuple[float, float, float, float], np.ndarray]:
        """Return the results of `marginal.marginal` and the memory it has filled."""
        k, memory = self.k, np.empty(self.sums.layout[MEMORY])
        P0, m0, middle = (
            self._part(memory, x, size) for x, size in ((AT_P0, k * k), (AT_M0, k), (AT_Q, (k + 1) ** 2))
        )
        P0[:], m0[:] = (0.0, 0.0) if prior is None else (np.ravel(prior[0]), prior[1])
        middle[:] = 0.0 if Q is None else np.ravel(Q)
        self._part(memory, AT_LAMBDA, self.n_lambda)[:] = self.pack(lambdas)
        # Only a tail needs LAPACK.
        with one_thread() if self.sums.layout[TAIL] else nullcontext():
            found = self._marginal.marginal(*self.sums, memory, self.n, float(sigma), integrate, task)
        return found, memory

    def _part(self, memory: np.ndarray, name: int, size: int) -> np.ndarray:
        start = self.sums.layout[name]
        return memory[start : start + size]

    def log_density(
        self,
        lambdas: list[np.ndarray],
        sigma: float,
        integrate: bool,
        prior: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[float, list[np.ndarray], float, float]:
        """Return the log-density, its derivative in Lambda per block and in sigma, and sigma.

        Where it does not exist the density is NaN and the derivatives mean nothing.

        Parameters
        ----------
        lambdas
            Lambda of each block.
        sigma
            Residual standard deviation, or 0 for its maximum given Lambda (flat prior only).
        integrate
            Whether the fixed effects are integrated out (REML, posterior) rather than maximised over (ML).
        prior
            Precision (k, k) and mean (k,) of the normal prior on the fixed effects; flat if None.
        """
        (value, slope, sigma, _), memory = self._call(
            lambdas, sigma, integrate, self._marginal.GRADIENT, prior
        )
        grad = self._part(memory, AT_GRAD, self.n_lambda)
        return value, self.unpack(grad if np.isfinite(value) else np.zeros_like(grad)), slope, sigma

    def eliminate(self, lambdas: list[np.ndarray]) -> Eliminated:
        """Eliminate the group effects at one Lambda."""
        found, memory = self._call(lambdas, 1.0, False, self._marginal.VALUE)
        start, r = self.sums.layout[RR], self.k + 1
        return Eliminated(lambdas, found[3], memory[start : start + r * r].reshape(r, r).copy())

    def effects(self, lambdas: list[np.ndarray], Q: np.ndarray | None = None) -> Effects:
        """Find modes, scores and conditional variances of the group effects, and differentiate log|V| + tr(Q S).

        Without Q there is no derivative; G is then empty.
        """
        _, memory = self._call(lambdas, 1.0, False, self._marginal.EFFECTS_GIVEN_Q, Q=Q)
        n_effects, chain, n_tail, r = self.sums.layout[[EFFECTS, CHAIN, TAIL, R]]
        B, scores = (self._part(memory, x, n_effects * r).reshape(-1, r) for x in (AT_B, AT_SCORES))
        K = self._part(memory, AT_K, n_tail**2).reshape(n_tail, n_tail)
        N = memory[self.sums.layout[TT] :][: n_tail**2].reshape(n_tail, n_tail)
        curve, middle = (
            self._part(memory, AT_CURVE, self.n_lambda),
            self._part(memory, AT_Q, r * r).reshape(r, r),
        )
        factors = range(len(self.order))
        modes, s = ([self._rows(x, f) for f in factors] for x in (B, scores))
        G = []
        if Q is not None:
            G = [
                self._square(curve, f) if f < chain else self._tail_curve(N, K, s[f], middle, f)
                for f in factors
            ]
        return Effects(
            self._by_block([g[None] for g in G], lambda g, own: g[0, own, own]),
            self._by_block(modes, lambda b, own: b[:, own]),
            self._by_block(s, lambda s, own: s[:, own]),
            self.covariances(memory),
        )

    def covariances(self, memory: np.ndarray) -> list[np.ndarray]:
        """Return K_jj by block of the design, (J, p, p), from the memory that EFFECTS_GIVEN_Q has filled."""
        chain, n_tail = self.sums.layout[[CHAIN, TAIL]]
        K = self._part(memory, AT_K, n_tail**2).reshape(n_tail, n_tail)
        factors = range(len(self.order))
        cov = [self._chain_cov(memory, f) if f < chain else self._tail_cov(K, f) for f in factors]
        return self._by_block(cov, lambda c, own: c[:, own, own])

    def widths(self, factor: int) -> tuple[int, ...]:
        """Return the number of columns of each block on one factor, in elimination order."""
        return self._widths[factor]

    def pack(self, lambdas: list[np.ndarray]) -> np.ndarray:
        """Return Lambda per block as one per factor, flat, in elimination order."""
        return np.concatenate([block_diag([lambdas[i] for i in blocks]).ravel() for blocks in self._blocks])

    def unpack(self, flat: np.ndarray) -> list[np.ndarray]:
        """Return a derivative in Lambda, laid out as `pack` does, per block."""
        per_factor = [self._square(flat, f)[None] for f in range(len(self.order))]
        return self._by_block(per_factor, lambda g, own: g[0, own, own])

    def _square(self, flat: np.ndarray, f: int) -> np.ndarray:
        start, p = self.sums.of(f, LAM), self.sums.of(f, WIDTH)
        return flat[start : start + p * p].reshape(p, p)

    def _rows(self, matrix: np.ndarray, f: int) -> np.ndarray:
        start, p, levels = (self.sums.of(f, x) for x in (ROW, WIDTH, LEVELS))
        return matrix[start : start + levels * p].reshape(levels, p, -1)

    def _chain_cov(self, memory: np.ndarray, f: int) -> np.ndarray:
        p, levels, start = (self.sums.of(f, x) for x in (WIDTH, LEVELS, HD))
        return self._part(memory, AT_KD, start + levels * p * p)[start:].reshape(levels, p, p)

    def _tail_rows(self, f: int) -> slice:
        first = self.sums.layout[EFFECTS] - self.sums.layout[TAIL]
        start = self.sums.of(f, ROW) - first
        return slice(start, start + self.sums.of(f, LEVELS) * self.sums.of(f, WIDTH))

    def _tail_cov(self, K: np.ndarray, f: int) -> np.ndarray:
        own, p, levels = self._tail_rows(f), self.sums.of(f, WIDTH), self.sums.of(f, LEVELS)
        return np.einsum("jajb->jab", K[own, own].reshape(levels, p, levels, p))

    def _tail_curve(
        self, N: np.ndarray, K: np.ndarray, scores: np.ndarray, Q: np.ndarray, f: int
    ) -> np.ndarray:
        """Return G of a tail factor, where Z_t'V^-1 Z_t = N - N K N."""
        own, (levels, p, _) = self._tail_rows(f), scores.shape
        half, side = (N[own] @ K).reshape(levels, p, len(N)), N[own].reshape(levels, p, len(N))
        trace = np.einsum("jajb->ab", N[own, own].reshape(levels, p, levels, p))
        trace = trace - np.tensordot(half, side, axes=([0, 2], [0, 2]))
        return trace - np.tensordot(scores @ Q, scores, axes=([0, 2], [0, 2]))

    def _by_block(self, per_factor: list[np.ndarray], part) -> list[np.ndarray]:
        """Cut what is given per factor into one per block, in the design's order."""
        found: dict[int, np.ndarray] = {}
        for values, blocks, widths in zip(per_factor, self._blocks, self._widths, strict=False):
            for i, width, stop in zip(blocks, widths, np.cumsum(widths), strict=True):
                found[i] = part(values, slice(stop - width, stop))
        return [found[i] for i in sorted(found)]


_KERNELS: WeakKeyDictionary[CrossProducts, GaussianKernel] = WeakKeyDictionary()


def gaussian_kernel(cp: CrossProducts) -> GaussianKernel:
    """Return the kernel of these cross products, laid out once."""
    if cp not in _KERNELS:
        _KERNELS[cp] = GaussianKernel(cp)
    return _KERNELS[cp]
