"""Columns of a data frame as R sees them: arrays of numbers, or factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.errors import DataError


@dataclass(frozen=True)
class Factor:
    """A categorical value: `codes` (n,) index `levels`; -1 is missing."""

    levels: tuple[str, ...]
    codes: np.ndarray


Value = Any  # ndarray (n,) or (n, k) | Factor | a scalar or short vector


def as_frame(data: Any) -> pd.DataFrame:
    """Return any data frame (pandas, polars, arrow, ...) or dict of columns as pandas, without copying a pandas one.

    Raises
    ------
    DataError
        If `data` is not a data frame, or has two columns of one name.
    """
    if isinstance(data, Mapping):
        data = _columns_frame(data)
    if not isinstance(data, pd.DataFrame):
        import narwhals as nw

        try:
            native = nw.from_native(data)
            frame = native.collect() if isinstance(native, nw.LazyFrame) else native
            data = frame.to_pandas()
        except TypeError:
            kind = type(data).__name__
            raise DataError(f"data must be a data frame (pandas, polars, ...), not {kind}") from None
    twice = data.columns[data.columns.duplicated()].unique().tolist()
    if twice:
        raise DataError(f"the data have several columns named {', '.join(map(repr, twice))}: rename them")
    return data


def _columns_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return a dict of columns as a frame; single values are repeated."""
    try:
        single = all(np.ndim(v) == 0 for v in columns.values())
        return pd.DataFrame(dict(columns), index=[0] if single and columns else None)
    except ValueError as problem:
        raise DataError(f"the columns of the data do not fit together: {problem}") from problem


def row_labels(frame: pd.DataFrame) -> np.ndarray:
    """Return the index of a frame, or positions where it has several levels."""
    several = isinstance(frame.index, pd.MultiIndex)
    return np.arange(len(frame)) if several else frame.index.to_numpy()


def column_factor(column: pd.Series) -> Factor:
    """Return a column as R's ``factor`` would: categories in their order, others sorted; unused ones go."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, labels = column.cat.codes.to_numpy().astype(np.intp), list(column.cat.categories)
    else:
        codes, uniques = pd.factorize(column, sort=True, use_na_sentinel=True)
        labels = list(uniques)
    return drop_unused(Factor(tuple(map(level_text, labels)), codes))


def drop_unused(factor: Factor) -> Factor:
    """Return a factor without the levels that no row has."""
    used = np.unique(factor.codes[factor.codes >= 0])
    recode = np.full(len(factor.levels) + 1, -1, dtype=np.intp)
    recode[used] = np.arange(len(used))
    return Factor(tuple(factor.levels[i] for i in used), recode[factor.codes])


def level_text(value: Any) -> str:
    """R's ``as.character``: TRUE and FALSE, whole numbers without a decimal point."""
    if isinstance(value, bool | np.bool_):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float | np.floating):
        return f"{value:.15g}"
    return str(value)


def column_value(column: pd.Series) -> Value:
    """Return a column as a float array, or as a Factor if it holds strings, booleans or categories."""
    if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(column.dtype):
        return column_factor(column)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan)
    if pd.api.types.is_string_dtype(column.dtype) or column.dtype == object:
        return _object_value(column)
    kind = f"column {column.name!r} holds {column.dtype} values"
    raise DataError(f"{kind}, which no formula can use: convert them to numbers or strings first")


def _object_value(column: pd.Series) -> Value:
    present = column.dropna()
    kinds = {type(v) for v in present}
    if kinds and all(issubclass(k, int | float | np.number) and not issubclass(k, bool) for k in kinds):
        return pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan)
    if kinds <= {str} or all(issubclass(k, bool | np.bool_) for k in kinds):
        return column_factor(column)
    names = ", ".join(sorted(k.__name__ for k in kinds))
    what = f"mixes types ({names})" if len(kinds) > 1 else f"holds {names} values"
    raise DataError(f"column {column.name!r} {what}: convert it to numbers or to strings")


def is_logical(factor: Factor) -> bool:
    """Whether the levels are TRUE and FALSE, which count as 1 and 0."""
    return set(factor.levels) <= {"TRUE", "FALSE"}


def truth(factor: Factor) -> np.ndarray:
    """Return 1 for TRUE, 0 for FALSE, NaN for missing."""
    return np.array([*(level == "TRUE" for level in factor.levels), np.nan])[factor.codes]


def missing_rows(value: Value) -> np.ndarray | None:
    """Return which rows of a value are missing, or None for a constant."""
    if isinstance(value, Factor):
        return value.codes < 0
    if isinstance(value, np.ndarray) and value.ndim:
        return np.isnan(value) if value.ndim == 1 else np.isnan(value).any(axis=1)
    return None
