"""Every page of the gallery runs from its first cell to its last, without a warning of ours."""

import ast
import dataclasses
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import bayesmlm as bm

EXAMPLES = Path(__file__).parent.parent / "examples"
PAGES = sorted(EXAMPLES.glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def page():
    sys.path.insert(0, str(EXAMPLES))
    try:
        import page
    finally:
        sys.path.remove(str(EXAMPLES))
    return page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_runs(path, page, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        page.run(path, tmp_path)
    ours = [str(w.message) for w in caught if issubclass(w.category, bm.BayesMLMWarning)]
    assert not ours
    printed = capsys.readouterr().out
    assert len(printed) > 3000
    pictures = list(tmp_path.iterdir())
    assert pictures
    assert all(picture.stat().st_size > 8000 for picture in pictures)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_is_one_for_sphinx_gallery(path):
    """A title in the docstring, text and code in turn, only the public names, headings as long as their text."""
    source = path.read_text(encoding="utf-8")
    title, line, *_ = ast.get_docstring(ast.parse(source)).splitlines()
    assert set(line) == {"="}
    assert len(line) >= len(title)
    for heading, dashes in re.findall(r"^# (\S.*)\n# (-+)$", source, flags=re.M):
        assert len(dashes) >= len(heading)
    assert source.count("\n# %%\n") >= 10
    assert set(re.findall(r"\bbm\.(\w+)", source)) <= set(bm.__all__)
    assert "import bayesmlm as bm" in source
    assert "plt.show" not in source


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_verbs_that_a_page_names_exist(path):
    """In its text as in its code: ``fit.`` and ``ref.`` are followed by what fits have."""
    for name, kind in {"fit": bm.Fit, "ref": bm.ReferenceFit}.items():
        known = {*dir(kind), *(field.name for field in dataclasses.fields(kind))}
        assert set(re.findall(rf"\b{name}\.(\w+)", path.read_text(encoding="utf-8"))) <= known


def test_pages_are_numbered_in_the_order_to_read():
    assert [int(path.name[:2]) for path in PAGES] == list(range(1, len(PAGES) + 1))


def test_script_shows_what_a_notebook_would(tmp_path):
    """The value of a cell's last line is printed, and its pictures are saved; other lines stay silent."""
    (tmp_path / "page.py").write_text((EXAMPLES / "page.py").read_text())
    script = tmp_path / "01_small.py"
    script.write_text(
        '"""Title"""\nimport page\nimport matplotlib.pyplot as plt\nx = 6\nx\nx * 7\n\n'
        "# %%\n# Text.\n\nax = plt.figure().add_subplot()\n\n# %%\nplt.figure()\nNone\n\n# %%\ny = x\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    pictures = "[picture: output/01_small_1.png]\n\n[picture: output/01_small_2.png]"
    assert done.stdout.strip() == "42\n\n" + pictures
    assert len(list((tmp_path / "output").glob("*.png"))) == 2


def test_error_in_a_page_is_not_hidden(page, tmp_path):
    script = tmp_path / "01_wrong.py"
    script.write_text("# %%\n1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        page.run(script, tmp_path / "output")
