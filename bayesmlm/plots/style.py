"""What the plots share: new figures, legends that cover nothing, labels that fit."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from bayesmlm.errors import DataError

NO_ESTIMATE = "no estimate of its own"
WHOLE: dict[str, Any] = {"integer": True, "steps": [1, 2, 5, 10]}  # ticks of counts, for MaxNLocator
UNBROKEN = "\N{NO-BREAK SPACE}"
SEAM = "\N{WORD JOINER}"  # marks a place where a name without spaces may be broken
JOINT = re.compile(r"(?<=\S)\|(?=\S)")
SMALLEST_TYPE = 5.0  # points; below it labels are not printed
CROWDED = 2.5  # points from line to line; below it pixels are too coarse for an even distance
LEGEND: dict[str, Any] = {"fontsize": "small", "handletextpad": 0.5, "columnspacing": 1.4, "scatterpoints": 1}
COMPACT: dict[str, Any] = {**LEGEND, "fontsize": "x-small", "labelspacing": 0.25, "handlelength": 1.4}


@dataclass(frozen=True)
class Captions:
    """What the caller says in words: None where the plot's own words will do.

    Attributes
    ----------
    word : str
        What one level is called.
    title, xlabel, ylabel : str or None
        Title and axis labels.
    legend : bool
        Whether to explain the symbols.
    max_labels : int
        Up to so many levels are named.
    """

    word: str
    title: str | None = None
    xlabel: str | None = None
    ylabel: str | None = None
    legend: bool = True
    max_labels: int = 40

    def write(self, ax: Axes, xlabel: str, ylabel: str) -> None:
        """Write title and axis labels, the given ones where the caller has none."""
        ax.set_xlabel(xlabel if self.xlabel is None else self.xlabel)
        ax.set_ylabel(ylabel if self.ylabel is None else self.ylabel)
        if self.title is not None:
            ax.set_title(self.title)


def new_axes(width: float, height: float) -> Axes:
    """Return the Axes of a new figure, in inches."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def rows_height(n_rows: int) -> float:
    """Return the height in inches of a figure with one line per level: it grows, to a page at most."""
    return float(np.clip(1.1 + 0.17 * n_rows, 2.6, 9.0))


def root_figure(ax: Axes) -> Figure:
    """Return the figure to which the Axes belong."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise DataError("the Axes belong to no figure: they were removed")
    return figure


def settle(ax: Axes) -> None:
    """Let the figure's layout engine, if any, give the Axes the size in which they will be printed."""
    figure = root_figure(ax)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def merge_style(
    artist: type[Artist], defaults: Mapping[str, Any], style: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the defaults with the caller's keywords in their place, whatever alias they were given by."""
    given = normalize_kwargs(dict(style), artist)
    replaced = {"color"} if "c" in given else set()
    return {**{k: v for k, v in defaults.items() if k not in replaced}, **given}


def set_rows(ax: Axes, n_rows: int) -> float:
    """Give the Axes the lines 0, 1, ..., n_rows - 1, and return the points from one line to the next."""
    ax.set_ylim(-0.8, n_rows - 0.2)
    return row_pitch(ax)


def row_pitch(ax: Axes) -> float:
    """Return the length in points of one unit of the y axis."""
    low, high = ax.get_ylim()
    return 72 / root_figure(ax).dpi * ax.get_window_extent().height / (high - low)


def row_look(pitch: float) -> dict[str, Any]:
    """Return how lines `pitch` points apart are drawn: crowded ones moved to whole pixels leave white stripes."""
    return {"snap": False} if pitch < CROWDED else {}


def finish_rows(
    ax: Axes, levels: Sequence[str], captions: Captions, xlabel: str, handles: Sequence[Artist]
) -> None:
    """Name the lines, write title and axis labels, and add the legend if there are handles."""
    plain_frame(ax, left=False)
    captions.write(ax, xlabel, label_rows(ax, levels, captions))
    if handles:
        settle(ax)
        top_legend(ax, handles)
        # The legend has moved the lines closer together.
        captions.write(ax, xlabel, label_rows(ax, levels, captions))


def label_rows(ax: Axes, levels: Sequence[str], captions: Captions) -> str:
    """Name the lines 0, 1, ... of the y axis where that can be read, and return a label for the axis."""
    size = min(9.0, 0.85 * row_pitch(ax))
    if len(levels) > captions.max_labels or size < SMALLEST_TYPE:
        ax.set_yticks([])
        return f"{captions.word} ({len(levels)}, sorted)"
    ax.set_yticks(range(len(levels)), levels, fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0)
    return captions.word


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
    return widen(float(shown.min()), float(shown.max()))


def widen(low: float, high: float) -> tuple[float, float]:
    """Return a range with a margin on both sides."""
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def top_legend(ax: Axes, handles: Sequence[Artist]) -> Legend:
    """Put a legend inside the top of the Axes, on room added for it.

    There it covers no data whatever the data are, meets no title set later, and is not cut off in a figure
    whose margins belong to the caller.
    """
    height = ax.get_window_extent().height
    legend = _legend_within(ax, handles, LEGEND)
    if legend.get_window_extent().height > height / 3:
        legend = _legend_within(ax, handles, COMPACT)
    low, high = ax.get_ylim()
    share = min(legend.get_window_extent().height / height, 0.8)
    ax.set_ylim(low, low + (high - low) / (1 - share))
    return legend


def _legend_within(ax: Axes, handles: Sequence[Artist], look: Mapping[str, Any]) -> Legend:
    """Put a legend in the upper left corner, in as many columns as the Axes are wide enough for."""
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.01, 1), "borderaxespad": 0}
    patch: dict[str, Any] = {"edgecolor": "none", "framealpha": 1, "fancybox": False}
    look = {**place, **patch, **look}
    return _fit_columns(
        lambda ncols: ax.legend(handles=handles, ncols=ncols, **look),
        len(handles),
        ax.get_window_extent().width,
    )


def figure_legend(figure: Figure | SubFigure, handles: Sequence[Artist]) -> Legend:
    """Put one legend below all Axes if the layout can make room for it, else on the upper margin."""
    root = figure.get_figure(root=True)
    roomy = root is not None and isinstance(root.get_layout_engine(), ConstrainedLayoutEngine)
    look = {"loc": "outside lower center" if roomy else "upper center", "frameon": False, **LEGEND}
    return _fit_columns(
        lambda ncols: figure.legend(handles=handles, ncols=ncols, **look),
        len(handles),
        figure.get_window_extent().width,
    )


def _fit_columns(make: Callable[[int], Legend], ncols: int, room: float) -> Legend:
    """Make a legend in `ncols` columns, or in as many as fit into `room` pixels."""
    while True:
        legend = make(ncols)
        excess = legend.get_window_extent().width / room
        if excess <= 1 or ncols == 1:
            return legend
        legend.remove()
        ncols = min(ncols - 1, math.ceil(ncols / excess))


def legend_entry(label: str, **look: Any) -> Line2D:
    """Return a line or, without a line style, a marker or mere words, for a legend."""
    # The default cap of a thick line would reach into the text.
    return Line2D([], [], label=label, **{"linestyle": "none", "solid_capstyle": "butt", **look})


def new_grid(count: int, ncols: int, size: tuple[float, float]) -> np.ndarray:
    """Return `count` Axes of a new figure, in rows of `ncols` at most; `size` is that of one panel, in inches."""
    nrows = -(-count // ncols)
    ncols = -(-count // nrows)
    width, height = max(size[0] * ncols, 4.0), size[1] * nrows + 0.5
    _, grid = plt.subplots(nrows, ncols, figsize=(width, height), squeeze=False, layout="constrained")
    for spare in grid.flat[count:]:
        spare.remove()
    panels = grid.ravel()[:count]
    engine = root_figure(panels[0]).get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=6 / 72)  # tick labels at two neighbours' edges are not to be read as one
    return panels


def fit_titles(panels: np.ndarray) -> None:
    """Break titles that are wider than their panel, so that they do not run into their neighbours'."""
    settle(panels[0])
    for ax in panels:
        excess = ax.title.get_window_extent().width / ax.get_window_extent().width
        if excess > 1:
            lines = ax.get_title().split("\n")
            width = max(int(max(map(len, lines)) / excess), 8)
            ax.title.set_text("\n".join(_fill(line, width) for line in lines))


def _fill(text: str, width: int) -> str:
    """Break a line at spaces, or before the bar of ``sd_x|school``; keep ``n = 9`` and ``| school`` together."""
    kept = text.replace(" = ", f"{UNBROKEN}={UNBROKEN}").replace("| ", f"|{UNBROKEN}")
    jointed = JOINT.sub(f" {SEAM}|", kept)
    return textwrap.fill(jointed, width).replace(f" {SEAM}", "").replace(SEAM, "").replace(UNBROKEN, " ")


def panel_axes(ax: Any, count: int, what: str) -> np.ndarray:
    """Return the first `count` of the caller's Axes, or raise `DataError` if there are fewer."""
    given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(given) < count:
        raise DataError(f"{len(given)} Axes for {count} {what}; give one each")
    return given[:count]
