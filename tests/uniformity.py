"""Are ranks uniform? Simultaneous bands for their distribution function, chi-square, Holm's adjustment."""

from __future__ import annotations

import numpy as np
from scipy import stats

TIE = 1e-9  # relative: tail probabilities that differ by rounding are equal


def ranks_among(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return how many of the draws (N, L) lie below the truth (N,): 0 to L, uniform for a calibrated posterior."""
    return (draws < truth[:, None]).sum(axis=1)


def chi_square_p(ranks: np.ndarray, values: int, bins: int) -> float:
    """Return the p value of Pearson's chi-square test of uniformity.

    Parameters
    ----------
    ranks : ndarray, shape (N,)
        Between 0 and `values` - 1.
    values
        Number of possible ranks; a multiple of `bins`.
    bins
        N / bins should be 5 or more.
    """
    if values % bins:
        raise ValueError(f"{values} ranks do not fall into {bins} equal bins")
    counts = np.bincount(ranks * bins // values, minlength=bins)
    expected = len(ranks) / bins
    return float(stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), bins - 1))


def band_p(ranks: np.ndarray, values: int) -> float:
    """Return the p value of the empirical distribution function of ranks against simultaneous bands.

    At each of the points 1, ..., `values` - 1 the number of smaller ranks is binomial, and has a smaller and a larger
    tail probability. The statistic is the smallest of all these (Sailynoja, Burkner & Vehtari 2022, section 2); its
    distribution is exact here. Given their total, counts of equal bins are independent Poisson numbers with that total,
    so the probability that all partial sums keep inside a band is a chain of convolutions, cut off at the band.

    Parameters
    ----------
    ranks : ndarray, shape (N,)
        Between 0 and `values` - 1.
    values
        Number of possible ranks.
    """
    n = len(ranks)
    share = np.arange(1, values) / values
    below = np.cumsum(np.bincount(ranks, minlength=values))[:-1]
    statistic = min(stats.binom.cdf(below, n, share).min(), stats.binom.sf(below - 1, n, share).min())
    return 1.0 - _inside(statistic * (1 + TIE), n, share)


def _inside(tail: float, n: int, share: np.ndarray) -> float:
    """Probability that both tails of all partial sums exceed `tail`."""
    counts = np.arange(n + 1)
    step = stats.poisson.pmf(counts, n / (len(share) + 1))
    state = np.zeros(n + 1)
    state[0] = 1.0
    for x in share:
        state = np.convolve(state, step)[: n + 1]
        state[(stats.binom.cdf(counts, n, x) <= tail) | (stats.binom.sf(counts - 1, n, x) <= tail)] = 0.0
    total = np.convolve(state, step)[n]
    return min(1.0, float(total / stats.poisson.pmf(n, n)))


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values adjusted for their number by Holm's method."""
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(raised, 1.0)
    return out
