"""Linear algebra on one thread.

The matrices here are small, and the threads of OpenBLAS wait for each other by spinning: on a machine with something
else to do, the Cholesky factor of a matrix of order 1,000 takes many times as long on two threads as on one.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def one_thread() -> AbstractContextManager:
    """Limit linear algebra to one thread; to be entered before other threads start, for them too.

    The limit is one of the process. Threads that set and lift it in turns would leave it set for good, so only the main
    thread does.
    """
    if threading.current_thread() is not threading.main_thread():
        return nullcontext()
    return _libraries().limit(limits=1)
