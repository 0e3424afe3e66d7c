"""What a user is told about wrong input: the class of the error or warning, what, where, and what to do."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesmlm.design import build_design
from bayesmlm.errors import BayesMLMError, DataError, DataWarning, FormulaError, PriorError
from bayesmlm.priors import build_priors, decov, exponential, gamma, half_normal, lkj, normal, student_t


def pupils() -> pd.DataFrame:
    """Twenty pupils in four schools, with columns that can go wrong."""
    rng = np.random.default_rng(1)
    n = 20
    return pd.DataFrame(
        {
            "score": rng.normal(50, 10, n),
            "Days": np.arange(n) % 7 + 1.0,
            "age": np.round(rng.uniform(10, 12, n), 1),
            "sex": np.resize(["F", "M", "M"], n),
            "school": np.repeat(["A", "B", "C", "D"], 5),
            "town": "X",
            "one": 1.0,
            "flag": np.arange(n) % 2 == 0,
            "pupil": np.arange(n),
            "pair": np.arange(n) // 2,
            "gap": np.where(np.arange(n) < 3, np.nan, 5.0 + np.arange(n)),
            "never": np.nan,
            "zero": np.arange(n) % 4 * 1.0,
            "signed": np.arange(n) - 3.5,
            "huge": np.where(np.arange(n) == 2, np.inf, 1.0 * np.arange(n)),
            "when": pd.date_range("2020-01-01", periods=n),
            "mixed": [1, "a"] * (n // 2),
            "w": np.arange(n) + 1.0,
            "debt": np.arange(n) - 1.0,
        }
    )


@pytest.fixture
def data() -> pd.DataFrame:
    return pupils()


def change(**columns: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda data: data.assign(**columns)


# -- errors --------------------------------------------------------------------------------------------

ERRORS = [
    # formula, error, words that the message must hold
    # names
    ("score ~ days + (1 | school)", FormulaError, ["unknown column 'days'", "Did you mean 'Days'"]),
    ("score ~ Dayz + (Dayz | school)", FormulaError, ["unknown column 'Dayz'", "'Days'", "^^^^"]),
    ("score ~ Days + (1 | schol)", FormulaError, ["unknown column 'schol'", "Did you mean 'school'", "^^^^^"]),
    ("scores ~ Days", FormulaError, ["unknown column 'scores'", "Did you mean 'score'"]),
    ("score ~ xyz", FormulaError, ["unknown column 'xyz'", "The data have: score, Days, age"]),
    ("score ~ lgo(Days)", FormulaError, ["unknown function 'lgo'", "Did you mean 'log'", "^^^^^^^^^"]),
    ("score ~ spline(Days)", FormulaError, ["unknown function 'spline'", "compute the column in the data"]),
    ("score ~ Days + (1 | interaction(sex, school))", FormulaError, ["unknown function 'interaction'"]),
    # the shape of the formula; more in test_formula.py
    ("", FormulaError, ["empty", "write 'response ~ predictors + (effects | group)'"]),
    ("score", FormulaError, ["no '~'", "write 'response ~ predictors"]),
    ("~ Days + (1 | school)", FormulaError, ["no response", "write 'y ~ ...'"]),
    ("score ~ Days + 1 | school", FormulaError, ["parentheses of its own", "write '+ (x | g)'"]),
    ("score ~ Days + (1 | school) + (1 | school)", FormulaError, ["(1 | school) stands twice", "leave one out"]),
    ("score ~ score + Days", FormulaError, ["the response score", "leave it out there"]),
    # groups
    ("score ~ Days + (1 | town)", DataError, ["town has one level only (X)", "two or more", "leave out (1 | town)"]),
    ("score ~ Days + (1 | poly(age, 2))", FormulaError, ["poly(age, 2) is not one column", "^^^^^^^^^^^^"]),
    ("score ~ Days + (1 | mean(age))", FormulaError, ["mean(age) is not one column"]),
    ("score ~ Days + (1 | when)", DataError, ["'when' holds datetime64", "convert them to numbers or strings"]),
    # predictors
    ("score ~ never + (1 | school)", DataError, ["'never' is missing in every row"]),
    ("score ~ town", DataError, ["town has only the level 'X'", "leave it out of the formula"]),
    ("score ~ Days + (town | school)", DataError, ["town has only the level 'X'", "leave it out of the formula"]),
    ("score ~ huge + (1 | school)", DataError, ["huge is infinite in 1 rows", "filter or change"]),
    ("score ~ Days + (huge | school)", DataError, ["huge in (1 + huge | school) is infinite", "filter or change"]),
    ("score ~ log(zero)", DataError, ["log(zero) is infinite in 5 rows", "log(0) is infinite"]),
    ("score ~ scale(huge)", FormulaError, ["scale(huge) cannot be computed", "infinite values", "filter or change"]),
    ("score ~ scale(one)", DataError, ["no row is complete", "scale(one) (20)"]),
    ("score ~ when", DataError, ["column 'when' holds datetime64", "convert them to numbers or strings"]),
    ("score ~ mixed", DataError, ["column 'mixed' mixes types (int, str)", "convert it to numbers or to strings"]),
    ("score ~ I(sex + 1)", FormulaError, ["sex is categorical", "as.numeric(sex)", "^^^"]),
    ("score ~ log(sex)", FormulaError, ["sex is categorical, and arithmetic needs numbers"]),
    ("score ~ poly(sex, 2)", FormulaError, ["sex is categorical"]),
    ("score ~ I(Days + 'a')", FormulaError, ["is text, and arithmetic needs numbers", "^^^"]),
    ("score ~ as.numeric(sex)", FormulaError, ["sex holds text that is not a number"]),
    ("score ~ I(sex > 'F')", FormulaError, ["sex is categorical"]),
    ("score ~ mean(Days)", FormulaError, ["mean(Days) is a constant, not a column"]),
    ("score ~ pi", FormulaError, ["pi is a constant, not a column"]),
    ("score ~ c(Days, age)", FormulaError, ["c(...) joins constants", "not columns"]),
    ("score ~ log()", FormulaError, ["log() needs a column"]),
    ("score ~ sqrt(Days, age)", FormulaError, ["sqrt() takes one expression"]),
    ("score ~ log(Days, bas = 2)", FormulaError, ["log(Days, bas = 2) cannot be computed", "'bas'"]),
    ("score ~ poly(Days, 7)", FormulaError, ["needs more than 7 distinct values"]),
    ("score ~ poly(Days, 1.5)", FormulaError, ["degree is a whole number"]),
    ("score ~ ns(Days, knots = 99)", FormulaError, ["knots lie between the smallest and largest value, 1 and 7"]),
    ("score ~ bs(Days, df = 2)", FormulaError, ["df is too small for bs()"]),
    ("score ~ factor(sex, levels = c('F', 'W'))", FormulaError, ["sex has no level 'W'", "F, M"]),
    ("score ~ factor(sex, labels = c('woman'))", FormulaError, ["1 labels for 2 levels"]),
    ("score ~ factor(sex, levels = c('F', 'F'))", FormulaError, ["names a level twice"]),
    ("score ~ factor(sex, ordered = TRUE)", FormulaError, ["factor() takes x, levels, labels"]),
    ("score ~ relevel(school, ref = 'E')", FormulaError, ["school has no level 'E'", "A, B, C, D"]),
    ("score ~ relevel(school)", FormulaError, ["relevel() takes one level, such as ref = 'a'"]),
    ("score ~ log(offset(Days))", FormulaError, ["offset(...) is a term of its own"]),
    ("score ~ Days + offset(sex)", FormulaError, ["sex is categorical"]),
    ("score ~ Days + offset(poly(age, 2))", FormulaError, ["an offset is one column"]),
    ("score ~ Days + offset(huge)", DataError, ["the offset is infinite", "filter or change"]),
    ("score ~ Days + offset(1 / 0 * age)", DataError, ["the offset is infinite"]),
    # responses
    ("sex ~ Days", DataError, ["response sex is categorical (F, M, ...)", "needs numbers"]),
    ("flag ~ Days", DataError, ["response flag is categorical", "write as.numeric(flag) ~ ..."]),
    ("one ~ Days", DataError, ["response one is constant (1)", "nothing to explain"]),
    ("huge ~ Days", DataError, ["response huge is infinite in 1 rows", "filter or change"]),
    ("log(zero) ~ Days", DataError, ["response log(zero) is infinite in 5 rows"]),
    ("never ~ Days", DataError, ["'never' is missing in every row"]),
    ("when ~ Days", DataError, ["'when' holds datetime64", "convert"]),
    ("mean(score) ~ Days", FormulaError, ["the response is a constant, not a column", "^^^^^^^^^^^"]),
    ("'score' ~ Days", FormulaError, ["the response is a constant"]),
    ("cbind(score, age, Days) ~ 1", FormulaError, ["response has 3 columns", "cbind(successes, failures)"]),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "error", "words"), ERRORS)
def test_wrong_formula_or_column_is_explained(data, formula, error, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        with pytest.raises(error) as caught:
            build_design(formula, data)
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value)


FRAMES = [
    # what is wrong with the data, the change, words that the message must hold
    ("no rows", lambda d: d.iloc[:0], ["the data have no rows"]),
    ("two columns of a name", lambda d: pd.concat([d, d[["age"]]], axis=1), ["several columns named 'age'", "rename"]),
    ("unequal columns", lambda d: d.to_dict("list") | {"Days": [1.0]}, ["columns of the data do not fit together"]),
    ("a list", lambda d: d.to_dict("records"), ["must be a data frame", "not list"]),
    ("no data", lambda d: None, ["must be a data frame", "not NoneType"]),
    ("an array", lambda d: d[["score", "Days"]].to_numpy(), ["must be a data frame", "not ndarray"]),
    (
        "no complete row",
        lambda d: d.assign(score=d.score.where(d.pupil % 2 == 0), Days=d.Days.where(d.pupil % 2 == 1)),
        ["no row is complete", "score (10), Days (10)"],
    ),
    ("one school left", lambda d: d.assign(score=d.score.where(d.school == "B")), ["school has one level only (B)"]),
    ("dates in objects", lambda d: d.assign(Days=d.when.dt.date), ["column 'Days' holds date values", "convert"]),
    ("complex numbers", change(Days=1j), ["column 'Days' holds complex128 values", "convert"]),
    ("lists", lambda d: d.assign(Days=[[1]] * len(d)), ["column 'Days' holds list values", "convert"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in FRAMES], ids=[row[0] for row in FRAMES])
def test_wrong_data_are_explained(data, change, words):
    with pytest.raises(DataError) as caught:
        build_design("score ~ Days + (1 | school)", change(data))
    for word in words:
        assert word in str(caught.value)


ARGUMENTS = [
    # arguments, words that the message must hold
    ({"weights": "ww"}, ["weights", "unknown column 'ww'", "Did you mean 'w'"]),
    ({"offset": "Dayz"}, ["offset", "unknown column 'Dayz'", "Did you mean 'Days'"]),
    ({"weights": [1, 2, 3]}, ["weights has 3 values for 20 rows", "one per row"]),
    ({"offset": 2.0}, ["offset has 1 values for 20 rows"]),
    ({"weights": "debt"}, ["weights are positive, finite numbers", "leave out rows of weight 0"]),
    ({"weights": np.full(20, np.inf)}, ["weights are positive, finite numbers"]),
    ({"weights": "sex"}, ["weights must be numbers", "F"]),
    ({"weights": "never"}, ["'weights' is missing in every row"]),
    ({"offset": "huge"}, ["the offset is infinite", "filter or change"]),
]


@pytest.mark.parametrize(("arguments", "words"), ARGUMENTS)
def test_wrong_weights_and_offsets_are_explained(data, arguments, words):
    with pytest.raises(DataError) as caught:
        build_design("score ~ Days + (1 | school)", data, **arguments)
    for word in words:
        assert word in str(caught.value)


def test_the_place_of_an_unknown_column_is_underlined(data):
    with pytest.raises(FormulaError) as caught:
        build_design("score ~ Days +\n  log(aeg) + (1 | school)", data)
    assert str(caught.value).split("\n")[1:] == ["    log(aeg) + (1 | school)", "        ^^^"]


# -- warnings ------------------------------------------------------------------------------------------

WARNINGS = [
    # formula, words that the message must hold
    ("score ~ Days + (1 | pupil)", ["(1 | pupil)", "20 levels", "rows (20)", "only a prior", "coarser grouping"]),
    ("score ~ Days + (Days | pair)", ["(1 + Days | pair)", "10 levels x 2 columns", "rows (20)", "fewer columns"]),
    ("score ~ one + Days", ["one is constant", "left out of the fixed effects"]),
    ("score ~ Days + I(2 * Days + 1)", ["I(2 * Days + 1) is a linear combination", "left out"]),
    ("score ~ Days + (one | school)", ["one is constant", "(1 + one | school)", "intercept"]),
    (
        "score ~ Days + (1 | school) + (Days | school)",
        ["(1 | school) and (1 + Days | school)", "of (Intercept)", "one block"],
    ),
    ("score ~ log(signed) + (1 | school)", ["log(signed) is not defined in 4 rows", "dropped"]),
    ("score ~ sqrt(signed) + (1 | school)", ["sqrt(signed) is not defined in 4 rows", "dropped"]),
    ("score ~ I(log(signed) > 1) + (1 | school)", ["I(log(signed) > 1) is not defined in 4 rows", "dropped"]),
    ("score ~ factor(school, levels = c('A', 'B', 'C'))", ["is not defined in 5 rows", "dropped"]),
    ("log(signed) ~ Days", ["log(signed) is not defined in 4 rows", "dropped"]),
    ("score ~ Days^2 + (1 | school)", ["Days^2 means Days in a formula", "write I(Days^2)"]),
    ("score ~ age + (Days^2 | school)", ["Days^2 means Days in a formula", "write I(Days^2)"]),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "words"), WARNINGS)
def test_doubtful_input_is_fitted_with_a_warning(data, formula, words):
    with pytest.warns(DataWarning) as caught:
        design = build_design(formula, data)
    assert len(caught) == 1
    for word in words:
        assert word in str(caught[0].message)
    assert np.isfinite(design.X).all()


def test_a_warning_points_at_the_callers_line(data):
    with pytest.warns(DataWarning) as caught:
        build_design("score ~ one + Days", data)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "formula",
    [
        "score ~ Days + age + sex + (Days | school)",
        "score ~ Days + (Days || school) + (1 | sex)",
        "score ~ gap + flag + (1 | pair)",
        "score ~ 0 + one + log(Days)",
        "score ~ catalog + (1 | school)",
    ],
)
def test_sound_input_gives_no_warning(data, formula):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_design(formula, data.assign(catalog=data.age))


def test_infinite_values_are_put_down_to_a_logarithm_only_where_there_is_one(data):
    with pytest.raises(DataError) as caught:
        build_design("score ~ catalog", data.assign(catalog=data.huge))
    assert "log(0)" not in str(caught.value)


# -- nothing else than these errors --------------------------------------------------------------------

ATOMS = st.sampled_from(
    [
        "score",
        "Days",
        "sex",
        "flag",
        "gap",
        "signed",
        "huge",
        "one",
        "1",
        "2",
        "-1",
        "'F'",
        "TRUE",
        "NULL",
        "pi",
    ]
)
FUNCTIONS = [
    "log",
    "scale",
    "poly",
    "bs",
    "ns",
    "factor",
    "relevel",
    "as.numeric",
    "as.integer",
    "cbind",
    "c",
    "I",
]
FUNCTIONS += [
    "mean",
    "sd",
    "sqrt",
    "round",
    "offset",
    "C",
    "ordered",
    "center",
    "exp",
    "max",
    "as.vector",
    "as.factor",
]
KEYWORDS = [
    "",
    "",
    "",
    "levels = ",
    "ref = ",
    "df = ",
    "knots = ",
    "base = ",
    "x = ",
    "raw = ",
    "center = ",
    "scale = ",
]


def calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    argument = st.tuples(st.sampled_from(KEYWORDS), inner).map("".join)
    operator = st.sampled_from([" + ", " - ", " * ", "/", "^", "%%", " == ", " > ", " & ", " | ", ":"])
    return st.one_of(
        st.tuples(st.sampled_from(FUNCTIONS), st.lists(argument, max_size=3)).map(
            lambda p: f"{p[0]}({', '.join(p[1])})"
        ),
        st.tuples(inner, operator, inner).map(lambda p: f"({''.join(p)})"),
        inner.map(lambda e: f"!{e}"),
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.recursive(ATOMS, calls, max_leaves=5), st.sampled_from(["score ~ {}", "{} ~ Days", "score ~ (1 | {})"])
)
def test_any_expression_gives_a_design_or_one_of_our_errors(expression, place):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            design = build_design(place.format(f"I({expression})"), pupils())
        except BayesMLMError:
            return
    assert np.isfinite(design.X).all()
    assert np.isfinite(design.y).all()
    assert len(design.y) == design.nobs == len(design.X)


# -- priors --------------------------------------------------------------------------------------------

PRIORS = [
    # overrides, words that the message must hold
    ({"Dayz": normal()}, ["no 'Dayz'", "Did you mean 'Days'"]),
    ({"xyz": normal()}, ["no 'xyz'", "It has: Days, sexM", "sigma", "school"]),
    ({"schol": decov()}, ["no 'schol'", "Did you mean 'school'"]),
    ({"sigma": normal(0, 1)}, ["'sigma' is normal", "positive", "bm.exponential"]),
    ({"Days": exponential(1)}, ["'Days' is exponential", "any real number", "bm.normal"]),
    ({"fixed": half_normal(1)}, ["is half_normal", "any real number"]),
    ({"(Intercept)": gamma(2, 1)}, ["'(Intercept)' is gamma", "any real number"]),
    ({"Days": 2.5}, ["'Days' is 2.5", "such as bm.normal(0, 1)"]),
    ({"Days": decov()}, ["'Days' is Decov", "such as bm.normal(0, 1)"]),
    ({"school": normal(0, 1)}, ["block 'school'", "bm.decov(...) or bm.lkj(...)"]),
    ({"covariance": normal(1, 2)}, ["block 'school'", "bm.decov(...) or bm.lkj(...)"]),
]


@pytest.mark.parametrize(("overrides", "words"), PRIORS)
def test_wrong_prior_is_explained(data, overrides, words):
    design = build_design("score ~ Days + sex + (Days | school)", data)
    with pytest.raises(PriorError) as caught:
        build_priors(design, overrides)
    for word in words:
        assert word in str(caught.value)


def test_a_prior_for_an_absent_intercept_is_refused(data):
    design = build_design("score ~ 0 + sex + (1 | school)", data)
    with pytest.raises(PriorError, match=re.escape("the model has no '(Intercept)'")):
        build_priors(design, {"(Intercept)": normal()})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: normal(0, -1), ["normal(scale = -1)", "scale must be a positive number"]),
        (lambda: normal(0, 0), ["normal(scale = 0)", "positive"]),
        (lambda: normal(float("nan"), 1), ["normal(location = nan)", "location must be a finite number"]),
        (lambda: normal("0", 1), ["normal(location = '0')", "finite number"]),
        (lambda: student_t(0, 0, 1), ["student_t(df = 0)", "df must be a positive number"]),
        (lambda: exponential(-2), ["exponential(rate = -2)", "positive"]),
        (lambda: half_normal(float("inf")), ["half_normal(scale = inf)", "positive"]),
        (lambda: decov(concentration=0), ["decov(concentration = 0)", "positive"]),
        (lambda: lkj(regularization=-1), ["lkj(regularization = -1)", "positive"]),
        (lambda: lkj(sd=normal(0, 1)), ["lkj(sd=...)", "positive numbers", "half_normal(2)"]),
    ],
)
def test_wrong_parameters_of_a_prior_are_explained(make, words):
    with pytest.raises(PriorError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)
