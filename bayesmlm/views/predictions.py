"""The expected response over a grid: for the population, for known groups, for a new group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Block, Design
from bayesmlm.draws import SAMPLE, Posterior, kept_effects
from bayesmlm.errors import DataError
from bayesmlm.newdata import MISSING, NewBlock, NewDesign, effect_columns, new_design
from bayesmlm.outcome import Outcome, outcome_of
from bayesmlm.predicted import without_new_effects
from bayesmlm.predicting import Sample, Target, expected_pieces, linear_predictor_draws, sample_of
from bayesmlm.replicates import observed_values
from bayesmlm.shrinkage import check_levels, one_factor
from bayesmlm.tables import check_probability
from bayesmlm.views.typical import Axis, axis_of, few_values, grid_frame

MANY = 50  # levels with a band each: more can be neither told apart nor held in memory
NEW, NONE = "new", "none"


def group_lines(
    design: Design,
    posterior: Posterior,
    x: str,
    group: str | None = None,
    *,
    at: Mapping[str, Any] | None = None,
    own_range: bool = False,
) -> pd.DataFrame:
    """Predict the response over a column of the data for every level of a grouping factor.

    Posterior means of the expected response, with the effects of this factor only; the other predictors are at typical
    values: numbers at their mean over the rows, categories at their first level.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    x
        Column of the data.
    group
        Grouping factor; the one with most levels if None.
    at
        Values of other columns, in place of the typical ones.
    own_range
        Whether each level's line ends where its own data end.

    Returns
    -------
    DataFrame
        level, x (position: 0, 1, ... for categories), estimate; level by level.
    """
    single = one_factor(design, group)
    (block,) = single.blocks
    axis = axis_of(design, x)
    grid = grid_frame(design, [axis], at)
    rows = _rows(design, grid)
    outcome = outcome_of(design, back_transform=False)
    if outcome.levels:
        raise DataError(
            f"{design.response} is a category, of which each has lines of its own: see conditional_effects()"
        )
    if outcome.is_linear:
        common = rows.X @ posterior.fixef.mean(SAMPLE).values + _offset(design, rows)
        effects = np.zeros((len(block.levels), len(axis.values)))
        for i, (own, draws) in enumerate(zip(design.blocks, posterior.blocks, strict=True)):
            if own.group == block.group:
                effects += kept_effects(own, draws).mean(axis=(0, 1)) @ effect_columns(design, i, grid).T
        estimate = common + effects
    else:
        estimate = _curved_lines(design, posterior, grid, replace(rows, offset=_offset(design, rows)), block)
    frame = pd.DataFrame(
        {
            "level": np.repeat(np.array(block.levels, dtype=object), len(axis.values)),
            "x": np.tile(axis.positions, len(block.levels)),
            "estimate": estimate.ravel(),
        }
    )
    return _within_own_range(frame, axis, design, block.index, block.levels) if own_range else frame


def _curved_lines(
    design: Design, posterior: Posterior, grid: pd.DataFrame, rows: NewDesign, block: Block
) -> np.ndarray:
    """Posterior means of the expected response of each level on a grid, (level, point), through the link."""
    sample, outcome = sample_of(design, posterior), outcome_of(design, back_transform=False)
    own = [_grid_block(design, grid, i) for i, b in enumerate(design.blocks) if b.group == block.group]
    out = np.empty((len(block.levels), rows.nobs))
    for j in range(len(block.levels)):
        at = replace(rows, blocks=tuple(_at_level(b, j) for b in own))
        out[j] = outcome.mean(linear_predictor_draws(sample, at, None), sample.parameters, None).mean(axis=0)
    return out


def group_points(design: Design, x: str, group: str | None = None) -> pd.DataFrame:
    """Return the data behind `group_lines`: level, x (position), y; of binomials the share of successes."""
    if design.family.is_ordinal or design.family.is_categorical:
        raise DataError(f"{design.response} is a category: it has no place on an axis of probabilities")
    block = one_factor(design, group).blocks[0]
    place = axis_of(design, x).place(design.frame)
    return pd.DataFrame(
        {
            "level": np.array(block.levels, dtype=object)[block.index],
            "x": place,
            "y": observed_values(design, design.y),
        }
    )


def conditional_effects(
    design: Design,
    posterior: Posterior,
    x: str,
    by: str | None = None,
    groups: str | Iterable[str] = NONE,
    group: str | None = None,
    *,
    prob: float = 0.9,
    at: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict the expected response over a grid of one column, with posterior intervals.

    The mean of the response given eta = X beta + offset (+ Z b), the other predictors at typical values: numbers at
    their mean over the rows of the fit, categories at their first (reference) level, a varying offset at its mean.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    x
        Column of the data: 50 points over its range, or its categories.
    by
        A second column: its categories, its values if there are up to 5, else mean - sd, mean, mean + sd.
    groups
        ``"none"``: b = 0, a typical group. ``"new"``: a group that the data do not have; each draw adds, for every
        block, one b ~ N(0, Sigma) with the Sigma of that draw, the same as `posterior_linpred` with this seed has for
        rows whose groups are missing. Or levels of `group`, with their effects.
    group
        Grouping factor of the levels; the one with most levels if None.
    prob
        Probability of the central intervals.
    at
        Values of other columns, in place of the typical ones.
    seed
        Of the effects of the new group.

    Returns
    -------
    DataFrame
        level (of the group; "" if there is none), by (text; "" if there is none; the category of an ordinal response,
        whose probability the estimate then is), x (position: 0, 1, ... for
        categories), estimate (posterior mean; with a new group that over groups, in linear models the one of a
        typical group), conf_low, conf_high.

    Raises
    ------
    DataError
        For an unknown column or level, or too many levels; for `by` with a response of categories, in whose place
        these are.
    """
    prob = check_probability(prob, "prob")
    first = axis_of(design, x)
    second = None if by is None else few_values(design, by)
    if by == x:
        raise DataError(f"x and by are both {x!r}: choose another column for by")
    frame = grid_frame(design, [first] if second is None else [second, first], at)
    rows = _rows(design, frame)
    rows = replace(rows, offset=_offset(design, rows))
    sample, outcome = sample_of(design, posterior), outcome_of(design, back_transform=False)
    if not outcome.is_linear:
        if outcome.levels and second is not None:
            raise DataError(
                f"by = {by!r}: the categories of {design.response} have its place; give at= instead"
            )
        made = [
            _response_part(
                design, sample, outcome, replace(rows, blocks=blocks), level, groups == NEW, prob, seed
            )
            for level, blocks in _group_parts(design, frame, groups, group)
        ]
        names = list(outcome.levels) or ([""] if second is None else axis_names(second))
        table = pd.concat(made, ignore_index=True)
        by_text = np.tile(np.repeat(np.array(names, dtype=object), len(first.values)), len(made))
        table.insert(1, "by", by_text)
        table.insert(2, "x", np.tile(first.positions, len(names) * len(made)))
        return table
    parts = []
    for level, blocks in _group_parts(design, frame, groups, group):
        eta = linear_predictor_draws(sample, replace(rows, blocks=blocks), seed)
        low, high = np.quantile(eta, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
        centre = (linear_predictor_draws(sample, rows, None) if groups == NEW else eta).mean(axis=0)
        parts.append(pd.DataFrame({"level": level, "estimate": centre, "conf_low": low, "conf_high": high}))
    n_by = 1 if second is None else len(second.values)
    table = pd.concat(parts, ignore_index=True)
    names = [""] if second is None else axis_names(second)
    table.insert(1, "by", np.tile(np.repeat(np.array(names, dtype=object), len(first.values)), len(parts)))
    table.insert(2, "x", np.tile(first.positions, n_by * len(parts)))
    return table


def _response_part(
    design: Design,
    sample: Sample,
    outcome: Outcome,
    rows: NewDesign,
    level: str,
    new_group: bool,
    prob: float,
    seed: int,
) -> pd.DataFrame:
    """Expected responses of one group through the link: one row per point, category by category."""
    target = Target(rows, np.arange(rows.nobs))
    _, mu = zip(*expected_pieces(sample, target, outcome, seed), strict=True)
    draws = np.concatenate(mu, axis=1)
    if new_group and outcome.has_averages:
        averaged = without_new_effects(design, target)
        _, means = zip(*expected_pieces(sample, averaged, outcome, None), strict=True)
        centre = np.concatenate(means, axis=1).mean(axis=0)
    else:
        centre = draws.mean(axis=0)
    low, high = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    columns = {"estimate": centre, "conf_low": low, "conf_high": high}
    return pd.DataFrame({"level": level, **{name: x.T.ravel() for name, x in columns.items()}})


def axis_names(axis: Axis) -> list[str]:
    """Name the values of an axis, such as "1.25" or "girls"; numbers with as many digits as tell them apart."""
    if axis.labels is not None:
        return list(axis.labels)
    for digits in range(3, 16):
        names = [f"{v:.{digits}g}" for v in axis.values]
        if len(set(names)) == len(names):
            break
    return names


def _group_parts(
    design: Design, frame: pd.DataFrame, groups: str | Iterable[str], group: str | None
) -> Iterable[tuple[str, tuple[NewBlock, ...]]]:
    """Yield the group effects that the rows of a grid have, by level."""
    if isinstance(groups, str) and groups == NONE:
        return [("", ())]
    if isinstance(groups, str) and groups == NEW:
        return [("", tuple(_grid_block(design, frame, i) for i in range(len(design.blocks))))]
    (block,) = one_factor(design, group).blocks
    levels = check_levels(design, group, [groups] if isinstance(groups, str) else groups)
    if not levels:
        raise DataError("groups is empty: name levels, or give 'none' or 'new'")
    if len(levels) > MANY:
        raise DataError(f"{len(levels)} levels: draw {MANY} at most, or all of them with plot_groups")
    own = [_grid_block(design, frame, i) for i, b in enumerate(design.blocks) if b.group == block.group]
    return ((level, tuple(_at_level(b, block.levels.index(level)) for b in own)) for level in levels)


def _grid_block(design: Design, frame: pd.DataFrame, position: int) -> NewBlock:
    """Return the rows of a block on a grid, all of one new level, the one that a missing group is of."""
    Z = effect_columns(design, position, frame)
    nothing = np.full(len(frame), -1)
    columns = tuple(range(Z.shape[1]))
    return NewBlock(
        design.blocks[position].label, position, columns, Z, nothing, (MISSING,), np.zeros_like(nothing)
    )


def _at_level(block: NewBlock, level: int) -> NewBlock:
    """Return the rows of a block, all of one level of the fit."""
    return replace(block, index=np.full(len(block.Z), level), new_levels=(), new_index=block.index)


def _rows(design: Design, frame: pd.DataFrame) -> NewDesign:
    """Evaluate the fixed part on a grid."""
    return new_design(design, frame, re_formula="~0", given_offset=False)


def _offset(design: Design, rows: NewDesign) -> np.ndarray:
    """Return the offset on a grid: the formula's there, and the mean over the fit of those given as arguments."""
    total = np.zeros(rows.nobs) if rows.offset is None else rows.offset
    if design.offset is None or all(design.given.get(name) is None for name in ("offset", "exposure")):
        return total
    formulas = _rows(design, design.frame).offset
    return total + float(np.mean(design.offset - (0.0 if formulas is None else formulas)))


def _within_own_range(
    frame: pd.DataFrame, axis: Axis, design: Design, index: np.ndarray, levels: tuple[str, ...]
) -> pd.DataFrame:
    """Keep the points of each level's line within the range of its data, and add its two ends."""
    place = axis.place(design.frame)
    ends = pd.Series(place).groupby(index).agg(["min", "max"]).reindex(range(len(levels)))
    parts = []
    for (_, line), (low, high) in zip(
        frame.groupby("level", sort=False), ends.itertuples(index=False), strict=True
    ):
        x = np.unique(np.concatenate([[low, high], line["x"][line["x"].between(low, high)]]))
        y = np.interp(x, line["x"], line["estimate"])
        parts.append(pd.DataFrame({"level": line["level"].iloc[0], "x": x, "estimate": y}))
    return pd.concat(parts, ignore_index=True)
