"""R2, intraclass correlations, variance partition, change in variance, design effects: exact, and of real fits."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from random_designs import FORMULAS, dense_Z, random_design, random_frame
from reference_models import MODELS, REFERENCE
from synthetic import many_draws, posterior_at
from test_nuts import GAUSSIAN
from test_r2 import ENTRIES, FIRST_BLOCK_ONLY, ZERO_VARIANCE, blocks_of_lme4, expected
from test_reference import design_of

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.design_effects import design_effects
from bayesmlm.diagnostics import convergence_frame
from bayesmlm.draws import SAMPLE, with_levels
from bayesmlm.pooling_factors import pooling_factors
from bayesmlm.residual_checks import posterior_checks
from bayesmlm.scores import unit_scores
from bayesmlm.shares import (
    bayes_r2_draws,
    fit_variance,
    flat_cov,
    level_icc_draws,
    overall_icc_draws,
    r2_draws,
    share_frame,
)
from bayesmlm.variance_explained import ratio_quantiles
from bayesmlm.vpc import predictor_frame, variance_partition


@pytest.fixture(scope="module")
def gaussian(fits):
    """Every Gaussian model that rstanarm fitted."""
    made = {}

    def get(name):
        if name in MODELS:
            return fits(name)
        if name not in made:
            formula, data = GAUSSIAN[name]
            made[name] = bm.fit(formula, bm.load_dataset(data), seed=20261, progress=False)
        return made[name]

    return get


def dense_V(design, posterior, draw=0):
    """Covariance matrix of the response given the parameters of one draw."""
    V = float(posterior.sigma.values.ravel()[draw]) ** 2 * np.eye(design.nobs)
    for k, block in enumerate(design.blocks):
        Z = dense_Z(design, k)
        V += Z @ np.kron(np.eye(len(block.levels)), flat_cov(posterior.blocks[k])[draw]) @ Z.T
    return V


# -- one draw at an estimate gives the estimate's number -----------------------------------------------


@pytest.mark.parametrize("key", sorted(ENTRIES.keys() - ZERO_VARIANCE))
def test_at_lme4s_estimates_r2_and_icc_are_performances(key):
    entry, design = ENTRIES[key], design_of("lme4", key)
    cov = blocks_of_lme4(key)
    if key in FIRST_BLOCK_ONLY:
        cov = [cov[0], np.zeros_like(cov[1])]
    posterior = posterior_at(design, entry["fixef"]["estimate"], cov, entry["sigma"])
    r2 = r2_draws(design, posterior).to_series().droplevel(list(SAMPLE)).to_dict()
    icc = overall_icc_draws(design, posterior).to_series().droplevel(list(SAMPLE)).to_dict()
    assert {**r2, **icc} == pytest.approx(expected(entry), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("extra", [{}, {"weights": "w", "offset": "o"}])
def test_at_an_estimate_bayes_r2_is_the_variance_of_the_fitted_values(extra):
    ref = bm.lmer("y ~ x + (x | a) + (1 | b)", random_frame(), **extra)
    cov = [b.cov for b in ref.estimate.varcorr.blocks]
    modes = [r.mode for r in ref.estimate.ranef]
    posterior = posterior_at(ref.design, ref.fixef(), cov, ref.sigma, modes)
    weights = np.ones(ref.nobs) if ref.design.weights is None else ref.design.weights
    for re_formula in (None, "~0", "~ (1 | b)", "~ (0 + x | a)"):
        fit = np.var(ref.predict(re_formula=re_formula), ddof=1)
        got = bayes_r2_draws(ref.design, posterior, re_formula).item()
        assert got == pytest.approx(fit / (fit + ref.sigma**2 * np.mean(1 / weights)), rel=1e-10)


def test_variance_of_the_fit_does_not_depend_on_how_draws_are_chunked(monkeypatch):
    design = random_design(FORMULAS["three levels and crossed"])
    posterior = many_draws(design, draws=7)
    whole = fit_variance(design, posterior)
    monkeypatch.setattr("bayesmlm.shares.CHUNK", 2 * design.nobs)
    np.testing.assert_allclose(fit_variance(design, posterior), whole, rtol=1e-12)


# -- rstanarm and REML ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GAUSSIAN)
def test_bayes_r2_is_rstanarms(name, gaussian):
    entry = json.loads((REFERENCE / "rstanarm" / f"{name}.json").read_text())
    draws = gaussian(name).bayes_r2(summary=False)
    # Of rstanarm's R2 mean and sd are known, but not its effective draws: those of the least known variance.
    at = entry["columns"].index("n_eff")
    theirs = min(
        r[at]
        for p, r in zip(entry["parameters"], entry["summary"], strict=True)
        if p[:5] in {"sigma", "Sigma"}
    )
    frame = convergence_frame(draws.rename(share="parameter"))
    mean, sd = float(draws.mean()), float(draws.std(ddof=1))
    mcse = np.hypot(frame["mcse"].item(), entry["bayes_R2"]["sd"] / np.sqrt(theirs))
    assert abs(mean - entry["bayes_R2"]["mean"]) < 4 * mcse
    kurtosis = float((((draws - mean) / sd) ** 4).mean())
    effective = 0.5 * np.array([theirs, frame["ess_bulk"].item()])
    assert abs(np.log(sd / entry["bayes_R2"]["sd"])) < 4 * np.sqrt(((kurtosis - 1) / (4 * effective)).sum())


@pytest.mark.parametrize("name", MODELS)
def test_reml_shares_lie_within_the_posterior_interval(name, gaussian):
    fit = gaussian(name)
    ref = fit.reference()
    for frame, values in (
        (fit.r2(), ref.r2()),
        (fit.icc(by_group=False), ref.icc(by_group=False)),
        (fit.icc(), ref.icc()),
    ):
        assert list(frame.index) == list(values.index)
        assert (frame["conf_low"] <= values).all()  # equal only where both are 0
        assert (values <= frame["conf_high"]).all()


def test_a_summary_is_of_the_draws(m3):
    frame, draws = m3.r2(prob=0.5), m3.r2(summary=False)
    assert draws.dims == ("chain", "draw", "share")
    assert frame.loc["marginal", "Median"] == np.median(draws.sel(share="marginal"))
    assert frame.loc["conditional", "conf_low"] == pytest.approx(
        np.quantile(draws.sel(share="conditional"), 0.25)
    )
    assert frame.columns.tolist() == ["Median", "MAD_SD", "conf_low", "conf_high"]
    pd.testing.assert_frame_equal(share_frame(draws, 0.5), frame)
    with pytest.raises(bm.BayesMLMError, match="prob = 2"):
        m3.r2(prob=2)


# -- intraclass correlations ------------------------------------------------------------------------------


def test_nested_levels_share_and_correlate():
    design = build_design("y ~ x + (1 | r / s / c) + (1 | a)", random_frame())
    posterior = many_draws(design)
    share = level_icc_draws(design, posterior)
    correlation = level_icc_draws(design, posterior, "correlation")
    assert share["share"].values.tolist() == [b.label for b in design.blocks]
    codes = {b.label: b.index for b in design.blocks}
    for draw in range(6):
        V = dense_V(design, posterior, draw)
        R = V / np.diag(V)
        for label, code in codes.items():
            others = [c for other, c in codes.items() if other != label]
            same = np.equal.outer(code, code) & ~np.eye(len(code), dtype=bool)
            # rows in one unit, and apart in every factor that does not contain it
            for other in others:
                contains = all(len(np.unique(other[code == k])) == 1 for k in np.unique(code))
                same &= True if contains else ~np.equal.outer(other, other)
            got = correlation.sel(share=label).values.ravel()[draw]
            assert same.any()
            np.testing.assert_allclose(R[same], got, rtol=1e-12)
    outermost = "r"
    np.testing.assert_array_equal(share.sel(share=outermost), correlation.sel(share=outermost))
    assert (
        correlation.sel(share="c:(s:r)" if "c:(s:r)" in codes else "c:s:r") > share.sel(share=outermost)
    ).all()


def test_icc_at_values_of_the_predictor(fits):
    fit = fits("sleep_corr")
    days = 7.0
    z = np.array([1, days])
    between = np.einsum("a,sab,b->s", z, flat_cov(fit.posterior.blocks[0]), z)
    share = between / (between + fit.posterior.sigma.values.ravel() ** 2)
    assert fit.icc(at={"Days": days}).loc["Subject", "Median"] == pytest.approx(np.median(share))
    pd.testing.assert_frame_equal(fit.icc(at={"Days": 0}), fit.icc(), rtol=1e-12)
    with pytest.raises(bm.DataError, match=r"2 points.*vpc"):
        fit.icc(at={"Days": [0, 9]})
    with pytest.raises(bm.DataError, match="Did you mean 'Days'"):
        fit.icc(at={"Dayz": 3})
    with pytest.raises(bm.BayesMLMError, match="'share' or 'correlation'"):
        fit.icc(kind="both")
    with pytest.raises(bm.DataError, match="by_group=False"):
        fit.icc(by_group=False, at={"Days": 3})


# -- variance partition -------------------------------------------------------------------------------------


def test_variance_partition_of_transformed_predictors_needs_only_these():
    data = random_frame()
    design = build_design("y ~ x + d + (scale(x) + z | a) + (1 | b)", data)
    posterior = many_draws(design)
    at = pd.DataFrame({"x": [38.0, 44.0], "z": [-2.0, -1.0], "other": ["p", "q"]})
    frame = variance_partition(design, posterior, at, prob=0.8)
    assert frame["group"].tolist() == ["a", "b", "Residual"] * 2
    assert frame["other"].tolist() == list("pppqqq")
    scaled = (at["x"] - data["x"].mean()) / data["x"].std()
    for i in range(2):
        z = np.array([1.0, scaled[i], at["z"][i]])
        cov, second = (flat_cov(b) for b in posterior.blocks)
        parts = np.column_stack(
            [np.einsum("a,sab,b->s", z, cov, z), second[:, 0, 0], posterior.sigma.values.ravel() ** 2]
        )
        mine = frame.iloc[3 * i : 3 * i + 3]
        np.testing.assert_allclose(mine["variance"], np.median(parts, axis=0), rtol=1e-12)
        shares = parts / parts.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(mine["share"], np.median(shares, axis=0), rtol=1e-12)
        np.testing.assert_allclose(mine["share_high"], np.quantile(shares, 0.9, axis=0), rtol=1e-12)


def test_where_to_divide_the_variance():
    data = random_frame().assign(group=lambda f: np.where(f["x"] > 40, "u", "v"))
    design = build_design("y ~ x + group + (x + group | a)", data)
    grid = predictor_frame(design)
    assert grid.columns.tolist() == ["x", "group"]
    assert grid["group"].tolist() == ["u"] * 5 + ["v"], "each predictor in turn, the others typical"
    assert set(grid["x"]) <= set(data["x"]), "observed values, not some between them"
    assert grid["x"].tolist()[:5] == sorted(grid["x"].tolist()[:5])
    crossed = predictor_frame(design, {"x": [1, 2], "group": ["u", "v"]})
    assert crossed.to_numpy().tolist() == [[1, "u"], [1, "v"], [2, "u"], [2, "v"]]
    frame = variance_partition(design, many_draws(design), crossed)
    assert frame.columns[:3].tolist() == ["x", "group_at", "group"]
    with pytest.raises(bm.DataError, match="at has no 'group'"):
        variance_partition(design, many_draws(design), {"x": 1})
    with pytest.raises(bm.DataError, match="'w'"):
        variance_partition(design, many_draws(design), {"x": 1, "group": "w"})
    with pytest.raises(bm.DataError, match="missing value in row 1"):
        variance_partition(design, many_draws(design), {"x": [1, np.nan], "group": "u"})


def test_without_slopes_there_is_one_partition(fits):
    fit = fits("penicillin")
    frame = fit.vpc().set_index("group")
    assert frame.index.tolist() == ["plate", "sample", "Residual"]
    assert frame.loc["sample", "share"] == pytest.approx(fit.icc().loc["sample", "Median"])


# -- change in variance -----------------------------------------------------------------------------------------


def test_quantiles_of_ratios_are_those_of_all_pairs():
    rng = np.random.default_rng(3)
    a, b = np.sort(rng.gamma(2, size=301)), np.sort(rng.gamma(5, size=200))
    probs = [0.05, 0.37, 0.5, 0.95]
    every = np.divide.outer(a, b)
    np.testing.assert_allclose(
        ratio_quantiles(a, b, probs), np.quantile(every, probs, method="inverted_cdf"), rtol=1e-9
    )


def test_proportional_change_of_fits_and_of_reference_fits(gaussian):
    null, fit = gaussian("gcse_m1"), gaussian("gcse_m2")
    frame = fit.proportional_change(null).set_index("group")
    before, after = (f.posterior.blocks[0].sd.values.ravel() ** 2 for f in (null, fit))
    every = 1 - np.divide.outer(after, before)
    assert frame.loc["school", "change"] == pytest.approx(np.median(every), abs=1e-6)
    np.testing.assert_allclose(
        frame.loc["school", ["conf_low", "conf_high"]].astype(float),
        np.quantile(every, [0.05, 0.95]),
        atol=1e-6,
    )
    assert frame.loc["school", "p_reduced"] == pytest.approx(np.mean(every > 0))
    by_hand = 1 - fit.reference().sigma ** 2 / null.reference().sigma ** 2
    reference = fit.reference().pcv(null.reference()).set_index("group")
    assert reference.loc["Residual", "change"] == pytest.approx(by_hand)
    assert frame.loc["Residual", "conf_low"] < by_hand < frame.loc["Residual", "conf_high"]
    assert frame.loc["Residual", "change"] == pytest.approx(by_hand, abs=0.01)


def test_only_fits_that_can_be_compared_are(gaussian):
    fit = gaussian("gcse_m2")
    with pytest.raises(bm.DataError, match="ReferenceFit"):
        fit.pcv(fit.reference())
    with pytest.raises(bm.DataError, match=r"180 rows and this one to 1725"):
        fit.pcv(gaussian("sleep_corr"))
    with pytest.raises(bm.DataError, match="by REML, the other by ML"):
        fit.reference().pcv(fit.reference(reml=False))
    ref = bm.lmer("y ~ x + (1 | a)", random_frame())
    with pytest.raises(bm.DataError, match=r"null model explains log\(y\), this one y"):
        ref.pcv(bm.lmer("log(y) ~ x + (1 | a)", random_frame()))


def test_where_the_null_variance_is_zero_there_is_no_change():
    ref = bm.lmer("Yield ~ 1 + (1|Batch)", bm.load_dataset("dyestuff2"))
    change = ref.pcv(ref).set_index("group")["change"]
    assert np.isnan(change["Batch"])
    assert change["Residual"] == 0


# -- design effects -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_design_effect_is_that_on_the_variance_of_the_mean(formula):
    design = random_design(formula)
    posterior = many_draws(design, draws=1)
    V = dense_V(design, posterior)
    expected_effect = V.sum() / np.trace(V)
    last = design_effects(design, posterior).iloc[-1]
    assert last["design_effect"] == pytest.approx(expected_effect, rel=1e-10)
    assert last["effective_n"] == pytest.approx(design.nobs / expected_effect, rel=1e-10)


def test_design_effect_of_intercepts_is_kishs(gaussian):
    fit = gaussian("gcse_m1")
    n = np.bincount(fit.design.blocks[0].index)
    icc = fit.icc(summary=False).values.ravel()
    deff = 1 + ((n**2).sum() / n.sum() - 1) * icc
    row = fit.design_effect("school").iloc[0]
    assert row["kish_size"] == pytest.approx((n**2).sum() / n.sum())
    assert row["mean_size"] == pytest.approx(n.mean())
    assert row["design_effect"] == pytest.approx(np.median(deff))
    assert row["design_effect_high"] == pytest.approx(np.quantile(deff, 0.95))
    with pytest.raises(bm.DataError, match="Did you mean 'school'"):
        fit.design_effect("scool")


def test_effects_that_were_not_kept_are_asked_for():
    design = random_design(FORMULAS["crossed"])
    full = many_draws(design)
    none = with_levels(full, [np.array([], dtype=int)] * 2)
    pd.testing.assert_frame_equal(design_effects(design, none), design_effects(design, full))
    np.testing.assert_array_equal(r2_draws(design, none), r2_draws(design, full))
    for ask in (bayes_r2_draws, pooling_factors, posterior_checks, unit_scores):
        with pytest.raises(bm.DataError, match=r"fit\.with_ranef\(\)"):
            ask(design, none)
