"""What a Bayesian fit is: complete when born, its methods are one-liners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError
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

    def __new__(cls, design: Design | None = None, *_: Any, **__: Any) -> Self:
        """Make a fit of a model with several linear predictors one whose other verbs say that they are not defined."""
        several = design is not None and (design.others or design.family.is_categorical)
        kind = FitOfSeveral if several and cls is Fit else cls
        return object.__new__(kind)  # type: ignore[return-value]


# What is defined, and tested, for models with several linear predictors.
OF_SEVERAL = {
    *(
        "as_frame",
        "diagnostics",
        "fixef",
        "posterior_interval",
        "printed",
        "prior_summary",
        "ranef",
        "se",
        "summary",
    ),
    *(
        "tidy",
        "varcorr",
        "vcov",
        "sigma",
        "family",
        "link",
        "formula",
        "nobs",
        "ngroups",
        "draws",
        "model",
        "draw",
    ),
    *(
        "fitted",
        "residuals",
        "posterior_epred",
        "posterior_linpred",
        "posterior_predict",
        "predictive_interval",
    ),
    *("log_lik", "loo", "waic", "pp_check", "pp_check_draws", "plot_ppc", "plot_trace", "plot_energy"),
    *("save", "saved", "update"),
}


class FitOfSeveral(Fit):
    """A fit of a model with several linear predictors: of auxiliary parameters, or of categories.

    Verbs that are about one linear predictor raise a `BayesMLMError`.
    """


def _refused(name: str) -> Callable[..., Any]:
    def refuse(self: Fit, *_: Any, **__: Any) -> Any:
        what = "every category" if self.design.family.is_categorical else " and ".join(self.design.others)
        has = (
            "has a linear predictor of its own"
            if self.design.family.is_categorical
            else "has predictors of its own"
        )
        raise BayesMLMError(
            f"{name}() is about one linear predictor, but in this model {what} {has}: see posterior_epred(), "
            "posterior_predict(), tidy(), loo(), and fit.draws for ArviZ"
        )

    refuse.__name__ = name
    refuse.__doc__ = "Not defined for a model with several linear predictors."
    return refuse


for _name in dir(Fit):
    if not _name.startswith("_") and _name not in OF_SEVERAL and callable(getattr(Fit, _name)):
        setattr(FitOfSeveral, _name, _refused(_name))
