"""What a finding is, and how big is too big."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

WARNING, NOTE = "warning", "note"
FEW, MODEST = 5, 10  # levels below which a variance is hardly, or not well, informed
SPARSE = 5  # rows of a category below which its coefficient rests on next to nothing
FEW_SLOPES = 0.5  # of the levels
MANY_DROPPED = 0.1  # of the rows
COLLINEAR = 10.0  # variance inflation
PER_PARAMETER = 10  # rows, or groups, per coefficient
SCALE = 1e3  # a predictor's sd beyond which its coefficient is awkward to read
FAR = 1.0  # sds between 0 and the range of a predictor
SPAN = 1e-7
MIXED = 0.5


@dataclass(frozen=True)
class Finding:
    """Something to know about a model and its data before it is fitted.

    Attributes
    ----------
    code : str
        Which it is.
    severity : str
        ``"warning"``: look at the model again; ``"note"``: good to know.
    about : str
        The bar, grouping factor or coefficient it is about.
    facts : dict of str to object
        The numbers and names behind it.
    """

    code: str
    severity: str
    about: str
    facts: dict[str, Any]


def spans_constant(Z: np.ndarray) -> bool:
    """Whether the constant is a linear combination of columns."""
    return spanned(Z, np.ones(len(Z)))


def spanned(X: np.ndarray, x: np.ndarray) -> bool:
    """Whether a column is a linear combination of others."""
    if not X.shape[1]:
        return not x.any()
    scaled = X / np.maximum(np.linalg.norm(X, axis=0), 1e-300)
    rest = x - scaled @ np.linalg.lstsq(scaled, x, rcond=None)[0]
    return bool(np.linalg.norm(rest) <= SPAN * max(float(np.linalg.norm(x)), 1e-300))
