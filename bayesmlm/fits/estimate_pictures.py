"""Pictures of what was estimated: coefficients, variance components. Each draws a table that can be had alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError
from bayesmlm.fits.base import Sampled
from bayesmlm.fits.comparing import method_words, reference_or_none
from bayesmlm.frequentist import ReferenceFit
from bayesmlm.generalised import GlmerFit
from bayesmlm.meanings import predictor_of
from bayesmlm.reference.ddf import coefficient_tests, ddf_method
from bayesmlm.views.coefficients import coefficient_table
from bayesmlm.views.components import component_densities, component_table, quick_profile, variance_parameters

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class EstimatePictures(Sampled):
    """A fit whose estimates can be looked at."""

    def coefficient_table(
        self,
        ref: ReferenceFit | GlmerFit | None = None,
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
        chosen = reference_or_none(self, ref)
        tests = None
        if isinstance(chosen, ReferenceFit):
            tests = coefficient_tests(chosen.design, chosen.estimate, ddf)
        elif ddf is not None:
            raise BayesMLMError(f"ddf = {ddf!r}: degrees of freedom are those of linear models; leave it out")
        how: dict[str, Any] = {"prob": prob, "inner": inner, "standardize": standardize, "terms": terms}
        estimate = None if chosen is None else chosen.estimate
        return coefficient_table(self.design, self.posterior, estimate, tests=tests, **how)

    def plot_coefficients(
        self,
        ref: ReferenceFit | GlmerFit | None = None,
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
            The reference fit; if None REML of the same model, of a generalised one Laplace's approximation to ML.
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
        method = method_words(reference_or_none(self, ref))
        words = {
            "reference_label": f"{method}, {100 * prob:g}% {ddf_method(ddf) or 'Wald'} interval",
            "xlabel": _coefficient_label(self.design, standardize),
        }
        return plot_coefficients(table, ax=ax, prob=prob, inner=inner, **{**words, **style})

    def variance_table(
        self, ref: ReferenceFit | GlmerFit | None = None, prob: float = 0.9, profile: bool | None = None
    ) -> pd.DataFrame:
        """Standard deviations and correlations of this fit and a reference fit; see `plot_variance`.

        Columns parameter, kind, group, term, estimate (posterior median), conf_low, conf_high, inner_low, inner_high,
        reference, reference_low, reference_high.
        """
        chosen = reference_or_none(self, ref)
        names = [p.name for p in variance_parameters(self.design) if p.kind != "auxiliary"]
        quick = quick_profile(self.design) and has_profiles(chosen)
        asked = quick if profile is None else profile
        intervals = chosen.confint(names, prob, "profile") if asked and chosen is not None else None
        estimate = None if chosen is None else chosen.estimate
        return component_table(self.design, self.posterior, estimate, intervals, prob=prob)

    def plot_variance(
        self,
        ref: ReferenceFit | GlmerFit | None = None,
        prob: float = 0.9,
        profile: bool | None = None,
        ax: Axes | np.ndarray | None = None,
        **style: Any,
    ) -> np.ndarray:
        """Draw the posterior of each standard deviation and correlation over the reference fit's estimate.

        Parameters
        ----------
        ref
            The reference fit; if None REML of the same model, of a generalised one Laplace's approximation to ML.
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
        words = {"reference_label": method_words(reference_or_none(self, ref))}
        curves = component_densities(self.design, self.posterior)
        return plot_variance(table, curves, ax=ax, prob=prob, **{**words, **style})


def has_profiles(ref: ReferenceFit | GlmerFit | None) -> bool:
    """Whether profile intervals come by default: in generalised models they take long, and some have none."""
    return isinstance(ref, ReferenceFit)


def _coefficient_label(design: Design, standardize: str) -> str:
    what = design.response if design.family.is_gaussian_identity else predictor_of(design)
    if standardize == "none":
        return f"change of {what} per unit"
    unit = f"{what} (in its sd)" if standardize == "xy" else what
    return f"change of {unit} per sd of the predictor"
