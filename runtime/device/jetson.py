"""What a Jetson says of itself, parsed: tegrastats, nvpmodel, nv_tegra_release. Pure functions.

None of them raises on a damaged text: what could be read is returned, and None for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass

__all__ = [
    "Core",
    "Power",
    "PowerMode",
    "Sample",
    "jetpack_of",
    "parse_l4t",
    "parse_power_mode",
    "parse_power_modes",
    "parse_tegrastats",
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
"""By L4T; one without a last number stands for all of them."""

_WHOLE = "VDD_IN"
_PARTS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
"""The rails that add up to the module: one on Orin Nano and NX, three on AGX Orin.

What adds up to Thor's has not been established, so Thor has no total.
"""

_UNPOPULATED_C = -256

_MEMORY = re.compile(r"\b(RAM|SWAP) (\d{1,9})/(\d{1,9})MB")
_CPU = re.compile(r"\bCPU \[([^\]]*)\](?:@(\d{1,6}))?")
_CORE = re.compile(r"(\d{1,3})%(?:@(\d{1,6}))?")
_EMC = re.compile(r"\bEMC_FREQ (?:(\d{1,3})%)?(?:@(\d{1,6}))?")
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d{1,3})%)?(?:@\[?([\w,]{1,60})\]?)?")
_HEAT = re.compile(r"(?<!\S)([A-Za-z]\w*)@(-?\d{1,4}(?:\.\d+)?)C(?:/-?\d{1,4}(?:\.\d+)?C)?(?!\S)")
_RAIL = re.compile(r"(?<!\S)([A-Z]\w*) (\d{1,9})mW(?:/(\d{1,9})mW)?(?:/(\d{1,9})mW)?(?!\S)")


@dataclass(frozen=True, slots=True)
class Power:
    """One rail, in milliwatts."""

    now_mw: int
    average_mw: int | None
    max_mw: int | None
    """Since tegrastats started; JetPack 6 does not say."""


@dataclass(frozen=True, slots=True)
class Core:
    """One core that is on."""

    load_percent: int
    mhz: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of tegrastats. None, or an empty field, is what it did not say."""

    ram_used_mb: int | None
    ram_total_mb: int | None
    swap_used_mb: int | None
    swap_total_mb: int | None
    cores: tuple[Core | None, ...]
    """None is a core that is off."""
    gpu_load_percent: int | None
    gpu_mhz: tuple[int, ...]
    """Of each cluster that is on; only root is told, but on Thor."""
    memory_load_percent: int | None
    memory_mhz: int | None
    temperatures_c: Mapping[str, float]
    """By sensor, in lower case; without those that are not populated."""
    powers: Mapping[str, Power]

    @property
    def total_mw(self) -> int | None:
        """The power of the whole module; None when no known set of rails gives it."""
        if _WHOLE in self.powers:
            return self.powers[_WHOLE].now_mw
        if all(rail in self.powers for rail in _PARTS):
            return sum(self.powers[rail].now_mw for rail in _PARTS)
        return None


@dataclass(frozen=True, slots=True)
class PowerMode:
    """One of the modes that nvpmodel sets. Ids differ between boards: go by the name."""

    name: str
    id: int

    @property
    def rank(self) -> tuple[int, int]:
        """Grows with the power that the mode may draw, as far as its name says."""
        if "MAXN" in self.name.upper():
            return 1, int("SUPER" in self.name.upper())
        watts = re.search(r"(\d{1,4})W", self.name.upper())
        return 0, int(watts[1]) if watts else 0


def parse_tegrastats(line: str) -> Sample | None:
    """What a line of tegrastats says; None when it says nothing that is known."""
    memory = {found[1]: (int(found[2]), int(found[3])) for found in _MEMORY.finditer(line)}
    ram, swap = (memory.get(name, (None, None)) for name in ("RAM", "SWAP"))
    cpu, emc, gpu = _CPU.search(line), _EMC.search(line), _GPU.search(line)
    sample = Sample(
        ram_used_mb=ram[0],
        ram_total_mb=ram[1],
        swap_used_mb=swap[0],
        swap_total_mb=swap[1],
        cores=_cores(cpu[1], _number(cpu[2])) if cpu else (),
        gpu_load_percent=_number(gpu[1]) if gpu else None,
        gpu_mhz=tuple(map(int, re.findall(r"\b\d{1,6}\b", gpu[2] or ""))) if gpu else (),
        memory_load_percent=_number(emc[1]) if emc else None,
        memory_mhz=_number(emc[2]) if emc else None,
        temperatures_c={
            found[1].lower(): float(found[2])
            for found in _HEAT.finditer(line)
            if float(found[2]) != _UNPOPULATED_C
        },
        powers={
            found[1]: Power(int(found[2]), _number(found[3]), _number(found[4]))
            for found in _RAIL.finditer(line)
        },
    )
    said = astuple(sample)
    return sample if any(part not in (None, (), {}) for part in said) else None


def _cores(text: str, mhz: int | None) -> tuple[Core | None, ...]:
    """Of `15%@729,off`, or `15%,off` where one clock is all cores'.

    A core that cannot be read ends the list, as the rest would be misplaced.
    """
    cores: list[Core | None] = []
    for part in text.split(","):
        found = _CORE.fullmatch(part.strip())
        if found:
            cores.append(Core(int(found[1]), _number(found[2]) or mhz))
        elif part.strip() == "off":
            cores.append(None)
        else:
            break
    return tuple(cores)


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def parse_power_mode(text: str) -> PowerMode | None:
    """The mode that is set, from `nvpmodel -q`; warnings before it and `NVPM VERB:` are skipped."""
    found = re.search(r"NV Power Mode:[ \t]*(\S+)", text)
    if not found:
        return None
    number = re.search(r"^[^\S\n]*([0-9]{1,4})[^\S\n]*$", text[found.end() :], re.MULTILINE)
    return PowerMode(found[1], int(number[1])) if number else None


def parse_power_modes(text: str) -> tuple[PowerMode, ...]:
    """The modes that there are, from `/etc/nvpmodel.conf`, in its order."""
    lines = re.finditer(r"^\s*<\s*POWER_MODEL\s+ID=([0-9]{1,4})\s+NAME=(\S+?)\s*>", text, re.M)
    return tuple(PowerMode(found[2], int(found[1])) for found in lines)


def parse_l4t(text: str) -> str | None:
    """The release of Linux for Tegra, as in `36.4.7`, from `/etc/nv_tegra_release`."""
    found = re.search(r"# R([0-9]+) \(release\), REVISION: ([0-9]+(?:\.[0-9]+)*)", text)
    return f"{found[1]}.{found[2]}" if found else None


def jetpack_of(l4t: str) -> str | None:
    """The JetPack that an L4T belongs to; None for one that is newer, or older, than this table."""
    series = ".".join(l4t.split(".")[:2])
    whole = l4t if l4t != series else f"{series}.0"
    return _JETPACKS.get(whole) or _JETPACKS.get(series)
