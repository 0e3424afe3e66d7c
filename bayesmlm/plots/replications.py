"""Posterior predictive checks: the data among replicated data, overall and by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.patches import Rectangle

from bayesmlm.errors import DataError
from bayesmlm.plots.colours import palette_of
from bayesmlm.plots.style import (
    Captions,
    finish_rows,
    legend_entry,
    merge_style,
    new_axes,
    plain_frame,
    row_look,
    rows_height,
    set_rows,
    settle,
    top_legend,
)
from bayesmlm.plots.tables import check_columns, check_unique

LETTERS = 66  # that fit below an axis of the default width


def plot_ppc(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    **style: Any,
) -> Axes:
    """Draw the density of the response over those of replicated responses.

    Parameters
    ----------
    table
        Columns ``draw`` (-1 for the data), ``value``, ``density``; see
        `bayesmlm.views.replications.replication_densities`.
    ax
        Where to draw; a new figure by default.
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the curves.
    **style
        Passed to `matplotlib.collections.LineCollection` for the replicated curves.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If the table lacks a column, or has no curve of the data.
    """
    check_columns(table, ("draw", "value", "density"))
    curves = {
        draw: part[["value", "density"]].to_numpy(float) for draw, part in table.groupby("draw", sort=False)
    }
    if -1 not in curves:
        raise DataError("the table has no curve of the data: rows with draw = -1")
    data = curves.pop(-1)
    ax = new_axes(6.0, 3.8) if ax is None else ax
    palette = palette_of(ax)
    look: dict[str, Any] = {"color": palette.pale, "linewidth": 0.8, "zorder": 1}
    look["alpha"] = float(np.clip(4 / np.sqrt(max(len(curves), 1)), 0.15, 0.9))
    bundle = LineCollection(
        list(curves.values()), label="replicated", **merge_style(LineCollection, look, style)
    )
    ax.add_collection(bundle)
    ax.plot(*data.T, color=palette.complete, linewidth=2, zorder=3, label="observed")
    ax.autoscale_view()
    ax.set(ylim=(0, None), yticks=[])
    plain_frame(ax, left=False)
    Captions("", title, xlabel, ylabel).write(ax, "response", "density")
    if legend:
        settle(ax)
        handles: list[Artist] = [
            legend_entry("observed", linestyle="solid", linewidth=2, color=palette.complete),
            legend_entry(
                f"{len(curves)} replicated data sets", linestyle="solid", linewidth=1, color=palette.pale
            ),
        ]
        top_legend(ax, handles)
    return ax


def plot_ppc_counts(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    prob: float | None = None,
    root: bool = False,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    **style: Any,
) -> Axes:
    """Draw how often each value occurs as bars, with the interval of its number in replicated data.

    Parameters
    ----------
    table
        Columns ``value``, ``y``, ``y_rep`` (median), ``conf_low``, ``conf_high``, as of `bayesmlm.Fit.pp_check_counts`.
    ax
        Where to draw; a new figure by default.
    prob
        The probability in the intervals, for the legend.
    root
        Whether heights are square roots of numbers, which shows rare values as clearly as common ones (a rootogram).
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the symbols.
    **style
        Passed to `matplotlib.axes.Axes.bar`.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If the table lacks a column, or has two rows for one value.
    """
    check_columns(table, ("value", "y", "y_rep", "conf_low", "conf_high"))
    check_unique(table, ("value",))
    ax = new_axes(6.4, 3.8) if ax is None else ax
    palette, at = palette_of(ax), np.arange(len(table))
    heights = table[["y", "y_rep", "conf_low", "conf_high"]].to_numpy(float)
    y, middle, low, high = (np.sqrt(heights) if root else heights).T
    ax.bar(at, y, **merge_style(Rectangle, {"color": palette.pale, "width": 0.8, "label": "observed"}, style))
    ax.vlines(at, low, high, palette.partial, linewidth=2, zorder=3, label="replicated")
    ax.scatter(at, middle, s=16, color=palette.partial, zorder=4)
    names = table["value"].astype(str)
    room = max(3, LETTERS // (names.str.len().max() + 2))
    few = at[:: -(-len(at) // room)]
    ax.set_xticks(few, names.iloc[few])
    ax.set(ylim=(0, None))
    plain_frame(ax)
    Captions("", title, xlabel, ylabel).write(ax, "response", "rows, square root" if root else "rows")
    if legend:
        settle(ax)
        interval = "interval" if prob is None else f"{100 * prob:g}% interval"
        top_legend(
            ax,
            [
                legend_entry("observed", linestyle="solid", linewidth=6, color=palette.pale),
                legend_entry(
                    f"replicated, median and {interval}",
                    linestyle="solid",
                    marker="o",
                    markersize=4,
                    linewidth=2,
                    color=palette.partial,
                ),
            ],
        )
    return ax


def plot_ppc_groups(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    prob: float | None = None,
    label: str = "group",
    stat: str = "statistic",
    max_labels: int = 60,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    **style: Any,
) -> Axes:
    """Draw a statistic of each level over the interval of its replicated values, from the least to the greatest.

    Parameters
    ----------
    table
        Columns ``level``, ``y`` (of the data), ``y_rep`` (median of replicated data), ``conf_low``,
        ``conf_high``, as of `bayesmlm.Fit.pp_check`. Levels without a statistic are left out.
    ax
        Where to draw; a new figure by default.
    prob
        The probability in the intervals, for the legend.
    label
        What one level is called.
    stat
        What the statistic is called.
    max_labels
        Up to so many levels are named, if their names can be read at that size.
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the symbols.
    **style
        Passed to `matplotlib.axes.Axes.scatter` for the observed points.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If the table lacks a column, has two rows for one level, or no level has the statistic.
    """
    check_columns(table, ("level", "y", "y_rep", "conf_low", "conf_high"))
    check_unique(table, ("level",))
    rows = table[table[["y", "y_rep"]].notna().all(axis=1)]
    if rows.empty:
        raise DataError(f"no level has enough rows for the {stat}")
    rows = rows.sort_values("y_rep", kind="stable", ignore_index=True)
    ax = new_axes(6.0, rows_height(len(rows))) if ax is None else ax
    handles = _rows(ax, rows, prob, style)
    captions = Captions(label, title, xlabel, ylabel, legend, max_labels)
    finish_rows(
        ax, rows["level"].astype(str).tolist(), captions, f"{stat} in each {label}", handles if legend else []
    )
    return ax


def _rows(ax: Axes, rows: pd.DataFrame, prob: float | None, style: Mapping[str, Any]) -> list[Artist]:
    palette, y, pitch = palette_of(ax), np.arange(len(rows)), set_rows(ax, len(rows))
    thick = float(np.clip(pitch / 2.5, 0.6, 6.0))
    band: dict[str, Any] = {"linewidth": thick, "zorder": 1, "label": "replicated", **row_look(pitch)}
    ax.hlines(y, rows["conf_low"], rows["conf_high"], palette.pale, **band)
    size = float(np.clip(0.45 * pitch, 1.6, 5.5))
    handles: list[Artist] = []
    interval = "interval" if prob is None else f"{100 * prob:g}% interval"
    handles.append(
        legend_entry(f"replicated, {interval}", linestyle="solid", linewidth=5, color=palette.pale)
    )
    outside = ((rows["y"] < rows["conf_low"]) | (rows["y"] > rows["conf_high"])).to_numpy()
    for which, colour, marker, name in (
        (~outside, palette.partial, "o", "observed"),
        (outside, palette.no_pooling, "D", f"outside ({outside.sum()} of {len(rows)})"),
    ):
        if which.any():
            look: dict[str, Any] = {
                "s": (max(size, 3.0) if marker == "D" else size) ** 2,  # one among hundreds is to be seen
                "color": colour,
                "marker": marker,
                "linewidth": 0,
                "zorder": 3,
            }
            look = merge_style(PathCollection, look, style)
            ax.scatter(rows["y"][which], y[which], label=name.split(" (")[0], **look)
            handles.append(legend_entry(name, marker=marker, markersize=5, markeredgewidth=0, color=colour))
    return handles
