"""Confidence intervals of a reference fit as data frames: Wald, likelihood profile, parametric bootstrap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError, ConvergenceWarning, warn
from bayesmlm.reference.bootstrap import (
    Replicates,
    Statistic,
    bootstrap,
    parameter_statistic,
    percentile_limits,
)
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.parameters import Parameter, choose_parameters, parameters_of
from bayesmlm.reference.predict import simulate_response
from bayesmlm.reference.profiling import Limits, Point, profile_limits, profile_points
from bayesmlm.tables import check_probability

METHODS = ("profile", "wald", "boot")


def interval_columns(level: float) -> list[str]:
    """Return the heads of lower and upper limits as R writes them, ``["2.5 %", "97.5 %"]``."""
    return [f"{100 * a:g} %" for a in ((1 - level) / 2, (1 + level) / 2)]


def wald_intervals(
    design: Design, estimate: LmerEstimate, parm: str | Iterable[str] | None, level: float
) -> pd.DataFrame:
    """Return estimate -/+ quantile x standard error of the fixed effects; NaN for the others, as lme4."""
    level = check_probability(level, "level")
    chosen = choose_parameters(parameters_of(design), parm)
    z = float(norm.ppf((1 + level) / 2))
    ends = [(np.nan, np.nan)] * len(chosen)
    for row, p in enumerate(chosen):
        if p.kind == "beta":
            b, se = estimate.beta[p.columns[0]], estimate.se[p.columns[0]]
            ends[row] = (float(b - z * se), float(b + z * se))
    return limits_frame(chosen, ends, level)


def profile_intervals(design: Design, parm: str | Iterable[str] | None, level: float) -> pd.DataFrame:
    """Return likelihood-profile intervals (`reference.profiling`), with a warning where there is none."""
    level = check_probability(level, "level")
    chosen = choose_parameters(parameters_of(design), parm)
    limits = profile_limits(design, chosen, level)
    warn_missing(limits)
    return limits_frame(chosen, [(x.lower, x.upper) for x in limits], level)


def profile_frame(
    design: Design, parm: str | Iterable[str] | None, level: float, n_points: int
) -> pd.DataFrame:
    """Return points of the likelihood profiles.

    Returns
    -------
    DataFrame
        Columns parameter, value, zeta, and one for each parameter of the model with its value there.
    """
    level = check_probability(level, "level")
    everything = parameters_of(design)
    chosen = choose_parameters(everything, parm)
    points, limits = profile_points(design, chosen, level, checked_points(n_points))
    return points_frame(points, limits, everything)


def checked_points(n_points: Any) -> int:
    """Return `n_points` if it is a positive integer."""
    if isinstance(n_points, bool) or not isinstance(n_points, int | np.integer) or n_points < 1:
        raise BayesMLMError(f"n_points = {n_points!r}: give a positive integer")
    return int(n_points)


def points_frame(
    points: Sequence[Point], limits: Iterable[Limits], everything: Sequence[Parameter]
) -> pd.DataFrame:
    """Return points of profiles as a frame, with a warning for each profile that is missing."""
    warn_missing(limits)
    frame = pd.DataFrame(
        [(p.parameter.name, p.value, p.zeta) for p in points], columns=["parameter", "value", "zeta"]
    )
    values = np.array([p.all_values for p in points]).reshape(-1, len(everything))
    names = [f"{p.name} (fixed effect)" if p.name in frame.columns else p.name for p in everything]
    return pd.concat([frame, pd.DataFrame(values, columns=names)], axis=1)


def bootstrap_frame(
    design: Design, estimate: LmerEstimate, statistic: Statistic | None, **how: Any
) -> pd.DataFrame:
    """Return the statistics of each bootstrap replicate, the parameters by default.

    Returns
    -------
    DataFrame
        Index replicate, 0 to n_boot - 1; columns by name. A replicate that failed is a row of NaN, and a
        warning counts them.
    """
    chosen = parameter_statistic(design, estimate.reml) if statistic is None else statistic
    return replicate_frame(bootstrap(chosen, lambda rng: simulate_response(design, estimate, rng), **how))


def replicate_frame(found: Replicates) -> pd.DataFrame:
    """Return bootstrap replicates as a frame; a warning counts those that failed."""
    frame = pd.DataFrame(found.values, columns=list(found.names)).rename_axis("replicate")
    if found.failures:
        message = (
            f"{len(found.failures)} of {len(frame)} bootstrap replicates could not be fitted and are missing; "
            f"the first says: {found.failures[0]}"
        )
        warn(message, ConvergenceWarning)
    return frame


def bootstrap_intervals(
    design: Design, estimate: LmerEstimate, parm: str | Iterable[str] | None, level: float, **how: Any
) -> pd.DataFrame:
    """Return percentile intervals of the parametric bootstrap (`reference.bootstrap`)."""
    level = check_probability(level, "level")
    everything = parameters_of(design)
    chosen = choose_parameters(everything, parm)
    return percentile_frame(bootstrap_frame(design, estimate, None, **how), everything, chosen, level)


def percentile_frame(
    frame: pd.DataFrame, everything: Sequence[Parameter], chosen: Sequence[Parameter], level: float
) -> pd.DataFrame:
    """Return percentile intervals from replicates whose columns are `everything`, with warnings where some lack."""
    samples = dict(zip(everything, frame.to_numpy().T, strict=True))
    fitted = frame.notna().any(axis=1).to_numpy()
    for p in chosen:
        missing = int(np.isnan(samples[p][fitted]).sum())
        if missing:
            message = (
                f"{p.name} does not exist in {missing} of {len(frame)} bootstrap replicates, where a standard "
                "deviation is 0; its interval is that of the others"
            )
            warn(message, ConvergenceWarning)
    return limits_frame(chosen, [percentile_limits(samples[p], level) for p in chosen], level)


def as_statistic(value: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """Return what a user's statistic returned as names and numbers.

    Raises
    ------
    TypeError
        If it is not a number, an array, a Series or a mapping of numbers.
    """
    if isinstance(value, pd.Series | Mapping):
        return tuple(map(str, value.keys())), np.array(list(dict(value).values()), dtype=float)
    numbers = np.atleast_1d(np.asarray(value))
    if numbers.ndim != 1 or numbers.dtype.kind not in "biuf":
        raise TypeError(
            "the statistic of a bootstrap returns a number, a list of numbers, a Series or a dict, "
            f"not {type(value).__name__}"
        )
    names = ["statistic"] if np.ndim(value) == 0 else [f"statistic[{i}]" for i in range(len(numbers))]
    return tuple(names), numbers.astype(float)


def check_method(method: str) -> str:
    """Return the method in lower case if it is one of "profile", "wald" and "boot"."""
    if not isinstance(method, str) or method.lower() not in METHODS:
        raise BayesMLMError(f"method = {method!r}: choose {', '.join(map(repr, METHODS))}")
    return method.lower()


def limits_frame(
    chosen: Sequence[Parameter], ends: Sequence[tuple[float, float]], level: float
) -> pd.DataFrame:
    """Return limits by R's name of the parameter."""
    values = np.array(ends, dtype=float).reshape(-1, 2)
    return pd.DataFrame(values, [p.name for p in chosen], interval_columns(level))


def warn_missing(limits: Iterable[Limits]) -> None:
    """Warn of each parameter that has no profile."""
    for found in limits:
        if found.reason:
            warn(f"no profile of {found.parameter.name}: {found.reason}", ConvergenceWarning)
