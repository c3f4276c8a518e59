"""How many cores linear algebra takes: one, for what is small."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

__all__ = ["single_threaded_blas"]

Function = TypeVar("Function", bound=Callable[..., Any])


def single_threaded_blas(function: Function) -> Function:
    """Lets BLAS take one thread while the function runs; several threads may call it.

    What an edit multiplies is small, and on a device whose cores have frames to look at, threads
    that wait for one another make it ten times slower and more. The limit is the process's, and
    goes when the last call has ended.
    """
    return _one_core()(function)


_lock = threading.Lock()
_n_inside = 0
_limit: Any = None


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    # Limits that overlap without being nested would restore one another's.
    global _n_inside, _limit
    with _lock:
        if _n_inside == 0:
            _limit = _controller().limit(limits=1, user_api="blas")
        _n_inside += 1
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if _n_inside == 0:
                _limit.restore_original_limits()


@lru_cache(maxsize=1)  # looking for the libraries takes milliseconds
def _controller() -> Any:
    import numpy as np  # its BLAS must be there to be found
    from threadpoolctl import ThreadpoolController

    del np
    return ThreadpoolController()
