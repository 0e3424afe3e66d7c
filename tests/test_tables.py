"""Tables of a posterior and of a reference fit: same columns, right numbers, nothing rounded."""

import numpy as np
import pytest
from synthetic import posterior_of

import bayesmlm as bm
from bayesmlm import tables
from bayesmlm.covariance import VarCorr, join_theta, sd_corr, split_theta
from bayesmlm.design import build_design
from bayesmlm.diagnostics import convergence_sentences, parameter_draws
from bayesmlm.draws import SAMPLE
from bayesmlm.reference.lmer import fit_lmer

SLEEP = bm.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def design():
    return build_design("Reaction ~ Days + (Days | Subject)", SLEEP)


@pytest.fixture(scope="module")
def posterior(design):
    b = np.random.default_rng(2).normal(size=(18, 2)) * [20, 5]
    return posterior_of(
        design,
        fixef=[251.0, 10.5],
        sd={"Subject": [24.0, 6.0]},
        sigma=25.0,
        corr={"Subject": 0.1},
        b={"Subject": b},
    )


def test_mad_sd_of_normal_draws_is_their_sd():
    draws = np.random.default_rng(1).normal(3, 2, 200_000)
    assert tables.mad_sd(draws) == pytest.approx(2, rel=0.01)


def test_theta_round_trip():
    theta = np.array([0.9, 0.1, -0.2, 1.1, 0.3, 0.5, 2.0])
    factors = split_theta(theta, [3, 1])
    np.testing.assert_array_equal(factors[0], [[0.9, 0, 0], [0.1, 1.1, 0], [-0.2, 0.3, 0.5]])
    np.testing.assert_array_equal(join_theta(factors), theta)


def test_zero_variance_has_no_correlation():
    sd, corr = sd_corr(np.array([[4.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(sd, [2, 0])
    assert np.isnan(corr[1, 0])
    np.testing.assert_array_equal(np.diag(corr), 1)


def test_varcorr_frame_has_lme4s_rows(design):
    frame = fit_lmer(design).varcorr.to_frame()
    assert frame["grp"].tolist() == ["Subject", "Subject", "Subject", "Residual"]
    assert frame["var2"].tolist()[2] == "Days"
    assert frame.loc[2, "vcov"] == pytest.approx(
        frame.loc[2, "sdcor"] * frame.loc[0, "sdcor"] * frame.loc[1, "sdcor"]
    )


def test_tidy_has_the_same_rows_for_both_fits(design, posterior):
    estimate = fit_lmer(design)
    for effects in (None, "fixed", "ran_pars", "ran_vals", ("fixed", "ran_vals")):
        bayes, reference = tables.tidy_posterior(posterior, effects), tables.tidy_reference(estimate, effects)
        keys = ["effect", "group", "level", "term"]
        assert bayes[keys].fillna("-").values.tolist() == reference[keys].fillna("-").values.tolist()
        assert bayes.columns[:8].tolist() == reference.columns[:8].tolist() == tables.COLUMNS
    terms = tables.tidy_posterior(posterior)["term"].tolist()
    assert terms == [
        "(Intercept)",
        "Days",
        "sd__(Intercept)",
        "sd__Days",
        "cor__(Intercept).Days",
        "sd__Observation",
    ]


def test_tidy_numbers(posterior):
    row = tables.tidy_posterior(posterior, "fixed", conf_level=0.8).iloc[1]
    draws = posterior.fixef.sel(coefficient="Days").values.ravel()
    assert row["estimate"] == np.median(draws)
    np.testing.assert_allclose([row["conf_low"], row["conf_high"]], np.quantile(draws, [0.1, 0.9]))


def test_summary_names_parameters_as_rstanarm_does(posterior):
    names = tables.summary_frame(posterior).index.tolist()
    assert names[:4] == ["(Intercept)", "Days", "b[(Intercept) Subject:308]", "b[Days Subject:308]"]
    assert names[-6:] == [
        "sigma",
        "Sigma[Subject:(Intercept),(Intercept)]",
        "Sigma[Subject:Days,(Intercept)]",
        "Sigma[Subject:Days,Days]",
        "mean_PPD",
        "log-posterior",
    ]


def test_summary_numbers(posterior):
    frame = tables.summary_frame(posterior, pars="Sigma[Subject:Days,(Intercept)]", probs=(0.25,))
    block = posterior.block("Subject")
    draws = (block.corr[..., 1, 0] * block.sd[..., 0] * block.sd[..., 1]).values
    assert frame.columns.tolist() == ["mean", "mcse", "sd", "25%", "n_eff", "Rhat"]
    assert frame["mean"].item() == pytest.approx(draws.mean())
    assert frame["sd"].item() == pytest.approx(draws.std(ddof=1))
    assert frame["25%"].item() == pytest.approx(np.quantile(draws, 0.25))
    # The error of independent draws is itself estimated with a relative sd of 0.038 (4 x 250 draws): four of them.
    assert frame["mcse"].item() == pytest.approx(draws.std() / np.sqrt(draws.size), rel=0.15)


def test_shorthands_and_unknown_parameters(posterior):
    assert tables.summary_frame(posterior, pars=["alpha", "beta"]).index.tolist() == ["(Intercept)", "Days"]
    assert len(tables.summary_frame(posterior, pars="varying")) == 36
    with pytest.raises(bm.BayesMLMError, match="Did you mean 'Days'"):
        tables.summary_frame(posterior, pars="Dayz")


def test_rstanarm_point_is_the_root_of_the_mean_variance(posterior):
    varcorr = tables.posterior_varcorr(posterior, "rstanarm")
    cov = posterior.block("Subject").cov.mean(SAMPLE).values
    np.testing.assert_allclose(varcorr.blocks[0].sd, np.sqrt(np.diag(cov)))
    assert varcorr.blocks[0].corr[1, 0] == pytest.approx(cov[1, 0] / np.sqrt(cov[0, 0] * cov[1, 1]))
    with pytest.raises(bm.BayesMLMError, match="median"):
        tables.posterior_varcorr(posterior, "mode")


@pytest.mark.parametrize("prob", [0, 1, 1.5, "90%"])
def test_probabilities_are_checked(posterior, prob):
    with pytest.raises(bm.BayesMLMError, match="between 0 and 1"):
        tables.interval_frame(posterior, prob)


def test_coef_adds_up_blocks_of_one_factor():
    design = build_design("Reaction ~ Days + (Days || Subject)", SLEEP)
    estimate = fit_lmer(design)
    fixed = bm.lmer("Reaction ~ Days + (Days || Subject)", SLEEP).fixef()
    ranef = tables.reference_ranef_frames(estimate)
    assert list(ranef) == ["Subject"], "side by side, as lme4 has them"
    np.testing.assert_array_equal(ranef["Subject"]["Days"], estimate.ranef[1].mode[:, 0])
    coef = tables.coef_frames(fixed, ranef, {"Subject": "Subject"})["Subject"]
    np.testing.assert_allclose(coef, ranef["Subject"] + fixed)


@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_blocks_that_share_a_column_stand_apart_and_are_added_up():
    fit = bm.lmer("Reaction ~ Days + (Days | Subject) + (1 | Subject)", SLEEP)
    first, second = fit.ranef()["Subject"], fit.ranef()["Subject.1"]
    total = first["(Intercept)"] + second["(Intercept)"] + fit.fixef()["(Intercept)"]
    np.testing.assert_allclose(fit.coef()["Subject"]["(Intercept)"], total)


def test_icc_is_the_intercepts_share_of_variance(posterior):
    draws = tables.icc_draws(posterior)
    sd, sigma = posterior.block("Subject").sd[..., 0], posterior.sigma
    np.testing.assert_allclose(draws[..., 0], sd**2 / (sd**2 + sigma**2))
    assert draws["group"].values.tolist() == ["Subject"]
    assert tables.reference_icc(VarCorr((), 2.0)).empty


# -- convergence in words ----------------------------------------------------------------------------


def test_a_good_sample_needs_no_words(posterior):
    assert convergence_sentences(posterior) == []


def test_divergences_are_said(design, posterior):
    posterior.sample_stats["diverging"][0, :3] = True
    try:
        (sentence,) = convergence_sentences(posterior)
    finally:
        posterior.sample_stats["diverging"][0, :3] = False
    assert sentence.startswith("3 of 1000 draws diverged")
    assert "target_accept" in sentence


def test_chains_that_disagree_are_said(design):
    bad = posterior_of(design, fixef=[251.0, 10.5], sd={"Subject": [24.0, 6.0]}, sigma=25.0)
    bad.fixef[0, :, 1] += 1.0
    sentences = " ".join(convergence_sentences(bad))
    assert "Rhat is above 1.01 for 1 of" in sentences
    assert "worst for Days" in sentences
    assert "effective draws, fewest Days" in sentences


def test_one_chain_is_said(design):
    single = posterior_of(
        design, fixef=[251.0, 10.5], sd={"Subject": [24.0, 6.0]}, sigma=25.0, chains=1, draws=500
    )
    assert any("one chain" in s for s in convergence_sentences(single))


def test_every_parameter_is_watched(design, posterior):
    assert parameter_draws(posterior).sizes["parameter"] == 2 + 36 + 1 + 3 + 2
