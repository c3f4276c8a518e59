"""What a compared side runs: it times what it is asked to, block after block, and nothing else.

The text of this file is given to another Python, which may have another edgesplit: only names that
are public take part.
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
"""An edit takes several blocks' time: it reads files, so it scatters more."""


def serve() -> None:
    """Reads seconds from stdin, line by line; writes what each took in a block, in milliseconds."""
    asked_for: list[Any] = sys.argv[1:6]
    path, clip_path, kind, recipe, split = asked_for
    if hasattr(os, "sched_setaffinity"):
        # One core: threads that wait for another would be most of what is seen.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from edgesplit.bundle.bundle import open_bundle
    from edgesplit.runtime import Runtime, open_backend
    from edgesplit.video.clips import read_clip

    bundle = open_bundle(path)
    backend = open_backend(bundle, kind, variant=recipe or None, threads=1).backend
    with Runtime(bundle, backend=backend) as runtime:
        clip = read_clip(clip_path, bundle.preprocessing)
        feature = runtime.extract(clip)

        def predict() -> None:
            runtime.predict(clip)

        def decode() -> None:
            read_clip(clip_path, bundle.preprocessing)

        def head() -> None:
            for _ in range(_RUNS):
                runtime.decide(feature)

        asked = {"prediction": predict, "decode": decode, "head": head}
        if split:
            label, *into = json.loads(split)

            def edit() -> None:
                bundle.split_class(label, into=into, accept_doubt=True)

            asked["edit"] = edit
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


def _time_ms(run: Callable[[], None], seconds: float) -> float:
    """The lower quartile: what it takes while nothing else is in its way."""
    run()  # fills the caches that another one emptied
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)[len(times) // 4]


if __name__ == "__main__":
    serve()
