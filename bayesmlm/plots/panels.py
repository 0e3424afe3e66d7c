"""Small multiples: the lines of complete, no and partial pooling through the data of each level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayesmlm.errors import DataError
from bayesmlm.plots.colours import Palette, palette_of
from bayesmlm.plots.style import (
    NO_ESTIMATE,
    figure_legend,
    fit_titles,
    legend_entry,
    merge_style,
    plain_frame,
    widen,
)
from bayesmlm.plots.tables import check_columns, check_unique, choose, distinct

LINES: dict[str, dict[str, Any]] = {
    "complete": {"linestyle": (0, (4, 2)), "linewidth": 1.1, "zorder": 2},
    "no": {"linestyle": (0, (5, 1.5, 1, 1.5)), "linewidth": 1.5, "zorder": 4},
    "partial": {"linestyle": "solid", "linewidth": 2.2, "zorder": 3},
}
FEW_VALUES = 10  # an x with no more distinct values than this is jittered
JITTER = 0.12  # either side, as a share of the smallest gap between two values


def plot_pooling_panels(
    lines: pd.DataFrame,
    points: pd.DataFrame,
    *,
    levels: Iterable[object] | None = None,
    axes: Sequence[Axes] | np.ndarray | None = None,
    ncols: int = 4,
    label: str = "group",
    x_label: str = "x",
    y_label: str = "y",
    x_ticks: tuple[Sequence[float], Sequence[str]] | None = None,
    title: str | None = None,
    legend: bool = True,
    seed: int = 0,
    **style: Any,
) -> np.ndarray:
    """Draw, for some levels, their data and three lines: complete pooling, no pooling, partial pooling.

    All panels share their axes, whose range is that of the data and of the lines of complete and partial pooling.

    Parameters
    ----------
    lines
        One row per level and kind of pooling, with the columns ``level``; ``pooling``, one of ``"complete"``,
        ``"no"``, ``"partial"``; ``intercept`` and ``slope``, NaN for a line that the level's rows do not
        determine: the panel says so.
    points
        The data: columns ``level``, ``x``, ``y``. An x of few values (up to 10) is jittered.
    levels
        The levels to draw, in this order. By default all of up to 12, or else two rows of panels, evenly
        spaced in the order of their number of rows, from the smallest to the largest.
    axes
        Where to draw, one Axes per level; a new figure by default.
    ncols
        At most so many panels per row of a new figure.
    label
        What one level is called.
    x_label, y_label
        Labels of the axes.
    x_ticks
        Positions and labels of the ticks, such as ``([0, 1], ["M", "F"])``.
    title
        Title of the figure.
    legend
        Whether to explain the lines, once for the figure.
    seed
        Of the jitter.
    **style
        Passed to `matplotlib.axes.Axes.plot` for the data points.

    Returns
    -------
    ndarray of Axes, shape (number of levels,)

    Raises
    ------
    DataError
        If a table lacks a column, a level is not in both tables, or there are too few Axes.
    """
    check_columns(lines, ("level", "pooling", "intercept", "slope"), "the table of lines")
    check_columns(points, ("level", "x", "y"), "the table of points")
    lines, points = (t.assign(level=t["level"].astype(str)) for t in (lines, points))
    choose(distinct(lines["pooling"]), list(LINES), "kind of pooling")
    check_unique(lines, ("level", "pooling"))
    shown = _levels_shown(lines, points, levels, ncols)
    panels = _panels_for(shown, axes, ncols)
    points = points[points["level"].isin(shown)]
    jittered = points.assign(x=_jitter(points["x"].to_numpy(float), seed))
    view = _view(lines[lines["level"].isin(shown)], points["x"], jittered)
    for ax, level in zip(panels, shown, strict=True):
        _panel(ax, lines[lines["level"] == level], jittered[jittered["level"] == level], view, style)
        _title(ax, f"{label} {level}, n = {(points['level'] == level).sum()}", lines[lines["level"] == level])
        if x_ticks is not None:
            ax.set_xticks(x_ticks[0], x_ticks[1])
    _label_edges(panels, x_label, y_label)
    fit_titles(panels)
    if title is not None:
        panels[0].figure.suptitle(title)
    if legend:
        figure_legend(panels[0].figure, _legend_entries(lines, palette_of(panels[0])))
    return panels


def _levels_shown(
    lines: pd.DataFrame, points: pd.DataFrame, levels: Iterable[object] | None, ncols: int
) -> list[str]:
    sizes = points["level"].value_counts(sort=False)
    known = [level for level in distinct(lines["level"]) if level in sizes.index]
    if not known:
        raise DataError("no level is in both the table of lines and the table of points")
    if levels is not None:
        chosen = choose([levels] if isinstance(levels, str) else levels, known, "level")
        if not chosen:
            raise DataError("levels is empty: name at least one level to draw")
        return chosen
    if len(known) <= 12:
        return known
    by_size = sizes.loc[known].sort_values(kind="stable").index
    return [by_size[i] for i in np.linspace(0, len(known) - 1, 2 * ncols).round().astype(int)]


def _panels_for(shown: Sequence[str], axes: Any, ncols: int) -> np.ndarray:
    """Return one Axes per level: the caller's, or those of a new figure."""
    if axes is not None:
        given = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
        if len(given) < len(shown):
            raise DataError(
                f"{len(given)} Axes for {len(shown)} levels; give one per level, or choose levels=[...]"
            )
        return given[: len(shown)]
    nrows = -(-len(shown) // ncols)
    ncols = -(-len(shown) // nrows)
    size = (max(2.1 * ncols, 4.5), 2.0 * nrows + 0.6)
    _, grid = plt.subplots(
        nrows, ncols, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for spare in grid.flat[len(shown) :]:
        spare.remove()
    return grid.ravel()[: len(shown)]


def _jitter(x: np.ndarray, seed: int) -> np.ndarray:
    """Return x, spread a little around each of its values if they are few."""
    values = np.unique(x[np.isfinite(x)])
    if not 1 < len(values) <= FEW_VALUES:
        return x
    reach = JITTER * np.diff(values).min()
    return x + np.random.default_rng(seed).uniform(-reach, reach, len(x))


def _view(lines: pd.DataFrame, x: pd.Series, jittered: pd.DataFrame) -> Mapping[str, tuple[float, float]]:
    """Return where lines begin and end, and the limits of both axes."""
    ends = np.array([x.min(), x.max()], float)
    drawn = lines[lines["pooling"] != "no"]
    heights = drawn["intercept"].to_numpy(float)[:, None] + drawn["slope"].to_numpy(float)[:, None] * ends
    y = np.concatenate([jittered["y"].to_numpy(float), heights.ravel()])
    views = {"ends": (float(ends[0]), float(ends[1]))}
    for axis, values in (("x", np.append(jittered["x"], ends)), ("y", y)):
        low, high = np.nanmin(values), np.nanmax(values)
        views[axis] = widen(float(low), float(high))
    return views


def _panel(ax: Axes, lines: pd.DataFrame, data: pd.DataFrame, view: Mapping[str, Any], style: Any) -> None:
    look: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3.2, "markeredgewidth": 0}
    ax.plot(
        data["x"],
        data["y"],
        **merge_style(Line2D, {**look, "color": palette_of(ax).light, "zorder": 1}, style),
    )
    ends = np.array(view["ends"])
    for row in lines.itertuples():
        if np.isfinite([row.intercept, row.slope]).all():
            ax.plot(
                ends,
                row.intercept + row.slope * ends,
                label=f"{row.pooling} pooling",
                **_line_look(row.pooling, palette_of(ax)),
            )
    ax.set(xlim=view["x"], ylim=view["y"])
    plain_frame(ax)


def _title(ax: Axes, text: str, lines: pd.DataFrame) -> None:
    own = lines.loc[lines["pooling"] == "no", ["intercept", "slope"]]
    if own.isna().any(axis=None):
        text += f"\n{NO_ESTIMATE}"
    ax.set_title(text, fontsize="small", parse_math=False)


def _label_edges(panels: np.ndarray, x_label: str, y_label: str) -> None:
    """Leave tick labels at the left and at the foot of each column, axis labels at the left and the bottom."""
    specs = [ax.get_subplotspec() for ax in panels]
    places = {(s.rowspan.start, s.colspan.start) for s in specs if s is not None}
    lowest = max((row for row, _ in places), default=0)
    leftmost = min((col for _, col in places), default=0)
    for ax, spec in zip(panels, specs, strict=True):
        row, col = (lowest, leftmost) if spec is None else (spec.rowspan.start, spec.colspan.start)
        at_foot = spec is None or (row + 1, col) not in places
        ax.tick_params(labelbottom=at_foot, labelleft=col == leftmost)
        if row == lowest:
            ax.set_xlabel(x_label)
        if col == leftmost:
            ax.set_ylabel(y_label)


def _line_look(kind: str, palette: Palette) -> dict[str, Any]:
    colours = {"complete": palette.complete, "no": palette.no_pooling, "partial": palette.partial}
    return {**LINES[kind], "color": colours[kind]}


def _legend_entries(lines: pd.DataFrame, palette: Palette) -> list[Artist]:
    kinds = set(lines["pooling"])
    return [legend_entry(f"{kind} pooling", **_line_look(kind, palette)) for kind in LINES if kind in kinds]
