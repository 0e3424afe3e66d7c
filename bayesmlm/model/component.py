"""One linear predictor among Bambi's: of the mean, or of an auxiliary parameter that has predictors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import bambi as bmb
import pandas as pd

from bayesmlm.bambi_draws import PredictorSchema, Variable
from bayesmlm.design import Design
from bayesmlm.model.effects import FixedEffects, bambi_prior, block_priors
from bayesmlm.model.joint import joint_prior
from bayesmlm.model.match import match_blocks, match_fixed, match_offset
from bayesmlm.model.plan import (
    BlockPlan,
    block_plan,
    block_text,
    fixed_pieces,
    offset_text,
    translatable_blocks,
)
from bayesmlm.model.translate import Piece, plain_name
from bayesmlm.priors import Joint, Priors


@dataclass(frozen=True)
class Native:
    """What Bambi is to evaluate from the data; the rest reaches it as ready-made columns."""

    offset: bool
    fixed: set[int]
    blocks: set[int]


@dataclass(frozen=True)
class Component:
    """A linear predictor on its way into a bambi.Model.

    Attributes
    ----------
    parameter : str
        Bambi's name of the parameter it is of.
    prefix : str
        What Bambi puts before the names of its terms: nothing for the mean.
    design, priors
        Of this predictor.
    text : str
        Its formula, right side.
    pieces, plans, coefficients
        What the formula's terms stand for; complete once they were compared with Bambi's.
    """

    parameter: str
    prefix: str
    design: Design
    priors: Priors
    text: str = ""
    pieces: tuple[Piece, ...] = ()
    plans: tuple[BlockPlan, ...] = ()
    coefficients: tuple[Variable, ...] = ()

    @property
    def schema(self) -> PredictorSchema:
        """Where its draws will be, after `named`."""
        return PredictorSchema(self.coefficients, tuple(plan.schema for plan in self.plans))


def native_of(design: Design) -> Native:
    """Return what Bambi may evaluate at first; no term where a collinear column had to go, for Bambi would keep it."""
    terms = set() if design.aliased else set(range(len(design.formula.fixed.terms)))
    blocks = translatable_blocks(design)
    if design.family.is_categorical:
        # Bambi multiplies group effects of a factor by the wrong columns where categories have their own.
        blocks = {i for i in blocks if len(set(design.blocks[i].assign)) == len(design.blocks[i].columns)}
    return Native(True, terms, blocks)


NOTHING_NATIVE = Native(False, set(), set())


def written(
    component: Component,
    native: Native,
    forms: Mapping[str, tuple[str, ...]] | None,
    frame: pd.DataFrame,
) -> Component:
    """Return the component with its formula; ready-made columns are added to `frame`."""
    design = component.design
    pieces = fixed_pieces(design, native.fixed, component.priors, frame)
    plans = tuple(block_plan(b, i in native.blocks, forms, frame) for i, b in enumerate(design.blocks))
    # Bambi reads the factors of an ordinal model as beside an intercept, and wants none in the formula.
    parts = ["1" if "(Intercept)" in design.coefficients else "0", *(t for p in pieces for t in p.text)]
    parts += [] if design.offset is None else [offset_text(design, native.offset, frame)]
    text = " + ".join([*parts, *(t for p in plans for t in block_text(p))])
    return replace(component, text=text, pieces=tuple(pieces), plans=plans)


def matched(component: Component, native: Native, model: bmb.Model) -> tuple[Component, Native | None]:
    """Compare with Bambi's columns: return the completed component, and None or what Bambi may evaluate next time."""
    bambi = model.parameters[component.parameter]
    bad_fixed, coefficients = match_fixed(bambi, component.design, list(component.pieces))
    bad_blocks, plans = match_blocks(bambi, component.design, component.plans)
    offset = match_offset(bambi, component.design)
    full = replace(component, coefficients=coefficients, plans=plans)
    if offset and not bad_fixed and not bad_blocks:
        return full, None
    return full, Native(native.offset and offset, native.fixed - bad_fixed, native.blocks - bad_blocks)


def named(component: Component, model: bmb.Model, taken: set[str]) -> Component:
    """Give Bambi's terms names that PyMC takes and nothing else has; return the component with these.

    Group terms are called after R's grouping factor: ``1|cask:batch`` rather than ``1|interaction(cask, batch)``.
    """
    bambi = model.parameters[component.parameter]
    groups = {p.group_text.strip("`"): p.group_name for p in component.plans}
    intercept = bambi.intercept_term
    fixed = {} if intercept is None else {"Intercept": intercept.name}
    fixed |= {key: public_name(t, t.name, taken) for key, t in bambi.common_terms.items()}
    effects = {}
    for key, term in bambi.group_specific_terms.items():
        expression, group = term.name.split("|")
        effects[key] = public_name(term, f"{expression}|{groups[group]}", taken, ("_sigma",))
    return replace(
        component,
        coefficients=_renamed(component.coefficients, fixed),
        plans=tuple(replace(p, columns=_renamed(p.columns, effects)) for p in component.plans),
    )


def _renamed(variables: Iterable[Variable], names: Mapping[str, str]) -> tuple[Variable, ...]:
    return tuple(replace(v, name=names[v.name]) for v in variables)


def public_name(term: Any, wanted: str, taken: set[str], companions: tuple[str, ...] = ()) -> str:
    """Name a term as near to `wanted` as is free, and add the name to those `taken`."""
    chosen = plain_name(wanted)
    while taken & {chosen, *(chosen + c for c in companions)}:
        chosen += "_"
    taken.update({chosen, *(chosen + c for c in companions)})
    if chosen != term.name:
        term.alias = chosen
    return chosen


def term_priors(component: Component, public: Component) -> dict[str, bmb.Prior]:
    """Return the priors of a component's terms by Bambi's key, `public` being the component as `named`."""
    design, priors, coefficients = component.design, component.priors, component.coefficients
    terms: dict[str, Any] = {}
    if priors.intercept is not None:
        terms[coefficients[0].name] = bambi_prior(priors.intercept.used)
    members: dict[str, list[tuple[int, int]]] = {}
    for j, variable in enumerate(coefficients):
        if design.coefficients[j] != "(Intercept)":
            members.setdefault(variable.name, []).append((variable.position or 0, j))
    for name, columns in members.items():
        used = [priors.coefficients[design.coefficients[j]].used for _, j in sorted(columns)]
        if isinstance(used[0], Joint):
            names = [design.coefficients[j] for _, j in sorted(columns)]
            vector = coefficients[columns[0][1]].position is not None
            terms[name] = joint_prior(used[0], names, vector, priors)
        else:
            terms[name] = bambi_prior(*used)
    fixed = FixedEffects(design, public.coefficients)
    for plan in component.plans:
        terms |= block_priors(plan, priors, fixed)
    return terms
