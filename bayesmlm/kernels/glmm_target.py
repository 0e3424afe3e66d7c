"""`GlmmTarget`: a generalised model and its priors as one flat array that compiled code and a sampler can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayesmlm.crossprod import CrossProducts, cross_products
from bayesmlm.design import Design
from bayesmlm.families import Family
from bayesmlm.kernels.gaussian import compiled
from bayesmlm.kernels.sums import (
    AT_KD,
    AT_KR,
    AT_KT,
    AT_P0,
    CHAIN,
    EFFECTS,
    FACTORS,
    LAM,
    LEVELS,
    NUMBERS,
    RIGHT,
    ROW,
    START,
    STRIDE,
    TAIL,
    THETA,
    WIDTH,
    Ordered,
    R,
    ordered_sums,
)
from bayesmlm.kernels.target import SUPPORTED, _covariance, _places, _univariate
from bayesmlm.priors import Adjusted, Distribution, Joint, Lkj, Priors

# Codes of `pointwise`, which is compiled and not imported before it is needed.
FAMILIES = {
    "gaussian": 0,
    "lognormal": 0,
    "binomial": 1,
    "poisson": 2,
    "negativebinomial": 3,
    "gamma": 4,
    "exponential": 4,
    "wald": 5,
    "beta": 6,
    "t": 7,
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
HEAD, PARTS, TAIL_STRIDE = 30, 21, 5
DENSITY, POSITION, LINEARISED = range(3)
LARGEST_COUPLED = 200  # columns of a tail whose dense matrix is factorised at every step


def glmm_obstacle(design: Design, priors: Priors) -> str:
    """Say why the kernel of generalised models cannot sample a model; empty if it can.

    Families are those of `FAMILIES`; the priors of fixed effects normal, Student-t, Cauchy or Laplace, those of auxiliary
    parameters and of independent standard deviations exponential, gamma, half-normal, half-Student-t or half-Cauchy.
    """
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
class Rows:
    """The rows of a model as its kernel takes them: alike ones added up, sorted by the levels of the groups.

    Attributes
    ----------
    design : Design
        With these rows: X centred if there is an intercept.
    first, second : ndarray, shape (n,)
        Successes and trials, sums of weighted responses and of weights, or responses and weights.
    offset : ndarray, shape (n,)
    distinct : ndarray, shape (m, 2)
        Distinct responses and the sums of their weights, for the negative binomial; else empty.
    centre : ndarray, shape (k,)
        Means of the predictors: beta_0 of centred predictors is beta_0 + centre' beta.
    """

    design: Design
    first: np.ndarray
    second: np.ndarray
    offset: np.ndarray
    distinct: np.ndarray
    centre: np.ndarray


def collect_rows(design: Design) -> Rows:
    """Centre the predictors, sort the rows, and add up those that only differ in the response."""
    centre = np.zeros(design.X.shape[1])
    if "(Intercept)" in design.coefficients:
        centre = np.where(np.array(design.coefficients) == "(Intercept)", 0.0, design.X.mean(axis=0))
    X = design.X - centre
    n = design.nobs
    weights = np.ones(n) if design.weights is None else design.weights
    y = np.log(design.y) if design.family.name == "lognormal" else design.y
    offset = np.zeros(n) if design.offset is None else design.offset
    order, of = _alike(design, X, offset)
    match design.family.name:
        case "binomial":
            first, second = y, np.ones(n) if design.trials is None else design.trials
        case "poisson":
            first, second = weights * y, weights
        case _:
            first, second, order, of = y, weights, np.lexsort([b.index for b in design.blocks]), np.arange(n)
            first, second = first[order], second[order]
    if design.family.name in ("binomial", "poisson"):
        first, second = np.bincount(of, first), np.bincount(of, second)
    distinct = np.empty((0, 2))
    if design.family.name == "negativebinomial":
        values, which = np.unique(y, return_inverse=True)
        distinct = np.column_stack([values, np.bincount(which, weights)])
    blocks = tuple(replace(b, index=b.index[order], Z=b.Z[order]) for b in design.blocks)
    rows = replace(design, X=X[order], y=first, blocks=blocks, offset=None, weights=None)
    return Rows(rows, first.astype(float), second.astype(float), offset[order], distinct, centre)


def _alike(design: Design, X: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One row of each kind, sorted by the groups' levels, and the kind of every row."""
    parts = [b.index[:, None] for b in design.blocks] + [X, offset[:, None]] + [b.Z for b in design.blocks]
    _, at, of = np.unique(np.hstack(parts), axis=0, return_index=True, return_inverse=True)
    return at, of.ravel()


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
        self._evaluate(x, z, POSITION, np.empty(self.n_parameters), out)
        return [out[2:][place] for place in self.places]

    def moments(self, x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        """Return expectation and variance of the sum of the responses."""
        out = np.empty(2 + self.n_effects)
        self._evaluate(x, z, POSITION, np.empty(self.n_parameters), out)
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

    def keeping(self, kept: Sequence[np.ndarray]) -> GlmmTarget:
        """Return the same target that reports the effects of the levels at `kept`, block by block."""
        chosen = [place[levels].ravel() for place, levels in zip(self.places, kept, strict=True)]
        head, parts = _taken_apart(self.data)
        parts[_KEPT_PART] = np.concatenate([*chosen, np.empty(0, int)]).astype(np.int64)
        head[_KEPT] = len(parts[_KEPT_PART])
        return replace(self, data=_put_together(head, parts))


# Positions in the head of a target, as in `glmm`, which is compiled: number of effects to report, first start of a part.
_KEPT, _STARTS = 8, 13
_KEPT_PART = 14
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
    places = _effect_places(cp, ordered)
    k, d, table, numbers = _tables(design, priors, cp, ordered)
    auxiliary = _auxiliary(priors)
    d += len(auxiliary)
    names = ["(Intercept)" if name == "(Intercept)" else name for name in design.coefficients]
    fixed = [priors.intercept if name == "(Intercept)" else priors.coefficients[name] for name in names]
    address = np.column_stack([place[b.index, 0] for place, b in zip(places, design.blocks, strict=True)])
    space = _space(ordered)
    Z = np.hstack([b.Z for b in design.blocks])
    head = np.zeros(HEAD, np.int64)
    family, link = _codes(design.family)
    head[1:13] = [
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
    ]
    positive = [_univariate(prior.used) for prior in auxiliary.values()]
    parts = [
        ordered.sums.layout,
        ordered.sums.numbers,
        space,
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
        np.zeros(d),
        np.eye(d).ravel(),
    ]
    return GlmmTarget(rows, priors, _put_together(head, parts), d, int(ordered.sums.layout[EFFECTS]), places)


def _codes(family: Family) -> tuple[int, int]:
    return FAMILIES[family.name], LINKS[family.link]


def _is_coupled(cp: CrossProducts) -> bool:
    """Whether the matrix of the factors outside the chain is small enough to be factorised at every step."""
    from bayesmlm.kernels.sums import _best_chain

    chain = _best_chain(cp)
    return sum(f.size for i, f in enumerate(cp.factors) if i not in chain) <= LARGEST_COUPLED


def _tables(
    design: Design, priors: Priors, cp: CrossProducts, ordered: Ordered
) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Numbers of fixed effects and of parameters without auxiliaries; table of the blocks, and numbers of their priors.

    The table's last column says where a block's numbers start, counted from the table's own start.
    """
    place = _places(cp, ordered.order)
    k = len(design.coefficients)
    table, numbers, first, size = [], [], k, 6 * len(design.blocks)
    for i, block in enumerate(design.blocks):
        p, prior = len(block.columns), priors.covariance[block.label]
        own = _covariance(prior, p)
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
    parts = [data[a:b].copy() for a, b in zip(starts, starts[1:], strict=False)]
    parts[_SHIFTED][5 : 6 * head[5] : 6] -= starts[_SHIFTED]
    return head, parts


def _effect_places(cp: CrossProducts, ordered: Ordered) -> tuple[np.ndarray, ...]:
    """Positions of each block's effects among those in elimination order, (levels, p) block by block."""
    found, start = {}, 0
    for f in ordered.order:
        factor = cp.factors[f]
        place = start + np.arange(factor.size).reshape(factor.n_levels, factor.width)
        for i, width, stop in zip(factor.blocks, factor.widths, np.cumsum(factor.widths), strict=True):
            found[i] = place[:, stop - width : stop]
        start += factor.size
    return tuple(found[i] for i in sorted(found))


def _space(ordered: Ordered) -> np.ndarray:
    """Offsets of the parts of the working memory, and the table of the tail's columns: see `whitening`."""
    layout = ordered.sums.layout
    n, q, chain = layout[TAIL], layout[EFFECTS], layout[CHAIN]
    rows = layout[FACTORS : FACTORS + STRIDE * len(ordered.order)].reshape(-1, STRIDE)
    kd, kr, kt = np.diff(layout[[AT_KD, AT_KR, AT_KT, AT_P0]])
    table, matrix = _tail_table(rows[chain:], q - n, coupled=_dense_tail(ordered))
    widest = int(rows[:, WIDTH].max())
    most = max(
        (int(np.diff(layout[row[START] : row[START] + row[LEVELS] + 1]).max()) for row in rows[:chain]),
        default=0,
    )
    longest = int(rows[:chain, RIGHT].max()) - layout[R] + most + 1
    scratch = max(6 * widest * widest + longest * widest, n) + 4
    sizes = [layout[NUMBERS], layout[NUMBERS], kd, kd, kr, kt, layout[THETA], layout[THETA]]
    sizes += [q] * 8 + [matrix, matrix, 3 * n, scratch]
    return np.concatenate([[0], np.cumsum(sizes), table.ravel()]).astype(np.int64)


def _dense_tail(ordered: Ordered) -> bool:
    from bayesmlm.kernels.sums import TR, TT

    n = ordered.sums.layout[TAIL]
    return bool(ordered.sums.layout[TR] - ordered.sums.layout[TT] == n * n)


def _tail_table(rows: np.ndarray, first: int, coupled: bool) -> tuple[np.ndarray, int]:
    """For every column of the tail: see TAIL_STRIDE in `whitening`; and the length of a matrix of the tail."""
    found, length = [], 0
    n = int((rows[:, LEVELS] * rows[:, WIDTH]).sum())
    for row in rows:
        width = int(row[WIDTH])
        for level in range(row[LEVELS]):
            start = int(row[ROW]) - first + level * width
            for x in range(start, start + width):
                at = x * n if coupled else length + (x - start) * width - start
                found.append([start, width, int(row[LAM]), at, 0 if coupled else start])
            length += width * width
    return np.array(found, np.int64).reshape(-1, TAIL_STRIDE), n * n if coupled else length
