"""Tables in, matplotlib Axes out: what partial pooling does to the levels of a group. Nothing is computed here."""

from bayesmlm.plots.caterpillar import plot_caterpillar
from bayesmlm.plots.panels import plot_pooling_panels
from bayesmlm.plots.shrinkage import plot_shrinkage

__all__ = ["plot_caterpillar", "plot_pooling_panels", "plot_shrinkage"]
