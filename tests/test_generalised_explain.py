"""`explain` for every family: words, equations, and what is worth knowing of a response."""

import numpy as np
import pandas as pd
import pytest
from generalised import CBPP, TICKS

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.explaining.response_checks import one_sided
from bayesmlm.explaining.separation import separated
from bayesmlm.families import KINDS, read_family
from bayesmlm.information import level_information, uninformed
from bayesmlm.meanings import event, mean_of, predictor_of, ratio


def frame_of(n=240, seed=4):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=n), np.arange(n) % 20
    p = 1 / (1 + np.exp(-x - rng.normal(size=20)[g]))
    return pd.DataFrame(
        {
            "x": x,
            "g": g,
            "won": (rng.random(n) < p).astype(int),
            "use": np.where(rng.random(n) < p, "yes", "no"),
            "k": rng.binomial(10, p),
            "m": 10,
            "count": rng.poisson(np.exp(x / 2)),
            "time": rng.gamma(2.0, np.exp(x / 3)),
            "grade": pd.Categorical.from_codes(rng.integers(0, 4, n), list("ABCD"), ordered=True),
            "party": rng.choice(["green", "left", "right"], n),
            "share": rng.beta(2, 3, n),
            "y": rng.normal(size=n),
        }
    )


def codes(explanation):
    return [f.code for f in explanation.facts.findings]


def only(explanation, code):
    (finding,) = explanation.found(code)
    return finding


# -- which family ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "family"),
    [
        ("cbind(k, m - k)", "binomial [logit]"),
        ("use", "binomial [logit]"),
        ("factor(won)", "binomial [logit]"),
        ("grade", "cumulative [logit]"),
        ("party", "categorical [softmax]"),
        ("ordered(party)", "cumulative [logit]"),
    ],
)
def test_a_response_that_is_no_number_tells_its_family(response, family):
    page = str(bm.explain(f"{response} ~ x + (1 | g)", frame_of()))
    assert f"Family:  {family}, as the response lets infer (family= says otherwise)" in page


def test_a_family_that_is_given_is_taken_and_numbers_are_gaussian():
    data = frame_of()
    page = str(bm.explain("won ~ x + (1 | g)", data, "bernoulli", "probit"))
    assert "Family:  binomial [probit]\n" in page
    assert bm.explain("count ~ x + (1 | g)", data).design.family.is_gaussian_identity
    assert "Family:" not in str(bm.explain("y ~ x + (1 | g)", data))
    with pytest.raises(bm.DataError, match="counts: 0, 1, 2"):
        bm.explain("y ~ x + (1 | g)", data, "poisson")


def test_weights_and_exposure_are_those_of_fit():
    data = frame_of().assign(share=lambda d: d["k"] / d["m"], years=2.0)
    explanation = bm.explain("share ~ x + (1 | g)", data, "binomial", weights="m")
    np.testing.assert_array_equal(explanation.design.trials, data["m"])
    rates = bm.explain("count ~ x + (1 | g)", data, "poisson", exposure="years")
    np.testing.assert_allclose(rates.design.offset, np.log(2.0))
    assert "offset" in rates.text_equation


def test_a_fit_explains_its_own_family():
    from generalised import negative_binomial_fit

    assert "neg_binomial_2 [log]" in str(negative_binomial_fit().explain())


# -- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "family", "named", "mean", "predictor", "exponential"),
    [
        (CBPP, "binomial", "incidence", "probability of incidence", "log odds of incidence", "odds ratio"),
        ("won ~ x", "binomial", "won = 1", "probability of won = 1", "log odds of won = 1", "odds ratio"),
        (
            "use ~ x",
            "binomial",
            "use = yes",
            "probability of use = yes",
            "log odds of use = yes",
            "odds ratio",
        ),
        (
            "won ~ x",
            "binomial(probit)",
            "won = 1",
            "probability of won = 1",
            "probit of the probability of won = 1",
            "",
        ),
        (
            "won ~ x",
            "binomial(cloglog)",
            "won = 1",
            "probability of won = 1",
            "cloglog of the probability of won = 1",
            "hazard ratio",
        ),
        ("count ~ x", "poisson", None, "expected count", "log expected count", "rate ratio"),
        ("count ~ x", "negativebinomial", None, "expected count", "log expected count", "rate ratio"),
        ("time ~ x", "Gamma", None, "expected time", "1 / expected time", ""),
        ("time ~ x", "Gamma(log)", None, "expected time", "log expected time", "ratio of means"),
        ("time ~ x", "lognormal", None, "expected time", "expected log(time)", "ratio of medians"),
        ("share ~ x", "beta", None, "expected share", "logit of the expected share", "odds ratio"),
        ("y ~ x", "gaussian", None, "expected y", "expected y", ""),
        (
            "log(time) ~ x",
            "gaussian",
            None,
            "expected log(time)",
            "expected log(time)",
            "ratio of geometric means",
        ),
        ("y ~ x", "t", None, "expected y", "expected y", ""),
    ],
)
def test_what_a_model_is_about(formula, family, named, mean, predictor, exponential):
    data = bm.load_dataset("cbpp") if formula == CBPP else frame_of()
    bars = "" if formula == CBPP else " + (1 | g)"
    design = build_design(formula + bars, data, read_family(family))
    if named is not None:
        assert event(design) == named
    assert (mean_of(design), predictor_of(design), ratio(design)) == (mean, predictor, exponential)


def test_coefficients_in_words():
    terms = bm.explain(CBPP, bm.load_dataset("cbpp")).terms["meaning"]
    assert terms["(Intercept)"] == "log odds of incidence at period = 1"
    assert terms["period2"] == (
        "difference in log odds of incidence: period 2 minus 1 (reference) (odds of incidence times exp(coefficient))"
    )
    words = bm.explain("count ~ log(time) + (1 | g)", frame_of(), "poisson").terms["meaning"]["log(time)"]
    assert words.endswith("(1% more of time: about this many % more of expected count)")
    words = bm.explain("won ~ x + (1 | g)", frame_of(), "binomial(probit)").terms["meaning"]["x"]
    assert words == "difference in probit of the probability of won = 1 per 1 more of x"


@pytest.mark.parametrize("family", sorted(KINDS))
def test_every_family_has_an_equation_that_matplotlib_draws(family):
    from matplotlib.mathtext import MathTextParser

    responses = {
        "real": "y",
        "positive": "time",
        "nonnegative": "time",
        "count": "count",
        "binomial": "cbind(k, m - k)",
        "unit": "share",
        "ordinal": "grade",
        "categorical": "party",
    }
    parser, kind = MathTextParser("path"), KINDS[family]
    for link in kind.links:
        explanation = bm.explain(f"{responses[kind.support]} ~ x + (1 | g)", frame_of(), family, link)
        for line in explanation.equation.mathtext:
            parser.parse(line)
        assert "@" not in explanation.latex + explanation.text_equation
        for name in kind.auxiliary:
            symbols = {"sigma": "σ", "nu": "ν", "psi": "ψ", "phi": "φ", "lambda": "λ"}
            assert symbols.get(name, "α") in explanation.text_equation
        assert str(explanation)


def test_equations_of_the_usual_families():
    data = frame_of()
    text = bm.explain("won ~ x + (1 | g)", data, "binomial").text_equation.split("\n")
    assert text[:2] == ["won ~ Bernoulli(p)", "logit(p) = (β₀ + b₀[g]) + β₁·x"]
    text = bm.explain("count ~ x + (1 | g)", data, "negativebinomial").text_equation.split("\n")
    assert text[0] == "count ~ NegBinomial(μ, variance μ + μ²/α), α = reciprocal_dispersion"
    assert text[1].startswith("log(μ) = ")
    latex = bm.explain("cbind(k, m - k) ~ x + (1 | g)", data).latex
    assert r"\mathrm{k}_i &\sim \mathrm{Binomial}(n_i,\ p_i)" in latex
    assert r"\mathrm{logit}(p_i) &= " in latex


# -- findings --------------------------------------------------------------------------------------


def test_a_binary_response_in_a_gaussian_model():
    explanation = bm.explain("won ~ x + (1 | g)", frame_of())
    assert only(explanation, "binary_gaussian").severity == "warning"
    assert "family='binomial'" in explanation.sentences[0]
    coded = bm.explain("won ~ x + (1 | g)", frame_of().assign(won=lambda d: d["won"] + 1))
    assert "I(won == 2) ~ ..." in coded.sentences[0]
    assert "binary_gaussian" not in codes(bm.explain("won ~ x + (1 | g)", frame_of(), "binomial"))


def test_counts_in_a_gaussian_model():
    explanation = bm.explain("count ~ x + (1 | g)", frame_of())
    assert only(explanation, "count_gaussian").facts["most"] == frame_of()["count"].max()
    assert "count_gaussian" not in codes(bm.explain("y ~ x + (1 | g)", frame_of()))
    marks = frame_of().assign(marks=lambda d: (50 + 10 * d["y"]).round())
    assert "count_gaussian" not in codes(bm.explain("marks ~ x + (1 | g)", marks))


def test_a_category_without_successes_separates():
    data = frame_of().assign(f=lambda d: np.where(d["g"] < 4, "none", np.where(d["g"] < 12, "some", "more")))
    data.loc[data["f"] == "none", "won"] = 0
    found = only(bm.explain("won ~ x + f + (1 | g)", data, "binomial"), "separation")
    assert found.facts["names"] == ("fnone",)
    assert found.facts["cells"] == (("f", "none", int((data["f"] == "none").sum()), False),)
    data.loc[(data["f"] == "none").to_numpy().nonzero()[0][0], "won"] = 1
    assert "separation" not in codes(bm.explain("won ~ x + f + (1 | g)", data, "binomial"))


@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_separation_by_a_number_is_found_exactly(overlap):
    """Rows of 0 below those of 1: separated without overlap, and with one shared value (quasi-complete)."""
    x = np.r_[np.arange(10.0), np.arange(10.0) + 10 - overlap]
    data = pd.DataFrame({"x": x, "y": np.repeat([0, 1], 10), "g": np.arange(20) % 5})
    design = build_design("y ~ x + (1 | g)", data, read_family("binomial"))
    assert bool(separated(design)) == (overlap < 2)
    assert one_sided(design) == ()


def test_separation_of_counts_and_of_trials():
    data = frame_of().assign(f=lambda d: np.where(d["g"] < 4, "a", "b"))
    none = data.assign(count=lambda d: np.where(d["f"] == "a", 0, d["count"] + 1))
    assert separated(build_design("count ~ f + (1 | g)", none, read_family("poisson"))) != ()
    assert separated(build_design("count ~ f + (1 | g)", data, read_family("poisson"))) == ()
    full = data.assign(k=lambda d: np.where(d["f"] == "a", d["m"], d["k"]))
    assert separated(build_design("cbind(k, m - k) ~ f + (1 | g)", full, read_family("binomial"))) != ()
    # with the log link a probability of 1 is inside, and other families have no such direction
    assert separated(build_design("time ~ f + (1 | g)", data, read_family("Gamma(log)"))) == ()


def test_few_events_for_many_coefficients():
    data = frame_of().assign(won=lambda d: (np.arange(len(d)) % 20 == 0).astype(int), z=lambda d: d["y"])
    found = only(bm.explain("won ~ x + z + (1 | g)", data, "binomial"), "few_events")
    assert found.facts == {"events": 12, "kind": "successes", "k": 2}
    most = data.assign(won=lambda d: 1 - d["won"])
    assert (
        only(bm.explain("won ~ x + z + (1 | g)", most, "binomial"), "few_events").facts["kind"] == "failures"
    )
    assert "few_events" not in codes(bm.explain("won ~ x + (1 | g)", data, "binomial"))


def test_information_of_a_level_is_the_sum_of_its_rows():
    data = frame_of()
    design = build_design("cbind(k, m - k) ~ x + (1 | g)", data, read_family("binomial"))
    p = data["k"].sum() / data["m"].sum()
    expected = data.groupby("g")["m"].sum().to_numpy() * p * (1 - p)
    np.testing.assert_allclose(level_information(design)["g"], expected)
    assert uninformed(design) == []
    rare = build_design("won ~ x + (1 | g)", data.iloc[:60], read_family("binomial"))
    assert uninformed(rare) == ["g"]
    assert level_information(build_design("y ~ x + (1 | g)", data)) == {}


def test_levels_that_tell_little_are_a_matter_for_laplace():
    explanation = bm.explain("won ~ x + (1 | g)", frame_of().iloc[:60], "binomial")
    assert "n_agq=10" in next(s for s in explanation.sentences if "Laplace" in s)
    slopes = bm.explain("won ~ x + (x | g)", frame_of().iloc[:60], "binomial")
    assert "takes one block with an intercept only" in next(s for s in slopes.sentences if "Laplace" in s)


def test_overdispersion_is_pearsons_statistic_within_levels():
    data = bm.load_dataset("grouseticks")
    found = only(bm.explain(TICKS, data, "poisson"), "overdispersion")
    mean = data.groupby("BROOD", observed=True)["TICKS"].transform("mean").to_numpy()
    used, y = mean > 0, data["TICKS"].to_numpy()
    free = used.sum() - data.loc[used, "BROOD"].nunique()
    assert found.facts["ratio"] == pytest.approx(np.sum((y - mean)[used] ** 2 / mean[used]) / free)
    assert "overdispersion" not in codes(bm.explain(TICKS, data, "negativebinomial"))
    each = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX)"
    assert "overdispersion" not in codes(bm.explain(each, data, "poisson"))


@pytest.mark.parametrize(
    ("formula", "family", "kind", "severity"),
    [
        ("count ~ x + (1 | row)", "poisson", "extra", "note"),
        ("cbind(k, m - k) ~ x + (1 | row)", "binomial", "extra", "note"),
        ("won ~ x + (1 | row)", "binomial", "binary", "warning"),
        ("count ~ x + (1 | row)", "negativebinomial", "dispersed", "warning"),
        ("y ~ x + (1 | row)", "gaussian", "gaussian", "warning"),
    ],
)
def test_an_effect_of_each_row_depends_on_the_family(formula, family, kind, severity):
    found = only(bm.explain(formula, frame_of().assign(row=np.arange(240)), family), "one_row_per_level")
    assert (found.facts["kind"], found.severity) == (kind, severity)
