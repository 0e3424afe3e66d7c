"""Residual diagnostics in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesmlm.plots.colours import Palette, palette_of
from bayesmlm.plots.names import name_points
from bayesmlm.plots.points import draw_points
from bayesmlm.plots.style import (
    WHOLE,
    fit_titles,
    legend_entry,
    new_grid,
    panel_axes,
    plain_frame,
    root_figure,
    settle,
    top_legend,
)
from bayesmlm.plots.tables import check_columns

MOST_NAMES = 6  # of levels whose spread is out of the band
MARKERS = ("o", "s", "D", "^", "v", "P")


def plot_check(
    rows: pd.DataFrame,
    quantiles: pd.DataFrame,
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    effects: pd.DataFrame,
    spread: pd.DataFrame | None = None,
    *,
    ax: Sequence[Axes] | np.ndarray | None = None,
    label: str = "group",
    response: str = "response",
    title: str | None = None,
    **style: Any,
) -> np.ndarray:
    """Draw residuals four ways, and each block's effects against normal quantiles.

    Panels: residuals against fitted values; scaled residuals against normal quantiles; the square root of their
    size against fitted values; their spread in each level against its number of rows; and one per block of group
    effects. A sound model has a flat smooth line in the first and third, points within the bands in the others.

    Parameters
    ----------
    rows
        See `bayesmlm.views.residuals.residual_table`; rows marked ``outlier`` are named.
    quantiles
        See `normal_quantiles`, of the scaled residuals.
    lines
        Smooth lines, (x, y), through ``"resid"`` and ``"root"`` over the fitted values.
    effects
        See `effect_quantiles`; may be empty.
    spread
        See `spread_by_group`; not drawn if None or empty.
    ax
        Where to draw: one Axes per panel; a new figure by default.
    label
        What one level is called.
    response
        What the response is called.
    title
        Title of the figure.
    **style
        Passed to `matplotlib.axes.Axes.scatter` for the points.

    Returns
    -------
    ndarray of Axes, shape (number of panels,)

    Raises
    ------
    DataError
        If a table lacks a column, or there are too few Axes.
    """
    check_columns(rows, ("label", "fitted", "resid", "scaled", "root", "outlier"))
    check_columns(quantiles, ("label", "theoretical", "value", "conf_low", "conf_high"))
    groups = [] if effects.empty else list(dict.fromkeys(effects["group"]))
    has_spread = spread is not None and not spread.empty
    count = 3 + has_spread + len(groups)
    panels = (
        new_grid(count, 3 if count > 4 else 2, (3.5, 2.9)) if ax is None else panel_axes(ax, count, "panels")
    )
    _over_fitted(panels[0], rows, "resid", lines["resid"], style)
    panels[0].set(xlabel=f"fitted {response}", ylabel="residual", title="Residuals")
    _quantile_panel(panels[1], quantiles, style)
    panels[1].set(xlabel="normal quantile", ylabel="residual / sigma", title="Residuals: normal?")
    _over_fitted(panels[2], rows, "root", lines["root"], style)
    panels[2].set(
        xlabel=f"fitted {response}", ylabel="sqrt(|residual / sigma|)", title="Residuals: one spread?"
    )
    if has_spread:
        assert spread is not None
        _spread_panel(panels[3], spread, label, style)
    for panel, group in zip(panels[3 + has_spread :], groups, strict=False):
        _effect_panel(panel, effects[effects["group"] == group], str(group), style)
    if title is not None:
        root_figure(panels[0]).suptitle(title)
    fit_titles(panels)
    settle(panels[0])
    _name_outliers(panels, rows, quantiles)
    if has_spread:
        assert spread is not None
        far = spread[spread["outside"]].sort_values("spread", ascending=False)[:MOST_NAMES]
        name_points(panels[3], far["n"].to_numpy(), far["spread"].to_numpy(), far["level"].tolist())
    return panels


def _over_fitted(
    ax: Axes,
    rows: pd.DataFrame,
    column: str,
    line: tuple[np.ndarray, np.ndarray],
    style: Mapping[str, Any],
) -> None:
    draw_points(ax, rows["fitted"], rows[column], style)
    palette = palette_of(ax)
    ax.plot(*line, color=palette.no_pooling, linewidth=2, zorder=4, label="smooth line")
    if column == "resid":
        ax.axhline(0, color=palette.grey, linewidth=0.8, zorder=1)
    plain_frame(ax)


def _quantile_panel(ax: Axes, table: pd.DataFrame, style: Mapping[str, Any]) -> None:
    _band(ax, table)
    draw_points(ax, table["theoretical"], table["value"], style, alpha=0.8)
    plain_frame(ax)


def _band(ax: Axes, table: pd.DataFrame) -> None:
    x, palette = table["theoretical"], palette_of(ax)
    look: dict[str, Any] = {"color": palette.light, "alpha": 0.35, "linewidth": 0, "zorder": 0}
    ax.fill_between(x, table["conf_low"], table["conf_high"], **look)
    ax.plot(x, x, color=palette.complete, linewidth=0.9, zorder=1)


def _effect_panel(ax: Axes, table: pd.DataFrame, group: str, style: Mapping[str, Any]) -> None:
    parts = list(table.groupby("term", sort=False))
    colours, markers = _colours(palette_of(ax), len(parts)), _cycle(MARKERS, len(parts))
    _band(ax, parts[0][1])
    for (term, part), colour, marker in zip(parts, colours, markers, strict=True):
        draw_points(
            ax, part["theoretical"], part["value"], style, color=colour, marker=marker, alpha=0.8, label=term
        )
        ends = part.iloc[[0, -1]] if len(part) > 1 else part
        ax.update_datalim(ends[["theoretical", "value"]].to_numpy(float))
    ax.set(xlabel="normal quantile", ylabel="effect / its sd", title=f"Effects of {group}: normal?")
    plain_frame(ax)
    if len(parts) > 1:
        handles: list[Artist] = [
            legend_entry(str(t), marker=m, color=c, markersize=4, markeredgewidth=0)
            for (t, _), c, m in zip(parts, colours, markers, strict=True)
        ]
        settle(ax)
        top_legend(ax, handles)


def _colours(palette: Palette, count: int) -> list[str]:
    others = [c for c in palette.qualitative if c != palette.partial]
    return _cycle([palette.partial, *others], count)


def _cycle(values: Sequence[str], count: int) -> list[str]:
    return [values[i % len(values)] for i in range(count)]


def _spread_panel(ax: Axes, table: pd.DataFrame, label: str, style: Mapping[str, Any]) -> None:
    ordered, palette = table.sort_values("df"), palette_of(ax)
    band: dict[str, Any] = {"color": palette.light, "alpha": 0.35, "linewidth": 0, "zorder": 0}
    ax.fill_between(ordered["n"], ordered["conf_low"], ordered["conf_high"], **band)
    if table["n"].nunique() == 1:  # a band of no width would not be seen
        low, high = table[["conf_low", "conf_high"]].iloc[0]
        ax.axhspan(low, high, **band)
    ax.axhline(1, color=palette.complete, linewidth=0.9, zorder=1)
    inside = table[~table["outside"]]
    draw_points(ax, inside["n"], inside["spread"], style, alpha=0.8)
    outside = table[table["outside"]]
    far: dict[str, Any] = {"color": palette.no_pooling, "marker": "D", "alpha": 0.9, "label": "outside"}
    draw_points(ax, outside["n"], outside["spread"], style, **far)
    ax.set(xlabel=f"rows in {label}", ylabel="spread / sigma", title=f"One spread in every {label}?")
    ax.xaxis.set_major_locator(MaxNLocator(**WHOLE))
    if table["n"].nunique() == 1:  # the scale has one value, and no fractions about it
        ax.set_xlim(table["n"].iloc[0] - 1, table["n"].iloc[0] + 1)
    plain_frame(ax)


def _name_outliers(panels: np.ndarray, rows: pd.DataFrame, quantiles: pd.DataFrame) -> None:
    """Name the outliers in the first three panels, once all panels have their size."""
    far = rows[rows["outlier"]].sort_values("root", ascending=False)
    if far.empty:
        return
    look: dict[str, Any] = {"color": palette_of(panels[0]).no_pooling, "alpha": 1.0, "s": 14, "zorder": 5}
    for panel, column in ((panels[0], "resid"), (panels[2], "root")):
        draw_points(panel, far["fitted"], far[column], {}, **look)
        name_points(panel, far["fitted"].to_numpy(), far[column].to_numpy(), far["label"].tolist())
    ends = quantiles.loc[quantiles["value"].abs().nlargest(len(far)).index]
    name_points(panels[1], ends["theoretical"].to_numpy(), ends["value"].to_numpy(), ends["label"].tolist())
