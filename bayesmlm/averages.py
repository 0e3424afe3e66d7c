"""Averages of functions of a linear predictor over a normal distribution of group effects, by quadrature.

E f(eta + Z), Z ~ N(0, v): what the group effects leave of a mean when they are integrated out. For an identity, log or
probit link it has a closed form; else the trapezoidal rule is used on a grid that is fine enough for the poles of the
inverse link, which makes it exact to about 1e-9 whatever v (Trefethen & Weideman 2014, SIAM Review 56, 385-458).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bayesmlm.errors import BayesMLMError
from bayesmlm.families import Family, mean

REACH = 8.3  # beyond so many sds a normal has 1e-16
COARSE = 0.6
DIGITS = 21.0  # -log of the error
POLE = {"cauchit": 1.0}  # how far from the real axis an inverse link has a pole, times the scale of eta
NEAREST_POLE = np.pi / 2
PROPORTIONAL = {  # their mean is proportional to exp(eta) where the link is log
    "gaussian",
    "t",
    "poisson",
    "negativebinomial",
    "gamma",
    "wald",
    "exponential",
    "weibull",
    "zero_inflated_poisson",
    "zero_inflated_negativebinomial",
    "hurdle_gamma",
    "binomial",
}
PROBABILITIES = {"binomial", "beta", "beta_binomial", "zero_inflated_binomial"}
LOGNORMAL = {"lognormal", "hurdle_lognormal"}
NO_MEAN = {"inverse", "inverse_squared"}


def normal_nodes(sd: float, link: str = "logit") -> tuple[np.ndarray, np.ndarray]:
    """Return points t and weights such that E f(eta + sd T) = sum of weight f(eta + sd t) for T ~ N(0, 1)."""
    distance = POLE.get(link, NEAREST_POLE) / max(sd, 1e-12)
    step = min(COARSE, 2 * np.pi * distance / (DIGITS + min(distance, 30.0) ** 2 / 2))
    half = int(np.ceil(REACH / step))
    t = step * np.arange(-half, half + 1)
    weights = np.exp(-0.5 * t**2)
    return t, weights / weights.sum()


def normal_average(
    function: Callable[[np.ndarray], np.ndarray], eta: np.ndarray, variance: np.ndarray, link: str = "logit"
) -> np.ndarray:
    """Return E f(eta + Z), Z ~ N(0, variance), for each element of eta; f may add axes at the end."""
    sd = np.sqrt(np.broadcast_to(variance, eta.shape))
    t, weights = normal_nodes(float(np.nanmax(sd, initial=0.0)), link)
    total: np.ndarray | float = 0.0
    for point, weight in zip(t, weights, strict=True):
        total = total + weight * function(eta + point * sd)
    return np.asarray(total)


def averaged_mean(
    family: Family, eta: np.ndarray, auxiliary: Mapping[str, np.ndarray], variance: np.ndarray
) -> np.ndarray:
    """Return the expected response, averaged over group effects: E mean(eta + Z), Z ~ N(0, variance), (S, n, ...).

    Raises
    ------
    BayesMLMError
        For an inverse link: 1 / eta has no mean if eta is normal.
    """
    name, link = family.name, family.link
    if link in NO_MEAN:
        raise BayesMLMError(
            f"with the link {family.spelled_link} the expected response has no mean over groups, because a linear "
            "predictor near 0 makes it infinite: leave out marginal=True, or fit with link='log'"
        )
    if link == "identity" and name not in LOGNORMAL:
        return mean(family, eta, auxiliary)
    if name in LOGNORMAL or (link == "log" and name in PROPORTIONAL):
        return mean(family, eta + variance / 2, auxiliary)
    if link == "probit" and name in PROBABILITIES:
        return mean(family, eta / np.sqrt(1 + variance), auxiliary)
    return normal_average(lambda at: mean(family, at, auxiliary), eta, variance, link)
