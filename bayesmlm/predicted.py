"""Predictions under the names of their rows: xarray draws, arrays, data frames. Raw numbers; nothing is rounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmlm.columns import as_frame, row_labels
from bayesmlm.design import Design
from bayesmlm.draws import SAMPLE
from bayesmlm.errors import BayesMLMError, DataError
from bayesmlm.families import variance
from bayesmlm.new_responses import new_trials
from bayesmlm.newdata import NewDesign, effect_columns, new_design, new_row_values, rows_of_fit
from bayesmlm.observations import augmented, has_response
from bayesmlm.outcome import Outcome, outcome_of
from bayesmlm.predicting import (
    Sample,
    Target,
    expected_pieces,
    linear_pieces,
    linear_predictor_draws,
    parameters_at,
    response_pieces,
)
from bayesmlm.tables import check_probability, mad_sd

POINTS = ("mean", "median")
RESIDUALS = ("response", "pearson")


@dataclass(frozen=True)
class Asked:
    """Which rows to predict, as the user said it; see `bayesmlm.fits.predictions`.

    Attributes
    ----------
    newdata
        A data frame; the rows of the fit if None.
    re_formula
        The group effects wanted.
    allow_new_levels : bool
        Whether groups may be new.
    offset, weights
        For new rows.
    marginal : bool
        Whether to average over the group effects that are new or not wanted.
    exposure, trials
        For new rows.
    responses : bool
        Whether responses are to be drawn, for which a binomial needs its numbers of trials.
    """

    newdata: Any = None
    re_formula: str | None = None
    allow_new_levels: bool = True
    offset: Any = None
    weights: Any = None
    marginal: bool = False
    exposure: Any = None
    trials: Any = None
    responses: bool = False


def target_of(design: Design, asked: Asked) -> Target:
    """Return the rows that are asked for.

    Raises
    ------
    FormulaError, DataError
        As `new_design`; for offset or weights without new data; for weights that are not positive; for an average over
        a part of a block.
    """
    if asked.newdata is None:
        given = (asked.offset, asked.weights, asked.exposure, asked.trials)
        if any(value is not None for value in given):
            raise DataError(
                "offset=, weights=, exposure= and trials= go with newdata=: the rows of the fit have their own"
            )
        labels = design.rows if design.labels is None else design.labels
        target = Target(rows_of_fit(design, asked.re_formula), labels, design.weights, trials=design.trials)
        frame = None
    else:
        frame = as_frame(asked.newdata)
        rows = new_design(
            design,
            frame,
            allow_new_levels=asked.allow_new_levels,
            re_formula=asked.re_formula,
            offset=asked.offset,
            exposure=asked.exposure,
        )
        weights, trials = _new_weights(design, frame, asked)
        target = Target(rows, row_labels(frame), weights, trials=trials)
    return averaged_target(design, target, frame) if asked.marginal else target


def _new_weights(
    design: Design, frame: pd.DataFrame, asked: Asked
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return weights, which matter to a Gaussian response, and numbers of trials, which a binomial one needs."""
    if design.family.support == "binomial":
        if not asked.responses:
            return None, None
        known = asked.weights is not None or isinstance(design.given.get("weights"), str)
        weights = new_row_values(design, "weights", frame, asked.weights) if known else None
        return None, new_trials(design, frame, asked.trials, weights)
    if asked.trials is not None:
        new_trials(design, frame, asked.trials)
    if design.family.name != "gaussian":
        return None, None
    weights = new_row_values(design, "weights", frame, asked.weights)
    if weights is not None and (weights <= 0).any():
        raise DataError("weights are positive numbers, one per row")
    return weights, None


# -- averages over groups ----------------------------------------------------------------------------


def averaged_target(design: Design, target: Target, frame: pd.DataFrame | None) -> Target:
    """Return the rows with an average over group effects that are not wanted, and over those of new levels.

    Raises
    ------
    DataError
        If a part of a block is wanted: what is left of it depends on that part.
    """
    over = _new_columns(design, target.rows)
    for position, block in enumerate(design.blocks):
        kept = {c for b in target.rows.blocks if b.position == position for c in b.columns}
        if kept and len(kept) < len(block.columns):
            left = ", ".join(c for i, c in enumerate(block.columns) if i not in kept)
            raise DataError(
                f"re_formula has a part of {block.bar} only, without {left}: marginal=True averages over whole blocks"
            )
        if not kept:
            over[position] = block.Z if frame is None else effect_columns(design, position, frame)
    return replace(target, averaged=tuple(over.items()))


def without_new_effects(design: Design, target: Target) -> Target:
    """Return the rows with new levels' effects averaged over instead of drawn."""
    over = dict(target.averaged) or _new_columns(design, target.rows)
    return replace(target, averaged=tuple(over.items()))


def _new_columns(design: Design, rows: NewDesign) -> dict[int, np.ndarray]:
    """Return by block the columns (n, p) of rows with a new level, 0 in the other rows."""
    out: dict[int, np.ndarray] = {}
    for block in rows.blocks:
        fresh = block.index < 0
        if fresh.any():
            shape = (rows.nobs, len(design.blocks[block.position].columns))
            out.setdefault(block.position, np.zeros(shape))[np.ix_(fresh, block.columns)] = block.Z[fresh]
    return out


# -- draws -------------------------------------------------------------------------------------------


def linear_array(sample: Sample, target: Target, seed: int) -> xr.DataArray:
    """Return draws of the linear predictor, (chain, draw, row); of all categories but the first (..., category)."""
    return _array(linear_pieces(sample, target, seed), sample, target, "linpred", sample.levels)


def expected_array(sample: Sample, target: Target, outcome: Outcome, seed: int) -> xr.DataArray:
    """Return draws of the expected response, (chain, draw, row), or of each category's probability, (..., category)."""
    parts = expected_pieces(sample, target, outcome, seed)
    return _array(parts, sample, target, outcome.name, outcome.levels)


def response_array(sample: Sample, target: Target, outcome: Outcome, seed: int) -> xr.DataArray:
    """Return draws of the response, (chain, draw, row); of categories their names."""
    drawn = _array(response_pieces(sample, target, outcome, seed), sample, target, outcome.name)
    if not outcome.levels:
        return drawn
    names = np.array([*outcome.levels, None], dtype=object)
    places = np.where(np.isnan(drawn.values), len(outcome.levels), drawn.values).astype(int)
    return drawn.copy(data=names[places])


def error_array(design: Design, sample: Sample, target: Target, asked: Asked, seed: int) -> xr.DataArray:
    """Return draws of y - y_rep, (chain, draw, row); of binomials numbers of successes."""
    outcome = outcome_of(design, back_transform=False)
    if outcome.levels:
        raise DataError(f"{design.response} is a category: pp_check() compares the share of each")
    y = design.y
    if asked.newdata is not None:
        frame = as_frame(asked.newdata)
        known = new_design(
            design,
            frame,
            allow_new_levels=True,
            needs_response=True,
            given_offset=False,
            weights=asked.weights,
        )
        assert known.y is not None
        y = known.y
    made = response_array(sample, target, outcome, seed)
    return made.copy(data=y - made.values)


Pieces = Iterable[tuple[slice, np.ndarray]]


def _array(
    parts: Pieces, sample: Sample, target: Target, name: str, levels: tuple[str, ...] = ()
) -> xr.DataArray:
    more = (len(levels),) if levels else ()
    values = np.empty((sample.size, target.rows.nobs, *more))
    for at, part in parts:
        values[:, at] = part
    shape = (len(sample.chain), len(sample.draw), target.rows.nobs, *more)
    coords = {"chain": sample.chain, "draw": sample.draw, "row": target.labels}
    if not levels:
        return xr.DataArray(values.reshape(shape), coords, (*SAMPLE, "row"), name)
    coords["category"] = np.array(levels, dtype=object)
    return xr.DataArray(values.reshape(shape), coords, (*SAMPLE, "row", "category"), name)


# -- summaries ---------------------------------------------------------------------------------------


def fitted_values(sample: Sample, rows: NewDesign) -> np.ndarray:
    """Return the posterior mean of the linear predictor, (n,); new levels have the effect 0, their mean."""
    return linear_predictor_draws(sample.mean(), rows, None)[0]


def expected_values(
    design: Design, sample: Sample, target: Target, outcome: Outcome, seed: int, point: str = "mean"
) -> np.ndarray:
    """Return posterior means or medians of the expected response, (n,).

    For means the effects of new levels are averaged over instead of drawn: two new groups with the same predictors
    have the same mean.
    """
    if checked_point(point) == "median":
        return _by_row(expected_pieces(sample, target, outcome, seed), target, _median)[0]
    if outcome.is_linear:
        return fitted_values(sample, target.rows)
    if not outcome.has_averages:
        return _by_row(expected_pieces(sample, target, outcome, seed), target, _mean)[0]
    averaged = without_new_effects(design, target)
    return _by_row(expected_pieces(sample, averaged, outcome, None), target, _mean)[0]


def expected_frame(
    design: Design,
    sample: Sample,
    target: Target,
    outcome: Outcome,
    seed: int,
    interval: float | None,
    point: str = "mean",
) -> pd.DataFrame:
    """Return estimate, std_error and, with an `interval`, conf_low and conf_high of the expected response by row."""
    columns = {"estimate": expected_values(design, sample, target, outcome, seed, point)}
    ends = [] if interval is None else _ends(check_probability(interval, "interval"))

    def spread(draws: np.ndarray) -> np.ndarray:
        one = draws.std(axis=0, ddof=1) if point == "mean" else mad_sd(draws)
        return np.concatenate([one[None], np.quantile(draws, ends, axis=0)]) if ends else one[None]

    values = _by_row(expected_pieces(sample, target, outcome, seed), target, spread)
    names = ["std_error", "conf_low", "conf_high"][: len(values)]
    columns |= dict(zip(names, values, strict=True))
    if not outcome.levels:
        return pd.DataFrame(columns, target.labels)
    index = pd.MultiIndex.from_product([target.labels, outcome.levels], names=["row", "category"])
    return pd.DataFrame({name: x.ravel() for name, x in columns.items()}, index)


def response_quantiles(
    sample: Sample, target: Target, outcome: Outcome, seed: int, prob: float
) -> pd.DataFrame:
    """Return central predictive intervals, one row per row: columns ``"5%"``, ``"95%"``.

    Raises
    ------
    DataError
        For categories, which have no intervals.
    """
    if outcome.levels:
        raise DataError(
            f"{outcome.name} is a category, and intervals are of numbers: posterior_epred() has each probability"
        )
    ends = _ends(check_probability(prob, "prob"))
    parts = response_pieces(sample, target, outcome, seed)
    values = _by_row(parts, target, lambda draws: np.quantile(draws, ends, axis=0))
    return pd.DataFrame(values.T, target.labels, [f"{100 * e:g}%" for e in ends])


def augment_posterior(design: Design, sample: Sample, newdata: Any, seed: int) -> pd.DataFrame:
    """Return the data with what the posterior says of each row, as broom.mixed's ``augment``.

    The columns of the formula (all columns of `newdata`), then ``fitted``, the posterior mean of X beta + offset + Z b;
    ``se_fit``, the standard deviation of its draws; ``resid`` = y - fitted; ``fixed``, the posterior mean of X beta +
    offset; for the rows of the fit also ``offset`` and ``weights`` if there are any. Where the data have a column of
    that name ours starts with a dot. Levels that the fit has not seen have the mean effect 0, and effects drawn from
    N(0, Sigma) in ``se_fit``; ``resid`` is left out where the new data have no response.

    Of generalised models ``fitted``, ``se_fit`` and ``fixed`` are on the scale of the link; ``mu`` is the posterior
    mean of the expected response, of binomials per trial, and ``resid`` = y - mu, of binomials the share of successes
    less mu. Categories have neither of the two.
    """
    frame = design.frame if newdata is None else as_frame(newdata)
    if newdata is None:
        rows = replace(rows_of_fit(design), y=design.y, trials=design.trials)
    else:
        with_response = has_response(design, frame)
        rows = new_design(design, frame, allow_new_levels=True, needs_response=with_response)
    target = Target(rows, row_labels(frame))
    fitted = fitted_values(sample, rows)
    (se_fit,) = _by_row(
        linear_pieces(sample, target, seed), target, lambda eta: eta.std(axis=0, ddof=1)[None]
    )
    ours = {"fitted": fitted, "se_fit": se_fit}
    if design.family.is_gaussian_identity:
        ours |= {} if rows.y is None else {"resid": rows.y - fitted}
    else:
        ours |= _on_response_scale(design, sample, target, seed)
    ours["fixed"] = fitted_values(sample, NewDesign(rows.X, (), rows.offset))
    if newdata is None:
        ours |= {} if design.offset is None else {"offset": design.offset}
        ours |= {} if design.weights is None else {"weights": design.weights}
    return augmented(frame, ours)


def _on_response_scale(design: Design, sample: Sample, target: Target, seed: int) -> dict[str, np.ndarray]:
    outcome, rows = outcome_of(design, back_transform=False), target.rows
    if outcome.levels:
        return {}
    mu = expected_values(design, sample, target, outcome, seed)
    return {"mu": mu} | ({} if rows.y is None else {"resid": shares_of_trials(rows.y, rows.trials) - mu})


def shares_of_trials(y: np.ndarray, trials: np.ndarray | None) -> np.ndarray:
    """Return what the expected response is about: the share of successes of a binomial, y itself of others."""
    return y if trials is None else y / trials


def residual_values(design: Design, sample: Sample, kind: str) -> np.ndarray:
    """Return residuals of the rows of a generalised model, (n,).

    ``"response"``: y - E mu, E being the posterior mean and y of binomials the share of successes. ``"pearson"``: these
    over sqrt(E V(y | mu)), the root of the posterior mean of the response's variance given its expectation, times the
    root of a prior weight.

    Raises
    ------
    BayesMLMError
        For another `kind`, or a response of categories, which has no residuals.
    """
    if kind not in RESIDUALS:
        raise BayesMLMError(f"type = {kind!r}: choose from {', '.join(map(repr, RESIDUALS))}")
    outcome = outcome_of(design, back_transform=False)
    if outcome.levels:
        raise BayesMLMError(f"{design.response} is a category and has no residuals")
    target = target_of(design, Asked())
    mean_of, variance_of = np.empty(design.nobs), np.empty(design.nobs)
    for at, eta in linear_pieces(sample, target, 0):
        parameters, trials = parameters_at(sample, target.rows, 0, at), target.n_trials(at)
        mean_of[at] = outcome.mean(eta, parameters, None).mean(axis=0)
        if kind == "pearson":
            variance_of[at] = variance(design.family, eta, parameters, trials).mean(axis=0)
    residual = shares_of_trials(design.y, design.trials) - mean_of
    if kind == "response":
        return residual
    root = 1.0 if design.weights is None else np.sqrt(design.weights)
    return residual / np.sqrt(variance_of) * root


def checked_point(point: str) -> str:
    """Return `point` if it is one."""
    if point not in POINTS:
        raise BayesMLMError(f"point = {point!r}: choose 'mean' or 'median'")
    return point


def _ends(prob: float) -> list[float]:
    return [(1 - prob) / 2, (1 + prob) / 2]


def _mean(draws: np.ndarray) -> np.ndarray:
    return draws.mean(axis=0)[None]


def _median(draws: np.ndarray) -> np.ndarray:
    return np.median(draws, axis=0)[None]


def _by_row(parts: Pieces, target: Target, summary: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return summaries (q, n) of the draws (draw, rows) of each piece."""
    found = [summary(draws) for _, draws in parts]
    return np.hstack(found) if found else np.empty((1, 0))
