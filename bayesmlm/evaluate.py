"""Expressions over a data frame: R's values for `log(x)`, `factor(g)`, `poly(x, 2)`, `I(a * b)`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm import transforms
from bayesmlm.columns import Factor, Value, column_factor, drop_unused, is_logical, level_text, truth
from bayesmlm.errors import FormulaError, did_you_mean
from bayesmlm.source import CONSTANTS, Source
from bayesmlm.syntax import Binary, Call, Name, Node, Number, Paren, String, Unary

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


class Evaluator(Source):
    """Evaluates expressions of one formula on a frame.

    As in R, a transformation sees every row of the data (``scale(x)`` takes the mean of all known x), also
    rows that a missing value elsewhere keeps out of the fit; `rows` are taken from its result. Parameters are
    those of `Source`.
    """

    def take(self, node: Node) -> Value:
        """Evaluate an expression and return it on the chosen rows; a factor keeps the levels it has there.

        Raises
        ------
        DataError
            If new data have a category that the rows of the fit had not.
        """
        value = self.chosen(self.value(node))
        if isinstance(value, Factor):
            value = self.with_levels(self.learned.kept, str(node), value, node)
            self.reject_new_levels(value, self.learned.kept[str(node)], str(node))
        return value

    def take_factor(self, node: Node) -> Factor:
        """Evaluate an expression, make categories of it, and return it on the chosen rows.

        Categories that are new to a fit come after its own, which are ``learned.kept``.
        """
        return self.with_levels(self.learned.kept, str(node), self.chosen(self.as_factor(node)), node)

    def value(self, node: Node) -> Value:
        """Evaluate an expression on all rows."""
        match node:
            case Name(name):
                return self.column(node) if name in self.frame.columns else CONSTANTS[name]
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
                return truth(value)
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
        try:
            with np.errstate(all="ignore"):
                if func in transforms.OF_EACH_ROW:
                    return transforms.OF_EACH_ROW[func](*given, **keywords)
                return self.of_column(func, node, *given, **keywords)
        except FormulaError:
            raise
        except (TypeError, ValueError) as problem:
            reason = str(problem).removeprefix("learn_")
            raise self.error(f"{node} cannot be computed: {reason}", node) from problem

    def of_column(self, func: str, node: Call, x: Any, *args: Any, **keywords: Any) -> Any:
        """Apply a function of a whole column to its known rows; its result is missing in the others."""
        if not isinstance(x, np.ndarray):
            raise ValueError("it takes a column, not a constant")
        known = np.ones(len(x), dtype=bool) if x.ndim > 1 else ~np.isnan(x)
        if not np.isinf(x[known]).any():
            learned = self.learned.parameters
            learn, apply = transforms.OF_THE_COLUMN.get(func, (None, None))
            if not self.is_new:
                summary = learn or transforms.SUMMARIES[func]
                learned[str(node)] = summary(x[known], *args, **keywords)
            state = self.recall(learned, str(node), node)
            return state if apply is None else _on_rows(known, apply(x[known], state))
        raise ValueError("the column has infinite values; filter or change them first")

    def as_factor(self, node: Node) -> Factor:
        """Evaluate an expression and make categories of it."""
        key = f"factor({node})"
        if self.is_new and isinstance(node, Name) and key in self.learned.levels:
            # numbers as categories, "12" for 12: new data may have them as either
            return self.with_levels(self.learned.levels, key, column_factor(self.frame[node.name]), node)
        value = self.value(node)
        if isinstance(value, Factor):
            return value
        if not isinstance(value, np.ndarray) or value.ndim != 1:
            raise self.error(f"{node} is not one column, so it has no categories", node)
        # not by way of `value`: as a float a long identifier would lose digits
        column = self.frame[node.name] if isinstance(node, Name) else pd.Series(value)
        return self.with_levels(self.learned.levels, key, column_factor(column), node)

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
        key = f"as.numeric({node})"
        if not self.is_new:
            self.learned.levels[key] = () if is_text else value.levels
        known = self.recall(self.learned.levels, key, node)
        if known:
            self.reject_new_levels(value, known, str(node))
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


def _on_rows(known: np.ndarray, result: np.ndarray) -> np.ndarray:
    """Put values in their rows; the others are missing."""
    if known.all():
        return result
    full = np.full((len(known), *result.shape[1:]), np.nan)
    full[known] = result
    return full
