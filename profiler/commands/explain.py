"""`tokenmill explain`: where a token's time, joules and dollars went. Reads records only."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from profiler.commands.price_options import AsJson, RunsFolder
from profiler.commands.pricing import Pricing, with_prices
from profiler.commands.recorded import priced_runs
from profiler.commands.written import refuse_records
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.explain.explanation import Explanation


@with_prices
def explain(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Recorded runs: a path, an id, or `last`.")],
    point: Annotated[str | None, typer.Option("--point", metavar="ID", help="Explain this point; without: the cheapest valid mix.")] = None,
    as_json: AsJson = False,
    trace: Annotated[Path | None, typer.Option("--trace", metavar="FILE", help="Write the timeline as JSON for ui.perfetto.dev.")] = None,
    mw: Annotated[float | None, typer.Option("--mw", help="Megawatts of a site: how many GPUs and tokens/s it holds.")] = None,
    root: RunsFolder = Path("runs"),
    *,
    pricing: Pricing,
) -> None:
    """Where a token's microseconds, joules and dollars went: from the datasheet's peak down to the delivered token.

    A waterfall: arithmetic at the peak, memory traffic (which a larger batch dilutes), this machine's own ceilings, each part of the model above its floor, our
    kernels' slowness, launch gaps, links, idle hours, host, facility, price. Bars add up to the token that was delivered; what is not known says why.

    `run --per-op` measures each operation alone, which splits the step by part. Several runs: `--routing balanced` beside `zipf:1.2` prices skew; runs taken
    under different power limits, which you set, show tokens/s per MW against the limit. tokenmill never changes a limit.
    """
    from profiler.economics.prices import check_positive
    from profiler.explain.explanation import Reported
    from profiler.explain.explanation import explain as explain_runs

    check_positive("--mw", mw)
    if trace is not None:
        refuse_records("--trace", trace)
    with _without_collection():
        found = {(run.path.resolve(), run.run_id): Reported(run=run, price=price, derived=derived) for run, price, derived in priced_runs(runs, root, pricing)}
        explanation = explain_runs(list(found.values()), mw)  # a run that was named twice is one
    if trace is not None:
        _write_trace(explanation, trace)
    _say(explanation, point, as_json)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Rows by the tens of thousands hold no cycles; looking for some takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _write_trace(explanation: Explanation, path: Path) -> None:
    import json

    from profiler.economics.derive import DAMAGE, damaged
    from profiler.explain.trace import trace_of

    try:
        text = json.dumps(trace_of(explanation), allow_nan=False)
    except DAMAGE as error:
        raise damaged(explanation.reported[0].run, "a phase, a window or a sample", error) from error
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise TokenmillError(f"{path}: cannot be written ({error.strerror}); choose another file") from error
    typer.echo(f"wrote {path}: open it at https://ui.perfetto.dev", err=True)


def _say(explanation: Explanation, point: str | None, as_json: bool) -> None:
    from rich.console import Console

    from profiler.economics.derive import DAMAGE, damaged
    from profiler.report.explain import json_document, print_explanation
    from profiler.report.explain_subject import subject_of

    try:
        subject = subject_of(explanation, point)
        if as_json:
            print(json_document(explanation, subject))
        else:
            print_explanation(explanation, subject, Console(highlight=False))
    except UnicodeError:  # of the terminal, not of the record
        raise
    except DAMAGE as error:
        raise damaged(explanation.reported[0].run, "the record", error) from error
