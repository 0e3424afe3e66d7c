"""Names beside points: where they are free, and not where they would cover one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.transforms import BboxBase

from bayesmlm.plots.colours import palette_of
from bayesmlm.plots.style import root_figure

PLACES = ((5, 0), (-5, 0), (0, 6), (0, -6), (5, 6), (-5, 6), (5, -6), (-5, -6))  # points from the mark
FAR = ((22, -14), (-22, 14), (22, 14), (-22, -14), (44, -28), (-44, 28))
MARK = 2.5  # points from the middle of a mark to its edge


def name_points(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    names: Sequence[str],
    others: np.ndarray | None = None,
    **look: Any,
) -> list[Annotation]:
    """Write names beside points, in their order, each in the first place where it covers no other name.

    A name for which there is none is left out. The Axes should have their final size and limits. Given `others`, marks
    (n, 2) that names had better not cover, a name that finds no free place beside its point stands a little off, with a
    line to it.
    """
    palette = palette_of(ax)
    halo = [withStroke(linewidth=1.8, foreground=palette.paper)]
    look = {"color": palette.complete, "path_effects": halo, **look}
    legend = ax.get_legend()
    taken: list[BboxBase] = [] if legend is None else [legend.get_window_extent()]
    frame, at = ax.get_window_extent(), np.column_stack([x, y])
    rim = MARK * root_figure(ax).dpi / 72
    marks = ax.transData.transform(at)
    crowd = marks if others is None else np.vstack([marks, ax.transData.transform(others)])
    tries = [(PLACES, crowd)] if others is None else [(PLACES, crowd), (FAR, crowd), (PLACES, marks)]
    written = []
    for point, name in zip(at, names, strict=True):
        for place, avoided in ((p, m) for places, m in tries for p in places):
            text = _write(ax, name, point, place, look)
            text.get_window_extent()  # puts the letters in their place; its box would have the line in it
            box = Text.get_window_extent(text)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            covered = (
                ((avoided > np.array(box.min) - rim) & (avoided < np.array(box.max) + rim)).all(axis=1).any()
            )
            if inside and not covered and box.count_overlaps(taken) == 0:
                taken.append(box)
                written.append(text)
                break
            text.remove()
    return written


def _write(ax: Axes, name: str, at: np.ndarray, place: tuple[int, int], look: dict[str, Any]) -> Annotation:
    sides = {
        "ha": ("right", "center", "left")[int(np.sign(place[0])) + 1],
        "va": ("top", "center", "bottom")[int(np.sign(place[1])) + 1],
    }
    given: dict[str, Any] = {"fontsize": "x-small", "parse_math": False, "zorder": 8, **sides, **look}
    if place in FAR:
        given["arrowprops"] = {"arrowstyle": "-", "color": given["color"], "linewidth": 0.6, "shrinkA": 0}
    return ax.annotate(str(name), (at[0], at[1]), place, textcoords="offset points", **given)
