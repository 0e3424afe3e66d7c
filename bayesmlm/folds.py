"""Leaving rows out: groups of rows, folds, and the design of the rows that stay."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.columns import as_frame, column_factor
from bayesmlm.design import Design, build_design
from bayesmlm.errors import BayesMLMError, BayesMLMWarning, DataError, did_you_mean
from bayesmlm.left_out import Rows, new_rows
from bayesmlm.newdata import new_design
from bayesmlm.rows import row_values
from bayesmlm.syntax import Call


@dataclass(frozen=True)
class Grouping:
    """The rows of a fit, in groups.

    Attributes
    ----------
    name : str
        The factor.
    levels : tuple of str
        Its levels.
    index : ndarray of int, shape (n,)
        Level of each row.
    """

    name: str
    levels: tuple[str, ...]
    index: np.ndarray


def grouping(design: Design, name: str) -> Grouping:
    """Return the groups that a grouping factor of the model, or a column of its data, makes of the rows.

    Raises
    ------
    DataError
        If there is no such factor or column, it is missing in a row that the fit uses, or it has one level.
    """
    for block in design.blocks:
        if block.group == name:
            return Grouping(name, block.levels, block.index)
    known = [b.group for b in design.blocks]
    frame = design.frame if design.data is None else as_frame(design.data)
    if not isinstance(name, str) or name not in frame.columns:
        hint = did_you_mean(str(name), [*known, *frame.columns])
        raise DataError(
            f"group = {name!r} is neither a grouping factor of the model ({', '.join(dict.fromkeys(known))}) nor a "
            f"column of its data.{hint}"
        )
    column = frame[name] if frame is design.frame else frame[name].iloc[design.rows]
    factor = column_factor(column)
    if (factor.codes < 0).any():
        raise DataError(
            f"{name} is missing in {int((factor.codes < 0).sum())} rows of the fit: fill it first"
        )
    if len(factor.levels) < 2:
        raise DataError(f"{name} has one level only: nothing would be left to predict it from")
    return Grouping(name, factor.levels, factor.codes)


def make_folds(design: Design, k: int, group: Grouping | None, folds: Any, seed: int) -> np.ndarray:
    """Return the fold of each row of a fit, 0, 1, ...: balanced and random, whole groups together.

    Parameters
    ----------
    design
        The fit's.
    k
        Number of folds.
    group
        Groups to keep together; with as many folds as groups each is left out by itself.
    folds
        The folds themselves, one value per row (of the fit, or of the caller's data) or the name of a column.
    seed
        Of the random folds.

    Raises
    ------
    DataError
        For folds that are not two or more, or more than there are rows or groups; folds that divide groups.
    """
    if folds is not None:
        return _given_folds(design, folds, group)
    units = design.nobs if group is None else len(group.levels)
    what = "rows" if group is None else f"levels of {group.name}"
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 2 <= k <= units:
        raise DataError(f"k = {k!r}: give a number of folds from 2 to the number of {what}, {units}")
    fold = np.empty(units, dtype=int)
    fold[np.random.default_rng(seed).permutation(units)] = np.arange(units) % k
    return fold if group is None else fold[group.index]


def _given_folds(design: Design, folds: Any, group: Grouping | None) -> np.ndarray:
    if isinstance(folds, str):
        chosen = grouping(design, folds)
    else:
        values = np.asarray(folds).ravel()
        if len(values) == design.n_given and len(values) != design.nobs:
            values = values[design.rows]
        if len(values) != design.nobs:
            raise DataError(f"folds has {len(values)} values for {design.nobs} rows: give one per row")
        levels, index = np.unique(values, return_inverse=True)
        chosen = Grouping("folds", tuple(map(str, levels)), index)
    if len(chosen.levels) < 2:
        raise DataError("folds has one value only: there must be two folds or more")
    if group is not None:
        pairs = np.unique(np.column_stack([group.index, chosen.index]), axis=0)
        if len(pairs) > len(group.levels):
            at = next(i for i in range(len(group.levels)) if (pairs[:, 0] == i).sum() > 1)
            raise DataError(f"folds divide {group.name} {group.levels[at]!r}: give each level one fold")
    return chosen.index


@dataclass(frozen=True)
class Split:
    """A model without some rows.

    Attributes
    ----------
    design : Design
        Of the rows that stay; what expressions such as ``scale(x)`` learn, they learn from these.
    rows : Rows
        The rows that were left out, coded as in `design`.
    """

    design: Design
    rows: Rows


def leave_out(design: Design, held: np.ndarray) -> Split:
    """Take rows out of a model's data.

    Parameters
    ----------
    design
        The fit's.
    held : ndarray of int
        Positions among the rows of the fit.

    Raises
    ------
    DataError
        If the rest of the data does not make the model, or knows nothing of a category that is left out; if the
        response depends on the other rows, as that of ``scale(y) ~`` does.
    """
    frame, rows, given = _source(design)
    out = rows[held]
    stay = np.setdiff1d(np.arange(len(frame)), out)
    with warnings.catch_warnings():  # what is odd about the data was said when the model was fitted
        warnings.simplefilter("ignore", BayesMLMWarning)
        try:
            kept, left = ({name: x[at] for name, x in given.items()} for at in (stay, out))
            rest = build_design(design.formula, frame.iloc[stay], design.family, **kept)
            if rest.response_levels != design.response_levels:
                raise DataError(f"no other row has one of the categories {', '.join(design.response_levels)}")
            seen = new_design(rest, frame.iloc[out], allow_new_levels=True, needs_response=True, **left)
        except BayesMLMError as problem:
            raise DataError(f"the model cannot do without {_named(out)}: {problem}") from problem
        weights = None if design.weights is None else left.get("weights", design.weights[held])
        split = Split(rest, new_rows(rest, seen, weights))
    if not np.allclose(split.rows.y, design.y[held], rtol=1e-9, atol=1e-12 * np.abs(design.y).max()):
        raise DataError(
            f"the response {design.response} depends on which rows there are, so the folds predict different "
            "quantities: compute it as a column of the data before fitting"
        )
    return split


def _source(design: Design) -> tuple[pd.DataFrame, np.ndarray, dict[str, np.ndarray]]:
    """Return data, the positions of the fit's rows in them, and weights, offset, exposure for each row of the data.

    Without the caller's data, which a pickle leaves behind, the rows and columns that the fit used take their place.
    """
    if design.data is not None:
        frame = as_frame(design.data)
        values = {name: row_values(value, name, frame) for name, value in design.given.items()}
        return frame, design.rows, {name: x for name, x in values.items() if x is not None}
    outside = any(design.given.get(name) is not None for name in ("offset", "exposure"))
    if outside and design.formula.fixed.offsets:
        raise DataError("the fit was pickled, which leaves its data and their offset behind: fit it again")
    found = {"weights": _used_weights(design), "offset": design.offset if outside else None}
    return design.frame, np.arange(design.nobs), {name: x for name, x in found.items() if x is not None}


def _used_weights(design: Design) -> np.ndarray | None:
    """Weights as they were given: those of binomial proportions are the numbers of trials."""
    if design.trials is None or design.given.get("weights") is None:
        return design.weights
    if isinstance(design.formula.response, Call):
        raise DataError("the fit was pickled, which leaves its data and their weights behind: fit it again")
    return design.trials


def _named(rows: Sequence[int] | np.ndarray) -> str:
    shown = ", ".join(map(str, rows[:3])) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")
    return f"{'row' if len(rows) == 1 else 'rows'} {shown}"
