"""Rows of estimates with two intervals, and those of a reference fit just below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayesmlm.plots.colours import Palette, palette_of
from bayesmlm.plots.style import (
    SMALLEST_TYPE,
    Captions,
    legend_entry,
    merge_style,
    new_axes,
    plain_frame,
    row_pitch,
    rows_height,
    set_rows,
    settle,
    top_legend,
    view_limits,
)
from bayesmlm.plots.tables import check_columns, check_unique

COLUMNS = ("term", "estimate", "conf_low", "conf_high", "inner_low", "inner_high")
REFERENCE = ("reference", "reference_low", "reference_high")


def plot_coefficients(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    prob: float | None = None,
    inner: float | None = None,
    reference_label: str = "REML, Wald interval",
    zero: bool = True,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    **style: Any,
) -> Axes:
    """Draw coefficients as rows, the first on top: posterior median with two intervals, reference fit below.

    Parameters
    ----------
    table
        One row per coefficient, with the columns ``term``, ``estimate``, ``conf_low``, ``conf_high``,
        ``inner_low``, ``inner_high``, and, where there is a reference fit, ``reference``, ``reference_low``,
        ``reference_high``; see `bayesmlm.views.coefficients.coefficient_table`.
    ax
        Where to draw; a new figure by default.
    prob, inner
        Probabilities of the intervals, for the legend.
    reference_label
        What the legend calls the reference estimates.
    zero
        Whether to draw a line at 0.
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the symbols.
    **style
        Passed to `matplotlib.axes.Axes.plot` for the points of the medians.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If the table lacks a column, or has two rows for a term.
    """
    check_columns(table, COLUMNS)
    check_unique(table, ("term",))
    rows = table.iloc[::-1].reset_index(drop=True)
    if ax is None:
        ax = new_axes(6.0, rows_height(2 * len(rows)))
    theirs = set(REFERENCE) <= set(rows.columns) and bool(rows["reference"].notna().any())
    look = draw_intervals(ax, rows, style, theirs)
    if zero:
        ax.vlines(0, -0.6, len(rows) - 0.4, palette_of(ax).grey, linewidth=0.8, zorder=1)
    used = [c for c in (*COLUMNS[1:], *REFERENCE) if c in rows]
    ax.set_xlim(view_limits(np.empty(0), np.append(rows[used].to_numpy(float), 0.0 if zero else np.nan)))
    captions = Captions("coefficient", title, xlabel, "" if ylabel is None else ylabel, legend)
    _name_rows(ax, rows["term"].astype(str).tolist())
    captions.write(ax, "estimate", "")
    if legend:
        settle(ax)
        top_legend(
            ax, interval_legend(look, palette_of(ax), prob, inner, reference_label if theirs else None)
        )
    return ax


def draw_intervals(ax: Axes, rows: pd.DataFrame, style: Mapping[str, Any], theirs: bool) -> dict[str, Any]:
    """Draw the rows from the bottom up; return the look of the medians."""
    palette, y, pitch = palette_of(ax), np.arange(len(rows)), set_rows(ax, len(rows))
    shift = 0.16 if theirs else 0.0
    thick = float(np.clip(pitch / 5, 1.2, 5.0))
    ax.hlines(y + shift, rows["conf_low"], rows["conf_high"], palette.partial, linewidth=thick / 3, zorder=2)
    ax.hlines(y + shift, rows["inner_low"], rows["inner_high"], palette.partial, linewidth=thick, zorder=3)
    look: dict[str, Any] = {
        "linestyle": "none",
        "marker": "o",
        "color": palette.dark,
        "markersize": float(np.clip(0.4 * pitch, 2.0, 7.0)),
        "markeredgewidth": 0,
        "zorder": 5,
    }
    look = merge_style(Line2D, look, style)
    ax.plot(rows["estimate"], y + shift, label="posterior median", **look)
    if theirs:
        at = y - shift
        ax.hlines(
            at, rows["reference_low"], rows["reference_high"], palette.complete, linewidth=0.9, zorder=2
        )
        ax.plot(
            rows["reference"], at, label="reference", zorder=4, **_diamond(look["markersize"] * 0.8, palette)
        )
    return look


def _diamond(size: float, palette: Palette) -> dict[str, Any]:
    return {
        "linestyle": "none",
        "marker": "D",
        "markersize": size,
        "markerfacecolor": palette.paper,
        "markeredgecolor": palette.complete,
        "markeredgewidth": 0.9,
    }


def interval_legend(
    look: Mapping[str, Any],
    palette: Palette,
    prob: float | None,
    inner: float | None,
    reference: str | None,
) -> list[Artist]:
    """Explain medians, intervals and, if it has a name, the reference."""
    both = "intervals" if prob is None or inner is None else f"{100 * inner:g}% and {100 * prob:g}% intervals"
    line = {
        "linewidth": 2.5,
        "color": palette.partial,
        "markerfacecolor": look.get("color", palette.dark),
        "markeredgewidth": 0,
    }
    line |= {"markersize": 5, "marker": look.get("marker", "o"), "linestyle": "solid"}
    handles: list[Artist] = [legend_entry(f"posterior median, {both}", **line)]
    if reference is not None:
        handles.append(
            legend_entry(
                reference,
                **{**_diamond(4, palette), "linestyle": "solid", "color": palette.complete, "linewidth": 0.9},
            )
        )
    return handles


def _name_rows(ax: Axes, names: Sequence[str]) -> None:
    plain_frame(ax, left=False)
    size = float(np.clip(0.85 * row_pitch(ax), SMALLEST_TYPE, 10.0))
    ax.set_yticks(range(len(names)), names, fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0)
