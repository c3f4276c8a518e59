"""A small swap benchmark: no window is lost, reported twice or mixed during swaps."""

import numpy as np

from benchmarks.soak import swap
from edgesplit.heads.head import Head
from edgesplit.runtime import Prediction
from edgesplit.runtime.live.runtime import Timings


def test_swaps_during_a_stream_lose_and_mix_nothing() -> None:
    # Not live: a machine that stalls for a frame would lose windows by policy, not by swapping.
    found = swap.measure(4.0, 1, live=False)
    assert found["published"] == 30
    assert found["swaps"] >= 20
    assert found["windows"] > 100
    assert (found["lost"], found["twice"], found["mixed"]) == (0, 0, 0)


def test_a_result_of_another_head_is_found() -> None:
    head = Head.from_arrays(np.eye(3), np.zeros(3), ["a", "b", "c"])
    other = Head.from_arrays(np.eye(3)[::-1], np.zeros(3), ["a", "b", "c"])
    feature = np.array([3, 0, 0], np.float32)
    result = head.evaluate(feature)
    path = head.path(int(result.class_index[0]), result.probabilities[0])
    told = Prediction("a", path[-1].probability, path, head.digest, Timings(0, 0))
    assert not swap.wrong(told, head, feature)
    assert swap.wrong(told, other, feature)
