"""Families of responses by name: R's and Bambi's names, links, auxiliary parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bayesmlm.errors import BayesMLMError, did_you_mean
from bayesmlm.families.links import LINKS

_PROBABILITY = ("logit", "probit", "cloglog", "cauchit", "log")
_COUNT = ("log", "sqrt", "identity")
_ORDINAL = ("logit", "probit", "cloglog")


@dataclass(frozen=True)
class Kind:
    """What a family is, whatever its link.

    Attributes
    ----------
    links : tuple of str
        The default first.
    auxiliary : tuple of str
        Names of its auxiliary parameters.
    support : str
        ``real``, ``positive``, ``nonnegative``, ``count``, ``binomial``, ``unit``, ``ordinal`` or ``categorical``.
    spelled : str
        R's name of the family, or ours where R has none.
    """

    links: tuple[str, ...]
    auxiliary: tuple[str, ...]
    support: str
    spelled: str


KINDS = {
    "gaussian": Kind(("identity", "log", "inverse"), ("sigma",), "real", "gaussian"),
    "t": Kind(("identity", "log", "inverse"), ("sigma", "nu"), "real", "student_t"),
    "binomial": Kind(_PROBABILITY, (), "binomial", "binomial"),
    "beta_binomial": Kind(_PROBABILITY[:4], ("phi",), "binomial", "beta_binomial"),
    "poisson": Kind(_COUNT, (), "count", "poisson"),
    "negativebinomial": Kind(_COUNT, ("reciprocal_dispersion",), "count", "neg_binomial_2"),
    "gamma": Kind(("inverse", "log", "identity"), ("shape",), "positive", "Gamma"),
    "wald": Kind(
        ("inverse_squared", "inverse", "log", "identity"), ("lambda",), "positive", "inverse.gaussian"
    ),
    "lognormal": Kind(("identity",), ("sigma",), "positive", "lognormal"),
    "exponential": Kind(("log", "identity", "inverse"), (), "positive", "exponential"),
    "weibull": Kind(("log", "identity", "inverse"), ("shape",), "positive", "weibull"),
    "beta": Kind(_PROBABILITY[:4], ("phi",), "unit", "beta"),
    "zero_inflated_poisson": Kind(("log",), ("psi",), "count", "zero_inflated_poisson"),
    "zero_inflated_binomial": Kind(_PROBABILITY[:4], ("psi",), "binomial", "zero_inflated_binomial"),
    "zero_inflated_negativebinomial": Kind(
        ("log",), ("reciprocal_dispersion", "psi"), "count", "zero_inflated_neg_binomial_2"
    ),
    "hurdle_poisson": Kind(("log",), ("psi",), "count", "hurdle_poisson"),
    "hurdle_negativebinomial": Kind(
        ("log",), ("reciprocal_dispersion", "psi"), "count", "hurdle_neg_binomial_2"
    ),
    "hurdle_gamma": Kind(("log",), ("shape", "psi"), "nonnegative", "hurdle_Gamma"),
    "hurdle_lognormal": Kind(("identity",), ("sigma", "psi"), "nonnegative", "hurdle_lognormal"),
    "cumulative": Kind(_ORDINAL, (), "ordinal", "cumulative"),
    "sratio": Kind(_ORDINAL, (), "ordinal", "sratio"),
    "categorical": Kind(("softmax",), (), "categorical", "categorical"),
}
ALIASES = {
    "normal": "gaussian",
    "student_t": "t",
    "student": "t",
    "bernoulli": "binomial",
    "betabinomial": "beta_binomial",
    "neg_binomial_2": "negativebinomial",
    "negbinomial": "negativebinomial",
    "negative.binomial": "negativebinomial",
    "negative_binomial": "negativebinomial",
    "nbinom2": "negativebinomial",
    "inverse.gaussian": "wald",
    "inverse_gaussian": "wald",
    "zero_inflated_negbinomial": "zero_inflated_negativebinomial",
    "zero_inflated_neg_binomial_2": "zero_inflated_negativebinomial",
    "zip": "zero_inflated_poisson",
    "zinb": "zero_inflated_negativebinomial",
    "hurdle_negbinomial": "hurdle_negativebinomial",
    "hurdle_neg_binomial_2": "hurdle_negativebinomial",
    "ordinal": "cumulative",
    "multinomial": "categorical",
}
LINK_ALIASES = {"1/mu^2": "inverse_squared", "1/mu": "inverse", "log-log": "cloglog"}
_WITH_LINK = re.compile(r"([A-Za-z][\w.]*)\(\s*(?:(?:link\s*=\s*)?[\"']?([\w/^]+)[\"']?)?\s*\)")


@dataclass(frozen=True)
class Family:
    """A family of distributions of the response, with its link.

    Attributes
    ----------
    name : str
        A key of `KINDS`.
    link : str
        Of the mean (of the location, for ``lognormal`` and ordinal families); one that the family takes.
    """

    name: str = "gaussian"
    link: str = "identity"

    @property
    def auxiliary(self) -> tuple[str, ...]:
        """Names of the scalar parameters besides the linear predictor's."""
        return KINDS[self.name].auxiliary

    @property
    def support(self) -> str:
        """Which responses are possible: see `Kind`."""
        return KINDS[self.name].support

    @property
    def spelled(self) -> str:
        """R's name of the family, ``"Gamma"``."""
        return KINDS[self.name].spelled

    @property
    def spelled_link(self) -> str:
        """R's name of the link, ``"1/mu^2"``."""
        return LINKS[self.link].spelled if self.link in LINKS else self.link

    @property
    def is_gaussian_identity(self) -> bool:
        """Whether this is the linear mixed model, which is computed exactly."""
        return self == GAUSSIAN

    @property
    def has_sigma(self) -> bool:
        """Whether the family has a residual standard deviation."""
        return "sigma" in self.auxiliary

    @property
    def is_ordinal(self) -> bool:
        """Whether the response is an ordered category, cut by thresholds."""
        return self.support == "ordinal"

    @property
    def is_categorical(self) -> bool:
        """Whether every category but the first has a linear predictor of its own."""
        return self.support == "categorical"


GAUSSIAN = Family()


def read_family(family: Any, link: Any = None) -> Family:
    """Return the family a caller means, by R's or Bambi's name, such as ``"binomial"`` or ``"Gamma(log)"``.

    Raises
    ------
    BayesMLMError
        For a family or link that is not known, or a link that the family does not take.
    """
    if isinstance(family, Family):
        family, link = family.name, family.link if link is None else link
    if not isinstance(family, str):
        raise BayesMLMError(f"family = {family!r}: give a name, such as 'binomial' or 'poisson'")
    match = _WITH_LINK.fullmatch(family.strip())
    if match:
        if match[2] and link is not None:
            raise BayesMLMError(f"family = {family!r} has a link, and link = {link!r} another: give one")
        family, link = match[1], match[2] or link
    wanted = family.strip().lower()
    name = ALIASES.get(wanted, wanted)
    if name not in KINDS:
        known = sorted({*KINDS, *ALIASES})
        hint = did_you_mean(wanted, known) or f" Known: {', '.join(KINDS)}."
        raise BayesMLMError(f"family = {family!r} is not known.{hint}")
    return Family(name, _read_link(name, link))


def _read_link(name: str, link: Any) -> str:
    links = KINDS[name].links
    if link is None:
        return links[0]
    chosen = LINK_ALIASES.get(str(link).strip().lower(), str(link).strip().lower())
    if chosen not in links:
        raise BayesMLMError(f"link = {link!r}: family {name!r} takes {', '.join(map(repr, links))}")
    return chosen
