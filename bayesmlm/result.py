"""What a Bayesian fit is: complete when born, its methods are one-liners."""

from __future__ import annotations

from bayesmlm.fits.comparing import Comparing
from bayesmlm.fits.criticism import Criticism
from bayesmlm.fits.doctoring import Doctor
from bayesmlm.fits.frames import Framed
from bayesmlm.fits.pictures import Pictures
from bayesmlm.fits.predictions import Predictions
from bayesmlm.fits.prior import PriorViews
from bayesmlm.fits.ranking import Ranked
from bayesmlm.fits.residual_checks import LevelChecks
from bayesmlm.fits.saving import Saving
from bayesmlm.fits.shares import VarianceShares
from bayesmlm.fits.testing import Testing
from bayesmlm.fits.updated import Updating
from bayesmlm.fits.writing import Writing


class Fit(
    Comparing,
    Criticism,
    Doctor,
    Framed,
    LevelChecks,
    Pictures,
    Predictions,
    Ranked,
    PriorViews,
    Testing,
    VarianceShares,
    Writing,
    Saving,
    Updating,
):
    """A Bayesian multilevel model and its posterior: what `bayesmlm.fit` returns.

    Its attributes are those of `bayesmlm.fits.base.Sampled`; each part of `bayesmlm.fits` adds the verbs of one
    subject.
    """
