"""Recorded runs as commands that only read are given them: by reference, each at its price."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.commands.pricing import Pricing
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.economics.derive import Derived
    from profiler.economics.prices import PricePick
    from profiler.record.store import Run


def priced_runs(refs: Sequence[str], root: Path, pricing: Pricing) -> list[tuple[Run, PricePick, Derived]]:
    """Each run that `refs` name (as found_runs has it) with its price and derived figures. TokenmillError where one cannot be read."""
    from profiler.economics.derive import derive_run, price_for_run

    book = pricing.book()
    runs = [run for ref in refs for run in found_runs(ref, root)]
    prices = [price_for_run(run, book, **pricing.flags) for run in runs]
    return [(run, price, derive_run(run, price)) for run, price in zip(runs, prices, strict=True)]


def found_runs(ref: str, root: Path) -> list[Run]:
    """The runs of a path, an id under `root`, `last`, a pattern or a folder of runs, or of another tool's result file (profiler.foreign.reference).

    TokenmillError where one cannot be read. Never empty.
    """
    from profiler.foreign.reference import parted, reference_of
    from profiler.record.find import expand
    from profiler.record.store import read_run

    name, said = parted(ref)
    found: list[Run] = []
    for path in expand(name, root):
        reference = reference_of(path, said)
        if reference is None:
            found.append(read_run(path, root))
        else:
            from profiler.foreign.read import read_foreign

            found += read_foreign(reference)
    return found


def found_run(ref: str, root: Path) -> Run:
    """The one run that `ref` names; TokenmillError where it names several."""
    runs = found_runs(ref, root)
    if len(runs) > 1:
        names = ", ".join(run.run_id for run in runs[:3])
        raise TokenmillError(f"{ref[:120]}: holds {len(runs)} runs ({names}...): name one of them, or of a file with several GPUs one, as FILE@h200")
    return runs[0]
