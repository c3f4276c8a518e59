"""Parse the output of tegrastats and nvpmodel, and nv_tegra_release. Pure functions.

None of them raises on a damaged text: they return the parts that could be read, and None or nothing
for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "PowerMode",
    "jetpack_of",
    "parse_l4t",
    "parse_power_mode",
    "parse_power_modes",
    "parse_tegrastats",
    "total_mw",
]

_JETPACKS = {
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5.0": "6.2.2",
    "36.5.2": "6.2.3",
    "38.2": "7.0",
    "38.4.0": "7.1",
    "39.2.0": "7.2",
    "39.2.1": "7.2.1",
    "39.2.2": "7.2.2",
}
"""JetPack version by L4T version; an L4T with two numbers means all releases of that series."""

_TOTAL_RAIL = "VDD_IN"
_PART_RAILS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
"""The rails that add up to the module: one on Orin Nano and NX, three on AGX Orin.

The rails that add up on Thor are not known, so Thor has no total.
"""

_RAIL = re.compile(r"(?<!\S)([A-Z]\w*) (\d{1,9})mW(?:/\d{1,9}mW){0,2}(?!\S)")


@dataclass(frozen=True, slots=True)
class PowerMode:
    """A power mode of nvpmodel. Ids differ between boards, names do not."""

    name: str
    id: int

    @property
    def rank(self) -> tuple[int, int]:
        """A sort key that grows with the power limit in the mode's name."""
        if "MAXN" in self.name.upper():
            return 1, int("SUPER" in self.name.upper())
        watts = re.search(r"(\d{1,4})W", self.name.upper())
        return 0, int(watts[1]) if watts else 0


def parse_tegrastats(line: str) -> dict[str, int]:
    """Return the current milliwatts by rail from a line of tegrastats, without averages."""
    return {found[1]: int(found[2]) for found in _RAIL.finditer(line)}


def total_mw(powers: Mapping[str, int]) -> int | None:
    """Return the power of the module in milliwatts; None if its rails are incomplete or unknown.

    Args:
        powers: milliwatts by rail.
    """
    if _TOTAL_RAIL in powers:
        return powers[_TOTAL_RAIL]
    if all(rail in powers for rail in _PART_RAILS):
        return sum(powers[rail] for rail in _PART_RAILS)
    return None


def parse_power_mode(text: str) -> PowerMode | None:
    """Return the mode that `nvpmodel -q` reports; skip warnings before it and `NVPM VERB:`."""
    found = re.search(r"NV Power Mode:[ \t]*(\S+)", text)
    if not found:
        return None
    number = re.search(r"^[^\S\n]*([0-9]{1,4})[^\S\n]*$", text[found.end() :], re.MULTILINE)
    return PowerMode(found[1], int(number[1])) if number else None


def parse_power_modes(text: str) -> tuple[PowerMode, ...]:
    """Return the modes of `/etc/nvpmodel.conf`, in its order."""
    lines = re.finditer(r"^\s*<\s*POWER_MODEL\s+ID=([0-9]{1,4})\s+NAME=(\S+?)\s*>", text, re.M)
    return tuple(PowerMode(found[2], int(found[1])) for found in lines)


def parse_l4t(text: str) -> str | None:
    """Return the release of Linux for Tegra, as in `36.4.7`, from `/etc/nv_tegra_release`."""
    found = re.search(r"# R([0-9]+) \(release\), REVISION: ([0-9]+(?:\.[0-9]+)*)", text)
    return f"{found[1]}.{found[2]}" if found else None


def jetpack_of(l4t: str) -> str | None:
    """Return the JetPack version of an L4T version; None if the table does not have it."""
    series = ".".join(l4t.split(".")[:2])
    release = l4t if l4t != series else f"{series}.0"
    return _JETPACKS.get(release) or _JETPACKS.get(series)
