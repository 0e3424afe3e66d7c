"""Starting nutpie, waiting for it, and showing how far it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import nutpie

from bayesmlm.errors import SamplingError
from bayesmlm.progress import Meter, in_notebook
from bayesmlm.sampling.settings import Settings

LOOK = 0.1  # seconds between two looks at the chains


def run_nutpie(compiled: Any, settings: Settings, meter: Meter, **options: Any) -> Any:
    """Return nutpie's trace. An interrupt keeps the draws made so far.

    In a notebook `meter` shows how far the chains are; elsewhere nutpie does.

    Raises
    ------
    SamplingError
        If the sampler cannot start, or stops.
    """
    watch = settings.progress and in_notebook()
    chains: list[Any] = []
    if not watch:
        meter.finish("")  # two bars would be in each other's way

    def look(found: Sequence[Any]) -> None:
        chains[:] = found

    try:
        run = nutpie.sample(
            compiled,
            chains=int(settings.chains),
            draws=int(settings.draws),
            tune=int(settings.tune),
            cores=None if settings.cores is None else int(settings.cores),
            seed=int(settings.seed),
            target_accept=settings.target_accept,
            progress_bar=settings.progress and not watch,
            progress_callback=look if watch else None,
            blocking=False,
            **options,
        )
        return _wait(run, settings, meter, chains if watch else None)
    except RuntimeError as problem:
        raise SamplingError(
            f"the sampler stopped: {problem}. Check the data for extreme values, or rescale the predictors"
        ) from problem


def _wait(run: Any, settings: Settings, meter: Meter, chains: list[Any] | None) -> Any:
    """Wait for the chains; an interrupt stops them. They must not outlive the interpreter."""
    total = settings.chains * (settings.tune + settings.draws)
    start = time.perf_counter()
    try:
        while chains is not None:
            try:
                trace = run.wait(timeout=LOOK)
            except TimeoutError:
                at = [*chains]
                meter.show(f"sampling{_diverged(at)}", sum(c.finished_draws for c in at), total)
            else:
                seconds = time.perf_counter() - start
                meter.finish(f"sampled {_asked(settings)}, in {seconds:.1f} s{_diverged(chains)}")
                return trace
        return run.wait()
    except KeyboardInterrupt:
        trace = run.abort()
        seconds = time.perf_counter() - start
        meter.finish(f"sampling was interrupted after {seconds:.1f} s; asked for were {_asked(settings)}")
        return trace
    except BaseException:
        run.cancel()
        raise


def _asked(settings: Settings) -> str:
    chains = "1 chain" if settings.chains == 1 else f"{settings.chains} chains"
    return f"{chains} of {settings.draws:,} draws after {settings.tune:,} of warm-up"


def _diverged(chains: Sequence[Any]) -> str:
    count = sum(c.divergences for c in chains)
    return f", divergences: {count}" if count else ""
