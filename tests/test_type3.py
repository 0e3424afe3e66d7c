"""`anova` of one model: lmerTest's type III tests."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from reference_models import REFERENCE
from test_ddf import frame_for
from test_report_ddf import assert_last_place

import bayesmlm as bm
from bayesmlm.anova_tables import anova
from bayesmlm.design import build_design
from bayesmlm.errors import BayesMLMError, DataError
from bayesmlm.reference.type3 import type3_hypotheses

FILE = json.loads((REFERENCE / "lmertest_anova.json").read_text())
MODELS = FILE["models"]
LAST_PLACE = {"imm_model5_reml", "sleep_quadratic"}  # as in test_report_ddf


def unbalanced_cake():
    frame = bm.load_dataset("cake").iloc[FILE["cake_rows"]]
    return frame.assign(
        t2=pd.cut(frame["temp"], [0, 194, 209, 999], labels=["lo", "mid", "hi"], ordered=False)
    )


def fit_of(name):
    entry = MODELS[name]
    frame = unbalanced_cake() if name.startswith("cake_unbalanced") else frame_for(entry["data"])
    return bm.lmer(entry["formula"], frame, entry["reml"])


@pytest.mark.parametrize(
    ("name", "ddf"),
    [(n, d) for n, entry in MODELS.items() for d in ("satterthwaite", "kenward_roger") if d in entry],
)
@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_numbers_are_lmertests(name, ddf):
    table = anova(fit_of(name), ddf=ddf).to_frame()
    expected = np.array(MODELS[name][ddf], dtype=float)
    assert list(table.index) == MODELS[name]["terms"]
    np.testing.assert_allclose(table.to_numpy()[:, :5], expected[:, :5], rtol=1e-5)
    p = np.log(np.maximum(expected[:, 5], 1e-300))
    np.testing.assert_allclose(np.log(np.maximum(table["p_value"], 1e-300)), p, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_prints_what_lmertest_prints(name):
    ours = [line.rstrip() for line in str(anova(fit_of(name))).split("\n")]
    if name in LAST_PLACE:
        assert_last_place(ours, MODELS[name]["printed"])
    else:
        assert ours == MODELS[name]["printed"]


def test_hypothesis_of_a_factor_is_the_average_over_the_other():
    L = type3_hypotheses(build_design("angle ~ recipe * t2 + (1 | replicate)", unbalanced_cake()))
    names = ["(Intercept)", "recipeB", "recipeC", "t2mid", "t2hi"]
    names += ["recipeB:t2mid", "recipeC:t2mid", "recipeB:t2hi", "recipeC:t2hi"]
    row = dict(zip(names, L["recipe"][0], strict=True))
    nonzero = {k: v for k, v in row.items() if abs(v) > 1e-12}
    assert nonzero == pytest.approx({"recipeB": 1, "recipeB:t2mid": 1 / 3, "recipeB:t2hi": 1 / 3})
    np.testing.assert_allclose(L["recipe:t2"], np.eye(9)[5:], atol=1e-12)


def test_tests_do_not_depend_on_the_reference_category():
    frame = unbalanced_cake()
    other = frame.assign(
        recipe=pd.Categorical(frame["recipe"].astype(str), ["C", "A", "B"]),
        t2=pd.Categorical(frame["t2"].astype(str), ["mid", "hi", "lo"]),
    )
    one, two = (
        anova(bm.lmer("angle ~ recipe * t2 + (1 | recipe:replicate)", f)).to_frame() for f in (frame, other)
    )
    np.testing.assert_allclose(one["statistic"], two["statistic"], rtol=1e-6)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("angle ~ 0 + recipe + (1 | replicate)", "need an intercept"),
        ("angle ~ recipe:temp + (1 | replicate)", "margins of every interaction"),
        ("angle ~ temp + I(2 * temp) + recipe + (1 | replicate)", r"I\(2 \* temp\) had to be left out"),
    ],
)
@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_where_type_iii_is_not_defined(formula, message):
    with pytest.raises(DataError, match=message):
        anova(bm.lmer(formula, bm.load_dataset("cake")))


def test_ddf_is_needed():
    fit = bm.lmer("angle ~ temp + (1 | replicate)", bm.load_dataset("cake"))
    with pytest.raises(BayesMLMError, match="F tests need"):
        anova(fit, ddf="lme4")
    with pytest.raises(BayesMLMError, match="REML"):
        anova(fit.refit(reml=False), ddf="kenward-roger")


def test_intercept_alone_has_no_terms():
    result = anova(bm.lmer("angle ~ 1 + (1 | replicate)", bm.load_dataset("cake")))
    assert len(result.to_frame()) == 0
    assert "Type III" in str(result)
    assert "Type III" in result._repr_html_()
