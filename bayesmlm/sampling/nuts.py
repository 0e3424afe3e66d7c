"""NUTS (nutpie) on a compiled density: no Python between two draws, chains in threads.

nutpie has public entries for PyMC, Stan and Python functions. The way its PyMC models reach the sampler, C functions
and a pointer to their data, is taken here directly. It is not a public interface: the versions of nutpie allowed in
pyproject.toml have it, and tests/test_nuts.py checks it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from nutpie import _lib
from nutpie.sample import CompiledModel

from bayesmlm.kernels.gaussian import compiled
from bayesmlm.kernels.glmm_target import GlmmTarget
from bayesmlm.kernels.target import Target
from bayesmlm.kernels.threads import one_thread
from bayesmlm.progress import meter
from bayesmlm.sampling.running import run_nutpie
from bayesmlm.sampling.settings import Settings, kept_chains

NAME, DIM = "x", "parameter"
STATISTICS = {
    "diverging": "diverging",
    "lp": "logp",
    "energy": "energy",
    "tree_depth": "depth",
    "n_steps": "n_steps",
    "step_size": "step_size",
    "acceptance_rate": "mean_tree_accept",
}


@dataclass(frozen=True)
class Walk:
    """What NUTS did.

    Attributes
    ----------
    x : ndarray, shape (chain, draw, d)
        Draws of what a target reports: its parameters, and for a `GlmmTarget` more.
    statistics : dict of str to ndarray, shape (chain, draw)
        Under ArviZ's names.
    """

    x: np.ndarray
    statistics: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Density(CompiledModel):
    """A target as nutpie takes it."""

    target: Target | GlmmTarget
    start: Callable[[int], np.ndarray]

    @property
    def n_dim(self) -> int:
        return self.target.n_moved

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {NAME: (self.target.n_reported,)}

    @property
    def coords(self) -> dict[str, Any]:
        return {}

    def _make_model(self, init_mean: np.ndarray | None) -> Any:
        functions, data, d = compiled(self.target.kernel), self.target.data.ctypes.data, self.n_dim
        size = self.target.n_reported
        sizes = {DIM: size}
        variables = _lib.PyVariable.new_variables([NAME], ["float64"], [[size]], sizes, {NAME: (DIM,)})
        density = _lib.LogpFunc(functions.density_callback.address, data, self)
        position = _lib.ExpandFunc(d, size, functions.position_callback.address, data, self)
        return _lib.PyMcModel(density, position, variables, d, sizes, {}, self.start, None)

    def _make_sampler(self, settings: Any, init_mean: np.ndarray | None, cores: int, *rest: Any) -> Any:
        return _lib.PySampler.from_pymc(settings, cores, self._make_model(init_mean), *rest)


def walk(target: Target | GlmmTarget, settings: Settings) -> Walk:
    """Draw from a standardised target. An interrupt keeps the draws made so far.

    Chains start at distance one from the mode in every direction: there the gradient, from which nutpie takes its
    first mass matrix, is of size one, as the standardised covariance wants it.

    Raises
    ------
    SamplingError
        If the sampler cannot start, or is interrupted before the first draw after warm-up.
    """
    d = target.n_moved

    def start(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).choice([-1.0, 1.0], d)

    density = _Density(dims={}, target=target, start=start)
    with one_thread(), meter("sampling", settings.progress, terminal=False) as shown:
        trace = run_nutpie(density, settings, shown, return_raw_trace=True)
    return _arranged(trace, settings)


def _arranged(trace: Any, settings: Settings) -> Walk:
    """Return the draws after warm-up of the chains that have most in common."""
    positions, statistics = trace.get_arrow_trace()
    counts = [max(0, batch.num_rows - settings.tune) for batch in positions]
    keep, length = kept_chains(np.array(counts), settings)
    rows = slice(settings.tune, settings.tune + length)
    x = np.stack([_column(positions[i], NAME)[rows] for i in keep])
    found = {
        new: np.stack([_column(statistics[i], old)[rows] for i in keep]) for new, old in STATISTICS.items()
    }
    return Walk(x, found)


def _column(batch: Any, name: str) -> np.ndarray:
    column = pa.array(batch.column(name))
    if pa.types.is_nested(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
    return column.to_numpy(zero_copy_only=False)
