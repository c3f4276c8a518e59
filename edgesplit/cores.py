"""How many cores linear algebra takes: one, for what is small."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

__all__ = ["on_one_core"]

Given = ParamSpec("Given")
Result = TypeVar("Result")


def on_one_core(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Lets BLAS take one thread while the function runs.

    What an edit multiplies is small, and on a device whose cores have frames to look at, threads
    that wait for one another make it ten times slower and more. The limit is the process's.
    """

    @wraps(function)
    def limited(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with _controller().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


@lru_cache(maxsize=1)  # looking for the libraries takes milliseconds
def _controller() -> Any:
    import numpy as np  # its BLAS must be there to be found
    from threadpoolctl import ThreadpoolController

    del np
    return ThreadpoolController()
