"""The page of `explain`: a formula and its data in words, tables and an equation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.columns import Factor
from bayesmlm.design import Design
from bayesmlm.explaining import Explanation
from bayesmlm.explaining.groups import COMPLETE, NESTED, SAME
from bayesmlm.explaining.pieces import evaluator_of
from bayesmlm.report.equation import Equation
from bayesmlm.report.findings import marked
from bayesmlm.report.grid import Grid, Part, Report, Sentences, dropped_sentence
from bayesmlm.report.responses import family_lines
from bayesmlm.report.words import bar_words, coefficient_words, counted, listed, subject_of, typed_bars

WIDTH = 110
SHOWN_LEVELS = 8


def term_frame(e: Explanation) -> pd.DataFrame:
    """Return one row per fixed effect, by R's name: term, reference, meaning."""
    terms = ["1" if m.term < 0 else str(e.design.formula.fixed.terms[m.term]) for m in e.columns]
    references = [
        ", ".join(str(p.reference) for p in m.pieces if p.kind == "level" and p.reference is not None)
        for m in e.columns
    ]
    words = coefficient_words(e.columns, subject_of(e.design))
    frame = pd.DataFrame({"term": terms, "reference": references, "meaning": words})
    return frame.set_index(pd.Index(e.design.coefficients, name="coefficient"))


def bar_frame(e: Explanation) -> pd.DataFrame:
    """Return one row per block: bar (as typed), stands_for, group, levels, columns, parameters, meaning."""
    typed = {i: name for name, blocks in typed_bars(e.design).items() for i in blocks}
    rows = [
        {
            "bar": typed[i],
            "stands_for": str(b.bar),
            "group": b.group,
            "levels": len(b.levels),
            "columns": ", ".join(b.columns),
            "parameters": len(b.columns) * (len(b.columns) + 1) // 2,
            "meaning": bar_words(b, made),
        }
        for i, (b, made) in enumerate(zip(e.design.blocks, e.block_columns, strict=True))
    ]
    columns = ["bar", "stands_for", "group", "levels", "columns", "parameters", "meaning"]
    index = pd.Index([b.label for b in e.design.blocks], name="block")
    return pd.DataFrame(rows, index=index, columns=columns)


def level_frame(e: Explanation) -> pd.DataFrame:
    """Return one row per level of each categorical predictor: factor, level, rows, is_reference."""
    evaluator = evaluator_of(e.design)
    reference = {
        p.text: p.reference for m in e.columns for p in m.pieces if p.kind == "level" and p.reference
    }
    nodes = {str(f): f for t in e.design.formula.fixed.terms for f in t.factors}
    rows = []
    for text, node in nodes.items():
        value = evaluator.take(node)
        if isinstance(value, Factor):
            for level, count in zip(
                value.levels, np.bincount(value.codes, minlength=len(value.levels)), strict=True
            ):
                rows.append((text, level, int(count), reference.get(text) == level))
    return pd.DataFrame(rows, columns=["factor", "level", "rows", "is_reference"])


def explanation_report(e: Explanation, eq: Equation, html: bool = False) -> Report:
    """Lay out what a formula says about its data; with `html`, the equation as LaTeX for a notebook."""
    parts: list[Part] = [f"Formula: {e.design.formula.spelled}", *_rows(e), ""]
    typical = ", in a typical group (all group effects 0)" if e.design.blocks else ""
    parts += [f"Fixed effects{typical}, other predictors held:", *_terms(e), ""]
    parts += ["What varies between groups:", *_bars(e), ""] if e.design.blocks else ["No effects vary.", ""]
    parts += ["Groups:", _group_grid(e), *_pairs(e), ""] if e.design.blocks else []
    slopes = e.predictors[e.predictors["varying"]]
    parts += ["Predictors whose effects vary:", _slope_grid(slopes), ""] if len(slopes) else []
    parts += [
        "Equation:",
        *([Sentences(f"$${eq.latex}$$", WIDTH)] if html else map(_wrapped, eq.text.splitlines())),
        "",
    ]
    found = [_wrapped(marked(f)) for f in e.findings]
    parts += ["Worth knowing (! look again, - good to know):", *found] if found else ["Nothing stands out."]
    return Report(tuple(parts), term_frame(e))


def _wrapped(text: str, indent: str = "  ") -> Sentences:
    return Sentences(text, WIDTH, indent, indent + "  ")


def _rows(e: Explanation) -> list[str]:
    d = e.design
    lines = [f"Rows:    {d.nobs} used" + (f"; {dropped_sentence(d)}" if dropped_sentence(d) else "")]
    parameters = len(d.coefficients) + sum(len(b.columns) * (len(b.columns) + 1) // 2 for b in d.blocks)
    effects = sum(len(b.columns) * len(b.levels) for b in d.blocks)
    counts = (
        f"{counted(len(d.coefficients), 'fixed effect')}, {parameters - len(d.coefficients)} (co)variances"
    )
    if d.family.name != "gaussian" or d.family.link != "identity":
        lines += family_lines(d, e.inferred)
    counts += _own_parameters(d)
    groups = f"; {effects} group effects, which share the variances" if effects else ""
    return [*lines, f"To learn: {counts}{groups}"]


def _own_parameters(d: Design) -> str:
    """Count what the family adds."""
    if d.family.is_ordinal:
        return f", {len(d.response_levels) - 1} thresholds"
    if d.family.is_categorical:
        return f", for each of {len(d.response_levels) - 1} categories"
    if d.family.name == "gaussian":
        return ", 1 residual variance"
    names = d.family.auxiliary
    return f", {listed(names)}" if names else ""


def _terms(e: Explanation) -> list[Part]:
    frame = term_frame(e)
    width = min(max(map(len, frame.index), default=0), 34)
    lines: list[Part] = []
    for name, words in frame["meaning"].items():
        lines.append(Sentences(words, WIDTH, "  ", " " * (width + 6), f"{str(name).ljust(width)}  "))
    levels = level_frame(e)
    for factor, part in levels.groupby("factor", sort=False):
        shown = [
            f"{r['level']} {r['rows']}{' (reference)' if r['is_reference'] else ''}"
            for r in part.head(SHOWN_LEVELS).to_dict("records")
        ]
        more = f", ... ({len(part)} levels)" if len(part) > SHOWN_LEVELS else ""
        lines.append(_wrapped(f"rows by {factor}: {', '.join(shown)}{more}"))
    return lines


def _bars(e: Explanation) -> list[Sentences]:
    lines = []
    blocks = e.design.blocks
    for name, positions in typed_bars(e.design).items():
        if len(positions) == 1:
            i = positions[0]
            lines.append(_wrapped(f"{name}: {bar_words(blocks[i], e.block_columns[i])}"))
            continue
        nested = len({blocks[i].group for i in positions}) > 1
        what = "nested groups" if nested else "no correlations between them"
        lines.append(
            _wrapped(f"{name} stands for {' + '.join(str(blocks[i].bar) for i in positions)}; {what}:")
        )
        lines += [_wrapped(bar_words(blocks[i], e.block_columns[i]), "    ") for i in positions]
    return lines


def _group_grid(e: Explanation) -> Grid:
    heads = ("levels", "rows per level: min", "median", "max", "levels with 1 row")
    rows = [
        (f"{r['levels']}", f"{r['min']}", f"{r['median']:g}", f"{r['max']}", f"{r['singletons']}")
        for r in e.groups.to_dict("records")
    ]
    return Grid(heads, tuple(rows), tuple(f"  {name}" for name in e.groups.index))


def _pairs(e: Explanation) -> list[Sentences]:
    return [_wrapped(_pair(row)) for row in e.pairs.to_dict("records")]


def _pair(r: dict) -> str:
    first, second, share = r["first"], r["second"], r["cells"] / r["possible"]
    if r["relation"] == SAME:
        return f"{first} and {second} are the same groups"
    if r["relation"] == NESTED:
        why = ", as the formula makes it" if r["by_formula"] else ", in the data as they are"
        return f"{first} is nested in {second}{why}"
    if r["relation"] == COMPLETE:
        return f"{first} and {second} are completely crossed: all {r['possible']} combinations occur"
    return (
        f"{first} and {second} are partly crossed: {r['cells']} of {r['possible']} combinations occur "
        f"({share:.0%}); "
        f"{r['in_several']} levels of {first} occur in more than one of {second}"
    )


def _slope_grid(slopes: pd.DataFrame) -> Grid:
    heads = ("varies within", "sd within", "sd of level means")
    rows = [
        (f"{r['varies_in']} of {r['levels']} levels", f"{r['within_sd']:.3g}", f"{r['between_sd']:.3g}")
        for r in slopes.to_dict("records")
    ]
    names = [f"  {r['term']} by {r['group']}" for r in slopes.to_dict("records")]
    return Grid(heads, tuple(rows), tuple(names))
