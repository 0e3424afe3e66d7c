"""`fit()`: from a formula and a data frame to a posterior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from bayesmlm.kernels.target import obstacle
from bayesmlm.priors import Priors, build_priors
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.result import Fit
from bayesmlm.sampling.settings import Settings, new_seed

LEAST_VARIATION = 0.05  # a correlation of 0.975: the posterior then has a funnel at 1
SAMPLERS = ("auto", "kernel", "pymc")
ON_KERNEL = "NUTS (nutpie), fixed and group effects integrated out"
ON_GRAPH = "NUTS (nutpie) on the PyMC graph"


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
        Target acceptance rate of NUTS; if None 0.9, and on the PyMC graph 0.95, as in rstanarm. Raise it if draws
        diverge.
    sampler
        "kernel": NUTS on the variance parameters alone, fixed and group effects integrated out and then drawn exactly;
        for normal priors of the fixed effects and exponential, gamma, half-normal, half-Student-t or half-Cauchy
        priors of standard deviations. "pymc": NUTS on the PyMC graph of the Bambi model. "auto": the kernel where it
        applies; ``fit.sampler`` says which, and why.
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

    why_not = "asked for" if sampler == "pymc" else obstacle(design, used)
    if sampler == "kernel" and why_not:
        raise SamplingError(
            f"sampler = 'kernel' cannot draw from this model: {why_not}; use 'auto' or 'pymc'"
        )
    accept = (0.95 if why_not else 0.9) if target_accept is None else target_accept
    chosen_seed = new_seed() if seed is None else seed
    settings = Settings(chains, draws, tune, chosen_seed, accept, cores, progress)
    made = _on_graph(design, used, settings, why_not) if why_not else _on_kernel(design, used, settings)
    for note in made.notes:
        warn(note, ConvergenceWarning)
    return made


def _on_kernel(design: Design, priors: Priors, settings: Settings) -> Fit:
    """Sample the variance parameters alone; the rest is drawn exactly given them."""
    from bayesmlm.sampling.kernel import sample_marginal

    estimate = _reference(design)
    posterior, seconds = sample_marginal(design, priors, estimate, settings)
    notes = tuple(convergence_sentences(posterior, effects=False))
    return Fit(design, priors, posterior, notes, settings, seconds, ON_KERNEL, estimate)


def _on_graph(design: Design, priors: Priors, settings: Settings, why: str) -> Fit:
    """Sample all parameters on Bambi's PyMC graph."""
    from bayesmlm.model import build_model, choose_forms
    from bayesmlm.sampling.graph import sample

    estimate = _reference(design)
    forms = choose_forms(design, *_information(design, estimate))
    built = build_model(design, priors, forms, estimate)
    tree, seconds = sample(built, design, settings)
    posterior = read_posterior(tree, built.schema, design, settings.seed)
    notes = tuple(convergence_sentences(posterior))
    return Fit(
        design, priors, posterior, notes, settings, seconds, f"{ON_GRAPH} ({why})", estimate, built, tree
    )


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
            f"sampler = {sampler!r}: choose 'auto', 'kernel' or 'pymc'.{did_you_mean(str(sampler), SAMPLERS)}"
        )
