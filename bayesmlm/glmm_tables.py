"""Generalised reference fit -> tidy data frames with the columns of all others. Raw numbers; nothing is rounded."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from bayesmlm.covariance import lower_pairs
from bayesmlm.errors import DataWarning, warn
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.tables import check_effects, check_probability, estimate_rows, variance_terms

RATIOS = {"log": "ratios of means", "logit": "odds ratios", "cloglog": "ratios of hazards"}


def z_tests(estimate: GlmerEstimate) -> tuple[np.ndarray, np.ndarray]:
    """Return estimate / standard error of the fixed effects and two-sided p values of the normal distribution."""
    z = estimate.beta / estimate.se
    return z, 2.0 * stats.norm.sf(np.abs(z))


def coefficient_table(estimate: GlmerEstimate) -> pd.DataFrame:
    """Return the table of fixed effects by R's name: estimate, std_error, statistic (z), p_value."""
    z, p = z_tests(estimate)
    numbers = {"estimate": estimate.beta, "std_error": estimate.se, "statistic": z, "p_value": p}
    return pd.DataFrame(numbers, list(estimate.coefficients))


def tidy_glmer(
    estimate: GlmerEstimate,
    effects: str | Iterable[str] | None = None,
    conf_level: float = 0.95,
    exponentiate: bool = False,
) -> pd.DataFrame:
    """Return one row per parameter; Wald intervals and z tests for fixed effects.

    With `exponentiate` fixed effects and their limits are exp(estimate), and the standard error is exp(estimate) times
    that of the estimate (delta method); z and p are those of the estimate.

    Warns
    -----
    DataWarning
        For exponentiated coefficients of a link whose exponentials are no ratios.
    """
    chosen = check_effects(effects)
    level = check_probability(conf_level, "conf_level")
    quantile = stats.norm.ppf((1 + level) / 2)
    parts = []
    rows: list[tuple]
    if "fixed" in chosen:
        rows = [("fixed", None, None, n) for n in estimate.coefficients]
        z, p = z_tests(estimate)
        fixed = estimate_rows(rows, estimate.beta, estimate.se, quantile).assign(statistic=z, p_value=p)
        parts.append(_exponentiated(fixed, estimate.link) if exponentiate else fixed)
    if "ran_pars" in chosen:
        varcorr = estimate.varcorr
        rows = [("ran_pars", g, None, t) for g, t in variance_terms(varcorr.blocks)]
        values = [v for b in varcorr.blocks for v in (*b.sd, *(b.corr[ij] for ij in lower_pairs(len(b.sd))))]
        if varcorr.sigma is not None:
            rows.append(("ran_pars", "Residual", None, "sd__Observation"))
            values.append(varcorr.sigma)
        parts.append(estimate_rows(rows, np.array(values), np.full(len(values), np.nan), quantile))
    if "auxiliary" in chosen and estimate.auxiliary:
        rows = [("auxiliary", None, None, name) for name in estimate.auxiliary]
        known = np.array(list(estimate.auxiliary.values()))
        parts.append(estimate_rows(rows, known, np.full(len(known), np.nan), quantile))
    if "ran_vals" in chosen:
        for r in estimate.ranef:
            rows = [("ran_vals", r.label, v, c) for v in r.levels for c in r.columns]
            parts.append(estimate_rows(rows, r.mode.ravel(), r.sd.ravel(), quantile))
    parts = parts or [estimate_rows([], np.empty(0), np.empty(0), quantile)]
    return pd.concat(parts, ignore_index=True).drop(columns="df")


def _exponentiated(frame: pd.DataFrame, link: str) -> pd.DataFrame:
    if link not in RATIOS:
        message = (
            f"exponentiate=True: with the link {link!r} exponentiated coefficients are no ratios of anything"
        )
        warn(message, DataWarning)
    ends = np.exp(frame[["estimate", "conf_low", "conf_high"]])
    return frame.assign(std_error=frame["std_error"] * ends["estimate"], **ends)
