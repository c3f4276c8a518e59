"""What Jetsons say of themselves, as captured on real ones, and damaged."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.runtime.device.jetson import (
    PowerMode,
    jetpack_of,
    parse_l4t,
    parse_power_mode,
    parse_power_modes,
    parse_tegrastats,
    total_mw,
)

CAPTURED = Path(__file__).parents[1] / "data" / "jetson"
LINES = {file.stem.partition("_")[2]: file.read_text() for file in CAPTURED.glob("tegrastats_*")}

# Not captured.
THOR = (
    "RAM 4000/125000MB (lfb 9x4MB) CPU [3%,8%,off]@2000 EMC_FREQ @4000 "
    "GR3D_FREQ @[1500,1500,1200] cpu@45.5C/46.5C gpu@-256C VDD_GPU 6000mW/6100mW/6200mW"
)


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("orin_nano_jp6", 12479),  # VDD_IN, which holds the other rails
        ("orin_nano_jp7", 3462),
        ("agx_orin_jp72", 5139 + 3268 + 5500),  # no rail is the whole
    ],
)
def test_total_power_counts_every_rail_once(name: str, total: int) -> None:
    assert total_mw(parse_tegrastats(LINES[name])) == total


def test_every_rail_of_a_captured_line_is_read() -> None:
    assert parse_tegrastats(LINES["orin_nano_jp6"]) == {
        "VDD_IN": 12479,
        "VDD_CPU_GPU_CV": 4667,
        "VDD_SOC": 2817,
    }


def test_jetpack_7_adds_the_largest_power_after_the_average() -> None:
    assert "VDD_IN 3462mW/3522mW/3582mW" in LINES["orin_nano_jp7"]
    assert parse_tegrastats(LINES["orin_nano_jp7"])["VDD_IN"] == 3462


def test_thor_has_rails_and_no_total() -> None:
    assert parse_tegrastats(THOR) == {"VDD_GPU": 6000}
    assert total_mw(parse_tegrastats(THOR)) is None


def test_a_user_without_root_is_told_the_power() -> None:
    line = "RAM 1/2MB CPU [15%@729,off,8%@729] GR3D_FREQ 5% CPU@50C VDD_IN 4000mW/4000mW"
    assert total_mw(parse_tegrastats(line)) == 4000


@pytest.mark.parametrize("rail", ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"])
def test_a_missing_rail_leaves_the_total_unknown(rail: str) -> None:
    powers = parse_tegrastats(LINES["agx_orin_jp72"].replace(rail, "OTHER"))
    assert total_mw(powers) is None
    assert len(powers) == 3


def test_a_torn_line_gives_no_power_that_is_not_whole() -> None:
    line = LINES["orin_nano_jp6"]
    assert parse_tegrastats(line[: line.index("VDD_IN 12479") + len("VDD_IN 124")]) == {}
    whole = line.index("VDD_SOC")
    assert parse_tegrastats(line[: whole + len("VDD_SOC 28")]).keys() == {
        "VDD_IN",
        "VDD_CPU_GPU_CV",
    }


@pytest.mark.parametrize(
    "line", ["", "tegrastats: command not found", "GR3D_FREQ", "VDD_IN", "VDD_IN 5W"]
)
def test_a_line_that_says_nothing_has_no_power(line: str) -> None:
    assert parse_tegrastats(line) == {}


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A real line with pieces cut out and others put in."""
    line = draw(st.sampled_from([*LINES.values(), THOR]))
    for _ in range(draw(st.integers(0, 6))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(line))] * 2)))
        line = line[:start] + draw(st.text(max_size=9)) + line[end:]
    return line


@given(st.one_of(damaged(), st.text(alphabet="RAMCPUGVDIN@[]%,/ 0123456789mWC.-٣", max_size=200)))
def test_no_damage_makes_a_parser_raise(text: str) -> None:
    total = total_mw(parse_tegrastats(text))
    assert total is None or total >= 0
    parse_power_mode(text)
    parse_power_modes(text)
    parse_l4t(text)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ((CAPTURED / "nvpmodel_agx.txt").read_text(), PowerMode("MODE_40W", 3)),
        ((CAPTURED / "nvpmodel_nano.txt").read_text(), PowerMode("15W", 0)),
        ((CAPTURED / "nvpmodel_super.txt").read_text(), PowerMode("MAXN_SUPER", 2)),
        ("NVPMWARN: 7\nNVPM VERB: NV Power Mode: 25W\n1\n", PowerMode("25W", 1)),
        ("NV Power Mode: 15W\n", None),
        ("NV Power Mode:\n3\n", None),
        ("", None),
    ],
)
def test_power_mode(text: str, mode: PowerMode | None) -> None:
    assert parse_power_mode(text) == mode


def test_power_modes_are_ranked_by_name_and_not_by_id() -> None:
    modes = parse_power_modes(
        "# < POWER_MODEL ID=9 NAME=COMMENT >\n"
        "< PM_CONFIG DEFAULT=2 >\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
        "< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
        "< POWER_MODEL ID=3 NAME=7W >\n"
    )
    ranked = sorted(modes, key=lambda mode: mode.rank)
    assert [mode.id for mode in ranked] == [3, 0, 1, 2]


@pytest.mark.parametrize(
    ("name", "l4t", "jetpack"),
    [("36.4.3", "36.4.3", "6.2"), ("36.4.7", "36.4.7", "6.2.1")],
)
def test_release(name: str, l4t: str, jetpack: str) -> None:
    found = parse_l4t((CAPTURED / f"nv_tegra_release_{name}.txt").read_text())
    assert found == l4t
    assert jetpack_of(l4t) == jetpack


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [("38.2.1", "7.0"), ("38.4", "7.1"), ("39.2", "7.2"), ("39.2.9", None), ("35.1.0", None)],
)
def test_jetpack_of_releases_that_were_not_captured(l4t: str, jetpack: str | None) -> None:
    assert jetpack_of(l4t) == jetpack
