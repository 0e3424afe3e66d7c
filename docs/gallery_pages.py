"""The gallery within the site: links to it, and what its pages show as printed.

gallery.md lists the examples for readers of the repository; on the site gallery/index has its place. Messages of
progress, which go to stderr, are no part of what an example prints.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

HEAD = "\n.. rst-class:: sphx-glr-script-out\n\n .. code-block:: none\n"
PRINTED = re.compile(re.escape(HEAD) + r"((?:\n+    .*)+)")
PROGRESS = re.compile(r"\n+    (?:sampling|bayesmlm: compiling its numerical kernels.*)(?=\n|$)")


def setup(app: Sphinx) -> dict[str, Any]:
    """Change pages before they are read."""
    app.connect("source-read", _clean_page)
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
