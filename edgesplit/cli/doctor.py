"""The command about the machine itself: `doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from edgesplit.cli.options import bundle_option, json_option, print_json

__all__ = ["doctor"]


@click.command()
@bundle_option
@json_option
def doctor(bundle_path: Path | None, as_json: bool) -> None:
    """Say what this device can do, how fast, and what to change; nothing is changed.

    The exit code is 1 only when edgesplit cannot work here: no ONNX Runtime, or the bundle
    cannot be read.

    \b
    Example:
        edgesplit doctor --bundle lab.bundle
    """
    from edgesplit.cli import screen
    from edgesplit.runtime.device.doctor import examine

    with screen.notes().status("trying what runs here"):
        checkup = examine(bundle_path)
    if as_json:
        print_json(checkup.to_json())
    else:
        screen.show_checkup(screen.console(), checkup)
    click.get_current_context().exit(0 if checkup.usable else 1)
