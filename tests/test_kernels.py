"""The compiled marginal likelihood against the multivariate normal and finite differences, and its layout."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from random_designs import FORMULAS, dense_Z, random_design, random_frame, random_theta
from scipy.stats import multivariate_normal
from threadpoolctl import threadpool_info

from bayesmlm.covariance import split_theta
from bayesmlm.crossprod import cross_products, given_basis, orthogonal_basis
from bayesmlm.design import build_design
from bayesmlm.errors import DataError
from bayesmlm.kernels import sums
from bayesmlm.kernels.gaussian import GaussianKernel
from bayesmlm.kernels.threads import one_thread
from bayesmlm.reference.deviance import basis_lambdas

formulas = pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
WITH_FIXED_EFFECTS = {name: f for name, f in FORMULAS.items() if "~ 0" not in f}
MODES = ["ML", "REML", "posterior"]


def setup(formula, mode, basis=orthogonal_basis, seed=0):
    """Return kernel, Lambda per block, sigma, prior and whether the fixed effects are integrated out."""
    design = random_design(formula, seed=seed, weighted=True)
    cp = cross_products(design, basis(design))
    lambdas = basis_lambdas(cp, random_theta(design, seed))
    rng, k = np.random.default_rng(seed), design.X.shape[1]
    root = rng.normal(size=(k, k))
    prior = (root @ root.T + 0.1 * np.eye(k), rng.normal(size=k)) if mode == "posterior" else None
    return GaussianKernel(cp), lambdas, 1.7, prior, mode != "ML"


@formulas
@pytest.mark.parametrize("mode", MODES)
def test_gradient_is_that_of_finite_differences(formula, mode):
    kernel, lambdas, sigma, prior, integrate = setup(formula, mode)
    value, gradient, slope, _ = kernel.log_density(lambdas, sigma, integrate, prior)
    h = 1e-5

    def moved(i, a, b, step):
        other = [lam.copy() for lam in lambdas]
        other[i][a, b] += step
        return kernel.log_density(other, sigma, integrate, prior)[0]

    scale = 1e-7 * (1 + abs(value))  # central differences: truncation h^2, rounding 1e-16 |value| / h
    for i, lam in enumerate(lambdas):
        for a, b in np.ndindex(lam.shape):
            numeric = (moved(i, a, b, h) - moved(i, a, b, -h)) / (2 * h)
            assert gradient[i][a, b] == pytest.approx(numeric, rel=2e-6, abs=scale)
    up, down = (kernel.log_density(lambdas, sigma + s, integrate, prior)[0] for s in (h, -h))
    assert slope == pytest.approx((up - down) / (2 * h), rel=2e-6, abs=scale)


@pytest.mark.parametrize("formula", WITH_FIXED_EFFECTS.values(), ids=WITH_FIXED_EFFECTS)
def test_posterior_density_is_that_of_the_multivariate_normal(formula):
    """With beta ~ N(m0, P0^-1) and b integrated out, y ~ N(X m0 + offset, sigma^2 V + X P0^-1 X')."""
    kernel, lambdas, sigma, prior, _ = setup(formula, "posterior", given_basis)
    design = random_design(formula, weighted=True)
    theta = random_theta(design)
    V = np.diag(1 / design.weights)
    for i, lam in enumerate(split_theta(theta, [len(b.columns) for b in design.blocks])):
        wide = dense_Z(design, i) @ np.kron(np.eye(len(design.blocks[i].levels)), lam)
        V = V + wide @ wide.T
    P0, m0 = prior
    mean, cov = design.X @ m0 + design.offset, sigma**2 * V + design.X @ np.linalg.solve(P0, design.X.T)
    expected = multivariate_normal(mean, cov).logpdf(design.y)
    constant = 0.5 * (
        -design.nobs * np.log(2 * np.pi) + np.linalg.slogdet(P0)[1] + np.log(design.weights).sum()
    )
    value = kernel.log_density(lambdas, sigma, True, prior)[0]
    assert value + constant == pytest.approx(expected, rel=1e-9)


@formulas
@pytest.mark.parametrize("integrate", [False, True], ids=["ML", "REML"])
def test_sigma_is_profiled_out_when_it_is_0(formula, integrate):
    kernel, lambdas, _, _, _ = setup(formula, "ML")
    value, gradient, slope, sigma = kernel.log_density(lambdas, 0.0, integrate)
    again = kernel.log_density(lambdas, sigma, integrate)
    assert again[0] == pytest.approx(value, rel=1e-13)
    assert slope == pytest.approx(0.0, abs=1e-8 * kernel.n / sigma)
    for other in (0.9 * sigma, 1.1 * sigma):
        assert kernel.log_density(lambdas, other, integrate)[0] < value
    for a, b in zip(gradient, again[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_a_matrix_that_is_not_positive_definite_gives_no_density():
    kernel, lambdas, *_ = setup(FORMULAS["crossed slopes"], "ML")
    value, gradient, *_ = kernel.log_density([np.full_like(lam, np.nan) for lam in lambdas], 1.0, True)
    assert np.isnan(value)
    assert all(np.all(g == 0) for g in gradient)


def test_chain_is_the_nested_factors_and_the_tail_the_others():
    cp = cross_products(random_design(FORMULAS["three levels and crossed"]))
    ordered = sums.ordered_sums(cp)
    levels = [cp.factors[f].n_levels for f in ordered.order]
    assert levels[:3] == [18, 6, 3]
    assert sorted(levels[3:]) == [4, 5]
    assert ordered.sums.layout[[sums.CHAIN, sums.TAIL]].tolist() == [3, 5 * 2 + 4]


def test_nested_factors_cost_no_dense_matrix():
    n, classes = 40_000, 10_000
    index = np.arange(n) % classes
    frame = random_frame().iloc[np.arange(n) % 90].reset_index(drop=True)
    frame = frame.assign(c=index, s=index // 5, r=index // 200, y=np.random.default_rng(0).normal(size=n))
    design = build_design("y ~ x + (1 | c) + (1 | s) + (1 | r)", frame)
    cp = cross_products(design, orthogonal_basis(design))
    kernel = GaussianKernel(cp)
    assert kernel.sums.layout[sums.TAIL] == 0
    assert sum(part.nbytes for part in kernel.sums) < 3e6
    assert np.isfinite(kernel.log_density([np.eye(1)] * 3, 1.0, True)[0])


def test_crossed_factors_too_large_for_a_dense_matrix_are_refused(monkeypatch):
    monkeypatch.setattr(sums, "LARGEST_TAIL", 4)
    with pytest.raises(DataError, match=r"dense matrix of order 5, more than 4: leave out"):
        GaussianKernel(cross_products(random_design(FORMULAS["crossed"])))


def test_threads_do_not_disturb_each_other():
    kernel, lambdas, sigma, prior, _ = setup(FORMULAS["three levels and crossed"], "posterior")
    scales = np.linspace(0.2, 3, 40)

    def value(scale):
        return kernel.log_density([scale * lam for lam in lambdas], sigma, True, prior)[0]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(value, scales)) == [value(scale) for scale in scales]


def test_linear_algebra_gets_its_threads_back():
    def threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    before = threads()
    with one_thread():
        assert threads() == {1}
        with one_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == before
