"""A posterior beside the reference fit: the join, the verdicts, the words."""

import numpy as np
import pytest
from reference_models import MODELS
from synthetic import posterior_of

import bayesmlm as bm
from bayesmlm.comparison import compare_fits, same_model
from bayesmlm.design import build_design
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.report import comparison_report
from bayesmlm.report.comparison import verdict_note


def note(row):
    """The sentence behind a verdict; `row` may have its term as its name."""
    return verdict_note({"term": getattr(row, "name", None), **dict(row)}, "REML")


def posterior_at(estimate, design, **changes):
    """A posterior that sits on a reference fit, apart from some changes."""
    values = {
        "fixef": estimate.beta,
        "sd": {b.label: b.sd for b in estimate.varcorr.blocks},
        "sigma": estimate.sigma,
        "corr": {b.label: b.corr[1, 0] for b in estimate.varcorr.blocks if len(b.sd) > 1},
        "b": {r.label: r.mode for r in estimate.ranef},
    }
    return posterior_of(design, **{**values, **changes})


@pytest.fixture(scope="module")
def sleep():
    design = build_design("Reaction ~ Days + (Days | Subject)", bm.load_dataset("sleepstudy"))
    return design, fit_lmer(design)


def test_rows_and_numbers(sleep):
    design, estimate = sleep
    frame = compare_fits(posterior_at(estimate, design), estimate, design, prob=0.8).frame
    assert frame["term"].tolist() == [
        "(Intercept)",
        "Days",
        "sd__(Intercept)",
        "sd__Days",
        "cor__(Intercept).Days",
        "sd__Observation",
        "ICC",
    ]
    np.testing.assert_allclose(frame.loc[:1, "reference"], estimate.beta)
    np.testing.assert_allclose(frame.loc[:1, "reference_se"], estimate.se)
    np.testing.assert_allclose(frame["shift"], (frame["median"] - frame["reference"]) / frame["mad_sd"])
    sd = estimate.varcorr.blocks[0].sd[0]
    assert frame.loc[6, "reference"] == pytest.approx(sd**2 / (sd**2 + estimate.sigma**2))
    assert (frame["verdict"] == "agree").all()
    assert frame["probability"].isna().all()


def test_an_estimate_outside_the_interval_is_prior_sensitive(sleep):
    design, estimate = sleep
    moved = posterior_at(estimate, design, sd={"Subject": estimate.varcorr.blocks[0].sd * [1.5, 1.0]})
    frame = compare_fits(moved, estimate, design).frame.set_index("term")
    assert frame.loc["sd__(Intercept)", "verdict"] == "prior-sensitive"
    assert note(frame.loc["sd__(Intercept)"]) == "18 groups of Subject"
    assert frame.loc["sd__Days", "verdict"] == "agree"


def test_a_zero_sd_is_a_boundary():
    design = build_design("Yield ~ 1 + (1|Batch)", bm.load_dataset("dyestuff2"))
    estimate = fit_lmer(design)
    posterior = posterior_at(
        estimate, design, sd={"Batch": [0.3]}, b={"Batch": np.full((6, 1), 0.1)}, spread=0.2
    )
    comparison = compare_fits(posterior, estimate, design)
    frame = comparison.frame.set_index("term")
    small = float((posterior.blocks[0].sd[..., 0] < 0.1 * posterior.sigma).mean())
    assert 0 < small < 1
    assert frame.loc["sd__(Intercept)", "verdict"] == "boundary"
    row = frame.loc["sd__(Intercept)"]
    assert row["probability"] == pytest.approx(small)
    assert note(row) == f"REML puts it at 0; posterior P(sd < 10% of sigma) = {small:.2f}"
    assert frame.loc["ICC", "verdict"] == "boundary"
    assert np.isnan(comparison.groups["correlation"].item())
    text = str(comparison_report(comparison, "Yield ~ 1 + (1 | Batch)", estimate.status))
    assert "correlation not defined (BLUPs all equal)" in text
    assert "singular" in text


def test_a_perfect_correlation_is_a_boundary():
    data = bm.load_dataset("england_schools")
    data = data.query("ATT8SCR > 0 and PTFSM6CLA1A > 0 and PERCTOT > 0 and PNUMEAL > 0")
    formula = "log(ATT8SCR) ~ log(PTFSM6CLA1A) + (log(PTFSM6CLA1A)|OFSTEDRATING)"
    design = build_design(formula, data)
    estimate = fit_lmer(design)
    posterior = posterior_at(estimate, design, corr={"OFSTEDRATING": 0.8}, spread=0.05)
    frame = compare_fits(posterior, estimate, design).frame
    row = frame[frame["term"].str.startswith("cor__")].iloc[0]
    share = float((abs(posterior.blocks[0].corr[..., 1, 0]) > 0.9).mean())
    assert row["verdict"] == "boundary"
    assert row["probability"] == pytest.approx(share)
    assert note(row) == f"REML puts it at +1; posterior P(|r| > 0.9) = {share:.2f}"


def test_crossed_groups_are_counted_by_their_own_factor():
    formula, data = MODELS["penicillin"]
    design = build_design(formula, bm.load_dataset(data))
    estimate = fit_lmer(design)
    posterior = posterior_at(estimate, design, fixef=[30.0], sd={"plate": [2.0], "sample": [4.0]})
    frame = compare_fits(posterior, estimate, design).frame
    notes = {(row["group"], row["term"]): note(row) for _, row in frame.iterrows()}
    assert notes["plate", "sd__(Intercept)"] == "24 groups of plate"
    assert notes["sample", "sd__(Intercept)"] == "6 groups of sample"


def test_group_effects_are_compared(sleep):
    design, estimate = sleep
    shifted = estimate.ranef[0].mode.copy()
    shifted[3, 1] += 5
    groups = compare_fits(posterior_at(estimate, design, b={"Subject": shifted}), estimate, design).groups
    assert groups["term"].tolist() == ["(Intercept)", "Days"]
    assert groups.loc[0, "correlation"] > 0.9999
    assert groups.loc[1, "level"] == design.blocks[0].levels[3]
    assert groups.loc[1, "mean"] - groups.loc[1, "blup"] == pytest.approx(5, rel=0.01)


def test_report_shows_every_row_and_verdict(sleep):
    design, estimate = sleep
    comparison = compare_fits(posterior_at(estimate, design), estimate, design)
    text = str(comparison_report(comparison, "Reaction ~ Days + (Days | Subject)", ""))
    assert text.startswith("Posterior beside REML: Reaction ~ Days + (Days | Subject)")
    for row in (
        "(Intercept)",
        "Days",
        "Subject sd (Intercept)",
        "Subject cor (Intercept).Days",
        "sigma",
        "Subject ICC",
    ):
        assert any(line.startswith(row) for line in text.split("\n"))
    assert "7 agree" in text


def test_only_fits_of_one_model_are_compared(sleep):
    design, _ = sleep
    data = bm.load_dataset("sleepstudy")
    assert same_model(design, build_design("Reaction ~ Days + (1 + Days | Subject)", data))
    assert not same_model(design, build_design("Reaction ~ Days + (Days || Subject)", data))
    assert not same_model(design, build_design("Reaction ~ Days + (Days | Subject)", data.iloc[:-10]))
    assert not same_model(design, build_design("Reaction ~ Days + (1 | Subject)", data))


def test_offset_and_weights_make_another_model():
    data = bm.load_dataset("sleepstudy").assign(w=2.0)
    plain = build_design("Reaction ~ Days + (Days | Subject)", data)
    assert not same_model(plain, build_design("Reaction ~ Days + (Days | Subject)", data, offset="w"))
    assert not same_model(plain, build_design("Reaction ~ Days + (Days | Subject)", data, weights="w"))
    weighted = build_design("Reaction ~ Days + (Days | Subject)", data, weights="w")
    assert same_model(weighted, build_design("Reaction ~ Days + (Days | Subject)", data, weights="w"))


@pytest.mark.parametrize("unit", [1e-5, 1.0, 1e5])
def test_the_verdict_does_not_depend_on_the_unit_of_a_predictor(unit):
    data = bm.load_dataset("sleepstudy")
    data["x"] = data["Days"] * unit
    design = build_design("Reaction ~ x + (x | Subject)", data)
    estimate = fit_lmer(design)
    assert not estimate.singular
    frame = compare_fits(posterior_at(estimate, design), estimate, design).frame
    assert frame["verdict"].eq("agree").all()


def test_groups_of_a_second_block_are_counted_under_a_dotted_name():
    data = bm.load_dataset("sleepstudy").rename(columns={"Subject": "my.subject"})
    design = build_design("Reaction ~ Days + (Days || my.subject)", data)
    estimate = fit_lmer(design)
    sds = {b.label: b.sd * 3 for b in estimate.varcorr.blocks}
    frame = compare_fits(posterior_at(estimate, design, sd=sds), estimate, design).frame
    (row,) = frame[frame["group"] == "my.subject.1"].to_dict("records")
    assert note(row) == "18 groups of my.subject"


def test_a_model_with_slopes_only_is_compared():
    design = build_design("Reaction ~ Days + (0 + Days | Subject)", bm.load_dataset("sleepstudy"))
    estimate = fit_lmer(design)
    frame = compare_fits(posterior_at(estimate, design), estimate, design).frame
    assert "ICC" not in frame["term"].tolist()
    assert frame["verdict"].eq("agree").all()
