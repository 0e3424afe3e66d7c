"""Tests of the fixed effects of a linear mixed model by one of the methods for degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError, did_you_mean
from bayesmlm.reference.contrasts import FTest, TTest
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.kenward_roger import (
    KenwardRogerMoments,
    kenward_roger_contrast,
    kenward_roger_joint,
    kenward_roger_moments,
)
from bayesmlm.reference.satterthwaite import (
    SatterthwaiteMoments,
    satterthwaite_contrast,
    satterthwaite_joint,
    satterthwaite_moments,
)

SATTERTHWAITE, KENWARD_ROGER = "Satterthwaite", "Kenward-Roger"
_NAMES = {"satterthwaite": SATTERTHWAITE, "kenward-roger": KENWARD_ROGER, "lme4": None}

Moments = SatterthwaiteMoments | KenwardRogerMoments


@dataclass(frozen=True)
class CoefficientTests:
    """t tests of the k fixed effects.

    Attributes
    ----------
    method : str
        ``"Satterthwaite"`` or ``"Kenward-Roger"``.
    se : ndarray, shape (k,)
        Standard errors; Kenward and Roger's are adjusted for small samples.
    df, statistic, p_value : ndarray, shape (k,)
        Degrees of freedom, estimate / se, and the two-sided p value.
    """

    method: str
    se: np.ndarray
    df: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray


def ddf_method(ddf: str | None) -> str | None:
    """Return the method's name as lmerTest spells it; None for None and for ``"lme4"``, which has no tests.

    Raises
    ------
    BayesMLMError
        For an unknown name.
    """
    if ddf is None:
        return None
    name = str(ddf).lower().replace("_", "-")
    if name not in _NAMES:
        known = "'satterthwaite', 'kenward-roger' or None"
        raise BayesMLMError(f"ddf = {ddf!r}: choose {known}.{did_you_mean(name, _NAMES)}")
    return _NAMES[name]


def ddf_moments(design: Design, estimate: LmerEstimate, method: str) -> Moments:
    """Return what a method needs to know of a fit to test any contrast."""
    if method == KENWARD_ROGER:
        return kenward_roger_moments(design, estimate)
    return satterthwaite_moments(design, estimate)


def contrast_test(moments: Moments, L: np.ndarray) -> TTest:
    """Test L beta = 0 for one row vector L, shape (k,)."""
    if isinstance(moments, KenwardRogerMoments):
        return kenward_roger_contrast(moments, L)
    return satterthwaite_contrast(moments, L)


def joint_test(moments: Moments, L: np.ndarray) -> FTest:
    """Test L beta = 0 for the rows of L, shape (r, k), jointly."""
    if isinstance(moments, KenwardRogerMoments):
        return kenward_roger_joint(moments, L)
    return satterthwaite_joint(moments, L)


def coefficient_tests(design: Design, estimate: LmerEstimate, ddf: str | None) -> CoefficientTests | None:
    """Test each fixed effect against 0; None where `ddf` names no method.

    Raises
    ------
    BayesMLMError
        For an unknown method, or Kenward and Roger's with an ML fit.
    DataError
        Where the groups are too many for Kenward and Roger's method.
    """
    method = ddf_method(ddf)
    if method is None:
        return None
    if not len(estimate.beta):
        return CoefficientTests(method, *(np.empty(0) for _ in range(4)))
    moments = ddf_moments(design, estimate, method)
    tests = [contrast_test(moments, row) for row in np.eye(len(estimate.beta))]
    fields = ("se", "df", "statistic", "p_value")
    return CoefficientTests(method, *(np.array([getattr(t, f) for t in tests]) for f in fields))
