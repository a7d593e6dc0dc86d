"""What the energy counter counts, and whether it may be believed: it is compared with integrated power between the same two ticks.

Boards exist whose two figures differ (ml-energy/zeus issue 181: 187 J and 327 J), and superchips whose counter is the whole module's (zeus pull 172).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from profiler.power.readings import integral_reading, tick_span
from profiler.power.source import PowerTrace
from profiler.power.window import Window

MOST_DISAGREEMENT = 0.03  # at load; what the edges of few ticks leave open beyond it is no disagreement


@dataclass(frozen=True, kw_only=True)
class CounterCheck:
    """`power_scope`: "gpu" or "module"; None where nothing tells. `disagreement`: from the power of that scope (else of the GPU), a share of the larger."""

    power_scope: str | None = None
    disagreement: float | None = None
    unchecked: str | None = None  # why the counter could not be compared
    invalid_reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def disagreement(one_j: float, other_j: float) -> float:
    """How far two figures of one energy are apart, as a share of the larger."""
    larger = max(abs(one_j), abs(other_j))
    return 0.0 if larger == 0 else abs(one_j - other_j) / larger


def check_counter(trace: PowerTrace, whole: Window) -> CounterCheck:
    """Over all of the measured stretch, so that the ticks' edges count least."""
    span = tick_span(trace.samples, whole, most_gap_s=trace.most_gap_s)
    if span == "counter_reset":
        return CounterCheck(invalid_reasons=["counter_reset"])  # between two windows, where neither shows it
    if isinstance(span, str):
        return CounterCheck(unchecked=span)
    between = Window(t_start_s=span.first_s, t_end_s=span.last_s)
    gpu, module = (integral_reading(trace.samples, figure, between, most_gap_s=trace.most_gap_s) for figure in ("instant_w", "module_w"))
    open_share = max(MOST_DISAGREEMENT, span.spread_s / span.duration_s)
    gpu_apart, module_apart = (None if r.energy_j is None else disagreement(span.energy_j, r.energy_j) for r in (gpu, module))
    if gpu_apart is not None and gpu_apart <= open_share:
        return CounterCheck(power_scope="gpu", disagreement=gpu_apart)
    if module_apart is not None and module_apart <= open_share:
        said = "module_counter: the energy counter is the whole module's; the board's energy is from its instant power"
        return CounterCheck(power_scope="module", disagreement=module_apart, warnings=[said])
    if gpu_apart is None and module_apart is None:
        return CounterCheck(unchecked=gpu.reason)
    name = "energy_power_mismatch" if module_apart is None else "scope_unknown"
    told = (("GPU", gpu.energy_j), ("module", module.energy_j))
    others = ", ".join(f"{what} {joules:.0f} J" for what, joules in told if joules is not None)
    return CounterCheck(disagreement=gpu_apart, invalid_reasons=[name], warnings=[f"{name}: counter {span.energy_j:.0f} J, integral of the {others}"])
