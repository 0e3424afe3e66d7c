"""What is printed of generalised models: rstanarm's layout, every auxiliary parameter, plain units."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from generalised import (
    CBPP,
    bernoulli_fit,
    cbpp_fit,
    gamma_fit,
    generalised_fit,
    negative_binomial_fit,
    poisson_fit,
)
from reference_models import REFERENCE

import bayesmlm as bm
from bayesmlm.covariance import BlockCovariance, VarCorr
from bayesmlm.design import build_design
from bayesmlm.families import read_family
from bayesmlm.report import fit_report
from bayesmlm.specifying import specify

OWN_FIRST_LINE = "bayesmlm.fit"
GROUSE = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)"


def rstanarm(name):
    return json.loads((REFERENCE / "rstanarm" / f"{name}.json").read_text())


def lines(text):
    return [line.rstrip() for line in (text if isinstance(text, list) else str(text).split("\n"))]


# -- print -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "formula", "data", "family"),
    [("cbpp", CBPP, "cbpp", "binomial"), ("grouseticks", GROUSE, "grouseticks", "poisson")],
)
def test_prints_the_numbers_of_rstanarm_as_rstanarm_does(name, formula, data, family):
    """rstanarm 2.21.3's page, read and written again: only its first line and the remarks at its end differ."""
    theirs = lines(rstanarm(name)["printed"])
    design = build_design(formula, bm.load_dataset(data), read_family(family))
    start = theirs.index("            Median MAD_SD") + 1
    values = {row.split()[0]: [float(v) for v in row.split()[1:]] for row in theirs[start : start + 4]}
    coefficients = pd.DataFrame(values, index=["Median", "MAD_SD"]).T
    errors = theirs.index("Error terms:") + 2
    rows = [theirs[errors + i].split() for i in range(len(design.blocks))]
    blocks = [BlockCovariance(g, g, (c,), np.array([float(sd)]), np.eye(1)) for g, c, sd in rows]
    varcorr, none = VarCorr(tuple(blocks), None), pd.DataFrame(columns=["Median", "MAD_SD"], dtype=float)
    page = lines(fit_report(design, coefficients, none, varcorr, [], digits=2))
    end = next(i for i, line in enumerate(theirs) if line.startswith("Num. levels"))
    assert page[0] == OWN_FIRST_LINE
    # rstanarm shows a digit more of the error terms
    shortened = [
        re.sub(r"(\d\.\d\d)\d$", lambda m: f"{float(m[0]):.2f}", line) for line in theirs[1 : end + 1]
    ]
    assert [line.split() for line in page[1 : end + 1]] == [line.split() for line in shortened]
    assert page[1:4] == theirs[1:4]


def test_auxiliary_parameters_have_a_block_where_there_are_any():
    assert "Auxiliary" not in str(cbpp_fit())
    assert "Auxiliary" not in str(poisson_fit())
    page = lines(negative_binomial_fit())
    at = page.index("Auxiliary parameter(s):")
    assert page[at + 1].split() == ["Median", "MAD_SD"]
    assert page[at + 2].split()[0] == "reciprocal_dispersion"
    assert " family:       neg_binomial_2 [log]" in page
    assert not any("Residual" in line for line in page)
    assert [row.split()[0] for row in lines(gamma_fit()) if row.startswith("shape")] == ["shape"]


@pytest.mark.parametrize(
    ("family", "shown"),
    [
        ("Gamma", "Gamma [inverse]"),
        ("inverse.gaussian", "inverse.gaussian [1/mu^2]"),
        ("t", "student_t [identity]"),
        ("gaussian(log)", "gaussian [log]"),
    ],
)
def test_the_family_is_named_as_r_names_it(family, shown):
    data = bm.load_dataset("sleepstudy")
    aux = {"Gamma": {"shape": 9.0}, "inverse.gaussian": {"lambda": 9.0}, "t": {"nu": 5.0}}.get(family, {})
    sigma = 30.0 if family in {"t", "gaussian(log)"} else None
    fit = generalised_fit(
        "Reaction ~ Days + (1 | Subject)",
        data,
        family,
        fixef=[1.0, 1.0],
        sd={"Subject": [0.3]},
        auxiliary=aux,
        sigma=sigma,
    )
    assert f" family:       {shown}" in lines(fit)
    assert f" family:       {shown}" in lines(fit.summary())
    named = [*(["sigma"] if sigma else []), *aux]
    assert fit.printed().frame.index.tolist() == ["(Intercept)", "Days", *named]
    assert fit.prior_summary().frame["parameter"].tolist()[2 : 2 + len(named)] == named


def test_attributes_of_a_family_without_sigma():
    fit = cbpp_fit()
    assert (fit.family, fit.link) == ("binomial", "logit")
    assert fit.sigma is None
    assert np.isnan(fit.glance()["sigma"].item())
    assert fit.varcorr().sigma is None
    assert "Residual" not in str(fit.varcorr())
    again = specify(CBPP, bm.load_dataset("cbpp"), fit.family, fit.link)[0]
    assert again.family == fit.design.family


# -- summary ---------------------------------------------------------------------------------------


def test_rows_of_a_summary_are_those_of_rstanarm():
    theirs = rstanarm("cbpp")["printed_summary"]
    theirs = lines(theirs)
    info = theirs[theirs.index("Model Info:") : theirs.index("Estimates:")]
    ours = lines(cbpp_fit().summary())
    same = [line for line in info if not line.startswith((" function", " algorithm", " sample", " priors"))]
    assert [line for line in same if line not in ours] == []
    start = theirs.index("Estimates:") + 2
    named = [line.partition("  ")[0] for line in theirs[start : start + 20]]
    frame = cbpp_fit().summary().frame
    assert frame.index.tolist() == [*(n.rstrip() for n in named), "mean_PPD", "log-posterior"]


def test_the_observed_mean_stands_beside_mean_ppd():
    def words(fit):
        text = " ".join(str(fit.summary(["beta", "mean_PPD"])).split())
        return re.search(r"compare it with the observed (.*?) MCMC", text)[1]

    assert words(cbpp_fit()) == "mean number of successes in cbind(incidence, size - incidence), 1.7679"
    assert words(bernoulli_fit()) == "share of successes in any, 0.375"
    assert words(poisson_fit()) == "mean of TICKS, 6.3697"


def test_a_summary_shows_more_than_zeros():
    rows = lines(poisson_fit().summary(["beta"]))
    height = next(r for r in rows if r.startswith("cHEIGHT"))
    assert float(height.split()[2]) > 0
    assert "0.123457" in str(poisson_fit(fixef=[0.1234567, 0, 0, 0], spread=0.0).summary("alpha", digits=6))


# -- priors ----------------------------------------------------------------------------------------


def test_prior_summary_has_the_numbers_of_rstanarm():
    page = str(cbpp_fit().prior_summary(digits=3))
    for number in ("scale = 2.5", "[5.72,5.72,5.87]", "decov(reg. = 1, conc. = 1, shape = 1, scale = 1)"):
        assert number in page
        assert number in "\n".join(lines(rstanarm("cbpp")["printed_priors"])).replace("  ", " ")


def implied(fit):
    text = str(fit.prior_summary())
    return text[text.index("What these priors imply") :].split("\n")


def test_priors_of_logits_are_told_as_probabilities_and_odds_ratios():
    """plogis(qnorm(c(.05, .95), 0, 2.5)) and exp(qnorm(c(.05, .95), 0, 5.7218)) in R."""
    page = implied(cbpp_fit())
    assert page[0] == "What these priors imply (90% ranges):"
    assert " probability of incidence at average predictors between 0.016 and 0.98" in page
    assert any(
        re.match(r" odds ratio of period2 between 8\.2e-05 and 122\d\d; per sd", line) for line in page
    )
    assert " herd: sd of (Intercept) between 0.051 and 3 on the log odds scale" in page
    assert any("share of variance (ICC), on the latent scale, has median" in line for line in page)


def test_the_prior_icc_of_a_binary_model_is_that_of_the_latent_response():
    """decov of one column: sd ~ Gamma(1, 1); median of sd^2 / (sd^2 + pi^2 / 3) at sd = log 2."""
    sd = np.log(2)
    found = float(re.search(r"median (0\.\d\d)", "\n".join(implied(cbpp_fit())))[1])
    assert found == pytest.approx(sd**2 / (sd**2 + np.pi**2 / 3), abs=0.006)
    probit = generalised_fit(
        CBPP, bm.load_dataset("cbpp"), "binomial", "probit", fixef=[0] * 4, sd={"herd": [1.0]}
    )
    found = float(re.search(r"median (0\.\d\d)", "\n".join(implied(probit)))[1])
    assert found == pytest.approx(sd**2 / (sd**2 + 1), abs=0.006)
    assert " slope of period2 between" in "\n".join(implied(probit))
    assert "on the probit scale" in "\n".join(implied(probit))


def test_priors_of_counts_are_told_as_rates():
    page = implied(negative_binomial_fit())
    assert " expected TICKS at average predictors between 0.016 and 61" in page
    assert any(line.startswith(" rate ratio of YEAR96 between") for line in page)
    assert " reciprocal_dispersion between 0.051 and 3" in page
    assert not any("ICC" in line or "mean response" in line for line in page)


def test_priors_of_other_links_stay_on_their_scale():
    fit = generalised_fit(
        "Reaction ~ Days + (1 | Subject)",
        bm.load_dataset("sleepstudy"),
        "Gamma",
        fixef=[0.003, 0.0],
        sd={"Subject": [0.001]},
        auxiliary={"shape": 50.0},
    )
    assert " 1 / expected Reaction at average predictors between -4.1 and 4.1" in implied(fit)
    assert any("on the inverse scale" in line for line in implied(fit))


# -- tables ----------------------------------------------------------------------------------------


def test_auxiliary_parameters_are_in_every_table():
    fit, name = negative_binomial_fit(), "reciprocal_dispersion"
    draws = fit.posterior.auxiliary[name].values.ravel()
    row = fit.tidy().set_index("term").loc[name]
    assert (row["effect"], row["group"]) == ("auxiliary", None)
    assert row["estimate"] == np.median(draws)
    assert fit.tidy("auxiliary")["term"].tolist() == [name]
    assert fit.summary().frame.loc[name, "mean"] == pytest.approx(draws.mean())
    np.testing.assert_allclose(fit.posterior_interval(0.9).loc[name], np.quantile(draws, [0.05, 0.95]))
    np.testing.assert_array_equal(fit.as_frame(name)[name], draws)
    assert name in fit.diagnostics().frame.index
    assert np.isfinite(fit.diagnostics().frame.loc[name, "rhat"])
    assert len(cbpp_fit().tidy("auxiliary")) == 0
    assert cbpp_fit().tidy("auxiliary").columns.tolist() == fit.tidy().columns.tolist()


def test_tidy_of_a_reference_fit_has_no_auxiliary_rows():
    ref = bm.lmer("Reaction ~ Days + (1 | Subject)", bm.load_dataset("sleepstudy"))
    assert len(ref.tidy("auxiliary")) == 0
    assert ref.tidy().columns.tolist() == ref.tidy("auxiliary").columns.tolist()


def test_exponentiated_coefficients_are_summaries_of_exponentiated_draws():
    fit = poisson_fit()
    odds = fit.tidy(exponentiate=True, conf_level=0.9).set_index("term")
    draws = np.exp(fit.posterior.fixef.sel(coefficient="YEAR97").values.ravel())
    median = np.median(draws)
    assert odds.loc["YEAR97", "estimate"] == pytest.approx(median, rel=1e-12)
    assert odds.loc["YEAR97", "std_error"] == pytest.approx(1.4826 * np.median(np.abs(draws - median)))
    np.testing.assert_allclose(
        odds.loc["YEAR97", ["conf_low", "conf_high"]].astype(float), np.quantile(draws, [0.05, 0.95])
    )
    plain = fit.tidy().set_index("term")
    assert odds.loc["sd__(Intercept)", "estimate"] == plain.loc["sd__(Intercept)", "estimate"]


def test_exponentiated_coefficients_need_a_link_that_gives_them_a_meaning():
    probit = generalised_fit(
        CBPP, bm.load_dataset("cbpp"), "binomial", "probit", fixef=[0] * 4, sd={"herd": [1.0]}
    )
    with pytest.raises(bm.BayesMLMError, match=r"logit, cloglog and log.*binomial \[probit\]"):
        probit.tidy(exponentiate=True)


# -- ordinal models --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ordinal():
    rng = np.random.default_rng(5)
    grades = pd.Categorical.from_codes(rng.integers(0, 3, 60), ["low", "middle", "high"], ordered=True)
    frame = pd.DataFrame({"grade": grades, "x": rng.normal(size=60), "g": np.arange(60) % 6})
    return generalised_fit(
        "grade ~ x + (1 | g)",
        frame,
        "cumulative",
        fixef=[0.5],
        sd={"g": [0.4]},
        auxiliary={"thresholds": [-1.0, 1.2]},
    )


def test_thresholds_are_cutpoints_as_in_rstanarm(ordinal):
    page = lines(ordinal)
    at = page.index("Cutpoints:")
    assert [row.split()[0] for row in page[at + 2 : at + 4]] == ["low|middle", "middle|high"]
    assert "Auxiliary" not in str(ordinal)
    assert ordinal.tidy("auxiliary")["term"].tolist() == ["thresholds[low|middle]", "thresholds[middle|high]"]
    assert ordinal.posterior_interval(pars="thresholds[low|middle]").shape == (1, 2)


def test_a_paper_on_an_ordinal_model(ordinal):
    prose = " ".join(str(ordinal.report()).split())
    assert "fitted to grade with thresholds and x in the fixed part" in prose
    assert re.search(r"The thresholds were low\|middle -1\.\d+ \[.*?\] and middle\|high 1\.", prose)


def test_an_ordinal_model_needs_no_intercept_for_effects_to_vary_around(ordinal):
    assert not ordinal.explain().found("no_fixed_effect")
    words = ordinal.explain().terms["meaning"]["x"]
    assert words.startswith("difference in log odds of a higher grade per 1 more of x")
