"""`GaussianKernel`: the compiled marginal likelihood of one set of cross products, in terms of its blocks."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from bayesmlm.covariance import block_diag
from bayesmlm.crossprod import CrossProducts
from bayesmlm.kernels.sums import CHAIN, HD, LAM, LEVELS, ROW, RR, TAIL, TT, WIDTH, ordered_sums

PATIENCE = 1.5  # seconds after which a compilation is worth a word


def _compiled():
    """Import the compiled functions; the first time ever, they are compiled, and the user is told."""
    note = "bayesmlm: compiling its numerical kernels, once after an installation (about 10 seconds)"
    timer = threading.Timer(PATIENCE, print, (note,), {"file": sys.stderr, "flush": True})
    timer.start()
    try:
        from bayesmlm.kernels import marginal
    finally:
        timer.cancel()
    return marginal


@dataclass(frozen=True, eq=False)
class Eliminated:
    """Results of `marginal.eliminate` at one Lambda: see there.

    Attributes
    ----------
    lam : ndarray
        Lambda of each factor, flat, in elimination order.
    logdet : float
        log|V| + log|W|, NaN where a matrix is not positive definite.
    S : ndarray, shape (k + 1, k + 1)
        [X y]'V^-1 [X y].
    work, half, D : ndarray
        What `marginal.backward` needs.
    """

    lam: np.ndarray
    logdet: float
    S: np.ndarray
    work: np.ndarray
    half: np.ndarray
    D: np.ndarray


@dataclass(frozen=True, eq=False)
class Backward:
    """Results of `marginal.backward`, by block of the design, in the basis of the cross products.

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
        self._marginal = _compiled()
        self.sums, self.order = ordered_sums(cp)
        self.n, self.k = cp.n, cp.n_coefficients
        self._blocks = [cp.factors[f].blocks for f in self.order]
        self._widths = [cp.factors[f].widths for f in self.order]

    @cached_property
    def flat_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Precision and mean of a flat prior on the fixed effects."""
        return np.zeros((self.k, self.k)), np.zeros(self.k)

    def log_density(
        self,
        lambdas: list[np.ndarray],
        sigma: float,
        integrate: bool,
        prior: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[float, list[np.ndarray], float, float]:
        """Return the log-density, its derivative in Lambda per block and in sigma, and sigma.

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
        P0, m0 = self.flat_prior if prior is None else prior
        value, grad, slope, sigma = self._marginal.log_density(
            *self.sums, self.n, self.pack(lambdas), float(sigma), P0, m0, integrate
        )
        return value, self.unpack(grad), slope, sigma

    def eliminate(self, lambdas: list[np.ndarray]) -> Eliminated:
        """Eliminate the group effects at one Lambda."""
        lam, start = self.pack(lambdas), self.sums.table[-1, RR]
        logdet, work, half, D = self._marginal.eliminate(*self.sums, lam)
        S = work[start : start + (self.k + 1) ** 2].reshape(self.k + 1, self.k + 1)
        return Eliminated(lam, logdet, S, work, half, D)

    def backward(self, state: Eliminated, Q: np.ndarray | None = None) -> Backward:
        """Differentiate log|V| + tr(Q S), and find modes, scores and conditional variances of the group effects.

        Without Q only the latter are found; G is then empty.
        """
        table, links, _ = self.sums
        middle = np.zeros(state.S.shape) if Q is None else np.ascontiguousarray(Q, dtype=float)
        _, curve, B, scores, Kd, K = self._marginal.backward(
            table, links, state.lam, state.work, state.half, state.D, middle
        )
        factors, chain = range(len(self.order)), table[-1, CHAIN]
        modes, s = ([self._rows(x, f) for f in factors] for x in (B, scores))
        cov = [self._chain_cov(Kd, f) if f < chain else self._tail_cov(K, f) for f in factors]
        G = []
        if Q is not None:
            G = [
                self._square(curve, f) if f < chain else self._tail_curve(state, K, s[f], middle, f)
                for f in factors
            ]
        return Backward(
            self._by_block([g[None] for g in G], lambda g, own: g[0, own, own]),
            self._by_block(modes, lambda b, own: b[:, own]),
            self._by_block(s, lambda s, own: s[:, own]),
            self._by_block(cov, lambda c, own: c[:, own, own]),
        )

    def pack(self, lambdas: list[np.ndarray]) -> np.ndarray:
        """Return Lambda per block as one per factor, flat, in elimination order."""
        return np.concatenate([block_diag([lambdas[i] for i in blocks]).ravel() for blocks in self._blocks])

    def unpack(self, flat: np.ndarray) -> list[np.ndarray]:
        """Return a derivative in Lambda, laid out as `pack` does, per block."""
        per_factor = [self._square(flat, f)[None] for f in range(len(self.order))]
        return self._by_block(per_factor, lambda g, own: g[0, own, own])

    def _square(self, flat: np.ndarray, f: int) -> np.ndarray:
        start, p = self.sums.table[f, [LAM, WIDTH]]
        return flat[start : start + p * p].reshape(p, p)

    def _rows(self, matrix: np.ndarray, f: int) -> np.ndarray:
        start, p, stop = self.sums.table[f, ROW], self.sums.table[f, WIDTH], self._row_stop(f)
        return matrix[start:stop].reshape(-1, p, matrix.shape[1])

    def _row_stop(self, f: int) -> int:
        return self.sums.table[f, ROW] + self.sums.table[f, WIDTH] * self.sums.table[f, LEVELS]

    def _chain_cov(self, Kd: np.ndarray, f: int) -> np.ndarray:
        p, levels, start = self.sums.table[f, [WIDTH, LEVELS, HD]]
        return Kd[start : start + levels * p * p].reshape(levels, p, p)

    def _tail_rows(self, f: int) -> slice:
        first = self.sums.table[self.sums.table[-1, CHAIN], ROW]
        return slice(self.sums.table[f, ROW] - first, self._row_stop(f) - first)

    def _tail_cov(self, K: np.ndarray, f: int) -> np.ndarray:
        own, (p, levels) = self._tail_rows(f), self.sums.table[f, [WIDTH, LEVELS]]
        return np.einsum("jajb->jab", K[own, own].reshape(levels, p, levels, p))

    def _tail_curve(
        self, state: Eliminated, K: np.ndarray, scores: np.ndarray, Q: np.ndarray, f: int
    ) -> np.ndarray:
        """Return G of a tail factor, where Z_t'V^-1 Z_t = N - N K N."""
        n, at = self.sums.table[-1, [TAIL, TT]]
        N, own = state.work[at : at + n * n].reshape(n, n), self._tail_rows(f)
        levels, p, _ = scores.shape
        half = (N[own] @ K).reshape(levels, p, n)
        trace = np.einsum("jajb->ab", N[own, own].reshape(levels, p, levels, p))
        trace = trace - np.tensordot(half, N[own].reshape(levels, p, n), axes=([0, 2], [0, 2]))
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
