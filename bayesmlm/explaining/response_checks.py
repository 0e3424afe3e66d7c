"""Findings about the response: whether the family suits it, and what its rows can tell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import skew

from bayesmlm.columns import Factor
from bayesmlm.design import Design
from bayesmlm.explaining.finding import NOTE, PER_PARAMETER, WARNING, Finding
from bayesmlm.explaining.groups import groupings
from bayesmlm.explaining.pieces import evaluator_of
from bayesmlm.explaining.separation import boundary_sign, separated
from bayesmlm.information import uninformed

ZEROS, SKEWED = 0.05, 1.0  # share of zeros and skewness above which whole numbers are taken for counts
DISPERSED = 2.0  # times the variance that a Poisson or binomial response has


def _binary(design: Design) -> Iterator[Finding]:
    values = np.unique(design.y)
    if design.family.name == "gaussian" and len(values) == 2:
        facts = {"low": float(values[0]), "high": float(values[1]), "link": design.family.link}
        yield Finding("binary_gaussian", WARNING, design.response, facts)


def _counts(design: Design) -> Iterator[Finding]:
    y = design.y
    if design.family.name != "gaussian" or len(np.unique(y)) < 3 or (y < 0).any() or (y != np.round(y)).any():
        return
    if float(np.mean(y == 0)) >= ZEROS and skew(y) > SKEWED:
        facts = {"zeros": float(np.mean(y == 0)), "most": int(y.max()), "mean": float(y.mean())}
        yield Finding("count_gaussian", WARNING, design.response, facts)


def _separation(design: Design) -> Iterator[Finding]:
    names = separated(design)
    if names:
        yield Finding("separation", WARNING, names[0], {"names": names, "cells": one_sided(design)})


def one_sided(design: Design) -> tuple[tuple[str, str, int, bool], ...]:
    """Return the categories of predictors all of whose rows are alike: factor, level, rows, whether all successes."""
    sign = boundary_sign(design)
    evaluator, found = evaluator_of(design), []
    nodes = {str(t.factors[0]): t.factors[0] for t in design.formula.fixed.terms if len(t.factors) == 1}
    for text, node in nodes.items():
        value = evaluator.take(node)
        if sign is None or not isinstance(value, Factor):
            continue
        for code, level in enumerate(value.levels):
            own = sign[value.codes == code]
            if len(own) and own[0] != 0 and (own == own[0]).all():
                found.append((text, level, len(own), bool(own[0] > 0)))
    return tuple(found)


def _few_events(design: Design) -> Iterator[Finding]:
    if design.family.support != "binomial":
        return
    k = len([c for c in design.coefficients if c != "(Intercept)"])
    trials = np.ones_like(design.y) if design.trials is None else design.trials
    events, others = int(design.y.sum()), int((trials - design.y).sum())
    if k and min(events, others) < PER_PARAMETER * k:
        kind = "successes" if events <= others else "failures"
        yield Finding("few_events", WARNING, "fixed", {"events": min(events, others), "kind": kind, "k": k})


def _little_told(design: Design) -> Iterator[Finding]:
    sign, own = boundary_sign(design), set(uninformed(design))
    for g in groupings(design):
        if g.name in own:
            trials = np.ones_like(design.y) if design.trials is None else design.trials
            facts = {
                "levels": len(g.levels),
                "trials": float(np.median(np.bincount(g.index, trials, len(g.levels)))),
                "events": float(np.median(np.bincount(g.index, design.y, len(g.levels)))),
                "binomial": design.family.support == "binomial",
                "blocks": len(design.blocks),
                "columns": max(len(b.columns) for b in design.blocks),
            }
            if sign is not None:
                high, low = (np.bincount(g.index, sign == s, len(g.levels)) == g.sizes for s in (1, -1))
                facts["one_sided"] = int((high | low).sum())
            yield Finding("little_information", NOTE, g.name, facts)


def _dispersion(design: Design) -> Iterator[Finding]:
    """Counts within levels of the factor with most levels: Pearson's statistic about the level's own rate."""
    poisson = design.family.name == "poisson"
    if not (poisson or (design.family.name == "binomial" and design.trials is not None)):
        return
    repeated = [g for g in groupings(design) if len(g.levels) <= design.nobs / 2]
    if not repeated or any(len(g.levels) == design.nobs for g in groupings(design)):
        return
    g, y = repeated[0], design.y
    size = np.ones_like(y) if design.trials is None else design.trials
    if poisson and design.offset is not None and design.family.link == "log":
        size = np.exp(design.offset)
    rate = np.bincount(g.index, y, len(g.levels)) / np.bincount(g.index, size, len(g.levels))
    mean = size * rate[g.index]
    variance = mean if poisson else mean * (1 - rate[g.index])
    used = variance > 0
    free = int(used.sum()) - len(np.unique(g.index[used]))
    if free < PER_PARAMETER:
        return
    ratio = float(np.sum((y[used] - mean[used]) ** 2 / variance[used]) / free)
    if ratio > DISPERSED:
        yield Finding(
            "overdispersion", NOTE, design.response, {"ratio": ratio, "group": g.name, "poisson": poisson}
        )


RESPONSE_CHECKS = (_binary, _counts, _separation, _few_events, _little_told, _dispersion)
