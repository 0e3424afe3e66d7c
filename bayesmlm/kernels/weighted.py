"""Normal equations of a weighted problem whose weights change: what iteratively reweighted least squares needs.

For weights w (n,), fixed columns X and a right-hand side v (n,), with C = (Lambda'Z'WZ Lambda + I) and
K = Lambda C^-1 Lambda', the functions here give

- the sums Z'WZ, Z'WX, X'WX, Z'v and X'v in the layout of `sums`, by one pass over the rows,
- the solution of the penalised problem, b = K (Z'v - Z'WX gamma) with X'(v - WX gamma - WZ b) = 0,
- Z b by row, Z'r by group effect, and the leverages z_i'K z_i.

v is not weighted: for a working response t it is W t. The last diagonal entry of the Gram matrix means nothing.
"""

from __future__ import annotations

from numba import float64, int64, njit

from bayesmlm.kernels.forward import tail_lambda
from bayesmlm.kernels.marginal import VALUE, call_marginal
from bayesmlm.kernels.options import OPTIONS, internal, stamped
from bayesmlm.kernels.sums import (
    AT_D,
    AT_E,
    AT_HALF,
    AT_K,
    AT_KD,
    AT_KR,
    AT_KT,
    AT_TALL,
    CHAIN,
    COLUMN,
    EFFECTS,
    ENTRY,
    FACTORS,
    HD,
    KR,
    KT,
    LEVELS,
    PARENT,
    RIGHT,
    ROW,
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

# `levels` (n, F) holds the level of each row in each factor, `columns` (n, sum of p) its columns of Z side by side,
# both in elimination order; `entries` (n, C, T) the first entry of each chain factor's level for each tail factor's.
_LEVELS, _MATRIX, _ENTRIES, _VECTOR = int64[:, ::1], float64[:, ::1], int64[:, :, ::1], float64[::1]


@njit((int64[::1], _LEVELS, _MATRIX, _ENTRIES, _MATRIX, _VECTOR, _VECTOR, _VECTOR), cache=True, **OPTIONS)
@stamped
def weigh(z, levels, columns, entries, X, w, v, numbers):
    """Fill `numbers` with the sums for weights w and right-hand side v."""
    numbers[:] = 0.0
    C, F, r, n_t = z[CHAIN], levels.shape[1], z[R], z[TAIL]
    k, first = r - 1, z[EFFECTS] - n_t
    tt, tr, rr = z[TT], z[TR], z[RR]
    for i in range(len(w)):
        wi, vi = w[i], v[i]
        begin = 0
        for c in range(C):
            f = FACTORS + c * STRIDE
            p, m, j = z[f + WIDTH], z[f + RIGHT], levels[i, c]
            zz, zr = z[f + ZZ] + j * p * p, z[f + ZR] + j * p * m
            for a in range(p):
                za = columns[i, begin + a]
                wa = wi * za
                for b in range(p):
                    numbers[zz + a * p + b] += wa * columns[i, begin + b]
                at, x = zr + a * m, begin + p
                for d in range(c + 1, C):
                    for _ in range(z[FACTORS + d * STRIDE + WIDTH]):
                        numbers[at] += wa * columns[i, x]
                        at, x = at + 1, x + 1
                for b in range(k):
                    numbers[at + b] += wa * X[i, b]
                numbers[at + k] += vi * za
                for t in range(F - C):
                    zt = z[f + ZT] + entries[i, c, t] * p + a
                    for b in range(z[FACTORS + (C + t) * STRIDE + WIDTH]):
                        numbers[zt + b * p] += wa * columns[i, x + b]
                    x += z[FACTORS + (C + t) * STRIDE + WIDTH]
            begin += p
        x = begin
        for t in range(C, F):
            f = FACTORS + t * STRIDE
            p = z[f + WIDTH]
            row = z[f + ROW] - first + levels[i, t] * p
            for a in range(p):
                za = columns[i, x + a]
                wa = wi * za
                y = begin
                for s in range(C, F):
                    g = FACTORS + s * STRIDE
                    other = z[g + ROW] - first + levels[i, s] * z[g + WIDTH]
                    for b in range(z[g + WIDTH]):
                        numbers[tt + (row + a) * n_t + other + b] += wa * columns[i, y + b]
                    y += z[g + WIDTH]
                for b in range(k):
                    numbers[tr + (row + a) * r + b] += wa * X[i, b]
                numbers[tr + (row + a) * r + k] += vi * za
            x += p
        for a in range(k):
            wa = wi * X[i, a]
            for b in range(k):
                numbers[rr + a * r + b] += wa * X[i, b]
            numbers[rr + a * r + k] += vi * X[i, a]
            numbers[rr + k * r + a] += vi * X[i, a]


@internal
def _solve_tail(z, mem, b):
    """b of the tail, Lambda D^-T D^-1 Lambda'(R e)."""
    n, r, e, D, small, first = z[TAIL], z[R], z[AT_E], z[AT_D], z[AT_TALL], z[EFFECTS] - z[TAIL]
    u = small + n * r
    tail_lambda(z, mem, z[TR], small, r, True)
    for i in range(n):
        s = 0.0
        for a in range(r):
            s += mem[small + i * r + a] * mem[e + a]
        for j in range(i):
            s -= mem[D + i * n + j] * mem[u + j]
        mem[u + i] = s / mem[D + i * n + i]
    for i in range(n - 1, -1, -1):
        s = mem[u + i] / mem[D + i * n + i]
        mem[u + i] = s
        for j in range(i):
            mem[u + j] -= mem[D + i * n + j] * s
    tail_lambda(z, mem, u, small, 1, False)
    for i in range(n):
        b[first + i] = mem[small + i]


@internal
def _solve_level(z, mem, c, j, b, rest):
    """b_j = H_j'H_j (R_j e - F_j b_+) of one level of chain factor c, given all later effects."""
    f = FACTORS + c * STRIDE
    p, J, m, r, e = z[f + WIDTH], z[f + LEVELS], z[f + RIGHT], z[R], z[AT_E]
    zr, zt, row = z[f + ZR] + j * p * m, z[f + ZT] - z[f + ENTRY] * p, z[f + ROW] + j * p
    h, first = z[AT_HALF] + z[f + HD] + j * p * p, z[EFFECTS] - z[TAIL]
    for i in range(p):
        s = 0.0
        for a in range(r):
            s += mem[zr + i * m + m - r + a] * mem[e + a]
        x = 0
        for d in range(c + 1, z[CHAIN]):
            g = FACTORS + d * STRIDE
            start = z[g + ROW] + z[z[f + PARENT] + (d - c - 1) * J + j] * z[g + WIDTH]
            for a in range(z[g + WIDTH]):
                s -= mem[zr + i * m + x] * b[start + a]
                x += 1
        for entry in range(z[z[f + START] + j], z[z[f + START] + j + 1]):
            s -= mem[zt + entry * p + i] * b[first + z[z[COLUMN] + entry]]
        rest[i] = s
        b[row + i] = 0.0
    for q in range(p):
        s = 0.0
        for a in range(p):
            s += mem[h + q * p + a] * rest[a]
        for i in range(p):
            b[row + i] += mem[h + q * p + i] * s


@njit(float64(int64[::1], _VECTOR, _VECTOR, _VECTOR, _VECTOR, _VECTOR), cache=True, **OPTIONS)
@stamped
def solve(z, numbers, mem, rest, gamma, b):
    """Solve the penalised problem for gamma and b (elimination order); returns log|C|, NaN if C has no factor.

    Lambda is in `mem` (AT_LAMBDA), and P0 and m0 are 0 there. `rest` is as long as the widest factor.
    """
    out = rest[len(rest) - 4 :]
    call_marginal(z.ctypes, numbers.ctypes, mem.ctypes, 1, 1.0, 0, VALUE, out.ctypes)
    logdet = out[3]
    for i in range(z[R] - 1):
        gamma[i] = -mem[z[AT_E] + i]
    if z[TAIL] > 0:
        _solve_tail(z, mem, b)
    for c in range(z[CHAIN] - 1, -1, -1):
        for j in range(z[FACTORS + c * STRIDE + LEVELS]):
            _solve_level(z, mem, c, j, b, rest)
    return logdet


@njit((int64[::1], _LEVELS, _MATRIX, _VECTOR, _VECTOR), cache=True, **OPTIONS)
@stamped
def by_row(z, levels, columns, b, out):
    """Z b of each row, for b in elimination order."""
    for i in range(len(out)):
        s, x = 0.0, 0
        for f in range(levels.shape[1]):
            p = z[FACTORS + f * STRIDE + WIDTH]
            row = z[FACTORS + f * STRIDE + ROW] + levels[i, f] * p
            for a in range(p):
                s += columns[i, x + a] * b[row + a]
            x += p
        out[i] = s


@njit((int64[::1], _LEVELS, _MATRIX, _VECTOR, _VECTOR), cache=True, **OPTIONS)
@stamped
def by_effect(z, levels, columns, v, out):
    """Z'v, in elimination order."""
    out[:] = 0.0
    for i in range(len(v)):
        x = 0
        for f in range(levels.shape[1]):
            p = z[FACTORS + f * STRIDE + WIDTH]
            row = z[FACTORS + f * STRIDE + ROW] + levels[i, f] * p
            for a in range(p):
                out[row + a] += columns[i, x + a] * v[i]
            x += p


@njit((int64[::1], _LEVELS, _MATRIX, _ENTRIES, _VECTOR, _VECTOR), cache=True, **OPTIONS)
@stamped
def leverages(z, levels, columns, entries, mem, out):
    """z_i'K z_i of each row, from the blocks of K that `marginal` leaves for EFFECTS_GIVEN_Q."""
    C, F, r, n_t = z[CHAIN], levels.shape[1], z[R], z[TAIL]
    first, K = z[EFFECTS] - n_t, z[AT_K]
    for i in range(len(out)):
        total, begin = 0.0, 0
        for c in range(C):
            f = FACTORS + c * STRIDE
            p, j = z[f + WIDTH], levels[i, c]
            m = z[f + RIGHT] - r
            kd, kr = z[AT_KD] + z[f + HD] + j * p * p, z[AT_KR] + z[f + KR] + j * p * m
            for a in range(p):
                s, at, x = 0.0, kr + a * m, begin + p
                for b in range(p):
                    s += mem[kd + a * p + b] * columns[i, begin + b]
                for b in range(m):
                    s += 2.0 * mem[at + b] * columns[i, x + b]
                x += m
                for t in range(F - C):
                    kt, width = (
                        z[AT_KT] + z[f + KT] + entries[i, c, t] * p + a,
                        z[FACTORS + (C + t) * STRIDE + WIDTH],
                    )
                    for b in range(width):
                        s += 2.0 * mem[kt + b * p] * columns[i, x + b]
                    x += width
                total += columns[i, begin + a] * s
            begin += p
        x = begin
        for t in range(C, F):
            f = FACTORS + t * STRIDE
            p = z[f + WIDTH]
            row = z[f + ROW] - first + levels[i, t] * p
            for a in range(p):
                s, y = 0.0, begin
                for u in range(C, F):
                    g = FACTORS + u * STRIDE
                    other = z[g + ROW] - first + levels[i, u] * z[g + WIDTH]
                    for b in range(z[g + WIDTH]):
                        s += mem[K + (row + a) * n_t + other + b] * columns[i, y + b]
                    y += z[g + WIDTH]
                total += columns[i, x + a] * s
            x += p
        out[i] = total
