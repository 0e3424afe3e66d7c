"""B = Z'V^-1 Z, the group effects' cross products given the variances, without a matrix of the order of the rows.

With M = Lambda Lambda' and the first factor's V_0 = W^-1 + Z_0 M_0 Z_0',

    D = Z_0'V_0^-1 Z_0 = (I + A M_0)^-1 A, level by level, A = Z_0'WZ_0,
    E = Z_0'V_0^-1 Z_r = (I + A M_0)^-1 Z_0'WZ_r,    N = Z_r'V_0^-1 Z_r = Z_r'WZ_r - Z_r'WZ_0 M_0 E,

and the other factors, r, come in by V^-1 = V_0^-1 - V_0^-1 Z_r K Z_r'V_0^-1 with K = (I + M_r N)^-1 M_r:

    Z_0'V^-1 Z_0 = D - E K E',   Z_0'V^-1 Z_r = E C,   Z_r'V^-1 Z_r = N C,   C = (I + M_r N)^-1.

The first block, of order q_0, is never formed: it is block-diagonal plus a product of rank q_rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from bayesmlm.covariance import block_diag
from bayesmlm.crossprod import CrossProducts


@dataclass(frozen=True)
class GroupProducts:
    """B = Z'V^-1 Z in pieces; rows run over factors as in the cross products, levels, columns.

    Attributes
    ----------
    cp : CrossProducts
    own : ndarray, shape (J, p, p)
        D of each level of the first factor.
    reach : ndarray, shape (q_0, q_rest)
        E; no columns if there is one factor.
    middle : ndarray, shape (q_rest, q_rest)
        K.
    outer : ndarray, shape (q_0, q_rest)
        E C.
    inner : ndarray, shape (q_rest, q_rest)
        N C.
    """

    cp: CrossProducts
    own: np.ndarray
    reach: np.ndarray
    middle: np.ndarray
    outer: np.ndarray
    inner: np.ndarray

    def apply(self, right: np.ndarray) -> np.ndarray:
        """Return B right, for right of shape (q, c)."""
        first = self.cp.factors[0]
        top, rest = right[: first.size], right[first.size :]
        levels = self.own @ top.reshape(first.n_levels, first.width, -1)
        above = levels.reshape(top.shape) - self.reach @ (self.middle @ (self.reach.T @ top))
        return np.vstack([above + self.outer @ rest, self.outer.T @ top + self.inner @ rest])

    def diagonal_sum(self, f: int) -> np.ndarray:
        """Return the sum over levels of the diagonal blocks of factor f, shape (p, p)."""
        if f == 0:
            return self.own.sum(axis=0) - self._return.sum(axis=0)
        own = self._slice(f)
        J, p = self.cp.factors[f].n_levels, self.cp.factors[f].width
        return np.einsum("jajb->ab", self.inner[own, own].reshape(J, p, J, p))

    def moments(self, f: int, g: int) -> np.ndarray:
        """Return T_bcad = sum over levels j of f and l of g of (B_jl)_bc (B_jl)_ad, shape (p_f, p_g, p_f, p_g).

        tr(G_E V^-1 G_F V^-1) = sum_jl tr(E B_jl F B_jl') = sum E_ab F_cd T_bcad for G_E = Z_f (I x E) Z_f' and
        G_F = Z_g (I x F) Z_g'.
        """
        if f == g == 0:
            return self._first_moments()
        a, b = self.cp.factors[f], self.cp.factors[g]
        block = self.outer[:, self._slice(g)] if f == 0 else self.inner[self._slice(f), self._slice(g)]
        pairs = block.reshape(a.n_levels, a.width, b.n_levels, b.width).transpose(0, 2, 1, 3)
        flat = pairs.reshape(-1, a.width * b.width)
        return (flat.T @ flat).reshape(a.width, b.width, a.width, b.width)

    def _first_moments(self) -> np.ndarray:
        """The moments of D - E K E': those of D, of D with the diagonal blocks of E K E', and of E K E'."""
        D, F, p = self.own, self._return, self.own.shape[1]
        total = np.einsum("jbc,jad->bcad", D, D - F) - np.einsum("jbc,jad->bcad", F, D)
        columns = [self.reach[a::p] for a in range(p)]
        KM = np.array([[self.middle @ (x.T @ y) for y in columns] for x in columns])
        # sum_jl (e_jb'K e_lc)(e_ja'K e_ld) = tr(K M_cd K M_ab) with M_ab = sum_j e_ja e_jb'
        return total + np.einsum("cdij,abji->bcad", KM, KM, optimize=True)

    @cached_property
    def _return(self) -> np.ndarray:
        """The diagonal blocks of E K E', shape (J, p, p)."""
        shape = (*self.own.shape[:2], -1)
        if not self.reach.shape[1]:
            return np.zeros_like(self.own)
        left = (self.reach @ self.middle).reshape(shape)
        return left @ self.reach.reshape(shape).transpose(0, 2, 1)

    def _slice(self, f: int) -> slice:
        """Rows of factor f > 0 among those of all factors but the first."""
        sizes = [factor.size for factor in self.cp.factors]
        return slice(sum(sizes[1:f]), sum(sizes[1 : f + 1]))


def group_products(cp: CrossProducts, lambdas: list[np.ndarray]) -> GroupProducts:
    """Return B at one Lambda, given per block in the basis of the cross products."""
    M = [block_diag([lambdas[i] @ lambdas[i].T for i in f.blocks]) for f in cp.factors]
    first = cp.factors[0]
    shrink = np.linalg.inv(np.eye(first.width) + first.ZZ @ M[0])
    own = shrink @ first.ZZ
    if len(cp.factors) == 1:
        none = np.zeros((0, 0))
        return GroupProducts(cp, own, np.zeros((first.size, 0)), none, np.zeros((first.size, 0)), none)
    others = range(1, len(cp.factors))
    lead = sparse.hstack([cp.cross[0, f] for f in others], format="csr")
    reach = _diagonal(shrink) @ lead
    N = (_rest(cp) - lead.T @ (_diagonal(np.tile(M[0], (len(shrink), 1, 1))) @ reach)).toarray()
    M_rest = block_diag([np.kron(np.eye(cp.factors[f].n_levels), M[f]) for f in others])
    C = np.linalg.inv(np.eye(len(N)) + M_rest @ N)
    return GroupProducts(cp, own, reach.toarray(), C @ M_rest, reach @ C, N @ C)


def _rest(cp: CrossProducts) -> sparse.csr_array:
    """Return Z_r'WZ_r of all factors but the first."""
    others = range(1, len(cp.factors))
    rows = [
        [
            _diagonal(cp.factors[a].ZZ) if a == b else cp.cross[a, b] if a < b else cp.cross[b, a].T
            for b in others
        ]
        for a in others
    ]
    return sparse.csr_array(sparse.block_array(rows))


def _diagonal(blocks: np.ndarray) -> sparse.csr_array:
    """Return the sparse matrix with the given blocks, shape (J, p, p), along its diagonal."""
    J, p, _ = blocks.shape
    parts = (blocks, np.arange(J), np.arange(J + 1))
    return sparse.csr_array(sparse.bsr_array(parts, shape=(J * p, J * p)))
