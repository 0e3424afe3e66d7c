"""Hypotheses about parameters: what a text means, what the draws say of it, and evidence for an equality."""

import numpy as np
import pytest
from scipy import stats
from synthetic import fit_of

import bayesmlm as bm
from bayesmlm.arithmetic import evaluate, linear_form, parse_statement
from bayesmlm.evidence import density_at_zero, prior_density
from bayesmlm.prior_values import prior_values
from bayesmlm.priors import build_priors, lkj_cholesky

SLEEP = bm.load_dataset("sleepstudy")
KNOWN = [
    "(Intercept)",
    "x",
    "y",
    "I(x^2)",
    "x:factor(g)1",
    "log(z)",
    "sd_g__(Intercept)",
    "b[x g:a b]",
    "`a b`",
    "t.1",
]
ALIASES = {"Intercept": "(Intercept)"}


@pytest.fixture(scope="module")
def fit():
    return fit_of("Reaction ~ Days + (Days | Subject)", SLEEP, spread=0.2)


def parsed(text):
    return parse_statement(text, KNOWN, ALIASES)


# -- the language --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names", "sign"),
    [
        ("x > 0", ["x"], ">"),
        ("x>=0", ["x"], ">"),
        ("0 < x", ["x"], "<"),
        ("x = y", ["x", "y"], "="),
        ("x == y", ["x", "y"], "="),
        ("(Intercept) + x > 75", ["(Intercept)", "x"], ">"),
        ("Intercept > 75", ["(Intercept)"], ">"),
        ("abs(Intercept) > 75", ["(Intercept)"], ">"),
        ("`(Intercept)` > 75", ["(Intercept)"], ">"),
        ("x:factor(g)1 - x < 0", ["x:factor(g)1", "x"], "<"),
        ("I(x^2) > x^2", ["I(x^2)", "x"], ">"),
        ("log(z) < log(x)", ["log(z)", "x"], "<"),
        ("b[x g:a b] > sd_g__(Intercept)", ["b[x g:a b]", "sd_g__(Intercept)"], ">"),
        ("`b[x g:a b]` > 0", ["b[x g:a b]"], ">"),
        ("`a b` > t.1", ["`a b`", "t.1"], ">"),
    ],
)
def test_names_and_comparisons(text, names, sign):
    statement = parsed(text)
    assert list(statement.names) == names
    assert statement.sign == sign


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4^2 - 1", 49),
        ("-2^2", -4),
        ("2^3^2", 512),
        ("2^-1", 0.5),
        ("(1 + 2) * 3 / 4 / 3", 0.75),
        ("8 - 3 - 2", 3),
        ("abs(-exp(0)) + log(exp(3)) - sqrt(4)", 2),
        ("1e2 * +.5", 50),
        ("x * (y - 1)", 21),
    ],
)
def test_arithmetic_is_rs(text, value):
    statement = parsed(f"{text} > x")
    got = evaluate(statement.left, {"x": np.array([7.0]), "y": np.array([4.0])})
    np.testing.assert_allclose(got, value)


@pytest.mark.parametrize(
    ("text", "message", "marked"),
    [
        ("xx + sd_g__(Intercpt) > 0", "Did you mean 'x'", "xx"),
        ("sd_g__(Intercpt) > 0", r"Did you mean 'sd_g__\(Intercept\)'", "sd_g__(Intercpt)"),
        ("b[x g:a c] > 0", r"Did you mean 'b\[x g:a b\]'", "b[x g:a c]"),
        ("nothing > 0", "There are: ", "nothing"),
        ("x", "compares once", None),
        ("x > 0 > y", "compares once", ">"),
        ("x >", "is missing here", None),
        ("> x", "is missing here", ">"),
        ("x + > 0", "something is missing", ">"),
        ("(x > 0", "never closed", "("),
        ("x y > 0", "unexpected 'y'", "y"),
        ("sin(x) > 0", "abs, exp, log, sqrt of one number, not sin", "sin(x)"),
        ("abs(x, y) > 0", "of one number", "abs(x, y)"),
        ("x:y > 0", "neither a parameter nor arithmetic", "x:y"),
        ("x $ y > 0", "unexpected character", "$"),
        ("`x > 0", "unclosed quote", "`"),
        ("'x' > 0", "neither a parameter nor arithmetic", "'x'"),
        ("2 > 1", "has no parameter", "2 > 1"),
    ],
)
def test_mistakes_are_pointed_at(text, message, marked):
    with pytest.raises(bm.FormulaError, match=message) as caught:
        parsed(text)
    error = caught.value
    if marked is not None:
        assert text[error.start : error.end or error.start + 1] == marked
        assert "^" * len(marked) in str(error)


@pytest.mark.parametrize("text", ["", "  ", None, 3])
def test_a_hypothesis_is_text(text):
    with pytest.raises(bm.FormulaError, match="such as 'x > 0'"):
        parsed(text)


def test_nothing_is_run_as_code():
    with pytest.raises(bm.FormulaError):
        parsed("__import__('os').getcwd() > 0")


@pytest.mark.parametrize(
    ("text", "constant", "weights"),
    [
        ("2 * x - (y - 3) / 4", 0.75, {"x": 2, "y": -0.25}),
        ("-(x + x) * exp(0)", 0, {"x": -2}),
        ("x * y", None, None),
        ("x^2", None, None),
        ("abs(x)", None, None),
        ("1 / x", None, None),
    ],
)
def test_linear_forms_are_seen(text, constant, weights):
    form = linear_form(parsed(f"{text} > x").left)
    if weights is None:
        assert form is None
    else:
        assert (form.constant, form.weights) == (constant, weights)


# -- what the draws say --------------------------------------------------------------------------------


def test_one_sided_hypotheses_are_shares_of_the_draws(fit):
    frame = fit.hypothesis(["Days > 11", "Days < 11"], prob=0.8).frame
    delta = fit.as_frame()["Days"] - 11
    row = frame.iloc[0]
    assert row["post_prob"] == (delta > 0).mean()
    assert row["evidence_ratio"] == pytest.approx((delta > 0).sum() / (delta < 0).sum())
    assert row["estimate"] == pytest.approx(delta.median())
    np.testing.assert_allclose(row[["conf_low", "conf_high"]].astype(float), delta.quantile([0.1, 0.9]))
    assert frame["post_prob"].sum() == pytest.approx(1)
    assert frame["hypothesis"].tolist() == ["Days > 11", "Days < 11"]


def test_every_parameter_can_be_named(fit):
    draws, block = fit.as_frame(), fit.posterior.blocks[0]
    sd = block.sd.values.reshape(-1, 2)
    values = {
        "sigma": draws["sigma"],
        "sd__Observation": draws["sigma"],
        "Intercept": draws["(Intercept)"],
        "b[Days Subject:308]": draws["b[Days Subject:308]"],
        "Sigma[Subject:Days,(Intercept)]": draws["Sigma[Subject:Days,(Intercept)]"],
        "sd_Subject__Days": sd[:, 1],
        "sd_Subject__Intercept": sd[:, 0],
        "sd__(Intercept)": sd[:, 0],
        "cor_Subject__(Intercept).Days": block.corr.values[..., 1, 0].ravel(),
        "cor_Subject__Intercept__Days": block.corr.values[..., 1, 0].ravel(),
        "cor__(Intercept).Days": block.corr.values[..., 1, 0].ravel(),
        "icc_Subject": sd[:, 0] ** 2 / (sd[:, 0] ** 2 + draws["sigma"] ** 2),
    }
    frame = fit.hypothesis([f"{name} > 0" for name in values]).frame
    np.testing.assert_allclose(frame["estimate"], [np.median(v) for v in values.values()])


def test_a_name_that_two_blocks_share_is_not_guessed():
    fit = fit_of("diameter ~ 1 + (1 | plate) + (1 | sample)", bm.load_dataset("penicillin"))
    with pytest.raises(bm.FormulaError, match=r"no parameter|neither"):
        fit.hypothesis("sd__(Intercept) > 0")
    assert fit.hypothesis("sd_plate__Intercept < sd_sample__Intercept").frame["post_prob"].item() == 1.0


def test_a_group_effect_that_was_not_kept_is_said_to_be_so(fit):
    part = fit.with_ranef({"Subject": ["309"]})
    got, expected = (f.hypothesis("b[Days Subject:309] > 0").frame for f in (part, fit))
    assert got.equals(expected)
    with pytest.raises(bm.DataError, match=r"level 308 of Subject were not kept: fit\.with_ranef"):
        part.hypothesis("b[Days Subject:308] > 0")


def test_the_region_of_equivalence(fit):
    delta = fit.as_frame()["Days"] - 10
    got = fit.hypothesis("Days = 10", rope=(-1, 2)).frame["rope_prob"].item()
    assert got == ((delta > -1) & (delta < 2)).mean()
    assert np.isnan(fit.hypothesis("Days = 10").frame["rope_prob"].item())
    for rope in [(1, -1), (0,), "wide", 3]:
        with pytest.raises(bm.BayesMLMError, match="two ends"):
            fit.hypothesis("Days > 0", rope=rope)


def test_certainty_is_infinite_odds_and_said_to_rest_on_the_draws(fit):
    report = fit.hypothesis("sigma > 0")
    assert report.frame["evidence_ratio"].item() == np.inf
    assert "every draw satisfies it; 1000 draws tell no more" in str(report)


def test_a_value_that_is_not_defined_is_refused(fit):
    with pytest.raises(bm.BayesMLMError, match="no finite value in 1000 of 1000"):
        fit.hypothesis("log(-sigma) > 0")


def test_print(fit):
    text = str(fit.hypothesis(["Days > 11", "Days = 11"], rope=(-1, 1)))
    assert text.startswith("Hypotheses about Reaction ~ Days + (Days | Subject)")
    for words in ("Median", "90% interval", "Evid.Ratio", "Post.Prob", "In ROPE", "Savage and Dickey"):
        assert words in text
    assert "ROPE" not in str(fit.hypothesis("Days > 11"))


# -- evidence for an equality --------------------------------------------------------------------------


@pytest.mark.parametrize("point", [-1.5, 0.0, 2.0])
def test_density_of_normal_draws(point):
    """A normal kernel makes of N(m, s^2) N(m, s^2 + h^2); around that the estimate has a Monte Carlo error."""
    n = 4000
    draws = np.random.default_rng(1).normal(0.3, 1.7, n) - point
    h = 0.9 * min(draws.std(ddof=1), stats.iqr(draws) / 1.34) * n**-0.2
    expected = stats.norm.pdf(point, 0.3, np.hypot(1.7, h))
    error = np.sqrt(expected / (2 * np.sqrt(np.pi) * n * h))
    assert density_at_zero(draws) == pytest.approx(expected, abs=4 * error)


def test_density_near_a_bound_is_reflected():
    """Uniform draws on (0, 1) have density 1 up to their ends; without reflection half of it would be lost."""
    n = 20_000
    draws = np.random.default_rng(1).uniform(0, 1, n)
    h = 0.9 * stats.iqr(draws) / 1.34 * n**-0.2
    error = np.sqrt(2 / (2 * np.sqrt(np.pi) * n * h))
    assert density_at_zero(draws - 0.999, -0.999, 0.001) == pytest.approx(1, abs=4 * error)


def test_evidence_is_posterior_over_prior_density(fit):
    """Both are normal here: the posterior by construction, the prior of a slope by default."""
    draws = fit.as_frame()["Days"]
    m, s, n = fit.reference().fixef()["Days"], 0.2 * fit.reference().fixef()["Days"], len(draws)
    point = m + s
    prior = fit.priors.coefficients["Days"].used
    h = 0.9 * min(draws.std(ddof=1), stats.iqr(draws) / 1.34) * n**-0.2
    after = stats.norm.pdf(point, m, np.hypot(s, h))
    before = stats.norm.pdf(point, prior["location"], prior["scale"])
    error = np.sqrt(after / (2 * np.sqrt(np.pi) * n * h))
    row = fit.hypothesis(f"Days = {point}").frame.iloc[0]
    assert row["evidence_ratio"] == pytest.approx(after / before, abs=4 * error / before)
    assert row["post_prob"] == pytest.approx(row["evidence_ratio"] / (1 + row["evidence_ratio"]))


def test_the_ratio_does_not_depend_on_how_an_equality_is_written(fit):
    texts = ["Days = 12", "12 = Days", "Days - 12 = 0", "3 * Days = 36", "Days / 2 - 6 = 0"]
    ratio = fit.hypothesis(texts).frame["evidence_ratio"]
    np.testing.assert_allclose(ratio, ratio.iloc[0], rtol=1e-10)


def priors_of(overrides=None):
    design = fit_of("Reaction ~ Days + I(Days^2) + (1 | Subject)", SLEEP).design
    return design, build_priors(design, overrides)


@pytest.mark.parametrize(
    "text", ["(Intercept) = 250", "(Intercept) + 9 * Days = 300", "Days = I(Days^2)", "I(Days^2) = 3"]
)
def test_prior_density_of_linear_forms_is_that_of_simulated_values(text):
    design, priors = priors_of()
    statement = parse_statement(text, design.coefficients, {})
    form = linear_form(statement.left).plus(linear_form(statement.right), -1.0)
    simulated = prior_values(design, priors, 400_000, seed=3).fixef.values[0]
    weights = np.array([form.weights.get(c, 0.0) for c in design.coefficients])
    mean, sd = (simulated @ weights).mean() + form.constant, (simulated @ weights).std()
    # Standard errors of mean and sd are sd / sqrt(n) and sd / sqrt(2 n): half a per cent of the density at most.
    assert prior_density(form, design, priors) == pytest.approx(stats.norm.pdf(0, mean, sd), rel=0.01)


def test_prior_density_of_one_coefficient_with_heavy_tails():
    design, priors = priors_of({"Days": bm.student_t(4, 1, 3), "I(Days^2)": bm.cauchy(0, 2)})
    for text, expected in (
        ("2 * Days = 10", stats.t.pdf(5, 4, 1, 3) / 2),
        ("I(Days^2) = 1", stats.cauchy.pdf(1, 0, 2)),
    ):
        statement = parse_statement(text, design.coefficients, {})
        form = linear_form(statement.left).plus(linear_form(statement.right), -1.0)
        assert prior_density(form, design, priors) == pytest.approx(expected)


def test_other_equalities_use_draws_of_the_prior(fit):
    """A correlation of a 2 x 2 matrix is uniform on (-1, 1) under LKJ(1): the prior density is 1/2."""
    r = fit.posterior.blocks[0].corr.values[..., 1, 0].ravel()
    ratio = fit.hypothesis("cor_Subject__(Intercept).Days = 0.1").frame["evidence_ratio"].item()
    n, h = 100_000, 0.9 * (1 / 1.34) * 100_000**-0.2
    error = np.sqrt(0.5 / (2 * np.sqrt(np.pi) * n * h)) / 0.5
    assert ratio == pytest.approx(density_at_zero(r - 0.1, -1.1, 0.9) / 0.5, rel=4 * error)


def test_group_effects_have_a_prior_too(fit):
    again = [fit.hypothesis("b[Days Subject:308] = 9", seed=s).frame for s in (1, 1, 2)]
    first, same, other = (f["evidence_ratio"].item() for f in again)
    assert first == same != other
    assert first == pytest.approx(other, rel=0.1)


def test_a_variance_of_zero_has_no_evidence_ratio(fit):
    report = fit.hypothesis(["sd_Subject__Days = 0", "cor_Subject__(Intercept).Days = 1"])
    assert report.frame[["evidence_ratio", "post_prob"]].isna().all(axis=None)
    assert "sd < 0.1 * sigma" in str(report)
    assert "cannot have this value" in str(fit.hypothesis("sigma = -3"))


def test_a_prior_that_cannot_be_simulated_is_said():
    import bambi as bmb

    custom = {"Days": bmb.Prior("Normal", mu=0, sigma=1)}
    fit = fit_of("Reaction ~ Days + (Days | Subject)", SLEEP, priors=custom)
    report = fit.hypothesis("Days = 10")
    assert np.isnan(report.frame["evidence_ratio"].item())
    assert "the prior of Days is not one that can be simulated" in str(report)
    assert fit.hypothesis("Days > 10").frame["post_prob"].notna().all()


def test_equality_beyond_all_draws_is_said(fit):
    """One draw at the point would give the kernel estimate 1 / (n h sqrt(2 pi)): no less can be told from it."""
    draws, prior = fit.as_frame()["Days"], fit.priors.coefficients["Days"].used
    h = 0.9 * min(draws.std(ddof=1), stats.iqr(draws) / 1.34) * len(draws) ** -0.2
    least = 1 / (len(draws) * h * np.sqrt(2 * np.pi)) / stats.norm.pdf(100, 0, prior["scale"])
    report = fit.hypothesis("Days = 100")
    assert report.frame["evidence_ratio"].item() == 0
    assert f"known that it is below {least:.1g}" in str(report)


# -- values from the prior -----------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "eta"), [(2, 1.0), (3, 1.0), (3, 2.5), (4, 0.8)])
def test_lkj_correlations_have_beta_margins(p, eta):
    """(r + 1) / 2 ~ Beta(a, a), a = eta - 1 + p / 2, for each pair (Lewandowski et al. 2009)."""
    L = lkj_cholesky(eta, p, 20_000, np.random.default_rng(5))
    corr = L @ np.swapaxes(L, -1, -2)
    np.testing.assert_allclose(np.diagonal(corr, axis1=1, axis2=2), 1)
    a = eta - 1 + p / 2
    for i in range(p):
        for j in range(i):
            assert stats.kstest((corr[:, i, j] + 1) / 2, stats.beta(a, a).cdf).pvalue > 1e-4


def test_prior_values_follow_the_priors():
    design, priors = priors_of()
    drawn = prior_values(design, priors, 50_000, seed=9, levels={"Subject": ["308", "309"]})
    sigma, block = drawn.sigma.values.ravel(), drawn.blocks[0]
    assert stats.kstest(sigma * priors.sigma.used["rate"], stats.expon.cdf).pvalue > 1e-4
    tau = block.sd.values[0, :, 0] / sigma
    assert stats.kstest(tau, stats.expon.cdf).pvalue > 1e-4, "decov(1, 1, 1, 1): Gamma(1, 1) times sigma"
    z = block.b.values[0, :, :, 0] / block.sd.values[0, :, [0]].T
    assert block.b["level"].values.tolist() == ["308", "309"]
    assert stats.kstest(z[:, 0], stats.norm.cdf).pvalue > 1e-4
    assert abs(np.corrcoef(z.T)[0, 1]) < 4 / np.sqrt(50_000)
    centred = drawn.fixef.values[0] @ design.X.mean(axis=0)
    prior = priors.intercept.used
    assert stats.kstest(centred, stats.norm(prior["location"], prior["scale"]).cdf).pvalue > 1e-4


def test_a_real_fit(m3):
    frame = m3.hypothesis(["femaleF > 0", "femaleF > 7", "femaleF = 0"]).frame
    draws = m3.as_frame("femaleF")["femaleF"]
    assert frame["post_prob"].tolist()[:2] == [(draws > 0).mean(), (draws > 7).mean()]
    assert frame["evidence_ratio"].iloc[2] < 1e-3
