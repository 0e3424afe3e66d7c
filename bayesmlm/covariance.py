"""Covariance of group effects: theta <-> Lambda <-> Sigma <-> (sd, corr), and `VarCorr`, which holds it.

Notation of Bates et al. (2015): within one block of p columns, Sigma = sigma^2 Lambda Lambda',
Lambda lower triangular p x p with a non-negative diagonal, theta = vech(Lambda), column by column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class BlockCovariance:
    """Standard deviations and correlations of one block's columns.

    Attributes
    ----------
    label : str
        The block's unique label; `group`, or ``"g.1"`` for a second block on the same factor.
    group : str
        The grouping factor.
    columns : tuple of str
        R's names of the p columns.
    sd : ndarray, shape (p,)
        Standard deviations, on the scale of the linear predictor.
    corr : ndarray, shape (p, p)
        Correlations; NaN off the diagonal where a standard deviation is 0.
    """

    label: str
    group: str
    columns: tuple[str, ...]
    sd: np.ndarray
    corr: np.ndarray
    cov: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        cov = np.nan_to_num(self.corr) * np.outer(self.sd, self.sd)
        object.__setattr__(self, "cov", cov)


@dataclass(frozen=True)
class VarCorr:
    """Variance components: one `BlockCovariance` per block, and the residual sd (None where there is none)."""

    blocks: tuple[BlockCovariance, ...]
    sigma: float | None

    @property
    def sd(self) -> dict[str, pd.Series]:
        """Standard deviations per block label, indexed by column."""
        return {b.label: pd.Series(b.sd, index=list(b.columns), name="sd") for b in self.blocks}

    @property
    def corr(self) -> dict[str, pd.DataFrame]:
        """Correlation matrix per block label."""
        return {b.label: _labelled(b.corr, b.columns) for b in self.blocks}

    @property
    def cov(self) -> dict[str, pd.DataFrame]:
        """Covariance matrix per block label."""
        return {b.label: _labelled(b.cov, b.columns) for b in self.blocks}

    def to_frame(self) -> pd.DataFrame:
        """Return lme4's ``as.data.frame(VarCorr(m))``: columns grp, var1, var2, vcov, sdcor.

        Variances first, then the lower triangle column by column; the last row is ``Residual``.
        """
        rows: list[tuple] = []
        for b in self.blocks:
            rows += [
                (b.label, c, None, v, s) for c, v, s in zip(b.columns, np.diag(b.cov), b.sd, strict=True)
            ]
            rows += [
                (b.label, b.columns[j], b.columns[i], b.cov[i, j], b.corr[i, j])
                for i, j in lower_pairs(len(b.columns))
            ]
        if self.sigma is not None:
            rows.append(("Residual", None, None, self.sigma**2, self.sigma))
        return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])


def _labelled(matrix: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(matrix, index=list(names), columns=list(names))


def lower_pairs(p: int) -> list[tuple[int, int]]:
    """Return (row, column) of the strict lower triangle of a p x p matrix, column by column."""
    return [(i, j) for j in range(p) for i in range(j + 1, p)]


def split_theta(theta: np.ndarray, widths: Iterable[int]) -> list[np.ndarray]:
    """Cut theta into one lower-triangular Lambda (p x p) per block, in the blocks' order."""
    factors, start = [], 0
    for p in widths:
        lam = np.zeros((p, p))
        rows, cols = lower_indices(p)
        lam[rows, cols] = theta[start : start + len(rows)]
        factors.append(lam)
        start += len(rows)
    return factors


def join_theta(factors: Iterable[np.ndarray]) -> np.ndarray:
    """Inverse of `split_theta`: stack vech(Lambda) of each block, column by column."""
    return np.concatenate([lam[lower_indices(len(lam))] for lam in factors])


def block_diag(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Return the dense matrix with the given square matrices along its diagonal."""
    if len(matrices) == 1:
        return matrices[0]
    out = np.zeros((sum(map(len, matrices)),) * 2)
    start = 0
    for m in matrices:
        out[start : start + len(m), start : start + len(m)] = m
        start += len(m)
    return out


@lru_cache(maxsize=64)
def lower_indices(p: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column indices of the lower triangle with diagonal, in lme4's (column-major) order."""
    cols, rows = np.triu_indices(p)
    rows.setflags(write=False)
    cols.setflags(write=False)
    return rows, cols


def sd_corr(cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return standard deviations and correlations of covariance matrices of shape (..., p, p).

    A zero variance gives NaN correlations off the diagonal, as lme4 prints them.
    """
    sd = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        corr = cov / (sd[..., :, None] * sd[..., None, :])
    p = cov.shape[-1]
    corr = np.clip(corr, -1.0, 1.0)
    corr[..., np.arange(p), np.arange(p)] = 1.0
    return sd, corr
