"""Likelihoods of single rows given the linear predictor eta, compiled: values, scores, Fisher information, moments.

A row (possibly several alike, added up) has two numbers: successes and trials (binomial), the weighted sum of
responses and of weights (Poisson), response and weight (all others). Constants that depend on neither eta nor the
auxiliary parameters are left out. A row that has no likelihood at eta, as a negative mean of a count, gives NaN.
"""

from __future__ import annotations

import math

from bayesmlm.kernels.options import internal
from bayesmlm.kernels.special import HALF_LOG_TWO_PI, digamma, log_ndtr, trigamma

GAUSSIAN, BINOMIAL, POISSON, NEGBINOMIAL, FAMILY_GAMMA, WALD, BETA, STUDENT, LOGNORMAL = range(9)
IDENTITY, LOG, INVERSE, INVERSE_SQUARED, SQRT, LOGIT, PROBIT, CLOGLOG, CAUCHIT = range(9)
MOST = 700.0  # exp of more overflows


@internal
def probability(link, eta):
    """log p, log(1 - p) and their derivatives in eta."""
    if link == LOGIT:
        e = math.exp(-abs(eta))
        far = math.log1p(e)
        p = 1.0 / (1.0 + e) if eta > 0.0 else e / (1.0 + e)
        q = e / (1.0 + e) if eta > 0.0 else 1.0 / (1.0 + e)
        return min(eta, 0.0) - far, -max(eta, 0.0) - far, q, -p
    if link == PROBIT:
        log_p, log_q = log_ndtr(eta), log_ndtr(-eta)
        log_density = -0.5 * eta * eta - HALF_LOG_TWO_PI
        return log_p, log_q, math.exp(log_density - log_p), -math.exp(log_density - log_q)
    if link == CLOGLOG:
        e = math.exp(min(eta, MOST))
        if e < 1e-8:
            return eta - 0.5 * e, -e, 1.0 - 0.5 * e, -e
        return math.log(-math.expm1(-e)), -e, e / math.expm1(e) if e < MOST else 0.0, -e
    if link == CAUCHIT:
        a, b = math.atan2(1.0, -eta), math.atan2(1.0, eta)  # pi p and pi (1 - p)
        slope = 1.0 / (1.0 + eta * eta)
        return math.log(a / math.pi), math.log(b / math.pi), slope / a, -slope / b
    # log: p = exp(eta)
    if eta >= 0.0:
        return math.nan, math.nan, math.nan, math.nan
    return eta, math.log(-math.expm1(eta)), 1.0, -1.0 / math.expm1(-eta)


@internal
def mean(link, eta):
    """mu, log mu, d mu / d eta and d log mu / d eta; the logarithm is NaN where mu is not positive."""
    if link == LOG:
        mu = math.exp(min(eta, MOST))
        return mu, eta, mu, 1.0
    if link == IDENTITY:
        return eta, math.log(eta) if eta > 0.0 else math.nan, 1.0, 1.0 / eta
    if link == INVERSE:
        mu = 1.0 / eta
        return mu, -math.log(eta) if eta > 0.0 else math.nan, -mu * mu, -mu
    if link == INVERSE_SQUARED:
        if eta <= 0.0:
            return math.nan, math.nan, math.nan, math.nan
        mu = 1.0 / math.sqrt(eta)
        return mu, -0.5 * math.log(eta), -0.5 * mu / eta, -0.5 / eta
    if link == SQRT:
        return eta * eta, 2.0 * math.log(abs(eta)), 2.0 * eta, 2.0 / eta
    log_p, _, slope, _ = probability(link, eta)
    p = math.exp(log_p)
    return p, log_p, p * slope, slope


@internal
def row(family, link, first, second, eta, one, two, known):
    """Log-likelihood of a row, its derivatives in eta and in the auxiliary parameters `one` and `two`.

    `known` is what a family wants of its auxiliary parameters once for all rows: see `known_of`.
    """
    if family == BINOMIAL:
        log_p, log_q, up, down = probability(link, eta)
        if link == LOGIT:
            return first * eta + second * log_q, first + second * down, 0.0, 0.0
        failures = second - first
        value = (first * log_p if first > 0.0 else 0.0) + (failures * log_q if failures > 0.0 else 0.0)
        score = (first * up if first > 0.0 else 0.0) + (failures * down if failures > 0.0 else 0.0)
        return value, score, 0.0, 0.0
    mu, log_mu, slope, relative = mean(link, eta)
    if family <= WALD and family != GAUSSIAN and not mu >= 0.0:
        return math.nan, math.nan, math.nan, math.nan
    if family == POISSON:
        value = (first * log_mu if first > 0.0 else 0.0) - second * mu
        return value, (first - second * mu) * relative, 0.0, 0.0
    y, w = first, second
    if family == NEGBINOMIAL:  # the gamma functions are summed over distinct responses elsewhere
        log_total = math.log(one + mu)
        value = one * (known - log_total) + (y * (log_mu - log_total) if y > 0.0 else 0.0)
        in_size = known - log_total + 1.0 - (one + y) / (one + mu)
        return w * value, w * one * (y - mu) / (one + mu) * relative, w * in_size, 0.0
    if family == FAMILY_GAMMA:
        value = known + (one - 1.0) * math.log(y) - one * (log_mu + y / mu)
        in_shape = math.log(one) + 1.0 - two + math.log(y) - log_mu - y / mu
        return w * value, w * one * (y / mu - 1.0) * relative, w * in_shape, 0.0
    if family == WALD:
        half = 0.5 * (y - mu) ** 2 / (mu * mu * y)
        value = known - one * half
        return w * value, w * one * (y - mu) / (mu * mu) * relative, w * (0.5 / one - half), 0.0
    if family == BETA:
        log_p, log_q, up, _ = probability(link, eta)
        p, q = math.exp(log_p), math.exp(log_q)
        a, b = p * one, q * one
        log_y, log_rest = math.log(y), math.log1p(-y)
        in_a, in_b = log_y - digamma(a), log_rest - digamma(b)
        value = known - math.lgamma(a) - math.lgamma(b) + (a - 1.0) * log_y + (b - 1.0) * log_rest
        score = one * (in_a - in_b) * p * up
        return w * value, w * score, w * (two + p * in_a + q * in_b), 0.0
    if family == STUDENT:
        rest = y - mu
        ratio = (rest / one) ** 2 / two
        weight = (two + 1.0) / two / (1.0 + ratio)
        scaled = rest / (one * one) * weight
        value = known - 0.5 * (two + 1.0) * math.log1p(ratio)
        in_scale = rest * scaled / one - 1.0 / one
        # what does not depend on the row is added by `once`
        in_df = -0.5 * math.log1p(ratio) + 0.5 * weight * ratio
        return w * value, w * scaled * slope, w * in_scale, w * in_df
    rest = y - mu  # a weight divides the variance of a Gaussian response, and counts rows of a lognormal one
    times = w if family == LOGNORMAL else 1.0
    value = -times * known - 0.5 * w * (rest / one) ** 2
    return value, w * rest / (one * one) * slope, w * rest * rest / one**3 - times / one, 0.0


@internal
def known_of(family, one, two):
    """What `row` wants of the auxiliary parameters once for all rows, and a second number in place of `two`."""
    if family == NEGBINOMIAL:
        return math.log(one), two
    if family == FAMILY_GAMMA:
        return one * math.log(one) - math.lgamma(one), digamma(one)
    if family == WALD:
        return 0.5 * math.log(one), two
    if family == BETA:
        return math.lgamma(one), digamma(one)
    if family == STUDENT:
        constant = math.lgamma(0.5 * (two + 1.0)) - math.lgamma(0.5 * two) - 0.5 * math.log(two)
        return constant - math.log(one), two
    if family in (GAUSSIAN, LOGNORMAL):
        return math.log(one), two
    return 0.0, two


@internal
def in_df_of_all(two):
    """Derivative in nu of the part of Student's t that does not depend on the row."""
    return 0.5 * (digamma(0.5 * (two + 1.0)) - digamma(0.5 * two) - 1.0 / two)


@internal
def information(family, link, second, eta, one, two):
    """Fisher information of a row about eta."""
    if family == BINOMIAL:
        _, _, up, down = probability(link, eta)
        return -second * up * down
    mu, _, slope, relative = mean(link, eta)
    if family == POISSON:
        return second * mu * relative * relative
    if family == NEGBINOMIAL:
        return second * relative * relative * mu * one / (one + mu)
    if family == FAMILY_GAMMA:
        return second * one * relative * relative
    if family == WALD:
        return second * one * relative * relative / mu
    if family == BETA:
        a, b = mu * one, (1.0 - mu) * one
        return second * one * one * (trigamma(a) + trigamma(b)) * slope * slope
    if family == STUDENT:
        return second * (two + 1.0) / ((two + 3.0) * one * one) * slope * slope
    return second / (one * one) * slope * slope


@internal
def moments(family, link, first, second, eta, one, two):
    """Expectation of a row's sum of responses, and its variance."""
    if family == BINOMIAL:
        log_p, log_q, _, _ = probability(link, eta)
        p = math.exp(log_p)
        return second * p, second * p * math.exp(log_q)
    mu, _, _, _ = mean(link, eta)
    if family == POISSON:
        return second * mu, second * mu
    if family == NEGBINOMIAL:
        return mu, mu + mu * mu / one
    if family == FAMILY_GAMMA:
        return mu, mu * mu / one
    if family == WALD:
        return mu, mu**3 / one
    if family == BETA:
        return mu, mu * (1.0 - mu) / (1.0 + one)
    if family == STUDENT:
        return mu, one * one * two / (two - 2.0) if two > 2.0 else math.inf
    if family == LOGNORMAL:
        middle = math.exp(mu + 0.5 * one * one)
        return middle, middle * middle * math.expm1(one * one)
    return mu, one * one / second
