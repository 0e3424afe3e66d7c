"""Categorical responses: a linear predictor for every category but the first, in Bambi's model and the posterior."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from test_model import random_draws

import bayesmlm as bm
from bayesmlm.bambi_draws import read_posterior
from bayesmlm.design import build_design
from bayesmlm.families import log_density, mean, read_family
from bayesmlm.model import build_model, posterior_tree
from bayesmlm.predictor import RowEffects, predictor_draws
from bayesmlm.priors import build_priors

rng = np.random.default_rng(9)
ROWS = 60
FRAME = pd.DataFrame(
    {
        "x": rng.normal(3, 1, ROWS),
        "f": rng.choice(["a", "b", "c"], ROWS),
        "g": rng.choice(list("pqrs"), ROWS),
        "h": rng.choice(list("uvw"), ROWS),
        "y": rng.choice(["car", "bus", "foot"], ROWS),
    }
)
FAMILY = read_family("categorical")
FORMULAS = [
    "y ~ x + (1 | g)",
    "y ~ x * f + (f | g) + (x | h)",
    "y ~ 1 + (1 + x | g)",
    "y ~ 0 + f + (0 + f | g)",
]


def built(formula, priors=None):
    design = build_design(formula, FRAME, FAMILY)
    chosen = build_priors(design, priors)
    return design, chosen, build_model(design, chosen)


def predictors(design, posterior):
    """Linear predictors (S, n, K - 1) of draws."""
    etas = []
    for name in posterior.others:
        part = posterior.part(name)
        effects = [
            RowEffects(b.b.values.reshape(-1, *b.b.shape[2:]), block.index, block.Z, range(block.Z.shape[1]))
            for block, b in zip(design.blocks, part.blocks, strict=True)
        ]
        beta = part.fixef.values.reshape(-1, len(design.coefficients))
        etas.append(predictor_draws(beta, design.X, design.offset, effects))
    return np.stack(etas, axis=-1)


@pytest.mark.parametrize("formula", FORMULAS)
def test_bambi_predicts_the_same_probabilities(formula):
    design, _priors, model = built(formula)
    tree = random_draws(model)
    posterior = read_posterior(tree, model.schema, design, seed=1)
    assert list(posterior.others) == ["mucar", "mufoot"]  # the first category of three is the bus
    assert posterior.fixef.shape == (2, 3, 0)
    assert posterior.blocks == ()
    for part, name in ((posterior.part(n), n) for n in posterior.others):
        assert part.fixef["coefficient"].values.tolist() == list(design.coefficients)
        assert [b.label for b in part.blocks] == [f"{name}: {b.label}" for b in design.blocks]
    again = posterior_tree(model, posterior, design)
    for variable in model.schema.names:
        ours = again["posterior"][variable]
        np.testing.assert_array_equal(ours, tree["posterior"][variable].transpose(*ours.dims))
    predicted = model.model.predict(again, inplace=False)["posterior"]["p"].values
    ours = mean(FAMILY, predictors(design, posterior), {})
    np.testing.assert_allclose(predicted.reshape(ours.shape), ours, rtol=1e-9)


@pytest.mark.parametrize("formula", FORMULAS)
def test_probabilities_of_the_graph(formula):
    """At a random point, those that follow from the graph's own coefficients and effects, through X and Z."""
    design, _priors, model = built(formula, {"covariance": bm.lkj(2, sd=bm.half_normal(1))})
    graph, start = model.graph, model.graph.initial_point()
    point = {
        rv: rng.uniform(0.2, 0.8, np.shape(start[graph.rvs_to_values[rv].name])) for rv in graph.free_RVs
    }
    names = {
        v for part in model.schema.others.values() for v in part.names if not v.endswith(("_sigma", "_corr"))
    }
    values = {}
    for name in names:
        dims = graph.named_vars_to_dims[name]
        found = graph[name].eval(point, mode="FAST_COMPILE", on_unused_input="ignore")
        coords = {d: list(graph.coords[d]) for d in dims}
        values[name] = xr.DataArray(found, coords, dims)
    for name in model.schema.names:
        if name not in values:
            dims = graph.named_vars_to_dims[name]
            coords = {d: list(graph.coords[d]) for d in dims}
            values[name] = xr.DataArray(np.ones([len(c) for c in coords.values()]), coords, dims)
    data = xr.Dataset(values).expand_dims(chain=[0], draw=[0])
    stats_group = xr.Dataset({k: (("chain", "draw"), np.zeros((1, 1))) for k in ("lp", "diverging")})
    tree = xr.DataTree.from_dict({"posterior": data, "sample_stats": stats_group})
    posterior = read_posterior(tree, model.schema, design, seed=1)
    if "(Intercept)" in design.coefficients:  # in the graph it is that of centred predictors
        for part in posterior.others.values():
            part.fixef.values[..., 0] -= part.fixef.values[..., 1:] @ design.X[:, 1:].mean(axis=0)
    ours = mean(FAMILY, predictors(design, posterior), {})[0]
    theirs = graph["p"].eval(point, mode="FAST_COMPILE", on_unused_input="ignore")
    np.testing.assert_allclose(theirs, ours, rtol=1e-9)


def test_density_of_the_graph():
    design, _priors, model = built("y ~ x + (1 | g)")
    beta = np.array([[0.3, -0.1], [-0.5, 0.2]])  # category, coefficient
    tau, z = np.array([0.4, 0.9]), rng.normal(size=(2, 4))
    index = design.blocks[0].index
    eta = np.stack([design.X @ beta[k] + tau[k] * z[k][index] for k in range(2)], axis=-1)
    intercepts = beta @ design.X.mean(axis=0)
    expected = (
        log_density(FAMILY, design.y, eta[None], {}).sum()
        + stats.norm.logpdf(intercepts, 0, 2.5).sum()
        + stats.norm.logpdf(beta[:, 1], 0, 2.5 / FRAME["x"].std()).sum()
        + stats.expon.logpdf(tau).sum()
        + stats.norm.logpdf(z).sum()
    )
    graph = model.graph
    place = [design.blocks[0].levels.index(level) for level in graph.coords["g__factor_dim"]]
    point = {"Intercept": intercepts, "x": beta[:, 1]}
    for k, name in enumerate(["mucar: g", "mufoot: g"]):
        point |= {f"{name}||tau_log__": np.log(tau[k]), f"{name}||z0": z[k][place]}
    logp = graph.compile_logp(jacobian=False, mode="FAST_COMPILE")
    assert float(logp({v.name: np.asarray(point[v.name]) for v in graph.value_vars})) == pytest.approx(
        expected
    )


def test_all_categories_have_the_same_priors():
    _design, _priors, model = built("y ~ x + (1 | g)", {"x": bm.student_t(3, 0, 1), "g": bm.half_normal(2)})
    kinds = {rv.name: rv.owner.op.name for rv in model.graph.free_RVs}
    assert kinds["x"] == "t"
    assert kinds["mucar: g||scale"] == kinds["mufoot: g||scale"] == "halfnormal"
    with pytest.raises(bm.PriorError, match="categor"):
        built("y ~ x + (1 | g)", {"fixed": bm.horseshoe()})


def test_a_fit_recovers_slopes_and_standard_deviations():
    """Simulated from known values; four posterior standard deviations."""
    n, groups = 500, 15
    r = np.random.default_rng(6)
    frame = pd.DataFrame({"x": r.normal(size=n), "g": np.arange(n) % groups})
    eta = np.zeros((n, 3))
    eta[:, 1] = 0.5 + 0.9 * frame["x"] + r.normal(0, 0.8, groups)[frame["g"]]
    eta[:, 2] = -0.3 - 0.6 * frame["x"] + r.normal(0, 0.3, groups)[frame["g"]]
    frame["y"] = np.array(list("abc"))[np.argmax(eta + r.gumbel(size=(n, 3)), axis=1)]
    fit = bm.fit("y ~ x + (1 | g)", frame, "categorical", seed=3, progress=False)
    assert int(fit.posterior.sample_stats["diverging"].sum()) == 0
    for name, beta, sd in (("mub", [0.5, 0.9], 0.8), ("muc", [-0.3, -0.6], 0.3)):
        part = fit.posterior.part(name)
        off = (part.fixef.mean(("chain", "draw")) - beta) / part.fixef.std(("chain", "draw"))
        assert (np.abs(off) < 4).all()
        (block,) = part.blocks
        assert abs(float(block.sd.mean()) - sd) < 4 * float(block.sd.std())
