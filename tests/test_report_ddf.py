"""The summary page with degrees of freedom, as lmerTest prints it."""

import json
from decimal import Decimal

import pytest
from reference_models import REFERENCE
from test_ddf import frame_for
from test_report import is_number

import bayesmlm as bm
from bayesmlm.report.rformat import format_p

PRINTED = json.loads((REFERENCE / "lmertest_printed.json").read_text())
# Where the number lies so near the middle that the two optima round differently.
LAST_PLACE = {"hsb_mod3", "sleep_quadratic"}
DDF = {"satterthwaite": "Satterthwaite", "kenward_roger": "Kenward-Roger"}


@pytest.mark.parametrize(
    ("name", "method"),
    # pbkrtest leaves the weights out of the residuals' covariance
    [
        pytest.param(n, m, id=f"{n}-{m}")
        for n, entry in PRINTED.items()
        for m in DDF
        if m in entry and not (m == "kenward_roger" and entry["weighted"])
    ],
)
@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_prints_what_lmertest_prints(name, method):
    entry = PRINTED[name]
    extra = {"weights": "w", "offset": "o"} if entry["weighted"] else {}
    fit = bm.lmer(entry["formula"], frame_for(entry["data"]), reml=entry["reml"], **extra)
    ours = [line.rstrip() for line in str(fit.summary(ddf=DDF[method])).split("\n")]
    # What lme4 prints too, but lmerTest's pages here were stored without, and what only we say.
    ours = [x for x in ours if "rows left out" not in x and not x.startswith(("Weights:", " Offset:"))]
    how = "REML" if entry["reml"] else "maximum likelihood"
    title = f"Linear mixed model fit by {how}. t-tests use {DDF[method]}'s method ['lmerModLmerTest']"
    assert ours[:3] == [title, f"Formula: {fit.formula}", ""]
    body = ours[3:-1] if fit.is_singular() else ours[3:]
    if name in LAST_PLACE:
        assert_last_place(body, entry[method])
    else:
        assert body == entry[method]


def assert_last_place(ours, theirs):
    """One unit in the last place is allowed; words are not."""
    for mine, expected in zip(ours, theirs, strict=True):
        for a, b in zip(mine.split(), expected.split(), strict=True):
            if is_number(a):
                assert abs(Decimal(a) - Decimal(b)) <= Decimal(10) ** Decimal(b).as_tuple().exponent
            else:
                assert a == b


def test_without_a_method_the_page_is_lme4s():
    fit = bm.lmer("Reaction ~ Days + (Days | Subject)", bm.load_dataset("sleepstudy"))
    assert str(fit.summary(ddf="lme4")) == str(fit.summary(ddf=None)) == str(fit.summary())
    assert "Pr(>|t|)" not in str(fit.summary())


def test_no_legend_without_stars():
    frame = bm.load_dataset("sleepstudy")
    frame["y"] = frame["Reaction"] - frame["Reaction"].mean()
    page = str(bm.lmer("y ~ 1 + (1 | Subject)", frame).summary(ddf="satterthwaite"))
    assert "Signif" not in page
    assert "Pr(>|t|)" in page


def test_notebook_page_has_the_columns():
    fit = bm.lmer("Reaction ~ Days + (Days | Subject)", bm.load_dataset("sleepstudy"))
    page = fit.summary(ddf="satterthwaite")._repr_html_()
    assert "Pr(&gt;|t|)" in page
    assert '<th scope="col" style="text-align:right">df</th>' in page


@pytest.mark.parametrize(
    ("p", "digits", "expected"),
    [
        ([1.23e-8, 0.242738, 0.0002811, 0.000421], 3, ["1.23e-08", "0.242738", "0.000281", "0.000421"]),
        ([1e-40, 0.242738, 0.00002811, 0.000421], 3, ["< 2e-16", "0.242738", "2.81e-05", "0.000421"]),
        ([0.242738, 0.00001], 3, ["0.243", "1e-05"]),
        ([1e-40], 3, ["<2e-16"]),
        ([1e-40], 4, ["< 2.2e-16"]),
        ([1e-40, 0.8004], 4, ["<2e-16", "0.8004"]),
        ([1e-40, 7.072e-10], 4, ["< 2.2e-16", "7.072e-10"]),
    ],
)
def test_p_values_as_r_4_2_formats_them(p, digits, expected):
    assert format_p(p, digits) == expected
