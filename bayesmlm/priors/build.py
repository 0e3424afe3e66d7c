"""rstanarm's defaults, the caller's choices, and autoscaling: the priors of one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayesmlm.design import Block, Design
from bayesmlm.errors import PriorError
from bayesmlm.priors.families import (
    POSITIVE,
    UNIT,
    Decov,
    Distribution,
    Lkj,
    beta,
    decov,
    exponential,
    gamma,
    is_custom,
    normal,
    student_t,
)
from bayesmlm.priors.joint import Joint
from bayesmlm.priors.overrides import THRESHOLDS, Overrides, block_prior, read_overrides

REAL = ({"normal", "student_t", "cauchy", "laplace"}, "any real number: bm.normal, bm.student_t")
POSITIVE_NUMBERS = (POSITIVE, "positive: bm.exponential, bm.half_normal")
UNIT_INTERVAL = (UNIT, "a probability: bm.beta")
PROBIT_WIDER = 1.5957691216057308  # dnorm(0) / dlogis(0): as steep at 0 as the logit


@dataclass(frozen=True)
class Adjusted:
    """A prior as specified and as used after autoscaling."""

    specified: Any
    used: Any


@dataclass(frozen=True)
class Priors:
    """The priors of one model, adjusted to its data.

    Attributes
    ----------
    intercept : Adjusted or None
        Of the intercept after centring the predictors.
    coefficients : mapping of str to Adjusted
        By R's name, without the intercept. Slopes with a joint prior share it.
    sigma : Adjusted or None
        Of the residual standard deviation; None if the family has none.
    covariance : mapping of str to Decov or Lkj
        By block label.
    given : mapping of str to object
        The caller's choices as given, for another model of the same kind.
    auxiliary : mapping of str to Adjusted
        Of the family's other auxiliary parameters.
    others : mapping of str to Priors
        Of the coefficients and covariances of auxiliary parameters that have predictors, by name. Where sigma is one,
        `sigma` is None, and decov is relative to the response's standard deviation instead.
    """

    intercept: Adjusted | None
    coefficients: Mapping[str, Adjusted]
    sigma: Adjusted | None
    covariance: Mapping[str, Decov | Lkj]
    given: Mapping[Any, Any] = field(default_factory=dict)
    auxiliary: Mapping[str, Adjusted] = field(default_factory=dict)
    others: Mapping[str, Priors] = field(default_factory=dict)

    @property
    def joint(self) -> Joint | None:
        """The joint prior of slopes, if there is one."""
        return next((p.used for p in self.coefficients.values() if isinstance(p.used, Joint)), None)

    @property
    def custom(self) -> str:
        """Name a parameter whose prior is a ``bambi.Prior``, which only Bambi and PyMC can read; "" if none is."""
        single = {**self.coefficients, **self.auxiliary}
        if self.sigma is not None:
            single["sigma"] = self.sigma
        if self.intercept is not None:
            single["(Intercept)"] = self.intercept
        names = [name for name, prior in single.items() if is_custom(prior.used)]
        for label, prior in self.covariance.items():
            if isinstance(prior, Lkj) and any(map(is_custom, prior.adjusted)):
                names.append(f"sd ({label})")
        names += [f"{other} of {name}" for name, of in self.others.items() if (other := of.custom)]
        return names[0] if names else ""


def build_priors(design: Design, overrides: Mapping[Any, Any] | None = None) -> Priors:
    """Combine the defaults with the user's choices and scale them to the data.

    Parameters
    ----------
    design
        The design.
    overrides
        By R's coefficient name, or the term as the formula spells it (a factor's name stands for all its
        coefficients), ``"(Intercept)"``, ``"fixed"`` (all slopes), ``"sigma"`` or another auxiliary parameter of the
        family (``"aux"`` where it has one only), ``"thresholds"`` of an ordinal model, a block's label or its
        grouping factor, or ``"covariance"`` (all blocks). Of a block or grouping factor also parts: a prior of
        standard deviations stands for all of them, and a dict has ``"sd"``, ``"sd__<column>"`` and ``"cor"``, as
        in ``{"school": {"sd": half_normal(5), "sd__female": exponential(1), "cor": lkj(2)}}``. One part alone may
        be written ``("school", "sd__female")`` or ``"sd__female (school)"``. The more special name wins. A parameter
        with predictors of its own takes a dict of such choices: ``{"sigma": {"x": normal(0, 0.5)}}``. Where a
        column is both a predictor and a grouping factor, the kind of prior tells which is meant.

    Raises
    ------
    PriorError
        For a name that is not in the model, or a prior that does not fit its parameter.
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise PriorError(f"priors = {overrides!r}: give a dict, such as {{'sigma': bm.exponential(1)}}")
    given = dict(overrides or {})
    own = {name: given.pop(name, {}) for name in design.others}
    chosen = read_overrides(given, design, terms_of(design))
    scale = _predictor_scale(design)
    auxiliary = _auxiliary(design, chosen.single)
    sigma = auxiliary.pop("sigma", None)
    parts = _of_predictor(design, chosen, scale)
    if "sigma" in design.others:
        parts = {**parts, "covariance": _on_scale_of_data(parts["covariance"], scale.sd)}
    others = {name: _of_parameter(name, design.others[name], prior) for name, prior in own.items()}
    priors = Priors(**parts, sigma=sigma, given=dict(overrides or {}), auxiliary=auxiliary, others=others)
    if design.family.is_categorical and priors.joint is not None:
        raise PriorError(
            f"{priors.joint.name} is for the slopes of one linear predictor, of which every category has its own: "
            "give slopes priors such as bm.student_t(3, 0, 1)"
        )
    if others and priors.joint is not None:
        raise PriorError(
            f"{priors.joint.name} is relative to one sigma: give slopes priors of their own here"
        )
    return priors


def _of_predictor(design: Design, chosen: Overrides, scale: _PredictorScale) -> dict[str, Any]:
    """Priors of the intercept, the slopes and the covariances of one linear predictor."""
    intercept = None
    if "(Intercept)" in design.coefficients:
        default = normal(scale.location, 2.5 * scale.wider, autoscale=True)
        given = _first(chosen.single, "(Intercept)", "Intercept", default=default)
        intercept = _adjust(given, scale.sd, "(Intercept)", REAL)
    covariance = {b.label: _scaled(block_prior(b, chosen, decov()), b, scale.sd) for b in design.blocks}
    return {
        "intercept": intercept,
        "coefficients": _slopes(design, chosen.single, scale),
        "covariance": covariance,
    }


def _of_parameter(name: str, design: Design, given: Any) -> Priors:
    """Priors of an auxiliary parameter's predictor, on the scale of its link: the defaults are those of other links.

    The intercept of log sigma is about the logarithm of the response's standard deviation.
    """
    if not isinstance(given, Mapping):
        raise PriorError(
            f"priors: {name} has predictors here, and so no prior of its own: give a dict, such as "
            f"{{{name!r}: {{'(Intercept)': bm.normal(0, 1), 'fixed': bm.normal(0, 1)}}}}"
        )
    chosen = read_overrides(given, design, terms_of(design))
    wrong = [key for key in chosen.single if key in {*design.family.auxiliary, "aux"}]
    if wrong and not set(wrong) & set(design.coefficients):
        raise PriorError(f"priors: {name} has no {wrong[0]!r}: its dict is about its coefficients and groups")
    location = float(np.log(np.std(_on_predictor_scale(design), ddof=1))) if name == "sigma" else 0.0
    parts = _of_predictor(design, chosen, _PredictorScale(location, 1.0))
    priors = Priors(**parts, sigma=None, given=dict(given))
    if priors.joint is not None:
        raise PriorError(
            f"{priors.joint.name} is for the slopes of the mean: give those of {name} priors each"
        )
    return priors


def _on_scale_of_data(covariance: Mapping[str, Decov | Lkj], sd_y: float) -> dict[str, Decov | Lkj]:
    """Make decov relative to the response's standard deviation, where there is no one sigma for it."""
    return {
        label: replace(prior, scale=prior.scale * sd_y) if isinstance(prior, Decov) else prior
        for label, prior in covariance.items()
    }


@dataclass(frozen=True)
class _PredictorScale:
    """What autoscaling measures the linear predictor by."""

    location: float
    sd: float
    wider: float = 1.0


def _predictor_scale(design: Design) -> _PredictorScale:
    family = design.family
    if family.has_sigma and family.link == "identity":
        y = _on_predictor_scale(design)
        return _PredictorScale(float(y.mean()), float(np.std(y, ddof=1)))
    return _PredictorScale(0.0, 1.0, PROBIT_WIDER if family.link == "probit" else 1.0)


def _on_predictor_scale(design: Design) -> np.ndarray:
    """The response, or the logarithms of its positive values, whose residual standard deviation sigma is."""
    return np.log(design.y[design.y > 0]) if design.family.name.endswith("lognormal") else design.y


def _auxiliary(design: Design, chosen: Mapping[str, Any]) -> dict[str, Adjusted]:
    defaults = {
        "sigma": exponential(1.0, autoscale=True),
        "nu": gamma(2.0, 0.1),
        "psi": beta(1.0, 1.0),
        THRESHOLDS: student_t(3.0, 0.0, 2.5),
    }
    names: tuple[str, ...] = (*design.family.auxiliary, *[THRESHOLDS] * design.family.is_ordinal)
    found = {}
    for name in (name for name in names if name not in design.others):
        given = _first(
            chosen, name, *(["aux"] * (len(names) == 1)), default=defaults.get(name, exponential(1.0))
        )
        factor = float(np.std(_on_predictor_scale(design), ddof=1)) if name == "sigma" else 1.0
        support = {"psi": UNIT_INTERVAL, THRESHOLDS: REAL}.get(name, POSITIVE_NUMBERS)
        found[name] = _adjust(given, factor, name, support)
    return found


def terms_of(design: Design) -> list[str]:
    """The term that each coefficient belongs to, as the formula spells it."""
    if not design.assign:
        return list(design.coefficients)
    return ["(Intercept)" if i < 0 else str(design.formula.fixed.terms[i]) for i in design.assign]


def _first(chosen: Mapping[str, Any], *names: str, default: Any) -> Any:
    return next((chosen[name] for name in names if name in chosen), default)


def column_sd(X: np.ndarray) -> np.ndarray:
    """n-1 standard deviation of each column; 1 for a constant one, as rstanarm."""
    sd = X.std(axis=0, ddof=1)
    return np.where(np.ptp(X, axis=0) == 0, 1.0, sd)


def _slopes(design: Design, chosen: Mapping[str, Any], scale: _PredictorScale) -> dict[str, Adjusted]:
    """Prior of every coefficient but the intercept; a joint one is for all that have none of their own."""
    given, spreads = {}, column_sd(design.X)
    for name, term in zip(design.coefficients, terms_of(design), strict=True):
        if name != "(Intercept)":
            default = normal(0.0, 2.5 * scale.wider, autoscale=True)
            given[name] = _first(chosen, name, term, "fixed", default=default)
            if isinstance(given[name], Joint) and (name in chosen or term in chosen):
                raise PriorError(
                    f"the prior of {name!r} is {given[name].name}, one of all slopes together: give it as 'fixed'"
                )
    at = [j for j, name in enumerate(design.coefficients) if isinstance(given.get(name), Joint)]
    names = tuple(design.coefficients[j] for j in at)
    together = chosen["fixed"].adjusted(names, spreads[at], scale.sd) if at else None
    return {
        name: Adjusted(given[name], together)
        if name in names
        else _adjust(given[name], scale.sd / spread, name, REAL)
        for name, spread in zip(design.coefficients, spreads, strict=True)
        if name in given
    }


def _adjust(prior: Any, factor: float, name: str, support: tuple[set[str], str]) -> Adjusted:
    kinds, words = support
    if isinstance(prior, Joint):
        raise PriorError(
            f"the prior of {name!r} is {prior.name}, one of all slopes together: give it as 'fixed'"
        )
    if not isinstance(prior, Distribution):
        if isinstance(prior, Decov | Lkj) or not hasattr(prior, "args"):
            raise PriorError(f"the prior of {name!r} is {prior!r}: give one such as bm.normal(0, 1)")
        return Adjusted(prior, prior)  # a bambi.Prior is used as it stands
    if prior.name not in kinds:
        raise PriorError(f"the prior of {name!r} is {prior.name}, but {name} is {words}, ...")
    return Adjusted(prior, prior.scaled(factor) if prior.autoscale else prior)


def _scaled(prior: Decov | Lkj, block: Block, sd_y: float) -> Decov | Lkj:
    """Give every standard deviation of an Lkj its prior, scaled to its column where asked for."""
    if isinstance(prior, Decov):
        return prior
    own, adjusted = dict(prior.own), []
    for column, factor in zip(block.columns, sd_y / column_sd(block.Z), strict=True):
        chosen = own.get(column, prior.sd)
        scale = isinstance(chosen, Distribution) and chosen.autoscale
        adjusted.append(chosen.scaled(float(factor)) if scale else chosen)
    return replace(prior, adjusted=tuple(adjusted))
