"""Two correlated group effects: the ellipses of their distribution, and the levels as points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection

from bayesmlm.plots.colours import palette_of
from bayesmlm.plots.names import name_points
from bayesmlm.plots.style import (
    Captions,
    legend_entry,
    merge_style,
    new_axes,
    plain_frame,
    settle,
    top_legend,
)
from bayesmlm.plots.tables import check_columns, choose, distinct

KINDS = ("draw", "posterior", "reference")
Curves = dict[tuple[float, int], np.ndarray]


def plot_ellipses(
    ellipses: pd.DataFrame,
    points: pd.DataFrame | None = None,
    *,
    ax: Axes | None = None,
    reference_label: str = "REML",
    label: str = "group",
    max_labels: int = 20,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    **style: Any,
) -> Axes:
    """Draw how two group effects vary together: contours of N(0, Sigma), and each level's effects.

    Points of estimated effects lie closer together than the ellipses, the more so the less the data say of each level.

    Parameters
    ----------
    ellipses
        Columns ``kind`` ("draw", "posterior", "reference"), ``prob``, ``draw``, ``x``, ``y``; see
        `bayesmlm.views.ellipses.ellipse_table`.
    points
        Columns ``level``, ``x``, ``y``; not drawn if None.
    ax
        Where to draw; a new figure by default.
    reference_label
        What the legend calls the reference fit.
    label
        What one level is called.
    max_labels
        Up to so many levels are named.
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the curves.
    **style
        Passed to `matplotlib.axes.Axes.scatter` for the points.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If a table lacks a column, or has an unknown kind of ellipse.
    """
    check_columns(ellipses, ("kind", "prob", "draw", "x", "y"), "the table of ellipses")
    choose(distinct(ellipses["kind"]), KINDS, "kind of ellipse")
    ax = new_axes(5.6, 5.0) if ax is None else ax
    palette = palette_of(ax)
    ax.axhline(0, color=palette.grey, linewidth=0.6, zorder=0)
    ax.axvline(0, color=palette.grey, linewidth=0.6, zorder=0)
    curves = _curves(ellipses)
    handles = _bundle(ax, curves.get("draw", {}))
    solid: dict[str, Any] = {"color": palette.partial, "linestyle": "solid", "linewidth": 2.0}
    dashed: dict[str, Any] = {"color": palette.complete, "linestyle": (0, (4, 2)), "linewidth": 1.3}
    handles += _contours(ax, curves.get("posterior", {}), "posterior median", solid, 3)
    handles += _contours(ax, curves.get("reference", {}), reference_label, dashed, 4)
    if points is not None:
        handles.append(_points(ax, points, label, style))
    ax.autoscale_view()
    plain_frame(ax)
    Captions(label, title, xlabel, ylabel).write(ax, "x", "y")
    settle(ax)
    if legend:
        top_legend(ax, handles)
    if points is not None and len(points) <= max_labels:
        name_points(ax, points["x"].to_numpy(), points["y"].to_numpy(), points["level"].astype(str).tolist())
    return ax


def _curves(ellipses: pd.DataFrame) -> dict[str, Curves]:
    """Take the curves of each kind apart, (probability, draw) -> points (m, 2)."""
    return {
        kind: {
            key: part[["x", "y"]].to_numpy(float) for key, part in rows.groupby(["prob", "draw"], sort=False)
        }
        for kind, rows in ellipses.groupby(ellipses["kind"].astype(str), sort=False)
    }


def _bundle(ax: Axes, curves: Curves) -> list[Artist]:
    """Draw the ellipses of single draws, the fainter the more there are; return what the legend says of them."""
    if not curves:
        return []
    faint = float(np.clip(3 / np.sqrt(len(curves)), 0.1, 0.6))
    look: dict[str, Any] = {"color": palette_of(ax).pale, "linewidth": 0.8}
    ax.add_collection(LineCollection(list(curves.values()), alpha=faint, label="draws", **look))
    widest = 100 * max(prob for prob, _ in curves)
    return [legend_entry(f"{len(curves)} draws, {widest:g}%", linestyle="solid", **look)]


def _contours(ax: Axes, curves: Curves, name: str, look: dict[str, Any], zorder: int) -> list[Artist]:
    """Draw the ellipses of one estimate; return what the legend says of them."""
    if not curves:
        return []
    for (prob, _), curve in curves.items():
        ax.plot(*curve.T, label=f"{name}, {100 * prob:g}%", zorder=zorder, **look)
    inside = " and ".join(f"{100 * prob:g}%" for prob, _ in curves)
    return [legend_entry(f"{name}, {inside}", **look)]


def _points(ax: Axes, points: pd.DataFrame, label: str, style: Any) -> Artist:
    check_columns(points, ("level", "x", "y"), "the table of points")
    size = float(np.clip(60 / np.sqrt(len(points)), 2.5, 5.5))
    look: dict[str, Any] = {
        "s": size**2,
        "color": palette_of(ax).dark,
        "linewidth": 0,
        "zorder": 5,
        "alpha": 0.8,
    }
    drawn = ax.scatter(points["x"], points["y"], label=label, **merge_style(PathCollection, look, style))
    colour = drawn.get_facecolor()[0]
    return legend_entry(f"{label} ({len(points)})", marker="o", markersize=4, markeredgewidth=0, color=colour)
