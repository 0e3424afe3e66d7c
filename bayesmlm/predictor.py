"""The linear predictor of draws: what predictions, densities and replicated data are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class RowEffects(NamedTuple):
    """The effects of one block and what the rows have of them.

    Attributes
    ----------
    b : ndarray, shape (S, J, p)
        Draws of the effects.
    level : ndarray of int, shape (n,)
        Each row's place among the J levels; -1 for none, which adds nothing.
    Z : ndarray, shape (n, q)
        Values of the columns that are used.
    columns : sequence of int
        Which of the p columns those q are.
    """

    b: np.ndarray
    level: np.ndarray
    Z: np.ndarray
    columns: Iterable[int]


def predictor_draws(
    fixef: np.ndarray, X: np.ndarray, offset: np.ndarray | None, effects: Iterable[RowEffects]
) -> np.ndarray:
    """Return X beta + offset + sum over blocks of z'b in each draw, shape (S, n).

    Parameters
    ----------
    fixef
        Draws of beta, shape (S, k).
    X
        Shape (n, k).
    offset
        Known part, shape (n,); none if None.
    effects
        Of each block.
    """
    eta = fixef @ X.T
    if offset is not None:
        eta += offset
    for b, level, Z, columns in effects:
        at = np.flatnonzero(level >= 0)
        everywhere = len(at) == len(level)
        for z, column in zip(Z.T, columns, strict=True):
            if everywhere:  # by far the most common, and then without a copy of eta
                eta += b[:, level, column] * z
            else:
                eta[:, at] += b[:, level[at], column] * z[at]
    return eta
