"""`fit()`: from a formula and a data frame to a posterior."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmlm.formulas import Formula
from bayesmlm.prior_draws import prior_data
from bayesmlm.result import Fit
from bayesmlm.reuse import fit_or_load
from bayesmlm.sampling.settings import Settings, new_seed
from bayesmlm.specifying import specify

if TYPE_CHECKING:
    import xarray as xr


def fit(
    formula: str | Formula,
    data: Any,
    family: str = "gaussian",
    link: str | None = None,
    priors: Mapping[str, Any] | None = None,
    *,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    chains: int = 4,
    draws: int = 1000,
    tune: int = 1000,
    seed: int | None = None,
    target_accept: float | None = None,
    sampler: str = "auto",
    cores: int | None = None,
    keep_ranef: Any = True,
    progress: bool = True,
    file: str | Path | None = None,
    file_refit: str = "on_change",
    prior_only: bool = False,
) -> Fit:
    """Fit a Bayesian multilevel model with rstanarm's default priors, as its ``stan_lmer`` and ``stan_glmer``.

    Parameters
    ----------
    formula
        lme4's formula, such as ``"course ~ female + (1 + female | school)"``; `formula` joins it with formulas of
        auxiliary parameters, such as sigma.
    data
        A data frame of pandas, polars or another library that narwhals knows.
    family, link
        Family of the response by R's or Bambi's name, and its link (R's default if None): "gaussian", "binomial" (or
        "bernoulli"), "poisson", "negativebinomial" ("neg_binomial_2"), "Gamma", "inverse.gaussian" ("wald"), "beta",
        "t" ("student_t"), "beta_binomial", "lognormal", "exponential", "weibull", "zero_inflated_poisson",
        "zero_inflated_binomial", "zero_inflated_negativebinomial", "hurdle_poisson", "hurdle_negativebinomial",
        "hurdle_gamma", "hurdle_lognormal", "cumulative", "sratio", "categorical". The link may stand in the name, as in
        "binomial(probit)". A binomial response is 0 or 1, TRUE or FALSE, a factor whose first level is failure,
        ``cbind(successes, failures)``, or a proportion with `weights`.
    priors
        Priors that replace the defaults: by coefficient name, "(Intercept)", "fixed" (all slopes),
        "sigma" or another auxiliary parameter of the family, a grouping factor, or "covariance" (all blocks).
        A grouping factor takes `decov` or `lkj`, a prior of
        its standard deviations, or a dict of parts: ``{"sd": half_normal(5), "sd__x": exponential(1), "cor": lkj(2)}``.
        See `bayesmlm.priors.build_priors`.
    weights
        A column's name or an array. Of binomial proportions the numbers of trials. Of Gaussian responses as in lme4:
        the residual variance is sigma^2 / weight. Of others the number of times that a row counts, as in rstanarm: its
        log-likelihood is multiplied by the weight.
    offset
        Known part of the linear predictor: a column's name or an array.
    exposure
        Time or population at risk, for counts with the log link: its logarithm is added to the linear predictor.
    chains, draws, tune
        Number of chains, and of draws and warm-up iterations in each.
    seed
        Seed; the same seed gives the same draws again. None takes a new one, kept in ``fit.settings``.
    target_accept
        Target acceptance rate of NUTS; if None 0.9 for Gaussian models and 0.8 for others, and on the PyMC graph 0.95,
        as in rstanarm. Raise it if draws diverge.
    sampler
        "kernel": NUTS on a compiled density. Of Gaussian models with normal priors of the fixed effects it is that of
        the variance parameters alone, fixed and group effects integrated out and then drawn exactly. Of binomial,
        Poisson, negative binomial, Gamma, exponential, inverse Gaussian, beta, t and lognormal models, and of Gaussian
        ones with another link, it is that of all parameters; priors of fixed effects normal, Student-t, Cauchy or
        Laplace. Priors of standard deviations and auxiliary parameters exponential, gamma, half-normal,
        half-Student-t or half-Cauchy.
        "pymc": NUTS on the PyMC graph of the Bambi model. "auto": the kernel where it applies; ``fit.sampler`` says
        which, and why.
    cores
        Chains to run at once; all cores if None.
    keep_ranef
        Group effects whose draws are kept: True for all, False for none, the names of some grouping factors, or a dict
        such as ``{"school": ["20920", "22520"]}``. Keeping few bounds the memory where there are very many groups (a
        draw of an effect takes 8 bytes: 4,000 draws of 100,000 effects 3.2 GB). ``fit.with_ranef()`` draws the others
        of a Gaussian model later, from the variance parameters kept and the seed.
    progress
        Whether to show a progress bar.
    file
        Keep the fit in this file, as `Fit.save` does, and read it from there the next time instead of sampling.
    file_refit
        When to sample again: ``"on_change"``, if the formula, the data that it uses, the priors, a seed that is given,
        or another setting that changes the draws is not as it was; ``"always"``; ``"never"``.
    prior_only
        Draw from the prior instead of the posterior, as rstanarm's ``prior_PD = TRUE``: the response only sets the
        scale of default priors. Draws are independent.

    Returns
    -------
    Fit

    Raises
    ------
    FormulaError, DataError, PriorError, SamplingError, FileError
        If the formula, the data, a prior, a setting or the file cannot be used; the message says what to do.

    Warns
    -----
    ConvergenceWarning
        If draws diverged, chains disagree, or effective sample sizes are low.
    """
    design, used = specify(
        formula, data, family, link, priors, weights=weights, offset=offset, exposure=exposure
    )
    chosen_seed = new_seed() if seed is None else seed
    settings = Settings(
        chains, draws, tune, chosen_seed, target_accept, cores, progress, sampler, keep_ranef, prior_only
    )
    if file is None:
        return Fit.draw(design, used, settings)
    return fit_or_load(file, file_refit, design, used, settings, seed_given=seed is not None)


def prior_predictive(
    formula: str | Formula,
    data: Any,
    priors: Mapping[str, Any] | None = None,
    *,
    family: str = "gaussian",
    link: str | None = None,
    draws: int = 200,
    seed: int | None = None,
    newdata: Any = None,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    trials: Any = None,
) -> xr.DataArray:
    """Draw data sets from the prior predictive distribution of a model, before fitting it.

    Parameters
    ----------
    formula, data, priors, family, link, weights, offset, exposure
        As of `fit`. The response only sets the scale of default priors.
    draws
        Number of data sets.
    seed
        Seed; a new one if None.
    newdata
        Rows to predict, whose grouping factors may have new levels; the rows of `data` if None.
    trials
        Numbers of trials of the new rows of a binomial; from their columns if None.

    Returns
    -------
    DataArray, dims (draw, obs)
        Numbers of successes of a binomial, positions of categories.

    Raises
    ------
    PriorError
        If a prior cannot be used, or is a ``bambi.Prior``.
    """
    design, used = specify(
        formula, data, family, link, priors, weights=weights, offset=offset, exposure=exposure
    )
    return prior_data(design, used, newdata, draws, new_seed() if seed is None else seed, trials)
