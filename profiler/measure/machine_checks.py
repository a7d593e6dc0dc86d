"""What `doctor` looks at: can this machine measure, what is in the way, and the fix for each. Reads only; imports nothing heavy."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from profiler.gpus import gpu_for_name
from profiler.measure.environment import gpu_settings, version
from profiler.power.declared import NoPower
from profiler.power.host import host_power
from profiler.power.nvml import NvmlPower, node_gpus, open_boards
from profiler.power.nvml_device import NvmlDevice
from profiler.power.probe import Probe, probe
from profiler.power.source import PowerSample


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One line of the doctor's report. `status`: ok, warn, fail or info; `fix` for what is not ok."""

    name: str
    status: str
    text: str
    fix: str | None = None

    def json(self) -> dict[str, Any]:
        return asdict(self)


def all_checks(
    *,
    out: Path,
    nvml: Any = None,
    environ: Mapping[str, str] = os.environ,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[Check]:
    """Every check in the order they are shown. `nvml`: a module like pynvml; None takes the installed one."""
    checks = [python_check(), torch_check(), triton_check()]
    checks += gpu_checks(open_boards(nvml=nvml, environ=environ, clock=clock), node_gpus(nvml=nvml), sleep)
    checks += [load_check(), out_check(out), *vllm_checks(), *interpreter_checks(environ), host_check()]
    return checks


def python_check(found: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    text = ".".join(map(str, found))
    if found < (3, 11):
        return Check(name="python", status="fail", text=text, fix="tokenmill needs Python 3.11 or newer")
    return Check(name="python", status="ok", text=text)


def torch_check() -> Check:
    found = version("torch")
    if found is None or importlib.util.find_spec("torch") is None:
        return Check(
            name="torch", status="fail", text="not installed: nothing can be measured (floor, cost and report work)", fix="pip install 'tokenmill[gpu]'"
        )
    if _numbers(found) < (2, 11):
        return Check(name="torch", status="warn", text=f"{found} is older than tested", fix="pip install --upgrade 'torch>=2.11'")
    return Check(name="torch", status="ok", text=found)


def triton_check() -> Check:
    found = version("triton")
    if found is None:
        return Check(name="triton", status="info", text="not installed: a GPU needs it, the CPU fallback does not")
    if _numbers(found) < (3, 6):
        return Check(name="triton", status="warn", text=f"{found} is older than tested", fix="install the PyTorch release that brings triton 3.6 or newer")
    return Check(name="triton", status="ok", text=found)


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split("+")[0].split(".")
    return tuple(int(part) for part in parts[:2] if part.isdecimal())


def gpu_checks(boards: Sequence[NvmlPower | NoPower], in_node: int | None, sleep: Callable[[float], None]) -> list[Check]:
    """Driver, sensors and modes of every GPU that CUDA may use, with its number where there are several. Without a GPU one line: that is no failure."""
    checks: list[Check] = []
    for board in boards:
        found = _board_checks(board, sleep, burst_s=1.5 if len(boards) == 1 else 0.75)
        checks += found if len(boards) == 1 else [replace(c, name=board.device if c.name == "gpu" else f"{board.device} {c.name}") for c in found]
        board.close()
    return checks + _hidden_check(len(boards), in_node)


def _board_checks(board: NvmlPower | NoPower, sleep: Callable[[float], None], *, burst_s: float) -> list[Check]:
    if isinstance(board, NvmlPower):
        return [*_identity(board.gpu), *_sensors(board, sleep, burst_s), *_settings(board.gpu)]
    if board.invalid_reasons:
        return [Check(name="gpu", status="fail", text=board.reason, fix="measure on a whole GPU: energy of a part of one cannot be read")]
    return [Check(name="gpu", status="info", text=f"none usable ({board.reason}): runs on the CPU fallback")]


def _hidden_check(visible: int, in_node: int | None) -> list[Check]:
    if in_node is None or in_node <= visible:
        return []
    text = f"{visible} of the node's {in_node} may be used: the host's power is shared by all, so only {visible}/{in_node} of it is counted"
    return [Check(name="hidden gpus", status="info", text=text)]


def _identity(device: NvmlDevice) -> list[Check]:
    driver = device.ask("driver", device.nvml.nvmlSystemGetDriverVersion)
    name = device.ask("name", lambda: device.nvml.nvmlDeviceGetName(device.handle))
    name = name.decode() if isinstance(name, bytes) else name
    known = gpu_for_name(name) if name else None
    if known is None:
        gpu = Check(
            name="gpu", status="warn", text=f"{name or 'a GPU without a name'} is not in the catalogue: no datasheet, no price", fix="give --usd-per-gpu-hour"
        )
    else:
        gpu = Check(name="gpu", status="ok", text=f"{name} ({known.key})")
    if driver is None:
        return [Check(name="driver", status="warn", text=f"version unknown: {device.notes.get('driver')}"), gpu]
    return [Check(name="driver", status="ok", text=str(driver)), gpu]


def _sensors(power: NvmlPower, sleep: Callable[[float], None], burst_s: float) -> list[Check]:
    """A burst of looks: which figures are there, and how often they have news."""
    found = probe(power, burst_s=burst_s, sleep=sleep)
    samples = list(found.samples)
    return [_counter_check(power.gpu, found), _fields_check(power.gpu, samples), _period_check(found), *_scopes_check(samples)]


def _counter_check(device: NvmlDevice, found: Probe) -> Check:
    values = [(s.t_s, s.counter_j) for s in found.samples if s.counter_j is not None]
    if not values:
        return Check(
            name="energy counter",
            status="warn",
            text=f"{device.notes.get('counter_j')}: energy comes from sampled power",
            fix="use a data-centre GPU (Volta or newer)",
        )
    (first_s, first_j), (last_s, last_j) = values[0], values[-1]
    if last_j == first_j:
        return Check(name="energy counter", status="warn", text="does not move: energy comes from sampled power", fix="update the driver")
    every = "" if found.counter_s is None else f" every {found.counter_s * 1e3:.0f} ms"
    return Check(name="energy counter", status="ok", text=f"ticks{every} ({last_j - first_j:.1f} J in {last_s - first_s:.2f} s)")


def _period_check(found: Probe) -> Check:
    told = "stayed the same" if found.power_s is None else f"new every {found.power_s * 1e3:.0f} ms"
    shortest_s, longest_s = found.period_s
    return Check(name="sampling", status="info", text=f"instant power {told}; sampled every {shortest_s * 1e3:.0f} to {longest_s * 1e3:.0f} ms")


def _scopes_check(samples: list[PowerSample]) -> list[Check]:
    """Only where the board tells more than its GPU's power."""
    told = {"module": [s.module_w for s in samples], "memory": [s.memory_w for s in samples]}
    watts = {name: known[-1] for name, values in told.items() if (known := [w for w in values if w is not None])}
    if not watts:
        return []
    text = ", ".join(["gpu", *(f"{name} {w:.0f} W" for name, w in watts.items())])
    return [Check(name="power scopes", status="info", text=f"{text}; never added to each other")]


def _fields_check(device: NvmlDevice, samples: list[PowerSample]) -> Check:
    instant = next((s.instant_w for s in reversed(samples) if s.instant_w is not None), None)
    average = next((s.average_w for s in reversed(samples) if s.average_w is not None), None)
    if instant is not None:
        return Check(name="power fields", status="ok", text=f"instant {instant:.0f} W{'' if average is None else f', average {average:.0f} W'}")
    if average is not None:
        return Check(
            name="power fields",
            status="warn",
            text=f"average {average:.0f} W only, which lags by 1 s",
            fix="update the driver (530 or newer has instant power)",
        )
    why = device.notes.get("power_usage") or device.notes.get("power_fields") or "no answer"
    return Check(name="power fields", status="warn", text=f"none: {why}", fix="declare the node's power with --watts")


def _settings(device: NvmlDevice) -> list[Check]:
    """Modes that change what is measured. Only the administrator changes them; tokenmill never does."""
    settings = gpu_settings(device)
    limit, default = settings["power_limit_w"], settings["default_power_limit_w"]
    checks = [Check(name="mig", status="ok", text="off")]
    if settings["persistence"] is False:
        fix = "nvidia-smi -pm 1 (administrator): without it the driver unloads between runs and the energy counter starts again"
        checks.append(Check(name="persistence", status="warn", text="off", fix=fix))
    elif settings["persistence"]:
        checks.append(Check(name="persistence", status="ok", text="on"))
    checks.append(_processes_check(device))
    if limit is not None and default is not None and limit != default:
        fix = f"measure like this if it is how the node serves; otherwise nvidia-smi -pl {default:.0f} (administrator)"
        checks.append(Check(name="power limit", status="warn", text=f"{limit:.0f} W, default {default:.0f} W", fix=fix))
    elif limit is not None:
        checks.append(Check(name="power limit", status="ok", text=f"{limit:.0f} W"))
    if "sm_max_hz" in settings["clocks"]:
        checks.append(Check(name="clocks", status="info", text=f"SM up to {settings['clocks']['sm_max_hz'] / 1e6:.0f} MHz"))
    return checks


def _processes_check(device: NvmlDevice) -> Check:
    count = device.state().compute_processes
    if count is None:
        return Check(name="other processes", status="info", text=f"cannot be seen: {device.notes.get('processes')}")
    if count:
        return Check(name="other processes", status="warn", text=f"{count} compute processes on this GPU", fix="end them: they share its time and its watts")
    return Check(name="other processes", status="ok", text="none")


def load_check(load: float | None = None, cores: int | None = None) -> Check:
    """What else runs on the CPU: it takes time from a CPU's steps, and may hold back a GPU's launches."""
    load = os.getloadavg()[0] if load is None else load
    cores = cores or len(os.sched_getaffinity(0))
    text = f"{load:.1f} over the last minute on {cores} cores"
    if load > max(0.5, 0.25 * cores):
        return Check(name="load", status="warn", text=text, fix="free the machine before measuring: other work makes figures slow and noisy")
    return Check(name="load", status="ok", text=text)


def out_check(out: Path) -> Check:
    """Whether records can be written: into the folder, or into the nearest one above it that exists."""
    place = next((folder for folder in (out, *out.resolve().parents) if folder.exists()), Path("/"))
    try:
        with tempfile.TemporaryFile(dir=place):
            return Check(name="out folder", status="ok", text=str(out))
    except OSError as e:
        return Check(name="out folder", status="fail", text=f"{out}: {e.strerror}", fix="choose another folder with --out")


def vllm_checks() -> list[Check]:
    found = version("vllm")
    if found is None:
        return []
    text = f"vLLM {found} is in this environment: its `triton_kernels` package has the same import name as tokenmill's"
    return [Check(name="vllm", status="warn", text=text, fix="install tokenmill in an environment of its own")]


def interpreter_checks(environ: Mapping[str, str]) -> list[Check]:
    if environ.get("TRITON_INTERPRET", "0") in ("", "0"):
        return []
    return [Check(name="TRITON_INTERPRET", status="warn", text="is set: kernels would be interpreted, thousands of times slower", fix="unset TRITON_INTERPRET")]


def host_check(root: Path = Path("/sys")) -> Check:
    """The CPUs' own sensors of energy or power, for the boundary board_cpu."""
    host = host_power(root)
    if host.sources:
        return Check(name="host power", status="ok", text=f"{host.sources[0].name}: {', '.join(s.device for s in host.sources)}")
    if host.unread is not None:
        text, _, fix = host.unread.partition(": ")
        return Check(name="host power", status="warn", text=text, fix=fix)
    return Check(name="host power", status="info", text=f"none: {host.reason}")
