"""Other tools' files are untrusted: each kind of damage is one line that names the file, the row and the field; hostile text is data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from profiler.commands.pricing import pricing_of
from profiler.commands.recorded import priced_runs
from profiler.foreign import rows
from profiler.foreign.found import found_run, found_runs
from profiler.foreign.read import FORMATS, read_foreign
from profiler.foreign.reference import Reference, parted, reference_of
from profiler.record.schema import FIELDS
from tests.profiler import handmade_run as made
from tests.profiler.test_report_command import record
from triton_kernels.errors import TokenmillError

DATA = Path(__file__).parents[1] / "data" / "foreign"
INFERENCEX = json.loads((DATA / "inferencex.json").read_text())
VLLM = json.loads((DATA / "vllm_bench.json").read_text())
HOSTILE = "\x1b]0;owned\x07=cmd()[red]x[/red]</script>\u202egpj"


def refused(path: Path, **said: Any) -> str:
    with pytest.raises(TokenmillError) as caught:
        read_foreign(Reference(path=path, **said))
    text = str(caught.value)
    assert "\n" not in text
    assert "\x1b" not in text
    assert str(path) in text
    return text


def written(tmp_path: Path, content: str | bytes | Any, name: str = "result.json") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content)).encode())
    return path


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("output_tput_per_gpu", -1.0, "row 2: output_tput_per_gpu is -1.0, should be from 0 to 1e+09"),
        ("output_tput_per_gpu", 2e9, "row 2: output_tput_per_gpu is 2000000000.0, should be from 0 to 1e+09"),
        ("output_tput_per_gpu", "many", "row 2: output_tput_per_gpu is 'many', should be a number"),
        ("output_tput_per_gpu", True, "row 2: output_tput_per_gpu is True, should be a number"),
        ("output_tput_per_gpu", [1], "row 2: output_tput_per_gpu is [1], should be a number"),
        ("tput_per_gpu", 10**400, "should be a number"),
        ("num_decode_gpu", 7.5, "row 2: num_decode_gpu is 7.5, should be a whole number"),
        ("num_decode_gpu", 1 << 30, "should be from 0 to 1.049e+06"),
        ("median_ttft", 1e9, "row 2: median_ttft is 1000000000.0, should be from 0 to 1e+07"),
        ("avg_power_w", -5, "row 2: avg_power_w is -5, should be from 0"),
        ("decode_dp_attention", "perhaps", "row 2: decode_dp_attention is 'perhaps', should be true or false"),
        ("model", {"a": 1}, "row 2: model is {'a': 1}, should be text"),
        ("conc", HOSTILE, "row 2: conc is "),
    ],
)
def test_a_field_that_is_not_what_it_should_be(tmp_path: Path, field: str, value: Any, said: str) -> None:
    text = refused(written(tmp_path, [INFERENCEX[0], INFERENCEX[1] | {field: value}]))
    assert said in text
    assert text.endswith("; correct or remove it")


def test_numbers_beyond_a_float_are_refused(tmp_path: Path) -> None:
    text = json.dumps(INFERENCEX).replace("900.0", "1e999", 1)
    assert "row 1: tput_per_gpu is inf, should be from 0 to 1e+09" in refused(written(tmp_path, text))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_number_is_refused(tmp_path: Path, constant: str) -> None:
    assert f"{constant} is not a JSON value" in refused(written(tmp_path, json.dumps(VLLM).replace("2048.0", constant)))
    lines = json.dumps(VLLM) + "\n" + json.dumps(VLLM).replace("2048.0", constant)
    assert "line 2 is damaged" in refused(written(tmp_path, lines))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"\xff\xfe{", "not UTF-8 text"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "holds no row"),
        ("[1, 2]", "row 1 is no JSON object"),
        ('{"a": 1}', "of no format that is known here; known are InferenceX results (JSON), AIPerf's profile_export_aiperf.json, `vllm bench serve"),
        ("a,b\n1,2\n", "of no format that is known here"),
        ("a,b\n", "holds no row"),
        ("tokens/s/gpu,tokens/s/user\n1,2,3\n", "line 2 has 3 cells under 2 columns"),
        ("tokens/s/gpu,tokens/s/user\nnan,2\n", "tokens/s/gpu is 'nan', should be from 0 to 1e+09"),
        ("tokens/s/gpu,tokens/s/user\n" + "1" * 200_000, "not CSV"),
    ],
)
def test_a_file_that_is_no_result(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in refused(written(tmp_path, content))


def test_formats_are_not_mixed_in_one_file(tmp_path: Path) -> None:
    assert "row 2: is not of InferenceX results (JSON), as the first row is" in refused(written(tmp_path, [INFERENCEX[0], VLLM]))


def test_a_file_over_the_cap_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows.MOST_BYTES == 64 << 20
    path = written(tmp_path, VLLM)
    monkeypatch.setattr(rows, "MOST_BYTES", 100)
    assert "leave out what is recorded per request" in refused(path)


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 1)
    assert "holds 5 rows, more than 1" in refused(DATA / "inferencex.json")
    assert "holds more than 1 rows" in refused(DATA / "aiconfigurator_agg.csv")


def test_hostile_text_is_plain_and_short(tmp_path: Path) -> None:
    row = INFERENCEX[0] | {"model": HOSTILE + "x" * 1000, "hw": HOSTILE, "infmax_model_prefix": None, HOSTILE: HOSTILE, "nested": {HOSTILE: 1}}
    ((point,),) = [run.points for run in read_foreign(Reference(path=written(tmp_path, row, name="=1[red].json")))]
    text = json.dumps(point, ensure_ascii=False)
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert len(point["model"]) == 160
    assert "]0;owned=cmd()[red]x[/red]</script>gpj" in point["original"]


def test_what_is_kept_of_a_row_is_bounded(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(200):
        inner["a"] = {"b": 1}
        inner = inner["a"]
    path = written(tmp_path, INFERENCEX[0] | {f"extra{n}": n for n in range(5000)} | {"deep": deep})
    ((point,),) = [run.points for run in read_foreign(Reference(path=path))]
    assert len(point["original"]) == 200


def test_references() -> None:
    assert parted("a/*.json@h200x8") == ("a/*.json", "@h200x8")
    assert parted("runs/user@host") == ("runs/user@host", "")
    file = str(DATA / "vllm_bench.json")
    assert reference_of(file, "@h200x8") == Reference(path=Path(file), gpu="h200", gpus=8)
    assert reference_of(file, "@H200-SXM") == Reference(path=Path(file), gpu="h200")
    assert reference_of(file, "@rtx_pro_6000x2") == Reference(path=Path(file), gpu="rtx_pro_6000", gpus=2)
    assert reference_of(file, "@h200x8,FP8") == Reference(path=Path(file), gpu="h200", gpus=8, precision="fp8")
    assert reference_of(file, "@,bf16") == Reference(path=Path(file), precision="bf16")
    assert reference_of(file, "@x16") == Reference(path=Path(file), gpus=16)
    assert reference_of(file) == Reference(path=Path(file))
    assert reference_of("last") is None
    assert reference_of("runs") is None
    assert reference_of("x" * 5000) is None


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("vllm_bench.json@", "after @ should be GPU, count and format, each as needed, such as @h200x8 or @h200x8,fp8"),
        ("vllm_bench.json@x0", "after @ should be"),
        ("vllm_bench.json@8", "after @ should be"),
        ("vllm_bench.json@h200x9999999", "unknown GPU 'h200x9999999'"),
        ("vllm_bench.json@h2000x8", "unknown GPU 'h2000'"),
        ("nowhere.json@h200x8", "no such file"),
        ("nowhere.json", "no such file"),
        ("inferencex.json@h200x8", "states its own GPU counts and formats; leave out x8"),
        ("inferencex.json@h200,fp8", "leave out ,fp8"),
        ("vllm_bench.json@h200x8,fp3", "unknown precision 'fp3'"),
        ("inferencex.json@h100", "has no row of h100; its GPUs: b200, gb200, h200, others"),
    ],
)
def test_bad_references(ref: str, said: str) -> None:
    with pytest.raises(TokenmillError) as caught:
        found_runs(str(DATA / ref), DATA)
    assert said in str(caught.value)


def test_patterns_of_files_and_a_name_with_an_at(tmp_path: Path) -> None:
    for name in ("a.json", "b.json", "c@h200x8.json"):
        written(tmp_path, VLLM, name)
    assert [run.points[0]["deployment_gpus"] for run in found_runs(f"{tmp_path}/*.json@h200x4", tmp_path)] == [4, 4, 4]
    assert found_run(f"{tmp_path}/c@h200x8.json", tmp_path).points[0]["deployment_gpus"] is None


def test_one_run_where_one_is_asked_for() -> None:
    assert found_run(str(DATA / "inferencex.json@gb200"), DATA).points[0]["gpu_key"] == "gb200"
    with pytest.raises(TokenmillError, match=r"holds 4 runs: name one of them, as FILE@b200"):
        found_run(str(DATA / "inferencex.json"), DATA)


def test_a_users_own_runs_are_found_as_before(tmp_path: Path) -> None:
    run_id = record(tmp_path, made.run().points)
    for ref in ("last", run_id, str(tmp_path / run_id), str(tmp_path / run_id / "points.jsonl")):
        assert found_run(ref, tmp_path).run_id == run_id


def test_what_is_neither_is_said_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for ref in ("nobody", str(tmp_path / "pipe.json")):
        with pytest.raises(TokenmillError, match="no run"):
            found_runs(ref, tmp_path)


def test_the_schema_covers_every_field_of_a_serving_point() -> None:
    named = {field.name for field in FIELDS if field.where in ("point", "derived", "serving")}
    own = {field.name for field in FIELDS if field.where == "serving"} - {"floor_split"}  # when asked for
    for path in sorted(DATA.iterdir()):
        for _, _, derived in priced_runs([str(path)], DATA, pricing_of()):
            for point in derived.points:
                assert own <= set(point) <= named, path


def test_every_format_has_a_fixture_that_it_alone_takes() -> None:
    taken: dict[str, set[str]] = {}
    for path in sorted(DATA.iterdir()):
        _, (first, *_) = rows.rows_of(path)
        (form,) = (form for form in FORMATS if form.is_row(first))
        taken.setdefault(form.name, set()).add(path.name)
    assert set(taken) == {form.name for form in FORMATS}


def test_reading_a_file_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path; from profiler.commands.pricing import pricing_of; from profiler.commands.recorded import priced_runs; "
        f"priced_runs([{str(DATA / 'inferencex.json')!r}], Path('runs'), pricing_of()); "
        "print(*sorted({'torch', 'pandas', 'triton', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[2], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
