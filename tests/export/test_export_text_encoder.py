"""Tiny made model folders: the exported encoder computes what torch does, or there is none."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")  # edgesplit.export asks for it

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from edgesplit.backbone.session import open_session
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import TextEncoder
from edgesplit.errors import ExportError, LabelError, MissingExtraError
from edgesplit.export.text_encoder import (
    add_text_encoder,
    export_text_encoder,
    reference_embeddings,
    write_text_encoder,
)
from edgesplit.storage.files import Disk, Store
from tests.commands import run
from tests.crashes import CrashDisk, Image, crashes, lay_out

pytestmark = pytest.mark.torch

Array = npt.NDArray[Any]

DIRECTIONS = ("left", "right", "up", "down", "from", "to", "the")
WORDS = (*DIRECTIONS, "pulling", "pushing", "moving", "holding", "something")
TEXTS = ("left", "from left to right", "upwards", "down down to the left", "pushing something")

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 20,
}


# Made models


@dataclass(frozen=True)
class Kind:
    """A made model folder, and how the vector of a text comes out of it in torch."""

    make: Callable[[Path], None]
    loader: str
    row: Callable[[Any], torch.Tensor]
    """The output for a batch of texts without padding -> one row per text."""
    start: int
    end: int
    """The special tokens around a text."""
    max_tokens: int = 20
    dim: int = 32


def make_bert(folder: Path, **settings: Any) -> None:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "##ward", "##s"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(16)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = transformers.BertConfig(vocab_size=len(pieces), **SIZES, **settings)
    save(transformers.BertModel(config), folder)


def make_roberta(
    folder: Path, pooling: Mapping[str, Any] | None = None, name: str = "Roberta"
) -> None:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *WORDS]
    tokenizer = word_tokenizer(pieces, unknown="<unk>")
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(folder / "tokenizer.json"))
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(pieces), type_vocab_size=1, pad_token_id=1, **SIZES
    )
    save(getattr(transformers, f"{name}Model")(config), folder)
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def make_clip(
    folder: Path, *, whole: bool = False, legacy: bool = False, act: str = "quick_gelu"
) -> None:
    pieces = ["<end>", "<pad>", *WORDS, "<start>", "<unk>"]
    if legacy:  # the end token is the largest, and the config names another
        pieces = [pieces[-1], *pieces[1:-1], pieces[0]]
    end = pieces.index("<end>")
    tokenizer = word_tokenizer(pieces, unknown="<unk>")
    tokenizer.post_processor = processors.RobertaProcessing(("<end>", end), ("<start>", 14))
    tokenizer.save(str(folder / "tokenizer.json"))
    special: dict[str, Any] = {"bos_token_id": 14, "pad_token_id": 1}
    special["eos_token_id"] = 2 if legacy else end
    text = transformers.CLIPTextConfig(
        vocab_size=len(pieces), projection_dim=24, hidden_act=act, **SIZES, **special
    )
    if whole:
        sides: dict[str, Any] = {"image_size": 8, "patch_size": 4, "projection_dim": 24}
        vision = transformers.CLIPVisionConfig(**(SIZES | sides))
        config = transformers.CLIPConfig(
            text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=24
        )
        save(transformers.CLIPModel(config), folder)
    else:
        save(transformers.CLIPTextModelWithProjection(text), folder)


def word_tokenizer(pieces: list[str], *, unknown: str) -> Tokenizer:
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def save(model: Any, folder: Path) -> None:
    """Writes the model with weights so strong that every bias, norm and activation matters."""
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        size = 0.3 if weight.ndim > 1 else 0.1
        noise = size * torch.randn(weight.shape, generator=generator)
        if name.endswith(("word_embeddings.weight", "token_embedding.weight")):
            noise[1] = 0  # a word that was never seen in training
        weight.data = noise + 1 if "norm" in name.lower() and "weight" in name else noise
    model.save_pretrained(folder)


def mean(output: Any) -> torch.Tensor:
    row: torch.Tensor = output.last_hidden_state.mean(1)
    return row


def first(output: Any) -> torch.Tensor:
    row: torch.Tensor = output.last_hidden_state[:, 0]
    return row


def projected(output: Any) -> torch.Tensor:
    row: torch.Tensor = output.text_embeds
    return row


CLS = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
CLIP = ("CLIPTextModelWithProjection", projected, 14, 0, 20, 24)
KINDS = {
    "bert": Kind(make_bert, "BertModel", mean, 2, 3),
    # Positions count from the padding's id 1 on, so two of the 20 are never a token's.
    "roberta mean": Kind(make_roberta, "RobertaModel", mean, 0, 2, max_tokens=18),
    "roberta cls": Kind(lambda f: make_roberta(f, CLS), "RobertaModel", first, 0, 2, max_tokens=18),
    "xlm-roberta": Kind(
        lambda f: make_roberta(f, name="XLMRoberta"), "XLMRobertaModel", mean, 0, 2, max_tokens=18
    ),
    "clip tower": Kind(make_clip, *CLIP),
    "clip gelu": Kind(lambda f: make_clip(f, act="gelu"), *CLIP),
    "clip whole": Kind(lambda f: make_clip(f, whole=True), *CLIP),
    "clip legacy": Kind(lambda f: make_clip(f, legacy=True), *CLIP[:3], 15, *CLIP[4:]),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A folder of each kind."""
    made = {name: tmp_path_factory.mktemp("model") / name for name in KINDS}
    for name, folder in made.items():
        folder.mkdir()
        KINDS[name].make(folder)
    return made


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bert(folders: Mapping[str, Path], tmp_path: Path) -> Path:
    """A BERT's folder that the test may change."""
    return shutil.copytree(folders["bert"], tmp_path / "bert")


@pytest.fixture
def clip(folders: Mapping[str, Path], tmp_path: Path) -> Path:
    """A CLIP tower's folder that the test may change."""
    return shutil.copytree(folders["clip tower"], tmp_path / "clip")


def embed(folder: Path, ids: list[list[int]], mask: list[list[int]] | None = None) -> Array:
    """What the exported graph gives for tokens."""
    tokens = np.array(ids, np.int64)
    kept = np.ones_like(tokens) if mask is None else np.array(mask, np.int64)
    session = open_session(export_text_encoder(folder)[0])
    rows: Array = session.run(["embedding"], {"input_ids": tokens, "attention_mask": kept})[0]
    return rows


# The graph


def test_every_text_is_embedded_as_by_torch(
    folders: Mapping[str, Path], kind: str, tmp_path: Path
) -> None:
    report = write_text_encoder(folders[kind], destination=tmp_path, model="random")
    exported = TextEncoder.open(tmp_path)
    assert (exported.dim, exported.max_tokens) == (KINDS[kind].dim, KINDS[kind].max_tokens)
    wanted, found = reference_embeddings(folders[kind], TEXTS), exported.compute(TEXTS)
    # int8 steps are 1/254 of a row's largest weight; a wrong graph is nowhere near
    assert (wanted * found).sum(axis=1).min() > 0.995
    assert (wanted @ wanted.T).min() < 0.9  # the texts differ enough for that to mean something
    assert 0.995 < report.cosine < 1
    assert report.size_bytes == sum(
        (tmp_path / name).stat().st_size for name in ("encoder.onnx", "tokenizer.json")
    )


def test_graph_computes_what_torch_does_with_the_same_weights(
    folders: Mapping[str, Path], kind: str
) -> None:
    made = KINDS[kind]
    # A copy of the model whose matrices went to int8 and back, in float64.
    model = getattr(transformers, made.loader).from_pretrained(folders[kind]).double().eval()
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    for matrix in (model.get_input_embeddings().weight, *(layer.weight for layer in linear)):
        scales = (matrix.data.float().abs().amax(1, keepdim=True) / 127).double()
        scales[scales == 0] = 1
        matrix.data = (matrix.data / scales).round() * scales
    rng = np.random.default_rng(0)
    for length in (1, 2, 7, made.max_tokens - 2):
        inner = rng.integers(4, 14, (3, length))  # words
        ids = np.pad(inner, ((0, 0), (1, 1)), constant_values=((0, 0), (made.start, made.end)))
        with torch.no_grad():
            rows = made.row(model(input_ids=torch.from_numpy(ids)))
        wanted = torch.nn.functional.normalize(rows, dim=1).numpy()
        found = embed(folders[kind], ids.tolist())
        assert found.dtype == np.float64
        # What is left is the GELU's approximation: 7.5e-8 of each activation, in two layers.
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
        assert np.abs(found[0] - found[1]).max() > 1e-3


def test_export_is_deterministic_and_self_contained(folders: Mapping[str, Path], kind: str) -> None:
    encoder, tokenizer = export_text_encoder(folders[kind])
    assert export_text_encoder(folders[kind]) == (encoder, tokenizer)
    model = onnx.load_from_string(encoder)
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    assert {entry.name for entry in model.graph.input} == {"input_ids", "attention_mask"}
    assert "Sigmoid" not in {node.op_type for node in model.graph.node}  # see `_quick_gelu`
    large = [entry for entry in model.graph.initializer if np.prod(entry.dims) > 1000]
    assert {entry.data_type for entry in large} == {onnx.TensorProto.INT8}
    assert json.loads(tokenizer)["padding"] is None
    assert json.loads(tokenizer)["truncation"] is None


def test_mask_hides_padding_from_a_batch(folders: Mapping[str, Path], kind: str) -> None:
    made = KINDS[kind]
    short, long = [made.start, 4, made.end], [made.start, 6, 5, 9, made.end]
    padded = embed(folders[kind], [[*short, 7, 7], long], [[1, 1, 1, 0, 0], [1] * 5])
    np.testing.assert_allclose(padded[:1], embed(folders[kind], [short]), rtol=0, atol=1e-13)
    np.testing.assert_allclose(padded[1:], embed(folders[kind], [long]), rtol=0, atol=1e-13)


def test_only_a_clip_reads_in_one_direction(folders: Mapping[str, Path], kind: str) -> None:
    made = KINDS[kind]
    alone = embed(folders[kind], [[made.start, 4, 8, made.end]])
    followed = embed(folders[kind], [[made.start, 4, 8, made.end, 9, 5]])  # nothing is masked
    preceded = embed(folders[kind], [[made.start, 9, 8, made.end]])
    # A CLIP's end token comes before the two, so that its row must not know of them.
    seen = np.abs(followed - alone).max()
    assert seen < 1e-13 if kind.startswith("clip") else seen > 1e-3
    assert np.abs(preceded - alone).max() > 1e-3


def test_a_whole_clip_gives_the_bytes_of_its_text_tower(
    folders: Mapping[str, Path], tmp_path: Path
) -> None:
    tower = transformers.CLIPTextModelWithProjection.from_pretrained(folders["clip whole"])
    tower.save_pretrained(tmp_path)
    shutil.copy(folders["clip whole"] / "tokenizer.json", tmp_path)
    assert export_text_encoder(tmp_path) == export_text_encoder(folders["clip whole"])


def test_too_long_a_text_is_refused(folders: Mapping[str, Path], kind: str, tmp_path: Path) -> None:
    write_text_encoder(folders[kind], destination=tmp_path, model="random")
    exported, most = TextEncoder.open(tmp_path), KINDS[kind].max_tokens
    assert exported.compute(["up " * (most - 2)]).shape == (1, KINDS[kind].dim)
    with pytest.raises(LabelError, match=f"has {most + 1} word pieces"):
        exported.compute(["up " * (most - 1)])


def test_exporting_says_nothing(
    folders: Mapping[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    export_text_encoder(folders["clip whole"])  # half of whose weights go unused
    assert capfd.readouterr() == ("", "")


# What sentence-transformers says of the pooling


@pytest.mark.parametrize(
    ("settings", "same_as"),
    [
        ({}, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode": "mean", "include_prompt": True}, "mean"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
    ],
    ids=["none", "flags", "name", "names", "cls"],
)
def test_old_and_new_words_for_a_pooling_mean_the_same(
    folders: Mapping[str, Path], tmp_path: Path, settings: dict[str, Any], same_as: str
) -> None:
    folder = shutil.copytree(folders["roberta mean"], tmp_path / "model")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    assert export_text_encoder(folder) == export_text_encoder(folders[f"roberta {same_as}"])


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        {"pooling_mode": "lasttoken"},
        {"pooling_mode": ["cls", "mean"]},
    ],
    ids=["max", "two", "last", "two names"],
)
def test_another_pooling_is_refused(bert: Path, settings: dict[str, Any]) -> None:
    (bert / "1_Pooling").mkdir()
    (bert / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ExportError, match="supported are the mean"):
        export_text_encoder(bert)


def test_a_further_layer_is_refused(bert: Path) -> None:
    modules = [{"type": f"sentence_transformers.models.{kind}"} for kind in ("Pooling", "Dense")]
    (bert / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match=r"cannot be exported: \['Dense'\]"):
        export_text_encoder(bert)


# Other models and damaged folders


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_type", "mpnet", r"model_type 'mpnet'\. Give a model of type bert, roberta"),
        ("hidden_act", "relu", "hidden_act 'relu'; text encoders must have 'gelu' or 'quick_gelu'"),
        ("position_embedding_type", "relative_key", "position_embedding_type 'relative_key'"),
        ("num_hidden_layers", 3, r"lack encoder\.layer\.2\..* \(16 missing in all\)"),
        ("vocab_size", 99, "cannot be read"),
        ("num_attention_heads", 5, "cannot be read"),
    ],
)
def test_a_config_of_another_model_is_refused(
    bert: Path, key: str, value: object, message: str
) -> None:
    path = bert / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ExportError, match=message):
        export_text_encoder(bert)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *((file, None) for file in ("config.json", "tokenizer.json", "model.safetensors")),
        *((file, b"") for file in ("config.json", "tokenizer.json", "model.safetensors")),
        ("config.json", b"[1]"),
        ("config.json", b"\xff"),
        ("modules.json", b"{}"),
        ("1_Pooling/config.json", b"{"),
        ("model.safetensors", b"no weights at all"),
    ],
)
def test_a_folder_with_a_missing_or_damaged_file_is_refused(
    bert: Path, file: str, content: bytes | None
) -> None:
    path = bert / file
    if content is None:
        path.unlink()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(ExportError, match=r"is missing|cannot be read|is damaged|is not a JSON"):
        export_text_encoder(bert)


def test_a_package_that_does_not_import_is_named(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        cause = RuntimeError("operator torchvision::nms does not exist")
        raise ModuleNotFoundError("Could not import module 'BertModel'.") from cause

    monkeypatch.setattr(transformers.BertModel, "from_pretrained", fail)
    with pytest.raises(MissingExtraError, match=r"^torchvision cannot be imported \(operator"):
        export_text_encoder(bert)


def test_a_clip_without_its_projection_is_refused(clip: Path) -> None:
    config = transformers.CLIPTextConfig.from_pretrained(clip)
    transformers.CLIPTextModel(config).save_pretrained(clip)
    with pytest.raises(ExportError, match=r"lack text_projection\.weight .* needs its projection"):
        export_text_encoder(clip)


@pytest.mark.parametrize("end", [0, 2], ids=["end", "legacy end"])
def test_a_clip_whose_tokenizer_writes_no_end_is_refused(clip: Path, end: int) -> None:
    settings = json.loads((clip / "config.json").read_text())
    (clip / "config.json").write_text(json.dumps({**settings, "eos_token_id": end}))
    tokenizer = json.loads((clip / "tokenizer.json").read_text())
    (clip / "tokenizer.json").write_text(json.dumps({**tokenizer, "post_processor": None}))
    with pytest.raises(ExportError, match="do not end with the end token"):
        export_text_encoder(clip)


def test_another_models_tokenizer_is_refused(bert: Path) -> None:
    pieces = ["[PAD]", "[UNK]", *WORDS, *"abcdefg"]
    word_tokenizer(pieces, unknown="[UNK]").save(str(bert / "tokenizer.json"))
    with pytest.raises(ExportError, match="has tokens up to 20, but the model has only 18"):
        export_text_encoder(bert)


def test_a_model_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    source, destination = tmp_path / "source", tmp_path / "made"
    source.mkdir()
    make_bert(source, is_decoder=True)  # its tokens see earlier ones only
    with pytest.raises(ExportError, match=r"does not agree with torch: cosine 0\.\d+"):
        write_text_encoder(source, destination=destination, model="random")


# In a bundle


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the lock, which says only that somebody once held it."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }


def test_the_next_edit_uses_the_new_encoder_without_torch(
    folders: Mapping[str, Path], kind: str, bundle: Bundle
) -> None:
    head = bundle.head()
    into = ["left", "right"]
    packaged = bundle.split_class("pushing", into=into, accept_doubt=True)
    result = run("encoder", folders[kind], "--bundle", bundle.path)
    assert result.exit_code == 0, result.output
    own = TextEncoder.open(bundle.path / "text")
    assert bundle.text_encoder.digest == own.digest  # though it has used another before
    assert f"text encoder {own.digest[:12]}" in result.stdout
    assert f"embeddings of {KINDS[kind].dim} values" in result.stdout
    assert "the next edit embeds its texts again; the rows of earlier edits do not" in result.stdout
    arguments = ["edit", "--class", "pushing", "--into", "left,right", "--accept-doubt"]
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None)\n"
        "from edgesplit.cli import main\n"
        f"main({[*arguments, '--bundle', str(bundle.path)]})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "was exported with" not in done.stdout  # another encoder is what was asked for
    fresh = open_bundle(bundle.path)
    wanted = split_class(
        head, "pushing", into=into, statistics=fresh.statistics, accept_doubt=True, encoder=own
    )
    assert fresh.live == wanted.head.digest != packaged.head.digest
    assert fresh.verify() == []


def test_the_command_prints_what_it_made_as_json(
    folders: Mapping[str, Path], bundle: Bundle
) -> None:
    folder = folders["clip whole"]
    result = run("encoder", folder, "--bundle", bundle.path, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    printed = json.loads(result.stdout)
    manifest = json.loads((bundle.path / "text" / "encoder.json").read_text())
    assert manifest["model"] == "clip whole"  # the folder's name
    assert printed["path"] == str(bundle.path / "text")
    assert {key: printed[key] for key in ("digest", "dim", "max_tokens")} == {
        key: manifest[key] for key in ("digest", "dim", "max_tokens")
    }
    assert 0.995 < printed["cosine"] < 1
    assert printed["size_bytes"] > 10_000


def test_the_model_can_be_named(bert: Path, bundle: Bundle) -> None:
    run("encoder", bert, "--bundle", bundle.path, "--model", "lab/motion-bert")
    manifest = json.loads((bundle.path / "text" / "encoder.json").read_text())
    assert manifest["model"] == "lab/motion-bert"


def test_the_same_encoder_again_changes_nothing(bert: Path, bundle: Bundle) -> None:
    first = add_text_encoder(bert, bundle=bundle, model="bert")
    before = contents(bundle.path)
    assert add_text_encoder(bert, bundle=bundle, model="another name") == first
    assert contents(bundle.path) == before


def no_model(folder: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config.json").unlink()


def other_architecture(folder: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config.json").write_text('{"model_type": "t5"}')


def other_encoder(folder: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text_encoder(folder, destination=bundle.path / "text", model="first")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(folder / "tokenizer.json"))


def no_transformers(folder: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)


def read_only(folder: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Disk, "make_folder", refuse)  # the tests run as root


def disk_full(folder: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Disk, "rename", refuse)


def no_bundle(folder: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    (bundle.path / "bundle.json").unlink()


REFUSALS = {
    no_model: "is not a Hugging Face model folder",
    other_architecture: "model_type 't5'. Give a model of type bert",
    other_encoder: "text holds another text encoder",
    no_transformers: "pip install '.[export]'",
    read_only: "The file system is read-only: write to another one, or copy the bundle",
    disk_full: "The disk is full",
    no_bundle: "is not a bundle",
}


@pytest.mark.parametrize(
    ("spoil", "said"), REFUSALS.items(), ids=lambda item: getattr(item, "__name__", "")
)
def test_what_cannot_be_done_ends_with_one_message_and_nothing_left_behind(
    bert: Path,
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, Bundle, pytest.MonkeyPatch], None],
    said: str,
) -> None:
    spoil(bert, bundle, monkeypatch)
    before = contents(bundle.path.parent)
    result = run("encoder", bert, "--bundle", bundle.path)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert said in result.stderr
    assert result.stdout == ""
    assert contents(bundle.path.parent) == before


def test_without_the_export_extra_the_command_names_it(bert: Path, bundle: Bundle) -> None:
    arguments = ["encoder", str(bert), "--bundle", str(bundle.path)]
    code = (
        "import importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n"
        f"from edgesplit.cli import main; main({arguments})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: Exporting needs torch" in done.stderr
    assert "pip install '.[export]'" in done.stderr
    assert not (bundle.path / "text").exists()


@pytest.mark.parametrize("file", ["encoder.onnx", "tokenizer.json", "encoder.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_verify_finds_a_damaged_encoder(
    bert: Path, bundle: Bundle, file: str, damage: str, cache: Path
) -> None:
    # Nothing is cached: an encoder is not read for texts whose embeddings are.
    path = add_text_encoder(bert, bundle=bundle, model="bert").path / file
    assert run("verify", "--bundle", bundle.path).exit_code == 0
    data = path.read_bytes()
    place = data.index(b'"dim": 32') + 7 if file == "encoder.json" else len(data) // 2
    flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(flipped if damage == "flip" else data[:place])
    result = run("verify", "--bundle", bundle.path)
    assert result.exit_code == 1
    assert "text encoder" in result.stderr
    assert "Remove the folder and make it again with `edgesplit encoder`" in result.stderr
    before = contents(bundle.path)
    edit = run("edit", "--class", "pushing", "--into", "left,right", "--bundle", bundle.path)
    assert (edit.exit_code, edit.stderr[:7]) == (1, "Error: ")
    assert contents(bundle.path) == before
    shutil.rmtree(bundle.path / "text")
    assert run("encoder", bert, "--bundle", bundle.path).exit_code == 0
    assert run("verify", "--bundle", bundle.path).exit_code == 0


def texts_of(image: Image) -> dict[str, bytes | None]:
    return {path: content for path, content in image if path.startswith("text")}


def test_a_crash_leaves_the_whole_encoder_or_none(
    bert: Path, bundle: Bundle, tmp_path: Path
) -> None:
    disk = CrashDisk(bundle.path)
    add_text_encoder(bert, bundle=open_bundle(bundle.path, store=Store(disk)), model="bert")
    text = bundle.path / "text"
    whole = {"text": None, **{f"text/{file.name}": file.read_bytes() for file in text.iterdir()}}
    assert len(whole) == 4
    killed = set()
    for where, media in crashes(disk.start, disk.calls):
        killed.add(media.kill())
        for image in (media.kill(), *media.power_cuts()):
            assert texts_of(image) in ({}, whole), where
    assert texts_of(media.kill()) == whole
    assert all(texts_of(image) == whole for image in media.power_cuts())
    # What a killed process left is in nobody's way, not even that of one with its number.
    fullest = max((image for image in killed if not texts_of(image)), key=len)
    assert any(".part/" in path for path, _ in fullest)
    again = open_bundle(lay_out(fullest, tmp_path / "again"))
    add_text_encoder(bert, bundle=again, model="bert")
    assert not list(again.path.glob(".text*"))
    assert again.verify() == []
