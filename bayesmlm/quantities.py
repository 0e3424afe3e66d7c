"""`Quantities`: what a reference fit found, as labelled Series and frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.diagnosed import Diagnosis, diagnose_reference
from bayesmlm.errors import DataError
from bayesmlm.estimates import Estimates
from bayesmlm.model_rows import reference_shares
from bayesmlm.reference.ddf import coefficient_tests
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.report.prose import Prose
from bayesmlm.report.reference_writeup import reference_prose
from bayesmlm.report.residual_checks import PrintedChecks, printed_checks
from bayesmlm.residual_checks import reference_checks
from bayesmlm.tables import (
    check_probability,
    reference_icc,
    tidy_reference,
)
from bayesmlm.variance import VarianceParts, variance_parts
from bayesmlm.variance_explained import check_same_response, reference_components, variance_changes


@dataclass(frozen=True, repr=False, eq=False)
class Quantities(Estimates):
    """Estimates of a linear mixed model by ML or REML, under R's names.

    Attributes
    ----------
    design : Design
        What was fitted to what.
    estimate : LmerEstimate
        All numbers.
    """

    estimate: LmerEstimate

    @property
    def reml_criterion(self) -> float | None:
        """REML criterion at the optimum; None for an ML fit."""
        return self.estimate.criterion if self.estimate.reml else None

    def doctor(self, ladder: bool | None = None) -> Diagnosis:
        """Say which effects do not vary by this fit, and what could be left out; see `bayesmlm.Fit.doctor`.

        `ladder` says whether to compare with simpler models; if None, where the fit is singular.
        """
        return diagnose_reference(self.design, self.estimate, ladder)

    def icc(self, by_group: bool = True) -> pd.Series:
        """Intraclass correlation (ICC): the share of the variance that lies between groups.

        With `by_group`, one number for each block with an intercept: its variance over the sum of all intercepts'
        variances and sigma^2; where slopes vary, the ICC of rows whose predictors of the slopes are 0.
        Otherwise ``adjusted`` and ``unadjusted`` (Nakagawa, Johnson & Schielzeth 2017), all group effects together,
        slopes averaged over the rows: random / (random + sigma^2), and random / (fixed + random + sigma^2).
        """
        if by_group:
            return reference_icc(self.estimate.varcorr)
        parts = self._variance_parts()
        return pd.Series({"adjusted": parts.adjusted_icc, "unadjusted": parts.unadjusted_icc}, name="icc")

    def r2(self) -> pd.Series:
        """Nakagawa's R2: shares of the variance, ``marginal`` of fixed, ``conditional`` of fixed and group effects.

        Nakagawa & Schielzeth (2013), with varying slopes as in Johnson (2014); see `bayesmlm.variance`. Where all
        variances of group effects are 0 the two are equal.
        """
        parts = self._variance_parts()
        return pd.Series({"marginal": parts.marginal_r2, "conditional": parts.conditional_r2}, name="r2")

    def proportional_change(self, null: Quantities) -> pd.DataFrame:
        """Proportional change in variance (PCV) from a smaller model to this one, 1 - v / v_null, level by level.

        Raudenbush & Bryk (2002, equations 4.20 and 4.24). The variances that both models have are compared.

        Parameters
        ----------
        null
            A fit of `bayesmlm.lmer` to the same rows, usually without predictors.

        Returns
        -------
        DataFrame
            group, term, null, variance, change (NaN where the null variance is 0).

        Raises
        ------
        DataError
            If `null` is not a reference fit of the same response in the same rows, by the same criterion.
        """
        if not isinstance(null, Quantities):
            raise DataError(f"the null model of a reference fit is one too, not {type(null).__name__}")
        if self.estimate.reml != null.estimate.reml:
            raise DataError("one fit is by REML, the other by ML: refit(reml=) makes them alike")
        check_same_response(self.design, null.design)
        own, before = (reference_components(f.estimate.varcorr) for f in (self, null))
        return variance_changes(own, before, None)

    pcv = proportional_change

    def residual_checks(self) -> PrintedChecks:
        """Are the errors of every level normal, with the same spread everywhere, and which stand out?

        Tables ``.shape``, ``.quantiles``, ``.by_fitted``, ``.by_group``, ``.levene``, ``.outliers`` of the scaled
        residuals and standardized BLUPs; prints what they say in words. See `bayesmlm.residual_checks`.
        """
        return printed_checks(reference_checks(self.design, self.estimate))

    def _variance_parts(self) -> VarianceParts:
        blocks = self.estimate.varcorr.blocks
        return variance_parts(self.design, self.estimate.beta, [b.cov for b in blocks], self.sigma)

    def report(self, prob: float = 0.95, digits: int = 2, ddf: str | None = "satterthwaite") -> Prose:
        """Paragraphs that a paper can use: model, data, estimation, results, references.

        Parameters
        ----------
        prob
            Probability of the confidence intervals of the fixed effects.
        digits
            Decimals; a number that would show less than one significant digit has more.
        ddf
            Degrees of freedom of the t tests, as for `summary`; None leaves the tests out.
        """
        level = check_probability(prob, "prob")
        tests = coefficient_tests(self.design, self.estimate, ddf)
        labels = {b.label: b.label for b in self.design.blocks}
        shares = reference_shares(self.design, self.estimate, labels)
        tidy = tidy_reference(self.estimate, None, level, tests)
        return reference_prose(self.design, self.estimate, tidy, shares, tests, level, digits)

    def fitted(self) -> np.ndarray:
        """Fitted values, fixed and group effects, shape (nobs,)."""
        return self.estimate.fitted

    def residuals(self, scaled: bool = False) -> np.ndarray:
        """Residuals, shape (nobs,); `scaled` multiplies by the root of the weight and divides by sigma."""
        return self.estimate.scaled_residuals if scaled else self.estimate.residuals
