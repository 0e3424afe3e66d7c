"""From the variables of Bambi's posteriors to R's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from bayesmlm.design import Design
from bayesmlm.draws import (
    SAMPLE,
    BlockDraws,
    Posterior,
    PredictorDraws,
    block_weights,
    kept_effects,
    labelled,
    labelled_auxiliary,
    mean_ppd,
)
from bayesmlm.families import LINKS
from bayesmlm.predictive_mean import Values, predictive_mean
from bayesmlm.predictor import RowEffects, predictor_draws

CATEGORIES = "_reduced_dim"  # how Bambi's name of the dimension of all categories but the first ends


@dataclass(frozen=True)
class Variable:
    """A parameter's place.

    Attributes
    ----------
    name : str
        A posterior variable.
    position : int or None
        Place along its own axis, if it is a vector.
    category : int or None
        Place among the categories but the first, if the response has categories with predictors of their own.
    """

    name: str
    position: int | None
    category: int | None = None


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
class PredictorSchema:
    """Where the parameters of one linear predictor are."""

    coefficients: tuple[Variable, ...]
    blocks: tuple[BlockSchema, ...]

    @property
    def names(self) -> list[str]:
        """Its posterior variables."""
        names = [v.name for v in self.coefficients]
        for block in self.blocks:
            effects = list(dict.fromkeys(v.name for v in block.variables))
            names += [*effects, *(f"{e}_sigma" for e in effects)] + ([block.corr] if block.corr else [])
        return names


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
    others : mapping of str to PredictorSchema
        Of further linear predictors, as in `Posterior.others`.
    """

    coefficients: tuple[Variable, ...]
    blocks: tuple[BlockSchema, ...]
    sigma: str | None = "sigma"
    auxiliary: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, PredictorSchema] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, PredictorSchema]:
        """Every linear predictor; the first one is called ``""``."""
        return {"": PredictorSchema(self.coefficients, self.blocks), **self.others}

    @property
    def names(self) -> list[str]:
        """All posterior variables, each once."""
        names = [v.name for v in self.coefficients] + ([self.sigma] if self.sigma else [])
        names += self.auxiliary.values()
        for part in self.parts.values():
            names += part.names
        return list(dict.fromkeys(names))


def part_design(design: Design, name: str) -> Design:
    """Return the design of a linear predictor by its name in `Posterior.others`; categories share that of the model."""
    return design.others.get(name, design)


def pick(data: xr.DataArray, variable: Variable) -> xr.DataArray:
    """Return one parameter's draws, (chain, draw) or of a group-specific term with the levels besides; a view."""
    found = data.transpose(*SAMPLE, ...)
    if variable.category is not None:
        dim = next(str(d) for d in found.dims if str(d).endswith(CATEGORIES))
        found = found.isel({dim: variable.category}, drop=True)
    if variable.position is None:
        return found
    own = next(d for d in found.dims if d not in SAMPLE and not str(d).endswith("__factor_dim"))
    return found.isel({own: variable.position}, drop=True)


def factor_dim(term: xr.DataArray) -> str:
    """Dimension of a group-specific term along which its levels lie."""
    return next(str(d) for d in term.dims if str(d).endswith("__factor_dim"))


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
    parts = {
        name: _read_predictor(data, part, part_design(design, name)) for name, part in schema.parts.items()
    }
    main = parts.pop("")
    sigma = labelled(data[schema.sigma].transpose(*SAMPLE).values) if schema.sigma else None
    auxiliary = {
        name: labelled_auxiliary(design, name, data[v].transpose(*SAMPLE, ...).values)
        for name, v in schema.auxiliary.items()
    }
    ppd = labelled(np.full(main.fixef.shape[:2], np.nan))
    draws = Posterior(
        main.fixef, sigma, main.blocks, ppd, tree["sample_stats"].to_dataset(), auxiliary, parts
    )
    return Posterior(**{**vars(draws), "mean_ppd": _replicated_mean(design, draws, seed)})


def _read_predictor(data: xr.Dataset, schema: PredictorSchema, design: Design) -> PredictorDraws:
    shape = (data.sizes["chain"], data.sizes["draw"], 0)
    fixed = [pick(data[v.name], v).values for v in schema.coefficients]
    values = np.stack(fixed, axis=-1) if fixed else np.empty(shape)
    fixef = labelled(values, coefficient=list(design.coefficients) if fixed else [])
    levels = {b.group: list(b.levels) for b in design.blocks}
    return PredictorDraws(fixef, tuple(_read_block(data, b, levels[b.group]) for b in schema.blocks))


def _read_block(data: xr.Dataset, schema: BlockSchema, levels: list[str]) -> BlockDraws:
    sds, effects = [], []
    for v in schema.variables:
        sds.append(pick(data[f"{v.name}_sigma"], v).values)
        own = pick(data[v.name], v)
        factor = factor_dim(own)
        effects.append(own.sel({factor: levels}).transpose(*SAMPLE, factor).values)
    sd = labelled(np.stack(sds, axis=-1), column=schema.columns)
    corr = (
        np.ones((*sd.shape, 1)) if schema.corr is None else data[schema.corr].transpose(*SAMPLE, ...).values
    )
    b = labelled(np.stack(effects, axis=-1), level=levels, column=schema.columns)
    matrix = labelled(corr, column=schema.columns, column_bis=schema.columns)
    return BlockDraws(schema.label, schema.group, sd, matrix, b)


# -- one replicated data set per draw ----------------------------------------------------------------


def _replicated_mean(design: Design, posterior: Posterior, seed: int) -> xr.DataArray:
    """`Posterior.mean_ppd` of draws whose group effects are all at hand; NaN of categories, which have no mean."""
    fixef, sigma = posterior.fixef, posterior.sigma
    if design.family.is_ordinal or design.family.is_categorical:
        return labelled(np.full(fixef.shape[:2], np.nan))
    effects = [kept_effects(block, b) for block, b in zip(design.blocks, posterior.blocks, strict=True)]
    if design.family.is_gaussian_identity and sigma is not None:
        group_mean = np.zeros(fixef.shape[:2])
        for block, b in zip(design.blocks, effects, strict=True):
            group_mean += np.einsum("sdjp,jp->sd", b, block_weights(block, design.nobs))
        return mean_ppd(fixef, sigma, group_mean, design, seed)
    values: dict[str, Values] = {name: draws.values for name, draws in posterior.auxiliary.items()}
    if sigma is not None:
        values["sigma"] = sigma.values
    values |= {name: _of_rows(design.others[name], part) for name, part in posterior.others.items()}
    return labelled(predictive_mean(design, fixef.values, effects, values, seed))


def _of_rows(design: Design, draws: PredictorDraws) -> Values:
    """Return a function of a slice of the draws, chains one after the other: a parameter's value in every row."""
    beta = draws.fixef.values.reshape(-1, len(design.coefficients))
    b = [each.b.values.reshape(len(beta), *each.b.shape[2:]) for each in draws.blocks]

    def values(part: slice) -> np.ndarray:
        rows = [
            RowEffects(each[part], block.index, block.Z, range(block.Z.shape[1]))
            for each, block in zip(b, design.blocks, strict=True)
        ]
        return LINKS[design.family.link].inverse(predictor_draws(beta[part], design.X, design.offset, rows))

    return values
