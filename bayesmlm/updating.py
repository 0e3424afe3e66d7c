"""R's ``update``: a new formula written in terms of the old one, ``". ~ . + x - z + (x | g)"``.

Dots stand for the old left side and the old right side. Bars are added and subtracted as the other terms are;
``- (1 | g)`` takes out a block of the old formula, however it was written there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from bayesmlm.columns import as_frame
from bayesmlm.design import Design
from bayesmlm.errors import DataError, FormulaError
from bayesmlm.formulas import Bar, Formula, Linear, parse_formula
from bayesmlm.syntax import Binary, Call, Name, Node, Paren, Unary, parse_expression, walk

KEEP: Any = object()  # an argument that stays what it was; None would take it away


def updated_formula(design: Design, formula: str | Formula | None) -> str | Formula:
    """Return the formula to fit next: the design's own, a new one, or a new one whose dots are filled in."""
    if formula is None:
        return design.formula
    if isinstance(formula, Formula):
        return formula
    if not isinstance(formula, str):
        raise FormulaError(f"a formula is a string such as '. ~ . + x', not {type(formula).__name__}")
    text = update_formula(design.formula, formula)
    others = design.formula.others
    return replace(parse_formula(text), others=others, spelled=_spelled(text, others)) if others else text


def _spelled(text: str, others: tuple[tuple[str, Formula], ...]) -> str:
    return ", ".join([parse_formula(text).spelled, *(f"{name} {other.spelled}" for name, other in others)])


def kept_data(design: Design) -> Any:
    """Return the data a design was made from.

    Raises
    ------
    DataError
        If it has none, having been pickled.
    """
    if design.data is None:
        raise DataError("the fit was pickled, which leaves its data behind: give data= as well")
    return design.data


def with_new_response(design: Design, y: np.ndarray) -> Design:
    """Return a design for another response, shape (n,), of the same rows; its data are the rows used, with it.

    A transformed response leaves no data: its inverse is not known, and `update` then asks for some. Neither does one
    of categories or of successes; `y` is then positions of categories, or numbers of successes of the same trials.
    """
    name = design.formula.response
    numbers = design.trials is None and not design.response_levels
    frame = design.frame.assign(**{name.name: y}) if isinstance(name, Name) and numbers else None
    given = {key: None if value is None else _on_rows(value, design) for key, value in design.given.items()}
    kept = design.frame if frame is None else frame
    rows, n = np.arange(design.nobs), design.nobs
    return replace(design, y=y, frame=kept, data=frame, given=given, rows=rows, dropped={}, n_given=n)


def _on_rows(value: Any, design: Design) -> Any:
    """Weights or offset as given to a fit, on the rows used; a column that the formula does not name is looked up."""
    if isinstance(value, str):
        if design.data is None:
            return value
        value = as_frame(design.data)[value]
    return np.asarray(value).ravel()[design.rows]


def update_formula(old: Formula, text: str) -> str:
    """Return the text of a new formula, in which dots stand for parts of an old one.

    Parameters
    ----------
    old
        A formula that has been parsed.
    text
        The new formula; without a tilde it is the right side only, as in R.

    Raises
    ------
    FormulaError
        If it cannot be read, or subtracts a block that is not there.
    """
    tree = parse_expression(text)
    dots = any(_is_dot(node) for node in walk(tree))
    if isinstance(tree, Binary) and tree.op == "~" and not dots:
        return text
    if isinstance(tree, Unary) and tree.op == "~":
        left, right = None, tree.arg
    elif isinstance(tree, Binary) and tree.op == "~":
        left, right = tree.left, tree.right
    else:
        raise FormulaError("write the new formula with '~', such as '. ~ . + x'", text, 0, len(text))
    response = old.response if left is None else _with_dot(left, old.response)
    fixed = Paren(_old_fixed(old), start=0, end=0)
    pieces: list[str] = []
    bars: list[Bar] = []
    for sign, piece in _summands(right):
        bar = _bars_of(piece)
        if bar:
            _change(bars, sign, bar, text, piece)
            continue
        if sign == "+" and any(_is_dot(n) for n in walk(piece)):
            bars += [b for b in old.bars if b not in bars]
        pieces.append(f"{sign} {_with_dot(piece, fixed)}")
    kept = " ".join(pieces).removeprefix("+ ")
    linear = parse_formula(f"~ {kept}").fixed if kept else Linear(True, ())
    return f"{response} ~ {' + '.join([_linear_text(linear), *map(_bar_text, bars)])}"


def _summands(node: Node, sign: str = "+") -> Iterator[tuple[str, Node]]:
    """Cut a sum into its terms with their signs."""
    match node:
        case Binary("+" | "-" as op, left, right):
            yield from _summands(left, sign)
            yield from _summands(right, sign if op == "+" else _opposite(sign))
        case Unary("+" | "-" as op, arg):
            yield from _summands(arg, sign if op == "+" else _opposite(sign))
        case Paren(Binary("+" | "-", _, _) as inner):
            yield from _summands(inner, sign)
        case _:
            yield sign, node


def _opposite(sign: str) -> str:
    return "-" if sign == "+" else "+"


def _bars_of(piece: Node) -> tuple[Bar, ...]:
    """Return the blocks of a random part in parentheses; none for anything else."""
    while isinstance(piece, Paren):
        piece = piece.arg
    if isinstance(piece, Binary) and piece.op in {"|", "||"}:
        return parse_formula(f"~ ({piece})").bars
    return ()


def _change(bars: list[Bar], sign: str, changed: tuple[Bar, ...], text: str, piece: Node) -> None:
    """Add blocks, or take them out."""
    for bar in changed:
        if sign == "+":
            bars += [] if bar in bars else [bar]
        elif bar in bars:
            bars.remove(bar)
        else:
            known = ", ".join(map(str, bars)) or "none"
            message = f"{bar} cannot be taken out: the blocks are {known}"
            raise FormulaError(message, text, piece.start, piece.end)


def _is_dot(node: Node) -> bool:
    return isinstance(node, Name) and node.name == "."


def _with_dot(node: Node, old: Node | None) -> Node:
    """Put a node in the place of each dot."""
    place = {"start": node.start, "end": node.end}
    match node:
        case Name(".") if old is not None:
            return old
        case Unary(op, arg):
            return Unary(op, _with_dot(arg, old), **place)
        case Paren(arg):
            return Paren(_with_dot(arg, old), **place)
        case Binary(op, left, right):
            return Binary(op, _with_dot(left, old), _with_dot(right, old), **place)
        case Call(func, args):
            return Call(func, tuple((k, _with_dot(a, old)) for k, a in args), **place)
    return node


def _old_fixed(old: Formula) -> Node:
    return parse_expression(str(old.fixed))


def _linear_text(linear: Linear) -> str:
    """Write a sum as R's ``update`` simplifies it: an intercept is named where it stands alone."""
    parts = [*map(str, linear.terms), *(f"offset({o})" for o in linear.offsets)]
    if linear.intercept:
        return " + ".join(parts) if linear.terms else " + ".join(["1", *parts])
    return " + ".join(["0", *parts])


def _bar_text(bar: Bar) -> str:
    return f"({_linear_text(bar.effects)} | {bar.grouping})"
