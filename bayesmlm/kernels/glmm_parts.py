"""The pieces of a generalised model's density, compiled: predictors, likelihood, priors, covariance parameters.

See `glmm`, which puts them together. In all functions t and r point to a target's integers and floats, z to
`Sums.layout`, w to the offsets of the working memory and mem to the memory.
"""

from __future__ import annotations

import math

import numpy as np

from bayesmlm.kernels.components import (
    BLOCK_STRIDE,
    COLUMNS,
    FACTOR,
    FIRST,
    KIND,
    NUMBERS_OF,
    WITHIN,
    block_prior,
    fill_lambda,
    positive_prior,
    pull_back,
)
from bayesmlm.kernels.options import internal
from bayesmlm.kernels.pointwise import (
    BINOMIAL,
    LOGIT,
    NEGBINOMIAL,
    STUDENT,
    in_df_of_all,
    known_of,
    row,
)
from bayesmlm.kernels.special import digamma
from bayesmlm.kernels.sums import (
    CHAIN,
    EFFECTS,
    FACTORS,
    LAM,
    LEVELS,
    RIGHT,
    ROW,
    STRIDE,
    TAIL,
    THETA,
    TR,
    WIDTH,
    ZR,
    R,
)
from bayesmlm.kernels.whitening import (
    LAMBDA,
    LAMBDA_BAR,
    V_A,
    V_ABAR,
    V_B,
    V_BBAR,
)

# The head of a target: its length; numbers of rows, fixed effects, parameters x, auxiliaries, blocks, distinct
# responses (negative binomial), columns of Z in all, effects to report; family, link, whether standard deviations are
# relative to sigma, whether the tail is thinned out, and whether every factor has one effect per level; then where its
# parts start. SPACE has the offsets of the working memory, BEND the number c of every parameter, minus infinity where
# there is none.
LENGTH, ROWS, FIXED, PARAMETERS, AUXILIARY, BLOCKS, DISTINCT, WIDE, KEPT = range(9)
FAMILY, LINK, RELATIVE, THIN, SINGLE = range(9, 14)
SUMS, NUMBERS_AT, SPACE, TABLE, FIXED_PRIOR, AUXILIARY_PRIOR, CENTRE = range(14, 21)
FIRST_AT, SECOND_AT, OFFSET_AT, X_AT, Z_AT, ADDRESS, DISTINCT_AT = range(21, 28)
KEPT_AT, BEND, MODE, ROOT = range(28, 32)
HEAD = 32
NORMAL, STUDENT_T, LAPLACE = range(3)
DENSITY, REPORT, LINEARISED = range(3)


@internal
def _real_prior(r, at, beta):
    """log f(beta) and its derivative: kind, location, scale and degrees of freedom at `at`."""
    kind, scale = r[at], r[at + 2]
    d = (beta - r[at + 1]) / scale
    if kind == NORMAL:
        return -0.5 * d * d, -d / scale
    if kind == LAPLACE:
        return -abs(d), -math.copysign(1.0, d) / scale
    df = r[at + 3]
    ratio = d * d / df
    return -0.5 * (df + 1.0) * math.log1p(ratio), -(df + 1.0) * d / (df * scale * (1.0 + ratio))


@internal
def unbend(t, r, x, y):
    """Parameters y with logarithms of standard deviations, for coordinates x; the log-Jacobian besides."""
    value = 0.0
    for i in range(t[PARAMETERS]):
        below = min(x[i] - r[t[BEND] + i], 0.0)
        y[i] = x[i] - 0.5 * below * below
        value += math.log1p(-below)
    return value


@internal
def bend_back(t, r, x, grad):
    """Turn derivatives in y into those in x, that of the log-Jacobian added."""
    for i in range(t[PARAMETERS]):
        below = min(x[i] - r[t[BEND] + i], 0.0)
        if below < 0.0:
            grad[i] = grad[i] * (1.0 - below) - 1.0 / (1.0 - below)


@internal
def put_lambda(t, w, z, x, sigma, mem):
    """Lambda of every factor, block by block along its diagonal."""
    for i in range(z[THETA]):
        mem[w[LAMBDA] + i] = 0.0
        mem[w[LAMBDA_BAR] + i] = 0.0
    spare = np.empty(t[WIDE] * t[WIDE])
    for b in range(t[BLOCKS]):
        block = t[TABLE] + b * BLOCK_STRIDE
        p, f = t[block + COLUMNS], FACTORS + t[block + FACTOR] * STRIDE
        fill_lambda(x, t[block + FIRST], p, spare)
        at = w[LAMBDA] + z[f + LAM] + t[block + WITHIN] * (z[f + WIDTH] + 1)
        for i in range(p):
            for j in range(i + 1):
                mem[at + i * z[f + WIDTH] + j] = sigma * spare[i * p + j]


@internal
def put_right(t, r, z, w, numbers, mem, x):
    """a = Z'W(v - X beta)."""
    k, right, centre = t[FIXED], z[R], t[CENTRE]
    for c in range(z[CHAIN]):
        f = FACTORS + c * STRIDE
        p, m, to = z[f + WIDTH], z[f + RIGHT], w[V_A] + z[f + ROW]
        for i in range(z[f + LEVELS] * p):
            at = z[f + ZR] + i * m + m - right
            v = numbers[at + k]
            for q in range(k):
                v -= numbers[at + q] * (x[q] - r[centre + q])
            mem[to + i] = v
    first = w[V_A] + z[EFFECTS] - z[TAIL]
    for i in range(z[TAIL]):
        at = z[TR] + i * right
        v = numbers[at + k]
        for q in range(k):
            v -= numbers[at + q] * (x[q] - r[centre + q])
        mem[first + i] = v


@internal
def right_back(z, w, numbers, mem, grad, k):
    """Add the derivative in beta through a."""
    r = z[R]
    for c in range(z[CHAIN]):
        f = FACTORS + c * STRIDE
        p, m, at_bar = z[f + WIDTH], z[f + RIGHT], w[V_ABAR] + z[f + ROW]
        for i in range(z[f + LEVELS] * p):
            at, v = z[f + ZR] + i * m + m - r, mem[at_bar + i]
            for q in range(k):
                grad[q] -= numbers[at + q] * v
    first = w[V_ABAR] + z[EFFECTS] - z[TAIL]
    for i in range(z[TAIL]):
        at, v = z[TR] + i * r, mem[first + i]
        for q in range(k):
            grad[q] -= numbers[at + q] * v


@internal
def predictor(t, r, mem, x, b, i):
    """eta of row i; `b` is where the group effects start."""
    k, blocks = t[FIXED], t[BLOCKS]
    eta = r[t[OFFSET_AT] + i]
    at = t[X_AT] + i * k
    for q in range(k):
        eta += r[at + q] * x[q]
    at, address = t[Z_AT] + i * t[WIDE], t[ADDRESS] + i * blocks
    if t[WIDE] == blocks:
        for block in range(blocks):
            eta += r[at + block] * mem[b + t[address + block]]
        return eta
    for block in range(blocks):
        own = b + t[address + block]
        for q in range(t[t[TABLE] + block * BLOCK_STRIDE + COLUMNS]):
            eta += r[at] * mem[own + q]
            at += 1
    return eta


@internal
def _give_back(t, r, mem, bars, score, grad, i):
    """Add what the score of row i says of beta and the group effects."""
    k, blocks = t[FIXED], t[BLOCKS]
    at = t[X_AT] + i * k
    for q in range(k):
        grad[q] += score * r[at + q]
    at, address = t[Z_AT] + i * t[WIDE], t[ADDRESS] + i * blocks
    if t[WIDE] == blocks:
        for block in range(blocks):
            mem[bars + t[address + block]] += score * r[at + block]
        return
    for block in range(blocks):
        to = bars + t[address + block]
        for q in range(t[t[TABLE] + block * BLOCK_STRIDE + COLUMNS]):
            mem[to + q] += score * r[at]
            at += 1


@internal
def _logit_rows(t, r, w, mem, x, grad):
    """`likelihood` of binomials with the logit link."""
    b, bars, first_at, second_at = w[V_B], w[V_BBAR], t[FIRST_AT], t[SECOND_AT]
    value, product = 0.0, 1.0
    for i in range(t[ROWS]):
        eta = predictor(t, r, mem, x, b, i)
        yes, trials = r[first_at + i], r[second_at + i]
        e = math.exp(-abs(eta))
        p = (1.0 if eta > 0.0 else e) / (1.0 + e)
        value += yes * eta - trials * max(eta, 0.0)
        if trials == 1.0:
            product *= 1.0 + e
            if product > 1e100:  # one logarithm for many rows
                value -= math.log(product)
                product = 1.0
        else:
            value -= trials * math.log1p(e)
        _give_back(t, r, mem, bars, yes - trials * p, grad, i)
    return value - math.log(product)


@internal
def likelihood(t, r, w, mem, x, one, two, grad, in_aux):
    """Log-likelihood; derivatives in beta added to `grad`, those in b put in V_BBAR, in auxiliaries in `in_aux`."""
    family, link = t[FAMILY], t[LINK]
    in_aux[0] = in_aux[1] = 0.0
    if family == BINOMIAL and link == LOGIT:
        return _logit_rows(t, r, w, mem, x, grad)
    b, bars = w[V_B], w[V_BBAR]
    known, other = known_of(family, one, two)
    value, in_one, in_two, weights = 0.0, 0.0, 0.0, 0.0
    for i in range(t[ROWS]):
        eta = predictor(t, r, mem, x, b, i)
        first, second = r[t[FIRST_AT] + i], r[t[SECOND_AT] + i]
        own, score, d_one, d_two = row(family, link, first, second, eta, one, other, known)
        value += own
        in_one += d_one
        in_two += d_two
        weights += second
        _give_back(t, r, mem, bars, score, grad, i)
    if family == NEGBINOMIAL:
        constant, slope = math.lgamma(one), digamma(one)
        for i in range(t[DISTINCT]):
            y, weight = r[t[DISTINCT_AT] + 2 * i], r[t[DISTINCT_AT] + 2 * i + 1]
            value += weight * (math.lgamma(y + one) - constant)
            in_one += weight * (digamma(y + one) - slope)
    if family == STUDENT:
        in_two += weights * in_df_of_all(two)
    in_aux[0], in_aux[1] = in_one, in_two
    return value


@internal
def priors(t, r, x, sigma, grad):
    """Log-priors with Jacobians, their derivatives added to `grad`; the derivative in log sigma besides."""
    value, in_sigma = 0.0, 0.0
    for q in range(t[FIXED]):
        density, slope = _real_prior(r, t[FIXED_PRIOR] + 4 * q, x[q])
        value += density
        grad[q] += slope
    for b in range(t[BLOCKS]):
        block = t[TABLE] + b * BLOCK_STRIDE
        added, more = block_prior(
            x, t[block + FIRST], t[block + COLUMNS], t[block + KIND], r, t[block + NUMBERS_OF], sigma, grad
        )
        value, in_sigma = value + added, in_sigma + more
    first = t[PARAMETERS] - t[AUXILIARY]
    for i in range(t[AUXILIARY]):
        density, relative = positive_prior(r, t[AUXILIARY_PRIOR] + 3 * i, math.exp(x[first + i]))
        value += density + x[first + i]
        grad[first + i] += relative + 1.0
    return value, in_sigma


@internal
def lambda_back(t, w, z, x, sigma, mem, grad):
    """Add the derivatives in theta, given those in Lambda; that in log sigma, if Lambda is relative to it, besides."""
    in_sigma, spare = 0.0, np.empty(t[WIDE] * t[WIDE])
    slope = np.empty(t[WIDE] * t[WIDE])
    for b in range(t[BLOCKS]):
        block = t[TABLE] + b * BLOCK_STRIDE
        p, f = t[block + COLUMNS], FACTORS + t[block + FACTOR] * STRIDE
        fill_lambda(x, t[block + FIRST], p, spare)
        at = w[LAMBDA_BAR] + z[f + LAM] + t[block + WITHIN] * (z[f + WIDTH] + 1)
        for i in range(p):
            for j in range(p):
                slope[i * p + j] = sigma * mem[at + i * z[f + WIDTH] + j] if j <= i else 0.0
                in_sigma += slope[i * p + j] * spare[i * p + j]
        pull_back(x, t[block + FIRST], p, spare, slope, grad)
    return in_sigma
