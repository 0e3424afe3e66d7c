"""Bambi's model of every family and link is the one that the design, the priors and `bayesmlm.families` describe."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_model import random_draws

import bayesmlm as bm
from bayesmlm.bambi_draws import read_posterior
from bayesmlm.design import build_design
from bayesmlm.families import KINDS, LINKS, log_density, read_family
from bayesmlm.model import build_model, posterior_tree
from bayesmlm.predictor import RowEffects, predictor_draws
from bayesmlm.priors import build_priors, log_prior

ROWS = 40
rng = np.random.default_rng(11)
FRAME = pd.DataFrame(
    {
        "x": rng.normal(1, 1, ROWS),
        "f": rng.choice(["a", "b", "c"], ROWS),
        "g": rng.choice(list("pqrs"), ROWS),
        "yes": rng.binomial(5, 0.4, ROWS),
        "n": 5,
        "count": rng.poisson(2, ROWS),
        "amount": rng.gamma(2, 1, ROWS),
        "some": rng.gamma(2, 1, ROWS) * rng.binomial(1, 0.7, ROWS),
        "share": rng.beta(2, 3, ROWS),
        "score": rng.normal(3, 1, ROWS),
        "w": rng.uniform(0.5, 2, ROWS),
    }
)
RESPONSES = {
    "real": "score",
    "count": "count",
    "positive": "amount",
    "nonnegative": "some",
    "unit": "share",
    "binomial": "cbind(yes, n - yes)",
}
SCALAR = [(name, link) for name, kind in KINDS.items() if kind.support in RESPONSES for link in kind.links]
AUXILIARY = {"sigma": 0.9, "nu": 4.0, "psi": 0.7}
# Where the expected response is 2 for every row, so that no link leaves its domain.
TYPICAL = {"binomial": 0.3, "unit": 0.3}


def built(name, link, response=None, weights=None, priors=None):
    family = read_family(name, link)
    text = response or RESPONSES[family.support]
    design = build_design(f"{text} ~ x + (1 | g)", FRAME, family, weights=weights)
    chosen = build_priors(design, priors)
    return design, chosen, build_model(design, chosen)


def expected_log_density(design, priors, beta, tau, z, auxiliary):
    """Prior and likelihood of one point, from NumPy alone; z are the standardised group effects."""
    sigma = auxiliary.get("sigma")
    sd = np.array([tau * (sigma or 1.0)])
    others = {name: np.array(v) for name, v in auxiliary.items() if name != "sigma"}
    residual = None if sigma is None else np.array(sigma)
    prior = log_prior(design, priors, beta, residual, (sd,), (np.ones((1, 1)),), others)
    eta = design.X @ beta + sd[0] * z[design.blocks[0].index]
    own = {name: np.full((1, 1), value) for name, value in auxiliary.items()}
    likelihood = log_density(design.family, design.y, eta[None], own, design.trials, design.weights)
    return sum(prior.values()) + stats.norm.logpdf(z).sum() + likelihood.sum()


def graph_log_density(design, model, beta, tau, z, auxiliary):
    """The PyMC graph's log-density at the same point, without the Jacobians of its own transformations."""
    graph = model.graph
    point = {"g||tau": tau, "Intercept": design.X.mean(axis=0) @ beta, "x": beta[1]}
    (dim,) = (d for d in graph.coords if d.endswith("__factor_dim"))
    point["g||z0"] = z[[design.blocks[0].levels.index(level) for level in graph.coords[dim]]]
    names = {**model.schema.auxiliary, **({"sigma": "sigma"} if model.schema.sigma else {})}
    point |= {names[name]: value for name, value in auxiliary.items()}
    unconstrained = {}
    for rv in graph.free_RVs:
        kind, value = graph.rvs_to_transforms[rv], point[rv.name]
        name = type(kind).__name__
        forward = {
            "NoneType": lambda v: v,
            "LogTransform": np.log,
            "LogOddsTransform": lambda v: np.log(v / (1 - v)),
        }
        unconstrained[graph.rvs_to_values[rv].name] = np.asarray(forward[name](value), dtype=float)
    return float(graph.compile_logp(jacobian=False, mode="FAST_COMPILE")(unconstrained))


def point_of(design):
    """Fixed effects, tau, z and auxiliary parameters at which every row's mean is near the typical one."""
    centre = float(LINKS[design.family.link].forward(np.array(TYPICAL.get(design.family.support, 2.0))))
    slope = 0.03
    beta = np.array([centre - slope * design.X[:, 1].mean(), slope])
    auxiliary = {name: AUXILIARY.get(name, 1.6) for name in design.family.auxiliary}
    return beta, 0.04, np.array([0.5, -1.0, 1.2, -0.3]), auxiliary


@pytest.mark.parametrize(("name", "link"), SCALAR, ids=["-".join(case) for case in SCALAR])
def test_density_of_the_graph(name, link):
    design, priors, model = built(name, link)
    point = point_of(design)
    found, wanted = graph_log_density(design, model, *point), expected_log_density(design, priors, *point)
    assert np.isfinite(wanted)
    # Bambi's probit has the square root of 2 in single precision.
    assert found == pytest.approx(wanted, rel=1e-7 if link == "probit" else 1e-9)


@pytest.mark.parametrize("name", [n for n, kind in KINDS.items() if kind.support in RESPONSES])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_a_graph_starts_where_the_density_is_finite(name, weighted):
    """The proposed fixed effects, other variables at PyMC's own start, for every link."""
    for link in KINDS[name].links:
        support = read_family(name, link).support
        weights = "w" if weighted and support != "binomial" else None
        _design, _priors, model = built(name, link, weights=weights)
        graph, point = model.graph, model.graph.initial_point()
        for rv in graph.free_RVs:
            if rv.name in model.start:
                point[graph.rvs_to_values[rv].name] = model.start[rv.name]
        assert np.isfinite(graph.compile_logp(mode="FAST_COMPILE")(point)), link


WEIGHTED = ["gaussian", "t", "poisson", "gamma", "hurdle_gamma", "negativebinomial"]


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_are_in_the_graph(name):
    """Of a Gaussian response they divide the variance; of others they multiply the log-density."""
    link = "log" if "log" in KINDS[name].links else "identity"
    design, priors, model = built(name, link, weights="w")
    assert design.weights is not None
    point = point_of(design)
    found, wanted = graph_log_density(design, model, *point), expected_log_density(design, priors, *point)
    plain = expected_log_density(replace(design, weights=None), priors, *point)
    assert found == pytest.approx(wanted, rel=1e-9)
    assert abs(plain - wanted) > 0.1


def test_scales_of_gaussian_models_alone_are_relative_to_sigma():
    """decov's sd is tau scale phi, phi = sigma where there is one and 1 otherwise."""
    for name, link in (("gaussian", "identity"), ("t", "identity"), ("poisson", "log")):
        _design, _priors, model = built(name, link)
        inputs = {v.name for v in model.graph.free_RVs}
        ancestors = {v.name for v in _ancestors(model.graph["g||sd"])}
        assert ("sigma" in ancestors & inputs) == (name != "poisson")


def _ancestors(variable):
    from pytensor.graph.traversal import ancestors

    return [v for v in ancestors([variable]) if v.name]


RESPONSE_TEXTS = {
    "cbind(yes, n - yes)": "p(yes, n)",
    "I(yes / n)": "p(`successes`, `trials`)",
    "as.numeric(yes > 2)": "`as.numeric(yes > 2)`",
}


@pytest.mark.parametrize(("response", "text"), RESPONSE_TEXTS.items())
def test_binomial_responses_in_bambis_formula(response, text):
    weights = "n" if "/" in response else None
    _design, _priors, model = built("binomial", "logit", response=response, weights=weights)
    assert model.model.formula.main.startswith(f"{text} ~ ")
    assert model.model.family.name == ("binomial" if "p(" in text else "bernoulli")


@pytest.mark.parametrize(("name", "link"), SCALAR, ids=["-".join(case) for case in SCALAR])
def test_bambi_predicts_what_the_design_says(name, link):
    """Random draws through Bambi, and through X, Z and the inverse link; and back from our draws to Bambi's."""
    design, _priors, model = built(name, link)
    tree = positive_draws(model, design)
    posterior = read_posterior(tree, model.schema, design, seed=1)
    assert set(posterior.auxiliary) == set(design.family.auxiliary) - {"sigma"}
    assert posterior.mean_ppd.shape == posterior.fixef.shape[:2]
    again = posterior_tree(model, posterior, design)
    for variable in model.schema.names:
        ours = again["posterior"][variable]
        np.testing.assert_array_equal(
            ours, tree["posterior"][variable].sel(ours.coords).transpose(*ours.dims)
        )
    (block,) = design.blocks
    b = posterior.blocks[0].b.values.reshape(-1, *posterior.blocks[0].b.shape[2:])
    beta = posterior.fixef.values.reshape(-1, 2)
    eta = predictor_draws(beta, design.X, None, [RowEffects(b, block.index, block.Z, range(1))])
    parent = model.model.family.likelihood.parent
    predicted = model.model.predict(again, inplace=False)["posterior"][parent].values
    np.testing.assert_allclose(predicted.reshape(eta.shape), LINKS[link].inverse(eta), rtol=1e-9)


def positive_draws(model, design):
    """Draws near `point_of`, so that no link leaves its domain."""
    tree = random_draws(model)
    beta, _tau, _z, auxiliary = point_of(design)
    data = tree["posterior"].to_dataset() * 0.01
    data["Intercept"] = data["Intercept"] + beta[0]
    data["x"] = data["x"] + beta[1]
    for name, variable in model.schema.auxiliary.items():
        data[variable] = np.abs(data[variable]) + auxiliary[name] / 2
    if model.schema.sigma:
        data["sigma"] = np.abs(data["sigma"]) + 0.5
    tree["posterior"] = data
    return tree


def test_custom_and_joint_priors_reach_the_graph_of_a_family():
    import bambi

    priors = {"fixed": bm.horseshoe(), "shape": bambi.Prior("LogNormal", mu=0, sigma=1)}
    _design, _priors, model = built("gamma", "log", priors=priors)
    kinds = {rv.name: rv.owner.op.name for rv in model.graph.free_RVs}
    assert kinds["alpha"] == "lognormal"
    assert "fixed||local" in kinds
    _design, _priors, model = built("zero_inflated_poisson", "log", priors={"psi": bm.beta(2, 5)})
    assert model.model.parameters["psi"].prior.args == {"alpha": 2.0, "beta": 5.0}
