"""Columns of a data frame as arrays and plain values, and back with the same type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.columns import level_text
from bayesmlm.errors import FileError

Put = Callable[[str, np.ndarray], Any]  # keeps an array under a name, and returns what stands for it
Take = Callable[[Any], np.ndarray]
PLAIN = str | int | float | np.number  # which JSON gives back as they are; booleans are integers here


def encode_column(column: pd.Series, put: Put) -> dict[str, Any]:
    """Describe a column; its arrays go to `put`.

    Categories keep their order. Categories that are neither numbers nor text, such as intervals, become the text
    by which formulas know them.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        labels = dtype.categories
        if not all(isinstance(v, PLAIN) for v in labels):
            labels = pd.Index([level_text(v) for v in labels])
        return {
            "kind": "category",
            "codes": put("codes", column.cat.codes.to_numpy()),
            "ordered": bool(dtype.ordered),
            "categories": encode_column(pd.Series(labels), lambda name, v: put(f"categories.{name}", v)),
        }
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        values = column.to_numpy()
        return {
            "kind": "numbers",
            "values": put("values", values if dtype.itemsize <= 8 else values.astype(float)),
        }
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        values = column.to_numpy(dtype=_plain_dtype(dtype), na_value=0)
        missing = column.isna().to_numpy(dtype=bool)
        return {
            "kind": "nullable",
            "dtype": str(dtype),
            "values": put("values", values),
            "missing": put("missing", missing),
        }
    codes, labels = pd.factorize(column, use_na_sentinel=True)
    plain = [_plain(v, column.name) for v in np.asarray(labels, dtype=object)]
    return {"kind": "labels", "dtype": str(dtype), "codes": put("codes", codes), "labels": plain}


def _plain(value: Any, name: Any) -> Any:
    """A label as JSON gives it back."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, str | int) or (isinstance(plain, float) and np.isfinite(plain)):
        return plain
    raise FileError(
        f"column {name!r} holds {plain!r}, which cannot be saved: convert it to numbers or strings"
    )


def _plain_dtype(dtype: Any) -> str:
    if pd.api.types.is_bool_dtype(dtype):
        return "bool"
    if pd.api.types.is_unsigned_integer_dtype(dtype):
        return "uint64"
    return "int64" if pd.api.types.is_integer_dtype(dtype) else "float64"


def decode_column(spec: dict[str, Any], take: Take) -> Any:
    """Return the column that `encode_column` described."""
    match spec["kind"]:
        case "numbers":
            return take(spec["values"])
        case "category":
            labels = pd.Index(decode_column(spec["categories"], take))
            return pd.Categorical.from_codes(take(spec["codes"]), labels, ordered=spec["ordered"])
        case "nullable":
            values: Any = pd.array(take(spec["values"])).astype(_nullable(take(spec["values"]).dtype))
            values[take(spec["missing"])] = pd.NA
            return _as_dtype(values, spec["dtype"])
        case "labels":
            labels = np.empty(len(spec["labels"]) + 1, dtype=object)
            labels[:-1] = spec["labels"]
            return _as_dtype(labels[take(spec["codes"])], spec["dtype"])
    raise ValueError(f"a column of the unknown kind {spec['kind']!r}")


def _nullable(dtype: np.dtype) -> str:
    return {"b": "boolean", "u": "UInt64", "i": "Int64", "f": "Float64"}[dtype.kind]


def _as_dtype(values: Any, dtype: str) -> Any:
    """Give values the type they had, or leave them where this version of pandas has no such type."""
    if dtype == "object":
        return pd.Series(values, dtype=object)  # pandas 3 would guess text otherwise
    try:
        known = pd.api.types.pandas_dtype(dtype)
        # what was "str" is plain text in pandas 2, which would write missing values as text
        return values if known == np.dtype(str) else pd.array(values, dtype=known)
    except (TypeError, ValueError, ImportError):
        return values
