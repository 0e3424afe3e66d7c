"""What units are ranked by: draws of an effect, or of the outcome expected at values of the predictors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Block, Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.newdata import new_design
from bayesmlm.shares import is_nested, outer_levels
from bayesmlm.shrinkage import effect_draws, one_factor
from bayesmlm.tables import flat


@dataclass(frozen=True)
class Scores:
    """Draws of what the units of a grouping factor are ranked by.

    Attributes
    ----------
    group : str
        The grouping factor.
    levels : tuple of str
        Its J units.
    sizes : ndarray, shape (J,)
        Rows per unit.
    draws : ndarray, shape (chain x draw, J)
        Higher is ranked first.
    reference : float or ndarray, shape (chain x draw,)
        What a unit without an effect of its own would have.
    outer : tuple of str
        Factors that contain `group` and whose effects are added.
    """

    group: str
    levels: tuple[str, ...]
    sizes: np.ndarray
    draws: np.ndarray
    reference: float | np.ndarray
    outer: tuple[str, ...]


def unit_scores(
    design: Design,
    posterior: Posterior,
    group: str | None = None,
    column: str | None = "(Intercept)",
    at: Mapping[str, Any] | None = None,
    total: bool = False,
) -> Scores:
    """Draws of the effect of each unit, or of its expected outcome.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    group
        Grouping factor; the one with most levels if None.
    column
        Column of its effects: the deviation of a unit's intercept, or of its slope, from the fixed effect. The
        intercept, or the first if there is none, if None.
    at
        Values of predictors, such as ``{"x": 1}``: the score is then x'beta + z'b, with z'b all effects of the unit. Of
        predictors that are not named it is the mean over all rows of the data, the same for every unit.
    total
        Add the effects of the factors that `group` is nested in: of a class, its own and its school's.

    Raises
    ------
    DataError
        For an unknown group, column or predictor.
    """
    (block,) = one_factor(design, group).blocks
    outer = [other for other in _factors(design) if other.group != block.group and is_nested(block, other)]
    added = outer if total else []
    reference: float | np.ndarray = 0.0
    if at is None:
        if column is None:
            column = "(Intercept)" if "(Intercept)" in block.columns else block.columns[0]
        if column not in block.columns:
            hint = did_you_mean(column, block.columns) or f" It has: {', '.join(block.columns)}."
            raise DataError(f"{block.group} has no effect of {column!r}.{hint}")
        weights = {column: 1.0}
        draws = _weighted(posterior, block, weights)
        for other in added:
            draws = draws + _weighted(posterior, other, weights)[:, outer_levels(block, other)]
    else:
        x, z = _average_rows(design, at)
        average = flat(posterior.fixef) @ x.row + x.offset
        reference = average
        draws = average[:, None] + _weighted(posterior, block, z[block.group])
        for other in added:
            draws = draws + _weighted(posterior, other, z[other.group])[:, outer_levels(block, other)]
    sizes = np.bincount(block.index, minlength=len(block.levels))
    return Scores(block.group, block.levels, sizes, draws, reference, tuple(o.group for o in added))


def _factors(design: Design) -> list[Block]:
    """Each grouping factor's blocks joined in one."""
    return [one_factor(design, group).blocks[0] for group in design.ngroups]


def _weighted(posterior: Posterior, block: Block, weights: Mapping[str, float]) -> np.ndarray:
    """Draws of the sum of weight x effect over the columns of a factor, (chain x draw, level)."""
    vector = np.array([weights.get(c, 0.0) for c in block.columns])
    return effect_draws(posterior, block) @ vector


@dataclass(frozen=True)
class _FixedPart:
    row: np.ndarray
    offset: float


def _average_rows(design: Design, at: Mapping[str, Any]) -> tuple[_FixedPart, dict[str, dict[str, float]]]:
    """Mean over the rows, with the predictors of `at` set, of X and of each factor's columns."""
    if not isinstance(at, Mapping):
        raise DataError(
            f"at is a dict of one value per predictor, such as {{'x': 1}}, not {type(at).__name__}"
        )
    groups = {name for b in design.blocks for name in map(str, b.bar.group)}
    known = [c for c in design.frame.columns if c not in groups and c != design.response]
    for name in at:
        if name not in known:
            hint = did_you_mean(name, known) or f" It uses: {', '.join(known) or 'none'}."
            raise DataError(f"at names {name!r}, which is not a predictor of {design.formula.spelled}.{hint}")
    constants = {name: _constant(design, name, value) for name, value in at.items()}
    new = new_design(design, design.frame.assign(**constants), given_offset=False)
    offset = _mean_offset(design) + (0.0 if new.offset is None else float(new.offset.mean()))
    z: dict[str, dict[str, float]] = {group: {} for group in design.ngroups}
    for b in new.blocks:
        block = design.blocks[b.position]
        for j, value in zip(b.columns, b.Z.mean(axis=0), strict=True):
            z[block.group][block.columns[j]] = float(value)
    return _FixedPart(new.X.mean(axis=0), offset), z


def _mean_offset(design: Design) -> float:
    """Mean of the offset that was given beside the formula; `at` does not change it."""
    if design.offset is None:
        return 0.0
    of_formula = new_design(design, design.frame, re_formula="~0", given_offset=False).offset
    return float(np.mean(design.offset - (0.0 if of_formula is None else of_formula)))


def _constant(design: Design, name: str, value: Any) -> pd.Series:
    """A column of one value, with the categories of the data's column if it is categorical."""
    if np.ndim(value) != 0:
        raise DataError(
            f"at has {len(value)} values of {name}, and units are ranked at one: give {{{name!r}: value}}"
        )
    return pd.Series([value] * design.nobs, index=design.frame.index)
