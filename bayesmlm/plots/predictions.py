"""Lines of predictions: of every group over its data, and of the population with its band."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from bayesmlm.errors import DataError
from bayesmlm.plots.style import (
    COMPLETE,
    GREY,
    LIGHT,
    PALE,
    PARTIAL,
    QUALITATIVE,
    Captions,
    legend_entry,
    merge_style,
    new_axes,
    plain_frame,
    settle,
    top_legend,
)
from bayesmlm.plots.tables import check_columns, check_unique, choose, distinct

Ticks = tuple[Sequence[float], Sequence[str]]
JITTER = 0.12


def plot_groups(
    lines: pd.DataFrame,
    points: pd.DataFrame | None = None,
    population: pd.DataFrame | None = None,
    *,
    ax: Axes | None = None,
    highlight: Iterable[object] = (),
    label: str = "group",
    prob: float | None = None,
    x_ticks: Ticks | None = None,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    seed: int = 0,
    **style: Any,
) -> Axes:
    """Draw one line per level over the data, and the population's line with its band.

    The more levels, the fainter their lines and points; `highlight` picks some out in colour.

    Parameters
    ----------
    lines
        Columns ``level``, ``x``, ``estimate``: points of each level's line, in order.
    points
        The data: columns ``level``, ``x``, ``y``; not drawn if None.
    population
        Columns ``x``, ``estimate``, ``conf_low``, ``conf_high``; not drawn if None.
    ax
        Where to draw; a new figure by default.
    highlight
        Levels to draw in colour, named in the legend: up to 6.
    label
        What one level is called.
    prob
        The probability in the band, for the legend.
    x_ticks
        Positions and labels of categories, such as ``([0, 1], ["M", "F"])``; the data are then jittered.
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the symbols.
    seed
        Of the jitter.
    **style
        Passed to `matplotlib.collections.LineCollection` for the levels' lines.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If a table lacks a column, a level to highlight is unknown, or there are more than 6.
    """
    check_columns(lines, ("level", "x", "estimate"), "the table of lines")
    lines = lines.assign(level=lines["level"].astype(str))
    known = distinct(lines["level"])
    asked = [highlight] if isinstance(highlight, str) else highlight
    chosen = choose(asked, known, "level")
    if len(chosen) > len(QUALITATIVE):
        raise DataError(f"{len(chosen)} levels to highlight: {len(QUALITATIVE)} at most can be told apart")
    if ax is None:
        ax = new_axes(6.0, 4.4)
    handles: list[Artist] = []
    if points is not None:
        check_columns(points, ("level", "x", "y"), "the table of points")
        _scatter(ax, points, chosen, x_ticks is not None, seed)
    handles += _level_lines(ax, lines, known, chosen, label, style)
    if population is not None:
        check_columns(population, ("x", "estimate", "conf_low", "conf_high"), "the table of the population")
        handles += _population(ax, population, prob)
    _finish(ax, x_ticks, Captions(label, title, xlabel, ylabel, legend), handles)
    return ax


def _scatter(ax: Axes, points: pd.DataFrame, chosen: Sequence[str], categories: bool, seed: int) -> None:
    x = points["x"].to_numpy(float)
    if categories:
        x = x + np.random.default_rng(seed).uniform(-JITTER, JITTER, len(x))
    size = float(np.clip(60 / np.sqrt(len(x)), 1.0, 4.0)) ** 2
    alpha = float(np.clip(12 / np.sqrt(len(x)), 0.12, 0.8))
    level, y = points["level"].astype(str), points["y"].to_numpy(float)
    look: dict[str, Any] = {"s": size, "linewidth": 0}
    rasterized = len(x) > 5000  # a vector file would be huge
    ax.scatter(x, y, color=LIGHT, alpha=alpha, zorder=1, label="data", rasterized=rasterized, **look)
    for name, colour in zip(chosen, QUALITATIVE, strict=False):
        own = (level == name).to_numpy()
        ax.scatter(
            x[own], y[own], color=colour, s=max(size, 9.0), linewidth=0, zorder=4, label=f"data of {name}"
        )


def _level_lines(
    ax: Axes,
    lines: pd.DataFrame,
    known: Sequence[str],
    chosen: Sequence[str],
    label: str,
    style: Mapping[str, Any],
) -> list[Artist]:
    paths = {
        name: part[["x", "estimate"]].to_numpy(float) for name, part in lines.groupby("level", sort=False)
    }
    faint = float(np.clip(4 / np.sqrt(len(known)), 0.12, 0.8)) * (0.6 if chosen else 1.0)
    look: dict[str, Any] = {
        "color": GREY if chosen else PARTIAL,
        "linewidth": float(np.clip(6 / np.sqrt(len(known)), 0.5, 1.2)),
        "alpha": faint,
        "zorder": 2,
    }
    look = merge_style(LineCollection, look, style)
    others = [paths[name] for name in known if name not in chosen]
    handles: list[Artist] = []
    if others:
        bundle = LineCollection(others, label=f"each {label}", **look)
        ax.add_collection(bundle)
        colour = look.get("colors", look.get("color", look.get("edgecolor", PARTIAL)))
        handles.append(
            legend_entry(f"each {label} ({len(known)})", linestyle="solid", linewidth=1, color=colour)
        )
    for name, colour in zip(chosen, QUALITATIVE, strict=False):
        (line,) = ax.plot(*paths[name].T, color=colour, linewidth=2, zorder=8, label=f"{label} {name}")
        handles.append(line)
    ax.autoscale_view()
    return handles


def _population(ax: Axes, population: pd.DataFrame, prob: float | None) -> list[Artist]:
    x = population["x"]
    ax.fill_between(
        x, population["conf_low"], population["conf_high"], color=COMPLETE, alpha=0.18, linewidth=0, zorder=6
    )
    ax.plot(
        x, population["estimate"], color="white", linewidth=3.6, zorder=6
    )  # a rim, over a bundle of lines
    ax.plot(x, population["estimate"], color=COMPLETE, linewidth=2.2, zorder=7, label="population")
    band = "band" if prob is None else f"{100 * prob:g}% band"
    return [legend_entry(f"population, {band}", linestyle="solid", linewidth=2.2, color=COMPLETE)]


def _finish(ax: Axes, ticks: Ticks | None, captions: Captions, handles: list[Artist]) -> None:
    if ticks is not None:
        ax.set_xticks(ticks[0], [textwrap.fill(name, 14) for name in ticks[1]], parse_math=False)
        ax.set_xlim(min(ticks[0]) - 0.4, max(ticks[0]) + 0.4)
    plain_frame(ax)
    captions.write(ax, "x", "y")
    if ticks is not None:
        _turn_if_crowded(ax)
    if captions.legend and handles:
        settle(ax)
        top_legend(ax, handles)


def _turn_if_crowded(ax: Axes) -> None:
    """Turn the names of categories that would run into one another."""
    settle(ax)
    boxes = [t.get_window_extent() for t in ax.get_xticklabels()]
    if any(a.overlaps(b) for a, b in itertools.pairwise(boxes)):
        ax.tick_params(axis="x", labelrotation=40)
        for name in ax.get_xticklabels():
            name.set(ha="right", rotation_mode="anchor", fontsize="small")


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
        _scatter(ax, points.assign(level=""), [], x_ticks is not None, 0)
    parts = list(table.groupby(["level", "by"], sort=False))
    names = {(level, by): _line_name(level, by, label, by_label) for (level, by), _ in parts}
    for i, (key, part) in enumerate(parts):
        look = _line_look(i, len(parts))
        if x_ticks is None:
            _curve(ax, part, {**look, "label": names[key]}, style)
        else:
            shift = 0.0 if len(parts) == 1 else 0.5 * (i / (len(parts) - 1) - 0.5)
            _bars(ax, part.assign(x=part["x"] + shift), {**look, "label": names[key]}, style)
    handles: list[Artist] = []
    if len(parts) > 1:
        handles = [h for h in ax.lines if h.get_label() in set(names.values())]
    if prob is not None:
        mark = {"linestyle": "solid", "linewidth": 6, "color": PALE}
        what = "interval" if x_ticks is not None else "band"
        handles = [*handles, legend_entry(f"{100 * prob:g}% {what}", **mark)]
    _finish(ax, x_ticks, Captions(label, title, xlabel, ylabel, legend), handles)
    return ax


def _line_name(level: str, by: str, label: str, by_label: str) -> str:
    parts = [f"{label} {level}"] if level else []
    parts += [f"{by_label} {by}".strip()] if by else []
    return ", ".join(parts) or "estimate"


def _line_look(i: int, count: int) -> dict[str, Any]:
    if count == 1:
        return {"color": PARTIAL, "linestyle": "solid", "marker": "o"}
    dashes = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
    markers = ("o", "s", "D", "^", "v", "P")
    k = len(QUALITATIVE)
    return {
        "color": QUALITATIVE[i % k],
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
