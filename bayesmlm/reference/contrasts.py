"""Tests of linear hypotheses L beta = 0: what Satterthwaite's and Kenward and Roger's methods have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

RANK = 1.5e-8  # eigenvalues of the covariance of a contrast below this times the largest are zero
FLAT = (
    1e-10  # eigenvalues of a scaled Hessian or information matrix below this times the largest are rounding
)


@dataclass(frozen=True)
class TTest:
    """A t test of one contrast.

    Attributes
    ----------
    estimate, se : float
        L beta-hat and its standard error.
    df, statistic, p_value : float
        Degrees of freedom, estimate / se, and the two-sided p value.
    """

    estimate: float
    se: float
    df: float
    statistic: float
    p_value: float


@dataclass(frozen=True)
class FTest:
    """An F test of several contrasts.

    Attributes
    ----------
    statistic : float
        F, scaled so that it is compared with F(num_df, den_df).
    num_df : int
        Rank of the hypothesis.
    den_df, p_value : float
    scale : float
        What the Wald statistic over num_df was multiplied with; 1 but for Kenward and Roger's method.
    """

    statistic: float
    num_df: int
    den_df: float
    p_value: float
    scale: float = 1.0


def t_test(estimate: float, variance: float, df: float) -> TTest:
    """Return the t test of an estimate with a given variance and degrees of freedom."""
    with np.errstate(divide="ignore", invalid="ignore"):
        se = float(np.sqrt(variance))
        statistic = float(np.divide(estimate, se))
    return TTest(estimate, se, df, statistic, float(2.0 * stats.t.sf(abs(statistic), df)))


def f_test(statistic: float, num_df: int, den_df: float, scale: float = 1.0) -> FTest:
    """Return the F test of a scaled statistic."""
    return FTest(statistic, num_df, den_df, float(stats.f.sf(statistic, num_df, den_df)), scale)


def spectral(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positive eigenvalues of a covariance matrix, largest first, and their eigenvectors."""
    values, vectors = np.linalg.eigh(matrix)
    kept = np.flatnonzero(values > RANK * max(values[-1], 0.0))[::-1] if len(values) else np.array([], int)
    return values[kept], vectors[:, kept]


def positive_inverse(matrix: np.ndarray) -> np.ndarray:
    """Invert a symmetric matrix where it is positive, after scaling its diagonal to 1: units do not matter."""
    size = np.abs(np.diag(matrix))
    scale = 1.0 / np.sqrt(np.where(size > 0, size, 1.0))
    values, vectors = np.linalg.eigh(matrix * np.outer(scale, scale))
    kept = values > FLAT * values[-1]
    half = scale[:, None] * vectors[:, kept] / np.sqrt(values[kept])
    return half @ half.T
