"""The response of new rows, read as that of the fit was: successes of trials, positions of known categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.columns import Factor
from bayesmlm.design import Design
from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.evaluate import Evaluator
from bayesmlm.responses import Response, check_support, whole_numbers
from bayesmlm.rows import row_values
from bayesmlm.syntax import Call, Node, names_in

PROBES = (0.0, 1.0)


def new_response(design: Design, evaluator: Evaluator, weights: np.ndarray | None) -> Response | None:
    """Evaluate the response in new rows; missing where the data are.

    Parameters
    ----------
    design
        The model.
    evaluator
        Of the new rows.
    weights : ndarray, shape (n,), or None
        Prior weights of these; of binomial proportions the numbers of trials.

    Raises
    ------
    DataError
        For a value that the family cannot have, or a category that the fit does not know.
    """
    node, family = design.formula.response, design.family
    if node is None:
        return None
    if family.support == "binomial":
        return _binomial(design, node, evaluator, weights)
    if family.support in {"ordinal", "categorical"}:
        return Response(_codes(design, evaluator.value(node)), design.response, None, weights)
    y = np.asarray(evaluator.numeric(node), dtype=float)
    check_support(y[np.isfinite(y)], design.response, family)
    return Response(y, design.response, None, weights)


def _binomial(design: Design, node: Node, evaluator: Evaluator, weights: np.ndarray | None) -> Response:
    text = design.response
    if design.response_levels:
        y = _codes(design, evaluator.value(node))
        return Response(y if weights is None else y * weights, text, weights)
    numbers = np.asarray(evaluator.numeric(node), dtype=float)
    if numbers.ndim == 2:
        counts = _whole(numbers, "successes and failures", text)
        counts = counts if weights is None else counts * weights[:, None]
        trials = counts.sum(axis=1)
        if (counts < 0).any() or (trials == 0).any():
            raise DataError(
                f"the response {text} has rows without trials, or negative counts, in the new data"
            )
        return Response(counts[:, 0], text, None if design.trials is None and (trials == 1).all() else trials)
    known = numbers[np.isfinite(numbers)]
    if ((known < 0) | (known > 1)).any():
        raise DataError(
            f"the response {text} is outside 0 to 1 in the new data: a binomial response is 0 or 1, or a proportion"
        )
    if weights is not None:
        return Response(_whole(numbers * weights, "successes", text), text, weights)
    if ((known > 0) & (known < 1)).any():
        raise DataError(f"the response {text} is a proportion in the new data: give the numbers of trials")
    return Response(numbers, text)


def _whole(values: np.ndarray, what: str, text: str) -> np.ndarray:
    known = np.isfinite(values)
    out = np.full(values.shape, np.nan)
    out[known] = whole_numbers(values[known], what, text)
    return out


def _codes(design: Design, value: Any) -> np.ndarray:
    """Positions of categories among those of the fit; missing ones are NaN."""
    at = {level: i for i, level in enumerate(design.response_levels)}
    if isinstance(value, Factor):
        names, codes = value.levels, value.codes
    else:
        numbers = np.asarray(value, dtype=float)
        found, place = np.unique(numbers[np.isfinite(numbers)], return_inverse=True)
        names, codes = tuple(f"{v:g}" for v in found), np.full(len(numbers), -1)
        codes[np.isfinite(numbers)] = place
    unknown = [name for name in names if name not in at]
    if unknown:
        hint = did_you_mean(unknown[0], at) or f" It has: {', '.join(at)}."
        raise DataError(
            f"the response {design.response} has no category {unknown[0]!r} in the data of the fit.{hint}"
        )
    places = np.array([*(at[name] for name in names), np.nan], dtype=float)
    return places[codes]


# -- numbers of trials -----------------------------------------------------------------------------


def new_trials(
    design: Design, frame: pd.DataFrame, given: Any = None, weights: np.ndarray | None = None
) -> np.ndarray | None:
    """Return the number of trials of each new row of a binomial model; None if each has one.

    Parameters
    ----------
    design
        The model.
    frame
        The new rows.
    given
        Numbers or the name of a column; if None they are taken from the columns of ``cbind(successes, failures)``, of
        which those of the successes are not needed where the sum does not depend on them, or from the weights.
    weights
        Of the new rows.

    Raises
    ------
    DataError
        If they are not known.
    """
    if design.family.support != "binomial":
        if given is not None:
            raise DataError(
                f"trials= is for binomial models: a {design.family.spelled} response has no trials"
            )
        return None
    found = row_values(given, "trials", frame) if given is not None else _from_response(design, frame)
    if found is None:
        found = weights
    if found is None:
        if design.trials is None:
            return None
        raise DataError(
            f"the numbers of trials of the new rows are not known: give trials=, a column's name or numbers, or the "
            f"columns of {design.response}"
        )
    known = np.isfinite(found)
    if (found[known] < 0).any():
        raise DataError("trials= are counts of at least 0, one per row")
    out = np.full(len(frame), np.nan)
    out[known] = whole_numbers(found[known], "trials", design.response)
    return out


def _from_response(design: Design, frame: pd.DataFrame) -> np.ndarray | None:
    node = design.formula.response
    if not (isinstance(node, Call) and node.func == "cbind"):
        return None
    names = dict.fromkeys(n.name for n in names_in(node) if n.name in design.frame.columns)
    missing = [name for name in names if name not in frame.columns]
    if len(missing) == len(names):
        return None
    totals = []
    for probe in PROBES if missing else PROBES[:1]:
        filled = frame.assign(**dict.fromkeys(missing, probe))
        counts = Evaluator(filled, design.formula.text, learned=design.learned).numeric(node)
        totals.append(np.asarray(counts, dtype=float).sum(axis=1))
    return totals[0] if np.allclose(totals[0], totals[-1], equal_nan=True) else None
