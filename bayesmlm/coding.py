"""Terms -> columns of a model matrix, with R's contrasts, R's order and R's names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.columns import Factor, Value
from bayesmlm.errors import DataError
from bayesmlm.evaluate import Evaluator
from bayesmlm.formulas import Linear, Term
from bayesmlm.syntax import Call, Name, Node

RANK_TOLERANCE = 1e-7  # R's lm() and lmer(): what is left of a column once the earlier ones are projected out


@dataclass(frozen=True)
class Columns:
    """A model matrix.

    Attributes
    ----------
    values : ndarray, shape (n, p)
    names : tuple of str
        R's names, ``"ks2stand:factor(gender)1"``.
    term : tuple of int
        For each column its term's position in `Linear.terms`; -1 for the intercept.
    """

    values: np.ndarray
    names: tuple[str, ...]
    term: tuple[int, ...]

    def take(self, keep: np.ndarray) -> Columns:
        """Return the columns at positions `keep`."""
        names = tuple(self.names[i] for i in keep)
        return Columns(self.values[:, keep], names, tuple(self.term[i] for i in keep))


def model_columns(linear: Linear, evaluator: Evaluator) -> Columns:
    """Build the columns of a sum of terms.

    A factor within a term is coded by treatment contrasts if the rest of the term is contained in an
    earlier term, and by a full set of indicators otherwise; without an intercept the first factor is
    coded in full. These are the rules of R's ``terms.formula`` and ``model.matrix``.
    """
    n = evaluator.n
    values = {str(f): evaluator.take(f) for term in linear.terms for f in term.factors}
    parts = [np.ones((n, 1))] if linear.intercept else []
    names = ["(Intercept)"] if linear.intercept else []
    index = [-1] if linear.intercept else []
    full = _full_coding(linear, values)
    for i, term in enumerate(linear.terms):
        block, labels = _term_columns(term, values, full[i], evaluator, n)
        parts.append(block)
        names += labels
        index += [i] * len(labels)
    matrix = np.hstack(parts) if parts else np.empty((n, 0))
    return Columns(matrix, tuple(names), tuple(index))


def _full_coding(linear: Linear, values: dict[str, Value]) -> list[set[str]]:
    """For each term, the factors that get a full set of indicators."""
    sets = [frozenset(map(str, term.factors)) for term in linear.terms]
    full: list[set[str]] = []
    for i, term in enumerate(sets):
        rest = {f: term - {f} for f in term}
        full.append({f for f, r in rest.items() if r and not any(r <= earlier for earlier in sets[:i])})
    if not linear.intercept:
        for i, whole in enumerate(linear.terms):
            factors = [str(f) for f in whole.factors if isinstance(values[str(f)], Factor)]
            if factors:
                full[i].add(factors[0])
                break
    return full


def _term_columns(
    term: Term, values: dict[str, Value], full: set[str], evaluator: Evaluator, n: int
) -> tuple[np.ndarray, list[str]]:
    """Multiply out the factors of a term; the first factor's columns vary fastest, as in R."""
    block, labels = np.ones((n, 1)), [""]
    for factor in term.factors:
        columns, names = _factor_columns(factor, values[str(factor)], str(factor) in full, evaluator)
        block = (columns[:, :, None] * block[:, None, :]).reshape(n, columns.shape[1] * block.shape[1])
        labels = [f"{old}:{new}" if old else new for new in names for old in labels]
    return block, labels


def _factor_columns(
    node: Node, value: Value, full: bool, evaluator: Evaluator
) -> tuple[np.ndarray, list[str]]:
    text = node.name if isinstance(node, Name) else str(node)
    if isinstance(value, Factor):
        first = 0 if full else 1
        if len(value.levels) < 2 and not full:
            level = f"only the level {value.levels[0]!r}" if value.levels else "no levels"
            raise DataError(f"{text} has {level} in the rows used: leave it out of the formula")
        shown = np.arange(first, len(value.levels))
        columns = (value.codes[:, None] == shown).astype(float)
        columns[value.codes < 0] = np.nan  # only new data have rows with missing values
        return columns, [f"{text}{value.levels[i]}" for i in shown]
    if not isinstance(value, np.ndarray):
        raise evaluator.error(f"{node} is a constant, not a column", node)
    if value.shape[1:] in {(), (1,)}:
        return value.reshape(-1, 1), [text]
    return value, [text + label for label in _matrix_labels(node, value.shape[1])]


def _matrix_labels(node: Node, width: int) -> list[str]:
    """What R appends to the name of a matrix, column by column."""
    if isinstance(node, Call) and node.func == "cbind" and len(node.args) == width:
        return [keyword or (arg.name if isinstance(arg, Name) else "") for keyword, arg in node.args]
    return [str(i + 1) for i in range(width)]


def independent_columns(X: np.ndarray, length: np.ndarray | None = None) -> np.ndarray:
    """Return positions of the columns that are not linear combinations of earlier ones.

    A column goes if, with the kept columns before it projected out, less than 1e-7 of its length is
    left (the rule and tolerance of R's ``lm``). `length` gives the lengths of columns from which
    something has been projected out already.
    """
    length = np.linalg.norm(X, axis=0) if length is None else length
    keep: list[int] = []
    Q = np.empty((X.shape[0], 0))
    for j in np.flatnonzero(length > 0):
        rest = X[:, j] / length[j]
        for _ in range(2):  # twice is enough (Giraud et al. 2005) to be orthogonal to machine precision
            rest = rest - Q @ (Q.T @ rest)
        size = np.linalg.norm(rest)
        if size > RANK_TOLERANCE:
            keep.append(int(j))
            Q = np.column_stack([Q, rest / size])
    return np.array(keep, dtype=np.intp)
