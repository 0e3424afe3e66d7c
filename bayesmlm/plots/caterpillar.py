"""Group effects in order, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from bayesmlm.errors import DataError
from bayesmlm.plots.colours import Palette, palette_of
from bayesmlm.plots.style import (
    Captions,
    figure_legend,
    finish_rows,
    legend_entry,
    merge_style,
    new_axes,
    row_look,
    rows_height,
    set_rows,
)
from bayesmlm.plots.tables import check_columns, check_unique, rows_of

COLUMNS = ("group", "level", "term", "estimate", "conf_low", "conf_high")


def plot_caterpillar(
    table: pd.DataFrame,
    *,
    column: str | None = None,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
    conf_level: float | None = None,
    label: str | None = None,
    point: str = "median",
    reference_label: str = "BLUP",
    max_labels: int = 60,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    **style: Any,
) -> Axes | np.ndarray:
    """Draw the group effects from the lowest to the highest, each with its interval.

    An interval that excludes 0 is darker; the reference estimate is a small open diamond just below the point.

    Parameters
    ----------
    table
        One row per group, level and term, with the columns

        - ``group``, ``level``, ``term``: the grouping factor, its level, R's name of the column;
        - ``estimate``: the posterior median of the level's deviation from the fixed effect;
        - ``conf_low``, ``conf_high``: its interval;
        - ``reference``: the conditional mode of a reference fit, or NaN; may be absent.
    column
        The term to draw; by default every term, and every group, has Axes of its own.
    ax
        Where to draw: Axes, or as many as there are groups and terms to draw; a new figure by default.
    conf_level
        The probability in the intervals, for the legend.
    label
        What one level is called, the table's group by default.
    point
        What the legend calls the estimates.
    reference_label
        What the legend calls the reference estimates.
    max_labels
        Up to so many levels are named, if their names can be read at that size.
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the symbols.
    **style
        Passed to `matplotlib.axes.Axes.scatter` for the points of the estimates.

    Returns
    -------
    Axes, or an array of Axes if there are several groups or terms to draw

    Raises
    ------
    DataError
        If the table lacks a column, has two rows for one effect, or `ax` does not hold one Axes per panel.
    """
    check_columns(table, COLUMNS)
    rows = rows_of(table, column)
    check_unique(rows, ("group", "term", "level"))
    parts = [part for _, part in rows.groupby(["group", "term"], sort=False, observed=True)]
    axes = _axes_for(parts, ax)
    single = len(axes) == 1
    for panel, part in zip(axes, parts, strict=True):
        ordered = part.sort_values("estimate", kind="stable", ignore_index=True)
        points = _draw(panel, ordered, style)
        handles = (
            _legend_entries(rows, points, palette_of(panel), conf_level, point, reference_label)
            if legend
            else []
        )
        word = str(part["group"].iloc[0]) if label is None else label
        captions = Captions(word, title if single else None, xlabel, ylabel, legend, max_labels)
        across = f"{part['term'].iloc[0]}: deviation of each {word}"
        levels = ordered["level"].astype(str).tolist()
        finish_rows(panel, levels, captions, across, handles if single else [])
    if not single and title is not None:
        axes[0].figure.suptitle(title)
    if not single and legend:
        figure_legend(axes[0].figure, handles)
    return axes[0] if single else axes


def _axes_for(parts: Sequence[pd.DataFrame], ax: Any) -> np.ndarray:
    """Return one Axes per part: the caller's, or those of a new figure."""
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(given) != len(parts):
            names = ", ".join(f"{p['term'].iloc[0]} ({p['group'].iloc[0]})" for p in parts)
            wanted = f"give {len(parts)} Axes, or choose one term: column=..."
            raise DataError(f"{len(given)} Axes for the {len(parts)} panels {names}; {wanted}")
        return given
    height = rows_height(max(map(len, parts)))
    if len(parts) == 1:
        return np.array([new_axes(6.0, height)], dtype=object)
    size = (min(3.8 * len(parts), 12.0), height + 0.3)
    _, axes = plt.subplots(1, len(parts), figsize=size, layout="constrained")
    return axes


def _excludes_zero(rows: pd.DataFrame) -> np.ndarray:
    return ((rows["conf_low"] > 0) | (rows["conf_high"] < 0)).to_numpy()


def _draw(ax: Axes, rows: pd.DataFrame, style: Mapping[str, Any]) -> PathCollection:
    """Draw the effects of one group on one term, in the order of the rows; return the points."""
    palette, y, pitch = palette_of(ax), np.arange(len(rows)), set_rows(ax, len(rows))
    shades = [palette.partial if away else palette.pale for away in _excludes_zero(rows)]
    thick, diameter = float(np.clip(pitch / 6, 0.5, 2.0)), float(np.clip(0.45 * pitch, 1.4, 5.0))
    ax.hlines(y, rows["conf_low"], rows["conf_high"], shades, linewidth=thick, zorder=2, **row_look(pitch))
    ax.vlines(0, -0.6, len(rows) - 0.4, palette.grey, linewidth=0.8, zorder=1)
    look: dict[str, Any] = {"s": diameter**2, "color": palette.dark, "linewidth": 0, "zorder": 4}
    points = ax.scatter(rows["estimate"], y, **merge_style(PathCollection, look, style))
    if "reference" in rows:
        look = {
            "marker": "D",
            "facecolor": palette.paper,
            "edgecolor": palette.complete,
            "linewidth": thick / 2.5,
            "zorder": 3,
        }
        ax.scatter(rows["reference"], y - 0.3, s=max(0.65 * diameter, 1.6) ** 2, **look)
    return points


def _legend_entries(
    rows: pd.DataFrame,
    points: PathCollection,
    palette: Palette,
    conf_level: float | None,
    point: str,
    reference_label: str,
) -> list[Artist]:
    """Explain what was drawn, and only that."""
    interval = "interval" if conf_level is None else f"{100 * conf_level:g}% interval"
    away = _excludes_zero(rows)
    look: dict[str, Any] = {"linestyle": "solid", "linewidth": 2, "marker": "o", "markersize": 4.5}
    look.update(markeredgewidth=0, markerfacecolor=points.get_facecolor()[0])
    handles: list[Artist] = []
    if not away.all():
        handles.append(legend_entry(f"{point}, {interval}", color=palette.pale, **look))
    if away.any():
        handles.append(legend_entry(f"{interval} excludes 0", color=palette.partial, **look))
    if "reference" in rows and rows["reference"].notna().any():
        diamond: dict[str, Any] = {"marker": "D", "markersize": 4, "markeredgewidth": 0.8}
        diamond.update(markerfacecolor=palette.paper, markeredgecolor=palette.complete)
        handles.append(legend_entry(reference_label, **diamond))
    return handles
