"""Independent draws from the priors of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesmlm.design import Design
from bayesmlm.priors.build import Priors
from bayesmlm.priors.joint import Joint
from bayesmlm.priors.overrides import THRESHOLDS


@dataclass(frozen=True)
class Parameters:
    """Draws of everything but the group effects.

    Attributes
    ----------
    fixef : ndarray, shape (size, k)
        The intercept is that of the predictors as given, not centred.
    sigma : ndarray, shape (size,), or None
        None if the family has none.
    sds : tuple of ndarray, shape (size, p)
        Per block.
    factors : tuple of ndarray, shape (size, p, p)
        Per block: Cholesky factors of the correlation matrices.
    auxiliary : dict of str to ndarray, shape (size,)
        The family's other auxiliary parameters; thresholds (size, K - 1) of an ordinal one.
    """

    fixef: np.ndarray
    sigma: np.ndarray | None
    sds: tuple[np.ndarray, ...]
    factors: tuple[np.ndarray, ...]
    auxiliary: dict[str, np.ndarray]


def draw_parameters(design: Design, priors: Priors, size: int, rng: np.random.Generator) -> Parameters:
    """Draw `size` independent values from priors among which is no ``bambi.Prior`` (`Priors.custom` is empty)."""
    sigma = None if priors.sigma is None else priors.sigma.used.sample(rng, size)
    phi = np.ones(size) if sigma is None else sigma
    fixef, joint = np.zeros((size, len(design.coefficients))), priors.joint
    for j, name in enumerate(design.coefficients):
        prior = priors.intercept if name == "(Intercept)" else priors.coefficients[name]
        assert prior is not None
        if not isinstance(prior.used, Joint):
            fixef[:, j] = prior.used.sample(rng, size)
    if joint is not None:
        together = [design.coefficients.index(name) for name in joint.columns]
        fixef[:, together] = joint.sample(rng, phi)
    if "(Intercept)" in design.coefficients:
        at = design.coefficients.index("(Intercept)")
        slopes = [j for j in range(fixef.shape[1]) if j != at]
        fixef[:, at] -= fixef[:, slopes] @ design.X[:, slopes].mean(axis=0)
    sds, factors = [], []
    for block in design.blocks:
        covariance, p = priors.covariance[block.label], len(block.columns)
        sds.append(covariance.sample_sd(rng, size, p, phi))
        factors.append(lkj_cholesky(covariance.regularization, p, size, rng))
    auxiliary = {
        name: _thresholds(design, prior.used, fixef, rng)
        if name == THRESHOLDS
        else prior.used.sample(rng, size)
        for name, prior in priors.auxiliary.items()
    }
    return Parameters(fixef, sigma, tuple(sds), tuple(factors), auxiliary)


def _thresholds(design: Design, prior: Any, fixef: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw thresholds (size, K - 1) given the slopes: the prior is about those at the means of the predictors."""
    size, count = len(fixef), len(design.response_levels) - 1
    centred = prior.sample(rng, size * count).reshape(size, count)
    if design.family.name == "cumulative":
        centred = np.sort(centred, axis=1)
    return centred + (fixef @ design.X.mean(axis=0))[:, None]


def lkj_cholesky(eta: float, p: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw Cholesky factors (size, p, p) of LKJ(eta) correlation matrices.

    C-vine of Lewandowski, Kurowicka & Joe (2009, section 2.4): the canonical partial correlations of columns i and
    j < i (counted from 0) are independent, 2 Beta(a_j, a_j) - 1 with a_j = eta + (p - 2 - j) / 2.
    """
    factor = np.zeros((size, p, p))
    factor[:, 0, 0] = 1.0
    for i in range(1, p):
        left = np.ones(size)  # what of column i's variance the columns before j leave
        for j in range(i):
            a = eta + (p - 2 - j) / 2
            r = 2 * rng.beta(a, a, size) - 1
            factor[:, i, j] = r * np.sqrt(left)
            left = left * (1 - r**2)
        factor[:, i, i] = np.sqrt(left)
    return factor
