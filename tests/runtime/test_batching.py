"""Batching joins the runs of several threads and gives each its own features."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import BackendError
from edgesplit.runtime import FunctionBackend, OrtBackend, Runtime
from edgesplit.runtime.backends.batching import BatchingBackend

Floats = npt.NDArray[np.float32]


class Counting:
    """The sum of each clip; remembers the sizes of its batches, refuses clips below zero."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()

    def run(self, clips: Floats) -> Floats:
        self.gate.wait(20)
        self.sizes.append(len(clips))
        if clips.min() < 0:
            raise BackendError("below zero")
        return np.asarray(clips.sum(axis=1, keepdims=True), np.float32)

    def close(self) -> None:
        self.closed = True


def clips(*values: float) -> Floats:
    return np.array(values, np.float32)[:, None]


def test_runs_that_wait_together_are_one_batch() -> None:
    inner = Counting()
    batching = BatchingBackend(inner, most=4, wait_ms=20_000)  # only a full batch goes
    with ThreadPoolExecutor(8) as pool:
        given = [clips(value) for value in range(8)]
        results = list(pool.map(batching.run, given))
    batching.close()
    assert [result.tolist() for result in results] == [one.tolist() for one in given]
    assert inner.sizes == [4, 4]


def test_wait_ends_with_what_is_there() -> None:
    inner = Counting()
    batching = BatchingBackend(inner, most=4, wait_ms=0)
    assert batching.run(clips(3, 4)).tolist() == [[3], [4]]
    batching.close()
    assert inner.sizes == [2]


def test_run_larger_than_a_batch_goes_alone_and_whole() -> None:
    inner = Counting()
    batching = BatchingBackend(inner, most=2, wait_ms=0)
    assert batching.run(clips(1, 2, 3)).tolist() == [[1], [2], [3]]
    batching.close()
    assert inner.sizes == [3]


def test_bad_clip_costs_only_its_own_thread() -> None:
    batching = BatchingBackend(Counting(), most=3, wait_ms=20_000)
    with ThreadPoolExecutor(3) as pool:
        bad, *good = [pool.submit(batching.run, clips(value)) for value in (-1, 5, 6)]
        assert [future.result().tolist() for future in good] == [[[5]], [[6]]]
        with pytest.raises(BackendError, match="below zero"):
            bad.result()
    batching.close()


def test_closing_runs_what_waits_and_refuses_what_comes() -> None:
    inner = Counting()
    inner.gate.clear()
    batching = BatchingBackend(inner, most=1, wait_ms=0)
    with ThreadPoolExecutor(3) as pool:
        under_way = [pool.submit(batching.run, clips(value)) for value in (1, 2)]
        while len(batching._waiting) != 1:  # one runs, one waits
            pass
        closing = pool.submit(batching.close)
        while not batching._closed:
            pass
        with pytest.raises(BackendError, match="closed"):
            batching.run(clips(3))
        inner.gate.set()
        assert [future.result().tolist() for future in under_way] == [[[1]], [[2]]]
        closing.result()
    assert inner.closed
    batching.close()


def test_runtime_predicts_through_batches(bundle: Bundle) -> None:
    rng = np.random.default_rng(2)
    given = [rng.random(bundle.preprocessing.clip_shape, np.float32) for _ in range(8)]
    with Runtime(bundle) as plain:
        wanted = [plain.extract(clip) for clip in given]
    batching = BatchingBackend(OrtBackend(bundle.backbone(), threads=1), most=4, wait_ms=20)
    with Runtime(bundle, backend=batching) as runtime, ThreadPoolExecutor(8) as pool:
        for feature, one in zip(pool.map(runtime.extract, given), wanted, strict=True):
            assert feature == pytest.approx(one, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("most", "wait_ms"), [(0, 1), (1, -1)])
def test_batches_of_nothing_are_refused(most: int, wait_ms: float) -> None:
    with pytest.raises(ValueError, match="most"):
        BatchingBackend(FunctionBackend(lambda clips: clips), most=most, wait_ms=wait_ms)
