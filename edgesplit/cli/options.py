"""What several commands share: options, opening the bundle, printing JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edgesplit.bundle import Bundle
    from edgesplit.runtime.variants import Recipe

__all__ = [
    "RECIPES",
    "bundle_option",
    "check_new",
    "json_option",
    "open_bundle",
    "print_json",
    "write_new",
]

Command = TypeVar("Command", bound=Callable[..., Any])

RECIPES: tuple[Recipe, ...] = ("fp16", "int8", "ort")
"""`edgesplit.runtime.variants.Recipe`, without the import that would slow `--help` down."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""Every command has it."""


def bundle_option(command: Command) -> Command:
    """Adds --bundle, for `open_bundle`."""
    option = click.option(
        "--bundle",
        "bundle_path",
        type=click.Path(path_type=Path, file_okay=False),
        help="The bundle; by default EDGESPLIT_BUNDLE or the one in the current folder.",
    )
    return option(command)


def open_bundle(path: Path | None) -> Bundle:
    """The bundle that is meant; see `edgesplit.bundle.find_bundle`."""
    from edgesplit import bundle

    return bundle.open_bundle(bundle.find_bundle(path))


def print_json(content: Any) -> None:
    """Prints one JSON document."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def check_new(path: Path) -> None:
    """Refuses a file that is there already, before the work that would fill it."""
    from edgesplit.errors import EdgesplitError

    if path.exists():
        raise EdgesplitError(f"{path} exists already. Choose another name, or remove it first.")


def write_new(path: Path, content: bytes) -> None:
    """Writes a file that must not be there yet."""
    from edgesplit.store import Store, map_os_errors

    check_new(path)
    with map_os_errors("write", path):
        Store().replace_file(path, content)
