"""Shares of the variance of generalised models: on the scale of the link, and of the response."""

import json

import numpy as np
import pytest
from generalised import CBPP, counts, rough_fit, rstanarms_cbpp
from reference_models import REFERENCE
from scipy import integrate, stats
from scipy.special import expit, ndtr, polygamma

import bayesmlm as bm
from bayesmlm.errors import BayesMLMError, DataError
from bayesmlm.link_scale import residual_draws_on_link
from bayesmlm.variance import approximations, variance_parts

pytestmark = pytest.mark.filterwarnings("ignore::bayesmlm.errors.DataWarning")


@pytest.fixture(scope="module")
def data():
    return counts()


@pytest.fixture(scope="module")
def cbpp():
    return rstanarms_cbpp()


# -- Bayesian R2 -----------------------------------------------------------------------------------


def test_bayesian_r2_of_a_binomial_is_rstanarms(cbpp):
    verbs = json.loads((REFERENCE / "rstanarm_cbpp_verbs.json").read_text())
    draws = cbpp.bayes_r2(summary=False).values.ravel()
    np.testing.assert_allclose(draws[:50], verbs["r2"], atol=1e-7)
    assert (draws.mean(), draws.std(ddof=1)) == pytest.approx(verbs["r2_all"], abs=1e-7)


def test_bayesian_r2_is_variance_of_the_mean_over_itself_and_the_mean_variance(data):
    fitted = rough_fit("count ~ x + (1 | g)", data, "negativebinomial")
    mu = fitted.posterior_epred().values[0]
    k = fitted.posterior.auxiliary["reciprocal_dispersion"].values[0][:, None]
    fit = mu.var(axis=1, ddof=1)
    expected = fit / (fit + (mu + mu**2 / k).mean(axis=1))
    np.testing.assert_allclose(fitted.bayes_r2(summary=False).values.ravel(), expected)


def test_rows_count_as_often_as_their_weight_in_r2(data):
    weighted = rough_fit("count ~ x + (1 | g)", data, "poisson", weights="w")
    repeated = data.loc[data.index.repeat(data["w"])]
    plain = rough_fit("count ~ x + (1 | g)", repeated, "poisson")
    same = np.array_equal(plain.posterior.fixef, weighted.posterior.fixef)
    assert same
    np.testing.assert_allclose(
        weighted.bayes_r2(summary=False).values, plain.bayes_r2(summary=False).values, rtol=1e-10
    )


# -- the scale of the link -------------------------------------------------------------------------


def parts_of(fitted):
    p = fitted.posterior
    beta, cov = p.fixef.values[0], p.blocks[0].cov.values[0]
    return beta, cov


@pytest.mark.parametrize(
    ("link", "expected"), [("logit", np.pi**2 / 3), ("probit", 1.0), ("cloglog", np.pi**2 / 6)]
)
def test_latent_residuals_of_binomials(link, expected, data):
    fitted = rough_fit("cbind(k, fails) ~ x + (1 | g)", data, "binomial", link)
    np.testing.assert_allclose(residual_draws_on_link(fitted.design, fitted.posterior), expected)
    v = parts_of(fitted)[1][:, 0, 0]
    np.testing.assert_allclose(fitted.icc(summary=False).values.ravel(), v / (v + expected))


def test_nakagawas_equations_for_a_log_link_without_predictors(data):
    """lambda = exp(beta_0 + tau^2 / 2), and Table 1 of Nakagawa, Johnson & Schielzeth (2017)."""
    for family, extra in (
        ("poisson", None),
        ("negativebinomial", "reciprocal_dispersion"),
        ("gamma", "shape"),
    ):
        response = "amount" if family == "gamma" else "count"
        fitted = rough_fit(f"{response} ~ 1 + (1 | g)", data, family, "log")
        beta, cov = parts_of(fitted)
        level = np.exp(beta[:, 0] + cov[:, 0, 0] / 2)
        theta = fitted.posterior.auxiliary[extra].values[0] if extra else np.inf
        relative = 1 / theta if family == "gamma" else 1 / level + 1 / theta
        for approximation, expected in (
            ("delta", relative),
            ("lognormal", np.log1p(relative)),
            ("trigamma", polygamma(1, 1 / relative)),
        ):
            found = residual_draws_on_link(fitted.design, fitted.posterior, approximation)
            np.testing.assert_allclose(found, expected)
        r2 = fitted.r2(summary=False, approximation="trigamma").values[0]
        np.testing.assert_allclose(r2[:, 0], 0, atol=1e-12)
        v = cov[:, 0, 0]
        np.testing.assert_allclose(r2[:, 1], v / (v + polygamma(1, 1 / relative)))
        default = residual_draws_on_link(fitted.design, fitted.posterior)
        np.testing.assert_allclose(default, np.log1p(relative))


def test_delta_of_a_binomial_is_one_over_p_q(data):
    fitted = rough_fit("cbind(k, fails) ~ 1 + (1 | g)", data, "binomial")
    beta, cov = parts_of(fitted)
    for s in (0, 3):
        p, _ = integrate.quad(
            lambda u, s=s: expit(beta[s, 0] + np.sqrt(cov[s, 0, 0]) * u) * stats.norm.pdf(u), -9, 9
        )
        found = residual_draws_on_link(fitted.design, fitted.posterior, "delta")[s]
        assert found == pytest.approx(1 / (p * (1 - p)), rel=1e-7)


def test_the_level_is_that_of_the_rows_with_their_exposure(data):
    fitted = rough_fit("count ~ x + (1 | g)", data, "poisson", exposure="time")
    beta, cov = parts_of(fitted)
    mu = np.exp(beta @ fitted.design.X.T + cov[:, :1, 0] / 2) * data["time"].to_numpy()
    found = residual_draws_on_link(fitted.design, fitted.posterior, "delta")
    np.testing.assert_allclose(found, 1 / mu.mean(axis=1))


def test_one_effect_per_row_is_overdispersion_not_between_groups(data):
    numbered = data.assign(row=np.arange(len(data)))
    fitted = rough_fit("count ~ x + (1 | g) + (1 | row)", numbered, "poisson")
    p = fitted.posterior
    at = {b.label: b.cov.values[0, :, 0, 0] for b in p.blocks}
    residual = residual_draws_on_link(fitted.design, p)
    expected = at["g"] / (at["g"] + at["row"] + residual)
    np.testing.assert_allclose(fitted.icc(False, summary=False).values[0, :, 0], expected)
    assert fitted.icc().index.tolist() == ["g"]
    np.testing.assert_allclose(fitted.icc(summary=False).values[0, :, 0], expected)


def test_one_estimate_and_many_draws_are_computed_alike(data):
    fitted = rough_fit("cbind(k, fails) ~ x + (x | g)", data, "binomial")
    beta, cov = parts_of(fitted)
    one = variance_parts(fitted.design, beta[2], [cov[2]], None)
    draws = fitted.r2(summary=False).values[0, 2]
    assert [float(one.marginal_r2), float(one.conditional_r2)] == pytest.approx(draws.tolist())


def test_families_say_which_approximations_they_have(data):
    fitted = rough_fit("count ~ x + (1 | g)", data, "poisson", "sqrt", centre=2)
    assert approximations(fitted.design.family) == ("delta",)
    np.testing.assert_allclose(residual_draws_on_link(fitted.design, fitted.posterior), 0.25)
    with pytest.raises(BayesMLMError, match="'delta'"):
        fitted.icc(approximation="latent")
    ordered = rough_fit("level ~ 0 + x + (1 | g)", data, "sratio")
    with pytest.raises(BayesMLMError, match="no residual variance"):
        ordered.r2()


def test_gaussian_and_t_models_keep_their_own(data):
    plain = rough_fit("amount ~ x + (1 | g)", data, "gaussian")
    np.testing.assert_allclose(
        residual_draws_on_link(plain.design, plain.posterior), plain.posterior.sigma.values.ravel() ** 2
    )
    heavy = rough_fit("amount ~ x + (1 | g)", data, "t")
    sigma, nu = heavy.posterior.sigma.values.ravel(), heavy.posterior.auxiliary["nu"].values.ravel()
    np.testing.assert_allclose(
        residual_draws_on_link(heavy.design, heavy.posterior), sigma**2 * nu / (nu - 2)
    )
    logged = rough_fit("amount ~ 1 + (1 | g)", data, "gaussian", "log")
    beta, cov = parts_of(logged)
    level = np.exp(beta[:, 0] + cov[:, 0, 0] / 2)
    np.testing.assert_allclose(
        residual_draws_on_link(logged.design, logged.posterior),
        np.log1p(logged.posterior.sigma.values.ravel() ** 2 / level**2),
    )


def test_hypotheses_about_an_icc_are_about_this_one(data):
    fitted = rough_fit("count ~ x + (1 | g)", data, "poisson", draws=40)
    median = fitted.icc().loc["g", "Median"]
    assert fitted.hypothesis("icc_g > 0").frame["estimate"].iloc[0] == pytest.approx(median)


# -- the response itself ---------------------------------------------------------------------------


def test_the_response_of_a_new_row_is_divided_by_simulation(data):
    """Goldstein, Browne & Rasbash (2002, method B): simulate groups, and compare variances."""
    fitted = rough_fit("win ~ x + (1 | g)", data, "binomial", draws=200)
    fitted.posterior.fixef[...] = [0.4, 0.5]
    fitted.posterior.blocks[0].sd[...] = 1.3
    new = data.iloc[:1].assign(x=1.0)
    found = fitted.vpc(new, scale="response")
    p = expit(0.9 + 1.3 * np.random.default_rng(1).normal(size=400_000))
    assert found["variance"].tolist() == pytest.approx([p.var(), (p * (1 - p)).mean()], rel=0.01)
    assert found["group"].tolist() == ["g", "Residual"]


def test_a_poisson_response_has_closed_forms(data):
    """Var mu = M^2 (exp(v) - 1), E V = M; of two blocks the first order parts and their product."""
    fitted = rough_fit("count ~ 1 + (1 | g) + (1 | h)", data, "poisson")
    p = fitted.posterior
    sd = {b.label: b.sd.values[0, :, 0] for b in p.blocks}
    level = np.exp(p.fixef.values[0, :, 0] + sum(s**2 for s in sd.values()) / 2)
    grow = {name: np.expm1(s**2) for name, s in sd.items()}
    table = fitted.vpc(scale="response").set_index("group")["variance"]
    for name, more in grow.items():
        assert table[name] == pytest.approx(np.median(level**2 * more), rel=1e-6)
    both = np.median(level**2 * grow["g"] * grow["h"])
    assert table["(joint)"] == pytest.approx(both, rel=1e-6)
    assert table["Residual"] == pytest.approx(np.median(level), rel=1e-8)


def test_points_of_the_response_partition(data):
    fitted = rough_fit("win ~ x + (x | g)", data, "binomial", "probit")
    table = fitted.vpc({"x": [-1, 0, 2]}, scale="response")
    assert table["x"].tolist() == [-1, -1, 0, 0, 2, 2]
    beta, cov = parts_of(fitted)
    z = np.array([1, 2])
    v = z @ cov @ z
    mean = ndtr(beta @ z / np.sqrt(1 + v))
    total = mean * (1 - mean)  # of a 0 or 1
    found = table[table["x"] == 2]
    both = fitted.vpc({"x": 2}, scale="response")
    assert both["variance"].tolist() == found["variance"].tolist()
    from bayesmlm.response_partition import _points, response_variances

    draws = response_variances(fitted.design, fitted.posterior, _points(fitted.design, {"x": 2})[1])
    np.testing.assert_allclose(draws[:, 0].sum(axis=1), total)


def test_what_cannot_be_divided(data):
    fitted = rough_fit("level ~ 0 + x + (1 | g)", data, "cumulative")
    assert fitted.icc()["Median"].between(0, 1).all()
    with pytest.raises(BayesMLMError, match="category"):
        fitted.vpc(scale="response")
    with pytest.raises(BayesMLMError, match="scale"):
        fitted.vpc(scale="latent")
    with pytest.raises(DataError, match="does not use"):
        rough_fit("win ~ x + (1 | g)", data, "binomial").vpc({"z": 1}, scale="response")


def test_median_odds_ratios(data):
    fitted = rough_fit("win ~ x + (1 | g)", data, "binomial", draws=40)
    sd = fitted.posterior.blocks[0].sd.values[0, :, 0]
    rng = np.random.default_rng(2)
    a, b = sd[0] * rng.normal(size=(2, 400_000))
    one = np.exp(np.sqrt(2) * stats.norm.ppf(0.75) * sd[0])
    assert np.median(np.exp(np.abs(a - b))) == pytest.approx(one, rel=0.01)  # what it means
    table = fitted.median_ratio()
    assert table["ratio"].tolist() == ["odds"]
    expected = np.median(np.exp(np.sqrt(2) * stats.norm.ppf(0.75) * sd))
    assert table["Median"].iloc[0] == pytest.approx(expected)
    with pytest.raises(BayesMLMError, match="no ratios"):
        rough_fit("win ~ x + (1 | g)", data, "binomial", "probit").median_ratio()


def test_design_effects_are_about_the_response(data):
    fitted = rough_fit("win ~ 1 + (1 | g)", data, "binomial", draws=60)
    table = fitted.design_effect()
    share = fitted.vpc(scale="response").set_index("group").loc["g", "share"]
    assert table["icc"].iloc[0] == pytest.approx(share)
    assert table["design_effect"].iloc[0] == pytest.approx(1 + 6 * share)
    with pytest.raises(BayesMLMError, match="varying intercepts"):
        rough_fit("win ~ x + (x | g)", data, "binomial").design_effect()


def test_changes_in_variance_are_of_group_effects_of_one_family(data):
    large = rough_fit("count ~ x + (1 | g)", data, "poisson", draws=40)
    small = rough_fit("count ~ 1 + (1 | g)", data, "poisson", draws=40)
    assert large.pcv(small)["group"].tolist() == ["g"]
    other = rough_fit("count ~ 1 + (1 | g)", data, "negativebinomial", draws=40)
    with pytest.raises(DataError, match="different scales"):
        large.pcv(other)


# -- reference fits --------------------------------------------------------------------------------


def test_shares_of_glmer_fits(data):
    herds = bm.glmer(CBPP, bm.load_dataset("cbpp"), family="binomial")
    v = float(herds.estimate.varcorr.blocks[0].sd[0] ** 2)
    assert v == pytest.approx(0.4122465777774, rel=1e-3)  # lme4's
    assert herds.icc()["herd"] == pytest.approx(v / (v + np.pi**2 / 3))
    fixed = (herds.design.X @ herds.estimate.beta).var(ddof=1)
    total = fixed + v + np.pi**2 / 3
    assert herds.r2().tolist() == pytest.approx([fixed / total, (fixed + v) / total])
    assert herds.icc(False).tolist() == pytest.approx([v / (v + np.pi**2 / 3), v / total])
    gamma = bm.glmer("amount ~ 1 + (1 | g)", data, family="Gamma(log)")
    v = float(gamma.estimate.varcorr.blocks[0].sd[0] ** 2)
    assert gamma.icc(approximation="delta")["g"] == pytest.approx(v / (v + gamma.sigma**2))
