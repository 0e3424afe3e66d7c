"""Expressions over a data frame: R's values for `log(x)`, `factor(g)`, `poly(x, 2)`, `I(a * b)`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm import transforms
from bayesmlm.columns import Factor, Value, column_factor, column_value, drop_unused, is_logical, level_text
from bayesmlm.errors import FormulaError, did_you_mean
from bayesmlm.syntax import Binary, Call, Name, Node, Number, Paren, String, Unary, names_in

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
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
    "%%": operator.mod,
    "%/%": operator.floordiv,
}
COMPARISON: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "&": np.logical_and,
    "|": np.logical_or,
}
FACTORS = {"factor", "as.factor", "C", "ordered", "as.ordered"}
NUMERIC = {"as.numeric", "as.double", "as.integer", "float", "int"}
FUNCTIONS = {**transforms.OF_EACH_ROW, **transforms.OF_THE_COLUMN, **transforms.SUMMARIES}
ONE_ARGUMENT = {*transforms.ELEMENTWISE, *transforms.SUMMARIES, "center"}
KNOWN = {*FUNCTIONS, *FACTORS, *NUMERIC, "I", "as.vector", "relevel", "cbind", "c", "offset"}


class Evaluator:
    """Evaluates expressions of one formula on a frame.

    As in R, a transformation sees every row of the data (``scale(x)`` takes the mean of all known x), also
    rows that a missing value elsewhere keeps out of the fit; `rows` are taken from its result.

    Parameters
    ----------
    frame
        The data.
    text
        The formula, for errors that point into it.
    rows
        Positions of the rows to return; all if None.
    """

    def __init__(self, frame: pd.DataFrame, text: str, rows: np.ndarray | None = None):
        self.frame, self.text, self.rows = frame, text, rows

    @property
    def n(self) -> int:
        """Number of rows returned."""
        return len(self.frame) if self.rows is None else len(self.rows)

    def error(self, message: str, node: Node) -> FormulaError:
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

    def take(self, node: Node) -> Value:
        """Evaluate an expression and return it on the chosen rows; a factor keeps the levels it has there."""
        return self._chosen(self.value(node))

    def take_factor(self, node: Node) -> Factor:
        """Evaluate an expression, make categories of it, and return it on the chosen rows."""
        return self._chosen(self.as_factor(node))

    def _chosen(self, value: Value) -> Value:
        if self.rows is None:
            return value
        if isinstance(value, Factor):
            return drop_unused(Factor(value.levels, value.codes[self.rows]))
        return value[self.rows] if isinstance(value, np.ndarray) and value.ndim else value

    def value(self, node: Node) -> Value:
        """Evaluate an expression on all rows."""
        match node:
            case Name(name):
                return column_value(self.frame[name]) if name in self.frame.columns else CONSTANTS[name]
            case Number(value):
                return np.float64(value)  # 1 / 0 is Inf, as in R
            case String(value):
                return value
            case Paren(arg):
                return self.value(arg)
            case Unary("-" | "+" as op, arg):
                return -self.numeric(arg) if op == "-" else self.numeric(arg)
            case Unary("!", arg):
                return self.compare(node, operator.eq, self.numeric(arg), np.float64(0))
            case Binary(op, left, right) if op in ARITHMETIC:
                return self.combine(node, ARITHMETIC[op], self.numeric(left), self.numeric(right))
            case Binary("==" | "!=" as op, left, right) if self.is_text(left) or self.is_text(right):
                return self.compare(node, COMPARISON[op], *map(_as_text, map(self.value, (left, right))))
            case Binary(op, left, right) if op in COMPARISON:
                return self.compare(node, COMPARISON[op], self.numeric(left), self.numeric(right))
            case Binary(":", Number(first), Number(last)):
                step = 1 if last >= first else -1
                return list(np.arange(first, last + step / 2, step))
            case Call():
                return self.call(node)
        raise self.error(f"{node} cannot be computed from the data", node)

    def numeric(self, node: Node) -> Any:
        """Evaluate an expression that has to be numeric; booleans count as 0 and 1."""
        value = self.value(node)
        if isinstance(value, Factor):
            if is_logical(value):
                truth = np.array([*(level == "TRUE" for level in value.levels), np.nan])
                return truth[value.codes]
            message = f"{node} is categorical, and arithmetic needs numbers: as.numeric({node}) makes them"
            raise self.error(message, node)
        if value is None or isinstance(value, str | list):
            kind = "text" if isinstance(value, str) else "not a number"
            raise self.error(f"{node} is {kind}, and arithmetic needs numbers", node)
        return value

    def is_text(self, node: Node) -> bool:
        """Whether an expression is text or categorical, so that R compares it as text."""
        value = self.value(node)
        return isinstance(value, str) or (isinstance(value, Factor) and not is_logical(value))

    def combine(self, node: Node, function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
        """Apply an operator to two values."""
        try:
            with np.errstate(all="ignore"):
                return function(a, b)
        except (TypeError, ValueError, ArithmeticError) as problem:
            raise self.error(f"{node} cannot be computed: {problem}", node) from problem

    def compare(self, node: Node, function: Callable[[Any, Any], Any], a: Any, b: Any) -> Value:
        """Compare two values; the result is a factor with the levels FALSE and TRUE, or one truth value."""
        truth = self.combine(node, function, a, b)
        if np.ndim(truth) == 0:
            return bool(truth)
        if np.ndim(truth) > 1:
            raise self.error(f"{node} compares several columns at once", node)
        missing = [np.ravel(pd.isna(side)) for side in (a, b)]
        codes = np.where(missing[0] | missing[1], -1, np.asarray(truth, dtype=bool))
        return drop_unused(Factor(("FALSE", "TRUE"), codes))

    # -- functions ------------------------------------------------------------------------------

    def call(self, node: Call) -> Value:
        func = node.func.removeprefix("numpy.").removeprefix("np.")
        if func in {"I", "as.vector"}:
            return self.value(self._only(node))
        if func in FACTORS or func == "relevel":
            return self.factor(node)
        if func in NUMERIC:
            number = self.as_numeric(self._only(node))
            return np.trunc(number) if func in {"as.integer", "int"} else number
        if func == "cbind":
            return self.bind(node)
        if func == "c":
            return self.constants(node)
        if func == "offset":
            raise self.error("offset(...) is a term of its own in the fixed part", node)
        if func not in KNOWN:
            hint = did_you_mean(node.func, KNOWN)
            message = f"unknown function {node.func!r}.{hint} Other functions: compute the column in the data"
            raise self.error(message, node)
        return self.apply(func, node)

    def bind(self, node: Call) -> np.ndarray:
        """``cbind(a, b)``: columns side by side; one number stands for a column of it."""
        if not node.args:
            raise self.error("cbind() needs columns", node)
        parts = [self.numeric(arg) for _, arg in node.args]
        return np.column_stack([np.full(len(self.frame), p) if np.ndim(p) == 0 else p for p in parts])

    def constants(self, node: Call) -> list[Any]:
        """``c(2, 5)``, for levels and knots."""
        values = [self.value(arg) for _, arg in node.args]
        if any(isinstance(v, Factor | np.ndarray | list) for v in values):
            raise self.error("c(...) joins constants such as c(2, 5), not columns", node)
        return values

    def apply(self, func: str, node: Call) -> Value:
        """Call a function of the tables on its evaluated arguments."""
        given = [self.numeric(arg) for arg in node.positional()]
        keywords = {k: self.value(arg) for k, arg in node.args if k not in {None, "na.rm"}}
        if "x" in keywords:
            given.insert(0, keywords.pop("x"))
        if not given:
            raise self.error(f"{node.func}() needs a column", node)
        if func in ONE_ARGUMENT and len(given) + len(keywords) > 1:
            raise self.error(f"{node.func}() takes one expression", node)
        function = FUNCTIONS[func]
        try:
            with np.errstate(all="ignore"):
                if func in transforms.OF_EACH_ROW:
                    return function(*given, **keywords)
                return _on_known_rows(function, *given, **keywords)
        except (TypeError, ValueError) as problem:
            raise self.error(f"{node} cannot be computed: {problem}", node) from problem

    def as_factor(self, node: Node) -> Factor:
        """Evaluate an expression and make categories of it."""
        value = self.value(node)
        if isinstance(value, Factor):
            return value
        if not isinstance(value, np.ndarray) or value.ndim != 1:
            raise self.error(f"{node} is not one column, so it has no categories", node)
        # not by way of `value`: as a float a long identifier would lose digits
        return column_factor(self.frame[node.name] if isinstance(node, Name) else pd.Series(value))

    def factor(self, node: Call) -> Factor:
        """``factor(x, levels = c(...), labels = c(...))``, ``C(x)``, ``relevel(f, ref = "a")``."""
        given = self._matched(node, ("x", "ref") if node.func == "relevel" else ("x", "levels", "labels"))
        value = self.as_factor(given["x"])
        order = list(value.levels)
        if node.func == "relevel":
            first = self.level_texts(given, "ref", node)[0]
            order = [first, *(level for level in order if level != first)]
        if "levels" in given:
            order = self.level_texts(given, "levels", node)
        unknown = [level for level in order if level not in value.levels]
        if unknown:
            hint = did_you_mean(unknown[0], value.levels) or f" It has {', '.join(value.levels[:8])}."
            raise self.error(f"{given['x']} has no level {unknown[0]!r}.{hint}", node)
        labels = self.level_texts(given, "labels", node) if "labels" in given else order
        if len(labels) != len(order):
            raise self.error(f"{node.func}() has {len(labels)} labels for {len(order)} levels", node)
        recode = np.array([*(order.index(v) if v in order else -1 for v in value.levels), -1])
        return Factor(tuple(labels), recode[value.codes])

    def _matched(self, node: Call, names: tuple[str, ...]) -> dict[str, Node]:
        """Match arguments to parameters as R does: by name, and the others in order."""
        given = {k: arg for k, arg in node.args if k is not None}
        given |= dict(zip([n for n in names if n not in given], node.positional(), strict=False))
        if "x" not in given:
            raise self.error(f"{node.func}() needs a column", node)
        if set(given) - set(names) or len(given) < len(node.args):
            raise self.error(f"{node.func}() takes {', '.join(names)}, and nothing else", node)
        return given

    def level_texts(self, given: dict[str, Node], name: str, node: Call) -> list[str]:
        value = self.value(given[name]) if name in given else None
        several = value if isinstance(value, list) else [value]
        texts = [level_text(v) for v in several if isinstance(v, str | float | bool)]
        if len(texts) < len(several) or (name == "ref" and len(texts) > 1):
            wanted = "one level, such as ref = 'a'" if name == "ref" else f"{name} = c('a', 'b', ...)"
            raise self.error(f"{node.func}() takes {wanted}", node)
        if len(set(texts)) < len(texts):
            raise self.error(f"{name} = {given[name]} names a level twice", node)
        return texts

    def as_numeric(self, node: Node) -> Any:
        """R's ``as.numeric``: codes of a factor, numbers written as strings."""
        value = self.value(node)
        if not isinstance(value, Factor) or is_logical(value):
            return self.numeric(node)
        is_text = isinstance(node, Name) and not isinstance(self.frame[node.name].dtype, pd.CategoricalDtype)
        if not is_text:
            return np.where(value.codes < 0, np.nan, value.codes + 1.0)
        try:
            numbers = np.array([*map(float, value.levels), np.nan])
        except ValueError:
            raise self.error(f"{node} holds text that is not a number", node) from None
        return numbers[value.codes]

    def _only(self, node: Call) -> Node:
        if len(node.args) != 1:
            raise self.error(f"{node.func}() takes one expression", node)
        return node.args[0][1]


def _as_text(value: Value) -> Any:
    """A value as R's ``as.character``; a missing one is None."""
    if isinstance(value, Factor):
        return np.array([*value.levels, None], dtype=object)[value.codes]
    if isinstance(value, np.ndarray):
        return np.array([None if np.isnan(v) else level_text(v) for v in value.ravel()], dtype=object)
    return level_text(value)


def _on_known_rows(function: Callable[..., Any], x: Any, *args: Any, **keywords: Any) -> Any:
    """Apply a function of a whole column to its known rows; its result is missing in the others."""
    if not isinstance(x, np.ndarray):
        raise ValueError("it takes a column, not a constant")
    if x.ndim > 1:
        return function(x, *args, **keywords)
    known = ~np.isnan(x)
    if not np.isfinite(x[known]).all():
        raise ValueError("the column has infinite values; filter or change them first")
    result = function(x[known], *args, **keywords)
    if np.ndim(result) == 0:
        return result
    full = np.full((len(x), *result.shape[1:]), np.nan)
    full[known] = result
    return full
