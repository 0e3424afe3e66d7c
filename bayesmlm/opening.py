"""`load()`: a fit from the file that keeps it."""

from __future__ import annotations

from pathlib import Path

from bayesmlm.result import Fit
from bayesmlm.storage.fitfile import read_fit
from bayesmlm.storage.paths import existing_path


def load(path: str | Path) -> Fit:
    """Read a fit that `Fit.save` wrote.

    Everything works on it as on the fit that was saved, without sampling again. Of the data it has the columns that
    the formula used; `Fit.update` to other columns needs the data once more.

    Parameters
    ----------
    path
        Name of the file; ``.zarr.zip`` may be left out.

    Returns
    -------
    Fit
        ``fit.saved`` says when it was made, and with which versions.

    Raises
    ------
    FileError
        If there is no such file, or it is not a saved fit, is damaged, or is of a newer format.
    """
    return read_fit(existing_path(path), Fit)
