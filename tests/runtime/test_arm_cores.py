"""ARM cores get a name from their numbers; what is unknown keeps the number."""

from pathlib import Path

import pytest

from edgesplit.runtime.device.arm_cores import name_arm_cores
from edgesplit.runtime.device.record import describe_device


def cpuinfo(*cores: tuple[str, str]) -> str:
    """Lines as Linux writes them, of cores with an implementer and a part each."""
    return "".join(
        f"processor\t: {place}\nBogoMIPS\t: 62.50\nFeatures\t: fp asimd\n"
        f"CPU implementer\t: {implementer}\nCPU architecture: 8\nCPU variant\t: 0x0\n"
        f"CPU part\t: {part}\nCPU revision\t: 1\n\n"
        for place, (implementer, part) in enumerate(cores)
    )


@pytest.mark.parametrize(
    ("cores", "name"),
    [
        ([("0x41", "0xd42")] * 12, "Cortex-A78AE"),
        ([("0x41", "0xd0c")], "Neoverse-N1"),
        ([("0x4e", "0x003")] * 2 + [("0x41", "0xd07")] * 4, "NVIDIA Denver 2 and Cortex-A57"),
        ([("0x4e", "0x004")], "NVIDIA Carmel"),
        ([("0x41", "0xd99")], "ARM 0xd99"),
        ([("0x61", "0x022")], "ARM 0x022 by 0x61"),
        ([], ""),
    ],
)
def test_cores_are_named_by_their_numbers(cores: list[tuple[str, str]], name: str) -> None:
    assert name_arm_cores(cpuinfo(*cores)) == name


def test_a_server_without_model_name_or_device_tree_is_named(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(cpuinfo(*[("0x41", "0xd4f")] * 2))
    record = describe_device(tmp_path, lambda command: None)
    assert record.processor == "Neoverse-V2"
    assert record.summary.endswith("2 cores, Neoverse-V2")


def test_a_model_name_comes_first(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("model name\t: Some CPU\n" + cpuinfo(("0x41", "0xd42")))
    assert describe_device(tmp_path, lambda command: None).processor == "Some CPU"
