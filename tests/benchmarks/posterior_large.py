"""Simulated problems of growing size for `bayesmlm.fit`, each in a process of its own, which tells its peak memory.

As a script, ``python posterior_large.py name`` fits one of them and prints the measurements as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from large import CROSSED, crossed, peak_kilobytes

if TYPE_CHECKING:
    import pandas as pd

MEMORY = 14e9  # bytes of address space that a process may take: an ask for more is an answer too
SLOPES = "y ~ x + (1 + x | g)"
ENOUGH = 400.0  # effective draws: 100 for each of four chains
SHORT = {"chains": 2, "draws": 100, "tune": 100}
SEED = 20261


@dataclass(frozen=True)
class Problem:
    """A simulated data set, its model, the settings that differ from the defaults, and whether all of fit() is run.

    Without `whole` the sampler alone is run: convergence numbers of very many group effects take hours.
    """

    name: str
    formula: str
    simulate: Callable[[], pd.DataFrame]
    settings: dict[str, int]
    whole: bool = True


@dataclass(frozen=True)
class Outcome:
    """What was measured; `failed` says why there are no numbers.

    Attributes
    ----------
    gradient : float
        Seconds of one log-density with its gradient.
    steps : float
        Gradients per draw after warm-up.
    sampling, wall, cpu : float
        Seconds of the sampler (mode, NUTS, group effects) and of the whole call; processor seconds of the latter.
    ess, rhat : float
        Smallest bulk ESS and largest Rhat over fixed effects, standard deviations, correlations and sigma.
    to_enough : float
        Seconds to 400 effective draws: of the call, and of the draws that it lacks at its own speed.
    before, peak : float
        Peak memory in MB before the fit and at the end.
    """

    gradient: float = float("nan")
    steps: float = float("nan")
    sampling: float = float("nan")
    wall: float = float("nan")
    cpu: float = float("nan")
    ess: float = float("nan")
    rhat: float = float("nan")
    to_enough: float = float("nan")
    before: float = float("nan")
    peak: float = float("nan")
    failed: str = ""


def grouped(n: int, n_groups: int) -> pd.DataFrame:
    """Rows in groups of nearly one size, whose intercepts and slopes differ."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(20263)
    group = rng.permutation(np.arange(n) % n_groups)
    x = rng.normal(size=n)
    b = rng.multivariate_normal([0.0, 0.0], [[0.25, 0.06], [0.06, 0.09]], n_groups)
    y = 1.0 + 0.5 * x + b[group, 0] + b[group, 1] * x + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "g": np.char.add("g", group.astype(str))})


def _problem(n: int, n_groups: int, whole: bool = True, **settings: int) -> Problem:
    name = f"{n:,} rows x {n_groups:,} groups"
    return Problem(name, SLOPES, partial(grouped, n, n_groups), settings, whole)


PROBLEMS = (
    _problem(10_000, 1000),
    _problem(100_000, 1000),
    _problem(1_000_000, 1000),
    _problem(1000, 100),
    _problem(100_000, 10_000, **SHORT),
    _problem(1_000_000, 100_000, whole=False, **SHORT),
    _problem(1_000_000, 10_000),
    Problem("crossed: 70,000 rows; 3,000 x 1,100 x 14 levels", CROSSED, crossed, SHORT),
)


def measure(problem: Problem) -> Outcome:
    """Fit in a new process."""
    command = [sys.executable, str(Path(__file__).resolve()), problem.name]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        return Outcome(failed=f"ended with {process.returncode}: {process.stderr.strip().splitlines()[-1:]}")
    return Outcome(**json.loads(process.stdout.splitlines()[-1]))


def fit_here(problem: Problem) -> Outcome:
    """Fit in this process."""
    frame = problem.simulate()
    before = peak_kilobytes() / 1024
    design, priors, gradient = gradient_seconds(problem.formula, frame)
    start, used = time.perf_counter(), time.process_time()
    try:
        if problem.whole:
            posterior, sampling = whole_fit(problem, frame)
        else:
            posterior, sampling = sampler_alone(problem, design, priors)
    except MemoryError:
        return Outcome(gradient=gradient, before=before, failed=f"asked for more than {MEMORY / 1e9:.0f} GB")
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    peak = peak_kilobytes() / 1024
    ess, rhat = convergence(posterior)
    draws = posterior.n_draws / posterior.n_chains
    per_draw = sampling / (draws + problem.settings.get("tune", 1000))
    return Outcome(
        gradient=gradient,
        steps=float(posterior.sample_stats["n_steps"].mean()),
        sampling=sampling,
        wall=wall,
        cpu=cpu,
        ess=ess,
        rhat=rhat,
        to_enough=wall + max(0.0, ENOUGH / ess - 1) * draws * per_draw,
        before=before,
        peak=peak,
    )


def gradient_seconds(formula: str, frame: pd.DataFrame) -> tuple[Any, Any, float]:
    """Return design, priors, and the seconds of one gradient near the start of the search for the mode."""
    from bayesmlm.design import build_design
    from bayesmlm.kernels.target import build_target
    from bayesmlm.kernels.threads import one_thread
    from bayesmlm.priors import build_priors
    from bayesmlm.sampling.mode import start as start_of

    design = build_design(formula, frame)
    priors = build_priors(design, None)
    target = build_target(design, priors)
    x = start_of(target, None)
    with one_thread():
        target.log_density(x)
        calls, start = 0, time.perf_counter()
        while calls < 3 or time.perf_counter() - start < 0.5:
            target.log_density(x)
            calls += 1
        return design, priors, (time.perf_counter() - start) / calls


def whole_fit(problem: Problem, frame: pd.DataFrame) -> tuple[Any, float]:
    """Call `bayesmlm.fit`; return the posterior and the seconds of sampling."""
    import bayesmlm as bm

    fit = bm.fit(problem.formula, frame, seed=SEED, cores=2, progress=False, **problem.settings)
    print(fit)
    return fit.posterior, fit.seconds


def sampler_alone(problem: Problem, design: Any, priors: Any) -> tuple[Any, float]:
    """Do what `bayesmlm.fit` does but the convergence numbers of all parameters."""
    from bayesmlm.reference.lmer import fit_lmer
    from bayesmlm.sampling.kernel import sample_marginal
    from bayesmlm.sampling.settings import Settings

    settings = Settings(seed=SEED, target_accept=0.9, cores=2, progress=False, **problem.settings)
    return sample_marginal(design, priors, fit_lmer(design), settings)


def convergence(posterior: Any) -> tuple[float, float]:
    """Return the smallest bulk ESS and the largest Rhat of all parameters but group effects."""
    import xarray as xr

    from bayesmlm.diagnostics import convergence_frame, variance_draws

    fixef = posterior.fixef.rename(coefficient="parameter")
    sigma = posterior.sigma.expand_dims(parameter=["sigma"], axis=-1)
    table = convergence_frame(xr.concat([fixef, variance_draws(posterior), sigma], dim="parameter"))
    return float(table["ess_bulk"].min()), float(table["rhat"].max())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (int(MEMORY), int(MEMORY)))
    chosen = next(p for p in PROBLEMS if p.name == sys.argv[1])
    print(json.dumps(asdict(fit_here(chosen))))
