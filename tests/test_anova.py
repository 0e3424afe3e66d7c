"""Likelihood-ratio tests: lme4's numbers and print, nested models, and variances on their boundary."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from random_designs import random_frame
from reference_models import REFERENCE
from scipy import stats
from test_ddf import frame_for
from test_reference import FILES

import bayesmlm as bm
from bayesmlm.anova_tables import anova
from bayesmlm.errors import BayesMLMError, DataError
from bayesmlm.reference import lrt
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.reference.pooling import complete_pooling

PRINTED = json.loads((REFERENCE / "lme4_anova.json").read_text())


def fits_of(formulas, frame, reml=True, **extra):
    return [bm.lmer(f, frame, reml, **extra) if "|" in f else bm.lm(f, frame, **extra) for f in formulas]


# -- lme4 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hsb_anova", "va_anova"])
def test_numbers_are_lme4s(name):
    entry = FILES["lme4"][name]
    frame = bm.load_dataset(entry["data"].removesuffix(".csv"))
    if name == "hsb_anova":
        frame = frame.assign(cses=frame["SES"] - frame["MEANSES"])
    table = anova(*fits_of(entry["formulas"], frame, entry["REML"])).to_frame()
    assert table["npar"].tolist() == entry["npar"]
    # lme4's default optimiser stops within 1e-5 of the minimum
    assert np.all(table["deviance"] <= np.array(entry["deviance"]) + 1e-6)
    for ours, theirs in (("aic", "AIC"), ("bic", "BIC"), ("loglik", "logLik"), ("deviance", "deviance")):
        np.testing.assert_allclose(table[ours], entry[theirs], rtol=0, atol=1e-5)
    assert table["chisq"].iloc[1] == pytest.approx(entry["chisq"], abs=1e-5)
    assert table["df"].iloc[1] == entry["df"]
    assert table["p_value"].iloc[1] == pytest.approx(entry["p"], rel=5e-6)
    assert np.isnan(table[["chisq", "df", "p_value"]].to_numpy()[0]).all()


@pytest.mark.parametrize("name", PRINTED)
def test_prints_and_returns_what_lme4_does(name):
    entry = PRINTED[name]
    result = anova(*fits_of(entry["formulas"], frame_for(entry["data"]), entry["reml"]), refit=entry["refit"])
    printed = [line.rstrip() for line in str(result).split("\n")]
    assert printed[: len(entry["printed"])] == entry["printed"]
    table = result.to_frame()
    assert list(table.index) == entry["models"]
    columns = {"npar": "npar", "aic": "AIC", "bic": "BIC", "loglik": "logLik", "deviance": "deviance"}
    for ours, theirs in (columns | {"chisq": "chisq", "df": "df", "p_value": "p"}).items():
        expected = np.array(entry[theirs], dtype=float)
        np.testing.assert_allclose(table[ours], expected, rtol=1e-5, atol=1e-6)


# -- the boundary ---------------------------------------------------------------------------------------------

SMALL_TO_LARGE = {
    # small model, large model, relation, mixture
    "one variance": ("(1 | a)", "(1 | a) + (1 | b)", lrt.BOUNDARY, ((0, 0.5), (1, 0.5))),
    "slope and its covariance": ("(1 | a)", "(x | a)", lrt.BOUNDARY, ((1, 0.5), (2, 0.5))),
    "second slope": ("(x | a)", "(x + z | a)", lrt.BOUNDARY, ((2, 0.5), (3, 0.5))),
    "uncorrelated slope": ("(1 | a)", "(x || a)", lrt.BOUNDARY, ((0, 0.5), (1, 0.5))),
    "two variances": (
        "(1 | a)",
        "(1 | a) + (1 | b) + (1 | d)",
        lrt.BOUNDARY,
        ((0, 0.25), (1, 0.5), (2, 0.25)),
    ),
    "covariance of two variances": ("(x || a)", "(x | a)", lrt.REGULAR, ()),
    "two slopes with covariances": ("(1 | a)", "(x + z | a)", lrt.NO_MIXTURE, ()),
    "variance and covariance freed": ("(x || a)", "(x + z | a)", lrt.NO_MIXTURE, ()),
    "block of two": ("(1 | a)", "(1 | a) + (x | b)", lrt.NO_MIXTURE, ()),
    "other factor": ("(1 | b)", "(x | a)", lrt.NOT_NESTED, ()),
    "covariance removed": ("(x | a)", "(x || a) + (z | b)", lrt.NOT_NESTED, ()),
    "other origin": ("(1 + x | a)", "(1 + I(x - 40) + z | a)", lrt.BOUNDARY, ((2, 0.5), (3, 0.5))),
}


@pytest.fixture(scope="module")
def frame():
    return random_frame(seed=6)


@pytest.mark.parametrize("case", SMALL_TO_LARGE)
def test_what_a_larger_random_part_adds(case, frame):
    small, large, relation, mixture = SMALL_TO_LARGE[case]
    result = anova(*fits_of([f"y ~ x + {part}" for part in (large, small)], frame))
    row = result.rows[1]
    assert row.model.name == "m0"
    assert (row.relation, row.mixture) == (relation, mixture)
    if mixture:
        expected = sum(w * (stats.chi2.sf(row.chisq, df) if df else row.chisq <= 0) for df, w in mixture)
        assert row.p_boundary == pytest.approx(expected, rel=1e-12)
        assert row.p_boundary <= row.p_value
        assert "conservative" in str(result)
        assert " + ".join(f"{w:g} chi2({df})" for df, w in mixture) in str(result)
    else:
        assert np.isnan(row.p_boundary)
    words = {lrt.NO_MIXTURE: "no simple mixture", lrt.NOT_NESTED: "! m0 against m1: not nested"}
    assert words.get(relation, "") in str(result)
    if relation == lrt.REGULAR:
        assert str(result).split("\n")[-1].startswith(("Signif", "m0"))


def test_boundary_p_value_holds_its_level():
    """Under a between-group variance of 0 the deviances are the mixture's: P(p_boundary < .1) is .1, not .05."""
    rng = np.random.default_rng(8)
    frame = random_frame()
    design = bm.lmer("y ~ 1 + (1 | a)", frame).design
    balanced = np.arange(90) % 30
    block = dataclasses.replace(design.blocks[0], index=balanced, levels=tuple(map(str, range(30))))
    chisq = []
    for _ in range(400):
        simulated = dataclasses.replace(design, y=rng.normal(size=90), blocks=(block,))
        chisq.append(
            max(0.0, 2 * (fit_lmer(simulated, reml=False).loglik - complete_pooling(simulated).loglik))
        )
    p = np.array([lrt.mixture_p(c, ((0, 0.5), (1, 0.5))) for c in chisq])
    plain = stats.chi2.sf(chisq, 1)
    sd = np.sqrt(0.1 * 0.9 / 400)
    assert abs(np.mean(p < 0.1) - 0.1) < 4 * sd
    assert abs(np.mean(plain < 0.1) - 0.05) < 4 * sd


def test_fixed_effects_alone_are_a_plain_chi_square(frame):
    result = anova(*fits_of(["y ~ 1 + (x | a)", "y ~ x + z + (x | a)"], frame))
    assert (result.rows[1].relation, result.rows[1].df) == (lrt.REGULAR, 2)
    assert "conservative" not in str(result)


def test_variances_and_fixed_effects_at_once(frame):
    result = anova(*fits_of(["y ~ 1 + (1 | a)", "y ~ x + (x | a)"], frame))
    assert result.rows[1].relation == lrt.FIXED_TOO
    assert "variances and fixed effects at once" in str(result)
    assert np.isnan(result.to_frame()["p_boundary"]).all()


def test_fixed_parts_are_nested_by_what_they_span(frame):
    same = anova(*fits_of(["y ~ I(x - 3) + (1 | a)", "y ~ x + z + (1 | a)"], frame))
    other = anova(*fits_of(["y ~ log(x) + (1 | a)", "y ~ x + z + (1 | a)"], frame))
    assert same.rows[1].relation == lrt.REGULAR
    assert other.rows[1].relation == lrt.NOT_NESTED
    assert "not nested" in str(other)


def test_offsets_are_part_of_the_fixed_part(frame):
    one = bm.lmer("y ~ x + (1 | a)", frame, offset=3 * frame["x"])
    other = bm.lmer("y ~ x + (1 | a)", frame, offset="o")
    larger = bm.lmer("y ~ x + z + (1 | a)", frame)
    assert anova(one, larger).rows[1].relation == lrt.REGULAR
    assert anova(other, larger).rows[1].relation == lrt.NOT_NESTED


def test_groups_are_compared_by_their_rows_not_by_their_names(frame):
    frame = frame.assign(same=frame["a"].map(lambda a: f"g{99 - int(a)}"))
    result = anova(*fits_of(["y ~ x + (1 | same)", "y ~ x + (x | a)"], frame))
    assert result.rows[1].relation == lrt.BOUNDARY


# -- linear models ---------------------------------------------------------------------------------------------


def test_linear_model_is_the_model_without_groups():
    frame = bm.load_dataset("sleepstudy")
    result = anova(bm.lm("Reaction ~ Days", frame), bm.lmer("Reaction ~ Days + (1 | Subject)", frame))
    table = result.to_frame()
    assert table.loc["m0", "npar"] == 3
    assert result.rows[1].mixture == ((0, 0.5), (1, 0.5))
    assert table.loc["m1", "p_boundary"] == pytest.approx(table.loc["m1", "p_value"] / 2, rel=1e-12)


def test_linear_model_with_other_columns_is_not_nested(frame):
    assert anova(*fits_of(["y ~ z", "y ~ x + (1 | a)"], frame)).rows[1].relation == lrt.NOT_NESTED


def test_weighted_models(frame):
    weighted = fits_of(["y ~ x", "y ~ x + (1 | a)"], frame, weights="w")
    assert anova(*weighted).rows[1].relation == lrt.BOUNDARY
    with pytest.raises(DataError, match="m0 and m1 have different weights"):
        anova(bm.lm("y ~ x", frame), weighted[1])
    with pytest.raises(DataError, match="different weights"):
        anova(bm.lmer("y ~ 1 + (1 | a)", frame), weighted[1])


# -- names, order, errors ------------------------------------------------------------------------------------


def test_models_are_ordered_and_keep_their_names(frame):
    fits = fits_of(["y ~ x + z + (1 | a)", "y ~ 1 + (1 | a)", "y ~ x + (1 | a)"], frame, reml=False)
    assert list(anova(*fits).to_frame().index) == ["m1", "m2", "m0"]
    named = anova(*fits, model_names=["full", "empty", "x only"])
    assert list(named.to_frame().index) == ["empty", "x only", "full"]
    assert "x only: y ~ x + (1 | a)" in str(named)
    assert "refitting" not in str(named)
    with pytest.raises(BayesMLMError, match="3 different names"):
        anova(*fits, model_names=["a", "b"])


def test_given_fits_stay_as_they_are(frame):
    fits = fits_of(["y ~ 1 + (1 | a)", "y ~ x + (1 | a)"], frame)
    assert str(anova(*fits)).startswith("refitting model(s) with ML (instead of REML)\nModels:")
    assert all(f.estimate.reml for f in fits)
    restricted = anova(*fits, refit=False)
    assert restricted.to_frame()["deviance"].tolist() == [f.estimate.criterion for f in fits]
    assert "restricted" in str(restricted)
    with pytest.raises(BayesMLMError, match="refit=True"):
        anova(fits[0], fits[1].refit(reml=False), refit=False)


def test_same_size_has_no_p_value(frame):
    result = anova(*fits_of(["y ~ x + (1 | a)", "y ~ z + (1 | a)"], frame))
    assert np.isnan(result.to_frame()["p_value"]).all()
    assert result.rows[1].df == 0


def test_notebook_page(frame):
    page = anova(*fits_of(["y ~ 1 + (1 | a)", "y ~ x + (x | a)"], frame))._repr_html_()
    assert "Pr(&gt;Chisq)" in page
    assert "conservative" in page


def test_other_rows_are_an_error(frame):
    fit = bm.lmer("y ~ x + (1 | a)", frame)
    holes = frame.assign(z=frame["z"].where(frame["z"] > -2.5))
    fewer = bm.lmer("y ~ x + z + (1 | a)", holes)
    with pytest.raises(DataError, match=rf"m1 has {fewer.nobs} rows and m0 90"):
        anova(fit, fewer)
    with pytest.raises(DataError, match="different rows or responses"):
        anova(fit, bm.lmer("log(y) ~ x + z + (1 | a)", frame))
    with pytest.raises(DataError, match="different rows or responses"):
        anova(fit, bm.lmer("y ~ x + z + (1 | a)", frame.sample(frac=1, random_state=1)))


def test_what_cannot_be_compared(frame):
    fit = bm.lmer("y ~ x + (1 | a)", frame)
    with pytest.raises(BayesMLMError, match=r"anova\(m0, m1\)"):
        anova()
    with pytest.raises(BayesMLMError, match="not str"):
        anova(fit, "y ~ x")
    with pytest.raises(BayesMLMError, match="at least one model by lmer"):
        anova(bm.lm("y ~ x", frame), bm.lm("y ~ 1", frame))
