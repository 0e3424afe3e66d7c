"""`whitening` where every factor has one effect per level, written out: all blocks are numbers.

What a level meets is listed beforehand (see `glmm_target`), chain factor by chain factor: for each level the effects
of its A parents (`PARENTS_OF`, (J, A)) and where the sums are kept that the products of two of its parents change
(`PAIRS`, (J, A (A + 1) / 2)), and for each of E tail entries where those are that its product with each parent changes
(`MIXED`, (E, A)).
"""

from __future__ import annotations

import math

from bayesmlm.kernels.options import internal, loose
from bayesmlm.kernels.sums import (
    CHAIN,
    COLUMN,
    EFFECTS,
    ENTRY,
    FACTORS,
    HD,
    KR,
    KT,
    LAM,
    LEVELS,
    NUMBERS,
    RIGHT,
    ROW,
    START,
    STRIDE,
    TAIL,
    TT,
    ZR,
    ZT,
    ZZ,
)
from bayesmlm.kernels.whitening import (
    ALL_H,
    ALL_L,
    AT_ROW,
    LAMBDA,
    LAMBDA_BAR,
    PARTS,
    SCRATCH,
    SIDE_R,
    SIDE_T,
    SUMS_BAR,
    SUMS_COPY,
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
    tail_effects,
    tail_forward,
)
from bayesmlm.kernels.whitening_back import tail_back

PARENTS_OF, PAIRS, MIXED = range(3)
LINKS = 3


@loose
def _subtract(mem, to, source, n, factor):
    """mem[to:to + n] -= factor * mem[source:source + n]."""
    for i in range(n):
        mem[to + i] -= factor * mem[source + i]


@loose
def _dot(mem, a, b, n):
    v = 0.0
    for i in range(n):
        v += mem[a + i] * mem[b + i]
    return v


@internal
def _is_run(z, w, thin, e0, e1):
    """Whether the tail columns of entries e0 to e1 stand side by side."""
    return not thin and z[z[COLUMN] + e1 - 1] - z[z[COLUMN] + e0] == e1 - e0 - 1


@internal
def _factor_forward(z, w, A, moved, mem, c, thin):
    """G, g and L of the levels of chain factor c, passed on to what they meet; returns log|L|."""
    f, above = FACTORS + c * STRIDE, z[CHAIN] - 1 - c
    J, m, lam = z[f + LEVELS], z[f + RIGHT], mem[w[LAMBDA] + z[f + LAM]]
    zz, zr, zt = moved + z[f + ZZ], moved + z[f + ZR], moved + z[f + ZT] - z[f + ENTRY]
    gr, gt = w[SIDE_R] + z[f + KR], w[SIDE_T] + z[f + KT] - z[f + ENTRY]
    to_L, to_H, row = w[ALL_L] + z[f + HD], w[ALL_H] + z[f + HD], z[f + ROW]
    va, vg, copy, start, column = w[V_A], w[V_G], w[SUMS_COPY], z[f + START], z[COLUMN]
    link = PARTS + TAIL_STRIDE * z[TAIL] + LINKS * c
    parents, pairs, mixed = w[link + PARENTS_OF], w[link + PAIRS], w[link + MIXED] - z[f + ENTRY] * above
    first, tt, logdet, product = va + z[EFFECTS] - z[TAIL], copy + z[TT], 0.0, 1.0
    for j in range(J):
        v = 1.0 + lam * lam * A[zz + j]
        if not v > 0.0:
            return math.nan
        product *= v
        if product > 1e100:  # one logarithm for many levels
            logdet += 0.5 * math.log(product)
            product = 1.0
        root = math.sqrt(v)
        h = lam / root
        mem[to_L + j], mem[to_H + j] = root, h
        g = h * mem[va + row + j]
        mem[vg + row + j] = g
        e0, e1 = z[start + j], z[start + j + 1]
        for s in range(above):
            mem[gr + j * above + s] = h * A[zr + j * m + s]
        for e in range(e0, e1):
            mem[gt + e] = h * A[zt + e]
        k = pairs + j * above * (above + 1) // 2
        for s in range(above):
            u = mem[gr + j * above + s]
            for r in range(s, above):
                mem[copy + w[k]] -= u * mem[gr + j * above + r]
                k += 1
            mem[va + w[parents + j * above + s]] -= u * g
            for e in range(e0, e1):
                mem[copy + w[mixed + e * above + s]] -= u * mem[gt + e]
        if e1 > e0:
            run, x0 = _is_run(z, w, thin, e0, e1), z[column + e0]
            for e in range(e0, e1):
                x, u = z[column + e], mem[gt + e]
                mem[first + x] -= u * g
                at = tt + w[PARTS + TAIL_STRIDE * x + AT_ROW]
                if run:
                    _subtract(mem, at + x0, gt + e0, e - e0 + 1, u)
                elif thin:
                    mem[at + x] -= u * u
                else:
                    for y in range(e0, e + 1):
                        mem[at + z[column + y]] -= u * mem[gt + y]
    return logdet + 0.5 * math.log(product)


@internal
def put_effects_single(z, w, numbers, mem, standard, thin):
    """As `whitening.put_effects`."""
    n, chain, copy = z[TAIL], z[CHAIN], w[SUMS_COPY]
    begin = z[FACTORS + STRIDE + ZZ] if chain > 1 else z[TT]
    for i in range(begin, z[NUMBERS]):
        mem[copy + i] = numbers[i]
    logdet = 0.0
    for c in range(chain):
        A, moved = (numbers, 0) if c == 0 else (mem, copy)
        logdet += _factor_forward(z, w, A, moved, mem, c, thin)
    if n > 0:
        logdet += tail_forward(z, w, mem, thin)
        tail_effects(z, w, mem, standard)
    for c in range(chain - 1, -1, -1):
        f, above = FACTORS + c * STRIDE, chain - 1 - c
        lam, row, start, column = mem[w[LAMBDA] + z[f + LAM]], z[f + ROW], z[f + START], z[COLUMN]
        gr, gt = w[SIDE_R] + z[f + KR], w[SIDE_T] + z[f + KT] - z[f + ENTRY]
        parents = w[PARTS + TAIL_STRIDE * n + LINKS * c + PARENTS_OF]
        vg, vh, vu, vb, L = w[V_G] + row, w[V_H] + row, w[V_U] + row, w[V_B], w[ALL_L] + z[f + HD]
        tail = vb + z[EFFECTS] - n
        for j in range(z[f + LEVELS]):
            v = standard[row + j] + mem[vg + j]
            for s in range(above):
                v -= mem[gr + j * above + s] * mem[vb + w[parents + j * above + s]]
            for e in range(z[start + j], z[start + j + 1]):
                v -= mem[gt + e] * mem[tail + z[column + e]]
            mem[vh + j] = v
            u = v / mem[L + j]
            mem[vu + j] = u
            mem[vb + row + j] = lam * u
    return logdet


@internal
def _effects_back(z, w, mem, c):
    """As `whitening_back._effects_back`, all levels of chain factor c."""
    f, above, n = FACTORS + c * STRIDE, z[CHAIN] - 1 - c, z[TAIL]
    lam, row, start, column = mem[w[LAMBDA] + z[f + LAM]], z[f + ROW], z[f + START], z[COLUMN]
    gr, gt = w[SIDE_R] + z[f + KR], w[SIDE_T] + z[f + KT] - z[f + ENTRY]
    parents = w[PARTS + TAIL_STRIDE * n + LINKS * c + PARENTS_OF]
    vu, bbar, hbar, L = w[V_U] + row, w[V_BBAR], w[V_HBAR] + row, w[ALL_L] + z[f + HD]
    tail, total = bbar + z[EFFECTS] - n, 0.0
    for j in range(z[f + LEVELS]):
        u, b = mem[vu + j], mem[bbar + row + j]
        total += b * u
        v = (lam * b - u) / mem[L + j]
        mem[hbar + j] = v
        for s in range(above):
            mem[bbar + w[parents + j * above + s]] -= mem[gr + j * above + s] * v
        for e in range(z[start + j], z[start + j + 1]):
            mem[tail + z[column + e]] -= mem[gt + e] * v
    mem[w[LAMBDA_BAR] + z[f + LAM]] += total


@internal
def _factor_back(z, w, A, moved, mem, c, thin):
    """As `whitening_back._level_back`, all levels of chain factor c."""
    f, above, n = FACTORS + c * STRIDE, z[CHAIN] - 1 - c, z[TAIL]
    m, lam, row = z[f + RIGHT], mem[w[LAMBDA] + z[f + LAM]], z[f + ROW]
    zz, zr, zt = z[f + ZZ], z[f + ZR], z[f + ZT] - z[f + ENTRY]
    gr, gt = w[SIDE_R] + z[f + KR], w[SIDE_T] + z[f + KT] - z[f + ENTRY]
    L, H, start, column = w[ALL_L] + z[f + HD], w[ALL_H] + z[f + HD], z[f + START], z[COLUMN]
    link = PARTS + TAIL_STRIDE * n + LINKS * c
    parents, pairs, mixed = w[link + PARENTS_OF], w[link + PAIRS], w[link + MIXED] - z[f + ENTRY] * above
    va, vg, vb, vu, hbars, abars = (
        w[V_A] + row,
        w[V_G] + row,
        w[V_B],
        w[V_U] + row,
        w[V_HBAR] + row,
        w[V_ABAR],
    )
    bars, side, first = w[SUMS_BAR], w[SCRATCH], z[EFFECTS] - n
    tt, total = bars + z[TT], 0.0
    for j in range(z[f + LEVELS]):
        e0, e1 = z[start + j], z[start + j + 1]
        tail_side = side + above - e0
        hbar, g, h, root = mem[hbars + j], mem[vg + j], mem[H + j], mem[L + j]
        gbar, Hbar = hbar, 0.0
        for s in range(above):
            at = w[parents + j * above + s]
            a = mem[abars + at]
            mem[side + s] = -hbar * mem[vb + at] - a * g
            gbar -= a * mem[gr + j * above + s]
        for e in range(e0, e1):
            at = first + z[column + e]
            a = mem[abars + at]
            mem[tail_side + e] = -hbar * mem[vb + at] - a * g
            gbar -= a * mem[gt + e]
        k = pairs + j * above * (above + 1) // 2
        for s in range(above):
            left, rest = mem[gr + j * above + s], 0.0
            for r in range(s, above):
                v = mem[bars + w[k]]
                rest += v * mem[gr + j * above + r]
                mem[side + r] -= v * left
                k += 1
            for e in range(e0, e1):
                v = mem[bars + w[mixed + e * above + s]]
                rest += v * mem[gt + e]
                mem[tail_side + e] -= v * left
            mem[side + s] -= rest
        if e1 > e0:
            run, x0 = _is_run(z, w, thin, e0, e1), z[column + e0]
            for e in range(e0, e1):
                x, left = z[column + e], mem[gt + e]
                at = tt + w[PARTS + TAIL_STRIDE * x + AT_ROW]
                if run:
                    rest = _dot(mem, at + x0, gt + e0, e - e0 + 1)
                    _subtract(mem, tail_side + e0, at + x0, e - e0 + 1, left)
                elif thin:
                    rest = mem[at + x] * left
                    mem[tail_side + e] -= rest
                else:
                    rest = 0.0
                    for y in range(e0, e + 1):
                        v = mem[at + z[column + y]]
                        rest += v * mem[gt + y]
                        mem[tail_side + y] -= v * left
                mem[tail_side + e] -= rest
        for s in range(above):
            Hbar += mem[side + s] * A[moved + zr + j * m + s]
        for e in range(e0, e1):
            Hbar += mem[tail_side + e] * A[moved + zt + e]
        if c > 0:
            for s in range(above):
                mem[bars + zr + j * m + s] += h * mem[side + s]
            for e in range(e0, e1):
                mem[bars + zt + e] += h * mem[tail_side + e]
        Hbar += gbar * mem[va + j]
        mem[abars + row + j] += h * gbar
        Q = Hbar / root
        M = -0.5 * (mem[vu + j] * hbar + Q * h + 1.0 / root) / root
        total += Q + 2.0 * lam * A[moved + zz + j] * M
        if c > 0:
            mem[bars + zz + j] += lam * lam * M
    mem[w[LAMBDA_BAR] + z[f + LAM]] += total


@internal
def take_back_single(z, w, numbers, mem, standard, thin):
    """As `whitening_back.take_back`."""
    chain, n, copy = z[CHAIN], z[TAIL], w[SUMS_COPY]
    begin = z[FACTORS + STRIDE + ZZ] if chain > 1 else z[TT]
    for i in range(begin, z[NUMBERS]):
        mem[w[SUMS_BAR] + i] = 0.0
    for i in range(z[EFFECTS]):
        mem[w[V_ABAR] + i] = 0.0
    for c in range(chain):
        _effects_back(z, w, mem, c)
    if n > 0:
        first = z[EFFECTS] - n
        for x in range(n):
            mem[w[TAIL_SPARE] + 2 * n + x] = standard[first + x]
        tail_back(z, w, mem, thin)
    for c in range(chain - 1, -1, -1):
        A, moved = (numbers, 0) if c == 0 else (mem, copy)
        _factor_back(z, w, A, moved, mem, c, thin)
