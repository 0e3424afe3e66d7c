"""Fixed effects of the posterior beside those of a reference fit, on one scale if asked for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from bayesmlm.comparison import tidy_estimate
from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import BayesMLMError, did_you_mean
from bayesmlm.reference.ddf import CoefficientTests
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.tables import check_probability, flat

INTERCEPT = "(Intercept)"
SCALES = ("none", "x", "xy")


def coefficient_table(
    design: Design,
    posterior: Posterior,
    estimate: LmerEstimate | GlmerEstimate | None = None,
    *,
    prob: float = 0.9,
    inner: float = 0.5,
    tests: CoefficientTests | None = None,
    standardize: str = "none",
    terms: str | Iterable[str] | None = None,
) -> pd.DataFrame:
    """Tabulate the fixed effects: posterior medians with two intervals, and the reference fit's with one.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    estimate
        The reference fit; none if None.
    prob, inner
        Probabilities of the outer and the inner central posterior interval; `prob` is also the coverage of the
        reference fit's.
    tests
        Standard errors and degrees of freedom of the reference fit's t intervals; Wald intervals if None.
    standardize
        ``"none"``: the coefficients. ``"x"``: times sd(column), the change of the response per standard deviation
        (n - 1) of the predictor's column, dummies too. ``"xy"``: that over sd(y).
    terms
        Which, in this order; by default all but the intercept, which is drawn if it is alone.

    Returns
    -------
    DataFrame
        One row per coefficient: term, estimate, conf_low, conf_high, inner_low, inner_high, reference,
        reference_low, reference_high (NaN without a reference fit), scale (what the coefficient was multiplied by).

    Raises
    ------
    BayesMLMError
        For an unknown term, scale or probability, or a standardised intercept.
    """
    if standardize not in SCALES:
        raise BayesMLMError(f"standardize = {standardize!r}: choose {', '.join(map(repr, SCALES))}")
    if standardize == "xy" and not design.family.is_gaussian_identity:
        raise BayesMLMError(
            "standardize = 'xy': the linear predictor of this model is not in units of y; use 'x'"
        )
    at = _chosen_terms(design, terms, standardize)
    scale = _scales(design, standardize)[at]
    values = flat(posterior.fixef)[:, at] * scale
    frame = pd.DataFrame(
        {"term": [design.coefficients[i] for i in at], **point_and_intervals(values, prob, inner)}
    )
    names = ["reference", "reference_low", "reference_high"]
    if estimate is None:
        return frame.assign(**dict.fromkeys(names, np.nan), scale=scale)
    tidy = tidy_estimate(estimate, "fixed", prob, tests)
    theirs = tidy[["estimate", "conf_low", "conf_high"]].iloc[at]
    return frame.assign(**dict(zip(names, (theirs.to_numpy() * scale[:, None]).T, strict=True)), scale=scale)


def point_and_intervals(values: np.ndarray, prob: float, inner: float) -> dict[str, np.ndarray]:
    """Return median, outer and inner central interval of draws (draw, parameter), by column name."""
    prob, inner = check_probability(prob, "prob"), check_probability(inner, "inner")
    ends = [0.5, (1 - prob) / 2, (1 + prob) / 2, (1 - inner) / 2, (1 + inner) / 2]
    names = ("estimate", "conf_low", "conf_high", "inner_low", "inner_high")
    return dict(zip(names, np.quantile(values, ends, axis=0), strict=True))


def _chosen_terms(design: Design, terms: str | Iterable[str] | None, standardize: str) -> list[int]:
    known = list(design.coefficients)
    if not known:
        raise BayesMLMError("the model has no fixed effects to draw")
    if terms is None:
        chosen = [n for n in known if n != INTERCEPT] or known
    else:
        chosen = [terms] if isinstance(terms, str) else [str(t) for t in terms]
    if not chosen:
        raise BayesMLMError("terms is empty: name coefficients, or leave it out for all")
    for name in chosen:
        if name not in known:
            hint = did_you_mean(name, known) or f" The model has: {', '.join(known[:10])}."
            raise BayesMLMError(f"no coefficient {name!r}.{hint}")
    if standardize != "none" and INTERCEPT in chosen:
        raise BayesMLMError(
            "the intercept cannot be standardised: its column does not vary; choose other terms"
        )
    return [known.index(name) for name in chosen]


def _scales(design: Design, standardize: str) -> np.ndarray:
    if standardize == "none":
        return np.ones(len(design.coefficients))
    spread = design.X.std(axis=0, ddof=1)
    return spread if standardize == "x" else spread / design.y.std(ddof=1)
