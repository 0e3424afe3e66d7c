"""Hypotheses as text: ``femaleF > 0`` -> a tree of numbers, names of parameters and operators.

The grammar is that of R's expressions (`bayesmlm.syntax`), cut down to arithmetic: ``+ - * / ^``, parentheses and
`FUNCTIONS`, with one of ``< > =`` between two sides. Names of parameters that are no R names, ``(Intercept)`` or
``b[(Intercept) school:20920]``, may stand as they are, or in backticks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesmlm.errors import FormulaError, did_you_mean
from bayesmlm.syntax import (
    Binary,
    Call,
    Name,
    Node,
    Number,
    Paren,
    Token,
    Unary,
    parse_tokens,
    tokenize,
    walk,
)

COMPARISONS = {"<": "<", "<=": "<", ">": ">", ">=": ">", "=": "=", "==": "="}
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
}
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
}
INDEXED = re.compile(r"[^\W\d][\w.]*\[[^\]]*\]")  # b[(Intercept) school:20920]
SYNTACTIC = re.compile(r"(?:[^\W\d]|\.(?!\d))[\w.]*")  # what R takes for a name


@dataclass(frozen=True)
class Statement:
    """A comparison of two expressions, ``left`` ``sign`` ``right``; the sign is one of ``< > =``."""

    text: str
    left: Node
    sign: str
    right: Node
    names: tuple[str, ...] = field(default=())


def parse_statement(text: str, known: Iterable[str], aliases: Mapping[str, str]) -> Statement:
    """Parse a hypothesis about parameters.

    Parameters
    ----------
    text
        Such as ``"femaleF > 0"``.
    known
        Names of the parameters.
    aliases
        Other spellings of them.

    Returns
    -------
    Statement
        Its names are those of `known` that it uses.

    Raises
    ------
    FormulaError
        At the place where the text stops making sense, or at a name that is no parameter, with a suggestion.
    """
    if not isinstance(text, str) or not text.strip():
        raise FormulaError(f"a hypothesis is text such as 'x > 0', not {text!r}")
    names = set(known)
    tokens = cut(text, [*names, *aliases])
    at = [i for i, t in enumerate(tokens) if t.kind == "op" and t.text in COMPARISONS]
    if len(at) != 1:
        wrong = tokens[at[1]] if at else tokens[-1]
        message = "a hypothesis compares once: write one of <, > and = between two sides, such as 'x > 0'"
        raise FormulaError(message, text, wrong.start, wrong.end)
    (i,) = at
    end = Token("end", "", tokens[i].start, tokens[i].end)
    sides = [_side(text, part, names, aliases) for part in ([*tokens[:i], end], tokens[i + 1 :])]
    used = [n.name for side in sides for n in walk(side) if isinstance(n, Name)]
    if not used:
        raise FormulaError("the hypothesis has no parameter", text, 0, len(text))
    sign = COMPARISONS[tokens[i].text]
    return Statement(text.strip(), sides[0], sign, sides[1], tuple(dict.fromkeys(used)))


def cut(text: str, names: Iterable[str]) -> list[Token]:
    """Cut a text into tokens, where names that are no R names count as one if they stand there by themselves.

    Of several such names the longest is taken.
    """
    odd = sorted({n for n in names if not SYNTACTIC.fullmatch(n)}, key=len, reverse=True)
    found: list[Token] = []
    pos = done = 0
    while pos < len(text):
        name = next((n for n in odd if _stands(n, text, pos)), None)
        indexed = None if name else INDEXED.match(text, pos)
        if indexed and not re.match(r"[\w.]", text[pos - 1 : pos]):
            message = f"no parameter {indexed.group()!r}.{did_you_mean(indexed.group(), odd)}"
            raise FormulaError(message, text, pos, indexed.end())
        if text[pos] == "`":  # quoted names are tokens already
            pos = max(text.find("`", pos + 1), pos) + 1
        elif name is None:
            pos += 1
        else:
            found += _between(text, done, pos)
            found.append(Token("quoted", f"`{name}`", pos, pos + len(name)))
            pos = done = pos + len(name)
    return [*found, *_between(text, done, len(text)), Token("end", "", len(text), len(text) + 1)]


def _stands(name: str, text: str, pos: int) -> bool:
    """Whether a name begins at a position, and is not a piece of a longer one."""
    if not text.startswith(name, pos):
        return False
    end = pos + len(name)
    before = pos > 0 and re.match(r"[\w.]", text[pos - 1]) is not None
    after = end < len(text) and re.match(r"[\w.]", text[end]) is not None and re.match(r"[\w.]", name[-1])
    return not before and not after


def _between(text: str, start: int, stop: int) -> list[Token]:
    """Return the tokens of a stretch of the text, with their places in all of it."""
    blank = " " * start + text[start:stop]  # so that positions, and those of errors, are those of the text
    try:
        return tokenize(blank)[:-1]
    except FormulaError as error:
        at = start if error.start is None else error.start
        what = "unclosed quote" if text[at] in "`\"'" else f"unexpected character {text[at]!r}"
        message = f"{what}: a hypothesis has names, numbers, + - * / ^ ( ) and one of < > ="
        raise FormulaError(message, text, at) from None


def _side(text: str, tokens: list[Token], names: set[str], aliases: Mapping[str, str]) -> Node:
    if len(tokens) == 1:
        raise FormulaError("a side of the hypothesis is missing here", text, tokens[0].start, tokens[0].end)
    try:
        tree = parse_tokens(text, tokens)
    except FormulaError as error:
        start = len(text) if error.start is None else error.start
        what = str(error).split("\n")[0].split(";")[0].replace("the formula", "the hypothesis")
        raise FormulaError(what, text, start, error.end) from None
    return _resolved(tree, text, names, aliases)


def _resolved(node: Node, text: str, names: set[str], aliases: Mapping[str, str]) -> Node:
    """Check that a tree is arithmetic, and give every parameter its proper name."""
    place = {"start": node.start, "end": node.end}

    def inner(child: Node) -> Node:
        return _resolved(child, text, names, aliases)

    match node:
        case Number():
            return node
        case Name(name):
            for spelled in (name, f"`{name}`"):
                if spelled in names or spelled in aliases:
                    return Name(aliases.get(spelled, spelled) if spelled not in names else spelled, **place)
            hint = did_you_mean(name, [*names, *aliases]) or f" There are: {_some(names)}."
            raise FormulaError(f"no parameter {name!r}.{hint}", text, node.start, node.end)
        case Paren(arg):
            return inner(arg)
        case Unary(("-" | "+") as op, arg):
            return Unary(op, inner(arg), **place)
        case Binary(op, left, right) if op in OPERATORS:
            return Binary(op, inner(left), inner(right), **place)
        case Call(func, ((None, arg),)) if func in FUNCTIONS:
            return Call(func, ((None, inner(arg)),), **place)
    spelled = text[node.start : node.end]
    hint = did_you_mean(spelled, names)
    if isinstance(node, Call) and not hint:
        known = ", ".join(FUNCTIONS)
        message = f"a hypothesis has the functions {known} of one number, not {node.func}()"
        raise FormulaError(f"{message}.{did_you_mean(node.func, FUNCTIONS)}", text, node.start, node.end)
    message = f"{spelled!r} is neither a parameter nor arithmetic of parameters.{hint}"
    raise FormulaError(message, text, node.start, node.end)


def _some(names: Iterable[str], count: int = 12) -> str:
    listed = sorted(names, key=lambda n: n.startswith("b["))
    return ", ".join(listed[:count]) + (", ..." if len(listed) > count else "")


# -- values ------------------------------------------------------------------------------------------


def evaluate(node: Node, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the value of an expression, element by element; what is not defined (log(-1)) is NaN."""
    match node:
        case Number(value):
            return np.asarray(value)
        case Name(name):
            return values[name]
        case Unary(op, arg):
            inner = evaluate(arg, values)
            return -inner if op == "-" else inner
        case Binary(op, left, right):
            with np.errstate(all="ignore"):
                return OPERATORS[op](evaluate(left, values), evaluate(right, values))
        case Call(func, ((_, arg),)):
            with np.errstate(all="ignore"):
                return FUNCTIONS[func](evaluate(arg, values))
    raise TypeError(f"not an expression of parameters: {node!r}")


@dataclass(frozen=True)
class LinearForm:
    """A constant plus a sum of parameters with weights."""

    constant: float
    weights: dict[str, float]

    def plus(self, other: LinearForm, sign: float = 1.0) -> LinearForm:
        """Return this form plus `sign` times another."""
        weights = dict(self.weights)
        for name, weight in other.weights.items():
            weights[name] = weights.get(name, 0.0) + sign * weight
        return LinearForm(self.constant + sign * other.constant, weights)

    def times(self, factor: float) -> LinearForm:
        """Return `factor` times this form."""
        return LinearForm(self.constant * factor, {n: w * factor for n, w in self.weights.items()})


def linear_form(node: Node) -> LinearForm | None:
    """Return an expression as a linear form in its parameters, or None if it is none."""
    match node:
        case Number(value):
            return LinearForm(value, {})
        case Name(name):
            return LinearForm(0.0, {name: 1.0})
        case Unary(op, arg):
            inner = linear_form(arg)
            return inner if inner is None else inner.times(-1.0 if op == "-" else 1.0)
        case Binary(op, left, right):
            return _combined(op, linear_form(left), linear_form(right))
        case Call(_, ((_, arg),)):
            inner = linear_form(arg)
            constant = inner is not None and not inner.weights
            return LinearForm(float(evaluate(node, {})), {}) if constant else None
    return None


def _combined(op: str, left: LinearForm | None, right: LinearForm | None) -> LinearForm | None:
    if left is None or right is None:
        return None
    if op in "+-":
        return left.plus(right, 1.0 if op == "+" else -1.0)
    if op == "*" and not (left.weights and right.weights):
        return right.times(left.constant) if not left.weights else left.times(right.constant)
    if op == "/" and not right.weights and right.constant != 0:
        return left.times(1 / right.constant)
    if not left.weights and not right.weights:
        with np.errstate(all="ignore"):
            return LinearForm(float(OPERATORS[op](np.float64(left.constant), np.float64(right.constant))), {})
    return None
