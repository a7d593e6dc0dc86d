"""Power of one GPU as a DCGM exporter's page tells it: for machines where NVML itself is out of reach. The page is untrusted text."""

from __future__ import annotations

import math
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.power.declared import NoPower
from profiler.power.nvml_device import MIG_REASON
from profiler.power.source import PowerSample
from profiler.record.redact import redacted
from triton_kernels.errors import TokenmillError

# dcgm-exporter's default counters: watts as nvmlDeviceGetPowerUsage gives them, averaged over 1 s, and millijoules since the driver was loaded. Instant watts
# are there where its list of counters was extended by them.
_POWER, _INSTANT, _ENERGY = "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_POWER_USAGE_INSTANT", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
_BLANK = 2.0**46  # dcgm_fields.h: values from DCGM_FP64_BLANK on mean "not supported", "no permission", ...
MOST_BYTES = 4 << 20
TIMEOUT_S = 2.0
MOST_GAP_S = 3.0  # exporters commonly refresh once a second (--collect-interval, 30 s unless set); srt-slurm's limit between samples
_LINE = re.compile(rf"({_INSTANT}|{_POWER}|{_ENERGY})\{{([^\n]*)\}} ([^ \n]+)(?: \d+)?", re.ASCII)
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"', re.ASCII)


@dataclass(frozen=True, kw_only=True)
class PageGpu:
    """One GPU on the page."""

    uuid: str
    mig: bool
    average_w: float | None
    instant_w: float | None
    energy_j: float | None

    @property
    def told(self) -> tuple[float | None, ...]:
        return self.average_w, self.instant_w, self.energy_j


class DcgmPower:
    """One GPU of an exporter's page, which is read for every sample. Watts are told once for each refresh, so that a page that stands still is a gap; its
    counter each time, so that a tick lies between two looks. A page without counter and news gives the sample before again, which is not kept."""

    name = "dcgm"
    kind = "measured"
    boundary = "board"
    most_gap_s = MOST_GAP_S
    sensor_accuracy: float | None = 0.05  # the board's own sensor, as with NVML

    def __init__(self, address: str, index: str, uuid: str, *, device: str = "gpu0", clock: Callable[[], float] = time.monotonic) -> None:
        self.device = device
        self.notes: Mapping[str, str] = {}
        self.invalid_reasons: tuple[str, ...] = ()
        self._address, self._index, self._uuid = address, index, uuid
        self._clock = clock
        self._last: tuple[PageGpu, PowerSample] | None = None

    def sample(self) -> PowerSample:
        before_s = self._clock()
        try:
            gpu = gpus_on(read_page(self._address)).get(self._index)
        except TokenmillError as e:
            gpu, self.notes = None, {"page": str(e)}
        t_s = (before_s + self._clock()) / 2
        if gpu is None:
            self.notes = self.notes or {"page": "the GPU is no longer on the DCGM exporter's page"}
            return PowerSample(t_s=t_s)
        if gpu.uuid != self._uuid:
            self.invalid_reasons = ("gpu_identity_changed",)
        if gpu.mig:
            self.invalid_reasons = (MIG_REASON,)
        if self._last is not None and gpu.told == self._last[0].told:
            return self._last[1] if gpu.energy_j is None else PowerSample(t_s=t_s, counter_j=gpu.energy_j)
        sample = PowerSample(t_s=t_s, counter_j=gpu.energy_j, instant_w=gpu.instant_w, average_w=gpu.average_w)
        self._last = gpu, sample
        return sample

    def close(self) -> None:
        """Nothing to close: the page is fetched for each look."""


def open_dcgm(address: str, *, uuid: str | None = None, index: int = 0, device: str = "gpu0") -> DcgmPower | NoPower:
    """The GPU with this UUID, or this number on the node, of the exporter at `address` (http://HOST:9400/metrics, or a file).

    TokenmillError where the page cannot be read or lacks the GPU; NoPower with `mig_instance_unsupported` where it is split, as DCGM repeats the whole GPU's
    watts on each instance (dcgm-exporter issue 317).
    """
    found = gpus_on(read_page(address))
    number = next((n for n, gpu in found.items() if gpu.uuid == uuid), None) if uuid is not None else str(index)
    if number is None or number not in found:
        told = ", ".join(sorted(found)[:16]) or "none"
        raise TokenmillError(f"{_shown(address)}: has no {_POWER} of GPU {uuid or index}; GPUs on the page: {told}")
    if found[number].mig:
        return NoPower(
            "this GPU is split by MIG, whose instances all show the parent's watts; measure on a whole GPU", device=device, invalid_reasons=(MIG_REASON,)
        )
    return DcgmPower(address, number, found[number].uuid, device=device)


def gpus_on(page: str) -> dict[str, PageGpu]:
    """GPU number -> what the page says of it. Lines that are not understood are left out."""
    found: dict[str, dict[str, Any]] = {}
    for figure, labels, value in _lines(page):
        gpu = found.setdefault(labels["gpu"], {"uuid": labels.get("UUID", ""), "mig": False, _POWER: None, _INSTANT: None, _ENERGY: None})
        gpu["mig"] |= bool(labels.get("GPU_I_ID") or labels.get("GPU_I_PROFILE"))
        gpu[figure] = value
    return {
        number: PageGpu(
            uuid=g["uuid"], mig=g["mig"], average_w=g[_POWER], instant_w=g[_INSTANT], energy_j=None if g[_ENERGY] is None else g[_ENERGY] / 1000
        )
        for number, g in found.items()
        if g["mig"] or any(g[figure] is not None for figure in (_POWER, _INSTANT, _ENERGY))
    }


def _lines(page: str) -> Iterator[tuple[str, dict[str, str], float | None]]:
    for line in page.splitlines():
        told = _LINE.fullmatch(line.strip()) if line.startswith("DCGM_FI_DEV_") else None
        if told is None:
            continue
        labels = dict(_LABEL.findall(told[2]))
        if re.fullmatch(r"\d{1,4}", labels.get("gpu", ""), re.ASCII):
            yield told[1], labels, _reading(told[3])


def _reading(text: str) -> float | None:
    """0 is what DCGM answers where there is no sensor (DCGM issue 171): no board has drawn 0 J or draws 0 W."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 < value < _BLANK else None


def read_page(address: str) -> str:
    """The page's text: at most 4 MiB, within 2 s, no redirects. TokenmillError in one line without what the address may hold of secrets."""
    try:
        if not address.lower().startswith(("http://", "https://")):
            if "://" in address:
                raise TokenmillError(f"{_shown(address)}: should be http://HOST:9400/metrics or a file")
            with Path(address).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        else:
            with _OPENER.open(address, timeout=TIMEOUT_S) as answer:
                data = answer.read(MOST_BYTES + 1)
    except (OSError, ValueError, urllib.error.URLError) as e:
        raise TokenmillError(f"{_shown(address)}: the DCGM exporter's page cannot be read ({_plain(_cause(e))}); is dcgm-exporter running there?") from e
    if len(data) > MOST_BYTES:
        raise TokenmillError(f"{_shown(address)}: over {MOST_BYTES >> 20} MiB is no DCGM exporter's page")
    return data.decode(errors="replace")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A metrics page has one address; a redirect could lead anywhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def _cause(e: Exception) -> str:
    return f"HTTP {e.code}" if isinstance(e, urllib.error.HTTPError) else str(getattr(e, "strerror", None) or getattr(e, "reason", None) or type(e).__name__)


def _shown(address: str) -> str:
    return _plain(redacted(address))


def _plain(text: str) -> str:
    """On one line, short, without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)[:120]
