"""Satterthwaite's and Kenward and Roger's degrees of freedom against lmerTest, pbkrtest and dense algebra."""

from __future__ import annotations

import dataclasses
import functools
import json
import warnings

import numpy as np
import pytest
from random_designs import FORMULAS, dense_Z, random_design
from reference_models import REFERENCE
from scipy import stats
from test_reference import FILES, LOOSE, PRESENT
from test_reference import fit_of as fit_of_entry

import bayesmlm as bm
from bayesmlm.covariance import join_theta, split_theta
from bayesmlm.crossprod import cross_products, orthogonal_basis
from bayesmlm.datasets import load_dataset
from bayesmlm.design import build_design
from bayesmlm.errors import BayesMLMError, DataError
from bayesmlm.reference import kenward_roger
from bayesmlm.reference.contrasts import positive_inverse, spectral
from bayesmlm.reference.ddf import coefficient_tests, contrast_test, ddf_method, ddf_moments, joint_test
from bayesmlm.reference.deviance import basis_lambdas
from bayesmlm.reference.group_products import group_products
from bayesmlm.reference.kenward_roger import kenward_roger_moments
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.reference.optimise import lower_triangular
from bayesmlm.reference.satterthwaite import satterthwaite_moments, theta_axes

DDF = json.loads((REFERENCE / "lme4_ddf.json").read_text())
METHODS = {"satterthwaite": "Satterthwaite", "kenward_roger": "Kenward-Roger"}
RTOL = 1e-5
SLOW_OR_EMPTY = {"no fixed effects", "three levels and crossed"}
# lme4's optimum is 1e-5 of theta away from ours, whose criterion is no higher; the slope's df move by as much.
LESS_TIGHT = {"eng_slopes_crossed": 5e-5, "cake_crossed": 2e-5}


def frame_for(data):
    frame = load_dataset(data.removesuffix("_w"))
    if data.startswith("england"):
        frame = frame.query(PRESENT)
    return frame.assign(w=1 + frame["Days"] / 3, o=10.0 * frame["Days"]) if data.endswith("_w") else frame


@functools.cache
def fit_of(key):
    entry = DDF[key]
    extra = {"weights": "w", "offset": "o"} if entry["weighted"] else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.DataWarning)
        design = build_design(entry["formula"], frame_for(entry["data"]), **extra)
    return design, fit_lmer(design, entry["reml"])


# pbkrtest leaves the weights out of the residuals' covariance.
CASES = [
    pytest.param(key, method, id=f"{key}-{method}")
    for key, entry in DDF.items()
    for method in METHODS
    if method in entry and not (method == "kenward_roger" and entry["weighted"])
]


@pytest.mark.parametrize(("key", "method"), CASES)
def test_coefficients_are_tested_as_lmertest_tests_them(key, method):
    design, estimate = fit_of(key)
    expected = {k: np.atleast_1d(v) for k, v in DDF[key][method].items() if k in {"df", "se", "t", "p"}}
    tests = coefficient_tests(design, estimate, METHODS[method])
    rtol = LESS_TIGHT.get(key, RTOL)
    np.testing.assert_allclose(tests.df, expected["df"], rtol=rtol)
    np.testing.assert_allclose(tests.se, expected["se"], rtol=1e-6 if key not in LESS_TIGHT else rtol)
    np.testing.assert_allclose(tests.statistic, expected["t"], rtol=rtol)
    # d log p / d log t grows with t^2 for small p
    np.testing.assert_allclose(
        np.log(np.maximum(tests.p_value, 1e-300)),
        np.log(np.maximum(expected["p"].astype(float), 1e-300)),
        rtol=rtol,
        atol=rtol,
    )


@pytest.mark.parametrize(("key", "method"), [c for c in CASES if "joint" in DDF[c.values[0]][c.values[1]]])
def test_joint_test_is_lmertests(key, method):
    design, estimate = fit_of(key)
    num_df, den_df, F, p = DDF[key][method]["joint"][2:]
    moments = ddf_moments(design, estimate, METHODS[method])
    test = joint_test(moments, np.eye(len(estimate.beta))[1:])
    rtol = LESS_TIGHT.get(key, RTOL)
    assert test.num_df == num_df
    assert test.den_df == pytest.approx(den_df, rel=rtol)
    assert test.statistic == pytest.approx(F, rel=rtol)
    assert np.log(max(test.p_value, 1e-300)) == pytest.approx(np.log(max(p, 1e-300)), rel=rtol)


@pytest.mark.parametrize(
    "key", [k for k, e in DDF.items() if "kenward_roger" in e and not e["weighted"] and k not in LESS_TIGHT]
)
def test_adjusted_covariance_is_pbkrtests(key):
    design, estimate = fit_of(key)
    expected = np.atleast_2d(DDF[key]["kenward_roger"]["vcov"])
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    adjusted = kenward_roger_moments(design, estimate).adjusted
    assert np.all(np.abs(adjusted - expected) <= 2e-6 * size)


@pytest.mark.parametrize(
    ("key", "method"),
    [
        pytest.param(k, m, id=f"{k}-{m}")
        for k, e in FILES["lme4"].items()
        for m in METHODS
        if e["kind"] == "lmer" and m in e
    ],
)
def test_values_at_lme4s_default_optimum_are_near(key, method):
    estimate = fit_of_entry("lme4", key)
    entry = FILES["lme4"][key][method]
    tests = coefficient_tests(fit_of(key)[0], estimate, METHODS[method])
    # degrees of freedom are some five times as sensitive to theta as estimates are
    rtol = 5 * LOOSE[key].rtol if key in LOOSE else RTOL
    np.testing.assert_allclose(tests.df, np.atleast_1d(entry["df"]), rtol=rtol)


# -- against dense algebra -------------------------------------------------------------------------


def dense_V(design, theta):
    """W^-1 + Z Lambda Lambda'Z', and dV for each element of the lower triangle of each block's covariance."""
    weights = np.ones(design.nobs) if design.weights is None else design.weights
    V, directions = np.diag(1 / weights), []
    for i, lam in enumerate(split_theta(theta, [len(b.columns) for b in design.blocks])):
        J, p = len(design.blocks[i].levels), len(lam)
        Z = dense_Z(design, i)
        V = V + Z @ np.kron(np.eye(J), lam @ lam.T) @ Z.T
        for c in range(p):
            for r in range(c, p):
                unit = np.zeros((p, p))
                unit[r, c] = unit[c, r] = 1.0
                directions.append(Z @ np.kron(np.eye(J), unit) @ Z.T)
    return V, directions, np.diag(1 / weights)


def dense_kenward_roger(design, estimate):
    """Phi_A and W by the formulas of the paper, with n x n matrices and W^-1 as the residuals' matrix."""
    V, directions, residual = dense_V(design, estimate.theta)
    G = [*directions, residual]
    inverse = np.linalg.inv(estimate.sigma**2 * V)
    X = design.X
    phi = np.linalg.inv(X.T @ inverse @ X)
    P = [-X.T @ inverse @ g @ inverse @ X for g in G]
    m = len(G)
    information, inner = np.empty((m, m)), np.empty((m, m, *phi.shape))
    for r in range(m):
        for s in range(m):
            Q = X.T @ inverse @ G[r] @ inverse @ G[s] @ inverse @ X
            K = np.sum((inverse @ G[r]) * (inverse @ G[s]).T)
            information[r, s] = K - 2 * np.trace(phi @ Q) + np.trace(phi @ P[r] @ phi @ P[s])
            inner[r, s] = Q - P[r] @ phi @ P[s]
    W = 2 * positive_inverse(information)
    return phi + 2 * phi @ np.einsum("rs,rsab->ab", W, inner) @ phi, W, np.array([phi @ p @ phi for p in P])


def with_orthogonal_group_columns(design, estimate):
    """The same model with group columns for which the information matrix of the paper can be inverted."""
    cp = cross_products(design, orthogonal_basis(design))
    pairs = zip(design.blocks, cp.basis.z, strict=True)
    blocks = tuple(dataclasses.replace(b, Z=b.Z @ np.linalg.inv(t)) for b, t in pairs)
    theta = join_theta([lower_triangular(lam) for lam in basis_lambdas(cp, estimate.theta)])
    return dataclasses.replace(design, blocks=blocks), dataclasses.replace(estimate, theta=theta)


@pytest.mark.parametrize("formula", [f for k, f in FORMULAS.items() if k not in SLOW_OR_EMPTY])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights and offset"])
def test_kenward_roger_is_that_of_dense_matrices(formula, weighted):
    design = random_design(formula, seed=3, weighted=weighted)
    estimate = fit_lmer(design)
    moments = kenward_roger_moments(design, estimate)
    adjusted, W, change = dense_kenward_roger(*with_orthogonal_group_columns(design, estimate))
    size = np.sqrt(np.outer(np.diag(adjusted), np.diag(adjusted)))
    np.testing.assert_allclose(moments.adjusted / size, adjusted / size, atol=1e-7)
    # the variance of v = L Phi L', which does not depend on how Sigma is parametrised
    for L in np.eye(len(estimate.beta)):
        ours, dense = (np.einsum("a,rab,b->r", L, c, L) for c in (moments.change, change))
        assert ours @ moments.spread @ ours == pytest.approx(dense @ W @ dense, rel=1e-6)


@pytest.mark.parametrize("formula", [FORMULAS["crossed slopes"], FORMULAS["nested"], FORMULAS["slopes"]])
def test_group_products_are_those_of_dense_matrices(formula):
    design = random_design(formula, seed=1, weighted=True)
    estimate = fit_lmer(design)
    cp = cross_products(design, orthogonal_basis(design))
    products = group_products(cp, basis_lambdas(cp, estimate.theta))
    q = sum(f.size for f in cp.factors)
    ours = products.apply(np.eye(q))
    V = dense_V(design, estimate.theta)[0]
    order = [f.blocks for f in cp.factors]
    assert all(len(blocks) == 1 for blocks in order)
    Z = []
    for (i,) in order:
        J, p = len(design.blocks[i].levels), len(design.blocks[i].columns)
        Z.append(dense_Z(design, i) @ np.kron(np.eye(J), np.linalg.inv(cp.basis.z[i])).reshape(J * p, J * p))
    stacked = np.hstack(Z)
    dense = stacked.T @ np.linalg.solve(V, stacked)
    np.testing.assert_allclose(ours, dense, atol=1e-9 * np.abs(dense).max())
    starts = np.cumsum([0, *(f.size for f in cp.factors)])
    for f, a in enumerate(cp.factors):
        own = dense[starts[f] : starts[f + 1], starts[f] : starts[f + 1]]
        blocks = own.reshape(a.n_levels, a.width, a.n_levels, a.width)
        np.testing.assert_allclose(products.diagonal_sum(f), np.einsum("jajb->ab", blocks), rtol=1e-8)
        for g in range(f, len(cp.factors)):
            b = cp.factors[g]
            B = dense[starts[f] : starts[f + 1], starts[g] : starts[g + 1]]
            B = B.reshape(a.n_levels, a.width, b.n_levels, b.width)
            expected = np.einsum("jblc,jald->bcad", B, B)
            np.testing.assert_allclose(
                products.moments(f, g), expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max()
            )


@pytest.mark.parametrize("formula", [FORMULAS["slopes"], FORMULAS["crossed"], FORMULAS["uncorrelated"]])
@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
def test_satterthwaite_derivatives_are_those_of_dense_matrices(formula, reml):
    design = random_design(formula, seed=3, weighted=True)
    estimate = fit_lmer(design, reml)
    moments = satterthwaite_moments(design, estimate)
    X, at = design.X, np.append(estimate.theta, estimate.sigma)
    y = design.y - design.offset

    def vcov(phi):
        return phi[-1] ** 2 * np.linalg.inv(X.T @ np.linalg.solve(dense_V(design, phi[:-1])[0], X))

    def deviance(phi):
        V = phi[-1] ** 2 * dense_V(design, phi[:-1])[0]
        information = X.T @ np.linalg.solve(V, X)
        r = y - X @ np.linalg.solve(information, X.T @ np.linalg.solve(V, y))
        value = np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r)
        return value + (np.linalg.slogdet(information)[1] if reml else 0.0)

    axes = np.eye(len(at))
    axes[:-1, :-1] = theta_axes(cross_products(design, orthogonal_basis(design)))
    h = 1e-3 * np.maximum(np.abs(np.linalg.solve(axes, at)), 0.01)
    steps = h[:, None] * axes.T
    jacobian = [(vcov(at + s) - vcov(at - s)) / (2 * size) for s, size in zip(steps, h, strict=True)]
    np.testing.assert_allclose(moments.jacobian, jacobian, rtol=1e-4, atol=1e-5 * np.abs(jacobian).max())
    H = np.array(
        [
            [
                (deviance(at + s + t) - deviance(at + s - t) - deviance(at - s + t) + deviance(at - s - t))
                / (4 * size * other)
                for t, other in zip(steps, h, strict=True)
            ]
            for s, size in zip(steps, h, strict=True)
        ]
    )
    size = np.sqrt(np.diag(moments.spread))
    np.testing.assert_allclose(
        moments.spread @ H / 2 * size[None, :] / size[:, None], np.eye(len(at)), atol=2e-3
    )


# -- what must hold -------------------------------------------------------------------------------------


def test_balanced_design_has_exact_degrees_of_freedom():
    """With 18 subjects measured on the same days the slope's t has 17 degrees of freedom: Kenward-Roger says so."""
    ref = bm.lmer("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))
    table = ref.coefficients(ddf="kenward-roger")
    np.testing.assert_allclose(table["df"], 17, rtol=1e-9)
    np.testing.assert_allclose(ref.coefficients()["df"], 17, rtol=1e-6)
    np.testing.assert_allclose(table["std_error"], ref.se(), rtol=1e-6)


def test_degrees_of_freedom_do_not_depend_on_units():
    frame = load_dataset("sleepstudy").iloc[7:]
    other = frame.assign(Days=1e-4 * frame["Days"] + 3.0, Reaction=1e5 * frame["Reaction"])
    for ddf in METHODS.values():
        a, b = (bm.lmer("Reaction ~ Days + (Days | Subject)", f).coefficients(ddf) for f in (frame, other))
        assert a.loc["Days", "df"] == pytest.approx(b.loc["Days", "df"], rel=1e-6)
        assert a.loc["Days", "statistic"] == pytest.approx(b.loc["Days", "statistic"], rel=1e-6)


@pytest.mark.parametrize("method", METHODS.values())
def test_one_row_tested_jointly_is_its_t_test(method):
    design, estimate = fit_of("imm_model5_reml")
    moments = ddf_moments(design, estimate, method)
    L = np.array([1.0, 2.0, 0.0, -1.0])
    t, F = contrast_test(moments, L), joint_test(moments, L)
    assert F.num_df == 1
    assert F.statistic == pytest.approx(t.statistic**2, rel=1e-9)
    assert F.den_df == pytest.approx(t.df, rel=1e-9)
    assert F.p_value == pytest.approx(t.p_value, rel=1e-8)
    assert t.p_value == pytest.approx(2 * stats.t.sf(abs(t.statistic), t.df), rel=1e-12)


@pytest.mark.parametrize("method", METHODS.values())
def test_repeated_rows_add_nothing_to_a_joint_test(method):
    design, estimate = fit_of("imm_model5_reml")
    moments = ddf_moments(design, estimate, method)
    L = np.eye(4)[[1, 3]]
    once, twice = joint_test(moments, L), joint_test(moments, np.vstack([L, L[0] - 2 * L[1]]))
    assert twice.num_df == 2
    assert twice.statistic == pytest.approx(once.statistic, rel=1e-8)
    if method == "Kenward-Roger":  # Fai and Cornelius's depend on the rows
        assert twice.den_df == pytest.approx(once.den_df, rel=1e-8)


def test_variance_at_zero_counts_as_known():
    """Dyestuff2: lmerTest has the residual 29 degrees of freedom, Kenward-Roger the 5 between batches."""
    ref = bm.lmer("Yield ~ 1 + (1 | Batch)", load_dataset("dyestuff2"))
    assert ref.coefficients("satterthwaite")["df"].item() == pytest.approx(29, rel=1e-9)
    assert ref.coefficients("kenward-roger")["df"].item() == pytest.approx(5, rel=1e-9)


def test_spectral_keeps_what_is_not_rounding():
    values, vectors = spectral(np.array([[2.0, 2.0], [2.0, 2.0]]))
    np.testing.assert_allclose(values, [4.0])
    np.testing.assert_allclose(np.abs(vectors[:, 0]), np.sqrt(0.5))
    assert len(spectral(np.zeros((2, 2)))[0]) == 0


# -- the user's surface -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "method"),
    [
        (None, None),
        ("lme4", None),
        ("satterthwaite", "Satterthwaite"),
        ("Satterthwaite", "Satterthwaite"),
        ("kenward-roger", "Kenward-Roger"),
        ("Kenward-Roger", "Kenward-Roger"),
        ("kenward_roger", "Kenward-Roger"),
    ],
)
def test_methods_may_be_spelled_as_in_r(given, method):
    assert ddf_method(given) == method


def test_unknown_method_names_the_known_ones():
    with pytest.raises(BayesMLMError, match=r"ddf = 'satterthwait'.*Did you mean 'satterthwaite'\?"):
        ddf_method("satterthwait")


def test_kenward_roger_of_an_ml_fit_says_what_to_do():
    ref = bm.lmer("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"), reml=False)
    with pytest.raises(BayesMLMError, match=r"refit\(reml=True\)"):
        ref.summary(ddf="kenward-roger")


def test_too_many_groups_for_kenward_roger(monkeypatch):
    monkeypatch.setattr(kenward_roger, "LARGEST_REST", 5)
    ref = bm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", load_dataset("penicillin"))
    with pytest.raises(DataError, match=r"24 x 6 group effects.*satterthwaite"):
        ref.coefficients("kenward-roger")


def test_tidy_has_degrees_of_freedom_where_asked():
    ref = bm.lmer("math ~ homework + (homework | schnum)", load_dataset("imm10"))
    plain, tested = ref.tidy(), ref.tidy(ddf="kenward-roger")
    assert plain["df"].isna().all()
    assert plain["p_value"].isna().all()
    assert list(plain.columns) == list(tested.columns)
    fixed, table = tested[tested["effect"] == "fixed"], ref.coefficients("kenward-roger")
    for column in ("std_error", "df", "statistic", "p_value"):
        np.testing.assert_array_equal(fixed[column], table[column])
    half = stats.t.ppf(0.975, fixed["df"]) * fixed["std_error"]
    np.testing.assert_allclose(fixed["conf_high"] - fixed["estimate"], half, rtol=1e-12)
    assert tested[tested["effect"] == "ran_pars"]["df"].isna().all()
    assert list(table.index) == ["(Intercept)", "homework"]
    assert ref.coefficients(ddf=None)["p_value"].isna().all()


def test_no_fixed_effects_have_no_tests():
    design = random_design(FORMULAS["no fixed effects"])
    for method in METHODS.values():
        tests = coefficient_tests(design, fit_lmer(design), method)
        assert dataclasses.astuple(tests)[0] == method
        assert len(tests.df) == 0
