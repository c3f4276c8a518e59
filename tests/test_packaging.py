"""The checkout and the wheel agree on what edgesplit is."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edgesplit

ROOT = Path(__file__).parent.parent
STAGES = ("export", "runtime")


@pytest.mark.parametrize("stage", STAGES)
def test_stage_link_points_at_the_top_level_folder(stage: str) -> None:
    assert (ROOT / "edgesplit" / stage).samefile(ROOT / stage)


def test_wheel_holds_every_module_and_asset_under_one_name(tmp_path: Path) -> None:
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # setuptools would pack what is old
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert {name.split("/")[0] for name in names} == {"edgesplit"}
    core = {f"edgesplit/{p.relative_to(ROOT / 'edgesplit')}" for p in core_files()}
    stages = {f"edgesplit/{p.relative_to(ROOT)}" for s in STAGES for p in (ROOT / s).rglob("*.py")}
    assert names == core | stages


def core_files() -> list[Path]:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "edgesplit"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [ROOT / name for name in tracked if not (ROOT / name).is_symlink()]


@pytest.mark.parametrize(
    ("machine", "wanted"),
    [("x86_64", {"cuda-bindings", "tensorrt"}), ("aarch64", set())],
)
def test_tensorrt_extra_leaves_a_jetsons_alone(machine: str, wanted: set[str]) -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11")
    packaging = pytest.importorskip("packaging.requirements")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = map(packaging.Requirement, extras["optional-dependencies"]["tensorrt"])
    there = {"sys_platform": "linux", "platform_machine": machine}
    assert {one.name for one in found if one.marker.evaluate(there)} == wanted


def test_runtime_loads_without_torch() -> None:
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None)\n"
        "from edgesplit.runtime import Runtime"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


def test_help_loads_neither_numpy_nor_onnx() -> None:
    code = (
        "import sys; sys.argv = ['edgesplit', '--help']\n"
        "from edgesplit.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'rich', 'av', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/", stdout=subprocess.DEVNULL)


def test_version_of_the_package_is_the_distributions() -> None:
    from importlib.metadata import version

    assert edgesplit.__version__ == version("edgesplit")


def test_every_package_says_what_its_modules_are_for() -> None:
    for package in ("edgesplit", *STAGES):
        root = ROOT / package
        for folder in (root, *(path.parent for path in root.rglob("__init__.py"))):
            if folder.name in STAGES and folder.is_symlink():
                continue
            said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
            modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
            modules |= {path.parent.name for path in folder.glob("*/__init__.py")}
            missing = modules - set(re.findall(r"\w+", said))
            assert not missing, f"name them in the docstring of {folder.name}/__init__.py"
