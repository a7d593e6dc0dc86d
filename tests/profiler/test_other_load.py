from pathlib import Path

from profiler.measure.other_load import CpuTimes, cpu_times, load_warnings, others_share


def test_what_was_busy_and_not_ours_is_others() -> None:
    """10 s on 2 CPUs: 20 s of CPU time; 13 s were busy, 8 of them ours: 5 / 20."""
    before, after = CpuTimes(t_s=100.0, busy_s=50.0, own_s=3.0), CpuTimes(t_s=110.0, busy_s=63.0, own_s=11.0)
    assert others_share(before, after, 2) == 0.25
    assert load_warnings(0.25) == ["other_load: other processes took 25% of the CPUs during the windows"]


def test_nothing_else_or_rounding_is_no_warning() -> None:
    before = CpuTimes(t_s=0.0, busy_s=0.0, own_s=0.0)
    assert others_share(before, CpuTimes(t_s=10.0, busy_s=9.9, own_s=10.0), 2) == 0.0
    assert load_warnings(0.04) == load_warnings(None) == []


def test_where_the_system_does_not_tell_it_is_none(tmp_path: Path) -> None:
    assert cpu_times(tmp_path / "absent") is None
    assert others_share(None, None, 2) is None


def test_busy_leaves_idle_and_iowait_out_and_counts_stolen_time(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 20 30 4000 500 6 7 37 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")  # 100 + 20 + 30 + 6 + 7 + 37 = 200 ticks of 1/100 s
    times = cpu_times(stat, clock=lambda: 5.0)
    assert times is not None
    assert (times.t_s, times.busy_s) == (5.0, 2.0)
