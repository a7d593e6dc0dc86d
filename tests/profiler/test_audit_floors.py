"""The floors that the shipped table carries are those of tokenmill's own `floor`, so that audit needs no torch."""

from __future__ import annotations

import json
import shlex

import pytest

from profiler.audit.read_claims import read_claims
from profiler.cli import run_command


@pytest.mark.parametrize("column", ["h200", "gb300"])
def test_the_command_beside_a_floor_gives_it(column: str, capsys: pytest.CaptureFixture[str]) -> None:
    ceiling = read_claims().columns[column].ceiling
    assert ceiling is not None
    program, *arguments = shlex.split(ceiling.command)
    assert program == "tokenmill"
    assert run_command(arguments) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["fits"]
    assert row["gpu"] == column
    assert row["ceiling_output_tokens_per_s_per_gpu"] == pytest.approx(ceiling.output_tokens_per_s_per_gpu, rel=1e-3)
