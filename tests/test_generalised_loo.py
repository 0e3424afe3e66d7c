"""Densities of rows and groups of models of any family, and the cross-validation made of them."""

import json

import numpy as np
import pytest
from generalised import counts, rough_fit, rstanarms_cbpp
from reference_models import REFERENCE
from scipy import integrate, stats
from scipy.special import expit

import bayesmlm as bm
from bayesmlm.errors import DataError
from bayesmlm.folds import grouping, leave_out
from bayesmlm.group_density import joint_log_density
from bayesmlm.integrals import joint_integral, unit_log_density
from bayesmlm.left_out import long_draws, row_log_density, rows_by_group, rows_of_fit

pytestmark = [
    pytest.mark.filterwarnings("ignore::bayesmlm.errors.DataWarning"),
    pytest.mark.filterwarnings("ignore::bayesmlm.errors.ConvergenceWarning"),
]


@pytest.fixture(scope="module")
def data():
    return counts()


@pytest.fixture(scope="module")
def cbpp():
    return rstanarms_cbpp()


@pytest.fixture(scope="module")
def verbs():
    return json.loads((REFERENCE / "rstanarm_cbpp_verbs.json").read_text())


# -- against rstanarm ------------------------------------------------------------------------------


def test_log_likelihoods_are_rstanarms(cbpp, verbs):
    np.testing.assert_allclose(cbpp.log_lik().values.reshape(400, 56)[:5], verbs["log_lik"], atol=2e-7)


def test_loo_and_waic_are_those_of_package_loo(cbpp, verbs):
    loo, waic = cbpp.loo(), cbpp.waic()
    assert (waic.elpd, waic.se) == pytest.approx(verbs["waic"], abs=1e-4)
    # r_eff is estimated differently, on which the smoothing of the tails depends a little
    assert loo.elpd == pytest.approx(verbs["elpd"][0], abs=0.2)
    assert loo.se == pytest.approx(verbs["elpd"][1], abs=0.1)
    assert loo.p == pytest.approx(verbs["p"][0], abs=0.2)


# -- rows ------------------------------------------------------------------------------------------


def test_rows_have_the_density_of_their_family(data):
    fitted = rough_fit("count ~ x + (1 | g)", data, "negativebinomial")
    mu = fitted.posterior_epred().values[0]
    k = fitted.posterior.auxiliary["reciprocal_dispersion"].values[0][:, None]
    expected = stats.nbinom.logpmf(data["count"], k, k / (k + mu))
    np.testing.assert_allclose(fitted.log_lik().values[0], expected)


def test_weights_multiply_log_densities_except_of_gaussians(data):
    for family, response in (("poisson", "count"), ("gamma", "amount")):
        plain = rough_fit(f"{response} ~ x + (1 | g)", data, family, "log")
        weighted = rough_fit(f"{response} ~ x + (1 | g)", data, family, "log", weights="w")
        np.testing.assert_allclose(weighted.log_lik().values, plain.log_lik().values * data["w"].to_numpy())
    fitted = rough_fit("amount ~ x + (1 | g)", data, "gaussian", "log", weights="w")
    sigma = fitted.posterior.sigma.values[0][:, None] / np.sqrt(data["w"].to_numpy())
    expected = stats.norm.logpdf(data["amount"], fitted.posterior_epred().values[0], sigma)
    np.testing.assert_allclose(fitted.log_lik().values[0], expected)


def test_ordered_categories(data):
    fitted = rough_fit("level ~ 0 + x + (1 | g)", data, "cumulative")
    p = fitted.posterior_epred().values[0]
    code = data["level"].cat.codes.to_numpy()
    expected = np.log(np.take_along_axis(p, np.broadcast_to(code, p.shape[:2])[..., None], -1))[..., 0]
    np.testing.assert_allclose(fitted.log_lik().values[0], expected)


# -- integrals -------------------------------------------------------------------------------------

LIKELIHOODS = {  # of a linear predictor: many successes, all failures, a flat one, counts, heavy tails
    "sharp": lambda eta: stats.binom.logpmf(800, 1000, expit(eta)),
    "one-sided": lambda eta: 4 * np.log1p(-expit(eta)),
    "flat": lambda eta: np.zeros_like(eta),
    "counts": lambda eta: stats.poisson.logpmf(7, np.exp(eta)),
    "heavy": lambda eta: stats.t.logpdf(eta, 3, 2, 0.1),
}


@pytest.mark.parametrize("sd", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_an_effect_is_integrated_out(name, sd):
    f, eta = LIKELIHOODS[name], 0.7
    u = np.linspace(-9, 9, 400_001)
    exponent = f(eta + sd * u) - u**2 / 2 - 0.5 * np.log(2 * np.pi)
    expected = np.log(integrate.simpson(np.exp(exponent - exponent.max()), x=u)) + exponent.max()
    one = np.ones((1, 1))
    assert unit_log_density(f, eta * one, sd * one)[0, 0] == pytest.approx(expected, abs=2e-6)


def test_several_effects_are_integrated_out_without_bias():
    """A Gaussian likelihood, whose integral is known: 500 draws, their mean within 4 standard errors and 0.01."""
    rng = np.random.default_rng(3)
    A, y = rng.normal(size=(9, 4)), rng.normal(size=9)
    V = 0.25 * np.eye(9) + A @ A.T
    expected = stats.multivariate_normal.logpdf(y, np.zeros(9), V)
    found = joint_integral(
        lambda eta: stats.norm.logpdf(y, eta, 0.5), np.zeros((500, 9)), np.broadcast_to(A, (500, 9, 4))
    )
    error = np.exp(found - expected) - 1
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(500) + 1e-12
    assert error.std() < 0.1


def test_too_many_effects_are_refused():
    with pytest.raises(DataError, match="kfold"):
        joint_integral(lambda eta: -(eta**2), np.zeros((2, 3)), np.zeros((2, 3, 500)))


def test_a_group_of_gaussian_rows_by_quadrature_is_the_exact_one():
    """The general integral of a linear mixed model's likelihood against the closed form by Woodbury's identity."""
    data = bm.load_dataset("sleepstudy")
    for formula, tolerance in (
        ("Reaction ~ Days + (1 | Subject)", 1e-7),
        ("Reaction ~ Days + (Days | Subject)", 0.2),
    ):
        fitted = rough_fit(formula, data, "gaussian", size=1.0, centre=250)
        fitted.posterior.sigma[...] = 30.0
        rows, draws = rows_of_fit(fitted.design), long_draws(fitted.design, fitted.posterior)
        part = next(rows_by_group(rows, fitted.design.blocks[0].index))
        exact = joint_log_density(part, draws)
        general = type(part)(
            part.y, part.X, part.offset, part.weights, part.blocks, type(part.family)("t", "identity")
        )
        # t with so many degrees of freedom is the normal
        heavy = type(draws)(draws.beta, draws.sigma, draws.b, draws.cov, {"nu": np.full(len(draws), 1e9)})
        np.testing.assert_allclose(joint_log_density(general, heavy), exact, atol=tolerance)


def test_a_left_out_group_is_integrated_out(data):
    """log E prod_i p(y_i | eta_i + sd u), by an integral of SciPy's."""
    fitted = rough_fit("cbind(k, fails) ~ x + (1 | g)", data, "binomial")
    p, design = fitted.posterior, fitted.design
    rows = rows_of_fit(design)
    draws = long_draws(design, p)
    for j, part in enumerate(rows_by_group(rows, design.blocks[0].index)):
        at = design.blocks[0].index == j
        found = joint_log_density(part, draws)
        for s in (0, 4):
            eta = design.X[at] @ p.fixef.values[0, s]
            sd = p.blocks[0].sd.values[0, s, 0]

            def integrand(u, eta=eta, sd=sd, at=at):
                chance = stats.binom.pmf(design.y[at], design.trials[at], expit(eta + sd * u))
                return np.prod(chance) * stats.norm.pdf(u)

            value, _ = integrate.quad(integrand, -9, 9, limit=200, epsabs=0, epsrel=1e-9)
            assert found[s] == pytest.approx(np.log(value), abs=1e-6)


def test_nested_levels_of_a_left_out_group_are_integrated_out_too(data):
    """Classes in a school: sampling 40,000 effects from their prior agrees within 4 standard errors."""
    fitted = rough_fit("count ~ x + (1 | g / h)", data, "poisson", size=0.25, draws=4)
    design, p = fitted.design, fitted.posterior
    p.fixef[...] = [0.7, 0.3]
    for block, sd in zip(p.blocks, (0.3, 0.6), strict=True):
        block.sd[...] = sd
    rows, draws = rows_of_fit(design), long_draws(fitted.design, p)
    group = grouping(design, "g")
    part = next(rows_by_group(rows, group.index))
    assert sum(int(b.new.max()) + 1 for b in part.blocks) > 2
    found = joint_log_density(part, draws)
    rng = np.random.default_rng(5)
    for s in range(4):
        eta = part.X @ p.fixef.values[0, s] + np.zeros((40_000, len(part)))
        for block, own in zip(part.blocks, p.blocks, strict=True):
            effect = own.sd.values[0, s, 0] * rng.normal(size=(40_000, int(block.new.max()) + 1))
            eta += effect[:, block.new]
        density = np.exp(stats.poisson.logpmf(part.y, np.exp(eta)).sum(axis=1))
        error = density.std() / density.mean() / np.sqrt(len(density))
        assert found[s] == pytest.approx(np.log(density.mean()), abs=4 * error + 0.02)


# -- verbs -----------------------------------------------------------------------------------------


def test_leaving_groups_out(cbpp):
    found = cbpp.loo("herd")
    assert len(found.pointwise) == 15
    rows = cbpp.loo()
    assert found.elpd != pytest.approx(rows.elpd, abs=0.5)


def test_folds_read_the_response_as_the_fit_did(data):
    held = np.array([0, 9, 30])
    for formula, family, given in (
        ("cbind(k, fails) ~ x + (1 | g)", "binomial", {}),
        ("share ~ x + (1 | g)", "binomial", {"weights": "n"}),
        ("win ~ x + (1 | g)", "binomial", {}),
        ("count ~ x + (1 | g)", "poisson", {"exposure": "time"}),
        ("amount ~ x + (1 | g)", "gamma", {"weights": "w"}),
        ("level ~ 0 + x + (1 | g)", "cumulative", {}),
    ):
        design = rough_fit(formula, data, family, **given).design
        split = leave_out(design, held)
        assert split.design.family == design.family
        np.testing.assert_array_equal(split.rows.y, design.y[held])
        np.testing.assert_allclose(split.rows.offset, 0 if design.offset is None else design.offset[held])
        np.testing.assert_array_equal(
            split.rows.weights, 1 if design.weights is None else design.weights[held]
        )
        if design.trials is not None:
            np.testing.assert_array_equal(split.rows.trials, design.trials[held])
            assert len(split.design.trials) == len(data) - 3


def test_a_category_that_only_left_out_rows_have(data):
    codes = np.zeros(len(data), dtype=int)
    codes[:5], codes[5:20] = 2, 1
    design = rough_fit("kind ~ 0 + x + (1 | g)", data.assign(kind=codes), "cumulative").design
    with pytest.raises(DataError, match="categor"):
        leave_out(design, np.arange(5))


def test_left_out_rows_of_new_groups_average_over_them(data):
    fitted = rough_fit("count ~ x + (1 | g)", data, "poisson")
    split = leave_out(fitted.design, np.flatnonzero(data["g"] == "g3"))
    again = rough_fit("count ~ x + (1 | g)", data[data["g"] != "g3"], "poisson")
    found = row_log_density(split.rows, long_draws(split.design, again.posterior))
    p = again.posterior
    for s, i in ((0, 0), (5, 4)):
        eta, sd = split.rows.X[i] @ p.fixef.values[0, s], p.blocks[0].sd.values[0, s, 0]
        value, _ = integrate.quad(
            lambda u, e=eta, d=sd, y=split.rows.y[i]: (
                stats.poisson.pmf(y, np.exp(e + d * u)) * stats.norm.pdf(u)
            ),
            -9,
            9,
        )
        assert found[s, i] == pytest.approx(np.log(value), abs=1e-7)


def test_counts_and_continuous_models_are_not_compared(data):
    discrete = rough_fit("count ~ x + (1 | g)", data, "poisson", draws=120)
    continuous = rough_fit("count ~ x + (1 | g)", data, "gaussian", draws=120)
    with pytest.raises(DataError, match="different units"):
        bm.loo_compare(discrete, continuous)
    other = rough_fit("count ~ x + (1 | g)", data, "negativebinomial", draws=120)
    assert len(bm.loo_compare(discrete, other).frame) == 2


def test_checks_of_a_binomial_are_about_shares(cbpp):
    table = cbpp.pp_check()
    share = cbpp.design.y / cbpp.design.trials
    assert table.set_index("stat")["y"].to_dict() == pytest.approx(
        {"mean": share.mean(), "sd": share.std(ddof=1), "min": share.min(), "max": share.max()}
    )
    assert (table["conf_low"] <= table["y"]).all()
    by_period = cbpp.pp_check("zeros", group="period")
    assert by_period["y"].tolist() == [
        (share[cbpp.design.frame["period"].astype(str) == level] == 0).mean() for level in by_period["level"]
    ]


def test_checks_of_categories_are_about_the_share_of_each(data):
    fitted = rough_fit("level ~ 0 + x + (1 | g)", data, "cumulative", draws=40)
    table = fitted.pp_check()
    assert table["stat"].tolist() == ["P(a)", "P(b)", "P(c)", "P(d)"]
    assert table["y"].sum() == pytest.approx(1)
    with pytest.raises(DataError, match="category"):
        fitted.pp_check("mean")


def test_replicated_data_are_counts(data):
    fitted = rough_fit("count ~ x + (1 | g)", data, "negativebinomial")
    y = fitted.pp_check_draws(None)
    assert y.shape == (6, len(data))
    assert (y == np.round(y)).all()
    assert fitted.pp_check("zeros", draws=3)["y"].iloc[0] == (data["count"] == 0).mean()
