"""A fit in the words of a paper."""

from __future__ import annotations

import platform
from importlib.metadata import version

import pandas as pd
import xarray as xr

import bayesmlm
from bayesmlm.comparison import Comparison, compare_fits
from bayesmlm.diagnostics import chain_frame, convergence_frame, parameter_draws, variance_draws
from bayesmlm.drawing import ON_KERNEL
from bayesmlm.errors import DataError
from bayesmlm.fits.base import Sampled
from bayesmlm.model_rows import parameter_rows, posterior_shares
from bayesmlm.report.prose import Prose
from bayesmlm.report.writeup import FitAccount, fit_prose
from bayesmlm.tables import check_probability, direction_probability, tidy_posterior


class Writing(Sampled):
    """A fit that can be written up."""

    def report(self, prob: float = 0.95, digits: int = 2) -> Prose:
        """Paragraphs that a paper can use: model, data, priors, sampling, results, comparison with REML, references.

        Parameters
        ----------
        prob
            Probability of the central posterior intervals.
        digits
            Decimals; a number that would show less than one significant digit has more.

        Returns
        -------
        Prose
            Prints as wrapped text; ``.text``, ``.markdown``, ``.references``.
        """
        level = check_probability(prob, "prob")
        exact = self.sampler == ON_KERNEL
        draws = [parameter_draws(self.posterior, effects=not exact), variance_draws(self.posterior)]
        comparison, status = self._beside_reml(level)
        own_labels = {b.label: b.label for b in self.design.blocks}
        parts = [
            parameter_rows(tidy_posterior(self.posterior, conf_level=level), own_labels),
            posterior_shares(self.design, self.posterior, level, own_labels),
        ]
        account = FitAccount(
            self.design,
            self.priors,
            self.settings,
            self.sampler,
            self.posterior.n_chains,
            self.posterior.n_draws,
            exact,
            pd.concat(parts, ignore_index=True),
            direction_probability(self.posterior.fixef),
            convergence_frame(xr.concat(draws, dim="parameter")),
            chain_frame(self.posterior),
            self.notes,
            comparison,
            status,
            level,
            versions(),
        )
        return fit_prose(account, digits)

    def _beside_reml(self, prob: float) -> tuple[Comparison | None, str]:
        """Return the comparison with the REML fit and what that says of itself, or None where there is no such fit."""
        try:
            ref = self.reference()
        except DataError:  # as many effects as rows, say: only a prior tells them from the residuals
            return None, ""
        comparison = compare_fits(self.posterior, ref.estimate, self.design, prob)
        return comparison, ref.status if ref.is_singular() or not ref.estimate.converged else ""


def versions() -> dict[str, str]:
    """Return the versions of the packages that made a fit, as they are installed now."""
    packages = {"Bambi": "bambi", "PyMC": "pymc", "nutpie": "nutpie", "ArviZ": "arviz"}
    found = {name: version(package) for name, package in packages.items()}
    return {"bayesmlm": bayesmlm.__version__, **found, "Python": platform.python_version()}
