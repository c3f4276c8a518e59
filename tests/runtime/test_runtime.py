"""The runtime serves one head at a time, follows HEAD, and never mixes two heads."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.errors import BackendError, BundleError
from edgesplit.heads.head import Head
from edgesplit.runtime import FunctionBackend, OrtBackend, Prediction, Runtime
from edgesplit.runtime.live.live_head import ServingHead
from edgesplit.storage.files import Store
from tests.bundles import publish_split
from tests.waiting import wait_until

Floats = npt.NDArray[np.float32]


@pytest.fixture
def clip(bundle: Bundle) -> Floats:
    return np.random.default_rng(3).random(bundle.preprocessing.clip_shape, np.float32)


@pytest.fixture
def runtime(bundle: Bundle) -> Iterator[Runtime]:
    with Runtime(bundle, poll_s=0.02) as runtime:
        yield runtime


def wait_for(runtime: Runtime, digest: str) -> None:
    wait_until(lambda: runtime.head_digest == digest)


def pushing_clip(runtime: Runtime) -> Floats:
    """A clip that is decided for the coarse class or below it; some random one is."""
    rng = np.random.default_rng(4)
    for _ in range(500):
        clip = rng.random(runtime.clip_shape, np.float32)
        if runtime.predict(clip).path[0].label == "pushing something":
            return clip
    raise AssertionError("no random clip is decided for the coarse class")


def test_prediction_agrees_with_the_head_in_numpy(runtime: Runtime, clip: Floats) -> None:
    prediction = runtime.predict(clip)
    head = runtime.bundle.head()
    assert prediction.head_digest == head.digest
    assert [prediction.label] == head.classify(runtime.extract(clip))
    assert prediction.score == prediction.path[-1].probability
    assert prediction.timings.backbone_ms > 0


def test_json_of_a_prediction_holds_every_level(runtime: Runtime, clip: Floats) -> None:
    publish_split(runtime.bundle)
    runtime.swap_head()
    content = runtime.predict(pushing_clip(runtime)).to_json()
    assert [step["label"] for step in content["path"]] == ["pushing something", content["label"]]


def test_what_another_process_publishes_goes_live_by_itself(runtime: Runtime) -> None:
    clip = pushing_clip(runtime)
    other = open_bundle(runtime.bundle.path)
    digest = publish_split(other)
    wait_for(runtime, digest)
    prediction = runtime.predict(clip)
    assert prediction.label in ("pushing something left", "pushing something right")
    assert prediction.head_digest == digest


def test_swap_serves_until_head_changes_on_disk(runtime: Runtime) -> None:
    first = runtime.head_digest
    second = publish_split(runtime.bundle)
    wait_for(runtime, second)
    assert runtime.swap_head(first[:8]) == first
    time.sleep(0.1)  # five turns of the watcher: HEAD has not changed, so the swap stands
    assert runtime.head_digest == first
    runtime.bundle.rollback(first)
    time.sleep(0.1)  # the watcher sees that, too: HEAD names what is being served
    third = publish_split(runtime.bundle)
    assert third == second  # the same edit of the same head gives the same bytes
    wait_for(runtime, second)


def test_refused_head_leaves_the_old_one_serving(runtime: Runtime, clip: Floats) -> None:
    old = runtime.head_digest
    edit = runtime.bundle.split_class("pushing", into=["left", "right"])
    (runtime.bundle.path / "heads" / f"{edit.head.digest}.onnx").write_bytes(b"not a head")
    Store().replace_file(runtime.bundle.path / "HEAD", edit.head.digest.encode())
    wait_until(lambda: "damaged" in runtime.refusal)
    assert runtime.predict(clip).head_digest == old
    with pytest.raises(BundleError, match="damaged"):
        runtime.swap_head(edit.head.digest)


def test_refusal_ends_when_head_names_what_is_served_again(runtime: Runtime) -> None:
    head_file = runtime.bundle.path / "HEAD"
    Store().replace_file(head_file, b"garbage")
    wait_until(lambda: "does not hold a digest" in runtime.refusal)
    Store().replace_file(head_file, runtime.head_digest.encode())
    wait_until(lambda: not runtime.refusal)


def test_named_head_is_served_although_head_is_damaged(runtime: Runtime) -> None:
    first = runtime.head_digest
    wait_for(runtime, publish_split(runtime.bundle))
    Store().replace_file(runtime.bundle.path / "HEAD", b"garbage")
    assert runtime.swap_head(first) == first


def test_refused_head_is_followed_when_its_file_arrives_despite_a_manual_swap(
    runtime: Runtime,
) -> None:
    first = runtime.head_digest
    edit = runtime.bundle.split_class("pushing", into=["left", "right"])
    Store().replace_file(runtime.bundle.path / "HEAD", edit.head.digest.encode())
    wait_until(lambda: bool(runtime.refusal))
    runtime.swap_head(first)
    assert runtime.refusal
    path = runtime.bundle.path / "heads" / f"{edit.head.digest}.onnx"
    Store().replace_file(path, edit.head.to_bytes())
    wait_for(runtime, edit.head.digest)


def test_manual_swap_stands_although_another_was_published_before(runtime: Runtime) -> None:
    first = runtime.head_digest
    second = publish_split(runtime.bundle)
    runtime.swap_head(second)
    runtime.swap_head(first)
    time.sleep(0.2)  # ten turns of the watcher: HEAD has not changed since
    assert runtime.head_digest == first


def test_callback_that_fails_neither_stops_nor_repeats_a_swap(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    told = []

    def fail(serving: ServingHead) -> None:
        told.append(serving.digest)
        raise ZeroDivisionError

    with Runtime(bundle, poll_s=0.02, on_swap=fail) as runtime:
        second = publish_split(bundle)
        wait_for(runtime, second)
        first = bundle.rollback().digest
        wait_for(runtime, first)
        wait_until(lambda: len(told) == 2)
    assert told == [second, first]
    assert "on_swap failed" in caplog.text


def test_unexpected_trouble_leaves_the_watcher_watching(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Bundle, digest: str | None = None) -> Head:
        raise MemoryError  # as it comes: without a text

    wait_for(runtime, publish_split(runtime.bundle))
    first = runtime.bundle.rollback().digest
    wait_for(runtime, first)
    with monkeypatch.context() as patch:
        patch.setattr(Bundle, "head", fail)
        second = bundle_digest(runtime)
        wait_until(lambda: runtime.refusal == "MemoryError()")
        assert runtime.head_digest == first
    wait_for(runtime, second)  # tried again after RETRY_S


def bundle_digest(runtime: Runtime) -> str:
    """Publishes by writing HEAD, since `Bundle.head` is out of order."""
    heads = {path.stem for path in (runtime.bundle.path / "heads").glob("*.onnx")}
    (other,) = heads - {runtime.head_digest}
    Store().replace_file(runtime.bundle.path / "HEAD", other.encode())
    return other


def test_swaps_under_load_never_mix_two_heads(runtime: Runtime) -> None:
    first = runtime.head_digest
    second = publish_split(runtime.bundle)
    feature = runtime.extract(pushing_clip(runtime))
    expected: dict[str, tuple[str, ...]] = {}
    for digest in (first, second):
        runtime.swap_head(digest)
        expected[digest] = labels_of(runtime.decide(feature))
    assert expected[first] != expected[second]
    stop, mixed, seen = threading.Event(), [], set()

    def predict() -> None:
        while not stop.is_set():
            prediction = runtime.decide(feature)
            seen.add(prediction.head_digest)
            if labels_of(prediction) != expected[prediction.head_digest]:
                mixed.append(prediction)

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(50):
        runtime.swap_head((first, second)[turn % 2])
    stop.set()
    for thread in threads:
        thread.join()
    assert not mixed
    assert seen == {first, second}


def labels_of(prediction: Prediction) -> tuple[str, ...]:
    return tuple(step.label for step in prediction.path)


def test_mean_feature_of_windows_decides_at_the_root_as_the_unsplit_head(runtime: Runtime) -> None:
    # Scores are linear in the feature at every level, so smoothing is averaging features.
    rng = np.random.default_rng(5)
    windows = rng.standard_normal((40, 5, runtime.bundle.dim)).astype(np.float32)
    before = [runtime.decide(feature.mean(axis=0)).label for feature in windows]
    runtime.swap_head(publish_split(runtime.bundle))
    after = [runtime.decide(feature.mean(axis=0)).path[0].label for feature in windows]
    assert after == before


def test_function_backend_serves_without_onnx_runtime_for_the_backbone(bundle: Bundle) -> None:
    def features(clips: Floats) -> Floats:
        return np.tile(clips.mean(axis=(1, 2, 3, 4))[:, None], (1, bundle.dim))

    with Runtime(bundle, backend=FunctionBackend(features)) as runtime:
        clip = np.full(runtime.clip_shape, 0.5, np.float32)
        assert runtime.extract(clip) == pytest.approx(np.full(bundle.dim, 0.5))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_backbone_that_gives_no_number_is_an_error(bundle: Bundle, value: float) -> None:
    broken = FunctionBackend(lambda clips: np.full((1, bundle.dim), value, np.float32))
    with (
        Runtime(bundle, backend=broken) as runtime,
        pytest.raises(BackendError, match="not finite"),
    ):
        runtime.predict(np.zeros(runtime.clip_shape, np.float32))


def test_clip_of_another_shape_is_the_callers_mistake(runtime: Runtime) -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 4, 4\), want \(3, 2, 4, 4\)"):
        runtime.predict(np.zeros((3, 4, 4), np.float32))


@pytest.mark.parametrize("kind", [np.uint8, np.int64, bool])
def test_clip_of_whole_numbers_is_refused(runtime: Runtime, kind: type) -> None:
    with pytest.raises(ValueError, match="divide by 255"):
        runtime.predict(np.zeros(runtime.clip_shape, kind))


def test_feature_of_another_size_or_without_numbers_is_refused(runtime: Runtime) -> None:
    for feature in (np.zeros(3, np.float32), np.full(runtime.bundle.dim, np.nan, np.float32)):
        with pytest.raises(ValueError, match="finite numbers"):
            runtime.decide(feature)


def test_closed_runtime_says_so(bundle: Bundle) -> None:
    runtime = Runtime(bundle)
    runtime.close()
    runtime.close()
    with pytest.raises(BackendError, match="closed"):
        runtime.predict(np.zeros(runtime.clip_shape, np.float32))


def test_closed_backend_says_so(bundle: Bundle) -> None:
    backend = OrtBackend(bundle.backbone())
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(np.zeros((1, *bundle.preprocessing.clip_shape), np.float32))


def test_provider_that_does_not_start_is_an_error_not_a_fallback(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="CUDAExecutionProvider"):
        OrtBackend(bundle.backbone(), providers=["CUDAExecutionProvider"])


def test_polling_slower_than_a_second_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="poll_s"):
        Runtime(bundle, poll_s=5)


def test_head_that_computes_something_else_in_onnx_runtime_is_refused(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WrongSession:
        def run(self, outputs: list[str], feeds: dict[str, Floats]) -> list[npt.NDArray[Any]]:
            right = head.evaluate(feeds["features"])
            return [right.logits + 1, right.probabilities, right.class_index]

    monkeypatch.setattr(
        "edgesplit.runtime.live.live_head.open_session", lambda *_, **__: WrongSession()
    )
    with pytest.raises(BackendError, match="differ from numpy's"):
        ServingHead(head)


@pytest.mark.parametrize("value", [3e38, -3e38])
def test_logits_that_overflow_are_an_error(bundle: Bundle, clip: Floats, value: float) -> None:
    backend = FunctionBackend(lambda clips: np.full((len(clips), bundle.dim), value, np.float32))
    with Runtime(bundle, backend=backend) as runtime:
        for decide in (runtime.predict, lambda _: runtime.decide_all([runtime.extract(clip)])):
            with pytest.raises(BackendError, match=r"not finite: .* is 3e\+38\."):
                decide(clip)


def test_the_name_of_a_backend_is_none(bundle: Bundle) -> None:
    with pytest.raises(TypeError, match=r"such as open_backend\(bundle, 'cuda'\)\.backend,"):
        Runtime(bundle, backend="cuda")  # type: ignore[arg-type]


def test_runtime_needs_no_write_access(bundle: Bundle) -> None:
    before = {path: path.stat().st_mtime_ns for path in bundle.path.rglob("*")}
    with Runtime(bundle) as runtime:
        runtime.predict(np.zeros(runtime.clip_shape, np.float32))
    assert {path: path.stat().st_mtime_ns for path in bundle.path.rglob("*")} == before
