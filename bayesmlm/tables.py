"""Posterior or reference fit -> tidy data frames with the same columns. Raw numbers; nothing is rounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bayesmlm.covariance import BlockCovariance, VarCorr, lower_pairs
from bayesmlm.diagnostics import (
    LOG_POSTERIOR,
    MEAN_PPD,
    auxiliary_draws,
    convergence_frame,
    parameter_draws,
    variance_draws,
)
from bayesmlm.draws import SAMPLE, Posterior, labelled, mean_cov
from bayesmlm.errors import BayesMLMError, did_you_mean
from bayesmlm.reference.ddf import CoefficientTests
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate

MAD_FACTOR = 1.4826  # makes the median absolute deviation of a normal sample estimate its sd
COLUMNS = ["effect", "group", "level", "term", "estimate", "std_error", "conf_low", "conf_high"]
EFFECTS = ("fixed", "ran_pars", "auxiliary", "ran_vals")
DEFAULT_EFFECTS = ("fixed", "ran_pars", "auxiliary")


def mad_sd(values: np.ndarray, axis: int | tuple[int, ...] = 0) -> np.ndarray:
    """Return 1.4826 times the median absolute deviation from the median, rstanarm's MAD_SD."""
    center = np.median(values, axis=axis, keepdims=True)
    return MAD_FACTOR * np.median(np.abs(values - center), axis=axis)


def check_probability(prob: Any, name: str) -> float:
    """Return `prob` if it lies strictly between 0 and 1."""
    if not isinstance(prob, int | float | np.number) or not 0 < prob < 1:
        raise BayesMLMError(f"{name} = {prob!r}: give a probability between 0 and 1, such as 0.9")
    return float(prob)


def flat(draws: xr.DataArray) -> np.ndarray:
    """Return (chain, draw, parameter) draws as (chain x draw, parameter)."""
    return draws.values.reshape(draws.shape[0] * draws.shape[1], draws.shape[2])


def point_frame(draws: xr.DataArray) -> pd.DataFrame:
    """Return Median and MAD_SD of (chain, draw, parameter) draws, indexed by parameter."""
    values = flat(draws)
    names = draws[draws.dims[-1]].values.tolist()
    return pd.DataFrame({"Median": np.median(values, axis=0), "MAD_SD": mad_sd(values)}, index=names)


def direction_probability(draws: xr.DataArray) -> pd.Series:
    """Return for (chain, draw, parameter) draws the probability of direction: the larger of P(> 0) and P(< 0)."""
    values = flat(draws)
    share = np.maximum((values > 0).mean(axis=0), (values < 0).mean(axis=0))
    return pd.Series(share, draws[draws.dims[-1]].values.tolist(), name="direction")


def auxiliary_frame(posterior: Posterior) -> pd.DataFrame:
    """Median and MAD_SD of the auxiliary parameters, sigma first; no row if there is none."""
    return point_frame(auxiliary_draws(posterior))


def posterior_varcorr(posterior: Posterior, point: str = "median") -> VarCorr:
    """Summarise standard deviations and correlations over the draws.

    Parameters
    ----------
    posterior
        The draws.
    point
        ``"median"`` or ``"mean"`` of the draws of each sd and correlation, or ``"rstanarm"``: roots of the
        mean variances, correlations from the mean covariances, mean of sigma, as rstanarm prints them.
    """
    if point not in {"median", "mean", "rstanarm"}:
        raise BayesMLMError(f"point = {point!r}: choose 'median', 'mean' or 'rstanarm'")
    blocks = []
    for b in posterior.whole.blocks:
        if point == "rstanarm":
            sd, corr = mean_cov(b)
        else:
            sd, corr = (getattr(x, point)(SAMPLE).values for x in (b.sd, b.corr))
        blocks.append(BlockCovariance(b.label, b.group, b.columns, sd, corr))
    sigma = None
    if posterior.sigma is not None:
        sigma = float(posterior.sigma.median() if point == "median" else posterior.sigma.mean())
    return VarCorr(tuple(blocks), sigma)


# -- rstanarm's summary ----------------------------------------------------------------------------


def select_parameters(
    draws: xr.DataArray, posterior: Posterior, pars: str | Iterable[str] | None
) -> xr.DataArray:
    """Choose parameters by name or by rstanarm's shorthands: "alpha", "beta", "varying".

    Raises
    ------
    BayesMLMError
        For a name that is not a parameter, with a suggestion.
    """
    if pars is None:
        return draws
    names = [str(n) for n in draws["parameter"].values]
    fixed = [str(c) for c in posterior.whole.fixef["coefficient"].values]
    shorthands = {
        "alpha": [n for n in fixed if n.endswith("(Intercept)")],
        "beta": [n for n in fixed if not n.endswith("(Intercept)")],
        "varying": [n for n in names if n.startswith("b[")],
    }
    chosen: list[str] = []
    asked = [pars] if isinstance(pars, str) else list(pars)
    if not asked:
        raise BayesMLMError("pars is empty: name parameters, or leave it out for all")
    for par in asked:
        if par not in shorthands and par not in names:
            raise BayesMLMError(f"no parameter {par!r}.{did_you_mean(par, [*names, *shorthands])}")
        chosen += shorthands.get(par, [par])
    return draws.sel(parameter=list(dict.fromkeys(chosen)))


def summary_frame(
    posterior: Posterior,
    pars: str | Iterable[str] | None = None,
    probs: float | Iterable[float] = (0.1, 0.5, 0.9),
) -> pd.DataFrame:
    """Return rstanarm's ``summary`` as a frame.

    Returns
    -------
    DataFrame
        Index parameter; columns mean, mcse, sd, one per probability (``"10%"``), n_eff (bulk), Rhat.
    """
    asked = [probs] if isinstance(probs, int | float) else probs
    levels = [check_probability(p, "probs") for p in asked]
    draws = select_parameters(parameter_draws(posterior), posterior, pars)
    values = flat(draws)
    convergence = convergence_frame(draws)
    frame = pd.DataFrame(
        {"mean": values.mean(axis=0), "mcse": convergence["mcse"].to_numpy()}, convergence.index
    )
    frame["sd"] = values.std(axis=0, ddof=1)
    for p, quantile in zip(levels, np.quantile(values, levels, axis=0), strict=True):
        frame[f"{100 * p:g}%"] = quantile
    return frame.assign(n_eff=convergence["ess_bulk"], Rhat=convergence["rhat"])


def interval_frame(
    posterior: Posterior, prob: float = 0.9, pars: str | Iterable[str] | None = None
) -> pd.DataFrame:
    """Return central posterior intervals, rstanarm's ``posterior_interval``: one row per parameter."""
    prob = check_probability(prob, "prob")
    draws = parameter_draws(posterior)
    draws = draws.drop_sel(parameter=[MEAN_PPD, LOG_POSTERIOR], errors="ignore")
    draws = select_parameters(draws, posterior, pars)
    ends = [(1 - prob) / 2, (1 + prob) / 2]
    values = np.quantile(flat(draws), ends, axis=0).T
    return pd.DataFrame(values, draws["parameter"].values.tolist(), [f"{100 * e:g}%" for e in ends])


def draws_frame(posterior: Posterior, pars: str | Iterable[str] | None = None) -> pd.DataFrame:
    """Return the draws as a frame, rows (chain, draw) x rstanarm's parameters, as its ``as.data.frame``.

    Without `pars` all but ``mean_PPD`` and ``log-posterior``.
    """
    draws = parameter_draws(posterior)
    if pars is None:
        draws = draws.drop_sel(parameter=[MEAN_PPD, LOG_POSTERIOR], errors="ignore")
    chosen = select_parameters(draws, posterior, pars)
    index = pd.MultiIndex.from_product([chosen["chain"].values, chosen["draw"].values], names=list(SAMPLE))
    return pd.DataFrame(flat(chosen), index, chosen["parameter"].values.tolist())


# -- broom.mixed's tidy ----------------------------------------------------------------------------


def check_effects(effects: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the kinds of rows asked for; None is broom.mixed's default and the auxiliary parameters."""
    if effects is None:
        return DEFAULT_EFFECTS
    chosen = (effects,) if isinstance(effects, str) else tuple(effects)
    if not chosen:
        raise BayesMLMError(f"effects is empty: choose from {', '.join(map(repr, EFFECTS))}")
    for effect in chosen:
        if effect not in EFFECTS:
            raise BayesMLMError(f"effects = {effect!r}: choose from {', '.join(map(repr, EFFECTS))}")
    return chosen


def variance_terms(blocks: Iterable[Any]) -> list[tuple[str, str]]:
    """Return (group label, term) of each sd and correlation as broom.mixed names them, block by block."""
    rows = []
    for b in blocks:
        rows += [(b.label, f"sd__{c}") for c in b.columns]
        rows += [(b.label, f"cor__{b.columns[j]}.{b.columns[i]}") for i, j in lower_pairs(len(b.columns))]
    return rows


def tidy_posterior(
    posterior: Posterior,
    effects: str | Iterable[str] | None = None,
    conf_level: float = 0.95,
    exponentiate: bool = False,
) -> pd.DataFrame:
    """Return one row per parameter: posterior median, MAD_SD, central interval, Rhat and bulk ESS.

    sigma is the standard deviation of the group ``Residual``; other auxiliary parameters have the effect
    ``auxiliary``. With `exponentiate` the fixed effects are summaries of the draws of exp(beta).
    """
    chosen = check_effects(effects)
    level = check_probability(conf_level, "conf_level")
    posterior = posterior.whole
    parts = []
    if "fixed" in chosen:
        names = posterior.fixef["coefficient"].values.tolist()
        draws = posterior.fixef.rename(coefficient="parameter")
        draws = draws.copy(data=np.exp(draws.values)) if exponentiate else draws
        parts.append(_draw_rows(draws, [("fixed", None, None, n) for n in names], level))
    if "ran_pars" in chosen:
        labels = variance_terms(posterior.blocks)
        parts.append(
            _draw_rows(variance_draws(posterior), [("ran_pars", g, None, t) for g, t in labels], level)
        )
        if posterior.sigma is not None:
            draws = posterior.sigma.expand_dims(parameter=["sigma"], axis=-1)
            parts.append(_draw_rows(draws, [("ran_pars", "Residual", None, "sd__Observation")], level))
    if "auxiliary" in chosen:
        others = auxiliary_draws(posterior).drop_sel(parameter=["sigma"], errors="ignore")
        names = others["parameter"].values.tolist()
        if names:
            parts.append(_draw_rows(others, [("auxiliary", None, None, n) for n in names], level))
    if "ran_vals" in chosen:
        for b in posterior.blocks:
            rows = [("ran_vals", b.label, v, c) for v in b.levels for c in b.columns]
            stacked = b.b.stack(parameter=("level", "column"), create_index=False)
            parts.append(_draw_rows(stacked, rows, level))
    full = [p for p in parts if len(p)]
    return (
        pd.concat(full, ignore_index=True) if full else pd.DataFrame(columns=[*COLUMNS, "rhat", "ess_bulk"])
    )


def _draw_rows(draws: xr.DataArray, rows: list[tuple], conf_level: float) -> pd.DataFrame:
    plain = xr.DataArray(
        draws.values, dims=(*SAMPLE, "parameter"), coords={"parameter": np.arange(len(rows))}
    )
    values = flat(plain)
    convergence = convergence_frame(plain)
    frame = pd.DataFrame(rows, columns=COLUMNS[:4])
    frame["estimate"] = np.median(values, axis=0)
    frame["std_error"] = mad_sd(values)
    ends = np.quantile(values, [(1 - conf_level) / 2, (1 + conf_level) / 2], axis=0)
    frame["conf_low"], frame["conf_high"] = ends
    return frame.assign(rhat=convergence["rhat"].to_numpy(), ess_bulk=convergence["ess_bulk"].to_numpy())


def tidy_reference(
    estimate: LmerEstimate,
    effects: str | Iterable[str] | None = None,
    conf_level: float = 0.95,
    tests: CoefficientTests | None = None,
) -> pd.DataFrame:
    """Return one row per parameter of a reference fit; Wald intervals for fixed and group effects.

    With `tests` the fixed effects have their standard errors, degrees of freedom and p values, and t
    intervals. Standard deviations and correlations have no standard error here (NaN): a Wald interval would
    be wrong for them.
    """
    chosen = check_effects(effects)
    level = check_probability(conf_level, "conf_level")
    z = stats.norm.ppf((1 + level) / 2)
    parts = []
    rows: list[tuple]
    if "fixed" in chosen:
        rows = [("fixed", None, None, n) for n in estimate.coefficients]
        parts.append(
            _fixed_rows(rows, estimate, z) if tests is None else _tested_rows(rows, estimate, tests, level)
        )
    if "ran_pars" in chosen:
        varcorr = estimate.varcorr
        rows = [("ran_pars", g, None, t) for g, t in variance_terms(varcorr.blocks)]
        values = [v for b in varcorr.blocks for v in (*b.sd, *(b.corr[ij] for ij in lower_pairs(len(b.sd))))]
        rows.append(("ran_pars", "Residual", None, "sd__Observation"))
        values.append(estimate.sigma)
        parts.append(estimate_rows(rows, np.array(values), np.full(len(values), np.nan), z))
    if "ran_vals" in chosen:
        for r in estimate.ranef:
            rows = [("ran_vals", r.label, v, c) for v in r.levels for c in r.columns]
            parts.append(estimate_rows(rows, r.mode.ravel(), r.sd.ravel(), z))
    if not parts:
        return estimate_rows([], np.empty(0), np.empty(0), z)
    return pd.concat(parts, ignore_index=True)


def coefficient_frame(estimate: LmerEstimate, tests: CoefficientTests | None) -> pd.DataFrame:
    """Return the table of fixed effects: estimate, std_error, df, statistic, p_value by R's name.

    Without `tests` df and p_value are NaN.
    """
    rows = [("fixed", None, None, n) for n in estimate.coefficients]
    frame = _fixed_rows(rows, estimate, 0.0) if tests is None else _tested_rows(rows, estimate, tests, 0.95)
    columns = ["estimate", "std_error", "df", "statistic", "p_value"]
    return frame.set_index("term")[columns].rename_axis(None)


def _fixed_rows(rows: list[tuple], estimate: LmerEstimate, z: float) -> pd.DataFrame:
    return estimate_rows(rows, estimate.beta, estimate.se, z).assign(statistic=estimate.beta / estimate.se)


def _tested_rows(
    rows: list[tuple], estimate: LmerEstimate, tests: CoefficientTests, conf_level: float
) -> pd.DataFrame:
    t = stats.t.ppf((1 + conf_level) / 2, tests.df)
    frame = estimate_rows(rows, estimate.beta, tests.se, t)
    return frame.assign(statistic=tests.statistic, df=tests.df, p_value=tests.p_value)


def estimate_rows(
    rows: list[tuple], value: np.ndarray, se: np.ndarray, quantile: float | np.ndarray
) -> pd.DataFrame:
    """Return rows with an estimate, its standard error and estimate -/+ quantile x standard error."""
    frame = pd.DataFrame(rows, columns=COLUMNS[:4])
    frame["estimate"], frame["std_error"] = value, se
    frame["conf_low"], frame["conf_high"] = value - quantile * se, value + quantile * se
    return frame.assign(statistic=np.nan, df=np.nan, p_value=np.nan)


# -- group effects ---------------------------------------------------------------------------------


def ranef_frames(posterior: Posterior, sd: bool = False) -> dict[str, pd.DataFrame]:
    """Posterior medians of the group effects by grouping factor; with `sd`, columns ``sd__x`` too."""
    blocks = []
    for b in posterior.whole.blocks:
        spread = b.b.std(SAMPLE, ddof=1).values if sd else None
        blocks.append((b, b.b.median(SAMPLE).values, spread))
    return _effect_frames(blocks)


def reference_ranef_frames(
    estimate: LmerEstimate | GlmerEstimate, sd: bool = False
) -> dict[str, pd.DataFrame]:
    """Conditional modes by grouping factor (levels x columns); with `sd`, columns ``sd__x`` too."""
    return _effect_frames([(r, r.mode, r.sd if sd else None) for r in estimate.ranef])


def _effect_frames(blocks: list[tuple[Any, np.ndarray, np.ndarray | None]]) -> dict[str, pd.DataFrame]:
    """Put the blocks of one factor side by side, as lme4's ``ranef``.

    A block that shares a column with an earlier one on its factor stands by itself, under its label.
    """
    out: dict[str, pd.DataFrame] = {}
    for block, values, spread in blocks:
        frame = pd.DataFrame(values, list(block.levels), list(block.columns))
        if spread is not None:
            frame[[f"sd__{c}" for c in block.columns]] = spread
        before = out.get(block.group)
        if before is None or set(before.columns) & set(frame.columns):
            out[block.group if before is None else block.label] = frame
        else:
            out[block.group] = pd.concat([before, frame], axis=1)
    return out


def coef_frames(
    fixef: pd.Series, ranef: dict[str, pd.DataFrame], groups: dict[str, str]
) -> dict[str, pd.DataFrame]:
    """Return lme4's ``coef``: per grouping factor, fixed effects plus the effects of all its blocks.

    Parameters
    ----------
    fixef
        Fixed effects by name.
    ranef
        Group effects by grouping factor or block label.
    groups
        Grouping factor of each key of `ranef`.
    """
    out: dict[str, pd.DataFrame] = {}
    for label, effects in ranef.items():
        group = groups[label]
        if group not in out:
            out[group] = pd.DataFrame(
                np.tile(fixef.to_numpy(), (len(effects), 1)), effects.index, list(fixef.index)
            )
        for column in effects.columns:
            base = out[group].get(column, 0.0)
            out[group][column] = base + effects[column]
    return out


def icc_draws(posterior: Posterior, residual: np.ndarray | None = None) -> xr.DataArray:
    """Draws of each block's intraclass correlation: its intercept variance over the sum of all and of the residual.

    (chain, draw, group); blocks without an intercept column are left out. With varying slopes it is the
    ICC where the slopes' predictors are 0. The residual variance is sigma^2, or that of `residual` on the scale of
    the link, shape (chain x draw,); see `bayesmlm.link_scale`.
    """
    with_intercept = [b for b in posterior.blocks if "(Intercept)" in b.columns]
    if not with_intercept or (posterior.sigma is None and residual is None):
        return _empty_like(posterior)
    variances = [b.sd.sel(column="(Intercept)", drop=True) ** 2 for b in with_intercept]
    names = xr.DataArray([b.label for b in with_intercept], dims="group", name="group")
    stacked = xr.concat(variances, dim=names).transpose(*SAMPLE, "group")
    if residual is not None:
        return stacked / (stacked.sum("group") + labelled(residual.reshape(posterior.fixef.shape[:2])))
    assert posterior.sigma is not None
    return stacked / (stacked.sum("group") + posterior.sigma**2)


def _empty_like(posterior: Posterior) -> xr.DataArray:
    shape = (*posterior.fixef.shape[:2], 0)
    return xr.DataArray(np.empty(shape), dims=(*SAMPLE, "group"), coords={"group": np.empty(0, dtype=object)})


def reference_icc(varcorr: VarCorr, residual: float | None = None) -> pd.Series:
    """Intraclass correlation of each block with an intercept column, as `icc_draws` defines it."""
    var = {
        b.label: b.sd[b.columns.index("(Intercept)")] ** 2
        for b in varcorr.blocks
        if "(Intercept)" in b.columns
    }
    if varcorr.sigma is None and residual is None:
        return pd.Series({}, dtype=float, name="icc")
    total = sum(var.values()) + ((varcorr.sigma or 0.0) ** 2 if residual is None else residual)
    return pd.Series({label: v / total for label, v in var.items()}, dtype=float, name="icc")
