"""Families of priors beyond rstanarm's defaults: how they are named, what they mean, in numbers and in the graph."""

from __future__ import annotations

import bambi
import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import integrate, stats

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.diagnostics import convergence_frame
from bayesmlm.draws import SAMPLE
from bayesmlm.errors import PriorError
from bayesmlm.kernels.target import build_target, obstacle
from bayesmlm.model import build_model
from bayesmlm.prior_posterior import parameter_values
from bayesmlm.priors import Decov, Lkj, build_priors, implications, lkj_log_density, log_prior, parts_of
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.report import prior_report
from bayesmlm.sampling.graph import start_points
from bayesmlm.specifying import carried_priors

SIZE = 100_000


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    data = pd.DataFrame(
        {"x": rng.normal(3, 2, 60), "z": rng.normal(0, 5, 60), "f": np.resize(list("abc"), 60)}
    )
    return data.assign(
        y=10 * rng.normal(size=60) + data.x,
        g=np.repeat(list("pqrstu"), 10),
        h=np.resize(list("klmno"), 60),
    )


@pytest.fixture(scope="module")
def design():
    return build_design("y ~ x + f + (x | g) + (1 | h)", frame())


# -- a block's covariance by parts -----------------------------------------------------------------------

H, E, G = bm.half_normal(5), bm.exponential(1), bm.gamma(2, 1)

PARTS = [
    # overrides; regularization and the sds' priors of g: None for decov
    ({"g": H}, 1, (H, H)),
    ({"g": {"sd": H}}, 1, (H, H)),
    ({("g", "sd"): H}, 1, (H, H)),
    ({"sd (g)": H}, 1, (H, H)),
    ({"covariance": H}, 1, (H, H)),
    ({"g": {"sd": H, "sd__x": E}}, 1, (H, E)),
    ({"g": H, ("g", "sd__x"): E}, 1, (H, E)),
    ({"g": H, "sd__x (g)": E}, 1, (H, E)),
    ({"sd__x (g)": E, "sd__(Intercept) (g)": G}, 1, (G, E)),
    ({"g": {"sd": H, "sd__x": E, "cor": bm.lkj(2)}}, 2, (H, E)),
    ({"g": {"sd": H, "corr": bm.lkj(2)}}, 2, (H, H)),
    ({"g": bm.lkj(3, sd=H), "sd__x (g)": E}, 3, (H, E)),
    ({"covariance": bm.lkj(3, sd=H), "g": {"sd__x": E}}, 3, (H, E)),
    ({"covariance": {"cor": bm.lkj(4)}, "g": H}, 4, (H, H)),
    ({"g": {"cor": bm.lkj(4)}}, 4, None),
    ({("g", "cor"): bm.lkj(4)}, 4, None),
    ({"cor (g)": bm.lkj(4)}, 4, None),
    ({"covariance": H, "g": bm.decov(2)}, 2, None),
]


@pytest.mark.parametrize(("overrides", "regularization", "sds"), PARTS)
def test_a_part_of_a_block(design, overrides, regularization, sds):
    prior = build_priors(design, overrides).covariance["g"]
    assert prior.regularization == regularization
    if sds is None:
        assert isinstance(prior, Decov)
    else:
        assert isinstance(prior, Lkj)
        assert prior.adjusted == sds


def test_correlations_alone_leave_the_standard_deviations_as_they_were(design):
    priors = build_priors(design, {"covariance": bm.decov(1, 2, 3, 4), "g": {"cor": bm.lkj(2)}})
    assert priors.covariance == {"g": bm.decov(2, 2, 3, 4), "h": bm.decov(1, 2, 3, 4)}


def test_other_blocks_stay_as_they_were(design):
    assert build_priors(design, {"g": H}).covariance["h"] == bm.decov()


def test_what_is_said_of_a_block_wins_over_its_grouping_factor():
    design = build_design("y ~ x + (x || g)", frame())
    priors = build_priors(design, {"g": H, "g.1": E})
    assert [p.adjusted for p in priors.covariance.values()] == [(H,), (E,)]


def test_a_simpler_model_takes_the_parts_that_it_has():
    own = {"sd__(Intercept)": H, "sd__x": E, "cor": bm.lkj(2)}
    spelled = {f"{part} (g)": prior for part, prior in own.items()}
    for given in ({"g": own}, {("g", part): prior for part, prior in own.items()}, spelled):
        simpler = build_design("y ~ x + (1 | g)", frame())
        priors = build_priors(simpler, parts_of(simpler, given))
        assert priors.covariance["g"].adjusted == (H,)
        split = build_design("y ~ x + (x || g)", frame())
        priors = build_priors(split, parts_of(split, given))
        assert [p.adjusted for p in priors.covariance.values()] == [(H,), (E,)]
    assert parts_of(simpler, {"q": H, "g": {"sd__x": E}}) == {"q": H}


def test_an_update_keeps_parts_that_need_one_another():
    design = build_design("y ~ x + (x | g)", frame())
    given = {"sd__(Intercept) (g)": H, "sd__x (g)": E}
    assert carried_priors(given, design) == given


def test_standard_deviations_are_scaled_only_if_asked(design):
    data = frame()
    prior = build_priors(design, {"g": {"sd": H, "sd__x": bm.exponential(1, autoscale=True)}}).covariance["g"]
    assert prior.adjusted[0] == H
    assert prior.adjusted[1]["rate"] == pytest.approx(data.x.std() / data.y.std(), rel=1e-14)


WRONG = [
    ({"g": {"sd__z": H}}, ["'g' has no 'sd__z'", "Did you mean 'sd__x'"]),
    ({"g": {"sds": H}}, ["no 'sds'", "Did you mean 'sd'"]),
    ({"sd__x": H}, ["no 'sd__x'", "Did you mean 'sd__x (g)'"]),
    ({"sd__y (g)": H}, ["'g' has no 'sd__y'", "'sd__x'"]),
    ({("gg", "sd"): H}, ["no 'gg'", "Did you mean 'g'"]),
    ({("g", "cor__(Intercept).x"): bm.lkj(2)}, ["'cor'", "one prior together"]),
    ({"h": {"cor": bm.lkj(2)}}, ["'h' has no correlations"]),
    ({"g": {"sd__x": H}}, ["sd__x of block 'g'", "not sd__(Intercept)", "decov ties"]),
    ({"g": {"cor": H}}, ["'cor' of block 'g'", "bm.lkj(2)"]),
    ({"g": {"cor": bm.lkj(2, sd=H)}}, ["correlations alone", "'sd': ..."]),
    ({"g": H, ("g", "sd"): E}, ["sd of g is given twice"]),
    ({"g": bm.normal(0, 5)}, ["block 'g'", "bm.half_normal(scale=5)"]),
    ({"g": 3}, ["block 'g' is 3"]),
    ({("g", "sd"): {"sd__x": H}}, ["takes a prior, not a dict"]),
    ({4: H}, ["4 is no name"]),
    ({"x": bm.horseshoe()}, ["'x' is horseshoe", "give it as 'fixed'"]),
    ({"(Intercept)": bm.r2d2()}, ["r2d2", "give it as 'fixed'"]),
    ({"sigma": bm.laplace()}, ["'sigma' is laplace", "positive"]),
]


@pytest.mark.parametrize(("overrides", "words"), WRONG)
def test_a_wrong_override_is_explained(design, overrides, words):
    with pytest.raises(PriorError) as caught:
        build_priors(design, overrides)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: bm.laplace(0, 0), ["laplace(scale = 0)", "positive"]),
        (lambda: bm.horseshoe(global_scale=-1), ["horseshoe(global_scale = -1)", "positive"]),
        (lambda: bm.r2d2(mean_R2=1), ["mean_R2", "between 0 and 1"]),
        (lambda: bm.r2d2(cons_D2=0), ["r2d2(cons_D2 = 0)", "positive"]),
    ],
)
def test_wrong_parameters_are_explained(make, words):
    with pytest.raises(PriorError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


# -- which sampler ---------------------------------------------------------------------------------------


def test_the_kernel_takes_a_prior_for_each_standard_deviation(design):
    """Its log-density differs from that of equal priors by the difference of the densities."""
    mixed = build_priors(design, {"g": {"sd": H, "sd__x": E}})
    plain = build_priors(design, {"g": H})
    assert obstacle(design, mixed) == ""
    x = np.random.default_rng(1).normal(0, 0.5, 5)
    sd = np.exp(x[1] + x[-1])
    difference = build_target(design, mixed).log_density(x)[0] - build_target(design, plain).log_density(x)[0]
    # up to the constants that the kernel leaves out
    expected = -sd + 0.5 * (sd / 5) ** 2
    assert difference == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"fixed": bm.horseshoe()}, "horseshoe prior"),
        ({"fixed": bm.r2d2()}, "r2d2 prior"),
        ({"x": bm.laplace()}, "prior of x is not normal"),
        ({"g": bambi.Prior("HalfNormal", sigma=3)}, "standard deviations of g"),
    ],
)
def test_other_families_go_to_the_graph_and_it_is_said_why(design, overrides, words):
    assert words in obstacle(design, build_priors(design, overrides))


# -- densities -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prior",
    [
        *(bm.normal(1, 2), bm.student_t(4, 1, 2), bm.cauchy(1, 2), bm.laplace(1, 2)),
        *(bm.half_normal(2), bm.half_student_t(3, 2), bm.half_cauchy(2), bm.exponential(4), bm.gamma(3, 2)),
    ],
    ids=lambda p: p.name,
)
def test_density_quantiles_and_draws_are_of_one_distribution(prior):
    for q in (0.05, 0.5, 0.9):
        start = -np.inf if prior.quantile(0.0) < 0 else 0.0
        below, _ = integrate.quad(lambda v: np.exp(prior.log_density(v)), start, prior.quantile(q))
        assert below == pytest.approx(q, abs=1e-7)
    draws = prior.sample(np.random.default_rng(3), 20_000)
    for q in (0.05, 0.5, 0.9):
        assert abs(np.mean(draws < prior.quantile(q)) - q) < 4 * np.sqrt(q * (1 - q) / 20_000)
    if prior.quantile(0.0) == 0:
        assert prior.log_density(np.array(-1.0)) == -np.inf


@pytest.mark.parametrize("eta", [0.5, 1.0, 3.0])
def test_lkj_density_integrates_to_one(eta):
    def density(*r):
        p = 2 if len(r) == 1 else 3
        corr = np.eye(p)
        corr[np.tril_indices(p, -1)] = r
        corr = corr + np.tril(corr, -1).T
        return np.exp(lkj_log_density(eta, corr)) if np.linalg.det(corr) > 0 else 0.0

    total, _ = integrate.quad(density, -1, 1)
    assert total == pytest.approx(1, abs=1e-5)
    if eta == 3.0:  # smooth where det R = 0
        total, _ = integrate.nquad(density, [(-1, 1)] * 3, opts={"epsabs": 1e-3, "epsrel": 1e-3})
        assert total == pytest.approx(1, abs=5e-3)


def test_log_prior_written_out(design):
    """Every part against SciPy, decov's in its tau and shares."""
    priors = build_priors(design, {"g": bm.lkj(2, sd=H), "x": bm.laplace(1, 2), "h": bm.decov(1, 1, 2, 0.5)})
    beta, sigma = np.array([40.0, 1.0, -2.0, 3.0]), np.array(9.0)
    corr = np.array([[1.0, 0.3], [0.3, 1.0]])
    parts = log_prior(design, priors, beta, sigma, (np.array([4.0, 2.0]), np.array([3.0])), (corr, np.eye(1)))
    y, X = frame().y, design.X
    assert parts["intercept"] == pytest.approx(
        stats.norm(y.mean(), 2.5 * y.std()).logpdf(beta @ X.mean(axis=0))
    )
    dummies = [stats.norm(0, 2.5 * y.std() / X[:, j].std(ddof=1)).logpdf(beta[j]) for j in (2, 3)]
    assert parts["slopes"] == pytest.approx(stats.laplace(1, 2).logpdf(1.0) + sum(dummies))
    assert parts["sigma"] == pytest.approx(stats.expon(scale=y.std()).logpdf(9.0))
    correlation = np.log(1 - 0.3**2) - np.log(4 / 3)  # (1 - r^2) / (4 / 3)
    sds = stats.halfnorm(scale=5).logpdf([4.0, 2.0]).sum()
    assert parts["covariance (g)"] == pytest.approx(sds + correlation)
    assert parts["covariance (h)"] == pytest.approx(stats.gamma(2).logpdf(3.0 / (0.5 * 9.0)))


# -- in the graph ----------------------------------------------------------------------------------------


def test_univariate_families_in_the_graph(design):
    """The graph's log-density of each slope and standard deviation is SciPy's."""
    chosen = {"x": bm.laplace(1, 2), "f": bm.student_t(4, 1, 3), "g": {"sd": H, "sd__x": E}}
    chosen |= {
        "sigma": bambi.Prior("HalfStudentT", nu=4, sigma=2),
        "h": bambi.Prior("Gamma", alpha=2, beta=3),
    }
    built = build_model(design, build_priors(design, chosen))
    assert isinstance(built.model, bambi.Model)
    variables = {"x": stats.laplace(1, 2), "f": stats.t(4, 1, 3)}
    scales = {
        "g||scale0": stats.halfnorm(scale=5),
        "g||scale1": stats.expon(),
        "h||scale0": stats.gamma(2, scale=1 / 3),
    }
    graph = built.graph
    names = [*variables, *scales, "sigma"]
    logp = graph.compile_logp([graph[n] for n in names], sum=False, jacobian=False, mode="FAST_COMPILE")
    point = graph.initial_point()
    point |= {"x": np.array(0.3), "f": np.array([0.7, -2.0])}
    point |= {f"{n}_log__": np.log(np.full(graph[n].eval().shape, 1.7)) for n in (*scales, "sigma")}
    found = dict(zip(names, (np.sum(v) for v in logp({k: point[k] for k in point})), strict=True))
    expected = {n: d.logpdf(point[n]).sum() for n, d in variables.items()}
    expected |= {n: d.logpdf(1.7) for n, d in scales.items()}
    expected["sigma"] = np.log(2) + stats.t(4, scale=2).logpdf(1.7)
    assert found == pytest.approx(expected, rel=1e-8)


JOINT = {
    "horseshoe": bm.horseshoe(df=3, global_df=2, global_scale=0.3, slab_df=6, slab_scale=4, autoscale=True),
    "r2d2": bm.r2d2(0.3, 5, 0.7),
}


@pytest.mark.parametrize("prior", JOINT.values(), ids=JOINT)
def test_joint_priors_in_the_graph_are_those_drawn_directly(design, prior):
    """Quantiles of the graph's slopes, in units of sigma, against independent draws: within 4 standard errors."""
    priors = build_priors(design, {"fixed": prior, "sigma": bm.gamma(4, 0.5)})
    built, joint = build_model(design, priors), priors.joint
    with built.graph:
        draws = pm.draw(
            [built.graph["fixed||slopes"], built.graph["sigma"]], 8000, random_seed=1, mode="FAST_COMPILE"
        )
    rng = np.random.default_rng(2)
    sigma = priors.sigma.used.sample(rng, SIZE)
    direct = joint.sample(rng, sigma) / sigma[:, None]
    graph = draws[0] / draws[1][:, None]
    assert joint.columns == ("x", "fb", "fc")
    for j in range(3):
        for q in (0.1, 0.4, 0.6, 0.9):
            share = np.mean(graph[:, j] < np.quantile(direct[:, j], q))
            assert abs(share - q) < 4 * np.sqrt(q * (1 - q) * (1 / 8000 + 1 / SIZE)), (j, q)


def test_the_graph_of_a_joint_prior_gives_each_term_its_slopes(design):
    built = build_model(design, build_priors(design, {"fixed": bm.r2d2()}))
    graph = built.graph
    values = pm.draw([graph["x"], graph["f"], graph["fixed||slopes"]], random_seed=1, mode="FAST_COMPILE")
    np.testing.assert_allclose(np.append(values[0], values[1]), values[2])


def test_slopes_of_a_joint_prior_start_off_zero(design):
    """At 0 the gradient in their scales is 0, with which nutpie does not start."""
    built = build_model(design, build_priors(design, {"fixed": bm.horseshoe()}), None, fit_lmer(design))
    jittered = {rv.name for rv in start_points(built)["jitter_rvs"]}
    assert {"fixed||z", "fixed||local", "fixed||global", "fixed||slab", "g||tau", "g||partial"} <= jittered
    assert not {"g||z0", "x", "Intercept"} & jittered


def test_both_samplers_agree_on_a_prior_for_each_standard_deviation():
    """Means within four combined Monte Carlo errors."""
    formula, data = "math ~ homework + (homework | schnum)", bm.load_dataset("imm10")
    priors = {"schnum": {"sd": bm.half_normal(4), "sd__homework": bm.exponential(0.5), "cor": bm.lkj(2)}}
    draws = {}
    for sampler in ("kernel", "pymc"):
        fit = bm.fit(formula, data, priors=priors, sampler=sampler, seed=3, progress=False)
        draws[sampler] = parameter_values(fit.posterior)
    error = np.hypot(*(convergence_frame(d)["mcse"] for d in draws.values()))
    means = [d.mean(SAMPLE).to_series() for d in draws.values()]
    assert len(error) == 6
    assert (abs(means[0] - means[1]) / error).max() < 4


# -- what joint priors imply -----------------------------------------------------------------------------


def test_r2d2_implies_its_beta_prior_of_r2():
    """Independent standardised predictors: sum of squared slopes over sigma^2 is R2 / (1 - R2) times chi-squared noise.

    With K equal shares (cons_D2 large) and many predictors the noise goes away, and R2 is the stated beta.
    """
    prior = bm.r2d2(mean_R2=0.3, prec_R2=6, cons_D2=1e6)
    k, spread = 400, 2.0
    joint = prior.adjusted(tuple(f"x{j}" for j in range(k)), np.full(k, spread), 1.0)
    sigma = np.random.default_rng(1).gamma(3, 2, 20_000)
    beta = joint.sample(np.random.default_rng(2), sigma)
    explained = (beta**2).sum(axis=1) * spread**2
    r2 = explained / (explained + sigma**2)
    truth = stats.beta(1.8, 4.2)
    assert abs(r2.mean() - 0.3) < 4 * truth.std() / np.sqrt(20_000) + 0.001  # noise of the sum: O(1 / K)
    for q in (0.1, 0.5, 0.9):
        assert abs(np.mean(r2 < truth.ppf(q)) - q) < 4 * np.sqrt(q * (1 - q) / 20_000) + 0.003


def test_r2d2_shares_are_dirichlet():
    """E beta_j^2 beta_i^2 tells the concentration: E phi_i phi_j = c K c / (K c (K c + 1)) / K."""
    joint = bm.r2d2(0.5, 8, 0.4).adjusted(("a", "b", "c"), np.ones(3), 1.0)
    beta = joint.sample(np.random.default_rng(5), np.ones(400_000))
    total = (beta**2).sum(axis=1)
    # given phi and R2 each slope is normal: slopes are uncorrelated with one another and with each other's signs
    assert np.abs(np.corrcoef(np.sign(beta).T)[np.triu_indices(3, 1)]).max() < 4 / np.sqrt(400_000)
    a, b = 4.0, 4.0  # beta prime: mean a / (b - 1)
    odds = stats.betaprime(a, b)
    assert abs(total.mean() - odds.mean()) < 4 * total.std() / np.sqrt(400_000)
    products = beta[:, 0] ** 2 * beta[:, 1] ** 2
    c, k = 0.4, 3
    expected = c * c / (k * c * (k * c + 1)) * odds.moment(2)
    assert abs(products.mean() - expected) < 4 * products.std() / np.sqrt(400_000)


def test_horseshoe_is_a_horseshoe_near_zero_and_a_student_t_far_out():
    """Piironen & Vehtari (2017): tau lambda << c gives the plain horseshoe, tau lambda >> c the slab."""
    columns, ones, sigma = ("a",), np.ones(1), np.ones(200_000)
    plain = bm.horseshoe(1, 1, 0.5, 4, 1e8).adjusted(columns, ones, 1.0)
    rng = np.random.default_rng(7)
    half_cauchy = stats.halfcauchy()
    direct = rng.standard_normal(200_000) * half_cauchy.rvs(200_000, random_state=1) * 0.5
    direct *= half_cauchy.rvs(200_000, random_state=2)
    assert stats.ks_2samp(plain.sample(rng, sigma)[:, 0], direct).pvalue > 1e-4
    slab = bm.horseshoe(1, 1, 1e8, 4, 2.5).adjusted(columns, ones, 1.0)
    assert stats.kstest(slab.sample(rng, sigma)[:, 0], stats.t(4, scale=2.5).cdf).pvalue > 1e-4


def test_autoscale_puts_the_horseshoe_in_units_of_the_data(design):
    data, prior = frame(), bm.horseshoe(slab_scale=2, autoscale=True)
    joint = build_priors(design, {"fixed": prior}).joint
    assert joint.slab_scale == pytest.approx(2 * data.y.std())
    assert joint.units[0] == pytest.approx(1 / data.x.std())
    assert build_priors(design, {"fixed": bm.horseshoe()}).joint.units == (1, 1, 1)


def test_a_slope_with_a_prior_of_its_own_is_left_out_of_the_joint_one(design):
    priors = build_priors(design, {"fixed": bm.r2d2(), "x": bm.normal(0, 1)})
    assert priors.joint.columns == ("fb", "fc")
    assert priors.coefficients["x"].used == bm.normal(0, 1)


# -- in plain units --------------------------------------------------------------------------------------


def test_implied_range_of_a_slope_per_unit_and_per_sd(design):
    facts = implications(design, build_priors(design, {"x": bm.student_t(3, 1, 2)}), 1000)
    x = facts.slopes[0]
    expected = stats.t(3, 1, 2).ppf([0.05, 0.95])
    assert x.name == "x"
    np.testing.assert_allclose(x.per_unit, expected)
    np.testing.assert_allclose(x.per_sd, expected * frame().x.std())
    y = frame().y
    np.testing.assert_allclose(facts.mean, stats.norm(y.mean(), 2.5 * y.std()).ppf([0.05, 0.95]))
    np.testing.assert_allclose(facts.auxiliary["sigma"], stats.expon(scale=y.std()).ppf([0.05, 0.95]))


def test_prior_summary_says_it_in_words(design):
    chosen = {"fixed": bm.r2d2(0.3, 5), "x": bambi.Prior("Normal", mu=0, sigma=2), "g": {"sd": H, "sd__x": E}}
    priors = build_priors(design, chosen)
    text = str(prior_report(design, priors, implications(design, priors), 2))
    for line in (
        " g ~ lkj(reg. = 1, sd ~ [half_normal(scale = 5), exponential(rate = 1)])",
        "r2d2(mean_R2 = 0.3, prec_R2 = 5, cons_D2 = 0.5)",
        " slope of x: as your bambi.Prior has it",
        " R2 of the slopes together, beside sigma, between 0.05 and 0.65",
        " g: sd of (Intercept) between 0.31 and 9.8",
        " slope of fb between ",
    ):
        assert line in text, line


def test_priors_of_one_family_are_written_together():
    design = build_design("y ~ x + z + (1 | g)", frame())
    priors = build_priors(design, {"x": bm.normal(0, 1), "z": bm.normal(0, 2)})
    text = str(prior_report(design, priors, implications(design, priors, 1000), 2))
    assert "Coefficients (x, z)\n ~ normal(location = [0,0], scale = [1,2])\n" in text
