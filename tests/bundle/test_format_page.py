"""docs/format.md against the code: a reader of the page alone serves what edgesplit serves."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from edgesplit.bundle.bundle import Bundle
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition, LabelTree, Node, Provenance, Source
from tests import reader

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text()


def split(head: Head, name: str, composition: Composition, temperature: float = 1.0) -> Head:
    """Two or three subcategories with random rows."""
    column = head.tree.find(name)
    label = head.tree[column].label
    rng = np.random.default_rng(column)
    made = Provenance("by hand", (Source("pulling something left", 0.5, 1.0),))
    sides = ("left", "right", "up")[: 2 + column % 2]
    children = [Node(f"{label} {side}", modifier=side, provenance=made) for side in sides]
    nodes = list(head.tree.split(column, children, composition=composition))
    nodes[column] = replace(nodes[column], temperature=temperature)
    return Head(
        tree=LabelTree(tuple(nodes)),
        weight=np.concatenate([head.weight, rng.standard_normal((len(sides), head.dim))]),
        bias=np.concatenate([head.bias, rng.standard_normal(len(sides))]),
        feature_space=head.feature_space,
        parent=head.digest,
    )


SPLITS: tuple[tuple[str, Composition, float], ...] = (
    ("pushing something", "gated", 0.5),
    ("pushing something left", "gated", 1.0),
    ("holding something", "flat", 1.0),
    ("holding something up", "flat", 1.0),
    ("holding something right", "gated", 3.0),
)


@pytest.mark.filterwarnings("ignore:divide by zero")  # padding, where the reference takes a log
@pytest.mark.parametrize("n_splits", range(len(SPLITS) + 1))
def test_a_reader_of_the_page_serves_the_same(
    bundle: Bundle, features: npt.NDArray[np.float32], n_splits: int
) -> None:
    for name, composition, temperature in SPLITS[:n_splits]:
        bundle.publish(split(bundle.head(), name, composition, temperature))
    head, read = bundle.head(), reader.Bundle(bundle.path)
    assert read.digest == bundle.live
    assert [line["to"] for line in read.history] == [v.digest for v in bundle.history()]
    wanted = head.evaluate(features)
    got = read.head.predict(features)
    decided = zip(wanted.class_index, wanted.probabilities, strict=True)
    paths = [head.path(int(column), probabilities) for column, probabilities in decided]
    assert [labels for labels, _ in got] == [[step.label for step in path] for path in paths]
    scores = [path[-1].probability for path in paths]
    np.testing.assert_allclose([score for _, score in got], scores, rtol=1e-4, atol=1e-7)


def test_the_reader_passes_over_what_never_happened(bundle: Bundle) -> None:
    first = bundle.live
    with (bundle.path / "log.jsonl").open("a") as log:
        log.write(json.dumps({"time": "x", "from": first, "to": "f" * 64, "action": "x"}))
        for change in ({"to": "f"}, {"from": "../x"}, {"pruned": ["F" * 64]}, {"pruned": 7}):
            line = {"time": "x", "from": first, "to": first, "action": "x"} | change
            log.write(f"\n{json.dumps(line)}")
        log.write('\n{"time": "2026-')
    second = bundle.publish(split(bundle.head(), "pushing something", "gated")).digest
    bundle.publish(bundle.rename_class("holding something", "keeping something"))
    bundle.prune(1)
    read = reader.Bundle(bundle.path)
    wanted = [first, second, bundle.live, bundle.live]
    assert [line["to"] for line in read.history] == wanted
    assert [version.digest for version in bundle.history()] == wanted
    assert read.history[-1]["pruned"] == [second]


@pytest.mark.parametrize("file", ["backbone.onnx", "bundle.json", "HEAD", "heads"])
def test_the_reader_sees_what_is_damaged(bundle: Bundle, file: str) -> None:
    path = bundle.path / file
    path = next(path.iterdir()) if path.is_dir() else path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises((AssertionError, OSError, ValueError)):
        reader.Bundle(bundle.path)


def test_the_reader_is_short_and_stands_alone() -> None:
    text = Path(reader.__file__).read_text()
    assert len(text.splitlines()) <= 70
    imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
    assert imported == {"hashlib", "json", "pathlib", "typing", "onnx"}


# Every name that a file holds is on the page


def names_in(content: object) -> set[str]:
    """All keys of a JSON document."""
    if isinstance(content, dict):
        return set(content).union(*map(names_in, content.values()))
    return set().union(*map(names_in, content)) if isinstance(content, list) else set()


def test_the_page_names_all_that_there_is(bundle: Bundle) -> None:
    for name, composition, temperature in SPLITS:
        bundle.publish(split(bundle.head(), name, composition, temperature))
    bundle.prune(1)
    model = onnx.load_from_string(bundle.head().to_bytes())
    metadata = json.loads(model.metadata_props[0].value)
    about = json.loads((bundle.path / "bundle.json").read_text())
    lines = [json.loads(line) for line in (bundle.path / "log.jsonl").read_text().splitlines()]
    rows = {t.name for t in model.graph.initializer if t.name.endswith(("weight", "bias"))}
    wanted = {
        *names_in(metadata),
        *(about.keys()),
        *names_in(lines),
        *(re.sub(r"\d", "<d>", name) for name in rows),
        *(value.name for value in (*model.graph.input, *model.graph.output)),
        *(p.name for p in bundle.path.iterdir() if p.is_file()),
        *np.load(bundle.path / "stats.npz"),
    }
    assert {name for name in wanted if name not in PAGE} == set()
    for number, what in (
        (model.ir_version, "IR version"),
        (model.opset_import[0].version, "opset"),
    ):
        assert f"{what} {number}" in PAGE
