"""How the kernels are compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_NO_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# Functions that only compiled code calls: compiled with their caller, and part of its cache.
internal = njit(**OPTIONS, **_NO_WRAPPERS)
inlined = njit(**OPTIONS, inline="always")
# Sums whose order the compiler may change, to add several terms at once.
loose = njit(**OPTIONS, **_NO_WRAPPERS, fastmath={"reassoc", "contract", "nsz"})


def stamped(function: Callable) -> Callable:
    """Name a function after the text of all kernels: numba's cache only knows the file that a function is in."""
    text = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    function.__qualname__ += f"_{hashlib.sha256(text).hexdigest()[:12]}"
    return function
