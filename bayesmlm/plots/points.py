"""Many points: the more there are, the smaller and fainter, and never so faint that they are not seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from bayesmlm.plots.colours import palette_of
from bayesmlm.plots.style import merge_style

RASTER = 5000  # more points than this are drawn as an image, also in vector files


def draw_points(ax: Axes, x: Any, y: Any, style: Mapping[str, Any], **own: Any) -> PathCollection:
    """Draw points whose size and opacity fall with the root of their number."""
    n = max(len(x), 1)
    look: dict[str, Any] = {
        "s": float(np.clip(80 / np.sqrt(n), 1.6, 4.5)) ** 2,
        "alpha": float(np.clip(15 / np.sqrt(n), 0.2, 0.8)),
        "color": palette_of(ax).partial,
        "linewidth": 0,
        "zorder": 2,
        "rasterized": n > RASTER,
        **own,
    }
    return ax.scatter(x, y, **merge_style(PathCollection, look, style))
