"""The command line: parse, one library call, echo. Heavy modules load inside the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from edgesplit import __version__
from edgesplit.cli import (
    bench,
    doctor,
    edit,
    engine,
    features,
    history,
    make,
    predict,
    run,
    variant,
)
from edgesplit.cli.options import print_error
from edgesplit.errors import EdgesplitError

__all__ = ["main"]


INTERRUPTED = 130
"""What shells say of a command that Ctrl-C ended."""


class _Group(click.Group):
    """Errors become one message, or with --json one object, and an exit code."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        given = sys.argv[1:] if args is None else list(args)
        try:
            done = super().main(args=given, standalone_mode=False, **extra)
        except click.Abort:
            if not standalone_mode:
                raise
            click.echo("Stopped.", err=True)
            sys.exit(INTERRUPTED)
        except click.ClickException as error:
            if not standalone_mode:
                raise
            if "--json" in given:
                kind = type(error.__cause__ or error).__name__
                print_error(kind, error.format_message(), as_json=True)
            else:
                error.show()
            sys.exit(error.exit_code)
        if standalone_mode:
            sys.exit(done if isinstance(done, int) else 0)
        return done

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # `edgesplit show | head`: click ends quietly
        except (EdgesplitError, OSError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Split a class of a deployed video classifier, on the device, in milliseconds.

    Most commands work on a bundle: --bundle, else EDGESPLIT_BUNDLE, else the one in the current
    folder. `edgesplit demo` makes one to try.
    """


for _command in (
    *(make.export, make.encoder, make.demo, make.fuse),
    *(edit.edit, edit.merge, edit.rename, edit.drop),
    *(history.publish, history.rollback, history.log, history.prune),
    *(history.show, history.diff, history.verify),
    *(features.features, features.calibrate),
    *(predict.predict, run.run, engine.engine, variant.variant, doctor.doctor, bench.bench),
):
    main.add_command(_command)
