"""Recorded runs as commands that only read are given them: by reference, each at its price."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from profiler.commands.pricing import Pricing
from profiler.foreign.found import found_runs, paths_of
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.economics.derive import Derived
    from profiler.economics.prices import PricePick
    from profiler.record.store import Run

_MOST_TOLD = 5  # of runs that were left out

T = TypeVar("T")


def priced_runs(refs: Sequence[str], root: Path, pricing: Pricing) -> list[tuple[Run, PricePick, Derived]]:
    """Each run that `refs` name (as found_runs has it) with its price and derived figures.

    TokenmillError where one that was named cannot be read; of a pattern or a folder of several, such a one is left out and told on stderr.
    """
    from profiler.economics.derive import derive_run, price_for_run

    book = pricing.book()

    def priced(run: Run) -> tuple[Run, PricePick, Derived]:
        price = price_for_run(run, book, **pricing.flags)
        return run, price, derive_run(run, price)

    return read_each(refs, root, priced)


def read_each(refs: Sequence[str], root: Path, use: Callable[[Run], T]) -> list[T]:
    """What `use` makes of each run that `refs` name; `use` may raise TokenmillError for a run that is damaged.

    Of a pattern or a folder of several runs, those that cannot be read are left out and told on stderr. TokenmillError where one that was named cannot be
    read, and where nothing can.
    """
    paths = [(path, len(found) > 1) for ref in refs for found in [paths_of(ref, root)] for path in found]
    return read_paths(paths, root, use)


def read_paths(paths: Iterable[tuple[str, bool]], root: Path, use: Callable[[Run], T]) -> list[T]:
    """As read_each, of (path, whether it may be left out). One path's runs are held at a time."""
    made: list[T] = []
    errors: list[TokenmillError] = []
    for path, may_be_left_out in paths:
        try:
            made += [use(run) for run in found_runs(path, root)]
        except TokenmillError as error:
            if not may_be_left_out:
                raise
            errors.append(error)
    if errors and not made:
        raise errors[0] if len(errors) == 1 else TokenmillError(f"{errors[0]}; {len(errors) - 1} more cannot be read either")
    _tell(errors)
    return made


def _tell(errors: Sequence[TokenmillError]) -> None:
    from profiler.report.text import plain

    for error in errors[:_MOST_TOLD]:
        typer.echo(f"tokenmill: left out: {plain(error)}", err=True)
    if len(errors) > _MOST_TOLD:
        typer.echo(f"tokenmill: left out: {len(errors) - _MOST_TOLD} more that cannot be read", err=True)
