"""Adaptive Gauss-Hermite quadrature of the deviance, with its exact gradient; one scalar effect per group.

With one block of one column the likelihood is a product of one-dimensional integrals. At the conditional mode u_j, with
s_j = C_j^(-1/2) from Fisher's weights (Liu & Pierce 1994, Biometrika 81; Pinheiro & Bates 1995, J. Comput. Graph. Stat.
4), the nodes x_k and weights w_k of the Gauss-Hermite rule for exp(-x^2/2) give

    L_j = s_j (2 pi)^(-1/2) sum_k w_k exp(x_k^2 / 2 - 1/2 {A_j(u_jk) + u_jk^2}),   u_jk = u_j + s_j x_k,

and the deviance -2 sum_j log L_j; with one node it is Laplace's approximation. u_j and s_j move with the parameters.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from bayesmlm.reference.glmm.laplace import Deviance
from bayesmlm.reference.glmm.pirls import Mode, Pirls


def quadrature(
    pirls: Pirls, lambdas: list[np.ndarray], gamma: np.ndarray, n_nodes: int, alpha: float = np.nan
) -> Deviance | None:
    """Return the deviance with `n_nodes` nodes; None where the modes do not exist."""
    mode = pirls.mode(lambdas, gamma, alpha)
    if mode is None:
        return None
    responses, lam = pirls.responses, float(lambdas[0][0, 0])
    level, z = pirls.kernel.levels[:, 0], pirls.kernel.columns[:, 0]

    def total(v: np.ndarray) -> np.ndarray:
        return np.bincount(level, v, len(mode.u))

    C = 1.0 + lam**2 * total(z * z * mode.rows.W)
    s = C**-0.5
    x, w = np.polynomial.hermite_e.hermegauss(n_nodes)
    at = [_node(pirls, mode, lam, mode.u + s * node, total, alpha) for node in x]
    if any(node is None for node in at):
        return None
    nodes = [node for node in at if node is not None]
    heights = np.array(
        [np.log(wk) + xk**2 / 2 - node[1] / 2 for wk, xk, node in zip(w, x, nodes, strict=True)]
    )
    log_sum = logsumexp(heights, axis=0)
    share = np.exp(heights - log_sum)  # of each node in its group's integral, (K, J)
    value = float(-2.0 * np.sum(log_sum + np.log(s)) + len(s) * np.log(2 * np.pi)) + responses.constant(alpha)
    slopes = _slopes(pirls, mode, lam, C, x, share, nodes, total, alpha)
    in_lambda, in_gamma, in_alpha = slopes
    if not np.isfinite(value):
        return None
    return Deviance(value, [np.array([[in_lambda]])], in_gamma, in_alpha, mode, float(np.log(C).sum()))


def _node(pirls: Pirls, mode: Mode, lam: float, u: np.ndarray, total, alpha: float):
    """Return u_jk, D_j + u_jk^2, r of each row, Z_j'r, and rows and eta; None where the mean does not exist."""
    responses, level, z = pirls.responses, pirls.kernel.levels[:, 0], pirls.kernel.columns[:, 0]
    eta = mode.eta + lam * z * (u - mode.u)[level]
    rows = responses.rows(eta, alpha)
    if rows is None:
        return None
    height = total(responses.losses(eta, rows.mu, alpha)) + u * u
    return u, height, rows.r, total(z * rows.r), rows, eta


def _slopes(
    pirls: Pirls, mode: Mode, lam: float, C: np.ndarray, x: np.ndarray, share: np.ndarray, nodes, total, alpha
) -> tuple[float, np.ndarray, float]:
    """Return the derivatives in Lambda, gamma and alpha."""
    responses, level, z = pirls.responses, pirls.kernel.levels[:, 0], pirls.kernel.columns[:, 0]
    second, rows = pirls.second(mode, alpha), mode.rows
    s = C**-0.5
    forces = [2.0 * (u - lam * Zr) for u, _, _, Zr, _, _ in nodes]
    in_u = sum(p * force for p, force in zip(share, forces, strict=True))
    in_s = sum(p * xk * force for p, xk, force in zip(share, x, forces, strict=True)) - 2.0 / s
    in_C = -0.5 * s**3 * in_s
    through = (in_u + in_C * lam**3 * total(z**3 * second.W_slope)) / (
        1.0 + lam**2 * total(z * z * second.observed)
    )
    mean_r = sum(p[level] * node[2] for p, node in zip(share, nodes, strict=True))
    row = -2.0 * mean_r + lam**2 * in_C[level] * z * z * second.W_slope
    row = row - lam * through[level] * z * second.observed
    in_lambda = sum(-2.0 * p * node[3] * node[0] for p, node in zip(share, nodes, strict=True))
    in_lambda = in_lambda + in_C * (
        2.0 * lam * total(z * z * rows.W) + lam**2 * mode.u * total(z**3 * second.W_slope)
    )
    in_lambda = in_lambda + through * (total(z * rows.r) - lam * mode.u * total(z * z * second.observed))
    in_alpha = np.nan
    if responses.family == "negativebinomial":
        direct = sum(
            p[level] * responses.alpha_slopes(node[5], node[4], alpha)[0]
            for p, node in zip(share, nodes, strict=True)
        )
        _, in_W, in_r = responses.alpha_slopes(mode.eta, rows, alpha)
        in_alpha = float(np.sum(direct)) + float(
            np.sum(in_C * lam**2 * total(z * z * in_W)) + np.sum(through * lam * total(z * in_r))
        )
    return float(np.sum(in_lambda)), pirls.X.T @ row, in_alpha
