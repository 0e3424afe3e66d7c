"""Formula + Design + Priors -> bambi.Model, its PyMC graph, and where our parameters are in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import bambi as bmb
import numpy as np
import pandas as pd
import pymc as pm

from bayesmlm.design import Design
from bayesmlm.draws import Schema, Variable
from bayesmlm.errors import BayesMLMError
from bayesmlm.model.effects import FixedEffects, bambi_prior, block_priors
from bayesmlm.model.match import match_blocks, match_fixed
from bayesmlm.model.plan import BlockPlan, all_native, block_plan, fixed_pieces, formula_text, model_frame
from bayesmlm.model.start import start_values
from bayesmlm.model.translate import NAMESPACE, Piece
from bayesmlm.priors import Priors
from bayesmlm.reference.estimate import LmerEstimate


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
    native_fixed, native_blocks = all_native(design)
    for _ in range(2):
        frame = model_frame(design)
        pieces = fixed_pieces(design, native_fixed, priors)
        plans = tuple(
            block_plan(b, design, n, forms) for b, n in zip(design.blocks, native_blocks, strict=True)
        )
        text = formula_text(design, pieces, plans, frame)
        model = _bambi_model(text, frame, design)
        if model is not None:
            bad_fixed, coefficients = match_fixed(model, design, pieces)
            bad_blocks, plans = match_blocks(model, design, plans)
            if not bad_fixed and not bad_blocks:
                _set_priors(model, design, priors, pieces, plans, coefficients)
                plans = tuple(_plain_group_name(model, plan) for plan in plans)
                model.build()
                start = (
                    {} if estimate is None else start_values(design, priors, coefficients, plans, estimate)
                )
                return BambiModel(model, Schema(coefficients, tuple(p.schema for p in plans)), start)
        native_fixed = [n and model is not None and i not in bad_fixed for i, n in enumerate(native_fixed)]
        native_blocks = [n and model is not None and i not in bad_blocks for i, n in enumerate(native_blocks)]
    raise BayesMLMError(f"Bambi reads {text!r} differently from the design: please report this formula")


def _bambi_model(text: str, frame: pd.DataFrame, design: Design) -> bmb.Model | None:
    """Build the bambi.Model, or None if formulae cannot read a translated term."""
    try:
        return bmb.Model(text, frame, auto_scale=False, extra_namespace=NAMESPACE)
    except (ValueError, KeyError, TypeError, AttributeError, NameError, ArithmeticError):
        return None  # the caller tries again with ready-made columns, and raises if that fails too


def _plain_group_name(model: bmb.Model, plan: BlockPlan) -> BlockPlan:
    """Name the terms of an interaction of factors ``1|cask:batch``, as Bambi would, instead of by the call.

    The sampler splits names of dims at commas, so the call's own name could not stay anyway.
    """
    if not plan.group_text.startswith("interaction("):
        return plan
    alias = {v.name: f"{v.name.split('|')[0]}|{plan.block.group}" for v in plan.columns}
    model.set_alias(alias)
    return replace(plan, columns=tuple(replace(v, name=alias[v.name]) for v in plan.columns))


def _set_priors(
    model: bmb.Model,
    design: Design,
    priors: Priors,
    pieces: list[Piece],
    plans: tuple[BlockPlan, ...],
    coefficients: tuple[Variable, ...],
) -> None:
    chosen: dict[str, Any] = {"sigma": bambi_prior(priors.sigma.used)}
    if priors.intercept is not None:
        chosen[coefficients[0].name] = bambi_prior(priors.intercept.used)
    members: dict[str, list[tuple[int, int]]] = {}
    for j, variable in enumerate(coefficients):
        if design.coefficients[j] != "(Intercept)":
            members.setdefault(variable.name, []).append((variable.position or 0, j))
    for name, columns in members.items():
        chosen[name] = bambi_prior(
            *(priors.coefficients[design.coefficients[j]].used for _, j in sorted(columns))
        )
    fixed = FixedEffects(design, coefficients)
    for plan in plans:
        chosen |= block_priors(plan, priors.covariance[plan.block.label], fixed)
    model.set_priors(priors=chosen)
