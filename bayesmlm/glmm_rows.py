"""What a generalised reference fit says about each row: predictions, simulated responses, augment and glance."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.columns import as_frame
from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError, DataError, did_you_mean
from bayesmlm.families import Family, draw
from bayesmlm.newdata import NewDesign, new_design, new_row_values, rows_of_fit
from bayesmlm.observations import augmented, conditional_blocks, simulation_source
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.reference.predict import linear_predictor, simulated_new_predictor, simulated_predictor

SCALES = ("link", "response")
RESIDUALS = ("deviance", "pearson", "response", "working")


def choose(value: Any, known: tuple[str, ...], name: str) -> str:
    """Return `value` if it is one of the known ones.

    Raises
    ------
    BayesMLMError
        If it is not, with a suggestion.
    """
    if value not in known:
        hint = did_you_mean(str(value), known) or f" Known: {', '.join(map(repr, known))}."
        raise BayesMLMError(f"{name} = {value!r} is not known.{hint}")
    return str(value)


def predict_glmer(
    design: Design,
    estimate: GlmerEstimate,
    newdata: Any = None,
    re_formula: str | None = None,
    scale: str = "link",
    *,
    allow_new_levels: bool = False,
    offset: Any = None,
    exposure: Any = None,
) -> np.ndarray:
    """Return X beta + offset + Z b-hat for the rows of the fit, or for new ones; or the mean that belongs to it.

    Raises
    ------
    FormulaError, DataError
        As `new_design`; and for an `offset` or `exposure` without new data.
    """
    scale = choose(scale, SCALES, "type")
    if newdata is not None:
        rows = _new_rows(design, newdata, allow_new_levels, re_formula, offset, exposure)
        eta = linear_predictor(estimate, rows)
    elif offset is not None or exposure is not None:
        raise DataError(
            "offset= and exposure= go with newdata=: the rows of the fit have those they were fitted with"
        )
    elif re_formula is None:
        eta = estimate.eta
    else:
        eta = linear_predictor(estimate, rows_of_fit(design, re_formula))
    return eta if scale == "link" else estimate.responses.mean(eta)


def _new_rows(
    design: Design, newdata: Any, allow: bool, re_formula: str | None, offset: Any, exposure: Any
) -> NewDesign:
    return new_design(
        design, newdata, allow_new_levels=allow, re_formula=re_formula, offset=offset, exposure=exposure
    )


def simulate_glmer(
    design: Design,
    estimate: GlmerEstimate,
    nsim: int = 1,
    seed: int | np.random.Generator | None = None,
    *,
    re_formula: str | None = "~0",
    newdata: Any = None,
    allow_new_levels: bool = True,
    offset: Any = None,
    exposure: Any = None,
    weights: Any = None,
) -> pd.DataFrame:
    """Draw `nsim` responses, as lme4's ``simulate``: columns sim_1, sim_2, ...; of binomials numbers of successes.

    The blocks in `re_formula` keep their conditional modes; the others get new effects for every level, in every
    simulation. The dispersion is sigma^2 / weight where the family has one. The weights of a binomial are numbers of
    trials: those of the fit, of new rows `weights`, or 1.
    """
    rng = simulation_source(nsim, seed)
    conditional = conditional_blocks(design, re_formula)
    if newdata is None:
        if offset is not None or weights is not None or exposure is not None:
            raise DataError(
                "offset=, exposure= and weights= go with newdata=: the rows of the fit have their own"
            )
        draws = [response_draw(design, estimate, rng, conditional) for _ in range(nsim)]
    else:
        rows = _new_rows(design, newdata, allow_new_levels, None, offset, exposure)
        w = new_row_values(design, "weights", as_frame(newdata), weights)
        if w is not None and (w <= 0).any():
            raise DataError("weights are positive numbers, one per row")
        draws = [
            _drawn(estimate, simulated_new_predictor(estimate, rows, rng, conditional), w, rng)
            for _ in range(nsim)
        ]
    return pd.DataFrame({f"sim_{i + 1}": y for i, y in enumerate(draws)})


def response_draw(
    design: Design, estimate: GlmerEstimate, rng: np.random.Generator, conditional: Collection[int] = ()
) -> np.ndarray:
    """Draw a response for the rows of the fit, with new effects in all blocks but the conditional ones, shape (n,)."""
    responses = estimate.responses
    weights = responses.trials if responses.family == "binomial" else responses.weights
    return _drawn(estimate, simulated_predictor(design, estimate, rng, conditional), weights, rng)


def _drawn(
    estimate: GlmerEstimate, eta: np.ndarray, weights: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Draw responses of the family given their linear predictors; weights divide the dispersion."""
    family = Family(estimate.family, estimate.link)
    trials = None
    w = 1.0 if weights is None else weights
    auxiliary: dict[str, Any] = dict(estimate.auxiliary)
    if estimate.family == "binomial":
        trials = np.ones(len(eta)) if weights is None else weights
    elif estimate.responses.dispersed:
        name = {"gamma": "shape", "wald": "lambda", "gaussian": "sigma"}[estimate.family]
        phi = estimate.sigma**2 / w
        auxiliary[name] = np.sqrt(phi) if name == "sigma" else 1.0 / phi
    with np.errstate(invalid="ignore", divide="ignore"):
        mu = estimate.responses.mean(eta)
    if not estimate.responses.possible(mu):
        raise BayesMLMError(
            f"group effects were drawn with which the mean of the family {estimate.family!r} is not possible: the link "
            f"{estimate.link!r} does not keep it in range, so this model cannot be simulated from"
        )
    return draw(family, eta[None], auxiliary, rng, trials)[0]


def augment_glmer(design: Design, estimate: GlmerEstimate, newdata: Any = None) -> pd.DataFrame:
    """Return the data with what the fit says of each row, as broom.mixed's ``augment``.

    The columns of the formula (all of `newdata`), then ``fitted``, the linear predictor; ``resid``, deviance residuals
    (rows of the fit only); ``fixed``, the linear predictor without group effects; ``mu``, the mean; ``offset`` and
    ``weights`` if there are any. Where the data have a column of that name ours starts with a dot.
    """
    if newdata is not None:
        frame = as_frame(newdata)
        rows = _new_rows(design, frame, True, None, None, None)
        eta = linear_predictor(estimate, rows)
        fixed = linear_predictor(estimate, NewDesign(rows.X, (), rows.offset))
        return augmented(frame, {"fitted": eta, "fixed": fixed, "mu": estimate.responses.mean(eta)})
    ours = {
        "fitted": estimate.eta,
        "resid": estimate.residuals("deviance"),
        "fixed": estimate.linear_predictor_fixed,
        "mu": estimate.fitted,
    }
    ours |= {} if design.offset is None else {"offset": design.offset}
    ours |= {} if estimate.weights is None else {"weights": estimate.weights}
    return augmented(design.frame, ours)


def glance_glmer(estimate: GlmerEstimate) -> pd.DataFrame:
    """Return one row about the whole fit, as broom.mixed's ``glance``.

    Columns nobs, sigma, log_lik, aic, bic, deviance (given the group effects: R's ``deviance`` of a glmer fit),
    df_residual.
    """
    return pd.DataFrame(
        {
            "nobs": [estimate.nobs],
            "sigma": [estimate.sigma],
            "log_lik": [estimate.loglik],
            "aic": [estimate.aic],
            "bic": [estimate.bic],
            "deviance": [estimate.conditional_deviance],
            "df_residual": [estimate.df_resid],
        }
    )
