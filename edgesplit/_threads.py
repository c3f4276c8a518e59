"""Limit BLAS to one thread: the matrices of an edit are too small for more."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

__all__ = ["single_threaded_blas"]

Function = TypeVar("Function", bound=Callable[..., Any])


def single_threaded_blas(function: Function) -> Function:
    """Limit BLAS to one thread while the function runs; several threads may call it.

    The matrices of an edit are small. On a device whose cores also process frames, threads that
    wait for one another make the edit at least ten times slower. The limit applies to the process,
    and ends with the last call.
    """
    return _one_core()(function)


_lock = threading.Lock()
_n_inside = 0
_limit: Any = None


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    # A count, since calls may overlap without being nested: one call's end must not restore the
    # limit that another call has set.
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
    import numpy as np  # the search finds only libraries that are loaded
    from threadpoolctl import ThreadpoolController

    del np
    return ThreadpoolController()
