"""Where the posterior of a target has its maximum, and how wide it is there."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from bayesmlm.covariance import split_theta
from bayesmlm.kernels.target import Target
from bayesmlm.reference.estimate import LmerEstimate

SMALLEST = 0.05  # relative standard deviation to start from where the estimate is smaller
LARGEST_PARTIAL = 0.95
STEP = 1e-4
FLATTEST, STEEPEST = 0.2, 1e8  # curvature; a flatter direction has a tail that it does not describe


def mode_and_root(target: Target, estimate: LmerEstimate | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the mode, shape (d,), and a root of the inverse curvature there, shape (d, d).

    Parameters
    ----------
    target
        The posterior.
    estimate
        A reference fit of the same model, from which the search starts; from equal shares if None.
    """

    def negative(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, grad = target.log_density(x)
        return (-value, -grad) if np.isfinite(value) else (np.inf, np.zeros_like(grad))

    with np.errstate(all="ignore"):
        found = minimize(negative, start(target, estimate), jac=True, method="BFGS", options={"gtol": 1e-3})
    mode, d = found.x, target.n_parameters
    H = np.empty((d, d))
    for i in range(d):
        step = np.zeros(d)
        step[i] = STEP
        H[i] = (negative(mode + step)[1] - negative(mode - step)[1]) / (2 * STEP)
    w, V = np.linalg.eigh((H + H.T) / 2)
    return mode, V / np.sqrt(np.clip(np.nan_to_num(w, nan=1.0), FLATTEST, STEEPEST))


def start(target: Target, estimate: LmerEstimate | None) -> np.ndarray:
    """Return parameters near a reference fit, inside its boundaries."""
    widths = [len(b.columns) for b in target.design.blocks]
    if estimate is None:
        lambdas = [np.diag(1.0 / np.sqrt(np.mean(b.Z**2, axis=0))) for b in target.design.blocks]
        sigma = float(np.std(target.design.y)) / np.sqrt(2.0)
    else:
        lambdas, sigma = split_theta(estimate.theta, widths), estimate.sigma
    parts = [_block_start(lam, b.Z) for lam, b in zip(lambdas, target.design.blocks, strict=True)]
    return np.concatenate([*parts, [np.log(sigma)]])


def _block_start(lam: np.ndarray, Z: np.ndarray) -> np.ndarray:
    size = 1.0 / np.sqrt(np.mean(Z**2, axis=0))  # a standard deviation that matters as much as the residual's
    sd = np.linalg.norm(lam, axis=1)
    partials = []
    for i in range(1, len(lam)):
        left = 1.0
        for j in range(i):
            z = lam[i, j] / (sd[i] * left) if sd[i] * left > 0 else 0.0
            partials.append(np.arctanh(np.clip(z, -LARGEST_PARTIAL, LARGEST_PARTIAL)))
            left *= np.sqrt(max(1.0 - z**2, 0.0))
    return np.concatenate([np.log(np.maximum(sd, SMALLEST * size)), partials])
