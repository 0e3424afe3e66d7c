"""Large simulated problems, each fitted in a process of its own, so that its peak memory can be told.

As a script, ``python large.py file.csv formula calls`` fits one of them and prints the seconds of each call.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Problem:
    """A simulated data set and its model, fitted by REML."""

    name: str
    formula: str
    simulate: Callable[[], pd.DataFrame]


@dataclass(frozen=True)
class Outcome:
    """Seconds of the first and of the quickest call, the process's peak memory in MB, and the criterion."""

    first: float
    quickest: float
    peak: float
    criterion: float


def crossed(shrink: int = 1) -> pd.DataFrame:
    """70,000 rows with three crossed factors of 3,000, 1,100 and 14 levels; or so many times fewer."""
    rng = np.random.default_rng(20261)
    sizes = {"s": (3000 // shrink, 0.5), "d": (1100 // shrink, 0.4), "dept": (14, 0.2)}
    codes = {name: rng.integers(0, levels, 70_000 // shrink) for name, (levels, _) in sizes.items()}
    return _simulated(rng, codes, sizes)


def nested() -> pd.DataFrame:
    """100,000 rows in 20,000 classes in 2,000 schools in 50 regions."""
    rng = np.random.default_rng(20262)
    sizes = {"class": (20_000, 0.5), "school": (2000, 0.4), "region": (50, 0.2)}
    school_of = rng.permutation(np.arange(20_000) % 2000)
    region_of = rng.permutation(np.arange(2000) % 50)
    room = rng.permutation(np.arange(100_000) % 20_000)
    school = school_of[room]
    return _simulated(rng, {"class": room, "school": school, "region": region_of[school]}, sizes)


def _simulated(
    rng: np.random.Generator, codes: dict[str, np.ndarray], sizes: dict[str, tuple[int, float]]
) -> pd.DataFrame:
    n = len(next(iter(codes.values())))
    x, z = rng.normal(size=n), rng.normal(size=n)
    y = 1.0 + 0.5 * x - 0.3 * z + rng.normal(size=n)
    for name, (levels, sd) in sizes.items():
        y += rng.normal(0.0, sd, levels)[codes[name]]
    labels = {name: np.char.add(name, code.astype(str)) for name, code in codes.items()}
    return pd.DataFrame({"y": y, "x": x, "z": z, **labels})


CROSSED = "y ~ x + z + (1|s) + (1|d) + (1|dept)"
NESTED = "y ~ x + z + (1|class) + (1|school) + (1|region)"
QUICK = (Problem("crossed: 7,000 rows; 300 x 110 x 14 levels", CROSSED, partial(crossed, 10)),)
FULL = (
    Problem("crossed: 70,000 rows; 3,000 x 1,100 x 14 levels", CROSSED, crossed),
    Problem("nested: 100,000 rows; 20,000 classes in 2,000 schools in 50 regions", NESTED, nested),
)


def ours(path: Path, problem: Problem) -> Outcome:
    """Fit with bayesmlm: three calls, the first of which loads the compiled code."""
    return _run([sys.executable, str(Path(__file__).resolve()), str(path), problem.formula, "3"])


def lme4(path: Path, problem: Problem) -> Outcome:
    """Fit with lme4: one call."""
    return _run(["Rscript", "--vanilla", str(HERE / "large.R"), str(path), problem.formula, "1"])


def _run(command: list[str]) -> Outcome:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    *lines, peak = process.stdout.read().splitlines()
    if process.wait():
        raise RuntimeError(f"{command[0]} ended with {process.returncode}; its message is above")
    seconds, criteria = zip(*(map(float, line.split()) for line in lines), strict=True)
    return Outcome(seconds[0], min(seconds), float(peak) / 1024, criteria[-1])


def peak_kilobytes() -> float:
    """Return the peak resident memory of this process; getrusage would count its parent's. NaN outside Linux."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((float(line.split()[1]) for line in lines if line.startswith("VmHWM")), float("nan"))


def fit_here(path: str, formula: str, calls: int) -> None:
    """Fit in this process and print the seconds and the criterion of each call, then the peak memory."""
    import bayesmlm as bm

    frame = pd.read_csv(path)
    for _ in range(calls):
        start = time.perf_counter()
        fit = bm.lmer(formula, frame)
        print(time.perf_counter() - start, fit.deviance)
    print(peak_kilobytes())


if __name__ == "__main__":
    fit_here(sys.argv[1], sys.argv[2], int(sys.argv[3]))
