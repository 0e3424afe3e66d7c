"""Ranks of the levels of a group, draw by draw."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.draws import Posterior, kept_effects
from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.shrinkage import one_factor
from bayesmlm.tables import check_probability

PIECE = 4_000_000  # draws x levels sorted at a time


def rank_table(
    design: Design,
    posterior: Posterior,
    group: str | None = None,
    column: str | None = None,
    prob: float = 0.9,
) -> pd.DataFrame:
    """Rank the levels of a grouping factor by an effect in each draw, 1 for the highest.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    group
        Grouping factor; the one with most levels if None.
    column
        Effect to rank by; the intercept, or the first, if None.
    prob
        Of the central intervals of the rank.

    Returns
    -------
    DataFrame
        level, rank (posterior mean, which minimises the expected squared error; Laird & Louis 1989, Journal of
        Educational Statistics 14, 29-46), rank_median, rank_low, rank_high, in the order of rank.

    Raises
    ------
    DataError
        For an unknown grouping factor or effect.
    """
    prob = check_probability(prob, "prob")
    (block,) = one_factor(design, group).blocks
    name = column or ("(Intercept)" if "(Intercept)" in block.columns else block.columns[0])
    if name not in block.columns:
        hint = did_you_mean(name, block.columns) or f" It has: {', '.join(block.columns)}."
        raise DataError(f"{block.group} has no effect {name!r}.{hint}")
    ranks = _ranks(_column_draws(design, posterior, block.group, name))
    low, middle, high = np.quantile(ranks, [(1 - prob) / 2, 0.5, (1 + prob) / 2], axis=0)
    table = pd.DataFrame({"level": list(block.levels), "rank": ranks.mean(axis=0), "rank_median": middle})
    return table.assign(rank_low=low, rank_high=high).sort_values("rank", kind="stable", ignore_index=True)


def _column_draws(design: Design, posterior: Posterior, group: str, column: str) -> np.ndarray:
    """Return the draws of one effect, (draw, level); where blocks share it they add up."""
    total = np.zeros((posterior.n_draws, 1))
    for block, draws in zip(design.blocks, posterior.blocks, strict=True):
        if block.group == group and column in block.columns:
            b = kept_effects(block, draws)[..., block.columns.index(column)]
            total = total + b.reshape(posterior.n_draws, -1)
    return total


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each column within its row, 1 for the greatest, some rows at a time."""
    draws, levels = values.shape
    ranks = np.empty(values.shape, dtype=np.int32)
    places = np.arange(1, levels + 1, dtype=np.int32)[None, :]
    step = max(1, PIECE // levels)
    for start in range(0, draws, step):
        part = slice(start, start + step)
        np.put_along_axis(ranks[part], np.argsort(-values[part], axis=1, kind="stable"), places, axis=1)
    return ranks
