"""`Estimates`: what every reference fit found, as labelled Series and frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.explained import Explained, explained
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.report import PrintedVarCorr, printed_varcorr
from bayesmlm.tables import coef_frames, reference_ranef_frames


@dataclass(frozen=True, repr=False, eq=False)
class Estimates:
    """Estimates of a mixed model by ML or REML, under R's names.

    Attributes
    ----------
    design : Design
        What was fitted to what.
    estimate : LmerEstimate or GlmerEstimate
        All numbers.
    """

    design: Design
    estimate: LmerEstimate | GlmerEstimate

    @property
    def formula(self) -> str:
        """The formula, as R spells it."""
        return self.design.formula.spelled

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.design.nobs

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels per grouping factor."""
        return self.design.ngroups

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.estimate.sigma

    @property
    def theta(self) -> np.ndarray:
        """Relative covariance parameters, in lme4's order."""
        return self.estimate.theta

    @property
    def loglik(self) -> float:
        """Log-likelihood; the restricted one for a REML fit."""
        return self.estimate.loglik

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return self.estimate.aic

    @property
    def bic(self) -> float:
        """Schwarz's Bayesian information criterion."""
        return self.estimate.bic

    @property
    def deviance(self) -> float:
        """-2 log-likelihood; for a REML fit the REML criterion."""
        return self.estimate.deviance

    @property
    def df_resid(self) -> int:
        """Residual degrees of freedom: rows minus parameters."""
        return self.estimate.df_resid

    @property
    def status(self) -> str:
        """How the optimisation ended, in a sentence."""
        return self.estimate.status

    def is_singular(self) -> bool:
        """Whether a variance, or a combination of effects, is estimated as zero; whatever the units."""
        return self.estimate.singular

    def explain(self) -> Explained:
        """Explain the formula and its data; see `bayesmlm.explain`."""
        return explained(self.design)

    def fixef(self) -> pd.Series:
        """Fixed effects by R's name."""
        return pd.Series(self.estimate.beta, list(self.estimate.coefficients), name="estimate")

    def se(self) -> pd.Series:
        """Standard errors of the fixed effects."""
        return pd.Series(self.estimate.se, list(self.estimate.coefficients), name="std_error")

    def vcov(self) -> pd.DataFrame:
        """Covariance matrix of the fixed effects."""
        names = list(self.estimate.coefficients)
        return pd.DataFrame(self.estimate.vcov, names, names)

    def varcorr(self) -> PrintedVarCorr:
        """Variance components; prints as lme4 prints them."""
        return printed_varcorr(self.estimate.varcorr)

    def ranef(self, sd: bool = False) -> dict[str, pd.DataFrame]:
        """Conditional modes (BLUPs) by grouping factor: levels x columns; `sd` adds conditional sds."""
        return reference_ranef_frames(self.estimate, sd)

    def coef(self) -> dict[str, pd.DataFrame]:
        """Fixed effects plus BLUPs by grouping factor: levels x coefficients."""
        groups = {name: b.group for b in self.design.blocks for name in (b.label, b.group)}
        return coef_frames(self.fixef(), self.ranef(), groups)
