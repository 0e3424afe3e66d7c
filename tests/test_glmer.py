"""`bm.glmer`: pages, tables, predictions, simulations, intervals and tests, against lme4 and against themselves."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from generalised import rstanarms_cbpp
from reference_models import REFERENCE
from scipy.stats import chi2, norm

import bayesmlm as bm
from bayesmlm.reference.glmm.profile import fitted_glmm, glmm_parameters

LME4 = json.loads((REFERENCE / "lme4_glmer.json").read_text())
SIM = pd.DataFrame(LME4.pop("data"))
CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


def fit_of(name: str) -> bm.GlmerFit:
    entry = LME4[name]
    frame = SIM if entry["data"] == "sim" else bm.load_dataset(entry["data"])
    if entry["data"] == "grouseticks":
        frame = frame.assign(YEAR=frame.YEAR.astype(str))
    return bm.glmer(
        entry["formula"],
        frame,
        entry["family"],
        entry["link"],
        entry["n_agq"],
        weights=entry.get("weights"),
    )


@pytest.fixture(scope="module")
def fits():
    made = {}

    def get(name):
        if name not in made:
            made[name] = fit_of(name)
        return made[name]

    return get


@pytest.fixture(scope="module")
def cbpp(fits):
    return fits("cbpp")


# -- pages -----------------------------------------------------------------------------------------


def lme4_page(entry: dict, kind: str) -> list[str]:
    """lme4's page without the lines on data and optimiser, which ours does not have, and with plain quotes."""
    plain = [line.rstrip().replace("‘", "'").replace("’", "'") for line in entry[kind]]
    ours = ("   Data:", "Control:", "optimizer (", "boundary (singular)", "Weights:")
    kept = [line for line in plain if not line.startswith(ours)]
    while kept and not kept[-1]:
        kept.pop()
    return kept


def our_page(fit: bm.GlmerFit, kind: str) -> list[str]:
    page = [line.rstrip() for line in (repr(fit) if kind == "print" else str(fit.summary())).split("\n")]
    if fit.is_singular():
        assert "singular" in page.pop()
    notes = ("Weights:", "Standard errors take theta")
    return [line for line in page if not line.startswith(notes)]


@pytest.mark.parametrize("kind", ["print", "summary"])
def test_cbpp_prints_as_lme4_prints_it(cbpp, kind):
    assert our_page(cbpp, kind) == lme4_page(LME4["cbpp"], kind)


QUADRATURE = {name for name, entry in LME4.items() if entry["n_agq"] > 1}


@pytest.mark.parametrize("kind", ["print", "summary"])
@pytest.mark.parametrize(
    "name", [n for n in LME4 if n not in QUADRATURE | {"gaussian_log", "gaussian_log_weights"}]
)
def test_pages_are_lme4s_to_the_digits_that_its_optimiser_finds(fits, name, kind):
    ours, theirs = our_page(fits(name), kind), lme4_page(LME4[name], kind)
    assert len(ours) == len(theirs)
    for mine, line in zip(ours, theirs, strict=True):
        if mine != line:
            for one, other in zip(mine.split(), line.split(), strict=True):
                # lme4's standard errors have four digits: they are from second differences
                assert one == other or float(one) == pytest.approx(float(other), rel=4e-4, abs=2e-4), (
                    mine,
                    line,
                )


def test_pages_of_quadrature_say_how_many_nodes(fits):
    page = str(fits("cbpp_agq9").summary()).split("\n")
    assert page[:2] == LME4["cbpp_agq9"]["summary"][:2]


def test_a_page_says_when_standard_errors_take_theta_as_known(fits):
    assert "Standard errors take theta as known" in str(fits("cbpp_agq0").summary())
    assert "theta as known" not in str(fits("cbpp").summary())


def test_pages_have_html(cbpp):
    assert "<table>" in cbpp._repr_html_()
    assert "Laplace" in cbpp.summary()._repr_html_()


def test_lines_about_weights_offset_and_exposure():
    fit = bm.glmer(
        "count ~ x + (1 | g)", SIM, "poisson", offset=np.zeros(len(SIM)), exposure="time", weights="w"
    )
    lines = str(fit.summary()).split("\n")
    assert lines[4:7] == ["Weights: w", " Offset: given as numbers", "Exposure: time"]


# -- tables ----------------------------------------------------------------------------------------


def test_estimates_have_rs_names(cbpp):
    assert list(cbpp.fixef().index) == ["(Intercept)", "period2", "period3", "period4"]
    assert cbpp.varcorr().sd["herd"]["(Intercept)"] == pytest.approx(LME4["cbpp"]["theta"], abs=1e-6)
    assert cbpp.varcorr().sigma is None
    assert list(cbpp.varcorr().to_frame()["grp"]) == ["herd"]
    herd = cbpp.coef()["herd"]
    np.testing.assert_allclose(
        herd["(Intercept)"] - cbpp.ranef()["herd"]["(Intercept)"], cbpp.fixef()["(Intercept)"]
    )
    assert list(cbpp.ranef(sd=True)["herd"].columns) == ["(Intercept)", "sd__(Intercept)"]


def test_z_tests_are_lme4s(fits):
    for name in ("cbpp", "grouseticks", "gamma_log"):
        table, entry = fits(name).coefficients(), LME4[name]["fixef"]
        np.testing.assert_allclose(table["statistic"], entry["statistic"], rtol=2e-4)
        np.testing.assert_allclose(table["p_value"], entry["p"], rtol=5e-3)


def test_tidy_has_brooms_columns(cbpp):
    tidy = cbpp.tidy(["fixed", "ran_pars", "ran_vals"])
    assert list(tidy.columns) == [
        *("effect", "group", "level", "term", "estimate", "std_error", "conf_low", "conf_high"),
        *("statistic", "p_value"),
    ]
    assert list(tidy["effect"].value_counts()[["fixed", "ran_pars", "ran_vals"]]) == [4, 1, 15]
    assert list(tidy.query("effect == 'ran_pars'")["term"]) == ["sd__(Intercept)"]
    fixed = tidy.query("effect == 'fixed'")
    wald = [LME4["cbpp"]["wald"][end][1:] for end in ("lower", "upper")]
    np.testing.assert_allclose(fixed[["conf_low", "conf_high"]].to_numpy().T, wald, atol=1e-5)


def test_exponentiated_coefficients_are_odds_ratios(cbpp):
    plain, ratios = cbpp.tidy("fixed"), cbpp.tidy("fixed", exponentiate=True)
    for column in ("estimate", "conf_low", "conf_high"):
        np.testing.assert_allclose(ratios[column], np.exp(plain[column]))
    np.testing.assert_allclose(ratios["std_error"], plain["std_error"] * np.exp(plain["estimate"]))
    np.testing.assert_array_equal(ratios[["statistic", "p_value"]], plain[["statistic", "p_value"]])


def test_a_probits_exponentials_are_warned_of(fits):
    with pytest.warns(bm.DataWarning, match="no ratios"):
        fits("cbpp_probit").tidy("fixed", exponentiate=True)


def test_a_dispersed_family_has_a_residual_row(fits):
    tidy = fits("gamma_log").tidy("ran_pars")
    assert list(tidy["group"]) == ["g", "Residual"]
    assert tidy["estimate"].iloc[1] == pytest.approx(LME4["gamma_log"]["sigma"], rel=1e-5)


def test_glance_is_brooms(cbpp):
    glance = cbpp.glance().iloc[0]
    entry = LME4["cbpp"]
    assert glance["deviance"] == pytest.approx(entry["deviance"], abs=1e-4)
    assert glance["log_lik"] == pytest.approx(entry["logLik"], abs=1e-6)
    assert (glance["nobs"], glance["df_residual"], glance["sigma"]) == (56, 51, 1.0)


def test_shares_of_a_logistic_model_are_on_the_latent_scale(cbpp):
    between, within = cbpp.theta[0] ** 2, np.pi**2 / 3
    fixed = np.var(cbpp.design.X @ cbpp.fixef(), ddof=1)
    assert cbpp.icc()["herd"] == pytest.approx(between / (between + within))
    assert cbpp.icc(by_group=False)["adjusted"] == pytest.approx(between / (between + within))
    total = fixed + between + within
    np.testing.assert_allclose(cbpp.r2(), [fixed / total, (fixed + between) / total])


def test_effects_of_rows_count_as_residuals(fits):
    """Poisson: log(1 + 1 / mean), the mean that of rows and groups; Nakagawa, Johnson & Schielzeth 2017, eq. 4.9."""
    fit = fits("grouseticks")
    row, brood, location = fit.theta**2
    eta = fit.design.X @ fit.fixef()
    noise = np.log1p(1 / np.mean(np.exp(eta + (row + brood + location) / 2)))
    shares = fit.icc()
    assert list(shares.index) == ["INDEX", "BROOD", "LOCATION"]
    np.testing.assert_allclose(shares, fit.theta**2 / (row + brood + location + noise), rtol=1e-6)
    fixed = np.var(eta, ddof=1)
    total = fixed + row + brood + location + noise
    np.testing.assert_allclose(fit.r2(), [fixed / total, (fixed + brood + location) / total], rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["gamma_log", "grouseticks_nb", "gaussian_log", "wald", "sqrt", "cbpp_probit"]
)
def test_every_family_has_shares(fits, name):
    shares = fits(name).r2()
    assert 0 <= shares["marginal"] <= shares["conditional"] < 1


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["cbpp", "offset", "gamma_inverse", "sqrt", "grouseticks_nb", "cbpp_cloglog"]
)
def test_predictions_are_lme4s(fits, name):
    fit, entry = fits(name), LME4[name]
    np.testing.assert_allclose(fit.predict()[:8], entry["link_predictor"], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(fit.predict(type="response")[:8], entry["fitted"], rtol=2e-5)
    np.testing.assert_allclose(
        fit.predict(re_formula="~0", type="response")[:8], entry["population"], rtol=2e-5
    )


def test_new_rows_are_predicted_as_the_old_ones(fits):
    fit = fits("offset")
    np.testing.assert_allclose(fit.predict(SIM.head(20)), fit.predict()[:20])
    np.testing.assert_allclose(fit.predict(SIM.head(20), "~0"), fit.predict(re_formula="~0")[:20])
    np.testing.assert_allclose(fit.predict(SIM.head(9), "~ (1 | h)"), fit.predict(re_formula="~ (1 | h)")[:9])
    stranger = SIM.head(1).assign(g="nobody", h="nobody")
    np.testing.assert_allclose(fit.predict(stranger, allow_new_levels=True), fit.predict(stranger, "~0"))
    with pytest.raises(bm.DataError, match="nobody"):
        fit.predict(stranger)


def test_an_exposure_is_an_offset(fits):
    one = bm.glmer("count ~ x + (1 + x | g) + (1 | h)", SIM, "poisson", exposure="time")
    np.testing.assert_allclose(one.fixef(), fits("offset").fixef(), atol=1e-7)
    twice = SIM.head(5).assign(time=2 * SIM.time.head(5))
    np.testing.assert_allclose(one.predict(twice) - one.predict(SIM.head(5)), np.log(2.0))
    pd.testing.assert_frame_equal(
        one.simulate(2, 1, re_formula=None), one.simulate(2, 1, re_formula="~ (x | g) + (1 | h)")
    )
    np.testing.assert_allclose(one.predict(SIM.head(5), exposure=2 * SIM.time.head(5)), one.predict(twice))


def test_augment(cbpp):
    rows = cbpp.augment()
    np.testing.assert_allclose(rows["mu"], 1 / (1 + np.exp(-rows["fitted"])))
    np.testing.assert_allclose(rows["resid"][:8], LME4["cbpp"]["resid_deviance"], atol=1e-5)
    np.testing.assert_allclose(rows["weights"], rows["size"])
    assert np.sum(rows["resid"] ** 2) == pytest.approx(cbpp.conditional_deviance)
    new = cbpp.augment(bm.load_dataset("cbpp").head(3))
    np.testing.assert_allclose(new[["fitted", "fixed", "mu"]], rows[["fitted", "fixed", "mu"]].head(3))


def test_residuals_are_scaled_by_sigma(fits):
    fit = fits("gamma_log")
    np.testing.assert_allclose(fit.residuals("pearson", scaled=True) * fit.sigma, fit.residuals("pearson"))
    with pytest.raises(bm.BayesMLMError, match="Did you mean 'pearson'"):
        fit.residuals("pearsen")


@pytest.mark.parametrize(
    "name", ["cbpp", "weights", "gamma_weights", "wald_log", "gaussian_log_weights", "grouseticks_nb"]
)
def test_simulated_responses_have_the_moments_of_the_model(fits, name):
    """Given the group effects: means mu, variances phi V(mu) / w, within four standard errors."""
    fit = fits(name)
    n_sim = 4000
    draws = fit.simulate(n_sim, seed=2, re_formula=None).to_numpy()
    responses, mu = fit.estimate.responses, fit.fitted()
    size = responses.w if fit.family.name == "binomial" else 1.0
    weight = 1.0 if fit.family.name in {"poisson", "negativebinomial"} else responses.w
    variance = fit.sigma**2 * responses.variance(mu, fit.estimate.alpha)[0] / weight
    z = (draws.mean(axis=1) / size - mu) / np.sqrt(variance / n_sim)
    assert np.abs(z).max() < norm.isf(1e-4 / len(mu))
    ratio = (draws / np.reshape(size, (-1, 1)) if np.ndim(size) else draws).var(axis=1, ddof=1) / variance
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.03)


def test_simulations_draw_new_groups_unless_told_not_to(cbpp):
    new = cbpp.simulate(400, seed=1).to_numpy().mean(axis=1)
    same = cbpp.simulate(400, seed=1, re_formula=None).to_numpy().mean(axis=1)
    sizes = cbpp.estimate.responses.w
    assert np.std(same / sizes - new / sizes) > 0.02
    assert np.array_equal(cbpp.simulate(3, seed=5), cbpp.simulate(3, seed=5))
    counts = cbpp.simulate(50, seed=3, newdata=bm.load_dataset("cbpp").head(4), weights=[10, 10, 10, 1])
    assert counts.to_numpy()[3].max() <= 1 < counts.to_numpy()[:3].max() <= 10


# -- intervals -------------------------------------------------------------------------------------


def test_wald_intervals_are_lme4s(cbpp):
    found, theirs = cbpp.confint(method="wald"), LME4["cbpp"]["wald"]
    assert list(found.index) == theirs["names"]
    np.testing.assert_allclose(
        found.to_numpy().T[:, 1:], [theirs["lower"][1:], theirs["upper"][1:]], atol=1e-5
    )
    assert found.iloc[0].isna().all()


@pytest.mark.parametrize("name", ["cbpp", "slopes_counts", "binary_crossed"])
def test_profile_intervals_are_lme4s(fits, name):
    """lme4 interpolates its profiles: good to some thousandth of an interval's width."""
    found, theirs = fits(name).confint(), LME4[name]["profile"]
    assert list(found.index) == theirs["names"]
    ends = np.array([theirs["lower"], theirs["upper"]]).T
    width = np.diff(ends, axis=1)
    assert np.max(np.abs(found.to_numpy() - ends) / width) < 1e-3


@pytest.mark.parametrize("name", ["slopes_counts", "grouseticks_nb", "cbpp_agq9"])
def test_a_profile_limit_is_where_the_deviance_has_risen_by_the_quantile(fits, name):
    """Refits with the coefficient as an offset rise by the 95 % quantile of chi-square at its limits."""
    fit = fits(name)
    for end in fit.confint("beta_").loc[LME4[name]["fixef"]["names"][1]]:
        column = fit.design.X[:, 1]
        entry = LME4[name]
        frame = SIM if entry["data"] == "sim" else bm.load_dataset(entry["data"])
        frame = frame.assign(**{f"c{j}": fit.design.X[:, j] for j in range(2, fit.design.X.shape[1])})
        others = "".join(f" + c{j}" for j in range(2, fit.design.X.shape[1]))
        bars = " + ".join(re.findall(r"\([^()]*\|[^()]*\)", entry["formula"]))
        response = entry["formula"].split("~")[0]
        held = bm.glmer(
            f"{response} ~ 1{others} + {bars}",
            frame,
            entry["family"],
            entry["link"],
            entry["n_agq"],
            offset=end * column,
        )
        assert held.deviance - fit.deviance == pytest.approx(chi2.ppf(0.95, 1), abs=1e-4)


@pytest.mark.parametrize("name", ["slopes_counts", "binary_crossed", "grouseticks_nb"])
def test_the_gradient_of_a_profile_is_that_of_its_deviance(fits, name):
    fit = fits(name)
    best = fitted_glmm(fit.design, fit.estimate)
    for parameter in glmm_parameters(fit.design):
        held = best.hold(parameter)
        x = float(best.values[parameter]) * 0.9
        x = np.arcsin(x) if parameter.kind == "cor" else x
        phi = held.start(best.lambdas, 1.0) + 0.01
        gradient = held.evaluate(x, phi)[1]
        h = 1e-5 * np.eye(len(phi))
        slopes = [(held.evaluate(x, phi + e)[0] - held.evaluate(x, phi - e)[0]) / 2e-5 for e in h]
        known = (
            slice(1, None) if parameter.kind == "sd" else slice(None)
        )  # the first is log sigma, which is held
        np.testing.assert_allclose(gradient[known], np.array(slopes)[known], rtol=1e-5, atol=1e-5)


def test_profiles_pass_through_the_estimate(cbpp):
    frame = cbpp.profile("period2", n_points=3)
    at = frame.loc[frame.zeta == 0].iloc[0]
    assert at["value"] == cbpp.fixef()["period2"]
    assert frame.zeta.is_monotonic_increasing
    assert list(frame.columns[:3]) == ["parameter", "value", "zeta"]


def test_bootstrap_intervals_cover_the_estimate_and_repeat(cbpp):
    how = {"method": "boot", "n_boot": 60, "seed": 4, "progress": False}
    found = cbpp.confint(**how)
    pd.testing.assert_frame_equal(found, cbpp.confint(**how, cores=2))
    names = ["(Intercept)", "period2", "period3", "period4"]
    assert ((found.loc[names, "2.5 %"] < cbpp.fixef()) & (cbpp.fixef() < found.loc[names, "97.5 %"])).all()
    own = cbpp.bootstrap(lambda f: {"sd": f.theta[0]}, n_boot=10, seed=4, progress=False)
    default = cbpp.bootstrap(n_boot=10, seed=4, progress=False)
    np.testing.assert_allclose(own["sd"], default["sd_(Intercept)|herd"], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [("gamma_log", "no likelihood profiles"), ("cbpp_agq0", "does not maximise a likelihood")],
)
def test_profiles_that_do_not_exist_say_why(fits, name, words):
    with pytest.raises(bm.BayesMLMError, match=words):
        fits(name).confint()


# -- tests -----------------------------------------------------------------------------------------


def test_likelihood_ratio_tests_print_as_lme4s(cbpp):
    table = bm.anova(cbpp.update(". ~ . - period"), cbpp, model_names=["m0", "m"])
    theirs = [line.rstrip().replace("‘", "'").replace("’", "'") for line in LME4["cbpp"]["anova_printed"]][1:]
    ours = [line.rstrip() for line in str(table).split("\n")]
    assert ours[3:] == theirs[3:]
    frame = table.to_frame()
    assert frame.loc["m", "chisq"] == pytest.approx(LME4["cbpp"]["anova"]["Chisq"][1], abs=1e-4)
    assert frame.loc["m", "p_value"] == pytest.approx(LME4["cbpp"]["anova"]["Pr(>Chisq)"][1], rel=1e-3)


def test_a_variance_is_tested_at_its_boundary(fits):
    table = bm.anova(bm.glmer("many ~ x + (1 | g)", SIM, "poisson"), fits("slopes_counts")).to_frame()
    row = table.iloc[1]
    assert row["p_boundary"] == pytest.approx(0.5 * (chi2.sf(row["chisq"], 1) + chi2.sf(row["chisq"], 2)))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: bm.glmer("bin ~ x + (1 | g)", SIM), "different rows or responses|family, link"),
        (lambda: bm.glmer("many ~ x + (1 | g)", SIM, "poisson", "sqrt"), "family, link or n_agq"),
        (lambda: bm.glmer("many ~ x + (1 | g)", SIM, "poisson", weights="w"), "different weights"),
        (lambda: bm.glmer("many ~ x + (1 | g)", SIM.head(150), "poisson"), "different rows"),
        (lambda: bm.lmer("many ~ x + (1 | g)", SIM), "with one another, not with ReferenceFit"),
    ],
)
def test_what_cannot_be_compared(fits, other, words):
    with pytest.raises(bm.BayesMLMError, match=words):
        bm.anova(fits("slopes_counts"), other())


def test_one_generalised_model_has_no_f_tests(cbpp):
    with pytest.raises(bm.BayesMLMError, match="linear mixed models only"):
        bm.anova(cbpp)
    with pytest.raises(bm.BayesMLMError, match="z tests"):
        cbpp.summary(ddf="satterthwaite")


# -- beside a posterior ----------------------------------------------------------------------------


def test_a_posterior_stands_beside_its_glmer_fit(cbpp):
    """rstanarm's draws beside lme4's estimates: nothing is far apart, and no row is made up."""
    fit = rstanarms_cbpp()
    compared = fit.compare()
    own = compared.frame.query("effect != 'icc'")
    assert list(own["term"]) == [*cbpp.fixef().index, "sd__(Intercept)"]
    np.testing.assert_allclose(own["reference"], [*cbpp.fixef(), cbpp.theta[0]])
    assert (own["shift"].abs() < 1).all()
    assert str(compared).startswith("Posterior beside maximum likelihood (Laplace)")
    assert str(bm.compare(fit, cbpp)) == str(compared)
    assert str(bm.compare(fit, cbpp.refit(9))).startswith("Posterior beside maximum likelihood (AGQ(9))")
    with pytest.raises(bm.DataError, match="different models"):
        bm.compare(fit, cbpp.update(link="probit"))


# -- fitting again ---------------------------------------------------------------------------------


def test_update_keeps_what_is_not_named(fits):
    probit = fits("cbpp_probit")
    smaller = probit.update(". ~ . - period")
    assert smaller.family == probit.family
    assert list(smaller.fixef().index) == ["(Intercept)"]
    assert probit.update(link="logit").loglik == pytest.approx(LME4["cbpp"]["logLik"], abs=1e-6)
    assert probit.update(link="logit", n_agq=9).loglik == pytest.approx(fits("cbpp_agq9").loglik)
    weighted = fits("weights").update(". ~ . + h")
    np.testing.assert_array_equal(weighted.estimate.weights, SIM.w)


def test_refit_with_another_approximation(cbpp, fits):
    assert cbpp.refit(9).loglik == fits("cbpp_agq9").loglik
    assert cbpp.refit(1).loglik == cbpp.loglik


def test_a_fit_can_be_pickled(cbpp):
    copy = pickle.loads(pickle.dumps(cbpp))
    assert repr(copy) == repr(cbpp)
    with pytest.raises(bm.DataError, match="pickled"):
        copy.update(". ~ . - period")


def test_responses_may_be_words():
    words = SIM.assign(y=np.where(SIM.bin3 == 1, "yes", "no"), truth=SIM.bin3 == 1)
    numbers = bm.glmer("bin3 ~ x + (1 | g)", SIM)
    for formula in ("y ~ x + (1 | g)", "truth ~ x + (1 | g)"):
        np.testing.assert_allclose(bm.glmer(formula, words).fixef(), numbers.fixef())


@pytest.mark.parametrize(
    ("formula", "family", "words"),
    [
        ("many ~ x + (1 | g)", "gaussian", "bm.lmer"),
        ("many ~ x + (1 | g)", "beta", "between 0 and 1"),
        ("pos ~ x + (1 | g)", "weibull", "no maximum likelihood"),
        ("many ~ x + (1 | g)", "poison", "Did you mean 'poisson'"),
        ("many ~ x", "poisson", "model for glm"),
        ("pos ~ x + (1 | g)", "binomial", "pos"),
    ],
)
def test_what_is_refused(formula, family, words):
    with pytest.raises(bm.BayesMLMError, match=words):
        bm.glmer(formula, SIM, family)


def test_separation_is_not_called_converged_without_a_word():
    """All responses of a category equal: its coefficient has no finite estimate, and the standard error says so."""
    apart = SIM.assign(y=SIM.bin3.where(SIM.h != "h1", 1), first=(SIM.h == "h1").astype(float))
    fit = bm.glmer("y ~ first + x + (1 | g)", apart)
    assert not fit.estimate.converged or fit.se()["first"] > 100


def test_the_doctor_climbs_down_by_likelihood(cbpp):
    diagnosis = cbpp.doctor(ladder=True)
    assert not diagnosis.singular
    whole, none = diagnosis.frame["loglik"]
    assert whole == pytest.approx(cbpp.loglik)
    assert none < whole - 5


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("residual_checks", "quantile residuals"),
        ("plot_check", "quantile residuals"),
        ("proportional_change", r"r2\(\)"),
        ("pcv", r"r2\(\)"),
    ],
)
def test_what_is_not_defined_says_why(cbpp, verb, words):
    with pytest.raises(bm.BayesMLMError, match=words):
        getattr(cbpp, verb)()
