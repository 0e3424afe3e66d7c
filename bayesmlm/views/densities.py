"""Smooth curves: densities of draws within their bounds, and a local-linear line through points."""

from __future__ import annotations

import numpy as np

N_POINTS = 200


def density(values: np.ndarray, low: float = -np.inf, high: float = np.inf, grid: np.ndarray | None = None):
    """Estimate a density on `grid`, by default 200 points over the range of the values and a margin.

    A Gaussian kernel with Silverman's (1986, eq. 3.31) bandwidth 0.9 min(sd, IQR / 1.34) n^(-1/5). Draws are
    reflected at the bounds, so that the density does not fall off where the parameter space ends.

    Returns
    -------
    grid, density : ndarray
    """
    values = np.asarray(values, dtype=float).ravel()
    spread = min(values.std(), float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.34) or values.std()
    width = 0.9 * spread * len(values) ** -0.2 or 1e-3 * max(abs(values[0]), 1e-3)
    if grid is None:
        start, end = max(values.min() - 3 * width, low), min(values.max() + 3 * width, high)
        grid = np.linspace(start, end, N_POINTS)
    images = [values] + [2 * end - values for end in (low, high) if np.isfinite(end)]
    total = np.zeros(len(grid))
    for image in images:
        near = image[(image > grid[0] - 5 * width) & (image < grid[-1] + 5 * width)]
        total += _kernel_sum(near, grid, width)
    return grid, total / (len(values) * width * np.sqrt(2 * np.pi))


def _kernel_sum(values: np.ndarray, grid: np.ndarray, width: float, piece: int = 20_000) -> np.ndarray:
    parts = [values[i : i + piece] for i in range(0, len(values), piece)]
    return sum(
        (np.exp(-0.5 * ((grid[:, None] - part) / width) ** 2).sum(axis=1) for part in parts),
        np.zeros(len(grid)),
    )


def smooth_line(x: np.ndarray, y: np.ndarray, span: float = 0.66, n_points: int = 60):
    """Fit a local line at each of `n_points` quantiles of x: tricube weights of the nearest `span` of the rows.

    Cleveland (1979), without the robustness iterations.

    Returns
    -------
    x, y : ndarray
        Points of the line, as many as there are distinct quantiles.
    """
    at = np.unique(np.quantile(x, np.linspace(0, 1, n_points)))
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    k = min(len(x), max(int(np.ceil(span * len(x))), 2))
    line = np.array([_local_line(x, y, point, k) for point in at])
    return at, line


def _local_line(x: np.ndarray, y: np.ndarray, point: float, k: int) -> float:
    """Return the value at `point` of the line fitted to the k rows nearest to it; x is sorted."""
    reach = np.partition(np.abs(x - point), k - 1)[k - 1]
    distance = np.abs(x - point) / reach if reach > 0 else (x != point).astype(float)
    weight = np.where(distance < 1, (1 - distance**3) ** 3, 0.0)
    if not weight.any():
        weight = (distance <= 1).astype(float)
    centre = np.average(x, weights=weight)
    spread = np.average((x - centre) ** 2, weights=weight)
    mean = np.average(y, weights=weight)
    if spread <= 1e-12 * max(np.ptp(x) ** 2, 1e-300):
        return float(mean)
    slope = np.average((x - centre) * y, weights=weight) / spread
    return float(mean + slope * (point - centre))
