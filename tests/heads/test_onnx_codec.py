"""The head file: what it looks like, and that nothing but a head is ever read as one."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgesplit.backbone.session import open_session
from edgesplit.errors import HeadError
from edgesplit.heads.head import Head, head_digest
from edgesplit.heads.labels import Composition, LabelTree, Node, Provenance, Source
from edgesplit.limits import TREE_DEPTH
from tests.onnx_files import metadata_of, set_metadata, tensor

Metadata = dict[str, Any]


@pytest.fixture
def split_head() -> Head:
    """Three classes over four features, two of them split, one twice: depths 1 and 2."""
    tree = LabelTree.from_labels(["pushing something", "pulling something", "holding something"])
    made = Provenance("retrieval", (Source("pulling something", 0.75, 1.0),))
    tree = tree.split(
        0, [Node("left", modifier="left", provenance=made), Node("right")], composition="gated"
    )
    tree = tree.split(1, [Node("up"), Node("down"), Node("away")], composition="gated")
    tree = tree.split(3, [Node("slow"), Node("fast")], composition="gated")
    rng = np.random.default_rng(0)
    return Head(
        tree=tree,
        weight=floats(rng.standard_normal((len(tree), 4))),
        bias=floats(rng.standard_normal(len(tree))),
        feature_space="f" * 64,
        parent="0" * 64,
    )


@pytest.fixture
def flat_head() -> Head:
    tree = LabelTree.from_labels("ab").split(0, [Node("c"), Node("d")], composition="flat")
    return Head(tree, floats(np.eye(4)), floats([0] * 4))


def floats(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


def parse(data: bytes) -> ModelProto:
    return onnx.load_from_string(data)


def serialize(model: ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))


# What it looks like


def test_file_is_pinned_to_the_byte() -> None:
    # Changes with the format only: then FORMAT_VERSION and docs/format.md change as well. The
    # head is made of numbers that are exact in every arithmetic.
    tree = LabelTree.from_labels(["pushing", "pulling", "holding"])
    tree = tree.split(0, [Node("left", modifier="left"), Node("right")], composition="gated")
    tree = tree.split(1, [Node("up"), Node("down"), Node("away")], composition="flat")
    weight = floats(np.arange(16).reshape(8, 2) / 4)
    head = Head(tree, weight, floats(range(8)), feature_space="f" * 64, parent="0" * 64)
    assert head.digest == "9110bdf4f0aca1356d3f05e69632a60e09dc0754e9543e8cf02c56a625281f37"


def test_digest_is_the_sha256_of_the_file(split_head: Head) -> None:
    assert split_head.digest == hashlib.sha256(split_head.to_bytes()).hexdigest()
    assert head_digest(b"") == hashlib.sha256(b"").hexdigest()


def test_inputs_and_outputs_are_named_and_shaped(split_head: Head) -> None:
    session = open_session(split_head.to_bytes())
    (features,) = session.get_inputs()
    assert (features.name, features.shape, features.type) == ("features", ["N", 4], "tensor(float)")
    assert [(out.name, out.shape, out.type) for out in session.get_outputs()] == [
        ("logits", ["N", 10], "tensor(float)"),
        ("probabilities", ["N", 10], "tensor(float)"),
        ("class_index", ["N"], "tensor(int64)"),
    ]


def test_metadata_holds_content_only(split_head: Head) -> None:
    model = parse(split_head.to_bytes())
    assert [entry.key for entry in model.metadata_props] == ["edgesplit"]
    metadata = metadata_of(model)
    assert set(metadata) == {"format", "feature_space", "parent", "nodes"}
    assert metadata["nodes"][0] == {
        "label": "pushing something",
        "composition": "gated",
        "temperature": 1.0,
    }
    assert metadata["nodes"][3] == {
        "label": "left",
        "parent": 0,
        "modifier": "left",
        "composition": "gated",
        "temperature": 1.0,
        "rule": "retrieval",
        "sources": [{"label": "pulling something", "similarity": 0.75, "weight": 1.0}],
    }


def test_labels_of_any_script_survive() -> None:
    labels = ["推動某物 \U0001f449", "déplacer", 'a\u0027b "c" \\d']
    head = Head.from_arrays(np.eye(3), np.zeros(3), labels)
    assert Head.from_bytes(head.to_bytes()).labels == tuple(labels)


def test_special_float_values_survive_to_the_bit() -> None:
    tiny = float(np.finfo(np.float32).smallest_subnormal)
    weight = np.array([[-0.0, tiny], [1e18, -1.1754944e-38]], np.float32)
    head = Head.from_arrays(weight, [-0.0, 0.0], "ab")
    assert Head.from_bytes(head.to_bytes()).weight.tobytes() == weight.tobytes()


def test_an_empty_batch_gives_empty_answers(split_head: Head) -> None:
    outputs = open_session(split_head.to_bytes()).run(None, {"features": np.zeros((0, 4), "f4")})
    assert [output.shape for output in outputs] == [(0, 10), (0, 10), (0,)]


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
@pytest.mark.parametrize("threads", [1, 2])
def test_many_gated_splits_of_a_large_head_leave_its_roots_bit_identical(
    batch: int, threads: int
) -> None:
    rng = np.random.default_rng(0)
    n_roots, dim, n_splits = 174, 768, 27
    roots = Head.from_arrays(
        rng.standard_normal((n_roots, dim)),
        rng.standard_normal(n_roots),
        [f"class {column}" for column in range(n_roots)],
    )
    tree = roots.tree
    for column in range(n_splits):
        children = [Node(f"class {column} {child}") for child in range(2 + column % 4)]
        tree = tree.split(column, children, composition="gated")
    made = len(tree) - n_roots
    weight = np.concatenate([roots.weight, rng.standard_normal((made, dim))])
    split = Head(tree, weight, np.concatenate([roots.bias, np.zeros(made)]))
    features = rng.standard_normal((batch, dim)).astype(np.float32)
    (old, old_p), (new, new_p) = (
        open_session(head.to_bytes(), threads=threads).run(
            ["logits", "probabilities"], {"features": features}
        )
        for head in (roots, split)
    )
    assert new[:, :n_roots].tobytes() == old.tobytes()
    assert new_p[:, :n_roots].tobytes() == old_p.tobytes()


# What is refused


Damage = Callable[[ModelProto], None]


def swapped(first: int, second: int) -> Damage:
    def damage(model: ModelProto) -> None:
        content = metadata_of(model)
        nodes = content["nodes"]
        nodes[first], nodes[second] = nodes[second], nodes[first]
        set_metadata(model, content)

    return damage


def in_metadata(**changes: Any) -> Damage:
    def damage(model: ModelProto) -> None:
        set_metadata(model, metadata_of(model) | changes)

    return damage


def in_node(column: int, **changes: Any) -> Damage:
    def damage(model: ModelProto) -> None:
        content = metadata_of(model)
        content["nodes"][column] |= changes
        set_metadata(model, content)

    return damage


def without(key: str) -> Damage:
    def damage(model: ModelProto) -> None:
        content = metadata_of(model)
        del content[key]
        set_metadata(model, content)

    return damage


def raw_metadata(text: str) -> Damage:
    def damage(model: ModelProto) -> None:
        model.metadata_props[0].value = text

    return damage


def add_node(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["logits"], ["copy"], name="copy"))


def add_initializer(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "spare"))


def external_weight(model: ModelProto) -> None:
    weight = tensor(model, "weight")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")


def external_beside_raw(model: ModelProto) -> None:
    tensor(model, "weight").external_data.add(key="location", value="/etc/passwd")


def float_data(model: ModelProto) -> None:
    bias = tensor(model, "bias")
    bias.float_data.extend(np.frombuffer(bias.raw_data, np.float32))
    bias.ClearField("raw_data")


def reshaped(*dims: int) -> Damage:
    def damage(model: ModelProto) -> None:
        weight = tensor(model, "weight")
        del weight.dims[:]
        weight.dims.extend(dims)

    return damage


def filled(name: str, value: float, place: int = 0) -> Damage:
    def damage(model: ModelProto) -> None:
        target = tensor(model, name)
        array = numpy_helper.to_array(target).copy()
        array.flat[place] = value
        target.raw_data = array.tobytes()

    return damage


def typed(kind: int) -> Damage:
    def damage(model: ModelProto) -> None:
        tensor(model, "weight").data_type = kind

    return damage


def dropped(name: str) -> Damage:
    def damage(model: ModelProto) -> None:
        model.graph.initializer.remove(tensor(model, name))

    return damage


def one_row_more(model: ModelProto) -> None:
    weight = tensor(model, "weight")
    weight.dims[0] += 1
    weight.raw_data += b"\0" * 16


def changed_attribute(model: ModelProto) -> None:
    (softmax,) = (n for n in model.graph.node if n.name == "split1.shared")
    softmax.attribute[0].i = 1


def changed_operator(model: ModelProto) -> None:
    model.graph.node[-1].op_type = "Identity"


def renamed_output(model: ModelProto) -> None:
    model.graph.output[0].name = "scores"


def subgraph(model: ModelProto) -> None:
    condition = helper.make_node("If", ["logits"], ["spare"], then_branch=model.graph)
    model.graph.node.append(condition)


def function(model: ModelProto) -> None:
    model.functions.append(
        helper.make_function("evil", "F", ["x"], ["y"], [], [helper.make_opsetid("", 17)])
    )


def foreign_domain(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def other_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 18


def other_ir(model: ModelProto) -> None:
    model.ir_version = 9


def doc_string(model: ModelProto) -> None:
    model.doc_string = "made by hand"


def second_metadata(model: ModelProto) -> None:
    model.metadata_props.add(key="note", value="x")


def hidden_metadata(model: ModelProto) -> None:
    shadow = model.metadata_props.add()
    shadow.CopyFrom(model.metadata_props[0])


DAMAGED = r"graph does not match its labels and weights"
LABELS = r"labels are not valid"
METADATA = r"metadata is (damaged|not valid)"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "leaf and split swapped": (swapped(3, 4), "composition None and 2 children"),
    "children of two splits swapped": (swapped(4, 5), "not one block of columns"),
    "extra node": (add_node, DAMAGED),
    "extra initializer": (add_initializer, DAMAGED),
    "external data": (external_weight, "does not have as many values as its shape"),
    "external data beside raw": (external_beside_raw, DAMAGED),
    "float_data": (float_data, "does not have as many values as its shape"),
    "huge dims": (reshaped(2**40, 2**40), "does not have as many values as its shape"),
    "overflowing dims": (reshaped(2**32, 2**32), "does not have as many values as its shape"),
    "negative dims": (reshaped(-3, -4), METADATA),
    "other dims": (reshaped(4, 3), "root rows for 3 root classes"),
    "rank 1": (reshaped(12), "not a float32 tensor of rank 2"),
    "no feature": (reshaped(0, 4), "does not have as many values"),
    "one row more": (one_row_more, r"4 root rows for 3 root classes"),
    "float16": (typed(TensorProto.FLOAT16), "not a float32 tensor of rank 2"),
    "no weight": (dropped("weight"), "no initializer 'weight'"),
    "no split row": (dropped("split2.bias"), r"no initializer 'split2\.bias'"),
    "no index": (dropped("columns"), DAMAGED),
    "nan": (filled("weight", np.nan), "weight contains NaN or infinity"),
    "infinity": (filled("split1.bias", np.inf), "bias contains NaN or infinity"),
    "below padding": (filled("split1.bias", -1e31), r"bias contains numbers above 1e\+18"),
    "padded row": (filled("split1.weight", 5, place=2 * 4), DAMAGED),
    "padded bias": (filled("split1.bias", 0, place=2), DAMAGED),
    "index": (filled("columns", 9), DAMAGED),
    "temperature": (filled("split1.temperature", 9), DAMAGED),
    "attribute": (changed_attribute, DAMAGED),
    "operator": (changed_operator, DAMAGED),
    "output": (renamed_output, DAMAGED),
    "subgraph": (subgraph, DAMAGED),
    "function": (function, DAMAGED),
    "foreign domain": (foreign_domain, DAMAGED),
    "opset": (other_opset, DAMAGED),
    "ir version": (other_ir, DAMAGED),
    "doc string": (doc_string, DAMAGED),
    "second metadata": (second_metadata, DAMAGED),
    "metadata twice": (hidden_metadata, DAMAGED),
    "unknown format": (in_metadata(format=2), "format 2; this edgesplit reads format 1. Use"),
    "format true": (in_metadata(format=True), DAMAGED),
    "format a text": (in_metadata(format="1"), "format '1'"),
    "extra key": (in_metadata(time="now"), DAMAGED),
    "no format": (without("format"), METADATA),
    "no nodes": (without("nodes"), METADATA),
    "no parent": (without("parent"), METADATA),
    "no feature space": (without("feature_space"), METADATA),
    "feature space a number": (in_metadata(feature_space=1), METADATA),
    "parent null": (in_metadata(parent=None), METADATA),
    "nodes a text": (in_metadata(nodes="abc"), "its nodes are not a list"),
    "nodes empty": (in_metadata(nodes=[]), "at least 2 root classes"),
    "nodes of numbers": (in_metadata(nodes=[1, 2]), METADATA),
    "nodes of texts": (in_metadata(nodes=["a", "b"]), METADATA),
    "nodes of lists": (in_metadata(nodes=[[], []]), METADATA),
    "nodes null": (in_metadata(nodes=[None, None]), METADATA),
    "duplicated label": (in_node(4, label="left"), LABELS),
    "empty label": (in_node(4, label=""), LABELS),
    "label with escape": (in_node(4, label="a\x1bb"), LABELS),
    "label a number": (in_node(4, label=7), DAMAGED),
    "renamed label in other form": (in_node(4, label=" right"), "not in its stored form"),
    "parent itself": (in_node(3, parent=3), "parent|block"),
    "parent a text": (in_node(4, parent="0"), DAMAGED),
    "parent a word": (in_node(4, parent="root"), METADATA),
    "parent a list": (in_node(4, parent=[0]), METADATA),
    "parent infinite": (in_node(4, parent=float("inf")), METADATA),
    "composition unknown": (in_node(0, composition="soft"), "unknown composition 'soft'"),
    "composition a list": (in_node(0, composition=["gated"]), "unknown composition"),
    "temperature zero": (in_node(0, temperature=0), "temperature"),
    "temperature NaN": (in_node(0, temperature=float("nan")), "temperature"),
    "temperature zero in float32": (in_node(0, temperature=1e-60), "temperature"),
    "temperature infinite in float32": (in_node(0, temperature=1e60), "temperature"),
    "temperature an integer": (in_node(0, temperature=1), DAMAGED),
    "temperature a text": (in_node(0, temperature="warm"), METADATA),
    "sources a number": (in_node(3, sources=7), METADATA),
    "sources of numbers": (in_node(3, sources=[7]), METADATA),
    "sources of nothing": (in_node(3, sources=[{}]), METADATA),
    "metadata empty": (raw_metadata(""), METADATA),
    "metadata no JSON": (raw_metadata("{"), METADATA),
    "metadata a list": (raw_metadata("[1]"), METADATA),
    "metadata a text": (raw_metadata('"format nodes"'), METADATA),
    "metadata null": (raw_metadata("null"), METADATA),
    "metadata deep": (raw_metadata("[" * 100_000), METADATA),
    "metadata long number": (raw_metadata("9" * 10_000), METADATA),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_or_edited_head_is_refused(split_head: Head, name: str) -> None:
    damage, message = DAMAGES[name]
    model = parse(split_head.to_bytes())
    damage(model)
    with pytest.raises(HeadError, match=message):
        Head.from_bytes(serialize(model))


@pytest.mark.parametrize("key", ["feature_space", "parent", "label", "modifier", "rule"])
def test_text_that_is_not_unicode_is_refused(split_head: Head, key: str) -> None:
    model = parse(split_head.to_bytes())
    content = metadata_of(model)
    (content if key in content else content["nodes"][3])[key] = "\ud800"
    model.metadata_props[0].value = json.dumps(content)  # escaped, as JSON allows
    with pytest.raises(HeadError, match=r"not valid"):
        Head.from_bytes(serialize(model))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has no edgesplit metadata"),
        (b"\x00", "These 1 bytes are not an ONNX file"),
        (b"PK\x03\x04 a zip file", "are not an ONNX file"),
        (np.random.default_rng(0).bytes(1000), "These 1000 bytes are not an ONNX file"),
    ],
    ids=["empty", "nul", "zip", "random"],
)
def test_bytes_that_are_no_onnx_file_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(HeadError, match=message):
        Head.from_bytes(data)


def test_an_onnx_file_that_is_no_head_is_refused(backbone: bytes) -> None:
    with pytest.raises(HeadError, match=r"not an edgesplit head.*`edgesplit edit -o FILE`"):
        Head.from_bytes(backbone)


def test_every_truncation_is_refused(split_head: Head) -> None:
    data = split_head.to_bytes()
    for length in range(len(data)):
        with pytest.raises(HeadError, match=r"not an ONNX file|head"):
            Head.from_bytes(data[:length])


def test_bytes_behind_the_end_are_refused(split_head: Head) -> None:
    data = split_head.to_bytes()
    with pytest.raises(HeadError, match="not an ONNX file"):
        Head.from_bytes(data + b"\0")
    # A repeated message merges with the first in protobuf; the rebuilt bytes do not.
    with pytest.raises(HeadError, match=r"labels|metadata|graph|initializer"):
        Head.from_bytes(data + data)


def test_unknown_protobuf_field_is_refused(split_head: Head) -> None:
    unknown = b"\xfa\x7f\x03abc"  # field 2047, three bytes
    with pytest.raises(HeadError, match=DAMAGED):
        Head.from_bytes(split_head.to_bytes() + unknown)


def test_flat_graph_under_gated_labels_is_refused(flat_head: Head) -> None:
    model = parse(flat_head.to_bytes())
    in_node(0, composition="gated")(model)
    with pytest.raises(HeadError, match=DAMAGED):
        Head.from_bytes(serialize(model))


def chain(composition: str, depth: int) -> list[Metadata]:
    """Nodes of a class split in two, whose second child is split in two, and so on."""
    inner = {"composition": composition, "temperature": 1.0}
    nodes: list[Metadata] = [{"label": "a"}, {"label": "b", **inner}]
    for step in range(depth):
        parent = len(nodes) - 1
        nodes += [{"label": f"{side} {step}", "modifier": "", "parent": parent} for side in "lr"]
        nodes[-1] |= inner if step < depth - 1 else {}
    return nodes


def wide(n_children: int) -> list[Metadata]:
    """Nodes of a class split flat into many, each of them split flat in two."""
    inner = {"composition": "flat", "temperature": 1.0}
    nodes: list[Metadata] = [{"label": "a"}, {"label": "b", **inner}]
    nodes += [{"label": f"c {c}", "modifier": "", "parent": 1, **inner} for c in range(n_children)]
    for child in range(n_children):
        nodes += [{"label": f"{s} {child}", "modifier": "", "parent": 2 + child} for s in "lr"]
    return nodes


@pytest.mark.parametrize(
    ("nodes", "dim", "message"),
    [
        (wide(2000), 5000, "too small for its labels"),
        (wide(9000), 1, "too small for its labels"),
        (chain("gated", 900), 1, f"and at most {TREE_DEPTH} may"),
        (chain("flat", 900), 1, f"and at most {TREE_DEPTH} may"),
    ],
    ids=["rows", "roll-up of flat splits", "walk", "walk of flat splits"],
)
def test_a_small_file_whose_labels_ask_for_much_is_refused_before_it_is_rebuilt(
    nodes: list[Metadata], dim: int, message: str
) -> None:
    head = Head.from_arrays(np.eye(2, dim), np.zeros(2), "ab")
    model = parse(head.to_bytes())
    set_metadata(model, metadata_of(model) | {"nodes": nodes})
    with pytest.raises(HeadError, match=message):
        Head.from_bytes(serialize(model))


@pytest.mark.parametrize(
    "change",
    [
        in_node(4, label=" " * 100_000 + "right"),
        in_node(4, label="x" * 100_000),
        in_node(4, parent=10**4000),
        in_node(0, composition="soft" * 1000),
        in_metadata(format="1" * 100_000),
        in_metadata(parent=[[[[[[[[[[0] * 1000]]]]]]]]]),
    ],
    ids=["label", "long label", "number", "composition", "format", "parent"],
)
def test_the_message_stays_short_whatever_the_file_says(split_head: Head, change: Damage) -> None:
    model = parse(split_head.to_bytes())
    change(model)
    with pytest.raises(HeadError) as caught:
        Head.from_bytes(serialize(model))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "change",
    [filled("weight", 7), filled("split2.bias", 7), swapped(5, 6), in_metadata(parent="")],
    ids=["weight", "bias", "labels of siblings", "parent"],
)
def test_other_content_in_a_sound_file_is_another_head(split_head: Head, change: Damage) -> None:
    # Rows and labels are the head's own word; only a digest, as in a bundle, tells them changed.
    model = parse(split_head.to_bytes())
    change(model)
    assert Head.from_bytes(serialize(model)).digest != split_head.digest


def test_flipped_bytes_never_raise_anything_but_a_head_error(split_head: Head) -> None:
    rng = np.random.default_rng(0)
    original = split_head.to_bytes()
    read = 0
    for _ in range(300):
        data = bytearray(original)
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            data[place] ^= int(rng.integers(1, 256))
        with suppress(HeadError):
            head = Head.from_bytes(bytes(data))
            assert head.to_bytes() == data
            assert head.digest != split_head.digest
            read += 1
    # Rows and letters of labels are about a tenth of the file; most flips hit something else.
    assert read < 150


@pytest.mark.parametrize("composition", ["flat", "gated"])
def test_a_tree_is_read_up_to_the_limit_of_its_depth(composition: Composition) -> None:
    nodes = [Node("r"), Node("s", composition=composition)]
    for step in range(TREE_DEPTH):
        inner = composition if step < TREE_DEPTH - 1 else None
        parent = 1 if step == 0 else len(nodes) - 2
        nodes += [Node(f"a{step}", parent=parent, composition=inner), Node(f"b{step}", parent)]
    head = Head(LabelTree(tuple(nodes)), floats([[0]] * len(nodes)), floats([0] * len(nodes)))
    assert Head.from_bytes(head.to_bytes()).digest == head.digest
    assert head.evaluate([0.0]).class_index.tolist() == [0]
    below = [Node("x", modifier="x"), Node("y", modifier="y")]
    with pytest.raises(HeadError, match=f"{TREE_DEPTH + 1} below each other, and at most"):
        head.tree.split(len(nodes) - 2, below, composition=composition)
