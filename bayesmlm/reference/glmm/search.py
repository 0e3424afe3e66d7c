"""The minimum of the deviance of a generalised linear mixed model.

As for linear mixed models (`bayesmlm.reference.optimise`) the search runs over Lambda without bounds: changing the sign
of a column changes nothing, so that a variance of zero is an ordinary smooth minimum.

1. BFGS over Lambda, fixed effects found with the group effects (the criterion of nAGQ = 0), from the best multiple of
   the identity.
2. BFGS over all coordinates from there, then Newton's method with the Hessian by differences of the exact gradient.
3. Columns of Lambda that are zero but for rounding become zero. The deviance is even in such a column, so its second
   derivatives there tell a minimum from a saddle; from a saddle the search goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from bayesmlm.covariance import join_theta, split_theta
from bayesmlm.reference.glmm.criterion import LARGEST_ALPHA, Criterion
from bayesmlm.reference.optimise import LARGEST, lower_triangular

SCALES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
OTHER_SCALES = (0.15, 2.0)
ZERO = 1e-3  # a column of Lambda with a smaller diagonal is tried as exactly zero
DECREMENT = 1e-8  # Newton stops after a step that promises less than this
SADDLE = 1e-4  # negative second derivatives smaller than this are those of differences
ESCAPES = 4
NEWTON_STEPS = 50
WALL = 1e6  # above the start's deviance: the value where there is none
DIFFERENCE = 1e-5

UNSETTLED = "the deviance is too flat for a minimum to be found; rescale the columns, or use fewer effects"
BOUNDLESS = (
    "a standard deviation of groups grows without bound; do the groups determine the response completely?"
)
SADDLED = "the search keeps returning to a saddle point; use fewer group effects"
NO_START = "the deviance does not exist where the search starts: no valid means; try another link"


@dataclass(frozen=True)
class Found:
    """Where the search ended.

    Attributes
    ----------
    x : ndarray
        Coordinates of `Criterion`.
    value : float
    reason : str
        Why this is not a minimum; empty if it is one.
    ranks : tuple of int
        Rank of each Lambda.
    singular : bool
        Whether a covariance matrix is on its boundary.
    """

    x: np.ndarray
    value: float
    reason: str
    ranks: tuple[int, ...]
    singular: bool

    @property
    def converged(self) -> bool:
        """Whether the first- and second-order conditions of a minimum hold."""
        return not self.reason


def minimise(first: Criterion, last: Criterion) -> Found:
    """Minimise `last`, beginning with the minimum of `first`, in which the fixed effects are found with u."""
    best = _from_scale(first, last, None)
    if not best.reason and not best.singular:
        return best
    others = [_from_scale(first, last, scale) for scale in OTHER_SCALES]
    return min([best, *others], key=lambda f: (bool(f.reason), round(f.value, 7)))


def _from_scale(first: Criterion, last: Criterion, scale: float | None) -> Found:
    alpha = first.at.alpha
    scales = SCALES if scale is None else (scale,)
    starts = [first.joined([s * np.eye(p) for p in first.widths], np.zeros(0), alpha) for s in scales]
    values = [first.evaluate(x)[0] for x in starts]
    x = starts[int(np.argmin(values))]
    if not np.isfinite(min(values)):
        return Found(x, np.inf, NO_START, tuple(first.widths), False)
    x = _descend(first, x, np.diag(_inverse_scales(first)), 1e-2)
    lambdas, _, alpha = first.split(x)
    if last is first:
        return _settle(last, x)
    found = first.deviance(lambdas, np.zeros(first.at.X.shape[1]), alpha)
    gamma = np.zeros(last.k) if found is None else found.mode.gamma
    u = None if found is None else found.mode.u
    last.pirls.start_at(gamma, u)
    x = last.joined(
        [np.where(np.abs(lam) < ZERO, np.eye(len(lam)) * ZERO, lam) for lam in lambdas], gamma, alpha
    )
    return _settle(last, _descend(last, x, np.diag(_inverse_scales(last)), 1e-2))


def _inverse_scales(criterion: Criterion) -> np.ndarray:
    """Return rough inverse second derivatives: those without group effects for gamma, of J levels for Lambda."""
    levels = [len(block) for block in criterion.pirls.kernel.by_block(np.zeros(criterion.pirls.kernel.size))]
    phi = [np.full(p * (p + 1) // 2, 0.25 / j) for p, j in zip(criterion.widths, levels, strict=True)]
    return np.concatenate([*phi, np.full(criterion.k, 0.5), np.full(int(criterion.has_alpha), 0.05)])


def _descend(criterion: Criterion, x: np.ndarray, inverse: np.ndarray, gtol: float) -> np.ndarray:
    """Quasi-Newton steps until Newton's method can take over."""
    wall = criterion.evaluate(x)[0] + WALL

    def bounded(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = criterion.evaluate(root * z)
        return (value, root * gradient) if np.isfinite(value) else (wall, np.zeros(len(z)))

    root = np.sqrt(np.diag(inverse))
    options = {"gtol": gtol, "maxiter": 200}
    found = minimize(bounded, x / root, jac=True, method="BFGS", options=options)
    return _canonical(criterion, root * found.x)


def _canonical(criterion: Criterion, x: np.ndarray) -> np.ndarray:
    lambdas = [lower_triangular(lam) for lam in split_theta(x[: criterion.n_phi], criterion.widths)]
    return np.concatenate([join_theta(lambdas), x[criterion.n_phi :]])


def _settle(criterion: Criterion, x: np.ndarray) -> Found:
    """Polish, decide what is zero, and leave saddle points."""
    reason = ""
    for _ in range(ESCAPES):
        x, reason, H = _polish(criterion, _snap(criterion, x))
        snapped = _snap(criterion, x)
        if snapped is not x:
            x, reason, H = _polish(criterion, snapped)
        higher = _escape(criterion, x, H)
        if reason or higher is None:
            break
        x, reason = _descend(criterion, higher, np.diag(_inverse_scales(criterion)), 1e-2), SADDLED
    lambdas = criterion.split(x)[0]
    ranks = tuple(int(np.count_nonzero(np.diag(lam))) for lam in lambdas)
    reduced = any(rank < len(lam) for rank, lam in zip(ranks, lambdas, strict=True))
    return Found(x, criterion.evaluate(x)[0], reason, ranks, reduced)


def _zero(criterion: Criterion, x: np.ndarray) -> np.ndarray:
    """Return which coordinates belong to columns of Lambda that are zero."""
    lambdas = split_theta(x[: criterion.n_phi], criterion.widths)
    phi = join_theta([np.tril(np.ones_like(lam)) * (np.diag(lam) == 0) for lam in lambdas])
    return np.concatenate([phi > 0, np.zeros(criterion.size - criterion.n_phi, bool)])


def _snap(criterion: Criterion, x: np.ndarray) -> np.ndarray:
    """Make columns of Lambda that are almost zero exactly zero, unless the deviance disagrees."""
    lambdas = split_theta(x[: criterion.n_phi], criterion.widths)
    small = [(i, c) for i, lam in enumerate(lambdas) for c, d in enumerate(np.diag(lam)) if 0.0 < d < ZERO]
    if not small:
        return x
    before = criterion.evaluate(x)[0]
    for columns in (small, *([one] for one in small)):
        trial = [lam.copy() for lam in lambdas]
        for i, c in columns:
            trial[i][c, c] = 0.0
        moved = np.concatenate([join_theta([lower_triangular(t) for t in trial]), x[criterion.n_phi :]])
        if criterion.evaluate(moved)[0] <= before + _rounding(before):
            return _snap(criterion, moved)
    return x


def _polish(criterion: Criterion, x: np.ndarray) -> tuple[np.ndarray, str, np.ndarray]:
    """Newton's method in the coordinates that are not zero; also the last Hessian, in all coordinates."""
    free = np.flatnonzero(~_zero(criterion, x))
    value, gradient = criterion.evaluate(x)
    decrement, H = np.inf, np.zeros((len(x), len(x)))
    for _ in range(NEWTON_STEPS):
        H = hessian(criterion, x, gradient)
        step = np.zeros_like(x)
        step[free] = _newton_step(H[np.ix_(free, free)], gradient[free])
        decrement = -float(gradient @ step)
        moved = _line_search(criterion, x, step, value)
        if moved is None:
            break
        x, value, gradient = moved
        if decrement < DECREMENT or np.abs(x[: criterion.n_phi]).max(initial=0.0) > LARGEST:
            break
    x = _canonical(criterion, x)
    if np.abs(x[: criterion.n_phi]).max(initial=0.0) > LARGEST:
        return x, BOUNDLESS, H
    if criterion.has_alpha and x[-1] >= np.log(LARGEST_ALPHA):
        x[-1] = np.log(LARGEST_ALPHA)
        return x, "", H
    return x, "" if decrement < max(DECREMENT, 10 * _rounding(value)) else UNSETTLED, H


def hessian(criterion: Criterion, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return the Hessian by one-sided differences of the gradient: right to some five digits."""
    H = np.zeros((len(x), len(x)))
    for i in range(len(x)):
        ahead = x.copy()
        ahead[i] += DIFFERENCE * max(abs(x[i]), 0.1)
        H[i] = (criterion.evaluate(ahead)[1] - gradient) / (ahead[i] - x[i])
    return (H + H.T) / 2


def _newton_step(H: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return -|H|^-1 gradient: eigenvalues enter by their size, so that every step descends."""
    if not len(gradient):
        return gradient
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(H)), np.finfo(float).tiny))
    w, V = np.linalg.eigh(H * np.outer(scale, scale))
    size = np.maximum(np.abs(w), 1e-10 * np.abs(w).max() + np.finfo(float).tiny)
    return -scale * (V @ ((V.T @ (scale * gradient)) / size))


def _line_search(
    criterion: Criterion, x: np.ndarray, step: np.ndarray, value: float
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Return the first point along the step that is no worse, with its value and gradient."""
    allowed = value + _rounding(value)
    for fraction in 0.5 ** np.arange(12):
        trial = x + fraction * step
        found, gradient = criterion.evaluate(trial)
        if found <= allowed:
            return trial, found, gradient
    return None


def _escape(criterion: Criterion, x: np.ndarray, H: np.ndarray) -> np.ndarray | None:
    """Return a better point where a variance that is zero should not be; None at a minimum."""
    zero = np.flatnonzero(_zero(criterion, x))
    if not len(zero):
        return None
    w, V = np.linalg.eigh(H[np.ix_(zero, zero)])
    if w[0] > -SADDLE:
        return None
    value = criterion.evaluate(x)[0]
    for size in 0.3 ** np.arange(12):
        trial = x.copy()
        trial[zero] += size * V[:, 0]
        if criterion.evaluate(trial)[0] < value - _rounding(value):
            return trial
    return None


def _rounding(value: float) -> float:
    """Return a difference of deviances that means nothing."""
    return 1e-11 * max(1.0, abs(value))
