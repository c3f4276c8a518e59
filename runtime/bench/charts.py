"""Curves and bars as SVG, without a plotting library on the device or in the page.

Colours come from the page (`currentColor` and CSS classes), so a chart is readable on a light and
on a dark page. Text is never rotated or wrapped; `width_of` bounds its width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

__all__ = ["bars", "curve", "short", "width_of"]

WIDTH = 680
_LINE = 22
_TOP = 34
_FOOT = 46
_SIDE = 62
_TEXT = 12


def width_of(text: str) -> float:
    """Return an upper bound of a text's width in pixels; sans-serif letters are narrower."""
    return 0.62 * _TEXT * len(text)


def bars(title: str, rows: Sequence[tuple[str, float]], *, axis: str, unit: str) -> str:
    """Return horizontal bars.

    Args:
        title: title of the chart.
        rows: label and length of each bar.
        axis: name and unit of the lengths.
        unit: written after each length.
    """
    lengths = [f"{short(value)} {unit}" for _, value in rows]
    left = 12 + max(width_of(label) for label, _ in rows)
    right = 10 + max(map(width_of, lengths))
    scale = (WIDTH - left - right) / max(1e-12, *(value for _, value in rows))
    drawn = []
    for place, (label, value) in enumerate(rows):
        y, width = _TOP + place * _LINE, value * scale
        drawn.append(_text(left - 8, y + 14, label, anchor="end"))
        size = f'width="{width:.1f}" height="{_LINE - 6}"'
        drawn.append(f'<rect class="bar" x="{left:.1f}" y="{y + 3}" {size}/>')
        drawn.append(_text(left + width + 6, y + 14, lengths[place]))
    bottom = _TOP + len(rows) * _LINE
    drawn.append(f'<path class="axis" d="M{left:.1f} {_TOP}V{bottom}"/>')
    drawn.append(_text(left, bottom + 18, axis))
    return _svg(title, bottom + 28, drawn)


def curve(title: str, percentiles: Sequence[float], *, x: str, y: str) -> str:
    """Return a line through the percentiles 0, 1, 2, …, above an axis that begins at 0.

    Args:
        title: title of the chart.
        percentiles: 1 to 101 values, all above 0.
        x: name of the horizontal axis.
        y: name and unit of the vertical axis.
    """
    top, height = _TOP + 22, 240
    bottom, right = top + height, WIDTH - 30
    step = _round_step(max(percentiles))
    n_steps = math.ceil(max(percentiles) / step - 1e-9)
    across, up = (right - _SIDE) / 100, height / (n_steps * step)
    drawn = [_text(8, top - 12, y)]
    for percent in range(0, 101, 20):
        at = _SIDE + percent * across
        drawn.append(f'<path class="grid" d="M{at:.1f} {top}V{bottom}"/>')
        drawn.append(_text(at, bottom + 16, str(percent), anchor="middle"))
    for tick in (n * step for n in range(n_steps + 1)):
        at = bottom - tick * up
        drawn.append(f'<path class="grid" d="M{_SIDE} {at:.1f}H{right}"/>')
        drawn.append(_text(_SIDE - 6, at + 4, short(tick), anchor="end"))
    points = [f"{_SIDE + n * across:.1f},{bottom - v * up:.1f}" for n, v in enumerate(percentiles)]
    drawn.append(f'<polyline class="line" points="{" ".join(points)}"/>')
    drawn.append(_text((_SIDE + right) / 2, bottom + 36, x, anchor="middle"))
    return _svg(title, bottom + _FOOT, drawn)


def _round_step(largest: float) -> float:
    """Return 1, 2 or 5 times a power of ten, so that about 4 to 6 steps reach the largest value."""
    step = 10 ** math.floor(math.log10(largest / 4))
    return float(step * next(m for m in (1, 2, 5, 10) if largest / (m * step) <= 6))


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, height: float, drawn: Sequence[str]) -> str:
    heading = f'<text class="title" x="8" y="20">{escape(title)}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{heading}{"".join(drawn)}</svg>'
    )


def short(value: float) -> str:
    """Return a number with three significant digits, and commas in thousands."""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    digits = 0 if abs(value) >= 100 or value == 0 else 2 - math.floor(math.log10(abs(value)))
    text = f"{value:,.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
