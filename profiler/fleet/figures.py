"""The few figures of each point that a fleet is grouped by and judged on, as rows of plain values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from profiler.economics.formulas import KINDS, weakest
from profiler.economics.prices import PricePick
from profiler.record.store import Run
from profiler.report.rows import Row, ok

# What two points must share to stand in one group: figures of unlike things have no median. `basis`: mix (prefill and decode together), or the one phase
# that was measured. `kind`: of the time behind the rates.
KEYS = {
    "gpu": "VARCHAR", "model": "VARCHAR", "precision": "VARCHAR", "kv_cache": "VARCHAR", "mix": "VARCHAR", "batch": "BIGINT", "concurrency": "BIGINT",
    "tp": "BIGINT", "ep": "BIGINT", "dp": "BIGINT", "basis": "VARCHAR", "kind": "VARCHAR",
}  # fmt: skip

# Per group: n, median, p10 and p90 of the valid points. Names and units as in `tokenmill list schema`.
FIGURES = (
    "output_tokens_per_s_per_gpu", "decode_output_tokens_per_s_per_gpu", "prefill_input_tokens_per_s_per_gpu", "tokens_per_s_per_user",
    "energy_j_per_output_token", "usd_per_mtok",
)  # fmt: skip

# What else a row holds. `*_kind`: place in KINDS, so that the least is the weakest.
OTHERS = {
    "ran": "BOOLEAN", "valid": "BOOLEAN", "usd_per_gpu_hour": "DOUBLE", "energy_kind": "BIGINT", "price_kind": "BIGINT",
    "run_id": "VARCHAR", "point_id": "VARCHAR", "created": "VARCHAR",
}  # fmt: skip

_MOST_TEXT = 200
_MOST_WHOLE = 1 << 53
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[0-9:.+Z-]{0,16}", re.ASCII)


def figure_rows(run: Run, price: PricePick, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """The figures of each row of the run. Raises one of DAMAGE for a record whose fields are not what they should be."""
    machine = (run.header.get("environment") or {}).get("cpu")
    of_run = {"run_id": _text(run.header.get("run_id")), "created": _time(run.header.get("created"))}
    price_kind = None if price.provenance is None else KINDS.index(weakest(price.provenance))
    for row in rows:
        yield of_run | _row(row, machine) | {"price_kind": price_kind if row.mix and row.mix.get("usd_per_mtok") else None}


def _row(row: Row, machine: Any) -> dict[str, Any]:
    subject, mix, basis = row.subject, row.mix or {}, basis_of(row)
    figures = {name: mix.get(name) for name in FIGURES}
    if basis != "mix":
        decode, prefill = row.decode or {}, row.prefill or {}
        figures |= {"decode_output_tokens_per_s_per_gpu": decode.get("output_tokens_per_s_per_gpu")}
        figures |= {"prefill_input_tokens_per_s_per_gpu": prefill.get("input_tokens_per_s_per_gpu")}
        figures |= {"energy_j_per_output_token": decode.get("energy_j_per_output_token"), "tokens_per_s_per_user": decode.get("tokens_per_s_per_user")}
    figures["usd_per_mtok"] = (figures["usd_per_mtok"] or {}).get("value")
    kinds: Mapping[str, Any] = (mix if basis == "mix" else subject).get("provenance") or {}
    ran = ok(subject)
    return {
        "gpu": _text(subject.get("gpu") or machine or subject.get("device")),
        **{name: _text(subject.get(name)) for name in ("model", "precision", "kv_cache", "mix")},
        **{name: _whole(subject.get(name)) for name in ("batch", "concurrency", "tp", "ep", "dp")},
        "basis": basis,
        "kind": weakest(kinds.get("output_tokens_per_s_per_gpu")) if any(figures[name] is not None for name in FIGURES[:3]) else None,
        **{name: None if value is None else float(value) for name, value in figures.items()},
        "ran": ran,
        "valid": ran and not row.invalid_reasons and bool(mix.get("valid") if basis == "mix" else subject.get("valid")),
        "usd_per_gpu_hour": mix.get("usd_per_gpu_hour"),
        "energy_kind": None if figures["energy_j_per_output_token"] is None else KINDS.index(weakest(kinds.get("energy_j_per_output_token"))),
        "point_id": _text(subject.get("point_id")),
    }


def basis_of(row: Row) -> str:
    """What a row's figures are of: mix, where both phases make one; else decode, prefill or serving."""
    if row.mix is not None and row.mix.get("output_tokens_per_s_per_gpu") is not None:
        return "serving" if "serving" in (row.mix.get("points") or {}) else "mix"
    return str(row.subject.get("phase") or row.subject.get("kind") or "decode")[:20]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:_MOST_TEXT]


def _whole(value: Any) -> int | None:
    """A count; one that is none makes the record a damaged one."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_WHOLE:
        raise ValueError(f"{str(value)[:40]!r} is no count")
    return value


def _time(value: Any) -> str | None:
    return value if isinstance(value, str) and _TIME.fullmatch(value) else None
