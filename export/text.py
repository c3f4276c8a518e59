"""A local Hugging Face sentence encoder becomes one small ONNX file for the device.

    input_ids, attention_mask [N, L] int64  ->  BERT  ->  masked mean  ->  L2  ->  embedding [N, D]

The graph is written by hand: a BERT encoder is twenty kinds of nodes, and an exporter's output
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgesplit.errors import ExportError, MissingExtraError
from edgesplit.text import ENCODER_FILE, MANIFEST_FILE, TOKENIZER_FILE, TextEncoder, encoder_digest

__all__ = ["export_text_encoder", "reference_embeddings", "write_text_encoder"]

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

_Array = npt.NDArray[np.float32]


def export_text_encoder(folder: Path) -> tuple[bytes, str]:
    """Turn a BERT-type sentence encoder with mean pooling into a self-contained ONNX model.

    Needs the `export` extra. The same folder always gives the same bytes.

    Args:
        folder: a local Hugging Face model folder (config.json, weights, tokenizer.json).

    Returns:
        The ONNX model (inputs `input_ids` and `attention_mask`, `(batch, tokens)` int64; output
        `embedding`, `(batch, dim)` float64, rows of length 1) and the tokenizer's JSON, which
        neither pads nor truncates.

    Raises:
        ExportError: another architecture or pooling.
        MissingExtraError: torch or transformers is not installed.
    """
    config = _read_config(folder)
    state = {name: tensor.numpy() for name, tensor in _load_model(folder).state_dict().items()}
    graph = _Graph()
    mask = graph.double("attention_mask")
    hidden = _embed(graph, state, config)
    # 0 for a token, a number that vanishes in the softmax for padding; broadcast as [N, 1, 1, L]
    absent = graph.op("Sub", graph.constant(1.0), mask)
    absent = graph.op("Unsqueeze", absent, graph.shape(1, 2))
    bias = graph.op("Mul", absent, graph.constant(-1e9))
    for index in range(config["num_hidden_layers"]):
        layer = _Layer(graph, state, prefix=f"encoder.layer.{index}.", config=config)
        hidden = layer.feed_forward(layer.attend(hidden, bias))
    _pool(graph, hidden, mask)
    return graph.to_bytes(config["hidden_size"]), _read_tokenizer(folder)


def write_text_encoder(folder: Path, *, destination: Path, model: str) -> None:
    """Export the encoder in `folder` into the three files that `TextEncoder.open` reads.

    Args:
        folder: a local Hugging Face model folder.
        destination: the folder to write encoder.onnx, tokenizer.json and encoder.json into.
        model: where the weights come from; kept in encoder.json for people.

    Raises:
        ExportError: as `export_text_encoder`; or the written encoder disagrees with torch.
    """
    encoder, tokenizer = export_text_encoder(folder)
    config = _read_config(folder)
    manifest = {
        "digest": encoder_digest(encoder, tokenizer.encode()),
        "dim": config["hidden_size"],
        "max_tokens": _max_tokens(config),
        "model": model,
    }
    destination.mkdir(parents=True, exist_ok=True)
    (destination / ENCODER_FILE).write_bytes(encoder)
    (destination / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
    (destination / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n")
    _check_parity(folder, destination)


def reference_embeddings(folder: Path, texts: Sequence[str]) -> _Array:
    """Embed texts with the original float32 model, one at a time: what the export is held to.

    Returns:
        `(len(texts), dim)` float32, rows of length 1.
    """
    import torch
    from tokenizers import Tokenizer

    model, tokenizer = _load_model(folder), Tokenizer.from_str(_read_tokenizer(folder))
    rows = []
    with torch.no_grad():
        for text in texts:
            ids = torch.tensor([tokenizer.encode(text).ids])
            hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            rows.append(torch.nn.functional.normalize(hidden[0].mean(0), dim=0).numpy())
    return np.stack(rows)


class _Graph:
    """Nodes and initializers in the order they are asked for; names are counted."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

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

    def double(self, tensor: str) -> str:
        return self.op("Cast", tensor, to=TensorProto.DOUBLE)

    def parameter(self, name: str, array: _Array) -> str:
        """Store as it was trained, in float32; the cast is folded when a session is made."""
        return self.double(self.tensor(name, array))

    def shape(self, *values: int) -> str:
        return self.tensor(f"ints_{values}", np.array(values, np.int64))

    def scaled(self, codes: str, scales: str) -> str:
        """Dequantize int8 codes, by a cast and a product.

        Not by DequantizeLinear: newer ONNX Runtimes turn that into kernels that round the
        activations to int8 as well (1.32: the error doubles), older ones repeat it in every run
        (1.23: 42 ms a text, not 6). A cast of a constant is folded once, in any session.
        """
        return self.op("Mul", self.double(codes), self.double(scales))

    def to_bytes(self, dim: int) -> bytes:
        def info(name: str, kind: int, width: str | int) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, ["batch", width])

        ids = [info(name, TensorProto.INT64, "tokens") for name in ("input_ids", "attention_mask")]
        outputs = [info("embedding", TensorProto.DOUBLE, dim)]
        weights = list(self.initializers.values())
        graph = helper.make_graph(self.nodes, "text_encoder", ids, outputs, weights)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR, producer_name="edgesplit"
        )
        onnx.checker.check_model(model, full_check=True)
        data: bytes = model.SerializeToString(deterministic=True)
        return data


class _Layer:
    """One transformer layer of a BERT, post-norm, written into a graph."""

    def __init__(
        self, graph: _Graph, state: Mapping[str, _Array], *, prefix: str, config: Mapping[str, Any]
    ) -> None:
        self.graph, self.state, self.prefix, self.config = graph, state, prefix, config

    def attend(self, hidden: str, bias: str) -> str:
        op, heads = self.graph.op, self.config["num_attention_heads"]
        width = self.config["hidden_size"] // heads
        query = self._heads("attention.self.query", hidden, order=(0, 2, 1, 3))
        keys = self._heads("attention.self.key", hidden, order=(0, 2, 3, 1))
        values = self._heads("attention.self.value", hidden, order=(0, 2, 1, 3))
        scores = op("Div", op("MatMul", query, keys), self.graph.constant(width**0.5))
        weights = op("Softmax", op("Add", scores, bias), axis=-1)
        mixed = op("Transpose", op("MatMul", weights, values), perm=[0, 2, 1, 3])
        joined = op("Reshape", mixed, self.graph.shape(0, 0, heads * width))
        added = op("Add", self._linear("attention.output.dense", joined), hidden)
        return self._norm("attention.output.LayerNorm", added)

    def feed_forward(self, hidden: str) -> str:
        active = _gelu(self.graph, self._linear("intermediate.dense", hidden))
        added = self.graph.op("Add", self._linear("output.dense", active), hidden)
        return self._norm("output.LayerNorm", added)

    def _heads(self, name: str, hidden: str, *, order: tuple[int, ...]) -> str:
        heads = self.config["num_attention_heads"]
        shape = self.graph.shape(0, 0, heads, self.config["hidden_size"] // heads)
        split = self.graph.op("Reshape", self._linear(name, hidden), shape)
        return self.graph.op("Transpose", split, perm=order)

    def _linear(self, name: str, hidden: str) -> str:
        name = self.prefix + name
        codes, scales = _quantize(self.state[f"{name}.weight"])  # [out, in]: a scale per output
        weight = self.graph.scaled(
            self.graph.tensor(f"{name}.weight", np.ascontiguousarray(codes.T)),
            self.graph.tensor(f"{name}.scale", scales),
        )
        bias = self.graph.parameter(f"{name}.bias", self.state[f"{name}.bias"])
        return self.graph.op("Add", self.graph.op("MatMul", hidden, weight), bias)

    def _norm(self, name: str, hidden: str) -> str:
        return _normalize(self.graph, self.state, self.prefix + name, hidden, config=self.config)


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


def _embed(graph: _Graph, state: Mapping[str, _Array], config: Mapping[str, Any]) -> str:
    """Look words up as int8 rows and dequantize those rows only, never the whole table."""
    op = graph.op
    codes, scales = _quantize(state["embeddings.word_embeddings.weight"])
    rows = op("Gather", graph.tensor("words", codes), "input_ids")
    row_scales = op("Gather", graph.tensor("words.scale", scales[:, None]), "input_ids")
    words = graph.scaled(rows, row_scales)
    # One sentence is all of token type 0: that row joins the positions, and both stay float32
    # (0.2 MB). Only the positions a label may have are kept.
    table = state["embeddings.position_embeddings.weight"][: _max_tokens(config)]
    table = table + state["embeddings.token_type_embeddings.weight"][0]
    length = op("Slice", op("Shape", "input_ids"), graph.shape(1), graph.shape(2))
    positions = op("Slice", graph.parameter("positions", table), graph.shape(0), length)
    summed = op("Add", words, positions)
    return _normalize(graph, state, "embeddings.LayerNorm", summed, config=config)


def _normalize(
    graph: _Graph, state: Mapping[str, _Array], name: str, hidden: str, *, config: Mapping[str, Any]
) -> str:
    parameters = [
        graph.parameter(f"{name}.{part}", state[f"{name}.{part}"]) for part in ("weight", "bias")
    ]
    epsilon = config["layer_norm_eps"]
    return graph.op("LayerNormalization", hidden, *parameters, axis=-1, epsilon=epsilon)


def _pool(graph: _Graph, hidden: str, mask: str) -> None:
    """Mean over the tokens that are there, then length 1."""
    column = graph.op("Unsqueeze", mask, graph.shape(2))
    kept = graph.op("Mul", hidden, column)
    # The mean differs from the sum by a factor only, which the length takes away.
    total = graph.op("ReduceSum", kept, graph.shape(1), keepdims=0)
    graph.op("LpNormalization", total, output="embedding", axis=-1, p=2)


def _quantize(weight: _Array) -> tuple[npt.NDArray[np.int8], _Array]:
    """Symmetric int8 codes and one scale per row: `weight` is nearly `codes * scales[:, None]`."""
    scales = np.abs(weight).max(axis=1) / 127
    scales[scales == 0] = 1.0  # an unused row of zeros stays zeros
    codes = np.rint(weight / scales[:, None]).astype(np.int8)
    return codes, scales.astype(np.float32)


def _max_tokens(config: Mapping[str, Any]) -> int:
    return min(MAX_TOKENS, int(config["max_position_embeddings"]))


def _read_config(folder: Path) -> dict[str, Any]:
    """Read config.json and refuse what the graph above would compute differently."""
    path = folder / "config.json"
    if not path.is_file():
        raise ExportError(f"{path} is missing: {folder} is not a Hugging Face model folder.")
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for key, value in wanted.items():
        found = config.get(key, value)
        if found != value:
            raise ExportError(
                f"{path} has {key} {found!r}; text encoders must have {value!r}. "
                "Choose a BERT-type sentence encoder."
            )
    _check_modules(folder)
    return config


def _check_modules(folder: Path) -> None:
    """Refuse what sentence-transformers would do after the BERT, other than mean and length."""
    path = folder / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    kinds = {module["type"].rsplit(".", 1)[-1] for module in modules}
    if unknown := kinds - {"Transformer", "Pooling", "Normalize"}:
        raise ExportError(f"{path} names modules that cannot be exported: {sorted(unknown)}.")
    path = folder / "1_Pooling" / "config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    modes = [key for key, on in settings.items() if key.startswith("pooling_mode_") and on]
    if settings and modes != ["pooling_mode_mean_tokens"]:
        raise ExportError(f"{path} asks for another pooling than the mean over all tokens.")


def _load_model(folder: Path) -> Any:
    try:
        import torch
        from transformers import BertModel
    except ImportError as error:
        message = "Exporting a text encoder needs torch and transformers: "
        raise MissingExtraError(message + "pip install 'edgesplit[export]'") from error
    try:
        model: Any = BertModel.from_pretrained(folder, local_files_only=True)
    except OSError as error:
        raise ExportError(f"The weights in {folder} cannot be read: {error}") from error
    return model.to(torch.float32).eval()  # half-precision weights are rounded once, to int8


def _read_tokenizer(folder: Path) -> str:
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise ExportError(f"{path} is missing. Save the tokenizer with AutoTokenizer first.")
    tokenizer = Tokenizer.from_file(str(path))
    # Padding changes no meaning but rounding and time; too long a label is refused, not cut.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer.to_str()


def _check_parity(folder: Path, exported: Path) -> None:
    wanted = reference_embeddings(folder, _PROBES)
    found = TextEncoder.open(exported).compute(_PROBES)
    cosine = float((wanted * found).sum(axis=1).min())
    if cosine < _MIN_COSINE:
        raise ExportError(
            f"The encoder exported from {folder} agrees with torch only to a cosine of "
            f"{cosine:.3f} (wanted {_MIN_COSINE}). It is not a plain BERT; do not use {exported}."
        )
