"""A source of video, predicted window after window.

stream      what a caller uses: iterate the events, stop
connection  a reader thread: source -> frames -> windows -> queue
watchdog    opens a source again, leaves a stuck reader behind, gives up
decisions   window -> decision; reports swaps, rollbacks and the shadow head
sources     a file, URL, camera or pipe -> frames with timestamps
windows     frames -> clips
queue       the windows that wait to be predicted
accounting  counts what became of every frame and window
smoothing   averages recent features, and decides them again after a swap
events      what a stream reports
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
