"""`lmer` and its result: what lme4 would say, as an object with methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Design, build_design
from bayesmlm.errors import BayesMLMError, ConvergenceWarning, warn
from bayesmlm.formulas import Formula
from bayesmlm.intervals import (
    as_statistic,
    bootstrap_frame,
    bootstrap_intervals,
    check_method,
    profile_frame,
    profile_intervals,
    wald_intervals,
)
from bayesmlm.observations import augment_reference, glance_reference, predict_reference, simulate_reference
from bayesmlm.reference.ddf import coefficient_tests
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.reference_pictures import ReferencePictures
from bayesmlm.report import (
    Report,
    reference_report,
    reference_summary_report,
)
from bayesmlm.tables import (
    coefficient_frame,
    tidy_reference,
)
from bayesmlm.updating import KEEP, kept_data, updated_formula, with_new_response


class ReferenceFit(ReferencePictures):
    """A linear mixed model fitted by ML or REML, as lme4's ``lmer`` fits it."""

    def predict(
        self,
        newdata: Any = None,
        re_formula: str | None = None,
        *,
        allow_new_levels: bool = False,
        offset: Any = None,
    ) -> np.ndarray:
        """Predict the response's mean, X beta + offset + Z b, for new rows or those of the fit: shape (n,).

        Parameters
        ----------
        newdata
            A data frame with the columns right of the tilde; the rows of the fit if None. Rows with a missing value
            have a missing prediction.
        re_formula
            Group effects to include: all (None), none (``"~0"``), or those of ``"~ (1 | school)"``.
        allow_new_levels
            Whether groups may occur that the fit has not seen, or be missing: their effect is 0.
        offset
            Column or numbers for new rows in the place of the `offset` given to `lmer`.

        Raises
        ------
        FormulaError, DataError
            For effects that are not in the model, missing columns, unknown categories or groups.
        """
        return predict_reference(
            self.design,
            self.estimate,
            newdata,
            re_formula,
            allow_new_levels=allow_new_levels,
            offset=offset,
        )

    def simulate(
        self,
        nsim: int = 1,
        seed: int | np.random.Generator | None = None,
        *,
        re_formula: str | None = "~0",
        newdata: Any = None,
        allow_new_levels: bool = True,
        offset: Any = None,
        weights: Any = None,
    ) -> pd.DataFrame:
        """Draw responses from the fitted model: one column per simulation, sim_1, sim_2, ...

        Groups get new effects in each simulation, as in lme4; ``re_formula=None`` keeps the estimated ones, and
        ``"~ (1 | school)"`` those of the blocks named. The residual variance is sigma^2 / weight.

        Parameters
        ----------
        nsim
            Number of simulations.
        seed
            The same seed gives the same numbers.
        re_formula, newdata, allow_new_levels, offset
            As for `predict`; a new level has a new effect, or 0 in a block whose estimated effects are kept.
        weights
            Column or numbers for new rows in the place of the `weights` given to `lmer`.
        """
        return simulate_reference(
            self.design,
            self.estimate,
            nsim,
            seed,
            re_formula=re_formula,
            newdata=newdata,
            allow_new_levels=allow_new_levels,
            offset=offset,
            weights=weights,
        )

    def augment(self, newdata: Any = None) -> pd.DataFrame:
        """The data with ``fitted``, ``resid``, ``fixed`` (the fixed part), as broom.mixed's ``augment``."""
        return augment_reference(self.design, self.estimate, newdata)

    def glance(self) -> pd.DataFrame:
        """One row about the whole fit, with broom.mixed's columns in snake case."""
        return glance_reference(self.estimate)

    def tidy(
        self,
        effects: str | Iterable[str] | None = None,
        conf_level: float = 0.95,
        ddf: str | None = None,
    ) -> pd.DataFrame:
        """One row per parameter with broom.mixed's columns, in snake case.

        `ddf`, as for `summary`, adds df and p_value to the fixed effects, whose intervals are then t intervals.
        """
        tests = coefficient_tests(self.design, self.estimate, ddf)
        return tidy_reference(self.estimate, effects, conf_level, tests)

    def coefficients(self, ddf: str | None = "satterthwaite") -> pd.DataFrame:
        """The table of fixed effects by R's name: estimate, std_error, df, statistic, p_value.

        `ddf` is as for `summary`; None leaves df and p_value NaN.
        """
        return coefficient_frame(self.estimate, coefficient_tests(self.design, self.estimate, ddf))

    def confint(
        self,
        parm: str | Iterable[str] | None = None,
        level: float = 0.95,
        method: str = "profile",
        *,
        n_boot: int = 500,
        seed: int | None = None,
        cores: int | None = None,
        progress: bool = True,
    ) -> pd.DataFrame:
        """Confidence intervals, as lme4's ``confint(m, oldNames = FALSE)``.

        Parameters
        ----------
        parm
            Names such as ``"sd_(Intercept)|school"``; ``"theta_"`` for all variance parameters, ``"beta_"`` for all
            fixed effects. All by default.
        level
            Coverage.
        method
            ``"profile"``: where the signed root of the deviance's rise reaches the normal quantile. The deviance is
            that of ML, also for a REML fit, as in lme4; each limit is solved for exactly. ``"wald"``: estimate
            -/+ quantile x standard error, for fixed effects only. ``"boot"``: percentiles of a parametric bootstrap
            that fits by the same criterion as this fit.
        n_boot, seed, cores, progress
            For ``"boot"``: see `bootstrap`.

        Returns
        -------
        DataFrame
            One row per parameter; columns are named after the percentages, ``"2.5 %"`` and ``"97.5 %"``.

        Raises
        ------
        BayesMLMError
            For an unknown parameter, method or level, or if there is no ML fit to profile.

        Warns
        -----
        ConvergenceWarning
            For a parameter without a profile (its row is NaN), or bootstrap replicates without a fit.
        """
        chosen = check_method(method)
        if chosen == "wald":
            return wald_intervals(self.design, self.estimate, parm, level)
        if chosen == "profile":
            return profile_intervals(self.design, parm, level)
        how = {"n_boot": n_boot, "seed": seed, "cores": cores, "progress": progress}
        return bootstrap_intervals(self.design, self.estimate, parm, level, **how)

    def profile(
        self, parm: str | Iterable[str] | None = None, level: float = 0.99, n_points: int = 8
    ) -> pd.DataFrame:
        """Likelihood profiles: zeta, the signed root of the rise of the ML deviance, at points of each parameter.

        Against the parameter, zeta is a straight line where a Wald interval would do.

        Parameters
        ----------
        parm
            As for `confint`.
        level
            The profile runs from the lower to the upper profile limit of this level.
        n_points
            Points on each side of the ML estimate.

        Returns
        -------
        DataFrame
            Columns parameter, value, zeta; then every parameter of the model where the deviance is least given
            that value.
        """
        return profile_frame(self.design, parm, level, n_points)

    def bootstrap(
        self,
        statistic: Callable[[ReferenceFit], Any] | None = None,
        n_boot: int = 500,
        *,
        seed: int | None = None,
        cores: int | None = None,
        progress: bool = True,
    ) -> pd.DataFrame:
        """Parametric bootstrap, as lme4's ``bootMer``: simulate from the fit, new group effects included, fit again.

        Parameters
        ----------
        statistic
            From a `ReferenceFit` to a number, a list of numbers, a Series or a dict. The parameters that
            `confint` names by default, which is much faster. It runs on several threads.
        n_boot
            Number of replicates.
        seed
            A non-negative integer makes the result reproducible, whatever `cores` is.
        cores
            Threads; by default all processors where they help, which takes replicates of 20 ms or more.
        progress
            Show a progress bar in a terminal or a notebook.

        Returns
        -------
        DataFrame
            Replicates x statistics. A replicate that could not be fitted is a row of NaN, counted in a
            ConvergenceWarning.
        """
        how = {"n_boot": n_boot, "seed": seed, "cores": cores, "progress": progress}
        if statistic is None:
            return bootstrap_frame(self.design, self.estimate, None, **how)

        def of_response(y: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
            design = with_new_response(self.design, y)
            return as_statistic(statistic(ReferenceFit(design, fit_lmer(design, reml=self.estimate.reml))))

        return bootstrap_frame(self.design, self.estimate, of_response, **how)

    def refit(self, reml: bool) -> ReferenceFit:
        """Fit the same model to the same rows by REML or ML."""
        return reference_fit(self.design, checked_reml(reml))

    def update(
        self,
        formula: str | Formula | None = None,
        data: Any = None,
        reml: bool | None = None,
        *,
        weights: Any = KEEP,
        offset: Any = KEEP,
    ) -> ReferenceFit:
        """Fit again with another formula, other data or another criterion; all else stays, as in R's ``update``.

        Parameters
        ----------
        formula
            Dots stand for the old left and right side: ``". ~ . + x"``, ``". ~ . - (x | g) + (1 | g)"``.
        data
            Other data. If None the data of this fit, all rows and columns of them: rows that a missing value kept
            out come back with a formula that does not need it.
        reml
            REML or ML; as before if None.
        weights, offset
            As for `lmer`; as before unless given.

        Raises
        ------
        FormulaError, DataError
            As `lmer`; DataError also if the data are needed and were not kept, because the fit was pickled.
        """
        new = updated_formula(self.design, formula)
        frame = kept_data(self.design) if data is None else data
        given = self.design.given
        return lmer(
            new,
            frame,
            self.estimate.reml if reml is None else reml,
            weights=given.get("weights") if weights is KEEP else weights,
            offset=given.get("offset") if offset is KEEP else offset,
        )

    def summary(self, ddf: str | None = None) -> Report:
        """lme4's ``summary`` page, or lmerTest's with degrees of freedom and p values of the fixed effects.

        Parameters
        ----------
        ddf
            ``"satterthwaite"``; ``"kenward-roger"``, for REML fits, which also adjusts the standard errors for few
            groups; None for lme4's page.

        Raises
        ------
        BayesMLMError
            For another `ddf`, or Kenward and Roger's method with an ML fit.
        DataError
            Where there are too many groups for Kenward and Roger's method.
        """
        tests = coefficient_tests(self.design, self.estimate, ddf)
        return reference_summary_report(self.design, self.estimate, tests=tests)

    def __repr__(self) -> str:
        return str(reference_report(self.design, self.estimate))

    def _repr_html_(self) -> str:
        return reference_report(self.design, self.estimate)._repr_html_()


def reference_fit(design: Design, reml: bool) -> ReferenceFit:
    """Fit a design by REML or ML, and warn if the optimisation did not converge."""
    estimate = fit_lmer(design, reml=reml)
    if not estimate.converged:
        warn(estimate.status, ConvergenceWarning)
    return ReferenceFit(design, estimate)


def lmer(
    formula: str | Formula, data: Any, reml: bool = True, *, weights: Any = None, offset: Any = None
) -> ReferenceFit:
    """Fit a linear mixed model by REML or ML, as lme4's ``lmer``.

    The profiled deviance or REML criterion of Bates, Maechler, Bolker & Walker (2015, Journal of
    Statistical Software 67(1), equations 34 and 41) is minimised over the relative covariance factor theta.

    Parameters
    ----------
    formula
        lme4's formula, such as ``"course ~ female + (1 + female | school)"``.
    data
        A data frame of pandas, polars or another library that narwhals knows.
    reml
        REML (the default, as in lme4) or maximum likelihood.
    weights
        Prior weights as in lme4: the residual variance of a row is sigma^2 / weight. A column's name or
        an array.
    offset
        Known part of the linear predictor. A column's name or an array.

    Returns
    -------
    ReferenceFit

    Raises
    ------
    FormulaError, DataError
        If the formula cannot be read, or does not fit the data.
    """
    return reference_fit(build_design(formula, data, weights=weights, offset=offset), checked_reml(reml))


def checked_reml(reml: Any) -> bool:
    """Return `reml` if it is a truth value."""
    if not isinstance(reml, bool | np.bool_):
        raise BayesMLMError(f"reml = {reml!r}: give True for REML or False for maximum likelihood")
    return bool(reml)
