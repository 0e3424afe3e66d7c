"""NUTS on the PyMC graph of the Bambi model: settings in, an xarray DataTree with Bambi's schema out."""

from __future__ import annotations

import secrets
import sys
import time
from dataclasses import dataclass
from typing import Any

import bambi
import numpy as np
import nutpie
import xarray as xr

from bayesmlm.design import Design
from bayesmlm.draws import Schema
from bayesmlm.errors import ConvergenceWarning, SamplingError, warn
from bayesmlm.model import BambiModel


@dataclass(frozen=True)
class Settings:
    """How to sample.

    Attributes
    ----------
    chains, draws, tune : int
        Number of chains, and of draws and warm-up iterations per chain.
    seed : int
        Seed of all randomness; the same seed, data and versions give the same draws.
    target_accept : float
        Target acceptance rate; 0.95 is rstanarm's default for multilevel models.
    cores : int or None
        Chains run at once; None uses all cores.
    progress : bool
        Whether to show a progress bar.
    """

    chains: int = 4
    draws: int = 1000
    tune: int = 1000
    seed: int = 0
    target_accept: float = 0.95
    cores: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("draws", 4), ("tune", 1), ("seed", 0), ("cores", 1)):
            value = getattr(self, name)
            if name == "cores" and value is None:
                continue
            if (
                not isinstance(value, int | np.integer)
                or isinstance(value, bool)
                or not least <= value < 2**63
            ):
                raise SamplingError(f"{name} = {value!r}: give a whole number of at least {least}")
        if not isinstance(self.target_accept, float) or not 0 < self.target_accept < 1:
            raise SamplingError(f"target_accept = {self.target_accept!r}: give a number between 0 and 1")


def new_seed() -> int:
    """Return a seed for a fit that was given none; it is kept with the fit, so the fit can be repeated."""
    return secrets.randbits(31)


@dataclass(frozen=True)
class Sampled:
    """Draws and how they came about.

    Attributes
    ----------
    tree : DataTree
        Groups ``posterior``, ``sample_stats`` and ``observed_data``.
    seconds : float
        Sampling time, compilation excluded.
    """

    tree: xr.DataTree
    seconds: float


def sample(built: BambiModel, design: Design, settings: Settings) -> Sampled:
    """Draw from the posterior of a model by NUTS (nutpie) on its PyMC graph.

    An interrupt (Ctrl-C, or the notebook's stop button) keeps the draws made so far.

    Raises
    ------
    SamplingError
        If the sampler cannot start, or is interrupted before the first draw after warm-up.
    """
    if settings.progress:
        print("compiling the model ...", end=" ", flush=True, file=sys.stderr)
    compiled = nutpie.compile_pymc_model(built.graph, var_names=built.schema.names, **_start(built))
    if settings.progress:
        print("sampling", flush=True, file=sys.stderr)
    start = time.perf_counter()
    try:
        trace = nutpie.sample(
            compiled,
            chains=int(settings.chains),
            draws=int(settings.draws),
            tune=int(settings.tune),
            cores=None if settings.cores is None else int(settings.cores),
            seed=int(settings.seed),
            progress_bar=settings.progress,
            save_warmup=False,
            target_accept=settings.target_accept,
        )
    except RuntimeError as problem:
        raise SamplingError(
            f"the sampler stopped: {problem}. Check the data for extreme values, or rescale the predictors"
        ) from problem
    seconds = time.perf_counter() - start
    return Sampled(_bambi_tree(_finished(trace, settings), built.schema, design), seconds)


def _start(built: BambiModel) -> dict[str, Any]:
    """Initial points for nutpie: what the model proposes, jittered where few parameters decide much.

    Chains must start apart for Rhat to mean anything, but a jitter of one in every group effect would put
    them far from where the data allow.
    """
    by_name = {rv.name: rv for rv in built.graph.free_RVs}
    points = {by_name[name]: value for name, value in built.start.items() if name in by_name}
    if not points:
        return {}
    scales = ("||tau", "||share", "||partial", "||scale")
    return {"initial_points": points, "jitter_rvs": {rv for n, rv in by_name.items() if n.endswith(scales)}}


def _finished(trace: xr.DataTree, settings: Settings) -> xr.DataTree:
    """Cut an interrupted run to the draws that its chains have in common."""
    # nutpie pads a chain that was cut short with zeros and NaN; a finished draw has a finite log density.
    stats = trace["sample_stats"].to_dataset()
    done = np.isfinite(stats["logp"].values) & (stats["n_steps"].values > 0)
    counts = np.cumprod(done, axis=1).sum(axis=1)
    if counts.min() == settings.draws and len(counts) == settings.chains:
        return trace
    # Chains that had barely begun would cost all the others their draws: keep what gives most draws.
    order = np.sort(counts)[::-1]
    chains_kept = int(np.argmax(order * np.arange(1, len(order) + 1))) + 1
    length = int(order[chains_kept - 1])
    if length < 4:
        raise SamplingError("sampling was interrupted during warm-up: there are no draws to keep")
    keep = np.flatnonzero(counts >= length)
    message = (
        f"sampling was interrupted: kept {len(keep)} chains of {length} draws (asked: {settings.chains} of "
    )
    warn(f"{message}{settings.draws})", ConvergenceWarning)
    cut = {name: trace[name].to_dataset().isel(chain=keep, draw=slice(0, length)) for name in trace.children}
    return xr.DataTree.from_dict({k: v.assign_coords(chain=np.arange(len(keep))) for k, v in cut.items()})


def _bambi_tree(trace: xr.DataTree, schema: Schema, design: Design) -> xr.DataTree:
    """Arrange draws as `bambi.Model.fit` returns them.

    The intercept is moved from centred predictors to the predictors as given, group dims come last, and
    only variables whose dims Bambi knows are kept.
    """
    posterior = trace["posterior"].to_dataset()[schema.names]
    factors = [str(d) for d in posterior.dims if str(d).endswith("__factor_dim")]
    others = [str(d) for d in posterior.dims if str(d) not in {"chain", "draw", *factors}]
    posterior = posterior.transpose("chain", "draw", *others, *factors)
    if "(Intercept)" in design.coefficients:
        shift = 0.0
        for variable, mean in list(zip(schema.coefficients, design.X.mean(axis=0), strict=True))[1:]:
            draws = posterior[variable.name]
            if variable.position is not None:
                draws = draws.isel({draws.dims[2]: variable.position}, drop=True)
            shift = shift + mean * draws
        name = schema.coefficients[0].name
        posterior[name] = (posterior[name] - shift).assign_attrs(posterior[name].attrs)
    stats = trace["sample_stats"].to_dataset()
    stats = stats.assign(lp=stats["logp"])
    observed = xr.Dataset({design.response: ("__obs__", design.y)}, {"__obs__": np.arange(design.nobs)})
    mark = {"modeling_interface": "bambi", "modeling_interface_version": bambi.__version__}
    groups = {"posterior": posterior, "sample_stats": stats, "observed_data": observed}
    return xr.DataTree.from_dict({name: group.assign_attrs(mark) for name, group in groups.items()})
