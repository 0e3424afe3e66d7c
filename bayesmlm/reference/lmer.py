"""`fit_lmer`: a linear mixed model by ML or REML, as lme4 fits it (Bates et al. 2015, J. Stat. Softw. 67(1))."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bayesmlm.covariance import BlockCovariance, VarCorr, join_theta, sd_corr, split_theta
from bayesmlm.crossprod import CrossProducts, cross_products, orthogonal_basis
from bayesmlm.design import Block, Design
from bayesmlm.errors import DataError
from bayesmlm.kernels.threads import one_thread
from bayesmlm.reference.condvar import conditional_variances
from bayesmlm.reference.deviance import profile
from bayesmlm.reference.estimate import LmerEstimate, RanefEstimate
from bayesmlm.reference.optimise import lower_triangular, minimise

EXACT = 1e-12  # a residual this small beside the response is rounding


def fit_lmer(design: Design, reml: bool = True) -> LmerEstimate:
    """Fit a linear mixed model.

    The model is y = X beta + Z b + offset + e, b ~ N(0, sigma^2 Lambda Lambda'), e ~ N(0, sigma^2 W^-1).

    Parameters
    ----------
    design
        Response, fixed columns and at least one block.
    reml
        Minimise the REML criterion (eq. 41) rather than the ML deviance (eq. 34).

    Raises
    ------
    DataError
        If the data cannot tell the group effects from the residuals, or leave nothing to explain.
    """
    check_identified(design)
    reml = reml and design.X.shape[1] > 0  # without fixed effects the two are one
    with one_thread():
        return _estimate(design, reml)


def _estimate(design: Design, reml: bool) -> LmerEstimate:
    cp = cross_products(design, orthogonal_basis(design))
    _check_response(design, cp)
    optimum = minimise(cp, reml)
    inverses = [np.linalg.inv(t) for t in cp.basis.z]
    theta = join_theta([lower_triangular(t @ lam) for t, lam in zip(inverses, optimum.lambdas, strict=True)])
    at = profile(cp, theta, reml)
    fixed = design.X @ at.beta + (0.0 if design.offset is None else design.offset)
    effects = [np.einsum("np,np->n", z.Z, b[z.index]) for z, b in zip(design.blocks, at.b, strict=True)]
    return LmerEstimate(
        reml=reml,
        theta=theta,
        coefficients=design.coefficients,
        beta=at.beta,
        vcov=at.sigma**2 * at.unscaled_vcov,
        sigma=at.sigma,
        varcorr=variance_components(design.blocks, theta, at.sigma),
        ranef=tuple(_ranef(design, cp, theta, at.sigma, at.b)),
        criterion=at.criterion,
        fitted=fixed + np.sum(effects, axis=0),
        linear_predictor_fixed=fixed,
        y=design.y,
        weights=design.weights,
        n_parameters=len(at.beta) + len(theta) + 1,
        status=status(design, optimum),
        converged=optimum.converged,
        singular=optimum.singular,
    )


def variance_components(blocks: tuple[Block, ...], theta: np.ndarray, sigma: float) -> VarCorr:
    """Return Sigma = sigma^2 Lambda Lambda' (eq. 4) of each block as standard deviations and correlations."""
    found = []
    for block, lam in zip(blocks, split_theta(theta, [len(b.columns) for b in blocks]), strict=True):
        sd, corr = sd_corr(sigma**2 * lam @ lam.T)
        found.append(BlockCovariance(block.label, block.group, block.columns, sd, corr))
    return VarCorr(tuple(found), sigma)


def check_identified(design: Design) -> None:
    """Raise DataError where the data cannot tell group effects from residuals; the limits are lme4's."""
    if not design.blocks:
        raise DataError(
            "the formula has no group effects such as (1 | school): this is a model for lm(), not lmer()"
        )
    n = design.nobs
    for block in design.blocks:
        bar, levels, p = str(block.bar), len(block.levels), len(block.columns)
        if levels < 2:
            raise DataError(
                f"{block.group} in {bar} has one level only: its variance cannot be estimated; drop {bar}"
            )
        if levels >= n:
            raise DataError(
                f"{block.group} in {bar} has {levels} levels for {n} rows: with one row per level the effects of "
                f"{block.group} cannot be told from the residuals; drop {bar} or group by something coarser"
            )
        if p * levels >= n:
            raise DataError(
                f"{bar} has {p} effects for each of {levels} levels, {p * levels} in all, for {n} rows: they cannot "
                f"be told from the residuals; keep fewer columns, for example (1 | {block.group})"
            )
    if n <= design.X.shape[1]:
        raise DataError(f"{n} rows cannot determine {design.X.shape[1]} fixed effects; drop some")


def _check_response(design: Design, cp: CrossProducts) -> None:
    weights = 1.0 if design.weights is None else design.weights
    response = design.y if design.offset is None else design.y - design.offset
    if cp.yy <= EXACT**2 * float(np.sum(weights * response**2)):
        raise DataError(
            f"the fixed effects reproduce {design.response} exactly, so nothing is left for groups and residuals; "
            "is the response constant, or among the predictors?"
        )


def _ranef(
    design: Design, cp: CrossProducts, theta: np.ndarray, sigma: float, b: tuple[np.ndarray, ...]
) -> list[RanefEstimate]:
    found = []
    for block, mode, cov in zip(design.blocks, b, conditional_variances(cp, theta), strict=True):
        sd = sigma * np.sqrt(np.maximum(np.diagonal(cov, axis1=1, axis2=2), 0.0))
        found.append(RanefEstimate(block.label, block.group, block.columns, block.levels, mode, sd))
    return found


class Ended(Protocol):
    """How a search ended: an `Optimum`, or that of a generalised model."""

    @property
    def converged(self) -> bool: ...

    @property
    def reason(self) -> str: ...

    @property
    def ranks(self) -> tuple[int, ...]: ...


def status(design: Design, optimum: Ended) -> str:
    """Return the sentence that says how a search ended."""
    if not optimum.converged:
        return f"not converged: {optimum.reason}"
    ends = [
        _boundary(block, rank)
        for block, rank in zip(design.blocks, optimum.ranks, strict=True)
        if rank < len(block.columns)
    ]
    return f"converged, singular: {'; '.join(ends)}" if ends else "converged"


def _boundary(block: Block, rank: int) -> str:
    """Say what a singular covariance matrix looks like and what to try."""
    bar, p = str(block.bar), len(block.columns)
    if rank == 0:
        which = "variance is" if p == 1 else "variances are"
        return f"the {which} estimated as 0 in {bar}; try without it, or bm.fit, whose prior keeps it above 0"
    what = (
        "the correlation is estimated as -1 or 1"
        if p == 2
        else f"the covariance matrix has rank {rank} of {p}"
    )
    numeric = {"(Intercept)", *map(str, block.bar.effects.terms)}
    # || would keep the columns of a factor together
    simpler = f"{bar.replace(' | ', ' || ')}, " if numeric >= set(block.columns) else ""
    return f"{what} in {bar}; try {simpler}fewer columns, or bm.fit, whose prior keeps it inside"
