"""Priors: rstanarm's defaults and autoscaling, the user's overrides, and what they mean together.

Defaults (Gaussian, identity link), as in rstanarm: the intercept of centred predictors is
normal(mean(y), 2.5 sd(y)), slopes are normal(0, 2.5 sd(y) / sd(x)), sigma is exponential(1 / sd(y)), every
block's covariance is decov(1, 1, 1, 1). Standard deviations have divisor n - 1 and are taken of each column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayesmlm.design import Block, Design
from bayesmlm.errors import PriorError, did_you_mean

MIN_SCALE = 1e-12  # rstanarm's floor under an autoscaled scale


@dataclass(frozen=True)
class Distribution:
    """A univariate prior.

    Attributes
    ----------
    name : str
        ``normal``, ``student_t``, ``cauchy``, ``half_normal``, ``half_student_t``, ``half_cauchy``,
        ``exponential`` or ``gamma``.
    parameters : tuple of (str, float)
        In rstanarm's names and order.
    autoscale : bool
        Whether the scale is multiplied by the scale of the data.
    """

    name: str
    parameters: tuple[tuple[str, float], ...]
    autoscale: bool = False

    def __getitem__(self, parameter: str) -> float:
        return dict(self.parameters)[parameter]

    def scaled(self, factor: float) -> Distribution:
        """Return the distribution of `factor` times the variable, its location left where it is."""
        new = []
        for key, value in self.parameters:
            scaled = {"scale": value * factor, "rate": value / factor}.get(key, value)
            new.append((key, max(scaled, MIN_SCALE) if key == "scale" else scaled))
        return replace(self, parameters=tuple(new))

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw `size` independent values."""
        p = dict(self.parameters)
        location, scale = p.get("location", 0.0), p.get("scale", 1.0)
        match self.name:
            case "normal" | "half_normal":
                value = location + scale * rng.standard_normal(size)
            case "student_t" | "half_student_t":
                value = location + scale * rng.standard_t(p["df"], size)
            case "cauchy" | "half_cauchy":
                value = location + scale * rng.standard_cauchy(size)
            case "exponential":
                value = rng.exponential(1 / p["rate"], size)
            case _:
                value = rng.gamma(p["shape"], 1 / p["rate"], size)
        return np.abs(value) if self.name.startswith("half_") else value


def _distribution(name: str, autoscale: bool, **parameters: float) -> Distribution:
    for key, value in parameters.items():
        finite = isinstance(value, int | float | np.number) and np.isfinite(value)
        if not finite or (key != "location" and value <= 0):
            wanted = "a finite number" if key == "location" else "a positive number"
            raise PriorError(f"{name}({key} = {value!r}): {key} must be {wanted}")
    return Distribution(name, tuple((k, float(v)) for k, v in parameters.items()), autoscale)


def normal(location: float = 0.0, scale: float = 2.5, autoscale: bool = False) -> Distribution:
    """Normal prior, for the intercept or a slope."""
    return _distribution("normal", autoscale, location=location, scale=scale)


def student_t(
    df: float = 1.0, location: float = 0.0, scale: float = 2.5, autoscale: bool = False
) -> Distribution:
    """Student t prior, for the intercept or a slope."""
    return _distribution("student_t", autoscale, df=df, location=location, scale=scale)


def cauchy(location: float = 0.0, scale: float = 2.5, autoscale: bool = False) -> Distribution:
    """Cauchy prior, for the intercept or a slope."""
    return _distribution("cauchy", autoscale, location=location, scale=scale)


def half_normal(scale: float = 1.0, autoscale: bool = False) -> Distribution:
    """Half-normal prior, for a standard deviation."""
    return _distribution("half_normal", autoscale, scale=scale)


def half_student_t(df: float = 3.0, scale: float = 2.5, autoscale: bool = False) -> Distribution:
    """Half-Student-t prior, for a standard deviation."""
    return _distribution("half_student_t", autoscale, df=df, scale=scale)


def half_cauchy(scale: float = 2.5, autoscale: bool = False) -> Distribution:
    """Half-Cauchy prior, for a standard deviation."""
    return _distribution("half_cauchy", autoscale, scale=scale)


def exponential(rate: float = 1.0, autoscale: bool = False) -> Distribution:
    """Exponential prior with mean 1 / rate, for a standard deviation."""
    return _distribution("exponential", autoscale, rate=rate)


def gamma(shape: float = 2.0, rate: float = 1.0, autoscale: bool = False) -> Distribution:
    """Gamma prior with mean shape / rate, for a standard deviation."""
    return _distribution("gamma", autoscale, shape=shape, rate=rate)


@dataclass(frozen=True)
class Decov:
    """rstanarm's prior of a covariance matrix: total variance, its shares, and the correlations.

    For J columns, with phi = sigma for Gaussian models and 1 otherwise:
    tau ~ Gamma(shape, 1); trace = J (tau scale phi)^2; pi ~ Dirichlet(concentration);
    sd_j = sqrt(pi_j trace); corr ~ LKJ(regularization). For J = 1, sd = tau scale phi.
    """

    regularization: float = 1.0
    concentration: float = 1.0
    shape: float = 1.0
    scale: float = 1.0

    def sample_sd(self, rng: np.random.Generator, size: int, columns: int, phi: np.ndarray) -> np.ndarray:
        """Draw standard deviations, shape (size, columns), given draws of phi."""
        tau = rng.gamma(self.shape, 1.0, size) * self.scale * phi
        share = rng.dirichlet(np.full(columns, self.concentration), size)
        return np.sqrt(columns * share) * tau[:, None]


@dataclass(frozen=True)
class Lkj:
    """Independent priors for the standard deviations of a block, LKJ(regularization) for its correlations.

    Attributes
    ----------
    regularization : float
        eta of Lewandowski, Kurowicka & Joe (2009); 1 is uniform over correlation matrices.
    sd : Distribution
        As specified.
    adjusted : tuple of Distribution
        Per column of the block, after autoscaling; empty until the data are known.
    """

    regularization: float
    sd: Distribution
    adjusted: tuple[Distribution, ...] = ()

    def sample_sd(self, rng: np.random.Generator, size: int, columns: int, phi: np.ndarray) -> np.ndarray:
        """Draw standard deviations, shape (size, columns)."""
        return np.column_stack([d.sample(rng, size) for d in self.adjusted[:columns]])


def decov(
    regularization: float = 1.0, concentration: float = 1.0, shape: float = 1.0, scale: float = 1.0
) -> Decov:
    """Prior of a block's covariance matrix by decomposition, as rstanarm's ``decov``."""
    _positive("decov", regularization=regularization, concentration=concentration, shape=shape, scale=scale)
    return Decov(regularization, concentration, shape, scale)


def lkj(regularization: float = 1.0, sd: Distribution | None = None) -> Lkj:
    """Prior of a block's covariance matrix: LKJ correlations, and `sd` for every standard deviation.

    The default `sd` is rstanarm's for its ``lkj``: half_student_t(df=1, scale=10), autoscaled by
    sd(y) / sd(column).
    """
    _positive("lkj", regularization=regularization)
    chosen = half_student_t(1, 10, autoscale=True) if sd is None else sd
    if not isinstance(chosen, Distribution) or chosen.name in {"normal", "student_t", "cauchy"}:
        raise PriorError("lkj(sd=...) takes a prior on the positive numbers, such as half_normal(2)")
    return Lkj(regularization, chosen)


def _positive(name: str, **parameters: float) -> None:
    _distribution(name, False, **parameters)


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
        By R's name, without the intercept.
    sigma : Adjusted
    covariance : mapping of str to Decov or Lkj
        By block label.
    given : mapping of str to object
        The caller's choices as given, for another model of the same kind.
    """

    intercept: Adjusted | None
    coefficients: Mapping[str, Adjusted]
    sigma: Adjusted
    covariance: Mapping[str, Decov | Lkj]
    given: Mapping[str, Any] = field(default_factory=dict)


POSITIVE = {"half_normal", "half_student_t", "half_cauchy", "exponential", "gamma"}


def build_priors(design: Design, overrides: Mapping[str, Any] | None = None) -> Priors:
    """Combine the defaults with the user's choices and scale them to the data.

    Parameters
    ----------
    design
        The design.
    overrides
        By R's coefficient name, or the term as the formula spells it (a factor's name stands for all its
        coefficients), ``"(Intercept)"``, ``"fixed"`` (all slopes), ``"sigma"``, a block's label or its
        grouping factor, or ``"covariance"`` (all blocks). The more special name wins. Where a column is
        both a predictor and a grouping factor, the kind of prior tells which is meant.

    Raises
    ------
    PriorError
        For a name that is not in the model, or a prior that does not fit its parameter.
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise PriorError(f"priors = {overrides!r}: give a dict, such as {{'sigma': bm.exponential(1)}}")
    chosen = dict(overrides or {})
    has_intercept = "(Intercept)" in design.coefficients
    slopes = [c for c in design.coefficients if c != "(Intercept)"]
    _check_names(chosen, design, slopes)
    sd_y = float(np.std(design.y, ddof=1))
    intercept = None
    if has_intercept:
        default = normal(float(design.y.mean()), 2.5, autoscale=True)
        given = _first(chosen, "(Intercept)", "Intercept", default=default)
        intercept = _adjust(given, sd_y, "(Intercept)", real=True)
    covariances, others = _by_kind(chosen, design)
    coefficients = {}
    for name, term, spread in zip(design.coefficients, _terms(design), _column_sd(design.X), strict=True):
        if name in slopes:
            given = _first(others, name, term, "fixed", default=normal(0.0, 2.5, autoscale=True))
            coefficients[name] = _adjust(given, sd_y / spread, name, real=True)
    sigma = _adjust(chosen.get("sigma", exponential(1.0, autoscale=True)), sd_y, "sigma", real=False)
    covariance = {}
    for block in design.blocks:
        given = _first(covariances, block.label, block.group, "covariance", default=decov())
        covariance[block.label] = _covariance(given, block, sd_y)
    return Priors(intercept, coefficients, sigma, covariance, chosen)


def _by_kind(chosen: Mapping[str, Any], design: Design) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split overrides into those of covariances and the others, where one name could mean both."""
    groups = {name for b in design.blocks for name in (b.label, b.group)}
    both = groups & {*design.coefficients, *_terms(design)}
    matrix = {n: p for n, p in chosen.items() if n not in both or isinstance(p, Decov | Lkj)}
    other = {n: p for n, p in chosen.items() if n not in both or not isinstance(p, Decov | Lkj)}
    return matrix, other


def _terms(design: Design) -> list[str]:
    """The term that each coefficient belongs to, as the formula spells it."""
    if not design.assign:
        return list(design.coefficients)
    return ["(Intercept)" if i < 0 else str(design.formula.fixed.terms[i]) for i in design.assign]


def _first(chosen: Mapping[str, Any], *names: str, default: Any) -> Any:
    return next((chosen[name] for name in names if name in chosen), default)


def _column_sd(X: np.ndarray) -> np.ndarray:
    """n-1 standard deviation of each column; 1 for a constant one, as rstanarm."""
    sd = X.std(axis=0, ddof=1)
    return np.where(np.ptp(X, axis=0) == 0, 1.0, sd)


def _check_names(chosen: Mapping[str, Any], design: Design, slopes: list[str]) -> None:
    intercept = ["(Intercept)", "Intercept"] if "(Intercept)" in design.coefficients else []
    known = [
        *slopes,
        *intercept[:1],
        "fixed",
        "sigma",
        "covariance",
        *(n for b in design.blocks for n in (b.label, b.group)),
    ]
    for name in chosen:
        if name not in known and name not in intercept and name not in _terms(design):
            hint = did_you_mean(name, known) or f" It has: {', '.join(known)}."
            raise PriorError(f"priors: the model has no {name!r}.{hint}")


def _adjust(prior: Any, factor: float, name: str, real: bool) -> Adjusted:
    if not isinstance(prior, Distribution):
        if isinstance(prior, Decov | Lkj) or not hasattr(prior, "args"):
            raise PriorError(f"the prior of {name!r} is {prior!r}: give one such as bm.normal(0, 1)")
        return Adjusted(prior, prior)  # a bambi.Prior is used as it stands
    if real == (prior.name in POSITIVE):
        kind = (
            "any real number: bm.normal, bm.student_t" if real else "positive: bm.exponential, bm.half_normal"
        )
        raise PriorError(f"the prior of {name!r} is {prior.name}, but {name} is {kind}, ...")
    return Adjusted(prior, prior.scaled(factor) if prior.autoscale else prior)


def _covariance(prior: Any, block: Block, sd_y: float) -> Decov | Lkj:
    if isinstance(prior, Decov):
        return prior
    if isinstance(prior, Lkj):
        factors = sd_y / _column_sd(block.Z) if prior.sd.autoscale else np.ones(len(block.columns))
        return replace(prior, adjusted=tuple(prior.sd.scaled(float(f)) for f in factors))
    message = f"the prior of block {block.label!r} is {prior!r}: give bm.decov(...) or bm.lkj(...)"
    raise PriorError(message)


# -- what priors imply -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Implied:
    """What the priors say about one block, in plain units, from simulation.

    Attributes
    ----------
    label : str
    columns : tuple of str
    sd_range : ndarray, shape (p, 2)
        Central 90% range of each standard deviation, in units of the response (per unit of the column).
    icc_median, icc_above_half : float
        Prior median of the intercepts' share of variance, sd^2 / (sum of intercept variances + sigma^2),
        and the prior probability that it exceeds one half; NaN without an intercept column.
    extreme_correlation : float
        Prior probability that a correlation exceeds 0.9 in absolute value; NaN for one column.
    """

    label: str
    columns: tuple[str, ...]
    sd_range: np.ndarray
    icc_median: float
    icc_above_half: float
    extreme_correlation: float


def implied(design: Design, priors: Priors, size: int = 100_000, seed: int = 1) -> list[Implied]:
    """Simulate the covariance priors; Monte Carlo error of a probability is below 0.002 by default."""
    rng = np.random.default_rng(seed)
    sigma_prior = priors.sigma.used
    known = isinstance(sigma_prior, Distribution)
    sigma = sigma_prior.sample(rng, size) if known else np.full(size, np.nan)
    sds = {
        b.label: priors.covariance[b.label].sample_sd(rng, size, len(b.columns), sigma) for b in design.blocks
    }
    with_intercept = [b.label for b in design.blocks if b.columns[0] == "(Intercept)"]
    total = sigma**2 + sum((sds[label][:, 0] ** 2 for label in with_intercept), np.zeros(size))
    out = []
    for b in design.blocks:
        has = b.label in with_intercept and known
        icc = sds[b.label][:, 0] ** 2 / total if has else np.full(size, np.nan)
        extreme = _extreme_correlation(priors.covariance[b.label].regularization, len(b.columns))
        bounds = np.quantile(sds[b.label], [0.05, 0.95], axis=0).T
        above = float(np.mean(icc > 0.5)) if has else float("nan")
        out.append(Implied(b.label, b.columns, bounds, float(np.median(icc)), above, extreme))
    return out


def _extreme_correlation(eta: float, p: int) -> float:
    """P(|r| > 0.9) under LKJ(eta): (r + 1) / 2 ~ Beta(a, a), a = eta - 1 + p / 2 (Lewandowski et al. 2009)."""
    if p < 2:
        return float("nan")
    from scipy.stats import beta

    a = eta - 1 + p / 2
    return float(2 * beta.cdf(0.05, a, a))
