"""An approximate fit of a generalised linear mixed model, good enough to start and to parametrise a sampler by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesmlm.design import Design
from bayesmlm.errors import DataError
from bayesmlm.families import GAUSSIAN, LINKS
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.lmer import fit_lmer

STEPS = 8
SMALL_CHANGE = 1e-3
EDGE = 0.02  # a probability, or a mean relative to the others, is kept this far from the end of its range
# Variance of a response as a function of its mean, up to a factor that the fit estimates.
POWERS = {"gamma": 2, "exponential": 2, "weibull": 2, "wald": 3, "poisson": 1, "negativebinomial": 1}


def fit_quasi(design: Design) -> LmerEstimate | None:
    """Fit by penalised quasi-likelihood (Breslow & Clayton 1993, J. Am. Stat. Assoc. 88:9), dispersion free.

    Each step is the linear mixed model of the working responses z = eta + (y - mu) / mu' with weights mu'^2 / V(mu).
    Zero-inflated responses are taken for plain ones, and V of a negative binomial for a Poisson's: a guide, not an
    estimate to report.

    Returns
    -------
    LmerEstimate or None
        Of the last working response, without the offset; its `fitted` is the linear predictor without the offset,
        and its `sigma` the root of the dispersion. None where there is no such fit.
    """
    name = design.family.name
    link = LINKS.get(design.family.link)
    if link is None or design.family.is_ordinal or name.startswith("hurdle"):
        return None
    m = 1.0 if design.trials is None else design.trials
    y = np.log(design.y) if name == "lognormal" else design.y / m
    prior = 1.0 if design.weights is None else design.weights
    offset = 0.0 if design.offset is None else design.offset
    eta = link.forward(_inside(y, design))
    estimate = None
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            mu, slope = link.inverse(eta), link.slope(eta)
            weights = prior * m * np.square(slope) / _variance(mu, design)
            working = eta - offset + (y - mu) / slope
            if not (np.isfinite(working).all() and np.isfinite(weights).all() and (weights > 0).all()):
                return None
            step = replace(
                design,
                y=working,
                weights=weights,
                offset=None,
                trials=None,
                family=GAUSSIAN,
                response_levels=(),
            )
            try:
                estimate = fit_lmer(step)
            except (DataError, np.linalg.LinAlgError):
                return None
            before, eta = eta, estimate.fitted + offset
            if np.max(np.abs(eta - before)) < SMALL_CHANGE * (np.ptp(eta) + SMALL_CHANGE):
                break
        inside = np.isfinite(eta).all() and _possible(link.inverse(eta), design)
    return estimate if inside else None


def fit_positions(design: Design) -> LmerEstimate | None:
    """Fit the positions of an ordinal response's categories as numbers: how well they determine each group's effect.

    None where there is no such fit.
    """
    X = np.column_stack([np.ones(design.nobs), design.X])
    names = ("(Intercept)", *design.coefficients)
    try:
        return fit_lmer(replace(design, X=X, coefficients=names, family=GAUSSIAN, response_levels=()))
    except (DataError, np.linalg.LinAlgError):
        return None


def fit_log_sigma(design: Design, estimate: LmerEstimate) -> LmerEstimate | None:
    """Fit the predictor of log sigma to the logarithms of a fit's absolute residuals, as if these were normal.

    For normal residuals E log |r / sigma| = (log 2 + digamma(1/2)) / 2 = -0.635. None where there is no such fit.
    """
    residual = np.abs(design.y - estimate.fitted)
    least = SMALL_CHANGE * residual.mean()
    y = np.log(np.maximum(residual, least)) + 0.635
    try:
        return fit_lmer(replace(design.others["sigma"], y=y, weights=None, family=GAUSSIAN, others={}))
    except (DataError, np.linalg.LinAlgError):
        return None


def _inside(y: np.ndarray, design: Design) -> np.ndarray:
    """Responses moved off the ends of their range, where a link is infinite: the first means, as of glm()."""
    if design.family.support in {"binomial", "unit"}:
        return np.clip(y, EDGE, 1 - EDGE) * 0.5 + 0.5 * np.clip(y.mean(), EDGE, 1 - EDGE)
    if design.family.link == "identity":
        return (
            y if design.family.support == "real" or design.family.name == "lognormal" else np.maximum(y, EDGE)
        )
    centre = np.abs(y).mean()
    return 0.5 * np.maximum(y, EDGE * centre) + 0.5 * max(y.mean(), EDGE * centre)


def _variance(mu: np.ndarray, design: Design) -> np.ndarray:
    name = design.family.name.removeprefix("zero_inflated_")
    if name in POWERS:
        return np.abs(mu) ** POWERS[name]
    if name in {"binomial", "beta_binomial", "beta"}:
        return mu * (1 - mu)
    return np.ones_like(mu)


def _possible(mu: np.ndarray, design: Design) -> bool:
    if design.family.support in {"binomial", "unit"}:
        return bool(((mu > 0) & (mu < 1)).all())
    return design.family.support == "real" or design.family.name == "lognormal" or bool((mu > 0).all())
