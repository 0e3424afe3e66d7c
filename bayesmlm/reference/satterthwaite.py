"""Satterthwaite's degrees of freedom for contrasts of the fixed effects.

Kuznetsova, Brockhoff & Christensen (2017, J. Stat. Softw. 82(13), section 2), after Giesbrecht & Burns (1985) and
Fai & Cornelius (1996). The variance v(phi) = L C(phi) L' of a contrast L beta-hat depends on the parameters
phi = (theta, sigma) through C = sigma^2 (X'V^-1 X)^-1. A chi-square of the same mean and variance has

    df = 2 v^2 / (g'A g),   g = dv / dphi,   A = 2 H^-1,

where H is the Hessian in phi of the deviance (or the REML criterion) with sigma a parameter of its own:

    d(theta, sigma) = m log(2 pi sigma^2) + log|V| + r'V^-1 r / sigma^2 (+ log|X'V^-1 X| for REML),  m = n or n - k.

First derivatives are exact; H is a difference of exact gradients in theta, and exact in sigma. Both v and d are even
functions of a column of Lambda that is zero, so its part of g vanishes: a variance estimated as zero counts as known.

Neither df nor its parts change if phi is replaced by a linear function of it. Ours is psi: column c of Lambda in the
basis of the cross products, T_c theta_c, where T_c are the columns c, c + 1, ... of T, in orthonormal coordinates of
the space that T_c spans; so the units and origins of the user's columns do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.covariance import block_diag, join_theta, lower_indices, split_theta
from bayesmlm.crossprod import CrossProducts, cross_products, orthogonal_basis
from bayesmlm.design import Design
from bayesmlm.reference.contrasts import FTest, TTest, f_test, positive_inverse, spectral, t_test
from bayesmlm.reference.deviance import Elimination, basis_lambdas, degrees, eliminate
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.gradient import marginal_gradient, scores

STEP = 3e-3  # of the differences, relative to psi, or to the psi at which groups tell as much as residuals do
STENCIL = (
    (-2, 1 / 12),
    (-1, -8 / 12),
    (1, 8 / 12),
    (2, -1 / 12),
)  # five points: the error is of order STEP^4
EQUAL = 1e-8  # degrees of freedom that agree to this are not combined but averaged


@dataclass(frozen=True)
class SatterthwaiteMoments:
    """What Satterthwaite's method needs to know of a fit, for any contrast.

    Attributes
    ----------
    beta : ndarray, shape (k,)
    vcov : ndarray, shape (k, k)
        C at the estimate.
    jacobian : ndarray, shape (m, k, k)
        dC / dphi for the m parameters phi = (psi, sigma), in the order of theta.
    spread : ndarray, shape (m, m)
        A, the asymptotic covariance of phi-hat.
    """

    beta: np.ndarray
    vcov: np.ndarray
    jacobian: np.ndarray
    spread: np.ndarray


def satterthwaite_moments(design: Design, estimate: LmerEstimate) -> SatterthwaiteMoments:
    """Return C, its derivatives, and the covariance of the variance parameters of a fit.

    Parameters
    ----------
    design, estimate
        A fit; by ML or REML, whose criterion then gives the Hessian.
    """
    cp = cross_products(design, orthogonal_basis(design))
    axes = theta_axes(cp)
    jacobian = _vcov_jacobian(cp, axes, estimate.theta, estimate.sigma)
    spread = 2.0 * positive_inverse(_hessian(cp, axes, estimate))
    return SatterthwaiteMoments(estimate.beta, estimate.vcov, jacobian, spread)


def theta_axes(cp: CrossProducts) -> np.ndarray:
    """Return dtheta / dpsi, shape (m, m): block-diagonal, R^-1 of T_c = QR for each column of each Lambda."""
    return block_diag(
        [np.linalg.inv(np.linalg.qr(T[:, c:], mode="r")) for T in cp.basis.z for c in range(len(T))]
    )


def satterthwaite_contrast(moments: SatterthwaiteMoments, L: np.ndarray) -> TTest:
    """Test L beta = 0 for one row vector L, shape (k,)."""
    L = np.asarray(L, float)
    variance = float(L @ moments.vcov @ L)
    return t_test(float(L @ moments.beta), variance, _df(moments, L, variance))


def satterthwaite_joint(moments: SatterthwaiteMoments, L: np.ndarray) -> FTest:
    """Test L beta = 0 for the rows of L, shape (r, k), jointly.

    F = (L beta-hat)'(L C L')^-1 L beta-hat / q, q the rank of L C L'. The eigenvectors of L C L' turn it into a mean
    of q squared t statistics with nu_i degrees of freedom each; F has those whose mean, df / (df - 2), is that of
    the average of the F(1, nu_i): 2 E / (E - q), E = sum nu_i / (nu_i - 2); 2 if some nu_i is 2 or less
    (Fai & Cornelius 1996, J. Stat. Comput. Simul. 54:363).
    """
    L = np.atleast_2d(np.asarray(L, float))
    values, vectors = spectral(L @ moments.vcov @ L.T)
    rows = vectors.T @ L
    nu = np.array([_df(moments, row, v) for row, v in zip(rows, values, strict=True)])
    statistic = float(np.mean((rows @ moments.beta) ** 2 / values)) if len(values) else np.nan
    return f_test(statistic, len(values), _combine(nu))


def _df(moments: SatterthwaiteMoments, L: np.ndarray, variance: float) -> float:
    gradient = np.einsum("a,mab,b->m", L, moments.jacobian, L)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(2.0 * np.square(variance) / (gradient @ moments.spread @ gradient))


def _combine(nu: np.ndarray) -> float:
    if not len(nu):
        return np.nan
    if np.all(np.abs(np.diff(nu)) < EQUAL):
        return float(nu.mean())
    if np.any(nu <= 2.0):
        return 2.0
    E = float(np.sum(nu / (nu - 2.0)))
    return 2.0 * E / (E - len(nu))


def _vcov_jacobian(cp: CrossProducts, axes: np.ndarray, theta: np.ndarray, sigma: float) -> np.ndarray:
    """Return dC / d(psi, sigma): for psi, C X'V^-1 (dV) V^-1 X C / sigma^2 with dV = Z d(Lambda Lambda') Z'."""
    k, lambdas = cp.n_coefficients, basis_lambdas(cp, theta)
    state = eliminate(cp, lambdas)
    inverse = np.linalg.inv(cp.basis.x)
    half = np.linalg.solve(state.reduced[:k, :k], inverse.T)  # (X'V^-1 X)^-1 in the basis, R^-1' to the right
    in_theta = []
    for T, lam, score in zip(cp.basis.z, lambdas, scores(state), strict=True):
        s = score[:, :, :k]
        moments = np.tensordot(s, s, axes=(0, 0)).transpose(0, 2, 1, 3)  # (p, p, k, k): sum_j s_ja' s_jb
        for r, c in zip(*lower_indices(len(T)), strict=True):
            change = np.outer(T[:, r], lam[:, c])
            middle = np.tensordot(change + change.T, moments, axes=((0, 1), (0, 1)))
            in_theta.append(sigma**2 * half.T @ middle @ half)
    in_psi = np.tensordot(axes.T, np.array(in_theta), axes=1)
    return np.concatenate([in_psi, 2.0 * sigma * (inverse @ half)[None]])


def _hessian(cp: CrossProducts, axes: np.ndarray, estimate: LmerEstimate) -> np.ndarray:
    """Return the Hessian of d(psi, sigma), shape (m, m), sigma last."""
    theta, sigma, reml = estimate.theta, estimate.sigma, estimate.reml
    m, state = len(theta), eliminate(cp, basis_lambdas(cp, theta))
    H = np.empty((m + 1, m + 1))
    sizes = np.maximum(np.abs(np.linalg.solve(axes, theta)), _telling(cp))
    for i, h in enumerate(STEP * sizes):
        points = [(weight / h, theta + move * h * axes[:, i]) for move, weight in STENCIL]
        H[i, :m] = sum(weight * _gradient(cp, at, sigma, reml) for weight, at in points) @ axes
    H[:m, :m] = (H[:m, :m] + H[:m, :m].T) / 2
    H[:m, m] = H[m, :m] = -2.0 / sigma**3 * _pwrss_gradient(cp, state, theta) @ axes
    H[m, m] = 6.0 * state.pwrss / sigma**4 - 2.0 * degrees(cp, reml) / sigma**2
    return H


def _telling(cp: CrossProducts) -> np.ndarray:
    """The psi for which the effects of a level vary as much as its rows can tell: 1 / sqrt(rows per level)."""
    levels = {i: f.n_levels for f in cp.factors for i in f.blocks}
    return join_theta([np.full_like(T, np.sqrt(levels[i] / cp.n)) for i, T in enumerate(cp.basis.z)])


def _gradient(cp: CrossProducts, theta: np.ndarray, sigma: float, reml: bool) -> np.ndarray:
    """Return the derivative of d(theta, sigma) in theta."""
    state, k = eliminate(cp, basis_lambdas(cp, theta)), cp.n_coefficients
    e = np.append(-state.gamma, 1.0)
    middle = np.outer(e, e) / sigma**2
    if reml:
        middle[:k, :k] += np.linalg.inv(state.reduced[:k, :k])
    return _in_theta(cp, theta, marginal_gradient(state, middle))


def _pwrss_gradient(cp: CrossProducts, state: Elimination, theta: np.ndarray) -> np.ndarray:
    """Return the derivative of r'V^-1 r in theta."""
    residual = [s @ np.append(-state.gamma, 1.0) for s in scores(state)]  # Z_j'V^-1 r, (J, p)
    return _in_theta(cp, theta, [-r.T @ r for r in residual])


def _in_theta(cp: CrossProducts, theta: np.ndarray, G: list[np.ndarray]) -> np.ndarray:
    """Turn derivatives in Lambda Lambda', in the basis, into those in theta, in the user's columns."""
    lambdas = split_theta(theta, [len(T) for T in cp.basis.z])
    parts = zip(cp.basis.z, G, lambdas, strict=True)
    return join_theta([2.0 * T.T @ g @ T @ lam for T, g, lam in parts])
