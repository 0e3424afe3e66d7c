"""Run a page of the gallery as a plain script: print what a notebook would show, save the pictures.

A page is a script of cells that begin with ``# %%``. In a notebook, in an editor that knows such cells and in the
gallery of the documentation, the value of a cell's last line is shown, and its pictures; Python alone would show
neither. So each page imports this module first. If Python was started with that page, this module then runs it, cell
by cell: it prints the value of each last line and saves the pictures in ``examples/output``. Imported anywhere else it
does nothing.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd


def cells(source: str) -> Iterator[list[ast.stmt]]:
    """Yield the statements of each cell of a script."""
    starts = [
        n for n, line in enumerate(source.splitlines(), 1) if line.startswith("# %%")
    ]
    body = ast.parse(source).body
    for first, last in zip([0, *starts], [*starts, len(source)], strict=True):
        inside = [statement for statement in body if first <= statement.lineno < last]
        if inside:
            yield inside


def run(path: Path, folder: Path) -> dict[str, Any]:
    """Run a page, print the values of its cells, save its pictures in a folder, and return its variables."""
    variables: dict[str, Any] = {"__name__": "page", "__file__": str(path)}
    matplotlib.use("Agg")
    folder.mkdir(exist_ok=True)
    saved = 0
    with pd.option_context("display.width", 120, "display.max_columns", 20):
        for cell in cells(path.read_text(encoding="utf-8")):
            _run_cell(cell, path, variables)
            for number in plt.get_fignums():
                saved += 1
                name = folder / f"{path.stem}_{saved}.png"
                plt.figure(number).savefig(name, dpi=120, bbox_inches="tight")
                print(f"[picture: {os.path.relpath(name)}]\n")
            plt.close("all")
    return variables


def _run_cell(cell: list[ast.stmt], path: Path, variables: dict[str, Any]) -> None:
    last = cell[-1]
    before = cell[:-1] if isinstance(last, ast.Expr) else cell
    exec(compile(ast.Module(before, []), str(path), "exec"), variables)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), str(path), "eval"), variables)
        if value is not None:
            print(value, end="\n\n")


def _started() -> Path | None:
    """Return the page that Python was started with, if it was one in this folder."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    here = Path(__file__).resolve()
    page = Path(main).resolve() if main else here
    return page if page.parent == here.parent and page != here else None


_page = _started()
if _page is not None and _page.name[0].isdigit():
    run(_page, Path(__file__).parent / "output")
    sys.exit()
