"""The commands about variants: the backbone in fp16, int8 or fused, kept in the user's cache."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from edgesplit._types import VariantName
from edgesplit.cli.options import bundle_option, json_option, open_bundle, print_json
from edgesplit.cli.shelf import rm_command

if TYPE_CHECKING:
    from edgesplit.runtime.backends.artifacts import ArtifactCache
    from edgesplit.runtime.backends.variants import Variant

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
@click.argument("name", type=click.Choice(get_args(VariantName)))
@click.option(
    "--clips",
    "folder",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of unlabelled videos like those the device sees: they calibrate and judge.",
)
@click.option("--rebuild", is_flag=True, help="Make it again if the cache has it.")
@bundle_option
@json_option
def add(
    name: VariantName, folder: Path, rebuild: bool, bundle_path: Path | None, as_json: bool
) -> None:
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
    with screen.notes().status(f"making {name}") as status:
        added = add_variant(
            bundle, name, clips=find_videos(folder), rebuild=rebuild, progress=status.update
        )
    if as_json:
        print_json({**_content(added.artifact), "new": added.new, "seconds": added.seconds})
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


def _cache() -> ArtifactCache[Any]:
    from edgesplit.runtime import VARIANTS

    return VARIANTS


variant.add_command(rm_command("variant", _cache))


def _content(one: Variant) -> dict[str, Any]:
    return {"key": one.key, **asdict(one)}
