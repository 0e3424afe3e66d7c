"""How far a predictor would have to move for the response to move as wanted: a ratio, draw by draw.

Along a predictor x the linear predictor of a row is eta(x) = c + s h(x) (`bayesmlm.slopes`). The wanted change of eta
over s is the change of h(x).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from bayesmlm.columns import as_frame, column_value
from bayesmlm.design import Design
from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.newdata import NewDesign
from bayesmlm.outcome import Gaussian, Outcome, Parameters
from bayesmlm.predicted import Asked, target_of
from bayesmlm.predicting import Sample, Target, linear_predictor_draws, pieces
from bayesmlm.slopes import CURVES, check_predictor, slope_rows, straight_in
from bayesmlm.tables import check_probability

ENDLESS = 1e200


@dataclass(frozen=True)
class Wanted:
    """What is wanted of the expected response: ``kind`` "by", "to", "to mean" or "percent", and its amount."""

    kind: str
    amount: float

    @classmethod
    def of(cls, outcome_change: Any, to: Any, percent: Any) -> Self:
        """Return what is wanted.

        Raises
        ------
        DataError
            If there is not just one of the three, or it is not a finite number.
        """
        given = {"outcome_change": outcome_change, "to": to, "percent": percent}
        asked = {k: v for k, v in given.items() if v is not None}
        if len(asked) != 1:
            names = " and ".join(asked) or "nothing"
            raise DataError(f"say what is wanted by one of outcome_change=, to=, percent=; given: {names}")
        ((name, value),) = asked.items()
        if name == "to" and value == "mean":
            return cls("to mean", np.nan)
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not number or not np.isfinite(value):
            also = " or 'mean'" if name == "to" else ""
            raise DataError(f"{name} = {value!r}: give a number{also}")
        return cls({"outcome_change": "by", "to": "to", "percent": "percent"}[name], float(value))

    def target(self, current: np.ndarray, mean: float) -> np.ndarray:
        """Return the expected response that is wanted, in the shape of `current`, which is the one there is."""
        match self.kind:
            case "by":
                return current + self.amount
            case "percent":
                return current * (1 + self.amount / 100)
        return np.full_like(current, mean if self.kind == "to mean" else self.amount)


def required_changes(
    design: Design,
    sample: Sample,
    asked: Asked,
    outcome: Outcome,
    predictor: str,
    wanted: Wanted,
    group: str | None,
    prob: float,
    seed: int,
) -> pd.DataFrame:
    """Return one row per unit; see `bayesmlm.fits.predictions.Predictions.required_change`."""
    prob = check_probability(prob, "prob")
    if outcome.levels:
        raise DataError(
            f"{design.response} is a category: no single number is to change; see posterior_epred()"
        )
    check_predictor(design, predictor)
    target = target_of(design, asked)
    frame = design.frame if asked.newdata is None else as_frame(asked.newdata)
    curve = straight_in(design, predictor)
    x = np.asarray(column_value(frame[predictor]), dtype=float)
    slopes = slope_rows(design, asked, frame, predictor, curve, x)
    units = Units.of_rows(target) if group is None else Units.of_groups(design, target, group)
    with np.errstate(invalid="ignore", divide="ignore"):
        h = units.average(CURVES[curve][0](x))
    mean = _observed_mean(design, outcome)
    parts = [
        _summary(eta, slope, h[at], sample.parameters, weight, CURVES[curve][1], outcome, wanted, mean, prob)
        for at, eta, slope, weight in _unit_draws(sample, target, slopes, units, seed)
    ]
    return _frame(design, predictor, units, parts)


def _observed_mean(design: Design, outcome: Outcome) -> float:
    """Mean of the responses of the fit on their own scale; of binomials the share of successes."""
    if isinstance(outcome, Gaussian):
        return float(outcome.scale.inverse(design.y).mean())
    return float(design.y.mean() if design.trials is None else design.y.sum() / design.trials.sum())


def _frame(design: Design, predictor: str, units: Units, parts: list[dict[str, np.ndarray]]) -> pd.DataFrame:
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    there = columns["is_known"]
    if there.any() and not columns["is_possible"][there].any():
        raise DataError(
            f"the expected response cannot become {np.median(columns['target'][there]):g}: {design.response} has no "
            "such mean"
        )
    known = design.frame[predictor]
    value = columns["required_value"]
    columns["within_range"] = (value >= known.min()) & (value <= known.max())
    order = [
        *("current_value", "current_prediction", "target", "required_change", "conf_low", "conf_high"),
        *("required_percent", "percent_low", "percent_high", "required_value", "within_range"),
        *("p_direction", "crosses_zero"),
    ]
    return pd.DataFrame({"unit": units.names, **{name: columns[name] for name in order}})


def _summary(
    eta: np.ndarray,
    slope: np.ndarray,
    h: np.ndarray,
    parameters: Parameters,
    weight: np.ndarray | None,
    back: Callable[[np.ndarray], np.ndarray],
    outcome: Outcome,
    wanted: Wanted,
    mean: float,
    prob: float,
) -> dict[str, np.ndarray]:
    """Summarise the draws (draw, unit) of one piece of the units."""
    ends = [0.5, (1 - prob) / 2, (1 + prob) / 2]
    current = outcome.mean(eta, parameters, weight)
    target = wanted.target(current, mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        there = outcome.location(target, parameters, weight)
        step = np.where(slope == 0, np.nan, (there - eta) / slope)
        # draws in which no change is enough count as the largest ones
        moved = np.quantile(np.clip(step, -ENDLESS, ENDLESS), ends, axis=0)
        moved = np.where(np.abs(moved) > np.sqrt(ENDLESS), np.sign(moved) * np.inf, moved)
        # h is monotone, so that quantiles of x are those of h(x) carried back
        value, low, high = back(h + moved)
        now = back(h)
        percent = [np.where(now > 0, 100 * (v / now - 1), np.nan) for v in (value, low, high)]
        slope_low, slope_high = np.quantile(slope, ends[1:], axis=0)
    agree = (np.sign(step) == np.sign(moved[0])).mean(axis=0)
    out = {"current_value": now, "current_prediction": np.median(current, axis=0)}
    out |= {
        "is_known": np.isfinite(current).all(axis=0),
        "is_possible": np.isfinite(np.median(there, axis=0)),
    }
    out |= {"target": np.median(target, axis=0)}
    out |= {"required_change": value - now, "conf_low": low - now, "conf_high": high - now}
    out |= dict(zip(("required_percent", "percent_low", "percent_high"), percent, strict=True))
    out |= {"required_value": value, "p_direction": np.where(np.isnan(moved[0]), np.nan, agree)}
    return out | {"crosses_zero": (slope_low <= 0) & (slope_high >= 0)}


# -- units -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Units:
    """What has one row in the result: each row (`weights` is None), or the rows of each group together.

    Attributes
    ----------
    names : ndarray, shape (U,)
        Labels of the rows or levels.
    weights : csr_matrix, shape (U, n), or None
        1 / (rows of the unit) where the row belongs to the unit.
    """

    names: np.ndarray
    weights: csr_matrix | None

    @classmethod
    def of_rows(cls, target: Target) -> Self:
        """Return one unit per row."""
        return cls(target.labels, None)

    @classmethod
    def of_groups(cls, design: Design, target: Target, group: str) -> Self:
        """Return one unit per level of a grouping factor that has rows.

        Raises
        ------
        DataError
            If there is no such factor among the group effects wanted.
        """
        mine = [b for b in target.rows.blocks if design.blocks[b.position].group == group]
        if not mine:
            known = list(dict.fromkeys(design.blocks[b.position].group for b in target.rows.blocks))
            shown = f" There are: {', '.join(known)}." if known else " re_formula leaves out all."
            raise DataError(f"no grouping factor {group!r}.{did_you_mean(group, known) or shown}")
        block = mine[0]
        levels = design.blocks[block.position].levels
        names = np.array([*levels, *block.new_levels], dtype=object)
        code = np.where(block.index < 0, len(levels) + block.new_index, block.index)
        present, unit, count = np.unique(code, return_inverse=True, return_counts=True)
        weights = csr_matrix((1 / count[unit], (unit, np.arange(len(unit)))), (len(present), len(unit)))
        return cls(names[present], weights)

    def average(self, values: np.ndarray) -> np.ndarray:
        """Return averages over each unit's rows, (..., n) -> (..., U)."""
        return values if self.weights is None else (self.weights @ values.T).T


def _unit_draws(
    sample: Sample, target: Target, slopes: NewDesign, units: Units, seed: int
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Yield draws of each unit's linear predictor and slope, and its prior weight, piece by piece."""
    per_row = units.weights is None
    eta, slope = (np.zeros((sample.size, 0 if per_row else len(units.names))) for _ in range(2))
    for at in pieces(target.rows.nobs, sample.size):
        one = linear_predictor_draws(sample, target.rows, seed, at)
        two = linear_predictor_draws(sample, slopes, seed, at)
        if per_row:
            yield at, one, two, target.weight(at)
        else:
            assert units.weights is not None
            part = units.weights[:, at].T
            eta, slope = eta + one @ part, slope + two @ part
    if not per_row:
        inverse = None if target.weights is None else 1 / units.average(1 / target.weights)
        yield slice(None), eta, slope, inverse
