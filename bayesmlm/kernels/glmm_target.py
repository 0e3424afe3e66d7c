"""`GlmmTarget`: a generalised model and its priors as one flat array that compiled code and a sampler can take."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayesmlm.crossprod import CrossProducts, cross_products
from bayesmlm.design import Design
from bayesmlm.families import Family
from bayesmlm.kernels.gaussian import compiled
from bayesmlm.kernels.glmm_layout import effect_places, space
from bayesmlm.kernels.glmm_rows import Rows
from bayesmlm.kernels.sums import EFFECTS, Ordered, best_chain, ordered_sums
from bayesmlm.kernels.target import SUPPORTED, block_places, covariance_numbers, univariate_numbers
from bayesmlm.priors import Adjusted, Distribution, Joint, Lkj, Priors

# Codes of `pointwise`, which is compiled and not imported before it is needed.
FAMILIES = {
    "gaussian": 0,
    "binomial": 1,
    "poisson": 2,
    "negativebinomial": 3,
    "gamma": 4,
    "exponential": 4,
    "wald": 5,
    "beta": 6,
    "t": 7,
    "lognormal": 8,
}
LINKS = {
    "identity": 0,
    "log": 1,
    "inverse": 2,
    "inverse_squared": 3,
    "sqrt": 4,
    "logit": 5,
    "probit": 6,
    "cloglog": 7,
    "cauchit": 8,
}
REAL_PRIORS = {"normal": 0, "student_t": 1, "cauchy": 1, "laplace": 2}
HEAD = 32
DENSITY, REPORT, LINEARISED = range(3)
LARGEST_COUPLED = 200  # columns of a tail whose dense matrix is factorised at every step


def glmm_obstacle(design: Design, priors: Priors) -> str:
    """Say why the kernel of generalised models cannot sample a model; empty if it can.

    Families are those of `FAMILIES`; the priors of fixed effects normal, Student-t, Cauchy or Laplace, those of
    auxiliary parameters and of independent standard deviations exponential, gamma, half-normal, half-Student-t or
    half-Cauchy.
    """
    if design.others:
        return f"{' and '.join(design.others)} has predictors of its own"
    if design.family.name not in FAMILIES:
        return f"there is no kernel for the family {design.family.name}"
    fixed = {**({} if priors.intercept is None else {"(Intercept)": priors.intercept}), **priors.coefficients}
    for name, prior in fixed.items():
        if isinstance(prior.used, Joint):
            return f"the slopes have a {prior.used.name} prior"
        if not isinstance(prior.used, Distribution) or prior.used.name not in REAL_PRIORS:
            return f"the prior of {name} is none that the kernel knows"
    for name, prior in _auxiliary(priors).items():
        if not isinstance(prior.used, Distribution) or prior.used.name not in SUPPORTED:
            return f"the prior of {name} is none that the kernel knows"
    for label, covariance in priors.covariance.items():
        sds = covariance.adjusted if isinstance(covariance, Lkj) else ()
        if not all(isinstance(d, Distribution) and d.name in SUPPORTED for d in sds):
            return f"the prior of the standard deviations of {label} is none that the kernel knows"
    return ""


def _auxiliary(priors: Priors) -> dict[str, Adjusted]:
    return {**({} if priors.sigma is None else {"sigma": priors.sigma}), **priors.auxiliary}


@dataclass(frozen=True, eq=False)
class GlmmTarget:
    """The posterior of all parameters of a generalised model, group effects by standard normal numbers.

    Attributes
    ----------
    rows : Rows
    priors : Priors
    data : ndarray of int64
        Head and parts in one array; floats are stored by their bits.
    n_parameters : int
        d: fixed effects, covariance parameters, auxiliary parameters.
    n_effects : int
        q.
    places : tuple of ndarray, shape (J, p)
        Block by block, where its effects are in elimination order.
    """

    rows: Rows
    priors: Priors
    data: np.ndarray
    n_parameters: int
    n_effects: int
    places: tuple[np.ndarray, ...]

    @property
    def reals(self) -> np.ndarray:
        """`data` as floats."""
        return self.data.view(np.float64)

    @property
    def kernel(self) -> str:
        """Module with the compiled density."""
        return "glmm"

    @property
    def n_moved(self) -> int:
        """Number of coordinates of a sampler."""
        return self.n_parameters + self.n_effects

    @property
    def n_reported(self) -> int:
        """Numbers to keep of a draw: parameters, mean and variance of the sum of the responses, group effects."""
        return self.n_parameters + 2 + int(self.data[_KEPT])

    @property
    def auxiliary(self) -> tuple[str, ...]:
        """Names of the auxiliary parameters."""
        return tuple(_auxiliary(self.priors))

    @property
    def n_fixed(self) -> int:
        """Number of fixed effects."""
        return len(self.rows.centre)

    def log_density(self, x: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the log-density at (x, z) up to a constant, and its derivatives in both."""
        grad, slope = np.empty(self.n_parameters), np.empty(self.n_effects)
        value = self._evaluate(x, z, DENSITY, grad, slope)
        return value, grad, slope

    def effects(self, x: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
        """Return the group effects (J, p) of each block."""
        out = np.empty(2 + self.n_effects)
        self._evaluate(x, z, REPORT, np.empty(self.n_parameters), out)
        return [out[2:][place] for place in self.places]

    def moments(self, x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        """Return expectation and variance of the sum of the responses."""
        out = np.empty(2 + self.n_effects)
        self._evaluate(x, z, REPORT, np.empty(self.n_parameters), out)
        return out[0], out[1]

    def linearised(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return linear predictor, score and Fisher information of each row."""
        out = np.empty((3, len(self.rows.first)))
        self._evaluate(x, z, LINEARISED, np.empty(self.n_parameters), out.ravel())
        return out[0], out[1], out[2]

    def _evaluate(self, x: np.ndarray, z: np.ndarray, task: int, grad: np.ndarray, out: np.ndarray) -> float:
        x, z = np.ascontiguousarray(x, dtype=float), np.ascontiguousarray(z, dtype=float)
        return compiled("glmm").evaluate(self.data, self.reals, x, z, task, grad, out)

    def standardised(self, mode: np.ndarray, root: np.ndarray) -> GlmmTarget:
        """Return the same target for a sampler that moves (w, z), x = mode + root w."""
        data, d = self.data.copy(), self.n_parameters
        reals = data.view(np.float64)
        at = len(data) - d - d * d
        reals[at : at + d], reals[at + d :] = mode, root.ravel()
        return replace(self, data=data)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return the parameters with logarithms of all standard deviations, shape (d,)."""
        out = np.empty(self.n_parameters)
        self._evaluate(x, np.zeros(self.n_effects), REPORT, out, np.empty(2 + self.n_effects))
        return out

    def bent(self, bend: np.ndarray) -> GlmmTarget:
        """Return the same target with coordinates that are bent below the numbers `bend`: see `glmm`."""
        head, parts = _taken_apart(self.data)
        parts[_BEND_PART] = np.asarray(bend, dtype=float).view(np.int64)
        return replace(self, data=_put_together(head, parts))

    def keeping(self, kept: Sequence[np.ndarray]) -> GlmmTarget:
        """Return the same target that reports the effects of the levels at `kept`, block by block."""
        chosen = [place[levels].ravel() for place, levels in zip(self.places, kept, strict=True)]
        head, parts = _taken_apart(self.data)
        parts[_KEPT_PART] = np.concatenate([*chosen, np.empty(0, int)]).astype(np.int64)
        head[_KEPT] = len(parts[_KEPT_PART])
        return replace(self, data=_put_together(head, parts))


# Positions in the head of a target, as in `glmm_parts`: number of effects to report, first start of a part; of parts.
_KEPT, _STARTS = 8, 14
_KEPT_PART, _BEND_PART = 14, 15
_SHIFTED = 3  # the table of blocks, which points into the target


def build_glmm_target(
    rows: Rows, priors: Priors, weight: np.ndarray, response: np.ndarray, centre: np.ndarray
) -> GlmmTarget:
    """Lay out a model for which `glmm_obstacle` is empty.

    Parameters
    ----------
    rows, priors
        The model.
    weight, response : ndarray, shape (n,)
        Working weights and responses of a Gaussian approximation of the likelihood, offset left out.
    centre : ndarray, shape (k,)
        Fixed effects (of centred predictors) near which the approximation is to be used: for the sake of rounding.
    """
    design = rows.design
    working = replace(design, y=response - design.X @ centre, weights=weight)
    cp = cross_products(working)
    ordered = ordered_sums(cp, coupled=_is_coupled(cp))
    places = effect_places(cp, ordered)
    k, d, table, numbers = _tables(design, priors, cp, ordered)
    auxiliary = _auxiliary(priors)
    d += len(auxiliary)
    names = ["(Intercept)" if name == "(Intercept)" else name for name in design.coefficients]
    fixed = [priors.intercept if name == "(Intercept)" else priors.coefficients[name] for name in names]
    address = np.column_stack([place[b.index, 0] for place, b in zip(places, design.blocks, strict=True)])
    memory = space(ordered)
    Z = np.hstack([b.Z for b in design.blocks])
    head = np.zeros(HEAD, np.int64)
    family, link = _codes(design.family)
    head[1:_STARTS] = [
        len(rows.first),
        k,
        d,
        len(auxiliary),
        len(table),
        len(rows.distinct),
        Z.shape[1],
        0,
        family,
        link,
        int(design.family.has_sigma),
        int(not _is_coupled(cp)),
        int(all(f.width == 1 for f in cp.factors)),
    ]
    positive = [univariate_numbers(prior.used) for prior in auxiliary.values()]
    parts = [
        ordered.sums.layout,
        ordered.sums.numbers,
        memory,
        np.concatenate([table.ravel(), numbers.view(np.int64)]),
        np.concatenate([_real_prior(prior.used) for prior in fixed if prior is not None] or [np.empty(0)]),
        np.concatenate(positive or [np.empty(0)]),
        np.asarray(centre, dtype=float),
        rows.first,
        rows.second,
        rows.offset,
        design.X.ravel(),
        Z.ravel(),
        address.astype(np.int64).ravel(),
        rows.distinct.ravel(),
        np.empty(0, np.int64),
        np.full(d, -np.inf),
        np.zeros(d),
        np.eye(d).ravel(),
    ]
    return GlmmTarget(rows, priors, _put_together(head, parts), d, int(ordered.sums.layout[EFFECTS]), places)


def _codes(family: Family) -> tuple[int, int]:
    return FAMILIES[family.name], LINKS[family.link]


def _is_coupled(cp: CrossProducts) -> bool:
    """Whether the matrix of the factors outside the chain is small enough to be factorised at every step."""
    chain = best_chain(cp)
    return sum(f.size for i, f in enumerate(cp.factors) if i not in chain) <= LARGEST_COUPLED


def _tables(
    design: Design, priors: Priors, cp: CrossProducts, ordered: Ordered
) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Numbers of fixed effects and of parameters without auxiliaries; table of the blocks, and numbers of their priors.

    The table's last column says where a block's numbers start, counted from the table's own start.
    """
    place = block_places(cp, ordered.order)
    k = len(design.coefficients)
    table, numbers, first, size = [], [], k, 6 * len(design.blocks)
    for i, block in enumerate(design.blocks):
        p, prior = len(block.columns), priors.covariance[block.label]
        own = covariance_numbers(prior, p)
        table.append([p, *place[i], first, int(isinstance(prior, Lkj)), size])
        numbers.append(own)
        first, size = first + p + p * (p - 1) // 2, size + len(own)
    return k, first, np.array(table, np.int64), np.concatenate(numbers).astype(float)


def _real_prior(prior: Distribution) -> np.ndarray:
    p = dict(prior.parameters)
    return np.array([REAL_PRIORS[prior.name], p["location"], p["scale"], p.get("df", 1.0)])


def _put_together(head: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    """Lay the parts end to end, floats by their bits, behind a head that says where they start."""
    flat = [p.astype(np.int64) if p.dtype.kind == "i" else p.astype(float).view(np.int64) for p in parts]
    starts = HEAD + np.cumsum([0, *(part.size for part in flat)])
    head = head.copy()
    head[0], head[_STARTS:] = starts[-1], starts[:-1]
    blocks = head[5]
    own = flat[_SHIFTED].copy()
    own[5 : 6 * blocks : 6] += starts[_SHIFTED]
    flat[_SHIFTED] = own
    return np.concatenate([head, *flat])


def _taken_apart(data: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Undo `_put_together`; floats stay what they are, bits."""
    head = data[:HEAD].copy()
    starts = [*head[_STARTS:], head[0]]
    parts = [data[a:b].copy() for a, b in itertools.pairwise(starts)]
    parts[_SHIFTED][5 : 6 * head[5] : 6] -= starts[_SHIFTED]
    return head, parts
