"""Make the environment of `make gpu`: install missing packages from an index or a folder of wheels.

    python3 benchmarks/gpu/prepare.py .venv-gpu [--wheels FOLDER]

The environment includes the system's packages, because TensorRT is one of them on a Jetson.
Packages that cannot be installed are noted for the result, and the parts that need them do not run.
This file needs only Python.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTES = ROOT / "build" / "gpu" / "prepare.json"
SITE = ROOT / "build" / "gpu" / "site"
"""Folder for packages if no environment can be made; the parts search it, too."""

NEEDS = {
    "numpy": "numpy>=1.26",
    "onnx": "onnx>=1.16",
    "google.protobuf": "protobuf>=4.25",
    "click": "click>=8.1.7",
    "filelock": "filelock>=3.21",
    "yaml": "PyYAML>=6.0.1",
    "rich": "rich>=13.7",
    "threadpoolctl": "threadpoolctl>=3.2",
    "tokenizers": "tokenizers>=0.19",
    "av": "av>=17",
}
"""Requirement of each module of the base install; each is installed separately, so that a failure
does not stop the others."""

NODES = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/dxg")
_LIMIT_S = 900


def main() -> None:
    """Make the environment; print the path of the Python that runs the parts."""
    parser = argparse.ArgumentParser(description="Make the environment of `make gpu`.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheels", type=Path, help="install from this folder, not from an index")
    asked = parser.parse_args()
    if asked.wheels and not asked.wheels.is_dir():
        parser.error(f"{asked.wheels} is not a folder. Give a folder with wheels: WHEELS=FOLDER.")
    missing: dict[str, str] = {}
    python = _make(asked.folder, missing)
    for module, requirement in _needs(python).items():
        if not _works(python, module):
            reason = _install(python, requirement, asked.wheels)
            if reason and not _works(python, module):
                missing[requirement] = reason
    NOTES.parent.mkdir(parents=True, exist_ok=True)
    NOTES.write_text(json.dumps({"python": python, "missing": missing}, indent=1) + "\n")
    for requirement, reason in missing.items():
        sys.stderr.write(f"{requirement} is missing: {reason}\n")
    print(python)


def _make(folder: Path, missing: dict[str, str]) -> str:
    """Return the environment's Python, or this one if no environment can be made."""
    python = folder / "bin" / "python"
    try:
        if not python.exists():
            venv.create(folder, system_site_packages=True, with_pip=True)
        if sys.prefix != sys.base_prefix:  # an environment does not see what another one holds
            outer = "".join(f"{p}\n" for p in sys.path if p.endswith("-packages"))
            for place in folder.glob("lib/python*/site-packages"):
                (place / "outer.pth").write_text(outer)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        missing["venv"] = f"{error}; this Python was used, and {SITE.relative_to(ROOT)}"
        return sys.executable
    return str(python.absolute())


def _needs(python: str) -> dict[str, str]:
    """Return the packages to add to the base install; TensorRT last, as it takes longest."""
    needs = dict(NEEDS)
    if not any(Path(node).exists() for node in NODES):
        return {**needs, "onnxruntime": "onnxruntime>=1.18"}
    if platform.machine() != "x86_64":  # a Jetson: no wheel of the index holds its kernels
        needs["onnxruntime"] = "onnxruntime>=1.18"
    elif "CUDAExecutionProvider" not in _say(
        python, "import onnxruntime as o; print(o.get_available_providers())"
    ):
        needs["onnxruntime.capi.onnxruntime_providers_cuda"] = "onnxruntime-gpu>=1.18"
    needs["cuda.bindings.runtime"] = "cuda-bindings"
    if platform.machine() == "x86_64":
        needs["tensorrt"] = "tensorrt>=10.3"
    return needs


def _works(python: str, module: str) -> bool:
    if module.endswith("providers_cuda"):  # a library, and no module
        return False
    return _say(python, f"import {module}; print('works')").strip().endswith("works")


def _say(python: str, code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SITE)}
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=False, cwd="/", env=environment
    )
    return done.stdout


def _install(python: str, requirement: str, wheels: Path | None) -> str:
    """Install a requirement; return the reason of a failure, or an empty text."""
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if wheels:
        command += ["--no-index", "--find-links", str(wheels.resolve())]
    if python == sys.executable:
        command += ["--target", str(SITE)]
    command.append(requirement)
    environment = {**os.environ, "PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "20"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT_S, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return f"pip took longer than {_LIMIT_S} s"
    if not done.returncode:
        return ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    return (errors or done.stderr.splitlines() or ["pip gave no reason"])[-1].removeprefix(
        "ERROR: "
    )


if __name__ == "__main__":
    main()
