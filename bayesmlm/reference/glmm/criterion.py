"""The deviance of a generalised linear mixed model as a function of one vector of coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.covariance import join_theta, split_theta
from bayesmlm.crossprod import column_basis
from bayesmlm.design import Design
from bayesmlm.errors import DataError
from bayesmlm.families import LINKS
from bayesmlm.kernels.reweighted import ReweightedKernel
from bayesmlm.reference.glmm.laplace import Deviance, laplace
from bayesmlm.reference.glmm.pirls import Pirls
from bayesmlm.reference.glmm.quadrature import quadrature
from bayesmlm.reference.glmm.response import Responses, Rows

POOLED_STEPS = 100
POOLED_TOLERANCE = 1e-10
START_MEANS = (1.0, 0.7, 1.4, 0.4, 2.5, 0.1, 10.0)  # times the responses' mean
LARGEST_ALPHA = 1e6  # beyond it the negative binomial family is the Poisson family


def responses_of(design: Design) -> Responses:
    """Return the responses of a design with their family."""
    family = design.family
    return Responses(family.name, family.link, design.y, design.trials, design.weights)


@dataclass(frozen=True, eq=False)
class Scaled:
    """Coordinates in which the search runs.

    Without group effects the fit has the coefficients `shift`, and Fisher's weights over the dispersion are W.
    X = X_c R with X_c'WX_c = I, and Z = Z_c T with the columns of W^(1/2) Z_c of mean square 1, so that Lambda_c =
    T Lambda = I says that the groups vary as much as the working residuals do, whatever the units.

    Attributes
    ----------
    shift : ndarray, shape (k,)
    R : ndarray, shape (k, k)
    T : tuple of ndarray, shape (p, p)
    offset : ndarray, shape (n,)
        Offset plus X shift.
    X : ndarray, shape (n, k)
        X_c.
    alpha : float
        A start for the negative binomial family's parameter; NaN for the others.
    """

    shift: np.ndarray
    R: np.ndarray
    T: tuple[np.ndarray, ...]
    offset: np.ndarray
    X: np.ndarray
    alpha: float


def scaled(design: Design, responses: Responses) -> Scaled:
    """Fit without group effects and choose coordinates."""
    given = np.zeros(design.nobs) if design.offset is None else design.offset
    alpha = np.nan
    if responses.family == "negativebinomial":
        poisson = Responses("poisson", responses.link, responses.y, None, responses.weights)
        _, eta, _ = _pooled(design, poisson, given, np.nan)
        mu = poisson.mean(eta)
        excess = float(np.sum((responses.y - mu) ** 2 - mu))
        alpha = float(np.clip(2.0 * np.sum(mu**2) / max(excess, 1e-8), 0.1, 100.0))
    shift, eta, W = _pooled(design, responses, given, alpha)
    root = np.sqrt(W / _dispersion(responses, eta))
    R = np.linalg.qr(root[:, None] * design.X, mode="r")
    X = np.linalg.solve(R.T, design.X.T).T if len(R) else design.X
    T = tuple(column_basis(root[:, None] * block.Z) for block in design.blocks)
    return Scaled(shift, R, T, eta, np.ascontiguousarray(X), alpha)


def _dispersion(responses: Responses, eta: np.ndarray) -> float:
    """Return the mean deviance without group effects; 1 for families without a dispersion parameter."""
    rows = responses.rows(eta) if responses.dispersed else None
    return 1.0 if rows is None else max(rows.loss / float(responses.w.sum()), np.finfo(float).tiny)


def _pooled(
    design: Design, responses: Responses, offset: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit by iteratively reweighted least squares: coefficients, eta and Fisher's weights."""
    X = design.X
    beta, rows = _start(design, responses, offset, alpha)
    for _ in range(POOLED_STEPS if X.shape[1] else 0):
        root = np.sqrt(rows.W)
        working = np.divide(rows.r, root, out=np.zeros_like(root), where=root > 0)
        step = np.linalg.lstsq(root[:, None] * X, working, rcond=None)[0]
        promised = float(rows.r @ (X @ step))
        for halving in range(30):
            eta = offset + X @ (beta + 0.5**halving * step)
            trial = responses.rows(eta, alpha)
            if trial is not None and trial.loss <= rows.loss + 1e-12 * abs(rows.loss):
                beta, rows = beta + 0.5**halving * step, trial
                break
        else:
            break
        if promised < POOLED_TOLERANCE * (abs(rows.loss) + 1.0) or (
            np.abs(eta).max() > 30 and promised < 1e-3
        ):
            break
    return beta, offset + X @ beta, rows.W


def _start(design: Design, responses: Responses, offset: np.ndarray, alpha: float) -> tuple[np.ndarray, Rows]:
    """Return coefficients with which all rows have about one mean that is possible, if X can, and what follows."""
    w, y = responses.w, responses.y
    mean = (y.sum() + 0.5) / (w.sum() + 1.0) if responses.family == "binomial" else float(w @ y / w.sum())
    for factor in START_MEANS:
        with np.errstate(all="ignore"):
            level = float(LINKS[responses.link].forward(np.array(factor * mean)))
            beta = np.linalg.lstsq(design.X, level - offset, rcond=None)[0] if np.isfinite(level) else None
            rows = None if beta is None else responses.rows(offset + design.X @ beta, alpha)
        if beta is not None and rows is not None and np.isfinite(rows.loss):
            return beta, rows
    raise DataError(
        f"no start was found for the link {responses.link!r}: without an intercept, or with this offset, means are "
        "outside the family's range; add an intercept or choose another link"
    )


class Criterion:
    """The deviance in the coordinates x = (vech of each Lambda_c, gamma, log alpha), with its gradient.

    gamma is missing where it is found with the group effects (`n_agq` = 0), log alpha for families without it.

    Parameters
    ----------
    design
        With `family`.
    n_agq
        0: Laplace's approximation, fixed effects found with the group effects. 1: Laplace's approximation. More:
        adaptive quadrature.
    at
        From `scaled`.
    """

    def __init__(self, design: Design, responses: Responses, n_agq: int, at: Scaled):
        self.n_agq, self.at = n_agq, at
        self.widths = [len(t) for t in at.T]
        self.n_phi = sum(p * (p + 1) // 2 for p in self.widths)
        self.k = at.X.shape[1] if n_agq else 0
        self.has_alpha = bool(np.isfinite(at.alpha))
        self.size = self.n_phi + self.k + self.has_alpha
        columns = at.X[:, :0] if n_agq else at.X
        kernel = ReweightedKernel(design, columns, at.T)
        self.pirls = Pirls(responses, kernel, at.X, at.offset)

    def split(self, x: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, float]:
        """Return Lambda_c of each block, gamma and alpha."""
        gamma = x[self.n_phi : self.n_phi + self.k] if self.k else np.zeros(self.at.X.shape[1])
        alpha = float(np.exp(min(x[-1], np.log(LARGEST_ALPHA)))) if self.has_alpha else np.nan
        return split_theta(x[: self.n_phi], self.widths), gamma, alpha

    def joined(self, lambdas: list[np.ndarray], gamma: np.ndarray, alpha: float) -> np.ndarray:
        """Return x, the inverse of `split`."""
        parts = [join_theta(lambdas), gamma if self.k else np.zeros(0)]
        return np.concatenate([*parts, [np.log(alpha)] if self.has_alpha else []])

    def deviance(self, lambdas: list[np.ndarray], gamma: np.ndarray, alpha: float) -> Deviance | None:
        """Return the deviance at a point, Lambda_c need not be triangular; None where there is none."""
        with np.errstate(all="ignore"):
            if self.n_agq > 1:
                return quadrature(self.pirls, lambdas, gamma, self.n_agq, alpha)
            return laplace(self.pirls, lambdas, gamma, alpha)

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the deviance and its gradient; infinity and zeros where there is none."""
        lambdas, gamma, alpha = self.split(x)
        found = self.deviance(lambdas, gamma, alpha)
        if found is None:
            return np.inf, np.zeros(self.size)
        parts = [join_theta(found.in_lambda), found.in_gamma[: self.k]]
        return found.value, np.concatenate([*parts, [alpha * found.in_alpha] if self.has_alpha else []])
