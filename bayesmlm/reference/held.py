"""The ML deviance of a linear mixed model with one parameter held fixed, and its gradient in all others.

With V = W^-1 + Z Lambda Lambda'Z', the deviance of a linear mixed model (Bates, Maechler, Bolker & Walker 2015,
J. Stat. Softw. 67(1), eq. 30) is

    d(Lambda, sigma, beta) = log|V| + n log(2 pi sigma^2) + (y - X beta)'V^-1 (y - X beta) / sigma^2,

and each kind of parameter leaves something else to be minimised in closed form:

- sigma held: beta, which leaves r^2(Lambda)/sigma^2 in the last term, r^2 of eq. 14 at its minimum;
- beta_i held at b: sigma and the other coefficients, which leaves n log of r_c^2 = r^2 + (b - beta_i)^2 / c_i,
  c_i the i-th diagonal of (X'V^-1X)^-1;
- a standard deviation s_j held: beta; the j-th row of Lambda has length s_j / sigma, so sigma is a coordinate;
- a correlation held: beta and sigma; two rows of Lambda keep their angle.

What remains is a search over Lambda with an exact gradient: in Lambda Lambda' it is that of log|V| + tr(Q [X y]'V^-1
[X y]) with Q = q q' (see `gradient.marginal_gradient`). The columns of a block have no order, so the rows held fixed
may come first in a triangular factor: with t_i the row of T^-1 that makes the i-th row of Lambda out of Lambda_c, and
[t_i t_j] = O R, Lambda_c = O M, M lower triangular, gives the rows of Lambda as R_11' M_1, M_1 the first rows of M.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.covariance import lower_indices
from bayesmlm.crossprod import CrossProducts
from bayesmlm.reference.deviance import Elimination, eliminate
from bayesmlm.reference.gradient import marginal_gradient
from bayesmlm.reference.optimise import lower_triangular
from bayesmlm.reference.parameters import Parameter

LARGEST = 1e5  # sd of groups over sd of residuals; beyond it the deviance has no correct digits
NUDGE = 0.02  # a smaller diagonal entry of Lambda starts here: the gradient in Lambda is 0 where Lambda is
EDGE = 1e-8  # a correlation this near to -1 or 1 is there

Lambdas = list[np.ndarray]


@dataclass(frozen=True)
class Objective:
    """The deviance at one Lambda after beta, and perhaps sigma, are eliminated.

    Attributes
    ----------
    value : float
    direction : ndarray, shape (k + 1,)
        q, which makes the middle Q = q q' of the gradient.
    gamma : ndarray, shape (k,)
        Coefficients at the minimum, in the basis.
    sigma : float
    sigma_slope : float
        Derivative in log sigma where sigma is a coordinate.
    """

    value: float
    direction: np.ndarray
    gamma: np.ndarray
    sigma: float
    sigma_slope: float = 0.0


def _profiled(state: Elimination) -> Objective:
    """Minimise over beta and sigma."""
    n = state.cp.n
    q = np.append(-state.gamma, 1.0) * np.sqrt(n / state.pwrss)
    return Objective(state.criterion(False), q, state.gamma, float(np.sqrt(state.pwrss / n)))


def _at_sigma(state: Elimination, sigma: float) -> Objective:
    """Minimise over beta."""
    cp = state.cp
    scaled = state.pwrss / sigma**2
    value = state.logdet_L - cp.log_weights + cp.n * float(np.log(2 * np.pi * sigma**2)) + scaled
    q = np.append(-state.gamma, 1.0) / sigma
    return Objective(value, q, state.gamma, sigma, 2.0 * (cp.n - scaled))


def _at_coefficient(state: Elimination, i: int, b: float) -> Objective:
    """Minimise over sigma and all coefficients but beta_i = b."""
    cp, k = state.cp, state.cp.n_coefficients
    row = np.linalg.solve(cp.basis.x.T, np.eye(k)[i])  # beta_i = shift_i + row'gamma
    spread = np.linalg.solve(state.reduced[:k, :k], row)
    c = float(row @ spread)
    away = b - cp.basis.shift[i] - float(row @ state.gamma)
    gamma = state.gamma + spread * (away / c)
    rss = state.pwrss + away**2 / c
    value = state.logdet_L - cp.log_weights + cp.n * (1.0 + float(np.log(2 * np.pi * rss / cp.n)))
    return Objective(value, np.append(-gamma, 1.0) * np.sqrt(cp.n / rss), gamma, float(np.sqrt(rss / cp.n)))


@dataclass(frozen=True)
class Held:
    """The deviance as a function of one parameter, which is held, and of coordinates phi, which are free.

    phi holds the free entries of M of each block, column by column, after the extra coordinates: log sigma for an
    sd, the roots of the lengths of the two rows for a correlation: where a length of 0 is best, its root has an
    ordinary smooth minimum there. The held value x is on a scale that is smooth up to the
    boundary: the angle arcsin(r) for a correlation, log sigma, and the parameter itself otherwise.

    Attributes
    ----------
    cp : CrossProducts
        In the orthogonal basis.
    parameter : Parameter
    turn : ndarray, shape (p, p)
        O, which makes Lambda_c = O M in the parameter's block; (0, 0) if it has none.
    lower : ndarray, shape (m, m)
        R_11', m the number of rows held.
    """

    cp: CrossProducts
    parameter: Parameter
    turn: np.ndarray
    lower: np.ndarray

    @property
    def bases(self) -> tuple[np.ndarray, ...]:
        """T of each block."""
        return self.cp.basis.z

    @property
    def extras(self) -> int:
        """Number of extra coordinates."""
        return {"sd": 1, "cor": 2}.get(self.parameter.kind, 0)

    def start(self, lambdas: Lambdas, sigma: float) -> np.ndarray:
        """Return phi at an unconstrained point, the held value aside; zero columns of M are nudged."""
        parts, extra = [], np.array([np.log(sigma)] if self.parameter.kind == "sd" else [])
        for i, lam in enumerate(lambdas):
            M = lower_triangular(self.turn.T @ lam if i == self.parameter.block else lam)
            np.fill_diagonal(M, np.maximum(np.diag(M), NUDGE))
            if i == self.parameter.block:
                M = M * np.sign(np.append(np.diag(self.lower), np.ones(len(M) - len(self.lower))))
                if self.parameter.kind == "cor":
                    lengths = np.linalg.norm(self.lower @ M[:2, :2], axis=1)
                    extra = np.sqrt(lengths / np.linalg.norm(self.lower, axis=1))
            parts.append(M[self.free(i)])
        return np.concatenate([extra, *parts])

    def nudged(self, phi: np.ndarray) -> np.ndarray:
        """Return phi with the free diagonal entries of M moved away from 0, so that a search can leave it."""
        out, start = phi.copy(), self.extras
        if self.parameter.kind == "cor":
            out[:2] = np.maximum(np.abs(out[:2]), NUDGE)
        for i in range(len(self.bases)):
            rows, cols = self.free(i)
            own = out[start : start + len(rows)]
            small = (rows == cols) & (np.abs(own) < NUDGE)
            own[small] = NUDGE
            start += len(rows)
        return out

    def matrices(self, x: float, phi: np.ndarray) -> tuple[Lambdas, float]:
        """Return Lambda of each block in the basis, and sigma where it is a coordinate or held (else NaN)."""
        kind, start = self.parameter.kind, self.extras
        sigma = np.nan
        if kind in {"sd", "sigma"}:
            sigma = float(np.exp(phi[0] if kind == "sd" else x))
        lambdas = []
        for i, t in enumerate(self.bases):
            rows, cols = self.free(i)
            M = np.zeros((len(t), len(t)))
            M[rows, cols] = phi[start : start + len(rows)]
            start += len(rows)
            if i == self.parameter.block:
                m = len(self.lower)
                M[:m, :m] = np.linalg.solve(self.lower, self._held_rows(x, phi, sigma))
                M = self.turn @ M
            lambdas.append(M)
        return lambdas, sigma

    def objective(self, x: float, state: Elimination, sigma: float) -> Objective:
        """Return the deviance at an eliminated state."""
        kind = self.parameter.kind
        if kind == "beta":
            return _at_coefficient(state, self.parameter.columns[0], x)
        return _profiled(state) if kind == "cor" else _at_sigma(state, sigma)

    def evaluate(self, x: float, phi: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the deviance and its gradient in phi."""
        lambdas, sigma = self.matrices(x, phi)
        state = eliminate(self.cp, lambdas)
        at = self.objective(x, state, sigma)
        G = marginal_gradient(state, np.outer(at.direction, at.direction))
        parts, extra = [], np.zeros(self.extras)
        for i, (g, lam) in enumerate(zip(G, lambdas, strict=True)):
            slope = 2.0 * g @ lam
            if i == self.parameter.block:
                slope = self.turn.T @ slope
                extra = self._extra_slopes(x, phi, slope, at, lambdas[i])
            parts.append(slope[self.free(i)])
        return at.value, np.concatenate([extra, *parts])

    def free(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the free entries of M."""
        rows, cols = lower_indices(len(self.bases[block]))
        keep = rows >= (len(self.lower) if block == self.parameter.block else 0)
        return rows[keep], cols[keep]

    def _held_rows(self, x: float, phi: np.ndarray, sigma: float) -> np.ndarray:
        """Return the rows of Lambda that are held: (s / sigma), or two rows at the angle of the correlation."""
        if self.parameter.kind == "sd":
            return np.array([[x / sigma]])
        a, t = phi[:2] ** 2 * np.linalg.norm(self.lower, axis=1)
        return np.array([[a, 0.0], [t * np.sin(x), t * np.cos(x)]])

    def _extra_slopes(
        self, x: float, phi: np.ndarray, slope: np.ndarray, at: Objective, lam: np.ndarray
    ) -> np.ndarray:
        """Return the derivative in the extra coordinates from `slope`, that in M."""
        if self.parameter.kind == "sd":
            held = x / at.sigma / self.lower[0, 0]
            return np.array([at.sigma_slope - slope[0, 0] * held])
        return self.length_slopes(x, phi, slope)

    def length_slopes(self, x: float, phi: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return the derivative in the roots of the lengths of the two rows of a correlation from that in M."""
        first, second = np.linalg.norm(self.lower, axis=1)
        rows = (np.array([[first, 0], [0, 0]]), second * np.array([[0, 0], [np.sin(x), np.cos(x)]]))
        in_length = [np.sum(slope[:2, :2] * np.linalg.solve(self.lower, row)) for row in rows]
        return 2 * phi[:2] * in_length


def to_scale(parameter: Parameter, value: float | np.ndarray) -> np.ndarray:
    """Return a parameter's value on the scale on which it is held: arcsin(r), log(sigma), or itself."""
    if parameter.kind == "cor":
        return np.where(1 - np.abs(value) < EDGE, np.sign(value) * np.pi / 2, np.arcsin(value))
    return np.log(value) if parameter.kind == "sigma" else np.asarray(value)


def from_scale(parameter: Parameter, x: float) -> float:
    """Inverse of `to_scale`."""
    return float({"cor": np.sin, "sigma": np.exp}.get(parameter.kind, np.asarray)(x))


def hold(cp: CrossProducts, parameter: Parameter) -> Held:
    """Return the deviance with `parameter` held fixed; `cp` in the orthogonal basis."""
    return Held(cp, parameter, *held_rows(cp.basis.z, parameter))


def held_rows(bases: tuple[np.ndarray, ...], parameter: Parameter) -> tuple[np.ndarray, np.ndarray]:
    """Return O and R_11' for the rows that a parameter of a block holds; (0, 0) matrices for other parameters."""
    if parameter.block < 0:
        return np.zeros((0, 0)), np.zeros((0, 0))
    rows = np.linalg.inv(bases[parameter.block])[list(parameter.columns)]
    turn, upper = np.linalg.qr(rows.T, mode="complete")
    return turn, upper[: len(rows)].T
