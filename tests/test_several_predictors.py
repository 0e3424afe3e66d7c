"""Fits of models with several linear predictors: what their verbs say agrees with Bambi's own reading of the draws."""

import numpy as np
import pandas as pd
import pytest

import bayesmlm as bm
from bayesmlm.result import OF_SEVERAL, FitOfSeveral

ROWS = 60
rng = np.random.default_rng(12)
FRAME = pd.DataFrame(
    {
        "x": rng.normal(0, 1, ROWS),
        "z": rng.normal(0, 1, ROWS),
        "g": rng.choice(list("pqrs"), ROWS),
        "y": rng.normal(3, 2, ROWS),
        "count": rng.poisson(2, ROWS),
        "how": rng.choice(["bus", "car", "foot"], ROWS),
    }
)
TIGHT = {"fixed": bm.normal(0, 0.3), "covariance": bm.decov(scale=0.3)}
MODELS = {
    "sigma": (
        bm.formula("y ~ x + (1 | g)", sigma="~ z + (1 | g)"),
        "gaussian",
        {
            **TIGHT,
            "sigma": {"z": bm.normal(0, 0.3), "(Intercept)": bm.normal(1, 0.3), "g": bm.half_normal(0.5)},
        },
    ),
    "psi": (
        bm.formula("count ~ x + (1 | g)", psi="~ z"),
        "zero_inflated_poisson",
        {**TIGHT, "(Intercept)": bm.normal(0, 1), "psi": {"fixed": bm.normal(0, 0.5)}},
    ),
    "categories": ("how ~ x + (x | g)", "categorical", TIGHT),
}
PARENTS = {"sigma": "mu", "psi": "mu", "categories": "p"}


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Draws from the prior, which have the posterior's schema: nothing is compiled for them."""
    made = {}

    def get(name):
        if name not in made:
            formula, family, priors = MODELS[name]
            settings = {"seed": 2, "chains": 2, "draws": 50, "progress": False}
            made[name] = bm.fit(formula, FRAME, family, priors=priors, prior_only=True, **settings)
        return made[name]

    return get


def bambi_log_likelihood(fit):
    found = fit.model.compute_log_likelihood(fit.draws, inplace=False)["log_likelihood"].to_dataset()
    (values,) = found.data_vars.values()
    return values.values


@pytest.mark.parametrize("name", MODELS)
def test_log_likelihood_is_bambis(name, fits):
    fit = fits(name)
    np.testing.assert_allclose(fit.log_lik().values, bambi_log_likelihood(fit), rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_expected_responses_are_bambis(name, fits):
    fit = fits(name)
    predicted = fit.model.predict(fit.draws, inplace=False)["posterior"]
    wanted = predicted[PARENTS[name]].values
    if name == "psi":
        wanted = wanted * predicted["psi"].values
    np.testing.assert_allclose(fit.posterior_epred().values, wanted, rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_new_rows_of_known_groups_are_those_of_the_fit(name, fits):
    fit = fits(name)
    new = FRAME[["x", "z", "g"]].iloc[[7, 3, 50]]
    np.testing.assert_allclose(
        fit.posterior_epred(new).values, fit.posterior_epred().values[:, :, [7, 3, 50]], rtol=1e-12
    )


def test_responses_have_their_own_sigma(fits):
    """Of very many replicates of a row, the standard deviation in a draw is the draw's sigma in that row."""
    fit = fits("sigma")
    many = FRAME[["x", "z", "g"]].iloc[[5] * 4000 + [9] * 4000]
    drawn = fit.posterior_predict(many).values.reshape(100, 2, 4000)
    sigma = fit.model.predict(fit.draws, inplace=False)["posterior"]["sigma"].values[:, :, [5, 9]]
    ratio = drawn.std(axis=2) / sigma.reshape(100, 2)
    assert np.abs(ratio - 1).max() < 5 / np.sqrt(2 * 4000)


def test_new_groups_have_independent_effects_on_every_predictor(fits):
    fit = fits("sigma")
    new = FRAME[["x", "z", "g"]].iloc[:1].assign(g="new")
    eta = fit.posterior_linpred(new).values.ravel() - fit.posterior_linpred(new, "~0").values.ravel()
    sd = fit.posterior.blocks[0].sd.values.ravel()
    assert 0.7 < np.std(eta / sd) < 1.4  # 100 standard normal numbers
    drawn = fit.posterior_predict(pd.concat([new] * 2000)).values.reshape(100, 2000)
    part = fit.posterior.part("sigma")
    known = part.fixef.values.reshape(100, 2) @ np.array([1.0, float(new["z"].iloc[0])])
    own = (np.log(drawn.std(axis=1)) - known) / part.blocks[0].sd.values.ravel()
    assert abs(np.corrcoef(eta / sd, own)[0, 1]) < 4 / np.sqrt(100)


def test_parameters_are_named_as_in_brms(fits):
    fit = fits("sigma")
    assert list(fit.fixef().index) == ["(Intercept)", "x", "sigma_(Intercept)", "sigma_z"]
    assert [b.label for b in fit.posterior.whole.blocks] == ["g", "sigma: g"]
    assert fit.sigma is None
    text = str(fit)
    assert "y ~ x + (1 | g), sigma ~ z + (1 | g)" in text
    assert "sigma_z" in text
    assert "sigma: g" in text
    fit = fits("categories")
    assert list(fit.fixef().index) == ["mucar_(Intercept)", "mucar_x", "mufoot_(Intercept)", "mufoot_x"]
    assert [b.label for b in fit.posterior.whole.blocks] == ["mucar: g", "mufoot: g"]
    assert fit.posterior_linpred()["category"].values.tolist() == ["car", "foot"]
    assert fit.posterior_epred()["category"].values.tolist() == ["bus", "car", "foot"]
    np.testing.assert_allclose(fit.fitted().sum(axis=1), 1)


def test_convergence_is_that_of_all_predictors(fits):
    frame = fits("psi").diagnostics().frame
    assert {"psi_(Intercept)", "psi_z"} <= set(frame.index)


def test_priors_of_every_predictor_are_listed(fits):
    text = str(fits("sigma").prior_summary())
    assert "log(sigma):" in text
    assert "sigma: g ~ lkj" in text
    assert "ICC" not in text
    assert "every category of how but the first" in str(fits("categories").prior_summary())


@pytest.mark.parametrize("name", MODELS)
def test_verbs_about_one_predictor_are_refused(name, fits):
    fit = fits(name)
    assert isinstance(fit, FitOfSeveral)
    for verb in ("icc", "r2", "compare", "coef", "bayes_r2", "hypothesis", "plot_shrinkage"):
        assert verb not in OF_SEVERAL
        with pytest.raises(bm.BayesMLMError, match=f"{verb}\\(\\) is about one linear predictor"):
            getattr(fit, verb)()
    assert set(dir(bm.Fit)) >= OF_SEVERAL


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded(name, fits, tmp_path):
    fit = fits(name)
    again = bm.load(fit.save(tmp_path / "fit"))
    assert isinstance(again, FitOfSeveral)
    assert again.formula == fit.formula
    assert str(again) == str(fit)
    assert list(again.posterior.others) == list(fit.posterior.others)
    np.testing.assert_array_equal(again.log_lik().values, fit.log_lik().values)
    assert again.priors == fit.priors


def test_what_has_no_meaning_is_refused(fits):
    fit = fits("sigma")
    new = FRAME[["x", "z", "g"]].iloc[:2]
    with pytest.raises(bm.DataError, match="marginal=True"):
        fit.posterior_epred(new, "~0", marginal=True)
    with pytest.raises(bm.DataError, match="several"):
        fit.loo("g")
    with pytest.raises(bm.SamplingError, match="keep_ranef"):
        bm.fit("how ~ x + (1 | g)", FRAME, "categorical", keep_ranef=False, progress=False)


def test_an_update_keeps_the_other_formulas(fits):
    fit = fits("sigma")
    again = fit.update(". ~ . + z", priors=None)
    assert again.formula == "y ~ x + z + (1 | g), sigma ~ z + (1 | g)"
    assert list(again.posterior.others) == ["sigma"]
