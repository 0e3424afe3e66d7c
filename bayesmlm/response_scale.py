"""The response as the formula transforms it, and the column that it was: densities of log(y) beside those of y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError
from bayesmlm.evaluate import Evaluator
from bayesmlm.syntax import names_in

CONTINUOUS = {"real", "positive", "nonnegative", "unit"}  # supports of responses that have densities
STEP = 1e-5  # relative to y: the error of a central difference is then about 1e-10


@dataclass(frozen=True, eq=False)
class ResponseScale:
    """A transformed response f(y) and the column y.

    Attributes
    ----------
    column : str
        Name of y.
    values : ndarray, shape (n,)
        y.
    log_slope : ndarray
        log |f'(y)|: what the log density of y has more than that of f(y). Summed over the rows of a group where these
        are judged together.
    """

    column: str
    values: np.ndarray
    log_slope: np.ndarray


def response_scale(design: Design) -> ResponseScale | None:
    """Return the scale of a response that is a smooth function of one column, row by row; None for others.

    Counts, trials and categories have probabilities, which no scale changes: None.

    The slope is a central difference of the formula's own expression.
    """
    node = design.formula.response
    assert node is not None
    if design.family.support not in CONTINUOUS:
        return None
    names = {n.name for n in names_in(node)} & set(design.frame.columns)
    if len(names) != 1:
        return None
    (column,) = names
    try:
        y = design.frame[column].to_numpy(dtype=float)
    except (TypeError, ValueError):
        return None
    step = STEP * np.where(y == 0, 1.0, np.abs(y))
    try:
        high, low = (_at(design, column, y + sign * step) for sign in (1, -1))
    except BayesMLMError:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        log_slope = np.log(np.abs((high - low) / (2 * step)))
    return ResponseScale(column, y, log_slope) if np.isfinite(log_slope).all() else None


def _at(design: Design, column: str, y: np.ndarray) -> np.ndarray:
    frame = design.frame.assign(**{column: y})
    evaluator = Evaluator(frame, design.formula.text, learned=design.learned)
    assert design.formula.response is not None
    return np.asarray(evaluator.numeric(design.formula.response), dtype=float)
