"""Simulation-based calibration in small: true parameters are where their posteriors say, errors would be seen.

tests/benchmarks/sbc.py is the full version.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from zlib import crc32

import numpy as np
import pytest
from calibration import (
    Model,
    Values,
    draw_lkj,
    draw_prior,
    fitted,
    models,
    quantities,
    simulate,
    thinned,
)
from scipy import stats
from uniformity import band_p, chi_square_p, holm, ranks_among

MODELS = models()
REPLICATES, KEEP = 60, 49
# Of all quantities of a model together. Seeds are fixed, but draws may differ between machines; errors of the size that
# is tested here are far below.
LEVEL = 1e-4


@dataclass(frozen=True)
class Replicate:
    """One simulated data set: truth, response, draws."""

    truth: Values
    y: np.ndarray
    draws: Values


def replicates(name: str) -> list[Replicate]:
    """Simulate data from the prior and fit them, without diagnostics, which take longer than sampling here."""
    model, rng = MODELS[name], np.random.default_rng([20261, crc32(name.encode())])
    out = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayesmlm.drawing.convergence_sentences", lambda *_, **__: [])
        for seed in range(REPLICATES):
            truth, y = simulate(model, rng)
            fit = fitted(model, y, chains=1, draws=300, tune=200, seed=seed, sampler="kernel")
            out.append(Replicate(truth, y, thinned(model, fit.posterior, KEEP)))
    return out


@pytest.fixture(scope="module")
def simulated():
    made = {}

    def get(name):
        if name not in made:
            made[name] = replicates(name)
        return made[name]

    return get


def adjusted(model: Model, done: list[Replicate]) -> dict[str, float]:
    """P value of the ranks of every quantity, adjusted for their number."""
    truths = [quantities(model, r.truth, r.y) for r in done]
    draws = [quantities(model, r.draws, r.y) for r in done]
    p = []
    for key in truths[0]:
        ranks = ranks_among(np.array([t[key][0] for t in truths]), np.array([d[key] for d in draws]))
        p.append(band_p(ranks, KEEP + 1))
    return dict(zip(truths[0], holm(np.array(p)).tolist(), strict=True))


@pytest.mark.parametrize("name", ["slope", "nested and crossed"])
def test_ranks_of_the_truth_among_draws_are_uniform(name, simulated):
    found = adjusted(MODELS[name], simulated(name))
    assert min(found.values()) > LEVEL, found


# -- errors are seen ----------------------------------------------------------------------------------


def with_larger_sd(model, v):
    return replace(v, sd=tuple(1.5 * sd for sd in v.sd))


def with_larger_sigma(model, v):
    return replace(v, sigma=1.2 * v.sigma)


def with_centred_intercept(model, v):
    beta = v.beta.copy()
    beta[:, 0] += model.matrix(tuple(model.fixed))[:, 1:].mean(axis=0) @ beta[:, 1:].T
    return replace(v, beta=beta)


def with_levels_in_another_order(model, v):
    return replace(v, b=tuple(b[:, ::-1] for b in v.b))


def with_the_other_correlation(model, v):
    return replace(v, corr=tuple(2 * np.eye(c.shape[-1]) - c for c in v.corr))


@pytest.mark.parametrize(
    ("wrong", "quantity"),
    [
        (with_larger_sd, "sd g x"),
        (with_larger_sigma, "sigma"),
        (with_centred_intercept, "(Intercept)"),
        (with_levels_in_another_order, "log-likelihood"),
        (with_the_other_correlation, "log-density of b"),
    ],
)
def test_a_wrong_posterior_is_caught(wrong, quantity, simulated):
    model = MODELS["slope"]
    done = [replace(r, draws=wrong(model, r.draws)) for r in simulated("slope")]
    assert adjusted(model, done)[quantity] < LEVEL


def test_a_posterior_that_ignores_the_data_is_caught_by_the_likelihood_alone():
    model, rng = MODELS["crossed"], np.random.default_rng(1)
    done = [Replicate(*simulate(model, rng), draw_prior(model, rng, KEEP)) for _ in range(REPLICATES)]
    found = adjusted(model, done)
    assert found.pop("log-likelihood") < 1e-12
    assert min(found.values()) > LEVEL


# -- the tools ----------------------------------------------------------------------------------------


def test_band_is_exact():
    """All 4^6 equally likely sets of six ranks: the p value is the share of sets that are at least as far off."""
    sets = Counter(tuple(sorted(ranks)) for ranks in product(range(4), repeat=6))
    p, times = np.array([band_p(np.array(ranks), 4) for ranks in sets]), np.array(list(sets.values()))
    shares = [times[p <= own * (1 + 1e-9)].sum() / 4**6 for own in p]
    np.testing.assert_allclose(p, shares, rtol=1e-9)


def test_chi_square_is_that_of_scipy():
    ranks = np.random.default_rng(1).integers(0, 20, 100)
    counts = np.bincount(ranks // 4, minlength=5)
    assert chi_square_p(ranks, 20, 5) == pytest.approx(stats.chisquare(counts).pvalue)
    with pytest.raises(ValueError, match="equal bins"):
        chi_square_p(ranks, 20, 6)


def test_holm_adjusts_the_smallest_for_all_and_keeps_the_order():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.9])), [0.09, 0.04, 0.09, 0.9])


def test_ranks_count_the_draws_below():
    np.testing.assert_array_equal(
        ranks_among(np.array([0.5, 9.0]), np.array([[0.0, 1.0], [2.0, 3.0]])), [1, 2]
    )


@pytest.mark.parametrize("p", [2, 3, 4])
def test_correlations_of_lkj_have_their_beta_margins(p):
    """(r + 1) / 2 ~ Beta(a, a), a = eta - 1 + p / 2 (Lewandowski et al. 2009)."""
    eta, rng = 1.5, np.random.default_rng(p)
    drawn = np.array([draw_lkj(rng, p, eta) for _ in range(2000)])
    a = eta - 1 + p / 2
    for i in range(p):
        for j in range(i):
            assert stats.kstest((drawn[:, i, j] + 1) / 2, stats.beta(a, a).cdf).pvalue > 1e-3
