"""RAPL and hwmon on trees made by hand: what is read, what is never added, wraps, resets and missing permission."""

import os
from pathlib import Path

import pytest

from profiler.power.host import host_power
from profiler.power.host_energy import host_watts
from profiler.power.source import PowerTrace, trace_of
from profiler.power.window import Window
from tests.profiler.fake_board import hwmon_tree, rapl_tree

RANGE_UJ = 65_532_610_987  # what Intel servers show
TWO_SOCKETS = {
    "intel-rapl:0": ("package-0", 1_000_000, RANGE_UJ),
    "intel-rapl:0:0": ("dram", 500_000, RANGE_UJ),
    "intel-rapl:0:1": ("core", 900_000, RANGE_UJ),
    "intel-rapl:1": ("package-1", 2_000_000, RANGE_UJ),
    "intel-rapl:2": ("psys", 9_000_000, RANGE_UJ),
    "intel-rapl-mmio:0": ("package-0", 1_000_000, RANGE_UJ),
}


def test_packages_and_their_memory_and_nothing_twice(tmp_path: Path) -> None:
    found = host_power(rapl_tree(tmp_path, TWO_SOCKETS))
    assert [(s.device, s.name, s.boundary, s.sample().counter_j) for s in found.sources] == [
        ("package-0", "rapl", "cpu", 1.0),
        ("package-0-dram", "rapl", "cpu", 0.5),
        ("package-1", "rapl", "cpu", 2.0),
    ]
    assert (found.unread, found.reason) == (None, None)


def followed(root: Path, folder: str, registers_uj: list[int], *, range_uj: int = RANGE_UJ, every_s: float = 0.1) -> PowerTrace:
    """One package read once per entry, `every_s` apart."""
    now = [0.0]
    rapl_tree(root, {folder: ("package-0", registers_uj[0], range_uj)})
    (source,) = host_power(root, clock=lambda: now[0]).sources
    taken = []
    for register_uj in registers_uj:
        rapl_tree(root, {folder: ("package-0", register_uj, range_uj)})
        taken.append(source.sample())
        now[0] += every_s
    return trace_of(source, tuple(taken))


def test_wrap_is_carried_over_twice(tmp_path: Path) -> None:
    # 150 W: 15 J in each 0.1 s, on a register that is full at 40 J.
    trace = followed(tmp_path, "intel-rapl:0", [i * 15_000_000 % 40_000_000 for i in range(8)], range_uj=40_000_000)
    assert [s.counter_j for s in trace.samples] == [15.0 * i for i in range(8)]
    found = host_watts([trace], [Window(t_start_s=0.15, t_end_s=0.65)])
    assert found.mean_w == pytest.approx(150.0)
    assert found.p99_w == pytest.approx(150.0)


def test_a_reset_is_no_wrap(tmp_path: Path) -> None:
    # From 100 J back to 1 J: as a wrap of 65.5 kJ it would be 654 kW.
    trace = followed(tmp_path, "intel-rapl:0", [80_000_000, 100_000_000, 1_000_000, 21_000_000])
    assert [s.counter_j for s in trace.samples] == [80.0, 100.0, 1.0, 21.0]
    assert host_watts([trace], [Window(t_start_s=0.05, t_end_s=0.25)]).why_not == "package-0: counter_reset"


def test_counters_that_may_not_be_read_are_absent_with_the_fix(tmp_path: Path) -> None:
    rapl_tree(tmp_path, {"intel-rapl:0": ("package-0", 5, RANGE_UJ)})
    energy = tmp_path / "class" / "powercap" / "intel-rapl:0" / "energy_uj"
    energy.chmod(0)
    if os.geteuid() == 0:  # root reads everything: a folder in its place cannot be read by anyone
        energy.unlink()
        energy.mkdir()
    found = host_power(tmp_path)
    assert found.sources == ()
    assert found.unread is not None
    assert "chmod a+r" in found.unread
    assert host_power(tmp_path / "nowhere").unread is None
    assert "shows no RAPL" in str(host_power(tmp_path / "nowhere").reason)


def test_a_zone_that_goes_away_is_none_with_a_note(tmp_path: Path) -> None:
    rapl_tree(tmp_path, {"intel-rapl:0": ("package-0", 5_000_000, RANGE_UJ)})
    (source,) = host_power(tmp_path).sources
    assert source.sample().counter_j == 5.0
    (tmp_path / "class" / "powercap" / "intel-rapl:0" / "energy_uj").unlink()
    assert source.sample().counter_j is None
    assert "could not be read" in source.notes["counter_j"]


def test_amd_sockets_without_their_cores(tmp_path: Path) -> None:
    files = {"energy1_label": "Ecore000", "energy1_input": "7", "energy2_label": "Esocket0", "energy2_input": "3000000"}
    files |= {"energy3_label": "Esocket1", "energy3_input": "4000000"}
    found = host_power(hwmon_tree(tmp_path, "amd_energy", files))
    assert [(s.device, s.name, s.sample().counter_j) for s in found.sources] == [("socket-0", "hwmon", 3.0), ("socket-1", "hwmon", 4.0)]


def test_grace_sockets_once_and_never_the_module(tmp_path: Path) -> None:
    meters = [
        ("Module Power Socket 0", 900),
        ("CPU Power Socket 0", 120),
        ("Grace Power Socket 0", 200),
        ("SysIO Power Socket 0", 40),
        ("CPU Power Socket 1", 130),  # of this socket the whole is not shown
    ]
    for number, (told, watts) in enumerate(meters):
        hwmon_tree(tmp_path, "power_meter", {"device/power1_oem_info": told, "device/power1_average": str(watts * 1_000_000)}, number=number)
    found = host_power(tmp_path)
    assert [(s.device, s.sample().instant_w) for s in found.sources] == [("socket-0", 200.0), ("socket-1", 130.0)]


def test_rapl_comes_first(tmp_path: Path) -> None:
    hwmon_tree(tmp_path, "amd_energy", {"energy1_label": "Esocket0", "energy1_input": "1"})
    rapl_tree(tmp_path, {"intel-rapl:0": ("package-0", 5, RANGE_UJ)})
    assert [s.name for s in host_power(tmp_path).sources] == ["rapl"]
