"""Draws from the prior on the PyMC graph of the Bambi model, for priors that only Bambi and PyMC can read."""

from __future__ import annotations

import logging
import time

import numpy as np
import pymc as pm
import xarray as xr

from bayesmlm.design import Design
from bayesmlm.model import BambiModel
from bayesmlm.sampling.graph import as_given
from bayesmlm.sampling.settings import Settings


def sample_prior_graph(built: BambiModel, design: Design, settings: Settings) -> tuple[xr.DataTree, float]:
    """Draw all parameters independently from their priors; seconds besides.

    ``lp`` is NaN: the graph's log-density is that of its own parametrisation, and would need compiling once more.
    """
    start = time.perf_counter()
    chains, draws = int(settings.chains), int(settings.draws)
    logger = logging.getLogger("pymc")
    level = logger.level
    logger.setLevel(logging.WARNING)  # the list of variables drawn says nothing to the user
    try:
        prior = pm.sample_prior_predictive(
            draws=chains * draws,
            model=built.graph,
            var_names=built.schema.names,
            random_seed=int(settings.seed),
            compile_kwargs={"mode": "FAST_COMPILE"},
        )
    finally:
        logger.setLevel(level)
    flat = prior["prior"].to_dataset().isel(chain=0, drop=True)
    index = {"chain": np.arange(chains), "draw": np.arange(draws)}
    stacked = {}
    for name, variable in flat.data_vars.items():
        ordered = variable.transpose("draw", ...)
        coords = {k: v for k, v in ordered.coords.items() if k != "draw"}
        values = ordered.values.reshape(chains, draws, *ordered.shape[1:])
        stacked[name] = xr.DataArray(values, dims=("chain", *ordered.dims), coords={**index, **coords})
    shape = ("chain", "draw"), np.zeros((chains, draws))
    stats = xr.Dataset({"logp": (shape[0], np.full((chains, draws), np.nan))}, index)
    stats["diverging"] = shape[0], shape[1] > 0
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(stacked), "sample_stats": stats})
    return as_given(tree, built.schema, design), time.perf_counter() - start
