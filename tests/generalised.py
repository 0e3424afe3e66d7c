"""Fits of generalised models without sampling: draws by hand, around estimates of lme4, and rstanarm's draws."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from reference_models import REFERENCE
from synthetic import many_draws, posterior_of

import bayesmlm as bm
from bayesmlm.drawing import ON_GRAPH
from bayesmlm.draws import BlockDraws, Posterior, labelled
from bayesmlm.result import Fit
from bayesmlm.sampling.settings import Settings
from bayesmlm.specifying import specify

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
TICKS = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD)"
RANGES = {"psi": (0.5, 0.9), "nu": (4, 9)}


def rough_fit(formula, data, family, link=None, *, draws=6, size=0.4, seed=0, centre=0.0, **given):
    """A fit whose few draws are far apart: for comparisons draw by draw. `size` scales all effects."""
    design, priors = specify(formula, data, family, link, **given)
    wide = many_draws(design, seed, draws)
    blocks = tuple(replace(b, sd=size * b.sd, b=size * b.b) for b in wide.blocks)
    rng = np.random.default_rng(seed + 1)
    auxiliary = {
        name: labelled(rng.uniform(*RANGES.get(name, (1, 3)), (1, draws)))
        for name in design.family.auxiliary
        if name != "sigma"
    }
    fixef = size * wide.fixef
    if "(Intercept)" in design.coefficients:
        fixef[..., design.coefficients.index("(Intercept)")] += centre
    if design.family.is_ordinal:
        steps = np.cumsum(rng.uniform(0.3, 1, (1, draws, len(design.response_levels) - 1)), axis=-1)
        names = [f"{a}|{b}" for a, b in itertools.pairwise(design.response_levels)]
        auxiliary["thresholds"] = labelled(steps - 1.5, threshold=names)
    sigma = wide.sigma if design.family.has_sigma else None
    nothing = labelled(np.zeros((1, draws)))
    stats = xr.Dataset({"lp": nothing, "diverging": nothing > 0})
    posterior = Posterior(fixef, sigma, blocks, labelled(rng.normal(size=(1, draws))), stats, auxiliary)
    settings = Settings(chains=1, draws=max(draws, 4), target_accept=0.9, seed=7, progress=False)
    return Fit(design, priors, posterior, (), settings, 1.0, "by hand", None)


def rstanarms_cbpp():
    """The cbpp model with 400 draws of rstanarm, 4 chains."""
    design, priors = specify(CBPP, bm.load_dataset("cbpp"), "binomial")
    table = pd.read_csv(REFERENCE / "rstanarm_cbpp_draws.csv.gz")

    def chains(columns):
        return table[columns].to_numpy().reshape(4, 100, -1)

    (block,) = design.blocks
    b = chains([f"b[(Intercept) herd:{level}]" for level in block.levels])[..., None]
    sd = np.sqrt(chains(["Sigma[herd:(Intercept),(Intercept)]"]))
    one = np.ones((4, 100, 1, 1))
    names = {"column": block.columns}
    effects = BlockDraws(
        "herd",
        "herd",
        labelled(sd, **names),
        labelled(one, **names, column_bis=block.columns),
        labelled(b, level=block.levels, **names),
    )
    nothing = labelled(np.zeros((4, 100)))
    stats = xr.Dataset({"lp": nothing, "diverging": nothing > 0})
    fixef = labelled(chains(list(design.coefficients)), coefficient=design.coefficients)
    posterior = Posterior(fixef, None, (effects,), nothing, stats)
    settings = Settings(chains=4, draws=100, target_accept=0.9, seed=3, progress=False)
    return Fit(design, priors, posterior, (), settings, 1.0, "rstanarm", None)


def counts(seed=2, n_groups=8, rows=7):
    """A data frame with responses of many kinds, two factors (one nested in the other), a predictor, an exposure."""
    rng = np.random.default_rng(seed)
    n = n_groups * rows
    x = rng.normal(size=n)
    u = np.repeat(rng.normal(0, 0.5, n_groups), rows)
    mu = np.exp(0.7 + 0.3 * x + u)
    trials = rng.integers(1, 12, n)
    p = 1 / (1 + np.exp(-(0.2 + 0.5 * x + u)))
    k = rng.binomial(trials, p)
    return pd.DataFrame(
        {
            "x": x,
            "g": np.repeat([f"g{i}" for i in range(n_groups)], rows),
            "h": [f"h{i % 3}" for i in range(n)],
            "count": rng.poisson(mu),
            "k": k,
            "fails": trials - k,
            "n": trials,
            "share": k / trials,
            "win": rng.random(n) < p,
            "amount": rng.gamma(2, mu / 2),
            "rate": np.clip(rng.beta(4 * p, 4 * (1 - p)), 1e-4, 1 - 1e-4),
            "some": rng.poisson(mu) * (rng.random(n) < 0.7),
            "level": pd.Categorical.from_codes(rng.integers(0, 4, n), list("abcd"), ordered=True),
            "time": rng.uniform(0.5, 4, n),
            "w": rng.integers(1, 4, n),
        }
    )


def generalised_fit(formula, data, family, link=None, *, given=None, sd, fixef, notes=(), **posterior):
    """A `Fit` of any family whose posterior is `posterior_of` its design; `given` are arguments of `bm.fit`."""
    design, priors = specify(formula, data, family, link, **(given or {}))
    rng = np.random.default_rng(3)
    b = {k.label: rng.normal(size=(len(k.levels), len(k.columns))) * sd[k.label] for k in design.blocks}
    draws = posterior_of(design, fixef=fixef, sd=sd, **{"b": b, "spread": 0.1, **posterior})
    settings = Settings(target_accept=0.95, seed=7)
    return Fit(design, priors, draws, tuple(notes), settings, 1.0, ON_GRAPH, None)


def cbpp_fit(**more):
    """Binomial counts with the estimates of lme4."""
    values = {"fixef": [-1.40, -0.99, -1.13, -1.58], "sd": {"herd": [0.64]}, **more}
    return generalised_fit(CBPP, bm.load_dataset("cbpp"), "binomial", **values)


def bernoulli_fit(**more):
    """Binary: whether an animal of a herd in a period is a case."""
    frame = bm.load_dataset("cbpp").assign(any=lambda d: (d["incidence"] > 1).astype(int))
    values = {"fixef": [0.1, -0.9], "sd": {"herd": [0.8, 0.3]}, **more}
    frame = frame.assign(x=np.linspace(-1, 1, len(frame)))
    return generalised_fit("any ~ x + (x | herd)", frame, "bernoulli", **values)


def poisson_fit(formula=TICKS, **more):
    """Counts."""
    values = {"fixef": [0.5, 1.2, -1.0, -0.024], "sd": {"BROOD": [0.9]}, **more}
    return generalised_fit(formula, bm.load_dataset("grouseticks"), "poisson", **values)


def negative_binomial_fit(**more):
    """Counts with more variance than Poisson's."""
    values = {"fixef": [0.5, 1.2, -1.0, -0.024], "sd": {"BROOD": [0.9]}, **more}
    values = {"auxiliary": {"reciprocal_dispersion": 2.6}, **values}
    return generalised_fit(TICKS, bm.load_dataset("grouseticks"), "neg_binomial_2", **values)


def gamma_fit(**more):
    """Positive amounts with the log link."""
    values = {"fixef": [5.5, 0.035], "sd": {"Subject": [0.12, 0.02]}, "auxiliary": {"shape": 120.0}, **more}
    return generalised_fit(
        "Reaction ~ Days + (Days | Subject)", bm.load_dataset("sleepstudy"), "Gamma(log)", **values
    )
