"""Covariance parameters of the blocks and the priors of positive numbers, compiled: what all posteriors share.

The parameters are unconstrained: for each block the logarithms of the p standard deviations relative to sigma,
u_j = log(sd_j / sigma), and for each pair i > j, row by row, w_ij = atanh of the canonical partial correlation z_ij of
columns i and j given the columns before j; last log sigma. With s_ij = prod_{k<j} sqrt(1 - z_ik^2) the Cholesky factor
of the correlation matrix has C_ij = z_ij s_ij and C_ii = s_ii (Lewandowski, Kurowicka & Joe 2009), and
Lambda = diag(exp u) C. A variance of zero and a correlation of one are at infinity, where the priors fall off
exponentially.

Log-priors with their Jacobians, per block of p columns:

- decov: with v_j = exp(2 u_j), t = sum v_j and tau = sqrt(t / p) / scale,
  shape log tau - tau - p log t + (concentration - 1) sum log(v_j / t) + sum log v_j;
- independent standard deviations: sum_j [log f_j(sigma exp(u_j)) + u_j + log sigma];
- LKJ(eta): sum over pairs of a_j log(1 - z_ij^2), a_j = eta + (p - 2 - j) / 2, j counted from 0;

and log f(sigma) + log sigma. Constants are left out.
"""

from __future__ import annotations

import math

from bayesmlm.kernels.options import internal

# Of each block: number of columns, factor in elimination order, position in it, first parameter, prior, where its
# numbers start in REALS: T (p, p), then those of the prior.
COLUMNS, FACTOR, WITHIN, FIRST, KIND, NUMBERS_OF = range(6)
BLOCK_STRIDE = 6
DECOV, INDEPENDENT = range(2)
EXPONENTIAL, GAMMA, HALF_NORMAL, HALF_STUDENT_T = range(4)


@internal
def positive_prior(reals, at, s):
    """log f(s) and s f'(s) / f(s) of a prior on the positive numbers: its kind and two numbers at `at`."""
    kind, a, b = reals[at], reals[at + 1], reals[at + 2]
    if kind == EXPONENTIAL:
        return -a * s, -a * s
    if kind == GAMMA:
        return (a - 1.0) * math.log(s) - b * s, a - 1.0 - b * s
    if kind == HALF_NORMAL:
        return -0.5 * (s / a) ** 2, -((s / a) ** 2)
    ratio = (s / b) ** 2 / a  # Student t with a degrees of freedom and scale b
    return -0.5 * (a + 1.0) * math.log1p(ratio), -(a + 1.0) * ratio / (1.0 + ratio)


@internal
def block_prior(x, first, p, kind, reals, at, sigma, grad):
    """Log-prior of one block, its derivatives added to `grad`, and its derivative in log sigma."""
    value, slope = 0.0, 0.0
    if kind == DECOV:
        concentration, shape, scale = reals[at + 1], reals[at + 2], reals[at + 3]
        largest = x[first]
        for j in range(p):
            largest = max(largest, x[first + j])
        total = 0.0
        for j in range(p):
            total += math.exp(2.0 * (x[first + j] - largest))
        log_t = math.log(total) + 2.0 * largest
        log_tau = 0.5 * (log_t - math.log(p)) - math.log(scale)
        tau = math.exp(log_tau)
        value += shape * log_tau - tau - p * log_t
        for j in range(p):
            log_v = 2.0 * x[first + j]
            share = math.exp(log_v - log_t)
            value += (concentration - 1.0) * (log_v - log_t) + log_v
            grad[first + j] += share * (shape - tau - 2.0 * p)
            grad[first + j] += (concentration - 1.0) * (2.0 - 2.0 * p * share) + 2.0
    else:
        for j in range(p):
            sd = sigma * math.exp(x[first + j])
            density, relative = positive_prior(reals, at + 1 + 3 * j, sd)
            value += density + x[first + j] + math.log(sigma)
            grad[first + j] += relative + 1.0
            slope += relative + 1.0
    pair = first + p
    for i in range(1, p):
        for j in range(i):
            a = reals[at] + 0.5 * (p - 2 - j)
            z = math.tanh(x[pair])
            value -= 2.0 * a * _log_cosh(x[pair])
            grad[pair] -= 2.0 * a * z
            pair += 1
    return value, slope


@internal
def _log_cosh(x):
    return abs(x) + math.log1p(math.exp(-2.0 * abs(x))) - 0.6931471805599453


@internal
def fill_lambda(x, first, p, lam):
    """Lambda (p, p) of one block, row by row."""
    pair = first + p
    for i in range(p):
        left = math.exp(x[first + i])
        for j in range(p):
            lam[i * p + j] = 0.0
        for j in range(i):
            lam[i * p + j] = left * math.tanh(x[pair])
            left /= math.cosh(x[pair])
            pair += 1
        lam[i * p + i] = left


@internal
def pull_back(x, first, p, lam, slope, grad):
    """Add the derivatives in the parameters of one block, given those in its Lambda."""
    pair = first + p
    for i in range(p):
        for j in range(i + 1):
            grad[first + i] += slope[i * p + j] * lam[i * p + j]
        rest = slope[i * p + i] * lam[i * p + i]
        for j in range(i - 1, -1, -1):
            z = math.tanh(x[pair + j])
            # d C_ij / d w = (1 - z^2) s_ij = C_ij (1 - z^2) / z, written so that z may be 0
            scale = math.exp(x[first + i])
            for q in range(j):
                scale /= math.cosh(x[pair + q])
            grad[pair + j] += slope[i * p + j] * scale / math.cosh(x[pair + j]) ** 2 - z * rest
            rest += slope[i * p + j] * lam[i * p + j]
        pair += i
