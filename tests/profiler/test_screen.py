"""The one-screen ending, from runs made by hand: the figures worked out in handmade_run.py, each with its kind, none invented."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from profiler.economics.derive import derive_run
from profiler.economics.prices import PricePick
from profiler.record.store import Run
from profiler.report.headline import levels, phases
from profiler.report.numbers import count, duration, fixed, percent, plus_minus, si
from profiler.report.rows import cheapest, rows_of
from profiler.report.screen import print_screen
from tests.profiler import handmade_run as made


def screen(run: Run, price: PricePick | None, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_screen(run, price, console)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def flowing(text: str) -> str:
    """The screen without its line breaks, for sentences that wrap."""
    return re.sub(r"\s+", " ", text)


def test_table_has_every_figure_of_a_point() -> None:
    lines = screen(made.run(), made.price()).splitlines()
    assert "bf16      32   50.0  1,600  41.0 K  0.437 0.0244 0.625   0.820±0.006  80% 80%" in lines
    assert "bf16     128   31.2  4,000  41.0 K  0.262 0.0244 0.250 0.4453±0.0027  50% 80%" in lines
    assert "               meas   meas    meas   meas   meas  meas    meas×assum    model" in lines


def test_joules_are_those_of_the_whole_mix() -> None:
    # Batch 128: 500 W / 4000 tok/s + 8192 / 1024 x 700 W / 40,960 tok/s = 0.125 + 0.13672 J.
    mix = derive_run(made.run(), made.price()).mixes[1]
    assert mix["energy_j_per_output_token"] == pytest.approx(0.26172, rel=1e-4)


def test_findings() -> None:
    text = flowing(screen(made.run(), made.price()))
    # 31.2 and 50 tok/s/user: all reach 20, one reaches 50.
    assert "at ≥ 20 tok/s/user: bf16 batch 128, $0.4453±0.0027 per Mtok (meas×assum, untuned_kernels)" in text
    assert "at ≥ 50 tok/s/user: bf16 batch 32, $0.820±0.006 per Mtok" in text
    # 1024 tokens in 0.456 s are 2245.6 tok/s; the mix draws (0.2 x 700 + 0.256 x 500) / 0.456 = 587.7 W; 1.73 kW are planned.
    assert "board 3.82 M (meas), provisioned 1.30 M (ref 1.73 kW)" in text
    assert "node – (no meter: --watts W declares it)" in text
    # 989 TFLOP/s x 3600 s / $3.60; (1024 x 4728/128 + 118,200) GFLOP in 0.456 s are 342.2 TFLOP/s.
    assert "tip of the iceberg: 989 PFLOP/$ at the datasheet bf16 peak; the mix gets 342 PFLOP/$, 35%" in text
    # 0.2 of 0.456 s; floors of 10 ms memory and 150 ms arithmetic, 10 ms and 6 ms.
    assert "prefill 44% of the dollars (floor 94% compute-bound), decode 56% (floor 62% memory-bound)" in text
    # $0.8203 - $0.4453.
    assert "--batch 256: the step from 32 to 128, the largest tried, saved $0.375 of $0.8203 per Mtok, 46%" in text


def test_subject() -> None:
    text = flowing(screen(made.run(), made.price()))
    assert "machine NVIDIA H200, 700 W limit, driver 575.57.08, torch 2.13.0, triton 3.7.0: fit to be measured" in text
    assert "qwen3-30b-a3b 30.5 B parameters, 3.35 B active (3.04 B without embedding), random weights 61.1 GB, KV cache 98,304 B per token" in text
    assert "8k/1k: a request is 8,192 input and 1,024 output tokens" in text
    assert "assumed $3.6/GPU-h" in text
    assert "measured read 4.30 of 4.80 TB/s (90%), copy 4.00 TB/s, bf16 788 of 989 TFLOP/s (80%)" in text
    assert f"runs/{made.RUN_ID}" in text
    assert "meas measured in this run; ref cited; model computed; assum declared; – not measured" in text


def test_one_screen() -> None:
    lines = screen(made.run(), made.price()).splitlines()
    assert len(lines) <= 28
    assert max(map(len, lines)) <= 100
    assert max(map(len, screen(made.run(), made.price(), width=80).splitlines())) <= 80
    assert max(map(len, screen(made.run(), made.price(), width=200).splitlines())) <= 100


def test_figures_are_whole_on_a_narrow_screen_and_those_left_out_are_named() -> None:
    long = "a-model-with-a-name-that-is-far-too-long-for-any-table"
    points = [*made.run().points, made.decode(64, 0.025, 490.0, point_id="x", model=long)]
    text = screen(made.run(*points), made.price(), width=80)
    assert "…" not in text
    # 77 cells and 9 of a model folded at 8 letters are more than 80; without 9 of the roofline's, and with 4 of a mark, 81; without 7 of $ in there is room.
    assert "4,000  41.0 K  0.262 0.250 0.4453±0.0027" in text
    assert "\nqwen3-30b-a3b bf16 " in text
    assert "\na-model-with-\na-name-that-i\n" in text
    assert "not shown at this width: $ per Mtok in, share of roofline dec pre" in flowing(text)
    assert "not shown" not in flowing(screen(made.run(*points), made.price(), width=100))


@pytest.mark.parametrize("width", [80, 100])
def test_what_tells_rows_apart_is_there_at_any_width(width: int) -> None:
    fields = {"model": "m" * 30, "routing": "recorded", "kv_cache": "fp8", "precision": "mxfp4-w4a16"}
    points = [*made.run().points, *(p | fields | {"point_id": f"other-{p['point_id']}"} for p in made.run().points)]
    lines = screen(made.run(*points), made.price(), width).splitlines()
    row = next(line for line in lines if "recorded" in line).split()
    assert set(row[0]) == {"m"}
    assert row[1:5] == ["fp8", "recorded", "mxfp4-w4a16", "32"]
    assert "0.820±0.006" in row
    folded = [line for line in lines if re.fullmatch("m+", line)]
    assert folded
    assert all(len(line) >= 8 for line in folded)
    assert max(map(len, lines)) <= width


def test_a_roofline_far_away_is_worth_more_than_a_larger_batch() -> None:
    # Batch 120 to 128 saves little; the decode of 128 is at half its roofline: 0.256 / 0.456 x (1 - 0.5) of $0.4453.
    text = flowing(screen(made.run(made.prefill(), made.decode(120, 0.0305, 500.0), made.decode(128, 0.032, 500.0)), made.price()))
    assert "decode runs at 50% of its roofline: all of it would save $0.125 of $0.4453 per Mtok, 28% (model); 62% of that floor is experts.up" in text


def test_without_a_price_or_power_there_are_dashes_with_reasons_and_no_zero() -> None:
    points = [made.cpu_point(p) for p in (made.prefill(), made.decode(32, 0.020, 0.0))]
    text = screen(made.run(*points), made.no_price())
    row = next(line for line in text.splitlines() if line.startswith("bf16"))
    assert row == "bf16      32   50.0  1,600  41.0 K     –¹    –²    –²       –²  80% 80%"
    flat = flowing(text)
    assert "¹ no power: no NVIDIA driver on this machine; --watts W declares the machine's watts" in flat
    assert "² no GPU of the catalogue, so no price: give --usd-per-gpu-hour or --price-book" in flat
    assert "board – (no sensor)" in flat
    assert "bf16 batch 32, with 1,219 output tok/s of the mix the cheapest at any price (meas)" in flat
    assert "prefill 24% of the dollars" in flat
    assert re.search(r"\$0(\.0*)?\b(?!\.)", flat) is None
    assert "GPUs (a CPU runs" in flat


def test_an_invalid_point_is_marked_and_in_no_headline() -> None:
    bad = made.decode(128, 0.032, 500.0, valid=False, invalid_reasons=["throttled_thermal"])
    run = made.run(made.prefill(), made.decode(32, 0.020, 480.0), bad)
    text = screen(run, made.price())
    assert "128 ✗¹" in text
    flat = flowing(text)
    assert "not fit to be measured: throttled_thermal (1 of 3 points)" in flat
    assert "¹ ✗ not valid: throttled_thermal; kept, and in no headline" in flat
    assert "at ≥ 50 tok/s/user: bf16 batch 32" in flat
    findings = flat[flat.index("cheapest") : flat.index("not in it")]
    assert "batch 128" not in findings


def test_only_invalid_points_have_no_headline() -> None:
    flat = flowing(screen(made.run(made.prefill(), made.decode(32, 0.02, 480.0, valid=False, invalid_reasons=["noise_above_limit"])), made.price()))
    assert "cheapest – no valid point has a mix" in flat
    assert "tok/s/MW – no valid point" in flat
    assert "no mix is valid (noise_above_limit)" in flat


def test_out_of_memory_is_a_row_without_figures() -> None:
    text = screen(made.run(made.prefill(), made.decode(128, 0.032, 500.0), made.out_of_memory(512)), made.price())
    row = next(line for line in text.splitlines() if "512" in line and line.startswith("bf16"))
    assert row.split()[2:4] == ["oom¹", "oom¹"]
    assert not re.search(r"\d", re.sub(r"bf16|512", "", row).translate({ord(c): None for c in "¹²³"}))
    assert "¹ decode bf16 batch 512: out of memory, a result too" in flowing(text)


def test_declared_watts_are_the_nodes_and_assumed() -> None:
    kinds = {"step_s": "measured", "energy_j": "assumed", "node_w": "assumed"}
    points = [
        p | {"power_source": "declared", "provenance": kinds, "board_w": None, "node_w": p["board_w"]} for p in (made.prefill(), made.decode(128, 0.032, 700.0))
    ]
    flat = flowing(screen(made.run(*points), made.price()))
    # 2245.6 tok/s at 700 W; facility: x 1.3.
    assert "node 3.21 M (assum), facility 2.47 M (assum, PUE 1.3)" in flat
    assert "board – (declared watts are the node's)" in flat


def test_decode_alone_has_no_all_in_price() -> None:
    flat = flowing(screen(made.run(made.decode(32, 0.02, 480.0, mix=None, context=4096)), made.price()))
    assert "none: decode at context 4,096 alone, so no all-in price" in flat
    assert "a price needs a mix" in flat
    assert "decode only: the prefill's energy is not in it" in flat
    assert "board 3.33 M (meas)" in flat  # 1600 tok/s at 480 W
    assert "decode alone, batch 32" in flat


def test_an_interrupted_run_says_so() -> None:
    assert "status interrupted: finished points are kept" in flowing(screen(made.run(status="interrupted"), made.price()))


def test_a_run_without_a_point_says_so() -> None:
    flat = flowing(screen(replace(made.run(status="running"), points=[], plans={}), made.price()))
    assert "status running: not finished, or killed; no point was finished" in flat
    assert "at context alone" not in flat


@pytest.mark.parametrize("field", ["model", "precision", "gpu", "routing", "weights", "reasons"])
def test_hostile_strings_are_inert(field: str) -> None:
    hostile = "\x1b]0;owned\x07[red]x[/red]\u202e[link=http://evil]"
    fields = {"warnings": [hostile], "invalid_reasons": [hostile], "valid": False} if field == "reasons" else {field: hostile}
    points = [point | fields for point in made.run().points]
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    print_screen(made.run(*points), made.price(), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "\x1b]" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    if field not in ("routing", "weights", "precision"):
        assert "[red]x[/red]" in re.sub(r"\x1b\[[\d;]*m|\s", "", text)


def test_levels_are_rungs_that_all_and_any_reach() -> None:
    rows = rows_of(derive_run(made.run(), made.price()))
    assert levels(rows) == [20, 50]
    assert levels(rows[:1]) == [50]
    assert levels([]) == []


def test_phases_add_up() -> None:
    rows = rows_of(derive_run(made.run(), made.price()))
    best = cheapest(rows)
    assert best is not None
    found = phases(best, made.PLANS)
    assert [phase.name for phase in found] == ["prefill", "decode"]
    assert sum(phase.share for phase in found) == pytest.approx(1.0)
    assert sum(phase.gpu_s for phase in found) == pytest.approx(0.456)


def test_numbers() -> None:
    assert [fixed(v) for v in (0.06031, 41.25, 999.96, 1234.5, 0.0, 2.1961)] == ["0.0603", "41.2", "1,000", "1,234", "0", "2.20"]
    assert [si(v, "B/s") for v in (4.31e12, 999.9996e9, None)] == ["4.31 TB/s", "1.00 TB/s", "–"]
    assert [si(v, "s") for v in (0.0154, 1.2e-9, 2.5e-12)] == ["15.4 ms", "1.20 ns", "2.5e-12 s"]
    assert [count(v) for v in (123.4, 9999.0, 53902, 2857143, None)] == ["123", "9,999", "53.9 K", "2.86 M", "–"]
    assert [percent(v) for v in (0.783, 0.04, 0.0012, 0.0, None)] == ["78%", "4.0%", "0.12%", "0%", "–"]
    assert plus_minus(0.5182, [0.506, 0.530]) == "0.518±0.012"
    assert plus_minus(0.8203, [0.8140, 0.8266]) == "0.820±0.006"
    assert plus_minus(12345.0, [12000.0, 12700.0]) == "12,345±350"
    assert plus_minus(1.5, None) == "1.50"
    assert plus_minus(18.0, [9.1, 44.0]) == "9.1–44"  # half of it is 17.45, all but the figure itself
    assert plus_minus(1.5, [1.5, 1.5]) == "1.50"
    assert plus_minus(None, None) == "–"
    assert [duration(v) for v in (0.0154, 60, 125, None)] == ["15.4 ms", "1 min", "2 min 5 s", "–"]
