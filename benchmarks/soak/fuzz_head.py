"""Does any file make the reader of heads raise an error that is not edgesplit's own?

    pip install atheris==3.0.0
    python -m benchmarks.soak.fuzz_head --seconds 180

Real heads are mutated, by bytes or by parts of the parsed file, guided by the branches that
edgesplit takes. A head that is read must equal the file to the byte. Inputs that start with a brace
are read as a bundle's preprocessing. A finding is kept in build/fuzz_head and ends the run with
exit code 77; otherwise the last line holds the counts as JSON.
"""

import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "fuzz_head"
MAX_BYTES = 16384


def seeds() -> list[bytes]:
    """Return heads of every kind, and a bundle's preprocessing."""
    from edgesplit.heads.head import Head
    from edgesplit.heads.labels import Composition, LabelTree, Node, Provenance, Source
    from edgesplit.video.preprocessing import Preprocessing

    made = Provenance("alignment", (Source("a", 0.75, 1.0),))
    chains: list[list[tuple[int, Composition]]] = [
        [],
        [(0, "gated")],
        [(0, "flat")],
        [(0, "gated"), (4, "gated"), (1, "gated")],
        [(0, "flat"), (4, "flat"), (1, "gated"), (5, "gated")],
    ]
    files = []
    for chain in chains:
        tree = LabelTree.from_labels(["a b", "a c", "d", "e"])
        for column, composition in chain:
            children = [
                Node(f"{column} {side}", modifier=side, provenance=made)
                for side in ("left", "right", "up")[: 2 + column % 2]
            ]
            tree = tree.split(column, children, composition=composition)
        rows = np.random.default_rng(0).standard_normal((len(tree), 3), np.float32)
        files.append(Head(tree, rows[:, :2], rows[:, 2], "f" * 64, "0" * 64).to_bytes())
    return [*files, json.dumps(Preprocessing(16, 112, 112, resize=128).to_json()).encode()]


def read(data: bytes) -> str:
    """Read `data` as a device would; return the outcome.

    Raises:
        Exception: a finding.
    """
    from edgesplit.errors import EdgesplitError
    from edgesplit.heads.head import Head
    from edgesplit.video.preprocessing import Preprocessing

    try:
        if data.startswith(b"{"):
            try:
                content = json.loads(data)
            except (ValueError, RecursionError):
                return "no JSON"
            Preprocessing.from_json(content)
            return "preprocessing"
        head = Head.from_bytes(data)
    except EdgesplitError as error:
        return f"refused, {type(error).__name__}"
    if head.to_bytes() != data:
        raise AssertionError("the head that was read differs from the file")
    return "head"


def mutator(mutate: Callable[[bytes, int], bytes]) -> Callable[[bytes, int, int], bytes]:
    """Return a function that mutates bytes, or one part of the parsed file and keeps the rest."""

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.2:
            return mutate(data, max_size)
        model = onnx.ModelProto()
        try:
            model.ParseFromString(data)
            change_part(rng, model)
            changed = bytes(model.SerializePartialToString(deterministic=True))
        except Exception:  # no such part, or no file at all: protobuf raises many kinds
            return mutate(data, max_size)
        return changed if len(changed) <= max_size else mutate(data, max_size)

    def change_part(rng: random.Random, model: onnx.ModelProto) -> None:
        tensor = rng.choice(model.graph.initializer)
        kind = rng.choice(["metadata", "metadata", "numbers", "dims", "name"])
        if kind == "metadata":
            entry = model.metadata_props[0]
            entry.value = mutate(entry.value.encode(), MAX_BYTES).decode(errors="ignore")
        elif kind == "numbers":
            tensor.raw_data = mutate(tensor.raw_data, MAX_BYTES)
        elif kind == "dims":
            tensor.dims[:] = [rng.choice([n, n + 1, 0, -1, 2**40, 2**62]) for n in tensor.dims]
        else:
            tensor.name = rng.choice(model.graph.initializer).name

    return change


@click.command()
@click.option("--seconds", default=180.0, show_default=True)
@click.option("--runs", default=0, help="End after so many inputs, the same ones every time.")
@click.option("--seed", default=1, show_default=True)
def main(seconds: float, runs: int, seed: int) -> None:
    """Fuzz the reader of heads for a number of seconds or inputs."""
    try:
        atheris: Any = import_module("atheris")  # optional: it has wheels for few Pythons
    except ImportError as error:
        raise click.ClickException(
            "atheris is not installed: pip install atheris==3.0.0"
        ) from error
    with atheris.instrument_imports(include=["edgesplit"]):
        files = seeds()
    outcomes: Counter[str] = Counter()
    start = time.monotonic()

    def one_input(data: bytes) -> None:
        outcomes[read(data)] += 1
        count, passed = sum(outcomes.values()), time.monotonic() - start
        if count == runs or (not runs and passed > seconds):
            result = {
                "seed": seed,
                "inputs": count,
                "seconds": round(passed, 1),
                "outcomes": dict(outcomes.most_common()),
            }
            print(json.dumps(result), flush=True)
            os._exit(0)  # libFuzzer never returns

    corpus = FOLDER / "corpus"  # made anew: what another run found must not change this one
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    for index, file in enumerate(files):
        (corpus / str(index)).write_bytes(file)
    options = [f"-seed={seed}", f"-max_len={MAX_BYTES}", "-timeout=10", "-rss_limit_mb=1024"]
    options += [f"-artifact_prefix={FOLDER}/", "-verbosity=0"]
    atheris.Setup(
        [sys.argv[0], *options, str(corpus)],
        one_input,
        custom_mutator=mutator(lambda data, size: atheris.Mutate(data, size)),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
