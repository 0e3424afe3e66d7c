"""Generalised linear mixed models by maximum likelihood: against lme4, dense algebra, integrals and differences."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from reference_models import REFERENCE
from scipy.integrate import quad
from scipy.optimize import minimize

from bayesmlm.covariance import join_theta, split_theta
from bayesmlm.datasets import load_dataset
from bayesmlm.design import build_design
from bayesmlm.errors import DataError
from bayesmlm.families import LINKS, log_density, read_family, variance
from bayesmlm.reference.glmm.criterion import Criterion, responses_of, scaled
from bayesmlm.reference.glmm.fit import fit_glmer

LME4 = json.loads((REFERENCE / "lme4_glmer.json").read_text())
SIM = pd.DataFrame(LME4.pop("data"))
GLMER = json.loads((REFERENCE / "lme4.json").read_text())

LINKED = [
    *(("binomial", link) for link in ("logit", "probit", "cloglog", "cauchit", "log")),
    *(("poisson", link) for link in ("log", "sqrt", "identity")),
    *(("negativebinomial", link) for link in ("log", "sqrt")),
    *(("gamma", link) for link in ("inverse", "log", "identity")),
    *(("wald", link) for link in ("inverse_squared", "inverse", "log")),
    ("gaussian", "log"),
]
STRUCTURES = {
    "one factor": "(1 + x | g)",
    "two blocks on a factor": "(1 | g) + (0 + x | g) + (1 | h)",
    "nested": "(1 + x | s/g)",
    "nested and crossed": "(1 + x | g:s) + (1 | s) + (1 + x | h)",
    "crossed three times": "(1 | g) + (1 | h) + (1 + x | s)",
}
COEFFICIENTS = {"log": -1.2, "identity": 4.0, "sqrt": 2.0, "inverse": 0.6, "inverse_squared": 0.5}


def frame(n: int = 90, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    out = pd.DataFrame({"g": rng.integers(0, 8, n), "h": rng.integers(0, 5, n), "s": rng.integers(0, 3, n)})
    out["x"] = rng.normal(size=n).clip(-2, 2)
    mean = 3.0 + 0.5 * out.x + 0.3 * (out.g % 3)
    out["count"] = rng.poisson(mean)
    out["pos"] = rng.gamma(4.0, mean / 4.0)
    out["yes"], out["no"] = rng.binomial(6, 0.35, n), 0
    out["no"] = 6 - out.yes
    out["off"] = 0.01 * rng.normal(size=n)
    out["w"] = rng.uniform(0.5, 2.0, n)
    return out


def problem(family: str, link: str, random: str, n_agq: int = 1) -> Criterion:
    response = {"binomial": "cbind(yes, no)", "poisson": "count", "negativebinomial": "count"}.get(
        family, "pos"
    )
    weights = None if family == "binomial" else "w"
    design = build_design(
        f"{response} ~ x + offset(off) + {random}", frame(), read_family(family, link), weights=weights
    )
    responses = responses_of(design)
    return Criterion(design, responses, n_agq, scaled(design, responses))


def point(criterion: Criterion, seed: int = 4) -> np.ndarray:
    """A point of moderate group effects, so that every link's means are in range."""
    rng = np.random.default_rng(seed)
    x = np.zeros(criterion.size)
    size = 0.04 if criterion.pirls.responses.link == "inverse_squared" else 0.15
    x[: criterion.n_phi] = size * (1.0 + 0.7 * rng.normal(size=criterion.n_phi))
    x[criterion.n_phi :] = 0.2 * rng.normal(size=criterion.size - criterion.n_phi)
    return x


# -- the deviance --------------------------------------------------------------------------------------


@pytest.mark.parametrize("random", STRUCTURES.values(), ids=STRUCTURES)
@pytest.mark.parametrize(("family", "link"), [("binomial", "probit"), ("poisson", "log"), ("gamma", "log")])
@pytest.mark.parametrize("n_agq", [0, 1])
def test_the_gradient_is_that_of_the_deviance_in_every_structure(family, link, random, n_agq):
    check_gradient(problem(family, link, random, n_agq))


@pytest.mark.parametrize(("family", "link"), LINKED)
@pytest.mark.parametrize("n_agq", [0, 1])
def test_the_gradient_is_that_of_the_deviance_in_every_family(family, link, n_agq):
    check_gradient(problem(family, link, STRUCTURES["one factor"], n_agq))


@pytest.mark.parametrize(
    ("family", "link"), [("binomial", "probit"), ("poisson", "log"), ("negativebinomial", "sqrt")]
)
@pytest.mark.parametrize("random", ["(1 | g)", "(0 + x | g)"])
def test_the_gradient_of_quadrature_is_that_of_its_deviance(family, link, random):
    check_gradient(problem(family, link, random, n_agq=6))


def check_gradient(criterion: Criterion) -> None:
    x, h = point(criterion), 1e-5
    gradient = criterion.evaluate(x)[1]
    ahead, behind = (
        np.array([criterion.evaluate(x + sign * h * e)[0] for e in np.eye(len(x))]) for sign in (1, -1)
    )
    np.testing.assert_allclose(gradient, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("random", STRUCTURES.values(), ids=STRUCTURES)
@pytest.mark.parametrize(
    ("family", "link"),
    [("binomial", "logit"), ("binomial", "cauchit"), ("poisson", "log"), ("negativebinomial", "log")],
)
def test_the_deviance_is_that_of_dense_matrices(family, link, random):
    """Modes by a general optimiser, densities from `families`, the determinant of a dense matrix."""
    criterion = problem(family, link, random)
    x = point(criterion)
    lambdas, gamma, alpha = criterion.split(x)
    kernel = criterion.pirls.kernel
    Z = np.array([kernel.by_row(e) for e in np.eye(kernel.size)]).T
    ZL = np.array([kernel.by_row(kernel.times(lambdas, e)) for e in np.eye(kernel.size)]).T
    fixed = criterion.at.offset + criterion.at.X @ gamma
    responses, spec = criterion.pirls.responses, read_family(family, link)
    auxiliary = {"reciprocal_dispersion": np.array([[alpha]])}
    weights = responses.weights

    def minus_twice_log(u: np.ndarray) -> float:
        eta = (fixed + ZL @ u)[None]
        density = log_density(spec, responses.y, eta, auxiliary, responses.trials, weights)
        return float(-2.0 * density.sum() + u @ u)

    found = minimize(
        minus_twice_log,
        np.zeros(kernel.size),
        method="BFGS",
        jac="3-point",
        options={"gtol": 1e-8, "maxiter": 2000},
    )
    eta = (fixed + ZL @ found.x)[None]
    W = (LINKS[link].slope(eta) ** 2 / variance(spec, eta, auxiliary, responses.trials))[0]
    W = W if weights is None else W * weights
    dense = found.fun + np.linalg.slogdet(ZL.T @ (W[:, None] * ZL) + np.eye(kernel.size))[1]
    assert np.linalg.matrix_rank(Z) > 1
    assert criterion.evaluate(x)[0] == pytest.approx(dense, abs=1e-6)


@pytest.mark.parametrize(
    ("family", "link"), [("binomial", "logit"), ("binomial", "cloglog"), ("poisson", "log")]
)
def test_quadrature_is_the_integral(family, link):
    criterion = problem(family, link, "(1 | g)", n_agq=40)
    x = point(criterion)
    lambdas, gamma, _ = criterion.split(x)
    responses, spec, kernel = criterion.pirls.responses, read_family(family, link), criterion.pirls.kernel
    fixed, lam = criterion.at.offset + criterion.at.X @ gamma, lambdas[0][0, 0]
    total = 0.0
    for j in range(kernel.size):
        own = kernel.levels[:, 0] == j
        trials = None if responses.trials is None else responses.trials[own]
        weights = None if responses.weights is None else responses.weights[own]

        def log_joint(u: float, own=own, trials=trials, weights=weights) -> float:
            eta = (fixed + lam * kernel.columns[:, 0] * u)[own][None]
            density = log_density(spec, responses.y[own], eta, {}, trials, weights)
            return float(density.sum()) - 0.5 * u * u - 0.5 * np.log(2 * np.pi)

        height = max(log_joint(u) for u in np.linspace(-6, 6, 200))
        area = quad(
            lambda u, h=height, f=log_joint: np.exp(f(u) - h), -9, 9, limit=400, epsabs=0, epsrel=1e-11
        )[0]
        total += height + np.log(area)
    assert criterion.evaluate(x)[0] == pytest.approx(-2.0 * total, abs=1e-7)


def test_one_node_is_laplace():
    criterion = problem("poisson", "log", "(1 | g)")
    from bayesmlm.reference.glmm.quadrature import quadrature

    x = point(criterion)
    one = quadrature(criterion.pirls, *criterion.split(x)[:2], 1)
    assert one is not None
    assert one.value == pytest.approx(criterion.evaluate(x)[0], abs=1e-9)
    np.testing.assert_allclose(
        one.in_gamma, criterion.evaluate(x)[1][criterion.n_phi :], rtol=1e-8, atol=1e-8
    )


# -- the fit against lme4 ----------------------------------------------------------------------------------


def data(name: str) -> pd.DataFrame:
    return SIM if name == "sim" else load_dataset(name).assign()


def design_of(entry: dict):
    frame = data(entry["data"])
    if entry["data"] == "grouseticks":
        frame = frame.assign(YEAR=frame.YEAR.astype(str))
    family = read_family(entry["family"], entry["link"])
    return build_design(entry["formula"], frame, family, weights=entry.get("weights"))


@pytest.fixture(scope="module")
def estimates():
    made = {}

    def get(name):
        if name not in made:
            made[name] = fit_glmer(design_of(LME4[name]), LME4[name]["n_agq"])
        return made[name]

    return get


@pytest.mark.parametrize("name", LME4)
def test_estimates_are_lme4s(estimates, name):
    entry, found = LME4[name], estimates(name)
    assert found.converged
    # lme4's optimiser stops where theta and beta are within some 1e-5 of a standard error of the optimum
    np.testing.assert_allclose(found.theta, entry["theta"], rtol=1e-5, atol=1e-5)
    se = np.array(entry["fixef"]["se"])
    np.testing.assert_array_less(np.abs(found.beta - entry["fixef"]["estimate"]) / se, 1e-4)
    np.testing.assert_allclose(found.sigma, entry["sigma"], rtol=1e-5)
    assert list(found.coefficients) == entry["fixef"]["names"]
    assert found.n_parameters == entry["npar"]


@pytest.mark.parametrize("name", [name for name, entry in LME4.items() if entry["n_agq"] <= 1])
def test_likelihoods_are_lme4s(estimates, name):
    entry, found = LME4[name], estimates(name)
    assert found.loglik == pytest.approx(entry["logLik"], abs=1e-5)
    assert found.aic == pytest.approx(entry["AIC"], abs=2e-5)
    assert found.bic == pytest.approx(entry["BIC"], abs=2e-5)
    assert found.conditional_deviance == pytest.approx(entry["deviance"], abs=1e-3)


@pytest.mark.parametrize("name", LME4)
def test_standard_errors_are_lme4s(estimates, name):
    """Theirs are from second differences of the deviance, with four digits at best."""
    entry, found = LME4[name], estimates(name)
    np.testing.assert_allclose(found.se, entry["fixef"]["se"], rtol=2e-4)
    scale = np.outer(entry["fixef"]["se"], entry["fixef"]["se"])
    np.testing.assert_allclose(found.vcov / scale, np.array(entry["vcov"]) / scale, atol=5e-4)


@pytest.mark.parametrize("name", LME4)
def test_group_effects_are_lme4s(estimates, name):
    entry, found = LME4[name], estimates(name)
    for block in found.ranef:
        mode, sd = (np.array(entry[part][block.group]) for part in ("ranef", "ranef_sd"))
        np.testing.assert_allclose(block.mode, mode, atol=2e-5)
        np.testing.assert_allclose(block.sd, sd.reshape(block.sd.shape), atol=1e-5)


@pytest.mark.parametrize("name", LME4)
def test_rows_are_lme4s(estimates, name):
    entry, found = LME4[name], estimates(name)
    np.testing.assert_allclose(found.fitted[:8], entry["fitted"], rtol=2e-5)
    np.testing.assert_allclose(found.eta[:8], entry["link_predictor"], rtol=2e-5, atol=2e-5)
    for kind in ("deviance", "pearson", "response", "working"):
        np.testing.assert_allclose(found.residuals(kind)[:8], entry[f"resid_{kind}"], rtol=1e-4, atol=1e-4)


def test_the_dispersion_of_counts_is_lme4s(estimates):
    found = estimates("grouseticks_nb")
    assert found.auxiliary["reciprocal_dispersion"] == pytest.approx(
        LME4["grouseticks_nb"]["nb_theta"], rel=1e-5
    )


@pytest.mark.parametrize("name", ["cbpp", "grouseticks"])
def test_fits_of_lme4s_defaults_are_near(estimates, name):
    entry, found = GLMER[name], estimates(name)
    np.testing.assert_allclose(found.beta, entry["fixef"]["estimate"], rtol=1e-3)
    np.testing.assert_allclose(np.sqrt(found.theta**2), [row["sdcor"] for row in entry["varcorr"]], rtol=1e-3)
    assert found.loglik == pytest.approx(entry["logLik"], abs=1e-3)
    assert found.loglik >= entry["logLik"] - 1e-6


def test_quadrature_has_the_constants_that_lme4_leaves_out(estimates):
    """lme4's logLik for nAGQ > 1 is relative to a model with a parameter for every response."""
    for name in ("cbpp_agq9", "agq_counts"):
        entry, found = LME4[name], estimates(name)
        y, responses = found.responses.y, found.responses
        spec = read_family(entry["family"], entry["link"])
        with np.errstate(divide="ignore"):
            eta = LINKS[entry["link"]].forward(np.clip(y / responses.w, 1e-12, None if y.max() > 1 else 1))
        if entry["family"] == "binomial":
            share = np.clip(y / responses.w, 1e-12, 1 - 1e-12)
            eta = LINKS["logit"].forward(share)
        best = log_density(spec, y, eta[None], {}, responses.trials).sum()
        assert found.loglik - best == pytest.approx(entry["logLik"], abs=1e-4)


# -- properties ------------------------------------------------------------------------------------------


def test_rows_with_trials_are_the_rows_they_stand_for():
    counted = frame()
    rows = pd.DataFrame(
        [
            {"y": y, "x": row.x, "g": row.g, "h": row.h}
            for row in counted.itertuples()
            for y in [1] * row.yes + [0] * row.no
        ]
    )
    family = read_family("binomial")
    one = fit_glmer(build_design("cbind(yes, no) ~ x + (1 | g) + (1 | h)", counted, family))
    other = fit_glmer(build_design("y ~ x + (1 | g) + (1 | h)", rows, family))
    np.testing.assert_allclose(one.beta, other.beta, atol=1e-6)
    np.testing.assert_allclose(one.theta, other.theta, atol=1e-6)
    np.testing.assert_allclose(one.vcov, other.vcov, atol=1e-7)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_units_of_predictors_change_units_of_estimates_only(factor):
    family = read_family("poisson")
    scaled_frame = SIM.assign(z=SIM.x * factor + 1000 * factor)
    one = fit_glmer(build_design("many ~ x + (1 + x | g)", SIM, family))
    other = fit_glmer(build_design("many ~ z + (1 + z | g)", scaled_frame, family))
    assert one.loglik == pytest.approx(other.loglik, abs=1e-6)
    assert one.beta[1] == pytest.approx(other.beta[1] * factor, rel=1e-5)
    assert one.se[1] == pytest.approx(other.se[1] * factor, rel=1e-4)
    sd = [found.varcorr.blocks[0].sd[1] for found in (one, other)]
    assert sd[0] == pytest.approx(sd[1] * factor, rel=1e-4)


def test_the_minimum_is_one_from_every_side():
    """No step of Lambda, beta or alpha lowers the deviance."""
    for name in ("grouseticks_nb", "slopes", "gamma_log"):
        design = design_of(LME4[name])
        responses = responses_of(design)
        at = scaled(design, responses)
        criterion = Criterion(design, responses, 1, at)
        found = fit_glmer(design)
        lambdas = split_theta(found.theta, [len(t) for t in at.T])
        gamma = at.R @ (found.beta - at.shift)
        x = criterion.joined([t @ lam for t, lam in zip(at.T, lambdas, strict=True)], gamma, found.alpha)
        for e in np.eye(len(x)):
            for step in (-1e-2, 1e-2):
                assert criterion.evaluate(x + step * e)[0] > found.criterion - 1e-7


def test_a_variance_of_zero_is_reported(estimates):
    found = estimates("binary")
    assert found.singular
    assert found.converged
    assert found.theta[0] == 0.0
    assert "variance is estimated as 0 in (1 | g)" in found.status
    assert not np.any(found.ranef[0].mode)
    assert not np.any(found.ranef[0].sd)


def test_an_effect_per_row_is_allowed_for_counts_only():
    rows = SIM.assign(row=np.arange(len(SIM)))
    found = fit_glmer(build_design("count ~ x + (1 | row)", rows, read_family("poisson")))
    assert found.converged
    with pytest.raises(DataError, match="one row per level"):
        fit_glmer(build_design("pos ~ x + (1 | row)", rows, read_family("gamma", "log")))


def test_counts_without_overdispersion_have_the_poisson_fit():
    rng = np.random.default_rng(1)
    even = SIM.assign(y=rng.binomial(12, 0.4, len(SIM)))
    poisson, negative = (
        fit_glmer(build_design("y ~ x + (1 | g)", even, read_family(name)))
        for name in ("poisson", "negativebinomial")
    )
    assert negative.alpha > 1e4
    np.testing.assert_allclose(negative.beta, poisson.beta, atol=1e-3)


@pytest.mark.parametrize(
    ("formula", "family", "n_agq", "words"),
    [
        ("bin ~ x + (1 | g) + (1 | h)", "binomial", 5, "one block with one column"),
        ("bin ~ x + (1 + x | g)", "binomial", 5, "one block with one column"),
        ("pos ~ x + (1 | g)", "gamma", 5, "no product over groups"),
        ("bin ~ x + (1 | g)", "binomial", -1, "n_agq = -1"),
        ("bin ~ x + (1 | g)", "binomial", 1.5, "n_agq = 1.5"),
        ("bin ~ x", "binomial", 1, "a model for glm"),
        ("pos ~ x + (1 | g)", "weibull", 1, "no maximum likelihood for the family 'weibull'"),
    ],
)
def test_what_cannot_be_fitted_is_an_error_that_says_why(formula, family, n_agq, words):
    with pytest.raises(DataError, match=words):
        fit_glmer(build_design(formula, SIM, read_family(family)), n_agq)


def test_the_same_data_give_the_same_numbers():
    design = design_of(LME4["offset"])
    one, other = fit_glmer(design), fit_glmer(design)
    assert np.array_equal(one.theta, other.theta)
    assert np.array_equal(one.vcov, other.vcov)
    assert join_theta(split_theta(one.theta, [2, 1])).shape == one.theta.shape
