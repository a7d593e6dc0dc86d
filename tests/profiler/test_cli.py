import errno
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from profiler import cli
from profiler.report.text import dollars, plain, printable, quantity
from triton_kernels.errors import TokenmillError

ROOT = Path(__file__).resolve().parents[2]
Capture = pytest.CaptureFixture[str]


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, profiler.cli; print(*sorted({'torch', 'triton', 'pandas', 'numpy', 'scipy', 'transformers', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("arguments", [["list", "kernels", "--json"], ["list", "models"], ["cost", "--tokens-per-s-per-gpu", "1", "--gpu", "h200"], ["--help"]])
def test_commands_that_only_read_import_no_torch(arguments: list[str]) -> None:
    heavy = "{'torch', 'triton', 'pandas'} & set(sys.modules)"
    code = f"import sys; from profiler.cli import run_command; run_command({arguments!r}); print({heavy}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"


def test_the_process_ends_with_the_exit_code() -> None:
    done = subprocess.run([sys.executable, "-m", "profiler.cli", "list", "gpu"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tokenmill: unknown table 'gpu'; did you mean gpus?\n"


def test_help_has_the_panels_and_every_command(capsys: Capture) -> None:
    assert cli.run_command(["--help"]) == 0
    shown = capsys.readouterr().out
    for panel, name, _ in cli.COMMANDS:
        assert f" {panel} " in shown
        assert f" {name} " in shown
    assert cli.run_command([]) == 0
    assert capsys.readouterr().out.split() == shown.split()


def test_version(capsys: Capture) -> None:
    assert cli.run_command(["--version"]) == 0
    name, version = capsys.readouterr().out.split()
    assert name == "tokenmill"
    assert version[0].isdigit()


@pytest.mark.parametrize("arguments", [["lst"], ["list", "--nope"], ["--nope"], ["cost", "a", "b"], ["list", "gpus", "--json", "--json=1"]])
def test_a_usage_error_is_one_line_and_exit_2(capsys: Capture, arguments: list[str]) -> None:
    assert cli.run_command(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tokenmill: ")
    assert captured.err.count("\n") == 1


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def app(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (TokenmillError("give a model"), 2, "tokenmill: give a model\n"),
        (TokenmillError("the GPU is gone", exit_code=1), 1, "tokenmill: the GPU is gone\n"),
        (TokenmillError("two\nlines \x1b[31mred"), 2, "tokenmill: two lines [31mred\n"),
        (KeyboardInterrupt(), 130, "tokenmill: interrupted\n"),
        (typer.Abort(), 130, "tokenmill: interrupted\n"),
        (ValueError("x"), 1, "tokenmill: ValueError: x (a bug; TOKENMILL_DEBUG=1 shows where)\n"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 2, "tokenmill: No space left on device: runs/x\n"),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), 2, "tokenmill: Permission denied: runs\n"),
        (OSError(errno.EIO, "Input/output error"), 1, "tokenmill: OSError: [Errno 5] Input/output error (a bug; TOKENMILL_DEBUG=1 shows where)\n"),
    ],
)
def test_every_error_becomes_one_line_and_its_code(monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: BaseException, code: int, said: str) -> None:
    monkeypatch.delenv("TOKENMILL_DEBUG", raising=False)
    raising(monkeypatch, error)
    assert cli.run_command([]) == code
    assert capsys.readouterr() == ("", said)


def test_debugging_shows_where(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("TOKENMILL_DEBUG", "1")
    raising(monkeypatch, ValueError("x"))
    assert cli.run_command([]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_commands_own_exit_code_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    def three() -> None:
        raise typer.Exit(3)

    monkeypatch.setattr(cli, "app", app)
    assert cli.run_command([]) == 3


@given(st.text())
def test_printable_text_is_inert(text: str) -> None:
    assert Text.from_markup(printable(text)).spans == []  # rich finds no markup in it,
    around = Text.from_markup(f"<[bold]{printable(text)}[/bold]>")
    assert around.plain == f"<{plain(text)}>"  # and markup around it stays what it was
    assert all(c.isprintable() or c == " " or not c.isascii() for c in plain(text))
    assert "\n" not in plain(text)


def test_printable_keeps_what_is_readable() -> None:
    assert plain("größe [x] 漢字\ttab\nline\x1b[0m\x07\u202e\u2028") == "größe [x] 漢字 tab line[0m"
    assert Text.from_markup(printable("[bold]a[/bold] \\[b]")).plain == "[bold]a[/bold] \\[b]"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0, "0"), (12.34, "12.3"), (999.4, "999"), (999.6, "1 K"), (53_902.0, "53.9 K"), (2_857_143.0, "2.86 M"), (1e15, "1,000 T")],
)
def test_quantities(value: float | None, shown: str) -> None:
    assert quantity(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (4.2002, "$4.20"),
        (0.122777, "$0.1228"),
        (87_116.0, "$87.1 K"),
        (1234.5, "$1,234.50"),
        (0.0, "$0"),
        (1.5e-5, "$1.50e-05"),
        (0.0603, "$0.0603"),
    ],
)
def test_dollars(value: float | None, shown: str) -> None:
    assert dollars(value) == shown
