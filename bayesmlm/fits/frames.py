"""A fit as data frames: all draws, one row."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bayesmlm.fits.base import Sampled
from bayesmlm.tables import draws_frame


class Framed(Sampled):
    """A fit that can be turned into data frames."""

    def as_frame(self, pars: str | Iterable[str] | None = None) -> pd.DataFrame:
        """The draws, one row each: rstanarm's ``as.data.frame``.

        Parameters
        ----------
        pars
            Names, "alpha" (intercept), "beta" (slopes) or "varying" (group effects); if None all but ``mean_PPD`` and
            ``log-posterior``, which can be named.

        Returns
        -------
        DataFrame
            Index (chain, draw); columns as in `summary`: coefficients, ``b[...]``, ``sigma`` and other auxiliary
            parameters, ``Sigma[...]``.
        """
        return draws_frame(self.posterior, pars)

    def glance(self, loo: bool = False) -> pd.DataFrame:
        """One row about the whole fit, with broom.mixed's columns: algorithm, pss, nobs, sigma.

        ``pss`` is the posterior sample size; sigma is NaN for a family without one. With `loo`, also looic, elpd_loo
        and its standard error elpd_loo_se.
        """
        sigma = float("nan") if self.sigma is None else self.sigma
        row = {"algorithm": "sampling", "pss": self.posterior.n_draws, "nobs": self.nobs, "sigma": sigma}
        if loo:
            found = self.loo()  # type: ignore[attr-defined]
            row |= {"looic": -2 * found.elpd, "elpd_loo": found.elpd, "elpd_loo_se": found.se}
        return pd.DataFrame([row])
