"""Densities of rows with the group effects of one or many units integrated out: log of the integral of exp(l) N(u).

l is the log-density of rows as a function of their linear predictors, which are eta + a u with u ~ N(0, I). For one u
per unit the integral is a sum over points m + sinh(x) / sqrt(H), x evenly spaced, m the mode and H the curvature of the
integrand: few points near the mode, and some as far out as the prior reaches, so that neither sharp nor skewed
integrands are missed. For several it is an average over quasi-random points from the Laplace approximation, with
importance weights. Derivatives are differences: any family will do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from bayesmlm.errors import DataError

Density = Callable[[np.ndarray], np.ndarray]  # linear predictors (S, n) -> log-densities (S, n)

STEP = 1e-3  # of differences, in sds of the effects
LONGEST = 1.5  # Newton step, in sds of the effects
ITERATIONS = 60
CLOSE = 0.02  # to the mode, in widths of the integrand
SPACING, ENDS = 0.17, 5.1  # of x; sinh(5.1) = 82 widths
POINTS = 256
WIDER = 1.1  # the Laplace approximation's sd times this
MOST_EFFECTS = 120


def unit_log_density(
    density: Density, eta: np.ndarray, slope: np.ndarray, unit: np.ndarray | None = None
) -> np.ndarray:
    """Return log of the integral of exp(sum of l over the unit's rows) over its effect u ~ N(0, 1), (S, units).

    Parameters
    ----------
    density
        l.
    eta : ndarray, shape (S, n)
        Linear predictors without the effect.
    slope : ndarray, shape (S, n)
        What one unit of u adds.
    unit : ndarray of int, shape (n,)
        Unit of each row, 0, 1, ...; each row is one if None.
    """
    if unit is None:
        unit = np.arange(eta.shape[1])
    order = np.argsort(unit, kind="stable")
    starts = np.searchsorted(unit[order], np.arange(unit.max() + 1))

    def f(u: np.ndarray) -> np.ndarray:
        values = density(eta + slope * u[:, unit])[:, order]
        with np.errstate(invalid="ignore"):
            total = np.add.reduceat(values, starts, axis=1) - u**2 / 2
        return np.where(np.isnan(total), -np.inf, total)

    mode, curvature = _mode(f, np.zeros((len(eta), len(starts))))
    width = 1 / np.sqrt(curvature)
    top = f(mode)
    total = np.zeros_like(mode)
    for x in np.arange(-ENDS, ENDS + SPACING / 2, SPACING):
        total += np.exp(f(mode + width * np.sinh(x)) - top) * np.cosh(x)
    return top + np.log(total * width * (SPACING / np.sqrt(2 * np.pi)))


def _mode(f: Callable[[np.ndarray], np.ndarray], u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each element's function is largest, and its curvature there, at least that of the prior."""
    value = f(u)
    for _ in range(ITERATIONS):
        slope, curvature = _derivatives(f, u, value)
        step = np.clip(slope / curvature, -LONGEST, LONGEST)
        trial = f(u + step)
        for _ in range(8):
            worse = trial < value
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
            trial = f(u + step)
        better = trial >= value
        u, value = np.where(better, u + step, u), np.where(better, trial, value)
        if (np.abs(np.where(better, step, 0.0)) * np.sqrt(curvature) < CLOSE).all():
            break
    return u, _derivatives(f, u, value)[1]


def _derivatives(
    f: Callable[[np.ndarray], np.ndarray], u: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    high, low = f(u + STEP), f(u - STEP)
    with np.errstate(invalid="ignore"):
        slope = (high - low) / (2 * STEP)
        curvature = (2 * value - high - low) / STEP**2
    return np.nan_to_num(slope, posinf=1e6, neginf=-1e6), np.clip(np.nan_to_num(curvature), 1.0, None)


# -- several effects at once -----------------------------------------------------------------------


def joint_integral(density: Density, eta: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """Return log of the integral of exp(sum of l over all rows) over u ~ N(0, I) of d effects, (S,).

    An average over 256 points of a Sobol sequence, shifted at random from draw to draw; its error has a mean near 0 and
    averages out over draws.

    Parameters
    ----------
    density
        l.
    eta : ndarray, shape (S, n)
        Linear predictors without the effects.
    loadings : ndarray, shape (S, n, d)
        What each effect adds to each row.

    Raises
    ------
    DataError
        If d is too large for the Laplace approximation to be near.
    """
    from scipy.stats import qmc

    size, d = len(eta), loadings.shape[2]
    if d > MOST_EFFECTS:
        raise DataError(
            f"the rows that are left out together have {d} group effects of their own, more than the {MOST_EFFECTS} "
            "that can be integrated out here: use kfold(group=...), which integrates row by row, or a smaller group"
        )
    mode, root, log_det = _laplace(density, eta, loadings)
    points = qmc.Sobol(d, scramble=True, rng=np.random.default_rng(0)).random(POINTS)
    shift = np.random.default_rng(1).random((size, d))
    values = np.empty((size, POINTS))
    for k, point in enumerate(points):
        normal = ndtri(np.clip((point + shift) % 1, 1e-12, 1 - 1e-12))
        u = mode + WIDER * np.einsum("sab,sb->sa", root, normal)
        total = density(eta + np.einsum("snd,sd->sn", loadings, u)).sum(axis=1)
        values[:, k] = total - (u**2).sum(axis=1) / 2 + (normal**2).sum(axis=1) / 2
    top = values.max(axis=1)
    mean = np.log(np.exp(values - top[:, None]).mean(axis=1)) + top
    return mean + log_det + d * np.log(WIDER)


def _laplace(
    density: Density, eta: np.ndarray, loadings: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mode of the effects (S, d), a root of their covariance there (S, d, d), and its log-determinant."""
    size, _, d = loadings.shape
    u = np.zeros((size, d))
    unit = STEP * np.maximum(np.sqrt(np.einsum("snd,snd->sn", loadings, loadings)), 1e-8)

    def at(u: np.ndarray) -> np.ndarray:
        return eta + np.einsum("snd,sd->sn", loadings, u)

    def objective(u: np.ndarray) -> np.ndarray:
        total = density(at(u)).sum(axis=1) - (u**2).sum(axis=1) / 2
        return np.where(np.isnan(total), -np.inf, total)

    value = objective(u)
    for _ in range(ITERATIONS):
        slope, weight = _row_derivatives(density, at(u), unit)
        precision = np.eye(d) + np.einsum("sna,sn,snb->sab", loadings, weight, loadings, optimize=True)
        gradient = np.einsum("snd,sn->sd", loadings, slope) - u
        step = np.linalg.solve(precision, gradient[..., None])[..., 0]
        step *= np.minimum(1, LONGEST / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
        trial = objective(u + step)
        for _ in range(8):
            worse = trial < value
            if not worse.any():
                break
            step[worse] /= 2
            trial = objective(u + step)
        better = trial >= value
        u[better] += step[better]
        value = np.where(better, trial, value)
        if np.abs(step[better]).max(initial=0.0) < CLOSE:
            break
    weight = _row_derivatives(density, at(u), unit)[1]
    precision = np.eye(d) + np.einsum("sna,sn,snb->sab", loadings, weight, loadings, optimize=True)
    factor = np.linalg.cholesky(precision)
    root = np.swapaxes(np.linalg.inv(factor), 1, 2)
    return u, root, -np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)


def _row_derivatives(density: Density, eta: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle, high, low = density(eta), density(eta + unit), density(eta - unit)
    with np.errstate(invalid="ignore"):
        slope = (high - low) / (2 * unit)
        weight = (2 * middle - high - low) / unit**2
    return np.nan_to_num(slope, posinf=1e6, neginf=-1e6), np.maximum(np.nan_to_num(weight), 0.0)
