"""Link functions: from the mean of a response to the linear predictor, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Link:
    """A link function g with eta = g(mu).

    Attributes
    ----------
    name : str
        Our name, which is Bambi's where Bambi has it.
    spelled : str
        R's name, ``"1/mu^2"``.
    forward, inverse : callable
        g and its inverse.
    slope : callable
        d mu / d eta at eta.
    """

    name: str
    spelled: str
    forward: Function
    inverse: Function
    slope: Function


def _ndtr_slope(eta: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * np.square(eta)) / np.sqrt(2 * np.pi)


def _cloglog(mu: np.ndarray) -> np.ndarray:
    return np.log(-np.log1p(-mu))


def _logistic_slope(eta: np.ndarray) -> np.ndarray:
    p = special.expit(eta)
    return p * (1 - p)


LINKS = {
    link.name: link
    for link in (
        Link("identity", "identity", lambda mu: mu, lambda eta: eta, np.ones_like),
        Link("log", "log", np.log, np.exp, np.exp),
        Link("logit", "logit", special.logit, special.expit, _logistic_slope),
        Link("probit", "probit", special.ndtri, special.ndtr, _ndtr_slope),
        Link(
            "cloglog",
            "cloglog",
            _cloglog,
            lambda eta: -np.expm1(-np.exp(eta)),
            lambda eta: np.exp(eta - np.exp(eta)),
        ),
        Link(
            "cauchit",
            "cauchit",
            lambda mu: np.tan(np.pi * (mu - 0.5)),
            lambda eta: 0.5 + np.arctan(eta) / np.pi,
            lambda eta: 1 / (np.pi * (1 + np.square(eta))),
        ),
        Link(
            "inverse",
            "inverse",
            lambda mu: 1 / mu,
            lambda eta: 1 / eta,
            lambda eta: -1 / np.square(eta),
        ),
        Link(
            "inverse_squared",
            "1/mu^2",
            lambda mu: 1 / np.square(mu),
            lambda eta: 1 / np.sqrt(eta),
            lambda eta: -0.5 * np.asarray(eta) ** -1.5,
        ),
        Link("sqrt", "sqrt", np.sqrt, np.square, lambda eta: 2 * eta),
    )
}


def log_probabilities(link: str, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log mu and log(1 - mu) of a probability mu, exact in both tails."""
    with np.errstate(divide="ignore", invalid="ignore"):
        match link:
            case "logit":
                return -np.logaddexp(0, -eta), -np.logaddexp(0, eta)
            case "probit":
                return special.log_ndtr(eta), special.log_ndtr(-eta)
            case "cloglog":
                rate = np.exp(eta)
                return np.where(eta < -30, eta, np.log(-np.expm1(-rate))), -rate
            case "log":
                return eta, np.log1p(-np.exp(eta))
            case "cauchit":
                # atan(1 / eta) / pi is the tail's probability without cancellation
                tail = np.arctan2(1.0, np.abs(eta)) / np.pi
                low, high = np.log(tail), np.log1p(-tail)
                return np.where(eta < 0, low, high), np.where(eta < 0, high, low)
        mu = LINKS[link].inverse(eta)
        return np.log(mu), np.log1p(-mu)
