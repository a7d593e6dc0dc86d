"""What a measurement ran on: driver, libraries, GPU and CPU. Identifiers of hardware are hashed; nothing here is a secret."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.power.hardware_id import hashed

if TYPE_CHECKING:
    import torch

    from profiler.power.nvml_device import NvmlDevice

ROOT = Path(__file__).resolve().parents[2]
_SM, _MEMORY = 1, 2  # nvmlClockType_t


def software_environment() -> dict[str, Any]:
    """Versions, by looking at installed distributions: imports nothing heavy. `None`: not installed or not known."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "torch": version("torch"),
        "triton": version("triton"),
        "tokenmill": version("tokenmill"),
        "vllm": version("vllm"),
        "triton_interpret": os.environ.get("TRITON_INTERPRET") or None,
        "git": git_revision(ROOT),
    }


def version(distribution: str) -> str | None:
    """The installed version of a distribution, without importing it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """The CPU's marketing name; its architecture where the system does not tell (Arm hosts)."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(named, None) or platform.processor() or platform.machine() or None


def git_revision(root: Path) -> str | None:
    """Revision of tokenmill's own checkout, with `+` when files differ; None when it is no checkout or git is missing."""
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def measured_environment(device: torch.device, nvml: NvmlDevice | None) -> dict[str, Any]:
    """The software and the device that steps run on. Imports torch: for the worker. Units: watts, Hz, bytes."""
    import torch

    environment = software_environment() | {"device": device.type, "cuda": torch.version.cuda, "driver": None, "gpu": None}
    if device.type != "cuda":
        return environment
    properties = torch.cuda.get_device_properties(device)
    gpu: dict[str, Any] = {
        "name": properties.name,
        "uuid_hash": None,
        "memory_bytes": properties.total_memory,
        "sm_count": properties.multi_processor_count,
        "arch": properties.major * 10 + properties.minor,
        "power_limit_w": None,
        "clocks": {},
        "persistence": None,
        "temperature_c": None,
    }
    if nvml is not None:
        environment["driver"] = nvml.ask("driver", nvml.nvml.nvmlSystemGetDriverVersion)
        gpu |= gpu_settings(nvml)
    return environment | {"gpu": gpu}


def gpu_settings(device: NvmlDevice) -> dict[str, Any]:
    """Limits and modes that someone else may have set. Read, never written."""
    n, handle, ask = device.nvml, device.handle, device.ask
    uuid = device.uuid()
    limit_mw = ask("default_power_limit", lambda: n.nvmlDeviceGetPowerManagementDefaultLimit(handle))
    state = device.state()
    clocks = {
        "sm_max_hz": ask("sm_max_hz", lambda: n.nvmlDeviceGetMaxClockInfo(handle, _SM)),
        "memory_max_hz": ask("memory_max_hz", lambda: n.nvmlDeviceGetMaxClockInfo(handle, _MEMORY)),
        "memory_hz": ask("memory_hz", lambda: n.nvmlDeviceGetClockInfo(handle, _MEMORY)),
    }
    persistence = ask("persistence", lambda: n.nvmlDeviceGetPersistenceMode(handle))
    return {
        "uuid_hash": None if uuid is None else hashed(uuid),
        "power_limit_w": state.power_limit_w,
        "default_power_limit_w": None if limit_mw is None else limit_mw / 1000,
        "clocks": {name: mhz * 1e6 for name, mhz in clocks.items() if mhz is not None},
        "persistence": None if persistence is None else bool(persistence),
        "temperature_c": state.temperature_c,
    }
