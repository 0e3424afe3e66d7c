"""What pictures over a predictor share: its axis, and the data behind."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from bayesmlm.plots.colours import palette_of
from bayesmlm.plots.points import RASTER
from bayesmlm.plots.style import Captions, plain_frame, settle, top_legend

Ticks = tuple[Sequence[float], Sequence[str]]
JITTER = 0.12


def draw_data(ax: Axes, points: pd.DataFrame, chosen: Sequence[str], categories: bool, seed: int) -> None:
    """Draw the data, those of the chosen levels in colour; jittered where x stands for categories."""
    palette = palette_of(ax)
    x = points["x"].to_numpy(float)
    if categories:
        x = x + np.random.default_rng(seed).uniform(-JITTER, JITTER, len(x))
    size = float(np.clip(100 / np.sqrt(len(x)), 1.7, 4.0)) ** 2
    alpha = float(np.clip(16 / np.sqrt(len(x)), 0.25, 0.8))
    level, y = points["level"].astype(str), points["y"].to_numpy(float)
    look: dict[str, Any] = {"s": size, "linewidth": 0}
    rasterized = len(x) > RASTER
    ax.scatter(x, y, color=palette.light, alpha=alpha, zorder=1, label="data", rasterized=rasterized, **look)
    for name, colour in zip(chosen, palette.qualitative, strict=False):
        own = (level == name).to_numpy()
        ax.scatter(
            x[own], y[own], color=colour, s=max(size, 9.0), linewidth=0, zorder=4, label=f"data of {name}"
        )


def finish_axis(ax: Axes, ticks: Ticks | None, captions: Captions, handles: list[Artist]) -> None:
    """Name the categories, if there are any, write title and axis labels, and add the legend."""
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
