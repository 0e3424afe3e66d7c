"""`fit()`: from a formula and a data frame to a posterior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmlm.design import Design, build_design
from bayesmlm.diagnostics import convergence_sentences
from bayesmlm.draws import read_posterior
from bayesmlm.errors import (
    BayesMLMError,
    ConvergenceWarning,
    DataError,
    FormulaError,
    SamplingError,
    did_you_mean,
    warn,
)
from bayesmlm.formula import Formula
from bayesmlm.priors import build_priors
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.lmer import fit_lmer

if TYPE_CHECKING:
    pass
from bayesmlm.result import Fit

LEAST_VARIATION = 0.05  # a correlation of 0.975: the posterior then has a funnel at 1
SAMPLERS = ("auto", "kernel", "pymc")


def fit(
    formula: str | Formula,
    data: Any,
    family: str = "gaussian",
    link: str | None = None,
    priors: Mapping[str, Any] | None = None,
    *,
    weights: Any = None,
    offset: Any = None,
    chains: int = 4,
    draws: int = 1000,
    tune: int = 1000,
    seed: int | None = None,
    target_accept: float | None = None,
    sampler: str = "auto",
    cores: int | None = None,
    progress: bool = True,
) -> Fit:
    """Fit a Bayesian multilevel model with rstanarm's default priors, as its ``stan_lmer``.

    Parameters
    ----------
    formula
        lme4's formula, such as ``"course ~ female + (1 + female | school)"``.
    data
        A data frame of pandas, polars or another library that narwhals knows.
    family, link
        Only "gaussian" with the identity link so far.
    priors
        Priors that replace the defaults: by coefficient name, "(Intercept)", "fixed" (all slopes),
        "sigma", a grouping factor, or "covariance" (all blocks). See `normal`, `decov`, `lkj`, ...
    weights
        Not available for Bayesian fits yet.
    offset
        Known part of the linear predictor: a column's name or an array.
    chains, draws, tune
        Number of chains, and of draws and warm-up iterations in each.
    seed
        Seed; the same seed gives the same draws again. None takes a new one, kept in ``fit.settings``.
    target_accept
        Target acceptance rate of NUTS; 0.95 if None, as in rstanarm. Raise it if draws diverge.
    sampler
        "auto" or "pymc": NUTS on the PyMC graph.
    cores
        Chains to run at once; all cores if None.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Fit

    Raises
    ------
    FormulaError, DataError, PriorError, SamplingError
        If the formula, the data, a prior or a setting cannot be used; the message says what to do.

    Warns
    -----
    ConvergenceWarning
        If draws diverged, chains disagree, or effective sample sizes are low.
    """
    _check_choices(family, link, weights, sampler)
    design = build_design(formula, data, offset=offset)
    if not design.blocks:
        text = design.formula.text
        message = "no random part: add one such as (1 | group), or fit bm.lm(...)"
        raise FormulaError(message, text, 0, len(text))
    if design.y.ndim != 1:
        raise DataError(f"the response {design.response} has {design.y.shape[1]} columns: gaussian takes one")
    used = build_priors(design, priors)

    from bayesmlm.model import build_model, choose_forms
    from bayesmlm.sampling import Settings, new_seed, sample

    accept = 0.95 if target_accept is None else target_accept
    chosen_seed = new_seed() if seed is None else seed
    settings = Settings(chains, draws, tune, chosen_seed, accept, cores, progress)
    estimate = _reference(design)
    forms = choose_forms(design, *_information(design, estimate))
    built = build_model(design, used, forms, estimate)
    sampled = sample(built, design, settings)
    posterior = read_posterior(sampled.tree, built.schema, design, settings.seed)
    notes = tuple(convergence_sentences(posterior))
    for note in notes:
        warn(note, ConvergenceWarning)
    name = "NUTS (nutpie) on the PyMC graph"
    return Fit(design, used, sampled.tree, posterior, notes, settings, sampled.seconds, name, built, estimate)


def _reference(design: Design) -> LmerEstimate | None:
    """A quick REML fit to parametrise and start the sampler by, or None where there is none."""
    try:
        return fit_lmer(design)
    except DataError:  # as many effects as rows, say: only a prior tells them from the residuals
        return None


def _information(
    design: Design, estimate: LmerEstimate | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Reliability and variance of every block's effects, or zeros without a fit."""
    if estimate is None:
        zero = {b.label: np.zeros(len(b.columns)) for b in design.blocks}
        return zero, zero
    variance = {b.label: b.sd**2 for b in estimate.varcorr.blocks}
    with np.errstate(invalid="ignore", divide="ignore"):
        share = {r.label: 1 - (r.sd**2).mean(axis=0) / variance[r.label] for r in estimate.ranef}
    for b in estimate.varcorr.blocks:
        # A column that the columns before it all but determine has no variation of its own to centre.
        share[b.label] = np.where(_own_variation(b.corr) < LEAST_VARIATION, 0.0, share[b.label])
    return {label: np.nan_to_num(r) for label, r in share.items()}, variance


def _own_variation(corr: np.ndarray) -> np.ndarray:
    """Share of each column's variance that is left given the columns before it."""
    known = np.nan_to_num(corr)
    left = np.ones(len(corr))
    for k in range(1, len(corr)):
        before = known[:k, :k]
        left[k] = 1 - known[k, :k] @ np.linalg.pinv(before) @ known[:k, k]
    return left


def _check_choices(family: Any, link: Any, weights: Any, sampler: Any) -> None:
    if family != "gaussian" or link not in (None, "identity"):
        asked = f"family = {family!r}, link = {link!r}"
        raise BayesMLMError(f"{asked}: only family = 'gaussian' with the identity link is available")
    if weights is not None:
        raise BayesMLMError("weights are not available for Bayesian fits; bm.lmer(..., weights=) takes them")
    if sampler not in SAMPLERS:
        raise SamplingError(
            f"sampler = {sampler!r}: choose 'auto' or 'pymc'.{did_you_mean(str(sampler), SAMPLERS)}"
        )
    if sampler == "kernel":
        raise SamplingError("sampler = 'kernel' is not available: choose 'auto' or 'pymc'")
