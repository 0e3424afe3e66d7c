"""Nakagawa's R2 and the ICC against performance (tests/reference), by brute force over rows, and over draws."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from random_designs import FORMULAS, dense_Z, random_design, random_frame
from test_reference import FILES, LOOSE, RTOL, design_of, frame_of

import bayesmlm as bm
from bayesmlm.covariance import split_theta
from bayesmlm.variance import fixed_variance, variance_parts

ENTRIES = {key: e for key, e in FILES["lme4"].items() if e["kind"] == "lmer" and e.get("r2")}
# performance 0.10.2 leaves out all but the first block of a factor: the slopes' variance is missing from `x || g`.
FIRST_BLOCK_ONLY = {"eng_uncorr", "sleep_uncorr_reml", "sleep_uncorr_ml"}
# Where a variance is exactly 0, performance gives NA for everything but the marginal R2.
ZERO_VARIANCE = {"dyestuff2"}
NAMES = ("marginal", "conditional", "adjusted", "unadjusted")


def shares(parts) -> dict[str, float]:
    values = (parts.marginal_r2, parts.conditional_r2, parts.adjusted_icc, parts.unadjusted_icc)
    return dict(zip(NAMES, values, strict=True))


def expected(entry) -> dict[str, float]:
    return {**entry["r2"], **entry.get("icc", {})}


def blocks_of_lme4(key: str):
    """Sigma of each block and sigma as lme4 estimated them."""
    entry, design = ENTRIES[key], design_of("lme4", key)
    lambdas = split_theta(np.array(entry["theta"], dtype=float), [len(b.columns) for b in design.blocks])
    return [entry["sigma"] ** 2 * lam @ lam.T for lam in lambdas]


@functools.cache
def fit_of(key: str):
    return bm.lmer(ENTRIES[key]["formula"], frame_of(ENTRIES[key]), reml=ENTRIES[key]["REML"])


# -- performance -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(ENTRIES.keys() - ZERO_VARIANCE))
def test_shares_of_lme4s_estimates_are_performances(key):
    entry, design = ENTRIES[key], design_of("lme4", key)
    cov = blocks_of_lme4(key)
    if key in FIRST_BLOCK_ONLY:
        cov = [cov[0], np.zeros_like(cov[1])]
    beta = np.array(entry["fixef"]["estimate"], dtype=float)
    ours = shares(variance_parts(design, beta, cov, entry["sigma"]))
    assert ours == pytest.approx(expected(entry), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("key", sorted(ENTRIES.keys() - ZERO_VARIANCE - FIRST_BLOCK_ONLY))
def test_r2_and_icc_of_our_fit_are_performances(key):
    fit = fit_of(key)
    ours = {**fit.r2(), **fit.icc(by_group=False)}
    rtol = LOOSE[key].rtol if key in LOOSE else RTOL
    assert ours == pytest.approx(expected(ENTRIES[key]), rel=rtol, abs=1e-12)


@pytest.mark.parametrize("key", sorted(FIRST_BLOCK_ONLY))
def test_uncorrelated_slopes_count(key):
    fit = fit_of(key)
    correlated = fit_of(key.replace("uncorr", "corr"))
    # the correlation is small, so leaving it out cannot change much; leaving the slopes out would
    assert fit.icc(by_group=False)["adjusted"] == pytest.approx(
        correlated.icc(by_group=False)["adjusted"], abs=0.01
    )
    assert fit.icc(by_group=False)["adjusted"] > expected(ENTRIES[key])["adjusted"] + 0.1


def test_without_variance_between_groups_conditional_is_marginal():
    fit = fit_of("dyestuff2")
    assert ENTRIES["dyestuff2"]["r2"] == {"conditional": None, "marginal": 0}
    assert dict(fit.r2()) == pytest.approx({"marginal": 0, "conditional": 0}, abs=1e-12)
    assert dict(fit.icc(by_group=False)) == {"adjusted": 0, "unadjusted": 0}


# -- the definition --------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_parts_are_averages_over_the_rows(formula):
    design = random_design(formula)
    rng = np.random.default_rng(1)
    beta = rng.normal(size=design.X.shape[1])
    factors = [rng.normal(size=(len(b.columns), len(b.columns))) for b in design.blocks]
    parts = variance_parts(design, beta, [f @ f.T for f in factors], 1.7)
    dense = 0.0
    for i, (block, factor) in enumerate(zip(design.blocks, factors, strict=True)):
        ZL = dense_Z(design, i) @ np.kron(np.eye(len(block.levels)), factor)
        dense += np.trace(ZL @ ZL.T) / design.nobs
    assert parts.random == pytest.approx(dense, rel=1e-12)
    assert parts.fixed == pytest.approx(np.var(design.X @ beta, ddof=1), rel=1e-10, abs=1e-12)
    assert parts.residual == pytest.approx(1.7**2)
    assert parts.total == pytest.approx(parts.fixed + parts.random + parts.residual)


def test_draws_are_done_at_once():
    design = random_design(FORMULAS["crossed slopes"])
    rng = np.random.default_rng(2)
    beta = rng.normal(size=(2, 5, design.X.shape[1]))
    widths = [len(b.columns) for b in design.blocks]
    cov = [np.einsum("...ab,...cb->...ac", f, f) for f in (rng.normal(size=(2, 5, p, p)) for p in widths)]
    sigma = rng.uniform(1, 2, (2, 5))
    many = shares(variance_parts(design, beta, cov, sigma))
    for at in np.ndindex(2, 5):
        one = shares(variance_parts(design, beta[at], [c[at] for c in cov], sigma[at]))
        assert {name: many[name][at] for name in NAMES} == pytest.approx(one, rel=1e-12)


def test_one_intercept_only_gives_the_icc_of_its_block():
    fit = bm.lmer("y ~ x + (1 | a)", random_frame())
    assert fit.icc(by_group=False)["adjusted"] == pytest.approx(fit.icc()["a"], rel=1e-12)


def test_conditional_less_marginal_is_the_unadjusted_icc():
    fit = bm.lmer("y ~ x + (x | a) + (1 | b)", random_frame())
    r2 = fit.r2()
    assert r2["conditional"] - r2["marginal"] == pytest.approx(fit.icc(by_group=False)["unadjusted"])


def test_offset_is_left_out_and_units_do_not_matter():
    frame = random_frame(seed=4)
    fit = bm.lmer("y ~ x + (x | a)", frame, offset="o")
    subtracted = bm.lmer("I(y - o) ~ x + (x | a)", frame)
    assert dict(fit.r2()) == pytest.approx(dict(subtracted.r2()), rel=1e-9)
    other = frame.assign(y=1e3 * (frame["y"] - frame["o"]) + 1e5, x=frame["x"] + 2000)
    assert dict(bm.lmer("y ~ x + (x | a)", other).r2()) == pytest.approx(dict(fit.r2()), rel=1e-6)


def test_variance_of_nearly_collinear_columns_does_not_cancel():
    rng = np.random.default_rng(0)
    x = rng.normal(2000, 1, 300)
    X = np.column_stack([np.ones(300), x, x + 1e-6 * rng.normal(size=300)])
    beta = np.array([5.0, 1e6, -1e6])
    assert fixed_variance(X, beta) == pytest.approx(np.var(X[:, 1:] @ beta[1:], ddof=1), rel=1e-6)
