"""From the linear predictor to the response: the one step of a prediction that knows the family and its link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bayesmlm.averages import LOGNORMAL, NO_MEAN, averaged_mean
from bayesmlm.backtransform import OwnScale, as_fitted, own_scale
from bayesmlm.design import Design
from bayesmlm.errors import DataError, FormulaError
from bayesmlm.families import LINKS, Family, draw, mean

Parameters = Mapping[str, np.ndarray]  # auxiliary parameters by name, (draw, 1) or (draw, row)
Extra = np.ndarray | float
BOUNDED = {"logit", "probit", "cloglog", "cauchit"}  # links of numbers between 0 and 1


class Outcome(Protocol):
    """What a linear predictor means for the response."""

    @property
    def name(self) -> str:
        """What is predicted, in the words of the data."""

    @property
    def levels(self) -> tuple[str, ...]:
        """Categories of the response, each with a probability of its own; none for numbers."""

    @property
    def is_linear(self) -> bool:
        """Whether the mean of the response is the linear predictor."""

    @property
    def has_averages(self) -> bool:
        """Whether the mean of the response has a mean over normal group effects."""

    def mean(
        self, eta: np.ndarray, parameters: Parameters, weight: np.ndarray | None, extra: Extra = 0.0
    ) -> np.ndarray:
        """Return the mean of the response given the draws, (draw, row); of categories (draw, row, category).

        Parameters
        ----------
        eta : ndarray, shape (draw, row)
            Linear predictor.
        parameters
            Auxiliary parameters.
        weight : ndarray, shape (row,), or None
            Prior weights.
        extra : ndarray, shape (draw, row)
            Variance of group effects over which to average.
        """

    def location(self, target: np.ndarray, parameters: Parameters, weight: np.ndarray | None) -> np.ndarray:
        """Return the linear predictor for which the mean of the response is `target`; NaN where there is none."""

    def draw(
        self,
        eta: np.ndarray,
        parameters: Parameters,
        weight: np.ndarray | None,
        trials: np.ndarray | None,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw one response for each draw and row, shape (draw, row)."""


@dataclass(frozen=True)
class Gaussian:
    """Z ~ N(eta, sigma^2 / weight), identity link; the response is t^-1(Z) on its own scale, or Z itself.

    Attributes
    ----------
    scale : OwnScale
        What the response is brought back to.
    """

    scale: OwnScale
    levels: tuple[str, ...] = ()
    has_averages: bool = True

    @property
    def name(self) -> str:
        """What is predicted."""
        return self.scale.name

    @property
    def is_linear(self) -> bool:
        """Whether the mean of the response is the linear predictor."""
        return self.scale.is_identity

    def mean(
        self, eta: np.ndarray, parameters: Parameters, weight: np.ndarray | None, extra: Extra = 0.0
    ) -> np.ndarray:
        """Return the mean of the response; see `Outcome.mean`."""
        if self.is_linear:
            return eta
        return self.scale.mean(eta, residual_variance(parameters["sigma"], weight) + extra)

    def location(self, target: np.ndarray, parameters: Parameters, weight: np.ndarray | None) -> np.ndarray:
        """Return the linear predictor of a mean; see `Outcome.location`."""
        return self.scale.location(target, residual_variance(parameters["sigma"], weight))

    def draw(
        self,
        eta: np.ndarray,
        parameters: Parameters,
        weight: np.ndarray | None,
        trials: np.ndarray | None,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw one response for each draw and row; rows come one after the other from `rng`."""
        noise = rng.standard_normal(eta.shape[::-1]).T
        return self.scale.inverse(eta + np.sqrt(residual_variance(parameters["sigma"], weight)) * noise)


@dataclass(frozen=True)
class Generalized:
    """A response of any family; its mean is g^-1(eta), but for what the family's zeros or logarithms add.

    Attributes
    ----------
    family : Family
        Family and link.
    name : str
        The response.
    levels : tuple of str
        Categories of an ordinal or categorical response.
    """

    family: Family
    name: str
    levels: tuple[str, ...] = ()

    @property
    def is_linear(self) -> bool:
        """Whether the mean of the response is the linear predictor."""
        return self.family.link == "identity" and self.family.name not in LOGNORMAL

    @property
    def has_averages(self) -> bool:
        """Whether the mean of the response has a mean over normal group effects."""
        return self.family.link not in NO_MEAN

    def mean(
        self, eta: np.ndarray, parameters: Parameters, weight: np.ndarray | None, extra: Extra = 0.0
    ) -> np.ndarray:
        """Return the mean of the response, of binomials per trial; see `Outcome.mean`."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if np.ndim(extra) and np.any(extra):
                return averaged_mean(self.family, eta, parameters, np.asarray(extra))
            return mean(self.family, eta, parameters)

    def location(self, target: np.ndarray, parameters: Parameters, weight: np.ndarray | None) -> np.ndarray:
        """Return the linear predictor of a mean; see `Outcome.location`.

        Infinite where the mean is beyond what any linear predictor gives, such as a probability of more than 1.
        """
        name, wanted = self.family.name, target
        if self.levels or name in {"hurdle_poisson", "hurdle_negativebinomial"}:
            raise DataError(
                f"the mean of a {self.family.spelled} response cannot be turned into a linear predictor"
            )
        with np.errstate(invalid="ignore", divide="ignore"):
            if name.startswith(("zero_inflated_", "hurdle_")):
                wanted = wanted / parameters["psi"]
            if name in LOGNORMAL:
                found = np.log(wanted) - np.square(parameters["sigma"]) / 2
            else:
                found = LINKS[self.family.link].forward(wanted)
        link = self.family.link
        if link in BOUNDED or link == "log" or name in LOGNORMAL:
            found = np.where(wanted <= 0, -np.inf, found)
        if self.family.support in {"binomial", "unit"}:
            found = np.where(wanted >= 1, np.inf, found)
        return np.where(wanted < 0, np.nan, found) if link == "sqrt" else found

    def draw(
        self,
        eta: np.ndarray,
        parameters: Parameters,
        weight: np.ndarray | None,
        trials: np.ndarray | None,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw one response for each draw and row: successes of trials, positions of categories."""
        weight = weight if self.family.name == "gaussian" else None
        missing = np.isnan(eta).reshape(*eta.shape[:2], -1).any(axis=-1)
        if trials is not None:
            missing |= np.isnan(trials)
            trials = np.nan_to_num(trials)
        if not missing.any():
            return draw(self.family, eta, parameters, rng, trials, weight)
        y = draw(self.family, np.nan_to_num(eta), parameters, rng, trials, weight)
        return np.where(missing, np.nan, y)


def residual_variance(sigma: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return sigma^2 / weight, shape (draw, row), or as sigma (draw, 1) without weights."""
    variance = sigma**2
    return variance if weight is None else variance / weight


def outcome_of(design: Design, back_transform: bool) -> Outcome:
    """Return what turns a model's linear predictor into its response.

    Raises
    ------
    FormulaError
        If the response is to be back-transformed, and cannot be.
    """
    family = design.family
    if family.is_gaussian_identity:
        return Gaussian(own_scale(design) if back_transform else as_fitted(design))
    continuous = family.support in {"real", "positive", "nonnegative", "unit"}
    if back_transform and continuous and not own_scale(design).is_identity:
        raise FormulaError(
            f"the response {design.response} is brought back to its own scale in Gaussian models with the identity "
            f"link only, where that has a mean: leave out back_transform=True for predictions of {design.response}"
        )
    levels = design.response_levels if family.is_ordinal or family.is_categorical else ()
    return Generalized(family, design.response, levels)
