"""From what a caller writes to a model: a design and the priors that go with it, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesmlm.design import Design, build_design
from bayesmlm.errors import DataWarning, FormulaError, PriorError, warn
from bayesmlm.families import Family, read_family
from bayesmlm.formulas import Formula
from bayesmlm.priors import Priors, build_priors, parts_of


def specify(
    formula: str | Formula,
    data: Any,
    family: str | Family = "gaussian",
    link: str | None = None,
    priors: Mapping[str, Any] | None = None,
    *,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
) -> tuple[Design, Priors]:
    """Return the design and the priors of a model; parameters and errors are those of `bayesmlm.fit`."""
    design = specify_design(formula, data, family, link, weights=weights, offset=offset, exposure=exposure)
    return design, build_priors(design, priors)


def specify_design(
    formula: str | Formula,
    data: Any,
    family: str | Family = "gaussian",
    link: str | None = None,
    *,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
) -> Design:
    """Return a design that `bayesmlm.fit` can sample."""
    chosen = read_family(family, link)
    design = build_design(formula, data, chosen, weights=weights, offset=offset, exposure=exposure)
    if not design.blocks:
        text = design.formula.text
        message = "no random part: add one such as (1 | group), or fit bm.lm(...)"
        raise FormulaError(message, text, 0, len(text))
    return design


def carried_priors(given: Mapping[str, Any], design: Design) -> dict[str, Any]:
    """Return those of a caller's priors that fit another model too.

    Warns
    -----
    DataWarning
        For each of the others: which, and why.
    """
    given = parts_of(design, given)
    try:
        build_priors(design, given)
    except PriorError:  # each by itself says which, but two that need each other would both be refused
        pass
    else:
        return given
    kept = {}
    for name, prior in given.items():
        try:
            build_priors(design, {name: prior})
        except PriorError as problem:
            why = str(problem).removeprefix("priors: ")
            warn(f"the prior given for {name!r} is left out of the new model: {why}", DataWarning)
        else:
            kept[name] = prior
    return kept
