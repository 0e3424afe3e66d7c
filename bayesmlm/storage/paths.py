"""Names of files."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from bayesmlm.errors import FileError, MissingFileError

SUFFIX = ".zarr.zip"
# Names that promise another format: whoever opens such a file by its name would be led astray.
OTHERS = {".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5", ".pkl", ".pickle", ".joblib", ".rds", ".rda"}
OTHERS |= {".rdata", ".csv", ".tsv", ".txt", ".parquet", ".feather", ".json", ".xlsx", ".dta", ".sav", ".py"}


def file_path(path: Any) -> Path:
    """Return the path of a file to write: a name without an extension gets ``.zarr.zip``.

    Raises
    ------
    FileError
        If the name promises another format, or cannot be a file's.
    """
    if not isinstance(path, str | Path) or not str(path):
        raise FileError(f"path = {path!r}: give the name of a file, such as 'm3{SUFFIX}'")
    chosen = Path(path).expanduser()
    if chosen.suffix.lower() in OTHERS:
        raise FileError(
            f"{chosen} promises another format: a saved fit is a Zarr store in a zip file; "
            f"write '{chosen.with_suffix(SUFFIX).name}'"
        )
    if chosen.is_dir():
        raise FileError(
            f"{chosen} is a directory: give the name of a file, such as '{chosen / 'm3'}{SUFFIX}'"
        )
    chosen = chosen if chosen.suffix else chosen.with_name(chosen.name + SUFFIX)
    if not chosen.parent.is_dir():
        raise FileError(f"there is no directory {chosen.parent}: make it first")
    return chosen


def existing_path(path: Any) -> Path:
    """Return the path of a file to read, ``.zarr.zip`` added where only that exists.

    Raises
    ------
    FileError
        If there is no such file.
    """
    if not isinstance(path, str | Path) or not str(path):
        raise FileError(f"path = {path!r}: give the name of a file, such as 'm3{SUFFIX}'")
    given = Path(path).expanduser()
    for chosen in (given, given.with_name(given.name + SUFFIX)):
        if chosen.is_dir():
            raise FileError(f"{chosen} is a directory, not a file that fit.save() wrote")
        if chosen.exists():
            return chosen
    near: list[str] = []
    if given.parent.is_dir():
        names = [p.name for p in given.parent.iterdir() if p.name.endswith(".zip")]
        near = difflib.get_close_matches(given.name, names, n=1, cutoff=0.5)
    hint = f" Did you mean '{given.with_name(near[0])}'?" if near else ""
    raise MissingFileError(f"there is no file {given}.{hint}")
