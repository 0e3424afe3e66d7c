"""Draws of a model's parameters from their priors, in the form of a posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from bayesmlm.blocks import Block
from bayesmlm.design import Design
from bayesmlm.draws import BlockDraws, Posterior, labelled
from bayesmlm.errors import PriorError
from bayesmlm.priors import Distribution, Priors


def prior_values(
    design: Design, priors: Priors, size: int, seed: int, levels: Mapping[str, Sequence[str]] | None = None
) -> Posterior:
    """Draw every parameter from its prior.

    sigma, the coefficients and the intercept of centred predictors are independent; standard deviations are drawn given
    sigma, correlations from LKJ, group effects from N(0, Sigma). The intercept is turned into that of the predictors as
    given, alpha - mean(X) beta.

    Parameters
    ----------
    design, priors
        The model.
    size
        Number of draws, all in one chain.
    seed
        Seed.
    levels
        For each block's label the levels whose effects are drawn; none if None.

    Raises
    ------
    PriorError
        For a prior that is not one of this package.
    """
    rng = np.random.default_rng(seed)
    sigma = _sample(priors.sigma.used, "sigma", rng, size)
    fixef = np.zeros((size, len(design.coefficients)))
    for j, name in enumerate(design.coefficients):
        if name != "(Intercept)":
            fixef[:, j] = _sample(priors.coefficients[name].used, name, rng, size)
    if priors.intercept is not None:
        j = design.coefficients.index("(Intercept)")
        centred = _sample(priors.intercept.used, "(Intercept)", rng, size)
        fixef[:, j] = centred - fixef @ np.where(np.arange(fixef.shape[1]) == j, 0.0, design.X.mean(axis=0))
    wanted = levels or {}
    blocks = tuple(_block(b, priors, sigma, wanted.get(b.label, ()), rng) for b in design.blocks)
    nothing = np.full((1, size), np.nan)
    stats = xr.Dataset({"lp": labelled(nothing), "diverging": labelled(np.zeros((1, size), dtype=bool))})
    coefficients = labelled(fixef[None], coefficient=list(design.coefficients))
    return Posterior(coefficients, labelled(sigma[None]), blocks, labelled(nothing), stats)


def _sample(prior: object, name: str, rng: np.random.Generator, size: int) -> np.ndarray:
    if not isinstance(prior, Distribution):
        raise PriorError(f"the prior of {name} is {prior!r}, from which no values can be drawn here")
    return prior.sample(rng, size)


def _block(
    block: Block, priors: Priors, sigma: np.ndarray, levels: Sequence[str], rng: np.random.Generator
) -> BlockDraws:
    prior, p, size = priors.covariance[block.label], len(block.columns), len(sigma)
    sd = prior.sample_sd(rng, size, p, sigma)
    factor = lkj_factors(rng, p, prior.regularization, size)
    noise = rng.standard_normal((size, len(levels), p))
    b = np.einsum("sp,spq,slq->slp", sd, factor, noise, optimize=True)
    corr = factor @ np.swapaxes(factor, -1, -2)
    return BlockDraws(
        block.label,
        block.group,
        labelled(sd[None], column=block.columns),
        labelled(corr[None], column=block.columns, column_bis=block.columns),
        labelled(b[None], level=list(levels), column=block.columns),
    )


def lkj_factors(rng: np.random.Generator, p: int, eta: float, size: int) -> np.ndarray:
    """Draw Cholesky factors (size, p, p) of correlation matrices from LKJ(eta).

    By the onion method of Lewandowski, Kurowicka & Joe (2009, Journal of Multivariate Analysis 100, section 3.2): row
    k of the factor has squared length y ~ Beta(k / 2, eta + (p - 1 - k) / 2) before its diagonal element sqrt(1 - y),
    in a direction uniform on the sphere.
    """
    factors = np.zeros((size, p, p))
    factors[:, 0, 0] = 1.0
    for k in range(1, p):
        y = rng.beta(k / 2, eta + (p - 1 - k) / 2, size)
        direction = rng.standard_normal((size, k))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        factors[:, k, :k] = np.sqrt(y)[:, None] * direction
        factors[:, k, k] = np.sqrt(1 - y)
    return factors
