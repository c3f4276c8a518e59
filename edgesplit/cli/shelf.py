"""The command that removes artifacts from the cache: the same for engines and variants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgesplit.cli.options import json_option, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgesplit.runtime.backends.artifacts import ArtifactCache

__all__ = ["rm_command"]


def rm_command(noun: str, load: Callable[[], ArtifactCache[Any]]) -> click.Command:
    """`edgesplit <noun> rm`.

    Args:
        noun: the cache's.
        load: imports the cache, once the command runs.
    """

    @click.argument("key", required=False)
    @click.option("--all", "everything", is_flag=True, help="Everything that is there.")
    @json_option
    def rm(key: str | None, everything: bool, as_json: bool) -> None:
        if (key is None) != everything:
            raise click.UsageError("give a KEY, or --all")
        removed = load().remove(key)
        if as_json:
            print_json({"removed": removed})
        else:
            click.echo("\n".join(removed) or f"there was no {noun}")

    return click.command(
        "rm",
        help=f"""Remove from the cache, by the first characters of a key, or all.

        \b
        Example:
            edgesplit {noun} rm 3fa81c02
            edgesplit {noun} rm --all
        """,
    )(rm)
