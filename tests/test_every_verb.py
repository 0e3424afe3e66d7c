"""Every verb of a fit works on a fresh fit and on the same fit loaded from a file, and says the same."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmlm as bm

pytestmark = [
    pytest.mark.filterwarnings("ignore::bayesmlm.errors.ConvergenceWarning"),  # chains are short
    pytest.mark.filterwarnings("ignore::bayesmlm.errors.DataWarning"),
]

MODELS = {
    "one block": ("Yield ~ 1 + (1 | Batch)", "dyestuff"),
    "slope": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin"),
    "nested": ("strength ~ 1 + (1 | batch/cask)", "pastes"),
}
SHORT = {"chains": 2, "draws": 200, "tune": 200, "seed": 4, "progress": False}

# Each takes a fit, new rows without the response, and the first grouping factor.
VERBS = {
    "as_frame": lambda f, new, g: f.as_frame(),
    "augment": lambda f, new, g: f.augment(),
    "augment, new rows": lambda f, new, g: f.augment(new),
    "bayes_r2": lambda f, new, g: f.bayes_r2(),
    "calibration_table": lambda f, new, g: f.calibration_table(),
    "coef": lambda f, new, g: f.coef(),
    "coefficient_table": lambda f, new, g: f.coefficient_table(),
    "compare": lambda f, new, g: f.compare(),
    "design_effect": lambda f, new, g: f.design_effect(),
    "diagnostics": lambda f, new, g: f.diagnostics(),
    "doctor": lambda f, new, g: f.doctor(refit=False),
    "explain": lambda f, new, g: f.explain(),
    "fitted": lambda f, new, g: f.fitted(),
    "fixef": lambda f, new, g: f.fixef(),
    "formula": lambda f, new, g: f.formula,
    "glance": lambda f, new, g: f.glance(),
    "hypothesis": lambda f, new, g: f.hypothesis("`(Intercept)` > 0"),
    "icc": lambda f, new, g: f.icc(),
    "kfold": lambda f, new, g: f.kfold(2),
    "league_table": lambda f, new, g: f.league_table(g),
    "log_lik": lambda f, new, g: f.log_lik(),
    "loo": lambda f, new, g: f.loo(),
    "loo, groups": lambda f, new, g: f.loo(g),
    "ngroups": lambda f, new, g: f.ngroups,
    "nobs": lambda f, new, g: f.nobs,
    "pcv": lambda f, new, g: f.pcv(f),
    "pooling_factor": lambda f, new, g: f.pooling_factor(),
    "posterior_epred": lambda f, new, g: f.posterior_epred(new),
    "posterior_interval": lambda f, new, g: f.posterior_interval(),
    "posterior_linpred": lambda f, new, g: f.posterior_linpred(new, "~0"),
    "posterior_predict": lambda f, new, g: f.posterior_predict(new),
    "posterior_predict, old rows": lambda f, new, g: f.posterior_predict(),
    "pp_check": lambda f, new, g: f.pp_check(),
    "pp_check, groups": lambda f, new, g: f.pp_check("mean", group=g),
    "pp_check_draws": lambda f, new, g: f.pp_check_draws(5),
    "predict": lambda f, new, g: f.predict(new, interval=0.9),
    "predictive_error": lambda f, new, g: f.predictive_error(),
    "predictive_interval": lambda f, new, g: f.predictive_interval(new),
    "print": lambda f, new, g: f.printed(),
    "prior_posterior": lambda f, new, g: f.prior_posterior(),
    "prior_predictive": lambda f, new, g: f.prior_predictive(20),
    "prior_sensitivity": lambda f, new, g: f.prior_sensitivity(),
    "prior_summary": lambda f, new, g: f.prior_summary(),
    "probability_above": lambda f, new, g: f.probability_above(*f.ranef()[g].index[:2], group=g),
    "proportional_change": lambda f, new, g: f.proportional_change(f),
    "r2": lambda f, new, g: f.r2(),
    "ranef": lambda f, new, g: f.ranef(sd=True),
    "reference": lambda f, new, g: f.reference(),
    "reliability": lambda f, new, g: f.reliability(),
    "report": lambda f, new, g: f.report(),
    "residual_checks": lambda f, new, g: f.residual_checks(),
    "residuals": lambda f, new, g: f.residuals(scaled=True),
    "se": lambda f, new, g: f.se(),
    "sigma": lambda f, new, g: f.sigma,
    "summary": lambda f, new, g: f.summary(),
    "table": lambda f, new, g: bm.table([f, f.reference()]),
    "tidy": lambda f, new, g: f.tidy(["fixed", "ran_pars", "ran_vals"]),
    "update": lambda f, new, g: f.update(seed=9, draws=50),
    "variance_table": lambda f, new, g: f.variance_table(profile=False),
    "varcorr": lambda f, new, g: f.varcorr(),
    "vcov": lambda f, new, g: f.vcov(),
    "vpc": lambda f, new, g: f.vpc(),
    "waic": lambda f, new, g: f.waic(),
    "with_ranef": lambda f, new, g: f.with_ranef(g).ranef()[g],
}
SLOPES = {
    "conditional_effects": lambda f, new, g: f.conditional_effects("Days"),
    "required_change": lambda f, new, g: f.required_change("Days", 10.0, newdata=new),
}
PICTURES = {
    "plot_calibration": lambda f: f.plot_calibration(),
    "plot_caterpillar": lambda f: f.plot_caterpillar(),
    "plot_check": lambda f: f.plot_check(),
    "plot_coefficients": lambda f: f.plot_coefficients(),
    "plot_energy": lambda f: f.plot_energy(),
    "plot_ppc": lambda f: f.plot_ppc(),
    "plot_icc": lambda f: f.plot_icc(),
    "plot_prior_posterior": lambda f: f.plot_prior_posterior(),
    "plot_ranks": lambda f: f.plot_ranks(),
    "plot_trace": lambda f: f.plot_trace(),
    "plot_variance": lambda f: f.plot_variance(profile=False),
}
SLOPE_PICTURES = {
    "plot_effects": lambda f: f.plot_effects("Days", groups="new"),
    "plot_ellipses": lambda f: f.plot_ellipses(),
    "plot_groups": lambda f: f.plot_groups("Days"),
    "plot_pooling_panels": lambda f: f.plot_pooling_panels(),
    "plot_shrinkage": lambda f: f.plot_shrinkage(),
    "plot_vpc": lambda f: f.plot_vpc(),
}
# Tested elsewhere: what makes, keeps or builds a fit rather than telling of it.
ELSEWHERE = {
    "median_ratio",
    "pp_check_counts",
    "draw",
    "draws",
    "model",
    "save",
    "saved",
    "printed",
    "family",
    "link",
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A fit of each model, and what is read from its file."""
    made = {}

    def get(name):
        if name not in made:
            formula, data = MODELS[name]
            fit = bm.fit(formula, bm.load_dataset(data), **SHORT)
            path = fit.save(tmp_path_factory.mktemp("fits") / "fit")
            made[name] = fit, bm.load(path)
        return made[name]

    return get


def new_rows(fit):
    """A few rows of the fit without the response, the last of a group that is new in every factor."""
    frame = fit.design.frame.drop(columns=fit.design.response).head(4).copy()
    for name in frame.select_dtypes(exclude="number"):
        frame[name] = frame[name].astype(object)
        frame.loc[3, name] = "a new one"
    return frame


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_loaded_fit_says_what_the_fresh_one_says(verb, model, pairs):
    fresh, loaded = pairs(model)
    new, group = new_rows(fresh), fresh.design.blocks[0].group
    assert_same(VERBS[verb](loaded, new, group), VERBS[verb](fresh, new, group))


@pytest.mark.parametrize("verb", SLOPES)
def test_verbs_about_a_predictor(verb, pairs):
    fresh, loaded = pairs("slope")
    new, group = new_rows(fresh), "Subject"
    assert_same(SLOPES[verb](loaded, new, group), SLOPES[verb](fresh, new, group))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_of_a_loaded_fit(picture, model, pairs):
    assert_draws(PICTURES[picture], pairs(model)[1])


@pytest.mark.parametrize("picture", SLOPE_PICTURES)
def test_pictures_of_slopes_of_a_loaded_fit(picture, pairs):
    assert_draws(SLOPE_PICTURES[picture], pairs("slope")[1])


def test_no_verb_is_forgotten():
    told = {name.partition(",")[0] for name in (*VERBS, *SLOPES, *PICTURES, *SLOPE_PICTURES)}
    public = {name for name in dir(bm.Fit) if not name.startswith("_")}
    assert public - told - ELSEWHERE == set()


def assert_draws(picture, fit):
    axes = np.ravel(np.asarray(picture(fit), dtype=object))
    assert all(ax.has_data() for ax in axes if ax.get_visible())
    axes[0].figure.canvas.draw()
    plt.close("all")


def assert_same(mine, theirs):
    """Equal to the last digit, whatever it is."""
    assert type(mine) is type(theirs)
    if isinstance(mine, dict):
        assert list(mine) == list(theirs)
        for key, value in mine.items():
            assert_same(value, theirs[key])
    elif isinstance(mine, pd.DataFrame | pd.Series):
        assert len(mine)
        (pd.testing.assert_frame_equal if mine.ndim == 2 else pd.testing.assert_series_equal)(mine, theirs)
    elif isinstance(mine, xr.DataArray):
        xr.testing.assert_identical(mine, theirs)
    elif isinstance(mine, np.ndarray):
        np.testing.assert_array_equal(mine, theirs)
    elif isinstance(mine, str | int | float):
        assert mine == theirs
    else:  # it is read
        assert str(mine) == str(theirs)
        assert "<" not in str(mine)[:1]  # a page, not the default repr
