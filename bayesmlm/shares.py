"""Shares of the variance draw by draw: Bayesian R2, Nakagawa's R2 and intraclass correlations of a posterior.

What the three parts of the variance are, fixed, random and residual, is defined in `bayesmlm.variance`; here each draw
of the parameters gives one value of every share, so that shares have a posterior like any other quantity.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtri

from bayesmlm.design import Block, Design
from bayesmlm.draws import BlockDraws, Posterior, kept_effects, labelled
from bayesmlm.errors import BayesMLMError
from bayesmlm.families import mean, variance
from bayesmlm.link_scale import auxiliary_draws, residual_draws_on_link
from bayesmlm.newdata import new_design, rows_of_fit
from bayesmlm.outcome import outcome_of
from bayesmlm.predicting import linear_predictor_draws, pieces, sample_of
from bayesmlm.tables import check_probability, flat, icc_draws, point_frame
from bayesmlm.variance import VarianceParts, is_overdispersion, variance_parts

CHUNK = 4_000_000  # numbers in one array of rows x draws: 32 MB
KINDS = ("share", "correlation")


def residual_sd(posterior: Posterior) -> np.ndarray:
    """Draws of the residual standard deviation, shape (chain x draw,).

    Raises
    ------
    BayesMLMError
        If the model has none.
    """
    if posterior.sigma is None:
        raise BayesMLMError("the model has no residual standard deviation")
    return posterior.sigma.values.ravel()


def flat_effects(block: Block, draws: BlockDraws) -> np.ndarray:
    """Draws of a block's effects at all its levels, shape (chain x draw, level, column)."""
    return kept_effects(block, draws).reshape(-1, *draws.b.shape[2:])


def flat_cov(draws: BlockDraws) -> np.ndarray:
    """Draws of a block's covariance matrix, shape (chain x draw, column, column)."""
    return draws.cov.values.reshape(-1, len(draws.columns), len(draws.columns))


def by_chain(posterior: Posterior, values: np.ndarray, share: list[str]) -> xr.DataArray:
    """Label values of shape (chain x draw, share) as (chain, draw, share)."""
    shape = (posterior.n_chains, posterior.n_draws // posterior.n_chains, len(share))
    return labelled(values.reshape(shape), share=share)


def share_frame(draws: xr.DataArray, prob: float) -> pd.DataFrame:
    """Summarise (chain, draw, share) draws: Median, MAD_SD, conf_low, conf_high by share.

    The interval is central with posterior probability `prob`.
    """
    low, high = np.quantile(flat(draws), interval_ends(prob), axis=0)
    return point_frame(draws).assign(conf_low=low, conf_high=high)


def interval_ends(prob: float) -> list[float]:
    """Return the two probabilities between which a central interval lies."""
    prob = check_probability(prob, "prob")
    return [(1 - prob) / 2, (1 + prob) / 2]


# -- R2 --------------------------------------------------------------------------------------------


def bayes_r2_draws(design: Design, posterior: Posterior, re_formula: str | None = None) -> xr.DataArray:
    """Draws of the Bayesian R2, (chain, draw, share) with the one share ``"R2"``.

    R2_s = V_i(mu_si) / (V_i(mu_si) + sigma_s^2 mean_i(1 / w_i)): the variance over the n rows (divisor n - 1) of the
    expected response of draw s, over itself plus the model's residual variance (Gelman, Goodrich, Gabry & Vehtari
    2019, Am. Stat. 73, 307-309, section 3). The offset is part of mu, as in rstanarm.

    In generalised models mu is the expected response, and the residual variance is the family's, mean_i V(y_i | mu_si).
    Of binomials with several trials both are about numbers of successes, as in rstanarm. Rows count as often as their
    weight says.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    re_formula
        Group effects in mu: all (None), none (``"~0"``), or those of ``"~ (1 | school)"``.
    """
    if not design.family.is_gaussian_identity:
        return by_chain(posterior, _general_r2(design, posterior, re_formula)[:, None], ["R2"])
    fit = fit_variance(design, posterior, re_formula)
    spread = 1.0 if design.weights is None else float(np.mean(1 / design.weights))
    share = fit / (fit + spread * residual_sd(posterior) ** 2)
    return by_chain(posterior, share[:, None], ["R2"])


def _general_r2(design: Design, posterior: Posterior, re_formula: str | None) -> np.ndarray:
    """Var(mu) / (Var(mu) + mean V(y | mu)) over the rows, by draw: shape (chain x draw,)."""
    outcome = outcome_of(design, back_transform=False)
    if outcome.levels:
        raise BayesMLMError(f"{design.response} is a category, which has no variance to explain: no R2")
    sample = sample_of(design, posterior)
    rows, m = rows_of_fit(design, re_formula), design.trials
    weights = np.ones(design.nobs) if design.weights is None else design.weights
    if design.family.name == "gaussian":  # whose weights are about the residual variance
        weights = np.ones(design.nobs)
    total = weights.sum()
    sums = np.zeros((3, sample.size))
    centre: np.ndarray | None = None
    for at in pieces(design.nobs, sample.size):
        eta = linear_predictor_draws(sample, rows, None, at)
        mu = mean(design.family, eta, sample.parameters)
        spread = variance(design.family, eta, sample.parameters, None if m is None else m[at])
        if m is not None:
            mu, spread = mu * m[at], spread * m[at] ** 2
        if design.family.name == "gaussian" and design.weights is not None:
            spread = spread / design.weights[at]
        centre = mu[:, :1] if centre is None else centre  # against cancellation
        for i, values in enumerate((mu - centre, (mu - centre) ** 2, spread)):
            sums[i] += values @ weights[at]
    fit = (sums[1] - sums[0] ** 2 / total) / (total - 1)
    return fit / (fit + sums[2] / total)


def fit_variance(design: Design, posterior: Posterior, re_formula: str | None = None) -> np.ndarray:
    """Variance over the rows of the expected response, divisor n - 1, by draw: shape (chain x draw,)."""
    beta = flat(posterior.fixef)
    parts = _wanted_parts(design, re_formula)
    effects = {i: flat_effects(design.blocks[i], posterior.blocks[i]) for i, _, _ in parts}
    out = np.empty(len(beta))
    step = max(1, CHUNK // design.nobs)
    for start in range(0, len(beta), step):
        chosen = slice(start, start + step)
        mu = design.X @ beta[chosen].T
        if design.offset is not None:
            mu += design.offset[:, None]
        for i, columns, Z in parts:
            index, b = design.blocks[i].index, effects[i][chosen]
            for j, z in zip(columns, Z.T, strict=True):
                mu += z[:, None] * b[:, :, j].T[index]
        out[chosen] = mu.var(axis=0, ddof=1)
    return out


def _wanted_parts(design: Design, re_formula: str | None) -> list[tuple[int, tuple[int, ...], np.ndarray]]:
    """Return position, columns and their values of the blocks that `re_formula` asks for."""
    if re_formula is None:
        return [(i, tuple(range(len(b.columns))), b.Z) for i, b in enumerate(design.blocks)]
    wanted = new_design(design, design.frame, re_formula=re_formula, given_offset=False)
    return [(b.position, b.columns, b.Z) for b in wanted.blocks]


def parts_draws(design: Design, posterior: Posterior, approximation: str | None = None) -> VarianceParts:
    """Draws of the three parts of a row's variance, each of shape (chain x draw,)."""
    covariances = [flat_cov(b) for b in posterior.blocks]
    values = auxiliary_draws(posterior)
    sigma = values.pop("sigma", None)
    return variance_parts(design, flat(posterior.fixef), covariances, sigma, values, approximation)


def r2_draws(design: Design, posterior: Posterior, approximation: str | None = None) -> xr.DataArray:
    """Draws of Nakagawa's R2, (chain, draw, share): ``marginal``, ``conditional``; see `bayesmlm.variance`."""
    parts = parts_draws(design, posterior, approximation)
    values = np.column_stack([parts.marginal_r2, parts.conditional_r2])
    return by_chain(posterior, values, ["marginal", "conditional"])


# -- intraclass correlations -----------------------------------------------------------------------


def overall_icc_draws(design: Design, posterior: Posterior, approximation: str | None = None) -> xr.DataArray:
    """Draws of the ICC of all group effects, (chain, draw, share): ``adjusted``, ``unadjusted``."""
    parts = parts_draws(design, posterior, approximation)
    values = np.column_stack([parts.adjusted_icc, parts.unadjusted_icc])
    return by_chain(posterior, values, ["adjusted", "unadjusted"])


def level_icc_draws(
    design: Design,
    posterior: Posterior,
    kind: str = "share",
    z: dict[str, np.ndarray] | None = None,
    approximation: str | None = None,
) -> xr.DataArray:
    """Draws of the intraclass correlation of each block, (chain, draw, share) with the blocks' labels.

    With v_k = z_k' Sigma_k z_k, the variance that block k gives to a row, and v = sum_k v_k + sigma^2, in generalised
    models with the distribution-specific variance on the scale of the link in the place of sigma^2 (an effect for every
    row, which stands for overdispersion, counts in v only):

    - ``"share"``: v_k / v, the share of the variance that lies at this level;
    - ``"correlation"``: sum of v_l over k and all blocks whose factor contains that of k, over v. Two rows in one class
      share the class and its school, so their correlation counts both.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    kind
        ``"share"`` or ``"correlation"``.
    z
        Value of each block's columns, by label. None: 1 for an intercept and 0 for a slope, and then blocks without an
        intercept are left out.
    approximation
        Of the distribution-specific variance; see `bayesmlm.variance`.
    """
    if kind not in KINDS:
        raise BayesMLMError(f"kind = {kind!r}: choose 'share' or 'correlation'")
    residual = residual_draws_on_link(design, posterior, approximation)
    if z is None:
        shares = flat(icc_draws(posterior, residual))
        blocks = [b for b in design.blocks if "(Intercept)" in b.columns]
    else:
        blocks = list(design.blocks)
        variances = np.column_stack(
            [
                np.einsum("a,sab,b->s", z[b.label], flat_cov(d), z[b.label])
                for b, d in zip(blocks, posterior.blocks, strict=True)
            ]
        )
        shares = variances / (variances.sum(axis=1) + residual)[:, None]
    kept = [k for k, b in enumerate(blocks) if not is_overdispersion(design, b)]
    blocks, shares = [blocks[k] for k in kept], shares[:, kept]
    if kind == "correlation":
        # inside[k, l]: two rows in one unit of k are in one unit of l too
        inside = np.array([[is_nested(b, other) for other in blocks] for b in blocks], dtype=float)
        shares = shares @ inside.reshape(len(blocks), len(blocks)).T
    return by_chain(posterior, shares, [b.label for b in blocks])


def median_ratios(design: Design, posterior: Posterior, prob: float = 0.9) -> pd.DataFrame:
    """Return the median odds ratio or rate ratio of each block with an intercept; see `Fit.median_ratio`."""
    kind = {"logit": "odds", "log": "mean"}.get(design.family.link)
    if kind is None:
        raise BayesMLMError(
            f"effects with the link {design.family.spelled_link} are no ratios: median_ratio() is for logit and log"
        )
    blocks = [b for b in posterior.blocks if "(Intercept)" in b.columns]
    sd = [b.sd.sel(column="(Intercept)").values.ravel() for b in blocks]
    ratios = np.exp(np.sqrt(2) * ndtri(0.75) * np.array(sd).reshape(len(blocks), -1).T)
    frame = share_frame(by_chain(posterior, ratios, [b.label for b in blocks]), prob)
    return frame.rename_axis("group").reset_index().assign(ratio=kind)[["group", "ratio", *frame.columns]]


def is_nested(block: Block, other: Block) -> bool:
    """Whether each unit of a block's factor lies within one unit of the other's; a factor lies within itself."""
    return bool(np.array_equal(outer_levels(block, other)[block.index], other.index))


def outer_levels(block: Block, other: Block) -> np.ndarray:
    """For each level of a block one level of the other that occurs with it: the only one if it is nested there."""
    found = np.zeros(len(block.levels), dtype=np.intp)
    found[block.index] = other.index
    return found
