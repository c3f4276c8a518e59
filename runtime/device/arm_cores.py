"""Name ARM cores by their numbers in /proc/cpuinfo, which holds no names."""

from __future__ import annotations

import re

__all__ = ["name_arm_cores"]

# Implementer, then part, as in Linux's arch/arm64/include/asm/cputype.h and util-linux' lscpu.
CORES = {
    "0x41": {
        "0xd03": "Cortex-A53",
        "0xd04": "Cortex-A35",
        "0xd05": "Cortex-A55",
        "0xd07": "Cortex-A57",
        "0xd08": "Cortex-A72",
        "0xd09": "Cortex-A73",
        "0xd0a": "Cortex-A75",
        "0xd0b": "Cortex-A76",
        "0xd0c": "Neoverse-N1",
        "0xd0d": "Cortex-A77",
        "0xd40": "Neoverse-V1",
        "0xd41": "Cortex-A78",
        "0xd42": "Cortex-A78AE",
        "0xd44": "Cortex-X1",
        "0xd49": "Neoverse-N2",
        "0xd4b": "Cortex-A78C",
        "0xd4f": "Neoverse-V2",
        "0xd83": "Neoverse-V3AE",
        "0xd84": "Neoverse-V3",
    },
    "0x4e": {"0x000": "NVIDIA Denver", "0x003": "NVIDIA Denver 2", "0x004": "NVIDIA Carmel"},
}
ARM = "0x41"


def name_arm_cores(cpuinfo: str) -> str:
    """Return the kinds of cores, as in `Cortex-A57 and NVIDIA Denver 2`; empty without numbers.

    A part without a known name is given by its number: `ARM 0xd99`.
    """
    found = re.findall(
        r"^CPU implementer\s*:\s*(0x\w+)$.*?^CPU part\s*:\s*(0x\w+)$", cpuinfo, re.M | re.S
    )
    return " and ".join(dict.fromkeys(_name(*numbers) for numbers in found))


def _name(implementer: str, part: str) -> str:
    known = CORES.get(implementer, {}).get(part)
    return known or (f"ARM {part}" if implementer == ARM else f"ARM {part} by {implementer}")
