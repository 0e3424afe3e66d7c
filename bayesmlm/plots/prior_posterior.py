"""Priors and posteriors side by side, a panel for each parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayesmlm.errors import DataError
from bayesmlm.plots.colours import palette_of
from bayesmlm.plots.style import figure_legend, fit_titles, legend_entry, merge_style, new_grid, plain_frame
from bayesmlm.plots.tables import check_columns, distinct

PRIOR: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.4, "zorder": 3}
POSTERIOR: dict[str, Any] = {"linestyle": "solid", "linewidth": 1.8, "zorder": 2}
ROOM = 1.12  # of the highest point of a panel
HIGHEST = 3.0  # peaks of the posterior up to which a prior's peak is shown


def plot_prior_posterior(
    table: pd.DataFrame,
    *,
    axes: Sequence[Axes] | np.ndarray | None = None,
    ncols: int = 3,
    title: str | None = None,
    legend: bool = True,
    **style: Any,
) -> np.ndarray:
    """Draw prior and posterior densities, one panel per parameter.

    Parameters
    ----------
    table
        Columns ``parameter``; ``source``, "prior" or "posterior"; ``value``, ``density``: the densities along a grid.
    axes
        Where to draw, one Axes per parameter; a new figure by default.
    ncols
        At most so many panels per row of a new figure.
    title
        Title of the figure.
    legend
        Whether to explain the lines, once for the figure.
    **style
        Passed to `matplotlib.axes.Axes.plot` for the posteriors.

    Returns
    -------
    ndarray of Axes, shape (number of parameters,)

    Raises
    ------
    DataError
        If the table lacks a column, or there are too few Axes.
    """
    check_columns(table, ("parameter", "source", "value", "density"))
    names = distinct(table["parameter"])
    panels = _panels_for(names, axes, ncols)
    palette = palette_of(panels[0])
    prior = {**PRIOR, "color": palette.grey}
    look = merge_style(Line2D, {**POSTERIOR, "color": palette.partial}, style)
    for ax, name in zip(panels, names, strict=True):
        own = table[table["parameter"].astype(str) == name]
        _panel(ax, own[own["source"] == "prior"], own[own["source"] == "posterior"], prior, look)
        ax.set_title(name, fontsize="medium", parse_math=False)
    fit_titles(panels)
    if title is not None:
        panels[0].figure.suptitle(title)
    if legend:
        figure_legend(panels[0].figure, [_entry("prior", prior), _entry("posterior", look)])
    return panels


def _entry(label: str, look: dict[str, Any]) -> Line2D:
    return legend_entry(label, **{k: look[k] for k in ("color", "linestyle", "linewidth") if k in look})


def _panel(
    ax: Axes,
    prior: pd.DataFrame,
    posterior: pd.DataFrame,
    prior_look: dict[str, Any],
    look: dict[str, Any],
) -> None:
    """Draw both densities; a prior that peaks far above the posterior leaves the panel."""
    [line] = ax.plot(posterior["value"], posterior["density"], **look)
    ax.fill_between(posterior["value"], posterior["density"], color=line.get_color(), alpha=0.15, linewidth=0)
    ax.plot(prior["value"], prior["density"], **prior_look)
    grid = posterior["value"]
    ax.set_xlim(float(grid.min()), float(grid.max()))
    peak = float(posterior["density"].max())
    ax.set_ylim(0, ROOM * max(peak, min(float(prior["density"].max()), HIGHEST * peak)))
    ax.set_yticks([])
    plain_frame(ax, left=False)


def _panels_for(names: Sequence[str], axes: Any, ncols: int) -> np.ndarray:
    """Return one Axes per parameter: the caller's, or those of a new figure."""
    if axes is not None:
        given = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
        if len(given) < len(names):
            raise DataError(
                f"{len(given)} Axes for {len(names)} parameters; give one each, or choose pars=[...]"
            )
        return given[: len(names)]
    return new_grid(len(names), ncols, (2.6, 1.7))
