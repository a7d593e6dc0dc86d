"""JSON Schema of a record, made from the one table of fields: for those who check, index or generate records with other tools."""

from __future__ import annotations

from typing import Any

from profiler.record.schema import FIELDS, SCHEMA_VERSION, TYPES, Field

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = f"tokenmill:record/{SCHEMA_VERSION}"

# Part of a record -> (what it is, fields that every one has). Older records lack fields that came later.
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "run": ("run.json of a run's folder", ("schema_version", "run_id")),
    "point": ("a line of points.jsonl", ("schema_version", "point_id")),
    "window": ("an entry of a point's `windows`", ("t_start_s", "t_end_s")),
    "series": ("a line of series/<point_id>.jsonl.gz", ("t_s",)),
    "op": ("a line of ops/<point_id>.jsonl.gz", ("entry", "op", "count")),
}

# Lists whose entries have a part's form, or are of one type.
_ENTRIES: dict[tuple[str, str], dict[str, Any]] = {
    ("point", "windows"): {"$ref": "#/$defs/window"},
    ("point", "invalid_reasons"): {"type": "string"},
    ("point", "warnings"): {"type": "string"},
    ("run", "argv"): {"type": "string"},
    ("run", "not_measured"): {"type": "string"},
}


def json_schema() -> dict[str, Any]:
    """The schema of draft 2020-12: of a point by itself, of the other parts under `$defs` (`tokenmill:record/1#/$defs/run`).

    Fields that it does not name are allowed: a later minor version adds some. `x-unit` is a field's unit.
    """
    return {
        "$schema": DIALECT,
        "$id": ID,
        "title": "tokenmill record",
        "description": "A point of a recorded run; other parts of a record under $defs. null means not measured, never 0.",
        "$ref": "#/$defs/point",
        "$defs": {part: _part(part, what, required) for part, (what, required) in PARTS.items()},
    }


def _part(part: str, what: str, required: tuple[str, ...]) -> dict[str, Any]:
    return {
        "description": what,
        "type": "object",
        "properties": {field.name: _property(field) for field in FIELDS if field.where == part},
        "required": list(required),
    }


def _property(field: Field) -> dict[str, Any]:
    kind = TYPES[field.type]
    schema: dict[str, Any] = {"description": field.meaning, "type": [kind, "null"] if field.nullable else kind}
    if field.unit:
        schema["x-unit"] = field.unit
    if field.name == "schema_version":
        schema |= {"minimum": 1, "maximum": SCHEMA_VERSION}
    if (field.where, field.name) in _ENTRIES:
        schema["items"] = _ENTRIES[field.where, field.name]
    return schema
