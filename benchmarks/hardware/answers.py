"""Write values that must not differ between machines: digests of edited heads, and decisions.

python -m benchmarks.hardware.answers        # for one machine; benchmarks.hardware.arm compares
"""

import itertools
import json
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np

import edgesplit
from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.heads.head import Head
from edgesplit.heads.labels import Composition
from edgesplit.runtime import Runtime
from edgesplit.video.clips import read_clip

DEMO = Path(edgesplit.__file__).parent / "assets" / "demo"
SPLITS = {
    "pushing": "left,right",
    "rolling": "left,right,up,down",
    "throwing": "up,down,left,right",
    "lifting": "a lot,a little",
}
RULES = ("alignment", "retrieval", "prototype")


def compute_answers() -> dict[str, Any]:
    """Return digests by edit, and decisions by their source."""
    bundle = open_bundle(DEMO / "motion.bundle")
    heads: dict[str, Head] = {}
    for (name, into), rule, composition in itertools.product(
        SPLITS.items(), RULES, get_args(Composition)
    ):
        edit = bundle.split_class(
            name, into=into.split(","), rule=rule, composition=composition, accept_doubt=True
        )
        heads[f"{name} into {into}, {rule}, {composition}"] = edit.head
    edited = heads["pushing into left,right, alignment, gated"]
    with np.load(DEMO / "heldout.npz", allow_pickle=False) as arrays:
        features = arrays["features"]
    return {
        "digests": {name: head.digest for name, head in heads.items()},
        "decisions": {
            "held-out features": bundle.head().classify(features),
            "held-out features, edited": edited.classify(features),
            "clips": _decide_clips(bundle),
        },
    }


def _decide_clips(bundle: Bundle) -> list[str]:
    with Runtime(bundle) as runtime:
        return [
            runtime.predict(read_clip(clip, bundle.preprocessing)).label
            for clip in sorted((DEMO / "clips").glob("*.mp4"))
        ]


@click.command()
def main() -> None:
    """Write the answers to standard output."""
    click.echo(json.dumps(compute_answers()))


if __name__ == "__main__":
    main()
