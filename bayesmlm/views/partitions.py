"""Shares of the variance as pictures need them: each block's, and as a function of a predictor of slopes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.tables import flat, icc_draws, reference_icc
from bayesmlm.views.coefficients import point_and_intervals
from bayesmlm.views.typical import axis_of, grid_frame
from bayesmlm.vpc import slope_predictors, variance_partition


def icc_table(
    posterior: Posterior,
    estimate: LmerEstimate | GlmerEstimate | None = None,
    residual: np.ndarray | None = None,
    reference_residual: float | None = None,
    *,
    prob: float = 0.9,
    inner: float = 0.5,
) -> pd.DataFrame:
    """Intraclass correlation of each block with an intercept, where the predictors of slopes are 0.

    Parameters
    ----------
    posterior
        The draws.
    estimate
        A reference fit of the same model.
    residual
        Residual variance of a generalised model on the scale of the link, shape (chain x draw,); sigma^2 if None.
    reference_residual
        That of the reference fit.
    prob, inner
        Probabilities of the outer and the inner central posterior interval.

    Returns
    -------
    DataFrame
        term (the block's label), estimate (posterior median), conf_low, conf_high, inner_low, inner_high, reference
        (missing without one), and reference_low and reference_high, which are missing.
    """
    shares = icc_draws(posterior, residual)
    if not shares.size:
        raise DataError("there is no intraclass correlation to draw: no intercept varies between groups")
    labels = [str(label) for label in shares["group"].values]
    table = pd.DataFrame({"term": labels, **point_and_intervals(flat(shares), prob, inner)})
    theirs = (
        np.nan
        if estimate is None
        else reference_icc(estimate.varcorr, reference_residual).reindex(labels).to_numpy()
    )
    return table.assign(reference=theirs, reference_low=np.nan, reference_high=np.nan)


def vpc_curve(
    design: Design,
    posterior: Posterior,
    x: str | None = None,
    *,
    prob: float = 0.9,
    at: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Share of the variance between the groups of each block along a predictor of varying slopes.

    z(x)' Sigma z(x) over the sum of it over the blocks and sigma^2 (Goldstein, Browne & Rasbash 2002, Understanding
    Statistics 1, 223-231); other predictors are at typical values, as in `conditional_effects`.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    x
        The predictor: 50 points over its range, or its categories. The first of a varying slope if None.
    prob
        Probability of the central intervals.
    at
        Values of other predictors, in place of the typical ones.

    Returns
    -------
    DataFrame
        by (the block's label), x (position: 0, 1, ... for categories), estimate (posterior median), conf_low,
        conf_high; the shares of one x and that of the residuals add up to 1 in each draw.

    Raises
    ------
    DataError
        If no slope varies with `x`.
    """
    axis = axis_of(design, slope_predictor(design, x))
    table = variance_partition(design, posterior, grid_frame(design, [axis], at), prob)
    sources = len(design.blocks) + 1
    place = np.repeat(axis.positions, sources)
    frame = pd.DataFrame({"by": table["group"], "x": place, "estimate": table["share"]})
    frame = frame.assign(conf_low=table["share_low"], conf_high=table["share_high"])
    by_source = np.arange(len(frame)).reshape(-1, sources).T[:-1]  # the residuals are the last of each point
    return frame.iloc[by_source.ravel()].reset_index(drop=True)


def slope_predictor(design: Design, x: str | None) -> str:
    """Return the predictor of varying slopes that is meant, the first if None; see `vpc_curve` for the error."""
    known = slope_predictors(design)
    if not known:
        raise DataError(
            "no slope varies, so that the shares of the variance are the same everywhere: plot_icc draws them"
        )
    if x is not None and x not in known:
        hint = did_you_mean(str(x), known) or f" It depends on: {', '.join(known)}."
        raise DataError(f"the variance between groups does not depend on {x!r}.{hint}")
    return known[0] if x is None else x
