"""Formula + Design + Priors -> bambi.Model, its PyMC graph, and where our parameters are in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import bambi as bmb
import numpy as np
import pandas as pd
import pymc as pm
from formulae.parser import ParseError
from formulae.resolver import ResolverError
from formulae.scanner import ScanError

from bayesmlm.bambi_draws import PredictorSchema, Schema
from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError
from bayesmlm.model.component import (
    NOTHING_NATIVE,
    Component,
    matched,
    named,
    native_of,
    public_name,
    term_priors,
    written,
)
from bayesmlm.model.effects import FixedEffects, bambi_prior
from bayesmlm.model.likelihood import (
    bambi_family,
    bambi_name,
    response_text,
    threshold_prior,
    uncentre_thresholds,
)
from bayesmlm.model.match import match_response
from bayesmlm.model.plan import category_names, model_frame, of_categories
from bayesmlm.model.start import flat_start, start_values
from bayesmlm.model.translate import NAMESPACE
from bayesmlm.priors import THRESHOLDS, Distribution, Priors
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
    others: Mapping[str, LmerEstimate | None] | None = None,
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
    others
        Fits of the predictors of auxiliary parameters, on the scale of their link, likewise.

    Raises
    ------
    BayesMLMError
        If Bambi's columns cannot be made to agree with the design's; no model is better than another one.
    """
    components = _components(design, priors)
    native_response, native = True, [native_of(c.design) for c in components]
    for _ in range(2):
        frame = model_frame(design)
        response = response_text(design, native_response, frame)
        parts = [written(c, n, forms, frame) for c, n in zip(components, native, strict=True)]
        texts = [f"{c.parameter if c.prefix else response} ~ {c.text}" for c in parts]
        model = _bambi_model(texts, frame, design)
        if model is None:
            native_response, native = False, [NOTHING_NATIVE] * len(parts)
            continue
        compared = [matched(c, n, model) for c, n in zip(parts, native, strict=True)]
        same = match_response(model, design)
        if same and all(better is None for _, better in compared):
            made = [full for full, _ in compared]
            return _complete(model, design, priors, made, {"": estimate, **(others or {})})
        native_response = native_response and same
        native = [n if better is None else better for n, (_, better) in zip(native, compared, strict=True)]
    raise BayesMLMError(f"Bambi reads {texts!r} differently from the design: please report this formula")


def _components(design: Design, priors: Priors) -> list[Component]:
    parent = bambi_family(design).likelihood.parent
    others = [(name, design.others[name], priors.others[name]) for name in design.others]
    return [
        Component(parent, "", design, priors),
        *(Component(bambi_name(name), bambi_name(name), d, p) for name, d, p in others),
    ]


def _bambi_model(texts: list[str], frame: pd.DataFrame, design: Design) -> bmb.Model | None:
    """Build the bambi.Model, or None if formulae cannot read a translated term."""
    family = bambi_family(design)
    try:
        formula = bmb.Formula(*texts) if len(texts) > 1 else texts[0]
        return bmb.Model(formula, frame, family, auto_scale=False, extra_namespace=NAMESPACE)
    except (*FORMULAE_ERRORS, ValueError, KeyError, TypeError, AttributeError, NameError, ArithmeticError):
        return None  # the caller tries again with ready-made columns, and raises if that fails too


def _complete(
    model: bmb.Model,
    design: Design,
    priors: Priors,
    components: list[Component],
    estimates: Mapping[str, LmerEstimate | None],
) -> BambiModel:
    """Set priors and names, and build the PyMC graph."""
    corr = {p.corr_name for c in components for p in c.plans}
    intercepts = {"Intercept", *(f"{c.prefix}_Intercept" for c in components if c.prefix)}
    taken = {*model.family.likelihood.params, *intercepts, "chain", "draw", "__obs__", *corr}
    public = [named(c, model, taken) for c in components]
    public_name(model.response_term, model.response_term.name, taken)
    _set_priors(model, design, priors, components, public)
    model.build()
    start: dict[str, np.ndarray] = {}
    for name, part in zip(design.parts, public, strict=True):
        estimate = estimates.get(name)
        if estimate is not None:
            start |= start_values(part.design, part.priors, part.coefficients, part.plans, estimate)
        elif not name and not _is_linear(design):
            start |= flat_start(design, priors, part.coefficients)
    return BambiModel(model, _schema(design, priors, public), start)


def _is_linear(design: Design) -> bool:
    return design.family.is_gaussian_identity and not design.others


def _schema(design: Design, priors: Priors, public: list[Component]) -> Schema:
    main, *others = (c.schema for c in public)
    parts = dict(zip(design.others, others, strict=True))
    if design.family.is_categorical:
        for k, name in enumerate(category_names(design)):
            plans = [of_categories(plan, design)[k] for plan in public[0].plans]
            coefficients = tuple(replace(v, category=k) for v in main.coefficients)
            parts[name] = PredictorSchema(coefficients, tuple(p.schema for p in plans))
        main = PredictorSchema((), ())
    sigma = None if priors.sigma is None else "sigma"
    auxiliary = {name: bambi_name(name) for name in priors.auxiliary}
    return Schema(main.coefficients, main.blocks, sigma, auxiliary, parts)


def _set_priors(
    model: bmb.Model, design: Design, priors: Priors, components: list[Component], public: list[Component]
) -> None:
    own = {**priors.auxiliary} if priors.sigma is None else {"sigma": priors.sigma, **priors.auxiliary}
    parameters = {bambi_name(name): bambi_prior(prior.used) for name, prior in own.items()}
    if design.family.is_ordinal and isinstance(own[THRESHOLDS].used, Distribution):
        parameters[bambi_name(THRESHOLDS)] = threshold_prior(design, own[THRESHOLDS].used)
        fixed = FixedEffects(design, public[0].coefficients)
        uncentre_thresholds(model.family, fixed.slopes_at_means)
    # Nested under the parameter, so that a column named sigma or mu is not taken for the parameter.
    terms = {c.parameter: term_priors(c, p) for c, p in zip(components, public, strict=True)}
    model.set_priors(priors={**terms, **parameters})
