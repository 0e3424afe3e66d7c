"""`lm`, complete pooling and no pooling: multilevel models without the levels, fitted by least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bayesmlm.design import Design, build_design
from bayesmlm.errors import FormulaError
from bayesmlm.formulas import Formula, parse_formula
from bayesmlm.reference.pooling import LinearEstimate, NoPooling, fit_linear
from bayesmlm.reference.pooling import complete_pooling as pool_completely
from bayesmlm.reference.pooling import no_pooling as pool_nothing
from bayesmlm.report import (
    Report,
    linear_report,
)
from bayesmlm.shrinkage import one_factor
from bayesmlm.tables import (
    check_probability,
)


@dataclass(frozen=True, repr=False, eq=False)
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
        level = check_probability(conf_level, "conf_level")
        value, se = self.estimate.estimate, self.estimate.se
        half = stats.t.ppf((1 + level) / 2, self.estimate.df_resid) * se
        frame = pd.DataFrame({"effect": "fixed", "term": self.estimate.coefficients, "estimate": value})
        frame = frame.assign(
            std_error=se, conf_low=value - half, conf_high=value + half, statistic=value / se
        )
        return frame.assign(df=self.estimate.df_resid, p_value=self._p_values())

    def _p_values(self) -> np.ndarray:
        t = self.estimate.estimate / self.estimate.se
        return 2 * stats.t.sf(np.abs(t), self.estimate.df_resid)

    def glance(self) -> pd.DataFrame:
        """One row about the whole fit, with broom's columns in snake case.

        ``statistic``, ``p_value`` and ``df`` are those of the F test against a model with the intercept only (or
        without any coefficient, if the formula has no intercept); NaN if that is this model.
        """
        e = self.estimate
        df = len(e.coefficients) - ("(Intercept)" in e.coefficients)
        f = (e.r2 / df) / ((1 - e.r2) / e.df_resid) if df and e.df_resid else np.nan
        row = {"r_squared": e.r2, "adj_r_squared": e.adj_r2, "sigma": e.sigma, "statistic": f}
        row |= {"p_value": stats.f.sf(f, df, e.df_resid) if df else np.nan, "df": df if df else np.nan}
        row |= {"log_lik": e.loglik, "aic": e.aic, "bic": e.bic, "deviance": e.sigma**2 * e.df_resid}
        return pd.DataFrame([{**row, "df_residual": e.df_resid, "nobs": self.nobs}])

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
        Grouping factor, with all its blocks; the one with most levels if None. Other factors are left out.

    Returns
    -------
    DataFrame
        One row per level and column: group, level, term, n, estimate, std_error. The estimates are total
        coefficients; NaN where the rows of a level do not determine one (a girls' school has no
        difference between the sexes).
    """
    single = one_factor(build_design(formula, data), group)
    return no_pooling_frame(pool_nothing(single, single.blocks[0].label))


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
