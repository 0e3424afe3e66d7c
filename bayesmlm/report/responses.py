"""The family and the response in words."""

from __future__ import annotations

import numpy as np

from bayesmlm.design import Design
from bayesmlm.families import Family
from bayesmlm.meanings import event

SHOWN_LEVELS = 8


def family_text(family: Family) -> str:
    """Write family and link as R does, ``"binomial [logit]"``."""
    return f"{family.spelled} [{family.spelled_link}]"


def family_lines(design: Design, inferred: bool = False) -> list[str]:
    """Say which family the model has, and what its response looks like."""
    guess = ", as the response lets infer (family= says otherwise)" if inferred else ""
    return [f"Family:  {family_text(design.family)}{guess}", f"Response: {_response(design)}"]


def _response(design: Design) -> str:
    y, text = design.y, design.response
    match design.family.support:
        case "binomial":
            return _binomial(design)
        case "count":
            zeros = f"{np.mean(y == 0):.0%} of them 0"
            return f"{text}, counts from {y.min():.0f} to {y.max():.0f}, mean {y.mean():.3g}, {zeros}"
        case "ordinal" | "categorical":
            counts = np.bincount(y.astype(int), minlength=len(design.response_levels))
            known = [f"{v} {n}" for v, n in zip(design.response_levels, counts, strict=True)]
            kind = "ordered categories" if design.family.is_ordinal else "categories"
            more = ", ..." if len(known) > SHOWN_LEVELS else ""
            return f"{text}, {len(known)} {kind}: {', '.join(known[:SHOWN_LEVELS])}{more}"
    return f"{text}, from {y.min():.4g} to {y.max():.4g}, mean {y.mean():.4g}"


def _binomial(design: Design) -> str:
    y, text = design.y, design.response
    if design.trials is None:
        levels = ", ".join(design.response_levels)
        categorical = f" is categorical ({levels})" if design.response_levels else ""
        return f"{text}{categorical}; {event(design)} in {y.sum():.0f} of {len(y)} rows ({y.mean():.0%})"
    total = design.trials.sum()
    sizes = f"{design.trials.min():.0f} to {design.trials.max():.0f} in a row"
    return f"{text}: {event(design)} in {y.sum():.0f} of {total:.0f} trials ({y.sum() / total:.0%}), {sizes}"
