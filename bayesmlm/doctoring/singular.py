"""Which combination of group effects a reference fit leaves without variance, and what the posterior says of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.covariance import lower_pairs, split_theta
from bayesmlm.design import Block, Design
from bayesmlm.draws import BlockDraws, Posterior
from bayesmlm.priors import Distribution, Priors
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate

FLAT = 1e-4  # sd of a combination relative to sigma: lme4's tolerance for a singular fit
NEAR = 0.05
SMALL_SHARE = 0.1  # of sigma; of the linear predictor where there is no sigma
EXTREME = 0.9

ALL_ZERO, ZERO_SD, LINE, COMBINATION, REGULAR = "all zero", "zero sd", "line", "combination", "regular"


@dataclass(frozen=True, eq=False)
class Degenerate:
    """A direction in which the effects of one block do not vary, or hardly, by the reference fit.

    Attributes
    ----------
    block : Block
    kind : str
        ``"all zero"``: every variance of the block is 0; ``"zero sd"``: that of one column is; ``"line"``: of an
        intercept and one column, correlated at -1 or 1; ``"combination"``: any other.
    weights : ndarray, shape (p,)
        w with Var(w'b) = 0; that of the effect which matters most is 1.
    sd : float
        Standard deviation of the combination, typical columns, relative to sigma.
    exact : bool
        Whether it is 0 to within lme4's tolerance, or only near.
    ratio : float
        For a line: what an effect of the column is times the intercept, Cov(b0, b1) / Var(b0).
    meeting : float
        For a line: value of the column at which all levels have the same expected value. NaN otherwise.
    """

    block: Block
    kind: str
    weights: np.ndarray
    sd: float
    exact: bool
    ratio: float = np.nan
    meeting: float = np.nan


def typical_size(block: Block) -> np.ndarray:
    """Root mean square of each column: what an effect does to the response, whatever the unit of its column."""
    return np.sqrt(np.mean(block.Z**2, axis=0))


def degenerate(design: Design, estimate: LmerEstimate | GlmerEstimate) -> tuple[Degenerate, ...]:
    """Return the directions without variance of every block.

    With D the typical sizes of a block's columns, an eigenvector v of D Lambda Lambda' D of eigenvalue 0 is such a
    direction: the combination sum_k v_k D_k b_k has variance 0.
    """
    found: list[Degenerate] = []
    lambdas = split_theta(estimate.theta, [len(b.columns) for b in design.blocks])
    for block, lam in zip(design.blocks, lambdas, strict=True):
        found += _of_block(block, lam)
    return tuple(found)


def _of_block(block: Block, lam: np.ndarray) -> list[Degenerate]:
    size = typical_size(block)
    values, vectors = np.linalg.eigh((size[:, None] * lam) @ (size[:, None] * lam).T)
    sds = np.sqrt(np.maximum(values, 0.0))
    own = size * np.linalg.norm(lam, axis=1)  # sd of each column, relative to sigma
    p = len(size)
    if sds.max() <= FLAT:
        return [Degenerate(block, ALL_ZERO, np.ones(p), float(sds.max()), True)]
    out = [
        Degenerate(block, ZERO_SD, np.eye(p)[k], float(own[k]), bool(own[k] <= FLAT))
        for k in np.flatnonzero(own <= NEAR)
    ]
    rest = np.flatnonzero(own > NEAR)
    if len(rest) > 1:
        cov = (size[rest, None] * lam[rest]) @ (size[rest, None] * lam[rest]).T
        values, vectors = np.linalg.eigh(cov)
        limit = max(FLAT, NEAR * float(np.sqrt(values[-1])))
        for value, v in zip(values, vectors.T, strict=True):
            sd = float(np.sqrt(max(value, 0.0)))
            if sd <= limit:
                out.append(_direction(block, lam, size, rest, v, sd))
    return out


def _direction(
    block: Block, lam: np.ndarray, size: np.ndarray, rest: np.ndarray, v: np.ndarray, sd: float
) -> Degenerate:
    weights = np.zeros(len(size))
    raw = v * size[rest]
    weights[rest] = raw / raw[np.argmax(np.abs(v))]
    exact = sd <= FLAT
    if len(rest) == 2 and block.columns[rest[0]] == "(Intercept)":
        cov = lam @ lam.T
        ratio = float(cov[rest[0], rest[1]] / cov[rest[0], rest[0]])
        # Var(b0 + b1 x) is least at x = -cov / var(b1)
        meeting = -float(cov[rest[0], rest[1]] / cov[rest[1], rest[1]])
        return Degenerate(block, LINE, weights, sd, exact, ratio, meeting)
    return Degenerate(block, COMBINATION, weights, sd, exact)


# -- what the posterior says instead ----------------------------------------------------------------


def boundary_frame(
    design: Design,
    posterior: Posterior,
    priors: Priors,
    estimate: LmerEstimate | GlmerEstimate | None,
    prob: float,
    seed: int = 1,
) -> pd.DataFrame:
    """Return one row per standard deviation and correlation: estimate, posterior, prior, and how near to the boundary.

    Columns
    -------
    block, term
        The block's label; ``sd__x`` or ``cor__x.z``, as broom.mixed names them.
    reference
        ML/REML estimate; NaN without one.
    median, conf_low, conf_high
        Of the posterior; central interval of probability `prob`.
    near_boundary
        P(sd x typical size of the column < 10% of sigma, or 0.1 without sigma), or P(|r| > 0.9).
    typical
        Root mean square of the column; NaN for correlations.
    prior_low, prior_high
        The prior's central interval, by simulation for standard deviations.
    width_ratio
        Width of the posterior interval over that of the prior: near 1, the data have said next to nothing.
    """
    rng = np.random.default_rng(seed)
    sigma = _prior_sigma(priors, rng)
    rows: list[dict] = []
    for b, block in enumerate(design.blocks):
        draws = posterior.block(block.label)
        known = None if estimate is None else estimate.varcorr.blocks[b]
        covariance = priors.covariance[block.label]
        simulated = covariance.sample_sd(rng, len(sigma), len(block.columns), sigma)
        for k, column in enumerate(block.columns):
            low, high = _interval(simulated[:, k], prob)
            row = _sd_row(draws, k, float(typical_size(block)[k]), posterior, prob)
            reference = np.nan if known is None else known.sd[k]
            rows.append(
                {"block": block.label, "term": f"sd__{column}", "reference": reference}
                | row
                | _prior(row, low, high)
            )
        for i, j in lower_pairs(len(block.columns)):
            low, high = _prior_correlation(covariance.regularization, len(block.columns), prob)
            row = _corr_row(draws.corr.values[..., i, j].ravel(), prob)
            reference = np.nan if known is None else known.corr[i, j]
            term = f"cor__{block.columns[j]}.{block.columns[i]}"
            rows.append(
                {"block": block.label, "term": term, "reference": reference} | row | _prior(row, low, high)
            )
    return pd.DataFrame(rows)


def _interval(x: np.ndarray, prob: float) -> tuple[float, float]:
    low, high = np.quantile(x, [(1 - prob) / 2, (1 + prob) / 2])
    return float(low), float(high)


def _sd_row(draws: BlockDraws, k: int, typical: float, posterior: Posterior, prob: float) -> dict:
    sd = draws.sd.values[..., k].ravel()
    low, high = _interval(sd, prob)
    scale = 1.0 if posterior.sigma is None else posterior.sigma.values.ravel()
    small = float(np.mean(sd * typical < SMALL_SHARE * scale))
    out = {"median": float(np.median(sd)), "conf_low": low, "conf_high": high}
    return out | {"near_boundary": small, "typical": typical}


def _corr_row(r: np.ndarray, prob: float) -> dict:
    low, high = _interval(r, prob)
    out = {"median": float(np.median(r)), "conf_low": low, "conf_high": high}
    return out | {"near_boundary": float(np.mean(np.abs(r) > EXTREME)), "typical": np.nan}


def _prior(row: dict, low: float, high: float) -> dict:
    ratio = (row["conf_high"] - row["conf_low"]) / (high - low)
    return {"prior_low": low, "prior_high": high, "width_ratio": ratio}


def _prior_sigma(priors: Priors, rng: np.random.Generator, size: int = 20_000) -> np.ndarray:
    if priors.sigma is None:
        return np.ones(size)
    used = priors.sigma.used
    return used.sample(rng, size) if isinstance(used, Distribution) else np.full(size, np.nan)


def _prior_correlation(eta: float, p: int, prob: float) -> tuple[float, float]:
    """Interval of one correlation under LKJ(eta): (r + 1) / 2 ~ Beta(a, a), a = eta - 1 + p / 2."""
    from scipy.stats import beta

    a = eta - 1 + p / 2
    low, high = 2 * beta.ppf([(1 - prob) / 2, (1 + prob) / 2], a, a) - 1
    return float(low), float(high)
