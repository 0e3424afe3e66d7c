"""A posterior beside the ML/REML fit of the same model."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bayesmlm.comparison import Comparison, compare_fits, same_model
from bayesmlm.errors import DataError
from bayesmlm.fits.base import Sampled
from bayesmlm.frequentist import ReferenceFit
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

    def compare(self, ref: ReferenceFit | None = None, prob: float = 0.9) -> Compared:
        """Compare with a reference fit, by default REML of the same model; see `bayesmlm.compare`."""
        return compare(self, self.reference() if ref is None else ref, prob)


def compare(fit: Sampled, ref: ReferenceFit, prob: float = 0.9) -> Compared:
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


def checked_reference(fit: Sampled, ref: ReferenceFit) -> ReferenceFit:
    """Return `ref` if it is a reference fit of the same model to the same rows."""
    if not isinstance(fit, Sampled) or not isinstance(ref, ReferenceFit):
        kinds = f"{type(fit).__name__} and {type(ref).__name__}"
        raise DataError(f"compare() takes a fit of bm.fit and one of bm.lmer, in this order, not {kinds}")
    if not same_model(fit.design, ref.design):
        raise DataError(
            f"the fits are of different models or rows: {fit.formula} ({fit.nobs} rows) and {ref.formula} "
            f"({ref.nobs} rows); fit.compare() makes the reference fit that belongs to a fit"
        )
    return ref
