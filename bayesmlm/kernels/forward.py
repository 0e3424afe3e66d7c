"""Elimination of the group effects, factor by factor.

The equations are in `marginal`. In all functions z is `Sums.layout` and mem the working memory; offsets are
looked up before inner loops, because the compiler cannot know that writing to one array leaves the other as it is.
"""

from __future__ import annotations

import math

from bayesmlm.kernels.lapack import cholesky, mirror
from bayesmlm.kernels.options import inlined, internal
from bayesmlm.kernels.sums import (
    AT_D,
    AT_HALF,
    AT_LAMBDA,
    AT_PIVOT,
    AT_SIDE,
    AT_TALL,
    BLOCK,
    CHAIN,
    COLUMN,
    ENTRIES,
    ENTRY,
    FACTORS,
    HD,
    LAM,
    LEVELS,
    NUMBERS,
    PARENT,
    POSITION,
    RIGHT,
    RR,
    START,
    STRIDE,
    TAIL,
    TR,
    TT,
    WIDTH,
    ZR,
    ZT,
    ZZ,
    R,
)


@internal
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


@internal
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


@internal
def tail_lambda(z, mem, source, target, columns, transpose):
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


@internal
def tail_around(z, mem, source, target, transpose):
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


@internal
def _eliminate_tail(z, mem):
    """log|D|^2, D the Cholesky factor of I + Lambda_t'TT Lambda_t; makes TT symmetric and reduces RR."""
    n, r, D, right, rr = z[TAIL], z[R], z[AT_D], z[AT_TALL], z[RR]
    mirror(mem, z[TT], n)
    tail_around(z, mem, z[TT], D, True)
    for i in range(n):
        mem[D + i * n + i] += 1.0
    if n == 0:
        return 0.0
    if not cholesky(mem, D, n, False):
        return math.nan
    tail_lambda(z, mem, z[TR], right, r, True)
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


@inlined
def eliminate(z, numbers, mem):
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
