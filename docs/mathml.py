"""Equations as MathML, which browsers show by themselves: no script, and nothing is fetched to read a page.

docutils turns TeX into MathML; an equation that it cannot read is a warning.
"""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
DISPLAYED = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer; what a notebook would typeset in the gallery's HTML is turned too."""
    app.add_html_math_renderer("mathml", (_inline, _nothing), (_block, _nothing))
    app.connect("doctree-resolved", _in_raw_html)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _mathml(tex: str, block: bool, place: nodes.Node | None) -> str:
    try:
        return tex2mathml(tex, as_block=block)
    except MathError as error:
        logger.warning("equation cannot be read: %s\n%s", error, tex, location=place)
        return f"<code>{html.escape(tex)}</code>"


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_mathml(node.astext(), False, node))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{_mathml(node.astext(), True, node)}</div>\n')
    raise nodes.SkipNode


def _nothing(translator: Any, node: nodes.Node) -> None:
    """Nothing is left to close: both visitors skip the rest of the node."""


def _in_raw_html(app: Sphinx, doctree: nodes.document, name: str) -> None:
    for node in doctree.findall(nodes.raw):
        text = node.astext()
        if node.get("format") == "html" and "$$" in text:
            turned = DISPLAYED.sub(lambda found: _mathml(html.unescape(found[1]), True, None), text)
            node.children = [nodes.Text(turned)]
