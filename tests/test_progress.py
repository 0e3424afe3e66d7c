"""Progress: one display area in a notebook, a line in a terminal, nothing elsewhere, and nothing left in a mess."""

import io
import json
import re
import sys
import threading
from html.parser import HTMLParser
from types import SimpleNamespace

import IPython.display
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import bayesmlm as bm
from bayesmlm import progress
from bayesmlm.kernels import gaussian
from bayesmlm.progress import meter, quietly

CELLS = [
    "import _thread, threading, time\nimport bayesmlm as bm\nsleep = bm.load_dataset('sleepstudy')\n"
    "formula = 'Reaction ~ Days + (1 | Subject)'",
    "fit = bm.fit(formula, sleep, seed=1)",
    "silent = bm.fit(formula, sleep, seed=1, progress=False)\nsilent.kfold(2, seed=1)",
    "folds = bm.fit(formula, sleep, seed=1).kfold(3, seed=1)",
    "limits = bm.lmer(formula, sleep).confint(method='boot', n_boot=10, seed=1)",
    # The timer starts with the sampler: how long anything before it takes does not matter.
    "import nutpie\nrun = nutpie.sample\n"
    "def interrupted(*args, **options):\n"
    "    threading.Timer(0.6, _thread.interrupt_main).start()\n"
    "    return run(*args, **options)\n"
    "nutpie.sample = interrupted\n"
    "try:\n    bm.fit(formula, sleep, seed=1, tune=50_000_000)\n"
    "except bm.SamplingError as problem:\n    print(problem)",
    "nutpie.sample = run\nfit.fixef().round()",
]


@pytest.fixture(scope="module")
def notebook():
    """Outputs of each of CELLS, run in a kernel of this interpreter."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    book = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(book, timeout=120, kernel_name="python3").execute()
    return [[o for o in cell.outputs if not compiling(o)] for cell in book.cells]


def compiling(output):
    """Whether an output is the announcement that kernels are compiled, which the first run of all may have."""
    return output.output_type == "stream" and "compiling its numerical kernels" in output.text


def test_a_fit_leaves_one_line_in_its_cell(notebook):
    (output,) = notebook[1]
    assert output.output_type == "display_data"
    line = r"sampled 4 chains of 1,000 draws after 1,000 of warm-up, in \d+\.\d s"
    assert re.fullmatch(line, output.data["text/plain"])
    assert "<progress" not in output.data["text/html"], "a bar that no longer moves is no news"
    assert len(json.dumps(output)) < 500


def test_without_progress_nothing_is_left(notebook):
    assert [o.output_type for o in notebook[2]] == ["execute_result"]


def test_refits_and_bootstraps_have_one_area(notebook):
    fit, folds = (o.data["text/plain"] for o in notebook[3] if o.output_type == "display_data")
    assert fit.startswith("sampled 4 chains")
    assert folds == "fitted again 3 times"
    assert [o.data["text/plain"] for o in notebook[4]] == ["bootstrap: 10 replicates"]


def test_an_interrupt_leaves_a_line_and_a_kernel_that_works(notebook):
    area, printed = notebook[5]
    assert re.match(r"sampling was interrupted after \d+\.\d s; asked for were 4 ch", area.data["text/plain"])
    assert "<progress" not in area.data["text/html"]
    assert "there are no draws to keep" in printed.text
    assert "(Intercept)    251.0" in notebook[6][0].data["text/plain"]


# -- the parts -----------------------------------------------------------------------------------------


@pytest.fixture
def areas(monkeypatch):
    """What a notebook would show: a list of pictures for each display area."""
    shown = []

    def display(bundle, raw, display_id):
        assert raw
        assert display_id
        shown.append([bundle])
        return SimpleNamespace(update=lambda bundle, raw, mine=shown[-1]: mine.append(bundle))

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    return shown


class Bars(HTMLParser):
    """Attributes of each progress element."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "progress":
            self.found.append(dict(attrs))


def test_a_bar_has_a_name_a_value_and_words(areas, monkeypatch):
    clock = iter(np.arange(100.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with meter("a < b") as shown:
        shown.show("a < b", 30, 120)
        shown.finish("done < c")
    (pictures,) = areas
    first, quarter, last = pictures
    assert first["text/plain"] == "a < b ..."
    assert "value" not in Bars(first["text/html"]).found[0], "how far it is is not known yet"
    assert quarter["text/plain"] == "a < b 25%"
    assert Bars(quarter["text/html"]).found[0] | {"style": ""} == {
        "aria-label": "a < b",
        "value": "30",
        "max": "120",
        "style": "",
    }
    assert "25%" in quarter["text/html"]
    assert last["text/plain"] == "done < c"
    assert "done &lt; c" in last["text/html"]


def test_a_notebook_is_not_flooded(areas, monkeypatch):
    monkeypatch.setattr(progress.time, "monotonic", iter(np.arange(0, 10, 0.001)).__next__)
    with meter("x") as shown:
        for i in range(1000):  # a second
            shown.show("x", i, 1000)
    assert 8 <= len(areas[0]) <= 13
    assert areas[0][-1]["text/plain"] == "x: done"


@pytest.mark.parametrize(("problem", "word"), [(KeyboardInterrupt, "interrupted"), (ValueError, "stopped")])
def test_what_goes_wrong_leaves_no_moving_bar(areas, problem, word):
    meters = []

    def work():
        with meter("one") as shown:
            meters.append(shown)
            shown.show("two", 1, 2)
            raise problem

    with pytest.raises(problem):
        work()
    meters[0].show("two", 2, 2)
    assert areas[0][-1]["text/plain"] == f"two: {word}"
    assert "<progress" not in areas[0][-1]["text/html"]


def test_nothing_is_shown_where_quiet_is_asked_for(areas):
    with meter("x", shown=False), quietly(), meter("y"), quietly(False), meter("z"):
        pass
    assert not areas


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_a_bar_that_goes_away(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with meter("refitting") as shown:
        shown.show("refit 2 of 3", 1, 3)
    written = sys.stderr.getvalue()
    assert "refit" in written
    assert written.rstrip().endswith("\x1b[2K"), "the last thing is that its line is emptied"
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with meter("refitting"):
        pass
    assert sys.stderr.getvalue() == ""


def test_compiling_is_announced_once_in_a_process(monkeypatch, capsys):
    """Three modules of kernels are compiled for a first fit."""
    gaussian._announce.cache_clear()
    monkeypatch.setattr(gaussian, "PATIENCE", 0.0)
    slow = lambda name: threading.Event().wait(0.05) or name  # noqa: E731
    monkeypatch.setattr(gaussian.importlib, "import_module", slow)
    make = gaussian.compiled.__wrapped__
    with quietly():
        make("unseen")
    assert capsys.readouterr().err == ""
    assert [make(name) for name in ("one", "two", "three")][-1] == "bayesmlm.kernels.three"
    assert capsys.readouterr().err.count("compiling its numerical kernels") == 1


def test_a_script_that_writes_to_a_file_has_no_progress_in_it(capfd):
    bm.fit("Yield ~ 1 + (1 | Batch)", bm.load_dataset("dyestuff"), seed=1)
    assert capfd.readouterr() == ("", "")
