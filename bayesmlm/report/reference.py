"""Reports of reference fits, laid out as lme4's and lm's."""

from __future__ import annotations

import numpy as np

from bayesmlm.design import Design
from bayesmlm.reference.ddf import CoefficientTests
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.reference.pooling import LinearEstimate
from bayesmlm.report.grid import Grid, Report, dropped_sentence, groups_text, random_effects_grid
from bayesmlm.report.rformat import (
    abbreviate,
    format_coefficients,
    format_numbers,
    format_p,
    stars,
    wrap_named,
    zapsmall,
)

SIGNIF_LEGEND = ["---", "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"]
MAX_CORRELATIONS = 12  # lme4 stops printing the correlation of fixed effects beyond this many
NO_FIXED_EFFECTS = "No fixed effect coefficients"


def _title(estimate: LmerEstimate) -> str:
    how = "REML" if estimate.reml else "maximum likelihood "
    return f"Linear mixed model fit by {how} ['lmerMod']"


def _criterion_parts(estimate: LmerEstimate, short: bool) -> list[str | Grid]:
    """The REML criterion, or AIC and its relatives; lme4 shows fewer decimals on the summary page."""
    places = 4 if short else 1
    if estimate.reml:
        return [f"REML criterion at convergence: {format_numbers([round(estimate.criterion, places)], 7)[0]}"]
    return criteria_lines(estimate, places)


def criteria_lines(estimate: LmerEstimate | GlmerEstimate, places: int) -> list[str | Grid]:
    """AIC and its relatives, with so many decimals at most."""
    names = ("AIC", "BIC", "logLik", "deviance", "df.resid")
    numbers = np.round([estimate.aic, estimate.bic, estimate.loglik, estimate.deviance], places)
    values = [*format_numbers(numbers, 7), str(estimate.df_resid)]
    width = max(map(len, [*names, *values]))
    return [" ".join(n.rjust(width) for n in names) + " ", " ".join(v.rjust(width) for v in values) + " "]


def obs_line(design: Design) -> str:
    """Say how many rows and groups there are, and how many rows were left out."""
    groups = groups_text(design)
    first = f"Number of obs: {design.nobs}, groups:  "
    line = first + groups if len(first + groups) < 80 else f"{first}\n{groups}"
    dropped = dropped_sentence(design)
    return f"{line}\n({dropped})" if dropped else line


def _heading(design: Design, title: str) -> list[str | Grid]:
    """The title, the formula, and what was given beside it."""
    return [title, f"Formula: {design.formula.spelled}", *given_lines(design)]


def given_lines(design: Design) -> list[str]:
    """The lines about weights, offset and exposure, if they were given beside the formula."""
    named = {"Weights": "weights", " Offset": "offset", "Exposure": "exposure"}
    given = {what: design.given.get(name) for what, name in named.items()}
    return [
        f"{what}: {value if isinstance(value, str) else 'given as numbers'}"
        for what, value in given.items()
        if value is not None
    ]


def status_lines(estimate: LmerEstimate | GlmerEstimate) -> list[str]:
    """The sentence on how the search ended, unless all is well."""
    return [] if estimate.converged and not estimate.singular else [estimate.status]


def reference_report(design: Design, estimate: LmerEstimate, digits: int = 4) -> Report:
    """What ``print(ref)`` shows: lme4's short form."""
    parts = _heading(design, _title(estimate)) + _criterion_parts(estimate, short=True)
    parts += [
        "Random effects:",
        random_effects_grid(estimate.varcorr, ("Std.Dev.",), digits),
        obs_line(design),
    ]
    if len(estimate.beta):
        parts += ["Fixed Effects:", *wrap_named(estimate.coefficients, format_numbers(estimate.beta, digits))]
    else:
        parts.append(NO_FIXED_EFFECTS)
    return Report((*parts, *status_lines(estimate)))


def reference_summary_report(
    design: Design, estimate: LmerEstimate, digits: int = 4, tests: CoefficientTests | None = None
) -> Report:
    """What ``ref.summary()`` shows: lme4's page, or with `tests` lmerTest's."""
    title = _title(estimate) if tests is None else _tested_title(estimate, tests)
    parts = [*_heading(design, title), ""]
    parts += [*_criterion_parts(estimate, short=False), "", "Scaled residuals: "]
    quantiles = zapsmall(np.quantile(estimate.scaled_residuals, [0, 0.25, 0.5, 0.75, 1]), digits + 1)
    texts = format_numbers(quantiles, digits)
    parts += [
        Grid(tuple(h.rjust(len(texts[0])) for h in ("Min", "1Q", "Median", "3Q", "Max")), (tuple(texts),)),
        "",
    ]
    parts += ["Random effects:", random_effects_grid(estimate.varcorr, ("Variance", "Std.Dev."), digits)]
    parts += [obs_line(design), "", *_fixed_effects(estimate, tests, digits)]
    return Report((*parts, *status_lines(estimate)))


def _fixed_effects(estimate: LmerEstimate, tests: CoefficientTests | None, digits: int) -> list[str | Grid]:
    """The table of coefficients and their correlations."""
    k = len(estimate.beta)
    if not k:
        return [NO_FIXED_EFFECTS]
    if tests is None:
        parts: list[str | Grid] = ["Fixed effects:", _coefficient_grid(estimate, digits)]
    else:
        parts = ["Fixed effects:", _tested_grid(estimate, tests, digits)]
        parts += SIGNIF_LEGEND if np.any(tests.p_value < 0.1) else []
    if k > MAX_CORRELATIONS:
        parts += ["", f"Correlation of Fixed Effects: not shown for {k} > {MAX_CORRELATIONS}; see vcov()"]
    elif k > 1:
        parts += ["", "Correlation of Fixed Effects:", correlation_grid(estimate)]
    return parts


def _coefficient_grid(estimate: LmerEstimate, digits: int) -> Grid:
    b, se = format_coefficients(estimate.beta, estimate.se, digits)
    t = format_numbers(np.round(estimate.beta / estimate.se, 3), digits)
    heads = ("Estimate", "Std. Error", "t value")
    return Grid(heads, tuple(zip(b, se, t, strict=True)), estimate.coefficients)


def _tested_title(estimate: LmerEstimate, tests: CoefficientTests) -> str:
    how = "REML" if estimate.reml else "maximum likelihood"
    return f"Linear mixed model fit by {how}. t-tests use {tests.method}'s method ['lmerModLmerTest']"


def _tested_grid(estimate: LmerEstimate, tests: CoefficientTests, digits: int) -> Grid:
    # R gives estimates, standard errors and degrees of freedom one number of decimals
    both, df = format_coefficients(np.concatenate([estimate.beta, tests.se]), tests.df, digits)
    b, se = both[: len(df)], both[len(df) :]
    t = format_numbers(np.round(tests.statistic, 3), digits)
    marks = [stars(p).ljust(3) for p in tests.p_value]
    heads = ("Estimate", "Std. Error", "df", "t value", "Pr(>|t|)", "")
    rows = zip(b, se, df, t, format_p(tests.p_value), marks, strict=True)
    return Grid(heads, tuple(rows), estimate.coefficients)


def correlation_grid(estimate: LmerEstimate | GlmerEstimate) -> Grid:
    """The correlations of the fixed effects, lower triangle."""
    corr = estimate.vcov / np.outer(estimate.se, estimate.se)
    p = len(corr)
    rows = [tuple(f"{corr[i, j]:.3f}" if j < i else "" for j in range(p - 1)) for i in range(1, p)]
    cells = [list(c) for c in zip(*rows, strict=True)]
    width = max(len(c) for column in cells for c in column)
    padded = [[c.rjust(width) for c in column] for column in cells]
    heads = tuple(abbreviate(estimate.coefficients, 6)[:-1])
    names = tuple(abbreviate(estimate.coefficients, 11)[1:])
    return Grid(heads, tuple(zip(*padded, strict=True)), names, left=p)


def linear_report(formula: str, estimate: LinearEstimate, p_values: np.ndarray, digits: int = 4) -> Report:
    """What printing a linear model shows: R's ``summary(lm)``."""
    quantiles = zapsmall(np.quantile(estimate.residuals, [0, 0.25, 0.5, 0.75, 1]), digits + 1)
    texts = format_numbers(quantiles, digits)
    b, se = format_coefficients(estimate.estimate, estimate.se, digits)
    t = format_numbers(np.round(estimate.estimate / estimate.se, 3), digits)
    marks = [stars(p).ljust(3) for p in p_values]
    rows = zip(b, se, t, format_p(p_values), marks, strict=True)
    heads = ("Estimate", "Std. Error", "t value", "Pr(>|t|)", "")
    sigma, r2, adjusted = (
        format_numbers([v], digits)[0] for v in (estimate.sigma, estimate.r2, estimate.adj_r2)
    )
    parts: list[str | Grid] = [f"Linear model: {formula}", "", "Residuals:"]
    parts += [Grid(("Min", "1Q", "Median", "3Q", "Max"), (tuple(texts),)), "", "Coefficients:"]
    parts += [Grid(heads, tuple(rows), estimate.coefficients), *SIGNIF_LEGEND, ""]
    parts += [f"Residual standard error: {sigma} on {estimate.df_resid} degrees of freedom"]
    if estimate.coefficients != ("(Intercept)",):  # a mean explains nothing, and R leaves the line out
        parts += [f"Multiple R-squared:  {r2},\tAdjusted R-squared:  {adjusted} "]
    return Report(tuple(parts))
