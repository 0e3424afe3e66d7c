"""All tables of the residual diagnostics, in the order in which they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.views.densities import smooth_line
from bayesmlm.views.residuals import effect_quantiles, normal_quantiles, residual_table, spread_by_group

Lines = dict[str, tuple[np.ndarray, np.ndarray]]


def check_tables(
    design: Design,
    fitted: np.ndarray,
    sigma: float | None,
    effects: list[np.ndarray],
    group: str | None = None,
    label: Any = None,
    n_outliers: int = 3,
    scaled: np.ndarray | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, Lines, pd.DataFrame, pd.DataFrame]:
    """Return what `bayesmlm.plots.plot_check` draws of a fit.

    Parameters
    ----------
    design, fitted, sigma
        The model, the expected response of each row, and the residual standard deviation.
    effects
        Estimated effects of each block, (level, column).
    group
        Grouping factor whose levels' residual spread is compared.
    label, n_outliers, scaled
        See `residual_table`.

    Returns
    -------
    rows, quantiles, lines, effects, spread
        See `residual_table`, `normal_quantiles`, `smooth_line` (of ``"resid"`` and ``"root"`` over the fitted values),
        `effect_quantiles`, `spread_by_group`.
    """
    rows = residual_table(design, fitted, sigma, label, n_outliers, scaled)
    scaled = rows["scaled"].to_numpy()
    quantiles = normal_quantiles(scaled, rows["label"].to_numpy())
    lines = {name: smooth_line(fitted, rows[name].to_numpy()) for name in ("resid", "root")}
    return rows, quantiles, lines, effect_quantiles(design, effects), spread_by_group(design, scaled, group)
