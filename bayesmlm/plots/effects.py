"""The expected response over a predictor, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayesmlm.plots.colours import Palette, palette_of
from bayesmlm.plots.predictor_axis import Ticks, draw_data, finish_axis
from bayesmlm.plots.style import Captions, legend_entry, merge_style, new_axes
from bayesmlm.plots.tables import check_columns, check_unique


def plot_effects(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    prob: float | None = None,
    by_label: str = "",
    label: str = "group",
    points: pd.DataFrame | None = None,
    x_ticks: Ticks | None = None,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    **style: Any,
) -> Axes:
    """Draw the expected response over a predictor with its interval: lines and bands, or points and bars.

    Parameters
    ----------
    table
        Columns ``x``, ``estimate``, ``conf_low``, ``conf_high``, and ``by`` and ``level`` where there are several
        lines; see `bayesmlm.views.predictions.conditional_effects`.
    ax
        Where to draw; a new figure by default.
    prob
        The probability in the intervals, for the legend.
    by_label, label
        What the column behind ``by``, and what one level, is called.
    points
        Data to draw behind: columns ``x``, ``y``.
    x_ticks
        Positions and labels of categories: points and bars are drawn there, side by side.
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the lines.
    **style
        Passed to `matplotlib.axes.Axes.plot` for the lines or points.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If the table lacks a column, or has two rows for one x of a line.
    """
    check_columns(table, ("x", "estimate", "conf_low", "conf_high"))
    given = [c for c in ("level", "by") if c in table]
    table = table.assign(
        **{c: table[c].astype(str) for c in given}, **dict.fromkeys({"level", "by"} - set(given), "")
    )
    check_unique(table, ("level", "by", "x"))
    if ax is None:
        ax = new_axes(6.0, 4.2)
    if points is not None:
        check_columns(points, ("x", "y"), "the table of points")
        draw_data(ax, points.assign(level=""), [], x_ticks is not None, 0)
    parts = list(table.groupby(["level", "by"], sort=False))
    names = {(level, by): _line_name(level, by, label, by_label) for (level, by), _ in parts}
    for i, (key, part) in enumerate(parts):
        look = _line_look(palette_of(ax), i, len(parts))
        if x_ticks is None:
            _curve(ax, part, {**look, "label": names[key]}, style)
        else:
            shift = 0.0 if len(parts) == 1 else 0.5 * (i / (len(parts) - 1) - 0.5)
            _bars(ax, part.assign(x=part["x"] + shift), {**look, "label": names[key]}, style)
    handles: list[Artist] = []
    if len(parts) > 1:
        handles = [h for h in ax.lines if h.get_label() in set(names.values())]
    if prob is not None:
        handles = [*handles, _interval_entry(palette_of(ax), prob, x_ticks is None, len(parts))]
    finish_axis(ax, x_ticks, Captions(label, title, xlabel, ylabel, legend), handles)
    return ax


def _interval_entry(palette: Palette, prob: float, band: bool, count: int) -> Artist:
    """Explain the bands or bars: in the colour of the one line, or in grey for several."""
    colour = palette.partial if count == 1 else palette.grey
    look: dict[str, Any] = {"linestyle": "solid", "color": colour}
    look |= {"linewidth": 7, "alpha": 0.3} if band else {"linewidth": 2, "alpha": 0.6}
    return legend_entry(f"{100 * prob:g}% {'band' if band else 'interval'}", **look)


def _line_name(level: str, by: str, label: str, by_label: str) -> str:
    parts = [f"{label} {level}"] if level else []
    sign = " = " if by_label and _is_number(by) else " "  # "x -1" would be a difference
    parts += [f"{by_label}{sign}{by}".strip()] if by else []
    return ", ".join(parts) or "estimate"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _line_look(palette: Palette, i: int, count: int) -> dict[str, Any]:
    if count == 1:
        return {"color": palette.partial, "linestyle": "solid", "marker": "o"}
    dashes = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
    markers = ("o", "s", "D", "^", "v", "P")
    k = len(palette.qualitative)
    return {
        "color": palette.qualitative[i % k],
        "linestyle": dashes[(i // k if count > k else i) % len(dashes)],
        "marker": markers[i % len(markers)],
    }


def _curve(ax: Axes, part: pd.DataFrame, look: Mapping[str, Any], style: Mapping[str, Any]) -> None:
    line = merge_style(Line2D, {**look, "marker": "", "linewidth": 2, "zorder": 4}, style)
    ax.fill_between(
        part["x"], part["conf_low"], part["conf_high"], color=line["color"], alpha=0.18, linewidth=0, zorder=3
    )
    ax.plot(part["x"], part["estimate"], **line)


def _bars(ax: Axes, part: pd.DataFrame, look: Mapping[str, Any], style: Mapping[str, Any]) -> None:
    line = merge_style(Line2D, {**look, "linestyle": "none", "markersize": 7, "zorder": 4}, style)
    ax.vlines(part["x"], part["conf_low"], part["conf_high"], line["color"], linewidth=2, alpha=0.6, zorder=3)
    ax.plot(part["x"], part["estimate"], **line)
