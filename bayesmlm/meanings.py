"""What a linear predictor and its coefficients are of, by family and link: odds, rates, means."""

from __future__ import annotations

from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError
from bayesmlm.families import Family, latent_variance
from bayesmlm.syntax import Binary, Call, Name, Node

ODDS, RATES, RISKS, HAZARDS = "odds ratio", "rate ratio", "risk ratio", "hazard ratio"
MEANS, MEDIANS, GEOMETRIC = "ratio of means", "ratio of medians", "ratio of geometric means"


def ratio(design: Design) -> str:
    """Name what exp(coefficient) is, ``"odds ratio"``; empty where it is nothing of interest."""
    family = design.family
    if family.link in {"logit", "softmax"}:
        return ODDS
    if family.link == "cloglog":
        return HAZARDS
    if family.link == "log":
        return {"count": RATES, "binomial": RISKS}.get(family.support, MEANS)
    if family.name.endswith("lognormal"):
        return MEDIANS
    response = design.formula.response
    logged = isinstance(response, Call) and response.func == "log" and len(response.args) == 1
    return GEOMETRIC if logged and family.link == "identity" else ""


def check_exponentiate(design: Design) -> None:
    """Raise unless exp(coefficient) is a ratio of something.

    Raises
    ------
    BayesMLMError
        For a link other than log, logit or cloglog, and a response that is no logarithm.
    """
    if not ratio(design):
        family = design.family
        raise BayesMLMError(
            f"exponentiate: exp(coefficient) is a ratio with the links logit, cloglog and log, or a response log(y); "
            f"this model is {family.spelled} [{family.spelled_link}] of {design.response}"
        )


def latent_residual(family: Family) -> float | None:
    """Return the variance of the latent response of a threshold model given its predictor; None for other models."""
    return latent_variance(family) if family.name in {"binomial", "cumulative"} else None


def event(design: Design) -> str:
    """Name what a binomial response counts: ``"incidence"`` of cbind(incidence, ...), ``"sex = M"`` of a factor."""
    response = design.formula.response
    match response:
        case Call("cbind", ((_, first), _)):
            return _text(first)
        case Binary("/", left, _):
            return _text(left)
    if design.response_levels:
        return f"{design.response} = {design.response_levels[-1]}"
    alone = design.trials is None and isinstance(response, Name)
    return f"{design.response} = 1" if alone else design.response


def _text(node: Node) -> str:
    return node.name if isinstance(node, Name) else str(node)


def mean_of(design: Design) -> str:
    """Name the expected response: ``"probability of incidence"``, ``"expected TICKS"``."""
    match design.family.support:
        case "binomial":
            return f"probability of {event(design)}"
        case "ordinal":
            return f"probability of each category of {design.response}"
        case "categorical":
            return f"probability of each category of {design.response}"
    return f"expected {design.response}"


def predictor_of(design: Design) -> str:
    """Name the linear predictor, of which coefficients are differences: ``"log odds of incidence"``."""
    family = design.family
    if family.is_ordinal:
        what = "a higher" if family.name == "cumulative" else "passing each category of"
        return f"{link_words(family)} of {what} {design.response}"
    if family.is_categorical:
        return f"log odds of each category of {design.response} against {design.response_levels[0]}"
    if family.name.endswith("lognormal"):
        above = " above 0" if family.name.startswith("hurdle") else ""
        return f"expected log({design.response}){above}"
    if family.link == "identity":
        return mean_of(design)
    if family.support == "binomial":
        words = link_words(family)
        return f"{words} of {event(design)}" if family.link == "logit" else f"{words} {mean_of(design)}"
    return f"{link_words(family)} {mean_of(design)}"


def multiplied(design: Design) -> str:
    """Name what exp(coefficient) multiplies: ``"odds of incidence"``, ``"expected TICKS"``; empty for nothing."""
    family, kind = design.family, ratio(design)
    if kind == ODDS:
        return predictor_of(design).removeprefix("log ").removeprefix("logit of the ")
    if kind == HAZARDS:
        return f"hazard of {event(design)}" if family.support == "binomial" else "hazard"
    if kind == MEDIANS:
        return f"median {design.response}"
    return mean_of(design) if kind in {RATES, RISKS, MEANS} else ""


def link_words(family: Family) -> str:
    """Name the scale of a link, ``"log odds"``; the identity has none."""
    named = {"logit": "log odds", "identity": "", "inverse": "1 /", "inverse_squared": "1 / squared"}
    if family.is_ordinal and family.link != "logit":
        return f"the {family.link}"
    if family.support == "unit" and family.link == "logit":
        return "logit of the"
    if family.support in {"binomial", "unit"} and family.link in {"probit", "cloglog", "cauchit", "log"}:
        return f"{family.link} of the"
    return named.get(family.link, family.link)


def scale_of(design: Design) -> str:
    """Name the scale of standard deviations of group effects, ``"log odds"``; empty where it is the response's."""
    family = design.family
    if family.name.endswith("lognormal"):
        return f"log({design.response})"
    if family.link == "identity":
        return ""
    odds = family.link in {"logit", "softmax"} and family.support != "unit"
    return "log odds" if odds else family.spelled_link
