"""What a fit says of the residual variance on the scale of the link: sigma^2, or that of the distribution."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.variance import VarianceParts, approximations, link_residual, variance_parts


def auxiliary_draws(posterior: Posterior) -> dict[str, np.ndarray]:
    """Draws of the scalar auxiliary parameters, sigma among them, by name, each of shape (chain x draw,)."""
    found = {name: x.values.ravel() for name, x in posterior.auxiliary.items() if x.ndim == 2}
    return found if posterior.sigma is None else {**found, "sigma": posterior.sigma.values.ravel()}


def residual_draws_on_link(
    design: Design, posterior: Posterior, approximation: str | None = None
) -> np.ndarray:
    """Draws of the residual variance on the scale of the link, shape (chain x draw,); see `bayesmlm.variance`.

    Raises
    ------
    BayesMLMError
        If the family has none, or no such approximation of it.
    """
    beta = posterior.fixef.values.reshape(posterior.n_draws, -1)
    covariances = [
        b.cov.values.reshape(posterior.n_draws, len(b.columns), len(b.columns)) for b in posterior.blocks
    ]
    return link_residual(design, beta, covariances, auxiliary_draws(posterior), approximation)


def has_link_residual(design: Design) -> bool:
    """Whether the variance on the scale of the link can be divided."""
    return design.family.is_gaussian_identity or bool(approximations(design.family))


def estimate_parts(
    design: Design, estimate: GlmerEstimate, approximation: str | None = None
) -> VarianceParts:
    """Divide the variance of a row at the estimates of a generalised model by maximum likelihood."""
    covariances = [b.cov for b in estimate.varcorr.blocks]
    values = {name: np.asarray(x) for name, x in _estimated(design, estimate).items()}
    sigma = values.pop("sigma", None)
    return variance_parts(design, estimate.beta, covariances, sigma, values, approximation)


def estimate_icc(design: Design, estimate: GlmerEstimate, approximation: str | None = None) -> pd.Series:
    """Intraclass correlation of each block with an intercept, on the scale of the link."""
    covariances = [b.cov for b in estimate.varcorr.blocks]
    residual = link_residual(design, estimate.beta, covariances, _estimated(design, estimate), approximation)
    blocks = [b for b in estimate.varcorr.blocks if "(Intercept)" in b.columns]
    own = {b.label: float(b.sd[b.columns.index("(Intercept)")] ** 2) for b in blocks}
    total = sum(own.values()) + float(residual)
    return pd.Series({label: v / total for label, v in own.items()}, dtype=float, name="icc")


def _estimated(design: Design, estimate: GlmerEstimate) -> dict[str, float]:
    """Auxiliary parameters by our names, from a dispersion sigma^2 where there is one: V = sigma^2 mu^2 or mu^3."""
    inverse = {"gamma": "shape", "wald": "lambda"}.get(design.family.name)
    if inverse is not None:
        return {inverse: estimate.sigma**-2}
    own = dict(estimate.auxiliary)
    return {**own, "sigma": estimate.sigma} if design.family.has_sigma else own
