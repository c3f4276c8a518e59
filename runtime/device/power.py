"""Measure power and energy with tegrastats, which runs in the background.

On a Jetson without a known total power, and on any other machine, there are no figures; this is not
an error.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from types import TracebackType

from edgesplit.runtime.device.jetson import Sample, parse_tegrastats

__all__ = ["MAX_GAP_S", "PowerSampler", "energy_j"]

INTERVAL_MS = 100

MAX_GAP_S = 1.0
"""The longest time between two samples over which power counts as known, in seconds."""

_END_S = 2.0
"""Seconds that tegrastats may take to end before it is killed."""

Trace = Iterable[tuple[float, str]]
"""Lines of tegrastats, each with the second of the monotonic clock when it was read."""


class PowerSampler:
    """Samples power from entering to leaving; about 36,000 samples an hour stay in memory.

    All methods may be called from several threads, also after leaving.

        with PowerSampler() as power:
            start = time.monotonic()
            ...
            end = time.monotonic()
        power.energy_j(start, end)
    """

    def __init__(self, trace: Trace | None = None) -> None:
        """Take a recorded run to replay; by default tegrastats is started."""
        self._trace = trace
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._samples: list[tuple[float, Sample]] = []

    def __enter__(self) -> PowerSampler:
        trace = self._trace
        if trace is None:
            # Without a shell, so that `terminate` ends tegrastats itself. If this process is
            # killed, tegrastats ends at its next line, as nobody reads its output any more.
            command = ["tegrastats", "--interval", str(INTERVAL_MS)]
            with contextlib.suppress(OSError):  # none here: no figures
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    errors="replace",
                )
            trace = _lines(self._process) if self._process else ()
        self._thread = threading.Thread(target=self._read, args=(trace,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process, thread = self._process, self._thread
        if process is not None:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if thread is not None:
            thread.join(_END_S)  # a child of tegrastats could hold the pipe open
        if (
            process is not None
            and process.stdout is not None
            and not (thread and thread.is_alive())
        ):
            process.stdout.close()

    def _read(self, trace: Trace) -> None:
        for time_s, line in trace:
            sample = parse_tegrastats(line)
            if sample is not None:
                self._samples.append((time_s, sample))

    @property
    def samples(self) -> tuple[tuple[float, Sample], ...]:
        """Seconds of the monotonic clock, and the power then."""
        return tuple(self._samples)

    def energy_j(self, start_s: float, end_s: float) -> float | None:
        """Return joules of the whole module between two times of the monotonic clock."""
        totals = ((time_s, sample.total_mw) for time_s, sample in self.samples)
        known = [(time_s, total / 1000) for time_s, total in totals if total is not None]
        return energy_j(known, start_s, end_s)


def energy_j(watts: Iterable[tuple[float, float]], start_s: float, end_s: float) -> float | None:
    """Return joules between two times: trapezoids between samples, the nearest sample beyond.

    Args:
        watts: times in seconds, rising, and the power at each.
        start_s: where to begin; it may lie between two samples.
        end_s: where to end.

    Returns:
        None if between two samples lie more than `MAX_GAP_S`.

    Raises:
        ValueError: the end lies before the start.
    """
    if end_s < start_s:
        raise ValueError(f"the end, {end_s}, lies before the start, {start_s}")
    points = list(watts)
    if not points:
        return None
    if start_s < points[0][0]:
        points.insert(0, (start_s, points[0][1]))
    if end_s > points[-1][0]:
        points.append((end_s, points[-1][1]))
    joules = 0.0
    for (t0, w0), (t1, w1) in pairwise(points):
        a, b = max(t0, start_s), min(t1, end_s)
        if a >= b:
            continue
        if t1 - t0 > MAX_GAP_S:
            return None
        slope = (w1 - w0) / (t1 - t0)
        joules += (b - a) * (w0 + slope * ((a + b) / 2 - t0))
    return joules


def _lines(process: subprocess.Popen[str]) -> Iterator[tuple[float, str]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield time.monotonic(), line
