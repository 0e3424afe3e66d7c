"""`predict`, `simulate`, `augment`, `glance`, `update` of reference fits: against lme4 and their definitions."""

from __future__ import annotations

import functools
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from random_designs import random_frame

import bayesmlm as bm
from bayesmlm.errors import DataError, DataWarning, FormulaError
from bayesmlm.formulas import parse_formula
from bayesmlm.reference.predict import simulate_response
from bayesmlm.updating import update_formula

LME4 = json.loads((Path(__file__).parent / "reference" / "lme4_predict.json").read_text())
CASES = [
    pytest.param(name, case, id=f"{name} {case.get('re_formula') or 'all'}")
    for name, entry in LME4.items()
    for case in entry["cases"]
]


def sleepstudy() -> pd.DataFrame:
    """The data with the columns that tests/reference/README.md describes."""
    data = bm.load_dataset("sleepstudy")
    k = np.arange(1, 181) * 37 % 50 / 10
    k[[3, 89]] = np.nan
    return data.assign(k=k, o=3.0 * data["Days"], dup=2 * data["Days"] + 1, w=1.0 + data["Days"])


def data_of(name: str) -> pd.DataFrame:
    return sleepstudy() if name == "sleepstudy" else bm.load_dataset(name)


@functools.cache
def fit_of(name: str):
    return bm.lmer(LME4[name]["formula"], data_of(LME4[name]["data"]))


@functools.cache
def sleep(formula: str = "Reaction ~ Days + (Days | Subject)", **arguments):
    return bm.lmer(formula, sleepstudy(), **arguments)


# -- lme4 ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::bayesmlm.errors.DataWarning")
@pytest.mark.parametrize(("name", "case"), CASES)
def test_predictions_are_lme4s(name, case):
    new = pd.DataFrame(LME4[name]["newdata"])
    got = fit_of(name).predict(new, case.get("re_formula"), allow_new_levels=case["allow_new_levels"])
    expected = np.array(case["predicted"], dtype=float)
    np.testing.assert_allclose(got, expected, rtol=1e-7)


# -- predict ---------------------------------------------------------------------------------------


def test_predictions_for_the_rows_of_the_fit_are_its_fitted_values():
    fit = sleep("Reaction ~ scale(k) + Days + (Days || Subject)", offset="o")
    np.testing.assert_array_equal(fit.predict(), fit.fitted())
    used = sleepstudy().iloc[fit.design.rows]
    np.testing.assert_allclose(fit.predict(used), fit.fitted(), rtol=1e-12)
    np.testing.assert_allclose(fit.predict(re_formula="~0"), fit.estimate.linear_predictor_fixed, rtol=1e-12)
    intercepts = fit.predict(re_formula="~ (1 | Subject)") - fit.predict(re_formula="~0")
    effects = fit.ranef()["Subject"]["(Intercept)"].to_numpy()
    np.testing.assert_allclose(intercepts, effects[fit.design.blocks[0].index], rtol=1e-9, atol=1e-9)


def test_an_array_given_as_offset_is_known_for_the_rows_of_the_fit_only():
    fit = sleep("Reaction ~ Days + (1 | Subject)", offset=None)
    given = bm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy(), offset=sleepstudy()["o"].to_numpy())
    np.testing.assert_allclose(given.predict(re_formula="~ (1 | Subject)"), fit.fitted(), rtol=1e-9)
    with pytest.raises(DataError, match="give offset= with the new data"):
        given.predict(sleepstudy())
    np.testing.assert_allclose(given.predict(sleepstudy(), offset="o"), fit.fitted(), rtol=1e-9)
    with pytest.raises(DataError, match="offset= goes with newdata="):
        given.predict(offset="o")


def test_a_pickled_fit_predicts():
    fit = sleep("Reaction ~ poly(Days, 2) + (1 | Subject)")
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(fit)).predict(sleepstudy()[:5]), fit.predict(sleepstudy()[:5])
    )


# -- simulate --------------------------------------------------------------------------------------

DRAWS = 4000
FORMULA = "y ~ x + (x | a) + (1 | b)"


@functools.cache
def weighted_fit():
    return bm.lmer(FORMULA, random_frame(3), weights="w", offset="o")


def implied_covariance(fit, blocks) -> np.ndarray:
    """Var(y) given the other blocks' effects: sum of Z Sigma Z' over `blocks`, plus sigma^2 W^-1."""
    V = np.diag(fit.sigma**2 / fit.design.weights)
    for i in blocks:
        block, cov = fit.design.blocks[i], fit.estimate.varcorr.blocks[i].cov
        V += (block.Z @ cov @ block.Z.T) * (block.index[:, None] == block.index)
    return V


def assert_moments(draws: np.ndarray, mean: np.ndarray, V: np.ndarray) -> None:
    """Compare the moments of (n, draws) with those expected; 5.5 standard errors, for thousands of comparisons."""
    sd = np.sqrt(np.diag(V))
    assert np.abs((draws.mean(axis=1) - mean) / sd).max() < 5.5 / np.sqrt(DRAWS)
    se = np.sqrt((V**2 + np.outer(sd, sd) ** 2) / DRAWS)
    assert (np.abs(np.cov(draws) - V) < 5.5 * se).all()


@pytest.mark.parametrize("newdata", [False, True], ids=["rows of the fit", "new rows"])
@pytest.mark.parametrize(
    ("re_formula", "drawn"), [("~0", (0, 1)), ("~ (1 | b)", (0,)), ("~ (x | a)", (1,)), (None, ())]
)
def test_simulations_have_the_moments_of_the_model(re_formula, drawn, newdata):
    fit = weighted_fit()
    assert [b.group for b in fit.design.blocks] == ["a", "b"]
    rows = random_frame(3) if newdata else None
    draws = fit.simulate(DRAWS, seed=1, re_formula=re_formula, newdata=rows).to_numpy()
    assert_moments(draws, fit.predict(re_formula=re_formula), implied_covariance(fit, drawn))


def test_simulations_are_columns_and_a_seed_fixes_them():
    fit = sleep()
    one, two = fit.simulate(3, seed=5), fit.simulate(3, seed=5)
    pd.testing.assert_frame_equal(one, two)
    assert list(one.columns) == ["sim_1", "sim_2", "sim_3"]
    assert len(one) == 180
    assert not np.allclose(one, fit.simulate(3, seed=6))
    rng = np.random.default_rng(5)
    np.testing.assert_array_equal(one["sim_1"], simulate_response(fit.design, fit.estimate, rng))


def test_rows_of_one_new_level_share_its_effect():
    fit = weighted_fit()
    rows = random_frame(3).iloc[[0, 0, 0]].assign(a=["new", "new", "newer"], b=["1", "2", "3"])
    correlation = np.corrcoef(fit.simulate(DRAWS, seed=2, newdata=rows).to_numpy())
    sd = fit.estimate.varcorr.blocks[0]
    z = np.array([1, rows["x"].iloc[0]])
    between = z @ sd.cov @ z
    total = between + fit.estimate.varcorr.blocks[1].cov[0, 0] + fit.sigma**2 / rows["w"].iloc[0]
    np.testing.assert_allclose(correlation[0, 1], between / total, atol=5 / np.sqrt(DRAWS))
    np.testing.assert_allclose(correlation[0, 2], 0, atol=5 / np.sqrt(DRAWS))
    with pytest.raises(DataError, match="'new', 'newer'"):
        fit.simulate(newdata=rows, allow_new_levels=False)


def test_a_new_level_has_no_effect_where_estimated_effects_are_kept():
    fit = weighted_fit()
    rows = random_frame(3).iloc[[0]].assign(a="new")
    draws = fit.simulate(DRAWS, seed=3, newdata=rows, re_formula=None).to_numpy()
    expected = fit.predict(rows, allow_new_levels=True)
    assert_moments(
        np.vstack([draws, draws]), np.repeat(expected, 2), np.full((2, 2), fit.sigma**2 / rows["w"].iloc[0])
    )


def test_a_missing_value_is_missing_in_every_simulation():
    rows = pd.DataFrame({"Days": [1, np.nan], "Subject": ["308", "308"]})
    draws = sleep().simulate(4, seed=1, newdata=rows)
    assert draws.iloc[0].notna().all()
    assert draws.iloc[1].isna().all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"nsim": 0}, "nsim = 0: give the number"),
        ({"nsim": 2.5}, "nsim = 2.5"),
        ({"re_formula": "~ (1 | Subject)"}, "a part of .* only, without Days"),
        ({"re_formula": "~ (1 | Day)"}, "not in the model"),
        ({"weights": [1.0]}, "go with newdata="),
    ],
)
def test_simulations_that_make_no_sense_are_refused(arguments, words):
    with pytest.raises((DataError, FormulaError), match=words):
        sleep().simulate(**arguments)


def test_new_rows_need_weights_if_the_fit_had_them():
    rows = sleepstudy()[:3]
    by_name, by_array = (
        bm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy(), weights=w) for w in ("w", rows_w())
    )
    pd.testing.assert_frame_equal(
        by_name.simulate(2, seed=1, newdata=rows), by_array.simulate(2, seed=1, newdata=rows, weights="w")
    )
    with pytest.raises(DataError, match="no column 'w', the fit's weights"):
        by_name.simulate(newdata=rows.drop(columns="w"))
    with pytest.raises(DataError, match="give weights= with the new data"):
        by_array.simulate(newdata=rows)
    with pytest.raises(DataError, match="positive"):
        by_array.simulate(newdata=rows, weights=[1, 0, 1])


def rows_w() -> np.ndarray:
    return sleepstudy()["w"].to_numpy()


# -- augment and glance ----------------------------------------------------------------------------


def test_augment_adds_to_the_columns_of_the_formula():
    fit = sleep("Reaction ~ k + (Days | Subject)")
    table = fit.augment()
    assert list(table.columns) == ["Reaction", "k", "Days", "Subject", "fitted", "resid", "fixed"]
    assert len(table) == 178
    np.testing.assert_allclose(table["fitted"] + table["resid"], table["Reaction"], rtol=1e-14)
    np.testing.assert_allclose(table["fixed"], fit.predict(re_formula="~0"), rtol=1e-12)
    assert list(fit.design.frame.columns) == ["Reaction", "k", "Days", "Subject"]


def test_augment_shows_offset_and_weights_and_never_makes_two_columns_of_a_name():
    frame = random_frame().rename(columns={"x": "fitted"})
    table = bm.lmer("y ~ fitted + (1 | a)", frame, weights="w", offset="o").augment()
    assert list(table.columns) == ["y", "fitted", "a", ".fitted", "resid", "fixed", "offset", "weights"]
    np.testing.assert_array_equal(table["weights"], frame["w"])
    np.testing.assert_array_equal(table["fitted"], frame["fitted"])


def test_augment_of_new_rows_has_residuals_if_they_have_the_response():
    fit = sleep()
    rows = pd.DataFrame({"Days": [1, 2], "Subject": ["308", "new"], "note": ["a", "b"]})
    table = fit.augment(rows)
    assert list(table.columns) == ["Days", "Subject", "note", "fitted", "fixed"]
    np.testing.assert_array_equal(table["fitted"], fit.predict(rows, allow_new_levels=True))
    assert table["fixed"][1] == table["fitted"][1]
    with_response = fit.augment(rows.assign(Reaction=[300.0, np.nan]))
    assert with_response["resid"][0] == 300 - table["fitted"][0]
    assert np.isnan(with_response["resid"][1])


def test_glance_is_one_row_with_broom_mixeds_columns():
    reml, ml = sleep(), sleep().refit(reml=False)
    names = ["nobs", "sigma", "log_lik", "aic", "bic"]
    assert list(reml.glance().columns) == [*names, "reml_criterion", "df_residual"]
    assert list(ml.glance().columns) == [*names, "deviance", "df_residual"]
    row = ml.glance().iloc[0]
    assert row["log_lik"] == ml.loglik == -ml.deviance / 2
    assert (row["nobs"], row["df_residual"], row["aic"], row["bic"]) == (180, 174, ml.aic, ml.bic)


# -- update ----------------------------------------------------------------------------------------

UPDATES = [
    ("y ~ x + (x | g)", ". ~ . + z", "y ~ x + z + (x | g)"),
    ("y ~ x + (x | g)", ". ~ . - x", "y ~ 1 + (x | g)"),
    ("y ~ x + (x | g)", ". ~ . - (x | g) + (1 | g)", "y ~ x + (1 | g)"),
    ("y ~ x + (1 + x | g)", ". ~ . - x + (1 | h) - (x | g)", "y ~ 1 + (1 | h)"),
    ("y ~ x + (x || g)", ". ~ . - (1 | g)", "y ~ x + (0 + x | g)"),
    ("y ~ x + (x | a/b)", ". ~ . - (x | b:a)", "y ~ x + (x | a)"),
    ("y ~ x + (1 | g)", ". ~ . + (1 | g)", "y ~ x + (1 | g)"),
    ("y ~ x + z + (1 | g)", "log(.) ~ .^2", "log(y) ~ x + z + x:z + (1 | g)"),
    ("y ~ x + (1 | g)", ". ~ . * f", "y ~ x + f + x:f + (1 | g)"),
    ("y ~ x + (1 | g)", "~ . - 1", "y ~ 0 + x + (1 | g)"),
    ("y ~ 0 + x + (1 | g)", ". ~ . + 1", "y ~ x + (1 | g)"),
    ("y ~ x + offset(o) + (1 | g)", ". ~ . - x", "y ~ 1 + offset(o) + (1 | g)"),
    ("y ~ x + z + (1 | g)", ". ~ . - (x + z)", "y ~ 1 + (1 | g)"),
    ("y ~ x + (1 | g)", "z ~ f + (f | h)", "z ~ f + (f | h)"),
    ("y ~ x + (1 | g)", ". ~ f + (f | h)", "y ~ f + (f | h)"),
    ("`a b` ~ `c d` + (1 | g)", ". ~ . + x", "`a b` ~ `c d` + x + (1 | g)"),
]


@pytest.mark.parametrize(("old", "change", "expected"), UPDATES, ids=[f"{o} {c}" for o, c, _ in UPDATES])
def test_dots_are_the_old_formula(old, change, expected):
    new = update_formula(parse_formula(old), change)
    assert parse_formula(new) == parse_formula(expected)
    assert new == expected


def test_a_block_that_is_not_there_cannot_be_taken_out():
    with pytest.raises(FormulaError, match=r"\(1 \| h\) cannot be taken out: the blocks are \(1 \+ x \| g\)"):
        update_formula(parse_formula("y ~ x + (x | g)"), ". ~ . - (1 | h)")
    with pytest.raises(FormulaError, match="with '~'"):
        update_formula(parse_formula("y ~ x + (x | g)"), "x + z")


@pytest.mark.parametrize(
    ("change", "words"),
    [(3, "not int"), (". ~ . + nosuch", "unknown column 'nosuch'"), (". ~ . + ", "too early")],
)
def test_a_formula_that_cannot_be_read_is_refused(change, words):
    with pytest.raises(FormulaError, match=words):
        sleep().update(change)


def test_update_fits_to_all_the_data_again():
    fit = sleep("Reaction ~ scale(k) + (1 | Subject)", weights="w")
    assert fit.nobs == 178
    without = fit.update(". ~ . - scale(k) + Days")
    expected = bm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy(), weights="w")
    assert without.nobs == 180  # k was missing in two rows
    np.testing.assert_array_equal(without.fitted(), expected.fitted())
    assert without.formula == expected.formula


def test_update_keeps_what_is_not_changed():
    fit = bm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy(), reml=False, weights="w", offset=rows_w())
    same = fit.update()
    np.testing.assert_array_equal(same.fitted(), fit.fitted())
    assert same.reml_criterion is None
    assert fit.update(reml=True).reml_criterion is not None
    plain = bm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy(), reml=False)
    np.testing.assert_array_equal(fit.update(weights=None, offset=None).fitted(), plain.fitted())
    half = fit.update(data=sleepstudy()[:90], offset=None)
    assert half.nobs == 90
    assert half.design.weights is not None


def test_update_of_a_pickled_fit_needs_the_data():
    copy = pickle.loads(pickle.dumps(sleep()))
    with pytest.raises(DataError, match="give data="):
        copy.update(". ~ . + k")
    with pytest.warns(DataWarning, match="linear combination"):
        assert copy.update(". ~ . + dup", data=sleepstudy()).design.aliased == ("dup",)
    assert copy.refit(reml=False).reml_criterion is None
