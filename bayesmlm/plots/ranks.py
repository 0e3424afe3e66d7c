"""League tables with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.ticker import MaxNLocator

from bayesmlm.plots.colours import Palette, palette_of
from bayesmlm.plots.style import (
    WHOLE,
    Captions,
    finish_rows,
    legend_entry,
    merge_style,
    new_axes,
    row_look,
    row_pitch,
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
        Levels to pick out in orange; they are named also where the levels are too many to name.
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
    palette, y, pitch = palette_of(ax), np.arange(len(rows)), set_rows(ax, len(rows))
    middle = (len(rows) + 1) / 2
    away = ((rows["rank_low"] > middle) | (rows["rank_high"] < middle)).to_numpy()
    shades = np.where(chosen, palette.no_pooling, np.where(away, palette.partial, palette.pale))
    thick, size = float(np.clip(pitch / 6, 0.5, 2.0)), float(np.clip(0.45 * pitch, 1.4, 5.0))
    look: dict[str, Any]
    widths = np.where(chosen, max(thick, 1.2), thick)
    look = {"linewidths": widths, "zorder": 2, **row_look(pitch)}
    ax.hlines(y, rows["rank_low"], rows["rank_high"], shades.tolist(), **look)
    if chosen.any():  # once more, above neighbours that may lie on them
        own = rows[chosen]
        look = {"linewidth": float(widths.max()), "zorder": 3, "label": "highlighted"}
        ax.hlines(y[chosen], own["rank_low"], own["rank_high"], palette.no_pooling, **look)
    look = {"s": size**2, "color": palette.dark, "linewidth": 0, "zorder": 4}
    ax.scatter(rows["rank"], y, label="rank", **merge_style(PathCollection, look, style))
    ax.vlines(middle, -0.6, len(rows) - 0.4, palette.grey, linewidth=0.9, linestyle="dotted", zorder=1)
    ax.set_xlim(len(rows) + 0.02 * len(rows) + 0.5, 0.5 - 0.02 * len(rows))
    ax.set_xticks(rank_ticks(len(rows)))
    captions = Captions(label, title, xlabel, ylabel, legend, max_labels)
    handles = _legend_entries(palette, prob, away & ~chosen, chosen)
    finish_rows(ax, levels, captions, f"rank among {len(rows)} (1 = highest)", handles if legend else [])
    if not len(ax.get_yticks()):
        _name_chosen(ax, levels, np.flatnonzero(chosen))
    return ax


def rank_ticks(count: int) -> list[int]:
    """Return ranks to mark: the first, the last, and round ones between that stand clear of both."""
    step = max(1, round(float(np.diff(MaxNLocator(7, **WHOLE).tick_values(1, count))[0])))
    between = [r for r in range(step, count, step) if r - 1 >= step / 2 and count - r >= step / 2]
    return sorted({1, *between, count})


def _name_chosen(ax: Axes, levels: Sequence[str], chosen: np.ndarray) -> None:
    """Name the highlighted among lines too many to name, from the first down, leaving out what has no room."""
    size, pitch = 8.0, row_pitch(ax)
    room, shown = 1.2 * size / pitch, list[int]()
    for row in chosen[::-1]:
        if not shown or shown[-1] - row >= room:
            shown.append(int(row))
    ax.set_yticks(shown, [levels[i] for i in shown], fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0)


def _legend_entries(
    palette: Palette, prob: float | None, away: np.ndarray, chosen: np.ndarray
) -> list[Artist]:
    interval = "interval" if prob is None else f"{100 * prob:g}% interval"
    look: dict[str, Any] = {"linestyle": "solid", "linewidth": 2, "marker": "o", "markersize": 4.5}
    look |= {"markeredgewidth": 0, "markerfacecolor": palette.dark}
    handles: list[Artist] = [legend_entry(f"rank, {interval}", color=palette.pale, **look)]
    if away.any():
        handles.append(legend_entry("excludes the middle", color=palette.partial, **look))
    if chosen.any():
        handles.append(legend_entry("highlighted", color=palette.no_pooling, **look))
    return handles
