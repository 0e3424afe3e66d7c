"""The minimum of the ML deviance or REML criterion over Lambda.

The search runs in the orthogonal basis of `crossprod.orthogonal_basis`, where the identity is a fair guess in any
data, and over Lambda without bounds: changing the sign of a column of Lambda changes nothing, so a variance of zero
is an ordinary smooth minimum. Three steps:

1. BFGS from the best multiple of the identity.
2. Newton's method, until the step no longer matters; Lambda then has some eight correct digits.
3. Columns of Lambda that are zero but for rounding become zero, and the first-order condition is checked in
   Lambda Lambda': its derivative G must be positive semi-definite (see `gradient`). Where it is not, the point is
   a saddle, the eigenvector of the negative eigenvalue says which variance is missing, and the search resumes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from bayesmlm.covariance import join_theta, split_theta
from bayesmlm.crossprod import CrossProducts
from bayesmlm.kernels.gaussian import gaussian_kernel
from bayesmlm.reference.deviance import criterion_constant, eliminate
from bayesmlm.reference.gradient import covariance_gradient

SCALES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)  # of the identity, tried as starts
OTHER_SCALES = (0.15, 2.0)
LARGEST = 1e5  # sd of groups over sd of residuals; beyond it the criterion has no correct digits
ZERO = 1e-3  # a column of Lambda with a smaller diagonal is tried as exactly zero
DECREMENT = (
    1e-7  # Newton stops after a step that promises less than this; what it leaves is some 1e-10 of that
)
SADDLE = 1e-6  # negative eigenvalues of G smaller than this times n are rounding
PIVOT = 1e-12  # a pivot smaller than this times the length of its row is zero
SUSPICIOUS = 0.01  # curvature of the criterion in the logarithm of a block's standard deviations
FLAT = 1e-6  # difference of the criterion that means nothing
ESCAPES = 6
NEWTON_STEPS = 100

FLAT_GROUPS = (
    "the residual variance is next to zero beside that of the groups; does the response vary within groups? Beyond "
    "30,000 times the residuals' standard deviation that of groups cannot be computed"
)
UNSETTLED = (
    "the criterion is too flat for a minimum to be found; rescale the columns, or use fewer group effects"
)
NO_INFORMATION = (
    "the criterion does not depend on a variance of the groups; is their factor among the fixed effects too?"
)
SADDLED = "the search keeps returning to a saddle point; use fewer group effects"

Lambdas = list[np.ndarray]


@dataclass(frozen=True)
class Optimum:
    """Where the search ended.

    Attributes
    ----------
    lambdas : list of ndarray, shape (p, p)
        Lambda of each block in the basis of the cross products, lower triangular, diagonal >= 0.
    criterion : float
    ranks : tuple of int
        Rank of each Lambda; below p where the fit is singular.
    reason : str
        Why this is not a minimum; empty if it is one.
    """

    lambdas: Lambdas
    criterion: float
    ranks: tuple[int, ...]
    reason: str

    @property
    def converged(self) -> bool:
        """Whether the first- and second-order conditions of a minimum hold."""
        return not self.reason

    @property
    def singular(self) -> bool:
        """Whether a covariance matrix is on its boundary."""
        return any(rank < len(lam) for rank, lam in zip(self.ranks, self.lambdas, strict=True))


def minimise(cp: CrossProducts, reml: bool) -> Optimum:
    """Minimise the criterion of `cp`, whose basis should be `orthogonal_basis`."""
    starts = [[scale * np.eye(len(t)) for t in cp.basis.z] for scale in SCALES]
    values = [eliminate(cp, start).criterion(reml) for start in starts]
    best = search(cp, reml, starts[int(np.argmin(np.where(np.isfinite(values), values, np.inf)))])
    if best.converged and not best.singular:
        return best
    # A boundary or a failure may be the wrong one of two minima: approach it from elsewhere.
    others = [search(cp, reml, [scale * np.eye(len(t)) for t in cp.basis.z]) for scale in OTHER_SCALES]
    return min([best, *others], key=lambda o: (not o.converged, round(o.criterion, 7)))


def lower_triangular(factor: np.ndarray) -> np.ndarray:
    """Return the lower triangular Lambda, diagonal >= 0, with Lambda Lambda' = factor factor'.

    Where factor is singular a column of Lambda is zero, as in the Cholesky decomposition of a singular matrix.
    """
    p = len(factor)
    out = np.zeros((p, p))
    size = np.linalg.norm(factor, axis=1)
    rest = factor[:, np.any(factor != 0, axis=0)]
    for c in range(p):
        if not rest.size:
            break
        lower = np.linalg.qr(rest.T, mode="r").T
        if abs(lower[0, 0]) > PIVOT * size[c]:
            out[c:, c] = lower[:, 0] * np.sign(lower[0, 0])
            rest = lower[1:, 1:]
        else:
            rest = lower[1:, :]
    return out


def search(cp: CrossProducts, reml: bool, start: Lambdas) -> Optimum:
    """Run the three steps from one start."""
    lambdas, reason = _descend(cp, reml, start), ""
    for _ in range(ESCAPES):
        lambdas, reason = _polish(cp, reml, _snap(cp, reml, lambdas))
        snapped = _snap(cp, reml, lambdas)
        if snapped is not lambdas:
            lambdas, reason = _polish(cp, reml, snapped)
        # Where every Lambda has full rank, a zero gradient in Lambda is one in Lambda Lambda'.
        on_boundary = any(rank < len(lam) for rank, lam in zip(_ranks(lambdas), lambdas, strict=True))
        higher = _escape(cp, reml, lambdas) if on_boundary else None
        if reason or higher is None:
            break
        lambdas, reason = _descend(cp, reml, higher), SADDLED
    return Optimum(lambdas, eliminate(cp, lambdas).criterion(reml), _ranks(lambdas), reason)


def _ranks(lambdas: Lambdas) -> tuple[int, ...]:
    return tuple(int(np.count_nonzero(np.diag(lam))) for lam in lambdas)


def _value_and_gradient(cp: CrossProducts, reml: bool, phi: np.ndarray) -> tuple[float, np.ndarray]:
    lambdas = split_theta(phi, [len(t) for t in cp.basis.z])
    value, gradient, _, _ = gaussian_kernel(cp).log_density(lambdas, 0.0, integrate=reml)
    return criterion_constant(cp, reml) - 2.0 * value, -2.0 * join_theta(gradient)


def _descend(cp: CrossProducts, reml: bool, start: Lambdas) -> Lambdas:
    """Quasi-Newton steps until Newton's method can take over."""
    phi = join_theta(start)
    with np.errstate(all="ignore"):  # far out the criterion may not exist; the line search then turns back
        found = minimize(
            lambda x: _value_and_gradient(cp, reml, x),
            phi,
            jac=True,
            method="BFGS",
            options={"gtol": 1e-3 * np.sqrt(cp.n), "maxiter": 500, "hess_inv0": np.eye(len(phi)) / cp.n},
        )
    return [lower_triangular(lam) for lam in split_theta(found.x, map(len, start))]


def _snap(cp: CrossProducts, reml: bool, lambdas: Lambdas) -> Lambdas:
    """Make columns of Lambda that are almost zero exactly zero, unless the criterion disagrees.

    Near a singular Lambda the search crawls along a curved valley; on the boundary itself it does not.
    """
    small = [(i, c) for i, lam in enumerate(lambdas) for c, d in enumerate(np.diag(lam)) if 0.0 < d < ZERO]
    if not small:
        return lambdas
    before = eliminate(cp, lambdas).criterion(reml)
    for columns in (small, *([one] for one in small)):
        trial = [_without(lam, [c for j, c in columns if j == i]) for i, lam in enumerate(lambdas)]
        if eliminate(cp, trial).criterion(reml) <= before + _rounding(before):
            return _snap(cp, reml, trial)
    return lambdas


def _without(lam: np.ndarray, columns: list[int]) -> np.ndarray:
    """Return Lambda with the diagonal of some columns set to zero, lower triangular again."""
    if not columns:
        return lam
    out = lam.copy()
    out[columns, columns] = 0.0
    return lower_triangular(out)


def _polish(cp: CrossProducts, reml: bool, lambdas: Lambdas) -> tuple[Lambdas, str]:
    """Newton's method in the columns of Lambda that are not zero; the Hessian by differences of the gradient."""
    phi = join_theta(lambdas)
    if np.abs(phi).max() > 0.99 * LARGEST:
        return lambdas, FLAT_GROUPS
    free = np.flatnonzero(join_theta([np.tril(np.ones_like(lam)) * (np.diag(lam) > 0) for lam in lambdas]))
    if not len(free):
        return lambdas, ""
    decrement = np.inf
    value, gradient = _value_and_gradient(cp, reml, phi)
    for _ in range(NEWTON_STEPS):
        H = _hessian(cp, reml, phi, free, gradient)
        step = np.zeros_like(phi)
        step[free] = _newton_step(H[np.ix_(free, free)], gradient[free])
        decrement = -float(gradient @ step)
        moved = _line_search(cp, reml, phi, step, value)
        if moved is None:
            break
        phi, value, gradient = moved
        if decrement < DECREMENT:
            break
    polished = [lower_triangular(lam) for lam in split_theta(phi, map(len, lambdas))]
    if np.abs(phi).max() > LARGEST:
        return polished, FLAT_GROUPS
    if _says_nothing(cp, reml, phi, H, value):
        return polished, NO_INFORMATION
    return polished, "" if decrement < max(DECREMENT, _rounding(value)) else UNSETTLED


def _hessian(
    cp: CrossProducts, reml: bool, phi: np.ndarray, free: np.ndarray, gradient: np.ndarray
) -> np.ndarray:
    """Return the Hessian in the free parameters, 0 elsewhere.

    One-sided differences do: an error of 1e-5 in H makes the last step wrong by 1e-5 of its length.
    """
    H = np.zeros((len(phi), len(phi)))
    for i in free:
        h = 1e-5 * max(abs(phi[i]), 0.1)
        ahead = phi.copy()
        ahead[i] += h
        H[i, free] = (_value_and_gradient(cp, reml, ahead)[1] - gradient)[free] / h
    return (H + H.T) / 2


def _newton_step(H: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return -|H|^-1 gradient: eigenvalues of the Hessian enter by their size, so that every step descends."""
    w, V = np.linalg.eigh(H)
    size = np.abs(w)
    floor = 1e-10 * size.max() + np.finfo(float).tiny
    return -V @ ((V.T @ gradient) / np.maximum(size, floor))


def _says_nothing(cp: CrossProducts, reml: bool, phi: np.ndarray, H: np.ndarray, value: float) -> bool:
    """Whether the criterion stays the same when all standard deviations of a block are halved or doubled."""
    stop = np.cumsum([len(t) * (len(t) + 1) // 2 for t in cp.basis.z])
    for t, end in zip(cp.basis.z, stop, strict=True):
        own = slice(end - len(t) * (len(t) + 1) // 2, end)
        # Curvature in the logarithm of the standard deviations; near 0 it vanishes in any case.
        if np.abs(phi[own]).max() > 0.01 and abs(phi[own] @ H[own, own] @ phi[own]) < SUSPICIOUS:
            others = [np.concatenate([phi[: own.start], c * phi[own], phi[end:]]) for c in (0.5, 2.0)]
            if all(abs(_value_and_gradient(cp, reml, x)[0] - value) < FLAT for x in others):
                return True
    return False


def _line_search(
    cp: CrossProducts, reml: bool, phi: np.ndarray, step: np.ndarray, value: float
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Return the first point along the step that is no worse, with its value and gradient."""
    allowed = value + _rounding(value)
    for fraction in 0.5 ** np.arange(12):
        trial = phi + fraction * step
        found, gradient = _value_and_gradient(cp, reml, trial)
        if found <= allowed:
            return trial, found, gradient
    return None


def _escape(cp: CrossProducts, reml: bool, lambdas: Lambdas) -> Lambdas | None:
    """Return a better Lambda of higher rank where a variance that is zero should not be; None at a minimum."""
    state = eliminate(cp, lambdas)
    value = state.criterion(reml)
    for i, G in enumerate(covariance_gradient(state, reml)):
        w, V = np.linalg.eigh(G)
        if w[0] > -SADDLE * cp.n:
            continue
        for size in 0.1 ** np.arange(11):
            trial = list(lambdas)
            trial[i] = lower_triangular(np.column_stack([lambdas[i], np.sqrt(size) * V[:, 0]]))
            if eliminate(cp, trial).criterion(reml) < value - _rounding(value):
                return trial
    return None


def _rounding(value: float) -> float:
    """Return a difference of criteria that means nothing."""
    return 1e-11 * max(1.0, abs(value))
