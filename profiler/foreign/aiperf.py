"""AIPerf's `profile_export_aiperf.json`: metrics by tag, each with its unit.

Fields: ai-dynamo/aiperf src/aiperf/common/models/export_models.py (JsonExportData, schema 1.0 to 1.4), metrics/types/*.py and common/enums/metric_enums.py
of release 0.13. `inter_token_latency` is (request latency - TTFT) / (OSL - 1), which others call TPOT; `inter_chunk_latency` is their ITL.
Rates are of the whole endpoint. GPUs are counted from `telemetry_data` where it is there, unless FILE@h200x8 says: telemetry sees every GPU of its hosts.
"""

from __future__ import annotations

from collections.abc import Mapping

from profiler.foreign.fields import MOST_GPUS, MOST_JOULES, MOST_SECONDS, MOST_TOKENS_PER_S, MOST_WATTS, Fields
from profiler.foreign.names import gpu_key, model_named
from profiler.foreign.reference import Reference
from profiler.foreign.serving_point import NO_COUNT, ServingPoint, one_over, statistics

_TIMES = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
_RATES = dict.fromkeys(("tokens/sec", "tokens/s", "tok/s", "tokens/sec/user", "tokens/s/user", "requests/sec", "requests/s", "req/s"), 1.0)
_JOULES_PER_TOKEN = {"mJ/token": 1e-3, "J/token": 1.0}
_WATTS = {"W": 1.0, "mW": 1e-3, "kW": 1e3}
_JOULES = {"J": 1.0, "mJ": 1e-3, "MJ": 1e6}
_COUNTS = dict.fromkeys(("tokens", "requests", "count"), 1.0)

_LATENCIES = ("time_to_first_token", "inter_token_latency", "inter_chunk_latency", "request_latency")
_POWER = ("total_gpu_power", "total_gpu_energy", "energy_per_output_token", "energy_per_total_token")
# What a point keeps: the metrics that it is made of. The configuration holds the user's endpoints and command line, which are nobody else's business.
_KEPT = (
    "schema_version", "aiperf_version", "request_count", "error_request_count", "request_throughput", "output_token_throughput", "input_token_throughput",
    "total_token_throughput", "output_token_throughput_per_user", "input_sequence_length", "output_sequence_length", "total_isl", "total_osl",
    "benchmark_duration", "was_cancelled", "is_complete", "incomplete_reason", *_LATENCIES,
    *(f"{vendor}_{name}" for vendor in ("nvidia", "amd") for name in _POWER),
)  # fmt: skip


def is_row(data: Fields) -> bool:
    """Metrics of AIPerf (or GenAI-Perf before it): throughput and latency by tag, each an object with its unit."""
    return isinstance(data.data.get("output_token_throughput"), Mapping) and ("request_latency" in data.data or "time_to_first_token" in data.data)


def point_of(row: Fields, given: Reference) -> ServingPoint:
    """One export as a serving point; `given`: GPU and count from FILE@h200x8."""
    config = row.inner("input_config")
    name = _model(config)
    point = ServingPoint(
        kind="reference", original=row.kept(*_KEPT), gpu=given.gpu, gpu_key=given.gpu, gpus=given.gpus, model=model_named(name) or name,
        concurrency=_concurrency(config),
    )  # fmt: skip
    _telemetry(point, row)
    point.take_precision(given, name)
    _outcome(point, row)
    _rates(point, row)
    point.ttft_s, point.tpot_s, point.itl_s, point.e2e_s = (_times(row, tag) for tag in _LATENCIES)
    point.per_user = one_over(point.tpot_s) or _metric(row, "output_token_throughput_per_user", _RATES, MOST_TOKENS_PER_S, "p50")
    return point


def _metric(row: Fields, tag: str, units: Mapping[str, float], most: float, stat: str = "avg") -> float | None:
    """A statistic of a metric in SI units; TokenmillError for a unit that is not one of `units`."""
    if row.data.get(tag) is None:
        return None
    metric = row.inner(tag)
    unit = metric.text("unit")
    if unit is None or unit not in units:
        raise row.error(f"{tag}.unit", unit, f"one of {', '.join(units)}")
    return metric.number(stat, most=most, scale=units[unit])


def _times(row: Fields, tag: str) -> dict[str, float] | None:
    named = (("median", "p50"), ("mean", "avg"), ("p90", "p90"), ("p95", "p95"), ("p99", "p99"))
    return statistics(*((name, _metric(row, tag, _TIMES, MOST_SECONDS, stat)) for name, stat in named))


def _first(config: Fields, name: str) -> Fields:
    """The last object of a list of the configuration (the profiling phase comes after the warm-up)."""
    items = config.data.get(name)
    last = items[-1] if isinstance(items, list) and items and isinstance(items[-1], Mapping) else {}
    return Fields(file=config.file, where=f"{config.where}{name}.", data=last)


def _model(config: Fields) -> str | None:
    """`models.items[].name` from schema 1.1 on, `endpoint.model_names` before."""
    names = config.inner("endpoint").data.get("model_names")
    old = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
    return _first(config.inner("models"), "items").text("name") or Fields(file=config.file, where="", data={"name": old}).text("name")


def _concurrency(config: Fields) -> int | None:
    return _first(config, "phases").whole("concurrency") or config.inner("loadgen").whole("concurrency") or None


def _outcome(point: ServingPoint, row: Fields) -> None:
    done = _metric(row, "request_count", _COUNTS, MOST_TOKENS_PER_S)
    failed = _metric(row, "error_request_count", _COUNTS, MOST_TOKENS_PER_S)
    point.outcome(None if done is None else round(done), None if failed is None else round(failed))
    if row.flag("was_cancelled"):
        point.invalid_reasons.append("was_cancelled: the run was stopped before its end")
    if row.flag("is_complete") is False:
        point.invalid_reasons.append(f"incomplete: {row.text('incomplete_reason') or 'no reason was given'}")
    if row.data.get("error_summary") and not failed:
        point.warnings.append("the file lists errors but not how many requests failed")


def _rates(point: ServingPoint, row: Fields) -> None:
    read, written = (_metric(row, f"{side}_sequence_length", _COUNTS, MOST_TOKENS_PER_S) for side in ("input", "output"))
    point.isl, point.osl = (None if mean is None else round(mean) for mean in (read, written))
    point.window_s = _metric(row, "benchmark_duration", _TIMES, MOST_SECONDS) or None
    totals = (_metric(row, f"total_{side}", _COUNTS, MOST_JOULES) for side in ("isl", "osl"))
    point.input_tokens, point.output_tokens = (None if total is None else round(total) for total in totals)
    point.requests_per_s = _metric(row, "request_throughput", _RATES, MOST_TOKENS_PER_S) or None
    if point.gpus is None:
        point.warnings.append(NO_COUNT)
        return
    most = MOST_TOKENS_PER_S * point.gpus
    rates = [_metric(row, f"{side}_token_throughput", _RATES, most) for side in ("output", "input", "total")]
    point.output_rate, point.input_rate, point.total_rate = (rate / point.gpus if rate else None for rate in rates)


def _telemetry(point: ServingPoint, row: Fields) -> None:
    """GPUs and board power that AIPerf's telemetry saw, where they are the deployment's."""
    seen: dict[tuple[str, str], str | None] = {}
    for url in row.inner("telemetry_data", "endpoints").data:
        gpus = row.inner("telemetry_data", "endpoints", url, "gpus")
        for key in gpus.data:
            one = gpus.inner(key)
            seen[one.text("hostname") or url, one.text("gpu_uuid") or key] = one.text("gpu_name")
    if not seen:
        return
    if len(seen) > MOST_GPUS:
        raise row.error("telemetry_data", len(seen), f"at most {MOST_GPUS} GPUs")
    names = set(seen.values())
    name = names.pop() if len(names) == 1 else None
    if point.gpu is None:
        point.gpu, point.gpu_key = name, gpu_key(name)
    if point.gpus is None:
        point.gpus = len(seen)
        point.warnings.append(f"{len(seen)} GPUs, counted from telemetry; FILE@h200x8 says it where others were on the hosts")
    if point.gpus != len(seen):
        point.warnings.append(f"no_power: telemetry saw {len(seen)} GPUs, not the {point.gpus} that served")
        return
    vendor = next((v for v in ("nvidia", "amd") if f"{v}_total_gpu_power" in row.data or f"{v}_energy_per_output_token" in row.data), "nvidia")
    point.board_w = _metric(row, f"{vendor}_total_gpu_power", _WATTS, MOST_WATTS) or None
    point.energy_j = _metric(row, f"{vendor}_total_gpu_energy", _JOULES, MOST_JOULES) or None
    point.joules_per_output_token = _metric(row, f"{vendor}_energy_per_output_token", _JOULES_PER_TOKEN, MOST_JOULES) or None
    point.joules_per_total_token = _metric(row, f"{vendor}_energy_per_total_token", _JOULES_PER_TOKEN, MOST_JOULES) or None
