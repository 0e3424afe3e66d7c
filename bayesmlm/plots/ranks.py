"""League tables with their uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from bayesmlm.plots.style import (
    DARK,
    GREY,
    NO_POOLING,
    PALE,
    PARTIAL,
    Captions,
    finish_rows,
    legend_entry,
    merge_style,
    new_axes,
    rows_height,
    set_rows,
)
from bayesmlm.plots.tables import check_columns, check_unique, choose


def plot_ranks(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    prob: float | None = None,
    highlight: Any = (),
    label: str = "group",
    max_labels: int = 60,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    **style: Any,
) -> Axes:
    """Draw the rank of each level with its interval, the first on top.

    A dotted line marks the middle rank: levels whose interval crosses it cannot be told from the median level.

    Parameters
    ----------
    table
        Columns ``level``, ``rank``, ``rank_low``, ``rank_high``.
    ax
        Where to draw; a new figure by default.
    prob
        The probability in the intervals, for the legend.
    highlight
        Levels to pick out in orange.
    label
        What one level is called.
    max_labels
        Up to so many levels are named, if their names can be read at that size.
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the symbols.
    **style
        Passed to `matplotlib.axes.Axes.scatter` for the points.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If the table lacks a column, has two rows for one level, or a level to highlight is unknown.
    """
    check_columns(table, ("level", "rank", "rank_low", "rank_high"))
    check_unique(table, ("level",))
    rows = table.sort_values("rank", ascending=False, kind="stable", ignore_index=True)
    levels = rows["level"].astype(str).tolist()
    chosen = np.isin(
        levels, choose([highlight] if isinstance(highlight, str) else highlight, levels, "level")
    )
    ax = new_axes(6.0, rows_height(len(rows))) if ax is None else ax
    y, pitch = np.arange(len(rows)), set_rows(ax, len(rows))
    middle = (len(rows) + 1) / 2
    away = ((rows["rank_low"] > middle) | (rows["rank_high"] < middle)).to_numpy()
    shades = np.where(chosen, NO_POOLING, np.where(away, PARTIAL, PALE))
    thick, size = float(np.clip(pitch / 6, 0.5, 2.0)), float(np.clip(0.45 * pitch, 1.4, 5.0))
    ax.hlines(y, rows["rank_low"], rows["rank_high"], shades.tolist(), linewidth=thick, zorder=2)
    look: dict[str, Any] = {"s": size**2, "color": DARK, "linewidth": 0, "zorder": 4}
    ax.scatter(rows["rank"], y, label="rank", **merge_style(PathCollection, look, style))
    ax.vlines(middle, -0.6, len(rows) - 0.4, GREY, linewidth=0.9, linestyle="dotted", zorder=1)
    ax.set_xlim(len(rows) + 0.02 * len(rows) + 0.5, 0.5 - 0.02 * len(rows))
    captions = Captions(label, title, xlabel, ylabel, legend, max_labels)
    handles = _legend_entries(prob, away & ~chosen, chosen)
    finish_rows(ax, levels, captions, f"rank among {len(rows)} (1 = highest)", handles if legend else [])
    return ax


def _legend_entries(prob: float | None, away: np.ndarray, chosen: np.ndarray) -> list[Artist]:
    interval = "interval" if prob is None else f"{100 * prob:g}% interval"
    look: dict[str, Any] = {"linestyle": "solid", "linewidth": 2, "marker": "o", "markersize": 4.5}
    look |= {"markeredgewidth": 0, "markerfacecolor": DARK}
    handles: list[Artist] = [legend_entry(f"rank, {interval}", color=PALE, **look)]
    if away.any():
        handles.append(legend_entry("excludes the middle", color=PARTIAL, **look))
    if chosen.any():
        handles.append(legend_entry("highlighted", color=NO_POOLING, **look))
    return handles
