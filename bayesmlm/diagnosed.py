"""The doctor of singular fits: what a reference fit lost on the boundary, and what could be left out of the model."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bayesmlm.design import Design
from bayesmlm.doctoring import Findings, climb, degenerate, verdicts
from bayesmlm.doctoring.climb import COLUMNS
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.report.diagnosis import doctor_sentences
from bayesmlm.report.doctor import doctor_report


@dataclass(frozen=True, repr=False, eq=False)
class Diagnosis:
    """What `doctor` found; prints as a page.

    Attributes
    ----------
    facts : Findings
        All numbers.
    """

    facts: Findings

    @property
    def singular(self) -> bool:
        """Whether the reference fit is on the boundary."""
        return self.facts.singular

    @property
    def frame(self) -> pd.DataFrame:
        """The ladder: one row per model; see `bayesmlm.doctoring.climb.climb`. Empty if it was not asked for."""
        return self.facts.ladder

    @property
    def boundary(self) -> pd.DataFrame | None:
        """Standard deviations and correlations beside their boundary and prior; None for a reference fit."""
        return self.facts.boundary

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, in words."""
        return doctor_sentences(self.facts)

    def __repr__(self) -> str:
        return str(doctor_report(self.facts))

    def _repr_html_(self) -> str:
        return doctor_report(self.facts)._repr_html_()


NO_LADDER = pd.DataFrame(columns=[*COLUMNS, "verdict"])


def with_verdicts(ladder: pd.DataFrame) -> pd.DataFrame:
    """Add the column verdict to a ladder."""
    return ladder.assign(verdict=verdicts(ladder))


def diagnose_reference(
    design: Design, estimate: LmerEstimate | GlmerEstimate, ladder: bool | None = None
) -> Diagnosis:
    """Examine a reference fit.

    Parameters
    ----------
    design, estimate
        The fit.
    ladder
        Whether to fit simpler models: if None, where the fit is singular.
    """
    found = degenerate(design, estimate)
    wanted = estimate.singular if ladder is None else ladder
    frame = with_verdicts(climb(design, estimate)) if wanted else NO_LADDER
    return Diagnosis(Findings(design, estimate, "", found, None, frame, None, 0.9))
