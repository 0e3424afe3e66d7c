"""Likelihood profiles: how far each is from that of a normal distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy import stats

from bayesmlm.plots.colours import palette_of
from bayesmlm.plots.style import (
    figure_legend,
    fit_titles,
    legend_entry,
    merge_style,
    new_grid,
    panel_axes,
    plain_frame,
    root_figure,
)
from bayesmlm.plots.tables import check_columns, distinct

LEVELS = (0.5, 0.9, 0.95)


def plot_profile(
    table: pd.DataFrame,
    *,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
    levels: Sequence[float] = LEVELS,
    ncols: int = 4,
    title: str | None = None,
    legend: bool = True,
    **style: Any,
) -> np.ndarray:
    """Draw zeta, the signed root of the rise of the deviance, against each parameter.

    A straight line means that a Wald interval would do. Dotted lines are at the normal quantiles of `levels`: where
    the curve crosses them are the profile intervals.

    Parameters
    ----------
    table
        Columns ``parameter``, ``value``, ``zeta``, as of `bayesmlm.ReferenceFit.profile`.
    ax
        Where to draw, one Axes per parameter; a new figure by default.
    levels
        Coverage of the intervals marked.
    ncols
        At most so many panels per row of a new figure.
    title
        Title of the figure.
    legend
        Whether to explain the lines.
    **style
        Passed to `matplotlib.axes.Axes.plot` for the curves.

    Returns
    -------
    ndarray of Axes, shape (number of parameters,)

    Raises
    ------
    DataError
        If the table lacks a column, or there are too few Axes.
    """
    check_columns(table, ("parameter", "value", "zeta"))
    names = distinct(table["parameter"])
    panels = (
        new_grid(len(names), ncols, (2.6, 2.3)) if ax is None else panel_axes(ax, len(names), "parameters")
    )
    marks = [float(stats.norm.ppf((1 + level) / 2)) for level in levels]
    palette = palette_of(panels[0])
    for panel, name in zip(panels, names, strict=True):
        part = table[table["parameter"].astype(str) == name].sort_values("value")
        for z in (*marks, *(-z for z in marks)):
            panel.axhline(z, color=palette.grey, linewidth=0.7, linestyle="dotted", zorder=0)
        panel.axhline(0, color=palette.grey, linewidth=0.7, zorder=0)
        look: dict[str, Any] = {
            "color": palette.partial,
            "linewidth": 1.6,
            "marker": "o",
            "markersize": 2.8,
            "zorder": 2,
        }
        panel.plot(part["value"], part["zeta"], label=name, **merge_style(Line2D, look, style))
        panel.set_title(name, fontsize="small", parse_math=False)
        panel.set_ylabel("zeta", fontsize="small")
        panel.tick_params(labelsize="small")
        panel.locator_params(axis="x", nbins=4)  # more labels would meet where numbers are long
        plain_frame(panel)
    fit_titles(panels)
    if title is not None:
        root_figure(panels[0]).suptitle(title)
    if legend and marks:
        shown = ", ".join(f"{100 * level:g}%" for level in levels)
        look = {"linestyle": "dotted", "linewidth": 1, "color": palette.grey}
        figure_legend(panels[0].figure, [legend_entry(f"limits of {shown} intervals", **look)])
    return panels
