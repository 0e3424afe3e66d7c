"""League tables of a fit: how sure the order of its units is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bayesmlm.fits.base import Sampled
from bayesmlm.ranks import Ranking, pair_probability, rank_units
from bayesmlm.report import Report
from bayesmlm.report.ranks import ranking_report
from bayesmlm.scores import unit_scores


@dataclass(frozen=True, repr=False, eq=False)
class LeagueTable:
    """Units in order, with what the draws say of their order; prints as a table.

    Attributes
    ----------
    ranking : Ranking
        All numbers.
    report : Report
        What is printed.
    """

    ranking: Ranking
    report: Report

    @property
    def frame(self) -> pd.DataFrame:
        """One row per unit, first to last; the columns are those of `bayesmlm.ranks.rank_units`."""
        return self.ranking.frame

    @property
    def pairwise(self) -> pd.DataFrame:
        """Posterior probability that the row's unit is higher than the column's, in the order of the table."""
        return self.ranking.pairwise

    def probability_above(self, a: Any, b: Any) -> float:
        """Posterior probability that unit `a` is higher than unit `b`."""
        return self.ranking.probability_above(a, b)

    def __repr__(self) -> str:
        return str(self.report)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


class Ranked(Sampled):
    """A fit whose groups can be put in order."""

    def league_table(
        self,
        group: str | None = None,
        column: str = "(Intercept)",
        *,
        at: Mapping[str, Any] | None = None,
        total: bool = False,
        prob: float = 0.9,
        top: float | None = None,
        bottom: float | None = None,
        reference: float | None = None,
        tier_prob: float = 0.8,
        ascending: bool = False,
    ) -> LeagueTable:
        """Rank the units of a grouping factor, with the uncertainty of every rank.

        Ranks are made draw by draw (Goldstein & Spiegelhalter 1996); see `bayesmlm.ranks` and `bayesmlm.tiers` for what
        each column is, and the papers behind it.

        Parameters
        ----------
        group
            Grouping factor; the one with most levels if None.
        column
            Which of its effects: ``"(Intercept)"``, or a slope such as ``"femaleF"``. They are deviations from the
            fixed effect.
        at
            Rank by the expected outcome x'beta + z'b at these values, ``{"x": 1}``, rather than by one effect. Other
            predictors are at their means over the rows, the same for every unit.
        total
            For nested factors: add the effects of the units above, so that a class is ranked with its school.
        prob
            Probability of the central intervals of effect and rank, and of the class.
        top, bottom
            Number or share of units that P(top) and P(last) are about; ten, or a quarter of fewer than forty, if
            None.
        reference
            What a unit has to be above or below. None: 0 for effects, the average unit's outcome with `at`.
        tier_prob
            How sure the order of two units has to be for tiers to split them.
        ascending
            Rank 1 is the lowest.

        Returns
        -------
        LeagueTable
            ``.frame``, ``.pairwise``, ``.probability_above(a, b)``.

        Raises
        ------
        DataError
            For an unknown group, column or predictor, with a suggestion.
        BayesMLMError
            For a probability outside (0, 1), or a `top` that is not a number or share of units.
        """
        scores = unit_scores(self.design, self.posterior, group, column, at, total)
        ranking = rank_units(
            scores.levels,
            scores.draws,
            scores.sizes,
            reference=scores.reference if reference is None else reference,
            prob=prob,
            top=top,
            bottom=bottom,
            tier_prob=tier_prob,
            ascending=ascending,
        )
        return LeagueTable(
            ranking, ranking_report(ranking, scores, _quantity(column, at), reference, self.formula)
        )

    def probability_above(
        self,
        a: Any,
        b: Any,
        group: str | None = None,
        column: str = "(Intercept)",
        *,
        at: Mapping[str, Any] | None = None,
        total: bool = False,
    ) -> float:
        """Posterior probability that unit `a` is higher than unit `b`; the rest is as for `league_table`."""
        scores = unit_scores(self.design, self.posterior, group, column, at, total)
        return pair_probability(scores.levels, scores.draws, a, b)


def _quantity(column: str, at: Mapping[str, Any] | None) -> str:
    if at is None:
        return f"effect of {column}"
    return "expected outcome at " + ", ".join(f"{name} = {value}" for name, value in at.items())
