"""Runs in the order of time: grouping, order, changes with their verdict, and gates of the newest run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.compare.gates import parse_gate
from profiler.compare.history import Collector, Group, History, HistoryRow
from profiler.compare.reprice import Priced, at_own
from profiler.economics.derive import derive_run
from profiler.economics.price_book import load_price_book
from tests.profiler import handmade_run as made
from tests.profiler import windowed_run as windowed

QUIET = {"no difference", "not shown"}  # verdicts that say no change


def on(day: int, *points: dict[str, Any], **header: Any) -> Priced:
    """A run of the day of November 2026."""
    name = f"run-{day}"
    run = replace(made.run(*points, **({"run_id": name, "created": f"2026-11-{day:02d}T12:00:00+00:00"} | header)), path=Path("runs") / name)
    return run, made.price(), derive_run(run, made.price())


def history(*runs: Priced, every: bool = False, gates: Sequence[str] = ()) -> History:
    collector = Collector()
    for run in runs:
        collector.add(run)
    return collector.history(every=every, gates=[parse_gate(text) for text in gates])


def group(found: History, batch: int = 32) -> Group:
    return next(each for each in found.groups if each.key["batch"] == batch)


def changes(row: HistoryRow) -> tuple[str | None, str | None]:
    """The verdicts on dollars, against the run before and against the first."""
    told = [None if found is None else found["usd_per_mtok"].verdict for found in (row.previous, row.first)]
    return told[0], told[1]


def test_a_change_is_told_against_the_run_before_and_against_the_first() -> None:
    """Twice as slow on the second day, back on the third: 0.84 s, 1.68 s, 0.84 s a request."""
    found = history(on(3, *windowed.points(30)), on(1, *windowed.points(31)), on(2, *windowed.points(32, slower=2.0)))
    assert (found.runs, len(found.groups), found.single) == (3, 2, 0)
    first, second, third = group(found).rows
    assert [row.facts.run_id for row in (first, second, third)] == ["run-1", "run-2", "run-3"]
    assert changes(first) == (None, None)
    assert [verdict.split(" by ")[0] for verdict in changes(second) if verdict] == ["dearer", "dearer"]
    assert changes(third)[1] == "no difference"
    assert (changes(third)[0] or "").startswith("cheaper by 5")  # half, within 1 %
    assert third.previous is not None
    assert third.previous["energy_j_per_output_token"].verdict.startswith("less energy by")
    assert [row.best for row in (first, second, third)].count(True) == 1
    assert not second.best


def test_the_cheapest_is_best_and_without_a_price_the_fastest() -> None:
    runs = [on(day, *windowed.points(day, slower=slower)) for day, slower in ((1, 1.2), (2, 1.0), (3, 1.1))]
    assert [row.best for row in group(history(*runs)).rows] == [False, True, False]
    bare = [(run, made.no_price(), derive_run(run, made.no_price())) for run, _, _ in runs]
    assert [row.best for row in group(history(*bare)).rows] == [False, True, False]


def test_order_is_of_moments_and_what_has_none_comes_last() -> None:
    zones = ("2026-11-22T10:00:00+02:00", "2026-11-22T09:00:00+00:00", "2026-11-22T08:30:00", "soon", None)  # 08:00, 09:00, 08:30 in UTC
    runs = [on(n, run_id=f"run-{n}", created=created) for n, created in enumerate(zones)]
    random.Random(0).shuffle(runs)
    assert [row.facts.run_id for row in group(history(*runs)).rows] == ["run-0", "run-2", "run-1", "run-3", "run-4"]


def test_like_rows_on_one_gpu_are_a_group() -> None:
    """Another GPU, another routing and other formats behind the same name are other groups; another driver is not."""
    driver = made.run().header["environment"] | {"driver": "580.1"}
    formats = {"plain": {"weight": "bf16", "takes": "bf16"}}
    found = history(
        on(1), on(2, environment=driver), on(3, *(p | {"gpu_key": "b200", "gpu": "NVIDIA B200"} for p in made.run().points)),
        on(4, *(p | {"routing": "zipf:1.2"} for p in made.run().points)), on(5, *(p | {"formats": formats} for p in made.run().points)),
    )  # fmt: skip
    assert [[row.facts.run_id for row in each.rows] for each in found.groups] == [["run-1", "run-2"]] * 2
    assert [row.subject.driver for row in found.groups[0].rows] == ["575.57.08", "580.1"]
    assert found.single == 6
    assert len(history(on(1), on(3, made.decode(7, 0.1, 400.0)), every=True).groups) == 3


def test_points_of_a_request_are_in_it_and_others_stand_alone() -> None:
    alone = [made.decode(32, 0.02, 480.0, mix=None)]
    assert [each.key["phase"] for each in history(on(1), on(2)).groups] == ["request", "request"]
    (found,) = history(on(1, *alone), on(2, *alone)).groups
    assert found.key["phase"] == "decode"
    assert "usd_per_mtok" not in found.rows[0].subject.figures


def test_what_is_not_valid_is_shown_and_takes_no_part() -> None:
    """The second day's throttled run is nobody's "run before"."""
    bad = [point | {"valid": False, "invalid_reasons": ["throttled"]} for point in windowed.points(33, slower=3.0)]
    rows = group(history(on(1, *windowed.points(34)), on(2, *bad), on(3, *windowed.points(35)))).rows
    assert rows[1].subject.reasons == ("prefill: throttled", "decode: throttled")
    assert (rows[1].previous, rows[1].first) == (None, None)
    assert rows[2].previous is not None
    assert rows[2].previous["usd_per_mtok"].old == rows[0].subject.figures["usd_per_mtok"]


def test_joules_of_another_boundary_are_not_compared() -> None:
    metered = [point | {"power_source": "meter", "node_w": 700.0} for point in windowed.points(36)]
    row = group(history(on(1, *windowed.points(37)), on(2, *metered))).rows[1]
    assert row.previous is not None
    assert row.previous["energy_j_per_output_token"].verdict == "unknown: joules of the board, then of the node"
    assert row.previous["usd_per_mtok"].verdict == "no difference"


def test_few_windows_are_unknown() -> None:
    row = group(history(on(1, *windowed.points(1, windows=3)), on(2, *windowed.points(2, windows=3, slower=1.5)))).rows[1]
    assert changes(row) == ("unknown: fewer than 5 windows",) * 2


def families(found: History) -> tuple[set[str], set[str]]:
    """All verdicts on the newest rows against the ones before them, and all others."""
    newest: set[str] = set()
    others: set[str] = set()
    for each in found.groups:
        for row in each.rows[1:]:
            assert row.previous is not None
            assert row.first is not None
            (newest if row is each.rows[-1] else others).update(judged.verdict for judged in row.previous.values())
            (newest if len(each.rows) == 2 else others).update(judged.verdict for judged in row.first.values())
    return newest, others


def of_models(seed: int, models: int) -> list[dict[str, Any]]:
    """Two requests of each of so many models, every point with noise of its own."""
    names = [f"model-{n}" for n in range(models)]
    return [p | {"model": name, "point_id": f"{name}-{p['point_id']}"} for n, name in enumerate(names) for p in windowed.points(100 * seed + n)]


def test_noise_over_ten_runs_is_rarely_a_change() -> None:
    """Ten runs, 2 groups: a false alarm in 5 % of the histories or fewer, of either family (20 histories: 1 and three standard errors of 1 are 4)."""
    found = [families(history(*(on(day, *windowed.points(100 * seed + day)) for day in range(1, 11)))) for seed in range(20)]
    assert sum(not newest <= QUIET for newest, _ in found) <= 4
    assert sum(not others <= QUIET for _, others in found) <= 4


def test_noise_in_many_groups_is_rarely_a_change() -> None:
    """Two like runs of 12 groups: a false alarm in 5 % of the histories or fewer, not of the groups (60 histories: 3 and three standard errors of 1.7 are 8).

    Each group by itself would raise one in 1 - 0.95^12 = 46 % of them, 28 of 60.
    """
    alarms = 0
    for seed in range(60):
        found = history(on(1, *of_models(2 * seed, 6)), on(2, *of_models(2 * seed + 1, 6)))
        assert len(found.groups) == 12
        newest, others = families(found)
        assert others == set()
        alarms += not newest <= QUIET
    assert alarms <= 8


def test_a_slower_newest_run_is_found_after_any_number_of_runs() -> None:
    """The tenth run is 10 % slower: found in every history, with the very verdict that the last two runs alone have."""
    for seed in range(15):
        runs = [on(day, *windowed.points(100 * seed + day, slower=1.1 if day == 10 else 1.0)) for day in range(1, 11)]
        whole, last = (history(*some, gates=["usd_per_mtok > +3%"]) for some in (runs, runs[-2:]))
        assert [gate.passed for gate in whole.gates] == [False]
        assert len(whole.groups) == 2
        for each, other in zip(whole.groups, last.groups, strict=True):
            assert (changes(each.rows[-1])[0] or "").startswith("dearer by")
            assert each.rows[-1].previous == other.rows[-1].previous


def test_the_run_before_that_is_the_first_is_judged_once() -> None:
    """Of three runs, the second has one change and the third has two, of which the one against the first is of the older family."""
    _, second, third = group(history(*(on(day, *windowed.points(50 + day)) for day in (1, 2, 3)))).rows
    assert second.previous is second.first
    assert third.previous is not third.first
    both = group(history(*(on(day, *windowed.points(50 + day)) for day in (2, 3)))).rows[-1]
    assert third.previous == both.previous


@pytest.mark.parametrize(("slower", "passed"), [(1.1, False), (1.0, True)])
def test_gates_hold_the_newest_run_against_the_one_before(slower: float, passed: bool) -> None:
    """The first run was twice as slow: of no matter to the newest."""
    runs = on(1, *windowed.points(38, slower=2.0)), on(2, *windowed.points(39)), on(3, *windowed.points(40, slower=slower))
    (found,) = history(*runs, gates=["usd_per_mtok > +3%"]).gates
    assert (found.passed, found.looked_at) == (passed, 2)


def test_a_gate_without_a_run_before_fails() -> None:
    """The newest run measured another batch: nothing stands before it, and an older group's peace is no answer."""
    other = [made.prefill(), made.decode(64, 0.02, 480.0)]
    (found,) = history(on(1), on(2), on(3, *other), gates=["usd_per_mtok > +3%"]).gates
    assert not found.passed
    assert "nothing to look at" in found.why


UNKNOWN = {"gpu_key": "h900", "gpu": "Example 900"}  # no price book has it


def at_book(day: int, usd: float | None) -> Priced:
    price = None if usd is None else made.price(usd_per_gpu_hour=usd).json()
    run = on(day, *(point | UNKNOWN for point in windowed.points(day)), price=price)[0]
    return at_own(run, load_price_book(), {})


def test_a_machine_without_a_price_has_its_runs_own() -> None:
    """$3.60 twice: 0.84 s of a GPU-second at $0.001 for 1024 tokens is $0.82 per Mtok."""
    found = history(at_book(1, 3.6), at_book(2, 3.6), gates=["usd_per_mtok > +50%"])
    assert [row.subject.figures["usd_per_mtok"] for row in group(found).rows] == [pytest.approx(0.82, rel=0.02)] * 2
    assert [(price.usd_per_gpu_hour, price.source) for price in found.prices] == [(3.6, "the runs' own, since the book has none")]
    assert [gate.passed for gate in found.gates] == [True]


@pytest.mark.parametrize(("last", "told"), [(1.8, "$1.8, $3.6"), (None, "$3.6 or none")])
def test_unlike_declared_prices_are_no_difference_in_dollars(last: float | None, told: str) -> None:
    found = history(at_book(1, 3.6), at_book(2, 3.6), at_book(3, last))
    assert all("usd_per_mtok" not in row.subject.figures for each in found.groups for row in each.rows)
    (price,) = found.prices
    assert price.why_null == f"no price for h900 in the price book, and the runs declared {told}: give --reprice own, --usd-per-gpu-hour or --price-book"


def test_warned_runs_are_told_in_the_order_of_time() -> None:
    busy = [point | {"warnings": ["other_load: other processes took 50% of the CPUs during the windows"]} for point in windowed.points(1)]
    found = history(on(1, *windowed.points(3)), on(2, *busy))
    assert [(each.run, each.told()) for each in found.warned] == [
        ("runs/run-2", "other processes took 50 % of the CPUs in 2 rows: its times are not only its own")
    ]
    assert found.json()["warned"][0]["warnings"][0]["rows"] == 2


def test_only_what_is_needed_is_kept() -> None:
    """A history of thousands of runs must not hold their points: keys are shared, and nothing refers to a point."""
    found = history(on(1, *windowed.points(1)), on(2, *windowed.points(2)))
    rows = group(found).rows
    assert rows[0].subject.key is rows[1].subject.key
    assert rows[0].subject.joined_by is rows[1].subject.joined_by
    assert all(not spread.logs for row in rows for noise in row.subject.noise.values() for _, spread in noise)
