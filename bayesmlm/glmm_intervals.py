"""Confidence intervals of a generalised reference fit as data frames: Wald, likelihood profile, bootstrap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from bayesmlm.design import Design
from bayesmlm.glmm_rows import response_draw
from bayesmlm.intervals import (
    checked_points,
    limits_frame,
    percentile_frame,
    points_frame,
    replicate_frame,
    warn_missing,
)
from bayesmlm.kernels.threads import one_thread
from bayesmlm.reference.bootstrap import Statistic, bootstrap
from bayesmlm.reference.constrained import UnsettledError
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.reference.glmm.fit import optimum
from bayesmlm.reference.glmm.profile import fitted_glmm, glmm_components, glmm_parameters
from bayesmlm.reference.parameters import choose_parameters, values_of
from bayesmlm.reference.profiling import limits_from, points_from
from bayesmlm.tables import check_probability
from bayesmlm.updating import with_new_response


def wald_glmer(
    design: Design, estimate: GlmerEstimate, parm: str | Iterable[str] | None, level: float
) -> pd.DataFrame:
    """Return estimate -/+ quantile x standard error of the fixed effects; NaN for the others, as lme4."""
    level = check_probability(level, "level")
    chosen = choose_parameters(glmm_parameters(design), parm)
    z = float(norm.ppf((1 + level) / 2))
    ends = [(np.nan, np.nan)] * len(chosen)
    for row, p in enumerate(chosen):
        if p.kind == "beta":
            b, se = float(estimate.beta[p.columns[0]]), float(estimate.se[p.columns[0]])
            ends[row] = (b - z * se, b + z * se)
    return limits_frame(chosen, ends, level)


def profile_limits_glmer(
    design: Design, estimate: GlmerEstimate, parm: str | Iterable[str] | None, level: float
) -> pd.DataFrame:
    """Return likelihood-profile intervals, with a warning where there is none."""
    level = check_probability(level, "level")
    chosen = choose_parameters(glmm_parameters(design), parm)
    with one_thread():
        limits = limits_from(fitted_glmm(design, estimate), chosen, level)
    warn_missing(limits)
    return limits_frame(chosen, [(x.lower, x.upper) for x in limits], level)


def profile_glmer(
    design: Design, estimate: GlmerEstimate, parm: str | Iterable[str] | None, level: float, n_points: int
) -> pd.DataFrame:
    """Return points of the likelihood profiles: parameter, value, zeta, and all parameters there."""
    level, count = check_probability(level, "level"), checked_points(n_points)
    everything = glmm_parameters(design)
    chosen = choose_parameters(everything, parm)
    with one_thread():
        points, limits = points_from(fitted_glmm(design, estimate), chosen, level, count)
    return points_frame(points, limits, everything)


def bootstrap_glmer(
    design: Design, estimate: GlmerEstimate, statistic: Statistic | None, **how: Any
) -> pd.DataFrame:
    """Return the statistics of each bootstrap replicate, the parameters by default."""
    chosen = _parameter_statistic(design, estimate) if statistic is None else statistic
    return replicate_frame(bootstrap(chosen, lambda rng: response_draw(design, estimate, rng), **how))


def bootstrap_intervals_glmer(
    design: Design, estimate: GlmerEstimate, parm: str | Iterable[str] | None, level: float, **how: Any
) -> pd.DataFrame:
    """Return percentile intervals of the parametric bootstrap."""
    level = check_probability(level, "level")
    everything = glmm_parameters(design)
    chosen = choose_parameters(everything, parm)
    return percentile_frame(bootstrap_glmer(design, estimate, None, **how), everything, chosen, level)


def _parameter_statistic(design: Design, estimate: GlmerEstimate) -> Statistic:
    """Return the function from a response to all parameters of the model fitted to it, by R's names."""
    parameters = glmm_parameters(design)
    names = tuple(p.name for p in parameters)

    def statistic(y: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        criterion, found = optimum(with_new_response(design, y), estimate.n_agq)
        if not found.converged:
            raise UnsettledError(found.reason)
        lambdas, gamma, alpha = criterion.split(found.x)
        deviance = criterion.deviance(lambdas, gamma, alpha)
        if deviance is None:
            raise UnsettledError("no deviance")
        at = criterion.at
        beta = at.shift + np.linalg.solve(at.R, deviance.mode.gamma)
        sigma = deviance.sigma(criterion.pirls.responses, alpha)
        varcorr = glmm_components(design, at.T, [sigma * lam for lam in lambdas])
        return names, values_of(parameters, varcorr, beta)

    return statistic
