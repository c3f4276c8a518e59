"""Predict a source of video window by window.

stream      the interface for callers: iterate the events, stop
connection  a reader thread: source -> frames -> windows -> queue
watchdog    reopen a source, abandon a stuck reader, give up
decisions   window -> decision; report swaps, rollbacks and the shadow head
sources     a file, URL, camera or pipe -> frames with timestamps
windows     frames -> clips
queue       the windows that wait for their prediction
accounting  count the outcome of every frame and window
smoothing   average recent features, and decide them again after a swap
events      the events that a stream reports
"""

from edgesplit.runtime.stream.accounting import Accounting
from edgesplit.runtime.stream.events import (
    Decision,
    Ended,
    Event,
    Interrupted,
    Reconnecting,
    Refused,
    Rescored,
    RolledBack,
    Shadowed,
    Stalled,
    Started,
    Swapped,
)
from edgesplit.runtime.stream.sources import Feed, Source, parse_source
from edgesplit.runtime.stream.windows import Frame

__all__ = [
    "Accounting",
    "Decision",
    "Ended",
    "Event",
    "Feed",
    "Frame",
    "Interrupted",
    "Reconnecting",
    "Refused",
    "Rescored",
    "RolledBack",
    "Shadowed",
    "Source",
    "Stalled",
    "Started",
    "Swapped",
    "parse_source",
]
