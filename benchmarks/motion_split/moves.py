"""Parts of movements that several programs share: paths, grips, falls, containers, cloths."""

import math

import numpy as np

from benchmarks.motion_split.scene import HAND_DEPTH, Array, Container, Item, Shape, Stage, Vector

FULL_TURN = 2 * math.pi


def opposite(direction: Vector) -> Vector:
    """Return the opposite direction."""
    return -direction[0], -direction[1]


def arm_from(side: float) -> Vector:
    """Return the direction of a flat arm from the left (-1) or the right (1)."""
    return 0.94 * side, -0.34


def path_start(stage: Stage, direction: Vector, length: float) -> Vector:
    """Return the start of a path of this length, so that its middle is near the picture's."""
    leftmost = -0.12 - (0.3 - 0.12 * length) * abs(direction[1])
    x = -direction[0] * length / 2 + stage.uniform(leftmost, 0.12)
    y = -direction[1] * length / 2 + stage.uniform(-0.15, 0.15) - 0.08
    return x, y


def place(thing: Item, start: Vector, direction: Vector, travelled: Array) -> None:
    """Move a thing on a straight path, ``travelled`` from its start."""
    thing.x = start[0] + direction[0] * travelled
    thing.y = start[1] + direction[1] * travelled


def move_along(stage: Stage, thing: Item, direction: Vector, ride: Array) -> None:
    """Move a thing across the picture; ``ride`` is the share of the path that it has moved."""
    length = stage.uniform(0.85, 1.2)
    place(thing, path_start(stage, direction, length), direction, length * ride)


def hand_beside(
    stage: Stage,
    thing: Item,
    side: Vector,
    *,
    shape: Shape,
    overlap: float = -0.08,
    leave: tuple[float, float] = (0.88, 1.0),
) -> None:
    """Add a hand that touches the thing on one side and moves with it."""
    gap_x, gap_y = (half - overlap for half in thing.half_size)
    stage.add_hand(
        thing.x + side[0] * gap_x,
        thing.y + side[1] * gap_y,
        shape=shape,
        clear_of=opposite(side),
        leave=leave,
    )


def hand_on(
    stage: Stage,
    thing: Item,
    *,
    arrive: tuple[float, float] | None = (0.0, 0.18),
    leave: tuple[float, float] | None = (0.88, 1.0),
) -> None:
    """Add a hand that grips the thing near its top."""
    stage.add_hand(
        thing.x,
        thing.y,
        thing.z + 0.5 * thing.half_size[1],
        arrive=arrive,
        leave=leave,
        arm=stage.arm(clear_of=(0.0, -1.0)),
    )


def patterned_ball(stage: Stage) -> Item:
    """Return a ball, nearly always with a pattern that shows its rotation."""
    ball = stage.thing("ball")
    patterns = [stage.paint() for _ in range(4)]
    ball.paint = next((p for p in patterns if p.pattern in ("halves", "stripes")), ball.paint)
    return ball


def tall_thing(stage: Stage) -> Item:
    """Return a thing that can fall over."""
    thing = stage.thing("bottle", "block", "can")
    thing.half_size = (stage.uniform(0.13, 0.17), stage.uniform(0.32, 0.4))
    return thing


def long_thing(stage: Stage) -> Item:
    """Return a long thing that lies in the middle, seen from above."""
    thing = stage.thing("bottle", "block", "cone")
    thing.half_size = (stage.uniform(0.13, 0.17), stage.uniform(0.36, 0.44))
    thing.x, thing.y = stage.uniform(-0.2, 0.2), stage.uniform(-0.2, 0.2)
    thing.casts_shadow = False
    return thing


def still_life(stage: Stage) -> None:
    """Add a few things to film, spread beyond the edges of the picture."""
    for x in (-0.9, -0.3, 0.3, 0.9):
        if stage.rng.random() < 0.75:
            thing = stage.thing()
            thing.x, thing.y = x + stage.uniform(-0.2, 0.2), stage.uniform(-0.7, 0.5)
            stage.add(thing)


def oscillate(stage: Stage, cycles: float) -> Array:
    """Return about ``cycles`` cycles between -1 and 1 over the action, from a random phase."""
    cycles *= stage.uniform(0.88, 1.12)
    phase = stage.uniform(0, FULL_TURN)
    swing: Array = np.sin(phase + FULL_TURN * cycles * stage.progress)
    return swing


def thing_at_container(stage: Stage, relation: str) -> Item:
    """Add a container, and a thing at rest in, on, next to, behind or in front of it."""
    closed = relation == "onto" or (relation != "into" and stage.rng.random() < 0.5)
    box = stage.add_container(closed=closed)
    thing = stage.thing()
    thing.x, thing.y, thing.z, thing.depth = _spot(stage, relation, box, thing.half_size)
    thing.casts_shadow = relation not in ("into", "onto")
    stage.items.append(thing)
    return thing


def _spot(
    stage: Stage, relation: str, box: Container, half_size: Vector
) -> tuple[float, float, float, float]:
    """Return the place (x, y, z) where a thing rests, and its painting depth."""
    half_width, half_height = half_size
    aside = stage.uniform(-0.1, 0.1)
    foot = box.y + half_height
    if relation == "into":
        return box.x + aside, foot, box.rim - 1.05 * half_height, box.depth
    if relation == "onto":
        return box.x + aside, foot, box.rim - 0.09, box.depth
    if relation == "behind":
        return box.x + 2 * aside, foot + 0.46, 0.0, box.depth - 0.46
    if relation == "in front of":
        return box.x + 2 * aside, foot - 0.26, 0.0, box.depth + 0.3
    beside = stage.sign() * (box.half_width + half_width + 0.08)
    return box.x + beside, foot - 0.02, 0.0, box.depth


def carry_from_outside(stage: Stage, relation: str, away: Array) -> Item:
    """Add a thing at a container (``away`` 0) or out of the picture (1), in a high arc between."""
    thing = thing_at_container(stage, relation)
    turn = stage.uniform(-1.0, 1.0)
    lifted = np.clip(away / 0.45, 0, 1)
    out = np.clip((away - 0.25) / 0.75, 0, 1)
    thing.x = thing.x + 1.5 * math.sin(turn) * out
    thing.z = thing.z + 0.6 * lifted + 1.2 * math.cos(turn) * out
    return thing


def fall_over(thing: Item, x: float, sense: float, fallen: Array) -> None:
    """Turn a thing that stands at ``x`` about its lower corner until it lies."""
    half_width, half_height = thing.half_size
    angle = sense * (math.pi / 2) * fallen
    corner = x - sense * half_width
    from_corner_x, from_corner_y = sense * half_width, half_height
    thing.x = corner + from_corner_x * np.cos(angle) - from_corner_y * np.sin(angle)
    thing.z = from_corner_x * np.sin(angle) + from_corner_y * np.cos(angle) - half_height
    thing.angle = angle


def struck_thing(stage: Stage, outcome: str, moment: float) -> tuple[Item, float, float]:
    """Add a tall thing; return it, the side of the touch (-1 or 1), and the x of the touch."""
    thing = tall_thing(stage)
    side = stage.sign()
    x = stage.uniform(-0.2, 0.2) + 0.25 * side
    thing.x, thing.y = x, stage.uniform(-0.35, 0.05)
    touch = x + side * (thing.half_size[0] + 0.05)
    after = np.clip((stage.progress - moment) / 0.35, 0, 1)
    if outcome == "so that it falls over":
        fall_over(thing, x, side, after**1.4)
    elif outcome == "so that it moves":
        thing.x = x - side * stage.uniform(0.55, 0.7) * (1 - (1 - after) ** 2)
    stage.add(thing)
    return thing, side, touch


def draw_cloth(stage: Stage, share: float, away: Array, *, from_covered: bool = False) -> None:
    """Add a cloth that slides along the table, between beside the thing and over it."""
    thing = stage.thing("ball", "block")
    thing.x, thing.y = stage.uniform(-0.2, 0.2), stage.uniform(-0.15, 0.15)
    stage.add(thing)
    side = stage.sign()
    half_width = thing.half_size[0] + 0.16
    edge = share * 2 * half_width
    offset = edge * away if from_covered else 2 * half_width - edge * (1 - away)
    offset = offset + (0.5 * away if share == 1.0 else 0.0)
    cloth = Item("cloth", (half_width, thing.half_size[1] + 0.14), stage.paint(), 0.0, thing.y)
    cloth.x = thing.x + side * offset
    cloth.depth, cloth.casts_shadow = HAND_DEPTH - 1, False
    stage.items.append(cloth)
    leading = -side if not from_covered else side
    corner_x = cloth.x + leading * (half_width - 0.05)
    corner_y = thing.y - cloth.half_size[1] + 0.1
    stage.add_hand(corner_x, corner_y, arm=(leading * 0.3, -0.95), arrive=None, leave=None)
