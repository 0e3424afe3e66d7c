"""Runs the Python blocks of a page in order and writes what they print into the `text` block that follows each.

`uv run docs/outputs.py docs/quickstart.md` refreshes a page; without a page, all that are made this way. The value of a
block's last line is shown as an interactive session shows it, data frames in full width. A block without a `text` block
after it, before the next Python block, shows nothing. An `{image}` of `_static` after a block is the picture it drew.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGES = (
    *("index", "installation", "quickstart", "reading_the_report", "comparing"),
    *("for_lme4_users", "for_rstanarm_users", "for_bambi_users"),
)
FENCE = re.compile(r"^```(python|text|\{image\} _static/\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Shown:
    """A `text` block: what it says, what the code before it prints, and where it stands in the page."""

    written: str
    printed: str
    start: int
    end: int


def run_page(text: str, folder: Path | None = None) -> Iterator[Shown]:
    """Run the Python blocks of a page, and yield each `text` block with what belongs into it.

    Pictures are saved in a folder, or left alone.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    variables: dict[str, Any] = {}
    printed: str | None = None
    for fence in FENCE.finditer(text):
        if fence[1] == "python":
            printed = run_block(fence[2], variables)
        elif fence[1].startswith("{image}"):
            if folder is not None and plt.get_fignums():
                name = folder / fence[1].removeprefix("{image} ")
                plt.gcf().savefig(name, dpi=110, bbox_inches="tight")
            plt.close("all")
        elif printed is not None:
            yield Shown(fence[2], printed, *fence.span(2))
            printed = None


def run_block(code: str, variables: dict[str, Any]) -> str:
    """Execute a block and return what it prints, the value of its last line included."""
    import pandas as pd

    body = ast.parse(code).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    out = io.StringIO()
    wide = pd.option_context("display.width", 120, "display.max_columns", 20)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()), wide:
        exec(compile(ast.Module(body, []), "<page>", "exec"), variables)
        value = (
            None if last is None else eval(compile(ast.Expression(last.value), "<page>", "eval"), variables)
        )
        if value is not None:
            print(value)
    lines = [line.rstrip() for line in out.getvalue().split("\n")]
    return "\n".join(lines).strip("\n") + "\n"


def refresh(path: Path) -> None:
    """Write what its code prints into a page."""
    text = path.read_text(encoding="utf-8")
    for shown in reversed([*run_page(text, path.parent)]):
        text = text[: shown.start] + shown.printed + text[shown.end :]
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for page in [Path(name) for name in sys.argv[1:]] or [HERE / f"{name}.md" for name in PAGES]:
        refresh(page)
        print(page)
