"""Pictures that ask whether a fit is sound: residuals, calibration, replicated data, chains, ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmlm.draws import kept_effects
from bayesmlm.fits.base import Sampled
from bayesmlm.fits.comparing import checked_reference, method_words
from bayesmlm.folds import grouping
from bayesmlm.frequentist import ReferenceFit
from bayesmlm.generalised import GlmerFit
from bayesmlm.ranks import rank_table
from bayesmlm.replicates import check_frame, count_frame, has_counted_values
from bayesmlm.residual_checks import predictive_quantiles
from bayesmlm.scores import unit_scores
from bayesmlm.shrinkage import one_factor
from bayesmlm.views.chains import chain_tree, energy_tree
from bayesmlm.views.checks import check_tables
from bayesmlm.views.ellipses import choose_pair, effect_points, ellipse_table
from bayesmlm.views.labels import highlight_name
from bayesmlm.views.replications import replication_densities
from bayesmlm.views.residuals import calibration_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CheckPictures(Sampled):
    """A fit whose assumptions can be looked at."""

    def plot_check(
        self,
        group: str | None = None,
        label: Any = None,
        n_outliers: int = 3,
        ax: np.ndarray | None = None,
        **style: Any,
    ) -> np.ndarray:
        """Draw residuals against fitted values and normal quantiles, their spread, and quantiles of group effects.

        Residuals are y minus the posterior mean of its expectation, over the posterior median of sigma; group effects
        are posterior medians. In generalised models residuals are normal quantiles of the probability that the model
        gives to a response at most as large, randomised for counts (Dunn & Smyth 1996). The tables are those of
        `bayesmlm.views.residuals`.

        Parameters
        ----------
        group
            Grouping factor whose levels' residual spread is compared; the one with most levels if None.
        label
            What a row is called: a column of the data, or one value per row; its place in the data if None.
        n_outliers
            So many rows, of the largest residuals, are named.
        ax, style
            Passed to `bayesmlm.plots.plot_check`.
        """
        from bayesmlm.plots import plot_check

        effects = [
            np.median(kept_effects(b, d), axis=(0, 1))
            for b, d in zip(self.design.blocks, self.posterior.blocks, strict=True)
        ]
        if self.design.family.is_gaussian_identity:
            fitted, scaled = self.fitted(), None
        else:
            fitted, scaled = predictive_quantiles(self.design, self.posterior, self.settings.seed)
        tables = check_tables(self.design, fitted, self.sigma, effects, group, label, n_outliers, scaled)
        words = {"label": one_factor(self.design, group).blocks[0].group, "response": self.design.response}
        return plot_check(*tables, ax=ax, **{**words, **style})

    def calibration_table(
        self, group: str | None = None, label: Any = None, highlight: Any = None
    ) -> pd.DataFrame:
        """Observed and fitted values of rows, or their means by group; see `plot_calibration`, which draws them.

        Columns label, n, fitted, observed, highlight.
        """
        return calibration_table(self.design, self.fitted(), group=group, label=label, highlight=highlight)

    def plot_calibration(
        self,
        group: str | None = None,
        label: Any = None,
        highlight: Any = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Axes:
        """Draw observed against fitted values, by row or as means by group.

        Parameters
        ----------
        group
            Means over the levels of this grouping factor; the rows themselves if None.
        label
            What a point is called: a column of the data, or one value per row.
        highlight
            Rows to pick out and name: columns of the data with a value or values, ``{"region": "London"}``, or one
            truth value per row.
        ax, style
            Passed to `bayesmlm.plots.plot_calibration`.

        Raises
        ------
        DataError
            For an unknown column or value.
        """
        from bayesmlm.plots import plot_calibration

        table = self.calibration_table(group, label, highlight)
        response = self.design.response
        words = {
            "label": "row" if group is None else group,
            "highlight_label": highlight_name(highlight),
            "xlabel": f"fitted {response}",
            "ylabel": f"observed {response}",
        }
        if group is not None:
            words |= {"xlabel": f"mean fitted {response}", "ylabel": f"mean observed {response}"}
        return plot_calibration(table, ax=ax, **{**words, **style})

    def plot_ellipses(
        self,
        group: str | None = None,
        columns: tuple[str, str] | None = None,
        ref: ReferenceFit | GlmerFit | None = None,
        probs: tuple[float, ...] = (0.5, 0.9),
        n_draws: int = 50,
        seed: int = 0,
        ax: Axes | None = None,
        **style: Any,
    ) -> Axes:
        """Draw how two group effects vary together: contours of N(0, Sigma), of both fits, and the levels' effects.

        The tables are those of `bayesmlm.views.ellipses`.

        Parameters
        ----------
        group
            Grouping factor or block; the first with two correlated effects if None.
        columns
            Which two of its effects; the first two if None.
        ref
            The reference fit; REML of the same model if None.
        probs
            How much of the distribution is within each contour.
        n_draws, seed
            So many posterior draws of Sigma, chosen by the seed, have a contour each.
        ax, style
            Passed to `bayesmlm.plots.plot_ellipses`.
        """
        from bayesmlm.plots import plot_ellipses

        pair = choose_pair(self.design, group, columns)
        chosen = self.reference() if ref is None else checked_reference(self, ref)
        theirs = chosen.estimate.varcorr
        curves = ellipse_table(pair, self.posterior, theirs, probs=probs, n_draws=n_draws, seed=seed)
        words = {
            "label": self.design.blocks[pair.position].group,
            "reference_label": method_words(chosen),
            "xlabel": f"{pair.names[0]}: deviation of each {pair.group}",
            "ylabel": f"{pair.names[1]}: deviation of each {pair.group}",
        }
        return plot_ellipses(
            curves, effect_points(self.design, self.posterior, pair), ax=ax, **{**words, **style}
        )

    def plot_ppc(
        self,
        group: str | None = None,
        stat: str | Callable[[np.ndarray], Any] = "mean",
        draws: int | None = None,
        prob: float = 0.9,
        seed: int | None = None,
        ax: Axes | None = None,
        **style: Any,
    ) -> Axes:
        """Draw the data among data that the model makes: densities or, by group, a statistic with its interval.

        Of counts and categories bars of how often each value occurs, with intervals (``root=True`` for a rootogram,
        which draws square roots); of binomials with several trials densities of the shares of successes.

        Parameters
        ----------
        group
            Grouping factor or column of the data for a statistic of each level, the table of `pp_check`; the densities
            of all rows if None (`bayesmlm.views.replications.replication_densities`).
        stat
            One statistic, as for `pp_check`.
        draws
            How many data sets to make; 50 for densities, all draws for bars and statistics if None.
        prob
            Of the intervals.
        seed
            Of the replicated data; the fit's own if None.
        ax, style
            Passed to `bayesmlm.plots.plot_ppc` or `bayesmlm.plots.plot_ppc_groups`.

        Raises
        ------
        DataError
            For an unknown group or statistic, or more data sets than there are draws.
        """
        from bayesmlm.plots import plot_ppc, plot_ppc_counts, plot_ppc_groups

        own = self.settings.seed if seed is None else seed
        if group is None and has_counted_values(self.design):
            table = count_frame(self.design, self.posterior, draws, prob, own)
            return plot_ppc_counts(table, ax=ax, prob=prob, **{"xlabel": self.design.response, **style})
        if group is None:
            wanted = min(50, self.posterior.n_draws) if draws is None else draws
            curves = replication_densities(self.design, self.posterior, wanted, own)
            return plot_ppc(curves, ax=ax, **{"xlabel": self.design.response, **style})
        rows = grouping(self.design, group)
        table = check_frame(self.design, self.posterior, [stat], rows, draws, prob, own)
        words = {"label": group, "stat": f"{table['stat'].iloc[0]} of {self.design.response}"}
        return plot_ppc_groups(table, ax=ax, prob=prob, **{**words, **style})

    def plot_ranks(
        self,
        group: str | None = None,
        column: str | None = None,
        prob: float = 0.9,
        highlight: Any = (),
        ax: Axes | None = None,
        **style: Any,
    ) -> Axes:
        """Draw the posterior rank of each level by one of its effects, with intervals.

        The ranks are those of `league_table`: `bayesmlm.plots.plot_ranks` draws the frame of any league table.

        Parameters
        ----------
        group
            Grouping factor; the one with most levels if None.
        column
            Effect to rank by; the intercept, or the first if there is none, if None.
        prob
            Of the intervals.
        highlight
            Levels to pick out.
        ax, style
            Passed to `bayesmlm.plots.plot_ranks`.
        """
        from bayesmlm.plots import plot_ranks

        scores = unit_scores(self.design, self.posterior, group, column)
        table = rank_table(scores.levels, scores.draws, prob)
        words = {"label": scores.group}
        return plot_ranks(table, ax=ax, prob=prob, highlight=highlight, **{**words, **style})

    def plot_trace(
        self, pars: str | Iterable[str] | None = None, kind: str = "trace", **style: Any
    ) -> np.ndarray:
        """Draw the chains with ArviZ, under R's names, in a new figure.

        Parameters
        ----------
        pars
            Names as in `summary` and, for standard deviations and correlations, as ``"sd__(Intercept) (school)"``;
            all but group effects if None.
        kind
            ``"trace"``; ``"rank"``, curves of ranks with a test that they are uniform; ``"density"``, one per chain.
        style
            Passed to `bayesmlm.plots.plot_trace`.
        """
        from bayesmlm.plots import plot_trace

        return plot_trace(chain_tree(self.posterior, pars), kind=kind, **style)

    def plot_energy(self, **style: Any) -> Axes | np.ndarray:
        """Draw the energies of the chains and their changes with ArviZ, in a new figure; see `diagnostics`."""
        from bayesmlm.plots import plot_energy

        return plot_energy(energy_tree(self.posterior), **style)
