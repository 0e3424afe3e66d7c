"""Proportional change in variance between a smaller model and a larger one.

PCV = (v0 - v1) / v0, with v0 the variance of a component in the null model and v1 the one that is left with more
predictors: the "variance explained" at each level of Raudenbush & Bryk (2002, equations 4.20 and 4.24). A level's
variance may rise when a predictor of a lower level comes in, and PCV is then negative.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayesmlm.covariance import VarCorr
from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import DataError
from bayesmlm.shares import interval_ends

Components = Mapping[tuple[str, str], np.ndarray]  # (group, term) -> variance, one or one per draw
RESIDUAL = ("Residual", "sd__Observation")


def posterior_components(posterior: Posterior, residual: bool = True) -> dict[tuple[str, str], np.ndarray]:
    """Draws of every variance, by block label and broom.mixed's term; sigma^2 last, if it is wanted."""
    out = {
        (b.label, f"sd__{c}"): b.sd.sel(column=c).values.ravel() ** 2
        for b in posterior.blocks
        for c in b.columns
    }
    if residual and posterior.sigma is not None:
        out[RESIDUAL] = posterior.sigma.values.ravel() ** 2
    return out


def reference_components(varcorr: VarCorr) -> dict[tuple[str, str], np.ndarray]:
    """Every variance of a reference fit, by block label and broom.mixed's term; arrays of one number."""
    out = {
        (b.label, f"sd__{c}"): np.array([s**2])
        for b in varcorr.blocks
        for c, s in zip(b.columns, b.sd, strict=True)
    }
    return {**out, RESIDUAL: np.array([(varcorr.sigma or 0.0) ** 2])}


def check_same_response(design: Design, null: Design) -> None:
    """Raise DataError unless two models are of one response in the same rows."""
    if design.nobs != null.nobs or not np.array_equal(design.rows, null.rows):
        raise DataError(
            f"the null model was fitted to {null.nobs} rows and this one to {design.nobs}, not the same ones: a change "
            "in variance is then also one of rows; fit both to the rows without missing values"
        )
    if not np.array_equal(design.y, null.y):
        raise DataError(f"the null model explains {null.response}, this one {design.response}")
    if design.family != null.family:
        kinds = " and ".join(f"{d.family.spelled} [{d.family.spelled_link}]" for d in (null, design))
        raise DataError(f"the variances of {kinds} models are on different scales")


def variance_changes(own: Components, null: Components, prob: float | None = 0.9) -> pd.DataFrame:
    """Compare the variances that two models have in common.

    Parameters
    ----------
    own, null
        Variances of the larger and of the smaller model. Draws of two fits are independent, so each draw of the one is
        paired with each of the other. What the rows of both fits have in common does not cancel: intervals are wide.
    prob
        Probability of the central intervals; None for reference fits, which have none.

    Returns
    -------
    DataFrame
        One row per variance in both, the residual one last: group, term, null and variance (medians of the two fits),
        change (median of 1 - v1 / v0; NaN where the null variance is 0), and for posteriors conf_low, conf_high and
        p_reduced, the probability that v1 < v0.
    """
    rows = []
    for key in [k for k in own if k in null]:
        mine, before = np.sort(own[key]), np.sort(null[key])
        row = {"group": key[0], "term": key[1], "null": np.median(before), "variance": np.median(mine)}
        if prob is None:
            row["change"] = 1 - mine[0] / before[0] if before[0] > 0 else np.nan
        else:
            first, last = interval_ends(prob)
            high, middle, low = 1 - ratio_quantiles(mine, before, [first, 0.5, last])
            reduced = np.searchsorted(mine, before, side="left").mean() / len(mine)
            row |= {"change": middle, "conf_low": low, "conf_high": high, "p_reduced": reduced}
        rows.append(row)
    return pd.DataFrame(rows)


def ratio_quantiles(a: np.ndarray, b: np.ndarray, probs: list[float]) -> np.ndarray:
    """Quantiles of a_i / b_j over all pairs (i, j) of two sorted positive samples, without making the pairs.

    The share of pairs with a_i <= t b_j is counted by binary search, and t found by bisection on the log scale to
    double precision.
    """
    tiny = np.finfo(float).tiny
    low = np.full(len(probs), np.log(max(a[0], tiny)) - np.log(b[-1]) - 1e-9)
    high = np.full(len(probs), np.log(max(a[-1], tiny)) - np.log(max(b[0], tiny)) + 1e-9)
    for _ in range(60):
        middle = (low + high) / 2
        below = [np.searchsorted(a, np.exp(t) * b, side="right").mean() / len(a) for t in middle]
        reached = np.array(below) >= probs
        high, low = np.where(reached, middle, high), np.where(reached, low, middle)
    return np.exp(high)
