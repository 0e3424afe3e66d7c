"""A transformed response and its own scale: from ``log(y) ~ ...`` back to y.

With Z = t(y) ~ N(mu, v) the mean of y is not t^-1(mu): for a logarithm it is exp(mu + v / 2), for a square root
mu^2 + v (Duan 1983, Journal of the American Statistical Association 78, 605-610). v is the variance that
the prediction averages over: that of the residuals, and of group effects where these are integrated out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.columns import column_value
from bayesmlm.design import Design
from bayesmlm.errors import FormulaError
from bayesmlm.evaluate import Evaluator
from bayesmlm.syntax import Call, Name, Node, Paren, names_in

WRAPPERS = {"I", "as.vector", "as.numeric", "as.double"}
BASES = {"log": np.e, "log1p": np.e, "log10": 10.0, "log2": 2.0}
SUPPORTED = "log, log10, log2, log1p, log(x, base), sqrt, and sums, differences and multiples by constants"
PROBE = np.array(
    [-1.0, 0.0, 0.3721, 1.0, 1.8137]
)  # where a straight line is told from abs, round and the like
STRAIGHT = 1e-9  # largest deviation from a straight line, relative to its values


@dataclass(frozen=True)
class OwnScale:
    """How the response's own scale relates to that of the linear predictor, Z = t(y).

    Attributes
    ----------
    name : str
        What is on that scale, ``"ATT8SCR"``.
    inverse : callable
        z -> t^-1(z).
    mean : callable
        (mu, v) -> E t^-1(Z) for Z ~ N(mu, v).
    location : callable
        (m, v) -> the mu for which that mean is m; NaN where there is none.
    is_identity : bool
        Whether t is the identity.
    """

    name: str
    inverse: Callable[[np.ndarray], np.ndarray]
    mean: Callable[[np.ndarray, np.ndarray], np.ndarray]
    location: Callable[[np.ndarray, np.ndarray], np.ndarray]
    is_identity: bool = False


def as_fitted(design: Design) -> OwnScale:
    """Return the scale of the response as the formula has it: nothing is undone."""
    return _plain(design.response)


def own_scale(design: Design) -> OwnScale:
    """Return the scale of the column behind a transformed response.

    ``log(y + 1)`` and ``sqrt(y / 2)`` lead back to y. What is transformed is the scale where it has several columns:
    ``log(a / b)`` leads back to a / b. An untransformed response is on its own scale.

    Raises
    ------
    FormulaError
        For a transformation that cannot be undone.
    """
    node = _unwrapped(design.formula.response)
    if isinstance(node, Name):
        return _plain(node.name)
    outer, inside = _outer(node, design)
    columns = {n.name for n in names_in(inside) if n.name in design.frame.columns}
    if len(columns) > 1 and outer is not None:
        return outer(str(inside), 0.0, 1.0)
    line = _line(inside, columns, design)
    if line is None:
        message = f"the response {design.response} cannot be brought back to its own scale; supported are {SUPPORTED}"
        raise FormulaError(
            f"{message}. Leave out back_transform=True for predictions of {design.response} itself"
        )
    return (outer or _linear)(next(iter(columns)), *line)


# -- scales: y from t(a + b y) -----------------------------------------------------------------------


def _plain(name: str) -> OwnScale:
    return OwnScale(name, lambda z: z, lambda mu, v: mu, lambda m, v: m, is_identity=True)


def _linear(name: str, a: float, b: float) -> OwnScale:
    return OwnScale(name, lambda z: (z - a) / b, lambda mu, v: (mu - a) / b, lambda m, v: a + b * m)


def _logarithm(base: float) -> Callable[[str, float, float], OwnScale]:
    """Z = log(a + b y) / c, c = log(base): E = (exp(c mu + c^2 v / 2) - a) / b."""
    c = float(np.log(base))

    def location(m: np.ndarray, v: np.ndarray, a: float, b: float) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(a + b * m) / c - c * v / 2

    return lambda name, a, b: OwnScale(
        name,
        lambda z: (np.exp(c * z) - a) / b,
        lambda mu, v: (np.exp(c * mu + c**2 * v / 2) - a) / b,
        lambda m, v: location(m, v, a, b),
    )


def _root(name: str, a: float, b: float) -> OwnScale:
    """Z = sqrt(a + b y): E = (mu^2 + v - a) / b; the root taken back is the positive one."""

    def location(m: np.ndarray, v: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.sqrt(a + b * m - v)

    return OwnScale(name, lambda z: (z**2 - a) / b, lambda mu, v: (mu**2 + v - a) / b, location)


# -- reading the response ----------------------------------------------------------------------------


def _unwrapped(node: Node | None) -> Node:
    while isinstance(node, Paren) or (
        isinstance(node, Call) and node.func in WRAPPERS and len(node.args) == 1
    ):
        node = node.arg if isinstance(node, Paren) else node.args[0][1]
    assert node is not None
    return node


def _outer(node: Node, design: Design) -> tuple[Callable[[str, float, float], OwnScale] | None, Node]:
    """Return the transformation on the outside, None if there is none, and what it is applied to."""
    func = node.func.removeprefix("numpy.").removeprefix("np.") if isinstance(node, Call) else ""
    if not isinstance(node, Call) or func not in {*BASES, "sqrt"}:
        return None, node
    given = dict(zip(("x", "base"), node.positional(), strict=False)) | {
        k: a for k, a in node.args if k is not None
    }
    inside = _unwrapped(given["x"])
    if func == "sqrt":
        return _root, inside
    base = BASES[func]
    if "base" in given:
        base = float(
            Evaluator(design.frame, design.formula.text, learned=design.learned).numeric(given["base"])
        )
    scale = _logarithm(base)
    return (lambda name, a, b: scale(name, a + 1, b)) if func == "log1p" else scale, inside


def _line(node: Node, columns: set[str], design: Design) -> tuple[float, float] | None:
    """Return (a, b) of an expression that is a + b y in its only column y, or None if it is not."""
    if len(columns) != 1:
        return None
    (column,) = columns
    values = column_value(design.frame[column])
    if not isinstance(values, np.ndarray):
        return None
    x = (float(np.abs(values).max()) or 1.0) * PROBE
    probe = pd.DataFrame({column: x})
    at = Evaluator(probe, design.formula.text, learned=design.learned).numeric(node)
    if np.shape(at) != x.shape or not np.isfinite(at).all() or at[0] == at[-1]:
        return None
    b = float((at[-1] - at[0]) / (x[-1] - x[0]))
    a = float(at[0] - b * x[0])
    return (a, b) if (np.abs(a + b * x - at) <= STRAIGHT * np.abs(at).max()).all() else None
