"""A posterior beside the ML/REML fit of the same model."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bayesmlm.comparison import Comparison, compare_fits, method_of, same_model
from bayesmlm.errors import DataError
from bayesmlm.fits.base import Sampled
from bayesmlm.frequentist import ReferenceFit
from bayesmlm.generalised import GlmerFit
from bayesmlm.report import Report, comparison_report


@dataclass(frozen=True, repr=False)
class Compared:
    """A posterior beside a reference fit; prints as a table with verdicts.

    Attributes
    ----------
    comparison : Comparison
        All numbers.
    report : Report
        What is printed.
    """

    comparison: Comparison
    report: Report

    @property
    def frame(self) -> pd.DataFrame:
        """One row per parameter; see `bayesmlm.comparison.Comparison`."""
        return self.comparison.frame

    @property
    def groups(self) -> pd.DataFrame:
        """One row per block and column: how BLUPs and posterior means agree."""
        return self.comparison.groups

    def __repr__(self) -> str:
        return str(self.report)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


class Comparing(Sampled):
    """A fit that can be compared with a reference fit."""

    def compare(self, ref: ReferenceFit | GlmerFit | None = None, prob: float = 0.9) -> Compared:
        """Compare with a reference fit of the same model; see `bayesmlm.compare`.

        By default it is REML's, of generalised models that of ``bm.glmer`` with Laplace's approximation:
        ``fit.compare(fit.reference(n_agq=9))`` for adaptive quadrature.
        """
        return compare(self, self.reference() if ref is None else ref, prob)


def compare(fit: Sampled, ref: ReferenceFit | GlmerFit, prob: float = 0.9) -> Compared:
    """Put a posterior beside the ML/REML fit of the same model, with a verdict per parameter.

    Parameters
    ----------
    fit, ref
        Fits of one model to the same rows.
    prob
        Probability of the central posterior intervals.

    Returns
    -------
    Compared
        Prints as a table; ``.frame`` has the numbers.

    Raises
    ------
    DataError
        If the two are not fits of one model to the same rows.
    """
    checked_reference(fit, ref)
    comparison = compare_fits(fit.posterior, ref.estimate, fit.design, prob)
    status = ref.status if ref.is_singular() or not ref.estimate.converged else ""
    return Compared(comparison, comparison_report(comparison, fit.formula, status))


def reference_or_none(fit: Sampled, ref: ReferenceFit | GlmerFit | None) -> ReferenceFit | GlmerFit | None:
    """Return `ref`, checked, or by default the fit's own reference; None for a family that has none."""
    if ref is not None:
        return checked_reference(fit, ref)
    if fit.design.family.is_gaussian_identity:
        return fit.reference()
    try:
        return fit.reference()
    except DataError:  # a family that glmer does not know: the posterior is shown alone
        return None


def method_words(ref: ReferenceFit | GlmerFit | None) -> str:
    """Name how a reference fit was made; empty if there is none."""
    return "" if ref is None else method_of(ref.estimate)


def checked_reference(fit: Sampled, ref: ReferenceFit | GlmerFit) -> ReferenceFit | GlmerFit:
    """Return `ref` if it is a reference fit of the same model to the same rows."""
    if not isinstance(fit, Sampled) or not isinstance(ref, ReferenceFit | GlmerFit):
        kinds = f"{type(fit).__name__} and {type(ref).__name__}"
        raise DataError(
            f"compare() takes a fit of bm.fit and one of bm.lmer or bm.glmer, in this order, not {kinds}"
        )
    if not same_model(fit.design, ref.design):
        raise DataError(
            f"the fits are of different models or rows: {fit.formula} ({fit.nobs} rows) and {ref.formula} "
            f"({ref.nobs} rows); fit.compare() makes the reference fit that belongs to a fit"
        )
    return ref
