"""What each column of a model matrix is made of: for every factor of its term a number, a level or a basis column."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesmlm.columns import Factor, Value
from bayesmlm.design import Block, Design
from bayesmlm.evaluate import Evaluator
from bayesmlm.formulas import Linear
from bayesmlm.syntax import Binary, Call, Name, Node, Number, Paren, names_in

WRAPPERS = {"as.vector", "as.numeric", "as.double"}  # which change nothing of what a number means
FACTOR_CALLS = {"factor", "as.factor", "C", "ordered", "as.ordered", "relevel"}
BASES = {"poly", "bs", "ns"}


@dataclass(frozen=True)
class Piece:
    """One factor of one column.

    Attributes
    ----------
    text : str
        The expression as R spells it, ``"log(age)"``.
    variable : str
        The column of the data, or the whole expression where it uses several: ``"age"``.
    kind : str
        ``"number"``, ``"level"`` of a factor, or ``"basis"``: one of the columns of a matrix such as ``poly(x, 2)``.
    level, reference : str or None
        The level; the level that it is compared with, None if the factor has a column for every level.
    function : str
        What was done to the number: ``""``, ``"log"``, ``"scale"``, ``"center"``, ``"power"``, ``"poly"``, ...;
        ``"other"`` for an expression.
    learned : object
        The (mean, divisor) of ``scale``, the mean of ``center``, the exponent of ``power``, the position of a basis
        column.
    """

    text: str
    variable: str
    kind: str
    level: str | None = None
    reference: str | None = None
    function: str = ""
    learned: Any = None


@dataclass(frozen=True)
class Made:
    """What a column is made of.

    Attributes
    ----------
    name : str
        R's name.
    term : int
        Position of its term; -1 for the intercept.
    pieces : tuple of Piece
        One per factor of the term; none for the intercept.
    """

    name: str
    term: int
    pieces: tuple[Piece, ...]


def evaluator_of(design: Design) -> Evaluator:
    """Return what evaluates expressions of a design on its rows."""
    return Evaluator(design.frame, design.formula.text, learned=design.learned)


def fixed_columns(design: Design) -> tuple[Made, ...]:
    """Take the fixed-effects columns apart, in the order of `Design.coefficients`."""
    return take_apart(design.formula.fixed, design.coefficients, evaluator_of(design))


def block_columns(design: Design, block: Block) -> tuple[Made, ...]:
    """Take the columns of a block apart, in their order."""
    return take_apart(block.bar.effects, block.columns, evaluator_of(design))


def take_apart(linear: Linear, names: Sequence[str], evaluator: Evaluator) -> tuple[Made, ...]:
    """Say of each named column of a sum of terms what it is made of."""
    known: dict[str, Made] = {"(Intercept)": Made("(Intercept)", -1, ())}
    values = {str(f): evaluator.take(f) for term in linear.terms for f in term.factors}
    for i, term in enumerate(linear.terms):
        options = [_options(f, values[str(f)], evaluator) for f in term.factors]
        for chosen in itertools.product(*options):
            label = ":".join(text for text, _ in chosen)
            known.setdefault(label, Made(label, i, tuple(piece for _, piece in chosen)))
    made = [known[name] for name in names]
    full = _coded_in_full(made)
    return tuple(
        Made(m.name, m.term, tuple(_against(p, (m.term, p.text) in full) for p in m.pieces)) for m in made
    )


def _coded_in_full(made: Sequence[Made]) -> set[tuple[int, str]]:
    """Terms and factors with a column for the first level too, which then is nobody's reference."""
    return {(m.term, p.text) for m in made for p in m.pieces if p.kind == "level" and p.level == p.reference}


def _against(piece: Piece, full: bool) -> Piece:
    return (
        Piece(piece.text, piece.variable, piece.kind, piece.level)
        if full and piece.kind == "level"
        else piece
    )


def _options(node: Node, value: Value, evaluator: Evaluator) -> list[tuple[str, Piece]]:
    """Every column that an expression can give, with the label that R gives it."""
    text = node.name if isinstance(node, Name) else str(node)
    variable = variable_of(node)
    if isinstance(value, Factor):
        first = value.levels[0]
        return [(f"{text}{v}", Piece(text, variable, "level", v, first)) for v in value.levels]
    if value.ndim == 1 or value.shape[1] == 1:
        return [(text, _number(node, text, variable, evaluator))]
    labels = [str(i + 1) for i in range(value.shape[1])]
    if isinstance(node, Call) and node.func == "cbind":
        given = [keyword or (arg.name if isinstance(arg, Name) else "") for keyword, arg in node.args]
        labels = given if len(given) == len(labels) else labels
    function = node.func if isinstance(node, Call) and node.func in BASES else "other"
    return [
        (text + label, Piece(text, variable, "basis", function=function, learned=i + 1))
        for i, label in enumerate(labels)
    ]


def variable_of(node: Node) -> str:
    """Return the one column of the data that an expression uses, or its text if it uses several or none."""
    names = list(
        dict.fromkeys(n.name for n in names_in(node) if n.name not in {"TRUE", "FALSE", "T", "F", "pi"})
    )
    return names[0] if len(names) == 1 else str(node)


def _number(node: Node, text: str, variable: str, evaluator: Evaluator) -> Piece:
    inner = unwrapped(node)
    match inner:
        case Name():
            return Piece(text, variable, "number")
        case Call("scale" | "center" as func, ((_, arg), *_)) if isinstance(unwrapped(arg), Name):
            learned = evaluator.learned.parameters.get(str(inner))
            numbers = (
                None if learned is None else tuple(float(np.ravel(v)[0]) for v in np.atleast_1d(learned))
            )
            return Piece(text, variable, "number", function=func if numbers else "other", learned=numbers)
        case Call("log" | "log2" | "log10" | "log1p" | "sqrt" as func, ((_, arg),)) if isinstance(arg, Name):
            return Piece(text, variable, "number", function=func)
        case Call("I", ((_, Binary("^", Name(), Number(exponent))),)):
            return Piece(text, variable, "number", function="power", learned=exponent)
    return Piece(text, variable, "number", function="other")


def unwrapped(node: Node) -> Node:
    """Take off parentheses and functions that change nothing of what a number means."""
    while True:
        match node:
            case Paren(arg):
                node = arg
            case Call(func, ((_, arg),)) if func in WRAPPERS:
                node = arg
            case Call("I", ((_, Name() as arg),)):
                node = arg
            case _:
                return node
