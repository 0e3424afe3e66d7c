"""The profiled ML deviance and REML criterion of a linear mixed model, from `CrossProducts` alone.

Bates, Maechler, Bolker & Walker (2015, J. Stat. Softw. 67(1)): with b = Lambda u and theta given, the penalised
least-squares problem (their eq. 14)

    r^2(theta, beta, u) = |W^(1/2) (y - X beta - Z Lambda u)|^2 + |u|^2

has the normal equations (eq. 17 and 18)

    [ L       0   ] [ L'  R_ZX ] [ u    ]   [ Lambda'Z'W y ]
    [ R_ZX'  R_X' ] [ 0   R_X  ] [ beta ] = [ X'W y        ].

Elimination goes from left to right. The first factor is block-diagonal, p x p per level, and goes by batched
Cholesky; the others follow as one dense Schur complement of order q_rest; the fixed effects come last. The cost does
not depend on the number of rows. An evaluation is O(J p^2 (p + k)) for one factor, plus O(q_rest^3) for the others.

Lambda is block-diagonal and not stored: `lambdas` holds one p x p matrix per block of the design, in the basis of
the cross products. It need not be triangular: the criterion depends on Lambda Lambda' alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from bayesmlm.covariance import split_theta
from bayesmlm.crossprod import CrossProducts
from bayesmlm.reference.levelwise import block_diag, gram, multiply, per_level


@dataclass(frozen=True)
class Elimination:
    """The normal equations at one Lambda with u eliminated, in the basis of the cross products.

    V = W^-1 + Z Lambda Lambda'Z' is the covariance of y over sigma^2, and V_0 is that of the first factor alone.

    Attributes
    ----------
    cp : CrossProducts
    factors : tuple of ndarray, shape (p, p)
        Lambda of each factor.
    inverse : ndarray, shape (J, p, p)
        L_j^-1 of the first factor, where L_j L_j' = Lambda'A_j Lambda + I and A_j = Z_j'WZ_j.
    half : ndarray, shape (J, p, p)
        H_j = L_j^-1 Lambda', so that H_j'H_j = P_j = Lambda (Lambda'A_j Lambda + I)^-1 Lambda'.
    lead : ndarray, shape (q_0, k + 1)
        H_j Z_j'W[X y] of the first factor.
    cross : ndarray or csr_array, shape (q_0, q_rest)
        H_j Z_j'W Z_rest; no columns if there is one factor.
    schur : ndarray, shape (q_rest, q_rest)
        Lower Cholesky factor of I + Lambda'N Lambda, N = Z_rest'V_0^-1 Z_rest.
    rest : ndarray, shape (q_rest, k + 1)
        What `lead` is, for the other factors.
    logdet_L : float
        log|L|^2 = log|Lambda'Z'WZ Lambda + I|.
    reduced : ndarray, shape (k + 1, k + 1)
        [X y]'V^-1 [X y].
    gamma : ndarray, shape (k,)
        Generalised least-squares coefficients.
    pwrss : float
        Penalised weighted residual sum of squares, eq. 14, at its minimum over u and beta (eq. 19).
    """

    cp: CrossProducts
    factors: tuple[np.ndarray, ...]
    inverse: np.ndarray
    half: np.ndarray
    lead: np.ndarray
    cross: np.ndarray | csr_array
    schur: np.ndarray
    rest: np.ndarray
    logdet_L: float
    reduced: np.ndarray
    gamma: np.ndarray
    pwrss: float

    @property
    def logdet_RX(self) -> float:
        """log|R_X|^2 = log|X'V^-1 X|, on the scale of the columns of X as given."""
        k = self.cp.n_coefficients
        own = np.linalg.slogdet(self.reduced[:k, :k])[1]
        return float(own + 2.0 * np.log(np.abs(np.diag(self.cp.basis.x))).sum())

    def criterion(self, reml: bool) -> float:
        """Return the profiled deviance (eq. 34) or the profiled REML criterion (eq. 41)."""
        m = degrees(self.cp, reml)
        logdet = self.logdet_L + (self.logdet_RX if reml else 0.0) - self.cp.log_weights
        with np.errstate(divide="ignore", invalid="ignore"):
            return logdet + m * (1.0 + float(np.log(2.0 * np.pi * self.pwrss / m)))


@dataclass(frozen=True)
class Profile:
    """Everything that theta determines, in the user's columns.

    Attributes
    ----------
    criterion : float
        ML deviance or REML criterion.
    logdet_L, logdet_RX, pwrss : float
        Its parts: log|L|^2, log|R_X|^2 and the penalised residual sum of squares.
    sigma : float
        sqrt(pwrss / n), or sqrt(pwrss / (n - k)) for REML (eq. 33 and 40).
    beta : ndarray, shape (k,)
    unscaled_vcov : ndarray, shape (k, k)
        (R_X'R_X)^-1; times sigma^2 it is the covariance of beta (eq. 54).
    u, b : tuple of ndarray, shape (J, p)
        Spherical effects and group effects b = Lambda u, by block of the design.
    """

    criterion: float
    logdet_L: float
    logdet_RX: float
    pwrss: float
    sigma: float
    beta: np.ndarray
    unscaled_vcov: np.ndarray
    u: tuple[np.ndarray, ...]
    b: tuple[np.ndarray, ...]


def degrees(cp: CrossProducts, reml: bool) -> int:
    """Return the divisor of pwrss: n, or n - k for REML."""
    return cp.n - cp.n_coefficients if reml else cp.n


def basis_lambdas(cp: CrossProducts, theta: np.ndarray) -> list[np.ndarray]:
    """Return T Lambda(theta) of each block: theta is in the user's columns, the result in the basis."""
    T = cp.basis.z
    return [t @ lam for t, lam in zip(T, split_theta(np.asarray(theta, float), map(len, T)), strict=True)]


def eliminate(cp: CrossProducts, lambdas: list[np.ndarray]) -> Elimination:
    """Eliminate the group effects at one Lambda, given per block in the basis of the cross products."""
    factors = tuple(block_diag([lambdas[i] for i in f.blocks]) for f in cp.factors)
    first, lam = cp.factors[0], factors[0]
    L = np.linalg.cholesky(lam.T @ first.ZZ @ lam + np.eye(first.width))
    inverse = np.linalg.inv(L)
    half = inverse @ lam.T
    lead = (half @ first.ZXy).reshape(first.size, -1)
    logdet = 2.0 * np.log(np.diagonal(L, axis1=1, axis2=2)).sum()
    cross, schur, rest = _eliminate_rest(cp, factors, half, lead)
    logdet += 2.0 * np.log(np.diag(schur)).sum()
    reduced = cp.gram - lead.T @ lead - rest.T @ rest
    k = cp.n_coefficients
    gamma = np.linalg.solve(reduced[:k, :k], reduced[:k, k])
    pwrss = float(reduced[k, k] - reduced[:k, k] @ gamma)
    return Elimination(
        cp, factors, inverse, half, lead, cross, schur, rest, float(logdet), reduced, gamma, pwrss
    )


def _eliminate_rest(
    cp: CrossProducts, factors: tuple[np.ndarray, ...], half: np.ndarray, lead: np.ndarray
) -> tuple[np.ndarray | csr_array, np.ndarray, np.ndarray]:
    """Return `cross`, `schur` and `rest` of `Elimination`: the Schur complement of the other factors."""
    if len(cp.factors) == 1:
        return np.zeros((len(lead), 0)), np.zeros((0, 0)), np.zeros((0, lead.shape[1]))
    cross = multiply(half, cp.lead)
    one_side = lambda_transpose(cp, factors, cp.rest - gram(cross))
    inner = lambda_transpose(cp, factors, one_side.T)
    schur = np.linalg.cholesky(inner + np.eye(len(inner)))
    right = lambda_transpose(cp, factors, stack_rest(cp) - cross.T @ lead)
    return cross, schur, np.linalg.solve(schur, right)


def stack_rest(cp: CrossProducts) -> np.ndarray:
    """Return Z_rest'W[X y], shape (q_rest, k + 1)."""
    return np.vstack([f.ZXy.reshape(f.size, -1) for f in cp.factors[1:]])


def lambda_transpose(cp: CrossProducts, factors: tuple[np.ndarray, ...], right: np.ndarray) -> np.ndarray:
    """Return Lambda'right for the rows of all factors but the first."""
    return per_level([lam.T for lam in factors[1:]], [f.n_levels for f in cp.factors[1:]], right)


def criterion(cp: CrossProducts, theta: np.ndarray, reml: bool) -> float:
    """Return the ML deviance or the REML criterion at theta (in the user's columns, lme4's order)."""
    return eliminate(cp, basis_lambdas(cp, theta)).criterion(reml)


def profile(cp: CrossProducts, theta: np.ndarray, reml: bool) -> Profile:
    """Return the criterion, its parts and the estimates that theta determines, in the user's columns."""
    state = eliminate(cp, basis_lambdas(cp, theta))
    k, basis = cp.n_coefficients, cp.basis
    inverse = np.linalg.inv(basis.x)
    vcov = inverse @ np.linalg.solve(state.reduced[:k, :k], inverse.T)
    u = _by_block(cp, _spherical(state))
    lambdas = split_theta(np.asarray(theta, float), map(len, basis.z))
    return Profile(
        criterion=state.criterion(reml),
        logdet_L=state.logdet_L,
        logdet_RX=state.logdet_RX,
        pwrss=state.pwrss,
        sigma=float(np.sqrt(state.pwrss / degrees(cp, reml))),
        beta=basis.shift + inverse @ state.gamma,
        unscaled_vcov=vcov,
        u=u,
        b=tuple(v @ lam.T for v, lam in zip(u, lambdas, strict=True)),
    )


def _spherical(state: Elimination) -> list[np.ndarray]:
    """Return u of each factor, shape (J, p), by back-substitution (eq. 52)."""
    cp, first = state.cp, state.cp.factors[0]
    e = np.append(-state.gamma, 1.0)
    u_rest = np.linalg.solve(state.schur.T, state.rest @ e)
    b_rest = per_level(list(state.factors[1:]), [f.n_levels for f in cp.factors[1:]], u_rest[:, None])[:, 0]
    lead = (state.lead @ e - state.cross @ b_rest).reshape(first.n_levels, first.width)
    u = [np.einsum("jab,ja->jb", state.inverse, lead)]
    pieces = np.split(u_rest, np.cumsum([f.size for f in cp.factors[1:]])[:-1])
    return u + [v.reshape(f.n_levels, f.width) for v, f in zip(pieces, cp.factors[1:], strict=False)]


def _by_block(cp: CrossProducts, per_factor: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Cut (J, p) arrays per factor into one per block, in the design's order."""
    found: dict[int, np.ndarray] = {}
    for factor, values in zip(cp.factors, per_factor, strict=True):
        parts = np.split(values, np.cumsum(factor.widths)[:-1], axis=1)
        found |= dict(zip(factor.blocks, parts, strict=True))
    return tuple(found[i] for i in sorted(found))
