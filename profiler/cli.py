"""The command line. It imports no torch, triton or pandas: a command does that when it runs."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from profiler.commands.audit import audit
from profiler.commands.compare import compare
from profiler.commands.cost import cost
from profiler.commands.doctor import doctor
from profiler.commands.explain import explain
from profiler.commands.floor import floor
from profiler.commands.history import history
from profiler.commands.kernels import kernels
from profiler.commands.list import list_command
from profiler.commands.report import report
from profiler.commands.run import run
from triton_kernels.errors import TokenmillError

# (panel of the help, name, function), in the order the help shows.
COMMANDS: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("Measure", "doctor", doctor),
    ("Measure", "run", run),
    ("Measure", "floor", floor),
    ("Understand", "report", report),
    ("Understand", "explain", explain),
    ("Understand", "compare", compare),
    ("Understand", "history", history),
    ("Understand", "list", list_command),
    ("Understand", "kernels", kernels),
    ("Decide", "cost", cost),
    ("Decide", "audit", audit),
)

# What the operating system says when the user's disk, quota or permissions are in the way.
_USER_FIXABLE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}

app = typer.Typer(
    name="tokenmill",
    help="What does a token cost on this GPU node, why, and what would make it cheaper?",
    epilog="Exit codes: 0 done, 1 failed, 2 for you to fix, 3 measured but not valid, 4 a gate or a claim failed, 130/143 interrupted, points kept.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _panel, _name, _function in COMMANDS:
    app.command(_name, rich_help_panel=_panel)(_function)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"tokenmill {_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def _version() -> str:
    """Of this tree where there is one, else of the installed distribution."""
    import tomllib
    from importlib.metadata import version
    from pathlib import Path

    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    return str(tomllib.loads(project.read_text())["project"]["version"]) if project.is_file() else version("tokenmill")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and leaves the process with its exit code."""
    sys.exit(run_command(arguments))


def run_command(arguments: Sequence[str] | None = None) -> int:
    """The one place where an error becomes a line on stderr and an exit code."""
    try:
        code = int(app(args=arguments, prog_name="tokenmill", standalone_mode=False) or 0)
        sys.stdout.flush()
        return code
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except TokenmillError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    if hasattr(error, "format_message"):  # a usage error of typer, whose class moved between versions
        return _fail(f"{error.format_message()} (see --help)", 2)
    if os.environ.get("TOKENMILL_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    if isinstance(error, OSError) and error.errno in _USER_FIXABLE:
        return _fail(f"{error.strerror}{f': {error.filename}' if error.filename else ''}", 2)
    return _fail(f"{type(error).__name__}: {error} (a bug; TOKENMILL_DEBUG=1 shows where)", 1)


def _fail(message: str, code: int) -> int:
    from profiler.report.text import plain

    print(f"tokenmill: {plain(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
