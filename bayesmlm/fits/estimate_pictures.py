"""Pictures of what was estimated: coefficients, variance components. Each draws a table that can be had alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmlm.fits.base import Sampled
from bayesmlm.fits.comparing import checked_reference
from bayesmlm.frequentist import ReferenceFit
from bayesmlm.reference.ddf import coefficient_tests, ddf_method
from bayesmlm.views.coefficients import coefficient_table
from bayesmlm.views.components import component_densities, component_table, quick_profile, variance_parameters

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class EstimatePictures(Sampled):
    """A fit whose estimates can be looked at."""

    def coefficient_table(
        self,
        ref: ReferenceFit | None = None,
        prob: float = 0.9,
        inner: float = 0.5,
        ddf: str | None = None,
        standardize: str = "none",
        terms: str | Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Fixed effects of this fit and a reference fit; see `plot_coefficients`, which draws them.

        Columns term, estimate (posterior median), conf_low, conf_high, inner_low, inner_high, reference,
        reference_low, reference_high, scale.
        """
        chosen = self._reference_or(ref)
        tests = coefficient_tests(chosen.design, chosen.estimate, ddf)
        how: dict[str, Any] = {"prob": prob, "inner": inner, "standardize": standardize, "terms": terms}
        return coefficient_table(self.design, self.posterior, chosen.estimate, tests=tests, **how)

    def plot_coefficients(
        self,
        ref: ReferenceFit | None = None,
        prob: float = 0.9,
        inner: float = 0.5,
        ddf: str | None = None,
        standardize: str = "none",
        terms: str | Iterable[str] | None = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Axes:
        """Draw the fixed effects with their posterior intervals beside those of a reference fit.

        Parameters
        ----------
        ref
            The reference fit; REML of the same model if None.
        prob, inner
            Probabilities of the outer and inner posterior interval; `prob` also of the reference's.
        ddf
            ``"satterthwaite"`` or ``"kenward-roger"`` for t intervals of the reference fit; Wald intervals if None.
        standardize
            ``"none"``; ``"x"``: per standard deviation of the predictor; ``"xy"``: in standard deviations of the
            response too.
        terms
            Which coefficients; all but the intercept if None.
        ax, style
            Passed to `bayesmlm.plots.plot_coefficients`.

        Raises
        ------
        BayesMLMError
            For an unknown term, method or scale.
        """
        from bayesmlm.plots import plot_coefficients

        table = self.coefficient_table(ref, prob, inner, ddf, standardize, terms)
        method = "REML" if self._reference_or(ref).estimate.reml else "ML"
        words = {
            "reference_label": f"{method}, {100 * prob:g}% {ddf_method(ddf) or 'Wald'} interval",
            "xlabel": _coefficient_label(self.design.response, standardize),
        }
        return plot_coefficients(table, ax=ax, prob=prob, inner=inner, **{**words, **style})

    def variance_table(
        self, ref: ReferenceFit | None = None, prob: float = 0.9, profile: bool | None = None
    ) -> pd.DataFrame:
        """Standard deviations and correlations of this fit and a reference fit; see `plot_variance`.

        Columns parameter, kind, group, term, estimate (posterior median), conf_low, conf_high, inner_low, inner_high,
        reference, reference_low, reference_high.
        """
        chosen = self._reference_or(ref)
        names = [p.name for p in variance_parameters(self.design)]
        asked = quick_profile(self.design) if profile is None else profile
        intervals = chosen.confint(names, prob, "profile") if asked else None
        return component_table(self.design, self.posterior, chosen.estimate, intervals, prob=prob)

    def plot_variance(
        self,
        ref: ReferenceFit | None = None,
        prob: float = 0.9,
        profile: bool | None = None,
        ax: Axes | np.ndarray | None = None,
        **style: Any,
    ) -> np.ndarray:
        """Draw the posterior of each standard deviation and correlation over the reference fit's estimate.

        Parameters
        ----------
        ref
            The reference fit; REML of the same model if None.
        prob
            Probability of the posterior interval, and of the likelihood profile's.
        profile
            Whether to compute profile intervals, which takes many fits; by default of models with up to 5000
            group effects. They are those of ML, as in lme4, whatever the reference fit is.
        ax, style
            Passed to `bayesmlm.plots.plot_variance`.
        """
        from bayesmlm.plots import plot_variance

        table = self.variance_table(ref, prob, profile)
        words = {"reference_label": "REML" if self._reference_or(ref).estimate.reml else "ML"}
        curves = component_densities(self.design, self.posterior)
        return plot_variance(table, curves, ax=ax, prob=prob, **{**words, **style})

    def _reference_or(self, ref: ReferenceFit | None) -> ReferenceFit:
        return self.reference() if ref is None else checked_reference(self, ref)


def _coefficient_label(response: str, standardize: str) -> str:
    if standardize == "none":
        return f"change of {response} per unit"
    unit = f"{response} (in its sd)" if standardize == "xy" else response
    return f"change of {unit} per sd of the predictor"
