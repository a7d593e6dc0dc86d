"""The JSON Schema of a record: what tokenmill writes passes it, fields of a later version too; wrong types do not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from profiler.cli import run_command
from profiler.measure.point_fields import UNMEASURED, subject_fields
from profiler.measure.point_spec import PointSpec
from profiler.record.json_schema import ID, PARTS, json_schema
from profiler.record.schema import FIELDS, TYPES
from profiler.record.store import RunWriter
from tests.profiler import handmade_run as made

GOLDEN = Path(__file__).parents[1] / "data" / "golden_v1"


def check(part: str, value: Any) -> None:
    """A ValidationError unless `value` is what the schema says of this part."""
    schema = json_schema()
    Draft202012Validator({"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": f"#/$defs/{part}"}).validate(value)


def test_the_schema_is_one() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == ID == "tokenmill:record/1"
    assert set(schema["$defs"]) == {"run", "point", "window", "series", "op"}


def test_list_schema_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["list", "schema", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["json_schema"] == json_schema()
    row = next(row for row in document["schema"] if (row["where"], row["name"]) == ("point", "energy_j"))
    assert (row["type"], row["nullable"], row["unit"]) == ("number", True, "J")


def test_every_field_has_a_type_and_what_is_required_is_no_null() -> None:
    assert {field.type for field in FIELDS} <= set(TYPES)
    nullable = {(field.where, field.name): field.nullable for field in FIELDS}
    for part, (_, required) in PARTS.items():
        assert {nullable[part, name] for name in required} == {False}


def test_golden_records_pass() -> None:
    points = [json.loads(line) for line in (GOLDEN / "points.jsonl").read_text().splitlines()]
    assert len(points) == 3
    whole = Draft202012Validator(json_schema())  # of a point by itself
    for point in points:
        whole.validate(point)
        for window in point["windows"]:
            check("window", window)
    check("run", json.loads((GOLDEN / "run.json").read_text()))
    samples = [json.loads(line) for path in sorted((GOLDEN / "series").iterdir()) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert samples
    for sample in samples:
        check("series", sample)


def test_what_is_written_passes(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, subject="tiny-moe", argv=["run", "tiny-moe"], version="0.1.0")
    writer.update(price=made.price().json(), not_measured=["skipped one"], environment={"python": "3.12"})
    writer.commit(made.decode(32, 0.02, 480.0), plan=None)
    writer.commit(made.out_of_memory(512))
    writer.finish("done")
    check("run", json.loads((writer.path / "run.json").read_text()))
    for line in (writer.path / "points.jsonl").read_text().splitlines():
        check("point", json.loads(line))


def test_a_point_before_it_is_measured_passes() -> None:
    subject = subject_fields(PointSpec(model="tiny-moe", phase="decode", precision="fp32", kv_cache="fp32", batch=1, context=64), None)
    check("point", {"schema_version": 1, "run_id": "a", "point_id": "b", "status": "failed", "error": "why", **UNMEASURED, **subject})


def test_fields_of_a_later_version_are_allowed() -> None:
    check("point", made.prefill() | {"a_new_figure": {"of": ["any", "kind"]}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": "32"},
        {"batch": 32.5},
        {"energy_j": "480 J"},
        {"energy_j": True},
        {"valid": None},
        {"valid": "true"},
        {"windows": {}},
        {"windows": [{"step_s": 0.02}]},  # a window without its times
        {"windows": [{"t_start_s": 0.0, "t_end_s": 1.0, "energy_j": "much"}]},
        {"invalid_reasons": [None]},
        {"provenance": []},
        {"status": None},
        {"schema_version": 2},
    ],
)
def test_wrong_types_are_refused(wrong: dict[str, Any]) -> None:
    check("point", made.prefill())
    with pytest.raises(ValidationError):
        check("point", made.prefill() | wrong)


@pytest.mark.parametrize(("part", "missing"), [("point", "point_id"), ("run", "run_id"), ("series", "t_s"), ("op", "entry")])
def test_what_every_record_has_is_required(part: str, missing: str) -> None:
    least = {"point": made.prefill(), "run": made.run().header, "series": {"t_s": 1.0}, "op": {"entry": 0, "op": "matmul", "count": 2}}[part]
    check(part, least)
    with pytest.raises(ValidationError, match="required"):
        check(part, {name: value for name, value in least.items() if name != missing})
