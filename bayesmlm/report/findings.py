"""Findings about a model and its data, in sentences: what is so, what follows, what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bayesmlm.explaining.finding import WARNING, Finding
from bayesmlm.report.response_findings import RESPONSE_SENTENCES
from bayesmlm.report.words import counted, listed


def sentence(finding: Finding) -> str:
    """Put a finding into words."""
    return SENTENCES[finding.code](finding.about, finding.facts)


def marked(finding: Finding) -> str:
    """Put a finding into words, behind a mark: ``!`` for a warning, ``-`` for a note."""
    return f"{'!' if finding.severity == WARNING else '-'} {sentence(finding)}"


Facts = dict[str, Any]


def _dropped(about: str, f: Facts) -> str:
    causes = ", ".join(f"{column} {count}" for column, count in f["by"].items())
    return (
        f"{f['lost']} of {f['given']} rows ({f['lost'] / f['given']:.0%}) are left out, missing {causes}: "
        "if they differ "
        "from the others, so will the results; think of imputation"
    )


def _many_parameters(about: str, f: Facts) -> str:
    return (
        f"{f['k']} fixed effects for {f['n']} rows, fewer than 10 rows each: the priors will speak; "
        "use fewer predictors"
    )


def _few_levels(about: str, f: Facts) -> str:
    return (
        f"{about} has {f['levels']} levels only: a variance cannot be learned from so few, and its prior "
        "will decide. "
        f"Give it a firmer prior (priors={{'{about}': bm.decov(scale=...)}}), or make {about} a predictor "
        "of the fixed part"
    )


def _modest_levels(about: str, f: Facts) -> str:
    return (
        f"{about} has {f['levels']} levels: its variance will be uncertain, and prior and ML/REML estimate "
        "will matter; "
        "read the interval, not the estimate alone"
    )


def _one_row_per_level(about: str, f: Facts) -> str:
    start = f"every level of {about} has one row: "
    match f["kind"]:
        case "extra":
            return f"{start}its effects take up overdispersion, the variation beyond the family's own"
        case "binary":
            return f"{start}a single 0 or 1 says nothing of how much levels differ; leave it out"
        case "dispersed":
            return f"{start}its effects can hardly be told from the family's own variation; leave it out"
    return (
        f"{start}in a Gaussian model its effects cannot be told from the residuals; "
        "leave it out (in a count or binomial model it stands for overdispersion)"
    )


def _singletons(about: str, f: Facts) -> str:
    return (
        f"{f['singletons']} of {f['levels']} levels of {about} have one row: they say nothing about the "
        "spread within "
        f"{about}, and their effects are shrunk most"
    )


def _many_effects(about: str, f: Facts) -> str:
    return (
        f"{about} asks for {f['effects']} group effects ({f['levels']} levels x {f['columns']} columns) "
        f"from {f['n']} rows: "
        "only a prior can tell them from the residuals (bm.lmer refuses); keep fewer columns"
    )


def _reused_ids(about: str, f: Facts) -> str:
    r = f["reuse"]
    label = r.labels[0]
    start = (
        f"{r.inner} has {counted(r.levels, 'label')} "
        f"({', '.join(r.labels)}{', ...' if r.levels > len(r.labels) else ''}) "
        f"that start again in each {r.outer}: {label} occurs in {r.reused} of {r.groups}"
    )
    return (
        f"{start}. The formula takes all rows labelled {label} as one {r.inner} ({r.levels} levels, crossed "
        f"with {r.outer}). "
        f"If {r.inner} {label} of one {r.outer} and {r.inner} {label} of another are different, write "
        f"(1 | {r.outer}/{r.inner}), which has {r.cells} of them"
    )


def _nesting_redundant(about: str, f: Facts) -> str:
    inner, outer = f["inner"], f["outer"]
    return (
        f"each {inner} occurs in one {outer} only, so {outer}/{inner} and (1 | {outer}) + (1 | {inner}) are "
        "the same model"
    )


def _nested_same_labels(about: str, f: Facts) -> str:
    inner, outer = f["inner"], f["outer"]
    return (
        f"the formula nests {inner} in {outer}, but the same labels ({', '.join(f['labels'])}, ...) occur "
        f"in {f['homes']:.1f} "
        f"levels of {outer} on average: if {inner} {f['labels'][0]} is the same one everywhere, write "
        f"(1 | {outer}) + (1 | {inner}) for crossed factors"
    )


def _almost_nested(about: str, f: Facts) -> str:
    return (
        f"{about} is nested in {f['second']} but for {f['several']} of its {f['levels']} levels (such as "
        f"{f['example']}), "
        "which occur in several: if these are errors in the data, mend them; if they moved, (1 | "
        f"{f['second']}) + "
        f"(1 | {about}) is right"
    )


def _same_groups(about: str, f: Facts) -> str:
    return (
        f"{about} and {f['second']} sort the rows into the same groups: only the sum of their variances is "
        "seen; "
        "leave one out"
    )


def _slope_constant_within(about: str, f: Facts) -> str:
    return (
        f"{about} in {f['bar']} does not vary within any level of {f['group']}, so no level has a slope of "
        "its own that "
        f"the data could show: it can only make the variance between levels depend on {about}. Leave it out "
        "left of the bar"
    )


def _slope_varies_in_few(about: str, f: Facts) -> str:
    return (
        f"{about} in {f['bar']} varies within {f['varies_in']} of {f['levels']} levels of {f['group']} "
        "only: these alone "
        "inform the variance of its slope"
    )


def _no_varying_intercept(about: str, f: Facts) -> str:
    return (
        f"{about} lets slopes vary but no intercept: all levels of {f['group']} have the same expected "
        "value where the "
        "predictor is 0. If that is not meant, take the 0 out"
    )


def _no_fixed_effect(about: str, f: Facts) -> str:
    terms = listed(f["terms"])
    return (
        f"{about} lets {terms} vary, and the fixed part has no {terms}: the effects then vary around 0. "
        f"If their mean may differ from 0, add {' + '.join(f['terms'])} to the fixed part"
    )


def _zero_outside(about: str, f: Facts) -> str:
    return (
        f"in {f['bar']} the intercepts are those at {f['variable']} = 0, and the data have it between "
        f"{f['low']:.4g} and "
        f"{f['high']:.4g}: intercepts and slopes will be strongly correlated for that reason alone; centre "
        "it, as "
        f"I({f['variable']} - {f['mean']:.3g})"
    )


def _shared_columns(about: str, f: Facts) -> str:
    return (
        f"{f['first']} and {f['second']} both give {f['group']} an effect of {about}: only their sum is "
        "seen in the data; "
        "keep it in one of them"
    )


def _aliased(about: str, f: Facts) -> str:
    return f"{about} is constant, or a linear combination of the predictors before it: it has no coefficient of its own"


def _sparse_cells(about: str, f: Facts) -> str:
    where = ", ".join(f"{text} = {level}" for text, level in f["where"])
    none = f", {f['empty']} of them none" if f["empty"] and f["cells"] > f["empty"] else ""
    rows = "no row" if not f["rows"] else counted(f["rows"], "row")
    return (
        f"{about}: {f['cells']} of {f['possible']} categories have fewer than 5 rows{none} ({where}: "
        f"{rows}); their "
        "coefficients rest on next to nothing; merge categories"
    )


def _collinear(about: str, f: Facts) -> str:
    others = f" ({f['count']} columns are concerned)" if f["count"] > 2 else ""
    advice = (
        "both are made of one predictor, which centring often mends"
        if f["made_of_same"]
        else "each is hard to tell from the others; leave one out, or read them together"
    )
    return (
        f"{about} is nearly a combination of the other predictors (variance inflation {f['vif']:.0f}; "
        "correlation with "
        f"{f['partner']} {f['corr']:+.2f}){others}: {advice}"
    )


def _scale(about: str, f: Facts) -> str:
    return (
        f"{about} has a standard deviation of {f['sd']:.3g}: its coefficient, per 1 more, will be hard to "
        "read; "
        f"write I({about} / {f['factor']:g})"
    )


def _group_predictors(about: str, f: Facts) -> str:
    one = len(f["names"]) == 1
    verb, them = ("is a predictor", "it") if one else ("are predictors", "them")
    return (
        f"{listed(f['names'])} {verb} of {about} (the same in all rows of a level): for {them} the sample is "
        f"{f['levels']} levels, not the rows"
    )


def _group_predictors_few(about: str, f: Facts) -> str:
    return (
        f"{len(f['names'])} predictors of {about} ({listed(f['names'])}) for {f['levels']} levels, fewer "
        "than 5 levels each: "
        "too many for what so few levels can tell; use fewer"
    )


def _mixed_predictor(about: str, f: Facts) -> str:
    return (
        f"{about} differs between levels of {f['group']} (sd of their means {f['between']:.3g}) as well as "
        "within (sd "
        f"{f['within']:.3g}): its slope blends the two questions; to keep them apart centre it within "
        f"{f['group']}, and "
        "add the mean of each level as a predictor"
    )


def _formula(about: str, f: Facts) -> str:
    return str(f["text"])


SENTENCES: dict[str, Callable[[str, Facts], str]] = {
    "aliased": _aliased,
    "almost_nested": _almost_nested,
    "collinear": _collinear,
    "dropped": _dropped,
    "few_levels": _few_levels,
    "formula": _formula,
    "group_predictors": _group_predictors,
    "group_predictors_few": _group_predictors_few,
    "many_effects": _many_effects,
    "many_parameters": _many_parameters,
    "mixed_predictor": _mixed_predictor,
    "modest_levels": _modest_levels,
    "nested_same_labels": _nested_same_labels,
    "nesting_redundant": _nesting_redundant,
    "no_fixed_effect": _no_fixed_effect,
    "no_varying_intercept": _no_varying_intercept,
    "one_row_per_level": _one_row_per_level,
    "reused_ids": _reused_ids,
    "same_groups": _same_groups,
    "scale": _scale,
    "shared_columns": _shared_columns,
    "singletons": _singletons,
    "slope_constant_within": _slope_constant_within,
    "slope_varies_in_few": _slope_varies_in_few,
    "sparse_cells": _sparse_cells,
    "zero_outside": _zero_outside,
    **RESPONSE_SENTENCES,
}
