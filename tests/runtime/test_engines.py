"""Engines: what is built, compared, kept and removed; and what happens when any of it fails.

No GPU is needed but for the tests that are marked. TensorRT-RTX builds on a CPU, where it is
installed; what runs an engine then is a fake.
"""

import ast
import hashlib
import json
import operator
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import Result

import edgesplit
from edgesplit._isolated import run_isolated
from edgesplit._types import EnginePrecision
from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.fp16 import to_fp16
from edgesplit.backbone.identity import feature_space, inline
from edgesplit.backbone.int8 import to_int8
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.cli.backbone import engine as engine_commands
from edgesplit.errors import (
    BackendError,
    EdgesplitError,
    EngineError,
    IsolatedProcessError,
    MissingExtraError,
    VariantError,
)
from edgesplit.heads.head import Head
from edgesplit.runtime import Runtime
from edgesplit.runtime.backends import cuda, engines
from edgesplit.runtime.backends import tensorrt as trt
from edgesplit.runtime.backends.agreement import Agreement, check_agreement
from edgesplit.runtime.backends.artifacts import make_key
from edgesplit.runtime.backends.engines import (
    ENGINES,
    TOLERANCES,
    Engine,
    TensorRT,
    build_engine,
    open_engine,
)
from edgesplit.runtime.backends.tensorrt import Batch, EngineBackend, Plan, build_plan, run_plan
from edgesplit.video.preprocessing import Preprocessing
from tests.backbones import CLIP_SHAPE, DIM, clips, convolutions, massive, transformer
from tests.bundles import contents
from tests.commands import run
from tests.fake_gpu import HERE, FakeCuda, FakeTensorRT, fake_module

PACKAGE = Path(edgesplit.__file__).parent
DEMO = PACKAGE / "assets" / "demo" / "motion.bundle"

rtx = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed: pip --group engine"
)

Floats = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGESPLIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# Names

# Present in the bindings of 10.3 (JetPack 6), 10.16 (JetPack 7) and 11.4, each looked up in all.
TENSORRT_NAMES = {
    *("Builder", "ILogger", "NetworkDefinitionCreationFlag", "OnnxParser", "Runtime"),
    *("STRONGLY_TYPED", "add_optimization_profile", "build_serialized_network"),
    *("create_builder_config", "create_execution_context", "create_network"),
    *("create_optimization_profile", "create_timing_cache", "deserialize_cuda_engine"),
    *("execute_async_v3", "get_tensor_profile_shape", "get_tensor_shape", "get_timing_cache"),
    *("parse", "serialize", "set_input_shape", "set_shape", "set_tensor_address"),
    *("set_timing_cache", "log", "name"),
}
# What else trt.py reaches with a dot: its own, Python's, numpy's and CUDA's.
OTHER_NAMES = {
    *("__init__", "__name__", "__version__", "append", "batch", "best", "callback", "clip_shape"),
    *("close", "ctypes", "data", "environ", "float32", "get", "getLogger", "INFO", "last_errors"),
    *("least", "most", "nbytes", "pop_all", "prod", "resize", "run", "shape", "strip", "rstrip"),
    *("WARNING", "Lock", "ExitStack", "NDArray", "ascontiguousarray", "concatenate", "empty"),
    *("join", "cudaFree", "cudaMalloc", "cudaMemcpyAsync", "cudaMemcpyDeviceToHost"),
    *("cudaMemcpyHostToDevice", "cudaMemcpyKind", "cudaStreamCreate", "cudaStreamDestroy"),
    *("cudaStreamSynchronize",),
}


def test_only_names_that_every_tensorrt_has_are_used() -> None:
    source = ast.parse(Path(trt.__file__).read_text())
    reached = {node.attr for node in ast.walk(source) if isinstance(node, ast.Attribute)}
    own = {name for name in reached if name.startswith("_") and not name.startswith("__")}
    assert reached - own - OTHER_NAMES == TENSORRT_NAMES


def test_one_module_knows_tensorrt() -> None:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.split(".")[0] in trt.MODULES], file


@rtx
def test_tensorrt_rtx_has_every_name() -> None:
    module = import_module("tensorrt_rtx")
    kinds = [getattr(module, name) for name in dir(module)]
    known = {name for kind in kinds for name in dir(kind)} | set(dir(module))
    assert known >= TENSORRT_NAMES


# Building, for real


def plan_of(
    backbone: bytes, clip_shape: tuple[int, ...] = CLIP_SHAPE, batch: Batch | None = None
) -> Plan:
    return run_isolated(build_plan, backbone, clip_shape, batch or Batch(), b"")


@rtx
@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(convolutions, id="cnn fp32"),
        pytest.param(lambda: to_fp16(convolutions(), clips()).data, id="cnn fp16"),
        pytest.param(lambda: to_int8(convolutions(), clips(), signed=True).data, id="cnn Q/DQ"),
        pytest.param(transformer, id="vit fp32"),
        pytest.param(lambda: to_fp16(transformer(), clips()).data, id="vit fp16"),
        pytest.param(
            lambda: to_fp16(transformer(taken_apart=True), clips()).data, id="vit taken apart fp16"
        ),
        pytest.param(lambda: to_int8(transformer(), clips(), signed=True).data, id="vit Q/DQ"),
    ],
)
def test_tensorrt_builds_every_kind(
    backbone: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESPLIT_TENSORRT", "tensorrt_rtx")
    plan = plan_of(backbone())
    assert len(plan.engine) > 10_000
    assert plan.timing_cache


@rtx
def test_times_that_are_none_are_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESPLIT_TENSORRT", "tensorrt_rtx")
    assert run_isolated(build_plan, convolutions(), CLIP_SHAPE, Batch(), b"garbage").engine


@rtx
@pytest.mark.parametrize(
    ("backbone", "clip_shape", "reason"),
    [
        (b"no ONNX", CLIP_SHAPE, "cannot read the backbone.*Failed to parse the ONNX model"),
        (convolutions(), (3, 4, 16), "could not build the engine: .*clip"),
    ],
    ids=["garbage", "other shape"],
)
def test_a_failed_build_says_why(
    backbone: bytes, clip_shape: tuple[int, ...], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESPLIT_TENSORRT", "tensorrt_rtx")
    with pytest.raises(EngineError, match=reason):
        plan_of(backbone, clip_shape)


class BuildsHere(FakeTensorRT):
    """TensorRT-RTX builds, and ONNX Runtime runs what it was built from."""

    def __init__(self) -> None:
        super().__init__(replace(HERE, tensorrt=run_isolated(trt.version)))
        self._backbones: dict[bytes, bytes] = {}

    def build(self, backbone: bytes, **options: Any) -> Plan:
        self.n_builds += 1
        plan = TensorRT.build(self, backbone, **options)
        self._backbones[plan.engine] = backbone
        return plan

    def run(self, engine: bytes, *given: Any, **options: Any) -> Floats:
        return super().run(self._backbones[engine], *given, **options)


@rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_demo_bundles_engine_is_built_kept_and_listed(
    precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESPLIT_TENSORRT", "tensorrt_rtx")
    monkeypatch.setattr(engines, "TensorRT", BuildsHere)
    options = ("--bundle", DEMO, "--precision", precision)
    first = run("engine", "build", *options)
    assert first.exit_code == 0, first.output
    assert f"{precision}, batch 1,1,8, " in first.stdout
    assert "Orin sm87, CUDA 12.6, tensorrt_rtx 1." in first.stdout
    (engine,) = ENGINES.list()
    assert (
        engine.size_bytes
        == (ENGINES.folder / f"{engine.key}.{engine.digest}.engine").stat().st_size
        > 2e6
    )
    again = run("engine", "build", *options)
    assert "exists already" in again.stdout


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_serves_a_bundle(precision: Any) -> None:
    try:
        TensorRT().platform()
    except EdgesplitError as error:
        pytest.skip(str(error))
    bundle = open_bundle(DEMO)
    build_engine(bundle, precision=precision)
    clip = np.random.default_rng(0).random(bundle.preprocessing.clip_shape, np.float32)
    backend = open_engine(bundle, precision=precision)
    with Runtime(bundle) as slow, Runtime(bundle, backend=backend) as fast:
        assert fast.predict(clip).label == slow.predict(clip).label


# The cache


@pytest.fixture
def fake() -> FakeTensorRT:
    return FakeTensorRT()


def test_an_engine_is_built_once_and_no_head_asks_for_another(
    bundle: Bundle, fake: FakeTensorRT
) -> None:
    before = contents(bundle.path)
    first = build_engine(bundle, tensorrt=fake)
    assert first.new
    assert contents(bundle.path) == before
    bundle.publish(bundle.split_class("pushing", into=["left", "right"]))
    second = build_engine(bundle, tensorrt=fake)
    assert (second.artifact, second.new, fake.n_builds) == (first.artifact, False, 1)


@pytest.mark.parametrize("field", ["tensorrt", "cuda", "gpu"])
def test_another_device_or_version_has_an_engine_of_its_own(
    bundle: Bundle, fake: FakeTensorRT, field: str
) -> None:
    other = FakeTensorRT(replace(HERE, **{field: "another"}))
    keys = {build_engine(bundle, tensorrt=tensorrt).artifact.key for tensorrt in (fake, other)}
    assert len(keys) == 2
    assert {engine.key for engine in ENGINES.list()} == keys


def test_each_precision_has_an_engine_of_its_own(bundle: Bundle, fake: FakeTensorRT) -> None:
    for precision in ("fp32", "fp16"):
        assert build_engine(bundle, precision=precision, tensorrt=fake).new
    assert {engine.precision for engine in ENGINES.list()} == {"fp32", "fp16"}


def test_another_batch_or_rebuild_replaces_the_engine(bundle: Bundle, fake: FakeTensorRT) -> None:
    build_engine(bundle, tensorrt=fake)
    assert build_engine(bundle, batch=Batch(1, 2, 4), tensorrt=fake).new
    assert build_engine(bundle, batch=Batch(1, 2, 4), rebuild=True, tensorrt=fake).new
    (engine,) = ENGINES.list()
    assert (engine.batch, fake.n_builds) == (Batch(1, 2, 4), 3)


def test_an_engine_from_another_onnx_is_replaced(
    bundle: Bundle, fake: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As when a newer edgesplit writes float16 otherwise: the key is the same.
    assert build_engine(bundle, precision="fp16", tensorrt=fake).new
    assert not build_engine(bundle, precision="fp16", tensorrt=fake).new
    other = replace(to_fp16(convolutions(), clips()), data=inline(bundle.backbone()))
    monkeypatch.setitem(engines._REWRITES, "fp16", lambda backbone, given: other)
    assert build_engine(bundle, precision="fp16", tensorrt=fake).new


def test_a_build_begins_with_the_times_of_the_last_one(bundle: Bundle, fake: FakeTensorRT) -> None:
    build_engine(bundle, tensorrt=fake)
    build_engine(bundle, precision="fp16", tensorrt=fake)
    other = FakeTensorRT(replace(HERE, gpu="another"))
    build_engine(bundle, tensorrt=other)
    assert fake.given_times == [b"", b"times of build 1"]
    assert other.given_times == [b""]


def test_int8_is_calibrated_on_clips_and_judged_on_others(
    bundle: Bundle, fake: FakeTensorRT
) -> None:
    given = np.random.default_rng(0).random((12, *bundle.preprocessing.clip_shape), np.float32)
    first = build_engine(bundle, precision="int8", clips=given, tensorrt=fake)
    assert first.new
    signed = to_int8(inline(bundle.backbone()), given[::2], signed=True)
    assert first.artifact.backbone == hashlib.sha256(signed.data).hexdigest()
    assert not build_engine(bundle, precision="int8", clips=given, tensorrt=fake).new
    for options in ({"precision": "int8"}, {"clips": given}):
        with pytest.raises(ValueError, match="clips are required for int8, optional for fp16"):
            build_engine(bundle, tensorrt=fake, **options)
    with pytest.raises(VariantError, match="9 clips are too few"):
        build_engine(bundle, precision="int8", clips=given[:9], rebuild=True, tensorrt=fake)
    assert fake.n_builds == 1


def test_fp16_measures_ranges_on_the_clips_that_it_is_given(
    bundle: Bundle, fake: FakeTensorRT
) -> None:
    given = np.random.default_rng(0).random((12, *bundle.preprocessing.clip_shape), np.float32)
    halved = to_fp16(inline(bundle.backbone()), given)
    engine = build_engine(bundle, precision="fp16", clips=given, tensorrt=fake).artifact
    assert (engine.backbone, engine.ranges, engine.n_calibrated) == (
        hashlib.sha256(halved.data).hexdigest(),
        halved.ranges,
        12,
    )
    assert ENGINES.list() == (engine,)
    assert not build_engine(bundle, precision="fp16", clips=given, tensorrt=fake).new
    with pytest.raises(VariantError, match="9 clips are too few"):
        build_engine(bundle, precision="fp16", clips=given[:9], tensorrt=fake)


def test_fp16_without_clips_keeps_what_overflows_on_made_clips_in_float32(
    tmp_path: Path, fake: FakeTensorRT
) -> None:
    backbone = massive(199_000)
    preprocessing = Preprocessing(frames=CLIP_SHAPE[1], height=16, width=16)
    head = Head.from_arrays(
        np.eye(2, DIM),
        np.zeros(2),
        ["a", "b"],
        feature_space=feature_space(backbone, preprocessing),
    )
    bundle = create_bundle(
        tmp_path / "massive.bundle", backbone=backbone, head=head, preprocessing=preprocessing
    )
    engine = build_engine(bundle, precision="fp16", tensorrt=fake).artifact
    assert engine.ranges is not None
    assert (engine.ranges.n_kept, engine.n_calibrated) == (2, 0)


def test_engines_of_earlier_versions_are_not_found(bundle: Bundle, fake: FakeTensorRT) -> None:
    engine = build_engine(bundle, tensorrt=fake).artifact
    assert ENGINES.find(engine.key) == engine
    earlier = make_key(bundle.feature_space, engine.tensorrt, engine.cuda, engine.gpu, "fp32")
    assert engine.key != earlier


def test_an_fp16_engine_of_before_is_not_used(bundle: Bundle, fake: FakeTensorRT) -> None:
    engine = build_engine(bundle, precision="fp16", tensorrt=fake).artifact
    description = ENGINES.folder / f"{engine.key}.json"
    content = json.loads(description.read_bytes())
    del content["ranges"]  # as 0.1 wrote it, which looked at weights alone
    description.write_text(json.dumps(content))
    assert ENGINES.list() == ()
    with pytest.raises(BackendError, match="no fp16 engine"):
        open_engine(bundle, precision="fp16", platform=fake.platform())
    assert build_engine(bundle, precision="fp16", tensorrt=fake).new


# The comparison


class Spoiled(FakeTensorRT):
    """An engine that computes something else than it should."""

    def __init__(self, spoil: Callable[[Floats], Floats]) -> None:
        super().__init__()
        self._spoil = spoil

    def run(self, *given: Any, **options: Any) -> Floats:
        return self._spoil(super().run(*given, **options))


def last_batch_wrong(features: Floats) -> Floats:
    return np.concatenate([features[:-8], features[-8:][::-1]])


SPOILED: dict[str, tuple[Callable[[Floats], Floats], str]] = {
    "a lost bias": (lambda f: f + np.float32(2.0), "cosine"),
    "twice as long": (lambda f: 2 * f, r"cosine 1\.00000 .*distance 1 \(at most"),
    "only large batches": (last_batch_wrong, "cosine"),
    "not finite": (lambda f: np.where(f == f.max(), np.float32(np.nan), f), "cosine nan"),
    "zero": (np.zeros_like, "cosine 0.00000"),
    "another size": (lambda f: f[:, :-1], r"shape \(9, 7\), want \(9, 8\)"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_an_engine_with_other_features_is_refused_and_nothing_is_left(
    bundle: Bundle, case: str
) -> None:
    spoil, reason = SPOILED[case]
    with pytest.raises(EngineError, match=reason) as refused:
        build_engine(bundle, tensorrt=Spoiled(spoil))
    assert "discarded" in str(refused.value).replace("\n", " ")
    assert kept() == {}


def kept() -> dict[str, bytes]:
    """What the cache holds; a lock file says only that somebody once held it."""
    found = contents(ENGINES.folder)
    return {name: content for name, content in found.items() if not name.endswith(".lock")}


def test_a_good_engine_outlives_a_bad_rebuild(bundle: Bundle, fake: FakeTensorRT) -> None:
    good = build_engine(bundle, tensorrt=fake).artifact
    before = kept()
    with pytest.raises(EngineError):
        build_engine(bundle, rebuild=True, tensorrt=Spoiled(np.zeros_like))
    assert kept() == before
    assert ENGINES.list() == (good,)


def test_small_batches_are_compared_as_well_as_large_ones(
    bundle: Bundle, fake: FakeTensorRT
) -> None:
    engine = build_engine(bundle, batch=Batch(2, 3, 20), tensorrt=fake).artifact
    assert engine.agreement.n_clips == 2 + 3 + 20
    assert engine.agreement.cosine > 0.999999


@pytest.mark.parametrize(
    ("precision", "cosine", "distance", "good"),
    [
        ("fp32", 0.99995, 0.01, True),
        ("fp32", 0.9998, 0.01, False),
        ("fp32", 0.99995, 0.02, False),
        ("fp16", 0.9991, 0.04, True),
        ("fp16", 0.9989, 0.04, False),
        ("int8", 0.991, 0.13, True),
        ("int8", 0.989, 0.13, False),
        ("int8", float("nan"), 0.0, False),
    ],
)
def test_tolerances(precision: Any, cosine: float, distance: float, good: bool) -> None:
    # What the heads make of the features does not matter.
    agreement = Agreement(cosine=cosine, distance=distance, logits=9.0, decisions=0.0, n_clips=9)
    limits, what = TOLERANCES[precision], f"{precision} engine"
    if good:
        check_agreement(agreement, limits, what, EngineError)
        return
    with pytest.raises(EngineError, match=f"The {what} does not agree with the fp32 backbone"):
        check_agreement(agreement, limits, what, EngineError)


# Crashes, interrupts, damage


def test_an_isolated_call_returns_what_it_returns_and_raises_what_it_raises() -> None:
    assert run_isolated(operator.add, 1, 2) == 3
    with pytest.raises(IsolatedProcessError, match="truediv failed: ZeroDivisionError"):
        run_isolated(operator.truediv, 1, 0)
    with pytest.raises(BackendError, match=r"no CUDA device|CUDA"):
        run_isolated(run_plan, b"", np.zeros((1, 1), np.float32), (1,))


def test_a_crash_is_an_error_with_the_last_output() -> None:
    with pytest.raises(
        IsolatedProcessError, match=r"\.abort` was killed \(signal 6\)\.$"
    ) as caught:
        run_isolated(os.abort)
    assert caught.value.reason == "its process was killed (signal 6)"
    with pytest.raises(IsolatedProcessError, match=r"ended with exit code 3\.$"):
        run_isolated(os._exit, 3)
    with pytest.raises(IsolatedProcessError, match=r"killed.*Last output: .*out of memory"):
        run_isolated(os.system, "echo out of memory >&2; kill -9 $PPID")


def test_where_tensorrt_crashes_the_advice_is_about_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("version", "build_plan", "run_plan"):
        monkeypatch.setattr(engines, name, crash)
    monkeypatch.setattr(engines, "find_device", FakeTensorRT().platform)
    steps: tuple[Callable[[], object], ...] = (
        TensorRT().platform,
        lambda: TensorRT().build(
            b"", clip_shape=CLIP_SHAPE, batch=Batch(), timing_cache=b"", progress=print
        ),
        lambda: TensorRT().run(b"", clips(1), (1,), progress=print),
    )
    for step in steps:
        with pytest.raises(
            IsolatedProcessError, match=r"signal 6.* Check the driver, and that TensorRT was"
        ):
            step()


def crash(*arguments: Any) -> None:
    os.abort()


def test_nothing_in_the_current_folder_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pickle", "json", "tensorrt", "numpy", "edgesplit"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from a bundle')")
    monkeypatch.chdir(tmp_path)
    assert run_isolated(operator.add, 1, 2) == 3


def test_waiting_is_told_and_an_interrupt_ends_the_process() -> None:
    told: list[tuple[float, str]] = []

    def tell(seconds: float, line: str) -> None:
        told.append((seconds, line))
        if line:
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_isolated(os.system, "echo $$; exec sleep 60", every_s=0.1, on_wait=tell)
    assert time.monotonic() - start < 30
    assert told[-1][0] > 0


def test_a_process_that_hangs_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(
        IsolatedProcessError, match=r"system` gave no answer in 0\.3 s and was killed"
    ):
        run_isolated(os.system, "exec sleep 60", every_s=0.1, limit_s=0.3)
    assert time.monotonic() - start < 30


def test_the_process_ends_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    code = (
        "from edgesplit._isolated import run_isolated; import os\n"
        f"run_isolated(os.system, 'echo $PPID > {tmp_path}/pid; sleep 60')"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=PACKAGE.parent, env=environment)
    try:
        assert soon(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
        assert list(temporary.iterdir())
    finally:
        caller.kill()
        caller.wait()
    process = Path("/proc", (tmp_path / "pid").read_text().strip())
    assert soon(lambda: not process.exists() or " Z " in (process / "stat").read_text())
    assert soon(lambda: not list(temporary.iterdir()))


def soon(holds: Callable[[], bool]) -> bool:
    for _ in range(200):
        if holds():
            return True
        time.sleep(0.1)
    return False


def test_a_build_says_at_least_every_ten_seconds_how_it_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert engines.PROGRESS_S <= 10
    monkeypatch.setattr(engines, "PROGRESS_S", 0.2)
    monkeypatch.setattr(engines, "build_plan", slow_build)
    said: list[str] = []
    TensorRT().build(
        b"", clip_shape=CLIP_SHAPE, batch=Batch(), timing_cache=b"", progress=said.append
    )
    assert said[-1].startswith("building, ")
    assert len(said) >= 3


def slow_build(*arguments: Any) -> Plan:
    time.sleep(1)
    return Plan(engine=b"", timing_cache=b"")


class Interrupted(FakeTensorRT):
    def build(self, *arguments: Any, **options: Any) -> Plan:
        raise KeyboardInterrupt


def test_an_interrupted_build_leaves_nothing_and_the_next_one_works(
    bundle: Bundle, fake: FakeTensorRT
) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_engine(bundle, tensorrt=Interrupted())
    assert kept() == {}
    assert build_engine(bundle, tensorrt=fake).new


def test_two_builds_of_one_engine_do_not_run_at_once(bundle: Bundle, fake: FakeTensorRT) -> None:
    class Impatient(FakeTensorRT):
        def build(self, *arguments: Any, **options: Any) -> Plan:
            with pytest.raises(EngineError, match="Another process is making this engine"):
                build_engine(bundle, tensorrt=fake)
            build_engine(bundle, precision="fp16", tensorrt=fake)  # another engine may
            return super().build(*arguments, **options)

    assert build_engine(bundle, tensorrt=Impatient()).new


def damage_plan(engine: Engine) -> None:
    (ENGINES.folder / f"{engine.key}.{engine.digest}.engine").write_bytes(b"short")


def lose_plan(engine: Engine) -> None:
    (ENGINES.folder / f"{engine.key}.{engine.digest}.engine").unlink()


def damage_description(engine: Engine) -> None:
    (ENGINES.folder / f"{engine.key}.json").write_text("{}")


def move_description(engine: Engine) -> None:
    file = ENGINES.folder / f"{engine.key}.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "gpu": "another"}))


def name_another(field: str) -> Callable[[Engine], None]:
    def damage(engine: Engine) -> None:
        file = ENGINES.folder / f"{engine.key}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), field: "../../elsewhere"}))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        *(damage_plan, lose_plan, damage_description, move_description),
        *map(name_another, ("feature_space", "backbone", "digest")),
    ],
)
def test_a_damaged_engine_is_none_and_is_built_again(
    bundle: Bundle, fake: FakeTensorRT, damage: Callable[[Engine], None]
) -> None:
    engine = build_engine(bundle, tensorrt=fake).artifact
    damage(engine)
    assert ENGINES.list() == ()
    with pytest.raises(EngineError, match="There is no fp32 engine of"):
        open_engine(bundle, platform=fake.platform())
    assert build_engine(bundle, tensorrt=fake).new
    assert [found.key for found in ENGINES.list()] == [engine.key]


def test_a_flipped_byte_is_found_before_tensorrt_sees_it(
    bundle: Bundle, fake: FakeTensorRT
) -> None:
    engine = build_engine(bundle, tensorrt=fake).artifact
    file = ENGINES.folder / f"{engine.key}.{engine.digest}.engine"
    plan = bytearray(file.read_bytes())
    plan[100] ^= 1
    file.write_bytes(plan)
    with pytest.raises(
        EngineError, match=r"is damaged\. Make it again: edgesplit engine build .*--rebuild"
    ):
        open_engine(bundle, platform=fake.platform())


def test_a_cache_that_cannot_be_written_is_said_before_anything_is_built(
    bundle: Bundle, fake: FakeTensorRT, own_cache: Path
) -> None:
    own_cache.write_text("a file")
    with pytest.raises(EngineError, match=r"Cannot write to .*Set EDGESPLIT_CACHE"):
        build_engine(bundle, tensorrt=fake)
    assert fake.n_builds == 0


# Without CUDA or TensorRT


def test_cuda_is_asked_before_tensorrt(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*arguments: Any, **options: Any) -> None:
        raise AssertionError("TensorRT was touched")

    monkeypatch.setattr(cuda, "_NODES", ())
    monkeypatch.setattr(engines, "run_isolated", touched)
    monkeypatch.setattr(trt, "_load", touched)
    for step in (build_engine, open_engine):
        with pytest.raises(BackendError, match="This machine has no CUDA device"):
            step(bundle)
    with pytest.raises(BackendError, match="This machine has no CUDA device"):
        EngineBackend(b"")


def test_missing_tensorrt_is_said_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtraError, match="On a Jetson it comes with JetPack"):
        trt.version()
    monkeypatch.setenv("EDGESPLIT_TENSORRT", "os")
    with pytest.raises(EngineError, match=r"EDGESPLIT_TENSORRT is 'os'. Set it to one of tensorrt"):
        trt.version()


def test_missing_cuda_bindings_are_said_with_the_way_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime", "cuda.cudart"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(cuda, "_NODES", ("/dev/null",))
    with pytest.raises(MissingExtraError, match="pip install 'cuda-bindings<13'"):
        cuda.find_device()


def use(fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    for module in (cuda, trt):
        monkeypatch.setattr(module, "load_cuda", lambda: fake_cuda)
    monkeypatch.setattr(cuda, "_NODES", ("/dev/null",))
    monkeypatch.setattr(trt, "_load", fake_module)
    return fake_cuda


def test_the_device_is_named_as_the_driver_does(monkeypatch: pytest.MonkeyPatch) -> None:
    use(FakeCuda(), monkeypatch)
    assert cuda.find_device() == cuda.Device(gpu="Orin sm87", cuda="12.6")


def test_a_driver_without_a_device_or_an_answer_is_no_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(FakeCuda(n_devices=0), monkeypatch)
    with pytest.raises(BackendError, match="lists no device"):
        cuda.find_device()
    use(FakeCuda(fails="cudaGetDeviceCount"), monkeypatch)
    with pytest.raises(BackendError, match="cudaGetDeviceCount failed: 700"):
        cuda.find_device()


# The backend, on a GPU that is none


def test_the_backend_runs_batches_and_frees_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda = use(FakeCuda(), monkeypatch)
    backend = EngineBackend(convolutions())
    wanted = OrtBackend(convolutions()).run(clips())
    for size in (1, 3, 8):
        np.testing.assert_allclose(backend.run(clips()[:size]), wanted[:size], rtol=1e-4, atol=1e-5)
    with pytest.raises(BackendError, match=r"takes 1 to 8 clips of \(3, 4, 16, 16\), got \(9, "):
        backend.run(clips(9))
    backend.close()
    backend.close()
    assert (fake_cuda.memory, fake_cuda.streams) == ({}, set())
    with pytest.raises(BackendError, match="The backend is closed"):
        backend.run(clips(1))


@pytest.mark.parametrize("function", ["cudaStreamCreate", "cudaMalloc", "cudaMemcpyAsync"])
def test_cudas_errors_are_errors_and_leave_no_memory_behind(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    fake_cuda = use(FakeCuda(fails=function), monkeypatch)
    with pytest.raises(BackendError, match=f"CUDA's {function} failed: 700"):
        run_plan(convolutions(), clips(), (1, 8))
    assert (fake_cuda.memory, fake_cuda.streams) == ({}, set())


def test_run_plan_takes_clips_over_and_over(monkeypatch: pytest.MonkeyPatch) -> None:
    use(FakeCuda(), monkeypatch)
    features = run_plan(convolutions(), clips(3), (1, 7))
    assert features.shape == (8, 32)
    np.testing.assert_array_equal(features[1], features[4])


def test_a_plan_that_tensorrt_does_not_take_is_an_error_with_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(FakeCuda(), monkeypatch)
    with pytest.raises(EngineError, match="refuses this engine: the plan is of another ver"):
        EngineBackend(b"not a plan")


def test_a_runtime_serves_through_an_engine(
    bundle: Bundle, fake: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeCuda(), monkeypatch)
    build_engine(bundle, tensorrt=fake)
    clip = np.random.default_rng(0).random(bundle.preprocessing.clip_shape, np.float32)
    backend = open_engine(bundle, platform=fake.platform())
    with Runtime(bundle) as slow, Runtime(bundle, backend=backend) as fast:
        assert fast.predict(clip).label == slow.predict(clip).label


# The command line


def test_every_precision_can_be_typed() -> None:
    (option,) = [o for o in engine_commands.commands["build"].params if o.name == "precision"]
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == get_args(EnginePrecision) == tuple(TOLERANCES)


@pytest.fixture
def typed(
    bundle: Bundle, fake: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """`edgesplit engine …` in a folder with one bundle, on a device that is none."""
    monkeypatch.chdir(bundle.path.parent)
    monkeypatch.setattr(engines, "TensorRT", lambda: fake)
    return lambda *arguments: run("engine", *arguments)


def test_build_list_and_rm(typed: Callable[..., Result], fake: FakeTensorRT) -> None:
    assert "the cache has no engine" in typed("list").stdout
    built = typed("build", "--precision", "fp16", "--batch", "1,2,4")
    assert built.exit_code == 0, built.output
    assert "fp16, batch 1,2,4" in built.stdout
    assert "operators stay in fp32 because of the range of their values; largest" in built.stdout
    assert "measured on generated clips; --clips uses your clips" in " ".join(built.stdout.split())
    assert "comparing with ONNX Runtime" in built.stderr
    (engine,) = ENGINES.list()
    listed = typed("list").stdout
    assert engine.key in listed
    assert "yes" in listed
    again = json.loads(typed("build", "--precision", "fp16", "--batch", "1,2,4", "--json").stdout)
    assert (again["key"], again["new"]) == (engine.key, False)
    assert typed("rm", engine.key[:6]).stdout == f"{engine.key}\n"
    assert json.loads(typed("list", "--json").stdout) == []


def test_list_and_rm_need_neither_tensorrt_nor_a_gpu(
    bundle: Bundle, fake: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_engine(bundle, tensorrt=fake)
    monkeypatch.setattr(cuda, "_NODES", ())
    listed = run("engine", "list")
    assert listed.exit_code == 0, listed.output
    assert "None of them runs on this device: This machine has no CUDA device" in listed.stderr
    assert not json.loads(run("engine", "list", "--json").stdout)[0]["fits"]
    assert run("engine", "rm", "--all").exit_code == 0
    assert kept() == {}
    assert "the cache has no engine" in run("engine", "rm", "--all").stdout


def test_a_build_without_a_gpu_ends_with_one_message(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "_NODES", ())
    result = run("engine", "build", "--bundle", bundle.path)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("Error: This machine has no CUDA device")
    assert not ENGINES.folder.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("build", "--batch", "1,8"), "not three numbers from 1 in ascending order"),
        (("build", "--batch", "4,2,8"), "not three numbers from 1 in ascending order"),
        (("build", "--precision", "int8"), "--precision int8 needs --clips"),
        (("build", "--clips", "."), "--clips is for --precision int8 and fp16"),
        (("rm",), "Give either KEY or --all"),
        (("rm", "abcd", "--all"), "Give either KEY or --all"),
    ],
)
def test_wrong_options_are_usage_errors(
    typed: Callable[..., Result], arguments: tuple[str, ...], reason: str
) -> None:
    result = typed(*arguments)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_rm_of_a_key_that_is_none_or_several_removes_nothing(
    typed: Callable[..., Result], bundle: Bundle, fake: FakeTensorRT
) -> None:
    engine = build_engine(bundle, tensorrt=fake).artifact
    for key, reason in (("nothing", "No engine starts with 'nothing'"), ("", "No engine starts")):
        result = typed("rm", key)
        assert result.exit_code == 1
        assert reason in result.stderr
    assert ENGINES.list() == (engine,)
    assert ENGINES.remove(engine.key) == (engine.key,)
