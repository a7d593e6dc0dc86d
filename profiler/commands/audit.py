"""`tokenmill audit`: is a published table consistent with itself, and with a run?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from profiler.commands.price_options import AsJson, PriceBookFile, RunsFolder
from profiler.commands.pricing import pricing_of
from profiler.commands.recorded import priced_runs
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.audit.claims import Claims
    from profiler.audit.readings import Reading


def audit(
    claims: Annotated[str | None, typer.Argument(metavar="CLAIMS.toml", help="Your table; NVIDIA's of Blackwell and Hopper when not given.")] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="A recorded run to hold the claims against.")] = None,
    mix: Annotated[str, typer.Option(help="Tokens of a request, input/output, assumed where the table may count both.")] = "8k/1k",
    tolerance: Annotated[str | None, typer.Option(help="How far any claim may lie beyond its printed digits, such as 2%.", show_default=False)] = None,
    price_book: PriceBookFile = None,
    root: RunsFolder = Path("runs"),
    as_json: AsJson = False,
) -> int:
    """Is a published table of GPUs, prices and tokens consistent with itself, and with a run?

    Each printed cell is the interval of its digits ("90" is 89.5 to 90.5) and has to agree with what follows from the other cells.

    A ratio of unlike things (sparse FP8 over dense FP4) is said, and fails only where the file has unlike_fails = true.

    Exit codes: 0 all claims agree, 4 one does not (or a like run falls short of it), 2 for you to fix.

    A claims file, each cell as printed (rows: usd_per_gpu_hour, pflops_per_usd, tokens_per_s_per_gpu, tokens_per_s_per_mw, kw_per_gpu, usd_per_mtok):

    \b
    title = "Ours against theirs"
    source = "who published it, where"
    model = "deepseek-r1"
    \\[columns.h200]
    gpu = "h200"
    format = "fp8"
    usd_per_gpu_hour = "$1.41"
    tokens_per_s_per_gpu = "93"
    usd_per_mtok = { printed = "$4.20", tolerance = "2%" }
    \\[columns.b200]
    gpu = "b200"
    usd_per_gpu_hour = "$1.95"
    \\[ratios."b200/h200"]
    usd_per_gpu_hour = "1.4x"
    """
    from profiler.audit.audit import audit as audit_of
    from profiler.audit.read_claims import parse_tolerance, read_claims
    from profiler.audit.readings import readings_of
    from profiler.economics.price_book import load_price_book
    from profiler.modelled.mix import parse_mix

    assumed, book, table = parse_mix(mix), load_price_book(price_book), read_claims(claims)
    if tolerance is not None:
        share = parse_tolerance(tolerance)
        if share is None:
            raise TokenmillError(f"--tolerance {tolerance[:40]!r}: should be a share from 0% to 50%, such as 2%")
        table = table.without_cell_tolerances(share)
    measured = None if run is None else _of_run(run, root, price_book, table, readings_of(table, assumed))
    document = audit_of(table, book, assumed, measured)
    if as_json:
        print(json.dumps(document, allow_nan=False))
        return int(document["verdict"]["exit_code"])
    from profiler.report.audit import print_audit

    print_audit(document)
    return int(document["verdict"]["exit_code"])


def _of_run(ref: str, root: Path, price_book: str | None, claims: Claims, readings: Sequence[Reading]) -> dict[str, Any]:
    from profiler.audit.against_run import USD_OF_THE_RUN, against_run
    from profiler.economics.derive import DAMAGE, damaged

    found = priced_runs([ref], root, pricing_of(price_book=price_book, usd_per_gpu_hour=USD_OF_THE_RUN))
    if len(found) != 1:
        raise TokenmillError(f"--run {ref[:60]!r} names {len(found)} runs: give one, or of a file with several GPUs one as FILE@h200")
    recorded, _, derived = found[0]
    try:
        return against_run(claims, readings, recorded.run_id, derived)
    except DAMAGE as error:
        raise damaged(recorded, "a mix", error) from error
