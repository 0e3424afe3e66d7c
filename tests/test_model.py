"""The Bambi model means what the design means: formula, columns, priors, density."""

import bambi
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from scipy import stats

import bayesmlm as bm
from bayesmlm.bambi_draws import read_posterior
from bayesmlm.design import build_design
from bayesmlm.model import build_model, choose_forms
from bayesmlm.priors import build_priors
from bayesmlm.reference.lmer import fit_lmer

rng = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {
        "y": rng.normal(50, 9, 120),
        "x": rng.normal(2, 1, 120),
        "x.dot": rng.gamma(2, 1, 120),
        "f": rng.choice(["a", "b", "c"], 120),
        "sex": pd.Categorical(rng.choice(["M", "F"], 120), ["M", "F"]),
        "year": rng.choice([2001, 2002, 2003], 120),
        "ok": rng.random(120) < 0.5,
        "g": rng.choice(list("pqrstu"), 120),
        "h": rng.choice([10.0, 2.0, 33.0, 4.0], 120),
    }
)

# The same predictors with effects that vary between groups, so that no variance is estimated as zero.
GROUPS = FRAME["g"].astype("category").cat.codes
TREND = rng.normal(0, 4, 6)[GROUPS] + rng.normal(0, 3, 6)[GROUPS] * FRAME["x"]
STEPS = rng.normal(0, 5, (6, 3))[GROUPS, FRAME["f"].astype("category").cat.codes]
CLUSTERED = FRAME.assign(
    y=FRAME["y"] / 3 + TREND + STEPS + FRAME["h"].map({10.0: -6, 2.0: 0, 33.0: 2, 4.0: 7})
)


def built(formula, forms=None, priors=None, data=FRAME):
    design = build_design(formula, data)
    return design, build_model(design, build_priors(design, priors), forms)


FORMULAS = {
    # R's formula: (Bambi's formula, posterior variables of the fixed effects)
    "y ~ x + (x | g)": ("y ~ 1 + x + (1|g) + (0 + x|g)", ["Intercept", "x"]),
    "y ~ sex + (1 | g)": ("y ~ 1 + sex + (1|g)", ["Intercept", "sex"]),
    "y ~ factor(year) * x + (1 | g)": (
        "y ~ 1 + C(year) + x + C(year):x + (1|g)",
        ["Intercept", "C(year)", "C(year)", "x", "C(year):x", "C(year):x"],
    ),
    "log(y) ~ log(x.dot) + I(x^2) + (1 | g)": (
        "log(y) ~ 1 + log(`x.dot`) + I(x ** 2) + (1|g)",
        ["Intercept", "log(x.dot)", "I(x ** 2)"],
    ),
    "y ~ 0 + f + x + (0 + f | g)": ("y ~ 0 + f + x + (0 + f|g)", ["f", "f", "f", "x"]),
    "y ~ x + (x || g)": ("y ~ 1 + x + (1|g) + (0 + x|g)", ["Intercept", "x"]),
    "y ~ 1 + (1 | g/h)": ("y ~ 1 + (1|interaction(h, g)) + (1|g)", ["Intercept"]),
    "y ~ 1 + (1 | factor(h)) + (1 | f)": ("y ~ 1 + (1|`factor(h)`) + (1|f)", ["Intercept"]),
    "y ~ scale(x) + (scale(x) | g)": (
        "y ~ 1 + `scale(x)` + (1|g) + (0 + `scale(x)`|g)",
        ["Intercept", "scale(x)"],
    ),
    "y ~ poly(x, 2) + (1 | g)": ("y ~ 1 + `poly(x, 2)1` + `poly(x, 2)2` + (1|g)", None),
    "y ~ f:x + (1 | g)": ("y ~ 1 + f:x + (1|g)", ["Intercept", "f:x", "f:x", "f:x"]),
    "y ~ f:sex + (1 | g)": (None, None),
    "y ~ x + ok + offset(x.dot) + (1 | g)": (
        "y ~ 1 + x + ok + offset(`x.dot`) + (1|g)",
        ["Intercept", "x", "ok"],
    ),
    "y ~ x + (f | g)": ("y ~ 1 + x + (1|g) + (0 + f|g)", ["Intercept", "x"]),
    "y ~ x + (1 | g) + (0 + f | g)": (None, ["Intercept", "x"]),
}


@pytest.mark.parametrize(("formula", "expected"), FORMULAS.items(), ids=list(FORMULAS))
@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_formula_given_to_bambi(formula, expected):
    _design, model = built(formula)
    text, variables = expected
    assert isinstance(model.model, bambi.Model)
    if text is not None:
        assert model.model.formula.main == text
    if variables is not None:
        assert [v.name for v in model.schema.coefficients] == variables


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_bambi_predicts_what_the_design_says(formula):
    """Random draws, arranged as the schema says, give the same linear predictor through Bambi and through X and Z."""
    design, model = built(formula)
    assert_bambi_predicts(design, model)


def assert_bambi_predicts(design, model):
    tree = random_draws(model)
    posterior = read_posterior(tree, model.schema, design, seed=1)
    expected = posterior.fixef.values @ design.X.T
    for block, draws in zip(design.blocks, posterior.blocks, strict=True):
        expected += np.einsum("np,cdnp->cdn", block.Z, draws.b.values[:, :, block.index])
    if design.offset is not None:
        expected += design.offset
    predicted = model.model.predict(tree, inplace=False).posterior["mu"]
    np.testing.assert_allclose(predicted.values, expected, rtol=1e-9)


def random_draws(model, chains=2, draws=3):
    """Random numbers for every posterior variable, in the dims the PyMC model gives it."""
    graph, data = model.graph, {}
    for name in model.schema.names:
        dims = list(graph.named_vars_to_dims.get(name, ()))
        values = rng.normal(size=(chains, draws, *(len(graph.coords[d]) for d in dims)))
        factor = [d for d in dims if d.endswith("__factor_dim")]
        order = ["chain", "draw", *(d for d in dims if d not in factor), *factor]
        coords = {d: list(graph.coords[d]) for d in dims} | {"chain": range(chains), "draw": range(draws)}
        data[name] = xr.DataArray(values, dims=["chain", "draw", *dims], coords=coords).transpose(*order)
    stats_group = xr.Dataset({k: (("chain", "draw"), np.zeros((chains, draws))) for k in ("lp", "diverging")})
    return xr.DataTree.from_dict({"posterior": xr.Dataset(data), "sample_stats": stats_group})


# -- density ----------------------------------------------------------------------------------------

SMALL = FRAME.assign(g=FRAME["g"].map({"p": "1", "q": "1", "r": "2", "s": "2", "t": "3", "u": "4"}))
FORMS = [
    ("noncentred", "noncentred"),
    ("centred", "centred"),
    ("hierarchical", "noncentred"),
    ("hierarchical", "hierarchical"),
]


@pytest.mark.parametrize("forms", FORMS, ids=["-".join(f) for f in FORMS])
def test_density_of_the_graph(forms):
    """Prior and likelihood, written out in scipy, up to the Jacobian of the parametrisation."""
    design = build_design("y ~ x + (1 + x | g)", SMALL)
    priors = build_priors(design, {"covariance": bm.decov(2.0, 1.5, 1.2, 0.7)})
    model = build_model(design, priors, {"g": forms})
    point = {
        "sigma": np.array(7.0),
        "Intercept": np.array(49.0),
        "x": np.array(1.3),
        "g||tau": np.array(0.6),
        "g||share": np.array([0.7, 0.3]),
        "g||partial": np.array([0.8]),
    }
    names = [f"g||{'z' if form == 'noncentred' else 'b'}{k}" for k, form in enumerate(forms)]
    b = rng.normal(size=(len(design.blocks[0].levels), 2)) * [2.0, 0.5]
    sd = np.sqrt(2 * point["g||share"]) * 0.6 * 0.7 * 7.0
    r = 2 * 0.8 - 1
    factor = sd[:, None] * np.array([[1.0, 0.0], [r, np.sqrt(1 - r**2)]])
    z = np.linalg.solve(factor, b.T).T
    beta = [49.0 - 1.3 * design.X[:, 1].mean(), 1.3]
    for k, form in enumerate(forms):
        point[names[k]] = {"noncentred": z[:, k], "centred": b[:, k], "hierarchical": b[:, k] + beta[k]}[form]
    expected = (
        stats.expon.logpdf(7.0, scale=design.y.std(ddof=1))
        + stats.norm.logpdf(49.0, design.y.mean(), 2.5 * design.y.std(ddof=1))
        + stats.norm.logpdf(1.3, 0, 2.5 * design.y.std(ddof=1) / design.X[:, 1].std(ddof=1))
        + stats.gamma.logpdf(0.6, 1.2)
        + stats.dirichlet.logpdf(point["g||share"], [1.5, 1.5])
        + stats.beta.logpdf(0.8, 2.0, 2.0)
        + stats.norm.logpdf(z).sum()
        + stats.norm.logpdf(
            design.y, design.X @ beta + (design.blocks[0].Z * b[design.blocks[0].index]).sum(1), 7.0
        ).sum()
    )
    # A centred column's density is that of z over the diagonal element of the factor.
    expected -= sum(len(b) * np.log(factor[k, k]) for k, form in enumerate(forms) if form != "noncentred")
    graph = model.graph
    unconstrained = graph.initial_point()
    for rv in graph.free_RVs:
        value, transform = graph.rvs_to_values[rv], graph.rvs_to_transforms[rv]
        given = point[rv.name]
        unconstrained[value.name] = (
            given
            if transform is None
            else transform.forward(given, *rv.owner.inputs).eval(mode="FAST_COMPILE")
        )
    logp = graph.compile_logp(jacobian=False, mode="FAST_COMPILE")
    assert float(logp(unconstrained)) == pytest.approx(expected, rel=1e-9)


def test_correlations_are_lkj():
    """Marginals of an LKJ(eta) correlation: (r + 1) / 2 ~ Beta(a, a), a = eta - 1 + p / 2."""
    _design, model = built("y ~ f + (f | g)", priors={"g": bm.lkj(2.0, sd=bm.half_normal(1.0))})
    corr = pm.draw(model.graph["g_corr"], draws=2000, random_seed=4, mode="FAST_COMPILE")
    np.testing.assert_allclose(np.diagonal(corr, axis1=1, axis2=2), 1, rtol=1e-12)
    assert np.linalg.eigvalsh(corr).min() > 0
    for i, j in ((1, 0), (2, 0), (2, 1)):
        assert stats.kstest((corr[:, i, j] + 1) / 2, stats.beta(2.5, 2.5).cdf).pvalue > 1e-3


def test_priors_reach_the_graph():
    priors = {
        "x": bm.student_t(5, 1, 2),
        "(Intercept)": bm.cauchy(40, 5),
        "fixed": bm.normal(0, 3),
        "sigma": bm.half_student_t(4, 6),
        "g": bm.lkj(1.0, sd=bm.gamma(2, 0.5)),
    }
    _design, model = built("y ~ x + f + (x | g)", priors=priors)
    drawn = {rv.name: rv.owner.op.name for rv in model.graph.free_RVs if rv.owner is not None}
    assert model.model.parameters["mu"].terms["x"].prior.name == "StudentT"
    assert model.model.parameters["mu"].terms["f"].prior.args["sigma"] == pytest.approx([3.0, 3.0])
    assert model.model.parameters["sigma"].prior.name == "HalfStudentT"
    assert {"Intercept", "x", "f", "sigma", "g||scale", "g||partial"} <= set(drawn)


def test_one_level_of_a_factor_can_have_its_own_prior():
    _design, model = built("y ~ f + (1 | g)", priors={"fb": bm.student_t(3, 0, 1)})
    terms = model.model.parameters["mu"].terms
    assert terms["fb"].prior.name == "StudentT"
    assert terms["fc"].prior.name == "Normal"


def test_forms_follow_what_the_data_say():
    design = build_design("y ~ x + (x | g) + (1 | f)", FRAME)
    reliability = {"g": np.array([0.97, 0.4]), "f": np.array([0.99])}
    variance = {"g": np.array([4.0, 1.0]), "f": np.array([9.0])}
    forms = choose_forms(design, reliability, variance)
    # The intercept goes with the block that leaves it most uncertain: 9 / 3 levels against 4 / 6.
    assert forms == {"g": ("centred", "noncentred"), "f": ("hierarchical",)}


def test_building_twice_gives_the_same_graph():
    _design, model = built("y ~ x + (x | g)")
    first = [v.name for v in model.model.backend.model.free_RVs]
    model.model.build()
    assert [v.name for v in model.model.backend.model.free_RVs] == first


@pytest.mark.parametrize(
    ("formula", "forms"),
    [
        ("Reaction ~ Days + (Days | Subject)", {"Subject": ("noncentred", "hierarchical")}),
        ("Reaction ~ Days + I(Days^2) + (Days | Subject)", {"Subject": ("hierarchical", "noncentred")}),
        ("y ~ x + (f | g)", {"g": ("centred", "noncentred", "centred")}),
        ("y ~ 0 + f + (1 | g) + (1 | h)", {"g": ("noncentred",), "h": ("centred",)}),
    ],
)
@pytest.mark.parametrize("covariance", [bm.decov(scale=2.0), bm.lkj(1.5)], ids=["decov", "lkj"])
def test_chains_start_at_the_reference_fit(formula, forms, covariance):
    design = build_design(
        formula, bm.load_dataset("sleepstudy") if formula.startswith("Reaction") else CLUSTERED
    )
    estimate = fit_lmer(design)
    assert not estimate.singular, "a singular fit is moved off the boundary, so it could not be met exactly"
    model = build_model(design, build_priors(design, {"covariance": covariance}), forms, estimate)
    graph = model.graph
    point = {rv: np.asarray(model.start[rv.name], dtype=float) for rv in graph.free_RVs}
    for covariances, effects in zip(estimate.varcorr.blocks, estimate.ranef, strict=True):
        b = graph[f"{effects.label}||effects"].eval(point, mode="FAST_COMPILE", on_unused_input="ignore")
        dim = next(d for d in graph.coords if d.endswith(f"{effects.group}__factor_dim"))
        order = [effects.levels.index(level) for level in graph.coords[dim]]
        np.testing.assert_allclose(b, effects.mode[order], rtol=1e-8)
        sd = graph[f"{effects.label}||sd"].eval(point, mode="FAST_COMPILE", on_unused_input="ignore")
        np.testing.assert_allclose(sd, covariances.sd, rtol=1e-10)
        if len(sd) > 1:
            corr = graph[f"{effects.label}_corr"].eval(point, mode="FAST_COMPILE", on_unused_input="ignore")
            np.testing.assert_allclose(corr, covariances.corr, rtol=1e-8)
    mu = graph["mu"].eval(point, mode="FAST_COMPILE", on_unused_input="ignore")
    np.testing.assert_allclose(mu, estimate.fitted, rtol=1e-9)


def test_a_singular_reference_fit_still_gives_a_start():
    design = build_design("Yield ~ 1 + (1|Batch)", bm.load_dataset("dyestuff2"))
    model = build_model(design, build_priors(design), None, fit_lmer(design))
    assert float(model.start["Batch||tau"]) == pytest.approx(0.05)


# -- names that clash -----------------------------------------------------------------------------------

AWKWARD = FRAME.rename(columns={"f": "a, b", "h": "g.1"}).assign(
    sigma=FRAME["x"] + 1,
    mu=FRAME["x"] * 2 + rng.normal(size=120),
    Intercept=rng.normal(size=120),
    chain=rng.normal(size=120),
    g_sd=rng.normal(size=120),
    g_corr=rng.normal(size=120),
    g_sigma=FRAME["f"],
    offset_=rng.normal(size=120),
)
CLASHES = [
    "y ~ I(x / 10) + (I(x / 10) | g)",
    "y / year ~ x + (1 | g)",
    "exp(y / 90) ~ x + (1 | g)",
    "-y ~ x + (1 | g)",
    "center(y) ~ x + (1 | g)",
    "y ~ sigma + mu + Intercept + chain + (1 | g)",
    "sigma ~ x + (1 | g)",
    "mu ~ x + (1 | g)",
    "Intercept ~ x + (1 | g)",
    "y ~ g_sd + g_corr + (x | g)",
    "y ~ x + (1 | g) + (1 | g_sigma)",
    "y ~ `a, b` + x + (1 | `a, b`)",
    "y ~ g.1 + (1 | g) + (0 + x | g) + (1 | g.1)",
    "y ~ x + offset_ + offset(log(x.dot)) + offset(x) + (1 | g)",
    "y ~ 0 + (1 | g)",
    "y ~ scale(x) + (scale(x) | g) + (0 + f2 | g)",
]


@pytest.mark.parametrize("formula", CLASHES)
@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_awkward_names_mean_the_same_model(formula):
    """The graph has the design's response and linear predictor, whatever the columns are called."""
    data = AWKWARD.assign(f2=FRAME["f"])
    design, model = built(formula, data=data)
    (observed,) = model.graph.observed_RVs
    np.testing.assert_allclose(model.graph.rvs_to_values[observed].data, design.y, rtol=1e-12)
    names = [v.name for v in model.graph.named_vars.values()]
    assert len(names) == len(set(names))
    assert not any("/" in n or "," in d for n in names for d in model.graph.named_vars_to_dims.get(n, ()))
    assert_bambi_predicts(design, model)
