"""Reliability, pooling factors and checks of the errors, level by level."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from random_designs import FORMULAS, dense_Z, random_design, random_frame
from scipy import stats
from synthetic import many_draws, posterior_at

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.pooling_factors import pooling_factors
from bayesmlm.reliability import relative_covariance, reliabilities
from bayesmlm.residual_checks import posterior_checks
from bayesmlm.shares import flat_cov
from bayesmlm.shrinkage import one_factor

# -- reliability --------------------------------------------------------------------------------------


def dense_reliability(design, posterior, target, below, draw):
    """Sigma (Sigma + V_j)^-1 by dense algebra, V_j the covariance of least squares given the factors below."""
    sigma2 = float(posterior.sigma.values.ravel()[draw]) ** 2
    weights = np.ones(design.nobs) if design.weights is None else design.weights
    noise = sigma2 * np.diag(1 / weights)
    for k in below:
        Z = dense_Z(design, k)
        cov = flat_cov(posterior.blocks[k])[draw]
        noise = noise + Z @ np.kron(np.eye(len(design.blocks[k].levels)), cov) @ Z.T
    block, sigma_b = design.blocks[target], flat_cov(posterior.blocks[target])[draw]
    out = []
    for j in range(len(block.levels)):
        rows = np.flatnonzero(block.index == j)
        Z = block.Z[rows]
        V = np.linalg.inv(Z.T @ np.linalg.inv(noise[np.ix_(rows, rows)]) @ Z)
        sd2 = np.diag(sigma_b)
        out.append((np.diag(sigma_b @ np.linalg.inv(sigma_b + V)), sd2 / (sd2 + np.diag(V))))
    return np.array(out)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("formula", "group", "below"),
    [
        ("y ~ x + (x | a) + (1 | b)", "a", []),
        ("y ~ x + (x + z | a)", "a", []),
        ("y ~ x + (1 | c) + (x | s) + (1 | r)", "s", ["c"]),
        ("y ~ x + (x | c) + (1 | s) + (x | r) + (1 | a)", "r", ["c", "s"]),
    ],
)
def test_reliability_is_that_of_dense_algebra(formula, group, below, weighted, monkeypatch):
    design = random_design(formula, weighted=weighted)
    posterior = many_draws(design)
    target = next(k for k, b in enumerate(design.blocks) if b.group == group)
    lower = [k for k, b in enumerate(design.blocks) if b.group in below]
    dense = np.array([dense_reliability(design, posterior, target, lower, draw) for draw in range(6)])
    got = reliabilities(design, posterior, group, prob=0.5)
    np.testing.assert_allclose(
        got.levels["reliability"], np.median(dense[:, :, 0], axis=0).ravel(), rtol=1e-6
    )
    np.testing.assert_allclose(
        got.levels["ols_reliability"], np.median(dense[:, :, 1], axis=0).ravel(), rtol=1e-6
    )
    mean = dense[:, :, 0].mean(axis=1)
    np.testing.assert_allclose(got.means["reliability"], np.median(mean, axis=0), rtol=1e-6)
    np.testing.assert_allclose(got.means["conf_high"], np.quantile(mean, 0.75, axis=0), rtol=1e-6)
    monkeypatch.setattr("bayesmlm.reliability.CHUNK", 30)
    again = reliabilities(design, posterior, group, prob=0.5)
    pd.testing.assert_frame_equal(again.levels, got.levels)
    pd.testing.assert_frame_equal(again.means, got.means)


def test_reliability_of_means_is_the_textbooks(m3):
    fit = m3
    frame = fit.reliability().query("term == 'femaleF'").set_index("level")
    single = fit.design.blocks[0]
    both = [len(set(single.Z[single.index == j, 1])) == 2 for j in range(73)]
    assert frame["ols_reliability"].notna().tolist() == both, "one sex only: no difference of the sexes"
    assert frame["reliability"].between(0, 1).all()


def test_reliability_of_an_intercept_is_sd2_over_sd2_plus_sigma2_over_n(fits):
    fit = fits("penicillin")
    frame = fit.reliability("sample")
    sd2, sigma2 = (v.values.ravel() ** 2 for v in (fit.posterior.block("sample").sd, fit.posterior.sigma))
    expected = np.median(sd2 / (sd2 + sigma2 / 24))
    np.testing.assert_allclose(frame["reliability"], expected, rtol=1e-10)
    np.testing.assert_allclose(frame["ols_reliability"], expected, rtol=1e-10)
    means = fit.reliability(by_level=False)
    assert means["group"].tolist() == ["plate", "sample"]
    assert means["reliability"][1] == pytest.approx(expected)


def test_blocks_of_one_factor_are_one_matrix():
    design = random_design("y ~ x + (x || a)")
    posterior = many_draws(design)
    block = one_factor(design, "a").blocks[0]
    together = relative_covariance(posterior, block) * posterior.sigma.values.ravel()[:, None, None] ** 2
    first, second = (b.sd.values.ravel() ** 2 for b in posterior.blocks)
    np.testing.assert_allclose(together[:, 0, 0], first)
    np.testing.assert_allclose(together[:, 1, 1], second)
    assert (together[:, 0, 1] == 0).all()


# -- pooling factors -----------------------------------------------------------------------------------


def test_pooling_factors_by_hand_with_predictors_of_both_levels():
    data = random_frame()
    data["u"] = data["a"].map({str(k): float(k % 5) for k in range(12)})
    design = build_design("y ~ x * u + z + (x | a)", data)
    posterior = many_draws(design, draws=9)
    frame = pooling_factors(design, posterior).set_index(["group", "term"])
    beta = dict(zip(design.coefficients, posterior.fixef.values[0].T, strict=True))
    u = np.array([data.loc[data["a"] == level, "u"].iloc[0] for level in design.blocks[0].levels])
    b = posterior.blocks[0].b.values[0]
    expected = {
        "(Intercept)": beta["(Intercept)"][:, None] + np.outer(beta["u"], u),
        "x": beta["x"][:, None] + np.outer(beta["x:u"], u),
    }
    for j, term in enumerate(("(Intercept)", "x")):
        eps, theta = b[..., j], expected[term] + b[..., j]
        spread = np.mean([np.var(e, ddof=1) for e in eps])
        r2 = 1 - spread / np.mean([np.var(t, ddof=1) for t in theta])
        assert frame.loc[("a", term), "r2"] == pytest.approx(r2, rel=1e-10)
        pooled = 1 - np.var(eps.mean(axis=0), ddof=1) / spread
        assert frame.loc[("a", term), "pooling"] == pytest.approx(pooled, rel=1e-10)
    fitted = posterior.fixef.values[0] @ design.X.T + (b[:, design.blocks[0].index] * design.blocks[0].Z).sum(
        axis=-1
    )
    eps = design.y - fitted
    spread = np.mean([np.var(e, ddof=1) for e in eps])
    assert frame.loc[("Residual", "y"), "r2"] == pytest.approx(
        1 - spread / np.var(design.y, ddof=1), rel=1e-10
    )
    assert frame.loc[("Residual", "y"), "pooling"] == pytest.approx(
        1 - np.var(eps.mean(axis=0), ddof=1) / spread, rel=1e-10
    )


def test_a_class_is_explained_by_its_school():
    design = build_design("y ~ 1 + (1 | s / c)", random_frame())
    posterior = many_draws(design, draws=5)
    inner, outer = (
        next(b for b in posterior.blocks if b.group == g).b.values[0, ..., 0] for g in ("c:s", "s")
    )
    home = [int(level.split(":")[1]) for level in posterior.block("c:s").levels]
    theta = inner + outer[:, home]
    expected = 1 - inner.var(axis=1, ddof=1).mean() / theta.var(axis=1, ddof=1).mean()
    frame = pooling_factors(design, posterior).set_index("group")
    assert frame.loc["c:s", "r2"] == pytest.approx(expected, rel=1e-10)
    assert frame.loc["s", "r2"] == pytest.approx(0, abs=1e-12), "nothing is said of schools"


def test_slopes_of_schools_with_one_sex_are_pooled_most(m3):
    frame = m3.pooling_factor().set_index(["group", "term"])
    assert frame.index.tolist() == [("Residual", "y"), ("school", "(Intercept)"), ("school", "femaleF")]
    assert frame["pooling"].between(0, 1).all()
    assert frame.loc[("school", "femaleF"), "pooling"] > frame.loc[("school", "(Intercept)"), "pooling"]
    shrunk = 1 - m3.reliability(by_level=False).set_index("term")["reliability"]
    assert frame.loc[("school", "(Intercept)"), "pooling"] == pytest.approx(shrunk["(Intercept)"], abs=0.15)


# -- errors ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good():
    """Data from the model: 60 groups of 15."""
    rng = np.random.default_rng(11)
    group = np.repeat(np.arange(60), 15)
    x = rng.normal(size=900)
    y = 3 + x + rng.normal(0, 1.5, 60)[group] + rng.normal(0, 2, 900)
    return pd.DataFrame({"y": y, "x": x, "g": group.astype(str)})


@pytest.fixture(scope="module")
def odd(good):
    """The same with a wild row, long upper tails, and a spread that grows with x."""
    noise = np.random.default_rng(12).exponential(2, len(good)) * np.exp(0.5 * good["x"])
    frame = good.assign(y=good["y"] + noise)
    frame.loc[frame.index[37], "y"] = -60.0
    return frame.set_index("p" + frame.index.astype(str))


def test_errors_of_a_reference_fit_are_scipys(odd):
    fit = bm.lmer("y ~ x + (1 | g)", odd)
    checks, e = fit.residual_checks(), fit.residuals(scaled=True)
    row = checks.shape.iloc[0]
    assert row["skewness"] == pytest.approx(stats.skew(e))
    assert row["kurtosis"] == pytest.approx(stats.kurtosis(e))
    groups = [e[(odd["g"] == level).to_numpy()] for level in sorted(odd["g"].unique())]
    assert checks.levene["F"].item() == pytest.approx(stats.levene(*groups, center="median").statistic)
    quantiles, ordered = checks.quantiles.query("group == 'Residual'"), np.sort(e)
    at = (stats.norm.cdf(quantiles["normal"]) * 900 - 0.5).round().astype(int)
    assert {*range(20), *range(880, 900)} < set(at), "the tails in full"
    np.testing.assert_allclose(quantiles["sample"], ordered[at])
    modes = fit.ranef(sd=True)["g"]
    u = modes["(Intercept)"] / np.sqrt(fit.varcorr().sd["g"].item() ** 2 - modes["sd__(Intercept)"] ** 2)
    assert checks.shape["skewness"].iloc[1] == pytest.approx(stats.skew(u))
    by_group = checks.by_group.set_index("level")
    assert by_group.loc["7", "spread"] == pytest.approx(
        np.sqrt(np.mean(e[(odd["g"] == "7").to_numpy()] ** 2))
    )
    assert by_group.loc["7", "chance_high"] == pytest.approx(np.sqrt(stats.chi2.ppf(0.975, 15) / 15))
    assert checks.by_fitted["n"].sum() == 900


def test_what_is_wrong_is_said_in_words(odd):
    text = str(bm.lmer("y ~ x + (1 | g)", odd).residual_checks())
    assert "row p37, g 2" in text
    assert "heavier tails than a normal" in text
    assert "more than chance gives" in text


def test_a_posterior_of_the_right_model_passes(good):
    fit = bm.fit("y ~ x + (1 | g)", good, seed=3, progress=False)
    checks = fit.residual_checks()
    shape = checks.shape
    assert (shape["skewness"].abs() < shape["skewness_chance"]).all()
    assert (shape["kurtosis"].abs() < shape["kurtosis_chance"]).all()
    assert (shape["skewness_low"] < shape["skewness_high"]).all()
    assert shape["beyond_2"].to_numpy() == pytest.approx(2 * stats.norm.sf(2), abs=0.02)
    assert checks.outliers.empty
    assert "none" in str(checks)
    spread = checks.by_fitted
    assert spread["spread"].between(spread["chance_low"], spread["chance_high"]).mean() >= 0.8
    slope = np.polyfit(*checks.quantiles.query("group == 'g'")[["normal", "sample"]].to_numpy().T, 1)[0]
    assert slope == pytest.approx(1, abs=0.25), "realized effects have not shrunk"


def test_one_draw_at_the_estimate_has_the_reference_fits_residuals(odd):
    fit = bm.lmer("y ~ x + (1 | g)", odd)
    cov = [b.cov for b in fit.estimate.varcorr.blocks]
    posterior = posterior_at(fit.design, fit.fixef(), cov, fit.sigma, [r.mode for r in fit.estimate.ranef])
    ours, theirs = posterior_checks(fit.design, posterior), fit.residual_checks()
    pd.testing.assert_frame_equal(ours.by_fitted, theirs.by_fitted)
    pd.testing.assert_frame_equal(ours.levene, theirs.levene)


def test_pairs_of_rows_say_nothing_of_unequal_spreads():
    pastes = bm.load_dataset("pastes")
    checks = bm.lmer("strength ~ 1 + (1|batch/cask)", pastes).residual_checks()
    levene = checks.levene.set_index("group")
    assert np.isnan(levene.loc["cask:batch", "F"]), "two rows are equally far from their median"
    assert 0 < levene.loc["batch", "F"] < levene.loc["batch", "chance"]
    assert "F = " not in next(s for s in str(checks).split("Over ") if "cask:batch" in s and "spread" in s)


def test_groups_without_variance_are_left_out():
    checks = bm.lmer("Yield ~ 1 + (1|Batch)", bm.load_dataset("dyestuff2")).residual_checks()
    assert checks.shape["group"].tolist() == ["Residual"]
    assert "Residuals" in str(checks)


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_every_design_can_be_looked_at(formula):
    design = random_design(formula, weighted=True)
    posterior = many_draws(design)
    assert len(posterior_checks(design, posterior).by_group) == sum(design.ngroups.values())
    assert pooling_factors(design, posterior)["pooling"].notna().all()
    for group in design.ngroups:
        assert reliabilities(design, posterior, group).means["reliability"].notna().all()
