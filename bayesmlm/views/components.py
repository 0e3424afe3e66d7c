"""Standard deviations and correlations: posterior densities beside the reference fit's estimates and intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.comparison import reference_auxiliary
from bayesmlm.design import Design
from bayesmlm.diagnostics import auxiliary_range, auxiliary_values
from bayesmlm.draws import Posterior
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.reference.parameters import Parameter, parameters_of, values_of
from bayesmlm.views.coefficients import point_and_intervals
from bayesmlm.views.densities import density

BOUNDS = {"sd": (0.0, np.inf), "cor": (-1.0, 1.0)}
PROFILE_LIMIT = 5000  # group effects: below it the profiles of a model take seconds, not minutes


def variance_parameters(design: Design) -> list[Parameter]:
    """Return the standard deviations and correlations in lme4's order, sigma and other auxiliary parameters last."""
    found = [p for p in parameters_of(design) if p.kind not in {"beta", "sigma"}]
    own = [Parameter(n, "sigma" if n == "sigma" else "auxiliary") for n in design.family.auxiliary]
    return found + own


def quick_profile(design: Design) -> bool:
    """Whether the model is small enough for profile intervals without being asked."""
    return sum(b.Z.shape[1] * len(b.levels) for b in design.blocks) <= PROFILE_LIMIT


def component_table(
    design: Design,
    posterior: Posterior,
    estimate: LmerEstimate | GlmerEstimate | None = None,
    profile: pd.DataFrame | None = None,
    *,
    prob: float = 0.9,
    inner: float = 0.5,
) -> pd.DataFrame:
    """Tabulate standard deviations and correlations of both fits.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    estimate
        The reference fit; none if None.
    profile
        Its intervals: two columns, indexed by R's names as in ``confint``; none if None.
    prob, inner
        Probabilities of the outer and inner central posterior interval.

    Returns
    -------
    DataFrame
        One row per parameter: parameter (R's name), kind ("sd", "cor" or "auxiliary"), group (block label, or
        "Residual"), term,
        estimate (posterior median), conf_low, conf_high, inner_low, inner_high, reference, reference_low,
        reference_high; NaN where there is none, such as the correlation with an effect whose variance is 0.
    """
    parameters = variance_parameters(design)
    values = np.column_stack([_draws(design, posterior, p) for p in parameters])
    rows = [(p.name, _kind(p), *_place(design, p)) for p in parameters]
    frame = pd.DataFrame(rows, columns=["parameter", "kind", "group", "term"])
    frame = frame.assign(**point_and_intervals(values, prob, inner))
    frame["reference"] = [_reference(p, estimate) for p in parameters]
    ends = np.full((len(parameters), 2), np.nan)
    if profile is not None:
        ends = profile.reindex([p.name for p in parameters]).to_numpy(dtype=float)
    return frame.assign(reference_low=ends[:, 0], reference_high=ends[:, 1])


def component_densities(design: Design, posterior: Posterior) -> pd.DataFrame:
    """Return posterior densities of standard deviations and correlations: columns parameter, value, density.

    They are reflected at 0, -1 and 1, and integrate to one between these bounds.
    """
    parts = []
    for p in variance_parameters(design):
        draws = _draws(design, posterior, p)
        bounds = auxiliary_range(p.name) if p.kind == "auxiliary" else BOUNDS[_kind(p)]
        grid, height = density(draws, *bounds)
        parts.append(pd.DataFrame({"parameter": p.name, "value": grid, "density": height}))
    return pd.concat(parts, ignore_index=True)


def _kind(p: Parameter) -> str:
    return "sd" if p.kind == "sigma" else p.kind


def _reference(p: Parameter, estimate: LmerEstimate | GlmerEstimate | None) -> float:
    if estimate is None:
        return np.nan
    if p.kind == "auxiliary":
        return reference_auxiliary(estimate).get(p.name, np.nan)
    return float(values_of([p], estimate.varcorr, estimate.beta)[0])


def _draws(design: Design, posterior: Posterior, p: Parameter) -> np.ndarray:
    if p.kind in {"sigma", "auxiliary"}:
        return auxiliary_values(posterior)[p.name].ravel()
    block = posterior.blocks[p.block]
    if p.kind == "sd":
        return block.sd.values[..., p.columns[0]].ravel()
    return block.corr.values[..., p.columns[1], p.columns[0]].ravel()


def _place(design: Design, p: Parameter) -> tuple[str, str]:
    """Return group and term of a parameter as a table shows them."""
    if p.kind == "sigma":
        return "Residual", "Observation"
    if p.kind == "auxiliary":
        return "", p.name
    block = design.blocks[p.block]
    return block.label, " and ".join(block.columns[i] for i in p.columns)
