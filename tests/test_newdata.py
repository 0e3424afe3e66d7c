"""`new_design`: new rows are coded as the data of the fit taught, and what cannot be coded is refused in words."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesmlm.blocks import Block
from bayesmlm.datasets import load_dataset
from bayesmlm.design import Design, build_design
from bayesmlm.errors import DataError, DataWarning, FormulaError
from bayesmlm.families import GAUSSIAN, read_family
from bayesmlm.newdata import NewDesign, new_design

LME4 = json.loads((Path(__file__).parent / "reference" / "lme4.json").read_text())
N = 60
RNG = np.random.default_rng(7)
DATA = pd.DataFrame(
    {
        "y": RNG.normal(10, 2, N),
        "x": RNG.normal(50, 9, N),
        "z": RNG.gamma(2, 2, N),
        "k": np.arange(N) % 4,
        "f": pd.Categorical(np.array(["lo", "mid", "hi"])[np.arange(N) % 3], ["lo", "mid", "hi"]),
        "sex": np.array(["M", "F"])[np.arange(N) // 2 % 2],
        "pass": np.arange(N) % 5 > 1,
        "school": np.array([f"s{i}" for i in np.arange(N) % 6]),
        "class": (np.arange(N) // 6 % 3) + 1,
        "o": RNG.normal(size=N),
    }
)
DATA.loc[[5, 11], "z"] = np.nan


def design_of(formula: str, **extra) -> Design:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return build_design(formula, DATA, **extra)


def one(formula: str, rows: pd.DataFrame | None = None, **arguments) -> NewDesign:
    return new_design(design_of(formula), DATA if rows is None else rows, **arguments)


# -- the fixed part --------------------------------------------------------------------------------

EXPRESSIONS = [
    "x + z",
    "scale(x) + center(z)",
    "scale(x, scale = FALSE) + scale(z, center = FALSE) + scale(x, center = 50, scale = 10)",
    "scale(cbind(x, o))",
    "poly(x, 3)",
    "poly(x, 2, raw = TRUE)",
    "ns(x, 4) + bs(z, df = 5)",
    "ns(z, knots = c(2, 5), intercept = TRUE)",
    "bs(x, degree = 2)",
    "I((x - mean(x)) / sd(x)) + I(z > median(z))",
    "log(z + 1) + round(x, -1) + I(x %/% 10)",
    "f + sex + pass",
    "0 + f:x + sex",
    "factor(k) + as.numeric(f)",
    "relevel(f, ref = 'hi') * sex",
    "factor(f, levels = c('hi', 'mid', 'lo'), labels = c('a', 'b', 'c'))",
    "C(k) : scale(x)",
    "I(f == 'lo') + as.numeric(sex == 'M')",
    "x * f + I(2 * x) + offset(log(z + 1))",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_rows_mean_by_themselves_what_they_mean_in_the_data_of_the_fit(text):
    design = design_of(f"y ~ {text}")
    for rows in ([3], [40, 2, 40], np.arange(N)):
        rows = [r for r in rows if r not in {5, 11}]
        at = np.searchsorted(design.rows, rows)
        new = new_design(design, DATA.iloc[rows].drop(columns="y"))
        np.testing.assert_allclose(new.X, design.X[at], rtol=1e-12, atol=1e-12)
        assert (new.offset is None) == (design.offset is None)
        if design.offset is not None:
            np.testing.assert_array_equal(new.offset, design.offset[at])


@pytest.mark.parametrize("dtype", ["string", "category", object])
def test_categories_may_come_in_another_dtype_and_order(dtype):
    rows = DATA.iloc[[0, 1, 2, 3]]
    other = rows.assign(f=rows["f"].astype(str).astype(dtype), sex=rows["sex"].astype(dtype))
    other["class"] = other["class"].astype(str)
    text = "y ~ f * sex + (1 | class)"
    ours, theirs = one(text, rows), one(text, other)
    np.testing.assert_array_equal(ours.X, theirs.X)
    np.testing.assert_array_equal(ours.blocks[0].index, theirs.blocks[0].index)


def test_numbers_of_categories_do_not_depend_on_those_present():
    rows = pd.DataFrame({"f": pd.Categorical(["hi", "lo"])})  # in alphabetical order, and "mid" is absent
    np.testing.assert_array_equal(one("y ~ as.numeric(f)", rows).X[:, 1], [3, 1])


def test_polynomials_and_splines_go_on_beyond_the_data_as_functions_of_x():
    design = design_of("y ~ poly(x, 3) + bs(x, df = 5)")
    edge = DATA["x"].max()
    x = edge + np.linspace(0, 8, 9)
    X = new_design(design, pd.DataFrame({"x": x})).X
    # cubics: the fourth differences vanish
    np.testing.assert_allclose(np.diff(X, 4, axis=0), 0, atol=1e-8 * np.abs(X).max())
    natural = one("y ~ ns(x, 4)", pd.DataFrame({"x": x})).X
    np.testing.assert_allclose(np.diff(natural, 2, axis=0), 0, atol=1e-12 * np.abs(natural).max())


def test_poly_of_a_high_degree_is_orthonormal():
    X = design_of("y ~ poly(x, 8)").X[:, 1:]
    np.testing.assert_allclose(X.T @ X, np.eye(8), atol=1e-9)


def test_means_see_all_rows_of_the_fit_as_in_r():
    design = design_of("y ~ scale(x) + z")  # rows 5 and 11 lack z, and have an x
    expected = (100 - DATA["x"].mean()) / DATA["x"].std()
    assert new_design(design, pd.DataFrame({"x": [100.0], "z": [1.0]})).X[0, 1] == pytest.approx(expected)


def test_columns_left_out_of_the_fit_are_left_out_of_new_rows():
    with pytest.warns(DataWarning, match="linear combination"):
        design = build_design("y ~ x + I(2 * x) + z", DATA)
    new = new_design(design, pd.DataFrame({"x": [1.0], "z": [3.0]}))
    np.testing.assert_array_equal(new.X, [[1, 1, 3]])


def test_a_missing_value_makes_its_row_missing_and_no_other():
    rows = pd.DataFrame({"x": [1, np.nan, 3, 4], "f": ["lo", "mid", None, "hi"], "z": [1.0, 2, 3, np.nan]})
    new = one("y ~ scale(x) * f + ns(z, 2)", rows)
    np.testing.assert_array_equal(np.isnan(new.X).any(axis=1), [False, True, True, True])


def test_booleans_and_numbers():
    rows = pd.DataFrame({"x": [True, False]})
    np.testing.assert_array_equal(one("y ~ x", rows).X[:, 1], [1, 0])
    np.testing.assert_array_equal(one("y ~ pass", pd.DataFrame({"pass": [False]})).X, [[1, 0]])


def test_other_columns_do_not_matter():
    rows = pd.DataFrame({"x": [1.0], "pi": [99.0], "T": ["no"]})
    np.testing.assert_array_equal(one("y ~ I(x * pi)", rows).X[:, 1], [np.pi])


def test_the_response_is_evaluated_where_it_is_asked_for():
    design = design_of("scale(y) ~ x")
    np.testing.assert_allclose(new_design(design, DATA.iloc[:3], needs_response=True).y, design.y[:3])
    assert new_design(design, DATA).y is None
    with pytest.raises(DataError, match="no column 'y'"):
        new_design(design, DATA.drop(columns="y"), needs_response=True)


def test_polars_and_an_empty_frame_work():
    polars = pytest.importorskip("polars")
    text = "y ~ scale(x) * f + (x | school)"
    rows = DATA[["x", "f", "school"]]
    theirs = one(text, polars.from_pandas(rows))
    np.testing.assert_array_equal(theirs.X, one(text, rows).X)
    assert one(text, rows.iloc[:0]).X.shape == (0, 6)


# -- group effects ---------------------------------------------------------------------------------


def test_levels_are_matched_by_name():
    design = design_of("y ~ 1 + (x | school)")
    new = new_design(design, pd.DataFrame({"x": [1.0, 2, 3], "school": ["s4", "s0", "s4"]}))
    np.testing.assert_array_equal(new.blocks[0].index, [4, 0, 4])
    np.testing.assert_array_equal(new.blocks[0].Z, [[1, 1], [1, 2], [1, 3]])


def test_new_and_missing_levels_are_named_when_allowed():
    rows = pd.DataFrame({"school": ["s4", "new", None, "s0", "new", "other"]})
    (block,) = one("y ~ 1 + (1 | school)", rows, allow_new_levels=True).blocks
    np.testing.assert_array_equal(block.index, [4, -1, -1, 0, -1, -1])
    assert [block.new_levels[i] for i in block.new_index[[1, 2, 4, 5]]] == ["new", "NA", "new", "other"]
    assert set(block.new_index[[0, 3]]) == {-1}


def test_nested_levels_are_pairs_not_texts():
    frame = pd.DataFrame({"y": np.arange(12.0) % 5, "a": ["p", "p", "q:r", "q:r"] * 3, "b": ["r:s", "s"] * 6})
    design = build_design("y ~ 1 + (1 | a:b)", frame)
    rows = pd.DataFrame({"a": ["p", "p:r", "q:r", "q"], "b": ["r:s", "s", "s", "r:s"]})
    (block,) = new_design(design, rows, allow_new_levels=True).blocks
    assert [block.index[0], block.index[2]] == [design.blocks[0].levels.index(v) for v in ("p:r:s", "q:r:s")]
    np.testing.assert_array_equal(block.index[[1, 3]], [-1, -1])
    assert len(block.new_levels) == 2  # though both read "p:r:s" or "q:r:s"


def test_a_new_combination_of_known_levels_is_a_new_level():
    frame = DATA[(DATA["school"] != "s1") | (DATA["class"] != 2)]
    design = build_design("y ~ 1 + (1 | school/class)", frame)
    rows = pd.DataFrame({"school": ["s1", "s1"], "class": [2, 1]})
    with pytest.raises(DataError, match=r"class:school has the level '2:s1'.*allow_new_levels=True"):
        new_design(design, rows)
    inner, outer = new_design(design, rows, allow_new_levels=True).blocks
    assert inner.index[0] == -1
    assert inner.new_levels == ("2:s1",)
    assert outer.new_levels == ()
    assert (outer.index == 1).all()


def test_levels_that_only_dropped_rows_had_are_new():
    frame = DATA.assign(school=np.where(np.isnan(DATA["z"]), "gone", DATA["school"]))
    design = build_design("y ~ z + (1 | school)", frame)
    with pytest.raises(DataError, match="'gone'"):
        new_design(design, pd.DataFrame({"z": [1.0], "school": ["gone"]}))


BARS = {
    None: {"school": (0, 1), "class": (0,)},
    "~0": {},
    "~ (x | school)": {"school": (0, 1)},
    "~ (1 | school)": {"school": (0,)},
    "~ (0 + x | school) + (1 | class)": {"school": (1,), "class": (0,)},
}


@pytest.mark.parametrize(("re_formula", "expected"), BARS.items())
def test_re_formula_chooses_blocks_and_columns(re_formula, expected):
    new = one("y ~ 1 + (x | school) + (1 | class)", re_formula=re_formula)
    assert {b.label: b.columns for b in new.blocks} == expected
    for block in new.blocks:
        full = np.column_stack([np.ones(N), DATA["x"]])
        np.testing.assert_array_equal(block.Z, full[:, list(block.columns)])


def test_a_bar_may_gather_the_columns_of_several_blocks():
    new = one("y ~ 1 + (x || school)", re_formula="~ (1 + x | school)")
    assert {b.label: b.columns for b in new.blocks} == {"school": (0,), "school.1": (0,)}
    swapped = one("y ~ 1 + (1 | class:school)", re_formula="~ (1 | school:class)")
    assert swapped.blocks[0].new_levels == ()


def test_columns_of_effects_that_are_not_wanted_are_not_needed():
    new = one("y ~ x + (z | school)", pd.DataFrame({"x": [1.0]}), re_formula="~0")
    np.testing.assert_array_equal(new.X, [[1, 1]])


@pytest.mark.filterwarnings("ignore::bayesmlm.errors.DataWarning")
@pytest.mark.parametrize("name", [k for k, entry in LME4.items() if "formula" in entry])
def test_rows_of_reference_models_are_coded_as_in_the_fit(name):
    entry = LME4[name]
    data = load_dataset(entry["data"].removesuffix(".csv"))
    if entry["data"] == "england_schools.csv":
        data = data.query("ATT8SCR > 0 and PTFSM6CLA1A > 0 and PERCTOT > 0 and PNUMEAL > 0")
    if "cHEIGHT" in entry["formula"]:
        data = data.assign(cHEIGHT=data["HEIGHT"] - data["HEIGHT"].mean())
    family = read_family(entry["family"], entry["link"]) if entry["kind"] == "glmer" else GAUSSIAN
    design = build_design(entry["formula"], data, family)
    at = np.random.default_rng(0).permutation(design.nobs)[:20]
    new = new_design(design, data.iloc[design.rows[at]], needs_response=True)
    np.testing.assert_allclose(new.X, design.X[at], rtol=1e-10)
    np.testing.assert_allclose(new.y, design.y[at], rtol=1e-14)
    assert (new.trials is None) == (design.trials is None)
    if new.trials is not None:
        np.testing.assert_array_equal(new.trials, design.trials[at])
    for block, ours in zip(design.blocks, new.blocks, strict=True):
        np.testing.assert_array_equal(ours.index, block.index[at])
        np.testing.assert_allclose(ours.Z, block.Z[at], rtol=1e-10)


# -- refusals --------------------------------------------------------------------------------------

ROW = DATA.iloc[[0]]
REFUSED = [
    ("y ~ f", ROW.assign(f="top"), {}, ["f has the level 'top'", "no coefficient", "knows lo, mid, hi"]),
    ("y ~ factor(k)", ROW.assign(k=9), {}, ["factor(k) has the level '9'", "knows 0, 1, 2, 3"]),
    ("y ~ as.numeric(f)", ROW.assign(f="top"), {}, ["f has the level 'top'"]),
    ("y ~ pass", ROW.assign(**{"pass": 3}), {}, ["pass has the level '3'", "knows FALSE, TRUE"]),
    ("y ~ 1 + (f | school)", ROW.assign(f="top"), {}, ["f has the level 'top'"]),
    ("y ~ x", ROW.assign(x="many"), {}, ["'x' holds categories (many)", "numbers in the data of the fit"]),
    ("y ~ x + z", ROW.rename(columns={"x": "X"}), {}, ["no column 'x'", "y ~ x + z", "Did you mean 'X'"]),
    ("y ~ 1 + (1 | school)", ROW[["x"]], {}, ["no column 'school'", "They have: x."]),
    (
        "y ~ 1 + (1 | school)",
        ROW.assign(school="new"),
        {},
        ["school has the level 'new'", "allow_new_levels=True"],
    ),
    ("y ~ 1 + (1 | school)", ROW, {"re_formula": "~1"}, ["no group effects", "'~0'", "None for all"]),
    ("y ~ 1 + (1 | school)", ROW, {"re_formula": "~ x"}, ["group effects only", "^^^"]),
    ("y ~ 1 + (1 | school)", ROW, {"re_formula": 0}, ["None for all", "not 0"]),
    (
        "y ~ 1 + (1 | school)",
        ROW,
        {"re_formula": "~ (1 | class)"},
        ["(1 | class) is not in the model", "(1 | school)"],
    ),
    ("y ~ 1 + (1 | school)", ROW, {"re_formula": "~ (1 | skool)"}, ["(1 | skool) is not in the model"]),
    ("y ~ x + (1 | school)", ROW, {"re_formula": "~ (x | school)"}, ["(1 + x | school) is not in the model"]),
    ("y ~ x + (1 | school)", ROW, {"re_formula": "~ (xx | school)"}, ["unknown column 'xx'", "^^"]),
    (
        "y ~ x + (x | school)",
        ROW,
        {"re_formula": "~ (1 | school) + (x | school)"},
        ["names the effect of (Intercept) on school twice"],
    ),
    ("y ~ x", [1, 2], {}, ["must be a data frame"]),
]


@pytest.mark.parametrize(
    ("formula", "rows", "arguments", "words"), REFUSED, ids=[" ".join(r[3][:1]) for r in REFUSED]
)
def test_what_cannot_be_coded_is_refused(formula, rows, arguments, words):
    with pytest.raises((DataError, FormulaError)) as caught:
        one(formula, rows, **arguments)
    for word in words:
        assert word in str(caught.value)


def test_an_offset_that_was_a_column_is_looked_up_and_an_array_has_to_be_given_again():
    by_name = design_of("y ~ x + offset(z)", offset="o")
    rows = pd.DataFrame({"x": [1.0], "z": [2.0], "o": [30.0], "other": [400.0]})
    np.testing.assert_array_equal(new_design(by_name, rows).offset, [32])
    np.testing.assert_array_equal(new_design(by_name, rows, offset="other").offset, [402])
    with pytest.raises(DataError, match="no column 'o', the fit's offset"):
        new_design(by_name, rows.drop(columns="o"))
    by_array = design_of("y ~ x", offset=DATA["o"].to_numpy())
    with pytest.raises(DataError, match="give offset= with the new data"):
        new_design(by_array, rows)
    np.testing.assert_array_equal(new_design(by_array, rows, offset=[5]).offset, [5])
    with pytest.raises(DataError, match="2 values for 1 rows"):
        new_design(by_array, rows, offset=[5, 6])


# -- what a design keeps ---------------------------------------------------------------------------


def test_a_pickled_design_codes_new_rows_and_leaves_the_callers_data_behind():
    design = design_of("y ~ poly(x, 2) * f + (scale(x) | school/class)")
    copy = pickle.loads(pickle.dumps(design))
    assert design.data is DATA
    assert copy.data is None
    before, after = (new_design(d, DATA.iloc[:9]) for d in (design, copy))
    np.testing.assert_array_equal(before.X, after.X)
    np.testing.assert_array_equal(before.blocks[1].Z, after.blocks[1].Z)


def test_evaluating_new_rows_changes_neither_them_nor_the_design():
    design = design_of("y ~ scale(x) * f + (1 | school)")
    kept = pickle.dumps(design)
    rows = DATA.copy()
    new_design(design, rows.assign(school="other"), allow_new_levels=True)
    assert pickle.dumps(design) == kept
    pd.testing.assert_frame_equal(rows, DATA)


# -- columns of zeros ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ zero + x", ["zero is 0 in all 60 rows", "leave it out of the formula"]),
        ("y ~ I(x * 0)", [r"I(x * 0) is 0 in all 60 rows"]),
        ("y ~ x + (zero | school)", ["zero is 0 in every row", "(1 + zero | school)", "leave it out"]),
        ("y ~ x + (0 + late:x | school)", ["late:x is 0 in every row"]),
    ],
)
def test_predictors_that_are_zero_throughout_are_refused(formula, words):
    frame = DATA.assign(zero=0.0, late=0)
    with pytest.raises(DataError) as caught:
        build_design(formula, frame)
    for word in words:
        assert word in str(caught.value)


def test_empty_cells_of_an_interaction_are_left_out_with_a_warning():
    frame = DATA[(DATA["f"] != "hi") | (DATA["sex"] != "M")]
    with pytest.warns(DataWarning, match="left out of the fixed effects"):
        design = build_design("y ~ f * sex + (1 | school)", frame)
    assert design.aliased == ("fhi:sexM",)
    rows = pd.DataFrame({"f": ["hi"], "sex": ["M"], "school": ["s0"]})
    np.testing.assert_array_equal(new_design(design, rows).X, [[1, 0, 1, 1, 0]])


def test_blocks_are_at_home_in_the_random_part():
    assert type(design_of("y ~ (1 | school)").blocks[0]) is Block


def test_new_data_may_be_a_dict_of_columns():
    data = pd.DataFrame({"y": np.arange(12.0), "x": np.arange(12) % 5.0, "g": list("aabbccddeeff")})
    design = build_design("y ~ x + (1 | g)", data)
    expected = new_design(design, data.head(2)).X
    np.testing.assert_array_equal(new_design(design, {"x": [0.0, 1.0], "g": ["a", "a"]}).X, expected)
    np.testing.assert_array_equal(new_design(design, {"x": 1.0, "g": "a"}).X, expected[1:])
    with pytest.raises(DataError, match="do not fit together"):
        new_design(design, {"x": [0.0, 1.0, 2.0], "g": ["a", "a"]})
