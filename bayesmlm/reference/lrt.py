"""Likelihood-ratio tests of nested models, and what they are worth where a variance is on its boundary.

Twice the difference of the log-likelihoods is compared with a chi-square whose degrees of freedom are the difference
of the numbers of parameters. That holds if the null hypothesis is inside the parameter space. A variance of zero is
not, and the chi-square p value is then too large. Where one block gains one column, from q to q + 1, the null
distribution is 0.5 chi2(q) + 0.5 chi2(q + 1), with chi2(0) a point mass at 0; where k uncorrelated variances come in,
it is the binomial mixture with C(k, j) / 2^k of chi2(j) if their estimates are uncorrelated (Self & Liang 1987,
J. Am. Stat. Assoc. 82:605; Stram & Lee 1994, Biometrics 50:1171, cases 1 to 3). Otherwise the weights depend on the
data.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import comb

import numpy as np
from scipy import stats

from bayesmlm.design import Block

SPAN = 1e-7  # what may be left of a column, relative to its length, once others are projected out

FIRST, REGULAR, BOUNDARY, NO_MIXTURE = "first", "regular", "boundary", "no mixture"
FIXED_TOO, NOT_NESTED, SAME_SIZE = "fixed effects too", "not nested", "same size"


@dataclass(frozen=True)
class Candidate:
    """What a likelihood-ratio test needs to know of a model that has been fitted by maximum likelihood.

    Attributes
    ----------
    name, formula : str
    npar : int
        Number of parameters.
    loglik, aic, bic : float
    span : ndarray, shape (n, m), or None
        Columns of the fixed part; None where only `inside` is known of it.
    inside : ndarray, shape (n, m)
        Columns that the fixed part of a larger model must be able to reproduce.
    n_fixed : int
        Number of fixed effects.
    offset : ndarray, shape (n,)
    blocks : tuple of Block
    """

    name: str
    formula: str
    npar: int
    loglik: float
    aic: float
    bic: float
    span: np.ndarray | None
    inside: np.ndarray
    n_fixed: int
    offset: np.ndarray
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class LrtRow:
    """One model of the table, tested against the one before it.

    Attributes
    ----------
    model : Candidate
    chisq, df, p_value : float
        Twice the difference of the log-likelihoods (not below 0), that of the numbers of parameters, and the
        chi-square p value; NaN where there is none.
    relation : str
        What the models differ in: one of the constants of this module.
    mixture : tuple of (int, float)
        Degrees of freedom and weight of each chi-square of the null distribution, if `relation` is BOUNDARY.
    p_boundary : float
        The p value by this mixture; NaN without one.
    """

    model: Candidate
    chisq: float = np.nan
    df: float = np.nan
    p_value: float = np.nan
    relation: str = FIRST
    mixture: tuple[tuple[int, float], ...] = ()
    p_boundary: float = np.nan


ROUNDING = 1e-9


def likelihood_ratio_tests(models: list[Candidate]) -> tuple[LrtRow, ...]:
    """Order models by their numbers of parameters and test each against the one before it."""
    ordered = sorted(models, key=lambda m: m.npar)
    return (LrtRow(ordered[0]), *(_test(small, large) for small, large in pairwise(ordered)))


def _test(small: Candidate, large: Candidate) -> LrtRow:
    gain, df = 2.0 * (large.loglik - small.loglik), large.npar - small.npar
    # Two optima of one model: what is left is rounding.
    chisq = gain if gain > ROUNDING * max(1.0, abs(large.loglik)) else 0.0
    if not df:
        return LrtRow(large, chisq, 0, relation=SAME_SIZE)
    relation, mixture = relate(small, large)
    p = float(stats.chi2.sf(chisq, df))
    return LrtRow(large, chisq, df, p, relation, mixture, mixture_p(chisq, mixture))


def mixture_p(chisq: float, mixture: tuple[tuple[int, float], ...]) -> float:
    """Return P(X >= chisq) for a mixture of chi-squares; chi2(0) is a point mass at 0. NaN without a mixture."""
    if not mixture:
        return np.nan
    return float(sum(w * (stats.chi2.sf(chisq, df) if df else float(chisq <= 0)) for df, w in mixture))


def relate(small: Candidate, large: Candidate) -> tuple[str, tuple[tuple[int, float], ...]]:
    """Say what a larger model adds to a smaller one, and the mixture of chi-squares that follows from it."""
    matches = _match_blocks(small.blocks, large.blocks)
    if matches is None or not _fixed_nested(small, large):
        return NOT_NESTED, ()
    width = [len(b.columns) for b in large.blocks]
    old = [sum(len(b.columns) for b in match) for match in matches]
    grown = [i for i in range(len(width)) if width[i] > old[i]]
    if not grown:
        # Covariances that were fixed at 0 are inside the parameter space.
        return REGULAR, ()
    if large.n_fixed > small.n_fixed:
        return FIXED_TOO, ()
    freed = any(len(match) > 1 for match in matches)
    if not freed and len(grown) == 1 and width[grown[0]] == old[grown[0]] + 1:
        q = old[grown[0]]
        return BOUNDARY, ((q, 0.5), (q + 1, 0.5))
    if not freed and all(width[i] == 1 for i in grown):
        k = len(grown)
        return BOUNDARY, tuple((j, comb(k, j) / 2**k) for j in range(k + 1))
    return NO_MIXTURE, ()


def _fixed_nested(small: Candidate, large: Candidate) -> bool:
    if large.span is None:
        return True  # nothing to tell it by
    difference = (small.offset - large.offset)[:, None]
    return spans(large.span, np.hstack([small.inside, difference]))


def _match_blocks(small: tuple[Block, ...], large: tuple[Block, ...]) -> list[list[Block]] | None:
    """For each block of the larger model, the blocks of the smaller one inside it; None if one is in none."""
    found: list[list[Block]] = [[] for _ in large]
    for block in small:
        homes = [i for i, other in enumerate(large) if same_groups(block, other) and spans(other.Z, block.Z)]
        if not homes:
            return None
        found[min(homes, key=lambda i: len(large[i].columns))].append(block)
    return found


def same_groups(a: Block, b: Block) -> bool:
    """Whether two blocks sort the rows into the same groups, whatever these are called."""
    pairs = np.unique(a.index.astype(np.int64) * len(b.levels) + b.index)
    return len(a.levels) == len(b.levels) == len(pairs)


def spans(columns: np.ndarray, others: np.ndarray) -> bool:
    """Whether `others` are linear combinations of `columns`."""
    size = np.linalg.norm(others, axis=0)
    others = others[:, size > 0] / size[size > 0]
    length = np.linalg.norm(columns, axis=0)
    scaled = columns[:, length > 0] / length[length > 0]
    if scaled.shape[1]:
        others = others - scaled @ np.linalg.lstsq(scaled, others, rcond=None)[0]
    return bool(np.all(np.linalg.norm(others, axis=0) <= SPAN))
