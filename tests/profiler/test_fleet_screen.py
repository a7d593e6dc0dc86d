"""A fleet on a terminal: counts, sections, the cheapest, what could not be read; hostile texts inert."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from profiler.commands.price_options import price_flags
from profiler.economics.price_book import load_price_book
from profiler.fleet.summary import fleet_of
from profiler.report.fleet import MOST_ROWS, print_fleet, shown_groups
from tests.profiler import handmade_run as made
from tests.profiler.test_fleet import record


def screen(paths: list[Path], width: int = 100, **flags: Any) -> str:
    out = io.StringIO()
    fleet = fleet_of(paths, load_price_book(), price_flags(**({"usd_per_gpu_hour": 3.6} | flags)))
    print_fleet(fleet, Console(file=out, width=width, highlight=False))
    return out.getvalue()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Three runs of one configuration at $0.3953, $0.4453 and $0.5078 per Mtok (worked out in test_fleet), and one with a batch that did not fit."""
    runs = [record(tmp_path, made.prefill(), made.decode(128, step_s, 500.0)) for step_s in (0.0256, 0.032, 0.040)]
    invalid = made.decode(128, 0.032, 500.0, valid=False, invalid_reasons=["throttled"])
    return [*runs, record(tmp_path, made.prefill(), invalid, made.decode(32, 0.020, 480.0), made.out_of_memory(512))]


@pytest.mark.parametrize("width", [100, 80])
def test_a_screen(paths: list[Path], width: int) -> None:
    shown = screen([*paths, paths[0].parent / "nothing"], width)
    assert max(map(len, shown.splitlines())) <= width
    assert "4 runs, 10 points" in shown
    assert "8 valid, 2 not" in shown
    assert "1 throttled" in shown
    assert "1 oom" in shown
    assert "no run" in shown
    assert "NVIDIA H200  qwen3-30b-a3b  8k/1k" in shown
    rows = [line.split() for line in shown.splitlines()]
    # Valid points; tokens/s per user and per GPU of the decode, all-in; J; $; its 10th to 90th percentile. A user's 32 ms are 31.25 tokens/s.
    assert ["128", "mix", "3", "of", "4", "31.2", "4,000", "2,246", "0.262", "0.445", "0.405–0.495"] in rows
    assert any(row[:5] == ["512", "decode", "0", "of", "1"] for row in rows)
    assert "$0.4453 per Mtok" in shown
    assert paths[0].name in shown  # the best run of the cheapest configuration


def test_without_a_price_it_says_so(tmp_path: Path) -> None:
    paths = [record(tmp_path, made.prefill(gpu_key=None), made.decode(128, 0.032, 500.0, gpu_key=None))]
    out = io.StringIO()
    print_fleet(fleet_of(paths, load_price_book(), price_flags()), Console(file=out, width=100))
    assert "the most tokens/s/GPU, and no price" in " ".join(out.getvalue().split())


def test_nothing_readable(tmp_path: Path) -> None:
    shown = screen([tmp_path / str(number) for number in range(8)])
    assert "0 runs, 0 points: 0 valid, 0 not" in shown
    assert shown.count("no run") == 5
    assert "and 3 more runs" in shown


def test_hostile_texts_are_inert(tmp_path: Path) -> None:
    hostile = "[red]x[/red]\x1b[2J\u202e"
    points = [point | {"model": hostile, "gpu": hostile, "precision": hostile} for point in (made.prefill(), made.decode(32, 0.02, 480.0))]
    bad = made.decode(64, 0.02, 480.0, valid=False, invalid_reasons=[hostile])
    shown = screen([record(tmp_path, *points, bad, made.out_of_memory(8) | {"status": hostile})])
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]x[/red][2J" in shown


def test_rows_are_shared_among_the_sections() -> None:
    def group(model: str, usd: float) -> dict[str, Any]:
        return {"gpu": "g", "model": model, "mix": "1k/1k", "usd_per_mtok": {"median": usd}}

    groups = [group(model, usd) for usd in range(MOST_ROWS, 0, -1) for model in ("a", "b", "c")]
    shown = shown_groups(groups)
    # Three sections share 40 rows: 13 of each, the cheapest first.
    assert [(section[1], [one["usd_per_mtok"]["median"] for one in found]) for section, found in shown.items()] == [(m, list(range(1, 14))) for m in "abc"]
    many = shown_groups([group(str(number), 1.0) for number in range(100)])
    assert len(many) == MOST_ROWS
