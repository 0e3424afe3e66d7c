"""`lmer` as a user calls it: wrong arguments, advice in words, objects that behave."""

import warnings

import numpy as np
import pandas as pd
import pytest
from random_designs import random_frame

import bayesmlm as bm
from bayesmlm.errors import BayesMLMError, DataError, FormulaError

FORMULA = "y ~ x + (1 | a)"


@pytest.mark.parametrize("reml", ["ML", None, 1, 0.0])
def test_reml_is_true_or_false(reml):
    with pytest.raises(BayesMLMError, match="True for REML or False for maximum likelihood"):
        bm.lmer(FORMULA, random_frame(), reml=reml)
    with pytest.raises(BayesMLMError, match="True for REML"):
        bm.lmer(FORMULA, random_frame()).refit(reml)


def test_a_response_of_two_columns_is_for_other_models():
    with pytest.raises(DataError, match="two columns, for binomial models"):
        bm.lmer("cbind(y, z) ~ x + (1 | a)", random_frame())


@pytest.mark.parametrize("formula", [None, 3, ["y ~ x"]])
def test_a_formula_is_text(formula):
    with pytest.raises(FormulaError, match="a formula is text such as"):
        bm.lmer(formula, random_frame())


def test_a_response_of_numbers_as_text_says_how_to_convert_it():
    frame = random_frame().assign(y=lambda d: d["y"].round(2).astype(str))
    with pytest.raises(DataError, match="look like numbers kept as text"):
        bm.lmer(FORMULA, frame)


def test_weights_in_another_order_are_refused():
    frame = random_frame()
    with pytest.raises(DataError, match="another index than the data"):
        bm.lmer(FORMULA, frame, weights=frame["w"].iloc[::-1])
    by_name, as_series = (bm.lmer(FORMULA, frame, weights=w) for w in ("w", frame["w"]))
    np.testing.assert_array_equal(by_name.theta, as_series.theta)


@pytest.mark.parametrize(
    ("formula", "advice"),
    [
        ("y ~ x + (x | b)", "try (1 + x || b), fewer columns"),
        ("y ~ x + (f | b)", "try fewer columns"),  # (1 + f || b) would keep the columns of f correlated
    ],
)
def test_advice_for_a_singular_fit_fits_the_columns(formula, advice):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"b": np.repeat(list("abcdef"), 20), "x": rng.normal(size=120)})
    frame["f"] = np.where(rng.random(120) < 0.5, "u", "v")
    level = np.repeat(rng.normal(0, 2, 6), 20)
    # the slope is the intercept's multiple: correlation 1
    frame["y"] = level * (1 + 0.5 * frame["x"] + (frame["f"] == "v")) + rng.normal(0, 0.5, 120)
    fit = bm.lmer(formula, frame)
    assert fit.is_singular()
    assert advice in fit.status


def test_fits_compare_by_identity_and_can_be_keys():
    one, two = (bm.lmer(FORMULA, random_frame()) for _ in range(2))
    assert one == one
    assert one != two
    assert {one: 1}[one] == 1


def test_a_singular_fit_is_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = bm.lmer("Yield ~ 1 + (1 | Batch)", bm.load_dataset("dyestuff2"))
    assert fit.is_singular()


def test_a_bootstrap_statistic_may_update_the_fit_it_gets():
    frame = random_frame().assign(w=lambda d: d["w"])
    frame.loc[3, "y"] = np.nan
    fit = bm.lmer("y ~ x + (1 | a)", frame, weights="w")

    def statistic(f):
        augmented = f.augment()
        np.testing.assert_allclose(augmented["y"] - augmented["fitted"], augmented["resid"], atol=1e-9)
        smaller = f.update(". ~ . - x")
        return {"aic": smaller.aic, "chisq": bm.anova(smaller, f).to_frame()["chisq"].iloc[1]}

    found = fit.bootstrap(statistic, n_boot=4, seed=1, progress=False)
    assert found["aic"].nunique() == 4
    assert (found["chisq"] >= 0).all()


def test_a_variance_estimated_as_zero_has_a_boundary_p_value_of_one():
    # A zigzag over the rows of each level: the levels of d differ less than chance would have it.
    frame = random_frame().sort_values("d").assign(y=lambda d: np.resize([1.0, -1.0, 2.0, -2.0], len(d)))
    small = bm.lmer("y ~ x + (1 | a)", frame, reml=False)
    large = bm.lmer("y ~ x + (1 | a) + (1 | d)", frame, reml=False)
    assert large.varcorr().sd["d"].iloc[0] == 0
    table = bm.anova(small, large).to_frame()
    assert table["chisq"].iloc[1] == 0
    assert table["p_boundary"].iloc[1] == 1


def test_variances_of_zero_are_exactly_zero_and_named_as_such():
    """Small data without any group effects: nothing of the size of rounding is left, and no correlation of 1."""
    seen = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n, groups = 60, 6
        frame = pd.DataFrame(
            {"y": rng.normal(size=n), "x": rng.normal(size=n), "g": rng.integers(0, groups, n)}
        )
        fit = bm.lmer("y ~ x + (x | g)", frame, reml=False)
        sd = fit.varcorr().sd["g"].to_numpy()
        assert np.all((sd == 0) | (sd > 1e-4)), seed
        if (sd == 0).all():
            seen += 1
            assert "variances are estimated as 0" in fit.status
    assert seen > 3
