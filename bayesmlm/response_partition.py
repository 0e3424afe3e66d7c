"""Variance partition of the response itself: how much of the variance of a 0 or 1, or of a count, lies between groups.

With mu(b) the expected response of a row given its group effects b ~ N(0, Sigma), the variance between rows of like
predictors is V(y) = V_b mu(b) + E_b V(y | b). The part of block k is the variance of what its effects alone do to the
expected response, V(E(mu | b_k)): the covariance of two rows that share the unit of k and of no other block. Because
links are not straight lines, several blocks together do a little more than each by itself; that rest is called joint.
The integrals over b, which Goldstein, Browne & Rasbash (2002, Understanding Statistics 1, 223-231) simulate, are done
by quadrature.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.averages import NO_MEAN, averaged_mean, normal_average, normal_nodes
from bayesmlm.columns import as_frame
from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import BayesMLMError, DataError, did_you_mean
from bayesmlm.families import mean, variance
from bayesmlm.newdata import effect_columns, new_design
from bayesmlm.predicting import Sample, sample_of
from bayesmlm.shares import interval_ends
from bayesmlm.vpc import RESIDUAL, partition_frame

JOINT = "(joint)"
BUDGET = 400_000_000  # evaluations of the inverse link
LEAST_DRAWS, MOST_DRAWS = 50, 400


def response_partition(
    design: Design, posterior: Posterior, at: Any = None, prob: float = 0.9
) -> pd.DataFrame:
    """Divide the variance of the response over levels, averaged over rows.

    Parameters
    ----------
    design, posterior
        The model and its draws, of which 50 to 400 evenly spaced ones are used.
    at
        A data frame with all predictors, each row of which is a point; or a mapping of predictors to a value or
        several, all combinations of which are put in the rows of the fit, and the variances averaged over these; None:
        the rows as they are. Offsets given beside the formula stay those of the fit.
    prob
        Probability of the central intervals.

    Returns
    -------
    DataFrame
        As `bayesmlm.vpc.variance_partition`: a row per point and source, which are the blocks, ``(joint)`` if there are
        several, and ``Residual``, the mean variance of the response given its expectation; of binomials about one
        trial.

    Raises
    ------
    BayesMLMError
        For categories, and inverse links, whose expected response has no variance.
    """
    ends = interval_ends(prob)
    points, rows = _points(design, at)
    variances = response_variances(design, posterior, rows)
    return partition_frame(points, sources_of(design), variances, ends)


def sources_of(design: Design) -> list[str]:
    """Return the names of the parts of the variance."""
    joint = [JOINT] if len(design.blocks) > 1 else []
    return [*(b.label for b in design.blocks), *joint, RESIDUAL]


Rows = tuple[np.ndarray, np.ndarray, list[np.ndarray]]  # X, offset, Z of each block


def response_variances(design: Design, posterior: Posterior, rows: list[Rows] | None = None) -> np.ndarray:
    """Draws of the parts of the variance of the response, (draw, point, source); of the rows of the fit if None."""
    family = design.family
    if family.is_ordinal or family.is_categorical:
        raise BayesMLMError(f"{design.response} is a category, which has no variance to divide")
    if family.link in NO_MEAN:
        raise BayesMLMError(
            f"with the link {family.spelled_link} the expected response has no variance between groups: its linear "
            "predictor may be near 0"
        )
    distinct = [_distinct(one) for one in rows or [_fit_rows(design)]]
    cells = sum(len(count) for _, count in distinct) * (60 if len(design.blocks) == 1 else 3000)
    draws = int(np.clip(BUDGET // cells, LEAST_DRAWS, MOST_DRAWS))
    sample = sample_of(design, posterior, min(draws, posterior.n_draws))
    parts = [_average(design, sample, one, count) for one, count in distinct]
    return np.stack(parts, axis=1)


def _fit_rows(design: Design) -> Rows:
    offset = np.zeros(design.nobs) if design.offset is None else design.offset
    return design.X, offset, [b.Z for b in design.blocks]


def _points(design: Design, at: Any) -> tuple[pd.DataFrame, list[Rows]]:
    if at is None:
        return pd.DataFrame(index=[0]), [_fit_rows(design)]
    if not isinstance(at, Mapping):
        frame = as_frame(at).reset_index(drop=True)
        made = _rows(design, frame, given_offset=True)
        return frame, [(made[0][[i]], made[1][[i]], [Z[[i]] for Z in made[2]]) for i in range(len(frame))]
    for name in at:
        if name not in design.frame.columns:
            hint = did_you_mean(str(name), design.frame.columns)
            raise DataError(f"at names {name!r}, which {design.formula.spelled} does not use.{hint}")
    values = [[v] if np.ndim(v) == 0 else list(v) for v in at.values()]
    points = pd.DataFrame(list(itertools.product(*values)), columns=list(at))
    plain = _rows(design, design.frame, given_offset=False)[1]
    beside = (np.zeros(design.nobs) if design.offset is None else design.offset) - plain
    rows = []
    for point in points.to_dict("records"):
        X, offset, Z = _rows(design, design.frame.assign(**point), given_offset=False)
        rows.append((X, offset + beside, Z))
    return points, rows


def _rows(design: Design, frame: pd.DataFrame, given_offset: bool) -> Rows:
    new = new_design(design, frame, re_formula="~0", given_offset=given_offset)
    offset = np.zeros(new.nobs) if new.offset is None else new.offset
    return new.X, offset, [effect_columns(design, i, frame) for i in range(len(design.blocks))]


def _distinct(rows: Rows) -> tuple[Rows, np.ndarray]:
    """Return the rows that differ, and how often each occurs."""
    X, offset, Z = rows
    table = np.column_stack([X, offset, *Z])
    _, first, count = np.unique(table, axis=0, return_index=True, return_counts=True)
    return (X[first], offset[first], [z[first] for z in Z]), count


def _average(design: Design, sample: Sample, rows: Rows, count: np.ndarray) -> np.ndarray:
    """Return the parts of the variance, (draw, source), averaged over rows."""
    (X, offset, columns), family, parameters = rows, design.family, sample.parameters
    eta = sample.fixef @ X.T + offset
    between = [
        np.square(np.einsum("np,spq->snq", Z, root)).sum(axis=-1)
        for Z, root in zip(columns, sample.roots, strict=True)
    ]
    total = np.sum(between, axis=0)
    centre = averaged_mean(family, eta, parameters, total)

    def squares(at: np.ndarray) -> np.ndarray:
        return (mean(family, at, parameters) - centre) ** 2

    everything = normal_average(squares, eta, total, family.link)
    parts = []
    for v in between if len(between) > 1 else []:
        t, weights = normal_nodes(float(np.sqrt(v.max())), family.link)
        own = np.zeros_like(eta)
        for point, weight in zip(t, weights, strict=True):
            expected = averaged_mean(family, eta + point * np.sqrt(v), parameters, total - v)
            own += weight * (expected - centre) ** 2
        parts.append(own)
    joint = [np.maximum(everything - np.sum(parts, axis=0), 0.0)] if parts else []
    inside = normal_average(lambda at: variance(family, at, parameters), eta, total, family.link)
    values = np.stack([*(parts or [everything]), *joint, inside], axis=-1)
    return np.einsum("sno,n->so", values, count / count.sum())
