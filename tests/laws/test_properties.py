"""Laws that hold for every head: random label trees, rows, temperatures, splits and merges."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.backbone.session import open_session
from edgesplit.edits.edit import merge_class, restore_parent
from edgesplit.heads.head import Evaluation, Head
from edgesplit.heads.labels import Composition, LabelTree, Node, Provenance, Source

Floats = npt.NDArray[np.float32]

TOLERANCE = 1e-5
"""Of the largest |logit|. Rows have up to 16 terms and a path up to 6 nodes; each step rounds by
6e-8 of the numbers added, and with the scales below these are at most a few times the largest
logit: 100 roundings would still stay within."""


# Random heads


@st.composite
def heads(draw: st.DrawFn, *, flat: bool = True, max_splits: int = 6) -> Head:
    """A head that was split, and sometimes merged, a few times.

    The structure is drawn; the rows are random numbers from a drawn seed, of a size that gives
    logits up to about 40.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_roots, dim = draw(st.integers(2, 12)), draw(st.integers(1, 16))
    scale = draw(st.sampled_from([0.01, 1.0, 3.0]))
    head = Head.from_arrays(
        scale * rng.standard_normal((n_roots, dim)),
        scale * rng.standard_normal(n_roots),
        [f"class {column}" for column in range(n_roots)],
        feature_space="f" * 64,
    )
    for step in range(draw(st.integers(0, max_splits))):
        inner = [column for column, node in enumerate(head.tree) if node.composition]
        if inner and draw(st.integers(0, 4)) == 0:
            column = draw(st.sampled_from(inner))
            head = merge_class(head, head.tree[column].label).head
        else:
            column = draw(st.sampled_from(head.tree.leaves))
            n_children = draw(st.integers(2, 5))
            composition = draw(compositions(head.tree, column, flat=flat))
            temperature = draw(st.sampled_from([0.1, 0.7, 1.0, 1.0, 4.0]))
            head = split(head, column, n_children, composition, temperature, rng, f"{step}")
    return head


def compositions(
    tree: LabelTree, column: int, *, flat: bool = True
) -> st.SearchStrategy[Composition]:
    """What a split of `column` may be: flat only where every ancestor is flat."""
    ancestors = [tree[above].composition for above in tree.path(column)[:-1]]
    allowed: list[Composition] = ["gated", "flat"]
    return st.sampled_from(allowed if flat and set(ancestors) <= {"flat"} else allowed[:1])


def split(
    head: Head,
    column: int,
    n_children: int,
    composition: Composition,
    temperature: float,
    rng: np.random.Generator,
    name: str,
) -> Head:
    """`head` with random children below `column`, as an edit would make it."""
    children = [
        Node(
            f"{head.tree[column].label} {name} {child}",
            modifier=f"{name} {child}",
            provenance=Provenance("retrieval", (Source("class 0", round(rng.random(), 4), 1.0),)),
        )
        for child in range(n_children)
    ]
    tree = head.tree.split(column, children, composition=composition)
    if composition == "gated":
        nodes = list(tree.nodes)
        nodes[column] = replace(nodes[column], temperature=temperature)
        tree = LabelTree(tuple(nodes))
    scale = float(np.abs(head.weight).mean()) + 0.01
    return Head(
        tree=tree,
        weight=np.concatenate([head.weight, scale * rng.standard_normal((n_children, head.dim))]),
        bias=np.concatenate([head.bias, scale * rng.standard_normal(n_children)]),
        feature_space=head.feature_space,
        parent=head.digest,
    )


def some_leaf_split(draw: st.DrawFn, head: Head, *, flat: bool = True) -> tuple[Head, int]:
    """`head` with one more split, and the column that was split."""
    column = draw(st.sampled_from(head.tree.leaves))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    composition = draw(compositions(head.tree, column, flat=flat))
    n_children = draw(st.integers(2, 5))
    return split(head, column, n_children, composition, 1.0, rng, "new"), column


@st.composite
def edits(draw: st.DrawFn, *, flat: bool = True) -> tuple[Head, Head, int]:
    """A head, the head after one more split, and the column that was split."""
    before = draw(heads(flat=flat))
    after, column = some_leaf_split(draw, before, flat=flat)
    return before, after, column


def features_for(head: Head, n: int = 256) -> Floats:
    return np.random.default_rng(n).standard_normal((n, head.dim)).astype(np.float32)


def run_onnx(head: Head, features: Floats) -> Evaluation:
    names = ["logits", "probabilities", "class_index"]
    logits, probabilities, class_index = open_session(head.to_bytes()).run(
        names, {"features": features}
    )
    return Evaluation(logits, probabilities, class_index)


# The definition, one node at a time in float64, with nothing shared with the library


def relative_scores(head: Head, features: Floats) -> npt.NDArray[np.float64]:
    return np.asarray(features.astype(np.float64) @ head.weight.T.astype(np.float64) + head.bias)


def defined_logits(head: Head, features: Floats) -> npt.NDArray[np.float64]:
    u = relative_scores(head, features)
    logits = u.copy()
    for column, node in enumerate(head.tree):
        if node.parent is None:
            continue
        parent = head.tree[node.parent]
        if parent.composition == "flat":
            logits[:, column] = logits[:, node.parent] + u[:, column]
            continue
        siblings = [c for c, other in enumerate(head.tree) if other.parent == node.parent]
        total = np.logaddexp.reduce(u[:, siblings] / parent.temperature, axis=1)
        logits[:, column] = logits[:, node.parent] + u[:, column] / parent.temperature - total
    for column in reversed(range(len(head.tree))):
        if head.tree[column].composition == "flat":
            below = [c for c, other in enumerate(head.tree) if other.parent == column]
            logits[:, column] = np.logaddexp.reduce(logits[:, below], axis=1)
    return np.asarray(logits)


def decision_and_margin(
    head: Head, features: Floats
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The decision by the definition, and by how much its closest step was won."""
    u, logits = relative_scores(head, features), defined_logits(head, features)
    tree = head.tree
    contest = [
        c
        for c, node in enumerate(tree)
        if node.composition != "flat"
        and (node.parent is None or tree[node.parent].composition == "flat")
    ]
    decided = np.empty(len(features), np.int64)
    margins = np.full(len(features), math.inf)
    for row in range(len(features)):
        field, scores = contest, logits[row]
        while field:
            ranked = sorted(field, key=lambda c: (-scores[c], c))
            margins[row] = min(margins[row], scores[ranked[0]] - scores[ranked[1]])
            decided[row], scores = ranked[0], u[row]
            field = [c for c, node in enumerate(tree) if node.parent == decided[row]]
    return decided, margins


# Evaluation


@given(heads())
def test_numpy_and_onnx_runtime_agree_with_the_definition(head: Head) -> None:
    features = features_for(head, 64)
    wanted = defined_logits(head, features)
    tolerance = TOLERANCE * np.abs(wanted).max()
    in_numpy, in_onnx = head.evaluate(features), run_onnx(head, features)
    np.testing.assert_allclose(in_numpy.logits, wanted, rtol=0, atol=tolerance)
    np.testing.assert_allclose(in_onnx.logits, wanted, rtol=0, atol=tolerance)
    np.testing.assert_allclose(in_onnx.logits, in_numpy.logits, rtol=0, atol=tolerance)
    np.testing.assert_allclose(in_onnx.probabilities, in_numpy.probabilities, rtol=0, atol=1e-5)
    decided, margin = decision_and_margin(head, features)
    clear = margin > 2 * tolerance  # both contestants may be off by the tolerance
    np.testing.assert_array_equal(in_numpy.class_index[clear], decided[clear])
    np.testing.assert_array_equal(in_onnx.class_index[clear], decided[clear])
    # The law is not empty: ties within 1e-5 are rare among random numbers.
    assert clear.mean() > 0.9


@given(heads())
def test_leaf_probabilities_sum_to_one_and_roll_up(head: Head) -> None:
    features = features_for(head, 64)
    for evaluation in (head.evaluate(features), run_onnx(head, features)):
        p = evaluation.probabilities.astype(np.float64)
        # A logit z up to 40 is rounded by 2e-6 a step, and its exponential by as much, relatively.
        np.testing.assert_allclose(p[:, head.tree.leaves].sum(axis=1), 1, atol=1e-5)
        for column in range(len(head.tree)):
            below = [c for c in head.tree.leaves if column in head.tree.path(c)]
            np.testing.assert_allclose(p[:, column], p[:, below].sum(axis=1), rtol=0, atol=1e-5)


@given(heads())
def test_a_feature_is_answered_alone_as_in_a_batch(head: Head) -> None:
    features = features_for(head, 3)
    together = run_onnx(head, features)
    assert set(together.class_index.tolist()) <= set(head.tree.leaves)
    (alone,) = open_session(head.to_bytes()).run(["logits"], {"features": features[1:2]})
    tolerance = TOLERANCE * np.abs(together.logits).max()
    np.testing.assert_allclose(alone[0], together.logits[1], rtol=0, atol=tolerance)


@given(heads(), st.lists(st.sampled_from([0.01, 0.5, 3.0, 100.0]), min_size=1))
def test_temperatures_change_no_decision(head: Head, temperatures: list[float]) -> None:
    nodes = [
        replace(node, temperature=temperatures[column % len(temperatures)])
        if node.composition == "gated"
        else node
        for column, node in enumerate(head.tree)
    ]
    other = replace(head, tree=LabelTree(tuple(nodes)))
    features = features_for(head)
    np.testing.assert_array_equal(
        other.evaluate(features).class_index, head.evaluate(features).class_index
    )
    np.testing.assert_array_equal(
        run_onnx(other, features).class_index, run_onnx(head, features).class_index
    )


# The file


@given(heads())
def test_the_file_is_the_head_and_the_head_is_the_file(head: Head) -> None:
    data = head.to_bytes()
    again = Head.from_bytes(data)
    assert again.to_bytes() == data
    assert again.tree == head.tree
    assert again.weight.tobytes() == head.weight.tobytes()
    assert again.bias.tobytes() == head.bias.tobytes()
    assert (again.feature_space, again.parent) == (head.feature_space, head.parent)
    twin = Head(head.tree, head.weight.copy(), head.bias.copy(), head.feature_space, head.parent)
    assert twin.to_bytes() == data
    assert replace(twin, parent="0" * 64).digest != head.digest


@given(heads())
def test_the_file_is_plain_onnx(head: Head) -> None:
    model = onnx.load_from_string(head.to_bytes())
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    kinds = {attribute.type for node in model.graph.node for attribute in node.attribute}
    assert not kinds & {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [value.name for value in model.graph.input] == ["features"]


@st.composite
def widened(draw: st.DrawFn) -> tuple[Head, Head]:
    """A head and the same with one more split of a kind that its depth has already."""
    head = draw(heads())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = {
        (head.tree.depths[column], node.composition)
        for column, node in enumerate(head.tree)
        if node.composition is not None
    }
    candidates: list[tuple[int, Composition]] = []
    for leaf in head.tree.leaves:
        flat_above = {head.tree[c].composition for c in head.tree.path(leaf)[:-1]} <= {"flat"}
        for composition in ("gated", "flat") if flat_above else ("gated",):
            if (head.tree.depths[leaf], composition) in kinds:
                candidates.append((leaf, composition))
    if not candidates:
        return head, head
    leaf, kind = draw(st.sampled_from(candidates))
    return head, split(head, leaf, draw(st.integers(2, 5)), kind, 1.0, rng, "wider")


@given(widened())
def test_another_split_of_a_depth_adds_no_graph_node(pair: tuple[Head, Head]) -> None:
    sizes = {len(onnx.load_from_string(head.to_bytes()).graph.node) for head in pair}
    assert len(sizes) == 1


# Edits


@given(edits())
def test_a_split_appends_and_never_moves_a_column(edit: tuple[Head, Head, int]) -> None:
    before, after, column = edit
    n = len(before.tree)
    assert after.weight[:n].tobytes() == before.weight.tobytes()
    assert after.bias[:n].tobytes() == before.bias.tobytes()
    assert [node.label for node in after.tree.nodes[:n]] == [node.label for node in before.tree]
    unchanged = [c for c in range(n) if c != column]
    assert [after.tree[c] for c in unchanged] == [before.tree[c] for c in unchanged]


@given(edits(flat=False))
def test_gated_splits_change_no_root_and_no_decision_outside(edit: tuple[Head, Head, int]) -> None:
    before, after, column = edit
    roots = list(after.tree.roots)
    unsplit = Head.from_arrays(
        after.weight[roots], after.bias[roots], [after.tree[c].label for c in roots]
    )
    features = features_for(after)
    never, old, new = (run_onnx(head, features) for head in (unsplit, before, after))
    assert new.logits[:, roots].tobytes() == never.logits.tobytes()
    assert new.probabilities[:, roots].tobytes() == never.probabilities.tobytes()
    children = after.tree.children(column)
    inside = (new.class_index >= children.start) & (new.class_index < children.stop)
    np.testing.assert_array_equal(np.where(inside, column, new.class_index), old.class_index)
    decided_roots = [after.tree.path(decided)[0] for decided in new.class_index.tolist()]
    np.testing.assert_array_equal(decided_roots, never.class_index)


@given(edits())
def test_a_split_leaves_every_other_logit_bit_identical(edit: tuple[Head, Head, int]) -> None:
    before, after, column = edit
    # A flat split changes its own roll-up, and so those of the flat splits around it.
    touched = before.tree.path(column) if after.tree[column].composition == "flat" else ()
    kept = [c for c in range(len(before.tree)) if c not in touched]
    features = features_for(before)
    old, new = run_onnx(before, features).logits, run_onnx(after, features).logits
    assert new[:, kept].tobytes() == old[:, kept].tobytes()


@given(edits())
def test_merge_undoes_split_to_the_byte(edit: tuple[Head, Head, int]) -> None:
    before, after, column = edit
    undone = merge_class(after, after.tree[column].label)
    merged = undone.head
    assert merged.tree == before.tree
    assert merged.weight.tobytes() == before.weight.tobytes()
    assert merged.bias.tobytes() == before.bias.tobytes()
    assert merged.parent == after.digest
    assert restore_parent(undone, before).head.to_bytes() == before.to_bytes()


@given(heads(), st.data())
def test_merge_keeps_every_row_outside(head: Head, data: st.DataObject) -> None:
    inner = [column for column, node in enumerate(head.tree) if node.composition]
    if not inner:
        return
    column = data.draw(st.sampled_from(inner))
    gone = set(head.tree.descendants(column))
    merged = merge_class(head, head.tree[column].label).head
    kept = {
        node.label: (head.weight[c].tobytes(), head.bias[c].tobytes(), node.temperature)
        for c, node in enumerate(head.tree)
        if c not in gone
    }
    label = head.tree[column].label
    kept[label] = (*kept[label][:2], 1.0)
    assert kept == {
        node.label: (merged.weight[c].tobytes(), merged.bias[c].tobytes(), node.temperature)
        for c, node in enumerate(merged.tree)
    }
