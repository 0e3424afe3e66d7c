"""The gallery within the site: links to it, and what its pages show as printed.

gallery.md lists the examples for readers of the repository; on the site gallery/index has its place. Messages of
progress, which go to stderr, are no part of what an example prints.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

HEAD = "\n.. rst-class:: sphx-glr-script-out\n\n .. code-block:: none\n"
PRINTED = re.compile(re.escape(HEAD) + r"((?:\n+    .*)+)")
PROGRESS = re.compile(r"\n+    (?:sampling|bayesmlm: compiling its numerical kernels.*)(?=\n|$)")

IGNORED = re.compile(
    r"^# sphinx_gallery_start_ignore\n.*?^# sphinx_gallery_end_ignore\n\n?", re.MULTILINE | re.DOTALL
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Change pages before they are read, and what can be downloaded after it was written."""
    app.connect("source-read", _clean_page)
    app.connect("build-finished", _clean_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _clean_page(app: Sphinx, name: str, source: list[str]) -> None:
    if name.startswith("gallery/"):
        source[0] = without_progress(source[0])
    else:
        source[0] = source[0].replace("](gallery.md", "](gallery/index.rst")


def without_progress(page: str) -> str:
    """Leave messages of progress out of a page, and blocks of output that hold nothing else."""
    return PRINTED.sub(_block, page)


def _block(printed: re.Match[str]) -> str:
    rest = PROGRESS.sub("", printed[1])
    text = rest.strip("\n")  # the first line may be indented further than the block
    return f"{HEAD}\n{text}" if text else ""


def _clean_downloads(app: Sphinx, problem: Exception | None) -> None:
    """Take out of the scripts to download what runs them here: they come without the module that it needs."""
    if problem is not None:
        return
    folder = Path(app.outdir) / "_downloads"
    for script in folder.glob("*/[0-9]*.py"):
        script.write_text(without_ignored(script.read_text(encoding="utf-8")), encoding="utf-8")
    for archive in folder.glob("*/[0-9]*.zip"):
        with zipfile.ZipFile(archive) as old:
            files = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as new:
            for name, content in files.items():
                text = without_ignored(content.decode()) if name.endswith(".py") else content
                new.writestr(name, text)


def without_ignored(script: str) -> str:
    """Leave out of a script what the gallery does not show."""
    return IGNORED.sub("", script)
