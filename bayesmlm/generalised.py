"""`glmer` and its result: what lme4 would say of a generalised linear mixed model, as an object with methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd

from bayesmlm.design import Design, build_design
from bayesmlm.diagnosed import Diagnosis, diagnose_reference
from bayesmlm.errors import BayesMLMError, ConvergenceWarning, warn
from bayesmlm.estimates import Estimates
from bayesmlm.families import Family, read_family
from bayesmlm.formulas import Formula
from bayesmlm.glmm_intervals import (
    bootstrap_glmer,
    bootstrap_intervals_glmer,
    profile_glmer,
    profile_limits_glmer,
    wald_glmer,
)
from bayesmlm.glmm_rows import (
    RESIDUALS,
    augment_glmer,
    choose,
    glance_glmer,
    predict_glmer,
    simulate_glmer,
)
from bayesmlm.glmm_tables import coefficient_table, tidy_glmer
from bayesmlm.intervals import as_statistic, check_method
from bayesmlm.link_scale import estimate_icc, estimate_parts
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.reference.glmm.fit import fit_glmer
from bayesmlm.report import Report, glmer_report, glmer_summary_report
from bayesmlm.updating import KEEP, kept_data, updated_formula, with_new_response
from bayesmlm.views.modes import mode_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False, eq=False)
class GlmerFit(Estimates):
    """A generalised linear mixed model fitted by maximum likelihood, as lme4's ``glmer`` fits it.

    Attributes
    ----------
    design : Design
        What was fitted to what.
    estimate : GlmerEstimate
        All numbers.
    """

    estimate: GlmerEstimate

    @property
    def family(self) -> Family:
        """Family and link."""
        return self.design.family

    @property
    def n_agq(self) -> int:
        """Nodes of the quadrature: 1 is Laplace's approximation."""
        return self.estimate.n_agq

    @property
    def sigma(self) -> float:
        """Root of the dispersion as lme4's ``sigma``; 1 for families without one."""
        return self.estimate.sigma

    @property
    def auxiliary(self) -> dict[str, float]:
        """``reciprocal_dispersion`` of the negative binomial family (variance mu + mu^2 / it); else empty."""
        return dict(self.estimate.auxiliary)

    @property
    def conditional_deviance(self) -> float:
        """Sum of squared deviance residuals given the group effects: R's ``deviance`` of a glmer fit."""
        return self.estimate.conditional_deviance

    def fitted(self) -> np.ndarray:
        """Means given the group effects, shape (nobs,); of binomial responses probabilities of success."""
        return self.estimate.fitted

    def residuals(self, type: str = "deviance", scaled: bool = False) -> np.ndarray:
        """Residuals given the group effects, shape (nobs,).

        Parameters
        ----------
        type
            ``"deviance"``, signed roots of the rows' deviances; ``"pearson"``, (y - mu) sqrt(weight / V(mu));
            ``"working"``, (y - mu) d eta / d mu; ``"response"``, y - mu. y is the share of successes of a binomial.
        scaled
            Divide by sigma; those on the summary page are Pearson's, scaled.
        """
        found = self.estimate.residuals(choose(type, RESIDUALS, "type"))
        return found / self.sigma if scaled else found

    def doctor(self, ladder: bool | None = None) -> Diagnosis:
        """Say which effects do not vary by this fit, and what could be left out; see `bayesmlm.Fit.doctor`.

        `ladder` says whether to compare with simpler models, by likelihood; if None, where the fit is singular.
        """
        return diagnose_reference(self.design, self.estimate, ladder)

    def residual_checks(self) -> NoReturn:
        """Not defined: a generalised model has no normal residuals. `bayesmlm.Fit.residual_checks` has other ones.

        Raises
        ------
        BayesMLMError
            Always, with what to do instead.
        """
        raise BayesMLMError(
            "residuals of a generalised model are not normal, so these checks are none: bm.fit(...).residual_checks() "
            "has randomised quantile residuals and the dispersion, residuals(type=) of this fit has four kinds"
        )

    plot_check = residual_checks

    def proportional_change(self, null: Any = None) -> NoReturn:
        """Not defined: adding predictors rescales all variances of a generalised model.

        Raises
        ------
        BayesMLMError
            Always, with what to do instead.
        """
        raise BayesMLMError(
            "the residual variance on the scale of a link cannot shrink, so that predictors rescale all other "
            "variances and their change is not what is explained (Snijders & Bosker 2012, chapter 17): see r2()"
        )

    pcv = proportional_change

    def icc(self, by_group: bool = True, *, approximation: str | None = None) -> pd.Series:
        """Intraclass correlation on the scale of the link: the share of the variance that lies between groups.

        With `by_group` one number for each block with an intercept; otherwise ``adjusted`` and ``unadjusted``, all
        group effects together (Nakagawa, Johnson & Schielzeth 2017), an effect for every row counted as residual.

        Parameters
        ----------
        by_group
            Whether each block has its own.
        approximation
            Of the distribution-specific variance; see `Fit.r2`.
        """
        if by_group:
            return estimate_icc(self.design, self.estimate, approximation)
        parts = estimate_parts(self.design, self.estimate, approximation)
        values = {"adjusted": parts.adjusted_icc, "unadjusted": parts.unadjusted_icc}
        return pd.Series({name: float(x) for name, x in values.items()}, name="icc")

    def r2(self, *, approximation: str | None = None) -> pd.Series:
        """Nakagawa's R2 on the scale of the link: ``marginal`` of fixed, ``conditional`` of fixed and group effects.

        Parameters
        ----------
        approximation
            Of the distribution-specific variance; see `Fit.r2`.
        """
        parts = estimate_parts(self.design, self.estimate, approximation)
        values = {"marginal": parts.marginal_r2, "conditional": parts.conditional_r2}
        return pd.Series({name: float(x) for name, x in values.items()}, name="r2")

    def predict(
        self,
        newdata: Any = None,
        re_formula: str | None = None,
        type: str = "link",
        *,
        allow_new_levels: bool = False,
        offset: Any = None,
        exposure: Any = None,
    ) -> np.ndarray:
        """Predict the linear predictor X beta + offset + Z b, or the mean, for new rows or those of the fit: (n,).

        Parameters
        ----------
        newdata
            A data frame with the columns right of the tilde; the rows of the fit if None. Rows with a missing value
            have a missing prediction.
        re_formula
            Group effects to include: all (None), none (``"~0"``), or those of ``"~ (1 | herd)"``.
        type
            ``"link"``, as lme4, or ``"response"``: the mean given these group effects, a probability for binomials.
        allow_new_levels
            Whether groups may occur that the fit has not seen, or be missing: their effect is 0.
        offset, exposure
            Column or numbers for new rows in the place of those given to `glmer`.

        Raises
        ------
        FormulaError, DataError
            For effects that are not in the model, missing columns, unknown categories or groups.
        """
        return predict_glmer(
            self.design,
            self.estimate,
            newdata,
            re_formula,
            type,
            allow_new_levels=allow_new_levels,
            offset=offset,
            exposure=exposure,
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
        exposure: Any = None,
        weights: Any = None,
    ) -> pd.DataFrame:
        """Draw responses from the fitted model: one column per simulation, sim_1, sim_2, ...

        Groups get new effects in each simulation, as in lme4; ``re_formula=None`` keeps the estimated ones, and
        ``"~ (1 | herd)"`` those of the blocks named. Binomial responses are numbers of successes.

        Parameters
        ----------
        nsim
            Number of simulations.
        seed
            The same seed gives the same numbers.
        re_formula, newdata, allow_new_levels, offset, exposure
            As for `predict`; a new level has a new effect, or 0 in a block whose estimated effects are kept.
        weights
            Column or numbers for new rows in the place of the `weights` given to `glmer`: the numbers of trials of
            binomial responses, which are 1 without them.
        """
        return simulate_glmer(
            self.design,
            self.estimate,
            nsim,
            seed,
            re_formula=re_formula,
            newdata=newdata,
            allow_new_levels=allow_new_levels,
            offset=offset,
            exposure=exposure,
            weights=weights,
        )

    def augment(self, newdata: Any = None) -> pd.DataFrame:
        """The data with ``fitted`` (linear predictor), ``resid``, ``fixed`` (its fixed part), ``mu`` (mean)."""
        return augment_glmer(self.design, self.estimate, newdata)

    def glance(self) -> pd.DataFrame:
        """One row about the whole fit, with broom.mixed's columns in snake case."""
        return glance_glmer(self.estimate)

    def tidy(
        self,
        effects: str | Iterable[str] | None = None,
        conf_level: float = 0.95,
        exponentiate: bool = False,
    ) -> pd.DataFrame:
        """One row per parameter with broom.mixed's columns, in snake case; fixed effects have z tests.

        `exponentiate` gives odds ratios (logit) or ratios of means (log) and their intervals in the place of fixed
        effects; their standard errors are those of the ratios by the delta method.
        """
        return tidy_glmer(self.estimate, effects, conf_level, exponentiate)

    def coefficients(self) -> pd.DataFrame:
        """The table of fixed effects by R's name: estimate, std_error, statistic (z), p_value."""
        return coefficient_table(self.estimate)

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
            Names such as ``"sd_(Intercept)|herd"``; ``"theta_"`` for all variance parameters, ``"beta_"`` for all
            fixed effects. All by default.
        level
            Coverage.
        method
            ``"profile"``: where the signed root of the deviance's rise reaches the normal quantile; each limit is
            solved for exactly. ``"wald"``: estimate -/+ quantile x standard error, for fixed effects only. ``"boot"``:
            percentiles of a parametric bootstrap.
        n_boot, seed, cores, progress
            For ``"boot"``: see `bootstrap`.

        Returns
        -------
        DataFrame
            One row per parameter; columns are named after the percentages, ``"2.5 %"`` and ``"97.5 %"``.

        Raises
        ------
        BayesMLMError
            For an unknown parameter, method or level; for profiles of families with a dispersion parameter, or with
            ``n_agq=0``.

        Warns
        -----
        ConvergenceWarning
            For a parameter without a profile (its row is NaN), or bootstrap replicates without a fit.
        """
        chosen = check_method(method)
        if chosen == "wald":
            return wald_glmer(self.design, self.estimate, parm, level)
        if chosen == "profile":
            return profile_limits_glmer(self.design, self.estimate, parm, level)
        how = {"n_boot": n_boot, "seed": seed, "cores": cores, "progress": progress}
        return bootstrap_intervals_glmer(self.design, self.estimate, parm, level, **how)

    def profile(
        self, parm: str | Iterable[str] | None = None, level: float = 0.99, n_points: int = 8
    ) -> pd.DataFrame:
        """Likelihood profiles: zeta, the signed root of the deviance's rise, at points of each parameter.

        Parameters and the frame returned are those of `ReferenceFit.profile`.
        """
        return profile_glmer(self.design, self.estimate, parm, level, n_points)

    def bootstrap(
        self,
        statistic: Callable[[GlmerFit], Any] | None = None,
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
            From a `GlmerFit` to a number, a list of numbers, a Series or a dict. The parameters that `confint`
            names by default, which is faster. It runs on several threads.
        n_boot, seed, cores, progress
            As for `ReferenceFit.bootstrap`.

        Returns
        -------
        DataFrame
            Replicates x statistics. A replicate that could not be fitted is a row of NaN, counted in a
            ConvergenceWarning.
        """
        how = {"n_boot": n_boot, "seed": seed, "cores": cores, "progress": progress}
        if statistic is None:
            return bootstrap_glmer(self.design, self.estimate, None, **how)

        def of_response(y: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
            design = with_new_response(self.design, y)
            return as_statistic(statistic(GlmerFit(design, fit_glmer(design, self.n_agq))))

        return bootstrap_glmer(self.design, self.estimate, of_response, **how)

    def refit(self, n_agq: int) -> GlmerFit:
        """Fit the same model to the same rows with another approximation of the likelihood."""
        return glmer_fit(self.design, n_agq)

    def update(
        self,
        formula: str | Formula | None = None,
        data: Any = None,
        *,
        family: str | Family | None = None,
        link: str | None = None,
        n_agq: int | None = None,
        weights: Any = KEEP,
        offset: Any = KEEP,
        exposure: Any = KEEP,
    ) -> GlmerFit:
        """Fit again with another formula, other data or another family; all else stays, as in R's ``update``.

        Parameters
        ----------
        formula
            Dots stand for the old left and right side: ``". ~ . + x"``, ``". ~ . - (x | g) + (1 | g)"``.
        data
            Other data. If None the data of this fit, all rows and columns of them.
        family, link, n_agq
            As for `glmer`; as before if None (another family has its own default link).
        weights, offset, exposure
            As for `glmer`; as before unless given.

        Raises
        ------
        FormulaError, DataError
            As `glmer`; DataError also if the data are needed and were not kept, because the fit was pickled.
        """
        given = {"weights": weights, "offset": offset, "exposure": exposure}
        kept = {
            name: self.design.given.get(name) if value is KEEP else value for name, value in given.items()
        }
        if family is None:
            family, link = self.family.name, self.family.link if link is None else link
        return glmer(
            updated_formula(self.design, formula),
            kept_data(self.design) if data is None else data,
            family,
            link,
            self.n_agq if n_agq is None else n_agq,
            **kept,
        )

    def caterpillar_table(self, group: str | None = None, prob: float = 0.9) -> pd.DataFrame:
        """Conditional modes of a grouping factor with mode -/+ quantile x conditional standard deviation.

        Columns group, level, term, estimate, conf_low, conf_high; on the scale of the linear predictor.
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
        """Draw the conditional modes with intervals given the estimated variances, as lme4's ``dotplot``.

        Parameters are those of `ReferenceFit.plot_caterpillar`.
        """
        from bayesmlm.plots import plot_caterpillar

        table = self.caterpillar_table(group, prob)
        return plot_caterpillar(table, column=column, ax=ax, conf_level=prob, **{"point": "mode", **style})

    def plot_profile(
        self,
        parm: str | Iterable[str] | None = None,
        level: float = 0.99,
        n_points: int = 8,
        ax: Axes | np.ndarray | None = None,
        **style: Any,
    ) -> np.ndarray:
        """Draw the likelihood profiles: zeta against each parameter. A straight line is what Wald intervals assume."""
        from bayesmlm.plots import plot_profile

        return plot_profile(self.profile(parm, level, n_points), ax=ax, **style)

    def summary(self, ddf: str | None = None) -> Report:
        """lme4's ``summary`` page, with z tests of the fixed effects.

        Raises
        ------
        BayesMLMError
            For a `ddf`: degrees of freedom are those of t tests of linear mixed models.
        """
        if ddf is not None:
            raise BayesMLMError(
                f"ddf = {ddf!r}: a generalised model has z tests, for which there are no degrees of freedom; leave it "
                "out, and for few groups use confint() or bm.anova(m0, m1)"
            )
        return glmer_summary_report(self.design, self.estimate)

    def __repr__(self) -> str:
        return str(glmer_report(self.design, self.estimate))

    def _repr_html_(self) -> str:
        return glmer_report(self.design, self.estimate)._repr_html_()


def glmer_fit(design: Design, n_agq: int) -> GlmerFit:
    """Fit a design, and warn if the optimisation did not converge."""
    estimate = fit_glmer(design, n_agq)
    if not estimate.converged:
        warn(estimate.status, ConvergenceWarning)
    return GlmerFit(design, estimate)


def glmer(
    formula: str | Formula,
    data: Any,
    family: str | Family = "binomial",
    link: str | None = None,
    n_agq: int = 1,
    *,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
) -> GlmerFit:
    """Fit a generalised linear mixed model by maximum likelihood, as lme4's ``glmer``.

    The integral over the group effects is Laplace's approximation or adaptive Gauss-Hermite quadrature (Pinheiro & Chao
    2006, J. Comput. Graph. Stat. 15, 58-81), minimised over covariance parameters and fixed effects together with exact
    gradients.

    Parameters
    ----------
    formula
        lme4's formula, such as ``"cbind(incidence, size - incidence) ~ period + (1 | herd)"``.
    data
        A data frame of pandas, polars or another library that narwhals knows.
    family
        ``"binomial"``, ``"poisson"``, ``"negativebinomial"`` (lme4's ``glmer.nb``), ``"Gamma"``,
        ``"inverse.gaussian"``, or ``"gaussian"`` with another link than the identity. ``"binomial(probit)"`` names the
        link too.
    link
        Link function; the family's default if None.
    n_agq
        1: Laplace's approximation. More: nodes of the quadrature, for a single scalar effect such as ``(1 | herd)``.
        0: faster and a little wrong, lme4's ``nAGQ = 0``.
    weights
        For a proportion of successes the numbers of trials; else prior weights, by which log-likelihoods are multiplied
        and the dispersion is divided. A column's name or an array.
    offset
        Known part of the linear predictor. A column's name or an array.
    exposure
        Numbers whose logarithm is a known part of the linear predictor. A column's name or an array.

    Returns
    -------
    GlmerFit

    Raises
    ------
    FormulaError, DataError
        If the formula cannot be read, or does not fit the data, or for what maximum likelihood is not offered for.

    Notes
    -----
    For families with a dispersion parameter lme4's deviance is not quite Laplace's approximation: the dispersion in the
    density is the mean deviance, the group effects are penalised as if it were 1, and 2 is added to the deviance. This
    is reproduced, so that estimates and log-likelihoods are lme4's. With ``n_agq > 1`` the log-likelihood has all
    constants, as with ``n_agq = 1``; lme4 leaves them out there, which moves its AIC by a constant of the data.
    """
    chosen = read_family(family, link)
    if chosen.is_gaussian_identity:
        raise BayesMLMError(
            "glmer() with Gaussian responses and the identity link is a linear mixed model: write bm.lmer(formula, "
            "data, reml=False)"
        )
    design = build_design(formula, data, chosen, weights=weights, offset=offset, exposure=exposure)
    return glmer_fit(design, n_agq)
