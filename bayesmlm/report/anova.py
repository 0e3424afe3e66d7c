"""Reports of likelihood-ratio tests as lme4's ``anova`` and of type III tests as lmerTest's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bayesmlm.reference import lrt
from bayesmlm.reference.lrt import LrtRow
from bayesmlm.reference.type3 import TermTest
from bayesmlm.report.grid import Grid, Report
from bayesmlm.report.reference import SIGNIF_LEGEND
from bayesmlm.report.rformat import format_numbers, format_p, stars, zapsmall

REFITTED = "refitting model(s) with ML (instead of REML)"
RESTRICTED = (
    "The likelihoods are restricted ones (REML): comparable only between models with the same fixed effects."
)


def lrt_report(rows: tuple[LrtRow, ...], refitted: bool, reml: bool, digits: int = 5) -> Report:
    """Lay out likelihood-ratio tests: lme4's table, then a note on each test that is not a plain chi-square."""
    parts: list[str | Grid] = [REFITTED] if refitted else []
    parts += ["Models:", *(f"{r.model.name}: {r.model.formula}" for r in rows), _grid(rows, digits)]
    if _starred(rows):
        parts += SIGNIF_LEGEND
    notes = [note for before, row in pairwise(rows) if (note := _note(before, row))]
    notes += [RESTRICTED] if reml else []
    return Report((*parts, *(["", *notes] if notes else [])))


def _starred(rows: tuple[LrtRow, ...]) -> bool:
    return any(r.p_value < 0.1 for r in rows)


def _grid(rows: tuple[LrtRow, ...], digits: int) -> Grid:
    columns = [[str(r.model.npar) for r in rows]]
    for values in (
        [r.model.aic for r in rows],
        [r.model.bic for r in rows],
        [r.model.loglik for r in rows],
        [-2.0 * r.model.loglik for r in rows],
    ):
        columns.append(format_numbers(zapsmall(np.array(values), digits), digits))
    tested = [i for i, r in enumerate(rows) if np.isfinite(r.chisq)]
    chisq = format_numbers([round(rows[i].chisq, digits - 1) for i in tested], digits)
    valued = [i for i in tested if np.isfinite(rows[i].p_value)]
    p = format_p([rows[i].p_value for i in valued], digits - 1)
    columns += [_sparse(chisq, tested, rows), _sparse([f"{rows[i].df:g}" for i in tested], tested, rows)]
    columns += [_sparse(p, valued, rows)]
    heads = ["npar", "AIC", "BIC", "logLik", "deviance", "Chisq", "Df", "Pr(>Chisq)"]
    if _starred(rows):
        columns.append([stars(r.p_value).ljust(3) if np.isfinite(r.p_value) else "" for r in rows])
        heads.append("")
    names = tuple(r.model.name for r in rows)
    return Grid(tuple(heads), tuple(zip(*columns, strict=True)), names, caption="Likelihood-ratio tests")


def _sparse(texts: list[str], where: list[int], rows: tuple[LrtRow, ...]) -> list[str]:
    found = dict(zip(where, texts, strict=True))
    return [found.get(i, "") for i in range(len(rows))]


def _note(before: LrtRow, row: LrtRow) -> str:
    pair = f"{row.model.name} against {before.model.name}"
    conservative = f"{pair}: a variance of 0 is on its boundary, so Pr(>Chisq) is conservative (too large)"
    if row.relation == lrt.BOUNDARY:
        mixture = " + ".join(f"{weight:g} chi2({df})" for df, weight in row.mixture)
        p = format_p([row.p_boundary], 4)[0]
        p = p if p.startswith("<") else f"= {p}"
        also = "" if len(row.mixture) == 2 else ", if the estimates of the variances are uncorrelated"
        return f"{conservative};\n  by {mixture}{also}: p {p}"
    if row.relation == lrt.NO_MIXTURE:
        return f"{conservative};\n  no simple mixture of chi-squares takes its place"
    if row.relation == lrt.FIXED_TOO:
        return f"{conservative};\n  the test is of variances and fixed effects at once"
    if row.relation == lrt.NOT_NESTED:
        return f"! {pair}: not nested, so Pr(>Chisq) means nothing; compare AIC or BIC instead"
    return ""


def term_report(rows: tuple[TermTest, ...], method: str, digits: int = 5) -> Report:
    """Lay out type III tests as lmerTest does."""
    title = f"Type III Analysis of Variance Table with {method}'s method"
    if not rows:
        return Report((title, "(no terms besides the intercept)"))
    columns = [
        format_numbers(zapsmall(np.array(values, dtype=float), digits), digits)
        for values in (
            [r.sum_sq for r in rows],
            [r.mean_sq for r in rows],
            [r.test.num_df for r in rows],
            [r.test.den_df for r in rows],
        )
    ]
    p = [r.test.p_value for r in rows]
    columns.append(format_numbers(np.round([r.test.statistic for r in rows], digits - 1), digits))
    columns.append(format_p(p, digits - 1))
    heads = ["Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)"]
    starred = min(p) < 0.1
    if starred:
        columns.append([stars(value).ljust(3) for value in p])
        heads.append("")
    grid = Grid(tuple(heads), tuple(zip(*columns, strict=True)), tuple(r.term for r in rows))
    return Report((title, grid, *(SIGNIF_LEGEND if starred else [])))
