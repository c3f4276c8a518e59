"""Many threads predict while others swap and roll back; every answer is one head's."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.bundle.bundle import Bundle
from edgesplit.errors import BackendError, ConflictError, EditError
from edgesplit.heads.head import Head
from edgesplit.runtime import OrtBackend, Prediction, Runtime
from edgesplit.runtime.backends.batching import BatchingBackend

ROUNDS = int(os.environ.get("EDGESPLIT_ROUNDS", "30"))
N_FEATURES = 32

Floats = npt.NDArray[np.float32]


def published(bundle: Bundle) -> list[Head]:
    """Four heads of the bundle, each an edit of the one before."""
    bundle.publish(bundle.split_class("pushing", into=["left", "right"]))
    bundle.publish(
        bundle.split_class("pushing something left", into=["up", "down"], accept_doubt=True)
    )
    bundle.publish(bundle.split_class("holding", into=["up", "down"], composition="flat"))
    return [bundle.head(version.digest) for version in bundle.history()]


def test_every_result_is_that_of_the_head_it_names(bundle: Bundle) -> None:
    heads = {head.digest: head for head in published(bundle)}
    features = np.random.default_rng(3).standard_normal((N_FEATURES, bundle.dim), np.float32) * 3
    wanted = {digest: paths(head, features) for digest, head in heads.items()}
    done = threading.Event()
    with Runtime(bundle) as runtime, ThreadPoolExecutor(11) as pool:

        def predict() -> list[tuple[int, Prediction]]:
            results: list[tuple[int, Prediction]] = []
            while not done.is_set():
                place = len(results) % N_FEATURES
                results.append((place, runtime.decide(features[place])))
            return results

        def swap() -> None:
            for turn in range(ROUNDS):
                runtime.swap_head([*heads][turn % len(heads)])

        def roll_back() -> None:
            for turn in range(ROUNDS):
                with suppress(EditError, ConflictError):  # it is live already
                    bundle.rollback([*heads][-1 - turn % len(heads)])
                    runtime.swap_head()

        predicting = [pool.submit(predict) for _ in range(8)]
        changing = [pool.submit(work) for work in (swap, swap, roll_back)]
        try:
            for future in changing:
                future.result()
        finally:
            done.set()
        results = [result for future in predicting for result in future.result()]
    assert {prediction.head_digest for _, prediction in results} == set(heads)
    for place, prediction in results:
        labels, probabilities = wanted[prediction.head_digest][place]
        assert prediction.label == labels[-1]
        assert tuple(step.label for step in prediction.path) == labels
        got = [step.probability for step in prediction.path]
        np.testing.assert_allclose(got, probabilities, rtol=1e-4, atol=1e-6)
        assert prediction.score == got[-1]


def paths(
    head: Head, features: npt.NDArray[np.float32]
) -> list[tuple[tuple[str, ...], list[float]]]:
    result = head.evaluate(features)
    found = [
        head.path(int(column), row)
        for column, row in zip(result.class_index, result.probabilities, strict=True)
    ]
    return [(tuple(s.label for s in path), [s.probability for s in path]) for path in found]


@pytest.mark.parametrize("batched", [False, True])
def test_closing_under_load_ends_every_call_with_a_result_or_one_error(
    bundle: Bundle, batched: bool
) -> None:
    inner = OrtBackend(bundle.backbone(), threads=1)
    runtime = Runtime(bundle, backend=BatchingBackend(inner) if batched else inner)
    clip = np.zeros(runtime.clip_shape, np.float32)
    started, ends = threading.Barrier(5), []

    def predict() -> None:
        started.wait()
        try:
            while True:
                runtime.predict(clip)
        except BackendError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=predict) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    runtime.close()
    for thread in threads:
        thread.join(20)
    assert len(ends) == 4
    assert all("closed" in words for words in ends)


def test_nothing_is_left_of_a_runtime_that_was_closed(bundle: Bundle) -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        with Runtime(bundle, rollback_above=0.5) as runtime:
            runtime.start_shadow(bundle.head())
            runtime.predict(np.zeros(runtime.clip_shape, np.float32))
    assert set(threading.enumerate()) == before
