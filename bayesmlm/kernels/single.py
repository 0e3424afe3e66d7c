"""The marginal likelihood and its gradient for one grouping factor with one or two columns.

The commonest structure by far, and small enough to be written out. The equations are those of `marginal`, with

    E_j = I + A_j Lambda Lambda',   P_j = Lambda Lambda'E_j^-1,   s_j = E_j^-1 R_j,   Z_j'V^-1 Z_j = E_j^-1 A_j,

and as the derivative needs sum_j s_j Q s_j' for a Q that only the sum of all R_j'P_j R_j determines, the moments of the
scores, sum_j s_ja s_jb for all pairs (a, b) of the columns [X y], are collected on the way: one pass over the groups.
"""

from __future__ import annotations

import math

from bayesmlm.kernels.options import internal
from bayesmlm.kernels.sums import (
    AT_GRAD,
    AT_LAMBDA,
    AT_MOMENTS,
    AT_Q,
    CHAIN,
    FACTORS,
    LEVELS,
    RR,
    TAIL,
    WIDTH,
    ZR,
    ZZ,
    R,
)

WIDEST = 2
LARGE = 1e100  # log-determinants are summed as logarithms of products up to about this size


@internal
def is_single(z):
    """Whether there is one factor, with few enough columns."""
    return z[CHAIN] == 1 and z[TAIL] == 0 and z[FACTORS + WIDTH] <= WIDEST


@internal
def _one_column(z, numbers, mem):
    """One column: log|V| + log|W|; S, the moments and sum Z_j'V^-1 Z_j (behind the moments)."""
    r, rr, moments = z[R], z[RR], z[AT_MOMENTS]
    zz, zr = z[FACTORS + ZZ], z[FACTORS + ZR]
    square = mem[z[AT_LAMBDA]] ** 2
    logdet, product, curve = 0.0, 1.0, 0.0
    for j in range(z[FACTORS + LEVELS]):
        A, right = numbers[zz + j], zr + j * r
        E = 1.0 + square * A
        if not E > 0.0:
            return math.nan
        product *= E
        if product > LARGE:
            logdet += math.log(product)
            product = 1.0
        keep = 1.0 / E
        curve += keep * A
        for a in range(r):
            s = keep * numbers[right + a]
            P = square * s
            for b in range(a + 1):
                v = numbers[right + b]
                mem[rr + a * r + b] -= P * v
                mem[moments + a * r + b] += s * keep * v
    mem[moments + r * r] = curve
    return logdet + math.log(product)


@internal
def _two_columns(z, numbers, mem):
    """Two columns: the same; moments of (0, 0), (0, 1) + (1, 0) and (1, 1), each (r, r)."""
    r, rr, moments = z[R], z[RR], z[AT_MOMENTS]
    zz, zr, lam, r2 = z[FACTORS + ZZ], z[FACTORS + ZR], z[AT_LAMBDA], z[R] * z[R]
    curve = moments + 3 * r2
    scratch = curve + 3
    l00, l01, l10, l11 = mem[lam], mem[lam + 1], mem[lam + 2], mem[lam + 3]
    v00, v01, v11 = l00 * l00 + l01 * l01, l00 * l10 + l01 * l11, l10 * l10 + l11 * l11
    logdet, product, c00, c01, c11 = 0.0, 1.0, 0.0, 0.0, 0.0
    for j in range(z[FACTORS + LEVELS]):
        first, second = zr + 2 * j * r, zr + (2 * j + 1) * r
        A00, A01, A11 = numbers[zz + 4 * j], numbers[zz + 4 * j + 1], numbers[zz + 4 * j + 3]
        al00, al01 = A00 * l00 + A01 * l10, A00 * l01 + A01 * l11
        al10, al11 = A01 * l00 + A11 * l10, A01 * l01 + A11 * l11
        pivot = 1.0 + l00 * al00 + l10 * al10
        below = l00 * al01 + l10 * al11
        det = pivot * (1.0 + l01 * al01 + l11 * al11 - below * below / pivot)
        if not (pivot > 0.0 and det > 0.0):
            return math.nan
        product *= det
        if product > LARGE:
            logdet += math.log(product)
            product = 1.0
        inverse = 1.0 / det
        e00, e01 = inverse * (1.0 + al10 * l10 + al11 * l11), -inverse * (al00 * l10 + al01 * l11)
        e10, e11 = -inverse * (al10 * l00 + al11 * l01), inverse * (1.0 + al00 * l00 + al01 * l01)
        P00, P11 = v00 * e00 + v01 * e10, v01 * e01 + v11 * e11
        P01 = v00 * e01 + v01 * e11
        c00 += e00 * A00 + e01 * A01
        c01 += e00 * A01 + e01 * A11
        c11 += e10 * A01 + e11 * A11
        for a in range(r):
            x, y = numbers[first + a], numbers[second + a]
            s, t = e00 * x + e01 * y, e10 * x + e11 * y
            mem[scratch + a], mem[scratch + r + a] = s, t
            p, q = P00 * x + P01 * y, P01 * x + P11 * y
            for b in range(a + 1):
                at = a * r + b
                mem[rr + at] -= p * numbers[first + b] + q * numbers[second + b]
                other, last = mem[scratch + b], mem[scratch + r + b]
                mem[moments + at] += s * other
                mem[moments + r2 + at] += s * last + t * other
                mem[moments + 2 * r2 + at] += t * last
    mem[curve], mem[curve + 1], mem[curve + 2] = c00, c01, c11
    return logdet + math.log(product)


@internal
def pass_once(z, numbers, mem):
    """log|V| + log|W|; S goes to RR, and what `slope_of_single` needs to MOMENTS."""
    r, p, rr, moments = z[R], z[FACTORS + WIDTH], z[RR], z[AT_MOMENTS]
    for i in range(r * r):
        mem[rr + i] = numbers[rr + i]
    for i in range(p * (p + 1) // 2 * r * r):
        mem[moments + i] = 0.0
    logdet = _one_column(z, numbers, mem) if p == 1 else _two_columns(z, numbers, mem)
    for a in range(r):
        for b in range(a):
            mem[rr + b * r + a] = mem[rr + a * r + b]
    return logdet


@internal
def _weighted(z, mem, at):
    """sum_ab Q_ab M_ab of a symmetric Q and the lower triangle of a symmetric M at `at`."""
    r, Q, total = z[R], z[AT_Q], 0.0
    for a in range(r):
        for b in range(a):
            total += 2.0 * mem[Q + a * r + b] * mem[at + a * r + b]
        total += mem[Q + a * r + a] * mem[at + a * r + a]
    return total


@internal
def slope_of_single(z, mem):
    """2 G Lambda, the derivative of log|V| + tr(Q S) in Lambda, after `pass_once`."""
    r2, p, moments, grad, lam = z[R] * z[R], z[FACTORS + WIDTH], z[AT_MOMENTS], z[AT_GRAD], z[AT_LAMBDA]
    curve = moments + p * (p + 1) // 2 * r2
    g00 = mem[curve] - _weighted(z, mem, moments)
    if p == 1:
        mem[grad] = 2.0 * g00 * mem[lam]
        return
    g01 = mem[curve + 1] - 0.5 * _weighted(z, mem, moments + r2)
    g11 = mem[curve + 2] - _weighted(z, mem, moments + 2 * r2)
    for b in range(2):
        mem[grad + b] = 2.0 * (g00 * mem[lam + b] + g01 * mem[lam + 2 + b])
        mem[grad + 2 + b] = 2.0 * (g01 * mem[lam + b] + g11 * mem[lam + 2 + b])
