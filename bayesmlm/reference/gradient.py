"""The derivative of the ML deviance and of the REML criterion in Lambda, block by block.

With V = I + Z Lambda Lambda'Z' (times W^-1, see `crossprod`), r = y - X beta-hat and m = n or n - k, the profiled
criterion d = log|V| + m log(r'V^-1 r) + const (+ log|X'V^-1 X| for REML; Bates et al. 2015, J. Stat. Softw. 67(1),
eq. 34 and 41) depends on Lambda only through Lambda Lambda'. For one block, with the sums over its levels j,

    d d / d Lambda = 2 G Lambda,
    G = sum_j Z_j'V^-1 Z_j - (m / r'V^-1 r) sum_j (Z_j'V^-1 r)(Z_j'V^-1 r)'
        - [REML] sum_j Z_j'V^-1 X (X'V^-1 X)^-1 X'V^-1 Z_j.

G is the derivative in Lambda Lambda' itself. At a minimum over covariance matrices it is positive semi-definite and
G Lambda = 0, also where Lambda is singular. The derivative in Lambda alone cannot tell: it is 0 at every Lambda = 0.
"""

from __future__ import annotations

import numpy as np

from bayesmlm.reference.deviance import Elimination, degrees, lambda_transpose, stack_rest
from bayesmlm.reference.levelwise import gram, multiply, sandwich


def covariance_gradient(state: Elimination, reml: bool) -> list[np.ndarray]:
    """Return G of each block of the design, shape (p, p), in the basis of the cross products."""
    k = state.cp.n_coefficients
    e = np.append(-state.gamma, 1.0)
    # m / r'V^-1 r e e' + (X'V^-1 X)^-1, so that one product serves the residual and the columns of X.
    middle = degrees(state.cp, reml) / state.pwrss * np.outer(e, e)
    if reml:
        middle[:k, :k] += np.linalg.inv(state.reduced[:k, :k])
    return marginal_gradient(state, middle)


def marginal_gradient(state: Elimination, middle: np.ndarray) -> list[np.ndarray]:
    """Return the derivative of log|V| + tr(Q [X y]'V^-1 [X y]) in Lambda Lambda', Q = `middle` held fixed.

    sum_j Z_j'V^-1 Z_j - sum_j s_j Q s_j' of each block, shape (p, p), with s_j of `scores`; in Lambda the
    derivative is 2 G Lambda.
    """
    traces, per_factor = _marginal_sums(state)
    found: dict[int, np.ndarray] = {}
    for factor, trace, score in zip(state.cp.factors, traces, per_factor, strict=True):
        G = trace - np.tensordot(score @ middle, score, axes=([0, 2], [0, 2]))
        for block, width, stop in zip(factor.blocks, factor.widths, np.cumsum(factor.widths), strict=True):
            found[block] = G[stop - width : stop, stop - width : stop]
    return [found[i] for i in sorted(found)]


def scores(state: Elimination) -> list[np.ndarray]:
    """Return s_j = Z_j'V^-1 [X y] of each block of the design, shape (J, p, k + 1), in the basis."""
    found: dict[int, np.ndarray] = {}
    for factor, score in zip(state.cp.factors, _marginal_sums(state)[1], strict=True):
        for block, width, stop in zip(factor.blocks, factor.widths, np.cumsum(factor.widths), strict=True):
            found[block] = score[:, stop - width : stop]
    return [found[i] for i in sorted(found)]


def _marginal_sums(state: Elimination) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return sum_j Z_j'V^-1 Z_j, (p, p), and Z_j'V^-1 [X y], (J, p, k + 1), of each factor.

    The first factor alone makes V_0. The others come in by the identity

        V^-1 = V_0^-1 - V_0^-1 Z_r K Z_r'V_0^-1,  K = Lambda_r (I + Lambda_r'Z_r'V_0^-1 Z_r Lambda_r)^-1 Lambda_r'.
    """
    cp, first = state.cp, state.cp.factors[0]
    HA = state.half @ first.ZZ
    flat = HA.reshape(first.size, first.width)
    AH = HA.transpose(0, 2, 1)
    trace = first.ZZ.sum(axis=0) - flat.T @ flat
    score = first.ZXy - AH @ state.lead.reshape(first.ZXy.shape)
    if len(cp.factors) == 1:
        return [trace], [score]
    wide = lambda_transpose(cp, state.factors, np.eye(len(state.schur)))
    half = np.linalg.solve(state.schur, wide)
    K = half.T @ half
    E = cp.lead - multiply(AH, state.cross)
    N, D = cp.rest - gram(state.cross), stack_rest(cp) - state.cross.T @ state.lead
    traces = [trace - sandwich(E, K, first.width)]
    scores = [score - (E @ (K @ D)).reshape(score.shape)]
    KN = K @ N
    inner, outer = N - N @ KN, D - KN.T @ D
    start = 0
    for f in cp.factors[1:]:
        own = slice(start, start + f.size)
        squares = inner[own, own].reshape(f.n_levels, f.width, f.n_levels, f.width)
        traces.append(np.einsum("jajb->ab", squares))
        scores.append(outer[own].reshape(f.n_levels, f.width, -1))
        start += f.size
    return traces, scores
