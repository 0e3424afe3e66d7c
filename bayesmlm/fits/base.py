"""A sample from the posterior with its model: names, numbers and printed pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from bayesmlm.design import Design
from bayesmlm.diagnostics import chain_frame, convergence_frame, parameter_draws, variance_draws
from bayesmlm.drawing import draw_effects_again, draw_posterior
from bayesmlm.draws import Posterior, kept_levels, with_levels
from bayesmlm.errors import BayesMLMError
from bayesmlm.frequentist import ReferenceFit, reference_fit
from bayesmlm.generalised import GlmerFit, glmer_fit
from bayesmlm.meanings import check_exponentiate
from bayesmlm.newdata import rows_of_fit
from bayesmlm.outcome import outcome_of
from bayesmlm.predicted import RESIDUALS, Asked, expected_values, fitted_values, residual_values, target_of
from bayesmlm.predicting import sample_of
from bayesmlm.priors import Priors, implications
from bayesmlm.progress import quietly
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.report import (
    PrintedVarCorr,
    Report,
    diagnostics_report,
    fit_report,
    printed_varcorr,
    prior_report,
    summary_report,
)
from bayesmlm.sampling.settings import Settings
from bayesmlm.storage.fitfile import Saved
from bayesmlm.tables import (
    auxiliary_frame,
    coef_frames,
    interval_frame,
    point_frame,
    posterior_varcorr,
    ranef_frames,
    summary_frame,
    tidy_posterior,
)

if TYPE_CHECKING:
    import bambi

    from bayesmlm.model import BambiModel


@dataclass(frozen=True, repr=False, eq=False)
class Sampled:
    """A Bayesian multilevel model and its posterior.

    Attributes
    ----------
    design : Design
        What was fitted to what.
    priors : Priors
        As used.
    posterior : Posterior
        The draws under R's names.
    notes : tuple of str
        What is wrong with the sample, in sentences; empty if nothing is.
    settings : Settings
        Chains, draws, seed and the like.
    seconds : float
        Sampling time.
    sampler : str
        How the draws were made.
    """

    design: Design
    priors: Priors
    posterior: Posterior
    notes: tuple[str, ...]
    settings: Settings
    seconds: float
    sampler: str
    _reml: LmerEstimate | None
    _built: BambiModel | None = None
    _draws: xr.DataTree | None = None
    _saved: Saved | None = None

    @classmethod
    def draw(cls, design: Design, priors: Priors, settings: Settings) -> Self:
        """Sample the posterior of a model; see `bayesmlm.drawing.draw_posterior`."""
        with quietly(not settings.progress):
            drawn = draw_posterior(design, priors, settings)
        return cls(
            design,
            priors,
            drawn.posterior,
            drawn.notes,
            drawn.settings,
            drawn.seconds,
            drawn.sampler,
            drawn.reml,
            drawn.built,
            drawn.tree,
        )

    @property
    def model(self) -> bambi.Model:
        """The bambi.Model, PyMC graph included; `draws` work with its methods."""
        return self._bambi().model

    @property
    def draws(self) -> xr.DataTree:
        """Groups ``posterior``, ``sample_stats``, ``observed_data``, with Bambi's variable names."""
        if self._draws is None:
            from bayesmlm.model import posterior_tree

            tree = posterior_tree(self._bambi(), self.posterior, self.design)
            object.__setattr__(self, "_draws", tree)
        assert self._draws is not None
        return self._draws

    def with_ranef(self, keep: Any = True) -> Self:
        """Return this fit with the draws of group effects that were not kept.

        They are drawn given the variance parameters with the random numbers of the seed: the draws that
        ``keep_ranef=keep`` would have kept, but for rounding.

        Parameters
        ----------
        keep
            Which group effects, as ``keep_ranef`` of `bayesmlm.fit`.

        Raises
        ------
        DataError
            For a grouping factor or level that the model does not have.
        SamplingError
            Where group effects cannot be drawn exactly: such a model has to be fitted again.
        """
        kept = kept_levels(self.design, keep)
        settings = replace(self.settings, keep_ranef=keep)
        if all(set(at) <= set(has) for at, has in zip(kept, self._kept(), strict=True)):
            at = [[list(has).index(i) for i in at] for at, has in zip(kept, self._kept(), strict=True)]
            posterior = with_levels(self.posterior, [np.array(a, dtype=np.intp) for a in at])
        else:
            posterior = draw_effects_again(self.design, self.priors, self.posterior, settings)
        return replace(self, posterior=posterior, settings=settings, _draws=None)

    def _kept(self) -> list[np.ndarray]:
        return kept_levels(self.design, self.settings.keep_ranef)

    def _bambi(self) -> BambiModel:
        if self._built is None:
            from bayesmlm.model import build_model

            object.__setattr__(self, "_built", build_model(self.design, self.priors))
        assert self._built is not None
        return self._built

    def __getstate__(self) -> dict[str, Any]:
        """Leave the Bambi model out of a pickle, which could not hold it; it is built again when asked for."""
        return {**self.__dict__, "_built": None}

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
    def family(self) -> str:
        """Name of the family of the response, ``"binomial"``: what ``bm.fit(family=)`` takes."""
        return self.design.family.name

    @property
    def link(self) -> str:
        """Name of the link, ``"logit"``."""
        return self.design.family.link

    @property
    def sigma(self) -> float | None:
        """Posterior median of the residual standard deviation; None for a family without one.

        Of Student's t it is the scale, of a lognormal response the standard deviation of its logarithm.
        """
        if self.posterior.sigma is None:
            return None
        return float(auxiliary_frame(self.posterior).loc["sigma", "Median"])

    def fixef(self) -> pd.Series:
        """Posterior medians of the fixed effects by R's name; ``sigma_x`` of a parameter with predictors."""
        return point_frame(self.posterior.whole.fixef)["Median"].rename("estimate")

    def se(self) -> pd.Series:
        """MAD_SD of the fixed effects: 1.4826 times the median absolute deviation of the draws."""
        return point_frame(self.posterior.whole.fixef)["MAD_SD"].rename("std_error")

    def vcov(self) -> pd.DataFrame:
        """Posterior covariance matrix of the fixed effects."""
        fixef = self.posterior.whole.fixef
        names = [str(name) for name in fixef["coefficient"].values]
        values = fixef.values.reshape(-1, len(names))
        return pd.DataFrame(np.atleast_2d(np.cov(values, rowvar=False)), names, names)

    def varcorr(self, point: str = "median") -> PrintedVarCorr:
        """Variance components: "median" or "mean" over draws, or "rstanarm" (roots of mean variances)."""
        return printed_varcorr(posterior_varcorr(self.posterior, point))

    def ranef(self, sd: bool = False) -> dict[str, pd.DataFrame]:
        """Posterior medians of the group effects by grouping factor: levels x columns; `sd` adds sds."""
        return ranef_frames(self.posterior, sd)

    def coef(self) -> dict[str, pd.DataFrame]:
        """Fixed plus group effects (posterior medians) by grouping factor: levels x coefficients."""
        groups = {name: b.group for b in self.design.blocks for name in (b.label, b.group)}
        return coef_frames(self.fixef(), self.ranef(), groups)

    def fitted(self) -> np.ndarray:
        """Posterior means of the expected response, fixed and group effects, shape (nobs,).

        Of binomials the probability of success; of categories those of each, shape (nobs, categories).
        """
        sample = sample_of(self.design, self.posterior)
        if self.design.family.is_gaussian_identity:
            return fitted_values(sample, rows_of_fit(self.design))
        outcome = outcome_of(self.design, back_transform=False)
        return expected_values(
            self.design, sample, target_of(self.design, Asked()), outcome, self.settings.seed
        )

    def residuals(self, scaled: bool = False, type: str | None = None) -> np.ndarray:
        """Response minus `fitted()`, shape (nobs,); `scaled` divides by sigma.

        Parameters
        ----------
        scaled
            Divide by the residual standard deviation; of generalised models the same as ``type="pearson"``.
        type
            ``"response"``, y - mu, of binomials the share of successes less its probability; ``"pearson"``, that over
            the standard deviation of the response given mu.

        Raises
        ------
        BayesMLMError
            For an unknown type, or a response of categories, which has no residuals.
        """
        kind = ("pearson" if scaled else "response") if type is None else type
        if not self.design.family.is_gaussian_identity or self.design.others:
            return residual_values(self.design, sample_of(self.design, self.posterior), kind)
        if kind not in RESIDUALS:
            raise BayesMLMError(f"type = {kind!r}: choose from {', '.join(map(repr, RESIDUALS))}")
        residual = self.design.y - self.fitted()
        return residual / self.sigma if kind == "pearson" else residual

    def tidy(
        self,
        effects: str | Iterable[str] | None = None,
        conf_level: float = 0.95,
        exponentiate: bool = False,
    ) -> pd.DataFrame:
        """One row per parameter with broom.mixed's columns, in snake case, plus Rhat and bulk ESS.

        Parameters
        ----------
        effects
            Which of ``"fixed"``, ``"ran_pars"`` (standard deviations and correlations), ``"auxiliary"`` (other
            parameters of the family) and ``"ran_vals"`` (group effects); all but the last if None.
        conf_level
            Probability of the central intervals.
        exponentiate
            Whether the fixed effects are exp(beta): odds ratios of a logit link, ratios of means (rates) of a log
            link. Medians, MAD_SDs and intervals are those of the draws of exp(beta).

        Raises
        ------
        BayesMLMError
            For an unknown kind of effects, or `exponentiate` where exp(beta) means nothing.
        """
        if exponentiate:
            check_exponentiate(self.design)
        return tidy_posterior(self.posterior, effects, conf_level, exponentiate)

    def posterior_interval(self, prob: float = 0.9, pars: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Central posterior intervals, one row per parameter."""
        return interval_frame(self.posterior, prob, pars)

    def summary(
        self,
        pars: str | Iterable[str] | None = None,
        probs: Iterable[float] = (0.1, 0.5, 0.9),
        digits: int | None = None,
    ) -> Report:
        """rstanarm's ``summary`` page; its numbers are in ``.frame``.

        Parameters
        ----------
        pars
            Names, "alpha" (intercept), "beta" (slopes) or "varying" (group effects); all if None.
        probs
            Probabilities of the quantiles.
        digits
            Decimals shown; one, or more where standard deviations would be shown as 0, if None.
        """
        frame = summary_frame(self.posterior, pars, probs)
        return summary_report(self.design, frame, self.sampler, self.posterior.n_draws, digits)

    def diagnostics(self) -> Report:
        """How well the chains sampled: divergences and E-BFMI by chain, the worst Rhat and effective sample sizes.

        The frame of the report has mcse, rhat, ess_bulk and ess_tail of every parameter but the group effects, which
        `summary` has.
        """
        parts = [parameter_draws(self.posterior, effects=False), variance_draws(self.posterior)]
        table = convergence_frame(xr.concat(parts, dim="parameter"))
        chains = chain_frame(self.posterior)
        return diagnostics_report(table, chains, self.notes, self.sampler, self.posterior.n_draws)

    def prior_summary(self, digits: int = 2) -> Report:
        """The priors as specified and as adjusted to the data, and what they imply in plain units."""
        return prior_report(self.design, self.priors, implications(self.design, self.priors), digits)

    @cached_property
    def _references(self) -> dict[int, ReferenceFit | GlmerFit]:
        return {}

    def reference(self, reml: bool = True, n_agq: int = 1) -> ReferenceFit | GlmerFit:
        """The reference fit of the same model to the same rows, as lme4 would make it; fitted once.

        Parameters
        ----------
        reml
            Of a Gaussian model with the identity link: REML or, if False, ML.
        n_agq
            Of any other: 1 is Laplace's approximation, more are nodes of adaptive quadrature; see `bayesmlm.glmer`.

        Raises
        ------
        DataError
            If there is no such fit, as of families that `bayesmlm.glmer` does not know.
        """
        if not self.design.family.is_gaussian_identity:
            if n_agq not in self._references:
                self._references[n_agq] = glmer_fit(self.design, n_agq)
            return self._references[n_agq]
        if reml and self._reml is not None:
            return ReferenceFit(self.design, self._reml)
        if reml not in self._references:
            self._references[reml] = reference_fit(self.design, reml)
        return self._references[reml]

    def printed(self, digits: int | None = None) -> Report:
        """What ``print(fit)`` shows; decimals are one, or more where 0 would be shown, unless they are given."""
        coefficients, auxiliary = point_frame(self.posterior.whole.fixef), auxiliary_frame(self.posterior)
        varcorr = posterior_varcorr(self.posterior)
        return fit_report(
            self.design, coefficients, auxiliary, varcorr, self.notes, digits, self.settings.prior_only
        )

    def __repr__(self) -> str:
        return str(self.printed())

    def _repr_html_(self) -> str:
        return self.printed()._repr_html_()
