"""The marginal likelihood of a linear mixed model and its gradient, compiled.

With y = X beta + Z b + e, b ~ N(0, sigma^2 Lambda Lambda') and e ~ N(0, sigma^2 W^-1), the group effects integrate out:
y ~ N(X beta, sigma^2 V), V = W^-1 + Z Lambda Lambda'Z'. Everything that (Lambda, sigma) determine follows from

    log|V| + log|W|   and   S = [X y]'V^-1 [X y].

`marginal` finds both by going through the factors in the order of `sums.Sums`. For each level j of a chain factor,
with A_j what Z_j'WZ_j has become by the eliminations before it and R_j the same of Z_j'W[later columns],

    L_j L_j' = Lambda'A_j Lambda + I,   H_j = L_j^-1 Lambda',   [later]'[later] -= (H_j R_j)'(H_j R_j),

and the tail follows by one dense Cholesky factor. This is the sparse Cholesky factor of Bates, Maechler, Bolker &
Walker (2015, J. Stat. Softw. 67(1), eq. 17 and 18), with Lambda kept apart from the sums.

For derivatives it then runs the other way. With

    K = Lambda (Lambda'Z'WZ Lambda + I)^-1 Lambda' = Var(b | y, beta) / sigma^2,

of which only the blocks of levels that meet are needed (Takahashi's recursion), P_j = H_j'H_j, F_j the part of R_j in
group effects, K_+ the part of K that belongs to them, and R_j now the part in [X y],

    K_j+ = -P_j F_j K_+,   K_jj = P_j - K_j+ F_j'P_j,   B_j = P_j (R_j - F_j B_+),
    s_j = Z_j'V^-1 [X y] = (I - A_j P_j)(R_j - F_j B_+),
    Z_j'V^-1 Z_j = (I - A_j P_j)(A_j - F_j K_+ F_j'(I - P_j A_j)),

where B (-gamma, 1)' are the conditional modes of b. The derivative of log|V| + tr(Q S) in Lambda is 2 G Lambda with
G = sum_j Z_j'V^-1 Z_j - s_j Q s_j'.
"""

from __future__ import annotations

import math
from typing import Any

import llvmlite.binding
import numpy as np
from numba import boolean, cfunc, float64, int64, njit, types

from bayesmlm.kernels.backward import go_back
from bayesmlm.kernels.forward import eliminate
from bayesmlm.kernels.options import OPTIONS, internal, stamped
from bayesmlm.kernels.single import is_single, pass_once, slope_of_single
from bayesmlm.kernels.sums import (
    AT_E,
    AT_FIXED,
    AT_GRAD,
    AT_INVERSE,
    AT_M0,
    AT_P0,
    AT_Q,
    RR,
    THETA,
    R,
)

VALUE, GRADIENT, EFFECTS_GIVEN_Q = range(3)


@internal
def _fixed_part(z, mem, w):
    """Complete the square in gamma of w (-gamma, 1) S (-gamma, 1)' + (gamma - m0)'P0 (gamma - m0).

    Returns log|H|, H = w S_xx + P0, and the minimum; H^-1 goes to INVERSE and e = (-gamma-hat, 1) to E.
    """
    r, k, S, P0, m0 = z[R], z[R] - 1, z[RR], z[AT_P0], z[AT_M0]
    L, below, inverse, e = z[AT_FIXED], z[AT_FIXED] + r * r, z[AT_INVERSE], z[AT_E]
    logdet = 0.0
    for i in range(k):
        for j in range(i + 1):
            v = w * mem[S + i * r + j] + mem[P0 + i * k + j]
            for q in range(j):
                v -= mem[L + i * k + q] * mem[L + j * k + q]
            if i > j:
                mem[L + i * k + j] = v / mem[L + j * k + j]
            elif v > 0.0:
                mem[L + i * k + i] = math.sqrt(v)
                logdet += math.log(v)
            else:
                return math.nan, math.nan
        for j in range(i + 1):  # below = L^-1
            v = 1.0 if i == j else 0.0
            for q in range(j, i):
                v -= mem[L + i * k + q] * mem[below + q * k + j]
            mem[below + i * k + j] = v / mem[L + i * k + i]
    for i in range(k):
        mem[e + i] = 0.0
        for j in range(k):
            v, h = 0.0, w * mem[S + j * r + k]
            for q in range(max(i, j), k):
                v += mem[below + q * k + i] * mem[below + q * k + j]
            for q in range(k):
                h += mem[P0 + j * k + q] * mem[m0 + q]
            mem[inverse + i * k + j] = v
            mem[e + i] -= v * h
    mem[e + k] = 1.0
    least = 0.0
    for i in range(r):
        for j in range(r):
            least += w * mem[e + i] * mem[S + i * r + j] * mem[e + j]
            if i < k and j < k:
                least += (mem[e + i] + mem[m0 + i]) * mem[P0 + i * k + j] * (mem[e + j] + mem[m0 + j])
    return logdet, least


@internal
def _marginal(z, numbers, mem, n, sigma, integrate, task):
    k = z[R] - 1
    single = task == GRADIENT and is_single(z)
    logdet = pass_once(z, numbers, mem) if single else eliminate(z, numbers, mem)
    if sigma == 0.0:
        sigma = math.sqrt(_fixed_part(z, mem, 1.0)[1] / (n - k if integrate else n))
    w = 1.0 / (sigma * sigma)
    logdet_H, least = _fixed_part(z, mem, w)
    value = -n * math.log(sigma) - 0.5 * (logdet + least)
    if integrate:
        value -= 0.5 * logdet_H
    slope = -n / sigma
    if task == VALUE or not (math.isfinite(value) or task == EFFECTS_GIVEN_Q):
        return value, slope, sigma, logdet
    if task == GRADIENT:
        for i in range(k + 1):
            for j in range(k + 1):
                v = w * mem[z[AT_E] + i] * mem[z[AT_E] + j]
                if integrate and i < k and j < k:
                    v += w * mem[z[AT_INVERSE] + i * k + j]
                mem[z[AT_Q] + i * (k + 1) + j] = v
                slope += v * mem[z[RR] + i * (k + 1) + j] / sigma
    if single:
        slope_of_single(z, mem)
    else:
        go_back(z, mem)
    if task == GRADIENT:
        for i in range(z[THETA]):
            mem[z[AT_GRAD] + i] *= -0.5
    return value, slope, sigma, logdet


_INTS, _FLOATS = types.CPointer(int64), types.CPointer(float64)
_C = types.int64(_INTS, _FLOATS, _FLOATS, int64, float64, int64, int64, _FLOATS)


@cfunc(_C, cache=True, error_model="numpy")
@stamped
def _marginal_c(z, numbers, mem, n, sigma, integrate, task, out):
    """`marginal` as a C function: other compiled code calls it by name, and does not compile it once more."""
    # Pointers, not arrays: an index of an array may be negative, and every access would look.
    out[0], out[1], out[2], out[3] = _marginal(z, numbers, mem, n, sigma, integrate != 0, task)
    return 0


llvmlite.binding.add_symbol("bayesmlm_marginal", _marginal_c.address)
call_marginal: Any = types.ExternalFunction("bayesmlm_marginal", _C)


@njit(
    types.UniTuple(float64, 4)(int64[::1], float64[::1], float64[::1], int64, float64, boolean, int64),
    cache=True,
    **OPTIONS,
)
@stamped
def marginal(z, numbers, mem, n, sigma, integrate, task):
    """Log-density of (Lambda, sigma), its gradient, and the conditional distribution of the group effects.

    The log-density is

        -n log sigma - 1/2 log|V| - 1/2 min over gamma of {e'S e / sigma^2 + (gamma - m0)'P0 (gamma - m0)},

    e = (-gamma, 1), and, if the fixed effects gamma are integrated out rather than maximised over,
    - 1/2 log|S_xx / sigma^2 + P0|. Hence

    - maximum likelihood: P0 = 0, not integrated;
    - REML: P0 = 0, integrated;
    - the posterior with gamma ~ N(m0, P0^-1): integrated.

    Constants (of pi, the weights, the prior) are left out. All of this is one function because numba compiles a
    function again within each of its callers.

    Parameters
    ----------
    z, numbers
        `Sums.layout` and `Sums.numbers`.
    mem : ndarray, length z[MEMORY]
        Working memory. In: Lambda of each factor (p, p), row by row, in elimination order (AT_LAMBDA); P0 (k, k) and m0
        (k,) in the basis of the cross products; for EFFECTS_GIVEN_Q a symmetric Q (r, r). Out: S (RR); but for VALUE,
        the derivative in Lambda, laid out as Lambda (AT_GRAD; that of log|V| + tr(Q S) for EFFECTS_GIVEN_Q); and for
        EFFECTS_GIVEN_Q also G of the chain factors, laid out likewise (AT_CURVE); the rows of B and of the scores,
        (effects, r), in elimination order; K_jj of the chain (AT_KD), K of the tail (AT_K), and Z_t'V_c^-1 Z_t, V_c
        being V of the chain alone (TT). VALUE leaves H_j of the chain (AT_HALF) and D of the tail (AT_D).
    n
        Number of rows.
    sigma
        Residual standard deviation; 0 for the value that maximises the density given Lambda (P0 = 0 only).
    integrate
        Whether the fixed effects are integrated out.
    task
        VALUE, GRADIENT, or EFFECTS_GIVEN_Q.

    Returns
    -------
    tuple of float
        The log-density, NaN where it does not exist; its derivative in sigma; sigma; log|V| + log|W|.
    """
    out = np.empty(4)
    call_marginal(z.ctypes, numbers.ctypes, mem.ctypes, n, sigma, integrate, task, out.ctypes)
    return out[0], out[1], out[2], out[3]
