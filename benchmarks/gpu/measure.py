"""The parts of `make gpu`; `run` starts each in a subprocess.

    python -m benchmarks.gpu.measure cuda demo fp16 --to answer.json

An answer holds `figures`, with `checks` among them, or `not_run` with the reason. A missing
component is a reason not to run; a failure of an existing component is a failed check.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "gpu"
TIMED_S = 2.0
MIN_RUNS = 20
BENCH_S = 3.0

Figures = dict[str, Any]


class NotHereError(Exception):
    """A component that the part needs is missing; the message names it."""


def packages() -> Figures:
    """Return the versions of packages, and the providers that ONNX Runtime lists and starts."""
    names = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt", "cuda-bindings", "av")
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    from edgesplit.runtime.device.probes import Probes

    providers = Probes().providers()
    return {
        "python": sys.version.split()[0],
        "versions": found,
        "providers": {name: why[:300] or "runs" for name, why in providers.items()},
        "checks": {"ONNX Runtime runs on the CPU": providers["CPUExecutionProvider"] == ""},
    }


def device() -> Figures:
    """Describe the machine and its GPU, if any."""
    from edgesplit.runtime.device.record import describe_device, run_command

    record = describe_device()
    asked = "--query-gpu=name,driver_version,memory.total,power.draw"
    said = run_command(["nvidia-smi", asked, "--format=csv,noheader"])
    figures: Figures = {"summary": record.summary, "system": record.system, "nvidia_smi": said}
    try:
        from edgesplit.runtime.backends.cuda import find_device

        found = find_device()
        figures.update(gpu=found.gpu, cuda=found.cuda)
    except Exception as error:  # whatever it is, the machine's description is worth having
        figures["no_gpu"] = str(error)
        if said:
            figures["gpu"] = said.splitlines()[0].split(",")[0].strip()
    return figures


def compare(backend: str, model: str, precision: str) -> Figures:
    """Run all clips of a model on a backend; compare with fp32 on the CPU."""
    import numpy as np

    from benchmarks.gpu.models import open_model, read_clips
    from edgesplit.backbone.backends import OrtBackend
    from edgesplit.errors import EdgesplitError
    from edgesplit.runtime.backends.agreement import compare_features
    from edgesplit.runtime.backends.engines import TOLERANCES

    _check_needs(backend)
    bundle = open_model(model, WORK)
    clips, what = read_clips(model, bundle)
    start = time.monotonic()
    try:
        opened, extra = _open(backend, bundle, precision, clips)
    except EdgesplitError as error:
        if backend == "ort-tensorrt":  # NVIDIA's libraries for it are not part of any extra
            raise NotHereError(str(error)) from error
        raise
    reference = OrtBackend(bundle.backbone())
    wanted = np.concatenate([reference.run(clip[None]) for clip in clips])
    got = np.concatenate([opened.run(clip[None]) for clip in clips])
    ready_s = time.monotonic() - start
    agreement = compare_features(wanted, got, bundle.head())
    tolerance = TOLERANCES[cast("Any", precision)]
    equal = round(agreement.decisions * len(clips))
    itself = (backend, precision) == ("cpu", "fp32")
    figures: Figures = {
        "clips": f"{len(clips)} {what}",
        "ready_s": round(ready_s, 2),
        **_time(opened, clips),
        "cosine": round(agreement.cosine, 7),
        "distance": float(f"{agreement.distance:.3g}"),
        **({} if itself else {"decisions": {"equal": equal, "of": len(clips)}}),
        **extra,
        "checks": {
            "features agree with fp32 on the CPU": agreement.cosine >= tolerance.cosine
            and agreement.distance <= tolerance.distance,
            "at most one decision in fifty differs": agreement.decisions >= 0.98,
        },
    }
    opened.close()
    return figures


class _Runs(Protocol):
    def run(self, clips: Any) -> Any: ...

    def close(self) -> None: ...


def _check_needs(backend: str) -> None:
    """Raise NotHereError if the machine lacks a component that this backend needs."""
    if backend == "cpu":
        return
    from edgesplit.backbone.session import import_onnxruntime
    from edgesplit.errors import EdgesplitError
    from edgesplit.runtime.backends.cuda import find_device
    from edgesplit.runtime.backends.engines import TensorRT

    try:
        find_device()
        if backend == "tensorrt":
            TensorRT().platform()
    except EdgesplitError as error:
        first, _, _ = str(error).partition(". ")
        raise NotHereError(first) from error
    provider = {"cuda": "CUDAExecutionProvider", "ort-tensorrt": "TensorrtExecutionProvider"}
    wanted = provider.get(backend)
    if wanted and wanted not in import_onnxruntime().get_available_providers():
        raise NotHereError(f"ONNX Runtime is built without {wanted}; install onnxruntime-gpu")


def _open(backend: str, bundle: Any, precision: str, clips: Any) -> tuple[_Runs, Figures]:
    """Open a backend as a user does, with a variant or an engine that is made now."""
    from edgesplit.runtime.backends.engines import build_engine, open_engine
    from edgesplit.runtime.backends.select import open_backend
    from edgesplit.runtime.backends.variants import add_variant

    which: Any = precision
    if backend == "tensorrt":
        start = time.monotonic()
        made = build_engine(bundle, precision=which, clips=None if which == "fp32" else clips)
        engine = made.artifact
        extra = {
            "build_s": round(time.monotonic() - start, 1),
            "tensorrt": engine.tensorrt,
            "size_mb": round(engine.size_bytes / 1e6, 2),
            "built_agreement": asdict(engine.agreement),
        }
        return open_engine(bundle, precision=which), extra
    variant = None if precision == "fp32" else which
    extra = {}
    if variant:
        made_variant = add_variant(bundle, variant, clips=clips).artifact
        extra["variant_cosine_on_cpu"] = round(made_variant.agreement.cosine, 7)
    opened = open_backend(bundle, cast("Any", backend), variant=variant)
    return opened.backend, {"runs_on": opened.description, **extra}


def _time(backend: _Runs, clips: Any) -> Figures:
    """Time a clip, with copies to the device and back: median and 90th percentile in ms."""
    import numpy as np

    times: list[float] = []
    end = time.monotonic() + TIMED_S
    while time.monotonic() < end or len(times) < MIN_RUNS:
        clip = clips[len(times) % len(clips)][None]
        start = time.perf_counter()
        backend.run(clip)
        times.append(1e3 * (time.perf_counter() - start))
    middle, slow = np.percentile(times, (50, 90))
    return {"ms": round(float(middle), 4), "p90_ms": round(float(slow), 4), "runs": len(times)}


def swaps(backend: str) -> Figures:
    """Swap heads of the demo while threads predict."""
    from benchmarks.gpu.models import open_model, read_clips
    from benchmarks.gpu.swaps import swap_under_load
    from edgesplit.runtime.backends.select import open_backend

    _check_needs(backend)
    bundle = open_model("demo", WORK)
    if backend == "tensorrt":
        from edgesplit.runtime.backends.engines import build_engine

        build_engine(bundle)  # there already if its part ran
    clips, _ = read_clips("demo", bundle)
    opened = open_backend(bundle, cast("Any", backend))
    return {"runs_on": opened.description, **swap_under_load(bundle, opened.backend, clips)}


def bench() -> Figures:
    """Run a short `edgesplit bench all` on the fastest backend."""
    from benchmarks.gpu.models import open_model
    from edgesplit.runtime.bench.record import run_bench
    from edgesplit.runtime.bench.timing import Effort, Job

    bundle = open_model("demo", WORK)
    effort = Effort(quick=True, seconds=BENCH_S, repeats=3)
    record = run_bench(Job(bundle.path, effort))
    answers = record["answers"]
    timed = [figure for answer in answers.values() for figure in answer["figures"]]
    refused = {name: one["refused"] for name, one in answers.items() if one.get("refused")}
    lacks = {name for name, why in refused.items() if find_spec("av") is None and "av" in why}
    return {
        "backend": answers["latency"]["facts"].get("backend"),
        "p50_ms": {figure["name"]: round(figure["p50"], 4) for figure in timed},
        "refused": refused,
        "checks": {name: name not in refused for name in answers if name not in lacks},
    }


def pytest() -> Figures:
    """Run the product's own GPU tests, if pytest is installed."""
    if find_spec("pytest") is None:
        raise NotHereError("pytest is not installed; only this part needs it")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
    if done.returncode not in (0, 1):
        raise NotHereError(f"pytest could not run: {last or done.stderr[-300:]}")
    counts = {name: re.search(rf"(\d+) {name}", last) for name in ("passed", "failed", "skipped")}
    return {"tests": {name: int(found[1]) if found else 0 for name, found in counts.items()}}


KINDS: dict[str, Any] = {
    "packages": packages,
    "device": device,
    "swaps": swaps,
    "bench": bench,
    "pytest": pytest,
}


def answer(words: list[str]) -> dict[str, Any]:
    """Run a part; return its answer as the module describes it."""
    kind, *arguments = words
    try:
        if kind in KINDS:
            return {"figures": KINDS[kind](*arguments)}
        return {"figures": compare(kind, *arguments)}
    except NotHereError as error:
        return {"not_run": str(error)}
    except ImportError as error:
        return {"not_run": f"{error}: a package that edgesplit needs is not installed"}
    except Exception as error:  # a failed check; the next part runs all the same
        text = f"{type(error).__name__}: {error}"
        return {"figures": {"checks": {"it runs": False}, "error": text}, "not_run": text[:600]}


def main() -> None:
    """Run the named part and write its answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="+")
    parser.add_argument("--to", type=Path, required=True)
    asked = parser.parse_args()
    asked.to.write_text(json.dumps(answer(asked.words)))


if __name__ == "__main__":
    main()
