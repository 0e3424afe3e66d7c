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
from matplotlib.lines import Line2D

from bayesmlm.errors import DataError
from bayesmlm.plots.style import (
    GREY,
    PALE,
    PARTIAL,
    REFERENCE,
    figure_legend,
    label_rows,
    merge_style,
    new_axes,
    plain_frame,
    row_pitch,
    rows_height,
    settle,
    top_legend,
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
    words = {"label": label, "xlabel": xlabel, "ylabel": ylabel, "max_labels": max_labels}
    drawn = [_panel(a, part, words, style) for a, part in zip(axes, parts, strict=True)]
    handles = _legend_entries(rows, drawn[0], conf_level, reference_label)
    single = len(axes) == 1
    if title is not None:
        axes[0].set_title(title) if single else axes[0].figure.suptitle(title)
    if legend and single:
        settle(axes[0])
        top_legend(axes[0], handles)
    elif legend:
        figure_legend(axes[0].figure, handles)
    return axes[0] if single else axes


def _axes_for(parts: Sequence[pd.DataFrame], ax: Any) -> np.ndarray:
    """Return one Axes per part: the caller's, or those of a new figure."""
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(given) != len(parts):
            names = [f"{p['term'].iloc[0]} ({p['group'].iloc[0]})" for p in parts]
            raise DataError(f"{len(given)} Axes for {', '.join(names)}; give {len(parts)}, or choose one: column=...")
        return given
    height = rows_height(max(map(len, parts)))
    if len(parts) == 1:
        return np.array([new_axes(6.0, height)], dtype=object)
    width = min(3.8 * len(parts), 12.0)
    _, axes = plt.subplots(1, len(parts), figsize=(width, height + 0.3), layout="constrained")
    return axes


def _panel(ax: Axes, part: pd.DataFrame, words: Mapping[str, Any], style: Mapping[str, Any]) -> PathCollection:
    """Draw the effects of one group on one term."""
    rows = part.sort_values("estimate", kind="stable", ignore_index=True)
    settle(ax)
    y, pitch = np.arange(len(rows)), row_pitch(ax, len(rows))
    away = ((rows["conf_low"] > 0) | (rows["conf_high"] < 0)).to_numpy()
    shades = np.where(away, PARTIAL, PALE)
    thick = float(np.clip(pitch / 6, 0.5, 2.0))
    ax.hlines(y, rows["conf_low"], rows["conf_high"], shades, linewidth=thick, zorder=2)
    ax.vlines(0, -0.6, len(rows) - 0.4, GREY, linewidth=0.8, zorder=1)
    size = float(np.clip(0.5 * pitch, 1.4, 5.5)) ** 2
    points = merge_style(PathCollection, {"s": size, "color": shades, "linewidth": 0, "zorder": 3}, style)
    medians = ax.scatter(rows["estimate"], y, **points)
    if "reference" in rows:
        diamond = {"marker": "D", "facecolor": "white", "edgecolor": REFERENCE, "zorder": 4}
        ax.scatter(rows["reference"], y - 0.3, s=size / 2.5, linewidth=np.clip(pitch / 14, 0.3, 0.8), **diamond)
    ax.set_ylim(-0.8, len(rows) - 0.2)
    plain_frame(ax, left=False)
    word = str(rows["group"].iloc[0]) if words["label"] is None else words["label"]
    side = label_rows(ax, rows["level"].astype(str).tolist(), word, words["max_labels"])
    across = f"{rows['term'].iloc[0]}: deviation of each {word}"
    ax.set_xlabel(across if words["xlabel"] is None else words["xlabel"])
    ax.set_ylabel(side if words["ylabel"] is None else words["ylabel"])
    return medians


def _legend_entries(
    rows: pd.DataFrame, medians: PathCollection, conf_level: float | None, reference_label: str
) -> list[Artist]:
    """Explain what was drawn, and only that."""
    interval = "interval" if conf_level is None else f"{100 * conf_level:g}% interval"
    away = (rows["conf_low"] > 0) | (rows["conf_high"] < 0)
    look = {"marker": "o", "markersize": 4.5, "linewidth": 1.8}
    handles: list[Artist] = []
    if (~away).any():
        handles.append(Line2D([], [], color=PALE, label=f"median, {interval}", **look))
    if away.any():
        handles.append(Line2D([], [], color=PARTIAL, label=f"{interval} excludes 0", **look))
    if "reference" in rows and rows["reference"].notna().any():
        look = {"linestyle": "none", "marker": "D", "markersize": 4, "markerfacecolor": "white"}
        handles.append(Line2D([], [], markeredgecolor=REFERENCE, label=reference_label, **look))
    return handles
