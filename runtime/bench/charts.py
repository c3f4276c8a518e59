"""Curves and bars as SVG. A device has no plotting library, and the page fetches none.

Colours are the page's (`currentColor` and CSS classes), so that a chart can be read on a light and
on a dark page. Text is never turned or wrapped; `width_of` bounds its width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["COLOURS", "bars", "curve", "short", "width_of"]

WIDTH = 680
_LINE = 22
_TOP = 34
_FOOT = 46
_SIDE = 62
_TEXT = 12
COLOURS = 7
"""CSS classes f0, f1, … that fill and s0, s1, … that stroke."""


def width_of(text: str) -> float:
    """Return an upper bound of a text's width in pixels; sans-serif letters are narrower."""
    return 0.62 * _TEXT * len(text)


def bars(
    title: str, rows: Sequence[tuple[str, Mapping[str, float]]], *, axis: str, unit: str
) -> str:
    """Return horizontal bars, each of parts one after another.

    Args:
        title: what it shows.
        rows: label of a bar, and its parts by name, in order; several parts get a legend.
        axis: name and unit of the lengths.
        unit: written behind each bar's sum.
    """
    names = list(dict.fromkeys(name for _, parts in rows for name in parts))
    wholes = [sum(parts.values()) for _, parts in rows]
    left = 12 + max(width_of(label) for label, _ in rows)
    behind = 10 + max(width_of(_number(whole, unit)) for whole in wholes)
    scale = (WIDTH - left - behind) / max((*wholes, 1e-12))
    legend = _legend(names) if len(names) > 1 else _Legend("", 0)
    top = _TOP + legend.height
    drawn = [legend.drawn]
    for place, (label, parts) in enumerate(rows):
        y = top + place * _LINE
        drawn.append(_text(left - 8, y + 14, label, anchor="end"))
        x = left
        for name, value in parts.items():
            colour = names.index(name) % COLOURS
            tip = f"<title>{escape(f'{name}: {_number(value, unit)}')}</title>"
            drawn.append(
                f'<rect class="f{colour}" x="{x:.1f}" y="{y + 3}" width="{value * scale:.1f}" '
                f'height="{_LINE - 6}">{tip}</rect>'
            )
            x += value * scale
        drawn.append(_text(x + 6, y + 14, _number(wholes[place], unit)))
    bottom = top + len(rows) * _LINE
    drawn.append(f'<path class="axis" d="M{left:.1f} {top}V{bottom}"/>')
    drawn.append(_text(left, bottom + 18, axis))
    return _svg(title, bottom + 28, drawn)


def curve(title: str, values: Sequence[float], *, x: str, y: str) -> str:
    """Return a line through a value for each of 0, 1, 2, …, above an axis that begins at 0.

    Args:
        title: what it shows.
        values: at least one.
        x: name and unit of the horizontal axis.
        y: name and unit of the vertical axis.
    """
    top, height = _TOP + 22, 240
    bottom, right = top + height, WIDTH - 30
    across = _Axis.over(range(len(values)), _SIDE, right)
    along = _Axis.over([0.0, *values], bottom, top)
    drawn = [_text(8, top - 12, y)]
    for value in across.ticks:
        at = across.at(value)
        drawn.append(f'<path class="grid" d="M{at:.1f} {top}V{bottom}"/>')
        drawn.append(_text(at, bottom + 16, short(value), anchor="middle"))
    for value in along.ticks:
        at = along.at(value)
        drawn.append(f'<path class="grid" d="M{_SIDE} {at:.1f}H{right}"/>')
        drawn.append(_text(_SIDE - 6, at + 4, short(value), anchor="end"))
    path = " ".join(f"{across.at(n):.1f},{along.at(value):.1f}" for n, value in enumerate(values))
    drawn.append(f'<polyline class="s0" points="{path}"/>')
    drawn.append(_text((_SIDE + right) / 2, bottom + 36, x, anchor="middle"))
    return _svg(title, bottom + _FOOT, drawn)


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps values to pixels."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        low, high = min(values), max(values)
        if high <= low:
            low, high = min(low, 0.0), max(high, low + 1)
        step = 10 ** math.floor(math.log10((high - low) / 4))
        step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 6)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        ticks = tuple(index * step for index in range(first, last + 1))
        return cls(ticks[0], ticks[-1], start, end, ticks)

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class _Legend:
    drawn: str
    height: int


def _legend(names: Sequence[str]) -> _Legend:
    drawn, x, line = [], 8.0, 0
    for place, name in enumerate(names):
        wide = 18 + width_of(name) + 16
        if x > 8 and x + wide > WIDTH:
            x, line = 8.0, line + 1
        y = _TOP + line * 18
        drawn.append(
            f'<rect class="f{place % COLOURS}" x="{x:.1f}" y="{y}" width="12" height="12"/>'
            + _text(x + 17, y + 10, name)
        )
        x += wide
    return _Legend("".join(drawn), (line + 1) * 18 + 4)


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, height: float, drawn: Sequence[str]) -> str:
    heading = f'<text class="title" x="8" y="20">{escape(title)}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{heading}{"".join(drawn)}</svg>'
    )


def _number(value: float, unit: str) -> str:
    return f"{short(value)} {unit}"


def short(value: float) -> str:
    """Return a number with three significant digits, and commas in thousands."""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    digits = 0 if abs(value) >= 100 or value == 0 else 2 - math.floor(math.log10(abs(value)))
    text = f"{value:,.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
