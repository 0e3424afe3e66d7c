"""The parametric bootstrap of a linear mixed model: new responses from the fit, each fitted again.

y* = X beta + Z b* + offset + e*, b* ~ N(0, sigma^2 Lambda Lambda'), e* ~ N(0, sigma^2 W^-1), all parameters at their
estimates: what lme4's ``bootMer`` does with ``use.u = FALSE``. Percentile limits as in Davison & Hinkley (1997,
Bootstrap Methods and their Application, section 5.3.1 and eq. 5.8).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from bayesmlm.crossprod import cross_products, orthogonal_basis, with_response
from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError
from bayesmlm.kernels.threads import one_thread
from bayesmlm.progress import meter
from bayesmlm.reference.constrained import UnsettledError, components
from bayesmlm.reference.deviance import degrees, eliminate
from bayesmlm.reference.optimise import minimise
from bayesmlm.reference.parameters import parameters_of, values_of

# from a response to names and numbers
Statistic = Callable[[np.ndarray], tuple[tuple[str, ...], np.ndarray]]
Outcome = tuple[tuple[str, ...], np.ndarray] | str  # of a replicate: names and numbers, or why it failed

TIMED = 2  # replicates that are done first, to see how long one takes
LONG = 0.02  # seconds from which threads help: shorter replicates are mostly Python, which takes turns


@dataclass(frozen=True)
class Replicates:
    """What a bootstrap found.

    Attributes
    ----------
    names : tuple of str
        Of the statistics.
    values : ndarray, shape (n_boot, number of statistics)
        NaN in the rows of replicates that failed.
    failures : tuple of str
        Why replicates failed.
    """

    names: tuple[str, ...]
    values: np.ndarray
    failures: tuple[str, ...]


def parameter_statistic(design: Design, reml: bool) -> Statistic:
    """Return the function from a response to all parameters of the model fitted to it, by R's names.

    The sums that do not hold the response are shared by all replicates, so that a replicate costs one search.
    """
    cp = cross_products(design, orthogonal_basis(design))
    parameters = parameters_of(design)
    names = tuple(p.name for p in parameters)
    inverse = np.linalg.inv(cp.basis.x)

    def statistic(y: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        own = with_response(cp, design, y)
        found = minimise(own, reml)
        if not found.converged:
            raise UnsettledError(found.reason)
        state = eliminate(own, found.lambdas)
        sigma = float(np.sqrt(state.pwrss / degrees(own, reml)))
        varcorr = components(design, own.basis, found.lambdas, sigma)
        return names, values_of(parameters, varcorr, own.basis.shift + inverse @ state.gamma)

    return statistic


def bootstrap(
    statistic: Statistic,
    simulate: Callable[[np.random.Generator], np.ndarray],
    *,
    n_boot: int,
    seed: int | None,
    cores: int | None,
    progress: bool,
) -> Replicates:
    """Draw responses from the fit and apply a statistic to each, on several threads.

    Each replicate has a random stream of its own, so that the result depends on the seed but not on `cores`.

    Parameters
    ----------
    statistic
        From a response to names and numbers. A BayesMLMError or LinAlgError in it is a failed replicate; any
        other exception is the caller's and ends the bootstrap.
    simulate
        Draws a response from the fit.
    n_boot
        Number of replicates.
    seed
        A non-negative integer; None draws one from the operating system.
    cores
        Threads; None uses all processors if a replicate takes long enough for threads to help, else one.
    progress
        Show a progress bar on standard error, if that is a terminal or a notebook.

    Raises
    ------
    BayesMLMError
        If n_boot, seed or cores is not a number of the right kind, or every replicate failed.
    """
    streams = _streams(n_boot, seed)
    most = None if cores is None else _positive(cores, "cores")

    def replicate(stream: np.random.SeedSequence) -> Outcome:
        try:
            return statistic(simulate(np.random.default_rng(stream)))
        except (BayesMLMError, np.linalg.LinAlgError) as error:
            return str(error)

    found, seconds = [], np.inf
    for stream in streams[:TIMED]:
        before = time.perf_counter()
        found.append(replicate(stream))
        seconds = min(seconds, time.perf_counter() - before)
    with one_thread(), ThreadPoolExecutor(_threads(seconds) if most is None else most) as pool:
        futures = [pool.submit(replicate, s) for s in streams[TIMED:]]
        try:
            _watch(futures, len(found), progress)
        except BaseException:  # an interrupt, or the statistic's own error: let no replicate start after it
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _gathered(found + [f.result() for f in futures])


def _threads(seconds: float) -> int:
    """Return how many threads to use where a replicate takes so long on one."""
    if seconds < LONG:
        return 1
    return (os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()) or 1


def _gathered(found: list[Outcome]) -> Replicates:
    failures = tuple(f for f in found if isinstance(f, str))
    if len(failures) == len(found):
        raise BayesMLMError(
            f"none of the {len(found)} replicates could be fitted; the first says: {failures[0]}"
        )
    names = next(f[0] for f in found if not isinstance(f, str))
    values = np.full((len(found), len(names)), np.nan)
    for row, f in zip(values, found, strict=True):
        if not isinstance(f, str):
            if f[0] != names:
                raise BayesMLMError(
                    "the statistic gave different names in different replicates: return the same"
                )
            row[:] = f[1]
    return Replicates(names, values, failures)


def percentile_limits(sample: np.ndarray, level: float) -> tuple[float, float]:
    """Return the percentile interval of a bootstrap sample, as R's ``boot.ci(type = "perc")``.

    With R values the limits are the order statistics (R + 1) alpha; between two of them, interpolation on the
    scale of normal quantiles (Davison & Hinkley 1997, eq. 5.8). Missing values are left out; NaN without others.
    """
    ordered = np.sort(sample[np.isfinite(sample)])
    if not len(ordered):
        return np.nan, np.nan
    low, high = (_quantile(ordered, alpha) for alpha in ((1 - level) / 2, (1 + level) / 2))
    return low, high


def _quantile(ordered: np.ndarray, alpha: float) -> float:
    size = len(ordered)
    rank = (size + 1) * alpha
    k = int(np.floor(rank + 1e-9))  # (R + 1) alpha that is whole but for rounding is that order statistic
    if k < 1 or k >= size:
        return float(ordered[0 if k < 1 else -1])
    if abs(rank - k) < 1e-9:
        return float(ordered[k - 1])
    at, below, above = norm.ppf([alpha, k / (size + 1), (k + 1) / (size + 1)])
    return float(ordered[k - 1] + (at - below) / (above - below) * (ordered[k] - ordered[k - 1]))


def _streams(n_boot: int, seed: int | None) -> list[np.random.SeedSequence]:
    try:
        return np.random.SeedSequence(seed).spawn(_positive(n_boot, "n_boot"))
    except (TypeError, ValueError) as error:
        raise BayesMLMError(f"seed = {seed!r}: give a non-negative integer, or None") from error


def _positive(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise BayesMLMError(f"{name} = {value!r}: give a positive integer")
    return int(value)


def _watch(futures: list[Future], done: int, progress: bool) -> None:
    """Wait for all replicates, and show how many are done; an exception in one is raised at once."""
    total = done + len(futures)
    with meter("bootstrap", progress) as shown:
        shown.show("bootstrap", done, total)
        for future in as_completed(futures):
            future.result()
            done += 1
            shown.show("bootstrap", done, total)
        shown.finish(f"bootstrap: {total} replicates")
