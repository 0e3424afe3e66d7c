"""Families of priors: of one number, of a covariance matrix, of all slopes together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesmlm.errors import PriorError

MIN_SCALE = 1e-12  # rstanarm's floor under an autoscaled scale
POSITIVE = {"half_normal", "half_student_t", "half_cauchy", "exponential", "gamma"}
UNIT = {"beta"}


@dataclass(frozen=True)
class Distribution:
    """A univariate prior.

    Attributes
    ----------
    name : str
        ``normal``, ``student_t``, ``cauchy``, ``laplace``, ``half_normal``, ``half_student_t``, ``half_cauchy``,
        ``exponential``, ``gamma`` or ``beta``.
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
            case "laplace":
                value = rng.laplace(location, scale, size)
            case "exponential":
                value = rng.exponential(1 / p["rate"], size)
            case "beta":
                value = rng.beta(p["a"], p["b"], size)
            case _:
                value = rng.gamma(p["shape"], 1 / p["rate"], size)
        return np.abs(value) if self.name.startswith("half_") else value

    def log_density(self, value: np.ndarray) -> np.ndarray:
        """Log-density at `value`, normalised."""
        unfolded, folds = self._unfolded()
        with np.errstate(divide="ignore"):
            return (
                np.where(np.asarray(value) < 0, -np.inf, unfolded.logpdf(value) + np.log(2))
                if folds
                else (unfolded.logpdf(value))
            )

    def quantile(self, q: float | np.ndarray) -> np.ndarray:
        """Return the values below which the distribution has probability `q`."""
        unfolded, folds = self._unfolded()
        return unfolded.ppf((1 + np.asarray(q)) / 2) if folds else unfolded.ppf(q)

    def _unfolded(self) -> tuple[Any, bool]:
        """SciPy's distribution, and whether ours is that of its absolute value."""
        from scipy import stats

        p = dict(self.parameters)
        location, scale = p.get("location", 0.0), p.get("scale", 1.0)
        match self.name:
            case "normal" | "half_normal":
                found = stats.norm(location, scale)
            case "student_t" | "half_student_t":
                found = stats.t(p["df"], location, scale)
            case "cauchy" | "half_cauchy":
                found = stats.cauchy(location, scale)
            case "laplace":
                found = stats.laplace(location, scale)
            case "exponential":
                found = stats.expon(0, 1 / p["rate"])
            case "beta":
                found = stats.beta(p["a"], p["b"])
            case _:
                found = stats.gamma(p["shape"], 0, 1 / p["rate"])
        return found, self.name.startswith("half_")


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


def laplace(location: float = 0.0, scale: float = 2.5, autoscale: bool = False) -> Distribution:
    """Laplace (double exponential) prior, for the intercept or a slope: the Bayesian lasso's."""
    return _distribution("laplace", autoscale, location=location, scale=scale)


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


def beta(a: float = 1.0, b: float = 1.0) -> Distribution:
    """Beta prior, for a probability such as psi of zero-inflated and hurdle models; uniform by default."""
    return _distribution("beta", False, a=a, b=b)


@dataclass(frozen=True)
class Decov:
    """rstanarm's prior of a covariance matrix: total variance, its shares, and the correlations.

    For J columns, with phi = sigma where the family has a residual standard deviation and 1 otherwise:
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
        As specified for all standard deviations; a ``bambi.Prior`` too. None if every column has its own.
    adjusted : tuple of Distribution
        Per column of the block, after autoscaling; empty until the data are known.
    own : tuple of (str, Distribution)
        Columns with a prior of their own, as specified.
    """

    regularization: float
    sd: Any
    adjusted: tuple[Any, ...] = ()
    own: tuple[tuple[str, Any], ...] = ()

    def sample_sd(self, rng: np.random.Generator, size: int, columns: int, phi: np.ndarray) -> np.ndarray:
        """Draw standard deviations, shape (size, columns); NaN where the prior is a ``bambi.Prior``."""
        known = [isinstance(d, Distribution) for d in self.adjusted[:columns]]
        draws = [
            d.sample(rng, size) if k else np.full(size, np.nan)
            for d, k in zip(self.adjusted, known, strict=False)
        ]
        return np.column_stack(draws)


def decov(
    regularization: float = 1.0, concentration: float = 1.0, shape: float = 1.0, scale: float = 1.0
) -> Decov:
    """Prior of a block's covariance matrix by decomposition, as rstanarm's ``decov``."""
    check_positive(
        "decov", regularization=regularization, concentration=concentration, shape=shape, scale=scale
    )
    return Decov(regularization, concentration, shape, scale)


def default_lkj_sd() -> Distribution:
    """rstanarm's prior of the standard deviations in its ``lkj``."""
    return half_student_t(1, 10, autoscale=True)


def lkj(regularization: float = 1.0, sd: Distribution | None = None) -> Lkj:
    """Prior of a block's covariance matrix: LKJ correlations, and `sd` for every standard deviation.

    The default `sd` is rstanarm's for its ``lkj``: half_student_t(df=1, scale=10), autoscaled by
    sd(y) / sd(column).
    """
    check_positive("lkj", regularization=regularization)
    chosen = default_lkj_sd() if sd is None else sd
    if not is_custom(chosen) and not (isinstance(chosen, Distribution) and chosen.name in POSITIVE):
        raise PriorError("lkj(sd=...) takes a prior on the positive numbers, such as half_normal(2)")
    return Lkj(regularization, chosen)


def check_positive(name: str, **parameters: float) -> None:
    """Raise `PriorError` unless every parameter is a positive number."""
    _distribution(name, False, **parameters)


def is_custom(prior: Any) -> bool:
    """Whether a prior is a ``bambi.Prior``, or looks like one: it has a name and arguments."""
    return hasattr(prior, "args") and hasattr(prior, "name")
