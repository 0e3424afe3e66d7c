"""`Target`: a Gaussian model and its priors as one flat array that compiled code and a sampler can take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesmlm.crossprod import CrossProducts, cross_products, orthogonal_basis
from bayesmlm.design import Design
from bayesmlm.kernels.gaussian import compiled, gaussian_kernel
from bayesmlm.kernels.sums import Sums
from bayesmlm.priors import Adjusted, Decov, Distribution, Joint, Lkj, Priors

SUPPORTED = {"exponential": 0, "gamma": 1, "half_normal": 2, "half_student_t": 3, "half_cauchy": 3}
HEAD, BLOCK_STRIDE = 11, 6


def obstacle(design: Design, priors: Priors) -> str:
    """Say why a model cannot be sampled with its effects integrated out; empty if it can.

    The prior of every fixed effect must be normal, that of sigma and of independent standard deviations
    exponential, gamma, half-normal, half-Student-t or half-Cauchy.
    """
    if design.others:
        return f"{' and '.join(design.others)} has predictors of its own"
    if not design.family.is_gaussian_identity:
        return f"the effects of a {design.family.name} model cannot be integrated out"
    fixed: Mapping[str, Adjusted] = dict(priors.coefficients)
    if priors.intercept is not None:
        fixed = {"(Intercept)": priors.intercept, **fixed}
    for name, prior in fixed.items():
        if isinstance(prior.used, Joint):
            return f"the slopes have a {prior.used.name} prior, which is not normal"
        if not isinstance(prior.used, Distribution) or prior.used.name != "normal":
            return f"the prior of {name} is not normal"
    assert priors.sigma is not None
    if not isinstance(priors.sigma.used, Distribution) or priors.sigma.used.name not in SUPPORTED:
        return "the prior of sigma is none that the kernel knows"
    for label, covariance in priors.covariance.items():
        sds = covariance.adjusted if isinstance(covariance, Lkj) else ()
        if not all(isinstance(d, Distribution) and d.name in SUPPORTED for d in sds):
            return f"the prior of the standard deviations of {label} is none that the kernel knows"
    return ""


@dataclass(frozen=True, eq=False)
class Target:
    """The posterior of the variance parameters of one model.

    Attributes
    ----------
    design : Design
    cp : CrossProducts
        In the orthogonal basis.
    data : ndarray of int64
        Head, sums, priors, mode and root in one array; floats are stored by their bits.
    n_parameters : int
        d: for each block p log standard deviations relative to sigma and p (p - 1) / 2 partial correlations; log sigma.
    """

    design: Design
    cp: CrossProducts
    data: np.ndarray
    n_parameters: int

    @property
    def reals(self) -> np.ndarray:
        """`data` as floats."""
        return self.data.view(np.float64)

    @property
    def kernel(self) -> str:
        """Module with the compiled density."""
        return "posterior"

    @property
    def n_moved(self) -> int:
        """Number of coordinates of a sampler."""
        return self.n_parameters

    @property
    def n_reported(self) -> int:
        """Numbers to keep of a draw."""
        return self.n_parameters

    def log_density(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log-density at x, shape (d,), up to a constant, and its gradient."""
        grad = np.empty(self.n_parameters)
        value = compiled("posterior").posterior_density(
            self.data, self.reals, np.ascontiguousarray(x, dtype=float), grad
        )
        return value, grad

    def standardised(self, mode: np.ndarray, root: np.ndarray) -> Target:
        """Return the same target for a sampler that moves u, x = mode + root u."""
        data, d = self.data.copy(), self.n_parameters
        reals = data.view(np.float64)
        at = len(data) - d - d * d
        reals[at : at + d], reals[at + d :] = mode, root.ravel()
        return Target(self.design, self.cp, data, d)


def build_target(design: Design, priors: Priors) -> Target:
    """Lay out a model for which `obstacle` is empty."""
    cp = cross_products(design, orthogonal_basis(design))
    kernel = gaussian_kernel(cp)
    assert priors.sigma is not None
    reals: list[np.ndarray] = [univariate_numbers(priors.sigma.used)]
    table, first, size = [], 0, 3
    place = block_places(cp, kernel.order)
    for i, block in enumerate(design.blocks):
        p, prior = len(block.columns), priors.covariance[block.label]
        numbers = np.concatenate([cp.basis.z[i].ravel(), covariance_numbers(prior, p)])
        table.append([p, *place[i], first, int(isinstance(prior, Lkj)), size])
        reals.append(numbers)
        first, size = first + p + p * (p - 1) // 2, size + len(numbers)
    P0, m0 = fixed_prior(design, priors, cp)
    d = first + 1
    return Target(design, cp, _joined(kernel.sums, cp.n, np.array(table), reals, P0, m0, d), d)


def _joined(
    sums: Sums, n: int, table: np.ndarray, reals: list[np.ndarray], P0: np.ndarray, m0: np.ndarray, d: int
) -> np.ndarray:
    """Lay the parts end to end, floats by their bits, behind a head that says where they start."""
    parts = [sums.layout, sums.numbers, np.append(P0.ravel(), m0), table.ravel(), np.concatenate(reals)]
    parts += [np.zeros(d), np.eye(d).ravel()]
    starts = HEAD + np.cumsum([0, *(part.size for part in parts)])
    sums_at, numbers_at, prior_at, table_at, reals_at, mode_at, root_at, length = starts
    head = [length, n, d, len(table), sums_at, numbers_at, prior_at, table_at, reals_at, mode_at, root_at]
    shifted = table.copy()
    shifted[:, 5] += reals_at
    parts[3] = shifted.ravel()
    flat = [p.astype(np.int64) if p.dtype.kind == "i" else p.astype(float).view(np.int64) for p in parts]
    return np.concatenate([np.array(head, np.int64), *flat])


def block_places(cp: CrossProducts, order: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    """Factor in elimination order, and position among its columns, of each block."""
    found = {}
    for position, f in enumerate(order):
        begin = 0
        for i, width in zip(cp.factors[f].blocks, cp.factors[f].widths, strict=True):
            found[i] = (position, begin)
            begin += width
    return found


def covariance_numbers(prior: Decov | Lkj, p: int) -> np.ndarray:
    if isinstance(prior, Decov):
        return np.array([prior.regularization, prior.concentration, prior.shape, prior.scale])
    return np.concatenate([[prior.regularization], *(univariate_numbers(sd) for sd in prior.adjusted[:p])])


def univariate_numbers(prior: Distribution) -> np.ndarray:
    """Kind and two numbers of a prior on the positive numbers."""
    p, kind = dict(prior.parameters), SUPPORTED[prior.name]
    match prior.name:
        case "exponential":
            return np.array([kind, p["rate"], 0.0])
        case "gamma":
            return np.array([kind, p["shape"], p["rate"]])
        case "half_normal":
            return np.array([kind, p["scale"], 0.0])
        case _:
            return np.array([kind, p.get("df", 1.0), p["scale"]])


def fixed_prior(design: Design, priors: Priors, cp: CrossProducts) -> tuple[np.ndarray, np.ndarray]:
    """Return precision (k, k) and mean (k,) of the normal prior on gamma, beta = shift + R^-1 gamma.

    The priors are independent for the slopes and the intercept of centred predictors, beta_0 + mean(x)'beta.
    """
    k = cp.n_coefficients
    centred, mean, scale = np.eye(k), np.zeros(k), np.ones(k)
    for j, name in enumerate(design.coefficients):
        adjusted = priors.intercept if name == "(Intercept)" else priors.coefficients[name]
        assert adjusted is not None
        mean[j], scale[j] = adjusted.used["location"], adjusted.used["scale"]
        if name == "(Intercept)":
            centred[j] = design.X.mean(axis=0)
    A = (centred @ np.linalg.inv(cp.basis.x)) / scale[:, None]
    wanted = (mean - centred @ cp.basis.shift) / scale
    return A.T @ A, np.linalg.solve(A, wanted)
