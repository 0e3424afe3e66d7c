"""The marginal likelihood of a linear mixed model and its gradient, compiled.

With y = X beta + Z b + e, b ~ N(0, sigma^2 Lambda Lambda') and e ~ N(0, sigma^2 W^-1), the group effects integrate out:
y ~ N(X beta, sigma^2 V), V = W^-1 + Z Lambda Lambda'Z'. Everything that (Lambda, sigma) determine follows from

    log|V| + log|W|   and   S = [X y]'V^-1 [X y].

`eliminate` finds both by going through the factors in the order of `sums.Sums`. For each level j of a chain factor,
with A_j what Z_j'WZ_j has become by the eliminations before it and R_j the same of Z_j'W[later columns],

    L_j L_j' = Lambda'A_j Lambda + I,   H_j = L_j^-1 Lambda',   [later]'[later] -= (H_j R_j)'(H_j R_j),

and the tail follows by one dense Cholesky factor. This is the sparse Cholesky factor of Bates, Maechler, Bolker &
Walker (2015, J. Stat. Softw. 67(1), eq. 17 and 18), with Lambda kept apart from the sums.

`backward` runs the other way. With K = Lambda (Lambda'Z'WZ Lambda + I)^-1 Lambda' = Var(b | y, beta) / sigma^2, of which
only the blocks of levels that meet are needed (Takahashi's recursion), P_j = H_j'H_j, F_j the part of R_j in group
effects, K_+ the part of K that belongs to them, and R_j now the part in [X y],

    K_j+ = -P_j F_j K_+,   K_jj = P_j - K_j+ F_j'P_j,   B_j = P_j (R_j - F_j B_+),
    s_j = Z_j'V^-1 [X y] = (I - A_j P_j)(R_j - F_j B_+),
    Z_j'V^-1 Z_j = (I - A_j P_j)(A_j - F_j K_+ F_j'(I - P_j A_j)),

where B (-gamma, 1)' are the conditional modes of b. The derivative of log|V| + tr(Q S) in Lambda is 2 G Lambda with
G = sum_j Z_j'V^-1 Z_j - s_j Q s_j'.

`log_density` puts both together for maximum likelihood, REML and a normal prior on the fixed effects.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float64, int64, njit, types

from bayesmlm.kernels.lapack import cholesky, invert_from_cholesky, mirror
from bayesmlm.kernels.sums import (
    BLOCK,
    CELLS,
    CHAIN,
    COLUMN,
    EFFECTS,
    ENTRIES,
    ENTRY,
    HD,
    KR,
    KT,
    LAM,
    LEVELS,
    PARENT,
    POSITION,
    RIGHT,
    ROW,
    RR,
    SIDES,
    SQUARES,
    START,
    TAIL,
    TR,
    TT,
    WIDTH,
    ZR,
    ZT,
    ZZ,
    R,
)

_IV, _IM, _V, _M = int64[::1], int64[:, ::1], float64[::1], float64[:, ::1]


def _entry(signature):
    """Compile a function that Python calls."""
    return njit(signature, cache=True, nogil=True, error_model="numpy")


def _internal(signature):
    """Compile a function that only compiled code calls: without the wrappers for Python, which take long to compile."""
    return njit(signature, cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


# -- forward ---------------------------------------------------------------------------------------


@_internal(float64(_V, int64, _V, int64, int64, _M, _V, int64))
def _pivot(work, at, lam, start, p, L, half, h):
    """H_j of the p x p block of `work` at `at`, into `half` at `h`; returns log|L_j|^2, NaN if it does not exist."""
    logdet = 0.0
    for i in range(p):
        for j in range(i + 1):
            v = 1.0 if i == j else 0.0
            for a in range(p):
                left = lam[start + a * p + i]
                if left != 0.0:
                    for b in range(p):
                        v += left * work[at + a * p + b] * lam[start + b * p + j]
            for q in range(j):
                v -= L[i, q] * L[j, q]
            if i > j:
                L[i, j] = v / L[j, j]
            elif v > 0.0:
                L[i, i] = np.sqrt(v)
                logdet += np.log(v)
            else:
                return np.nan
    for i in range(p):
        for a in range(p):
            v = lam[start + a * p + i]
            for q in range(i):
                v -= L[i, q] * half[h + q * p + a]
            half[h + i * p + a] = v / L[i, i]
    return logdet


@_internal(types.void(_IM, _IV, _V, int64, int64, _M))
def _subtract_level(table, links, work, c, j, W):
    """Subtract (H_j R_j)'(H_j R_j) from all that level j of chain factor c meets; W (m + entries, p) is (H_j R_j)'."""
    last = len(table) - 1
    C, r = table[last, CHAIN], table[last, R]
    p, J, m = table[c, WIDTH], table[c, LEVELS], table[c, RIGHT]
    e0, e1 = links[table[c, START] + j], links[table[c, START] + j + 1]
    o = 0
    for d in range(c + 1, C):
        pd, md = table[d, WIDTH], table[d, RIGHT]
        q = links[table[c, PARENT] + (d - c - 1) * J + j]
        where = table[c, POSITION] + (d - c - 1) * table[c, ENTRIES] - table[c, ENTRY]
        for a in range(pd):
            for i in range(p):
                w = W[o + a, i]
                for b in range(pd):
                    work[table[d, ZZ] + (q * pd + a) * pd + b] -= w * W[o + b, i]
                for b in range(md):
                    work[table[d, ZR] + (q * pd + a) * md + b] -= w * W[o + pd + b, i]
                for e in range(e0, e1):
                    at = table[d, ZT] + (links[where + e] - table[d, ENTRY]) * pd
                    work[at + a] -= w * W[m + e - e0, i]
        o += pd
    # Offsets are looked up before the inner loops: the compiler cannot know that `work` does not hold them.
    n, tt, tr, rr = table[last, TAIL], table[last, TT], table[last, TR], table[last, RR]
    column = table[last, COLUMN]
    for e in range(e0, e1):
        row, at = links[column + e], m + e - e0
        for i in range(p):
            w = W[at, i]
            for f in range(e0, e + 1):
                work[tt + row * n + links[column + f]] -= w * W[m + f - e0, i]
            for a in range(r):
                work[tr + row * r + a] -= w * W[m - r + a, i]
    for a in range(r):
        for b in range(r):
            for i in range(p):
                work[rr + a * r + b] -= W[m - r + a, i] * W[m - r + b, i]


@_internal(_M(_IM, _IV, _V, _M, boolean))
def _tail_lambda(table, links, lam, M, transpose):
    """Lambda_t M or Lambda_t'M, Lambda_t block-diagonal over the tail's levels."""
    out = np.zeros(M.shape)
    at = table[len(table) - 1, BLOCK]
    for x in range(M.shape[0]):
        start, p, own = links[at + 3 * x], links[at + 3 * x + 1], links[at + 3 * x + 2]
        for a in range(p):
            v = lam[own + a * p + x - start] if transpose else lam[own + (x - start) * p + a]
            if v != 0.0:
                for y in range(M.shape[1]):
                    out[x, y] += v * M[start + a, y]
    return out


@_internal(_M(_IM, _IV, _V, _M))
def _times_tail_lambda(table, links, lam, M):
    """M Lambda_t."""
    out = np.zeros(M.shape)
    at = table[len(table) - 1, BLOCK]
    for y in range(M.shape[1]):
        start, p, own = links[at + 3 * y], links[at + 3 * y + 1], links[at + 3 * y + 2]
        for b in range(p):
            v = lam[own + b * p + y - start]
            if v != 0.0:
                for x in range(M.shape[0]):
                    out[x, y] += M[x, start + b] * v
    return out


@_internal(_M(_IM, _IV, _V, _M, boolean))
def _around(table, links, lam, M, transpose):
    """The lower triangle of Lambda_t M Lambda_t', or of Lambda_t'M Lambda_t, for a symmetric M."""
    n = len(M)
    out = np.zeros((n, n))
    at = table[len(table) - 1, BLOCK]
    for x in range(n):
        x_start, p, x_own = links[at + 3 * x], links[at + 3 * x + 1], links[at + 3 * x + 2]
        for a in range(p):
            v = lam[x_own + a * p + x - x_start] if transpose else lam[x_own + (x - x_start) * p + a]
            if v != 0.0:
                for y in range(x + 1):
                    start, q, own = links[at + 3 * y], links[at + 3 * y + 1], links[at + 3 * y + 2]
                    for b in range(q):
                        w = lam[own + b * q + y - start] if transpose else lam[own + (y - start) * q + b]
                        out[x, y] += v * w * M[x_start + a, start + b]
    return out


@_internal(_M(_V, int64, int64, int64))
def _matrix(flat, at, rows, columns):
    """The part of a flat array that is a matrix, without a copy."""
    return flat[at : at + rows * columns].reshape((rows, columns))


@_internal(types.Tuple((float64, _M))(_IM, _IV, _V, _V))
def _eliminate_tail(table, links, lam, work):
    """Cholesky factor D of I + Lambda_t'TT Lambda_t and log|D|^2; makes TT symmetric and reduces RR."""
    last = table[len(table) - 1]
    n, r = last[TAIL], last[R]
    N = _matrix(work, last[TT], n, n)
    mirror(N)
    D = _around(table, links, lam, N, True)
    for i in range(n):
        D[i, i] += 1.0
    if n == 0:
        return 0.0, D
    if not cholesky(D):
        return np.nan, D
    right = _tail_lambda(table, links, lam, _matrix(work, last[TR], n, r), True)
    logdet = 0.0
    for i in range(n):
        logdet += 2.0 * np.log(D[i, i])
        for a in range(r):
            v = right[i, a]
            for j in range(i):
                v -= D[i, j] * right[j, a]
            right[i, a] = v / D[i, i]
        for a in range(r):
            for b in range(r):
                work[last[RR] + a * r + b] -= right[i, a] * right[i, b]
    return logdet, D


@_entry(types.Tuple((float64, _V, _V, _M))(_IM, _IV, _V, _V))
def eliminate(table, links, numbers, lam):
    """Eliminate all group effects.

    Parameters
    ----------
    table, links, numbers
        `sums.Sums`.
    lam
        Lambda of each factor (p, p), row by row, in elimination order.

    Returns
    -------
    tuple
        log|V| + log|W| (NaN where a matrix is not positive definite); `numbers` with every block as it was when its
        turn came, its RR being S; H_j of the chain, (J, p, p) each; the Cholesky factor of the tail.
    """
    last = len(table) - 1
    work, half = numbers.copy(), np.empty(table[last, SQUARES])
    logdet = 0.0
    for c in range(table[last, CHAIN]):
        p, J, m = table[c, WIDTH], table[c, LEVELS], table[c, RIGHT]
        begin = table[c, START]
        most = 0
        for j in range(J):
            most = max(most, links[begin + j + 1] - links[begin + j])
        L, W = np.zeros((p, p)), np.empty((m + most, p))
        for j in range(J):
            h = table[c, HD] + j * p * p
            logdet += _pivot(work, table[c, ZZ] + j * p * p, lam, table[c, LAM], p, L, half, h)
            zr, zt = table[c, ZR] + j * p * m, table[c, ZT] - table[c, ENTRY] * p
            e0, e1 = links[begin + j], links[begin + j + 1]
            for i in range(p):
                for a in range(m):
                    v = 0.0
                    for q in range(p):
                        v += half[h + i * p + q] * work[zr + q * m + a]
                    W[a, i] = v
                for e in range(e0, e1):
                    v = 0.0
                    for q in range(p):
                        v += half[h + i * p + q] * work[zt + e * p + q]
                    W[m + e - e0, i] = v
            _subtract_level(table, links, work, c, j, W)
    more, D = _eliminate_tail(table, links, lam, work)
    return logdet + more, work, half, D


# -- backward --------------------------------------------------------------------------------------


@_internal(_M(_IM, _IV, _V, _V, _M, _M, _M, _M, _V))
def _backward_tail(table, links, lam, work, D, Q, B, scores, grad):
    """K of the tail; fills its rows of B and of the scores, and its part of G Lambda."""
    last = table[len(table) - 1]
    n, r, first = last[TAIL], last[R], last[EFFECTS] - last[TAIL]
    inverse = D.copy()
    if n == 0:
        return inverse
    invert_from_cholesky(inverse)
    right = _matrix(work, last[TR], n, r)
    wide = _times_tail_lambda(table, links, lam, _matrix(work, last[TT], n, n))
    small = _tail_lambda(table, links, lam, right, True)
    u = np.zeros((n, r))
    for i in range(n):
        for j in range(n):
            for a in range(r):
                u[i, a] += inverse[i, j] * small[j, a]
    b = _tail_lambda(table, links, lam, u, False)
    for i in range(n):
        for a in range(r):
            v = right[i, a]
            for j in range(n):
                v -= wide[i, j] * u[j, a]
            scores[first + i, a] = v
            B[first + i, a] = b[i, a]
    for x in range(n):
        at = last[BLOCK] + 3 * x
        start, p, own = links[at], links[at + 1], links[at + 2]
        for t in range(p):
            v = 0.0
            for y in range(n):
                v += wide[x, y] * inverse[start + t, y]
            for a in range(r):
                for q in range(p):
                    half = 0.0
                    for z in range(r):
                        half += Q[a, z] * scores[first + start + q, z]
                    v -= scores[first + x, a] * half * lam[own + q * p + t]
            grad[own + (x - start) * p + t] += v
    K = _around(table, links, lam, inverse, False)
    mirror(K)
    return K


@_internal(types.void(_IM, _IV, int64, int64, _M, _M, _V, _V, _V, _M))
def _times_K(table, links, c, j, F, FK, Kd, Kr, Kt, K):
    """FK = F_j K_+ over the parents and the entries of level j of chain factor c; F, FK are (columns, p)."""
    last = len(table) - 1
    C, r, p, J = table[last, CHAIN], table[last, R], table[c, WIDTH], table[c, LEVELS]
    parents = table[c, RIGHT] - r
    e0, e1 = links[table[c, START] + j], links[table[c, START] + j + 1]
    FK[: parents + e1 - e0] = 0.0
    o = 0
    for d in range(c + 1, C):
        pd, md = table[d, WIDTH], table[d, RIGHT] - r
        q = links[table[c, PARENT] + (d - c - 1) * J + j]
        where = table[c, POSITION] + (d - c - 1) * table[c, ENTRIES] - table[c, ENTRY]
        for a in range(pd):
            for i in range(p):
                f = F[o + a, i]
                for b in range(pd):
                    FK[o + b, i] += f * Kd[table[d, HD] + (q * pd + a) * pd + b]
                for b in range(md):
                    k = Kr[table[d, KR] + (q * pd + a) * md + b]
                    FK[o + pd + b, i] += f * k
                    FK[o + a, i] += F[o + pd + b, i] * k
                for e in range(e0, e1):
                    k = Kt[table[d, KT] + (links[where + e] - table[d, ENTRY]) * pd + a]
                    FK[parents + e - e0, i] += f * k
                    FK[o + a, i] += F[parents + e - e0, i] * k
        o += pd
    column = table[last, COLUMN]
    for e in range(e0, e1):
        row, at = links[column + e], parents + e - e0
        for i in range(p):
            v = 0.0
            for f in range(e0, e1):
                v += F[parents + f - e0, i] * K[row, links[column + f]]
            FK[at, i] += v


@_internal(types.void(_IM, _IV, int64, int64, _V, _M, _M, _M))
def _unexplained(table, links, c, j, work, F, B, out):
    """out = R_j - F_j B_+, (p, r): what the later group effects leave of Z_j'W[X y]."""
    last = len(table) - 1
    C, r, p, J, m = table[last, CHAIN], table[last, R], table[c, WIDTH], table[c, LEVELS], table[c, RIGHT]
    e0, e1 = links[table[c, START] + j], links[table[c, START] + j + 1]
    for i in range(p):
        for a in range(r):
            out[i, a] = work[table[c, ZR] + (j * p + i) * m + m - r + a]
    o = 0
    for d in range(c + 1, C):
        pd = table[d, WIDTH]
        row = table[d, ROW] + links[table[c, PARENT] + (d - c - 1) * J + j] * pd
        for b in range(pd):
            for i in range(p):
                for a in range(r):
                    out[i, a] -= F[o + b, i] * B[row + b, a]
        o += pd
    first = table[last, EFFECTS] - table[last, TAIL]
    for e in range(e0, e1):
        row = first + links[table[last, COLUMN] + e]
        for i in range(p):
            for a in range(r):
                out[i, a] -= F[m - r + e - e0, i] * B[row, a]


@_internal(types.void(int64, int64, int64, int64, int64, _V, _V, _M, _M, _M, _M, _M, _M, _V, _M))
def _backward_level(p, r, zz, h, row, work, half, FKF, rest, Q, P, B, scores, Kd, G):
    """K_jj, B_j and s_j of one level, and its part of G; leaves P_j in P."""
    IA = np.empty((p, p))
    for a in range(p):
        for b in range(p):
            v = 0.0
            for q in range(p):
                v += half[h + q * p + a] * half[h + q * p + b]
            P[a, b] = v
    for a in range(p):
        for b in range(p):
            v = 1.0 if a == b else 0.0
            for q in range(p):
                v -= work[zz + a * p + q] * P[q, b]
            IA[a, b] = v
    for a in range(p):
        for x in range(r):
            b_sum, s_sum = 0.0, 0.0
            for q in range(p):
                b_sum += P[a, q] * rest[q, x]
                s_sum += IA[a, q] * rest[q, x]
            B[row + a, x] = b_sum
            scores[row + a, x] = s_sum
    for a in range(p):
        for b in range(p):
            k, g = P[a, b], 0.0
            for q in range(p):
                g += IA[a, q] * work[zz + q * p + b]
                for t in range(p):
                    k += P[a, q] * FKF[q, t] * P[t, b]
                    g -= IA[a, q] * FKF[q, t] * IA[b, t]
            for x in range(r):
                for y in range(r):
                    g -= scores[row + a, x] * Q[x, y] * scores[row + b, y]
            Kd[h + a * p + b] = k
            G[a, b] += g


@_entry(types.Tuple((_V, _V, _M, _M, _V, _M))(_IM, _IV, _V, _V, _V, _M, _M))
def backward(table, links, lam, work, half, D, Q):
    """Differentiate log|V| + tr(Q S), and find the conditional distribution of the group effects.

    Parameters
    ----------
    table, links, lam
        As for `eliminate`.
    work, half, D
        Its results.
    Q : ndarray, shape (r, r)
        Symmetric.

    Returns
    -------
    tuple
        The derivative 2 G Lambda in Lambda of each factor and, for chain factors, G, both laid out as `lam`; the
        rows of B and of the scores s, (effects, r), in elimination order; K_jj of the chain, (J, p, p) each; K of
        the tail, (n_t, n_t).
    """
    last = len(table) - 1
    C, r, effects = table[last, CHAIN], table[last, R], table[last, EFFECTS]
    B, scores = np.empty((effects, r)), np.empty((effects, r))
    grad, curve = np.zeros(len(lam)), np.zeros(len(lam))
    K = _backward_tail(table, links, lam, work, D, Q, B, scores, grad)
    Kd, Kr, Kt = np.empty(table[last, SQUARES]), np.empty(table[last, SIDES]), np.empty(table[last, CELLS])
    for c in range(C - 1, -1, -1):
        p, J, m, start = table[c, WIDTH], table[c, LEVELS], table[c, RIGHT], table[c, START]
        parents, most = m - r, 0
        for j in range(J):
            most = max(most, links[start + j + 1] - links[start + j])
        F, FK, rest = np.empty((parents + most, p)), np.empty((parents + most, p)), np.empty((p, r))
        P, FKF, G = np.empty((p, p)), np.zeros((p, p)), np.zeros((p, p))
        for j in range(J):
            e0, e1 = links[start + j], links[start + j + 1]
            columns = parents + e1 - e0
            zt = table[c, ZT] - table[c, ENTRY] * p
            for i in range(p):
                for a in range(parents):
                    F[a, i] = work[table[c, ZR] + (j * p + i) * m + a]
                for e in range(e0, e1):
                    F[parents + e - e0, i] = work[zt + e * p + i]
            if columns > 0:
                _times_K(table, links, c, j, F, FK, Kd, Kr, Kt, K)
                for a in range(p):
                    for b in range(p):
                        v = 0.0
                        for x in range(columns):
                            v += FK[x, a] * F[x, b]
                        FKF[a, b] = v
            _unexplained(table, links, c, j, work, F, B, rest)
            zz, h, row = table[c, ZZ] + j * p * p, table[c, HD] + j * p * p, table[c, ROW] + j * p
            _backward_level(p, r, zz, h, row, work, half, FKF, rest, Q, P, B, scores, Kd, G)
            for a in range(p):
                for x in range(columns):
                    v = 0.0
                    for q in range(p):
                        v -= P[a, q] * FK[x, q]
                    if x < parents:
                        Kr[table[c, KR] + (j * p + a) * parents + x] = v
                    else:
                        Kt[table[c, KT] + (e0 - table[c, ENTRY] + x - parents) * p + a] = v
        own = table[c, LAM]
        for a in range(p):
            for b in range(p):
                v = 0.0
                for q in range(p):
                    v += G[a, q] * lam[own + q * p + b]
                grad[own + a * p + b] = v
                curve[own + a * p + b] = G[a, b]
    return 2.0 * grad, curve, B, scores, Kd, K


# -- the density -----------------------------------------------------------------------------------


@_internal(types.Tuple((float64, _M, _V, float64))(_M, float64, _M, _V))
def _fixed_part(S, w, P0, m0):
    """Complete the square in gamma of w (-gamma, 1) S (-gamma, 1)' + (gamma - m0)'P0 (gamma - m0).

    Returns log|H| and the inverse of H = w S_xx + P0, e = (-gamma-hat, 1), and the minimum.
    """
    k = len(S) - 1
    L, below, inverse, e = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros(k + 1)
    logdet = 0.0
    for i in range(k):
        for j in range(i + 1):
            v = w * S[i, j] + P0[i, j]
            for q in range(j):
                v -= L[i, q] * L[j, q]
            if i > j:
                L[i, j] = v / L[j, j]
            elif v > 0.0:
                L[i, i] = np.sqrt(v)
                logdet += np.log(v)
            else:
                return np.nan, inverse, e, np.nan
    for i in range(k):  # below = L^-1
        below[i, i] = 1.0 / L[i, i]
        for j in range(i):
            for q in range(j, i):
                below[i, j] -= L[i, q] * below[q, j] / L[i, i]
    for i in range(k):
        for j in range(k):
            for q in range(max(i, j), k):
                inverse[i, j] += below[q, i] * below[q, j]
    e[k] = 1.0
    for i in range(k):
        for j in range(k):
            h = w * S[j, k]
            for q in range(k):
                h += P0[j, q] * m0[q]
            e[i] -= inverse[i, j] * h
    least = 0.0
    for i in range(k + 1):
        for j in range(k + 1):
            least += w * e[i] * S[i, j] * e[j]
    for i in range(k):
        for j in range(k):
            least += (e[i] + m0[i]) * P0[i, j] * (e[j] + m0[j])
    return logdet, inverse, e, least


@_entry(types.Tuple((float64, _V, float64, float64))(_IM, _IV, _V, int64, _V, float64, _M, _V, boolean))
def log_density(table, links, numbers, n, lam, sigma, P0, m0, integrate):
    """Log-density of (Lambda, sigma) and its gradient.

    -n log sigma - 1/2 log|V| - 1/2 min over gamma of {(-gamma, 1) S (-gamma, 1)'/sigma^2 + (gamma - m0)'P0 (gamma - m0)}
    and, if the fixed effects gamma are integrated out rather than maximised over, - 1/2 log|S_xx/sigma^2 + P0|. Hence

    - maximum likelihood: P0 = 0, not integrated;
    - REML: P0 = 0, integrated;
    - the posterior with gamma ~ N(m0, P0^-1): integrated.

    Constants (of pi, the weights, the prior) are left out.

    Parameters
    ----------
    table, links, numbers
        `sums.Sums`.
    n
        Number of rows.
    lam
        As for `eliminate`.
    sigma
        Residual standard deviation; 0 for the value that maximises the density given Lambda (P0 = 0 only).
    P0, m0 : ndarray, shapes (k, k) and (k,)
        In the basis of the cross products.
    integrate
        Whether the fixed effects are integrated out.

    Returns
    -------
    tuple
        The log-density (NaN where it does not exist, with gradient 0), its derivatives in Lambda (laid out as
        `lam`) and in sigma, and sigma.
    """
    last = table[len(table) - 1]
    k = last[R] - 1
    logdet, work, half, D = eliminate(table, links, numbers, lam)
    S = _matrix(work, last[RR], k + 1, k + 1)
    if sigma == 0.0:
        sigma = np.sqrt(_fixed_part(S, 1.0, P0, m0)[3] / (n - k if integrate else n))
    w = 1.0 / (sigma * sigma)
    logdet_H, inverse, e, least = _fixed_part(S, w, P0, m0)
    value = -n * np.log(sigma) - 0.5 * (logdet + least)
    Q = np.empty((k + 1, k + 1))
    slope = -n / sigma
    for i in range(k + 1):
        for j in range(k + 1):
            Q[i, j] = w * e[i] * e[j]
            if integrate and i < k and j < k:
                Q[i, j] += w * inverse[i, j]
            slope += Q[i, j] * S[i, j] / sigma
    if integrate:
        value -= 0.5 * logdet_H
    if not np.isfinite(value):
        return np.nan, np.zeros(len(lam)), 0.0, sigma
    grad = backward(table, links, lam, work, half, D, Q)[0]
    return value, -0.5 * grad, slope, sigma
