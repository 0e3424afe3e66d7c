"""The notebook of the documentation runs, shows what it was saved with, and says what its numbers say."""

import importlib.util
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

import bayesmlm as bm

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
BESIDE = ROOT / "docs" / "notebooks" / "beside_maximum_likelihood.ipynb"
SAMPLED = re.compile(r"sampled 4 chains of 1,000 draws after 1,000 of warm-up, in \d+\.\d s")


def pages():
    """The script that shows notebooks on the site, and runs them."""
    spec = importlib.util.spec_from_file_location("notebook_pages", ROOT / "docs" / "notebook_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = pages()


@pytest.fixture(scope="module")
def saved():
    return nbformat.read(BESIDE, 4)


@pytest.fixture(scope="module")
def again():
    """The notebook, run again; the announcement of a compilation is the only message that may come."""
    book = PAGES.run_notebook(BESIDE)
    for cell in code_cells(book):
        cell.outputs = [o for o in cell.outputs if "compiling its numerical kernels" not in o.get("text", "")]
    return book


def code_cells(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def outputs(book, kind):
    return [o for cell in code_cells(book) for o in cell.outputs if o.output_type == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_was_saved_after_a_run_from_top_to_bottom(path):
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    counts = [cell.execution_count for cell in code_cells(book)]
    assert counts == list(range(1, len(counts) + 1))
    assert not outputs(book, "error")
    assert not outputs(book, "stream"), "no message is saved"
    assert path.stat().st_size < 400_000
    home = (ROOT / "docs" / "getting_started.md").read_text(encoding="utf-8")
    assert f"\nnotebooks/{path.stem}\n" in home


def test_notebook_shows_what_it_was_saved_with(again, saved):
    """Words and layout; numbers are left out, as another processor may change a last digit."""
    for new, old in zip(code_cells(again), code_cells(saved), strict=True):
        assert [words(o) for o in new.outputs] == [words(o) for o in old.outputs]


def words(output):
    """Kinds of representation of an output, and its text without numbers."""
    text = re.sub(r"[-+]?\d[\d.,]*(e[-+]\d+)?", "#", output.data["text/plain"])
    return sorted(output.data), text.split()


def test_progress_is_the_only_message(again):
    assert not outputs(again, "stream")
    lines = [o.data["text/plain"] for o in outputs(again, "display_data") if "image/png" not in o.data]
    fits = sum(cell.source.count("bm.fit(") for cell in code_cells(again))
    assert len(lines) == fits == 2
    assert all(SAMPLED.fullmatch(line) for line in lines)


def test_pictures_are_there_with_words_for_who_cannot_see_them(again):
    pictures = [o for o in outputs(again, "display_data") if "image/png" in o.data]
    assert len(pictures) == 2
    for picture in pictures:
        content = b64decode(picture.data["image/png"])
        assert content.startswith(b"\x89PNG")
        assert len(content) > 10_000
        assert len(picture.metadata["alt"]) > 30


class Rows(HTMLParser):
    """Texts of the cells of each row of a page's tables."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.inside = [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        self.inside = tag in {"td", "th"}
        if self.inside:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def comparisons(book):
    """Name and cells of each row of the comparisons in a notebook."""
    found = []
    for output in outputs(book, "execute_result"):
        page = output.data.get("text/html", "")
        if "Posterior beside" in page:
            found.append([dict(zip(HEADS, row, strict=True)) for row in Rows(page).rows[1:]])
    return found


HEADS = ("name", "reml", "se", "median", "mad_sd", "interval", "shift", "verdict")


@pytest.mark.parametrize("which", ["saved", "again"])
def test_comparison_is_as_the_text_says(which, request, lme4):
    """All agree, none further apart than 0.4 posterior standard deviations; and REML is lme4's."""
    first, second = comparisons(request.getfixturevalue(which))
    assert [row["name"] for row in first][:2] == ["(Intercept)", "femaleF"]
    assert len(first) == 7
    for row in first:
        low, high = map(float, row["interval"].strip("[]").split(","))
        assert low <= float(row["reml"]) <= high
        assert abs(float(row["shift"])) <= 0.4
        assert row["verdict"] == "agree"
    reml = lme4["gcse_m3_reml"]
    for row, estimate, se in zip(first, reml["fixef"]["estimate"], reml["fixef"]["se"], strict=False):
        assert row["reml"] == f"{estimate:.1f}"
        assert row["se"] == f"{se:.1f}"
    assert next(row for row in first if row["name"] == "sigma")["reml"] == f"{reml['sigma']:.2f}"
    batch = next(row for row in second if row["name"] == "Batch sd (Intercept)")
    assert (batch["reml"], batch["verdict"]) == ("0.00", "boundary")
    assert float(batch["interval"].strip("[]").split(",")[0]) < 0.2


def test_the_text_names_the_limit_that_is_tested(saved):
    assert "0.4 posterior standard deviations" in "".join(cell.source for cell in saved.cells)


def test_results_are_shown_as_html(again):
    fits = ["REML criterion", "bayesmlm.fit", "Posterior beside REML", "no schools"]
    for words_of_it in fits:
        shown = [o for o in outputs(again, "execute_result") if words_of_it in o.data["text/plain"]]
        assert shown
        assert all("<table" in o.data["text/html"] for o in shown)


# -- notebooks on the site -----------------------------------------------------------------------------


def notebook_of(outputs_of_a_cell, title="# Title\n\nText.", source="x"):
    cells = [nbformat.v4.new_markdown_cell(title), nbformat.v4.new_code_cell(source)]
    cells[1].outputs = outputs_of_a_cell
    return json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))


def output(kind, data, **metadata):
    return nbformat.v4.new_output(kind, data, metadata=metadata)


def test_a_page_has_code_outputs_and_the_download():
    shown = [
        nbformat.v4.new_output("stream", name="stderr", text="compiling"),
        nbformat.v4.new_output("stream", name="stdout", text="printed ```\n"),
        output("display_data", {"text/plain": "sampled", "text/html": "<div>sampled</div>"}),
        output("display_data", {"text/plain": "<Figure>", "image/png": "QUJD\n"}, alt='an "arrow"'),
        output("execute_result", {"text/plain": "1  2", "text/html": "<table></table>"}),
        output("execute_result", {"text/plain": "3.0"}),
    ]
    page = PAGES.as_markdown(notebook_of(shown), "name.ipynb")
    assert page.startswith("# Title\n\n{download}`Download this notebook <name.ipynb>`")
    assert "\nText.\n" in page
    assert "```python\nx\n```" in page
    assert "compiling" not in page
    assert "sampled" not in page
    assert "````text\nprinted ```\n````" in page
    assert 'alt="an &quot;arrow&quot;" style="max-width:100%" src="data:image/png;base64,QUJD"' in page
    assert "<table></table>" in page
    assert "1  2" not in page
    assert "```text\n3.0\n```" in page


def test_a_notebook_that_failed_is_no_page():
    failed = nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[])
    with pytest.raises(ValueError, match="ends in ValueError"):
        PAGES.as_markdown(notebook_of([failed]), "name.ipynb")


def test_verbs_of_notebooks_are_public():
    source = "\n".join(cell.source for path in NOTEBOOKS for cell in code_cells(nbformat.read(path, 4)))
    assert set(re.findall(r"\bbm\.(\w+)", source)) <= set(bm.__all__)
