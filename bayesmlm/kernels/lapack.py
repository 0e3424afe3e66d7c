"""Cholesky factor and inverse of a dense matrix, by LAPACK, callable from compiled code without Python.

numba compiles ``np.linalg`` calls for many seconds; a function of LAPACK by its address costs nothing and can be
cached, because compiled code refers to it by name. SciPy exports the addresses (``scipy.linalg.cython_lapack``).
"""

from __future__ import annotations

import llvmlite.binding
import numpy as np
from numba import njit, types
from numba.extending import get_cython_function_address

UPPER = 85  # "U": the lower triangle of a C-ordered matrix is the upper one of a Fortran-ordered matrix

_CHAR, _INT, _DOUBLE = (types.CPointer(t) for t in (types.int8, types.int32, types.float64))


def _lapack(name: str) -> types.ExternalFunction:
    symbol = f"bayesmlm_{name}"
    llvmlite.binding.add_symbol(symbol, get_cython_function_address("scipy.linalg.cython_lapack", name))
    return types.ExternalFunction(symbol, types.void(_CHAR, _INT, _DOUBLE, _INT, _INT))


_dpotrf, _dpotri = _lapack("dpotrf"), _lapack("dpotri")


@njit("boolean(float64[:, ::1])", cache=True, nogil=True)
def cholesky(a):
    """Overwrite the lower triangle of a (n, n) with its Cholesky factor; False if a is not positive definite."""
    uplo, n, info = np.full(1, UPPER, np.int8), np.full(1, len(a), np.int32), np.zeros(1, np.int32)
    _dpotrf(uplo.ctypes, n.ctypes, a.ctypes, n.ctypes, info.ctypes)
    return info[0] == 0


@njit("void(float64[:, ::1])", cache=True, nogil=True)
def mirror(a):
    """Copy the lower triangle of a square matrix into its upper one, tile by tile for the sake of the cache."""
    n, tile = len(a), 32
    for top in range(0, n, tile):
        for left in range(0, top + 1, tile):
            for i in range(top, min(n, top + tile)):
                for j in range(left, min(i, left + tile)):
                    a[j, i] = a[i, j]


@njit("void(float64[:, ::1])", cache=True, nogil=True)
def invert_from_cholesky(a):
    """Overwrite a (n, n), a Cholesky factor in its lower triangle, with the inverse of the whole matrix."""
    uplo, n, info = np.full(1, UPPER, np.int8), np.full(1, len(a), np.int32), np.zeros(1, np.int32)
    _dpotri(uplo.ctypes, n.ctypes, a.ctypes, n.ctypes, info.ctypes)
    mirror(a)
