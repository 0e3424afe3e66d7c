"""What must not change a fit: the order of rows, names of levels, spellings of one model, the place of the origin.

Tolerances are those of the optimum: the criterion is found to some 1e-10 of its size, so theta to its square root
in units of its own uncertainty, and what follows from it to about 1e-6.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from random_designs import FORMULAS, random_frame

import bayesmlm as bm

RTOL = 1e-6
SPELLINGS = {
    "uncorrelated": ["y ~ x + (x || a)", "y ~ x + (1 | a) + (0 + x | a)", "y ~ x + (0 + x | a) + (1 | a)"],
    "crossed": ["y ~ x + (1 | a) + (1 | b)", "y ~ x + (1 | b) + (1 | a)"],
    "nested": [
        "y ~ x + (1 | b/d)",
        "y ~ x + (1 | b) + (1 | b:d)",
        "y ~ x + (1 | d:b) + (1 | b)",
        "y ~ x + (1 | b) + (1 | bd)",
    ],
    "nested slopes": ["y ~ x + (x | b/d)", "y ~ 1 + x + (1 + x | b:d) + (x | b)"],
    "intercept": ["y ~ x + (x | a)", "y ~ 1 + x + (1 + x | a)", "y ~ x + (x + 1 | factor(a))"],
}


def frame(seed: int = 0) -> pd.DataFrame:
    data = random_frame(seed)
    return data.assign(bd=[f"{b}-{d}" for b, d in zip(data["b"], data["d"], strict=True)])


@functools.cache
def base(formula: str, reml: bool = True):
    return bm.lmer(formula, frame(), reml, weights="w", offset="o")


def assert_same_fit(one, two, *, tolerance: float = RTOL) -> None:
    """Compare what does not depend on how blocks are ordered or levels are named."""
    np.testing.assert_allclose(two.estimate.criterion, one.estimate.criterion, rtol=1e-10)
    np.testing.assert_allclose(two.fixef(), one.fixef(), rtol=tolerance)
    np.testing.assert_allclose(two.se(), one.se(), rtol=tolerance)
    np.testing.assert_allclose(two.sigma, one.sigma, rtol=tolerance)
    sds = [sorted(s for b in fit.estimate.varcorr.blocks for s in b.sd) for fit in (one, two)]
    np.testing.assert_allclose(sds[1], sds[0], rtol=1e-4, atol=1e-4 * one.sigma)


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=list(FORMULAS))
def test_the_order_of_rows_is_the_order_of_what_belongs_to_rows_only(formula):
    order = np.random.default_rng(1).permutation(90)
    other = bm.lmer(formula, frame().iloc[order], weights="w", offset="o")
    assert_same_fit(base(formula), other)
    scale = base(formula).sigma
    np.testing.assert_allclose(other.fitted(), base(formula).fitted()[order], rtol=0, atol=1e-5 * scale)
    for label, effects in base(formula).ranef().items():
        again = other.ranef()[label]
        assert list(again.index) == list(effects.index)
        np.testing.assert_allclose(again, effects, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("formula", [FORMULAS["slopes"], FORMULAS["crossed slopes"], FORMULAS["nested"]])
def test_names_of_levels_are_only_names(formula):
    names = {c: {v: f"{99 - int(v):02d}" for v in frame()[c].unique()} for c in "abd"}
    other = bm.lmer(formula, frame().replace(names), weights="w", offset="o")
    assert_same_fit(base(formula), other)
    for b, again in zip(base(formula).estimate.ranef, other.estimate.ranef, strict=True):
        columns = str(b.group).split(":")
        renamed = [
            ":".join(names[c][v] for c, v in zip(columns, level.split(":"), strict=True))
            for level in b.levels
        ]
        at = [again.levels.index(name) for name in renamed]
        np.testing.assert_allclose(again.mode[at], b.mode, rtol=0, atol=1e-5 * other.sigma)


@pytest.mark.parametrize("reml", [False, True], ids=["ML", "REML"])
@pytest.mark.parametrize("spellings", SPELLINGS.values(), ids=list(SPELLINGS))
def test_spellings_of_one_model_are_one_fit(spellings, reml):
    first, *others = (base(s, reml) for s in spellings)
    for other in others:
        assert_same_fit(first, other)
        np.testing.assert_allclose(other.fitted(), first.fitted(), rtol=0, atol=1e-5 * first.sigma)


def test_nested_and_pre_built_groups_predict_the_same_for_new_rows():
    slash, built = base("y ~ x + (1 | b/d)"), base("y ~ x + (1 | b) + (1 | bd)")
    rows = frame()[:7].assign(x=33.0, y=np.nan)
    rows.loc[2, ["b", "d", "bd"]] = ["9", "0", "9-0"]  # both levels new
    rows.loc[3, ["d", "bd"]] = ["9", f"{rows['b'][3]}-9"]  # the inner one
    one, two = (fit.predict(rows, allow_new_levels=True) for fit in (slash, built))
    np.testing.assert_allclose(one, two, rtol=RTOL)


@pytest.mark.parametrize("reml", [False, True], ids=["ML", "REML"])
@pytest.mark.parametrize("formula", [FORMULAS["slopes"], FORMULAS["crossed slopes"]])
def test_a_unit_of_the_response_is_the_unit_of_all_but_theta(formula, reml):
    unit = 1e-4
    other = bm.lmer(
        formula, frame().assign(y=unit * frame()["y"], o=unit * frame()["o"]), reml, weights="w", offset="o"
    )
    one = base(formula, reml)
    np.testing.assert_allclose(other.fixef() / unit, one.fixef(), rtol=RTOL)
    np.testing.assert_allclose(other.sigma / unit, one.sigma, rtol=RTOL)
    np.testing.assert_allclose(other.theta, one.theta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other.fitted() / unit, one.fitted(), rtol=RTOL)


def test_a_multiple_of_all_weights_is_a_multiple_of_the_residual_variance():
    formula = FORMULAS["crossed"]
    other = bm.lmer(formula, frame().assign(w=9 * frame()["w"]), weights="w", offset="o")
    one = base(formula)
    np.testing.assert_allclose(other.fixef(), one.fixef(), rtol=RTOL)
    np.testing.assert_allclose(other.sigma, 3 * one.sigma, rtol=RTOL)
    for a, b in zip(one.estimate.varcorr.blocks, other.estimate.varcorr.blocks, strict=True):
        np.testing.assert_allclose(b.sd, a.sd, rtol=1e-4)


def test_a_shift_of_a_predictor_changes_intercepts_only():
    one = base(FORMULAS["slopes"])
    other = bm.lmer(FORMULAS["slopes"], frame().assign(x=frame()["x"] - 40), weights="w", offset="o")
    np.testing.assert_allclose(other.estimate.criterion, one.estimate.criterion, rtol=1e-10)
    np.testing.assert_allclose(other.fixef()["x"], one.fixef()["x"], rtol=RTOL)
    np.testing.assert_allclose(other.fixef().iloc[0], one.fixef().iloc[0] + 40 * one.fixef()["x"], rtol=RTOL)
    np.testing.assert_allclose(other.fitted(), one.fitted(), rtol=0, atol=1e-5 * one.sigma)


def test_an_offset_is_taken_off_the_response():
    one = base(FORMULAS["slopes"])
    other = bm.lmer(FORMULAS["slopes"], frame().assign(y=frame()["y"] - frame()["o"]), weights="w")
    assert_same_fit(one, other)
    np.testing.assert_allclose(other.fitted() + frame()["o"], one.fitted(), rtol=RTOL)


@pytest.mark.parametrize("dtype", ["category", "string", object, int])
def test_the_dtype_of_groups_does_not_matter(dtype):
    formula = FORMULAS["crossed"]
    data = frame().astype({"a": int, "b": int}).astype({"a": dtype, "b": dtype})
    assert_same_fit(base(formula), bm.lmer(formula, data, weights="w", offset="o"))
