"""`tokenmill kernels --inspect`: bad input in one line, and two real compilations read, without a GPU."""

import json
import os
import subprocess
import sys

import pytest

from profiler.cli import run_command


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "give --inspect"),
        (["--inspect", "sm_91"], "sm_90"),
        (["matmull", "--inspect", "sm_90"], "did you mean matmul"),
        (["--inspect", "sm_90", "--precision", "fp9"], "did you mean fp8"),
        (["--inspect", "sm_90", "--model", "qwen"], "unknown model"),
        (["--inspect", "sm_90", "--batch", "0"], "--batch"),
        (["--inspect", "sm_90", "--model", "llama-3.1-8b", "--context", "1000000"], "positions"),
    ],
)
def test_bad_input_ends_in_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["kernels", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.timeout(600)
def test_fp8_and_fp4_reach_their_tensor_cores() -> None:
    """Also under TRITON_INTERPRET, which compiling must not see."""
    command = [sys.executable, "-m", "tokenmill", "kernels", "matmul", "--inspect", "sm_90,sm_100", "--model", "tiny-moe", "--precision", "fp8,nvfp4"]
    options = ["--batch", "8", "--context", "64", "--prefill", "none", "--json", "--check"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, env={**os.environ, "TRITON_INTERPRET": "1"})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    document = json.loads(done.stdout)
    kinds = {(row["arch"], row["formats"]): row["kinds"] for row in document["kernels"] if row["kernel"] == "matmul"}
    assert kinds[90, "fp8_1x128 x fp8_128x128"] == ["wgmma e4m3"]
    assert kinds[100, "nvfp4"] == ["tcgen05 mxf4nvf4"]
    assert kinds[90, "bf16 x nvfp4"] == ["wgmma bf16"]
    assert document["failed"] == 0
