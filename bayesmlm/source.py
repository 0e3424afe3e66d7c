"""The data that expressions see: columns, the rows chosen, and what a fit has learned from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.columns import Factor, Value, column_factor, column_value, drop_unused, is_logical, truth
from bayesmlm.errors import DataError, FormulaError, did_you_mean
from bayesmlm.syntax import Name, Node, names_in

CONSTANTS: dict[str, Any] = {
    "TRUE": True,
    "True": True,
    "T": True,
    "FALSE": False,
    "False": False,
    "F": False,
    "pi": np.pi,
}
CONSTANTS |= {"NULL": None, "None": None}


@dataclass(frozen=True)
class Learned:
    """What the expressions of a formula learned from the data of the fit, by R's text of the expression.

    Attributes
    ----------
    levels : dict of str to tuple of str
        Categories, of all rows.
    kept : dict of str to tuple of str
        Categories that occur in the rows used: those that have coefficients, or effects.
    parameters : dict of str to object
        The mean and the sd of ``scale(x)``, the knots of ``ns(x, 3)``, the number that is ``mean(x)``, ...
    """

    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


class Source:
    """Columns of a frame, by name.

    Parameters
    ----------
    frame
        The data.
    text
        The formula, for errors that point into it.
    rows
        Positions of the rows to return; all if None.
    learned
        What a fit has learned, if the data are new to it: the expressions then mean what they meant there,
        with its categories, its means and its knots. Otherwise they are learned here, in `learned`.
    """

    def __init__(
        self, frame: pd.DataFrame, text: str, rows: np.ndarray | None = None, learned: Learned | None = None
    ):
        self.frame, self.text, self.rows = frame, text, rows
        self.is_new = learned is not None
        self.learned = Learned() if learned is None else learned

    @property
    def n(self) -> int:
        """Number of rows returned."""
        return len(self.frame) if self.rows is None else len(self.rows)

    def error(self, message: str, node: Node) -> FormulaError:
        """Return an error that points at an expression."""
        return FormulaError(message, self.text, node.start, node.end)

    def columns(self, node: Node) -> list[str]:
        """Return the data columns an expression uses; an unknown name is an error."""
        used = []
        for name in names_in(node):
            if name.name in self.frame.columns:
                used.append(name.name)
            elif name.name not in CONSTANTS:
                hint = (
                    did_you_mean(name.name, self.frame.columns) or f" The data have: {self._column_list()}."
                )
                raise self.error(f"unknown column {name.name!r}.{hint}", name)
        return used

    def _column_list(self) -> str:
        names = [str(c) for c in self.frame.columns]
        return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")

    def column(self, node: Name) -> Value:
        """Return a column of the data; in new data, of the kind that it is in the data of the fit."""
        column = self.frame[node.name]
        value = column_value(column)
        if self.is_new and node.name in self.learned.levels:
            value = value if isinstance(value, Factor) else column_factor(column)
        elif self.is_new and isinstance(value, Factor):
            if not is_logical(value):
                raise DataError(
                    f"column {node.name!r} holds categories ({', '.join(value.levels[:4])}) in the new data, "
                    "and numbers in the data of the fit"
                )
            return truth(value)
        if isinstance(value, Factor):
            return self.with_levels(self.learned.levels, node.name, value, node)
        return value

    def reject_new_levels(self, value: Factor, known: tuple[str, ...], what: str) -> None:
        """Raise DataError if a factor has more levels than the fit knows."""
        if len(value.levels) > len(known):
            new = ", ".join(map(repr, value.levels[len(known) :][:5]))
            several = len(value.levels) - len(known) > 1
            raise DataError(
                f"{what} has the level{'s' if several else ''} {new} in the new data, for which the fit has no "
                f"coefficient; it knows {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}"
            )

    def with_levels(self, table: dict[str, tuple[str, ...]], key: str, value: Factor, node: Node) -> Factor:
        """Learn the levels of a factor; in new data, return it with the levels learned, and new ones after them."""
        if not self.is_new:
            table[key] = value.levels
            return value
        value = drop_unused(value)
        known = self.recall(table, key, node)
        place = {level: i for i, level in enumerate(dict.fromkeys((*known, *value.levels)))}
        recode = np.array([*(place[level] for level in value.levels), -1], dtype=np.intp)
        return Factor(tuple(place), recode[value.codes])

    def recall(self, table: dict[str, Any], key: str, node: Node) -> Any:
        """Return what was learned of an expression; one that the fit has not seen is an error."""
        if key not in table:
            raise self.error(f"{node} is not in the model that was fitted", node)
        return table[key]

    def chosen(self, value: Value) -> Value:
        """Return a value on the chosen rows; a factor keeps the levels it has there."""
        if self.rows is None:
            return value
        if isinstance(value, Factor):
            return drop_unused(Factor(value.levels, value.codes[self.rows]))
        return value[self.rows] if isinstance(value, np.ndarray) and value.ndim else value
