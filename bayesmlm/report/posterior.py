"""Reports of Bayesian fits, laid out as rstanarm's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.covariance import VarCorr
from bayesmlm.design import Design
from bayesmlm.priors import Adjusted, Decov, Distribution, Implied, Lkj, Priors
from bayesmlm.report.grid import RULE, Grid, Report, by_size, dropped_sentence, random_effects_grid
from bayesmlm.report.rformat import format_fixed, format_numbers


def fit_report(
    design: Design,
    coefficients: pd.DataFrame,
    auxiliary: pd.DataFrame,
    varcorr: VarCorr,
    notes: Sequence[str],
    digits: int,
) -> Report:
    """What ``print(fit)`` shows: rstanarm's layout.

    Parameters
    ----------
    design
        The design.
    coefficients, auxiliary
        Columns Median and MAD_SD.
    varcorr
        Posterior summary of the variance components.
    notes
        Sentences on convergence.
    digits
        Decimals.
    """
    levels = " ".join(f"{g} {n}," for g, n in by_size(design)).rstrip(",")
    parts: list[str | Grid] = ["bayesmlm.fit", *_header(design), RULE]
    parts += [_point_grid(coefficients, digits)] if len(coefficients) else ["No fixed effects"]
    if len(auxiliary):
        parts += ["", "Auxiliary parameter(s):", _point_grid(auxiliary, digits)]
    parts += ["", "Error terms:", random_effects_grid(varcorr, ("Std.Dev.",), 5, digits)]
    parts += [f"Num. levels: {levels} ", "", RULE, *(f"! {note}" for note in notes)]
    parts += ["* Error terms are posterior medians of each standard deviation and correlation"]
    parts += ["* More: fit.summary(), fit.compare() beside the ML/REML fit, fit.prior_summary()"]
    return Report(tuple(parts), pd.concat([coefficients, auxiliary]))


def diagnostics_report(
    parameters: pd.DataFrame, chains: pd.DataFrame, notes: Sequence[str], sampler: str, n_draws: int
) -> Report:
    """How well the chains sampled: a row per chain, the worst parameters, and what is wrong in words.

    Parameters
    ----------
    parameters
        Columns mcse, rhat, ess_bulk, ess_tail, by parameter; they become the report's frame.
    chains
        As `bayesmlm.diagnostics.chain_frame`.
    notes
        Sentences on convergence.
    sampler
        How the draws were made.
    n_draws
        Posterior sample size.
    """
    heads = ("divergences", "E-BFMI", "tree depth", "acceptance", "step size")
    columns = [[str(v) for v in chains["divergences"]]]
    decimals = {"e_bfmi": 2, "tree_depth": 1, "acceptance_rate": 2, "step_size": 2}
    columns += [format_fixed(chains[name].to_numpy(), places) for name, places in decimals.items()]
    names = tuple(f"chain {i}" for i in chains.index)
    parts: list[str | Grid] = [f"Sampler: {sampler}", f"Draws:   {n_draws} in {len(chains)} chains", ""]
    parts += [Grid(heads, tuple(zip(*columns, strict=True)), names), "", "Worst of all parameters:"]
    for label, name, worst, places in (
        ("Rhat", "rhat", "idxmax", 3),
        ("bulk ESS", "ess_bulk", "idxmin", 0),
        ("tail ESS", "ess_tail", "idxmin", 0),
    ):
        known = parameters[name].dropna()
        if len(known):
            where = getattr(known, worst)()
            parts.append(f" {label:<8} {known[where]:.{places}f}  {where}")
    parts += ["", *([f"! {note}" for note in notes] or ["Nothing to complain about."])]
    return Report(tuple(parts), parameters)


def _header(design: Design) -> list[str]:
    lines = [
        " family:       gaussian [identity]",
        f" formula:      {design.formula.spelled}",
        f" observations: {design.nobs}",
    ]
    dropped = dropped_sentence(design)
    return [*lines, f" ({dropped})"] if dropped else lines


def _point_grid(frame: pd.DataFrame, digits: int) -> Grid:
    columns = [format_fixed(frame[c], digits) for c in frame.columns]
    rows = tuple(zip(*columns, strict=True))
    return Grid(tuple(map(str, frame.columns)), rows, tuple(map(str, frame.index)))


def summary_report(
    design: Design, frame: pd.DataFrame, sampler: str, sample_size: int, digits: int
) -> Report:
    """What ``fit.summary()`` shows: Model Info, Estimates, Fit Diagnostics, MCMC diagnostics.

    `frame` has the columns of `tables.summary_frame`.
    """
    groups = ", ".join(f"{g} ({n})" for g, n in by_size(design))
    info = [
        "",
        "Model Info:",
        " function:     bayesmlm.fit",
        " family:       gaussian [identity]",
        f" formula:      {design.formula.spelled}",
        f" algorithm:    {sampler}",
        f" sample:       {sample_size} (posterior sample size)",
        " priors:       see prior_summary()",
        f" observations: {design.nobs}",
        f" groups:       {groups}",
        "",
    ]
    statistics = [c for c in frame.columns if c not in {"mcse", "n_eff", "Rhat"}]
    estimates = frame.drop(index=["mean_PPD", "log-posterior"], errors="ignore")
    parts: list[str | Grid] = [*info]
    if len(estimates):
        parts += ["Estimates:", _estimate_grid(estimates[statistics], digits)]
    if "mean_PPD" in frame.index:
        parts += ["", "Fit Diagnostics:", _estimate_grid(frame.loc[["mean_PPD"], statistics], digits), ""]
        parts += [
            "mean_PPD is the mean of one replicated data set per draw: compare it with the observed mean of"
        ]
        parts += [f"{design.response}, {format_numbers([design.y.mean()], 5)[0]}"]
    parts += ["", "MCMC diagnostics", _mcmc_grid(frame, digits), ""]
    parts += [
        "mcse is the Monte Carlo standard error of the mean, n_eff the bulk effective sample size, and Rhat the"
    ]
    parts += ["rank-normalised split potential scale reduction factor (at convergence Rhat = 1)."]
    return Report(tuple(parts), frame)


def _estimate_grid(frame: pd.DataFrame, digits: int) -> Grid:
    columns = [format_fixed(frame[c], digits) for c in frame.columns]
    return Grid(
        tuple(map(str, frame.columns)), tuple(zip(*columns, strict=True)), tuple(map(str, frame.index))
    )


def _mcmc_grid(frame: pd.DataFrame, digits: int) -> Grid:
    cells = [
        format_fixed(frame["mcse"], digits),
        format_fixed(frame["Rhat"], 3),
        format_fixed(frame["n_eff"], 0),
    ]
    return Grid(("mcse", "Rhat", "n_eff"), tuple(zip(*cells, strict=True)), tuple(map(str, frame.index)))


# -- priors ------------------------------------------------------------------------------------------


def prior_text(prior: Any, digits: int = 2) -> str:
    """Write a prior as rstanarm does, ``normal(location = 73, scale = 41)``."""
    match prior:
        case Distribution():
            inner = [f"{k} = {_two(v, digits)}" for k, v in prior.parameters]
            return f"{prior.name}({', '.join(inner)})"
        case Decov():
            values = (prior.regularization, prior.concentration, prior.shape, prior.scale)
            inner = [
                f"{k} = {_two(v, digits)}"
                for k, v in zip(("reg.", "conc.", "shape", "scale"), values, strict=True)
            ]
            return f"decov({', '.join(inner)})"
        case Lkj():
            used = list(dict.fromkeys(prior_text(d, digits) for d in prior.adjusted))
            sds = used[0] if len(used) == 1 else f"[{', '.join(used)}]"
            return f"lkj(reg. = {_two(prior.regularization, digits)}, sd ~ {sds})"
    return str(prior)


def _two(value: float, digits: int) -> str:
    return format_numbers([float(f"{value:.{digits}g}")], digits)[0]


def prior_report(design: Design, priors: Priors, implications: Sequence[Implied], digits: int) -> Report:
    """What ``fit.prior_summary()`` shows: rstanarm's blocks, then what each covariance prior implies."""
    parts: list[str | Grid] = ["Priors", RULE]
    if priors.intercept is not None:
        parts += ["Intercept (after predictors centered)", *_prior_pair([priors.intercept], digits), ""]
    if priors.coefficients:
        names = ", ".join(priors.coefficients)
        parts += [f"Coefficients ({names})", *_prior_pair(list(priors.coefficients.values()), digits), ""]
    parts += ["Auxiliary (sigma)", *_prior_pair([priors.sigma], digits), "", "Covariance"]
    parts += [f" {label} ~ {prior_text(p, digits)}" for label, p in priors.covariance.items()]
    parts += [RULE, f"What these priors imply, in units of {design.response}:"]
    for item in implications:
        parts += _implied_lines(item, digits)
    return Report(tuple(parts), _prior_frame(priors))


def _prior_pair(priors: Sequence[Adjusted], digits: int) -> list[str]:
    specified = list(dict.fromkeys(prior_text(p.specified, digits) for p in priors))
    used = [prior_text(p.used, digits) for p in priors]
    shown = used[0] if len(set(used)) == 1 else f"[{', '.join(used)}]"
    first = specified[0] if len(specified) == 1 else f"[{', '.join(specified)}]"
    if first == shown:
        return [f" ~ {shown}"]
    return ["  Specified prior:", f"    ~ {first}", "  Adjusted prior:", f"    ~ {shown}"]


def _implied_lines(item: Implied, digits: int) -> list[str]:
    lines = []
    for column, (low, high) in zip(item.columns, item.sd_range, strict=True):
        low_text, high_text = (_two(v, digits) for v in (low, high))
        lines.append(f" {item.label}: sd of {column} between {low_text} and {high_text} (90%)")
    if not np.isnan(item.icc_median):
        above = f"P(> 0.5) = {item.icc_above_half:.2f}"
        lines.append(f" {item.label}: share of variance (ICC) has median {item.icc_median:.2f}, {above}")
    if not np.isnan(item.extreme_correlation):
        lines.append(f" {item.label}: P(|correlation| > 0.9) = {item.extreme_correlation:.2f}")
    return lines


def _prior_frame(priors: Priors) -> pd.DataFrame:
    rows = [] if priors.intercept is None else [("(Intercept)", priors.intercept)]
    rows += [*priors.coefficients.items(), ("sigma", priors.sigma)]
    data = [(name, prior_text(p.specified, 12), prior_text(p.used, 12)) for name, p in rows]
    data += [(label, prior_text(p, 12), prior_text(p, 12)) for label, p in priors.covariance.items()]
    return pd.DataFrame(data, columns=["parameter", "specified", "adjusted"])
