"""Distribution functions of the families: sums of their probabilities, integrals of their densities, SciPy's."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit

from bayesmlm.families import KINDS, Family, distribution, draw, log_density, quantile_residuals

ETA = np.array([[-0.4, 0.3, 0.9], [0.2, -0.8, 0.5]])
AUXILIARY = {
    "sigma": 0.7,
    "nu": 4.0,
    "phi": 3.0,
    "reciprocal_dispersion": 1.4,
    "shape": 2.2,
    "lambda": 1.8,
    "psi": 0.7,
}
COUNTED = [n for n, kind in KINDS.items() if kind.support in {"count", "binomial"}]
MEASURED = [n for n, kind in KINDS.items() if kind.support in {"real", "positive", "unit"}]
LOG = {"gamma", "wald", "exponential", "weibull"}


def setting(name):
    family = Family(name, "log" if name in LOG else KINDS[name].links[0])
    return family, {k: np.full((2, 1), AUXILIARY[k]) for k in family.auxiliary}


@pytest.mark.parametrize("name", COUNTED)
def test_of_counts_it_is_the_sum_of_the_probabilities(name):
    family, auxiliary = setting(name)
    trials = np.array([5.0, 9, 2]) if family.support == "binomial" else None
    most = 25 if trials is None else 2
    total = np.zeros(ETA.shape)
    for k in range(most + 1):
        y = np.full(3, float(k))
        total += np.exp(log_density(family, y, ETA, auxiliary, trials))
        np.testing.assert_allclose(distribution(family, y, ETA, auxiliary, trials), total, rtol=1e-9)
    assert (distribution(family, np.full(3, -1.0), ETA, auxiliary, trials) == 0).all()


@pytest.mark.parametrize("name", MEASURED)
def test_of_numbers_it_is_the_integral_of_the_density(name):
    family, auxiliary = setting(name)
    y = np.array([0.2, 0.5, 0.9])
    low = {"real": -60.0, "positive": 0.0, "unit": 0.0}[family.support]
    found = distribution(family, y, ETA, auxiliary)
    for s, i in ((0, 0), (1, 2)):
        one = {k: v[s : s + 1] for k, v in auxiliary.items()}

        def density(x, one=one, s=s, i=i):
            return float(np.exp(log_density(family, np.array([x]), ETA[s : s + 1, i : i + 1], one))[0, 0])

        area, _ = integrate.quad(density, low, y[i], limit=400)
        assert found[s, i] == pytest.approx(area, rel=1e-6)


def test_many_trials_and_ends():
    y, m = np.array([0.0, 7, 40]), np.array([40.0, 40, 40])
    found = distribution(Family("binomial", "logit"), y, ETA, {}, m)
    np.testing.assert_allclose(found, stats.binom.cdf(y, m, expit(ETA)))


@pytest.mark.parametrize("name", [n for n in KINDS if n != "categorical"])
def test_quantile_residuals_of_data_from_the_model_are_standard_normal(name):
    family, auxiliary = setting(name)
    if family.is_ordinal:
        auxiliary = {"thresholds": np.broadcast_to([-0.5, 0.4, 1.0], (1, 1, 3))}
    else:
        auxiliary = {k: v[:1] for k, v in auxiliary.items()}
    rng = np.random.default_rng(4)
    eta = rng.normal(0.2, 0.5, (1, 4000))
    trials = rng.integers(1, 8, 4000).astype(float) if family.support == "binomial" else None
    y = draw(family, eta, auxiliary, rng, trials)[0]
    r = quantile_residuals(family, y, eta, auxiliary, rng, trials)[0]
    assert stats.kstest(r, "norm").pvalue > 0.001
    wrong = quantile_residuals(family, y, eta + 0.4, auxiliary, rng, trials)[0]
    assert stats.kstest(wrong, "norm").pvalue < 1e-6
