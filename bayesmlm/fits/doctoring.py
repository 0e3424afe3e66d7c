"""A fit and its doctor: singular reference fits, simpler models, convergence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bayesmlm.design import Design
from bayesmlm.diagnosed import NO_LADDER, Diagnosis, with_verdicts
from bayesmlm.doctoring import Findings, boundary_frame, climb, convergence, degenerate
from bayesmlm.doctoring.climb import Predicted, predicted
from bayesmlm.doctoring.elpd import linear_elpd
from bayesmlm.errors import ConvergenceWarning, DataError
from bayesmlm.explained import Explained, explained
from bayesmlm.fits.accuracies import row_blocks
from bayesmlm.fits.base import Sampled
from bayesmlm.predictive_fit import smoothed_frame
from bayesmlm.priors import build_priors, parts_of
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.tables import check_probability


class Doctor(Sampled):
    """A fit that can be explained and examined."""

    def explain(self) -> Explained:
        """Explain the formula and its data; see `bayesmlm.explain`."""
        return explained(self.design)

    def doctor(self, ladder: bool | None = None, *, refit: bool = True, prob: float = 0.9) -> Diagnosis:
        """Examine the REML fit, what the posterior says instead where it is singular, and convergence.

        Of a generalised model it is the ML fit by Laplace's approximation.

        Parameters
        ----------
        ladder
            Whether to compare with simpler models, from each bar down to none, one thing dropped at a time:
            ``(1 + x | g)``, ``(1 + x || g)``, ``(1 | g)``, no bar. If None, where the REML fit is singular.
        refit
            Whether to sample the posterior of each of these models too (with this fit's settings and priors), for the
            difference in expected log predictive density; without, they are compared by likelihood only.
        prob
            Probability of the central posterior intervals.

        Returns
        -------
        Diagnosis
            Prints as a page; ``.frame`` is the ladder, ``.boundary`` has the standard deviations and correlations,
            ``.sentences`` what was found in words.
        """
        interval = check_probability(prob, "prob")
        estimate, refused = _reml(self)
        found = () if estimate is None else degenerate(self.design, estimate)
        boundary = boundary_frame(self.design, self.posterior, self.priors, estimate, interval)
        wanted = (estimate is None or estimate.singular) if ladder is None else ladder
        frame = NO_LADDER
        if wanted:
            frame = with_verdicts(climb(self.design, estimate, _predictor(self) if refit else None))
        state = convergence(self.posterior)
        return Diagnosis(Findings(self.design, estimate, refused, found, boundary, frame, state, interval))


def _reml(fit: Sampled) -> tuple[LmerEstimate | GlmerEstimate | None, str]:
    """The REML fit, or why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the page says it
            return fit.reference().estimate, ""
    except DataError as problem:
        return None, str(problem)


def _predictor(fit: Sampled) -> Callable[[Design], Predicted | None]:
    """From a design to its predictive densities: of the fit itself, or of a simpler model with the same priors."""

    def predict(design: Design) -> Predicted | None:
        if design is fit.design:
            return predicted(*_elpd_pointwise(fit))
        priors = build_priors(design, _kept_overrides(fit, design))
        if not design.blocks:
            if not design.family.is_gaussian_identity:  # there is no sampler for models without group effects
                return None
            settings = fit.settings
            found = linear_elpd(design, priors, settings.chains * settings.draws, settings.seed)
            return None if found is None else predicted(*found)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # kept in the notes
            simpler = type(fit).draw(design, priors, replace(fit.settings, progress=False, keep_ranef=True))
        return predicted(*_elpd_pointwise(simpler), simpler.notes)

    return predict


def _elpd_pointwise(fit: Sampled) -> tuple[np.ndarray, np.ndarray]:
    """Leave-one-out elpd and Pareto k of each row, as `fit.loo`."""
    complete = all(d.levels == b.levels for d, b in zip(fit.posterior.blocks, fit.design.blocks, strict=True))
    whole = fit if complete else fit.with_ranef()
    frame, _ = smoothed_frame(row_blocks(whole, np.arange(whole.nobs)))
    return frame["elpd"].to_numpy(), frame["pareto_k"].to_numpy()


def _kept_overrides(fit: Sampled, design: Design) -> dict[Any, Any]:
    """The caller's priors without those of blocks that a simpler model has not."""
    gone = _names(fit.design) - _names(design)
    terms = {*design.coefficients, *map(str, design.formula.fixed.terms)}
    given = fit.priors.given
    kept = {name: prior for name, prior in given.items() if name not in gone or name in terms}
    return parts_of(design, kept)


def _names(design: Design) -> set[str]:
    return {name for b in design.blocks for name in (b.label, b.group)}
