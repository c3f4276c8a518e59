"""The script that each side of a comparison runs: it times a block for each line that it reads.

The text of this file is given to another Python, which may have another version of edgesplit, so it
uses only public names.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["serve"]

_RUNS = 20
_LEAST = 5
_EDIT = 3
"""Factor by which edits are timed longer: they read files, so their times scatter more."""


def serve() -> None:
    """Read seconds from stdin, a line for each block; write the milliseconds of each item."""
    asked_for: list[Any] = sys.argv[1:6]
    path, clip_path, backend_name, variant, split = asked_for
    if hasattr(os, "sched_setaffinity"):
        # One core: otherwise threads that wait for a core would dominate the times.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from edgesplit.bundle.bundle import open_bundle
    from edgesplit.runtime import Runtime, open_backend
    from edgesplit.video.clips import read_clip

    bundle = open_bundle(path)
    backend = open_backend(bundle, backend_name, variant=variant or None, threads=1).backend
    with Runtime(bundle, backend=backend) as runtime:
        clip = read_clip(clip_path, bundle.preprocessing)
        feature = runtime.extract(clip)
        asked: dict[str, Callable[[], object]] = {
            "prediction": lambda: runtime.predict(clip),
            "decode": lambda: read_clip(clip_path, bundle.preprocessing),
            "head": lambda: [runtime.decide(feature) for _ in range(_RUNS)],
        }
        if split:
            label, *into = json.loads(split)
            asked["edit"] = lambda: bundle.split_class(label, into=into, accept_doubt=True)
        for run in asked.values():
            run()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            seconds = float(line)
            found = {
                name: _time_ms(run, seconds * _EDIT if name == "edit" else seconds)
                for name, run in asked.items()
            }
            sys.stdout.write(json.dumps(found, allow_nan=False) + "\n")
            sys.stdout.flush()


def _time_ms(run: Callable[[], object], seconds: float) -> float:
    """Return the lower quartile, which other work on the machine barely changes."""
    run()  # fills the CPU caches again
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)[len(times) // 4]


if __name__ == "__main__":
    serve()
