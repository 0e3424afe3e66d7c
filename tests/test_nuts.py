"""NUTS on the compiled density: its contract with nutpie, seeds, interrupts, and what it draws."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading

import numpy as np
import nutpie
import pytest
import xarray as xr
from reference_models import REFERENCE

import bayesmlm as bm
from bayesmlm.bambi_draws import read_posterior
from bayesmlm.design import build_design
from bayesmlm.diagnostics import chain_frame, convergence_frame, convergence_sentences, parameter_draws
from bayesmlm.draws import SAMPLE
from bayesmlm.kernels.target import build_target
from bayesmlm.priors import build_priors
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.sampling.mode import mode_and_root
from bayesmlm.sampling.nuts import walk
from bayesmlm.sampling.settings import Settings

GAUSSIAN = {
    "gcse_m1": ("course ~ 1 + (1 | school)", "gcsemv"),
    "gcse_m2": ("course ~ 1 + female + (1 | school)", "gcsemv"),
    "gcse_m3": ("course ~ 1 + female + (1 + female | school)", "gcsemv"),
    "sleep_corr": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "imm_model3": ("math ~ homework + (1|schnum)", "imm10"),
    "imm_model4": ("math ~ homework + (homework|schnum)", "imm10"),
    "penicillin": ("diameter ~ 1 + (1|plate) + (1|sample)", "penicillin"),
    "pastes": ("strength ~ 1 + (1|batch/cask)", "pastes"),
    "dyestuff2": ("Yield ~ 1 + (1|Batch)", "dyestuff2"),
    "hsb_mod3": ("MATHACH ~ cses + (1 + cses|SCHOOL)", "hsb"),
}
FORMULA, DATA = GAUSSIAN["sleep_corr"]


@pytest.fixture(scope="module")
def gaussian_fits():
    made = {}

    def get(name):
        if name not in made:
            formula, data = GAUSSIAN[name]
            made[name] = bm.fit(formula, bm.load_dataset(data), seed=20261, progress=False, sampler="kernel")
        return made[name]

    return get


def rstanarm(name):
    entry = json.loads((REFERENCE / "rstanarm" / f"{name}.json").read_text())
    columns = entry["columns"]
    rows = dict(zip(entry["parameters"], entry["summary"], strict=True))
    return {p: dict(zip(columns, row, strict=True)) for p, row in rows.items() if p != "log-posterior"}


@pytest.mark.parametrize("name", GAUSSIAN)
def test_means_and_sds_agree_with_rstanarm(name, gaussian_fits):
    draws = parameter_draws(gaussian_fits(name).posterior)
    convergence, mean, sd = (
        convergence_frame(draws),
        draws.mean(SAMPLE).to_series(),
        draws.std(SAMPLE).to_series(),
    )
    for parameter, row in rstanarm(name).items():
        off = (mean[parameter] - row["mean"]) / np.hypot(convergence["mcse"][parameter], row["se_mean"])
        # the largest of many group effects' differences
        assert abs(off) < (4.5 if parameter.startswith("b[") else 4), parameter
        # The relative error of a standard deviation from n effective draws is sqrt((kurtosis - 1) / 4n); variances
        # have heavy tails, with a kurtosis of 20 or so where groups are few. NUTS draws of even functions, such as
        # squares, are correlated where those of the parameter itself are not: about half as many count.
        excess = 20.0 if parameter.startswith("Sigma") else 2.0
        effective = 0.5 * np.array([row["n_eff"], convergence["ess_bulk"][parameter]])
        allowed = 4 * np.sqrt((excess / (4 * effective)).sum())
        assert abs(np.log(sd[parameter] / row["sd"])) < allowed, parameter


@pytest.mark.parametrize("name", GAUSSIAN)
def test_chains_sample_well_with_default_settings(name, gaussian_fits):
    fit = gaussian_fits(name)
    assert fit.notes == ()
    assert fit.posterior.n_draws == 4000
    assert int(fit.posterior.sample_stats["diverging"].sum()) == 0
    frame = convergence_frame(parameter_draws(fit.posterior))
    assert frame["rhat"].max() < 1.01
    assert frame["ess_bulk"].min() > 800
    assert "integrated out" in fit.sampler


@pytest.mark.filterwarnings("ignore::bayesmlm.ConvergenceWarning")
def test_the_seed_gives_the_same_draws_on_any_number_of_cores():
    frame = bm.load_dataset(DATA)
    one, two, other = (
        bm.fit(
            FORMULA, frame, seed=seed, cores=cores, draws=100, tune=100, chains=3, progress=False
        ).posterior
        for seed, cores in ((3, 1), (3, 2), (4, 2))
    )
    xr.testing.assert_identical(one.fixef, two.fixef)
    xr.testing.assert_identical(one.blocks[0].b, two.blocks[0].b)
    xr.testing.assert_identical(one.sample_stats, two.sample_stats)
    assert not np.array_equal(one.fixef, other.fixef)


def test_the_tree_of_draws_is_read_back_as_it_was(gaussian_fits):
    fit = gaussian_fits("gcse_m3")
    fit.model  # noqa: B018
    again = read_posterior(fit.draws, fit._built.schema, fit.design, fit.settings.seed)
    for ours, theirs in ((fit.posterior.fixef, again.fixef), (fit.posterior.sigma, again.sigma)):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(fit.posterior.blocks, again.blocks, strict=True):
        for field in ("sd", "corr", "b"):
            np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))
    assert set(fit.draws.children) == {"posterior", "sample_stats", "observed_data"}


@pytest.mark.parametrize("name", ["imm_model4", "penicillin"])
def test_both_samplers_draw_from_one_posterior(name, gaussian_fits, graph_fits):
    fit, graph = gaussian_fits(name), graph_fits(name)
    assert "asked for" in graph.sampler
    one, two = (parameter_draws(f.posterior) for f in (fit, graph))
    mcse = [convergence_frame(d)["mcse"] for d in (one, two)]
    for parameter in [p for p in mcse[0].index if p != "log-posterior"]:
        a, b = (float(d.sel(parameter=parameter).mean()) for d in (one, two))
        assert abs(a - b) < 4.5 * np.hypot(mcse[0][parameter], mcse[1][parameter]), parameter


def test_another_prior_is_drawn_from_on_the_graph_and_says_why():
    from bayesmlm.kernels.target import obstacle

    design = build_design(FORMULA, bm.load_dataset(DATA))
    assert (
        obstacle(design, build_priors(design, {"Days": bm.student_t(3, 0, 10)}))
        == "the prior of Days is not normal"
    )


# -- the sampler itself ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target():
    design = build_design(FORMULA, bm.load_dataset(DATA))
    target = build_target(design, build_priors(design))
    return target, *mode_and_root(target, fit_lmer(design))


def test_the_mode_is_a_maximum_and_the_root_its_curvature(target):
    target, mode, root = target
    value, gradient = target.log_density(mode)
    assert np.abs(root.T @ gradient).max() < 0.05
    steps = np.random.default_rng(0).choice([-1.0, 1.0], (20, len(mode))) @ root.T
    drops = [value - target.log_density(mode + 0.1 * s)[0] for s in steps]
    # a step of 0.1 in all d directions: d 0.1^2 / 2
    np.testing.assert_allclose(drops, len(mode) * 0.005, rtol=0.25)


def test_draws_have_the_moments_of_the_density(target):
    """Importance weights of a long run against the density itself: E exp(q - p) = const for any density q."""
    target, mode, root = target
    settings = Settings(chains=2, draws=2000, tune=200, seed=1, target_accept=0.8, progress=False)
    found = walk(target.standardised(mode, root), settings)
    assert found.x.shape == (2, 2000, target.n_parameters)
    assert set(found.statistics) >= {"diverging", "lp", "energy", "tree_depth", "n_steps"}
    lp = np.array([target.log_density(x)[0] for x in found.x[0, :50]])
    np.testing.assert_allclose(found.statistics["lp"][0, :50], lp, rtol=1e-10)
    # grad log p has mean 0 and covariance -E Hessian: E[(x - m)' grad] = -d (integration by parts)
    flat = found.x.reshape(-1, target.n_parameters)[::4]
    products = [(x - mode) @ target.log_density(x)[1] for x in flat]
    error = np.std(products) / np.sqrt(len(products) / 2)
    assert np.mean(products) == pytest.approx(-target.n_parameters, abs=4 * error)


@pytest.fixture
def interruptible():
    """A process started in the background ignores interrupts; here they are to arrive all the same."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("tune", [100, 50_000_000])
def test_an_interrupt_keeps_the_draws_if_there_are_any(tune, monkeypatch):
    run = nutpie.sample

    def interrupted(*args, **kwargs):
        threading.Timer(0.7, signal.raise_signal, [signal.SIGINT]).start()
        return run(*args, **kwargs)

    monkeypatch.setattr(nutpie, "sample", interrupted)
    frame = bm.load_dataset(DATA)
    wish = {"draws": 300_000 if tune == 100 else 10, "tune": tune, "chains": 2, "cores": 2, "progress": False}
    if tune > 100:
        with pytest.raises(bm.SamplingError, match="during warm-up"):
            bm.fit(FORMULA, frame, seed=1, **wish)
        return
    with pytest.warns(bm.ConvergenceWarning, match="interrupted: kept 2 chains of"):
        fit = bm.fit(FORMULA, frame, seed=1, **wish)
    assert 4 <= fit.posterior.fixef.sizes["draw"] < 300_000
    assert all(np.isfinite(b.b).all() for b in fit.posterior.blocks)


def test_diagnostics_page(gaussian_fits):
    fit = gaussian_fits("sleep_corr")
    page = fit.diagnostics()
    text = str(page)
    assert text.startswith(
        "Sampler: NUTS (nutpie), fixed and group effects integrated out\nDraws:   4000 in 4 chains"
    )
    assert "E-BFMI" in text
    assert text.endswith("Nothing to complain about.")
    assert page.frame.loc["sigma", "ess_bulk"] > 800
    assert not any(name.startswith("b[") for name in page.frame.index)
    stats = fit.posterior.sample_stats
    energy = stats["energy"].values[0]
    bfmi = np.mean(np.diff(energy) ** 2) / np.var(energy)
    assert chain_frame(fit.posterior)["e_bfmi"][0] == pytest.approx(bfmi, rel=1e-2)
    assert chain_frame(fit.posterior)["e_bfmi"].min() > 0.5


def test_energy_that_hardly_moves_is_said_in_words(gaussian_fits):
    posterior = gaussian_fits("sleep_corr").posterior
    slow = posterior.sample_stats.assign(energy=posterior.sample_stats["energy"] * 0 + np.arange(1000.0))
    sentences = convergence_sentences(dataclasses.replace(posterior, sample_stats=slow), effects=False)
    assert any("E-BFMI is below 0.3 in chain 0, 1, 2, 3" in s for s in sentences)
