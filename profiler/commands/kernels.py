"""`tokenmill kernels --inspect`: what the machine code of every kernel variant in use says, for GPUs that need not be there."""

from __future__ import annotations

import importlib.util
import json
from typing import Annotated, Any

import typer

from triton_kernels.errors import TokenmillError, unknown


def kernels(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Operations of `tokenmill list kernels`; all when not given.", show_default=False)
    ] = None,
    inspect: Annotated[
        str | None, typer.Option("--inspect", metavar="ARCHS", help="Compile for sm_90, sm_100, sm_103, sm_120, or a comma list.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Models whose steps say what is in use; qwen3-30b-a3b, deepseek-r1, gpt-oss-120b, llama-3.1-8b when not given.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Recipes of number formats; all but fp16 and fp32 when not given.", show_default=False)] = None,
    batch: Annotated[str, typer.Option(help="Sequences of the decode steps.")] = "1,32,128",
    context: Annotated[int, typer.Option(help="KV length at decode.", min=1)] = 4096,
    prefill: Annotated[str, typer.Option(help="Lengths of the prefill steps; none for no prefill.")] = "8192",
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where code is not as it must be; print only that.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Kernel variants in use: registers, spills, occupancy and tensor-core instructions, from machine code. Needs no GPU."""
    from profiler.sweep.comma_lists import names as listed
    from profiler.sweep.comma_lists import whole_numbers
    from profiler.sweep.interruption import Interruption
    from profiler.sweep.worker_process import InterruptedRunError
    from workloads.recipe import recipe_named

    if inspect is None:
        raise TokenmillError("kernels: give --inspect sm_90,sm_100 to compile the kernels in use and read their machine code")
    archs = [_arch(text) for text in listed("--inspect", inspect)]
    steps: list[tuple[str, int, int]] = [("decode", size, context) for size in whole_numbers("--batch", batch)]
    if prefill != "none":
        steps += [("prefill", 1, length) for length in whole_numbers("--prefill", prefill)]
    chosen = None if precision is None else [recipe_named(name).name for name in listed("--precision", precision)]
    models = None if model is None else listed("--model", model)
    request = _request(archs, _operations(names or []), models, chosen, steps)
    with Interruption() as interruption:
        try:
            rows = _inspected(request, interruption)
        except InterruptedRunError:
            return interruption.exit_code
    _print(rows, archs, check=check, as_json=as_json)
    return 1 if check and any(row["failures"] for row in rows) else 0


def _arch(text: str) -> int:
    from triton_kernels.occupancy import LIMITS

    spelled = {f"sm_{arch}": arch for arch in LIMITS}
    if text not in spelled:
        raise unknown("architecture", text, spelled)
    return spelled[text]


def _operations(names: list[str]) -> list[str]:
    """The operations asked for, by the names of `tokenmill list kernels`; every one where none is."""
    from profiler.report.listing_rows import TABLES

    known = [row["name"] for row in TABLES["kernels"](None).rows]
    for name in names:
        if name not in known:
            raise unknown("kernel", name, known)
    return names or known


def _request(
    archs: list[int], operations: list[str], models: list[str] | None, precisions: list[str] | None, steps: list[tuple[str, int, int]]
) -> dict[str, Any]:  # fmt: skip
    """What the workers are asked, with everything that can be wrong looked at before they start."""
    from triton_kernels.machine_code import tool
    from workloads.read_model import read_model
    from workloads.shape import StepShape

    for phase, batch, context in steps:
        StepShape(phase=phase, batch=batch, context=context)
    for model in models or []:
        if (most := read_model(model).max_positions) < max(context for _, _, context in steps):
            raise TokenmillError(f"--model {model}: has only {most} positions; give shorter --context and --prefill")
    if importlib.util.find_spec("torch") is None:
        raise TokenmillError("PyTorch is not installed, and planning a step needs it: pip install 'tokenmill[gpu]'")
    tool("cuobjdump")
    given = {"models": models, "precisions": precisions}
    return {"archs": archs, "operations": operations, "shapes": steps, **{k: v for k, v in given.items() if v is not None}}


def _inspected(request: dict[str, Any], interruption: Any) -> list[dict[str, Any]]:
    from rich.console import Console

    from profiler.kernels.pool import Pool
    from profiler.report.kernels_progress import KernelsProgress

    with KernelsProgress(Console(stderr=True)) as progress:
        return Pool(request, interrupted=interruption, progress=progress.done).rows()


def _print(rows: list[dict[str, Any]], archs: list[int], *, check: bool, as_json: bool) -> None:
    from triton_kernels.machine_code import triton_version

    if as_json:
        failed = sum(bool(row["failures"]) for row in rows)
        print(json.dumps({"schema_version": 1, "triton": triton_version(), "archs": archs, "failed": failed, "kernels": rows}, allow_nan=False))
        return
    from profiler.report.kernels import print_kernels

    print_kernels(rows, archs, triton_version(), table=not check)
