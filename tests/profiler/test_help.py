"""Every command explains itself: brackets in a help text must not be taken for markup, which swallows or breaks them."""

import re

import pytest
import typer
from typer.testing import CliRunner

from profiler.cli import COMMANDS, app


@pytest.mark.parametrize("name", [name for _, name, _ in COMMANDS])
def test_help(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.exception
    shown = re.sub(r"\W", "", result.stdout)
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    missing = [text for text in (getattr(p, "help", None) for p in command.params) if text and re.sub(r"\W", "", text) not in shown]
    assert missing == []
