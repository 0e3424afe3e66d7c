"""What reports are made of: tables of strings that know how to be text and HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bayesmlm.covariance import VarCorr
from bayesmlm.design import Design
from bayesmlm.report.rformat import format_fixed, format_numbers, text_table

RULE = "------"


@dataclass(frozen=True)
class Grid:
    """A table of strings: heads, rows, and names in front of the rows."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    row_names: tuple[str, ...] | None = None
    left: int = 0

    def text(self) -> list[str]:
        """Lay the table out in fixed-width columns."""
        return text_table(self.headers, self.rows, left=self.left, row_names=self.row_names)

    def html(self) -> str:
        """Return a table element; columns of numbers are right-justified, empty columns left out."""
        columns = list(zip(self.headers, *self.rows, strict=True))
        shown = [j for j, column in enumerate(columns) if any(cell.strip() for cell in column)]
        align = {j: "right" if _numeric(columns[j][1:]) else "left" for j in shown}
        head = "".join(
            f'<th scope="col" style="text-align:{align[j]}">{_escape(self.headers[j])}</th>' for j in shown
        )
        corner = "<td></td>" if self.row_names is not None else ""
        body = []
        for i, row in enumerate(self.rows):
            name = ""
            if self.row_names is not None:
                name = f'<th scope="row" style="text-align:left">{_escape(self.row_names[i])}</th>'
            cells = "".join(f'<td style="text-align:{align[j]}">{_escape(row[j])}</td>' for j in shown)
            body.append(f"<tr>{name}{cells}</tr>")
        return f"<table><thead><tr>{corner}{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _numeric(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers or intervals rather than words."""
    return all(not c.strip() or c.strip()[0] in "+-[.0123456789<N" for c in cells)


def _escape(text: str) -> str:
    return html.escape(text.strip())


@dataclass(frozen=True)
class Report:
    """Something to read: lines and tables, in order; prints as text, and as HTML in a notebook.

    Attributes
    ----------
    parts : tuple of str or Grid
        A string is a line or several.
    frame : DataFrame or None
        The numbers behind it, unrounded.
    """

    parts: tuple[str | Grid, ...]
    frame: pd.DataFrame | None = field(default=None, compare=False)

    def __str__(self) -> str:
        lines: list[str] = []
        for part in self.parts:
            lines += part.text() if isinstance(part, Grid) else [part]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        out: list[str] = []
        for part in self.parts:
            if isinstance(part, Grid):
                out.append(part.html())
            elif part.strip() and part != RULE:
                # Several lines are laid out in columns, which only a fixed-width font keeps.
                out.append(
                    f'<div style="white-space:pre-wrap;font-family:monospace">{html.escape(part)}</div>'
                )
        return f'<div class="bayesmlm">{"".join(out)}</div>'


class PrintedVarCorr(VarCorr):
    """A `VarCorr` that prints as lme4 prints it."""

    def __str__(self) -> str:
        return "\n".join(random_effects_grid(self, ("Std.Dev.",), 5).text())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return Report((random_effects_grid(self, ("Std.Dev.",), 5),))._repr_html_()


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
    return Grid(("", *heads), tuple(("", *row) for row in rows), left=99)


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
