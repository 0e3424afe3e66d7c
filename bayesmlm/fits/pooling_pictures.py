"""Pictures of what partial pooling does. Each draws a table that can be had without drawing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bayesmlm.fits.base import Sampled
from bayesmlm.fits.comparing import method_words, reference_or_none
from bayesmlm.frequentist import ReferenceFit
from bayesmlm.generalised import GlmerFit
from bayesmlm.shrinkage import (
    caterpillar_table,
    check_least_squares,
    check_levels,
    one_factor,
    pooling_lines,
    pooling_points,
    shrinkage_table,
    slope_column,
    spread_levels,
    two_level_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class PoolingPictures(Sampled):
    """A fit whose partial pooling can be looked at."""

    def plot_shrinkage(
        self, group: str | None = None, column: str | None = None, ax: Axes | None = None, **style: Any
    ):
        """Draw each level's coefficients moving from no pooling to partial pooling.

        Parameters
        ----------
        group
            Grouping factor; the one with most levels if None.
        column
            One of its effects; intercept and slope together if None.
        ax, style
            Passed to `bayesmlm.plots.plot_shrinkage`.
        """
        from bayesmlm.plots import plot_shrinkage

        table = shrinkage_table(self.design, self.posterior, group)
        return plot_shrinkage(table, column=column, ax=ax, **style)

    def plot_pooling_panels(
        self, levels: Iterable[str] | None = None, group: str | None = None, **style: Any
    ):
        """Draw data and lines of complete, no and partial pooling for some levels, one panel each.

        Parameters
        ----------
        levels
            Which levels; eight of spread sizes if None.
        group
            Grouping factor; the one with most levels if None.
        style
            Passed to `bayesmlm.plots.plot_pooling_panels`.
        """
        from bayesmlm.plots import plot_pooling_panels

        check_least_squares(self.design)
        chosen = (
            spread_levels(self.design, group) if levels is None else check_levels(self.design, group, levels)
        )
        (block,) = one_factor(self.design, group).blocks
        factor = two_level_ticks(self.design, group)
        words = {
            "x_label": slope_column(self.design, block) if factor is None else factor[0],
            "y_label": self.design.response,
            "label": block.group,
            "x_ticks": None if factor is None else factor[1],
        }
        lines, points = pooling_lines(self.design, self.posterior, group), pooling_points(self.design, group)
        return plot_pooling_panels(lines, points, levels=chosen, **{**words, **style})

    def plot_caterpillar(
        self,
        group: str | None = None,
        column: str | None = None,
        prob: float = 0.9,
        ref: ReferenceFit | GlmerFit | None = None,
        ax: Axes | None = None,
        **style: Any,
    ):
        """Draw posterior group effects with intervals beside the BLUPs of the reference fit (REML if None)."""
        from bayesmlm.plots import plot_caterpillar

        chosen = reference_or_none(self, ref)
        blups = {} if chosen is None else chosen.ranef()
        table = caterpillar_table(self.design, self.posterior, blups, group, prob)
        generalised = isinstance(chosen, GlmerFit)
        words = {"reference_label": f"mode ({method_words(chosen)})"} if generalised else {}
        return plot_caterpillar(table, column=column, ax=ax, conf_level=prob, **{**words, **style})
