"""A DCGM exporter's page as a source: which GPU, what is no reading, and pages that mean harm."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from profiler.power.dcgm import DcgmPower, gpus_on, open_dcgm
from profiler.power.declared import NoPower
from profiler.power.energy import point_energy
from profiler.power.sampler import Sampler
from profiler.power.source import trace_of
from profiler.power.window import Window
from triton_kernels.errors import TokenmillError


def row(figure: str, value: object, *, gpu: int = 0, uuid: str = "GPU-aaaa", more: str = "") -> str:
    return f'{figure}{{gpu="{gpu}",UUID="{uuid}",device="nvidia{gpu}",modelName="NVIDIA H200",Hostname="n{gpu}"{more}}} {value}\n'


def page(watts: object = 500.5, energy_mj: object = 7_000_000, **of: object) -> str:
    return (
        "# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).\n# TYPE DCGM_FI_DEV_POWER_USAGE gauge\n"
        + row("DCGM_FI_DEV_POWER_USAGE", watts, **of)  # type: ignore[arg-type]
        + row("DCGM_FI_DEV_GPU_TEMP", 54, **of)  # type: ignore[arg-type]
        + row("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", energy_mj, **of)  # type: ignore[arg-type]
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "metrics"
    path.write_text(page() + page(300, 1000, gpu=1, uuid="GPU-bbbb"))
    return path


def test_a_gpu_by_number_and_by_uuid(file: Path) -> None:
    first, second = open_dcgm(str(file)), open_dcgm(str(file), uuid="GPU-bbbb", device="gpu1")
    assert isinstance(first, DcgmPower)
    sample = first.sample()
    assert (sample.instant_w, sample.average_w, sample.counter_j) == (None, 500.5, 7000.0)  # this field is averaged over 1 s
    file.write_text(page() + row("DCGM_FI_DEV_POWER_USAGE_INSTANT", 640))
    sample = first.sample()
    assert (sample.instant_w, sample.average_w) == (640.0, 500.5)
    file.write_text(page() + page(300, 1000, gpu=1, uuid="GPU-bbbb"))
    assert (second.device, second.sample().counter_j) == ("gpu1", 1.0)
    with pytest.raises(TokenmillError, match="has no DCGM_FI_DEV_POWER_USAGE of GPU 5; GPUs on the page: 0, 1"):
        open_dcgm(str(file), index=5)


def test_mig_instances_repeat_the_whole_gpus_watts_and_are_refused(file: Path) -> None:
    file.write_text(page(more=',GPU_I_PROFILE="1g.18gb",GPU_I_ID="7"'))
    refused = open_dcgm(str(file))
    assert isinstance(refused, NoPower)
    assert refused.invalid_reasons == ("mig_instance_unsupported",)


@pytest.mark.parametrize("value", ["0", "0.000000", "NaN", "+Inf", "-1", "9223372036854775794", "140737488355328", "N/A", "1e999"])
def test_no_readings(file: Path, value: str) -> None:
    # DCGM issue 171: 0 J where the counter is not supported; the large ones are DCGM's blanks.
    file.write_text(page(value, 5000))
    assert open_dcgm(str(file)).sample().average_w is None
    file.write_text(page(500, value))
    sample = open_dcgm(str(file)).sample()
    assert (sample.average_w, sample.counter_j) == (500.0, None)


def test_a_page_that_stands_still_has_a_counter_and_no_watts(file: Path) -> None:
    source = open_dcgm(str(file))
    first, second = source.sample(), source.sample()
    assert (first.average_w, first.counter_j) == (500.5, 7000.0)
    assert (second.average_w, second.counter_j) == (None, 7000.0)
    file.write_text(page(501))
    assert source.sample().average_w == 501.0


def test_a_page_without_news_and_counter_is_no_new_sample(file: Path) -> None:
    file.write_text(page(500, "N/A"))
    source = open_dcgm(str(file))
    first = source.sample()
    assert source.sample() is first
    sampler = Sampler(source, period_s=(0.005, 0.01))
    sampler.start()
    trace = sampler.stop()
    assert len(trace.samples) == 1
    assert trace.most_gap_s == 3.0


def refreshed(file: Path, refresh_s: float, *, end_s: float = 25.0) -> DcgmPower:
    now = [0.0]
    source = open_dcgm(str(file))
    assert isinstance(source, DcgmPower)
    source._clock = lambda: now[0]
    samples = []
    while now[0] < end_s:
        told_s = now[0] // refresh_s * refresh_s
        file.write_text(page(400 + told_s % 2, int(1e6 + 400_000 * told_s)))
        sample = source.sample()
        if not samples or sample is not samples[-1]:
            samples.append(sample)
        now[0] += 0.075
    source.taken = tuple(samples)  # type: ignore[attr-defined]
    return source


def test_windows_of_five_seconds_at_an_exporters_pace(file: Path) -> None:
    # 400 W, told once a second: in each window five refreshes, each seen within 75 ms.
    source = refreshed(file, 1.0)
    spans = [Window(t_start_s=t, t_end_s=t + 5.0) for t in (2.3, 7.3, 12.3, 17.3)]
    found = point_energy(trace_of(source, source.taken), spans)  # type: ignore[attr-defined]
    assert (found.power_source, found.invalid_reasons) == ("dcgm-counter", [])
    assert found.energy_j == pytest.approx(8000.0, rel=0.02)


def test_joules_at_an_exporters_pace(file: Path) -> None:
    source = refreshed(file, 1.0)
    found = point_energy(trace_of(source, source.taken), [Window(t_start_s=2.0, t_end_s=22.0)])  # type: ignore[attr-defined]
    assert (found.power_source, found.invalid_reasons, found.energy_j) == ("dcgm-counter", [], pytest.approx(8000.0, rel=0.02))
    slow = refreshed(file, 5.0)
    lost = point_energy(trace_of(slow, slow.taken), [Window(t_start_s=6.0, t_end_s=19.0)])  # type: ignore[attr-defined]
    assert (lost.energy_j, lost.invalid_reasons) == (None, ["sample_gap_exceeded"])


def test_another_gpu_under_the_same_number(file: Path) -> None:
    source = open_dcgm(str(file))
    file.write_text(page(uuid="GPU-cccc"))
    source.sample()
    assert source.invalid_reasons == ("gpu_identity_changed",)


def test_an_exporter_that_goes_away_gives_none(file: Path) -> None:
    source = open_dcgm(str(file))
    source.sample()
    file.unlink()
    assert not source.sample().readable
    assert "cannot be read" in source.notes["page"]


def test_hostile_pages_are_only_text() -> None:
    assert gpus_on("DCGM_FI_DEV_POWER_USAGE{" * 50_000) == {}
    assert gpus_on('DCGM_FI_DEV_POWER_USAGE{gpu="' + "\\" * 100_000) == {}
    assert gpus_on('DCGM_FI_DEV_POWER_USAGE{gpu="\x1b[2J"} 5\n') == {}
    assert gpus_on('DCGM_FI_DEV_POWER_USAGE{gpu="0",x="a\\"b,UUID=\\"GPU-evil"} 5\n')["0"].uuid == ""


class Exporter(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/metrics")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * (5 << 20) if self.path == "/large" else page().encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def exporter() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_over_http(exporter: str) -> None:
    assert open_dcgm(f"http://{exporter}/metrics").sample().average_w == 500.5
    with pytest.raises(TokenmillError, match="HTTP 302"):
        open_dcgm(f"http://{exporter}/moved")
    with pytest.raises(TokenmillError, match="over 4 MiB"):
        open_dcgm(f"http://{exporter}/large")


@pytest.mark.parametrize("address", ["http://user:hunter2@127.0.0.1:1/metrics?key=hunter2", "ftp://user:hunter2@host/x", "http://user:hunter2@[bad/metrics"])
def test_addresses_that_fail_tell_no_secret(address: str) -> None:
    with pytest.raises(TokenmillError) as raised:
        open_dcgm(address)
    assert "hunter2" not in str(raised.value)
    assert "\n" not in str(raised.value)
