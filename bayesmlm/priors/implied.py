"""What priors imply in plain units: ranges of slopes, of standard deviations, of shares of variance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesmlm.design import Design
from bayesmlm.meanings import latent_residual
from bayesmlm.priors.build import Priors, column_sd
from bayesmlm.priors.families import Distribution
from bayesmlm.priors.joint import Joint

ENDS = (0.05, 0.95)
SIZE = 100_000


@dataclass(frozen=True)
class ImpliedSlope:
    """What the priors say about one slope: central 90% ranges of the change in the linear predictor.

    Attributes
    ----------
    name : str
    per_unit, per_sd : tuple of float
        For one unit of the predictor, and for one standard deviation (divisor n - 1) of its column.
    """

    name: str
    per_unit: tuple[float, float]
    per_sd: tuple[float, float]


@dataclass(frozen=True)
class Implications:
    """What all priors of a model say in plain units, as central 90% ranges; NaN where a ``bambi.Prior`` decides.

    Attributes
    ----------
    mean : tuple of float or None
        Linear predictor (with the identity link the expected response) where all predictors are at their means; None
        without an intercept.
    slopes : tuple of ImpliedSlope
    auxiliary : mapping of str to tuple of float
        Residual standard deviation, and the family's other auxiliary parameters.
    blocks : tuple of Implied
    """

    mean: tuple[float, float] | None
    slopes: tuple[ImpliedSlope, ...]
    auxiliary: Mapping[str, tuple[float, float]]
    blocks: tuple[Implied, ...]


@dataclass(frozen=True)
class Implied:
    """What the priors say about one block, in plain units, from simulation.

    Attributes
    ----------
    label : str
    columns : tuple of str
    sd_range : ndarray, shape (p, 2)
        Central 90% range of each standard deviation, in units of the linear predictor (per unit of the column).
    icc_median, icc_above_half : float
        Prior median of the intercepts' share of variance, sd^2 / (sum of intercept variances + v),
        and the prior probability that it exceeds one half; NaN without an intercept column. v is sigma^2 or, of
        binomial and cumulative models, the variance of the latent response; NaN for other families.
    extreme_correlation : float
        Prior probability that a correlation exceeds 0.9 in absolute value; NaN for one column.
    """

    label: str
    columns: tuple[str, ...]
    sd_range: np.ndarray
    icc_median: float
    icc_above_half: float
    extreme_correlation: float


def implications(design: Design, priors: Priors, size: int = SIZE, seed: int = 1) -> Implications:
    """Work out what the priors imply: exactly for single numbers, by simulation for what depends on several."""
    mean = None if priors.intercept is None else _range(priors.intercept.used)
    ranges = {
        name: _range(p.used) for name, p in priors.coefficients.items() if not isinstance(p.used, Joint)
    }
    joint = priors.joint
    if joint is not None:
        ranges |= _joint_ranges(joint, _sigma_prior(priors), size, seed)
    slopes = []
    for name, sd in zip(design.coefficients, column_sd(design.X), strict=True):
        if name in ranges:
            low, high = ranges[name]
            slopes.append(ImpliedSlope(name, (low, high), (low * float(sd), high * float(sd))))
    blocks = tuple(implied(design, priors, size, seed))
    own = {} if priors.sigma is None else {"sigma": priors.sigma}
    ranges = {name: _range(prior.used) for name, prior in {**own, **priors.auxiliary}.items()}
    return Implications(mean, tuple(slopes), ranges, blocks)


def _sigma_prior(priors: Priors) -> object:
    return None if priors.sigma is None else priors.sigma.used


def _range(prior: object) -> tuple[float, float]:
    if not isinstance(prior, Distribution):
        return float("nan"), float("nan")
    low, high = prior.quantile(np.array(ENDS))
    return float(low), float(high)


def _joint_ranges(joint: Joint, sigma: object, size: int, seed: int) -> dict[str, tuple[float, float]]:
    if not isinstance(sigma, Distribution):
        return {name: (float("nan"), float("nan")) for name in joint.columns}
    rng = np.random.default_rng([seed, 1])
    bounds = np.quantile(joint.sample(rng, sigma.sample(rng, size)), ENDS, axis=0)
    return {
        name: (float(low), float(high)) for name, (low, high) in zip(joint.columns, bounds.T, strict=True)
    }


def implied(design: Design, priors: Priors, size: int = SIZE, seed: int = 1) -> list[Implied]:
    """Simulate the covariance priors; Monte Carlo error of a probability is below 0.002 by default."""
    rng = np.random.default_rng(seed)
    sigma_prior = _sigma_prior(priors)
    if isinstance(sigma_prior, Distribution):
        sigma = sigma_prior.sample(rng, size)
    else:
        sigma = np.full(size, 1.0 if sigma_prior is None else np.nan)
    sds = {
        b.label: priors.covariance[b.label].sample_sd(rng, size, len(b.columns), sigma) for b in design.blocks
    }
    with_intercept = [b.label for b in design.blocks if b.columns[0] == "(Intercept)"]
    residual = _residual_variance(design, sigma)
    known = not np.isnan(residual).any()
    total = residual + sum((sds[label][:, 0] ** 2 for label in with_intercept), np.zeros(size))
    out = []
    for b in design.blocks:
        has = b.label in with_intercept and known
        icc = sds[b.label][:, 0] ** 2 / total if has else np.full(size, np.nan)
        extreme = _extreme_correlation(priors.covariance[b.label].regularization, len(b.columns))
        bounds = np.quantile(sds[b.label], [0.05, 0.95], axis=0).T
        above = float(np.mean(icc > 0.5)) if has else float("nan")
        out.append(Implied(b.label, b.columns, bounds, float(np.median(icc)), above, extreme))
    return out


def _residual_variance(design: Design, sigma: np.ndarray) -> np.ndarray:
    """Variance of a row given the linear predictor, on the predictor's scale; NaN where that is not a number."""
    family = design.family
    latent = latent_residual(family)
    if latent is not None:
        return np.full_like(sigma, latent)
    normal = family.name in {"gaussian", "lognormal"} and family.link == "identity"
    return np.square(sigma) if normal else np.full_like(sigma, np.nan)


def _extreme_correlation(eta: float, p: int) -> float:
    """P(|r| > 0.9) under LKJ(eta): (r + 1) / 2 ~ Beta(a, a), a = eta - 1 + p / 2 (Lewandowski et al. 2009)."""
    if p < 2:
        return float("nan")
    from scipy.stats import beta

    a = eta - 1 + p / 2
    return float(2 * beta.cdf(0.05, a, a))
