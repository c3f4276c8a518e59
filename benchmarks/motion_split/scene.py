"""The content of a clip: items on a table with their tracks, a hand, and a camera.

All units are such that the picture spans [-1, 1] in both directions: x to the right, y up along the
table, z up from the table. The table is seen from above at a slant, so a point appears at
(x, y + z), and a thing nearer to the viewer has a smaller y. A *track* is one float32 per frame.

A seed determines a scene for any number of frames: random draws are scalars, and tracks are
functions of time.
"""

import colorsys
import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Track: TypeAlias = Array | float
Vector: TypeAlias = tuple[float, float]
Shape = Literal[
    "ball", "block", "bottle", "cone", "can", "stick", "cloth", "fist", "open hand", "finger"
]
Pattern = Literal["plain", "stripes", "dots", "halves"]

SKINS = ((0.95, 0.78, 0.66), (0.86, 0.65, 0.5), (0.7, 0.5, 0.36), (0.48, 0.32, 0.22))
TABLES = (
    (0.62, 0.45, 0.3),
    (0.78, 0.68, 0.54),
    (0.45, 0.47, 0.5),
    (0.85, 0.85, 0.83),
    (0.35, 0.5, 0.42),
    (0.4, 0.48, 0.62),
    (0.3, 0.24, 0.21),
)
HAND_DEPTH = 10.0  # over everything else on the table


@dataclass(frozen=True)
class Paint:
    """Two colours and their pattern, in the item's own coordinates."""

    colour: tuple[float, float, float]
    second: tuple[float, float, float]
    pattern: Pattern = "plain"
    frequency: float = 10.0
    direction: Vector = (1.0, 0.0)


@dataclass(eq=False)
class Item:
    """One thing in the picture: a flat shape that moves, turns and stretches.

    Attributes:
        half_size: Half width and half height.
        x, y, z: Tracks of its centre.
        angle: Track, counterclockwise, radians.
        stretch_x, stretch_y: Tracks that multiply the half sizes.
        depth: Items are painted in the order of increasing depth.
        casts_shadow: True if it casts a shadow on the table.
    """

    shape: Shape
    half_size: Vector
    paint: Paint
    x: Track
    y: Track
    z: Track = 0.0
    angle: Track = 0.0
    stretch_x: Track = 1.0
    stretch_y: Track = 1.0
    depth: float = 0.0
    casts_shadow: bool = True


@dataclass(eq=False)
class Camera:
    """The camera's view (x, y), zoom and roll (clockwise, radians), as tracks."""

    x: Track = 0.0
    y: Track = 0.0
    zoom: Track = 1.0
    roll: Track = 0.0


@dataclass(frozen=True)
class Container:
    """A box, cup or tray on the table; ``y`` is its foot, ``rim`` the height of its opening."""

    x: float
    y: float
    half_width: float
    rim: float

    @property
    def depth(self) -> float:
        """The painting depth of a thing inside."""
        return -self.y


@dataclass(frozen=True)
class Surroundings:
    """Table, wall and light of a clip."""

    table: tuple[float, float, float]
    wall: tuple[float, float, float]
    wall_y: float
    grain: tuple[tuple[float, float, float, float], ...]
    gain: float
    gamma: float
    tint: tuple[float, float, float]
    slope: Vector
    light: Vector
    noise: float


@dataclass(eq=False)
class Stage:
    """A scene under construction: programs draw from ``rng`` and put items on it.

    Args:
        rng: The only source of random numbers.
        n_frames: Number of frames, at the middles of equal parts of the clip.
    """

    rng: np.random.Generator
    n_frames: int
    items: list[Item] = field(default_factory=list)
    camera: Camera = field(default_factory=Camera)
    surroundings: Surroundings = field(init=False)
    progress: Array = field(init=False)
    skin_and_sleeve: Paint = field(init=False)
    hand_size: float = field(init=False)

    def __post_init__(self) -> None:
        # The action starts late, ends early and speeds up or slows down, as people do.
        clip_time = (np.arange(self.n_frames) + 0.5) / self.n_frames
        start, stop = self.uniform(0.0, 0.1), self.uniform(0.9, 1.0)
        elapsed = np.clip((clip_time - start) / (stop - start), 0, 1)
        self.progress = elapsed ** self.uniform(0.85, 1.18)
        self.surroundings = self._surroundings()
        self._hold_camera(clip_time)
        skin = SKINS[self.rng.integers(len(SKINS))]
        sleeve = _colour(self.uniform(0, 1), self.uniform(0.1, 0.9), self.uniform(0.2, 0.8))
        self.skin_and_sleeve = Paint(skin, sleeve)
        self.hand_size = self.uniform(0.95, 1.15)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number between ``low`` and ``high``."""
        return float(self.rng.uniform(low, high))

    def sign(self) -> float:
        """Draw -1 or 1."""
        return float(self.rng.choice((-1.0, 1.0)))

    def ramp(self, start: float, stop: float) -> Array:
        """Return a track that rises smoothly from 0 to 1 between two moments of the action."""
        return smooth((self.progress - start) / (stop - start))

    def paint(self) -> Paint:
        """Draw colours and a pattern."""
        hue, turn = self.uniform(0, 1), self.uniform(0, math.pi)
        colour = _colour(hue, self.uniform(0.35, 1.0), self.uniform(0.35, 1.0))
        second = _colour(hue + self.uniform(0.25, 0.75), self.uniform(0, 1), self.uniform(0.2, 1))
        pattern: Pattern = self.rng.choice(("plain", "stripes", "dots", "halves"))
        direction = (math.cos(turn), math.sin(turn))
        return Paint(colour, second, pattern, self.uniform(12, 24), direction)

    def thing(self, *shapes: Shape) -> Item:
        """Draw a thing at the origin, without adding it to the stage."""
        shape: Shape = self.rng.choice(shapes or ("block", "ball", "bottle", "cone", "can"))
        height = self.uniform(0.19, 0.27)
        slimness = {"ball": 1.0, "block": self.uniform(0.7, 1.3)}.get(shape, self.uniform(0.5, 0.7))
        return Item(shape, (height * slimness, height), self.paint(), 0.0, 0.0)

    def add(self, item: Item) -> Item:
        """Add an item to the stage, with the depth of its place on the table."""
        if item.depth == 0.0:
            item.depth = -float(np.mean(item.y)) + item.half_size[1]
        self.items.append(item)
        return item

    def add_hand(
        self,
        x: Track,
        y: Track,
        z: Track = 0.0,
        *,
        shape: Shape = "fist",
        clear_of: Vector = (0.0, 0.0),
        arm: Vector | None = None,
        arrive: tuple[float, float] | None = (0.0, 0.18),
        leave: tuple[float, float] | None = (0.85, 1.0),
        depth: float = HAND_DEPTH,
    ) -> Vector:
        """Add a hand whose fingers are at (x, y, z) from its arrival to its departure.

        Args:
            x: Track of the fingers.
            y: Track of the fingers.
            z: Track of the fingers.
            shape: Shape of the hand.
            clear_of: Unit direction from the fingers to the thing that the arm should not cover.
            arm: Direction from the fingers to the elbow; by default random, from below the picture.
            arrive: Moments of the action between which it arrives; None: present from the start.
            leave: Moments between which it leaves; None: it stays.
            depth: Painting depth.

        Returns:
            The arm's direction.
        """
        towards = arm or self.arm(clear_of)
        away = np.zeros(self.n_frames)
        if arrive:
            away = away + 1 - self.ramp(*arrive)
        if leave:
            away = away + self.ramp(*leave)
        reach = 1.9 * away
        angle = math.atan2(-towards[1], -towards[0])
        self.items.append(
            Item(
                shape,
                (self.hand_size, self.hand_size),
                self.skin_and_sleeve,
                x + towards[0] * reach,
                y + towards[1] * reach,
                z,
                angle,
                depth=depth,
                casts_shadow=False,
            )
        )
        return towards

    def arm(self, clear_of: Vector = (0.0, 0.0)) -> Vector:
        """Draw an arm direction from the viewer's side, or else from across the table."""
        turn = self.uniform(-0.85, 0.85)
        arm = (math.sin(turn), -math.cos(turn))
        covers = arm[0] * clear_of[0] + arm[1] * clear_of[1] > 0.6
        return (arm[0], -arm[1]) if covers else arm

    def add_container(self, *, closed: bool, y: float | None = None) -> Container:
        """Add a box, cup or tray near the middle; with a lid if ``closed``."""
        round_rim = bool(self.rng.random() < 0.5)
        box = Container(
            self.uniform(-0.3, 0.3),
            self.uniform(-0.62, -0.45) if y is None else y,
            self.uniform(0.34, 0.44),
            self.uniform(0.3, 0.38),
        )
        paint = self.paint()
        lip = 0.13
        dark = Paint(_shade(paint.colour, 0.35), _shade(paint.colour, 0.3))
        lid = Paint(_shade(paint.colour, 1.25), paint.colour)
        rim_shape: Shape = "ball" if round_rim else "block"
        rim_y = box.y + box.rim
        front_height = (box.rim - 0.3 * lip) / 2
        back = Item(rim_shape, (box.half_width, lip), lid if closed else dark, box.x, rim_y)
        front = Item("block", (box.half_width, front_height), paint, box.x, box.y + front_height)
        back.depth, back.casts_shadow = box.depth - 0.05, False
        front.depth = box.depth + (-0.06 if closed else 0.05)
        self.items += [back, front]
        return box

    def add_distractors(self) -> None:
        """Add up to two things that stand still near the edges of the table."""
        for _ in range(int(self.rng.integers(0, 3))):
            item = self.thing()
            item.half_size = (item.half_size[0] * 0.7, item.half_size[1] * 0.7)
            item.x = self.sign() * self.uniform(0.65, 1.1)
            item.y = self.uniform(-0.4, 0.9)
            self.add(item)

    def _hold_camera(self, clip_time: Array) -> None:
        """Move the camera as if hand-held: a slow drift and a little shake."""
        phases = self.rng.uniform(0, 2 * math.pi, 6)
        shake = self.uniform(0.0, 0.02)
        drift = [
            np.sin(2 * math.pi * rate * clip_time + phase)
            for rate, phase in zip((0.4, 0.5, 0.3, 2.1, 2.7, 1.6), phases, strict=True)
        ]
        self.camera = Camera(
            self.uniform(-0.06, 0.06) + shake * (2 * drift[0] + drift[3]),
            self.uniform(-0.06, 0.06) + shake * (2 * drift[1] + drift[4]),
            self.uniform(0.92, 1.06) + 0.5 * shake * drift[2],
            self.uniform(-0.05, 0.05) + 0.5 * shake * drift[5],
        )

    def _surroundings(self) -> Surroundings:
        grain = []
        for _ in range(3):
            turn, frequency = self.uniform(0, math.pi), self.uniform(3, 9)
            wave = (frequency * math.cos(turn), frequency * math.sin(turn))
            grain.append((*wave, self.uniform(0, 6.3), self.uniform(0.03, 0.09)))
        red, green, blue = TABLES[self.rng.integers(len(TABLES))]
        light = self.uniform(0, 2 * math.pi)
        return Surroundings(
            table=(red, green, blue),
            wall=_colour(self.uniform(0, 1), self.uniform(0, 0.4), self.uniform(0.3, 0.95)),
            wall_y=self.uniform(0.72, 1.3),
            grain=tuple(grain),
            gain=self.uniform(0.8, 1.1),
            gamma=self.uniform(0.85, 1.2),
            tint=(self.uniform(0.93, 1.05), 1.0, self.uniform(0.9, 1.05)),
            slope=(self.uniform(-0.14, 0.14), self.uniform(-0.14, 0.14)),
            light=(math.cos(light), math.sin(light)),
            noise=self.uniform(0.0, 0.025),
        )


def smooth(share: Array) -> Array:
    """Return 0 below 0, 1 above 1, and a smooth step between them."""
    clipped = np.clip(share, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)


def _shade(colour: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    red, green, blue = colour
    return min(red * factor, 1.0), min(green * factor, 1.0), min(blue * factor, 1.0)


def _colour(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(hue % 1, saturation, value)
