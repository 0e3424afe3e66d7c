"""Families by name; their densities, moments and draws agree with each other and with SciPy."""

import numpy as np
import pytest
from scipy import integrate, stats

from bayesmlm.families import (
    KINDS,
    LINKS,
    Family,
    category_log_probabilities,
    draw,
    log_density,
    log_probabilities,
    mean,
    read_family,
    variance,
)

AUXILIARY = {
    "sigma": 0.7,
    "nu": 5.5,
    "phi": 4.0,
    "reciprocal_dispersion": 1.7,
    "shape": 2.3,
    "lambda": 1.9,
    "psi": 0.6,
}
ETA = np.array([[-0.4, 0.3, 0.9], [0.2, -0.7, 0.5]])
TRIALS = np.array([1.0, 4.0, 7.0])
MEAN_FAMILIES = [name for name, kind in KINDS.items() if kind.support not in {"ordinal", "categorical"}]


def auxiliary(family):
    return {name: np.full((2, 1), AUXILIARY[name]) for name in family.auxiliary}


def on_support(name, link=None):
    """A family, and predictors for which its mean is possible."""
    family = Family(name, link or KINDS[name].links[0])
    shift = 1.5 if family.link in {"inverse", "inverse_squared", "identity", "sqrt"} else 0.0
    shift = -1.0 if family.link == "log" and family.support == "binomial" else shift
    return family, ETA + shift


@pytest.mark.parametrize(
    ("given", "name", "link"),
    [
        ("binomial", "binomial", "logit"),
        ("Bernoulli", "binomial", "logit"),
        ("binomial(link = 'probit')", "binomial", "probit"),
        ("Gamma", "gamma", "inverse"),
        ("Gamma(log)", "gamma", "log"),
        ("inverse.gaussian", "wald", "inverse_squared"),
        ("neg_binomial_2", "negativebinomial", "log"),
        ("poisson()", "poisson", "log"),
        ("student_t", "t", "identity"),
    ],
)
def test_names_of_r_and_bambi(given, name, link):
    assert read_family(given) == Family(name, link)


@pytest.mark.parametrize("link", list(LINKS))
def test_links_are_inverted_and_have_their_slopes(link):
    eta = np.linspace(0.2, 2.0, 9)
    g = LINKS[link]
    np.testing.assert_allclose(g.forward(g.inverse(eta)), eta, rtol=1e-12)
    step = 1e-6
    numeric = (g.inverse(eta + step) - g.inverse(eta - step)) / (2 * step)
    np.testing.assert_allclose(g.slope(eta), numeric, rtol=1e-8)


@pytest.mark.parametrize("link", KINDS["binomial"].links)
def test_log_probabilities_keep_both_tails(link):
    eta = np.array([-40.0, -8.0, -0.3]) if link == "log" else np.array([-40.0, -8.0, -0.3, 0.4, 1.5])
    yes, no = log_probabilities(link, eta)
    assert np.isfinite(yes).all()
    assert np.isfinite(no).all()
    mu = LINKS[link].inverse(eta[2:])
    np.testing.assert_allclose(yes[2:], np.log(mu), rtol=1e-12)
    np.testing.assert_allclose(no[2:], np.log1p(-mu), rtol=1e-12)


SCIPY = {
    "gaussian": lambda mu, a: stats.norm(mu, a["sigma"]),
    "t": lambda mu, a: stats.t(a["nu"], mu, a["sigma"]),
    "lognormal": lambda mu, a: stats.lognorm(a["sigma"], scale=np.exp(mu)),
    "binomial": lambda mu, a: stats.binom(TRIALS.astype(int), mu),
    "beta_binomial": lambda mu, a: stats.betabinom(TRIALS.astype(int), mu * a["phi"], (1 - mu) * a["phi"]),
    "poisson": lambda mu, a: stats.poisson(mu),
    "negativebinomial": lambda mu, a: stats.nbinom(
        a["reciprocal_dispersion"], a["reciprocal_dispersion"] / (a["reciprocal_dispersion"] + mu)
    ),
    "gamma": lambda mu, a: stats.gamma(a["shape"], scale=mu / a["shape"]),
    "wald": lambda mu, a: stats.invgauss(mu / a["lambda"], scale=a["lambda"]),
    "exponential": lambda mu, a: stats.expon(scale=mu),
    "beta": lambda mu, a: stats.beta(mu * a["phi"], (1 - mu) * a["phi"]),
}


@pytest.mark.parametrize(("name", "link"), [(n, link) for n in SCIPY for link in KINDS[n].links])
def test_densities_and_variances_are_scipys(name, link):
    family, eta = on_support(name, link)
    a = auxiliary(family)
    reference = SCIPY[name](LINKS[link].inverse(eta), a)
    discrete = family.support in {"count", "binomial"}
    y = np.array([0.0, 2.0, 5.0]) if discrete else np.array([0.2, 0.5, 0.8])
    expected = reference.logpmf(y) if discrete else reference.logpdf(y)
    np.testing.assert_allclose(log_density(family, y, eta, a, TRIALS), expected, rtol=1e-10, atol=1e-12)
    per_trial = TRIALS if family.support == "binomial" else 1.0
    np.testing.assert_allclose(mean(family, eta, a), reference.mean() / per_trial, rtol=1e-9)
    np.testing.assert_allclose(
        np.broadcast_to(variance(family, eta, a, TRIALS), eta.shape),
        np.broadcast_to(reference.var() / per_trial**2, eta.shape),
        rtol=1e-9,
    )


@pytest.mark.parametrize("name", [n for n in MEAN_FAMILIES if n not in SCIPY])
def test_densities_of_mixtures_sum_to_one_and_have_their_moments(name):
    family, eta = on_support(name)
    one, a = eta[:1, :1], {k: v[:1] for k, v in auxiliary(family).items()}
    if family.support in {"count", "binomial"}:
        most = 4 if family.support == "binomial" else 400
        y = np.arange(most + 1.0)
        chance = np.exp(log_density(family, y, one, a, np.full(len(y), 4.0)))[0]
        moments = [float(np.sum(chance * y**k)) for k in range(3)]
    else:
        zero = float(np.exp(log_density(family, np.zeros(1), one, a))[0, 0]) if "psi" in a else 0.0

        def moment(k):
            return integrate.quad(
                lambda y: y**k * float(np.exp(log_density(family, np.array([y]), one, a))[0, 0]),
                1e-12,
                np.inf,
            )[0]

        moments = [moment(0) + zero, moment(1), moment(2)]
    per_trial = 4.0 if family.support == "binomial" else 1.0
    assert moments[0] == pytest.approx(1.0, abs=1e-6)
    assert moments[1] / per_trial == pytest.approx(float(mean(family, one, a)[0, 0]), rel=1e-5)
    spread = (moments[2] - moments[1] ** 2) / per_trial**2
    assert spread == pytest.approx(float(variance(family, one, a, np.array([4.0]))[0, 0]), rel=1e-4)


@pytest.mark.parametrize("name", MEAN_FAMILIES)
def test_draws_have_the_mean_and_variance(name):
    family, eta = on_support(name)
    size = 40_000
    a = {k: np.full((size, 1), v[0, 0]) for k, v in auxiliary(family).items()}
    y = draw(family, np.repeat(eta[:1], size, axis=0), a, np.random.default_rng(3), TRIALS)
    y = y / TRIALS if family.support == "binomial" else y
    own = auxiliary(family)
    expected = mean(family, eta, own)[0]
    spread = np.broadcast_to(variance(family, eta, own, TRIALS), eta.shape)[0]
    np.testing.assert_array_less(np.abs(y.mean(axis=0) - expected), 4.5 * np.sqrt(spread / size))
    fourth = np.mean((y - y.mean(axis=0)) ** 4, axis=0)
    np.testing.assert_array_less(np.abs(y.var(axis=0) - spread), 5 * np.sqrt(fourth / size))


@pytest.mark.parametrize("name", ["cumulative", "sratio", "categorical"])
def test_probabilities_of_categories_sum_to_one_and_are_drawn(name):
    family = Family(name, KINDS[name].links[0])
    a = {"thresholds": np.array([[[-1.0, 0.2, 1.1]]])}
    eta = np.stack([ETA, ETA + 0.4], axis=-1) if family.is_categorical else ETA
    chances = np.exp(category_log_probabilities(family, eta, a))
    np.testing.assert_allclose(chances.sum(axis=-1), 1.0, rtol=1e-12)
    y = np.array([0.0, 2.0, 1.0])
    np.testing.assert_allclose(
        log_density(family, y, eta, a), np.log(chances[:, np.arange(3), y.astype(int)]), rtol=1e-12
    )
    many = np.repeat(eta[:1], 20_000, axis=0)
    found = draw(family, many, a, np.random.default_rng(5))
    for k in range(chances.shape[-1]):
        error = 4.5 * np.sqrt(chances[0, :, k] / 20_000)
        np.testing.assert_array_less(np.abs((found == k).mean(axis=0) - chances[0, :, k]), error)


def test_cumulative_and_sratio_by_their_definitions():
    thresholds, eta = np.array([-1.0, 0.2, 1.1]), 0.3
    below = stats.logistic.cdf(thresholds - eta)
    a = {"thresholds": thresholds[None, None]}
    cumulative = np.exp(category_log_probabilities(Family("cumulative", "logit"), np.array([[eta]]), a))[0, 0]
    np.testing.assert_allclose(cumulative, np.diff([0, *below, 1]), rtol=1e-12)
    stopping = np.exp(category_log_probabilities(Family("sratio", "logit"), np.array([[eta]]), a))[0, 0]
    passed = np.cumprod([1, *(1 - below)])
    np.testing.assert_allclose(stopping, [*(below * passed[:3]), passed[3]], rtol=1e-12)
