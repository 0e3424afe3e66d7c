"""The minimum of the ML deviance, and its minimum with one parameter held fixed: the points of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from bayesmlm.covariance import BlockCovariance, VarCorr, sd_corr
from bayesmlm.crossprod import Basis, CrossProducts, cross_products, orthogonal_basis
from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError
from bayesmlm.reference.deviance import eliminate
from bayesmlm.reference.held import LARGEST, Held, from_scale, hold
from bayesmlm.reference.optimise import minimise
from bayesmlm.reference.parameters import Parameter, parameters_of, values_of

STEP = 1e-4  # in phi, for the second derivatives that only set a scale
CURVATURE = 1e-4  # second derivatives smaller than this times the largest count as so large
WALL = 1e6  # the deviance where it cannot be had, above that of the start
GRADIENT = 1e-6  # per unit of the scale; the deviance is then within some 1e-12 of its minimum
FLAT = 1e-9  # a restart that lowers the deviance by less found the same minimum
RESTARTS = 4
ITERATIONS = 200
TINY = 1e-9  # of Lambda in the basis: 0 but for rounding


class UnsettledError(BayesMLMError):
    """A constrained minimum could not be found; the message says why."""


@dataclass(frozen=True)
class MLFit:
    """The ML fit that all profiles start from.

    Attributes
    ----------
    design : Design
    cp : CrossProducts
        In the orthogonal basis.
    lambdas : list of ndarray, shape (p, p)
        In the basis.
    sigma, deviance : float
    values : mapping of Parameter to float
        Estimates.
    se : mapping of Parameter to float
        Standard errors of the fixed effects.
    """

    design: Design
    cp: CrossProducts
    lambdas: list[np.ndarray]
    sigma: float
    deviance: float
    values: Mapping[Parameter, float]
    se: Mapping[Parameter, float]

    def hold(self, parameter: Parameter) -> Held:
        """Return the deviance with a parameter held."""
        return hold(self.cp, parameter)

    def at(self, held: Held, x: float, phi: np.ndarray) -> tuple[VarCorr, np.ndarray]:
        """Return the variance components and the fixed effects at a point, in the user's columns."""
        return values_at(self.design, held, x, phi)


def ml_optimum(design: Design) -> MLFit:
    """Fit by ML, whatever criterion the fit in question was made by, as lme4 does for its profiles.

    Raises
    ------
    UnsettledError
        If the fit does not converge.
    """
    cp = cross_products(design, orthogonal_basis(design))
    found = minimise(cp, False)
    if not found.converged:
        raise UnsettledError(f"there is no ML fit to profile: {found.reason}")
    state = eliminate(cp, found.lambdas)
    sigma = float(np.sqrt(state.pwrss / cp.n))
    k, inverse = cp.n_coefficients, np.linalg.inv(cp.basis.x)
    se = sigma * np.sqrt(np.diag(inverse @ np.linalg.solve(state.reduced[:k, :k], inverse.T)))
    parameters = parameters_of(design)
    varcorr = components(design, cp.basis, found.lambdas, sigma)
    values = values_of(parameters, varcorr, cp.basis.shift + inverse @ state.gamma)
    return MLFit(
        design=design,
        cp=cp,
        lambdas=found.lambdas,
        sigma=sigma,
        deviance=found.criterion,
        values=dict(zip(parameters, values.tolist(), strict=True)),
        se={p: float(se[p.columns[0]]) for p in parameters if p.kind == "beta"},
    )


def coordinate_scale(held: Held, x: float, phi: np.ndarray) -> np.ndarray:
    """Return the change of each coordinate that matters: 1 / sqrt of the deviance's second derivative at phi."""
    gradient = held.evaluate(x, phi)[1]
    second = np.empty(len(phi))
    for i in range(len(phi)):
        ahead = phi.copy()
        ahead[i] += STEP
        second[i] = (held.evaluate(x, ahead)[1][i] - gradient[i]) / STEP
    return 1.0 / np.sqrt(np.maximum(np.abs(second), CURVATURE * np.abs(second).max(initial=0.0) + 1e-6))


def minimum(
    held: Held, x: float, start: np.ndarray, scale: np.ndarray, inverse: np.ndarray | None = None
) -> tuple[float, np.ndarray, np.ndarray | None]:
    """Return the least deviance at the held value x, where it is, and an inverse Hessian to start the next from.

    Parameters
    ----------
    held
        From `hold`.
    x
        The held value.
    start
        phi to start from.
    scale
        From `coordinate_scale`, at a point of the same profile; BFGS runs in these units.
    inverse
        Inverse Hessian in these units: the identity if None.

    Raises
    ------
    UnsettledError
        If the search does not settle.
    """
    z = held.nudged(start) / scale
    if not len(z):
        return held.evaluate(x, z)[0], z, None
    wall = held.evaluate(x, scale * z)[0] + WALL

    def deviance(z: np.ndarray) -> tuple[float, np.ndarray]:
        try:
            value, gradient = held.evaluate(x, scale * z)
        except np.linalg.LinAlgError:
            value = np.nan
        # a line search went where rounding leaves no positive definite matrix
        return (value, scale * gradient) if np.isfinite(value) else (wall, np.zeros(len(z)))

    before = np.inf
    for _ in range(RESTARTS):
        options = {"gtol": GRADIENT, "maxiter": ITERATIONS, "hess_inv0": inverse}
        found = minimize(deviance, z, jac=True, method="BFGS", options=options)
        z, value, inverse = found.x, float(found.fun), None
        # A line search that fails ends BFGS early; a fresh start that finds nothing lower confirms the minimum.
        if found.success or before - value < FLAT:
            if np.abs(scale * z).max() < LARGEST:
                return value, scale * z, _usable(found.hess_inv)
            break
        before = value
    at = from_scale(held.parameter, x)
    raise UnsettledError(f"no minimum of the deviance was found with {held.parameter.name} at {at:g}")


def _usable(inverse: np.ndarray) -> np.ndarray | None:
    """Return an inverse Hessian if rounding has left it positive definite."""
    symmetric = (inverse + inverse.T) / 2
    w = np.linalg.eigvalsh(symmetric)
    return symmetric if w[0] > CURVATURE**2 * w[-1] else None


def values_at(design: Design, held: Held, x: float, phi: np.ndarray) -> tuple[VarCorr, np.ndarray]:
    """Return the variance components and the fixed effects at a point, in the user's columns."""
    lambdas, sigma = held.matrices(x, phi)
    at = held.objective(x, eliminate(held.cp, lambdas), sigma)
    basis = held.cp.basis
    return components(design, basis, lambdas, at.sigma), basis.shift + np.linalg.solve(basis.x, at.gamma)


def components(design: Design, basis: Basis, lambdas: list[np.ndarray], sigma: float) -> VarCorr:
    """Return the variance components of Lambda given in the basis; it need not be triangular.

    In the basis an entry of 1 is a residual sd: what is tiny there is the rounding of a search that ended at 0.
    """
    blocks = []
    for block, t, lam in zip(design.blocks, basis.z, lambdas, strict=True):
        own = sigma * np.linalg.solve(t, np.where(np.abs(lam) < TINY, 0.0, lam))
        blocks.append(BlockCovariance(block.label, block.group, block.columns, *sd_corr(own @ own.T)))
    return VarCorr(tuple(blocks), sigma)
