"""From no pooling to partial pooling: how far each level's coefficient is drawn towards the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.text import Annotation
from matplotlib.transforms import BboxBase

from bayesmlm.errors import DataError
from bayesmlm.plots.colours import Palette, palette_of
from bayesmlm.plots.style import (
    NO_ESTIMATE,
    Captions,
    finish_rows,
    legend_entry,
    merge_style,
    new_axes,
    plain_frame,
    rows_height,
    set_rows,
    settle,
    top_legend,
    view_limits,
    widen,
)
from bayesmlm.plots.tables import check_columns, check_unique, distinct, rows_of

COLUMNS = ("group", "level", "term", "n", "no_pooling", "partial", "complete")
ORDERS = ("no_pooling", "partial", "n")
TURNS = np.radians([0, 40, -40, 80, -80, 120, -120])  # where a name may stand, from the tail of its arrow


def plot_shrinkage(
    table: pd.DataFrame,
    *,
    column: str | None = None,
    ax: Axes | None = None,
    label: str | None = None,
    order: str = "no_pooling",
    max_labels: int | None = None,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    **style: Any,
) -> Axes:
    """Draw each level's own estimate (no pooling) and where partial pooling moves it.

    One term gives a dot plot with a line per level; two terms give their plane, with an arrow per level.
    Hollow points are estimates from the level's own rows, filled points the multilevel model's; their area is
    proportional to the level's number of rows. Estimates far outside the others do not stretch the axes: their
    lines run off the frame, and the legend counts them.

    Parameters
    ----------
    table
        One row per level and term, with the columns

        - ``group``, ``level``, ``term``: the grouping factor, its level, R's name of the column;
        - ``n``: rows in the level;
        - ``no_pooling``: the level's own estimate, NaN where its rows do not determine one;
        - ``partial``: the posterior median of the level's total coefficient (fixed plus group effect);
        - ``complete``: the estimate that ignores the groups, the same in all rows of a term; may be NaN.

        Other columns, such as standard errors and intervals, are not drawn.
    column
        The term to draw. Needed when the table has more than two.
    ax
        Where to draw; a new figure by default.
    label
        What one level is called, the table's group by default.
    order
        Order of the lines, from the bottom up: ``"no_pooling"``, ``"partial"`` or ``"n"``. Levels without an
        estimate of their own come first.
    max_labels
        Up to so many levels are named: by default 40 along an axis, 20 in the plane.
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the symbols.
    **style
        Passed to `matplotlib.axes.Axes.scatter` for the points of partial pooling.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If the table lacks a column, holds several groups, or more than two terms without `column`.
    """
    check_columns(table, COLUMNS)
    groups = distinct(table["group"])
    if len(groups) > 1:
        raise DataError(f"the table holds the groups {', '.join(groups)}; draw one at a time")
    rows = rows_of(table, column).assign(level=lambda t: t["level"].astype(str))
    check_unique(rows, ("term", "level"))
    terms = distinct(rows["term"])
    if len(terms) > 2:
        raise DataError(f"the table holds the terms {', '.join(terms)}; choose one: column={terms[0]!r}")
    plane = len(terms) == 2
    room = (20 if plane else 40) if max_labels is None else max_labels
    captions = Captions(groups[0] if label is None else label, title, xlabel, ylabel, legend, room)
    if plane:
        return _draw_plane(new_axes(6.0, 5.2) if ax is None else ax, rows, terms, captions, style)
    lines = _in_order(rows, order)
    return _draw_lines(new_axes(6.0, rows_height(len(lines))) if ax is None else ax, lines, captions, style)


def _in_order(rows: pd.DataFrame, order: str) -> pd.DataFrame:
    if order not in ORDERS:
        raise DataError(f"order = {order!r}: choose {', '.join(map(repr, ORDERS))}")
    known = rows["no_pooling"].notna()
    keys = rows.assign(_known=known, _key=rows[order].where(known, rows["partial"]))
    return keys.sort_values(["_known", "_key", "partial"], kind="stable", ignore_index=True)


def _draw_lines(ax: Axes, rows: pd.DataFrame, captions: Captions, style: Mapping[str, Any]) -> Axes:
    """Draw one term: a line per level with its two estimates, and complete pooling across all lines."""
    y, pitch = np.arange(len(rows)), set_rows(ax, len(rows))
    own, partial, complete = (rows[c].to_numpy(float) for c in ("no_pooling", "partial", "complete"))
    limits = view_limits(own, np.append(partial, complete[0]))
    known = np.isfinite(own)
    thin = float(np.clip(pitch / 12, 0.3, 0.9))
    ax.hlines(y[known], own[known], partial[known], palette_of(ax).no_pooling, linewidth=thin, zorder=1)
    largest = float(np.clip(0.8 * pitch, 3.0, 9.0)) ** 2
    handles = _points(ax, (own, y), (partial, y), rows["n"], largest, style)
    if np.isfinite(complete[0]):
        look: dict[str, Any] = {"color": palette_of(ax).complete, "linestyle": "dashed", "linewidth": 1}
        ax.vlines(complete[0], -0.6, len(rows) - 0.4, zorder=0, **look)
        handles.append(legend_entry("complete pooling", **look))
    ax.set_xlim(limits)
    handles += _size_key(rows["n"], largest, palette_of(ax)) + _outside(
        "line", (known & ~_within(own, limits)).sum()
    )
    across = f"{rows['term'].iloc[0]} in each {captions.word}"
    finish_rows(ax, rows["level"].tolist(), captions, across, handles if captions.legend else [])
    return ax


def _draw_plane(
    ax: Axes, rows: pd.DataFrame, terms: Sequence[str], captions: Captions, style: Mapping[str, Any]
) -> Axes:
    """Draw two terms: an arrow per level in the plane of its two coefficients."""
    tables = [rows[rows["term"].astype(str) == t].set_index("level") for t in terms]
    levels = tables[0].index.intersection(tables[1].index)
    own, partial, complete = (
        np.column_stack([t.loc[levels, c].to_numpy(float) for t in tables])
        for c in ("no_pooling", "partial", "complete")
    )
    known = np.isfinite(own).all(axis=1)
    largest = float(np.clip(90 / np.sqrt(len(levels)), 3.5, 9.0)) ** 2
    n = tables[0].loc[levels, "n"]
    _arrows(ax, own[known], partial[known])
    handles = _points(ax, [*own.T], [*partial.T], n, largest, style)
    if np.isfinite(complete[0]).all():
        look: dict[str, Any] = {"marker": "x", "color": palette_of(ax).complete}
        ax.scatter(complete[0, 0], complete[0, 1], s=110, linewidth=2.2, zorder=4, **look)
        handles.append(legend_entry("complete pooling", markersize=7, markeredgewidth=2, **look))
    limits = [view_limits(own[known, k], np.append(partial[:, k], complete[0, k])) for k in (0, 1)]
    ax.set(xlim=limits[0], ylim=limits[1])
    plain_frame(ax)
    captions.write(ax, *(f"{term} in each {captions.word}" for term in terms))
    settle(ax)
    if captions.legend:
        _plane_legend(ax, [*handles, *_size_key(n, largest, palette_of(ax))], own[known])
    if len(levels) <= captions.max_labels:
        inside = _within(own[:, 0], ax.get_xlim()) & _within(own[:, 1], ax.get_ylim())
        _name_arrows(ax, levels, np.where(inside[:, None], own, partial), partial, complete[:1])
    return ax


def _plane_legend(ax: Axes, handles: list[Artist], own: np.ndarray) -> None:
    """Add the legend; an outlier that the room made for it brings into view belongs below it, not under it."""
    (low, high), beside = ax.get_ylim(), _within(own[:, 0], ax.get_xlim())
    while True:
        outside = ~(beside & _within(own[:, 1], (low, high)))
        top_legend(ax, [*handles, *_outside("arrow", outside.sum())])
        caught = outside & beside & _within(own[:, 1], ax.get_ylim())
        if not caught.any():
            return
        high = widen(low, own[caught, 1].max())[1]
        ax.set_ylim(low, high)


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (limits[0] <= values) & (values <= limits[1])


def _areas(n: np.ndarray, largest: float) -> np.ndarray:
    """Return point areas proportional to n; the smallest remain visible."""
    return np.maximum(largest * n / n.max(), largest / 7)


def _points(
    ax: Axes,
    own: Sequence[np.ndarray],
    partial: Sequence[np.ndarray],
    n: pd.Series,
    largest: float,
    style: Mapping[str, Any],
) -> list[Artist]:
    """Draw hollow, filled and, for levels without an estimate of their own, square points; return a legend's."""
    known = np.isfinite(own[0]) & np.isfinite(own[1])
    area = _areas(n.to_numpy(float), largest)
    edge = float(np.clip(np.sqrt(largest) / 8, 0.4, 1.0))
    palette = palette_of(ax)
    handles: list[Artist] = []
    if known.any():
        look: dict[str, Any] = {
            "facecolor": palette.paper,
            "edgecolor": palette.no_pooling,
            "linewidth": edge,
        }
        hollow = ax.scatter(own[0][known], own[1][known], s=area[known], label="no pooling", zorder=2, **look)
        handles.append(hollow)
    for which, marker, text in ((known, "o", "partial pooling"), (~known, "s", NO_ESTIMATE)):
        if which.any():
            look = {"s": area[which], "color": palette.partial, "linewidth": 0, "marker": marker, "zorder": 3}
            look = merge_style(PathCollection, look, style)
            handles.append(ax.scatter(partial[0][which], partial[1][which], label=text, **look))
    return handles


def _size_key(n: pd.Series, largest: float, palette: Palette) -> list[Artist]:
    """Explain the area of the points, unless all levels are of one size."""
    if n.min() == n.max():
        return []
    sizes = np.array([n.min(), n.max()], float)
    diameters = np.sqrt(_areas(sizes, largest))
    look: dict[str, Any] = {"marker": "o", "color": palette.grey, "markeredgewidth": 0}
    return [legend_entry(f"n = {v:g}", markersize=d, **look) for v, d in zip(sizes, diameters, strict=True)]


def _outside(what: str, count: int) -> list[Artist]:
    """Say how many levels' own estimates lie outside the frame."""
    if not count:
        return []
    return [legend_entry(f"1 {what} starts outside" if count == 1 else f"{count} {what}s start outside")]


def _arrows(ax: Axes, start: np.ndarray, end: np.ndarray) -> None:
    """Draw all arrows as one artist: there may be thousands."""
    width = float(np.clip(8 / np.sqrt(max(len(start), 1)), 0.4, 0.9)) / 72
    head: dict[str, Any] = {"headwidth": 5, "headlength": 7, "headaxislength": 6, "minlength": 0}
    scale: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "units": "inches"}
    ax.quiver(*start.T, *(end - start).T, width=width, color=palette_of(ax).light, zorder=1, **head, **scale)


def _name_arrows(
    ax: Axes, levels: Sequence[str], tails: np.ndarray, heads: np.ndarray, others: np.ndarray
) -> None:
    """Write each level's name at the tail of its arrow, outwards if it is free there, else around it, else not."""
    start, end, other = (ax.transData.transform(p) for p in (tails, heads, others))
    marks, frame, legend = (
        np.vstack([start, end, (start + end) / 2, other]),
        ax.get_window_extent(),
        ax.get_legend(),
    )
    taken: list[BboxBase] = [] if legend is None else [legend.get_window_extent()]
    for level, tail, offset in zip(levels, tails, start - end, strict=True):
        for angle in np.arctan2(offset[1], offset[0]) + TURNS:
            text = _name(ax, level, tail, angle)
            box = text.get_window_extent()
            within = frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y1
            on_mark = ((marks > np.array(box.min) - 3) & (marks < np.array(box.max) + 3)).all(axis=1).any()
            if within and not on_mark and box.count_overlaps(taken) == 0:
                taken.append(box)
                break
            text.remove()


def _name(ax: Axes, level: str, tail: np.ndarray, angle: float) -> Annotation:
    x, y = np.cos(angle), np.sin(angle)
    sides: dict[str, Any] = {
        "ha": "center" if abs(x) < 0.4 else "left" if x > 0 else "right",
        "va": "center" if abs(y) < 0.4 else "bottom" if y > 0 else "top",
    }
    look: dict[str, Any] = {"fontsize": "small", "parse_math": False, **sides}
    return ax.annotate(level, (tail[0], tail[1]), (7 * x, 7 * y), textcoords="offset points", **look)
