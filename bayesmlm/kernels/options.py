"""How the kernels are compiled."""

from __future__ import annotations

from typing import Any

from numba import njit

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_NO_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# Functions that only compiled code calls: compiled with their caller, and part of its cache.
internal = njit(**OPTIONS, **_NO_WRAPPERS)
inlined = njit(**OPTIONS, inline="always")
