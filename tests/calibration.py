"""Simulation-based calibration (Talts et al. 2018; Modrak et al. 2023): truths from the priors, ranks among draws.

If a posterior is right, the rank of the true parameter among L independent draws is uniform on 0, ..., L over data
sets simulated from the prior. Designs, truths and likelihoods are written here in plain numpy, from the definitions
in the documentation and not from the package: only `fitted` calls it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import bayesmlm as bm

ONE = "(Intercept)"


# -- priors, as objects of the package and as random numbers ------------------------------------------


@dataclass(frozen=True)
class Positive:
    """Prior of a standard deviation: its name in bayesmlm, and its numbers in order."""

    name: str
    numbers: tuple[float, ...]

    @property
    def ours(self) -> Any:
        """The package's object."""
        return getattr(bm, self.name)(*self.numbers)

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        match self.name, self.numbers:
            case "exponential", (rate,):
                return rng.exponential(1 / rate)
            case "gamma", (shape, rate):
                return rng.gamma(shape, 1 / rate)
            case "half_normal", (scale,):
                return abs(rng.normal(0.0, scale))
            case "half_student_t", (df, scale):
                return scale * abs(rng.standard_t(df))
            case _:
                raise ValueError(f"no way to draw from {self}")


@dataclass(frozen=True)
class DecovPrior:
    """decov(regularization, concentration, shape, scale)."""

    eta: float
    concentration: float
    shape: float
    scale: float

    @property
    def ours(self) -> Any:
        """The package's object."""
        return bm.decov(self.eta, self.concentration, self.shape, self.scale)

    def draw(self, rng: np.random.Generator, p: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Draw standard deviations (p,) and a correlation matrix (p, p)."""
        tau = rng.gamma(self.shape, self.scale)
        trace = p * (tau * sigma) ** 2
        return np.sqrt(trace * rng.dirichlet([self.concentration] * p)), draw_lkj(rng, p, self.eta)


@dataclass(frozen=True)
class LkjPrior:
    """lkj(eta, sd)."""

    eta: float
    sd: Positive

    @property
    def ours(self) -> Any:
        """The package's object."""
        return bm.lkj(self.eta, self.sd.ours)

    def draw(self, rng: np.random.Generator, p: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Draw standard deviations (p,) and a correlation matrix (p, p)."""
        return np.array([self.sd.draw(rng) for _ in range(p)]), draw_lkj(rng, p, self.eta)


def draw_lkj(rng: np.random.Generator, p: int, eta: float) -> np.ndarray:
    """Draw a correlation matrix from LKJ(eta) by the onion method (Lewandowski et al. 2009, section 3.2)."""
    R, a = np.ones((1, 1)), eta + (p - 2) / 2
    for k in range(1, p):
        # The first layer, r = 2 Beta(a, a) - 1, is y = r^2 ~ Beta(1/2, a) with a random sign.
        direction = rng.normal(size=k)
        w = np.sqrt(rng.beta(k / 2, a)) * direction / np.linalg.norm(direction)
        z = np.linalg.cholesky(R) @ w
        R = np.block([[R, z[:, None]], [z[None], np.ones((1, 1))]])
        a -= 0.5
    return R


# -- models -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """One block of group effects.

    Attributes
    ----------
    label : str
        The grouping factor, with a colon for an interaction.
    columns : tuple of str
        R's names of the columns.
    row_levels : ndarray of str, shape (n,)
        Each row's level.
    prior : DecovPrior or LkjPrior
    """

    label: str
    columns: tuple[str, ...]
    row_levels: np.ndarray
    prior: DecovPrior | LkjPrior

    @property
    def levels(self) -> np.ndarray:
        """All levels, sorted."""
        return np.unique(self.row_levels)

    @property
    def codes(self) -> np.ndarray:
        """Each row's position in `levels`."""
        return np.searchsorted(self.levels, self.row_levels)


@dataclass(frozen=True)
class Model:
    """A formula, its predictors and its priors.

    Attributes
    ----------
    formula : str
    frame : DataFrame
        Predictors and groups; the response is simulated.
    used : ndarray of bool
        Rows with nothing missing; in the others the response is.
    columns : dict of str to ndarray
        The used rows of each column of the model matrix under R's name, written by hand.
    fixed : dict of str to (float, float)
        Location and scale of the normal prior of each coefficient; the intercept's is that of centred predictors.
    sigma : Positive
    groups : tuple of Group
    offset : str or None
        Column that is added to the linear predictor.
    """

    formula: str
    frame: pd.DataFrame
    used: np.ndarray
    columns: dict[str, np.ndarray]
    fixed: dict[str, tuple[float, float]]
    sigma: Positive
    groups: tuple[Group, ...]
    offset: str | None = None

    @property
    def priors(self) -> dict[str, Any]:
        """The priors as `bayesmlm.fit` takes them: explicit, so that they do not depend on the data."""
        fixed = {name: bm.normal(*numbers) for name, numbers in self.fixed.items()}
        return {**fixed, "sigma": self.sigma.ours, **{g.label: g.prior.ours for g in self.groups}}

    def matrix(self, names: tuple[str, ...]) -> np.ndarray:
        """Return columns side by side, (n, p)."""
        return np.column_stack([self.columns[name] for name in names])


def build(
    formula: str,
    frame: pd.DataFrame,
    fixed: dict[str, tuple[float, float]],
    sigma: Positive,
    groups: dict[str, tuple[tuple[str, ...], DecovPrior | LkjPrior]],
    offset: str | None = None,
) -> Model:
    """Build a model; one row lacks x and one the response, so that neither counts for the centre."""
    frame = frame.copy()
    frame.loc[3, "x"] = np.nan
    used = np.array(frame["x"].notna())
    used[7] = False
    rows = frame[used]
    columns = {ONE: np.ones(len(rows)), **{c: rows[c].to_numpy() for c in ("x", "z")}}
    for level in ("mid", "top"):  # treatment coding: "low", the first in the alphabet, is the base
        columns[f"f{level}"] = np.array(rows["f"] == level, dtype=float)
    blocks = []
    for label, (names, prior) in groups.items():
        parts = [rows[part].to_numpy(str) for part in label.split(":")]
        joined = np.array([":".join(row) for row in zip(*parts, strict=True)])
        blocks.append(Group(label, names, joined, prior))
    return Model(formula, frame, used, columns, fixed, sigma, tuple(blocks), offset)


def predictors(rows: int, seed: int) -> pd.DataFrame:
    """Return predictors far from zero, a factor, an offset, and groups: g; b crossed; class in school, unbalanced."""
    rng = np.random.default_rng(seed)
    names = np.array(["low", "mid", "top"])
    school = rng.permutation(np.arange(rows) % 5)
    return pd.DataFrame(
        {
            "x": rng.normal(4, 1.5, rows),
            "z": rng.normal(-2, 0.7, rows),
            "f": names[rng.permutation(np.arange(rows) % 3)],
            "o": rng.normal(1, 2, rows),
            "g": [f"g{i}" for i in np.minimum(rng.permutation(np.arange(rows) % 9), 7)],
            "b": [f"b{i}" for i in rng.permutation(np.arange(rows) % 5)],
            "school": [f"s{i}" for i in school],
            "class": [f"c{i}" for i in rng.integers(0, 3, rows)],
        }
    )


VAGUE = {ONE: (1.0, 2.0), "x": (-0.5, 1.0)}
INFORMATIVE = {ONE: (1.0, 0.4), "x": (-0.5, 0.3)}  # as good as the data: an error in its centre would be seen


def models() -> dict[str, Model]:
    """Return the models by name."""
    small, wide = predictors(48, 1), predictors(72, 2)
    return {**one_factor(small, wide), **several_factors(small, wide)}


def one_factor(small: pd.DataFrame, wide: pd.DataFrame) -> dict[str, Model]:
    """Return models with one grouping factor: one, two and three columns."""
    return {
        "intercept": build(
            "y ~ x + (1 | g)",
            small,
            VAGUE,
            Positive("exponential", (0.7,)),
            {"g": ((ONE,), DecovPrior(1, 1, 1, 1))},
        ),
        "slope": build(
            "y ~ x + (x | g)",
            small,
            INFORMATIVE,
            Positive("exponential", (1.0,)),
            {"g": ((ONE, "x"), DecovPrior(1, 1, 1, 1))},
        ),
        "three": build(
            "y ~ x + z + (x + z | g)",
            wide,
            {**VAGUE, "z": (0.3, 1.5)},
            Positive("half_normal", (1.5,)),
            {"g": ((ONE, "x", "z"), LkjPrior(1.5, Positive("half_student_t", (4, 1.0))))},
        ),
    }


def several_factors(small: pd.DataFrame, wide: pd.DataFrame) -> dict[str, Model]:
    """Return models with crossed and nested grouping factors."""
    return {
        "crossed": build(
            "y ~ x + f + (1 | g) + (1 | b)",
            small,
            {**VAGUE, "fmid": (0.0, 1.0), "ftop": (1.0, 0.5)},
            Positive("gamma", (2.0, 2.0)),
            {
                "g": ((ONE,), LkjPrior(1, Positive("exponential", (1.0,)))),
                "b": ((ONE,), DecovPrior(1, 1, 2, 0.7)),
            },
        ),
        "nested": build(
            "y ~ x + (x | school / class)",
            wide,
            VAGUE,
            Positive("half_student_t", (5, 1.0)),
            {
                "class:school": ((ONE, "x"), DecovPrior(2, 1.5, 1, 1)),
                "school": ((ONE, "x"), LkjPrior(2, Positive("half_normal", (1.0,)))),
            },
            offset="o",
        ),
        "nested and crossed": build(
            "y ~ x + (1 | school / class) + (0 + x | b)",
            small,
            INFORMATIVE,
            Positive("exponential", (1.0,)),
            {
                "class:school": ((ONE,), LkjPrior(1, Positive("half_normal", (1.0,)))),
                "school": ((ONE,), DecovPrior(1, 1, 1, 1)),
                "b": (("x",), LkjPrior(1, Positive("gamma", (2.0, 3.0)))),
            },
        ),
    }


# -- truths, data, quantities -------------------------------------------------------------------------


@dataclass(frozen=True)
class Values:
    """S values of all parameters, one true set or many draws.

    Attributes
    ----------
    beta : ndarray, shape (S, k)
        In the order of `Model.fixed`; the intercept is that of the predictors as given.
    sigma : ndarray, shape (S,)
    sd, corr, b : tuple of ndarray, per group, shapes (S, p), (S, p, p) and (S, J, p)
    """

    beta: np.ndarray
    sigma: np.ndarray
    sd: tuple[np.ndarray, ...]
    corr: tuple[np.ndarray, ...]
    b: tuple[np.ndarray, ...]


def draw_prior(model: Model, rng: np.random.Generator, size: int = 1) -> Values:
    """Draw parameters from the prior."""
    drawn = [_draw_once(model, rng) for _ in range(size)]
    beta, sigma, groups = zip(*drawn, strict=True)
    sd, corr, b = (
        tuple(np.stack([one[i][what] for one in groups]) for i in range(len(model.groups)))
        for what in range(3)
    )
    return Values(np.array(beta), np.array(sigma), sd, corr, b)


def _draw_once(model: Model, rng: np.random.Generator) -> tuple[np.ndarray, float, list]:
    sigma = model.sigma.draw(rng)
    beta = np.array([rng.normal(*numbers) for numbers in model.fixed.values()])
    beta[0] -= model.matrix(tuple(model.fixed))[:, 1:].mean(axis=0) @ beta[1:]  # the intercept comes first
    groups = []
    for g in model.groups:
        sd, corr = g.prior.draw(rng, len(g.columns), sigma)
        root = sd[:, None] * np.linalg.cholesky(corr)
        groups.append((sd, corr, rng.normal(size=(len(g.levels), len(sd))) @ root.T))
    return beta, sigma, groups


def linear_predictor(model: Model, values: Values) -> np.ndarray:
    """Mean of each used row, (S, n)."""
    mean = values.beta @ model.matrix(tuple(model.fixed)).T
    for g, b in zip(model.groups, values.b, strict=True):
        mean = mean + (b[:, g.codes] * model.matrix(g.columns)).sum(axis=-1)
    return mean if model.offset is None else mean + model.frame[model.offset].to_numpy()[model.used]


def simulate(model: Model, rng: np.random.Generator) -> tuple[Values, np.ndarray]:
    """Draw true parameters from the prior, and responses (n,) of the used rows given them."""
    truth = draw_prior(model, rng)
    mean = linear_predictor(model, truth)[0]
    return truth, rng.normal(mean, truth.sigma[0])


def quantities(model: Model, values: Values, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return what is ranked by name, each (S,).

    The log-density of group effects given their covariances sees whether parameters go together, such as the sign of
    a correlation, of which its own ranks say nothing where its prior is symmetric. The log-likelihood depends on the
    data: it sees data that were not used at all, which leaves the ranks of parameters uniform (Modrak et al. 2023).
    """
    out = dict(zip(model.fixed, values.beta.T, strict=True))
    for g, sd, corr, b in zip(model.groups, values.sd, values.corr, values.b, strict=True):
        for i, name in enumerate(g.columns):
            out[f"sd {g.label} {name}"] = sd[:, i]
            for j in range(i):
                out[f"cor {g.label} {g.columns[j]}.{name}"] = corr[:, i, j]
        if g in (model.groups[0], model.groups[-1]):
            level, column = (0, 0) if g is model.groups[0] else (-1, -1)
            out[f"b {g.label} {g.levels[level]} {g.columns[column]}"] = b[:, level, column]
            if len(model.groups) == 1:
                out[f"b {g.label} {g.levels[-1]} {g.columns[-1]}"] = b[:, -1, -1]
    out["sigma"] = values.sigma
    out["log-density of b"] = log_density_of_effects(model, values)
    mean, scale = linear_predictor(model, values), values.sigma[:, None]
    out["log-likelihood"] = stats.norm.logpdf(y, mean, scale).sum(axis=1)
    return out


def log_density_of_effects(model: Model, values: Values) -> np.ndarray:
    """Sum over groups and levels of log N(b_j; 0, Sigma), (S,)."""
    total = np.zeros(len(values.sigma))
    for sd, corr, b in zip(values.sd, values.corr, values.b, strict=True):
        root = sd[..., None] * np.linalg.cholesky(corr)
        z = np.linalg.solve(root, np.swapaxes(b, 1, 2))  # (S, p, J), standard normal
        log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        total += stats.norm.logpdf(z).sum(axis=(1, 2)) - b.shape[1] * log_det
    return total


# -- the package under test ---------------------------------------------------------------------------


def fitted(model: Model, y: np.ndarray, **settings: Any) -> Any:
    """Fit the model by `bayesmlm.fit`; warnings are in the fit's notes."""
    frame = model.frame.copy()
    frame["y"] = np.nan
    frame.loc[model.used, "y"] = y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.ConvergenceWarning)
        return bm.fit(
            model.formula,
            frame,
            priors=model.priors,
            offset=model.offset,
            progress=False,
            cores=1,
            **settings,
        )


def thinned(model: Model, posterior: Any, keep: int) -> Values:
    """Return `keep` draws at equal distances, of all chains together, read by name."""

    def flat(array: Any) -> np.ndarray:
        values = array.values
        joined = values.reshape(-1, *values.shape[2:])
        return joined[np.linspace(0, len(joined) - 1, keep).round().astype(int)]

    sd, corr, b = [], [], []
    for g in model.groups:
        names, block = list(g.columns), posterior.block(g.label)
        sd.append(flat(block.sd.sel(column=names)))
        corr.append(flat(block.corr.sel(column=names, column_bis=names)))
        b.append(flat(block.b.sel(level=list(g.levels), column=names)))
    beta = flat(posterior.fixef.sel(coefficient=list(model.fixed)))
    return Values(beta, flat(posterior.sigma), tuple(sd), tuple(corr), tuple(b))
