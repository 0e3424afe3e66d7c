"""Paragraphs for a paper: text, HTML and Markdown of the same words."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from bayesmlm.report.markup import markdown_text

WIDTH = 88


class Code(str):
    """A piece of text that is code, such as a formula."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph under a run-in heading; its pieces are text or `Code`."""

    heading: str
    pieces: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.pieces))


@dataclass(frozen=True, repr=False)
class Prose:
    """Paragraphs and references; prints as wrapped text, and as HTML in a notebook.

    Attributes
    ----------
    paragraphs : tuple of Paragraph
    references : tuple of str
        The works that the paragraphs rest on.
    """

    paragraphs: tuple[Paragraph, ...]
    references: tuple[str, ...]

    @property
    def text(self) -> str:
        """Plain text, wrapped."""
        blocks = [_wrap(f"{p.heading}. {p}") for p in self.paragraphs]
        if self.references:
            blocks.append("\n".join(["References", *(_wrap(f"- {r}", "  ") for r in self.references)]))
        return "\n\n".join(blocks)

    @property
    def markdown(self) -> str:
        """Markdown, one line per paragraph."""
        blocks = [f"**{p.heading}.** {''.join(map(_markdown_piece, p.pieces))}" for p in self.paragraphs]
        if self.references:
            blocks += ["**References**", "\n".join(f"- {markdown_text(r)}" for r in self.references)]
        return "\n\n".join(blocks) + "\n"

    def _repr_html_(self) -> str:
        blocks = [
            f"<p><b>{p.heading}.</b> {''.join(map(_html_piece, p.pieces))}</p>" for p in self.paragraphs
        ]
        if self.references:
            items = "".join(f"<li>{html.escape(r)}</li>" for r in self.references)
            blocks.append(f"<p><b>References</b></p><ul>{items}</ul>")
        return f'<div class="bayesmlm" style="max-width:50em">{"".join(blocks)}</div>'

    def __repr__(self) -> str:
        return self.text


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _markdown_piece(piece: str) -> str:
    if not isinstance(piece, Code):
        return markdown_text(piece)
    fence = "``" if "`" in piece else "`"
    gap = " " if "`" in piece else ""
    return f"{fence}{gap}{piece}{gap}{fence}"


def _html_piece(piece: str) -> str:
    text = html.escape(piece)
    return f"<code>{text}</code>" if isinstance(piece, Code) else text


def listed(items: Sequence[str], last: str = "and") -> str:
    """Join words as a sentence does: ``a, b and c``."""
    words = list(items)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""
