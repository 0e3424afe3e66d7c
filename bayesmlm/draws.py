"""The posterior's schema: draws under R's names, whatever the sampler called its variables."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from bayesmlm.covariance import sd_corr
from bayesmlm.design import Block, Design
from bayesmlm.errors import DataError, did_you_mean

SAMPLE = ("chain", "draw")


@dataclass(frozen=True)
class BlockDraws:
    """Draws of one block of group effects.

    Attributes
    ----------
    label, group : str
        As in `bayesmlm.design.Block`.
    sd : DataArray (chain, draw, column)
        Standard deviations on the scale of the linear predictor.
    corr : DataArray (chain, draw, column, column_bis)
        Correlation matrices.
    b : DataArray (chain, draw, level, column)
        Group effects: deviations from the fixed effects; of the levels that were kept (all, unless the caller chose).
    """

    label: str
    group: str
    sd: xr.DataArray
    corr: xr.DataArray
    b: xr.DataArray

    @property
    def columns(self) -> tuple[str, ...]:
        """R's names of the columns."""
        return tuple(self.sd["column"].values.tolist())

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels of the grouping factor whose effects were kept."""
        return tuple(self.b["level"].values.tolist())

    @property
    def cov(self) -> xr.DataArray:
        """Covariance matrices, (chain, draw, column, column_bis)."""
        other = self.sd.rename(column="column_bis")
        return (self.corr * self.sd * other).transpose(*SAMPLE, "column", "column_bis")


@dataclass(frozen=True)
class PredictorDraws:
    """Draws of one more linear predictor: its fixed effects (chain, draw, coefficient) and its blocks."""

    fixef: xr.DataArray
    blocks: tuple[BlockDraws, ...]


@dataclass(frozen=True)
class Posterior:
    """Draws of every parameter of a fit, named as R names them.

    Attributes
    ----------
    fixef : DataArray (chain, draw, coefficient)
        Fixed effects; the intercept is that of the predictors as given, not centred.
    sigma : DataArray (chain, draw) or None
        Residual standard deviation.
    blocks : tuple of BlockDraws
        In the order of `Design.blocks`.
    mean_ppd : DataArray (chain, draw)
        Mean over rows of one posterior predictive data set per draw; NaN for a response of categories.
    sample_stats : Dataset
        At least ``diverging`` and ``lp`` (log posterior density), each (chain, draw).
    auxiliary : mapping of str to DataArray (chain, draw)
        The family's other auxiliary parameters by our names; the thresholds of an ordinal one (chain, draw,
        threshold), named as ``"low|middle"``.
    others : mapping of str to PredictorDraws
        Further linear predictors: those of auxiliary parameters that have predictors, by the parameter's name, which
        then has no draws in `sigma` or `auxiliary`; and of a categorical response those of all categories but the
        first, as ``"mu<category>"``, and no other: `fixef` then has no coefficients, and `blocks` is empty.
    """

    fixef: xr.DataArray
    sigma: xr.DataArray | None
    blocks: tuple[BlockDraws, ...]
    mean_ppd: xr.DataArray
    sample_stats: xr.Dataset
    auxiliary: Mapping[str, xr.DataArray] = field(default_factory=dict)
    others: Mapping[str, PredictorDraws] = field(default_factory=dict)

    @property
    def n_chains(self) -> int:
        """Number of chains."""
        return self.fixef.sizes["chain"]

    @property
    def n_draws(self) -> int:
        """Posterior sample size: chains times draws."""
        return self.fixef.sizes["chain"] * self.fixef.sizes["draw"]

    @property
    def whole(self) -> Posterior:
        """This posterior with the coefficients and blocks of all linear predictors in `fixef` and `blocks`.

        A coefficient of one of `others` is called ``sigma_x``; the labels of its blocks tell it already. Of use to
        what lists parameters, not to what multiplies them with the design's columns.
        """
        if not self.others:
            return self
        names = [str(c) for c in self.fixef["coefficient"].values]
        values, blocks = [self.fixef.values], list(self.blocks)
        for name, own in self.others.items():
            names += [f"{name}_{c}" for c in own.fixef["coefficient"].values]
            values.append(own.fixef.values)
            blocks += own.blocks
        fixef = labelled(np.concatenate(values, axis=-1), coefficient=names)
        return replace(self, fixef=fixef, blocks=tuple(blocks), others={})

    def part(self, name: str) -> Posterior:
        """Return this posterior with one of `others` as its only linear predictor."""
        own = self.others[name]
        return replace(self, fixef=own.fixef, blocks=own.blocks, others={})

    def block(self, label: str) -> BlockDraws:
        """Return the block with this label."""
        return next(b for b in self.blocks if b.label == label)


def labelled(values: np.ndarray, **coords: object) -> xr.DataArray:
    """Wrap an array whose first two axes are (chain, draw); further axes are named by `coords`, in order."""
    dims = (*SAMPLE, *coords)
    names = {k: np.asarray(v, dtype=object) for k, v in coords.items()}
    index = {"chain": np.arange(values.shape[0]), "draw": np.arange(values.shape[1])}
    return xr.DataArray(values, dims=dims, coords={**index, **names})


def labelled_auxiliary(design: Design, name: str, values: np.ndarray) -> xr.DataArray:
    """Label draws (chain, draw) of an auxiliary parameter; thresholds (chain, draw, K - 1) by the levels they part."""
    if name != "thresholds":
        return labelled(values)
    levels = design.response_levels
    return labelled(values, threshold=[f"{a}|{b}" for a, b in itertools.pairwise(levels)])


def block_weights(block: Block, nobs: int) -> np.ndarray:
    """What each group effect of a block adds to the mean of Z b over the rows, shape (levels, p)."""
    columns = [np.bincount(block.index, z, len(block.levels)) for z in block.Z.T]
    return np.column_stack(columns) / nobs


def mean_ppd(
    fixef: xr.DataArray,
    sigma: xr.DataArray | None,
    group_mean: np.ndarray,
    design: Design,
    seed: int,
) -> xr.DataArray:
    """Mean over rows of one predictive data set per draw; the mean of n normal errors is drawn directly.

    `group_mean`, shape (chain, draw), is the mean of Z b over the rows.
    """
    mean = fixef.values @ design.X.mean(axis=0) + group_mean
    if design.offset is not None:
        mean = mean + design.offset.mean()
    if sigma is not None:
        noise = np.random.default_rng(seed).standard_normal(mean.shape)
        spread = 1.0 if design.weights is None else np.mean(1 / design.weights)
        mean = mean + sigma.values * noise * np.sqrt(spread / design.nobs)
    return labelled(mean)


# -- which group effects are kept -------------------------------------------------------------------


def kept_levels(design: Design, keep: Any) -> list[np.ndarray]:
    """Return the positions of the levels whose effects are kept, block by block.

    Parameters
    ----------
    design
        The model.
    keep
        True for all, False for none, the name of a grouping factor or block or several names, or a mapping from such
        a name to its levels (or True, False).

    Raises
    ------
    DataError
        For a name or a level that the model does not have.
    """
    groups = dict.fromkeys(name for b in design.blocks for name in (b.label, b.group))
    if isinstance(keep, bool | np.bool_):
        wanted: dict[str, Any] = dict.fromkeys(groups, bool(keep))
    elif isinstance(keep, Mapping):
        wanted = dict(keep)
    elif isinstance(keep, str | list | tuple):
        wanted = dict.fromkeys([keep] if isinstance(keep, str) else keep, True)
    else:
        raise DataError(
            f"keep_ranef = {keep!r}: give True, False, grouping factors, or a dict of their levels"
        )
    for name in wanted:
        if name not in groups:
            hint = did_you_mean(str(name), groups) or f" It has: {', '.join(groups)}."
            raise DataError(f"keep_ranef: the model has no grouping factor {name!r}.{hint}")
    return [_positions(b, wanted.get(b.label, wanted.get(b.group, False))) for b in design.blocks]


def _positions(block: Block, levels: Any) -> np.ndarray:
    if isinstance(levels, bool | np.bool_):
        return np.arange(len(block.levels) if levels else 0)
    at = {level: i for i, level in enumerate(block.levels)}
    asked = [levels] if isinstance(levels, str) else list(levels)
    for level in asked:
        if str(level) not in at:
            hint = did_you_mean(str(level), block.levels)
            raise DataError(f"keep_ranef: {block.group} has no level {str(level)!r}.{hint}")
    return np.array([at[str(level)] for level in asked], dtype=np.intp)


def with_levels(posterior: Posterior, kept: Sequence[np.ndarray]) -> Posterior:
    """Return the posterior with some levels of each block only."""
    blocks = [replace(d, b=d.b.isel(level=at)) for d, at in zip(posterior.blocks, kept, strict=True)]
    return replace(posterior, blocks=tuple(blocks))


def kept_effects(block: Block, draws: BlockDraws) -> np.ndarray:
    """Return the group effects of all levels of a block, (chain, draw, level, column).

    Raises
    ------
    DataError
        If those of some level were not kept.
    """
    if draws.levels != block.levels:
        raise DataError(
            f"the effects of {len(draws.levels)} of the {len(block.levels)} levels of {block.label} were kept: "
            "fit.with_ranef() draws the others"
        )
    return draws.b.values


def mean_cov(block: BlockDraws) -> tuple[np.ndarray, np.ndarray]:
    """Return sds and correlations of the posterior mean covariance matrix, as rstanarm's ``VarCorr``."""
    return sd_corr(block.cov.mean(SAMPLE).values)
