"""Densities, means, variances and draws of responses given the linear predictor, in NumPy.

All functions broadcast: `eta` has shape (S, n) for S draws and n rows, auxiliary parameters broadcast against it, as
(S, 1) or, where they have a predictor of their own, (S, n). Of ordinal families `auxiliary` has ``thresholds``,
(S, 1, K - 1); the `eta` of a categorical one is (S, n, K - 1), the first category's being 0.

Parametrisations: negative binomial with variance mu + mu^2 / reciprocal_dispersion; gamma mu^2 / shape; inverse
Gaussian mu^3 / lambda; beta mu (1 - mu) / (1 + phi); beta-binomial with beta parameters mu phi and (1 - mu) phi;
Weibull with mean mu; psi is the probability of the process of counts (zero-inflated), or of a response above zero
(hurdle). cumulative: P(y <= k) = F(threshold_k - eta); sratio: P(y = k | y >= k) = F(threshold_k - eta).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import betaln, gammaln, xlog1py, xlogy

from bayesmlm.families.family import Family
from bayesmlm.families.links import LINKS, log_probabilities

Auxiliary = Mapping[str, np.ndarray]
ZERO_INFLATED, HURDLE = "zero_inflated_", "hurdle_"


def log_density(
    family: Family,
    y: np.ndarray,
    eta: np.ndarray,
    auxiliary: Auxiliary,
    trials: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return the log-density of each response, normalised, shape (S, n).

    Parameters
    ----------
    family
        Family and link.
    y : ndarray, shape (n,)
        Responses; the number of successes of a binomial, the position of a category.
    eta
        Linear predictors.
    auxiliary
        Auxiliary parameters by name.
    trials : ndarray, shape (n,)
        Numbers of trials of a binomial; 1 if None.
    weights : ndarray, shape (n,)
        The variance of a Gaussian response is sigma^2 / weight; other densities are raised to the weight.
    """
    if family.name == "gaussian" and weights is not None:
        auxiliary, weights = {"sigma": auxiliary["sigma"] / np.sqrt(weights)}, None
    m = np.ones_like(y) if trials is None else trials
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        value = _log_density(family, y, eta, auxiliary, m)
    return value if weights is None else weights * value


def _log_density(family: Family, y: np.ndarray, eta: np.ndarray, a: Auxiliary, m: np.ndarray) -> np.ndarray:
    name = family.name
    if name.startswith(ZERO_INFLATED):
        counts = Family(name.removeprefix(ZERO_INFLATED), family.link)
        value = np.log(a["psi"]) + _log_density(counts, y, eta, a, m)
        return np.where(y == 0, np.logaddexp(value, np.log1p(-a["psi"])), value)
    if name.startswith(HURDLE):
        return _hurdle(family, y, eta, a, m)
    if family.is_ordinal or family.is_categorical:
        at = np.broadcast_to(y.astype(int), eta.shape[:-1] if family.is_categorical else eta.shape)
        chances = category_log_probabilities(family, eta, a)
        return np.take_along_axis(chances, at[..., None], axis=-1)[..., 0]
    if name == "binomial":
        yes, no = log_probabilities(family.link, eta)
        choose = gammaln(m + 1) - gammaln(y + 1) - gammaln(m - y + 1)
        return choose + np.where(y > 0, y * yes, 0) + np.where(m > y, (m - y) * no, 0)
    if name == "poisson":
        log_mu = eta if family.link == "log" else np.log(LINKS[family.link].inverse(eta))
        return np.where(y > 0, y * log_mu, 0) - np.exp(log_mu) - gammaln(y + 1)
    mu = LINKS[family.link].inverse(eta)
    match name:
        case "gaussian":
            return -0.5 * np.square((y - mu) / a["sigma"]) - np.log(a["sigma"]) - 0.5 * np.log(2 * np.pi)
        case "lognormal":
            return _log_density(Family(), np.log(y), eta, a, m) - np.log(y)
        case "t":
            nu, s = a["nu"], a["sigma"]
            kernel = -0.5 * (nu + 1) * np.log1p(np.square((y - mu) / s) / nu)
            return kernel + gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi) - np.log(s)
        case "negativebinomial":
            k = a["reciprocal_dispersion"]
            choose = gammaln(y + k) - gammaln(k) - gammaln(y + 1)
            return choose - xlog1py(k, mu / k) + xlogy(y, mu / (mu + k))
        case "gamma":
            k = a["shape"]
            value = k * np.log(k / mu) + (k - 1) * np.log(y) - k * y / mu - gammaln(k)
            return np.where(mu > 0, value, -np.inf)
        case "wald":
            k = a["lambda"]
            value = 0.5 * np.log(k / (2 * np.pi * y**3)) - 0.5 * k * np.square(y - mu) / (np.square(mu) * y)
            return np.where(mu > 0, value, -np.inf)
        case "exponential":
            return np.where(mu > 0, -np.log(mu) - y / mu, -np.inf)
        case "weibull":
            k, scale = a["shape"], mu / np.exp(gammaln(1 + 1 / a["shape"]))
            return np.log(k / scale) + (k - 1) * np.log(y / scale) - (y / scale) ** k
        case "beta":
            p, q = mu * a["phi"], (1 - mu) * a["phi"]
            return xlogy(p - 1, y) + xlog1py(q - 1, -y) - betaln(p, q)
        case "beta_binomial":
            p, q = mu * a["phi"], (1 - mu) * a["phi"]
            choose = gammaln(m + 1) - gammaln(y + 1) - gammaln(m - y + 1)
            return choose + betaln(y + p, m - y + q) - betaln(p, q)
    raise AssertionError(name)


def _hurdle(family: Family, y: np.ndarray, eta: np.ndarray, a: Auxiliary, m: np.ndarray) -> np.ndarray:
    above = Family(family.name.removeprefix(HURDLE), family.link)
    positive = np.where(y > 0, y, 1.0)
    value = np.log(a["psi"]) + _log_density(above, positive, eta, a, m)
    if above.support == "count":
        value = value - np.log(-np.expm1(_log_density(above, np.zeros_like(y), eta, a, m)))
    return np.where(y > 0, value, np.log1p(-a["psi"]))


def category_log_probabilities(family: Family, eta: np.ndarray, auxiliary: Auxiliary) -> np.ndarray:
    """Return log P(y = k) of ordinal and categorical responses, shape (S, n, K)."""
    if family.is_categorical:
        full = np.concatenate([np.zeros((*eta.shape[:-1], 1)), eta], axis=-1)
        return full - np.logaddexp.reduce(full, axis=-1, keepdims=True)
    below, above = log_probabilities(family.link, auxiliary["thresholds"] - eta[..., None])
    one = np.zeros((*below.shape[:-1], 1))
    if family.name == "sratio":
        passed = np.cumsum(above, axis=-1)
        return np.concatenate([below[..., :1], below[..., 1:] + passed[..., :-1], passed[..., -1:]], axis=-1)
    # log(F_k - F_{k-1}), from the tail in which both are small
    low, high = np.concatenate([below, one], axis=-1), np.concatenate([one, above], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.concatenate([np.full_like(one, -np.inf), below], axis=-1)
        last = np.concatenate([above, np.full_like(one, -np.inf)], axis=-1)
        left = low + np.log(-np.expm1(first - low))
        right = high + np.log(-np.expm1(last - high))
    return np.where(low < high, left, right)


def mean(family: Family, eta: np.ndarray, auxiliary: Auxiliary) -> np.ndarray:
    """Return the expected response, shape (S, n); of binomials per trial; of categories (S, n, K) probabilities."""
    if family.is_ordinal or family.is_categorical:
        return np.exp(category_log_probabilities(family, eta, auxiliary))
    name = family.name
    if name == "lognormal":
        return np.exp(eta + 0.5 * np.square(auxiliary["sigma"]))
    if name.startswith(ZERO_INFLATED):
        return auxiliary["psi"] * LINKS[family.link].inverse(eta)
    if name.startswith(HURDLE):
        above = Family(name.removeprefix(HURDLE), family.link)
        value = auxiliary["psi"] * mean(above, eta, auxiliary)
        if above.support != "count":
            return value
        zero = log_density(above, np.zeros(eta.shape[-1]), eta, auxiliary)
        return value / -np.expm1(zero)
    return LINKS[family.link].inverse(eta)


def variance(
    family: Family, eta: np.ndarray, auxiliary: Auxiliary, trials: np.ndarray | None = None
) -> np.ndarray:
    """Return the variance of each response given its predictor, shape (S, n); of binomials that of the proportion.

    Categories have none.
    """
    a, mu = auxiliary, mean(family, eta, auxiliary)
    m = 1.0 if trials is None else trials
    match family.name:
        case "gaussian":
            return np.broadcast_to(np.square(a["sigma"]), mu.shape)
        case "t":
            with np.errstate(divide="ignore", invalid="ignore"):
                spread = np.where(a["nu"] > 2, a["nu"] / (a["nu"] - 2), np.inf)
            return np.broadcast_to(np.square(a["sigma"]) * spread, mu.shape)
        case "lognormal":
            return np.square(mu) * np.expm1(np.square(a["sigma"]))
        case "binomial":
            return mu * (1 - mu) / m
        case "beta_binomial":
            return mu * (1 - mu) / m * (a["phi"] + m) / (a["phi"] + 1)
        case "poisson":
            return mu
        case "negativebinomial":
            return mu + np.square(mu) / a["reciprocal_dispersion"]
        case "gamma":
            return np.square(mu) / a["shape"]
        case "wald":
            return mu**3 / a["lambda"]
        case "exponential":
            return np.square(mu)
        case "weibull":
            k = a["shape"]
            return np.square(mu) * np.expm1(gammaln(1 + 2 / k) - 2 * gammaln(1 + 1 / k))
        case "beta":
            return mu * (1 - mu) / (1 + a["phi"])
    prefix = ZERO_INFLATED if family.name.startswith(ZERO_INFLATED) else HURDLE
    inner = Family(family.name.removeprefix(prefix), family.link)
    # E y^2 of a mixture with zero; a hurdle's counts are cut at zero, which leaves E y^2 but for the factor
    share = a["psi"]
    plain = mean(inner, eta, a)
    second = variance(inner, eta, a, trials) + np.square(plain)
    if prefix == HURDLE and inner.support == "count":
        share = share / -np.expm1(log_density(inner, np.zeros(eta.shape[-1]), eta, a, trials))
    return share * second - np.square(mu)


def draw(
    family: Family,
    eta: np.ndarray,
    auxiliary: Auxiliary,
    rng: np.random.Generator,
    trials: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Draw one response for each predictor, shape (S, n): successes of a binomial, positions of categories."""
    a, name = auxiliary, family.name
    if family.is_ordinal or family.is_categorical:
        chances = np.cumsum(mean(family, eta, a), axis=-1)
        return (rng.random((*chances.shape[:-1], 1)) > chances[..., :-1]).sum(axis=-1).astype(float)
    m = np.ones(eta.shape[-1]) if trials is None else trials
    if name.startswith(ZERO_INFLATED):
        counts = draw(Family(name.removeprefix(ZERO_INFLATED), family.link), eta, a, rng, trials)
        return np.where(rng.random(eta.shape) < a["psi"], counts, 0.0)
    if name.startswith(HURDLE):
        above = Family(name.removeprefix(HURDLE), family.link)
        value = _positive_draw(above, eta, a, rng) if above.support == "count" else draw(above, eta, a, rng)
        return np.where(rng.random(eta.shape) < a["psi"], value, 0.0)
    mu = LINKS[family.link].inverse(eta)
    match name:
        case "gaussian":
            spread = a["sigma"] if weights is None else a["sigma"] / np.sqrt(weights)
            return mu + spread * rng.standard_normal(eta.shape)
        case "t":
            return mu + a["sigma"] * rng.standard_t(np.broadcast_to(a["nu"], eta.shape))
        case "lognormal":
            return np.exp(mu + a["sigma"] * rng.standard_normal(eta.shape))
        case "binomial":
            return rng.binomial(m.astype(int), np.clip(mu, 0, 1)).astype(float)
        case "beta_binomial":
            p = rng.beta(mu * a["phi"], (1 - mu) * a["phi"])
            return rng.binomial(m.astype(int), p).astype(float)
        case "poisson":
            return rng.poisson(mu).astype(float)
        case "negativebinomial":
            k = np.broadcast_to(a["reciprocal_dispersion"], eta.shape)
            return rng.poisson(rng.gamma(k, mu / k)).astype(float)
        case "gamma":
            return rng.gamma(np.broadcast_to(a["shape"], eta.shape), mu / a["shape"])
        case "wald":
            return rng.wald(mu, np.broadcast_to(a["lambda"], eta.shape))
        case "exponential":
            return rng.exponential(mu)
        case "weibull":
            k = np.broadcast_to(a["shape"], eta.shape)
            return mu / np.exp(gammaln(1 + 1 / k)) * rng.weibull(k)
        case "beta":
            return rng.beta(mu * a["phi"], (1 - mu) * a["phi"])
    raise AssertionError(name)


def _positive_draw(
    family: Family, eta: np.ndarray, auxiliary: Auxiliary, rng: np.random.Generator
) -> np.ndarray:
    """Counts given that they are above zero, by the inverse of the distribution function."""
    from scipy.stats import nbinom, poisson

    mu = np.exp(eta)
    if family.name == "poisson":
        counts = poisson(mu)
    else:
        k = auxiliary["reciprocal_dispersion"]
        counts = nbinom(k, k / (k + mu))
    zero = counts.pmf(0)
    return np.maximum(counts.ppf(zero + (1 - zero) * rng.random(eta.shape)), 1.0)


def latent_variance(family: Family) -> float | None:
    """Return the variance of the latent response of a threshold model: pi^2 / 3 for logit, 1 for probit, pi^2 / 6."""
    return {"logit": np.pi**2 / 3, "probit": 1.0, "cloglog": np.pi**2 / 6}.get(family.link)
