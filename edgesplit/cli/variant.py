"""The commands about variants: the backbone in fp16, int8 or fused, kept in the user's cache."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesplit.cli.options import RECIPES, bundle_option, json_option, open_bundle, print_json
from edgesplit.cli.shelf import rm_command

if TYPE_CHECKING:
    from edgesplit.runtime.backends.variants import Recipe, Variant
    from edgesplit.storage.artifacts import Shelf

__all__ = ["variant"]


@click.group()
def variant() -> None:
    """Make the backbone smaller or faster for ONNX Runtime: add, list, rm; each with --json.

    Variants lie in the cache (EDGESPLIT_CACHE), never in a bundle. Every head runs on them.

    \b
    Example:
        edgesplit variant add int8 --clips videos/
        edgesplit predict --variant int8 clip.mp4
    """


@variant.command()
@click.argument("recipe", type=click.Choice(RECIPES))
@click.option(
    "--clips",
    "folder",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of unlabelled videos like those the device sees: they calibrate and judge.",
)
@click.option("--force", is_flag=True, help="Make it even if it is there.")
@bundle_option
@json_option
def add(recipe: Recipe, folder: Path, force: bool, bundle_path: Path | None, as_json: bool) -> None:
    """Make a variant; it is kept only if it answers as the fp32 backbone does.

    \b
    fp16  float16 inside, where values fit: half the size; for GPUs, slow on most CPUs
    int8  8 bits inside, calibrated on every other clip and judged on the rest
    ort   float32 with ONNX Runtime's fused operators, for transformers

    \b
    Example:
        edgesplit variant add int8 --clips videos/
    """
    from edgesplit.cli import screen
    from edgesplit.runtime import add_variant
    from edgesplit.video.clips import find_videos

    bundle = open_bundle(bundle_path)
    with screen.notes().status(f"making {recipe}") as status:
        added = add_variant(
            bundle, recipe, clips=find_videos(folder), force=force, progress=status.update
        )
    if as_json:
        print_json({**_content(added.variant), "new": added.new, "seconds": added.seconds})
    else:
        screen.show_variant(screen.console(), added)


@variant.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the variants of the cache, the newest first.

    \b
    Example:
        edgesplit variant list
    """
    from edgesplit.cli import screen
    from edgesplit.runtime.backends.variants import VARIANTS

    variants = VARIANTS.list()
    if as_json:
        print_json([_content(one) for one in variants])
    else:
        screen.show_variants(screen.console(), variants)


def _shelf() -> Shelf[Any]:
    from edgesplit.runtime.backends.variants import VARIANTS

    return VARIANTS


variant.add_command(rm_command("variant", _shelf))


def _content(one: Variant) -> dict[str, Any]:
    return {"key": one.key, **asdict(one)}
