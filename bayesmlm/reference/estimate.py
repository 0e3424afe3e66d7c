"""What a reference fit found: numbers only, complete at birth, printed elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.covariance import VarCorr


@dataclass(frozen=True, eq=False)
class RanefEstimate:
    """Conditional modes (BLUPs) of one block.

    Attributes
    ----------
    label, group : str
        As in `bayesmlm.design.Block`.
    columns, levels : tuple of str
        R's names of the p columns; the J levels.
    mode : ndarray, shape (J, p)
        Conditional modes b-hat.
    sd : ndarray, shape (J, p)
        Conditional standard deviations given theta-hat, sigma-hat and beta-hat, as lme4's ``condVar``.
    """

    label: str
    group: str
    columns: tuple[str, ...]
    levels: tuple[str, ...]
    mode: np.ndarray
    sd: np.ndarray


@dataclass(frozen=True, eq=False)
class LmerEstimate:
    """A linear mixed model fitted by ML or REML.

    Attributes
    ----------
    reml : bool
    theta : ndarray
        Relative covariance parameters in lme4's order (column-major lower triangles, block by block).
    coefficients : tuple of str
        R's names of the fixed effects.
    beta, vcov : ndarray, shapes (k,) and (k, k)
        Fixed effects and their covariance sigma^2 (R_X' R_X)^-1, as lme4's ``vcov``.
    sigma : float
        Residual standard deviation.
    varcorr : VarCorr
    ranef : tuple of RanefEstimate
    criterion : float
        The ML deviance (-2 log L) or the REML criterion at the optimum.
    fitted : ndarray, shape (n,)
        X beta + Z b + offset.
    linear_predictor_fixed : ndarray, shape (n,)
        X beta + offset.
    y : ndarray, shape (n,)
    weights : ndarray, shape (n,), or None
    n_parameters : int
        len(beta) + len(theta) + 1, the degrees of freedom of AIC.
    status : str
        The sentence a user reads: converged, singular, or what went wrong.
    converged : bool
    singular : bool
        Whether a variance, or a combination of effects, is estimated as zero; whatever the units.
    """

    reml: bool
    theta: np.ndarray
    coefficients: tuple[str, ...]
    beta: np.ndarray
    vcov: np.ndarray
    sigma: float
    varcorr: VarCorr
    ranef: tuple[RanefEstimate, ...]
    criterion: float
    fitted: np.ndarray
    linear_predictor_fixed: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    n_parameters: int
    status: str
    converged: bool
    singular: bool

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.y)

    @property
    def se(self) -> np.ndarray:
        """Standard errors of beta."""
        return np.sqrt(np.diag(self.vcov))

    @property
    def loglik(self) -> float:
        """Log-likelihood, or the restricted log-likelihood for a REML fit, as lme4's ``logLik``."""
        return -0.5 * self.criterion

    @property
    def deviance(self) -> float:
        """-2 log-likelihood; for a REML fit the REML criterion."""
        return self.criterion

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

    @property
    def residuals(self) -> np.ndarray:
        """Raw residuals y - fitted."""
        return self.y - self.fitted

    @property
    def scaled_residuals(self) -> np.ndarray:
        """Residuals times sqrt(weight), over sigma."""
        root = 1.0 if self.weights is None else np.sqrt(self.weights)
        return root * self.residuals / self.sigma
