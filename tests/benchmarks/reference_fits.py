"""Time the reference fits beside lme4 and statsmodels, in one run on one machine.

    uv run tests/benchmarks/reference_fits.py                      # ours, and lme4 if there is an Rscript with it
    uv run --with statsmodels tests/benchmarks/reference_fits.py   # and statsmodels
    ... --quick                                                    # some small problems only
    ... --markdown                                                 # and write docs/benchmarks.md

Every program gets the formula and the data frame in memory and does the whole call. They take turns model by model,
and every model has its turn in several rounds: a busy moment of the machine hits all, and the median is reported.
Linear algebra runs on the same number of threads for all (--threads, 1 unless told otherwise).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
ROOT = Path(__file__).resolve().parents[2]
QUICK_MODELS = ("gcse_m3", "va_m1_rs", "eng_lme9", "sleep_corr_reml", "penicillin", "cake")
AT_LEAST = 0.2  # seconds of repeated calls: a call may be shorter than R's clock can tell
RESOLUTION = 1e-6  # of a criterion: smaller differences are rounding
SLOW = 5.0  # seconds of a call beyond which one round is enough


@dataclass(frozen=True)
class Row:
    """A model, the median seconds of each program and the criterion it reached; only those that could fit it."""

    key: str
    size: str
    seconds: dict[str, float]
    criterion: dict[str, float]

    def ratio(self, other: str) -> float | None:
        """Return how many times longer another program takes than ours."""
        return self.seconds[other] / self.seconds["bayesmlm"] if other in self.seconds else None

    def above(self, other: str) -> float | None:
        """Return another program's criterion less ours: how far above our minimum it stopped."""
        return self.criterion[other] - self.criterion["bayesmlm"] if other in self.seconds else None


def main() -> None:
    """Measure, print, and write the page if asked to."""
    args = arguments()
    pin_threads(args.threads)
    from large import FULL, QUICK

    jobs = public_models(args.quick)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        sides, notes = programs(jobs, Path(name), opened)
        rows = measure(jobs, sides, args.rounds)
        others = [side.name for side in sides[1:]]
        problems = large_problems(QUICK if args.quick else FULL, Path(name), "lme4" in others)
        page = "\n".join([*heading(sides, args, load), *notes, *model_table(rows, others), *problems])
    print(page)
    if args.markdown:
        Path(args.markdown).write_text(page + "\n")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few small problems only")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each program at each model")
    parser.add_argument("--threads", type=int, default=1, help="threads of linear algebra")
    page = str(ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--markdown", nargs="?", const=page, help="write the page, to docs/benchmarks.md")
    return parser.parse_args()


def pin_threads(threads: int) -> None:
    """Start again with the same number of threads for every library, which must be told before it is loaded."""
    wanted = dict.fromkeys(THREADS, str(threads))
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})


def programs(jobs: list, folder: Path, opened: ExitStack) -> tuple[list, list[str]]:
    """Return the programs that are installed, ours first, and a sentence for each that is not."""
    from sides import Bayesmlm, Lme4, Statsmodels, installed, lme4_is_here

    sides: list = [Bayesmlm()]
    notes = []
    if lme4_is_here():
        sides.append(Lme4(jobs, folder))
        opened.callback(sides[-1].close)
    else:
        notes += ["lme4 is left out: there is no Rscript with the packages lme4 and jsonlite.", ""]
    if installed("statsmodels"):
        sides.append(Statsmodels())
    else:
        notes += ["statsmodels is left out: run with `uv run --with statsmodels`.", ""]
    return sides, notes


# -- the public models -----------------------------------------------------------------------------


def public_models(quick: bool) -> list:
    """Return every lmer model of tests/reference/lme4.json with its data."""
    from sides import Job

    from bayesmlm.datasets import load_dataset

    entries = json.loads((ROOT / "tests" / "reference" / "lme4.json").read_text())
    frames = {}
    jobs = []
    for key, entry in entries.items():
        if entry["kind"] != "lmer" or (quick and key not in QUICK_MODELS):
            continue
        name = entry["data"]
        if name not in frames:
            data = load_dataset(name.removesuffix(".csv"))
            present = "ATT8SCR > 0 and PTFSM6CLA1A > 0 and PERCTOT > 0 and PNUMEAL > 0"
            frames[name] = data.query(present) if name.startswith("england") else data
        jobs.append(Job(key, entry["formula"], frames[name], entry["REML"], name))
    return jobs


def measure(jobs: list, sides: list, rounds: int) -> list[Row]:
    """Let the programs take turns; the first call of each, which reads and compiles, does not count."""
    import numpy as np

    from bayesmlm.design import build_design

    rows = []
    for job in jobs:
        first = {side.name: side.measure(job, 0.0) for side in sides}
        first = {name: timing for name, timing in first.items() if timing}
        found: dict[str, list[float]] = {name: [] for name in first}
        for turn in range(rounds):
            for side in sides if turn % 2 == 0 else sides[::-1]:
                if side.name in first and (turn == 0 or first[side.name].seconds < SLOW):
                    found[side.name].append(side.measure(job, AT_LEAST).seconds)
        seconds = {name: float(np.median(values)) for name, values in found.items()}
        design = build_design(job.formula, job.data)
        groups = ", ".join(f"{name} {count}" for name, count in design.ngroups.items())
        size = f"{design.nobs} rows; {groups}"
        rows.append(Row(job.key, size, seconds, {name: timing.criterion for name, timing in first.items()}))
        print(f"{job.key}: {1e3 * seconds['bayesmlm']:.1f} ms", file=sys.stderr, flush=True)
    return rows


def model_table(rows: list[Row], others: list[str]) -> list[str]:
    """Return the table of models: milliseconds, and how many times longer the others take."""
    import numpy as np

    heads = ["model", "data", "bayesmlm ms"]
    for other in others:
        heads += [f"{other} ms", f"{other} / bayesmlm", f"{other} - minimum"]
    cells = []
    for row in rows:
        line = [row.key, row.size, milliseconds(row.seconds["bayesmlm"])]
        for other in others:
            line += [milliseconds(row.seconds.get(other)), times(row.ratio(other)), gap(row.above(other))]
        cells.append(line)
    out = ["## The public models", "", *table(heads, cells), ""]
    for other in others:
        ratios = np.array([r for r in (row.ratio(other) for row in rows) if r is not None])
        faster = int((ratios > 1).sum())
        out.append(
            f"{other} / bayesmlm over {len(ratios)} models: geometric mean {np.exp(np.log(ratios).mean()):.2f}, "
            f"lowest {ratios.min():.2f}, highest {ratios.max():.1f}; bayesmlm is faster for {faster}."
        )
    return out


def milliseconds(seconds: float | None) -> str:
    """Write milliseconds to three digits, a dash where there is no number."""
    return "-" if seconds is None else f"{1e3 * seconds:#.3g}".rstrip(".")


def times(ratio: float | None) -> str:
    """Write a ratio to three digits, a dash where there is none."""
    return "-" if ratio is None else f"{ratio:#.3g}".rstrip(".")


def gap(above: float | None) -> str:
    """Write a difference of criteria: 0 where it is rounding."""
    if above is None:
        return "-"
    return "0" if abs(above) < RESOLUTION else f"{above:.1e}"


def table(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Lay out a Markdown table whose columns line up as text too."""
    columns = [list(column) for column in zip(heads, *rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "| "
        + " | ".join(
            c[i].ljust(w) if j < 2 else c[i].rjust(w)
            for j, (c, w) in enumerate(zip(columns, widths, strict=True))
        )
        + " |"
        for i in range(len(columns[0]))
    ]
    rule = "|" + "|".join("-" * (w + 1) + ("-" if j < 2 else ":") for j, w in enumerate(widths)) + "|"
    return [lines[0], rule, *lines[1:]]


# -- the large problems ----------------------------------------------------------------------------


def large_problems(problems: Iterable, folder: Path, with_lme4: bool) -> list[str]:
    """Fit the large problems in processes of their own and return their table."""
    from large import lme4, ours

    cells = []
    for problem in problems:
        path = folder / "large.csv"
        problem.simulate().to_csv(path, index=False)
        own = ours(path, problem)
        line = [problem.name, "bayesmlm", f"{own.first:.2f}", f"{own.quickest:.2f}", f"{own.peak:.0f}", ""]
        cells.append(line)
        if with_lme4:
            other = lme4(path, problem)
            above = gap(other.criterion - own.criterion)
            cells.append(["", "lme4", f"{other.first:.2f}", "", f"{other.peak:.0f}", above])
    heads = ["problem", "program", "first call s", "quickest s", "peak memory MB", "lme4 - minimum"]
    return ["", "## Large simulated problems", "", *table(heads, cells), ""]


# -- the page --------------------------------------------------------------------------------------


def heading(sides: list, args: argparse.Namespace, load: float) -> list[str]:
    """Say what was measured, how and on what."""
    today = datetime.date.today().isoformat()
    cores = os.cpu_count()
    extra = "--with statsmodels " if "statsmodels" in [side.name for side in sides] else ""
    return [
        "# How long the reference fits take",
        "",
        f"By `uv run {extra}tests/benchmarks/reference_fits.py{' --quick' if args.quick else ''}`, "
        f"{today}, on {processor()} ({cores} cores, {platform.system()}); load average at the start {load:.1f}; "
        f"{args.threads} thread{'' if args.threads == 1 else 's'} of linear algebra.",
        "",
        *(f"- {side.name}: {side.versions()}" for side in sides),
        "",
        "Each program gets the formula and the data frame in memory and does the whole call with its defaults; "
        "statsmodels gets ready matrices instead. They take turns; the numbers are medians, each of "
        f"{args.rounds} measurements of calls repeated for {AT_LEAST:g} s, after a first call that does not count. "
        'A dash: not a model for that program, or not done in 20 s. "- minimum" is how far above ours the other\'s '
        "ML deviance or REML criterion stops.",
        "",
    ]


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
