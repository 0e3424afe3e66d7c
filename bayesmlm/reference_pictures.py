"""Pictures of a reference fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmlm.intervals import profile_frame
from bayesmlm.quantities import Quantities
from bayesmlm.shrinkage import one_factor
from bayesmlm.views.checks import check_tables
from bayesmlm.views.modes import mode_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ReferencePictures(Quantities):
    """A reference fit that can be looked at."""

    def caterpillar_table(self, group: str | None = None, prob: float = 0.9) -> pd.DataFrame:
        """Conditional modes of a grouping factor with mode -/+ quantile x conditional standard deviation.

        Columns group, level, term, estimate, conf_low, conf_high.
        """
        return mode_table(self.design, self.estimate, group, prob)

    def plot_caterpillar(
        self,
        group: str | None = None,
        column: str | None = None,
        prob: float = 0.9,
        ax: Axes | np.ndarray | None = None,
        **style: Any,
    ) -> Axes | np.ndarray:
        """Draw the conditional modes (BLUPs) with intervals given the estimated variances, as lme4's ``dotplot``.

        Parameters
        ----------
        group
            Grouping factor; the one with most levels if None.
        column
            One of its effects; all if None.
        prob
            Of the intervals.
        ax, style
            Passed to `bayesmlm.plots.plot_caterpillar`.
        """
        from bayesmlm.plots import plot_caterpillar

        table = self.caterpillar_table(group, prob)
        return plot_caterpillar(table, column=column, ax=ax, conf_level=prob, **{"point": "BLUP", **style})

    def plot_profile(
        self,
        parm: str | Iterable[str] | None = None,
        level: float = 0.99,
        n_points: int = 8,
        ax: Axes | np.ndarray | None = None,
        **style: Any,
    ) -> np.ndarray:
        """Draw the likelihood profiles: zeta against each parameter. A straight line is what a Wald interval assumes.

        Parameters
        ----------
        parm, level, n_points
            As for `profile`, whose table is drawn.
        ax, style
            Passed to `bayesmlm.plots.plot_profile`.
        """
        from bayesmlm.plots import plot_profile

        return plot_profile(profile_frame(self.design, parm, level, n_points), ax=ax, **style)

    def plot_check(
        self,
        group: str | None = None,
        label: Any = None,
        n_outliers: int = 3,
        ax: np.ndarray | None = None,
        **style: Any,
    ) -> np.ndarray:
        """Draw residuals against fitted values and normal quantiles, their spread, and quantiles of the BLUPs.

        Parameters
        ----------
        group
            Grouping factor whose levels' residual spread is compared; the one with most levels if None.
        label
            What a row is called: a column of the data, or one value per row; its place in the data if None.
        n_outliers
            So many rows, of the largest residuals, are named.
        ax, style
            Passed to `bayesmlm.plots.plot_check`.
        """
        from bayesmlm.plots import plot_check

        effects = [r.mode for r in self.estimate.ranef]
        tables = check_tables(
            self.design, self.estimate.fitted, self.sigma, effects, group, label, n_outliers
        )
        words = {"label": one_factor(self.design, group).blocks[0].group, "response": self.design.response}
        return plot_check(*tables, ax=ax, **{**words, **style})
