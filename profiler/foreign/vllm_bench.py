"""`vllm bench serve --save-result` (and InferenceX's own client, which grew from it).

Fields: vllm-project/vllm vllm/benchmarks/serve.py, `result` of benchmark() and `result_json` of main_async(); --append-result writes one JSON per line.
Rates are of the whole server, times in ms. The file does not say how many GPUs serve, nor which: FILE@h200x8 does. A sweep (vllm/benchmarks/sweep/serve.py,
summary.json) holds the server's parallel sizes, from which vLLM's own plot_pareto.py counts GPUs: they are taken where they are there.
"""

from __future__ import annotations

from profiler.foreign.fields import MOST_GPUS, MOST_SECONDS, MOST_TOKENS_PER_S, Fields
from profiler.foreign.names import model_named
from profiler.foreign.reference import Reference
from profiler.foreign.serving_point import NO_COUNT, ServingPoint, one_over, statistics

_SIZES = (("tensor_parallel_size", "tp"), ("pipeline_parallel_size", "pp"), ("data_parallel_size", "dp"))
_MS = 1e-3


def is_row(data: Fields) -> bool:
    return "output_throughput" in data.data and ("total_token_throughput" in data.data or "request_throughput" in data.data)


def point_of(row: Fields, given: Reference) -> ServingPoint:
    """One result as a serving point; `given`: GPU and count from FILE@h200x8."""
    name = row.text("model_id", "model")
    point = ServingPoint(
        kind="reference", original=row.kept(), gpu=given.gpu, gpu_key=given.gpu, gpus=given.gpus,
        model=model_named(name) or name, concurrency=row.whole("max_concurrency"),
    )  # fmt: skip
    point.take_precision(given, name)
    _sizes(point, row)
    _tokens(point, row)
    point.ttft_s, point.tpot_s, point.itl_s, point.e2e_s = (_milliseconds(row, name) for name in ("ttft", "tpot", "itl", "e2el"))
    point.per_user = one_over(point.tpot_s)
    return point


def _sizes(point: ServingPoint, row: Fields) -> None:
    tp, pp, dp = (next((size for name in (long, short) if (size := row.whole(name, most=MOST_GPUS))), None) for long, short in _SIZES)
    if tp is None:
        return
    point.tp, point.dp = tp, dp or 1
    if point.gpus is None:
        point.gpus = tp * (pp or 1) * (dp or 1)
        point.warnings.append(f"{point.gpus} GPUs, from the parallel sizes in the file")


def _tokens(point: ServingPoint, row: Fields) -> None:
    done, failed, asked = row.whole("completed"), row.whole("failed"), row.whole("num_prompts")
    point.outcome(done, failed if failed is not None else max(0, asked - done) if asked is not None and done is not None else None)
    point.window_s = row.number("duration", most=MOST_SECONDS) or None
    point.input_tokens, point.output_tokens = row.whole("total_input_tokens"), row.whole("total_output_tokens")
    point.requests_per_s = row.number("request_throughput", most=MOST_TOKENS_PER_S) or None
    if done:
        point.isl, point.osl = (None if tokens is None else round(tokens / done) for tokens in (point.input_tokens, point.output_tokens))
    most = MOST_TOKENS_PER_S * (point.gpus or 1)
    written, both = row.number("output_throughput", most=most), row.number("total_token_throughput", most=most)
    if point.gpus is None:
        point.warnings.append(NO_COUNT)
        return
    point.output_rate, point.total_rate = ((rate / point.gpus if rate else None) for rate in (written, both))
    if point.window_s and point.input_tokens:
        point.input_rate = point.input_tokens / point.window_s / point.gpus


def _milliseconds(row: Fields, name: str) -> dict[str, float] | None:
    return statistics(*((stat, row.number(f"{stat}_{name}_ms", most=MOST_SECONDS, scale=_MS)) for stat in ("median", "mean", "p90", "p95", "p99")))
