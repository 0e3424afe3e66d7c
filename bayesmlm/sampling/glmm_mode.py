"""Where the posterior of a generalised model has its maximum, and the Gaussian approximation there.

The target's map from standard normal numbers z to group effects needs working weights and responses (see
`kernels.whitening`). At z = 0 the map gives the conditional modes of the group effects, to the accuracy of that
approximation, and the density is then that of Laplace for the other parameters,

    log p(y | b-hat) + log p(beta, theta, auxiliaries) - u-hat'u-hat / 2 - 1/2 log|I + Lambda'Z'WZ Lambda|.

So the search alternates: maximise over x at z = 0; take weights and responses anew at the predictors found. It starts
from weights and responses at the data, as iterated weighted least squares does (McCullagh & Nelder 1989, section 2.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from bayesmlm.errors import SamplingError
from bayesmlm.families import LINKS, variance
from bayesmlm.kernels.glmm_rows import Rows
from bayesmlm.kernels.glmm_target import GlmmTarget, build_glmm_target
from bayesmlm.priors import Priors

ROUNDS = 12
SETTLED = 0.05  # change of a parameter between two rounds, in posterior standard deviations
STEP = 1e-3
FLATTEST, STEEPEST = 0.2, 1e14  # curvature; a flatter direction has a tail that it does not describe
SHARE = 0.5  # of the spread of the working responses, that a block is taken to explain at first
CERTAIN = 0.2  # standard error of the logarithm of a standard deviation that is far from zero
SHRINKS = 20
STEADY = 1e-10  # of the largest working weight


@dataclass(frozen=True)
class Approximation:
    """The posterior near its mode.

    Attributes
    ----------
    target : GlmmTarget
        With working weights and responses taken at the mode.
    mode : ndarray, shape (d,)
    root : ndarray, shape (d, d)
        A root of the inverse curvature there.
    """

    target: GlmmTarget
    mode: np.ndarray
    root: np.ndarray


def approximate(rows: Rows, priors: Priors) -> Approximation:
    """Find mode and curvature of the posterior of x, group effects at their conditional modes."""
    auxiliary = first_auxiliary(rows)
    weight, response = _from_data(rows, auxiliary)
    x = _first(rows, weight, response, auxiliary)
    k, scale = len(rows.centre), _scales(rows, priors, len(auxiliary))
    curvature = _steps(rows, weight, scale)
    for _ in range(ROUNDS):
        target = build_glmm_target(rows, priors, weight, response, x[:k])
        before, x = x, _maximise(target, x, curvature)
        eta, score, information = target.linearised(x, np.zeros(target.n_effects))
        weight, response = _working(eta - rows.offset, score, information)
        curvature = _steps(rows, weight, scale)
        if np.all(np.abs(x - before) < SETTLED * curvature):
            break
    target = build_glmm_target(rows, priors, weight, response, x[:k])
    x = _inside(target, x)
    return _bend(Approximation(target, x, _root(target, x, scale, curvature)))


def _bend(near: Approximation) -> Approximation:
    """Bend the coordinates of standard deviations that may be next to zero, from a little below the mode on."""
    target, error = near.target, np.sqrt(np.sum(np.square(near.root), axis=1))
    bend, first = np.full(len(near.mode), -np.inf), target.n_fixed
    for block in target.rows.design.blocks:
        p = len(block.columns)
        own = slice(first, first + p)
        below = near.mode[own] - 0.5 * error[own]
        bend[own] = np.where(error[own] > CERTAIN, below, -np.inf)
        first += p * (p + 1) // 2
    return Approximation(target.bent(bend), near.mode, near.root)


def first_auxiliary(rows: Rows) -> dict[str, float]:
    """Guess the auxiliary parameters from the responses alone."""
    y = rows.first
    mean, spread = float(np.mean(y)), float(np.var(y))
    guess = {
        "sigma": np.sqrt(spread) * SHARE,
        "nu": 10.0,
        "shape": 1.0 if rows.design.family.name == "exponential" else 2.0 * mean**2 / spread,
        "reciprocal_dispersion": 2.0,
        "lambda": 2.0 * abs(mean) ** 3 / spread,
        "phi": 2.0 * max(mean * (1.0 - mean) / spread - 1.0, 1.0),
    }
    return {name: guess[name] for name in rows.design.family.auxiliary}


def _from_data(rows: Rows, auxiliary: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Working weights and responses, offset left out, with every mean at its response, a little off a boundary."""
    family, first, second = rows.design.family, rows.first, rows.second
    one = np.ones_like(first)
    match family.name:
        case "binomial":
            y, mu, trials = first / second, (first + 0.5) / (second + 1.0), second
        case "poisson":
            y, mu, trials = first / second, (first + 0.1 * one) / second, one
        case "negativebinomial":
            y, mu, trials = first, np.where(first == 0, 1 / 6, first), one
        case "beta":
            y, mu, trials = first, first, one
        case _:
            # a Gaussian response may be negative though its mean, by the link, may not
            least = 0.1 * abs(first.mean()) if family.link in ("log", "inverse") else -np.inf
            y, mu, trials = first, np.maximum(first, least), one
    if family.name == "lognormal":
        return second / auxiliary["sigma"] ** 2, y - rows.offset
    link = LINKS[family.link]
    eta = link.forward(mu)
    slope = link.slope(eta)
    if family.name == "binomial":
        spread = mu * (1.0 - mu) / trials
    else:
        values = {name: np.asarray(v) for name, v in auxiliary.items()}
        spread = variance(family, eta, values) / second
    weight = np.square(slope) / spread
    return weight, eta + (y - mu) / slope - rows.offset


def _working(eta: np.ndarray, score: np.ndarray, information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Working weights and responses at linear predictors, offset left out."""
    weight = np.maximum(np.nan_to_num(information), STEADY * np.nanmax(information))
    return weight, eta + score / weight


def _first(rows: Rows, weight: np.ndarray, response: np.ndarray, auxiliary: dict[str, float]) -> np.ndarray:
    """Parameters to start from: pooled least squares, and groups that explain a good part of the rest."""
    X, root = rows.design.X, np.sqrt(weight)
    beta = np.linalg.lstsq(root[:, None] * X, root * response, rcond=None)[0]
    rest = response - X @ beta
    size = np.sqrt(np.average(np.square(rest), weights=weight)) * SHARE
    if rows.design.family.has_sigma:
        size /= auxiliary["sigma"]
    parts = [beta]
    for block in rows.design.blocks:
        p = len(block.columns)
        sd = np.log(size / np.sqrt(np.mean(np.square(block.Z), axis=0)) / np.sqrt(p))
        parts += [sd, np.zeros(p * (p - 1) // 2)]
    return np.concatenate([*parts, np.log([auxiliary[name] for name in auxiliary])])


def _scales(rows: Rows, priors: Priors, n_auxiliary: int) -> np.ndarray:
    """What the curvature is measured in: scales of the priors of the fixed effects, and 1."""
    adjusted = [
        priors.intercept if name == "(Intercept)" else priors.coefficients[name]
        for name in rows.design.coefficients
    ]
    fixed = [prior.used["scale"] for prior in adjusted if prior is not None]
    size = sum(len(b.columns) * (len(b.columns) + 1) // 2 for b in rows.design.blocks)
    return np.concatenate([fixed, np.ones(size + n_auxiliary)])


def _inside(target: GlmmTarget, x: np.ndarray) -> np.ndarray:
    """Shrink the groups until every linear predictor is one that the link allows."""
    first, found, zero = target.n_fixed, x.copy(), np.zeros(target.n_effects)
    for _ in range(SHRINKS):
        if np.isfinite(target.log_density(found, zero)[0]):
            return found
        at = first
        for block in target.rows.design.blocks:
            p = len(block.columns)
            found[at : at + p] -= 0.5
            at += p * (p + 1) // 2
    family = target.rows.design.family
    raise SamplingError(
        f"no linear predictor of {family.spelled} responses with the link {family.spelled_link} has a likelihood "
        "near the data: take another link, such as 'log', or sampler='pymc'"
    )


def _steps(rows: Rows, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """How far a parameter moves until the density changes: standard errors of fixed effects without groups, or 0.2."""
    k = rows.design.X.shape[1]
    fixed = 1.0 / np.sqrt(weight @ np.square(rows.design.X) + scale[:k] ** -2.0)
    return np.concatenate([fixed, np.full(len(scale) - k, 0.2)])


def _maximise(target: GlmmTarget, x: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The maximum over x at z = 0, searched in units of `steps`."""
    zero = np.zeros(target.n_effects)

    def negative(v: np.ndarray) -> tuple[float, np.ndarray]:
        value, grad, _ = target.log_density(x + steps * v, zero)
        if not np.isfinite(value) or not np.all(np.isfinite(grad)):
            return np.inf, np.zeros_like(v)
        return -value, -grad * steps

    with np.errstate(all="ignore"):
        found = minimize(negative, np.zeros_like(x), jac=True, method="BFGS", options={"gtol": 1e-2})
    return x + steps * found.x


def _root(target: GlmmTarget, mode: np.ndarray, scale: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """A root of the inverse of the curvature at the mode, which is kept between FLATTEST and STEEPEST."""
    d, zero = len(mode), np.zeros(target.n_effects)
    H = np.empty((d, d))
    for i in range(d):
        step = np.zeros(d)
        step[i] = STEP * steps[i]
        above, below = target.log_density(mode + step, zero)[1], target.log_density(mode - step, zero)[1]
        H[i] = (below - above) / (2 * step[i])
    H = np.nan_to_num(H) * np.outer(scale, scale)
    w, V = np.linalg.eigh((H + H.T) / 2)
    return scale[:, None] * (V / np.sqrt(np.clip(w, FLATTEST, STEEPEST)))
