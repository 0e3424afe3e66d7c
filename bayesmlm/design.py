"""Formula + data frame -> Design. The one boundary where data are read and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.blocks import Block as Block
from bayesmlm.blocks import build_blocks, reject_repeated, warn_of_row_effects
from bayesmlm.coding import Columns, independent_columns, model_columns
from bayesmlm.columns import as_frame, row_labels
from bayesmlm.errors import DataError, DataWarning, FormulaError, did_you_mean, warn
from bayesmlm.evaluate import Evaluator
from bayesmlm.families import GAUSSIAN, Family
from bayesmlm.formulas import Formula, parse_formula
from bayesmlm.responses import read_response
from bayesmlm.rows import complete_rows, row_values, used_columns
from bayesmlm.source import Learned


@dataclass(frozen=True, eq=False)
class Design:
    """What a formula says about a data frame.

    Attributes
    ----------
    formula : Formula
        The parsed formula.
    response : str
        R's text of the response, ``"log(ATT8SCR)"``.
    y : ndarray, shape (n,)
        The response, transformed as the formula says: numbers of successes of a binomial, positions of a categorical
        response in `response_levels`.
    X : ndarray, shape (n, k)
        Fixed-effects columns; without an intercept in ordinal models, which have thresholds.
    coefficients : tuple of str
        R's names of the columns of X.
    blocks : tuple of Block
        One block per bar, in lme4's order: decreasing number of levels.
    frame : DataFrame
        The rows used and the columns that the formula names, index reset.
    rows : ndarray of int
        Positions of these rows in the caller's data.
    dropped : mapping of str to int
        Rows dropped for a missing value, by column (a row may count in several); empty if none was.
    n_given : int
        Number of rows of the caller's data.
    offset, weights : ndarray, shape (n,), or None
        Known part of the linear predictor; prior weights as lme4 means them, None for binomials.
    aliased : tuple of str
        Coefficients left out because their columns are linear combinations of others.
    assign : tuple of int
        For each coefficient the position of its term in ``formula.fixed.terms``; -1 for the intercept.
    learned : Learned
        What the formula's expressions learned from the data, for evaluating them on new data.
    given : mapping of str to object
        The arguments ``weights``, ``offset`` and ``exposure`` as the caller gave them.
    labels : ndarray or None
        Labels of the rows used, from the index of the caller's data; positions if that has several levels.
    data : DataFrame or None
        The caller's data, not a copy, for fitting another formula to them. It is left out when a design is
        pickled: then None.
    family : Family
        Family and link of the response.
    trials : ndarray, shape (n,), or None
        Numbers of trials of a binomial response; None if each is 1, and for other families.
    response_levels : tuple of str
        Categories of the response; failure and success of a binomial that is a factor.
    others : mapping of str to Design
        Designs of auxiliary parameters that have predictors, by name: of the same rows, with the same response, the
        link of the parameter, and blocks labelled ``"sigma: school"``.
    """

    formula: Formula
    response: str
    y: np.ndarray
    X: np.ndarray
    coefficients: tuple[str, ...]
    blocks: tuple[Block, ...]
    frame: pd.DataFrame
    rows: np.ndarray
    dropped: Mapping[str, int]
    n_given: int
    offset: np.ndarray | None = None
    weights: np.ndarray | None = None
    aliased: tuple[str, ...] = ()
    assign: tuple[int, ...] = ()
    learned: Learned = field(default_factory=Learned)
    given: Mapping[str, Any] = field(default_factory=dict)
    labels: np.ndarray | None = None
    data: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    family: Family = GAUSSIAN
    trials: np.ndarray | None = None
    response_levels: tuple[str, ...] = ()
    others: Mapping[str, Design] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "data": None}

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.y)

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels per grouping factor, in the blocks' order."""
        return {b.group: len(b.levels) for b in self.blocks}

    @property
    def parts(self) -> dict[str, Design]:
        """This design, as ``""``, and those of auxiliary parameters with predictors."""
        return {"": self, **self.others}


def build_design(
    formula: str | Formula,
    data: Any,
    family: Family = GAUSSIAN,
    *,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
) -> Design:
    """Read the columns that a formula names and build its design.

    Parameters
    ----------
    formula
        Text or a parsed `Formula`.
    data
        A data frame of pandas, polars or another library that narwhals knows.
    family
        Says how to read the response, and what it can be.
    weights, offset, exposure
        A column's name or an array with one number per row of `data`. Rows where one is missing are
        dropped. An `offset` is added to those of the formula, and so is the logarithm of an `exposure`. The weights
        of a binomial are numbers of trials.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError
        For an unknown column or function; the message points at it.
    DataError
        For data the formula cannot use: no rows, infinite values, a factor with one level, a predictor that is
        0 in every row, ...

    Warns
    -----
    DataWarning
        For constant or collinear predictors, groups as many as rows, values lost in a transformation.
    """
    if not isinstance(formula, str | Formula):
        raise FormulaError(f"a formula is text such as 'y ~ x + (x | g)', not {type(formula).__name__}")
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    frame = as_frame(data)
    if parsed.response is None:
        message = "the formula has no response: write 'y ~ ...'"
        raise FormulaError(message, parsed.text, 0, 1)
    if len(frame) == 0:
        raise DataError("the data have no rows")
    for note in parsed.notes:
        warn(note, DataWarning)
    given = {"weights": weights, "offset": offset, "exposure": exposure}
    extra = {what: row_values(value, what, frame) for what, value in given.items()}
    kept, dropped = complete_rows(parsed, frame, extra)
    evaluator = Evaluator(frame, parsed.text, kept)
    prior_weights = _checked_weights(extra["weights"], kept)
    response = read_response(parsed.response, evaluator, family, prior_weights)
    if family.is_ordinal:  # factors are coded as beside an intercept, whose place the thresholds take
        parsed = replace(parsed, fixed=replace(parsed.fixed, intercept=True))
    columns = model_columns(parsed.fixed, evaluator)
    columns, aliased = _checked(columns, parsed)
    if family.is_ordinal:
        columns = columns.take(np.flatnonzero(np.array(columns.term) >= 0))
    blocks = build_blocks(parsed, evaluator)
    if family.has_sigma:
        warn_of_row_effects(blocks)
    elif family.name == "binomial" and response.trials is None:
        warn_of_row_effects(blocks, "chance of a single trial")
    design = Design(
        formula=parsed,
        response=response.text,
        y=response.y,
        X=columns.values,
        coefficients=columns.names,
        blocks=blocks,
        frame=frame.loc[:, used_columns(parsed, frame)].iloc[kept].reset_index(drop=True),
        rows=kept,
        dropped=dropped,
        n_given=len(frame),
        offset=_total_offset(
            parsed, evaluator, kept, extra["offset"], log_exposure(extra["exposure"], family)
        ),
        weights=response.weights,
        aliased=aliased,
        assign=columns.term,
        learned=evaluator.learned,
        given=given,
        labels=row_labels(frame)[kept],
        data=frame,
        family=family,
        trials=response.trials,
        response_levels=response.levels,
    )
    if not parsed.others:
        return design
    links = _links_of_parameters(parsed, family)
    others = {name: _other_design(design, name, f, links[name], frame) for name, f in parsed.others}
    return replace(design, others=others)


POSITIVE_PARAMETERS = {"sigma", "nu", "shape", "phi", "reciprocal_dispersion", "lambda"}


def _links_of_parameters(formula: Formula, family: Family) -> dict[str, str]:
    """Check that every parameter with a formula is one of the family's; return its link."""
    known = list(family.auxiliary)
    for name, other in formula.others:
        if name not in known:
            what = f"has {' and '.join(known)}" if known else "has no auxiliary parameter"
            hint = did_you_mean(name, known)
            raise FormulaError(
                f"{name} is no parameter that can have predictors: a {family.spelled} model {what}.{hint}",
                other.text,
                0,
                len(other.text),
            )
    return {name: "log" if name in POSITIVE_PARAMETERS else "logit" for name, _ in formula.others}


def _other_design(main: Design, name: str, formula: Formula, link: str, frame: pd.DataFrame) -> Design:
    """Build the design of an auxiliary parameter: other columns of the same rows."""
    evaluator = Evaluator(frame, formula.text, main.rows)
    columns, aliased = _checked(model_columns(formula.fixed, evaluator), formula)
    blocks = build_blocks(formula, evaluator)
    return replace(
        main,
        formula=formula,
        X=columns.values,
        coefficients=columns.names,
        blocks=tuple(replace(b, label=f"{name}: {b.label}") for b in blocks),
        offset=_total_offset(formula, evaluator, main.rows),
        given={},
        aliased=aliased,
        assign=columns.term,
        learned=evaluator.learned,
        family=Family(main.family.name, link),
    )


def _checked(columns: Columns, formula: Formula) -> tuple[Columns, tuple[str, ...]]:
    """Return the columns of a fixed part without those that are combinations of others, and the names of these."""
    _check_finite(columns, formula)
    reject_repeated(columns.names, "columns of the fixed part", "rename a column or a level")
    _reject_zero(columns, formula)
    return _full_rank(columns)


def _check_finite(columns: Columns, formula: Formula) -> None:
    for name, column in zip(columns.names, columns.values.T, strict=True):
        bad = int((~np.isfinite(column)).sum())
        if bad:
            hint = " (log(0) is infinite)" if re.search(r"\blog\w*\(", name) else ""
            raise DataError(f"{name} is infinite in {bad} rows{hint}: filter or change them, then fit again")


def _reject_zero(columns: Columns, formula: Formula) -> None:
    """Refuse a numeric predictor that is 0 throughout; an empty cell of an interaction is left out instead."""
    for name, column, term in zip(columns.names, columns.values.T, columns.term, strict=True):
        if term >= 0 and len(formula.fixed.terms[term].factors) == 1 and not column.any():
            raise DataError(
                f"{name} is 0 in all {len(column)} rows used, so it has no coefficient: leave it out of the formula, "
                "or see whether the rows in which it differs from 0 were dropped"
            )


def _full_rank(columns: Columns) -> tuple[Columns, tuple[str, ...]]:
    """Drop columns that are linear combinations of earlier ones, as lmer does, and say which."""
    keep = independent_columns(columns.values)
    gone = [i for i in range(len(columns.names)) if i not in set(keep.tolist())]
    for i in gone:
        column, name = columns.values[:, i], columns.names[i]
        why = "is constant" if np.ptp(column) == 0 else "is a linear combination of the predictors before it"
        warn(f"{name} {why}; it is left out of the fixed effects", DataWarning)
    return columns.take(keep), tuple(columns.names[i] for i in gone)


def log_exposure(exposure: np.ndarray | None, family: Family) -> np.ndarray | None:
    """What an exposure adds to the linear predictor."""
    if exposure is None:
        return None
    if family.link != "log":
        raise DataError(
            f"exposure= goes with the log link, as of counts: the link of {family.spelled} is {family.spelled_link}"
        )
    if (exposure <= 0).any():
        raise DataError(
            "exposure= is positive numbers, such as the time or the population at risk of each row"
        )
    return np.log(exposure)


def _total_offset(
    formula: Formula, evaluator: Evaluator, kept: np.ndarray, *given: np.ndarray | None
) -> np.ndarray | None:
    parts = []
    for node in formula.fixed.offsets:
        value = evaluator.numeric(node)
        if np.ndim(value) > 1:
            raise evaluator.error("an offset is one column", node)
        parts.append(np.broadcast_to(value, len(evaluator.frame))[kept])
    parts += [values[kept] for values in given if values is not None]
    if not parts:
        return None
    total = np.sum(parts, axis=0, dtype=float)
    if not np.isfinite(total).all():
        raise DataError("the offset is infinite in some rows: filter or change them, then fit again")
    return total


def _checked_weights(given: np.ndarray | None, kept: np.ndarray) -> np.ndarray | None:
    if given is None:
        return None
    weights = given[kept]
    if not np.isfinite(weights).all() or (weights <= 0).any():
        raise DataError("weights are positive, finite numbers, one per row: leave out rows of weight 0")
    return weights
