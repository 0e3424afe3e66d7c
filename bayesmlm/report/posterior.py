"""Reports of Bayesian fits, laid out as rstanarm's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bayesmlm.covariance import VarCorr
from bayesmlm.design import Design
from bayesmlm.report.grid import (
    RULE,
    Grid,
    Part,
    Report,
    Sentences,
    by_size,
    dropped_sentence,
    random_effects_grid,
)
from bayesmlm.report.responses import family_text
from bayesmlm.report.rformat import format_fixed, format_numbers

MOST_DECIMALS = 5
CUT = "thresholds["  # each is named with the two categories that it parts
WIDTH = 100


def fit_report(
    design: Design,
    coefficients: pd.DataFrame,
    auxiliary: pd.DataFrame,
    varcorr: VarCorr,
    notes: Sequence[str],
    digits: int | None = None,
    prior_only: bool = False,
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
        Decimals; if None one, as rstanarm, or as many as show every MAD_SD and standard deviation as more than 0.
    prior_only
        Whether the draws are from the prior.
    """
    if digits is None:
        spreads = [
            *coefficients["MAD_SD"],
            *auxiliary["MAD_SD"],
            *(sd for b in varcorr.blocks for sd in b.sd),
        ]
        digits = _enough_decimals(spreads)
    levels = " ".join(f"{g} {n}," for g, n in by_size(design)).rstrip(",")
    parts: list[str | Grid] = ["bayesmlm.fit", *_header(design)]
    parts += [" sample:       prior only: no data used", RULE] if prior_only else [RULE]
    parts += (
        [replace(_point_grid(coefficients, digits), caption="Fixed effects")]
        if len(coefficients)
        else ["No fixed effects"]
    )
    cut = auxiliary.index.str.startswith(CUT) if len(auxiliary) else []
    for heading, shown in (
        ("Cutpoints:", auxiliary[cut].rename(lambda name: name[len(CUT) : -1])),
        ("Auxiliary parameter(s):", auxiliary[~np.asarray(cut, dtype=bool)]),
    ):
        parts += ["", heading, _point_grid(shown, digits)] if len(shown) else []
    parts += ["", "Error terms:", random_effects_grid(varcorr, ("Std.Dev.",), 5, digits)]
    parts += [f"Num. levels: {levels} ", "", RULE, *(f"! {note}" for note in notes)]
    parts += [
        f"* Error terms are {'prior' if prior_only else 'posterior'} medians of each standard deviation and correlation"
    ]
    parts += ["* More: fit.summary(), fit.compare() beside the ML/REML fit, fit.prior_summary()"]
    return Report(tuple(parts), pd.concat([coefficients, auxiliary]))


def _enough_decimals(values: Sequence[float]) -> int:
    """Fewest decimals, at least one, that show all positive values as more than 0; at most MOST_DECIMALS."""
    least = min((v for v in values if v > 0), default=1.0)
    return next((d for d in range(1, MOST_DECIMALS) if round(least, d) > 0), MOST_DECIMALS)


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
    parts += [
        Grid(heads, tuple(zip(*columns, strict=True)), names, caption="Chains"),
        "",
        "Worst of all parameters:",
    ]
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
        f" family:       {family_text(design.family)}",
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
    design: Design, frame: pd.DataFrame, sampler: str, sample_size: int, digits: int | None = None
) -> Report:
    """What ``fit.summary()`` shows: Model Info, Estimates, Fit Diagnostics, MCMC diagnostics.

    `frame` has the columns of `tables.summary_frame`.
    """
    if digits is None:
        digits = _enough_decimals(frame["sd"].tolist())
    groups = ", ".join(f"{g} ({n})" for g, n in by_size(design))
    info = [
        "",
        "Model Info:",
        " function:     bayesmlm.fit",
        f" family:       {family_text(design.family)}",
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
    parts: list[Part] = [*info]
    if len(estimates):
        parts += ["Estimates:", _estimate_grid(estimates[statistics], digits)]
    if "mean_PPD" in frame.index:
        parts += ["", "Fit Diagnostics:", _estimate_grid(frame.loc[["mean_PPD"], statistics], digits), ""]
        parts += [Sentences(_ppd_words(design), WIDTH, rest="")]
    parts += ["", "MCMC diagnostics", _mcmc_grid(frame, digits), ""]
    said = (
        "mcse is the Monte Carlo standard error of the mean, n_eff the bulk effective sample size, and Rhat the "
        "rank-normalised split potential scale reduction factor (at convergence Rhat = 1)."
    )
    parts += [Sentences(said, WIDTH, rest="")]
    return Report(tuple(parts), frame)


def _ppd_words(design: Design) -> str:
    what = f"mean of {design.response}"
    if design.family.support == "binomial":
        of = "share" if design.trials is None else "mean number"
        what = f"{of} of successes in {design.response}"
    if design.family.is_ordinal:
        what = f"mean category (the first is 0) of {design.response}"
    observed = format_numbers([design.y.mean()], 5)[0]
    return f"mean_PPD is the mean of one replicated data set per draw: compare it with the observed {what}, {observed}"


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
