"""The quickstart runs from data to pictures."""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt

import bayesmlm as bm

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_quickstart(m3, monkeypatch, capsys):
    """With the fit of the same model and seed that other tests use, which saves compiling it again."""
    asked = []
    monkeypatch.setattr(bm, "fit", lambda formula, data, seed: asked.append((formula, len(data), seed)) or m3)
    runpy.run_path(str(EXAMPLES / "quickstart.py"), run_name="__main__")
    plt.close("all")
    assert asked == [(m3.formula, 1905, m3.settings.seed)]
    printed = capsys.readouterr().out
    assert str(m3) in printed
    assert "Posterior beside ML" in printed
    saved = [line.removeprefix("saved ") for line in printed.split("\n") if line.startswith("saved ")]
    assert len(saved) == 3
    assert all(Path(path).stat().st_size > 10_000 for path in saved)
