"""A fit <-> one file: what is stored, under which names, and what makes a file readable."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmlm.design import Design
from bayesmlm.draws import BlockDraws, Posterior, PredictorDraws
from bayesmlm.errors import FileError
from bayesmlm.rows import used_columns
from bayesmlm.storage.archive import Archive, Named, read_archive, write_archive
from bayesmlm.storage.codec import Encoder, as_laid_out, decode, memory_layout, safe
from bayesmlm.storage.columns import PLAIN as PLAIN_LABELS

PROGRAM, FORMAT = "bayesmlm", 1
PACKAGES = ("bambi", "pymc", "nutpie", "numpy", "pandas", "xarray")
PLAIN = str | bool | int | float | list | tuple  # what is kept of the words about the sampler's statistics
POSTERIOR, STATS, OBSERVED = "posterior", "sample_stats", "observed_data"
AUXILIARY = "auxiliary."


@dataclass(frozen=True)
class Saved:
    """Where a fit comes from that was read from a file.

    Attributes
    ----------
    path : Path
        The file.
    created : str
        When the fit was first saved, UTC.
    versions : mapping of str to str
        Of Python and the packages that drew it.
    all_columns : bool
        Whether it has all columns of the caller's data again, rather than those that its formula uses.
    """

    path: Path
    created: str
    versions: Mapping[str, str]
    all_columns: bool = False


# -- writing ---------------------------------------------------------------------------------------


def write_fit(fit: Any, path: Path, compress: bool = True) -> None:
    """Write a fit; see `bayesmlm.fits.saving.Saving.save`."""
    write_archive(path, fit_archive(fit), compress)


def fit_archive(fit: Any) -> Archive:
    """Return all that a fit is made of but what can be built again: the Bambi model, and the draws under its names.

    Raises
    ------
    FileError
        For a part that no file can hold.
    """
    encoder = Encoder()
    kept = [f.name for f in fields(fit) if f.name == "_reml" or not f.name.startswith("_")]
    parts = {name: getattr(fit, name) for name in kept if name != "posterior"}
    parts["design"] = storable(fit.design)
    encoded = {name: encoder.encode(part, name) for name, part in parts.items()}
    posterior, blocks = _posterior_arrays(fit.posterior)
    stats = _stats_arrays(fit.posterior.sample_stats)
    stats_attrs = {k: v for k, v in fit.posterior.sample_stats.attrs.items() if isinstance(v, PLAIN)}
    now, source = datetime.now(UTC).isoformat(timespec="seconds"), fit.saved
    attrs = {
        "program": PROGRAM,
        "format": FORMAT,
        "formula": fit.formula,
        "saved": now,
        "created": now if source is None else source.created,
        "versions": versions() if source is None else dict(source.versions),
        "fit": encoded,
        "blocks": encoder.encode(blocks, "blocks"),
        "sample_stats": encoder.encode(stats_attrs, "sample_stats"),
    }
    return Archive(attrs, {**posterior, **stats, **_observed(fit.design), **encoder.arrays})


def versions() -> dict[str, str]:
    """Versions of Python and of what a fit is made with."""
    found = {"python": platform.python_version()}
    for name in (PROGRAM, *PACKAGES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # not installed, but on the path
            found[name] = "unknown"
    return found


def storable(design: Design) -> Design:
    """Return a design with no more of the caller's data than it used: all rows, but only its columns.

    Data that have been changed since, so that the rows of the fit are no longer in them, are left out.
    """
    given = {key: _row_values(value) for key, value in design.given.items()}
    labels = _plain_labels(design.labels)
    others = {name: replace(own, data=None, labels=labels) for name, own in design.others.items()}
    design = replace(design, others=others)
    if design.data is None:
        return replace(design, given=given, labels=labels)
    names = used_columns(design.formula, design.data)
    names += [n for n in given.values() if isinstance(n, str) and n in design.data.columns and n not in names]
    frame: pd.DataFrame | None = design.data.loc[:, names].reset_index(drop=True)
    own = list(design.frame.columns)
    unchanged = (
        frame is not None
        and len(frame) == design.n_given
        and set(own) <= set(names)
        and frame[own].iloc[design.rows].reset_index(drop=True).equals(design.frame)
    )
    return replace(design, given=given, data=frame if unchanged else None, labels=labels)


def _plain_labels(labels: np.ndarray | None) -> np.ndarray | None:
    """Labels of rows as a file can hold them: those that are neither numbers, text nor plain dates become text."""
    if labels is None or labels.dtype != object or all(isinstance(v, PLAIN_LABELS) for v in labels):
        return labels
    return np.array([str(v) for v in labels], dtype=object)


def _row_values(given: Any) -> Any:
    if given is None or isinstance(given, str):
        return given
    return pd.to_numeric(pd.Series(np.asarray(given).ravel())).to_numpy(dtype=float, na_value=np.nan)


def _data_arrays(value: Any) -> Iterator[tuple[str, xr.DataArray]]:
    """The labelled arrays among the fields of a dataclass."""
    for field in fields(value):
        if isinstance(getattr(value, field.name), xr.DataArray):
            yield field.name, getattr(value, field.name)


def _posterior_arrays(posterior: Posterior) -> tuple[dict[str, Named], list[dict[str, Any]]]:
    """Arrays of the group ``posterior``, and for each block the fields that are no arrays."""
    arrays: dict[str, Named] = {}
    for name, array in _data_arrays(posterior):
        arrays |= _labelled(array, name, "")
    for name, array in posterior.auxiliary.items():
        arrays |= _labelled(array, f"{AUXILIARY}{name}", "")
    blocks = _block_arrays(posterior.blocks, arrays)
    for part, own in posterior.others.items():
        arrays |= _labelled(own.fixef, "fixef", f"[{part}]")
        blocks.append({"part": part, "blocks": _block_arrays(own.blocks, arrays)})
    return arrays, blocks


def _block_arrays(blocks: Sequence[BlockDraws], arrays: dict[str, Named]) -> list[dict[str, Any]]:
    """Add the arrays of blocks to `arrays`; return for each block the fields that are no arrays."""
    out = []
    for block in blocks:
        found = dict(_data_arrays(block))
        for name, array in found.items():
            arrays |= _labelled(array, name, f"[{block.label}]")
        out.append({f.name: getattr(block, f.name) for f in fields(block) if f.name not in found})
    return out


def _labelled(array: xr.DataArray, name: str, suffix: str) -> dict[str, Named]:
    """One array and its coordinates, as variables of the group ``posterior``; `suffix` tells blocks apart."""
    out: dict[str, Named] = {}
    dims = tuple(_dim(str(d), suffix) for d in array.dims)
    for dim, label in zip(array.dims, dims, strict=True):
        if dim in array.coords:
            out[f"{POSTERIOR}/{label}"] = Named(_texts(array[dim].values), (label,))
    layout = memory_layout(array.values)
    attrs = {} if layout == list(range(array.ndim)) else {"layout": layout}
    out[f"{POSTERIOR}/{safe(name + suffix)}"] = Named(array.values, dims, attrs)
    return out


def _dim(dim: str, suffix: str) -> str:
    return dim if dim in {"chain", "draw"} else safe(dim + suffix)


def _texts(values: np.ndarray) -> np.ndarray:
    """Labels as text of fixed width; numbers stay numbers."""
    if values.dtype.kind in "biuf":
        return values
    texts = np.asarray(values.astype(object).tolist(), dtype=str)
    if texts.astype(object).tolist() != values.tolist():
        raise FileError("a name ends in a character with code 0, or is no text: rename the column or level")
    return texts


def _stats_arrays(stats: xr.Dataset) -> dict[str, Named]:
    variables = [*stats.coords.items(), *stats.data_vars.items()]
    return {
        f"{STATS}/{safe(str(k))}": _stat(v.values, tuple(safe(str(d)) for d in v.dims)) for k, v in variables
    }


def _stat(values: np.ndarray, dims: tuple[str, ...]) -> Named:
    """Numbers, or what the sampler said of a draw, if anything: then codes of words, -1 for nothing."""
    if values.dtype.kind in "biuf":
        return Named(values, dims)
    codes, words = pd.factorize(values.ravel(), use_na_sentinel=True)
    return Named(codes.reshape(values.shape), dims, {"words": [str(w) for w in words]})


def _observed(design: Design) -> dict[str, Named]:
    return {f"{OBSERVED}/{safe(design.response)}": Named(design.y, ("row",))}


# -- reading ---------------------------------------------------------------------------------------


def read_fit[T](path: Path, kind: Callable[..., T]) -> T:
    """Read a fit; `kind` is its class.

    Raises
    ------
    FileError
        If the file is not one that this version can read, or is damaged.
    """
    archive = read_archive(path)
    attrs = archive.attrs
    made = attrs.get("versions", {}).get(PROGRAM, "unknown")
    if attrs.get("program") != PROGRAM or not isinstance(attrs.get("format"), int):
        raise FileError(f"{path} is not a fit saved by bayesmlm")
    if attrs["format"] > FORMAT:
        raise FileError(
            f"{path} was written by bayesmlm {made} in format {attrs['format']}; this version reads up to format "
            f"{FORMAT}: install a newer bayesmlm"
        )
    try:
        parts = {name: decode(value, archive.arrays) for name, value in attrs["fit"].items()}
        posterior = _posterior(archive, decode(attrs["blocks"], archive.arrays))
        source = Saved(path, attrs["created"], attrs["versions"])
        return kind(**parts, posterior=posterior, _saved=source)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as problem:
        raise FileError(
            f"{path} was written by bayesmlm {made}, and this version cannot read it ({problem!r}): use that version, "
            "or fit the model again"
        ) from problem


def _posterior(archive: Archive, blocks: list[dict[str, Any]]) -> Posterior:
    rest = {k.split("/", 1)[1]: v for k, v in archive.arrays.items() if k.startswith(f"{POSTERIOR}/")}
    made = {"blocks", "sample_stats", "others"}
    whole = {f.name: None for f in fields(Posterior) if f.name not in made}
    found: dict[str, Any] = {name: _read_labelled(rest, name, "") for name in whole if name in rest}
    auxiliary = [name.removeprefix(safe(AUXILIARY)) for name in rest if name.startswith(safe(AUXILIARY))]
    found["auxiliary"] = {name: _read_labelled(rest, f"{AUXILIARY}{name}", "") for name in auxiliary}
    read = tuple(_read_block(rest, block) for block in blocks if "part" not in block)
    others = {
        part["part"]: PredictorDraws(
            _read_labelled(rest, "fixef", f"[{part['part']}]"),
            tuple(_read_block(rest, block) for block in part["blocks"]),
        )
        for part in blocks
        if "part" in part
    }
    return Posterior(**{**whole, **found}, blocks=read, sample_stats=_stats(archive), others=others)


def _read_block(arrays: Mapping[str, Named], block: Mapping[str, Any]) -> BlockDraws:
    suffix = f"[{block['label']}]"
    names = [f.name for f in fields(BlockDraws) if safe(f.name + suffix) in arrays]
    own: dict[str, Any] = {name: _read_labelled(arrays, name, suffix) for name in names}
    return BlockDraws(**block, **own)


def _read_labelled(arrays: Mapping[str, Named], name: str, suffix: str) -> xr.DataArray:
    stored = arrays[safe(name + suffix)]
    values = as_laid_out(stored.values, stored.attrs.get("layout"))
    ends = safe(suffix)
    dims = [d.removesuffix(ends) if ends else d for d in stored.dims]
    coords = {d: _labels(arrays[key]) for d, key in zip(dims, stored.dims, strict=True) if key in arrays}
    return xr.DataArray(values, dims=dims, coords=coords)


def _labels(stored: Named) -> np.ndarray:
    return stored.values.astype(object) if stored.values.dtype.kind == "U" else stored.values


def _stats(archive: Archive) -> xr.Dataset:
    found = {k.split("/", 1)[1]: v for k, v in archive.arrays.items() if k.startswith(f"{STATS}/")}
    whole = {k.replace("%2F", "/").replace("%25", "%"): (v.dims, _said(v)) for k, v in found.items()}
    coords = {k: v for k, v in whole.items() if v[0] == (k,)}
    variables = {k: v for k, v in whole.items() if k not in coords}
    return xr.Dataset(variables, coords=coords, attrs=decode(archive.attrs["sample_stats"], archive.arrays))


def _said(stored: Named) -> np.ndarray:
    if "words" not in stored.attrs:
        return stored.values
    return np.array([*stored.attrs["words"], None], dtype=object)[stored.values]
