"""Group effects as a map of standard normal numbers, fitted to a Gaussian approximation of the likelihood, compiled.

The log-likelihood of a generalised model is approximated once, near the posterior mode, by
-1/2 (v - eta)'W (v - eta), v a working response and W = diag(working weights). Given fixed effects and
Sigma_j = Lambda Lambda', the group effects b = Lambda u, u ~ N(0, I), would then be Gaussian with precision
M = I + Lambda'Z'WZ Lambda and mean M^-1 Lambda'a, a = Z'W(v - X beta); so that

    u = L^-T (L^-1 Lambda'a + z),   L L' = M,

is standard normal in z wherever the approximation is good, whether a group is small or large, crossed or nested. It is
a map for any Lambda and beta, with Jacobian 1 / |L|: no approximation enters the posterior.

M is factorised as in `marginal`, level by level: for level j of a chain factor, with A_j and a_j what the eliminations
before have left, and F_r the row of Z_r'WZ_j of each later effect r that it meets,

    L_j L_j' = I + Lambda'A_j Lambda,   H_j = L_j^-1 Lambda',   G_r = H_j F_r,   g_j = H_j a_j,
    A_rs -= G_r'G_s,   F_rs -= G_r'G_s,   a_r -= G_r'g_j;

then from the last level to the first u_j = L_j^-T h_j, h_j = z_j + g_j - sum_r G_r b_r. Derivatives run the same way
back: `whitening_back.take_back`. Of A_j and of the tail's matrix only lower triangles are kept up to date.

If the tail is large, its levels are not coupled (thin): M is then thinned out, which leaves another valid map.
In all functions t points to the target's integers, z to `Sums.layout`, mem to the working memory.
"""

from __future__ import annotations

import math

from bayesmlm.kernels.lapack import cholesky
from bayesmlm.kernels.options import internal
from bayesmlm.kernels.sums import (
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
    START,
    STRIDE,
    TAIL,
    TT,
    WIDTH,
    ZR,
    ZT,
    ZZ,
    R,
)

# Where the parts of the working memory start, in the order of W_FIRST + i of the head of a target: copy and derivative
# of the sums; L and H of the chain's levels; G; Lambda and its derivative; vectors of one number per effect: a, g, h,
# u, b and the derivatives in h, b and a; of the tail: L, the derivative in M, and a spare matrix; scratch.
SUMS_COPY, SUMS_BAR, ALL_L, ALL_H, SIDE_R, SIDE_T, LAMBDA, LAMBDA_BAR = range(8)
V_A, V_G, V_H, V_U, V_B, V_HBAR, V_BBAR, V_ABAR, TAIL_L, TAIL_BAR, TAIL_SPARE, SCRATCH, END = range(8, 21)
PARTS = 21
# Then, for each column x of the tail: where its level starts, the level's width, where its Lambda starts, what to add
# to y for the entry (x, y <= x) of a matrix of the tail, and the first y there is: 0, or the level's start if the
# levels are not coupled.
FROM, OF, OWN, AT_ROW, LEAST = range(5)
TAIL_STRIDE = 5


@internal
def symmetric(A, at, p, i, j):
    return A[at + i * p + j] if i >= j else A[at + j * p + i]


@internal
def tail_entry(w, mem, A, a, b):
    """Entry (a, b) of a symmetric matrix of the tail."""
    if a >= b:
        return mem[A + w[PARTS + a * TAIL_STRIDE + AT_ROW] + b]
    return mem[A + w[PARTS + b * TAIL_STRIDE + AT_ROW] + a]


@internal
def _factorise(A, at, mem, lam, p, L, H, T):
    """L_j and H_j of the block of A at `at`, and A Lambda to `T`; returns log|L_j|, NaN if there is none."""
    if p == 1:
        v = 1.0 + mem[lam] * mem[lam] * A[at]
        if not v > 0.0:
            return math.nan
        root = math.sqrt(v)
        mem[L], mem[H], mem[T] = root, mem[lam] / root, A[at] * mem[lam]
        return math.log(root)
    logdet = 0.0
    for i in range(p):
        for j in range(p):
            v = 0.0
            for b in range(j, p):
                v += symmetric(A, at, p, i, b) * mem[lam + b * p + j]
            mem[T + i * p + j] = v
    for i in range(p):
        for j in range(i + 1):
            v = 1.0 if i == j else 0.0
            for a in range(i, p):
                v += mem[lam + a * p + i] * mem[T + a * p + j]
            for q in range(j):
                v -= mem[L + i * p + q] * mem[L + j * p + q]
            if i > j:
                mem[L + i * p + j] = v / mem[L + j * p + j]
            elif v > 0.0:
                mem[L + i * p + i] = math.sqrt(v)
                logdet += 0.5 * math.log(v)
            else:
                return math.nan
    for i in range(p):
        for a in range(p):
            v = mem[lam + a * p + i]
            for q in range(i):
                v -= mem[L + i * p + q] * mem[H + q * p + a]
            mem[H + i * p + a] = v / mem[L + i * p + i]
    return logdet


@internal
def level_places(z, w, c, j):
    """Of level j of chain factor c: the copy of its A, rows of G of parents and entries, and of F likewise."""
    f = FACTORS + c * STRIDE
    p, m = z[f + WIDTH], z[f + RIGHT]
    zz = z[f + ZZ] + j * p * p
    zr = z[f + ZR] + j * p * m
    zt = z[f + ZT] - z[f + ENTRY] * p
    gr = w[SIDE_R] + z[f + KR] + j * p * (m - z[R])
    gt = w[SIDE_T] + z[f + KT] - z[f + ENTRY] * p
    return zz, zr, zt, gr, gt


@internal
def _pass_on(z, w, mem, c, j):
    """Subtract G_r'G_s and G_r'g of level j of chain factor c from all that it meets."""
    f = FACTORS + c * STRIDE
    p, J, row = z[f + WIDTH], z[f + LEVELS], z[f + ROW] + j * z[f + WIDTH]
    _, _, _, gr, gt = level_places(z, w, c, j)
    e0, e1 = z[z[f + START] + j], z[z[f + START] + j + 1]
    base, va, vg, column = w[SUMS_COPY], w[V_A], w[V_G] + row, z[COLUMN]
    o = 0
    for d in range(c + 1, z[CHAIN]):
        h = FACTORS + d * STRIDE
        pd, md = z[h + WIDTH], z[h + RIGHT]
        q = z[z[f + PARENT] + (d - c - 1) * J + j]
        where = z[f + POSITION] + (d - c - 1) * z[f + ENTRIES] - z[f + ENTRY]
        zz, zr = base + z[h + ZZ] + q * pd * pd, base + z[h + ZR] + q * pd * md
        zt, to = base + z[h + ZT] - z[h + ENTRY] * pd, va + z[h + ROW] + q * pd
        for a in range(pd):
            for i in range(p):
                v = mem[gr + (o + a) * p + i]
                for b in range(a + 1):
                    mem[zz + a * pd + b] -= v * mem[gr + (o + b) * p + i]
                for b in range(md - z[R]):
                    mem[zr + a * md + b] -= v * mem[gr + (o + pd + b) * p + i]
                for e in range(e0, e1):
                    mem[zt + z[where + e] * pd + a] -= v * mem[gt + e * p + i]
                mem[to + a] -= v * mem[vg + i]
        o += pd
    tt, first = base + z[TT], va + z[EFFECTS] - z[TAIL]
    for e in range(e0, e1):
        x = z[column + e]
        for i in range(p):
            v = mem[gt + e * p + i]
            mem[first + x] -= v * mem[vg + i]
            block = PARTS + TAIL_STRIDE * x
            at, least, y = tt + w[block + AT_ROW], w[block + LEAST], e
            while y >= e0 and z[column + y] >= least:
                mem[at + z[column + y]] -= v * mem[gt + y * p + i]
                y -= 1


@internal
def tail_forward(z, w, mem, thin):
    """L of the tail and h - z (to V_H); returns log|L|."""
    n, A, L = z[TAIL], w[SUMS_COPY] + z[TT], w[TAIL_L]
    first = z[EFFECTS] - n
    for x in range(n):
        block = PARTS + TAIL_STRIDE * x
        x0, p, lam_x = w[block + FROM], w[block + OF], w[LAMBDA] + w[block + OWN]
        for y in range(w[block + LEAST], x + 1):
            other = PARTS + TAIL_STRIDE * y
            y0, q, lam_y = w[other + FROM], w[other + OF], w[LAMBDA] + w[other + OWN]
            v = 1.0 if x == y else 0.0
            for a in range(x, x0 + p):
                left = mem[lam_x + (a - x0) * p + x - x0]
                for b in range(y, y0 + q):
                    v += left * mem[lam_y + (b - y0) * q + y - y0] * tail_entry(w, mem, A, a, b)
            mem[L + w[block + AT_ROW] + y] = v
    if not thin:
        if not cholesky(mem, L, n, False):
            return math.nan
    else:
        for x in range(n):
            x0, at = w[PARTS + TAIL_STRIDE * x + FROM], L + w[PARTS + TAIL_STRIDE * x + AT_ROW]
            for y in range(x0, x + 1):
                v, other = mem[at + y], L + w[PARTS + TAIL_STRIDE * y + AT_ROW]
                for q in range(x0, y):
                    v -= mem[at + q] * mem[other + q]
                if x > y:
                    mem[at + y] = v / mem[other + y]
                elif v > 0.0:
                    mem[at + x] = math.sqrt(v)
                else:
                    return math.nan
    logdet, va, vh = 0.0, w[V_A] + first, w[V_H] + first
    for x in range(n):
        block = PARTS + TAIL_STRIDE * x
        x0, p, lam = w[block + FROM], w[block + OF], w[LAMBDA] + w[block + OWN]
        v = 0.0
        for a in range(x - x0, p):
            v += mem[lam + a * p + x - x0] * mem[va + x0 + a]
        at = L + w[block + AT_ROW]
        for y in range(w[block + LEAST], x):
            v -= mem[at + y] * mem[vh + y]
        mem[vh + x] = v / mem[at + x]
        logdet += math.log(mem[at + x])
    return logdet


@internal
def _effects_of(mem, L, lam, p, h, u, b):
    """u = L^-T h and b = Lambda u of one level."""
    for i in range(p - 1, -1, -1):
        v = mem[h + i]
        for q in range(i + 1, p):
            v -= mem[L + q * p + i] * mem[u + q]
        mem[u + i] = v / mem[L + i * p + i]
    for i in range(p):
        v = 0.0
        for q in range(i + 1):
            v += mem[lam + i * p + q] * mem[u + q]
        mem[b + i] = v


@internal
def put_effects(z, w, numbers, mem, standard, thin):
    """u and b (to V_U and V_B) from Lambda, a (V_A) and the standard normal numbers; returns log|L|.

    `standard` has them in elimination order.
    """
    n, chain, r = z[TAIL], z[CHAIN], z[R]
    copy = w[SUMS_COPY]
    start = z[FACTORS + STRIDE + ZZ] if chain > 1 else z[TT]  # the first factor's own sums are never changed
    for i in range(start, z[NUMBERS]):
        mem[copy + i] = numbers[i]
    logdet, T = 0.0, w[SCRATCH]
    for c in range(chain):
        f = FACTORS + c * STRIDE
        p, m, lam = z[f + WIDTH], z[f + RIGHT], w[LAMBDA] + z[f + LAM]
        A, moved = (numbers, 0) if c == 0 else (mem, copy)
        for j in range(z[f + LEVELS]):
            zz, zr, zt, gr, gt = level_places(z, w, c, j)
            zz, zr, zt = zz + moved, zr + moved, zt + moved
            L, H = w[ALL_L] + z[f + HD] + j * p * p, w[ALL_H] + z[f + HD] + j * p * p
            logdet += _factorise(A, zz, mem, lam, p, L, H, T)
            row = z[f + ROW] + j * p
            e0, e1 = z[z[f + START] + j], z[z[f + START] + j + 1]
            for i in range(p):
                for a in range(m - r):
                    v = 0.0
                    for q in range(p):
                        v += mem[H + i * p + q] * A[zr + q * m + a]
                    mem[gr + a * p + i] = v
                for e in range(e0, e1):
                    v = 0.0
                    for q in range(p):
                        v += mem[H + i * p + q] * A[zt + e * p + q]
                    mem[gt + e * p + i] = v
                v = 0.0
                for q in range(p):
                    v += mem[H + i * p + q] * mem[w[V_A] + row + q]
                mem[w[V_G] + row + i] = v
            _pass_on(z, w, mem, c, j)
    if n > 0:
        logdet += tail_forward(z, w, mem, thin)
        tail_effects(z, w, mem, standard)
    for c in range(chain - 1, -1, -1):
        f = FACTORS + c * STRIDE
        p, m, J, lam = z[f + WIDTH], z[f + RIGHT], z[f + LEVELS], w[LAMBDA] + z[f + LAM]
        tail_b, vb, column = w[V_B] + z[EFFECTS] - n, w[V_B], z[COLUMN]
        for j in range(J):
            _, _, _, gr, gt = level_places(z, w, c, j)
            row = z[f + ROW] + j * p
            h = w[V_H] + row
            for i in range(p):
                v = standard[row + i] + mem[w[V_G] + row + i]
                o = 0
                for d in range(c + 1, chain):
                    g = FACTORS + d * STRIDE
                    at = vb + z[g + ROW] + z[z[f + PARENT] + (d - c - 1) * J + j] * z[g + WIDTH]
                    for a in range(z[g + WIDTH]):
                        v -= mem[gr + (o + a) * p + i] * mem[at + a]
                    o += z[g + WIDTH]
                for e in range(z[z[f + START] + j], z[z[f + START] + j + 1]):
                    v -= mem[gt + e * p + i] * mem[tail_b + z[column + e]]
                mem[h + i] = v
            _effects_of(mem, w[ALL_L] + z[f + HD] + j * p * p, lam, p, h, w[V_U] + row, vb + row)
    return logdet


@internal
def tail_effects(z, w, mem, standard):
    """u and b of the tail."""
    n, L, first = z[TAIL], w[TAIL_L], z[EFFECTS] - z[TAIL]
    u, h, b = w[V_U] + first, w[V_H] + first, w[V_B] + first
    for x in range(n):
        mem[h + x] += standard[first + x]
        mem[u + x] = mem[h + x]
    for x in range(n - 1, -1, -1):
        at = L + w[PARTS + TAIL_STRIDE * x + AT_ROW]
        v = mem[u + x] / mem[at + x]
        mem[u + x] = v
        for y in range(w[PARTS + TAIL_STRIDE * x + LEAST], x):
            mem[u + y] -= mem[at + y] * v
    for x in range(n):
        block = PARTS + TAIL_STRIDE * x
        x0, p, lam = w[block + FROM], w[block + OF], w[LAMBDA] + w[block + OWN]
        v = 0.0
        for q in range(x - x0 + 1):
            v += mem[lam + (x - x0) * p + q] * mem[u + x0 + q]
        mem[b + x] = v
