"""What a reference fit says about each row: predictions, simulated responses, broom.mixed's augment and glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.columns import as_frame
from bayesmlm.design import Design
from bayesmlm.errors import DataError
from bayesmlm.newdata import NewDesign, new_design, new_row_values, rows_of_fit
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.predict import linear_predictor, simulate_new, simulate_response
from bayesmlm.syntax import names_in
from bayesmlm.wanted import wanted_effects


def predict_reference(
    design: Design,
    estimate: LmerEstimate,
    newdata: Any = None,
    re_formula: str | None = None,
    *,
    allow_new_levels: bool = False,
    offset: Any = None,
) -> np.ndarray:
    """Return X beta + offset + Z b-hat for the rows of the fit, or for new ones; see `new_design`.

    Raises
    ------
    FormulaError, DataError
        As `new_design`; and for an `offset` without new data.
    """
    if newdata is not None:
        rows = new_design(
            design, newdata, allow_new_levels=allow_new_levels, re_formula=re_formula, offset=offset
        )
        return linear_predictor(estimate, rows)
    if offset is not None:
        raise DataError(
            "offset= goes with newdata=: the rows of the fit have the offset they were fitted with"
        )
    if re_formula is None:
        return estimate.fitted
    return linear_predictor(estimate, rows_of_fit(design, re_formula))


def simulate_reference(
    design: Design,
    estimate: LmerEstimate,
    nsim: int = 1,
    seed: int | np.random.Generator | None = None,
    *,
    re_formula: str | None = "~0",
    newdata: Any = None,
    allow_new_levels: bool = True,
    offset: Any = None,
    weights: Any = None,
) -> pd.DataFrame:
    """Draw `nsim` responses, as lme4's ``simulate``: columns sim_1, sim_2, ...

    The blocks in `re_formula` keep their conditional modes; the others get new effects for every level, in every
    simulation. Residuals have the variance sigma^2 / weight.

    Raises
    ------
    FormulaError, DataError
        As `new_design`; for an `nsim` that is not a positive whole number; for a `re_formula` with a part of a block
        only; for a fit with an array of weights, if there are none for the new rows.
    """
    rng = simulation_source(nsim, seed)
    conditional = conditional_blocks(design, re_formula)
    if newdata is None:
        if offset is not None or weights is not None:
            raise DataError("offset= and weights= go with newdata=: the rows of the fit have their own")
        draws = [simulate_response(design, estimate, rng, conditional) for _ in range(nsim)]
    else:
        rows = new_design(design, newdata, allow_new_levels=allow_new_levels, offset=offset)
        w = _new_weights(design, as_frame(newdata), weights)
        draws = [simulate_new(estimate, rows, w, rng, conditional) for _ in range(nsim)]
    return pd.DataFrame({f"sim_{i + 1}": y for i, y in enumerate(draws)})


def simulation_source(nsim: int, seed: int | np.random.Generator | None) -> np.random.Generator:
    """Return the random numbers of `nsim` simulations.

    Raises
    ------
    DataError
        For a number of simulations, or a seed, that is none.
    """
    if not isinstance(nsim, int | np.integer) or isinstance(nsim, bool) or nsim < 1:
        raise DataError(f"nsim = {nsim!r}: give the number of simulations, 1 or more")
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as problem:
        raise DataError(f"seed = {seed!r}: give a whole number of at least 0") from problem


def conditional_blocks(design: Design, re_formula: str | None) -> frozenset[int]:
    """Return the positions of the blocks that `re_formula` names, each of which has to be whole."""
    wanted = wanted_effects(design, re_formula)
    if not wanted.bars or re_formula is None:
        return frozenset(range(len(design.blocks)) if wanted.bars else ())
    columns: dict[int, set[int]] = {}
    for block in new_design(design, design.frame, re_formula=wanted, given_offset=False).blocks:
        columns.setdefault(block.position, set()).update(block.columns)
    for position, kept in columns.items():
        whole = design.blocks[position]
        if len(kept) < len(whole.columns):
            left = ", ".join(c for i, c in enumerate(whole.columns) if i not in kept)
            raise DataError(
                f"re_formula has a part of {whole.bar} only, without {left}: simulations keep the effects of a whole "
                "block, or draw them all"
            )
    return frozenset(columns)


def _new_weights(design: Design, frame: pd.DataFrame, given: Any) -> np.ndarray | None:
    weights = new_row_values(design, "weights", frame, given)
    if weights is not None and (weights <= 0).any():
        raise DataError("weights are positive numbers, one per row")
    return weights


# -- broom.mixed -----------------------------------------------------------------------------------


def augment_reference(design: Design, estimate: LmerEstimate, newdata: Any = None) -> pd.DataFrame:
    """Return the data with what the fit says of each row, as broom.mixed's ``augment``.

    The columns of the formula (all columns of `newdata`), then ``fitted`` = X beta + offset + Z b-hat, ``resid`` =
    y - fitted, ``fixed`` = X beta + offset; for the rows of the fit also ``offset`` and ``weights`` if there are any.
    Where the data have a column of that name ours starts with a dot, as all do in R. New levels of grouping
    factors have the effect 0; ``resid`` is left out where the new data have no response.
    """
    if newdata is None:
        frame = design.frame
        ours = {
            "fitted": estimate.fitted,
            "resid": estimate.residuals,
            "fixed": estimate.linear_predictor_fixed,
        }
        ours |= {} if design.offset is None else {"offset": design.offset}
        ours |= {} if design.weights is None else {"weights": design.weights}
    else:
        frame = as_frame(newdata)
        with_response = has_response(design, frame)
        rows = new_design(design, frame, allow_new_levels=True, needs_response=with_response)
        fitted = linear_predictor(estimate, rows)
        ours = {"fitted": fitted}
        ours |= {} if rows.y is None else {"resid": rows.y - fitted}
        ours["fixed"] = linear_predictor(estimate, NewDesign(rows.X, (), rows.offset))
    return augmented(frame, ours)


def augmented(frame: pd.DataFrame, ours: Mapping[str, Any]) -> pd.DataFrame:
    """Return a frame with more columns; where it has a column of that name ours starts with a dot."""
    named = {(f".{name}" if name in frame.columns else name): values for name, values in ours.items()}
    return frame.assign(**named)


def has_response(design: Design, frame: pd.DataFrame) -> bool:
    """Whether a frame has the columns that the response needs."""
    response = design.formula.response
    names = {n.name for n in names_in(response)} if response is not None else set()
    return bool(names) and names & set(design.frame.columns) <= set(frame.columns)


def glance_reference(estimate: LmerEstimate) -> pd.DataFrame:
    """Return one row about the whole fit, as broom.mixed's ``glance``.

    Columns nobs, sigma, log_lik, aic, bic, ``reml_criterion`` (REML) or ``deviance`` (ML), df_residual.
    """
    return pd.DataFrame(
        {
            "nobs": [estimate.nobs],
            "sigma": [estimate.sigma],
            "log_lik": [estimate.loglik],
            "aic": [estimate.aic],
            "bic": [estimate.bic],
            "reml_criterion" if estimate.reml else "deviance": [estimate.criterion],
            "df_residual": [estimate.df_resid],
        }
    )
