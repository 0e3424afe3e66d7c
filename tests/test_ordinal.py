"""Ordered responses: thresholds instead of an intercept, in the design, the priors, Bambi's model and the posterior."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_model import random_draws

import bayesmlm as bm
from bayesmlm.bambi_draws import read_posterior
from bayesmlm.design import build_design
from bayesmlm.families import KINDS, log_density, mean, read_family
from bayesmlm.model import build_model, posterior_tree
from bayesmlm.newdata import new_design
from bayesmlm.predictor import RowEffects, predictor_draws
from bayesmlm.priors import build_priors, draw_parameters, log_prior

rng = np.random.default_rng(4)
ROWS = 60
LEVELS = ["never", "sometimes", "often", "always"]
FRAME = pd.DataFrame(
    {
        "x": rng.normal(2000, 2, ROWS),
        "f": rng.choice(["a", "b", "c"], ROWS),
        "g": rng.choice(list("pqrs"), ROWS),
        "often": pd.Categorical(rng.choice(LEVELS, ROWS), LEVELS, ordered=True),
        "grade": rng.integers(1, 5, ROWS),
    }
)
CASES = [(name, link) for name in ("cumulative", "sratio") for link in KINDS[name].links]


def built(name, link="logit", formula="often ~ x + f + (1 | g)", priors=None):
    design = build_design(formula, FRAME, read_family(name, link))
    chosen = build_priors(design, priors)
    return design, chosen, build_model(design, chosen)


@pytest.mark.parametrize("fixed", ["x + f", "1 + x + f", "0 + x + f"])
def test_thresholds_take_the_place_of_the_intercept(fixed):
    design = build_design(f"often ~ {fixed} + (1 | g)", FRAME, read_family("cumulative"))
    assert design.coefficients == ("x", "fb", "fc")
    assert design.response_levels == tuple(LEVELS)
    new = new_design(design, FRAME.iloc[[3, 0]])
    np.testing.assert_array_equal(new.X, design.X[[3, 0]])


def test_bambis_formula():
    _design, _priors, model = built("cumulative")
    assert model.model.formula.main == "often ~ 0 + x + f + (1|g)"
    _design, _priors, model = built("sratio", formula="grade ~ 1 + (1 | g)")
    assert model.model.formula.main == "`grade.` ~ 0 + (1|g)"
    assert model.model.response_term.levels == ["1", "2", "3", "4"]


@pytest.mark.parametrize(("name", "link"), CASES, ids=["-".join(c) for c in CASES])
def test_density_of_the_graph(name, link):
    """Likelihood and priors from NumPy; PyMC leaves out the number of orders, (K - 1)!, of which one is possible."""
    design, priors, model = built(name, link)
    centred, beta, tau = np.array([-0.8, 0.3, 1.1]), np.array([0.1, 0.4, -0.2]), 0.5
    z = np.array([0.5, -1.0, 1.2, -0.3])
    thresholds = centred + design.X.mean(axis=0) @ beta
    one = np.ones((1, 1))
    prior = log_prior(design, priors, beta, None, (np.array([tau]),), (one,), {"thresholds": thresholds})
    eta = design.X @ beta + tau * z[design.blocks[0].index]
    found = log_density(design.family, design.y, eta[None], {"thresholds": thresholds[None, None]})
    expected = sum(prior.values()) + stats.norm.logpdf(z).sum() + found.sum()
    graph = model.graph
    (dim,) = (d for d in graph.coords if d.endswith("__factor_dim"))
    place = [design.blocks[0].levels.index(level) for level in graph.coords[dim]]
    point = {"threshold||centred": centred, "x": beta[0], "f": beta[1:], "g||z0": z[place]}
    point["g||tau_log__"] = np.log(tau)
    if name == "cumulative":
        point["threshold||centred_ordered__"] = np.r_[centred[0], np.log(np.diff(centred))]
        expected -= np.log(6)
    known = {v.name: np.asarray(point[v.name]) for v in graph.value_vars}
    logp = float(graph.compile_logp(jacobian=False, mode="FAST_COMPILE")(known))
    assert logp == pytest.approx(expected, rel=1e-7 if link == "probit" else 1e-9)


@pytest.mark.parametrize(("name", "link"), CASES, ids=["-".join(c) for c in CASES])
def test_bambi_predicts_the_same_probabilities(name, link):
    design, _priors, model = built(name, link)
    tree = random_draws(model)
    data = tree["posterior"].to_dataset() * 0.3
    data["x"] = data["x"] / 100
    means = design.X.mean(axis=0)
    shift = data["x"] * means[0] + (data["f"] * means[1:]).sum("f_dim")
    steps = np.exp(0.2 * data["threshold"]).cumsum("threshold_dim")
    data["threshold"] = (steps + shift - 2.0).transpose(*data["threshold"].dims)
    tree["posterior"] = data
    posterior = read_posterior(tree, model.schema, design, seed=1)
    drawn = posterior.auxiliary["thresholds"]
    assert drawn.dims == ("chain", "draw", "threshold")
    assert drawn["threshold"].values.tolist() == ["never|sometimes", "sometimes|often", "often|always"]
    assert np.isnan(posterior.mean_ppd.values).all()
    (block,) = design.blocks
    b = posterior.blocks[0].b.values.reshape(6, -1, 1)
    beta = posterior.fixef.values.reshape(6, -1)
    eta = predictor_draws(beta, design.X, None, [RowEffects(b, block.index, block.Z, range(1))])
    ours = mean(design.family, eta, {"thresholds": drawn.values.reshape(6, 1, -1)})
    predicted = model.model.predict(posterior_tree(model, posterior, design), inplace=False)
    np.testing.assert_allclose(predicted["posterior"]["p"].values.reshape(ours.shape), ours, atol=1e-8)


@pytest.mark.parametrize("name", ["cumulative", "sratio"])
def test_thresholds_drawn_from_the_prior_are_those_at_the_means(name):
    design, priors, _ = built(name, priors={"thresholds": bm.normal(0, 2), "x": bm.normal(0, 5)})
    drawn = draw_parameters(design, priors, 4000, np.random.default_rng(1))
    centred = drawn.auxiliary["thresholds"] - (drawn.fixef @ design.X.mean(axis=0))[:, None]
    rising = (np.diff(centred, axis=1) > 0).all(axis=1)
    assert rising.all() == (name == "cumulative")
    assert stats.kstest(centred.ravel()[:: 3 if name == "sratio" else 1], stats.norm(0, 2).cdf).pvalue > 1e-3


def test_the_thresholds_have_a_prior_of_their_own():
    _design, priors, model = built("cumulative", priors={"thresholds": bm.normal(0, 1.5)})
    assert priors.auxiliary["thresholds"].used == bm.normal(0, 1.5)
    (kind,) = (rv.owner.op.name for rv in model.graph.free_RVs if rv.name.startswith("threshold"))
    assert kind == "normal"
    with pytest.raises(bm.PriorError, match="thresholds"):
        built("cumulative", priors={"thresholds": bm.exponential(1)})


def test_a_fit_recovers_thresholds_and_slopes():
    """Simulated from known values; four posterior standard deviations."""
    n, groups = 400, 12
    r = np.random.default_rng(2)
    frame = pd.DataFrame({"x": r.normal(size=n), "g": np.arange(n) % groups})
    latent = 0.8 * frame["x"] + r.normal(0, 0.6, groups)[np.arange(n) % groups] + r.logistic(size=n)
    frame["y"] = np.digitize(latent, [-1.0, 0.5, 1.5]) + 1
    fit = bm.fit("y ~ x + (1 | g)", frame, "cumulative", seed=1, chains=2, progress=False)
    assert int(fit.posterior.sample_stats["diverging"].sum()) == 0
    draws = fit.posterior.auxiliary["thresholds"]
    off = (draws.mean(("chain", "draw")) - [-1.0, 0.5, 1.5]) / draws.std(("chain", "draw"))
    assert (np.abs(off) < 4).all()
    assert abs(fit.fixef()["x"] - 0.8) < 4 * fit.se()["x"]
