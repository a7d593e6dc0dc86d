"""`tokenmill run`: whole steps of a model, measured, recorded, priced. This process stays free of torch; a worker touches the GPU."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from rich.console import Console

    from profiler.economics.price_book import PriceBook
    from profiler.economics.prices import PricePick
    from profiler.record.store import Run
    from profiler.report.progress import SweepProgress
    from profiler.sweep.conductor import Conductor, Outcome
    from profiler.sweep.expand import SweepRequest
    from profiler.sweep.interruption import Interruption

DONE, FAILED, FOR_THE_USER, NOT_VALID = 0, 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run needs beside the sweep itself."""

    out: Path
    budget_s: float | None
    usd_per_gpu_hour: float | None
    pue: float | None
    as_json: bool
    book: PriceBook


def run(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="A name of `tokenmill list models`, a config.json, or its folder.", show_default=False)
    ] = None,
    phase: Annotated[str, typer.Option(help="decode, prefill or both.")] = "both",
    precision: Annotated[
        str | None, typer.Option(help="Recipe of number formats: bf16, fp8, mxfp8, mxfp4, nvfp4, or a comma list, compared on one screen.")
    ] = None,
    kv_cache: Annotated[str | None, typer.Option("--kv-cache", help="bf16 or fp8, or a comma list; as the activations when not given.")] = None,
    batch: Annotated[str | None, typer.Option(help="Sequences per decode step, or a comma list: 1,32,128.")] = None,
    context: Annotated[str | None, typer.Option(help="KV length at decode and prompt length at prefill, instead of a mix; or a comma list.")] = None,
    mix: Annotated[str | None, typer.Option(help="Tokens of a request, input/output or input/output/cached: 8k/1k; or a comma list.")] = None,
    ep: Annotated[int, typer.Option("--ep", help="Expert-parallel size; one of its ranks is measured.")] = 1,
    tp: Annotated[int, typer.Option("--tp", help="Tensor-parallel size; one of its ranks is measured.")] = 1,
    dp: Annotated[int | None, typer.Option("--dp", help="Data-parallel size; EP / TP when not given.", show_default=False)] = None,
    rank: Annotated[str, typer.Option(help="hottest (most rows in each layer), mean, or the number of a GPU.")] = "hottest",
    span: Annotated[
        str | None, typer.Option(help="nvl8, nvl72 or nodes: how far the GPUs are apart; the GPU's NVLink domain where it is enough.", show_default=False)
    ] = None,
    layers: Annotated[int | None, typer.Option(help="So many layers of each kind instead of all: share of roofline, no rates.", show_default=False)] = None,
    mtp: Annotated[bool, typer.Option("--mtp", help="With the multi-token-prediction module's draft.")] = False,
    routing: Annotated[
        str, typer.Option(help="uniform (each token draws alone), balanced, zipf:S, a histogram's file, or model; or a comma list.")
    ] = "uniform",
    device: Annotated[str, typer.Option(help="auto, cuda or cpu.")] = "auto",
    kernels: Annotated[str, typer.Option(help="triton.")] = "triton",
    window: Annotated[float | None, typer.Option(help="Seconds per window, on a GPU at least 2; when not given 2 on a GPU, 1 on a CPU.")] = None,
    windows: Annotated[int, typer.Option(help="Windows per point; their spread gives the interval.")] = 5,
    per_op: Annotated[bool, typer.Option("--per-op", help="Also each operation of a step alone, for its seconds and joules.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights, inputs and routing.")] = 0,
    time_budget: Annotated[str | None, typer.Option("--time-budget", help="Skip points that would end later: 90s, 8m.")] = None,
    watts: Annotated[float | None, typer.Option(help="Declared watts of the node per GPU (assumed); a board's sensor is still read.")] = None,
    power_replay: Annotated[Path | None, typer.Option("--power-replay", help="Recorded power trace, .jsonl[.gz]: for tests and demonstrations.")] = None,
    node_power: Annotated[Path | None, typer.Option("--node-power", help="A wall meter's or BMC's watts of the node, .csv or .jsonl.")] = None,
    dcgm: Annotated[str | None, typer.Option(help="Address of a DCGM exporter's page.", show_default=False)] = None,
    sensor_accuracy: Annotated[
        float | None, typer.Option("--sensor-accuracy", help="Of a board calibrated against a meter, as a share: 0.01.", show_default=False)
    ] = None,
    usd_per_gpu_hour: Annotated[float | None, typer.Option("--usd-per-gpu-hour", help="Price of a GPU-hour, instead of the price book's.")] = None,
    price_book: Annotated[Path | None, typer.Option("--price-book", help="Your prices (TOML), over the built-in ones.")] = None,
    pue: Annotated[float | None, typer.Option(help="Facility power over IT power.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the records.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout; progress stays on stderr.")] = False,
) -> int:
    """Whole prefill and decode steps of a model: tokens/s, joules and dollars per token."""
    from profiler.economics.price_book import load_price_book
    from profiler.sweep.expand import SweepRequest, parse_budget
    from profiler.sweep.interruption import Interruption

    with Interruption() as interruption:
        settings = Settings(
            out=out, budget_s=parse_budget(time_budget), usd_per_gpu_hour=usd_per_gpu_hour, pue=pue, as_json=as_json, book=load_price_book(price_book)
        )  # fmt: skip
        request = SweepRequest(
            model=model, phase=phase, precision=precision, kv_cache=kv_cache, batch=batch, context=context, mix=mix, tp=tp, ep=ep, dp=dp,
            rank=rank, span=span, layers=layers, mtp=mtp,
            routing=routing, device=device, kernels=kernels, window_s=window, windows=windows, seed=seed, watts=watts,
            power_replay=None if power_replay is None else str(power_replay), node_power=None if node_power is None else str(node_power), dcgm=dcgm,
            sensor_accuracy=sensor_accuracy, per_op=per_op,
        )  # fmt: skip
        _check_early(request, settings)
        return _measure(request, settings, interruption)


def _check_early(request: SweepRequest, settings: Settings) -> None:
    """Everything that can be wrong without a GPU is found before anything is started or written."""
    from profiler.economics.prices import pick_price
    from profiler.power.dcgm import read_page
    from profiler.power.meter import read_meter
    from profiler.power.replay import read_trace
    from profiler.sweep.expand import CPU_DEFAULT, default_for, expand

    world = os.environ.get("WORLD_SIZE", "1")
    if world not in ("", "1"):
        raise TokenmillError(f"WORLD_SIZE is {world[:20]}: `run` measures one rank in one process; scripts/sharded_step runs them all under torchrun")
    expand(request, "cpu", CPU_DEFAULT if request.device == "cpu" else default_for("cuda", 0))
    if request.device not in ("auto", "cuda", "cpu"):
        raise TokenmillError(f"--device {request.device[:60]!r}: should be auto, cuda or cpu")
    if request.power_replay is not None:
        read_trace(Path(request.power_replay))
    if request.node_power is not None:
        read_meter(Path(request.node_power))
    if request.dcgm is not None:
        read_page(request.dcgm)
    pick_price(settings.book, None, usd_per_gpu_hour=settings.usd_per_gpu_hour, pue=settings.pue, watts=request.watts)
    if importlib.util.find_spec("torch") is None:
        raise TokenmillError("PyTorch is not installed, and measuring needs it: pip install 'tokenmill[gpu]'")
    _check_writable(settings.out)


def _check_writable(out: Path) -> None:
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as e:
        raise TokenmillError(f"--out {out}: cannot be written ({e.strerror}); choose another folder") from e
    finally:
        if made:  # the record makes it, once there is something to record
            with suppress(OSError):
                out.rmdir()


def _measure(request: SweepRequest, settings: Settings, interruption: Interruption) -> int:
    """The sweep with its display; then, from the record alone, what it found."""
    from rich.console import Console

    from profiler.report.progress import SweepProgress
    from profiler.sweep.conductor import Conductor
    from profiler.sweep.worker_process import InterruptedRunError

    console = Console(stderr=True)
    with SweepProgress(console, quiet=settings.as_json) as display:
        conductor = Conductor(display, interruption)
        try:
            device = conductor.learn(request.device)["device"]
            recorded = _sweep(request, settings, conductor, display, device)
        except InterruptedRunError:  # no record was begun
            console.print("interrupted before the first point: nothing was recorded")
            return interruption.exit_code
        finally:
            conductor.stop(patience_s=0.0 if interruption() else 2.0)
    code = _say(recorded, settings, console)
    return interruption.exit_code if interruption() else code


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A finished record and what is to be said about it. `outcome`: None when the user ended the run."""

    path: Path
    price: PricePick
    outcome: Outcome | None


def _sweep(request: SweepRequest, settings: Settings, conductor: Conductor, display: SweepProgress, device: str) -> Recorded:
    from profiler.economics.prices import pick_price
    from profiler.gpus import gpu_for_name
    from profiler.measure.environment import version
    from profiler.record.store import RunWriter
    from profiler.sweep.expand import default_for, expand
    from profiler.sweep.worker_process import InterruptedRunError
    from workloads.read_model import read_model

    environment = conductor.environment or {}
    gpu = environment.get("gpu") or {}
    specs = expand(request, device, default_for(device, gpu.get("memory_bytes")))
    known = gpu_for_name(gpu["name"]) if gpu else None
    key = known.key if known else None
    price = pick_price(settings.book, key, usd_per_gpu_hour=settings.usd_per_gpu_hour, pue=settings.pue, watts=request.watts)
    display.price = price
    writer = RunWriter.create(settings.out, subject=read_model(specs[0].model).name, argv=sys.argv[1:], version=version("tokenmill"))
    status, outcome = "failed", None
    try:
        writer.update(environment=environment, price=price.json())
        conductor.measure_ceilings(device)
        outcome = conductor.sweep(specs, writer, budget_s=settings.budget_s)
        writer.update(not_measured=outcome.lines())
        status = "done"
    except InterruptedRunError:
        status = "interrupted"
    finally:
        if status == "failed":
            with suppress(TokenmillError):  # what went wrong is on its way up already; a full disk may refuse this too
                writer.finish(status)
        else:
            writer.finish(status)
        if status == "interrupted":
            writer.discard()  # unless a point is in it
    return Recorded(path=writer.path, price=price, outcome=outcome)


def _say(recorded: Recorded, settings: Settings, console: Console) -> int:
    """Prints the findings; the exit code they deserve."""
    from rich.console import Console

    from profiler.economics.derive import derive_run
    from profiler.record.store import read_run
    from profiler.report.screen import print_screen

    if not recorded.path.exists():
        if settings.as_json:
            print(json.dumps({"points": [], "mixes": [], "run": None}))
        console.print("interrupted before the first point was finished: nothing is recorded", highlight=False, soft_wrap=True)
        return DONE
    run = read_run(recorded.path)
    if settings.as_json:
        print(json.dumps({**derive_run(run, recorded.price).json(), "run": str(recorded.path)}, allow_nan=False))
    elif run.points:
        print_screen(run, recorded.price, Console())
    if recorded.outcome is None:
        count = len(run.points)
        kept = "1 finished point is kept" if count == 1 else f"{count} finished points are kept"
        console.print(f"interrupted: {kept} in {recorded.path}", highlight=False, soft_wrap=True, markup=False)
        return DONE
    for line in recorded.outcome.lines():
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if all(point["status"] == "oom" for point in run.points):
        console.print("nothing was measured: give a smaller --batch or --context, or more --time-budget", highlight=False, soft_wrap=True)
    return exit_code(run, recorded.outcome)


def exit_code(run: Run, outcome: Outcome) -> int:
    """0 all measured and valid; 1 a point failed by a bug or a lost GPU; 2 for the user to fix, or nothing fitted; 3 a measured point is not valid."""
    measured = [point for point in run.points if point["status"] == "ok"]
    if outcome.failed:
        return FAILED
    if outcome.refused or not measured:
        return FOR_THE_USER
    return DONE if all(point["valid"] for point in measured) else NOT_VALID
