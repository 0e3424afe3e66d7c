"""Derivatives through the map of `whitening`: from those in the group effects to those in all that makes them.

Every function undoes a step of the map, last step first. With a bar for a derivative, the factorisation L L' = M passes
on L-bar to M-bar column by column (Smith 1995, J. Comput. Graph. Stat. 4(2)), and u = L^-T h gives L-bar = -u h-bar'
below and on the diagonal. In all functions z is `Sums.layout`, w the offsets of the working memory, mem the memory.
"""

from __future__ import annotations

from bayesmlm.kernels.options import internal
from bayesmlm.kernels.sums import (
    CHAIN,
    COLUMN,
    EFFECTS,
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
from bayesmlm.kernels.whitening import (
    ALL_H,
    ALL_L,
    AT_ROW,
    FROM,
    LAMBDA,
    LAMBDA_BAR,
    LEAST,
    OF,
    OWN,
    PARTS,
    SCRATCH,
    SUMS_BAR,
    SUMS_COPY,
    TAIL_BAR,
    TAIL_L,
    TAIL_SPARE,
    TAIL_STRIDE,
    V_A,
    V_ABAR,
    V_B,
    V_BBAR,
    V_G,
    V_H,
    V_HBAR,
    V_U,
    level_places,
    symmetric,
    tail_entry,
)


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
def tail_back(z, w, mem, thin):
    """Derivatives in a, A and Lambda of the tail, from those in h (V_HBAR), complete for b (V_BBAR)."""
    n, L, bar, spare = z[TAIL], w[TAIL_L], w[TAIL_BAR], w[TAIL_SPARE]
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
                    entry = tail_entry(w, mem, A, a, b)
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
    _, _, _, gr, gt = level_places(z, w, c, j)
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
    _, _, _, gr, gt = level_places(z, w, c, j)
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
    zz, zr, zt, _, _ = level_places(z, w, c, j)
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
                v += symmetric(A, moved + zz, p, i, b) * mem[lam + b * p + k]
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
        tail_back(z, w, mem, thin)
    for c in range(chain - 1, -1, -1):
        A, moved = (numbers, 0) if c == 0 else (mem, copy)
        for j in range(z[FACTORS + c * STRIDE + LEVELS]):
            _level_back(z, w, A, moved, mem, c, j)
