"""Commands that make other forms of the backbone: `engine`, `variant`, `fuse`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from edgesplit._types import EnginePrecision, VariantName
from edgesplit.cli.options import (
    FOLDER,
    NEW_FILE,
    Parsed,
    bundle_options,
    check_new,
    json_option,
    open_bundle,
    overwrite_option,
    write_new,
)
from edgesplit.cli.render.backends import show_engine, show_engines, show_variant, show_variants
from edgesplit.cli.render.console import echo, notes, print_json, print_result, short, steps
from edgesplit.errors import EdgesplitError

if TYPE_CHECKING:
    from edgesplit.runtime.backends.artifacts import Artifact, Made
    from edgesplit.runtime.backends.engines import Engine
    from edgesplit.runtime.backends.tensorrt import Batch

__all__ = ["engine", "fuse", "variant"]


@click.group()
def engine() -> None:
    """Compile the backbone with TensorRT.

    An engine is built for this device and stored in the cache (EDGESPLIT_CACHE), never in a bundle.
    Edits do not need a new engine.

    \b
    Example:
        edgesplit engine build --precision fp16
        edgesplit engine list
    """


def _batch(text: str) -> Batch:
    from edgesplit.runtime.backends.tensorrt import Batch

    least, best, most = map(int, text.split(","))
    return Batch(least, best, most)


@engine.command("build")
@click.option(
    "--precision",
    type=click.Choice(get_args(EnginePrecision)),
    default="fp32",
    show_default=True,
    help="Precision of the operators. With fp16, operators that would lose accuracy stay in fp32.",
)
@click.option(
    "--batch",
    type=Parsed(_batch, "not three numbers from 1 in ascending order, such as 1,1,8"),
    metavar="LEAST,BEST,MOST",
    help="Smallest, fastest and largest number of clips in one run (default: 1,1,8).",
)
@click.option(
    "--clips",
    "folder",
    type=FOLDER,
    help="Folder of unlabelled videos like those the device sees: required for int8, recommended "
    "for fp16.",
)
@click.option("--rebuild", is_flag=True, help="Build the engine again if the cache has it.")
@bundle_options
def _build_engine(
    precision: EnginePrecision,
    folder: Path | None,
    bundle_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Build the engine of a bundle's backbone.

    This takes minutes on a small device. The engine is kept only if its features agree with those
    of ONNX Runtime.

    \b
    Example:
        edgesplit engine build --precision fp16 --clips videos/ --batch 1,1,4
        edgesplit engine build --precision int8 --clips videos/
    """
    from edgesplit.runtime import build_engine
    from edgesplit.video.clips import find_videos

    if folder is None and precision == "int8":
        raise click.UsageError("--precision int8 needs --clips")
    if folder is not None and precision == "fp32":
        raise click.UsageError("--clips is for --precision int8 and fp16")
    bundle = open_bundle(bundle_path)
    with steps("looking for a GPU and TensorRT") as on_step:
        build = build_engine(
            bundle,
            precision=precision,
            clips=find_videos(folder) if folder else None,
            progress=on_step,
            **options,
        )
    _print_made(as_json, build, _engine_content(build.artifact), show_engine)


def _print_made(
    as_json: bool, made: Made[Any], content: dict[str, Any], show: Callable[..., None]
) -> None:
    print_result(as_json, {**content, "new": made.new, "seconds": made.seconds}, show, made)


@engine.command("list")
@json_option
def _list_engines(as_json: bool) -> None:
    """List the engines in the cache, newest first.

    The last column shows which of them run on this device.

    \b
    Example:
        edgesplit engine list
    """
    from edgesplit.runtime.backends.engines import ENGINES, TensorRT

    engines = ENGINES.list()
    platform, why = None, ""
    if engines:
        try:
            platform = TensorRT().platform()
        except EdgesplitError as error:
            why = str(error)
    content = [{**_engine_content(one), "fits": one.platform == platform} for one in engines]
    print_result(as_json, content, show_engines, engines, platform)
    if why and not as_json:
        echo(f"None of them runs on this device: {why}", err=True)


def _engine_content(one: Engine) -> dict[str, Any]:
    return {**_content(one), "age_s": round(one.age_s)}


def _content(one: Artifact) -> dict[str, Any]:
    return {"key": one.key, **asdict(one)}


@click.group()
def variant() -> None:
    """Make the backbone smaller or faster.

    A variant is another form of the backbone for ONNX Runtime. It is stored in the cache
    (EDGESPLIT_CACHE), never in a bundle, and works with every head.

    \b
    Example:
        edgesplit variant add int8 --clips videos/
        edgesplit predict --variant int8 clip.mp4
    """


@variant.command("add")
@click.argument("name", type=click.Choice(get_args(VariantName)))
@click.option(
    "--clips",
    "folder",
    required=True,
    type=FOLDER,
    help="Folder of unlabelled videos like those the device sees, for calibration and comparison.",
)
@click.option("--rebuild", is_flag=True, help="Make the variant again if the cache has it.")
@bundle_options
def _add_variant(
    name: VariantName, folder: Path, rebuild: bool, bundle_path: Path | None, as_json: bool
) -> None:
    """Make a variant and compare it with fp32.

    The variant is kept only if its answers agree with those of the fp32 backbone.

    \b
    fp16  float16 where values fit: half the size; for GPUs, slow on most CPUs
    int8  8 bits, calibrated on every other clip and compared on the others
    ort   float32 with ONNX Runtime's fused operators, for transformers

    \b
    Example:
        edgesplit variant add int8 --clips videos/
    """
    from edgesplit.runtime import add_variant
    from edgesplit.video.clips import find_videos

    bundle = open_bundle(bundle_path)
    with notes().status(f"making {name}") as status:
        added = add_variant(
            bundle, name, clips=find_videos(folder), rebuild=rebuild, progress=status.update
        )
    _print_made(as_json, added, _content(added.artifact), show_variant)


@variant.command("list")
@json_option
def _list_variants(as_json: bool) -> None:
    """List the variants in the cache, newest first.

    \b
    Example:
        edgesplit variant list
    """
    from edgesplit.runtime.backends.variants import VARIANTS

    variants = VARIANTS.list()
    print_result(as_json, [_content(one) for one in variants], show_variants, variants)


def _add_rm(group: click.Group) -> None:
    """Add `rm`, which is the same for engines and variants."""
    noun = str(group.name)

    @click.argument("key", required=False)
    @click.option("--all", "everything", is_flag=True, help=f"Remove all {noun}s.")
    @json_option
    def rm(key: str | None, everything: bool, as_json: bool) -> None:
        from edgesplit.runtime.backends.engines import ENGINES
        from edgesplit.runtime.backends.variants import VARIANTS

        if (key is None) != everything:
            raise click.UsageError("Give either KEY or --all.")
        removed = (ENGINES if noun == "engine" else VARIANTS).remove(key)
        if as_json:
            print_json({"removed": removed})
        else:
            echo("\n".join(removed) or f"the cache has no {noun}")

    summary = f"""Remove {noun}s from the cache.

    KEY is a key of `edgesplit {noun} list`, or its first characters.

    \b
    Example:
        edgesplit {noun} rm 3fa81c02
        edgesplit {noun} rm --all
    """
    group.command("rm", help=summary)(rm)


_add_rm(engine)
_add_rm(variant)


@click.command()
@click.option("-o", "--output", required=True, type=NEW_FILE, help="ONNX file to write.")
@click.option("--head", "digest", help="Digest of the head (default: the live head).")
@click.option(
    "--variant", type=click.Choice(get_args(VariantName)), help="Use this variant of the backbone."
)
@overwrite_option
@bundle_options
def fuse(
    output: Path,
    digest: str | None,
    variant: VariantName | None,
    overwrite: bool,
    bundle_path: Path | None,
    as_json: bool,
) -> None:
    """Write backbone and head as one ONNX file.

    For programs that take only one file. The file cannot be edited: after an edit, fuse again, and
    rebuild everything that was built from it. Other answers may change: TensorRT, for example, may
    choose other kernels for the same class if the head has another size.

    \b
    Example:
        edgesplit fuse -o model.onnx
    """
    from edgesplit.backbone.fuse import fuse_models
    from edgesplit.backbone.identity import inline
    from edgesplit.runtime.backends.variants import read_variant

    check_new(output, overwrite=overwrite)
    bundle = open_bundle(bundle_path)
    fused = fuse_models(
        read_variant(bundle, variant) if variant else inline(bundle.backbone()),
        bundle.head(digest),
        clip_shape=bundle.preprocessing.clip_shape,
        optimize=variant != "fp16",
    )
    write_new(output, fused.data, overwrite=overwrite)
    if as_json:
        size, difference = len(fused.data), fused.difference
        about = {"output": str(output), "head_digest": fused.head_digest}
        print_json({**about, "size_bytes": size, "difference": difference})
        return
    echo(
        f"{output}: backbone and head {short(fused.head_digest)}, {len(fused.data) / 1e6:.1f} MB\n"
        f"  in ONNX Runtime, logits differ from those of the two files by {fused.difference:.1g} "
        "of the largest\n"
        "  after an edit, fuse again; an engine built from this file does not guarantee locality"
    )
    if variant == "fp16":
        echo(
            "warning: on a CPU, open this file with graph optimizations off: ONNX Runtime's "
            "optimizer crashes on some float16 graphs",
            err=True,
        )
