"""Data sets of the practicals, each with its source, its licence and a note on every column."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING

from bayesmlm.datasets.classics import CLASSICS
from bayesmlm.datasets.education import EDUCATION
from bayesmlm.datasets.entry import Dataset, Factor
from bayesmlm.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dataset", "describe_dataset", "list_datasets", "load_dataset"]

_CATALOGUE: dict[str, Dataset] = {
    entry.name: entry for entry in sorted((*CLASSICS, *EDUCATION), key=lambda entry: entry.name)
}


def load_dataset(name: str) -> pd.DataFrame:
    """Return one of the package's data sets as a new data frame.

    Parameters
    ----------
    name
        One of the names in `list_datasets`, in upper or lower case.

    Returns
    -------
    pandas.DataFrame
        All rows, missing values included. Columns that name groups are categorical, with string labels in the
        order that `describe_dataset` tells; the other columns are as in the file.

    Raises
    ------
    DataError
        If there is no data set of that name.

    Examples
    --------
    >>> load_dataset("sleepstudy").shape
    (180, 3)
    """
    entry = describe_dataset(name)
    data = _read(entry)
    data = data.assign(
        **{column: _categorical(data[column], how) for column, how in entry.categories.items()}
    )
    derive = _DERIVED.get(entry.name)
    return derive(data) if derive else data


def describe_dataset(name: str) -> Dataset:
    """Return what is known about a data set: print it to read it.

    Parameters
    ----------
    name
        One of the names in `list_datasets`, in upper or lower case.

    Returns
    -------
    Dataset
        Columns with meaning and unit, source, origin, licence, an example formula and notes.

    Raises
    ------
    DataError
        If there is no data set of that name.
    """
    entry = _CATALOGUE.get(str(name).lower())
    if entry is None:
        hint = did_you_mean(str(name).lower(), _CATALOGUE)
        raise DataError(f"unknown data set {name!r}; there are {', '.join(_CATALOGUE)}.{hint}")
    return entry


def list_datasets() -> pd.DataFrame:
    """Return a table of the data sets, one row each.

    Returns
    -------
    pandas.DataFrame
        Columns ``name``, ``rows``, ``columns`` (their number), ``title``, ``source``, ``licence`` and
        ``formula``, an example in lme4's language.
    """
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "name": entry.name,
                "rows": entry.rows,
                "columns": len(entry.columns),
                "title": entry.title,
                "source": entry.source,
                "licence": entry.licence,
                "formula": entry.formula,
            }
            for entry in _CATALOGUE.values()
        ]
    )


def _read(entry: Dataset) -> pd.DataFrame:
    import pandas as pd

    with files(__name__).joinpath("data", f"{entry.name}.csv.gz").open("rb") as stream:
        return pd.read_csv(
            stream,
            compression="gzip",
            # pandas' own list of missing values has "None" in it, which is a religious character of schools
            keep_default_na=False,
            na_values=["", "NA"],
            dtype=dict.fromkeys(entry.categories, str),
        )


def _categorical(labels: pd.Series, how: Factor) -> pd.Categorical:
    import pandas as pd

    return pd.Categorical(
        labels, categories=sorted(labels.dropna().unique(), key=how.key), ordered=how.ordered
    )


def _add_female(data: pd.DataFrame) -> pd.DataFrame:
    return data.assign(female=data["gender"].cat.reorder_categories(["M", "F"]))


def _add_cses(data: pd.DataFrame) -> pd.DataFrame:
    return data.assign(cses=data["SES"] - data["MEANSES"])


def _add_schoolfsm(data: pd.DataFrame) -> pd.DataFrame:
    return data.assign(schoolfsm=100 * data.groupby("schoolID")["fsm"].transform("mean"))


_DERIVED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "gcsemv": _add_female,
    "hsb": _add_cses,
    "lsype_sim": _add_schoolfsm,
}
