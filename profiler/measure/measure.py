"""Measuring one point: observed, its power worked out, judged, and written down as the record's flat fields."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from profiler.economics.formulas import weakest
from profiler.measure.instrument import Instrument
from profiler.measure.judge import judge
from profiler.measure.observe import Observed, Progress, Runner, observe, silent
from profiler.measure.point_spec import PointSpec
from profiler.measure.statistics import summarise
from profiler.measure.timing import TimedWindow
from profiler.measure.validity import inside, sm_clock
from profiler.power.clock import drift_s
from profiler.power.energy import idle_watts
from profiler.power.event_share import event_share
from profiler.power.point_power import NodeTraces, PointPower, point_power


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint:
    """What the clocks and sensors said of one point. `fields` are the record's flat names; `series` its power samples; `plan` the step's calls."""

    fields: dict[str, Any]
    series: list[dict[str, Any]]
    plan: dict[str, Any]


def measure(runner: Runner, spec: PointSpec, instrument: Instrument, *, idle_w: float | None = None, progress: Progress = silent) -> MeasuredPoint:
    """Measures `spec.windows` windows of `spec.window_s` seconds each.

    `idle_w`: the board's idle watts where already known; measured first otherwise. Raises what the runner raises (torch.OutOfMemoryError among it).
    """
    seen = observe(runner, spec, instrument, measure_idle=idle_w is None, progress=progress)
    if idle_w is None and seen.idle is not None:
        idle_w = idle_watts(seen.board, seen.idle)
    power = point_power(
        seen.board,
        seen.spans,
        steps=[w.steps for w in seen.windows],
        idle_w=idle_w,
        node=NodeTraces(host=seen.host, meter=seen.meter, host_unread=instrument.host_unread, gpus=instrument.gpus),
    )
    summary = summarise([s for w in seen.windows for s in w.samples_s], [w.step_s for w in seen.windows])
    verdict = judge(seen, power, summary)
    accuracy = instrument.accuracy if power.board_w is not None and instrument.accuracy is not None else power.sensor_accuracy
    fields = _counted(spec, seen) | power.fields() | {
        "step_s": summary.json(),
        "windows": [_window_json(i, w, power, seen) for i, w in enumerate(seen.windows)],
        "gpu_states": [None if state is None else asdict(state) for state in seen.states],
        "phases": [asdict(phase) for phase in seen.phases],
        "clock": {**asdict(seen.clocks[0]), "drift_s": drift_s(*seen.clocks)},
        "sensor_accuracy": accuracy,
        "valid": not verdict.invalid_reasons,
        "invalid_reasons": verdict.invalid_reasons,
        "warnings": verdict.warnings,
        "environment": _environment(seen),
    }  # fmt: skip
    fields["provenance"] = _provenance(fields, seen)
    traces = (seen.board, *seen.host, *([seen.meter] if seen.meter is not None else []))
    return MeasuredPoint(fields=fields, series=[row for trace in traces for row in trace.rows()], plan=runner.plan.json(runner.all_facts()))


def _counted(spec: PointSpec, seen: Observed) -> dict[str, Any]:
    """Tokens and time of all windows."""
    steps, prefill = sum(w.steps for w in seen.windows), spec.phase == "prefill"
    return {
        # The token that ends a prefill is counted with the request's output, where decode produces it.
        "output_tokens": 0 if prefill else steps * spec.batch,
        "input_tokens": steps * spec.batch * spec.context if prefill else 0,
        "cached_tokens": 0,
        "tokens_per_step": spec.batch * (spec.context if prefill else 1),
        "window_s": sum(w.t_end_s - w.t_start_s for w in seen.windows),
    }


def _window_json(i: int, window: TimedWindow, power: PointPower, seen: Observed) -> dict[str, Any]:
    span = seen.spans[i]
    degrees = [s.temperature_c for s in inside(seen.board, span) if s.temperature_c is not None]
    energy_j = power.windows_j[i] if power.windows_j is not None else None
    return {
        "step_s": window.step_s,
        "steps": window.steps,
        "t_start_s": window.t_start_s,
        "t_end_s": window.t_end_s,
        "energy_j": energy_j,
        "board_w": None if energy_j is None or power.board_w is None else energy_j / (window.t_end_s - window.t_start_s),
        "sm_hz": sm_clock(seen.board, [span]),
        "temperature_c": degrees[-1] if degrees else None,
        "event_share": event_share(seen.board, [span]),
    }


def _environment(seen: Observed) -> dict[str, Any]:
    after = seen.states[1]
    return {
        "sm_hz": sm_clock(seen.board, seen.spans),
        "temperature_c": max((s.temperature_c for s in seen.board.samples if s.temperature_c is not None), default=None),
        "power_limit_w": after.power_limit_w if after else None,
    }


# Figure -> the trace that it is made from.
_POWERED = dict.fromkeys(
    ("dynamic_energy_j", "board_w", "board_w_p99", "module_w", "memory_w", "idle_board_w", "event_share"), "board"
) | dict.fromkeys(("cpu_w", "cpu_w_p99"), "host")  # fmt: skip


def _provenance(fields: dict[str, Any], seen: Observed) -> dict[str, str]:
    """Where each figure comes from; a figure that is None has no origin."""
    kinds = {"board": seen.board.kind, "host": seen.host[0].kind if seen.host else None}
    origins: dict[str, str | None] = dict.fromkeys(("step_s", "output_tokens", "input_tokens", "cached_tokens", "window_s"), "measured")
    origins |= {name: kinds[source] for name, source in _POWERED.items()}
    whose = {"meter": None if seen.meter is None else seen.meter.kind, "rapl": kinds["host"], "hwmon": kinds["host"]}
    origins["energy_j"] = origins["energy_per_step_j"] = whose.get(fields["power_source"], kinds["board"])
    # Without a board that was seen it is the host's alone.
    origins["board_cpu_w"] = weakest(*(kinds[name] for name in ("board", "host") if name == "host" or fields["board_w"] is not None))
    declared = fields["power_source"] == "declared" and (seen.meter is None or fields["node_w_p99"] is None)
    origins["node_w"] = "assumed" if declared else None if seen.meter is None else seen.meter.kind
    origins["node_w_p99"] = None if seen.meter is None else seen.meter.kind
    return {name: kind for name, kind in origins.items() if kind is not None and fields[name] not in (None, {})}
