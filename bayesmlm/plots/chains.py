"""How the chains moved: traces, ranks and energies, drawn by ArviZ."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.plots.colours import palette_of_new_figures
from bayesmlm.plots.style import figure_legend, fit_titles, legend_entry, plain_frame, root_figure

KINDS = ("trace", "rank", "density")
MOST_PANELS = 40


def plot_trace(tree: xr.DataTree, *, kind: str = "trace", **style: Any) -> np.ndarray:
    """Draw the chains of each variable: their course, their ranks, or their densities.

    Chains that mix cannot be told apart: traces cover the same range, densities lie on one another, and the curves of
    ranks (the distribution function of each chain's ranks among all draws, less that of the uniform distribution) stay
    near 0. ArviZ writes the p value of a test of uniformity at each (Saeilynoja, Buerkner & Vehtari 2022, Statistics
    and Computing 32, 32).

    Parameters
    ----------
    tree
        A DataTree with the group ``posterior``, one variable per parameter; divergences in ``sample_stats`` are
        marked.
    kind
        ``"trace"``, ``"rank"`` or ``"density"``.
    **style
        Passed to `arviz_plots.plot_trace`, `arviz_plots.plot_rank` or `arviz_plots.plot_dist`.

    Returns
    -------
    ndarray of Axes, shape (number of variables,)

    Raises
    ------
    DataError
        For an unknown kind, or more variables than can be seen in one figure.
    """
    if kind not in KINDS:
        raise DataError(
            f"kind = {kind!r}: choose {', '.join(map(repr, KINDS))}.{did_you_mean(str(kind), KINDS)}"
        )
    names = [str(n) for n in tree["posterior"].data_vars]
    if len(names) > MOST_PANELS:
        raise DataError(
            f"{len(names)} parameters: {MOST_PANELS} panels at most can be read; choose some with pars="
        )
    import arviz_plots

    draw: Any = {
        "trace": arviz_plots.plot_trace,
        "rank": arviz_plots.plot_rank,
        "density": arviz_plots.plot_dist,
    }[kind]
    options: dict[str, Any] = {"backend": "matplotlib", "color": list(palette_of_new_figures().qualitative)}
    if kind == "density":
        options |= {"sample_dims": ["draw"], "aes": {"color": ["chain"]}, "cols": ["__variable__"]}
        options["visuals"] = {
            "point_estimate": False,
            "point_estimate_text": False,
            "credible_interval": False,
        }
    if kind == "trace":
        options["visuals"] = {"trace": {"width": 0.5, "alpha": 0.8}}
    ncols = min(4, len(names))
    options["col_wrap"] = ncols
    options["figure_kwargs"] = {"figsize": (max(2.9 * ncols, 4.0), 2.0 * -(-len(names) // ncols) + 0.4)}
    collection = draw(tree, **{**options, **style})
    axes = np.array([collection.get_target(name, {}) for name in names], dtype=object)
    for ax in axes:
        ax.set_title(ax.get_title(), fontsize="small", parse_math=False)
    _label_feet(axes, ncols)
    root_figure(axes[0]).set_layout_engine("constrained")
    fit_titles(axes)
    _chain_legend(axes[0], collection.aes)
    return axes


def _label_feet(axes: np.ndarray, ncols: int) -> None:
    """Leave the label of the x axis, and the ticks of a shared one, at the foot of each column."""
    for i, ax in enumerate(axes):
        at_foot = i + ncols >= len(axes)
        if at_foot:
            ax.tick_params(labelbottom=True)
        else:
            ax.set_xlabel("")


def _chain_legend(ax: Axes, aes: xr.DataTree) -> None:
    """Say which colour is which chain, where each has one of its own."""
    if "/color" not in aes.groups or "chain" not in aes["color"].dims:
        return
    colours = {
        str(c.item()): str(v.item())
        for c, v in zip(aes["color"]["chain"], aes["color"]["mapping"], strict=True)
    }
    if 1 < len(colours) == len(set(colours.values())):
        look = {"linestyle": "solid", "linewidth": 1.5}
        handles = [legend_entry(f"chain {name}", color=colour, **look) for name, colour in colours.items()]
        figure_legend(root_figure(ax), handles)


def plot_energy(tree: xr.DataTree, **style: Any) -> Axes | np.ndarray:
    """Draw, with ArviZ, the distribution of the energy beside that of its changes, and E-BFMI of each chain.

    Parameters
    ----------
    tree
        A DataTree with ``energy`` in ``sample_stats``.
    **style
        Passed to `arviz_plots.plot_energy`.

    Returns
    -------
    Axes, or an array of Axes
    """
    import arviz_plots

    colours = palette_of_new_figures().qualitative[:2]
    options: dict[str, Any] = {"backend": "matplotlib", "figure_kwargs": {"figsize": (8.0, 3.4)}}
    options |= {"color": list(colours), "visuals": {"legend": False}}
    collection = arviz_plots.plot_energy(tree, **{**options, **style})
    figure = collection.viz["figure"].item()
    figure.set_layout_engine("constrained")
    axes = np.array(figure.axes, dtype=object)
    for ax in axes:
        if ax.get_ylabel() == "Chain":
            ax.set(
                title="",
                xlabel="E-BFMI",
                ylabel="chain",
                ylim=(-0.5, tree["sample_stats"].sizes["chain"] - 0.5),
            )
            ax.yaxis.set_major_locator(MaxNLocator(integer=True))
            plain_frame(ax)
        else:
            ax.set_xlabel("energy")
    if not {"color", "visuals"} & set(style):  # otherwise the caller's, which ArviZ explains
        look = {"linestyle": "solid", "linewidth": 2}
        words = zip(("less its mean", "change from draw to draw"), colours, strict=True)
        figure_legend(figure, [legend_entry(said, color=colour, **look) for said, colour in words])
    return axes[0] if len(axes) == 1 else axes
