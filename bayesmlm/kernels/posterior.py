"""The posterior density of the variance parameters of a Gaussian model, fixed and group effects integrated out.

The parameters and their log-priors are those of `components`, last log sigma with log f(sigma) + log sigma.
Constants are left out.
"""

from __future__ import annotations

import math

import numpy as np
from numba import carray, cfunc, float64, int64, njit, types

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
from bayesmlm.kernels.marginal import GRADIENT, call_marginal
from bayesmlm.kernels.options import OPTIONS, internal, stamped
from bayesmlm.kernels.sums import (
    AT_GRAD,
    AT_LAMBDA,
    AT_M0,
    AT_P0,
    FACTORS,
    LAM,
    MEMORY,
    STRIDE,
    THETA,
    WIDTH,
    R,
)

# What the head of a target holds: its own length, rows, parameters, blocks; where its parts start.
LENGTH, ROWS, PARAMETERS, BLOCKS, SUMS, NUMBERS_AT, PRIOR_AT, TABLE, REALS, MODE, ROOT = range(11)
HEAD = 11


@internal
def put_lambda(t, reals, x, mem, z, spare):
    """Write T Lambda of every block into the factor's matrix, where `marginal` expects it."""
    for i in range(z[THETA]):
        mem[z[AT_LAMBDA] + i] = 0.0
    for b in range(t[BLOCKS]):
        block = t[TABLE] + b * BLOCK_STRIDE
        p, f = t[block + COLUMNS], FACTORS + t[block + FACTOR] * STRIDE
        fill_lambda(x, t[block + FIRST], p, spare)
        at = z[AT_LAMBDA] + z[f + LAM] + t[block + WITHIN] * (z[f + WIDTH] + 1)
        T = t[block + NUMBERS_OF]
        for i in range(p):
            for j in range(p):
                v = 0.0
                for q in range(p):
                    v += reals[T + i * p + q] * spare[q * p + j]
                mem[at + i * z[f + WIDTH] + j] = v


@internal
def _take_gradient(t, reals, x, mem, z, spare, grad):
    """Add the derivatives in the parameters, given those in T Lambda of every block."""
    for b in range(t[BLOCKS]):
        block = t[TABLE] + b * BLOCK_STRIDE
        p, f = t[block + COLUMNS], FACTORS + t[block + FACTOR] * STRIDE
        fill_lambda(x, t[block + FIRST], p, spare)
        at = z[AT_GRAD] + z[f + LAM] + t[block + WITHIN] * (z[f + WIDTH] + 1)
        T, slope = t[block + NUMBERS_OF], spare[p * p :]
        for i in range(p):
            for j in range(p):
                v = 0.0
                for q in range(p):
                    v += reals[T + q * p + i] * mem[at + q * z[f + WIDTH] + j]
                slope[i * p + j] = v
        pull_back(x, t[block + FIRST], p, spare, slope, grad)


@internal
def widest_block(t):
    """Largest number of columns of a block."""
    widest = 0
    for b in range(t[BLOCKS]):
        widest = max(widest, t[t[TABLE] + b * BLOCK_STRIDE + COLUMNS])
    return widest


@internal
def _density(t, reals, x, grad):
    """Log-density at x and its gradient."""
    z, numbers = t[t[SUMS] :], reals[t[NUMBERS_AT] :]
    d, k = t[PARAMETERS], z[R] - 1
    widest = widest_block(t)
    mem = np.empty(z[MEMORY] + 2 * widest * widest + 4)
    spare, out = mem[z[MEMORY] :], mem[z[MEMORY] + 2 * widest * widest :]
    for i in range(k * k):
        mem[z[AT_P0] + i] = reals[t[PRIOR_AT] + i]
    for i in range(k):
        mem[z[AT_M0] + i] = reals[t[PRIOR_AT] + k * k + i]
    put_lambda(t, reals, x, mem, z, spare)
    sigma = math.exp(x[d - 1])
    call_marginal(z.ctypes, numbers.ctypes, mem.ctypes, t[ROWS], sigma, 1, GRADIENT, out.ctypes)
    value, slope = out[0], out[1] * sigma
    for i in range(d):
        grad[i] = 0.0
    if not math.isfinite(value):
        return value
    _take_gradient(t, reals, x, mem, z, spare, grad)
    for b in range(t[BLOCKS]):
        block = t[TABLE] + b * BLOCK_STRIDE
        p, at = t[block + COLUMNS], t[block + NUMBERS_OF]
        added, in_sigma = block_prior(x, t[block + FIRST], p, t[block + KIND], reals, at + p * p, sigma, grad)
        value, slope = value + added, slope + in_sigma
    density, relative = positive_prior(reals, t[REALS], sigma)
    grad[d - 1] += slope + relative + 1.0
    return value + density + x[d - 1]


_VECTOR = float64[::1]


@njit(float64(int64[::1], _VECTOR, _VECTOR, _VECTOR), cache=True, **OPTIONS)
@stamped
def posterior_density(t, reals, x, grad):
    """Log-density of the variance parameters at x, up to a constant; its gradient goes to `grad`.

    Parameters
    ----------
    t, reals
        The same target as integers and as floats: see `bayesmlm.kernels.target`.
    x, grad : ndarray, shape (d,)
    """
    return _density(t, reals, x, grad)


_POINTER = types.CPointer(float64)


@cfunc(
    types.int64(types.uint64, _POINTER, _POINTER, _POINTER, types.voidptr), cache=True, error_model="numpy"
)
@stamped
def density_callback(dim, u_, grad_, value_, data):
    """Log-density in u, where x = mode + root u, as a C function for a sampler; 0, or 1 where there is none."""
    value_[0] = math.nan
    d = int64(dim)
    length = carray(data, (1,), np.int64)[0]
    t, reals = carray(data, (length,), np.int64), carray(data, (length,), np.float64)
    u, grad = carray(u_, (d,)), carray(grad_, (d,))
    own = np.empty(2 * d)
    x, slope = own[:d], own[d:]
    for i in range(d):
        x[i] = reals[t[MODE] + i]
        for j in range(d):
            x[i] += reals[t[ROOT] + i * d + j] * u[j]
    value = _density(t, reals, x, slope)
    if not math.isfinite(value):
        return 1
    for j in range(d):
        v = 0.0
        for i in range(d):
            v += reals[t[ROOT] + i * d + j] * slope[i]
        if not math.isfinite(v):
            return 1
        grad[j] = v
    value_[0] = value
    return 0


@cfunc(
    types.int64(types.uint64, types.uint64, _POINTER, _POINTER, types.voidptr),
    cache=True,
    error_model="numpy",
)
@stamped
def position_callback(dim, size, u_, x_, data):
    """x = mode + root u, as a C function for a sampler."""
    d = int64(dim)
    length = carray(data, (1,), np.int64)[0]
    t, reals = carray(data, (length,), np.int64), carray(data, (length,), np.float64)
    for i in range(d):
        v = reals[t[MODE] + i]
        for j in range(d):
            v += reals[t[ROOT] + i * d + j] * u_[j]
        x_[i] = v
    return 0
