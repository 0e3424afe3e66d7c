"""A table of several models as text, HTML, LaTeX, Markdown and CSV."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bayesmlm.errors import BayesMLMError
from bayesmlm.report.grid import RULE, Grid, Report
from bayesmlm.report.hypertext import with_scopes
from bayesmlm.report.markup import markdown_text
from bayesmlm.report.model_cells import Head, Line, Style, legend, table_lines, value_head

LATEX_SPECIAL = {
    "²": "$^2$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}  # pandas leaves these as they are
LATEX_NOTE = str.maketrans({"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "$": r"\$", **LATEX_SPECIAL})
PLAIN_FAMILY = "gaussian [identity]"
CSS = [
    {
        "selector": "",
        "props": "margin: 0.3em 0; border-collapse: collapse; border-bottom: 2px solid; border-top: 2px solid;",
    },
    {
        "selector": "caption",
        "props": "caption-side: bottom; text-align: left; font-size: 90%; max-width: 60em;",
    },
    {"selector": "th, td", "props": "padding: 0.1em 0.7em; font-weight: normal; vertical-align: top;"},
    {"selector": "thead th", "props": "text-align: center;"},
    {"selector": "tbody th", "props": "text-align: left; white-space: nowrap;"},
    {"selector": "tbody td", "props": "text-align: center; white-space: nowrap;"},
    {"selector": "thead tr:last-child > *", "props": "border-bottom: 1px solid;"},
    {"selector": "tbody tr:has(th.level0) > *", "props": "border-top: 1px solid rgba(128, 128, 128, 0.6);"},
    {"selector": "tbody th.level0", "props": "font-style: italic;"},
]


@dataclass(frozen=True, repr=False, eq=False)
class ModelTable:
    """Models side by side: what `bayesmlm.table` returns.

    Attributes
    ----------
    frame : DataFrame
        The numbers, unrounded, one row per model and quantity: model, part, group, term, estimate, std_error,
        conf_low, conf_high, p_value; see `bayesmlm.model_rows`.
    heads : tuple of Head
        Name, response and method of each model.
    style : Style
        How numbers are shown.
    warnings : tuple of str
        What is wrong with a model's fit, in sentences.
    """

    frame: pd.DataFrame
    heads: tuple[Head, ...]
    style: Style
    warnings: tuple[str, ...] = ()

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What stands below the table."""
        return (*legend(self.heads, self.style), *self.warnings)

    @cached_property
    def _lines(self) -> list[Line]:
        return table_lines(self.frame, self.heads, self.style)

    def to_frame(self) -> pd.DataFrame:
        """The table as strings: rows (part, term, value), columns (response, model, method); "" where there is none.

        Where a model is no linear one with normal residuals the columns have a fourth level, family.

        ``value`` is estimate, std_error or interval. With ``style="beside"`` it is the last level of the columns
        instead, under the name it has there.
        """
        rows = [(*key, *cells) for key, cells in self._rows()]
        width = 2 if self._beside else 3
        index = pd.MultiIndex.from_tuples([r[:width] for r in rows], names=["part", "term", "value"][:width])
        return pd.DataFrame([r[width:] for r in rows], index=index, columns=self._columns(), dtype=object)

    @property
    def _beside(self) -> bool:
        return self.style.style == "beside"

    @property
    def _head_levels(self) -> list[str]:
        return ["response", "model", "method", *(["family"] if any(h.family for h in self.heads) else [])]

    def _columns(self) -> pd.MultiIndex:
        names = self._head_levels
        heads = [(h.response, h.name, h.method, h.family or PLAIN_FAMILY)[: len(names)] for h in self.heads]
        if not self._beside:
            return pd.MultiIndex.from_tuples(heads, names=names)
        columns = [
            (*head, value_head(kind, h, self.style.prob))
            for head, h in zip(heads, self.heads, strict=True)
            for kind in self.style.values
        ]
        return pd.MultiIndex.from_tuples(columns, names=[*names, "value"])

    def _rows(self) -> list[tuple[tuple[str, ...], list[str]]]:
        """Return (index, cells) of each row of strings; a row below an estimate is left out where all lack it."""
        out: list[tuple[tuple[str, ...], list[str]]] = []
        for line in self._lines:
            if self._beside:
                cells = [c.get(kind, "") for c in line.cells for kind in self.style.values]
                out.append(((line.part, line.label), cells))
                continue
            for kind in self.style.values:
                cells = [c.get(kind, "") for c in line.cells]
                if kind == "estimate" or any(cells):
                    out.append(((line.part, line.label, kind), cells))
        return out

    # -- text ----------------------------------------------------------------------------------------

    def _report(self) -> Report:
        columns = self._columns()
        levels = [list(columns.get_level_values(i)) for i in range(columns.nlevels)]
        if self._beside:
            first = [i % len(self.style.values) == 0 for i in range(len(columns))]
            own = len(self._head_levels)
            levels[:own] = [[x if f else "" for x, f in zip(lv, first, strict=True)] for lv in levels[:own]]
        rows, names, part = [*levels[1:], [""] * len(columns)], [*[""] * len(levels[1:]), RULE], ""
        for key, cells in self._rows():
            if key[0] != part:
                part = key[0]
                rows.append([""] * len(columns))
                names.append(part)
            below = not self._beside and key[2] != "estimate"
            names.append("" if below else f"  {key[1]}")
            # A blank under the closing parenthesis keeps the digits of estimates and standard errors in line.
            rows.append([c if below or not c or self._beside else f"{c} " for c in cells])
        grid = Grid(tuple(levels[0]), tuple(map(tuple, rows)), tuple(names))
        return Report((grid, RULE, *self.notes), self.frame)

    def __repr__(self) -> str:
        return "\n".join(line.rstrip() for line in str(self._report()).split("\n"))

    # -- markup --------------------------------------------------------------------------------------

    def _styler(self, escape: str, label: Callable[[str], str], cell: Callable[[str], str], note: str) -> Any:
        from pandas.io.formats.style import Styler

        frame = self.to_frame()
        if not self._beside:
            below = frame.index.get_level_values("value") != "estimate"
            terms = ["" if b else term for (_, term, _), b in zip(frame.index, below, strict=True)]
            frame.index = pd.MultiIndex.from_arrays([frame.index.get_level_values("part"), terms])
        uuid = hashlib.sha1(repr(self).encode(), usedforsecurity=False).hexdigest()[:8]
        styler = Styler(frame, uuid=f"bayesmlm_{uuid}", cell_ids=False)
        styler.format(cell, escape=escape)
        for axis in ("index", "columns"):
            styler.format_index(label, escape=escape, axis=axis).hide(axis=axis, names=True)
        return styler.set_caption(note) if note else styler

    def to_html(self, caption: str | None = None, *, document: bool = False) -> str:
        """The table as HTML.

        Parameters
        ----------
        caption
            HTML before the notes below the table.
        document
            Whether to return a whole page rather than a table element with its style.
        """
        import html

        note = " ".join([*_sentence(caption), *map(html.escape, self.notes)])
        styler = self._styler("html", str, _minus("\N{MINUS SIGN}"), note)
        return with_scopes(styler.set_table_styles(CSS).to_html(doctype_html=document))

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.to_html()}</div>'

    def to_latex(self, caption: str | None = None, *, label: str | None = None, notes: bool = True) -> str:
        """The table as LaTeX, which needs the package booktabs.

        Parameters
        ----------
        caption
            LaTeX of the caption; the notes follow it.
        label
            For ``\\ref``.
        notes
            Whether the notes are in the caption. Without notes, caption and label the result is a bare tabular.
        """
        parts = _sentence(caption)
        parts += [n.translate(LATEX_NOTE) for n in self.notes] if notes else []
        styler = self._styler("latex", _latex_label, _minus("$-$"), " ".join(parts))
        text = styler.to_latex(
            column_format="ll" + "c" * len(self._columns()),
            hrules=True,
            clines="skip-last;data",
            multirow_align="naive",
            multicol_align="c",
            label=label,
            position_float="centering" if parts or label else None,
        )
        # Rules between the parts as booktabs has them; the last stands on the bottom rule.
        return re.sub(r"\\cline\{[\d-]+\}\n(?!\\bottomrule)", r"\\midrule\n", text).replace(
            f"\\cline{{1-{2 + len(self._columns())}}}\n\\bottomrule", r"\bottomrule"
        )

    def to_markdown(self) -> str:
        """The table in Markdown (pipe tables), with the notes below it."""
        columns = self._columns()
        levels = [[markdown_text(x) for x in columns.get_level_values(i)] for i in range(columns.nlevels)]
        rows, part = [["", *level] for level in (levels[0], *levels[2:])], ""
        for key, cells in self._rows():
            if key[0] != part:
                part = key[0]
                rows.append([f"**{part}**", *[""] * len(cells)])
            below = not self._beside and key[2] != "estimate"
            rows.append(["" if below else markdown_text(key[1]), *map(markdown_text, cells)])
        frame = pd.DataFrame(rows)
        align = ("left", *["center"] * len(columns))
        text = frame.to_markdown(
            index=False, headers=["", *levels[1]], tablefmt="pipe", disable_numparse=True, colalign=align
        )
        return "\n\n".join([text, *map(markdown_text, self.notes)])

    def to_csv(self) -> str:
        """The numbers, `frame`, as CSV."""
        return self.frame.to_csv(index=False)

    def save(self, path: str | Path) -> Path:
        """Write the table to a file of the kind its name ends in: .html, .tex, .md, .txt, or .csv for the raw numbers.

        Raises
        ------
        BayesMLMError
            For another ending.
        """
        target = Path(path)
        writers = {
            ".html": lambda: self.to_html(document=True),
            ".tex": self.to_latex,
            ".md": self.to_markdown,
            ".txt": lambda: f"{self!r}\n",
            ".csv": self.to_csv,
        }
        if target.suffix.lower() not in writers:
            known = ", ".join(writers)
            raise BayesMLMError(f"cannot save a table as {target.name!r}: the name must end in {known}")
        target.write_text(writers[target.suffix.lower()](), encoding="utf-8")
        return target


def _sentence(caption: str | None) -> list[str]:
    """Return the caption with a full stop, so that notes can follow it; none is no sentence."""
    if not caption:
        return []
    return [caption if caption.rstrip()[-1:] in ".?!:" else f"{caption.rstrip()}."]


def _minus(sign: str) -> Callable[[str], str]:
    """Return a function that writes the minus of numbers with another sign."""
    return lambda text: re.sub(r"-(?=\d)", lambda _: sign, text)


def _latex_label(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(c, c) for c in text)
