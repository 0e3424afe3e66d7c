"""What to make of a singular reference fit, and of a sample that did not converge: facts only."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bayesmlm.design import Design
from bayesmlm.doctoring.climb import climb, simplest, verdicts
from bayesmlm.doctoring.convergence import Convergence, convergence
from bayesmlm.doctoring.singular import Degenerate, boundary_frame, degenerate
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that the doctor knows.

    Attributes
    ----------
    design : Design
    estimate : LmerEstimate or None
        The reference fit; None if there is none.
    refused : str
        Why there is none.
    degenerate : tuple of Degenerate
        Directions without variance, or with next to none.
    boundary : DataFrame or None
        See `boundary_frame`; None without a posterior.
    ladder : DataFrame
        See `climb`, with the column verdict of `verdicts`; empty if it was not asked for.
    convergence : Convergence or None
        None without a posterior.
    prob : float
        Probability of the intervals.
    """

    design: Design
    estimate: LmerEstimate | GlmerEstimate | None
    refused: str
    degenerate: tuple[Degenerate, ...]
    boundary: pd.DataFrame | None
    ladder: pd.DataFrame
    convergence: Convergence | None
    prob: float

    @property
    def singular(self) -> bool:
        """Whether the reference fit has a direction without variance."""
        return self.estimate is not None and self.estimate.singular


__all__ = [
    "Convergence",
    "Degenerate",
    "Findings",
    "boundary_frame",
    "climb",
    "convergence",
    "degenerate",
    "simplest",
    "verdicts",
]
