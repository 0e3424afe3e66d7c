"""`lmer`, `lm` and their results: what lme4 and R would say, as objects with methods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bayesmlm.design import Design, build_design
from bayesmlm.errors import ConvergenceWarning, FormulaError, warn
from bayesmlm.formula import Formula, parse_formula
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.reference.pooling import LinearEstimate, NoPooling, fit_linear
from bayesmlm.reference.pooling import complete_pooling as pool_completely
from bayesmlm.reference.pooling import no_pooling as pool_nothing
from bayesmlm.report import (
    PrintedVarCorr,
    Report,
    linear_report,
    printed_varcorr,
    reference_report,
    reference_summary_report,
)
from bayesmlm.tables import (
    check_probability,
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


@dataclass(frozen=True, repr=False)
class LinearFit:
    """A linear model fitted by least squares, as R's ``lm`` fits it.

    Attributes
    ----------
    formula : str
        Its formula.
    estimate : LinearEstimate
        All numbers.
    """

    formula: str
    estimate: LinearEstimate

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.estimate.residuals)

    @property
    def sigma(self) -> float:
        """Residual standard error."""
        return self.estimate.sigma

    @property
    def r2(self) -> float:
        """Multiple R-squared, as R defines it."""
        return self.estimate.r2

    @property
    def adj_r2(self) -> float:
        """Adjusted R-squared."""
        return self.estimate.adj_r2

    @property
    def loglik(self) -> float:
        """Log-likelihood."""
        return self.estimate.loglik

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return self.estimate.aic

    @property
    def bic(self) -> float:
        """Schwarz's Bayesian information criterion."""
        return self.estimate.bic

    def fixef(self) -> pd.Series:
        """Coefficients by R's name."""
        return pd.Series(self.estimate.estimate, list(self.estimate.coefficients), name="estimate")

    def se(self) -> pd.Series:
        """Standard errors."""
        return pd.Series(self.estimate.se, list(self.estimate.coefficients), name="std_error")

    def vcov(self) -> pd.DataFrame:
        """Covariance matrix of the coefficients."""
        names = list(self.estimate.coefficients)
        return pd.DataFrame(self.estimate.vcov, names, names)

    def fitted(self) -> np.ndarray:
        """Fitted values, shape (nobs,)."""
        return self.estimate.fitted

    def residuals(self) -> np.ndarray:
        """Residuals, shape (nobs,)."""
        return self.estimate.residuals

    def tidy(self, conf_level: float = 0.95) -> pd.DataFrame:
        """One row per coefficient with broom's columns, in snake case."""
        half = (
            stats.t.ppf((1 + check_probability(conf_level, "conf_level")) / 2, self.estimate.df_resid)
            * self.se()
        )
        frame = pd.DataFrame(
            {"effect": "fixed", "term": self.fixef().index, "estimate": self.fixef().to_numpy()}
        )
        frame["std_error"] = self.se().to_numpy()
        frame["conf_low"], frame["conf_high"] = (
            frame["estimate"] - half.values,
            frame["estimate"] + half.values,
        )
        frame["statistic"] = frame["estimate"] / frame["std_error"]
        return frame.assign(df=self.estimate.df_resid, p_value=self._p_values())

    def _p_values(self) -> np.ndarray:
        t = self.estimate.estimate / self.estimate.se
        return 2 * stats.t.sf(np.abs(t), self.estimate.df_resid)

    def summary(self) -> Report:
        """R's ``summary(lm)`` page."""
        return linear_report(self.formula, self.estimate, self._p_values())

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def lm(formula: str | Formula, data: Any, *, weights: Any = None, offset: Any = None) -> LinearFit:
    """Fit a linear model by least squares, as R's ``lm``.

    Parameters
    ----------
    formula, data, weights, offset
        As for `lmer`, without a random part.

    Raises
    ------
    FormulaError
        If the formula has a random part: that is a model for `lmer`, or for `complete_pooling` and
        `no_pooling`, which make a linear model of it.
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    if parsed.bars:
        bar = parsed.bars[0]
        message = "lm() fits no random part: use lmer(), complete_pooling() or no_pooling()"
        raise FormulaError(message, parsed.text, parsed.text.find("("), bar.end)
    design = build_design(parsed, data, weights=weights, offset=offset)
    return LinearFit(parsed.spelled, _least_squares(design))


def _least_squares(design: Design) -> LinearEstimate:
    intercept = design.formula.fixed.intercept
    X, names = design.X, design.coefficients
    return fit_linear(X, design.y, names, design.weights, design.offset, intercept=intercept)


def complete_pooling(formula: str | Formula, data: Any) -> LinearFit:
    """Fit the fixed part of a multilevel formula by least squares, as if there were no groups."""
    design = build_design(formula, data)
    fixed = f"{design.formula.response} ~ {design.formula.fixed}"
    return LinearFit(fixed, pool_completely(design))


def no_pooling(formula: str | Formula, data: Any, group: str | None = None) -> pd.DataFrame:
    """Give every group its own least-squares coefficients, as if the groups had nothing in common.

    Parameters
    ----------
    formula, data
        A multilevel formula and its data.
    group
        Label of the block whose columns vary between groups; may be left out if there is one block.

    Returns
    -------
    DataFrame
        One row per level and column: group, level, term, n, estimate, std_error. The estimates are total
        coefficients; NaN where the rows of a level do not determine one (a girls' school has no
        difference between the sexes).
    """
    design = build_design(formula, data)
    return no_pooling_frame(pool_nothing(design, one_block(design, group)))


def one_block(design: Design, label: str | None) -> str:
    """Return a block's label; the only block's if `label` is None.

    Raises
    ------
    FormulaError
        If there is no such block, or several and none was chosen.
    """
    labels = [b.label for b in design.blocks]
    if label is None and len(labels) == 1:
        return labels[0]
    if label not in labels:
        asked = "choose a block" if label is None else f"no block {label!r}"
        raise FormulaError(f"{asked}: group = {' or '.join(map(repr, labels)) or '(the formula has none)'}")
    return label


def no_pooling_frame(result: NoPooling) -> pd.DataFrame:
    """Return a `NoPooling` as one row per level and column."""
    j, p = result.estimate.shape
    return pd.DataFrame(
        {
            "group": result.group,
            "level": np.repeat(np.array(result.levels, dtype=object), p),
            "term": list(result.columns) * j,
            "n": np.repeat(result.n, p),
            "estimate": result.estimate.ravel(),
            "std_error": result.se.ravel(),
        }
    )
