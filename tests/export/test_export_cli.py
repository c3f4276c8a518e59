"""`edgesplit export` as typed: what is taken from where is printed and stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("transformers")

from edgesplit.bundle.bundle import open_bundle
from edgesplit.cli import main

pytestmark = pytest.mark.torch

FACTORY = """
from torch import nn

def make(n_classes):
    pooled = [nn.Conv3d(3, 8, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten()]
    return nn.Sequential(*pooled, nn.Linear(8, n_classes))
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "timesformer"
    folder.mkdir()
    sizes: dict[str, Any] = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    sizes |= {"num_hidden_layers": 1, "image_size": 16, "patch_size": 8, "num_frames": 2}
    import transformers

    labels = {index: f"class {index}" for index in range(174)}
    config = transformers.TimesformerConfig(id2label=labels, **sizes)
    transformers.TimesformerForVideoClassification(config).save_pretrained(folder)
    processor: dict[str, Any] = {"crop_size": {"height": 16, "width": 16}}
    processor |= {"size": {"shortest_edge": 20}, "image_mean": [0.485, 0.456, 0.406]}
    processor |= {"image_std": [0.229, 0.224, 0.225]}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def test_folder_needs_only_its_sampling(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "lab.bundle"
    result = run(folder, "--sampling", "dense:4", "-o", output)
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert "config.json               174 labels, 2 frames, ntchw" in lines
    scaled = "preprocessor_config.json  16x16, short side 20, antialias, mean 0.485,0.456,0.406, "
    assert scaled + "std 0.229,0.224,0.225" in lines
    assert "options                   dense:4" in lines
    assert "No two labels of this head differ in one modifier only" in result.stdout
    stored = open_bundle(output).preprocessing
    assert (stored.sampling, stored.stride, stored.resize) == ("dense", 4, 20)
    assert open_bundle(output).head().labels[:2] == ("class 0", "class 1")


def test_json_says_what_was_taken_from_where(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--sampling", "uniform", "--std", "1,1,1", "-o", tmp_path / "b", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["origins"]["std"] == content["origins"]["sampling"] == "options"
    assert content["origins"]["mean"] == "preprocessor_config.json"
    assert content["preprocessing"]["std"] == [1, 1, 1]
    assert content["knowledge"]["axes"] == []
    assert content["preprocessing"] == open_bundle(tmp_path / "b").preprocessing.to_json()


def test_factory_is_given_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "given_all.py").write_text(FACTORY)
    (tmp_path / "labels.txt").write_text("left\nright\nup\n")
    monkeypatch.chdir(tmp_path)
    spec = ("given_all:make", "--sampling", "uniform", "-o", "b")
    asked = run(*spec)
    assert asked.exit_code == 1
    assert "given_all:make does not define its classes" in asked.output
    assert "give --labels, --frames, --size." in asked.output
    result = run(*spec, "--labels", "labels.txt", "--frames", "4", "--size", "16x12")
    assert result.exit_code == 0, result.output
    assert "warning: no --checkpoint" in result.stderr
    assert open_bundle(tmp_path / "b").preprocessing.clip_shape == (3, 4, 16, 12)


def test_broken_torchvision_is_one_json_object(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def fail(*_: object, **__: object) -> None:
        cause = RuntimeError("operator torchvision::nms does not exist")
        raise ModuleNotFoundError("Could not import module 'TimesformerModel'.") from cause

    monkeypatch.setattr(transformers.AutoModelForVideoClassification, "from_pretrained", fail)
    result = run(folder, "--sampling", "uniform", "-o", tmp_path / "b", "--json")
    assert result.exit_code == 1
    error = json.loads(result.stderr)["error"]
    assert error["type"] == "MissingExtraError"
    assert "torchvision cannot be imported (operator torchvision::nms" in error["message"]


def test_multi_label_model_is_refused_with_the_reason(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["problem_type"] = "multi_label_classification"
    (folder / "config.json").write_text(json.dumps(config))
    result = run(folder, "--sampling", "uniform", "-o", tmp_path / "b")
    assert result.exit_code == 1
    assert "problem_type 'multi_label_classification'" in result.stderr
    assert not (tmp_path / "b").exists()


def test_factor_that_became_part_of_the_head_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled = (
        FACTORY
        + """
class Scaled(nn.Sequential):
    def forward(self, clips):
        return 14.3 * super().forward(clips)

def scaled(n_classes):
    return Scaled(*make(n_classes))
"""
    )
    (tmp_path / "with_factor.py").write_text(scaled)
    (tmp_path / "labels.txt").write_text("left\nright\nup\n")
    monkeypatch.chdir(tmp_path)
    clips = ("--sampling", "uniform", "--labels", "labels.txt", "--frames", "4", "--size", "16")
    result = run("with_factor:scaled", *clips, "-o", "b")
    assert result.exit_code == 0, result.output
    assert "the constant factor 14.3 after this layer is part of the head" in result.stdout
    result = run("with_factor:scaled", *clips, "-o", "c", "--json")
    assert json.loads(result.stdout)["scale"] == pytest.approx(14.3)


@pytest.mark.parametrize("text", ["dense", "dense:0", "dense:x", "uniform:2", "kinetics"])
def test_sampling_is_uniform_or_dense_with_a_stride(text: str, tmp_path: Path) -> None:
    result = run("a:b", "--sampling", text, "-o", tmp_path / "b")
    assert result.exit_code == 2
    assert f"{text!r} is neither uniform nor dense:STRIDE, such as dense:4" in result.output


def test_sampling_must_be_given(tmp_path: Path) -> None:
    result = run("a:b", "-o", tmp_path / "b")
    assert result.exit_code == 2
    assert "Missing option '--sampling'" in result.output


def test_class_names_that_do_not_fit_name_both_numbers(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("left\nright\n")
    result = run(
        folder, "--sampling", "uniform", "-o", tmp_path / "b", "--labels", tmp_path / "labels.txt"
    )
    assert result.exit_code == 1
    assert "There are 2 labels, but 'classifier' has 174 classes." in result.output
    assert not (tmp_path / "b").exists()


def test_all_that_is_wrong_is_said_at_once_and_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b").mkdir()
    labels = ("--labels", "labels.txt")
    result = run("never_imported:make", "--sampling", "uniform", "-o", "b", *labels, "--size", "0")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    for line, part in zip(
        lines,
        (
            "b exists already",
            "labels.txt",
            "give --frames.",
            "--size 0x0 is out of range: 1 to 4096",
        ),
        strict=True,
    ):
        assert part in line
    assert not any("cannot be imported" in line for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "timesformer/config.json/b"), "config.json is not a folder. Choose another -o"),
        (("-o", "b", "--frames", "5000"), "--frames 5000 is too large; it is at most 1024"),
        (("-o", "b", "--size", "99999"), "--size 99999x99999 is out of range: 1 to 4096"),
        (("-o", "b", "--size", "64", "--resize", "32"), "resize 32 is smaller than the crop"),
        (("-o", "b", "--std", "0,1,1"), "std must be"),
    ],
)
def test_options_that_cannot_be_right_are_refused_before_the_model_is_loaded(
    options: tuple[str, ...], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import edgesplit.export

    monkeypatch.setattr(edgesplit.export, "load_classifier", None)
    monkeypatch.chdir(folder.parent)
    result = run(folder, "--sampling", "uniform", *options)
    assert result.exit_code == 1
    assert message in result.stderr


def test_each_step_is_told_with_its_seconds(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--sampling", "uniform", "-o", tmp_path / "b")
    steps = [line.partition(" s  ")[2] for line in result.stderr.splitlines() if " s  " in line]
    assert steps == [
        "loading the model",
        "looking for the head",
        "exporting the backbone",
        "comparing with torch",
        "embedding the labels",
        "writing the bundle",
    ]
