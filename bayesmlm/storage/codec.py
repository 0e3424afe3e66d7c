"""Objects of a fit <-> JSON and arrays. Classes are looked up by name in a list of our own: nothing is imported or run.

A plain value stands for itself. Any other is ``{"is": kind, ...}``; `KINDS` has a row for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm import blocks, covariance, design, source, transforms
from bayesmlm.distributional import formula
from bayesmlm.errors import FileError
from bayesmlm.families import family
from bayesmlm.formulas import Bar, Formula, parse_formula
from bayesmlm.priors import build, families, joint
from bayesmlm.reference import estimate
from bayesmlm.sampling import settings
from bayesmlm.storage.archive import Named
from bayesmlm.storage.columns import decode_column, encode_column

CLASSES = {
    name: value
    for module in (
        *(blocks, build, covariance, design, estimate, families, family, joint, settings, source, transforms),
    )
    for name, value in vars(module).items()
    if is_dataclass(value) and isinstance(value, type) and value.__module__ == module.__name__
}
GROUP = "model"


class Encoder:
    """Turns objects into JSON; the arrays in them are collected in `arrays`, each once."""

    def __init__(self) -> None:
        self.arrays: dict[str, Named] = {}
        self._known: dict[bytes, str] = {}

    def encode(self, value: Any, path: str) -> Any:
        """Return JSON for a value.

        Parameters
        ----------
        value
            Plain values, arrays, frames, formulas, and the dataclasses of `CLASSES`, nested in any way.
        path
            Where the value is, such as ``"design.X"``: names its arrays, and says in errors what cannot be saved.

        Raises
        ------
        FileError
            For anything else.
        """
        match value:
            case np.generic():
                return {"is": "number", "dtype": value.dtype.str, "value": self.encode(value.item(), path)}
            case None | bool() | int():
                return value
            case str():
                return str(value)
            case float():
                return value if math.isfinite(value) else {"is": "float", "value": repr(value)}
            case list():
                return [self.encode(v, f"{path}.{i}") for i, v in enumerate(value)]
            case tuple():
                return {"is": "tuple", "value": [self.encode(v, f"{path}.{i}") for i, v in enumerate(value)]}
            case Mapping():
                pairs = [[self.encode(k, path), self.encode(v, f"{path}.{k}")] for k, v in value.items()]
                return {"is": "dict", "value": pairs}
            case np.ndarray():
                return self._array(value, path)
            case pd.DataFrame():
                return self._frame(value, path)
            case pd.Series() | pd.Index():
                return self.encode(value.to_numpy().tolist(), path)
            case Formula():
                if value.others:
                    texts = [[name, _formula_text(other)] for name, other in value.others]
                    main = _formula_text(replace(value, others=()))
                    return {"is": "formulas", "value": main, "others": texts}
                return {"is": "formula", "value": _formula_text(value)}
            case Bar():
                return {"is": "bar", "value": str(value), "place": [value.start, value.end]}
        if type(value).__name__ in CLASSES and is_dataclass(value):
            inside = {
                f.name: self.encode(getattr(value, f.name), f"{path}.{f.name}")
                for f in fields(value)
                if f.init
            }
            return {"is": "object", "class": type(value).__name__, "value": inside}
        return self._foreign(value, path)

    def put(self, path: str, values: np.ndarray) -> str:
        """Keep an array, and return the name under which it is kept."""
        content = f"{values.dtype.str}{values.shape}".encode() + np.ascontiguousarray(values).tobytes()
        key = blake2b(content, digest_size=20).digest()
        if key not in self._known:
            name = f"{GROUP}/{safe(path)}"
            dims = tuple(f"{safe(path)}.dim{i}" for i in range(values.ndim))
            self.arrays[name] = Named(values, dims)
            self._known[key] = name
        return self._known[key]

    def _array(self, value: np.ndarray, path: str) -> dict[str, Any]:
        if value.dtype.kind in "OUT":
            return {"is": "objects", "value": self.encode(value.tolist(), path)}
        if value.dtype.kind in "mM":
            return {"is": "times", "dtype": value.dtype.str, "value": self.put(path, value.view(np.int64))}
        found = {"is": "array", "value": self.put(path, value)}
        # The order in memory too: sums over another order would differ in the last digit.
        layout = memory_layout(value)
        return found if layout == list(range(value.ndim)) else {**found, "layout": layout}

    def _frame(self, frame: pd.DataFrame, path: str) -> dict[str, Any]:
        columns = []
        for name in frame.columns:
            where = f"{path}.{name}"

            def put(part: str, values: np.ndarray, where: str = where) -> str:
                return self.put(f"{where}.{part}", values)

            columns.append([name, encode_column(frame[name], put)])
        return {"is": "frame", "rows": len(frame), "columns": columns}

    def _foreign(self, value: Any, path: str) -> dict[str, Any]:
        """A bambi.Prior: a name and arguments."""
        if hasattr(value, "args") and hasattr(value, "auto_scale"):
            if getattr(value, "dist", None) is not None:
                raise FileError(
                    f"{path} is a bambi.Prior with a function of its own (dist=), which no file can hold: name one of "
                    "PyMC's distributions instead"
                )
            kept = {k: v for k, v in vars(value).items() if k not in {"name", "args", "dist"}}
            inside = {"name": value.name, "options": kept, "args": dict(value.args)}
            return {"is": "bambi.Prior", "value": self.encode(inside, path)}
        raise FileError(f"{path} is a {type(value).__name__}, which cannot be saved: {value!r}"[:500])


def memory_layout(values: np.ndarray) -> list[int]:
    """Axes from the one whose neighbours are farthest apart in memory to the nearest."""
    if values.flags.c_contiguous:
        return list(range(values.ndim))
    return sorted(range(values.ndim), key=lambda i: -abs(values.strides[i]))


def as_laid_out(values: np.ndarray, layout: list[int] | None) -> np.ndarray:
    """Return an array whose axes lie in memory in the order `layout`."""
    if layout is None:
        return values
    return np.ascontiguousarray(values.transpose(layout)).transpose(np.argsort(layout))


def safe(name: str) -> str:
    """Return a name without a slash, by which Zarr would find a group; no two names become the same."""
    return name.replace("%", "%25").replace("/", "%2F")


def _formula_text(formula: Formula) -> str:
    for text in (formula.text, str(formula)):
        if text and parse_formula(text) == formula:
            return text
    raise FileError(f"the formula {formula} cannot be saved: it is not what its text says")


def decode(value: Any, arrays: Mapping[str, Named]) -> Any:
    """Return the object for which JSON stands.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is not what an `Encoder` made.
    """
    if isinstance(value, list):
        return [decode(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    inside = value.get("value")
    match value["is"]:
        case "float":
            return float(str(inside))
        case "number":
            return np.dtype(value["dtype"]).type(decode(inside, arrays))
        case "tuple":
            return tuple(decode(inside, arrays))
        case "dict":
            return {decode(k, arrays): decode(v, arrays) for k, v in inside or []}
        case "objects":
            return np.array(decode(inside, arrays), dtype=object)
        case "array":
            return as_laid_out(arrays[str(inside)].values, value.get("layout"))
        case "times":
            return arrays[str(inside)].values.view(value["dtype"])
        case "frame":
            return _frame(value, arrays)
        case "formula":
            return parse_formula(str(inside))
        case "formulas":
            return formula(str(inside), **dict(value["others"]))
        case "bar":
            start, end = value["place"]
            return replace(parse_formula(f"~ {inside}").bars[0], start=start, end=end)
        case "object":
            return CLASSES[value["class"]](**{k: decode(v, arrays) for k, v in (inside or {}).items()})
        case "bambi.Prior":
            from bayesmlm.model import prior_of_bambi

            return prior_of_bambi(**decode(inside, arrays))
    raise ValueError(f"unknown kind {value['is']!r}")


def _frame(spec: Mapping[str, Any], arrays: Mapping[str, Named]) -> pd.DataFrame:
    columns = {n: decode_column(column, lambda key: arrays[key].values) for n, column in spec["columns"]}
    return pd.DataFrame(columns, index=pd.RangeIndex(spec["rows"]))
