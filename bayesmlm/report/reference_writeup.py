"""What a paper says of a reference fit: model, data, estimation, results, references."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.model_rows import parameter_rows
from bayesmlm.reference.ddf import CoefficientTests
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.report import citations
from bayesmlm.report.model_cells import number_text, row_decimals
from bayesmlm.report.model_words import data_paragraph, model_paragraph
from bayesmlm.report.prose import Paragraph, Prose
from bayesmlm.report.rformat import format_p
from bayesmlm.report.writeup import variance_sentences


def reference_prose(
    design: Design,
    estimate: LmerEstimate,
    tidy: pd.DataFrame,
    shares: pd.DataFrame,
    tests: CoefficientTests | None,
    prob: float,
    digits: int,
) -> Prose:
    """Write what a paper says of a reference fit.

    Parameters
    ----------
    design, estimate
        The fit.
    tidy
        As `tables.tidy_reference`, with intervals of probability `prob`.
    shares
        As `model_rows.reference_shares`, by the blocks' labels.
    tests
        The tests in `tidy`; None if there are none.
    prob, digits
        Probability of the intervals; decimals.
    """
    rows = pd.concat([parameter_rows(tidy, {}), shares], ignore_index=True)
    words = " ".join(variance_sentences(design, rows, digits))
    paragraphs = (
        model_paragraph(design, "a linear multilevel model"),
        data_paragraph(design),
        _estimation_paragraph(estimate, tests, digits=1),
        _fixed_paragraph(tidy, tests, prob, digits),
        Paragraph("Variance components", (words,)),
    )
    works = [citations.LME4, citations.R2]
    if tests is not None:
        works.append(citations.SATTERTHWAITE if tests.method == "Satterthwaite" else citations.KENWARD_ROGER)
    if any(len(b.columns) > 1 for b in design.blocks):
        works.append(citations.R2_SLOPES)
    return Prose(tuple(p for p in paragraphs if str(p)), tuple(sorted(works)))


def _estimation_paragraph(estimate: LmerEstimate, tests: CoefficientTests | None, digits: int) -> Paragraph:
    how = "restricted maximum likelihood (REML)" if estimate.reml else "maximum likelihood (ML)"
    text = f"The model was estimated by {how}, as lme4 does."
    if tests is not None:
        text += f" Degrees of freedom of the t tests are those of {tests.method}."
    if estimate.reml:
        text += f" The REML criterion was {number_text(estimate.criterion, digits)}."
    else:
        loglik, aic, bic = (number_text(v, digits) for v in (estimate.loglik, estimate.aic, estimate.bic))
        text += f" The log-likelihood was {loglik}, AIC {aic} and BIC {bic}."
    if estimate.singular or not estimate.converged:
        text += f" {estimate.status}"
    return Paragraph("Estimation", (text,))


def _fixed_paragraph(
    tidy: pd.DataFrame, tests: CoefficientTests | None, prob: float, digits: int
) -> Paragraph:
    parts = []
    for row in tidy[tidy["effect"] == "fixed"].to_dict("records"):
        decimals = row_decimals("fixed", [row], digits)
        value, se, low, high = (
            number_text(row[k], decimals) for k in ("estimate", "std_error", "conf_low", "conf_high")
        )
        text = f"{row['term']} {value} (SE {se}) [{low}, {high}]"
        if tests is not None:
            text += f", t({row['df']:.1f}) = {row['statistic']:.2f}, p {_p_text(row['p_value'])}"
        parts.append(text)
    if not parts:
        return Paragraph("Fixed effects", ())
    return Paragraph(
        "Fixed effects", (f"Estimate [{100 * prob:g}% confidence interval]: {'; '.join(parts)}.",)
    )


def _p_text(p: float) -> str:
    if np.isnan(p):
        return "not available"
    return "< 0.001" if p < 0.001 else f"= {format_p([round(p, 3)])[0].strip()}"
