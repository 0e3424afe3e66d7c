"""Every data set that comes with the package: shape, documentation, categories, missing values, values."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest

from bayesmlm.datasets import describe_dataset, list_datasets, load_dataset
from bayesmlm.errors import DataError

SHAPES = {
    "cake": (270, 5),
    "cbpp": (56, 4),
    "dyestuff": (30, 2),
    "dyestuff2": (30, 2),
    "england_schools": (3056, 37),
    "gcsemv": (1905, 6),
    "grouseticks": (403, 7),
    "hsb": (7185, 12),
    "imm10": (260, 19),
    "lsype_sim": (16316, 7),
    "pastes": (60, 4),
    "penicillin": (144, 3),
    "sleepstudy": (180, 3),
}
DATASETS = pytest.mark.parametrize("name", SHAPES)
POSITIVE = "ATT8SCR > 0 and PTFSM6CLA1A > 0 and PERCTOT > 0 and PNUMEAL > 0"


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    return {name: load_dataset(name) for name in SHAPES}


def categories(data: pd.DataFrame) -> dict[str, list[str]]:
    return {column: list(data[column].cat.categories) for column in data.select_dtypes("category")}


@DATASETS
def test_shape_is_the_documented_one(frames, name):
    entry = describe_dataset(name)
    assert frames[name].shape == SHAPES[name] == (entry.rows, len(entry.columns))


@DATASETS
def test_every_column_is_documented_in_order(frames, name):
    assert list(frames[name].columns) == list(describe_dataset(name).columns)


@DATASETS
def test_printed_documentation_is_complete(name):
    entry = describe_dataset(name)
    printed = " ".join(str(entry).split())
    parts = (entry.title, entry.source, entry.origin, entry.licence, entry.formula, *entry.columns.values())
    assert all(part and " ".join(part.split()) in printed for part in parts)
    assert len(repr(entry)) < 80


@DATASETS
def test_documentation_says_which_columns_are_categorical(frames, name):
    """The word stands in a column's description when, and only when, the column is categorical."""
    described = {
        column for column, meaning in describe_dataset(name).columns.items() if "categorical" in meaning
    }
    assert set(categories(frames[name])) == described


@DATASETS
def test_levels_are_strings_that_occur(frames, name):
    for column, levels in categories(frames[name]).items():
        assert all(isinstance(level, str) for level in levels)
        assert set(levels) == set(frames[name][column].dropna())


@DATASETS
def test_example_formula_names_existing_columns(frames, name):
    formula = describe_dataset(name).formula
    assert "|" in formula
    names = re.findall(r"[A-Za-z_][\w.]*(?![\w.]*\()", formula)  # a name before "(" is a function
    assert set(names) <= set(frames[name].columns)


@DATASETS
def test_file_carries_no_time(name):
    """Bytes 4 to 8 of a gzip file are its time stamp; 0 makes the file reproducible."""
    assert files("bayesmlm.datasets").joinpath("data", f"{name}.csv.gz").read_bytes()[4:8] == bytes(4)


def test_list_datasets_has_one_row_per_file():
    table = list_datasets()
    assert list(table.columns) == ["name", "rows", "columns", "title", "source", "licence", "formula"]
    assert {row.name: (row.rows, row.columns) for row in table.itertuples(index=False)} == SHAPES
    assert {path.name for path in files("bayesmlm.datasets").joinpath("data").iterdir()} == {
        f"{name}.csv.gz" for name in SHAPES
    }


@pytest.mark.parametrize(
    ("name", "column", "levels"),
    [
        ("gcsemv", "female", ["M", "F"]),
        ("gcsemv", "gender", ["F", "M"]),
        ("cake", "replicate", [str(i) for i in range(1, 16)]),
        ("cake", "recipe", ["A", "B", "C"]),
        ("cake", "temperature", ["175", "185", "195", "205", "215", "225"]),
        ("cbpp", "herd", [str(i) for i in range(1, 16)]),
        ("cbpp", "period", ["1", "2", "3", "4"]),
        ("grouseticks", "INDEX", [str(i) for i in range(1, 404)]),
        ("grouseticks", "LOCATION", [str(i) for i in range(1, 64)]),
        ("grouseticks", "YEAR", ["95", "96", "97"]),
        ("penicillin", "plate", list("abcdefghijklmnopqrstuvwx")),
        ("pastes", "sample", [f"{batch}:{cask}" for batch in "ABCDEFGHIJ" for cask in "abc"]),
        ("england_schools", "ADMPOL_PT", ["NON SEL IN HIGHLY SEL AREA", "OTHER NON SEL", "SEL"]),
        (
            "england_schools",
            "OFSTEDRATING",
            ["Good", "Outstanding", "Requires improvement", "Serious Weaknesses", "Special Measures"],
        ),
    ],
)
def test_order_of_levels(frames, name, column, levels):
    assert list(frames[name][column].cat.categories) == levels


def test_only_the_baking_temperature_is_ordered(frames):
    ordered = [(n, c) for n, data in frames.items() for c in categories(data) if data[c].cat.ordered]
    assert ordered == [("cake", "temperature")]


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("gcsemv", {"school": 73}),
        ("grouseticks", {"BROOD": 118, "INDEX": 403, "LOCATION": 63}),
        ("hsb", {"SCHOOL": 160}),
        ("imm10", {"schid": 10, "schnum": 10}),
        ("lsype_sim", {"schoolID": 657}),
        ("england_schools", {"LANAME": 151, "gor_name": 9}),
        ("sleepstudy", {"Subject": 18}),
    ],
)
def test_number_of_groups(frames, name, groups):
    assert frames[name][list(groups)].nunique().to_dict() == groups


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("gcsemv", {"written": 202, "course": 180}),
        ("lsype_sim", {"ks2stand": 1448, "ks4stand": 190, "fsm": 360}),
        ("hsb", {}),
        ("imm10", {}),
    ],
)
def test_missing_values(frames, name, missing):
    count = frames[name].isna().sum()
    assert count[count > 0].to_dict() == missing


def test_missing_values_of_the_schools_in_england(frames):
    """The word None is a religious character; only empty cells and NA are missing."""
    schools = frames["england_schools"]
    assert (schools["RELCHAR"] == "None").sum() == 1141
    expected = {"RELCHAR": 22, "OFSTEDRATING": 101, "ATT8SCR": 86, "ADMPOL.y": 213}
    assert schools[list(expected)].isna().sum().to_dict() == expected


@pytest.mark.parametrize(
    ("name", "columns", "query", "nobs"),
    [
        ("gcsemv", ["course", "female", "school"], None, 1725),
        ("lsype_sim", ["ks4stand", "schoolID"], None, 16126),
        ("lsype_sim", ["ks4stand", "ks2stand", "schoolfsm"], None, 14690),
        ("lsype_sim", ["ks4stand", "ks2stand", "gender", "fsm"], None, 14368),
        ("england_schools", ["ATT8SCR", "OFSTEDRATING"], POSITIVE, 2902),
        ("england_schools", ["P8MEA", "gor_name", "LANAME"], POSITIVE, 2958),
    ],
)
def test_complete_rows_are_those_that_lme4_fitted(frames, name, columns, query, nobs):
    """nobs() of fits by lme4 1.1-31 to the same files."""
    data = frames[name].query(query) if query else frames[name]
    assert len(data[columns].dropna()) == nobs


@pytest.mark.parametrize(
    ("name", "response", "intercept"),
    [
        ("dyestuff", "Yield", 1527.5),
        ("dyestuff2", "Yield", 5.6656),
        ("pastes", "strength", 60.053333333),
        ("penicillin", "diameter", 22.972222222),
    ],
)
def test_mean_is_the_intercept_of_the_balanced_fit(frames, name, response, intercept):
    """In a balanced layout the mean is lme4's intercept; values by lme4 1.1-31."""
    assert frames[name][response].mean() == pytest.approx(intercept, rel=1e-9)


def test_derived_columns(frames):
    gcse, hsb, lsype = frames["gcsemv"], frames["hsb"], frames["lsype_sim"]
    assert (gcse["female"].astype(str) == gcse["gender"].astype(str)).all()
    pd.testing.assert_series_equal(hsb["cses"], hsb["SES"] - hsb["MEANSES"], check_names=False)
    known = lsype.dropna(subset="fsm").groupby("schoolID")["fsm"]
    percent = lsype["schoolID"].map(100 * known.sum() / known.count())
    assert lsype["schoolfsm"].to_numpy() == pytest.approx(percent.to_numpy())


def test_claims_of_the_notes(frames):
    gcse, hsb, cbpp, grouse = (frames[name] for name in ("gcsemv", "hsb", "cbpp", "grouseticks"))
    assert not gcse[["written", "course"]].isna().all(axis=1).any()
    within = hsb.groupby("SCHOOL", observed=True)["cses"].mean()
    assert within.to_numpy() == pytest.approx(-0.006, abs=0.0005 + 1e-9)  # MEANSES has three decimals
    assert cbpp["herd"].value_counts()[["2", "8"]].to_list() == [3, 1]
    assert (grouse.groupby("BROOD", observed=True)[["YEAR", "HEIGHT", "LOCATION"]].nunique() == 1).all(
        axis=None
    )
    positive = frames["england_schools"].query(POSITIVE)
    assert (len(positive), positive["OFSTEDRATING"].isna().sum()) == (2961, 59)
    assert POSITIVE in describe_dataset("england_schools").notes


@pytest.mark.parametrize("load", [load_dataset, describe_dataset])
def test_unknown_name_lists_the_data_sets_and_suggests_one(load):
    with pytest.raises(
        DataError, match=r"'sleepstdy'; there are cake, .* sleepstudy\. Did you mean 'sleepstudy'\?"
    ):
        load("sleepstdy")


def test_names_may_be_written_as_in_r():
    pd.testing.assert_frame_equal(load_dataset("Dyestuff2"), load_dataset("dyestuff2"))


def test_loads_are_independent():
    first = load_dataset("sleepstudy")
    first.loc[:, "Reaction"] = 0.0
    first["new"] = 1
    second = load_dataset("sleepstudy")
    assert second["Reaction"].iloc[0] == 249.56
    assert "new" not in second


def test_page_of_the_documentation_tells_the_same_shapes():
    page = Path(__file__).parent.parent / "docs" / "datasets.md"
    rows = [
        line.split("|")[1:4]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert {name.strip(" `"): (int(n), int(k)) for name, n, k in rows} == SHAPES
