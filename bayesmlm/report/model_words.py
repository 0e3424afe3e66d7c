"""A model and its data in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayesmlm.blocks import Block
from bayesmlm.design import Design
from bayesmlm.meanings import event
from bayesmlm.report.grid import dropped_sentence
from bayesmlm.report.prose import Code, Paragraph, listed


def model_paragraph(design: Design, kind: str) -> Paragraph:
    """Say what was regressed on what, and what varies between which groups.

    Parameters
    ----------
    design
        The design.
    kind
        What the model is called, with its article: "a linear multilevel model".
    """
    terms = [str(t) for t in design.formula.fixed.terms]
    intercept = "(Intercept)" in design.coefficients
    if terms:
        predictors = f"{'an intercept and ' if intercept else 'no intercept and '}{listed(terms)}"
    else:
        predictors = "an intercept only" if intercept else "no fixed effects"
    if design.family.is_ordinal:
        predictors = f"thresholds and {listed(terms)}" if terms else "thresholds only"
    first = f"{kind} was fitted to {design.response} with {predictors} in the fixed part (R's formula: "
    rest = "). " + " ".join(_block_sentence(b, design) for b in design.blocks)
    if design.aliased:
        verb = "is" if len(design.aliased) == 1 else "are"
        rest += f" {listed(design.aliased)} {verb} a linear combination of other predictors and had no coefficient."
    if design.offset is not None:
        rest += " An offset, a known part of the linear predictor, was added."
    if design.weights is not None:
        gaussian = design.family.name == "gaussian"
        what = (
            "residual variance of a row was sigma squared over"
            if gaussian
            else "log-likelihood of a row was times"
        )
        rest += f" The {what} its weight."
    return Paragraph("Model", (first[0].upper() + first[1:], Code(design.formula.spelled), rest))


REGRESSIONS = {
    ("binomial", "logit"): "logistic regression",
    ("binomial", "probit"): "probit regression",
    ("poisson", "log"): "Poisson regression",
    ("negativebinomial", "log"): "negative binomial regression",
    ("gamma", "log"): "gamma regression",
    ("gamma", "inverse"): "gamma regression",
    ("beta", "logit"): "beta regression",
    ("beta_binomial", "logit"): "beta-binomial regression",
    ("cumulative", "logit"): "ordinal (cumulative) regression",
    ("sratio", "logit"): "ordinal (stopping-ratio) regression",
    ("categorical", "softmax"): "multinomial regression",
}


def model_kind(design: Design) -> str:
    """Name the kind of model: ``"multilevel logistic regression (binomial family, logit link)"``."""
    family = design.family
    if family.is_gaussian_identity:
        return "linear multilevel model (normal residuals)"
    named = f"({family.spelled} family, {family.spelled_link} link)"
    kind = REGRESSIONS.get((family.name, family.link), "")
    return f"multilevel {kind} {named}" if kind else f"generalised linear multilevel model {named}"


def _block_sentence(block: Block, design: Design) -> str:
    names = effect_names(block.columns)
    others = [b for b in design.blocks if b.group == block.group and b is not block]
    where = f"varied between the {len(block.levels)} levels of {block.group}"
    together = ""
    if len(names) == 2:
        together = ", and the two were allowed to correlate"
    elif len(names) > 2:
        together = ", and were allowed to correlate"
    apart = ""
    if others and block is not next(b for b in design.blocks if b.group == block.group):
        apart = f", independently of the other effects of {block.group}"
    text = listed(names)
    return f"{text[0].upper()}{text[1:]} {where}{together}{apart}."


def effect_names(columns: Sequence[str]) -> list[str]:
    """Say what the columns of a block are: "the intercept", "the coefficient of x"."""
    return ["the intercept" if c == "(Intercept)" else f"the coefficient of {c}" for c in columns]


def data_paragraph(design: Design) -> Paragraph:
    """Say how many rows and groups there are, and which rows were left out."""
    levels = [f"{n} levels of {g}" for g, n in design.ngroups.items()]
    groups = f" in {listed(levels)}" if levels else ""
    sizes = []
    factors = {b.group: b for b in design.blocks}.values()
    for b in factors:
        rows = np.bincount(b.index, minlength=len(b.levels))
        of = f" of {b.group}" if len(factors) > 1 else ""
        many = f"{rows.min()} to {rows.max()}" if rows.min() < rows.max() else f"{rows.min()}"
        sizes.append(f"{many} per level{of}")
    spread = f" ({listed(sizes)})" if sizes else ""
    dropped = dropped_sentence(design)
    left_out = f" {dropped[0].upper()}{dropped[1:]}." if dropped else " No row was left out."
    seen = _seen(design)
    return Paragraph("Data", (f"{design.nobs} rows{groups}{spread}.{seen}{left_out}",))


def _seen(design: Design) -> str:
    """Say how often a binomial response happened, and of how many trials; empty for other families."""
    if design.family.support != "binomial":
        return ""
    total = float(len(design.y) if design.trials is None else design.trials.sum())
    trials = "rows" if design.trials is None else "trials"
    share = f"{design.y.sum():.0f} of {total:.0f} {trials} ({design.y.sum() / total:.1%})"
    return f" The outcome, {event(design)}, was seen in {share}."
