"""Draws under R's names -> the DataTree that Bambi would have made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bambi
import numpy as np
import xarray as xr

from bayesmlm.bambi_draws import PredictorSchema, Schema, factor_dim, part_design, pick
from bayesmlm.design import Design
from bayesmlm.draws import SAMPLE, Posterior, PredictorDraws, kept_effects
from bayesmlm.model.build import BambiModel


def posterior_tree(built: BambiModel, posterior: Posterior, design: Design) -> xr.DataTree:
    """Arrange draws as `bambi.Model.fit` returns them.

    Parameters
    ----------
    built
        The model; it says what Bambi calls a parameter and along which dimensions it lies.
    posterior
        The draws, the intercept being that of the predictors as given.
    design
        For the response.

    Returns
    -------
    DataTree
        Groups ``posterior``, ``sample_stats`` and ``observed_data``.

    Raises
    ------
    DataError
        If the effects of some levels were not kept.
    """
    shape = (posterior.n_chains, posterior.fixef.sizes["draw"])
    variables = {name: _empty(built, name, shape) for name in built.schema.names}
    draws = {"": PredictorDraws(posterior.fixef, posterior.blocks), **posterior.others}
    for name, part in built.schema.parts.items():
        _put_predictor(variables, part, draws[name], part_design(design, name))
    if built.schema.sigma and posterior.sigma is not None:
        variables[built.schema.sigma].values[...] = posterior.sigma.values
    for name, variable_name in built.schema.auxiliary.items():
        variables[variable_name].values[...] = posterior.auxiliary[name].values
    return bambi_tree(xr.Dataset(variables), posterior.sample_stats, built.schema, design)


def _put_predictor(
    variables: dict[str, xr.DataArray], schema: PredictorSchema, draws: PredictorDraws, design: Design
) -> None:
    for j, variable in enumerate(schema.coefficients):
        pick(variables[variable.name], variable).values[...] = draws.fixef.values[..., j]
    if not schema.blocks:  # of a categorical response as a whole
        return
    for where, block, described in zip(schema.blocks, draws.blocks, design.blocks, strict=True):
        kept_effects(described, block)
        for c, variable in enumerate(where.variables):
            pick(variables[f"{variable.name}_sigma"], variable).values[...] = block.sd.values[..., c]
            term = pick(variables[variable.name], variable)
            factor = factor_dim(term)
            own = block.b.isel(column=c, drop=True).rename(level=factor)
            term.values[...] = own.sel({factor: term[factor].values}).values
        if where.corr:
            variables[where.corr].values[...] = block.corr.values


def bambi_tree(
    posterior: xr.Dataset, sample_stats: xr.Dataset, schema: Schema, design: Design
) -> xr.DataTree:
    """Join the groups that Bambi's own fits have, in its order of variables."""
    observed = xr.Dataset({design.response: ("__obs__", design.y)}, {"__obs__": np.arange(design.nobs)})
    mark = {"modeling_interface": "bambi", "modeling_interface_version": bambi.__version__}
    groups = {"posterior": posterior[schema.names], "sample_stats": sample_stats, "observed_data": observed}
    return xr.DataTree.from_dict({name: group.assign_attrs(mark) for name, group in groups.items()})


def _empty(built: BambiModel, name: str, shape: tuple[int, int]) -> xr.DataArray:
    """An array for one variable; group dimensions come last, as in Bambi's own results."""
    dims: list[str] = [str(d) for d in built.graph.named_vars_to_dims.get(name, ())]
    dims.sort(key=lambda d: d.endswith("__factor_dim"))
    coords: Mapping[str, Any] = {d: np.asarray(built.graph.coords[d]) for d in dims}
    index = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    values = np.empty((*shape, *(len(c) for c in coords.values())))
    return xr.DataArray(values, dims=(*SAMPLE, *dims), coords={**index, **coords})
