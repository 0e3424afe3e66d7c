"""Derivatives, modes and variances of the group effects, from the last factor to the first.

The equations are in `marginal`. In all functions z is `Sums.layout` and mem the working memory; offsets are
looked up before inner loops, because the compiler cannot know that writing to one array leaves the other as it is.
"""

from __future__ import annotations

from bayesmlm.kernels.forward import tail_around, tail_lambda
from bayesmlm.kernels.lapack import cholesky, mirror
from bayesmlm.kernels.options import inlined, internal
from bayesmlm.kernels.sums import (
    AT_B,
    AT_CURVE,
    AT_D,
    AT_FKF,
    AT_G,
    AT_GRAD,
    AT_HALF,
    AT_IA,
    AT_K,
    AT_KD,
    AT_KR,
    AT_KT,
    AT_LAMBDA,
    AT_P,
    AT_PRODUCT,
    AT_Q,
    AT_REST,
    AT_SCORES,
    AT_SIDE,
    AT_SPARE,
    AT_TALL,
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
    PARENT,
    POSITION,
    RIGHT,
    ROW,
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


@internal
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
    tail_lambda(z, mem, z[TR], small, r, True)
    for i in range(n):
        for a in range(r):
            v = 0.0
            for j in range(n):
                v += mem[inverse + i * n + j] * mem[small + j * r + a]
            mem[u + i * r + a] = v
    tail_lambda(z, mem, u, B, r, False)
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
    tail_around(z, mem, inverse, wide, False)
    for i in range(n * n):
        mem[inverse + i] = mem[wide + i]
    mirror(mem, inverse, n)


@internal
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


@internal
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


@internal
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


@inlined
def go_back(z, mem):
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
