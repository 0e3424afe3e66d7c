"""R's functions of data columns: what `log`, `scale`, `poly`, `ns`, ... return for an array."""

from __future__ import annotations

from collections.abc import Callable

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


def center(x: Array) -> Array:
    """Subtract the mean of each column."""
    return x - x.mean(axis=0)


def scale(x: Array, center: bool | float = True, scale: bool | float = True) -> Array:
    """R's ``scale``: subtract the mean or a number, divide by the n-1 standard deviation or a number.

    Without centring the divisor is the root mean square, sum(x^2) / (n - 1), as in R.
    """
    if np.ndim(center) or np.ndim(scale):
        raise ValueError("center and scale are TRUE, FALSE or one number")
    shift = x.mean(axis=0) if center is True else float(center)
    if scale is not True:
        return (x - shift) / (float(scale) if scale is not False else 1.0)
    return (x - shift) / np.sqrt(np.sum((x - shift) ** 2, axis=0) / (len(x) - 1))


def poly(x: Array, degree: float = 1, raw: bool = False) -> Array:
    """R's ``poly``: orthonormal polynomials of degree 1..degree (n x degree), or raw powers.

    The columns are orthogonal to the constant and to each other and have unit length.
    """
    if np.ndim(degree) or degree < 1 or degree % 1:
        raise ValueError("the degree is a whole number, 1 or more")
    powers = np.arange(1, int(degree) + 1)
    if raw:
        return x[:, None] ** powers
    if len(np.unique(x)) <= degree:
        raise ValueError(f"poly() of degree {degree:g} needs more than {degree:g} distinct values")
    q, r = np.linalg.qr((x - x.mean())[:, None] ** np.arange(int(degree) + 1))
    return (q * np.sign(np.diag(r)))[:, 1:]


def bs(
    x: Array,
    df: float | None = None,
    knots: Array | None = None,
    degree: float = 3,
    intercept: bool = False,
) -> Array:
    """B-spline basis as R's ``splines::bs``: inner knots at quantiles unless given.

    Source: de Boor (1978), A Practical Guide to Splines.
    """
    order = int(degree) + 1
    inner = _inner_knots(x, knots, None if df is None else int(df) - order + (not intercept), "bs")
    return _basis(x, inner, int(degree))[:, 0 if intercept else 1 :]


def ns(x: Array, df: float | None = None, knots: Array | None = None, intercept: bool = False) -> Array:
    """Natural cubic spline basis as R's ``splines::ns``.

    The cubic B-spline basis, restricted to functions whose second derivative vanishes at both boundary
    knots: it is multiplied by the null space of these two constraints, from a QR decomposition.
    """
    inner = _inner_knots(x, knots, None if df is None else int(df) - 1 - intercept, "ns")
    first = 0 if intercept else 1
    basis, ends = _basis(x, inner, 3), _basis_curvature(x, inner)
    q, _ = qr(ends[:, first:].T)
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


def _all_knots(x: Array, inner: Array, degree: int) -> Array:
    return np.concatenate([np.repeat(x.min(), degree + 1), np.sort(inner), np.repeat(x.max(), degree + 1)])


def _basis(x: Array, inner: Array, degree: int) -> Array:
    return BSpline.design_matrix(x, _all_knots(x, inner, degree), degree).toarray()


def _basis_curvature(x: Array, inner: Array) -> Array:
    """Second derivatives of the cubic basis at the two boundary knots, shape (2, k)."""
    knots = _all_knots(x, inner, 3)
    spline = BSpline(knots, np.eye(len(knots) - 4), 3)
    return spline(np.array([x.min(), x.max()]), nu=2)


# Functions of each row by itself, which may give missing values, and functions of a whole column.
OF_EACH_ROW: dict[str, Callable[..., Array]] = {**ELEMENTWISE, "log": log, "round": round_digits}
OF_THE_COLUMN: dict[str, Callable[..., Array]] = {
    "center": center,
    "scale": scale,
    "poly": poly,
    "bs": bs,
    "ns": ns,
}
