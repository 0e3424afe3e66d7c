"""Conditional covariance of the group effects given the data and all parameters, lme4's ``condVar``."""

from __future__ import annotations

import numpy as np

from bayesmlm.covariance import split_theta
from bayesmlm.crossprod import CrossProducts
from bayesmlm.reference.deviance import Elimination, basis_lambdas, eliminate
from bayesmlm.reference.levelwise import per_level

CHUNK = 2_000_000  # entries of the largest dense piece of F


def conditional_variances(cp: CrossProducts, theta: np.ndarray) -> list[np.ndarray]:
    """Return Var(b_j | y, theta, sigma, beta) / sigma^2 of each block and level, in the user's columns.

    Lambda (Lambda'Z'WZ Lambda + I)^-1 Lambda' (Bates et al. 2015, J. Stat. Softw. 67(1), eq. 58), its diagonal
    blocks of shape (J, p, p). With several factors the inverse is that of the whole matrix.

    Parameters
    ----------
    cp
        Cross products in any basis.
    theta
        Relative covariance parameters in the user's columns.
    """
    state = eliminate(cp, basis_lambdas(cp, theta))
    lambdas = split_theta(np.asarray(theta, float), map(len, cp.basis.z))
    found: dict[int, np.ndarray] = {}
    for factor, cov in zip(cp.factors, _spherical(state), strict=True):
        for i, width, stop in zip(factor.blocks, factor.widths, np.cumsum(factor.widths), strict=True):
            own = slice(stop - width, stop)
            found[i] = lambdas[i] @ cov[:, own, own] @ lambdas[i].T
    return [found[i] for i in sorted(found)]


def _spherical(state: Elimination) -> list[np.ndarray]:
    """Return Var(u_j | y) / sigma^2 of each factor, shape (J, p, p): blocks of (Lambda'Z'WZ Lambda + I)^-1.

    For the first factor, with F_j = L_j^-1 Lambda_0'Z_0j'WZ_r Lambda_r and S the Schur complement of the rest,
    the block is L_j^-T (I + F_j S^-1 F_j') L_j^-1.
    """
    cp, first = state.cp, state.cp.factors[0]
    inner = np.broadcast_to(np.eye(first.width), first.ZZ.shape).copy()
    found = []
    if len(cp.factors) > 1:
        half = np.linalg.inv(state.schur)
        S_inverse = half.T @ half
        wide = per_level(list(state.factors[1:]), [f.n_levels for f in cp.factors[1:]], half.T)
        inner += _squares(state, wide)
        start = 0
        for f in cp.factors[1:]:
            own = slice(start, start + f.size)
            squares = S_inverse[own, own].reshape(f.n_levels, f.width, f.n_levels, f.width)
            found.append(np.einsum("jajb->jab", squares))
            start += f.size
    return [state.inverse.transpose(0, 2, 1) @ inner @ state.inverse, *found]


def _squares(state: Elimination, wide: np.ndarray) -> np.ndarray:
    """Return F_j S^-1 F_j' of each level, where cross @ wide = F S^-1/2; a few levels at a time."""
    first = state.cp.factors[0]
    p, out = first.width, np.empty(first.ZZ.shape)
    step = max(1, CHUNK // (p * len(wide)))
    for j in range(0, first.n_levels, step):
        piece = (state.cross[j * p : (j + step) * p] @ wide).reshape(-1, p, len(wide))
        out[j : j + step] = piece @ piece.transpose(0, 2, 1)
    return out
