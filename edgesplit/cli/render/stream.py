"""Text of decisions about clips and windows, and of the other events of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesplit.cli.render.console import short

if TYPE_CHECKING:
    from rich.console import Console

    from edgesplit.runtime import Prediction
    from edgesplit.runtime.backends.select import OpenedBackend
    from edgesplit.runtime.stream import Decision, Ended, Event, Rescored, Shadowed, Started

__all__ = ["backend_text", "decision_text", "event_text", "show_prediction"]

_BACKENDS = {"tensorrt": "TensorRT", "cuda": "CUDA"}


def backend_text(opened: OpenedBackend) -> str:
    """Return the backend that runs, and why no faster backend does, in one line."""
    why = (f"{_BACKENDS[one.backend]}: {one.reason}" for one in opened.passed_over)
    return "; ".join((opened.description, *why))


def path_text(prediction: Prediction) -> str:
    """Return a decision by level: `pushing something 0.91 > pushing something left 0.74`."""
    return " > ".join(f"{step.label} {step.probability:.2f}" for step in prediction.path)


def show_prediction(out: Console, name: str, prediction: Prediction) -> None:
    """Print the decision about a clip, in one line."""
    from rich.text import Text

    head = f"  [head {short(prediction.head_digest)}]"
    out.print(Text.assemble((f"{name}  ", "dim"), path_text(prediction), (head, "dim")))


def decision_text(event: Decision | Rescored) -> str:
    """Return the decision about a window of a stream, in one line."""
    prediction = event.prediction
    path, head = path_text(prediction), short(prediction.head_digest)
    return f"{event.start:.1f}-{event.end:.1f} s  {path}  [head {head}]"


def event_text(event: Event) -> str:
    """Return the text of an event that is not a decision, in one or several lines."""
    from edgesplit.runtime import stream

    match event:
        case stream.Started():
            return _started_text(event)
        case stream.Ended():
            return _ended_text(event)
        case stream.Shadowed():
            return _shadow_text(event)
        case stream.Rescored():
            return f"{decision_text(event)}  (the old head decided differently)"
        case stream.Swapped():
            return f"head {short(event.before)} -> {short(event.after)}"
        case stream.Refused() | stream.RolledBack():
            return event.reason
        case stream.Interrupted():
            return f"{event.at_s:.1f} s  gap of {event.lost_s:.1f} s: {event.reason}"
        case stream.Stalled():
            return f"no frame for {event.silent_s:.1f} s"
        case stream.Reconnecting():
            return f"{event.reason}; attempt {event.attempt} in {event.delay_s:.1f} s"
    return str(event)


def _started_text(event: Started) -> str:
    policy = "only the newest window if late" if event.policy == "latest" else "every window"
    line = (
        f"{event.source}: {event.fps:g} frames per second, windows of {event.window_s:.3g} s "
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
        f"shadow {short(report.candidate)} disagrees on {report.n_outside} of {report.n_windows} "
        "windows outside its splits"
    ]
    lines += [f"  {c.count} x {c.live!r} becomes {c.candidate!r}" for c in report.changes]
    for split in report.splits:
        shares = ", ".join(f"{label} {share:.0%}" for label, share in split.shares.items())
        lines.append(
            f"  {split.label}, {split.n_windows} windows: {shares}; margin {split.mean_margin:.2f}"
        )
    return "\n".join([*lines, *(f"  warning: {text}" for text in report.warnings)])


def _ended_text(event: Ended) -> str:
    n = event.accounting
    line = (
        f"{event.reason} after {event.lasted_s:.1f} s\n"
        f"frames   {n.frames} = {n.used} used + {n.unsampled} between samples + {n.late} late + "
        f"{n.unfinished} unfinished; {n.damaged} packets damaged\n"
        f"windows  {n.windows} = {n.predicted} predicted + {n.dropped} dropped"
    )
    if n.gaps or n.reconnects:
        line += f"\ngaps     {n.gaps}, {n.lost_s:.1f} s lost; reconnected {n.reconnects} times"
    if event.reason == "source ended" and not n.windows:
        line += "\nwarning: the source is shorter than one window; nothing was predicted"
    return line
