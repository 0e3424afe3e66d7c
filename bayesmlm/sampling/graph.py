"""NUTS on the PyMC graph of the Bambi model: settings in, an xarray DataTree with Bambi's schema out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import nutpie
import xarray as xr

from bayesmlm.bambi_draws import Schema, Variable, part_design, pick
from bayesmlm.design import Design
from bayesmlm.model import BambiModel, bambi_tree
from bayesmlm.progress import meter
from bayesmlm.sampling.running import run_nutpie
from bayesmlm.sampling.settings import Settings, kept_chains


def sample(built: BambiModel, design: Design, settings: Settings) -> tuple[xr.DataTree, float]:
    """Draw from the posterior of a model by NUTS (nutpie) on its PyMC graph; seconds without compiling besides.

    An interrupt (Ctrl-C, or the notebook's stop button) keeps the draws made so far.

    Raises
    ------
    SamplingError
        If the sampler cannot start, or is interrupted before the first draw after warm-up.
    """
    with meter("compiling the model", settings.progress) as shown:
        compiled = nutpie.compile_pymc_model(built.graph, var_names=built.schema.names, **start_points(built))
        shown.show("sampling")
        start = time.perf_counter()
        trace = run_nutpie(compiled, settings, shown, save_warmup=False)
    seconds = time.perf_counter() - start
    return as_given(_finished(trace, settings), built.schema, design), seconds


def start_points(built: BambiModel) -> dict[str, Any]:
    """Initial points for nutpie: what the model proposes, jittered where few parameters decide much.

    Chains must start apart for Rhat to mean anything, but a jitter of one in every group effect would put
    them far from where the data allow.
    """
    by_name = {rv.name: rv for rv in built.graph.free_RVs}
    points = {by_name[name]: value for name, value in built.start.items() if name in by_name}
    if not points:
        return {}
    # The slopes of a joint prior start off 0, where the gradient in their scales is 0, which nutpie refuses.
    scales = ("tau", "share", "partial", "scale")
    jittered = {
        rv
        for name, rv in by_name.items()
        if name.startswith("fixed||") or ("||" in name and name.rpartition("||")[2].startswith(scales))
    }
    return {"initial_points": points, "jitter_rvs": jittered}


def _finished(trace: xr.DataTree, settings: Settings) -> xr.DataTree:
    """Cut an interrupted run to the draws that its chains have in common."""
    # nutpie pads a chain that was cut short with zeros and NaN; a finished draw has a finite log density.
    stats = trace["sample_stats"].to_dataset()
    done = np.isfinite(stats["logp"].values) & (stats["n_steps"].values > 0)
    counts = np.cumprod(done, axis=1).sum(axis=1)
    keep, length = kept_chains(counts, settings)
    if length == settings.draws and len(keep) == settings.chains:
        return trace
    cut = {name: trace[name].to_dataset().isel(chain=keep, draw=slice(0, length)) for name in trace.children}
    return xr.DataTree.from_dict({k: v.assign_coords(chain=np.arange(len(keep))) for k, v in cut.items()})


def as_given(trace: xr.DataTree, schema: Schema, design: Design) -> xr.DataTree:
    """Arrange draws as `bambi.Model.fit` returns them.

    The intercept is moved from centred predictors to the predictors as given, group dims come last, and
    only variables whose dims Bambi knows are kept.
    """
    posterior = trace["posterior"].to_dataset()[schema.names]
    factors = [str(d) for d in posterior.dims if str(d).endswith("__factor_dim")]
    others = [str(d) for d in posterior.dims if str(d) not in {"chain", "draw", *factors}]
    posterior = posterior.transpose("chain", "draw", *others, *factors)
    for name, part in schema.parts.items():
        own = part_design(design, name)
        if part.coefficients and "(Intercept)" in own.coefficients:
            _uncentre(posterior, part.coefficients, own.X.mean(axis=0))
    stats = trace["sample_stats"].to_dataset()
    arviz = {"depth": "tree_depth", "mean_tree_accept": "acceptance_rate"}
    known = stats.rename({old: new for old, new in arviz.items() if old in stats})
    return bambi_tree(posterior, known.assign(lp=stats["logp"]), schema, design)


def _uncentre(posterior: xr.Dataset, coefficients: tuple[Variable, ...], means: np.ndarray) -> None:
    """Move an intercept, the first coefficient, from centred predictors to the predictors as given."""
    first, *slopes = coefficients
    posterior[first.name] = posterior[first.name].copy()
    intercept = pick(posterior[first.name], first)
    for variable, mean in zip(slopes, means[1:], strict=True):
        intercept.values[...] -= mean * pick(posterior[variable.name], variable).values
