"""The simplification ladder: from each bar of a formula down to none, one thing dropped at a time.

    (1 + x | g)  ->  (1 + x || g)  ->  (1 | g)  ->  no bar

Correlations go first, then the slopes, products before what they are made of and those with least variance first, then
the intercept (Bates, Kliegl, Vasishth & Baayen 2015, arXiv:1506.04967). Each block has a ladder of its own, all others
left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bayesmlm.blocks import label_order
from bayesmlm.coding import model_columns
from bayesmlm.design import Block, Design
from bayesmlm.explaining.pieces import Made, block_columns, evaluator_of
from bayesmlm.formulas import Bar, parse_formula
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate

FULL, NO_CORRELATION, FEWER_SLOPES, INTERCEPT_ONLY, NO_BAR = (
    "full",
    "no correlations",
    "one slope fewer",
    "intercept only",
    "no bar",
)


@dataclass(frozen=True)
class Rung:
    """One model on a ladder.

    Attributes
    ----------
    block : str
        Label of the block whose ladder it is.
    step : str
        What was dropped last.
    bar : str
        What has taken the block's place, such as ``"(1 + x || g)"``; empty if nothing has.
    formula : str
        The whole formula.
    """

    block: str
    step: str
    bar: str
    formula: str


def rungs(
    design: Design, estimate: LmerEstimate | GlmerEstimate | None = None
) -> tuple[tuple[Rung, ...], ...]:
    """Return the ladder of each block, the model itself on top; blocks that others need have none.

    Parameters
    ----------
    design
        The model.
    estimate
        Its reference fit, to drop slopes with least variance first; the last written if None.
    """
    ladders = []
    for i, block in enumerate(design.blocks):
        # Slopes in other blocks of the same groups need the intercepts, if that is what this block is.
        if _is_needed(block, [b for j, b in enumerate(design.blocks) if j != i]):
            continue
        sizes = None if estimate is None else _sizes(block, estimate.varcorr.blocks[i].sd)
        bars = [(FULL, str(block.bar)), *_simpler(block, block_columns(design, block), sizes)]
        ladders.append(tuple(Rung(block.label, step, bar, _formula(design, i, bar)) for step, bar in bars))
    return tuple(ladders)


def _is_needed(block: Block, others: list[Block]) -> bool:
    only = block.columns == ("(Intercept)",)
    return only and any(o.group == block.group and "(Intercept)" not in o.columns for o in others)


def _sizes(block: Block, sd: np.ndarray) -> dict[int, float]:
    """Largest standard deviation of each term's columns, times their typical size."""
    size = sd * np.sqrt(np.mean(block.Z**2, axis=0))
    return {t: float(size[[a == t for a in block.assign]].max()) for t in set(block.assign)}


def _simpler(
    block: Block, columns: tuple[Made, ...], sizes: dict[int, float] | None
) -> Iterator[tuple[str, str]]:
    """Yield the rungs below a block: what was dropped, and the bar."""
    group, terms = str(block.bar.grouping), list(range(len(block.bar.effects.terms)))
    # A factor with a column for every level holds the constant too: (0 + f | g) is (1 + f | g) in other columns.
    full = any(p.kind == "level" and p.reference is None for m in columns for p in m.pieces)
    intercept = block.bar.effects.intercept or full
    # || keeps the columns of a factor together, and gives it one for every level: no simpler model.
    apart = not full and not any(p.kind != "number" for m in columns for p in m.pieces)
    mark = "|"
    if apart and len(columns) > 1:
        mark = "||"
        yield NO_CORRELATION, _bar(block, terms, intercept, mark, group)
    while terms:
        terms = _without_least(block.bar, terms, sizes)
        if not terms:
            break
        yield FEWER_SLOPES, _bar(block, terms, intercept, mark, group)
    if intercept and block.columns != ("(Intercept)",):
        yield INTERCEPT_ONLY, f"(1 | {group})"
    yield NO_BAR, ""


def _without_least(bar: Bar, terms: list[int], sizes: dict[int, float] | None) -> list[int]:
    """Drop the term that varies least among those that no other is made of."""
    factors = {t: {str(f) for f in bar.effects.terms[t].factors} for t in terms}
    free = [t for t in terms if not any(factors[t] < factors[other] for other in terms)]
    least = min(free, key=lambda t: (0.0 if sizes is None else sizes.get(t, 0.0), -t))
    return [t for t in terms if t != least]


def _bar(block: Block, terms: list[int], intercept: bool, mark: str, group: str) -> str:
    names = ["1" if intercept else "0", *(str(block.bar.effects.terms[t]) for t in terms)]
    mark = "|" if mark == "||" and len(terms) + intercept == 1 else mark
    return f"({' + '.join(names)} {mark} {group})"


def _formula(design: Design, position: int, bar: str) -> str:
    """Write the whole formula with another bar in the place of a block, all bars in the order written."""
    f = design.formula
    mine = design.blocks[position].bar
    bars = [bar if b == mine else str(b) for b in f.bars]
    return f"{f.response} ~ {' + '.join([str(f.fixed), *(b for b in bars if b)])}"


def reduced_design(design: Design, formula: str) -> Design:
    """Return the design of a formula with simpler bars on exactly the rows of a design.

    Response, fixed part, offset and weights are those of the design; the bars use its grouping factors, and what its
    expressions learned from the data.

    Raises
    ------
    FormulaError
        If the formula cannot be read.
    """
    parsed = parse_formula(formula)
    evaluator = evaluator_of(design)
    index = {b.group: b for b in design.blocks}
    sources = [index[bar.group_name] for bar in parsed.bars]
    order, labels = label_order([b.group for b in sources], [len(b.levels) for b in sources])
    blocks = []
    for i, label in zip(order, labels, strict=True):
        columns = model_columns(parsed.bars[i].effects, evaluator)
        kept = replace(sources[i], label=label, columns=columns.names, Z=columns.values)
        blocks.append(replace(kept, bar=parsed.bars[i], assign=columns.term))
    return replace(design, formula=parsed, blocks=tuple(blocks))
