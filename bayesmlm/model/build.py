"""Formula + Design + Priors -> bambi.Model, its PyMC graph, and where our parameters are in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import bambi as bmb
import numpy as np
import pandas as pd
import pymc as pm
from formulae.parser import ParseError
from formulae.resolver import ResolverError
from formulae.scanner import ScanError

from bayesmlm.design import Design
from bayesmlm.draws import Schema, Variable
from bayesmlm.errors import BayesMLMError
from bayesmlm.model.effects import FixedEffects, bambi_prior, block_priors
from bayesmlm.model.joint import joint_prior
from bayesmlm.model.likelihood import (
    bambi_family,
    bambi_name,
    response_text,
    threshold_prior,
    uncentre_thresholds,
)
from bayesmlm.model.match import match_blocks, match_fixed, match_offset, match_response
from bayesmlm.model.plan import (
    BlockPlan,
    block_plan,
    block_text,
    fixed_pieces,
    model_frame,
    offset_text,
    translatable_blocks,
)
from bayesmlm.model.start import flat_start, start_values
from bayesmlm.model.translate import NAMESPACE, plain_name
from bayesmlm.priors import THRESHOLDS, Distribution, Joint, Priors
from bayesmlm.reference.estimate import LmerEstimate

FORMULAE_ERRORS = (ParseError, ResolverError, ScanError)


@dataclass(frozen=True)
class BambiModel:
    """A built bambi.Model.

    Attributes
    ----------
    model : bambi.Model
    schema : Schema
        Where R's parameters are in its posterior.
    start : mapping of str to ndarray
        Values of PyMC variables near which chains start; may be empty.
    """

    model: bmb.Model
    schema: Schema
    start: Mapping[str, np.ndarray]

    @property
    def graph(self) -> pm.Model:
        """The PyMC model."""
        return self.model.backend.model


def build_model(
    design: Design,
    priors: Priors,
    forms: Mapping[str, tuple[str, ...]] | None = None,
    estimate: LmerEstimate | None = None,
) -> BambiModel:
    """Build the bambi.Model of a design, PyMC graph included.

    Parameters
    ----------
    design, priors
        The model.
    forms
        Parametrisation of each block's columns, by label; see `choose_forms`. It changes how well the
        sampler moves, not the model. All non-centred if None.
    estimate
        A reference fit of the same model; chains start near it. Anywhere if None.

    Raises
    ------
    BayesMLMError
        If Bambi's columns cannot be made to agree with the design's; no model is better than another one.
    """
    native = _Native(True, True, _whole_terms(design), translatable_blocks(design))
    for _ in range(2):
        frame = model_frame(design)
        response = response_text(design, native.response, frame)
        pieces = fixed_pieces(design, native.fixed, priors, frame)
        plans = tuple(block_plan(b, i in native.blocks, forms, frame) for i, b in enumerate(design.blocks))
        # Bambi reads the factors of an ordinal model as beside an intercept, and wants none in the formula.
        parts = ["1" if "(Intercept)" in design.coefficients else "0", *(t for p in pieces for t in p.text)]
        parts += [] if design.offset is None else [offset_text(design, native.offset, frame)]
        text = f"{response} ~ {' + '.join([*parts, *(t for p in plans for t in block_text(p))])}"
        model = _bambi_model(text, frame, design)
        if model is None:
            native = _Native(False, False, set(), set())
            continue
        bad_fixed, coefficients = match_fixed(model, design, pieces)
        bad_blocks, plans = match_blocks(model, design, plans)
        same = _Native(
            native.response and match_response(model, design),
            native.offset and match_offset(model, design),
            native.fixed - bad_fixed,
            native.blocks - bad_blocks,
        )
        if not bad_fixed and not bad_blocks and match_response(model, design) and match_offset(model, design):
            return _complete(model, design, priors, coefficients, plans, estimate)
        native = same
    raise BayesMLMError(f"Bambi reads {text!r} differently from the design: please report this formula")


@dataclass(frozen=True)
class _Native:
    """What Bambi is to evaluate from the data; the rest reaches it as ready-made columns."""

    response: bool
    offset: bool
    fixed: set[int]
    blocks: set[int]


def _whole_terms(design: Design) -> set[int]:
    """Terms of the fixed part; none where a collinear column had to go, for Bambi would keep it."""
    return set() if design.aliased else set(range(len(design.formula.fixed.terms)))


def _bambi_model(text: str, frame: pd.DataFrame, design: Design) -> bmb.Model | None:
    """Build the bambi.Model, or None if formulae cannot read a translated term."""
    family = bambi_family(design)
    try:
        return bmb.Model(text, frame, family, auto_scale=False, extra_namespace=NAMESPACE)
    except (*FORMULAE_ERRORS, ValueError, KeyError, TypeError, AttributeError, NameError, ArithmeticError):
        return None  # the caller tries again with ready-made columns, and raises if that fails too


def _complete(
    model: bmb.Model,
    design: Design,
    priors: Priors,
    coefficients: tuple[Variable, ...],
    plans: tuple[BlockPlan, ...],
    estimate: LmerEstimate | None,
) -> BambiModel:
    """Set priors and names, and build the PyMC graph."""
    fixed_names, effect_names = _public_names(model, plans)
    renamed = tuple(replace(v, name=fixed_names[v.name]) for v in coefficients)
    _set_priors(model, design, priors, coefficients, renamed, plans)
    plans = tuple(
        replace(plan, columns=tuple(replace(v, name=effect_names[v.name]) for v in plan.columns))
        for plan in plans
    )
    model.build()
    if estimate is not None:
        start = start_values(design, priors, renamed, plans, estimate)
    else:
        start = {} if design.family.is_gaussian_identity else flat_start(design, priors, renamed)
    sigma = "sigma" if design.family.has_sigma else None
    auxiliary = {name: bambi_name(name) for name in priors.auxiliary}
    return BambiModel(model, Schema(renamed, tuple(p.schema for p in plans), sigma, auxiliary), start)


def _public_names(model: bmb.Model, plans: tuple[BlockPlan, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Give Bambi's terms names that PyMC takes and nothing else has; return them for fixed and group terms.

    Group terms are called after R's grouping factor: ``1|cask:batch`` rather than ``1|interaction(cask, batch)``.
    """
    component = model.parameters[model.family.likelihood.parent]
    parameters = model.family.likelihood.params
    taken = {*parameters, "Intercept", "chain", "draw", "__obs__", *(p.corr_name for p in plans)}
    groups = {p.group_text.strip("`"): p.group_name for p in plans}

    def name(term: Any, wanted: str, companions: tuple[str, ...] = ()) -> str:
        chosen = plain_name(wanted)
        while taken & {chosen, *(chosen + c for c in companions)}:
            chosen += "_"
        taken.update({chosen, *(chosen + c for c in companions)})
        if chosen != term.name:
            term.alias = chosen
        return chosen

    fixed = {"Intercept": "Intercept"}
    fixed |= {t.name: name(t, t.name) for t in component.common_terms.values()}
    effects = {}
    for term in component.group_specific_terms.values():
        expression, group = term.name.split("|")
        effects[term.name] = name(term, f"{expression}|{groups[group]}", ("_sigma",))
    name(model.response_term, model.response_term.name)
    return fixed, effects


def _set_priors(
    model: bmb.Model,
    design: Design,
    priors: Priors,
    coefficients: tuple[Variable, ...],
    renamed: tuple[Variable, ...],
    plans: tuple[BlockPlan, ...],
) -> None:
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
            terms[name] = joint_prior(
                used[0], names, vector=coefficients[columns[0][1]].position is not None, design=design
            )
        else:
            terms[name] = bambi_prior(*used)
    fixed = FixedEffects(design, renamed)
    for plan in plans:
        terms |= block_priors(plan, priors.covariance[plan.block.label], fixed)
    own = {**priors.auxiliary} if priors.sigma is None else {"sigma": priors.sigma, **priors.auxiliary}
    parameters = {bambi_name(name): bambi_prior(prior.used) for name, prior in own.items()}
    if design.family.is_ordinal and isinstance(own[THRESHOLDS].used, Distribution):
        parameters[bambi_name(THRESHOLDS)] = threshold_prior(design, own[THRESHOLDS].used)
        uncentre_thresholds(model.family, fixed.slopes_at_means)
    # Nested under the parameter, so that a column named sigma or mu is not taken for the parameter.
    model.set_priors(priors={model.family.likelihood.parent: terms, **parameters})
