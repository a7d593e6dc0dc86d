"""The flat fields of a point: what it is about, and the measured ones while they are not measured. Importable without torch."""

from __future__ import annotations

from typing import Any

from profiler.measure.point_spec import PointSpec

# Every measured field of a step point. Unmeasured is None, never 0.
UNMEASURED: dict[str, Any] = {
    "step_s": None,
    "windows": [],
    "output_tokens": None,
    "input_tokens": None,
    "cached_tokens": None,
    "tokens_per_step": None,
    "window_s": None,
    "energy_j": None,
    "energy_spread_j": None,
    "energy_disagreement": None,
    "energy_per_step_j": None,
    "dynamic_energy_j": None,
    "board_w": None,
    "board_w_p99": None,
    "module_w": None,
    "memory_w": None,
    "power_scope": None,
    "cpu_w": None,
    "cpu_w_p99": None,
    "cpu_source": None,
    "host_share": None,
    "board_cpu_w": None,
    "node_w": None,
    "node_w_p99": None,
    "idle_board_w": None,
    "event_share": {},
    "phases": [],
    "gpu_states": None,
    "clock": None,
    "per_op": None,
    "digests": {},
    "power_source": "none",
    "sensor_accuracy": None,
    "plan": None,
    "ceilings": None,
    "params": None,
    "weight_bytes": None,
    "kv_bytes_per_token": None,
    "formats": None,
    "numerics": None,
    "valid": False,
    "invalid_reasons": [],
    "warnings": [],
    "provenance": {},
    "environment": {},
}


def subject_fields(spec: PointSpec, environment: dict[str, Any] | None) -> dict[str, Any]:
    """What the point is about, on the machine that `environment` (profiler.measure.environment) describes."""
    from profiler.gpus import gpu_for_name
    from profiler.modelled.link import span_of
    from workloads.depth import reduced
    from workloads.read_model import read_model

    model = read_model(spec.model)
    deployment = spec.deployment
    gpu = (environment or {}).get("gpu")
    known = gpu_for_name(gpu["name"]) if gpu else None
    span = span_of(known, deployment.gpus, spec.span)
    return {
        "kind": "step",
        "model": model.name,
        "weights": model.weights if spec.layers is None else "random",
        "phase": spec.phase,
        "precision": spec.precision,
        "kv_cache": spec.kv_cache,
        "batch": spec.batch,
        "context": spec.context,
        "query_len": 1 if spec.phase == "decode" else spec.context,
        "mix": spec.mix,
        "tp": spec.tp,
        "ep": spec.ep,
        "dp": spec.dp,
        "span": None if span is None else span.name,
        "routing": spec.routing,
        "rank": spec.rank,
        "mtp": spec.mtp,
        "layers_measured": None if spec.layers is None else {kind: list(counts) for kind, counts in reduced(model, spec.layers)[1].items()},
        "seed": spec.seed,
        "gpu": gpu["name"] if gpu else None,
        "gpu_key": known.key if known else None,
        "measured_gpus": 1,
        "deployment_gpus": deployment.gpus,
        "device": (environment or {}).get("device") or spec.device,
        "kernels": spec.kernels,
        "kernel_ratio": None,
    }


def point_environment(environment: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """The few facts of the machine that belong to each point; `measured` has those of its windows (sm_hz, temperature_c, power_limit_w)."""
    gpu = environment.get("gpu") or {}
    clocks = dict(gpu.get("clocks") or {})
    if measured.get("sm_hz") is not None:
        clocks["sm_hz"] = measured["sm_hz"]
    return {
        **{name: environment.get(name) for name in ("driver", "cuda", "torch", "triton", "python", "git")},
        "power_limit_w": measured.get("power_limit_w") if measured.get("power_limit_w") is not None else gpu.get("power_limit_w"),
        "clocks": clocks,
        "temperature_c": measured.get("temperature_c"),
    }
