"""R's spelling of expressions -> the language of formulae, which Bambi reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.columns import level_text
from bayesmlm.formulas import Term
from bayesmlm.syntax import Binary, Call, Name, Node, Number, Paren, String, Unary


def interaction(*factors: Any) -> np.ndarray:
    """Combine grouping factors into labels ``a:b``; part of the namespace of Bambi's formulas."""
    columns = [pd.Series(np.asarray(f)).map(level_text).to_numpy(dtype=object) for f in factors]
    return np.array([":".join(row) for row in zip(*columns, strict=True)], dtype=object)


NAMESPACE: dict[str, Any] = {"log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p}
NAMESPACE |= {"sqrt": np.sqrt, "exp": np.exp, "abs": np.abs, "np": np, "interaction": interaction}
STATELESS = {"log", "log2", "log10", "log1p", "sqrt", "exp", "abs"}


def translate(node: Node) -> str | None:
    """Return an expression in formulae's language, or None where it has no such expression."""
    match node:
        case Name(name):
            return name if name.isidentifier() else f"`{name}`"
        case Number(value):
            return f"{value:.15g}"
        case String(value):
            return repr(value)
        case Paren(arg):
            return _compose("({})", arg)
        case Unary("-" | "+" as op, arg):
            return _compose(op + "{}", arg)
        case Binary("+" | "-" | "*" | "/" as op, left, right):
            return _compose(f"{{}} {op} {{}}", left, right)
        case Binary("^", left, right):
            return _compose("{} ** {}", left, right)
        case Call(func, ((None, arg),)):
            return _translate_call(func, arg)
    return None


def _translate_call(func: str, arg: Node) -> str | None:
    bare = func.removeprefix("np.")
    if func in {"factor", "as.factor", "C", "ordered", "as.ordered"}:
        return _compose("C({})", arg)
    if func in {"I", "center"} or bare in STATELESS:
        return _compose(f"{func}({{}})", arg)
    return translate(arg) if func == "as.vector" else None


def _compose(template: str, *nodes: Node) -> str | None:
    parts = [translate(n) for n in nodes]
    return None if None in parts else template.format(*parts)


@dataclass(frozen=True)
class Piece:
    """One of our terms as Bambi sees it.

    Attributes
    ----------
    text : tuple of str
        The formulae terms that stand for it: one where it is translated, else one per ready-made column.
    columns : tuple of int
        Positions in X, or in the block's Z.
    """

    text: tuple[str, ...]
    columns: tuple[int, ...]


def translate_term(term: Term) -> str | None:
    """Return a product of factors in formulae's language, or None where there is no such term."""
    texts = [translate(f) for f in term.factors]
    if any(t is None for t in texts) or texts == ["Intercept"]:  # which is what Bambi calls the constant
        return None
    return ":".join(map(str, texts))


def ready_made(frame: pd.DataFrame, name: str, values: Any) -> str:
    """Add a column to the frame under a name that is free, and return the term that stands for it."""
    while name == "Intercept" or (name in frame.columns and not _same(frame[name], values)):
        name += "."  # not "_": Bambi splits the names of dims at double underscores
    frame[name] = values
    return f"`{name}`"


def _same(column: pd.Series, values: Any) -> bool:
    if isinstance(values, pd.Categorical) or not pd.api.types.is_numeric_dtype(column.dtype):
        return False
    return bool(np.array_equal(column.to_numpy(), values))


def plain_name(name: str) -> str:
    """Return a name that PyMC and nutpie take for a variable and its dims: no slash, no comma."""
    return name.replace("/", "\N{DIVISION SLASH}").replace(",", ";")
