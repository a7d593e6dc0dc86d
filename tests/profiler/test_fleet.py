"""A fleet: many runs read as one are counted and grouped as each would be alone, and one that cannot be read is named and left out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from profiler.commands.price_options import price_flags
from profiler.economics.derive import derive_run, price_for_run
from profiler.economics.price_book import load_price_book
from profiler.fleet import processes
from profiler.fleet.figures import FIGURES, figure_rows
from profiler.fleet.lean import figures_run
from profiler.fleet.quick import summary_rows
from profiler.fleet.summary import Fleet, fleet_of
from profiler.record.store import RunWriter, read_run
from profiler.report.rows import rows_of
from tests.profiler import handmade_run as made
from triton_kernels.errors import TokenmillError

FLAGS = price_flags(usd_per_gpu_hour=3.6)
SPREAD = ("n", "p10", "median", "p90")


def record(root: Path, *points: dict[str, Any], plans: Mapping[str, Any] = made.PLANS, **header: Any) -> Path:
    writer = RunWriter.create(root, subject="fleet", argv=["run"], version="0.1.0")
    writer.update(environment=made.run().header["environment"], **header)
    for number, point in enumerate(points):
        writer.commit(point | {"run_id": writer.path.name, "point_id": f"{number:03d}-{point['phase'] or point['kind']}"}, plan=plans.get(point["plan"] or ""))
    writer.finish("done")
    return writer.path


def fleet(*paths: Path, flags: Mapping[str, Any] = FLAGS, **options: Any) -> Fleet:
    return fleet_of(list(paths), load_price_book(), flags, **options)


def test_medians_of_a_configuration_worked_by_hand(tmp_path: Path) -> None:
    # Decode at batch 128 in steps of 25.6, 32 and 40 ms: 5,000, 4,000 and 3,200 tokens/s. With 0.2 s of prefill a request takes 0.4048, 0.456, 0.52 s,
    # which at $0.001 per GPU-second over 1,024 tokens is $0.3953125, $0.4453125, $0.5078125 per Mtok.
    paths = [record(tmp_path, made.prefill(), made.decode(128, step_s, 500.0)) for step_s in (0.032, 0.040, 0.0256)]
    found = fleet(*paths)
    assert (found.runs, found.points, found.valid, found.unreadable) == (3, 6, 6, ())
    (group,) = found.rows
    assert (group["gpu"], group["model"], group["precision"], group["mix"], group["batch"]) == ("NVIDIA H200", "qwen3-30b-a3b", "bf16", "8k/1k", 128)
    # Between three values the 10th percentile lies 0.2 of the way from the first to the second, the 90th 0.8 from the second to the third.
    assert [group["usd_per_mtok"][name] for name in SPREAD] == [3, *map(pytest.approx, (0.4053125, 0.4453125, 0.4953125))]
    assert [group["decode_output_tokens_per_s_per_gpu"][name] for name in SPREAD] == [3, *map(pytest.approx, (3360.0, 4000.0, 4800.0))]
    # 8,192 tokens at 7,000 J / 409,600 and 1,024 tokens at 500 W over the rate, over 1,024: 0.13671875 + 0.125 J in the middle run.
    assert group["energy_j_per_output_token"]["median"] == pytest.approx(0.26171875)
    assert group["output_tokens_per_s_per_gpu"]["median"] == pytest.approx(1024 / 0.456)
    assert group["usd_per_gpu_hour"] == [3.6, 3.6]
    assert group["cheapest"] == {"run_id": paths[2].name, "point_id": "001-decode"}
    assert group["provenance"]["usd_per_mtok"] == "measured"
    assert group["provenance"]["usd_per_gpu_hour"] == "assumed"


def emulated(step_s: float) -> dict[str, Any]:
    """A decode of one rank of eight, whose all-reduces are in its plan and not in its time."""
    kinds = {"step_s": "emulated", "energy_j": "measured", "board_w": "measured"}
    return made.decode(32, step_s, 480.0, tp=8, deployment_gpus=8, span="nvl8", provenance=kinds, plan="f" * 16)


_LINKS = {"op": "all_reduce", "part": "attention.o", "count": 48, "shapes": {}, "attrs": {"group_size": 8}}
_WORK = {"flops": 0, "lane": None, "read_bytes": 0, "written_bytes": 0, "link_bytes": 48 << 20}
PLANS = {**made.PLANS, "f" * 16: {"calls": [*made.PLANS["d" * 16]["calls"], _LINKS | {"work": _WORK}]}}
_WINDOWS = [{"step_s": 0.02, "steps": 9, "t_start_s": 1.0, "t_end_s": 2.0, "energy_j": 1.0, "board_w": 1.0, "event_share": {"sw_thermal": 0.5}}]

ODD_RUNS: dict[str, list[dict[str, Any]]] = {
    "plain": [made.prefill(), made.decode(32, 0.020, 480.0), made.decode(128, 0.032, 500.0)],
    "windows": [made.prefill(windows=_WINDOWS), made.decode(32, 0.020, 480.0, windows=_WINDOWS * 9, phases=[{"name": "window 1]", "t_start_s": 1.0}])],
    "out of memory": [made.prefill(), made.out_of_memory(512), made.decode(32, 0.020, 480.0)],
    "prefill that failed": [made.prefill(status="failed", input_tokens=None, window_s=None, step_s=None), made.decode(32, 0.020, 480.0)],
    "not valid": [made.prefill(), made.decode(32, 0.020, 480.0, valid=False, invalid_reasons=["throttled", "not_repeatable"])],
    "prefill not valid": [made.prefill(valid=False, invalid_reasons=["throttled"]), made.decode(32, 0.020, 480.0)],
    "two prefills": [made.prefill(), made.prefill(window_s=5.0), made.prefill(window_s=2.0, valid=False), made.decode(32, 0.020, 480.0)],
    "no prefill": [made.decode(32, 0.020, 480.0)],
    "another model's prefill": [made.prefill(model="other"), made.decode(32, 0.020, 480.0)],
    "no mix": [made.decode(32, 0.020, 480.0, mix=None), made.prefill(mix=None)],
    "layers left out": [made.prefill(layers_measured={"moe": [4, 48]}), made.decode(32, 0.020, 480.0, layers_measured={"moe": [4, 48]})],
    "cached": [made.prefill(mix="8k/1k/6k"), made.decode(32, 0.020, 480.0, mix="8k/1k/6k")],
    "emulated": [made.prefill(tp=8, deployment_gpus=8, span="nvl8", provenance={"step_s": "emulated"}, plan="f" * 16), emulated(0.020)],
    "plan not recorded": [made.prefill(), emulated(0.020) | {"plan": "0" * 16}],
    "data parallel": [made.prefill(dp=4, deployment_gpus=4), made.decode(32, 0.020, 480.0, dp=4, deployment_gpus=4)],
    "CPU": [made.cpu_point(made.prefill()), made.cpu_point(made.decode(32, 0.020, 480.0))],
    "declared watts": [made.prefill(power_source="declared", provenance={}), made.decode(32, 0.020, 480.0, power_source="declared", provenance={})],
    "serving": [made.point("s", kind="serving", phase=None, concurrency=64, isl=8192, osl=1024, output_tokens_per_s_per_gpu=1000.0, plan=None)],
    "empty": [],
}
PRICES: dict[str, Mapping[str, Any]] = {
    "given": FLAGS,
    "of the book": price_flags(),
    "kind of the book": price_flags(price_kind="own_neocloud"),
    "half busy": price_flags(usd_per_gpu_hour=3.6, utilisation=0.5),
    "owned": price_flags(own="colocation"),  # which a CPU is not: no purchase is known
    "with watts": price_flags(usd_per_gpu_hour=3.6, watts=900.0, pue=1.3),
    "cache held": price_flags(usd_per_gpu_hour=3.6, cache_residency=60.0),
}


def figures(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted((dict(row) for row in rows), key=lambda row: str(row["point_id"]))


@pytest.mark.parametrize(("run_name", "price_name"), [(run, price) for run in ODD_RUNS for price in PRICES if price != "owned" or run not in ("CPU", "empty")])
def test_a_summary_s_figures_are_those_of_a_report(tmp_path: Path, run_name: str, price_name: str) -> None:
    path = record(tmp_path, *ODD_RUNS[run_name], plans=PLANS)
    whole, lean = read_run(path), figures_run(path)
    price = price_for_run(whole, load_price_book(), **PRICES[price_name])
    wanted = figures(figure_rows(whole, price, rows_of(derive_run(whole, price))))
    found = figures(figure_rows(lean, price, summary_rows(lean, price)))
    assert len(found) == len(wanted)
    for row, other in zip(found, wanted, strict=True):
        for name in row:
            assert row[name] == (pytest.approx(other[name], rel=1e-12) if name in FIGURES and other[name] is not None else other[name]), name


def test_electricity_beside_the_price_is_in_a_summary_too(tmp_path: Path) -> None:
    # $3 without energy and 900 W x 1.2 at $0.1 per kWh: $3.108 per GPU-hour; 0.456 s of it for 1,024 tokens is $0.38446 per Mtok.
    book = tmp_path / "book.toml"
    book.write_text('usd_per_kwh = 0.1\n[kinds.bare]\nincludes = ["capex"]\n[gpus.h200]\nusd_per_gpu_hour = { bare = 3.0 }\n')
    path = record(tmp_path / "runs", made.prefill(), made.decode(128, 0.032, 500.0))
    flags = price_flags(price_kind="bare", watts=900.0, pue=1.2)
    (group,) = fleet_of([path], load_price_book(book), flags).rows
    assert group["usd_per_mtok"]["median"] == pytest.approx(3.108 * 0.456 / 3600 / 1024 * 1e6)
    assert group["usd_per_gpu_hour"] == [pytest.approx(3.108)] * 2


def test_counts_by_reason_and_status(tmp_path: Path) -> None:
    throttled = made.decode(32, 0.020, 480.0, valid=False, invalid_reasons=["throttled", "not_repeatable"])
    paths = [
        record(tmp_path, made.prefill(), throttled),
        record(tmp_path, made.prefill(), made.decode(32, 0.020, 480.0), made.out_of_memory(512)),
        record(tmp_path),
    ]
    found = fleet(*paths)
    assert (found.runs, found.points, found.valid) == (3, 5, 3)
    assert found.invalid == {"throttled": 1, "not_repeatable": 1}
    assert found.not_run == {"oom": 1}
    groups = {group["batch"]: group for group in found.rows}
    assert [groups[32][name] for name in ("n", "invalid", "not_run", "runs")] == [1, 1, 0, 2]
    assert groups[32]["usd_per_mtok"]["n"] == 1  # a point that is not valid is in no median
    assert [groups[512][name] for name in ("n", "not_run", "basis", "usd_per_mtok", "cheapest")] == [0, 1, "decode", None, None]


def test_unlike_things_stand_in_groups_of_their_own(tmp_path: Path) -> None:
    like = [made.prefill(), made.decode(32, 0.020, 480.0)]
    variants: list[dict[str, Any]] = [{}, {"gpu": "NVIDIA H100"}, {"model": "other"}, {"precision": "fp8"}, {"kv_cache": "fp8"}, {"mix": "1k/1k"}, {"ep": 8}]
    found = fleet(*(record(tmp_path, *(point | variant for point in like)) for variant in variants))
    assert [group["n"] for group in found.rows] == [1] * len(variants)
    cpus = [record(tmp_path, *map(made.cpu_point, like)) for _ in range(2)]
    path = cpus[1] / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"environment": {"cpu": "Another CPU"}}))
    assert {group["gpu"] for group in fleet(*cpus).rows} == {"cpu", "Another CPU"}


def test_without_a_price_the_cheapest_is_the_fastest(tmp_path: Path) -> None:
    paths = [record(tmp_path, made.prefill(gpu_key=None), made.decode(128, step_s, 500.0, gpu_key=None)) for step_s in (0.040, 0.032)]
    (group,) = fleet(*paths, flags=price_flags()).rows
    assert group["usd_per_mtok"] is None
    assert group["cheapest"] == {"run_id": paths[1].name, "point_id": "001-decode"}


def damaged_runs(root: Path) -> dict[str, str]:
    """Runs that cannot be read -> a part of the reason."""
    good = [made.prefill(), made.decode(32, 0.020, 480.0)]

    def edited(name: str, change: Any) -> str:
        path = record(root, *good)
        (path / name).write_text(change((path / name).read_text()))
        return str(path)

    many = record(root, made.prefill(), emulated(0.02), plans=PLANS)
    (many / "plans" / f"{'f' * 16}.json").write_text('{"no": "calls"}')
    linked = record(root, *good)
    (linked / "points.jsonl").rename(linked / "elsewhere")
    (linked / "points.jsonl").symlink_to(linked / "elsewhere")
    return {
        edited("run.json", lambda text: text.replace('"schema_version": 1', '"schema_version": 99')): "newer tokenmill",
        edited("run.json", lambda text: "{"): "damaged",
        edited("points.jsonl", lambda text: text.replace('"batch":32', '"batch":"32"')): "damaged",
        edited("points.jsonl", lambda text: text.replace('"batch":32', f'"batch":{10**30}')): "damaged",
        edited("points.jsonl", lambda text: text.replace('"window_s":16.0', '"window_s":"long"')): "damaged",
        edited("points.jsonl", lambda text: text.replace('"window_s":16.0', '"window_s":NaN')): "line 2 is damaged",
        edited("points.jsonl", lambda text: text.replace('"precision":"bf16"', '"precision":{"a":[1]}')): "damaged",
        edited("points.jsonl", lambda text: text.replace('"mix":"8k/1k"', '"mix":"8k"')): "mix",
        edited("points.jsonl", lambda text: "[" * 100_000 + "\n"): "line 1 is damaged",
        edited("points.jsonl", lambda text: text.replace('"provenance":{', '"provenance":[{').replace('},"environment"', '}],"environment"')): "damaged",
        str(many): "plan is damaged",
        str(linked): "is a link",
        str(root / "nothing"): "no run",
    }


def test_a_run_that_cannot_be_read_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    good = record(tmp_path, made.prefill(), made.decode(128, 0.032, 500.0))
    why = damaged_runs(tmp_path)
    found = fleet(*map(Path, why), good)
    assert {entry.path for entry in found.unreadable} == set(why)
    for entry in found.unreadable:
        assert why[entry.path] in entry.why, entry
        assert "\n" not in entry.why
    assert (found.runs, found.points) == (1, 2)
    assert [group["usd_per_mtok"]["median"] for group in found.rows] == [pytest.approx(0.4453125)]
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["fleet"]["unreadable"][0].keys() == {"path", "why"}


def test_a_fleet_of_nothing_readable(tmp_path: Path) -> None:
    found = fleet(tmp_path / "a", tmp_path / "b")
    assert (found.runs, found.rows, found.created, len(found.unreadable)) == (0, (), None, 2)
    assert fleet().rows == ()


def test_what_is_wrong_with_the_flags_is_said_once(tmp_path: Path) -> None:
    path = record(tmp_path, made.prefill())
    with pytest.raises(TokenmillError, match="kind of price"):
        fleet(path, path, flags=price_flags(price_kind="nonsense"))
    with pytest.raises(TokenmillError, match="--utilisation"):
        fleet(path, flags=price_flags(utilisation=7.0))
    assert fleet(path, flags=price_flags(own="colocation")).runs == 1


def test_hostile_texts_are_data(tmp_path: Path) -> None:
    hostile = "\x1b]0;x\x07'; DROP TABLE x; --</script>\u202e\x00 \ud800 \"" + "y" * 5000
    path = record(tmp_path, *(point | {"model": hostile, "gpu": hostile} for point in (made.prefill(), made.decode(32, 0.02, 480.0))))
    found = fleet(path)
    (group,) = found.rows
    assert group["n"] == 1
    assert group["model"].startswith("\x1b]0;x\x07'; DROP TABLE x; --</script>")  # as recorded: who prints it makes it inert
    assert len(group["model"]) <= 200
    json.dumps(found.to_json()).encode()


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    paths = [record(tmp_path, made.prefill(), made.decode(batch, 0.032, 500.0)) for batch in (32, 64, 128)]
    paths.append(tmp_path / "nothing")
    alone, together = fleet(*paths, processes=1), fleet(*paths, processes=2)
    assert alone == together
    assert len(alone.rows) == 3


def test_work_is_shared_in_jobs_of_about_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / str(number) for number in range(6)]
    for path, size in zip(paths, (3, 3, 9, 1, 1, 1), strict=True):
        path.mkdir()
        (path / "points.jsonl").write_bytes(b"x" * size)
    monkeypatch.setattr(processes, "JOB_BYTES", 6)
    monkeypatch.setattr(processes, "JOB_RUNS", 2)
    # 3 + 3 fill a job; 9 is more than one holds and stands alone; then two runs to a job.
    assert [[path.name for path in job] for job in processes.in_jobs(paths)] == [["0", "1"], ["2"], ["3", "4"], ["5"]]
    assert processes.processes_for(paths) == 1
    monkeypatch.setattr(processes, "FEW_BYTES", 10)
    assert processes.processes_for(paths) == max(2, min(8, len(os.sched_getaffinity(0))))


def test_without_duckdb_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(TokenmillError, match=r"needs duckdb: pip install 'tokenmill\[report\]'"):
        fleet(tmp_path)
