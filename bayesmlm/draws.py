"""The posterior's schema: draws under R's names, whatever the sampler called its variables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesmlm.covariance import sd_corr
from bayesmlm.design import Design

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
        Group effects: deviations from the fixed effects.
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
        """Levels of the grouping factor."""
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
        Mean over rows of one posterior predictive data set per draw.
    sample_stats : Dataset
        At least ``diverging`` and ``lp`` (log posterior density), each (chain, draw).
    """

    fixef: xr.DataArray
    sigma: xr.DataArray | None
    blocks: tuple[BlockDraws, ...]
    mean_ppd: xr.DataArray
    sample_stats: xr.Dataset

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
    """Where the parameters of a model are in a posterior with Bambi's names."""

    coefficients: tuple[Variable, ...]
    blocks: tuple[BlockSchema, ...]
    sigma: str | None = "sigma"

    @property
    def names(self) -> list[str]:
        """All posterior variables, each once."""
        names = [v.name for v in self.coefficients] + ([self.sigma] if self.sigma else [])
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
    ppd = mean_ppd(fixef, sigma, blocks, design, seed)
    stats = tree["sample_stats"].to_dataset()
    return Posterior(fixef, sigma, blocks, ppd, stats)


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


def mean_ppd(
    fixef: xr.DataArray,
    sigma: xr.DataArray | None,
    blocks: tuple[BlockDraws, ...],
    design: Design,
    seed: int,
) -> xr.DataArray:
    """Mean over rows of one predictive data set per draw; the mean of n normal errors is drawn directly."""
    mean = fixef.values @ design.X.mean(axis=0)
    for block, draws in zip(design.blocks, blocks, strict=True):
        for j in range(len(block.columns)):
            weight = np.bincount(block.index, block.Z[:, j], len(block.levels)) / design.nobs
            mean = mean + draws.b.values[..., j] @ weight
    if design.offset is not None:
        mean = mean + design.offset.mean()
    if sigma is not None:
        noise = np.random.default_rng(seed).standard_normal(mean.shape)
        spread = 1.0 if design.weights is None else np.mean(1 / design.weights)
        mean = mean + sigma.values * noise * np.sqrt(spread / design.nobs)
    return labelled(mean)


def mean_cov(block: BlockDraws) -> tuple[np.ndarray, np.ndarray]:
    """Return sds and correlations of the posterior mean covariance matrix, as rstanarm's ``VarCorr``."""
    return sd_corr(block.cov.mean(SAMPLE).values)
