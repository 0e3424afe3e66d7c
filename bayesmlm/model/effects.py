"""PyMC variables of one block of correlated group effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bambi as bmb
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from bambi.backend.utils import get_distribution_from_prior

from bayesmlm.bambi_draws import Variable
from bayesmlm.design import Design
from bayesmlm.model.plan import HIERARCHICAL, NONCENTRED, BlockPlan, of_categories
from bayesmlm.priors import Decov, Distribution, Lkj, Priors

PYMC_NAMES = {
    "normal": ("Normal", {"location": "mu", "scale": "sigma"}),
    "student_t": ("StudentT", {"df": "nu", "location": "mu", "scale": "sigma"}),
    "cauchy": ("Cauchy", {"location": "alpha", "scale": "beta"}),
    "laplace": ("Laplace", {"location": "mu", "scale": "b"}),
    "half_normal": ("HalfNormal", {"scale": "sigma"}),
    "half_student_t": ("HalfStudentT", {"df": "nu", "scale": "sigma"}),
    "half_cauchy": ("HalfCauchy", {"scale": "beta"}),
    "exponential": ("Exponential", {"rate": "lam"}),
    "gamma": ("Gamma", {"shape": "alpha", "rate": "beta"}),
    "beta": ("Beta", {"a": "alpha", "b": "beta"}),
}


def bambi_prior(*priors: Any) -> bmb.Prior:
    """Return one bambi.Prior for the columns of a term: scalars for one column, arrays for several."""
    first = priors[0]
    if not isinstance(first, Distribution):
        return first
    name, keys = PYMC_NAMES[first.name]
    values = {new: np.array([p[old] for p in priors]) for old, new in keys.items()}
    return bmb.Prior(name, **{k: v if len(priors) > 1 else float(v[0]) for k, v in values.items()})


def residual_scale(priors: Priors, pymc_model: pm.Model) -> Any:
    """Return phi of decov and of joint priors of slopes: sigma where the model has one, 1 otherwise."""
    return 1.0 if priors.sigma is None else pymc_model["sigma"]


@dataclass(frozen=True)
class FixedEffects:
    """Finds a fixed effect in a PyMC model; the intercept is that of the predictors as given."""

    design: Design
    coefficients: tuple[Variable, ...]

    def value(self, name: str, pymc_model: pm.Model) -> Any:
        if name != "(Intercept)":
            return self._raw(self.design.coefficients.index(name), pymc_model)
        return self._raw(0, pymc_model) - self.slopes_at_means(pymc_model)

    def slopes_at_means(self, pymc_model: pm.Model) -> Any:
        """What all but the intercept add to the linear predictor where the predictors are at their means."""
        means = self.design.X.mean(axis=0)
        slopes = [j for j, name in enumerate(self.design.coefficients) if name != "(Intercept)"]
        return sum((means[j] * self._raw(j, pymc_model) for j in slopes), start=0.0)

    def _raw(self, j: int, pymc_model: pm.Model) -> Any:
        variable = self.coefficients[j]
        value = pymc_model[variable.name]
        return value if variable.position is None else value[variable.position]


@dataclass(frozen=True)
class _Source:
    """What the variables of a block are made from: one plan, or one for each category with effects of its own."""

    plans: tuple[BlockPlan, ...]
    prior: Decov | Lkj
    priors: Priors
    fixed: FixedEffects

    def sd(self, take: Any) -> Any:
        return self._stacked([_block_variables(p, self)[0][take] for p in self.plans])

    def effects(self, take: Any) -> Any:
        return self._stacked([_block_variables(p, self)[1][:, take] for p in self.plans])

    def _stacked(self, parts: list[Any]) -> Any:
        return parts[0] if self.plans[0].category is None else pt.stack(parts, axis=-1)


def block_priors(plan: BlockPlan, priors: Priors, fixed: FixedEffects) -> dict[str, bmb.Prior]:
    """One prior per Bambi term of a block; all take their columns from the block's shared variables."""
    prior, out = priors.covariance[plan.block.label], {}
    plans = of_categories(plan, fixed.design) or (plan,)
    source = _Source(plans, prior, priors, fixed)
    for name in dict.fromkeys(v.name for v in plan.columns):
        mine = sorted((v.position or 0, j) for j, v in enumerate(plan.columns) if v.name == name)
        vector = plan.columns[mine[0][1]].position is not None
        take: Any = [j for _, j in mine] if vector else mine[0][1]
        scale = bmb.Prior(type(prior).__name__, dist=_builder(source.sd, take))
        effect = _builder(source.effects, take)
        out[name] = bmb.Prior("CorrelatedBlock", dist=effect, noncentered=False, sigma=scale)
    return out


def _builder(values: Callable[[Any], Any], take: Any) -> Callable[..., Any]:
    def build(name: str, dims: Any = None, **_: Any) -> Any:
        return pm.Deterministic(name, values(take), dims=dims or None)

    return build


def _block_variables(plan: BlockPlan, source: _Source) -> tuple[Any, Any]:
    """Return the block's sds (p,) and effects (J, p) in the current PyMC model, created once per model."""
    pymc_model = pm.modelcontext(None)
    p = len(plan.block.columns)
    effects_name, sd_name = plan.variable("effects"), plan.variable("sd")
    if effects_name in pymc_model.named_vars:
        return pymc_model[sd_name], pymc_model[effects_name]
    phi = residual_scale(source.priors, pymc_model)
    sd = pm.Deterministic(sd_name, _sd_variable(plan, p, source.prior, phi))
    cholesky = _correlation_cholesky(plan, p, source.prior.regularization) if p > 1 else pt.ones((1, 1))
    if p > 1:
        pymc_model.add_coords({dim: list(plan.block.columns) for dim in plan.corr_dims})
        pm.Deterministic(plan.corr_name, cholesky @ cholesky.T, dims=plan.corr_dims)
    effects = _effect_columns(plan, sd[:, None] * cholesky, source.fixed, pymc_model)
    return sd, pm.Deterministic(effects_name, pt.stack(effects, axis=1))


def _effect_columns(plan: BlockPlan, factor: Any, fixed: FixedEffects, pymc_model: pm.Model) -> list[Any]:
    """Effects of each column, whose rows are jointly N(0, L L'), L = `factor`, drawn one given those before.

    b_k = m_k + L_kk z_k with m_k = sum_{j<k} L_kj z_j and z standard normal. The variable sampled is z_k
    (non-centred), b_k (centred), or beta_k + b_k (hierarchically centred; Gelfand, Sahu & Carlin 1995).
    """
    standard: list[Any] = []
    effects: list[Any] = []
    for k, form in enumerate(plan.forms):
        size = len(plan.levels)
        mean = sum((factor[k, j] * standard[j] for j in range(k)), start=0.0)
        if form == NONCENTRED:
            z = pm.Normal(plan.variable(f"z{k}"), 0.0, 1.0, shape=size)
            effects.append(mean + factor[k, k] * z)
            standard.append(z)
            continue
        beta = fixed.value(plan.block.columns[k], pymc_model) if form == HIERARCHICAL else 0.0
        total = pm.Normal(plan.variable(f"b{k}"), beta + mean, factor[k, k], shape=size)
        effects.append(total - beta)
        standard.append((total - beta - mean) / factor[k, k])
    return effects


def _sd_variable(plan: BlockPlan, p: int, prior: Decov | Lkj, sigma: Any) -> Any:
    """Standard deviations of a block, shape (p,): decov's decomposition of the trace, or independent priors."""
    if isinstance(prior, Decov):
        tau = pm.Gamma(plan.variable("tau"), alpha=prior.shape, beta=1.0)
        root_trace = tau * prior.scale * sigma
        if p == 1:
            return pt.atleast_1d(root_trace)
        share = pm.Dirichlet(plan.variable("share"), a=np.full(p, prior.concentration))
        return pt.sqrt(p * share) * root_trace
    kinds = {d.name if isinstance(d, Distribution) else "" for d in prior.adjusted}
    if len(kinds) == 1 and "" not in kinds:
        return _positive_variable(plan.variable("scale"), *prior.adjusted, shape=p)
    own = [_positive_variable(plan.variable(f"scale{j}"), d) for j, d in enumerate(prior.adjusted)]
    return pt.stack(own)


def _positive_variable(name: str, *priors: Any, **shape: int) -> Any:
    """One variable for priors of one family."""
    prior = bambi_prior(*priors)
    return get_distribution_from_prior(prior)(name, **prior.args, **shape)


def _correlation_cholesky(plan: BlockPlan, p: int, eta: float) -> Any:
    """Cholesky factor of an LKJ(eta) correlation matrix from its canonical partial correlations.

    C-vine of Lewandowski, Kurowicka & Joe (2009, section 2.4): the partial correlations of the k-th tree,
    k = 1..p-1, are independent, 2 Beta(b_k, b_k) - 1 with b_k = eta + (p - 1 - k) / 2; row i of the factor
    is r_ij prod_{k<j} sqrt(1 - r_ik^2).
    """
    rows, cols = np.tril_indices(p, -1)
    shape = eta + (p - 2 - cols) / 2
    partial = 2.0 * pm.Beta(plan.variable("partial"), alpha=shape, beta=shape, shape=len(rows)) - 1.0
    entries = [[pt.zeros(()) for _ in range(p)] for _ in range(p)]
    entries[0][0] = pt.ones(())
    position = 0
    for i in range(1, p):
        left = pt.ones(())
        for j in range(i):
            r = partial[position]
            entries[i][j] = r * pt.sqrt(left)
            left = left * (1.0 - r**2)
            position += 1
        entries[i][i] = pt.sqrt(left)
    return pt.stack([pt.stack(row) for row in entries])
