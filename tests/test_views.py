"""Tables behind the pictures, from posteriors made by hand, against independent computations."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic import posterior_of

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.draws import with_levels
from bayesmlm.reference.ddf import coefficient_tests
from bayesmlm.views.chains import chain_tree, energy_tree
from bayesmlm.views.coefficients import coefficient_table
from bayesmlm.views.components import component_densities, component_table, quick_profile
from bayesmlm.views.densities import density, smooth_line
from bayesmlm.views.ellipses import choose_pair, contour, effect_points, ellipse_table
from bayesmlm.views.labels import chosen_rows, row_labels
from bayesmlm.views.modes import mode_table
from bayesmlm.views.predictions import conditional_effects, group_lines, group_points
from bayesmlm.views.replications import replication_densities
from bayesmlm.views.residuals import (
    calibration_table,
    effect_quantiles,
    normal_quantiles,
    residual_table,
    spread_by_group,
)
from bayesmlm.views.typical import axis_of, few_values, grid_frame, typical_values

SLEEP = bm.load_dataset("sleepstudy")
HSB = bm.load_dataset("hsb")
FORMULA = "Reaction ~ Days + (Days | Subject)"
EXACT = 1e-12  # spread of draws that are in effect one number


def sleep(spread=0.05, formula=FORMULA, corr=0.4, seed=1):
    """The sleep study with subjects' effects of (j - 8.5) * (3, 0.5)."""
    design = build_design(formula, SLEEP)
    b = {
        block.label: np.outer(np.arange(18) - 8.5, [3.0, 0.5][: len(block.columns)])
        for block in design.blocks
    }
    sd = {block.label: [25.0, 6.0][: len(block.columns)] for block in design.blocks}
    corrs = {block.label: corr for block in design.blocks}
    made = posterior_of(
        design, fixef=[250.0, 10.0], sd=sd, corr=corrs, sigma=25.0, b=b, spread=spread, seed=seed
    )
    return design, made


def schools(spread=0.05):
    """HSB with a factor, a 0/1 number and a centred predictor."""
    data = HSB.assign(kind=np.where(HSB["SECTOR"] == 1, "catholic", "public"))
    design = build_design("MATHACH ~ cses * kind + FEMALE + (1 + cses | SCHOOL)", data)
    fixef = [14.0, 1.0, -2.0, -1.0, 1.5][: len(design.coefficients)]
    sd = {"SCHOOL": [2.0, 0.5]}
    return design, posterior_of(design, fixef=fixef, sd=sd, sigma=6.0, spread=spread, draws=50)


def flat(array):
    return array.values.reshape(-1, *array.shape[2:])


# -- coefficients ----------------------------------------------------------------------------------


def test_coefficients_are_quantiles_of_draws_and_wald_intervals():
    design, posterior = sleep()
    ref = bm.lmer(FORMULA, SLEEP)
    table = coefficient_table(
        design, posterior, ref.estimate, prob=0.8, inner=0.4, terms=["Days", "(Intercept)"]
    )
    assert table["term"].tolist() == ["Days", "(Intercept)"]
    draws = flat(posterior.fixef)[:, ::-1]
    for name, q in (
        ("estimate", 0.5),
        ("conf_low", 0.1),
        ("conf_high", 0.9),
        ("inner_low", 0.3),
        ("inner_high", 0.7),
    ):
        np.testing.assert_allclose(table[name], np.quantile(draws, q, axis=0))
    beta, reach = ref.fixef().to_numpy()[::-1], stats.norm.ppf(0.9) * ref.se().to_numpy()[::-1]
    np.testing.assert_allclose(
        table[["reference", "reference_low", "reference_high"]].T, [beta, beta - reach, beta + reach]
    )


def test_the_intercept_is_left_out_unless_it_is_alone_or_asked_for():
    design, posterior = sleep()
    assert coefficient_table(design, posterior)["term"].tolist() == ["Days"]
    assert coefficient_table(design, posterior)[["reference", "reference_low"]].isna().all(axis=None)
    alone = build_design("Reaction ~ 1 + (1 | Subject)", SLEEP)
    made = posterior_of(alone, fixef=[300.0], sd={"Subject": [30.0]}, sigma=30.0)
    assert coefficient_table(alone, made)["term"].tolist() == ["(Intercept)"]


def test_standardised_coefficients_are_per_standard_deviation_of_the_column():
    design, posterior = sleep()
    ref = bm.lmer(FORMULA, SLEEP).estimate
    plain = coefficient_table(design, posterior, ref)
    factors = {"x": SLEEP["Days"].std(), "xy": SLEEP["Days"].std() / SLEEP["Reaction"].std()}
    for how, factor in factors.items():
        table = coefficient_table(design, posterior, ref, standardize=how)
        numbers = plain.columns.drop(["term", "scale"])
        np.testing.assert_allclose(table[numbers], plain[numbers] * factor)
        assert table["scale"].tolist() == pytest.approx([factor])


def test_degrees_of_freedom_widen_the_reference_interval():
    design, posterior = sleep()
    ref = bm.lmer(FORMULA, SLEEP)
    tests = coefficient_tests(design, ref.estimate, "satterthwaite")
    table = coefficient_table(design, posterior, ref.estimate, tests=tests)
    reach = stats.t.ppf(0.95, 17.0) * ref.se()["Days"]  # balanced: 17 degrees of freedom
    assert (table["reference_high"] - table["reference"]).item() == pytest.approx(reach, rel=1e-4)


# -- variance components ---------------------------------------------------------------------------


def test_components_are_named_as_in_confint_so_that_intervals_join():
    design, posterior = sleep()
    ref = bm.lmer(FORMULA, SLEEP)
    profile = ref.confint("theta_", 0.9)
    table = component_table(design, posterior, ref.estimate, profile).set_index("parameter")
    assert set(profile.index) == set(table.index)
    np.testing.assert_allclose(table[["reference_low", "reference_high"]], profile.loc[table.index])
    varcorr = ref.estimate.varcorr
    assert table.loc["sd_Days|Subject", "reference"] == varcorr.blocks[0].sd[1]
    assert table.loc["sigma", "reference"] == varcorr.sigma
    assert table.loc["cor_Days.(Intercept)|Subject", "reference"] == varcorr.blocks[0].corr[1, 0]
    corr = posterior.blocks[0].corr.values[..., 0, 1]
    assert table.loc["cor_Days.(Intercept)|Subject", "estimate"] == pytest.approx(np.median(corr))
    assert table.loc["cor_Days.(Intercept)|Subject", "kind"] == "cor"


def test_densities_integrate_to_one_and_do_not_fall_off_at_a_bound():
    design, posterior = sleep()
    for _, curve in component_densities(design, posterior).groupby("parameter"):
        assert np.trapezoid(curve["density"], curve["value"]) == pytest.approx(1, abs=0.01)
    values = np.abs(np.random.default_rng(1).standard_normal(20_000))
    x, height = density(values, low=0.0)
    assert x[0] == 0
    # Half normal: 2 phi(0) at the bound. The error of the estimate is about sqrt(2 f / (n h 2 sqrt(pi))).
    assert height[0] == pytest.approx(2 * stats.norm.pdf(0), abs=0.06)
    assert np.trapezoid(height, x) == pytest.approx(1, abs=0.005)


def test_large_models_have_no_profile_unless_asked():
    design, _ = sleep()
    assert quick_profile(design)
    many = pd.DataFrame({"y": np.random.default_rng(1).normal(size=6000), "g": np.repeat(np.arange(2000), 3)})
    assert quick_profile(build_design("y ~ 1 + (1 | g)", many))
    wide = pd.DataFrame(
        {"y": np.random.default_rng(1).normal(size=15_003), "g": np.repeat(np.arange(5001), 3)}
    )
    assert not quick_profile(build_design("y ~ 1 + (1 | g)", wide))


# -- smooth lines ----------------------------------------------------------------------------------


def test_a_smooth_line_reproduces_a_straight_one_and_follows_a_curve():
    x = np.random.default_rng(1).uniform(0, 10, 300)
    at, line = smooth_line(x, 3 - 2 * x)
    np.testing.assert_allclose(line, 3 - 2 * at, atol=1e-9)
    at, line = smooth_line(x, (x - 5) ** 2, span=0.2)
    assert np.abs(line - (at - 5) ** 2).max() < 1.0
    at, line = smooth_line(np.array([1.0, 1, 1, 2, 2]), np.array([0.0, 3, 6, 5, 7]), span=0.4)
    np.testing.assert_allclose(line[[0, -1]], [3, 6])


# -- predictions -----------------------------------------------------------------------------------


def test_group_lines_are_fixed_plus_group_effects():
    design, posterior = sleep(EXACT)
    table = group_lines(design, posterior, "Days")
    j = np.repeat(np.arange(18) - 8.5, 50)
    expected = 250 + 3 * j + (10 + 0.5 * j) * table["x"]
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-8)
    assert table["level"].drop_duplicates().tolist() == list(design.blocks[0].levels)
    points = group_points(design, "Days")
    np.testing.assert_array_equal(points["x"], SLEEP["Days"])
    np.testing.assert_array_equal(points["y"], SLEEP["Reaction"])


def test_group_lines_of_uncorrelated_blocks_add_up():
    formula = "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)"
    design = build_design(formula, SLEEP)
    rng = np.random.default_rng(2)
    b = {block.label: rng.normal(size=(18, 1)) for block in design.blocks}
    sd = {block.label: [1.0] for block in design.blocks}
    posterior = posterior_of(design, fixef=[250.0, 10.0], sd=sd, sigma=1.0, b=b, spread=EXACT)
    by_column = {block.columns[0]: b[block.label][:, 0] for block in design.blocks}
    table = group_lines(design, posterior, "Days")
    x = table["x"].to_numpy().reshape(18, 50)
    expected = 250 + by_column["(Intercept)"][:, None] + (10 + by_column["Days"])[:, None] * x
    np.testing.assert_allclose(table["estimate"].to_numpy().reshape(18, 50), expected, rtol=1e-8)


def test_a_line_can_end_where_its_data_end():
    short = SLEEP[(SLEEP["Subject"] != "308") | SLEEP["Days"].between(2, 5)]
    design = build_design(FORMULA, short)
    posterior = posterior_of(design, fixef=[250.0, 10.0], sd={"Subject": [1.0, 1.0]}, sigma=1.0, spread=EXACT)
    table = group_lines(design, posterior, "Days", own_range=True).groupby("level")["x"].agg(["min", "max"])
    assert table.loc["308"].tolist() == [2, 5]
    assert table.drop("308").drop_duplicates().to_numpy().tolist() == [[0, 9]]


def test_categories_stand_at_0_1_and_so_on():
    design, posterior = schools(EXACT)
    axis = axis_of(design, "kind")
    assert (axis.labels, axis.positions.tolist()) == (("catholic", "public"), [0.0, 1.0])
    table = conditional_effects(design, posterior, "kind", at={"cses": 0.0, "FEMALE": 1})
    beta = dict(zip(design.coefficients, flat(posterior.fixef).mean(axis=0), strict=True))
    expected = beta["(Intercept)"] + beta["FEMALE"] + np.array([0, beta["kindpublic"]])
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-9)
    lines = group_lines(design, posterior, "kind")
    assert len(lines) == 2 * 160


def test_other_predictors_are_at_their_mean_or_first_level():
    design, _ = schools()
    values = typical_values(design)
    assert values["cses"] == pytest.approx(HSB["cses"].mean())
    assert values["FEMALE"] == pytest.approx(HSB["FEMALE"].mean())
    assert values["kind"] == "catholic"
    assert "SCHOOL" not in values
    coded = build_design("MATHACH ~ factor(FEMALE) + cses + (1 | SCHOOL)", HSB)
    assert typical_values(coded)["FEMALE"] == 0
    assert axis_of(coded, "FEMALE").labels == ("0", "1")


def test_the_grid_has_every_combination():
    design, _ = schools()
    frame = grid_frame(design, [few_values(design, "kind"), axis_of(design, "cses", 5)])
    assert len(frame) == 10
    assert frame["kind"].tolist() == ["catholic"] * 5 + ["public"] * 5
    assert few_values(design, "FEMALE").values.tolist() == [0, 1]
    mean, sd = HSB["cses"].mean(), HSB["cses"].std()
    np.testing.assert_allclose(few_values(design, "cses").values, [mean - sd, mean, mean + sd])


def test_the_band_of_a_typical_group_is_that_of_x_beta():
    design, posterior = sleep()
    table = conditional_effects(design, posterior, "Days", prob=0.8)
    eta = flat(posterior.fixef) @ np.array([np.ones(50), table["x"]])
    np.testing.assert_allclose(table["estimate"], eta.mean(axis=0))
    np.testing.assert_allclose(table[["conf_low", "conf_high"]].T, np.quantile(eta, [0.1, 0.9], axis=0))


def test_the_band_of_a_new_group_adds_the_variance_of_its_effects():
    design, posterior = sleep(spread=1e-9, corr=-0.5)
    prob = 2 * stats.norm.cdf(1) - 1
    table = conditional_effects(design, posterior, "Days", groups="new", prob=prob, seed=3)
    cov = np.array([[25.0**2, -0.5 * 25 * 6], [-0.5 * 25 * 6, 36.0]])
    z = np.column_stack([np.ones(50), table["x"]])
    sd = np.sqrt(np.einsum("ip,pq,iq->i", z, cov, z))
    width = (table["conf_high"] - table["conf_low"]).to_numpy() / 2
    # 1000 draws: the standard error of a quantile at one sd is sqrt(p (1 - p) / n) / phi(1), of half the width less.
    error = np.sqrt(0.16 * 0.84 / 1000) / stats.norm.pdf(1)
    assert (np.abs(width / sd - 1) < 4 * error).all()
    np.testing.assert_allclose(table["estimate"], 250 + 10 * table["x"], rtol=1e-6)
    again = conditional_effects(design, posterior, "Days", groups="new", prob=prob, seed=3)
    pd.testing.assert_frame_equal(table, again)


def test_a_new_group_is_the_one_that_predictions_have_for_a_missing_group(m3):
    table = m3.conditional_effects("female", groups="new", prob=0.8, seed=4)
    rows = pd.DataFrame({"female": ["M", "F"], "school": [None, None]})
    eta = m3.posterior_linpred(rows, seed=4).values.reshape(-1, 2)
    np.testing.assert_allclose(table[["conf_low", "conf_high"]].T, np.quantile(eta, [0.1, 0.9], axis=0))


def test_levels_have_their_own_effects_draw_by_draw():
    design, posterior = sleep()
    table = conditional_effects(design, posterior, "Days", groups=["308", "372"])
    assert table["level"].drop_duplicates().tolist() == ["308", "372"]
    at = design.blocks[0].levels.index("372")
    own = flat(posterior.fixef) + flat(posterior.blocks[0].b)[:, at]
    part = table[table["level"] == "372"]
    eta = own @ np.array([np.ones(50), part["x"]])
    np.testing.assert_allclose(part["conf_low"], np.quantile(eta, 0.05, axis=0))
    np.testing.assert_allclose(part["estimate"], eta.mean(axis=0))


def test_a_nested_group_is_predicted_with_its_own_effects_only():
    pastes = bm.load_dataset("pastes").assign(dose=np.tile([0.0, 1.0], 30), late=np.arange(60) % 4 == 0)
    design = build_design("strength ~ dose + late + (1 | batch/cask)", pastes)
    rng = np.random.default_rng(1)
    b = {block.label: rng.normal(size=(len(block.levels), 1)) for block in design.blocks}
    sd = {block.label: [1.0] for block in design.blocks}
    posterior = posterior_of(design, fixef=[60.0, 2.0, 1.0], sd=sd, sigma=1.0, b=b, spread=EXACT)
    for block in design.blocks:
        table = group_lines(design, posterior, "late", block.group, at={"dose": 0.0})
        own = b[block.label][:, 0]
        np.testing.assert_allclose(table["estimate"], np.add.outer(60 + own, [0.0, 1.0]).ravel(), rtol=1e-8)
        level = block.levels[3]
        known = conditional_effects(design, posterior, "dose", groups=[level], group=block.group)
        np.testing.assert_allclose(known["estimate"], 60 + 2 * known["x"] + own[3], rtol=1e-8)
    assert axis_of(design, "late").labels == ("FALSE", "TRUE")


def test_effects_that_were_not_kept_are_asked_for_only_where_needed():
    design, posterior = sleep()
    without = with_levels(posterior, [np.array([0])])
    assert len(conditional_effects(design, without, "Days", groups="new")) == 50
    with pytest.raises(bm.DataError, match="1 of the 18 levels of Subject were kept"):
        group_lines(design, without, "Days")


def test_by_gives_a_line_for_each_value():
    design, posterior = schools(EXACT)
    table = conditional_effects(design, posterior, "cses", by="kind", at={"FEMALE": 0})
    slopes = {by: np.polyfit(part["x"], part["estimate"], 1)[0] for by, part in table.groupby("by")}
    beta = dict(zip(design.coefficients, flat(posterior.fixef).mean(axis=0), strict=True))
    assert slopes["catholic"] == pytest.approx(beta["cses"])
    assert slopes["public"] == pytest.approx(beta["cses"] + beta["cses:kindpublic"])


def test_an_offset_is_at_its_mean():
    data = SLEEP.assign(shift=np.arange(180.0))
    formula = build_design("Reaction ~ Days + offset(shift) + (1 | Subject)", data)
    given = build_design("Reaction ~ Days + (1 | Subject)", data, offset=np.arange(180.0))
    for design in (formula, given):
        posterior = posterior_of(design, fixef=[250.0, 10.0], sd={"Subject": [1.0]}, sigma=1.0, spread=EXACT)
        table = conditional_effects(design, posterior, "Days")
        np.testing.assert_allclose(table["estimate"], 250 + 10 * table["x"] + 89.5)
        np.testing.assert_allclose(
            group_lines(design, posterior, "Days")["estimate"][:50], table["estimate"], rtol=1e-3
        )


# -- residuals -------------------------------------------------------------------------------------


def test_residuals_are_scaled_by_sigma_and_weight_and_the_largest_marked():
    design = build_design(FORMULA, SLEEP, weights=np.linspace(1, 2, 180))
    fitted = np.full(180, 300.0)
    table = residual_table(design, fitted, 20.0, n_outliers=2)
    np.testing.assert_allclose(table["scaled"], (design.y - 300) * np.sqrt(np.linspace(1, 2, 180)) / 20)
    np.testing.assert_allclose(table["root"] ** 2, table["scaled"].abs())
    assert set(table.index[table["outlier"]]) == set(table["root"].nlargest(2).index)
    assert table["label"].iloc[7] == "row 7"


def test_bands_of_normal_quantiles_hold_what_they_say():
    rng = np.random.default_rng(1)
    n, repeats = 40, 2000
    theory = normal_quantiles(np.zeros(n), np.arange(n), 0.9)
    sets = np.sort(rng.standard_normal((repeats, n)), axis=1)
    inside = ((sets > theory["conf_low"].to_numpy()) & (sets < theory["conf_high"].to_numpy())).mean(axis=0)
    below = (sets < theory["theoretical"].to_numpy()).mean(axis=0)
    assert (np.abs(inside - 0.9) < 4 * np.sqrt(0.09 / repeats)).all()
    assert (np.abs(below - 0.5) < 4 * np.sqrt(0.25 / repeats)).all()
    table = normal_quantiles(np.array([3.0, 1.0, 2.0]), np.array(["a", "b", "c"]))
    assert (table["label"].tolist(), table["value"].tolist()) == (["b", "c", "a"], [1, 2, 3])


def test_the_spread_of_a_level_is_what_its_own_line_leaves():
    design, _ = sleep()
    scaled = np.random.default_rng(1).standard_normal(180)
    table = spread_by_group(design, scaled).set_index("level")
    mine = (SLEEP["Subject"] == "330").to_numpy()
    left = np.polyfit(np.arange(10), scaled[mine], 1, full=True)[1][0]
    assert table.loc["330", "spread"] == pytest.approx(np.sqrt(left / 8))
    assert table.loc["330", ["n", "df"]].tolist() == [10, 8]


def test_few_levels_are_outside_if_all_have_one_spread():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(800), rng.integers(2, 9, 800))
    design = build_design("y ~ 1 + (1 | g)", pd.DataFrame({"y": rng.standard_normal(len(g)), "g": g}))
    table = spread_by_group(design, rng.standard_normal(len(g)), prob=0.9)
    assert len(table) == 800
    assert abs(table["outside"].mean() - 0.1) < 4 * np.sqrt(0.09 / 800)
    assert spread_by_group(design, 2 * rng.standard_normal(len(g)))["outside"].mean() > 0.3


def test_effects_are_compared_with_normal_quantiles_in_their_own_scale():
    design, _ = sleep()
    b = np.random.default_rng(1).normal(size=(18, 2)) * [9.0, 0.0]
    table = effect_quantiles(design, [b])
    assert table["term"].unique().tolist() == ["(Intercept)"]  # one without spread is left out
    np.testing.assert_allclose(table["value"].std(), 1)
    assert table["label"].iloc[0] == design.blocks[0].levels[int(np.argmin(b[:, 0]))]


def test_calibration_by_group_is_the_mean_of_its_rows():
    design, _ = sleep()
    fitted = np.random.default_rng(1).normal(size=180)
    table = calibration_table(design, fitted, group="Subject", highlight={"Subject": ["308", "309"]})
    grouped = SLEEP.assign(fitted=fitted).groupby("Subject", observed=True)
    np.testing.assert_allclose(table["observed"], grouped["Reaction"].mean().loc[table["label"]])
    np.testing.assert_allclose(table["fitted"], grouped["fitted"].mean().loc[table["label"]])
    assert table.loc[table["highlight"], "label"].tolist() == ["308", "309"]
    rows = calibration_table(design, fitted, label="Subject")
    np.testing.assert_array_equal(rows["observed"], design.y)
    assert rows["label"].tolist() == SLEEP["Subject"].tolist()


# -- labels ----------------------------------------------------------------------------------------


def test_rows_are_named_and_chosen_by_columns_that_the_formula_does_not_use():
    data = SLEEP.assign(name=[f"visit {i}" for i in range(180)], site=np.arange(180) % 3)
    data.loc[4, "Reaction"] = np.nan
    design = build_design(FORMULA, data)
    assert row_labels(design, "name")[4] == "visit 5"
    chosen = chosen_rows(design, {"site": 2})
    np.testing.assert_array_equal(chosen, np.delete(np.arange(180) % 3 == 2, 4))
    np.testing.assert_array_equal(chosen_rows(design, np.arange(180) % 3 == 2), chosen)
    assert chosen_rows(design, {"site": [1, 2], "Subject": "308"}).sum() == 5
    assert row_labels(build_design(FORMULA, data.set_index("name")))[4] == "row visit 5"


def test_mistakes_in_labels_are_explained():
    design, _ = sleep()
    with pytest.raises(bm.DataError, match=r"no column 'Subjct'\. Did you mean 'Subject'"):
        row_labels(design, "Subjct")
    with pytest.raises(bm.DataError, match="no row has Subject = '3o8'"):
        chosen_rows(design, {"Subject": "3o8"})
    with pytest.raises(bm.DataError, match="one value for each of the 180"):
        row_labels(design, [1, 2])
    with pytest.raises(bm.DataError, match="were not kept"):
        row_labels(pickle.loads(pickle.dumps(design)), "name")


# -- ellipses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("corr", [0.6, -0.97])
@pytest.mark.parametrize("prob", [0.5, 0.9])
def test_a_contour_holds_its_share_of_the_distribution(corr, prob):
    cov = np.array([[4.0, corr * 2 * 0.5], [corr * 2 * 0.5, 0.25]])
    points = contour(cov, prob)
    inverse = np.linalg.inv(cov)
    distance = np.einsum("ip,pq,iq->i", points, inverse, points)
    np.testing.assert_allclose(distance, stats.chi2.ppf(prob, 2))
    x = np.random.default_rng(1).multivariate_normal([0, 0], cov, 4000)
    share = (np.einsum("ip,pq,iq->i", x, inverse, x) < distance[0]).mean()
    assert abs(share - prob) < 4 * np.sqrt(prob * (1 - prob) / 4000)


def test_ellipses_of_draws_medians_and_reference():
    design, posterior = sleep()
    ref = bm.lmer(FORMULA, SLEEP).estimate.varcorr
    pair = choose_pair(design)
    table = ellipse_table(pair, posterior, ref, n_draws=7, seed=2)
    assert table.groupby("kind")["draw"].nunique().to_dict() == {"draw": 7, "posterior": 1, "reference": 1}
    theirs = table[(table["kind"] == "reference") & (table["prob"] == 0.9)]
    np.testing.assert_allclose(theirs[["x", "y"]], contour(ref.blocks[0].cov, 0.9))
    drawn = table[table["kind"] == "draw"]
    k = drawn["draw"].iloc[0]
    np.testing.assert_allclose(drawn[["x", "y"]][:100], contour(flat(posterior.blocks[0].cov)[k], 0.9))
    points = effect_points(design, posterior, pair)
    np.testing.assert_allclose(points[["x", "y"]], np.median(flat(posterior.blocks[0].b), axis=0))


def test_a_singular_covariance_is_a_line():
    points = contour(np.array([[1.0, 2.0], [2.0, 4.0]]), 0.9)
    np.testing.assert_allclose(points[:, 1], 2 * points[:, 0], atol=1e-7)


def test_an_ellipse_needs_two_correlated_effects():
    design, _ = sleep(formula="Reaction ~ Days + (1 | Subject)")
    with pytest.raises(bm.DataError, match="no block has two correlated effects"):
        choose_pair(design)
    wide, _ = sleep()
    with pytest.raises(bm.DataError, match=r"no effect 'Dayz'\. Did you mean 'Days'"):
        choose_pair(wide, columns=("(Intercept)", "Dayz"))
    with pytest.raises(bm.DataError, match=r"'Subjct'\. Did you mean 'Subject'"):
        choose_pair(wide, "Subjct")


# -- replicated data -------------------------------------------------------------------------------


def test_densities_of_replicated_data_share_a_grid_and_integrate_to_one():
    design, posterior = sleep()
    table = replication_densities(design, posterior, 5, seed=1)
    assert table["draw"].unique().tolist() == [-1, 0, 1, 2, 3, 4]
    assert table.groupby("draw")["value"].apply(tuple).nunique() == 1
    areas = [np.trapezoid(part["density"], part["value"]) for _, part in table.groupby("draw")]
    assert (np.abs(np.array(areas) - 1) < 0.1).all()


# -- chains, modes ---------------------------------------------------------------------------------


def test_chains_have_rs_names():
    _, posterior = sleep()
    tree = chain_tree(posterior)
    assert list(tree["posterior"].data_vars) == [
        *("(Intercept)", "Days"),
        *("sd__(Intercept) (Subject)", "sd__Days (Subject)", "cor__(Intercept).Days (Subject)", "sigma"),
    ]
    np.testing.assert_array_equal(tree["posterior"]["Days"], posterior.fixef.values[..., 1])
    chosen = chain_tree(posterior, ["sigma", "b[Days Subject:308]"])["posterior"]
    np.testing.assert_array_equal(chosen["b[Days Subject:308]"], posterior.blocks[0].b.values[:, :, 0, 1])
    with pytest.raises(bm.DataError, match="kept no energies"):
        energy_tree(posterior)


def test_modes_have_intervals_given_the_variances():
    ref = bm.lmer(FORMULA, SLEEP)
    table = mode_table(ref.design, ref.estimate, prob=0.9)
    wanted = ref.ranef(sd=True)["Subject"]
    part = table[table["term"] == "Days"].set_index("level")
    np.testing.assert_allclose(part["estimate"], wanted["Days"])
    np.testing.assert_allclose(
        part["conf_high"] - part["estimate"], stats.norm.ppf(0.95) * wanted["sd__Days"]
    )


ERRORS = {
    "unknown column": (
        lambda d, p: conditional_effects(d, p, "Dayz"),
        "'Dayz' is not a column.*Did you mean 'Days'",
    ),
    "grouping factor": (lambda d, p: conditional_effects(d, p, "Subject"), "It uses: Days"),
    "same column": (lambda d, p: conditional_effects(d, p, "Days", by="Days"), "x and by are both 'Days'"),
    "unknown level": (lambda d, p: conditional_effects(d, p, "Days", groups=["3o8"]), "no level '3o8'"),
    "no level": (lambda d, p: conditional_effects(d, p, "Days", groups=[]), "groups is empty"),
    "unknown at": (lambda d, p: conditional_effects(d, p, "Days", at={"x": 1}), "at: 'x' is not a column"),
    "unknown term": (
        lambda d, p: coefficient_table(d, p, terms="Dayz"),
        "no coefficient 'Dayz'. Did you mean",
    ),
    "no terms": (lambda d, p: coefficient_table(d, p, terms=[]), "terms is empty"),
    "unknown scale": (
        lambda d, p: coefficient_table(d, p, standardize="y"),
        "standardize = 'y': choose 'none'",
    ),
    "standardised intercept": (
        lambda d, p: coefficient_table(d, p, standardize="x", terms="(Intercept)"),
        "the intercept cannot be standardised",
    ),
    "probability": (lambda d, p: coefficient_table(d, p, prob=90), "prob = 90"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_is_wrong_and_what_to_do(case):
    call, message = ERRORS[case]
    with pytest.raises(bm.BayesMLMError, match=message):
        call(*sleep())
