"""What a posterior predicts: by hand from its draws, for old and new groups, on the response's own scale."""

from __future__ import annotations

import functools
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from random_designs import random_frame
from scipy import stats
from synthetic import posterior_of

from bayesmlm.design import build_design
from bayesmlm.errors import BayesMLMError, DataError, FormulaError
from bayesmlm.priors import build_priors
from bayesmlm.result import Fit
from bayesmlm.sampling.settings import Settings

SAMPLE = ("chain", "draw")
CHAINS, DRAWS = 4, 50


def fit_by_hand(formula, data, *, draws=DRAWS, spread=0.05, sd=1.5, corr=0.4, sigma=2.0, fixef=None, **given):
    """A fit whose draws were made by hand: no sampler runs."""
    design = build_design(formula, data, **given)
    rng = np.random.default_rng(5)
    scale = np.abs(np.where(design.X == 0, 1, design.X)).mean(axis=0)
    sds = {b.label: sd / np.abs(b.Z).mean(axis=0) for b in design.blocks}
    posterior = posterior_of(
        design,
        fixef=rng.normal(size=len(scale)) / scale if fixef is None else fixef,
        sd=sds,
        sigma=sigma,
        corr={b.label: corr for b in design.blocks},
        b={b.label: rng.normal(size=(len(b.levels), len(b.columns))) * sds[b.label] for b in design.blocks},
        spread=spread,
        chains=CHAINS,
        draws=draws,
    )
    priors = build_priors(design, None)
    return Fit(design, priors, posterior, (), Settings(seed=11), 0.0, "by hand", None)


@functools.cache
def by_hand(formula, **arguments):
    return fit_by_hand(formula, random_frame(2), **arguments)


def effect(fit, block, level, column="(Intercept)"):
    """Draws of one effect, (chain, draw)."""
    return fit.posterior.blocks[block].b.sel(level=level, column=column).values


def coefficient(fit, name):
    return fit.posterior.fixef.sel(coefficient=name).values


# -- rows of known groups, exactly -------------------------------------------------------------------

FORMULAS = [
    "y ~ x + (1 | a)",
    "y ~ x + z + (x | a)",
    "y ~ x + (x | a) + (z | b) + (1 | d)",
    "y ~ x + (x | s / c)",
]


@pytest.mark.parametrize("formula", [*FORMULAS, "y ~ x + (x || a)", "y ~ 0 + (x | a) + (1 | b)"])
def test_the_linear_predictor_is_the_sum_of_its_parts_in_every_draw(formula):
    fit = by_hand(formula, offset="o")
    expected = fit.posterior.fixef.values @ fit.design.X.T + fit.design.offset
    for block, draws in zip(fit.design.blocks, fit.posterior.blocks, strict=True):
        for i in range(fit.nobs):
            expected[:, :, i] += draws.b.values[:, :, block.index[i]] @ block.Z[i]
    for got in (fit.posterior_linpred(), fit.posterior_linpred(random_frame(2)), fit.posterior_epred()):
        assert got.dims == ("chain", "draw", "row")
        np.testing.assert_allclose(got.values, expected, rtol=1e-10)
    np.testing.assert_allclose(fit.predict(), expected.mean(axis=(0, 1)), rtol=1e-10)
    np.testing.assert_allclose(fit.fitted(), fit.predict(), rtol=1e-12)


def test_a_new_row_of_a_known_group():
    fit = by_hand("y ~ x + z + (x | a)")
    new = pd.DataFrame({"x": [38.0], "z": [-1.0], "a": ["7"]}, index=["somebody"])
    expected = (
        coefficient(fit, "(Intercept)")
        + effect(fit, 0, "7")
        + (coefficient(fit, "x") + effect(fit, 0, "7", "x")) * 38
        - coefficient(fit, "z")
    )
    got = fit.posterior_linpred(new)
    np.testing.assert_allclose(got.values[..., 0], expected, rtol=1e-12)
    assert got["row"].values.tolist() == ["somebody"]
    table = fit.predict(new, interval=0.8)
    assert table.index.tolist() == ["somebody"]
    assert table.columns.tolist() == ["estimate", "std_error", "conf_low", "conf_high"]
    by_definition = [expected.mean(), expected.std(ddof=1), *np.quantile(expected, [0.1, 0.9])]
    np.testing.assert_allclose(table.iloc[0], by_definition, rtol=1e-9)
    middle = np.median(expected)
    robust = fit.predict(new, se=True, point="median").iloc[0]
    np.testing.assert_allclose(robust, [middle, 1.4826 * np.median(abs(expected - middle))], rtol=1e-9)


@pytest.mark.parametrize(
    ("re_formula", "kept"),
    [
        ("~0", []),
        ("~ (1 | d)", [(2, "(Intercept)")]),
        ("~ (x | a)", [(0, "(Intercept)"), (0, "x")]),
        ("~ (0 + x | a) + (1 | d)", [(0, "x"), (2, "(Intercept)")]),
        ("~ (1 | a) + (0 + x | a)", [(0, "(Intercept)"), (0, "x")]),
    ],
)
def test_re_formula_chooses_effects(re_formula, kept):
    fit = by_hand("y ~ x + (x | a) + (z | b) + (1 | d)")
    expected = fit.posterior.fixef.values @ fit.design.X.T
    for position, column in kept:
        block, draws = fit.design.blocks[position], fit.posterior.blocks[position]
        j = block.columns.index(column)
        expected = expected + draws.b.values[:, :, block.index, j] * block.Z[:, j]
    np.testing.assert_allclose(fit.posterior_linpred(re_formula=re_formula).values, expected, rtol=1e-10)
    new = random_frame(2).drop(columns="y")
    np.testing.assert_allclose(fit.posterior_linpred(new, re_formula).values, expected, rtol=1e-10)
    np.testing.assert_allclose(fit.predict(new, re_formula), expected.mean(axis=(0, 1)), rtol=1e-10)


def test_columns_that_are_not_asked_for_need_not_be_there():
    fit = by_hand("y ~ x + (x | a) + (z | b) + (1 | d)")
    assert np.isfinite(fit.predict(pd.DataFrame({"x": [40.0]}), "~0")).all()
    with pytest.raises(DataError, match="no column 'a'"):
        fit.posterior_predict(pd.DataFrame({"x": [40.0]}))


# -- new groups --------------------------------------------------------------------------------------


def assert_moments(draws, mean, cov):
    """Compare (S, n) draws with a mean and a covariance matrix, within 4 Monte Carlo standard errors."""
    sd, size = np.sqrt(np.diag(cov)), len(draws)
    assert np.abs((draws.mean(axis=0) - mean) / sd).max() < 4 / np.sqrt(size)
    error = np.sqrt((cov**2 + np.outer(sd, sd) ** 2) / size)
    assert (np.abs(np.cov(draws.T) - cov) < 4 * error).all()


def test_a_new_group_has_the_variance_of_its_effects_and_of_the_residuals():
    fit = by_hand("y ~ x + z + (x | a)", spread=0.0, draws=5000)
    new = pd.DataFrame({"x": [38.0, 45.0, 41.0], "z": -2.0, "a": ["new", "new", "other"]})
    Z = np.column_stack([np.ones(3), new["x"]])
    same = np.equal.outer(new["a"].to_numpy(), new["a"].to_numpy())
    Sigma, sigma = fit.posterior.blocks[0].cov.values[0, 0], fit.posterior.sigma.values[0, 0]
    assert abs(Sigma[0, 1]) > 0.3 * np.sqrt(Sigma[0, 0] * Sigma[1, 1])
    mean, cov = fit.predict(new, "~0"), same * (Z @ Sigma @ Z.T)
    assert_moments(fit.posterior_epred(new, seed=3).values.reshape(-1, 3), mean, cov)
    drawn = fit.posterior_predict(new, seed=3).values.reshape(-1, 3)
    assert_moments(drawn, mean, cov + sigma**2 * np.eye(3))


def test_a_new_class_keeps_what_is_known_of_its_school():
    fit = by_hand("y ~ x + (1 | s / c)", spread=0.0, draws=5000)
    inner, outer = fit.posterior.blocks
    assert (inner.group, outer.group) == ("c:s", "s")
    new = pd.DataFrame({"x": 40.0, "s": ["2", "2", "new", "new"], "c": ["c1", "c2", "c1", "c2"]})
    class_variance, school_variance = (float(b.cov.values[0, 0].item()) for b in (inner, outer))
    base = (coefficient(fit, "(Intercept)") + 40 * coefficient(fit, "x"))[0, 0]
    known = effect(fit, 1, "2")[0, 0]
    cov = class_variance * np.eye(4)
    cov[2:, 2:] += school_variance
    assert_moments(
        fit.posterior_linpred(new).values.reshape(-1, 4), base + np.array([known, known, 0, 0]), cov
    )
    np.testing.assert_allclose(fit.predict(new), base + np.array([known, known, 0, 0]), rtol=1e-10)


def test_new_groups_of_one_name_in_two_factors_are_independent():
    fit = by_hand("y ~ x + (1 | a) + (1 | b)", spread=0.0, draws=5000)
    new = pd.DataFrame({"x": [40.0], "a": ["new"], "b": ["new"]})
    effects = [
        fit.posterior_linpred(new, r) - fit.posterior_linpred(new, "~0") for r in ("~ (1 | a)", "~ (1 | b)")
    ]
    assert abs(np.corrcoef(*(e.values.ravel() for e in effects))[0, 1]) < 4 / np.sqrt(20_000)


def test_each_draw_has_its_own_covariance_matrix():
    """With sds that differ between draws the effects of new groups follow them: b / sd has variance 1 throughout."""
    fit = by_hand("y ~ x + (1 | a)", draws=4000)
    (block,) = fit.posterior.blocks
    grown = block.sd * np.where(np.arange(4000) < 2000, 1.0, 10.0)[None, :, None]
    fit = replace(fit, posterior=replace(fit.posterior, blocks=(replace(block, sd=grown),)))
    new = pd.DataFrame({"x": [40.0], "a": ["new"]})
    b = (fit.posterior_linpred(new) - fit.posterior_linpred(new, "~0")).values[..., 0] / grown.values[..., 0]
    for half in (b[:, :2000], b[:, 2000:]):
        assert abs(half.var() - 1) < 4 * np.sqrt(2 / half.size)
    assert abs(np.corrcoef(b[:, :-1].ravel(), b[:, 1:].ravel())[0, 1]) < 4 / np.sqrt(b.size)


def test_perfect_correlations_are_drawn_too():
    fit = by_hand("y ~ x + (x | a)", spread=0.0, corr=-1.0)
    new = pd.DataFrame({"x": [38.0], "a": ["new"]})
    intercept = fit.posterior_linpred(new, "~ (1 | a)") - fit.posterior_linpred(new, "~0")
    slope = (fit.posterior_linpred(new, "~ (0 + x | a)") - fit.posterior_linpred(new, "~0")) / 38
    sd = fit.posterior.blocks[0].sd.values[0, 0]
    np.testing.assert_allclose(slope.values / sd[1], -intercept.values / sd[0], rtol=1e-8)
    assert float(intercept.std()) > 0.5 * sd[0]


def test_a_new_group_is_one_group_in_all_its_rows_parts_and_calls():
    fit = by_hand("y ~ x + (x | a) + (1 | b)")
    new = pd.DataFrame({"x": [38.0, 45.0, 45.0], "a": ["p", "q", "p"], "b": ["4", "4", "u"]})
    whole = fit.posterior_linpred(new)
    alone = fit.posterior_linpred(new.iloc[[2]])
    np.testing.assert_allclose(alone.values[..., 0], whole.values[..., 2], rtol=1e-12)
    parts = [fit.posterior_linpred(new, r) for r in ("~ (1 | a)", "~ (0 + x | a)", "~ (1 | b)")]
    base = fit.posterior_linpred(new, "~0")
    np.testing.assert_allclose((sum(p - base for p in parts) + base).values, whole.values, rtol=1e-10)


def test_groups_that_are_missing_are_of_one_new_group():
    fit = by_hand("y ~ x + (1 | a)")
    new = pd.DataFrame({"x": [40.0, 40.0, 40.0], "a": ["7", None, None]})
    got = fit.posterior_linpred(new).values
    np.testing.assert_array_equal(got[..., 1], got[..., 2])
    assert not np.allclose(got[..., 0], got[..., 1])


def test_new_groups_can_be_refused():
    fit = by_hand("y ~ x + (1 | a)")
    new = pd.DataFrame({"x": [40.0], "a": ["new"]})
    for verb in (
        fit.posterior_linpred,
        fit.posterior_epred,
        fit.posterior_predict,
        fit.predict,
        fit.predictive_interval,
    ):
        with pytest.raises(DataError, match=r"a has the level 'new' in the new data.*allow_new_levels=True"):
            verb(new, allow_new_levels=False)


def test_an_unseen_category_of_a_fixed_effect_is_an_error():
    data = random_frame(2).assign(f=lambda d: np.where(d["x"] > 40, "hi", "lo"))
    fit = fit_by_hand("y ~ f + (1 | a)", data)
    with pytest.raises(DataError, match=r"f has the level 'mid' in the new data.*it knows hi, lo"):
        fit.predict(pd.DataFrame({"f": ["mid"], "a": ["7"]}))


# -- seeds, draws, pieces ----------------------------------------------------------------------------


def test_seeds():
    fit = by_hand("y ~ x + (x | a)")
    new = random_frame(2).assign(a="new")
    same = fit.posterior_predict(new, seed=4)
    np.testing.assert_array_equal(same, fit.posterior_predict(new, seed=4))
    assert not np.isclose(same, fit.posterior_predict(new, seed=5)).any()
    np.testing.assert_array_equal(
        fit.posterior_predict(new), fit.posterior_predict(new, seed=fit.settings.seed)
    )
    residuals = (fit.posterior_predict(new, seed=4) - fit.posterior_linpred(new, seed=4)).values
    known = (fit.posterior_predict(seed=4) - fit.posterior_linpred()).values
    np.testing.assert_allclose(residuals, known, atol=1e-9)
    for seed in (-1, 1.5, "a", True):
        with pytest.raises(DataError, match="seed ="):
            fit.posterior_predict(seed=seed)


def test_residuals_are_independent_of_rows_draws_and_sampler():
    fit = by_hand("y ~ x + (1 | a)", spread=0.0, draws=2500)
    noise = (fit.posterior_predict() - fit.posterior_linpred()).values.reshape(-1, fit.nobs) / 2.0
    error = 1 / np.sqrt(noise.size)
    assert abs(noise.mean()) < 4 * error
    assert abs(noise.var() - 1) < 4 * np.sqrt(2) * error
    for one, other in ((noise[:-1], noise[1:]), (noise[:, :-1], noise[:, 1:])):
        assert abs((one * other).mean()) < 4 * error
    assert stats.kstest(noise[:, 0], "norm").pvalue > 1e-3
    first = np.random.default_rng(fit.settings.seed).standard_normal(50)
    assert not np.isclose(noise[0, :50], first).any()


def test_some_draws_are_evenly_spaced_and_the_same_number_of_each_chain():
    fit = by_hand("y ~ x + (1 | a)")
    everything = fit.posterior_linpred()
    some = fit.posterior_linpred(draws=20)
    assert dict(some.sizes) == {"chain": 4, "draw": 5, "row": 90}
    assert some["draw"].values.tolist() == [0, 12, 24, 37, 49]
    np.testing.assert_array_equal(some, everything.sel(draw=some["draw"]))
    assert fit.posterior_linpred(draws=18).sizes["draw"] == 5
    np.testing.assert_array_equal(fit.posterior_linpred(draws=200), everything)
    for draws in (0, 201, 2.5, True):
        with pytest.raises(DataError, match="from 1 to 200, the posterior sample size"):
            fit.posterior_linpred(draws=draws)


def test_the_size_of_the_pieces_changes_nothing(monkeypatch):
    fit = by_hand("y ~ x + (x | a) + (1 | b)", offset="o")
    new = random_frame(2).assign(a=lambda d: np.where(d["x"] > 41, "new" + d["a"], d["a"]))
    ask = {
        "linpred": lambda: fit.posterior_linpred(new).values,
        "predict": lambda: fit.posterior_predict(new).values,
        "interval": lambda: fit.predictive_interval(new).to_numpy(),
        "expected": lambda: fit.predict(new, interval=0.5).to_numpy(),
        "rows": lambda: fit.required_change("x", 1.0, newdata=new).drop(columns="unit").to_numpy(dtype=float),
        "groups": lambda: (
            fit.required_change("x", 1, newdata=new, group="b").iloc[:, 1:].to_numpy(dtype=float)
        ),
    }
    whole = {name: verb() for name, verb in ask.items()}
    monkeypatch.setattr("bayesmlm.predicting.PIECE", 7 * 200)
    for name, verb in ask.items():
        np.testing.assert_allclose(verb(), whole[name], rtol=1e-9, err_msg=name)


# -- frames ------------------------------------------------------------------------------------------


def test_a_frame_needs_no_response_and_may_be_polars():
    fit = by_hand("y ~ x + (x | a)")
    new = random_frame(2)[["x", "a"]]
    expected = fit.posterior_predict(new, seed=1)
    got = fit.posterior_predict(pl.from_pandas(new), seed=1)
    np.testing.assert_array_equal(got.values, expected.values)
    assert fit.predictive_interval(new, 0.5).shape == (90, 2)


def test_missing_values_are_missing_predictions():
    fit = by_hand("y ~ x + z + (z | a)", offset="o")
    new = random_frame(2)[["x", "z", "a", "o"]].iloc[:4]
    new.loc[[0], "x"], new.loc[[1], "z"], new.loc[[2], "o"] = np.nan, np.nan, np.nan
    for a in ("5", "new"):
        frame = new.assign(a=a)
        for got in (fit.posterior_linpred(frame), fit.posterior_predict(frame)):
            assert np.isnan(got[..., :3]).all()
            assert np.isfinite(got[..., 3]).all()
        for table in (fit.predictive_interval(frame), fit.predict(frame, interval=0.9)):
            assert table.isna().all(axis=1).tolist() == [True, True, True, False]
        assert np.isnan(fit.predict(frame)).tolist() == [True, True, True, False]
        changes = fit.required_change("x", 1.0, newdata=frame)
        assert changes["required_change"].isna().tolist() == [True, True, True, False]


def test_rows_are_labelled_by_the_index_of_the_data():
    data = random_frame(2).rename(index=lambda i: f"row {i}")
    data.loc["row 3", "x"] = np.nan
    fit = fit_by_hand("y ~ x + (1 | a)", data)
    labels = [f"row {i}" for i in range(90) if i != 3]
    assert fit.posterior_predict()["row"].values.tolist() == labels
    assert fit.predict(se=True).index.tolist() == labels
    assert fit.predictive_interval(data).index.tolist() == data.index.tolist()
    assert pickle.loads(pickle.dumps(fit)).predict(se=True).index.tolist() == labels
    several = data.set_index(["a", "b"], drop=False)
    assert fit.predict(several, se=True).index.tolist() == list(range(90))


def test_offsets():
    by_array = fit_by_hand("y ~ x + (1 | a)", random_frame(2), offset=random_frame(2)["o"].to_numpy())
    new = random_frame(2)
    with pytest.raises(DataError, match="give offset= with the new data"):
        by_array.posterior_linpred(new)
    np.testing.assert_allclose(by_array.predict(new, offset="o"), by_array.fitted(), rtol=1e-10)
    np.testing.assert_allclose(by_array.predict(re_formula="~ (1 | a)"), by_array.fitted(), rtol=1e-10)
    with pytest.raises(DataError, match="go with newdata="):
        by_array.predict(offset="o")


def test_weights_divide_the_residual_variance():
    fit = by_hand("y ~ x + (1 | a)", weights="w", spread=0.0, draws=2500)
    new = random_frame(2)
    for got, w in (
        (fit.posterior_predict(), new["w"]),
        (fit.posterior_predict(new), new["w"]),
        (fit.posterior_predict(new, weights=np.full(90, 9.0)), np.full(90, 9.0)),
    ):
        variance = (got - fit.posterior_linpred()).var(SAMPLE).values * np.asarray(w)
        assert np.abs(variance / 2.0**2 - 1).max() < 4 * np.sqrt(2 / 10_000)
    with pytest.raises(DataError, match="weights are positive"):
        fit.posterior_predict(new, weights=np.zeros(90))


def test_predictive_intervals_are_quantiles_of_the_predictions():
    fit = by_hand("y ~ x + (1 | a)")
    table = fit.predictive_interval(prob=0.95, re_formula="~0", seed=8)
    assert table.columns.tolist() == ["2.5%", "97.5%"]
    drawn = fit.posterior_predict(re_formula="~0", seed=8).values.reshape(-1, 90)
    np.testing.assert_allclose(table.to_numpy().T, np.quantile(drawn, [0.025, 0.975], axis=0), rtol=1e-12)
    with pytest.raises(BayesMLMError, match="probability"):
        fit.predictive_interval(prob=90)
    with pytest.raises(BayesMLMError, match="point = 'mode'"):
        fit.predict(point="mode")


def test_augment():
    fit = by_hand("y ~ x + (x | a)", offset="o")
    table = fit.augment()
    assert table.columns.tolist() == ["y", "x", "a", "fitted", "se_fit", "resid", "fixed", "offset"]
    np.testing.assert_allclose(table["fitted"], fit.fitted(), rtol=1e-12)
    np.testing.assert_allclose(table["resid"], fit.residuals(), rtol=1e-9)
    np.testing.assert_allclose(table["se_fit"], fit.posterior_linpred().std(SAMPLE, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(table["fixed"], fit.predict(re_formula="~0"), rtol=1e-10)
    new = pd.DataFrame({"x": [38.0, 39.0], "a": ["7", "new"], "o": 0.0, "fitted": 1})
    table = fit.augment(new)
    assert table.columns.tolist() == ["x", "a", "o", "fitted", ".fitted", "se_fit", "fixed"]
    np.testing.assert_allclose(table[".fitted"], fit.predict(new), rtol=1e-12)
    assert table.loc[1, ".fitted"] == pytest.approx(table.loc[1, "fixed"])
    assert table.loc[1, "se_fit"] > 2 * table.loc[0, "se_fit"]
    assert "resid" in fit.augment(new.assign(y=1.0))


def test_effects_that_were_not_kept_are_missed_only_where_they_are_needed():
    fit = by_hand("y ~ x + (1 | a)")
    (block,) = fit.posterior.blocks
    few = replace(
        fit, posterior=replace(fit.posterior, blocks=(replace(block, b=block.b.sel(level=["9", "2"])),))
    )
    new = random_frame(2)
    kept = new[new["a"].isin(["2", "9"])]
    np.testing.assert_array_equal(few.posterior_linpred(kept).values, fit.posterior_linpred(kept).values)
    np.testing.assert_array_equal(few.predict(re_formula="~0"), fit.predict(re_formula="~0"))
    with pytest.raises(DataError, match=r"2 of the 12 levels of a were kept: fit\.with_ranef\(\)"):
        few.predict(new)


# -- the response's own scale ------------------------------------------------------------------------


def positive(formula, **given):
    return fit_by_hand(formula, random_frame(2), **{"sd": 0.3, "sigma": 0.4, **given})


def integral(inverse, mu, sd):
    """Return E inverse(Z), Z ~ N(mu, sd^2), by Gauss-Hermite quadrature."""
    z, w = np.polynomial.hermite_e.hermegauss(60)
    return (inverse(mu[..., None] + sd[..., None] * z) * w).sum(axis=-1) / w.sum()


SCALES = [
    ("log(y)", np.exp),
    ("log10(y)", lambda z: 10**z),
    ("log2(y)", lambda z: 2**z),
    ("log1p(y)", np.expm1),
    ("log(y, 3)", lambda z: 3**z),
    ("log(y, base = 10)", lambda z: 10**z),
    ("np.log(y)", np.exp),
    ("sqrt(y)", np.square),
    ("log(y + 3)", lambda z: np.exp(z) - 3),
    ("log(I(2 * y) - 3)", lambda z: (np.exp(z) + 3) / 2),
    ("sqrt((y + 1) / 100)", lambda z: 100 * z**2 - 1),
    ("I(y / 10)", lambda z: 10 * z),
    ("scale(y)", None),
    ("log(y / x)", np.exp),
    ("y", lambda z: z),
]


@pytest.mark.parametrize(("response", "inverse"), SCALES, ids=[s[0] for s in SCALES])
def test_back_transformation(response, inverse):
    fit = positive(f"{response} ~ x + (1 | a)", fixef=[1.0, 0.005], draws=20)
    if inverse is None:
        y = random_frame(2)["y"]
        inverse = lambda z: y.mean() + y.std() * z  # noqa: E731
    eta, sigma = fit.posterior_linpred().values, fit.posterior.sigma.values[..., None]
    expected = integral(inverse, eta, sigma)
    got = fit.posterior_epred(back_transform=True)
    np.testing.assert_allclose(got.values, expected, rtol=1e-9)
    assert got.name == ("y/x" if response == "log(y / x)" else "y")
    np.testing.assert_allclose(fit.predict(back_transform=True), expected.mean(axis=(0, 1)), rtol=1e-9)
    drawn = fit.posterior_predict(back_transform=True, seed=2).values
    np.testing.assert_allclose(drawn, inverse(fit.posterior_predict(seed=2).values), rtol=1e-9)
    quantiles = np.quantile(drawn.reshape(-1, 90), [0.05, 0.95], axis=0)
    np.testing.assert_allclose(fit.predictive_interval(back_transform=True, seed=2).T, quantiles, rtol=1e-9)
    np.testing.assert_allclose(fit.posterior_epred().values, eta)


def test_the_mean_over_groups_on_the_own_scale():
    """Integrated by hand over z'b and the residual, in every draw; it is what draws of new groups have on average."""
    fit = positive("log(y) ~ x + (x | a) + (1 | b)", fixef=[1.0, 0.005], draws=4000, spread=0.0)
    new = pd.DataFrame({"x": [38.0, 42.0], "a": ["n", "m"], "b": ["u", "v"]})
    Z = np.column_stack([np.ones(2), new["x"]])
    first, second = (b.cov.values[0, 0] for b in fit.posterior.blocks)
    variance = np.einsum("np,pq,nq->n", Z, first, Z) + second[0, 0] + 0.4**2
    base = fit.posterior_linpred(new, "~0")
    expected = integral(np.exp, base.values, np.broadcast_to(np.sqrt(variance), base.shape))
    averaged = fit.posterior_epred(new, back_transform=True, marginal=True)
    np.testing.assert_allclose(averaged.values, expected, rtol=1e-9)
    for left_out in (new, new[["x"]]):
        got = fit.posterior_epred(left_out, "~0", back_transform=True, marginal=True)
        np.testing.assert_allclose(got.values, expected, rtol=1e-9)
    np.testing.assert_allclose(fit.predict(new, back_transform=True), expected.mean(axis=(0, 1)), rtol=1e-9)
    drawn = fit.posterior_epred(new, back_transform=True).values.reshape(-1, 2)
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - expected.mean(axis=(0, 1))) < 4 * error).all()
    known = new.assign(a="7", b="4")
    np.testing.assert_array_equal(
        fit.posterior_epred(known, back_transform=True, marginal=True),
        fit.posterior_epred(known, back_transform=True),
    )
    one = fit.posterior_epred(known, "~ (1 | b)", back_transform=True, marginal=True)
    eta = fit.posterior_linpred(known, "~ (1 | b)").values
    sd = np.broadcast_to(np.sqrt(variance - second[0, 0]), eta.shape)
    np.testing.assert_allclose(one.values, integral(np.exp, eta, sd), rtol=1e-9)
    rows = fit.posterior_epred(re_formula="~0", back_transform=True, marginal=True)
    frame = fit.posterior_epred(random_frame(2), "~0", back_transform=True, marginal=True)
    np.testing.assert_allclose(rows.values, frame.values, rtol=1e-10)
    with pytest.raises(DataError, match=r"part of .* only, without x: marginal=True"):
        fit.predict(re_formula="~ (1 | a)", back_transform=True, marginal=True)


def test_an_average_over_groups_is_no_different_where_nothing_is_transformed():
    fit = by_hand("y ~ x + (1 | a)")
    new = pd.DataFrame({"x": [40.0], "a": ["new"]})
    np.testing.assert_array_equal(fit.posterior_epred(new, marginal=True), fit.posterior_epred(new, "~0"))


def test_weights_count_in_the_mean_on_the_own_scale():
    fit = positive("log(y) ~ x + (1 | a)", fixef=[1.0, 0.005], weights="w")
    sd = fit.posterior.sigma.values[..., None] / np.sqrt(random_frame(2)["w"].to_numpy())
    expected = integral(np.exp, fit.posterior_linpred().values, sd)
    np.testing.assert_allclose(fit.posterior_epred(back_transform=True).values, expected, rtol=1e-9)


@pytest.mark.parametrize(
    "response", ["I(y^2)", "exp(y / 100)", "abs(y)", "log(y^2)", "I(y + x)", "log(sqrt(y))", "round(y)"]
)
def test_what_cannot_be_undone_is_refused(response):
    fit = positive(f"{response} ~ x + (1 | a)", fixef=[1.0, 0.005])
    with pytest.raises(
        FormulaError, match="cannot be brought back to its own scale; supported are log, log10"
    ):
        fit.predict(back_transform=True)
    assert np.isfinite(fit.predict()).all()


# -- required changes --------------------------------------------------------------------------------


def slope_of(fit, *names):
    return sum(coefficient(fit, n) for n in names).ravel()


def test_a_required_change_is_the_wanted_change_over_the_slope_in_every_draw():
    fit = by_hand("y ~ x * z + (x | a)")
    table = fit.required_change("x", 3.0, prob=0.8)
    assert table["unit"].tolist() == list(range(90))
    data, i = random_frame(2), 17
    slope = (
        slope_of(fit, "x") + slope_of(fit, "x:z") * data["z"][i] + effect(fit, 0, data["a"][i], "x").ravel()
    )
    middle, low, high = np.quantile(3.0 / slope, [0.5, 0.1, 0.9])
    row = table.iloc[i]
    np.testing.assert_allclose(
        row[["required_change", "conf_low", "conf_high"]].tolist(), [middle, low, high]
    )
    x, eta = data["x"][i], fit.posterior_linpred().values[..., i]
    assert row["current_value"] == pytest.approx(x)
    assert row["current_prediction"] == pytest.approx(np.median(eta))
    assert row["target"] == pytest.approx(np.median(eta) + 3)
    assert row["required_value"] == pytest.approx(x + middle)
    assert row["required_percent"] == pytest.approx(100 * middle / x)
    assert row["within_range"] == (data["x"].min() <= x + middle <= data["x"].max())
    assert row["p_direction"] == np.mean(np.sign(slope) == np.sign(middle))
    q = np.quantile(slope, [0.1, 0.9])
    assert row["crosses_zero"] == (q[0] < 0 < q[1])


def test_after_the_required_change_the_prediction_is_the_target():
    fit = positive(
        formula="sqrt(y) ~ scale(log(x)) * z + (1 | a)", fixef=[10.0, 0.5, 0.3, 0.1], spread=0.0, sigma=0.1
    )
    new = random_frame(2).iloc[:20]
    for wanted in ({"outcome_change": -4.0}, {"to": 90.0}, {"to": "mean"}, {"percent": 12.0}):
        table = fit.required_change("x", newdata=new, **wanted)
        moved = new.assign(x=table["required_value"].to_numpy())
        reached = fit.predict(moved, back_transform=True)
        np.testing.assert_allclose(reached, table["target"], rtol=1e-8)
        before = fit.predict(new, back_transform=True)
        targets = {
            "outcome_change": before - 4,
            "to": np.full(20, 90.0 if wanted.get("to") != "mean" else random_frame(2)["y"].mean()),
            "percent": 1.12 * before,
        }
        np.testing.assert_allclose(table["target"], targets[next(iter(wanted))], rtol=1e-8)


def test_percent_on_log_scales_is_a_ratio():
    """log(y) ~ b log(x): y rises by 5 percent where x is multiplied by 1.05^(1 / b), whatever x is."""
    fit = positive("log(y) ~ log(x) + (1 | a)", fixef=[1.0, -0.25])
    table = fit.required_change("x", percent=5)
    percent = 100 * (1.05 ** (1 / slope_of(fit, "log(x)")) - 1)
    expected = np.quantile(percent, [0.5, 0.05, 0.95])
    columns = ["required_percent", "percent_low", "percent_high"]
    np.testing.assert_allclose(table[columns], np.tile(expected, (90, 1)), rtol=1e-3)
    x = random_frame(2)["x"]
    np.testing.assert_allclose(table["required_change"], x * table["required_percent"] / 100, rtol=1e-9)
    assert (table["required_change"] < 0).all()
    assert (table["p_direction"] == 1).all()
    other = positive("log(y) ~ I(log10(x) - 1) + (1 | a)", fixef=[1.0, -0.25])
    percent = 100 * (10 ** (np.log(1.05) / slope_of(other, "I(log10(x) - 1)")) - 1)
    row = other.required_change("x", percent=5).iloc[0]
    assert row["required_percent"] == pytest.approx(np.median(percent), rel=1e-3)


@pytest.mark.parametrize("curve", ["log1p(x)", "sqrt(x)", "I(2 * x - 3)", "scale(sqrt(x))", "poly(x, 1)"])
def test_other_curves(curve):
    fit = fit_by_hand(f"y ~ {curve} + ({curve} || a)", random_frame(2), spread=0.0, corr=0.0)
    new = random_frame(2).iloc[:15]
    table = fit.required_change("x", 0.01, newdata=new)
    moved = new.assign(x=table["required_value"].to_numpy())
    np.testing.assert_allclose(fit.predict(moved), fit.predict(new) + 0.01, rtol=1e-9)


def test_groups_are_the_averages_of_their_rows():
    fit = by_hand("y ~ x * z + (x | a) + (1 | b)")
    table = fit.required_change("x", to=110.0, group="b").set_index("unit")
    assert table.index.tolist() == ["0", "1", "2", "3", "4"]
    data = random_frame(2)
    mine = (data["b"] == "3").to_numpy()
    eta = fit.posterior_linpred().values[..., mine].mean(axis=-1).ravel()
    per_row = [effect(fit, 0, a, "x").ravel() for a in data.loc[mine, "a"]]
    slope = slope_of(fit, "x") + slope_of(fit, "x:z") * data.loc[mine, "z"].mean() + np.mean(per_row, axis=0)
    row = table.loc["3"]
    assert row["required_change"] == pytest.approx(np.median((110 - eta) / slope))
    assert row["current_value"] == pytest.approx(data.loc[mine, "x"].mean())
    assert row["current_prediction"] == pytest.approx(np.median(eta))
    new = data.assign(b=np.where(mine, "new", data["b"]))
    assert fit.required_change("x", 1, newdata=new, group="b")["unit"].tolist() == ["0", "1", "2", "4", "new"]
    log = fit_by_hand("y ~ log(x) + (1 | b)", data).required_change("x", 1, group="b").set_index("unit")
    assert log.loc["3", "current_value"] == pytest.approx(np.exp(np.log(data.loc[mine, "x"]).mean()))


def test_a_slope_around_zero_is_flagged():
    fit = fit_by_hand("y ~ x + z + (1 | a)", random_frame(2), fixef=[1.0, 0.0, 0.5], draws=1000)
    table = fit.required_change("x", 1.0)
    assert table["crosses_zero"].all()
    assert (np.abs(table["p_direction"] - 0.5) < 0.1).all()
    sure = fit.required_change("z", 1.0)
    assert not sure["crosses_zero"].any()
    assert (sure["p_direction"] == 1).all()


def test_a_row_without_a_slope_has_no_answer():
    fit = fit_by_hand("y ~ x:z + (1 | a)", random_frame(2))
    new = random_frame(2).iloc[:2].assign(z=[0.0, 1.0])
    table = fit.required_change("x", 1.0, newdata=new)
    assert table["required_change"].isna().tolist() == [True, False]
    assert table["p_direction"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("formula", "culprit"),
    [
        ("y ~ x + I(x^2) + (1 | a)", r"I\(x\^2\) is not straight in x"),
        ("y ~ ns(x, 3) + (1 | a)", r"ns\(x, 3\)1, ns\(x, 3\)2, ns\(x, 3\)3 are not straight"),
        ("y ~ bs(x, df = 4) + (1 | a)", "are not straight"),
        ("y ~ I(x > 40) + (1 | a)", r"I\(x > 40\)TRUE is not straight"),
        ("y ~ x + log(x) + (1 | a)", r"log\(x\) is not straight"),
        ("y ~ z + (0 + I(x^2) | a)", r"I\(x\^2\) in \(0 \+ I\(x\^2\) \| a\) is not straight"),
        ("y ~ log(x - 30) + (1 | a)", "not straight"),
    ],
)
def test_what_is_not_a_straight_line_is_refused(formula, culprit):
    with pytest.raises(FormulaError, match=culprit):
        fit_by_hand(formula, random_frame(2)).required_change("x", 1.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"predictor": "xx", "outcome_change": 1}, "no predictor 'xx' in .* Did you mean 'x'"),
        ({"predictor": "o", "outcome_change": 1}, "no predictor 'o' in .*It has: x, f"),
        (
            {"predictor": "a", "outcome_change": 1},
            "a is a grouping factor: name a numeric predictor, such as x, f",
        ),
        ({"predictor": "y", "outcome_change": 1}, "y is the response"),
        ({"predictor": "f", "outcome_change": 1}, "f has categories"),
        ({"predictor": "x"}, "one of outcome_change=, to=, percent=; given: nothing"),
        ({"predictor": "x", "outcome_change": 1, "percent": 5}, "given: outcome_change and percent"),
        ({"predictor": "x", "to": "median"}, "to = 'median': give a number or 'mean'"),
        ({"predictor": "x", "percent": np.inf}, "percent = inf"),
        ({"predictor": "x", "outcome_change": 1, "group": "aa"}, "no grouping factor 'aa'. Did you mean 'a'"),
        ({"predictor": "x", "percent": -100}, "the expected response cannot become 0: log"),
        ({"predictor": "x", "to": -3}, "the expected response cannot become -3: log"),
    ],
)
def test_changes_that_make_no_sense_are_refused(arguments, words):
    data = random_frame(2).assign(f=lambda d: np.where(d["x"] > 40, "hi", "lo"))
    fit = fit_by_hand("log(y) ~ x + f + (1 | a)", data, sd=0.1, sigma=0.1)
    with pytest.raises(DataError, match=words):
        fit.required_change(**arguments)
