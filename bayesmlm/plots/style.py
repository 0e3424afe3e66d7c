"""What the plots share: colours, new figures, legends that cover nothing, labels that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.figure import Figure, FigureBase
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text

# Okabe & Ito (2008): told apart by colour-blind readers. Shapes and dashes tell them apart in grey.
PARTIAL, NO_POOLING, COMPLETE, REFERENCE = "#0072B2", "#D55E00", "#000000", "#D55E00"
PALE, GREY = "#9DBBD0", "#707070"

NO_ESTIMATE = "no estimate of its own"
SMALLEST_TYPE = 5.0  # points; below it labels are not printed
LEGEND = {"frameon": False, "fontsize": "small", "handletextpad": 0.5, "columnspacing": 1.5, "scatterpoints": 1}


def new_axes(width: float, height: float) -> Axes:
    """Return the Axes of a new figure, in inches."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def rows_height(n_rows: int) -> float:
    """Return the height in inches of a figure with one line per level: it grows, to a page at most."""
    return float(np.clip(1.0 + 0.17 * n_rows, 2.6, 9.0))


def merge_style(artist: type[Artist], defaults: Mapping[str, Any], style: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults with the caller's keywords in their place, whatever alias they were given by."""
    given = normalize_kwargs(dict(style), artist)
    replaced = {"color"} if "c" in given else set()
    return {**{k: v for k, v in defaults.items() if k not in replaced}, **given}


def settle(ax: Axes) -> None:
    """Let the figure's layout engine, if any, give the Axes the size in which it will be printed."""
    figure = ax.get_figure(root=True)
    if figure is not None and figure.get_layout_engine() is not None:
        figure.draw_without_rendering()


def row_pitch(ax: Axes, n_rows: int) -> float:
    """Return the points from one line to the next if `n_rows` lines fill the height of the Axes."""
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return 72 / figure.dpi * ax.get_window_extent().height / n_rows


def label_rows(ax: Axes, levels: Sequence[str], word: str, max_labels: int) -> str:
    """Name the lines 0, 1, ... of the y axis where that can be read, and return a label for the axis."""
    size = min(9.0, 0.85 * row_pitch(ax, len(levels)))
    if len(levels) > max_labels or size < SMALLEST_TYPE:
        ax.set_yticks([])
        return f"{word} (all {len(levels)}, in order)"
    ax.set_yticks(range(len(levels)), levels, fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0)
    return word


def plain_frame(ax: Axes, *, left: bool = True) -> None:
    """Leave only the sides of the frame that carry a scale."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines["left"].set_visible(left)


def view_limits(values: np.ndarray, always: np.ndarray) -> tuple[float, float]:
    """Return axis limits that show all of `always` and those of `values` that are no gross outliers.

    An outlier lies more than three times the interquartile range beyond the quartiles (Tukey's "far out").
    """
    known = values[np.isfinite(values)]
    shown = always[np.isfinite(always)]
    if known.size:
        q1, q3 = np.quantile(known, [0.25, 0.75])
        reach = 3 * (q3 - q1)
        shown = np.concatenate([shown, known[(known >= q1 - reach) & (known <= q3 + reach)]])
    low, high = float(shown.min()), float(shown.max())
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def note(text: str) -> Line2D:
    """Return a legend entry that is words only."""
    return Line2D([], [], linestyle="none", label=text)


def top_legend(ax: Axes, handles: Sequence[Artist]) -> Legend:
    """Put a legend inside the top of the Axes, on room added for it.

    There it covers no data whatever the data are, meets no title set later, and is not cut off in a figure
    whose margins belong to the caller.
    """
    frame = ax.get_window_extent()
    for ncols in range(len(handles), 0, -1):
        legend = ax.legend(handles=handles, ncols=ncols, loc="upper left", borderaxespad=0, **LEGEND)
        box = legend.get_window_extent()
        if box.width <= frame.width:
            break
    low, high = ax.get_ylim()
    ax.set_ylim(low, low + (high - low) / (1 - min(box.height / frame.height, 0.5)))
    return legend


def figure_legend(figure: FigureBase, handles: Sequence[Artist]) -> Legend:
    """Put one legend below all Axes if the layout can make room for it, else on the upper margin."""
    root = figure.get_figure(root=True)
    roomy = root is not None and isinstance(root.get_layout_engine(), ConstrainedLayoutEngine)
    loc = "outside lower center" if roomy else "upper center"
    return figure.legend(handles=handles, ncols=len(handles), loc=loc, **LEGEND)


def drop_overlapping(texts: Sequence[Text]) -> None:
    """Remove each text that would be printed over an earlier one."""
    kept: list[Any] = []
    for text in texts:
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in kept):
            text.remove()
        else:
            kept.append(box)
