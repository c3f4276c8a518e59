"""Load torchvision's video classifiers with the preprocessing of their training.

torchvision is not a dependency: users who export one of its models have it. Only the scaling
differs: torchvision scales the frames of some models to a fixed size, which changes the aspect
ratio, before it crops. edgesplit scales the short side and keeps the aspect ratio, which is the
same for 4:3 (ResNets) or square (S3D) videos.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from edgesplit.errors import ExportError, MissingExtraError
from edgesplit.export.models.checkpoint import count_classes, load_weights, read_weights
from edgesplit.export.models.classifier import Classifier, Setting, found_in, square_clips
from edgesplit.export.wording import first_line

__all__ = ["MODELS", "VideoModel", "load_torchvision", "torchvision_refusal"]


@dataclass(frozen=True, slots=True)
class VideoModel:
    """A builder in `torchvision.models.video`, and the clips of its Kinetics weights."""

    head: str
    """Name of the layer that gives the logits; its rows are counted to find the classes."""
    clips: Mapping[str, Any]
    """Fields of `Preprocessing`. torchvision antialiases pictures, but not videos."""


_KINETICS = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
_RESNET = VideoModel("fc", square_clips(frames=16, size=112, resize=128, **_KINETICS))
_MVIT = square_clips(frames=16, size=224, resize=256, mean=(0.45,) * 3, std=(0.225,) * 3)
MODELS = {
    "r3d_18": _RESNET,
    "mc3_18": _RESNET,
    "r2plus1d_18": _RESNET,
    "s3d": VideoModel("classifier.1", square_clips(frames=128, size=224, resize=256, **_KINETICS)),
    "mvit_v2_s": VideoModel("head.1", _MVIT),
    "swin3d_t": VideoModel("head", square_clips(frames=32, size=224, resize=256)),
}


def load_torchvision(name: str, *, checkpoint: Path | None) -> Classifier:
    """Return one of torchvision's video classifiers.

    Args:
        name: A key of `MODELS`.
        checkpoint: A state dict of the same architecture with any number of classes; without it,
            torchvision's own weights and class names (it downloads them once).

    Raises:
        ExportError: The model is unknown or cannot be built, or the checkpoint does not fit.
        MissingExtraError: torchvision is not installed, or was built for another torch.
    """
    if name not in MODELS:
        names = ", ".join(f"torchvision:{key}" for key in MODELS)
        raise ExportError(f"There is no torchvision:{name}. Give one of {names}.")
    settings = found_in(f"torchvision:{name}", MODELS[name].clips)
    models = _import_models()
    if checkpoint is None:
        weights = models.get_model_weights(name).DEFAULT
        model = _build(models, name, weights=weights)
        return Classifier(
            model,
            labels=Setting(tuple(weights.meta["categories"]), f"torchvision:{name}"),
            settings=settings,
        )
    state = read_weights(checkpoint)
    rows = f"{MODELS[name].head}.weight"
    n_classes = count_classes(state, rows)
    if n_classes is None:
        raise ExportError(
            f"{checkpoint} has no {rows}, the head of torchvision:{name}. "
            "Check that it is the architecture that was trained."
        )
    model = _build(models, name, weights=None, num_classes=n_classes)
    load_weights(model, state, origin=str(checkpoint))
    return Classifier(model, settings=settings)


def _import_models() -> Any:
    try:
        import_module("torchvision.models.video")
        return import_module("torchvision.models")
    except (ImportError, RuntimeError, OSError) as error:  # also if built for another torch
        raise MissingExtraError(torchvision_refusal(error)) from error


def torchvision_refusal(error: BaseException) -> str:
    """Return the message for an import of torchvision that raised `error`."""
    return (
        f"torchvision cannot be imported ({first_line(error)}). Install the version for your "
        "torch: pip install torchvision"
    )


def _build(models: Any, name: str, **arguments: Any) -> nn.Module:
    try:
        model = getattr(models.video, name)(**arguments)
    except Exception as error:  # no network, full disk, another version of torchvision
        raise ExportError(f"torchvision cannot build {name}: {error}") from error
    return model.eval()  # type: ignore[no-any-return]
