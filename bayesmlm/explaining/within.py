"""Predictors within and between groups: what a slope that varies between groups can be learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.explaining.groups import Grouping, groupings

TINY = 1e-9  # of the predictor's size: rounding in a mean


@dataclass(frozen=True)
class Split:
    """Spread of one column within and between the levels of a grouping factor.

    Attributes
    ----------
    varies_in : int
        Levels within which the column takes more than one value.
    within_sd : float
        sqrt(sum_i (x_i - mean of its level)^2 / (n - J)); NaN without a level of two rows.
    between_sd : float
        Standard deviation of the level means, each level counting once.
    """

    varies_in: int
    within_sd: float
    between_sd: float


def split(x: np.ndarray, g: Grouping) -> Split:
    """Divide the spread of a column into that within levels and that of the levels' means."""
    n, size = g.sizes, float(np.max(np.abs(x), initial=0.0)) or 1.0
    mean = np.bincount(g.index, x, len(n)) / n
    rest = x - mean[g.index]
    squares = np.bincount(g.index, rest**2, len(n))
    most = np.zeros(len(n))
    np.maximum.at(most, g.index, np.abs(rest))
    varies = most > TINY * size
    free = len(x) - len(n)
    within = float(np.sqrt(squares[varies].sum() / free)) if free > 0 else float("nan")
    return Split(int(varies.sum()), within, float(np.std(mean, ddof=1)))


def predictor_frame(design: Design) -> pd.DataFrame:
    """Return one row per column (fixed or varying; intercepts apart) and grouping factor.

    Columns term, group, fixed, varying (whether it is a column of X, and of a block of this factor), levels,
    varies_in, within_sd, between_sd (see `Split`), and kind: ``"group"`` if it varies within no level, ``"within"`` if
    the levels' means are the same, else ``"both"``.
    """
    rows = []
    fixed = dict(zip(design.coefficients, design.X.T, strict=True))
    for g in groupings(design):
        varying: dict[str, np.ndarray] = {}
        for b in design.blocks:
            if b.group == g.name:
                varying |= dict(zip(b.columns, b.Z.T, strict=True))
        for name in dict.fromkeys([*fixed, *varying]):
            x = fixed[name] if name in fixed else varying[name]
            if name == "(Intercept)":
                continue
            s = split(x, g)
            level = s.between_sd <= TINY * (float(np.abs(x).max()) or 1.0)
            kind = "group" if s.varies_in == 0 else "within" if level else "both"
            rows.append(
                {
                    "term": name,
                    "group": g.name,
                    "fixed": name in fixed,
                    "varying": name in varying,
                    "levels": len(g.levels),
                    "varies_in": s.varies_in,
                    "within_sd": s.within_sd,
                    "between_sd": s.between_sd,
                    "kind": kind,
                }
            )
    columns = ["term", "group", "fixed", "varying", "levels", "varies_in", "within_sd", "between_sd", "kind"]
    return pd.DataFrame(rows, columns=columns)
