"""Expressions over a data frame: R's values for `log(x)`, `factor(g)`, `poly(x, 2)`, `I(a * b)`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm import transforms
from bayesmlm.errors import DataError, FormulaError, did_you_mean
from bayesmlm.syntax import Binary, Call, Name, Node, Number, Paren, String, Unary, names_in

CONSTANTS = {"TRUE": True, "True": True, "T": True, "FALSE": False, "False": False, "F": False, "pi": np.pi}
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
}
FACTORS = {"factor", "as.factor", "C", "ordered", "as.ordered"}
SPLINES = {"poly": transforms.poly, "bs": transforms.bs, "ns": transforms.ns}
NUMERIC = {"as.numeric", "as.double", "as.integer", "float", "int"}
KNOWN = {*FACTORS, *SPLINES, *NUMERIC, "I", "as.vector", "relevel", "cbind", "c", "log", "center", "scale"}
KNOWN |= {*transforms.ELEMENTWISE, *transforms.SUMMARIES, "offset"}


@dataclass(frozen=True)
class Factor:
    """A categorical value: `codes` (n,) index `levels`; -1 is missing."""

    levels: tuple[str, ...]
    codes: np.ndarray


Value = Any  # ndarray (n,) or (n, k) | Factor | a scalar or short vector


def as_frame(data: Any) -> pd.DataFrame:
    """Return any data frame (pandas, polars, arrow, ...) as pandas, without copying a pandas one.

    Raises
    ------
    DataError
        If `data` is not a data frame, or has two columns of one name.
    """
    if not isinstance(data, pd.DataFrame):
        import narwhals as nw

        try:
            native = nw.from_native(data)
            frame = native.collect() if isinstance(native, nw.LazyFrame) else native
            data = frame.to_pandas()
        except TypeError:
            kind = type(data).__name__
            raise DataError(f"data must be a data frame (pandas, polars, ...), not {kind}") from None
    twice = data.columns[data.columns.duplicated()].unique().tolist()
    if twice:
        raise DataError(f"the data have several columns named {', '.join(map(repr, twice))}: rename them")
    return data


def column_factor(column: pd.Series) -> Factor:
    """Return a column as R's ``factor`` would: categories in their order, others sorted; unused ones go."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, labels = column.cat.codes.to_numpy().astype(np.intp), list(column.cat.categories)
    else:
        codes, uniques = pd.factorize(column, sort=True, use_na_sentinel=True)
        labels = list(uniques)
    return drop_unused(Factor(tuple(map(_level_text, labels)), codes))


def drop_unused(factor: Factor) -> Factor:
    """Return a factor without the levels that no row has."""
    used = np.unique(factor.codes[factor.codes >= 0])
    recode = np.full(len(factor.levels) + 1, -1, dtype=np.intp)
    recode[used] = np.arange(len(used))
    return Factor(tuple(factor.levels[i] for i in used), recode[factor.codes])


def _level_text(value: Any) -> str:
    """R's ``as.character``: TRUE and FALSE, whole numbers without a decimal point."""
    if isinstance(value, bool | np.bool_):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float | np.floating):
        return f"{value:.15g}"
    return str(value)


def column_value(column: pd.Series) -> Value:
    """Return a column as a float array, or as a Factor if it holds strings, booleans or categories."""
    if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(column.dtype):
        return column_factor(column)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan)
    if pd.api.types.is_string_dtype(column.dtype) or column.dtype == object:
        return _object_value(column)
    kind = f"column {column.name!r} holds {column.dtype} values"
    raise DataError(f"{kind}, which no formula can use: convert them to numbers or strings first")


def _object_value(column: pd.Series) -> Value:
    present = column.dropna()
    kinds = {type(v) for v in present}
    if kinds and all(issubclass(k, int | float | np.number) and not issubclass(k, bool) for k in kinds):
        return pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan)
    if kinds <= {str} or all(issubclass(k, bool | np.bool_) for k in kinds):
        return column_factor(column)
    names = ", ".join(sorted(k.__name__ for k in kinds))
    raise DataError(f"column {column.name!r} mixes types ({names}): convert it to numbers or to strings")


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
        value = self.value(node)
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
            case Number(value) | String(value):
                return value
            case Paren(arg):
                return self.value(arg)
            case Unary(op, arg):
                x = self.numeric(arg)
                return {"-": operator.neg, "+": operator.pos, "!": np.logical_not}[op](x)
            case Binary(op, left, right) if op in ARITHMETIC:
                with np.errstate(all="ignore"):
                    return ARITHMETIC[op](self.numeric(left), self.numeric(right))
            case Binary(op, left, right) if op in COMPARISON:
                return self.compare(op, left, right)
            case Call():
                return self.call(node)
        raise self.error(f"{node} cannot be computed from the data", node)

    def numeric(self, node: Node) -> Any:
        """Evaluate an expression that has to be numeric; booleans count as 0 and 1."""
        value = self.value(node)
        if isinstance(value, Factor):
            if set(value.levels) <= {"TRUE", "FALSE"}:
                truth = np.array([level == "TRUE" for level in value.levels], dtype=float)
                return np.where(value.codes < 0, np.nan, truth[value.codes])
            raise self.error(f"{node} is categorical, and arithmetic needs numbers", node)
        if isinstance(value, str):
            raise self.error(f"{node} is text, and arithmetic needs numbers", node)
        return value

    def compare(self, op: str, left: Node, right: Node) -> Factor:
        a, b = self.value(left), self.value(right)
        missing = np.zeros(len(self.frame), dtype=bool)
        sides = []
        for side in (a, b):
            if isinstance(side, Factor):
                missing |= side.codes < 0
                sides.append(np.array([*side.levels, ""], dtype=object)[side.codes])
            else:
                if isinstance(side, np.ndarray) and side.dtype.kind == "f":
                    missing |= np.isnan(side)
                sides.append(side)
        truth = np.asarray(COMPARISON[op](*sides), dtype=bool)
        return column_factor(pd.Series(truth, dtype="boolean").mask(missing))

    # -- functions ------------------------------------------------------------------------------

    def call(self, node: Call) -> Value:
        func = node.func.removeprefix("numpy.").removeprefix("np.")
        if func in {"I", "as.vector"}:
            return self.value(self._only(node))
        if func in FACTORS or func == "relevel":
            return self.factor(node)
        if func in NUMERIC:
            return self.as_numeric(self._only(node))
        if func == "cbind":
            return np.column_stack([self.numeric(a) for a in node.positional()])
        if func == "c":
            return [self.value(a) for a in node.positional()]
        if func not in KNOWN:
            raise self.error(f"unknown function {node.func!r}.{did_you_mean(node.func, KNOWN)}", node)
        return self.apply(func, node)

    def apply(self, func: str, node: Call) -> Value:
        table = {**transforms.ELEMENTWISE, **transforms.SUMMARIES, **SPLINES}
        table |= {"log": transforms.log, "center": transforms.center, "scale": transforms.scale}
        if not node.args:
            raise self.error(f"{node.func}() needs a column", node)
        positional = [self.numeric(a) for a in node.positional()]
        keywords = {k: self.value(a) for k, a in node.args if k is not None}
        x = positional[0] if positional else None
        present = ~np.isnan(x) if isinstance(x, np.ndarray) and x.ndim == 1 else None
        try:
            with np.errstate(all="ignore"):
                if func in transforms.ELEMENTWISE or func == "log" or present is None:
                    return table[func](*positional, **keywords)
                result = table[func](x[present], *positional[1:], **keywords)
        except (TypeError, ValueError) as problem:
            raise self.error(f"{node} cannot be computed: {problem}", node) from problem
        if np.ndim(result) == 0:
            return float(result)
        full = np.full((len(x), *result.shape[1:]), np.nan)
        full[present] = result
        return full

    def factor(self, node: Call) -> Factor:
        """``factor(x, levels = c(...))``, ``C(x)``, ``relevel(f, ref = "a")``."""
        keywords = {k: self.value(a) for k, a in node.args if k is not None}
        positional = node.positional()
        if not positional:
            raise self.error(f"{node.func}() needs a column", node)
        inner = self.value(positional[0])
        value = inner if isinstance(inner, Factor) else column_factor(pd.Series(np.asarray(inner)))
        if node.func == "relevel":
            reference = keywords.get("ref", self.value(positional[1]) if len(positional) > 1 else None)
            order = [_level_text(reference)]
            order += [level for level in value.levels if level != order[0]]
        elif "levels" in keywords or len(positional) > 1:
            order = [_level_text(v) for v in keywords.get("levels", self._literal(positional))]
        else:
            return value
        unknown = [level for level in order if level not in value.levels]
        if unknown:
            hint = did_you_mean(unknown[0], value.levels) or f" It has {', '.join(value.levels[:8])}."
            raise self.error(f"{positional[0]} has no level {unknown[0]!r}.{hint}", node)
        recode = np.array([*(order.index(v) if v in order else -1 for v in value.levels), -1])
        return Factor(tuple(order), recode[value.codes])

    def _literal(self, positional: list[Node]) -> list[Any]:
        value = self.value(positional[1])
        if not isinstance(value, list):
            raise self.error("levels are given as c('a', 'b', ...)", positional[1])
        return value

    def as_numeric(self, node: Node) -> np.ndarray:
        """R's ``as.numeric``: codes of a factor, numbers written as strings."""
        value = self.value(node)
        if not isinstance(value, Factor):
            return np.asarray(value, dtype=float)
        is_text = isinstance(node, Name) and not isinstance(self.frame[node.name].dtype, pd.CategoricalDtype)
        if set(value.levels) <= {"TRUE", "FALSE"}:
            return self.numeric(node)
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


def missing_rows(value: Value) -> np.ndarray | None:
    """Return which rows of a value are missing, or None for a constant."""
    if isinstance(value, Factor):
        return value.codes < 0
    if isinstance(value, np.ndarray) and value.ndim:
        return np.isnan(value) if value.ndim == 1 else np.isnan(value).any(axis=1)
    return None
