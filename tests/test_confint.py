"""Confidence intervals against lme4 and boot (tests/reference), and against dense likelihoods; their errors."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from random_designs import FORMULAS, dense_Z, random_design, random_frame
from scipy.optimize import minimize
from scipy.stats import norm

import bayesmlm as bm
from bayesmlm import ConvergenceWarning
from bayesmlm.crossprod import cross_products, orthogonal_basis, with_response
from bayesmlm.design import Design, build_design
from bayesmlm.errors import BayesMLMError, DataWarning
from bayesmlm.frequentist import ReferenceFit, reference_fit
from bayesmlm.intervals import interval_columns
from bayesmlm.reference import profiling
from bayesmlm.reference.bootstrap import LONG, TIMED, _threads, percentile_limits
from bayesmlm.reference.constrained import UnsettledError, ml_optimum, values_at
from bayesmlm.reference.held import from_scale, hold, to_scale
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.reference.parameters import Parameter, parameters_of, values_of
from bayesmlm.reference.predict import simulate_response
from bayesmlm.reference.profiling import profile_limits

FOLDER = Path(__file__).parent / "reference"
LME4 = json.loads((FOLDER / "lme4_confint.json").read_text())
BOOTMER = json.loads((FOLDER / "lme4_bootmer.json").read_text())
QUANTILE = float(norm.ppf(0.975))

MODELS = {
    "sleep_corr_ml": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    "sleep_uncorr": ("sleepstudy", "Reaction ~ Days + (Days || Subject)"),
    "sleep_weights": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    "gcse_m2": ("gcsemv", "course ~ 1 + female + (1 | school)"),
    "gcse_m3": ("gcsemv", "course ~ 1 + female + (1 + female | school)"),
    "gcse_three": ("gcsemv", "course ~ written + female + (written + female | school)"),
    "imm_model4": ("imm10", "math ~ homework + (homework | schnum)"),
    "dyestuff": ("dyestuff", "Yield ~ 1 + (1 | Batch)"),
    "dyestuff2": ("dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    "penicillin": ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    "pastes": ("pastes", "strength ~ 1 + (1 | batch / cask)"),
}


@functools.cache
def fit_of(key: str, reml: bool = False) -> ReferenceFit:
    data, formula = MODELS[key]
    frame = bm.load_dataset(data)
    if key == "sleep_weights":
        return bm.lmer(formula, frame.assign(w=1 + frame["Days"] / 3), reml, weights="w")
    return bm.lmer(formula, frame, reml)


@functools.cache
def interval_of(key: str) -> pd.DataFrame:
    return fit_of(key).confint()


# -- lme4 ------------------------------------------------------------------------------------------

# lme4 interpolates zeta between points of a grid by a spline, whose error is mostly below 1e-4 of the interval's
# width. It is larger where the grid is coarse (as `test_limit_is_where_the_dense_likelihood_says` shows, ours is not):
SPLINE = 1.2e-4
COARSE = {
    ("gcse_m3", "sd_femaleF|school"): 1e-3,
    ("imm_model4", "cor_homework.(Intercept)|schnum"): 2e-3,
    ("sleep_weights", "sd_(Intercept)|Subject"): 1e-3,
    ("sleep_weights", "cor_Days.(Intercept)|Subject"): 1e-3,
    ("dyestuff2", "(Intercept)"): 1e-3,
    ("gcse_three", "sd_femaleF|school"): 1e-3,
}
# Where lme4's profile is wrong: with weights those of the fixed effects are not monotonic, and with three correlated
# effects some stop short, in both cases with warnings. `test_lme4s_own_deviance_at_our_limits` has its answer there.
WRONG = {("sleep_weights", name) for name in ("(Intercept)", "Days")} | {
    ("gcse_three", name)
    for name in (
        "sd_(Intercept)|school",
        "cor_written.(Intercept)|school",
        "cor_femaleF.(Intercept)|school",
        "cor_femaleF.written|school",
    )
}


@pytest.mark.parametrize("key", LME4)
def test_profile_interval_is_lme4s(key):
    ours = interval_of(key)
    theirs = np.array(LME4[key]["profile"], dtype=float)  # dyestuff2: no upper limit of sigma was found
    assert list(ours.index) == LME4[key]["parameters"]
    assert list(ours.columns) == ["2.5 %", "97.5 %"]
    for name, mine, other in zip(ours.index, ours.to_numpy(), theirs, strict=True):
        if (key, name) not in WRONG:
            error = np.nanmax(np.abs(mine - other)) / np.ptp(mine)
            assert error < COARSE.get((key, name), SPLINE), f"{name} off by {error:.1e} of its width"


@pytest.mark.parametrize(
    ("key", "name"), [(key, name) for key in LME4 for name in LME4[key].get("rises", ())]
)
def test_lme4s_own_deviance_at_our_limits(key, name):
    ours = interval_of(key).loc[name].to_numpy()
    for x, (at, rise) in zip(ours, LME4[key]["rises"][name], strict=True):
        assert x == pytest.approx(at, abs=1e-7 * np.ptp(ours))
        assert rise == pytest.approx(QUANTILE**2, abs=4e-6)


@pytest.mark.parametrize("key", LME4)
def test_wald_interval_is_lme4s(key):
    ours = fit_of(key).confint(method="Wald")
    theirs = np.array(LME4[key]["wald"], dtype=float)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    fixed = list(fit_of(key).fixef().index)
    width = np.ptp(ours.loc[fixed].to_numpy(), axis=1)[:, None]
    assert np.all(np.abs(ours.loc[fixed].to_numpy() - theirs[-len(fixed) :]) < 1e-4 * width)


def test_interval_of_a_reml_fit_is_that_of_ml_by_profile_and_its_own_by_wald():
    ml, reml = fit_of("sleep_corr_ml"), fit_of("sleep_corr_ml", reml=True)
    pd.testing.assert_frame_equal(reml.confint("beta_"), ml.confint("beta_"))
    expected = reml.fixef() - QUANTILE * reml.se()
    np.testing.assert_allclose(reml.confint("beta_", method="wald")["2.5 %"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("level", "columns"),
    [(0.9, ["5 %", "95 %"]), (0.99, ["0.5 %", "99.5 %"]), (0.999, ["0.05 %", "99.95 %"])],
)
def test_columns_are_named_after_the_level_as_in_r(level, columns):
    assert interval_columns(level) == columns
    frame = fit_of("dyestuff").confint("(Intercept)", level)
    assert list(frame.columns) == columns
    assert frame.shape == (1, 2)


def test_parm_chooses_names_and_groups_of_parameters():
    fit = fit_of("sleep_corr_ml")
    names = LME4["sleep_corr_ml"]["parameters"]
    assert list(fit.confint("theta_", method="wald").index) == names[:4]
    assert list(fit.confint("beta_", method="wald").index) == names[4:]
    assert list(fit.confint(["Days", "sigma"], method="wald").index) == ["Days", "sigma"]
    one = fit.confint("sd_Days|Subject")
    pd.testing.assert_frame_equal(one, interval_of("sleep_corr_ml").loc[["sd_Days|Subject"]], rtol=1e-8)


# -- exact: dense likelihoods ------------------------------------------------------------------------

TRANSFORM = {"sd": (np.log, np.exp), "cor": (np.arctanh, np.tanh), "sigma": (np.log, np.exp)}


class Dense:
    """The deviance from the n x n covariance of y, in standard deviations and correlations."""

    def __init__(self, design: Design):
        self.design, self.parameters = design, parameters_of(design)
        self.weights = np.ones(design.nobs) if design.weights is None else design.weights
        self.y = design.y if design.offset is None else design.y - design.offset
        self.Z = [dense_Z(design, i) for i in range(len(design.blocks))]

    def deviance(self, values: dict[Parameter, float], held: Parameter | None = None) -> float:
        """Return the deviance at these sds and correlations; fixed effects are minimised over, unless `held`."""
        V = np.diag(values[Parameter("sigma", "sigma")] ** 2 / self.weights)
        for i, (block, Z) in enumerate(zip(self.design.blocks, self.Z, strict=True)):
            own = [p for p in self.parameters if p.block == i]
            R = np.eye(len(block.columns))
            for p in own:
                if p.kind == "cor":
                    R[p.columns] = R[p.columns[::-1]] = values[p]
            if np.linalg.eigvalsh(R)[0] < 0:
                return 1e10
            sd = np.array([values[p] for p in own if p.kind == "sd"])
            V += Z @ np.kron(np.eye(len(block.levels)), R * np.outer(sd, sd)) @ Z.T
        try:
            L = np.linalg.cholesky(V)
        except np.linalg.LinAlgError:
            return 1e10
        X, y = self.design.X, self.y
        if held is not None and held.kind == "beta":
            y, X = y - X[:, held.columns[0]] * values[held], np.delete(X, held.columns[0], axis=1)
        X, y = np.linalg.solve(L, X), np.linalg.solve(L, y)
        residual = y - X @ np.linalg.solve(X.T @ X, X.T @ y)
        return float(2 * np.log(np.diag(L)).sum() + len(y) * np.log(2 * np.pi) + residual @ residual)

    def minimum(self, held: Parameter, value: float, start: dict[Parameter, float]) -> float:
        """Return the least deviance with a parameter held: BFGS with differences, then a simplex."""
        free = [p for p in self.parameters if p != held and p.kind != "beta"]

        def deviance(z: np.ndarray) -> float:
            values = {p: TRANSFORM[p.kind][1](v) for p, v in zip(free, z, strict=True)}
            return self.deviance({**values, held: value}, held)

        # correlations nearer to 0 than estimated, so that they go with any value of another one
        shrink = {"cor": 0.3}
        z = np.array([TRANSFORM[p.kind][0](shrink.get(p.kind, 1.0) * start[p]) for p in free])
        for method, options in (("BFGS", {"gtol": 1e-4}), ("Nelder-Mead", {"xatol": 1e-6, "fatol": 1e-8})):
            z = minimize(deviance, z, method=method, options=options).x
        return deviance(z)


def interior_design(formula: str, seed: int = 4) -> Design:
    """Return a design with weights and offset whose covariance matrices are inside their boundary."""
    rng = np.random.default_rng(seed)
    frame = random_frame(seed).assign(x=lambda d: d["x"] - 40, z=lambda d: 3 * (d["z"] + 2))
    a = frame["a"].astype(int).to_numpy()
    b = rng.multivariate_normal(np.zeros(3), [[9, 2, -1], [2, 4, 1], [-1, 1, 6]], 12)[a]
    between = rng.normal(0, 2, 5)[frame["b"].astype(int)]
    mean = 100 + b[:, 0] + b[:, 1] * frame["x"] + b[:, 2] * frame["z"] + between + frame["o"]
    frame["y"] = mean + rng.normal(0, 2, len(a)) / np.sqrt(frame["w"])
    return build_design(formula, frame, weights="w", offset="o")


EXACT = {
    "two columns": interior_design("y ~ x + z + (x | a)"),
    "three columns": interior_design("y ~ x + (x + z | a)"),
    "crossed": interior_design("y ~ x + (1 | a) + (1 | b)"),
    "no fixed effects": interior_design("y ~ 0 + (x | a)"),
}


@pytest.mark.parametrize("name", EXACT)
def test_limit_is_where_the_dense_likelihood_says(name):
    design = EXACT[name]
    best, dense = ml_optimum(design), Dense(design)
    assert dense.deviance(dict(best.values)) == pytest.approx(best.deviance, abs=1e-8)
    found = profile_limits(design, parameters_of(design), 0.95)
    assert all(not limits.reason for limits in found)
    checked = 0
    for i, limits in enumerate(found):
        x = (limits.lower, limits.upper)[i % 2]  # half of the limits tell as much as all, in half the time
        if x not in {0.0, -1.0, 1.0}:
            rise = dense.minimum(limits.parameter, x, dict(best.values)) - best.deviance
            # 4e-6 of the deviance is 1e-6 of zeta, hence of the distance between estimate and limit
            assert rise == pytest.approx(QUANTILE**2, abs=4e-6), limits.parameter.name
            checked += 1
    assert checked >= len(found) - 1


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_gradient_is_that_of_finite_differences(formula):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        design = random_design(formula, seed=2, weighted=True)
    best = ml_optimum(design)
    for parameter in parameters_of(design):
        held = hold(best.cp, parameter)
        phi = held.start(best.lambdas, best.sigma)
        phi += 0.1 * np.abs(np.random.default_rng(1).normal(size=len(phi)))
        x = float(to_scale(parameter, {"sd": 1.3, "cor": 0.4, "sigma": 2.2, "beta": 0.7}[parameter.kind]))
        assert values_of([parameter], *values_at(design, held, x, phi))[0] == pytest.approx(
            from_scale(parameter, x), rel=1e-8
        )
        steps = 1e-5 * np.eye(len(phi))
        numeric = [held.evaluate(x, phi + h)[0] - held.evaluate(x, phi - h)[0] for h in steps]
        gradient = held.evaluate(x, phi)[1]
        np.testing.assert_allclose(np.array(numeric) / 2e-5, gradient, rtol=1e-5, atol=1e-5)


def test_deviance_at_the_estimate_is_that_of_the_fit_whatever_is_held():
    design = EXACT["three columns"]
    best = ml_optimum(design)
    for parameter, value in best.values.items():
        held = hold(best.cp, parameter)
        x = float(to_scale(parameter, value))
        deviance, gradient = held.evaluate(x, held.start(best.lambdas, best.sigma))
        assert deviance == pytest.approx(best.deviance, abs=1e-8)
        np.testing.assert_allclose(gradient, 0, atol=1e-2)


def test_interval_does_not_depend_on_units():
    frame = random_frame(seed=4).assign(x=lambda d: d["x"] - 40)
    other = frame.assign(y=1e6 + 1e3 * frame["y"], x=1e-3 * frame["x"])
    one, two = (bm.lmer("y ~ x + (x | a)", f, reml=False).confint() for f in (frame, other))
    scale = [1e3, 1.0, 1e6, 1e3, 1e3, 1e6]
    origin = [0.0, 0.0, 0.0, 0.0, 1e6, 0.0]
    width = np.ptp(one.to_numpy(), axis=1)[:, None]
    ours = (two.to_numpy() - np.c_[origin]) / np.c_[scale]
    assert np.all(np.abs(ours - one.to_numpy()) < 1e-5 * width)


def test_slope_on_calendar_years_has_the_interval_of_centred_years():
    frame = random_frame(seed=5).assign(c=lambda d: np.round(d["x"]) - 40, year=lambda d: d["c"] + 2000)
    frame["y"] += 2 * frame["c"]
    raw, centred = (bm.lmer(f"y ~ {v} + ({v} | a)", frame, reml=False) for v in ("year", "c"))
    for name in ("sigma", "sd_{}|a", "{}"):
        ours = raw.confint(name.format("year")).to_numpy()
        np.testing.assert_allclose(ours, centred.confint(name.format("c")).to_numpy(), rtol=1e-5)


# -- boundaries --------------------------------------------------------------------------------------


def test_lower_limit_of_an_sd_is_zero_where_zeta_does_not_reach_the_quantile():
    assert interval_of("pastes").loc["sd_(Intercept)|batch", "2.5 %"] == 0.0
    assert fit_of("pastes").confint("sd_(Intercept)|batch", level=0.3).iloc[0, 0] > 0.1


def test_sd_estimated_as_zero_has_a_finite_upper_limit():
    low, high = interval_of("dyestuff2").loc["sd_(Intercept)|Batch"]
    assert low == 0.0
    best, dense = ml_optimum(fit_of("dyestuff2").design), Dense(fit_of("dyestuff2").design)
    sd, sigma = parameters_of(fit_of("dyestuff2").design)[:2]
    assert best.values[sd] == 0.0
    rise = dense.minimum(sd, high, {sigma: best.sigma}) - best.deviance
    assert rise == pytest.approx(QUANTILE**2, abs=4e-6)


def test_limit_of_a_correlation_is_one_where_zeta_does_not_reach_the_quantile():
    frame = bm.load_dataset("england_schools").query("ATT8SCR > 0 and PTFSM6CLA1A > 0")
    fit = bm.lmer("log(ATT8SCR) ~ log(PTFSM6CLA1A) + (log(PTFSM6CLA1A) | OFSTEDRATING)", frame, reml=False)
    low, high = fit.confint("cor_log(PTFSM6CLA1A).(Intercept)|OFSTEDRATING").iloc[0]
    assert high == 1.0 or low == -1.0
    assert -1 <= low < high <= 1


@functools.cache
def flat_fit() -> ReferenceFit:
    frame = random_frame(0)
    frame["y"] = np.random.default_rng(7).normal(size=len(frame))
    fit = bm.lmer("y ~ x + (1 + I(x - 40) | b)", frame, reml=False)
    assert fit.varcorr().sd["b"].min() < 1e-12
    return fit


def test_correlation_with_an_sd_of_zero_has_no_interval_and_the_others_are_kept():
    with pytest.warns(
        ConvergenceWarning, match=r"no profile of cor_.*estimated as 0, so that every correlation"
    ):
        frame = flat_fit().confint()
    missing = frame.isna().all(axis=1)
    assert [name for name in frame.index if missing[name]] == ["cor_I(x - 40).(Intercept)|b"]
    assert (frame.dropna()["2.5 %"] < frame.dropna()["97.5 %"]).all()


def test_profile_that_fails_is_nan_with_a_warning_and_the_others_are_kept(monkeypatch):
    def minimum(held, *rest):
        if held.parameter.kind == "sigma":
            raise UnsettledError("no minimum of the deviance was found")
        return original(held, *rest)

    original = profiling.minimum
    monkeypatch.setattr(profiling, "minimum", minimum)
    with pytest.warns(ConvergenceWarning, match="no profile of sigma: no minimum"):
        frame = fit_of("dyestuff").confint()
    assert frame.loc["sigma"].isna().all()
    rest = ["sd_(Intercept)|Batch", "(Intercept)"]
    pd.testing.assert_frame_equal(frame.loc[rest], interval_of("dyestuff").loc[rest], rtol=1e-8)


def test_fit_that_is_not_the_minimum_is_found_out(monkeypatch):
    design = fit_of("dyestuff").design
    right = ml_optimum(design)
    wrong = dataclasses.replace(right, deviance=right.deviance + 1, se=dict.fromkeys(right.se, 1e-3))
    monkeypatch.setattr(profiling, "ml_optimum", lambda d: wrong)
    limits = profile_limits(design, parameters_of(design)[2:], 0.95)[0]
    assert np.isnan(limits.lower)
    assert "another minimum was found" in limits.reason


def test_profile_needs_an_ml_fit():
    frame = random_frame().assign(y=lambda d: d["a"].astype(float))
    with pytest.warns(ConvergenceWarning):
        fit = bm.lmer("y ~ 1 + (1 | a)", frame)
    with pytest.raises(BayesMLMError, match="there is no ML fit to profile: the "):
        fit.confint()


# -- the table of zeta -------------------------------------------------------------------------------


def test_profile_table_runs_between_the_limits_through_the_estimate():
    fit = reference_fit(EXACT["two columns"], reml=False)
    names = [p.name for p in parameters_of(fit.design)]
    table, limits = fit.profile(level=0.95, n_points=3), fit.confint()
    assert list(table.columns) == ["parameter", "value", "zeta", *names]
    for name in names:
        own = table[table["parameter"] == name]
        assert own["zeta"].is_monotonic_increasing
        assert own["value"].is_monotonic_increasing
        np.testing.assert_allclose(own["value"], own[name], rtol=1e-8)
        assert (own["zeta"] == 0).sum() == 1
        low, high = limits.loc[name]
        assert own["value"].iloc[[0, -1]].tolist() == pytest.approx([low, high], rel=1e-7)
        if abs(low) != 1:
            assert own["zeta"].iloc[0] == pytest.approx(-QUANTILE, abs=1e-6)


def test_other_parameters_in_the_table_are_those_of_the_constrained_minimum():
    design = EXACT["two columns"]
    best, dense = ml_optimum(design), Dense(design)
    table = reference_fit(design, reml=False).profile(n_points=2)
    for row in table.itertuples(index=False):
        held = next(p for p in best.values if p.name == row.parameter)
        values = dict(zip(best.values, row[3:], strict=True))
        assert dense.deviance(values, held) - best.deviance == pytest.approx(row.zeta**2, abs=1e-6)


def test_profile_table_keeps_apart_a_predictor_called_value():
    frame = bm.load_dataset("sleepstudy").rename(columns={"Days": "value"})
    table = bm.lmer("Reaction ~ value + (1 | Subject)", frame).profile("value", n_points=1)
    assert table.columns.is_unique
    np.testing.assert_allclose(table["value"], table["value (fixed effect)"], rtol=1e-10)


# -- the bootstrap -----------------------------------------------------------------------------------

N_BOOT = 200


@functools.cache
def replicates() -> pd.DataFrame:
    return fit_of("sleep_corr_ml", reml=True).bootstrap(n_boot=N_BOOT, seed=1, cores=2, progress=False)


def test_result_does_not_depend_on_the_number_of_cores():
    fit = fit_of("sleep_corr_ml", reml=True)
    alone = fit.bootstrap(n_boot=6, seed=1, cores=1, progress=False)
    pd.testing.assert_frame_equal(
        alone, fit.bootstrap(n_boot=6, seed=1, cores=2, progress=False), rtol=0, atol=0
    )
    pd.testing.assert_frame_equal(alone, replicates().iloc[:6], rtol=0, atol=0)
    other = fit.bootstrap(n_boot=6, seed=2, cores=2, progress=False)
    assert not np.isclose(alone.to_numpy(), other.to_numpy()).any()


def test_short_replicates_take_one_thread_and_long_ones_all():
    assert _threads(0.9 * LONG) == 1
    assert _threads(1.1 * LONG) == (
        os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
    )


def test_replicates_scatter_around_the_estimates_as_the_standard_errors_say():
    fit, found = fit_of("sleep_corr_ml", reml=True), replicates()[["(Intercept)", "Days"]]
    z = (found.mean() - fit.fixef()) / (fit.se() / np.sqrt(N_BOOT))
    assert (z.abs() < 4).all()
    # the sd of a sample of normal draws has a relative standard error of 1 / sqrt(2 N)
    assert ((found.std() / fit.se() - 1).abs() < 4 / np.sqrt(2 * N_BOOT)).all()


@pytest.mark.parametrize("index", range(6), ids=BOOTMER["sleep_corr_reml"]["parameters"])
def test_replicates_have_the_distribution_of_bootmers(index):
    theirs = BOOTMER["sleep_corr_reml"]
    assert list(replicates().columns) == theirs["parameters"]
    ours = np.sort(replicates().iloc[:, index].dropna().to_numpy())
    shares = np.searchsorted(ours, theirs["quantiles"][index], side="right") / len(ours)
    # Kolmogorov and Smirnov's distance of two samples exceeds this once in 1,000 times
    limit = 1.95 * np.sqrt(1 / len(ours) + 1 / theirs["replicates"])
    assert np.abs(shares - theirs["percent"]).max() < limit


def test_bootstrap_interval_is_the_percentiles_of_the_replicates():
    frame = fit_of("sleep_corr_ml", reml=True).confint(
        ["Days", "sigma"], 0.8, method="boot", n_boot=30, seed=1, progress=False
    )
    expected = [percentile_limits(replicates()[name].to_numpy()[:30], 0.8) for name in ("Days", "sigma")]
    np.testing.assert_allclose(frame.to_numpy(), expected, rtol=1e-12)
    assert list(frame.columns) == ["10 %", "90 %"]


def test_percentiles_are_those_of_boot_ci():
    r = BOOTMER["boot_ci"]
    sample = np.array(r["sample"])
    for level, limits in zip(r["levels"], r["limits"], strict=True):
        assert percentile_limits(sample, level) == pytest.approx(limits, abs=1e-7)
    for level, limits in zip(r["levels"], r["limits_of_first_59"], strict=False):
        assert percentile_limits(sample[:59], level) == pytest.approx(limits, abs=1e-7)
    with_gaps = np.concatenate([[np.nan, np.inf], sample])
    assert percentile_limits(with_gaps, 0.9) == percentile_limits(sample, 0.9)
    assert np.isnan(percentile_limits(np.array([np.nan]), 0.9)).all()


@pytest.mark.parametrize("reml", [False, True], ids=["ML", "REML"])
def test_replicate_is_the_fit_to_its_response_by_the_same_criterion(reml):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        fit = reference_fit(random_design(FORMULAS["uncorrelated and crossed"], weighted=True), reml)
    stream = np.random.SeedSequence(3).spawn(1)[0]
    y = simulate_response(fit.design, fit.estimate, np.random.default_rng(stream))
    again = fit_lmer(dataclasses.replace(fit.design, y=y), reml)
    expected = values_of(parameters_of(fit.design), again.varcorr, again.beta)
    found = fit.bootstrap(n_boot=1, seed=3, progress=False).iloc[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_simulated_response_has_the_mean_and_covariance_of_the_model():
    fit = reference_fit(EXACT["three columns"], reml=False)
    rng = np.random.default_rng(0)
    draws = np.array([simulate_response(fit.design, fit.estimate, rng) for _ in range(4000)])
    weights = fit.design.weights
    V = np.diag(fit.sigma**2 / weights)
    for i, block in enumerate(fit.estimate.varcorr.blocks):
        Z = dense_Z(fit.design, i)
        V += Z @ np.kron(np.eye(len(fit.design.blocks[i].levels)), block.cov) @ Z.T
    white = np.linalg.solve(np.linalg.cholesky(V), (draws - fit.estimate.linear_predictor_fixed).T)
    assert np.abs(white.mean(axis=1)).max() < 5 / np.sqrt(4000)
    assert np.abs(white @ white.T / 4000 - np.eye(len(V))).max() < 5 * np.sqrt(2 / 4000)


def test_sums_with_another_response_are_those_of_its_design():
    design = random_design(FORMULAS["uncorrelated and crossed"], weighted=True)
    y = np.random.default_rng(0).normal(100, 5, design.nobs)
    basis = orthogonal_basis(design)
    moved = with_response(cross_products(design, basis), design, y)
    expected = cross_products(dataclasses.replace(design, y=y), basis)
    np.testing.assert_allclose(moved.gram, expected.gram, rtol=1e-10, atol=1e-8)
    for one, two in zip(moved.factors, expected.factors, strict=True):
        np.testing.assert_allclose(one.ZXy, two.ZXy, rtol=1e-10, atol=1e-8)


def test_statistic_of_the_user_sees_each_fit_and_names_the_columns():
    fit = fit_of("sleep_corr_ml", reml=True)
    how = {"n_boot": 3, "seed": 1, "progress": False}
    slopes = fit.bootstrap(lambda f: f.fixef(), **how)
    np.testing.assert_allclose(slopes, replicates()[["(Intercept)", "Days"]].iloc[:3], rtol=1e-7)
    assert list(fit.bootstrap(lambda f: f.sigma, **how).columns) == ["statistic"]
    both = fit.bootstrap(lambda f: [f.sigma, f.nobs], **how)
    assert list(both.columns) == ["statistic[0]", "statistic[1]"]
    assert both.index.name == "replicate"
    assert fit.bootstrap(lambda f: {"icc": f.icc().iloc[0]}, **how)["icc"].between(0, 1).all()


def failing(error: Exception):
    """Return a statistic that raises in two of its calls, after those that are timed."""
    calls, lock = [], threading.Lock()

    def statistic(fit: ReferenceFit) -> float:
        with lock:
            calls.append(fit)
            if len(calls) in {TIMED + 1, TIMED + 2}:
                raise error
        return fit.sigma

    return statistic


def test_replicates_that_fail_are_counted_and_left_empty():
    statistic = failing(UnsettledError("the criterion is too flat"))
    with pytest.warns(
        ConvergenceWarning, match=r"2 of 5 bootstrap replicates .* first says: the criterion is too"
    ):
        frame = fit_of("dyestuff").bootstrap(statistic, n_boot=5, seed=1, progress=False)
    assert frame["statistic"].isna().sum() == 2
    assert len(frame) == 5


@pytest.mark.parametrize("error", [KeyError("Dayz"), KeyboardInterrupt()], ids=["mistake", "interrupt"])
def test_mistake_in_the_statistic_and_an_interrupt_end_the_bootstrap(error):
    with pytest.raises(type(error)):
        fit_of("dyestuff").bootstrap(failing(error), n_boot=50, seed=1, cores=2, progress=False)


def test_bootstrap_without_a_single_fit_is_an_error():
    def statistic(fit):
        raise UnsettledError("the criterion is too flat")

    with pytest.raises(
        BayesMLMError, match=r"none of the 3 replicates could be fitted; the first says: the crit"
    ):
        fit_of("dyestuff").bootstrap(statistic, n_boot=3, seed=1, progress=False)


def test_correlations_that_do_not_exist_are_counted():
    with pytest.warns(ConvergenceWarning, match=r"cor_.* does not exist in \d+ of 12 bootstrap replicates"):
        frame = flat_fit().confint(method="boot", n_boot=12, seed=1, progress=False)
    assert frame.drop(index="cor_I(x - 40).(Intercept)|b").notna().all(axis=None)


def test_progress_goes_to_standard_error_of_a_terminal_only(capfd):
    fit_of("dyestuff").bootstrap(n_boot=2, seed=1)
    assert capfd.readouterr() == ("", "")


# -- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"parm": "Dayz"}, r"no parameter 'Dayz'\. Did you mean 'Days'\?"),
        (
            {"parm": ["Days", 7]},
            r"no parameter 7\. There are sd_\(Intercept\)\|Subject, .*'theta_' and 'beta_'",
        ),
        ({"parm": 3}, "parm = 3: give names of parameters"),
        ({"parm": []}, "parm is empty"),
        ({"level": 95}, "level = 95: give a probability between 0 and 1"),
        ({"method": "Walt"}, "method = 'Walt': choose 'profile', 'wald', 'boot'"),
        ({"method": None}, "method = None: choose"),
        ({"method": "boot", "n_boot": 0}, "n_boot = 0: give a positive integer"),
        ({"method": "boot", "n_boot": 2.5}, "n_boot = 2.5: give a positive integer"),
        ({"method": "boot", "cores": 0}, "cores = 0: give a positive integer"),
        ({"method": "boot", "seed": -1}, "seed = -1: give a non-negative integer"),
        ({"method": "boot", "seed": "one"}, "seed = 'one': give a non-negative integer"),
    ],
)
def test_mistakes_are_explained(how, message):
    with pytest.raises(BayesMLMError, match=message):
        fit_of("sleep_corr_ml").confint(**how)


def test_profile_points_are_a_positive_integer():
    with pytest.raises(BayesMLMError, match="n_points = 0: give a positive integer"):
        fit_of("sleep_corr_ml").profile(n_points=0)


def test_statistic_that_is_not_a_number_is_a_type_error():
    with pytest.raises(TypeError, match="returns a number, a list of numbers, a Series or a dict, not str"):
        fit_of("dyestuff").bootstrap(lambda f: "sigma", n_boot=2, seed=1, progress=False)
