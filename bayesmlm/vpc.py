"""Variance partition: how much of the variance lies between groups, as a function of the predictors of slopes.

Where slopes vary, the variance between the groups of a block is z(x)' Sigma z(x), a quadratic function of the
predictors x (Goldstein, Browne & Rasbash 2002, Understanding Statistics 1, 223-231; Snijders & Bosker 2012, section
7.2.1), so that there is no one intraclass correlation.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.coding import model_columns
from bayesmlm.columns import as_frame
from bayesmlm.design import Block, Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.evaluate import Evaluator
from bayesmlm.link_scale import residual_draws_on_link
from bayesmlm.shares import flat_cov, interval_ends
from bayesmlm.syntax import names_in

GRID = (0.05, 0.25, 0.5, 0.75, 0.95)
RESIDUAL = "Residual"


def slope_predictors(design: Design) -> list[str]:
    """Columns of the data that the left sides of the bars name, in order."""
    nodes = [f for b in design.blocks for term in b.bar.effects.terms for f in term.factors]
    names = (n.name for node in nodes for n in names_in(node))
    return list(dict.fromkeys(name for name in names if name in design.frame.columns))


def predictor_frame(design: Design, at: Any = None) -> pd.DataFrame:
    """Return the values of the predictors of slopes at which to divide the variance.

    Parameters
    ----------
    design
        The model.
    at
        A data frame, one row per point; or a mapping of predictors to a value or a list of values, all combinations of
        which are taken. Of its columns only those of `slope_predictors` are needed. None: each predictor in turn at
        its observed 5, 25, 50, 75 and 95 % quantiles, or at all its values if there are five or fewer, while the others
        stay at their median, or at their first category.

    Raises
    ------
    DataError
        If a predictor is missing, or unknown.
    """
    needed = slope_predictors(design)
    if at is None:
        return _default_grid(design, needed)
    if isinstance(at, Mapping):
        values = [list(v) if _is_list(v) else [v] for v in at.values()]
        frame = pd.DataFrame(list(itertools.product(*values)), columns=list(at))
        unknown = [name for name in frame.columns if name not in design.frame.columns]
        if unknown:
            hint = did_you_mean(unknown[0], design.frame.columns)
            raise DataError(f"at names {unknown[0]!r}, which {design.formula.spelled} does not use.{hint}")
    else:
        frame = as_frame(at)
    for name in needed:
        if name not in frame.columns:
            hint = did_you_mean(name, frame.columns)
            raise DataError(f"at has no {name!r}, on which the variance between groups depends.{hint}")
    if len(frame) == 0:
        raise DataError("at has no rows: give at least one value of each predictor")
    return frame.reset_index(drop=True)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray | pd.Series | pd.Index | range)


def _default_grid(design: Design, names: list[str]) -> pd.DataFrame:
    if not names:
        return pd.DataFrame(index=[0])
    grids = {name: _typical_values(design.frame[name]) for name in names}
    typical = {name: middle for name, (_, middle) in grids.items()}
    rows = [{**typical, name: value} for name in names for value in grids[name][0]]
    return pd.DataFrame(rows, columns=names).drop_duplicates(ignore_index=True)


def _typical_values(column: pd.Series) -> tuple[list[Any], Any]:
    """Return values that show what a column is like, in order, and one to hold it at."""
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        present = set(column.dropna())
        ordered = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else sorted(present)
        values = [v for v in ordered if v in present]
        return values, values[0]
    known = column.dropna().to_numpy()
    distinct = np.unique(known)
    if len(distinct) > len(GRID):
        distinct = np.unique(np.quantile(known, GRID, method="inverted_cdf"))
    return distinct.tolist(), np.quantile(known, 0.5, method="inverted_cdf")


def block_columns(design: Design, block: Block, frame: pd.DataFrame) -> np.ndarray:
    """Values of a block's columns in other rows, shape (m, p), transformed as in the fit.

    `frame` needs only the columns of the data that the bar's left side names.
    """
    evaluator = Evaluator(frame, design.formula.text, learned=design.learned)
    columns = model_columns(block.bar.effects, evaluator)
    Z = columns.values[:, [columns.names.index(c) for c in block.columns]]
    if np.isnan(Z).any():
        row = int(np.flatnonzero(np.isnan(Z).any(axis=1))[0])
        raise DataError(f"at has a missing value in row {row}, which {block.bar} needs")
    return Z


def variance_partition(
    design: Design,
    posterior: Posterior,
    at: Any = None,
    prob: float = 0.9,
    approximation: str | None = None,
) -> pd.DataFrame:
    """Divide the variance of the response given its expectation over levels, at values of the predictors.

    In generalised models that of the linear predictor and of the distribution on the scale of the link, which is one
    of `bayesmlm.variance.APPROXIMATIONS`; `bayesmlm.response_partition` divides the variance of the response itself.

    Returns
    -------
    DataFrame
        One row per point of `at` and source: the columns of `at`; group (a block's label, or ``Residual``); variance,
        z' Sigma z of the block or the residual one, and share, its part of the sum over all: posterior medians, with
        central intervals ``*_low`` and ``*_high`` of probability `prob`.
    """
    ends = interval_ends(prob)
    frame = predictor_frame(design, at)
    variances = _variances(design, posterior, frame, approximation)
    sources = [*(b.label for b in design.blocks), RESIDUAL]
    return partition_frame(frame, sources, variances, ends)


def partition_frame(
    frame: pd.DataFrame, sources: list[str], variances: np.ndarray, ends: list[float]
) -> pd.DataFrame:
    """Summarise variances (draw, point, source) and their shares, at points of which `frame` has one row each."""
    shares = variances / variances.sum(axis=-1, keepdims=True)
    table = _spread(frame, sources)
    for name, values in (("variance", variances), ("share", shares)):
        low, middle, high = np.quantile(values, [ends[0], 0.5, ends[1]], axis=0)
        table |= {name: middle.ravel(), f"{name}_low": low.ravel(), f"{name}_high": high.ravel()}
    return pd.DataFrame(table)


def _variances(
    design: Design, posterior: Posterior, frame: pd.DataFrame, approximation: str | None
) -> np.ndarray:
    """Variance that each block and the residuals give to a row: (chain x draw, point, source)."""
    residual = residual_draws_on_link(design, posterior, approximation)
    out = np.empty((len(residual), len(frame), len(design.blocks) + 1))
    out[..., -1] = residual[:, None]
    for k, (block, draws) in enumerate(zip(design.blocks, posterior.blocks, strict=True)):
        Z = block_columns(design, block, frame)
        out[..., k] = np.einsum("ma,sab,mb->sm", Z, flat_cov(draws), Z, optimize=True)
    return out


def _spread(frame: pd.DataFrame, sources: list[str]) -> dict[str, Any]:
    """Repeat the points for each source; a predictor named as one of our columns gets ``_at`` appended."""
    ours = {"group", *(f"{n}{e}" for n in ("variance", "share") for e in ("", "_low", "_high"))}
    repeated = frame.loc[frame.index.repeat(len(sources))].reset_index(drop=True)
    table: dict[str, Any] = {f"{c}_at" if c in ours else str(c): repeated[c] for c in frame.columns}
    table["group"] = sources * len(frame)
    return table


def point_columns(design: Design, at: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Values of each block's columns at one point, by label: see `predictor_frame`.

    Raises
    ------
    DataError
        If `at` is more than one point.
    """
    frame = predictor_frame(design, at)
    if len(frame) > 1:
        raise DataError(f"at describes {len(frame)} points, and icc() takes one: vpc(at) takes several")
    return {b.label: block_columns(design, b, frame)[0] for b in design.blocks}
