"""InferenceX (formerly InferenceMAX): aggregated results of its runs, and rows of its dashboard's API.

Fields: SemiAnalysisAI/InferenceX utils/process_result.py (agg_*.json; `results_bmk` is a list of them), utils/agentic/aggregation/process_agentic_result.py
(nested `request_metrics`), utils/aggregate_power.py and aggregate_power_multinode.py; SemiAnalysisAI/InferenceX-app packages/db/src/etl/benchmark-mapper.ts
(API rows: `hardware`, `metrics`).

What is normalised. Where prefill and decode have GPUs of their own, `output_tput_per_gpu` is per *decode* GPU and `input_tput_per_gpu` per *prefill* GPU
(process_result.py; InferenceX issue 299): both become per GPU of the whole deployment. Rates of agentic rows are so already, nested or (until 2026-07, and in
API rows) flat: process_agentic_result.py divides all three by the same count. `tput_per_gpu` counts input and output tokens; where it stands alone
(until 2025-11) output tokens are its share by the nominal lengths. An API row that is not disaggregated names its GPUs twice, as prefill's and as decode's.
"""

from __future__ import annotations

from dataclasses import dataclass

from profiler.foreign.fields import MOST_GPUS, MOST_JOULES, MOST_SECONDS, MOST_TOKENS_PER_S, MOST_WATTS, Fields
from profiler.foreign.names import model_named, recipe_of, runner_gpu_key
from profiler.foreign.serving_point import ServingPoint, one_over, statistics

# Joules per token are of the whole deployment from this version on; before it, of one role where the roles are apart (InferenceX pull request 2599).
WHOLE_DEPLOYMENT = 2
# How far the three rates may be from adding up: they are written with all their digits, so anything more is another denominator.
ADD_UP = 0.01
_LATENCIES = ("ttft", "tpot", "itl", "e2el")


def is_row(data: Fields) -> bool:
    """Whether this is a row of InferenceX: hardware by its name with rates per GPU, or what a failed run leaves of them."""
    named = "hw" in data.data and ("infmax_model_prefix" in data.data or "tput_per_gpu" in data.data)
    return named or ("hardware" in data.data and "metrics" in data.data)


@dataclass(frozen=True, kw_only=True)
class _Gpus:
    """GPUs of the deployment, and the counts that input and output rates are per."""

    whole: int
    prefill: int
    decode: int

    @property
    def apart(self) -> bool:
        return self.prefill != self.whole or self.decode != self.whole


def point_of(row: Fields) -> ServingPoint:
    """One row as a serving point."""
    api = "hardware" in row.data
    figures = row.inner("metrics") if api else row
    point = ServingPoint(kind="reference", original=row.kept(), framework=row.text("framework"), gpu=row.text("hardware", "hw"))
    if row.inner("benchmark_outcome").text("status") == "failed" or row.whole("num_requests_successful") == 0:
        point.error = "the run failed: no request succeeded"
    _name(point, row)
    gpus = _gpus(row, api)
    point.gpus = gpus.whole if gpus else None
    _parallel(point, row, api)
    _lengths(point, row)
    if point.error is None:
        _latencies(point, figures)
        if gpus is None:
            point.invalid_reasons.append("no GPU count: neither num_gpus, tp nor the GPUs of prefill and decode are stated")
        else:
            _rates(point, figures, gpus, roles=gpus.apart and not _is_agentic(row))
            _power(point, figures, gpus)
    return point


def _name(point: ServingPoint, row: Fields) -> None:
    """Model, GPU and precision in tokenmill's names. A deployment of two kinds of GPU has no GPU, and so no price."""
    prefix, model = row.text("infmax_model_prefix"), row.text("model")
    point.model = model_named(prefix, model) or model or prefix
    point.gpu_key = runner_gpu_key(point.gpu)
    prefill, decode = row.text("prefill_hw"), row.text("decode_hw")
    if prefill and decode and prefill != decode:
        point.gpu, point.gpu_key = f"{prefill} (prefill), {decode} (decode)", None
        point.warnings.append(f"prefill ran on {prefill} and decode on {decode}: no one GPU-hour price holds for both")
    point.precision, assumed = recipe_of(row.text("precision"), model=point.model, gpu=point.gpu_key)
    point.warnings += [assumed] if assumed else []
    speculative = row.text("spec_decoding", "spec_method", "mtp")
    point.mtp = speculative is not None and speculative.lower() not in ("none", "off", "false")


def _gpus(row: Fields, api: bool) -> _Gpus | None:
    prefill, decode = row.whole("num_prefill_gpu", most=MOST_GPUS), row.whole("num_decode_gpu", most=MOST_GPUS)
    if prefill and api and row.flag("disagg") is False:
        whole = max(prefill, decode or 0)
        return _Gpus(whole=whole, prefill=whole, decode=whole)
    if prefill:
        whole = prefill + (decode or 0)
        return _Gpus(whole=whole, prefill=prefill, decode=decode or whole)
    size = row.whole("tp", most=MOST_GPUS)
    stated = row.whole("num_gpus", most=MOST_GPUS) or (
        size * (row.whole("pp", most=MOST_GPUS) or 1) * (row.whole("pcp_size", most=MOST_GPUS) or 1) if size else None
    )
    return _Gpus(whole=stated, prefill=stated, decode=stated) if stated else None


def _parallel(point: ServingPoint, row: Fields, api: bool) -> None:
    """tp, ep and dp of the deployment; of its prefill and decode workers where those are apart."""
    apart = bool(row.data.get("num_prefill_gpu")) and not (api and row.flag("disagg") is False)
    roles = {
        role: {
            **_sizes(row, f"{role}_"),
            "gpus": row.whole(f"num_{role}_gpu", most=MOST_GPUS),
        }
        for role in ("prefill", "decode")
    }
    if apart:
        point.workers = roles
        return
    sizes = _sizes(row, "decode_" if api else "")
    point.tp, point.ep, point.dp = sizes["tp"], sizes["ep"], sizes["dp"]


def _sizes(row: Fields, prefix: str) -> dict[str, int | None]:
    """With attention data-parallel each of `tp` GPUs serves sequences of its own, which is dp here; without, they share them."""
    tp, ep = row.whole(f"{prefix}tp", most=MOST_GPUS) or None, row.whole(f"{prefix}ep", most=MOST_GPUS) or None
    return {"tp": 1, "ep": ep, "dp": tp} if row.flag(f"{prefix}dp_attention") and tp else {"tp": tp, "ep": ep, "dp": 1 if tp else None}


def _lengths(point: ServingPoint, row: Fields) -> None:
    """Nominal lengths, or the mean ones of a replayed trace, whose input tokens a cache may have held."""
    point.concurrency = row.whole("users") or row.whole("conc")
    point.isl, point.osl = row.whole("isl"), row.whole("osl")
    tokens = row.inner("request_metrics", "tokens")
    if point.isl is None and tokens.data:
        read, written = (tokens.inner(name).number("mean", most=MOST_TOKENS_PER_S) for name in ("input", "output_actual"))
        point.isl, point.osl = (None if mean is None else round(mean) for mean in (read, written))
        hits = row.inner("server_metrics", "cache").number("overall_cache_hit_rate", most=1.0)
        cached = f", {hits:.0%} of the input found in a cache" if hits is not None else ""
        point.warnings.append(f"a replayed trace: lengths are its means{cached}")


def _latencies(point: ServingPoint, figures: Fields) -> None:
    nested = figures.inner("request_metrics", "latency")
    found = {}
    for name in _LATENCIES:
        inner = nested.inner(name)
        flat = [(stat, figures.number(f"{stat}_{name}", most=MOST_SECONDS)) for stat in ("median", "mean", "p90", "p95", "p99")]
        deep = [(stat, inner.number(key, most=MOST_SECONDS)) for stat, key in (("median", "p50"), ("mean", "mean"), ("p90", "p90"), ("p95", "p95"))]
        found[name] = statistics(*flat) or statistics(*deep)
    point.ttft_s, point.tpot_s, point.itl_s, point.e2e_s = (found[name] for name in _LATENCIES)
    point.per_user = one_over(point.tpot_s) or figures.rate("median_intvty") or one_over(point.itl_s)


def _is_agentic(row: Fields) -> bool:
    """A replayed trace, as result files (`scenario_type`) and API rows (`benchmark_type`) name it; nothing else nests its metrics."""
    named = row.text("scenario_type", "benchmark_type")
    return "request_metrics" in row.data or (named is not None and named.startswith("agentic"))


def _rates(point: ServingPoint, figures: Fields, gpus: _Gpus, *, roles: bool) -> None:
    """The three rates per GPU of the whole deployment. `roles`: the flat fields of output and input are per decode and per prefill GPU."""
    per_gpu = figures.inner("request_metrics", "throughput", "per_gpu")

    def rate(flat: str, total: str, role: str | None, own: int) -> float | None:
        found = figures.rate(flat)
        if found is None:  # what stands elsewhere is of the whole deployment
            whole = figures.number(total, most=MOST_TOKENS_PER_S * gpus.whole)
            return per_gpu.rate(total) or (whole / gpus.whole if whole else None)
        if not roles or role is None:
            return found
        point.warnings.append(f"{flat.partition('_')[0]} tokens/s were per {role} GPU: x {own}/{gpus.whole}")
        return found * own / gpus.whole

    total = point.total_rate = rate("tput_per_gpu", "total_tput_tps", None, gpus.whole)
    written = rate("output_tput_per_gpu", "output_tput_tps", "decode", gpus.decode)
    read = rate("input_tput_per_gpu", "input_tput_tps", "prefill", gpus.prefill)
    if written is None and total is not None and point.isl and point.osl:
        written = total * point.osl / (point.isl + point.osl)
        point.kinds["output_tokens_per_s_per_gpu"] = point.kinds["input_tokens_per_s_per_gpu"] = "modelled"
        point.warnings.append(f"output tokens/s are {point.osl}/{point.isl + point.osl} of input and output together, by the nominal lengths")
    if None not in (total, written, read) and abs(total - written - read) > ADD_UP * total:  # type: ignore[operator]
        point.invalid_reasons.append(f"rates do not add up: {total:.4g} in all, {written:.4g} output, {read:.4g} input tokens/s/GPU")
    point.output_rate, point.input_rate = written, read


def _power(point: ServingPoint, figures: Fields, gpus: _Gpus) -> None:
    """Board power of all GPUs over the run, where its own verdict does not withhold it."""
    if "power_valid" in figures.data and not figures.flag("power_valid"):
        point.warnings.append("no_power: the file's own verdict is power_valid 0")
        return
    each = figures.number("avg_power_w", most=MOST_WATTS)
    point.board_w = figures.number("avg_total_gpu_power_w", most=MOST_WATTS) or (each * gpus.whole if each else None)
    point.energy_j = figures.number("total_gpu_energy_j", most=MOST_JOULES) or None
    version = figures.whole("power_metric_schema_version") or 0
    if gpus.apart and version < WHOLE_DEPLOYMENT:
        if figures.data.get("joules_per_output_token") is not None:
            point.warnings.append("joules per token may be of the decode GPUs alone (no power_metric_schema_version 2): taken from the watts instead")
        return
    point.joules_per_output_token = figures.number("joules_per_output_token", most=MOST_JOULES) or None
    point.joules_per_total_token = figures.number("joules_per_total_token", most=MOST_JOULES) or None
