"""Draws from the prior: exact marginals, the posterior's schema, predictions, priors beside posteriors."""

from __future__ import annotations

import bambi
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.errors import BayesMLMError, SamplingError
from bayesmlm.prior_posterior import bounded_density, prior_posterior_table
from bayesmlm.priors import build_priors, draw_parameters, lkj_cholesky

FORMULA = "course ~ 1 + female + (1 + female | school)"
PRIORS = {"femaleF": bm.laplace(2, 3), "school": {"sd": bm.half_normal(5), "cor": bm.lkj(3)}}


def from_prior(priors=None, **settings):
    data = bm.load_dataset("gcsemv")
    return bm.fit(FORMULA, data, priors=priors, prior_only=True, **{"seed": 4, "progress": False, **settings})


@pytest.fixture(scope="module")
def prior():
    return from_prior(PRIORS, draws=5000, keep_ranef=["school"])


@pytest.fixture(scope="module")
def plain():
    return from_prior(draws=5000)


def assert_follows(draws, cdf):
    assert stats.kstest(np.ravel(draws), cdf).pvalue > 1e-4


# -- marginals -------------------------------------------------------------------------------------------


def test_fixed_effects_and_sigma_have_their_priors(prior):
    y, fixef = prior.design.y, prior.posterior.fixef.values
    assert_follows(fixef[..., 1], stats.laplace(2, 3).cdf)
    centred = fixef @ prior.design.X.mean(axis=0)
    assert_follows(centred, stats.norm(y.mean(), 2.5 * y.std(ddof=1)).cdf)
    assert_follows(prior.posterior.sigma, stats.expon(scale=y.std(ddof=1)).cdf)


def test_standard_deviations_and_correlations_have_theirs(prior):
    block = prior.posterior.block("school")
    for j in range(2):
        assert_follows(block.sd[..., j], stats.halfnorm(scale=5).cdf)
    assert_follows((block.corr[..., 0, 1] + 1) / 2, stats.beta(3, 3).cdf)


def test_decov_is_that_of_its_definition(plain):
    """tau = root of the mean variance over sigma ~ Exponential(1), a share of the variance is uniform."""
    sd, sigma = plain.posterior.block("school").sd.values, plain.posterior.sigma.values
    assert_follows(np.sqrt((sd**2).mean(axis=-1)) / sigma, stats.expon.cdf)
    assert_follows(sd[..., 0] ** 2 / (sd**2).sum(axis=-1), stats.uniform.cdf)
    correlation = plain.posterior.block("school").corr[..., 0, 1]
    assert_follows(correlation, stats.uniform(-1, 2).cdf)


def test_group_effects_have_the_covariance_of_their_draw(prior):
    block = prior.posterior.block("school")
    root = np.linalg.cholesky(block.cov.values)
    some = block.b.values[:, :, [0, 40, 72]]
    z = np.linalg.solve(root[:, :, None], some[..., None])[..., 0]
    for level in range(3):
        for j in range(2):
            assert_follows(z[:, :, level, j], stats.norm.cdf)
    flat = z.reshape(-1, 6)
    correlation = np.corrcoef(flat.T)[np.triu_indices(6, 1)]
    assert np.abs(correlation).max() < 4.5 / np.sqrt(len(flat))  # the largest of 15


def test_draws_are_independent(plain):
    sigma = plain.posterior.sigma.values
    for lagged in (sigma[:, 1:], np.roll(sigma, 1, axis=0)[:, 1:]):
        rank = stats.spearmanr(lagged.ravel(), sigma[:, :-1].ravel()).statistic
        assert abs(rank) < 4 / np.sqrt(lagged.size)


@pytest.mark.parametrize(("eta", "p"), [(1.0, 3), (2.5, 4)])
def test_lkj_factors(eta, p):
    """Every correlation is 2 Beta(a, a) - 1, a = eta - 1 + p / 2; the density is proportional to det R^(eta - 1)."""
    factor = lkj_cholesky(eta, p, 20_000, np.random.default_rng(1))
    R = factor @ np.swapaxes(factor, -1, -2)
    np.testing.assert_allclose(np.einsum("sii->si", R), 1)
    a = eta - 1 + p / 2
    for i, j in zip(*np.tril_indices(p, -1), strict=True):
        assert_follows((R[:, i, j] + 1) / 2, stats.beta(a, a).cdf)


def test_joint_priors_are_drawn_too():
    fit = from_prior({"fixed": bm.r2d2(0.5, 4)}, draws=5000, keep_ranef=False)
    slope, sigma = fit.posterior.fixef.values[..., 1], fit.posterior.sigma.values
    odds = stats.betaprime(2, 2).rvs(200_000, random_state=1)
    direct = stats.norm.rvs(size=200_000, random_state=2) * np.sqrt(odds)
    scaled = slope / sigma * fit.design.X[:, 1].std(ddof=1)
    assert stats.ks_2samp(scaled.ravel(), direct).pvalue > 1e-4
    assert np.isnan(fit.posterior.sample_stats["lp"]).all()


# -- the schema ------------------------------------------------------------------------------------------


def test_a_prior_only_fit_is_a_fit(plain, m3):
    for name in ("fixef", "sigma", "mean_ppd"):
        ours, theirs = getattr(plain.posterior, name), getattr(m3.posterior, name)
        assert ours.dims == theirs.dims
    assert plain.posterior.block("school").b.dims == m3.posterior.block("school").b.dims
    assert plain.tidy()["term"].tolist() == m3.tidy()["term"].tolist()
    assert plain.notes == ()
    assert not plain.posterior.sample_stats["diverging"].any()
    assert np.isfinite(plain.posterior.sample_stats["lp"]).all()
    assert plain.sampler.startswith("independent draws from the prior")
    assert "prior only" in str(plain)
    assert "prior medians" in str(plain)
    assert "prior only" not in str(m3)
    assert "independent draws from the prior" in str(plain.summary())


def test_the_seed_and_what_is_kept_do_not_change_the_draws():
    all_kept, some, again = (from_prior(draws=50, keep_ranef=k) for k in (True, {"school": ["20920"]}, True))
    np.testing.assert_array_equal(all_kept.posterior.fixef, again.posterior.fixef)
    np.testing.assert_array_equal(all_kept.posterior.mean_ppd, some.posterior.mean_ppd)
    own = all_kept.posterior.block("school").b.sel(level=["20920"])
    np.testing.assert_array_equal(own, some.posterior.block("school").b)
    np.testing.assert_array_equal(
        some.with_ranef().posterior.block("school").b, all_kept.posterior.block("school").b
    )
    assert not np.array_equal(all_kept.posterior.fixef, from_prior(draws=50, seed=5).posterior.fixef)


def test_a_prior_of_bambi_is_drawn_on_the_graph():
    priors = {"femaleF": bambi.Prior("Normal", mu=1, sigma=3), "school": bambi.Prior("HalfNormal", sigma=4)}
    fit = from_prior(priors, draws=1000, chains=2)
    assert "bambi.Prior" in fit.sampler
    assert_follows(fit.posterior.fixef[..., 1], stats.norm(1, 3).cdf)
    assert_follows(fit.posterior.block("school").sd[..., 1], stats.halfnorm(scale=4).cdf)
    y = fit.design.y
    centred = fit.posterior.fixef.values @ fit.design.X.mean(axis=0)
    assert_follows(centred, stats.norm(y.mean(), 2.5 * y.std(ddof=1)).cdf)
    assert fit.posterior.n_chains == 2
    assert "bambi.Prior" in str(fit.prior_summary())


def test_prior_only_is_true_or_false():
    with pytest.raises(SamplingError, match="prior_only"):
        bm.fit("Reaction ~ Days + (1 | Subject)", bm.load_dataset("sleepstudy"), prior_only="yes")


def test_a_prior_only_fit_is_kept_and_becomes_a_posterior(tmp_path, capsys):
    """Every kind of prior goes into the file; another look at it samples nothing."""
    priors = {"fixed": bm.horseshoe(), ("school", "sd"): bm.half_normal(5), "school": {"cor": bm.lkj(2)}}
    asked = {"draws": 50, "chains": 2, "file": tmp_path / "prior"}
    fit = from_prior(priors, **asked)
    again = from_prior(priors, **{**asked, "progress": True})
    assert "nothing has changed" in capsys.readouterr().err
    np.testing.assert_array_equal(fit.posterior.fixef, again.posterior.fixef)
    assert again.priors == fit.priors
    data = bm.load_dataset("sleepstudy")
    prior = bm.fit("Reaction ~ Days + (1 | Subject)", data, prior_only=True, draws=50, seed=1, progress=False)
    posterior = prior.update(prior_only=False, draws=500)
    assert posterior.sampler.startswith("NUTS")
    assert posterior.tidy("fixed")["std_error"].max() < prior.tidy("fixed")["std_error"].min()


# -- predictions -----------------------------------------------------------------------------------------

SLEEP = {"(Intercept)": bm.normal(250, 20), "Days": bm.normal(5, 2), "sigma": bm.half_normal(30)}
SLEEP |= {"Subject": bm.lkj(2, sd=bm.half_normal(10))}


@pytest.fixture(scope="module")
def sleep():
    formula, data = "Reaction ~ Days + (Days | Subject)", bm.load_dataset("sleepstudy")
    return bm.fit(formula, data, priors=SLEEP, prior_only=True, draws=100, seed=1, progress=False)


def moments(days):
    """Prior predictive mean and covariance of rows of one subject; correlations have mean 0."""
    centre = 4.5  # mean of Days
    mean = 250 + 5 * (days - centre)
    fixed = 20**2 + 2**2 * np.outer(days - centre, days - centre)
    group = 10**2 + 10**2 * np.outer(days, days)
    return mean, fixed + group + 30**2 * np.eye(len(days)), fixed


def test_prior_predictive_moments(sleep):
    draws = sleep.prior_predictive(20_000, seed=3)
    assert draws.dims == ("draw", "obs")
    assert draws.shape == (20_000, 180)
    days = sleep.design.X[:10, 1]
    mean, cov, between = moments(days)
    values = draws.values
    assert np.abs((values[:, :10].mean(axis=0) - mean) / np.sqrt(np.diag(cov) / 20_000)).max() < 4.5
    found = np.cov(values[:, :20].T)
    for (i, j), expected in {
        (0, 0): cov[0, 0],
        (9, 9): cov[9, 9],
        (2, 7): cov[2, 7],
        (2, 17): between[2, 7],
    }.items():
        centred = (values[:, i] - values[:, i].mean()) * (values[:, j] - values[:, j].mean())
        assert abs(found[i, j] - expected) < 4.5 * centred.std() / np.sqrt(20_000), (i, j)


def test_prior_predictive_of_new_rows(sleep):
    new = pd.DataFrame({"Days": [2.0, 7.0, 7.0, 7.0], "Subject": ["new", "new", "308", "other"]})
    values = sleep.prior_predictive(20_000, seed=3, newdata=new).values
    days = new["Days"].to_numpy()
    mean, cov, between = moments(days)
    assert np.abs((values.mean(axis=0) - mean) / np.sqrt(np.diag(cov) / 20_000)).max() < 4.5
    for i, j, expected in ((0, 1, cov[0, 1]), (1, 2, between[1, 2]), (1, 3, between[1, 3])):
        centred = (values[:, i] - values[:, i].mean()) * (values[:, j] - values[:, j].mean())
        assert abs(centred.mean() - expected) < 4.5 * centred.std() / np.sqrt(20_000), (i, j)


def test_prior_predictive_before_a_fit(sleep):
    formula, data = "Reaction ~ Days + (Days | Subject)", bm.load_dataset("sleepstudy")
    draws = bm.prior_predictive(formula, data, SLEEP, draws=7, seed=1)
    np.testing.assert_array_equal(draws, sleep.prior_predictive(7))
    with pytest.raises(BayesMLMError, match="draws = 0"):
        bm.prior_predictive(formula, data, draws=0)


# -- prior beside posterior ------------------------------------------------------------------------------


def test_table_of_prior_and_posterior(m3):
    table = m3.prior_posterior(prob=0.5).set_index("parameter")
    assert table.index.tolist() == [
        "(Intercept)",
        "femaleF",
        "sd__(Intercept) (school)",
        "sd__femaleF (school)",
        "cor__(Intercept).femaleF (school)",
        "sigma",
    ]
    draws = m3.posterior.fixef.values[..., 1]
    low, high = np.quantile(draws, [0.25, 0.75])
    row = table.loc["femaleF"]
    assert (row["posterior_low"], row["posterior_high"]) == pytest.approx((low, high))
    exact = m3.priors.coefficients["femaleF"].used.quantile(np.array([0.25, 0.5, 0.75]))
    error = 4 * 1.36 * m3.priors.coefficients["femaleF"].used["scale"] / np.sqrt(40_000)
    assert np.abs(row[["prior_low", "prior_median", "prior_high"]].to_numpy(float) - exact).max() < error
    assert row["narrowing"] == pytest.approx(1 - (high - low) / (row["prior_high"] - row["prior_low"]))
    assert m3.prior_posterior(["sigma"])["parameter"].tolist() == ["sigma"]
    with pytest.raises(BayesMLMError, match="Did you mean 'femaleF'"):
        m3.prior_posterior("female")


def test_the_same_draws_are_not_narrower(plain):
    table = prior_posterior_table(plain.posterior, plain.posterior)
    assert (table["narrowing"] == 0).all()


@pytest.mark.parametrize(
    ("truth", "lower", "upper"),
    [
        (stats.norm(3, 2), -np.inf, np.inf),
        (stats.halfnorm(scale=2), 0, np.inf),
        (stats.uniform(-1, 2), -1, 1),
    ],
    ids=["real", "positive", "correlation"],
)
def test_densities_respect_bounds(truth, lower, upper):
    """Also at the bound itself, where a plain kernel estimate gives half of the density."""
    values = truth.rvs(100_000, random_state=1)
    ends = [
        lower if np.isfinite(lower) else truth.ppf(0.01),
        upper if np.isfinite(upper) else truth.ppf(0.99),
    ]
    grid = np.linspace(*ends, 101)
    density = bounded_density(values, grid, lower, upper)
    np.testing.assert_allclose(density, truth.pdf(grid), atol=0.06 * truth.pdf(grid).max())
    whole = bounded_density(values, np.linspace(values.min() - 1, values.max() + 1, 2000), -np.inf, np.inf)
    assert whole.sum() * (np.ptp(values) + 2) / 1999 == pytest.approx(1, abs=1e-3)


def test_picture_of_prior_and_posterior(m3):
    axes = m3.plot_prior_posterior(["sigma", "femaleF"])
    assert [ax.get_title() for ax in axes] == ["sigma", "femaleF"]
    for ax in axes:
        posterior, prior = ax.get_lines()
        assert posterior.get_ydata().max() > prior.get_ydata().max()
    assert len(m3.plot_prior_posterior()) == 6


def test_draw_parameters_without_an_intercept():
    data = bm.load_dataset("sleepstudy")
    design = build_design("Reaction ~ 0 + Days + (0 + Days | Subject)", data)
    priors = build_priors(design, {"Days": bm.normal(5, 2)})
    drawn = draw_parameters(design, priors, 5000, np.random.default_rng(1))
    assert_follows(drawn.fixef[:, 0], stats.norm(5, 2).cdf)
