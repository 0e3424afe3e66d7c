"""Residual diagnostics in one figure, and observed against fitted values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from bayesmlm.plots.names import name_points
from bayesmlm.plots.style import (
    COMPLETE,
    DARK,
    GREY,
    LIGHT,
    NO_POOLING,
    PARTIAL,
    QUALITATIVE,
    Captions,
    legend_entry,
    merge_style,
    new_axes,
    new_grid,
    panel_axes,
    plain_frame,
    root_figure,
    settle,
    top_legend,
    widen,
)
from bayesmlm.plots.tables import check_columns

MOST_NAMES = 6  # of levels whose spread is out of the band
MARKERS = ("o", "s", "D", "^", "v", "P")
RASTER = 5000  # more points than this are drawn as an image, also in vector files


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
    settle(panels[0])
    _name_outliers(panels, rows, quantiles)
    if has_spread:
        assert spread is not None
        far = spread[spread["outside"]].sort_values("spread", ascending=False)[:MOST_NAMES]
        name_points(panels[3], far["n"].to_numpy(), far["spread"].to_numpy(), far["level"].tolist())
    return panels


def _points(ax: Axes, x: Any, y: Any, style: Mapping[str, Any], **own: Any) -> PathCollection:
    n = max(len(x), 1)
    look: dict[str, Any] = {
        "s": float(np.clip(80 / np.sqrt(n), 1.6, 4.5)) ** 2,
        "color": PARTIAL,
        "alpha": float(np.clip(15 / np.sqrt(n), 0.2, 0.8)),
        "linewidth": 0,
        "zorder": 2,
        "rasterized": n > RASTER,
        **own,
    }
    return ax.scatter(x, y, **merge_style(PathCollection, look, style))


def _over_fitted(
    ax: Axes,
    rows: pd.DataFrame,
    column: str,
    line: tuple[np.ndarray, np.ndarray],
    style: Mapping[str, Any],
) -> None:
    _points(ax, rows["fitted"], rows[column], style)
    ax.plot(*line, color=NO_POOLING, linewidth=2, zorder=4, label="smooth line")
    if column == "resid":
        ax.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    plain_frame(ax)


def _quantile_panel(ax: Axes, table: pd.DataFrame, style: Mapping[str, Any]) -> None:
    _band(ax, table)
    _points(ax, table["theoretical"], table["value"], style, alpha=0.8)
    plain_frame(ax)


def _band(ax: Axes, table: pd.DataFrame) -> None:
    x = table["theoretical"]
    ax.fill_between(x, table["conf_low"], table["conf_high"], color=LIGHT, alpha=0.35, linewidth=0, zorder=0)
    ax.plot(x, x, color=COMPLETE, linewidth=0.9, zorder=1)


def _effect_panel(ax: Axes, table: pd.DataFrame, group: str, style: Mapping[str, Any]) -> None:
    parts = list(table.groupby("term", sort=False))
    _band(ax, parts[0][1])
    for (term, part), colour, marker in zip(
        parts, _colours(len(parts)), _cycle(MARKERS, len(parts)), strict=True
    ):
        _points(
            ax, part["theoretical"], part["value"], style, color=colour, marker=marker, alpha=0.8, label=term
        )
        ends = part.iloc[[0, -1]] if len(part) > 1 else part
        ax.update_datalim(ends[["theoretical", "value"]].to_numpy(float))
    ax.set(xlabel="normal quantile", ylabel="effect / its sd", title=f"Effects of {group}: normal?")
    plain_frame(ax)
    if len(parts) > 1:
        handles: list[Artist] = [
            legend_entry(str(t), marker=m, color=c, markersize=4, markeredgewidth=0)
            for (t, _), c, m in zip(parts, _colours(len(parts)), _cycle(MARKERS, len(parts)), strict=True)
        ]
        settle(ax)
        top_legend(ax, handles)


def _colours(count: int) -> list[str]:
    return [PARTIAL, *(c for c in _cycle(QUALITATIVE, count + 1) if c != PARTIAL)][:count]


def _cycle(values: Sequence[str], count: int) -> list[str]:
    return [values[i % len(values)] for i in range(count)]


def _spread_panel(ax: Axes, table: pd.DataFrame, label: str, style: Mapping[str, Any]) -> None:
    ordered = table.sort_values("df")
    ax.fill_between(
        ordered["n"],
        ordered["conf_low"],
        ordered["conf_high"],
        color=LIGHT,
        alpha=0.35,
        linewidth=0,
        zorder=0,
    )
    if table["n"].nunique() == 1:  # a band of no width would not be seen
        low, high = table[["conf_low", "conf_high"]].iloc[0]
        ax.axhspan(low, high, color=LIGHT, alpha=0.35, linewidth=0, zorder=0)
    ax.axhline(1, color=COMPLETE, linewidth=0.9, zorder=1)
    inside = table[~table["outside"]]
    _points(ax, inside["n"], inside["spread"], style, alpha=0.8)
    outside = table[table["outside"]]
    _points(
        ax, outside["n"], outside["spread"], style, color=NO_POOLING, marker="D", alpha=0.9, label="outside"
    )
    ax.set(xlabel=f"rows in {label}", ylabel="spread / sigma", title=f"One spread in every {label}?")
    plain_frame(ax)


def _name_outliers(panels: np.ndarray, rows: pd.DataFrame, quantiles: pd.DataFrame) -> None:
    """Name the outliers in the first three panels, once all panels have their size."""
    far = rows[rows["outlier"]].sort_values("root", ascending=False)
    if far.empty:
        return
    for panel, column in ((panels[0], "resid"), (panels[2], "root")):
        _points(panel, far["fitted"], far[column], {}, color=NO_POOLING, alpha=1.0, s=14, zorder=5)
        name_points(panel, far["fitted"].to_numpy(), far[column].to_numpy(), far["label"].tolist())
    ends = quantiles.loc[quantiles["value"].abs().nlargest(len(far)).index]
    name_points(panels[1], ends["theoretical"].to_numpy(), ends["value"].to_numpy(), ends["label"].tolist())


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
    both = table[["fitted", "observed"]].to_numpy(float)
    ends = widen(float(both.min()), float(both.max()))
    ax.plot(ends, ends, color=COMPLETE, linewidth=1, zorder=1, label="observed = fitted")
    chosen = table["highlight"].to_numpy(bool)
    handles: list[Artist] = [
        legend_entry("observed = fitted", linestyle="solid", linewidth=1, color=COMPLETE)
    ]
    for which, colour, name, own in (
        (~chosen, GREY if chosen.any() else PARTIAL, f"{label} ({(~chosen).sum()})", {"zorder": 2}),
        (chosen, NO_POOLING, f"{highlight_label} ({chosen.sum()})", {"zorder": 4, "alpha": 0.9}),
    ):
        if which.any():
            part = table[which]
            points = _points(ax, part["fitted"], part["observed"], style, color=colour, label=name, **own)
            if table["n"].nunique() > 1:
                points.set_sizes(_areas(part["n"].to_numpy(float), float(table["n"].max()), len(table)))
            handles.append(
                legend_entry(
                    name, marker="o", markersize=5, markeredgewidth=0, color=points.get_facecolor()[0]
                )
            )
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    Captions(label, title, xlabel, ylabel).write(ax, "fitted", "observed")
    plain_frame(ax)
    settle(ax)
    if legend:
        ax.legend(handles=handles, loc="upper left", fontsize="small", frameon=False, borderaxespad=0.2)
    _name_farthest(ax, table, chosen, max_labels)
    return ax


def _areas(n: np.ndarray, largest: float, count: int) -> np.ndarray:
    top = float(np.clip(150 / np.sqrt(count), 4.0, 12.0)) ** 2
    return np.maximum(top * n / largest, top / 12)


def _name_farthest(ax: Axes, table: pd.DataFrame, chosen: np.ndarray, max_labels: int) -> None:
    rows = table[chosen] if chosen.any() else table
    far = (rows["observed"] - rows["fitted"]).abs().sort_values(ascending=False, kind="stable")
    rows = rows.loc[far.index[: max_labels if chosen.any() else min(3, max_labels)]]
    look = {"color": DARK} if not chosen.any() else {"color": "#8A3D00"}
    name_points(
        ax, rows["fitted"].to_numpy(), rows["observed"].to_numpy(), rows["label"].astype(str).tolist(), **look
    )
