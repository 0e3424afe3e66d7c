"""What is written of a fit: its words follow the model, its numbers are those of the tables."""

import re

import numpy as np
import pytest
from synthetic import fit_of

import bayesmlm as bm
from bayesmlm.report import citations
from bayesmlm.report.prose import Code, Paragraph, Prose, listed
from bayesmlm.tables import direction_probability

SLEEP = bm.load_dataset("sleepstudy")
FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def fit():
    return fit_of(FORMULA, SLEEP, spread=0.1)


def paragraphs(prose):
    return {p.heading: str(p) for p in prose.paragraphs}


# -- words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        (
            "Reaction ~ 1 + (1 | Subject)",
            ["an intercept only", "The intercept varied between the 18 levels of Subject."],
        ),
        (
            FORMULA,
            ["an intercept and Days", "the coefficient of Days varied", "the two were allowed to correlate"],
        ),
        ("Reaction ~ Days + (Days || Subject)", ["independently of the other effects of Subject"]),
        (
            "Reaction ~ 0 + Days + (0 + Days | Subject)",
            ["no intercept and Days", "The coefficient of Days varied"],
        ),
        (
            "log(Reaction) ~ Days + I(Days^2) + (1 | Subject)",
            ["fitted to log(Reaction)", "Days and I(Days^2)"],
        ),
    ],
)
def test_the_model_is_told_in_words(formula, words):
    model = paragraphs(bm.lmer(formula, SLEEP).report(ddf=None))["Model"]
    assert all(w in model for w in words), model
    assert bm.lmer(formula, SLEEP).formula in model
    assert ("correlate" in model) == (formula == FORMULA)


def test_rows_left_out_are_told():
    data = SLEEP.assign(Days=SLEEP["Days"].where(SLEEP["Days"] != 3))
    told = paragraphs(fit_of(FORMULA, data).report())["Data"]
    assert told.startswith("162 rows in 18 levels of Subject (9 per level).")
    assert "18 of 180 rows left out: missing Days 18" in told
    assert "No row was left out" in paragraphs(fit_of(FORMULA, SLEEP).report())["Data"]


def test_default_priors_are_told_as_specified_and_as_scaled(fit):
    told = paragraphs(fit.report())["Priors"]
    assert told.startswith("The priors were rstanarm's defaults")
    assert "the coefficient of Days ~ normal(location = 0, scale = 2.5), scaled to the data normal(" in told
    assert "at the means of the predictors" in told
    assert "LKJ(1) for the correlations" in told


def test_given_priors_are_told():
    priors = {"Days": bm.student_t(4, 0, 3), "Subject": bm.lkj(2, sd=bm.half_normal(20))}
    told = paragraphs(fit_of(FORMULA, SLEEP, priors=priors).report())["Priors"]
    assert "rstanarm" not in told
    assert "the coefficient of Days ~ student_t(df = 4, location = 0, scale = 3);" in told
    assert "lkj(reg. = 2, sd ~ half_normal(scale = 20))" in told


def test_sampling_is_told(fit):
    told = paragraphs(fit.report())["Sampling"]
    for words in (
        "4 chains of 250 draws",
        "1000 draws in all",
        "target acceptance 0.9",
        "seed 7",
        "No draw diverged",
    ):
        assert words.lower() in told.lower()
    assert f"bayesmlm {bm.__version__}" in told
    assert "drawn exactly given the variances" in told


def test_trouble_in_sampling_is_told():
    fit = fit_of(FORMULA, SLEEP, notes=["chains do not agree yet"])
    fit.posterior.sample_stats["diverging"][0, :3] = True
    fit.posterior.fixef[0, :, 1] += 5.0
    told = paragraphs(fit.report())["Sampling"]
    assert "3 draws diverged" in told
    assert "Chains do not agree yet." in told
    assert re.search(r"largest Rhat was (1\.[1-9]|[2-9]).* \(Days\)", told)


def test_works_are_cited_that_the_fit_rests_on(fit):
    cited = fit.report().references
    assert {citations.BAMBI, citations.NUTPIE, citations.RSTANARM, citations.LKJ, citations.LME4} <= set(
        cited
    )
    assert citations.PYMC not in cited, "the kernel drew these"
    simple = fit_of(
        "Reaction ~ Days + (1 | Subject)", SLEEP, sampler="NUTS (nutpie) on the PyMC graph (asked for)"
    )
    assert citations.LKJ not in simple.report().references, "one effect has no correlation"
    assert citations.PYMC in simple.report().references
    assert list(cited) == sorted(cited)


# -- numbers -------------------------------------------------------------------------------------------


def test_fixed_effects_have_the_numbers_of_tidy(fit):
    row = fit.tidy("fixed", conf_level=0.8).iloc[1]
    told = paragraphs(fit.report(prob=0.8, digits=3))["Fixed effects"]
    assert "80% central posterior interval" in told
    assert f"Days {row['estimate']:.3f} [{row['conf_low']:.3f}, {row['conf_high']:.3f}]" in told


def test_probability_of_direction():
    fit = fit_of(FORMULA, SLEEP, fixef=[250.0, -0.5], spread=1.0)
    draws = fit.as_frame()
    direction = direction_probability(fit.posterior.fixef)
    assert direction["Days"] == (draws["Days"] < 0).mean() > 0.5
    assert f"P(negative) = {direction['Days']:.3f}" in paragraphs(fit.report())["Fixed effects"]


def test_variance_components_have_the_numbers_of_tidy(fit):
    told = paragraphs(fit.report())["Variance components"]
    for row in fit.tidy("ran_pars").to_dict("records"):
        assert f"{row['estimate']:.2f} [{row['conf_low']:.2f}, {row['conf_high']:.2f}]" in told
    assert f"(where Days = 0) was {fit.icc()['Median'].iloc[0]:.2f}" in told


def test_agreement_with_reml_is_told(fit):
    told = paragraphs(fit.report())["Comparison with REML"]
    frame = fit.compare(prob=0.95).frame
    assert f"All {len(frame)} estimates lie in their 95% posterior intervals." in told


def test_a_boundary_is_told():
    fit = fit_of("Yield ~ 1 + (1 | Batch)", bm.load_dataset("dyestuff2"), sd={"Batch": [0.3]}, spread=0.2)
    told = paragraphs(fit.report())["Comparison with REML"]
    assert "Batch sd (Intercept): REML puts it at 0; posterior P(sd < 10% of sigma)" in told
    assert fit.reference().status in told


def test_an_estimate_outside_the_interval_is_told():
    ref = bm.lmer(FORMULA, SLEEP)
    fit = fit_of(FORMULA, SLEEP, sd={"Subject": ref.varcorr().sd["Subject"].to_numpy() * [1.5, 1.0]})
    told = paragraphs(fit.report())["Comparison with REML"]
    assert "Subject sd (Intercept): 18 groups of Subject: the estimate lies outside the interval." in told


def test_a_reference_fit_is_written_up():
    ref = bm.lmer(FORMULA, SLEEP)
    told = paragraphs(ref.report())
    row = ref.tidy("fixed", ddf="satterthwaite").iloc[1]
    assert f"Days {row['estimate']:.2f} (SE {row['std_error']:.2f})" in told["Fixed effects"]
    assert f"t({row['df']:.1f}) = {row['statistic']:.2f}, p < 0.001" in told["Fixed effects"]
    assert f"REML criterion was {ref.reml_criterion:.1f}" in told["Estimation"]
    sd = ref.varcorr().sd["Subject"]
    assert (
        f"that of the coefficient of Days {sd['Days']:.2f}; their correlation was"
        in told["Variance components"]
    )
    assert f"R² was {ref.r2()['marginal']:.2f}" in told["Variance components"]
    assert citations.SATTERTHWAITE in ref.report().references
    assert citations.KENWARD_ROGER in ref.report(ddf="kenward-roger").references
    assert "t(" not in paragraphs(ref.report(ddf=None))["Fixed effects"]
    assert "log-likelihood" in paragraphs(ref.refit(reml=False).report())["Estimation"]


def test_crossed_factors_and_three_effects_are_told():
    told = paragraphs(
        bm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", bm.load_dataset("penicillin")).report()
    )
    assert (
        "24 levels of plate and 6 levels of sample (6 per level of plate and 24 per level of sample)"
        in told["Data"]
    )
    assert "The intraclass correlation of sample was 0.79." in told["Variance components"]
    three = bm.lmer("Reaction ~ Days + (Days + I(Days^2) | Subject)", SLEEP)
    told = paragraphs(three.report(ddf=None))["Variance components"]
    for x, y in (("(Intercept)", "Days"), ("(Intercept)", "I(Days^2)"), ("Days", "I(Days^2)")):
        assert f"{three.varcorr().corr['Subject'].loc[x, y]:.2f} ({x}, {y})" in told


def test_a_real_fit(m3):
    prose = m3.report()
    told = paragraphs(prose)
    assert "180 of 1905 rows left out" in told["Data"]
    assert f"femaleF {m3.fixef()['femaleF']:.2f} [" in told["Fixed effects"]
    assert "P(positive) > 0.999" in told["Fixed effects"]
    assert "4 chains of 1000 draws after 1000 iterations" in told["Sampling"]
    assert max(map(len, prose.text.split("\n"))) <= 88 or "doi" in prose.text


# -- forms ---------------------------------------------------------------------------------------------


def test_forms_of_prose():
    prose = Prose((Paragraph("Model", ("of a_b < c: ", Code("y ~ `a b`*x"), ".")),), ("A & B (2020).",))
    assert prose.text == "Model. of a_b < c: y ~ `a b`*x.\n\nReferences\n- A & B (2020)."
    assert prose.markdown.startswith(r"**Model.** of a\_b \< c: `` y ~ `a b`*x ``.")
    assert "a_b &lt; c: <code>y ~ `a b`*x</code>." in prose._repr_html_()
    assert "A &amp; B" in prose._repr_html_()
    assert repr(prose) == prose.text


def test_lists_of_words():
    assert [listed(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


# -- frames --------------------------------------------------------------------------------------------


def test_draws_as_a_frame(fit):
    frame = fit.as_frame()
    names = fit.summary().frame.index.tolist()
    assert frame.columns.tolist() == [n for n in names if n not in {"mean_PPD", "log-posterior"}]
    assert frame.index.names == ["chain", "draw"]
    np.testing.assert_allclose(frame.mean(), fit.summary().frame.loc[frame.columns, "mean"])
    assert frame.loc[(2, 17), "Days"] == fit.posterior.fixef.sel(chain=2, draw=17, coefficient="Days")
    assert fit.as_frame(["beta", "mean_PPD"]).columns.tolist() == ["Days", "mean_PPD"]
    with pytest.raises(bm.BayesMLMError, match="Did you mean 'Days'"):
        fit.as_frame("Dayz")


def test_glance_is_one_row(fit):
    (row,) = fit.glance().to_dict("records")
    assert row == {"algorithm": "sampling", "pss": 1000, "nobs": 180, "sigma": fit.sigma}


def test_glance_of_a_linear_model_is_rs():
    """Values of R 4: summary(lm(Reaction ~ Days, sleepstudy)), logLik, AIC, BIC, deviance."""
    (row,) = bm.lm("Reaction ~ Days", SLEEP).glance().to_dict("records")
    expected = {
        "r_squared": 0.28647139510771,
        "adj_r_squared": 0.282462807439776,
        "sigma": 47.7147197437785,
        "statistic": 71.4644205986245,
        "p_value": 9.89409632221509e-15,
        "df": 1,
        "log_lik": -950.146528178182,
        "aic": 1906.29305635636,
        "bic": 1915.87192690903,
        "deviance": 405251.617480465,
        "df_residual": 178,
        "nobs": 180,
    }
    assert row == pytest.approx(expected, rel=1e-8)
    null = bm.lm("Reaction ~ 1", SLEEP).glance().iloc[0]
    assert np.isnan(null["statistic"])
    assert np.isnan(null["p_value"])
