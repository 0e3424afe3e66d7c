"""`fit_glmer`: a generalised linear mixed model by maximum likelihood, as lme4's ``glmer`` fits it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesmlm.covariance import join_theta
from bayesmlm.design import Design
from bayesmlm.errors import DataError
from bayesmlm.kernels.reweighted import ReweightedKernel
from bayesmlm.kernels.threads import one_thread
from bayesmlm.reference.estimate import RanefEstimate
from bayesmlm.reference.glmm.criterion import Criterion, responses_of, scaled
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.reference.glmm.response import FITTED, Responses
from bayesmlm.reference.glmm.search import Found, minimise
from bayesmlm.reference.lmer import status, variance_components
from bayesmlm.reference.optimise import lower_triangular

DIFFERENCE = 1e-4  # of coordinates whose unit is a standard error or a residual standard deviation
NOT_DEFINITE = 1e-12  # an eigenvalue of the Hessian, its diagonal being 1, that is 0 but for rounding
MOST_NODES = 100


def fit_glmer(design: Design, n_agq: int = 1) -> GlmerEstimate:
    """Fit a generalised linear mixed model by maximum likelihood.

    The responses are independent given the group effects, with means mu(eta), eta = X beta + Z b + offset, b ~
    N(0, phi Lambda Lambda'), phi the dispersion where the family has one and 1 otherwise.

    Parameters
    ----------
    design
        With `family` and, for binomial responses, `trials`.
    n_agq
        1: Laplace's approximation of the integral over b. More: adaptive Gauss-Hermite quadrature with so many nodes,
        for one scalar group effect. 0: Laplace's approximation, the fixed effects not those that maximise it but the
        mode of the joint density of (b, y): faster and a little wrong.

    Raises
    ------
    DataError
        For families or links that are not covered, quadrature where it is not defined, and group effects that the
        data cannot tell from the residuals.
    """
    with one_thread():
        return _estimate(design, *optimum(design, n_agq))


def optimum(design: Design, n_agq: int) -> tuple[Criterion, Found]:
    """Minimise the deviance; parameters and errors are those of `fit_glmer`."""
    responses = responses_of(design)
    check_glmm(design, responses, n_agq)
    at = scaled(design, responses)
    first = Criterion(design, responses, 0, at)
    last = first if n_agq == 0 else Criterion(design, responses, n_agq, at)
    return last, minimise(first, last)


def check_glmm(design: Design, responses: Responses, n_agq: int) -> None:
    """Raise DataError for what cannot be fitted."""
    if responses.family not in FITTED:
        raise DataError(
            f"glmer() has no maximum likelihood for the family {responses.family!r}: it fits {', '.join(FITTED)}; "
            "bm.fit fits this one"
        )
    if not design.blocks:
        raise DataError(
            "the formula has no group effects such as (1 | school): this is a model for glm(), not glmer()"
        )
    _check_nodes(design, responses, n_agq)
    n = design.nobs
    for block in design.blocks:
        bar, levels, p = str(block.bar), len(block.levels), len(block.columns)
        if p * levels > n:
            raise DataError(
                f"{bar} has {p} effects for each of {levels} levels, {p * levels} in all, for {n} rows: they cannot be "
                f"told apart; keep fewer columns, for example (1 | {block.group})"
            )
        if levels == n and responses.dispersed:
            raise DataError(
                f"{block.group} in {bar} has one row per level: its effects cannot be told from the dispersion of the "
                f"family {responses.family!r}; drop {bar} or group by something coarser"
            )
    if n <= design.X.shape[1]:
        raise DataError(f"{n} rows cannot determine {design.X.shape[1]} fixed effects; drop some")
    share = responses.y / responses.w if responses.family == "binomial" else responses.y
    if np.ptp(share) == 0:
        raise DataError(f"{design.response} is the same in all rows: there is nothing to explain")


def _check_nodes(design: Design, responses: Responses, n_agq: int) -> None:
    if isinstance(n_agq, bool) or not isinstance(n_agq, int | np.integer) or not 0 <= n_agq <= MOST_NODES:
        raise DataError(f"n_agq = {n_agq!r}: give 0, 1 (Laplace) or a number of nodes up to {MOST_NODES}")
    if n_agq <= 1:
        return
    if len(design.blocks) > 1 or len(design.blocks[0].columns) > 1:
        raise DataError(
            f"n_agq = {n_agq}: quadrature is for one block with one column, such as (1 | g); use n_agq=1 here"
        )
    if responses.dispersed:
        raise DataError(
            f"n_agq = {n_agq}: with the family {responses.family!r} the dispersion is estimated from all rows at once, "
            "so the likelihood is no product over groups; use n_agq=1"
        )


def _estimate(design: Design, criterion: Criterion, found: Found) -> GlmerEstimate:
    at, responses = criterion.at, criterion.pirls.responses
    lambdas, gamma, alpha = criterion.split(found.x)
    inverses = [np.linalg.inv(t) for t in at.T]
    own = [lower_triangular(t @ lam) for t, lam in zip(inverses, lambdas, strict=True)]
    theta = join_theta(own)
    lambdas = [t @ lam for t, lam in zip(at.T, own, strict=True)]
    deviance = criterion.deviance(lambdas, gamma, alpha)
    if deviance is None:
        raise DataError(f"the model could not be fitted: {found.reason}")
    mode, kernel = deviance.mode, criterion.pirls.kernel
    beta = at.shift + np.linalg.solve(at.R, mode.gamma)
    sigma = deviance.sigma(responses, alpha)
    varcorr = variance_components(design.blocks, theta, sigma)
    b = kernel.by_block(kernel.times(lambdas, mode.u))
    K = kernel.effect_covariances(lambdas, mode.rows.W)
    ranef = []
    for block, effects, cov, inverse, lam in zip(design.blocks, b, K, inverses, own, strict=True):
        varies = np.any(lam != 0, axis=1)
        variance = np.einsum("ab,jbc,ac->ja", inverse, cov, inverse) * varies
        sd = sigma * np.sqrt(np.maximum(variance, 0.0))
        modes = effects @ inverse.T * varies
        ranef.append(RanefEstimate(block.label, block.group, block.columns, block.levels, modes, sd))
    vcov = None if criterion.n_agq == 0 else _hessian_vcov(criterion, found.x)
    used = vcov is not None
    if vcov is None:
        vcov = sigma**2 * _fixed_vcov(design, criterion, lambdas, mode.rows.W)
    has_alpha = bool(criterion.has_alpha)
    return GlmerEstimate(
        responses=responses,
        n_agq=int(criterion.n_agq),
        theta=theta,
        coefficients=design.coefficients,
        beta=beta,
        vcov=vcov,
        sigma=sigma,
        auxiliary={"reciprocal_dispersion": alpha} if has_alpha else {},
        varcorr=varcorr if responses.dispersed else replace(varcorr, sigma=None),
        ranef=tuple(ranef),
        criterion=deviance.value,
        eta=mode.eta,
        linear_predictor_fixed=at.offset + at.X @ mode.gamma,
        fitted=mode.rows.mu,
        n_parameters=len(beta) + len(theta) + int(responses.dispersed or has_alpha),
        status=status(design, found),
        converged=found.converged,
        singular=found.singular,
        hessian_used=used,
    )


def _hessian_vcov(criterion: Criterion, x: np.ndarray) -> np.ndarray | None:
    """Return 2 H^-1, H the Hessian of the deviance in (theta, beta), its part in beta; None if not positive definite.

    By central differences of the exact gradient, alpha held. At a minimum that part is the same in all coordinates of
    Lambda, so those of the search will do.
    """
    n_phi, own = criterion.n_phi, criterion.n_phi + criterion.k
    if not criterion.k:
        return np.zeros((0, 0))
    H = np.empty((own, own))
    for i in range(own):
        step = np.zeros(len(x))
        step[i] = DIFFERENCE
        H[i] = (criterion.evaluate(x + step)[1] - criterion.evaluate(x - step)[1])[:own] / (2 * DIFFERENCE)
    H = (H + H.T) / 2
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(H)), np.finfo(float).tiny))
    H = H * np.outer(scale, scale)
    if not np.isfinite(H).all() or np.linalg.eigvalsh(H)[0] <= NOT_DEFINITE:
        return None
    vcov = 2.0 * (np.linalg.inv(H) * np.outer(scale, scale))[n_phi:, n_phi:]
    inverse = np.linalg.inv(criterion.at.R)
    return inverse @ vcov @ inverse.T


def _fixed_vcov(design: Design, criterion: Criterion, lambdas: list[np.ndarray], W: np.ndarray) -> np.ndarray:
    """Return (X'V^-1X)^-1, V = W^-1 + Z Lambda Lambda'Z'."""
    at = criterion.at
    kernel = criterion.pirls.kernel
    if not criterion.pirls.joint:
        kernel = ReweightedKernel(design, at.X, at.T)
    inverse = np.linalg.inv(at.R)
    return inverse @ np.linalg.inv(kernel.reduced(lambdas, W)) @ inverse.T
