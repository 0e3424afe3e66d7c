"""New rows for a model that has been fitted: the same columns, coded by what the data of the fit taught."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.blocks import Block
from bayesmlm.coding import model_columns
from bayesmlm.columns import Factor, as_frame
from bayesmlm.design import Design, log_exposure
from bayesmlm.errors import DataError, FormulaError, did_you_mean
from bayesmlm.evaluate import Evaluator
from bayesmlm.formulas import Bar, Formula
from bayesmlm.new_responses import new_response
from bayesmlm.rows import row_values
from bayesmlm.syntax import Node, names_in
from bayesmlm.wanted import assign_columns, bar_nodes, wanted_effects

MISSING = "NA"


@dataclass(frozen=True)
class NewBlock:
    """The rows of one block of the fit in new data.

    Attributes
    ----------
    label : str
        The block's label in the fit.
    position : int
        Its position in `Design.blocks`.
    columns : tuple of int
        Which of the block's columns are used; all of them unless `re_formula` says otherwise.
    Z : ndarray, shape (n, len(columns))
        Values of these columns; NaN where a column of the data is missing.
    index : ndarray of int, shape (n,)
        Level of each row in ``Block.levels``; -1 for a level that is new.
    new_levels : tuple of str
        The levels that the fit has not seen; ``"NA"`` where the grouping factor is missing.
    new_index : ndarray of int, shape (n,)
        Level of each row in `new_levels`; -1 for a level of the fit.
    """

    label: str
    position: int
    columns: tuple[int, ...]
    Z: np.ndarray
    index: np.ndarray
    new_levels: tuple[str, ...]
    new_index: np.ndarray


@dataclass(frozen=True)
class NewDesign:
    """What a fitted model says about new rows.

    Attributes
    ----------
    X : ndarray, shape (n, k)
        The columns of ``Design.coefficients``; NaN in rows where a column they use is missing.
    blocks : tuple of NewBlock
        The blocks that `re_formula` asks for, in the order of `Design.blocks`.
    offset : ndarray, shape (n,), or None
        Known part of the linear predictor.
    y : ndarray, shape (n,), or None
        The response, if it was asked for; NaN where it is missing.
    trials : ndarray, shape (n,), or None
        With the response of a binomial its numbers of trials; None if each is 1.
    others : mapping of str to NewDesign
        Of auxiliary parameters that have predictors.
    """

    X: np.ndarray
    blocks: tuple[NewBlock, ...]
    offset: np.ndarray | None
    y: np.ndarray | None = None
    trials: np.ndarray | None = None
    others: Mapping[str, NewDesign] = field(default_factory=dict)

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return len(self.X)


def new_design(
    design: Design,
    data: Any,
    *,
    allow_new_levels: bool = False,
    needs_response: bool = False,
    re_formula: str | Formula | None = None,
    offset: Any = None,
    exposure: Any = None,
    weights: Any = None,
    given_offset: bool = True,
) -> NewDesign:
    """Evaluate a design's formula on new data, as R's ``predict`` does.

    ``scale``, ``center``, ``poly``, ``ns``, ``bs`` use the means, lengths and knots of the data of the fit, and so do
    ``mean(x)`` and its like within ``I()`` (R computes those anew). Categories are coded as in the fit. A row with a
    missing value is kept, and is missing in the result.

    Parameters
    ----------
    design
        The design that was fitted.
    data
        A data frame of pandas, polars or another library that narwhals knows, with the columns that the formula
        names right of the tilde; of the grouping factors only those that `re_formula` asks for.
    allow_new_levels
        Whether grouping factors may have levels that the fit has not seen, or be missing.
    needs_response
        Whether to evaluate the response too.
    re_formula
        The group effects wanted: None for all, ``"~0"`` for none, or bars such as ``"~ (1 | school)"``, which may
        also name some of a block's columns only. The group effects of auxiliary parameters are left out unless all
        are wanted.
    offset
        A column's name or one number per row; takes the place of the `offset` that the fit was given, which is
        otherwise looked up if it was a column.
    exposure
        Likewise of the `exposure` that the fit was given.
    weights
        Likewise of the `weights`; they are needed for binomial proportions only, of which they are the trials.
    given_offset
        False leaves out offset and exposure that the fit was given beside its formula.

    Raises
    ------
    FormulaError
        For a `re_formula` that cannot be read, or that names effects which are not in the model.
    DataError
        For a missing column, a category without a coefficient, a new level of a grouping factor that is not
        allowed, an offset that is not known for new rows.
    """
    effects = wanted_effects(design, re_formula)
    formula, given = design.formula, as_frame(data)
    nodes = [f for term in formula.fixed.terms for f in term.factors] + list(formula.fixed.offsets)
    nodes += [n for bar in effects.bars for n in bar_nodes(bar)]
    if needs_response and formula.response is not None:
        nodes.append(formula.response)
    frame = _needed_columns(given, nodes, design)
    evaluator = Evaluator(frame, formula.text, learned=design.learned)
    of_bars = Evaluator(frame, effects.text, learned=design.learned)
    blocks = [b for bar in effects.bars for b in _new_blocks(design, bar, of_bars, allow_new_levels)]
    _reject_twice(design, blocks, effects)
    response = None
    if needs_response:
        trials = new_row_values(design, "weights", given, weights) if _has_trials(design) else None
        response = new_response(design, evaluator, trials)
    return NewDesign(
        X=_fixed_columns(design, evaluator),
        blocks=tuple(sorted(blocks, key=lambda b: b.position)),
        offset=_new_offset(design, given, evaluator, offset, exposure, given_offset),
        y=None if response is None else response.y,
        trials=None if response is None else response.trials,
        others={
            name: new_design(
                own, given, allow_new_levels=allow_new_levels, re_formula=None if re_formula is None else "~0"
            )
            for name, own in design.others.items()
        },
    )


def _has_trials(design: Design) -> bool:
    return design.family.support == "binomial"


def rows_of_fit(design: Design, re_formula: str | Formula | None = None) -> NewDesign:
    """Return the rows of the fit with the group effects that `re_formula` asks for, as `new_design` does."""
    if re_formula is None:
        none = np.full(design.nobs, -1)
        blocks = [
            NewBlock(b.label, i, tuple(range(len(b.columns))), b.Z, b.index, (), none)
            for i, b in enumerate(design.blocks)
        ]
        others = {name: rows_of_fit(own) for name, own in design.others.items()}
        return NewDesign(design.X, tuple(blocks), design.offset, others=others)
    rows = new_design(design, design.frame, re_formula=re_formula, given_offset=False)
    return NewDesign(design.X, rows.blocks, design.offset, others=rows.others)


def effect_columns(design: Design, position: int, data: Any) -> np.ndarray:
    """Return the columns (n, p) of a block in new data, which need not have its grouping factor."""
    effects = design.blocks[position].bar.effects
    nodes = [f for term in effects.terms for f in term.factors]
    frame = _needed_columns(as_frame(data), nodes, design)
    return model_columns(effects, Evaluator(frame, design.formula.text, learned=design.learned)).values


# -- columns of the data ---------------------------------------------------------------------------


def _needed_columns(frame: pd.DataFrame, nodes: list[Node], design: Design) -> pd.DataFrame:
    """Return the columns that expressions name; a missing one is an error."""
    known = set(design.frame.columns)
    names = list(dict.fromkeys(n.name for node in nodes for n in names_in(node) if n.name in known))
    for name in names:
        if name not in frame.columns:
            hint = did_you_mean(name, frame.columns) or (
                f" They have: {', '.join(map(str, frame.columns[:12]))}."
            )
            raise DataError(
                f"the new data have no column {name!r}, which {design.formula.spelled} uses.{hint}"
            )
    return frame.loc[:, names]


def _fixed_columns(design: Design, evaluator: Evaluator) -> np.ndarray:
    columns = model_columns(design.formula.fixed, evaluator)
    at = {name: i for i, name in enumerate(columns.names)}
    return columns.values[:, [at[name] for name in design.coefficients]]


def _new_offset(
    design: Design,
    frame: pd.DataFrame,
    evaluator: Evaluator,
    offset: Any,
    exposure: Any,
    given_offset: bool,
) -> np.ndarray | None:
    parts = [np.broadcast_to(evaluator.numeric(o), len(frame)) for o in design.formula.fixed.offsets]
    if given_offset:
        values = new_row_values(design, "offset", frame, offset)
        parts += [] if values is None else [values]
        known = log_exposure(new_row_values(design, "exposure", frame, exposure), design.family)
        parts += [] if known is None else [known]
    return np.sum(parts, axis=0, dtype=float) if parts else None


def new_row_values(design: Design, what: str, frame: pd.DataFrame, given: Any) -> np.ndarray | None:
    """Return an `offset`, `exposure` or `weights` for new rows: those given, or the column that the fit was given.

    Raises
    ------
    DataError
        If that column is missing, or if the fit was given an array, which says nothing of new rows.
    """
    before = design.given.get(what)
    if given is not None or before is None:
        return row_values(given, what, frame)
    if not isinstance(before, str):
        formula = "; or fit with offset(column) in the formula" if what == "offset" else ""
        raise DataError(
            f"the fit was given an array as {what}, which has no values for new rows: give {what}= with the new "
            f"data{formula}"
        )
    if before not in frame.columns:
        raise DataError(f"the new data have no column {before!r}, the fit's {what}: add it, or give {what}=")
    return row_values(before, what, frame)


# -- group effects ---------------------------------------------------------------------------------


def _new_blocks(design: Design, bar: Bar, evaluator: Evaluator, allowed: bool) -> Iterator[NewBlock]:
    columns = model_columns(bar.effects, evaluator)
    for position, at in assign_columns(design, bar, columns.names, evaluator.text).items():
        block = design.blocks[position]
        index, names, new_index = _level_index(design, block, evaluator)
        if names and not allowed:
            raise DataError(_new_levels_message(block, names))
        inside = tuple(block.columns.index(columns.names[i]) for i in at)
        yield NewBlock(block.label, position, inside, columns.values[:, at], index, names, new_index)


def _reject_twice(design: Design, blocks: list[NewBlock], effects: Formula) -> None:
    seen = [(b.position, column) for b in blocks for column in b.columns]
    for position, column in seen:
        if seen.count((position, column)) > 1:
            block = design.blocks[position]
            message = f"re_formula names the effect of {block.columns[column]} on {block.group} twice"
            raise FormulaError(message, effects.text, 0, len(effects.text))


def _new_levels_message(block: Block, names: tuple[str, ...]) -> str:
    several = "s" if len(names) > 1 else ""
    shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"{block.group} has the level{several} {shown} in the new data, which the fit has not seen: "
        "allow_new_levels=True predicts such rows as of a group of which nothing is known"
    )


def _level_index(
    design: Design, block: Block, evaluator: Evaluator
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Return the level of each row among those of the fit, the new levels, and the level of each row among these.

    Levels of ``a:b`` are matched by the pair of levels, not by the text that names it.
    """
    before = Evaluator(design.frame, design.formula.text, learned=design.learned)
    old = [before.take_factor(g) for g in block.bar.group]
    new = [evaluator.take_factor(g) for g in block.bar.group]
    sizes = [len(f.levels) + 1 for f in new]  # the last one is for missing values
    known, at = np.unique(_combine(old, sizes), return_index=True)
    cells, cell = np.unique(_combine(new, sizes), return_inverse=True)
    place = np.minimum(np.searchsorted(known, cells), len(known) - 1)
    level = np.where(known[place] == cells, block.index[at[place]], -1)
    fresh = np.flatnonzero(level < 0)
    number = np.full(len(cells), -1)
    number[fresh] = np.arange(len(fresh))
    return level[cell], tuple(_cell_name(int(c), new, sizes) for c in cells[fresh]), number[cell]


def _combine(factors: list[Factor], sizes: list[int]) -> np.ndarray:
    """Number the combinations of levels; a missing one counts as the last level."""
    total = np.zeros(len(factors[0].codes), dtype=np.int64)
    for factor, size in zip(factors, sizes, strict=True):
        total = total * size + np.where(factor.codes < 0, size - 1, factor.codes)
    return total


def _cell_name(cell: int, factors: list[Factor], sizes: list[int]) -> str:
    names = []
    for factor, size in zip(reversed(factors), reversed(sizes), strict=True):
        cell, code = divmod(cell, size)
        names.append((*factor.levels, MISSING)[code])
    return ":".join(reversed(names))
