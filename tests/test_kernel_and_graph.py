"""The kernel's density is that of the PyMC graph with fixed and group effects integrated out, on the public data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_target import conditional

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.kernels.target import build_target
from bayesmlm.model import build_model
from bayesmlm.priors import Decov, build_priors
from bayesmlm.sampling.kernel import relative_factors

MODELS = {
    "one intercept": ("Yield ~ 1 + (1 | Batch)", "dyestuff", None),
    "intercept and slope": ("Reaction ~ Days + (Days | Subject)", "sleepstudy", None),
    "independent slope": ("Reaction ~ Days + (Days || Subject)", "sleepstudy", None),
    "three columns": (
        "angle ~ temp + (1 + temp + I(temp^2) | recipe:replicate)",
        "cake",
        {"covariance": bm.decov(1.5, 2.0, 1.3, 0.8)},
    ),
    "nested": ("strength ~ 1 + (1 | batch/cask)", "pastes", {"covariance": bm.lkj(1, bm.exponential(0.5))}),
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin", None),
    "slope, few groups": (
        "math ~ homework + (homework | schnum)",
        "imm10",
        {"covariance": bm.lkj(2, bm.half_student_t(3, 4)), "sigma": bm.half_normal(12)},
    ),
    "crossed slope and nested": (
        "Reaction ~ Days + (Days | Subject) + (1 | half/day)",
        "sleepstudy",
        {"covariance": bm.lkj(1.5, bm.gamma(2, 0.1))},
    ),
}


def data_of(name):
    frame = bm.load_dataset(name)
    if name == "sleepstudy":
        frame = frame.assign(
            day=frame["Days"].astype(str), half=np.where(frame["Days"] < 5, "first", "second")
        )
    return frame


def blocks_at(design, x):
    """Parameters of every block: (first, p, Lambda)."""
    first = 0
    for block in design.blocks:
        p = len(block.columns)
        yield first, p, relative_factors(x[first : first + p * (p + 1) // 2], p)
        first += p * (p + 1) // 2


def constrained(design, priors, x):
    """The graph's variance parameters as named arrays: tau and shares, or sds; partials in (0, 1); sigma."""
    sigma, found = np.exp(x[-1]), {"sigma": np.exp(x[-1])}
    for block, (first, p, lam) in zip(design.blocks, blocks_at(design, x), strict=True):
        sd, prior = np.linalg.norm(lam, axis=1), priors.covariance[block.label]
        if isinstance(prior, Decov):
            found[block.label, "tau"] = np.sqrt(np.mean(sd**2)) / prior.scale
            if p > 1:
                found[block.label, "share"] = sd**2 / np.sum(sd**2)
        else:
            found[block.label, "scale"] = sigma * sd
        if p > 1:
            found[block.label, "partial"] = (1 + np.tanh(x[first + p : first + p * (p + 1) // 2])) / 2
    return found


def free(design, priors, x):
    """The same as one vector of free numbers: of shares that add up to one, all but the last."""
    parts = constrained(design, priors, x)
    return np.concatenate([np.ravel(v)[: -1 if "share" in k else None] for k, v in parts.items()])


def integrated_graph(design, priors, built, logp, x):
    """Log-density of x in the graph: the joint density at the conditional mode and its Gaussian integral."""
    plain = replace(design, weights=np.ones(design.nobs), offset=np.zeros(design.nobs))
    mode, cov = conditional(plain, priors, x)
    k, sigma = design.X.shape[1], np.exp(x[-1])
    point, at, volume = constrained(design, priors, x), k, 0.0
    for block, (_, p, lam) in zip(design.blocks, blocks_at(design, x), strict=True):
        J = len(block.levels)
        z = np.linalg.solve(sigma * lam, mode[at : at + J * p].reshape(J, p).T)
        point |= {(block.label, f"z{c}"): z[c] for c in range(p)}
        volume += J * np.linalg.slogdet(sigma * lam)[1]  # of z rather than b
        at += J * p
    for variable, value in zip(built.schema.coefficients, mode[:k], strict=True):
        point[variable.name] = value
    if "Intercept" in point:
        point["Intercept"] = mode[:k] @ design.X.mean(axis=0)  # of centred predictors
    steps = 1e-5 * np.eye(len(x))
    jacobian = np.column_stack(
        [(free(design, priors, x + s) - free(design, priors, x - s)) / 2e-5 for s in steps]
    )
    joint = float(logp(unconstrained(design, built, point)))
    return joint + 0.5 * np.linalg.slogdet(cov)[1] - volume + np.linalg.slogdet(jacobian)[1]


def unconstrained(design, built, point):
    """A point of the graph from values by coefficient and by block and part, levels in the graph's order."""
    graph, out = built.graph, built.graph.initial_point()
    first = [rv.name.partition("||")[0] for rv in graph.free_RVs if rv.name.endswith("||z0")]
    blocks = dict(zip(first, design.blocks, strict=True))
    order = {}
    for schema, block in zip(built.schema.blocks, design.blocks, strict=True):
        (dim,) = (d for d in graph.named_vars_to_dims[schema.variables[0].name] if d.endswith("__factor_dim"))
        order[block.label] = [block.levels.index(level) for level in graph.coords[dim]]
    for rv in graph.free_RVs:
        prefix, _, part = rv.name.partition("||")
        if part:
            label = blocks[prefix].label
            given = point[label, part]
            given = given[order[label]] if part.startswith("z") else given
        else:
            given = point[rv.name]
        value, transform = graph.rvs_to_values[rv], graph.rvs_to_transforms[rv]
        given = np.asarray(given, dtype=float)
        if transform is not None:
            given = transform.forward(given, *rv.owner.inputs).eval(mode="FAST_COMPILE")
        out[value.name] = given
    return out


@pytest.mark.parametrize(("formula", "data", "given"), MODELS.values(), ids=MODELS)
def test_kernel_is_the_graph_with_the_effects_integrated_out(formula, data, given):
    design = build_design(formula, data_of(data))
    priors = build_priors(design, given)
    target, built = build_target(design, priors), build_model(design, priors)
    logp = built.graph.compile_logp(jacobian=False, mode="FAST_COMPILE")
    rng = np.random.default_rng(8)
    centre = np.zeros(target.n_parameters)
    centre[-1] = np.log(np.std(design.y) / 2)
    points = centre + rng.normal(0, 0.5, (4, len(centre)))
    expected = [integrated_graph(design, priors, built, logp, x) for x in points]
    found = [target.log_density(x)[0] for x in points]
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-7, atol=1e-5)
