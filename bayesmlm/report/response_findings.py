"""Findings about the response, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bayesmlm.report.words import counted, listed

Facts = dict[str, Any]
SHOWN = 3


def _binary_gaussian(about: str, f: Facts) -> str:
    if (f["low"], f["high"]) != (0.0, 1.0):
        return (
            f"{about} has two values only, {f['low']:g} and {f['high']:g}: normal residuals do not describe it; "
            f"for a logistic model write I({about} == {f['high']:g}) ~ ... and family='binomial'"
        )
    return (
        f"{about} is 0 or 1: a Gaussian model takes coefficients for differences of a probability, which it does not "
        "keep between 0 and 1, and the residuals are not normal; for a logistic model family='binomial'"
    )


def _count_gaussian(about: str, f: Facts) -> str:
    return (
        f"{about} looks like a count (whole numbers up to {f['most']}, mean {f['mean']:.3g}, {f['zeros']:.0%} of them "
        "0), whose spread grows with its mean: normal residuals will not describe it; "
        "family='negativebinomial' or 'poisson' do"
    )


def _separation(about: str, f: Facts) -> str:
    cells = [
        f"{factor} = {level} ({counted(rows, 'row')}: {'successes' if successes else 'zeros'} only)"
        for factor, level, rows, successes in f["cells"]
    ]
    why = f": {listed(cells[:SHOWN])}" if cells else ""
    names = f["names"]
    shown = listed(names if len(names) <= SHOWN else (*names[:SHOWN], f"{len(names) - SHOWN} more"))
    return (
        f"the data separate the responses{why}: the likelihood has no maximum, it rises without end with {shown}. "
        "An ML fit runs off to infinity; of a posterior the prior decides how far (give it with care), or merge "
        "categories"
    )


def _few_events(about: str, f: Facts) -> str:
    k, kind = counted(f["k"], "coefficient"), f["kind"]
    word = {"successes": "success", "failures": "failure"}[kind] if f["events"] == 1 else kind
    return (
        f"{f['events']} {word} for {k} beside "
        "the intercept, fewer than 10 each: ML estimates will be off and uncertain, and the priors will speak; use "
        "fewer predictors"
    )


def _little_information(about: str, f: Facts) -> str:
    told = (
        f"{f['trials']:g} trials and {f['events']:g} of them successes"
        if f["binomial"]
        else f"a total of {f['events']:g}"
    )
    start = f"a typical level of {about} has {told}"
    if f.get("one_sided") and f["binomial"]:
        start += f" ({f['one_sided']} of {f['levels']} levels have successes only or failures only)"
    one = f["blocks"] == 1 and f["columns"] == 1
    more = (
        "n_agq=10 there is better"
        if one
        else "n_agq > 1 would mend it, but takes one block with an intercept only"
    )
    return (
        f"{start}, which tells little of its effect: the Laplace approximation of bm.glmer puts standard deviations "
        f"too low then ({more}); bm.fit does not approximate"
    )


def _overdispersion(about: str, f: Facts) -> str:
    family = "Poisson" if f["poisson"] else "binomial"
    instead = "'negativebinomial'" if f["poisson"] else "'beta_binomial'"
    return (
        f"within levels of {f['group']} {about} varies {f['ratio']:.1f} times as much as {family} responses of one "
        f"mean do. If the predictors do not account for that, intervals will be too narrow: use family={instead}, "
        "or an effect of each row, (1 | row)"
    )


RESPONSE_SENTENCES: dict[str, Callable[[str, Facts], str]] = {
    "binary_gaussian": _binary_gaussian,
    "count_gaussian": _count_gaussian,
    "few_events": _few_events,
    "little_information": _little_information,
    "overdispersion": _overdispersion,
    "separation": _separation,
}
