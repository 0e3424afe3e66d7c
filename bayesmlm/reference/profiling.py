"""Likelihood profiles: the signed root deviance of each parameter, and intervals from it.

For a parameter x with ML estimate x-hat, d(x) is the least ML deviance with x held fixed and

    zeta(x) = sign(x - x-hat) sqrt(d(x) - d(x-hat))

(Bates & Watts 1988, Nonlinear Regression Analysis and Its Applications, section 6.1). The profile interval of level
1 - alpha is where |zeta| is at most the normal quantile at 1 - alpha/2. Its ends are found by solving
|zeta(x)| = quantile, each value of zeta being an exact constrained minimum (`constrained`), rather than by
interpolation between the points of a grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from bayesmlm.covariance import VarCorr
from bayesmlm.design import Design
from bayesmlm.reference.constrained import (
    UnsettledError,
    coordinate_scale,
    minimum,
    ml_optimum,
)
from bayesmlm.reference.held import Held, from_scale, to_scale
from bayesmlm.reference.parameters import Parameter, values_of

EXPANSIONS = 40  # steps away from the estimate before a profile counts as unbounded
XTOL = 1e-9  # of the distance between estimate and limit
LOWER = 1e-6  # a deviance that is lower by more is another minimum; by less, rounding
VALLEYS = 4  # other valleys of the deviance that are followed before giving up


@dataclass(frozen=True)
class Limits:
    """The profile interval of one parameter; NaN at both ends if there is none, `reason` says why."""

    parameter: Parameter
    lower: float
    upper: float
    reason: str = ""


@dataclass(frozen=True)
class Point:
    """One point of a profile: the value held, zeta, and all parameters at the constrained minimum."""

    parameter: Parameter
    value: float
    zeta: float
    all_values: np.ndarray


class Profiled(Protocol):
    """An ML fit and its deviance with one parameter held: `MLFit`, or that of a generalised model."""

    @property
    def design(self) -> Design: ...

    @property
    def lambdas(self) -> list[np.ndarray]: ...

    @property
    def sigma(self) -> float: ...

    @property
    def deviance(self) -> float: ...

    @property
    def values(self) -> Mapping[Parameter, float]: ...

    @property
    def se(self) -> Mapping[Parameter, float]: ...

    def hold(self, parameter: Parameter) -> Held:
        """Return the deviance with a parameter held."""
        ...

    def at(self, held: Held, x: float, phi: np.ndarray) -> tuple[VarCorr, np.ndarray]:
        """Return variance components and fixed effects at a point."""
        ...


@dataclass(frozen=True)
class Curve:
    """The profile of one parameter.

    The held value x runs over the scale of `Held`. `known` keeps the points seen so far, (x, deviance, phi,
    inverse Hessian): each search starts from the nearest. That changes what a minimum costs, not what it is.
    """

    best: Profiled
    held: Held
    center: float
    scale: np.ndarray
    known: list[tuple[float, float, np.ndarray, np.ndarray | None]] = field(default_factory=list)

    @classmethod
    def through(cls, best: Profiled, parameter: Parameter) -> Curve:
        """Return the profile through the ML estimate."""
        held = best.hold(parameter)
        center = float(to_scale(parameter, best.values[parameter]))
        phi = held.start(best.lambdas, best.sigma)
        return cls(
            best, held, center, coordinate_scale(held, center, phi), [(center, best.deviance, phi, None)]
        )

    @property
    def edges(self) -> tuple[float, float]:
        """Ends of the parameter's range."""
        half = np.pi / 2
        return {"sd": (0.0, np.inf), "cor": (-half, half)}.get(self.held.parameter.kind, (-np.inf, np.inf))

    def point(self, x: float) -> tuple[float, np.ndarray]:
        """Return |zeta| at x and phi, the free coordinates, at the constrained minimum."""
        nearest = min(self.known, key=lambda k: abs(k[0] - x))
        if nearest[0] != x:
            nearest = (x, *minimum(self.held, x, nearest[2], self.scale, nearest[3]))
            self.known.append(nearest)
        rise = nearest[1] - self.best.deviance
        if rise < -max(LOWER, 1e-10 * abs(self.best.deviance)):
            raise UnsettledError(f"{-rise:.2g} below the deviance of the fit, another minimum was found")
        return float(np.sqrt(max(rise, 0.0))), nearest[2]

    def other_valley(self, x: float) -> bool:
        """Look for a lower minimum at x from other starts; if there is one, forget the valley known so far."""
        value = next(point[1] for point in self.known if point[0] == x)
        identity = [np.eye(len(lam)) for lam in self.best.lambdas]
        starts = [self.held.start(lam, self.best.sigma) for lam in (self.best.lambdas, identity)]
        found = min((minimum(self.held, x, s, self.scale) for s in starts), key=lambda f: f[0])
        if found[0] > value - LOWER:
            return False
        self.known[:] = [self.known[0], (x, *found)]
        return True


def profile_limits(design: Design, parameters: Sequence[Parameter], level: float) -> list[Limits]:
    """Return the profile interval of each parameter.

    A limit is an end of the parameter's range (0 for a standard deviation, -1 or 1 for a correlation) where zeta
    does not reach the quantile before it.

    Parameters
    ----------
    design
        What was fitted. The likelihood is that of ML.
    parameters
        Of `parameters.parameters_of`.
    level
        Coverage, between 0 and 1.

    Raises
    ------
    UnsettledError
        If the ML fit does not converge.
    """
    return limits_from(ml_optimum(design), parameters, level)


def limits_from(best: Profiled, parameters: Sequence[Parameter], level: float) -> list[Limits]:
    """Return the profile interval of each parameter around a fit."""
    quantile = float(norm.ppf((1 + level) / 2))
    return [_limits(best, p, quantile) for p in parameters]


def profile_points(
    design: Design, parameters: Sequence[Parameter], level: float, n_points: int
) -> tuple[list[Point], list[Limits]]:
    """Return points of each parameter's profile, between its limits of the given level.

    Parameters
    ----------
    design, parameters, level
        As for `profile_limits`.
    n_points
        Points on each side of the estimate, which is a point itself; evenly spaced on the scale of `to_scale`.

    Returns
    -------
    tuple
        The points, and the limits, which say why a profile is missing.
    """
    return points_from(ml_optimum(design), parameters, level, n_points)


def points_from(
    best: Profiled, parameters: Sequence[Parameter], level: float, n_points: int
) -> tuple[list[Point], list[Limits]]:
    """Return points of each parameter's profile around a fit, and the limits between which they lie."""
    quantile = float(norm.ppf((1 + level) / 2))
    points: list[Point] = []
    found = []
    for parameter in parameters:
        limits = _limits(best, parameter, quantile)
        if not limits.reason:
            try:
                points += _points(best, limits, n_points)
            except (UnsettledError, np.linalg.LinAlgError) as error:
                limits = Limits(parameter, np.nan, np.nan, str(error))
        found.append(limits)
    return points, found


def _limits(best: Profiled, parameter: Parameter, quantile: float) -> Limits:
    if np.isnan(best.values[parameter]):
        why = "an effect's standard deviation is estimated as 0, so that every correlation fits equally well"
        return Limits(parameter, np.nan, np.nan, why)
    curve = Curve.through(best, parameter)
    try:
        with np.errstate(all="ignore"):
            ends = [_end(curve, side, quantile) for side in (-1, 1)]
    except (UnsettledError, np.linalg.LinAlgError) as error:
        return Limits(parameter, np.nan, np.nan, str(error))
    return Limits(parameter, from_scale(parameter, ends[0]), from_scale(parameter, ends[1]))


def _end(curve: Curve, side: int, quantile: float) -> float:
    edge = curve.edges[(side + 1) // 2]
    if curve.center == edge:
        return edge
    for _ in range(VALLEYS):
        x = _crossing(curve, side, quantile)
        if x == edge or not curve.other_valley(x):
            return x
    raise UnsettledError("the deviance has several minima near the limit")


def _crossing(curve: Curve, side: int, quantile: float) -> float:
    """Return where |zeta| reaches the quantile on one side, or the edge if it does not."""
    edge, inside = curve.edges[(side + 1) // 2], curve.center
    x = curve.center + side * quantile * _unit(curve)
    for _ in range(EXPANSIONS):
        x = max(x, edge) if side < 0 else min(x, edge)
        zeta = curve.point(x)[0]
        if zeta >= quantile:
            tolerance = XTOL * abs(x - curve.center)
            end = brentq(lambda t: curve.point(t)[0] - quantile, inside, x, xtol=tolerance, rtol=1e-12)
            curve.point(end)
            return float(end)
        if x == edge:
            return edge
        inside = x
        factor = np.clip(1.05 * quantile / max(zeta, 1e-9), 1.1, 8.0)
        x = curve.center + (x - curve.center) * float(factor)
    raise UnsettledError(
        f"the deviance does not rise enough on the way to {from_scale(curve.held.parameter, x):g}"
    )


def _unit(curve: Curve) -> float:
    """Return roughly what changes zeta by 1."""
    parameter, best = curve.held.parameter, curve.best
    if parameter.kind == "beta":
        return best.se[parameter]
    if parameter.kind == "sigma":
        return 1 / np.sqrt(2 * best.design.nobs)
    levels = len(best.design.blocks[parameter.block].levels)
    if parameter.kind == "cor":
        return 1 / np.sqrt(levels)
    # an sd of 0 has no relative error: start where the groups vary a tenth as much as the residuals do
    return max(curve.center / np.sqrt(2 * levels), 0.1 * best.sigma * abs(curve.held.lower[0, 0]))


def _points(best: Profiled, limits: Limits, n_points: int) -> list[Point]:
    parameter = limits.parameter
    curve = Curve.through(best, parameter)
    order = list(best.values)
    found = [Point(parameter, best.values[parameter], 0.0, np.array(list(best.values.values())))]
    with np.errstate(all="ignore"):
        for end in (limits.lower, limits.upper):
            edge = float(to_scale(parameter, end))
            for x in np.linspace(curve.center, edge, n_points + 1)[1:].tolist():
                if edge == curve.center:
                    continue
                zeta, phi = curve.point(x)
                values = values_of(order, *best.at(curve.held, x, phi))
                found.append(
                    Point(
                        parameter, from_scale(parameter, x), float(np.sign(x - curve.center)) * zeta, values
                    )
                )
    return sorted(found, key=lambda p: p.value)
