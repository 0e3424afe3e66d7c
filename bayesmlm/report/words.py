"""Coefficients and bars in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bayesmlm.design import Block, Design
from bayesmlm.explaining import Made
from bayesmlm.explaining.pieces import Piece
from bayesmlm.meanings import multiplied, predictor_of, ratio
from bayesmlm.syntax import Call

# What one unit more of a transformed number is, of the number itself.
STEPS = {
    "log": "{variable} times e = 2.718",
    "log2": "{variable} doubled",
    "log10": "{variable} times 10",
    "sqrt": "1 more of sqrt({variable})",
    "log1p": "{variable} + 1 times e = 2.718",
}


def listed(items: Sequence[str], last: str = "and") -> str:
    """Join words as a sentence does: ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def counted(n: int, word: str) -> str:
    """Write a number with its noun: ``1 row``, ``2 rows``."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


# -- coefficients ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """What coefficients are about.

    Attributes
    ----------
    predictor : str
        What they are differences of: ``"expected course"``, ``"log odds of incidence"``.
    multiplied : str
        What exp(coefficient) multiplies, ``"odds of incidence"``; empty if nothing.
    logarithm : str
        The function ``log``, ``log2`` or ``log10`` by which the predictor is a logarithm of that; else empty.
    """

    predictor: str
    multiplied: str = ""
    logarithm: str = ""


def subject_of(design: Design) -> Subject:
    """Say what the coefficients of a model are about."""
    response, named = design.formula.response, predictor_of(design)
    if ratio(design) and design.family.link != "identity":
        return Subject(named, multiplied(design), "log" if design.family.link == "log" else "")
    if isinstance(response, Call) and response.func in {"log", "log10", "log2"} and len(response.args) == 1:
        return Subject(named, str(response.args[0][1]), response.func)
    return Subject(named, multiplied(design), "log") if ratio(design) else Subject(named)


def coefficient_words(made: Sequence[Made], subject: Subject) -> list[str]:
    """Say what each fixed effect means, all other predictors held where they are."""
    return [_intercept(made, subject) if m.term < 0 else _meaning(m, made, subject) for m in made]


def _intercept(made: Sequence[Made], subject: Subject) -> str:
    where = zeros([p for m in made if len(m.pieces) == 1 for p in m.pieces])
    return subject.predictor + (f" at {where}" if where else "")


def zeros(pieces: Sequence[Piece]) -> str:
    """Say where predictors are when their columns are 0: at 0, at the mean, at the reference level."""
    places = []
    for p in pieces:
        if p.kind == "level" and p.reference is not None:
            places.append(f"{p.variable} = {p.reference}")
        elif p.function == "power":
            continue  # 0 where the number itself is
        elif p.function in {"scale", "center"}:
            places.append(f"{p.variable} = {p.learned[0]:.4g} (its mean)")
        elif p.function == "log":
            places.append(f"{p.variable} = 1 (log = 0)")
        elif p.kind == "basis" or p.kind == "number":
            places.append(f"{p.text} = 0")
    return ", ".join(dict.fromkeys(places))


def _meaning(m: Made, made: Sequence[Made], subject: Subject) -> str:
    if len(m.pieces) > 1:
        return _interaction(m, made, subject)
    piece = m.pieces[0]
    at = _conditions(m, made)
    return f"{_main(piece, subject)}{f'; at {at}' if at else ''}{_note(piece, subject)}"


def _main(p: Piece, subject: Subject) -> str:
    y = subject.predictor
    if p.kind == "level":
        return (
            f"{y} where {p.variable} is {p.level}"
            if p.reference is None
            else (f"difference in {y}: {p.variable} {p.level} minus {p.reference} (reference)")
        )
    if p.kind == "basis":
        return _basis(p)
    if p.function == "power" and p.learned == 2:
        return f"bend of the curve of {p.variable}: its slope changes by twice this per unit of {p.variable}"
    return f"difference in {y} per {step(p)}"


def _basis(p: Piece) -> str:
    if p.function == "poly":
        parts = {1: "straight", 2: "quadratic", 3: "cubic"}
        part = parts.get(p.learned, f"degree-{p.learned}")
        return f"{part} part of the curve of {p.variable}; read the curve, not the number"
    if p.function in {"bs", "ns"}:
        return f"column {p.learned} of the spline of {p.variable}; read the curve, not the number"
    return f"column {p.learned} of {p.text}"


def step(p: Piece) -> str:
    """Say what one unit more of a column is."""
    if p.function == "scale":
        return f"{p.learned[1]:.4g} more of {p.variable} (1 standard deviation)"
    if p.function in STEPS:
        return STEPS[p.function].format(variable=p.variable)
    return f"1 more of {p.variable if p.function == 'center' else p.text}"


def _conditions(m: Made, made: Sequence[Made]) -> str:
    """Where the predictors are that this effect depends on: 0 or the reference level, by marginality."""
    own = {p.text for p in m.pieces}
    others: dict[str, Piece] = {}
    for other in made:
        if own < {p.text for p in other.pieces}:
            others |= {p.text: p for p in other.pieces if p.text not in own}
    return zeros([p for p in others.values() if p.kind != "level" or p.reference is not None])


def _note(p: Piece, subject: Subject) -> str:
    """What logarithms make of a slope."""
    y = subject.multiplied
    if not y:
        return ""
    if p.kind == "number" and p.function and p.function == subject.logarithm:
        return f" (1% more of {p.variable}: about this many % more of {y})"
    if subject.logarithm in {"", "log"} and p.kind != "basis" and p.function != "power":
        return f" ({y} times exp(coefficient))"
    return ""


def _interaction(m: Made, made: Sequence[Made], subject: Subject) -> str:
    """A product: how much one effect changes with the others."""
    numbers = [p for p in m.pieces if p.kind != "level"]
    levels = [p for p in m.pieces if p.kind == "level"]
    compared = [p for p in levels if p.reference is not None]
    full = [p for p in levels if p.reference is None]
    where = listed([f"{p.variable} is {p.level}" for p in full]) if full else ""
    at = _conditions(m, made)
    tail = (f", where {where}" if where else "") + (f"; at {at}" if at else "")
    if not numbers and not compared:
        return f"{subject.predictor} where {where}" + (f"; at {at}" if at else "")
    if numbers:
        first, *rest = numbers
        effect = f"slope of {first.text}" if first.kind == "number" else first.text
    else:
        head, *compared = compared
        effect, rest = f"difference {head.variable} {head.level} minus {head.reference}", []
    changes = [f"per 1 more of {p.text}" for p in rest]
    changes += [f"for {p.variable} {p.level} instead of {p.reference}" for p in compared]
    if not changes:
        return f"{effect}{tail}"
    return f"change in the {effect}, {listed(changes)}{tail}"


# -- bars ------------------------------------------------------------------------------------------


def bar_words(block: Block, columns: Sequence[Made]) -> str:
    """Say what a block lets vary, between what, and what it estimates.

    ``"the intercept and the effect of female vary between the 73 levels of school, and may be correlated (one 2x2
    covariance, 3 parameters)"``.
    """
    parts = effect_words(columns)
    p, count = len(columns), len(block.levels)
    verb = "varies" if len(parts) == 1 and not parts[0].startswith("the levels") else "vary"
    head = f"{listed(parts)} {verb} between the {count} levels of {block.group}"
    if p == 1:
        return f"{head} (one variance, 1 parameter)"
    return f"{head}, and may be correlated (one {p}x{p} covariance, {p * (p + 1) // 2} parameters)"


def effect_words(columns: Sequence[Made]) -> list[str]:
    """Name the effects of a block, term by term."""
    out = []
    for term in dict.fromkeys(m.term for m in columns):
        made = [m for m in columns if m.term == term]
        out.append(_effect(made))
    return out


def _effect(made: list[Made]) -> str:
    first = made[0]
    if first.term < 0:
        return "the intercept"
    if len(first.pieces) > 1:
        return f"the interaction of {listed(list(dict.fromkeys(p.text for p in first.pieces)))}"
    p = first.pieces[0]
    if p.kind == "number":
        return f"the slope of {p.text}"
    if p.kind == "basis":
        return f"the curve of {p.variable} ({len(made)} columns)"
    levels = [str(m.pieces[0].level) for m in made]
    if p.reference is None:
        return f"the levels of {p.variable} ({listed(levels)})"
    if len(made) == 1:
        return f"the effect of {p.variable} ({p.level} minus {p.reference})"
    return f"the effects of {p.variable} ({listed(levels)}, each minus {p.reference})"


def typed_bars(design: Design) -> dict[str, list[int]]:
    """Return the bars as typed, in their order, each with the positions of its blocks."""
    text = design.formula.text
    found: dict[tuple[int, int], list[int]] = {}
    for i, b in enumerate(design.blocks):
        found.setdefault((b.bar.start, b.bar.end), []).append(i)
    out: dict[str, list[int]] = {}
    for (start, end), blocks in sorted(found.items()):
        typed = " ".join(text[start:end].strip().strip("()").split()) if "|" in text[start:end] else ""
        name = (
            f"({typed})"
            if typed.count("(") == typed.count(")") and typed
            else str(design.blocks[blocks[0]].bar)
        )
        out.setdefault(name, []).extend(blocks)
    return out
