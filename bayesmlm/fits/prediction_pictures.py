"""Pictures of what a fit expects: lines of groups and of the population, over a column of the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmlm.fits.base import Sampled
from bayesmlm.meanings import mean_of
from bayesmlm.shrinkage import check_levels, one_factor
from bayesmlm.views.predictions import NEW, NONE, conditional_effects, group_lines, group_points
from bayesmlm.views.typical import axis_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class PredictionPictures(Sampled):
    """A fit whose predictions can be looked at."""

    def plot_groups(
        self,
        x: str,
        group: str | None = None,
        highlight: Iterable[str] = (),
        prob: float = 0.9,
        at: Mapping[str, Any] | None = None,
        own_range: bool = False,
        points: bool = True,
        ax: Axes | None = None,
        **style: Any,
    ) -> Axes:
        """Draw the line of every level over a column of the data, and the population's with its band.

        The tables are those of `group_lines`, `group_points` and `conditional_effects` in `bayesmlm.views.predictions`.

        Parameters
        ----------
        x
            Column of the data that the model predicts from: numbers or categories.
        group
            Grouping factor; the one with most levels if None.
        highlight
            Levels to draw in colour.
        prob
            Probability of the population's band: of the expected response where group effects are 0.
        at
            Values of other columns; otherwise numbers are at their mean, categories at their first level.
        own_range
            Whether each level's line ends where its own data end.
        points
            Whether to draw the data.
        ax, style
            Passed to `bayesmlm.plots.plot_groups`.

        Raises
        ------
        DataError
            For an unknown column, grouping factor or level.
        """
        from bayesmlm.plots import plot_groups

        chosen = [highlight] if isinstance(highlight, str) else list(highlight)
        chosen = check_levels(self.design, group, chosen)
        lines = group_lines(self.design, self.posterior, x, group, at=at, own_range=own_range)
        data = group_points(self.design, x, group) if points else None
        population = conditional_effects(self.design, self.posterior, x, prob=prob, at=at)
        words = {"label": one_factor(self.design, group).blocks[0].group, **self._axis_words(x)}
        return plot_groups(lines, data, population, ax=ax, highlight=chosen, prob=prob, **{**words, **style})

    def conditional_effects(
        self,
        x: str,
        by: str | None = None,
        groups: str | Iterable[str] = NONE,
        group: str | None = None,
        prob: float = 0.9,
        at: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> pd.DataFrame:
        """The expected response over a grid of a column; see `plot_effects`, which draws it.

        Of binomials it is a probability, of other generalised models the mean given the linear predictor, of
        categorical responses the probability of each category, in the place of `by`. Columns level, by, x, estimate,
        conf_low, conf_high.
        """
        how: dict[str, Any] = {"prob": prob, "at": at, "seed": seed}
        return conditional_effects(self.design, self.posterior, x, by, groups, group, **how)

    def plot_effects(
        self,
        x: str,
        by: str | None = None,
        groups: str | Iterable[str] = NONE,
        group: str | None = None,
        prob: float = 0.9,
        at: Mapping[str, Any] | None = None,
        seed: int = 0,
        points: bool = False,
        ax: Axes | None = None,
        **style: Any,
    ) -> Axes:
        """Draw the expected response over a column, the other predictors at typical values, with posterior bands.

        Parameters
        ----------
        x
            Column of the data: lines for numbers, points for categories.
        by
            A second column, for several lines: its categories, its values if they are up to 5, else its mean and
            one standard deviation to either side.
        groups
            ``"none"``: a typical group, whose effects are 0. ``"new"``: the band is that of a group drawn anew.
            Or levels of `group`, for a line each.
        group
            Grouping factor of the levels; the one with most levels if None.
        prob
            Probability of the bands.
        at
            Values of other columns; otherwise numbers are at their mean over the rows of the fit, categories at their
            first (reference) level.
        seed
            Of the effects of a new group.
        points
            Whether to draw the data behind.
        ax, style
            Passed to `bayesmlm.plots.plot_effects`.

        Raises
        ------
        DataError
            For an unknown column, grouping factor or level.
        """
        from bayesmlm.plots import plot_effects

        table = self.conditional_effects(x, by, groups, group, prob, at, seed)
        levels = self.design.response_levels if self.design.family.support != "binomial" else ()
        words = {"by_label": self.design.response if levels else by or "", **self._axis_words(x)}
        if not isinstance(groups, str) or groups not in {NONE, NEW}:
            words["label"] = one_factor(self.design, group).blocks[0].group
        data = group_points(self.design, x, group) if points else None
        return plot_effects(table, ax=ax, prob=prob, points=data, **{**words, **style})

    def _axis_words(self, x: str) -> dict[str, Any]:
        axis = axis_of(self.design, x)
        ticks = None if axis.labels is None else (axis.positions.tolist(), list(axis.labels))
        gaussian = self.design.family.is_gaussian_identity
        ylabel = self.design.response if gaussian else mean_of(self.design)
        return {"xlabel": x, "ylabel": ylabel, "x_ticks": ticks}
