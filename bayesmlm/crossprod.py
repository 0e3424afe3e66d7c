"""Design -> `CrossProducts`: every sum over rows that a Gaussian model needs, so that no later step sees a row.

Notation of Bates, Maechler, Bolker & Walker (2015, J. Stat. Softw. 67(1), section 3): y = X beta + Z b + offset + e,
e ~ N(0, sigma^2 W^-1). All sums are weighted. The blocks that share a grouping factor are one `FactorSums`: the
columns of ``(1 | g) + (0 + x | g)`` meet in the same p x p sums per level as those of ``(1 + x | g)``, and only
Lambda (block-diagonal in the first case) tells the two models apart.

The sums may be taken in another basis than the columns as given: see `Basis`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from bayesmlm.design import Block, Design

RANK_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Basis:
    """The coordinates in which the sums are taken.

    The rows enter as y_c = y - offset - X shift, X_c and Z_c, where X = X_c R and Z = Z_c T for each block. Hence
    beta = shift + R^-1 gamma, b = T^-1 b_c and Lambda_c = T Lambda: the model is the same, the rounding is not.

    Attributes
    ----------
    shift : ndarray, shape (k,)
        Coefficients whose fit was subtracted from the response.
    x : ndarray, shape (k, k)
        The upper triangular R.
    z : tuple of ndarray, shape (p, p)
        The upper triangular T of each block of the design.
    """

    shift: np.ndarray
    x: np.ndarray
    z: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class FactorSums:
    """Sums over the rows of each level of one grouping factor.

    Attributes
    ----------
    blocks : tuple of int
        Positions in `Design.blocks` of the blocks on this factor; their columns stand side by side.
    widths : tuple of int
        Number of columns of each of these blocks; p is their sum.
    ZZ : ndarray, shape (J, p, p)
        Z_j' W Z_j.
    ZX : ndarray, shape (J, p, k)
        Z_j' W X_j.
    Zy : ndarray, shape (J, p)
        Z_j' W y_j.
    """

    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    ZZ: np.ndarray
    ZX: np.ndarray
    Zy: np.ndarray

    @cached_property
    def ZXy(self) -> np.ndarray:
        """Z_j' W [X_j y_j], shape (J, p, k + 1)."""
        return np.concatenate([self.ZX, self.Zy[:, :, None]], axis=2)

    @property
    def n_levels(self) -> int:
        """Number of levels J."""
        return len(self.ZZ)

    @property
    def width(self) -> int:
        """Number of columns p."""
        return self.ZZ.shape[1]

    @property
    def size(self) -> int:
        """Number of random effects q = J p."""
        return self.n_levels * self.width


@dataclass(frozen=True, eq=False)
class CrossProducts:
    """Every sum over rows that a Gaussian model needs.

    Attributes
    ----------
    n : int
        Number of rows.
    log_weights : float
        Sum of the logarithms of the weights (0 without weights).
    basis : Basis
        Coordinates of the sums.
    XX, Xy, yy : ndarray (k, k), ndarray (k,), float
        X'WX, X'Wy and y'Wy.
    factors : tuple of FactorSums
        One per grouping factor, decreasing in J p.
    cross : mapping of (int, int) to bsr_array, shape (J_a p_a, J_b p_b)
        Z_a' W Z_b for factors a < b; rows and columns run over the levels, and over the columns within a level.
    """

    n: int
    log_weights: float
    basis: Basis
    XX: np.ndarray
    Xy: np.ndarray
    yy: float
    factors: tuple[FactorSums, ...]
    cross: Mapping[tuple[int, int], sparse.bsr_array]

    @property
    def n_coefficients(self) -> int:
        """Number of fixed effects k."""
        return len(self.Xy)

    @cached_property
    def gram(self) -> np.ndarray:
        """[X y]' W [X y], shape (k + 1, k + 1)."""
        return np.block([[self.XX, self.Xy[:, None]], [self.Xy[None, :], np.array([[self.yy]])]])


def given_basis(design: Design) -> Basis:
    """Return the basis of the columns as given: shift 0, R and T identities."""
    k = design.X.shape[1]
    return Basis(np.zeros(k), np.eye(k), tuple(np.eye(b.Z.shape[1]) for b in design.blocks))


def orthogonal_basis(design: Design) -> Basis:
    """Return the basis in which the pooled columns are orthogonal and the response is a least-squares residual.

    R is from the QR decomposition of W^(1/2) X, shift is the pooled least-squares fit, and T is from that of
    W^(1/2) Z, scaled so that each column of Z_c has mean square 1. The criterion is then a difference of numbers
    of the size of the residuals, whatever the mean and the unit of y and x; and Lambda_c = I says that the groups
    vary as much as the residuals do, whatever the unit of x, which makes it a start for every optimisation.
    A block whose columns are collinear is only scaled.
    """
    root = _root_weights(design)
    q, r = np.linalg.qr(root[:, None] * design.X)
    response = root * _response(design)
    shift = np.linalg.solve(r, q.T @ response)
    # One refinement: the first residual still carries the rounding of a response with a large mean.
    shift += np.linalg.solve(r, q.T @ (response - root * (design.X @ shift)))
    return Basis(shift, r, tuple(column_basis(root[:, None] * b.Z) for b in design.blocks))


def cross_products(design: Design, basis: Basis | None = None) -> CrossProducts:
    """Sum over rows, once.

    Parameters
    ----------
    design
        Response, fixed columns and blocks.
    basis
        Coordinates of the sums: the columns as given if None; see `orthogonal_basis`.
    """
    basis = given_basis(design) if basis is None else basis
    root = _root_weights(design)
    y = root * (_response(design) - design.X @ basis.shift)
    X = root[:, None] * _in_basis(design.X, basis.x)
    Z = [root[:, None] * _in_basis(b.Z, t) for b, t in zip(design.blocks, basis.z, strict=True)]
    members = _by_factor(design.blocks)
    columns = [np.hstack([Z[i] for i in m]) for m in members]
    index = [design.blocks[m[0]].index for m in members]
    sums = [_factor_sums(design.blocks, m, z, X, y) for m, z in zip(members, columns, strict=True)]
    pairs = [(a, b) for b in range(len(sums)) for a in range(b)]
    return CrossProducts(
        n=design.nobs,
        log_weights=0.0 if design.weights is None else float(np.log(design.weights).sum()),
        basis=basis,
        XX=X.T @ X,
        Xy=X.T @ y,
        yy=float(y @ y),
        factors=tuple(sums),
        cross={
            (a, b): _cross(sums[a], index[a], columns[a], sums[b], index[b], columns[b]) for a, b in pairs
        },
    )


def level_sums(index: np.ndarray, left: np.ndarray, right: np.ndarray, n_levels: int) -> np.ndarray:
    """Return left_j' right_j for each level j: (n, p) and (n, r) give (J, p, r), without an n x p x r array."""
    out = np.empty((n_levels, left.shape[1], right.shape[1]))
    for i in range(left.shape[1]):
        for j in range(right.shape[1]):
            out[:, i, j] = np.bincount(index, left[:, i] * right[:, j], n_levels)
    return out


def _root_weights(design: Design) -> np.ndarray:
    return np.ones(design.nobs) if design.weights is None else np.sqrt(design.weights)


def _response(design: Design) -> np.ndarray:
    return design.y if design.offset is None else design.y - design.offset


def _in_basis(columns: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return columns factor^-1 by substitution, column by column: LAPACK would wake its threads for as little."""
    out = np.empty(columns.shape)
    for j in range(len(factor)):
        out[:, j] = (columns[:, j] - out[:, :j] @ factor[:j, j]) / factor[j, j]
    return out


def column_basis(Z: np.ndarray) -> np.ndarray:
    """Return the upper triangular T with which the columns of Z T^-1 are orthogonal, of mean square 1."""
    mean_square = np.linalg.norm(Z, axis=0) / np.sqrt(len(Z))
    scale = np.where(mean_square > 0, mean_square, 1.0)
    r = np.linalg.qr(Z / scale, mode="r") / np.sqrt(len(Z))
    if len(r) < len(scale) or np.min(np.abs(np.diag(r))) < RANK_TOLERANCE:
        return np.diag(scale)
    return np.sign(np.diag(r))[:, None] * r * scale


def _by_factor(blocks: tuple[Block, ...]) -> list[list[int]]:
    members: list[list[int]] = []
    for i, block in enumerate(blocks):
        same = (m for m in members if _same_factor(blocks[m[0]], block))
        known = next(same, None)
        if known is None:
            members.append([i])
        else:
            known.append(i)
    size = [len(blocks[m[0]].levels) * sum(blocks[i].Z.shape[1] for i in m) for m in members]
    return [members[i] for i in sorted(range(len(members)), key=lambda i: -size[i])]


def _same_factor(a: Block, b: Block) -> bool:
    return len(a.levels) == len(b.levels) and np.array_equal(a.index, b.index)


def _factor_sums(
    blocks: tuple[Block, ...], members: list[int], Z: np.ndarray, X: np.ndarray, y: np.ndarray
) -> FactorSums:
    first = blocks[members[0]]
    levels = len(first.levels)
    return FactorSums(
        blocks=tuple(members),
        widths=tuple(blocks[i].Z.shape[1] for i in members),
        ZZ=level_sums(first.index, Z, Z, levels),
        ZX=level_sums(first.index, Z, X, levels),
        Zy=level_sums(first.index, Z, y[:, None], levels)[:, :, 0],
    )


def _cross(
    a: FactorSums, index_a: np.ndarray, Za: np.ndarray, b: FactorSums, index_b: np.ndarray, Zb: np.ndarray
) -> sparse.bsr_array:
    """Return Z_a' Z_b from the pairs of levels that occur together."""
    pairs, pair = np.unique(index_a.astype(np.int64) * b.n_levels + index_b, return_inverse=True)
    blocks = level_sums(pair, Za, Zb, len(pairs))
    starts = np.searchsorted(pairs, np.arange(a.n_levels + 1, dtype=np.int64) * b.n_levels)
    return sparse.bsr_array((blocks, pairs % b.n_levels, starts), shape=(a.size, b.size))


def with_response(cp: CrossProducts, design: Design, y: np.ndarray) -> CrossProducts:
    """Return the sums for another response: those that hold y are made anew, in the same basis.

    Parameters
    ----------
    cp
        Cross products of `design`.
    design
        Columns, weights and offset.
    y : ndarray, shape (n,)
        The response that takes the place of the design's.
    """
    root = _root_weights(design)
    offset = 0.0 if design.offset is None else design.offset
    moved = root * (y - offset - design.X @ cp.basis.shift)
    Zy: dict[int, np.ndarray] = {}
    for i, (block, t) in enumerate(zip(design.blocks, cp.basis.z, strict=True)):
        Z = root[:, None] * _in_basis(block.Z, t)
        Zy[i] = level_sums(block.index, Z, moved[:, None], len(block.levels))[:, :, 0]
    changed = replace(
        cp,
        Xy=_in_basis(design.X, cp.basis.x).T @ (root * moved),
        yy=float(moved @ moved),
        factors=tuple(replace(f, Zy=np.hstack([Zy[i] for i in f.blocks])) for f in cp.factors),
    )
    # what has been put together from sums without y holds for the new response too
    for name in ("lead", "rest"):
        if name in cp.__dict__:
            changed.__dict__[name] = cp.__dict__[name]
    return changed
