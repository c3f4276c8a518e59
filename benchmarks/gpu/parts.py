"""The parts of `make gpu`, in order: the most informative first, because time may run out."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PARTS", "TOTAL_S", "Part", "find_parts"]

TOTAL_S = 480.0
"""Seconds that all parts may take, without making the environment."""


@dataclass(frozen=True)
class Part:
    """A part, which runs in a subprocess."""

    name: str
    """Kind and arguments of the part, as in `cuda demo fp16`."""
    limit_s: float

    @property
    def words(self) -> list[str]:
        """The words of its name."""
        return self.name.split()


def _backends(model: str, backends: tuple[str, ...], limit_s: float) -> list[Part]:
    return [
        Part(f"{backend} {model} {precision}", limit_s)
        for backend in backends
        for precision in ("fp32", "fp16", "int8")
    ]


PARTS: tuple[Part, ...] = (
    Part("packages", 60),
    Part("device", 60),
    *_backends("demo", ("cpu",), 60),
    *_backends("demo", ("cuda",), 60),
    *_backends("demo", ("tensorrt",), 90),
    Part("swaps cpu", 40),
    Part("swaps cuda", 40),
    Part("swaps tensorrt", 40),
    Part("bench", 120),
    *_backends("demo", ("ort-tensorrt",), 60),
    *_backends("vit", ("cpu", "cuda", "tensorrt", "ort-tensorrt"), 60),
    Part("pytest", 60),
)


def find_parts(wanted: str) -> list[Part]:
    """Return the parts whose names begin with one of the given names, as in `cuda,swaps`.

    Raises:
        ValueError: no part's name begins with one of them.
    """
    asked = [name.strip() for name in wanted.split(",") if name.strip()]
    for name in asked:
        if not any(_begins(part, name) for part in PARTS):
            known = ", ".join(part.name for part in PARTS)
            raise ValueError(f"There is no part {name!r}. Give one of {known}.")
    return [part for part in PARTS if not asked or any(_begins(part, name) for name in asked)]


def _begins(part: Part, name: str) -> bool:
    given = name.split()
    return part.words[: len(given)] == given
