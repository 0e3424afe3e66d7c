"""Tables of group coefficients under no, partial and complete pooling: what the shrinkage pictures draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from bayesmlm.columns import Factor
from bayesmlm.design import Block, Design
from bayesmlm.draws import SAMPLE, Posterior, kept_effects
from bayesmlm.errors import BayesMLMError, DataError, did_you_mean
from bayesmlm.evaluate import Evaluator
from bayesmlm.reference.pooling import complete_pooling, no_pooling
from bayesmlm.tables import check_probability


def one_factor(design: Design, group: str | None) -> Design:
    """Return the design with one grouping factor only, all its blocks side by side in one.

    Parameters
    ----------
    design
        The whole design.
    group
        A grouping factor; the first one, with most levels, if None.

    Raises
    ------
    DataError
        If the model has no such grouping factor.
    """
    groups = list(design.ngroups)
    if not groups:
        raise DataError("the formula has no random part, so there are no groups")
    if group is not None and group not in groups:
        hint = did_you_mean(group, groups) or f" It has: {', '.join(groups)}."
        raise DataError(f"the model has no grouping factor {group!r}.{hint}")
    mine = [b for b in design.blocks if b.group == (groups[0] if group is None else group)]
    columns: dict[str, np.ndarray] = {}
    for block in mine:
        columns |= dict(zip(block.columns, block.Z.T, strict=True))
    merged = replace(
        mine[0],
        label=mine[0].group,
        columns=tuple(columns),
        Z=np.column_stack(list(columns.values())),
        assign=(),
    )
    return replace(design, blocks=(merged,))


def effect_draws(posterior: Posterior, block: Block) -> np.ndarray:
    """Draws of a factor's effects, all its blocks added up: (chain x draw, level, column)."""
    out = np.zeros((posterior.n_draws, len(block.levels), len(block.columns)))
    for draws in posterior.blocks:
        if draws.group == block.group:
            b = kept_effects(block, draws).reshape(posterior.n_draws, *draws.b.shape[2:])
            for j, column in enumerate(draws.columns):
                out[..., block.columns.index(column)] += b[..., j]
    return out


def coef_draws(posterior: Posterior, block: Block) -> np.ndarray:
    """Draws of a factor's total coefficients, fixed plus group effects: (chain x draw, level, column)."""
    out = effect_draws(posterior, block)
    fixed = posterior.fixef["coefficient"].values.tolist()
    draws = posterior.fixef.values.reshape(posterior.n_draws, len(fixed))
    for j, column in enumerate(block.columns):
        if column in fixed:
            out[..., j] += draws[:, fixed.index(column), None]
    return out


def check_least_squares(design: Design) -> None:
    """Raise unless complete and no pooling are least squares.

    Raises
    ------
    BayesMLMError
        For a generalised model.
    """
    family = design.family
    if not family.is_gaussian_identity:
        raise BayesMLMError(
            f"complete and no pooling are by least squares, for Gaussian models with the identity link: not for "
            f"{family.spelled} [{family.spelled_link}], where a level of zeros only has no estimate of its own. "
            "plot_groups() draws the levels' lines, plot_caterpillar() their effects"
        )


def shrinkage_table(
    design: Design, posterior: Posterior, group: str | None = None, prob: float = 0.9
) -> pd.DataFrame:
    """Compare each level's own least-squares coefficients with its partially pooled ones.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    group
        Grouping factor; None is the one with most levels.
    prob
        Probability of the posterior interval.

    Returns
    -------
    DataFrame
        One row per level and column: group, level, term, n, no_pooling and no_pooling_se (NaN where the
        rows of the level do not determine it), partial (posterior median of fixed plus group effect),
        conf_low, conf_high, complete (least squares without groups; NaN for a column without fixed effect).
    """
    prob = check_probability(prob, "prob")
    check_least_squares(design)
    single = one_factor(design, group)
    (block,) = single.blocks
    alone, pooled = no_pooling(single, block.label), complete_pooling(design)
    together = dict(zip(pooled.coefficients, pooled.estimate, strict=True))
    ends = [(1 - prob) / 2, 0.5, (1 + prob) / 2]
    low, middle, high = np.quantile(coef_draws(posterior, block), ends, axis=0)
    levels, p = len(block.levels), len(block.columns)
    return pd.DataFrame(
        {
            "group": block.group,
            "level": np.repeat(np.array(block.levels, dtype=object), p),
            "term": list(block.columns) * levels,
            "n": np.repeat(alone.n, p),
            "no_pooling": alone.estimate.ravel(),
            "no_pooling_se": alone.se.ravel(),
            "partial": middle.ravel(),
            "conf_low": low.ravel(),
            "conf_high": high.ravel(),
            "complete": [together.get(c, np.nan) for c in block.columns] * levels,
        }
    )


def caterpillar_table(
    design: Design,
    posterior: Posterior,
    blups: Mapping[str, pd.DataFrame],
    group: str | None = None,
    prob: float = 0.9,
) -> pd.DataFrame:
    """Tabulate the effects of a grouping factor beside the reference fit's BLUPs.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    blups
        Conditional modes by grouping factor, levels x columns.
    group
        Grouping factor; None is the one with most levels.
    prob
        Probability of the posterior interval.

    Returns
    -------
    DataFrame
        One row per level and column: group, level, term, estimate (posterior median), conf_low,
        conf_high, reference (BLUP; NaN where the reference fit has no such level or column).
    """
    prob = check_probability(prob, "prob")
    (block,) = one_factor(design, group).blocks
    ends = [(1 - prob) / 2, 0.5, (1 + prob) / 2]
    low, middle, high = np.quantile(effect_draws(posterior, block), ends, axis=0)
    theirs = blups.get(block.group, pd.DataFrame()).reindex(
        index=list(block.levels), columns=list(block.columns)
    )
    levels, p = middle.shape
    return pd.DataFrame(
        {
            "group": block.group,
            "level": np.repeat(np.array(block.levels, dtype=object), p),
            "term": list(block.columns) * levels,
            "estimate": middle.ravel(),
            "conf_low": low.ravel(),
            "conf_high": high.ravel(),
            "reference": theirs.to_numpy(dtype=float).ravel(),
        }
    )


# -- lines of y on x per level ---------------------------------------------------------------------


def slope_column(design: Design, block: Block) -> str:
    """Return the one predictor whose lines can be drawn: the block's slope, else the only fixed slope.

    Raises
    ------
    DataError
        If the block has no intercept, or there is no single such predictor.
    """
    slopes = [c for c in block.columns if c != "(Intercept)"]
    if "(Intercept)" not in block.columns or len(slopes) > 1:
        raise DataError(
            f"lines need an intercept and one slope per level; {block.bar} has {', '.join(block.columns)}"
        )
    if slopes:
        return slopes[0]
    fixed = [c for c in design.coefficients if c != "(Intercept)"]
    if len(fixed) != 1:
        raise DataError(
            f"lines of the response need one predictor; the model has {', '.join(fixed) or 'none'}"
        )
    return fixed[0]


def pooling_lines(design: Design, posterior: Posterior, group: str | None = None) -> pd.DataFrame:
    """Lines of the response on one predictor, per level, under complete, no and partial pooling.

    Other fixed predictors are held at their means.

    Returns
    -------
    DataFrame
        level, pooling ("complete", "no", "partial"), intercept, slope; NaN where a level's rows do not
        determine its line.
    """
    check_least_squares(design)
    single = one_factor(design, group)
    (block,) = single.blocks
    slope = slope_column(design, block)
    means = dict(zip(design.coefficients, design.X.mean(axis=0), strict=True))
    alone, pooled = no_pooling(single, block.label), complete_pooling(design)
    complete = _line(dict(zip(pooled.coefficients, pooled.estimate, strict=True)), means, slope)
    fixed = posterior.fixef.median(SAMPLE)
    together = dict(zip(design.coefficients, fixed.values, strict=True))
    partial = np.median(coef_draws(posterior, block), axis=0)
    common = dict(zip(alone.common.coefficients, alone.common.estimate, strict=True))
    rows = []
    for j, level in enumerate(block.levels):
        own = common | dict(zip(block.columns, alone.estimate[j], strict=True))
        shared = together | dict(zip(block.columns, partial[j], strict=True))
        rows.append((level, "complete", *complete))
        rows.append((level, "no", *_line(own, means, slope)))
        rows.append((level, "partial", *_line(shared, means, slope)))
    return pd.DataFrame(rows, columns=["level", "pooling", "intercept", "slope"])


def _line(coefficients: dict[str, float], means: dict[str, float], slope: str) -> tuple[float, float]:
    others = [c for c in coefficients if c not in {"(Intercept)", slope}]
    rest = sum(coefficients[c] * means.get(c, 0.0) for c in others)
    return coefficients.get("(Intercept)", 0.0) + rest, coefficients.get(slope, np.nan)


def pooling_points(design: Design, group: str | None = None) -> pd.DataFrame:
    """The data behind `pooling_lines`: level, x, y."""
    block = one_factor(design, group).blocks[0]
    slope = slope_column(design, block)
    varies = slope in block.columns
    x = block.Z[:, block.columns.index(slope)] if varies else design.X[:, design.coefficients.index(slope)]
    return pd.DataFrame({"level": np.array(block.levels, dtype=object)[block.index], "x": x, "y": design.y})


def two_level_ticks(
    design: Design, group: str | None = None
) -> tuple[str, tuple[list[float], list[str]]] | None:
    """Name and ticks of a two-level factor whose indicator is the predictor: ("female", ([0, 1], ["M", "F"]))."""
    slope = slope_column(design, one_factor(design, group).blocks[0])
    evaluator = Evaluator(design.frame, design.formula.text)
    for term in design.formula.fixed.terms:
        value = evaluator.value(term.factors[0])
        if len(term.factors) == 1 and isinstance(value, Factor) and slope == f"{term}{value.levels[-1]}":
            return (str(term), ([0.0, 1.0], list(value.levels))) if len(value.levels) == 2 else None
    return None


def spread_levels(design: Design, group: str | None = None, count: int = 8) -> list[str]:
    """Choose levels of evenly spread sizes, smallest to largest, as the tutorial's panels do."""
    block = one_factor(design, group).blocks[0]
    sizes = np.bincount(block.index, minlength=len(block.levels))
    order = np.argsort(sizes, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    return [block.levels[i] for i in chosen]


def check_levels(design: Design, group: str | None, levels: Iterable[str]) -> list[str]:
    """Return the levels asked for as text, or raise a DataError that names an unknown one."""
    block = one_factor(design, group).blocks[0]
    chosen = [str(level) for level in levels]
    for level in chosen:
        if level not in block.levels:
            raise DataError(f"{block.group} has no level {level!r}.{did_you_mean(level, block.levels)}")
    return chosen
