"""The cells of a table of models: which rows there are, and each number as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.errors import BayesMLMError
from bayesmlm.model_rows import row_keys, row_order
from bayesmlm.report.rformat import decimals_needed, format_fixed

SHOWN = ("se", "interval", "both", "none")
STYLES = ("below", "beside")
HEADINGS = {
    "fixed": "Fixed effects",
    "random": "Random effects",
    "share": "Shares of variance",
    "size": "Number of",
    "fit": "Fit",
}
LABELS = {
    "r2_marginal": "R² marginal",
    "r2_conditional": "R² conditional",
    "r2": "R²",
    "r2_adjusted": "R² adjusted",
    "nobs": "observations",
    "draws": "draws",
    "log_lik": "logLik",
    "aic": "AIC",
    "bic": "BIC",
    "deviance": "deviance",
    "reml_criterion": "REML criterion",
    "elpd_loo": "elpd (LOO)",
    "elpd_waic": "elpd (WAIC)",
}
CRITERION_DECIMALS = 1
VANISHING = 1e-8  # of the largest size in a row: zero, but for rounding error
BAYES = "Bayes"
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@dataclass(frozen=True)
class Head:
    """What stands above a column of the table.

    Attributes
    ----------
    name, response, method : str
        The model's name, its response, and how it was estimated.
    family : str
        Family and link as R writes them, ``"binomial [logit]"``; empty for a Gaussian model with the identity link.
    ratio : str
        What the fixed effects are if they are shown as exp(coefficient), ``"odds ratio"``; else empty.
    """

    name: str
    response: str
    method: str
    family: str = ""
    ratio: str = ""

    @property
    def bayesian(self) -> bool:
        """Whether estimates are posterior medians."""
        return self.method == BAYES


@dataclass(frozen=True)
class Style:
    """How numbers are shown.

    Attributes
    ----------
    digits : int
        Decimals of estimates.
    show : str
        What of the uncertainty: "se" (standard error or MAD_SD), "interval", "both" or "none".
    style : str
        Whether it stands "below" the estimate or "beside" it.
    prob : float
        Probability of the intervals.
    stars : bool
        Whether p values below 0.05, 0.01 and 0.001 have stars.
    """

    digits: int = 2
    show: str = "se"
    style: str = "below"
    prob: float = 0.95
    stars: bool = False

    def __post_init__(self) -> None:
        for name, known in (("show", SHOWN), ("style", STYLES)):
            if getattr(self, name) not in known:
                raise BayesMLMError(f"{name} = {getattr(self, name)!r}: choose {', '.join(map(repr, known))}")
        if isinstance(self.digits, bool) or not isinstance(self.digits, int) or self.digits < 0:
            raise BayesMLMError(f"digits = {self.digits!r}: give a number of decimals, 0 or more")

    @property
    def values(self) -> tuple[str, ...]:
        """The kinds of text a number has, in order: estimate, std_error, interval."""
        more = {
            "se": ("std_error",),
            "interval": ("interval",),
            "both": ("std_error", "interval"),
            "none": (),
        }
        return ("estimate", *more[self.show])


@dataclass(frozen=True)
class Line:
    """One row of numbers: for each model its texts by kind (`Style.values`); a kind it lacks is left out."""

    part: str
    label: str
    cells: tuple[dict[str, str], ...]


def table_lines(frame: pd.DataFrame, heads: Sequence[Head], style: Style) -> list[Line]:
    """Return the lines of a table of models.

    Parameters
    ----------
    frame
        As `model_rows.stacked` returns it.
    heads
        One per model, in order.
    style
        How numbers are shown.
    """
    found: dict[tuple[str, str, str], dict[str, dict]] = {}
    for key, row in zip(row_keys(frame), frame.to_dict("records"), strict=True):
        found.setdefault(key, {})[row["model"]] = row
    lines = []
    for key in row_order(frame):
        decimals = row_decimals(key[0], list(found[key].values()), style.digits)
        cells = tuple(_texts(found[key].get(h.name), decimals, style) for h in heads)
        lines.append(Line(HEADINGS[key[0]], row_label(*key), cells))
    return lines


def row_label(part: str, group: str, term: str) -> str:
    """Return what a row is called, ``school sd femaleF``."""
    if part == "fixed":
        return term
    if term == "sd__Observation":
        return "sigma"
    if part == "random":
        kind, _, name = term.partition("__")
        return f"{group} {kind} {name}" if group else term
    if term == "icc":
        return f"{group} ICC"
    return f"groups ({group})" if term == "ngroups" else LABELS[term]


def row_decimals(part: str, rows: Sequence[dict], digits: int) -> int:
    """Return the decimals of a row of the table.

    `digits`, unless a standard error (or, without one, an estimate) would then show less than one significant digit:
    then enough to show two.
    """
    if part == "size":
        return 0
    if part == "fit":
        return CRITERION_DECIMALS
    sizes = [row["std_error"] if np.isfinite(row["std_error"]) else abs(row["estimate"]) for row in rows]
    least = min((s for s in sizes if np.isfinite(s) and s > VANISHING * abs(max(sizes))), default=0.0)
    if least == 0 or least >= 0.5 * 10.0**-digits:
        return digits
    return decimals_needed(float(f"{least:.1e}"), 2)


def _texts(row: dict | None, decimals: int, style: Style) -> dict[str, str]:
    if row is None:
        return {}
    texts = {
        "estimate": number_text(row["estimate"], decimals) + (_stars(row["p_value"]) if style.stars else "")
    }
    if np.isfinite(row["std_error"]):
        spread = number_text(row["std_error"], decimals)
        texts["std_error"] = spread if style.style == "beside" else f"({spread})"
    if np.isfinite(row["conf_low"]):
        texts["interval"] = (
            f"[{number_text(row['conf_low'], decimals)}, {number_text(row['conf_high'], decimals)}]"
        )
    return {kind: text for kind, text in texts.items() if kind in style.values}


def number_text(value: float, decimals: int) -> str:
    """Write one number with so many decimals."""
    return format_fixed([value], decimals)[0]


def _stars(p: float) -> str:
    return next((mark for limit, mark in STARS if p < limit), "")


def value_head(kind: str, head: Head, prob: float) -> str:
    """Return what a kind of number is called in a column of its own."""
    if kind == "interval":
        return f"{100 * prob:g}% interval"
    if kind == "estimate":
        return "Median" if head.bayesian else "Estimate"
    return "MAD_SD" if head.bayesian else "SE"


def legend(heads: Sequence[Head], style: Style) -> list[str]:
    """Say what the numbers are."""
    methods = list(dict.fromkeys(h.method for h in heads))
    classical = ", ".join(h for h in methods if h != BAYES)
    notes = []
    if BAYES in methods:
        said = _uncertainty(style, "MAD_SD", "central posterior")
        notes.append(f"{BAYES}: {'; '.join(['posterior medians', *said])}.")
    if classical:
        said = _uncertainty(style, "standard errors", "confidence")
        notes.append(f"{classical}: {'; '.join(['estimates', *said])}.")
    kinds: dict[str, list[str]] = {}
    for h in heads:
        kinds.setdefault(h.ratio, []).append(h.name)
    for kind, names in kinds.items():
        if kind:
            of = "" if len(kinds) == 1 else f" of {', '.join(names)}"
            notes.append(f"Fixed effects{of} are {kind.replace('ratio', 'ratios', 1)}, exp(coefficient).")
    if "REML" in methods and {"ML", "OLS"} & set(methods):
        notes.append("logLik, AIC and BIC of REML are those of the restricted likelihood.")
    if style.stars:
        notes.append("* p < 0.05, ** p < 0.01, *** p < 0.001.")
    return notes


def _uncertainty(style: Style, spread: str, kind: str) -> list[str]:
    if style.style == "beside":
        return []  # the columns have names
    said = [f"{spread} in parentheses"] if "std_error" in style.values else []
    interval = f"{100 * style.prob:g}% {kind} intervals in brackets"
    return [*said, interval] if "interval" in style.values else said
