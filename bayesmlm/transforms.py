"""R's functions of data columns: what `log`, `scale`, `poly`, `ns`, ... return for an array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import BSpline
from scipy.linalg import qr

Array = np.ndarray

# Elementwise functions, under R's and numpy's names; `np.log` finds the same entry as `log`.
ELEMENTWISE: dict[str, Callable[..., Array]] = {
    name: getattr(np, name)
    for name in (
        *("log2", "log10", "log1p", "sqrt", "exp", "expm1", "abs", "sign", "floor", "trunc"),
        *("sin", "cos", "tan", "square", "tanh"),
    )
}
ELEMENTWISE["ceiling"] = ELEMENTWISE["ceil"] = np.ceil
# Summaries of a column, for I(x - mean(x)); they see the rows where it is known.
SUMMARIES: dict[str, Callable[[Array], Array]] = {
    "mean": np.mean,
    "median": np.median,
    "min": np.min,
    "max": np.max,
    "sum": np.sum,
    "sd": lambda x: np.std(x, ddof=1),
    "var": lambda x: np.var(x, ddof=1),
}


def log(x: Array, base: float | None = None) -> Array:
    """Natural logarithm, or the logarithm to `base`, as R's ``log(x, base)``."""
    return np.log(x) if base is None else np.log(x) / np.log(base)


def round_digits(x: Array, digits: float = 0) -> Array:
    """R's ``round``: halves go to the even digit."""
    return np.round(x, int(digits))


# -- functions that learn from a column --------------------------------------------------------------
# Each has two halves, as R's makepredictcall has it: what is learned from the column of the fit, and the value
# of any column given that. New data are transformed by what the data of the fit taught.


def learn_center(x: Array) -> Array:
    """Return the mean of each column."""
    return np.nanmean(x, axis=0)


def center(x: Array, mean: Array) -> Array:
    """Subtract the mean of each column."""
    return x - mean


def learn_scale(x: Array, center: bool | float = True, scale: bool | float = True) -> tuple[Any, Any]:
    """Return what R's ``scale`` subtracts and divides by: the mean or a number, the n-1 sd or a number.

    Without centring the divisor is the root mean square, sum(x^2) / (n - 1), as in R.
    """
    if np.ndim(center) or np.ndim(scale):
        raise ValueError("center and scale are TRUE, FALSE or one number")
    shift = np.nanmean(x, axis=0) if center is True else np.float64(center)
    if scale is not True:
        return shift, np.float64(scale if scale is not False else 1.0)
    return shift, np.sqrt(np.nansum((x - shift) ** 2, axis=0) / (np.sum(~np.isnan(x), axis=0) - 1))


def scale(x: Array, learned: tuple[Array, Array]) -> Array:
    """R's ``scale``: (x - shift) / divisor."""
    shift, divisor = learned
    return (x - shift) / divisor


@dataclass(frozen=True)
class Polynomials:
    """Orthonormal polynomials by the three-term recurrence p_j+1 = (x - alpha_j) p_j - norm2_j / norm2_j-1 p_j-1.

    `norm2` are the squared lengths of the p_j over the column of the fit; None for raw powers.
    """

    degree: int
    alpha: Array | None = None
    norm2: Array | None = None


def learn_poly(x: Array, degree: float = 1, raw: bool = False) -> Polynomials:
    """Return the recurrence of R's ``poly`` on a column (Forsythe 1957, J. SIAM 5, 74-88)."""
    if np.ndim(degree) or degree < 1 or degree % 1:
        raise ValueError("the degree is a whole number, 1 or more")
    d = int(degree)
    if raw:
        return Polynomials(d)
    if len(np.unique(x)) <= d:
        raise ValueError(f"poly() of degree {d} needs more than {d} distinct values")
    q, r = np.linalg.qr((x - x.mean())[:, None] ** np.arange(d + 1))
    p = q * np.diag(r)
    norm2 = np.sum(p**2, axis=0)
    return Polynomials(d, p.T**2 @ (x - x.mean()) / norm2 + x.mean(), norm2)


def poly(x: Array, learned: Polynomials) -> Array:
    """R's ``poly``: orthonormal polynomials of degree 1..degree (n x degree), or raw powers.

    On the column that taught them they are orthogonal to the constant and to each other and have unit length.
    """
    if learned.alpha is None or learned.norm2 is None:
        return x[:, None] ** np.arange(1, learned.degree + 1)
    p = [np.zeros(len(x)), np.ones(len(x))]
    ratio = np.append(0.0, learned.norm2[1:] / learned.norm2[:-1])
    for j in range(learned.degree):
        p.append((x - learned.alpha[j]) * p[-1] - ratio[j] * p[-2])
    return np.column_stack(p[2:]) / np.sqrt(learned.norm2[1:])


@dataclass(frozen=True)
class Knots:
    """The knots of a spline basis: both ends, and what lies between; `intercept` keeps the first column."""

    low: float
    high: float
    inner: Array
    degree: int
    intercept: bool

    @property
    def all(self) -> Array:
        """The whole knot sequence: each end degree + 1 times."""
        ends = (np.repeat(end, self.degree + 1) for end in (self.low, self.high))
        return np.concatenate([next(ends), np.sort(self.inner), next(ends)])


def learn_bs(
    x: Array,
    df: float | None = None,
    knots: Array | None = None,
    degree: float = 3,
    intercept: bool = False,
) -> Knots:
    """Return the knots of R's ``splines::bs``: inner knots at quantiles unless given."""
    count = None if df is None else int(df) - (int(degree) + 1) + (not intercept)
    return Knots(x.min(), x.max(), _inner_knots(x, knots, count, "bs"), int(degree), bool(intercept))


def bs(x: Array, knots: Knots) -> Array:
    """B-spline basis as R's ``splines::bs``; beyond the ends the outermost polynomials go on.

    Source: de Boor (1978), A Practical Guide to Splines.
    """
    return _basis(x, knots)[:, 0 if knots.intercept else 1 :]


def learn_ns(x: Array, df: float | None = None, knots: Array | None = None, intercept: bool = False) -> Knots:
    """Return the knots of R's ``splines::ns``: inner knots at quantiles unless given."""
    count = None if df is None else int(df) - 1 - intercept
    return Knots(x.min(), x.max(), _inner_knots(x, knots, count, "ns"), 3, bool(intercept))


def ns(x: Array, knots: Knots) -> Array:
    """Natural cubic spline basis as R's ``splines::ns``; beyond the ends it goes on in straight lines.

    The cubic B-spline basis, restricted to functions whose second derivative vanishes at both boundary
    knots: it is multiplied by the null space of these two constraints, from a QR decomposition.
    """
    first = 0 if knots.intercept else 1
    ends = np.array([knots.low, knots.high])
    q, _ = qr(_basis(ends, knots, derivative=2)[:, first:].T)
    inside = np.clip(x, knots.low, knots.high)
    slope = _basis(inside, knots, derivative=1)
    basis = _basis(inside, knots) + (x - inside)[:, None] * slope
    return (basis[:, first:] @ q)[:, 2:]


def _inner_knots(x: Array, knots: Array | None, count: int | None, name: str) -> Array:
    if knots is not None:
        inner = np.atleast_1d(np.asarray(knots, dtype=float))
        if (inner <= x.min()).any() or (inner >= x.max()).any():
            raise ValueError(f"knots lie between the smallest and largest value, {x.min():g} and {x.max():g}")
        return inner
    if count is None or count == 0:
        return np.empty(0)
    if count < 0:
        raise ValueError(f"df is too small for {name}()")
    return np.quantile(x, np.linspace(0, 1, count + 2)[1:-1])


def _basis(x: Array, knots: Knots, derivative: int = 0) -> Array:
    """Return the B-splines, or their derivatives, at x: (n, k)."""
    if not derivative:
        return BSpline.design_matrix(x, knots.all, knots.degree, extrapolate=True).toarray()
    size = len(knots.all) - knots.degree - 1
    return BSpline(knots.all, np.eye(size), knots.degree)(x, nu=derivative)


# Functions of each row by itself, which may give missing values.
OF_EACH_ROW: dict[str, Callable[..., Array]] = {**ELEMENTWISE, "log": log, "round": round_digits}
# Functions of a whole column: what is learned from it and from the other arguments, and the value given that.
OF_THE_COLUMN: dict[str, tuple[Callable[..., Any], Callable[[Array, Any], Array]]] = {
    "center": (learn_center, center),
    "scale": (learn_scale, scale),
    "poly": (learn_poly, poly),
    "bs": (learn_bs, bs),
    "ns": (learn_ns, ns),
}
