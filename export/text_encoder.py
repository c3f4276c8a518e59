"""A local Hugging Face text encoder becomes one small ONNX file for the device.

    input_ids, attention_mask [N, L] int64  ->  layers  ->  one row per text  ->  embedding [N, D]

Two families: BERT and RoBERTa with the mean over all tokens or the first one, as a
sentence-transformers folder says, and the text tower of a CLIP. `edgesplit encoder` puts one into
a bundle, where it takes the packaged encoder's place.

The graph is written by hand: an encoder is twenty kinds of nodes, and an exporter's output
would have to be taken apart again to get at its weights. Weights are int8, arithmetic is float64:
dynamic int8 also rounds the activations, by an amount that depends on the batch a text is in, which
was enough to swap left and right; float32 rounds otherwise in every ONNX Runtime and on every CPU,
which `TextEncoder` can only take away when it is as small as float64's. The shipped encoder was
made by

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
"""Labels are short, and all-MiniLM-L6-v2 was trained on texts of at most 128 tokens."""

_OPSET, _IR = 17, 8  # ONNX Runtime 1.23.2 on a JetPack 6 must load the file; 1.18 does too
_MIN_COSINE = 0.98  # int8 weights keep 0.99; a graph that computes something else is far below
_PROBES = ("left", "moving something from left to right", "Pretending to open a box, but failing.")

# Abramowitz and Stegun 26.2.17, see `_gelu`
_TAIL_P = 0.2316419
_TAIL_B = tuple(
    b / math.sqrt(2 * math.pi)
    for b in (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)
)


@dataclass(frozen=True, slots=True)
class _Family:
    """Where a kind of model keeps weights, and what it does with them. The defaults are BERT's."""

    loader: str
    """Its class in transformers."""
    words: str = "embeddings.word_embeddings.weight"
    positions: str = "embeddings.position_embeddings.weight"
    layer: str = "encoder.layer.{}."
    """Prefix of a layer's names below, with a place for its number."""
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    mixed: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    inner: str = "intermediate.dense"
    outer: str = "output.dense"
    outer_norm: str = "output.LayerNorm"
    offset_positions: bool = False
    """Positions count from pad_token_id + 1."""
    clip: bool = False
    """Sublayers normalise what they read, not what they have added to; tokens see earlier ones
    only; the end token's row is projected."""


_CLIP = _Family(
    loader="CLIPTextModelWithProjection",  # reads the folder of a whole CLIP as well
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
"""By config.json's model_type."""

_LEGACY_END = 2
"""CLIPs from before transformers 4.31 name this as their end token; theirs is the largest id."""


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """A model folder, read."""

    family: _Family
    config: Mapping[str, Any]
    pooling: str
    """`mean` and `first` of the tokens, or CLIP's `end`."""
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
    """What was made and how well it agrees with torch."""

    path: Path
    """The folder of the three files."""
    digest: str
    dim: int
    max_tokens: int
    size_bytes: int
    """Of the ONNX model and the tokenizer."""
    cosine: float
    """Between its embedding and torch's, of that of three texts where they differ most."""


def export_text_encoder(folder: Path) -> tuple[bytes, str]:
    """Turn a text encoder into a self-contained ONNX model.

    Needs the `export` extra. The same folder always gives the same bytes.

    Args:
        folder: a local Hugging Face model folder (config.json, weights, tokenizer.json) of a BERT
            or RoBERTa with mean or CLS pooling, or of a CLIP or its text tower.

    Returns:
        The ONNX model (inputs `input_ids` and `attention_mask`, `(batch, tokens)` int64; output
        `embedding`, `(batch, dim)` float64, rows of length 1) and the tokenizer's JSON, which
        neither pads nor truncates.

    Raises:
        ExportError: another architecture or pooling, or a file is missing or damaged.
        MissingExtraError: torch or transformers is not installed.
    """
    source = _read_source(folder)
    return _write_graph(source), source.tokenizer


def write_text_encoder(folder: Path, *, destination: Path, model: str) -> EncoderReport:
    """Export the encoder in `folder` into the three files that `TextEncoder.open` reads.

    Args:
        folder: a local Hugging Face model folder.
        destination: the folder to write encoder.onnx, tokenizer.json and encoder.json into.
        model: where the weights come from; kept in encoder.json for people.

    Returns:
        What was written.

    Raises:
        ExportError: as `export_text_encoder`; or the written encoder disagrees with torch.
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
    """Export the encoder in `folder` and make it the bundle's own, from the next edit on.

    It appears at once or not at all, by the rename of a folder, and like every other file of a
    bundle is never changed again. Rows that earlier edits made stay as they are.

    Args:
        folder: as for `export_text_encoder`.
        bundle: the bundle whose `text/` is made.
        model: where the weights come from; kept in encoder.json for people.

    Returns:
        What the bundle has now; when it had this very encoder, nothing was written.

    Raises:
        ExportError: as `write_text_encoder`.
        BundleError: the bundle has another text encoder of its own, or cannot be written.
        ConflictError: another process is writing to the bundle.
    """
    target = bundle.path / "text"
    with tempfile.TemporaryDirectory(prefix="edgesplit-") as scratch:
        made = Path(scratch)
        report = write_text_encoder(folder, destination=made, model=model)  # slow: needs no lock
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
            "files are never changed. Copy the bundle without that folder, and add it there."
        )
    present.check()


def reference_embeddings(folder: Path, texts: Sequence[str]) -> Float32:
    """Embed texts with the original float32 model, one at a time: what the export is held to.

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
        row = graph.normalize("text_model.final_layer_norm", row)  # of that row alone
        row = graph.op("MatMul", row, graph.matrix("text_projection"))
    graph.op("LpNormalization", row, output="embedding", axis=-1, p=2)
    return graph.to_bytes()


class _Graph:
    """Nodes and initializers in the order they are asked for; names are counted.

    Methods add nodes and return the name of their result.
    """

    def __init__(self, source: _Source) -> None:
        self.source, self.family = source, source.family
        self.heads = int(source.config["num_attention_heads"])
        self.width = int(source.config["hidden_size"]) // self.heads
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    # The parts of an encoder

    def embed(self) -> str:
        """Look words up as int8 rows and dequantize those rows only, never the whole table."""
        op, state = self.op, self.source.state
        codes, scales = _quantize(state[self.family.words])
        rows = op("Gather", self.tensor("words", codes), "input_ids")
        row_scales = op("Gather", self.tensor("words.scale", scales[:, None]), "input_ids")
        words = self.scaled(rows, row_scales)
        # Positions stay float32 (0.2 MB), and only those that a label may have are kept.
        first = self.source.first_position
        table = state[self.family.positions][first : first + self.source.max_tokens]
        if not self.family.clip:
            # One sentence is all of token type 0: that row joins the positions.
            table = table + state["embeddings.token_type_embeddings.weight"][0]
        length = op("Slice", op("Shape", "input_ids"), self.shape(1), self.shape(2))
        positions = op("Slice", self.parameter("positions", table), self.shape(0), length)
        summed = op("Add", words, positions)
        return summed if self.family.clip else self.normalize("embeddings.LayerNorm", summed)

    def hide(self, mask: str) -> str:
        """Make what the scores `[N, heads, L, L]` get added: 0, or what vanishes in the softmax."""
        op = self.op
        hidden = op("Sub", self.constant(1.0), mask)
        hidden = op("Unsqueeze", hidden, self.shape(1, 2))
        if self.family.clip:
            # A later token is hidden as padding is; column above row says which is later.
            length = op("Squeeze", op("Slice", op("Shape", mask), self.shape(1), self.shape(2)))
            places = op("Range", self.integer("int_0", 0), length, self.integer("int_1", 1))
            rows = op("Unsqueeze", places, self.shape(1))
            hidden = op("Add", hidden, self.double(op("Less", rows, places)))
        return op("Mul", hidden, self.constant(-1e9))

    def layer(self, prefix: str, hidden: str, bias: str) -> str:
        """Add a transformer layer, whose weights' names begin with the prefix."""
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
        """Make one row `[N, D]` per text."""
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
        # The mean differs from the sum by a factor only, which the length takes away.
        return op("ReduceSum", kept, self.shape(1), keepdims=0)

    # Nodes and initializers

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def tensor(self, name: str, array: npt.NDArray[Any]) -> str:
        # setdefault: constants such as 0.5 are asked for in every layer
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
        """Store as it was trained, in float32; the cast is folded when a session is made."""
        return self.double(self.tensor(name, array))

    def scaled(self, codes: str, scales: str) -> str:
        """Dequantize int8 codes, by a cast and a product.

        Not by DequantizeLinear: newer ONNX Runtimes turn that into kernels that round the
        activations to int8 as well (1.32: the error doubles), older ones repeat it in every run
        (1.23: 42 ms a text, not 6). A cast of a constant is folded once, in any session.
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
    """X P(x), with P the normal distribution, as max(x, 0) - |x| P(-|x|).

    ONNX Runtime's Erf knows no float64. P(-u) = exp(-u^2 / 2) (b1 t + ... + b5 t^5), t = 1 / (1 +
    p u), is right to 7.5e-8, as a float32 Erf would be (Abramowitz and Stegun, Handbook of
    Mathematical Functions, 26.2.17; the b below are divided by the root of 2 pi).
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
    """X sigmoid(1.702 x), OpenAI's stand-in for the GELU.

    Not by Sigmoid: ONNX Runtimes up to 1.23 at least put a kernel of their own in the place of the
    three nodes, and then refuse the model, because that kernel knows no float64.
    """
    op = graph.op
    shrinking = op("Exp", op("Mul", inner, graph.constant(-1.702)))  # inf where 0 is right
    return op("Div", inner, op("Add", shrinking, graph.constant(1.0)))


_ACTIVATIONS = {"gelu": _gelu, "quick_gelu": _quick_gelu}


def _quantize(weight: Float32) -> tuple[npt.NDArray[np.int8], Float32]:
    """Symmetric int8 codes and one scale per row: `weight` is nearly `codes * scales[:, None]`."""
    scales = np.abs(weight).max(axis=1) / 127
    scales[scales == 0] = 1.0  # an unused row of zeros stays zeros
    codes = np.rint(weight / scales[:, None]).astype(np.int8)
    return codes, scales.astype(np.float32)


def _read_source(folder: Path) -> _Source:
    """Read a folder and refuse what the graph above would compute differently."""
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
            f"{path} has model_type {kind!r}; what can be exported is {', '.join(_FAMILIES)}."
        )
    return _FAMILIES[kind]


def _read_pooling(folder: Path) -> str:
    """What sentence-transformers does after the model; it must be a pooling, then length 1."""
    path = folder / "modules.json"
    kinds = {module["type"].rsplit(".", 1)[-1] for module in _read_json(path, [])}
    if unknown := kinds - {"Transformer", "Pooling", "Normalize"}:
        raise ExportError(f"{path} names modules that cannot be exported: {sorted(unknown)}.")
    path = folder / "1_Pooling" / "config.json"
    settings = _read_json(path, {})
    # Newer sentence-transformers write a name or a list of them, older ones a flag for each.
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
        f"{path} asks for another pooling than the mean over all tokens or the first: {modes}."
    )


def _read_json(path: Path, absent: Any) -> Any:
    """What the file holds, which must be of the kind of `absent`; that, if there is no file."""
    if not path.is_file():
        return absent
    content = read_json(path)
    if not isinstance(content, type(absent)):
        raise ExportError(f"{path} holds no JSON {type(absent).__name__}. Fetch the folder again.")
    return content


def _load_model(folder: Path, loader: str) -> Any:
    import torch

    with use_transformers() as transformers:
        try:
            model, loading = getattr(transformers, loader).from_pretrained(
                folder, local_files_only=True, output_loading_info=True
            )
        except Exception as error:  # its readers' exceptions have no common base
            raise ExportError(f"The weights in {folder} cannot be read: {error}") from error
    # transformers fills what a file lacks with random numbers; a BERT's pooler is not used here
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ExportError(
            f"The weights in {folder} lack {missing[0]} ({len(missing)} missing in all). "
            "Export the model as it was trained; of a CLIP, with its projection."
        )
    return model.to(torch.float32).eval()  # half-precision weights are rounded once, to int8


def _read_tokenizer(folder: Path, *, n_words: int, end: int | None) -> str:
    """The tokenizer's JSON; a CLIP's must end each text with the token that is pooled."""
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise ExportError(f"{path} is missing. Save the tokenizer with AutoTokenizer first.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing narrower
        raise ExportError(f"{path} cannot be read: {error}. Fetch the folder again.") from error
    if (largest := max(tokenizer.get_vocab().values(), default=0)) >= n_words:
        raise ExportError(
            f"{path} has tokens up to {largest}, the model knows {n_words}: save the model's own "
            "tokenizer beside it."
        )
    # Padding changes no meaning but rounding and time; too long a label is refused, not cut.
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
    """The lowest cosine between the exported model's embedding of a text and torch's."""
    wanted = _embed_with_torch(source, _PROBES)
    found = TextEncoder.open(exported).compute(_PROBES)
    cosine = float((wanted * found).sum(axis=1).min())
    if not cosine >= _MIN_COSINE:  # NaN as well
        raise ExportError(
            f"The exported encoder agrees with torch only to a cosine of {cosine:.3f} (wanted "
            f"{_MIN_COSINE}): the model computes something that its config.json does not say, or "
            "its weights bear no int8. Use another model."
        )
    return cosine
