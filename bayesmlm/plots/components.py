"""Variance components: one panel per standard deviation and correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from bayesmlm.plots.colours import Palette, palette_of
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
from bayesmlm.plots.tables import check_columns, check_unique, choose, distinct

XLABELS = {"cor": "correlation", "auxiliary": "parameter of the family"}
COLUMNS = ("parameter", "kind", "group", "term", "estimate", "conf_low", "conf_high")


def plot_variance(
    table: pd.DataFrame,
    densities: pd.DataFrame,
    *,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
    parameters: str | Sequence[str] | None = None,
    prob: float | None = None,
    reference_label: str = "REML",
    ncols: int = 4,
    title: str | None = None,
    legend: bool = True,
    **style: Any,
) -> np.ndarray:
    """Draw the posterior of each standard deviation and correlation over the reference fit's estimate and interval.

    Every parameter has a panel and a scale of its own: a standard deviation of slopes is in other units than that of
    intercepts. A standard deviation's scale begins at 0 if the posterior comes near it; a correlation's goes from
    -1 to 1.

    Parameters
    ----------
    table, densities
        See `component_table` and `component_densities` in `bayesmlm.views.components`.
    ax
        Where to draw, one Axes per parameter; a new figure by default.
    parameters
        Which, by R's names (``"sd_(Intercept)|school"``); all by default.
    prob
        The probability in the intervals, for the legend.
    reference_label
        What the legend calls the reference estimates.
    ncols
        At most so many panels per row of a new figure.
    title
        Title of the figure.
    legend
        Whether to explain the symbols, once for the figure.
    **style
        Passed to `matplotlib.axes.Axes.fill_between` for the densities.

    Returns
    -------
    ndarray of Axes, shape (number of parameters,)

    Raises
    ------
    DataError
        If a table lacks a column, a parameter is unknown, or there are too few Axes.
    """
    check_columns(table, COLUMNS)
    check_columns(densities, ("parameter", "value", "density"), "the table of densities")
    check_unique(table, ("parameter",))
    known = distinct(table["parameter"])
    asked = [parameters] if isinstance(parameters, str) else parameters
    shown = known if asked is None else choose(asked, known, "parameter")
    grid = new_grid(len(shown), ncols, (2.6, 2.1)) if ax is None else panel_axes(ax, len(shown), "parameters")
    for panel, name in zip(grid, shown, strict=True):
        row = table[table["parameter"].astype(str) == name].iloc[0]
        _panel(panel, row, densities[densities["parameter"].astype(str) == name], style)
    fit_titles(grid)
    if title is not None:
        root_figure(grid[0]).suptitle(title)
    if legend:
        figure_legend(grid[0].figure, _legend_entries(table, palette_of(grid[0]), prob, reference_label))
    return grid


def _panel(ax: Axes, row: pd.Series, curve: pd.DataFrame, style: Mapping[str, Any]) -> None:
    x, height = curve["value"].to_numpy(float), curve["density"].to_numpy(float)
    top, palette = float(height.max()), palette_of(ax)
    look = {"color": palette.pale, "linewidth": 0, "alpha": 0.7, "zorder": 1}
    ax.fill_between(x, 0, height, **merge_style(PolyCollection, look, style))
    ax.plot(x, height, color=palette.partial, linewidth=1, zorder=2)
    _bar(
        ax,
        row[["conf_low", "conf_high"]],
        row["estimate"],
        -0.08 * top,
        {"color": palette.partial, "marker": "o"},
    )
    if np.isfinite(row.get("reference", np.nan)):
        look = {"color": palette.complete, "marker": "D", "markerfacecolor": palette.paper}
        _bar(ax, row[["reference_low", "reference_high"]], row["reference"], -0.22 * top, look)
    low, high = _limits(row, x)
    ax.set(xlim=(low, high), ylim=(-0.32 * top, 1.08 * top), yticks=[])
    ax.locator_params(axis="x", nbins=5)
    plain_frame(ax, left=False)
    name = row["group"] if row["term"] == "Observation" else f"{row['term']} | {row['group']}"
    name = row["term"] if row["kind"] == "auxiliary" else name
    ax.set_title(str(name), fontsize="small", parse_math=False)
    ax.set_xlabel(XLABELS.get(row["kind"], "standard deviation"), fontsize="small")


def _bar(ax: Axes, ends: pd.Series, point: float, height: float, look: Mapping[str, Any]) -> None:
    if ends.notna().any():
        across = ends.to_numpy(float)
        if np.isnan(across).any():  # a limit that does not exist: up to the frame
            across = np.where(np.isnan(across), [-1e3, 1e3], across)
        ax.hlines(height, across[0], across[1], look["color"], linewidth=1.6, zorder=3)
    ax.plot(
        [point],
        [height],
        linestyle="none",
        markersize=5,
        markeredgewidth=0.9,
        zorder=4,
        clip_on=False,
        **look,
    )


def _limits(row: pd.Series, x: np.ndarray) -> tuple[float, float]:
    """Return the limits of the scale: of the draws, and of the reference where it lies beyond them."""
    if row["kind"] == "cor":
        return -1.12, 1.12
    far = row.reindex(["reference", "reference_low", "reference_high"]).to_numpy(float)
    ends = np.concatenate([x, far[np.isfinite(far)]])
    low, high = float(ends.min()), float(ends.max())
    low = 0.0 if low < 0.25 * high else low - 0.03 * (high - low)
    return low, high + 0.03 * (high - low)


def _legend_entries(
    table: pd.DataFrame, palette: Palette, prob: float | None, reference: str
) -> list[Artist]:
    interval = "interval" if prob is None else f"{100 * prob:g}% interval"
    line: dict[str, Any] = {"linestyle": "solid", "linewidth": 1.6, "markersize": 5}
    handles: list[Artist] = [
        legend_entry(f"posterior median, {interval}", color=palette.partial, marker="o", **line)
    ]
    if "reference" in table and table["reference"].notna().any():
        drawn = table["reference_low"].notna().any()
        text = f"{reference}, {interval.replace('interval', 'profile interval')}" if drawn else reference
        line |= {} if drawn else {"linestyle": "none"}
        look = {"color": palette.complete, "marker": "D", "markerfacecolor": palette.paper}
        handles.append(legend_entry(text, **look, **line))
    return handles
