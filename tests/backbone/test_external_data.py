"""Weights outside a model's bytes: refused wherever they are, before ONNX Runtime or TensorRT look.

ONNX lets a tensor say `location: FILE`. ONNX Runtime 1.23 reads any file so, and any address in
memory; every version reads the files below the current folder.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx.numpy_helper import from_array

from edgesplit.backbone.backends import OrtBackend
from edgesplit.backbone.fuse import fuse_models
from edgesplit.backbone.graph import open_flat
from edgesplit.backbone.identity import (
    GRAPH,
    WEIGHTS,
    LargeBackbone,
    check_self_contained,
    feature_space,
    inline,
)
from edgesplit.backbone.session import open_session
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.bundle.create import create_bundle
from edgesplit.edits.text_encoder import TextEncoder, encoder_digest
from edgesplit.errors import BackendError, BundleError, EdgesplitError
from edgesplit.heads.head import Head
from edgesplit.runtime import Runtime
from edgesplit.runtime.backends.agreement import Agreement
from edgesplit.runtime.backends.tensorrt import Batch, build_plan
from edgesplit.runtime.backends.variants import VARIANTS, Variant, open_variant
from edgesplit.video.preprocessing import Preprocessing

SECRET = b"secret!!"  # eight bytes, as eight values of a weight
REFUSED = r"keeps 'weight' in another file, .*not verified.*Export it again with the weights"


def put_outside(tensor: TensorProto, location: str, **more: int) -> None:
    """Says that the values lie in a file."""
    for field in ("raw_data", "float_data", "int64_data"):
        tensor.ClearField(field)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(value))


def weight() -> TensorProto:
    return from_array(np.zeros(len(SECRET), np.uint8), "weight")


def reading(location: str, **more: int) -> ModelProto:
    """A model whose output is a weight in a file."""
    tensor = weight()
    put_outside(tensor, location, length=len(SECRET), **more)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["weight"], ["y"])],
        "reading",
        [],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [len(SECRET)])],
        [tensor],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the user's, who works in the folder above it."""
    file = tmp_path / "home" / "below" / "secret.txt"
    file.parent.mkdir(parents=True)
    file.write_bytes(SECRET)
    monkeypatch.chdir(tmp_path / "home")
    return file


def test_onnx_runtime_itself_would_read_the_file(secret: Path) -> None:
    session = onnxruntime.InferenceSession(
        reading("below/secret.txt").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    assert session.run(None, {})[0].tobytes() == SECRET


OPENERS: dict[str, Callable[[bytes], object]] = {
    "session": open_session,
    "session unoptimised": lambda model: open_session(model, optimize=False),
    "rewriting": open_flat,
    "TensorRT": lambda model: build_plan(model, (3, 2, 4, 4), Batch()),
}


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("where", ["absolute", "above", "below", "memory", "nowhere"])
def test_a_weight_in_another_file_is_refused(secret: Path, where: str, opener: str) -> None:
    address = np.frombuffer(SECRET, np.uint8).ctypes.data
    model = {
        "absolute": reading(str(secret)),
        "above": reading(os.path.relpath(secret, "/").join(["../" * 20, ""])),
        "below": reading("below/secret.txt"),
        "memory": reading("*/_ORT_MEM_ADDR_/*", offset=address),
        "nowhere": reading("*/_ORT_MEM_ADDR_/*", offset=0x1000),
    }[where]
    location = model.graph.initializer[0].external_data[0].value
    with pytest.raises(BackendError, match=REFUSED) as refusal:
        OPENERS[opener](model.SerializeToString())
    assert location[:10] in str(refusal.value)


# Everywhere in a model


def attribute(**fields: Any) -> AttributeProto:
    return AttributeProto(name="value", **fields)


def graph_with(**fields: Any) -> GraphProto:
    return GraphProto(name="inner", **fields)


def branch(tensor: TensorProto) -> AttributeProto:
    return attribute(type=AttributeProto.GRAPH, g=graph_with(initializer=[tensor]))


def node(*attributes: AttributeProto) -> NodeProto:
    return NodeProto(op_type="Constant", output=["made"], attribute=attributes)


def sparse(values: TensorProto, indices: TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[9])


def training(**graphs: GraphProto) -> ModelProto:
    return ModelProto(training_info=[onnx.TrainingInfoProto(**graphs)])


def graph(**fields: Any) -> ModelProto:
    return ModelProto(graph=GraphProto(**fields))


def function(**fields: Any) -> ModelProto:
    return ModelProto(functions=[onnx.FunctionProto(name="f", **fields)])


PLACES: dict[str, Callable[[TensorProto], ModelProto]] = {
    "initializer": lambda t: graph(initializer=[weight(), t]),
    "sparse values": lambda t: graph(sparse_initializer=[sparse(t, weight())]),
    "sparse indices": lambda t: graph(sparse_initializer=[sparse(weight(), t)]),
    "attribute": lambda t: graph(node=[node(attribute(t=t))]),
    "attribute of many": lambda t: graph(node=[node(attribute(tensors=[weight(), t]))]),
    "sparse attribute": lambda t: graph(node=[node(attribute(sparse_tensor=sparse(t, weight())))]),
    "sparse attribute of many": lambda t: graph(
        node=[node(attribute(sparse_tensors=[sparse(weight(), t)]))]
    ),
    "subgraph": lambda t: graph(node=[node(branch(t))]),
    "one of many subgraphs": lambda t: graph(
        node=[node(attribute(graphs=[graph_with(), graph_with(initializer=[t])]))]
    ),
    "subgraph of a subgraph": lambda t: graph(
        node=[node(attribute(g=graph_with(node=[node(branch(t))])))]
    ),
    "function": lambda t: function(node=[node(attribute(t=t))]),
    "function's subgraph": lambda t: function(node=[node(branch(t))]),
    "function's default": lambda t: function(attribute_proto=[attribute(t=t)]),
    "training": lambda t: training(algorithm=graph_with(initializer=[t])),
    "start of training": lambda t: training(initialization=graph_with(node=[node(branch(t))])),
}


@pytest.mark.parametrize("place", PLACES)
def test_wherever_it_stands(place: str) -> None:
    tensor = weight()
    check_self_contained(PLACES[place](tensor).SerializeToString())
    put_outside(tensor, "below/secret.txt")
    with pytest.raises(BackendError, match=r"keeps 'weight' in .*'below/secret\.txt'"):
        open_session(PLACES[place](tensor).SerializeToString())


@pytest.mark.parametrize("place", ["attribute", "subgraph", "function"])
def test_a_tensor_without_a_name_is_named_by_what_holds_it(place: str) -> None:
    tensor = weight()
    tensor.name = ""
    put_outside(tensor, "x")
    with pytest.raises(BackendError, match=r"keeps '(value|inner)' in another file"):
        open_session(PLACES[place](tensor).SerializeToString())


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.sampled_from(["weight", "location", "a location", ""])
tensors = st.builds(
    lambda name, text: TensorProto(name=name, doc_string=text, data_type=1, raw_data=b"\0" * 4),
    names,
    texts,
)
sparses = st.builds(sparse, tensors, tensors)


def graphs_of(nodes: st.SearchStrategy[NodeProto]) -> st.SearchStrategy[GraphProto]:
    return st.builds(
        GraphProto,
        name=names,
        node=st.lists(nodes, max_size=2),
        initializer=st.lists(tensors, max_size=2),
        sparse_initializer=st.lists(sparses, max_size=1),
    )


def nodes_of(nodes: st.SearchStrategy[NodeProto]) -> st.SearchStrategy[NodeProto]:
    """Nodes that hold other nodes in their subgraphs."""
    inner = graphs_of(nodes)
    attributes = st.one_of(
        st.builds(AttributeProto, name=names, t=tensors),
        st.builds(AttributeProto, tensors=st.lists(tensors, max_size=2)),
        st.builds(AttributeProto, sparse_tensor=sparses),
        st.builds(AttributeProto, sparse_tensors=st.lists(sparses, max_size=1)),
        st.builds(AttributeProto, g=inner),
        st.builds(AttributeProto, graphs=st.lists(inner, max_size=2)),
    )
    return st.builds(
        NodeProto, name=names, op_type=names, attribute=st.lists(attributes, max_size=2)
    )


any_node = st.recursive(st.builds(NodeProto, op_type=names), nodes_of, max_leaves=4)
models = st.builds(
    ModelProto,
    doc_string=names,
    graph=graphs_of(any_node),
    functions=st.lists(
        st.builds(
            onnx.FunctionProto,
            node=st.lists(any_node, max_size=2),
            attribute_proto=st.lists(st.builds(AttributeProto, t=tensors), max_size=1),
        ),
        max_size=2,
    ),
    training_info=st.lists(
        st.builds(
            onnx.TrainingInfoProto,
            initialization=graphs_of(any_node),
            algorithm=graphs_of(any_node),
        ),
        max_size=1,
    ),
)


def tensors_in(content: object) -> Iterator[TensorProto]:
    """Every tensor, found by the names of the fields that can lead to one."""
    if isinstance(content, TensorProto):
        yield content
    elif isinstance(content, onnx.SparseTensorProto):
        yield from (content.values, content.indices)
    fields = ["graph", "functions", "training_info", "node", "attribute", "attribute_proto"]
    fields += ["initializer", "sparse_initializer", "t", "tensors", "sparse_tensor"]
    fields += ["sparse_tensors", "g", "graphs", "initialization", "algorithm"]
    for field in fields:
        value = getattr(content, field, None)
        if hasattr(value, "ListFields"):
            if content.HasField(field):  # type: ignore[attr-defined]
                yield from tensors_in(value)
        elif value is not None and not isinstance(content, TensorProto):
            for inner in value:
                yield from tensors_in(inner)


@settings(max_examples=settings().max_examples // 4)  # each is a model
@given(models, st.data())
def test_no_place_in_any_model_is_overlooked(model: ModelProto, data: st.DataObject) -> None:
    check_self_contained(model.SerializeToString())
    found = [*tensors_in(model)]
    if not found:
        return
    location = data.draw(texts.filter(bool))
    outside = data.draw(st.sampled_from(found))
    outside.ClearField("raw_data")
    entries = data.draw(st.permutations([("location", location), ("offset", "4"), ("x", "y")]))
    for key, value in entries:
        outside.external_data.add(key=key, value=value)
    if data.draw(st.booleans()):  # what is refused does not hang on one of the two
        outside.data_location = TensorProto.EXTERNAL
    with pytest.raises(BackendError, match="in another file"):
        open_session(model.SerializeToString())


# Bytes that parsers may read in different ways


def field(tag: bytes, content: bytes) -> bytes:
    assert len(content) < 128
    return tag + bytes([len(content)]) + content


def hidden(tag: bytes, *, key: bytes = field(b"\x0a", b"location"), place: bytes = b"x") -> bytes:
    """A model whose only weight is outside; `tag` says so, which is 6a as protobuf writes it."""
    tensor = field(tag, key + field(b"\x12", place)) + b"\x70\x01" + field(b"\x42", b"weight")
    return b"\x08\x08" + field(b"\x3a", field(b"\x2a", tensor))


def hidden_everywhere() -> bytes:
    """As `hidden`, with every tag a byte longer."""
    outside = field(b"\x8a\x00", b"location") + field(b"\x92\x00", b"x")
    tensor = field(b"\xea\x00", outside) + b"\xf0\x00\x01" + field(b"\xc2\x00", b"weight")
    return b"\x88\x00\x08" + field(b"\xba\x00", field(b"\xaa\x00", tensor))


UNUSUAL = {
    "usual": hidden(b"\x6a"),
    "long tag": hidden(b"\xea\x00"),
    "long length": hidden(b"\x6a", key=b"\x0a\x88\x00location"),
    "long tag of the key": hidden(b"\x6a", key=b"\x8a\x00\x08location"),
    "tag beyond 32 bits": hidden(b"\xea\x80\x80\x80\x10"),
    "no text": hidden(b"\x6a", place=b"\xff"),
    "in two parts": hidden(b"\x6a") + hidden(b"\x6a"),
    "unknown field": hidden(b"\x6a") + field(b"\xfa\x7f", b"location"),
    "long tags everywhere": hidden_everywhere(),
    "field unknown to onnx": field(b"\xfa\x7f", hidden(b"\x6a")),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_bytes_are_refused(name: str) -> None:
    with pytest.raises(BackendError, match=r"in another file|damaged|does not know"):
        check_self_contained(UNUSUAL[name])


def test_protobuf_in_pure_python_overlooks_nothing() -> None:
    code = (
        "from edgesplit.backbone.identity import check_self_contained\n"
        "from edgesplit.errors import BackendError\n"
        f"for name, model in {UNUSUAL!r}.items():\n"
        "    try: check_self_contained(model)\n"
        "    except BackendError: continue\n"
        "    raise SystemExit(name)"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env=environment)


def test_onnx_runtimes_own_format_is_refused(head: Head, tmp_path: Path) -> None:
    # It begins as the maker likes: such bytes can be an innocent ONNX file, too.
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "head.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(head.to_bytes(), options, providers=["CPUExecutionProvider"])
    content = (tmp_path / "head.ort").read_bytes()
    assert content[4:8] == b"ORTM"
    onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with pytest.raises(BackendError, match="refuses the model"):
        open_session(content)


# A large backbone's weights, and nothing else


def large(change: Callable[[ModelProto], object], data: bytes = bytes(64)) -> LargeBackbone:
    model = reading(WEIGHTS, offset=8)
    change(model)
    return LargeBackbone(model.SerializeToString(), data)


def test_a_large_backbones_weights_come_from_its_file() -> None:
    backbone = large(lambda model: None, bytes(8) + SECRET)
    check_self_contained(backbone)
    assert open_session(backbone).run(None, {})[0].tobytes() == SECRET


def in_a_node(model: ModelProto) -> None:
    tensor = weight()
    put_outside(tensor, WEIGHTS, length=len(SECRET))
    model.graph.node.append(node(attribute(t=tensor)))


def in_a_subgraph(model: ModelProto) -> None:
    tensor = weight()
    put_outside(tensor, WEIGHTS, length=len(SECRET))
    model.graph.node.append(node(branch(tensor)))


def entry(key: str, value: str) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        for found in model.graph.initializer[0].external_data:
            if found.key == key:
                found.value = value

    return change


NOT_OF_A_LARGE_BACKBONE: dict[str, Callable[[ModelProto], object]] = {
    "in a node": in_a_node,
    "in a subgraph": in_a_subgraph,
    "in another file": entry("location", "below/secret.txt"),
    "from its folder": entry("location", f"./{WEIGHTS}"),
    "in memory": entry("location", "*/_ORT_MEM_ADDR_/*"),
    "two places": lambda m: m.graph.initializer[0].external_data.add(key="location", value="x"),
    "before its start": entry("offset", "-8"),
    "behind its end": entry("offset", "60"),
    "no number": entry("offset", "x"),
    "no size": lambda m: m.graph.initializer[0].dims.__setitem__(0, -1),
    "no place": lambda m: m.graph.initializer[0].ClearField("external_data"),
    "texts": lambda m: setattr(m.graph.initializer[0], "data_type", TensorProto.STRING),
    "no type": lambda m: setattr(m.graph.initializer[0], "data_type", 99),
    "twice": lambda m: m.graph.initializer.append(m.graph.initializer[0]),
}


@pytest.mark.parametrize("name", NOT_OF_A_LARGE_BACKBONE)
def test_nothing_else_of_a_large_backbone_lies_outside(name: str) -> None:
    with pytest.raises((BackendError, BundleError)):
        open_session(large(NOT_OF_A_LARGE_BACKBONE[name]))


# From the outside


@pytest.fixture
def hostile(bundle: Bundle, secret: Path, head: Head, preprocessing: Preprocessing) -> Bundle:
    """A bundle whose backbone reads a file; all of its digests are right."""
    model = onnx.load_model_from_string(inline(bundle.backbone()))
    (matrix,) = model.graph.initializer
    matrix.name = model.graph.node[1].input[1] = "weight"
    secret.write_bytes(matrix.raw_data)
    put_outside(matrix, "below/secret.txt")
    backbone = model.SerializeToString()
    placed = Head(head.tree, head.weight, head.bias, feature_space(backbone, preprocessing))
    path = bundle.path.parent / "hostile.bundle"
    create_bundle(path, backbone=backbone, head=placed, preprocessing=preprocessing)
    return open_bundle(path)


def test_a_bundle_that_reads_a_file_is_refused_and_verify_says_so(hostile: Bundle) -> None:
    with pytest.raises(BackendError, match=REFUSED):
        OrtBackend(hostile.backbone())
    with pytest.raises(BackendError, match=REFUSED):
        Runtime(hostile)
    backbone, shape = inline(hostile.backbone()), hostile.preprocessing.clip_shape
    with pytest.raises(BackendError, match=REFUSED):
        fuse_models(backbone, hostile.head(), clip_shape=shape)
    (problem,) = hostile.verify()
    assert "keeps 'weight' in another file, 'below/secret.txt'" in problem


def test_a_file_beside_it_makes_it_no_large_backbone(hostile: Bundle, secret: Path) -> None:
    (hostile.path / WEIGHTS).write_bytes(secret.read_bytes())
    with pytest.raises(EdgesplitError, match=f"{GRAPH} with {WEIGHTS} is not the backbone"):
        Runtime(hostile)


def test_a_variant_that_reads_a_file_is_refused(bundle: Bundle, secret: Path) -> None:
    made = reading("below/secret.txt").SerializeToString()
    variant = Variant(
        feature_space=bundle.feature_space,
        name="ort",
        n_calibrated=0,
        ranges=None,
        digest=hashlib.sha256(made).hexdigest(),
        size_bytes=len(made),
        onnxruntime=onnxruntime.__version__,
        agreement=Agreement(1.0, 0.0, 0.0, 1.0, 1),
        speed=1.0,
        made="2026-01-01T00:00:00+00:00",
    )
    VARIANTS.folder.mkdir(parents=True, exist_ok=True)
    VARIANTS.save(variant, made, {})
    with pytest.raises(BackendError, match=REFUSED):
        open_variant(bundle, "ort")


def test_a_text_encoder_that_reads_a_file_is_refused(tmp_path: Path, secret: Path) -> None:
    encoder, tokenizer = reading("below/secret.txt").SerializeToString(), b"{}"
    digest = encoder_digest(encoder, tokenizer)
    (tmp_path / "encoder.onnx").write_bytes(encoder)
    (tmp_path / "tokenizer.json").write_bytes(tokenizer)
    with pytest.raises(BackendError, match=REFUSED):
        TextEncoder(tmp_path, digest=digest, dim=8, max_tokens=9).check()


def test_a_compiled_model_in_an_operator_is_refused() -> None:
    # ONNX Runtime's GPU providers load an engine, which is code, from the file that it names.
    value = helper.make_tensor_value_info
    node = helper.make_node(
        "EPContext",
        ["clip"],
        ["features"],
        domain="com.microsoft",
        embed_mode=0,
        ep_cache_context="engine.plan",
    )
    graph = helper.make_graph(
        [node],
        "compiled",
        [value("clip", TensorProto.FLOAT, ["N", 2])],
        [value("features", TensorProto.FLOAT, ["N", 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    for backbone in (model.SerializeToString(), LargeBackbone(model.SerializeToString(), b"")):
        with pytest.raises(BackendError, match="EPContext operator, which runs compiled code"):
            open_session(backbone)
