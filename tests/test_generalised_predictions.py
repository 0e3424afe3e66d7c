"""Predictions of models of any family: the linear predictor, draw by draw, then the family's mean and draws."""

import json

import numpy as np
import pandas as pd
import pytest
from generalised import CBPP, counts, rough_fit, rstanarms_cbpp
from reference_models import REFERENCE
from scipy import integrate, stats
from scipy.special import expit, ndtr

import bayesmlm as bm
from bayesmlm.errors import BayesMLMError, DataError, FormulaError

pytestmark = pytest.mark.filterwarnings("ignore::bayesmlm.errors.DataWarning")
FORMULAS = {
    ("binomial", "logit"): "cbind(k, fails)",
    ("binomial", "probit"): "win",
    ("binomial", "cloglog"): "cbind(k, fails)",
    ("binomial", "cauchit"): "win",
    ("beta_binomial", "logit"): "cbind(k, fails)",
    ("poisson", "log"): "count",
    ("poisson", "sqrt"): "count",
    ("negativebinomial", "log"): "count",
    ("gamma", "log"): "amount",
    ("wald", "log"): "amount",
    ("gaussian", "log"): "amount",
    ("t", "identity"): "amount",
    ("lognormal", "identity"): "amount",
    ("exponential", "log"): "amount",
    ("weibull", "log"): "amount",
    ("beta", "logit"): "rate",
    ("zero_inflated_poisson", "log"): "some",
    ("zero_inflated_binomial", "logit"): "cbind(k, fails)",
    ("zero_inflated_negativebinomial", "log"): "some",
    ("hurdle_poisson", "log"): "some",
    ("hurdle_negativebinomial", "log"): "some",
    ("hurdle_gamma", "log"): "amount",
    ("hurdle_lognormal", "identity"): "amount",
}


@pytest.fixture(scope="module")
def data():
    return counts()


@pytest.fixture(scope="module")
def verbs():
    return json.loads((REFERENCE / "rstanarm_cbpp_verbs.json").read_text())


@pytest.fixture(scope="module")
def cbpp():
    return rstanarms_cbpp()


def fit(data, family, link, **given):
    centre = 2.0 if link in {"sqrt", "identity"} else 0.3
    return rough_fit(
        f"{FORMULAS[family, link]} ~ x + (1 + x | g)", data, family, link, centre=centre, **given
    )


def by_hand(fitted, data):
    """X beta + Z b of the rows of the fit, draw by draw, from the posterior's own arrays."""
    p = fitted.posterior
    index = fitted.design.blocks[0].index
    eta = p.fixef.values[0] @ np.column_stack([np.ones(len(data)), data["x"]]).T
    b = p.blocks[0].b.values[0]
    return eta + b[:, index, 0] + b[:, index, 1] * data["x"].to_numpy()


def test_expected_responses_are_rstanarms(cbpp, verbs):
    ours = cbpp.posterior_epred().values.reshape(400, 56)[:5]
    np.testing.assert_allclose(ours, verbs["epred"], atol=1e-7)
    np.testing.assert_array_equal(
        cbpp.posterior_linpred(transform=True).values, cbpp.posterior_epred().values
    )


@pytest.mark.parametrize(("family", "link"), FORMULAS)
def test_the_linear_predictor_is_x_beta_and_z_b(family, link, data):
    fitted = fit(data, family, link)
    np.testing.assert_allclose(fitted.posterior_linpred().values[0], by_hand(fitted, data))


MEANS = {
    ("binomial", "logit"): lambda eta, a: expit(eta),
    ("binomial", "probit"): lambda eta, a: ndtr(eta),
    ("poisson", "sqrt"): lambda eta, a: eta**2,
    ("negativebinomial", "log"): lambda eta, a: np.exp(eta),
    ("lognormal", "identity"): lambda eta, a: np.exp(eta + a["sigma"] ** 2 / 2),
    ("zero_inflated_poisson", "log"): lambda eta, a: a["psi"] * np.exp(eta),
    ("hurdle_poisson", "log"): lambda eta, a: a["psi"] * np.exp(eta) / -np.expm1(-np.exp(eta)),
}


def auxiliary(fitted):
    p = fitted.posterior
    found = {name: x.values[0][:, None] for name, x in p.auxiliary.items()}
    return found if p.sigma is None else found | {"sigma": p.sigma.values[0][:, None]}


@pytest.mark.parametrize(("family", "link"), MEANS)
def test_the_expected_response_is_the_familys_mean(family, link, data):
    fitted = fit(data, family, link)
    expected = MEANS[family, link](by_hand(fitted, data), auxiliary(fitted))
    np.testing.assert_allclose(fitted.posterior_epred().values[0], expected)
    np.testing.assert_allclose(fitted.fitted(), expected.mean(axis=0))
    np.testing.assert_allclose(fitted.predict(), expected.mean(axis=0))


@pytest.mark.parametrize(("family", "link"), FORMULAS)
def test_drawn_responses_have_the_expected_mean(family, link, data):
    """2,000 copies of a row, each a draw: their mean is the expected response within 4.5 standard errors."""
    fitted = fit(data, family, link)
    new = data.iloc[[3] * 2000]
    y = fitted.posterior_predict(new).values[0]
    mu = fitted.posterior_epred(new.iloc[:1]).values[0, :, 0]
    mean = y.mean(axis=1) / (data["n"].iloc[3] if "cbind" in FORMULAS[family, link] else 1)
    se = y.std(axis=1) / np.sqrt(2000) / (data["n"].iloc[3] if "cbind" in FORMULAS[family, link] else 1)
    assert (np.abs(mean - mu) < 4.5 * se + 1e-12).all()


def test_new_groups_are_averaged_over_their_distribution(data):
    """E expit(eta + z'b) over b, by an integral of SciPy's."""
    for family, link, inverse in (("binomial", "logit", expit), ("binomial", "cauchit", stats.cauchy.cdf)):
        fitted = fit(data, family, link)
        new = data.iloc[:2].assign(g="unseen")
        found = fitted.posterior_epred(new, marginal=True).values[0]
        p = fitted.posterior
        for s, row in ((0, 0), (3, 1)):
            z = np.array([1, new["x"].iloc[row]])
            eta, sd = z @ p.fixef.values[0, s], np.sqrt(z @ p.blocks[0].cov.values[0, s] @ z)
            value, _ = integrate.quad(
                lambda u, e=eta, d=sd, f=inverse: f(e + d * u) * stats.norm.pdf(u), -9, 9
            )
            assert found[s, row] == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize(
    ("family", "link", "closed"),
    [
        ("poisson", "log", lambda eta, v: np.exp(eta + v / 2)),
        ("binomial", "probit", lambda eta, v: ndtr(eta / np.sqrt(1 + v))),
        ("poisson", "sqrt", lambda eta, v: eta**2 + v),
        ("t", "identity", lambda eta, v: eta),
    ],
)
def test_averages_with_a_closed_form(family, link, closed, data):
    fitted = fit(data, family, link)
    p, x = fitted.posterior, data["x"].to_numpy()
    Z = np.column_stack([np.ones(len(x)), x])
    v = np.einsum("na,sab,nb->sn", Z, p.blocks[0].cov.values[0], Z)
    expected = closed(p.fixef.values[0] @ Z.T, v)
    np.testing.assert_allclose(
        fitted.posterior_epred(re_formula="~0", marginal=True).values[0], expected, rtol=1e-9
    )


def test_the_point_prediction_of_a_new_group_does_not_depend_on_its_name(data):
    fitted = fit(data, "poisson", "log")
    row = data.iloc[:1]
    one, two = (fitted.predict(row.assign(g=name)) for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)
    assert fitted.posterior_epred(row.assign(g="one")).values[0, 0, 0] != pytest.approx(
        fitted.posterior_epred(row.assign(g="two")).values[0, 0, 0]
    )


def test_an_inverse_link_has_no_average(data):
    fitted = rough_fit("amount ~ x + (1 | g)", data, "gamma", "inverse", size=0.05, centre=2)
    with pytest.raises(BayesMLMError, match="no mean over groups"):
        fitted.posterior_epred(re_formula="~0", marginal=True)
    assert np.isfinite(fitted.predict(data.iloc[:2].assign(g="new"))).all()


# -- trials, weights, exposure ---------------------------------------------------------------------


def test_trials_of_new_rows_come_from_the_responses_columns(data):
    fitted = fit(data, "binomial", "logit")
    new = data.iloc[:4].assign(k=0, fails=[5, 6, 7, 50])
    assert fitted.posterior_predict(new).values.max(axis=(0, 1))[3] > 12
    assert (fitted.posterior_predict(new, trials=np.array([1, 1, 2, 3])).values.max(axis=(0, 1)) <= 3).all()


def test_trials_do_not_need_the_successes_where_the_sum_does_without(cbpp):
    new = pd.DataFrame({"size": [40, 3], "period": [1, 2], "herd": ["1", "new"]})
    y = cbpp.posterior_predict(new).values
    assert y[..., 0].max() > 3
    assert y[..., 1].max() <= 3
    with pytest.raises(DataError, match="trials="):
        cbpp.posterior_predict(new.drop(columns="size"))
    assert cbpp.posterior_epred(new.drop(columns="size")).shape == (4, 100, 2)


def test_a_proportions_weights_are_its_trials(data):
    fitted = rough_fit("share ~ x + (1 | g)", data, "binomial", weights="n")
    np.testing.assert_array_equal(fitted.design.trials, data["n"])
    new = data.drop(columns="share").iloc[:3].assign(n=[1, 2, 3])
    assert (fitted.posterior_predict(new).values.max(axis=(0, 1)) <= [1, 2, 3]).all()
    given = rough_fit("share ~ x + (1 | g)", data, "binomial", weights=data["n"].to_numpy())
    with pytest.raises(DataError, match="trials="):
        given.posterior_predict(data.iloc[:3])


def test_single_trials_need_nothing(data):
    fitted = fit(data, "binomial", "probit")
    y = fitted.posterior_predict(data[["x", "g"]].iloc[:5]).values
    assert set(np.unique(y)) <= {0.0, 1.0}


@pytest.mark.parametrize("trials", ["missing", np.array([1.5]), np.array([-1.0])])
def test_trials_are_counts(trials, data):
    with pytest.raises(DataError):
        fit(data, "binomial", "logit").posterior_predict(data.iloc[:1], trials=trials)


def test_trials_are_for_binomials(data):
    with pytest.raises(DataError, match="binomial"):
        fit(data, "poisson", "log").posterior_predict(data.iloc[:2], trials=np.ones(2))


def test_exposure_of_new_rows(data):
    fitted = rough_fit("count ~ x + (1 | g)", data, "poisson", exposure="time")
    new = data.iloc[:3]
    plain = fitted.posterior_epred(new).values
    np.testing.assert_allclose(fitted.posterior_epred(new.assign(time=2 * new["time"])).values, 2 * plain)
    np.testing.assert_allclose(
        fitted.posterior_epred(new, exposure=np.ones(3)).values * new["time"].to_numpy(), plain
    )
    np.testing.assert_allclose(fitted.posterior_epred().values[..., :3], plain)
    with pytest.raises(DataError, match="exposure"):
        fitted.posterior_epred(new.drop(columns="time"))
    with pytest.raises(DataError, match="log link"):
        fit(data, "binomial", "logit").posterior_epred(new, exposure=np.ones(3))


def test_a_missing_predictor_is_a_missing_prediction(data):
    new = data.iloc[:3].assign(x=[0.1, np.nan, 0.3])
    for family, link in (("binomial", "logit"), ("poisson", "log"), ("gamma", "log")):
        fitted = fit(data, family, link)
        for values in (fitted.posterior_epred(new).values, fitted.posterior_predict(new).values):
            assert np.isnan(values[..., 1]).all()
            assert np.isfinite(values[..., [0, 2]]).all()


# -- residuals, augment ----------------------------------------------------------------------------


def test_residuals(data):
    fitted = fit(data, "binomial", "logit")
    p = expit(by_hand(fitted, data))
    share = (data["k"] / data["n"]).to_numpy()
    np.testing.assert_allclose(fitted.residuals(), share - p.mean(axis=0))
    spread = np.sqrt((p * (1 - p) / data["n"].to_numpy()).mean(axis=0))
    np.testing.assert_allclose(fitted.residuals(type="pearson"), (share - p.mean(axis=0)) / spread)
    np.testing.assert_array_equal(fitted.residuals(scaled=True), fitted.residuals(type="pearson"))
    with pytest.raises(BayesMLMError, match="pearson"):
        fitted.residuals(type="deviance")


def test_augment(data):
    fitted = fit(data, "negativebinomial", "log")
    table = fitted.augment()
    eta = by_hand(fitted, data)
    np.testing.assert_allclose(table["fitted"], eta.mean(axis=0))
    np.testing.assert_allclose(table["mu"], np.exp(eta).mean(axis=0))
    np.testing.assert_allclose(table["resid"], data["count"] - np.exp(eta).mean(axis=0))
    assert "resid" not in fitted.augment(data[["x", "g"]])


# -- categories ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["cumulative", "sratio"])
def test_ordered_categories_have_probabilities(family, data):
    fitted = rough_fit("level ~ 0 + x + (1 | g)", data, family)
    p = fitted.posterior_epred()
    assert p.dims == ("chain", "draw", "row", "category")
    assert p["category"].values.tolist() == list("abcd")
    np.testing.assert_allclose(p.sum("category"), 1)
    eta = fitted.posterior_linpred().values[0]
    cuts = fitted.posterior.auxiliary["thresholds"].values[0]
    below = expit(cuts[:, None, :] - eta[..., None])
    np.testing.assert_allclose(p.values[0, ..., 0], below[..., 0])
    if family == "cumulative":
        np.testing.assert_allclose(p.values[0, ..., 1], below[..., 1] - below[..., 0])
    else:
        np.testing.assert_allclose(p.values[0, ..., 1], (1 - below[..., 0]) * below[..., 1])
    assert set(np.unique(fitted.posterior_predict().values.astype(str))) <= set("abcd")
    assert fitted.predict().shape == (len(data), 4)
    assert fitted.predict(data.iloc[:2], interval=0.9).index.names == ["row", "category"]
    for refused in (fitted.predictive_interval, fitted.residuals):
        with pytest.raises(BayesMLMError, match="category"):
            refused()


# -- required change, transformed responses ---------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "link", "to"),
    [
        ("binomial", "logit", 0.7),
        ("poisson", "log", 5.0),
        ("gamma", "log", 2.0),
        ("binomial", "cloglog", 0.3),
    ],
)
def test_after_the_required_change_the_expected_response_is_the_target(family, link, to, data):
    """With one draw, the prediction at the required value is exactly what was wanted."""
    fitted = rough_fit(f"{FORMULAS[family, link]} ~ x + (1 | g)", data, family, link, draws=1)
    new = data.iloc[:4]
    asked = fitted.required_change("x", to=to, newdata=new)
    moved = fitted.posterior_epred(new.assign(x=asked["required_value"].to_numpy())).values
    np.testing.assert_allclose(moved, to)


def test_a_target_that_cannot_be(data):
    fitted = fit(data, "binomial", "logit")
    with pytest.raises(DataError, match="cannot become"):
        fitted.required_change("x", to=1.5)


def test_a_transformed_response_of_another_family_is_left_as_it_is(data):
    fitted = rough_fit("log(amount) ~ x + (1 | g)", data, "t")
    with pytest.raises(FormulaError, match="identity"):
        fitted.posterior_epred(back_transform=True)
    plain = fit(data, "poisson", "log")
    np.testing.assert_array_equal(plain.posterior_epred(back_transform=True), plain.posterior_epred())


def test_prior_draws_predict_too():
    fitted = bm.fit(CBPP, bm.load_dataset("cbpp"), "binomial", prior_only=True, draws=50, seed=1)
    assert (fitted.posterior_predict().values <= fitted.design.trials).all()
