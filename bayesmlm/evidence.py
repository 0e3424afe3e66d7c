"""The evidence ratio of an equality: posterior over prior density at it.

The ratio of Savage and Dickey (Dickey 1971, Annals of Mathematical Statistics 42, 204-223) is p(delta = 0 | data) /
p(delta = 0), the Bayes factor of delta = 0 against the model fitted, if under delta = 0 the other parameters have the
prior that they have in that model given delta = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesmlm.arithmetic import LinearForm, Statement, linear_form
from bayesmlm.design import Design
from bayesmlm.parameter_names import Parameter, difference, parameters
from bayesmlm.prior_values import prior_values
from bayesmlm.priors import Distribution, Priors
from bayesmlm.syntax import Name

PRIOR_DRAWS = 100_000
REAL = {"normal", "student_t", "cauchy"}


def savage_dickey(
    statement: Statement,
    known: Mapping[str, Parameter],
    design: Design,
    priors: Priors,
    delta: np.ndarray,
    seed: int,
) -> tuple[float, list[str]]:
    """Return p(delta = 0 | data) / p(delta = 0), NaN where it cannot be had, and what is to be said of it."""
    custom = _custom_priors(priors)
    form = linear_form(statement.left), linear_form(statement.right)
    total = None if form[0] is None or form[1] is None else form[0].plus(form[1], -1.0)
    low, high = _range(statement, known)
    if not low < 0 < high:
        return np.nan, [_outside(statement, low == 0 or high == 0)]
    before = None if total is None else prior_density(total, design, priors)
    if before is None and custom:
        why = f"the prior of {custom[0]} is not one that can be simulated here"
        return np.nan, [f"{statement.text}: no evidence ratio, for {why}"]
    if before is None:
        levels = _levels(statement, design)
        simulated = prior_values(design, priors, PRIOR_DRAWS, seed, levels)
        prior = difference(statement, parameters(simulated, levels, design), simulated)
        prior = prior[np.isfinite(prior)]
        before = density_at_zero(prior, low, high)
    if not before > 0:
        return np.nan, [f"{statement.text}: no evidence ratio, for the prior rules it out"]
    if not delta.min() <= 0 <= delta.max():
        least = 1 / (bandwidth(delta) * len(delta) * np.sqrt(2 * np.pi)) / before
        beyond = "all draws lie on one side of it, so of its evidence ratio is only known that it is below"
        return 0.0, [f"{statement.text}: {beyond} {least:.1g}"]
    return density_at_zero(delta, low, high) / before, []


def _outside(statement: Statement, boundary: bool) -> str:
    """Say why a value that ends the range of a parameter, or lies beyond it, has no evidence ratio."""
    if not boundary:
        return f"{statement.text}: no evidence ratio, for the parameter cannot have this value"
    # The prior density at 0 of sd = tau sigma is infinite, and that of sd^2 another one than that of sd.
    return (
        f"{statement.text}: no evidence ratio at the end of a parameter's range, where it depends on how the parameter "
        "is expressed; ask for a range, such as sd < 0.1 * sigma, or compare models by loo()"
    )


def _custom_priors(priors: Priors) -> list[str]:
    """Names of parameters whose prior is none of this package's."""
    return [priors.custom] if priors.custom else []


def _levels(statement: Statement, design: Design) -> dict[str, list[str]]:
    """Levels of each block whose effects a hypothesis names."""
    return {
        b.label: [v for v in b.levels if any(f"b[{c} {b.label}:{v}]" in statement.names for c in b.columns)]
        for b in design.blocks
    }


def _range(statement: Statement, known: Mapping[str, Parameter]) -> tuple[float, float]:
    """Range of delta where it is one parameter less a number; otherwise nothing is said of it."""
    right = linear_form(statement.right)
    if not isinstance(statement.left, Name) or right is None or right.weights:
        return -np.inf, np.inf
    parameter = known[statement.left.name]
    return parameter.low - right.constant, parameter.high - right.constant


def bandwidth(values: np.ndarray) -> float:
    """Return Silverman's (1986, equation 3.31) bandwidth of a normal kernel, 0.9 min(sd, IQR / 1.34) n^(-1/5)."""
    low, high = np.quantile(values, [0.25, 0.75])
    return 0.9 * min(float(np.std(values, ddof=1)), float(high - low) / 1.34) * len(values) ** -0.2


def density_at_zero(values: np.ndarray, low: float = -np.inf, high: float = np.inf) -> float:
    """Return a normal kernel estimate of the density of draws at 0; NaN where they do not vary.

    Where the draws have a bound the estimate is reflected there, without which it would lose half its size at the
    bound.
    """
    h = bandwidth(values)
    if h == 0:
        return np.nan
    points = [0.0] + [2 * bound for bound in (low, high) if np.isfinite(bound)]
    return float(
        sum(np.exp(-0.5 * ((values - x) / h) ** 2).mean() for x in points) / (h * np.sqrt(2 * np.pi))
    )


def prior_density(form: LinearForm, design: Design, priors: Priors) -> float | None:
    """Return the prior density at 0 of a linear form in the fixed effects, or None where it has no closed form.

    It has one for one coefficient with a normal, Student t or Cauchy prior, and for any number of them, the intercept
    included, with normal priors. The intercept's prior is that of centred predictors, so the intercept is
    alpha - mean(X) beta.
    """
    if not form.weights or not set(form.weights) <= set(design.coefficients):
        return None
    weights = {name: form.weights.get(name, 0.0) for name in design.coefficients}
    at_intercept = weights.get("(Intercept)", 0.0)
    for name, mean in zip(design.coefficients, design.X.mean(axis=0), strict=True):
        if name != "(Intercept)":
            weights[name] -= at_intercept * mean
    used = [(w, _prior_of(priors, name)) for name, w in weights.items() if w != 0]
    if len(used) == 1 and isinstance(used[0][1], Distribution) and used[0][1].name in REAL:
        ((weight, prior),) = used
        return float(np.exp(_log_density(prior, -form.constant / weight)) / abs(weight))
    if not all(isinstance(p, Distribution) and p.name == "normal" for _, p in used):
        return None
    mean = form.constant + sum(w * p["location"] for w, p in used)
    sd = np.sqrt(sum((w * p["scale"]) ** 2 for w, p in used))
    return float(np.exp(-0.5 * (mean / sd) ** 2) / (sd * np.sqrt(2 * np.pi)))


def _prior_of(priors: Priors, name: str) -> Any:
    prior = priors.intercept if name == "(Intercept)" else priors.coefficients[name]
    assert prior is not None
    return prior.used


def _log_density(prior: Distribution, value: float) -> float:
    from scipy import stats

    location, scale = prior["location"], prior["scale"]
    match prior.name:
        case "normal":
            return float(stats.norm.logpdf(value, location, scale))
        case "student_t":
            return float(stats.t.logpdf(value, prior["df"], location, scale))
    return float(stats.cauchy.logpdf(value, location, scale))
