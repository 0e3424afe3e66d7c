"""The compiled posterior of the variance parameters: against finite differences and the densities written out."""

from __future__ import annotations

import numpy as np
import pytest
from random_designs import FORMULAS, dense_Z, random_design
from scipy import stats

import bayesmlm as bm
from bayesmlm.covariance import sd_corr
from bayesmlm.kernels.target import build_target, obstacle
from bayesmlm.priors import build_priors
from bayesmlm.sampling.kernel import draw_conditional, relative_factors

PRIORS = {
    "defaults": None,
    "decov": {"covariance": bm.decov(1.5, 2.0, 1.7, 0.8), "sigma": bm.half_cauchy(2)},
    "half Student t": {"covariance": bm.lkj(1.5, bm.half_student_t(3, 2)), "sigma": bm.gamma(2, 1)},
    "gamma": {"covariance": bm.lkj(2, bm.gamma(2, 0.5)), "sigma": bm.half_normal(3)},
    "exponential": {"covariance": bm.lkj(1, bm.exponential(0.3)), "(Intercept)": bm.normal(90, 20)},
    "half-normal": {"covariance": bm.lkj(0.7, bm.half_normal(4)), "sigma": bm.half_student_t(4, 3)},
}
formulas = pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
chosen = pytest.mark.parametrize("priors", PRIORS.values(), ids=PRIORS)


def setup(formula, priors):
    design = random_design(formula, weighted=True)
    given = {k: v for k, v in (priors or {}).items() if k != "(Intercept)" or k in design.coefficients}
    used = build_priors(design, given)
    return design, used, build_target(design, used)


@formulas
@chosen
def test_gradient_is_that_of_finite_differences(formula, priors):
    _, _, target = setup(formula, priors)
    x, h = np.random.default_rng(1).normal(0, 0.7, target.n_parameters), 1e-5
    _, gradient = target.log_density(x)
    steps = h * np.eye(len(x))
    numeric = [(target.log_density(x + s)[0] - target.log_density(x - s)[0]) / (2 * h) for s in steps]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


def natural(target, priors, x):
    """Return what the priors are about, as one vector: for each block (tau, shares) or sds, and correlations; sigma."""
    out, first, sigma = [], 0, np.exp(x[-1])
    for block in target.design.blocks:
        p = len(block.columns)
        size = p * (p + 1) // 2
        sd, corr = sd_corr((lam := relative_factors(x[first : first + size], p)) @ lam.T)
        prior = priors.covariance[block.label]
        if hasattr(prior, "concentration"):
            out += [np.sqrt((sd**2).sum() / p) / prior.scale, *(sd**2 / (sd**2).sum())[:-1]]
        else:
            out += list(sigma * sd)
        out += list(corr[np.tril_indices(p, -1)])
        first += size
    return np.array([*out, sigma])


def univariate(prior, value):
    p = dict(prior.parameters)
    return {
        "exponential": lambda: stats.expon(scale=1 / p["rate"]),
        "gamma": lambda: stats.gamma(p["shape"], scale=1 / p["rate"]),
        "half_normal": lambda: stats.halfnorm(scale=p["scale"]),
        "half_cauchy": lambda: stats.halfcauchy(scale=p["scale"]),
        "half_student_t": lambda: stats.t(p["df"], scale=p["scale"]),  # up to log 2
    }[prior.name]().logpdf(value)


def log_prior(target, priors, values):
    """Log-density of `natural`, with respect to those numbers, up to a constant."""
    total, first = univariate(priors.sigma.used, values[-1]), 0
    for block in target.design.blocks:
        p, prior = len(block.columns), priors.covariance[block.label]
        own = values[first : first + p]
        if hasattr(prior, "concentration"):
            total += stats.gamma(prior.shape).logpdf(own[0])
            shares = np.append(own[1:], 1 - own[1:].sum())
            total += (prior.concentration - 1) * np.log(shares).sum()
        else:
            total += sum(univariate(d, v) for d, v in zip(prior.adjusted, own, strict=True))
        corr = np.eye(p)
        corr[np.tril_indices(p, -1)] = values[first + p : first + p * (p + 1) // 2]
        corr = corr + np.tril(corr, -1).T
        total += (prior.regularization - 1) * np.linalg.slogdet(corr)[1]  # LKJ
        first += p * (p + 1) // 2
    return total


def log_likelihood(design, priors, x):
    """log p(y | variance parameters), fixed and group effects integrated out, by the multivariate normal."""
    sigma, first = np.exp(x[-1]), 0
    V = np.diag(1 / design.weights)
    for i, block in enumerate(design.blocks):
        p = len(block.columns)
        size = p * (p + 1) // 2
        lam = relative_factors(x[first : first + size], p)
        wide = dense_Z(design, i) @ np.kron(np.eye(len(block.levels)), lam)
        V, first = V + wide @ wide.T, first + size
    centred = design.X - design.X.mean(axis=0)
    mean, cov = design.offset.copy(), sigma**2 * V
    for j, name in enumerate(design.coefficients):
        prior = (priors.intercept if name == "(Intercept)" else priors.coefficients[name]).used
        column = np.ones(design.nobs) if name == "(Intercept)" else centred[:, j]
        if priors.intercept is None:
            column = design.X[:, j]
        mean = mean + prior["location"] * column
        cov = cov + prior["scale"] ** 2 * np.outer(column, column)
    return stats.multivariate_normal(mean, cov).logpdf(design.y)


@formulas
@chosen
def test_density_is_likelihood_times_prior_times_jacobian(formula, priors):
    """Differences between points: constants are left out of the kernel."""
    design, used, target = setup(formula, priors)
    rng, h = np.random.default_rng(2), 1e-6
    found, expected = [], []
    for _ in range(3):
        x = rng.normal(0, 0.5, target.n_parameters)
        steps = h * np.eye(len(x))
        jacobian = [(natural(target, used, x + s) - natural(target, used, x - s)) / (2 * h) for s in steps]
        found.append(target.log_density(x)[0])
        expected.append(
            log_likelihood(design, used, x)
            + log_prior(target, used, natural(target, used, x))
            + np.linalg.slogdet(np.array(jacobian))[1]
        )
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-8, atol=1e-5)


@formulas
def test_effects_are_drawn_from_their_conditional_distribution(formula, monkeypatch):
    """The draws are a linear map of standard normal numbers: mean and covariance follow exactly."""
    design, used, target = setup(formula, PRIORS["exponential"])
    x = np.random.default_rng(3).normal(0, 0.5, target.n_parameters)
    mean, cov = conditional(design, used, x)
    size = len(mean)
    normals = np.vstack([np.zeros(size), np.eye(size)])

    class Numbers:
        def standard_normal(self, shape):
            assert shape == normals.shape
            return normals

    monkeypatch.setattr(np.random, "default_rng", lambda _: Numbers())
    every = [np.arange(len(b.levels)) for b in design.blocks]
    beta, effects, _ = draw_conditional(target, np.tile(x, (1, size + 1, 1)), 1, every)
    monkeypatch.undo()
    values = np.hstack([beta[0], *(b[0].reshape(size + 1, -1) for b in effects)])
    np.testing.assert_allclose(values[0], mean, rtol=1e-6, atol=1e-7 * np.abs(mean).max())
    root = values[1:] - values[0]
    np.testing.assert_allclose(root.T @ root, cov, rtol=1e-5, atol=1e-7 * np.abs(cov).max())


def conditional(design, priors, x):
    """Mean and covariance of (beta, b) given the variance parameters and the data, by dense algebra."""
    sigma, first, k = np.exp(x[-1]), 0, design.X.shape[1]
    Z, precisions = [], []
    for i, block in enumerate(design.blocks):
        p = len(block.columns)
        size = p * (p + 1) // 2
        lam = relative_factors(x[first : first + size], p)
        Z.append(dense_Z(design, i))
        precisions.append(np.kron(np.eye(len(block.levels)), np.linalg.inv(sigma**2 * lam @ lam.T)))
        first += size
    M = np.hstack([design.X, *Z])
    centred, at, scale = np.eye(k), np.zeros(k), np.ones(k)
    for j, name in enumerate(design.coefficients):
        prior = (priors.intercept if name == "(Intercept)" else priors.coefficients[name]).used
        at[j], scale[j] = prior["location"], prior["scale"]
        if name == "(Intercept)":
            centred[j] = design.X.mean(axis=0)
    P = np.zeros((M.shape[1],) * 2)
    P[:k, :k] = centred.T @ np.diag(scale**-2) @ centred
    start = k
    for own in precisions:
        P[start : start + len(own), start : start + len(own)] = own
        start += len(own)
    W = design.weights / sigma**2
    right = M.T @ (W * (design.y - design.offset))
    right[:k] += centred.T @ (at / scale**2)
    cov = np.linalg.inv(M.T @ (W[:, None] * M) + P)
    return cov @ right, cov


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        ({"x": bm.student_t(3, 0, 1)}, "prior of x is not normal"),
        ({"(Intercept)": bm.cauchy()}, r"prior of \(Intercept\) is not normal"),
        (None, "^$"),
        ({"covariance": bm.lkj(2), "sigma": bm.half_cauchy(1)}, "^$"),
    ],
)
def test_obstacle_says_why(priors, words):
    import re

    design = random_design(FORMULAS["slopes"])
    assert re.search(words, obstacle(design, build_priors(design, priors)))
