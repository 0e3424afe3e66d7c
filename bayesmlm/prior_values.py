"""Draws of a model's parameters from their priors, in the form of a posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from bayesmlm.design import Design
from bayesmlm.draws import Posterior, labelled, labelled_auxiliary
from bayesmlm.errors import PriorError
from bayesmlm.prior_draws import block_draws, group_effects
from bayesmlm.priors import Priors, draw_parameters


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
    if priors.custom:
        raise PriorError(
            f"the prior of {priors.custom} is a bambi.Prior, from which no values can be drawn here: give one of bm's"
        )
    rng = np.random.default_rng(seed)
    drawn = draw_parameters(design, priors, size, rng)
    blocks = []
    for i, block in enumerate(design.blocks):
        kept = list((levels or {}).get(block.label, ()))
        b = group_effects(drawn, i, len(kept), rng)
        blocks.append(block_draws(block, drawn.sds[i][None], drawn.factors[i][None], b[None], kept))
    nothing = np.full((1, size), np.nan)
    stats = xr.Dataset({"lp": labelled(nothing), "diverging": labelled(np.zeros((1, size), dtype=bool))})
    fixef = labelled(drawn.fixef[None], coefficient=list(design.coefficients))
    sigma = None if drawn.sigma is None else labelled(drawn.sigma[None])
    auxiliary = {
        name: labelled_auxiliary(design, name, values[None]) for name, values in drawn.auxiliary.items()
    }
    return Posterior(fixef, sigma, tuple(blocks), labelled(nothing), stats, auxiliary)
