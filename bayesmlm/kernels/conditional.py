"""Exact draws of fixed and group effects given the variance parameters, compiled.

Given Lambda and sigma, gamma ~ N(gamma-hat, H^-1) with H = S_xx / sigma^2 + P0, and b | gamma is Gaussian. Against the
order of elimination (see `marginal`), with e = (-gamma, 1) and z standard normal,

    tail:   b = Lambda D^-T (D^-1 Lambda'R e + sigma z),
    chain:  b_j = H_j'(H_j (R_j e - F_j b_+) + sigma z_j),

each given the later ones. After the sums nothing depends on the number of rows.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int64, njit, types

from bayesmlm.kernels.forward import tail_lambda
from bayesmlm.kernels.marginal import VALUE, call_marginal
from bayesmlm.kernels.options import OPTIONS, internal, stamped
from bayesmlm.kernels.posterior import NUMBERS_AT, PARAMETERS, PRIOR_AT, ROWS, SUMS, put_lambda, widest_block
from bayesmlm.kernels.sums import (
    AT_D,
    AT_E,
    AT_HALF,
    AT_INVERSE,
    AT_M0,
    AT_P0,
    AT_TALL,
    CHAIN,
    COLUMN,
    EFFECTS,
    ENTRY,
    FACTORS,
    HD,
    LEVELS,
    MEMORY,
    PARENT,
    RIGHT,
    ROW,
    START,
    STRIDE,
    TAIL,
    TR,
    WIDTH,
    ZR,
    ZT,
    R,
)


@internal
def _draw_fixed(z, mem, normals, gamma):
    """gamma = gamma-hat + chol(H^-1) normals; E becomes (-gamma, 1)."""
    k, inverse, e = z[R] - 1, z[AT_INVERSE], z[AT_E]
    L = np.zeros((k, k))
    for i in range(k):
        for j in range(i + 1):
            v = mem[inverse + i * k + j]
            for q in range(j):
                v -= L[i, q] * L[j, q]
            L[i, j] = math.sqrt(max(v, 0.0)) if i == j else v / L[j, j]
    for i in range(k):
        v = -mem[e + i]
        for j in range(i + 1):
            v += L[i, j] * normals[j]
        gamma[i] = v
        mem[e + i] = -v


@internal
def _draw_tail(z, mem, sigma, normals, b):
    """Group effects of the tail, to `b` from the first of its rows on."""
    n, r, e, D, small, first = z[TAIL], z[R], z[AT_E], z[AT_D], z[AT_TALL], z[EFFECTS] - z[TAIL]
    u = small + n * r
    tail_lambda(z, mem, z[TR], small, r, True)
    for i in range(n):
        v = 0.0
        for a in range(r):
            v += mem[small + i * r + a] * mem[e + a]
        for j in range(i):
            v -= mem[D + i * n + j] * mem[u + j]
        mem[u + i] = v / mem[D + i * n + i]
    for i in range(n):
        mem[u + i] += sigma * normals[first + i]
    for i in range(n - 1, -1, -1):
        v = mem[u + i]
        for j in range(i + 1, n):
            v -= mem[D + j * n + i] * mem[u + j]
        mem[u + i] = v / mem[D + i * n + i]
    tail_lambda(z, mem, u, small, 1, False)
    for i in range(n):
        b[first + i] = mem[small + i]


@internal
def _draw_chain(z, mem, c, sigma, normals, b):
    """Group effects of one chain factor, given those of all later factors."""
    f = FACTORS + c * STRIDE
    p, J, m, r, e = z[f + WIDTH], z[f + LEVELS], z[f + RIGHT], z[R], z[AT_E]
    zt, first = z[f + ZT] - z[f + ENTRY] * p, z[EFFECTS] - z[TAIL]
    rest, half = np.empty(p), np.empty(p)
    for j in range(J):
        zr, row, h = z[f + ZR] + j * p * m, z[f + ROW] + j * p, z[AT_HALF] + z[f + HD] + j * p * p
        for i in range(p):
            v = 0.0
            for a in range(r):
                v += mem[zr + i * m + m - r + a] * mem[e + a]
            x = 0
            for d in range(c + 1, z[CHAIN]):
                g = FACTORS + d * STRIDE
                start = z[g + ROW] + z[z[f + PARENT] + (d - c - 1) * J + j] * z[g + WIDTH]
                for a in range(z[g + WIDTH]):
                    v -= mem[zr + i * m + x] * b[start + a]
                    x += 1
            for entry in range(z[z[f + START] + j], z[z[f + START] + j + 1]):
                v -= mem[zt + entry * p + i] * b[first + z[z[COLUMN] + entry]]
            rest[i] = v
        for i in range(p):
            half[i] = sigma * normals[row + i]
            for q in range(p):
                half[i] += mem[h + i * p + q] * rest[q]
        for i in range(p):
            v = 0.0
            for q in range(p):
                v += mem[h + q * p + i] * half[q]
            b[row + i] = v


_MATRIX = float64[:, ::1]


@njit(
    types.void(int64[::1], float64[::1], _MATRIX, _MATRIX, _MATRIX, _MATRIX, boolean), cache=True, **OPTIONS
)
@stamped
def draw_effects(t, reals, x, normals, gamma, b, given):
    """Draw fixed and group effects for each draw of the variance parameters.

    Parameters
    ----------
    t, reals
        A target: see `bayesmlm.kernels.target`.
    x : ndarray, shape (N, d)
        Variance parameters.
    normals : ndarray, shape (N, k + q)
        Standard normal.
    gamma, b : ndarray, shapes (N, k) and (N, q)
        Filled with the draws, in the basis of the cross products; b in elimination order.
    given : bool
        Whether `gamma` holds the fixed effects, and b is drawn given them.
    """
    z, numbers = t[t[SUMS] :], reals[t[NUMBERS_AT] :]
    d, k = t[PARAMETERS], z[R] - 1
    widest = widest_block(t)
    mem = np.empty(z[MEMORY] + 2 * widest * widest + 4)
    spare, out = mem[z[MEMORY] :], mem[z[MEMORY] + 2 * widest * widest :]
    for s in range(len(x)):
        for i in range(k * k):
            mem[z[AT_P0] + i] = reals[t[PRIOR_AT] + i]
        for i in range(k):
            mem[z[AT_M0] + i] = reals[t[PRIOR_AT] + k * k + i]
        put_lambda(t, reals, x[s], mem, z, spare)
        sigma = math.exp(x[s, d - 1])
        call_marginal(z.ctypes, numbers.ctypes, mem.ctypes, t[ROWS], sigma, 1, VALUE, out.ctypes)
        if given:
            for i in range(k):
                mem[z[AT_E] + i] = -gamma[s, i]
        else:
            _draw_fixed(z, mem, normals[s], gamma[s])
        if z[TAIL] > 0:
            _draw_tail(z, mem, sigma, normals[s, k:], b[s])
        for c in range(z[CHAIN] - 1, -1, -1):
            _draw_chain(z, mem, c, sigma, normals[s, k:], b[s])
