"""Shares of the variance: Nakagawa's R2, and the adjusted and unadjusted intraclass correlation.

Nakagawa & Schielzeth (2013, Methods Ecol. Evol. 4, 133-142) divide the variance of a row into three parts, that of the
fixed effects, of the group effects and of the residuals; Johnson (2014, Methods Ecol. Evol. 5, 944-946) says what the
second is when slopes vary, and Nakagawa, Johnson & Schielzeth (2017, J. R. Soc. Interface 14: 20170213) add the
adjusted and unadjusted ICC. In the notation of `crossprod`:

    fixed    = 1 / (n - 1) sum_i (x_i'beta - mean)^2
    random   = sum over blocks of 1/n sum_i z_i' Sigma z_i
    residual = sigma^2.

Everything works on one estimate or on many draws of it at once, and the rows are summed over only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesmlm.design import Design


@dataclass(frozen=True)
class VarianceParts:
    """The variance of a row in three parts, each of shape (...): one number, or one per draw.

    Attributes
    ----------
    fixed : ndarray
        Variance of X beta over the rows. The offset is known rather than explained, and left out.
    random : ndarray
        Variance of Z b, averaged over the rows: it depends on the row where slopes vary.
    residual : ndarray
        sigma^2, the residual variance of a row of weight 1.
    """

    fixed: np.ndarray
    random: np.ndarray
    residual: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """The sum of the three parts."""
        return self.fixed + self.random + self.residual

    @property
    def marginal_r2(self) -> np.ndarray:
        """R2 of Nakagawa & Schielzeth (2013): the share of the fixed effects."""
        return self.fixed / self.total

    @property
    def conditional_r2(self) -> np.ndarray:
        """R2 of Nakagawa & Schielzeth (2013): the share of fixed and group effects together."""
        return (self.fixed + self.random) / self.total

    @property
    def adjusted_icc(self) -> np.ndarray:
        """Share of the group effects in what the fixed effects leave, random / (random + residual)."""
        return self.random / (self.random + self.residual)

    @property
    def unadjusted_icc(self) -> np.ndarray:
        """Share of the group effects in the total: conditional minus marginal R2."""
        return self.random / self.total


def variance_parts(
    design: Design, beta: np.ndarray, covariances: Sequence[np.ndarray], sigma: float | np.ndarray
) -> VarianceParts:
    """Divide the variance of a row into fixed effects, group effects and residuals.

    Parameters
    ----------
    design
        Rows and blocks.
    beta
        Fixed effects, shape (..., k); the leading axes are draws, if there are any.
    covariances
        Sigma of each block of the design, shape (..., p, p).
    sigma
        Residual standard deviation, shape (...).
    """
    random = [random_variance(b.Z, cov) for b, cov in zip(design.blocks, covariances, strict=True)]
    residual = np.asarray(sigma, float) ** 2
    return VarianceParts(
        fixed=fixed_variance(design.X, beta),
        random=np.sum(random, axis=0) if random else np.zeros_like(residual),
        residual=residual,
    )


def fixed_variance(X: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return the variance of X beta over the rows, divisor n - 1: beta (..., k) gives (...).

    With X less its column means = QR it is |R beta|^2 / (n - 1), which does not cancel where columns are almost
    collinear and needs no array of rows x draws.
    """
    r = np.linalg.qr(X - X.mean(axis=0), mode="r")
    return np.sum((np.asarray(beta, float) @ r.T) ** 2, axis=-1) / (len(X) - 1)


def random_variance(Z: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Return the mean over rows of z_i' Sigma z_i = tr(Sigma Z'Z / n): Sigma (..., p, p) gives (...)."""
    return np.einsum("...ab,ab->...", np.asarray(cov, float), Z.T @ Z / len(Z))
