"""Shares of the variance of a fit: R2, intraclass correlations, and what a predictor explains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from bayesmlm.design_effects import design_effects
from bayesmlm.errors import BayesMLMError, DataError
from bayesmlm.fits.base import Sampled
from bayesmlm.response_partition import response_partition
from bayesmlm.shares import (
    bayes_r2_draws,
    level_icc_draws,
    median_ratios,
    overall_icc_draws,
    r2_draws,
    share_frame,
)
from bayesmlm.shrinkage import one_factor
from bayesmlm.variance_explained import check_same_response, posterior_components, variance_changes
from bayesmlm.vpc import point_columns, variance_partition

SCALES = ("link", "response")


class VarianceShares(Sampled):
    """A fit that divides the variance of its response."""

    def bayes_r2(
        self, re_formula: str | None = None, *, prob: float = 0.9, summary: bool = True
    ) -> pd.DataFrame | xr.DataArray:
        """Bayesian R2, rstanarm's ``bayes_R2``: variance of the fit over itself plus sigma^2, draw by draw.

        Of generalised models the variance of the expected response over itself plus the mean variance of the responses
        given it; of binomials that of the numbers of successes, as in rstanarm.

        Gelman, Goodrich, Gabry & Vehtari (2019, The American Statistician 73, 307-309, section 3). The fit includes
        the group effects of these very groups; `r2` is about the population of groups.

        Parameters
        ----------
        re_formula
            Group effects that count as fitted: all (None), none (``"~0"``), or those of ``"~ (1 | school)"``.
        prob
            Probability of the central interval.
        summary
            False gives the draws, (chain, draw, share).

        Returns
        -------
        DataFrame
            Row ``R2``: Median, MAD_SD, conf_low, conf_high.
        """
        return _told(bayes_r2_draws(self.design, self.posterior, re_formula), prob, summary)

    def r2(
        self, *, prob: float = 0.9, summary: bool = True, approximation: str | None = None
    ) -> pd.DataFrame | xr.DataArray:
        """Nakagawa's R2: ``marginal`` share of fixed effects, ``conditional`` share of fixed and group effects.

        Nakagawa & Schielzeth (2013), with varying slopes as in Johnson (2014), at each draw of the parameters; see
        `bayesmlm.variance` for the equations. A reference fit's `r2` is the same function of its estimates.

        Parameters
        ----------
        prob, summary
            As for `bayes_r2`.
        approximation
            How the distribution-specific variance of a generalised model is had on the scale of its link (Nakagawa,
            Johnson & Schielzeth 2017): "latent", "lognormal", "delta" or "trigamma"; if None "latent" for logit, probit
            and cloglog, "lognormal" for a log link, else "delta".

        Raises
        ------
        BayesMLMError
            If the family has no such variance, or no such approximation of it.
        """
        return _told(r2_draws(self.design, self.posterior, approximation), prob, summary)

    def icc(
        self,
        by_group: bool = True,
        *,
        kind: str = "share",
        at: Mapping[str, Any] | pd.DataFrame | None = None,
        prob: float = 0.9,
        summary: bool = True,
        approximation: str | None = None,
    ) -> pd.DataFrame | xr.DataArray:
        """Intraclass correlations: a row per block of group effects with Median, MAD_SD, conf_low, conf_high.

        Of generalised models they are on the scale of the link, with the distribution-specific variance in the place of
        sigma^2; `vpc` with ``scale="response"`` is about the response itself.

        Parameters
        ----------
        by_group
            False: all group effects together, ``adjusted`` and ``unadjusted`` as a reference fit's `icc`.
        kind
            ``"share"`` of the variance that lies at the level; ``"correlation"`` of two rows in one of its units, which
            counts the levels above as well: two pupils of one class also share the school.
        at
            Where slopes vary, the values of their predictors, such as ``{"Days": 5}``, for two rows with these values.
            None: where all of them are 0; blocks without an intercept are then left out. `vpc` takes several.
        prob, summary
            As for `bayes_r2`.
        approximation
            As for `r2`.

        Raises
        ------
        DataError
            If `at` lacks a predictor, has an unknown one, or is more than one point.
        """
        if not by_group:
            if kind != "share" or at is not None:
                raise DataError("kind and at are about each level: leave them out with by_group=False")
            return _told(overall_icc_draws(self.design, self.posterior, approximation), prob, summary)
        z = None if at is None else point_columns(self.design, at)
        return _told(level_icc_draws(self.design, self.posterior, kind, z, approximation), prob, summary)

    def vpc(
        self,
        at: Any = None,
        *,
        prob: float = 0.9,
        scale: str = "link",
        approximation: str | None = None,
    ) -> pd.DataFrame:
        """Variance partition coefficients as a function of the predictors of varying slopes.

        z(x)' Sigma z(x) of each block and sigma^2, and the share of each in their sum.

        Parameters
        ----------
        at
            A data frame with the predictors of the slopes (other columns are kept, and do nothing), or a dict such as
            ``{"Days": [0, 5, 9]}``, all combinations of which are taken. None: observed quantiles.
        prob
            Probability of the central intervals.
        scale
            "link": of the linear predictor and the distribution-specific variance. "response": of the response itself,
            in generalised models, where it depends on all predictors (Goldstein, Browne & Rasbash 2002); `at` may name
            any of them, and the variances are averaged over the rows of the fit; see `bayesmlm.response_partition`.
        approximation
            Of the distribution-specific variance, as for `r2`.

        Returns
        -------
        DataFrame
            One row per point and source of variance: the predictors, group (``Residual`` for sigma^2), variance and
            share with ``_low`` and ``_high``.

        Raises
        ------
        DataError
            If `at` lacks a predictor of a slope, or has a category without a coefficient.
        """
        if scale not in SCALES:
            raise BayesMLMError(f"scale = {scale!r}: choose {' or '.join(map(repr, SCALES))}")
        if scale == "link" or self.design.family.is_gaussian_identity:
            return variance_partition(self.design, self.posterior, at, prob, approximation)
        if approximation is not None:
            raise BayesMLMError("approximation= goes with scale='link': the response's own variance is exact")
        return response_partition(self.design, self.posterior, at, prob)

    def median_ratio(self, *, prob: float = 0.9) -> pd.DataFrame:
        """Median odds ratio, or median rate ratio, of two groups drawn at random (Larsen & Merlo 2005).

        exp(sqrt(2) Phi^-1(3/4) sd), the median over pairs of groups of the higher one's odds (logit) or expected
        response (log link) over the lower one's; 1 if groups do not differ. Where slopes vary, it is that of rows whose
        predictors of slopes are 0.

        Parameters
        ----------
        prob
            Probability of the central intervals.

        Returns
        -------
        DataFrame
            A row per block with an intercept: group, ratio ("odds" or "mean"), Median, MAD_SD, conf_low, conf_high.

        Raises
        ------
        BayesMLMError
            For links without ratios.

        References
        ----------
        Larsen & Merlo (2005), American Journal of Epidemiology 161, 81-88.
        """
        return median_ratios(self.design, self.posterior, prob)

    def proportional_change(self, null: Sampled, *, prob: float = 0.9) -> pd.DataFrame:
        """Proportional change in variance (PCV) from a smaller model to this one: 1 - v / v_null, level by level.

        Of generalised models the variances of group effects on the scale of the link. With a logit or probit these also
        grow as predictors of the rows come in, because the scale is fixed by the distribution (Hox 2010, chapter 6).

        The variances that both models have are compared: of the residuals, and of each column of each block. A
        variance of intercepts is the one where the predictors of varying slopes are 0. All pairs of draws of the two
        fits are used, for the draws are independent. The two posteriors know of the same rows, which do not cancel:
        the intervals are wider than those of a change would be.

        Parameters
        ----------
        null
            A fit of `bayesmlm.fit` to the same rows, usually without predictors.
        prob
            Probability of the central intervals.

        Returns
        -------
        DataFrame
            group, term, null, variance, change, conf_low, conf_high, p_reduced (probability that the variance fell).

        Raises
        ------
        DataError
            If `null` is not a Bayesian fit of the same response, with the same family, in the same rows.
        """
        if not isinstance(null, Sampled):
            raise DataError(
                f"the null model of a Bayesian fit is one too, not {type(null).__name__}: fit it with bm.fit, or "
                "compare two fits of bm.lmer"
            )
        check_same_response(self.design, null.design)
        gaussian = self.design.family.is_gaussian_identity
        own, before = (posterior_components(f.posterior, residual=gaussian) for f in (self, null))
        return variance_changes(own, before, prob)

    pcv = proportional_change

    def design_effect(self, group: str | None = None, *, prob: float = 0.9) -> pd.DataFrame:
        """Design effect of the clustering, 1 + (m - 1) ICC, and the number of independent rows that say as much.

        m = sum n_j^2 / sum n_j is the size of the unit of an average row (Kish 1965). The effect is that on the
        variance of a mean of all rows; predictors that vary within units suffer less.

        Parameters
        ----------
        group
            A grouping factor; None gives a row for each, and ``(all)`` for their clustering together.
        prob
            Probability of the central intervals.

        Returns
        -------
        DataFrame
            group, n_groups, mean_size, kish_size, icc, design_effect and effective_n, each with ``_low`` and ``_high``.
        """
        frame = design_effects(self.design, self.posterior, prob)
        if group is None:
            return frame
        one_factor(self.design, group)
        return frame[frame["group"] == group].reset_index(drop=True)


def _told(draws: xr.DataArray, prob: float, summary: bool) -> pd.DataFrame | xr.DataArray:
    return share_frame(draws, prob) if summary else draws
