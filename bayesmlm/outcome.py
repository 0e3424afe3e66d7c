"""From the linear predictor to the response: the one step of a prediction that knows the family and its link."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.backtransform import OwnScale, as_fitted, own_scale
from bayesmlm.design import Design


@dataclass(frozen=True)
class Gaussian:
    """Z ~ N(eta, sigma^2 / weight), identity link; the response is t^-1(Z) on its own scale, or Z itself.

    Attributes
    ----------
    scale : OwnScale
        What the response is brought back to.
    """

    scale: OwnScale

    @property
    def is_linear(self) -> bool:
        """Whether the mean of the response is the linear predictor."""
        return self.scale.is_identity

    def mean(
        self, eta: np.ndarray, sigma: np.ndarray, weight: np.ndarray | None, extra: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """Return the mean of the response given the draws, shape (draw, row).

        Parameters
        ----------
        eta : ndarray, shape (draw, row)
            Linear predictor.
        sigma : ndarray, shape (draw,)
            Residual standard deviation.
        weight : ndarray, shape (row,), or None
            Prior weights.
        extra : ndarray, shape (draw, row)
            Variance of group effects over which to average.
        """
        if self.is_linear:
            return eta
        return self.scale.mean(eta, residual_variance(sigma, weight) + extra)

    def draw(
        self, eta: np.ndarray, sigma: np.ndarray, weight: np.ndarray | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw one response for each draw and row, shape (draw, row); rows come one after the other from `rng`."""
        noise = rng.standard_normal(eta.shape[::-1]).T
        return self.scale.inverse(eta + np.sqrt(residual_variance(sigma, weight)) * noise)


def residual_variance(sigma: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return sigma^2 / weight, shape (draw, row), or (draw, 1) without weights."""
    variance = sigma[:, None] ** 2
    return variance if weight is None else variance / weight


def outcome_of(design: Design, back_transform: bool) -> Gaussian:
    """Return what turns a model's linear predictor into its response.

    Raises
    ------
    FormulaError
        If the response is to be back-transformed, and cannot be.
    """
    return Gaussian(own_scale(design) if back_transform else as_fitted(design))
