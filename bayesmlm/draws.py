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
from bayesmlm.predictive_mean import predictive_mean

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
    """

    fixef: xr.DataArray
    sigma: xr.DataArray | None
    blocks: tuple[BlockDraws, ...]
    mean_ppd: xr.DataArray
    sample_stats: xr.Dataset
    auxiliary: Mapping[str, xr.DataArray] = field(default_factory=dict)

    @property
    def n_chains(self) -> int:
        """Number of chains."""
        return self.fixef.sizes["chain"]

    @property
    def n_draws(self) -> int:
        """Posterior sample size: chains times draws."""
        return self.fixef.sizes["chain"] * self.fixef.sizes["draw"]

    def block(self, label: str) -> BlockDraws:
        """Return the block with this label."""
        return next(b for b in self.blocks if b.label == label)


def labelled(values: np.ndarray, **coords: object) -> xr.DataArray:
    """Wrap an array whose first two axes are (chain, draw); further axes are named by `coords`, in order."""
    dims = (*SAMPLE, *coords)
    names = {k: np.asarray(v, dtype=object) for k, v in coords.items()}
    index = {"chain": np.arange(values.shape[0]), "draw": np.arange(values.shape[1])}
    return xr.DataArray(values, dims=dims, coords={**index, **names})


# -- from Bambi's variables to R's names ------------------------------------------------------------


@dataclass(frozen=True)
class Variable:
    """A parameter's place: a posterior variable and, if it is a vector, the position along its own axis."""

    name: str
    position: int | None


@dataclass(frozen=True)
class BlockSchema:
    """Where a block's draws are.

    Attributes
    ----------
    label, group : str
        As in `bayesmlm.design.Block`.
    columns : tuple of str
        R's names.
    variables : tuple of Variable
        For each column its group-specific term; the standard deviation is the variable ``<name>_sigma``.
    corr : str or None
        Variable with the correlation matrix; None for one column.
    """

    label: str
    group: str
    columns: tuple[str, ...]
    variables: tuple[Variable, ...]
    corr: str | None


@dataclass(frozen=True)
class Schema:
    """Where the parameters of a model are in a posterior with Bambi's names.

    Attributes
    ----------
    coefficients, blocks
        Of the linear predictor.
    sigma : str or None
        Variable with the residual standard deviation, if there is one.
    auxiliary : mapping of str to str
        Variables with the family's other auxiliary parameters, by our names.
    """

    coefficients: tuple[Variable, ...]
    blocks: tuple[BlockSchema, ...]
    sigma: str | None = "sigma"
    auxiliary: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All posterior variables, each once."""
        names = [v.name for v in self.coefficients] + ([self.sigma] if self.sigma else [])
        names += self.auxiliary.values()
        for block in self.blocks:
            effects = list(dict.fromkeys(v.name for v in block.variables))
            names += [*effects, *(f"{e}_sigma" for e in effects)] + ([block.corr] if block.corr else [])
        return list(dict.fromkeys(names))


def read_posterior(tree: xr.DataTree, schema: Schema, design: Design, seed: int) -> Posterior:
    """Collect the draws of a DataTree with Bambi's variables under R's names.

    Parameters
    ----------
    tree
        With groups ``posterior`` and ``sample_stats``.
    schema
        Where the parameters are.
    design
        Gives names, levels, and the columns' means for `Posterior.mean_ppd`.
    seed
        Seed of the predictive noise in `Posterior.mean_ppd`.
    """
    data = tree["posterior"].to_dataset()
    fixed = [_column(data[v.name], v.position) for v in schema.coefficients]
    shape = (data.sizes["chain"], data.sizes["draw"], len(fixed))
    values = np.stack(fixed, axis=-1) if fixed else np.empty(shape)
    fixef = labelled(values, coefficient=list(design.coefficients))
    sigma = labelled(data[schema.sigma].transpose(*SAMPLE).values) if schema.sigma else None
    levels = {b.label: list(b.levels) for b in design.blocks}
    blocks = tuple(_read_block(data, block, levels[block.label]) for block in schema.blocks)
    auxiliary = {
        name: labelled_auxiliary(design, name, _column(data[v], None)) for name, v in schema.auxiliary.items()
    }
    ppd = _replicated_mean(design, fixef, sigma, auxiliary, blocks, seed)
    stats = tree["sample_stats"].to_dataset()
    return Posterior(fixef, sigma, blocks, ppd, stats, auxiliary)


def labelled_auxiliary(design: Design, name: str, values: np.ndarray) -> xr.DataArray:
    """Label draws (chain, draw) of an auxiliary parameter; thresholds (chain, draw, K - 1) by the levels they part."""
    if name != "thresholds":
        return labelled(values)
    levels = design.response_levels
    return labelled(values, threshold=[f"{a}|{b}" for a, b in itertools.pairwise(levels)])


def _replicated_mean(
    design: Design,
    fixef: xr.DataArray,
    sigma: xr.DataArray | None,
    auxiliary: Mapping[str, xr.DataArray],
    blocks: Sequence[BlockDraws],
    seed: int,
) -> xr.DataArray:
    """`Posterior.mean_ppd` of draws whose group effects are all at hand; NaN of categories, which have no mean."""
    if design.family.is_ordinal or design.family.is_categorical:
        return labelled(np.full(fixef.shape[:2], np.nan))
    effects = [kept_effects(block, draws) for block, draws in zip(design.blocks, blocks, strict=True)]
    if design.family.is_gaussian_identity:
        group_mean = np.zeros(fixef.shape[:2])
        for block, b in zip(design.blocks, effects, strict=True):
            group_mean += np.einsum("sdjp,jp->sd", b, block_weights(block, design.nobs))
        return mean_ppd(fixef, sigma, group_mean, design, seed)
    own = {**auxiliary} if sigma is None else {"sigma": sigma, **auxiliary}
    values = {name: draws.values for name, draws in own.items()}
    return labelled(predictive_mean(design, fixef.values, effects, values, seed))


def _column(variable: xr.DataArray, position: int | None) -> np.ndarray:
    values = variable.transpose(*SAMPLE, ...).values
    return values if position is None else values[:, :, position]


def _read_block(data: xr.Dataset, schema: BlockSchema, levels: list[str]) -> BlockDraws:
    sds, effects = [], []
    for v in schema.variables:
        sds.append(_column(data[f"{v.name}_sigma"], v.position))
        term = data[v.name]
        factor = next(str(d) for d in term.dims if str(d).endswith("__factor_dim"))
        ordered = term.sel({factor: levels}).transpose(*SAMPLE, ..., factor)
        effects.append(_column(ordered, v.position))
    sd = labelled(np.stack(sds, axis=-1), column=schema.columns)
    corr = (
        np.ones((*sd.shape, 1)) if schema.corr is None else data[schema.corr].transpose(*SAMPLE, ...).values
    )
    b = labelled(np.stack(effects, axis=-1), level=levels, column=schema.columns)
    matrix = labelled(corr, column=schema.columns, column_bis=schema.columns)
    return BlockDraws(schema.label, schema.group, sd, matrix, b)


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
