"""The parts of a sensor trial, run one after the other on one device while a thread looks at its sensors. Reads NVML; sets nothing."""

from __future__ import annotations

import gc
import random
import time
import traceback
from dataclasses import asdict
from typing import Any

import torch

from profiler.measure.ceilings import UNSUPPORTED, Call
from profiler.measure.environment import measured_environment
from profiler.measure.memory import ran_out
from profiler.measure.session import sensor_of
from profiler.power.declared import NoPower
from profiler.power.host import host_power
from profiler.power.nvml import NvmlPower
from profiler.power.sampler import Sampler
from profiler.power.source import PowerSource
from profiler.power.window import Window
from profiler.sensors import recording as recorded
from profiler.sensors.failure import said
from profiler.sensors.file import sample_json, trace_json
from profiler.sensors.loads import UNITS, Ran, block_calls, decode_call, make_call, run_for
from profiler.sensors.looks import TimedSource
from profiler.sensors.plan import DECODE, IDLE, RATED, SCHEDULES, SQUARE, STEADY, Item, items, shares
from profiler.sensors.recording import Stretch
from profiler.worker import Events
from triton_kernels.errors import TokenmillError
from triton_kernels.target import resolve_device
from workloads.read_model import read_model

REHEARSAL = "a rehearsal on a CPU with tiny loads and short times: it shows that the path works, and is no evidence of any sensor"
_WHOLE = 0.995  # of its time: nothing to tell


class Trial:
    """All loads on one device. What was recorded leaves after each part, so that an end at any moment loses one part.

    Raises TokenmillError for a device, model or sensor that is not there.
    """

    def __init__(self, request: dict[str, Any], events: Events, *, ends_s: float) -> None:
        self._events, self._ends_s = events, ends_s
        self._device = resolve_device(request["device"])
        self._model_name = request["model"]
        self._model = None if self._model_name is None else read_model(self._model_name)
        self._schedule = SCHEDULES[self._device.type]
        self._items = items(self._schedule, model=self._model is not None)
        self._source, self._machine = opened(self._device)
        self._looks = TimedSource(self._source)
        self._sampler = Sampler(self._looks, period_s=self._schedule.look_s)
        self._random = random.Random(0)
        self._stretches: list[Stretch] = []
        self._sent = {"samples": 0, "call_s": 0}

    def run(self) -> None:
        """Every part that there is time for. Raises where the device can do no more."""
        self._sampler.start()
        try:
            plan = [item.name for item in self._items]
            self._tell("sensors", self._items, machine=self._machine, times=asdict(self._schedule.times), plan=plan)
            for place, item in enumerate(self._items):
                share = shares(self._items[place:], self._ends_s - time.monotonic())[0]
                if share == 0:
                    why_not = f"{item.name}: {item.least_s:.0f} s at least, more than is left of --time-budget"
                    self._tell(item.name, self._items[place:], left_out=[why_not], done=[item.name])
                else:
                    self._tell(item.name, self._items[place:])
                    self._send_recorded(item.name, *self._tried(item.name, share))
        finally:
            self._sampler.stop()
            self._source.close()

    def _tried(self, name: str, share: float) -> tuple[str | None, bool]:
        """Runs a part: (why it is not there, or not whole; whether something went wrong). Raises where the device does not answer any more."""
        why_not, failed = None, False
        try:
            had = self._part(name, share)
            why_not = None if had >= _WHOLE else f"{had:.0%} of its time, for --time-budget"
        except TokenmillError as e:
            why_not = str(e)
        except Exception as e:  # costs this part alone, unless the device is lost with it
            traceback.print_exc()
            why_not = said(e)
            failed = not ran_out(e) and not (name == "fp8" and isinstance(e, UNSUPPORTED))
        gc.collect()  # outside the handler: there, the traceback still holds the tensors
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # raises again where the context is lost
            torch.cuda.empty_cache()
        return why_not, failed

    def _part(self, name: str, share: float) -> float:
        """Runs a part; the share of its time that it had."""
        if name == IDLE:
            self._idle(share)
        elif name in RATED:
            self._rated(name, make_call(name, self._device), share)
        elif name == SQUARE:
            self._square(make_call("bf16", self._device), share)
        elif name == STEADY:
            self._steady("bf16", make_call("bf16", self._device), share)
        elif name == DECODE:
            return self._decode(self._items[-1])
        return share

    def _idle(self, share: float) -> None:
        self._rest(recorded.STAGE, share * self._schedule.quiet_s)

    def _rated(self, name: str, call: Call, share: float) -> None:
        block = block_calls(call, self._device)
        time.sleep(share * self._schedule.rest_s)
        ran = run_for(call, self._device, share * self._schedule.load_s, block)
        self._ran(recorded.STAGE, name, ran, unit=UNITS[name], per_call=call.amount)

    def _square(self, call: Call, share: float) -> None:
        block = block_calls(call, self._device)
        self._rest(recorded.LOW, self._step_s())
        for _ in range(max(1, round(share * self._schedule.steps))):
            self._ran(recorded.HIGH, "bf16", run_for(call, self._device, self._step_s(), block))
            self._rest(recorded.LOW, self._step_s())

    def _step_s(self) -> float:
        return self._schedule.step_s + self._random.uniform(0, self._schedule.jitter_s)

    def _steady(self, label: str, call: Call, share: float) -> None:
        block = block_calls(call, self._device)
        time.sleep(share * self._schedule.cold_s)
        ran = run_for(call, self._device, share * self._schedule.steady_s, block)
        self._ran(recorded.STEADY, label, ran, unit="step/s", per_call=1.0)

    def _decode(self, item: Item) -> float:
        """The model's decode step, for as long as there is time once it is built."""
        assert self._model is not None
        batch, context = self._schedule.decode
        tokens = f"{context // 1024}k" if context % 1024 == 0 else str(context)
        arch = self._machine["gpu"]["arch"] if self._machine["gpu"] else None
        call = decode_call(self._model, self._model_name, self._device, arch, self._schedule.decode)
        share = min(1.0, (self._ends_s - time.monotonic()) / item.full_s)
        if share < item.least:
            raise TokenmillError(
                f"once it was built, {max(0.0, share) * item.full_s:.0f} s were left of --time-budget; {item.least * item.full_s:.0f} are the least"
            )
        self._steady(f"{self._model.name} decode {batch}x{tokens}", call, share)
        return share

    def _rest(self, part: str, seconds: float) -> None:
        start_s = time.monotonic()
        time.sleep(seconds)
        self._stretches.append(Stretch(part=part, load="idle", window=Window(t_start_s=start_s, t_end_s=time.monotonic())))

    def _ran(self, part: str, load: str, ran: Ran, *, unit: str | None = None, per_call: float | None = None) -> None:
        self._stretches.append(Stretch(part=part, load=load, window=ran.window, unit=unit, per_call=per_call, marks=ran.marks))

    def _tell(self, stage: str, waiting: list[Item], **add: Any) -> None:
        """Where the trial is, and how long it will still take."""
        found = zip(waiting, shares(waiting, self._ends_s - time.monotonic()), strict=True)
        left_s = sum(item.fixed_s + share * item.full_s for item, share in found if share)
        self._events.send("progress", stage=stage, left_s=left_s, at=len(self._items) - len(waiting), of=len(self._items), add=add)

    def _send_recorded(self, name: str, why_not: str | None, failed: bool) -> None:
        self._sampler.wait_past(time.monotonic())  # so that the last stretch is bracketed
        trace, call_s = self._sampler.trace(), tuple(self._looks.call_s)
        lines = [] if why_not is None else [f"{name}: {why_not}"]
        add = {
            "trace": trace_json(trace),
            "samples": [sample_json(s) for s in trace.samples[self._sent["samples"] :]],
            "call_s": call_s[self._sent["call_s"] :],
            "stretches": [stretch.json() for stretch in self._stretches],
            "left_out": lines,
            "failed": lines if failed else [],
            "done": [name],
        }
        self._sent = {"samples": len(trace.samples), "call_s": len(call_s)}
        self._stretches = []
        self._events.send("progress", stage=name, add=add)


def opened(device: torch.device) -> tuple[PowerSource, dict[str, Any]]:
    """The board's sensors and what machine this is: {"gpu", "driver", "device", "note"}. On a CPU the first of the host's sensors, or none.

    Makes the CUDA context. TokenmillError where there is a GPU whose sensors cannot be read.
    """
    if device.type != "cuda":
        host = host_power()
        source = host.sources[0] if host.sources else NoPower(host.reason or "this host shows no sensor")
        return source, {"gpu": None, "driver": None, "device": "cpu", "note": REHEARSAL}
    torch.zeros(1, device=device)
    board = sensor_of(device)
    if not isinstance(board, NvmlPower):
        raise TokenmillError(f"the sensors of this GPU cannot be read: {board.reason}")
    environment = measured_environment(device, board.gpu)
    others = (board.state().compute_processes or 0) - 1  # this process is one
    note = f"{others} other compute processes were on this GPU: end them and measure again" if others > 0 else None
    return board, {"gpu": environment["gpu"], "driver": environment["driver"], "device": "cuda", "note": note}
