"""`explain`: what a formula means for the data at hand, before anything is fitted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bayesmlm.columns import Factor, as_frame, column_value
from bayesmlm.design import Design, build_design
from bayesmlm.errors import DataWarning
from bayesmlm.explaining import Explanation, Finding, explanation
from bayesmlm.families import read_family
from bayesmlm.formulas import Formula, parse_formula
from bayesmlm.report.equation import Equation, equation
from bayesmlm.report.explanation import bar_frame, explanation_report, level_frame, term_frame
from bayesmlm.report.findings import sentence
from bayesmlm.syntax import Call, Name


@dataclass(frozen=True, repr=False, eq=False)
class Explained:
    """A formula and its data, explained; prints as a page, in a notebook with the equation typeset.

    Attributes
    ----------
    facts : Explanation
        All numbers.
    """

    facts: Explanation

    @property
    def design(self) -> Design:
        """What the formula says about the data."""
        return self.facts.design

    @property
    def terms(self) -> pd.DataFrame:
        """Fixed effects by R's name: term, reference (level), meaning in words."""
        return term_frame(self.facts)

    @property
    def bars(self) -> pd.DataFrame:
        """Blocks of group effects: bar as typed, what it stands for, group, levels, columns, parameters, meaning."""
        return bar_frame(self.facts)

    @property
    def levels(self) -> pd.DataFrame:
        """Levels of categorical predictors: factor, level, rows, is_reference."""
        return level_frame(self.facts)

    @property
    def groups(self) -> pd.DataFrame:
        """Grouping factors: levels, min, median, mean and max rows per level, singletons."""
        return self.facts.groups

    @property
    def pairs(self) -> pd.DataFrame:
        """Pairs of grouping factors: same, nested, crossed or partly crossed, as the data have them."""
        return self.facts.pairs

    @property
    def predictors(self) -> pd.DataFrame:
        """Predictors by grouping factor: within how many levels they vary, and their sds within and between."""
        return self.facts.predictors

    @property
    def findings(self) -> pd.DataFrame:
        """What is worth knowing, warnings first: code, severity (warning or note), about, sentence."""
        rows = [(f.code, f.severity, f.about, sentence(f)) for f in self.facts.findings]
        return pd.DataFrame(rows, columns=["code", "severity", "about", "sentence"])

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings in words."""
        return tuple(sentence(f) for f in self.facts.findings)

    def found(self, code: str) -> tuple[Finding, ...]:
        """Return the findings with a code."""
        return tuple(f for f in self.facts.findings if f.code == code)

    @cached_property
    def equation(self) -> Equation:
        """The equations as `latex`, `mathtext` and `text`."""
        return equation(self.facts)

    @property
    def latex(self) -> str:
        """The equations in LaTeX (an ``aligned`` environment), in Gelman & Hill's notation: row i is in level j[i]."""
        return self.equation.latex

    @property
    def text_equation(self) -> str:
        """The equations in plain characters."""
        return self.equation.text

    def __repr__(self) -> str:
        return str(explanation_report(self.facts, self.equation))

    def _repr_html_(self) -> str:
        return explanation_report(self.facts, self.equation, html=True)._repr_html_()


def explained(design: Design) -> Explained:
    """Explain a design that has been built."""
    return Explained(explanation(design))


def explain(
    formula: str | Formula,
    data: Any,
    family: str | None = None,
    link: str | None = None,
    *,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
) -> Explained:
    """Say what a formula means for the data at hand, and what may go wrong, without fitting anything.

    Parameters
    ----------
    formula
        lme4's formula, with or without bars.
    data
        A data frame of pandas, polars or another library that narwhals knows.
    family, link
        As for `bayesmlm.fit`. If None what the response lets infer, and the page says so: binomial for
        ``cbind(successes, failures)`` and for two categories, cumulative for ordered categories, categorical for
        others; Gaussian for all numbers.
    weights, offset, exposure
        As for `bayesmlm.fit`.

    Returns
    -------
    Explained
        Prints as a page: every coefficient and bar in words, the grouping factors as the data have them (nested,
        crossed, labels that start again in each group), the equation, and what is worth knowing. Its frames are
        ``terms``, ``bars``, ``levels``, ``groups``, ``pairs``, ``predictors`` and ``findings``; ``latex`` is the
        equation.

    Raises
    ------
    FormulaError, DataError
        As `bayesmlm.fit`: for what cannot be read, or does not fit the data.

    Notes
    -----
    Warnings that fitting would give are among the findings, and not given here.
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    inferred = infer_family(parsed, as_frame(data)) if family is None else None
    chosen = read_family(family or inferred or "gaussian", link)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        design = build_design(parsed, data, chosen, weights=weights, offset=offset, exposure=exposure)
    return Explained(explanation(design, inferred is not None))


def infer_family(formula: Any, frame: pd.DataFrame) -> str | None:
    """Return the family that a response other than a column of numbers asks for; None for numbers."""
    node = getattr(formula, "response", None)
    match node:
        case Call("cbind"):
            return "binomial"
        case Name(name) if name in frame.columns:
            column = frame[name]
        case Call("factor" | "as.factor" | "ordered" | "as.ordered", ((_, Name(name)), *_)) if (
            name in frame.columns
        ):
            column = frame[name].astype("category")
        case _:
            return None
    value = column_value(column)
    if not isinstance(value, Factor):
        return None
    if len(value.levels) <= 2:
        return "binomial"
    ordered = isinstance(node, Call) and "ordered" in node.func
    return "cumulative" if ordered or getattr(column.dtype, "ordered", False) else "categorical"
