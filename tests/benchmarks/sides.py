"""The programs that are compared. Each measures one job: the seconds of one call, and the criterion it reached."""

from __future__ import annotations

import json
import platform
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesmlm as bm
from bayesmlm.design import Block, Design, build_design

HERE = Path(__file__).parent
PATIENCE = 20  # seconds after which statsmodels is interrupted


@dataclass(frozen=True)
class Job:
    """A model and its data; `file` is what the data are called in the folder that R reads.

    `family` is R's name, without a link other than R's default.
    """

    key: str
    formula: str
    data: pd.DataFrame
    reml: bool
    file: str
    family: str = "gaussian"


@dataclass(frozen=True)
class Timing:
    """Seconds per call, and the ML deviance or REML criterion reached."""

    seconds: float
    criterion: float


class Bayesmlm:
    """Ours: the whole call, from the text of the formula to the finished fit."""

    name = "bayesmlm"

    def versions(self) -> str:
        """Say what was measured."""
        libraries = ", ".join(f"{n} {version(n)}" for n in ("numpy", "scipy", "numba") if installed(n))
        return f"bayesmlm {bm.__version__}, Python {platform.python_version()}, {libraries}"

    def measure(self, job: Job, at_least: float) -> Timing:
        """Call until `at_least` seconds have passed."""
        seconds, fit = repeated(lambda: bm.lmer(job.formula, job.data, reml=job.reml), at_least)
        return Timing(seconds, fit.deviance)


class Lme4:
    """lme4 in one R process, which waits while others are measured; its data are read before it is timed."""

    name = "lme4"

    def __init__(self, jobs: list[Job], folder: Path):
        write_jobs(jobs, folder)
        command = ["Rscript", "--vanilla", str(HERE / "serve_lme4.R"), str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def versions(self) -> str:
        """Say what was measured."""
        found = self._ask("versions")
        return f"R {found['R']}, lme4 {found['lme4']}"

    def measure(self, job: Job, at_least: float) -> Timing:
        """Call until `at_least` seconds have passed."""
        found = self._ask(f"{job.key} {at_least}")
        return Timing(found["seconds"] / found["calls"], found["criterion"])

    def close(self) -> None:
        """Let the R process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, request: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        if not reply:
            raise RuntimeError(f"R stopped at the request {request!r}; its message is above")
        return json.loads(reply)


class Statsmodels:
    """statsmodels' MixedLM, given ready matrices: it is spared the formula.

    Blocks on one factor are its random effects (with zero covariances between blocks); several factors are variance
    components in one group of all rows, which it keeps as dense matrices.
    """

    name = "statsmodels"

    def versions(self) -> str:
        """Say what was measured."""
        return f"statsmodels {version('statsmodels')}"

    def measure(self, job: Job, at_least: float) -> Timing | None:
        """Call until `at_least` seconds have passed; None where it cannot fit the model or takes too long."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call = self._call(build_design(job.formula, job.data), job.reml)
            try:
                with interrupted(PATIENCE):
                    seconds, fit = repeated(call, at_least)
            except (TimeoutError, np.linalg.LinAlgError):
                return None
        return Timing(seconds, -2.0 * fit.llf)

    def _call(self, design: Design, reml: bool) -> Callable[[], Any]:
        from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams, VCSpec

        if len({b.group for b in design.blocks}) == 1:
            Z = np.hstack([b.Z for b in design.blocks])
            free = None
            if len(design.blocks) > 1:
                free = MixedLMParams.from_components(
                    np.ones(design.X.shape[1]), own_covariances(design.blocks)
                )
            groups = design.blocks[0].index
            return lambda: MixedLM(design.y, design.X, groups, exog_re=Z).fit(reml=reml, free=free)
        names = [b.label for b in design.blocks]
        columns = [[list(b.levels)] for b in design.blocks]
        one_group = np.ones(design.nobs, int)

        def call() -> Any:
            matrices = [[np.eye(len(b.levels))[b.index] * b.Z] for b in design.blocks]
            parts = VCSpec(names, columns, matrices)
            return MixedLM(design.y, design.X, one_group, exog_vc=parts).fit(reml=reml)

        return call


def own_covariances(blocks: tuple[Block, ...]) -> np.ndarray:
    """Return 1 where two columns share a block, 0 elsewhere."""
    owner = np.repeat(np.arange(len(blocks)), [len(b.columns) for b in blocks])
    return (owner[:, None] == owner).astype(float)


def repeated(call: Callable[[], Any], at_least: float) -> tuple[float, Any]:
    """Call until `at_least` seconds have passed, once at least; return seconds per call and the last result."""
    calls, start = 0, time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while True:
            result = call()
            calls += 1
            seconds = time.perf_counter() - start
            if seconds >= at_least:
                return seconds / calls, result


@contextmanager
def interrupted(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the body after so many seconds (on systems with alarms)."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def write_jobs(jobs: list[Job], folder: Path) -> None:
    """Write what R reads: one csv file per data set, and the models."""
    described = {}
    for job in jobs:
        path = folder / job.file
        if not path.exists():
            job.data.to_csv(path, index=False, na_rep="NA")
        kinds = job.data.dtypes
        categorical = [c for c in job.data.columns if isinstance(kinds[c], pd.CategoricalDtype)]
        levels = {c: [str(v) for v in job.data[c].cat.categories] for c in categorical}
        described[job.key] = {
            "formula": job.formula,
            "file": job.file,
            "reml": job.reml,
            "family": job.family,
            "levels": levels,
        }
    (folder / "jobs.json").write_text(json.dumps(described))


def lme4_is_here() -> bool:
    """Whether there is an Rscript with lme4 and jsonlite."""
    if shutil.which("Rscript") is None:
        return False
    test = "quit(status = !all(sapply(c('lme4', 'jsonlite'), requireNamespace, quietly = TRUE)))"
    return subprocess.run(["Rscript", "--vanilla", "-e", test], capture_output=True).returncode == 0


def installed(package: str) -> bool:
    """Whether a Python package is installed."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
