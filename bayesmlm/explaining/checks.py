"""What a model asks of its data and may not get: findings, as data. `bayesmlm.report.findings` puts them into words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from bayesmlm.design import Design
from bayesmlm.explaining.finding import (
    FAR,
    FEW,
    FEW_SLOPES,
    MANY_DROPPED,
    MODEST,
    NOTE,
    PER_PARAMETER,
    WARNING,
    Finding,
    spanned,
    spans_constant,
)
from bayesmlm.explaining.fixed_checks import FIXED_CHECKS
from bayesmlm.explaining.groups import (
    NESTED,
    PARTLY,
    SAME,
    cells,
    groupings,
    relation,
    reuse,
    running,
    single_factors,
)
from bayesmlm.explaining.pieces import block_columns
from bayesmlm.explaining.response_checks import RESPONSE_CHECKS
from bayesmlm.explaining.within import predictor_frame


def findings(design: Design) -> tuple[Finding, ...]:
    """Return everything that is worth knowing, warnings first."""
    found = [f for check in CHECKS for f in check(design)]
    return tuple(sorted(found, key=lambda f: f.severity != WARNING))


# -- rows ------------------------------------------------------------------------------------------


def _dropped(design: Design) -> Iterator[Finding]:
    lost = design.n_given - design.nobs
    if lost > MANY_DROPPED * design.n_given:
        yield Finding(
            "dropped", WARNING, "rows", {"lost": lost, "given": design.n_given, "by": dict(design.dropped)}
        )


def _many_parameters(design: Design) -> Iterator[Finding]:
    k = len(design.coefficients)
    if k > 1 and k * PER_PARAMETER > design.nobs:
        yield Finding("many_parameters", WARNING, "fixed", {"k": k, "n": design.nobs})


# -- grouping factors ------------------------------------------------------------------------------


def _levels(design: Design) -> Iterator[Finding]:
    for g in groupings(design):
        n, sizes = len(g.levels), g.sizes
        facts = {"levels": n, "singletons": int((sizes == 1).sum()), "n": design.nobs}
        if n < FEW:
            yield Finding("few_levels", WARNING, g.name, facts)
        elif n < MODEST:
            yield Finding("modest_levels", NOTE, g.name, facts)
        if n == design.nobs:
            kind = _row_effect(design)
            yield Finding(
                "one_row_per_level", NOTE if kind == "extra" else WARNING, g.name, facts | {"kind": kind}
            )
        elif facts["singletons"] > n / 2:
            yield Finding("singletons", NOTE, g.name, facts)


def _row_effect(design: Design) -> str:
    """What an effect of each row is: extra variance, variance beside the family's own, or nothing for a 0 or 1."""
    if design.family.name == "poisson" or (design.family.name == "binomial" and design.trials is not None):
        return "extra"
    if design.family.name == "binomial":
        return "binary"
    return "gaussian" if design.family.name == "gaussian" else "dispersed"


def _effects(design: Design) -> Iterator[Finding]:
    for b in design.blocks if design.family.name == "gaussian" else ():
        effects = len(b.levels) * len(b.columns)
        if effects >= design.nobs and len(b.levels) < design.nobs:
            facts = {"levels": len(b.levels), "columns": len(b.columns), "effects": effects, "n": design.nobs}
            yield Finding("many_effects", WARNING, str(b.bar), facts)


def _reused(design: Design) -> Iterator[Finding]:
    """Crossed in the formula, but labels that start again in each group of the other factor."""
    alone = [g for g in groupings(design) if len(g.parts) == 1]
    for outer, inner in itertools.permutations(alone, 2):
        found = reuse(inner, outer)
        if found is None or (len(outer.levels) < len(inner.levels) and reuse(outer, inner)):
            continue
        # Where every group has all labels, a crossed plan looks the same.
        severity = WARNING if found.uneven else NOTE
        both = reuse(outer, inner) is not None and len(outer.levels) == len(inner.levels)
        if not (both and outer.name > inner.name):
            yield Finding("reused_ids", severity, inner.name, {"reuse": found})


def _nested_by_formula(design: Design) -> Iterator[Finding]:
    """Nested in the formula: is the inner factor one by itself, or are its levels the same in all outer ones?"""
    single = {g.name: g for g in single_factors(design)}
    blocks = {b.group for b in design.blocks}
    for g in groupings(design):
        if len(g.parts) != 2 or g.parts[0] in blocks or g.parts[1] not in blocks:
            continue
        inner, outer = single[g.parts[0]], single[g.parts[1]]
        c = cells(inner, outer)
        facts = {
            "inner": inner.name,
            "outer": outer.name,
            "homes": float(c.homes.mean()),
            "labels": inner.levels[:3],
        }
        if relation(c) in {NESTED, SAME}:
            yield Finding("nesting_redundant", NOTE, g.name, facts)
        elif c.homes.mean() >= 2 and running(inner.levels) is None:
            facts["shared"] = int((c.homes > 1).sum())
            yield Finding("nested_same_labels", NOTE, g.name, facts)


def _almost_nested(design: Design) -> Iterator[Finding]:
    """A few levels of a factor that occur in two levels of another, as pupils who change school do."""
    for a, b in itertools.combinations([g for g in groupings(design) if len(g.parts) == 1], 2):
        first, second = (a, b) if len(a.levels) >= len(b.levels) else (b, a)
        c = cells(first, second)
        kind, several = relation(c), int((c.homes > 1).sum())
        facts = {"second": second.name, "several": several, "levels": len(first.levels)}
        if kind == PARTLY and 0 < several <= 0.05 * len(first.levels):
            facts["example"] = first.levels[int(np.argmax(c.homes))]
            yield Finding("almost_nested", NOTE, first.name, facts)
        if kind == SAME:
            yield Finding("same_groups", WARNING, first.name, facts)


# -- effects that vary -----------------------------------------------------------------------------


def _slopes(design: Design) -> Iterator[Finding]:
    frame = predictor_frame(design)
    by_key = {(row["term"], row["group"]): row for row in frame.to_dict("records")}
    for b in design.blocks:
        made = block_columns(design, b)
        has_intercept = any(other.group == b.group and spans_constant(other.Z) for other in design.blocks)
        for m in made:
            if m.term < 0 or any(p.kind == "level" and p.reference is None for p in m.pieces):
                continue
            row = by_key[m.name, b.group]
            facts = {key: row[key] for key in ("levels", "varies_in", "within_sd", "between_sd")}
            facts |= {"bar": str(b.bar), "group": b.group, "intercept": has_intercept}
            if row["varies_in"] == 0:
                yield Finding("slope_constant_within", WARNING, m.name, facts)
            elif row["varies_in"] < FEW_SLOPES * row["levels"]:
                yield Finding("slope_varies_in_few", WARNING, m.name, facts)
        if not has_intercept:
            yield Finding("no_varying_intercept", NOTE, str(b.bar), {"group": b.group})


def _no_mean(design: Design) -> Iterator[Finding]:
    """Effects that vary around 0, because the fixed part has no mean for them."""
    ordinal = design.family.is_ordinal  # whose thresholds take the place of the intercept
    X = np.column_stack([np.ones(design.nobs), design.X]) if ordinal else design.X
    for b in design.blocks:
        missing = [m for m, z in zip(block_columns(design, b), b.Z.T, strict=True) if not spanned(X, z)]
        terms = dict.fromkeys("1" if m.term < 0 else str(b.bar.effects.terms[m.term]) for m in missing)
        if terms:
            facts = {"terms": tuple(terms), "columns": tuple(m.name for m in missing), "group": b.group}
            yield Finding("no_fixed_effect", WARNING, str(b.bar), facts)


def _zero_outside(design: Design) -> Iterator[Finding]:
    """Intercepts and slopes that vary together while 0 is far from all values of the predictor."""
    for b in design.blocks:
        columns = block_columns(design, b)
        if not any(m.term < 0 for m in columns):
            continue
        for m, x in zip(columns, b.Z.T, strict=True):
            if len(m.pieces) != 1 or m.pieces[0].kind != "number" or not np.ptp(x):
                continue
            low, high = float(x.min()), float(x.max())
            if max(low, -high) > FAR * float(np.std(x, ddof=1)):
                facts = {
                    "bar": str(b.bar),
                    "low": low,
                    "high": high,
                    "mean": float(x.mean()),
                    "group": b.group,
                }
                yield Finding("zero_outside", NOTE, m.name, facts | {"variable": m.pieces[0].text})


def _shared_columns(design: Design) -> Iterator[Finding]:
    for a, b in itertools.combinations(design.blocks, 2):
        shared = sorted(set(a.columns) & set(b.columns))
        if a.group == b.group and shared:
            facts = {"first": str(a.bar), "second": str(b.bar), "group": a.group}
            yield Finding("shared_columns", WARNING, shared[0], facts)


CHECKS = (
    _dropped,
    _many_parameters,
    _levels,
    _effects,
    _reused,
    _nested_by_formula,
    _almost_nested,
    _slopes,
    _no_mean,
    _zero_outside,
    _shared_columns,
    *RESPONSE_CHECKS,
    *FIXED_CHECKS,
)
