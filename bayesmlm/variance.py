"""Shares of the variance: Nakagawa's R2, and the adjusted and unadjusted intraclass correlation.

Nakagawa & Schielzeth (2013, Methods Ecol. Evol. 4, 133-142) divide the variance of a row into three parts, that of the
fixed effects, of the group effects and of the residuals; Johnson (2014, Methods Ecol. Evol. 5, 944-946) says what the
second is when slopes vary, and Nakagawa, Johnson & Schielzeth (2017, J. R. Soc. Interface 14: 20170213) add the
adjusted and unadjusted ICC. In the notation of `crossprod`:

    fixed    = 1 / (n - 1) sum_i (x_i'beta - mean)^2
    random   = sum over blocks of 1/n sum_i z_i' Sigma z_i
    residual = sigma^2.

In generalised models the fixed and random parts are on the scale of the link, and the residual is the
distribution-specific variance there, one of `APPROXIMATIONS` (Nakagawa, Johnson & Schielzeth 2017, Tables 1 and 2):

    latent     pi^2 / 3 (logit), 1 (probit), pi^2 / 6 (cloglog): that of the response behind the threshold
    lognormal  ln(1 + V / M^2), for a log link
    delta      V g'(M)^2
    trigamma   psi_1(M^2 / V), for a log link and Poisson, negative binomial or gamma responses

M is the expected response over all rows and groups, in a model without predictors exp(beta_0 + random / 2) for a log
link, and V the variance of a response with that expectation; of binomials both are about one trial. An effect for
every single row (overdispersion) is a part of the residual, as the paper's sigma_e^2 is.

Everything works on one estimate or on many draws of it at once, and the rows are summed over only once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import polygamma

from bayesmlm.averages import NO_MEAN, PROPORTIONAL, averaged_mean
from bayesmlm.design import Block, Design
from bayesmlm.errors import BayesMLMError, did_you_mean
from bayesmlm.families import LINKS, Family, latent_variance, mean, variance

CELLS = 4_000_000  # draws x rows at a time
APPROXIMATIONS = ("latent", "lognormal", "delta", "trigamma")
THRESHOLD = {"binomial", "beta_binomial", "cumulative"}  # have a latent response
TRIGAMMA = {"poisson", "negativebinomial", "gamma"}
MIXED = ("zero_inflated_", "hurdle_")


@dataclass(frozen=True)
class VarianceParts:
    """The variance of a row in three parts, each of shape (...): one number, or one per draw.

    Attributes
    ----------
    fixed : ndarray
        Variance of X beta over the rows. The offset is known rather than explained, and left out.
    random : ndarray
        Variance of Z b, averaged over the rows: it depends on the row where slopes vary.
    residual : ndarray
        sigma^2, the residual variance of a row of weight 1; in generalised models the distribution-specific variance,
        and that of an effect for every row.
    """

    fixed: np.ndarray
    random: np.ndarray
    residual: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """The sum of the three parts."""
        return self.fixed + self.random + self.residual

    @property
    def marginal_r2(self) -> np.ndarray:
        """R2 of Nakagawa & Schielzeth (2013): the share of the fixed effects."""
        return self.fixed / self.total

    @property
    def conditional_r2(self) -> np.ndarray:
        """R2 of Nakagawa & Schielzeth (2013): the share of fixed and group effects together."""
        return (self.fixed + self.random) / self.total

    @property
    def adjusted_icc(self) -> np.ndarray:
        """Share of the group effects in what the fixed effects leave, random / (random + residual)."""
        return self.random / (self.random + self.residual)

    @property
    def unadjusted_icc(self) -> np.ndarray:
        """Share of the group effects in the total: conditional minus marginal R2."""
        return self.random / self.total


def variance_parts(
    design: Design,
    beta: np.ndarray,
    covariances: Sequence[np.ndarray],
    sigma: float | np.ndarray | None,
    auxiliary: Mapping[str, np.ndarray] | None = None,
    approximation: str | None = None,
) -> VarianceParts:
    """Divide the variance of a row into fixed effects, group effects and residuals.

    Parameters
    ----------
    design
        Rows and blocks.
    beta
        Fixed effects, shape (..., k); the leading axes are draws, if there are any.
    covariances
        Sigma of each block of the design, shape (..., p, p).
    sigma
        Residual standard deviation, shape (...); None if the family has none.
    auxiliary
        The family's other auxiliary parameters, shape (...).
    approximation
        Of the distribution-specific variance, one of `APPROXIMATIONS`; the family's first if None.

    Raises
    ------
    BayesMLMError
        If the family has no such variance.
    """
    parameters = {**(auxiliary or {}), **({} if sigma is None else {"sigma": sigma})}
    residual = link_residual(design, beta, covariances, parameters, approximation)
    random = np.zeros_like(residual)
    for block, cov in zip(design.blocks, covariances, strict=True):
        own = random_variance(block.Z, cov)
        if is_overdispersion(design, block):
            residual = residual + own
        else:
            random = random + own
    return VarianceParts(fixed=fixed_variance(design.X, beta), random=random, residual=residual)


def is_overdispersion(design: Design, block: Block) -> bool:
    """Whether a block of a generalised model has one effect for each row, and so stands for overdispersion."""
    return not design.family.is_gaussian_identity and len(block.levels) == design.nobs


# -- the distribution-specific variance --------------------------------------------------------------


def approximations(family: Family) -> tuple[str, ...]:
    """Return the approximations of the distribution-specific variance that a family has, its own first."""
    name, link = family.name, family.link
    found = []
    if name in THRESHOLD and latent_variance(family) is not None:
        found.append("latent")
    if family.is_ordinal or family.is_categorical or (name.startswith(MIXED) and name not in PROPORTIONAL):
        return tuple(found)
    if link == "log" and name not in {"binomial", "beta_binomial"}:
        found.append("lognormal")
    found.append("delta")
    return (*found, "trigamma") if link == "log" and name in TRIGAMMA else tuple(found)


def link_residual(
    design: Design,
    beta: np.ndarray,
    covariances: Sequence[np.ndarray],
    parameters: Mapping[str, Any],
    approximation: str | None = None,
) -> np.ndarray:
    """Return the residual variance on the scale of the link, shape (...), an effect for every row left out.

    Parameters are those of `variance_parts`; `parameters` has all auxiliary ones, sigma among them.
    """
    family, beta = design.family, np.asarray(beta, dtype=float)
    values = {name: np.asarray(x, dtype=float) for name, x in parameters.items()}
    chosen = _checked(family, approximation)
    if chosen == "latent":
        return np.full(beta.shape[:-1], latent_variance(family))
    if family.name == "lognormal" or family.is_gaussian_identity:
        return values["sigma"] ** 2
    if family.name == "t" and family.link == "identity":
        return variance(family, np.zeros(beta.shape[:-1]), values)
    level = _overall_mean(design, beta, covariances, values)
    eta = _predictor_of(family, level, values)
    spread = variance(family, eta, values)
    relative = spread / level**2
    if chosen == "lognormal":
        return np.log1p(relative)
    if chosen == "trigamma":
        return polygamma(1, 1 / relative)
    # a mean that is proportional to exp(eta), zeros and all, has d log M / d eta = 1
    return relative if family.link == "log" else spread / LINKS[family.link].slope(eta) ** 2


def _checked(family: Family, approximation: str | None) -> str:
    known = approximations(family)
    text = f"{family.spelled} model with the link {family.spelled_link}"
    if family.is_gaussian_identity or family.name == "lognormal":
        known = ("delta",)
    if not known:
        raise BayesMLMError(f"a {text} has no residual variance on the scale of the link: no share of it")
    if approximation is None:
        return known[0]
    if approximation not in known:
        hint = did_you_mean(str(approximation), known)
        raise BayesMLMError(
            f"approximation = {approximation!r}: a {text} takes {', '.join(map(repr, known))}.{hint}"
        )
    return approximation


def _predictor_of(family: Family, level: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the linear predictor of a row whose expected response is `level`."""
    if family.link == "log":
        return np.log(level) - np.log(mean(family, np.zeros_like(level), parameters))
    return LINKS[family.link].forward(level)


def _overall_mean(
    design: Design,
    beta: np.ndarray,
    covariances: Sequence[np.ndarray],
    parameters: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Return the expected response, averaged over group effects and rows, shape (...); group effects 0 for 1 / eta."""
    lead, n = beta.shape[:-1], design.nobs
    flat = beta.reshape(-1, beta.shape[-1])
    covs = [np.asarray(c, float).reshape(-1, *np.shape(c)[-2:]) for c in covariances]
    values = {name: np.broadcast_to(x, lead).reshape(-1) for name, x in parameters.items()}
    out, step = np.empty(len(flat)), max(1, CELLS // n)
    for start in range(0, len(flat), step):
        part = slice(start, start + step)
        eta = flat[part] @ design.X.T
        if design.offset is not None:
            eta += design.offset
        own = {name: x[part, None] for name, x in values.items()}
        if design.family.link in NO_MEAN:
            mu = mean(design.family, eta, own)
        else:
            between = np.zeros_like(eta)
            for block, cov in zip(design.blocks, covs, strict=True):
                between += np.einsum("na,sab,nb->sn", block.Z, cov[part], block.Z, optimize=True)
            mu = averaged_mean(design.family, eta, own, between)
        out[part] = mu.mean(axis=1)
    return out.reshape(lead)


# -- fixed and random --------------------------------------------------------------------------------


def fixed_variance(X: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return the variance of X beta over the rows, divisor n - 1: beta (..., k) gives (...).

    With X less its column means = QR it is |R beta|^2 / (n - 1), which does not cancel where columns are almost
    collinear and needs no array of rows x draws.
    """
    r = np.linalg.qr(X - X.mean(axis=0), mode="r")
    return np.sum((np.asarray(beta, float) @ r.T) ** 2, axis=-1) / (len(X) - 1)


def random_variance(Z: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Return the mean over rows of z_i' Sigma z_i = tr(Sigma Z'Z / n): Sigma (..., p, p) gives (...)."""
    return np.einsum("...ab,ab->...", np.asarray(cov, float), Z.T @ Z / len(Z))
