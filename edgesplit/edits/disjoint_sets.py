"""Things that belong together because a chain of links joins them."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Joined"]


class Joined:
    """Things that were joined, directly or through others: a disjoint-set forest."""

    def __init__(self) -> None:
        self._above: dict[Hashable, Hashable] = {}

    def find(self, thing: Hashable) -> Hashable:
        """The one that stands for all that `thing` is joined with."""
        while (above := self._above.get(thing, thing)) != thing:
            self._above[thing] = self._above.get(above, above)  # half the way for the next one
            thing = above
        return thing

    def join(self, one: Hashable, other: Hashable) -> None:
        """Joins two things, and all that they are joined with."""
        self._above[self.find(other)] = self.find(one)
