"""Where the chains start: at a frequentist fit of the same model, scattered in the covariance parameters."""

from __future__ import annotations

import numpy as np

from bayesmlm.bambi_draws import Variable
from bayesmlm.design import Design
from bayesmlm.families import LINKS
from bayesmlm.model.likelihood import threshold_start
from bayesmlm.model.plan import HIERARCHICAL, NONCENTRED, BlockPlan
from bayesmlm.priors import Decov, Distribution, Lkj, Priors
from bayesmlm.reference.estimate import LmerEstimate

LEAST_SD = 0.05  # relative to sigma: a chain cannot start at a standard deviation of zero
MOST_CORRELATION = 0.9
EDGE = 1e-3  # a probability no nearer to 0 or 1, a mean no smaller relative to the responses


def start_values(
    design: Design,
    priors: Priors,
    coefficients: tuple[Variable, ...],
    plans: tuple[BlockPlan, ...],
    estimate: LmerEstimate,
) -> dict[str, np.ndarray]:
    """Return a value for the variables of the PyMC model that a reference fit can place.

    Parameters
    ----------
    design, priors
        The model.
    coefficients, plans
        Where its parameters are among Bambi's.
    estimate
        The reference fit.
    """
    known = priors.sigma is not None and isinstance(priors.sigma.used, Distribution)
    values = {"sigma": np.array(estimate.sigma)} if known else {}
    fixed = dict(zip(design.coefficients, estimate.beta, strict=True))
    centred = estimate.beta.copy()
    if priors.intercept is not None:
        centred[0] = design.X.mean(axis=0) @ estimate.beta
    values |= fixed_values(design, priors, coefficients, centred)
    for i, plan in enumerate(plans):
        prior = priors.covariance[plan.block.label]
        values |= _block_values(plan, prior, estimate, i, fixed, priors.sigma is not None)
    return values


def fixed_values(
    design: Design, priors: Priors, coefficients: tuple[Variable, ...], beta: np.ndarray
) -> dict[str, np.ndarray]:
    """Arrange fixed effects, the intercept being that of centred predictors, as PyMC's variables.

    Those with a joint prior or one of Bambi's own are left out: they are no variables, or have bounds of their own.
    """
    values = {}
    if priors.intercept is not None and isinstance(priors.intercept.used, Distribution):
        values[coefficients[0].name] = np.array(float(beta[0]))
    known = {name for name, prior in priors.coefficients.items() if isinstance(prior.used, Distribution)}
    placed = zip(coefficients, design.coefficients, beta, strict=True)
    slopes = [(v, value) for v, name, value in placed if name in known]
    for name in dict.fromkeys(v.name for v, _ in slopes):
        mine = sorted((v.position or 0, value, v.position) for v, value in slopes if v.name == name)
        values[name] = np.array(mine[0][1] if mine[0][2] is None else [value for _, value, _ in mine])
    return values


def _block_values(
    plan: BlockPlan,
    prior: Decov | Lkj,
    estimate: LmerEstimate,
    i: int,
    fixed: dict[str, float],
    relative: bool,
) -> dict[str, np.ndarray]:
    """`relative` says whether decov's scale is relative to sigma."""
    p = len(plan.block.columns)
    covariance, effects = estimate.varcorr.blocks[i], estimate.ranef[i]
    spread = np.sqrt(np.mean(plan.block.Z**2, axis=0))
    weight = 1.0 if estimate.weights is None else float(np.mean(estimate.weights))
    sd = np.maximum(covariance.sd, LEAST_SD * estimate.sigma / np.sqrt(weight) / spread)
    values = _sd_values(plan, sd, prior, estimate.sigma if relative else 1.0)
    factor = np.eye(p)
    if p > 1:
        corr = np.clip(np.nan_to_num(covariance.corr), -MOST_CORRELATION, MOST_CORRELATION)
        np.fill_diagonal(corr, 1.0)
        factor = _correlation_factor(corr)
        values[plan.variable("partial")] = (1 + _partial_correlations(factor)) / 2
    order = [effects.levels.index(level) for level in plan.levels]
    b = effects.mode[order]
    z = np.linalg.solve(sd[:, None] * factor, b.T).T
    for k, form in enumerate(plan.forms):
        if form == NONCENTRED:
            values[plan.variable(f"z{k}")] = z[:, k]
        else:
            shift = fixed[plan.block.columns[k]] if form == HIERARCHICAL else 0.0
            values[plan.variable(f"b{k}")] = b[:, k] + shift
    return values


def _sd_values(plan: BlockPlan, sd: np.ndarray, prior: Decov | Lkj, sigma: float) -> dict[str, np.ndarray]:
    if isinstance(prior, Lkj):
        each = {plan.variable(f"scale{j}"): np.array(value) for j, value in enumerate(sd)}
        return {plan.variable("scale"): sd, **each}  # the graph has one or the other
    tau = np.sqrt(np.mean(sd**2)) / (prior.scale * sigma)
    values = {plan.variable("tau"): np.array(tau)}
    if len(sd) > 1:
        values[plan.variable("share")] = sd**2 / np.sum(sd**2)
    return values


def _correlation_factor(corr: np.ndarray) -> np.ndarray:
    """Cholesky factor of a correlation matrix, drawn towards the identity until it has one."""
    for weight in (1.0, 0.9, 0.7, 0.4, 0.0):
        mixed = weight * corr + (1 - weight) * np.eye(len(corr))
        if np.linalg.eigvalsh(mixed)[0] > 0.01:
            return np.linalg.cholesky(mixed)
    return np.eye(len(corr))


def _partial_correlations(factor: np.ndarray) -> np.ndarray:
    """Canonical partial correlations of a Cholesky factor, row by row: the inverse of `correlation_cholesky`."""
    out = []
    for i in range(1, len(factor)):
        left = 1.0
        for j in range(i):
            r = factor[i, j] / np.sqrt(left)
            out.append(r)
            left *= 1 - r**2
    return np.array(out)


def flat_start(design: Design, priors: Priors, coefficients: tuple[Variable, ...]) -> dict[str, np.ndarray]:
    """Return fixed effects at which every row has nearly the same expected response, the mean of all responses.

    There the density is finite whatever the link: at 0, the prior's centre, an inverse or a square root has none, or
    no slope. Group effects start at their own prior's centre, which is 0.
    """
    if design.family.is_ordinal:
        return threshold_start(design)
    link = LINKS.get(design.family.link)
    if link is None:
        return {}
    centred = design.X - design.X.mean(axis=0)
    if priors.intercept is not None:
        centred[:, design.coefficients.index("(Intercept)")] = 1.0
    target = np.full(design.nobs, link.forward(np.array(_typical_mean(design))))
    offset = 0.0 if design.offset is None else design.offset
    beta = np.linalg.lstsq(centred, target - offset, rcond=None)[0]
    return fixed_values(design, priors, coefficients, beta)


def _typical_mean(design: Design) -> float:
    """Mean response, or what the linear predictor is about, inside the domain of the link."""
    y = design.y if design.trials is None else design.y / design.trials
    name = design.family.name
    if name.startswith("hurdle"):
        y = y[y > 0]
    if name.endswith("lognormal"):
        return float(np.log(y).mean())
    if design.family.support in {"binomial", "unit"}:
        return float(np.clip(y.mean(), EDGE, 1 - EDGE))
    if design.family.link == "identity":
        return float(y.mean())
    return float(max(y.mean(), EDGE * np.abs(y).mean()))
