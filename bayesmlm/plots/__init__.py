"""Tables in, matplotlib Axes out. Nothing is computed here."""

from bayesmlm.plots.calibration import plot_calibration
from bayesmlm.plots.caterpillar import plot_caterpillar
from bayesmlm.plots.chains import plot_energy, plot_trace
from bayesmlm.plots.checks import plot_check
from bayesmlm.plots.components import plot_variance
from bayesmlm.plots.effects import plot_effects
from bayesmlm.plots.ellipses import plot_ellipses
from bayesmlm.plots.groups import plot_groups
from bayesmlm.plots.intervals import plot_coefficients
from bayesmlm.plots.panels import plot_pooling_panels
from bayesmlm.plots.prior_posterior import plot_prior_posterior
from bayesmlm.plots.profiles import plot_profile
from bayesmlm.plots.ranks import plot_ranks
from bayesmlm.plots.replications import plot_ppc, plot_ppc_counts, plot_ppc_groups
from bayesmlm.plots.shrinkage import plot_shrinkage

__all__ = [
    "plot_calibration",
    "plot_caterpillar",
    "plot_check",
    "plot_coefficients",
    "plot_effects",
    "plot_ellipses",
    "plot_energy",
    "plot_groups",
    "plot_pooling_panels",
    "plot_ppc",
    "plot_ppc_counts",
    "plot_ppc_groups",
    "plot_prior_posterior",
    "plot_profile",
    "plot_ranks",
    "plot_shrinkage",
    "plot_trace",
    "plot_variance",
]
