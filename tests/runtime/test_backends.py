"""Every backend keeps the same contract; TensorRT's through a fake, and for real with a GPU."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.bundle.bundle import Bundle
from edgesplit.cli.render.stream import backend_text
from edgesplit.errors import BackendError, EdgesplitError, VariantError
from edgesplit.runtime import (
    Backend,
    FunctionBackend,
    OrtBackend,
    Runtime,
    build_engine,
    open_backend,
    open_engine,
)
from edgesplit.runtime.backends.batching import BatchingBackend
from edgesplit.runtime.backends.engines import TensorRT
from edgesplit.runtime.backends.select import PassedOver
from tests.fake_gpu import HERE, FakeCuda, FakeTensorRT, fake_module

Floats = npt.NDArray[np.float32]


pytestmark = pytest.mark.usefixtures("cache")


def make_ort(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Backend:
    return OrtBackend(bundle.backbone(), threads=1)


def make_function(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Backend:
    return FunctionBackend(OrtBackend(bundle.backbone(), threads=1).run)


def make_batching(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Backend:
    return BatchingBackend(OrtBackend(bundle.backbone(), threads=1), most=8, wait_ms=1)


def make_fake_engine(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Backend:
    use_fake_gpu(monkeypatch)
    fake = FakeTensorRT()
    build_engine(bundle, tensorrt=fake)
    return open_engine(bundle, platform=fake.platform())


def make_engine(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Backend:
    try:
        TensorRT().platform()
    except EdgesplitError as error:
        pytest.skip(str(error))
    build_engine(bundle)
    return open_engine(bundle)


def use_fake_gpu(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    for module in ("tensorrt", "select"):
        monkeypatch.setattr(f"edgesplit.runtime.backends.{module}.find_device", lambda: None)
    monkeypatch.setattr("edgesplit.runtime.backends.tensorrt.load_cuda", lambda: fake)
    monkeypatch.setattr("edgesplit.runtime.backends.tensorrt._load", fake_module)
    return fake


MAKERS: list[Callable[[Bundle, pytest.MonkeyPatch], Backend]] = [
    make_ort,
    make_function,
    make_batching,
    make_fake_engine,
]


@pytest.fixture(params=[*MAKERS, pytest.param(make_engine, marks=pytest.mark.gpu)])
def backend(
    request: pytest.FixtureRequest, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    backend: Backend = request.param(bundle, monkeypatch)
    yield backend
    backend.close()


@pytest.fixture
def clips(bundle: Bundle) -> Floats:
    rng = np.random.default_rng(1)
    return rng.random((8, *bundle.preprocessing.clip_shape), np.float32)


@pytest.fixture
def wanted(bundle: Bundle, clips: Floats) -> Floats:
    return OrtBackend(bundle.backbone(), threads=1).run(clips)


def same(features: Floats, wanted: Floats) -> None:
    # A GPU may round as TF32 does.
    np.testing.assert_allclose(features, wanted, rtol=2e-3, atol=1e-3 * np.abs(wanted).max())


def test_features_of_any_batch_are_the_backbones(
    backend: Backend, clips: Floats, wanted: Floats
) -> None:
    for size in (1, 3, 8, 1):
        features = backend.run(clips[:size])
        assert features.dtype == np.float32
        same(features, wanted[:size])


def test_a_result_is_valid_for_good(backend: Backend, clips: Floats, wanted: Floats) -> None:
    first = backend.run(clips[:2])
    backend.run(clips[2:4])
    same(first, wanted[:2])


def test_clips_that_do_not_lie_in_one_piece_are_taken(
    backend: Backend, clips: Floats, wanted: Floats
) -> None:
    reversed_twice = clips[::-1].copy()[::-1]
    assert not reversed_twice.flags.c_contiguous
    same(backend.run(reversed_twice), wanted)


def test_every_thread_gets_the_features_of_its_own_clips(
    backend: Backend, clips: Floats, wanted: Floats
) -> None:
    def run(turn: int) -> tuple[int, Floats]:
        return turn % 8, backend.run(clips[turn % 8][None])

    with ThreadPoolExecutor(8) as pool:
        for place, features in pool.map(run, range(80)):
            same(features, wanted[place : place + 1])


def test_a_failed_run_leaves_the_backend_usable(
    backend: Backend, clips: Floats, wanted: Floats
) -> None:
    with pytest.raises(BackendError):
        backend.run(clips[:1, :, :, :1])
    same(backend.run(clips[:1]), wanted[:1])


def test_closing_under_way_ends_every_run_with_its_features_or_an_error(
    backend: Backend, clips: Floats, wanted: Floats
) -> None:
    started, failed = threading.Barrier(5), []

    def run() -> None:
        started.wait()
        for _ in range(1000):
            try:
                features = backend.run(clips[:1])
            except BackendError as error:
                failed.append(str(error))
                return
            same(features, wanted[:1])

    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(run) for _ in range(4)]
        started.wait()
        backend.close()
        for thread in threads:
            thread.result()
    assert all("closed" in words for words in failed)


def test_a_closed_backend_says_so(backend: Backend, clips: Floats) -> None:
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(clips[:1])


# The choice


def test_a_machine_without_a_gpu_gets_the_cpu_and_is_told_why(bundle: Bundle) -> None:
    opened = open_backend(bundle)
    opened.backend.close()
    assert (opened.name, opened.description) == ("cpu", "ONNX Runtime, CPUExecutionProvider")
    assert opened.passed_over == (
        PassedOver("tensorrt", "no engine in the cache"),
        PassedOver("cuda", "no CUDA device"),
    )
    assert backend_text(opened) == (
        "ONNX Runtime, CPUExecutionProvider; TensorRT: no engine in the cache; CUDA: no CUDA device"
    )


def test_an_engine_that_fits_comes_first(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_gpu(monkeypatch)
    fake = FakeTensorRT()
    build_engine(bundle, tensorrt=fake)
    build_engine(bundle, precision="fp16", tensorrt=fake)
    fake.n_starts = 0
    opened = open_backend(bundle, tensorrt=fake)
    assert fake.n_starts == 1
    clip = np.zeros(bundle.preprocessing.clip_shape, np.float32)
    with Runtime(bundle, backend=opened.backend) as runtime:
        runtime.predict(clip)
    assert (opened.name, opened.passed_over) == ("tensorrt", ())
    assert opened.description == "tensorrt 10.3.0, fp16 engine"  # fewer bits, and it agreed


def test_an_engine_of_another_device_is_none(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_gpu(monkeypatch)
    build_engine(bundle, tensorrt=FakeTensorRT())
    other = FakeTensorRT(replace(HERE, gpu="Thor sm110"))
    with pytest.raises(BackendError, match=r"None of 1 engines .* is for Thor"):
        open_backend(bundle, "tensorrt", tensorrt=other)
    opened = open_backend(bundle, tensorrt=other)
    reason = "no engine for Thor sm110 with tensorrt 10.3.0 in the cache"
    assert (opened.name, opened.passed_over[0].reason) == ("cpu", reason)


def test_what_is_asked_for_and_not_there_is_an_error(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="no CUDA device"):
        open_backend(bundle, "cuda")
    with pytest.raises(BackendError, match="no engine"):
        open_backend(bundle, "tensorrt")
    with pytest.raises(VariantError, match="no int8 variant"):
        open_backend(bundle, variant="int8")


def test_nonsense_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="name must be one of"):
        open_backend(bundle, "gpu")  # type: ignore[arg-type]
    with pytest.raises(BackendError, match=r"not a variant\. Omit the int8 variant"):
        open_backend(bundle, "tensorrt", variant="int8")
