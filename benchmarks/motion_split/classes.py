"""The classes of Motion-Split, its two halves and its seeds: frozen, see ``label_digest``.

A category is one line below: its coarse name, the pattern of its fine labels, the program that
moves it, and for each modifier the parameter of that program. Head A has the categories of half A
as coarse classes and those of half B as fine classes; head B is the opposite. Modifiers recur
across categories and in both halves, because the benchmark measures the transfer of a modifier from
one category to another.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Half = Literal["A", "B"]
Family = Literal["cnn", "transformer"]
"""Kinds of backbones that are trained; see `model`."""
Split = Literal["train", "unlabelled", "heldout"]

# Seeds of backbones: rules and their settings are chosen on DEV_SEEDS and reported on TEST_SEEDS.
DEV_SEEDS = (0, 1, 2)
TEST_SEEDS = (100, 101, 102, 103, 104)
# A clip's seed is FIRST_CLIP_SEED[split] + backbone seed * CLIPS_PER_SEED + index: no clip is
# in two splits, and no two backbones share a clip.
CLIPS_PER_SEED = 100_000
FIRST_CLIP_SEED: Mapping[Split, int] = {
    "train": 0,
    "unlabelled": 100_000_000,
    "heldout": 200_000_000,
}

# The digest of everything above and of CATEGORIES' texts; a test compares it with label_digest().
FROZEN_DIGEST = "cd14307c02c7fc57031c54c006ff9952d92f0d8bc2b3f914f9d0f8d852fcc73b"


@dataclass(frozen=True)
class Category:
    """A coarse class and its fine classes.

    Attributes:
        coarse: The coarse label.
        half: The half of the benchmark in which it is collapsed.
        pattern: The fine labels' text, with ``{}`` in the place of the modifier.
        program: Name of the function in ``programs`` that moves it.
        parameters: Parameter of the program by modifier.
    """

    coarse: str
    half: Half
    pattern: str
    program: str
    parameters: Mapping[str, Any]

    @property
    def fine(self) -> dict[str, str]:
        """Modifiers by fine label."""
        return {self.pattern.format(modifier): modifier for modifier in self.parameters}


@dataclass(frozen=True)
class FineClass:
    """One fine class, with its label, program and parameter."""

    label: str
    modifier: str
    coarse: str
    half: Half
    program: str
    parameter: Any


# Directions as seen in the picture: x to the right, y up.
_SIDEWAYS = {"left": (-1.0, 0.0), "right": (1.0, 0.0)}
_DIRECTIONS = {**_SIDEWAYS, "up": (0.0, 1.0), "down": (0.0, -1.0)}
_ROTATIONS = {"clockwise": -1.0, "counterclockwise": 1.0}
_RELATIONS = {name: name for name in ("into", "onto", "next to", "behind", "in front of")}
_SOURCES = {
    "out of": "into",
    "off": "onto",
    "from next to": "next to",
    "from behind": "behind",
    "from in front of": "in front of",
}
_OUTCOMES = {name: name for name in ("so that it falls over", "so that it moves")}
_OUTCOMES["without moving it"] = "nothing"
_CYCLES = {"slowly": 1.0, "quickly": 2.6}

CATEGORIES: tuple[Category, ...] = (
    # Half A.
    Category("pushing something", "A", "pushing something {}", "push", _SIDEWAYS),
    Category("throwing something", "A", "throwing something {}", "throw", _DIRECTIONS),
    Category("rolling something", "A", "rolling something {}", "roll", _DIRECTIONS),
    Category("turning the camera", "A", "turning the camera {}", "turn_camera", _DIRECTIONS),
    Category("dropping something", "A", "dropping something {} something", "drop", _RELATIONS),
    Category(
        "pretending to put something somewhere",
        "A",
        "pretending to put something {} something",
        "pretend_to_put",
        _RELATIONS,
    ),
    Category("spinning something", "A", "spinning something {}", "spin", _ROTATIONS),
    Category("stirring something", "A", "stirring something {}", "stir", _ROTATIONS),
    Category("shaking something", "A", "shaking something {}", "shake", _CYCLES),
    Category("swinging something", "A", "swinging something {}", "swing", _CYCLES),
    Category(
        "lifting something", "A", "lifting something {}", "lift", {"a little": 0.22, "a lot": 0.9}
    ),
    Category("hitting something", "A", "hitting something {}", "hit", _OUTCOMES),
    Category(
        "moving something and something",
        "A",
        "moving something and something {} each other",
        "move_two",
        {"closer to": "closer", "away from": "away", "past": "past"},
    ),
    Category(
        "covering something",
        "A",
        "covering something {}",
        "cover",
        {"partly": 0.5, "completely": 1.0},
    ),
    # Half B.
    Category("pulling something", "B", "pulling something {}", "pull", _DIRECTIONS),
    Category("sliding something", "B", "sliding something {}", "slide", _DIRECTIONS),
    Category("carrying something", "B", "carrying something {}", "carry", _DIRECTIONS),
    Category("tipping something over", "B", "tipping something over {}", "tip_over", _SIDEWAYS),
    Category("bouncing something", "B", "bouncing something {}", "bounce", _SIDEWAYS),
    Category(
        "putting something somewhere", "B", "putting something {} something", "put", _RELATIONS
    ),
    Category(
        "taking something from somewhere", "B", "taking something {} something", "take", _SOURCES
    ),
    Category("twisting something", "B", "twisting something {}", "twist", _ROTATIONS),
    Category("rotating the camera", "B", "rotating the camera {}", "rotate_camera", _ROTATIONS),
    Category(
        "moving the camera",
        "B",
        "moving the camera {} something",
        "move_camera",
        {"closer to": 1.9, "away from": 1 / 1.9},
    ),
    Category("squeezing something", "B", "squeezing something {}", "squeeze", _CYCLES),
    Category(
        "lowering something",
        "B",
        "lowering something {}",
        "lower",
        {"a little": 0.22, "a lot": 0.9},
    ),
    Category(
        "stretching something",
        "B",
        "stretching something {}",
        "stretch",
        {"a little": 1.45, "a lot": 2.7},
    ),
    Category("poking something", "B", "poking something {}", "poke", _OUTCOMES),
    Category(
        "uncovering something",
        "B",
        "uncovering something {}",
        "uncover",
        {"partly": 0.5, "completely": 1.0},
    ),
)

FINE_CLASSES: tuple[FineClass, ...] = tuple(
    FineClass(label, modifier, c.coarse, c.half, c.program, c.parameters[modifier])
    for c in CATEGORIES
    for label, modifier in c.fine.items()
)
FINE_LABELS: tuple[str, ...] = tuple(fine.label for fine in FINE_CLASSES)

_MIRROR = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
}


def taxonomy(half: Half | None = None) -> dict[str, dict[str, str]]:
    """Return the categories of one half, or both, as ``{coarse: {fine label: modifier}}``."""
    return {c.coarse: c.fine for c in CATEGORIES if half in (None, c.half)}


def head_labels(half: Half) -> list[str]:
    """Return the classes of head ``half`` in index order: its own half coarse, the other fine."""
    return list(dict.fromkeys(head_label(fine, half) for fine in FINE_CLASSES))


def head_label(fine: FineClass, half: Half) -> str:
    """Return the label of a clip of ``fine`` in head ``half``."""
    return fine.coarse if fine.half == half else fine.label


def mirrored(fine: FineClass) -> str:
    """Return the fine label of a mirrored clip of ``fine``."""
    category = next(c for c in CATEGORIES if c.coarse == fine.coarse)
    return category.pattern.format(_MIRROR.get(fine.modifier, fine.modifier))


def clip_seed(split: Split, seed: int, index: int) -> int:
    """Return the seed of clip ``index`` of a split, for the backbone with seed ``seed``."""
    if not 0 <= index < CLIPS_PER_SEED:
        raise ValueError(f"clip index {index} is not in [0, {CLIPS_PER_SEED})")
    return FIRST_CLIP_SEED[split] + seed * CLIPS_PER_SEED + index


def label_digest() -> str:
    """Return the sha256 over labels, modifiers, halves and seeds in order, without appearance."""
    frozen = {
        "halves": {half: taxonomy(half) for half in get_args(Half)},
        "heads": {half: head_labels(half) for half in get_args(Half)},
        "dev_seeds": DEV_SEEDS,
        "test_seeds": TEST_SEEDS,
        "clips_per_seed": CLIPS_PER_SEED,
        "first_clip_seed": dict(FIRST_CLIP_SEED),
    }
    canonical = json.dumps(frozen, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
