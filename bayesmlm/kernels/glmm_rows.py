"""The rows of a generalised model as its kernel takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesmlm.design import Design


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a model as its kernel takes them: alike ones added up, sorted by the levels of the groups.

    Attributes
    ----------
    design : Design
        With these rows: X centred if there is an intercept.
    first, second : ndarray, shape (n,)
        Successes and trials, sums of weighted responses and of weights, or responses and weights.
    offset : ndarray, shape (n,)
    distinct : ndarray, shape (m, 2)
        Distinct responses and the sums of their weights, for the negative binomial; else empty.
    centre : ndarray, shape (k,)
        Means of the predictors: beta_0 of centred predictors is beta_0 + centre' beta.
    """

    design: Design
    first: np.ndarray
    second: np.ndarray
    offset: np.ndarray
    distinct: np.ndarray
    centre: np.ndarray


def collect_rows(design: Design) -> Rows:
    """Centre the predictors, sort the rows, and add up those that only differ in the response."""
    centre = np.zeros(design.X.shape[1])
    if "(Intercept)" in design.coefficients:
        centre = np.where(np.array(design.coefficients) == "(Intercept)", 0.0, design.X.mean(axis=0))
    X = design.X - centre
    n = design.nobs
    weights = np.ones(n) if design.weights is None else design.weights
    y = np.log(design.y) if design.family.name == "lognormal" else design.y
    offset = np.zeros(n) if design.offset is None else design.offset
    order, of = _alike(design, X, offset)
    match design.family.name:
        case "binomial":
            first, second = y, np.ones(n) if design.trials is None else design.trials
        case "poisson":
            first, second = weights * y, weights
        case _:
            first, second, order, of = y, weights, np.lexsort([b.index for b in design.blocks]), np.arange(n)
            first, second = first[order], second[order]
    if design.family.name in ("binomial", "poisson"):
        first, second = np.bincount(of, first), np.bincount(of, second)
    distinct = np.empty((0, 2))
    if design.family.name == "negativebinomial":
        values, which = np.unique(y, return_inverse=True)
        distinct = np.column_stack([values, np.bincount(which, weights)])
    blocks = tuple(replace(b, index=b.index[order], Z=b.Z[order]) for b in design.blocks)
    rows = replace(design, X=X[order], y=first, blocks=blocks, offset=None, weights=None)
    return Rows(rows, first.astype(float), second.astype(float), offset[order], distinct, centre)


def _alike(design: Design, X: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One row of each kind, sorted by the groups' levels, and the kind of every row."""
    parts = [b.index[:, None] for b in design.blocks] + [X, offset[:, None]] + [b.Z for b in design.blocks]
    _, at, of = np.unique(np.hstack(parts), axis=0, return_index=True, return_inverse=True)
    return at, of.ravel()
