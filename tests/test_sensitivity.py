"""Power-scaling sensitivity, against models whose power-scaled posterior is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from random_designs import FORMULAS, dense_Z, random_design
from scipy import stats
from synthetic import posterior_of

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.draws import labelled
from bayesmlm.errors import BayesMLMError, PriorError
from bayesmlm.priors import build_priors
from bayesmlm.sensitivity import (
    conditional_log_likelihood,
    marginal_log_likelihood,
    posterior_log_prior,
    sensitivity_frame,
)


def design_of(n=40):
    rng = np.random.default_rng(5)
    data = pd.DataFrame(
        {"x": rng.normal(size=n), "g": np.repeat(list("abcd"), n // 4), "o": rng.normal(size=n)}
    )
    data["y"] = 3 + data.x + rng.normal(size=n)
    return build_design("y ~ x + offset(o) + (x | g)", data), data


def test_log_likelihood_is_that_of_scipy():
    design, data = design_of()
    b = {"g": np.arange(8.0).reshape(4, 2) / 10}
    posterior = posterior_of(design, fixef=[3, 1], sd={"g": [1, 0.5]}, sigma=1.2, b=b, draws=5, chains=2)
    found = conditional_log_likelihood(design, posterior).values
    for chain, draw in ((0, 0), (1, 4)):
        beta, effects = posterior.fixef.values[chain, draw], posterior.blocks[0].b.values[chain, draw]
        own = effects[design.blocks[0].index]
        mean = beta[0] + own[:, 0] + (beta[1] + own[:, 1]) * data.x + data.o
        expected = stats.norm(mean, posterior.sigma.values[chain, draw]).logpdf(data.y).sum()
        assert found[chain, draw] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("formula", ["nested", "crossed", "slopes"])
def test_marginal_log_likelihood_is_that_of_a_multivariate_normal(formula):
    design = random_design(FORMULAS[formula], weighted=True)
    sds = {b.label: np.linspace(3, 2, len(b.columns)) for b in design.blocks}
    corr = {b.label: 0.4 for b in design.blocks}
    fixef = np.arange(1.0, len(design.coefficients) + 1)
    posterior = posterior_of(design, fixef=fixef, sd=sds, corr=corr, sigma=2.0, draws=3, chains=2)
    found = marginal_log_likelihood(design, posterior).values
    for chain, draw in ((0, 0), (1, 2)):
        V = np.diag(posterior.sigma.values[chain, draw] ** 2 / design.weights)
        for i, block in enumerate(posterior.blocks):
            Z = dense_Z(design, i)
            V = V + Z @ np.kron(np.eye(len(design.blocks[i].levels)), block.cov.values[chain, draw]) @ Z.T
        mean = design.X @ posterior.fixef.values[chain, draw] + design.offset
        expected = stats.multivariate_normal(mean, V).logpdf(design.y)
        assert found[chain, draw] == pytest.approx(expected, rel=1e-9)


def test_few_groups_and_many_rows():
    """Given the group effects the likelihood says little of a mean over groups; without them it says all there is."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(list("abcdefgh"), 200)})
    data["y"] = rng.normal(size=8)[np.repeat(np.arange(8), 200)] + rng.normal(size=1600)
    fit = bm.fit("y ~ 1 + (1 | g)", data, seed=1, progress=False)
    tables = {
        k: fit.prior_sensitivity(likelihood=k).set_index("parameter") for k in ("marginal", "conditional")
    }
    mean = {k: table.loc["(Intercept)"] for k, table in tables.items()}
    assert mean["marginal"]["likelihood"] > 0.04
    assert mean["conditional"]["likelihood"] < 0.02
    assert mean["marginal"]["prior"] == mean["conditional"]["prior"]


def test_log_prior_by_what_it_is_about():
    design, _ = design_of()
    priors = build_priors(design, {"x": bm.laplace(0, 1), "g": bm.half_normal(2)})
    posterior = posterior_of(design, fixef=[3, 1], sd={"g": [1, 0.5]}, sigma=1.2, draws=5, chains=2)
    parts = posterior_log_prior(design, priors, posterior)
    assert list(parts) == ["intercept", "slopes", "sigma", "covariance (g)"]
    np.testing.assert_allclose(parts["slopes"], stats.laplace(0, 1).logpdf(posterior.fixef.values[..., 1]))


def conjugate(scale, location, size=4000):
    """A posterior of the slope of known form, all else fixed but for a little jitter that no density sees."""
    design, _ = design_of()
    priors = build_priors(design, {"x": bm.normal(location, scale), "g": bm.decov()})
    posterior = posterior_of(
        design, fixef=[3, 1], sd={"g": [1, 0.5]}, sigma=1.0, draws=size // 4, chains=4, spread=1e-6
    )
    x = design.X[:, 1]
    rest = design.y - design.offset - 3.0
    precision = x @ x + scale**-2
    mean = (x @ rest + location / scale**2) / precision
    rng = np.random.default_rng(1)
    fixef = posterior.fixef.values.copy()
    fixef[..., 1] = mean + rng.standard_normal(fixef.shape[:2]) / np.sqrt(precision)
    # the intercept's prior is that of centred predictors: kept apart from the slope
    fixed = labelled(fixef, coefficient=design.coefficients)
    return design, priors, replace(posterior, fixef=fixed)


@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_a_firm_prior_matters_and_a_vague_one_does_not(scale):
    design, priors, posterior = conjugate(scale, location=0.0)
    frame = sensitivity_frame(design, priors, posterior, by_prior=True, likelihood="conditional")
    frame = frame.set_index("parameter")
    row = frame.loc["x"]
    if scale == 0.1:
        assert row["prior"] > 0.05
        assert row["likelihood"] > 0.05
        assert row["prior: slopes"] == pytest.approx(row["prior"], rel=0.05)
        assert row["diagnosis"].startswith("prior and data may conflict")
    else:
        assert row["prior"] < 0.01
        assert row["diagnosis"] == "prior matters little"
    assert frame.columns[-4:].tolist() == [
        "prior: intercept",
        "prior: slopes",
        "prior: sigma",
        "prior: covariance (g)",
    ]


def test_a_real_fit(m3):
    """1,725 rows and weak default priors: the data decide the fixed effects and sigma."""
    frame = m3.prior_sensitivity().set_index("parameter")
    assert frame.columns.tolist() == ["effect", "group", "term", "prior", "likelihood", "diagnosis"]
    assert (frame.loc[["(Intercept)", "femaleF", "sigma"], "prior"] < 0.05).all()
    assert (frame.loc[["(Intercept)", "femaleF", "sigma"], "likelihood"] > 0.04).all()
    assert (frame["diagnosis"] == "prior matters little").all()


def test_a_prior_of_a_standard_deviation_at_odds_with_the_data():
    """sleepstudy's subjects differ by 25 in their intercepts; this prior says by 10 at most."""
    data, prior = bm.load_dataset("sleepstudy"), {"Subject": bm.half_normal(5)}
    fit = bm.fit("Reaction ~ Days + (Days | Subject)", data, priors=prior, seed=1, progress=False)
    frame = fit.prior_sensitivity(by_prior=True).set_index("parameter")
    row = frame.loc["sd__(Intercept) (Subject)"]
    assert row["diagnosis"] == "prior and data may conflict"
    assert min(row["prior"], row["likelihood"]) > 0.15
    assert row["prior: covariance (Subject)"] > 20 * row["prior: sigma"]
    assert frame.loc["Days", "diagnosis"] == "prior matters little"


def test_the_same_numbers_as_arviz_for_a_made_up_tree(m3):
    import arviz as az
    import xarray as xr

    prior = sum(posterior_log_prior(m3.design, m3.priors, m3.posterior).values())
    tree = xr.DataTree.from_dict(
        {
            "posterior": m3.posterior.fixef.rename(coefficient="c").to_dataset(name="beta"),
            "log_prior": prior.to_dataset(name="all"),
            "log_likelihood": marginal_log_likelihood(m3.design, m3.posterior).to_dataset(name="y"),
        }
    )
    ours = m3.prior_sensitivity().set_index("parameter").loc[["(Intercept)", "femaleF"]]
    for group in ("prior", "likelihood"):
        np.testing.assert_allclose(az.psense(tree, group=group)["beta"].values, ours[group], rtol=1e-10)


def test_priors_without_a_density_are_refused(m3):
    priors = build_priors(m3.design, {"fixed": bm.horseshoe()})
    with pytest.raises(PriorError, match="horseshoe of the slopes"):
        sensitivity_frame(m3.design, priors, m3.posterior)
    with pytest.raises(BayesMLMError, match="threshold"):
        m3.prior_sensitivity(threshold=0)
    with pytest.raises(BayesMLMError, match="Did you mean 'marginal'"):
        m3.prior_sensitivity(likelihood="marginl")
