"""Keeping a fit in a file."""

from __future__ import annotations

from pathlib import Path

from bayesmlm.errors import FileError
from bayesmlm.fits.base import Sampled
from bayesmlm.storage.fitfile import Saved, write_fit
from bayesmlm.storage.paths import file_path


class Saving(Sampled):
    """A fit that can be kept."""

    @property
    def saved(self) -> Saved | None:
        """The file that the fit was read from, when it was made and with which versions; None for a fresh fit."""
        return self._saved

    def save(self, path: str | Path, *, overwrite: bool = True, compress: bool = True) -> Path:
        """Save the fit in one file, from which `bayesmlm.load` gives it back: draws to the last bit.

        The file holds the draws, the design, the columns of the data that the formula uses (all rows), priors,
        settings and the reference fit; nothing in it is ever executed. It is a Zarr store in a zip file, which
        xarray and ArviZ open too; draws there have R's names, and ``fit.draws.to_netcdf`` writes them with Bambi's.
        A file that was there before is replaced only when the new one is whole.

        Parameters
        ----------
        path
            Name of the file; ``.zarr.zip`` is added to a name without an extension.
        overwrite
            Whether a file of that name may be replaced.
        compress
            Whether to compress: draws shrink by a tenth only, data and design much more.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        FileError
            If it cannot be written, is there already and `overwrite` is False, has a name that promises another
            format, or if a prior has a function of its own, which no file can hold.
        """
        chosen = file_path(path)
        if not overwrite and chosen.exists():
            raise FileError(f"{chosen} exists: take another name, or overwrite=True")
        write_fit(self, chosen, compress)
        return chosen
