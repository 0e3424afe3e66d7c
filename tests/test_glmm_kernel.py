"""The compiled posterior of generalised models: against differences, dense algebra, NumPy's densities and the graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from random_designs import FORMULAS, dense_Z, random_frame
from test_family_graphs import RESPONSES, built, graph_log_density

import bayesmlm as bm
from bayesmlm.covariance import sd_corr
from bayesmlm.design import build_design
from bayesmlm.families import KINDS, LINKS, log_density, mean, read_family, variance
from bayesmlm.kernels import glmm_target
from bayesmlm.kernels.glmm_rows import collect_rows
from bayesmlm.kernels.glmm_target import FAMILIES, build_glmm_target, glmm_obstacle
from bayesmlm.priors import build_priors, log_prior
from bayesmlm.sampling.glmm_mode import approximate
from bayesmlm.sampling.kernel import relative_factors

LINKED = [(name, link) for name in FAMILIES for link in KINDS[name].links]
PRIORS = {
    "defaults": None,
    "decov": {"covariance": bm.decov(1.5, 2.0, 1.7, 0.8), "fixed": bm.student_t(4, 0.3, 1.5)},
    "independent": {
        "covariance": bm.lkj(1.5, bm.half_student_t(3, 2)),
        "fixed": bm.laplace(0.1, 2.0),
        "(Intercept)": bm.cauchy(0.2, 3.0),
    },
}


def responses(family, rng, n, steady):
    """Any, or such as leave every link in its domain."""
    if steady and family.support in ("real", "positive", "count"):
        return rng.poisson(9, n) if family.support == "count" else rng.gamma(30, 0.1, n)
    return {
        "count": lambda: rng.poisson(2, n),
        "binomial": lambda: rng.binomial(3, 0.4, n),
        "unit": lambda: rng.beta(2, 2, n),
    }.get(family.support, lambda: rng.gamma(2, 1, n))()


def problem(
    formula, name="poisson", link=None, priors=None, weighted=False, rough=False, steady=False, seed=0
):
    """A design, its priors, and a target whose working weights and responses are arbitrary."""
    rng = np.random.default_rng(seed)
    family = read_family(name, link)
    frame = random_frame(seed)
    frame["y"], frame["m"] = responses(family, rng, len(frame), steady), 3
    frame["x"], frame["z"] = (frame["x"] - 40) / 3, frame["z"] + 2
    frame["o"] = 0.0 if steady else frame["o"] / 50
    if rough:
        frame["x"], frame["z"], frame["o"] = frame["x"].round(), 1.0, 0.0
    text = formula.replace("y ~", "cbind(y, m - y) ~") if name == "binomial" else formula
    extra = {"offset": "o"} | ({"weights": "w"} if weighted and name != "binomial" else {})
    design = build_design(text, frame, family, **extra)
    used = build_priors(
        design, {k: v for k, v in (priors or {}).items() if k != "(Intercept)" or "0 +" not in text}
    )
    rows = collect_rows(design)
    n, k = len(rows.first), len(design.coefficients)
    middle, spread = (usual(family), 0.1) if usual(family) else (0.0, 1.0)
    working = rng.uniform(0.2, 2.0, n), rng.normal(middle, spread, n)
    return design, used, build_glmm_target(rows, used, *working, rng.normal(0, 0.2, k)), working


def usual(family):
    """A linear predictor inside the link's domain, 0 where that is all numbers."""
    if family.name == "binomial" and family.link == "log":
        return -2.0
    return {"inverse": 2.0, "inverse_squared": 2.0, "sqrt": 2.0, "identity": 3.0}.get(family.link, 0.0)


def random_point(design, target, seed=1, size=0.3):
    """Parameters and standard normal numbers; linear predictors stay where the link has a mean."""
    rng = np.random.default_rng(seed)
    x, middle = rng.normal(0, size, target.n_parameters), usual(design.family)
    at = target.n_fixed + np.array(list(_sds(design)))
    x[0] += middle
    if middle:
        x[1 : target.n_fixed] *= 0.2
    x[at] += np.log(0.04 if middle else 0.3)
    return x, rng.standard_normal(target.n_effects)


def _sds(design):
    first = 0
    for block in design.blocks:
        p = len(block.columns)
        yield from range(first, first + p)
        first += p * (p + 1) // 2


def differences(target, x, z, h=1e-5):
    d = len(x)
    both = np.concatenate([x, z])

    def value(v):
        return target.log_density(v[:d], v[d:])[0]

    return np.array([(value(both + s) - value(both - s)) / (2 * h) for s in h * np.eye(len(both))])


def check_gradient(target, x, z):
    value, in_x, in_z = target.log_density(x, z)
    assert np.isfinite(value)
    found = np.concatenate([in_x, in_z])
    np.testing.assert_allclose(found, differences(target, x, z), rtol=1e-6, atol=1e-7 * np.abs(found).max())


@pytest.mark.parametrize(("name", "link"), LINKED)
def test_gradient_of_every_family_is_that_of_differences(name, link):
    design, _, target, _ = problem(FORMULAS["uncorrelated and crossed"], name, link, weighted=True)
    check_gradient(target, *random_point(design, target))


@pytest.mark.parametrize("priors", PRIORS.values(), ids=PRIORS)
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
@pytest.mark.parametrize("name", ["binomial", "t"])
def test_gradient_of_every_structure_is_that_of_differences(formula, priors, name):
    """With standard deviations relative to sigma (t) and absolute; some coordinates bent."""
    design, _, target, _ = problem(formula, name, priors=priors)
    x, z = random_point(design, target, size=0.6)
    check_gradient(target, x, z)
    bend = np.full(len(x), -np.inf)
    at = target.n_fixed + np.array(list(_sds(design)))
    bend[at] = x[at] + np.where(np.arange(len(at)) % 2, 0.7, -0.7)
    check_gradient(target.bent(bend), x, z)


def natural(design, target, priors, x):
    """Parameters as `log_prior` wants them, and as one vector with respect to which its density is one."""
    y, k = target.natural(x), target.n_fixed
    names = target.auxiliary
    auxiliary = dict(zip(names, np.exp(y[len(y) - len(names) :]), strict=True))
    sigma, beta = auxiliary.get("sigma"), y[:k].copy()
    if "(Intercept)" in design.coefficients:
        beta[0] -= y[:k] @ target.rows.centre
    sds, corrs, flat, first = [], [], [*y[:k], *auxiliary.values()], k
    for block in design.blocks:
        p = len(block.columns)
        lam = relative_factors(y[first : first + p * (p + 1) // 2], p) * (sigma or 1.0)
        sd, corr = sd_corr(lam @ lam.T)
        prior = priors.covariance[block.label]
        if hasattr(prior, "concentration"):
            scale = prior.scale * (sigma or 1.0)
            flat += [np.sqrt((sd**2).sum() / p) / scale, *(sd**2 / (sd**2).sum())[:-1]]
        else:
            flat += list(sd)
        flat += list(corr[np.tril_indices(p, -1)])
        sds.append(sd)
        corrs.append(corr)
        first += p * (p + 1) // 2
    return beta, auxiliary, sds, corrs, np.array(flat)


def expected_log_density(design, target, priors, x, z):
    """Likelihood, priors and Jacobians by NumPy; the effects are those that the target makes of z."""
    beta, auxiliary, sds, corrs, _ = natural(design, target, priors, x)
    effects = target.effects(x, z)
    eta = design.X @ beta + design.offset
    for i, b in enumerate(effects):
        eta = eta + dense_Z(design, i) @ b.ravel()
    own = {name: np.full((1, 1), v) for name, v in auxiliary.items()}
    value = log_density(design.family, design.y, eta[None], own, design.trials, design.weights).sum()
    others = {name: np.array(v) for name, v in auxiliary.items() if name != "sigma"}
    sigma = np.array(auxiliary["sigma"]) if "sigma" in auxiliary else None
    value += sum(log_prior(design, priors, beta, sigma, tuple(sds), tuple(corrs), others).values())
    for b, sd, corr in zip(effects, sds, corrs, strict=True):
        cov = corr * np.outer(sd, sd)
        value -= 0.5 * np.einsum("jp,pq,jq->", b, np.linalg.inv(cov), b)
        value -= 0.5 * len(b) * np.linalg.slogdet(cov)[1]
    h = 1e-6
    steps = h * np.eye(len(x))
    jacobian = [
        (natural(design, target, priors, x + s)[-1] - natural(design, target, priors, x - s)[-1]) / (2 * h)
        for s in steps
    ]
    return value + np.linalg.slogdet(np.array(jacobian))[1] + np.linalg.slogdet(effect_map(target, x))[1]


def effect_map(target, x):
    """The matrix by which the group effects, block by block, depend on z."""

    def flat(z):
        return np.concatenate([b.ravel() for b in target.effects(x, z)])

    origin = flat(np.zeros(target.n_effects))
    return np.column_stack([flat(e) - origin for e in np.eye(target.n_effects)])


def check_density(design, priors, target):
    points = [random_point(design, target, seed) for seed in (1, 2, 3)]
    found = [target.log_density(x, z)[0] for x, z in points]
    expected = [expected_log_density(design, target, priors, x, z) for x, z in points]
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-8, atol=1e-6)


@pytest.mark.parametrize(("name", "link"), LINKED)
def test_density_of_every_family_is_likelihood_times_prior(name, link):
    """Differences between points: constants are left out of the kernel. Rows weighted and some alike."""
    for rough in (False, True):
        design, priors, target, _ = problem(FORMULAS["intercepts"], name, link, weighted=True, rough=rough)
        check_density(design, priors, target)


@pytest.mark.parametrize("priors", PRIORS.values(), ids=PRIORS)
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_density_of_every_structure_is_likelihood_times_prior(formula, priors):
    design, used, target, _ = problem(formula, "negativebinomial", priors=priors)
    check_density(design, used, target)
    bend = np.full(target.n_parameters, -np.inf)
    bend[target.n_fixed + np.array(list(_sds(design)))] = -0.5
    check_density(design, used, target.bent(bend))


def test_rows_that_only_differ_in_the_response_are_one():
    design, _, target, _ = problem(FORMULAS["intercepts"], "binomial", rough=True)
    assert len(target.rows.first) < design.nobs
    assert target.rows.first.sum() == design.y.sum()
    assert target.rows.second.sum() == design.trials.sum()


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_effects_are_those_of_the_gaussian_approximation(formula):
    """b = Lambda M^-1 Lambda'a + Lambda L^-T z, M = I + Lambda'Z'WZ Lambda, a = Z'W(v - X beta), by dense algebra."""
    design, _, target, (weight, response) = problem(formula)
    x, _ = random_point(design, target)
    y, first, parts = target.natural(x), target.n_fixed, []
    rows = target.rows.design
    for block in design.blocks:
        p = len(block.columns)
        size = p * (p + 1) // 2
        parts.append(np.kron(np.eye(len(block.levels)), relative_factors(y[first : first + size], p)))
        first += size
    Z = np.hstack([dense_Z(rows, i) for i in range(len(parts))])
    lam = np.zeros((Z.shape[1],) * 2)
    start = 0
    for part in parts:
        lam[start : start + len(part), start : start + len(part)] = part
        start += len(part)
    M = np.eye(len(lam)) + lam.T @ Z.T @ (weight[:, None] * Z) @ lam
    a = Z.T @ (weight * (response - rows.X @ y[: target.n_fixed]))
    mean_b, cov_b = lam @ np.linalg.solve(M, lam.T @ a), lam @ np.linalg.solve(M, lam.T)
    found = np.concatenate([b.ravel() for b in target.effects(x, np.zeros(target.n_effects))])
    T = effect_map(target, x)
    np.testing.assert_allclose(found, mean_b, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(T @ T.T, cov_b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["crossed", "crossed slopes", "three levels and crossed"])
def test_a_tail_too_large_to_factorise_is_left_uncoupled(name, monkeypatch):
    """Another map, the same posterior."""
    monkeypatch.setattr(glmm_target, "LARGEST_COUPLED", 0)
    design, priors, target, _ = problem(FORMULAS[name])
    check_gradient(target, *random_point(design, target))
    check_density(design, priors, target)


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize(
    "formula",
    [
        FORMULAS["intercepts"],
        FORMULAS["crossed"],
        "y ~ x + (1 | c) + (1 | s) + (1 | r)",
        "y ~ x + (1 | c) + (1 | s) + (1 | r) + (1 | b) + (1 | d)",
    ],
)
def test_the_way_written_out_for_single_effects_is_the_general_one(formula, coupled, monkeypatch):
    monkeypatch.setattr(glmm_target, "LARGEST_COUPLED", 200 if coupled else 0)
    design, _, target, _ = problem(formula)
    at = glmm_target._STARTS - 1
    assert target.data[at] == 1
    data = target.data.copy()
    data[at] = 0
    point = random_point(design, target)
    for mine, other in zip(
        target.log_density(*point), replace(target, data=data).log_density(*point), strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-10)
    check_gradient(target, *point)


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("binomial", "logit"),
        ("poisson", "log"),
        ("negativebinomial", "log"),
        ("gamma", "log"),
        ("t", "identity"),
    ],
)
def test_density_is_that_of_the_graph(name, link):
    """With the standardised effects of the graph as coordinates in place of the target's."""
    design, priors, model = built(name, link, weights=None)
    rows = collect_rows(design)
    n = len(rows.first)
    target = build_glmm_target(rows, priors, np.ones(n), np.zeros(n), np.zeros(2))
    found, expected = [], []
    for seed in (4, 5, 6):
        x, z = random_point(design, target, seed)
        beta, auxiliary, sds, _, _ = natural(design, target, priors, x)
        (b,) = target.effects(x, z)
        scale = auxiliary.get("sigma", 1.0)
        value = graph_log_density(design, model, beta, sds[0][0] / scale, b[:, 0] / sds[0][0], auxiliary)
        # tau and the auxiliaries have their logarithms for coordinates, the effects z
        volume = np.log(sds[0][0] / scale) + sum(np.log(v) for v in auxiliary.values())
        volume += np.linalg.slogdet(effect_map(target, x))[1] - len(b) * np.log(sds[0][0])
        found.append(target.log_density(x, z)[0])
        expected.append(value + volume)
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_tails_of_probabilities_are_exact(link):
    """Where 1 - p is 1 in double precision, or p underflows."""
    frame = pd.DataFrame({"y": [0, 1, 0, 1], "g": list("abab"), "x": [-1.0, 1.0, 1.0, -1.0]})
    design = build_design("y ~ x + (1 | g)", frame, read_family("binomial", link))
    priors = build_priors(design)
    target = build_glmm_target(collect_rows(design), priors, np.ones(4), np.zeros(4), np.zeros(2))
    for slope in (9.0, 60.0) if link != "cloglog" else (-20.0, 5.0):
        x = np.array([0.0, slope, np.log(0.1)])
        other = np.array([0.0, 0.5, np.log(0.1)])
        z = np.zeros(2)
        found = target.log_density(x, z)[0] - target.log_density(other, z)[0]
        offset = replace(design, offset=np.zeros(4))
        expected = np.diff([expected_log_density(offset, target, priors, v, z) for v in (other, x)])
        np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize(("name", "link"), LINKED)
def test_score_information_and_moments(name, link):
    """The score has its variance by the Fisher information; moments are those of `bayesmlm.families`."""
    design, _, target, _ = problem(FORMULAS["intercepts"], name, link)
    x, z = random_point(design, target)
    eta, score, information = target.linearised(x, z)
    own = natural(design, target, build_priors(design), x)[1]
    total, spread = target.moments(x, z)
    auxiliary = {key: np.full((1, 1), v) for key, v in own.items()}
    trials = target.rows.second if name == "binomial" else np.ones_like(eta)
    mu = mean(design.family, eta[None], auxiliary)[0]
    times = target.rows.second if name == "poisson" else trials
    assert total == pytest.approx((times * mu).sum())
    var = variance(design.family, eta[None], auxiliary, trials)[0]
    assert spread == pytest.approx((np.square(trials) * (var if name != "poisson" else times * mu)).sum())
    if name in ("beta", "t", "lognormal"):
        return
    slope = LINKS[link].slope(eta)
    scale = np.square(slope) / var * (times if name == "poisson" else 1.0)
    np.testing.assert_allclose(information, scale, rtol=1e-9)
    y = target.rows.first / times
    np.testing.assert_allclose(score, scale * (y - mu) / slope, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "priors", "words"),
    [
        ("poisson", {"x": bm.student_t(3, 0, 1)}, ""),
        ("zero_inflated_poisson", None, "there is no kernel for the family zero_inflated_poisson"),
        ("poisson", {"fixed": bm.horseshoe()}, "the slopes have a horseshoe prior"),
    ],
)
def test_obstacle_says_why(name, priors, words):
    rng = np.random.default_rng(0)
    frame = random_frame().assign(y=rng.poisson(2, 90))
    design = build_design("y ~ x + z + (1 | a)", frame, read_family(name))
    assert glmm_obstacle(design, build_priors(design, priors)) == words


@pytest.mark.parametrize(("name", "link"), LINKED)
def test_mode_is_a_maximum_at_the_conditional_modes(name, link):
    """At z = 0, after working weights have settled: no gradient in x beside the width there, nor in z."""
    design, priors, _, _ = problem(FORMULAS["slopes"], name, link, steady=True)
    near = approximate(collect_rows(design), priors)
    value, in_x, in_z = near.target.log_density(near.mode, np.zeros(near.target.n_effects))
    assert np.isfinite(value)
    assert np.abs(in_z).max() < 0.05
    assert np.abs(near.root.T @ in_x).max() < 0.5


def test_responses_of_every_support_are_among_the_tests():
    assert {read_family(name).support for name in FAMILIES} <= {*RESPONSES}
