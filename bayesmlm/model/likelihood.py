"""The family of a design as Bambi's: its name, links, parameters, response, and prior weights."""

from __future__ import annotations

from typing import Any

import bambi as bmb
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
from bambi.backend.utils import get_distribution
from bambi.defaults import get_builtin_family
from bambi.utils import as_dataset
from pymc.distributions.transforms import ordered

from bayesmlm.design import Design
from bayesmlm.families import LINKS
from bayesmlm.model.effects import bambi_prior
from bayesmlm.model.translate import ready_made, translate
from bayesmlm.syntax import Binary, Call, Name, Node

# Our auxiliary parameters that Bambi calls otherwise.
BAMBI_NAMES = {"reciprocal_dispersion": "alpha", "shape": "alpha", "lambda": "lam", "phi": "kappa"}
BAMBI_NAMES |= {"thresholds": "threshold"}
LINKS_BAMBI_LACKS = {"sqrt": pt.sqr, "cauchit": lambda eta: 0.5 + pt.arctan(eta) / np.pi}


def bambi_name(auxiliary: str) -> str:
    """Return what Bambi calls one of our auxiliary parameters."""
    return BAMBI_NAMES.get(auxiliary, auxiliary)


def bambi_family(design: Design) -> bmb.Family:
    """Return the family of a design, prior weights included.

    Bambi has Bernoulli and binomial responses as two families, and checks links by name, though its backend takes any
    that is given as an object.
    """
    family = design.family
    single = family.name == "binomial" and design.trials is None
    chosen = get_builtin_family("bernoulli" if single else family.name)
    chosen.link = {**chosen.link, chosen.likelihood.parent: _link(family.link)}
    return chosen if design.weights is None else _weighted(chosen, design.weights)


def _link(name: str) -> bmb.families.Link:
    if name in LINKS_BAMBI_LACKS:
        link = LINKS[name]
        return bmb.families.Link(name, link.forward, link.inverse, LINKS_BAMBI_LACKS[name])
    return bmb.families.Link(name)


# -- prior weights ---------------------------------------------------------------------------------


class _Powered:
    """A response whose log-density is multiplied by its weight; a replicated response is drawn without weights."""

    def __init__(self, distribution: Any, weights: np.ndarray) -> None:
        self.distribution, self.weights = distribution, weights

    def __call__(self, name: str, **kwargs: Any) -> Any:
        response = self.distribution(name, **kwargs)
        parameters = {k: v for k, v in kwargs.items() if k not in {"observed", "dims"}}
        plain = pm.logp(self.distribution.dist(**parameters), kwargs["observed"])
        pm.Potential(f"{name}||weights", (self.weights - 1.0) * plain)
        return response

    def dist(self, **kwargs: Any) -> Any:
        return self.distribution.dist(**kwargs)


class _Scaled(_Powered):
    """A Gaussian response with variance sigma^2 / weight."""

    def __call__(self, name: str, **kwargs: Any) -> Any:
        return self.distribution(name, **{**kwargs, "sigma": kwargs["sigma"] / np.sqrt(self.weights)})


def _weighted(family: bmb.Family, weights: np.ndarray) -> bmb.Family:
    """Return a family whose rows have weights, in the PyMC model and in what Bambi computes of the rows of the fit."""
    # Bambi's own weighted responses take parameters by position: those of a gamma end up in each other's place.
    scaled, base = family.name == "gaussian", type(family)
    distribution = get_distribution(family.likelihood.name)
    family.likelihood.dist = (_Scaled if scaled else _Powered)(distribution, weights)

    class Weighted(base):  # type: ignore[misc, valid-type]
        def posterior_predictive(self, model: Any, posterior: Any, random_seed: Any, **kwargs: Any) -> Any:
            known = _own_sigma(posterior, weights) if scaled and kwargs.get("data") is None else posterior
            return base.posterior_predictive(self, model, known, random_seed, **kwargs)

        def log_likelihood(self, model: Any, posterior: Any, data: Any, **kwargs: Any) -> Any:
            known = _own_sigma(posterior, weights) if scaled and data is None else posterior
            value = base.log_likelihood(self, model, known, data, **kwargs)
            return value if scaled or data is not None else value * weights

    family.__class__ = Weighted
    return family


def _own_sigma(posterior: Any, weights: np.ndarray) -> Any:
    data = as_dataset(posterior)
    return data.assign(sigma=data["sigma"] / np.sqrt(data["__obs__"].copy(data=weights)))


# -- the response ----------------------------------------------------------------------------------


def response_text(design: Design, native: bool, frame: pd.DataFrame) -> str:
    """Write the response: columns or a function of one where Bambi reads them alike, else ready-made columns.

    A binomial one is ``p(successes, trials)`` where there can be more than one trial.
    """
    node = design.formula.response
    if design.family.support == "binomial":
        return _binomial_text(node, design, native, frame)
    if design.family.is_ordinal or design.family.is_categorical:
        return _category_text(node, design, native, frame)
    text = translate(node) if native and isinstance(node, Name | Call) else None
    if text is None:
        whole = design.family.support == "count"
        return ready_made(frame, design.response, design.y.astype(int) if whole else design.y)
    return text


def _category_text(node: Node | None, design: Design, native: bool, frame: pd.DataFrame) -> str:
    levels = list(design.response_levels)
    if native and isinstance(node, Name):
        known = frame[node.name].dtype
        if isinstance(known, pd.CategoricalDtype) and known.categories.tolist() == levels:
            return str(translate(node))
    values = pd.Categorical.from_codes(design.y.astype(int), levels, ordered=True)
    return ready_made(frame, design.response, values)


def _binomial_text(node: Node | None, design: Design, native: bool, frame: pd.DataFrame) -> str:
    y = design.y.astype(int)
    if design.family.name == "binomial" and design.trials is None:
        text = translate(node) if native and isinstance(node, Name) else None
        return ready_made(frame, design.response, y) if text is None else text
    if native and isinstance(node, Call) and node.func == "cbind":
        (_, successes), (_, failures) = node.args
        match failures:
            case Binary("-", Name() as trials, left) if left == successes and isinstance(successes, Name):
                return f"p({translate(successes)}, {translate(trials)})"
    m = np.ones(len(y), dtype=int) if design.trials is None else design.trials.astype(int)
    return f"p({ready_made(frame, 'successes', y)}, {ready_made(frame, 'trials', m)})"


# -- thresholds ------------------------------------------------------------------------------------

CENTRED_THRESHOLDS = "threshold||centred"


def threshold_prior(design: Design, prior: Any) -> bmb.Prior:
    """Return the prior of all thresholds at the means of the predictors, in increasing order if cumulative.

    Parameters
    ----------
    design
        An ordinal model.
    prior
        A `Distribution`, which holds for each threshold.
    """
    one = bambi_prior(prior)
    count = len(design.response_levels) - 1
    options: dict[str, Any] = {"initval": np.linspace(-1.0, 1.0, count)}
    if design.family.name == "cumulative":
        options["transform"] = ordered

    def build(name: str, dims: Any = None, **_: Any) -> Any:
        return getattr(pm, one.name)(CENTRED_THRESHOLDS, **one.args, **options, dims=dims)

    return bmb.Prior("Thresholds", dist=build)


def uncentre_thresholds(family: bmb.Family, shift: Any) -> None:
    """Let a family's thresholds be those of predictors as given: Bambi does not centre ordinal models' predictors.

    Parameters
    ----------
    family
        Of the model, before it is built.
    shift
        Function of the PyMC model that returns the fixed part of the linear predictor at the means of the predictors.
    """
    of_bambi = type(family).transform_backend_eta

    def transform(eta: Any, kwargs: dict[str, Any]) -> Any:
        total = kwargs["threshold"] + shift(pm.modelcontext(None))
        kwargs["threshold"] = pm.Deterministic("threshold", total, dims="threshold_dim")
        return of_bambi(eta, kwargs)

    family.transform_backend_eta = transform


def threshold_start(design: Design) -> dict[str, np.ndarray]:
    """Return thresholds at which categories are as probable as they are frequent."""
    counts = np.bincount(design.y.astype(int), minlength=len(design.response_levels)) + 0.5
    reached = counts.sum() if design.family.name == "cumulative" else np.cumsum(counts[::-1])[::-1][:-1]
    below = np.cumsum(counts)[:-1] if design.family.name == "cumulative" else counts[:-1]
    return {CENTRED_THRESHOLDS: LINKS[design.family.link].forward(below / reached)}
