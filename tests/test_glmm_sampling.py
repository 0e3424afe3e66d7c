"""Fits of generalised models on their kernel: rstanarm's posteriors, seeds, group effects kept, families, notes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from reference_models import REFERENCE

import bayesmlm as bm
from bayesmlm import diagnostics
from bayesmlm.design import build_design
from bayesmlm.diagnostics import convergence_sentences, parameter_draws, suspect_effects
from bayesmlm.families import draw, read_family
from bayesmlm.sampling.glmm import mean_of_moments

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
TICKS = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)"


def data_of(name):
    frame = bm.load_dataset(name)
    if name == "cbpp":
        return frame.astype({"period": str, "herd": str})
    frame = frame.assign(cHEIGHT=frame["HEIGHT"] - frame["HEIGHT"].mean())
    return frame.astype(dict.fromkeys(("YEAR", "BROOD", "INDEX", "LOCATION"), str))


@pytest.fixture(scope="module")
def cbpp():
    return bm.fit(CBPP, data_of("cbpp"), "binomial", seed=1, progress=False)


@pytest.fixture(scope="module")
def grouseticks():
    return bm.fit(TICKS, data_of("grouseticks"), "poisson", seed=1, draws=500, progress=False)


@pytest.mark.parametrize("name", ["cbpp", "grouseticks"])
def test_means_agree_with_rstanarm(name, request):
    """Within four combined Monte Carlo errors of rstanarm's draws; standard deviations within 10%."""
    fit = request.getfixturevalue(name)
    stored = json.loads((REFERENCE / "rstanarm" / f"{name}.json").read_text())
    columns = stored["columns"]
    theirs = pd.DataFrame(stored["summary"], index=stored["parameters"], columns=columns)
    draws = parameter_draws(fit.posterior)
    both = [p for p in draws["parameter"].values if p in theirs.index and p != "log-posterior"]
    assert len(both) >= 8
    own = draws.sel(parameter=both)
    error = np.hypot(diagnostics.convergence_frame(own)["mcse"].values, theirs.loc[both, "se_mean"].values)
    z = (own.mean(("chain", "draw")).values - theirs.loc[both, "mean"].values) / error
    assert np.abs(z).max() < 4, dict(zip(both, z.round(1), strict=True))
    spread = own.std(("chain", "draw")).values / theirs.loc[both, "sd"].values
    assert np.abs(np.log(spread)).max() < 0.1


@pytest.mark.parametrize("name", ["cbpp", "grouseticks"])
def test_chains_sample_well(name, request):
    fit = request.getfixturevalue(name)
    assert fit.sampler == "NUTS (nutpie) on all parameters, compiled"
    assert int(fit.posterior.sample_stats["diverging"].sum()) == 0
    assert fit.settings.target_accept == 0.8
    effects = diagnostics.convergence_frame(suspect_effects(fit.posterior))
    assert effects["ess_bulk"].min() > 0.25 * fit.posterior.n_draws


def test_posterior_has_the_parameters_of_the_family(cbpp):
    posterior = cbpp.posterior
    assert posterior.sigma is None
    assert not posterior.auxiliary
    assert posterior.blocks[0].b.shape == (4, 1000, 15, 1)
    np.testing.assert_array_equal(posterior.blocks[0].corr.values, 1.0)


def test_same_seed_same_draws_whatever_is_kept(cbpp):
    again = bm.fit(
        CBPP, data_of("cbpp"), "binomial", seed=1, progress=False, cores=1, keep_ranef={"herd": ["3"]}
    )
    np.testing.assert_array_equal(again.posterior.fixef.values, cbpp.posterior.fixef.values)
    own, every = again.posterior.blocks[0], cbpp.posterior.blocks[0]
    np.testing.assert_array_equal(own.b.values, every.b.sel(level=["3"]).values)
    np.testing.assert_array_equal(own.sd.values, every.sd.values)
    with pytest.raises(bm.SamplingError, match="fit again with keep_ranef=True"):
        again.with_ranef()
    # one data set from its two moments, or drawn row by row: two samples of one distribution
    one, other = again.posterior.mean_ppd, cbpp.posterior.mean_ppd
    error = np.sqrt(2 * float(other.var()) / other.size)
    assert abs(float(one.mean() - other.mean())) < 4 * error
    assert float(one.std() / other.std()) == pytest.approx(1, abs=0.06)


def simulated(family, intercept, scale, auxiliary, formula="y ~ x + (1 + x | g)", n=400, groups=20):
    rng = np.random.default_rng(7)
    g, x = np.repeat(np.arange(groups), n // groups), rng.normal(3, 1, n)
    b = rng.normal(0, scale, (groups, 2))
    eta = intercept + 0.5 * scale * (x - 3) + b[g, 0] + b[g, 1] * (x - 3)
    own = {k: np.full((1, 1), v) for k, v in auxiliary.items()}
    y = draw(read_family(family), eta[None], own, rng)[0]
    return formula, pd.DataFrame({"y": y, "x": x - 3, "g": g.astype(str)})


FAMILIES = {
    "bernoulli(probit)": ("binomial(probit)", 0.2, 0.7, {}),
    "binomial(cloglog)": ("binomial(cloglog)", -0.5, 0.5, {}),
    "negativebinomial": ("negativebinomial", 1.0, 0.5, {"reciprocal_dispersion": 3.0}),
    "Gamma(log)": ("Gamma(log)", 0.5, 0.4, {"shape": 4.0}),
    "inverse.gaussian(log)": ("inverse.gaussian(log)", 0.2, 0.3, {"lambda": 4.0}),
    "beta": ("beta", 0.3, 0.5, {"phi": 8.0}),
    "t": ("t", 1.0, 0.8, {"sigma": 0.7, "nu": 5.0}),
    "gaussian(log)": ("gaussian(log)", 1.0, 0.3, {"sigma": 0.8}),
    "lognormal": ("lognormal", 1.0, 0.5, {"sigma": 0.6}),
    "exponential": ("exponential", 1.0, 0.5, {}),
    "poisson(sqrt)": ("poisson(sqrt)", 2.5, 0.3, {}),
}


@pytest.mark.parametrize(("family", "intercept", "scale", "auxiliary"), FAMILIES.values(), ids=FAMILIES)
def test_parameters_are_recovered(family, intercept, scale, auxiliary):
    """The truth is within four posterior standard deviations (logarithms of positive parameters); nothing diverges."""
    formula, frame = simulated(family, intercept, scale, auxiliary)
    settings = {"chains": 2, "draws": 200, "tune": 300, "seed": 2, "progress": False}
    with pytest.warns(bm.ConvergenceWarning):  # so few draws
        fit = bm.fit(formula, frame, family, **settings)
    assert fit.sampler == "NUTS (nutpie) on all parameters, compiled"
    assert int(fit.posterior.sample_stats["diverging"].sum()) == 0
    posterior = fit.posterior
    found = {"(Intercept)": posterior.fixef.values[..., 0], "x": posterior.fixef.values[..., 1]}
    truth = {"(Intercept)": intercept, "x": 0.5 * scale}
    own = {**posterior.auxiliary} | ({"sigma": posterior.sigma} if posterior.sigma is not None else {})
    assert {*own} == {*auxiliary}
    for name, value in auxiliary.items():
        found[name], truth[name] = np.log(own[name].values), np.log(value)
    for i, name in enumerate(("sd of intercepts", "sd of slopes")):
        found[name], truth[name] = np.log(posterior.blocks[0].sd.values[..., i]), np.log(scale)
    for name, draws in found.items():
        assert abs(draws.mean() - truth[name]) < 4 * draws.std(), name


@pytest.mark.parametrize("name", ["negativebinomial", "t"])
def test_mean_of_moments_is_that_of_data_drawn_row_by_row(name):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"y": rng.poisson(3, 60) + 1.0, "g": np.arange(60) % 6}).astype({"g": str})
    family = read_family(name)
    design = build_design("y ~ 1 + (1 | g)", frame, family)
    eta = np.full((4000, 60), 1.0)
    auxiliary = {"reciprocal_dispersion": 2.0, "sigma": 1.5, "nu": 6.0}
    own = {k: np.full((1, 1), auxiliary[k]) for k in family.auxiliary}
    drawn = draw(family, eta, own, rng).mean(axis=1)
    mu = np.e if name == "negativebinomial" else 1.0
    spread = mu + mu**2 / 2 if name == "negativebinomial" else np.nan
    total, variance = np.full((4, 1000), 60 * mu), np.full((4, 1000), 60 * spread)
    values = {k: np.full((4, 1000), v) for k, v in auxiliary.items()}
    found = mean_of_moments(design, total, variance, values, 5)
    assert found.mean() == pytest.approx(drawn.mean(), abs=4 * drawn.std() * np.sqrt(2 / 4000))
    assert found.std() == pytest.approx(drawn.std(), rel=0.06)


def close(one, other, effective=0.2):
    """Whether the means of two samples of a parameter differ by less than four Monte Carlo errors."""
    both = [x.values.reshape(-1, *x.shape[2:]) for x in (one, other)]
    error = np.sqrt(sum(x.var(axis=0) / (effective * len(x)) for x in both))
    return bool(np.all(np.abs(both[0].mean(axis=0) - both[1].mean(axis=0)) < 4 * error))


def test_rows_of_trials_are_as_many_rows(cbpp):
    """Counts of successes and failures, and one row per trial, are the same data."""
    frame = data_of("cbpp")
    rows = [
        {"y": int(i < incidence), "period": period, "herd": herd}
        for incidence, size, period, herd in frame[["incidence", "size", "period", "herd"]].itertuples(
            index=False
        )
        for i in range(size)
    ]
    fit = bm.fit("y ~ period + (1 | herd)", pd.DataFrame(rows), "bernoulli", seed=2, progress=False)
    assert close(fit.posterior.fixef, cbpp.posterior.fixef)
    assert close(fit.posterior.blocks[0].sd, cbpp.posterior.blocks[0].sd)


def test_weights_count_rows():
    """A Poisson row of weight two is two rows."""
    frame = data_of("cbpp").assign(w=1.0 + (np.arange(56) % 2))
    twice = frame.loc[frame.index.repeat(frame["w"].astype(int))]
    settings = {
        "seed": 1,
        "draws": 500,
        "tune": 500,
        "progress": False,
        "priors": {"fixed": bm.normal(0, 2.5)},
    }
    formula = "incidence ~ period + (1 | herd)"
    one = bm.fit(formula, frame, "poisson", weights="w", **settings).posterior
    other = bm.fit(formula, twice, "poisson", **settings).posterior
    assert close(one.fixef, other.fixef)
    assert close(one.blocks[0].sd, other.blocks[0].sd)
    unweighted = bm.fit(formula, frame, "poisson", **settings).posterior
    assert not close(one.fixef, unweighted.fixef)


def test_sampler_can_be_chosen_and_says_why_not():
    frame = data_of("cbpp")
    with pytest.raises(bm.SamplingError, match="no kernel for the family beta_binomial"):
        bm.fit(CBPP, frame, "beta_binomial", sampler="kernel", progress=False)


def test_effects_that_did_not_mix_are_found_among_very_many(grouseticks, monkeypatch):
    """Notes look at the worst effects only where there are many."""
    posterior = grouseticks.posterior
    assert sum(b.b.sizes["level"] for b in posterior.blocks) > diagnostics.FULLY_CHECKED
    b = posterior.blocks[1].b.copy()
    b[0, :, 7, 0] += 5.0
    block = type(posterior.blocks[1])(**{**posterior.blocks[1].__dict__, "b": b})
    bad = type(posterior)(
        **{**posterior.__dict__, "blocks": (posterior.blocks[0], block, posterior.blocks[2])}
    )
    level = posterior.blocks[1].levels[7]
    assert f"b[(Intercept) {block.label}:{level}]" in suspect_effects(bad)["parameter"].values
    (said, *_) = [s for s in convergence_sentences(bad) if "Rhat" in s]
    assert f"worst for b[(Intercept) {block.label}:{level}]" in said
    assert "at least" in said
    names = parameter_draws(posterior)["parameter"].values
    variances = sum(len(b.columns) for b in posterior.blocks)
    assert f"of {len(names) + variances} parameters" in said
    assert isinstance(suspect_effects(posterior), xr.DataArray)
