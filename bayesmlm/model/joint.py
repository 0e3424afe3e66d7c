"""PyMC variables of slopes that have one prior together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bambi as bmb
import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesmlm.model.effects import residual_scale
from bayesmlm.priors import R2D2, Horseshoe, Joint, Priors

SHARED = "fixed||slopes"


def joint_prior(prior: Joint, names: Sequence[str], vector: bool, priors: Priors) -> bmb.Prior:
    """Return the bambi.Prior of one term, whose coefficients are called `names` in the joint prior."""
    at = [prior.columns.index(name) for name in names]
    return bmb.Prior(type(prior).__name__, dist=_builder(prior, at if vector else at[0], priors))


def _builder(prior: Joint, take: Any, priors: Priors) -> Callable[..., Any]:
    def build(name: str, dims: Any = None, **_: Any) -> Any:
        return pm.Deterministic(name, _slopes(prior, priors)[take], dims=dims or None)

    return build


def _slopes(prior: Joint, priors: Priors) -> Any:
    """All slopes (K,) in the current PyMC model, created once per model; see the prior's class for the symbols."""
    pymc_model = pm.modelcontext(None)
    if SHARED in pymc_model.named_vars:
        return pymc_model[SHARED]
    z = pm.Normal("fixed||z", 0.0, 1.0, shape=len(prior.columns))
    sigma = residual_scale(priors, pymc_model)
    scale = _horseshoe_scale(prior, sigma) if isinstance(prior, Horseshoe) else _r2d2_scale(prior, sigma)
    return pm.Deterministic(SHARED, z * scale * np.array(prior.units))


def _horseshoe_scale(prior: Horseshoe, sigma: Any) -> Any:
    local = pm.HalfStudentT("fixed||local", nu=prior.df, sigma=1.0, shape=len(prior.columns))
    overall = pm.HalfStudentT("fixed||global", nu=prior.global_df, sigma=1.0)
    slab = pm.InverseGamma("fixed||slab", alpha=prior.slab_df / 2, beta=prior.slab_df / 2)
    slope_scale = overall * prior.global_scale * sigma * local
    return slope_scale / pt.sqrt(1.0 + slope_scale**2 / (prior.slab_scale**2 * slab))


def _r2d2_scale(prior: Any, sigma: Any) -> Any:
    assert isinstance(prior, R2D2)
    a, b = prior.shapes
    r2 = pm.Beta("fixed||R2", alpha=a, beta=b)
    k = len(prior.columns)
    share = pm.Dirichlet("fixed||share", a=np.full(k, prior.cons_D2)) if k > 1 else 1.0
    return sigma * pt.sqrt(share * r2 / (1.0 - r2))
