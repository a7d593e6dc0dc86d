"""Operations alone: joules per call worked out by hand, orders that differ and repeat, a budget that leaves out the smallest shares and says so."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from profiler.measure.library import Counterpart, ratio_of_step
from profiler.measure.method import METHODS, Method, method_for
from profiler.measure.per_op import _affordable, _Look, _row, _Turn, measure_operations
from profiler.measure.timing import TimedWindow
from profiler.power.declared import DeclaredPower
from profiler.power.replay import ReplayPower
from profiler.power.source import PowerSample, PowerTrace
from profiler.record.rows import read_rows
from profiler.record.store import RunWriter, read_run

METHOD = Method(look_s=0.002, settle_s=0.001, window_s=0.01, tail_s=0.0, repeats=3)


class Work:
    """An operation that counts what it is asked to do: `loops` additions a call."""

    device = torch.device("cpu")
    calls_per_iteration = 1
    rotated = sets = 2

    def __init__(self, entry: int, part: str, *, loops: int = 10, count: int = 1, why_not: str | None = None, fails: Exception | None = None) -> None:
        self.entry, self.op, self.part, self.count, self.why_not = entry, "matmul", part, count, why_not
        self._loops, self._fails, self.ran = loops, fails, 0
        self.ways: list[WorkOfALibrary] = []

    def capture(self, pool: Any) -> None:
        if self._fails is not None:
            raise self._fails

    def iteration(self, i: int) -> None:
        self.ran += 1
        sum(range(self._loops))

    def libraries(self) -> list[Callable[[], "WorkOfALibrary"]]:
        return [lambda way=way: way for way in self.ways]  # type: ignore[misc]


class WorkOfALibrary(Work):
    """A counterpart that does so many additions a call, or refuses."""

    name = "torch.mm"

    def __init__(self, *, loops: int = 10, differs: str = "", fails: Exception | None = None) -> None:
        super().__init__(0, "", loops=loops, fails=fails)
        self.differs = differs


class Orders:
    """A display that remembers which operation each window belonged to."""

    def __init__(self) -> None:
        self.rounds: dict[str, list[str]] = {}
        self.fractions: list[float] = []

    def __call__(self, stage: str, fraction: float | None, note: str, *, step_s: float | None = None) -> None:
        assert (stage, fraction is None) == ("operations", False)
        if not note.startswith("first look"):
            part, number = note.split()
            self.rounds.setdefault(number, []).append(part)
            self.fractions.append(fraction or 0.0)


def constant(watts: float, path: Path) -> ReplayPower:
    path.write_text("".join(json.dumps({"t_s": t, "instant_w": watts}) + "\n" for t in (0.0, 60.0)))
    return ReplayPower(path)


def test_joules_of_a_call_at_planted_watts(tmp_path: Path) -> None:
    found = measure_operations([Work(0, "qkv"), Work(1, "o", loops=1000, count=3)], constant(200.0, tmp_path / "trace.jsonl"), METHOD)
    assert (found.measured, found.left_out) == (2, [])
    for row in found.rows:
        assert [set(w) for w in row["windows"]] == [{"t_start_s", "t_end_s", "calls", "energy_j"}] * 3
        each_s = [(w["t_end_s"] - w["t_start_s"]) / w["calls"] for w in row["windows"]]
        assert row["call_j"]["mean"] == pytest.approx(200.0 * sum(each_s) / 3)
        assert row["call_s"]["median"] == pytest.approx(sorted(each_s)[1])
        assert (row["call_j"]["n"], row["call_s"]["n"], row["rotated"], row["why_not"]) == (3, 3, 2, None)
        low, high = row["call_j"]["ci95"]
        assert low < row["call_j"]["mean"] < high
    assert {(s["instant_w"], s["device"], s["boundary"]) for s in found.series} == {(200.0, "gpu0", "board")}
    ends = [w["t_end_s"] for row in found.rows for w in row["windows"]]
    assert found.series[-1]["t_s"] > max(ends)


def window(start_s: float, steps: int, busy_s: float = 1.9) -> TimedWindow:
    return TimedWindow(t_start_s=start_s, t_end_s=start_s + 2.0, steps=steps, busy_s=busy_s, samples_s=())


def turn(work: Work, *windows: TimedWindow, iteration_s: float = 1e-3, window_s: float = 2.0) -> _Turn:
    return _Turn(runner=work, iteration_s=iteration_s, window_s=window_s, tail_s=0.5, windows=list(windows))


def look(work: Work, *windows: TimedWindow) -> _Look:
    return _Look(operation=work, turns=(turn(work, *windows),), counterpart=None)


def trace(*watts: tuple[float, float | None]) -> PowerTrace:
    return PowerTrace(source="nvml", kind="measured", sensor_accuracy=0.05, samples=tuple(PowerSample(t_s=t, instant_w=w) for t, w in watts))


def ramp(end_s: float) -> list[tuple[float, float | None]]:
    """100 W in the first five seconds, 300 W after."""
    return [(i / 4, 100.0 if i < 20 else 300.0) for i in range(int(4 * end_s) + 1)]


def test_a_row_by_hand() -> None:
    work = Work(0, "qkv", count=4)
    work.calls_per_iteration = 50
    row = _row(work, look(work, window(1.0, 10), window(7.0, 8)), trace(*ramp(10)), None)
    # 10 and 8 iterations of 50 calls: 2 s at 100 W over 500 calls, 2 s at 300 W over 400 calls.
    assert [(w["calls"], w["energy_j"]) for w in row["windows"]] == [(500, pytest.approx(200.0)), (400, pytest.approx(600.0))]
    assert row["call_j"]["mean"] == pytest.approx((0.4 + 1.5) / 2)
    assert row["call_s"]["median"] == pytest.approx((1.9 / 500 + 1.9 / 400) / 2)
    # Two values half their distance from their mean: t of one degree of freedom, 12.706, times 0.55.
    assert row["call_j"]["ci95"] == pytest.approx([0.95 - 12.706 * 0.55, 0.95 + 12.706 * 0.55], rel=1e-4)


def test_a_sensor_that_vanishes_keeps_the_times() -> None:
    work = Work(0, "qkv")
    row = _row(work, look(work, window(1.0, 10), window(7.0, 8)), trace(*ramp(6), (8.0, None), (10.0, None)), None)
    assert (row["call_j"], row["why_not"]) == (None, "no joules: power_lost")
    assert [w["energy_j"] for w in row["windows"]] == [None, None]
    assert row["call_s"]["n"] == 2


def test_a_sampler_that_dies_keeps_the_times(tmp_path: Path) -> None:
    source = constant(200.0, tmp_path / "trace.jsonl")
    sample, taken = source.sample, [0]

    def dies() -> PowerSample:
        taken[0] += 1
        if taken[0] > 2:
            raise OSError("gone")
        return sample()

    source.sample = dies  # type: ignore[method-assign]
    found = measure_operations([Work(0, "qkv")], source, METHOD, period_s=(0.001, 0.002))
    assert (found.rows[0]["call_j"], found.rows[0]["call_s"]["n"], found.series) == (None, 3, [])


def test_declared_watts_say_nothing_of_an_operation() -> None:
    found = measure_operations([Work(0, "qkv")], DeclaredPower(65.0), METHOD)
    assert (found.rows[0]["call_j"], found.rows[0]["call_s"]["n"], found.series) == (None, 3, [])


def orders(seed: int) -> Mapping[str, list[str]]:
    seen = Orders()
    measure_operations(
        [Work(i, f"part{i}") for i in range(8)], DeclaredPower(65.0), Method(look_s=0.0, settle_s=0.0, window_s=0.0, tail_s=0.0, seed=seed), progress=seen
    )
    assert seen.fractions == [i / 40 for i in range(40)]  # 5 rounds of 8
    return seen.rounds


def test_each_round_has_an_order_of_its_own_which_the_seed_decides() -> None:
    first, again, other = orders(1), orders(1), orders(2)
    assert first == again != other
    assert list(first) == [f"{i}/5" for i in range(1, 6)]
    assert all(sorted(order) == [f"part{i}" for i in range(8)] for order in first.values())
    assert len({tuple(order) for order in first.values()}) == 5


def test_the_budget_leaves_out_the_smallest_shares_first() -> None:
    """Three repeats of 1 s of settling and 3 s of windows are 12 s for each operation: 30 s hold two of them. Nothing here waits for it: see below."""
    method = Method(look_s=0.1, settle_s=1.0, window_s=2.5, tail_s=0.5, repeats=3)
    # Of the step: 10 calls of 1 ms, 40 of 2 ms, 1 of 10 ms: 10, 80 and 10 of 100 ms; of equals the first stays.
    works = [Work(0, "qkv", count=10), Work(1, "down", count=40), Work(2, "head", count=1)]
    looks = [
        _Look(operation=work, turns=(turn(work, iteration_s=s, window_s=2.5),), counterpart=None) for work, s in zip(works, (1e-3, 2e-3, 0.01), strict=True)
    ]
    chosen, beyond = _affordable(looks, method, 30.0)
    assert [o.operation.part for o in chosen] == ["qkv", "down"]
    assert beyond == {2: "time budget: 10.0% of the operations' time, 1e+04 us a call at a first look"}
    assert [o.operation.part for o in _affordable(looks, method, 12.0)[0]] == ["down"]
    assert [o.operation.part for o in _affordable(looks, method, float("inf"))[0]] == ["qkv", "down", "head"]


def test_a_library_takes_its_share_of_the_budget() -> None:
    """12 s as above and, of the library, three of 1 s of settling, 0.5 s of windows and 0.5 s of tail, 6 s: 18 s."""
    method, work = Method(look_s=0.1, settle_s=1.0, window_s=2.5, tail_s=0.5, repeats=3), Work(0, "qkv")
    both = _Look(operation=work, turns=(turn(work, window_s=2.5), turn(WorkOfALibrary(), window_s=0.5)), counterpart=None)
    assert _affordable([both], method, 18.0)[0] == [both]
    assert _affordable([both], method, 17.9)[0] == []


def test_the_ratio_to_a_library_by_hand() -> None:
    """Ours 20 and 40 ms a call in two rounds, the library's 10 and 10: ratios 1/2 and 1/4, whose geometric mean is 1/sqrt(8); of a step half as often the
    library's, so 3 calls at 30 ms take 90 ms and the library's 30."""
    work, library = Work(0, "qkv", count=3), WorkOfALibrary(differs="without silu")
    ours = turn(work, window(0.0, 10, busy_s=0.2), window(3.0, 10, busy_s=0.4))
    theirs = turn(library, window(1.0, 20, busy_s=0.2), window(4.0, 20, busy_s=0.2))
    row = _row(work, _Look(operation=work, turns=(ours, theirs), counterpart=Counterpart(library=library, note="without silu")), None, None)
    assert (row["library"], row["library_note"], row["library_s"]["median"], row["library_s"]["n"]) == ("torch.mm", "without silu", pytest.approx(0.01), 2)
    assert row["kernel_ratio"] == pytest.approx(8**-0.5)
    low, high = row["kernel_ratio_ci95"]
    assert (low * high) ** 0.5 == pytest.approx(row["kernel_ratio"])  # symmetric in the logarithm
    assert ratio_of_step([row]) == pytest.approx(30 / 90)
    rest = row | {"kernel_ratio": None, "library_s": None, "library": None, "count": 4}
    assert ratio_of_step([row, rest]) is None  # compared were 3 of 7 calls of 30 ms: less than half
    assert ratio_of_step([row, rest | {"count": 3}]) == pytest.approx(30 / 90)
    assert ratio_of_step([]) is None


@pytest.mark.parametrize(
    "ways, library, note",
    [
        ([], None, "PyTorch has no counterpart"),
        ([WorkOfALibrary(differs="without bias")], "torch.mm", "without bias"),
        (
            [WorkOfALibrary(fails=RuntimeError("needs sm_100\nat x")), WorkOfALibrary(differs="coarser")],
            "torch.mm",
            "coarser; does not run here: RuntimeError: needs sm_100",
        ),
        ([WorkOfALibrary(fails=NotImplementedError("no"))], None, "does not run here: NotImplementedError: no"),
        ([WorkOfALibrary(fails=torch.OutOfMemoryError("no room"))], None, "does not run here: out of memory"),
    ],
)
def test_the_first_library_that_runs_is_compared_with(ways: list[WorkOfALibrary], library: str | None, note: str) -> None:
    work = Work(0, "qkv")
    work.ways = ways
    method = Method(look_s=0.002, settle_s=0.001, window_s=0.01, tail_s=0.0, repeats=3, library_window_s=0.01)
    row = measure_operations([work], DeclaredPower(65.0), method).rows[0]
    assert (row["library"], row["library_note"], row["kernel_ratio"] is None) == (library, note, library is None)
    assert row["library_s"] is None or row["library_s"]["n"] == row["call_s"]["n"] == 3


def test_nothing_is_compared_where_nobody_asked() -> None:
    work = Work(0, "qkv")
    work.ways = [WorkOfALibrary()]
    found = measure_operations([work], DeclaredPower(65.0), METHOD)
    fields = ("library", "library_s", "library_note", "kernel_ratio", "kernel_ratio_ci95")
    assert [found.rows[0][name] for name in fields] == [None] * 5
    assert (work.ways[0].ran, found.kernel_ratio) == (0, None)


def test_what_is_left_out_is_said() -> None:
    found = measure_operations(
        [
            Work(0, "qkv"),
            Work(1, "all_reduce", why_not="collective: its link is modelled"),
            Work(2, "head", fails=torch.OutOfMemoryError("no room")),
        ],
        DeclaredPower(65.0), METHOD,
    )  # fmt: skip
    assert found.json() == {"measured": 1, "left_out": ["all_reduce (matmul): collective: its link is modelled", "head (matmul): out of memory"]}
    assert [(row["entry"], row["call_s"] is None, row["windows"] == []) for row in found.rows] == [(0, False, False), (1, True, True), (2, True, True)]


def test_no_time_measures_nothing_and_says_so() -> None:
    work = Work(0, "qkv")
    found = measure_operations([work], DeclaredPower(65.0), Method(look_s=0.1, settle_s=0.0, window_s=0.1, tail_s=0.0, budget_s=0.0))
    assert (found.measured, found.left_out, work.ran) == (0, ["qkv (matmul): time budget: over before a first look at it"], 0)


def test_methods() -> None:
    source, none = DeclaredPower(65.0), {"repeats": 5, "seed": 0, "budget_s": None}
    assert method_for("cuda", source, window_s=2.0, **none).window_s == 0.2  # type: ignore[arg-type]  # without a sensor only times are wanted
    assert method_for("cpu", source, window_s=0.05, **none).window_s == 0.05  # type: ignore[arg-type]
    assert METHODS["cuda"].window_s >= 20 * 0.1  # twenty ticks of a counter that ticks every 100 ms


def test_rows_survive_the_record(tmp_path: Path) -> None:
    found = measure_operations([Work(0, "qkv"), Work(1, "all_reduce", why_not="collective")], constant(200.0, tmp_path / "trace.jsonl"), METHOD)
    writer = RunWriter.create(tmp_path / "runs", subject="x", argv=[], version=None)
    point = {"schema_version": 1, "run_id": writer.header["run_id"], "point_id": "000-x", "kind": "step", "status": "ok", "per_op": found.json()}
    writer.commit(point, series=found.series, ops=found.rows)
    run = read_run(writer.path)
    assert read_rows(run, run.points[0], "ops") == found.rows
    assert run.points[0]["per_op"] == {"measured": 1, "left_out": ["all_reduce (matmul): collective"]}
    assert re.fullmatch("[0-9a-f]{64}", run.points[0]["digests"]["ops"])
