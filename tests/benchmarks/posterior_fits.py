"""Time draws from posteriors beside Bambi and rstanarm, in one run on one machine.

    uv run tests/benchmarks/posterior_fits.py             # ours, Bambi, and rstanarm if there is an Rscript with it
    ... --quick                                           # two models, ours and Bambi
    ... --part models                                     # or families, or scaling; all if not told
    ... --more                                            # and, on Bambi's graph, nutpie itself and PyMC's own NUTS
    ... --markdown                                        # and write docs/benchmarks_posterior.md

Every fit has a process of its own, with 4 chains of 1,000 + 1,000 iterations, two at a time, and one thread of linear
algebra. A part that is run alone replaces its section of the page and leaves the others.
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from posterior_large import PROBLEMS
from posterior_large import Outcome as Scaled
from posterior_large import measure as measure_problem
from posterior_sides import (
    SECOND_CALL,
    Outcome,
    Run,
    measure,
    rstanarm_is_here,
    rstanarm_versions,
    write_models,
)
from reference_fits import ROOT, pin_threads, processor, public_models, table

MODELS = (
    "gcse_m1",
    "gcse_m2",
    "gcse_m3",
    "sleep_corr_reml",
    "penicillin",
    "pastes",
    "imm_model4",
    "hsb_mod3",
    "eng_lme9",
)
QUICK_MODELS = ("gcse_m3", "penicillin")
PROGRAMS = ("bayesmlm", "bayesmlm pymc", "Bambi nutpie")
MORE_PROGRAMS = ("nutpie on Bambi", "Bambi pymc")
QUICK_PROGRAMS = ("bayesmlm", "Bambi nutpie")
FAMILIES = ("cbpp", "grouseticks", "crossed_binary")
PARTS = ("models", "families", "scaling")
PAGE = ROOT / "docs" / "benchmarks_posterior.md"
SECTION = re.compile(r"^## ", re.MULTILINE)


def main() -> None:
    """Measure, print, and write the page if asked to."""
    args = arguments()
    pin_threads(1)
    page = heading(args)
    if "models" in args.parts:
        keys = args.models or (QUICK_MODELS if args.quick else MODELS)
        jobs = [job for job in public_models(False) if job.key in keys]
        page += ["", "## The public models", "", *models_section(args, jobs)]
    if "families" in args.parts:
        jobs = [job for job in generalised_models() if job.key in (args.models or FAMILIES)]
        page += ["", "## Generalised models", "", *CROSSED_BINARY, *models_section(args, jobs)]
    if "scaling" in args.parts and not args.quick:
        page += ["", *scaling_section()]
    text = "\n".join(page) + "\n"
    print(text, end="")
    if args.markdown:
        path = Path(args.markdown)
        path.write_text(merged(path.read_text() if path.exists() else "", text))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two models, ours and Bambi only")
    parser.add_argument(
        "--part", dest="parts", choices=PARTS, nargs="+", default=PARTS, help="what to measure"
    )
    more = "on Bambi's graph also nutpie called directly, and PyMC's own NUTS"
    parser.add_argument("--more", action="store_true", help=more)
    parser.add_argument(
        "--models", nargs="+", choices=MODELS + FAMILIES, default=None, help="these models only"
    )
    parser.add_argument("--markdown", nargs="?", const=str(PAGE), help=f"write the page, to docs/{PAGE.name}")
    return parser.parse_args()


def merged(old: str, new: str) -> str:
    """Return the new page with those sections of the old one that it does not have."""
    pages = [SECTION.split(text) for text in (old, new)]
    sections = [{part.partition("\n")[0]: part for part in page[1:]} for page in pages]
    return (
        "## ".join(
            [pages[1][0], *(f"{s.rstrip()}\n\n" for s in (sections[0] | sections[1]).values())]
        ).rstrip()
        + "\n"
    )


# -- the public models -----------------------------------------------------------------------------


def generalised_models() -> list:
    """The generalised models of lme4's documentation, and simulated answers of persons to items."""
    import numpy as np
    import pandas as pd
    from sides import Job

    from bayesmlm.datasets import load_dataset

    cbpp, ticks = load_dataset("cbpp"), load_dataset("grouseticks")
    ticks = ticks.assign(cHEIGHT=ticks["HEIGHT"] - ticks["HEIGHT"].mean())
    rng = np.random.default_rng(20261)
    person, item = (index.ravel() for index in np.indices((PERSONS, ITEMS)))
    x = rng.standard_normal(PERSONS * ITEMS).round(3)
    eta = -0.3 + 0.5 * x + 1.2 * rng.standard_normal(PERSONS)[person] + rng.standard_normal(ITEMS)[item]
    y = rng.binomial(1, 1 / (1 + np.exp(-eta)))
    answers = pd.DataFrame({"y": y, "x": x, "person": pd.Categorical(person), "item": pd.Categorical(item)})
    return [
        Job(
            "cbpp",
            "cbind(incidence, size - incidence) ~ period + (1 | herd)",
            cbpp,
            False,
            "cbpp",
            "binomial",
        ),
        Job(
            "grouseticks",
            "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
            ticks,
            False,
            "grouseticks",
            "poisson",
        ),
        Job("crossed_binary", "y ~ x + (1 | person) + (1 | item)", answers, False, "crossed", "binomial"),
    ]


PERSONS, ITEMS = 316, 24
CROSSED_BINARY = [
    f"crossed_binary: {PERSONS * ITEMS:,} simulated answers, 0 or 1, of {PERSONS} persons to {ITEMS} items, logit "
    "-0.3 + 0.5 x + person + item with standard deviations 1.2 and 1.",
    "",
]


def models_section(args: argparse.Namespace, jobs: list) -> list[str]:
    """Fit every model with every program and return the tables."""
    programs, notes = chosen_programs(args)
    found: dict[str, dict[str, Outcome]] = {}
    start = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        write_models(jobs, Path(name))
        for job in jobs:
            found[job.key] = {}
            for program in programs:
                found[job.key][program] = one = measure(program, Path(name), job.key, Run())
                print(f"{job.key} {program}: {one}", file=sys.stderr, flush=True)
    load = f"Load average {start:.1f} at the start and {os.getloadavg()[0]:.1f} at the end."
    return [*notes, *MEANING, load, "", *models_table(found), "", *summary(found)]


MEANING = [
    "call: seconds of the whole call, compiling included, caches warm; the quicker of two calls in one process where "
    f"the first took less than {SECOND_CALL:g} s. fresh: seconds of a new process from its start to the printed "
    "report. cpu: processor seconds of that process until then, which a busy machine lengthens less than the others. "
    "ESS: smallest bulk effective sample size over fixed effects, standard deviations, correlations and sigma (of "
    "4,000 draws), Rhat the largest over the same; both by ArviZ for all programs. ESS/s: ESS per second of call.",
    "",
    "The models are not all the same: Bambi has its own priors and no correlations between group effects, so its rows "
    "are the nearest model that it can express. bayesmlm has rstanarm's priors.",
    "",
]


def chosen_programs(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the programs to run, and a sentence for one that is not installed."""
    if args.quick:
        return list(QUICK_PROGRAMS), []
    programs = [*PROGRAMS, *(MORE_PROGRAMS if args.more else ())]
    if rstanarm_is_here():
        return [*programs, "rstanarm"], []
    return programs, [
        "rstanarm is left out: there is no Rscript with the packages rstanarm and jsonlite.",
        "",
    ]


def models_table(found: dict[str, dict[str, Outcome]]) -> list[str]:
    """Return one line per model and program."""
    heads = ["model", "program", "call s", "fresh s", "cpu s", "ESS", "lowest", "Rhat", "divergent", "ESS/s"]
    cells = []
    for key, outcomes in found.items():
        for i, (program, one) in enumerate(outcomes.items()):
            line = [key if i == 0 else "", program, *(seconds(s) for s in (one.call, one.fresh, one.cpu))]
            line += [f"{one.ess:.0f}", one.lowest.replace("|", "\\|"), f"{one.rhat:.3f}", str(one.divergent)]
            cells.append([*line, seconds(one.ess / one.call)])
    return table(heads, cells)


def summary(found: dict[str, dict[str, Outcome]]) -> list[str]:
    """Say how other programs compare with ours over the models: geometric means."""
    lines = []
    others = [p for p in next(iter(found.values())) if p != "bayesmlm"]
    for other in others:
        ratios = []
        for value in (lambda o: o.call, lambda o: o.fresh, lambda o: o.cpu, lambda o: o.ess / o.call):
            ratios.append(geometric_mean(found, other, value))
        call, fresh, cpu, rate = ratios
        lines.append(
            f"- {other} / bayesmlm, geometric means over {len(found)} models: call {call:.1f}, fresh {fresh:.1f}, "
            f"cpu {cpu:.1f}; ESS per second {rate:.3f}."
        )
    return lines


def geometric_mean(
    found: dict[str, dict[str, Outcome]], other: str, value: Callable[[Outcome], float]
) -> float:
    """Geometric mean over the models of another program's value divided by ours."""
    logs = [math.log(value(outcomes[other]) / value(outcomes["bayesmlm"])) for outcomes in found.values()]
    return math.exp(sum(logs) / len(logs))


def seconds(value: float) -> str:
    """Write seconds, or a rate, to three digits; a dash where there is no number."""
    return "-" if math.isnan(value) else f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:,.0f}"


# -- growing size ----------------------------------------------------------------------------------


def scaling_section() -> list[str]:
    """Fit the simulated problems and return their table."""
    outcomes = []
    measure_problem(min(PROBLEMS, key=lambda problem: len(problem.name)))  # compiles the kernels, once
    start = os.getloadavg()[0]
    for problem in PROBLEMS:
        outcomes.append(measure_problem(problem))
        print(f"{problem.name}: {outcomes[-1]}", file=sys.stderr, flush=True)
    load = f"Load average {start:.1f} at the start and {os.getloadavg()[0]:.1f} at the end."
    return ["## Growing size", "", *GROWING, load, "", *scaling_table(outcomes)]


GROWING = [
    "bayesmlm alone, each problem simulated in memory in a process of its own: a random intercept and slope, but for "
    "the crossed one. gradient: one log-density with its gradient. steps: gradients per draw. sampling: mode, NUTS "
    "and group effects; wall: the whole call, with design, sums and convergence numbers. 400: seconds to a "
    "smallest ESS of 400, the draws that a short run lacks being counted at its own speed. peak: of resident "
    "memory, and how much of it before the fit. A star: without convergence numbers of the group effects.",
    "",
]


def scaling_table(outcomes: list[Scaled]) -> list[str]:
    """Return one line per problem."""
    heads = ["problem", "run", "gradient ms", "steps", "sampling s", "wall s", "cpu s"]
    heads += ["ESS", "Rhat", "400 s", "peak MB", "before MB"]
    cells = []
    for problem, one in zip(PROBLEMS, outcomes, strict=True):
        chains, draws, tune = (
            problem.settings.get(n, d) for n, d in (("chains", 4), ("draws", 1000), ("tune", 1000))
        )
        run = f"{chains} x ({tune:,} + {draws:,}){'' if problem.whole else ' *'}"
        line = [problem.name, run, seconds(1e3 * one.gradient)]
        if one.failed:
            line += [one.failed, *[""] * (len(heads) - len(line) - 1)]
        else:
            line += [f"{one.steps:.1f}", *(seconds(s) for s in (one.sampling, one.wall, one.cpu))]
            line += [
                f"{one.ess:.0f}",
                f"{one.rhat:.3f}",
                seconds(one.to_enough),
                f"{one.peak:,.0f}",
                f"{one.before:,.0f}",
            ]
        cells.append(line)
    return table(heads, cells)


# -- the page --------------------------------------------------------------------------------------


def heading(args: argparse.Namespace) -> list[str]:
    """Say what was measured, how and on what."""
    import bayesmlm as bm

    words = [*(["--quick"] if args.quick else []), *(["--more"] if args.more else [])]
    command = " ".join(["uv run tests/benchmarks/posterior_fits.py", *words])
    libraries = ", ".join(f"{n} {version(n)}" for n in ("numpy", "numba", "nutpie", "pymc", "bambi", "arviz"))
    r = rstanarm_versions() if rstanarm_is_here() and not args.quick else ""
    return [
        "# How long posterior draws take",
        "",
        f"By `{command}`, {datetime.date.today().isoformat()}, on {processor()} ({os.cpu_count()} cores, "
        f"{platform.system()}). All programs: 4 chains of 1,000 warm-up iterations and 1,000 draws unless told "
        "otherwise, 2 chains at a time, 1 thread of linear algebra, seed 20261.",
        "",
        f"- Python {platform.python_version()}, bayesmlm {bm.__version__}, {libraries}",
        *([f"- {r}"] if r else []),
    ]


if __name__ == "__main__":
    main()
