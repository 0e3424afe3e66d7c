"""The covariance of two group effects as ellipses, and the effects as points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.covariance import VarCorr
from bayesmlm.design import Design
from bayesmlm.draws import SAMPLE, Posterior, kept_effects
from bayesmlm.errors import DataError, did_you_mean

ELLIPSES = ["kind", "prob", "draw", "x", "y"]


@dataclass(frozen=True)
class Pair:
    """Two columns of a block.

    Attributes
    ----------
    position : int
        Of the block in `Design.blocks`.
    columns : tuple of int
        Positions of the two columns, x and y.
    group : str
        The block's label.
    names : tuple of str
        R's names of the two columns.
    """

    position: int
    columns: tuple[int, int]
    group: str
    names: tuple[str, str]


def choose_pair(design: Design, group: str | None = None, columns: tuple[str, str] | None = None) -> Pair:
    """Return the two correlated columns to draw: of the first block that has two, the first two, unless told.

    Raises
    ------
    DataError
        If there is no such block or column.
    """
    wide = [i for i, b in enumerate(design.blocks) if len(b.columns) > 1]
    names = [n for i in wide for n in (design.blocks[i].label, design.blocks[i].group)]
    if not wide:
        raise DataError("no block has two correlated effects: an ellipse needs a bar such as (1 + x | g)")
    if group is not None and group not in names:
        hint = did_you_mean(group, names) or f" There are: {', '.join(dict.fromkeys(names))}."
        raise DataError(f"no block with two correlated effects on {group!r}.{hint}")
    at = next(i for i in wide if group in (None, design.blocks[i].label, design.blocks[i].group))
    block = design.blocks[at]
    chosen = block.columns[:2] if columns is None else tuple(columns)
    for name in chosen:
        if name not in block.columns:
            raise DataError(f"{block.bar} has no effect {name!r}.{did_you_mean(name, block.columns)}")
    if len(set(chosen)) != 2:
        raise DataError(f"columns = {columns!r}: name two different ones of {', '.join(block.columns)}")
    first, second = (block.columns.index(name) for name in chosen)
    return Pair(at, (first, second), block.label, (chosen[0], chosen[1]))


def contour(cov: np.ndarray, prob: float, n_points: int = 100) -> np.ndarray:
    """Return the contour of N(0, cov) that holds `prob` of the distribution, shape (n_points, 2).

    x' cov^-1 x = -2 log(1 - prob), the quantile of chi-square with 2 degrees of freedom; a line if cov is singular.
    """
    values, vectors = np.linalg.eigh(cov)
    angle = np.linspace(0, 2 * np.pi, n_points)
    circle = np.sqrt(-2 * np.log1p(-prob)) * np.column_stack([np.cos(angle), np.sin(angle)])
    return (circle * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def ellipse_table(
    pair: Pair,
    posterior: Posterior,
    varcorr: VarCorr | None = None,
    *,
    probs: tuple[float, ...] = (0.5, 0.9),
    n_draws: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the contours of N(0, Sigma) of two group effects.

    Parameters
    ----------
    pair
        Which effects.
    posterior
        The draws. The posterior's Sigma has the medians of the draws of its standard deviations and correlation.
    varcorr
        The reference fit's variance components; none if None.
    probs
        How much of the distribution is within each contour.
    n_draws
        So many draws of Sigma, chosen by `seed`, have a contour each, at the greatest of `probs`.
    seed
        Of that choice.

    Returns
    -------
    DataFrame
        kind ("draw", "posterior", "reference"), prob, draw (its number; -1 for others), x, y: 100 points a contour.
    """
    block = posterior.blocks[pair.position]
    i, j = pair.columns
    sd, r = block.sd.median(SAMPLE).values, float(block.corr[..., i, j].median())
    parts = []
    cov = block.cov.values.reshape(-1, *block.cov.shape[2:])[:, [i, j]][:, :, [i, j]]
    chosen = np.random.default_rng(seed).choice(len(cov), min(n_draws, len(cov)), replace=False)
    for k in np.sort(chosen):
        parts.append(_contour_rows("draw", max(probs), int(k), cov[k]))
    centre = np.array([[sd[i] ** 2, r * sd[i] * sd[j]], [r * sd[i] * sd[j], sd[j] ** 2]])
    parts += [_contour_rows("posterior", p, -1, centre) for p in probs]
    if varcorr is not None:
        theirs = varcorr.blocks[pair.position].cov[np.ix_([i, j], [i, j])]
        parts += [_contour_rows("reference", p, -1, theirs) for p in probs]
    return pd.concat(parts, ignore_index=True)


def _contour_rows(kind: str, prob: float, draw: int, cov: np.ndarray) -> pd.DataFrame:
    x, y = contour(cov, prob).T
    return pd.DataFrame({"kind": kind, "prob": prob, "draw": draw, "x": x, "y": y})[ELLIPSES]


def effect_points(design: Design, posterior: Posterior, pair: Pair) -> pd.DataFrame:
    """Return the posterior medians of both effects of every level: level, x, y."""
    block = design.blocks[pair.position]
    b = np.median(kept_effects(block, posterior.blocks[pair.position]), axis=(0, 1))
    i, j = pair.columns
    return pd.DataFrame({"level": list(block.levels), "x": b[:, i], "y": b[:, j]})
