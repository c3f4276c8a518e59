"""The whole export: model, labels and preprocessing in, a bundle or nothing out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from torch import Tensor, nn

from edgesplit.backbone.backends import OrtBackend
from edgesplit.bundle.bundle import open_bundle
from edgesplit.errors import ClipError, ExportError, LabelError
from edgesplit.export import bundle as export_bundle
from edgesplit.export.bundle import ExportReport, export_model
from edgesplit.export.graph.parity import Parity
from edgesplit.video.preprocessing import Preprocessing
from tests.videos import encode, waves

pytestmark = pytest.mark.torch

PREPROCESSING = Preprocessing(frames=4, height=16, width=16, mean=(0.5,) * 3, std=(0.25,) * 3)
LABELS = ["pushing something", "pulling left", "pulling right", "dropping", "lifting"]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 8, 3)
        self.head = nn.Linear(8, len(LABELS))

    def forward(self, clips: Tensor) -> object:
        return self.head(self.stem(clips).relu().mean((2, 3, 4)))


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model()


@pytest.fixture
def clips() -> list[npt.NDArray[np.float32]]:
    return list(np.random.default_rng(0).random((19, *PREPROCESSING.clip_shape), np.float32))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "lab.bundle"


def test_bundle_answers_as_the_model_does(
    model: Model, output: Path, clips: list[npt.NDArray[np.float32]]
) -> None:
    report = export_model(model, labels=LABELS, output=output, preprocessing=PREPROCESSING)
    bundle = open_bundle(output)
    features = OrtBackend(bundle.backbone(), threads=1).run(np.stack(clips))
    with torch.inference_mode():
        logits = model.eval()((torch.from_numpy(np.stack(clips)) - 0.5) / 0.25)
    wanted = [LABELS[index] for index in logits.argmax(1)]
    assert bundle.head().classify(features) == wanted
    assert bundle.verify() == []
    assert (bundle.path / "texts.npz").is_file()
    assert bundle.statistics is None
    _check_report(report, output)
    assert report.n_features == 0


def _check_report(report: ExportReport, output: Path) -> None:
    bundle = open_bundle(output)
    assert report.path == output
    assert report.feature_space == bundle.feature_space
    assert report.head_digest == bundle.live
    assert (report.head_layer, report.averaged, report.scale) == ("head", False, 1)
    assert (report.n_classes, report.feature_dim) == (len(LABELS), 8)
    assert (report.opset, report.ir_version) == (18, 8)
    assert report.backbone_bytes == (output / "backbone.onnx").stat().st_size
    assert report.parity.logits < 1e-5


def test_same_model_gives_the_same_feature_space_and_head(model: Model, tmp_path: Path) -> None:
    first, second = (
        export_model(model, labels=LABELS, output=tmp_path / name, preprocessing=PREPROCESSING)
        for name in ("one", "two")
    )
    assert (first.feature_space, first.head_digest) == (second.feature_space, second.head_digest)


def test_clips_give_statistics(
    model: Model, output: Path, clips: list[npt.NDArray[np.float32]]
) -> None:
    steps: list[str] = []
    report = export_model(
        model,
        labels=LABELS,
        output=output,
        preprocessing=PREPROCESSING,
        clips=clips,
        progress=steps.append,
    )
    bundle = open_bundle(output)
    assert report.n_features == 19
    assert report.parity.n_clips > 4  # the random ones and some of these
    assert bundle.statistics is not None
    assert bundle.statistics.counts.sum() == 19
    assert bundle.statistics.feature_space == bundle.feature_space
    # Features of a clip may differ in the last bits with the batch it is in.
    np.testing.assert_allclose(
        bundle.statistics.sample,
        OrtBackend(bundle.backbone(), threads=1).run(np.stack(clips)),
        rtol=1e-5,
        atol=1e-6,
    )
    assert steps == [
        "looking for the head",
        "exporting the backbone",
        "comparing with torch",
        *(f"reading clips, {done} of 19" for done in range(1, 20)),
        "embedding the labels",
        "writing the bundle",
    ]


def test_constant_factor_behind_the_layer_is_part_of_the_head(
    output: Path, clips: list[npt.NDArray[np.float32]]
) -> None:
    class Temperature(Model):
        def forward(self, clips: Tensor) -> object:
            return 14.3 * self.head(self.stem(clips).relu().mean((2, 3, 4)))

    torch.manual_seed(0)
    model = Temperature()
    report = export_model(model, labels=LABELS, output=output, preprocessing=PREPROCESSING)
    assert report.scale == pytest.approx(14.3)
    bundle = open_bundle(output)
    features = OrtBackend(bundle.backbone(), threads=1).run(np.stack(clips))
    with torch.inference_mode():
        wanted = model.eval()((torch.from_numpy(np.stack(clips)) - 0.5) / 0.25).softmax(1)
    found = torch.from_numpy(features @ bundle.head().weight.T + bundle.head().bias).softmax(1)
    # 1e-6 of logits around 10
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_named_head_layer_reaches_the_cut(output: Path) -> None:
    class TwoHeads(Model):
        def __init__(self) -> None:
            super().__init__()
            self.noun = nn.Linear(8, 2)

        def forward(self, clips: Tensor) -> object:
            features = self.stem(clips).relu().mean((2, 3, 4))
            return self.head(features), self.noun(features)

    torch.manual_seed(0)
    report = export_model(
        TwoHeads(),
        labels=["a box", "a cup"],
        output=output,
        preprocessing=PREPROCESSING,
        head_layer="noun",
    )
    assert report.head_layer == "noun"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([*LABELS, ""], r"6 labels, but 'head' has 5 classes.*empty lines"),
        ([*LABELS, LABELS[1]], "Labels such as 'pulling left' are repeated"),
        (["label", *LABELS], "Is the first line, 'label', a header"),
        ([",".join(LABELS)], "a comma-separated list"),
        (LABELS[:3], "3 labels, but 'head' has 5 classes. Give one label per class"),
    ],
    ids=["trailing_newline", "repeated", "header", "commas", "too_few"],
)
def test_labels_that_do_not_fit_name_both_numbers_and_a_guess(
    labels: list[str], message: str, model: Model, output: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        export_model(model, labels=labels, output=output, preprocessing=PREPROCESSING)
    assert list(output.parent.iterdir()) == []


def test_repeated_label_is_refused(model: Model, output: Path) -> None:
    labels = [*LABELS[:4], LABELS[0]]
    with pytest.raises(LabelError, match="pushing something"):
        export_model(model, labels=labels, output=output, preprocessing=PREPROCESSING)


def test_failed_parity_leaves_nothing_behind(
    model: Model, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = Parity(features=0.3, logits=0.4, top1_agreement=0.5, n_clips=4, n_winners=2)
    monkeypatch.setattr(export_bundle, "measure_parity", lambda *_, **__: far)
    with pytest.raises(ExportError, match=r"features differ by 3\.0e-01.*logits by 4\.0e-01.*50%"):
        export_model(model, labels=LABELS, output=output, preprocessing=PREPROCESSING)
    assert list(output.parent.iterdir()) == []


def test_unreadable_clip_leaves_nothing_behind(model: Model, output: Path) -> None:
    with pytest.raises(ClipError, match=r"missing\.mp4"):
        export_model(
            model,
            labels=LABELS,
            output=output,
            preprocessing=PREPROCESSING,
            clips=[output.parent / "missing.mp4"],
        )
    assert list(output.parent.iterdir()) == []


def test_an_unreadable_clip_among_others_is_named(model: Model, output: Path) -> None:
    torn, good = output.with_name("torn.mp4"), output.with_name("good.mp4")
    torn.write_bytes(b"torn")
    encode(good, waves(4, 32, 32))
    report = export_model(
        model,
        labels=LABELS,
        output=output,
        preprocessing=PREPROCESSING,
        clips=[torn, good, np.zeros(PREPROCESSING.clip_shape, np.float32)],
    )
    assert report.n_features == 2
    assert list(report.missing) == [str(torn)]
    assert "is not a video" in report.missing[str(torn)]


def test_existing_output_is_not_touched(model: Model, output: Path) -> None:
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        export_model(model, labels=LABELS, output=output, preprocessing=PREPROCESSING)
    assert [path.name for path in output.iterdir()] == ["notes.txt"]


def test_mistakes_in_arrays_name_the_shapes(model: Model, output: Path) -> None:
    clip = np.zeros((4, 3, 16, 16), np.float32)
    features = np.zeros((9, 7), np.float32)
    with pytest.raises(ValueError, match=r"\(4, 3, 16, 16\), not \(3, 4, 16, 16\)"):
        export_model(model, labels=LABELS, output=output, preprocessing=PREPROCESSING, clips=[clip])
    with pytest.raises(ValueError, match=r"\(9, 7\)"):
        export_model(
            model, labels=LABELS, output=output, preprocessing=PREPROCESSING, features=features
        )
    with pytest.raises(ValueError, match="clips or features, not both"):
        export_model(
            model,
            labels=LABELS,
            output=output,
            preprocessing=PREPROCESSING,
            clips=[clip],
            features=features,
        )
    assert list(output.parent.iterdir()) == []
