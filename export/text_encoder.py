"""Convert a local Hugging Face text encoder to one small ONNX file for the device.

    input_ids, attention_mask [N, L] int64  ->  layers  ->  one row per text  ->  embedding [N, D]

Two families are supported: BERT and RoBERTa with the mean over all tokens or the first token, as
defined in a sentence-transformers folder, and the text tower of a CLIP. `edgesplit encoder` adds
one to a bundle, where it replaces the packaged encoder.

The graph is written directly, without torch's exporter: an encoder has only twenty kinds of nodes,
and quantising the weights in an exported graph would be harder. Weights are int8, arithmetic is
float64. Dynamic int8 would also round the activations, by an amount that depends on the batch of a
text, which was enough to swap left and right. float32 rounds differently in every ONNX Runtime and
on every CPU; `TextEncoder` can remove such differences only if they are as small as in float64. The
shipped encoder was made by

    write_text_encoder(Path(".../all-MiniLM-L6-v2"), destination=Path("edgesplit/assets/text"),
                       model="sentence-transformers/all-MiniLM-L6-v2")
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgesplit._types import Float32
from edgesplit.bundle.bundle import Bundle
from edgesplit.edits.text_encoder import (
    ENCODER_FILE,
    MANIFEST_FILE,
    TOKENIZER_FILE,
    TextEncoder,
    encoder_digest,
)
from edgesplit.errors import BundleError, ExportError
from edgesplit.export.models.huggingface import read_json, use_transformers
from edgesplit.storage.files import Store, lock, map_os_errors

__all__ = [
    "EncoderReport",
    "add_text_encoder",
    "export_text_encoder",
    "reference_embeddings",
    "write_text_encoder",
]

MAX_TOKENS = 128
"""Longest text. Labels are short, and all-MiniLM-L6-v2 was trained on at most 128 tokens."""

_OPSET, _IR = 17, 8  # for ONNX Runtime 1.23.2 on JetPack 6; 1.18 loads it, too
_MIN_COSINE = 0.98  # int8 weights reach 0.99; a wrong graph is far below
_PROBES = ("left", "moving something from left to right", "Pretending to open a box, but failing.")

# Abramowitz and Stegun 26.2.17, see `_gelu`
_TAIL_P = 0.2316419
_TAIL_B = tuple(
    b / math.sqrt(2 * math.pi)
    for b in (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)
)


@dataclass(frozen=True, slots=True)
class _Family:
    """Names of a model's weights, and its variations of the graph. The defaults are BERT's."""

    loader: str
    """Class in transformers."""
    words: str = "embeddings.word_embeddings.weight"
    positions: str = "embeddings.position_embeddings.weight"
    layer: str = "encoder.layer.{}."
    """Prefix of the following names in a layer, with a place for its number."""
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    mixed: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    inner: str = "intermediate.dense"
    outer: str = "output.dense"
    outer_norm: str = "output.LayerNorm"
    offset_positions: bool = False
    """True if positions count from pad_token_id + 1."""
    clip: bool = False
    """True for CLIP: sublayers normalise their input instead of their sum, tokens attend only to
    earlier tokens, and the end token's row is projected."""


_CLIP = _Family(
    loader="CLIPTextModelWithProjection",  # also reads the folder of a complete CLIP
    words="text_model.embeddings.token_embedding.weight",
    positions="text_model.embeddings.position_embedding.weight",
    layer="text_model.encoder.layers.{}.",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    mixed="self_attn.out_proj",
    attention_norm="layer_norm1",
    inner="mlp.fc1",
    outer="mlp.fc2",
    outer_norm="layer_norm2",
    clip=True,
)
_FAMILIES = {
    "bert": _Family("BertModel"),
    "roberta": _Family("RobertaModel", offset_positions=True),
    "xlm-roberta": _Family("XLMRobertaModel", offset_positions=True),
    "clip": _CLIP,
    "clip_text_model": _CLIP,
}
"""Families by the model_type of config.json."""

_LEGACY_END = 2
"""End token of CLIPs in config.json before transformers 4.31; the real one is the largest id."""


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """The content of a model folder."""

    family: _Family
    config: Mapping[str, Any]
    pooling: str
    """`mean` or `first` of the tokens, or CLIP's `end`."""
    model: Any
    state: Mapping[str, Float32]
    tokenizer: str

    @property
    def first_position(self) -> int:
        return int(self.config["pad_token_id"]) + 1 if self.family.offset_positions else 0

    @property
    def max_tokens(self) -> int:
        return min(MAX_TOKENS, int(self.config["max_position_embeddings"]) - self.first_position)

    @property
    def dim(self) -> int:
        return int(self.config["projection_dim" if self.family.clip else "hidden_size"])


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """The exported encoder, and its agreement with torch."""

    path: Path
    """Folder of the three files."""
    digest: str
    dim: int
    max_tokens: int
    size_bytes: int
    """Size of the ONNX model and the tokenizer."""
    cosine: float
    """Lowest cosine between its embedding and torch's, for three texts."""


def export_text_encoder(folder: Path) -> tuple[bytes, str]:
    """Convert a text encoder to a self-contained ONNX model.

    Needs the `export` extra. The same folder always gives the same bytes.

    Args:
        folder: a local Hugging Face model folder (config.json, weights, tokenizer.json) of a BERT
            or RoBERTa with mean or CLS pooling, or of a CLIP or its text tower.

    Returns:
        The ONNX model (inputs `input_ids` and `attention_mask`, `(batch, tokens)` int64; output
        `embedding`, `(batch, dim)` float64, rows of length 1) and the tokenizer's JSON, which
        neither pads nor truncates.

    Raises:
        ExportError: the architecture or pooling is not supported, or a file is missing or damaged.
        MissingExtraError: torch or transformers is not installed.
    """
    source = _read_source(folder)
    return _write_graph(source), source.tokenizer


def write_text_encoder(folder: Path, *, destination: Path, model: str) -> EncoderReport:
    """Export the encoder in `folder` into the three files that `TextEncoder.open` reads.

    Args:
        folder: a local Hugging Face model folder.
        destination: the folder to write encoder.onnx, tokenizer.json and encoder.json into.
        model: name of the model, recorded in encoder.json for people.

    Returns:
        The report on the written encoder.

    Raises:
        ExportError: as `export_text_encoder`, or the written encoder does not agree with torch.
    """
    source = _read_source(folder)
    encoder, tokenizer = _write_graph(source), source.tokenizer.encode()
    digest = encoder_digest(encoder, tokenizer)
    sizes = {"dim": source.dim, "max_tokens": source.max_tokens}
    manifest = {"digest": digest, **sizes, "model": model}
    destination.mkdir(parents=True, exist_ok=True)
    described = f"{json.dumps(manifest, indent=2)}\n".encode()
    store = Store()
    files = {ENCODER_FILE: encoder, TOKENIZER_FILE: tokenizer, MANIFEST_FILE: described}
    with map_os_errors("write a text encoder to", destination):
        for name, data in files.items():
            store.replace_file(destination / name, data)
    return EncoderReport(
        path=destination,
        digest=digest,
        **sizes,
        size_bytes=len(encoder) + len(tokenizer),
        cosine=_check_parity(source, destination),
    )


def add_text_encoder(folder: Path, *, bundle: Bundle, model: str) -> EncoderReport:
    """Export the encoder in `folder` to the bundle, which uses it from the next edit on.

    The write is atomic, by the rename of a folder, and the files are never changed again. Rows of
    earlier edits do not change.

    Args:
        folder: as for `export_text_encoder`.
        bundle: the bundle that gets the folder `text/`.
        model: name of the model, recorded in encoder.json for people.

    Returns:
        The report on the bundle's encoder; nothing is written if it already had the same encoder.

    Raises:
        ExportError: as `write_text_encoder`.
        BundleError: the bundle already has another text encoder, or is not writable.
        ConflictError: another process is writing to the bundle.
    """
    target = bundle.path / "text"
    with tempfile.TemporaryDirectory(prefix="edgesplit-") as scratch:
        made = Path(scratch)
        report = write_text_encoder(folder, destination=made, model=model)  # slow, so not locked
        with lock(bundle.path), map_os_errors("add a text encoder to", bundle.path):
            if target.exists():
                _check_same(TextEncoder.open(target), report.digest)
            else:
                bundle.store.remove_parts(bundle.path)
                with bundle.store.write_folder(target) as part:
                    for file in sorted(made.iterdir()):
                        bundle.store.replace_file(part / file.name, file.read_bytes())
    return replace(report, path=target)


def _check_same(present: TextEncoder, digest: str) -> None:
    if present.digest != digest:
        raise BundleError(
            f"{present.folder} holds another text encoder, {present.digest[:12]}, and a bundle's "
            "files are never changed. Copy the bundle without that folder, and add the encoder to "
            "the copy."
        )
    present.check()


def reference_embeddings(folder: Path, texts: Sequence[str]) -> Float32:
    """Embed texts with the original float32 model, one at a time, as a reference for the export.

    Returns:
        `(len(texts), dim)` float32, rows of length 1.
    """
    return _embed_with_torch(_read_source(folder), texts)


def _embed_with_torch(source: _Source, texts: Sequence[str]) -> Float32:
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(source.tokenizer)
    rows = []
    with torch.no_grad():
        for text in texts:
            ids = torch.tensor([tokenizer.encode(text).ids])
            output = source.model(input_ids=ids, attention_mask=torch.ones_like(ids))
            if source.pooling == "end":
                row = output.text_embeds[0]
            elif source.pooling == "first":
                row = output.last_hidden_state[0, 0]
            else:
                row = output.last_hidden_state[0].mean(0)
            rows.append(torch.nn.functional.normalize(row, dim=0).numpy())
    return np.stack(rows)


def _write_graph(source: _Source) -> bytes:
    graph = _Graph(source)
    mask = graph.double("attention_mask")
    hidden = graph.embed()
    bias = graph.hide(mask)
    for index in range(source.config["num_hidden_layers"]):
        hidden = graph.layer(source.family.layer.format(index), hidden, bias)
    row = graph.pool(hidden, mask)
    if source.family.clip:
        row = graph.normalize("text_model.final_layer_norm", row)  # only the pooled row needs it
        row = graph.op("MatMul", row, graph.matrix("text_projection"))
    graph.op("LpNormalization", row, output="embedding", axis=-1, p=2)
    return graph.to_bytes()


class _Graph:
    """A graph under construction. Methods add nodes and return the name of their result."""

    def __init__(self, source: _Source) -> None:
        self.source, self.family = source, source.family
        self.heads = int(source.config["num_attention_heads"])
        self.width = int(source.config["hidden_size"]) // self.heads
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    # The parts of an encoder

    def embed(self) -> str:
        """Add the embedding; look up int8 rows and dequantize only these, never the full table."""
        op, state = self.op, self.source.state
        codes, scales = _quantize(state[self.family.words])
        rows = op("Gather", self.tensor("words", codes), "input_ids")
        row_scales = op("Gather", self.tensor("words.scale", scales[:, None]), "input_ids")
        words = self.scaled(rows, row_scales)
        # Positions stay float32 (0.2 MB); only those that a label can have are kept.
        first = self.source.first_position
        table = state[self.family.positions][first : first + self.source.max_tokens]
        if not self.family.clip:
            # All tokens of one sentence have type 0, so that row is added to the positions.
            table = table + state["embeddings.token_type_embeddings.weight"][0]
        length = op("Slice", op("Shape", "input_ids"), self.shape(1), self.shape(2))
        positions = op("Slice", self.parameter("positions", table), self.shape(0), length)
        summed = op("Add", words, positions)
        return summed if self.family.clip else self.normalize("embeddings.LayerNorm", summed)

    def hide(self, mask: str) -> str:
        """Add the bias of the scores `[N, heads, L, L]`: 0, or at most -1e9 for hidden tokens."""
        op = self.op
        hidden = op("Sub", self.constant(1.0), mask)
        hidden = op("Unsqueeze", hidden, self.shape(1, 2))
        if self.family.clip:
            # Later tokens are hidden like padding: their column is larger than the row.
            length = op("Squeeze", op("Slice", op("Shape", mask), self.shape(1), self.shape(2)))
            places = op("Range", self.integer("int_0", 0), length, self.integer("int_1", 1))
            rows = op("Unsqueeze", places, self.shape(1))
            hidden = op("Add", hidden, self.double(op("Less", rows, places)))
        return op("Mul", hidden, self.constant(-1e9))

    def layer(self, prefix: str, hidden: str, bias: str) -> str:
        """Add a transformer layer whose weights have names with this prefix."""
        op = self.op
        attention_norm = prefix + self.family.attention_norm
        outer_norm = prefix + self.family.outer_norm
        if self.family.clip:
            seen = self.normalize(attention_norm, hidden)
            hidden = op("Add", self._attend(prefix, seen, bias), hidden)
            seen = self.normalize(outer_norm, hidden)
            return op("Add", self._feed_forward(prefix, seen), hidden)
        added = op("Add", self._attend(prefix, hidden, bias), hidden)
        hidden = self.normalize(attention_norm, added)
        return self.normalize(outer_norm, op("Add", self._feed_forward(prefix, hidden), hidden))

    def _attend(self, prefix: str, hidden: str, bias: str) -> str:
        op, family = self.op, self.family
        query = self._split(prefix + family.query, hidden, order=(0, 2, 1, 3))
        keys = self._split(prefix + family.key, hidden, order=(0, 2, 3, 1))
        values = self._split(prefix + family.value, hidden, order=(0, 2, 1, 3))
        scores = op("Div", op("MatMul", query, keys), self.constant(self.width**0.5))
        weights = op("Softmax", op("Add", scores, bias), axis=-1)
        mixed = op("Transpose", op("MatMul", weights, values), perm=[0, 2, 1, 3])
        joined = op("Reshape", mixed, self.shape(0, 0, self.heads * self.width))
        return self._linear(prefix + family.mixed, joined)

    def _split(self, name: str, hidden: str, *, order: tuple[int, ...]) -> str:
        shape = self.shape(0, 0, self.heads, self.width)
        split = self.op("Reshape", self._linear(name, hidden), shape)
        return self.op("Transpose", split, perm=order)

    def _feed_forward(self, prefix: str, hidden: str) -> str:
        activate = _ACTIVATIONS[self.source.config["hidden_act"]]
        inner = self._linear(prefix + self.family.inner, hidden)
        return self._linear(prefix + self.family.outer, activate(self, inner))

    def _linear(self, name: str, hidden: str) -> str:
        weight = self.matrix(name)
        bias = self.parameter(f"{name}.bias", self.source.state[f"{name}.bias"])
        return self.op("Add", self.op("MatMul", hidden, weight), bias)

    def matrix(self, name: str) -> str:
        """Add the transposed weight of a linear layer, int8 with a scale per output."""
        codes, scales = _quantize(self.source.state[f"{name}.weight"])  # [out, in]
        return self.scaled(
            self.tensor(f"{name}.weight", np.ascontiguousarray(codes.T)),
            self.tensor(f"{name}.scale", scales),
        )

    def normalize(self, name: str, hidden: str) -> str:
        """Add a LayerNorm."""
        names = (f"{name}.weight", f"{name}.bias")
        parameters = [self.parameter(part, self.source.state[part]) for part in names]
        epsilon = self.source.config["layer_norm_eps"]
        return self.op("LayerNormalization", hidden, *parameters, axis=-1, epsilon=epsilon)

    def pool(self, hidden: str, mask: str) -> str:
        """Add the pooling to one row `[N, D]` per text."""
        op = self.op
        if self.source.pooling == "first":
            return op("Gather", hidden, self.integer("int_0", 0), axis=1)
        if self.source.pooling == "end":
            end = int(self.source.config["eos_token_id"])
            wanted = "input_ids"
            if end != _LEGACY_END:
                wanted = op("Equal", wanted, self.integer("end", end))
            place = op("ArgMax", self.double(wanted), axis=1, keepdims=1)
            return op("GatherND", hidden, place, batch_dims=1)
        kept = op("Mul", hidden, op("Unsqueeze", mask, self.shape(2)))
        # The sum differs from the mean only by a factor, which the final normalisation removes.
        return op("ReduceSum", kept, self.shape(1), keepdims=0)

    # Nodes and initializers

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def tensor(self, name: str, array: npt.NDArray[Any]) -> str:
        # setdefault: every layer uses constants such as 0.5
        self.initializers.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def constant(self, value: float) -> str:
        return self.tensor(f"double_{value!r}", np.array(value, np.float64))

    def integer(self, name: str, value: int) -> str:
        return self.tensor(name, np.array(value, np.int64))

    def shape(self, *values: int) -> str:
        return self.tensor(f"ints_{values}", np.array(values, np.int64))

    def double(self, tensor: str) -> str:
        return self.op("Cast", tensor, to=TensorProto.DOUBLE)

    def parameter(self, name: str, array: Float32) -> str:
        """Add a weight in float32, as it was trained; a session folds the cast when it opens."""
        return self.double(self.tensor(name, array))

    def scaled(self, codes: str, scales: str) -> str:
        """Dequantize int8 codes by a cast and a product.

        DequantizeLinear is not used: newer ONNX Runtimes turn it into kernels that also round the
        activations to int8 (1.32: the error doubles), and older ones repeat it in every run (1.23:
        42 ms a text instead of 6). A cast of a constant is folded once in every session.
        """
        return self.op("Mul", self.double(codes), self.double(scales))

    def to_bytes(self) -> bytes:
        def info(name: str, kind: int, width: str | int) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, ["batch", width])

        ids = [info(name, TensorProto.INT64, "tokens") for name in ("input_ids", "attention_mask")]
        outputs = [info("embedding", TensorProto.DOUBLE, self.source.dim)]
        weights = list(self.initializers.values())
        graph = helper.make_graph(self.nodes, "text_encoder", ids, outputs, weights)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR, producer_name="edgesplit"
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def _gelu(graph: _Graph, inner: str) -> str:
    """Add x P(x), with P the normal distribution, as max(x, 0) - |x| P(-|x|).

    ONNX Runtime's Erf does not support float64. P(-u) = exp(-u^2 / 2) (b1 t + ... + b5 t^5), t = 1
    / (1 + p u), has an error of 7.5e-8, like a float32 Erf (Abramowitz and Stegun, Handbook of
    Mathematical Functions, 26.2.17; the b in `_TAIL_B` are divided by the root of 2 pi).
    """
    op, constant = graph.op, graph.constant
    size = op("Abs", inner)
    t = op("Reciprocal", op("Add", op("Mul", size, constant(_TAIL_P)), constant(1.0)))
    series = constant(_TAIL_B[-1])
    for b in _TAIL_B[-2::-1]:
        series = op("Add", op("Mul", series, t), constant(b))
    bell = op("Exp", op("Mul", op("Mul", size, size), constant(-0.5)))
    tail = op("Mul", op("Mul", series, t), bell)
    return op("Sub", op("Relu", inner), op("Mul", size, tail))


def _quick_gelu(graph: _Graph, inner: str) -> str:
    """Add x sigmoid(1.702 x), OpenAI's approximation of the GELU.

    Sigmoid is not used: ONNX Runtimes up to at least 1.23 replace the three nodes by one kernel,
    and then refuse the model, because that kernel does not support float64.
    """
    op = graph.op
    shrinking = op("Exp", op("Mul", inner, graph.constant(-1.702)))  # inf gives 0, which is right
    return op("Div", inner, op("Add", shrinking, graph.constant(1.0)))


_ACTIVATIONS = {"gelu": _gelu, "quick_gelu": _quick_gelu}


def _quantize(weight: Float32) -> tuple[npt.NDArray[np.int8], Float32]:
    """Return symmetric int8 codes and a scale per row: `weight` is nearly their product."""
    scales = np.abs(weight).max(axis=1) / 127
    scales[scales == 0] = 1.0  # an unused row of zeros stays zeros
    codes = np.rint(weight / scales[:, None]).astype(np.int8)
    return codes, scales.astype(np.float32)


def _read_source(folder: Path) -> _Source:
    """Read a folder; refuse settings that the graph above does not implement."""
    family = _read_family(folder)
    pooling = _read_pooling(folder)
    model = _load_model(folder, family.loader)
    config = model.config.to_dict()
    wanted = {"hidden_act": (*_ACTIVATIONS,), "position_embedding_type": ("absolute",)}
    for key, values in wanted.items():
        if (found := config.get(key, values[0])) not in values:
            raise ExportError(
                f"{folder / 'config.json'} has {key} {found!r}; text encoders must have "
                f"{' or '.join(map(repr, values))}."
            )
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    end = config["eos_token_id"] if family.clip else None
    return _Source(
        family=family,
        config=config,
        pooling="end" if family.clip else pooling,
        model=model,
        state=state,
        tokenizer=_read_tokenizer(folder, n_words=len(state[family.words]), end=end),
    )


def _read_family(folder: Path) -> _Family:
    path = folder / "config.json"
    if not path.is_file():
        raise ExportError(f"{path} is missing: {folder} is not a Hugging Face model folder.")
    kind = str(_read_json(path, {}).get("model_type"))
    if kind not in _FAMILIES:
        raise ExportError(
            f"{path} has model_type {kind!r}. Give a model of type {', '.join(_FAMILIES)}."
        )
    return _FAMILIES[kind]


def _read_pooling(folder: Path) -> str:
    """Return the pooling that sentence-transformers applies; only normalisation may follow it."""
    path = folder / "modules.json"
    kinds = {module["type"].rsplit(".", 1)[-1] for module in _read_json(path, [])}
    if unknown := kinds - {"Transformer", "Pooling", "Normalize"}:
        raise ExportError(f"{path} names modules that cannot be exported: {sorted(unknown)}.")
    path = folder / "1_Pooling" / "config.json"
    settings = _read_json(path, {})
    # Newer sentence-transformers write a name or a list of names, older ones a flag per name.
    modes = settings.get("pooling_mode") or [
        key for key, on in settings.items() if key.startswith("pooling_mode_") and on
    ]
    match modes:
        case "mean" | ["mean"] | ["pooling_mode_mean_tokens"]:
            return "mean"
        case "cls" | ["cls"] | ["pooling_mode_cls_token"]:
            return "first"
        case [] if not settings:
            return "mean"
    raise ExportError(
        f"{path} has the pooling {modes}; supported are the mean over all tokens and the first "
        "token."
    )


def _read_json(path: Path, absent: Any) -> Any:
    """Return the content of a JSON file, of the type of `absent`; `absent` without a file."""
    if not path.is_file():
        return absent
    content = read_json(path)
    if not isinstance(content, type(absent)):
        raise ExportError(f"{path} is not a JSON {type(absent).__name__}. Fetch the folder again.")
    return content


def _load_model(folder: Path, loader: str) -> Any:
    import torch

    with use_transformers() as transformers:
        try:
            model, loading = getattr(transformers, loader).from_pretrained(
                folder, local_files_only=True, output_loading_info=True
            )
        except Exception as error:  # transformers' exceptions have no common base class
            raise ExportError(f"The weights in {folder} cannot be read: {error}") from error
    # transformers fills missing weights with random numbers; BERT's pooler is not used here
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ExportError(
            f"The weights in {folder} lack {missing[0]} ({len(missing)} missing in all). "
            "Give the complete model; a CLIP needs its projection."
        )
    return model.to(torch.float32).eval()  # half-precision weights are rounded once, to int8


def _read_tokenizer(folder: Path, *, n_words: int, end: int | None) -> str:
    """Return the tokenizer's JSON; for CLIP, check that it ends each text with the end token."""
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise ExportError(f"{path} is missing. Save the tokenizer with AutoTokenizer first.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises no narrower class
        raise ExportError(f"{path} cannot be read: {error}. Fetch the folder again.") from error
    if (largest := max(tokenizer.get_vocab().values(), default=0)) >= n_words:
        raise ExportError(
            f"{path} has tokens up to {largest}, but the model has only {n_words}: save the "
            "model's own tokenizer beside it."
        )
    # Padding only changes rounding and costs time. A label that is too long is refused, not cut.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if end is not None:
        ids = [tokenizer.encode(text).ids for text in _PROBES]
        last = max(map(max, ids)) if end == _LEGACY_END else end
        if any(tokens[-1] != last for tokens in ids):
            raise ExportError(
                f"{path} gives the tokens {ids[0]} for {_PROBES[0]!r}, which do not end with the "
                f"end token {last}: save the model's own tokenizer beside it."
            )
    return tokenizer.to_str()


def _check_parity(source: _Source, exported: Path) -> float:
    """Return the lowest cosine between the embedding of a text by the exported model and torch."""
    wanted = _embed_with_torch(source, _PROBES)
    found = TextEncoder.open(exported).compute(_PROBES)
    cosine = float((wanted * found).sum(axis=1).min())
    if not cosine >= _MIN_COSINE:  # true for NaN
        raise ExportError(
            f"The exported encoder does not agree with torch: cosine {cosine:.3f}, at least "
            f"{_MIN_COSINE} needed. The model differs from its config.json, or its weights do not "
            "tolerate int8. Use another model."
        )
    return cosine
