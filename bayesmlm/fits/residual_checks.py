"""Reliability of group effects, pooling level by level, and checks of the errors of a fit."""

from __future__ import annotations

import pandas as pd

from bayesmlm.fits.base import Sampled
from bayesmlm.pooling_factors import pooling_factors
from bayesmlm.reliability import reliabilities
from bayesmlm.report.residual_checks import PrintedChecks, printed_checks
from bayesmlm.residual_checks import posterior_checks


class LevelChecks(Sampled):
    """A fit whose levels can be looked at one by one."""

    def pooling_factor(self) -> pd.DataFrame:
        """Pooling factor and R2 of each level (Gelman & Pardoe 2006); see `bayesmlm.pooling_factors`.

        Returns
        -------
        DataFrame
            group (``Residual`` for the rows), term, n_units, r2 (share of the level's spread that its predictors and
            the levels above explain), pooling (0 none, 1 complete).
        """
        return pooling_factors(self.design, self.posterior)

    def reliability(
        self, group: str | None = None, *, by_level: bool = True, prob: float = 0.9
    ) -> pd.DataFrame:
        """Reliability of each group's effects (Raudenbush & Bryk 2002); see `bayesmlm.reliability`.

        Parameters
        ----------
        group
            Grouping factor. None: the one with most levels, or every factor with ``by_level=False``.
        by_level
            A row per level and column; False gives the mean over levels of each column.
        prob
            Probability of the central intervals.

        Returns
        -------
        DataFrame
            group, level, term, n, reliability, conf_low, conf_high, ols_reliability; or the means, see
            `bayesmlm.reliability.Reliabilities`.
        """
        if by_level:
            return reliabilities(self.design, self.posterior, group, prob).levels
        groups = list(self.ngroups) if group is None else [group]
        parts = [reliabilities(self.design, self.posterior, g, prob).means for g in groups]
        return pd.concat(parts, ignore_index=True)

    def residual_checks(self, *, prob: float = 0.9) -> PrintedChecks:
        """Are the errors of every level normal, with the same spread everywhere, and which stand out?

        Tables ``.shape``, ``.quantiles``, ``.by_fitted``, ``.by_group``, ``.levene``, ``.outliers`` of the standardized
        errors, drawn from the posterior; prints what they say in words. See `bayesmlm.residual_checks`. In generalised
        models the errors of the rows are randomised quantile residuals, and ``.counts`` has checks of the dispersion
        and of the number of zeros.

        Parameters
        ----------
        prob
            Probability of the intervals of skewness and kurtosis.
        """
        return printed_checks(posterior_checks(self.design, self.posterior, prob, self.settings.seed))
