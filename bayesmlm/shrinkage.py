"""Tables of group coefficients under no, partial and complete pooling: what the shrinkage pictures draw."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from bayesmlm.columns import Factor
from bayesmlm.design import Block, Design
from bayesmlm.draws import SAMPLE, Posterior
from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.evaluate import Evaluator
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.pooling import complete_pooling, no_pooling
from bayesmlm.tables import check_probability, coef_draws


def find_block(design: Design, label: str | None) -> Block:
    """Return a block by label; the first one, with most levels, if `label` is None.

    Raises
    ------
    DataError
        If there is no block of that label.
    """
    labels = [b.label for b in design.blocks]
    if label is not None and label not in labels:
        hint = did_you_mean(label, labels) or f" It has: {', '.join(labels)}."
        raise DataError(f"the model has no block {label!r}.{hint}")
    return design.blocks[0 if label is None else labels.index(label)]


def shrinkage_table(
    design: Design, posterior: Posterior, label: str | None = None, prob: float = 0.9
) -> pd.DataFrame:
    """Compare each level's own least-squares coefficients with its partially pooled ones.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    label
        Block label; None is the first block.
    prob
        Probability of the posterior interval.

    Returns
    -------
    DataFrame
        One row per level and column: group, level, term, n, no_pooling and no_pooling_se (NaN where the
        rows of the level do not determine it), partial (posterior median of fixed plus group effect),
        conf_low, conf_high, complete (least squares without groups; NaN for a column without fixed effect).
    """
    block = find_block(design, label)
    prob = check_probability(prob, "prob")
    alone, pooled = no_pooling(design, block.label), complete_pooling(design)
    together = dict(zip(pooled.coefficients, pooled.estimate, strict=True))
    draws = coef_draws(posterior, block.label).stack(sample=SAMPLE, create_index=False)
    low, middle, high = np.quantile(draws.values, [(1 - prob) / 2, 0.5, (1 + prob) / 2], axis=-1)
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
    posterior: Posterior, estimate: LmerEstimate | None, label: str, prob: float = 0.9
) -> pd.DataFrame:
    """Tabulate the group effects of a block beside the reference fit's BLUPs.

    Returns
    -------
    DataFrame
        One row per level and column: group, level, term, estimate (posterior median), conf_low,
        conf_high, reference (BLUP, NaN without a reference fit).
    """
    prob = check_probability(prob, "prob")
    block = posterior.block(label)
    draws = block.b.stack(sample=SAMPLE, create_index=False).values
    low, middle, high = np.quantile(draws, [(1 - prob) / 2, 0.5, (1 + prob) / 2], axis=-1)
    blups = np.full(middle.shape, np.nan)
    if estimate is not None:
        blups = next(r.mode for r in estimate.ranef if r.label == label)
    levels, p = middle.shape
    return pd.DataFrame(
        {
            "group": block.group,
            "level": np.repeat(np.array(block.levels, dtype=object), p),
            "term": list(block.columns) * levels,
            "estimate": middle.ravel(),
            "conf_low": low.ravel(),
            "conf_high": high.ravel(),
            "reference": blups.ravel(),
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


def pooling_lines(design: Design, posterior: Posterior, label: str | None = None) -> pd.DataFrame:
    """Lines of the response on one predictor, per level, under complete, no and partial pooling.

    Other fixed predictors are held at their means.

    Returns
    -------
    DataFrame
        level, pooling ("complete", "no", "partial"), intercept, slope; NaN where a level's rows do not
        determine its line.
    """
    block = find_block(design, label)
    slope = slope_column(design, block)
    means = dict(zip(design.coefficients, design.X.mean(axis=0), strict=True))
    alone, pooled = no_pooling(design, block.label), complete_pooling(design)
    complete = _line(dict(zip(pooled.coefficients, pooled.estimate, strict=True)), means, slope)
    fixed = posterior.fixef.median(SAMPLE)
    together = dict(zip(design.coefficients, fixed.values, strict=True))
    partial = coef_draws(posterior, block.label).median(SAMPLE).values
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


def pooling_points(design: Design, label: str | None = None) -> pd.DataFrame:
    """The data behind `pooling_lines`: level, x, y."""
    block = find_block(design, label)
    slope = slope_column(design, block)
    varies = slope in block.columns
    x = block.Z[:, block.columns.index(slope)] if varies else design.X[:, design.coefficients.index(slope)]
    return pd.DataFrame({"level": np.array(block.levels, dtype=object)[block.index], "x": x, "y": design.y})


def two_level_ticks(
    design: Design, label: str | None = None
) -> tuple[str, tuple[list[float], list[str]]] | None:
    """Name and ticks of a two-level factor whose indicator is the predictor: ("female", ([0, 1], ["M", "F"]))."""
    slope = slope_column(design, find_block(design, label))
    evaluator = Evaluator(design.frame, design.formula.text)
    for term in design.formula.fixed.terms:
        value = evaluator.value(term.factors[0])
        if len(term.factors) == 1 and isinstance(value, Factor) and slope == f"{term}{value.levels[-1]}":
            return (str(term), ([0.0, 1.0], list(value.levels))) if len(value.levels) == 2 else None
    return None


def spread_levels(design: Design, label: str | None = None, count: int = 8) -> list[str]:
    """Choose levels of evenly spread sizes, smallest to largest, as the tutorial's panels do."""
    block = find_block(design, label)
    sizes = np.bincount(block.index, minlength=len(block.levels))
    order = np.argsort(sizes, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    return [block.levels[i] for i in chosen]


def check_levels(design: Design, label: str | None, levels: Iterable[str]) -> list[str]:
    """Return the levels asked for as text, or raise a DataError that names an unknown one."""
    block = find_block(design, label)
    chosen = [str(level) for level in levels]
    for level in chosen:
        if level not in block.levels:
            raise DataError(f"{block.group} has no level {level!r}.{did_you_mean(level, block.levels)}")
    return chosen
