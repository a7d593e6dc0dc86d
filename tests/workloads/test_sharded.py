"""A model spread over real ranks (torchrun, gloo) computes what the whole model does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASES = [
    ("dense", 2, 1, 1),
    ("qwen3", 1, 2, 2),  # tokens travel
    ("gpt-oss", 2, 2, 1),  # each rank adds its experts' share
    ("gpt-oss", 4, 2, 1),  # two GPUs share an expert; two have copies of a key/value head
    ("deepseek", 2, 4, 2),  # tensor-parallel pairs within an expert-parallel group of four
    ("deepseek", 1, 4, 4),
]


@pytest.mark.parametrize("model, tp, ep, dp", CASES)
def test_the_sharded_model_equals_the_whole_one(model: str, tp: int, ep: int, dp: int) -> None:
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(tp * dp)]
    command = [*torchrun, str(Path(__file__).with_name("sharded_ranks.py")), model, str(tp), str(ep), str(dp)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = [json.loads(one) for one in re.findall(r"\{[^{}]*\}", done.stdout)]  # lines of several processes may run together
    assert sorted(one["rank"] for one in said) == list(range(tp * dp))
    errors = [error for one in said for error in one["errors"]]
    assert len(errors) == tp * dp * (4 if model == "deepseek" else 2)  # prefill and decode, each with its draft
    assert max(errors) < 1e-4, said
