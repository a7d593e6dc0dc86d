"""The page of a folder of evidence made by hand: what it says, that it is one page, and that damage in one file costs one section."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from profiler.evidence.library_table import TEN
from profiler.evidence.page.folder import read_folder
from profiler.evidence.page.page import page_text, write_page
from profiler.evidence.page.repeats import spread
from profiler.record.packed import pack_run
from tests.profiler import handmade_run as made
from tests.profiler.recorded_run import recorded

ENVIRONMENT = {
    "python": "3.12.3", "platform": "Linux-6.8", "cpu": "Some CPU", "cpu_count": 16, "torch": "2.11.0", "triton": "3.6.0", "cuda": "13.0",
    "driver": "580.1", "gpu": {"name": "NVIDIA H200", "uuid_hash": "ab", "memory_bytes": 141e9, "sm_count": 132, "arch": 90, "power_limit_w": 700.0},
}  # fmt: skip
# Nineteen operations of three checks, one of which fails.
OPERATIONS = ["attention", *(f"op_{n}" for n in range(18))]
CHECKS = [{"op": op, "case": {}, "dtype": "bf16", "error": 0.005, "tolerance": 0.01, "ok": True} for op in OPERATIONS for _ in range(3)]
CHECKS[0] = CHECKS[0] | {"error": 0.02, "ok": False}
STEP = {"model": "deepseek-r1", "precision": "fp8", "phase": "decode", "batch": 32, "context": 4096, "op": "matmul", "error": 0.002, "tolerance": 0.01}
STEPS = [STEP | {"part": "attention.o", "ok": True}, STEP | {"part": "experts.down", "ok": False, "error": None, "not_finite": "nan"}]
SANITIZER = {
    "version": "2025.3.1.0", "refused": None, "errors": 2, "first_error": ["Invalid __global__ read of size 2 bytes", "at attention_kernel+0x10"],
    "operations": [{"op": op, "cases": 2, "errors": 0, "wrong_results": 0, "ok": True, "why_not": None} for op in OPERATIONS],
}  # fmt: skip
SANITIZER["operations"][0] |= {"errors": 2, "ok": False}
NEWCOMER = {
    "command": "python3 -m tokenmill run", "first_figure_s": 41.0, "end_s": 150.0, "bars": {"first_figure_s": 20.0, "end_s": 180.0},
    "within": {"first_figure_s": False, "end_s": True}, "exit_code": 0, "ended_by": None,
}  # fmt: skip
SAMPLING = {"note": None, "ratio": 1.002, "ci95": [0.999, 1.005], "pairs": 10}
VARIANT = {
    "variant": "attention sm_90 bf16 ROWS=16", "warps": 4, "registers": 168, "spill_bytes": 16, "spills_in_main_loop": 2, "shared_bytes": 65536,
    "programs_per_sm": 3, "limited_by": "registers", "tensor_core": {"HMMA": 32}, "failures": [],
}  # fmt: skip


def library_row(place: int) -> dict[str, Any]:
    shape = TEN[place]
    return {
        "run": shape.folder, "phase": shape.phase, "part": shape.part, "precision": "bf16", "batch": 32, "context": 4096, "why_not": None,
        "library": "torch.mm", "library_note": "without bias", "ours_s": {"median": 1e-4}, "library_s": {"median": 8e-5}, "ratio": 0.8,
        "ratio_ci95": [0.79, 0.81],
        "share_of_flops_per_s": 0.1, "share_of_bandwidth": 0.7, "share_of_floor": 0.7,
    }  # fmt: skip


LIBRARIES = {
    "rows": [library_row(place) for place in range(10)],
    "worst": [{"row": place, "ranked_by": "the library's time over ours", "why_facts": {"variants": [VARIANT], "why_not": None}} for place in (0, 1, 2)],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All parts but `rank` and `sensors`, from two calls."""
    out = tmp_path / "h200-2026-11-28"
    out.mkdir()
    documents = {"correctness": {"rows": CHECKS, "steps": STEPS}, "sanitizer": SANITIZER, "newcomer": NEWCOMER, "sampling": SAMPLING, "libraries": LIBRARIES}
    for name, document in documents.items():
        (out / f"{name}.json").write_text(json.dumps(document))
    (out / "explain.txt").write_text("delivered token\n")
    steps = [made.prefill(), made.decode(32, 0.020, 480.0), made.decode(128, 0.032, 500.0, valid=False, invalid_reasons=["throttled_thermal"])]
    once, again = made.decode(32, 0.020, 480.0, clock={"unix_s": 0.0}), made.decode(32, 0.0202, 480.0, clock={"unix_s": 180.0})
    runs = {".": steps, "newcomer": steps, "released": steps, "operations": [once], "operations-more": steps[:2]}
    for name, points in (runs | {"repeat": [again]}).items():
        (out / name).mkdir(exist_ok=True)
        pack_run(recorded(tmp_path / "runs" / name, *points)[0], out / name)
    entry = {"device": "cuda", "started": "2026-11-28T10:00:00+00:00", "source": {"commit": "c" * 40, "clean": True, "sources_sha256": "5" * 64}}
    entry |= {"environment": ENVIRONMENT, "not_begun": {}, "ok": True}
    done = {"ok": True, "wall_s": 1.0, "left_out": []}
    command = "scripts/gpu_evidence --out docs/evidence/h200-2026-11-28 --part"
    calls = [
        entry | {"command": f"{command} correctness", "parts": {"correctness": done}},
        entry | {"command": f"{command} steps,rank", "parts": {"steps": done | {"left_out": ["steps: skipped b_1"]}}, "not_begun": {"rank": "only 3 s left"}},
    ]
    (out / "environment.json").write_text(json.dumps({"schema_version": 1, "calls": calls}))
    return out


def test_it_says_what_was_found_in_one_page(folder: Path) -> None:
    write_page(folder)
    page = (folder / "summary.md").read_text()
    for said in (
        "# Evidence: NVIDIA H200, 2026-11-28",
        "132 SMs, power limit 700 W; driver 580.1, CUDA 13.0; torch 2.11.0, triton 3.6.0, python 3.12.3",
        "tokenmill at cccccccccccc, clean tree; sources\\_sha256 5555555555555555",
        "scripts/gpu_evidence --out docs/evidence/h200-2026-11-28 --part correctness",
        "56 checks passed, 1 failed",
        "whole steps: 1 passed, 1 failed: **experts.down (deepseek-r1 fp8 decode 32x4096)**, worst 0.20.",
        "| attention | 2 | **1** | 2.00 | **2 errors** |",  # error 0.02 of 0.01 allowed
        "| op\\_0 | 3 | 0 | 0.50 | 2 ok |",
        "memcheck (compute-sanitizer 2025.3.1.0, each tensor an allocation; cases in bf16): 2 errors; the first: Invalid \\_\\_global\\_\\_ read",
        "first figure after 41.0 s (bar 20.0 s: **missed**); end after 2 min 30 s (bar 3 min: met)",
        # 0.02 s a step +/- 1 %; 32 / 0.02 tokens/s; 480 W; 480 / 1600 J; the floor of 16 ms; $0.8203 as handmade_run works out at $3.60 an hour.
        "| steps | qwen3-30b-a3b | bf16 | decode | 32 | 8,704 | 20.00±0.20 | 1,600 | 480 | 0.300 | 80% |",
        "✗ throttled\\_thermal |",
        "| attention.attend, decode 32x4096 | bf16 | 100 µs | torch.mm | 80.0 µs | 0.800±0.010 | 10% | 70% | 70% |",
        "- attention.attend, decode, bf16: attention: 4 warps, 168 registers, 16 B spilled, 2 in the loop, 64 KiB shared, 3 per SM (by registers), 32 HMMA",
        "explain.txt",
        "over one without: 1.0020±0.0030, 10 pairs.",
        "Again 3.0 minutes after: 20.20±0.20 ms, – J a step, +1.00% in time, no joules.",
        "- rank (rank/run.json; only 3 s left): `scripts/gpu_evidence --out h200-2026-11-28 --time-budget 9m --part rank`",
        "- sensors (sensors.json): `scripts/gpu_evidence --out h200-2026-11-28 --time-budget 9m --part sensors`",
        "- steps: skipped b\\_1",
    ):
        assert said in page, said
    assert len(page.splitlines()) <= 90
    assert "rehearsal" not in page.lower()


def test_a_damaged_file_costs_its_section_alone(folder: Path) -> None:
    (folder / "correctness.json").write_text('{"rows": [{"op": 3}]}')
    (folder / "newcomer.json").write_text("{")
    (folder / "released" / "points.jsonl").write_text("{}\n")
    page = page_text(read_folder(folder))
    assert "**checks: its files are not as they should be (KeyError)**" in page
    assert "- newcomer.json cannot be read" in page
    assert "- the run of released cannot be read" in page
    assert "| steps | qwen3-30b-a3b |" in page


def test_nothing_compared_and_nothing_measured_are_said(folder: Path) -> None:
    rows = [row | dict.fromkeys(("library", "library_s", "library_note", "ratio", "ratio_ci95")) for row in LIBRARIES["rows"]]
    rows[9] |= {"why_not": "the run was not recorded"}
    (folder / "libraries.json").write_text(json.dumps({"rows": rows, "worst": []}))
    page = page_text(read_folder(folder))
    assert "**Nobody compared.**" in page
    assert "| attention.qkv, prefill 32x4096 | bf16 | the run was not recorded | – |" in page


def test_what_a_record_holds_is_inert(folder: Path) -> None:
    shutil.rmtree(folder / "released")
    calls = json.loads((folder / "environment.json").read_text())
    calls["calls"][0]["environment"]["gpu"]["name"] = "<script>|`x`"
    calls["calls"][0]["command"] = "```\n# heading"
    (folder / "environment.json").write_text(json.dumps(calls))
    page = page_text(read_folder(folder))
    assert "&lt;script&gt;\\|\\`x\\`" in page
    assert "\n# heading" not in page


def test_spread_is_of_at_least_two() -> None:
    assert spread([10.0, 10.2]) == pytest.approx(0.1414 / 10.1, rel=1e-3)  # half the distance times the root of two
    assert spread([10.0]) is None
