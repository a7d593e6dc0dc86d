"""What a worker keeps between points: the device, its power source, the model's weights, what was found out once."""

from __future__ import annotations

import gc
import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import torch

from profiler.measure.ceilings import measure_ceilings
from profiler.measure.environment import measured_environment
from profiler.measure.instrument import Instrument
from profiler.measure.measure import measure
from profiler.measure.memory import ran_out, refuse_what_cannot_fit
from profiler.measure.method import method_for
from profiler.measure.observe import Progress
from profiler.measure.per_op import STAGE, measure_operations
from profiler.measure.point_fields import UNMEASURED, point_environment, subject_fields
from profiler.measure.point_spec import PointSpec
from profiler.power.dcgm import open_dcgm
from profiler.power.declared import DeclaredPower, NoPower
from profiler.power.host import HostPower, host_power
from profiler.power.nvml import NvmlPower, node_gpus, open_nvml
from profiler.power.probe import probed_period
from profiler.power.replay import ReplayPower
from profiler.power.sampler import PERIOD_S
from profiler.power.source import PowerSource
from triton_kernels.errors import TokenmillError
from triton_kernels.target import resolve_device
from workloads.comparison import Numbers, compare, numbers_of
from workloads.decoder import Decoder
from workloads.deployment import Deployment
from workloads.depth import reduced
from workloads.model_spec import ModelSpec
from workloads.operation_runner import free_bytes, operation_runners
from workloads.plan import plan_id
from workloads.planning import check_step, formats_of, rank_sizes
from workloads.read_model import read_model
from workloads.steps import StepRunner, build_decoder

Result = dict[str, Any]  # a point as far as it was measured: {"point", "series", "ops", "plan"}; "sticky": the device can do no more


class Session:
    """One worker's state. Weights stay on the device while points ask for the same ones.

    `so_far` is told of a point whose windows are measured before each operation is measured alone: whatever happens then, the point is not lost.
    """

    def __init__(self, progress: Progress, so_far: Callable[[Result], None] = lambda result: None) -> None:
        self._progress = progress
        self._so_far = so_far
        self._device: torch.device | None = None
        self._sensor: NvmlPower | NoPower | None = None
        self._environment: dict[str, Any] | None = None
        self._decoder: Decoder | None = None
        self._decoder_key: tuple[Any, ...] | None = None
        self._replays: dict[str, ReplayPower] = {}
        self._host: HostPower | None = None
        self._period_s: tuple[float, float] | None = None  # of the board's sensors, once they are probed
        self._idle_w: dict[str, float | None] = {}
        self._plain: tuple[tuple[Any, ...], Numbers] | None = None  # what quantised recipes are compared with, and of which weights
        self._numerics: tuple[tuple[Any, ...], dict[str, Any] | None] | None = None

    def _open(self, wanted: str) -> torch.device:
        """The device, and the sensor that belongs to it."""
        if self._device is None or wanted not in ("auto", self._device.type):
            self._device = resolve_device(wanted)
            self._sensor = sensor_of(self._device)
            self._environment = None
        return self._device

    def environment(self, wanted: str) -> dict[str, Any]:
        """profiler.measure.environment of the device that is measured on."""
        device = self._open(wanted)
        if self._environment is None:
            nvml = self._sensor.gpu if isinstance(self._sensor, NvmlPower) else None
            self._environment = measured_environment(device, nvml)
        return self._environment

    def ceilings(self, wanted: str) -> dict[str, Any]:
        """Measured memory and matmul rates. Asked for before the first point, while the memory is free."""
        self._progress("ceilings", None, "")
        return measure_ceilings(self._open(wanted))

    def measure(self, spec: PointSpec) -> Result:
        """A measured point. Raises what the model or the device raises."""
        device = self._open(spec.device)
        environment = self.environment(spec.device)
        self._progress("weights", None, "")
        model = read_model(spec.model)
        gpu = environment.get("gpu")
        whole, deployment, shape = model, replace(spec.deployment, arch=gpu["arch"] if gpu else None), spec.shape
        if spec.layers is not None:
            model, _ = reduced(whole, spec.layers)
        check_step(model, deployment, shape)
        refuse_what_cannot_fit(model, spec, _memory_bytes(device))
        if self._decoder is None or self._decoder_key != spec.weights_key:
            self._decoder = self._decoder_key = None
            self.release()
            self._decoder = build_decoder(model, deployment, device, seed=spec.seed, positions=model.max_positions, rank=spec.rank, mtp=spec.mtp)
            self._decoder_key = spec.weights_key
        self._progress("inputs", None, "")
        runner = StepRunner(model, deployment, shape, device, routing=spec.routing, rank=spec.rank, seed=spec.seed, decoder=self._decoder)
        instrument = self._instrument(spec, device)
        source = instrument.board
        told_by = f"{source.name} {spec.power_replay or spec.dcgm or ''} {spec.weights_key}"
        measured = measure(runner, spec, instrument, idle_w=self._idle_w.get(told_by), progress=self._progress)
        self._idle_w[told_by] = measured.fields["idle_board_w"]
        sizes = runner.sizes
        params = sizes.params if model is whole else rank_sizes(whole, deployment).params
        point = UNMEASURED | subject_fields(spec, environment) | measured.fields
        point |= {
            "status": "ok",
            "error": None,
            "plan": plan_id(measured.plan),
            "params": asdict(params),
            "weight_bytes": sizes.weight_bytes,
            "kv_bytes_per_token": sizes.kv_bytes_per_token,
            "formats": formats_of(model, deployment),
            "environment": point_environment(environment, measured.fields["environment"]),
        }
        point["warnings"] = [*point["warnings"], *said_of_formats(deployment, self._decoder)]
        if spec.emulated:
            point["provenance"] = point["provenance"] | {"step_s": "emulated"}
        result: Result = {"point": point, "series": measured.series, "ops": [], "plan": measured.plan}
        if spec.per_op:
            self._so_far(result)
            self._add_operations(result, runner, spec, source)
        del runner
        if result.get("sticky"):
            return result
        self.release()  # the cache and graphs of this shape; the weights stay
        point["numerics"] = self._numerics_of(model, deployment, spec, result) if spec.compare else None
        if point["numerics"] is not None:
            point["provenance"] = point["provenance"] | {"numerics": "measured"}
        return result

    def _add_operations(self, result: Result, runner: StepRunner, spec: PointSpec, source: PowerSource) -> None:
        """Measures each operation of the point's step alone. What goes wrong is said in the point's `per_op`, and the point stands."""
        point, device, start_s = result["point"], runner.device, time.monotonic()
        method = method_for(device.type, source, window_s=spec.window_s, repeats=spec.windows, seed=spec.seed, budget_s=spec.per_op_budget_s)
        self.release()  # what the step's captures left in the allocator's hands is room for activations
        try:
            operations = operation_runners(runner, most_bytes=free_bytes(device) // 4)
            pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
            found = measure_operations(operations, source, method, pool=pool, period_s=self._period_s or PERIOD_S, progress=self._progress)
        except Exception as e:
            traceback.print_exc()
            why = "out of memory" if ran_out(e) else f"{type(e).__name__}: {str(e).partition(chr(10))[0][:200]}"
            point["per_op"] = {"measured": 0, "left_out": [why]}
            result["sticky"] = not self.device_works()
        else:
            point["per_op"] = found.json()
            point["kernel_ratio"] = found.kernel_ratio
            result |= {"ops": found.rows, "series": [*result["series"], *found.series]}
        point["phases"] = [*point["phases"], {"name": STAGE, "t_start_s": start_s, "t_end_s": time.monotonic()}]

    def _numerics_of(self, model: ModelSpec, deployment: Deployment, spec: PointSpec, result: Result) -> dict[str, Any] | None:
        """The point's `numerics`. Whatever goes wrong in them, once for all points of these weights, the point stands without."""
        assert self._device is not None
        try:
            return self._compared(model, deployment, spec, self._device)
        except Exception:
            traceback.print_exc()
            self._numerics = (spec.weights_key, None)
        result["sticky"] = not self.device_works()
        return None

    def _compared(self, model: ModelSpec, deployment: Deployment, spec: PointSpec, device: torch.device) -> dict[str, Any] | None:
        """This recipe's numbers against its plain format's on the same weights, once for all points of these; None for what is compared with, where that was
        not measured before, and where memory does not hold one step more: the point stands without."""
        if self._numerics is not None and self._numerics[0] == spec.weights_key:
            return self._numerics[1]
        assert self._decoder is not None, spec.precision
        self._progress("comparing", None, "")
        plain, of = deployment.recipe.plain.name, (spec.model, spec.layers, spec.seed)
        found = None
        try:
            numbers = numbers_of(model, deployment, device, self._decoder, seed=spec.seed)
        except (torch.OutOfMemoryError, MemoryError):
            self._numerics = (spec.weights_key, None)
            return None
        if spec.precision == spec.kv_cache == plain:
            self._plain = ((plain, *of), numbers)
        elif self._plain is not None and self._plain[0] == (plain, *of):
            found = {"against": plain, **compare(numbers, self._plain[1])}
        self._numerics = (spec.weights_key, found)
        self.release()
        return found

    def out_of_memory(self, spec: PointSpec, message: str) -> Result:
        """The result of a point that does not fit: a finding, not a failure."""
        environment = self.environment(spec.device)
        point = UNMEASURED | subject_fields(spec, environment)
        point |= {"status": "oom", "error": message, "environment": point_environment(environment, {})}
        return {"point": point, "series": [], "ops": [], "plan": None}

    def release(self) -> None:
        """Gives memory back to the device. Weights in use stay."""
        gc.collect()
        with suppress(RuntimeError):  # a lost context has none to give
            torch.cuda.empty_cache()  # does nothing where CUDA was never touched

    def device_works(self) -> bool:
        """Whether the CUDA context still answers. After an illegal access it never does again."""
        if self._device is None or self._device.type != "cuda":
            return True
        try:
            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()  # raises where a capture was left open
        except RuntimeError:
            return False
        return True

    def _instrument(self, spec: PointSpec, device: torch.device) -> Instrument:
        """The board's power, the host's beside it, and a meter's file where one was given."""
        board = self._power(spec, device)
        if self._host is None:
            self._host = host_power()
        if isinstance(board, NvmlPower) and self._period_s is None:
            self._progress("probing sensors", None, "")
            self._period_s = probed_period(board)
        return Instrument(
            board=board,
            host=self._host.sources,
            host_unread=self._host.unread,
            meter=None if spec.node_power is None else Path(spec.node_power),
            gpus=node_gpus() if device.type == "cuda" else 0,
            period_s=self._period_s or PERIOD_S,
            accuracy=spec.sensor_accuracy,
        )

    def _power(self, spec: PointSpec, device: torch.device) -> PowerSource:
        """Replay where asked for, else an exporter's page, else the board's sensor, else declared watts, else none."""
        if spec.power_replay is not None:
            if spec.power_replay not in self._replays:
                self._replays[spec.power_replay] = ReplayPower(Path(spec.power_replay))
            return self._replays[spec.power_replay]
        assert self._sensor is not None
        if spec.dcgm is not None:
            if device.type != "cuda":
                raise TokenmillError("--dcgm: steps run on the CPU here, and no GPU of an exporter's page draws their power; give --watts or --node-power")
            return open_dcgm(spec.dcgm, uuid=_uuid(device))
        if isinstance(self._sensor, NoPower) and spec.watts is not None and not self._sensor.invalid_reasons:
            return DeclaredPower(spec.watts)
        return self._sensor


def said_of_formats(deployment: Deployment, decoder: Decoder) -> list[str]:
    """What to know of the numbers that steps are made of, by the names of profiler.measure.reasons."""
    emulated, unproven = deployment.recipe.emulated_on(deployment.arch), deployment.recipe.unproven_on(deployment.arch)
    notes = [f"checkpoint: {note}" for note in decoder.notes]
    return [*([f"emulated_format: {emulated}"] if emulated else []), *([unproven] if unproven else []), *notes]


def _memory_bytes(device: torch.device) -> int:
    """All of the device's memory; a CPU's is the machine's."""
    return int(torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else psutil.virtual_memory().total)


def sensor_of(device: torch.device) -> NvmlPower | NoPower:
    if device.type != "cuda":
        return NoPower("no GPU, so no board to read; --watts declares the node's power")
    return open_nvml(uuid=_uuid(device), position=device.index or 0, environ=os.environ)


def _uuid(device: torch.device) -> str:
    """As NVML spells it."""
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
