"""Energy: trapezoids that were worked out by hand, and a tegrastats that is surely ended."""

import os
import time
from pathlib import Path

import pytest

from edgesplit.runtime.device.power import MAX_GAP_S, PowerSampler, energy_j


def line(watts: float) -> str:
    return f"RAM 1/2MB VDD_IN {1000 * watts:.0f}mW/1mW VDD_SOC 999mW/999mW"


# 10 W, rising to 20 W in a fifth of a second, 20 W for 0.5 s, falling to 10 W in 0.3 s.
TRACE = ((100.0, line(10)), (100.2, line(20)), (100.7, line(20)), (101.0, line(10)))


def replayed(trace: tuple[tuple[float, str], ...]) -> PowerSampler:
    with PowerSampler(trace) as power:
        pass
    return power


@pytest.mark.parametrize(
    ("start_s", "end_s", "joules"),
    [
        (100.0, 101.0, 3.0 + 10.0 + 4.5),
        (100.1, 100.7, 1.75 + 10.0),  # from 15 W on: 0.1 s of 17.5 W
        (100.1, 100.85, 1.75 + 10.0 + 0.15 * 17.5),
        (100.3, 100.4, 2.0),  # no sample inside
        (99.5, 100.0, 5.0),  # the nearest sample holds before the first
        (101.0, 101.5, 5.0),
        (100.4, 100.4, 0.0),
    ],
)
def test_energy_of_a_replayed_trace(start_s: float, end_s: float, joules: float) -> None:
    assert replayed(TRACE).energy_j(start_s, end_s) == pytest.approx(joules)


def test_lines_that_say_nothing_are_bridged() -> None:
    torn = (TRACE[0], (100.1, "VDD_"), (100.15, "RAM 1/2MB"), *TRACE[1:])
    assert replayed(torn).energy_j(100.0, 101.0) == pytest.approx(17.5)


def test_energy_across_a_long_silence_is_unknown() -> None:
    silent = [(0.0, 10.0), (0.5, 10.0), (0.5 + 2 * MAX_GAP_S, 10.0)]
    assert energy_j(silent, 0.0, 1.0) is None
    assert energy_j(silent, 0.0, 0.5) == pytest.approx(5.0)  # the silence is not in it
    assert energy_j(silent, -2 * MAX_GAP_S, 0.5) is None


def test_energy_backwards_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="is before the start"):
        energy_j([(0.0, 1.0)], 1.0, 0.0)


def test_a_board_whose_total_is_unknown_has_no_energy() -> None:
    power = replayed(((1.0, "gpu@50C VDD_GPU 5mW/5mW"), (1.1, "gpu@60C VDD_GPU 6mW/5mW")))
    assert power.energy_j(1.0, 1.1) is None
    assert [powers["VDD_GPU"] for _, powers in power.samples] == [5, 6]


def test_without_tegrastats_there_are_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with PowerSampler() as power:
        start = time.monotonic()
    assert power.samples == ()
    assert power.energy_j(start, time.monotonic()) is None


@pytest.mark.parametrize("stubborn", [False, True], ids=["ends", "has to be killed"])
def test_tegrastats_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stubborn: bool
) -> None:
    monkeypatch.setattr("edgesplit.runtime.device.power._END_S", 0.2)
    program = tmp_path / "tegrastats"
    ignore = "trap '' TERM\n" if stubborn else ""
    program.write_text(
        f'#!/bin/sh\n{ignore}echo $$ > {tmp_path}/pid\necho "$*" > {tmp_path}/arguments\n'
        "while :; do echo 'VDD_IN 5000mW/5000mW'; sleep 0.05; done\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    deadline = time.monotonic() + 10
    with PowerSampler() as power:
        start = time.monotonic()
        while len(power.samples) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        end = time.monotonic()
    assert power.energy_j(start, end) == pytest.approx(5.0 * (end - start))
    assert (tmp_path / "arguments").read_text().split() == ["--interval", "100"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
