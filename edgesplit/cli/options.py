"""What several commands share: options, opening the bundle, printing JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from edgesplit._types import BackendName, VariantName

if TYPE_CHECKING:
    from edgesplit.bundle.bundle import Bundle
    from edgesplit.runtime.backends.select import OpenedBackend

__all__ = [
    "SECONDS",
    "Number",
    "backend_options",
    "bundle_option",
    "check_new",
    "json_option",
    "open_backend",
    "open_bundle",
    "print_error",
    "print_json",
    "replace_option",
    "write_new",
]

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""Every command has it."""


replace_option = click.option(
    "--force", "replace", is_flag=True, help="Replace the file if it is there."
)
"""Of commands that write a file which they can always make again."""


def bundle_option(command: Command) -> Command:
    """Adds --bundle, for `open_bundle`."""
    option = click.option(
        "--bundle",
        "bundle_path",
        type=click.Path(path_type=Path, file_okay=False),
        help="The bundle; by default EDGESPLIT_BUNDLE or the one in the current folder.",
    )
    return option(command)


def backend_options(command: Command) -> Command:
    """Adds --backend and --variant, for `open_backend`."""
    backend = click.option(
        "--backend",
        type=click.Choice(get_args(BackendName)),
        default="auto",
        show_default=True,
        help="An engine, a provider of ONNX Runtime, or what is fastest here.",
    )
    variant = click.option(
        "--variant",
        type=click.Choice(get_args(VariantName)),
        help="Run this variant; see `edgesplit variant`.",
    )
    return backend(variant(command))


def open_backend(bundle: Bundle, name: BackendName, variant: VariantName | None) -> OpenedBackend:
    """Open the backend that --backend and --variant name; see `edgesplit.runtime.open_backend`."""
    from edgesplit import runtime

    if name == "tensorrt" and variant:
        raise click.UsageError("--variant is ONNX Runtime's; an engine has a --precision instead")
    return runtime.open_backend(bundle, name, variant=variant)


def open_bundle(path: Path | None) -> Bundle:
    """The bundle that is meant; see `edgesplit.bundle.bundle.find_bundle`."""
    from edgesplit.bundle import bundle

    return bundle.open_bundle(bundle.find_bundle(path))


class Number(click.FloatRange):
    """A number within bounds, and a finite one: `nan` compares with none of them."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See click."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a number to reckon with.", param, ctx)
        return number


SECONDS = Number(min=0, min_open=True)


def print_json(content: Any, *, indent: int | None = 2, err: bool = False) -> None:
    """Prints one JSON document, the only function that does; `indent` None: on one line.

    Raises:
        EdgesplitError: a number is not finite, which JSON cannot hold.
    """
    from edgesplit.errors import EdgesplitError

    try:
        text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise EdgesplitError(
            "A number of the result is not finite, and JSON has no name for it. Run the command "
            "without --json to see which."
        ) from error
    # A file's name need not be Unicode: what is none is escaped as JSON escapes it.
    click.echo(text.encode(errors="backslashreplace").decode(), err=err)


def print_error(kind: str, message: str, *, as_json: bool, **about: Any) -> None:
    """Prints an error as every command does: a sentence, or with --json one object on a line.

    Args:
        kind: the name of its class.
        message: what went wrong, and what to do next.
        as_json: whether --json was given.
        about: what else the object holds.
    """
    if as_json:
        error = {"type": kind, "message": message}
        print_json({"error": error, **about}, indent=None, err=True)
    else:
        click.echo(f"Error: {message}", err=True)


def check_new(path: Path) -> None:
    """Refuses a file that is there already, before the work that would fill it."""
    from edgesplit.errors import EdgesplitError

    if path.exists():
        raise EdgesplitError(f"{path} exists already. Choose another name, or remove it first.")


def write_new(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Writes a file that must not be there yet, unless it may be replaced."""
    from edgesplit.storage.files import Store, map_os_errors

    if not replace:
        check_new(path)
    with map_os_errors("write", path):
        Store().replace_file(path, content)
