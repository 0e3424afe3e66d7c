"""How a design is to be written for Bambi: pieces of formula, ready-made columns, parametrisation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.bambi_draws import BlockSchema, Variable
from bayesmlm.columns import Factor
from bayesmlm.design import Block, Design
from bayesmlm.evaluate import Evaluator
from bayesmlm.formulas import Term
from bayesmlm.model.translate import Piece, plain_name, ready_made, translate, translate_term
from bayesmlm.priors import Distribution, Joint, Priors
from bayesmlm.syntax import Name, names_in

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
    group_name : str
        What Bambi's terms should call the grouping factor.
    category : int or None
        Which of the categories but the first these effects are of, if each has some.
    """

    block: Block
    group_text: str
    pieces: tuple[Piece, ...]
    forms: tuple[str, ...]
    group_name: str
    columns: tuple[Variable, ...] = ()
    levels: tuple[str, ...] = ()
    category: int | None = None

    @property
    def name(self) -> str:
        """The block's label as a part of variable names."""
        return plain_name(self.block.label)

    def variable(self, part: str) -> str:
        """Name of a PyMC variable of the block; no column of the data makes Bambi use such a name."""
        return f"{self.name}||{part}"

    @property
    def corr_name(self) -> str:
        """Posterior variable that holds the correlation matrix."""
        return f"{self.name}_corr"

    @property
    def schema(self) -> BlockSchema:
        """Where the block's draws will be."""
        b = self.block
        corr = self.corr_name if len(b.columns) > 1 else None
        return BlockSchema(b.label, b.group, b.columns, self.columns, corr)

    @property
    def corr_dims(self) -> tuple[str, str]:
        """Dims of the correlation matrix."""
        return f"{self.name}__column_dim", f"{self.name}__column_bis_dim"


def category_names(design: Design) -> tuple[str, ...]:
    """Names of the linear predictors of a categorical response: all categories but the first have one."""
    return tuple(f"mu{level}" for level in design.response_levels[1:])


def of_categories(plan: BlockPlan, design: Design) -> tuple[BlockPlan, ...]:
    """Return a block's plan for each category that has effects; none if the response is not categorical."""
    if not design.family.is_categorical:
        return ()
    return tuple(
        replace(
            plan,
            block=replace(plan.block, label=f"{name}: {plan.block.label}"),
            columns=tuple(replace(v, category=k) for v in plan.columns),
            category=k,
        )
        for k, name in enumerate(category_names(design))
    )


RELIABLE = 0.8  # centred, pastes' casks (0.77) diverge in a few draws; imm10's schools (0.83) gain a lot


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


def translatable_blocks(design: Design) -> set[int]:
    """Positions of the blocks whose columns Bambi would not confuse with those of an earlier one."""
    chosen = set()
    for i, block in enumerate(design.blocks):
        before = {c for other in design.blocks[:i] if other.group == block.group for c in other.columns}
        if not before & set(block.columns):
            chosen.add(i)
    return chosen


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


def fixed_pieces(design: Design, native: Collection[int], priors: Priors, frame: pd.DataFrame) -> list[Piece]:
    """Write every term of the fixed part that has columns left; ready-made ones are added to `frame`.

    `native` are the positions of the terms that Bambi is to evaluate itself.
    """
    pieces = []
    for i, term in enumerate(design.formula.fixed.terms):
        columns = tuple(j for j, a in enumerate(design.assign) if a == i)
        families = {_family(priors.coefficients[design.coefficients[j]].used) for j in columns}
        if columns:
            translated = i in native and len(families) == 1
            pieces.append(_piece(term, columns, design.coefficients, design.X, translated, frame))
    return pieces


def _piece(
    term: Term,
    columns: tuple[int, ...],
    names: tuple[str, ...],
    values: np.ndarray,
    native: bool,
    frame: pd.DataFrame,
) -> Piece:
    text = translate_term(term) if native else None
    if text is not None:
        return Piece((text,), columns)
    return Piece(tuple(ready_made(frame, names[j], values[:, j]) for j in columns), columns)


def _family(prior: Any) -> Any:
    if isinstance(prior, Joint):
        return prior
    return prior.name if isinstance(prior, Distribution) else id(prior)


def block_plan(
    block: Block, native: bool, forms: Mapping[str, tuple[str, ...]] | None, frame: pd.DataFrame
) -> BlockPlan:
    """Write a block's effects and its grouping factor, and set its parametrisation."""
    pieces = [Piece(("1",), (0,))] if block.bar.effects.intercept else []
    for i, term in enumerate(block.bar.effects.terms):
        columns = tuple(j for j, a in enumerate(block.assign) if a == i)
        pieces.append(_piece(term, columns, block.columns, block.Z, native, frame))
    group, name = _group_text(block) if native else None, block.group
    if group is None:
        name = block.label
        levels = pd.Categorical.from_codes(block.index, list(block.levels), ordered=True)
        group = ready_made(frame, block.label, levels)
    plain = (NONCENTRED,) * len(block.columns)
    chosen = plain if forms is None else forms.get(block.label, plain)
    return BlockPlan(block, group, tuple(pieces), chosen, name)


def _group_text(block: Block) -> str | None:
    names = [names_in(g) for g in block.bar.group]
    texts = [translate(n[0]) for n in names if len(n) == 1]
    if len(texts) < len(names):
        return None
    return str(texts[0]) if len(texts) == 1 else f"interaction({', '.join(map(str, texts))})"


def offset_text(design: Design, native: bool, frame: pd.DataFrame) -> str:
    """Write the offset: the formula's own if it is the only one, else a ready-made column."""
    texts = [translate(o) for o in design.formula.fixed.offsets]
    if native and len(texts) == 1 and texts[0] is not None:
        return f"offset({texts[0]})"
    return f"offset({ready_made(frame, 'offset_', design.offset)})"


def block_text(plan: BlockPlan) -> list[str]:
    """Write the terms of a block, each by itself: Bambi knows no correlated ones."""
    texts = [text for piece in plan.pieces for text in piece.text]
    return [f"({'' if text == '1' else '0 + '}{text}|{plan.group_text})" for text in texts]
