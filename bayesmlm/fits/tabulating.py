"""`table`: several models side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm import model_rows
from bayesmlm.comparison import method_of
from bayesmlm.errors import BayesMLMError
from bayesmlm.fits.base import Sampled
from bayesmlm.frequentist import ReferenceFit
from bayesmlm.generalised import GlmerFit
from bayesmlm.linear import LinearFit
from bayesmlm.link_scale import has_link_residual
from bayesmlm.meanings import ratio
from bayesmlm.report.distributions import response_name
from bayesmlm.report.model_cells import Head, Style
from bayesmlm.report.model_table import ModelTable
from bayesmlm.report.responses import family_text
from bayesmlm.tables import check_probability

Model = Sampled | ReferenceFit | GlmerFit | LinearFit


def table(
    *models: Model | Sequence[Model] | Mapping[str, Model],
    names: Iterable[str] | None = None,
    prob: float = 0.95,
    digits: int = 2,
    show: str = "se",
    style: str = "below",
    stats: str | Iterable[str] = "default",
    ddf: str | None = None,
    stars: bool = False,
    exponentiate: bool = False,
) -> ModelTable:
    """Put models side by side, as a paper shows them.

    Parameters
    ----------
    models
        Fits of `fit`, `lmer`, `glmer`, `lm` and `complete_pooling`, of any families, in any mix: one after the other,
        as a list, or as a dict name -> fit.
    names
        Names of the models; ``(1)``, ``(2)``, ... if None.
    prob
        Probability of the intervals.
    digits
        Decimals of estimates; a row in which they would show less than one significant digit has more.
    show
        What of the uncertainty is shown: "se" (MAD_SD of a posterior), "interval", "both" or "none". Standard
        deviations and correlations of reference fits have none.
    style
        Whether it stands "below" the estimate or "beside" it.
    stats
        Which statistics are shown: "default" (icc, r2, nobs, ngroups, draws, loglik, aic, bic, reml), or their names,
        also deviance, loo and waic. ``("default", "loo")`` adds to the usual ones.
    ddf
        "satterthwaite" or "kenward-roger" gives the fixed effects of `lmer` fits t intervals and p values, as in their
        `summary`. If None intervals are normal.
    stars
        Whether p values of `lm` and `lmer` fits below 0.05, 0.01 and 0.001 have stars; `ddf` is then "satterthwaite"
        unless given.
    exponentiate
        Whether fixed effects are shown as exp(coefficient) in models where that is a ratio: odds ratios of a logit
        link, rate ratios or ratios of means of a log link, hazard ratios of cloglog. Their standard errors are the
        MAD_SD of the draws of exp(coefficient), or by the delta method.

    Returns
    -------
    ModelTable
        Prints as text and, in a notebook, as HTML; ``to_latex``, ``to_markdown``, ``to_html``, ``save("table.tex")``;
        ``frame`` has the numbers.

    Raises
    ------
    BayesMLMError
        For something that is not such a fit, names that are not one for each model, or an unknown choice.
    """
    chosen = _named(models, names)
    level = check_probability(prob, "prob")
    shown = Style(digits, show, style, level, stars)
    statistics = model_rows.checked_statistics(stats)
    tests = "satterthwaite" if stars and ddf is None else ddf
    ratios = _ratios(chosen, exponentiate)
    rows = {name: _rows(model, level, tests, statistics, ratios[name]) for name, model in chosen.items()}
    frame = model_rows.stacked(rows, statistics)
    heads = tuple(
        Head(name, _response(model), _method(model), _family(model), ratios[name])
        for name, model in chosen.items()
    )
    notes = _scale_notes(chosen, frame)
    notes += [f"{name}: {note}." for name, model in chosen.items() for note in _warnings(model)]
    return ModelTable(frame, heads, shown, tuple(notes))


def _named(models: tuple[Any, ...], names: Iterable[str] | None) -> dict[str, Model]:
    """Return the models by name, in order."""
    (only,) = models if len(models) == 1 else (None,)
    if isinstance(only, Mapping):
        if names is not None:
            raise BayesMLMError("names: a dict of models has names already")
        given, labels = list(only.values()), [str(n) for n in only]
    else:
        given = list(only) if isinstance(only, list | tuple) else list(models)
        labels = [f"({i})" for i in range(1, len(given) + 1)] if names is None else [str(n) for n in names]
    if not given:
        raise BayesMLMError("table() needs at least one model")
    for model in given:
        if not isinstance(model, Model):
            kind = type(model).__name__
            raise BayesMLMError(f"table() takes fits of bm.fit, bm.lmer, bm.glmer and bm.lm, not {kind}")
    if len(labels) != len(given) or len(set(labels)) != len(labels):
        raise BayesMLMError(f"names = {labels!r}: give a different name to each of the {len(given)} models")
    return dict(zip(labels, given, strict=True))


def _ratios(models: Mapping[str, Model], exponentiate: bool) -> dict[str, str]:
    """What exp(coefficient) is in each model, if it is to be shown; empty where it is no ratio, or not asked for.

    Raises
    ------
    BayesMLMError
        If it was asked for and is a ratio in no model.
    """
    designs = {n: None if isinstance(m, LinearFit) else m.design for n, m in models.items()}
    found = {n: "" if d is None or not exponentiate else ratio(d) for n, d in designs.items()}
    if exponentiate and not any(found.values()):
        raise BayesMLMError(
            "exponentiate: exp(coefficient) is a ratio with the links logit, cloglog and log, or a response log(y); "
            "no model here has one"
        )
    return found


def _rows(
    model: Model, prob: float, ddf: str | None, statistics: Sequence[str], kind: str
) -> list[pd.DataFrame]:
    if isinstance(model, LinearFit):
        return [
            model_rows.parameter_rows(model.tidy(prob), {}),
            model_rows.linear_sigma(model.estimate),
            model_rows.linear_shares(model.estimate),
            model_rows.size_rows(model.nobs, {}),
            model_rows.criterion_rows(model.estimate),
        ]
    labels = model_rows.block_labels(model.design)
    if isinstance(model, ReferenceFit):
        return [
            model_rows.parameter_rows(_exponentiated(model.tidy(conf_level=prob, ddf=ddf), kind), labels),
            model_rows.reference_shares(model.design, model.estimate, labels),
            model_rows.size_rows(model.nobs, model.ngroups),
            model_rows.criterion_rows(model.estimate),
        ]
    if isinstance(model, GlmerFit):
        return [
            model_rows.parameter_rows(model.tidy(conf_level=prob, exponentiate=bool(kind)), labels),
            *_shares(model, labels),
            model_rows.size_rows(model.nobs, model.ngroups),
            model_rows.criterion_rows(model.estimate),
        ]
    criteria = [_elpd(model, name) for name in ("loo", "waic") if name in statistics]
    return [
        model_rows.parameter_rows(model.tidy(conf_level=prob, exponentiate=bool(kind)), labels),
        model_rows.posterior_shares(model.design, model.posterior, prob, labels),
        model_rows.size_rows(model.nobs, model.ngroups, model.posterior.n_draws),
        *criteria,
    ]


def _shares(model: GlmerFit, labels: Mapping[str, str]) -> list[pd.DataFrame]:
    """Shares of the variance on the scale of the link, of a family and link that have one."""
    if not has_link_residual(model.design):
        return []
    return [model_rows.share_rows(model.icc(), model.r2(), labels)]


def _scale_notes(models: Mapping[str, Model], frame: pd.DataFrame) -> list[str]:
    """Say where shares of variance are those of a latent response."""
    shown = set(frame.loc[frame["part"] == "share", "model"])
    names = [name for name, model in models.items() if name in shown and _family(model)]
    of = f" of {', '.join(names)}" if len(models) > 1 else ""
    return [f"Shares of variance{of} are those on the scale of the linear predictor."] if names else []


def _exponentiated(tidy: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return a reference fit's tidy frame with exp(estimate) of the fixed effects; se times exp(estimate)."""
    if not kind:
        return tidy
    fixed, out = tidy["effect"] == "fixed", tidy.copy()
    out.loc[fixed, "std_error"] *= np.exp(tidy.loc[fixed, "estimate"])
    ends = ["estimate", "conf_low", "conf_high"]
    out.loc[fixed, ends] = np.exp(tidy.loc[fixed, ends])
    return out


def _family(model: Model) -> str:
    if isinstance(model, LinearFit) or model.design.family.is_gaussian_identity:
        return ""
    return family_text(model.design.family)


def _elpd(fit: Sampled, name: str) -> pd.DataFrame:
    found = getattr(fit, name)()
    return model_rows.elpd_row(f"elpd_{name}", float(found.elpd), float(found.se))


def _response(model: Model) -> str:
    if isinstance(model, LinearFit):
        return model.formula.partition("~")[0].strip()
    return response_name(model.design)


def _method(model: Model) -> str:
    if isinstance(model, ReferenceFit):
        return "REML" if model.estimate.reml else "ML"
    if isinstance(model, GlmerFit):
        return method_of(model.estimate)
    return "OLS" if isinstance(model, LinearFit) else "Bayes"


def _warnings(model: Model) -> list[str]:
    """What a reader of the table has to know of how a model was fitted."""
    if isinstance(model, Sampled):
        return list(model.notes)
    if isinstance(model, ReferenceFit | GlmerFit) and (model.is_singular() or not model.estimate.converged):
        return [model.status.rstrip(".")]
    return []
