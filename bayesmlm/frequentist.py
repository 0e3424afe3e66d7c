"""`lmer` and its result: what lme4 would say, as an object with methods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Design, build_design
from bayesmlm.errors import ConvergenceWarning, warn
from bayesmlm.formula import Formula
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.report import (
    PrintedVarCorr,
    Report,
    printed_varcorr,
    reference_report,
    reference_summary_report,
)
from bayesmlm.tables import (
    coef_frames,
    reference_icc,
    reference_ranef_frames,
    tidy_reference,
)


@dataclass(frozen=True, repr=False)
class ReferenceFit:
    """A linear mixed model fitted by ML or REML, as lme4's ``lmer`` fits it.

    Attributes
    ----------
    design : Design
        What was fitted to what.
    estimate : LmerEstimate
        All numbers.
    """

    design: Design
    estimate: LmerEstimate

    @property
    def formula(self) -> str:
        """The formula, as R spells it."""
        return self.design.formula.spelled

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.design.nobs

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels per grouping factor."""
        return self.design.ngroups

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.estimate.sigma

    @property
    def theta(self) -> np.ndarray:
        """Relative covariance parameters, in lme4's order."""
        return self.estimate.theta

    @property
    def loglik(self) -> float:
        """Log-likelihood; the restricted one for a REML fit."""
        return self.estimate.loglik

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return self.estimate.aic

    @property
    def bic(self) -> float:
        """Schwarz's Bayesian information criterion."""
        return self.estimate.bic

    @property
    def deviance(self) -> float:
        """-2 log-likelihood; for a REML fit the REML criterion."""
        return self.estimate.deviance

    @property
    def reml_criterion(self) -> float | None:
        """REML criterion at the optimum; None for an ML fit."""
        return self.estimate.criterion if self.estimate.reml else None

    @property
    def df_resid(self) -> int:
        """Residual degrees of freedom: rows minus parameters."""
        return self.estimate.df_resid

    @property
    def status(self) -> str:
        """How the optimisation ended, in a sentence."""
        return self.estimate.status

    def is_singular(self) -> bool:
        """Whether a variance, or a combination of effects, is estimated as zero; whatever the units."""
        return self.estimate.singular

    def fixef(self) -> pd.Series:
        """Fixed effects by R's name."""
        return pd.Series(self.estimate.beta, list(self.estimate.coefficients), name="estimate")

    def se(self) -> pd.Series:
        """Standard errors of the fixed effects."""
        return pd.Series(self.estimate.se, list(self.estimate.coefficients), name="std_error")

    def vcov(self) -> pd.DataFrame:
        """Covariance matrix of the fixed effects."""
        names = list(self.estimate.coefficients)
        return pd.DataFrame(self.estimate.vcov, names, names)

    def varcorr(self) -> PrintedVarCorr:
        """Variance components; prints as lme4 prints them."""
        return printed_varcorr(self.estimate.varcorr)

    def ranef(self, sd: bool = False) -> dict[str, pd.DataFrame]:
        """Conditional modes (BLUPs) by grouping factor: levels x columns; `sd` adds conditional sds."""
        return reference_ranef_frames(self.estimate, sd)

    def coef(self) -> dict[str, pd.DataFrame]:
        """Fixed effects plus BLUPs by grouping factor: levels x coefficients."""
        groups = {name: b.group for b in self.design.blocks for name in (b.label, b.group)}
        return coef_frames(self.fixef(), self.ranef(), groups)

    def icc(self) -> pd.Series:
        """Intraclass correlation of each block with an intercept: its share of the total variance."""
        return reference_icc(self.estimate.varcorr)

    def fitted(self) -> np.ndarray:
        """Fitted values, fixed and group effects, shape (nobs,)."""
        return self.estimate.fitted

    def residuals(self, scaled: bool = False) -> np.ndarray:
        """Residuals, shape (nobs,); `scaled` divides by sigma."""
        return self.estimate.scaled_residuals if scaled else self.estimate.residuals

    def tidy(self, effects: str | Iterable[str] | None = None, conf_level: float = 0.95) -> pd.DataFrame:
        """One row per parameter with broom.mixed's columns, in snake case."""
        return tidy_reference(self.estimate, effects, conf_level)

    def refit(self, reml: bool) -> ReferenceFit:
        """Fit the same model to the same rows by REML or ML."""
        return reference_fit(self.design, reml)

    def summary(self) -> Report:
        """lme4's ``summary`` page."""
        return reference_summary_report(self.design, self.estimate)

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
    return reference_fit(build_design(formula, data, weights=weights, offset=offset), reml)
