"""The same texts and the same edit give the same bytes: in every ONNX Runtime, on every CPU.

The digests below are the promise. Each lane of `make test` compares what it computes with them.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import edgesplit
from edgesplit.bundle.bundle import open_bundle
from edgesplit.edits.edit import Edit
from edgesplit.edits.request import SplitRequest
from edgesplit.edits.split import split_class
from edgesplit.edits.text_encoder import packaged_encoder
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition

DEMO = Path(edgesplit.__file__).parent / "assets" / "demo" / "motion.bundle"
SSV2 = Path(__file__).parents[3] / "shared" / "data" / "SSv2-Split" / "A" / "labels.json"
MODIFIERS = Path(__file__).parents[1] / "data" / "text" / "modifiers.json"

EMBEDDINGS = "30be237c26bdb6682918205273739e6126d046ed543354f81f7bbc917ad450d6"
DEMO_EDITS = {
    ("alignment", "left,right"): "d09d886ea5307c4950023cbf3934829bbdb77afe1c4326d7f48886706d55108b",
    ("alignment", "up,down"): "8fc5f03f96876b7f3df3c92eccff63a9fb32a41ced313028d5ee5087d46fb8cc",
    ("retrieval", "left,right"): "fca5454d068489d6f6ed8dd480fc9ac2a588941f29b6843bffcf0f2e91db28ed",
    ("retrieval", "up,down"): "0f04ccfb961c0199af016449a02f348e6ea7d2f09fdab645fc2b7c108d983baf",
}
SSV2_EDITS = {
    ("alignment", "left,right"): "e0e64720818c13843b853d92a2c5af8f009efdc7e0997042d345c4e3775dde5a",
    ("alignment", "up,down"): "6e22ff06a35d7dd48fd7654a9f20d6d6436c6c04ea7d3c8d01be41eebd61c247",
    ("retrieval", "left,right"): "020aa146ddd520f65e9d11b2731c1d14321d086368b4e92e8fb0bb4c0b7347f0",
    ("retrieval", "up,down"): "f4da8f82accf24c34fdeb4bbc40629b04e6a9f6ca6867c33cbd3504a06983c6e",
}


@pytest.fixture(scope="module")
def demo() -> Head:
    digest = (DEMO / "HEAD").read_text().strip()
    return Head.from_bytes((DEMO / "heads" / f"{digest}.onnx").read_bytes())


@pytest.fixture(scope="module")
def ssv2() -> Head:
    """The labels of Something-Something V2 with made rows, the same on every machine."""
    columns: dict[str, int] = json.loads(SSV2.read_text())
    labels = sorted(columns, key=columns.__getitem__)
    rows = np.random.default_rng(0).integers(-999, 1000, (len(labels), 64)) / 256
    return Head.from_arrays(rows, np.zeros(len(labels)), labels)


def test_embeddings_have_the_same_bytes_everywhere(demo: Head) -> None:
    cases = json.loads(MODIFIERS.read_text())
    texts = [*demo.labels, *sorted({text for case in cases for text in case["known"]})]
    assert len(texts) > 100
    embeddings = packaged_encoder().compute(texts)
    assert hashlib.sha256(embeddings.astype("<f4").tobytes()).hexdigest() == EMBEDDINGS


@pytest.mark.parametrize(("rule", "into"), DEMO_EDITS)
def test_edits_of_the_demo_have_the_same_bytes_everywhere(demo: Head, rule: str, into: str) -> None:
    edit = split_class(demo, "pushing something", into=into.split(","), rule=rule)
    assert edit.head.digest == DEMO_EDITS[rule, into]


@pytest.mark.skipif(not SSV2.is_file(), reason=f"needs {SSV2}")
@pytest.mark.parametrize(("rule", "into"), SSV2_EDITS)
def test_edits_of_ssv2_have_the_same_bytes_everywhere(ssv2: Head, rule: str, into: str) -> None:
    edit = split_class(ssv2, "Pushing something", into=into.split(","), rule=rule)
    assert edit.head.digest == SSV2_EDITS[rule, into]


@pytest.mark.parametrize("seed", range(4))
def test_last_bits_of_a_linear_solver_do_not_reach_the_head(
    demo: Head, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Four known labels are "left" to the same degree: noise alone would order them.
    invert, rng, calls = np.linalg.inv, np.random.default_rng(seed), []

    def another_inverse(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        calls.append(matrix.shape)
        return np.asarray(invert(matrix) * (1 + 1e-14 * rng.standard_normal(matrix.shape)))

    monkeypatch.setattr("numpy.linalg.inv", another_inverse)
    edit = split_class(demo, "pushing something", into=["left", "right"])
    assert edit.head.digest == DEMO_EDITS["alignment", "left,right"]
    assert calls


BUNDLE_EDITS = {
    ("alignment", "pushing", "left,right"): "b31a86fad238",
    ("alignment", "lifting", "a lot,a little"): "10e7dd5685b6",
    ("alignment", "throwing", "up,down,left,right"): "f1cc1e209795",
    ("alignment-mlp", "pushing", "left,right"): "a62d51ccef8f",
    ("prototype", "throwing", "up,down,left,right"): "877672200f85",
    ("retrieval", "throwing", "up,down,left,right"): "7746e89ad0f5",
}
"""With the demo's unlabelled clips: centring and temperature go into the bytes as well."""


@pytest.mark.parametrize(("rule", "name", "into"), BUNDLE_EDITS)
def test_edits_with_clips_have_the_same_bytes_everywhere(rule: str, name: str, into: str) -> None:
    bundle = open_bundle(DEMO)
    edit = bundle.split_class(name, into=into.split(","), rule=rule, accept_doubt=True)
    assert edit.head.digest[:12] == BUNDLE_EDITS[rule, name, into]
    assert edit.report.n_clips


ANSWER_EDITS = {
    ("alignment", "gated", 1): "b9f119b7fed3",
    ("alignment", "gated", 3): "979577237728",
    ("alignment", "flat", 2): "5d0d2d0dab02",
    ("prototype", "gated", 2): "1bff965bc7cb",
}
"""With answers about the clips of the demo's statistics: rule, composition, clips asked about for
each subcategory."""


def edit_with_answers(rule: str, composition: Composition, rounds: int) -> Edit:
    """Left to clips of an even place, right to others; the last clip shows neither."""
    bundle = open_bundle(DEMO)
    assert bundle.statistics is not None
    features, into = bundle.statistics.sample, ["left", "right"]
    answers: dict[int, str | None] = {}
    for _ in range(rounds):
        request = SplitRequest(into, features=features, answers=answers)
        for place in bundle.choose_clips("pushing", request, features, len(into)).tolist():
            answers[place] = into[place % 2]
    answers[max(answers)] = None
    request = SplitRequest(
        into,
        rule=rule,
        composition=composition,
        features=features,
        answers=answers,
        accept_doubt=True,
    )
    return bundle.split_class("pushing", request)


@pytest.mark.parametrize(("rule", "composition", "rounds"), ANSWER_EDITS)
def test_edits_with_answers_have_the_same_bytes_everywhere(
    rule: str, composition: Composition, rounds: int
) -> None:
    edit = edit_with_answers(rule, composition, rounds)
    assert edit.head.digest[:12] == ANSWER_EDITS[rule, composition, rounds]
    shots = edit.report.shots
    assert shots is not None
    assert len(shots.answers) == 2 * rounds


CHOSEN = {"pushing": [1361, 425, 1615, 681, 85, 426], "throwing": [1449, 1790, 1533, 4, 513, 852]}


@pytest.mark.parametrize("name", CHOSEN)
def test_the_same_clips_are_chosen_everywhere(name: str) -> None:
    bundle = open_bundle(DEMO)
    assert bundle.statistics is not None
    features = bundle.statistics.sample
    chosen = bundle.choose_clips(name, SplitRequest(["left", "right"]), features, 6)
    assert chosen.tolist() == CHOSEN[name]


@pytest.mark.parametrize("seed", range(4))
def test_last_bits_of_linear_algebra_do_not_reach_a_head_with_answers(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)

    def noisy(solve: Callable[..., npt.NDArray[np.float64]]) -> Callable[..., Any]:
        def solved(*matrices: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            found = solve(*matrices)
            return np.asarray(found * (1 + 1e-14 * rng.standard_normal(found.shape)))

        return solved

    monkeypatch.setattr("numpy.linalg.inv", noisy(np.linalg.inv))
    monkeypatch.setattr("numpy.linalg.cholesky", noisy(np.linalg.cholesky))
    edit = edit_with_answers("alignment", "gated", 3)
    assert edit.head.digest[:12] == ANSWER_EDITS["alignment", "gated", 3]
