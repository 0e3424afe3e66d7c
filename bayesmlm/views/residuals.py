"""Residuals and group effects as tables: against fitted values, against normal quantiles, spread by group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bayesmlm.design import Design
from bayesmlm.errors import DataError
from bayesmlm.shrinkage import one_factor
from bayesmlm.tables import check_probability
from bayesmlm.views.labels import chosen_rows, row_labels


def residual_table(
    design: Design,
    fitted: np.ndarray,
    sigma: float | None,
    label: Any = None,
    n_outliers: int = 3,
    scaled: np.ndarray | None = None,
) -> pd.DataFrame:
    """Tabulate the rows of a fit with their residuals.

    Parameters
    ----------
    design
        The model.
    fitted
        Expected response of each row, fixed and group effects.
    sigma
        Residual standard deviation.
    label
        What a row is called; see `row_labels`.
    n_outliers
        So many rows, of the largest absolute residuals, are marked.
    scaled
        Quantile residuals of a generalised model, which are then the residuals.

    Returns
    -------
    DataFrame
        label, fitted, resid (y - fitted), scaled (resid sqrt(weight) / sigma), root (square root of its absolute
        value), outlier (bool); one row per row of the fit.
    """
    if scaled is None:
        assert sigma is not None
        resid = design.y - fitted
        scaled = resid / sigma * (1.0 if design.weights is None else np.sqrt(design.weights))
    else:
        resid = scaled
    outlier = np.zeros(len(resid), dtype=bool)
    outlier[np.argsort(-np.abs(scaled), kind="stable")[: max(int(n_outliers), 0)]] = True
    return pd.DataFrame(
        {
            "label": row_labels(design, label),
            "fitted": fitted,
            "resid": resid,
            "scaled": scaled,
            "root": np.sqrt(np.abs(scaled)),
            "outlier": outlier,
        }
    )


def normal_quantiles(values: np.ndarray, labels: np.ndarray, prob: float = 0.95) -> pd.DataFrame:
    """Compare sorted values with the quantiles of a standard normal distribution.

    The i-th of n sorted values from that distribution is distributed as the normal quantile of Beta(i, n - i + 1):
    its median is the point compared with, and the band holds `prob` of it, value by value.

    Returns
    -------
    DataFrame
        label, theoretical, value, conf_low, conf_high, from the least value to the greatest.
    """
    prob = check_probability(prob, "prob")
    order = np.argsort(values, kind="stable")
    i, n = np.arange(1, len(values) + 1), len(values)
    ends = [stats.norm.ppf(stats.beta.ppf(q, i, n - i + 1)) for q in (0.5, (1 - prob) / 2, (1 + prob) / 2)]
    return pd.DataFrame(
        {
            "label": np.asarray(labels, dtype=object)[order],
            "theoretical": ends[0],
            "value": values[order],
            "conf_low": ends[1],
            "conf_high": ends[2],
        }
    )


def effect_quantiles(design: Design, effects: list[np.ndarray], prob: float = 0.95) -> pd.DataFrame:
    """Compare each column of group effects with normal quantiles.

    Effects are divided by their own standard deviation over the levels and centred: estimated effects are less
    spread than true ones, and only their shape is judged. A column without spread is left out.

    Parameters
    ----------
    design
        The model.
    effects
        Estimates of each block, (level, column).
    prob
        Of the band.

    Returns
    -------
    DataFrame
        group (block label), term, and the columns of `normal_quantiles`.
    """
    parts = []
    for block, values in zip(design.blocks, effects, strict=True):
        for column, b in zip(block.columns, values.T, strict=True):
            spread = b.std(ddof=1)
            if spread > 0:
                table = normal_quantiles((b - b.mean()) / spread, np.array(block.levels, dtype=object), prob)
                parts.append(table.assign(group=block.label, term=column))
    names = ["group", "term", "label", "theoretical", "value", "conf_low", "conf_high"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def spread_by_group(
    design: Design, scaled: np.ndarray, group: str | None = None, prob: float = 0.95
) -> pd.DataFrame:
    """Compare the spread of the scaled residuals in each level of a grouping factor with that expected.

    In each level the residuals are regressed on the columns whose effects vary between levels; what is left has
    df = n - rank degrees of freedom, and spread = sqrt(sum of squares / df). If residuals are normal with one
    variance, df spread^2 is chi-square with df degrees of freedom, but for the error of sigma and of the other fixed
    effects: the band is that distribution's.

    Parameters
    ----------
    design
        The model.
    scaled
        Residuals over their standard deviation.
    group
        Grouping factor; the one with most levels if None.
    prob
        Of the band.

    Returns
    -------
    DataFrame
        level, n, df, spread, conf_low, conf_high, outside (bool); levels with df = 0 are left out.
    """
    prob = check_probability(prob, "prob")
    (block,) = one_factor(design, group).blocks
    root = 1.0 if design.weights is None else np.sqrt(design.weights)[:, None]
    z = block.Z * root
    order = np.argsort(block.index, kind="stable")
    ends = np.searchsorted(block.index[order], np.arange(1, len(block.levels)))
    rows = []
    for level, at in zip(block.levels, np.split(order, ends), strict=True):
        left, df = _left_over(scaled[at], z[at])
        if df > 0:
            rows.append((level, len(at), df, np.sqrt(left / df)))
    table = pd.DataFrame(rows, columns=["level", "n", "df", "spread"])
    for name, q in (("conf_low", (1 - prob) / 2), ("conf_high", (1 + prob) / 2)):
        table[name] = np.sqrt(stats.chi2.ppf(q, table["df"]) / table["df"])
    return table.assign(
        outside=(table["spread"] < table["conf_low"]) | (table["spread"] > table["conf_high"])
    )


def _left_over(values: np.ndarray, z: np.ndarray) -> tuple[float, int]:
    """Return the sum of squares of values after regression on z, and its degrees of freedom."""
    solution, _, rank, _ = np.linalg.lstsq(z, values, rcond=None)
    return float(((values - z @ solution) ** 2).sum()), len(values) - int(rank)


def calibration_table(
    design: Design,
    fitted: np.ndarray,
    *,
    group: str | None = None,
    label: Any = None,
    highlight: Any = None,
) -> pd.DataFrame:
    """Tabulate observed against fitted values, by row or as means by group; of binomials shares of successes.

    Parameters
    ----------
    design
        The model.
    fitted
        Expected response of each row.
    group
        Means over the levels of this grouping factor; the rows themselves if None.
    label, highlight
        What a row is called, and which rows to pick out; see `bayesmlm.views.labels`. A level is highlighted if one
        of its rows is.

    Returns
    -------
    DataFrame
        label, n (rows in it), fitted, observed, highlight (bool).

    Raises
    ------
    DataError
        For categories, of which each has a probability.
    """
    if fitted.ndim > 1:
        raise DataError(f"{design.response} is a category: pp_check() compares the share of each")
    y = design.y if design.trials is None else design.y / design.trials
    chosen = chosen_rows(design, highlight)
    if group is None:
        names = row_labels(design, label)
        return pd.DataFrame({"label": names, "n": 1, "fitted": fitted, "observed": y, "highlight": chosen})
    block = one_factor(design, group).blocks[0]
    names = np.array(block.levels, dtype=object)
    if label is not None:  # that of the level's first row
        first = np.unique(block.index, return_index=True)[1]
        names = row_labels(design, label)[first]
    weight = np.ones(design.nobs) if design.weights is None else design.weights
    weight = weight if design.trials is None else design.trials
    total = np.bincount(block.index, weight)
    return pd.DataFrame(
        {
            "label": names,
            "n": np.bincount(block.index),
            "fitted": np.bincount(block.index, weight * fitted) / total,
            "observed": np.bincount(block.index, weight * y) / total,
            "highlight": np.bincount(block.index, chosen) > 0,
        }
    )
