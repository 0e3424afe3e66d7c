"""Priors: rstanarm's defaults and autoscaling, the user's overrides, and what they mean together.

Defaults (Gaussian, identity link), as in rstanarm: the intercept of centred predictors is
normal(mean(y), 2.5 sd(y)), slopes are normal(0, 2.5 sd(y) / sd(x)), sigma is exponential(1 / sd(y)), every
block's covariance is decov(1, 1, 1, 1). Standard deviations have divisor n - 1 and are taken of each column. With
another link or family the intercept is normal(0, 2.5), slopes are normal(0, 2.5 / sd(x)), both 1.596 times as wide for
probit, and other auxiliary parameters are exponential(1). The thresholds of ordinal models are student_t(3, 0, 2.5)
at the means of the predictors, as brms' are, each by itself or, in cumulative models, in increasing order.
"""

from bayesmlm.priors.build import Adjusted, Priors, build_priors
from bayesmlm.priors.density import lkj_log_density, log_prior
from bayesmlm.priors.families import (
    POSITIVE,
    UNIT,
    Decov,
    Distribution,
    Lkj,
    beta,
    cauchy,
    decov,
    exponential,
    gamma,
    half_cauchy,
    half_normal,
    half_student_t,
    is_custom,
    laplace,
    lkj,
    normal,
    student_t,
)
from bayesmlm.priors.implied import Implications, Implied, ImpliedSlope, implications, implied
from bayesmlm.priors.joint import R2D2, Horseshoe, Joint, horseshoe, r2d2
from bayesmlm.priors.overrides import THRESHOLDS, parts_of
from bayesmlm.priors.sample import Parameters, draw_parameters, lkj_cholesky

__all__ = [
    "POSITIVE",
    "R2D2",
    "THRESHOLDS",
    "UNIT",
    "Adjusted",
    "Decov",
    "Distribution",
    "Horseshoe",
    "Implications",
    "Implied",
    "ImpliedSlope",
    "Joint",
    "Lkj",
    "Parameters",
    "Priors",
    "beta",
    "build_priors",
    "cauchy",
    "decov",
    "draw_parameters",
    "exponential",
    "gamma",
    "half_cauchy",
    "half_normal",
    "half_student_t",
    "horseshoe",
    "implications",
    "implied",
    "is_custom",
    "laplace",
    "lkj",
    "lkj_cholesky",
    "lkj_log_density",
    "log_prior",
    "normal",
    "parts_of",
    "r2d2",
    "student_t",
]
