"""What a generalised reference fit found: numbers only, complete at birth, printed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesmlm.covariance import VarCorr
from bayesmlm.reference.estimate import RanefEstimate
from bayesmlm.reference.glmm.response import Responses


@dataclass(frozen=True, eq=False)
class GlmerEstimate:
    """A generalised linear mixed model fitted by maximum likelihood.

    Attributes
    ----------
    responses : Responses
        Family, link and what was observed.
    n_agq : int
        0: Laplace's approximation, fixed effects found with the group effects; 1: Laplace's approximation; more: nodes
        of adaptive quadrature.
    theta : ndarray
        Covariance parameters in lme4's order (column-major lower triangles, block by block), relative to `sigma`.
    coefficients : tuple of str
        R's names of the fixed effects.
    beta, vcov : ndarray, shapes (k,) and (k, k)
        Fixed effects; twice the inverse of the deviance's Hessian in (theta, beta), its part in beta.
    sigma : float
        Root of the dispersion as lme4's ``sigma``: sqrt((sum of squared Pearson residuals + |u|^2) / n) where there is
        a dispersion parameter, else 1.
    auxiliary : mapping of str to float
        ``reciprocal_dispersion`` of the negative binomial family; else empty.
    varcorr : VarCorr
        Its sigma is None without a dispersion parameter.
    ranef : tuple of RanefEstimate
    criterion : float
        -2 log L at the optimum.
    eta, linear_predictor_fixed : ndarray, shape (n,)
        X beta + offset + Z b, and without Z b.
    fitted : ndarray, shape (n,)
        Means given the group effects; probabilities for binomial responses.
    n_parameters : int
        Fixed effects, theta, and the parameter of dispersion if there is one.
    status : str
        The sentence a user reads: converged, singular, or what went wrong.
    converged : bool
    singular : bool
        Whether a variance, or a combination of effects, is estimated as zero.
    hessian_used : bool
        Whether `vcov` comes from the Hessian. If not (`n_agq` = 0, or where it is not positive definite) it is
        sigma^2 (X'V^-1X)^-1, which takes theta as known.
    """

    responses: Responses
    n_agq: int
    theta: np.ndarray
    coefficients: tuple[str, ...]
    beta: np.ndarray
    vcov: np.ndarray
    sigma: float
    auxiliary: Mapping[str, float]
    varcorr: VarCorr
    ranef: tuple[RanefEstimate, ...]
    criterion: float
    eta: np.ndarray
    linear_predictor_fixed: np.ndarray
    fitted: np.ndarray
    n_parameters: int
    status: str
    converged: bool
    singular: bool
    hessian_used: bool

    reml: bool = False

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.responses.family

    @property
    def link(self) -> str:
        """Name of the link."""
        return self.responses.link

    @property
    def alpha(self) -> float:
        """Reciprocal dispersion of the negative binomial family; NaN for the others."""
        return self.auxiliary.get("reciprocal_dispersion", np.nan)

    @property
    def y(self) -> np.ndarray:
        """Responses on the scale of the fitted values: proportions of successes for binomial ones."""
        responses = self.responses
        return responses.y / responses.w if self.family == "binomial" else responses.y

    @property
    def weights(self) -> np.ndarray | None:
        """Prior weights; for binomial responses numbers of trials, None if they are all 1."""
        return self.responses.trials if self.family == "binomial" else self.responses.weights

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.responses.y)

    @property
    def se(self) -> np.ndarray:
        """Standard errors of beta."""
        return np.sqrt(np.diag(self.vcov))

    @property
    def loglik(self) -> float:
        """Log-likelihood, with all constants."""
        return -0.5 * self.criterion

    @property
    def deviance(self) -> float:
        """-2 log-likelihood."""
        return self.criterion

    @property
    def conditional_deviance(self) -> float:
        """Sum of squared deviance residuals given the group effects: R's ``deviance`` of a glmer fit."""
        return float(np.sum(self.residuals("deviance") ** 2))

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 loglik + 2 npar."""
        return self.criterion + 2 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 loglik + npar log n."""
        return self.criterion + self.n_parameters * float(np.log(self.nobs))

    @property
    def df_resid(self) -> int:
        """Residual degrees of freedom as lme4 counts them: n - npar."""
        return self.nobs - self.n_parameters

    def residuals(self, kind: str = "deviance") -> np.ndarray:
        """Return residuals of R's kinds, shape (n,).

        ``"deviance"``: signed roots of w d(y, mu); ``"pearson"``: (y - mu) sqrt(w / V(mu)); ``"working"``:
        (y - mu) / mu'(eta); ``"response"``: y - mu. Given the group effects; none is divided by sigma.
        """
        responses, raw = self.responses, self.y - self.fitted
        if kind == "response":
            return raw
        if kind == "working":
            return raw / responses.slope(self.eta)
        if kind == "pearson":
            return raw * np.sqrt(responses.w / responses.variance(self.fitted, self.alpha)[0])
        unit = responses.unit_deviance(self.fitted, self.alpha)
        # for binomial responses that of all trials
        each = unit if self.family == "binomial" else responses.w * unit
        return np.sign(raw) * np.sqrt(np.maximum(each, 0.0))

    @property
    def scaled_residuals(self) -> np.ndarray:
        """Pearson residuals over sigma, those on lme4's summary page."""
        return self.residuals("pearson") / self.sigma
