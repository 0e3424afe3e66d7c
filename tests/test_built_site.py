"""The built site as a browser has it: no errors, no broken pictures, readable in both themes, and on a phone.

`uv run --group docs sphinx-build docs docs/_build` builds it. Without it, or without a Chromium, the tests are skipped.
"""

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pytest
from browser import Browser, chromium, serve
from matplotlib.image import imread
from nbclient import NotebookClient

SITE = Path(__file__).parent.parent / "docs" / "_build"
PAGES = {
    "home": "index.html",
    "quickstart": "quickstart.html",
    "notebook": "notebooks/beside_maximum_likelihood.html",
    "gallery": "gallery/01_gcse_coursework.html",
    "API": "api/index.html",
    "pictures": "pictures.html",
}
BUILD = "uv run --group docs sphinx-build docs docs/_build"
# Contrast of text with what is behind it (WCAG 2.2, 1.4.3), for each element that has text of its own.
CONTRAST = """
(selector => {
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = colour => {
        const [r, g, b] = channels(colour).slice(0, 3)
            .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = element => {
        for (let e = element; e; e = e.parentElement) {
            const colour = getComputedStyle(e).backgroundColor;
            if (channels(colour)[3] !== 0) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    return [...document.querySelectorAll(selector)]
        .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
        .map(e => {
            const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 40)];
        });
})"""


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    binary = chromium()
    if binary is None:
        pytest.skip("no chromium or chrome on the path (Debian: apt-get install chromium)")
    opened = Browser(binary, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def site():
    if not (SITE / "index.html").exists():
        pytest.skip(f"the site is not built: {BUILD}")
    server, address = serve(SITE)
    yield address
    server.shutdown()
    server.server_close()


def built(site, name):
    """Address of a page."""
    if not (SITE / PAGES[name]).exists():
        pytest.skip(f"{PAGES[name]} is not built: {BUILD}")
    return f"{site}/{PAGES[name]}"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_and_readable(name, dark, site, browser):
    visit = browser.visit(built(site, name), dark)
    assert not visit.problems
    assert not visit.broken
    assert browser.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    shown = browser.evaluate(f"{CONTRAST}('article p, article pre, article td, article th, article caption')")
    assert len(shown) > 5
    assert [text for contrast, text in shown if contrast < 4.5] == []


@pytest.mark.parametrize("name", ["home", "gallery", "notebook"])
def test_pictures_have_words_for_who_cannot_see_them(name, site, browser):
    images = browser.visit(built(site, name)).images
    assert images
    assert all(words.strip() for _, _, words in images)


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_a_phone(name, site, browser):
    browser.visit(built(site, name), width=400)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("name", ["API", "pictures"])
def test_what_is_said_of_a_name_is_seen_on_a_phone(name, site, browser):
    browser.visit(built(site, name), width=400)
    ends = browser.evaluate(
        "[...document.querySelectorAll('article td')].map(e => e.getBoundingClientRect().right)"
    )
    assert len(ends) > 20
    assert max(ends) <= 400


@pytest.mark.parametrize("name", ["home", "gallery", "notebook"])
def test_pictures_are_dark_in_the_dark(name, site, browser):
    for dark in (False, True):
        browser.visit(built(site, name), dark)
        # The paper of a picture is most of it.
        assert np.median(first_picture(browser)) == pytest.approx(0.09 if dark else 1, abs=0.05)


def first_picture(browser):
    """Brightness, 0 to 1, of the pixels of the first picture of a page as it is shown."""
    place = browser.evaluate(
        """(() => {
            const box = document.querySelector('article img').getBoundingClientRect();
            return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height, scale: 1};
        })()"""
    )
    shot = browser.command("Page.captureScreenshot", captureBeyondViewport=True, clip=place)["data"]
    return imread(BytesIO(b64decode(shot)))[..., :3].mean(axis=2)


# -- what can be downloaded ----------------------------------------------------------------------------


def downloads(pattern):
    found = sorted((SITE / "_downloads").glob(f"*/{pattern}"), key=lambda path: path.name)
    if not found:
        pytest.skip(f"the gallery is not built: {BUILD}")
    return found


def test_every_page_of_the_gallery_can_be_had_as_a_notebook():
    examples = Path(__file__).parent.parent / "examples"
    notebooks = downloads("[0-9]*.ipynb")
    assert [p.stem for p in notebooks] == sorted(p.stem for p in examples.glob("[0-9]*.py"))
    for path in notebooks:
        book = nbformat.read(path, 4)
        nbformat.validate(book)
        assert book.cells[0].source.lstrip().startswith("# ")
        assert not re.search(r"\bimport page\b", "".join(cell.source for cell in book.cells))
        page = (SITE / "gallery" / f"{path.stem}.html").read_text(encoding="utf-8")
        assert f"_downloads/{path.parent.name}/{path.name}" in page


def test_a_notebook_of_the_gallery_runs():
    path = next(p for p in downloads("[0-9]*.ipynb") if p.name.startswith("07"))
    book = NotebookClient(nbformat.read(path, 4), timeout=120, kernel_name="python3").execute()
    outputs = [o for cell in book.cells if cell.cell_type == "code" for o in cell.outputs]
    assert any("text/html" in o.get("data", {}) for o in outputs)
    said = [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert not [text for text in said if "compiling its numerical kernels" not in text]


def test_scripts_need_nothing_that_does_not_come_along():
    for path in downloads("[0-9]*.py"):
        script = path.read_text(encoding="utf-8")
        compile(script, path.name, "exec")
        assert "import page" not in script
        assert "sphinx_gallery" not in script
        assert "import bayesmlm as bm" in script


# -- the browser itself --------------------------------------------------------------------------------

GOOD = '<img alt="dot" src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">'
BAD = {
    "picture": '<img alt="none" src="missing.png">',
    "far picture": '<div style="height:9000px"></div><img alt="none" loading="lazy" src="missing.png">',
    "console": "<script>console.error('it', 'failed')</script>",
    "exception": "<script>throw new Error('thrown')</script>",
    "late exception": "<script>addEventListener('load', () => setTimeout(() => nowhere(), 30))</script>",
    "script": '<script src="missing.js"></script>',
    "style": '<link rel="stylesheet" href="missing.css">',
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A site with one good page and others with a fault each."""
    folder = tmp_path_factory.mktemp("site")
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>t</title>'
    )
    for name, body in {"good": GOOD, **BAD}.items():
        (folder / f"{name}.html").write_text(f"{head}<p>text</p>{body}", encoding="utf-8")
    server, address = serve(folder)
    yield address
    server.shutdown()
    server.server_close()


def test_a_good_page_has_no_problems(small, browser):
    visit = browser.visit(f"{small}/good.html")
    assert not visit.problems
    assert visit.images[0][1:] == (1, "dot")
    assert not visit.broken


@pytest.mark.parametrize("name", BAD)
def test_faults_are_found(name, small, browser):
    visit = browser.visit(f"{small}/{name}.html".replace(" ", "%20"))
    assert visit.problems
    assert bool(visit.broken) == ("picture" in name)
    words = {"console": "it failed", "exception": "thrown", "late exception": "nowhere is not defined"}
    assert words.get(name, "404") in " ".join(visit.problems)


def test_text_that_cannot_be_read_is_found(small, browser):
    browser.visit(f"{small}/good.html")
    browser.evaluate("document.querySelector('p').style = 'color:#999;background:#fff'")
    ((contrast, text),) = browser.evaluate(f"{CONTRAST}('p')")
    assert contrast == pytest.approx(2.849, abs=0.001)  # WebAIM's contrast checker: 2.84, cut off
    assert text == "text"
