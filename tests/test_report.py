"""What is printed: numbers as lme4 prints them, layout as rstanarm's."""

import json
import re
from decimal import Decimal

import numpy as np
import pytest
from reference_models import REFERENCE
from synthetic import fit_of, posterior_of
from test_reference import frame_of

import bayesmlm as bm
from bayesmlm.covariance import BlockCovariance, VarCorr
from bayesmlm.design import build_design
from bayesmlm.report import Grid, Report, fit_report, printed_varcorr, summary_report
from bayesmlm.report.rformat import abbreviate, format_numbers, format_p, zapsmall
from bayesmlm.tables import auxiliary_frame, point_frame, posterior_varcorr, summary_frame

PRINTED = json.loads((REFERENCE / "lme4_printed.json").read_text())
# One unit in the last place, where the number lies so near the middle that the two optima round differently.
LAST_PLACE = {"eng_crossed", "eng_corr", "eng_uncorr"}


@pytest.mark.parametrize("name", sorted(PRINTED))
@pytest.mark.parametrize("kind", ["summary", "print"])
@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_prints_what_lme4_prints(name, kind, lme4):
    entry = lme4[name]
    fit = bm.lmer(entry["formula"], frame_of(entry), reml=entry["REML"])
    ours = [line.rstrip() for line in (str(fit.summary()) if kind == "summary" else repr(fit)).split("\n")]
    assert ours[1] == f"Formula: {fit.formula}"
    # What lme4 does not say, because R's users do not expect it.
    ours = [line for line in ours if "rows left out" not in line]
    start = next(i for i, line in enumerate(ours) if line.strip().startswith(("AIC", "REML criterion")))
    body = [ours[0], *ours[start:]]
    if fit.is_singular():
        assert "singular" in body.pop()
    theirs = PRINTED[name][kind]
    if name in LAST_PLACE:
        assert [line.split() for line in body if not is_number_line(line)] == [
            line.split() for line in theirs if not is_number_line(line)
        ]
        for ours_line, theirs_line in zip(body, theirs, strict=True):
            for mine, theirs_token in zip(ours_line.split(), theirs_line.split(), strict=True):
                if is_number(mine):
                    unit = Decimal(10) ** Decimal(theirs_token).as_tuple().exponent
                    assert abs(Decimal(mine) - Decimal(theirs_token)) <= unit
    else:
        assert body == theirs


def test_lines_that_lme4_prints_for_weights_and_offset_and_one_for_lost_rows():
    frame = bm.load_dataset("sleepstudy").assign(w=2.0)
    frame.loc[3, "Reaction"] = np.nan
    fit = bm.lmer("Reaction ~ Days + (1 | Subject)", frame, weights="w", offset=np.ones(len(frame)))
    for page in (repr(fit), str(fit.summary())):
        lines = page.split("\n")
        assert lines[2:4] == ["Weights: w", " Offset: given as numbers"]
        where = lines.index("Number of obs: 179, groups:  Subject, 18")
        assert lines[where + 1] == "(1 of 180 rows left out: missing Reaction 1)"


def test_page_without_fixed_effects():
    fit = bm.lmer("Reaction ~ 0 + (1 | Subject)", bm.load_dataset("sleepstudy"))
    assert repr(fit).startswith("Linear mixed model fit by maximum likelihood")
    for page in (repr(fit), str(fit.summary()), str(fit.summary(ddf="satterthwaite"))):
        assert "No fixed effect coefficients" in page
        assert "Fixed" not in page


def test_correlations_of_many_coefficients_are_left_out_with_a_word():
    frame = bm.load_dataset("sleepstudy")
    frame = frame.assign(**{f"x{i}": np.sin(i * np.arange(len(frame))) for i in range(1, 13)})
    fixed = " + ".join(f"x{i}" for i in range(1, 13))
    page = str(bm.lmer(f"Reaction ~ {fixed} + (1 | Subject)", frame).summary())
    assert "Correlation of Fixed Effects: not shown for 13 > 12; see vcov()" in page


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_number_line(line):
    return any(map(is_number, line.split()))


@pytest.mark.parametrize(
    ("values", "digits", "expected"),
    [
        ([24.7405, 5.9221, 25.5918], 4, ["24.741", " 5.922", "25.592"]),
        ([0.0, 13.81], 4, [" 0.00", "13.81"]),
        ([5.667e-05, 0.1428], 4, ["5.667e-05", "1.428e-01"]),
        ([1762.0, -876.0], 7, ["1762", "-876"]),
        ([float("nan"), 1.5], 4, ["NaN", "1.5"]),
        ([], 4, []),
    ],
)
def test_numbers_as_r_formats_them(values, digits, expected):
    assert format_numbers(values, digits) == expected


def test_p_values_as_r_formats_them():
    p = [1e-40, 6.6e-8, 0.02412, 0.00563, 0.25834]
    assert format_p(p) == [
        "< 2e-16",
        "6.6e-08",
        "0.02412",
        "0.00563",
        "0.25834",
    ]


def test_names_as_r_abbreviates_them():
    names = [
        "(Intercept)",
        "log(PTFSM6CLA1A)",
        "log(PERCTOT)",
        "PTPRIORLO",
        "ADMPOL_PTOTHER NON SEL",
        "ADMPOL_PTSEL",
    ]
    assert abbreviate(names, 6) == ["(Intr)", "l(PTFS", "l(PERC", "PTPRIO", "ADMPNS", "ADMPOL"]
    assert abbreviate(["xaaaaa1", "xaaaaa2", "b"], 2) == ["x1", "x2", "b"]


def test_zapsmall_keeps_the_digits_of_the_largest():
    np.testing.assert_array_equal(zapsmall(np.array([4.68859, 0.123456]), 5), [4.6886, 0.1235])


# -- Bayesian reports ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def design():
    return build_design("course ~ 1 + female + (1 + female | school)", bm.load_dataset("gcsemv"))


@pytest.fixture(scope="module")
def posterior(design):
    return posterior_of(
        design,
        fixef=[69.42, 7.11],
        sd={"school": [10.29, 7.12]},
        sigma=13.05,
        corr={"school": -0.49},
        spread=1e-9,
    )


def test_print_has_rstanarms_layout(design, posterior):
    report = fit_report(
        design,
        point_frame(posterior.fixef),
        auxiliary_frame(posterior),
        posterior_varcorr(posterior),
        ["careful"],
        2,
    )
    assert str(report).split("\n")[1:25] == [
        " family:       gaussian [identity]",
        " formula:      course ~ 1 + female + (1 + female | school)",
        " observations: 1725",
        " (180 of 1905 rows left out: missing course 180)",
        "------",
        "            Median MAD_SD",
        "(Intercept)  69.42   0.00",
        "femaleF       7.11   0.00",
        "",
        "Auxiliary parameter(s):",
        "      Median MAD_SD",
        "sigma  13.05   0.00",
        "",
        "Error terms:",
        " Groups   Name        Std.Dev. Corr ",
        " school   (Intercept) 10.29         ",
        "          femaleF      7.12    -0.49",
        " Residual             13.05         ",
        "Num. levels: school 73 ",
        "",
        "------",
        "! careful",
        "* Error terms are posterior medians of each standard deviation and correlation",
        "* More: fit.summary(), fit.compare() beside the ML/REML fit, fit.prior_summary()",
    ]


def test_html_escapes_and_has_tables(design, posterior):
    report = fit_report(
        design, point_frame(posterior.fixef), auxiliary_frame(posterior), posterior_varcorr(posterior), [], 1
    )
    page = report._repr_html_()
    assert page.count("<table>") == 3
    assert "<b>&" not in Report(("a <b>& c", Grid(("<b>&",), (("<b>&",),), ("<b>&",))))._repr_html_()
    assert '<th scope="row" style="text-align:left">femaleF</th>' in page
    assert '<td style="text-align:right">7.1</td>' in page
    summary = summary_report(design, summary_frame(posterior, ["beta", "sigma"]), "NUTS", 1000, 1)
    assert "(posterior sample size)" in str(summary)
    assert summary.frame.index.tolist() == ["femaleF", "sigma"]


def test_varcorr_prints_as_lme4s_does():
    corr = np.array([[1, 0.5, -0.25], [0.5, 1, np.nan], [-0.25, np.nan, 1]])
    block = BlockCovariance("g", "g", ("(Intercept)", "x", "z"), np.array([2.0, 1.5, 0.25]), corr)
    text = str(printed_varcorr(VarCorr((block,), 3.0)))
    assert [line.rstrip() for line in text.split("\n")] == [
        " Groups   Name        Std.Dev. Corr",
        " g        (Intercept) 2.00",
        "          x           1.50      0.500",
        "          z           0.25     -0.250    NaN",
        " Residual             3.00",
    ]


@pytest.mark.parametrize("name", ["gcse_pooled", "gcse_nopooled", "imm_model1", "imm_model2"])
def test_prints_what_lm_prints(name, lme4):
    entry = lme4[name]
    ours = [line.rstrip() for line in str(bm.lm(entry["formula"], frame_of(entry))).split("\n")]
    assert ours[2:] == json.loads((REFERENCE / "lm_printed.json").read_text())[name]


def test_tidy_of_a_linear_model_is_confint_of_r():
    """R 4.2.2: confint(lm(math ~ homework))."""
    intervals = [[42.12702680, 46.020693447], [2.80734007, 4.336372357]]
    tidy = bm.lm("math ~ homework", bm.load_dataset("imm10")).tidy()
    assert tidy["term"].tolist() == ["(Intercept)", "homework"]
    np.testing.assert_allclose(tidy[["conf_low", "conf_high"]], intervals, rtol=1e-9)
    assert tidy["df"].tolist() == [258, 258]
    with pytest.raises(bm.BayesMLMError, match="between 0 and 1"):
        bm.lm("math ~ homework", bm.load_dataset("imm10")).tidy(conf_level=95)


def test_a_fit_on_a_small_scale_shows_more_than_zeros():
    """One decimal, as rstanarm, unless a standard deviation or MAD_SD would be shown as 0."""
    schools = bm.load_dataset("gcsemv")
    assert _printed_decimals(str(fit_of("course ~ female + (1 | school)", schools))) == 1
    small = fit_of("share ~ female + (1 | school)", schools.assign(share=schools["course"] / 1000))
    page = str(small)
    rows = [line for line in page.splitlines() if line.startswith(("(Intercept)", "femaleF", "sigma"))]
    assert len(rows) == 3
    assert not any(re.search(r"\b0\.0+ *$", row) for row in rows)
    assert "0.0 " not in str(small.printed()).split("Error terms")[1].split("Corr")[0]


def _printed_decimals(page):
    """Decimals of the intercept's MAD_SD."""
    row = next(line for line in page.splitlines() if line.startswith("(Intercept)"))
    return len(row.split()[-1].partition(".")[2])
