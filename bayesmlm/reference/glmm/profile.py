"""The deviance of a generalised linear mixed model with one parameter held: what its likelihood profiles need.

Standard deviations and correlations are held as in linear mixed models (`bayesmlm.reference.held`): the rows of Lambda
that hold them come first in a triangular factor. sigma is 1 here, so that a standard deviation is the length of a row.
A fixed effect is held by moving its column into the offset. All other coordinates are free, the fixed effects among
them: there is none that could be eliminated in closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayesmlm.covariance import BlockCovariance, VarCorr, sd_corr, split_theta
from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError
from bayesmlm.reference.constrained import TINY
from bayesmlm.reference.glmm.criterion import Criterion, responses_of, scaled
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.reference.held import Held, held_rows
from bayesmlm.reference.parameters import Parameter, parameters_of, values_of


def glmm_parameters(design: Design) -> tuple[Parameter, ...]:
    """Return the parameters that have intervals, in lme4's order: sds and correlations, then fixed effects."""
    return tuple(p for p in parameters_of(design) if p.kind != "sigma")


@dataclass(frozen=True)
class HeldGlmm(Held):
    """The deviance as a function of one held parameter x and of free coordinates phi.

    phi holds the extra coordinates and the free entries of M as `Held` does, then gamma and log alpha. The extra
    coordinate of a standard deviation, log sigma, stays at 0.

    Attributes
    ----------
    criterion : Criterion
        Of the model; for a fixed effect of the model without its column.
    column : ndarray, shape (n,), or None
        The column of a fixed effect.
    rest : ndarray
        gamma and log alpha at the estimate.
    """

    criterion: Criterion
    column: np.ndarray | None
    rest: np.ndarray

    @property
    def bases(self) -> tuple[np.ndarray, ...]:
        """T of each block."""
        return self.criterion.at.T

    def start(self, lambdas: list[np.ndarray], sigma: float) -> np.ndarray:
        """Return phi at the estimate, with these Lambda."""
        return np.concatenate([super().start(lambdas, 1.0), self.rest])

    def split(self, x: float, phi: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, float]:
        """Return Lambda, gamma and alpha; the offset is then that of x."""
        lambdas = self.matrices(x, phi)[0]
        if self.column is not None:
            self.criterion.pirls.offset = self.criterion.at.offset + x * self.column
        at = np.concatenate([np.zeros(self.criterion.n_phi), phi[len(phi) - len(self.rest) :]])
        _, gamma, alpha = self.criterion.split(at)
        return lambdas, gamma, alpha

    def evaluate(self, x: float, phi: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the deviance and its gradient in phi.

        Raises
        ------
        LinAlgError
            Where there is no deviance.
        """
        lambdas, gamma, alpha = self.split(x, phi)
        found = self.criterion.deviance(lambdas, gamma, alpha)
        if found is None:
            raise np.linalg.LinAlgError("no deviance")
        parts, extra = [], np.zeros(self.extras)
        for i, slope in enumerate(found.in_lambda):
            if i == self.parameter.block:
                slope = self.turn.T @ slope
                if self.parameter.kind == "cor":
                    extra = self.length_slopes(x, phi, slope)
            parts.append(slope[self.free(i)])
        rest = [found.in_gamma, *([[alpha * found.in_alpha]] if self.criterion.has_alpha else [])]
        return found.value, np.concatenate([extra, *parts, *rest])


@dataclass(frozen=True)
class FittedGlmm:
    """An ML fit that profiles start from; see `bayesmlm.reference.profiling.Profiled`.

    Attributes
    ----------
    design : Design
    criterion : Criterion
    lambdas : list of ndarray, shape (p, p)
        In the basis of the criterion.
    rest : ndarray
        gamma and log alpha.
    beta : ndarray, shape (k,)
    deviance : float
    values, se : mapping of Parameter to float
    sigma : float
        1.
    """

    design: Design
    criterion: Criterion
    lambdas: list[np.ndarray]
    rest: np.ndarray
    beta: np.ndarray
    deviance: float
    values: Mapping[Parameter, float]
    se: Mapping[Parameter, float]
    sigma: float = 1.0

    def hold(self, parameter: Parameter) -> HeldGlmm:
        """Return the deviance with a parameter held."""
        turn, lower = held_rows(self.criterion.at.T, parameter)
        if parameter.kind != "beta":
            return HeldGlmm(None, parameter, turn, lower, self.criterion, None, self.rest)  # type: ignore[arg-type]
        i, at = parameter.columns[0], self.criterion.at
        keep = np.arange(len(self.beta)) != i
        column = self.design.X[:, i]
        # the coordinates of all but this column, about the estimate
        X, R = _orthogonal(self.design.X[:, keep], self.criterion)
        offset = at.offset + self.design.X @ (self.beta - at.shift) - self.beta[i] * column
        others = replace(at, shift=self.beta[keep], R=R, offset=offset, X=X)
        criterion = Criterion(self.design, self.criterion.pirls.responses, self.criterion.n_agq, others)
        rest = np.concatenate([np.zeros(X.shape[1]), self.rest[len(self.beta) :]])
        return HeldGlmm(None, parameter, turn, lower, criterion, column, rest)  # type: ignore[arg-type]

    def at(self, held: Held, x: float, phi: np.ndarray) -> tuple[VarCorr, np.ndarray]:
        """Return the variance components and the fixed effects at a point, in the user's columns."""
        assert isinstance(held, HeldGlmm)
        lambdas, gamma, _ = held.split(x, phi)
        at = held.criterion.at
        beta = at.shift + np.linalg.solve(at.R, gamma)
        if held.parameter.kind == "beta":
            beta = np.insert(beta, held.parameter.columns[0], x)
        return glmm_components(self.design, at.T, lambdas), beta


def _orthogonal(X: np.ndarray, criterion: Criterion) -> tuple[np.ndarray, np.ndarray]:
    """Return X R^-1 and R, its columns orthogonal with Fisher's weights at the fit without group effects."""
    rows = criterion.pirls.responses.rows(criterion.at.offset, criterion.at.alpha)
    root = np.ones(len(X)) if rows is None else np.sqrt(rows.W)
    R = np.linalg.qr(root[:, None] * X, mode="r")
    return (np.ascontiguousarray(np.linalg.solve(R.T, X.T).T) if len(R) else X), R


def fitted_glmm(design: Design, estimate: GlmerEstimate) -> FittedGlmm:
    """Return what profiles need of a fit.

    Raises
    ------
    BayesMLMError
        For families with a dispersion parameter, and fits with `n_agq` = 0.
    """
    if estimate.responses.dispersed:
        raise BayesMLMError(
            f"there are no likelihood profiles with the family {estimate.family!r}: its dispersion is no parameter of "
            "the deviance that glmer() minimises; use method='wald' or 'boot'"
        )
    if estimate.n_agq == 0:
        raise BayesMLMError("a fit with n_agq=0 does not maximise a likelihood: refit(n_agq=1) has profiles")
    responses = responses_of(design)
    criterion = Criterion(design, responses, estimate.n_agq, scaled(design, responses))
    at = criterion.at
    lambdas = [t @ lam for t, lam in zip(at.T, split_theta(estimate.theta, criterion.widths), strict=True)]
    gamma = at.R @ (estimate.beta - at.shift)
    rest = np.concatenate([gamma, [np.log(estimate.alpha)] if criterion.has_alpha else []])
    parameters = glmm_parameters(design)
    values = values_of(parameters, estimate.varcorr, estimate.beta)
    return FittedGlmm(
        design=design,
        criterion=criterion,
        lambdas=lambdas,
        rest=rest,
        beta=estimate.beta,
        deviance=estimate.criterion,
        values=dict(zip(parameters, values.tolist(), strict=True)),
        se={p: float(estimate.se[p.columns[0]]) for p in parameters if p.kind == "beta"},
    )


def glmm_components(design: Design, bases: tuple[np.ndarray, ...], lambdas: list[np.ndarray]) -> VarCorr:
    """Return the variance components of Lambda given in the basis; it need not be triangular."""
    blocks = []
    for block, t, lam in zip(design.blocks, bases, lambdas, strict=True):
        own = np.linalg.solve(t, np.where(np.abs(lam) < TINY, 0.0, lam))
        blocks.append(BlockCovariance(block.label, block.group, block.columns, *sd_corr(own @ own.T)))
    return VarCorr(tuple(blocks), None)
