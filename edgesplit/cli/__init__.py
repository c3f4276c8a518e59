"""The command line: parse, one library call, echo. Heavy modules load inside the commands."""

from __future__ import annotations

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
from edgesplit.errors import EdgesplitError

__all__ = ["main"]


class _Group(click.Group):
    """Turns an EdgesplitError into one message and exit code 1."""

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
