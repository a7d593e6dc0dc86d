"""Power sources against a scripted NVML, replayed traces, and the sampling thread."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from profiler.power.declared import DeclaredPower, NoPower
from profiler.power.nvml import NvmlPower, node_gpus, open_boards, open_nvml
from profiler.power.replay import ReplayPower, read_trace
from profiler.power.sampler import Sampler
from profiler.power.source import PowerSample
from profiler.power.window import Window
from profiler.record.store import RunWriter
from triton_kernels.errors import TokenmillError

INSTANT, AVERAGE = 186, 185
MODULE, MEMORY = 1, 2
INVALID_ARGUMENT, GPU_IS_LOST = 2, 15
NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND = 3, 4, 9, 12


def opened(fake_nvml: Any, **options: Any) -> NvmlPower:
    source = open_nvml(nvml=fake_nvml, environ={}, **options)
    assert isinstance(source, NvmlPower)
    return source


def test_nvml_sample_in_si_units(fake_nvml: Any) -> None:
    fake_nvml.counter_mj = lambda t: 123_456
    fake_nvml.reasons = 4
    sample = opened(fake_nvml).sample()
    assert (sample.counter_j, sample.instant_w, sample.average_w) == (123.456, 500.0, 500.0)
    assert (sample.sm_hz, sample.temperature_c, sample.event_reasons) == (1.755e9, 54.0, 4)


@pytest.mark.parametrize(
    "code, words",
    [(LIBRARY_NOT_FOUND, "libnvidia-ml.so was not found"), (DRIVER_NOT_LOADED, "driver is not loaded"), (NO_PERMISSION, "no permission")],
)
def test_nvml_that_does_not_start_is_no_power_with_the_reason(fake_nvml: Any, code: int, words: str) -> None:
    fake_nvml.errors["nvmlInit"] = code
    source = open_nvml(nvml=fake_nvml, environ={})
    assert isinstance(source, NoPower)
    assert words in source.reason
    assert source.invalid_reasons == ()
    assert source.sample().counter_j is None


@pytest.mark.parametrize(
    "function, figure",
    [
        ("nvmlDeviceGetTotalEnergyConsumption", "counter_j"),
        ("nvmlDeviceGetClockInfo", "sm_hz"),
        ("nvmlDeviceGetTemperature", "temperature_c"),
    ],
)
@pytest.mark.parametrize("code, words", [(NOT_SUPPORTED, "not supported"), (NO_PERMISSION, "no permission"), (999, "NVML error 999")])
def test_a_sensor_that_fails_is_none_with_its_own_reason(fake_nvml: Any, function: str, figure: str, code: int, words: str) -> None:
    fake_nvml.errors[function] = code
    source = opened(fake_nvml)
    sample = source.sample()
    assert getattr(sample, figure) is None
    assert words in source.notes[figure]
    assert sample.instant_w == 500.0  # the others go on
    before = fake_nvml.calls.count(function)
    source.sample()
    # Asking again is pointless where the answer is final, and needed where it was a hiccup.
    assert fake_nvml.calls.count(function) - before == (1 if code == 999 else 0)


def test_older_drivers_tell_event_reasons_under_their_old_name(fake_nvml: Any) -> None:
    fake_nvml.reasons = 0x4
    fake_nvml.errors["nvmlDeviceGetCurrentClocksEventReasons"] = 13  # function not found
    assert opened(fake_nvml).sample().event_reasons == 0x4
    fake_nvml.errors["nvmlDeviceGetCurrentClocksThrottleReasons"] = 13
    assert opened(fake_nvml).sample().event_reasons is None


def test_power_fields_fail_alone_and_fall_back_to_the_average(fake_nvml: Any) -> None:
    fake_nvml.field_errors = {INSTANT: NOT_SUPPORTED}
    source = opened(fake_nvml)
    sample = source.sample()
    assert (sample.instant_w, sample.average_w) == (None, 500.0)
    assert "not supported" in source.notes["instant_w"]
    fake_nvml.field_errors = {INSTANT: NOT_SUPPORTED, AVERAGE: NOT_SUPPORTED}
    assert opened(fake_nvml).sample().average_w == 500.0
    fake_nvml.errors["nvmlDeviceGetPowerUsage"] = NOT_SUPPORTED
    assert opened(fake_nvml).sample().average_w is None


def test_zero_watts_is_not_a_reading(fake_nvml: Any) -> None:
    fake_nvml.watts = lambda t: 0.0
    sample = opened(fake_nvml).sample()
    assert (sample.instant_w, sample.average_w) == (None, None)


@pytest.mark.parametrize(
    "visible, position, uuid",
    [(None, 1, "GPU-bbbb2222"), ("1", 0, "GPU-bbbb2222"), ("1,0", 1, "GPU-aaaa1111"), ("GPU-bbbb", 0, "GPU-bbbb2222"), ("0,-1,1", 0, "GPU-aaaa1111")],
)
def test_cuda_visible_devices(fake_nvml: Any, visible: str | None, position: int, uuid: str) -> None:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    source = open_nvml(nvml=fake_nvml, position=position, environ=environ)
    assert isinstance(source, NvmlPower)
    assert source.gpu.uuid() == uuid


@pytest.mark.parametrize("visible", ["", "-1", "0,-1,1"])
def test_hidden_gpu_has_no_power(fake_nvml: Any, visible: str) -> None:
    source = open_nvml(nvml=fake_nvml, position=1, environ={"CUDA_VISIBLE_DEVICES": visible})
    assert isinstance(source, NoPower)
    assert "CUDA_VISIBLE_DEVICES" in source.reason


def test_uuid_wins_over_position(fake_nvml: Any) -> None:
    assert opened(fake_nvml, uuid="GPU-bbbb2222", position=0).gpu.uuid() == "GPU-bbbb2222"


def test_mig_and_vgpu_are_refused_by_name(fake_nvml: Any) -> None:
    named = open_nvml(nvml=fake_nvml, environ={"CUDA_VISIBLE_DEVICES": "MIG-1234"})
    assert named.invalid_reasons == ("mig_instance_unsupported",)
    fake_nvml.mig = [1, 1]
    # In a container CUDA may show the instance's UUID, which is no GPU's: the GPU it lies on tells.
    assert open_nvml(nvml=fake_nvml, uuid="GPU-of-the-instance", environ={}).invalid_reasons == ("mig_instance_unsupported",)
    fake_nvml.mig, fake_nvml.virtualization = [0, 0], 2
    assert open_nvml(nvml=fake_nvml, environ={}).invalid_reasons == ("vgpu_unsupported",)
    fake_nvml.virtualization = 1  # a whole GPU passed through to a virtual machine
    assert open_nvml(nvml=fake_nvml, environ={}).invalid_reasons == ()


def test_gpus_without_mig_are_not_refused(fake_nvml: Any) -> None:
    fake_nvml.errors |= {"nvmlDeviceGetMigMode": NOT_SUPPORTED, "nvmlDeviceGetVirtualizationMode": NOT_SUPPORTED}
    assert opened(fake_nvml).notes == {}


def test_lost_gpu_gives_none_and_says_so(fake_nvml: Any) -> None:
    source = opened(fake_nvml)
    for function in ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetFieldValues", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetClockInfo"):
        fake_nvml.errors[function] = 15
    sample = source.sample()
    assert (sample.counter_j, sample.instant_w, sample.average_w, sample.sm_hz) == (None, None, None, None)
    assert "fell off the bus" in source.notes["counter_j"]


def test_nothing_is_ever_set(fake_nvml: Any) -> None:
    source = opened(fake_nvml)
    source.sample()
    source.state()
    source.close()
    changing = {name for name in fake_nvml.calls if "Set" in name or "Reset" in name or "Clear" in name}
    assert changing == {"nvmlEventSetCreate", "nvmlEventSetWait_v2", "nvmlEventSetFree"}  # a listener's own queue, not the GPU's state
    assert fake_nvml.calls[-1] == "nvmlShutdown"


def test_scopes_and_held_back_time_come_with_one_call(fake_nvml: Any) -> None:
    # A superchip: the module draws 900 W of which the GPU 500 W; memory is told as average only (GB300). Clocks were held back for 93 s and 2 s.
    fake_nvml.fields = {
        (INSTANT, MODULE): lambda t: 900_000,
        (AVERAGE, MEMORY): lambda t: 80_000,
        (74, 0): lambda t: 93_000_000_000,
        (269, 0): lambda t: 2_000_000_000,
        (271, 0): lambda t: 0,
    }
    source = opened(fake_nvml)
    first, second = source.sample(), source.sample()
    for sample in (first, second):
        assert (sample.instant_w, sample.module_w, sample.memory_w) == (500.0, 900.0, 80.0)
        assert (sample.sw_power_cap_s, sample.sw_thermal_s, sample.hw_thermal_s, sample.hw_power_brake_s) == (93.0, 2.0, None, 0.0)
    assert fake_nvml.calls.count("nvmlDeviceGetFieldValues") == 2
    assert source.notes == {}


@pytest.mark.parametrize("code", [INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION])
def test_what_a_board_lacks_is_asked_once_and_is_no_news(fake_nvml: Any, code: int) -> None:
    asked: list[list[tuple[int, int]]] = []
    answer = fake_nvml._field
    fake_nvml.field_errors = dict.fromkeys((74, 269, 270, 271), code)
    fake_nvml._field = lambda field, scope: (asked[-1].append((field, scope)), answer(field, scope))[1]
    source = opened(fake_nvml)
    for _ in range(3):
        asked.append([])
        source.sample()
    assert len(asked[0]) == 10
    assert asked[1] == asked[2] == [(INSTANT, 0), (AVERAGE, 0)]
    assert source.notes == {}


def test_module_power_falls_back_to_its_average(fake_nvml: Any) -> None:
    fake_nvml.fields = {(AVERAGE, MODULE): lambda t: 880_000}
    assert opened(fake_nvml).sample().module_w == 880.0
    fake_nvml.fields[INSTANT, MODULE] = lambda t: 900_000
    assert opened(fake_nvml).sample().module_w == 900.0


def test_every_visible_gpu_is_a_board_of_its_own(fake_nvml: Any) -> None:
    fake_nvml.uuids.append("GPU-cccc3333")
    boards = open_boards(nvml=fake_nvml, environ={"CUDA_VISIBLE_DEVICES": "2,0"})
    assert [(b.device, b.gpu.uuid()) for b in boards if isinstance(b, NvmlPower)] == [("gpu0", "GPU-cccc3333"), ("gpu1", "GPU-aaaa1111")]
    assert [b.device for b in open_boards(nvml=fake_nvml, environ={})] == ["gpu0", "gpu1", "gpu2"]
    named = open_boards(["GPU-bbbb2222"], nvml=fake_nvml, environ={})
    assert [b.gpu.uuid() for b in named if isinstance(b, NvmlPower)] == ["GPU-bbbb2222"]
    hidden = open_boards(nvml=fake_nvml, environ={"CUDA_VISIBLE_DEVICES": ""})
    assert [(type(b), b.device) for b in hidden] == [(NoPower, "gpu0")]
    assert node_gpus(nvml=fake_nvml) == 3  # the hidden ones draw the host's power too
    fake_nvml.errors["nvmlInit"] = DRIVER_NOT_LOADED
    assert node_gpus(nvml=fake_nvml) is None


def test_a_gpu_that_falls_off_is_not_asked_again(fake_nvml: Any) -> None:
    source = opened(fake_nvml)
    assert source.sample().readable
    fake_nvml.errors["nvmlDeviceGetTotalEnergyConsumption"] = GPU_IS_LOST
    sample = source.sample()
    assert not sample.readable
    assert "fell off the bus" in source.notes["counter_j"]
    before = len(fake_nvml.calls)
    assert not source.sample().readable
    assert len(fake_nvml.calls) == before  # a lost GPU's driver may hang
    assert source.state().power_limit_w is None
    assert source.invalid_reasons == ()


def test_another_board_under_the_same_handle(fake_nvml: Any) -> None:
    source = opened(fake_nvml)
    source.sample()
    assert source.invalid_reasons == ()
    first = source.state().uuid_hash
    fake_nvml.uuids[0] = "GPU-dddd4444"
    source.sample()
    assert source.invalid_reasons == ("gpu_identity_changed",)
    assert first not in (None, "GPU-aaaa1111", source.state().uuid_hash)


def test_xids_are_those_since_the_last_look(fake_nvml: Any) -> None:
    source = opened(fake_nvml)
    assert source.state().xids == ()
    fake_nvml.xids = [31, 43]
    assert source.state().xids == (31, 43)
    assert source.state().xids == ()
    fake_nvml.errors["nvmlDeviceRegisterEvents"] = NOT_SUPPORTED
    assert opened(fake_nvml).state().xids is None


def test_state_of_the_gpu(fake_nvml: Any) -> None:
    fake_nvml.processes = 2
    state = opened(fake_nvml).state()
    assert (state.power_limit_w, state.ecc_uncorrected, state.compute_processes, state.temperature_c) == (700.0, 0, 2, 54.0)


@pytest.mark.parametrize("watts", [0.0, -5.0, float("nan"), float("inf"), 2e6])
def test_declared_watts_must_be_watts(watts: float) -> None:
    with pytest.raises(TokenmillError, match="--watts"):
        DeclaredPower(watts)


def written(path: Path, lines: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["trace.jsonl", "trace.jsonl.gz"])
def test_replay_on_its_own_clock_and_round_again(tmp_path: Path, name: str) -> None:
    lines = [{"t_s": 100.0 + 0.5 * i, "counter_j": 1000.0 + 50.0 * i, "instant_w": 100.0 + i} for i in range(5)]  # 2 s, 200 J
    now = [7.0]
    source = ReplayPower(written(tmp_path / name, lines), clock=lambda: now[0])
    seen = []
    for t in (7.0, 7.6, 8.9, 9.1, 11.6):
        now[0] = t
        seen.append(source.sample())
    # 0.0, 0.6, 1.9 s into the trace; then 0.1 s into its second round and 0.6 s into its third, the counter carried on by 200 J each time.
    assert [s.counter_j for s in seen] == [1000.0, 1050.0, 1150.0, 1200.0, 1450.0]
    assert [s.instant_w for s in seen] == [100.0, 101.0, 103.0, 100.0, 101.0]
    assert [s.t_s for s in seen] == [7.0, 7.6, 8.9, 9.1, 11.6]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "holds 0 samples"),
        ('{"t_s": 1}\n', "holds 1 samples"),
        ('{"t_s": 1}\nnot json\n', "line 2"),
        ('{"t_s": 1}\n{"t_s": 1}\n', "does not grow"),
        ('{"t_s": 1}\n{"t_s": 2, "instant_w": "high"}\n', "instant_w"),
        ('{"t_s": 1}\n{"t_s": 2, "instant_w": -5}\n', "should be watts"),
        ('{"t_s": 1}\n{"t_s": 2, "instant_w": 1e308}\n', "should be watts"),
        ('{"t_s": 1}\n{"t_s": NaN}\n', "t_s"),
        ('{"t_s": true}\n', "t_s"),
        ("[1, 2]\n", "line 1"),
    ],
)
def test_bad_traces_get_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(TokenmillError, match=words) as raised:
        read_trace(path)
    assert "\n" not in str(raised.value)


def test_of_several_devices_the_boards_samples_are_replayed(tmp_path: Path) -> None:
    rows = [
        {"t_s": 1.0, "instant_w": 50.0, "device": "package-0", "boundary": "cpu"},
        {"t_s": 1.1, "instant_w": 400.0, "module_w": 700.0, "sw_power_cap_s": 3.0, "device": "gpu1", "boundary": "board"},
        {"t_s": 1.2, "instant_w": 300.0, "device": "gpu0", "boundary": "board"},
        {"t_s": 1.05, "instant_w": 51.0, "device": "package-0", "boundary": "cpu"},  # each device has its own clock stamps
        {"t_s": 1.15, "instant_w": 401.0, "device": "gpu1", "boundary": "board"},
    ]
    path = written(tmp_path / "trace.jsonl", rows)
    first = read_trace(path)
    assert [(s.t_s, s.instant_w, s.module_w, s.sw_power_cap_s) for s in first] == [(1.1, 400.0, 700.0, 3.0), (1.15, 401.0, None, None)]
    assert [s.instant_w for s in read_trace(path, device="package-0")] == [50.0, 51.0]
    with pytest.raises(TokenmillError, match="holds 1 samples of gpu0"):
        read_trace(path, device="gpu0")
    backwards = written(tmp_path / "backwards.jsonl", [rows[1], rows[2], {**rows[4], "t_s": 1.0}])
    with pytest.raises(TokenmillError, match="line 3: t_s does not grow"):
        read_trace(backwards)


def test_a_trace_in_a_run_must_be_the_recorded_one(tmp_path: Path) -> None:
    rows = [{"t_s": 1.0 + 0.1 * i, "instant_w": 300.0, "device": "gpu0", "boundary": "board"} for i in range(5)]
    writer = RunWriter.create(tmp_path, subject="x", argv=["tokenmill"], version=None)
    writer.commit({"kind": "step", "point_id": "p1"}, series=rows)
    path = writer.path / "series" / "p1.jsonl.gz"
    assert len(read_trace(path)) == 5
    whole = path.read_bytes()
    written(path, [*rows[:4], {**rows[4], "instant_w": 200.0}])
    with pytest.raises(TokenmillError, match="was changed after it was recorded"):
        read_trace(path)
    path.write_bytes(whole[:-12])
    with pytest.raises(TokenmillError, match="cannot be read as a power trace") as raised:
        read_trace(path)
    assert "\n" not in str(raised.value)


def test_missing_or_broken_trace_files(tmp_path: Path) -> None:
    with pytest.raises(TokenmillError, match="cannot be read"):
        read_trace(tmp_path / "absent.jsonl")
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(b"no gzip")
    with pytest.raises(TokenmillError, match="cannot be read"):
        read_trace(broken)


class Counting:
    """A source that counts its samples, and fails at the one asked for."""

    name, kind, sensor_accuracy, notes, invalid_reasons = "counting", "measured", None, {}, ()
    boundary, most_gap_s = "board", 0.5

    def __init__(self, fail_at: int | None = None, *, device: str = "gpu0", slow_s: float = 0.0) -> None:
        self.taken, self.fail_at, self.device, self.slow_s = 0, fail_at, device, slow_s

    def sample(self) -> PowerSample:
        self.taken += 1
        if self.taken == self.fail_at:
            raise ValueError("sensor code is broken")
        time.sleep(self.slow_s)
        return PowerSample(t_s=time.monotonic(), instant_w=float(self.taken))

    def close(self) -> None: ...


def test_sampler_brackets_and_only_appends() -> None:
    source = Counting()
    sampler = Sampler(source, period_s=(0.005, 0.01))
    before = time.monotonic()
    sampler.start()
    started = time.monotonic()
    time.sleep(0.2)
    stopping = time.monotonic()
    trace = sampler.stop()
    times = [s.t_s for s in trace.samples]
    assert before <= times[0] <= started
    assert times[-1] >= stopping
    assert times == sorted(times)
    assert [s.instant_w for s in trace.samples] == [float(i + 1) for i in range(source.taken)]
    assert len(times) >= 8  # 20 to 40 on an idle machine
    assert (trace.source, trace.kind) == ("counting", "measured")


def test_sampler_waits_for_a_sample_past_a_moment() -> None:
    sampler = Sampler(Counting(), period_s=(0.01, 0.02))
    sampler.start()
    moment = time.monotonic()
    sampler.wait_past(moment, most_s=5.0)
    assert sampler.trace().samples[-1].t_s > moment
    sampler.stop()


def test_sampler_takes_several_sources_in_turn_each_with_its_own_stamps() -> None:
    sampler = Sampler(Counting(device="gpu0", slow_s=0.002), Counting(device="package-0"), period_s=(0.005, 0.01))
    sampler.start()
    time.sleep(0.1)
    sampler.wait_past(time.monotonic(), most_s=5.0)
    board = sampler.stop()
    first, second = sampler.traces()
    assert (first, second.device) == (board, "package-0")
    assert len(first.samples) == len(second.samples) >= 5
    # In turn: the second source's stamp is the later one of each pair, and never the same.
    assert all(a.t_s < b.t_s for a, b in zip(first.samples, second.samples, strict=True))
    assert all(b.t_s < a.t_s for b, a in zip(second.samples, first.samples[1:], strict=False))
    assert first.rows()[0] == {**first.samples[0].json(), "device": "gpu0", "boundary": "board"}


def test_a_sampler_that_was_held_back_says_how_long() -> None:
    sampler = Sampler(Counting(), period_s=(0.01, 0.02))
    sampler.start()
    time.sleep(0.1)
    sampler.stop()
    on_time = sampler.lateness()
    assert on_time.n >= 2
    assert 0 <= on_time.largest_s < 60
    # Samples due at 1.0 and 2.0 came 0.02 s and 0.6 s late, one due at 9.0 was a whole second late but after the windows.
    sampler._delays = [(1.0, 0.02), (2.0, 0.6), (9.0, 1.0)]
    inside = sampler.lateness([Window(t_start_s=0.5, t_end_s=3.0)])
    assert (inside.largest_s, inside.share, inside.n, inside.too_late) == (0.6, 0.5, 2, True)
    assert not sampler.lateness([Window(t_start_s=0.5, t_end_s=1.5)]).too_late


def test_a_bug_in_a_source_reaches_the_caller() -> None:
    sampler = Sampler(Counting(fail_at=3), period_s=(0.001, 0.002))
    sampler.start()
    sampler.wait_past(time.monotonic() + 60, most_s=0.3)
    with pytest.raises(ValueError, match="sensor code is broken"):
        sampler.stop()
