"""Which rows of a data frame a formula can use, and why the others cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.columns import missing_rows
from bayesmlm.errors import DataError, DataWarning, did_you_mean, warn
from bayesmlm.evaluate import Evaluator
from bayesmlm.formulas import Formula
from bayesmlm.syntax import Name, Node, names_in


def expressions(formula: Formula) -> list[Node]:
    """Every expression of a formula and of those of auxiliary parameters, outermost level, without repetition."""
    nodes = [node for part in parts_of_formula(formula) for node in own_expressions(part)]
    return list({str(node): node for node in nodes}.values())


def parts_of_formula(formula: Formula) -> list[Formula]:
    """Return the formula and those of auxiliary parameters."""
    return [formula, *(other for _, other in formula.others)]


def own_expressions(formula: Formula) -> list[Node]:
    """Every expression of one formula, outermost level."""
    linears = [formula.fixed, *(bar.effects for bar in formula.bars)]
    nodes = [] if formula.response is None else [formula.response]
    nodes += [f for linear in linears for term in linear.terms for f in term.factors]
    return nodes + list(formula.fixed.offsets) + [g for bar in formula.bars for g in bar.group]


def used_columns(formula: Formula, frame: pd.DataFrame) -> list[str]:
    """Columns of the data that a formula names, each once."""
    names = [name.name for node in expressions(formula) for name in names_in(node)]
    return [n for n in dict.fromkeys(names) if n in frame.columns]


def row_values(given: Any, what: str, frame: pd.DataFrame) -> np.ndarray | None:
    """Return weights or offset as one float per row of the data given."""
    if given is None:
        return None
    if isinstance(given, str):
        if given not in frame.columns:
            raise DataError(f"{what}: unknown column {given!r}.{did_you_mean(given, frame.columns)}")
        given = frame[given]
    if isinstance(given, pd.Series) and not given.index.equals(frame.index):
        raise DataError(
            f"{what} has another index than the data, so its rows may be in another order: take them from the data by "
            f"name, or pass {what}.to_numpy() if the order is that of the data"
        )
    column = pd.Series(np.asarray(given).ravel())
    if len(column) != len(frame):
        raise DataError(f"{what} has {len(column)} values for {len(frame)} rows: give one per row")
    try:
        return pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as problem:
        raise DataError(f"{what} must be numbers, one per row: {problem}") from problem


def complete_rows(
    formula: Formula, frame: pd.DataFrame, extra: Mapping[str, np.ndarray | None]
) -> tuple[np.ndarray, dict[str, int]]:
    """Return positions of rows without a missing value, and how many rows each column cost."""
    evaluator = Evaluator(frame, formula.text)
    nodes = expressions(formula)
    found: dict[str, None] = {}
    for part in parts_of_formula(formula):
        own = Evaluator(frame, part.text)  # an unknown column is pointed at in its own formula
        found |= dict.fromkeys(c for node in own_expressions(part) for c in own.columns(node))
    columns = list(found)
    missing = {c: frame[c].isna().to_numpy() for c in columns}
    for name, values in extra.items():
        if values is not None:  # a column of the formula may have the same name
            missing[name] = missing.get(name, False) | np.isnan(values)
    for column, rows in missing.items():
        if rows.all():
            raise DataError(f"column {column!r} is missing in every row: no row is left to fit")
    given = ~np.logical_or.reduce([*missing.values(), np.zeros(len(frame), dtype=bool)])
    lost = _lost_in_transformation(nodes, evaluator, given)
    keep = given & ~np.logical_or.reduce([*lost.values(), np.zeros(len(frame), dtype=bool)])
    dropped = {c: int(m.sum()) for c, m in {**missing, **lost}.items() if m.any()}
    if not keep.any():
        counts = ", ".join(f"{c} ({n})" for c, n in dropped.items())
        raise DataError(
            f"no row is complete; missing values by column: {counts}; fill them or leave columns out"
        )
    return np.flatnonzero(keep), dropped


def _lost_in_transformation(
    nodes: list[Node], evaluator: Evaluator, given: np.ndarray
) -> dict[str, np.ndarray]:
    """Rows that are present in the data but missing once transformed, by expression."""
    lost = {}
    for node in nodes:
        if isinstance(node, Name):
            continue
        rows = missing_rows(evaluator.value(node))
        if rows is not None and (rows & given).any():
            lost[str(node)] = rows & given
            count = int((rows & given).sum())
            message = f"{node} is not defined in {count} rows that have data; they are dropped"
            warn(message, DataWarning)
    return lost
