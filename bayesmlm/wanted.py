"""`re_formula`: which group effects of a fit are wanted, in the language of formulas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayesmlm.blocks import Block
from bayesmlm.design import Design
from bayesmlm.errors import FormulaError
from bayesmlm.evaluate import Evaluator
from bayesmlm.formulas import Bar, Formula, parse_formula
from bayesmlm.syntax import Node


def wanted_effects(design: Design, re_formula: str | Formula | None) -> Formula:
    """Return the formula whose bars are wanted: the model's own for None, `re_formula` otherwise.

    Raises
    ------
    FormulaError
        If `re_formula` has anything but bars, none without being ``"~0"``, or bars that are not in the model.
    """
    if re_formula is None:
        return design.formula
    parsed = re_formula if isinstance(re_formula, Formula) else _parse_effects(re_formula)
    fixed = parsed.fixed
    if parsed.response is not None or fixed.terms or fixed.offsets:
        message = "re_formula has group effects only, such as '~ (1 | school)', or is '~0' for none"
        raise FormulaError(message, parsed.text, 0, len(parsed.text))
    if not parsed.bars and fixed.intercept:
        message = "re_formula names no group effects: write '~0' for none, None for all"
        raise FormulaError(message, parsed.text, 0, len(parsed.text))
    columns = Evaluator(design.frame, parsed.text).columns
    for bar in parsed.bars:
        if not any(_same_group(bar, b) for b in design.blocks):
            raise _unknown_effects(design, bar, parsed.text)
        for node in bar_nodes(bar):
            columns(node)
    return parsed


def _parse_effects(text: Any) -> Formula:
    if not isinstance(text, str):
        raise FormulaError(
            f"re_formula is None for all group effects, '~0' for none, or bars such as '~ (1 | school)', not {text!r}"
        )
    return parse_formula(text)


def _same_group(bar: Bar, block: Block) -> bool:
    """Whether a bar and a block have the same grouping factor, written in whatever order."""
    return sorted(map(str, bar.group)) == sorted(map(str, block.bar.group))


def _unknown_effects(design: Design, bar: Bar, text: str) -> FormulaError:
    known = ", ".join(str(b.bar) for b in design.blocks) or "no group effects"
    message = f"{bar} is not in the model, which has {known}"
    return FormulaError(message, text, bar.start, bar.end)


def bar_nodes(bar: Bar) -> Iterator[Node]:
    """Yield the expressions of a bar: its effects' and its grouping factor's."""
    yield from (f for term in bar.effects.terms for f in term.factors)
    yield from bar.group


def assign_columns(design: Design, bar: Bar, names: tuple[str, ...], text: str) -> dict[int, list[int]]:
    """Return the blocks that hold a bar's columns: positions of the block -> positions within `names`.

    The block with just these columns is preferred, then one that has them all, then the first that has each.
    """
    own = [i for i, b in enumerate(design.blocks) if _same_group(bar, b)]
    own.sort(
        key=lambda i: (design.blocks[i].columns != names, not set(names) <= set(design.blocks[i].columns))
    )
    found: dict[int, list[int]] = {}
    for at, name in enumerate(names):
        holder = next((i for i in own if name in design.blocks[i].columns), None)
        if holder is None:
            raise _unknown_effects(design, bar, text)
        found.setdefault(holder, []).append(at)
    return found
