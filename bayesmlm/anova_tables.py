"""`anova`: likelihood-ratio tests of fitted models as lme4 makes them, type III tests of one as lmerTest does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.errors import BayesMLMError, DataError
from bayesmlm.frequentist import ReferenceFit
from bayesmlm.generalised import GlmerFit
from bayesmlm.linear import LinearFit
from bayesmlm.reference.ddf import ddf_method
from bayesmlm.reference.lrt import Candidate, LrtRow, likelihood_ratio_tests
from bayesmlm.reference.type3 import TermTest, term_tests
from bayesmlm.report.anova import lrt_report, term_report

EQUAL = 1e-8  # relative difference of sums of squares that rounding explains


@dataclass(frozen=True, repr=False)
class Anova:
    """Likelihood-ratio tests of models, ordered by their number of parameters; prints as lme4's ``anova``.

    Attributes
    ----------
    rows : tuple of LrtRow
        All numbers; each model is tested against the one before it.
    refitted : bool
        Whether REML fits were refitted by maximum likelihood.
    reml : bool
        Whether the likelihoods are restricted ones.
    """

    rows: tuple[LrtRow, ...]
    refitted: bool
    reml: bool

    def to_frame(self) -> pd.DataFrame:
        """One row per model, by name: npar, aic, bic, loglik, deviance, chisq, df, p_value, p_boundary.

        p_boundary is the p value where the tested variances are on their boundary; NaN where there is no such test
        or its null distribution is not a known mixture of chi-squares.
        """
        numbers = [
            {
                "npar": r.model.npar,
                "aic": r.model.aic,
                "bic": r.model.bic,
                "loglik": r.model.loglik,
                "deviance": -2.0 * r.model.loglik,
                "chisq": r.chisq,
                "df": r.df,
                "p_value": r.p_value,
                "p_boundary": r.p_boundary,
            }
            for r in self.rows
        ]
        return pd.DataFrame(numbers, [r.model.name for r in self.rows])

    def __repr__(self) -> str:
        return str(lrt_report(self.rows, self.refitted, self.reml))

    def _repr_html_(self) -> str:
        return lrt_report(self.rows, self.refitted, self.reml)._repr_html_()


@dataclass(frozen=True, repr=False)
class TermAnova:
    """Type III F tests of the terms of one model's fixed part; prints as lmerTest's ``anova``.

    Attributes
    ----------
    rows : tuple of TermTest
        All numbers.
    method : str
        Where the denominator's degrees of freedom are from: ``"Satterthwaite"`` or ``"Kenward-Roger"``.
    """

    rows: tuple[TermTest, ...]
    method: str

    def to_frame(self) -> pd.DataFrame:
        """One row per term, by name: sum_sq, mean_sq, num_df, den_df, statistic (F), p_value."""
        numbers = [
            {
                "sum_sq": r.sum_sq,
                "mean_sq": r.mean_sq,
                "num_df": r.test.num_df,
                "den_df": r.test.den_df,
                "statistic": r.test.statistic,
                "p_value": r.test.p_value,
            }
            for r in self.rows
        ]
        return pd.DataFrame(numbers, [r.term for r in self.rows])

    def __repr__(self) -> str:
        return str(term_report(self.rows, self.method))

    def _repr_html_(self) -> str:
        return term_report(self.rows, self.method)._repr_html_()


def anova(
    *fits: ReferenceFit | LinearFit | GlmerFit,
    refit: bool = True,
    model_names: Iterable[str] | None = None,
    ddf: str = "satterthwaite",
) -> Anova | TermAnova:
    """Compare fitted models by likelihood-ratio tests, or test the terms of one by F tests.

    Of two or more models each is tested against the next smaller one. Of one model each term of the fixed part is
    tested with all others in the model (type III, whatever the coding of factors).

    Parameters
    ----------
    fits
        Models of the same rows by `lmer`, among which there may be some by `lm`; or two or more by `glmer`, of one
        family and link.
    refit
        Refit REML fits by maximum likelihood, as lme4 does. Restricted likelihoods are comparable only between
        models with the same fixed effects.
    model_names
        Names of the models in the order given; m0, m1, ... if None.
    ddf
        Degrees of freedom of the F tests, ``"satterthwaite"`` or ``"kenward-roger"``.

    Returns
    -------
    Anova or TermAnova
        Print as lme4's and lmerTest's tables; `to_frame` gives the numbers. Notes say where a likelihood-ratio test is
        not what it seems: variances on their boundary, models that are not nested.

    Raises
    ------
    DataError
        If the models have not been fitted to the same rows, response and weights; or, for one model, if type III
        tests are not defined for it.
    BayesMLMError
        For no model, none by `lmer`, or other objects.
    """
    if any(isinstance(f, GlmerFit) for f in fits):
        return _generalised(fits, model_names)
    return _linear(tuple(f for f in fits if not isinstance(f, GlmerFit)), refit, model_names, ddf)


def _linear(
    fits: tuple[ReferenceFit | LinearFit, ...], refit: bool, model_names: Iterable[str] | None, ddf: str
) -> Anova | TermAnova:
    """Compare models by `lmer` and `lm`, or test the terms of one."""
    if len(fits) == 1 and isinstance(fits[0], ReferenceFit):
        method = ddf_method(ddf)
        if method is None:
            raise BayesMLMError(f"ddf = {ddf!r}: F tests need 'satterthwaite' or 'kenward-roger'")
        return TermAnova(term_tests(fits[0].design, fits[0].estimate, method), method)
    names = _check_models(fits, model_names)
    first = next(f for f in fits if isinstance(f, ReferenceFit))
    for fit, name in zip(fits, names, strict=True):
        _check_same_rows(fit, first, name, names[fits.index(first)])
    reml = [isinstance(f, ReferenceFit) and f.estimate.reml for f in fits]
    if any(reml) and not refit and not all(reml):
        raise BayesMLMError("some models are fitted by REML, some by maximum likelihood: leave refit=True")
    if refit:
        fits = tuple(f.refit(reml=False) if was else f for f, was in zip(fits, reml, strict=True))  # type: ignore[union-attr]
    rows = likelihood_ratio_tests([_candidate(f, n, first) for f, n in zip(fits, names, strict=True)])
    return Anova(rows, refitted=refit and any(reml), reml=any(reml) and not refit)


def _check_models(fits: tuple, model_names: Iterable[str] | None) -> list[str]:
    for fit in fits:
        if not isinstance(fit, ReferenceFit | LinearFit):
            kind = type(fit).__name__
            raise BayesMLMError(
                f"anova() compares fits by lmer() and lm(), not {kind}: for a Fit see compare()"
            )
    if len(fits) < 2:
        raise BayesMLMError(
            "anova() compares models by lmer(), anova(m0, m1), or tests the terms of one, anova(m)"
        )
    if not any(isinstance(f, ReferenceFit) for f in fits):
        raise BayesMLMError("anova() needs at least one model by lmer()")
    return _names(fits, model_names)


def _names(fits: tuple, model_names: Iterable[str] | None) -> list[str]:
    names = [f"m{i}" for i in range(len(fits))] if model_names is None else [str(n) for n in model_names]
    if len(names) != len(fits) or len(set(names)) < len(names):
        raise BayesMLMError(f"model_names = {names}: give {len(fits)} different names")
    return names


def _generalised(fits: tuple, model_names: Iterable[str] | None) -> Anova:
    """Compare models by `glmer`."""
    for fit in fits:
        if not isinstance(fit, GlmerFit):
            raise BayesMLMError(
                f"anova() compares fits by glmer() with one another, not with {type(fit).__name__}"
            )
    if len(fits) < 2:
        raise BayesMLMError(
            "anova() of one model has F tests, for linear mixed models only: give two or more by glmer(), and each is "
            "tested against the next smaller one"
        )
    names = _names(fits, model_names)
    first = fits[0]
    for fit, name in zip(fits[1:], names[1:], strict=True):
        if (fit.family, fit.n_agq) != (first.family, first.n_agq):
            raise DataError(
                f"{name} and {names[0]} differ in family, link or n_agq: a likelihood-ratio test needs one of each"
            )
        if fit.nobs != first.nobs or not np.array_equal(fit.design.y, first.design.y):
            raise DataError(
                f"{name} and {names[0]} have different rows or responses: a likelihood-ratio test needs the same "
                "response in the same rows; fit both to the rows that are complete in the columns of all models"
            )
        if not _equal(fit.estimate.weights, first.estimate.weights):
            raise DataError(
                f"{name} and {names[0]} have different weights or trials: fit both with the same ones"
            )
    return Anova(
        likelihood_ratio_tests([_of_design(f, n) for f, n in zip(fits, names, strict=True)]), False, False
    )


def _equal(mine: np.ndarray | None, theirs: np.ndarray | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return bool(np.allclose(mine, theirs, rtol=EQUAL))


def _check_same_rows(fit: ReferenceFit | LinearFit, first: ReferenceFit, name: str, other: str) -> None:
    """Raise DataError unless both were fitted to the same response, rows and weights."""
    y = fit.estimate.fitted + fit.estimate.residuals
    if len(y) != first.nobs:
        raise DataError(
            f"{name} has {len(y)} rows and {other} {first.nobs}: a likelihood-ratio test needs the same rows; fit "
            "both to the rows that are complete in the columns of all models"
        )
    same = np.allclose(y, first.design.y, rtol=EQUAL, atol=EQUAL * np.std(first.design.y))
    if same and isinstance(fit, ReferenceFit) and fit.design.n_given == first.design.n_given:
        same = np.array_equal(fit.design.rows, first.design.rows)
    if not same:
        raise DataError(
            f"{name} and {other} have different rows or responses: a likelihood-ratio test needs the same response "
            "in the same rows; fit both to the rows that are complete in the columns of all models"
        )
    if not _same_weights(fit, first.design.weights):
        raise DataError(f"{name} and {other} have different weights: fit both with the same ones")


def _same_weights(fit: ReferenceFit | LinearFit, weights: np.ndarray | None) -> bool:
    ones = np.ones(fit.nobs)
    theirs = ones if weights is None else weights
    if isinstance(fit, ReferenceFit):
        return np.allclose(ones if fit.design.weights is None else fit.design.weights, theirs, rtol=EQUAL)
    # A linear fit does not keep its weights, but they are in its sigma.
    residual = fit.estimate.residuals
    return bool(
        np.isclose(np.sum(theirs * residual**2), fit.sigma**2 * fit.estimate.df_resid, rtol=EQUAL, atol=0.0)
    )


def _candidate(fit: ReferenceFit | LinearFit, name: str, first: ReferenceFit) -> Candidate:
    e = fit.estimate
    if isinstance(fit, ReferenceFit):
        return _of_design(fit, name)
    # Of a linear fit the fitted values are known: they must be among those of the larger model.
    k = len(fit.estimate.coefficients)
    none = np.zeros(fit.nobs)
    inside = fit.estimate.fitted[:, None]
    return Candidate(name, fit.formula, k + 1, e.loglik, e.aic, e.bic, None, inside, k, none, ())


def _of_design(fit: ReferenceFit | GlmerFit, name: str) -> Candidate:
    e, design = fit.estimate, fit.design
    offset = np.zeros(fit.nobs) if design.offset is None else design.offset
    X, k, blocks = design.X, design.X.shape[1], design.blocks
    return Candidate(name, fit.formula, e.n_parameters, e.loglik, e.aic, e.bic, X, X, k, offset, blocks)
