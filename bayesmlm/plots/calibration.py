"""Observed against fitted values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from bayesmlm.plots.colours import palette_of
from bayesmlm.plots.names import name_points
from bayesmlm.plots.points import draw_points
from bayesmlm.plots.style import LEGEND, Captions, legend_entry, new_axes, plain_frame, settle, widen
from bayesmlm.plots.tables import check_columns

CORNERS: tuple[Any, ...] = ("upper left", "lower right")


def plot_calibration(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    max_labels: int = 25,
    highlight_label: str = "highlighted",
    label: str = "row",
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: bool = True,
    **style: Any,
) -> Axes:
    """Draw observed against fitted values, with the line where they are equal.

    Highlighted points are orange and, if they are few, named; of the others the farthest from the line are named.

    Parameters
    ----------
    table
        Columns ``label``, ``n``, ``fitted``, ``observed``, ``highlight``; see
        `bayesmlm.views.residuals.calibration_table`. Area is proportional to ``n`` where it differs.
    ax
        Where to draw; a new figure by default.
    max_labels
        Up to so many highlighted points are named, those farthest from the line first; without any the three
        farthest points are.
    highlight_label
        What the legend calls the highlighted points.
    label
        What one point is.
    title, xlabel, ylabel
        Text in place of the default.
    legend
        Whether to explain the points.
    **style
        Passed to `matplotlib.axes.Axes.scatter` for the points.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If the table lacks a column.
    """
    check_columns(table, ("label", "n", "fitted", "observed", "highlight"))
    ax = new_axes(5.4, 5.2) if ax is None else ax
    palette = palette_of(ax)
    both = table[["fitted", "observed"]].to_numpy(float)
    ends = widen(float(both.min()), float(both.max()))
    ax.plot(ends, ends, color=palette.complete, linewidth=1, zorder=1, label="observed = fitted")
    chosen = table["highlight"].to_numpy(bool)
    handles: list[Artist] = [
        legend_entry("observed = fitted", linestyle="solid", linewidth=1, color=palette.complete)
    ]
    for which, colour, name, own in (
        (~chosen, palette.grey if chosen.any() else palette.partial, f"{label} ({(~chosen).sum()})", {}),
        (chosen, palette.no_pooling, f"{highlight_label} ({chosen.sum()})", {"zorder": 4, "alpha": 0.9}),
    ):
        if which.any():
            part = table[which]
            points = draw_points(ax, part["fitted"], part["observed"], style, color=colour, label=name, **own)
            if table["n"].nunique() > 1:
                points.set_sizes(_areas(part["n"].to_numpy(float), float(table["n"].max()), len(table)))
            handles.append(
                legend_entry(name, marker="o", markersize=5, markeredgewidth=0, color=_opaque(points))
            )
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    Captions(label, title, xlabel, ylabel).write(ax, "fitted", "observed")
    plain_frame(ax)
    settle(ax)
    if legend:
        _legend(ax, handles, both)
    _name_farthest(ax, table, chosen, max_labels)
    return ax


def _opaque(points: PathCollection) -> str:
    """Return the colour of the points without their transparency, which is for many of them."""
    return to_hex(np.asarray(points.get_facecolor())[0].tolist())


def _legend(ax: Axes, handles: list[Artist], points: np.ndarray) -> None:
    """Add the legend in the corner above or below the line of equality, whichever has fewer points."""
    look: dict[str, Any] = {**LEGEND, "framealpha": 0.8, "edgecolor": "none", "fancybox": False}
    at, under = ax.transData.transform(points), {}
    for corner in CORNERS:
        legend = ax.legend(handles=handles, loc=corner, borderaxespad=0.2, **look)
        (x0, y0), (x1, y1) = legend.get_window_extent().get_points()
        under[corner] = int(((at >= (x0, y0)) & (at <= (x1, y1))).all(axis=1).sum())
    best = min(CORNERS, key=lambda corner: under[corner])
    ax.legend(handles=handles, loc=best, borderaxespad=0.2, **look)


def _areas(n: np.ndarray, largest: float, count: int) -> np.ndarray:
    top = float(np.clip(150 / np.sqrt(count), 4.0, 12.0)) ** 2
    return np.maximum(top * n / largest, top / 12)


def _name_farthest(ax: Axes, table: pd.DataFrame, chosen: np.ndarray, max_labels: int) -> None:
    rows = table[chosen] if chosen.any() else table
    far = (rows["observed"] - rows["fitted"]).abs().sort_values(ascending=False, kind="stable")
    rows = rows.loc[far.index[: max_labels if chosen.any() else min(3, max_labels)]]
    palette, x, y = palette_of(ax), rows["fitted"].to_numpy(), rows["observed"].to_numpy()
    if not chosen.any():  # a point that is named must be seen, however faint the others are
        draw_points(ax, x, y, {}, color=palette.dark, alpha=1.0, s=9, zorder=5, label="farthest")
    colour = palette.named if chosen.any() else palette.dark
    every = table[["fitted", "observed"]].to_numpy(float)
    name_points(ax, x, y, rows["label"].astype(str).tolist(), every, color=colour)
