"""aiconfigurator's `pareto.csv` and `best_config_topn.csv`: what a model of the server predicts, so every figure is `modelled`.

Columns: ai-dynamo/aiconfigurator sdk/common.py (ColumnsAgg, ColumnsDisagg), sdk/sweep.py, sdk/picking.py. `tokens/s` are output tokens (seq/s x osl);
`tokens/s/gpu` is per GPU of one replica (`num_total_gpus`, prefill and decode workers together); `power_w` is per GPU, and 0.0 where its tables have none.
`tpot` of a saved file may hold the first token too (cli/report_and_save.py, _apply_inclusive_tpot): the time per token is one over `tokens/s/user`.
"""

from __future__ import annotations

from profiler.foreign.fields import MOST_GPUS, MOST_SECONDS, MOST_TOKENS_PER_S, MOST_WATTS, Fields
from profiler.foreign.names import gpu_key, model_named, recipe_of
from profiler.foreign.serving_point import ServingPoint, statistics

_MS = 1e-3
_ROLES = {"prefill": "(p)", "decode": "(d)"}
_CACHE = {"float16": "fp16", "bfloat16": "bf16"}


def is_row(data: Fields) -> bool:
    return "tokens/s/gpu" in data.data and "tokens/s/user" in data.data


def point_of(row: Fields) -> ServingPoint:
    """One candidate configuration as a serving point."""
    apart = row.text("(d)system", "(d)tp") is not None
    side = "(d)" if apart else ""
    name = row.text("model")
    system, other = row.text(f"{side}system", "system"), row.text("(p)system")
    point = ServingPoint(
        kind="modelled", original=row.kept(), framework=row.text(f"{side}backend", "backend"), gpu=system, gpu_key=gpu_key(system),
        gpus=row.whole("num_total_gpus", most=MOST_GPUS) or None, model=model_named(name) or name, concurrency=row.whole("concurrency") or None,
        isl=row.whole("isl"), osl=row.whole("osl"), cached=row.whole("prefix") or 0,
    )  # fmt: skip
    if apart and other and other != system:
        point.gpu, point.gpu_key = f"{other} (prefill), {system} (decode)", None
        point.warnings.append(f"prefill on {other} and decode on {system}: no one GPU-hour price holds for both")
    _precision(point, row, side)
    _parallel(point, row, apart)
    _rates(point, row)
    return point


def _precision(point: ServingPoint, row: Fields, side: str) -> None:
    """Experts in MXFP4 make the recipe mxfp4, as gpt-oss is; else the matrices' format is the recipe's."""
    dense, experts = row.text(f"{side}gemm", "gemm"), row.text(f"{side}moe", "moe")
    point.precision, _ = recipe_of(experts if experts and "mxfp4" in experts else dense)
    cache = row.text(f"{side}kvcache", "kvcache")
    point.kv_cache = _CACHE.get(cache, cache) if cache else None


def _parallel(point: ServingPoint, row: Fields, apart: bool) -> None:
    def sizes(side: str) -> dict[str, int | None]:
        return {name: row.whole(f"{side}{column}", most=MOST_GPUS) or None for name, column in (("tp", "tp"), ("ep", "moe_ep"), ("dp", "dp"), ("pp", "pp"))}

    if not apart:
        here = sizes("")
        point.tp, point.ep, point.dp = here["tp"], here["ep"], here["dp"]
        return
    workers = {role: (sizes(side), row.whole(f"{side}workers", most=MOST_GPUS) or 1) for role, side in _ROLES.items()}
    point.workers = {
        role: {**found, "gpus": (found["tp"] or 1) * (found["dp"] or 1) * (found["pp"] or 1) * count} for role, (found, count) in workers.items()
    }  # fmt: skip


def _rates(point: ServingPoint, row: Fields) -> None:
    point.output_rate, point.per_user = row.rate("tokens/s/gpu"), row.rate("tokens/s/user")
    requests = row.number("seq/s/gpu", most=MOST_TOKENS_PER_S)
    if requests and point.isl:
        point.input_rate = requests * point.isl
    point.requests_per_s = row.number("seq/s", most=MOST_TOKENS_PER_S) or None
    point.ttft_s = statistics(("mean", row.number("ttft", most=MOST_SECONDS, scale=_MS)))
    point.e2e_s = statistics(("mean", row.number("request_latency", most=MOST_SECONDS, scale=_MS)))
    point.tpot_s = statistics(("mean", 1 / point.per_user if point.per_user else row.number("tpot", most=MOST_SECONDS, scale=_MS)))
    watts = row.number("power_w", most=MOST_WATTS)
    point.board_w = watts * point.gpus if watts and point.gpus else None
    if watts == 0:
        point.warnings.append("no_power: power_w is 0.0, which aiconfigurator writes where its tables hold none")
    cluster = row.rate("tokens/s/gpu_cluster")
    if cluster is not None and point.output_rate is not None and abs(cluster - point.output_rate) > 1e-3 * point.output_rate:
        point.warnings.append(f"tokens/s/gpu is of one replica of {point.gpus} GPUs; of the whole budget, idle GPUs with it, it is {cluster:.4g}")
