"""Special functions of one number, for compiled code: accurate in the tails, where a likelihood needs them."""

from __future__ import annotations

import math

from bayesmlm.kernels.options import internal

HALF_LOG_TWO_PI = 0.9189385332046727
ROOT_HALF = 0.7071067811865476
FAR = -36.0  # erfc underflows beyond
LARGE = 10.0  # from here on the asymptotic series of the digamma function has fifteen digits


@internal
def log_ndtr(x):
    """Logarithm of the standard normal distribution function."""
    if x > 0.0:
        return math.log1p(-0.5 * math.erfc(x * ROOT_HALF))
    if x > FAR:
        return math.log(0.5 * math.erfc(-x * ROOT_HALF))
    r = 1.0 / (x * x)
    return -0.5 * x * x - math.log(-x) - HALF_LOG_TWO_PI + math.log1p(r * (-1.0 + r * (3.0 - 15.0 * r)))


@internal
def digamma(x):
    """Derivative of the logarithm of the gamma function, x > 0."""
    shift = 0.0
    while x < LARGE:
        shift -= 1.0 / x
        x += 1.0
    r = 1.0 / (x * x)
    tail = r * (1 / 240 - r * (1 / 132 - r * (691 / 32760 - r / 12)))
    return shift + math.log(x) - 0.5 / x - r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - tail)))


@internal
def trigamma(x):
    """Second derivative of the logarithm of the gamma function, x > 0."""
    shift = 0.0
    while x < LARGE:
        shift += 1.0 / (x * x)
        x += 1.0
    r = 1.0 / (x * x)
    tail = r * (1 / 30 - r * (5 / 66 - r * (691 / 2730 - r * 7 / 6)))
    return shift + 1.0 / x + 0.5 * r + (r / x) * (1 / 6 - r * (1 / 30 - r * (1 / 42 - tail)))
