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
back: `take_back`. Of A_j and of the tail's matrix only lower triangles are kept up to date.

If the tail is large (THIN), its levels are not coupled: M is then thinned out, which leaves another valid map.
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
# Then, for each column x of the tail: where its level starts, the level's width, where its Lambda starts, what to add to
# y for the entry (x, y <= x) of a matrix of the tail, and the first y there is: 0, or the level's start if the levels
# are not coupled.
FROM, OF, OWN, AT_ROW, LEAST = range(5)
TAIL_STRIDE = 5


@internal
def _sym(A, at, p, i, j):
    return A[at + i * p + j] if i >= j else A[at + j * p + i]


@internal
def _entry(w, mem, A, a, b):
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
                v += _sym(A, at, p, i, b) * mem[lam + b * p + j]
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
def _places(z, w, c, j):
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
    _, _, _, gr, gt = _places(z, w, c, j)
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
def _tail_forward(z, w, mem, thin):
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
                    v += left * mem[lam_y + (b - y0) * q + y - y0] * _entry(w, mem, A, a, b)
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
            zz, zr, zt, gr, gt = _places(z, w, c, j)
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
        logdet += _tail_forward(z, w, mem, thin)
        _tail_effects(z, w, mem, standard)
    for c in range(chain - 1, -1, -1):
        f = FACTORS + c * STRIDE
        p, m, J, lam = z[f + WIDTH], z[f + RIGHT], z[f + LEVELS], w[LAMBDA] + z[f + LAM]
        tail_b, vb, column = w[V_B] + z[EFFECTS] - n, w[V_B], z[COLUMN]
        for j in range(J):
            _, _, _, gr, gt = _places(z, w, c, j)
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
def _tail_effects(z, w, mem, standard):
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


# -- derivatives --------------------------------------------------------------------------------------


@internal
def _cholesky_back(mem, L, bar, p):
    """Turn the derivative in the Cholesky factor L (lower, at `bar`) into that in the lower triangle of L L'."""
    for c in range(p - 1, -1, -1):
        for k in range(c + 1, p):
            for r in range(k, p):
                v = mem[bar + r * p + k]
                mem[bar + r * p + c] -= v * mem[L + k * p + c]
                mem[bar + k * p + c] -= v * mem[L + r * p + c]
        d = mem[L + c * p + c]
        total = mem[bar + c * p + c]
        for r in range(c + 1, p):
            mem[bar + r * p + c] /= d
            total -= mem[bar + r * p + c] * mem[L + r * p + c]
        mem[bar + c * p + c] = 0.5 * total / d


@internal
def _tail_back(z, w, mem, thin):
    """Derivatives in a, A and Lambda of the tail, from those in h (V_HBAR), complete for b (V_BBAR)."""
    n, L, bar, spare, A = z[TAIL], w[TAIL_L], w[TAIL_BAR], w[TAIL_SPARE], w[SUMS_COPY] + z[TT]
    first = z[EFFECTS] - n
    u, h, hbar, bbar = w[V_U] + first, w[V_H] + first, w[V_HBAR] + first, w[V_BBAR] + first
    q, va, abar = w[SCRATCH], w[V_A] + first, w[V_ABAR] + first
    for x in range(n):
        block = PARTS + TAIL_STRIDE * x
        x0, p, own = w[block + FROM], w[block + OF], w[block + OWN]
        v = -mem[u + x]
        for a in range(x - x0, p):
            v += mem[w[LAMBDA] + own + a * p + x - x0] * mem[bbar + x0 + a]
            mem[w[LAMBDA_BAR] + own + a * p + x - x0] += mem[bbar + x0 + a] * mem[u + x]
        at = L + w[block + AT_ROW]
        for y in range(w[block + LEAST], x):
            v -= mem[at + y] * mem[hbar + y]
        mem[hbar + x] = v / mem[at + x]
    for x in range(n):
        mem[q + x] = mem[hbar + x]
    for x in range(n - 1, -1, -1):  # q = L^-T hbar
        at = L + w[PARTS + TAIL_STRIDE * x + AT_ROW]
        v = mem[q + x] / mem[at + x]
        mem[q + x] = v
        for y in range(w[PARTS + TAIL_STRIDE * x + LEAST], x):
            mem[q + y] -= mem[at + y] * v
    for x in range(n):
        block = PARTS + TAIL_STRIDE * x
        x0, p, own = w[block + FROM], w[block + OF], w[block + OWN]
        v = 0.0
        for b in range(x - x0 + 1):
            v += mem[w[LAMBDA] + own + (x - x0) * p + b] * mem[q + x0 + b]
            mem[w[LAMBDA_BAR] + own + (x - x0) * p + b] += mem[va + x] * mem[q + x0 + b]
        mem[abar + x] = v
        at = w[block + AT_ROW]
        for y in range(w[block + LEAST], x + 1):
            rest = mem[h + y] - mem[spare + 2 * n + y]  # L^-1 Lambda'a
            mem[bar + at + y] = -mem[u + x] * mem[hbar + y] - mem[q + x] * rest
        mem[bar + at + x] -= 1.0 / mem[L + at + x]
    for c in range(n - 1, -1, -1):
        block = PARTS + TAIL_STRIDE * c
        last = w[block + FROM] + w[block + OF] if thin else n
        for k in range(c + 1, last):  # the column, side by side
            at = w[PARTS + TAIL_STRIDE * k + AT_ROW] + c
            mem[spare + k] = mem[L + at]
            mem[spare + n + k] = mem[bar + at]
        for r in range(c + 1, last):
            left, total, at = mem[spare + r], mem[spare + n + r], bar + w[PARTS + TAIL_STRIDE * r + AT_ROW]
            for k in range(c + 1, r + 1):
                v = mem[at + k]
                total -= v * mem[spare + k]
                mem[spare + n + k] -= v * left
            mem[spare + n + r] = total - mem[at + r] * left  # the diagonal counts twice
        at = w[block + AT_ROW] + c
        d, rest = mem[L + at], mem[bar + at]
        for r in range(c + 1, last):
            v = mem[spare + n + r] / d
            mem[bar + w[PARTS + TAIL_STRIDE * r + AT_ROW] + c] = v
            rest -= v * mem[spare + r]
        mem[bar + at] = 0.5 * rest / d
    _tail_matrix_back(z, w, mem)


@internal
def _tail_matrix_back(z, w, mem):
    """From the derivative in M of the tail (lower, at TAIL_BAR) to those in A and Lambda."""
    n, bar, A, to = z[TAIL], w[TAIL_BAR], w[SUMS_COPY] + z[TT], w[SUMS_BAR] + z[TT]
    for x in range(n):
        block = PARTS + TAIL_STRIDE * x
        x0, p, own_x = w[block + FROM], w[block + OF], w[block + OWN]
        for y in range(w[block + LEAST], x + 1):
            other = PARTS + TAIL_STRIDE * y
            y0, q, own_y = w[other + FROM], w[other + OF], w[other + OWN]
            v = mem[bar + w[block + AT_ROW] + y]
            for a in range(x, x0 + p):
                left = mem[w[LAMBDA] + own_x + (a - x0) * p + x - x0]
                for b in range(y, y0 + q):
                    right = mem[w[LAMBDA] + own_y + (b - y0) * q + y - y0]
                    entry = _entry(w, mem, A, a, b)
                    mem[w[LAMBDA_BAR] + own_x + (a - x0) * p + x - x0] += v * right * entry
                    mem[w[LAMBDA_BAR] + own_y + (b - y0) * q + y - y0] += v * left * entry
                    high, low = max(a, b), min(a, b)
                    mem[to + w[PARTS + TAIL_STRIDE * high + AT_ROW] + low] += v * left * right


@internal
def _effects_back(z, w, mem, c, j):
    """From the derivatives in b of level j of chain factor c to those in h, in Lambda, and in the b it meets."""
    f = FACTORS + c * STRIDE
    p, J, own, row = z[f + WIDTH], z[f + LEVELS], z[f + LAM], z[f + ROW] + j * z[f + WIDTH]
    L, u = w[ALL_L] + z[f + HD] + j * p * p, w[V_U] + row
    bbar, hbar = w[V_BBAR] + row, w[V_HBAR] + row
    for i in range(p):
        v = -mem[u + i]
        for a in range(i, p):
            v += mem[w[LAMBDA] + own + a * p + i] * mem[bbar + a]
            mem[w[LAMBDA_BAR] + own + a * p + i] += mem[bbar + a] * mem[u + i]
        for q in range(i):
            v -= mem[L + i * p + q] * mem[hbar + q]
        mem[hbar + i] = v / mem[L + i * p + i]
    _, _, _, gr, gt = _places(z, w, c, j)
    all_bars, o = w[V_BBAR], 0
    for d in range(c + 1, z[CHAIN]):
        g = FACTORS + d * STRIDE
        at = all_bars + z[g + ROW] + z[z[f + PARENT] + (d - c - 1) * J + j] * z[g + WIDTH]
        for a in range(z[g + WIDTH]):
            for i in range(p):
                mem[at + a] -= mem[gr + (o + a) * p + i] * mem[hbar + i]
        o += z[g + WIDTH]
    tail, column = all_bars + z[EFFECTS] - z[TAIL], z[COLUMN]
    for e in range(z[z[f + START] + j], z[z[f + START] + j + 1]):
        v = 0.0
        for i in range(p):
            v += mem[gt + e * p + i] * mem[hbar + i]
        mem[tail + z[column + e]] -= v


@internal
def _sides_back(z, w, mem, c, j, out):
    """Derivatives in G_r, rows at `out` (parents, then entries), and in g_j (after them)."""
    f = FACTORS + c * STRIDE
    p, J, row = z[f + WIDTH], z[f + LEVELS], z[f + ROW] + j * z[f + WIDTH]
    _, _, _, gr, gt = _places(z, w, c, j)
    parents = z[f + RIGHT] - z[R]
    e0, e1 = z[z[f + START] + j], z[z[f + START] + j + 1]
    hbar, vg, column = w[V_HBAR] + row, w[V_G] + row, z[COLUMN]
    vb, vabar, bars = w[V_B], w[V_ABAR], w[SUMS_BAR]
    gbar = out + (parents + e1 - e0) * p
    for i in range(p):
        mem[gbar + i] = mem[hbar + i]
    o = 0
    for d in range(c + 1, z[CHAIN]):
        h = FACTORS + d * STRIDE
        first = z[h + ROW] + z[z[f + PARENT] + (d - c - 1) * J + j] * z[h + WIDTH]
        for a in range(z[h + WIDTH]):
            for i in range(p):
                mem[out + (o + a) * p + i] = (
                    -mem[hbar + i] * mem[vb + first + a] - mem[vabar + first + a] * mem[vg + i]
                )
                mem[gbar + i] -= mem[vabar + first + a] * mem[gr + (o + a) * p + i]
        o += z[h + WIDTH]
    first = z[EFFECTS] - z[TAIL]
    tail_out = out + (parents - e0) * p
    for e in range(e0, e1):
        b, a = mem[vb + first + z[column + e]], mem[vabar + first + z[column + e]]
        for i in range(p):
            mem[tail_out + e * p + i] = -mem[hbar + i] * b - a * mem[vg + i]
            mem[gbar + i] -= a * mem[gt + e * p + i]
    o = 0
    for d in range(c + 1, z[CHAIN]):
        h = FACTORS + d * STRIDE
        pd, md = z[h + WIDTH], z[h + RIGHT]
        q = z[z[f + PARENT] + (d - c - 1) * J + j]
        where = z[f + POSITION] + (d - c - 1) * z[f + ENTRIES] - z[f + ENTRY]
        zz, zr = bars + z[h + ZZ] + q * pd * pd, bars + z[h + ZR] + q * pd * md
        zt = bars + z[h + ZT] - z[h + ENTRY] * pd
        for a in range(pd):
            for i in range(p):
                left, total = mem[gr + (o + a) * p + i], 0.0
                for b in range(a + 1):
                    v = mem[zz + a * pd + b]
                    total += v * mem[gr + (o + b) * p + i]
                    mem[out + (o + b) * p + i] -= v * left
                for b in range(md - z[R]):
                    v = mem[zr + a * md + b]
                    total += v * mem[gr + (o + pd + b) * p + i]
                    mem[out + (o + pd + b) * p + i] -= v * left
                for e in range(e0, e1):
                    v = mem[zt + z[where + e] * pd + a]
                    total += v * mem[gt + e * p + i]
                    mem[tail_out + e * p + i] -= v * left
                mem[out + (o + a) * p + i] -= total
        o += pd
    tt = bars + z[TT]
    for e in range(e0, e1):
        x = z[column + e]
        block = PARTS + TAIL_STRIDE * x
        at, least = tt + w[block + AT_ROW], w[block + LEAST]
        for i in range(p):
            left, total = mem[gt + e * p + i], 0.0
            y = e
            while y >= e0 and z[column + y] >= least:
                v = mem[at + z[column + y]]
                total += v * mem[gt + y * p + i]
                mem[tail_out + y * p + i] -= v * left
                y -= 1
            mem[tail_out + e * p + i] -= total


@internal
def _level_back(z, w, A, moved, mem, c, j):
    """Derivatives in Lambda, a_j, and (but for the first factor) A_j and F of level j of chain factor c."""
    f = FACTORS + c * STRIDE
    p, m, r, own, row = z[f + WIDTH], z[f + RIGHT], z[R], z[f + LAM], z[f + ROW] + j * z[f + WIDTH]
    zz, zr, zt, _, _ = _places(z, w, c, j)
    e0, e1 = z[z[f + START] + j], z[z[f + START] + j + 1]
    parents, side = m - r, w[SCRATCH] + 4 * p * p
    Hbar, Lbar, T, lam = w[SCRATCH], w[SCRATCH] + p * p, w[SCRATCH] + 2 * p * p, w[LAMBDA] + own
    L, H = w[ALL_L] + z[f + HD] + j * p * p, w[ALL_H] + z[f + HD] + j * p * p
    _sides_back(z, w, mem, c, j, side)
    gbar, va, abar = side + (parents + e1 - e0) * p, w[V_A] + row, w[V_ABAR] + row
    tail_side, bars, lbar = side + (parents - e0) * p, w[SUMS_BAR], w[LAMBDA_BAR] + own
    for i in range(p):
        for a in range(p):
            v = mem[gbar + i] * mem[va + a]
            for b in range(parents):
                v += mem[side + b * p + i] * A[moved + zr + a * m + b]
            for e in range(e0, e1):
                v += mem[tail_side + e * p + i] * A[moved + zt + e * p + a]
            mem[Hbar + i * p + a] = v
    for a in range(p):
        v = 0.0
        for i in range(p):
            v += mem[H + i * p + a] * mem[gbar + i]
            if c > 0:
                for b in range(parents):
                    mem[bars + zr + a * m + b] += mem[H + i * p + a] * mem[side + b * p + i]
                for e in range(e0, e1):
                    mem[bars + zt + e * p + a] += mem[H + i * p + a] * mem[tail_side + e * p + i]
        mem[abar + a] += v
    for a in range(p):  # Q = L^-T Hbar in place of Hbar
        for i in range(p - 1, -1, -1):
            v = mem[Hbar + i * p + a]
            for q in range(i + 1, p):
                v -= mem[L + q * p + i] * mem[Hbar + q * p + a]
            mem[Hbar + i * p + a] = v / mem[L + i * p + i]
            mem[lbar + a * p + i] += mem[Hbar + i * p + a]
    for i in range(p):
        for k in range(i + 1):
            v = -mem[w[V_U] + row + i] * mem[w[V_HBAR] + row + k]
            for a in range(p):
                v -= mem[Hbar + i * p + a] * mem[H + k * p + a]
            mem[Lbar + i * p + k] = v
        mem[Lbar + i * p + i] -= 1.0 / mem[L + i * p + i]
    _cholesky_back(mem, L, Lbar, p)
    for i in range(p):
        for k in range(p):
            v = 0.0
            for b in range(k, p):
                v += _sym(A, moved + zz, p, i, b) * mem[lam + b * p + k]
            mem[T + i * p + k] = v
    for a in range(p):
        for k in range(p):  # Lambda-bar += A Lambda (M-bar + M-bar')
            v = 0.0
            for i in range(p):
                s = mem[Lbar + i * p + k] if i >= k else mem[Lbar + k * p + i]
                v += mem[T + a * p + i] * (2.0 * s if i == k else s)
            mem[lbar + a * p + k] += v
    if c > 0:
        for a in range(p):
            for b in range(a + 1):
                v = 0.0
                for i in range(a + 1):
                    for k in range(b + 1):
                        s = mem[Lbar + i * p + k] if i >= k else mem[Lbar + k * p + i]
                        v += mem[lam + a * p + i] * mem[lam + b * p + k] * (2.0 * s if i == k else s)
                mem[bars + zz + a * p + b] += 0.5 * v if a == b else v


@internal
def take_back(z, w, numbers, mem, standard, thin):
    """Derivatives of f(b) - u'u / 2 - log|L| given those of f in b (V_BBAR, which is changed).

    Those in the standard normal numbers go to V_HBAR, in a to V_ABAR, in Lambda to LAMBDA_BAR.
    """
    chain, n, copy = z[CHAIN], z[TAIL], w[SUMS_COPY]
    start = z[FACTORS + STRIDE + ZZ] if chain > 1 else z[TT]
    for i in range(start, z[NUMBERS]):
        mem[w[SUMS_BAR] + i] = 0.0
    for i in range(z[EFFECTS]):
        mem[w[V_ABAR] + i] = 0.0
    for c in range(chain):
        for j in range(z[FACTORS + c * STRIDE + LEVELS]):
            _effects_back(z, w, mem, c, j)
    if n > 0:
        first = z[EFFECTS] - n
        for x in range(n):
            mem[w[TAIL_SPARE] + 2 * n + x] = standard[first + x]
        _tail_back(z, w, mem, thin)
    for c in range(chain - 1, -1, -1):
        A, moved = (numbers, 0) if c == 0 else (mem, copy)
        for j in range(z[FACTORS + c * STRIDE + LEVELS]):
            _level_back(z, w, A, moved, mem, c, j)
