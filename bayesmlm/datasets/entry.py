"""What is recorded about a data set: one frozen entry per file."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_WIDTH = 96


@dataclass(frozen=True)
class Factor:
    """How the labels of a categorical column are put in order.

    Parameters
    ----------
    key
        Sorts the labels, which are always strings: `str` is the order of R's ``factor()`` for text in the
        C locale, `int` the order of numbers that serve as labels.
    ordered
        Whether the categories are ordered, as by R's ``ordered()``.
    """

    key: Callable[[str], str | int] = str
    ordered: bool = False


TEXT = Factor()
NUMBERED = Factor(key=int)


@dataclass(frozen=True, repr=False)
class Dataset:
    """A data set that comes with the package; ``print()`` shows all that is known about it.

    Parameters
    ----------
    name
        What `load_dataset` is called with.
    title
        One line.
    rows
        Number of rows.
    columns
        Every column of the data frame, in order, with its meaning and unit.
    source
        The study or publication that the values come from.
    origin
        How the values came into this package.
    licence
        The terms, or that none are stated.
    formula
        An example, in lme4's language.
    family
        The response's distribution in the example.
    categories
        The columns of the file that are read as categorical, each with the order of its levels.
    notes
        What to know before fitting.
    """

    name: str
    title: str
    rows: int
    columns: Mapping[str, str]
    source: str
    origin: str
    licence: str
    formula: str
    categories: Mapping[str, Factor]
    family: str = "gaussian"
    notes: str = ""

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {self.rows} rows, {len(self.columns)} columns)"

    def __str__(self) -> str:
        sections = [
            f"{self.name}: {self.title}\n{self.rows} rows, {len(self.columns)} columns",
            "Columns\n" + "\n".join(_item(column, meaning) for column, meaning in self.columns.items()),
            f"Example ({self.family})\n  {self.formula}",
            _section("Source", self.source),
            _section("Origin", self.origin),
            _section("Licence", self.licence),
        ]
        return "\n\n".join([*sections, _section("Notes", self.notes)] if self.notes else sections)


def _item(label: str, text: str) -> str:
    return _wrap(f"{label}: {text}", first="  ", rest="      ")


def _section(heading: str, text: str) -> str:
    return heading + "\n" + _wrap(text, first="  ", rest="  ")


def _wrap(text: str, first: str, rest: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
