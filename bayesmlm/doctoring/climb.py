"""The numbers of each rung: likelihoods, tests, AIC, and how well the posterior predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.doctoring.ladder import Rung, reduced_design, rungs
from bayesmlm.errors import DataError
from bayesmlm.families import LINKS, log_density, variance
from bayesmlm.predictive_fit import K_LIMIT, SMALL_DIFFERENCE
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.reference.glmm.fit import fit_glmer
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.reference.lrt import Candidate, likelihood_ratio_tests

SES = 2.0
CLEAR = 0.01
STEPS, SETTLED = 50, 1e-9
ALPHA = 0.2  # Matuschek, Kliegl, Vasishth, Baayen & Bates (2017): the level that balances the two errors
COLUMNS = [
    *("block", "step", "bar", "formula", "npar", "loglik", "reml_loglik", "aic", "chisq", "df", "p_value"),
    *("p_boundary", "singular", "elpd", "elpd_diff", "se_diff", "bad_k", "note"),
]


@dataclass(frozen=True)
class Predicted:
    """How well one model predicts each row: `pointwise` elpd (n,), the number of Pareto k above 0.7, and notes."""

    pointwise: np.ndarray
    bad_k: int = 0
    notes: tuple[str, ...] = ()


def predicted(elpd: np.ndarray, k: np.ndarray, notes: tuple[str, ...] = ()) -> Predicted:
    """Pack elpd and Pareto k of each row, each of shape (n,)."""
    return Predicted(elpd, int((k > K_LIMIT).sum()), notes)


def climb(
    design: Design,
    estimate: LmerEstimate | GlmerEstimate | None,
    predict: Callable[[Design], Predicted | None] | None = None,
) -> pd.DataFrame:
    """Fit every rung of every ladder of a model and compare it with the rung above.

    Parameters
    ----------
    design, estimate
        The model and its reference fit.
    predict
        From a design to its leave-one-out predictive densities; None leaves elpd NaN. It is called once per model.

    Returns
    -------
    DataFrame
        One row per rung. npar, loglik, aic: of the ML fit, in generalised models by Laplace's approximation;
        reml_loglik: comparable, as the fixed part is one (NaN in generalised models).
        chisq, df, p_value, p_boundary: likelihood-ratio test against the rung above, p_boundary by the mixture of
        chi-squares that holds for a variance of 0 (NaN where none is known). singular: of the REML fit. elpd; elpd_diff
        and se_diff: elpd minus that of the whole model, and sqrt(n Var(difference per row)). bad_k: rows with Pareto k
        above 0.7. note: what went wrong.
    """
    known: dict[str, _Numbers] = {}
    rows: list[dict] = []
    for ladder in rungs(design, estimate):
        above: _Numbers | None = None
        for rung in ladder:
            small = design if rung is ladder[0] else reduced_design(design, rung.formula)
            key = "" if rung is ladder[0] else rung.formula
            if key not in known:
                known[key] = _numbers(small, predict)
            rows.append(_row(rung, known[key], above, known[""]))
            above = known[key]
    return pd.DataFrame(rows, columns=COLUMNS)


@dataclass(frozen=True, eq=False)
class _Numbers:
    candidate: Candidate | None
    reml_loglik: float
    singular: bool
    predicted: Predicted | None
    note: str


def _numbers(design: Design, predict: Callable[[Design], Predicted | None] | None) -> _Numbers:
    predicted = None if predict is None else predict(design)
    note = "; ".join(predicted.notes) if predicted else ""
    if not design.family.is_gaussian_identity:
        return _generalised_numbers(design, predicted, note)
    if not design.blocks:
        ml, reml, k = linear_loglik(design, False), linear_loglik(design, True), design.X.shape[1] + 1
        return _Numbers(_candidate(design, ml, k), reml, False, predicted, note)
    try:
        ml_fit, reml_fit = fit_lmer(design, reml=False), fit_lmer(design)
    except DataError as problem:
        return _Numbers(None, np.nan, False, predicted, "; ".join(filter(None, [note, str(problem)])))
    note = "; ".join(filter(None, [note, *(f.status for f in (ml_fit, reml_fit) if not f.converged)]))
    candidate = _candidate(design, ml_fit.loglik, ml_fit.n_parameters)
    return _Numbers(candidate, reml_fit.loglik, reml_fit.singular, predicted, note)


def _generalised_numbers(design: Design, predicted: Predicted | None, note: str) -> _Numbers:
    """Of a generalised model, by Laplace's approximation of the likelihood."""
    if not design.blocks:
        ml = glm_loglik(design)
        candidate = None if ml is None else _candidate(design, ml, design.X.shape[1])
        return _Numbers(candidate, np.nan, False, predicted, note)
    try:
        fit = fit_glmer(design)
    except DataError as problem:
        return _Numbers(None, np.nan, False, predicted, "; ".join(filter(None, [note, str(problem)])))
    note = "; ".join(filter(None, [note, "" if fit.converged else fit.status]))
    candidate = _candidate(design, fit.loglik, fit.n_parameters)
    return _Numbers(candidate, np.nan, fit.singular, predicted, note)


def glm_loglik(design: Design) -> float | None:
    """Return the log-likelihood of the fixed part alone at its maximum, by Fisher scoring.

    None for families with a parameter of dispersion, and where the iterations do not settle, as with separated data.
    """
    family = design.family
    if family.name not in {"binomial", "poisson"}:
        return None
    link, offset = LINKS[family.link], 0.0 if design.offset is None else design.offset
    trials = np.ones(design.nobs) if design.trials is None else design.trials
    weight = trials * (1.0 if design.weights is None else design.weights)
    share, last = design.y / trials, -np.inf
    eta = link.forward((design.y + 0.5) / (trials + 1) if family.support == "binomial" else design.y + 0.5)
    for _ in range(STEPS):
        mu, slope = link.inverse(eta), link.slope(eta)
        with np.errstate(divide="ignore", invalid="ignore"):  # at a probability of 0 or 1
            w = weight * slope**2 / variance(family, eta, {})
        if not np.isfinite(w).all():
            return None
        root = np.sqrt(w)
        z = eta - offset + (share - mu) / slope
        eta = design.X @ np.linalg.lstsq(root[:, None] * design.X, root * z, rcond=None)[0] + offset
        value = float(log_density(family, design.y, eta[None], {}, design.trials, design.weights).sum())
        if abs(value - last) < SETTLED:
            return value
        last = value
    return None


def _candidate(design: Design, loglik: float, npar: int) -> Candidate:
    offset = np.zeros(design.nobs) if design.offset is None else design.offset
    aic, bic = 2 * npar - 2 * loglik, npar * float(np.log(design.nobs)) - 2 * loglik
    X = design.X
    return Candidate("", str(design.formula), npar, loglik, aic, bic, X, X, X.shape[1], offset, design.blocks)


def linear_loglik(design: Design, reml: bool) -> float:
    """Return the (restricted) log-likelihood of the fixed part alone, y = X beta + offset + e, e ~ N(0, sigma^2 / w).

    With m = n, or n - k for REML: -(m / 2) (1 + log(2 pi RSS / m)) + 1/2 sum log w - [REML] 1/2 log |X'WX|.
    """
    w = np.ones(design.nobs) if design.weights is None else design.weights
    y = design.y if design.offset is None else design.y - design.offset
    q, r = np.linalg.qr(np.sqrt(w)[:, None] * design.X)
    root = np.sqrt(w) * y
    rss = float(np.sum((root - q @ (q.T @ root)) ** 2))
    m = design.nobs - (design.X.shape[1] if reml else 0)
    value = -m / 2 * (1 + np.log(2 * np.pi * rss / m)) + 0.5 * np.sum(np.log(w))
    return float(value - (np.sum(np.log(np.abs(np.diag(r)))) if reml else 0.0))


def _row(rung: Rung, here: _Numbers, above: _Numbers | None, top: _Numbers) -> dict:
    c = here.candidate
    row: dict[str, Any] = {"block": rung.block, "step": rung.step, "bar": rung.bar, "formula": rung.formula}
    row |= {"npar": np.nan, "loglik": np.nan, "aic": np.nan, "reml_loglik": here.reml_loglik}
    row |= {"singular": here.singular, "note": here.note}
    row |= dict.fromkeys(
        ("chisq", "df", "p_value", "p_boundary", "elpd", "elpd_diff", "se_diff", "bad_k"), np.nan
    )
    if c is not None:
        row |= {"npar": c.npar, "loglik": c.loglik, "aic": c.aic}
    if c is not None and above is not None and above.candidate is not None:
        test = likelihood_ratio_tests([c, above.candidate])[1]
        row |= {"chisq": test.chisq, "df": test.df, "p_value": test.p_value, "p_boundary": test.p_boundary}
    if here.predicted is not None:
        own = here.predicted.pointwise
        row |= {"elpd": float(own.sum()), "bad_k": here.predicted.bad_k}
        if top.predicted is not None:
            difference = own - top.predicted.pointwise
            se = float(np.sqrt(len(own)) * np.std(difference, ddof=1))
            row |= {"elpd_diff": float(difference.sum()), "se_diff": se}
    return row


# -- what to make of it -----------------------------------------------------------------------------

NOTHING_LOST, LOST, UNCLEAR = "nothing lost", "lost", "unclear"


def verdicts(frame: pd.DataFrame) -> pd.Series:
    """Say of each rung whether anything is lost against the whole model: empty for the model itself.

    ``lost``: elpd is lower than that of the whole model by more than 4 and by more than 2 standard errors; or the test
    against the rung above (by the mixture of chi-squares where there is one) has p < 0.01, or p < 0.2 where elpd is not
    known; or something was lost above. ``nothing lost``: p >= 0.2 where there is a test, and elpd, where known, is not
    lower by more than 4. ``unclear``: the rest, and where neither is known.
    """
    out: list[str] = []
    state = ""
    for i, row in enumerate(frame.to_dict("records")):
        if i == 0 or row["block"] != frame["block"].iloc[i - 1]:
            state = ""
            out.append("")
            continue
        state = LOST if state == LOST else _verdict(row)
        out.append(state)
    return pd.Series(out, index=frame.index, name="verdict", dtype=object)


def _verdict(row: dict) -> str:
    p = row["p_value"] if np.isnan(row["p_boundary"]) else row["p_boundary"]
    fall = -row["elpd_diff"]
    clear_fall = fall > SMALL_DIFFERENCE and fall > SES * row["se_diff"]
    if clear_fall or p < CLEAR or (np.isnan(fall) and p < ALPHA):
        return LOST
    if p < ALPHA or fall > SMALL_DIFFERENCE or (np.isnan(p) and np.isnan(fall)):
        return UNCLEAR
    return NOTHING_LOST


def simplest(frame: pd.DataFrame, block: str) -> dict | None:
    """Return the lowest rung of a ladder that is reached without losing anything; None if there is none."""
    part = frame[frame["block"] == block]
    found = None
    for row in part.to_dict("records")[1:]:
        if row["verdict"] != NOTHING_LOST:
            break
        found = row
    return found
