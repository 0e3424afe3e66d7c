"""Reports of priors, laid out as rstanarm's, with what the priors imply below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.families import LINKS
from bayesmlm.meanings import mean_of, predictor_of, ratio, scale_of
from bayesmlm.priors import (
    R2D2,
    Adjusted,
    Decov,
    Distribution,
    Implications,
    Implied,
    ImpliedSlope,
    Joint,
    Lkj,
    Priors,
)
from bayesmlm.report.grid import RULE, Grid, Report


def prior_text(prior: Any, digits: int = 2) -> str:
    """Write a prior as rstanarm does, ``normal(location = 73, scale = 41)``."""
    match prior:
        case Distribution() | Joint():
            inner = [f"{k} = {_two(v, digits)}" for k, v in prior.parameters]
            return f"{prior.name}({', '.join(inner)})"
        case Decov():
            values = (prior.regularization, prior.concentration, prior.shape, prior.scale)
            inner = [
                f"{k} = {_two(v, digits)}"
                for k, v in zip(("reg.", "conc.", "shape", "scale"), values, strict=True)
            ]
            return f"decov({', '.join(inner)})"
        case Lkj():
            return f"lkj(reg. = {_two(prior.regularization, digits)}, sd ~ {prior_texts(prior.adjusted, digits)})"
    return str(prior)


def prior_texts(priors: Sequence[Any], digits: int = 2) -> str:
    """Write several priors: once if they are the same, ``normal(scale = [26,41])`` if of one family."""
    texts = [prior_text(p, digits) for p in priors]
    if len(set(texts)) == 1:
        return texts[0]
    if not all(isinstance(p, Distribution) and p.name == priors[0].name for p in priors):
        return f"[{', '.join(texts)}]"
    inner = []
    for key, _ in priors[0].parameters:
        inner.append(f"{key} = [{','.join(_two(p[key], digits) for p in priors)}]")
    return f"{priors[0].name}({', '.join(inner)})"


def _two(value: float, digits: int) -> str:
    """R's ``format(value, digits)``: so many significant digits, but never fewer than the integer part has."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{round(float(value), decimals):.15g}"


def prior_report(design: Design, priors: Priors, implications: Implications, digits: int) -> Report:
    """What ``fit.prior_summary()`` shows: rstanarm's blocks, then what the priors imply."""
    parts: list[str | Grid] = ["Priors", RULE, *_of_predictor(priors, digits)]
    for name, prior in _auxiliary(priors).items():
        parts += [f"Auxiliary ({name})", *_prior_pair([prior], digits), ""]
    for name, own in priors.others.items():
        link = design.others[name].family.link
        lines = [*_of_predictor(own, digits), *_covariance(own, digits)]
        parts += [f"{link}({name}):", *(f"  {line}" if line else line for line in lines), ""]
    parts += _covariance(priors, digits)
    if design.family.is_categorical:
        parts += [f"The same for every category of {design.response} but the first"]
    parts += [RULE, *_implied_report(design, priors, implications, digits)]
    return Report(tuple(parts), _prior_frame(priors, implications))


def _of_predictor(priors: Priors, digits: int) -> list[str]:
    parts: list[str] = []
    if priors.intercept is not None:
        parts += ["Intercept (after predictors centered)", *_prior_pair([priors.intercept], digits), ""]
    if priors.coefficients:
        names = ", ".join(priors.coefficients)
        parts += [f"Coefficients ({names})", *_prior_pair(list(priors.coefficients.values()), digits), ""]
    return parts


def _covariance(priors: Priors, digits: int) -> list[str]:
    found = [f" {label} ~ {prior_text(p, digits)}" for label, p in priors.covariance.items()]
    return ["Covariance", *found] if found else []


def _auxiliary(priors: Priors) -> dict[str, Adjusted]:
    """The priors of the auxiliary parameters, sigma first."""
    return {**({} if priors.sigma is None else {"sigma": priors.sigma}), **priors.auxiliary}


def _prior_pair(priors: Sequence[Adjusted], digits: int) -> list[str]:
    first = prior_texts(list({prior_text(p.specified): p.specified for p in priors}.values()), digits)
    shown = prior_texts([p.used for p in priors], digits)
    if first == shown:
        return [f" ~ {shown}"]
    return ["  Specified prior:", f"    ~ {first}", "  Adjusted prior:", f"    ~ {shown}"]


# -- in plain units ------------------------------------------------------------------------------------


def _implied_report(design: Design, priors: Priors, facts: Implications, digits: int) -> list[str | Grid]:
    """Say what the priors imply: a range for everything, and the shares of variance."""
    plain, scale = design.family.is_gaussian_identity, scale_of(design)
    units = f", in units of {design.response}" if plain else ""
    on_scale = f" on the {scale} scale" if scale else ""
    parts: list[str | Grid] = [f"What these priors imply{units} (90% ranges):"]
    parts += [] if facts.mean is None else [_mean_line(design, facts.mean, digits)]
    parts += [_between(name, bounds, digits) for name, bounds in facts.auxiliary.items()]
    for item in facts.blocks:
        for column, bounds in zip(item.columns, item.sd_range, strict=True):
            parts += [_between(f"{item.label}: sd of {column}", bounds, digits) + on_scale]
    parts += [_slope_line(slope, digits, ratio(design), on_scale) for slope in facts.slopes]
    if isinstance(priors.joint, R2D2):
        parts += [_r2_line(priors.joint)]
    latent = "" if design.family.has_sigma else ", on the latent scale,"
    for item in facts.blocks if "sigma" not in design.others else ():  # no one sigma to compare with
        parts += _share_lines(item, latent)
    return parts


def _mean_line(design: Design, bounds: tuple[float, float], digits: int) -> str:
    """Say where the expected response is expected, on its own scale where the link is monotone there."""
    where = "at average predictors" + ("" if design.offset is None else " and an offset of 0")
    family = design.family
    if family.is_gaussian_identity:
        return _between(f"mean response {where}", bounds, digits)
    if family.name.endswith("lognormal"):
        above = " above 0" if family.name.startswith("hurdle") else ""
        median = np.exp(bounds)
        return _between(f"median of {design.response}{above} {where}", (median[0], median[1]), digits)
    opens = family.link in {"logit", "probit", "cloglog", "cauchit"}
    if opens or (family.link == "log" and family.support != "binomial"):
        low, high = LINKS[family.link].inverse(np.array(bounds))
        return _between(f"{mean_of(design)} {where}", (low, high), digits)
    return _between(f"{predictor_of(design)} {where}", bounds, digits)


def _between(words: str, bounds: Sequence[float], digits: int) -> str:
    if np.isnan(bounds).any():
        return f" {words}: as your bambi.Prior has it"
    low, high = (_two(v, digits) for v in bounds)
    return f" {words} between {low} and {high}"


def _slope_line(slope: ImpliedSlope, digits: int, kind: str, on_scale: str) -> str:
    """Write the range of a slope, or of exp(slope) where that is a ratio of some kind."""
    per_unit, per_sd = np.array(slope.per_unit), np.array(slope.per_sd)
    if kind:
        per_unit, per_sd, on_scale = np.exp(per_unit), np.exp(per_sd), ""
    line = _between(f"{kind or 'slope'} of {slope.name}", per_unit.tolist(), digits) + on_scale
    if np.isnan(slope.per_sd).any() or slope.per_sd == slope.per_unit:
        return line
    low, high = (_two(v, digits) for v in per_sd)
    return f"{line}; per sd of {slope.name} {low} to {high}"


def _r2_line(prior: R2D2) -> str:
    from scipy.stats import beta

    low, high = beta(*prior.shapes).ppf([0.05, 0.95])
    return f" R2 of the slopes together, beside sigma, between {low:.2f} and {high:.2f}"


def _share_lines(item: Implied, latent: str) -> list[str]:
    lines = []
    if not np.isnan(item.icc_median):
        above = f"P(> 0.5) = {item.icc_above_half:.2f}"
        lines.append(
            f" {item.label}: share of variance (ICC){latent} has median {item.icc_median:.2f}, {above}"
        )
    if not np.isnan(item.extreme_correlation):
        lines.append(f" {item.label}: P(|correlation| > 0.9) = {item.extreme_correlation:.2f}")
    return lines


def _prior_frame(priors: Priors, facts: Implications) -> pd.DataFrame:
    """One row per prior: as specified and as adjusted, and the 90% range it implies (of the one sd of a block).

    Ranges are on the scale of the linear predictor.
    """
    nothing = (float("nan"), float("nan"))
    rows = [] if priors.intercept is None else [("(Intercept)", priors.intercept, facts.mean or nothing)]
    slopes = {slope.name: slope.per_unit for slope in facts.slopes}
    rows += [(name, prior, slopes[name]) for name, prior in priors.coefficients.items()]
    rows += [(name, p, facts.auxiliary[name]) for name, p in _auxiliary(priors).items()]
    data = [(n, prior_text(p.specified, 12), prior_text(p.used, 12), *r) for n, p, r in rows]
    for label, p in priors.covariance.items():
        data.append((label, prior_text(p, 12), prior_text(p, 12), *nothing))
    for item in facts.blocks:
        prior = priors.covariance[item.label]
        for column, bounds in zip(item.columns, item.sd_range, strict=True):
            j = item.columns.index(column)
            text = prior_text(prior.adjusted[j], 12) if isinstance(prior, Lkj) else ""
            data.append((f"sd__{column} ({item.label})", text, text, *bounds))
    return pd.DataFrame(data, columns=["parameter", "specified", "adjusted", "low", "high"])
