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

from bayesmlm.kernels.gaussian import gaussian_kernel
from bayesmlm.reference.deviance import Elimination, degrees


def covariance_gradient(state: Elimination, reml: bool) -> list[np.ndarray]:
    """Return G of each block of the design, shape (p, p), in the basis of the cross products."""
    k, e = state.cp.n_coefficients, state.contrast
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
    return gaussian_kernel(state.cp).effects(state.lambdas, middle).G


def scores(state: Elimination) -> list[np.ndarray]:
    """Return s_j = Z_j'V^-1 [X y] of each block of the design, shape (J, p, k + 1), in the basis."""
    return gaussian_kernel(state.cp).effects(state.lambdas).scores
