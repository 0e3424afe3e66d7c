"""Exact marginal NUTS: the variance parameters by NUTS, fixed and group effects exactly given them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import xarray as xr

from bayesmlm.covariance import sd_corr
from bayesmlm.design import Design
from bayesmlm.draws import BlockDraws, Posterior, block_weights, kept_levels, labelled, mean_ppd
from bayesmlm.kernels.gaussian import compiled, gaussian_kernel
from bayesmlm.kernels.target import Target, build_target
from bayesmlm.kernels.threads import one_thread
from bayesmlm.priors import Priors
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.sampling.mode import mode_and_root
from bayesmlm.sampling.nuts import Walk, walk
from bayesmlm.sampling.settings import Settings

CHUNK = 1_000_000  # random numbers that a thread holds at a time
LARGEST_PARTIAL = 1 - 2.0**-52


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
    kept = kept_levels(design, settings.keep_ranef)
    start = time.perf_counter()
    with one_thread():
        mode, root = mode_and_root(target, estimate)
        walked = walk(target.standardised(mode, root), settings)
        posterior = effects_given(target, walked, settings, kept)
    return posterior, time.perf_counter() - start


def effects_given(target: Target, walked: Walk, settings: Settings, kept: Sequence[np.ndarray]) -> Posterior:
    """Draw fixed and group effects for each draw of the variance parameters, and give all their names.

    Parameters
    ----------
    target
        The model.
    walked
        Draws of its parameters.
    settings
        For the seed and the number of threads.
    kept
        Positions of the levels to keep, block by block.
    """
    design, x = target.design, walked.x
    sigma = np.exp(x[..., -1])
    beta, effects, group_mean = draw_conditional(target, x, settings.seed, kept, settings.cores)
    blocks, first = [], 0
    for block, b, levels in zip(design.blocks, effects, kept, strict=True):
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
                labelled(b, level=[block.levels[i] for i in levels], column=block.columns),
            )
        )
        first += size
    fixef, residual = labelled(beta, coefficient=list(design.coefficients)), labelled(sigma)
    stats = xr.Dataset({name: labelled(values) for name, values in walked.statistics.items()})
    ppd = mean_ppd(fixef, residual, group_mean, design, settings.seed)
    return Posterior(fixef, residual, tuple(blocks), ppd, stats)


def redrawn_effects(
    target: Target, posterior: Posterior, settings: Settings, kept: Sequence[np.ndarray]
) -> Posterior:
    """Draw the group effects that were not kept, as they would have been drawn with the posterior.

    They are drawn given the posterior's variance parameters and fixed effects, with the random numbers of the seed.
    """
    x, beta = parameters_of(posterior), posterior.fixef.values
    with one_thread():
        _, effects, _ = draw_conditional(target, x, settings.seed, kept, settings.cores, beta)
    blocks = []
    for block, old, b, levels in zip(target.design.blocks, posterior.blocks, effects, kept, strict=True):
        names = [block.levels[i] for i in levels]
        blocks.append(replace(old, b=labelled(b, level=names, column=block.columns)))
    return replace(posterior, blocks=tuple(blocks))


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


def parameters_of(posterior: Posterior) -> np.ndarray:
    """Return the parameters of a `Target` for draws with names, shape (chain, draw, d): `relative_factors` undone."""
    assert posterior.sigma is not None
    sigma, parts = posterior.sigma.values, []
    for block in posterior.blocks:
        parts.append(np.log(block.sd.values / sigma[..., None]))
        parts.append(np.arctanh(partial_correlations(block.corr.values)))
    return np.concatenate([*parts, np.log(sigma)[..., None]], axis=-1)


def partial_correlations(corr: np.ndarray) -> np.ndarray:
    """Return the partial correlations of i and j < i given those before j, row by row: (..., p, p) -> (..., p(p-1)/2).

    They are held inside (-1, 1), where a correlation matrix is singular in double precision.
    """
    p = corr.shape[-1]
    L = np.zeros_like(corr)
    found = np.empty((*corr.shape[:-2], p * (p - 1) // 2))
    pair = 0
    for i in range(p):
        left = np.ones(corr.shape[:-2])
        for j in range(i):
            rest = corr[..., i, j] - (L[..., i, :j] * L[..., j, :j]).sum(axis=-1)
            z = np.clip(rest / (L[..., j, j] * left), -LARGEST_PARTIAL, LARGEST_PARTIAL)
            found[..., pair] = z
            L[..., i, j] = z * left
            left = left * np.sqrt(1 - z**2)
            pair += 1
        L[..., i, i] = left
    return found


def draw_conditional(
    target: Target,
    x: np.ndarray,
    seed: int,
    kept: Sequence[np.ndarray],
    cores: int | None = None,
    beta: np.ndarray | None = None,
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Draw fixed and group effects given the variance parameters, chains side by side.

    Each chain has a random stream of its own, so that the draws do not depend on how chains are run. Where the fixed
    effects are given, the group effects are drawn given them, with the random numbers they would have had otherwise.

    Returns
    -------
    beta : ndarray, shape (chain, draw, k)
        Fixed effects.
    effects : list of ndarray, each (chain, draw, number of levels kept, p)
        Group effects of the levels in `kept`, block by block.
    group_mean : ndarray, shape (chain, draw)
        Mean of Z b over the rows, all levels.
    """
    cp, (chains, draws, _) = target.cp, x.shape
    shape = (chains, draws)
    group_mean, gamma = np.empty(shape), np.empty((*shape, cp.n_coefficients))
    if beta is not None:
        gamma[...] = (beta - cp.basis.shift) @ cp.basis.x.T
    widths = [len(t) for t in cp.basis.z]
    effects = [np.empty((*shape, len(levels), p)) for levels, p in zip(kept, widths, strict=True)]
    back = [np.linalg.inv(t) for t in cp.basis.z]
    places = _block_places(target)
    taken = [place[levels].ravel() for place, levels in zip(places, kept, strict=True)]
    weights = _mean_weights(target, places, back)
    streams = np.random.SeedSequence(seed).spawn(chains)
    draw_effects = compiled("conditional").draw_effects
    k, q = cp.n_coefficients, len(weights)
    step = max(1, min(draws, CHUNK // (k + q)))

    def run(chain: int) -> None:
        rng, b = np.random.default_rng(streams[chain]), np.empty((step, q))
        for start in range(0, draws, step):
            part = slice(start, min(draws, start + step))
            n = part.stop - start
            normals = rng.standard_normal((n, k + q))
            own = np.ascontiguousarray(x[chain, part])
            draw_effects(target.data, target.reals, own, normals, gamma[chain, part], b[:n], beta is not None)
            group_mean[chain, part] = b[:n] @ weights
            for out, place, inverse in zip(effects, taken, back, strict=True):
                out[chain, part] = b[:n, place].reshape(n, -1, len(inverse)) @ inverse.T

    with ThreadPoolExecutor(max_workers=cores or os.cpu_count()) as pool:
        list(pool.map(run, range(chains)))
    return cp.basis.shift + gamma @ np.linalg.inv(cp.basis.x).T, effects, group_mean


def _block_places(target: Target) -> list[np.ndarray]:
    """Positions of each block's effects among those in elimination order, (levels, p) block by block."""
    found, start = {}, 0
    for f in gaussian_kernel(target.cp).order:
        factor = target.cp.factors[f]
        place = start + np.arange(factor.size).reshape(factor.n_levels, factor.width)
        for i, width, stop in zip(factor.blocks, factor.widths, np.cumsum(factor.widths), strict=True):
            found[i] = place[:, stop - width : stop]
        start += factor.size
    return [found[i] for i in sorted(found)]


def _mean_weights(target: Target, places: list[np.ndarray], back: list[np.ndarray]) -> np.ndarray:
    """What each effect, in the basis and order of elimination, adds to the mean of Z b over the rows."""
    weights = np.empty(sum(f.size for f in target.cp.factors))
    for block, place, inverse in zip(target.design.blocks, places, back, strict=True):
        weights[place] = block_weights(block, target.design.nobs) @ inverse
    return weights
