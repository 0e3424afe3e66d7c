"""From no pooling to partial pooling: how far each level's coefficient is drawn towards the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D

from bayesmlm.errors import DataError
from bayesmlm.plots.style import (
    COMPLETE,
    GREY,
    NO_ESTIMATE,
    NO_POOLING,
    PARTIAL,
    drop_overlapping,
    label_rows,
    merge_style,
    new_axes,
    note,
    plain_frame,
    row_pitch,
    rows_height,
    settle,
    top_legend,
    view_limits,
)
from bayesmlm.plots.tables import check_columns, check_unique, distinct, rows_of

COLUMNS = ("group", "level", "term", "n", "no_pooling", "partial", "complete")
ORDERS = ("no_pooling", "partial", "n")


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
    word = groups[0] if label is None else label
    if len(terms) == 1:
        sorted_rows = _in_order(rows, order)
        limit = 40 if max_labels is None else max_labels
        ax, handles, words = _dot_plot(sorted_rows, ax, word, limit, style)
    else:
        limit = 20 if max_labels is None else max_labels
        ax, handles, words = _plane(rows, terms, ax, word, limit, style)
    ax.set_xlabel(words[0] if xlabel is None else xlabel)
    ax.set_ylabel(words[1] if ylabel is None else ylabel)
    if title is not None:
        ax.set_title(title)
    if legend:
        settle(ax)
        top_legend(ax, handles)
    return ax


def _in_order(rows: pd.DataFrame, order: str) -> pd.DataFrame:
    if order not in ORDERS:
        raise DataError(f"order = {order!r}: choose {', '.join(map(repr, ORDERS))}")
    unknown = rows["no_pooling"].isna()
    keyed = rows.assign(_own=~unknown, _key=rows[order].where(~unknown, rows["partial"]))
    return keyed.sort_values(["_own", "_key", "partial"], kind="stable", ignore_index=True)


def _dot_plot(
    rows: pd.DataFrame, ax: Axes | None, word: str, max_labels: int, style: Mapping[str, Any]
) -> tuple[Axes, list[Artist], tuple[str, str]]:
    """One term: a line per level with its two estimates, and the complete-pooling value across all lines."""
    ax = new_axes(6.0, rows_height(len(rows))) if ax is None else ax
    settle(ax)
    y = np.arange(len(rows))
    own, partial, complete = (rows[c].to_numpy(float) for c in ("no_pooling", "partial", "complete"))
    limits = view_limits(own, np.append(partial, complete[:1]))
    pitch = row_pitch(ax, len(rows))
    largest = float(np.clip(0.8 * pitch, 3.0, 9.0)) ** 2
    known = np.isfinite(own)
    ax.hlines(y[known], own[known], partial[known], NO_POOLING, linewidth=np.clip(pitch / 12, 0.3, 0.9), zorder=1)
    handles = _points(ax, (own, y), (partial, y), rows["n"].to_numpy(float), largest, style)
    if np.isfinite(complete[0]):
        ends = (-0.6, len(rows) - 0.4)
        line = ax.vlines(complete[0], *ends, COMPLETE, "dashed", "complete pooling", linewidth=1, zorder=0)
        handles.append(line)
    handles += _size_key(rows["n"], largest) + _clipped(~known | _within(own, limits))
    ax.set(xlim=limits, ylim=(-0.8, len(rows) - 0.2))
    plain_frame(ax, left=False)
    side = label_rows(ax, rows["level"].tolist(), word, max_labels)
    return ax, handles, (f"{rows['term'].iloc[0]} in each {word}", side)


def _plane(
    rows: pd.DataFrame, terms: list[str], ax: Axes | None, word: str, max_labels: int, style: Mapping[str, Any]
) -> tuple[Axes, list[Artist], tuple[str, str]]:
    """Two terms: arrows from no pooling to partial pooling in the plane of the two coefficients."""
    ax = new_axes(6.0, 5.4) if ax is None else ax
    by_term = [rows[rows["term"].astype(str) == t].set_index("level") for t in terms]
    levels = by_term[0].index.intersection(by_term[1].index)
    own, partial, complete = (
        np.column_stack([t.loc[levels, c].to_numpy(float) for t in by_term])
        for c in ("no_pooling", "partial", "complete")
    )
    n = by_term[0].loc[levels, "n"]
    known = np.isfinite(own).all(axis=1)
    limits = [view_limits(own[known, k], np.append(partial[:, k], complete[:1, k])) for k in (0, 1)]
    ax.set(xlim=limits[0], ylim=limits[1])
    settle(ax)
    largest = float(np.clip(90 / np.sqrt(len(levels)), 3.5, 9.0)) ** 2
    _arrows(ax, own[known], partial[known])
    handles = _points(ax, own.T, partial.T, n.to_numpy(float), largest, style)
    if np.isfinite(complete[0]).all():
        cross = {"s": 130, "color": COMPLETE, "linewidth": 2.2, "zorder": 4}
        handles.append(ax.scatter(*complete[0], marker="x", label="complete pooling", **cross))
    inside = _within(own[:, 0], limits[0]) & _within(own[:, 1], limits[1])
    handles += _size_key(n, largest) + _clipped(~known | inside)
    plain_frame(ax)
    if len(levels) <= max_labels:
        _name_points(ax, levels, np.where((known & inside)[:, None], own, partial), partial)
    return ax, handles, (f"{terms[0]} in each {word}", f"{terms[1]} in each {word}")


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (limits[0] <= values) & (values <= limits[1])


def _areas(n: np.ndarray, largest: float) -> np.ndarray:
    """Return point areas proportional to n; the smallest remain visible."""
    return np.maximum(largest * n / n.max(), largest / 10)


def _points(
    ax: Axes, own: Sequence[np.ndarray], partial: Sequence[np.ndarray], n: np.ndarray, largest: float, style: Any
) -> list[Artist]:
    """Draw hollow, filled and, for levels without an estimate of their own, square points; return the legend's."""
    known = np.isfinite(own[0]) & np.isfinite(own[1])
    area, edge = _areas(n, largest), float(np.clip(np.sqrt(largest) / 8, 0.4, 1.0))
    filled = merge_style(PathCollection, {"s": area[known], "color": PARTIAL, "linewidth": 0, "zorder": 3}, style)
    square = {**filled, "marker": "s", "s": area[~known], "facecolor": "white", "edgecolor": PARTIAL}
    hollow = {"s": area[known], "facecolor": "white", "edgecolor": NO_POOLING, "zorder": 2}
    handles: list[Artist] = []
    if known.any():
        points = ax.scatter(own[0][known], own[1][known], linewidth=edge, label="no pooling", **hollow)
        handles = [points, ax.scatter(partial[0][known], partial[1][known], **{"label": "partial pooling", **filled})]
    if not known.all():
        square["linewidth"] = edge
        lone = f"partial pooling, {NO_ESTIMATE}"
        handles.append(ax.scatter(partial[0][~known], partial[1][~known], label=lone, **square))
    return handles


def _arrows(ax: Axes, start: np.ndarray, end: np.ndarray) -> None:
    width = float(np.clip(8 / np.sqrt(max(len(start), 1)), 0.4, 0.9))
    ax.quiver(
        *start.T,
        *(end - start).T,
        angles="xy",
        scale_units="xy",
        scale=1,
        units="inches",
        width=width / 72,
        headwidth=6,
        headlength=8,
        headaxislength=7,
        minlength=0,
        color=GREY,
        zorder=1,
    )


def _size_key(n: pd.Series, largest: float) -> list[Artist]:
    """Explain the area of the points, unless all levels are of one size."""
    if n.min() == n.max():
        return []
    sizes = np.array([n.min(), n.max()], float)
    diameters = np.sqrt(_areas(sizes, largest))
    look = {"linestyle": "none", "marker": "o", "color": GREY, "markeredgewidth": 0}
    return [Line2D([], [], markersize=d, label=f"n = {v:g}", **look) for v, d in zip(sizes, diameters, strict=True)]


def _clipped(shown: np.ndarray) -> list[Artist]:
    """Say how many levels' own estimates lie outside the frame."""
    outside = int((~shown).sum())
    if not outside:
        return []
    return [note(f"{outside} no-pooling estimate{'s' if outside > 1 else ''} outside the frame")]


def _name_points(ax: Axes, levels: pd.Index, at: np.ndarray, end: np.ndarray) -> None:
    """Write each level's name at the tail of its arrow, on the side that the arrow leaves free."""
    offsets = ax.transData.transform(at) - ax.transData.transform(end)
    lengths = np.linalg.norm(offsets, axis=1, keepdims=True)
    away = np.divide(offsets, lengths, out=np.tile([0.0, 1.0], (len(at), 1)), where=lengths > 0)
    texts = []
    for level, point, (dx, dy) in zip(levels, at, away, strict=True):
        sides = {"ha": _side(dx, "right", "center", "left"), "va": _side(dy, "top", "center", "bottom")}
        texts.append(
            ax.annotate(
                level, point, (6 * dx, 6 * dy), textcoords="offset points", fontsize="small", parse_math=False, **sides
            )
        )
    drop_overlapping(texts)


def _side(direction: float, negative: str, neither: str, positive: str) -> str:
    return neither if abs(direction) < 0.38 else positive if direction > 0 else negative
