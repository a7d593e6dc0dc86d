"""The record: what is committed stays readable, what is hostile stays outside, what is secret stays out."""

import errno
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.economics.derive import derive_run
from profiler.economics.prices import price_from_json
from profiler.record import store as record
from profiler.record.redact import redacted, redacted_argv
from profiler.record.rows import compressed, read_rows, text_of
from profiler.record.store import Run, RunWriter, read_run
from triton_kernels.errors import TokenmillError

GOLDEN = Path(__file__).parents[1] / "data" / "golden_v1"
ROOT = Path(__file__).parents[2]
PLAN = {"calls": [{"op": "matmul"}]}


def started(root: Path, **options: Any) -> RunWriter:
    return RunWriter.create(root, **({"subject": "tiny-moe", "argv": ["run", "tiny-moe"], "version": "0.1.0"} | options))


def point(name: str, **fields: Any) -> dict[str, Any]:
    return {"schema_version": 1, "point_id": name, "status": "ok", "plan": "0123456789abcdef"} | fields


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    writer = started(tmp_path)
    writer.update(environment={"torch": "2.13.0"})
    writer.commit(point("000-a"), series=[{"t_s": 1.0, "instant_w": 65.0}, {"t_s": 2.0, "instant_w": None}], plan=PLAN)
    writer.commit(point("001-b"), plan=PLAN)
    assert read_run(writer.path).header["status"] == "running"
    writer.finish("done")
    run = read_run(writer.path)
    assert re.fullmatch(r"\d{8}-\d{6}-tiny-moe-[0-9a-f]{4}", run.run_id)
    assert (run.header["status"], run.header["environment"], run.header["command"]) == ("done", {"torch": "2.13.0"}, "tokenmill run tiny-moe")
    assert [p["point_id"] for p in run.points] == ["000-a", "001-b"]
    assert run.plans == {"0123456789abcdef": PLAN}
    with gzip.open(writer.path / "series" / "000-a.jsonl.gz", "rt") as file:
        assert [json.loads(line)["t_s"] for line in file] == [1.0, 2.0]
    assert not (writer.path / "series" / "001-b.jsonl.gz").exists()  # no samples, no file
    assert list(tmp_path.rglob("*.part")) == []


def test_runs_are_found_by_path_id_and_last(tmp_path: Path) -> None:
    first = tmp_path / "20261122-100000-a-0000"
    last = tmp_path / "20261122-110000-a-0000"
    for path in (last, first):
        path.mkdir()
        (path / "run.json").write_text(json.dumps({"schema_version": 1, "run_id": path.name}))
    (tmp_path / "20991122-110000-a-0000").mkdir()  # no run.json: no run
    assert read_run("last", tmp_path).path == last
    assert read_run(first.name, tmp_path).path == first
    for way in (first, str(first), first / "run.json"):
        assert read_run(way, Path("/nowhere")).path == first
    assert read_run(first).points == []


@pytest.mark.parametrize("ref", ["nothing-here", "../../etc", "/etc/passwd", "a\0b", "x" * 5000, "", "RUN_1"])
def test_hostile_references_get_one_line(tmp_path: Path, ref: str) -> None:
    with pytest.raises(TokenmillError, match="no run"):
        read_run(ref, tmp_path)


def test_no_run_yet(tmp_path: Path) -> None:
    with pytest.raises(TokenmillError, match="holds no run yet"):
        read_run("last", tmp_path / "runs")


def test_torn_last_line_is_dropped_and_a_damaged_one_is_not_hidden(tmp_path: Path) -> None:
    writer = started(tmp_path)
    writer.commit(point("000-a"))
    with (writer.path / "points.jsonl").open("a") as file:
        file.write('{"schema_version": 1, "point_id": "001-')
    assert [p["point_id"] for p in read_run(writer.path).points] == ["000-a"]
    with (writer.path / "points.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(TokenmillError, match="line 2 is damaged"):
        read_run(writer.path)


@pytest.mark.parametrize("line", ["[]", "3", '{"point_id": 5}', '{"point_id": "../../x"}', '{"point_id": "a", "x": NaN}', "[" * 100_000])
def test_lines_that_are_no_points(tmp_path: Path, line: str) -> None:
    writer = started(tmp_path)
    (writer.path / "points.jsonl").write_text(line + "\n")
    with pytest.raises(TokenmillError, match="line 1 is"):
        read_run(writer.path)


@pytest.mark.parametrize(
    "header, words",
    [
        ({"schema_version": 2, "run_id": "a"}, "newer tokenmill"),
        ({"run_id": "a"}, "no schema_version"),
        ({"schema_version": True, "run_id": "a"}, "no schema_version"),
        ({"schema_version": 1}, "no run_id"),
        ([], "not a JSON object"),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, header: Any, words: str) -> None:
    (tmp_path / "run.json").write_text(json.dumps(header))
    with pytest.raises(TokenmillError, match=words):
        read_run(tmp_path)


def test_links_pipes_and_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = started(tmp_path)
    points = writer.path / "points.jsonl"
    points.symlink_to("/etc/passwd")
    with pytest.raises(TokenmillError, match="is a link"):
        read_run(writer.path)
    points.unlink()
    os.mkfifo(points)
    with pytest.raises(TokenmillError, match="not a regular file"):
        read_run(writer.path)
    points.unlink()
    monkeypatch.setattr(record, "MOST_POINTS_BYTES", 100)
    points.write_text("x" * 101)
    with pytest.raises(TokenmillError, match="is over"):
        read_run(writer.path)


def test_a_plan_is_only_looked_for_under_a_plan_s_name(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    writer = started(tmp_path)
    writer.commit(point("000-a", plan="../../secret"))
    assert read_run(writer.path).plans == {}


def test_unwritable_folder_is_one_line_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TokenmillError, match="choose another folder with --out"):
        started(tmp_path / "file" / "runs")


@pytest.mark.parametrize("code, words", [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota is used up")])
def test_full_disk_keeps_what_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str) -> None:
    writer = started(tmp_path)
    writer.commit(point("000-a"))
    real = os.write

    def half(fd: int, data: Any) -> int:
        if len(data) > 100:
            return real(fd, data[:50])  # half a line goes in, then the disk is full
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(TokenmillError, match=words):
        writer.commit(point("001-b", error="x" * 100))
    monkeypatch.undo()
    assert [p["point_id"] for p in read_run(writer.path).points] == ["000-a"]
    writer.commit(point("002-c"))  # space was freed: the torn half is gone
    assert [p["point_id"] for p in read_run(writer.path).points] == ["000-a", "002-c"]


def test_file_size_limit_in_a_real_process(tmp_path: Path) -> None:
    """The kernel itself refuses: RLIMIT_FSIZE, as a disk quota would."""
    code = textwrap.dedent(f"""
        import resource, signal, sys
        from pathlib import Path
        from profiler.record.store import RunWriter
        from triton_kernels.errors import TokenmillError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = RunWriter.create(Path({str(tmp_path)!r}), subject="x", argv=[], version=None)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            for i in range(50):
                writer.commit({{"schema_version": 1, "point_id": f"{{i:03d}}", "plan": None, "text": "y" * 300}})
        except TokenmillError as e:
            print(e)
            sys.exit(e.exit_code)
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "file size limit" in done.stdout
    # Each line is 300 characters of text and some 55 of names: five fit into 2000 bytes.
    assert len(read_run("last", tmp_path).points) == 5


def test_killed_at_random_every_committed_point_is_readable(tmp_path: Path) -> None:
    code = textwrap.dedent(f"""
        from pathlib import Path
        from profiler.record.store import RunWriter
        writer = RunWriter.create(Path({str(tmp_path)!r}), subject="x", argv=[], version=None)
        for i in range(100_000):
            sha = f"{{i % 50:016x}}"
            writer.commit({{"schema_version": 1, "point_id": f"{{i:05d}}", "plan": sha, "text": "y" * 2000}}, series=[{{"t_s": i}}], plan={{"calls": [i % 50]}})
            print(i, flush=True)
    """)
    for attempt in range(5):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        time.sleep(0.013 * attempt)
        process.send_signal(signal.SIGKILL)
        acknowledged = 3 + len(process.communicate(timeout=30)[0].split())
        run = read_run("last", tmp_path)
        assert len(run.points) >= acknowledged
        assert [p["point_id"] for p in run.points] == [f"{i:05d}" for i in range(len(run.points))]
        for p in run.points:
            assert p["plan"] in run.plans
            with gzip.open(run.path / "series" / f"{p['point_id']}.jsonl.gz", "rt") as file:
                assert json.loads(file.read())["t_s"] == int(p["point_id"])
        for path in tmp_path.iterdir():
            path.rename(tmp_path.parent / f"{tmp_path.name}-{attempt}-{path.name}")


def test_empty_run_can_be_discarded_and_others_cannot(tmp_path: Path) -> None:
    writer = started(tmp_path)
    writer.discard()
    assert list(tmp_path.iterdir()) == []
    writer = started(tmp_path)
    writer.commit(point("000-a"))
    writer.discard()
    assert len(read_run(writer.path).points) == 1


def test_golden_run_of_version_1() -> None:
    run = read_run(GOLDEN)
    assert isinstance(run, Run)
    assert [p["status"] for p in run.points] == ["ok", "ok", "oom"]
    assert all(p["plan"] in run.plans for p in run.points[:2])
    derived = derive_run(run, price_from_json(run.header["price"]))
    # 2 x 50 steps of 8 tokens in 2 s; 2 x 8 steps of 512 tokens in 2 s.
    assert derived.points[1]["output_tokens_per_s_per_gpu"] == pytest.approx(400.0)
    assert derived.points[0]["input_tokens_per_s_per_gpu"] == pytest.approx(4096.0)
    # 512 / 4096 + 128 / 400 = 0.445 s of $0.5 an hour for 128 tokens: $0.48286 per Mtok.
    assert derived.mixes[0]["usd_per_mtok"]["value"] == pytest.approx(0.445 * 0.5 / 3600 / 128 * 1e6)
    assert derived.points[2]["output_tokens_per_s_per_gpu"] is None


@pytest.mark.parametrize(
    "argv, kept",
    [
        (["load", "--api-key", "sk-12345678", "--batch", "1"], ["load", "--api-key", "***", "--batch", "1"]),
        (["--api-key=abc", "--hf-token=abc"], ["--api-key=***", "--hf-token=***"]),
        (["--header", "Authorization: Bearer abcdefgh", "-H", "X: y"], ["--header", "***", "-H", "***"]),
        (["http://user:pass@host:8000/v1?key=abc#x"], ["http://host:8000/v1?***#x"]),
        (["OPENAI_API_KEY=abc"], ["OPENAI_API_KEY=***"]),
        (["cost", "--tokens-per-s-per-gpu", "93.25", "--mix-tokens", "6/1"], ["cost", "--tokens-per-s-per-gpu", "93.25", "--mix-tokens", "6/1"]),
        (["run", "models/key/config.json"], ["run", "models/key/config.json"]),
    ],
)
def test_secrets_do_not_reach_the_record(tmp_path: Path, argv: list[str], kept: list[str]) -> None:
    assert redacted_argv(argv) == kept
    writer = started(tmp_path, argv=argv)
    assert read_run(writer.path).header["argv"] == kept


@given(st.text(alphabet="abcdefXYZ0123456789", min_size=8, max_size=30))
def test_free_text_keeps_no_known_secret(secret: str) -> None:
    text = f"failed at https://me:{secret}@host/v1 with Bearer {secret}== and sk-{secret}"
    assert secret not in redacted(text)


def test_rows_that_were_changed_or_cut_short_are_refused(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, subject="tiny-moe", argv=[], version=None)
    series = [{"t_s": 1.0, "instant_w": 65.0}, {"t_s": 2.0, "instant_w": 66.0}]
    writer.commit(point("000-a"), series=series, ops=[{"entry": 0, "op": "matmul"}])
    writer.commit(point("001-b"))
    run = read_run(writer.path)
    assert [read_rows(run, p, "series") for p in run.points] == [series, []]
    assert read_rows(run, run.points[0], "ops") == [{"entry": 0, "op": "matmul"}]
    path = writer.path / "series" / "000-a.jsonl.gz"
    whole = path.read_bytes()
    path.write_bytes(compressed(text_of([series[0], {"t_s": 2.0, "instant_w": 60.0}])))  # somebody's better watts
    with pytest.raises(TokenmillError, match="was changed"):
        read_rows(run, run.points[0], "series")
    for cut in (whole[:-9], whole[: len(whole) // 2], b"", b"no gzip"):
        path.write_bytes(cut)
        with pytest.raises(TokenmillError, match="cut short or damaged"):
            read_rows(run, run.points[0], "series")
    path.write_bytes(compressed(text_of(series[:1])))  # a whole file of fewer samples
    with pytest.raises(TokenmillError, match="was changed"):
        read_rows(run, run.points[0], "series")
    path.unlink()
    with pytest.raises(TokenmillError, match="is missing"):
        read_rows(run, run.points[0], "series")
    (writer.path / "ops" / "000-a.jsonl.gz").write_bytes(gzip.compress(b" " * (65 << 20)))
    with pytest.raises(TokenmillError, match="over 64 MiB"):
        read_rows(run, run.points[0], "ops")
