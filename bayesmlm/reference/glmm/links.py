"""The mean mu(eta) and its first two derivatives, safe at both ends.

Where a mean would be 0 or 1 but for rounding eta is cut off, as R's links do it: weights stay finite and positive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr, ndtri

EPS = np.finfo(float).eps
PROBIT_END = -float(ndtri(EPS))  # beyond it the mean is 0 or 1 but for rounding
CLOGLOG_END = float(np.log(-np.log(EPS)))
LOG_END = 700.0


@dataclass(frozen=True)
class Inverse:
    """The inverse of a link function.

    Attributes
    ----------
    name : str
    valid : callable
        Whether every eta of an array has a mean.
    mean : callable
        eta -> mu.
    slopes : callable
        eta, mu -> d mu / d eta and d2 mu / d eta2.
    """

    name: str
    valid: Callable[[np.ndarray], bool]
    mean: Callable[[np.ndarray], np.ndarray]
    slopes: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _always(eta: np.ndarray) -> bool:
    return bool(np.isfinite(eta).all())


def _below_end(eta: np.ndarray) -> bool:
    return bool((eta < LOG_END).all() and np.isfinite(eta).all())


def _positive(eta: np.ndarray) -> bool:
    return bool((eta > 0).all() and np.isfinite(eta).all())


def _logit_slopes(eta: np.ndarray, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    slope = np.maximum(expit(-eta) * mu, EPS)
    return slope, slope * (1.0 - 2.0 * mu)


def _probit_slopes(eta: np.ndarray, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    at = np.clip(eta, -PROBIT_END, PROBIT_END)
    density = np.exp(-0.5 * at * at) / np.sqrt(2 * np.pi)
    return density, -at * density


def _cloglog_mean(eta: np.ndarray) -> np.ndarray:
    return -np.expm1(-np.exp(np.clip(eta, -LOG_END, CLOGLOG_END)))


def _cloglog_slopes(eta: np.ndarray, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rate = np.exp(np.clip(eta, -LOG_END, CLOGLOG_END))
    slope = rate * np.exp(-rate)
    return slope, slope * (1.0 - rate)


def _cauchit_slopes(eta: np.ndarray, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    slope = 1.0 / (np.pi * (1.0 + eta * eta))
    return slope, -2.0 * eta / (1.0 + eta * eta) * slope


INVERSES = {
    link.name: link
    for link in (
        Inverse(
            "identity", _always, lambda eta: eta, lambda eta, mu: (np.ones_like(eta), np.zeros_like(eta))
        ),
        Inverse("log", _below_end, np.exp, lambda eta, mu: (mu, mu)),
        Inverse("logit", _always, expit, _logit_slopes),
        Inverse("probit", _always, lambda eta: ndtr(np.clip(eta, -PROBIT_END, PROBIT_END)), _probit_slopes),
        Inverse("cloglog", _always, _cloglog_mean, _cloglog_slopes),
        Inverse("cauchit", _always, lambda eta: np.arctan2(1.0, -eta) / np.pi, _cauchit_slopes),
        Inverse("inverse", _positive, lambda eta: 1.0 / eta, lambda eta, mu: (-mu * mu, 2.0 * mu**3)),
        Inverse(
            "inverse_squared",
            _positive,
            lambda eta: 1.0 / np.sqrt(eta),
            lambda eta, mu: (-0.5 * mu**3, 0.75 * mu**5),
        ),
        Inverse("sqrt", _positive, np.square, lambda eta, mu: (2.0 * eta, np.full_like(eta, 2.0))),
    )
}


def complement(link: str, eta: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return 1 - mu without cancellation, for the links of probabilities."""
    if link == "logit":
        return expit(-eta)
    if link == "probit":
        return np.asarray(ndtr(-np.clip(eta, -PROBIT_END, PROBIT_END)))
    if link == "cloglog":
        return np.exp(-np.exp(np.clip(eta, -LOG_END, CLOGLOG_END)))
    if link == "cauchit":
        return np.arctan2(1.0, eta) / np.pi
    return 1.0 - mu
