"""How the rows fall into groups, and how grouping factors lie to each other in the data, whatever the formula says."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.explaining.pieces import evaluator_of
from bayesmlm.formulas import Bar

SAME, NESTED, COMPLETE, PARTLY = "same", "nested", "crossed", "partly crossed"
PREFIX_SHARE = 0.8  # of the groups whose labels are 1, 2, ..., k without a gap
REUSED = 2.0  # groups that a label occurs in, on average
FEWEST_GROUPS = 3


@dataclass(frozen=True, eq=False)
class Grouping:
    """A grouping factor: its name, the parts that make it, its levels, and the level of each row."""

    name: str
    parts: tuple[str, ...]
    levels: tuple[str, ...]
    index: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Rows per level, shape (J,)."""
        return np.bincount(self.index, minlength=len(self.levels))


def groupings(design: Design) -> tuple[Grouping, ...]:
    """Return the grouping factors of the bars, each once, in the blocks' order."""
    found: dict[str, Grouping] = {}
    for b in design.blocks:
        found.setdefault(b.group, Grouping(b.group, parts_of(b.bar), b.levels, b.index))
    return tuple(found.values())


def parts_of(bar: Bar) -> tuple[str, ...]:
    """Texts of the expressions that are crossed into a grouping factor."""
    return tuple(map(str, bar.group))


def single_factors(design: Design) -> tuple[Grouping, ...]:
    """Return the factors that grouping factors are crossed from, ``cask`` of ``cask:batch``, each once."""
    evaluator = evaluator_of(design)
    nodes = {str(node): node for b in design.blocks for node in b.bar.group}
    found = []
    for text, node in nodes.items():
        factor = evaluator.take_factor(node)
        found.append(Grouping(text, (text,), factor.levels, factor.codes))
    return tuple(found)


def group_frame(design: Design) -> pd.DataFrame:
    """Return one row per grouping factor: levels, and min, median, mean and max rows per level, singletons."""
    rows = []
    for g in groupings(design):
        n = g.sizes
        rows.append(
            {
                "group": g.name,
                "levels": len(g.levels),
                "min": int(n.min()),
                "median": float(np.median(n)),
                "mean": float(n.mean()),
                "max": int(n.max()),
                "singletons": int((n == 1).sum()),
            }
        )
    columns = ["group", "levels", "min", "median", "mean", "max", "singletons"]
    return pd.DataFrame(rows, columns=columns).set_index("group")


@dataclass(frozen=True, eq=False)
class Cells:
    """The combinations of two factors that occur: `pairs` (m, 2) of level positions, and the `rows` in each."""

    first: Grouping
    second: Grouping
    pairs: np.ndarray
    rows: np.ndarray

    @property
    def homes(self) -> np.ndarray:
        """For each level of the first factor the number of levels of the second it occurs in."""
        return np.bincount(self.pairs[:, 0], minlength=len(self.first.levels))

    @property
    def guests(self) -> np.ndarray:
        """For each level of the second factor the number of levels of the first that occur in it."""
        return np.bincount(self.pairs[:, 1], minlength=len(self.second.levels))


def cells(first: Grouping, second: Grouping) -> Cells:
    """Cross two factors as the data have them."""
    code = first.index.astype(np.int64) * len(second.levels) + second.index
    present, rows = np.unique(code, return_counts=True)
    return Cells(first, second, np.column_stack(np.divmod(present, len(second.levels))), rows)


def relation(c: Cells) -> str:
    """Say how two factors lie to each other: the same, first nested in second, crossed completely, or partly."""
    inside = bool((c.homes == 1).all())
    if inside and (c.guests == 1).all():
        return SAME
    if inside:
        return NESTED
    full = len(c.pairs) == len(c.first.levels) * len(c.second.levels)
    return COMPLETE if full else PARTLY


def pair_frame(design: Design) -> pd.DataFrame:
    """Return one row per pair of grouping factors, the one with more levels first.

    Columns first, second, relation (``same``, ``nested``: first in second, ``crossed``, ``partly crossed``); cells that
    occur, of those possible; rows per cell; in_several: levels of the first that occur in two or more of the second;
    by_formula: whether the first is crossed from the second, and so nested in it by construction.
    """
    rows = []
    for a, b in itertools.combinations(groupings(design), 2):
        first, second = (a, b) if len(a.levels) >= len(b.levels) else (b, a)
        c = cells(first, second)
        rows.append(
            {
                "first": first.name,
                "second": second.name,
                "relation": relation(c),
                "cells": len(c.pairs),
                "possible": len(first.levels) * len(second.levels),
                "rows_per_cell": float(np.median(c.rows)),
                "in_several": int((c.homes > 1).sum()),
                "by_formula": set(second.parts) < set(first.parts),
            }
        )
    columns = [
        "first",
        "second",
        "relation",
        "cells",
        "possible",
        "rows_per_cell",
        "in_several",
        "by_formula",
    ]
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class Reuse:
    """A factor whose labels start again in every group of another: class 1, 2, 3 in each school.

    Attributes
    ----------
    inner, outer : str
    labels : tuple of str
        The first labels.
    groups : int
        Groups of the outer factor.
    reused : int
        Groups that the most frequent label occurs in.
    cells : int
        Combinations that occur: the levels there would be if each were a group of its own.
    levels : int
        Levels of the inner factor.
    uneven : bool
        Whether groups have different numbers of labels, which numbering within groups makes and a crossed plan seldom.
    """

    inner: str
    outer: str
    labels: tuple[str, ...]
    groups: int
    reused: int
    cells: int
    levels: int
    uneven: bool


def reuse(inner: Grouping, outer: Grouping) -> Reuse | None:
    """Return what speaks for labels that start again in each group; None if nothing does.

    The labels have to be running numbers from 0 or 1 (digits at the end, as in ``class 2``, count), or single letters
    from A; in most groups they have to run without a gap from the first; and a combination has to have two rows
    somewhere, or there could be no groups below the groups.
    """
    order = running(inner.levels)
    if order is None or len(outer.levels) < FEWEST_GROUPS:
        return None
    c = cells(inner, outer)
    if c.homes.mean() < REUSED or len(c.pairs) == len(inner.index):
        return None
    largest = np.full(len(outer.levels), -1)
    np.maximum.at(largest, c.pairs[:, 1], order[c.pairs[:, 0]])
    if np.mean(largest + 1 == c.guests) < PREFIX_SHARE:
        return None
    labels = tuple(np.array(inner.levels, dtype=object)[np.argsort(order)][:4])
    uneven = bool(np.ptp(c.guests) > 0)
    return Reuse(
        inner.name,
        outer.name,
        labels,
        len(outer.levels),
        int(c.homes.max()),
        len(c.pairs),
        len(inner.levels),
        uneven,
    )


def running(levels: tuple[str, ...]) -> np.ndarray | None:
    """Positions 0, 1, ... of labels that are running numbers from 0 or 1, or letters from A; None if they are not."""
    stems = {level.rstrip("0123456789") for level in levels}
    tails = [level[len(level.rstrip("0123456789")) :] for level in levels]
    if len(stems) == 1 and all(tails):
        numbers = np.array([int(t) for t in tails])
    elif all(len(level) == 1 and level.isascii() and level.isalpha() for level in levels):
        numbers = np.array([ord(level.lower()) - ord("a") for level in levels])
    else:
        return None
    # A number may be missing here and there; identifiers such as 20920 leave most numbers out.
    fits = numbers.min() in (0, 1) and len(set(numbers)) == len(levels) and numbers.max() <= 1.5 * len(levels)
    return numbers - numbers.min() if fits else None
