"""Packages import only the packages below them, and importing edgesplit stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import edgesplit

PACKAGE = Path(edgesplit.__file__).parent

LAYERS = (
    {"errors", "limits", "_types", "_data", "_text", "_lazy", "_threads", "_isolated"},
    {"storage", "video", "heads"},  # know nothing of each other
    {"backbone"},
    {"edits"},
    {"bundle"},
    {"export", "runtime"},  # know nothing of each other
    {"demo"},
    {"cli"},
)
"""Packages and modules of edgesplit, the lowest first; each imports only what lies below it."""

RUNTIME = ({"backends"}, {"live"}, {"stream"}, {"device"}, {"bench"})
"""The same inside edgesplit.runtime."""

ENTRANCES = {"", "__main__"}
"""edgesplit itself and `python -m edgesplit`: they name what lies anywhere."""


@dataclass(frozen=True)
class Import:
    """One module named by an import statement."""

    importer: str
    imported: str
    when: str
    """`module` at import, `function` when a function runs, `types` for type checkers only."""


def modules() -> dict[str, Path]:
    """Every module of the package by its name; the stages are reached through their links."""
    # Not rglob, which does not follow links on every Python.
    folders = ("", "[!_]*/", "[!_]*/[!_]*/", "[!_]*/[!_]*/[!_]*/")
    files = [file for folder in folders for file in PACKAGE.glob(f"{folder}*.py")]
    names = {}
    for file in files:
        parts = ("edgesplit", *file.relative_to(PACKAGE).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


MODULES = modules()


def imports_of(name: str) -> Iterator[Import]:
    yield from _walk(name, ast.parse(MODULES[name].read_text()), "module")


def _walk(name: str, parent: ast.AST, when: str) -> Iterator[Import]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, when)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(name, inner if inner in MODULES else str(node.module), when)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _walk(name, node, "types" if when == "types" else "function")
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for statement in node.body:
                yield from _walk(name, ast.Module([statement], []), "types")
            for statement in node.orelse:
                yield from _walk(name, ast.Module([statement], []), when)
        else:
            yield from _walk(name, node, when)


IMPORTS = [found for name in MODULES for found in imports_of(name)]


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def listed(found: list[Import]) -> list[str]:
    return [f"{one.importer} imports {one.imported} ({one.when})" for one in found]


def room(name: str, inside: str = "edgesplit") -> str:
    """The package or module directly below `inside` that a module belongs to."""
    return name.removeprefix(inside).lstrip(".").partition(".")[0]


def upward(layers: tuple[set[str], ...], inside: str, free: set[str]) -> list[Import]:
    """Imports, at whatever time, that do not point down the layers."""
    layer = {name: floor for floor, names in enumerate(layers) for name in names}
    found = []
    for one in IMPORTS:
        if not within(one.importer, inside) or one.imported not in MODULES:
            continue
        importer, imported = room(one.importer, inside), room(one.imported, inside)
        if not within(one.imported, inside) or importer in free or imported in ("", importer):
            continue
        if layer[imported] >= layer[importer] and not layer[imported] == layer[importer] == 0:
            found.append(one)
    return found


def test_the_test_sees_every_kind_of_import() -> None:
    assert {"edgesplit", "edgesplit.heads.head", "edgesplit.edits.rules.retrieval"} <= set(MODULES)
    assert Import("edgesplit.heads.onnx_codec", "edgesplit.heads.head", "module") in IMPORTS
    assert Import("edgesplit.heads.head", "edgesplit.heads.onnx_codec", "function") in IMPORTS
    assert Import("edgesplit.video.clips", "av", "types") in IMPORTS


def test_every_module_has_a_layer() -> None:
    homeless = {room(name) for name in MODULES} - set().union(*LAYERS) - ENTRANCES
    assert homeless == set(), "name the layer of a new package in LAYERS"


def test_packages_import_only_packages_below_them() -> None:
    assert listed(upward(LAYERS, "edgesplit", ENTRANCES)) == []


def test_the_runtimes_packages_import_only_packages_below_them() -> None:
    assert listed(upward(RUNTIME, "edgesplit.runtime", {""})) == []


def test_the_command_line_imports_a_stage_only_when_it_uses_it() -> None:
    broken = [
        one
        for one in IMPORTS
        if within(one.importer, "edgesplit.cli")
        and within(one.imported, "edgesplit.export", "edgesplit.runtime")
        and one.when == "module"
    ]
    assert listed(broken) == []


def test_only_export_knows_torch() -> None:
    heavy = ("torch", "torchvision", "transformers", "onnxscript")
    broken = [
        one
        for one in IMPORTS
        if within(one.imported, *heavy) and not within(one.importer, "edgesplit.export")
    ]
    assert listed(broken) == []


def test_onnx_runtime_is_imported_in_one_place() -> None:
    """Its telemetry is off only where `import_onnxruntime` comes first."""
    files = {**MODULES, **{str(f): f for f in PACKAGE.parent.glob("benchmarks/**/*.py")}}
    broken = []
    for name, file in files.items():
        tree = ast.parse(file.read_text())
        imported = [one for one in _walk(name, tree, "module") if one.when != "types"]
        broken += [one.importer for one in imported if within(one.imported, "onnxruntime")]
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
        named = [node.args[0] for node in calls if "import" in ast.unparse(node.func)]
        broken += [name for node in named if ast.unparse(node).strip("'") == "onnxruntime"]
    assert broken == ["edgesplit.backbone.session"]


def test_modules_form_no_circle() -> None:
    graph = {
        name: {
            one.imported
            for one in IMPORTS
            if one.importer == name and one.when == "module" and one.imported in MODULES
        }
        for name in MODULES
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


# The front door


def test_all_names_exactly_what_can_be_had() -> None:
    assert edgesplit.__all__ == sorted(edgesplit.__all__, key=lambda n: (n.islower(), n))
    assert set(edgesplit.__all__) == set(dir(edgesplit))
    for name in edgesplit.__all__:
        assert getattr(edgesplit, name) is not None
    homes = {name for names in edgesplit._HOMES.values() for name in names}
    assert homes == set(edgesplit.__all__) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'edgesplit' has no attribute 'Haed'"):
        _ = edgesplit.Haed


def test_names_are_the_ones_of_their_modules() -> None:
    for home, names in edgesplit._HOMES.items():
        module = import_module(home)
        assert set(names) <= set(module.__all__), home
        for name in names:
            assert getattr(edgesplit, name) is getattr(module, name)


def test_every_module_lists_its_public_names() -> None:
    for name, file in MODULES.items():
        tree = ast.parse(file.read_text())
        assert ast.get_docstring(tree), f"{name} has no docstring"
        targets = [
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        defines = len(tree.body) > 1 and name != "edgesplit.__main__"
        assert "__all__" in targets or not defines, f"{name} has no __all__"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import edgesplit", ("numpy", "onnx", "onnxruntime", "av", "torch")),
        ("import edgesplit.runtime", ("onnx", "onnxruntime", "torch", "transformers")),
        ("import edgesplit.runtime.stream", ("onnx", "onnxruntime", "av", "torch", "transformers")),
        (
            "from edgesplit import Bundle, Head, read_clip, split_class",
            ("onnxruntime", "av", "torch", "transformers", "tokenizers"),
        ),
    ],
)
def test_imports_are_light(statement: str, absent: tuple[str, ...]) -> None:
    code = f"{statement}; import sys; print(*({set(absent)!r} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
    ).stdout
    assert loaded.split() == []
