"""Priors of all slopes together: the regularised horseshoe and R2D2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesmlm.errors import PriorError
from bayesmlm.priors.families import check_positive


@dataclass(frozen=True)
class Joint:
    """A prior of K slopes together, whose scale follows the residual standard deviation sigma.

    Attributes
    ----------
    columns : tuple of str
        The slopes, by R's name; empty until the data are known.
    units : tuple of float
        Per slope: what its prior is multiplied by, one over the standard deviation of its column or 1.
    """

    columns: tuple[str, ...] = ()
    units: tuple[float, ...] = ()

    def adjusted(self, columns: tuple[str, ...], column_sd: np.ndarray, sd_y: float) -> Joint:
        """Return the prior of these slopes, scaled to the data."""
        raise NotImplementedError

    def sample(self, rng: np.random.Generator, sigma: np.ndarray) -> np.ndarray:
        """Draw slopes, shape (size, K), given draws of sigma, shape (size,)."""
        raise NotImplementedError

    @property
    def parameters(self) -> tuple[tuple[str, float], ...]:
        """What is printed: names and values."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """How the prior is spelled."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Horseshoe(Joint):
    """The regularised horseshoe of Piironen & Vehtari (2017, section 2.3), as rstanarm's ``hs``.

    beta_j = u_j z_j tau lambda_j / sqrt(1 + tau^2 lambda_j^2 / c^2), z_j ~ N(0, 1), lambda_j ~ half-t(df),
    tau ~ half-t(global_df, global_scale sigma), c^2 = (s slab_scale)^2 w, w ~ Inverse-Gamma(slab_df / 2, slab_df / 2).
    As specified u_j = s = 1; with `autoscale`, u_j = 1 / sd(x_j) and s = sd(y).
    """

    df: float = 1.0
    global_df: float = 1.0
    global_scale: float = 0.01
    slab_df: float = 4.0
    slab_scale: float = 2.5
    autoscale: bool = False

    @property
    def parameters(self) -> tuple[tuple[str, float], ...]:
        """rstanarm's names and order."""
        names = ("df", "global_df", "global_scale", "slab_df", "slab_scale")
        return tuple((n, getattr(self, n)) for n in names)

    def adjusted(self, columns: tuple[str, ...], column_sd: np.ndarray, sd_y: float) -> Horseshoe:
        """Return the prior of these slopes; scaled to the data only if asked for."""
        if not self.autoscale:
            return replace(self, columns=columns, units=(1.0,) * len(columns))
        units = tuple(float(u) for u in 1 / column_sd)
        return replace(self, columns=columns, units=units, slab_scale=self.slab_scale * sd_y)

    def sample(self, rng: np.random.Generator, sigma: np.ndarray) -> np.ndarray:
        """Draw slopes, shape (size, K), given draws of sigma, shape (size,)."""
        size, k = len(sigma), len(self.columns)
        tau = np.abs(rng.standard_t(self.global_df, size)) * self.global_scale * sigma
        slope_scale = tau[:, None] * np.abs(rng.standard_t(self.df, (size, k)))
        half = self.slab_df / 2
        slab = self.slab_scale * np.sqrt(half / rng.gamma(half, 1.0, size))
        regularised = slope_scale / np.hypot(1.0, slope_scale / slab[:, None])
        return rng.standard_normal((size, k)) * regularised * np.array(self.units)


@dataclass(frozen=True)
class R2D2(Joint):
    """The R2-induced Dirichlet decomposition prior of Zhang, Naughton, Bondell & Reich (2022), in brms's parameters.

    R2 ~ Beta(mean_R2 prec_R2, (1 - mean_R2) prec_R2), phi ~ Dirichlet(cons_D2, ..., cons_D2),
    beta_j ~ N(0, sigma^2 phi_j R2 / (1 - R2) / sd(x_j)^2). For uncorrelated predictors R2 is the share
    E var(x'beta) / (E var(x'beta) + sigma^2); the groups' variances are no part of it.
    """

    mean_R2: float = 0.5
    prec_R2: float = 2.0
    cons_D2: float = 0.5

    @property
    def parameters(self) -> tuple[tuple[str, float], ...]:
        """brms's names and order."""
        return tuple((n, getattr(self, n)) for n in ("mean_R2", "prec_R2", "cons_D2"))

    @property
    def shapes(self) -> tuple[float, float]:
        """Both parameters of R2's beta distribution."""
        return self.mean_R2 * self.prec_R2, (1 - self.mean_R2) * self.prec_R2

    def adjusted(self, columns: tuple[str, ...], column_sd: np.ndarray, sd_y: float) -> R2D2:
        """Return the prior of these slopes: always in units of sigma and the columns, or R2 would not be one."""
        return replace(self, columns=columns, units=tuple(float(u) for u in 1 / column_sd))

    def sample(self, rng: np.random.Generator, sigma: np.ndarray) -> np.ndarray:
        """Draw slopes, shape (size, K), given draws of sigma, shape (size,)."""
        size, k = len(sigma), len(self.columns)
        a, b = self.shapes
        # R2 / (1 - R2) as a ratio of gamma variables: 1 - R2 itself may round to 0
        odds = rng.gamma(a, 1.0, size) / np.maximum(rng.gamma(b, 1.0, size), np.finfo(float).tiny)
        share = rng.dirichlet(np.full(k, self.cons_D2), size)
        scale = np.sqrt(share * odds[:, None]) * sigma[:, None]
        return rng.standard_normal((size, k)) * scale * np.array(self.units)


def horseshoe(
    df: float = 1.0,
    global_df: float = 1.0,
    global_scale: float = 0.01,
    slab_df: float = 4.0,
    slab_scale: float = 2.5,
    autoscale: bool = False,
) -> Horseshoe:
    """Regularised horseshoe prior of all slopes (``"fixed"``), as rstanarm's ``hs``; see `Horseshoe`.

    Parameters
    ----------
    df, global_df, slab_df
        Degrees of freedom of the local scales, the global scale and the slab.
    global_scale
        Scale of the global scale, relative to sigma. Piironen & Vehtari (2017) propose p0 / (K - p0) / sqrt(n) for p0
        slopes, of K, that matter.
    slab_scale
        Scale of the Student t that slopes have which are not shrunk to zero, in the slopes' own units.
    autoscale
        Whether predictors count as standardised, with `slab_scale` in standard deviations of the response.
    """
    numbers = {"df": df, "global_df": global_df, "global_scale": global_scale}
    numbers |= {"slab_df": slab_df, "slab_scale": slab_scale}
    check_positive("horseshoe", **numbers)
    given: dict[str, Any] = {name: float(value) for name, value in numbers.items()}
    return Horseshoe(**given, autoscale=autoscale)


def r2d2(mean_R2: float = 0.5, prec_R2: float = 2.0, cons_D2: float = 0.5) -> R2D2:
    """R2D2 prior of all slopes (``"fixed"``): a beta prior of the R2 that they reach together; see `R2D2`.

    Parameters
    ----------
    mean_R2, prec_R2
        Mean and precision (sum of both parameters) of the beta prior of R2.
    cons_D2
        Concentration of the Dirichlet prior of each slope's share; below 1 few slopes share most of it.
    """
    check_positive("r2d2", mean_R2=mean_R2, prec_R2=prec_R2, cons_D2=cons_D2)
    if mean_R2 >= 1:
        raise PriorError(f"r2d2(mean_R2 = {mean_R2!r}): mean_R2 must be a number between 0 and 1")
    return R2D2(mean_R2=float(mean_R2), prec_R2=float(prec_R2), cons_D2=float(cons_D2))
