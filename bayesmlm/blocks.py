"""The random part of a design: one block of correlated group effects per bar of the formula."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesmlm.coding import model_columns
from bayesmlm.columns import Factor
from bayesmlm.errors import DataError, DataWarning, warn
from bayesmlm.evaluate import Evaluator
from bayesmlm.formulas import Bar, Formula


@dataclass(frozen=True, eq=False)
class Block:
    """One bar of the formula: correlated effects of p columns for each level of a grouping factor.

    Attributes
    ----------
    label : str
        Unique among the blocks: `group`, or ``"g.1"``, ``"g.2"`` for further blocks on the same factor.
    group : str
        The grouping factor as lme4 names it; ``"cask:batch"`` for an interaction.
    columns : tuple of str
        R's names of the p columns, ``("(Intercept)", "femaleF")``.
    levels : tuple of str
        The J levels that occur in the rows used, in the factor's order.
    index : ndarray of int, shape (n,)
        Level of each row.
    Z : ndarray, shape (n, p)
        Values of the columns; never an indicator matrix.
    bar : Bar
        The bar as parsed.
    assign : tuple of int
        For each column the position of its term in ``bar.effects.terms``; -1 for the intercept.
    """

    label: str
    group: str
    columns: tuple[str, ...]
    levels: tuple[str, ...]
    index: np.ndarray
    Z: np.ndarray
    bar: Bar
    assign: tuple[int, ...] = ()


def build_blocks(formula: Formula, evaluator: Evaluator) -> tuple[Block, ...]:
    """Build the blocks of a formula, in lme4's order.

    Raises
    ------
    DataError
        For a grouping factor with one level, levels whose names collide, columns that are infinite or 0 in
        every row.

    Warns
    -----
    DataWarning
        For constant columns, as many effects as rows, two blocks with a column in common.
    """
    groups = {bar.group_name: _group_factor(bar, evaluator) for bar in formula.bars}
    names = [bar.group_name for bar in formula.bars]
    order, labels = label_order(names, [len(groups[name].levels) for name in names])
    blocks = [
        _block(formula.bars[i], label, groups[names[i]], evaluator)
        for i, label in zip(order, labels, strict=True)
    ]
    _warn_shared_columns(blocks)
    return tuple(blocks)


def label_order(names: Sequence[str], sizes: Sequence[int]) -> tuple[list[int], list[str]]:
    """Return lme4's order of the bars, given their grouping factors and numbers of levels, and the blocks' labels."""
    order = list(range(len(sizes)))
    if any(later > earlier for earlier, later in itertools.pairwise(sizes)):
        order = sorted(order, key=sizes.__getitem__)[::-1]  # lme4's rev(order(nl)): ties are reversed too
    taken = set(names)  # a second block on g is labelled g.1, unless there is a factor of that name
    labels: list[str] = []
    for name in (names[i] for i in order):
        numbered = (f"{name}.{k}" for k in itertools.count(1) if f"{name}.{k}" not in taken)
        labels.append(name if name not in labels else next(numbered))
        taken.add(labels[-1])
    return order, labels


def _group_factor(bar: Bar, evaluator: Evaluator) -> Factor:
    """The grouping factor: observed combinations only, the first factor varying slowest."""
    values = [evaluator.take_factor(g) for g in bar.group]
    codes, levels = values[0].codes, values[0].levels
    for value in values[1:]:
        combined = codes * len(value.levels) + value.codes
        present, codes = np.unique(combined, return_inverse=True)
        pairs = [divmod(int(c), len(value.levels)) for c in present]
        levels = tuple(f"{levels[a]}:{value.levels[b]}" for a, b in pairs)
    reject_repeated(levels, f"combinations of levels in {bar.group_name}", "rename levels that hold ':'")
    if len(levels) < 2:
        raise DataError(
            f"the grouping factor {bar.group_name} has one level only ({levels[0]}): effects that vary "
            f"between groups need two or more; leave out {bar}"
        )
    return Factor(levels, codes)


def reject_repeated(names: tuple[str, ...], what: str, advice: str) -> None:
    """Raise DataError if two of the names are the same."""
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"two {what} are both named {twice[0]!r}: {advice}")


def _block(bar: Bar, label: str, group: Factor, evaluator: Evaluator) -> Block:
    columns = model_columns(bar.effects, evaluator)
    reject_repeated(columns.names, f"columns of {bar}", "rename a column or a level")
    for name, column in zip(columns.names, columns.values.T, strict=True):
        if not np.isfinite(column).all():
            raise DataError(
                f"{name} in {bar} is infinite in some rows: filter or change them, then fit again"
            )
        if not column.any():
            raise DataError(
                f"{name} is 0 in every row, so its effects in {bar} cannot be estimated: leave it out there"
            )
        if name != "(Intercept)" and np.ptp(column) == 0:
            message = f"{name} is constant, so its effect in {bar} cannot be told from an intercept's"
            warn(message, DataWarning)
    return Block(
        label, bar.group_name, columns.names, group.levels, group.codes, columns.values, bar, columns.term
    )


def _warn_shared_columns(blocks: list[Block]) -> None:
    for i, block in enumerate(blocks):
        for other in blocks[:i]:
            shared = sorted(set(block.columns) & set(other.columns))
            if other.group == block.group and shared:
                message = (
                    f"{other.bar} and {block.bar} both give {block.group} an effect of {shared[0]}: only their "
                    "sum is seen in the data; write one block, or blocks without an effect in common"
                )
                warn(message, DataWarning)


def warn_of_row_effects(blocks: tuple[Block, ...], what: str = "residuals") -> None:
    """Warn of blocks with an effect for each row, where a row has an error of its own: `what`."""
    for block in blocks:
        n, n_levels, p = len(block.index), len(block.levels), len(block.columns)
        if n_levels * p >= n:
            effects = f"{n_levels} levels" if p == 1 else f"{n_levels} levels x {p} columns"
            message = (
                f"{block.bar} has as many group effects ({effects}) as there are rows ({n}): the data cannot tell "
                f"them from the {what}, only a prior can; take a coarser grouping factor or fewer columns"
            )
            warn(message, DataWarning)
