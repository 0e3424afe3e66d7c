"""The posterior beside the ML/REML fit of the same model, with a verdict per row.

Verdicts
--------
agree
    The reference estimate lies within the posterior interval.
boundary
    The reference fit put a standard deviation at zero or a correlation at -1 or 1, where its standard
    theory fails; the posterior's answer stands beside it.
prior-sensitive
    The reference estimate lies outside the posterior interval: with few groups the prior matters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.draws import SAMPLE, BlockDraws, Posterior
from bayesmlm.glmm_tables import tidy_glmer
from bayesmlm.information import uninformed
from bayesmlm.meanings import latent_residual
from bayesmlm.reference.ddf import CoefficientTests
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.tables import (
    check_probability,
    flat,
    icc_draws,
    mad_sd,
    reference_icc,
    tidy_posterior,
    tidy_reference,
)

ZERO_SD = 1e-4  # of sigma, for a typical value of the column: lme4's tolerance for a singular fit
EXTREME_CORRELATION = 0.999
# "small" for a standard deviation: a tenth of sigma; without sigma, 0.1 of the linear predictor
SMALL_SHARE = 0.1
Estimate = LmerEstimate | GlmerEstimate
LAPLACE = "Laplace"
VERDICT_COLUMNS = ["verdict", "probability", "typical", "grouping", "n_groups"]


@dataclass(frozen=True)
class Comparison:
    """Posterior and reference fit side by side.

    Attributes
    ----------
    frame : DataFrame
        One row per parameter: effect, group, term; reference, reference_se (NaN where it has none);
        median, mad_sd, conf_low, conf_high of the posterior; shift = (median - reference) / mad_sd;
        verdict. Behind the verdict stand, where they apply: probability, the posterior's for a value
        near the boundary (sd x typical < 10% of sigma, or 0.1 of the linear predictor where there is no sigma,
        or |correlation| > 0.9); typical, the root mean square of the column; grouping and n_groups, the factor that
        informs the parameter.
    groups : DataFrame
        One row per block and column: group, term, correlation of BLUPs with posterior means, the level
        where they differ most, both values there, and that difference in posterior standard deviations.
        Blocks whose group effects were not all kept are left out.
    method : str
        ``"REML"`` or ``"ML"``; of a generalised model ``"Laplace"`` or, of adaptive quadrature, ``"AGQ(9)"``.
    prob : float
        Probability of the intervals.
    uninformed : tuple of str
        Grouping factors whose levels tell so little of their effects that Laplace's approximation, if it is the
        method, is biased; see `bayesmlm.information.uninformed`.
    has_sigma : bool
        Whether the model has a residual standard deviation.
    """

    frame: pd.DataFrame
    groups: pd.DataFrame
    method: str
    prob: float
    uninformed: tuple[str, ...] = ()
    has_sigma: bool = True


def compare_fits(posterior: Posterior, estimate: Estimate, design: Design, prob: float = 0.9) -> Comparison:
    """Join the posterior's table to the reference fit's.

    Parameters
    ----------
    posterior, estimate
        Two fits of one model to the same rows.
    design
        Their design.
    prob
        Probability of the central posterior intervals.
    """
    left = _reference_rows(estimate, posterior)
    right = tidy_posterior(posterior, conf_level=check_probability(prob, "prob"))
    keys = ["effect", "group", "term"]
    frame = left[[*keys, "estimate", "std_error"]].rename(
        columns={"estimate": "reference", "std_error": "reference_se"}
    )
    values = right[[*keys, "estimate", "std_error", "conf_low", "conf_high"]]
    values = values.rename(columns={"estimate": "median", "std_error": "mad_sd"})
    frame = frame.merge(values, on=keys, how="left", validate="one_to_one")
    icc = _icc_rows(posterior, estimate, latent_residual(design.family), prob)
    frame = pd.concat([frame, icc], ignore_index=True) if len(icc) else frame
    frame["shift"] = (frame["median"] - frame["reference"]) / frame["mad_sd"]
    judged = [_verdict(row, posterior, estimate, design) for row in frame.to_dict("records")]
    frame = pd.concat([frame, pd.DataFrame(judged, columns=VERDICT_COLUMNS)], axis=1)
    method, groups = method_of(estimate), _group_rows(posterior, estimate)
    biased = tuple(uninformed(design)) if method == LAPLACE else ()
    return Comparison(frame, groups, method, prob, biased, posterior.sigma is not None)


def method_of(estimate: Estimate) -> str:
    """Name how a reference fit was made: REML, ML, Laplace, AGQ(9)."""
    if isinstance(estimate, LmerEstimate):
        return "REML" if estimate.reml else "ML"
    return LAPLACE if estimate.n_agq <= 1 else f"AGQ({estimate.n_agq})"


def _reference_rows(estimate: Estimate, posterior: Posterior) -> pd.DataFrame:
    """Rows of a reference fit for the parameters of the posterior, sigma only where both have one."""
    frame = tidy_estimate(estimate, ("fixed", "ran_pars"))
    if posterior.sigma is None:
        frame = frame[frame["group"] != "Residual"]
    known = reference_auxiliary(estimate)
    rows = [("auxiliary", None, name, known[name], np.nan) for name in posterior.auxiliary if name in known]
    more = pd.DataFrame(rows, columns=["effect", "group", "term", "estimate", "std_error"])
    return pd.concat([frame, more], ignore_index=True) if rows else frame.reset_index(drop=True)


def tidy_estimate(
    estimate: Estimate,
    effects: str | Iterable[str],
    conf_level: float = 0.95,
    tests: CoefficientTests | None = None,
) -> pd.DataFrame:
    """Return the tidy frame of a reference fit of either kind; see `tables.tidy_reference`."""
    if isinstance(estimate, LmerEstimate):
        return tidy_reference(estimate, effects, conf_level, tests)
    return tidy_glmer(estimate, effects, conf_level)


def reference_auxiliary(estimate: Estimate) -> dict[str, float]:
    """Return a reference fit's auxiliary parameters by our names.

    lme4's sigma^2 of a gamma model estimates 1 / shape, that of an inverse Gaussian one 1 / lambda.
    """
    if isinstance(estimate, LmerEstimate):
        return {}
    names = {"gamma": "shape", "wald": "lambda"}
    if estimate.family in names:
        return {names[estimate.family]: 1 / estimate.sigma**2}
    return dict(estimate.auxiliary)


def _icc_rows(posterior: Posterior, estimate: Estimate, residual: float | None, prob: float) -> pd.DataFrame:
    reference = reference_icc(estimate.varcorr, residual)
    latent = None if residual is None else np.full(posterior.n_draws, residual)
    values = flat(icc_draws(posterior, latent))
    if not values.shape[1] or reference.empty:
        return pd.DataFrame()
    low, high = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    return pd.DataFrame(
        {
            "effect": "icc",
            "group": list(reference.index),
            "term": "ICC",
            "reference": reference.to_numpy(),
            "reference_se": np.nan,
            "median": np.median(values, axis=0),
            "mad_sd": mad_sd(values),
            "conf_low": low,
            "conf_high": high,
        }
    )


def _verdict(row: dict, posterior: Posterior, estimate: Estimate, design: Design) -> dict:
    near = _near_boundary(row, posterior, estimate, design)
    if near is not None:
        return {"verdict": "boundary", **near}
    if row["conf_low"] <= row["reference"] <= row["conf_high"]:
        return {"verdict": "agree"}
    block = next((b for b in design.blocks if b.label == row["group"]), None)
    if block is None:  # a fixed effect or sigma: the factor with fewest levels says least about it
        block = min(design.blocks, key=lambda b: len(b.levels))
    return {"verdict": "prior-sensitive", "grouping": block.group, "n_groups": len(block.levels)}


def _near_boundary(row: dict, posterior: Posterior, estimate: Estimate, design: Design) -> dict | None:
    """What stands behind a boundary verdict, or None if the reference estimate is inside the parameter space."""
    if np.isnan(row["reference"]) or (row["effect"] == "icc" and row["reference"] == 0):
        return {}
    if row["effect"] != "ran_pars" or row["group"] == "Residual":
        return None
    draws = posterior.block(str(row["group"]))
    if row["term"].startswith("sd__"):
        return _near_zero(row, draws, posterior, estimate, design)
    if abs(row["reference"]) > EXTREME_CORRELATION:
        return {"probability": _correlation_share(row["term"], draws)}
    return None


def _near_zero(
    row: dict, draws: BlockDraws, posterior: Posterior, estimate: Estimate, design: Design
) -> dict | None:
    column = row["term"].removeprefix("sd__")
    # What a standard deviation does to the response, whatever the unit of its column.
    block = next(b for b in design.blocks if b.label == row["group"])
    typical = float(np.sqrt(np.mean(block.Z[:, block.columns.index(column)] ** 2)))
    if row["reference"] * typical > ZERO_SD * estimate.sigma:
        return None
    scale = 1.0 if posterior.sigma is None else posterior.sigma
    small = draws.sd.sel(column=column) * typical < SMALL_SHARE * scale
    return {"probability": float(small.mean()), "typical": typical}


def _correlation_share(term: str, draws: BlockDraws) -> float:
    for j, first in enumerate(draws.columns):
        for i, second in enumerate(draws.columns):
            if term == f"cor__{first}.{second}":
                return float((abs(draws.corr[..., i, j]) > 0.9).mean())
    return float("nan")


def _group_rows(posterior: Posterior, estimate: Estimate) -> pd.DataFrame:
    rows = []
    for draws, blups in zip(posterior.blocks, estimate.ranef, strict=True):
        if draws.levels != blups.levels:
            continue  # some were not kept
        mean, sd = draws.b.mean(SAMPLE).values, draws.b.std(SAMPLE).values
        for j, column in enumerate(draws.columns):
            difference = (mean[:, j] - blups.mode[:, j]) / sd[:, j]
            worst = int(np.argmax(np.abs(difference)))
            flat = np.ptp(blups.mode[:, j]) == 0
            corr = np.nan if flat else float(np.corrcoef(mean[:, j], blups.mode[:, j])[0, 1])
            rows.append(
                {
                    "group": draws.label,
                    "term": column,
                    "correlation": corr,
                    "level": draws.levels[worst],
                    "blup": blups.mode[worst, j],
                    "mean": mean[worst, j],
                    "difference": difference[worst],
                }
            )
    return pd.DataFrame(rows)


def same_model(design: Design, other: Design) -> bool:
    """Whether two designs describe one model of the same rows."""
    return (
        design.formula == other.formula
        and design.family == other.family
        and np.array_equal(design.y, other.y)
        and np.array_equal(design.X, other.X)
        and _same_rows(design.offset, other.offset)
        and _same_rows(design.weights, other.weights)
        and _same_rows(design.trials, other.trials)
        and all(
            a.levels == b.levels and np.array_equal(a.index, b.index) and np.array_equal(a.Z, b.Z)
            for a, b in zip(design.blocks, other.blocks, strict=True)
        )
    )


def _same_rows(mine: np.ndarray | None, theirs: np.ndarray | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return np.array_equal(mine, theirs)
