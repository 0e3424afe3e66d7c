"""Predictions and simulations from a reference fit: numbers only."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from bayesmlm.covariance import split_theta
from bayesmlm.design import Design
from bayesmlm.newdata import NewDesign
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate


def linear_predictor(estimate: LmerEstimate | GlmerEstimate, rows: NewDesign) -> np.ndarray:
    """Return X beta + offset + Z b-hat, shape (n,); a level that the fit has not seen has the effect 0.

    Missing values in X, Z or the offset are missing in the result.
    """
    out = rows.X @ estimate.beta
    if rows.offset is not None:
        out = out + rows.offset
    for block in rows.blocks:
        mode = estimate.ranef[block.position].mode[:, block.columns]
        effects = np.vstack([mode, np.zeros(len(block.columns))])  # index -1: no effect
        out = out + np.einsum("np,np->n", block.Z, effects[block.index])
    return out


def effect_roots(estimate: LmerEstimate | GlmerEstimate) -> list[np.ndarray]:
    """Return sigma Lambda for each block, (p, p): group effects are b = sigma Lambda u with u ~ N(0, I)."""
    return [
        estimate.sigma * lam for lam in split_theta(estimate.theta, [len(r.columns) for r in estimate.ranef])
    ]


def simulate_response(
    design: Design,
    estimate: LmerEstimate,
    rng: np.random.Generator,
    conditional: Collection[int] = (),
) -> np.ndarray:
    """Draw a response for the rows of the fit: y* = X beta + offset + Z b* + e*, shape (n,).

    b* ~ N(0, sigma^2 Lambda Lambda') anew for every level, e* ~ N(0, sigma^2 / weight).

    Parameters
    ----------
    design, estimate
        The fit.
    rng
        Source of random numbers.
    conditional
        Positions of the blocks whose effects are the conditional modes b-hat instead of new draws.
    """
    residuals = residual_draws(estimate.sigma, design.weights, design.nobs, rng)
    return simulated_predictor(design, estimate, rng, conditional) + residuals


def simulated_predictor(
    design: Design,
    estimate: LmerEstimate | GlmerEstimate,
    rng: np.random.Generator,
    conditional: Collection[int] = (),
) -> np.ndarray:
    """Draw the linear predictor of the rows of the fit with new group effects: X beta + offset + Z b*, shape (n,)."""
    out = estimate.linear_predictor_fixed.copy()
    for i, (block, root) in enumerate(zip(design.blocks, effect_roots(estimate), strict=True)):
        u = rng.standard_normal((len(block.levels), len(root)))
        effects = estimate.ranef[i].mode if i in conditional else u @ root.T
        out += np.einsum("np,np->n", block.Z, effects[block.index])
    return out


def simulate_new(
    estimate: LmerEstimate,
    rows: NewDesign,
    weights: np.ndarray | None,
    rng: np.random.Generator,
    conditional: Collection[int] = (),
) -> np.ndarray:
    """Draw a response for new rows, shape (n,), as `simulate_response` does for those of the fit.

    A new level has a draw of its own where effects are drawn, and the effect 0 in a block that is conditioned on,
    as in lme4.
    """
    residuals = residual_draws(estimate.sigma, weights, rows.nobs, rng)
    return simulated_new_predictor(estimate, rows, rng, conditional) + residuals


def simulated_new_predictor(
    estimate: LmerEstimate | GlmerEstimate,
    rows: NewDesign,
    rng: np.random.Generator,
    conditional: Collection[int] = (),
) -> np.ndarray:
    """Draw the linear predictor of new rows with new group effects, shape (n,)."""
    out = rows.X @ estimate.beta
    if rows.offset is not None:
        out += rows.offset
    roots = effect_roots(estimate)
    for block in rows.blocks:
        known, root = estimate.ranef[block.position].mode, roots[block.position]
        u = rng.standard_normal((len(known) + len(block.new_levels), len(root)))
        effects = u @ root.T
        if block.position in conditional:
            effects[: len(known)], effects[len(known) :] = known, 0.0
        level = np.where(block.index < 0, len(known) + block.new_index, block.index)
        out += np.einsum("np,np->n", block.Z, effects[level])
    return out


def residual_draws(sigma: float, weights: np.ndarray | None, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw residuals e ~ N(0, sigma^2 / weight), shape (n,)."""
    e = sigma * rng.standard_normal(n)
    return e if weights is None else e / np.sqrt(weights)
