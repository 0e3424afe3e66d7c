"""Cross products, criterion, gradient and conditional variances against dense linear algebra."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from random_designs import FORMULAS, dense_Z, random_design, random_theta
from scipy.stats import multivariate_normal

from bayesmlm.covariance import split_theta
from bayesmlm.crossprod import cross_products, given_basis, orthogonal_basis
from bayesmlm.design import Block, Design
from bayesmlm.reference.condvar import conditional_variances
from bayesmlm.reference.deviance import basis_lambdas, criterion, eliminate, profile
from bayesmlm.reference.gradient import covariance_gradient

formulas = pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
weighted = pytest.mark.parametrize("weighted", [False, True], ids=["", "weights and offset"])
bases = pytest.mark.parametrize("basis", [given_basis, orthogonal_basis])
reml = pytest.mark.parametrize("reml", [False, True], ids=["ML", "REML"])


def rows(design):
    """Return weights, response without offset, and Z Lambda-ready matrices of each block, dense."""
    w = np.ones(design.nobs) if design.weights is None else design.weights
    y = design.y if design.offset is None else design.y - design.offset
    return w, y, [dense_Z(design, i) for i in range(len(design.blocks))]


def random_effects(design, theta):
    """Return Z and Lambda of all blocks, dense."""
    _, _, Z = rows(design)
    lambdas = split_theta(theta, [len(b.columns) for b in design.blocks])
    kron = [np.kron(np.eye(len(b.levels)), lam) for b, lam in zip(design.blocks, lambdas, strict=True)]
    wide = np.zeros((sum(map(len, kron)),) * 2)
    start = 0
    for k in kron:
        wide[start : start + len(k), start : start + len(k)] = k
        start += len(k)
    return np.hstack(Z), wide


# -- the sums ------------------------------------------------------------------------------------


@formulas
@weighted
def test_sums_equal_those_of_explicit_matrices(formula, weighted):
    design = random_design(formula, weighted=weighted)
    cp = cross_products(design)
    w, y, _ = rows(design)
    X = design.X
    np.testing.assert_allclose(cp.XX, X.T @ (w[:, None] * X), rtol=1e-12)
    np.testing.assert_allclose(cp.Xy, X.T @ (w * y), rtol=1e-12)
    np.testing.assert_allclose(cp.yy, y @ (w * y), rtol=1e-12)
    np.testing.assert_allclose(cp.log_weights, np.log(w).sum(), atol=1e-12)
    Z = [factor_matrix(design, f) for f in cp.factors]
    for f, z in zip(cp.factors, Z, strict=True):
        own = np.einsum(
            "jajb->jab", (z.T @ (w[:, None] * z)).reshape(f.n_levels, f.width, f.n_levels, f.width)
        )
        np.testing.assert_allclose(f.ZZ, own, rtol=1e-11, atol=1e-9)
        np.testing.assert_allclose(f.ZX.reshape(f.size, -1), z.T @ (w[:, None] * X), rtol=1e-11, atol=1e-9)
        np.testing.assert_allclose(f.Zy.reshape(-1), z.T @ (w * y), rtol=1e-11, atol=1e-9)
    for (a, b), product in cp.cross.items():
        expected = Z[a].T @ (w[:, None] * Z[b])
        np.testing.assert_allclose(product.toarray(), expected, rtol=1e-11, atol=1e-9)


def factor_matrix(design, factor):
    """Return the dense matrix of a factor: the columns of its blocks side by side within each level."""
    parts = [dense_Z(design, i).reshape(design.nobs, factor.n_levels, -1) for i in factor.blocks]
    return np.concatenate(parts, axis=2).reshape(design.nobs, factor.size)


def test_blocks_on_one_factor_share_their_sums_and_the_largest_factor_comes_first():
    cp = cross_products(random_design("y ~ x + (1 | b) + (1 | a) + (0 + x | a)"))
    assert [f.n_levels for f in cp.factors] == [12, 5]
    assert cp.factors[0].widths == (1, 1)
    assert set(cp.cross) == {(0, 1)}


@formulas
def test_orthogonal_basis_describes_the_same_columns(formula):
    design = random_design(formula, weighted=True)
    given, other = cross_products(design), cross_products(design, orthogonal_basis(design))
    R, T = other.basis.x, other.basis.z
    np.testing.assert_allclose(R.T @ other.XX @ R, given.XX, rtol=1e-11)
    np.testing.assert_allclose(other.XX, np.eye(len(R)), atol=1e-10)
    np.testing.assert_allclose(other.Xy, 0.0, atol=1e-8)
    for a, b in zip(given.factors, other.factors, strict=True):
        wide = np.zeros((a.width, a.width))
        for i, stop, width in zip(a.blocks, np.cumsum(a.widths), a.widths, strict=True):
            wide[stop - width : stop, stop - width : stop] = T[i]
        np.testing.assert_allclose(wide.T @ b.ZZ @ wide, a.ZZ, rtol=1e-9, atol=1e-8)


def test_collinear_columns_of_a_block_are_only_scaled():
    design = random_design("y ~ x + (x + I(2 * x) | a)")
    T = orthogonal_basis(design).z[0]
    np.testing.assert_array_equal(T, np.diag(np.diag(T)))


def test_nothing_of_the_size_of_rows_by_effects_is_ever_made():
    n, J = 70_000, 3_000
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    blocks = tuple(
        Block(
            name, name, ("(Intercept)", "x"), tuple(map(str, range(size))), rng.integers(0, size, n), X, None
        )
        for name, size in (("school", J), ("area", 100))
    )
    design = Design(None, "y", rng.normal(size=n), X, ("(Intercept)", "x"), blocks, None, None, {}, n)
    start = time.perf_counter()
    tracemalloc.start()
    cp = cross_products(design, orthogonal_basis(design))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.perf_counter() - start < 3
    assert peak < 30 * X.nbytes  # 34 MB; the indicator matrix of the schools alone would be 3.4 GB
    assert np.isfinite(eliminate(cp, [np.eye(2), np.eye(2)]).criterion(True))


# -- the criterion and its parts -------------------------------------------------------------------


@formulas
@weighted
@bases
@reml
def test_criterion_is_that_of_the_multivariate_normal(formula, weighted, basis, reml):
    design = random_design(formula, weighted=weighted)
    theta = random_theta(design)
    found = profile(cross_products(design, basis(design)), theta, reml)
    w, y, _ = rows(design)
    Z, wide = random_effects(design, theta)
    X, n, k = design.X, design.nobs, design.X.shape[1]
    V = Z @ wide @ wide.T @ Z.T + np.diag(1 / w)
    information = X.T @ np.linalg.solve(V, X)
    beta = np.linalg.solve(information, X.T @ np.linalg.solve(V, y))
    r = y - X @ beta
    pwrss = r @ np.linalg.solve(V, r)
    sigma = np.sqrt(pwrss / (n - k if reml else n))
    expected = -2 * multivariate_normal(X @ beta, sigma**2 * V).logpdf(y)
    if reml:  # integrate over beta: add log|X'(sigma^2 V)^-1 X| - k log 2 pi
        expected += np.linalg.slogdet(information / sigma**2)[1] - k * np.log(2 * np.pi)
    exact = 1e-11 if basis is orthogonal_basis else 1e-9
    np.testing.assert_allclose(found.criterion, expected, rtol=exact)
    assert found.criterion == criterion(cross_products(design, basis(design)), theta, reml)
    np.testing.assert_allclose(found.sigma, sigma, rtol=1e-8)
    np.testing.assert_allclose(found.pwrss, pwrss, rtol=1e-8)
    np.testing.assert_allclose(found.beta, beta, rtol=1e-7)
    np.testing.assert_allclose(found.unscaled_vcov, np.linalg.inv(information), rtol=1e-6)
    L = wide.T @ Z.T @ (w[:, None] * Z) @ wide + np.eye(len(wide))
    np.testing.assert_allclose(found.logdet_L, np.linalg.slogdet(L)[1], rtol=1e-10)
    np.testing.assert_allclose(found.logdet_RX, np.linalg.slogdet(information)[1], rtol=1e-9, atol=1e-12)
    b = wide @ wide.T @ Z.T @ np.linalg.solve(V, r)
    np.testing.assert_allclose(np.concatenate([m.ravel() for m in found.b]), b, rtol=1e-6, atol=1e-9)


@formulas
@weighted
def test_conditional_variances_are_blocks_of_the_full_inverse(formula, weighted):
    design = random_design(formula, weighted=weighted)
    theta = random_theta(design)
    w, _, _ = rows(design)
    Z, wide = random_effects(design, theta)
    full = wide @ np.linalg.inv(wide.T @ Z.T @ (w[:, None] * Z) @ wide + np.eye(len(wide))) @ wide.T
    start = 0
    for block, found in zip(design.blocks, conditional_variances(cross_products(design), theta), strict=True):
        J, p = len(block.levels), len(block.columns)
        own = full[start : start + J * p, start : start + J * p].reshape(J, p, J, p)
        np.testing.assert_allclose(found, np.einsum("jajb->jab", own), rtol=1e-7, atol=1e-10)
        start += J * p


@formulas
@weighted
@reml
def test_gradient_is_the_derivative_of_the_criterion(formula, weighted, reml):
    design = random_design(formula, weighted=weighted)
    cp = cross_products(design, orthogonal_basis(design))
    lambdas = basis_lambdas(cp, random_theta(design))
    G = covariance_gradient(eliminate(cp, lambdas), reml)
    for i, lam in enumerate(lambdas):
        numeric = np.empty_like(lam)
        for a, b in np.ndindex(lam.shape):
            h = 1e-5 * (1 + abs(lam[a, b]))
            sides = []
            for sign in (1, -1):
                moved = [m.copy() for m in lambdas]
                moved[i][a, b] += sign * h
                sides.append(eliminate(cp, moved).criterion(reml))
            numeric[a, b] = (sides[0] - sides[1]) / (2 * h)
        # a central difference: rounding 1e-13 * 500 / h, truncation of the order of h^2
        np.testing.assert_allclose(2 * G[i] @ lam, numeric, rtol=1e-5, atol=1e-5)


def test_criterion_keeps_its_digits_when_the_response_has_a_large_mean():
    design = random_design(FORMULAS["slopes"])
    theta = random_theta(design)
    moved = Design(**{**vars(design), "y": design.y + 2.0**20})
    near, far = (criterion(cross_products(d, orthogonal_basis(d)), theta, True) for d in (design, moved))
    assert far == pytest.approx(near, rel=1e-11)
