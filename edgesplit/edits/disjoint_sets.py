"""A disjoint-set forest: connected components of joined items."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Joined"]


class Joined:
    """Sets of items that were joined, directly or through other items."""

    def __init__(self) -> None:
        self._above: dict[Hashable, Hashable] = {}

    def find(self, thing: Hashable) -> Hashable:
        """Return the representative of the set that contains `thing`."""
        while (above := self._above.get(thing, thing)) != thing:
            self._above[thing] = self._above.get(above, above)  # path halving
            thing = above
        return thing

    def join(self, one: Hashable, other: Hashable) -> None:
        """Join the sets of two items."""
        self._above[self.find(other)] = self.find(one)
