"""Bayesian multilevel models from lme4 formulas, beside the ML/REML fit of the same model.

>>> import bayesmlm as bm
>>> gcse = bm.load_dataset("gcsemv")
>>> fit = bm.fit("course ~ 1 + female + (1 + female | school)", gcse, seed=1)  # doctest: +SKIP
>>> ref = bm.lmer("course ~ 1 + female + (1 + female | school)", gcse, reml=False)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bayesmlm.errors import (
    BayesMLMError,
    BayesMLMWarning,
    ConvergenceWarning,
    DataError,
    DataWarning,
    FileError,
    FormulaError,
    PriorError,
    SamplingError,
)

if TYPE_CHECKING:
    from bayesmlm import plots
    from bayesmlm.anova_tables import Anova, TermAnova, anova
    from bayesmlm.datasets import describe_dataset, list_datasets, load_dataset
    from bayesmlm.distributional import formula
    from bayesmlm.explained import Explained, explain
    from bayesmlm.fits.comparing import compare
    from bayesmlm.fits.criticism import loo_compare
    from bayesmlm.fits.tabulating import table
    from bayesmlm.fitting import fit, prior_predictive
    from bayesmlm.formulas import parse_formula
    from bayesmlm.frequentist import ReferenceFit, lmer
    from bayesmlm.generalised import GlmerFit, glmer
    from bayesmlm.linear import LinearFit, complete_pooling, lm, no_pooling
    from bayesmlm.opening import load
    from bayesmlm.priors import (
        beta,
        cauchy,
        decov,
        exponential,
        gamma,
        half_cauchy,
        half_normal,
        half_student_t,
        horseshoe,
        laplace,
        lkj,
        normal,
        r2d2,
        student_t,
    )
    from bayesmlm.result import Fit

__version__ = "0.1.0.dev0"

# Where each public name lives; it is imported when first used, so that `import bayesmlm` is quick.
_HOMES = {
    "bayesmlm.anova_tables": ("Anova", "TermAnova", "anova"),
    "bayesmlm.datasets": ("describe_dataset", "list_datasets", "load_dataset"),
    "bayesmlm.distributional": ("formula",),
    "bayesmlm.explained": ("Explained", "explain"),
    "bayesmlm.fits.comparing": ("compare",),
    "bayesmlm.fits.criticism": ("loo_compare",),
    "bayesmlm.fits.tabulating": ("table",),
    "bayesmlm.fitting": ("fit", "prior_predictive"),
    "bayesmlm.formulas": ("parse_formula",),
    "bayesmlm.frequentist": ("ReferenceFit", "lmer"),
    "bayesmlm.generalised": ("GlmerFit", "glmer"),
    "bayesmlm.linear": ("LinearFit", "complete_pooling", "lm", "no_pooling"),
    "bayesmlm.opening": ("load",),
    "bayesmlm.priors": (
        *("beta", "cauchy", "decov", "exponential", "gamma", "half_cauchy", "half_normal", "half_student_t"),
        *("horseshoe", "laplace", "lkj", "normal", "r2d2", "student_t"),
    ),
    "bayesmlm.result": ("Fit",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Anova",
    "BayesMLMError",
    "BayesMLMWarning",
    "ConvergenceWarning",
    "DataError",
    "DataWarning",
    "Explained",
    "FileError",
    "Fit",
    "FormulaError",
    "GlmerFit",
    "LinearFit",
    "PriorError",
    "ReferenceFit",
    "SamplingError",
    "TermAnova",
    "anova",
    "beta",
    "cauchy",
    "compare",
    "complete_pooling",
    "decov",
    "describe_dataset",
    "explain",
    "exponential",
    "fit",
    "formula",
    "gamma",
    "glmer",
    "half_cauchy",
    "half_normal",
    "half_student_t",
    "horseshoe",
    "laplace",
    "list_datasets",
    "lkj",
    "lm",
    "lmer",
    "load",
    "load_dataset",
    "loo_compare",
    "no_pooling",
    "normal",
    "parse_formula",
    "plots",
    "prior_predictive",
    "r2d2",
    "student_t",
    "table",
]


def __getattr__(name: str) -> Any:
    if name == "plots":
        return importlib.import_module("bayesmlm.plots")
    if name not in _HOME:
        raise AttributeError(f"module 'bayesmlm' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return __all__
