"""A formula and its data explained: coefficients, bars, groups as the data have them, findings, equation."""

import re

import numpy as np
import pandas as pd
import pytest

import bayesmlm as bm
from bayesmlm.explained import explained
from bayesmlm.explaining.finding import Finding
from bayesmlm.explaining.groups import running
from bayesmlm.report.findings import SENTENCES


def frame_of(n=120, seed=1, **columns):
    """A response, a number x, and the columns given."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), **columns})


def codes(explanation):
    return [f.code for f in explanation.facts.findings]


def only(explanation, code):
    (finding,) = explanation.found(code)
    assert isinstance(finding, Finding)
    return finding


@pytest.fixture
def classes():
    """12 schools with 1 to 4 classes, numbered from 1 in each school; 5 pupils in each class."""
    pairs = [(s, c + 1) for s in range(12) for c in range(s % 4 + 1)]
    return frame_of(
        5 * len(pairs),
        school=[f"s{20 + 7 * s}" for s, _ in pairs for _ in range(5)],
        **{"class": [c for _, c in pairs for _ in range(5)]},
    )


# -- words -----------------------------------------------------------------------------------------


@pytest.fixture
def words_data():
    rng = np.random.default_rng(3)
    n = 200
    return pd.DataFrame(
        {
            "y": rng.uniform(1, 2, n),
            "x": rng.uniform(10, 20, n),
            "z": rng.normal(size=n),
            "f": pd.Categorical(rng.choice(["lo", "mid", "hi"], n), ["lo", "mid", "hi"]),
            "g": np.arange(n) % 20,
            "sex": rng.choice(["F", "M"], n),
        }
    )


@pytest.mark.parametrize(
    ("formula", "coefficient", "meaning"),
    [
        ("y ~ z + f", "(Intercept)", "expected y at z = 0, f = lo"),
        ("y ~ z", "z", "difference in expected y per 1 more of z"),
        ("y ~ f", "fhi", "difference in expected y: f hi minus lo (reference)"),
        ("y ~ 0 + f", "flo", "expected y where f is lo"),
        ("y ~ log(x)", "log(x)", "difference in expected y per x times e = 2.718"),
        ("y ~ log2(x)", "log2(x)", "difference in expected y per x doubled"),
        ("log(y) ~ log(x)", "log(x)", "(1% more of x: about this many % more of y)"),
        ("log(y) ~ z", "z", "(y times exp(coefficient))"),
        ("y ~ z + I(z^2)", "I(z^2)", "its slope changes by twice this per unit of z"),
        ("y ~ poly(x, 2)", "poly(x, 2)2", "quadratic part of the curve of x"),
        ("y ~ ns(x, 3)", "ns(x, 3)2", "column 2 of the spline of x"),
        ("y ~ z * sex", "z", "difference in expected y per 1 more of z; at sex = F"),
        ("y ~ z * sex", "sexM", "sex M minus F (reference); at z = 0"),
        ("y ~ z * sex", "z:sexM", "change in the slope of z, for sex M instead of F"),
        ("y ~ z * x", "z:x", "change in the slope of z, per 1 more of x"),
        ("y ~ f * sex", "fmid:sexM", "change in the difference f mid minus lo, for sex M instead of F"),
        ("y ~ sex + sex:z", "sexF:z", "slope of z, where sex is F"),
        ("y ~ factor(g)", "factor(g)3", "g 3 minus 0 (reference)"),
    ],
)
def test_coefficients_in_words(words_data, formula, coefficient, meaning):
    words = bm.explain(formula, words_data).terms.loc[coefficient, "meaning"]
    assert meaning in words


def test_a_standardised_predictor_is_explained_with_the_numbers_used(words_data):
    explanation = bm.explain("y ~ scale(x)", words_data)
    mean, sd = words_data["x"].mean(), words_data["x"].std()
    assert f"per {sd:.4g} more of x (1 standard deviation)" in explanation.terms.loc["scale(x)", "meaning"]
    assert f"x = {mean:.4g} (its mean)" in explanation.terms.loc["(Intercept)", "meaning"]


def test_a_number_that_also_groups_stays_a_number_among_the_fixed_effects(words_data):
    explanation = bm.explain("y ~ g + (1 | g)", words_data)
    assert explanation.terms.loc["g", "meaning"] == "difference in expected y per 1 more of g"


def test_levels_with_their_reference_and_rows(words_data):
    levels = bm.explain("y ~ f + (1 | g)", words_data).levels
    assert levels["level"].tolist() == ["lo", "mid", "hi"]
    assert levels["is_reference"].tolist() == [True, False, False]
    assert levels["rows"].tolist() == words_data["f"].value_counts(sort=False).tolist()


@pytest.mark.parametrize(
    ("bar", "meaning", "parameters"),
    [
        ("(1 | g)", "the intercept varies between the 20 levels of g (one variance, 1 parameter)", 1),
        (
            "(z | g)",
            "the intercept and the slope of z vary between the 20 levels of g, and may be correlated "
            "(one 2x2 covariance, 3 parameters)",
            3,
        ),
        ("(0 + z | g)", "the slope of z varies between the 20 levels of g (one variance, 1 parameter)", 1),
        ("(sex | g)", "the intercept and the effect of sex (M minus F) vary between", 3),
        ("(f | g)", "the intercept and the effects of f (mid and hi, each minus lo) vary between", 6),
        ("(0 + f | g)", "the levels of f (lo, mid and hi) vary between", 6),
    ],
)
def test_bars_in_words(words_data, bar, meaning, parameters):
    (row,) = bm.explain(f"y ~ z + f + sex + {bar}", words_data).bars.to_dict("records")
    assert row["meaning"].startswith(meaning)
    assert row["parameters"] == parameters


def test_a_double_bar_is_shown_with_what_it_stands_for(words_data):
    explanation = bm.explain("y ~ z + (z || g)", words_data)
    assert set(explanation.bars["bar"]) == {"(z || g)"}
    assert set(explanation.bars["stands_for"]) == {"(1 | g)", "(0 + z | g)"}
    assert "(z || g) stands for" in str(explanation)
    assert "no correlations between them" in str(explanation)


def test_rows_left_out_are_counted_by_column(words_data):
    data = words_data.assign(z=words_data["z"].where(words_data.index >= 15))
    assert "185 used; 15 of 200 rows left out: missing z 15" in str(bm.explain("y ~ z + (1 | g)", data))


def test_a_categorical_response_and_two_columns_are_accepted(words_data):
    explanation = bm.explain("sex ~ z + (1 | g)", words_data)
    assert explanation.design.response_levels == ("F", "M")
    assert "sex is categorical (F, M)" in str(explanation)
    assert "Family:  binomial [logit], as the response lets infer" in str(explanation)
    assert "[sex = M] ~ Bernoulli(p)\nlogit(p) = (β₀ + b₀[g]) + β₁·z" in explanation.text_equation
    counts = words_data.assign(k=1, n=2)
    counts.loc[:9, "k"] = 2
    page = str(bm.explain("cbind(k, n - k) ~ z + (1 | g)", counts))
    assert "cbind(k, n - k): k in 210 of 400 trials (52%), 2 to 2 in a row" in page


def test_the_callers_data_are_not_changed(words_data):
    before = words_data.copy()
    bm.explain("sex ~ z + (1 | g)", words_data)
    pd.testing.assert_frame_equal(words_data, before)


# -- groups ----------------------------------------------------------------------------------------


def test_rows_per_level():
    data = frame_of(20, g=["a"] + ["b"] * 4 + ["c"] * 15)
    row = bm.explain("y ~ x + (1 | g)", data).groups.loc["g"]
    assert row.tolist() == [3, 1, 4.0, 20 / 3, 15, 1]


def test_relations_of_factors_are_those_of_the_data():
    outer = np.repeat(np.arange(6), 20)
    inner = np.arange(120) // 4
    crossed = np.arange(120) % 4
    some = np.where(outer == 0, crossed % 2, crossed)
    data = frame_of(120, outer=outer, inner=inner, crossed=crossed, some=some, same=outer * 10)

    def relation(a, b):
        (row,) = bm.explain(f"y ~ x + (1 | {a}) + (1 | {b})", data).pairs.to_dict("records")
        return row["first"], row["second"], row["relation"]

    assert relation("outer", "inner") == ("inner", "outer", "nested")
    assert relation("crossed", "outer") == ("outer", "crossed", "crossed")
    assert relation("outer", "some") == ("outer", "some", "partly crossed")
    assert relation("outer", "same")[2] == "same"
    assert "same_groups" in codes(bm.explain("y ~ x + (1 | outer) + (1 | same)", data))


def test_nesting_by_the_formula_is_told_from_nesting_in_the_data():
    pastes = bm.load_dataset("pastes")
    by_formula = bm.explain("strength ~ 1 + (1 | batch/cask)", pastes)
    assert by_formula.pairs["by_formula"].tolist() == [True]
    in_data = bm.explain("strength ~ 1 + (1 | batch) + (1 | sample)", pastes)
    assert in_data.pairs["relation"].tolist() == ["nested"]
    assert in_data.pairs["by_formula"].tolist() == [False]


def test_labels_that_start_again_in_each_group_are_noticed(classes):
    explanation = bm.explain("y ~ x + (1 | school) + (1 | class)", classes)
    found = only(explanation, "reused_ids")
    assert found.severity == "warning"
    r = found.facts["reuse"]
    assert (r.inner, r.outer, r.levels, r.cells, r.reused, r.groups) == ("class", "school", 4, 30, 12, 12)
    (said,) = [s for s in explanation.sentences if "start again" in s]
    assert "(1 | school/class)" in said


def test_what_the_sentence_advises_is_not_complained_of_again(classes):
    assert "reused_ids" not in codes(bm.explain("y ~ x + (1 | school/class)", classes))
    assert "nested_same_labels" not in codes(bm.explain("y ~ x + (1 | school/class)", classes))


def test_unique_labels_are_not_taken_for_reused_ones(classes):
    data = classes.assign(unique=classes["school"] + "." + classes["class"].astype(str))
    assert "reused_ids" not in codes(bm.explain("y ~ x + (1 | school) + (1 | unique)", data))


def test_a_complete_plan_gets_a_note_only_and_one_row_per_cell_none():
    pastes = bm.load_dataset("pastes")
    assert (
        only(bm.explain("strength ~ 1 + (1 | batch) + (1 | cask)", pastes), "reused_ids").severity == "note"
    )
    penicillin = bm.load_dataset("penicillin")
    assert "reused_ids" not in codes(bm.explain("diameter ~ 1 + (1 | plate) + (1 | sample)", penicillin))


def test_words_that_cross_are_not_numbers_that_start_again(lme4):
    data = bm.load_dataset("england_schools")
    assert "reused_ids" not in codes(bm.explain(lme4["eng_crossed"]["formula"], data))


def test_a_formula_that_nests_what_is_crossed_by_name_is_noticed():
    places = ["north", "south", "east", "west"]
    data = frame_of(120, school=np.arange(120) % 10, area=np.repeat(places, 30))
    explanation = bm.explain("y ~ x + (1 | school/area)", data)
    assert only(explanation, "nested_same_labels").facts["homes"] == 10
    assert "(1 | school) + (1 | area)" in " ".join(explanation.sentences)


def test_nesting_that_changes_nothing_is_a_note(lme4):
    data = bm.load_dataset("england_schools")
    assert "nesting_redundant" in codes(bm.explain(lme4["eng_nested"]["formula"], data))


def test_a_few_who_moved_are_noticed():
    pupil = np.repeat(np.arange(60), 4)
    school = pupil // 10
    school[:2] = 3  # the first pupil moved
    finding = only(bm.explain("y ~ x + (1 | pupil) + (1 | school)", frame_of(240, pupil=pupil, school=school)),
                   "almost_nested")  # fmt: skip
    assert (finding.facts["several"], finding.facts["example"]) == (1, "0")


@pytest.mark.parametrize(
    ("levels", "positions"),
    [
        (("1", "2", "3"), [0, 1, 2]),
        (("class 2", "class 10", "class 1"), None),
        (("c0", "c1", "c2"), [0, 1, 2]),
        (("a", "b", "c"), [0, 1, 2]),
        (("2001", "2002"), None),
        (("Good", "Poor"), None),
        (("20920", "22520"), None),
        (("1", "x"), None),
    ],
)
def test_what_counts_as_a_running_number(levels, positions):
    found = running(levels)
    assert (found is None) if positions is None else (found.tolist() == positions)


# -- findings --------------------------------------------------------------------------------------


def test_few_levels_many_singletons_one_row_per_level():
    data = frame_of(
        120, few=np.arange(120) % 3, mostly=np.r_[np.arange(100), np.full(20, 100)], row=np.arange(120)
    )
    assert only(bm.explain("y ~ x + (1 | few)", data), "few_levels").facts["levels"] == 3
    assert only(bm.explain("y ~ x + (1 | mostly)", data), "singletons").facts["singletons"] == 100
    assert "one_row_per_level" in codes(bm.explain("y ~ x + (1 | row)", data))
    pairs = frame_of(120, pair=np.arange(120) // 2)
    assert only(bm.explain("y ~ x + (x | pair)", pairs), "many_effects").facts["effects"] == 120


def test_a_slope_of_what_does_not_vary_within_groups():
    g = np.arange(120) // 6
    data = frame_of(120, g=g, size=g * 1.5, some=np.where(g < 4, np.arange(120), g))
    explanation = bm.explain("y ~ size + (size | g)", data)
    assert only(explanation, "slope_constant_within").about == "size"
    assert "does not vary within any level of g" in explanation.sentences[0]
    few = only(bm.explain("y ~ some + (some | g)", data), "slope_varies_in_few")
    assert (few.facts["varies_in"], few.facts["levels"]) == (4, 20)
    row = explanation.predictors.iloc[0]
    assert (row["kind"], row["varies_in"], row["within_sd"]) == ("group", 0, 0.0)


def test_spread_within_and_between_groups():
    g = np.arange(120) // 6
    data = frame_of(120, g=g)
    row = bm.explain("y ~ x + (x | g)", data).predictors.iloc[0]
    within = data["x"] - data.groupby("g")["x"].transform("mean")
    assert row["within_sd"] == pytest.approx(np.sqrt((within**2).sum() / 100), rel=1e-12)
    assert row["between_sd"] == pytest.approx(data.groupby("g")["x"].mean().std(), rel=1e-12)


def test_effects_that_vary_around_nothing():
    data = frame_of(120, g=np.arange(120) // 6, f=np.tile(["a", "b", "c"], 40))
    assert only(bm.explain("y ~ 1 + (x | g)", data), "no_fixed_effect").facts["terms"] == ("x",)
    assert only(bm.explain("y ~ x + (f | g)", data), "no_fixed_effect").facts["terms"] == ("f",)
    assert "no_fixed_effect" not in codes(bm.explain("y ~ f + (0 + f | g)", data))
    assert "no_varying_intercept" in codes(bm.explain("y ~ x + (0 + x | g)", data))
    assert "no_varying_intercept" not in codes(bm.explain("y ~ x + (x || g)", data))


def test_intercepts_far_outside_the_data():
    data = frame_of(120, g=np.arange(120) // 6, year=2000.0 + np.arange(120) % 6)
    found = only(bm.explain("y ~ year + (year | g)", data), "zero_outside")
    assert (found.facts["low"], found.facts["high"]) == (2000.0, 2005.0)
    assert "zero_outside" not in codes(bm.explain("y ~ I(year - 2002) + (I(year - 2002) | g)", data))


def test_predictors_that_are_alike_or_awkward():
    x = np.random.default_rng(5).normal(size=120)
    near = x + 0.01 * np.random.default_rng(6).normal(size=120)
    data = frame_of(120, g=np.arange(120) // 6, near=near, income=x * 1e5, twice=2 * x).assign(x=x)
    found = only(bm.explain("y ~ x + near + (1 | g)", data), "collinear")
    r = np.corrcoef(x, near)[0, 1]
    assert found.facts["vif"] == pytest.approx(1 / (1 - r**2), rel=1e-6)
    assert only(bm.explain("y ~ x + twice + (1 | g)", data), "aliased").about == "twice"
    assert only(bm.explain("y ~ income + (1 | g)", data), "scale").facts["factor"] == 1e4 * (
        10 if x.std() > 1 else 1
    )


def test_categories_with_next_to_no_rows():
    data = frame_of(120, g=np.arange(120) // 6, f=["rare"] * 2 + ["common"] * 118, h=["u", "v"] * 60)
    found = only(bm.explain("y ~ f + (1 | g)", data), "sparse_cells")
    assert (found.facts["where"], found.facts["rows"]) == ((("f", "rare"),), 2)
    pairs = [f.about for f in bm.explain("y ~ f * h + (1 | g)", data).found("sparse_cells")]
    assert pairs == ["f", "f:h"]


def test_predictors_of_groups_count_groups():
    g = np.arange(120) // 20
    data = frame_of(120, g=g, a=g**2.0, b=np.sin(g))
    found = only(bm.explain("y ~ x + a + b + (1 | g)", data), "group_predictors_few")
    assert (found.facts["names"], found.facts["levels"]) == (("a", "b"), 6)


def test_a_slope_that_blends_two_questions():
    g = np.arange(120) // 6
    data = frame_of(120, g=g)
    data["x"] += g
    data["mean"] = data.groupby("g")["x"].transform("mean")
    assert "mixed_predictor" in codes(bm.explain("y ~ x + (x | g)", data))
    assert "mixed_predictor" not in codes(bm.explain("y ~ x + mean + (x | g)", data))


def test_a_sound_model_has_nothing_that_stands_out():
    explanation = bm.explain("Reaction ~ Days + (Days | Subject)", bm.load_dataset("sleepstudy"))
    assert explanation.sentences == ()
    assert "Nothing stands out." in str(explanation)


def test_every_finding_has_a_sentence(classes):
    """The codes that checks can give are those that have words."""
    from pathlib import Path

    import bayesmlm.explaining as home

    source = "".join(p.read_text() for p in Path(home.__file__).parent.glob("*checks.py"))
    given = set(re.findall(r'Finding\(\s*"(\w+)"', source)) | {"group_predictors", "group_predictors_few"}
    assert given == set(SENTENCES)


def test_warnings_of_fitting_are_among_the_findings_and_not_given(recwarn):
    data = frame_of(40, g=np.arange(40) // 2, twin=1.0)
    explanation = bm.explain("y ~ x + twin + (x | g)", data)
    assert not recwarn.list
    assert {"aliased", "many_effects"} <= set(codes(explanation))


# -- equation --------------------------------------------------------------------------------------


def test_the_equation_of_varying_slopes():
    latex = bm.explain("course ~ female + (female | school)", bm.load_dataset("gcsemv")).latex
    assert r"\mathrm{course}_i &\sim N(\mu_i,\ \sigma^2)" in latex
    assert r"(\beta_{0} + b_{0,j[i]}) + (\beta_{1} + b_{1,j[i]})\,[\mathrm{female}_i = \mathrm{F}]" in latex
    assert r"\rho_{b01} \tau_{b0} \tau_{b1}" in latex
    assert r"j = 1, \ldots, 73\ (\mathrm{school})" in latex


def test_each_grouping_factor_has_its_own_index():
    latex = bm.explain("diameter ~ 1 + (1 | plate) + (1 | sample)", bm.load_dataset("penicillin")).latex
    assert r"\beta_{0} + b_{0,j[i]} + c_{0,k[i]}" in latex


def test_what_varies_without_a_mean_has_no_beta():
    data = frame_of(120, g=np.arange(120) // 6)
    equation = bm.explain("y ~ 1 + (0 + x | g)", data).equation
    assert r"\beta_{0} + b_{1,j[i]}\,\mathrm{x}_i" in equation.latex
    assert "μ = β₀ + b₁[g]·x" in equation.text


def test_offset_and_weights_are_in_the_equation():
    data = frame_of(120, g=np.arange(120) // 6, w=2.0)
    explanation = bm.explain("y ~ x + offset(x) + (1 | g)", data, weights="w")
    assert r"\mathrm{offset}_i" in explanation.latex
    assert r"\sigma^2 / w_i" in explanation.latex


AWKWARD = ["weight_%", "a&b#c", "cost $", "{q}^2~", "back\\slash", "é <b>|*", 'it\'s "so"']


def test_awkward_names_are_escaped_so_that_matplotlib_can_draw_every_line():
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("path")
    data = frame_of(120, g=np.arange(120) // 6, **{"Local Authority_1": np.arange(120) % 7})
    data["f"] = np.where(np.arange(120) % 2, "50% & up", "it_is {low}")
    for i, name in enumerate(AWKWARD):
        data[name] = np.random.default_rng(i).normal(size=120)
    names = " + ".join(f"`{name}`" for name in AWKWARD)
    explanation = bm.explain(f"y ~ {names} + f + (x + f | g) + (1 | `Local Authority_1`)", data)
    for line in explanation.equation.mathtext:
        parser.parse(line)
    latex = explanation.latex
    assert len(explanation.design.coefficients) == len(AWKWARD) + 2
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")
    assert not re.search(r"(?<!\\)[%#$]", latex)


def test_public_models_are_explained_and_drawn(lme4):
    """Every formula of the reference values, with text, HTML and equations that Matplotlib can parse."""
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("path")
    for name, model in lme4.items():
        if "formula" not in model:
            continue
        data = bm.load_dataset(model["data"].removesuffix(".csv"))
        if "log(PT" in model["formula"]:
            data = data[data["PTFSM6CLA1A"] > 0]
        if "log(PERCTOT)" in model["formula"]:
            data = data[(data["PERCTOT"] > 0) & (data["PNUMEAL"] > 0)]
        explanation = bm.explain(model["formula"], data)
        assert len(explanation.terms) == len(explanation.design.coefficients), name
        assert max(map(len, str(explanation).splitlines()[1:])) <= 130, name
        assert r"\begin{aligned}" in explanation._repr_html_()
        for line in explanation.equation.mathtext:
            parser.parse(line)


# -- where it can be had ---------------------------------------------------------------------------


def test_a_reference_fit_explains_itself():
    data = bm.load_dataset("dyestuff")
    ref = bm.lmer("Yield ~ 1 + (1 | Batch)", data)
    assert str(ref.explain()) == str(bm.explain("Yield ~ 1 + (1 | Batch)", data))


def test_a_design_from_another_interpreter_is_explained_without_its_data():
    import pickle

    ref = bm.lmer("Yield ~ 1 + (1 | Batch)", bm.load_dataset("dyestuff"))
    again = pickle.loads(pickle.dumps(ref.design))
    assert str(explained(again)) == str(ref.explain())


def test_errors_are_those_of_fitting():
    with pytest.raises(bm.FormulaError, match="Did you mean 'course'"):
        bm.explain("coarse ~ 1 + (1 | school)", bm.load_dataset("gcsemv"))
    with pytest.raises(bm.FormulaError, match="a formula is"):
        bm.explain(3, bm.load_dataset("gcsemv"))
