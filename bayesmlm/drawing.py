"""From a model to draws of its posterior, by the sampler that suits it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesmlm.bambi_draws import read_posterior
from bayesmlm.design import Design
from bayesmlm.diagnostics import convergence_sentences
from bayesmlm.draws import Posterior, kept_levels, with_levels
from bayesmlm.errors import ConvergenceWarning, DataError, SamplingError, warn
from bayesmlm.kernels.glmm_target import glmm_obstacle
from bayesmlm.kernels.target import obstacle
from bayesmlm.prior_draws import sample_prior
from bayesmlm.priors import Priors
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.reference.quasi import fit_log_sigma, fit_positions, fit_quasi
from bayesmlm.sampling.settings import Settings

if TYPE_CHECKING:
    from bayesmlm.model import BambiModel

LOG_SIGMA = 2 * 1.2337  # a residual tells 2 about log sigma, the logarithm of its size 1 / (pi^2 / 8)
LEAST_VARIATION = 0.05  # a correlation of 0.975: the posterior then has a funnel at 1
ON_KERNEL = "NUTS (nutpie), fixed and group effects integrated out"
ON_GLMM_KERNEL = "NUTS (nutpie) on all parameters, compiled"
ON_GRAPH = "NUTS (nutpie) on the PyMC graph"
FROM_PRIOR = "independent draws from the prior; no data used"
ON_KERNEL_ACCEPT = 0.9
ON_GLMM_KERNEL_ACCEPT = 0.8  # the group effects are near to standard normal: nothing calls for shorter steps
JOINT_ACCEPT = 0.99  # rstanarm's for a horseshoe
ON_GRAPH_ACCEPT = 0.95  # rstanarm's for multilevel models


@dataclass(frozen=True)
class Drawn:
    """Draws and how they were made.

    Attributes
    ----------
    posterior : Posterior
        The draws under R's names.
    notes : tuple of str
        What is wrong with the sample, in sentences.
    settings : Settings
        As used.
    seconds : float
        Sampling time.
    sampler : str
        How the draws were made.
    reml : LmerEstimate or None
        The REML fit from which the chains started.
    built, tree
        The Bambi model and its DataTree, where they were made on the way.
    """

    posterior: Posterior
    notes: tuple[str, ...]
    settings: Settings
    seconds: float
    sampler: str
    reml: LmerEstimate | None
    built: BambiModel | None = None
    tree: xr.DataTree | None = None


def draw_posterior(design: Design, priors: Priors, settings: Settings) -> Drawn:
    """Sample the posterior of a model, or its prior if the settings say so.

    Parameters
    ----------
    design, priors
        The model.
    settings
        Chains, draws, seed and the like; a `target_accept` of None is 0.9 on the kernel of Gaussian models, 0.8 on that
        of others, 0.95 on the PyMC graph.

    Raises
    ------
    SamplingError
        If the sampler asked for cannot draw from this model, cannot start, or is interrupted during warm-up.

    Warns
    -----
    ConvergenceWarning
        With each of the notes.
    """
    if settings.prior_only:
        return _from_prior(design, priors, settings)
    why_not = sampler_obstacle(design, priors, settings)
    if settings.sampler == "kernel" and why_not:
        raise SamplingError(
            f"sampler = 'kernel' cannot draw from this model: {why_not}; use 'auto' or 'pymc'"
        )
    if settings.target_accept is None:
        settings = replace(settings, target_accept=default_accept(why_not, design, priors))
    if why_not:
        drawn = _on_graph(design, priors, settings, why_not)
    elif design.family.is_gaussian_identity:
        drawn = _on_kernel(design, priors, settings)
    else:
        drawn = _on_glmm_kernel(design, priors, settings)
    for note in drawn.notes:
        warn(note, ConvergenceWarning)
    return drawn


def sampler_obstacle(design: Design, priors: Priors, settings: Settings) -> str | None:
    """Say why a model is sampled on the PyMC graph rather than on the kernel; None if it is not."""
    if settings.sampler == "pymc":
        return "asked for"
    return obstacle(design, priors) if design.family.is_gaussian_identity else glmm_obstacle(design, priors)


def default_accept(why_not: str | None, design: Design, priors: Priors) -> float:
    """Return the target acceptance rate of the PyMC graph, or of the kernel if nothing speaks against that."""
    if why_not:
        return ON_GRAPH_ACCEPT if priors.joint is None else JOINT_ACCEPT
    return ON_KERNEL_ACCEPT if design.family.is_gaussian_identity else ON_GLMM_KERNEL_ACCEPT


def draw_effects_again(design: Design, priors: Priors, posterior: Posterior, settings: Settings) -> Posterior:
    """Return the posterior with the group effects that `settings` keep, drawn given all else.

    Raises
    ------
    SamplingError
        If the model is not one whose group effects can be drawn exactly.
    """
    from bayesmlm.kernels.target import build_target
    from bayesmlm.sampling.kernel import redrawn_effects

    if settings.prior_only:
        return _from_prior(design, priors, settings).posterior
    why_not = obstacle(design, priors)
    if why_not:
        raise SamplingError(
            f"group effects cannot be drawn on their own here: {why_not}; fit again with keep_ranef=True"
        )
    kept = kept_levels(design, settings.keep_ranef)
    return redrawn_effects(build_target(design, priors), posterior, settings, kept)


def _from_prior(design: Design, priors: Priors, settings: Settings) -> Drawn:
    """Draw from the prior: directly, or on Bambi's PyMC graph where a prior is a ``bambi.Prior``."""
    several = design.others or design.family.is_categorical
    if not priors.custom and not several and settings.sampler != "pymc":
        start = time.perf_counter()
        kept = kept_levels(design, settings.keep_ranef)
        posterior = sample_prior(design, priors, settings.chains, settings.draws, settings.seed, kept)
        return Drawn(posterior, (), settings, time.perf_counter() - start, FROM_PRIOR, None)
    from bayesmlm.model import build_model
    from bayesmlm.sampling.prior import sample_prior_graph

    why = "several linear predictors" if several else "asked for"
    why = f"the prior of {priors.custom} is a bambi.Prior" if priors.custom else why
    built = build_model(design, priors)
    tree, seconds = sample_prior_graph(built, design, settings)
    posterior = read_posterior(tree, built.schema, design, settings.seed)
    sampler = f"{FROM_PRIOR}, on the PyMC graph ({why})"
    if settings.keep_ranef is not True:
        posterior = with_levels(posterior, kept_levels(design, settings.keep_ranef))
        return Drawn(posterior, (), settings, seconds, sampler, None, built)
    return Drawn(posterior, (), settings, seconds, sampler, None, built, tree)


def _on_kernel(design: Design, priors: Priors, settings: Settings) -> Drawn:
    """Sample the variance parameters alone; the rest is drawn exactly given them."""
    from bayesmlm.sampling.kernel import sample_marginal

    estimate = _reference(design)
    posterior, seconds = sample_marginal(design, priors, estimate, settings)
    notes = tuple(convergence_sentences(posterior, effects=False))
    return Drawn(posterior, notes, settings, seconds, ON_KERNEL, estimate)


def _on_glmm_kernel(design: Design, priors: Priors, settings: Settings) -> Drawn:
    """Sample all parameters of a generalised model on its compiled density."""
    from bayesmlm.sampling.glmm import sample_glmm

    posterior, seconds = sample_glmm(design, priors, settings)
    notes = tuple(convergence_sentences(posterior))
    return Drawn(posterior, notes, settings, seconds, ON_GLMM_KERNEL, None)


def _on_graph(design: Design, priors: Priors, settings: Settings, why: str) -> Drawn:
    """Sample all parameters on Bambi's PyMC graph."""
    from bayesmlm.model import build_model, choose_forms
    from bayesmlm.sampling.graph import sample

    kept_levels(design, settings.keep_ranef)  # a mistake in it is found before sampling
    if design.family.is_categorical and settings.keep_ranef is not True:
        raise SamplingError("the group effects of a categorical model are all kept: leave out keep_ranef")
    estimate = _reference(design)
    guide = estimate if design.family.is_gaussian_identity else fit_quasi(design)
    told = fit_positions(design) if design.family.is_ordinal else guide
    forms = choose_forms(design, *_information(design, told))
    others = {}
    if "sigma" in design.others and guide is not None and design.family.link == "identity":
        own = design.others["sigma"]
        others["sigma"] = fit_log_sigma(design, guide)
        share, variance = _information(own, others["sigma"])
        forms |= choose_forms(own, {k: _sharper(r, LOG_SIGMA) for k, r in share.items()}, variance)
    built = build_model(design, priors, forms, guide, others)
    tree, seconds = sample(built, design, settings)
    posterior = read_posterior(tree, built.schema, design, settings.seed)
    notes = tuple(convergence_sentences(posterior))
    if settings.keep_ranef is not True:
        posterior = with_levels(posterior, kept_levels(design, settings.keep_ranef))
        return Drawn(posterior, notes, settings, seconds, f"{ON_GRAPH} ({why})", estimate, built)
    return Drawn(posterior, notes, settings, seconds, f"{ON_GRAPH} ({why})", estimate, built, tree)


def _reference(design: Design) -> LmerEstimate | None:
    """A quick REML fit to parametrise and start the sampler by, or None where there is none."""
    if not design.family.is_gaussian_identity:
        return None
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


def _sharper(reliability: np.ndarray, factor: float) -> np.ndarray:
    """Reliability where the data say `factor` times as much."""
    return factor * reliability / (factor * reliability + 1 - reliability)


def _own_variation(corr: np.ndarray) -> np.ndarray:
    """Share of each column's variance that is left given the columns before it."""
    known = np.nan_to_num(corr)
    left = np.ones(len(corr))
    for k in range(1, len(corr)):
        before = known[:k, :k]
        left[k] = 1 - known[k, :k] @ np.linalg.pinv(before) @ known[:k, k]
    return left
