"""Reference fits against lme4 and lm (tests/reference), against themselves in other units, and their errors."""

from __future__ import annotations

import dataclasses
import functools
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from random_designs import FORMULAS, random_design, random_frame, random_theta

from bayesmlm.crossprod import cross_products, orthogonal_basis
from bayesmlm.datasets import load_dataset
from bayesmlm.design import Block, Design, build_design
from bayesmlm.errors import DataError, DataWarning
from bayesmlm.reference.deviance import criterion
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.reference.optimise import lower_triangular, minimise, search
from bayesmlm.reference.pooling import complete_pooling, no_pooling

FOLDER = Path(__file__).parent / "reference"
FILES = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in ("lme4", "lme4_tight")}
PRESENT = "ATT8SCR > 0 and PTFSM6CLA1A > 0 and PERCTOT > 0 and PNUMEAL > 0"

# Five significant digits, of the quantity or of its own uncertainty, whichever is larger. lme4 gives up at a
# criterion within some 1e-10 of its minimum, where theta is within 1e-5 of its standard error of the optimum.
RTOL = 1e-5


@dataclass(frozen=True)
class Loose:
    """An entry of lme4.json whose optimiser stopped early: what it differs by; its twin in lme4_tight.json does not.

    `gap` is how far lme4's criterion stays above the minimum.
    """

    rtol: float
    gap: float = 1e-6


LOOSE = {
    "hsb_mod3": Loose(1e-4),
    "hsb_mod4": Loose(3e-4),
    "imm_model4": Loose(1e-4),
    "imm_model5": Loose(1e-4),
    "va_m1_rs": Loose(1e-4),
    "eng_lme3": Loose(1e-4),  # singular: theta[2] = 2.4e-5 there, 0 here
    "eng_lme9": Loose(1e-4),
    "eng_slope_only": Loose(1e-4),
    "eng_uncorr": Loose(1e-4),
    "eng_corr": Loose(0.2, gap=0.25),  # nloptwrap stops 0.248 above the minimum that bobyqa finds
    "sleep_corr_reml": Loose(1e-4),
    "sleep_corr_ml": Loose(1e-4),
    "sleep_uncorr_ml": Loose(1e-4),
    "penicillin": Loose(1e-4),
}


def entries(kind):
    return [
        pytest.param(f, key, id=f"{f}:{key}")
        for f in FILES
        for key, e in FILES[f].items()
        if e["kind"] == kind
    ]


def frame_of(entry) -> pd.DataFrame:
    data = load_dataset(entry["data"].removesuffix(".csv"))
    if entry["data"].startswith("england"):
        data = data.query(PRESENT)
    return data.assign(w=1 + data["Days"] / 3, o=10.0 * data["Days"]) if "weights" in entry["prep"] else data


@functools.cache
def design_of(file: str, key: str) -> Design:
    entry = FILES[file][key]
    extra = {"weights": "w"} if "weights" in entry["prep"] else {}
    extra |= {"offset": "o"} if "offset" in entry["prep"] else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return build_design(entry["formula"], frame_of(entry), **extra)


@functools.cache
def fit_of(file: str, key: str):
    return fit_lmer(design_of(file, key), reml=FILES[file][key]["REML"])


# -- lme4 ------------------------------------------------------------------------------------------


def components(fit, entry, kind):
    """Return our and lme4's standard deviations, or correlations."""
    table = fit.varcorr.to_frame()
    theirs = entry["varcorr"]
    assert list(table["grp"]) == [row["grp"] for row in theirs]
    keep = [(row["var2"] is None) == (kind == "sd") for row in theirs]
    # R has no number for the correlation with an effect of variance 0
    lme4 = np.array([np.nan if row["sdcor"] is None else row["sdcor"] for row in theirs], dtype=float)
    return table["sdcor"].to_numpy()[keep], lme4[keep]


def group_effects(fit, entry, field):
    """Return our and lme4's values for the first ten levels, the columns of a factor's blocks side by side."""
    ours, theirs, scale = [], [], []
    for group, expected in entry["ranef"].items():
        blocks = [r for r in fit.ranef if r.group == group]
        m = len(expected["levels"])
        assert list(blocks[0].levels[:m]) == expected["levels"]
        assert [c for r in blocks for c in r.columns] == expected["terms"]
        sd, value = np.array(expected["cond_sd"], dtype=float), np.array(expected["values"], dtype=float)
        if field == "ss":
            ours.append(np.hstack([(r.mode**2).sum(axis=0) for r in blocks]))
            theirs.append(np.array(expected["ss"], dtype=float))
            scale.append(theirs[-1])
        else:
            ours.append(np.hstack([getattr(r, field)[:m] for r in blocks]).ravel())
            theirs.append((value if field == "mode" else sd).ravel())
            scale.append((np.abs(value) + sd if field == "mode" else sd).ravel())
    return np.concatenate(ours), np.concatenate(theirs), np.concatenate(scale)


def fixed(e, field):
    return np.array(e["fixef"][field], dtype=float)


# quantity -> our value, lme4's, and the size of an error that would matter
QUANTITIES = {
    "fixef": lambda f, e: (f.beta, fixed(e, "estimate"), np.abs(fixed(e, "estimate")) + fixed(e, "se")),
    "se": lambda f, e: (f.se, fixed(e, "se"), fixed(e, "se")),
    "vcov": lambda f, e: (f.vcov, np.array(e["vcov"]), 2 * np.outer(fixed(e, "se"), fixed(e, "se"))),
    "sigma": lambda f, e: (f.sigma, e["sigma"], e["sigma"]),
    "theta": lambda f, e: (f.theta, np.array(e["theta"]), np.linalg.norm(e["theta"])),
    "sd": lambda f, e: (*(s := components(f, e, "sd")), s[1]),
    "corr": lambda f, e: (*components(f, e, "corr"), 1.0),
    "fitted": lambda f, e: (f.fitted[:10], np.array(e["fitted_head"]), e["sigma"]),
    "fixed part": lambda f, e: (f.linear_predictor_fixed[:10], np.array(e["pred_fixed_head"]), e["sigma"]),
    "scaled residuals": lambda f, e: (
        np.quantile(f.scaled_residuals, [0, 0.25, 0.5, 0.75, 1]),
        np.array(e["scaled_resid"]),
        1.0,
    ),
    "ranef": lambda f, e: group_effects(f, e, "mode"),
    "conditional sd": lambda f, e: group_effects(f, e, "sd"),
    "sum of squares of ranef": lambda f, e: group_effects(f, e, "ss"),
}


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize(("file", "key"), entries("lmer"))
def test_estimate_is_lme4s(file, key, quantity):
    fit, entry = fit_of(file, key), FILES[file][key]
    ours, theirs, scale = QUANTITIES[quantity](fit, entry)
    rtol = LOOSE[key].rtol if file == "lme4" and key in LOOSE else RTOL
    assert np.shape(ours) == np.shape(theirs)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    error = np.nan_to_num(np.abs(ours - theirs))
    assert np.all(error <= rtol * scale + 1e-12), (
        f"off by {np.max(error / (scale + 1e-300)):.1e}, allowed {rtol}"
    )


@pytest.mark.parametrize(("file", "key"), entries("lmer"))
def test_criterion_is_lme4s_or_lower(file, key):
    fit, entry = fit_of(file, key), FILES[file][key]
    gap = LOOSE[key].gap if file == "lme4" and key in LOOSE else 1e-6
    npar = len(entry["theta"]) + len(entry["fixef"]["names"]) + 1
    assert -gap <= fit.criterion - entry["criterion"] <= 1e-6
    assert fit.loglik == pytest.approx(entry["logLik"], abs=0.5 * gap)
    assert fit.aic == pytest.approx(entry["AIC"], abs=gap)
    assert fit.bic == pytest.approx(entry["BIC"], abs=gap)
    assert (fit.nobs, fit.df_resid, fit.n_parameters) == (entry["nobs"], entry["df_resid"], npar)


@pytest.mark.parametrize(("file", "key"), entries("lmer"))
def test_names_and_status_are_lme4s(file, key):
    fit, entry = fit_of(file, key), FILES[file][key]
    assert list(fit.coefficients) == entry["fixef"]["names"]
    assert {r.group: len(r.levels) for r in fit.ranef} == entry["ngrps"]
    assert fit.converged
    assert fit.singular is entry["singular"]
    assert ("singular" in fit.status) is entry["singular"]


def test_every_loose_entry_has_a_tight_twin():
    assert set(LOOSE) <= set(FILES["lme4_tight"])


def test_zero_variance_is_exactly_zero():
    fit = fit_of("lme4", "dyestuff2")
    assert fit.theta.tolist() == [0.0]
    assert fit.varcorr.sd["Batch"].tolist() == [0.0]
    assert np.all(fit.ranef[0].sd == 0)
    assert "variance is estimated as 0 in (1 | Batch)" in fit.status


def test_correlation_on_the_boundary_is_exactly_one():
    fit = fit_of("lme4", "eng_lme3")
    assert fit.theta[2] == 0.0
    assert fit.varcorr.corr["OFSTEDRATING"].iloc[0, 1] == pytest.approx(1, abs=1e-12)
    assert "correlation is estimated as -1 or 1 in (1 + log(PTFSM6CLA1A) | OFSTEDRATING)" in fit.status


def test_singular_covariance_of_three_columns_says_its_rank():
    assert "rank 2 of 3 in (1 + cses + MINORITY | SCHOOL)" in fit_of("lme4_tight", "hsb_three").status


# -- the minimum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
@pytest.mark.parametrize("reml", [False, True], ids=["ML", "REML"])
def test_no_theta_does_better(formula, reml):
    design = random_design(formula, seed=2, weighted=True)
    fit = fit_lmer(design, reml)
    cp = cross_products(design, orthogonal_basis(design))
    assert fit.converged
    assert criterion(cp, fit.theta, reml) == pytest.approx(fit.criterion, rel=1e-12)
    far = [random_theta(design, seed) for seed in range(40)]
    near = [fit.theta + 1e-2 * (theta - fit.theta) for theta in far]
    assert min(criterion(cp, theta, reml) for theta in far + near) >= fit.criterion - 1e-8


def test_search_leaves_the_saddle_at_zero():
    design = random_design(FORMULAS["crossed"])
    cp = cross_products(design, orthogonal_basis(design))
    from_zero = search(cp, True, [np.zeros((1, 1))] * 2)
    assert from_zero.converged
    assert from_zero.ranks == (1, 1)
    assert from_zero.criterion == pytest.approx(minimise(cp, True).criterion, abs=1e-8)


@pytest.mark.parametrize("seed", [14, 93])
def test_search_does_not_crawl_along_the_valley_of_a_covariance_that_is_nearly_singular(seed):
    rng = np.random.default_rng(seed)
    n, groups = int(rng.integers(40, 150)), int(rng.integers(5, 12))
    g = rng.integers(0, groups, n)
    x, z = rng.normal(size=(2, n))
    u = rng.normal(size=groups)[g]
    y = 1 + x + 0.4 * u * x * rng.choice([0, 1]) + 0.3 * u * rng.choice([0, 1]) + rng.normal(size=n)
    frame = pd.DataFrame({"y": y, "x": x, "z": z, "g": g})
    fit = fit_lmer(build_design("y ~ x + z + (x + z | g)", frame))
    assert fit.converged
    assert fit.singular


def test_lower_triangular_factor_of_a_singular_matrix_has_columns_of_zeros():
    factor = np.array([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0], [1.0, 2.0, 0.0]])
    lam = lower_triangular(factor)
    np.testing.assert_allclose(lam @ lam.T, factor @ factor.T, atol=1e-14)
    np.testing.assert_array_equal(lam, np.tril(lam))
    assert np.all(lam[:, 0] == 0)
    assert np.all(np.diag(lam) >= 0)


def test_response_without_variation_within_groups_does_not_converge():
    frame = random_frame()
    frame["y"] = frame["a"].astype(float)
    fit = fit_lmer(build_design("y ~ 1 + (1 | a)", frame))
    assert not fit.converged
    assert "vary within groups" in fit.status


def test_variance_of_groups_that_are_fixed_effects_too_does_not_converge():
    fit = fit_lmer(build_design("y ~ a + (1 | a)", random_frame()))
    assert not fit.converged
    assert "does not depend on a variance of the groups" in fit.status


# -- other units -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "formula", [FORMULAS["slopes"], FORMULAS["crossed slopes"], FORMULAS["uncorrelated"]]
)
@pytest.mark.parametrize("reml", [False, True], ids=["ML", "REML"])
def test_fit_does_not_depend_on_units(formula, reml):
    frame = random_frame(seed=4)
    other = frame.assign(y=1e6 + 1e3 * frame["y"], x=1e-3 * frame["x"])
    one, two = (fit_lmer(build_design(formula, f), reml) for f in (frame, other))
    unit = np.array([1e-3 if name == "x" else 1.0 for name in one.coefficients])
    origin = np.where(np.array(one.coefficients) == "(Intercept)", 1e6, 0.0)
    np.testing.assert_allclose((two.beta - origin) * unit / 1e3, one.beta, rtol=1e-6)
    np.testing.assert_allclose(two.se * unit / 1e3, one.se, rtol=1e-6)
    assert two.sigma / 1e3 == pytest.approx(one.sigma, rel=1e-7)
    for a, b in zip(one.varcorr.blocks, two.varcorr.blocks, strict=True):
        scale = np.array([1e-3 if name == "x" else 1.0 for name in a.columns])
        np.testing.assert_allclose(b.sd * scale / 1e3, a.sd, rtol=1e-5, atol=1e-6)
    jacobian = 2 * (one.nobs - (len(one.beta) if reml else 0)) * np.log(1e3)
    jacobian += 2 * np.log(1e-3) * reml
    assert two.criterion - jacobian == pytest.approx(one.criterion, rel=1e-9)


def test_slope_on_calendar_years_is_that_on_centred_years():
    frame = random_frame(seed=5).assign(
        year=lambda d: 2000 + np.round(d["x"]), c=lambda d: np.round(d["x"]) - 40
    )
    frame["y"] += 2 * frame["c"]
    raw, centred = (fit_lmer(build_design(f"y ~ {v} + ({v} | a)", frame)) for v in ("year", "c"))
    assert raw.criterion == pytest.approx(centred.criterion, abs=1e-7)
    assert raw.beta[1] == pytest.approx(centred.beta[1], rel=1e-7)
    assert raw.varcorr.sd["a"]["year"] == pytest.approx(centred.varcorr.sd["a"]["c"], rel=1e-5)


def test_many_rows_and_levels_take_little_time_and_memory():
    n, J = 70_000, 3_000
    rng = np.random.default_rng(3)
    school = rng.permutation(np.arange(n) % J)
    x = rng.normal(50, 20, n)
    X = np.column_stack([np.ones(n), x])
    b = rng.normal(size=(J, 2)) * [1.0, 0.02]
    y = 3 + 0.1 * x + (b[school] * X).sum(axis=1) + 2 * rng.normal(size=n)
    block = Block("school", "school", ("(Intercept)", "x"), tuple(map(str, range(J))), school, X, None)
    fit = fit_lmer(Design(None, "y", y, X, ("(Intercept)", "x"), (block,), None, None, {}, n))
    assert fit.converged
    np.testing.assert_allclose(fit.varcorr.sd["school"], [1.0, 0.02], rtol=0.15)
    assert fit.sigma == pytest.approx(2.0, rel=0.02)


# -- errors ----------------------------------------------------------------------------------------


def lmer_error(formula, frame):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        design = build_design(formula, frame)
    with pytest.raises(DataError) as caught:
        fit_lmer(design)
    return str(caught.value)


def test_no_group_effects():
    assert "lm()" in lmer_error("y ~ x", random_frame())


def test_as_many_levels_as_rows():
    message = lmer_error("y ~ x + (1 | row)", random_frame().assign(row=np.arange(90).astype(str)))
    assert "90 levels for 90 rows" in message
    assert "(1 | row)" in message


def test_as_many_effects_as_rows():
    message = lmer_error("y ~ x + (x | pair)", random_frame().assign(pair=(np.arange(90) // 2).astype(str)))
    assert "2 effects for each of 45 levels, 90 in all, for 90 rows" in message
    assert "(1 + x | pair)" in message


def test_response_among_the_predictors():
    assert "exactly" in lmer_error("y ~ I(2 * y) + (1 | a)", random_frame())


# -- complete pooling and no pooling -----------------------------------------------------------------


@pytest.mark.parametrize(("file", "key"), entries("lm"))
def test_complete_pooling_is_lm(file, key):
    entry = FILES[file][key]
    fit = complete_pooling(design_of(file, key))
    assert list(fit.coefficients) == entry["names"]
    np.testing.assert_allclose(fit.estimate, entry["estimate"], rtol=1e-9)
    np.testing.assert_allclose(fit.se, entry["se"], rtol=1e-9)
    np.testing.assert_allclose(fit.estimate / fit.se, entry["t"], rtol=1e-9)
    assert fit.sigma == pytest.approx(entry["sigma"], rel=1e-9)
    assert fit.nobs == entry["nobs"]
    assert fit.df_resid == entry["nobs"] - len(entry["names"])
    for ours, theirs in (("loglik", "logLik"), ("aic", "AIC"), ("bic", "BIC")):
        if theirs in entry:
            assert getattr(fit, ours) == pytest.approx(entry[theirs], rel=1e-10)
    if "offset" not in entry["prep"]:  # R 4.2.2 counts the offset among what the model explains
        assert fit.r2 == pytest.approx(entry["r2"], rel=1e-9)
        assert fit.adj_r2 == pytest.approx(entry["adj_r2"], rel=1e-9)


def test_r2_leaves_the_offset_out():
    frame = random_frame()
    with_offset = complete_pooling(build_design("y ~ x", frame, offset="o"))
    by_hand = complete_pooling(build_design("I(y - o) ~ x", frame))
    assert with_offset.r2 == pytest.approx(by_hand.r2, rel=1e-12)
    np.testing.assert_allclose(with_offset.residuals, by_hand.residuals, atol=1e-10)
    np.testing.assert_allclose(with_offset.fitted, by_hand.fitted + frame["o"], rtol=1e-12)


def test_no_pooling_of_intercepts_is_lm_with_a_dummy_per_school():
    entry = FILES["lme4"]["gcse_nopooled"]
    fit = no_pooling(design_of("lme4", "gcse_m2"), "school")
    assert [f"school{level}" for level in fit.levels] + ["femaleF"] == entry["names"]
    np.testing.assert_allclose(fit.estimate[:, 0], entry["estimate"][:-1], rtol=1e-9)
    np.testing.assert_allclose(fit.se[:, 0], entry["se"][:-1], rtol=1e-9)
    assert fit.common.coefficients == ("femaleF",)
    np.testing.assert_allclose(fit.common.estimate, entry["estimate"][-1:], rtol=1e-9)
    np.testing.assert_allclose(fit.common.se, entry["se"][-1:], rtol=1e-9)
    assert fit.sigma == pytest.approx(entry["sigma"], rel=1e-10)
    assert fit.absorbed == ()
    assert fit.n.sum() == entry["nobs"]


def test_no_pooling_of_slopes_is_a_regression_per_school():
    entry = FILES["lme4_tight"]["gcse_by_school"]
    fit = no_pooling(design_of("lme4", "gcse_m3"), "school")
    expected = np.array(entry["estimate"], dtype=float)  # None, NaN here, for schools with one sex only
    assert list(fit.levels) == entry["levels"]
    both = ~np.isnan(expected).any(axis=1)
    np.testing.assert_allclose(fit.estimate[both], expected[both], rtol=1e-9, atol=1e-9)
    assert np.isnan(fit.estimate[~both, 1]).all()
    assert fit.common.coefficients == ()
    assert fit.sigma == pytest.approx(entry["sigma"], rel=1e-9)
    assert fit.df_resid == entry["df_resid"]


def test_level_that_does_not_determine_a_coefficient_has_none():
    frame = pd.DataFrame({"g": list("aaaabbbc"), "f": list("MFMFFFFM"), "y": [1.0, 2, 4, 5, 7, 8, 9, 3]})
    frame["f"] = pd.Categorical(frame["f"], ["M", "F"])
    fit = no_pooling(build_design("y ~ f + (f | g)", frame), "g")
    # b has women only: their mean is not the men's; c has one man: the intercept is his
    np.testing.assert_allclose(fit.estimate, [[2.5, 1.0], [np.nan, np.nan], [3.0, np.nan]])
    np.testing.assert_array_equal(np.isnan(fit.se), np.isnan(fit.estimate))


def test_predictors_constant_within_levels_are_absorbed():
    fit = no_pooling(design_of("lme4", "hsb_mod4"), "SCHOOL")
    assert set(fit.absorbed) == {"MEANSES", "SECTOR", "cses:MEANSES", "cses:SECTOR"}
    assert fit.common.coefficients == ()


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights and offset"])
def test_no_pooling_is_least_squares_on_all_dummies(weighted):
    design = random_design("y ~ x + z + (0 + z | a)", weighted=weighted)
    fit = no_pooling(design, "a")
    dummies = np.eye(12)[design.blocks[0].index] * design.blocks[0].Z
    wide = dataclasses.replace(
        design,
        X=np.column_stack([np.ones(design.nobs), design.X[:, 1], dummies]),
        coefficients=("(Intercept)", "x", *map(str, range(12))),
    )
    expected = complete_pooling(wide)
    assert fit.common.coefficients == ("(Intercept)", "x")
    np.testing.assert_allclose(fit.common.estimate, expected.estimate[:2], rtol=1e-7)
    np.testing.assert_allclose(fit.common.vcov, expected.vcov[:2, :2], rtol=1e-7)
    np.testing.assert_allclose(fit.estimate[:, 0], expected.estimate[2:], rtol=1e-7)
    np.testing.assert_allclose(fit.se[:, 0], expected.se[2:], rtol=1e-7)
    assert fit.sigma == pytest.approx(expected.sigma, rel=1e-10)


def test_unknown_label_names_the_labels():
    with pytest.raises(DataError, match=r"no group effects labelled 'A'; there are a\. Did you mean 'a'\?"):
        no_pooling(random_design(FORMULAS["slopes"]), "A")
