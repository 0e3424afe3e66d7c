"""Lines of predictions: of every group over its data, and of the population with its band."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from bayesmlm.errors import DataError
from bayesmlm.plots.colours import MOST_LINES, palette_of
from bayesmlm.plots.predictor_axis import Ticks, draw_data, finish_axis
from bayesmlm.plots.style import Captions, legend_entry, merge_style, new_axes
from bayesmlm.plots.tables import check_columns, choose, distinct


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
    if len(chosen) > MOST_LINES:
        raise DataError(f"{len(chosen)} levels to highlight: {MOST_LINES} at most can be told apart")
    if ax is None:
        ax = new_axes(6.0, 4.4)
    handles: list[Artist] = []
    if points is not None:
        check_columns(points, ("level", "x", "y"), "the table of points")
        draw_data(ax, points, chosen, x_ticks is not None, seed)
    handles += _level_lines(ax, lines, known, chosen, label, style)
    if population is not None:
        check_columns(population, ("x", "estimate", "conf_low", "conf_high"), "the table of the population")
        handles += _population(ax, population, prob)
    finish_axis(ax, x_ticks, Captions(label, title, xlabel, ylabel, legend), handles)
    return ax


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
    palette = palette_of(ax)
    look: dict[str, Any] = {
        "color": palette.grey if chosen else palette.partial,
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
        colour = look.get("colors", look.get("color", look.get("edgecolor", palette.partial)))
        handles.append(
            legend_entry(f"each {label} ({len(known)})", linestyle="solid", linewidth=1, color=colour)
        )
    for name, colour in zip(chosen, palette.qualitative, strict=False):
        (line,) = ax.plot(*paths[name].T, color=colour, linewidth=2, zorder=8, label=f"{label} {name}")
        handles.append(line)
    ax.autoscale_view()
    return handles


def _population(ax: Axes, population: pd.DataFrame, prob: float | None) -> list[Artist]:
    palette, x, y = palette_of(ax), population["x"], population["estimate"]
    band: dict[str, Any] = {"color": palette.complete, "alpha": 0.18, "linewidth": 0, "zorder": 6}
    ax.fill_between(x, population["conf_low"], population["conf_high"], **band)
    ax.plot(x, y, color=palette.paper, linewidth=3.6, zorder=6)  # a rim, over a bundle of lines
    ax.plot(x, y, color=palette.complete, linewidth=2.2, zorder=7, label="population")
    words = "band" if prob is None else f"{100 * prob:g}% band"
    return [legend_entry(f"population, {words}", linestyle="solid", linewidth=2.2, color=palette.complete)]
