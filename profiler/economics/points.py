"""The figures of one recorded point that follow from what was measured: rates, energy per token, floor, tokens/s per MW."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.economics.formulas import Watts, per_mw, watts_of, weakest
from profiler.economics.possible import refuse_impossible
from profiler.economics.prices import PricePick
from profiler.economics.serving import derive_serving, is_serving
from profiler.gpus import GpuSpec
from profiler.modelled.floor_math import Floor, floor_of_plan, share_of_roofline
from profiler.modelled.link import LinkTime, collective_seconds, span_of

# Below this share of a library's speed, or where nobody compared, a headline says that our kernels and not the GPU may be what is slow.
TUNED_KERNEL_RATIO = 0.85

# The kind of a power figure by its source, for records whose provenance map does not name it.
_SEEN = ("nvml-counter", "nvml-instant", "nvml-average", "rapl", "hwmon", "meter")
_POWER_KINDS = {**dict.fromkeys(_SEEN, "measured"), "replay": "replayed", "declared": "assumed"}


def derive_point(point: Mapping[str, Any], plan: Mapping[str, Any] | None, gpu: GpuSpec | None, price: PricePick | None = None) -> dict[str, Any]:
    """The point plus its derived figures; the recorded ones are left as they are. What cannot be derived is None.

    Rates are per GPU of the deployment and per second of the windows; energies in joules per token; `floor_s` at the run's own measured ceilings, else (and for
    lanes they lack) at the datasheet's. `price` is asked for PUE, declared watts and provisioned kW only.
    """
    if is_serving(point):
        return derive_serving(point, price)
    refuse_impossible(point)
    links = _collectives(point, plan, gpu)
    rates = _rates(point, links)
    energy = _energy(point)
    floor = _floor(point, plan, gpu)
    watts = point_watts(point, price)
    mw = per_mw(rates["output_tokens_per_s_per_gpu"] or None, watts)  # a phase that emits nothing has no such figure, rather than 0
    kinds = _provenance(point, watts, mw, links_kind="assumed" if gpu is None else "modelled")
    derived = {**point, "collective_s": links, **rates, **energy, **floor, "tokens_per_s_per_mw": mw}
    derived["ci95"] = _intervals(point, derived)
    derived["provenance"] = {name: kind for name, kind in kinds.items() if derived.get(name.split(".")[0]) is not None}
    derived["warnings"] = [*(point.get("warnings") or ()), *_kernel_warnings(point), *_network_warnings(derived)]
    return derived


def rates_of_point(point: Mapping[str, Any], plan: Mapping[str, Any] | None, gpu: GpuSpec | None) -> dict[str, float | None]:
    """The rates and joules per token of derive_point alone, for a fleet of points. Of the plan it needs the collectives, and those of several GPUs only."""
    refuse_impossible(point)
    return {**_rates(point, _collectives(point, plan, gpu)), **_energy(point)}


def time_kind(point: Mapping[str, Any]) -> str:
    """The kind of the point's step time. A point that says nothing was measured by the run that wrote it; one rank of several GPUs is emulated."""
    return (point.get("provenance") or {}).get("step_s") or "measured"


def energy_kind(point: Mapping[str, Any]) -> str:
    """The kind of the point's energy, from its provenance, else from its power source."""
    provenance = point.get("provenance") or {}
    return provenance.get("energy_j") or _POWER_KINDS.get(point.get("power_source") or "none", "assumed")


def point_watts(point: Mapping[str, Any], price: PricePick | None) -> Watts:
    """Watts per GPU by boundary. What a sensor gave is the board's (with the CPUs' share: `board_cpu`), what a meter gave or a user declared the node's."""
    gpus, kinds = point.get("measured_gpus") or 1, point.get("provenance") or {}
    found = {name: None if point.get(name) is None else float(point[name]) / gpus for name in ("board_w", "board_cpu_w", "node_w")}
    declared = point.get("power_source") == "declared"  # then no sensor saw a board, whatever old records call it
    return watts_of(
        price,
        board_w=None if declared else found["board_w"],
        board_cpu_w=found["board_cpu_w"],
        board_kind=energy_kind(point),
        board_cpu_kind=kinds.get("board_cpu_w"),
        node_w=found["board_w"] if declared and found["node_w"] is None else found["node_w"],
        node_kind=kinds.get("node_w") or "assumed",
    )


def is_reduced(point: Mapping[str, Any]) -> bool:
    """Whether some of the model's layers were left out: such a step is no model's, and has no tokens/s."""
    return any(measured < whole for measured, whole in (point.get("layers_measured") or {}).values())


def _collectives(point: Mapping[str, Any], plan: Mapping[str, Any] | None, gpu: GpuSpec | None) -> dict[str, float] | None:
    """What the links of an emulated deployment add to the median step. None where every GPU was measured, and where the plan is not there."""
    gpus, step = point.get("deployment_gpus") or 1, (point.get("step_s") or {}).get("median")
    if gpus == 1 or time_kind(point) != "emulated" or plan is None or not step:
        return None
    span = span_of(gpu, gpus, point.get("span"))
    assert span is not None, gpus
    return collective_seconds(LinkTime(gpu=gpu, span=span).of_plan(plan), step)


def serial_s(point: Mapping[str, Any], links: Mapping[str, float] | None) -> float | None:
    """Seconds of collectives behind each step of the point; 0 where its own time has them. None where nobody can tell: then the point has no rate."""
    if links is not None:
        return links["serial"]
    return None if time_kind(point) == "emulated" and (point.get("deployment_gpus") or 1) > 1 else 0.0


def _rates(point: Mapping[str, Any], links: Mapping[str, float] | None) -> dict[str, float | None]:
    """Tokens delivered in the windows over the windows' time, times the data-parallel ranks, per GPU of the deployment.

    An emulated deployment's windows are longer by the collectives of every step, one after the other.
    """
    window_s, gpus, ranks = point.get("window_s"), point.get("deployment_gpus") or 1, point.get("dp") or 1
    step, more_s = (point.get("step_s") or {}).get("median"), serial_s(point, links)
    if more_s is None or is_reduced(point):
        window_s = step = None
    elif more_s and window_s and step:
        tokens, per_step = (point.get("output_tokens") or 0) + (point.get("input_tokens") or 0), point.get("tokens_per_step")
        steps = tokens / per_step if per_step else window_s / step
        window_s, step = window_s + steps * more_s, step + more_s

    def rate(tokens: int | None) -> float | None:
        return None if tokens is None or not window_s else tokens * ranks / window_s / gpus

    output, read = point.get("output_tokens"), point.get("input_tokens")
    return {
        "output_tokens_per_s_per_gpu": rate(output),
        "input_tokens_per_s_per_gpu": rate(read),
        "total_tokens_per_s_per_gpu": None if output is None or read is None else rate(output + read),
        "tokens_per_s_per_user": 1 / step if step and point.get("phase") == "decode" else None,
    }


def _energy(point: Mapping[str, Any]) -> dict[str, float | None]:
    """Joules per token of the whole deployment: the measured GPUs stand for those that were not."""
    joules = None if is_reduced(point) else point.get("energy_j")
    output, read = point.get("output_tokens"), point.get("input_tokens")
    scale = (point.get("deployment_gpus") or 1) / (point.get("measured_gpus") or 1) / (point.get("dp") or 1)

    def per(tokens: int | None) -> float | None:
        return None if joules is None or not tokens else joules * scale / tokens

    return {
        "energy_j_per_output_token": per(output),
        "energy_j_per_total_token": None if output is None or read is None else per(output + read),
    }


def joule_edges(point: Mapping[str, Any]) -> tuple[float, float] | None:
    """The ci95 of the joules per step as fractions of their mean; None without one."""
    found = point.get("energy_per_step_j") or {}
    mean, interval = found.get("mean"), found.get("ci95")
    return (interval[0] / mean, interval[1] / mean) if mean and interval else None


def _intervals(point: Mapping[str, Any], derived: Mapping[str, Any]) -> dict[str, list[float]]:
    """What the noise of the joules makes of the figures that are computed from them. The sensor's accuracy is apart: one factor for all of a board's."""
    edges = joule_edges(point)
    if edges is None or edges[0] <= 0:
        return {}
    low, high = edges
    per_token = {name: derived.get(name) for name in ("energy_j_per_output_token", "energy_j_per_total_token")}
    found = {name: [value * low, value * high] for name, value in per_token.items() if value is not None}
    per_mw = (derived.get("tokens_per_s_per_mw") or {}).get("board")  # tokens per megajoule: one over the joules per token
    return found | ({} if per_mw is None else {"tokens_per_s_per_mw.board": [per_mw / high, per_mw / low]})


def floor_of_point(point: Mapping[str, Any], plan: Mapping[str, Any] | None, gpu: GpuSpec | None) -> Floor | None:
    """The floor of the point's plan at the ceilings measured beside it, the datasheet filling in rates they lack. None without a plan."""
    if plan is None:
        return None
    measured = point.get("ceilings") or {}
    ceilings = {name: rate for name, rate in (measured.get("flops_per_s") or {}).items() if rate is not None}
    if measured.get("bandwidth_bytes_per_s") is not None:
        ceilings["bandwidth"] = measured["bandwidth_bytes_per_s"]
    return floor_of_plan(plan, gpu=gpu, ceilings=ceilings, ceilings_name="measured")


def _floor(point: Mapping[str, Any], plan: Mapping[str, Any] | None, gpu: GpuSpec | None) -> dict[str, Any]:
    floor = floor_of_point(point, plan, gpu)
    if floor is None:
        return {"floor_s": None, "floor_source": None, "share_of_roofline": None, "step_flops": None, "step_memory_bytes": None}
    step = (point.get("step_s") or {}).get("median")
    return {
        "floor_s": floor.floor_s,
        "floor_source": None if floor.floor_s is None else floor.rates_source,
        "share_of_roofline": share_of_roofline(floor.floor_s, step),
        "step_flops": floor.flops,
        "step_memory_bytes": floor.memory_bytes,
    }


def _provenance(point: Mapping[str, Any], watts: Watts, mw: Mapping[str, float | None], *, links_kind: str) -> dict[str, str]:
    """The record's provenance, and for each derived figure the weakest kind of its physical inputs."""
    time, energy = time_kind(point), energy_kind(point)
    kinds = dict(point.get("provenance") or {})
    kinds |= {f"{tokens}_tokens_per_s_per_gpu": time for tokens in ("output", "input", "total")}
    kinds["tokens_per_s_per_user"] = time
    kinds["energy_j_per_output_token"] = kinds["energy_j_per_total_token"] = weakest(time, energy)
    kinds["collective_s"] = links_kind
    kinds["floor_s"] = kinds["share_of_roofline"] = "modelled"
    kinds["step_flops"] = kinds["step_memory_bytes"] = "modelled"
    kinds |= {f"tokens_per_s_per_mw.{boundary}": weakest(time, kind) for boundary, kind in watts.kinds if mw[boundary] is not None}
    return kinds


def _network_warnings(derived: Mapping[str, Any]) -> Sequence[str]:
    return (
        ("no_network: the joules are of one rank's compute; links, switches and waiting for them are not in them",)
        if (derived["collective_s"] is not None and derived.get("energy_j") is not None)
        else ()
    )


def _kernel_warnings(point: Mapping[str, Any]) -> Sequence[str]:
    """`untuned_kernels` where our kernels were not shown to be within 15 % of a library's."""
    if point.get("device") != "cuda" or "untuned_kernels" in (point.get("warnings") or ()):
        return ()
    ratio = point.get("kernel_ratio")
    return ("untuned_kernels",) if ratio is None or ratio < TUNED_KERNEL_RATIO else ()
