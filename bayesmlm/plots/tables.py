"""What the plots ask of a table before they draw it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from bayesmlm.errors import DataError, did_you_mean


def check_columns(table: pd.DataFrame, needed: Sequence[str], what: str = "the table") -> None:
    """Raise `DataError` unless the table has rows and the needed columns."""
    missing = [c for c in needed if c not in table.columns]
    if missing:
        raise DataError(f"{what} lacks {', '.join(missing)}; it needs {', '.join(needed)}")
    if table.empty:
        raise DataError(f"{what} has no rows: there is nothing to draw")


def check_unique(table: pd.DataFrame, key: Sequence[str]) -> None:
    """Raise `DataError` if two rows share their key."""
    twice = table.duplicated(list(key))
    if twice.any():
        where = ", ".join(f"{c} {table.loc[twice, c].iloc[0]!r}" for c in key)
        raise DataError(f"the table has more than one row for {where}; give the rows of one fit")


def distinct(values: pd.Series) -> list[str]:
    """Return the distinct values as text, in order of appearance."""
    return [str(v) for v in values.drop_duplicates()]


def choose(wanted: Iterable[object], known: Sequence[str], what: str) -> list[str]:
    """Return the wanted names as text, or raise `DataError` for one that is not known."""
    names = [str(w) for w in wanted]
    for name in names:
        if name not in known:
            few = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
            raise DataError(f"no {what} {name!r}; there are {few}.{did_you_mean(name, known)}")
    return names


def rows_of(table: pd.DataFrame, column: str | None) -> pd.DataFrame:
    """Return the rows of one term, or all rows if `column` is None."""
    if column is None:
        return table
    [term] = choose([column], distinct(table["term"]), "term")
    return table[table["term"].astype(str) == term]
