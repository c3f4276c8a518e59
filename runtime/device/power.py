"""Measure power and energy with tegrastats, which runs in the background.

A Jetson whose total power is unknown, and any other machine, gives no figures; that is not an
error.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterable

import numpy as np

from edgesplit.runtime.device.jetson import parse_tegrastats, total_mw

__all__ = ["MAX_GAP_S", "PowerSampler", "energy_j"]

INTERVAL_MS = 100

MAX_GAP_S = 1.0
"""Longest time between two samples over which power counts as known, in seconds."""

_END_S = 2.0
"""Seconds that tegrastats may take to end before it is killed."""

Trace = Iterable[tuple[float, str]]
"""Lines of tegrastats, each with the seconds of the monotonic clock when it was read."""


class PowerSampler:
    """Samples power inside a `with` block; about 36,000 samples an hour stay in memory.

    All methods may be called from several threads, also after the block.

        with PowerSampler() as power:
            start = time.monotonic()
            ...
            end = time.monotonic()
        power.energy_j(start, end)
    """

    def __init__(self, trace: Trace | None = None) -> None:
        """Replay the lines of `trace`; by default start tegrastats."""
        self._trace = trace
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._samples: list[tuple[float, dict[str, int]]] = []

    def __enter__(self) -> PowerSampler:
        if self._trace is None:
            # Without a shell, so that `terminate` ends tegrastats itself. If this process is
            # killed, tegrastats ends at its next line, because its pipe is closed.
            command = ["tegrastats", "--interval", str(INTERVAL_MS)]
            with contextlib.suppress(OSError):  # not installed: no figures
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    errors="replace",
                )
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._thread.join(_END_S)  # a child of tegrastats could hold the pipe open
        if process and process.stdout and not self._thread.is_alive():
            process.stdout.close()

    def _read(self) -> None:
        output = self._process.stdout if self._process else None
        for time_s, line in self._trace or ((time.monotonic(), line) for line in output or ()):
            if powers := parse_tegrastats(line):
                self._samples.append((time_s, powers))

    @property
    def samples(self) -> tuple[tuple[float, dict[str, int]], ...]:
        """All samples: seconds of the monotonic clock, and milliwatts by rail."""
        return tuple(self._samples)

    def energy_j(self, start_s: float, end_s: float) -> float | None:
        """Return the joules of the module between two times of the monotonic clock."""
        totals = ((time_s, total_mw(powers)) for time_s, powers in self.samples)
        known = [(time_s, total / 1000) for time_s, total in totals if total is not None]
        return energy_j(known, start_s, end_s)


def energy_j(watts: Iterable[tuple[float, float]], start_s: float, end_s: float) -> float | None:
    """Return the joules between two times: trapezoids between samples, beyond them the nearest.

    Args:
        watts: rising times in seconds, and the power at each.
        start_s: begin; it may lie between two samples.
        end_s: end.

    Returns:
        None if a gap between samples, or before or after them, is longer than `MAX_GAP_S`.

    Raises:
        ValueError: the end is before the start.
    """
    if end_s < start_s:
        raise ValueError(f"the end, {end_s}, is before the start, {start_s}")
    points = list(watts)
    if not points:
        return None
    times, powers = np.transpose(points)
    # In a gap between samples, and before and after them, power is unknown.
    outer = np.union1d(times, [min(start_s, times[0]), max(end_s, times[-1])])
    met = (outer[1:] > start_s) & (outer[:-1] < end_s)
    if np.diff(outer)[met].max(initial=0.0) > MAX_GAP_S:
        return None
    steps = np.union1d(times.clip(start_s, end_s), [start_s, end_s])
    heights = np.interp(steps, times, powers)  # beyond the samples, the nearest
    return float((np.diff(steps) * (heights[1:] + heights[:-1]) / 2).sum())
