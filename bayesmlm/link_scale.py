"""What a posterior says of the residual variance on the scale of the link: sigma^2, or that of the distribution."""

from __future__ import annotations

import numpy as np

from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.variance import approximations, link_residual


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
