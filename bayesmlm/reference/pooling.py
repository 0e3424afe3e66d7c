"""Complete pooling and no pooling: the two least-squares fits between which a multilevel model lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.coding import RANK_TOLERANCE, independent_columns
from bayesmlm.design import Block, Design
from bayesmlm.errors import DataError, did_you_mean

ESTIMABLE = 1e-6


@dataclass(frozen=True, eq=False)
class LinearEstimate:
    """A linear model y = X beta + offset + e, e ~ N(0, sigma^2 W^-1), by weighted least squares.

    Attributes
    ----------
    coefficients : tuple of str
        R's names of the columns of X.
    estimate, se : ndarray, shape (k,)
    vcov : ndarray, shape (k, k)
        sigma^2 (X'WX)^-1.
    sigma : float
        sqrt(RSS / df_resid), RSS = sum of w (y - fitted)^2; NaN without residual degrees of freedom.
    df_resid : int
        n - k.
    r2, adj_r2 : float
        Share of the sum of squares that the model takes, about the weighted mean for a formula with an
        intercept and about 0 for one without; without the offset. Adjusted for k as R does.
    loglik : float
        Log-likelihood at the maximum, where the variance is RSS / n.
    aic, bic : float
        With k + 1 parameters.
    fitted, residuals : ndarray, shape (n,)
        X beta + offset, and y minus it.
    """

    coefficients: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray
    vcov: np.ndarray
    sigma: float
    df_resid: int
    r2: float
    adj_r2: float
    loglik: float
    aic: float
    bic: float
    fitted: np.ndarray
    residuals: np.ndarray

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return len(self.fitted)


@dataclass(frozen=True)
class CommonEstimate:
    """Coefficients that all levels share in a no-pooling fit; fields as in `LinearEstimate`."""

    coefficients: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray
    vcov: np.ndarray


@dataclass(frozen=True)
class NoPooling:
    """Least squares with coefficients of its own for each level of one block.

    The estimates are total coefficients, to be compared with fixed plus group effects, not deviations.

    Attributes
    ----------
    label, group : str
        As in `bayesmlm.design.Block`.
    columns, levels : tuple of str
        R's names of the p columns; the J levels.
    estimate, se : ndarray, shape (J, p)
        NaN where the rows of a level do not determine the coefficient: both sexes are needed for a difference
        between them. Standard errors rest on one residual variance for all levels.
    n : ndarray of int, shape (J,)
        Rows per level.
    common : CommonEstimate
        The fixed effects that do not vary between levels; may be empty.
    absorbed : tuple of str
        Fixed effects without an estimate here, because the levels' own coefficients explain them: a predictor
        that is constant within levels, when each level has an intercept.
    sigma : float
        Residual standard deviation.
    df_resid : int
        n minus the rank of all columns.
    """

    label: str
    group: str
    columns: tuple[str, ...]
    levels: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray
    n: np.ndarray
    common: CommonEstimate
    absorbed: tuple[str, ...]
    sigma: float
    df_resid: int


def fit_linear(
    X: np.ndarray,
    y: np.ndarray,
    coefficients: tuple[str, ...],
    weights: np.ndarray | None = None,
    offset: np.ndarray | None = None,
    *,
    intercept: bool,
) -> LinearEstimate:
    """Fit a linear model by the QR decomposition of W^(1/2) X, with the figures of R's ``summary(lm)``.

    Parameters
    ----------
    X, y
        Predictors, shape (n, k), and response, shape (n,).
    coefficients
        Names of the columns of X.
    weights, offset
        Positive prior weights; a known part of the fitted values.
    intercept
        Whether the formula has an intercept: then R2 is about the mean.
    """
    n, k = X.shape
    w = np.ones(n) if weights is None else weights
    known = np.zeros(n) if offset is None else offset
    root = np.sqrt(w)
    q, r = np.linalg.qr(root[:, None] * X)
    _check_rank(r, X * root[:, None], coefficients, n)
    estimate = np.linalg.solve(r, q.T @ (root * (y - known)))
    # One refinement keeps the digits that a response with a large mean would cost.
    estimate += np.linalg.solve(r, q.T @ (root * (y - known - X @ estimate)))
    linear = X @ estimate
    residuals = y - known - linear
    rss, df = float(w @ residuals**2), n - k
    inverse = np.linalg.inv(r)
    variance = rss / df if df else np.nan
    vcov = variance * inverse @ inverse.T
    r2 = _r2(linear, w, rss, intercept)
    with np.errstate(divide="ignore"):
        loglik = 0.5 * float(np.log(w).sum() - n * (np.log(2 * np.pi * rss / n) + 1))
    return LinearEstimate(
        coefficients=coefficients,
        estimate=estimate,
        se=np.sqrt(np.diag(vcov)),
        vcov=vcov,
        sigma=float(np.sqrt(variance)),
        df_resid=df,
        r2=r2,
        adj_r2=1 - (1 - r2) * (n - intercept) / df if df else np.nan,
        loglik=loglik,
        aic=-2 * loglik + 2 * (k + 1),
        bic=-2 * loglik + np.log(n) * (k + 1),
        fitted=linear + known,
        residuals=residuals,
    )


def complete_pooling(design: Design) -> LinearEstimate:
    """Fit the fixed part alone: the groups are ignored."""
    has_intercept = "(Intercept)" in design.coefficients
    return fit_linear(
        design.X, design.y, design.coefficients, design.weights, design.offset, intercept=has_intercept
    )


def no_pooling(design: Design, label: str) -> NoPooling:
    """Give each level of one block its own least-squares coefficients; other blocks are left out.

    With Z_j the block's columns in level j, fixed columns that lie in the span of every Z_j are part of the levels'
    coefficients; the others, X, have one common coefficient beta. By the theorem of Frisch and Waugh (1933,
    Econometrica 1, 387-401) beta is the regression of y on X after both are projected off Z_j within levels, and
    then a_j = Z_j^+ (y_j - X_j beta), Var(a_j) = sigma^2 (Z_j'W Z_j)^+ + Z_j^+ X_j Var(beta) (Z_j^+ X_j)'.

    Parameters
    ----------
    design
        Response, fixed columns and blocks.
    label
        The block's label; its group's name if there is one block on it.
    """
    block = _find_block(design, label)
    root = np.ones(design.nobs) if design.weights is None else np.sqrt(design.weights)
    y = root * (design.y if design.offset is None else design.y - design.offset)
    right = np.column_stack([root[:, None] * design.X, y])
    levels = _Levels.of(block, root[:, None] * block.Z, right)
    whole = np.linalg.norm(right[:, :-1], axis=0)
    shared = independent_columns(levels.left[:, :-1], whole).tolist()
    common, residual = _common(design, levels.left, shared)
    df = design.nobs - int(levels.rank.sum()) - len(shared)
    variance = residual / df if df > 0 else np.nan
    vcov = variance * common.vcov
    onto = levels.solution[:, :, shared]
    estimate = levels.solution[:, :, -1] - onto @ common.estimate
    spread = variance * levels.unscaled + np.einsum("jpa,ab,jpb->jp", onto, vcov, onto)
    unknown = ~levels.estimable
    estimate[unknown], spread[unknown] = np.nan, np.nan
    own = {*block.columns, *(design.coefficients[i] for i in shared)}
    return NoPooling(
        label=block.label,
        group=block.group,
        columns=block.columns,
        levels=block.levels,
        estimate=estimate,
        se=np.sqrt(spread),
        n=np.bincount(block.index, minlength=len(block.levels)),
        common=CommonEstimate(common.coefficients, common.estimate, np.sqrt(np.diag(vcov)), vcov),
        absorbed=tuple(c for c in design.coefficients if c not in own),
        sigma=float(np.sqrt(variance)),
        df_resid=df,
    )


@dataclass(frozen=True)
class _Levels:
    """Projections on Z_j within levels: Z_j^+ right, what is left of right, and what Z_j identifies."""

    solution: np.ndarray  # (J, p, m): Z_j^+ right_j
    left: np.ndarray  # (n, m): right_j - Z_j Z_j^+ right_j
    unscaled: np.ndarray  # (J, p): diagonal of (Z_j'Z_j)^+
    rank: np.ndarray  # (J,)
    estimable: np.ndarray  # (J, p): whether the coefficient is determined

    @classmethod
    def of(cls, block: Block, Z: np.ndarray, right: np.ndarray) -> _Levels:
        J, p, m = len(block.levels), Z.shape[1], right.shape[1]
        solution, unscaled = np.zeros((J, p, m)), np.zeros((J, p))
        rank, estimable = np.zeros(J, dtype=int), np.zeros((J, p), dtype=bool)
        left = right.copy()
        order = np.argsort(block.index, kind="stable")
        ends = np.cumsum(np.bincount(block.index, minlength=J))
        # The unit of a column must not decide the rank.
        length = np.linalg.norm(Z, axis=0)
        scale = np.where(length > 0, length, 1.0)
        for j, rows in enumerate(np.split(order, ends[:-1])):
            U, s, Vt = np.linalg.svd(Z[rows] / scale, full_matrices=False)
            keep = s > RANK_TOLERANCE * s.max(initial=0.0)
            U, s, Vt = U[:, keep], s[keep], Vt[keep]
            coordinates = U.T @ right[rows]
            left[rows] -= U @ coordinates
            left[rows] -= U @ (U.T @ left[rows])
            solution[j] = (Vt.T / s) @ coordinates / scale[:, None]
            unscaled[j] = ((Vt.T / s) ** 2).sum(axis=1) / scale**2
            rank[j] = len(s)
            estimable[j] = np.linalg.norm(Vt.T @ Vt - np.eye(p), axis=0) < ESTIMABLE
        return cls(solution, left, unscaled, rank, estimable)


def _common(design: Design, left: np.ndarray, shared: list[int]) -> tuple[CommonEstimate, float]:
    """Return the common coefficients, with (X'X)^-1 for `vcov`, and the residual sum of squares."""
    X, y = left[:, shared], left[:, -1]
    q, r = np.linalg.qr(X)
    estimate = np.linalg.solve(r, q.T @ y)
    inverse = np.linalg.inv(r)
    residual = y - X @ estimate
    vcov = inverse @ inverse.T
    names = tuple(design.coefficients[i] for i in shared)
    return CommonEstimate(names, estimate, np.sqrt(np.diag(vcov)), vcov), float(residual @ residual)


def _r2(linear: np.ndarray, w: np.ndarray, rss: float, intercept: bool) -> float:
    centre = (w @ linear) / w.sum() if intercept else 0.0
    model = float(w @ (linear - centre) ** 2)
    return model / (model + rss)


def _find_block(design: Design, label: str) -> Block:
    for block in design.blocks:
        if block.label == label:
            return block
    known = [b.label for b in design.blocks]
    shown = ", ".join(known) if known else "none"
    raise DataError(f"no group effects labelled {label!r}; there are {shown}.{did_you_mean(label, known)}")


def _check_rank(r: np.ndarray, X: np.ndarray, coefficients: tuple[str, ...], n: int) -> None:
    if n < X.shape[1]:
        raise DataError(f"{n} rows cannot determine {X.shape[1]} coefficients; drop some predictors")
    weak = np.abs(np.diag(r)) <= RANK_TOLERANCE * np.linalg.norm(X, axis=0)
    if weak.any():
        name = coefficients[int(np.flatnonzero(weak)[0])]
        raise DataError(f"{name} is a linear combination of the predictors before it; drop it")
