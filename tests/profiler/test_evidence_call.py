"""How a call's time is shared, what it writes of itself, and what never leaves a machine."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from profiler.evidence.child import INTERRUPTED, json_rows, run
from profiler.evidence.main import share_s
from profiler.evidence.parts import CALLS, PARTS
from profiler.evidence.record import Record, device_of, read_calls, sources_sha256
from profiler.evidence.runs import LEAST_S, RUNS
from profiler.evidence.text import ROOT, place, shown, without_paths
from profiler.measure.point_spec import PointSpec
from profiler.record.store import Run
from profiler.sweep.conductor import Conductor
from triton_kernels.errors import TokenmillError

GPU = {"gpu": {"name": "NVIDIA H200"}}


def test_a_part_leaves_those_behind_it_their_least() -> None:
    # steps may take all but the least of released (80) and repeat (50); longer is spare, so nothing is kept for it.
    assert share_s(("steps", "released", "repeat"), 540, "cuda") == 410
    assert share_s(("rank", "longer"), 300, "cuda") == 300
    assert share_s(("steps", "released", "repeat"), 200, "cuda") == 180  # its own least comes before theirs
    assert share_s(("steps",), 179, "cuda") is None


def test_every_call_holds_what_its_parts_take() -> None:
    """Nine minutes, and each part as long as it is said to take when its turn comes, all parts being asked for in turn."""
    for names in CALLS:
        left_s = 540.0
        for number, name in enumerate(names):
            if not PARTS[name].spare:
                seconds = share_s(names[number:], left_s, "cuda")
                assert seconds is not None, (name, left_s)
                assert seconds >= PARTS[name].about_s, (name, seconds)
                left_s -= PARTS[name].about_s


def test_the_operations_of_every_planned_run_have_time_of_their_own() -> None:
    """In a part's usual time, less start and ceilings, at least 20 s for the operations of each point: five of them with a library in short windows, at 4 s."""
    runs = RUNS["operations"]
    seconds = [PARTS["operations"].about_s * run.weight / sum(other.weight for other in runs) for run in runs]
    conductor = Conductor(Quiet(), lambda: False)
    conductor.environment = {"device": "cuda"}
    for planned, part_s, points, window_s in zip(runs, seconds, (1, 4), (2.0, 0.2), strict=True):
        spec = PointSpec(model="qwen3-30b-a3b", phase="decode", precision="bf16", kv_cache="bf16", batch=32, context=4096, window_s=window_s, windows=3)
        assert conductor._for_operations(part_s - 30, [spec] * points) >= 20, planned.folder


class Quiet:
    """A display that shows nothing."""

    def stage(self, label: str, event: dict[str, Any]) -> None: ...
    def remaining(self, done: int, total: int, seconds_left: float) -> None: ...
    def first_look(self, label: str, run: Run) -> None: ...
    def committed(self, point: dict[str, Any], run: Run) -> None: ...
    def note(self, text: str) -> None: ...


def test_a_run_that_is_given_its_least_runs() -> None:
    """What a part begins with is over by a moment once its run is asked for."""
    for name, runs in RUNS.items():
        for device in ("cuda", "cpu"):
            assert PARTS[name].least_s[device] > LEAST_S[device] or len(runs) > 1, name


def test_runs_have_folders_of_their_own() -> None:
    folders = [{run.folder for run in runs} for runs in RUNS.values()]
    assert sum(map(len, folders)) == len(set.union(*folders))
    sizes = sorted(run.memory_bytes for run in RUNS["rank"])
    assert sizes == [(0.0, 130e9), (130e9, float("inf"))]  # every GPU has one


def test_calls_are_added_and_a_folder_is_of_one_kind(tmp_path: Path) -> None:
    Record(tmp_path, command="first", device="cuda", environment=GPU).finish(ok=True)
    second = Record(tmp_path, command="second", device="cuda", environment=GPU)
    second.part("steps", ok=False, wall_s=12.34, left_out=["steps: skipped one"])
    second.not_begun("sampling", "only 3 s left")
    second.finish(ok=False)
    calls = read_calls(tmp_path)
    assert [(call["command"], call["ok"]) for call in calls] == [("first", True), ("second", False)]
    assert calls[1]["parts"] == {"steps": {"ok": False, "wall_s": 12.3, "left_out": ["steps: skipped one"]}}
    assert calls[1]["left_out"] == ["steps: skipped one", "sampling (only 3 s left)"]
    Record(tmp_path, command="reads only", device=None, environment=None).finish(ok=True)
    assert device_of(tmp_path) == "cuda"
    with pytest.raises(TokenmillError, match="holds evidence of a GPU"):
        Record(tmp_path, command="third", device="cpu", environment={})


def test_a_file_that_is_none_of_ours_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text('{"environment": {}}')
    with pytest.raises(TokenmillError, match="no list of calls"):
        Record(tmp_path, command="c", device="cuda", environment=GPU)
    assert json.loads((tmp_path / "environment.json").read_text()) == {"environment": {}}


def test_the_digest_of_the_source_tells_a_change_from_a_cache(tmp_path: Path) -> None:
    source = tmp_path / "profiler" / "a.py"
    source.parent.mkdir()
    source.write_text("x = 1\n")
    before = sources_sha256(tmp_path)
    (source.parent / "__pycache__").mkdir()
    (source.parent / "__pycache__" / "a.pyc").write_bytes(b"1")
    assert sources_sha256(tmp_path) == before
    source.write_text("x = 2\n")
    assert sources_sha256(tmp_path) != before


def test_paths_and_names_of_a_machine_stay_there() -> None:
    said = without_paths('File "/opt/torch/.venv/lib/x.py", line 3: https://example.org/a/b, 4.1 K tok/s/GPU, /tmp')
    assert said == 'File "x.py", line 3: https://example.org/a/b, 4.1 K tok/s/GPU, /tmp'
    if len(platform.node()) > 2:
        assert without_paths(f"on {platform.node()}: no") == "on this-host: no"
    assert shown([sys.executable, str(ROOT / "scripts" / "sampling_overhead"), "--batch", "32"]) == "python3 scripts/sampling_overhead --batch 32"
    assert place(ROOT / "docs" / "evidence" / "x") == "docs/evidence/x"
    assert place(Path("/srv/elsewhere/x")) == "x"


def test_a_child_is_ended_when_the_user_asks() -> None:
    ended = run([sys.executable, "-c", "import time; time.sleep(600)"], seconds=600, interrupted=AfterLooks(10), quiet=True)
    assert (ended.why, ended.code) == (INTERRUPTED, -15)  # SIGTERM


def test_a_row_that_was_torn_is_none() -> None:
    assert json_rows('{"a": 1}\nfree text\n{"b": {"c": 2}') == [{"a": 1}]


class AfterLooks:
    """True from the n-th look on."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def __call__(self) -> bool:
        self.looks -= 1
        return self.looks <= 0


def test_the_process_that_only_coordinates_imports_nothing_heavy() -> None:
    """One that held a CUDA context would be a foreign process on the GPU to every measurement."""
    heavy = ("torch", "triton", "pandas", "scipy", "numpy")
    code = f"import sys, profiler.evidence.main; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
