"""Conditional covariance of the group effects given the data and all parameters, lme4's ``condVar``."""

from __future__ import annotations

import numpy as np

from bayesmlm.covariance import split_theta
from bayesmlm.crossprod import CrossProducts
from bayesmlm.kernels.gaussian import gaussian_kernel
from bayesmlm.reference.deviance import basis_lambdas


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
    kernel = gaussian_kernel(cp)
    at = basis_lambdas(cp, theta)
    lambdas = split_theta(np.asarray(theta, float), map(len, cp.basis.z))
    out = []
    for K, t, lam in zip(kernel.effects(at).K, cp.basis.z, lambdas, strict=True):
        inverse, varies = np.linalg.inv(t), np.any(lam != 0, axis=1)
        out.append(inverse @ K @ inverse.T * np.outer(varies, varies))
    return out
