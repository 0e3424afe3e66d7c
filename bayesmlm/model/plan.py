"""How a design is to be written for Bambi: pieces of formula, ready-made columns, parametrisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.coding import model_columns
from bayesmlm.columns import Factor
from bayesmlm.design import Block, Design
from bayesmlm.draws import BlockSchema, Variable
from bayesmlm.evaluate import Evaluator
from bayesmlm.formula import Term
from bayesmlm.model.translate import Piece, make_piece, translate
from bayesmlm.priors import Distribution, Priors
from bayesmlm.syntax import Binary, Name, names_in

CENTRED = "centred"
HIERARCHICAL = "hierarchical"
NONCENTRED = "noncentred"


@dataclass(frozen=True)
class BlockPlan:
    """A block among Bambi's terms.

    Attributes
    ----------
    block : Block
    group_text : str
        The grouping factor in formulae's language.
    pieces : tuple of Piece
        An intercept is a piece with text ``("1",)``.
    columns : tuple of Variable
        For each column of the block, its Bambi term; filled in once the Bambi model exists.
    levels : tuple of str
        Levels in Bambi's order.
    forms : tuple of str
        How each column is parametrised: NONCENTRED, CENTRED, or HIERARCHICAL (centred on its fixed effect).
    """

    block: Block
    group_text: str
    pieces: tuple[Piece, ...]
    forms: tuple[str, ...]
    columns: tuple[Variable, ...] = ()
    levels: tuple[str, ...] = ()

    @property
    def corr_name(self) -> str:
        """Posterior variable that holds the correlation matrix."""
        return f"{self.block.label}_corr"

    @property
    def schema(self) -> BlockSchema:
        """Where the block's draws will be."""
        b = self.block
        corr = self.corr_name if len(b.columns) > 1 else None
        return BlockSchema(b.label, b.group, b.columns, self.columns, corr)

    @property
    def corr_dims(self) -> tuple[str, str]:
        """Dims of the correlation matrix."""
        return f"{self.block.label}__column_dim", f"{self.block.label}__column_bis_dim"


RELIABLE = 0.7  # between pastes' casks (0.77), which gain from centring, and sleepstudy (0.6), which diverges


def choose_forms(
    design: Design, reliability: Mapping[str, np.ndarray], variance: Mapping[str, np.ndarray]
) -> dict[str, tuple[str, ...]]:
    """Choose the parametrisation of every block's columns from a quick frequentist fit.

    Effects that the data determine well are centred, the others are not: each form is poor where the
    other is good (Papaspiliopoulos, Roberts & Skoeld 2007). What counts is the reliability where the
    standard deviation is two standard errors of its logarithm, 1 / sqrt(2 levels), below its estimate: a
    centred form must not meet a funnel there. A fixed effect is absorbed by the centred column whose
    groups leave it most uncertain, variance / levels.

    Parameters
    ----------
    design
        The design.
    reliability, variance
        Per block label and column: share of the effects' variance that the data determine; variance.
    """
    forms = {b.label: [_form(float(r), len(b.levels)) for r in reliability[b.label]] for b in design.blocks}
    for name in design.coefficients:
        candidates = [
            (variance[b.label][k] / len(b.levels), b.label, k)
            for b in design.blocks
            for k, column in enumerate(b.columns)
            if column == name and forms[b.label][k] == CENTRED
        ]
        if candidates:
            _, label, k = max(candidates)
            forms[label][k] = HIERARCHICAL
    return {label: tuple(f) for label, f in forms.items()}


def _form(reliability: float, levels: int) -> str:
    lower = reliability * np.exp(-4.0 / np.sqrt(2.0 * levels))
    return CENTRED if lower >= RELIABLE * (lower + 1.0 - reliability) else NONCENTRED


def all_native(design: Design) -> tuple[list[bool], list[bool]]:
    """Terms that lost a collinear column, and second blocks on the same columns, need ready-made columns."""
    whole = [not design.aliased for _ in design.formula.fixed.terms]
    blocks: list[bool] = []
    for i, block in enumerate(design.blocks):
        before = {c for other in design.blocks[:i] if other.group == block.group for c in other.columns}
        blocks.append(not before & set(block.columns))
    return whole, blocks


def model_frame(design: Design) -> pd.DataFrame:
    """The rows used, in dtypes that formulae reads as R would: strings as categories in R's order."""
    frame = design.frame.copy()
    evaluator = Evaluator(frame, design.formula.text)
    for name in frame.columns:
        value = evaluator.value(Name(str(name), start=0, end=0))
        boolean = pd.api.types.is_bool_dtype(frame[name].dtype)
        if isinstance(value, Factor) and not boolean:
            # formulae keeps the order of categories only if they are ordered
            frame[name] = pd.Categorical.from_codes(value.codes, list(value.levels), ordered=True)
        elif not isinstance(value, Factor) and not pd.api.types.is_integer_dtype(frame[name].dtype):
            frame[name] = value
        elif not boolean:
            frame[name] = frame[name].astype("int64")
        else:
            frame[name] = frame[name].astype(bool)
    return frame


def fixed_pieces(design: Design, native: list[bool], priors: Priors) -> list[Piece]:
    """Write every term of the fixed part that has columns left."""
    pieces = []
    for i, term in enumerate(design.formula.fixed.terms):
        columns = tuple(j for j, a in enumerate(design.assign) if a == i)
        families = {_family(priors.coefficients[design.coefficients[j]].used) for j in columns}
        if columns:
            pieces.append(make_piece(term, columns, design.coefficients, native[i] and len(families) == 1))
    return pieces


def _family(prior: Any) -> Any:
    return prior.name if isinstance(prior, Distribution) else id(prior)


def block_plan(
    block: Block, design: Design, native: bool, forms: Mapping[str, tuple[str, ...]] | None
) -> BlockPlan:
    """Write a block's effects and its grouping factor, and set its parametrisation."""
    effects = block.bar.effects
    pieces = [Piece(("1",), (0,), True)] if effects.intercept else []
    frame = design.frame
    start = len(pieces)
    for term in effects.terms:
        width = _term_width(term, block, start, frame)
        columns = tuple(range(start, start + width))
        pieces.append(make_piece(term, columns, block.columns, native))
        start += width
    group = _group_text(block) if native else f"`{block.label}`"
    plain = (NONCENTRED,) * len(block.columns)
    return BlockPlan(block, group, tuple(pieces), plain if forms is None else forms[block.label])


def _term_width(term: Term, block: Block, start: int, frame: pd.DataFrame) -> int:
    """How many of the block's columns belong to a term: those whose names have as many factors."""
    columns = model_columns(block.bar.effects, Evaluator(frame, str(block.bar)))
    position = block.bar.effects.terms.index(term)
    return sum(t == position for t in columns.term)


def _group_text(block: Block) -> str:
    names = [names_in(g) for g in block.bar.group]
    texts = [translate(n[0]) for n in names if len(n) == 1]
    if len(texts) < len(names):
        return f"`{block.label}`"
    return str(texts[0]) if len(texts) == 1 else f"interaction({', '.join(map(str, texts))})"


def formula_text(
    design: Design, pieces: list[Piece], plans: tuple[BlockPlan, ...], frame: pd.DataFrame
) -> str:
    """Write Bambi's formula; columns it needs that are not in the data are added to `frame`."""
    response = translate(design.formula.response) if design.formula.response is not None else None
    if response is None or isinstance(design.formula.response, Binary):
        frame[design.response] = design.y
        response = f"`{design.response}`"
    parts = ["1" if "(Intercept)" in design.coefficients else "0"]
    for piece in pieces:
        parts += piece.text
        if not piece.native:
            for j in piece.columns:
                frame[design.coefficients[j]] = design.X[:, j]
    if design.offset is not None:
        parts.append(_offset_text(design, frame))
    for plan in plans:
        parts += _block_text(plan, frame)
    return f"{response} ~ {' + '.join(parts)}"


def _offset_text(design: Design, frame: pd.DataFrame) -> str:
    texts = [translate(o) for o in design.formula.fixed.offsets]
    if len(texts) == 1 and texts[0] is not None:
        value = np.broadcast_to(
            Evaluator(design.frame, design.formula.text).numeric(design.formula.fixed.offsets[0]), design.nobs
        )
        if design.offset is not None and np.array_equal(value, design.offset):
            return f"offset({texts[0]})"
    frame["offset_"] = design.offset
    return "offset(offset_)"


def _block_text(plan: BlockPlan, frame: pd.DataFrame) -> list[str]:
    block = plan.block
    if plan.group_text == f"`{block.label}`":
        frame[block.label] = pd.Categorical.from_codes(block.index, list(block.levels), ordered=True)
    parts = []
    for piece in plan.pieces:
        for text in piece.text:
            parts.append(f"({text}|{plan.group_text})" if text == "1" else f"(0 + {text}|{plan.group_text})")
        if not piece.native:
            for j in piece.columns:
                frame[block.columns[j]] = block.Z[:, j]
    return parts
