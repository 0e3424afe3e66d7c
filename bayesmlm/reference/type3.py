"""Type III tests of the terms of the fixed part: each term against 0, with all others in the model.

Yates (1934, J. Am. Stat. Assoc. 29:51), SAS's type III. With the categories of every factor coded to sum to zero, the
hypothesis of a term is that its coefficients are 0: the effect of a factor averaged over the categories of the factors
it meets, with equal weights, and at 0 of the numbers it meets. The treatment contrasts X and the columns X_s of the sum
coding span the same space, X = X_s B, so the coefficients in the sum coding are B beta, and the rows of B are the
hypotheses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.columns import Factor
from bayesmlm.design import Design
from bayesmlm.errors import DataError
from bayesmlm.evaluate import Evaluator
from bayesmlm.reference.contrasts import FTest
from bayesmlm.reference.ddf import ddf_moments, joint_test
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.lrt import spans


@dataclass(frozen=True)
class TermTest:
    """The F test of one term.

    Attributes
    ----------
    term : str
    test : FTest
    sum_sq, mean_sq : float
        Mean square sigma^2 F (F before Kenward and Roger's scaling), and num_df times as much, as lmerTest has them.
    """

    term: str
    test: FTest
    sum_sq: float
    mean_sq: float


def term_tests(design: Design, estimate: LmerEstimate, method: str) -> tuple[TermTest, ...]:
    """Return the type III test of each term of the fixed part, in the formula's order.

    Parameters
    ----------
    method
        ``"Satterthwaite"`` or ``"Kenward-Roger"``.

    Raises
    ------
    DataError
        Where coefficients were left out, there is no intercept, or an interaction stands without its margins.
    """
    hypotheses = type3_hypotheses(design)
    moments = ddf_moments(design, estimate, method)
    found = []
    for term, L in hypotheses.items():
        test = joint_test(moments, L)
        mean = test.statistic / test.scale * estimate.sigma**2
        found.append(TermTest(term, test, mean * test.num_df, mean))
    return tuple(found)


def type3_hypotheses(design: Design) -> dict[str, np.ndarray]:
    """Return L of each term, shape (columns of the term, k).

    The rows are combined so that each has 1 for one of the term's own coefficients and 0 for the others: Fai and
    Cornelius's degrees of freedom depend on the rows chosen, and these are lmerTest's.
    """
    advice = "compare models with and without a term by anova(m0, m1)"
    if design.aliased:
        raise DataError(
            f"type III tests need all coefficients, and {', '.join(design.aliased)} had to be left out: {advice}"
        )
    if not design.formula.fixed.intercept:
        raise DataError(f"type III tests need an intercept: {advice}")
    X, term = _sum_coded(design)
    if X.shape != design.X.shape or not spans(X, design.X):
        raise DataError(
            "type III tests need the margins of every interaction of a factor (a:b next to a and b; a:x next to x): "
            f"{advice}"
        )
    B = np.linalg.lstsq(X, design.X, rcond=None)[0]
    own = np.array(design.assign)
    terms = enumerate(design.formula.fixed.terms)
    return {str(t): np.linalg.solve(B[np.ix_(term == i, own == i)], B[term == i]) for i, t in terms}


def _sum_coded(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Return X with factors coded to sum to zero, and the position of each column's term; -1 for the intercept."""
    evaluator = Evaluator(design.frame, design.formula.text, learned=design.learned)
    n = design.nobs
    blocks, term = [np.ones((n, 1))], [-1]
    for i, t in enumerate(design.formula.fixed.terms):
        block = np.ones((n, 1))
        for factor in t.factors:
            value = evaluator.take(factor)
            if isinstance(value, Factor):
                codes = (value.codes[:, None] == np.arange(len(value.levels))).astype(float)
                columns = codes[:, :-1] - codes[:, -1:]
            else:
                columns = np.asarray(value, float).reshape(n, -1)
            block = (columns[:, :, None] * block[:, None, :]).reshape(n, columns.shape[1] * block.shape[1])
        blocks.append(block)
        term += [i] * block.shape[1]
    return np.hstack(blocks), np.array(term)
