"""Findings about the fixed part: predictors that are alike, empty categories, predictors of groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bayesmlm.columns import Factor
from bayesmlm.design import Design
from bayesmlm.explaining.finding import (
    COLLINEAR,
    MIXED,
    NOTE,
    PER_PARAMETER,
    SCALE,
    SPARSE,
    WARNING,
    Finding,
    spanned,
)
from bayesmlm.explaining.groups import Grouping, groupings
from bayesmlm.explaining.pieces import evaluator_of, fixed_columns
from bayesmlm.explaining.within import predictor_frame, split


def _aliased(design: Design) -> Iterator[Finding]:
    for name in design.aliased:
        yield Finding("aliased", WARNING, name, {})


def _sparse(design: Design) -> Iterator[Finding]:
    """Categories, and combinations of categories, with next to no rows."""
    evaluator = evaluator_of(design)
    seen: set[frozenset[str]] = set()
    for term in design.formula.fixed.terms:
        values = [(str(f), evaluator.take(f)) for f in term.factors]
        factors = [(text, v) for text, v in values if isinstance(v, Factor)]
        key = frozenset(text for text, _ in factors)
        if not factors or key in seen:
            continue
        seen.add(key)
        shape = [len(v.levels) for _, v in factors]
        code = np.ravel_multi_index([v.codes for _, v in factors], shape)
        counts = np.bincount(code, minlength=int(np.prod(shape)))
        small = np.flatnonzero(counts < SPARSE)
        if small.size:
            worst = small[np.argmin(counts[small])]
            at = np.unravel_index(worst, shape)
            where = tuple((text, v.levels[i]) for (text, v), i in zip(factors, at, strict=True))
            facts = {
                "cells": int(small.size),
                "possible": len(counts),
                "where": where,
                "rows": int(counts[worst]),
            }
            facts["empty"] = int((counts == 0).sum())
            yield Finding("sparse_cells", NOTE, ":".join(text for text, _ in factors), facts)


def _collinear(design: Design) -> Iterator[Finding]:
    """Variance inflation 1 / (1 - R^2) of each column given the others; the worst one, with its nearest partner."""
    names = [i for i, c in enumerate(design.coefficients) if c != "(Intercept)"]
    if len(names) < 2 or design.nobs <= len(names) + 1:
        return
    X = (
        design.X[:, names] - design.X[:, names].mean(axis=0)
        if "(Intercept)" in design.coefficients
        else design.X
    )
    length = np.linalg.norm(X, axis=0)
    if (length == 0).any():
        return
    corr = (X / length).T @ (X / length)
    vif = np.diag(np.linalg.pinv(corr, hermitian=True))
    made = fixed_columns(design)
    for a in np.argsort(-vif):
        if vif[a] < COLLINEAR:
            return
        others = np.abs(corr[a]) * (np.arange(len(names)) != a)
        partner = int(np.argmax(others))
        pair = (made[names[a]], made[names[partner]])
        shared = {p.variable for p in pair[0].pieces} & {p.variable for p in pair[1].pieces}
        facts = {
            "vif": float(vif[a]),
            "partner": pair[1].name,
            "corr": float(corr[a, partner]),
            "made_of_same": bool(shared),
            "count": int((vif >= COLLINEAR).sum()),
        }
        yield Finding("collinear", NOTE, pair[0].name, facts)
        return


def _scales(design: Design) -> Iterator[Finding]:
    for m, x in zip(fixed_columns(design), design.X.T, strict=True):
        sd = float(np.std(x, ddof=1))
        if len(m.pieces) == 1 and m.pieces[0].kind == "number" and not 1 / SCALE <= sd <= SCALE:
            factor = 10.0 ** np.floor(np.log10(sd)) if sd > 0 else 1.0
            yield Finding("scale", NOTE, m.name, {"sd": sd, "factor": float(factor)})


def _group_predictors(design: Design) -> Iterator[Finding]:
    """Predictors of groups: their sample size is the number of groups."""
    frame = predictor_frame(design)
    for group, part in frame[(frame["kind"] == "group") & frame["fixed"]].groupby("group", sort=False):
        levels, names = int(part["levels"].iloc[0]), tuple(part["term"])
        facts = {"names": names, "levels": levels, "group": group}
        severity = WARNING if len(names) * PER_PARAMETER / 2 > levels else NOTE
        code = "group_predictors_few" if severity == WARNING else "group_predictors"
        yield Finding(code, severity, str(group), facts)


def _mixed_predictors(design: Design) -> Iterator[Finding]:
    """Slopes that vary, of predictors whose group means differ: one slope stands for two questions."""
    names = {c for b in design.blocks for c in b.columns}
    for m, x in zip(fixed_columns(design), design.X.T, strict=True):
        if m.name not in names or len(m.pieces) != 1 or m.pieces[0].kind != "number":
            continue
        for g in groupings(design):
            varies = any(b.group == g.name and m.name in b.columns for b in design.blocks)
            s = split(x, g)
            if varies and s.varies_in and s.between_sd > MIXED * s.within_sd and not _has_mean(design, x, g):
                facts = {"group": g.name, "within": s.within_sd, "between": s.between_sd}
                yield Finding("mixed_predictor", NOTE, m.name, facts)


def _has_mean(design: Design, x: np.ndarray, g: Grouping) -> bool:
    """Whether the fixed part holds the group means of a predictor."""
    mean = np.bincount(g.index, x, len(g.levels)) / g.sizes
    return spanned(design.X, mean[g.index])


def _formula_notes(design: Design) -> Iterator[Finding]:
    for note in design.formula.notes:
        yield Finding("formula", NOTE, "formula", {"text": note})


FIXED_CHECKS = (
    _aliased,
    _sparse,
    _collinear,
    _scales,
    _group_predictors,
    _mixed_predictors,
    _formula_notes,
)
