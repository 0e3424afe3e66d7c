"""Named arrays in one file: Zarr (version 2) in a zip file whose last bytes are the SHA-256 of all others.

Zarr and xarray open such a file. Here it is written and read without them: only plain numbers and text of fixed
width, stored as they are or with zlib, are accepted, so that a file cannot name a decoder that runs code.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bayesmlm.errors import FileError

MARK = "bayesmlm-fit.txt"
MARK_TEXT = "A fit saved by bayesmlm: Zarr (version 2) in a zip file. bayesmlm.load opens it.\n"
SEAL = b"bayesmlm sha256 "
SEAL_SIZE = len(SEAL) + 64
CHUNK = 2**23  # bytes
BLOCK = 2**20
KINDS = "biufU"
HEAD = {".zgroup": '{"zarr_format": 2}'}


@dataclass(frozen=True)
class Named:
    """An array with the names of its dimensions, and words about it."""

    values: np.ndarray
    dims: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Archive:
    """What a file holds.

    Attributes
    ----------
    attrs : mapping
        JSON.
    arrays : mapping of str to Named
        By ``"group/name"``.
    """

    attrs: Mapping[str, Any]
    arrays: Mapping[str, Named]


# -- writing ---------------------------------------------------------------------------------------


def write_archive(path: Path, archive: Archive, compress: bool = True) -> None:
    """Write a file next to where it is to be, and put it in its place when it is whole.

    Whatever goes wrong (a full disk, an interrupt), a file that was there before is still there, unchanged.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    draft = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb+") as file:
            _fill(file, archive, compress)
            _seal(file)
            os.fsync(file.fileno())
        if target.exists():
            with suppress(OSError):
                shutil.copymode(target, draft)
        os.replace(draft, target)
    except FileError:
        raise
    except OSError as problem:
        raise FileError(f"{path} could not be written: {problem.strerror or problem}") from problem
    finally:
        with suppress(OSError):
            draft.unlink()


def _fill(file: BinaryIO, archive: Archive, compress: bool) -> None:
    heads: dict[str, str] = {}
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as members,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
    ):
        _add(members, MARK, MARK_TEXT)
        heads |= HEAD | {".zattrs": _json(archive.attrs)}
        for group in dict.fromkeys(name.split("/")[0] for name in archive.arrays):
            heads |= {f"{group}/{key}": text for key, text in HEAD.items()}
        for name, array in archive.arrays.items():
            values = np.asarray(array.values)
            shape = _chunk_shape(values)
            heads[f"{name}/.zarray"] = _json(_array_head(values, shape, compress))
            heads[f"{name}/.zattrs"] = _json({**array.attrs, "_ARRAY_DIMENSIONS": list(array.dims)})
            # Some chunks at a time: compressed side by side, but never all of them in memory.
            for some in itertools.batched(_places(values.shape, shape), 8):
                pieces = pool.map(lambda at, v=values, s=shape: _pack(v, at, s, compress), some)
                for at, piece in zip(some, pieces, strict=True):
                    _add(members, f"{name}/{_key(at)}", piece)
        for key, text in heads.items():
            _add(members, key, text)
        whole = {"zarr_consolidated_format": 1, "metadata": {k: json.loads(t) for k, t in heads.items()}}
        _add(members, ".zmetadata", _json(whole))
        members.comment = SEAL + b"0" * 64


def _add(members: zipfile.ZipFile, name: str, content: str | bytes) -> None:
    member = zipfile.ZipInfo(name)  # without the time: the same fit gives the same bytes
    if len(content) > 1000 and isinstance(content, str):
        member.compress_type = zipfile.ZIP_DEFLATED
    members.writestr(member, content)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _array_head(values: np.ndarray, chunk: tuple[int, ...], compress: bool) -> dict[str, Any]:
    if values.dtype.kind not in KINDS:
        raise FileError(f"an array of {values.dtype} cannot be saved")
    size = values.dtype.itemsize
    return {
        "zarr_format": 2,
        "shape": list(values.shape),
        "chunks": list(chunk),
        "dtype": _little(values.dtype).str,
        "compressor": {"id": "zlib", "level": 1} if compress else None,
        "filters": [{"id": "shuffle", "elementsize": size}] if compress and size > 1 else None,
        "fill_value": None,
        "order": "C",
    }


def _little(dtype: np.dtype) -> np.dtype:
    return dtype.newbyteorder("<")


def _chunk_shape(values: np.ndarray) -> tuple[int, ...]:
    """Cut the first axes until a chunk has about `CHUNK` bytes."""
    shape = [max(1, n) for n in values.shape]
    for axis in range(len(shape)):
        rest = math.prod(shape[axis + 1 :]) * values.dtype.itemsize
        shape[axis] = max(1, min(shape[axis], CHUNK // max(1, rest)))
        if rest <= CHUNK:
            break
    return tuple(shape)


def _places(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(-(-n // c)) for n, c in zip(shape, chunk, strict=True)))


def _key(at: tuple[int, ...]) -> str:
    return ".".join(map(str, at)) or "0"


def _region(at: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(i * c, (i + 1) * c) for i, c in zip(at, chunk, strict=True))


def _pack(values: np.ndarray, at: tuple[int, ...], chunk: tuple[int, ...], compress: bool) -> bytes:
    part = values[_region(at, chunk)]
    full = np.zeros(chunk, dtype=_little(values.dtype))  # chunks at the end are filled up, as Zarr wants them
    full[tuple(slice(n) for n in part.shape)] = part
    raw = full.tobytes()
    if not compress:
        return raw
    size = values.dtype.itemsize
    if size > 1:
        # All first bytes, then all second bytes, ...: exponents are alike, mantissas are not.
        raw = np.frombuffer(raw, np.uint8).reshape(-1, size).T.tobytes()
    return zlib.compress(raw, 1)


def _seal(file: BinaryIO) -> None:
    digest = _digest(file)
    file.seek(-64, os.SEEK_END)
    file.write(digest.encode())
    file.flush()


def _digest(file: BinaryIO) -> str:
    """SHA-256 of a file without its last 64 bytes."""
    left = file.seek(0, os.SEEK_END) - 64
    file.seek(0)
    found = hashlib.sha256()
    while left > 0:
        block = file.read(min(BLOCK, left))
        if not block:
            break
        found.update(block)
        left -= len(block)
    return found.hexdigest()


# -- reading ---------------------------------------------------------------------------------------


def read_archive(path: Path) -> Archive:
    """Read a file, once all of it is known to be as it was written.

    Raises
    ------
    FileError
        If it is not there, is something else, or is damaged.
    """
    try:
        with open(path, "rb") as file:
            check_seal(file, path)
            with zipfile.ZipFile(file) as members:
                return _contents(members)
    except FileError:
        raise
    except OSError as problem:
        raise FileError(f"{path} could not be read: {problem.strerror or problem}") from problem
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error, RuntimeError) as problem:
        raise FileError(f"{path} has contents that no version of bayesmlm wrote: {problem}") from problem


def check_seal(file: BinaryIO, path: Path) -> None:
    """Raise FileError unless a file is one of ours and whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(30 + len(MARK))
    file.seek(max(0, size - SEAL_SIZE))
    seal = file.read()
    ours = start[30:] == MARK.encode()
    if not seal.startswith(SEAL) and not ours:
        raise FileError(f"{path} is not a fit saved by bayesmlm{_what_else(start)}")
    if not seal.startswith(SEAL) or seal[len(SEAL) :] != _digest(file).encode():
        raise FileError(
            f"{path} is damaged: its contents are not those that were saved. Copy it again from where it came from, "
            "or fit the model again",
            damaged=True,
        )


def _what_else(start: bytes) -> str:
    known = {
        b"\x89HDF": "; it looks like NetCDF or HDF5: xarray opens it",
        b"CDF": "; it looks like NetCDF: xarray opens it",
        b"\x80": "; it looks like a pickle: pickle.load opens it, if you trust where it comes from",
        b"\x1f\x8b": "; it is compressed by gzip",
        b"PK": "; it is some other zip file",
    }
    return next((words for first, words in known.items() if start.startswith(first)), "")


def _contents(members: zipfile.ZipFile) -> Archive:
    heads = json.loads(members.read(".zmetadata"))["metadata"]
    names = [key.removesuffix("/.zarray") for key in heads if key.endswith("/.zarray")]
    return Archive(heads[".zattrs"], {name: _read_array(members, name, heads) for name in names})


def _read_array(members: zipfile.ZipFile, name: str, heads: Mapping[str, Any]) -> Named:
    head, attrs = heads[f"{name}/.zarray"], dict(heads[f"{name}/.zattrs"])
    dtype, shape, chunk = np.dtype(head["dtype"]), tuple(head["shape"]), tuple(head["chunks"])
    compressor = (head["compressor"] or {}).get("id")
    if dtype.kind not in KINDS or compressor not in {None, "zlib"} or head["order"] != "C":
        raise ValueError(f"{name} is stored in a way that is not ours")
    values = np.empty(shape, dtype=dtype.newbyteorder("="))
    for at in _places(shape, chunk):
        raw = members.read(f"{name}/{_key(at)}")
        if compressor:
            raw = zlib.decompress(raw)
        for step in head["filters"] or []:
            if step != {"id": "shuffle", "elementsize": dtype.itemsize}:
                raise ValueError(f"{name} is stored in a way that is not ours")
            raw = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, -1).T.tobytes()
        where = _region(at, chunk)
        inside = tuple(slice(n) for n in values[where].shape)  # the last chunks reach beyond the array
        values[where] = np.frombuffer(raw, dtype).reshape(chunk)[inside]
    return Named(values, tuple(attrs.pop("_ARRAY_DIMENSIONS")), attrs)
