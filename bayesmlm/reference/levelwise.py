"""Products with matrices that are block-diagonal by level, and with the cross products between two factors.

The cross products come dense or sparse (see `CrossProducts.lead`); the functions here are the only place that
needs to know which.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from bayesmlm.crossprod import block_diagonal


def block_diag(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Return the dense matrix with the given square matrices along its diagonal."""
    if len(matrices) == 1:
        return matrices[0]
    out = np.zeros((sum(map(len, matrices)),) * 2)
    start = 0
    for m in matrices:
        out[start : start + len(m), start : start + len(m)] = m
        start += len(m)
    return out


def per_level(matrices: Sequence[np.ndarray], n_levels: Sequence[int], right: np.ndarray) -> np.ndarray:
    """Return M right, M block-diagonal: the f-th p x p matrix repeated for each of the f-th factor's levels."""
    out, start = np.empty_like(right), 0
    for m, levels in zip(matrices, n_levels, strict=True):
        rows = slice(start, start + levels * len(m))
        out[rows] = (m @ right[rows].reshape(levels, len(m), -1)).reshape(rows.stop - rows.start, -1)
        start = rows.stop
    return out


def multiply(blocks: np.ndarray, right: np.ndarray | csr_array) -> np.ndarray | csr_array:
    """Return M right, shape (J r, m), M block-diagonal with the J blocks of shape (r, p), right (J p, m)."""
    if isinstance(right, np.ndarray):
        levels, r, p = blocks.shape
        return (blocks @ right.reshape(levels, p, -1)).reshape(levels * r, -1)
    return csr_array(block_diagonal(blocks) @ right)


def gram(matrix: np.ndarray | csr_array) -> np.ndarray:
    """Return matrix'matrix, dense."""
    product = matrix.T @ matrix
    return product if isinstance(product, np.ndarray) else product.toarray()


def sandwich(matrix: np.ndarray | csr_array, K: np.ndarray, p: int) -> np.ndarray:
    """Return sum_j E_j K E_j', shape (p, p), for the p rows E_j of each level; never dense if `matrix` is not."""
    if isinstance(matrix, np.ndarray):
        E = matrix.reshape(-1, p, len(K))
        return np.tensordot((matrix @ K).reshape(E.shape), E, axes=([0, 2], [0, 2]))
    out = np.empty((p, p))
    for a in range(p):
        for b in range(a + 1):
            pairs = (matrix[a::p].T @ matrix[b::p]).tocoo()
            out[a, b] = out[b, a] = (pairs.data * K[pairs.row, pairs.col]).sum()
    return out
