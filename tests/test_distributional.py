"""Models in which auxiliary parameters have predictors: formulas, designs, priors, Bambi's model, the posterior."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_model import random_draws

import bayesmlm as bm
from bayesmlm.bambi_draws import read_posterior
from bayesmlm.design import build_design
from bayesmlm.families import LINKS, read_family
from bayesmlm.kernels.target import obstacle
from bayesmlm.model import build_model, posterior_tree
from bayesmlm.predictor import RowEffects, predictor_draws
from bayesmlm.priors import build_priors

rng = np.random.default_rng(8)
ROWS = 50
FRAME = pd.DataFrame(
    {
        "x": rng.normal(1, 1, ROWS),
        "z": rng.normal(5, 2, ROWS),
        "f": rng.choice(["a", "b", "c"], ROWS),
        "g": rng.choice(list("pqrs"), ROWS),
        "y": rng.normal(50, 9, ROWS),
        "count": rng.poisson(2, ROWS),
    }
)
MODELS = {
    "sigma": (bm.formula("y ~ x + (1 | g)", sigma="~ z + (1 | g)"), "gaussian"),
    "sigma of t": (bm.formula("y ~ x + (1 | g)", "sigma ~ f"), "t"),
    "psi": (bm.formula("count ~ x + (1 | g)", psi="~ z + (z | g)"), "zero_inflated_poisson"),
    "two": (
        bm.formula("count ~ 1 + (1 | g)", "reciprocal_dispersion ~ x", psi="~ z"),
        "hurdle_negativebinomial",
    ),
    "scaled": (bm.formula("y ~ x + (1 | g)", sigma="~ scale(z) + poly(x, 2) + offset(z)"), "gaussian"),
}


def built(name, priors=None):
    formula, family = MODELS[name]
    design = build_design(formula, FRAME, read_family(family))
    chosen = build_priors(design, priors)
    return design, chosen, build_model(design, chosen)


# -- formulas and designs ---------------------------------------------------------------------------


def test_formulas_are_given_by_name_or_with_a_left_side():
    one, two = bm.formula("y ~ x", sigma="~ z + (1 | g)"), bm.formula("y ~ x", "sigma ~ z + (1 | g)")
    assert one == two
    assert one.spelled == two.spelled == "y ~ x, sigma ~ z + (1 | g)"


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        (["y ~ x", "~ z"], {}, "which parameter is this of"),
        (["y ~ x", "log(sigma) ~ z"], {}, "which parameter is this of"),
        (["y ~ x", "sigma ~ z"], {"sigma": "~ x"}, "two formulas"),
        (["y ~ x"], {"sigma": "phi ~ z"}, "has phi left of the tilde"),
        (["y ~ x"], {"sigma": 3}, "give a formula as text"),
    ],
)
def test_formulas_that_cannot_be(arguments, named, message):
    with pytest.raises(bm.FormulaError, match=message):
        bm.formula(*arguments, **named)


def test_every_formula_has_a_design_of_the_same_rows():
    frame = FRAME.assign(z=FRAME["z"].where(FRAME.index != 3))
    design = build_design(bm.formula("y ~ x + (1 | g)", sigma="~ z + (1 | g)"), frame)
    (own,) = design.others.values()
    assert design.nobs == own.nobs == ROWS - 1
    assert design.dropped == {"z": 1}
    assert own.coefficients == ("(Intercept)", "z")
    assert [b.label for b in own.blocks] == ["sigma: g"]
    assert own.family.link == "log"
    assert {"x", "y", "z", "g"} == set(design.frame.columns)


def test_errors_point_into_the_formula_that_has_them():
    with pytest.raises(bm.FormulaError, match="unknown column 'q'") as caught:
        build_design(bm.formula("y ~ x + (1 | g)", sigma="~ q"), FRAME)
    assert "~ q" in str(caught.value)
    with pytest.raises(bm.FormulaError, match=r"shape is no parameter that can have predictors.*sigma"):
        build_design(bm.formula("y ~ x + (1 | g)", shape="~ x"), FRAME)


# -- priors -------------------------------------------------------------------------------------------


def test_default_priors_of_a_modelled_sigma():
    design, priors, _ = built("sigma")
    sd = np.std(design.y, ddof=1)
    assert priors.sigma is None
    own = priors.others["sigma"]
    assert own.intercept.used == bm.normal(float(np.log(sd)), 2.5, autoscale=True)
    assert own.coefficients["z"].used["scale"] == pytest.approx(2.5 / np.std(FRAME["z"], ddof=1))
    assert own.covariance["sigma: g"] == bm.decov()
    # no one sigma is left for decov to be relative to
    assert priors.covariance["g"].scale == pytest.approx(sd)


def test_priors_of_a_parameter_are_given_in_a_dict():
    chosen = {"sigma": {"z": bm.normal(0, 0.3), "g": bm.half_normal(0.5), "(Intercept)": bm.normal(2, 1)}}
    _design, priors, model = built("sigma", chosen)
    own = priors.others["sigma"]
    assert own.coefficients["z"].used == bm.normal(0, 0.3)
    assert own.intercept.used == bm.normal(2, 1)
    assert own.covariance["sigma: g"].adjusted == (bm.half_normal(0.5),)
    assert model.model.parameters["sigma"].terms["z"].prior.args["sigma"] == 0.3
    assert model.model.parameters["mu"].terms["x"].prior.args["sigma"] != 0.3
    with pytest.raises(bm.PriorError, match="give a dict"):
        built("sigma", {"sigma": bm.exponential(1)})
    with pytest.raises(bm.PriorError, match="no 'q'"):
        built("sigma", {"sigma": {"q": bm.normal(0, 1)}})


# -- the graph ------------------------------------------------------------------------------------------


def test_density_of_the_graph():
    """A Gaussian model whose log sigma has an intercept, a slope and group effects, written out in scipy."""
    design, priors, model = built("sigma")
    own, sd_y = design.others["sigma"], float(np.std(design.y, ddof=1))
    beta, gamma = np.array([48.0, 1.5]), np.array([2.0, 0.05])
    tau, tau_s = 0.4, 0.3
    z, z_s = rng.normal(size=4), rng.normal(size=4)
    index, index_s = design.blocks[0].index, own.blocks[0].index
    eta = design.X @ beta + tau * sd_y * z[index]
    sigma = np.exp(own.X @ gamma + tau_s * z_s[index_s])
    intercept, intercept_s = design.X.mean(axis=0) @ beta, own.X.mean(axis=0) @ gamma
    expected = (
        stats.norm.logpdf(design.y, eta, sigma).sum()
        + stats.norm.logpdf(intercept, design.y.mean(), 2.5 * sd_y)
        + stats.norm.logpdf(1.5, 0, 2.5 * sd_y / FRAME["x"].std())
        + stats.norm.logpdf(intercept_s, np.log(sd_y), 2.5)
        + stats.norm.logpdf(0.05, 0, 2.5 / FRAME["z"].std())
        + stats.expon.logpdf([tau, tau_s]).sum()
        + stats.norm.logpdf([*z, *z_s]).sum()
    )
    graph = model.graph
    place = [design.blocks[0].levels.index(level) for level in graph.coords["g__factor_dim"]]
    point = {
        "Intercept": intercept,
        "x": 1.5,
        "sigma_Intercept": intercept_s,
        "sigma_z": 0.05,
        "g||tau_log__": np.log(tau),
        "sigma: g||tau_log__": np.log(tau_s),
        "g||z0": z[place],
        "sigma: g||z0": z_s[place],
    }
    logp = graph.compile_logp(jacobian=False, mode="FAST_COMPILE")
    known = {v.name: np.asarray(point[v.name]) for v in graph.value_vars}
    assert float(logp(known)) == pytest.approx(expected, rel=1e-9)
    assert obstacle(design, priors) == "sigma has predictors of its own"


@pytest.mark.parametrize("name", MODELS)
def test_bambi_predicts_what_the_designs_say(name):
    design, _priors, model = built(name)
    tree = random_draws(model)
    for variable in tree["posterior"].data_vars:
        least = 3.0 if variable == "nu" else 0.0  # of fewer degrees of freedom a t draw can be infinite
        tree["posterior"][variable] = least + np.abs(tree["posterior"][variable]) * 0.1
    posterior = read_posterior(tree, model.schema, design, seed=1)
    assert set(posterior.others) == set(design.others)
    again = posterior_tree(model, posterior, design)
    for variable in model.schema.names:
        ours = again["posterior"][variable]
        np.testing.assert_array_equal(ours, tree["posterior"][variable].transpose(*ours.dims))
    predicted = model.model.predict(again, inplace=False)["posterior"]
    bambi = {"psi": "psi", "sigma": "sigma", "reciprocal_dispersion": "alpha"}
    for parameter, own in design.others.items():
        part = posterior.part(parameter)
        effects = [
            RowEffects(b.b.values.reshape(6, *b.b.shape[2:]), block.index, block.Z, range(block.Z.shape[1]))
            for block, b in zip(own.blocks, part.blocks, strict=True)
        ]
        eta = predictor_draws(part.fixef.values.reshape(6, -1), own.X, own.offset, effects)
        found = predicted[bambi[parameter]].values.reshape(eta.shape)
        np.testing.assert_allclose(found, LINKS[own.family.link].inverse(eta), rtol=1e-9)
    assert np.isfinite(posterior.mean_ppd.values).all()


@pytest.mark.filterwarnings("ignore:Pareto k:bayesmlm.ConvergenceWarning")
def test_a_fit_recovers_what_sigma_depends_on():
    """Simulated from known values; four posterior standard deviations."""
    n, groups = 300, 15
    r = np.random.default_rng(5)
    frame = pd.DataFrame({"x": r.normal(3, 1, n), "g": np.arange(n) % groups})
    varying = r.normal(0, 1, groups)[frame["g"]]
    log_sigma = 0.2 + 0.5 * (frame["x"] - 3) + r.normal(0, 0.4, groups)[frame["g"]]
    frame["y"] = 10 + 2 * frame["x"] + varying + r.normal(size=n) * np.exp(log_sigma)
    formula = bm.formula("y ~ x + (1 | g)", sigma="~ x + (1 | g)")
    fit = bm.fit(formula, frame, seed=3, draws=2000, progress=False)
    assert int(fit.posterior.sample_stats["diverging"].sum()) == 0
    part = fit.posterior.part("sigma")
    slope = part.fixef.sel(coefficient="x")
    assert abs(float(slope.mean()) - 0.5) < 4 * float(slope.std())
    assert float(slope.std()) < 0.1
    sd = part.blocks[0].sd
    assert abs(float(sd.mean()) - 0.4) < 4 * float(sd.std())
    assert fit.posterior.sigma is None
    assert fit.loo().elpd > bm.fit("y ~ x + (1 | g)", frame, seed=3, progress=False).loo().elpd + 10
