"""The slope of a linear predictor along one predictor, over all columns in which that occurs.

Along a predictor x the linear predictor of a row is eta(x) = c + s h(x), with h the identity, log, log1p or sqrt.
Columns are evaluated rather than read off the formula, so that ``scale(log(x))`` and ``x:z`` need no rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from bayesmlm.columns import column_value
from bayesmlm.design import Design
from bayesmlm.errors import DataError, FormulaError, did_you_mean
from bayesmlm.newdata import NewDesign, new_design
from bayesmlm.predicted import Asked
from bayesmlm.rows import expressions
from bayesmlm.syntax import names_in, quote_name

Curve = tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]
CURVES: dict[str, Curve] = {  # h and its inverse, NaN where there is none
    "identity": (lambda x: x, lambda h: h),
    "log": (np.log, np.exp),
    "log1p": (np.log1p, np.expm1),
    "sqrt": (np.sqrt, lambda h: np.where(h < 0, np.nan, h) ** 2),
}
STRAIGHT = 1e-7  # largest deviation of a column from a straight line, relative to its values
CHECKED_ROWS = 400
PLASTIC = (0.7548776662466927, 0.5698402909980532)  # multiples of these fill the unit square evenly


def check_predictor(design: Design, predictor: str) -> None:
    """Refuse what is not a numeric column of the linear predictor.

    Raises
    ------
    DataError
        For a name that is not in the formula, or a column of categories.
    """
    formula = design.formula
    response = {n.name for n in names_in(formula.response)} if formula.response is not None else set()
    groups = {n.name for bar in formula.bars for g in bar.group for n in names_in(g)}
    named = [
        n.name for node in expressions(formula) for n in names_in(node) if n.name in design.frame.columns
    ]
    known = [n for n in dict.fromkeys(named) if n not in response | groups]
    if predictor not in named:
        hint = did_you_mean(str(predictor), known) or f" It has: {', '.join(known) or 'no predictors'}."
        raise DataError(f"no predictor {predictor!r} in {formula.spelled}.{hint}")
    if predictor in response | groups:
        what = "the response" if predictor in response else "a grouping factor"
        raise DataError(
            f"{predictor} is {what}: name a numeric predictor, such as {', '.join(known) or 'none'}"
        )
    quoted = quote_name(predictor)
    coded = {predictor, quoted, f"factor({quoted})"} & {*design.learned.levels, *design.learned.kept}
    if coded or not isinstance(column_value(design.frame[predictor]), np.ndarray):
        raise DataError(f"{predictor} has categories in this model: a required change needs a number")
    if isinstance(design.given.get("exposure"), str) and design.given["exposure"] == predictor:
        raise DataError(
            f"{predictor} is the exposure of this fit: the expected response is proportional to it, and nothing is to "
            "estimate"
        )
    if isinstance(design.given.get("offset"), str) and design.given["offset"] == predictor:
        raise DataError(
            f"{predictor} is the offset of this fit: its slope is 1, known, and nothing to estimate"
        )


def straight_in(design: Design, predictor: str) -> str:
    """Return the name of the curve h in which all columns are straight lines, by trying on the rows of the fit.

    Raises
    ------
    FormulaError
        If there is none, with the columns that are not straight lines in the predictor itself.
    """
    rows = np.unique(np.linspace(0, design.nobs - 1, min(CHECKED_ROWS, design.nobs)).astype(int))
    frame = design.frame.iloc[rows]
    # Each row sees its own value and two more, spread over the range of the data: a function may end there.
    x = np.asarray(column_value(frame[predictor]), dtype=float)
    known = np.asarray(column_value(design.frame[predictor]), dtype=float)
    spread = [known.min() + np.ptp(known) * (np.arange(1, len(x) + 1) * r % 1) for r in PLASTIC]
    points = [x, *spread]
    values = [_columns_at(design, frame, predictor, p) for p in points]
    bent: list[str] = []
    for name, (h, _) in CURVES.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            at = [h(p)[:, None] for p in points]
        off = _deviation(at, values)
        if not off.any():
            return name
        bent = bent or [c for c, wrong in zip(_column_names(design), off, strict=True) if wrong]
    few = ", ".join(bent[:4])
    raise FormulaError(
        f"{few} {'is' if len(bent) == 1 else 'are'} not straight in {predictor}, nor in its log, log1p or sqrt, so "
        "that no single change answers: compare predictions at several values of it instead, with predict(newdata)"
    )


def _deviation(h: list[np.ndarray], values: list[np.ndarray]) -> np.ndarray:
    """Return which columns do not lie on a straight line through the three points (h, value) of some row."""
    with np.errstate(invalid="ignore"):
        cross = (values[2] - values[0]) * (h[1] - h[0]) - (values[1] - values[0]) * (h[2] - h[0])
        size = sum(np.abs(v) for v in values) * (np.abs(h[1] - h[0]) + np.abs(h[2] - h[0]))
    return ~(np.abs(cross) <= STRAIGHT * size).all(axis=0)


def _column_names(design: Design) -> list[str]:
    inside = [f"{c} in {b.bar}" for b in design.blocks for c in b.columns]
    return [*design.coefficients, *inside, "offset"]


def _columns_at(design: Design, frame: pd.DataFrame, predictor: str, x: np.ndarray) -> np.ndarray:
    """Return all columns of the linear predictor with a predictor set to `x`: (n, k + sum of p + 1)."""
    rows = _design_at(design, Asked(), frame, predictor, x)
    offset = np.zeros(len(x)) if rows.offset is None else rows.offset
    return np.hstack([rows.X, *(b.Z for b in rows.blocks), offset[:, None]])


def _design_at(design: Design, asked: Asked, frame: pd.DataFrame, predictor: str, x: np.ndarray) -> NewDesign:
    # Offset and exposure beside the formula do not depend on the predictor.
    return new_design(
        design,
        frame.assign(**{predictor: x}),
        allow_new_levels=asked.allow_new_levels,
        re_formula=asked.re_formula,
        given_offset=False,
    )


def slope_rows(
    design: Design, asked: Asked, frame: pd.DataFrame, predictor: str, curve: str, x: np.ndarray
) -> NewDesign:
    """Return the change of each column per unit of h(x), as rows: the linear predictor of these is the slope."""
    known = np.asarray(column_value(design.frame[predictor]), dtype=float)
    low, high = known.min(), known.max()
    other = np.where(np.abs(x - low) > np.abs(x - high), low, high)  # far from x, within the data
    here, there = (_design_at(design, asked, frame, predictor, at) for at in (x, other))
    with np.errstate(invalid="ignore", divide="ignore"):
        run = CURVES[curve][0](other) - CURVES[curve][0](x)
    blocks = [
        replace(a, Z=(b.Z - a.Z) / run[:, None]) for a, b in zip(here.blocks, there.blocks, strict=True)
    ]
    offset = None if here.offset is None or there.offset is None else (there.offset - here.offset) / run
    return NewDesign((there.X - here.X) / run[:, None], tuple(blocks), offset)
