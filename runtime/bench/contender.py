"""What a compared side runs: it times what it is asked to, block after block, and nothing else.

The text of this file is given to another Python, which may have another edgesplit: only names that
are public take part.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

__all__ = ["serve"]

_RUNS = 20


def serve() -> None:
    """Reads seconds from stdin, line by line; writes the medians of a block, in milliseconds."""
    path, clip_path, kind, recipe, split = sys.argv[1:6]
    from edgesplit.bundle import open_bundle
    from edgesplit.clips import read_clip
    from edgesplit.runtime import Runtime, open_backend

    bundle = open_bundle(path)
    backend = open_backend(bundle, kind, recipe=recipe or None).backend
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
                bundle.split_class(label, into=into, force=True)

            asked["edit"] = edit
        for run in asked.values():
            run()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            found = {name: _median_ms(run, float(line)) for name, run in asked.items()}
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()


def _median_ms(run: Callable[[], None], seconds: float) -> float:
    run()  # wakes the threads, and fills the caches that another one emptied
    times = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


if __name__ == "__main__":
    serve()
