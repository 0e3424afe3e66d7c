"""Priors in plain sight: what they predict, where the data moved them, how much they matter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from bayesmlm.draws import Posterior
from bayesmlm.fits.base import Sampled
from bayesmlm.prior_draws import prior_data
from bayesmlm.prior_posterior import prior_posterior_densities, prior_posterior_table
from bayesmlm.prior_values import prior_values
from bayesmlm.sensitivity import THRESHOLD, sensitivity_frame

if TYPE_CHECKING:
    import numpy as np

PRIOR_DRAWS = 40_000
GRAPH_DRAWS = 4_000  # where the PyMC graph makes them, group effects and all


class PriorViews(Sampled):
    """A fit whose priors can be looked at."""

    def prior_predictive(
        self, draws: int = 200, seed: int | None = None, newdata: Any = None, trials: Any = None
    ) -> xr.DataArray:
        """Draw data sets from the prior predictive distribution; see `bayesmlm.prior_draws.prior_data`.

        Parameters
        ----------
        draws
            Number of data sets.
        seed
            Seed; the fit's own if None.
        newdata
            Rows to predict, whose grouping factors may have new levels; the rows of the fit if None.
        trials
            Numbers of trials of new rows of a binomial model; from their columns if None.

        Returns
        -------
        DataArray, dims (draw, obs)
        """
        chosen = self.settings.seed if seed is None else seed
        return prior_data(self.design, self.priors, newdata, draws, chosen, trials)

    def prior_posterior(self, pars: str | Iterable[str] | None = None, prob: float = 0.9) -> pd.DataFrame:
        """Medians and intervals of prior and posterior, and how much the data narrowed each parameter.

        See `bayesmlm.prior_posterior.prior_posterior_table`.
        """
        return prior_posterior_table(self._prior_sample(), self.posterior, pars, prob)

    def plot_prior_posterior(self, pars: str | Iterable[str] | None = None, **style: Any) -> np.ndarray:
        """Draw each parameter's prior and posterior density, one panel each.

        Parameters
        ----------
        pars
            Parameters, as `prior_posterior` names them; the first twelve if None.
        style
            Passed to `bayesmlm.plots.plot_prior_posterior`.
        """
        from bayesmlm.plots import plot_prior_posterior

        table = prior_posterior_densities(self._prior_sample(), self.posterior, pars, at_most=12)
        return plot_prior_posterior(table, **style)

    def prior_sensitivity(
        self, threshold: float = THRESHOLD, by_prior: bool = False, likelihood: str | None = None
    ) -> pd.DataFrame:
        """How much each parameter's posterior depends on its prior and on the data, by power-scaling.

        See `bayesmlm.sensitivity.sensitivity_frame`.
        """
        return sensitivity_frame(self.design, self.priors, self.posterior, threshold, by_prior, likelihood)

    def _prior_sample(self) -> Posterior:
        """Draws from the prior, without group effects where these need not be drawn."""
        if not self.priors.custom:
            return prior_values(self.design, self.priors, PRIOR_DRAWS, self.settings.seed)
        settings = replace(self.settings, prior_only=True, chains=1, draws=GRAPH_DRAWS, keep_ranef=False)
        return type(self).draw(self.design, self.priors, settings).posterior
