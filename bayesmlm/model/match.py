"""Bambi's columns compared with the design's: the check that both mean the same model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import bambi as bmb
import numpy as np
from bambi.terms import GroupSpecificTerm

from bayesmlm.bambi_draws import Variable
from bayesmlm.design import Design
from bayesmlm.model.plan import BlockPlan
from bayesmlm.model.translate import Piece


def match_response(model: bmb.Model, design: Design) -> bool:
    """Whether Bambi's response is the design's, numbers of trials included."""
    theirs, ours = np.squeeze(np.asarray(model.response_term.data)), design.y
    if design.family.support == "binomial" and model.family.name != "bernoulli":
        ours = np.column_stack([ours, np.ones_like(ours) if design.trials is None else design.trials])
    return theirs.shape == ours.shape and _equal(theirs, ours)


def match_offset(component: Any, design: Design) -> bool:
    """Whether the offset of a component of Bambi's is the design's."""
    terms = component.offset_terms.values()
    total = sum((np.squeeze(t.data) for t in terms), start=np.zeros(design.nobs))
    return design.offset is None or _equal(total, design.offset)


def _equal(theirs: np.ndarray, ours: np.ndarray) -> bool:
    """Equal up to rounding; a column that differs in its last digits is the same column."""
    return bool(np.allclose(theirs, ours, rtol=1e-10, atol=1e-13 * float(np.max(np.abs(ours), initial=0.0))))


def match_fixed(component: Any, design: Design, pieces: list[Piece]) -> tuple[set[int], tuple[Variable, ...]]:
    """Compare Bambi's fixed columns with X; return terms that differ, and each coefficient's term by Bambi's key."""
    found: dict[int, Variable] = {}
    if component.intercept_term is not None:
        found[0] = Variable("Intercept", None)
    terms = list(component.common_terms.items())
    bad: set[int] = set()
    start = 0
    for piece in pieces:
        mine = terms[start : start + len(piece.text)]
        start += len(piece.text)
        matched = _match_columns(mine, design.X, piece.columns)
        if matched is None:
            bad.add(design.assign[piece.columns[0]])
        else:
            found |= matched
    return bad, tuple(found[j] for j in range(len(design.coefficients)) if j in found)


def _match_columns(
    terms: list[tuple[str, Any]], wanted: np.ndarray, columns: tuple[int, ...]
) -> dict[int, Variable] | None:
    """Find each wanted column among those of some Bambi terms; None unless all agree one to one."""
    available = []
    for key, term in terms:
        data = term.predictor if isinstance(term, GroupSpecificTerm) else term.data
        data = np.asarray(data).reshape(len(wanted), -1)
        vector = any(d.endswith(("_dim",)) and not d.endswith("__factor_dim") for d in term.coords)
        available += [(key, k if vector else None, data[:, k]) for k in range(data.shape[1])]
    if len(available) != len(columns):
        return None
    found = {}
    for j in columns:
        for i, (name, position, values) in enumerate(available):
            if _equal(values, wanted[:, j]):
                found[j] = Variable(name, position)
                available.pop(i)
                break
    return found if len(found) == len(columns) else None


def match_blocks(
    component: Any, design: Design, plans: tuple[BlockPlan, ...]
) -> tuple[set[int], tuple[BlockPlan, ...]]:
    """Compare Bambi's group-specific terms with the blocks; return those that differ, and the completed plans."""
    terms = list(component.group_specific_terms.items())
    expected = sum(len(piece.text) for plan in plans for piece in plan.pieces)
    if len(terms) != expected:
        return set(range(len(plans))), plans
    bad: set[int] = set()
    matched, start = [], 0
    for i, plan in enumerate(plans):
        count = sum(len(piece.text) for piece in plan.pieces)
        full = _match_block(plan, terms[start : start + count])
        start += count
        if full is None:
            bad.add(i)
        else:
            matched.append(full)
    return bad, tuple(matched)


def _match_block(plan: BlockPlan, terms: list[tuple[str, Any]]) -> BlockPlan | None:
    block = plan.block
    groups = tuple(map(str, terms[0][1].groups))
    if sorted(groups) != sorted(block.levels):
        return None
    to_ours = (
        np.array([block.levels.index(g) for g in groups])
        if groups != block.levels
        else np.arange(len(groups))
    )
    found: dict[int, Variable] = {}
    start = 0
    for piece in plan.pieces:
        mine = terms[start : start + len(piece.text)]
        start += len(piece.text)
        same_groups = all(np.array_equal(to_ours[t.group_index], block.index) for _, t in mine)
        matched = _match_columns(mine, block.Z, piece.columns) if same_groups else None
        if matched is None:
            return None
        found |= matched
    return replace(plan, columns=tuple(found[j] for j in range(len(block.columns))), levels=groups)
