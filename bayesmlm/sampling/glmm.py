"""NUTS for generalised models on the compiled joint density of all parameters."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from bayesmlm.covariance import sd_corr
from bayesmlm.design import Design
from bayesmlm.draws import BlockDraws, Posterior, kept_levels, labelled
from bayesmlm.kernels.glmm_rows import collect_rows
from bayesmlm.kernels.glmm_target import GlmmTarget
from bayesmlm.kernels.threads import one_thread
from bayesmlm.predictive_mean import predictive_mean
from bayesmlm.priors import Priors
from bayesmlm.sampling.glmm_mode import approximate
from bayesmlm.sampling.kernel import relative_factors
from bayesmlm.sampling.nuts import Walk, walk
from bayesmlm.sampling.settings import Settings

EXACT = 4_000_000  # draws x rows up to which predictive data sets are drawn row by row


def sample_glmm(design: Design, priors: Priors, settings: Settings) -> tuple[Posterior, float]:
    """Draw from the posterior of a generalised model; seconds of sampling besides.

    Raises
    ------
    SamplingError
        If the sampler cannot start, or is interrupted before the first draw after warm-up.
    """
    kept = kept_levels(design, settings.keep_ranef)
    start = time.perf_counter()
    with one_thread():
        near = approximate(collect_rows(design), priors)
        if settings.progress and sys.stderr.isatty():
            print("sampling", flush=True, file=sys.stderr)
        target = near.target.keeping(kept).standardised(near.mode, near.root)
        walked = walk(target, settings)
        posterior = named(design, target, walked, kept, settings.seed)
    return posterior, time.perf_counter() - start


def named(
    design: Design, target: GlmmTarget, walked: Walk, kept: Sequence[np.ndarray], seed: int
) -> Posterior:
    """Give the draws of a target their names.

    Parameters
    ----------
    design
        The model, rows as given.
    target
        The target of which they are draws.
    walked
        Draws of its parameters, of mean and variance of the sum of the responses, and of the effects kept.
    kept
        Positions of the levels kept, block by block.
    seed
        Seed of the predictive data sets in `Posterior.mean_ppd`.
    """
    x, k, d = walked.x, target.n_fixed, target.n_parameters
    auxiliary = {
        name: np.exp(x[..., d - len(target.auxiliary) + i]) for i, name in enumerate(target.auxiliary)
    }
    sigma, first, at = auxiliary.pop("sigma", None), k, d + 2
    blocks = []
    for block, levels in zip(design.blocks, kept, strict=True):
        p = len(block.columns)
        size, length = p * (p + 1) // 2, len(levels) * p
        lam = relative_factors(x[..., first : first + size], p)
        sd, corr = sd_corr(lam @ np.swapaxes(lam, -1, -2))
        sd = sd if sigma is None else sd * sigma[..., None]
        b = x[..., at : at + length].reshape(*x.shape[:2], len(levels), p)
        blocks.append(
            BlockDraws(
                block.label,
                block.group,
                labelled(sd, column=block.columns),
                labelled(corr, column=block.columns, column_bis=block.columns),
                labelled(b, level=[block.levels[i] for i in levels], column=block.columns),
            )
        )
        first, at = first + size, at + length
    beta = as_given(design, x[..., :k], target.rows.centre)
    stats = xr.Dataset({name: labelled(values) for name, values in walked.statistics.items()})
    others = {name: labelled(values) for name, values in auxiliary.items()}
    everything = {**auxiliary, **({} if sigma is None else {"sigma": sigma})}
    every = all(len(levels) == len(b.levels) for b, levels in zip(design.blocks, kept, strict=True))
    if every and x[..., 0].size * design.nobs <= EXACT:
        ppd = predictive_mean(design, beta, [b.b.values for b in blocks], everything, seed)
    else:
        ppd = mean_of_moments(design, x[..., d], x[..., d + 1], everything, seed)
    fixef = labelled(beta, coefficient=list(design.coefficients))
    residual = None if sigma is None else labelled(sigma)
    return Posterior(fixef, residual, tuple(blocks), labelled(ppd), stats, others)


def as_given(design: Design, beta: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return fixed effects of the predictors as given for those of centred ones, (..., k)."""
    out = beta.copy()
    if "(Intercept)" in design.coefficients:
        out[..., design.coefficients.index("(Intercept)")] -= beta @ centre
    return out


def mean_of_moments(
    design: Design,
    total: np.ndarray,
    variance: np.ndarray,
    auxiliary: Mapping[str, np.ndarray],
    seed: int,
) -> np.ndarray:
    """Mean of one predictive data set per draw, from expectation and variance of the sum of its responses.

    The sum of many independent responses is close to normal. Student's t may have no variance: its errors are drawn.
    """
    rng = np.random.default_rng(seed)
    if design.family.name != "t":
        return (total + np.sqrt(variance) * rng.standard_normal(total.shape)) / design.nobs
    noise = np.zeros(total.shape)
    for _ in range(design.nobs):
        noise += rng.standard_t(auxiliary["nu"])
    return (total + auxiliary["sigma"] * noise) / design.nobs
