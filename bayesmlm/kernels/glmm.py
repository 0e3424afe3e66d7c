"""The posterior density of a generalised multilevel model, compiled: fixed effects, group effects and all.

The parameters are x = (beta, theta, log auxiliaries) and one standard normal number per group effect:

- beta, with the predictors centred if there is an intercept;
- theta, for each block the p logarithms of standard deviations and p (p - 1) / 2 partial correlations of `posterior`;
  absolute ones, or for the Gaussian family relative to sigma;
- the logarithms of the auxiliary parameters;
- z, from which `whitening` makes the group effects.

A logarithm y of a standard deviation that may be next to zero has an exponential tail to minus infinity. It has the
coordinate x with y = x above a number c and y = x - (x - c)^2 / 2 below, whose tail is that of a Gaussian.

    log p = sum of rows log f(y | eta, auxiliaries) + log priors with their Jacobians - u'u / 2 - log|L|

up to a constant. A sampler moves w and z, x = mode + root w.
"""

from __future__ import annotations

import math
from typing import Any

import llvmlite.binding
import numpy as np
from numba import carray, cfunc, float64, int64, njit, types

from bayesmlm.kernels.glmm_parts import (
    AUXILIARY,
    DENSITY,
    FAMILY,
    FIRST_AT,
    FIXED,
    KEPT,
    KEPT_AT,
    LINK,
    MODE,
    NUMBERS_AT,
    PARAMETERS,
    RELATIVE,
    REPORT,
    ROOT,
    ROWS,
    SECOND_AT,
    SINGLE,
    SPACE,
    SUMS,
    THIN,
    bend_back,
    lambda_back,
    likelihood,
    predictor,
    priors,
    put_lambda,
    put_right,
    right_back,
    unbend,
)
from bayesmlm.kernels.options import OPTIONS, internal, stamped
from bayesmlm.kernels.pointwise import (
    information,
    known_of,
    moments,
    row,
)
from bayesmlm.kernels.sums import (
    EFFECTS,
)
from bayesmlm.kernels.whitening import (
    END,
    V_B,
    V_BBAR,
    V_HBAR,
    V_U,
    put_effects,
)
from bayesmlm.kernels.whitening_back import take_back
from bayesmlm.kernels.whitening_single import put_effects_single, take_back_single


@internal
def _evaluate(t, r, z, w, numbers, mem, x_, standard, task, grad, out):
    """Log-density with derivatives, or group effects and moments of the response, or linear predictors and slopes."""
    d, aux = t[PARAMETERS], t[PARAMETERS] - t[AUXILIARY]
    own = np.empty(d + 2)
    x, in_aux = own[:d], own[d:]
    jacobian = unbend(t, r, x_, x)
    one = math.exp(x[aux]) if t[AUXILIARY] > 0 else 1.0
    two = math.exp(x[aux + 1]) if t[AUXILIARY] > 1 else 1.0
    sigma = one if t[RELATIVE] else 1.0
    put_lambda(t, w, z, x, sigma, mem)
    put_right(t, r, z, w, numbers, mem, x)
    if t[SINGLE]:
        logdet = put_effects_single(z, w, numbers, mem, standard, t[THIN])
    else:
        logdet = put_effects(z, w, numbers, mem, standard, t[THIN])
    if task != DENSITY:
        for i in range(d if task == REPORT else 0):
            grad[i] = x[i]
        return _report(t, r, z, w, mem, x, one, two, task, out)
    for i in range(d):
        grad[i] = 0.0
    value = jacobian - logdet
    for i in range(z[EFFECTS]):
        mem[w[V_BBAR] + i] = 0.0
        value -= 0.5 * mem[w[V_U] + i] ** 2
    if not math.isfinite(value):
        return math.nan
    value += likelihood(t, r, w, mem, x, one, two, grad, in_aux)
    if not math.isfinite(value):
        return math.nan
    if t[SINGLE]:
        take_back_single(z, w, numbers, mem, standard, t[THIN])
    else:
        take_back(z, w, numbers, mem, standard, t[THIN])
    right_back(z, w, numbers, mem, grad, t[FIXED])
    prior, in_sigma = priors(t, r, x, sigma, grad)
    if t[AUXILIARY] > 0:
        grad[aux] += one * in_aux[0]
    if t[AUXILIARY] > 1:
        grad[aux + 1] += two * in_aux[1]
    in_sigma += lambda_back(t, w, z, x, sigma, mem, grad)
    if t[RELATIVE]:
        grad[aux] += in_sigma
    bend_back(t, r, x_, grad)
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
        eta = predictor(t, r, mem, x, b, i)
        first, second = r[t[FIRST_AT] + i], r[t[SECOND_AT] + i]
        if task == REPORT:
            middle, variance = moments(family, link, first, second, eta, one, two)
            total += middle
            spread += variance
        else:
            _, score, _, _ = row(family, link, first, second, eta, one, other, known)
            out[i], out[n + i] = eta, score
            out[2 * n + i] = information(family, link, second, eta, one, two)
    if task == REPORT:
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
        DENSITY: the derivative in x goes to `grad`, that in the standard normal numbers to `out` (q,). REPORT: the
        parameters with logarithms of all standard deviations go to `grad`; expected sum of the responses, its variance,
        and the group effects in elimination order go to `out` (2 + q,).
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
    x = np.empty(d)
    for i in range(d):
        x[i] = reals[t[MODE] + i]
        for j in range(d):
            x[i] += reals[t[ROOT] + i * d + j] * u[j]
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
        x.ctypes,
        u[d:].ctypes,
        REPORT,
        found.ctypes,
        out.ctypes,
    )
    found[d], found[d + 1] = out[0], out[1]
    for i in range(t[KEPT]):
        found[d + 2 + i] = out[2 + t[t[KEPT_AT] + i]]
    return 0
