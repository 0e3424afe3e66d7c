"""Laplace's approximation of the deviance of a generalised linear mixed model, with its exact gradient.

With the conditional modes u of `pirls`, Fisher's weights W at them and C = Lambda'Z'WZ Lambda + I,

    d(Lambda, beta) = A(eta) + |u|^2 + log|C|,

A = -2 log L of the responses given eta; this is what lme4's ``glmer`` minimises (nAGQ = 1). The modes move with the
parameters. They solve Lambda'Z'r = u; with the observed curvature W_o = -dr/deta, C_o = Lambda'Z'W_o Z Lambda + I, the
leverages h = diag(Z Lambda C^-1 Lambda'Z'), g = dA/deta + h W' and

    a = C_o^-1 (Lambda'Z'g + 2 u) = C_o^-1 Lambda'Z'(g + 2 r),    s = g - W_o Z Lambda a,

    dd/dbeta = X's,
    dd/dLambda = sum_j (Z_j's) u_j' + (Z_j'r) a_j' + dlog|C|/dLambda at fixed W,
    dd/dalpha = dA/dalpha + h'dW/dalpha + (Z Lambda a)'dr/dalpha.

If beta is found with u (nAGQ = 0: X'r = 0), X beta joins Z Lambda u in the equations of a; dd/dbeta drops out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.reference.glmm.pirls import Mode, Pirls
from bayesmlm.reference.glmm.response import Responses


@dataclass(frozen=True, eq=False)
class Deviance:
    """The deviance at one point, and its derivatives in the basis.

    Attributes
    ----------
    value : float
    in_lambda : list of ndarray, shape (p, p)
    in_gamma : ndarray, shape (k,)
        0 where gamma is found with the group effects.
    in_alpha : float
        NaN without that parameter.
    mode : Mode
    logdet : float
        log|C|.
    """

    value: float
    in_lambda: list[np.ndarray]
    in_gamma: np.ndarray
    in_alpha: float
    mode: Mode
    logdet: float

    def sigma(self, responses: Responses, alpha: float) -> float:
        """Return lme4's sigma: the root of the penalised weighted residual sum of squares over n; 1 without phi."""
        if not responses.dispersed:
            return 1.0
        mu = self.mode.rows.mu
        squares = responses.w * (responses.y - mu) ** 2 / responses.variance(mu, alpha)[0]
        return float(np.sqrt((squares.sum() + self.mode.penalty) / len(mu)))


def laplace(
    pirls: Pirls, lambdas: list[np.ndarray], gamma: np.ndarray, alpha: float = np.nan
) -> Deviance | None:
    """Return Laplace's approximation; None where the modes do not exist."""
    mode = pirls.mode(lambdas, gamma, alpha)
    if mode is None:
        return None
    responses, kernel, rows = pirls.responses, pirls.kernel, mode.rows
    logdet, in_lambda, h = kernel.curvature(lambdas, rows.W)
    A = responses.marginal(rows, alpha)
    second = pirls.second(mode, alpha)
    g = A.kappa * rows.r + h * second.W_slope
    v = g + 2.0 * rows.r
    adjoint = kernel.solve(lambdas, second.observed, v)
    Xa = pirls.X @ adjoint.gamma if pirls.joint else 0.0
    s = g - second.observed * (adjoint.Zb + Xa)
    a = kernel.times(lambdas, kernel.by_effect(s + 2.0 * rows.r), transpose=True)
    outer = zip(
        in_lambda,
        kernel.outer(kernel.by_effect(s), mode.u),
        kernel.outer(kernel.by_effect(rows.r), a),
        strict=True,
    )
    value = A.value + mode.penalty + logdet
    if not (np.isfinite(value) and np.isfinite(adjoint.logdet)):
        return None
    in_alpha = np.nan
    if responses.family == "negativebinomial":
        in_A, in_W, in_r = responses.alpha_slopes(mode.eta, rows, alpha)
        in_alpha = float(in_A.sum()) + float(h @ in_W) + float((adjoint.Zb + Xa) @ in_r)
    in_gamma = np.zeros(len(gamma)) if pirls.joint else pirls.X.T @ s
    return Deviance(value, [a + b + c for a, b, c in outer], in_gamma, in_alpha, mode, logdet)
