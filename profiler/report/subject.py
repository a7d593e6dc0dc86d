"""The head of the screen: which machine, which model, which tokens, which price, which ceilings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.economics.prices import PricePick, price_summary
from profiler.gpus import GPUS
from profiler.modelled.mix import parse_mix
from profiler.report.numbers import NONE, percent, si
from profiler.report.rows import Figures, ok
from profiler.report.text import printable

# Said of every point on a machine without GPU, or for every kernel that nobody compared: they make no machine unfit.
_EXPECTED = ("no_power", "untuned_kernels", "no_network")


def machine(header: Mapping[str, Any], points: Sequence[Figures]) -> str:
    """The hardware and software, and whether what was measured on it may be believed; of another tool's result, that it is one."""
    served = next((point for point in points if point.get("source_format")), None)
    if served is not None:
        said = f"{served.get('gpu') or 'a GPU that was not stated'}, as {served['source_format']} has it"
        doubts = sum(1 for point in points for _ in point.get("warnings") or ())
        return printable(said) + ("" if not doubts else f": {doubts} warning{'s' if doubts > 1 else ''} (--json)")
    environment = header.get("environment") or {}
    gpu = environment.get("gpu") or {}
    named = next((p["gpu"] for p in points if p.get("gpu")), None) or (gpu.get("name") if isinstance(gpu, Mapping) else gpu)
    cpu = environment.get("cpu")
    parts = [named or (f"{cpu}, {environment.get('cpu_count')} cores, no GPU used" if cpu else "a machine that was not recorded")]
    limit = gpu.get("power_limit_w") if isinstance(gpu, Mapping) else None
    if limit is not None:
        parts.append(f"{si(limit, 'W')} limit")
    parts += [f"{name} {environment[name]}" for name in ("driver", "torch", "triton") if environment.get(name)]
    return f"{printable(', '.join(parts))}: {fitness(points)}"


def fitness(points: Sequence[Figures]) -> str:
    """The verdict over all points that ran: fit, fit with reservations, or not fit, with the reasons."""
    ran = [point for point in points if ok(point)]
    invalid = [point for point in ran if not point.get("valid")]
    if not ran:
        return "[red]nothing was measured[/]"
    if invalid:
        reasons = dict.fromkeys(str(r) for p in invalid for r in p.get("invalid_reasons") or ())
        return f"[red]not fit to be measured[/]: {printable(', '.join(reasons))} ({len(invalid)} of {len(ran)} points)"
    doubts = dict.fromkeys(str(w) for p in ran for w in p.get("warnings") or () if not str(w).startswith(_EXPECTED))
    if doubts:
        first, more = next(iter(doubts)), f" and {len(doubts) - 1} more warnings" if len(doubts) > 1 else ""
        return f"[yellow]fit, with reservations[/]: {printable(first)}{more}"
    return "[green]fit to be measured[/]"


def model(points: Sequence[Figures]) -> str:
    """Sizes in both conventions of "active": with and without the embedding table, of which a token reads one row."""
    point = next((p for p in points if p.get("params")), None)
    if point is None:
        return printable(points[0].get("model")) if points else NONE
    params = point["params"]
    active, bare = params.get("active"), params.get("active_without_embedding")
    sizes = f"{_count(params.get('total'))} parameters"
    if active is not None and active != params.get("total"):
        sizes += f", {_count(active)} active ({_count(bare)} without embedding)"
    else:
        sizes += f" ({_count(bare)} without embedding)"
    weights = {"random": "random weights", "files": "weights from files"}.get(str(point.get("weights")), "weights")
    cache = point.get("kv_bytes_per_token")
    kv = f", KV cache {cache:,.0f} B per token" if cache is not None else ""
    return f"[bold]{printable(point.get('model'))}[/]  {sizes}, {weights} {si(point.get('weight_bytes'), 'B')}{kv}, {_deployment(point)}"


def _count(parameters: float | None) -> str:
    if parameters is None:
        return NONE
    return f"{parameters / 1e9:.3g} B" if parameters >= 1e9 else f"{parameters / 1e6:.3g} M"


def _deployment(point: Figures) -> str:
    gpus = point.get("deployment_gpus") or 1
    routing = f", {printable(point.get('routing'))} routing" if point.get("routing") else ""
    depth = ""
    if point.get("layers_measured"):
        layers = ", ".join(f"{measured} of {whole} {printable(kind)}" for kind, (measured, whole) in point["layers_measured"].items())
        depth = f"; measured with {layers} layers, so no tokens/s and no price"
    if point.get("mtp"):
        routing += ", with multi-token prediction"
    if gpus > 1:
        rank = point.get("rank")
        played = f"the {printable(rank)} rank" if rank in ("hottest", "mean") else f"rank {printable(rank)}"
        sizes = f"tp {point.get('tp')}, ep {point.get('ep')}, dp {point.get('dp')}; {printable(point.get('span'))}"
        return f"{gpus} GPUs ({sizes}), of which {played} ran and links are modelled{routing}{depth}"
    return ("one GPU" if point.get("device") == "cuda" else "one CPU") + routing + depth


def mix(points: Sequence[Figures]) -> str:
    """What one request is."""
    names = list(dict.fromkeys(str(p["mix"]) for p in points if p.get("mix")))
    if not names:
        if not points:
            return NONE
        contexts = list(dict.fromkeys(f"{p['context']:,}" for p in points if p.get("context")))
        return f"none: decode at context {', '.join(contexts)} alone, so no all-in price (--mix 8k/1k measures one)"
    return "; ".join(_request(name) for name in names)


def _request(name: str) -> str:
    parsed = parse_mix(name)
    cached = f", {parsed.cached:,} of them cached," if parsed.cached else ""
    return f"{printable(parsed.name)}: a request is {parsed.isl:,} input{cached} and {parsed.osl:,} output tokens"


def price_line(price: PricePick | None) -> str:
    return "none was asked for" if price is None else printable(price_summary(price))


def ceilings(points: Sequence[Figures]) -> str:
    """What this machine's memory and matrix units reached in simple, large operations, beside the datasheet."""
    point = next((p for p in points if p.get("ceilings")), None)
    gpu = next((GPUS[p["gpu_key"]] for p in points if p.get("gpu_key") in GPUS), None)
    if point is None:
        if gpu is None:
            return "none measured, no datasheet"
        lanes = (f"{lane} {si(rate, 'FLOP/s')}" for lane, rate in gpu.flops_per_s.items())
        return f"none measured; datasheet {', '.join((si(gpu.bandwidth_bytes_per_s, 'B/s'), *lanes))}"
    measured = point["ceilings"]
    parts = [f"read {_beside(measured.get('bandwidth_bytes_per_s'), gpu.bandwidth_bytes_per_s if gpu else None, 'B/s')}"]
    parts.append(f"copy {si(measured.get('copy_bytes_per_s'), 'B/s')}")
    peaks = gpu.flops_per_s if gpu else {}
    parts += [f"{printable(lane)} {_beside(rate, peaks.get(lane), 'FLOP/s')}" for lane, rate in (measured.get("flops_per_s") or {}).items()]
    return f"measured {', '.join(parts)}" + ("" if gpu else "; no datasheet of this machine")


def _beside(rate: float | None, datasheet: float | None, unit: str) -> str:
    if rate is None or datasheet is None:
        return si(rate, unit)
    shown, of = si(rate, unit), si(datasheet, unit)
    if shown.split(" ")[1] == of.split(" ")[1]:
        shown = shown.split(" ")[0]
    return f"{shown} of {of} ({percent(rate / datasheet)})"
