"""Render scenes to pictures: every item is a signed distance function, painted far to near.

A seed gives the same scene at any size and number of frames. Only the part of the picture that an
item can touch is computed, for all frames at once, in float32.
"""

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.motion_split.classes import FineClass
from benchmarks.motion_split.programs import PROGRAMS
from benchmarks.motion_split.scene import Array, Item, Paint, Shape, Stage, Surroundings, Track
from edgesplit._types import UInt8

_Distance = Callable[[Array, Array, float, float], Array]


def render_clip(fine: FineClass, seed: int, *, size: int, n_frames: int) -> UInt8:
    """Render the clip of one class with one seed.

    Args:
        fine: The class.
        seed: Determines scene and noise; see ``classes.clip_seed``.
        size: Height and width in pixels.
        n_frames: Number of frames, at the middles of equal parts of the clip.

    Returns:
        ``(n_frames, size, size, 3)`` uint8, RGB.
    """
    stage = Stage(np.random.default_rng(seed), n_frames)
    PROGRAMS[fine.program](stage, fine.parameter)
    stage.add_distractors()
    return render(stage, size)


def render(stage: Stage, size: int) -> UInt8:
    """Paint a stage; return ``(n_frames, size, size, 3)`` uint8."""
    view = _View(stage, size)
    canvas = _paint_background(view, stage.surroundings)
    for item in sorted(stage.items, key=lambda item: item.depth):
        if item.casts_shadow:
            _paint_shadow(canvas, view, item, stage.surroundings)
        _paint_item(canvas, view, item, stage.surroundings)
    return _expose(canvas, stage)


class _View:
    """Positions of the pixels of every frame in the scene's picture plane.

    Attributes:
        u, v: ``(n_frames, size, size)`` float32, the plane's coordinates.
        pixel: ``(n_frames, 1, 1)``, a pixel's width.
    """

    def __init__(self, stage: Stage, size: int) -> None:
        self.n_frames, self.size = stage.n_frames, size
        camera = stage.camera
        self.x, self.y = self.track(camera.x), self.track(camera.y)
        self.zoom, roll = self.track(camera.zoom), self.track(camera.roll)
        self.cos, self.sin = np.cos(roll), np.sin(roll)
        across = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1)[None, None, :]
        down = -across.transpose(0, 2, 1)
        self.u = self.x + (self.cos * across + self.sin * down) / self.zoom
        self.v = self.y + (self.cos * down - self.sin * across) / self.zoom
        self.pixel = 2 / (size * self.zoom)

    def track(self, track: Track) -> Array:
        """Return a track as ``(n_frames, 1, 1)`` float32."""
        values = np.broadcast_to(np.asarray(track, np.float32), (self.n_frames,))
        return values[:, None, None]

    def window(self, u: Array, v: Array, radius: float) -> tuple[slice, slice, slice] | None:
        """Return the rows and columns that a disc at (u, v) touches in any frame; None if none."""
        du, dv = (u - self.x) * self.zoom, (v - self.y) * self.zoom
        across, down = self.cos * du - self.sin * dv, -(self.sin * du + self.cos * dv)
        reach = radius * self.zoom
        slices = [slice(None)]
        for centre in (down, across):
            low = int(np.floor((np.min(centre - reach) + 1) / 2 * self.size)) - 1
            high = int(np.ceil((np.max(centre + reach) + 1) / 2 * self.size)) + 1
            low, high = max(low, 0), min(high, self.size)
            if low >= high:
                return None
            slices.append(slice(low, high))
        return slices[0], slices[1], slices[2]


def _paint_background(view: _View, around: Surroundings) -> Array:
    """Paint a table with grain in its own coordinates, and the wall behind it."""
    grain = np.zeros_like(view.u)
    for wave_u, wave_v, phase, strength in around.grain:
        # Bending each wave by the one before keeps the table from looking like graph paper.
        bend = np.float32(phase) + 12 * grain
        grain += np.float32(strength) * np.sin(
            np.float32(wave_u) * view.u + np.float32(wave_v) * view.v + bend
        )
    table = _float32(around.table) * (1 + grain[..., None])
    wall = _float32(around.wall) * (1 - 0.5 * grain[..., None])
    is_wall = np.clip((view.v - around.wall_y) / view.pixel + 0.5, 0, 1)[..., None]
    canvas: Array = table + is_wall * (wall - table)
    return canvas


def _paint_shadow(canvas: Array, view: _View, item: Item, around: Surroundings) -> None:
    """Paint a soft ellipse on the table; for a higher item, farther from the light and fainter."""
    z = view.track(item.z)
    half_width = item.half_size[0]
    u = view.track(item.x) - around.light[0] * (0.06 + 0.12 * z)
    v = view.track(item.y) - item.half_size[1] * 0.9 - around.light[1] * 0.04
    if (window := view.window(u, v, half_width * 2.2)) is None:
        return
    du, dv = (view.u[window] - u) / (half_width * 1.25), (view.v[window] - v) / (half_width * 0.55)
    darkness = 0.5 / (1 + 2 * z) * np.clip(1.3 - (du * du + dv * dv), 0, 1)
    canvas[window] *= (1 - darkness)[..., None]


def _paint_item(canvas: Array, view: _View, item: Item, around: Surroundings) -> None:
    u, v = view.track(item.x), view.track(item.y) + view.track(item.z)
    stretch_x, stretch_y = view.track(item.stretch_x), view.track(item.stretch_y)
    half_x, half_y = item.half_size
    is_hand = item.shape in _HANDS
    longest = 4.0 if is_hand else 1.45 * max(half_x * stretch_x.max(), half_y * stretch_y.max())
    if (window := view.window(u, v, float(longest))) is None:
        return
    angle = view.track(item.angle)
    cos, sin = np.cos(angle), np.sin(angle)
    du, dv = view.u[window] - u, view.v[window] - v
    x, y = (cos * du + sin * dv) / stretch_x, (cos * dv - sin * du) / stretch_y
    distance = _DISTANCES[item.shape](x, y, half_x, half_y)
    mask = np.clip(0.5 - distance / view.pixel, 0, 1)
    # Round bodies: darker towards the rim and on the side that faces away from the light.
    rim = np.clip(1 + distance / (0.06 if is_hand else 0.1), 0, 1)
    lit = (around.light[0] * du + around.light[1] * dv) / max(half_x, half_y)
    shade = 1 - 0.4 * rim * rim + (0.0 if is_hand else 0.16) * np.clip(lit, -1, 1)
    colours = _sleeved(item.paint, x) if is_hand else _patterned(item.paint, x, y)
    part = canvas[window]
    part += mask[..., None] * (colours * shade[..., None] - part)


def _patterned(paint: Paint, x: Array, y: Array) -> Array:
    if paint.pattern == "plain":
        return _float32(paint.colour) + np.zeros_like(x)[..., None]
    along = paint.direction[0] * x + paint.direction[1] * y
    if paint.pattern == "halves":
        wave = 8 * along
    elif paint.pattern == "stripes":
        wave = np.sin(paint.frequency * along)
    else:
        across = paint.direction[0] * y - paint.direction[1] * x
        wave = np.sin(paint.frequency * along) * np.sin(paint.frequency * across) * 2 - 0.4
    return _mix(paint, np.clip(3 * wave + 0.5, 0, 1))


def _sleeved(paint: Paint, x: Array) -> Array:
    """Return the colours of skin, and of a sleeve from the wrist on."""
    return _mix(paint, np.clip((-0.62 - x) * 30, 0, 1))


def _mix(paint: Paint, share: Array) -> Array:
    first, second = _float32(paint.colour), _float32(paint.second)
    mixed: Array = first + share[..., None] * (second - first)
    return mixed


def _float32(colour: tuple[float, float, float]) -> Array:
    return np.array(colour, np.float32)


def _expose(canvas: Array, stage: Stage) -> UInt8:
    """Apply light, contrast, colour cast and sensor noise."""
    around, size = stage.surroundings, canvas.shape[1]
    line = np.linspace(-1, 1, size, dtype=np.float32)
    light = around.gain * (1 + around.slope[0] * line[None, :] + around.slope[1] * line[:, None])
    canvas *= light[..., None].astype(np.float32) * _float32(around.tint)
    np.clip(canvas, 0, 1, out=canvas)
    np.power(canvas, np.float32(around.gamma), out=canvas)
    canvas += np.float32(around.noise) * stage.rng.standard_normal(canvas.shape, np.float32)
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)


# Signed distances: negative inside. ``a`` and ``b`` are the half width and half height.


def _ellipse(x: Array, y: Array, a: float, b: float) -> Array:
    return (np.sqrt((x / a) ** 2 + (y / b) ** 2) - 1) * min(a, b)


def _box(x: Array, y: Array, a: float, b: float, radius: float = 0.04) -> Array:
    outside_x, outside_y = abs(x) - (a - radius), abs(y) - (b - radius)
    corner = np.sqrt(np.maximum(outside_x, 0) ** 2 + np.maximum(outside_y, 0) ** 2)
    distance: Array = corner + np.minimum(np.maximum(outside_x, outside_y), 0) - radius
    return distance


def _bottle(x: Array, y: Array, a: float, b: float) -> Array:
    body = _box(x, y + 0.3 * b, a, 0.7 * b, 0.6 * a)
    return np.minimum(body, _box(x, y - 0.6 * b, 0.38 * a, 0.4 * b, 0.1 * a))


def _cone(x: Array, y: Array, a: float, b: float) -> Array:
    distance: Array = np.maximum(abs(y) - b, (abs(x) - a * (0.68 - 0.32 * y / b)) * 0.95)
    return distance


def _can(x: Array, y: Array, a: float, b: float) -> Array:
    return _box(x, y, a, b, 0.75 * a)


def _stick(x: Array, y: Array, a: float, b: float) -> Array:
    return _box(x, y, a, b, a)


def _forearm(x: Array, y: Array) -> Array:
    """Return the distance to palm and forearm, from the knuckles at -0.1 beyond the picture."""
    arm = _box(x + 2.5, y, 2.2, 0.105, 0.1)
    return np.minimum(arm, _ellipse(x + 0.24, y, 0.19, 0.15))


def _finger_at(x: Array, y: Array, offset: float, length: float) -> Array:
    return _box(x + 0.14 - length / 2, y - offset, 0.1 + length / 2, 0.036, 0.036)


def _fist(x: Array, y: Array, a: float, b: float) -> Array:
    x, y = x / a, y / b
    distance = _forearm(x, y)
    for offset in (-0.11, -0.037, 0.037, 0.11):
        distance = np.minimum(distance, _finger_at(x, y, offset, 0.12))
    return distance * a


def _open_hand(x: Array, y: Array, a: float, b: float) -> Array:
    x, y = x / a + 0.14, y / b
    distance = _forearm(x + 0.06, y)
    for offset, length in ((-0.13, 0.16), (-0.045, 0.24), (0.045, 0.25), (0.13, 0.18)):
        distance = np.minimum(distance, _finger_at(x, y * (1 - 0.25 * x), offset, length))
    return distance * a


def _finger(x: Array, y: Array, a: float, b: float) -> Array:
    x, y = x / a, y / b
    distance = np.minimum(_forearm(x + 0.14, y), _finger_at(x, y, 0.06, 0.14))
    return distance * a


_DISTANCES: Mapping[Shape, _Distance] = {
    "ball": _ellipse,
    "block": _box,
    "cloth": _box,
    "bottle": _bottle,
    "cone": _cone,
    "can": _can,
    "stick": _stick,
    "fist": _fist,
    "open hand": _open_hand,
    "finger": _finger,
}
_HANDS = ("fist", "open hand", "finger")
