"""Moments as people write them on the command line."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

__all__ = ["parse_moment"]


def parse_moment(text: str) -> datetime:
    """Return the moment of a text: `14:03`, `2026-11-22`, `2026-11-22 14:03`, ISO 8601; UTC.

    A time alone is the last such time that has passed. A text with an offset says its own zone.

    Raises:
        ValueError: the text is none of these.
    """
    now = datetime.now(timezone.utc)
    text = text.strip().upper().replace("Z", "+00:00")
    dated = text[4:5] == "-"
    if not dated and not re.match(r"\d\d:\d\d", text):
        raise ValueError(f"{text!r} is not a time of day")
    moment = datetime.fromisoformat(text if dated else f"{now.date()}T{text}")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return moment if dated or moment <= now else moment - timedelta(days=1)
