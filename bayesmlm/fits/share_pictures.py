"""Pictures of how the variance is shared out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmlm.fits.base import Sampled
from bayesmlm.fits.comparing import method_words, reference_or_none
from bayesmlm.frequentist import ReferenceFit
from bayesmlm.generalised import GlmerFit
from bayesmlm.link_scale import residual_draws_on_link
from bayesmlm.meanings import latent_residual
from bayesmlm.views.partitions import icc_table, slope_predictor, vpc_curve
from bayesmlm.views.typical import axis_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class SharePictures(Sampled):
    """A fit whose shares of the variance can be looked at."""

    def plot_icc(
        self,
        ref: ReferenceFit | GlmerFit | None = None,
        prob: float = 0.9,
        inner: float = 0.5,
        ax: Axes | None = None,
        **style: Any,
    ) -> Axes:
        """Draw each block's intraclass correlation: posterior median with two intervals, a reference fit's below.

        Where slopes vary it is the correlation where their predictors are 0; `plot_vpc` draws it elsewhere. The table
        is that of `bayesmlm.views.partitions.icc_table`.

        Parameters
        ----------
        ref
            The reference fit; REML of the same model if None.
        prob, inner
            Probabilities of the outer and inner posterior interval.
        ax, style
            Passed to `bayesmlm.plots.plot_coefficients`.

        Raises
        ------
        DataError
            If no block has an intercept.
        """
        from bayesmlm.plots import plot_coefficients

        chosen = reference_or_none(self, ref)
        estimate = None if chosen is None else chosen.estimate
        linear = self.design.family.is_gaussian_identity
        residual = None if linear else residual_draws_on_link(self.design, self.posterior)
        theirs = None if linear else latent_residual(self.design.family)
        table = icc_table(self.posterior, estimate, residual, theirs, prob=prob, inner=inner)
        words = {
            "reference_label": method_words(chosen),
            "xlabel": "intraclass correlation",
        }
        return plot_coefficients(table, ax=ax, prob=prob, inner=inner, **{**words, **style})

    def plot_vpc(
        self,
        x: str | None = None,
        prob: float = 0.9,
        at: Mapping[str, Any] | None = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Axes:
        """Draw the share of the variance between the groups of each block along a predictor of varying slopes.

        The numbers are those of `vpc` over the range of x, the other predictors at typical values; the table is that
        of `bayesmlm.views.partitions.vpc_curve`.

        Parameters
        ----------
        x
            The predictor; the first of a varying slope if None.
        prob
            Probability of the bands.
        at
            Values of other columns; otherwise numbers are at their mean over the rows of the fit, categories at their
            first (reference) level.
        ax, style
            Passed to `bayesmlm.plots.plot_effects`.

        Raises
        ------
        DataError
            If no slope varies with `x`.
        """
        from bayesmlm.plots import plot_effects

        name = slope_predictor(self.design, x)
        axis = axis_of(self.design, name)
        table = vpc_curve(self.design, self.posterior, name, prob=prob, at=at)
        lines = table["by"].unique()
        words: dict[str, Any] = {
            "xlabel": name,
            "ylabel": f"share of the variance between levels of {lines[0]}"
            if len(lines) == 1
            else "share of the variance",
            "x_ticks": None if axis.labels is None else (axis.positions.tolist(), list(axis.labels)),
        }
        return plot_effects(table, ax=ax, prob=prob, **{**words, **style})
