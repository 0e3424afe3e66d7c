"""The posterior density of a generalised multilevel model, compiled: fixed effects, group effects and all.

The parameters are x = (beta, theta, log auxiliaries) and one standard normal number per group effect:

- beta, with the predictors centred if there is an intercept;
- theta, for each block the p logarithms of standard deviations and p (p - 1) / 2 partial correlations of `posterior`;
  absolute ones, or for the Gaussian family relative to sigma;
- the logarithms of the auxiliary parameters;
- z, from which `whitening` makes the group effects.

    log p = sum of rows log f(y | eta, auxiliaries) + log priors with their Jacobians - u'u / 2 - log|L|

up to a constant. A sampler moves w and z, x = mode + root w.
"""

from __future__ import annotations

import math
from typing import Any

import llvmlite.binding
import numpy as np
from numba import carray, cfunc, float64, int64, njit, types

from bayesmlm.kernels.marginal import stamped
from bayesmlm.kernels.options import OPTIONS, internal
from bayesmlm.kernels.pointwise import NEGBINOMIAL, STUDENT, in_df_of_all, information, known_of, moments, row
from bayesmlm.kernels.posterior import (
    BLOCK_STRIDE,
    COLUMNS,
    FACTOR,
    FIRST,
    KIND,
    NUMBERS_OF,
    WITHIN,
    _block_prior,
    _fill_lambda,
    _positive_prior,
    _pull_back,
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
    END,
    LAMBDA,
    LAMBDA_BAR,
    V_A,
    V_ABAR,
    V_B,
    V_BBAR,
    V_HBAR,
    V_U,
    put_effects,
    take_back,
)

# The head of a target: its length; numbers of rows, fixed effects, parameters x, auxiliaries, blocks, distinct responses
# (negative binomial), columns of Z in all, effects to report; family, link, whether standard deviations are relative to
# sigma and whether the tail is thinned out; then where its parts start. SPACE has the offsets of the working memory.
LENGTH, ROWS, FIXED, PARAMETERS, AUXILIARY, BLOCKS, DISTINCT, WIDE, KEPT, FAMILY, LINK, RELATIVE, THIN = (
    range(13)
)
SUMS, NUMBERS_AT, SPACE, TABLE, FIXED_PRIOR, AUXILIARY_PRIOR, CENTRE, FIRST_AT, SECOND_AT, OFFSET_AT = range(
    13, 23
)
X_AT, Z_AT, ADDRESS, DISTINCT_AT, KEPT_AT, MODE, ROOT = range(23, 30)
HEAD = 30
NORMAL, STUDENT_T, LAPLACE = range(3)
DENSITY, POSITION, LINEARISED = range(3)


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
def _put_lambda(t, w, z, x, sigma, mem):
    """Lambda of every factor, block by block along its diagonal."""
    for i in range(z[THETA]):
        mem[w[LAMBDA] + i] = 0.0
        mem[w[LAMBDA_BAR] + i] = 0.0
    spare = np.empty(t[WIDE] * t[WIDE])
    for b in range(t[BLOCKS]):
        block = t[TABLE] + b * BLOCK_STRIDE
        p, f = t[block + COLUMNS], FACTORS + t[block + FACTOR] * STRIDE
        _fill_lambda(x, t[block + FIRST], p, spare)
        at = w[LAMBDA] + z[f + LAM] + t[block + WITHIN] * (z[f + WIDTH] + 1)
        for i in range(p):
            for j in range(i + 1):
                mem[at + i * z[f + WIDTH] + j] = sigma * spare[i * p + j]


@internal
def _put_right(t, r, z, w, numbers, mem, x):
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
def _right_back(z, w, numbers, mem, grad, k):
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
def _predictor(t, r, mem, x, b, i):
    """eta of row i; `b` is where the group effects start."""
    k, blocks = t[FIXED], t[BLOCKS]
    eta = r[t[OFFSET_AT] + i]
    at = t[X_AT] + i * k
    for q in range(k):
        eta += r[at + q] * x[q]
    at, address = t[Z_AT] + i * t[WIDE], t[ADDRESS] + i * blocks
    for block in range(blocks):
        own = b + t[address + block]
        for q in range(t[t[TABLE] + block * BLOCK_STRIDE + COLUMNS]):
            eta += r[at] * mem[own + q]
            at += 1
    return eta


@internal
def _likelihood(t, r, w, mem, x, one, two, grad, in_aux):
    """Log-likelihood; derivatives in beta added to `grad`, those in b put in V_BBAR, in auxiliaries in `in_aux`."""
    k, blocks, family, link = t[FIXED], t[BLOCKS], t[FAMILY], t[LINK]
    b, bars = w[V_B], w[V_BBAR]
    known, other = known_of(family, one, two)
    value, in_one, in_two, weights = 0.0, 0.0, 0.0, 0.0
    for i in range(t[ROWS]):
        eta = _predictor(t, r, mem, x, b, i)
        first, second = r[t[FIRST_AT] + i], r[t[SECOND_AT] + i]
        own, score, d_one, d_two = row(family, link, first, second, eta, one, other, known)
        value += own
        in_one += d_one
        in_two += d_two
        weights += second
        at = t[X_AT] + i * k
        for q in range(k):
            grad[q] += score * r[at + q]
        at, address = t[Z_AT] + i * t[WIDE], t[ADDRESS] + i * blocks
        for block in range(blocks):
            to = bars + t[address + block]
            for q in range(t[t[TABLE] + block * BLOCK_STRIDE + COLUMNS]):
                mem[to + q] += score * r[at]
                at += 1
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
def _priors(t, r, x, sigma, grad):
    """Log-priors with Jacobians, their derivatives added to `grad`; the derivative in log sigma besides."""
    value, in_sigma = 0.0, 0.0
    for q in range(t[FIXED]):
        density, slope = _real_prior(r, t[FIXED_PRIOR] + 4 * q, x[q])
        value += density
        grad[q] += slope
    for b in range(t[BLOCKS]):
        block = t[TABLE] + b * BLOCK_STRIDE
        added, more = _block_prior(
            x, t[block + FIRST], t[block + COLUMNS], t[block + KIND], r, t[block + NUMBERS_OF], sigma, grad
        )
        value, in_sigma = value + added, in_sigma + more
    first = t[PARAMETERS] - t[AUXILIARY]
    for i in range(t[AUXILIARY]):
        density, relative = _positive_prior(r, t[AUXILIARY_PRIOR] + 3 * i, math.exp(x[first + i]))
        value += density + x[first + i]
        grad[first + i] += relative + 1.0
    return value, in_sigma


@internal
def _lambda_back(t, w, z, x, sigma, mem, grad):
    """Add the derivatives in theta, given those in Lambda; that in log sigma, if Lambda is relative to it, besides."""
    in_sigma, spare = 0.0, np.empty(t[WIDE] * t[WIDE])
    slope = np.empty(t[WIDE] * t[WIDE])
    for b in range(t[BLOCKS]):
        block = t[TABLE] + b * BLOCK_STRIDE
        p, f = t[block + COLUMNS], FACTORS + t[block + FACTOR] * STRIDE
        _fill_lambda(x, t[block + FIRST], p, spare)
        at = w[LAMBDA_BAR] + z[f + LAM] + t[block + WITHIN] * (z[f + WIDTH] + 1)
        for i in range(p):
            for j in range(p):
                slope[i * p + j] = sigma * mem[at + i * z[f + WIDTH] + j] if j <= i else 0.0
                in_sigma += slope[i * p + j] * spare[i * p + j]
        _pull_back(x, t[block + FIRST], p, spare, slope, grad)
    return in_sigma


@internal
def _evaluate(t, r, z, w, numbers, mem, x, standard, task, grad, out):
    """Log-density with derivatives, or group effects and moments of the response, or linear predictors and slopes."""
    d, aux = t[PARAMETERS], t[PARAMETERS] - t[AUXILIARY]
    one = math.exp(x[aux]) if t[AUXILIARY] > 0 else 1.0
    two = math.exp(x[aux + 1]) if t[AUXILIARY] > 1 else 1.0
    sigma = one if t[RELATIVE] else 1.0
    _put_lambda(t, w, z, x, sigma, mem)
    _put_right(t, r, z, w, numbers, mem, x)
    logdet = put_effects(z, w, numbers, mem, standard, t[THIN])
    if task != DENSITY:
        return _report(t, r, z, w, mem, x, one, two, task, out)
    for i in range(d):
        grad[i] = 0.0
    value = -logdet
    for i in range(z[EFFECTS]):
        mem[w[V_BBAR] + i] = 0.0
        value -= 0.5 * mem[w[V_U] + i] ** 2
    if not math.isfinite(value):
        return math.nan
    in_aux = np.zeros(2)
    value += _likelihood(t, r, w, mem, x, one, two, grad, in_aux)
    if not math.isfinite(value):
        return math.nan
    take_back(z, w, numbers, mem, standard, t[THIN])
    _right_back(z, w, numbers, mem, grad, t[FIXED])
    prior, in_sigma = _priors(t, r, x, sigma, grad)
    if t[AUXILIARY] > 0:
        grad[aux] += one * in_aux[0]
    if t[AUXILIARY] > 1:
        grad[aux + 1] += two * in_aux[1]
    in_sigma += _lambda_back(t, w, z, x, sigma, mem, grad)
    if t[RELATIVE]:
        grad[aux] += in_sigma
    for i in range(z[EFFECTS]):
        out[i] = mem[w[V_HBAR] + i]
    return value + prior


@internal
def _report(t, r, z, w, mem, x, one, two, task, out):
    """Write the expectation of the sum of responses, its variance and b; or eta, score and information of each row."""
    family, link, n, b = t[FAMILY], t[LINK], t[ROWS], w[V_B]
    known, other = known_of(family, one, two)
    total, spread = 0.0, 0.0
    for i in range(n):
        eta = _predictor(t, r, mem, x, b, i)
        first, second = r[t[FIRST_AT] + i], r[t[SECOND_AT] + i]
        if task == POSITION:
            middle, variance = moments(family, link, first, second, eta, one, two)
            total += middle
            spread += variance
        else:
            _, score, _, _ = row(family, link, first, second, eta, one, other, known)
            out[i], out[n + i] = eta, score
            out[2 * n + i] = information(family, link, second, eta, one, two)
    if task == POSITION:
        out[0], out[1] = total, spread
        for i in range(z[EFFECTS]):
            out[2 + i] = mem[b + i]
    return 0.0


_INTS, _POINTER = types.CPointer(int64), types.CPointer(float64)
_C = types.float64(
    _INTS, _POINTER, _INTS, _INTS, _POINTER, _POINTER, _POINTER, _POINTER, int64, _POINTER, _POINTER
)


@cfunc(_C, cache=True, error_model="numpy")
@stamped
def _evaluate_c(t, r, z, w, numbers, mem, x, standard, task, grad, out):
    """`_evaluate` as a C function: other compiled code calls it by name, and does not compile it once more."""
    return _evaluate(t, r, z, w, numbers, mem, x, standard, task, grad, out)


llvmlite.binding.add_symbol("bayesmlm_glmm", _evaluate_c.address)
_call: Any = types.ExternalFunction("bayesmlm_glmm", _C)
_VECTOR = float64[::1]


@njit(float64(int64[::1], _VECTOR, _VECTOR, _VECTOR, int64, _VECTOR, _VECTOR), cache=True, **OPTIONS)
@stamped
def evaluate(t, reals, x, standard, task, grad, out):
    """Log-density of a generalised model (task DENSITY), or what follows from a point.

    Parameters
    ----------
    t, reals
        The same target as integers and as floats: see `bayesmlm.kernels.glmm_target`.
    x : ndarray, shape (d,)
        Fixed effects, covariance parameters, logarithms of auxiliary parameters.
    standard : ndarray, shape (q,)
        Standard normal numbers, in elimination order.
    task
        DENSITY: the derivative in x goes to `grad`, that in the standard normal numbers to `out` (q,). POSITION: expected
        sum of the responses, its variance, and the group effects in elimination order go to `out` (2 + q,).
        LINEARISED: linear predictor, score and Fisher information of each row go to `out` (3 n,).
    """
    z, w, numbers = t[t[SUMS] :], t[t[SPACE] :], reals[t[NUMBERS_AT] :]
    mem = np.empty(w[END])
    return _call(
        t.ctypes,
        reals.ctypes,
        z.ctypes,
        w.ctypes,
        numbers.ctypes,
        mem.ctypes,
        x.ctypes,
        standard.ctypes,
        task,
        grad.ctypes,
        out.ctypes,
    )


@cfunc(
    types.int64(types.uint64, _POINTER, _POINTER, _POINTER, types.voidptr), cache=True, error_model="numpy"
)
@stamped
def density_callback(dim, u_, grad_, value_, data):
    """Log-density in (w, z) as a C function for a sampler; 0, or 1 where there is none."""
    value_[0] = math.nan
    length = carray(data, (1,), np.int64)[0]
    t, reals = carray(data, (length,), np.int64), carray(data, (length,), np.float64)
    d, total = t[PARAMETERS], int64(dim)
    u, grad = carray(u_, (total,)), carray(grad_, (total,))
    own = np.empty(2 * d)
    x, slope = own[:d], own[d:]
    for i in range(d):
        x[i] = reals[t[MODE] + i]
        for j in range(d):
            x[i] += reals[t[ROOT] + i * d + j] * u[j]
    z, w, numbers = t[t[SUMS] :], t[t[SPACE] :], reals[t[NUMBERS_AT] :]
    mem = np.empty(w[END])
    value = _call(
        t.ctypes,
        reals.ctypes,
        z.ctypes,
        w.ctypes,
        numbers.ctypes,
        mem.ctypes,
        x.ctypes,
        u[d:].ctypes,
        DENSITY,
        slope.ctypes,
        grad[d:].ctypes,
    )
    if not math.isfinite(value):
        return 1
    for j in range(d):
        v = 0.0
        for i in range(d):
            v += reals[t[ROOT] + i * d + j] * slope[i]
        grad[j] = v
    for j in range(total):
        if not math.isfinite(grad[j]):
            return 1
    value_[0] = value
    return 0


@cfunc(
    types.int64(types.uint64, types.uint64, _POINTER, _POINTER, types.voidptr),
    cache=True,
    error_model="numpy",
)
@stamped
def position_callback(dim, size, u_, x_, data):
    """x, the moments of the response, and the group effects to keep, as a C function for a sampler."""
    length = carray(data, (1,), np.int64)[0]
    t, reals = carray(data, (length,), np.int64), carray(data, (length,), np.float64)
    d, total = t[PARAMETERS], int64(dim)
    u, found = carray(u_, (total,)), carray(x_, (int64(size),))
    for i in range(d):
        v = reals[t[MODE] + i]
        for j in range(d):
            v += reals[t[ROOT] + i * d + j] * u[j]
        found[i] = v
    z, w, numbers = t[t[SUMS] :], t[t[SPACE] :], reals[t[NUMBERS_AT] :]
    mem = np.empty(w[END])
    out = np.empty(2 + total - d)
    _call(
        t.ctypes,
        reals.ctypes,
        z.ctypes,
        w.ctypes,
        numbers.ctypes,
        mem.ctypes,
        found.ctypes,
        u[d:].ctypes,
        POSITION,
        out.ctypes,
        out.ctypes,
    )
    found[d], found[d + 1] = out[0], out[1]
    for i in range(t[KEPT]):
        found[d + 2 + i] = out[2 + t[t[KEPT_AT] + i]]
    return 0
