"""The posterior of a model without group effects, and how well it predicts: it is one integral over sigma away."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from bayesmlm.design import Design
from bayesmlm.predictive_fit import smoothed_frame
from bayesmlm.priors import Distribution, Priors

CHUNK = 4_000_000  # numbers held at once
GRID = 4000


def linear_elpd(
    design: Design, priors: Priors, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return leave-one-out elpd (n,) and Pareto k (n,) of the fixed part alone; None where a prior is not normal.

    With centred columns X = U D V' S^-1 (S the prior sds), r = y - X m and c = U'r, all rows times the roots of their
    weights, the density of y given sigma is N(X m, sigma^2 I + U D^2 U'), so that log sigma has a density that a grid
    holds; given sigma the coefficients are normal. The draws are independent.
    """
    scaled = _prior_columns(design, priors)
    if scaled is None or priors.sigma is None or not isinstance(priors.sigma.used, Distribution):
        return None
    columns, center = scaled
    root = np.ones(design.nobs) if design.weights is None else np.sqrt(design.weights)
    y = design.y if design.offset is None else design.y - design.offset
    U, d, _ = np.linalg.svd(root[:, None] * columns, full_matrices=False)
    rng = np.random.default_rng(seed)
    sigma, a = _draw(U, d, root * (y - center), priors.sigma.used, draws, rng)
    frame, _ = smoothed_frame(_log_densities(y, center, (U * d) / root[:, None], root, sigma, a))
    return frame["elpd"].to_numpy(), frame["pareto_k"].to_numpy()


def _draw(
    U: np.ndarray, d: np.ndarray, r: np.ndarray, prior: Distribution, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw sigma (S,) and the coefficients a (S, k) of the columns U D, whose prior is N(0, I)."""
    c = U.T @ r
    free = max(len(r) - len(d), 1)
    rest = max(float(r @ r - c @ c), 1e-300)
    # log sigma has a posterior sd of about (2 (n - k))^-1/2; the prior moves it by less than as much again
    log_sigma = 0.5 * np.log(rest / free) + np.linspace(-12, 12, GRID) / np.sqrt(2 * free)
    v = np.exp(2 * log_sigma)
    log_p = -(len(r) - len(d)) / 2 * np.log(v) - rest / (2 * v)
    spread = v[:, None] + d**2
    log_p -= 0.5 * (np.log(spread) + c**2 / spread).sum(axis=1)
    log_p += _log_density(prior, np.exp(log_sigma)) + log_sigma
    weight = np.exp(log_p - log_p.max())
    sigma = np.exp(np.interp(rng.random(draws), np.cumsum(weight) / weight.sum(), log_sigma))
    s2 = sigma[:, None] ** 2
    noise = rng.standard_normal((draws, len(d)))
    return sigma, d * c / (s2 + d**2) + np.sqrt(s2 / (s2 + d**2)) * noise


def _log_densities(
    y: np.ndarray, center: np.ndarray, UD: np.ndarray, root: np.ndarray, sigma: np.ndarray, a: np.ndarray
) -> Iterator[np.ndarray]:
    """Log densities (1, draw, m) of consecutive rows."""
    for rows in np.array_split(np.arange(len(y)), 1 + len(y) * len(sigma) // CHUNK):
        mean = center[rows] + a @ UD[rows].T
        yield stats.norm.logpdf(y[rows], mean, sigma[:, None] / root[rows])[None]


def _prior_columns(design: Design, priors: Priors) -> tuple[np.ndarray, np.ndarray] | None:
    """Columns times the prior sds of their coefficients, and the prior mean of the response; predictors centred."""
    has = priors.intercept is not None
    columns, center = [], np.zeros(design.nobs)
    for name, x in zip(design.coefficients, design.X.T, strict=True):
        prior = priors.intercept if name == "(Intercept)" else priors.coefficients[name]
        used = None if prior is None else prior.used
        if not isinstance(used, Distribution) or used.name != "normal":
            return None
        x = x - x.mean() if has and name != "(Intercept)" else x
        columns.append(x * used["scale"])
        center = center + x * used["location"]
    return (np.column_stack(columns) if columns else np.empty((design.nobs, 0))), center


def _log_density(prior: Distribution, x: np.ndarray) -> np.ndarray:
    """Log-density of a prior on the positive numbers, up to a constant."""
    p = dict(prior.parameters)
    match prior.name:
        case "half_normal":
            return stats.halfnorm.logpdf(x, scale=p["scale"])
        case "half_student_t":
            return stats.t.logpdf(x, p["df"], scale=p["scale"])
        case "half_cauchy":
            return stats.halfcauchy.logpdf(x, scale=p["scale"])
        case "exponential":
            return stats.expon.logpdf(x, scale=1 / p["rate"])
        case "gamma":
            return stats.gamma.logpdf(x, p["shape"], scale=1 / p["rate"])
    raise ValueError(f"not a prior of a standard deviation: {prior.name}")
