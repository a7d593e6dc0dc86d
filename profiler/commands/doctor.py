"""`tokenmill doctor`: what is this machine, what can be measured, what is in the way, the fix for each; with --sensors, what its power sensor really does."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from triton_kernels.errors import TokenmillError

_BUDGET = "4m"


def doctor(
    out: Annotated[Path, typer.Option(help="Folder that records would go to.")] = Path("runs"),
    sensors: Annotated[
        bool, typer.Option("--sensors", help="Instead: what this GPU's power sensors do under known loads: ticks, lag, spread of joules. Minutes of full load.")
    ] = False,
    time_budget: Annotated[
        str | None, typer.Option("--time-budget", help="Of --sensors: 4m when not given; what it has no time for is named.", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option(help="Of --sensors: also the spread of joules per decode step of this model.", show_default=False)] = None,
    device: Annotated[str, typer.Option(help="Of --sensors: cuda, or cpu for a rehearsal, which is no evidence.")] = "cuda",
    trace: Annotated[Path | None, typer.Option(help="Of --sensors: keep every look at the sensors in this file (.jsonl.gz).", show_default=False)] = None,
    replay: Annotated[Path | None, typer.Option(help="Of --sensors: work it out again from such a file; measures nothing.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """What this machine can measure, what is in the way, and the fix for each."""
    if sensors:
        return _sensors(time_budget or _BUDGET, model, device, trace, replay, as_json=as_json)
    for flag, value in (("--time-budget", time_budget), ("--model", model), ("--trace", trace), ("--replay", replay)):
        if value is not None:
            raise TokenmillError(f"{flag}: is of `doctor --sensors`; add --sensors")
    return _checks(out, as_json=as_json)


def _checks(out: Path, *, as_json: bool) -> int:
    from profiler.measure.machine_checks import all_checks

    checks = all_checks(out=out)
    failed = any(check.status == "fail" for check in checks)
    if as_json:
        print(json.dumps({"checks": [check.json() for check in checks], "ok": not failed}, allow_nan=False))
        return 2 if failed else 0
    from rich.console import Console

    from profiler.report.text import printable

    console = Console()
    colours = {"ok": "green", "warn": "yellow", "fail": "red", "info": "dim"}
    width = max(len(check.name) for check in checks)
    for check in checks:
        fix = f" · {printable(check.fix)}" if check.fix else ""
        line = f"[{colours[check.status]}]{check.status:<4}[/]  {check.name:<{width}}  {printable(check.text)}{fix}"
        console.print(line, highlight=False, soft_wrap=True)
    return 2 if failed else 0


def _sensors(time_budget: str, model: str | None, device: str, trace: Path | None, replay: Path | None, *, as_json: bool) -> int:
    from profiler.sensors.conductor import document
    from profiler.sweep.expand import parse_budget

    if replay is not None:
        from profiler.sensors.file import read_recording

        _say(document(*read_recording(replay)), as_json=as_json)
        return 0
    request = {"device": device, "model": model, "budget_s": parse_budget(time_budget)}
    _check_early(device, model, trace)
    return _measured(request, trace, as_json=as_json)


def _check_early(device: str, model: str | None, trace: Path | None) -> None:
    """What can be wrong is found before anything is started."""
    from profiler.power.declared import NoPower
    from profiler.power.nvml import open_nvml
    from workloads.read_model import read_model

    if device not in ("cuda", "cpu"):
        raise TokenmillError(f"--device {device[:60]!r}: should be cuda, or cpu for a rehearsal")
    if model is not None:
        read_model(model)
    if trace is not None and not os.access(trace.parent, os.W_OK):
        raise TokenmillError(f"--trace {trace}: its folder is not there or cannot be written; choose another file")
    if importlib.util.find_spec("torch") is None:
        raise TokenmillError("doctor --sensors: PyTorch is not installed, and the loads need it: pip install 'tokenmill[gpu]'")
    if device == "cuda":
        board = open_nvml()  # no CUDA context, which would be a foreign process on the GPU to the trial
        board.close()
        if isinstance(board, NoPower):
            raise TokenmillError(f"doctor --sensors: there are no sensors to try: {board.reason}")


def _measured(request: dict[str, Any], trace: Path | None, *, as_json: bool) -> int:
    from rich.console import Console

    from profiler.report.progress import SweepProgress
    from profiler.report.text import printable
    from profiler.sensors.conductor import document, run_trial
    from profiler.sensors.file import write_recording
    from profiler.sweep.interruption import Interruption

    console = Console(stderr=True)
    with Interruption() as interruption:
        with SweepProgress(console, quiet=as_json) as display:
            gathered = run_trial(request, display, interruption, lines=not as_json and not console.is_terminal)
        recording = gathered.recording
        _say(document(recording, gathered.machine, gathered.left_out), as_json=as_json)
        if trace is not None:
            write_recording(trace, recording, machine=gathered.machine, left_out=gathered.left_out)
    for line in gathered.failed:
        console.print(f"failed: {printable(line)}", highlight=False, soft_wrap=True)
    if gathered.interrupted:
        console.print("interrupted: above is what was found until then", highlight=False)
        return interruption.exit_code
    if not gathered.failed and not recording.stretches:
        console.print("nothing was measured: give more --time-budget", highlight=False)
        return 2
    return 1 if gathered.failed else 0


def _say(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, allow_nan=False))
        return
    from profiler.report.sensors import print_sensors

    print_sensors(found)
