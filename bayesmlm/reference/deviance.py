"""The profiled ML deviance and REML criterion of a linear mixed model, from `CrossProducts` alone.

Bates, Maechler, Bolker & Walker (2015, J. Stat. Softw. 67(1)): with b = Lambda u and theta given, the penalised
least-squares problem (their eq. 14)

    r^2(theta, beta, u) = |W^(1/2) (y - X beta - Z Lambda u)|^2 + |u|^2

has the normal equations (eq. 17 and 18)

    [ L       0   ] [ L'  R_ZX ] [ u    ]   [ Lambda'Z'W y ]
    [ R_ZX'  R_X' ] [ 0   R_X  ] [ beta ] = [ X'W y        ].

`bayesmlm.kernels` eliminates u from cross products alone, so that the cost does not depend on the number of rows.

Lambda is block-diagonal and not stored: `lambdas` holds one p x p matrix per block of the design, in the basis of
the cross products. It need not be triangular: the criterion depends on Lambda Lambda' alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.covariance import split_theta
from bayesmlm.crossprod import CrossProducts
from bayesmlm.kernels.gaussian import Eliminated, gaussian_kernel


@dataclass(frozen=True, eq=False)
class Elimination:
    """The normal equations at one Lambda with u eliminated, in the basis of the cross products.

    V = W^-1 + Z Lambda Lambda'Z' is the covariance of y over sigma^2.

    Attributes
    ----------
    cp : CrossProducts
    lambdas : list of ndarray, shape (p, p)
        Lambda of each block of the design.
    eliminated : Eliminated
        What the kernel found.
    gamma : ndarray, shape (k,)
        Generalised least-squares coefficients.
    pwrss : float
        Penalised weighted residual sum of squares, eq. 14, at its minimum over u and beta (eq. 19).
    """

    cp: CrossProducts
    lambdas: list[np.ndarray]
    eliminated: Eliminated
    gamma: np.ndarray
    pwrss: float

    @property
    def logdet_L(self) -> float:
        """log|L|^2 = log|Lambda'Z'WZ Lambda + I|."""
        return self.eliminated.logdet

    @property
    def reduced(self) -> np.ndarray:
        """[X y]'V^-1 [X y], shape (k + 1, k + 1)."""
        return self.eliminated.S

    @property
    def contrast(self) -> np.ndarray:
        """(-gamma, 1): [X y] times it are the residuals of the fixed part."""
        return np.append(-self.gamma, 1.0)

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
    b : tuple of ndarray, shape (J, p)
        Conditional modes of the group effects, by block of the design.
    """

    criterion: float
    logdet_L: float
    logdet_RX: float
    pwrss: float
    sigma: float
    beta: np.ndarray
    unscaled_vcov: np.ndarray
    b: tuple[np.ndarray, ...]


def degrees(cp: CrossProducts, reml: bool) -> int:
    """Return the divisor of pwrss: n, or n - k for REML."""
    return cp.n - cp.n_coefficients if reml else cp.n


def criterion_constant(cp: CrossProducts, reml: bool) -> float:
    """Return what the criterion adds to -2 times the kernel's log-density."""
    jacobian = 2.0 * float(np.log(np.abs(np.diag(cp.basis.x))).sum()) if reml else 0.0
    return degrees(cp, reml) * float(np.log(2.0 * np.pi)) + jacobian - cp.log_weights


def basis_lambdas(cp: CrossProducts, theta: np.ndarray) -> list[np.ndarray]:
    """Return T Lambda(theta) of each block: theta is in the user's columns, the result in the basis."""
    T = cp.basis.z
    return [t @ lam for t, lam in zip(T, split_theta(np.asarray(theta, float), map(len, T)), strict=True)]


def eliminate(cp: CrossProducts, lambdas: list[np.ndarray]) -> Elimination:
    """Eliminate the group effects at one Lambda, given per block in the basis of the cross products."""
    eliminated, k = gaussian_kernel(cp).eliminate(lambdas), cp.n_coefficients
    S = eliminated.S
    gamma = np.linalg.solve(S[:k, :k], S[:k, k])
    return Elimination(cp, lambdas, eliminated, gamma, float(S[k, k] - S[:k, k] @ gamma))


def criterion(cp: CrossProducts, theta: np.ndarray, reml: bool) -> float:
    """Return the ML deviance or the REML criterion at theta (in the user's columns, lme4's order)."""
    return eliminate(cp, basis_lambdas(cp, theta)).criterion(reml)


def profile(cp: CrossProducts, theta: np.ndarray, reml: bool) -> Profile:
    """Return the criterion, its parts and the estimates that theta determines, in the user's columns."""
    state = eliminate(cp, basis_lambdas(cp, theta))
    k, basis = cp.n_coefficients, cp.basis
    inverse = np.linalg.inv(basis.x)
    vcov = inverse @ np.linalg.solve(state.reduced[:k, :k], inverse.T)
    lambdas = split_theta(np.asarray(theta, float), map(len, basis.z))
    found = gaussian_kernel(cp).effects(state.lambdas)
    return Profile(
        criterion=state.criterion(reml),
        logdet_L=state.logdet_L,
        logdet_RX=state.logdet_RX,
        pwrss=state.pwrss,
        sigma=float(np.sqrt(state.pwrss / degrees(cp, reml))),
        beta=basis.shift + inverse @ state.gamma,
        unscaled_vcov=vcov,
        b=tuple(
            in_given_columns(b @ state.contrast, t, lam)
            for b, t, lam in zip(found.B, basis.z, lambdas, strict=True)
        ),
    )


def in_given_columns(effects: np.ndarray, t: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Return T^-1 b of group effects (J, p) in the basis; exactly 0 for columns without variance."""
    return np.linalg.solve(t, effects.T).T * np.any(lam != 0, axis=1)
