"""Rows for pictures of predictions: a grid of one or two columns, the others at typical values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.columns import Factor, column_factor, column_value
from bayesmlm.design import Design
from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.evaluate import Evaluator
from bayesmlm.syntax import Node, names_in
from bayesmlm.wanted import bar_nodes

FEW = 5  # a numeric column with no more distinct values is shown at each of them
N_POINTS = 50


@dataclass(frozen=True)
class Axis:
    """A column of the data along which a prediction is drawn.

    Attributes
    ----------
    name : str
        The column.
    values : ndarray
        Values of the column, as in the data.
    labels : tuple of str or None
        Their names if they are categories, which stand at 0, 1, ...; None for numbers.
    """

    name: str
    values: np.ndarray
    labels: tuple[str, ...] | None = None

    @property
    def positions(self) -> np.ndarray:
        """Where the values stand on a scale."""
        return self.values.astype(float) if self.labels is None else np.arange(len(self.values), dtype=float)

    def place(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the position of each row of a frame."""
        column = frame[self.name]
        if self.labels is None:
            return np.asarray(column_value(column), dtype=float)
        factor = column_factor(column)
        at = {level: i for i, level in enumerate(self.labels)}
        return np.array([at[level] for level in factor.levels], dtype=float)[factor.codes]


def axis_of(design: Design, name: str, n_points: int = N_POINTS) -> Axis:
    """Return the values of a column to predict at: its categories, or `n_points` from its least to its greatest value.

    Raises
    ------
    DataError
        If the formula does not name the column right of the tilde.
    """
    frame, known = design.frame, predictor_columns(design)
    if name not in known:
        hint = did_you_mean(str(name), known) or f" It uses: {', '.join(known) or 'none'}."
        raise DataError(f"{name!r} is not a column that the model predicts from.{hint}")
    if name in categorical_columns(design):
        values, labels = _categories(frame[name])
        return Axis(name, values, labels)
    values = np.asarray(column_value(frame[name]), dtype=float)
    return Axis(name, np.linspace(values.min(), values.max(), n_points))


def few_values(design: Design, name: str) -> Axis:
    """Return the values of a second column: its categories, its few values, or mean - sd, mean and mean + sd."""
    axis = axis_of(design, name)
    if axis.labels is not None:
        return axis
    x = np.asarray(column_value(design.frame[name]), dtype=float)
    distinct = np.unique(x)
    if len(distinct) > FEW:
        distinct = x.mean() + x.std(ddof=1) * np.array([-1.0, 0.0, 1.0])
    return Axis(name, distinct)


def predictor_columns(design: Design) -> list[str]:
    """Return the columns of the data in the fixed part and left of the bars; of grouping factors only those there."""
    known = set(design.frame.columns)
    nodes = _effect_nodes(design)
    return list(dict.fromkeys(n.name for node in nodes for n in names_in(node) if n.name in known))


def categorical_columns(design: Design) -> set[str]:
    """Return the predictor columns that the formula reads as categories, such as gender in ``factor(gender)``."""
    evaluator = Evaluator(design.frame, design.formula.text, learned=design.learned)
    found = set()
    for node in _effect_nodes(design):
        if isinstance(evaluator.value(node), Factor):
            found |= {n.name for n in names_in(node)}
    return found & set(design.frame.columns)


def _effect_nodes(design: Design) -> list[Node]:
    formula = design.formula
    nodes = [f for term in formula.fixed.terms for f in term.factors] + list(formula.fixed.offsets)
    for bar in formula.bars:
        nodes += [n for n in bar_nodes(bar) if n not in bar.group]
    return nodes


def _categories(column: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the categories of a column as they are in the data, and as text."""
    factor = column_factor(column)
    first = [int(np.argmax(factor.codes == code)) for code in range(len(factor.levels))]
    return column.iloc[first].to_numpy(), factor.levels


def typical_values(design: Design, at: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return one value per predictor column: the mean of numbers, the first (reference) level of categories.

    Parameters
    ----------
    design
        The model.
    at
        Values that the caller wants instead.

    Raises
    ------
    DataError
        If `at` names a column that the model does not predict from.
    """
    known, categorical = predictor_columns(design), categorical_columns(design)
    values: dict[str, Any] = {}
    for name in known:
        column = design.frame[name]
        values[name] = (
            _categories(column)[0][0] if name in categorical else float(np.mean(column_value(column)))
        )
    for name, value in (at or {}).items():
        if name not in known:
            hint = did_you_mean(str(name), known)
            raise DataError(f"at: {name!r} is not a column that the model predicts from.{hint}")
        values[name] = value
    return values


def grid_frame(design: Design, axes: Iterable[Axis], at: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return every combination of the axes' values, the first slowest, with the other predictors at typical values."""
    axes = list(axes)
    shape = [len(a.values) for a in axes]
    places = np.indices(shape).reshape(len(shape), -1)
    columns = typical_values(design, at)
    n = places.shape[1]
    frame = pd.DataFrame({name: [value] * n for name, value in columns.items()}, index=range(n))
    for axis, place in zip(axes, places, strict=True):
        frame[axis.name] = axis.values[place]
    return frame
