"""What a row of the data is called, and which rows are meant, in the data's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.columns import level_text
from bayesmlm.design import Design
from bayesmlm.errors import DataError, did_you_mean

MOST_VALUES = 8  # shown in a message


def data_column(design: Design, name: str) -> pd.Series:
    """Return a column of the caller's data on the rows of the fit, also one that the formula does not use.

    Raises
    ------
    DataError
        If the data have no such column, or were not kept because the fit was pickled.
    """
    if name in design.frame.columns:
        return design.frame[name]
    if design.data is None:
        known = ", ".join(map(str, design.frame.columns))
        raise DataError(
            f"the data were not kept with this fit, only the columns of its formula ({known}): give the values of "
            f"{name!r} themselves, one per row of the fit"
        )
    if name not in design.data.columns:
        raise DataError(f"the data have no column {name!r}.{did_you_mean(name, design.data.columns)}")
    return design.data[name].iloc[design.rows].reset_index(drop=True)


def row_labels(design: Design, label: Any = None) -> np.ndarray:
    """Return a name for each row of the fit.

    Parameters
    ----------
    design
        The model.
    label
        A column of the data, or one value per row. If None the row's label in the index of the data; its number,
        from 0, if the data were not kept.

    Raises
    ------
    DataError
        For an unknown column, or another number of values.
    """
    if label is None:
        index = design.rows if design.data is None else design.data.index[design.rows]
        return np.array([f"row {i}" for i in index], dtype=object)
    if isinstance(label, str):
        values: Any = data_column(design, label)
    else:
        values = _per_row(design, label, "label")
    return np.array([level_text(v) for v in values], dtype=object)


def chosen_rows(design: Design, highlight: Any = None) -> np.ndarray:
    """Return which rows of the fit are meant, shape (n,), bool.

    Parameters
    ----------
    design
        The model.
    highlight
        A mapping from columns of the data to a value or values: ``{"region": "London"}``, all of which have to
        hold; or one truth value per row of the fit, or of the data; none if None.

    Raises
    ------
    DataError
        For an unknown column, or a value that no row has.
    """
    if highlight is None:
        return np.zeros(design.nobs, dtype=bool)
    if not isinstance(highlight, Mapping):
        return np.asarray(_per_row(design, highlight, "highlight"), dtype=bool)
    meant = np.ones(design.nobs, dtype=bool)
    for name, wanted in highlight.items():
        text = np.array([level_text(v) for v in data_column(design, name)], dtype=object)
        values = [level_text(v) for v in ([wanted] if _is_single(wanted) else wanted)]
        known = list(dict.fromkeys(text))
        for value in values:
            if value not in known:
                few = ", ".join(known[:MOST_VALUES]) + (", ..." if len(known) > MOST_VALUES else "")
                raise DataError(
                    f"no row has {name} = {value!r}; there are {few}.{did_you_mean(value, known)}"
                )
        meant &= np.isin(text, values)
    return meant


def _is_single(value: Any) -> bool:
    return isinstance(value, str) or np.ndim(value) == 0


def _per_row(design: Design, values: Any, what: str) -> np.ndarray:
    array = np.asarray(values)
    if array.shape == (design.n_given,):
        return array[design.rows]
    if array.shape != (design.nobs,):
        raise DataError(
            f"{what} has shape {array.shape}: give a column of the data, or one value for each of the {design.nobs} "
            "rows of the fit"
        )
    return array


def highlight_name(highlight: Any) -> str:
    """Return in words which rows are meant, such as "region London"."""
    if not isinstance(highlight, Mapping):
        return "highlighted"
    parts = []
    for name, wanted in highlight.items():
        values = [level_text(v) for v in ([wanted] if _is_single(wanted) else wanted)]
        parts.append(f"{name} {', '.join(values)}")
    return "; ".join(parts)
