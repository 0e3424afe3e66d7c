"""Check the whole path from formula to draws by simulation-based calibration.

    uv run tests/benchmarks/sbc.py            # all models, 500 data sets each: 10 to 15 minutes on two cores
    uv run tests/benchmarks/sbc.py --model slope --replicates 100
    uv run tests/benchmarks/sbc.py --model slope --inspect 17     # one data set, with the default settings

Parameters are drawn from the prior, a data set given them, and the model is fitted to it by `bayesmlm.fit`. Over many
data sets, the rank of each true value among nearly independent draws must be uniform. For every quantity the table
gives the p values of the chi-square test and of simultaneous bands for the ranks' distribution function, and the
smaller of the two adjusted (Holm) for all tests of the run. Mean and sd are those of the ranks, on the scale from 0
to 1: 0.5 and 0.289 if uniform; a mean above 0.5 says that draws are too low, an sd above 0.289 that they are too
narrow. Exit code 1 if anything fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
for variable in THREADS:  # read when numpy is loaded, here and in the other processes
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
from calibration import fitted, models, quantities, simulate, thinned  # noqa: E402
from uniformity import band_p, chi_square_p, holm, ranks_among  # noqa: E402

KEEP = 99  # draws to rank among: 100 ranks
BINS = 20
LEVEL = 0.01  # of the whole run
CHAINS, DRAWS, TUNE = 2, 500, 300
PROCESSES = 2
KINDS = "diverged", "Rhat is above", "effective draws"  # of warnings, by what they say


@dataclass(frozen=True)
class Replicate:
    """One simulated data set: truths, the draws kept, and how sampling went.

    Attributes
    ----------
    index : int
    truth : dict of str to float
        By quantity.
    draws : dict of str to ndarray, shape (KEEP,)
    diverged : int
    notes : tuple of str
        What `bayesmlm.fit` warned of.
    sampling, total : float
        Seconds of sampling, and of the whole call.
    """

    index: int
    truth: dict[str, float]
    draws: dict[str, np.ndarray]
    diverged: int
    notes: tuple[str, ...]
    sampling: float
    total: float


@dataclass(frozen=True)
class Verdict:
    """Uniformity of one quantity's ranks: p values and, on the scale from 0 to 1, mean and standard deviation."""

    model: str
    quantity: str
    mean: float
    sd: float
    chi_square: float
    band: float


def main() -> None:
    """Simulate, fit, print; exit with 1 if ranks are not uniform."""
    args = arguments()
    chosen = list(models()) if args.model == "all" else [args.model]
    if args.inspect is not None:
        inspect(chosen[0], args.inspect, args)
        return
    verdicts = []
    for name in chosen:
        done = list(replicates(name, args))
        print(*trouble(name, done, args), sep="\n", flush=True)
        verdicts += judge(name, done)
    adjusted = adjust(verdicts)
    print(*table(verdicts, adjusted), sep="\n")
    sys.exit(int(min(adjusted) < LEVEL))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", choices=["all", *models()], default="all")
    parser.add_argument("--replicates", type=int, default=500, help="data sets per model; 100 or more")
    parser.add_argument("--sampler", choices=["kernel", "pymc"], default="kernel")
    parser.add_argument("--seed", type=int, default=20261)
    parser.add_argument("--processes", type=int, choices=range(1, PROCESSES + 1), default=PROCESSES)
    parser.add_argument(
        "--inspect", type=int, help="number of one data set, to be fitted with default settings"
    )
    args = parser.parse_args()
    if args.replicates < 5 * BINS:
        parser.error(f"--replicates must be at least {5 * BINS}: the chi-square test has {BINS} bins")
    if args.inspect is not None and args.model == "all":
        parser.error("--inspect needs one --model")
    return args


# -- data sets and fits -------------------------------------------------------------------------------


def data_set(name: str, index: int, seed: int) -> tuple:
    """Return model, true values, response, and the seed of the fit."""
    rng = np.random.default_rng([seed, crc32(name.encode()), index])
    model = models()[name]
    return model, *simulate(model, rng), int(rng.integers(2**31))


def replicate(name: str, index: int, seed: int, sampler: str) -> Replicate:
    """Simulate one data set and fit it."""
    model, truth, y, fit_seed = data_set(name, index, seed)
    start = time.perf_counter()
    fit = fitted(model, y, chains=CHAINS, draws=DRAWS, tune=TUNE, seed=fit_seed, sampler=sampler)
    total = time.perf_counter() - start
    true = {k: float(v[0]) for k, v in quantities(model, truth, y).items()}
    draws = quantities(model, thinned(model, fit.posterior, KEEP), y)
    diverged = int(fit.posterior.sample_stats["diverging"].sum())
    return Replicate(index, true, draws, diverged, fit.notes, fit.seconds, total)


def replicates(name: str, args: argparse.Namespace) -> Iterator[Replicate]:
    """Simulate and fit all data sets of one model, in one process or two."""
    replicate(name, 0, args.seed, args.sampler)  # compiles
    count = args.replicates
    columns = [name] * count, range(count), [args.seed] * count, [args.sampler] * count
    if args.processes == 1:
        yield from map(replicate, *columns)
        return
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(replicate, *columns, chunksize=5)


def inspect(name: str, index: int, args: argparse.Namespace) -> None:
    """Fit one data set with the default settings, and print it beside the truth."""
    model, truth, y, fit_seed = data_set(name, index, args.seed)
    fit = fitted(model, y, seed=fit_seed, sampler=args.sampler)
    draws = quantities(model, thinned(model, fit.posterior, fit.posterior.n_draws), y)
    print(model.formula, *fit.notes, f"{fit.seconds:.2f} s of sampling", sep="\n")
    print(f"{'':28}{'truth':>10}{'5%':>10}{'median':>10}{'95%':>10}")
    for key, value in quantities(model, truth, y).items():
        numbers = [value[0], *np.quantile(draws[key], [0.05, 0.5, 0.95])]
        print(f"{key:28}" + "".join(f"{v:10.4g}" for v in numbers))


# -- verdicts -----------------------------------------------------------------------------------------


def judge(name: str, done: list[Replicate]) -> list[Verdict]:
    """Test the ranks of every quantity."""
    out = []
    for quantity in done[0].truth:
        truth = np.array([r.truth[quantity] for r in done])
        ranks = ranks_among(truth, np.array([r.draws[quantity] for r in done]))
        share = (ranks + 0.5) / (KEEP + 1)
        tests = chi_square_p(ranks, KEEP + 1, BINS), band_p(ranks, KEEP + 1)
        out.append(Verdict(name, quantity, float(share.mean()), float(share.std()), *tests))
    return out


def adjust(verdicts: list[Verdict]) -> list[float]:
    """Return, per quantity, the smaller of its two p values after Holm's adjustment for all of them."""
    every = holm(np.array([[v.chi_square, v.band] for v in verdicts]).ravel())
    return every.reshape(-1, 2).min(axis=1).tolist()


def table(verdicts: list[Verdict], adjusted: list[float]) -> list[str]:
    """Lay out the verdicts."""
    wide = max(len(v.quantity) for v in verdicts)
    wider = max(len(v.model) for v in verdicts)
    lines = [
        f"{'model':{wider}}  {'quantity':{wide}}  {'mean':>5} {'sd':>5} {'chi-square':>10} {'band':>7} "
        f"{'adjusted':>8}"
    ]
    for v, p in zip(verdicts, adjusted, strict=True):
        lines.append(
            f"{v.model:{wider}}  {v.quantity:{wide}}  {v.mean:5.3f} {v.sd:5.3f} {v.chi_square:10.4f} {v.band:7.4f} "
            f"{p:8.4f}  {'FAILS' if p < LEVEL else 'uniform'}"
        )
    failed = sum(p < LEVEL for p in adjusted)
    return [*lines, f"{failed} of {len(verdicts)} quantities fail, at {LEVEL:g} for the whole run"]


def trouble(name: str, done: list[Replicate], args: argparse.Namespace) -> list[str]:
    """Say how long fits took, how many warned of what, and which diverged."""
    total, sampling = (np.array([getattr(r, field) for r in done]) for field in ("total", "sampling"))
    lines = [
        f"{name}: {len(done)} data sets, {CHAINS} x {DRAWS} draws ({args.sampler}); a call takes "
        f"{np.median(total):.2f} s (95% within {np.quantile(total, 0.95):.2f}), "
        f"{np.median(sampling):.2f} s of it sampling"
    ]
    kinds = Counter(kind for r in done for note in r.notes for kind in KINDS if kind in note)
    lines += [f"  {count} warn: {kind}" for kind, count in kinds.most_common()]
    diverged = sorted((r for r in done if r.diverged), key=lambda r: -r.diverged)
    if diverged:
        worst = ", ".join(f"{r.index} ({r.diverged})" for r in diverged[:8])
        lines.append(f"  {len(diverged)} have divergences, most: {worst}; see --inspect")
    return lines


if __name__ == "__main__":
    main()
