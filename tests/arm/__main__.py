"""Run a command on an ARM machine that QEMU plays: `python -m tests.arm python3 -m pytest …`."""

import sys
import time

import click

from tests.arm.userland import ROOT, Userland, UserlandError, check_host


def main() -> int:
    """The command's exit status; 1 if there is no such machine."""
    start = time.perf_counter()
    userland = Userland(ROOT)
    try:
        check_host()
        fresh = userland.prepare()
    except UserlandError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    took = time.perf_counter() - start
    click.echo(f"ARM userland {'made' if fresh else 'found'} in {took:.0f} s", err=True)
    return userland.run(sys.argv[1:]).returncode


if __name__ == "__main__":
    sys.exit(main())
