"""Exact marginal NUTS: the variance parameters by NUTS, fixed and group effects exactly given them."""

from __future__ import annotations

import sys
import time

import numpy as np
import xarray as xr

from bayesmlm.covariance import sd_corr
from bayesmlm.design import Design
from bayesmlm.draws import BlockDraws, Posterior, labelled, mean_ppd
from bayesmlm.kernels.gaussian import compiled, gaussian_kernel
from bayesmlm.kernels.target import Target, build_target
from bayesmlm.kernels.threads import one_thread
from bayesmlm.priors import Priors
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.sampling.mode import mode_and_root
from bayesmlm.sampling.nuts import walk
from bayesmlm.sampling.settings import Settings

CHUNK = 4_000_000  # random numbers held at a time


def sample_marginal(
    design: Design, priors: Priors, estimate: LmerEstimate | None, settings: Settings
) -> tuple[Posterior, float]:
    """Draw from the posterior of a Gaussian model; seconds of sampling besides.

    Raises
    ------
    SamplingError
        If the sampler cannot start, or is interrupted before the first draw after warm-up.
    """
    target = build_target(design, priors)
    start = time.perf_counter()
    with one_thread():
        mode, root = mode_and_root(target, estimate)
        if settings.progress:
            print("sampling", flush=True, file=sys.stderr)
        walked = walk(target.standardised(mode, root), settings)
        posterior = effects_given(target, walked.x, walked.statistics, settings.seed)
    return posterior, time.perf_counter() - start


def effects_given(target: Target, x: np.ndarray, statistics: dict[str, np.ndarray], seed: int) -> Posterior:
    """Draw fixed and group effects for each draw of the variance parameters, and give all their names.

    Parameters
    ----------
    target
        The model.
    x : ndarray, shape (chain, draw, d)
        Variance parameters.
    statistics
        Of the sampler, each (chain, draw).
    seed
        Each chain has its own stream, so that the draws do not depend on how chains are run.
    """
    design, sigma = target.design, np.exp(x[..., -1])
    beta, effects = draw_conditional(target, x, seed)
    blocks, first = [], 0
    for block, b in zip(design.blocks, effects, strict=True):
        p = len(block.columns)
        size = p * (p + 1) // 2
        lam = relative_factors(x[..., first : first + size], p)
        sd, corr = sd_corr(sigma[..., None, None] ** 2 * lam @ np.swapaxes(lam, -1, -2))
        blocks.append(
            BlockDraws(
                block.label,
                block.group,
                labelled(sd, column=block.columns),
                labelled(corr, column=block.columns, column_bis=block.columns),
                labelled(b, level=block.levels, column=block.columns),
            )
        )
        first += size
    fixef, residual = labelled(beta, coefficient=list(design.coefficients)), labelled(sigma)
    stats = xr.Dataset({name: labelled(values) for name, values in statistics.items()})
    ppd = mean_ppd(fixef, residual, tuple(blocks), design, seed)
    return Posterior(fixef, residual, tuple(blocks), ppd, stats)


def relative_factors(x: np.ndarray, p: int) -> np.ndarray:
    """Return Lambda (..., p, p) of one block for its parameters: p log standard deviations, then the partials."""
    lam = np.zeros((*x.shape[:-1], p, p))
    pair = p
    for i in range(p):
        left = np.exp(x[..., i])
        for j in range(i):
            lam[..., i, j] = left * np.tanh(x[..., pair])
            left = left / np.cosh(x[..., pair])
            pair += 1
        lam[..., i, i] = left
    return lam


def draw_conditional(target: Target, x: np.ndarray, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw fixed effects (chain, draw, k) and each block's effects (chain, draw, J, p) given the variance parameters.

    Each chain has a random stream of its own, so that the draws do not depend on how chains are run.
    """
    cp, (chains, draws, _) = target.cp, x.shape
    k, q = cp.n_coefficients, sum(f.size for f in cp.factors)
    gamma, b = np.empty((chains, draws, k)), np.empty((chains, draws, q))
    step = max(1, CHUNK // (k + q))
    for chain, stream in enumerate(np.random.SeedSequence(seed).spawn(chains)):
        rng = np.random.default_rng(stream)
        for start in range(0, draws, step):
            part = slice(start, min(draws, start + step))
            normals = rng.standard_normal((part.stop - part.start, k + q))
            compiled("conditional").draw_effects(
                target.data,
                target.reals,
                np.ascontiguousarray(x[chain, part]),
                normals,
                gamma[chain, part],
                b[chain, part],
            )
    beta = cp.basis.shift + gamma @ np.linalg.inv(cp.basis.x).T
    effects = []
    for rows, t in zip(_block_rows(target), cp.basis.z, strict=True):
        own = b[..., rows].reshape(chains, draws, -1, len(t))
        effects.append(own @ np.linalg.inv(t).T)
    return beta, effects


def _block_rows(target: Target) -> list[np.ndarray]:
    """Positions of each block's effects, level by level, among those in elimination order."""
    found, start = {}, 0
    for f in gaussian_kernel(target.cp).order:
        factor = target.cp.factors[f]
        place = start + np.arange(factor.size).reshape(factor.n_levels, factor.width)
        for i, width, stop in zip(factor.blocks, factor.widths, np.cumsum(factor.widths), strict=True):
            found[i] = place[:, stop - width : stop].ravel()
        start += factor.size
    return [found[i] for i in sorted(found)]
