"""Linear algebra on one thread.

The matrices here are small, and the threads of OpenBLAS wait for each other by spinning: on a machine with something
else to do, the Cholesky factor of a matrix of order 1,000 takes many times as long on two threads as on one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def one_thread() -> AbstractContextManager:
    """Limit linear algebra to one thread; to be entered before other threads start, for them too."""
    return _libraries().limit(limits=1)
