"""What objects show in a notebook: tables that can be followed without seeing them, in the colours of the page."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import bayesmlm as bm
from bayesmlm.report.grid import RULE, Grid, Report, Sentences
from bayesmlm.report.hypertext import table_html, with_scopes

VOID = {"progress", "br", "meta"}


class Page(HTMLParser):
    """Tables of a page (caption, headings, and the number of columns of each row), its words, its style."""

    def __init__(self, page):
        super().__init__()
        self.tables, self.words, self.style, self.open = [], "", "", []
        self.feed(page)
        assert not self.open, "every element is closed"

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.style += attrs.get("style", "") + ";"
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append({"caption": "", "headings": [], "widths": [], "owed": []})
        table = self.tables[-1] if self.tables else None
        if tag == "tr":
            # Cells that began in a row above count in this one.
            table["widths"].append(sum(1 for left in table["owed"] if left))
            table["owed"] = [left - 1 for left in table["owed"] if left]
        if tag in {"td", "th"}:
            wide, rows = int(attrs.get("colspan", 1)), int(attrs.get("rowspan", 1))
            table["widths"][-1] += wide
            table["owed"] += [rows - 1] * wide
        if tag == "th":
            table["headings"].append([attrs.get("scope"), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.words += " " if tag not in {"b", "code"} else ""

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside == "style":
            self.style += data
            return
        self.words += data
        if "caption" in self.open:
            self.tables[-1]["caption"] += data
        if "th" in self.open:
            self.tables[-1]["headings"][-1][1] += data


def check(shown):
    """Return the page of an object after checking what holds for all of them."""
    page = Page(shown._repr_html_())
    for table in page.tables:
        assert table["caption"].strip()
        assert len(set(table["widths"])) == 1, "a grid without holes"
        assert not any(table["owed"])
        for scope, text in table["headings"]:
            assert scope in {"col", "colgroup", "row", "rowgroup"}
            assert text.strip(), "a cell without text is no heading"
    colours = re.findall(r"(?:color|background)\s*:\s*([^;}]+)", page.style)
    assert set(colours) <= {"inherit", "none", "transparent"}
    assert not re.search(r"#[0-9a-f]{3,6}\b(?!_)[;\s}]", page.style), "no colour of our own"
    return page


SHOWN = {
    "fit": lambda fit, ref: fit,
    "summary": lambda fit, ref: fit.summary(pars=["beta", "sigma"]),
    "diagnostics": lambda fit, ref: fit.diagnostics(),
    "priors": lambda fit, ref: fit.prior_summary(),
    "varcorr": lambda fit, ref: fit.varcorr(),
    "comparison": lambda fit, ref: fit.compare(ref),
    "hypothesis": lambda fit, ref: fit.hypothesis("femaleF > 5"),
    "loo": lambda fit, ref: fit.loo(),
    "league table": lambda fit, ref: fit.league_table(),
    "residual checks": lambda fit, ref: fit.residual_checks(),
    "paragraphs": lambda fit, ref: fit.report(),
    "doctor": lambda fit, ref: fit.doctor(ladder=False),
    "explanation": lambda fit, ref: fit.explain(),
    "reference fit": lambda fit, ref: ref,
    "reference summary": lambda fit, ref: ref.summary(ddf="satterthwaite"),
    "type III": lambda fit, ref: bm.anova(bm.lmer(ref.formula, ref.design.data)),
    "likelihood ratio": lambda fit, ref: bm.anova(
        bm.lmer("course ~ 1 + (1 | school)", ref.design.data, reml=False), ref
    ),
    "models by loo": lambda fit, ref: bm.loo_compare(fit, fit, names=["a", "b"]),
    "linear model": lambda fit, ref: bm.lm("course ~ female", ref.design.data),
    "models side by side": lambda fit, ref: bm.table(ref, fit),
    "numbers beside each other": lambda fit, ref: bm.table(ref, fit, style="beside"),
}
WITHOUT_TABLES = {"paragraphs", "doctor", "priors"}


@pytest.fixture(scope="module")
def ref(m3):
    return bm.lmer(m3.formula, m3.design.data, reml=False)


@pytest.mark.parametrize("name", SHOWN)
def test_tables_have_captions_scopes_and_no_colours(name, m3, ref):
    page = check(SHOWN[name](m3, ref))
    assert bool(page.tables) == (name not in WITHOUT_TABLES)


@pytest.mark.parametrize("name", ["fit", "comparison", "residual checks", "hypothesis", "explanation"])
def test_html_says_what_text_says(name, m3, ref):
    """Word for word; only HTML has a caption for the table that rstanarm prints without one."""
    shown = SHOWN[name](m3, ref)
    text, _, equation = str(shown).replace(RULE, "").partition("Equation:")
    html = (
        Page(shown._repr_html_()).words.partition("Equation:")[0]
        if equation
        else Page(shown._repr_html_()).words
    )
    words = re.sub(r"\[\s+", "[", text).split() + (["Fixed", "effects"] if name == "fit" else [])
    assert sorted(html.split()) == sorted(words)


@pytest.fixture(scope="module")
def odd():
    """A fit with a level called <b> and a group called a&b."""
    rng = np.random.default_rng(1)
    levels = np.repeat(["<b>", "</td>", 'c"', "d", "e", "f"], 8)
    effect = dict(zip(dict.fromkeys(levels), rng.normal(0, 2, 6), strict=True))
    frame = pd.DataFrame({"a<i>b": levels, "y": [effect[level] + rng.normal() for level in levels]})
    return bm.fit("y ~ 1 + (1 | `a<i>b`)", frame, seed=1, progress=False)


@pytest.mark.parametrize("name", ["fit", "varcorr", "comparison", "league table", "explanation", "priors"])
def test_names_are_never_markup(odd, name):
    page = check(SHOWN[name](odd, odd.reference(reml=False)))
    assert "a<i>b" in page.words
    assert ("<b>" in page.words) == (name in {"league table"} or "most apart at <b>" in page.words)


def test_names_in_a_table_of_models_are_never_markup(odd):
    page = check(bm.table({"<b>": odd, "x & y": odd.reference()}))
    assert "a<i>b sd (Intercept)" in page.words
    assert "<b>" in page.words
    assert "x & y" in page.words


# -- parts ---------------------------------------------------------------------------------------------


def test_the_line_above_a_table_is_its_caption():
    grid = Grid(("x",), (("1",),), ("a",))
    page = Report(("Title", "", "one:", grid, "", "two", RULE, grid))._repr_html_()
    first, second = Page(page).tables
    assert (first["caption"], second["caption"]) == ("one:", "")
    assert page.count("one:") == 1
    (only,) = Page(Report(("Title", "", grid))._repr_html_()).tables
    assert only["caption"] == "Title"
    (own,) = Page(Report(("line", Grid(("x",), (("1",),), caption="own")))._repr_html_()).tables
    assert own["caption"] == "own"


def test_sentences_are_wrapped_in_text_and_not_in_html():
    words = " ".join(["word"] * 40)
    report = Report(("Heading:", Sentences(words, 50, "  ", "    ")))
    lines = str(report).split("\n")
    assert len(lines) > 4
    assert max(map(len, lines)) <= 50
    assert lines[1].startswith("  word")
    assert lines[2].startswith("    word")
    page = report._repr_html_()
    assert f"{words}</p>" in page
    assert "<b>Heading:</b>" in page
    named = Report((Sentences("is it", 50, head="x  "),))
    assert str(named) == "x  is it"
    assert "<b>x</b> is it" in named._repr_html_()


def test_cells_share_headings():
    """Groups of several rows, correlations of several columns, and a column that has no heading."""
    headers = ("Groups", "Name", "Corr", "", "")
    rows = (
        ("g", "a", "", "", "***"),
        ("", "b", "0.1", "", ""),
        ("", "c", "0.2", "0.3", ""),
        ("R", "", "", "", ""),
    )
    page = table_html(headers, rows, caption="x", heads=2)
    assert '<th scope="rowgroup" rowspan="3" style="text-align:left">g</th>' in page
    assert '<th scope="row" style="text-align:left">b</th>' in page
    assert '<th scope="colgroup" colspan="2" style="text-align:left">Corr</th>' in page
    assert page.count("<td></td>") == 1, "stars have no heading"
    (table,) = Page(page).tables
    assert set(table["widths"]) == {5}


def test_empty_headings_of_pandas_are_shared_with_the_row_above():
    row = '<tr>\n      <th class="row_heading level1 row{}" >{}</th>\n      <td>1</td>\n    </tr>'
    page = with_scopes(
        "\n".join([row.format(0, "a"), row.format(1, ""), row.format(2, ""), row.format(3, "b")])
    )
    assert page.count("<th") == 2
    assert '<th scope="rowgroup" class="row_heading level1 row0" rowspan="3">a</th>' in page
    assert '<th scope="row" class="row_heading level1 row3">b</th>' in page
