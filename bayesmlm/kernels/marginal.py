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

from numba import boolean, float64, int64, njit, types

from bayesmlm.kernels import sums
from bayesmlm.kernels.lapack import cholesky, mirror
from bayesmlm.kernels.sums import (
    BLOCK,
    CHAIN,
    COLUMN,
    EFFECTS,
    ENTRIES,
    ENTRY,
    FACTORS,
    HD,
    KR,
    KT,
    LAM,
    LEVELS,
    NUMBERS,
    PARENT,
    POSITION,
    RIGHT,
    ROW,
    RR,
    START,
    STRIDE,
    TAIL,
    THETA,
    TR,
    TT,
    WIDTH,
    ZR,
    ZT,
    ZZ,
    R,
)

VALUE, GRADIENT, EFFECTS_GIVEN_Q = range(3)

# Compiled code knows global integers, not dictionaries.
AT_LAMBDA, AT_GRAD, AT_CURVE, AT_HALF = (sums.AT[f"AT_{x}"] for x in ("LAMBDA", "GRAD", "CURVE", "HALF"))
AT_D, AT_K, AT_SPARE = (sums.AT[f"AT_{x}"] for x in ("D", "K", "SPARE"))
AT_B, AT_SCORES, AT_KD, AT_KR, AT_KT = (sums.AT[f"AT_{x}"] for x in ("B", "SCORES", "KD", "KR", "KT"))
AT_P0, AT_M0, AT_Q, AT_INVERSE, AT_E = (sums.AT[f"AT_{x}"] for x in ("P0", "M0", "Q", "INVERSE", "E"))
AT_PIVOT, AT_SIDE, AT_PRODUCT = (sums.AT[f"AT_{x}"] for x in ("PIVOT", "SIDE", "PRODUCT"))
AT_P, AT_IA, AT_FKF, AT_G, AT_REST = (sums.AT[f"AT_{x}"] for x in ("P", "IA", "FKF", "G", "REST"))
AT_FIXED, AT_TALL = sums.AT["AT_FIXED"], sums.AT["AT_TALL"]

# Functions that only compiled code calls: compiled with their caller, and part of its cache. In all of them z is
# `Sums.layout` and mem the working memory; offsets are looked up before inner loops, because the compiler cannot know
# that writing to one array leaves the other as it is.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_NO_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_internal = njit(**_OPTIONS, **_NO_WRAPPERS)


_inlined = njit(**_OPTIONS, inline="always")


# -- forward ---------------------------------------------------------------------------------------


@_internal
def _pivot(mem, at, lam, p, L, h):
    """H_j of the p x p block at `at`, to `h`; returns log|L_j|^2, NaN if there is none."""
    logdet = 0.0
    for i in range(p):
        for j in range(i + 1):
            v = 1.0 if i == j else 0.0
            for a in range(p):
                left = mem[lam + a * p + i]
                if left != 0.0:
                    for b in range(p):
                        v += left * mem[at + a * p + b] * mem[lam + b * p + j]
            for q in range(j):
                v -= mem[L + i * p + q] * mem[L + j * p + q]
            if i > j:
                mem[L + i * p + j] = v / mem[L + j * p + j]
            elif v > 0.0:
                mem[L + i * p + i] = math.sqrt(v)
                logdet += math.log(v)
            else:
                return math.nan
    for i in range(p):
        for a in range(p):
            v = mem[lam + a * p + i]
            for q in range(i):
                v -= mem[L + i * p + q] * mem[h + q * p + a]
            mem[h + i * p + a] = v / mem[L + i * p + i]
    return logdet


@_internal
def _subtract_level(z, mem, c, j):
    """Subtract (H_j R_j)'(H_j R_j), the columns of H_j R_j at SIDE, from all that level j of chain factor c meets."""
    f = FACTORS + c * STRIDE
    p, J, m, r, W = z[f + WIDTH], z[f + LEVELS], z[f + RIGHT], z[R], z[AT_SIDE]
    e0, e1 = z[z[f + START] + j], z[z[f + START] + j + 1]
    o = 0
    for d in range(c + 1, z[CHAIN]):
        g = FACTORS + d * STRIDE
        pd, md = z[g + WIDTH], z[g + RIGHT]
        q = z[z[f + PARENT] + (d - c - 1) * J + j]
        where = z[f + POSITION] + (d - c - 1) * z[f + ENTRIES] - z[f + ENTRY]
        zz, zr, zt = z[g + ZZ] + q * pd * pd, z[g + ZR] + q * pd * md, z[g + ZT] - z[g + ENTRY] * pd
        for a in range(pd):
            for i in range(p):
                w = mem[W + (o + a) * p + i]
                for b in range(pd):
                    mem[zz + a * pd + b] -= w * mem[W + (o + b) * p + i]
                for b in range(md):
                    mem[zr + a * md + b] -= w * mem[W + (o + pd + b) * p + i]
                for e in range(e0, e1):
                    mem[zt + z[where + e] * pd + a] -= w * mem[W + (m + e - e0) * p + i]
        o += pd
    n, tt, tr, rr, column = z[TAIL], z[TT], z[TR], z[RR], z[COLUMN]
    last = W + (m - r) * p
    for e in range(e0, e1):
        row, at = z[column + e], W + (m + e - e0) * p
        for i in range(p):
            w = mem[at + i]
            for x in range(e0, e + 1):
                mem[tt + row * n + z[column + x]] -= w * mem[W + (m + x - e0) * p + i]
            for a in range(r):
                mem[tr + row * r + a] -= w * mem[last + a * p + i]
    for a in range(r):
        for b in range(r):
            for i in range(p):
                mem[rr + a * r + b] -= mem[last + a * p + i] * mem[last + b * p + i]


@_internal
def _tail_lambda(z, mem, source, target, columns, transpose):
    """Lambda_t M or Lambda_t'M, Lambda_t block-diagonal over the tail's levels, M (n_t, columns)."""
    for x in range(z[TAIL]):
        block = z[BLOCK] + 3 * x
        start, p, own = z[block], z[block + 1], z[AT_LAMBDA] + z[block + 2]
        for y in range(columns):
            v = 0.0
            for a in range(p):
                w = mem[own + a * p + x - start] if transpose else mem[own + (x - start) * p + a]
                v += w * mem[source + (start + a) * columns + y]
            mem[target + x * columns + y] = v


@_internal
def _around(z, mem, source, target, transpose):
    """The lower triangle of Lambda_t M Lambda_t', or of Lambda_t'M Lambda_t, for a symmetric M."""
    n = z[TAIL]
    for x in range(n):
        block = z[BLOCK] + 3 * x
        x_start, p, x_own = z[block], z[block + 1], z[AT_LAMBDA] + z[block + 2]
        for y in range(x + 1):
            block = z[BLOCK] + 3 * y
            start, q, own = z[block], z[block + 1], z[AT_LAMBDA] + z[block + 2]
            total = 0.0
            for a in range(p):
                v = mem[x_own + a * p + x - x_start] if transpose else mem[x_own + (x - x_start) * p + a]
                if v != 0.0:
                    for b in range(q):
                        w = mem[own + b * q + y - start] if transpose else mem[own + (y - start) * q + b]
                        total += v * w * mem[source + (x_start + a) * n + start + b]
            mem[target + x * n + y] = total


@_internal
def _eliminate_tail(z, mem):
    """log|D|^2, D the Cholesky factor of I + Lambda_t'TT Lambda_t; makes TT symmetric and reduces RR."""
    n, r, D, right, rr = z[TAIL], z[R], z[AT_D], z[AT_TALL], z[RR]
    mirror(mem, z[TT], n)
    _around(z, mem, z[TT], D, True)
    for i in range(n):
        mem[D + i * n + i] += 1.0
    if n == 0:
        return 0.0
    if not cholesky(mem, D, n, False):
        return math.nan
    _tail_lambda(z, mem, z[TR], right, r, True)
    logdet = 0.0
    for i in range(n):
        logdet += 2.0 * math.log(mem[D + i * n + i])
        for a in range(r):
            v = mem[right + i * r + a]
            for j in range(i):
                v -= mem[D + i * n + j] * mem[right + j * r + a]
            mem[right + i * r + a] = v / mem[D + i * n + i]
        for a in range(r):
            for b in range(r):
                mem[rr + a * r + b] -= mem[right + i * r + a] * mem[right + i * r + b]
    return logdet


@_inlined
def _eliminate(z, numbers, mem):
    """log|V| + log|W|; afterwards every block of sums is as it was when its turn came, and RR is S."""
    for i in range(z[NUMBERS]):
        mem[i] = numbers[i]
    logdet = 0.0
    for c in range(z[CHAIN]):
        f = FACTORS + c * STRIDE
        p, m, begin, W = z[f + WIDTH], z[f + RIGHT], z[f + START], z[AT_SIDE]
        zt = z[f + ZT] - z[f + ENTRY] * p
        for j in range(z[f + LEVELS]):
            h, zr = z[AT_HALF] + z[f + HD] + j * p * p, z[f + ZR] + j * p * m
            logdet += _pivot(mem, z[f + ZZ] + j * p * p, z[AT_LAMBDA] + z[f + LAM], p, z[AT_PIVOT], h)
            e0, e1 = z[begin + j], z[begin + j + 1]
            for i in range(p):
                for a in range(m + e1 - e0):
                    v = 0.0
                    for q in range(p):
                        side = mem[zr + q * m + a] if a < m else mem[zt + (e0 + a - m) * p + q]
                        v += mem[h + i * p + q] * side
                    mem[W + a * p + i] = v
            _subtract_level(z, mem, c, j)
    return logdet + _eliminate_tail(z, mem)


# -- backward --------------------------------------------------------------------------------------


@_internal
def _backward_tail(z, mem):
    """K of the tail, its rows of B and of the scores, and its part of G Lambda."""
    n, r, first = z[TAIL], z[R], z[EFFECTS] - z[TAIL]
    N, inverse, wide, small, u = z[TT], z[AT_K], z[AT_SPARE], z[AT_TALL], z[AT_TALL] + n * r
    B, scores, Q = z[AT_B] + first * r, z[AT_SCORES] + first * r, z[AT_Q]
    for i in range(n * n):
        mem[inverse + i] = mem[z[AT_D] + i]
    cholesky(mem, inverse, n, True)
    mirror(mem, inverse, n)
    for x in range(n):  # N Lambda
        for y in range(n):
            block = z[BLOCK] + 3 * y
            start, p, own = z[block], z[block + 1], z[AT_LAMBDA] + z[block + 2]
            v = 0.0
            for b in range(p):
                v += mem[N + x * n + start + b] * mem[own + b * p + y - start]
            mem[wide + x * n + y] = v
    _tail_lambda(z, mem, z[TR], small, r, True)
    for i in range(n):
        for a in range(r):
            v = 0.0
            for j in range(n):
                v += mem[inverse + i * n + j] * mem[small + j * r + a]
            mem[u + i * r + a] = v
    _tail_lambda(z, mem, u, B, r, False)
    for i in range(n):
        for a in range(r):
            v = mem[z[TR] + i * r + a]
            for j in range(n):
                v -= mem[wide + i * n + j] * mem[u + j * r + a]
            mem[scores + i * r + a] = v
    for x in range(n):
        block = z[BLOCK] + 3 * x
        start, p, own = z[block], z[block + 1], z[block + 2]
        for t in range(p):
            v = 0.0
            for y in range(n):
                v += mem[wide + x * n + y] * mem[inverse + (start + t) * n + y]
            for q in range(p):
                for a in range(r):
                    for b in range(r):
                        s = mem[scores + x * r + a] * mem[Q + a * r + b] * mem[scores + (start + q) * r + b]
                        v -= s * mem[z[AT_LAMBDA] + own + q * p + t]
            mem[z[AT_GRAD] + own + (x - start) * p + t] += v
    _around(z, mem, inverse, wide, False)
    for i in range(n * n):
        mem[inverse + i] = mem[wide + i]
    mirror(mem, inverse, n)


@_internal
def _times_K(z, mem, c, j):
    """F_j K_+ (at PRODUCT) for F_j (at SIDE) over the parents and the entries of level j of chain factor c."""
    f = FACTORS + c * STRIDE
    p, J, F, FK = z[f + WIDTH], z[f + LEVELS], z[AT_SIDE], z[AT_PRODUCT]
    parents = z[f + RIGHT] - z[R]
    e0, e1 = z[z[f + START] + j], z[z[f + START] + j + 1]
    for i in range((parents + e1 - e0) * p):
        mem[FK + i] = 0.0
    o = 0
    for d in range(c + 1, z[CHAIN]):
        g = FACTORS + d * STRIDE
        pd, md = z[g + WIDTH], z[g + RIGHT] - z[R]
        q = z[z[f + PARENT] + (d - c - 1) * J + j]
        where = z[f + POSITION] + (d - c - 1) * z[f + ENTRIES] - z[f + ENTRY]
        kd = z[AT_KD] + z[g + HD] + q * pd * pd
        kr, kt = z[AT_KR] + z[g + KR] + q * pd * md, z[AT_KT] + z[g + KT] - z[g + ENTRY] * pd
        for a in range(pd):
            for i in range(p):
                left = mem[F + (o + a) * p + i]
                for b in range(pd):
                    mem[FK + (o + b) * p + i] += left * mem[kd + a * pd + b]
                for b in range(md + e1 - e0):  # later parents, then entries
                    k = mem[kr + a * md + b] if b < md else mem[kt + z[where + e0 + b - md] * pd + a]
                    at = (o + pd + b) * p + i
                    mem[FK + at] += left * k
                    mem[FK + (o + a) * p + i] += mem[F + at] * k
        o += pd
    n, K, column = z[TAIL], z[AT_K], z[COLUMN]
    for e in range(e0, e1):
        row, at = K + z[column + e] * n, (parents + e - e0) * p
        for i in range(p):
            v = 0.0
            for x in range(e0, e1):
                v += mem[F + (parents + x - e0) * p + i] * mem[row + z[column + x]]
            mem[FK + at + i] += v


@_internal
def _unexplained(z, mem, c, j):
    """R_j - F_j B_+ (at REST, (p, r)): what the later group effects leave of Z_j'W[X y]."""
    f = FACTORS + c * STRIDE
    p, r, m, F, rest, B = z[f + WIDTH], z[R], z[f + RIGHT], z[AT_SIDE], z[AT_REST], z[AT_B]
    e0, e1 = z[z[f + START] + j], z[z[f + START] + j + 1]
    for i in range(p):
        for a in range(r):
            mem[rest + i * r + a] = mem[z[f + ZR] + (j * p + i) * m + m - r + a]
    x = 0
    for d in range(c + 1, z[CHAIN]):
        g = FACTORS + d * STRIDE
        row = z[g + ROW] + z[z[f + PARENT] + (d - c - 1) * z[f + LEVELS] + j] * z[g + WIDTH]
        for b in range(z[g + WIDTH]):
            for i in range(p):
                for a in range(r):
                    mem[rest + i * r + a] -= mem[F + x * p + i] * mem[B + (row + b) * r + a]
            x += 1
    for e in range(e0, e1):
        row = z[EFFECTS] - z[TAIL] + z[z[COLUMN] + e]
        for i in range(p):
            for a in range(r):
                mem[rest + i * r + a] -= mem[F + x * p + i] * mem[B + row * r + a]
        x += 1


@_internal
def _backward_level(z, mem, p, A, h, kd, row):
    """K_jj, B_j and s_j of one level from P_j and F_j K_+ F_j', and its part of G."""
    r, P, IA, FKF, G = z[R], z[AT_P], z[AT_IA], z[AT_FKF], z[AT_G]
    rest, B, scores, Q = z[AT_REST], z[AT_B] + row * r, z[AT_SCORES] + row * r, z[AT_Q]
    for a in range(p):
        for b in range(p):
            v = 1.0 if a == b else 0.0
            for q in range(p):
                v -= mem[A + a * p + q] * mem[P + q * p + b]
            mem[IA + a * p + b] = v
    for a in range(p):
        for x in range(r):
            b_sum, s_sum = 0.0, 0.0
            for q in range(p):
                b_sum += mem[P + a * p + q] * mem[rest + q * r + x]
                s_sum += mem[IA + a * p + q] * mem[rest + q * r + x]
            mem[B + a * r + x] = b_sum
            mem[scores + a * r + x] = s_sum
    for a in range(p):
        for b in range(p):
            k, g = mem[P + a * p + b], 0.0
            for q in range(p):
                g += mem[IA + a * p + q] * mem[A + q * p + b]
                for t in range(p):
                    k += mem[P + a * p + q] * mem[FKF + q * p + t] * mem[P + t * p + b]
                    g -= mem[IA + a * p + q] * mem[FKF + q * p + t] * mem[IA + b * p + t]
            for x in range(r):
                for y in range(r):
                    g -= mem[scores + a * r + x] * mem[Q + x * r + y] * mem[scores + b * r + y]
            mem[kd + a * p + b] = k
            mem[G + a * p + b] += g


@_inlined
def _backward(z, mem):
    """Derivatives in Lambda, G of the chain, B, the scores and K, with Q."""
    for i in range(z[THETA]):
        mem[z[AT_GRAD] + i] = 0.0
        mem[z[AT_CURVE] + i] = 0.0
    if z[TAIL] > 0:
        _backward_tail(z, mem)
    F, FK, P, FKF, G = z[AT_SIDE], z[AT_PRODUCT], z[AT_P], z[AT_FKF], z[AT_G]
    for c in range(z[CHAIN] - 1, -1, -1):
        f = FACTORS + c * STRIDE
        p, m, start = z[f + WIDTH], z[f + RIGHT], z[f + START]
        parents, zt = m - z[R], z[f + ZT] - z[f + ENTRY] * p
        for i in range(p * p):
            mem[G + i] = 0.0
        for j in range(z[f + LEVELS]):
            e0, e1 = z[start + j], z[start + j + 1]
            columns, zr = parents + e1 - e0, z[f + ZR] + j * p * m
            for a in range(columns):
                for i in range(p):
                    v = mem[zr + i * m + a] if a < parents else mem[zt + (e0 + a - parents) * p + i]
                    mem[F + a * p + i] = v
            _times_K(z, mem, c, j)
            _unexplained(z, mem, c, j)
            h, kd = z[AT_HALF] + z[f + HD] + j * p * p, z[AT_KD] + z[f + HD] + j * p * p
            for a in range(p):
                for b in range(p):
                    v, w = 0.0, 0.0
                    for x in range(columns):
                        v += mem[FK + x * p + a] * mem[F + x * p + b]
                    for q in range(p):
                        w += mem[h + q * p + a] * mem[h + q * p + b]
                    mem[FKF + a * p + b] = v
                    mem[P + a * p + b] = w
            _backward_level(z, mem, p, z[f + ZZ] + j * p * p, h, kd, z[f + ROW] + j * p)
            kr = z[AT_KR] + z[f + KR] + j * p * parents
            kt = z[AT_KT] + z[f + KT] + (e0 - z[f + ENTRY]) * p
            for x in range(columns):
                for a in range(p):
                    v = 0.0
                    for q in range(p):
                        v -= mem[P + a * p + q] * mem[FK + x * p + q]
                    mem[kr + a * parents + x if x < parents else kt + (x - parents) * p + a] = v
        own = z[f + LAM]
        for a in range(p):
            for b in range(p):
                v = 0.0
                for q in range(p):
                    v += mem[G + a * p + q] * mem[z[AT_LAMBDA] + own + q * p + b]
                mem[z[AT_GRAD] + own + a * p + b] = v
                mem[z[AT_CURVE] + own + a * p + b] = mem[G + a * p + b]
    for i in range(z[THETA]):
        mem[z[AT_GRAD] + i] *= 2.0


# -- the density -----------------------------------------------------------------------------------


@_internal
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


@njit(
    types.UniTuple(float64, 4)(int64[::1], float64[::1], float64[::1], int64, float64, boolean, int64),
    cache=True,
    **_OPTIONS,
)
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
        (k,) in the basis of the cross products; for EFFECTS_GIVEN_Q a symmetric Q (r, r). Out: S (RR); and, but for
        VALUE, the derivative in Lambda, laid out as Lambda (AT_GRAD; that of log|V| + tr(Q S) for EFFECTS_GIVEN_Q);
        G of the chain factors, laid out likewise (AT_CURVE); the rows of B and of the scores, (effects, r), in
        elimination order; K_jj of the chain (AT_KD), K of the tail (AT_K), and Z_t'V_c^-1 Z_t, V_c being V of the chain
        alone (TT).
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
    k = z[R] - 1
    logdet = _eliminate(z, numbers, mem)
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
    _backward(z, mem)
    if task == GRADIENT:
        for i in range(z[THETA]):
            mem[z[AT_GRAD] + i] *= -0.5
    return value, slope, sigma, logdet
