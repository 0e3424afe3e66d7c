"""Distribution functions of responses given the linear predictor, for quantile residuals."""

from __future__ import annotations

import numpy as np
from scipy import special

from bayesmlm.families.family import Family
from bayesmlm.families.likelihood import HURDLE, ZERO_INFLATED, Auxiliary, log_density, mean
from bayesmlm.families.links import LINKS

DISCRETE = {"count", "binomial", "ordinal"}


def distribution(
    family: Family,
    y: np.ndarray,
    eta: np.ndarray,
    auxiliary: Auxiliary,
    trials: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return P(Y <= y) of each response, shape (S, n); for y below the least possible response 0.

    Parameters
    ----------
    family, y, eta, auxiliary, trials, weights
        As of `log_density`; `y` may have the shape of `eta`. Weights matter to Gaussian responses only, whose variance
        is sigma^2 / weight.
    """
    if family.name == "gaussian" and weights is not None:
        auxiliary = {"sigma": auxiliary["sigma"] / np.sqrt(weights)}
    m = np.ones(eta.shape[1]) if trials is None else trials
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.clip(_distribution(family, y, eta, auxiliary, m), 0.0, 1.0)


def _distribution(family: Family, y: np.ndarray, eta: np.ndarray, a: Auxiliary, m: np.ndarray) -> np.ndarray:
    name = family.name
    if family.is_ordinal:
        below = np.cumsum(mean(family, eta, a), axis=-1)
        at = np.clip(np.broadcast_to(y, eta.shape).astype(int), 0, below.shape[-1] - 1)
        return np.where(y < 0, 0.0, np.take_along_axis(below, at[..., None], axis=-1)[..., 0])
    if name.startswith((ZERO_INFLATED, HURDLE)):
        inner = Family(name.removeprefix(ZERO_INFLATED).removeprefix(HURDLE), family.link)
        value = _distribution(inner, np.maximum(y, 0), eta, a, m)
        if name.startswith(HURDLE):
            none = _distribution(inner, np.zeros_like(y), eta, a, m) if inner.support == "count" else 0.0
            value = np.where(y > 0, (value - none) / (1 - none), 0.0)
        return np.where(y < 0, 0.0, 1 - a["psi"] + a["psi"] * value)
    mu, at = LINKS[family.link].inverse(eta), np.maximum(y, 0.0)
    match name:
        case "gaussian":
            return special.ndtr((y - mu) / a["sigma"])
        case "t":
            return special.stdtr(np.broadcast_to(a["nu"], mu.shape), (y - mu) / a["sigma"])
        case "lognormal":
            return np.where(y > 0, special.ndtr((np.log(np.where(y > 0, y, 1)) - mu) / a["sigma"]), 0.0)
        case "binomial":
            return np.where(
                y < 0, 0.0, np.where(at >= m, 1.0, special.betainc(np.maximum(m - at, 1e-12), at + 1, 1 - mu))
            )
        case "beta_binomial":
            return _beta_binomial(y, mu, a["phi"], m)
        case "poisson":
            return np.where(y < 0, 0.0, special.gammaincc(at + 1, mu))
        case "negativebinomial":
            k = a["reciprocal_dispersion"]
            return np.where(y < 0, 0.0, special.betainc(np.broadcast_to(k, mu.shape), at + 1, k / (k + mu)))
        case "gamma":
            return special.gammainc(np.broadcast_to(a["shape"], mu.shape), at * a["shape"] / mu)
        case "wald":
            root = np.sqrt(a["lambda"] / np.where(y > 0, y, 1.0))
            first = special.ndtr(root * (y / mu - 1))
            second = np.exp(2 * a["lambda"] / mu + special.log_ndtr(-root * (y / mu + 1)))
            return np.where(y > 0, first + second, 0.0)
        case "exponential":
            return -np.expm1(-at / mu)
        case "weibull":
            k = a["shape"]
            return -np.expm1(-((at / mu * np.exp(special.gammaln(1 + 1 / k))) ** k))
        case "beta":
            return special.betainc(mu * a["phi"], (1 - mu) * a["phi"], np.clip(y, 0, 1))
    raise NotImplementedError(f"no distribution function of {name}")


def _beta_binomial(y: np.ndarray, mu: np.ndarray, phi: np.ndarray, m: np.ndarray) -> np.ndarray:
    """The sum of the probabilities up to y."""
    family, eta = Family("beta_binomial", "logit"), special.logit(mu)
    total = np.zeros(mu.shape)
    for k in range(int(np.max(y, initial=-1)) + 1):
        value = np.minimum(float(k), m)
        chance = np.exp(log_density(family, np.broadcast_to(value, m.shape), eta, {"phi": phi}, m))
        total += np.where((k <= y) & (k <= m), chance, 0.0)
    return total


def quantile_residuals(
    family: Family,
    y: np.ndarray,
    eta: np.ndarray,
    auxiliary: Auxiliary,
    rng: np.random.Generator,
    trials: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return normal quantiles of P(Y <= y), shape (S, n): standard normal if the model is right.

    Where a response has probability of its own, as counts have, P is drawn between P(Y < y) and P(Y <= y) (Dunn & Smyth
    1996, Journal of Computational and Graphical Statistics 5, 236-244).
    """
    p = random_probabilities(family, y, eta, auxiliary, rng.random(eta.shape), trials, weights)
    return special.ndtri(np.clip(p, 1e-15, 1 - 1e-15))


def random_probabilities(
    family: Family,
    y: np.ndarray,
    eta: np.ndarray,
    auxiliary: Auxiliary,
    u: np.ndarray,
    trials: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return P(Y < y) + u P(Y = y), shape (S, n): uniform if the model is right and u is."""
    upper = distribution(family, y, eta, auxiliary, trials, weights)
    if family.support in DISCRETE:
        lower = distribution(family, y - 1, eta, auxiliary, trials, weights)
    elif family.name.startswith(HURDLE):
        lower = np.where(y > 0, upper, 0.0)
    else:
        lower = upper
    return upper if lower is upper else lower + (upper - lower) * u
