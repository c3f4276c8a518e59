"""The movements of actions: one function per program named in ``classes``.

A program gets an empty stage and its class's parameter, and adds things, hands and camera movement.
``stage.ramp(a, b)`` rises from 0 to 1 between two moments of the action.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.motion_split.moves import (
    FULL_TURN,
    arm_from,
    carry_from_outside,
    draw_cloth,
    fall_over,
    hand_beside,
    hand_on,
    long_thing,
    move_along,
    opposite,
    oscillate,
    path_start,
    patterned_ball,
    place,
    still_life,
    struck_thing,
    tall_thing,
    thing_at_container,
)
from benchmarks.motion_split.scene import (
    HAND_DEPTH,
    Item,
    Stage,
    Vector,
)

# Moving along a direction. The hand distinguishes these: behind what is pushed, ahead of what is
# pulled, on top of what is carried, left behind by what slides, rolls or flies.


def push(stage: Stage, direction: Vector) -> None:
    """Move a thing with a hand behind it."""
    thing = stage.thing()
    move_along(stage, thing, direction, stage.ramp(0.2, 0.85))
    hand_beside(stage, thing, opposite(direction), shape="open hand")
    stage.add(thing)


def pull(stage: Stage, direction: Vector) -> None:
    """Move a thing with a hand ahead of it that holds its edge."""
    thing = stage.thing()
    move_along(stage, thing, direction, stage.ramp(0.2, 0.85))
    hand_beside(stage, thing, direction, shape="fist", overlap=0.0)
    stage.add(thing)


def carry(stage: Stage, direction: Vector) -> None:
    """Move a thing with a hand on it, high above its shadow."""
    thing = stage.thing()
    move_along(stage, thing, direction, stage.ramp(0.25, 0.8))
    thing.z = stage.uniform(0.28, 0.4) * (stage.ramp(0.15, 0.35) - stage.ramp(0.7, 0.85))
    hand_on(stage, thing)
    stage.add(thing)


def slide(stage: Stage, direction: Vector) -> None:
    """Push a thing once; it continues and slows down."""
    thing = stage.thing("block", "cone", "can", "bottle")
    elapsed = np.clip((stage.progress - 0.2) / 0.6, 0, 1)
    length = stage.uniform(1.1, 1.35)
    start = path_start(stage, direction, length)
    place(thing, start, direction, length * (1 - (1 - elapsed) ** 2.2))
    followed = Item(thing.shape, thing.half_size, thing.paint, 0.0, 0.0)
    place(followed, start, direction, 0.28 * length * stage.ramp(0.15, 0.38))
    hand_beside(stage, followed, opposite(direction), shape="open hand", leave=(0.5, 0.85))
    stage.add(thing)


def roll(stage: Stage, direction: Vector) -> None:
    """Roll a patterned ball, without a hand."""
    ball = patterned_ball(stage)
    length = stage.uniform(1.2, 1.6)
    travelled = length * np.clip((stage.progress - 0.12) / 0.8, 0, 1)
    place(ball, path_start(stage, direction, length), direction, travelled)
    ball.angle = stage.uniform(0, 6) - (direction[0] or direction[1]) * travelled / 0.3
    stage.add(ball)


def throw(stage: Stage, direction: Vector) -> None:
    """Throw a thing, which tumbles out of the picture or onto the table."""
    thing = stage.thing()
    swing = stage.ramp(0.12, 0.45)
    flight = np.clip((stage.progress - 0.4) / 0.5, 0, None)
    start_x, start_y = stage.uniform(-0.2, 0.2), stage.uniform(-0.3, 0.0)
    height = 0.75 if direction[1] < 0 else 0.2
    hand_x = start_x + 0.35 * direction[0] * (swing - 0.5)
    hand_z = height + 0.35 * direction[1] * (swing - 0.5) + 0.15 * swing * abs(direction[0])
    thing.x = hand_x + direction[0] * 1.5 * flight
    thing.y = start_y
    arc = 0.9 * flight * (1 - flight) if direction[0] else 0.0
    thing.z = np.maximum(hand_z + arc + direction[1] * 1.7 * flight, 0.0)
    thing.angle = -(direction[0] or stage.sign()) * 4 * flight * (thing.z > 0)
    stage.add_hand(hand_x, start_y, hand_z, leave=None, arrive=None)
    stage.add(thing)


def bounce(stage: Stage, direction: Vector) -> None:
    """Bounce a ball across the table in decreasing arcs."""
    ball = patterned_ball(stage)
    elapsed = np.clip((stage.progress - 0.05) / 0.9, 0, 1)
    length = stage.uniform(1.3, 1.7)
    place(ball, path_start(stage, direction, length), direction, length * elapsed)
    ball.y = ball.y - 0.35
    hops = stage.uniform(2.0, 2.6)
    ball.z = stage.uniform(0.75, 0.95) * (1 - 0.5 * elapsed) * abs(np.cos(math.pi * hops * elapsed))
    ball.angle = -direction[0] * 3 * elapsed
    stage.add(ball)


def tip_over(stage: Stage, direction: Vector) -> None:
    """Tip a tall thing over its lower edge onto its side, by hand."""
    thing = tall_thing(stage)
    thing.y = stage.uniform(-0.35, 0.0)
    x = stage.uniform(-0.2, 0.2) - 0.2 * direction[0]
    fall_over(thing, x, -direction[0], stage.ramp(0.25, 0.75) ** 1.6)
    touch = x - direction[0] * (thing.half_size[0] + 0.06)
    nudge = direction[0] * 0.22 * stage.ramp(0.2, 0.5)
    stage.add_hand(
        touch + nudge, thing.y, 0.15, shape="open hand", clear_of=direction, leave=(0.6, 0.9)
    )
    stage.add(thing)


# The camera.


def turn_camera(stage: Stage, direction: Vector) -> None:
    """Turn the camera over the table, so that everything moves the opposite way."""
    still_life(stage)
    swing = stage.uniform(0.8, 1.15) * (stage.ramp(0.05, 0.95) - 0.5)
    stage.camera.x = stage.camera.x + direction[0] * swing
    stage.camera.y = stage.camera.y + direction[1] * swing


def move_camera(stage: Stage, magnification: float) -> None:
    """Move the camera closer, so that things grow, or away, so that they shrink."""
    still_life(stage)
    start = stage.uniform(0.75, 0.9) if magnification > 1 else stage.uniform(1.4, 1.7)
    stage.camera.zoom = start * magnification ** stage.ramp(0.05, 0.95)


def rotate_camera(stage: Stage, sense: float) -> None:
    """Roll the camera about its axis, so that the picture turns the opposite way."""
    still_life(stage)
    stage.camera.roll = stage.camera.roll - sense * stage.uniform(0.9, 1.4) * (
        stage.ramp(0.05, 0.95) - stage.uniform(0, 1)
    )


# A thing and a container.


def put(stage: Stage, relation: str) -> None:
    """Bring a thing to its place by a hand, which leaves without it."""
    thing = carry_from_outside(stage, relation, 1 - stage.ramp(0.05, 0.55))
    hand_on(stage, thing, arrive=None, leave=(0.65, 0.95))


def take(stage: Stage, relation: str) -> None:
    """Carry a thing out of the picture by a hand that comes for it."""
    thing = carry_from_outside(stage, relation, stage.ramp(0.42, 0.95))
    hand_on(stage, thing, arrive=(0.0, 0.35), leave=None)


def pretend_to_put(stage: Stage, relation: str) -> None:
    """Bring a thing to its place and take it away again, by hand."""
    away = 1 - stage.ramp(0.05, 0.42) + stage.ramp(0.58, 0.95)
    thing = carry_from_outside(stage, relation, away)
    hand_on(stage, thing, arrive=None, leave=None)


def drop(stage: Stage, relation: str) -> None:
    """Drop a thing from a hand high above its place."""
    thing = thing_at_container(stage, relation)
    height = stage.uniform(0.65, 0.85)
    fallen = np.clip((stage.progress - 0.3) / 0.28, 0, None)
    rebound = np.clip((stage.progress - 0.58) / 0.2, 0, 1)
    end_z = thing.z
    thing.z = end_z + height * np.maximum(1 - fallen**2, 0) + 0.3 * rebound * (1 - rebound)
    stage.add_hand(
        thing.x,
        thing.y,
        end_z + height + 0.6 * thing.half_size[1],
        arrive=None,
        leave=(0.5, 0.95),
        arm=stage.arm((0.0, -1.0)),
    )


# Turning and shaking in the hand.


def spin(stage: Stage, sense: float) -> None:
    """Flick a long thing, which turns on the table by itself and slows down."""
    thing = long_thing(stage)
    elapsed = np.clip((stage.progress - 0.15) / 0.8, 0, 1)
    turned = stage.uniform(3.6, 4.8) * (1 - (1 - elapsed) ** 1.6)
    thing.angle = stage.uniform(0, FULL_TURN) + sense * turned
    tip = thing.half_size[1] + 0.1
    stage.add_hand(
        thing.x + tip, thing.y, shape="finger", clear_of=(-1.0, 0.0), arrive=None, leave=(0.1, 0.35)
    )
    stage.add(thing)


def twist(stage: Stage, sense: float) -> None:
    """Twist a thing together with the hand on it by about a quarter turn."""
    thing = long_thing(stage)
    turn = sense * stage.uniform(1.3, 1.8) * stage.ramp(0.2, 0.85)
    thing.angle = stage.uniform(0, FULL_TURN) + turn
    stage.add_hand(thing.x, thing.y, leave=None)
    hand = stage.items[-1]
    hand.angle = hand.angle + 0.5 * turn
    stage.add(thing)


def stir(stage: Stage, sense: float) -> None:
    """Stir with a stick in an open cup, by hand."""
    cup = stage.add_container(closed=False, y=stage.uniform(-0.55, -0.3))
    turned = stage.uniform(0, FULL_TURN) + sense * stage.uniform(7.5, 9.5) * stage.progress
    x = cup.x + 0.24 * np.cos(turned)
    y = cup.y + cup.rim + 0.11 * np.sin(turned)
    stick = Item("stick", (0.045, 0.26), stage.paint(), x, y + 0.2, depth=cup.depth)
    stage.items.append(stick)
    stick.casts_shadow = False
    stage.add_hand(x, y + 0.4, arm=stage.arm(clear_of=(0.0, -1.0)), arrive=None, leave=None)


def shake(stage: Stage, cycles: float) -> None:
    """Shake a thing that a hand holds up."""
    thing = stage.thing()
    swing = stage.uniform(0.2, 0.28) * oscillate(stage, cycles)
    axis = stage.uniform(-0.5, 0.5)
    thing.x = stage.uniform(-0.25, 0.25) + math.cos(axis) * swing
    thing.y = stage.uniform(-0.3, 0.1)
    thing.z = 0.3 + math.sin(axis) * swing
    hand_on(stage, thing, arrive=None, leave=None)
    stage.add(thing)


def swing(stage: Stage, cycles: float) -> None:
    """Swing a thing like a pendulum on a string from a still hand."""
    thing = stage.thing()
    angle = stage.uniform(0.5, 0.75) * oscillate(stage, cycles)
    length = stage.uniform(0.8, 1.0)
    pivot_x, pivot_z = stage.uniform(-0.2, 0.2), 0.95
    thing.y = stage.uniform(-0.35, -0.2)
    thing.x = pivot_x + length * np.sin(angle)
    thing.z = pivot_z - length * np.cos(angle)
    thing.angle = angle
    string = Item("stick", (0.018, length / 2), stage.paint(), 0.0, thing.y, casts_shadow=False)
    string.x = pivot_x + 0.5 * length * np.sin(angle)
    string.z = pivot_z - 0.5 * length * np.cos(angle)
    string.angle = angle
    stage.add(string)
    stage.add_hand(pivot_x, thing.y, pivot_z, arm=stage.arm((0.0, -1.0)), arrive=None, leave=None)
    stage.add(thing)


def squeeze(stage: Stage, cycles: float) -> None:
    """Squeeze a thing between two hands; it becomes narrow and wide again."""
    thing = stage.thing("ball", "block")
    thing.half_size = (stage.uniform(0.27, 0.34), stage.uniform(0.22, 0.28))
    thing.x, thing.y = stage.uniform(-0.2, 0.2), stage.uniform(-0.3, 0.15)
    pressed = 0.5 - 0.5 * np.cos(FULL_TURN * cycles * stage.ramp(0.1, 0.95))
    thing.stretch_x = 1 - 0.6 * pressed
    thing.stretch_y = 1 + 0.3 * pressed
    for side in (-1.0, 1.0):
        touch = thing.x + side * (thing.half_size[0] * thing.stretch_x - 0.02)
        stage.add_hand(
            touch, thing.y, shape="open hand", arm=arm_from(side), arrive=None, leave=None
        )
    stage.add(thing)


# Up, down, longer.


def lift(stage: Stage, height: float) -> None:
    """Lift a thing from the table by a hand, which holds it up."""
    thing = stage.thing()
    thing.x, thing.y = stage.uniform(-0.35, 0.35), stage.uniform(-0.55, -0.4)
    thing.z = height * stage.ramp(0.25, 0.85)
    hand_on(stage, thing, leave=None)
    stage.add(thing)


def lower(stage: Stage, height: float) -> None:
    """Lower a thing to the table by a hand, which leaves it there."""
    thing = stage.thing()
    thing.x, thing.y = stage.uniform(-0.35, 0.35), stage.uniform(-0.55, -0.4)
    thing.z = height * (1 - stage.ramp(0.1, 0.7))
    hand_on(stage, thing, arrive=None)
    stage.add(thing)


def stretch(stage: Stage, factor: float) -> None:
    """Stretch a thing by a hand at each end."""
    thing = stage.thing("block", "can")
    thing.half_size = (stage.uniform(0.2, 0.24), stage.uniform(0.13, 0.18))
    thing.x, thing.y = stage.uniform(-0.12, 0.12), stage.uniform(-0.3, 0.2)
    drawn = stage.ramp(0.15, 0.85)
    thing.stretch_x = 1 + (factor - 1) * drawn
    thing.stretch_y = 1 - 0.2 * (factor - 1) * drawn
    for side in (-1.0, 1.0):
        end = thing.x + side * thing.half_size[0] * thing.stretch_x
        stage.add_hand(end, thing.y, arm=arm_from(side), arrive=None, leave=None)
    stage.add(thing)


# Outcomes.


def hit(stage: Stage, outcome: str) -> None:
    """Hit a thing fast with a stick in a hand."""
    thing, side, touch = struck_thing(stage, outcome, 0.45)
    blow = stage.ramp(0.32, 0.46) - stage.ramp(0.55, 0.9)
    stick_x = touch + side * 0.6 * (1 - blow)
    stick = Item("stick", (0.06, 0.42), stage.paint(), stick_x, thing.y, 0.1)
    stick.angle = -side * (0.9 * (1 - blow) - 0.1)
    stick.depth, stick.casts_shadow = HAND_DEPTH - 1, False
    stage.items.append(stick)
    stage.add_hand(
        stick.x + 0.38 * np.sin(stick.angle),
        thing.y,
        0.1 - 0.38 * np.cos(stick.angle),
        arm=(side * 0.6, -0.8),
        arrive=None,
        leave=None,
    )


def poke(stage: Stage, outcome: str) -> None:
    """Poke a thing with a finger, which approaches, touches it and withdraws."""
    thing, side, touch = struck_thing(stage, outcome, 0.45)
    contact = stage.ramp(0.1, 0.48) - stage.ramp(0.62, 0.95)
    arm = arm_from(side)
    reach = 0.85 * (1 - contact)
    stage.add_hand(
        touch + arm[0] * reach,
        thing.y + arm[1] * reach,
        0.12,
        shape="finger",
        arm=arm,
        arrive=None,
        leave=None,
    )


def move_two(stage: Stage, how: str) -> None:
    """Move two things towards, away from or past each other, by two hands."""
    start, end = {"closer": (0.75, 0.27), "away": (0.27, 0.75), "past": (0.6, -0.6)}[how]
    apart = 0.27 * stage.sign() if how == "past" else 0.0
    middle = stage.uniform(-0.15, 0.15)
    for side in (-1.0, 1.0):
        thing = stage.thing()
        thing.x = middle + side * (start + (end - start) * stage.ramp(0.12, 0.88))
        thing.y = stage.uniform(-0.1, 0.05) + apart * side
        # Things that pass are led from opposite edges of the table, so that no arms cross.
        arm = (0.0, math.copysign(1.0, apart * side)) if apart else (side * 0.5, -0.87)
        stage.add_hand(thing.x, thing.y, arm=arm, arrive=None, leave=None)
        stage.add(thing)


def cover(stage: Stage, share: float) -> None:
    """Draw a cloth over half of a thing or all of it, by hand."""
    draw_cloth(stage, share, 1 - stage.ramp(0.1, 0.8))


def uncover(stage: Stage, share: float) -> None:
    """Draw a cloth off half of a thing or all of it, by hand."""
    draw_cloth(stage, share, stage.ramp(0.2, 0.9), from_covered=True)


PROGRAMS: Mapping[str, Callable[[Stage, Any], None]] = {
    program.__name__: program
    for program in (
        push,
        pull,
        carry,
        slide,
        roll,
        throw,
        bounce,
        tip_over,
        turn_camera,
        move_camera,
        rotate_camera,
        put,
        take,
        pretend_to_put,
        drop,
        spin,
        twist,
        stir,
        shake,
        swing,
        squeeze,
        lift,
        lower,
        stretch,
        hit,
        poke,
        move_two,
        cover,
        uncover,
    )
}
