"""Texts for the terminal about the events of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesplit.runtime import (
        Decision,
        Ended,
        Event,
        Rescored,
        Shadowed,
        Started,
    )
    from edgesplit.runtime.backends.select import OpenedBackend

__all__ = ["backend_text", "decision_text", "event_text"]

_BACKENDS = {"tensorrt": "TensorRT", "cuda": "CUDA"}


def backend_text(opened: OpenedBackend) -> str:
    """Return what runs the backbone, and why no faster backend does, in a line."""
    why = (f"{_BACKENDS[one.backend]}: {one.reason}" for one in opened.passed_over)
    return "; ".join((opened.description, *why))


def decision_text(event: Decision | Rescored) -> str:
    """Return one line about a window of a stream."""
    from edgesplit.cli import screen

    path = screen.path_text(event.prediction).plain
    head = event.prediction.head_digest[: screen.SHORT]
    return f"{event.start:.1f}-{event.end:.1f} s  {path}  [head {head}]"


def event_text(event: Event) -> str:
    """Return the text of an event that is no decision; details follow in further lines."""
    from edgesplit.runtime.stream import Ended, Rescored, Shadowed, Started

    match event:
        case Started():
            return _started_text(event)
        case Ended():
            return _ended_text(event)
        case Rescored():
            return f"{decision_text(event)}  (reported differently before)"
        case Shadowed():
            return _shadow_text(event)
    return _trouble_text(event)


def _trouble_text(event: Event) -> str:
    from edgesplit.cli.screen import SHORT
    from edgesplit.runtime.stream import (
        Interrupted,
        Reconnecting,
        Refused,
        RolledBack,
        Stalled,
        Swapped,
    )

    match event:
        case Swapped():
            return f"head {event.before[:SHORT]} -> {event.after[:SHORT]}"
        case Refused() | RolledBack():
            return event.reason
        case Interrupted():
            return f"{event.at_s:.1f} s  gap of {event.lost_s:.1f} s: {event.reason}"
        case Stalled():
            return f"no frame for {event.silent_s:.1f} s"
        case Reconnecting():
            return f"{event.reason}; opened again in {event.delay_s:.1f} s ({event.attempt}.)"
    return str(event)


def _started_text(event: Started) -> str:
    policy = "the newest window first" if event.policy == "latest" else "every window"
    line = (
        f"{event.source}: {event.fps:g} frames a second, windows of {event.window_s:.3g} s "
        f"every {event.stride_s:.3g} s; {policy}"
    )
    if event.n_repeated:
        line += (
            f"\nwarning: {event.n_repeated} frames of each clip are repeated: the window is "
            "shorter than the model's clip"
        )
    return line


def _shadow_text(event: Shadowed) -> str:
    report = event.report
    lines = [
        f"shadow {report.candidate[:12]} disagrees on {report.n_outside} of {report.n_windows} "
        "windows outside its splits"
    ]
    lines += [f"  {c.count} x {c.live!r} becomes {c.candidate!r}" for c in report.changes]
    for split in report.splits:
        shares = ", ".join(f"{label} {share:.0%}" for label, share in split.shares.items())
        lines.append(
            f"  {split.label}, {split.n_windows} windows: {shares}; margin {split.mean_margin:.2f}"
        )
    return "\n".join([*lines, *(f"  warning: {words}" for words in report.warnings)])


def _ended_text(event: Ended) -> str:
    n = event.accounting
    line = (
        f"{event.reason} after {event.lasted_s:.1f} s\n"
        f"frames   {n.frames} = {n.used} used + {n.unsampled} between samples + {n.late} late + "
        f"{n.unfinished} unfinished; {n.damaged} packets damaged\n"
        f"windows  {n.windows} = {n.predicted} predicted + {n.dropped} dropped"
    )
    if n.gaps or n.reconnects:
        line += f"\ngaps     {n.gaps}, {n.lost_s:.1f} s lost; opened again {n.reconnects} times"
    if event.reason == "source ended" and not n.windows:
        line += "\nwarning: the source is shorter than one window; nothing was predicted"
    return line
