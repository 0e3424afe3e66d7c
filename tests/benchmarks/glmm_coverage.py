"""Check the sampler of generalised models by the coverage of its intervals.

    uv run tests/benchmarks/glmm_coverage.py                 # all models, 100 data sets each: some minutes
    uv run tests/benchmarks/glmm_coverage.py --model gamma --replicates 200

Parameters are drawn from their prior (weakly informative ones, so that data sets look like data), a data set is drawn
given them, and the model is fitted with these priors: central 90% intervals then cover 90% of the true values, but for
chance. The table gives the share covered of every kind of parameter, with the range that 99% of runs would be in, and
says how sampling went. Exit code 1 if a share is outside its range.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from dataclasses import dataclass

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from scipy import stats  # noqa: E402

import bayesmlm as bm  # noqa: E402
from bayesmlm.families import draw, read_family  # noqa: E402

PROB, LEVEL = 0.9, 0.99
CHAINS, DRAWS, TUNE = 2, 400, 400
GROUPS, PER_GROUP, ITEMS = 20, 12, 8


@dataclass(frozen=True)
class Model:
    """A family and link with priors: of the intercept, of auxiliary parameters, and the scale of eta."""

    family: str
    intercept: float = 0.0
    scale: float = 1.0
    auxiliary: tuple[tuple[str, object], ...] = ()
    formula: str = "y ~ x + (1 + x | g) + (1 | item)"
    trials: int = 1


MODELS = {
    "bernoulli": Model("binomial"),
    "binomial": Model("binomial", trials=10),
    "probit": Model("binomial(probit)", trials=3),
    "cloglog": Model("binomial(cloglog)", intercept=-1.0, scale=0.7, trials=3),
    "poisson": Model("poisson", intercept=0.5, scale=0.6),
    "overdispersed": Model("poisson", intercept=0.5, scale=0.6, formula="y ~ x + (1 | g) + (1 | row)"),
    "negativebinomial": Model(
        "negativebinomial",
        intercept=1.0,
        scale=0.6,
        auxiliary=(("reciprocal_dispersion", bm.gamma(4.0, 2.0)),),
    ),
    "gamma": Model("gamma(log)", scale=0.6, auxiliary=(("shape", bm.gamma(4.0, 1.0)),)),
    "wald": Model("wald(log)", scale=0.4, auxiliary=(("lambda", bm.gamma(4.0, 1.0)),)),
    "beta": Model("beta", scale=0.6, auxiliary=(("phi", bm.gamma(4.0, 0.5)),)),
    "t": Model("t", auxiliary=(("sigma", bm.exponential(1.0)), ("nu", bm.gamma(4.0, 0.5)))),
    "gaussian(log)": Model(
        "gaussian(log)", intercept=1.0, scale=0.4, auxiliary=(("sigma", bm.exponential(1.0)),)
    ),
}


def main() -> None:
    """Simulate, fit, print; exit with 1 if intervals do not cover what they should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", choices=["all", *MODELS], default="all")
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    failed = 0
    for name in MODELS if args.model == "all" else [args.model]:
        failed += run(name, args.replicates, args.seed)
    sys.exit(int(failed > 0))


def run(name: str, replicates: int, seed: int) -> int:
    """Fit the data sets of one model and print its part of the table; return how many shares are outside."""
    model, covered, seconds, diverged, warned = MODELS[name], [], [], 0, 0
    for i in range(replicates):
        rng = np.random.default_rng([seed, i])
        priors, truth, frame = data_set(model, rng)
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = bm.fit(
                response(model),
                frame,
                model.family,
                priors=priors,
                chains=CHAINS,
                draws=DRAWS,
                tune=TUNE,
                seed=i,
                progress=False,
            )
        seconds.append(time.perf_counter() - start)
        diverged += int(fit.posterior.sample_stats["diverging"].sum())
        warned += bool(fit.notes)
        covered.append(inside(fit, truth))
    print(
        f"{name}: {np.median(seconds):.2f} s per fit, {diverged} divergences, {warned} of {replicates} with notes",
        flush=True,
    )
    table, outside = pd.DataFrame(covered).mean(), 0
    for parameter, share in table.items():
        size = replicates * (len(covered[0][parameter]) if np.ndim(covered[0][parameter]) else 1)
        low, high = stats.binom(size, PROB).interval(LEVEL)
        bad = not low / size <= share <= high / size
        outside += bad
        print(
            f"  {parameter:28} {share:6.3f}  ({low / size:.3f} to {high / size:.3f}){'  OUTSIDE' if bad else ''}"
        )
    return outside


def response(model: Model) -> str:
    """The formula, with a binomial response if there are several trials."""
    return model.formula.replace("y ~", "cbind(y, n - y) ~") if model.trials > 1 else model.formula


def data_set(model: Model, rng: np.random.Generator) -> tuple[dict, dict[str, float], pd.DataFrame]:
    """Priors, a truth drawn from them, and data given it."""
    n, s = GROUPS * PER_GROUP, model.scale
    g, item = np.repeat(np.arange(GROUPS), PER_GROUP), rng.integers(0, ITEMS, n)
    x = rng.normal(0, 1, n)
    priors = {
        "(Intercept)": bm.normal(model.intercept, 0.5 * s),
        "x": bm.normal(0, 0.5 * s),
        "covariance": bm.lkj(1.0, bm.exponential(2.0 / s)),
        **dict(model.auxiliary),
    }
    truth = {"centred": rng.normal(model.intercept, 0.5 * s), "x": rng.normal(0, 0.5 * s)}
    slopes = "1 + x | g" in model.formula
    sds = rng.exponential(0.5 * s, 3)
    corr = 2.0 * rng.beta(1, 1) - 1.0  # LKJ(1) of two columns
    z = rng.standard_normal((GROUPS, 2))
    b0, b1 = sds[0] * z[:, 0], sds[1] * (corr * z[:, 0] + np.sqrt(1 - corr**2) * z[:, 1])
    other = item if slopes else np.arange(n)
    eta = truth["centred"] + truth["x"] * (x - x.mean()) + b0[g]
    eta = eta + sds[2] * rng.standard_normal(other.max() + 1)[other]
    truth |= {"sd of g": sds[0], "sd of item or row": sds[2]}
    if slopes:
        eta = eta + b1[g] * x
        truth |= {"sd of x | g": sds[1], "correlation": corr}
    auxiliary = {name: prior.sample(rng, 1)[0] for name, prior in model.auxiliary}
    truth |= auxiliary
    trials = np.full(n, float(model.trials))
    y = draw(
        read_family(model.family), eta[None], {k: np.array([[v]]) for k, v in auxiliary.items()}, rng, trials
    )[0]
    if model.family.startswith("beta"):
        y = np.clip(y, 1e-12, 1 - 1e-12)
    frame = pd.DataFrame({"y": y, "n": trials, "x": x, "g": g.astype(str), "item": item.astype(str)})
    return priors, truth, frame.assign(row=np.arange(n).astype(str))


def inside(fit: bm.Fit, truth: dict[str, float]) -> dict[str, bool]:
    """Whether each true value is in its central interval."""
    posterior = fit.posterior
    beta = posterior.fixef.values.reshape(-1, 2)
    by_group = {b.group: b for b in posterior.blocks}
    other = by_group.get("item", by_group.get("row"))
    assert other is not None
    draws = {
        "centred": beta[:, 0] + beta[:, 1] * fit.design.X[:, 1].mean(),
        "x": beta[:, 1],
        "sd of g": by_group["g"].sd.values[..., 0].ravel(),
        "sd of item or row": other.sd.values[..., 0].ravel(),
    }
    if "correlation" in truth:
        draws["sd of x | g"] = by_group["g"].sd.values[..., 1].ravel()
        draws["correlation"] = by_group["g"].corr.values[..., 0, 1].ravel()
    if posterior.sigma is not None:
        draws["sigma"] = posterior.sigma.values.ravel()
    draws |= {name: values.values.ravel() for name, values in posterior.auxiliary.items()}
    found = {}
    for name, value in truth.items():
        low, high = np.quantile(draws[name], [(1 - PROB) / 2, (1 + PROB) / 2])
        found[name] = bool(low <= value <= high)
    return found


if __name__ == "__main__":
    main()
