"""BLAS takes one thread inside, and what it took before when the last one has left."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from edgesplit._threads import single_threaded_blas

NAME = np.show_config("dicts")["Build Dependencies"]["blas"]["name"]


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {int(pool["num_threads"]) for pool in threadpool_info() if pool["user_api"] == "blas"}


@single_threaded_blas
def inside() -> set[int]:
    return blas_threads()


# Elsewhere than in a wheel numpy may stand on a BLAS without threads.
@pytest.mark.skipif("openblas" not in NAME, reason=f"numpy stands on {NAME}")
def test_one_thread_inside_and_the_old_number_after() -> None:
    with threadpool_limits(2, "blas"):
        assert blas_threads() == {2}
        assert inside() == {1}
        assert blas_threads() == {2}


def test_calls_that_overlap_leave_nothing_behind() -> None:
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    @single_threaded_blas
    def first() -> None:
        first_in.set()
        second_in.wait(20)

    @single_threaded_blas
    def second() -> None:
        second_in.set()
        first_out.wait(20)

    with threadpool_limits(2, "blas"):
        before = blas_threads()
        threads = [threading.Thread(target=first), threading.Thread(target=second)]
        threads[0].start()
        first_in.wait(20)
        threads[1].start()
        threads[0].join(20)
        first_out.set()
        threads[1].join(20)
        assert blas_threads() == before


def test_an_error_inside_ends_the_limit() -> None:
    @single_threaded_blas
    def fail() -> None:
        raise ZeroDivisionError

    before = blas_threads()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert blas_threads() == before
