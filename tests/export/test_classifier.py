"""What a bundle is made with: the model's word, the caller's over it, and what is asked for."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from torch import nn

from edgesplit.errors import ExportError
from edgesplit.export.models.classifier import Classifier, Setting

pytestmark = pytest.mark.torch

FILE = "config.json"


def test_model_that_says_nothing_is_asked_for_everything_at_once() -> None:
    silent = Classifier(nn.Identity())
    with pytest.raises(ExportError, match="give --labels"):
        silent.settle()
    with pytest.raises(ExportError, match="give --frames, --size, --sampling"):
        silent.settle(labels=["a"])
    choices = silent.settle(labels=["a"], frames=4, height=8, width=9, sampling="uniform")
    assert choices.preprocessing.clip_shape == (3, 4, 8, 9)
    assert choices.origins["frames"] == "options"
    assert choices.origins["mean"] == "default"


def test_the_caller_wins_and_every_value_keeps_its_origin() -> None:
    known = {"frames": 8, "height": 32, "width": 32, "mean": (0.5, 0.5, 0.5)}
    classifier = Classifier(
        nn.Identity(),
        labels=Setting(("left", "right"), FILE),
        settings={name: Setting(value, FILE) for name, value in known.items()},
    )
    choices = classifier.settle(frames=16, height=None, sampling="dense", stride=3)
    assert choices.labels == ("left", "right")
    clip = choices.preprocessing
    assert (clip.frames, clip.height, clip.stride, clip.mean) == (16, 32, 3, (0.5,) * 3)
    origins = {"labels": FILE, "height": FILE, "width": FILE, "mean": FILE}
    origins |= {"frames": "options", "sampling": "options", "stride": "options"}
    assert choices.origins == {
        **dict.fromkeys(("layout", "resize", "interpolation", "std"), "default"),
        **origins,
    }


def test_what_the_files_leave_open_is_never_assumed() -> None:
    classifier = Classifier(nn.Identity(), unclear={"resize": "p.json is odd: give --resize."})
    options = {"frames": 4, "height": 8, "width": 8, "sampling": "uniform"}
    with pytest.raises(ExportError, match=r"p\.json is odd"):
        classifier.settle(labels=["a"], **options)
    assert classifier.settle(labels=["a"], resize=9, **options).preprocessing.resize == 9


def test_values_that_do_not_fit_name_where_they_are_from() -> None:
    classifier = Classifier(nn.Identity(), settings={"resize": Setting(8, FILE)})
    with pytest.raises(ExportError, match=r"resize 8 is smaller than the crop 16x16 \(from conf"):
        classifier.settle(labels=["a"], frames=4, height=16, width=16, sampling="uniform")
