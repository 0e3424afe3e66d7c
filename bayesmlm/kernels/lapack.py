"""Cholesky factor and inverse of a dense matrix, by LAPACK, callable from compiled code without Python.

numba compiles ``np.linalg`` calls for many seconds; a function of LAPACK by its address costs nothing and can be
cached, because compiled code refers to it by name. SciPy exports the addresses (``scipy.linalg.cython_lapack``).
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from numba import carray, njit, types
from numba.extending import get_cython_function_address

# LAPACK reads one character of it. The lower triangle of a C-ordered matrix is the upper one of a Fortran-ordered one.
UPPER = int.from_bytes(b"U   ", "little")
TILE = 32

_INT, _DOUBLE = types.CPointer(types.int32), types.CPointer(types.float64)


def _lapack(name: str) -> Any:
    symbol = f"bayesmlm_{name}"
    llvmlite.binding.add_symbol(symbol, get_cython_function_address("scipy.linalg.cython_lapack", name))
    return types.ExternalFunction(symbol, types.void(_INT, _INT, _DOUBLE, _INT, _INT))


_dpotrf, _dpotri = _lapack("dpotrf"), _lapack("dpotri")


@njit(nogil=True)
def cholesky(mem, at, n, inverse):
    """Replace the lower triangle of the n x n matrix behind the pointer `mem`, from `at` on, by its Cholesky factor.

    If `inverse`, replace a Cholesky factor by the inverse of the whole matrix. False if there is none.
    """
    arguments = np.zeros(3, np.int32)
    arguments[0], arguments[1] = UPPER, n
    uplo, order, info = arguments.ctypes, arguments[1:].ctypes, arguments[2:].ctypes
    matrix = carray(mem, (at + n * n,))[at:].ctypes
    if inverse:
        _dpotri(uplo, order, matrix, order, info)
    else:
        _dpotrf(uplo, order, matrix, order, info)
    return arguments[2] == 0


@njit(nogil=True)
def mirror(mem, at, n):
    """Copy the lower triangle of an n x n matrix into its upper one, tile by tile for the sake of the cache."""
    for top in range(0, n, TILE):
        for left in range(0, top + 1, TILE):
            for i in range(top, min(n, top + TILE)):
                for j in range(left, min(i, left + TILE)):
                    mem[at + j * n + i] = mem[at + i * n + j]
