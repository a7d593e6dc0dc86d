"""`tokenmill explain`: records in, a waterfall, JSON or a timeline out; what was damaged is refused in one line; hostile text is inert."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from profiler.commands.explain import explain
from profiler.record.store import RunWriter
from tests.profiler import handmade_run as made
from tests.profiler import planted_run as planted
from triton_kernels.errors import TokenmillError

SERIES = [
    {"t_s": 1.0 + n, "instant_w": 600.0 + n, "average_w": 590.0, "sm_hz": 1.5e9, "temperature_c": 60.0, "device": "gpu0", "boundary": "board"} for n in range(5)
]  # fmt: skip


def record(root: Path, *points: dict[str, Any], ops: Callable[[dict[str, Any]], list[dict[str, Any]]] | None = None) -> Path:
    """A run on disk; planted points get their operations and a power trace."""
    writer = RunWriter.create(root, subject="qwen3-30b-a3b", argv=["run"], version="0.1.0")
    writer.update(environment=made.run().header["environment"])
    plans = {**made.PLANS, planted.PLAN_ID: planted.plan()}
    for point in points:
        own = point["plan"] == planted.PLAN_ID
        rows = (ops or (lambda _: planted.rows()))(point) if own else []
        writer.commit(point | {"run_id": writer.path.name}, plan=plans.get(point["plan"] or ""), ops=rows, series=SERIES if own else ())
    writer.finish("done")
    return writer.path


def call(*arguments: object, width: int = 80, price: bool = True) -> Result:
    app = typer.Typer()
    app.command()(explain)
    flags = ("--usd-per-gpu-hour", "3.6") if price else ()
    return CliRunner().invoke(app, [*map(str, arguments), *flags], env={"COLUMNS": str(width)})


def fails(*arguments: object) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, TokenmillError), result.output
    assert (result.exception.exit_code, result.stdout) == (2, "")
    assert "\n" not in str(result.exception)
    return str(result.exception)


def said(*arguments: object, width: int = 80, price: bool = True) -> str:
    result = call(*arguments, width=width, price=price)
    assert result.exit_code == 0, result.output
    return result.stdout


def document(*arguments: object) -> dict[str, Any]:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize("width", [80, 120])
def test_the_waterfall_is_read_from_peak_to_delivered_token(tmp_path: Path, width: int) -> None:
    text = said(record(tmp_path, planted.point()), width=width)
    order = ["arithmetic at the peak", "weights and cache, batch 100", "ceilings of this machine", "experts", "head", "launch gaps", "idle", "delivered token"]
    places = [text.index(f"\n{label}") for label in order]
    assert places == sorted(places)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    experts = next(line for line in text.splitlines() if line.startswith("experts"))
    assert experts.split()[-4:] == ["0.160", "0.080", "<0.001", "model"]
    delivered = next(line for line in text.splitlines() if line.startswith("delivered token"))
    assert delivered.split()[-3:] == ["4.00", "2.40", "0.004"]
    flat = " ".join(text.split())
    assert "0.275 PFLOP/s per $/h, dense bf16, datasheet" in flat
    assert "head, bf16, batch 100: 83% of bf16 rate, 38% of the step; at 0.90 it would save $0.00011/Mtok" in flat


def test_the_default_subject_is_the_headlines_mix_then_a_decode_then_what_ran(tmp_path: Path) -> None:
    whole = record(tmp_path, made.prefill(), made.decode(32, 0.020, 480.0), made.decode(128, 0.032, 500.0))
    assert "bf16 batch 128, mix 8k/1k, all-in: the cheapest valid mix" in " ".join(said(whole).split())
    assert document(whole)["subject"]["point_id"] == "decode-b128"
    alone = record(tmp_path, made.decode(32, 0.020, 480.0, valid=False, invalid_reasons=["not_settled"]), made.decode(128, 0.032, 500.0))
    assert document(alone)["subject"] | {"run_id": ""} == {
        "run_id": "", "point_id": "decode-b128", "whole_request": False, "why": "no valid mix; the valid decode with most tokens per GPU",
    }  # fmt: skip
    invalid = record(tmp_path, made.decode(32, 0.020, 480.0, valid=False, invalid_reasons=["not_settled"]))
    text = " ".join(said(invalid).split())
    assert "nothing valid; the first point that ran ✗ not valid: not_settled" in text
    assert "decode alone" in " ".join(said(whole, "--point", "decode-b32").split())


def test_json_has_every_point_and_mix_and_their_bars_add_up(tmp_path: Path) -> None:
    found = document(record(tmp_path, made.prefill(), made.decode(32, 0.020, 480.0), made.decode(128, 0.032, 500.0), planted.point(mix=None)))
    assert list(found) == ["schema_version", "runs", "subject", "points", "mixes", "kernels", "skew", "frontier", "vanity"]
    assert [p["point_id"] for p in found["points"]] == ["prefill-b1", "decode-b32", "decode-b128", "decode-planted"]
    assert [m["price"]["usd_per_mtok"] for m in found["mixes"]] == [pytest.approx(0.8203, rel=1e-4), pytest.approx(0.4453, rel=1e-4)]
    for waterfall in (*found["points"], *found["mixes"]):
        last = waterfall["bars"][-1]["cumulative"]
        assert last["gpu_s"] == pytest.approx(waterfall["delivered"]["gpu_s"])
        assert last["usd_per_mtok"] == pytest.approx(waterfall["price"]["usd_per_mtok"])


def test_without_operations_it_says_how_to_get_them_and_without_a_price_dollars_are_shares(tmp_path: Path) -> None:
    run = record(tmp_path, planted.point(gpu_key=None, gpu=None), ops=lambda _: [])
    assert "`tokenmill run --per-op` gives each one's" in said(run)
    priceless = record(tmp_path, planted.point(gpu_key=None))
    assert "at 0.90 it would save 2.8% of the dollars" in " ".join(said(priceless, price=False).split())


def test_nothing_to_explain_is_said(tmp_path: Path) -> None:
    assert "nothing to explain" in fails(record(tmp_path, made.out_of_memory(512)))
    assert "--point 'none': no such point ran; there are decode-planted" in fails(record(tmp_path, planted.point()), "--point", "none")
    assert "--mw" in fails(record(tmp_path, planted.point()), "--mw", "-3")


def test_skew_and_frontier_of_several_runs_are_shown(tmp_path: Path) -> None:
    def at(limit: float, routing: str, step_s: float) -> dict[str, Any]:
        return made.decode(32, step_s, limit - 20, mix=None, routing=routing, environment={"power_limit_w": limit, "clocks": {"sm_hz": 1.4e9}})

    runs = [record(tmp_path, at(700.0, "balanced", 0.010)), record(tmp_path, at(500.0, "balanced", 0.012)), record(tmp_path, at(700.0, "zipf:1.2", 0.013))]
    text = said(*runs, "--mw", "10", width=120)
    flat = " ".join(text.split())
    assert "routing skew" in text
    assert "+2,998 µs" in text  # 1,231 steps of 16 s against 1,600
    assert "tokenmill never changes one" in text
    assert "best limit by tok/s/MW (board): 500 W; by $/Mtok 700 W" in flat
    assert "10 MW hold 20,833 GPUs of 480 W each (board) at a limit of 500 W: 55.5 M output tok/s" in flat


@pytest.mark.parametrize(
    "damage",
    [
        {"step_s": {"median": "fast"}}, {"ceilings": {"flops_per_s": 3}}, {"kernel_ratio": "high"}, {"windows": 7, "window_s": "long"}, {"environment": 5},
        {"energy_j": [1]}, {"layers_measured": 4},
    ],
)  # fmt: skip
def test_a_damaged_point_is_one_line(tmp_path: Path, damage: dict[str, Any]) -> None:
    assert "damaged" in fails(record(tmp_path, planted.point() | damage))


@pytest.mark.parametrize(
    "damage",
    [
        {"entry": 99}, {"entry": True}, {"entry": "x"}, {"call_s": {"median": -1.0}}, {"call_s": {"median": "slow"}}, {"call_s": 5}, {"call_j": {"mean": []}},
        {"kernel_ratio": -1},
    ],
)  # fmt: skip
def test_damaged_operations_are_one_line(tmp_path: Path, damage: dict[str, Any]) -> None:
    assert "damaged" in fails(record(tmp_path, planted.point(), ops=lambda _: [planted.rows()[0] | damage]))


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    evil = "\x1b[31m[red]x[/red]\u202e"
    run = record(tmp_path, planted.point(model=evil, precision=evil, valid=False, invalid_reasons=[evil], routing=evil))
    text = said(run, width=200)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]x[/red]" in text


def test_a_timeline_follows_the_trace_event_format(tmp_path: Path) -> None:
    phases = [{"name": "warm-up", "t_start_s": 0.5, "t_end_s": 1.0}]
    run = record(tmp_path, planted.point(phases=phases, valid=False, invalid_reasons=["not_settled\x1b"]))
    out = tmp_path / "out.json"
    result = call(run, "--trace", out)
    assert result.exit_code == 0, result.output
    trace = json.loads(out.read_text(), parse_constant=lambda name: pytest.fail(name))
    events = trace["traceEvents"]
    assert {event["ph"] for event in events} == {"X", "C", "M", "i"}
    for event in events:
        assert isinstance(event["name"], str)
        assert event["name"].isprintable()
        assert event["ts"] >= 0
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "X":
            assert event["dur"] >= 0
        if event["ph"] == "C":
            assert all(isinstance(value, float) for value in event["args"].values())
        if event["ph"] == "i":
            assert event["s"] in ("g", "p", "t")
    tracks = {event["args"]["name"]: event["tid"] for event in events if event["name"] == "thread_name"}
    assert set(tracks) == {"points", "phases", "windows", "operations measured alone", "one step, operations as measured alone (modelled order)"}
    spans = [event for event in events if event["ph"] == "X"]
    warm = next(event for event in spans if event["name"] == "warm-up")
    assert (warm["ts"], warm["dur"]) == (0.0, pytest.approx(0.5e6))
    step = [event for event in spans if event["tid"] == tracks["one step, operations as measured alone (modelled order)"]]
    # From the first window on, 0.5 s in: 40, 150, 15 and 160 us end to end.
    assert [event["ts"] for event in step] == [pytest.approx(0.5e6 + at) for at in (0, 40, 190, 205)]
    assert [event["dur"] for event in step] == [pytest.approx(us) for us in (40, 150, 15, 160)]
    power = [event for event in events if event["name"] == "gpu0 power (W)"]
    assert [(event["ts"], event["args"]["instant_w"]) for event in power][:2] == [(pytest.approx(0.5e6), 600.0), (pytest.approx(1.5e6), 601.0)]
    assert next(event for event in events if event["name"] == "gpu0 SM clock (MHz)")["args"] == {"sm_hz": pytest.approx(1500.0)}
    assert next(event for event in events if event["ph"] == "i")["name"] == "not valid: not_settled"


@pytest.mark.parametrize("kind", ["changed", "cut", "gone"])
def test_a_power_trace_that_was_tampered_with_is_refused(tmp_path: Path, kind: str) -> None:
    run, out = record(tmp_path, planted.point()), tmp_path / "out.json"
    series = run / "series" / "decode-planted.jsonl.gz"
    if kind == "changed":
        series.write_bytes(gzip.compress(gzip.decompress(series.read_bytes()).replace(b"604.0", b"304.0")))
    elif kind == "cut":
        series.write_bytes(series.read_bytes()[:-30])
    else:
        series.unlink()
    assert "measure it again" in fails(run, "--trace", out)
    assert not out.exists()


def test_operations_that_were_tampered_with_are_refused(tmp_path: Path) -> None:
    run = record(tmp_path, planted.point())
    ops = run / "ops" / "decode-planted.jsonl.gz"
    ops.write_bytes(gzip.compress(gzip.decompress(ops.read_bytes()).replace(b'"n":5', b'"n":6')))
    assert "its digest differs" in fails(run)


@pytest.mark.parametrize("name", ["run.json", "points.jsonl", "new.json", "series/new.json"])
def test_a_timeline_never_takes_a_record_s_place(tmp_path: Path, name: str) -> None:
    run = record(tmp_path, planted.point())
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert "lies in a run's folder" in fails(run, "--trace", run / name)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_timeline_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    assert "choose another file" in fails(record(tmp_path, planted.point()), "--trace", tmp_path / "no" / "such" / "folder.json")


def test_a_run_named_twice_is_one_run(tmp_path: Path) -> None:
    run = record(tmp_path, planted.point())
    assert len(document(run, run / "run.json")["points"]) == 1


def test_a_library_beside_an_operation_is_told(tmp_path: Path) -> None:
    def compared(point: dict[str, Any]) -> list[dict[str, Any]]:
        rows = planted.rows()
        rows[1] |= {"library": "torch.\x1b[31mmm", "kernel_ratio": 0.5, "kernel_ratio_ci95": [0.49, 0.51], "library_note": None}
        return rows

    path = record(tmp_path, planted.point(), ops=compared)
    head = next(line for line in document(path)["kernels"] if line["kernel_ratio"] is not None)
    assert (head["op"], head["kernel_ratio"]) == (planted.rows()[1]["op"], 0.5)
    screen = said(path, width=200)
    assert "mm takes 0.50 of our time" in screen
    assert "\x1b[31m" not in screen
