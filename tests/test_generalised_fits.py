"""Generalised fits beside bm.glmer, in tables, written up, examined, drawn, and kept in a file."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from generalised import (
    CBPP,
    TICKS,
    bernoulli_fit,
    cbpp_fit,
    gamma_fit,
    generalised_fit,
    negative_binomial_fit,
    poisson_fit,
)

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.doctoring.climb import glm_loglik
from bayesmlm.families import read_family


@pytest.fixture(scope="module")
def cbpp():
    return cbpp_fit(spread=0.3)


@pytest.fixture(scope="module")
def ticks():
    return negative_binomial_fit(spread=0.2)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def text(part):
    return " ".join(str(part).split())


# -- compare ---------------------------------------------------------------------------------------


def test_the_reference_is_the_fit_of_glmer(cbpp):
    ref = cbpp.reference()
    assert ref is cbpp.reference()
    assert ref.loglik == bm.glmer(CBPP, bm.load_dataset("cbpp"), "binomial").loglik
    assert cbpp.reference(n_agq=9).n_agq == 9


def test_rows_of_a_comparison(cbpp):
    compared, ref = cbpp.compare(), cbpp.reference()
    frame = compared.frame.set_index("term")
    assert frame.index.tolist() == [*cbpp.design.coefficients, "sd__(Intercept)", "ICC"]
    np.testing.assert_array_equal(frame["reference"].iloc[:4], ref.fixef())
    np.testing.assert_array_equal(frame["reference_se"].iloc[:4], ref.se())
    sd = ref.varcorr().blocks[0].sd[0]
    assert frame.loc["sd__(Intercept)", "reference"] == sd
    # the latent response of a logistic model has variance pi^2 / 3
    assert frame.loc["ICC", "reference"] == pytest.approx(sd**2 / (sd**2 + np.pi**2 / 3), rel=1e-12)
    draws = cbpp.posterior.blocks[0].sd.values.ravel() ** 2
    assert frame.loc["ICC", "median"] == pytest.approx(np.median(draws / (draws + np.pi**2 / 3)))
    assert set(frame["verdict"]) == {"agree"}
    page = str(compared)
    assert page.startswith("Posterior beside maximum likelihood (Laplace): cbind")
    assert "conditional modes" in page
    assert "BLUP" not in page
    assert "sigma" not in page


def test_quadrature_is_named(cbpp):
    page = str(cbpp.compare(cbpp.reference(n_agq=9)))
    assert "maximum likelihood (AGQ(9))" in page


def test_auxiliary_parameters_are_compared(ticks):
    row = ticks.compare().frame.set_index("term").loc["reciprocal_dispersion"]
    assert row["reference"] == ticks.reference().auxiliary["reciprocal_dispersion"]
    assert row["median"] == np.median(ticks.posterior.auxiliary["reciprocal_dispersion"])
    gamma = gamma_fit()
    row = gamma.compare().frame.set_index("term").loc["shape"]
    assert row["reference"] == 1 / gamma.reference().sigma ** 2
    assert "sd__Observation" not in gamma.compare().frame["term"].tolist()


def test_where_laplace_is_biased_the_page_says_so(cbpp):
    note = "Laplace's approximation then puts standard deviations too low"
    rare = bernoulli_fit().compare()
    assert rare.comparison.uninformed == ("herd",)
    assert note in text(rare)
    assert "there for one block with an intercept only" in text(rare)
    assert note not in text(cbpp.compare())


def test_with_one_intercept_per_group_quadrature_is_better():
    frame = bm.load_dataset("cbpp").assign(any=lambda d: (d["incidence"] > 1).astype(int))
    fit = generalised_fit("any ~ 1 + (1 | herd)", frame, "binomial", fixef=[-0.5], sd={"herd": [0.5]})
    assert "bm.glmer(..., n_agq=10) integrates better" in text(fit.compare())
    assert fit.compare(fit.reference(n_agq=10)).comparison.uninformed == ()


def test_a_standard_deviation_of_zero_is_a_boundary():
    fit = bernoulli_fit()
    row = fit.compare().frame.query("term == 'sd__x'").iloc[0]
    typical = np.sqrt(np.mean(fit.design.X[:, 1] ** 2))
    draws = fit.posterior.blocks[0].sd.sel(column="x").values
    assert row["verdict"] == "boundary"
    assert row["probability"] == np.mean(draws * typical < 0.1)
    assert "a typical x, < 0.1) = " in str(fit.compare())


def test_fits_of_other_families_or_trials_are_no_reference(cbpp):
    with pytest.raises(bm.DataError, match="different models"):
        cbpp.compare(bm.glmer(CBPP, bm.load_dataset("cbpp"), "binomial", link="probit"))
    more = bm.load_dataset("cbpp").assign(size=lambda d: d["size"] + 1)
    with pytest.raises(bm.DataError, match="different models"):
        cbpp.compare(bm.glmer(CBPP, more, "binomial"))
    with pytest.raises(bm.DataError, match=r"one of bm\.lmer or bm\.glmer"):
        cbpp.compare("glmer")


def test_a_family_that_glmer_does_not_know_has_no_comparison_but_its_pictures():
    frame = bm.load_dataset("sleepstudy").assign(share=lambda d: d["Reaction"] / 500)
    fit = generalised_fit(
        "share ~ Days + (1 | Subject)",
        frame,
        "beta",
        fixef=[0.1, 0.07],
        sd={"Subject": [0.3]},
        auxiliary={"phi": 60.0},
    )
    with pytest.raises(bm.DataError, match="beta"):
        fit.compare()
    assert fit.coefficient_table()["reference"].isna().all()
    assert fit.variance_table()["parameter"].tolist() == ["sd_(Intercept)|Subject", "phi"]
    fit.plot_caterpillar()
    assert "beta regression (beta family, logit link)" in text(fit.report())
    assert "Comparison with" not in text(fit.report())


# -- tables ----------------------------------------------------------------------------------------


def test_models_of_all_kinds_stand_side_by_side(cbpp, ticks):
    linear = bm.lmer("TICKS ~ YEAR + (1 | BROOD)", bm.load_dataset("grouseticks"))
    table = bm.table(cbpp, cbpp.reference(), ticks, linear)
    assert table.to_frame().columns.names == ["response", "model", "method", "family"]
    assert table.to_frame().columns.tolist() == [
        ("incidence", "(1)", "Bayes", "binomial [logit]"),
        ("incidence", "(2)", "Laplace", "binomial [logit]"),
        ("TICKS", "(3)", "Bayes", "neg_binomial_2 [log]"),
        ("TICKS", "(4)", "REML", "gaussian [identity]"),
    ]
    frame = table.frame.set_index(["model", "term"])
    assert frame.loc[("(2)", "log_lik"), "estimate"] == cbpp.reference().loglik
    assert frame.loc[("(3)", "reciprocal_dispersion"), "part"] == "random"
    lines = str(table).split("\n")
    at = {line.split()[0]: i for i, line in reversed(list(enumerate(lines))) if line.strip()}
    assert at["BROOD"] < at["reciprocal_dispersion"] < at["sigma"] < at["Shares"]
    for made in (table.to_html(), table.to_latex(), table.to_markdown()):
        assert "binomial [logit]" in made


def test_shares_of_a_glmer_fit_are_its_own(cbpp):
    ref = cbpp.reference()
    frame = bm.table(ref).frame.set_index("term")
    assert frame.loc["icc", "estimate"] == ref.icc()["herd"]
    assert frame.loc["r2_conditional", "estimate"] == ref.r2()["conditional"]
    assert "Shares of variance are those on the scale of the linear predictor." in str(bm.table(ref))


def test_tables_of_linear_models_have_no_row_for_the_family():
    linear = bm.lmer("TICKS ~ YEAR + (1 | BROOD)", bm.load_dataset("grouseticks"))
    assert bm.table(linear).to_frame().columns.names == ["response", "model", "method"]


def test_a_table_of_odds_ratios(cbpp):
    ref = cbpp.reference()
    table = bm.table(cbpp, ref, exponentiate=True)
    frame = table.frame.set_index(["model", "term"])
    draws = np.exp(cbpp.posterior.fixef.sel(coefficient="period2").values.ravel())
    assert frame.loc[("(1)", "period2"), "estimate"] == pytest.approx(np.median(draws), rel=1e-12)
    assert frame.loc[("(2)", "period2"), "estimate"] == pytest.approx(np.exp(ref.fixef()["period2"]))
    sd = cbpp.posterior.blocks[0].sd.median().item()
    assert frame.loc[("(1)", "sd__(Intercept)"), "estimate"] == sd
    assert "Fixed effects are odds ratios, exp(coefficient)." in str(table)
    linear = bm.lmer("TICKS ~ YEAR + (1 | BROOD)", bm.load_dataset("grouseticks"))
    mixed = bm.table({"counts": poisson_fit(), "linear": linear}, exponentiate=True)
    assert "Fixed effects of counts are rate ratios, exp(coefficient)." in str(mixed)
    plain = mixed.frame.query("model == 'linear' and term == 'YEAR96'")["estimate"].item()
    assert plain == linear.fixef()["YEAR96"]
    with pytest.raises(bm.BayesMLMError, match="no model here has one"):
        bm.table(linear, exponentiate=True)


# -- report ----------------------------------------------------------------------------------------


def test_what_a_paper_says_of_a_logistic_model(cbpp):
    prose = text(cbpp.report())
    assert "A Bayesian multilevel logistic regression (binomial family, logit link) was fitted to" in prose
    assert "The outcome, incidence, was seen in 99 of 842 trials (11.8%)." in prose
    assert "which is tau with tau ~ Gamma(1, 1)" in prose
    assert "on the log odds scale: (Intercept) -1.4" in prose
    estimate, low, high = map(float, re.search(r"odds ratio ([\d.]+) \[([\d.]+), ([\d.]+)\]", prose).groups())
    draws = np.exp(cbpp.posterior.fixef.sel(coefficient="period2").values)
    np.testing.assert_allclose([estimate, low, high], np.quantile(draws, [0.5, 0.025, 0.975]), atol=0.006)
    assert "The same model was fitted by maximum likelihood (Laplace approximation), as lme4 does." in prose
    assert "residual standard deviation" not in prose


def test_what_a_paper_says_of_counts(ticks):
    prose = text(ticks.report())
    assert "multilevel negative binomial regression (neg_binomial_2 family, log link)" in prose
    assert "reciprocal dispersion ~ exponential(rate = 1)" in prose
    assert "The parameter reciprocal_dispersion of the family was 2." in prose
    assert prose.count("rate ratio") == 3


# -- doctor ----------------------------------------------------------------------------------------


def test_a_singular_generalised_fit_is_examined():
    doctor = bernoulli_fit().doctor(refit=False)
    assert doctor.singular
    assert doctor.frame["bar"].tolist() == ["(1 + x | herd)", "(1 + x || herd)", "(1 | herd)", ""]
    ref = bernoulli_fit().reference()
    assert doctor.frame["loglik"].iloc[0] == pytest.approx(ref.loglik, abs=1e-8)
    assert doctor.frame["npar"].tolist() == [5, 4, 3, 2]
    assert doctor.frame["reml_loglik"].isna().all()
    page = str(doctor)
    assert "The ML fit is singular" in page
    assert "REML" not in page
    assert "both by ML (Laplace's approximation)" in text(page)
    assert doctor.boundary["near_boundary"].notna().all()


def test_without_bars_the_likelihood_is_that_of_glm():
    """R 4.2.2: logLik(glm(...)) of the fixed part."""
    cattle, birds = bm.load_dataset("cbpp"), bm.load_dataset("grouseticks")

    def loglik(formula, data, family):
        return glm_loglik(build_design(formula, data, read_family(family)))

    assert loglik(CBPP, cattle, "binomial") == pytest.approx(-99.02919949, abs=1e-7)
    trend = CBPP.replace("period", "as.numeric(period)")
    assert loglik(trend, cattle, "binomial(probit)") == pytest.approx(-101.5022564, abs=1e-7)
    assert loglik(TICKS, birds, "poisson") == pytest.approx(-2187.405521, abs=1e-6)
    shifted = "TICKS ~ YEAR + offset(cHEIGHT / 100) + (1 | BROOD)"
    assert loglik(shifted, birds, "poisson") == pytest.approx(-3454.256614, abs=1e-6)
    assert loglik(TICKS, birds, "neg_binomial_2") is None


def test_a_likelihood_without_a_maximum_is_none():
    data = pd.DataFrame({"x": np.arange(20.0), "y": np.repeat([0, 1], 10), "g": np.arange(20) % 5})
    assert glm_loglik(build_design("y ~ x + (1 | g)", data, read_family("binomial"))) is None


# -- priors, hypotheses, chains --------------------------------------------------------------------


def test_auxiliary_parameters_have_priors_beside_posteriors(ticks):
    row = ticks.prior_posterior("reciprocal_dispersion").iloc[0]
    assert row["prior_median"] == pytest.approx(np.log(2), abs=0.02)
    assert row["posterior_median"] == np.median(ticks.posterior.auxiliary["reciprocal_dispersion"])
    assert row["effect"] == "auxiliary"
    assert len(ticks.plot_prior_posterior()) >= 6


def test_hypotheses_about_auxiliary_parameters(ticks):
    frame = ticks.hypothesis("reciprocal_dispersion > 2").frame
    draws = ticks.posterior.auxiliary["reciprocal_dispersion"].values
    assert frame["post_prob"].item() == np.mean(draws > 2)


def test_chains_of_auxiliary_parameters_are_drawn(ticks):
    titles = [ax.get_title() for ax in np.ravel(ticks.plot_trace()) if ax.get_title()]
    assert any("reciprocal_dispersion" in t for t in titles)
    assert "sigma" not in " ".join(titles)


# -- pictures --------------------------------------------------------------------------------------


def test_pictures_of_estimates_name_their_scale(cbpp, ticks):
    assert cbpp.plot_coefficients().get_xlabel() == "change of log odds of incidence per unit"
    panels = ticks.plot_variance()
    assert [ax.get_title() for ax in panels] == ["(Intercept) | BROOD", "reciprocal_dispersion"]
    table = ticks.variance_table().set_index("parameter")
    assert (
        table.loc["reciprocal_dispersion", "reference"]
        == ticks.reference().auxiliary["reciprocal_dispersion"]
    )
    with pytest.raises(bm.BayesMLMError, match="not in units of y"):
        cbpp.plot_coefficients(standardize="xy")
    with pytest.raises(bm.BayesMLMError, match="those of linear models"):
        cbpp.plot_coefficients(ddf="satterthwaite")


def test_pictures_of_predictions_name_the_mean(cbpp, ticks):
    assert cbpp.plot_effects("period").get_ylabel() == "probability of incidence"
    assert ticks.plot_effects("cHEIGHT").get_ylabel() == "expected TICKS"
    assert ticks.plot_effects("cHEIGHT", ylabel="ticks").get_ylabel() == "ticks"


def test_the_caterpillar_has_the_modes_of_glmer(cbpp):
    ax = cbpp.plot_caterpillar()
    assert "mode (Laplace)" in [t.get_text() for t in ax.get_legend().get_texts()]


def test_pooling_by_least_squares_is_refused(cbpp):
    for draw in (cbpp.plot_shrinkage, cbpp.plot_pooling_panels):
        with pytest.raises(bm.BayesMLMError, match=r"by least squares.*not for binomial \[logit\]"):
            draw()


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [cbpp_fit, bernoulli_fit, negative_binomial_fit, gamma_fit])
def test_a_generalised_fit_comes_back_from_its_file(make, tmp_path):
    fit = make()
    fit.save(tmp_path / "fit")
    again = bm.load(tmp_path / "fit")
    assert again.design.family == fit.design.family
    assert again.design.response_levels == fit.design.response_levels
    if fit.design.trials is None:
        assert again.design.trials is None
    else:
        np.testing.assert_array_equal(again.design.trials, fit.design.trials)
    assert dict(again.posterior.auxiliary).keys() == dict(fit.posterior.auxiliary).keys()
    assert again.posterior.sigma is None
    assert str(again) == str(fit)
    assert str(again.summary()) == str(fit.summary())
    assert str(again.prior_summary()) == str(fit.prior_summary())
    pd.testing.assert_frame_equal(again.tidy(), fit.tidy())
    pd.testing.assert_frame_equal(again.compare().frame, fit.compare().frame)
