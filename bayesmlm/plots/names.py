"""Names beside points: where they are free, and not where they would cover one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import BboxBase

from bayesmlm.plots.colours import palette_of
from bayesmlm.plots.style import root_figure

PLACES = ((5, 0), (-5, 0), (0, 6), (0, -6), (5, 6), (-5, 6), (5, -6), (-5, -6))  # points from the mark
MARK = 2.5  # points from the middle of a mark to its edge


def name_points(
    ax: Axes, x: np.ndarray, y: np.ndarray, names: Sequence[str], **look: Any
) -> list[Annotation]:
    """Write names beside points, in their order, each in the first place where it covers no other name.

    A name for which there is none is left out. The Axes should have their final size and limits.
    """
    palette = palette_of(ax)
    halo = [withStroke(linewidth=1.8, foreground=palette.paper)]
    look = {"color": palette.complete, "path_effects": halo, **look}
    taken: list[BboxBase] = []
    legend = ax.get_legend()
    if legend is not None:
        taken.append(legend.get_window_extent())
    frame = ax.get_window_extent()
    marks = ax.transData.transform(np.column_stack([x, y]))
    rim = MARK * root_figure(ax).dpi / 72
    written = []
    for at, name in zip(np.column_stack([x, y]), names, strict=True):
        for place in PLACES:
            text = _write(ax, name, at, place, look)
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            covered = (
                ((marks > np.array(box.min) - rim) & (marks < np.array(box.max) + rim)).all(axis=1).any()
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
    return ax.annotate(str(name), (at[0], at[1]), place, textcoords="offset points", **given)
