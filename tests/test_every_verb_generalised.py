"""Every verb works on fits of generalised models, fresh and loaded, and says the same; or says why it does not."""

import numpy as np
import pytest
from generalised import counts, rough_fit
from test_every_verb import (
    ELSEWHERE,
    PICTURES,
    SHORT,
    SLOPE_PICTURES,
    SLOPES,
    VERBS,
    assert_draws,
    assert_same,
)

import bayesmlm as bm

pytestmark = [
    pytest.mark.filterwarnings("ignore::bayesmlm.errors.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::bayesmlm.errors.DataWarning"),
]
DATA = counts()
MODELS = {
    "binomial": ("cbind(k, fails) ~ x + (1 | g)", "binomial", {}),
    "binary, slopes": ("win ~ x + (x | g)", "binomial", {"link": "probit"}),
    "poisson, crossed": ("count ~ x + (1 | g) + (1 | h)", "poisson", {"exposure": "time"}),
    "negative binomial": ("count ~ x + (1 | g)", "negativebinomial", {}),
    "gamma": ("amount ~ x + (1 | g)", "gamma", {"link": "log", "weights": "w"}),
    "ordinal": ("level ~ x + (1 | g)", "cumulative", {}),
}
MORE = {
    "median_ratio": lambda f, new, g: f.median_ratio(),
    "pp_check_counts": lambda f, new, g: f.pp_check_counts(),
    "residuals, pearson": lambda f, new, g: f.residuals(type="pearson"),
    "vpc, response": lambda f, new, g: f.vpc(scale="response"),
    "prior_sensitivity, conditional": lambda f, new, g: f.prior_sensitivity(likelihood="conditional"),
}
OF_SLOPES = {
    "conditional_effects": lambda f, new, g: f.conditional_effects("x"),
    "required_change": lambda f, new, g: f.required_change("x", percent=-10, newdata=new),
}
# What is not defined, and a word of the reason given.
REFUSED = {
    ("binomial", "pp_check_counts"): "not a count",
    ("binary, slopes", "design_effect"): "varying intercepts",
    ("binary, slopes", "median_ratio"): "no ratios",
    ("gamma", "pp_check_counts"): "not a count",
    **{
        ("ordinal", verb): "category"
        for verb in (
            "bayes_r2",
            "calibration_table",
            "design_effect",
            "pp_check, groups",
            "predictive_error",
            "predictive_interval",
            "required_change",
            "residuals",
            "residuals, pearson",
            "vpc, response",
        )
    },
    ("ordinal", "reliability"): "not defined",
    ("ordinal", "hypothesis"): "no parameter",
}
PICTURE_REFUSED = {
    ("ordinal", "plot_calibration"): "category",
    ("ordinal", "plot_check"): "category",
    ("ordinal", "plot_groups"): "category",
    ("ordinal", "plot_energy"): "no energies",  # made by hand
    **{
        (model, picture): "by least squares"
        for model in ("binomial", "poisson, crossed", "ordinal")
        for picture in ("plot_pooling_panels", "plot_shrinkage")
    },
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A fit of each model, and what is read from its file."""
    made = {}

    def get(name):
        if name not in made:
            formula, family, given = MODELS[name]
            if family == "cumulative":  # its sampler has to be compiled
                fit = rough_fit(formula, DATA, family, draws=200)
            else:
                fit = bm.fit(formula, DATA, family, **given, **SHORT)
            path = fit.save(tmp_path_factory.mktemp("fits") / "fit")
            made[name] = fit, bm.load(path)
        return made[name]

    return get


def new_rows():
    """Rows without the response, the last of a group that is new."""
    new = DATA.head(4).drop(columns=["count", "win", "amount", "level"]).copy()
    new["g"] = new["g"].astype(object)
    new.loc[3, "g"] = "a new one"
    return new


def check(verb, call, model, pairs):
    fresh, loaded = pairs(model)
    if (model, verb) in REFUSED:
        for fit in (fresh, loaded):
            with pytest.raises(bm.BayesMLMError, match=REFUSED[model, verb]):
                call(fit, new_rows(), "g")
        return
    if model == "ordinal" and verb in {"kfold", "update", "compare", "reference", "table"}:
        pytest.skip("its sampler has to be compiled, or there is no reference fit")
    assert_same(call(loaded, new_rows(), "g"), call(fresh, new_rows(), "g"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("verb", [*VERBS, *MORE])
def test_a_loaded_fit_says_what_the_fresh_one_says(verb, model, pairs):
    check(verb, {**VERBS, **MORE}[verb], model, pairs)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("verb", SLOPES)
def test_verbs_about_a_predictor(verb, model, pairs):
    check(verb, OF_SLOPES[verb], model, pairs)


@pytest.mark.parametrize("model", ["binomial", "poisson, crossed", "ordinal"])
@pytest.mark.parametrize("picture", [*PICTURES, *SLOPE_PICTURES])
def test_pictures_of_a_loaded_fit(picture, model, pairs):
    calls = {
        **PICTURES,
        "plot_effects": lambda f: f.plot_effects("x", groups="new"),
        "plot_groups": lambda f: f.plot_groups("x"),
        "plot_pooling_panels": lambda f: f.plot_pooling_panels(),
        "plot_shrinkage": lambda f: f.plot_shrinkage(),
    }
    if picture not in calls:
        pytest.skip("about slopes that vary")
    fit = pairs(model)[1]
    if (model, picture) in PICTURE_REFUSED:
        with pytest.raises(bm.BayesMLMError, match=PICTURE_REFUSED[model, picture]):
            calls[picture](fit)
    else:
        assert_draws(calls[picture], fit)


def test_no_number_of_a_page_is_missing(pairs):
    for model in MODELS:
        fit = pairs(model)[0]
        for table in (fit.posterior_interval(), fit.tidy()[["estimate", "conf_low", "conf_high"]]):
            assert np.isfinite(table.to_numpy(dtype=float)).all()


def test_no_verb_is_forgotten():
    told = {name.partition(",")[0] for name in (*VERBS, *MORE, *SLOPES, *PICTURES, *SLOPE_PICTURES)}
    public = {name for name in dir(bm.Fit) if not name.startswith("_")}
    assert public - told - ELSEWHERE == set()
