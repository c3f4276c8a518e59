"""The command line. A command parses its options, calls the library once and prints the result.

Heavy modules load inside the commands, so that `--help` and `--version` are fast.

edit      edit, merge, rename, drop
ask       ask; replies: parses what is typed; clip_page: the page that shows the clips
bundle    log, show, diff, verify, rollback, publish, prune, features, calibrate
run       predict, run
backbone  engine, variant, fuse
device    doctor, bench
export    export, encoder
demo      a split on shipped clips
splits    options and steps of all commands that make a new head
options   options of several commands; signals: signal handlers while a command runs
render    output: console, edits, ask, sheet, bundle, backends, stream
"""

from __future__ import annotations

import io
import sys
import threading
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NoReturn

import click

from edgesplit import __version__
from edgesplit.cli import ask, backbone, bundle, demo, device, edit, export, run
from edgesplit.cli.render.console import echo, print_error
from edgesplit.errors import EdgesplitError

__all__ = ["main"]

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Edit": (edit.edit, ask.ask, edit.merge, edit.rename, edit.drop, bundle.publish),
    "Look back": (
        bundle.log,
        bundle.show,
        bundle.diff,
        bundle.verify,
        bundle.rollback,
        bundle.prune,
    ),
    "Run": (run.predict, run.run, device.doctor, device.bench, demo.demo),
    "Prepare": (
        bundle.calibrate,
        bundle.features,
        backbone.variant,
        backbone.engine,
        backbone.fuse,
    ),
    "Workstation": (export.export, export.encoder),
}
"""Commands by section, in the order of `edgesplit --help`."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""


FORCE = ("--accept-doubt", "--accept-few", "--overwrite", "--rebuild")
"""Options that a user of `--force` may mean."""


class _Group(click.Group):
    """Lists commands by section; prints an error as one message, or with --json as one object."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            rows = [(str(one.name).ljust(width), one.get_short_help_str()) for one in commands]
            with formatter.section(title):
                formatter.write_dl(rows)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, **extra: Any
    ) -> NoReturn:
        given = sys.argv[1:] if args is None else list(args)
        sys.excepthook = _print_traceback
        threading.excepthook = lambda hook: _print_traceback(
            hook.exc_type, hook.exc_value, hook.exc_traceback
        )
        try:
            done = super().main(args=given, standalone_mode=False, **extra)
        except click.Abort:
            click.echo("Stopped.", err=True)
            sys.exit(INTERRUPTED)
        except click.ClickException as error:
            if isinstance(error, click.NoSuchOption) and error.option_name == "--force":
                error = _name_successors(error)
            if "--json" in given:
                kind = type(error.__cause__ or error).__name__
                print_error(kind, error.format_message(), as_json=True)
            else:
                text = io.StringIO()
                error.show(text)
                echo(text.getvalue().rstrip("\n"), err=True)
            sys.exit(error.exit_code)
        sys.exit(done if isinstance(done, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # `edgesplit show | head`: click ends quietly
        except (EdgesplitError, OSError) as error:
            raise click.ClickException(str(error)) from error


def _print_traceback(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Print an unexpected error; its text may come from somebody else's file."""
    echo("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"), err=True)


def _name_successors(error: click.NoSuchOption) -> click.NoSuchOption:
    """Return an error that suggests the options of `FORCE` that the command has."""
    parameters = error.ctx.command.params if error.ctx else []
    known = [name for parameter in parameters for name in parameter.opts if name in FORCE]
    if not known:
        return error
    message = f"There is no --force. Did you mean {' or '.join(known)}?"
    return click.NoSuchOption(error.option_name, message, ctx=error.ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Split a class of a deployed video classifier, on the device, in milliseconds.

    Most commands need a bundle: the one named by --bundle, else by EDGESPLIT_BUNDLE, else the one
    in the current folder. `edgesplit demo` creates a bundle to try.
    """


for _commands in SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)
