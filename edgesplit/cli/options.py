"""Options of several commands, and functions that open or check what the options name."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from edgesplit._types import BackendName, VariantName
from edgesplit.errors import EdgesplitError

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle
    from edgesplit.runtime.backends.select import OpenedBackend

__all__ = [
    "FILE",
    "FOLDER",
    "NEW_FILE",
    "SECONDS",
    "Number",
    "Parsed",
    "accept_changes_option",
    "backend_options",
    "bundle_options",
    "check_new",
    "check_writable",
    "json_option",
    "open_backend",
    "open_bundle",
    "output_options",
    "overwrite_option",
    "write_new",
]

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
NEW_FILE = click.Path(path_type=Path, dir_okay=False)


class Number(click.FloatRange):
    """A finite number within bounds; click's own bounds accept `nan`."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the value as a number, or fail; see `click.ParamType.convert`."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic in new clicks only
    """A text that a function parses; the function raises ValueError for an invalid text."""

    name = "text"

    def __init__(self, parse: Callable[[str], Any], fault: str) -> None:
        self.parse, self.fault = parse, fault

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value, or fail; see `click.ParamType.convert`."""
        try:
            return self.parse(value)
        except ValueError:
            self.fail(f"{value!r} is {self.fault}", param, ctx)


SECONDS = Number(min=0, min_open=True)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""Option of every command."""

accept_changes_option = click.option(
    "--accept-changes",
    is_flag=True,
    help="Publish a flat split even if it changes many decisions of other classes.",
)
"""Option of commands that may publish a new flat split."""

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
"""Option of commands that write a file which they can make again."""


def bundle_options(command: Command) -> Command:
    """Add --bundle, for `open_bundle`, and --json."""
    bundle = click.option(
        "--bundle",
        "bundle_path",
        type=click.Path(path_type=Path, file_okay=False),
        help="The bundle (default: EDGESPLIT_BUNDLE, else the bundle in the current folder).",
    )
    return bundle(json_option(command))


def backend_options(command: Command) -> Command:
    """Add --backend and --variant, for `open_backend`."""
    backend = click.option(
        "--backend",
        type=click.Choice(get_args(BackendName)),
        default="auto",
        show_default=True,
        help="tensorrt: an engine; auto: the fastest that starts on this device; the others: "
        "providers of ONNX Runtime.",
    )
    variant = click.option(
        "--variant",
        type=click.Choice(get_args(VariantName)),
        help="Run this variant of the backbone; see `edgesplit variant`.",
    )
    return backend(variant(command))


def output_options(command: Command) -> Command:
    """Add --dry-run and -o, for commands that make a new head."""
    dry_run = click.option("--dry-run", is_flag=True, help="Print the report; change nothing.")
    output = click.option(
        "-o",
        "--output",
        type=NEW_FILE,
        help="Write the new head to this file instead of publishing it.",
    )
    return dry_run(output(command))


def open_backend(bundle: Bundle, name: BackendName, variant: VariantName | None) -> OpenedBackend:
    """Open what --backend and --variant name; see `edgesplit.runtime.open_backend`."""
    from edgesplit import runtime

    if name == "tensorrt" and variant:
        raise click.UsageError(
            "--variant works with ONNX Runtime only. For TensorRT, use `edgesplit engine build "
            "--precision` and leave out --variant."
        )
    return runtime.open_backend(bundle, name, variant=variant)


def open_bundle(path: Path | None) -> Bundle:
    """Open the bundle that --bundle, the environment or the current folder names."""
    from edgesplit.bundle import bundle

    return bundle.open_bundle(bundle.find_bundle(path))


def check_new(path: Path, *, overwrite: bool | None = None) -> None:
    """Raise EdgesplitError if the path exists; called before the work for its content.

    Args:
        path: path of the new file.
        overwrite: the command's `--overwrite`; None if it has no such option.
    """
    # `path.exists()` raises for a name that is too long.
    if os.path.exists(path) and not overwrite:
        way = "remove it first" if overwrite is None else "use --overwrite"
        raise EdgesplitError(f"{path} exists already. Choose another name, or {way}.")


def check_writable(path: Path) -> None:
    """Raise EdgesplitError if the file cannot be written; called before work for its content."""
    from edgesplit.storage.files import map_os_errors, part_path

    part = part_path(path)
    with map_os_errors("write", path, EdgesplitError):
        part.open("xb").close()
        part.unlink()


def write_new(path: Path, content: bytes, *, overwrite: bool | None = None) -> None:
    """Write a new file; an existing file only if it may be overwritten.

    Raises:
        EdgesplitError: the file exists, or cannot be written.
    """
    from edgesplit.storage.files import Store, map_os_errors

    check_new(path, overwrite=overwrite)
    with map_os_errors("write", path, EdgesplitError):
        Store().replace_file(path, content)
