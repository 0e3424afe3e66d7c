"""How much a posterior would change if prior or likelihood counted more: power-scaling sensitivity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bayesmlm.crossprod import cross_products, orthogonal_basis
from bayesmlm.design import Design
from bayesmlm.draws import SAMPLE, Posterior, kept_effects, labelled
from bayesmlm.errors import BayesMLMError, PriorError, did_you_mean
from bayesmlm.group_density import joint_log_density
from bayesmlm.kernels.gaussian import gaussian_kernel
from bayesmlm.left_out import long_draws, row_log_density, rows_by_group, rows_of_fit
from bayesmlm.prior_posterior import parameter_rows, parameter_values
from bayesmlm.priors import Priors, log_prior

CHUNK = 10_000_000  # fitted values held at a time
ALPHAS = (0.99, 1.01)
THRESHOLD = 0.05

CONFLICT, STRONG, FINE = (
    "prior and data may conflict",
    "prior strong, data weak",
    "prior matters little",
)


def posterior_log_prior(design: Design, priors: Priors, posterior: Posterior) -> dict[str, xr.DataArray]:
    """Log-density of the priors at each draw, (chain, draw), by what they are about; see `bayesmlm.priors.log_prior`.

    Raises
    ------
    PriorError
        If some prior has no density that can be evaluated: a ``bambi.Prior``, or a joint prior of slopes, whose local
        scales are not kept.
    """
    if priors.custom or priors.joint is not None:
        which = f"that of {priors.custom} is a bambi.Prior" if priors.custom else ""
        if priors.joint is not None:
            which = f"{priors.joint.name} of the slopes depends on scales that are not kept"
        raise PriorError(
            f"the density of the priors cannot be evaluated: {which}; give priors such as bm.normal()"
        )
    sds, corrs = tuple(b.sd.values for b in posterior.blocks), tuple(b.corr.values for b in posterior.blocks)
    sigma = None if posterior.sigma is None else posterior.sigma.values
    others = {name: x.values for name, x in posterior.auxiliary.items()}
    parts = log_prior(design, priors, posterior.fixef.values, sigma, sds, corrs, others)
    return {name: labelled(values) for name, values in parts.items()}


def marginal_log_likelihood(design: Design, posterior: Posterior) -> xr.DataArray:
    """Log-likelihood of all rows at each draw, group effects integrated out: log N(y; X beta, sigma^2 V).

    V = W^-1 + Z Lambda Lambda'Z', by the sums over rows of `bayesmlm.kernels.marginal`; one evaluation per draw. Of
    generalised models with one grouping factor the integrals are those of `bayesmlm.group_density`.

    Raises
    ------
    BayesMLMError
        For generalised models with several grouping factors, whose effects cannot be integrated out group by group.
    """
    if not design.family.is_gaussian_identity:
        return _general_marginal(design, posterior)
    assert posterior.sigma is not None
    cp = cross_products(design, orthogonal_basis(design))
    kernel, n = gaussian_kernel(cp), design.nobs
    sigma = posterior.sigma.values.ravel()
    beta = posterior.fixef.values.reshape(len(sigma), -1)
    gamma = (beta - cp.basis.shift) @ cp.basis.x.T
    contrasts = np.column_stack([-gamma, np.ones(len(sigma))])
    roots = []
    for block, t in zip(posterior.blocks, cp.basis.z, strict=True):
        p = len(block.columns)
        values, vectors = np.linalg.eigh(block.corr.values.reshape(-1, p, p))
        root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
        sd = block.sd.values.reshape(-1, p)
        roots.append(t @ ((sd / sigma[:, None])[..., None] * root))
    logdet, squares = np.empty(len(sigma)), np.empty(len(sigma))
    for s in range(len(sigma)):
        found = kernel.eliminate([root[s] for root in roots])
        logdet[s], squares[s] = found.logdet, contrasts[s] @ found.S @ contrasts[s]
    value = -n * np.log(sigma) - (logdet + squares / sigma**2 + n * np.log(2 * np.pi)) / 2
    if design.weights is not None:
        value += np.log(design.weights).sum() / 2
    return labelled(value.reshape(posterior.sigma.shape))


def conditional_log_likelihood(design: Design, posterior: Posterior) -> xr.DataArray:
    """Log-likelihood of all rows at each draw, given the group effects: sum log N(y_i; mu_i, sigma^2 / w_i).

    Of generalised models the sum of the rows' log-densities under their family.
    """
    if not design.family.is_gaussian_identity:
        return _general_conditional(design, posterior)
    assert posterior.sigma is not None
    n, size = design.nobs, posterior.n_draws
    beta = posterior.fixef.values.reshape(size, -1)
    effects = [
        kept_effects(block, draws).reshape(size, len(block.levels), -1)
        for block, draws in zip(design.blocks, posterior.blocks, strict=True)
    ]
    weights = np.ones(n) if design.weights is None else design.weights
    response = design.y if design.offset is None else design.y - design.offset
    squares, step = np.empty(size), max(1, CHUNK // n)
    for start in range(0, size, step):
        part = slice(start, start + step)
        residual = response - beta[part] @ design.X.T
        for block, b in zip(design.blocks, effects, strict=True):
            for j, z in enumerate(block.Z.T):
                residual -= z * b[part, :, j][:, block.index]
        squares[part] = residual**2 @ weights
    sigma = posterior.sigma.values.reshape(size)
    value = (
        -n * np.log(sigma) - squares / (2 * sigma**2) - n / 2 * np.log(2 * np.pi) + np.log(weights).sum() / 2
    )
    return labelled(value.reshape(posterior.sigma.shape))


def _general_marginal(design: Design, posterior: Posterior) -> xr.DataArray:
    groups = {b.group for b in design.blocks}
    if len(groups) > 1:
        raise BayesMLMError(
            f"the effects of {' and '.join(sorted(groups))} cannot be integrated out together in a "
            f"{design.family.spelled} model: use likelihood='conditional'"
        )
    rows, index = rows_of_fit(design), design.blocks[0].index
    draws = long_draws(design, posterior, frozenset())
    value = np.sum([joint_log_density(part, draws) for part in rows_by_group(rows, index)], axis=0)
    return labelled(value.reshape(posterior.fixef.shape[:2]))


def _general_conditional(design: Design, posterior: Posterior) -> xr.DataArray:
    rows, draws = rows_of_fit(design), long_draws(design, posterior)
    step = max(1, CHUNK // design.nobs)
    parts = [
        row_log_density(rows, draws.take(slice(start, start + step))).sum(axis=1)
        for start in range(0, len(draws), step)
    ]
    return labelled(np.concatenate(parts).reshape(posterior.fixef.shape[:2]))


LIKELIHOODS = {"marginal": marginal_log_likelihood, "conditional": conditional_log_likelihood}


def sensitivity_frame(
    design: Design,
    priors: Priors,
    posterior: Posterior,
    threshold: float = THRESHOLD,
    by_prior: bool = False,
    likelihood: str | None = None,
) -> pd.DataFrame:
    """Power-scaling sensitivity of every parameter to its prior and to the likelihood (Kallioinen et al. 2024).

    Prior or likelihood is raised to the power alpha = 0.99 and 1.01 by importance weights (Pareto-smoothed); the
    sensitivity is the change of the posterior's distribution function, in cumulative Jensen-Shannon distance, per
    doubling of alpha, as ArviZ's ``psense``. The prior is that of fixed effects, sigma and
    covariances as stated (see `bayesmlm.priors.log_prior`); the distribution of group effects given their covariance
    is a part of the model, not of the prior, and is not scaled, as they advise for hierarchical models. The likelihood
    is that of all rows with group effects integrated out: what the data say of the parameters in the table.

    Parameters
    ----------
    design, priors, posterior
        A fit.
    threshold
        Sensitivity from which on a prior or the likelihood is said to matter; theirs is 0.05. A parameter that the
        data alone determine, with a normal posterior, has a sensitivity to the likelihood of 0.05 to 0.1.
    by_prior
        Whether to add the sensitivity to each part of the prior by itself: columns ``prior: intercept``,
        ``prior: slopes``, ``prior: sigma``, ``prior: covariance (<block>)``.
    likelihood
        "marginal", the default, or "conditional", that of generalised models with several grouping factors, on the
        group effects as priorsense has it with brms: then a fixed effect that is
        uncertain because there are few groups, however many rows, does not depend on the likelihood.

    Returns
    -------
    DataFrame
        One row per fixed effect, standard deviation, correlation, and sigma. Columns parameter, effect, group, term,
        prior, likelihood, and diagnosis: "prior and data may conflict" where both matter, "prior strong, data weak"
        where only the prior does, "prior matters little" otherwise.

    Raises
    ------
    PriorError
        If the density of a prior cannot be evaluated.
    DataError
        If the likelihood is conditional and not all group effects were kept.
    """
    if not isinstance(threshold, int | float) or not threshold > 0:
        raise BayesMLMError(f"threshold = {threshold!r}: give a positive number, such as {THRESHOLD:g}")
    if likelihood is None:
        several = len({b.group for b in design.blocks}) > 1 and not design.family.is_gaussian_identity
        likelihood = "conditional" if several else "marginal"
    if likelihood not in LIKELIHOODS:
        hint = did_you_mean(str(likelihood), LIKELIHOODS)
        raise BayesMLMError(f"likelihood = {likelihood!r}: choose 'marginal' or 'conditional'.{hint}")
    prior = posterior_log_prior(design, priors, posterior)
    tree = xr.DataTree.from_dict(
        {
            "posterior": parameter_values(posterior).to_dataset(name="x"),
            "log_prior": xr.Dataset(prior),
            "log_likelihood": xr.Dataset({"y": LIKELIHOODS[likelihood](design, posterior)}),
        }
    )
    frame = parameter_rows(posterior)[["parameter", "effect", "group", "term"]]
    frame = frame.assign(prior=_sensitivity(tree, "prior"), likelihood=_sensitivity(tree, "likelihood"))
    by_likelihood = np.where(frame["likelihood"] >= threshold, CONFLICT, STRONG)
    frame["diagnosis"] = np.where(frame["prior"] >= threshold, by_likelihood, FINE)
    for name in prior if by_prior else ():
        frame[f"prior: {name}"] = _sensitivity(tree, "prior", [name])
    return frame


def _sensitivity(tree: xr.DataTree, group: str, names: list[str] | None = None) -> np.ndarray:
    import arviz as az

    found = az.psense(tree, group=group, alphas=ALPHAS, sample_dims=list(SAMPLE), group_var_names=names)
    return np.atleast_1d(found["x"].values)
