"""The log-density of the priors at given values of the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesmlm.design import Design
from bayesmlm.priors.build import Priors
from bayesmlm.priors.families import Decov, Lkj
from bayesmlm.priors.joint import Joint
from bayesmlm.priors.overrides import THRESHOLDS


def log_prior(
    design: Design,
    priors: Priors,
    fixef: np.ndarray,
    sigma: np.ndarray | None,
    sds: tuple[np.ndarray, ...],
    corrs: tuple[np.ndarray, ...],
    auxiliary: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return the log-densities of the priors, each normalised, by what they are about.

    The densities are those of the parameters as the priors are stated: the intercept of centred predictors, slopes,
    sigma, correlation matrices, standard deviations under `Lkj`, and for `Decov` tau and the shares of the variance.
    The group effects given their covariance are no part of it.

    Parameters
    ----------
    design, priors
        The model, with neither a ``bambi.Prior`` nor a joint prior of slopes: these have no density to evaluate here.
    fixef : ndarray, shape (..., k)
        The intercept being that of the predictors as given.
    sigma : ndarray, shape (...), or None
        None if the family has none.
    sds, corrs : tuples of ndarray, shapes (..., p) and (..., p, p)
        Per block.
    auxiliary : mapping of str to ndarray, shape (...)
        The family's other auxiliary parameters; thresholds (..., K - 1) of an ordinal one.

    Returns
    -------
    dict of str to ndarray, shape (...)
        ``"intercept"``, ``"slopes"``, the auxiliary parameters' names, and ``"covariance (<block label>)"``;
        absent ones left out.
    """
    out: dict[str, np.ndarray] = {}
    for j, name in enumerate(design.coefficients):
        prior = priors.intercept if name == "(Intercept)" else priors.coefficients[name]
        assert prior is not None
        assert not isinstance(prior.used, Joint)
        value = fixef @ design.X.mean(axis=0) if name == "(Intercept)" else fixef[..., j]
        key = "intercept" if name == "(Intercept)" else "slopes"
        out[key] = out.get(key, 0.0) + prior.used.log_density(value)
    if priors.sigma is not None:
        out["sigma"] = priors.sigma.used.log_density(sigma)
    for name, adjusted in priors.auxiliary.items():
        assert auxiliary is not None
        if name == THRESHOLDS:
            out[name] = _threshold_density(design, adjusted.used, auxiliary[name], fixef)
        else:
            out[name] = adjusted.used.log_density(auxiliary[name])
    phi = np.ones(fixef.shape[:-1]) if sigma is None else sigma
    for block, sd, corr in zip(design.blocks, sds, corrs, strict=True):
        prior_of_block = priors.covariance[block.label]
        density = lkj_log_density(prior_of_block.regularization, corr)
        out[f"covariance ({block.label})"] = density + sd_log_density(prior_of_block, sd, phi)
    return out


def _threshold_density(design: Design, prior: Any, thresholds: np.ndarray, fixef: np.ndarray) -> np.ndarray:
    """Log-density of thresholds (..., K - 1), taken at the means of the predictors; ordered ones have (K - 1)! as much.

    The prior holds for each, and for cumulative models where they increase.
    """
    from scipy.special import gammaln

    centred = thresholds - (fixef @ design.X.mean(axis=0))[..., None]
    value = prior.log_density(centred).sum(axis=-1)
    if design.family.name != "cumulative":
        return value
    rising = (np.diff(centred, axis=-1) > 0).all(axis=-1)
    return np.where(rising, value + gammaln(centred.shape[-1] + 1), -np.inf)


def sd_log_density(prior: Decov | Lkj, sd: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Log-density of the standard deviations (..., p): of themselves, or of decov's tau and shares."""
    if isinstance(prior, Lkj):
        return sum((d.log_density(sd[..., j]) for j, d in enumerate(prior.adjusted)), np.zeros(sd.shape[:-1]))
    from scipy.special import gammaln

    p, c = sd.shape[-1], prior.concentration
    total = np.sum(sd**2, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = np.sqrt(total / p) / (prior.scale * sigma)
        value = (prior.shape - 1) * np.log(tau) - tau if prior.shape != 1 else -tau
        if p > 1:
            value = value + gammaln(p * c) - p * gammaln(c)
            if c != 1:
                value = value + (c - 1) * np.log(sd**2 / total[..., None]).sum(axis=-1)
    return value - gammaln(prior.shape)


def lkj_log_density(eta: float, corr: np.ndarray) -> np.ndarray:
    """Log-density of LKJ(eta) at correlation matrices (..., p, p), over their elements below the diagonal.

    (eta - 1) log det R - log c, with c of Lewandowski, Kurowicka & Joe (2009, equation 16):
    c = prod_{k=1}^{p-1} [2^(2 eta - 2 + p - k) B(a_k, a_k)]^(p-k), a_k = eta + (p - k - 1) / 2.
    """
    from scipy.special import betaln

    p = corr.shape[-1]
    k = np.arange(1, p)
    a = eta + (p - k - 1) / 2
    constant = np.sum((p - k) * ((2 * eta - 2 + p - k) * np.log(2) + betaln(a, a)))
    if eta == 1:
        return np.full(corr.shape[:-2], -constant)
    with np.errstate(divide="ignore"):
        return (eta - 1) * np.linalg.slogdet(corr)[1] - constant
