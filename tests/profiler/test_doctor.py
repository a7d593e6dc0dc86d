"""The doctor's lines on scripted machines, and the command itself on this one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from profiler.measure import machine_checks
from profiler.measure.machine_checks import (
    Check,
    all_checks,
    host_check,
    interpreter_checks,
    load_check,
    out_check,
    python_check,
    torch_check,
    triton_check,
    vllm_checks,
)
from tests.profiler.fake_board import rapl_tree

ROOT = Path(__file__).parents[2]


def examined(fake_nvml: Any, tmp_path: Path, environ: dict[str, str] | None = None, *, gpus: int = 1) -> dict[str, Check]:
    """All checks by name; time passes only when the doctor sleeps."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    fake_nvml.uuids = ["GPU-aaaa1111", "GPU-bbbb2222", "GPU-cccc3333"][:gpus]
    fake_nvml.clock = lambda: now[0]
    checks = all_checks(out=tmp_path, nvml=fake_nvml, environ=environ or {}, sleep=sleep, clock=lambda: now[0])
    return {c.name: c for c in checks}


def test_a_healthy_gpu(fake_nvml: Any, tmp_path: Path) -> None:
    checks = examined(fake_nvml, tmp_path)
    assert checks["gpu"] == Check(name="gpu", status="ok", text="NVIDIA H200 (h200)")
    assert checks["driver"].text == "580.65.06"
    # 1.5 s at 500 W: fifteen ticks of 50 J.
    assert checks["energy counter"].text == "ticks every 105 ms (750.0 J in 1.50 s)"  # looked for every 15 ms: 90 or 105
    assert checks["sampling"].text == "instant power stayed the same; sampled every 75 to 100 ms"
    assert checks["power fields"].text == "instant 500 W, average 500 W"
    assert (checks["power limit"].text, checks["clocks"].text) == ("700 W", "SM up to 1980 MHz")
    gpu_lines = ("gpu", "driver", "energy counter", "power fields", "mig", "persistence", "other processes", "power limit")
    assert {checks[name].status for name in gpu_lines} == {"ok"}


def test_what_is_in_the_way_has_a_fix(fake_nvml: Any, tmp_path: Path) -> None:
    fake_nvml.persistence, fake_nvml.processes, fake_nvml.limit_mw = 0, 2, 500_000
    fake_nvml.name = "NVIDIA Something New"
    fake_nvml.counter_mj = lambda t: 77
    fake_nvml.field_errors = {186: 3}
    checks = examined(fake_nvml, tmp_path, {"TRITON_INTERPRET": "1"})
    assert "nvidia-smi -pm 1" in (checks["persistence"].fix or "")
    assert "nvidia-smi -pl 700" in (checks["power limit"].fix or "")
    assert checks["other processes"].text == "2 compute processes on this GPU"
    assert checks["energy counter"].text.startswith("does not move")
    assert checks["power fields"].text.startswith("average 500 W only")
    warned = ("gpu", "persistence", "power limit", "other processes", "energy counter", "power fields", "TRITON_INTERPRET")
    for name in warned:
        assert (checks[name].status, bool(checks[name].fix)) == ("warn", True), name


@pytest.mark.parametrize("code, words", [(3, "not supported"), (4, "no permission")])
def test_sensors_that_are_missing_are_told_apart(fake_nvml: Any, tmp_path: Path, code: int, words: str) -> None:
    fake_nvml.errors = dict.fromkeys(("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetFieldValues", "nvmlDeviceGetPowerUsage"), code)
    checks = examined(fake_nvml, tmp_path)
    assert words in checks["energy counter"].text
    assert words in checks["power fields"].text
    assert "--watts" in (checks["power fields"].fix or "")


@pytest.mark.parametrize("code, words", [(12, "libnvidia-ml.so was not found"), (9, "not loaded"), (4, "no permission")])
def test_no_gpu_is_no_failure(fake_nvml: Any, tmp_path: Path, code: int, words: str) -> None:
    fake_nvml.errors["nvmlInit"] = code
    checks = examined(fake_nvml, tmp_path)
    assert checks["gpu"].status == "info"
    assert words in checks["gpu"].text
    assert checks["gpu"].text.endswith("runs on the CPU fallback")
    assert "energy counter" not in checks


def test_mig_fails_with_its_reason(fake_nvml: Any, tmp_path: Path) -> None:
    fake_nvml.mig = [1, 1]
    assert examined(fake_nvml, tmp_path)["gpu"].status == "fail"


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert python_check((3, 10, 9)).status == "fail"
    assert python_check((3, 13, 0)).status == "ok"
    found: dict[str, str | None] = {"torch": "2.9.1+cu128", "triton": "3.5.1", "vllm": "0.11.0"}
    monkeypatch.setattr(machine_checks, "version", found.get)
    assert (torch_check().status, triton_check().status) == ("warn", "warn")
    assert "triton_kernels" in vllm_checks()[0].text
    found.update(torch="2.13.0", triton="3.10.0", vllm=None)
    assert (torch_check().status, triton_check().status, vllm_checks()) == ("ok", "ok", [])
    found.update(torch=None, triton=None)
    assert (torch_check().status, triton_check().status) == ("fail", "info")


def test_out_folder(tmp_path: Path) -> None:
    assert out_check(tmp_path / "deep" / "runs").status == "ok"
    assert not (tmp_path / "deep").exists()  # looking is not making
    (tmp_path / "file").write_text("")
    assert out_check(tmp_path / "file").status == "fail"


def test_interpreter() -> None:
    assert interpreter_checks({"TRITON_INTERPRET": "0"}) == []
    assert interpreter_checks({}) == []


def test_host_sensors(tmp_path: Path) -> None:
    assert "shows no RAPL" in host_check(tmp_path).text
    rapl_tree(tmp_path, {"intel-rapl:0": ("package-0", 1, 100), "intel-rapl:0:0": ("dram", 1, 100)})
    assert host_check(tmp_path) == Check(name="host power", status="ok", text="rapl: package-0, package-0-dram")
    energy = tmp_path / "class" / "powercap" / "intel-rapl:0" / "energy_uj"
    energy.unlink()
    energy.mkdir()  # nobody reads a folder, root neither
    unread = host_check(tmp_path)
    assert (unread.status, unread.text.startswith("the CPU's energy counters need root")) == ("warn", True)
    assert str(unread.fix).startswith("chmod a+r")


def test_several_gpus_each_with_its_lines(fake_nvml: Any, tmp_path: Path) -> None:
    checks = examined(fake_nvml, tmp_path, {"CUDA_VISIBLE_DEVICES": "1,0"}, gpus=3)
    assert (checks["gpu0"].text, checks["gpu1"].text) == ("NVIDIA H200 (h200)", "NVIDIA H200 (h200)")
    assert {checks["gpu0 energy counter"].status, checks["gpu1 energy counter"].status} == {"ok"}
    assert "2 of the node's 3" in checks["hidden gpus"].text


def test_scopes_of_a_superchip(fake_nvml: Any, tmp_path: Path) -> None:
    assert "power scopes" not in examined(fake_nvml, tmp_path)
    fake_nvml.fields = {(186, 1): lambda t: 900_000, (185, 2): lambda t: 80_000}
    assert examined(fake_nvml, tmp_path)["power scopes"].text == "gpu, module 900 W, memory 80 W; never added to each other"


def test_command_prints_one_json_document_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom profiler.commands.doctor import doctor\n"
        f"code = doctor(out=Path({str(tmp_path)!r}), as_json=True)\n"
        "heavy = {'torch', 'triton', 'pandas', 'numpy'} & set(sys.modules)\nsys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert {"python", "torch", "out folder"} <= {c["name"] for c in document["checks"]}
    assert {c["status"] for c in document["checks"]} <= {"ok", "warn", "fail", "info"}


def test_load_of_other_work_is_named_before_a_measurement() -> None:
    busy, quiet = load_check(load=2.3, cores=2), load_check(load=0.3, cores=2)
    assert (busy.status, quiet.status) == ("warn", "ok")
    assert busy.text == "2.3 over the last minute on 2 cores"
    assert "free the machine" in str(busy.fix)
