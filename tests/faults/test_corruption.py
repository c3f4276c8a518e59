"""A head file that was changed on its way, under its new digest, never harms what an edit may not.

The promise: every re-addressed corruption (bytes changed, the file named by its new digest) is
refused with an error of edgesplit's, or is an edit like any other, which leaves the live head's
rows and the untouched root classes' logits as they were, to the bit. `Untouched` checks that from
the file itself and by column: it reads docs/format.md, not edgesplit's reader or gate.

What lives where: heads/test_onnx_codec.py has the files that no reader may take for a head, one by
one (truncations, external data, functions, huge dims, NaN); test_gate.py has heads in memory that
must not go live; this file has the way from bytes to live: single bytes, whole exchanges, and
random changes of a parsed file's structure.
"""

import copy
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.cli import main
from edgesplit.errors import EdgesplitError, HeadError
from edgesplit.heads.head import Head, head_digest
from edgesplit.heads.labels import Composition, Node, Provenance, Source
from tests.onnx_files import metadata_of, set_metadata, tensor

Floats = npt.NDArray[np.float32]
Row = tuple[bytes, object, object, object]


# Heads to corrupt


def split(head: Head, column: int, composition: Composition) -> Head:
    """`head` with two random children below `column`, as an edit would make it."""
    name = head.tree[column].label
    made = Provenance("alignment", (Source("pulling something left", 0.75, 1.0),))
    children = [Node(f"{name} {s}", modifier=s, provenance=made) for s in ("left", "right")]
    rng = np.random.default_rng(column)
    return Head(
        tree=head.tree.split(column, children, composition=composition),
        weight=np.concatenate([head.weight, rng.standard_normal((2, head.dim))]),
        bias=np.concatenate([head.bias, rng.standard_normal(2)]),
        feature_space=head.feature_space,
        parent=head.digest,
    )


CHAINS: dict[str, list[tuple[int, Composition]]] = {
    "gated": [(4, "gated")],
    "flat": [(4, "flat")],
    "nested gated": [(4, "gated"), (6, "gated")],
    "nested flat": [(4, "flat"), (6, "flat")],
    "gated in flat beside gated": [(0, "gated"), (4, "flat"), (8, "gated")],
}
"""Edits that follow each other; all but the last are live when the last arrives as a file."""


def publish_chain(bundle: Bundle, chain: list[tuple[int, Composition]]) -> Head:
    """Publishes all edits of `chain` but the last, which it returns."""
    head = bundle.head()
    for column, composition in chain[:-1]:
        head = split(head, column, composition)
        bundle.publish(head)
    return split(head, *chain[-1])


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power cut happens here: what is durable is the concern of storage/test_files.py."""
    monkeypatch.setattr("os.fsync", lambda file: None)


def rewind(bundle: Bundle, live: str, log: bytes) -> None:
    """Takes back what was published, and its line of the log; a rollback would add another."""
    (bundle.path / "HEAD").write_text(f"{live}\n")
    (bundle.path / "log.jsonl").write_bytes(log)


# What an accepted head must have left alone


class Untouched:
    """What is live, and whether a head that took its place left it alone."""

    def __init__(self, live: bytes, features: Floats) -> None:
        self.features = features
        self.rows, self.n_roots = rows_of(live)
        self.logits = self._run(live)

    def check(self, data: bytes) -> None:
        """Fails unless the file `data` keeps all rows of the live head, and its root logits."""
        rows, n_roots = rows_of(data)
        assert n_roots == self.n_roots
        assert len(rows) >= len(self.rows), "a column went away"
        for old, new in zip(self.rows, rows[: len(self.rows)], strict=True):
            assert new[:2] == old[:2], "a row moved"
            # The edit splits one more class, and leaves the splits there were as they are.
            assert old[2] is None or new[2:] == old[2:], "a split changed"
        untouched = [c for c in range(n_roots) if "flat" not in (self.rows[c][2], rows[c][2])]
        assert len(untouched) >= n_roots - 2
        logits = self._run(data)[:, untouched]
        assert logits.tobytes() == self.logits[:, untouched].tobytes(), "a logit moved"

    def _run(self, data: bytes) -> Floats:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {"features": self.features})
        return np.asarray(logits)


def rows_of(data: bytes) -> tuple[list[Row], int]:
    """For every column its weights and bias, parent, composition, temperature; and the roots."""
    model = onnx.load_from_string(data)
    nodes = json.loads(model.metadata_props[0].value)["nodes"]
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    n_roots = sum("parent" not in node for node in nodes)
    numbers = [_row(arrays, "", column) for column in range(n_roots)]
    numbers += [b""] * (len(nodes) - n_roots)
    depths: list[int] = []
    splits: dict[int, list[list[int]]] = {}
    for column, node in enumerate(nodes):
        parent = node.get("parent")
        depths.append(0 if parent is None else depths[parent] + 1)
        if parent is None:
            continue
        if nodes[column - 1].get("parent") != parent:
            splits.setdefault(depths[column], []).append([])
        splits[depths[column]][-1].append(column)
    for depth, segments in splits.items():
        width = max(map(len, segments))
        for place, segment in enumerate(segments):
            for child, column in enumerate(segment):
                numbers[column] = _row(arrays, f"split{depth}.", place * width + child)
    return [
        (number, node.get("parent"), node.get("composition"), node.get("temperature"))
        for number, node in zip(numbers, nodes, strict=True)
    ], n_roots


def _row(arrays: dict[str, Any], prefix: str, row: int) -> bytes:
    parts = (arrays[f"{prefix}weight"][row], arrays[f"{prefix}bias"][row])
    return b"".join(part.tobytes() for part in parts)


def test_the_check_sees_what_must_not_happen(head: Head, features: Floats) -> None:
    live = split(head, 4, "gated")
    untouched = Untouched(live.to_bytes(), features)
    after = split(live, 6, "gated")
    untouched.check(after.to_bytes())
    for column in (0, 4, 6):
        weight = after.weight.copy()
        weight[column, 2] = np.nextafter(weight[column, 2], np.float32(9))
        moved = Head(after.tree, weight, after.bias, after.feature_space, after.parent)
        with pytest.raises(AssertionError, match="a row moved"):
            untouched.check(moved.to_bytes())
    flat = split(head, 4, "flat")
    with pytest.raises(AssertionError, match="a split changed"):
        untouched.check(Head(flat.tree, live.weight, live.bias).to_bytes())
    with pytest.raises(AssertionError, match="a column went away"):
        untouched.check(head.to_bytes())


# Single bytes


def say(line: str) -> None:
    """Counts, for whoever runs this with -s."""
    print(f"\n{line}")  # noqa: T201


PLACES = 400
"""Bytes that are changed in each file, evenly spread."""


def single_bytes(data: bytes, *, metadata: bool) -> Iterator[bytes]:
    """`PLACES` changed bytes; with `metadata`, one flipped bit in each of its bytes as well."""
    rng = np.random.default_rng(0)
    bounds = np.linspace(0, len(data), PLACES + 1).astype(int)
    changes = [
        (int(rng.integers(low, high)), int(rng.integers(1, 256))) for low, high in pairwise(bounds)
    ]
    if metadata:
        text = onnx.load_from_string(data).metadata_props[0].value.encode()
        start = data.index(text)
        changes += [(start + place, 1 << int(rng.integers(7))) for place in range(len(text))]
    for place, change in changes:
        yield data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]


@pytest.mark.parametrize("chain", CHAINS)
def test_a_corrupted_byte_is_refused_or_harms_nothing(
    bundle: Bundle, features: Floats, chain: str
) -> None:
    data = publish_chain(bundle, CHAINS[chain]).to_bytes()
    live, log = bundle.live, (bundle.path / "log.jsonl").read_bytes()
    untouched = Untouched(bundle.head().to_bytes(), features)
    untouched.check(data)
    outcomes: Counter[str] = Counter()
    for corrupted in single_bytes(data, metadata=chain == "gated"):
        try:
            bundle.publish(Head.from_bytes(corrupted))
        except EdgesplitError as error:
            outcomes[f"refused, {type(error).__name__}"] += 1
            assert bundle.live == live
        else:
            outcomes["accepted"] += 1
            assert bundle.live == head_digest(corrupted)
            untouched.check(corrupted)
            rewind(bundle, live, log)
    say(f"{chain}: {sum(outcomes.values())} corruptions, {dict(outcomes)}")
    # Some hit the file's structure, some the live head's rows, some new rows. Few hit an identity
    # and leave 64 hex digits of it, as FeatureSpaceError and ConflictError want.
    assert sum(outcomes.values()) >= PLACES
    assert {"accepted", "refused, HeadError", "refused, GateError"} <= set(outcomes)


def some_corruptions(data: bytes, count: int) -> list[bytes]:
    """Corruptions of which most are heads, so that more than the reader has to tell."""
    read = []
    for corrupted in single_bytes(data, metadata=False):
        try:
            Head.from_bytes(corrupted)
        except HeadError:
            continue
        read.append(corrupted)
    return read[: count - 5] + list(single_bytes(data, metadata=False))[:5]


@pytest.fixture
def command(bundle: Bundle) -> Callable[..., click.testing.Result]:
    """Runs the command line on the bundle."""

    def run(*arguments: str | Path) -> click.testing.Result:
        words = [*map(str, arguments), "--bundle", str(bundle.path)]
        return click.testing.CliRunner().invoke(main, words)

    return run


def test_a_corrupted_file_is_refused_by_the_publish_command_or_harms_nothing(
    bundle: Bundle,
    features: Floats,
    tmp_path: Path,
    command: Callable[..., click.testing.Result],
) -> None:
    data = publish_chain(bundle, CHAINS["nested gated"]).to_bytes()
    live, log = bundle.live, (bundle.path / "log.jsonl").read_bytes()
    untouched = Untouched(bundle.head().to_bytes(), features)
    path = tmp_path / "head.onnx"
    codes: Counter[int] = Counter()
    for corrupted in some_corruptions(data, 60):
        path.write_bytes(corrupted)
        result = command("publish", path)
        codes[result.exit_code] += 1
        if result.exit_code == 0:
            untouched.check(bundle.head().to_bytes())
            rewind(bundle, live, log)
        else:
            assert_one_paragraph(result)
            assert bundle.live == live
    say(f"`edgesplit publish` by exit code: {dict(codes)}")
    assert set(codes) == {0, 1}


def assert_one_paragraph(result: click.testing.Result) -> None:
    """What a user sees is one message, and no traceback."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert len(result.output) < 1000


def test_a_corrupted_file_under_a_head_set_by_hand_is_refused_or_named(
    bundle: Bundle, command: Callable[..., click.testing.Result]
) -> None:
    data = publish_chain(bundle, CHAINS["nested gated"]).to_bytes()
    before = bundle.live
    outcomes: Counter[str] = Counter()
    for corrupted in some_corruptions(data, 60):
        digest = head_digest(corrupted)
        file = bundle.path / "heads" / f"{digest}.onnx"
        file.write_bytes(corrupted)
        # Only publishing makes a head live that was never live before.
        assert_one_paragraph(command("rollback", digest))
        (bundle.path / "HEAD").write_text(f"{digest}\n")
        try:
            assert open_bundle(bundle.path).head().to_bytes() == corrupted
            outcomes["named"] += 1
        except EdgesplitError as error:
            outcomes[type(error).__name__] += 1
        # No gate stands between a hand and HEAD; `verify` tells that one was at work.
        assert bundle.verify()
        (bundle.path / "HEAD").write_text(f"{before}\n")
        file.unlink()
    assert bundle.verify() == []
    say(f"HEAD set by hand: {dict(outcomes)}")
    assert {"named", "HeadError"} <= set(outcomes)


# Whole exchanges


Damage = Callable[[ModelProto], None]


def exchange_labels(first: int, second: int) -> Damage:
    def damage(model: ModelProto) -> None:
        content = metadata_of(model)
        one, other = content["nodes"][first], content["nodes"][second]
        one["label"], other["label"] = other["label"], one["label"]
        set_metadata(model, content)

    return damage


def exchange_rows(name: str, first: int, second: int) -> Damage:
    def damage(model: ModelProto) -> None:
        array = numpy_helper.to_array(tensor(model, name)).copy()
        array[[first, second]] = array[[second, first]]
        tensor(model, name).raw_data = array.tobytes()

    return damage


def exchange_initializers(first: str, second: str) -> Damage:
    """Their places in the file."""

    def damage(model: ModelProto) -> None:
        one, other = tensor(model, first), tensor(model, second)
        kept = copy.deepcopy(one)
        one.CopyFrom(other)
        other.CopyFrom(kept)

    return damage


def exchange_numbers(first: str, second: str) -> Damage:
    def damage(model: ModelProto) -> None:
        one, other = tensor(model, first), tensor(model, second)
        one.raw_data, other.raw_data = other.raw_data, one.raw_data

    return damage


def exchange_names(first: str, second: str) -> Damage:
    def damage(model: ModelProto) -> None:
        one, other = tensor(model, first), tensor(model, second)
        one.name, other.name = other.name, one.name

    return damage


def foreign_operator(model: ModelProto) -> None:
    """The probabilities go through an operator of another domain."""
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    (exp,) = (node for node in model.graph.node if node.output[0] == "probabilities")
    exp.output[0] = "exp"
    gelu = helper.make_node("Gelu", ["exp"], ["probabilities"], domain="com.microsoft")
    model.graph.node.append(gelu)


def other_dims(name: str, *dims: int, raw: bytes | None = None) -> Damage:
    def damage(model: ModelProto) -> None:
        target = tensor(model, name)
        del target.dims[:]
        target.dims.extend(dims)
        if raw is not None:
            target.raw_data = raw

    return damage


def number(name: str, place: int, value: float) -> Damage:
    def damage(model: ModelProto) -> None:
        array = numpy_helper.to_array(tensor(model, name)).copy()
        array.flat[place] = value
        tensor(model, name).raw_data = array.tobytes()

    return damage


def one_label_more(model: ModelProto) -> None:
    content = metadata_of(model)
    content["nodes"].append({"label": "one more", "modifier": "more", "parent": 4})
    set_metadata(model, content)


def one_label_less(model: ModelProto) -> None:
    content = metadata_of(model)
    del content["nodes"][0]
    set_metadata(model, content)


def other_feature_space(model: ModelProto) -> None:
    set_metadata(model, metadata_of(model) | {"feature_space": "e" * 64})


def other_parent(model: ModelProto) -> None:
    set_metadata(model, metadata_of(model) | {"parent": "e" * 64})


REBUILT = r"graph does not match its labels and weights"
EXCHANGES: dict[str, tuple[Damage, str]] = {
    "labels of two root classes": (
        exchange_labels(0, 1),
        r"root classes|exchanged|change 2 labels",
    ),
    "labels of a root class and a split one": (exchange_labels(0, 4), r"root classes|exchanged"),
    "labels of a root class and a child": (exchange_labels(0, 6), r"root classes|exchanged"),
    "weights of two root classes": (exchange_rows("weight", 0, 1), "change 2 labels .*'pulling"),
    "biases of two root classes": (exchange_rows("bias", 2, 4), "change 2 labels .*'moving"),
    "weights of live children": (exchange_rows("split1.weight", 0, 1), "change 2 labels .*left'"),
    "places of two initializers": (exchange_initializers("weight", "bias"), REBUILT),
    "names of two matrices": (exchange_names("weight", "split1.weight"), "2 root rows for 6 root"),
    "names of two vectors": (exchange_names("bias", "split2.bias"), r"bias rows of shape \(2,\)"),
    "names of two splits' rows": (exchange_names("split1.bias", "split2.bias"), REBUILT),
    "rows of two splits": (exchange_numbers("split1.weight", "split2.weight"), "change 2 labels"),
    "foreign operator": (foreign_operator, REBUILT),
    "huge and empty": (other_dims("weight", 2**40, 0, raw=b""), r"\d+ root rows for 6 root"),
    "huge and empty rows": (other_dims("split1.weight", 2**62, 0, raw=b""), "The head file"),
    "huge with small data": (
        other_dims("weight", 2**40, 8),
        "does not have as many values as its shape",
    ),
    "NaN in a child's weight": (number("split2.weight", 3, math.nan), "weight contains NaN"),
    "infinity in a root's bias": (number("bias", 0, -math.inf), "bias contains NaN or infinity"),
    "one label more": (one_label_more, "not one block|bias rows|weight rows"),
    "one label less": (one_label_less, "The head file|Column"),
    "another feature space": (other_feature_space, "belongs to feature space eeeeeeeeeeee, the"),
    "another parent": (other_parent, "was made from eeeeeeeeeeee, which was never live here"),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_an_exchange_in_the_file_is_refused_in_one_paragraph(
    bundle: Bundle,
    tmp_path: Path,
    command: Callable[..., click.testing.Result],
    name: str,
) -> None:
    damage, message = EXCHANGES[name]
    model = onnx.load_from_string(publish_chain(bundle, CHAINS["nested gated"]).to_bytes())
    damage(model)
    live, path = bundle.live, tmp_path / "head.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    result = command("publish", path)
    assert_one_paragraph(result)
    assert re.search(message, result.output), result.output
    assert bundle.live == live


# Random changes of the structure


Change = Callable[[st.DataObject, ModelProto], None]

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from([2**31, 2**63, -(2**64), 10**400, 10**4000])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["gated", "flat", "0", "NaN", "\ud800", "a\udfff", "x" * 1000, "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["label", "parent", "sources", "weight"]), inner)
    ),
    max_leaves=5,
)
SIZES = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 6, 8, 2**31, 2**40, 2**62, 2**63 - 1])


def change_list(data: st.DataObject, model: ModelProto) -> None:
    """Drops, doubles or exchanges the parts of a list in the file."""
    graph = model.graph
    lists: list[Any] = [
        graph.node,
        graph.initializer,
        graph.input,
        graph.output,
        model.metadata_props,
        model.opset_import,
    ]
    parts = data.draw(st.sampled_from([one for one in lists if len(one)]))
    one, other = (data.draw(st.integers(0, len(parts) - 1)) for _ in range(2))
    how = data.draw(st.sampled_from(["drop", "double", "exchange", "put to the end"]))
    kept = copy.deepcopy(parts[one])
    if how == "exchange":
        parts[one].CopyFrom(parts[other])
        parts[other].CopyFrom(kept)
    if how in ("drop", "put to the end"):
        del parts[one]
    if how in ("double", "put to the end"):
        parts.append(kept)


def change_node(data: st.DataObject, model: ModelProto) -> None:
    """Changes an operator, its names, its connections or its attributes."""
    node: NodeProto = data.draw(st.sampled_from([*model.graph.node]))
    names = st.sampled_from(["features", "logits", "weight", "split1.bias", "", "none"])
    match data.draw(st.integers(0, 5)):
        case 0:
            node.op_type = data.draw(st.sampled_from(["Identity", "If", "Loop", "Nonsense", ""]))
        case 1:
            node.domain = data.draw(st.sampled_from(["ai.onnx", "com.microsoft", "evil"]))
        case 2:
            node.input[data.draw(st.integers(0, len(node.input) - 1))] = data.draw(names)
        case 3:
            node.output[0] = data.draw(names)
        case 4:
            node.attribute.append(helper.make_attribute("axis", data.draw(st.integers(-9, 9))))
        case 5:
            body = AttributeProto(name="body", type=AttributeProto.GRAPH)
            body.g.CopyFrom(model.graph)
            node.attribute.append(body)


def change_tensor(data: st.DataObject, model: ModelProto) -> None:
    """Changes the type, shape, name or numbers of an initializer."""
    if not model.graph.initializer:
        return
    target: TensorProto = data.draw(st.sampled_from([*model.graph.initializer]))
    match data.draw(st.integers(0, 6)):
        case 0:
            target.data_type = data.draw(st.integers(-1, 30))
        case 1:
            del target.dims[:]
            target.dims.extend(data.draw(st.lists(SIZES, max_size=3)))
        case 2:
            target.name = data.draw(st.sampled_from([t.name for t in model.graph.initializer]))
        case 3:
            target.raw_data = data.draw(st.binary(max_size=64))
        case 4:
            numbers = bytearray(target.raw_data)
            if numbers:
                numbers[data.draw(st.integers(0, len(numbers) - 1))] ^= data.draw(
                    st.integers(1, 255)
                )
            target.raw_data = bytes(numbers)
        case 5:
            target.data_location = TensorProto.EXTERNAL
            target.external_data.add(key="location", value="/etc/passwd")
        case 6:
            target.ClearField("raw_data")
            target.float_data.extend([0.0] * data.draw(st.integers(0, 64)))


def change_header(data: st.DataObject, model: ModelProto) -> None:
    """Changes versions and what a head never has."""
    match data.draw(st.integers(0, 4)):
        case 0:
            model.ir_version = data.draw(SIZES)
        case 1:
            model.producer_version = data.draw(st.text(st.characters(codec="utf-8"), max_size=5))
        case 2:
            model.functions.append(onnx.FunctionProto(name="f", domain="evil"))
        case 3:
            model.graph.ClearField("value_info")
            model.graph.value_info.extend(model.graph.output)
        case 4:
            model.graph.sparse_initializer.add().dims.extend([2**62, 2**62])


def change_metadata(data: st.DataObject, model: ModelProto) -> None:
    """Puts junk somewhere into the JSON, drops a part of it or doubles one."""
    try:
        content = metadata_of(model)
    except (ValueError, IndexError, RecursionError):  # an earlier change
        return
    place: Any = content
    while True:
        keys = [*place] if isinstance(place, dict) else [*range(len(place))]
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or data.draw(st.integers(0, 3)) == 0:
            break
        place = place[key]
    match data.draw(st.integers(0, 3)):
        case 0 | 1:
            place[key] = data.draw(JUNK)
        case 2:
            del place[key]
        case 3 if isinstance(place, list):
            place.append(copy.deepcopy(place[key]))
        case _:
            place[data.draw(st.sampled_from(["more", "parent", "temperature"]))] = data.draw(JUNK)
    # With escapes, so that a text can hold what is no Unicode; NaN and Infinity as Python has them.
    model.metadata_props[0].value = json.dumps(content)


def change_text(data: st.DataObject, model: ModelProto) -> None:
    """Changes the JSON as text: keys twice, values nested deeper than the stack, no JSON at all."""
    if not model.metadata_props:
        return
    text = model.metadata_props[0].value
    depth = data.draw(st.sampled_from([1, 50, 900, 980, 985, 990, 995, 100_000]))
    junk = data.draw(
        st.sampled_from(["1", '"a"', "[]", "NaN", "-Infinity", "1e999", "9" * 5000, '"\\ud800"'])
        | st.sampled_from(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth])
    )
    key = data.draw(st.sampled_from(["format", "nodes", "label", "parent", "sources", "weight"]))
    first = text.find(f'"{key}":')
    if first < 0:
        return
    after = first + len(key) + 3
    model.metadata_props[0].value = data.draw(
        st.sampled_from(
            [
                f'{text[:first]}"{key}":{junk},{text[first:]}',  # twice; JSON readers take the last
                f"{text[:after]}{junk}{text[after:]}",
                re.sub(rf'("{key}":)("[^"]*"|[\d.]+)', lambda m: m[1] + junk, text, count=1),
            ]
        )
    )


CHANGES: list[Change] = [
    change_list,
    change_node,
    change_tensor,
    change_header,
    change_metadata,
    change_metadata,
    change_text,
]


def sample_heads() -> list[bytes]:
    """Files of every kind of head."""
    rng = np.random.default_rng(0)
    root = Head.from_arrays(rng.standard_normal((6, 8)), rng.standard_normal(6), "abcdef")
    files = [root.to_bytes()]
    for chain in CHAINS.values():
        head = root
        for column, composition in chain:
            head = split(head, column, composition)
        files.append(head.to_bytes())
    return files


SAMPLES = sample_heads()


@given(data=st.data(), original=st.sampled_from(SAMPLES), n_changes=st.integers(1, 4))
def test_a_file_of_another_structure_is_refused_as_no_head(
    data: st.DataObject, original: bytes, n_changes: int
) -> None:
    model = onnx.load_from_string(original)
    for _ in range(n_changes):
        data.draw(st.sampled_from(CHANGES))(data, model)
    changed = model.SerializePartialToString(deterministic=True)
    try:
        head = Head.from_bytes(changed)
    except HeadError as error:
        message = str(error)
    else:
        assert head.to_bytes() == changed
        return
    assert 20 < len(message) < 1000
    assert message.isprintable()
