"""The likelihood of the responses given the linear predictor, and what penalised least squares needs of it.

For independent responses y_i of an exponential dispersion family with variance phi V(mu_i) / w_i, with mu = mu(eta),
mu' and mu'' its derivatives, and D(eta) the deviance,

    score    r = -1/2 dD/deta = w (y - mu) mu' / V,
    weight   W = w mu'^2 / V                                    (Fisher's expected curvature),
    dW/deta  W' = w (2 mu' mu'' / V - mu'^3 V' / V^2),
    observed -dr/deta = W - w (y - mu) (mu'' / V - mu'^2 V' / V^2).

(McCullagh & Nelder 1989, Generalized Linear Models, section 2.5.) -2 log L of the responses given eta is A(eta). Where
there is a dispersion parameter phi, A is what the `aic` of R's families returns and lme4 takes for -2 log L: phi =
D / sum(w) is put into it, and 2 is added for that parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, gammaln, xlogy

from bayesmlm.reference.glmm.links import EPS, INVERSES, complement

LOG_2PI = float(np.log(2 * np.pi))
DISPERSED = frozenset({"gaussian", "gamma", "wald"})
CANONICAL = {
    "binomial": "logit",
    "poisson": "log",
    "gaussian": "identity",
    "gamma": "inverse",
    "wald": "inverse_squared",
}
FITTED = ("binomial", "poisson", "negativebinomial", "gamma", "wald", "gaussian")
COUNTED = 2.0  # what R's `aic` adds for a dispersion parameter
POSITIVE_MEAN = frozenset({"poisson", "gamma", "wald", "negativebinomial"})


class Rows(NamedTuple):
    """Of each row: mean, score r and Fisher weight W, at one eta; and D up to a constant."""

    mu: np.ndarray
    r: np.ndarray
    W: np.ndarray
    loss: float


class Second(NamedTuple):
    """W' and the observed curvature -dr/deta of each row."""

    W_slope: np.ndarray
    observed: np.ndarray


class Marginal(NamedTuple):
    """A = -2 log L given eta, and kappa in dA/deta = kappa r."""

    value: float
    kappa: float


@dataclass(frozen=True, eq=False)
class Responses:
    """What was observed, and the family's functions of eta.

    Attributes
    ----------
    family, link : str
        Names of `bayesmlm.families`.
    y : ndarray, shape (n,)
        Responses; for binomial ones numbers of successes.
    trials : ndarray, shape (n,), or None
        Numbers of trials; 1 if None.
    weights : ndarray, shape (n,), or None
        Prior weights w.
    """

    family: str
    link: str
    y: np.ndarray
    trials: np.ndarray | None = None
    weights: np.ndarray | None = None

    @property
    def dispersed(self) -> bool:
        """Whether there is a dispersion parameter."""
        return self.family in DISPERSED

    @property
    def canonical(self) -> bool:
        """Whether the observed curvature is Fisher's."""
        return CANONICAL.get(self.family) == self.link

    @cached_property
    def w(self) -> np.ndarray:
        """Prior weights; for binomial responses, numbers of trials."""
        if self.family == "binomial":
            return np.ones(len(self.y)) if self.trials is None else self.trials
        return np.ones(len(self.y)) if self.weights is None else self.weights

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Return mu: for binomial responses the probability."""
        return INVERSES[self.link].mean(eta)

    def possible(self, mu: np.ndarray) -> bool:
        """Whether all these are means that the family can have."""
        if self.family == "binomial":
            return bool(((mu >= 0) & (mu <= 1)).all())
        if self.family in POSITIVE_MEAN:
            return bool((mu > 0).all() and np.isfinite(mu).all())
        return bool(np.isfinite(mu).all())

    def slope(self, eta: np.ndarray) -> np.ndarray:
        """Return d mu / d eta."""
        link = INVERSES[self.link]
        return link.slopes(eta, link.mean(eta))[0]

    def variance(self, mu: np.ndarray, alpha: float = np.nan) -> tuple[np.ndarray, np.ndarray]:
        """Return V(mu) and V'(mu)."""
        if self.family == "binomial":
            return mu * (1.0 - mu), 1.0 - 2.0 * mu
        if self.family == "poisson":
            return mu, np.ones_like(mu)
        if self.family == "gamma":
            return mu**2, 2.0 * mu
        if self.family == "wald":
            return mu**3, 3.0 * mu**2
        if self.family == "negativebinomial":
            return mu + mu**2 / alpha, 1.0 + 2.0 * mu / alpha
        return np.ones_like(mu), np.zeros_like(mu)

    def rows(self, eta: np.ndarray, alpha: float = np.nan) -> Rows | None:
        """Return what a step needs; None where the mean is outside the family's range.

        `alpha` is the parameter of the negative binomial family: variance mu + mu^2 / alpha.
        """
        link = INVERSES[self.link]
        if not link.valid(eta):
            return None
        if self.family == "binomial" and self.link == "logit":
            return self._logistic(eta)
        mu = link.mean(eta)
        if self.family == "binomial":
            return self._binomial(eta, mu)
        if self.family in POSITIVE_MEAN and not (mu > 0).all():
            return None
        slope = link.slopes(eta, mu)[0]
        ratio = self.w * slope / self.variance(mu, alpha)[0]
        return Rows(mu, ratio * (self.y - mu), ratio * slope, float(self.losses(eta, mu, alpha).sum()))

    def second(self, eta: np.ndarray, rows: Rows, alpha: float = np.nan) -> Second:
        """Return what the derivatives of a Laplace approximation need."""
        mu = rows.mu
        if self.family == "binomial" and self.link == "logit":
            return Second(rows.W * (1.0 - 2.0 * mu), rows.W)
        d1, d2 = INVERSES[self.link].slopes(eta, mu)
        if self.family == "binomial":
            nu, m = complement(self.link, eta, mu), self.w
            V = mu * nu
            W_slope = m * d1 / V * (2.0 * d2 - d1 * d1 * (nu - mu) / V)
            if self.canonical:
                return Second(W_slope, rows.W)
            fail = m - self.y
            curve = (self.y / mu**2 + fail / nu**2) * d1**2 - (self.y / mu - fail / nu) * d2
            return Second(W_slope, curve)
        V, V_slope = self.variance(mu, alpha)
        W_slope = self.w * d1 / V * (2.0 * d2 - d1 * d1 * V_slope / V)
        if self.canonical:
            return Second(W_slope, rows.W)
        observed = rows.W - self.w * (self.y - mu) / V * (d2 - d1 * d1 * V_slope / V)
        return Second(W_slope, observed)

    def _logistic(self, eta: np.ndarray) -> Rows:
        """The commonest model of all, with one exponential and one logarithm per row."""
        m, y, small = self.w, self.y, np.exp(-np.abs(eta))
        share = 1.0 / (1.0 + small)
        mu = np.where(eta >= 0.0, share, small * share)
        loss = 2.0 * float(m @ (np.maximum(eta, 0.0) + np.log1p(small)) - y @ eta)
        return Rows(mu, y - m * mu, m * np.maximum(small * share * share, EPS), loss)

    def _binomial(self, eta: np.ndarray, mu: np.ndarray) -> Rows | None:
        if self.link in {"log", "identity", "inverse"} and not ((mu > 0).all() and (mu < 1).all()):
            return None
        nu, m, y = complement(self.link, eta, mu), self.w, self.y
        d1 = INVERSES[self.link].slopes(eta, mu)[0]
        loss = float(self.losses(eta, mu).sum())
        return Rows(mu, (y / mu - (m - y) / nu) * d1, m * d1 * d1 / (mu * nu), loss)

    def losses(self, eta: np.ndarray, mu: np.ndarray, alpha: float = np.nan) -> np.ndarray:
        """Return D of each row up to a constant."""
        y, w = self.y, self.w
        if self.family == "binomial":
            if self.link == "logit":
                return 2.0 * (w * np.logaddexp(0.0, eta) - y * eta)
            return -2.0 * (xlogy(y, mu) + xlogy(w - y, complement(self.link, eta, mu)))
        if self.family in {"poisson", "negativebinomial"}:
            y_log_mu = y * eta if self.link == "log" else xlogy(y, mu)
            own = mu if self.family == "poisson" else (y + alpha) * np.log(mu + alpha)
            return 2.0 * w * (own - y_log_mu)
        return w * self.unit_deviance(mu)

    def unit_deviance(self, mu: np.ndarray, alpha: float = np.nan) -> np.ndarray:
        """Return the deviance of each row for weight 1; for binomial responses, of all its trials."""
        y = self.y
        if self.family == "binomial":
            m = self.w
            return 2.0 * (xlogy(y, y / (m * mu)) + xlogy(m - y, (m - y) / (m * (1.0 - mu))))
        if self.family == "poisson":
            return 2.0 * (xlogy(y, y / mu) - (y - mu))
        if self.family == "gamma":
            return 2.0 * ((y - mu) / mu - np.log(y / mu))
        if self.family == "wald":
            return (y - mu) ** 2 / (y * mu**2)
        if self.family == "negativebinomial":
            return 2.0 * (xlogy(y, y / mu) - (y + alpha) * np.log((y + alpha) / (mu + alpha)))
        return (y - mu) ** 2

    @cached_property
    def _constant(self) -> float:
        y, w = self.y, self.w
        if self.family == "binomial":
            return -2.0 * float(np.sum(gammaln(w + 1) - gammaln(y + 1) - gammaln(w - y + 1)))
        return 2.0 * float(w @ gammaln(y + 1))

    def constant(self, alpha: float = np.nan) -> float:
        """Return A - loss, which does not depend on eta; families without dispersion only."""
        y, w = self.y, self.w
        if self.family != "negativebinomial":
            return self._constant
        each = gammaln(y + alpha) - gammaln(alpha) - gammaln(y + 1) + alpha * np.log(alpha)
        return -2.0 * float(w @ each)

    def marginal(self, rows: Rows, alpha: float = np.nan) -> Marginal:
        """Return A and kappa."""
        if not self.dispersed:
            return Marginal(rows.loss + self.constant(alpha), -2.0)
        y, w, total, D = self.y, self.w, float(self.w.sum()), rows.loss
        if self.family == "gaussian":
            n = len(y)
            value = n * (np.log(2 * np.pi * D / n) + 1.0) - float(np.log(w).sum())
            return Marginal(value + COUNTED, -2.0 * n / D)
        phi = D / total
        if self.family == "wald":
            value = total * (LOG_2PI + np.log(phi) + 1.0) + 3.0 * float(w @ np.log(y))
            return Marginal(value + COUNTED, -2.0 / phi)
        # Gamma: the mean's part of the log density is -(log mu + y / mu) / phi
        mean_part = float(w @ (np.log(y / rows.mu) - y / rows.mu))
        value = -2.0 * (
            mean_part / phi - float(w @ np.log(y)) - total * (gammaln(1 / phi) + np.log(phi) / phi)
        )
        in_phi = 2.0 / phi**2 * (mean_part - total * (digamma(1 / phi) - 1.0 + np.log(phi)))
        return Marginal(value + COUNTED, -2.0 / phi - 2.0 / total * in_phi)

    def alpha_slopes(
        self, eta: np.ndarray, rows: Rows, alpha: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the derivatives of each row's part of A, W and r in the negative binomial family's parameter."""
        y, mu, w = self.y, rows.mu, self.w
        d1 = INVERSES[self.link].slopes(eta, mu)[0]
        ratio = w * d1 / (mu + alpha) ** 2
        each = digamma(y + alpha) - digamma(alpha) + np.log(alpha / (mu + alpha)) + 1.0
        in_A = -2.0 * w * (each - (alpha + y) / (mu + alpha))
        return in_A, ratio * d1, ratio * (y - mu)
