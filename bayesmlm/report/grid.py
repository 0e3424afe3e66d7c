"""What reports are made of: tables of strings that know how to be text and HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from bayesmlm.covariance import VarCorr
from bayesmlm.design import Design
from bayesmlm.report.hypertext import document, heading_html, lines_html, paragraph_html, table_html
from bayesmlm.report.rformat import format_fixed, format_numbers, text_table

RULE = "------"


@dataclass(frozen=True)
class Grid:
    """A table of strings: heads, rows, and names in front of the rows.

    Attributes
    ----------
    headers, rows, row_names
        The strings.
    left : int
        Number of columns that are left-justified in text.
    caption : str
        What HTML says above the table, where no line of the report does.
    heads : int
        Number of columns, empty ones apart, that name their row.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    row_names: tuple[str, ...] | None = None
    left: int = 0
    caption: str = ""
    heads: int = 0

    def text(self) -> list[str]:
        """Lay the table out in fixed-width columns."""
        return text_table(self.headers, self.rows, left=self.left, row_names=self.row_names)

    def html(self, caption: str = "") -> str:
        """Return a table element, with a caption if there is none of its own."""
        return table_html(self.headers, self.rows, self.row_names, self.caption or caption, self.heads)


@dataclass(frozen=True)
class Sentences:
    """Sentences, which text wraps into lines and HTML does not: their width is that of the page there.

    The head, such as a name that the sentences are about, is emphasised in HTML.
    """

    words: str
    width: int
    first: str = ""
    rest: str = "  "
    head: str = ""

    def __str__(self) -> str:
        return textwrap.fill(
            f"{self.head}{self.words}",
            self.width,
            initial_indent=self.first,
            subsequent_indent=self.rest,
            break_on_hyphens=False,
        )


Part = str | Grid | Sentences


@dataclass(frozen=True)
class Report:
    """Something to read: lines, sentences and tables, in order; prints as text, and as HTML in a notebook.

    Attributes
    ----------
    parts : tuple of str, Grid or Sentences
        A string is a line or several. The line before a table is its caption in HTML.
    frame : DataFrame or None
        The numbers behind it, unrounded.
    """

    parts: tuple[Part, ...]
    frame: pd.DataFrame | None = field(default=None, compare=False)

    def __str__(self) -> str:
        lines: list[str] = []
        for part in self.parts:
            lines += part.text() if isinstance(part, Grid) else [str(part)]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        out: list[str] = []
        lines: list[str] = []
        for i, part in enumerate(self.parts):
            if isinstance(part, str):
                lines.append("" if part == RULE else part)
                continue
            above = _heading(self.parts[:i], part)
            if above:
                lines = lines[: lines.index(above)]
            out.append(lines_html(lines))
            if isinstance(part, Grid):
                out.append(part.html(above))
            else:
                out += [heading_html(above)] if above else []
                out.append(paragraph_html(part.words, part.head))
            lines = []
        return document([*out, lines_html(lines)])


def _heading(before: Sequence[Part], part: Grid | Sentences) -> str:
    """Return the line that stands directly above a part; for a table, the title if nothing else is between them."""
    if isinstance(part, Grid) and part.caption:
        return ""
    said = [p for p in before if not isinstance(p, str) or p.strip()]
    last = before[-1] if before else None
    if last == "" and len(said) == 1 and isinstance(part, Grid):
        last = said[0]
    if not isinstance(last, str) or not last.strip() or last == RULE or "\n" in last:
        return ""
    return last if isinstance(part, Grid) or last.endswith(":") else ""


class PrintedVarCorr(VarCorr):
    """A `VarCorr` that prints as lme4 prints it."""

    def __str__(self) -> str:
        return "\n".join(random_effects_grid(self, ("Std.Dev.",), 5).text())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        grid = random_effects_grid(self, ("Std.Dev.",), 5)
        return Report((replace(grid, caption="Variance components"),))._repr_html_()


def printed_varcorr(varcorr: VarCorr) -> PrintedVarCorr:
    """Return the same numbers in a type that prints itself."""
    return PrintedVarCorr(varcorr.blocks, varcorr.sigma)


def random_effects_grid(
    varcorr: VarCorr, which: Sequence[str], digits: int, decimals: int | None = None
) -> Grid:
    """lme4's table of variance components: Groups, Name, Variance and/or Std.Dev., Corr.

    `decimals` fixes the number of decimals; otherwise `digits` significant digits are shown.
    """
    sds = [s for b in varcorr.blocks for s in b.sd] + ([] if varcorr.sigma is None else [varcorr.sigma])
    columns = []
    for kind in which:
        values = np.square(sds) if kind == "Variance" else np.array(sds)
        columns.append(format_numbers(values, digits) if decimals is None else format_fixed(values, decimals))
    widest = max((len(b.columns) for b in varcorr.blocks), default=1)
    corr_decimals = digits - 2 if decimals is None else decimals  # lme4 shows 2 on its pages, 3 for VarCorr
    rows: list[tuple[str, ...]] = []
    for b in varcorr.blocks:
        texts = [[_corr_text(value, corr_decimals) for value in line] for line in b.corr]
        width = max(len(text) for line in texts for text in line)
        for i, name in enumerate(b.columns):
            corr = [texts[i][j].rjust(width) for j in range(i)]
            cells = [column[len(rows)] for column in columns]
            rows.append((b.label if i == 0 else "", name, *cells, *corr, *[""] * (widest - 1 - i)))
    if varcorr.sigma is not None:
        rows.append(("Residual", "", *(column[-1] for column in columns), *[""] * (widest - 1)))
    heads = ("Groups", "Name", *which, *(["Corr", *[""] * (widest - 2)] if widest > 1 else []))
    return Grid(("", *heads), tuple(("", *row) for row in rows), left=99, heads=2)


def _corr_text(value: float, decimals: int) -> str:
    return "NaN" if np.isnan(value) else f"{value:.{decimals}f}"


def groups_text(design: Design) -> str:
    """Write the grouping factors and their numbers of levels as lme4 does, ``"school, 73"``."""
    return "; ".join(f"{group}, {count}" for group, count in by_size(design))


def by_size(design: Design) -> list[tuple[str, int]]:
    """Grouping factors with their numbers of levels, most levels first."""
    return sorted(design.ngroups.items(), key=lambda item: -item[1])


def dropped_sentence(design: Design) -> str:
    """Say how many rows were left out for missing values, by column; empty if none was."""
    lost = design.n_given - design.nobs
    if not lost:
        return ""
    causes = ", ".join(f"{column} {count}" for column, count in design.dropped.items())
    return f"{lost} of {design.n_given} rows left out: missing {causes}"
