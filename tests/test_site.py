"""The pages in docs/: links resolve, verbs exist, code prints what the page says, and Sphinx has no complaint."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import bayesmlm as bm

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
# What a page may call a fit; bm.fit and bm.lmer have different verbs, and a page says `ref.` of the latter.
SUBJECTS = {
    "bm": (bm,),
    "bm.plots": (bm.plots,),
    "fit": (bm.Fit,),
    "ref": (bm.ReferenceFit,),
    "m": (bm.ReferenceFit,),
}
VERB = re.compile(r"(?<![\w.])(bm\.plots|bm|fit|ref|m)\.([a-z_]\w*)(?!\w|\*)")
MADE_WHEN_BUILT = ("api/", "gallery/")


def outputs():
    """The script that writes what a page's code prints into the page."""
    spec = importlib.util.spec_from_file_location("docs_outputs", DOCS / "outputs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


OUTPUTS = outputs()


def lines_by_fence(path: Path) -> list[tuple[str, str]]:
    """Lines of a page, each with the language of the fenced block it stands in: "" outside, "output" without one."""
    found, language = [], ""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith("```"):
            language = "" if language else line.strip("`").strip() or "output"
        else:
            found.append((language, line))
    return found


def prose(path: Path, *languages: str) -> str:
    """A page without its code and printed output, which has texts that look like links; some code may stay."""
    return "\n".join(line for language, line in lines_by_fence(path) if language in {"", *languages})


def anchors(path: Path) -> set[str]:
    """Fragments that headings of a page can be linked by, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_resolve(page):
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, fragment = target.partition("#")
        if file.startswith(MADE_WHEN_BUILT):
            continue
        found = page.parent / file if file else page
        assert found.exists(), f"{page.name}: no file {target}"
        assert not fragment or fragment in anchors(found), f"{page.name}: no heading {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_verbs_exist(page):
    for subject, verb in set(VERB.findall(prose(page, "python"))):
        homes = SUBJECTS[subject]
        known = any(hasattr(home, verb) for home in homes) or verb in fields(*homes)
        assert known, f"{page.name} mentions {subject}.{verb}, which does not exist"


def fields(*homes: object) -> set[str]:
    """Attributes of dataclasses, which their classes do not have."""
    return {name for home in homes for name in getattr(home, "__dataclass_fields__", ())}


def test_every_page_is_in_a_table_of_contents():
    text = "\n".join(p.read_text(encoding="utf-8") for p in DOCS.glob("*.md"))
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    listed = {line.strip() for tree in trees for line in tree.split("\n") if not line.startswith(":")}
    assert {p.stem for p in DOCS.glob("*.md")} - {"index", "gallery"} <= listed, (
        "gallery.md is left out: conf.py"
    )


@pytest.mark.parametrize("name", OUTPUTS.PAGES)
def test_code_prints_what_the_page_says(name):
    """Words and layout; numbers are left out, as another processor may change a last digit."""
    page = DOCS / f"{name}.md"
    shown = [*OUTPUTS.run_page(page.read_text(encoding="utf-8"))]
    plt.close("all")
    assert shown
    for block in shown:
        assert words(block.written) == words(block.printed)


def words(text: str) -> list[str]:
    return re.sub(r"[-+]?\d[\d.,]*(e[-+]\d+)?", "#", text).split()


def test_output_of_a_page_is_refreshed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nx = 2\nx + 1\n```\n\n```text\nold\n```\n\n```python\ny = x\n```\n\n```text\nkept?\n```\n"
    )
    OUTPUTS.refresh(page)
    assert "```text\n3\n```" in page.read_text()
    assert "kept?" not in page.read_text(), "a text block after code that prints nothing is empty"


def test_reported_columns_are_in_the_glossary():
    glossary = (DOCS / "glossary.md").read_text(encoding="utf-8").lower()
    for name in (
        "MAD_SD",
        "mcse",
        "Rhat",
        "n_eff",
        "E-BFMI",
        "shift",
        "Pareto k",
        "elpd_loo",
        "p_loo",
        "looic",
        "ICC",
    ):
        assert name.lower() in glossary


def test_gallery_pages_show_no_progress(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS))
    import gallery_pages

    head, end = gallery_pages.HEAD, "\n\n.. raw:: html\n"
    only = f"{head}\n    sampling\n    sampling{end}"
    mixed = f"{head}\n    sampling\n      x\n    sampling error 2\n\n    y{end}"
    assert gallery_pages.without_progress(only) == end
    assert gallery_pages.without_progress(mixed) == f"{head}\n      x\n    sampling error 2\n\n    y{end}"


def test_sphinx_has_no_complaint(tmp_path):
    """The site without its gallery, whose scripts have tests of their own."""
    pytest.importorskip("sphinx_gallery")
    pytest.importorskip("pydata_sphinx_theme")
    pytest.importorskip("myst_parser")
    pytest.importorskip("numpydoc")
    folders = ["-d", str(tmp_path / "trees"), "docs", str(tmp_path / "html")]
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-E", *folders]
    settings = {**os.environ, "BAYESMLM_GALLERY": "False"}
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=settings, check=False)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "html" / "index.html").exists()
