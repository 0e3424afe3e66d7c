"""How far something is: one display area in a notebook, a bar in a terminal, nothing anywhere else.

A notebook keeps what its cells have shown, so the area ends as one line of text. All of it is shown from the thread
that asked for it: nothing can be shown after an interrupt has been dealt with.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

BETWEEN = 0.1  # seconds between two pictures of a bar
_quiet: ContextVar[bool] = ContextVar("bayesmlm_quiet", default=False)


class Meter:
    """Says how far something is; this one says nothing."""

    text = ""

    def show(self, text: str, done: int = 0, total: int = 0) -> None:
        """Say what is being done, and how much of it is done; a total of 0 is one that is not known."""

    def finish(self, text: str) -> None:
        """Say what was done, and no more after it."""


class NotebookMeter(Meter):
    """One display area of a notebook's cell."""

    def __init__(self, text: str) -> None:
        from IPython.display import display

        self._handle: Any = display(_bar(text, 0, 0), raw=True, display_id=True)
        self.text, self._last, self._finished = text, time.monotonic(), False

    def show(self, text: str, done: int = 0, total: int = 0) -> None:
        now = time.monotonic()
        if self._finished or (text == self.text and now - self._last < BETWEEN):
            return
        self.text, self._last = text, now
        self._handle.update(_bar(text, done, total), raw=True)

    def finish(self, text: str) -> None:
        if not self._finished:
            self._finished = True
            self._handle.update(_bundle(text, html.escape(text)), raw=True)


class TerminalMeter(Meter):
    """A line of a terminal, which is empty again at the end."""

    def __init__(self, text: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(text, total=None)
        self._progress.start()

    def show(self, text: str, done: int = 0, total: int = 0) -> None:
        self._progress.update(self._task, description=text, completed=done, total=total or None)

    def finish(self, text: str) -> None:
        self._progress.stop()


def in_notebook() -> bool:
    """Whether what is shown goes to a notebook: a shell with a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


@contextmanager
def meter(text: str, shown: bool = True, terminal: bool = True) -> Iterator[Meter]:
    """Show how far something is until the block ends.

    Parameters
    ----------
    text
        What is being done.
    shown
        False shows nothing anywhere.
    terminal
        Whether to show a bar in a terminal too.
    """
    if not shown or _quiet.get():
        made = Meter()
    elif in_notebook():
        made = NotebookMeter(text)
    else:
        made = TerminalMeter(text) if terminal and sys.stderr.isatty() else Meter()
    try:
        yield made
    except BaseException as problem:
        made.finish(f"{made.text}: {'interrupted' if isinstance(problem, KeyboardInterrupt) else 'stopped'}")
        raise
    else:
        made.finish(f"{made.text}: done")  # unless more has been said


@contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    """Show nothing of what the block does."""
    token = _quiet.set(quiet or _quiet.get())
    try:
        yield
    finally:
        _quiet.reset(token)


def is_quiet() -> bool:
    """Whether nothing is to be shown here."""
    return _quiet.get()


def _bar(text: str, done: int, total: int) -> dict[str, str]:
    # Without a value the bar moves to and fro. It has the colours of the browser's theme.
    at = f' value="{done}" max="{total}"' if total else ""
    share = f" {done / total:.0%}" if total else " ..."
    label = html.escape(text)
    bar = f'<progress aria-label="{label}" style="width:16em;max-width:50%;vertical-align:middle"{at}></progress>'
    return _bundle(f"{text}{share}", f"{bar} {label}{share}")


def _bundle(plain: str, inner: str) -> dict[str, str]:
    line = f'<div class="bayesmlm" style="font-size:0.9em;opacity:0.8">{inner}</div>'
    return {"text/plain": plain, "text/html": line}
