"""Reports of generalised reference fits, laid out as lme4's."""

from __future__ import annotations

import textwrap

import numpy as np

from bayesmlm.design import Design
from bayesmlm.families import Family
from bayesmlm.glmm_tables import z_tests
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.report.grid import Grid, Report, random_effects_grid
from bayesmlm.report.reference import (
    MAX_CORRELATIONS,
    NO_FIXED_EFFECTS,
    SIGNIF_LEGEND,
    correlation_grid,
    criteria_lines,
    given_lines,
    obs_line,
    status_lines,
)
from bayesmlm.report.rformat import format_coefficients, format_numbers, format_p, stars, wrap_named, zapsmall

METHODS = {0: "Adaptive Gauss-Hermite Quadrature, nAGQ = 0", 1: "Laplace Approximation"}
RX_NOTE = "Standard errors take theta as known"


def glmer_report(design: Design, estimate: GlmerEstimate, digits: int = 4) -> Report:
    """What ``print(ref)`` shows: lme4's short form."""
    parts = [*_heading(design, estimate), *criteria_lines(estimate, 4)]
    parts += [
        "Random effects:",
        random_effects_grid(estimate.varcorr, ("Std.Dev.",), digits),
        obs_line(design),
    ]
    if len(estimate.beta):
        parts += ["Fixed Effects:", *wrap_named(estimate.coefficients, format_numbers(estimate.beta, digits))]
    else:
        parts.append(NO_FIXED_EFFECTS)
    return Report((*parts, *_notes(estimate)))


def glmer_summary_report(design: Design, estimate: GlmerEstimate, digits: int = 4) -> Report:
    """What ``ref.summary()`` shows: lme4's page with z tests."""
    parts = [*_heading(design, estimate), "", *criteria_lines(estimate, 1), "", "Scaled residuals: "]
    quantiles = zapsmall(np.quantile(estimate.scaled_residuals, [0, 0.25, 0.5, 0.75, 1]), digits + 1)
    texts = format_numbers(quantiles, digits)
    heads = tuple(h.rjust(len(texts[0])) for h in ("Min", "1Q", "Median", "3Q", "Max"))
    parts += [Grid(heads, (tuple(texts),)), ""]
    parts += ["Random effects:", random_effects_grid(estimate.varcorr, ("Variance", "Std.Dev."), digits)]
    parts += [obs_line(design), "", *_fixed_effects(estimate, digits)]
    return Report((*parts, *_notes(estimate)))


def family_text(estimate: GlmerEstimate) -> str:
    """Write family and link as R does: ``binomial  ( logit )``."""
    family = Family(estimate.family, estimate.link)
    name = family.spelled
    if estimate.family == "negativebinomial":
        # R's negative.binomial() rounds its parameter to four decimals
        name = f"Negative Binomial({round(estimate.alpha, 4):g})"
    return f"{name}  ( {family.spelled_link} )"


def _heading(design: Design, estimate: GlmerEstimate) -> list[str | Grid]:
    method = METHODS.get(estimate.n_agq, f"Adaptive Gauss-Hermite Quadrature, nAGQ = {estimate.n_agq}")
    title = f"Generalized linear mixed model fit by maximum likelihood ({method}) [glmerMod]"
    lines = textwrap.wrap(title, 72, subsequent_indent="  ", break_on_hyphens=False)
    return [
        "\n".join(lines),
        f" Family: {family_text(estimate)}",
        f"Formula: {design.formula.spelled}",
        *given_lines(design),
    ]


def _notes(estimate: GlmerEstimate) -> list[str]:
    known = [] if estimate.hessian_used or not len(estimate.beta) else [RX_NOTE]
    return [*known, *status_lines(estimate)]


def _fixed_effects(estimate: GlmerEstimate, digits: int) -> list[str | Grid]:
    k = len(estimate.beta)
    if not k:
        return [NO_FIXED_EFFECTS]
    z, p = z_tests(estimate)
    b, se = format_coefficients(estimate.beta, estimate.se, digits)
    statistic = format_numbers(np.round(z, digits - 1), digits)
    heads = ["Estimate", "Std. Error", "t value" if estimate.responses.dispersed else "z value", "Pr(>|z|)"]
    columns = [b, se, statistic, format_p(p)]
    starred = bool(np.any(p < 0.1))
    if starred:
        heads.append("")
        columns.append([stars(value).ljust(3) for value in p])
    rows = tuple(zip(*columns, strict=True))
    parts: list[str | Grid] = ["Fixed effects:", Grid(tuple(heads), rows, estimate.coefficients)]
    parts += SIGNIF_LEGEND if starred else []
    if k > MAX_CORRELATIONS:
        parts += ["", f"Correlation of Fixed Effects: not shown for {k} > {MAX_CORRELATIONS}; see vcov()"]
    elif k > 1:
        parts += ["", "Correlation of Fixed Effects:", correlation_grid(estimate)]
    return parts
