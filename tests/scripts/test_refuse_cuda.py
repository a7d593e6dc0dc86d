"""The watch over pip: CUDA is refused at its first sign, by name, by version or by size, and a CPU build passes."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "refuse_cuda.py"
_spec = importlib.util.spec_from_file_location("refuse_cuda", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
refuse_cuda = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(refuse_cuda)

CPU_LINES = [
    "Looking in indexes: https://index.example/simple\n",
    "Collecting torch==2.13.0\n",
    "  Downloading torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl (196.2 MB)\n",
    "Collecting filelock (from torch==2.13.0)\n",
    "  Using cached filelock-3.1.0-py3-none-any.whl (16 kB)\n",
]


def report(*packages: tuple[str, str]) -> dict[str, object]:
    return {"install": [{"metadata": {"name": name, "version": version}} for name, version in packages]}


def fake_pip(folder: Path, lines: list[str], installs: dict[str, object], rc: int = 0) -> tuple[str, ...]:
    """A pip that prints `lines`, then writes its report; after the last line it marks that it was let through."""
    script = folder / "pip.py"
    script.write_text(
        "import sys, pathlib, time\n"
        f"for line in {lines!r}: print(line, end='', flush=True)\n"
        f"time.sleep({0 if rc or len(lines) > 3 else 3})\n"
        f"pathlib.Path(sys.argv[sys.argv.index('--report') + 1]).write_text({json.dumps(installs)!r})\n"
        f"pathlib.Path({str(folder / 'finished')!r}).touch()\n"
        f"print('complaint of pip', file=sys.stderr); sys.exit({rc})\n"
    )
    return (sys.executable, str(script))


def test_cpu_build_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pip = fake_pip(tmp_path, CPU_LINES, report(("torch", "2.13.0+cpu"), ("filelock", "3.1.0")))
    assert refuse_cuda.main(["torch==2.13.0"], pip) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "line",
    [
        "Collecting nvidia-cublas==13.1.0 (from torch==2.13.0)\n",
        "Collecting triton==3.7.0 (from torch==2.13.0)\n",
        "Collecting cuda-bindings<14 (from torch==2.13.0)\n",
        "  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (532.0 MB)\n",
        "  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (1.2 GB)\n",
    ],
)
def test_first_sign_of_cuda_ends_pip(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    pip = fake_pip(tmp_path, ["Collecting torch==2.13.0\n", line], report(("torch", "2.13.0")))
    assert refuse_cuda.main(["torch==2.13.0"], pip) == 2
    assert not (tmp_path / "finished").exists()
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "TOKENMILL_TORCH_INDEX" in error


def test_metadata_of_a_large_file_is_no_download() -> None:
    assert refuse_cuda.first_problem(["  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (29 kB)\n"]) is None


def test_many_small_files_add_up() -> None:
    assert refuse_cuda.first_problem([f"  Downloading part{i}.whl (300 MB)\n" for i in range(3)]) is None
    assert refuse_cuda.first_problem([f"  Downloading part{i}.whl (300 MB)\n" for i in range(4)]) == "1200 MB in all"


def test_report_is_read_too() -> None:
    assert refuse_cuda.cuda_in_report(report(("torch", "2.13.0+cu130"))) == "torch 2.13.0+cu130"
    assert refuse_cuda.cuda_in_report(report(("torch", "2.13.0"), ("nvidia-nccl-cu13", "2.28"))) == "nvidia-nccl-cu13 2.28"
    assert refuse_cuda.cuda_in_report(report(("torch", "2.13.0+cpu"), ("nvidia", "1"))) == "nvidia 1"
    assert refuse_cuda.cuda_in_report(report(("torch", "2.13.0+cpu"))) is None


def test_no_such_version_names_the_variable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pip = fake_pip(tmp_path, ["ERROR\n"], report(), rc=1)
    assert refuse_cuda.main(["torch==2.13.0"], pip) == 2
    assert "complaint of pip\nerror: pip found no torch==2.13.0; set TOKENMILL_TORCH_INDEX" in capsys.readouterr().err
