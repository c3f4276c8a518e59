"""Hugging Face folders: what is taken from which file, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("transformers")

import torch
from torch import nn

from edgesplit.errors import ExportError, MissingExtraError
from edgesplit.export.bundle import export_model
from edgesplit.export.graph.trace import normalize_clips
from edgesplit.export.models.huggingface import load_pretrained, use_transformers
from edgesplit.export.models.processor import FAMILIES, read_processor
from edgesplit.video.preprocessing import Preprocessing

pytestmark = pytest.mark.torch

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "num_frames": 4,
}
PATCHES: dict[str, dict[str, Any]] = {
    "VideoMAE": {"patch_size": 8},
    "Timesformer": {"patch_size": 8},
    "Vivit": {"tubelet_size": [2, 8, 8]},
}
LABELS = [f"moving it {n} times" for n in range(11)]  # "10" sorts before "2" as a text
PROCESSOR = {
    "size": {"shortest_edge": 40},
    "crop_size": {"height": 32, "width": 32},
    "resample": 3,
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.3],
}

Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes a folder as save_pretrained does, and a processor's file beside it."""

    def write(
        family: str = "VideoMAE",
        *,
        name: str = "model",
        processor: dict[str, Any] | None = PROCESSOR,
        labels: list[str] | None = LABELS,
        half: bool = False,
        kind: str = "ForVideoClassification",
    ) -> str:
        import transformers

        torch.manual_seed(0)
        named = {} if labels is None else {"id2label": dict(enumerate(labels))}
        config = getattr(transformers, f"{family}Config")(**SIZES, **PATCHES[family], **named)
        model = getattr(transformers, f"{family}{kind}")(config)
        folder = tmp_path / name
        with use_transformers():
            (model.half() if half else model).save_pretrained(folder)
        if processor is not None:
            (folder / "preprocessor_config.json").write_text(json.dumps(processor))
        return str(folder)

    return write


@pytest.mark.parametrize("family", PATCHES)
def test_everything_but_the_sampling_comes_from_the_folder(family: str, save: Save) -> None:
    classifier = load_pretrained(save(family))
    choices = classifier.settle(sampling="dense", stride=4)
    assert choices.labels == tuple(LABELS)
    clip = choices.preprocessing
    assert clip.clip_shape == (4, 3, 32, 32)
    assert (clip.layout, clip.resize, clip.interpolation) == ("ntchw", 40, "antialias-bicubic")
    assert (clip.sampling, clip.stride) == ("dense", 4)
    config, processor = "config.json", "preprocessor_config.json"
    assert choices.origins == {
        **dict.fromkeys(("labels", "frames", "layout"), config),
        **dict.fromkeys(("height", "width", "resize", "interpolation", "mean", "std"), processor),
        **dict.fromkeys(("sampling", "stride"), "options"),
    }


def save_vjepa2(folder: Path, **config: Any) -> str:
    """Writes a small V-JEPA 2 as its authors' folders are."""
    import transformers

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"crop_size": 32, "frames_per_clip": 4, "patch_size": 8}
    sizes |= {"hidden_size": 48, "num_attention_heads": 2, "num_hidden_layers": 2}
    sizes |= {"num_pooler_layers": 1, "pred_hidden_size": 48, "pred_num_attention_heads": 2}
    sizes |= {"pred_num_hidden_layers": 1, "id2label": dict(enumerate(LABELS))}
    model = transformers.VJEPA2ForVideoClassification(transformers.VJEPA2Config(**sizes | config))
    with use_transformers():
        model.save_pretrained(folder)
    processor = {  # what its processor writes, for this crop
        "crop_size": {"height": 32, "width": 32},
        "do_center_crop": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 2,
        "rescale_factor": 1 / 255,
        "return_metadata": False,
        "size": {"shortest_edge": 36},
        "video_processor_type": "VJEPA2VideoProcessor",
    }
    (folder / "video_preprocessor_config.json").write_text(json.dumps(processor))
    return str(folder)


has_vjepa2 = pytest.mark.skipif(
    importlib.util.find_spec("transformers.models.vjepa2") is None, reason="transformers lacks it"
)


@has_vjepa2
def test_vjepa2_is_exported_from_its_folder(tmp_path: Path) -> None:
    classifier = load_pretrained(save_vjepa2(tmp_path / "model"))
    assert classifier.warning == ""
    choices = classifier.settle(sampling="uniform")
    clip = choices.preprocessing
    assert clip.clip_shape == (4, 3, 32, 32)
    assert (clip.resize, clip.interpolation, clip.mean[0]) == (36, "antialias", 0.485)
    assert choices.origins["frames"] == "config.json"
    assert choices.origins["resize"] == "video_preprocessor_config.json"
    report = export_model(
        classifier.model,
        labels=choices.labels,
        output=tmp_path / "lab.bundle",
        preprocessing=clip,
    )
    assert (report.head_layer, report.averaged, report.n_classes) == ("classifier", False, 11)
    assert max(report.parity.features, report.parity.logits) < 1e-5


@has_vjepa2
def test_vjepa2s_predictor_may_be_missing_and_its_pooler_may_not(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = Path(save_vjepa2(tmp_path / "model")) / "model.safetensors"
    weights = load_file(path)
    fewer = {key: value for key, value in weights.items() if ".predictor." not in key}
    assert len(fewer) < len(weights)
    save_file(fewer, path, metadata={"format": "pt"})
    load_pretrained(str(path.parent))
    save_file({key: fewer[key] for key in fewer if "pooler" not in key}, path, {"format": "pt"})
    with pytest.raises(ExportError, match="lack pooler"):
        load_pretrained(str(path.parent))


def test_vjepa2s_processor_takes_the_short_side_from_the_crop() -> None:
    content = {"crop_size": 384, "size": {"shortest_edge": 300}}
    fields, unclear = read_processor(content, family="vjepa2", file="p.json")
    assert unclear == {}
    assert (fields["height"], fields["resize"], fields["std"][0]) == (384, 438, 0.229)
    assert read_processor({}, family="vjepa2", file="p.json")[0]["resize"] == 292


def test_processor_inside_processor_config_comes_first(save: Save) -> None:
    folder = Path(save())
    inner = {**PROCESSOR, "size": {"shortest_edge": 44}}
    (folder / "processor_config.json").write_text(json.dumps({"video_processor": inner}))
    choices = load_pretrained(str(folder)).settle(sampling="uniform")
    assert choices.preprocessing.resize == 44
    assert choices.origins["resize"] == "processor_config.json"
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "X"}))
    assert load_pretrained(str(folder)).settle(sampling="uniform").preprocessing.resize == 40


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """VideoMAE is a family that edgesplit has never heard of."""
    monkeypatch.delitem(FAMILIES, "videomae")


@pytest.mark.usefixtures("unknown")
def test_unknown_family_is_taken_with_what_was_assumed(save: Save) -> None:
    said = {**PROCESSOR, "do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255}
    classifier = load_pretrained(save(processor=said))
    clip = classifier.settle(sampling="uniform").preprocessing
    assert (clip.clip_shape, clip.resize, clip.mean) == ((4, 3, 32, 32), 40, (0.4, 0.5, 0.6))
    assert re.match(
        "edgesplit does not know the family 'videomae'. Assumed: layout ntchw, do_center_crop "
        "True, do_normalize True. Compare the",
        classifier.warning,
    )


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize(
    ("key", "option", "given"),
    [
        ("image_mean", "--mean", {"mean": (0.5,) * 3}),
        ("size", "--size and --resize", {"height": 32, "width": 32, "resize": 36}),
    ],
)
def test_unknown_familys_file_must_say_how_it_normalises_and_scales(
    key: str, option: str, given: dict[str, Any], save: Save
) -> None:
    said = {name: value for name, value in PROCESSOR.items() if name != key}
    classifier = load_pretrained(save(processor=said))
    with pytest.raises(ExportError, match=rf"json has no {key}, and .* give {option}\."):
        classifier.settle(sampling="uniform")
    clip = classifier.settle(sampling="uniform", **given).preprocessing
    assert {name: getattr(clip, name) for name in given} == given


def test_options_replace_what_the_folder_says_and_nothing_else(save: Save) -> None:
    classifier = load_pretrained(save())
    choices = classifier.settle(
        labels=["a", "b"], sampling="uniform", resize=48, mean=(0.5, 0.5, 0.5), std=None
    )
    assert choices.labels == ("a", "b")
    clip = choices.preprocessing
    assert (clip.resize, clip.height, clip.mean, clip.std) == (48, 32, (0.5,) * 3, (0.2, 0.25, 0.3))
    origins = choices.origins
    assert {origins[key] for key in ("labels", "resize", "mean", "sampling")} == {"options"}
    assert {origins[key] for key in ("height", "std")} == {"preprocessor_config.json"}
    assert origins["stride"] == "default"


def test_sampling_is_asked_for(save: Save) -> None:
    with pytest.raises(ExportError, match=r"do not define its clips: give --sampling"):
        load_pretrained(save()).settle()


def test_placeholder_labels_are_not_taken_for_names(save: Save) -> None:
    classifier = load_pretrained(save(labels=None))
    with pytest.raises(ExportError, match="The model has no class names: give --labels"):
        classifier.settle(sampling="uniform")
    assert classifier.settle(labels=["no", "yes"], sampling="uniform").labels == ("no", "yes")


def rename_classes(folder: str, **names: Any) -> None:
    """Replaces id2label and label2id in a folder's config.json."""
    path = Path(folder) / "config.json"
    config = json.loads(path.read_text())
    config = {key: value for key, value in config.items() if key not in ("id2label", "label2id")}
    path.write_text(json.dumps(config | names))


def numbered(labels: list[str], start: int = 0) -> dict[str, str]:
    return {str(index): label for index, label in enumerate(labels, start)}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"id2label": numbered(LABELS, 1)}, "'moving it 0 times' has the index 1, where 0 is"),
        (
            {"id2label": {**numbered(LABELS[:-1]), "17": LABELS[-1]}},
            "'moving it 10 times' has the index 17, where 10 is expected",
        ),
        ({"id2label": numbered([*LABELS[:-1], "LABEL_10"])}, "has 'LABEL_10' among its labels"),
        ({"id2label": numbered([*LABELS[:-1], "10"])}, "has '10' among its labels"),
        (
            {
                "id2label": numbered(LABELS),
                "label2id": {label: index for index, label in enumerate(LABELS[::-1])},
            },
            "and its label2id give 'moving it 10 times' different indices",
        ),
    ],
    ids=["from 1", "gap", "placeholder", "number", "two orders"],
)
def test_class_names_whose_order_is_in_doubt_are_asked_for(
    names: dict[str, Any], message: str, save: Save
) -> None:
    folder = save()
    rename_classes(folder, **names)
    classifier = load_pretrained(folder)
    with pytest.raises(ExportError, match=rf"id2label of config\.json .*{message}.* give --labels"):
        classifier.settle(sampling="uniform")
    assert classifier.settle(labels=LABELS, sampling="uniform").labels == tuple(LABELS)


def test_numbers_are_not_taken_for_class_names(save: Save) -> None:
    folder = save()
    rename_classes(folder, id2label=numbered(list(map(str, range(11)))))
    with pytest.raises(ExportError, match="The model has no class names: give --labels"):
        load_pretrained(folder).settle(sampling="uniform")


def test_label2id_that_names_nothing_known_is_passed_over(save: Save) -> None:
    folder = save()
    placeholders = {f"LABEL_{index}": index for index in range(11)}
    rename_classes(folder, id2label=numbered(LABELS), label2id=placeholders)
    assert load_pretrained(folder).settle(sampling="uniform").labels == tuple(LABELS)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"opening a door": 0}, "maps 'opening a door' to 0; it must map indices to labels"),
        (["opening a door"], "is not a mapping"),
    ],
)
def test_swapped_class_names_are_one_message(names: Any, message: str, save: Save) -> None:
    folder = save()
    rename_classes(folder, id2label=names)
    with pytest.raises(ExportError, match=rf"id2label .*in the config\.json of .* {message}"):
        load_pretrained(folder)


def test_folder_without_a_processor_asks_for_the_normalization(save: Save) -> None:
    classifier = load_pretrained(save(processor=None))
    with pytest.raises(ExportError, match=r"no .*preprocessor_config\.json.*--mean and --std"):
        classifier.settle(sampling="uniform", mean=(0.5,) * 3)
    choices = classifier.settle(sampling="uniform", mean=(0.5,) * 3, std=(0.5,) * 3)
    assert choices.preprocessing.height == 32
    assert choices.origins["height"] == "config.json"


def test_newer_processor_file_comes_first(save: Save) -> None:
    folder = Path(save())
    newer = {**PROCESSOR, "size": {"shortest_edge": 36, "longest_edge": None}}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(newer))
    choices = load_pretrained(str(folder)).settle(sampling="uniform")
    assert choices.preprocessing.resize == 36
    assert choices.origins["resize"] == "video_preprocessor_config.json"


def test_damaged_processor_file_is_named(save: Save) -> None:
    folder = Path(save())
    (folder / "preprocessor_config.json").write_text("{")
    with pytest.raises(ExportError, match=r"preprocessor_config\.json is damaged"):
        load_pretrained(str(folder))


@pytest.mark.parametrize("family", PATCHES)
def test_weights_are_those_that_were_saved(family: str, save: Save) -> None:
    import transformers

    folder = save(family)
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(folder)
    wanted = getattr(transformers, f"{family}ForVideoClassification")(config).eval()
    clips = torch.rand(2, 4, 3, 32, 32)
    with torch.inference_mode():
        found = load_pretrained(folder).model(clips).logits
        torch.testing.assert_close(found, wanted(clips).logits, rtol=0, atol=0)


def test_half_precision_is_loaded_without_another_rounding(save: Save) -> None:
    """Also VideoMAE's table of positions, which is in no file: it stays what float32 gives."""
    single, half = load_pretrained(save()).model, load_pretrained(save(name="h", half=True)).model
    for name, values in single.state_dict().items():
        loaded = half.state_dict()[name]
        assert loaded.dtype == torch.float32
        torch.testing.assert_close(loaded, values.half().float(), rtol=0, atol=0)
    tables: list[Any] = [
        model.get_submodule("videomae.embeddings").position_embeddings for model in (single, half)
    ]
    torch.testing.assert_close(*tables, rtol=0, atol=0)


def test_model_that_was_never_a_classifier_is_refused(save: Save) -> None:
    with pytest.raises(
        ExportError, match=r"lack classifier\.bias \(4 of \d+ missing\).*fine-tuned"
    ):
        load_pretrained(save(kind="Model"))


def test_other_architectures_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(
        ExportError,
        match=r"is a 'bert'; the video classifiers of transformers .*videomae.* Write a",
    ):
        load_pretrained(str(tmp_path))


def test_weights_that_would_run_code_are_refused(save: Save) -> None:
    folder = Path(save())
    (folder / "model.safetensors").unlink()
    torch.save({"classifier.weight": nn.Linear(2, 2)}, folder / "pytorch_model.bin")
    with pytest.raises(ExportError, match=r"not plain weights: loading it could run code"):
        load_pretrained(str(folder))


@pytest.mark.parametrize(
    "outer",
    [
        ModuleNotFoundError("Could not import module 'VideoMAEForVideoClassification'. Are this"),
        RuntimeError("Failed to import transformers.models.videomae because of the following"),
    ],
    ids=["transformers 5", "transformers 4"],
)
@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (
            RuntimeError("operator torchvision::nms does not exist"),
            "torchvision cannot be imported (operator torchvision::nms does not exist). Install "
            "the version for your torch: pip install torchvision, or remove it: pip "
            "uninstall torchvision",
        ),
        (
            ImportError("libgomp.so.1: no such file\nA page about it"),
            "transformers cannot be imported (libgomp.so.1: no such file). Install it with its "
            "dependencies: pip install '.[export]' in a checkout of edgesplit",
        ),
    ],
    ids=["torchvision", "another"],
)
def test_package_that_does_not_import_is_one_message(
    outer: Exception, cause: Exception, message: str, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def fail(*_: object, **__: object) -> None:
        raise outer from cause

    folder = save()
    monkeypatch.setattr(transformers.AutoModelForVideoClassification, "from_pretrained", fail)
    with pytest.raises(MissingExtraError) as refused:
        load_pretrained(folder)
    assert str(refused.value) == message


def test_missing_transformers_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"transformers cannot be imported .*pip install"):
        load_pretrained(str(tmp_path))


# The processor's arithmetic


@pytest.mark.parametrize(
    ("family", "content"),
    [
        ("videomae", PROCESSOR),
        ("videomae", {}),
        ("timesformer", {}),
        ("vivit", PROCESSOR),
        ("vivit", {"offset": False, "rescale_factor": 1 / 255}),
        ("vivit", {"do_normalize": False}),
        ("videomae", {"do_rescale": False, "image_mean": [127.0] * 3, "image_std": [64.0] * 3}),
        ("videomae", {"image_mean": 0.45, "image_std": 0.225}),
    ],
)
def test_mean_and_std_on_clips_do_what_the_processor_does_to_pixels(
    family: str, content: dict[str, Any]
) -> None:
    fields, unclear = read_processor(content, family=family, file="p.json")
    assert unclear == {}
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 8, 8)).astype(np.float64)
    settings = {**FAMILIES[family], **content}
    wanted = pixels
    if settings["do_rescale"]:
        wanted = wanted * settings["rescale_factor"] - (1 if settings["offset"] else 0)
    if settings["do_normalize"]:
        mean, std = (
            np.broadcast_to(settings[key], 3).reshape(3, 1, 1)
            for key in ("image_mean", "image_std")
        )
        wanted = (wanted - mean) / std
    clip = Preprocessing(frames=4, layout="ntchw", **fields)
    clips = torch.from_numpy((pixels / 255).astype(np.float32))
    # float32 has 24 bits; values are below 10
    np.testing.assert_allclose(normalize_clips(clips, clip).numpy(), wanted, atol=2e-6)


def test_vivits_pixels_go_from_minus_one_to_one_before_the_normalization() -> None:
    fields, _ = read_processor({"do_normalize": False}, family="vivit", file="p.json")
    assert (fields["mean"], fields["std"]) == ((0.5,) * 3, (0.5,) * 3)
    assert fields["resize"] == 256
    fields, _ = read_processor({}, family="vivit", file="p.json")
    assert (fields["mean"], fields["std"]) == ((0.75,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"size": {"shortest_edge": 256}}, (224, 224, 256)),
        ({"size": 256, "crop_size": 192}, (192, 192, 256)),
        ({"size": {"height": 224, "width": 224}}, (224, 224, None)),
        ({"size": {"height": 128, "width": 171}, "do_center_crop": False}, (128, 171, None)),
        ({"size": [128, 171], "do_center_crop": False}, (128, 171, None)),
    ],
    ids=["short_side", "old_numbers", "crop_of_all", "no_crop", "pair"],
)
def test_geometry_that_edgesplit_has(
    content: dict[str, Any], wanted: tuple[int, int, int | None]
) -> None:
    fields, unclear = read_processor(content, family="videomae", file="p.json")
    assert unclear == {}
    assert (fields["height"], fields["width"], fields.get("resize")) == wanted


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        (
            {"size": {"height": 256, "width": 340}},
            "resize",
            "scales every frame to 256x340, .* crops 224x224.*--resize 256",
        ),
        ({"do_center_crop": False}, "height", "does not crop, so .*--size and --resize"),
        ({"do_resize": False}, "resize", "crops without scaling.*--resize"),
        ({"resample": 0}, "interpolation", "scales with .* filter 0, which .*--interpolation"),
    ],
    ids=["squeezed", "no_crop", "no_resize", "nearest"],
)
def test_geometry_that_edgesplit_lacks_says_what_to_give(
    content: dict[str, Any], field: str, message: str
) -> None:
    _, unclear = read_processor(content, family="videomae", file="p.json")
    assert re.match(rf"p\.json {message}", unclear[field])


def test_crop_beyond_the_frame_is_refused(save: Save) -> None:
    classifier = load_pretrained(save(processor={**PROCESSOR, "size": {"shortest_edge": 24}}))
    with pytest.raises(ExportError, match=r"resize 24 is smaller than the crop 32x32 \(from conf"):
        classifier.settle(sampling="uniform")


def test_two_folders_of_the_same_weights_give_one_feature_space(save: Save, tmp_path: Path) -> None:
    spaces = []
    for name in ("here", "elsewhere"):
        classifier = load_pretrained(save(name=name))
        choices = classifier.settle(sampling="uniform")
        report = export_model(
            classifier.model,
            labels=choices.labels,
            output=tmp_path / f"{name}.bundle",
            preprocessing=choices.preprocessing,
        )
        spaces.append(report.feature_space)
    assert spaces[0] == spaces[1]
    content = (tmp_path / "elsewhere.bundle" / "backbone.onnx").read_bytes()
    telling = (b"elsewhere", str(tmp_path).encode(), b".py", b"transformers", b"videomae")
    assert [text for text in telling if text in content.lower()] == []
