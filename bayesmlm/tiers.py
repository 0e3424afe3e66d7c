"""Tiers: groups of units that the data can tell apart, by weighing ties against wrong orders."""

from __future__ import annotations

import numpy as np


def optimal_tiers(higher: np.ndarray, prob: float) -> np.ndarray:
    """Divide ordered units into consecutive tiers of least expected loss.

    Kline, Rose & Walters (2024, Am. Econ. Rev. 114, 2472-2525) grade units by a loss over pairs: a pair in different
    tiers costs 1 if its order is wrong, a pair in one tier costs 1 - `prob`, that of not saying which is higher. Two
    units by themselves would be split exactly if the order is right with a probability above `prob`. They search all
    grades by integer programming; here units keep the order they are given in, and the least loss over
    all ways of cutting it is found by dynamic programming.

    Parameters
    ----------
    higher
        P(i is truly before j), shape (J, J), for units in their order.
    prob
        How sure an order has to be to be worth a cut.

    Returns
    -------
    ndarray of int, shape (J,)
        Tier of each unit, from 1; never decreasing.
    """
    n = len(higher)
    # What a pair costs in one tier rather than in two: (1 - prob) - (1 - P(i before j)).
    cost = np.triu(higher - prob, 1)
    # together[a] + ... : cost of a tier of units a..b-1 is the sum of the square cost[a:b, a:b].
    sums = np.zeros((n + 1, n + 1))
    sums[1:, 1:] = cost.cumsum(axis=0).cumsum(axis=1)
    least, cut = np.zeros(n + 1), np.zeros(n + 1, dtype=int)
    diagonal = np.diag(sums)
    for b in range(1, n + 1):
        a = np.arange(b)
        square = diagonal[b] - sums[a, b] - sums[b, a] + diagonal[a]
        total = least[a] + square
        # Of equal losses the one with fewest cuts: rounding in the sums must not split a tier.
        cut[b] = int(np.flatnonzero(total <= total.min() + 1e-9)[0])
        least[b] = total[cut[b]]
    starts = [n]
    while starts[-1] > 0:
        starts.append(int(cut[starts[-1]]))
    tiers = np.empty(n, dtype=int)
    for number, (start, stop) in enumerate(zip(starts[:0:-1], starts[-2::-1], strict=True), 1):
        tiers[start:stop] = number
    return tiers
