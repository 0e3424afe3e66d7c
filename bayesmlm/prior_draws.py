"""Draws from the prior under R's names, and data sets that the prior predicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayesmlm.columns import as_frame
from bayesmlm.design import Block, Design
from bayesmlm.draws import BlockDraws, Posterior, block_weights, labelled, labelled_auxiliary, mean_ppd
from bayesmlm.errors import BayesMLMError, PriorError
from bayesmlm.families import draw
from bayesmlm.new_responses import new_trials
from bayesmlm.newdata import NewDesign, new_design, new_row_values
from bayesmlm.predictor import RowEffects, predictor_draws
from bayesmlm.priors import Parameters, Priors, draw_parameters, log_prior

CHUNK = 20_000_000  # numbers held at a time beside the result


def sample_prior(
    design: Design, priors: Priors, chains: int, draws: int, seed: int, kept: Sequence[np.ndarray]
) -> Posterior:
    """Draw every parameter from its prior, independently: sigma, slopes, covariances, and group effects given these.

    Parameters
    ----------
    design, priors
        The model; no prior may be a ``bambi.Prior``.
    chains, draws
        Each chain has a random stream of its own.
    seed
        Of all randomness.
    kept
        Positions of the levels whose effects are kept, block by block.

    Returns
    -------
    Posterior
        With the schema of a posterior. ``lp`` is the log-density of the priors of `bayesmlm.priors.log_prior`, group
        effects left out; NaN where slopes have a joint prior.
    """
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(chains)]
    parts = [draw_parameters(design, priors, draws, rng) for rng in streams]
    fixef = labelled(np.stack([p.fixef for p in parts]), coefficient=list(design.coefficients))
    residual = [p.sigma for p in parts if p.sigma is not None]
    sigma = labelled(np.stack(residual)) if residual else None
    auxiliary = {
        name: labelled_auxiliary(design, name, np.stack([p.auxiliary[name] for p in parts]))
        for name in priors.auxiliary
    }
    group_mean, blocks = np.zeros((chains, draws)), []
    for i, block in enumerate(design.blocks):
        b = np.empty((chains, draws, len(kept[i]), len(block.columns)))
        for chain, (part, rng) in enumerate(zip(parts, streams, strict=True)):
            _put_effects(design, part, i, rng, kept[i], b[chain], group_mean[chain])
        sd, factor = (
            np.stack([x[i] for x in each]) for each in zip(*((p.sds, p.factors) for p in parts), strict=True)
        )
        blocks.append(block_draws(block, sd, factor, b, [block.levels[j] for j in kept[i]]))
    ppd = mean_ppd(fixef, sigma, group_mean, design, seed)
    stats = _statistics(design, priors, fixef, sigma, auxiliary, blocks)
    return Posterior(fixef, sigma, tuple(blocks), ppd, stats, auxiliary)


def block_draws(
    block: Block, sd: np.ndarray, factor: np.ndarray, b: np.ndarray, levels: Sequence[str]
) -> BlockDraws:
    """Label draws (chain, draw, ...) of one block: sds, Cholesky factors of the correlations, effects of levels."""
    corr = factor @ np.swapaxes(factor, -1, -2)
    return BlockDraws(
        block.label,
        block.group,
        labelled(sd, column=block.columns),
        labelled(corr, column=block.columns, column_bis=block.columns),
        labelled(b, level=list(levels), column=block.columns),
    )


def _put_effects(
    design: Design,
    parameters: Parameters,
    i: int,
    rng: np.random.Generator,
    kept: np.ndarray,
    b: np.ndarray,
    group_mean: np.ndarray,
) -> None:
    """Draw the effects of block i a part at a time: those kept go to `b`, the mean of Z b is added to `group_mean`."""
    block = design.blocks[i]
    weights, draws = block_weights(block, design.nobs), len(b)
    step = max(1, CHUNK // weights.size)
    for start in range(0, draws, step):
        part = slice(start, min(draws, start + step))
        effects = group_effects(parameters, i, len(block.levels), rng, part)
        b[part] = effects[:, kept]
        group_mean[part] += np.einsum("sjp,jp->s", effects, weights)


def _statistics(
    design: Design,
    priors: Priors,
    fixef: xr.DataArray,
    sigma: xr.DataArray | None,
    auxiliary: Mapping[str, xr.DataArray],
    blocks: list[BlockDraws],
) -> xr.Dataset:
    lp = np.full(fixef.shape[:2], np.nan)
    if priors.joint is None:
        sds, corrs = tuple(b.sd.values for b in blocks), tuple(b.corr.values for b in blocks)
        residual = None if sigma is None else sigma.values
        others = {name: values.values for name, values in auxiliary.items()}
        parts = log_prior(design, priors, fixef.values, residual, sds, corrs, others)
        lp = np.sum(list(parts.values()), axis=0)
    return xr.Dataset({"lp": labelled(lp), "diverging": labelled(np.zeros(lp.shape, dtype=bool))})


def group_effects(
    parameters: Parameters, i: int, levels: int, rng: np.random.Generator, part: slice = slice(None)
) -> np.ndarray:
    """Draw effects (size, levels, p) of block i, each level's from N(0, L L'), L = diag(sd) C."""
    root = (parameters.sds[i][:, :, None] * parameters.factors[i])[part]
    normals = rng.standard_normal((len(root), levels, root.shape[-1]))
    return normals @ np.swapaxes(root, -1, -2)


def prior_data(
    design: Design, priors: Priors, newdata: Any, draws: int, seed: int, trials: Any = None
) -> xr.DataArray:
    """Draw data sets from the prior predictive distribution.

    eta = X beta + sum Z b + offset and y given eta by the family, everything drawn anew for each data set. Under the
    prior no level of a grouping factor differs from another, so those of the fit and new ones are drawn alike.

    Parameters
    ----------
    design, priors
        The model.
    newdata
        Rows to predict, as of `bayesmlm.newdata.new_design`, new levels allowed; those of the design if None.
    draws
        Number of data sets.
    seed
        Of all randomness.
    trials
        Numbers of trials of the new rows of a binomial; from their columns if None, see `new_trials`.

    Returns
    -------
    DataArray, dims (draw, obs)
        Of categories their positions.

    Raises
    ------
    PriorError
        If a prior is a ``bambi.Prior``, which only the graph of a fit can draw from.
    """
    if not isinstance(draws, int | np.integer) or isinstance(draws, bool) or draws < 1:
        raise BayesMLMError(f"draws = {draws!r}: give a whole number of at least 1")
    if priors.custom:
        raise PriorError(
            f"the prior of {priors.custom} is a bambi.Prior: give one of bm's families, or draw parameters with "
            "bm.fit(..., prior_only=True)"
        )
    new = None if newdata is None else new_design(design, newdata, allow_new_levels=True)
    weights, of_rows = (design.weights, design.trials) if new is None else _new_rows(design, newdata, trials)
    rng = np.random.default_rng(seed)
    X, offset = (design.X, design.offset) if new is None else (new.X, new.offset)
    out = np.empty((draws, len(X)))
    step = max(1, CHUNK // max(1, len(X)))
    for start in range(0, draws, step):
        part = slice(start, min(draws, start + step))
        theta = draw_parameters(design, priors, part.stop - part.start, rng)
        mean = predictor_draws(theta.fixef, X, offset, _drawn_effects(design, new, theta, rng))
        parameters = theta.auxiliary if theta.sigma is None else {**theta.auxiliary, "sigma": theta.sigma}
        known = {name: values[:, None] for name, values in parameters.items()}
        out[part] = draw(design.family, mean, known, rng, of_rows, weights)
    return xr.DataArray(
        out, dims=("draw", "obs"), coords={"draw": np.arange(draws), "obs": np.arange(len(X))}
    )


def _new_rows(design: Design, newdata: Any, trials: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the weights of new rows of a Gaussian model, and the numbers of trials of a binomial one."""
    frame, weights = as_frame(newdata), None
    if design.family.name == "gaussian" or isinstance(design.given.get("weights"), str):
        weights = new_row_values(design, "weights", frame, None)
    found = new_trials(design, frame, trials, weights)
    return (weights if design.family.name == "gaussian" else None), found


def _drawn_effects(
    design: Design, new: NewDesign | None, theta: Parameters, rng: np.random.Generator
) -> Iterator[RowEffects]:
    """Yield effects drawn from the prior for the levels that the rows have, block by block."""
    for i, columns, Z, index in _rows_of_blocks(design, new):
        levels, row = np.unique(index, return_inverse=True)
        yield RowEffects(group_effects(theta, i, len(levels), rng), row, Z, columns)


def _rows_of_blocks(
    design: Design, new: NewDesign | None
) -> list[tuple[int, tuple[int, ...], np.ndarray, np.ndarray]]:
    """Of each block its position, columns, their values (n, columns), and a number for each row's level."""
    if new is None:
        return [(i, tuple(range(b.Z.shape[1])), b.Z, b.index) for i, b in enumerate(design.blocks)]
    rows = []
    for block in new.blocks:
        known = len(design.blocks[block.position].levels)
        index = np.where(block.new_index >= 0, known + block.new_index, block.index)
        rows.append((block.position, block.columns, block.Z, index))
    return rows
