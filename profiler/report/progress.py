"""How a sweep goes, on stderr: where it is, how long it still takes, the best figure so far."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from profiler.economics.derive import derive_run
from profiler.economics.prices import PricePick
from profiler.record.store import Run
from profiler.report.text import dollars, printable, quantity


class SweepProgress:
    """A live line on a terminal; one plain line per finished point elsewhere."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self.price: PricePick | None = None
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[left]}  {task.fields[best]}"))
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("starting", total=None, left="", best="")
        self._done = 0
        self._looked = False
        self._ends_s: float | None = None

    def __enter__(self) -> SweepProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, label: str, event: dict[str, Any]) -> None:
        stage = " ".join(str(event[key]) for key in ("stage", "note") if event.get(key) and event[key] != label)
        completed = self._done + float(event.get("fraction") or 0)
        self._progress.update(self._task, description=printable(f"{label} {stage}"), completed=completed, left=self._left())

    def remaining(self, done: int, total: int, seconds_left: float) -> None:
        self._done = done
        self._ends_s = time.monotonic() + seconds_left
        self._progress.update(self._task, total=total, completed=done, left=self._left())

    def _left(self) -> str:
        if self._ends_s is None:
            return ""
        minutes, seconds = divmod(max(0, round(self._ends_s - time.monotonic())), 60)
        return f"about {minutes}:{seconds:02d} left"

    def first_look(self, label: str, run: Run) -> None:
        """A price from the first steps of a point, long before its windows are full."""
        best = best_so_far(run, self.price)
        self._progress.update(self._task, best=best.replace("best ", "best about ", 1))
        if not self._looked and "/Mtok" in best and not self._console.is_terminal and not self._quiet:
            self._looked = True  # once: on a terminal the live line goes on telling
            self._console.print(f"{printable(label)}: first look, {best.replace('best ', 'about ', 1)}", highlight=False, soft_wrap=True)

    def committed(self, point: dict[str, Any], run: Run) -> None:
        best = best_so_far(run, self.price)
        self._progress.update(self._task, best=best)
        if not self._console.is_terminal and not self._quiet:
            self._console.print(f"{point['point_id']}: {outcome(point)}{f' · {best}' if best else ''}", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(printable(text), highlight=False, soft_wrap=True)


def outcome(point: dict[str, Any]) -> str:
    """A point in a few words, safe for a terminal."""
    if point["status"] != "ok":
        reason = "out of memory" if point["status"] == "oom" else f"failed: {point['error']}"
        return printable(reason[:200])
    step_s = point["step_s"]["median"]
    verdict = "" if point["valid"] else f", not valid: {', '.join(point['invalid_reasons'])}"
    # One rank or some layers of a model have no tokens/s of their own.
    rate = "" if (point.get("provenance") or {}).get("step_s") == "emulated" else f", {quantity(point['tokens_per_step'] / step_s)} tok/s"
    return printable(f"{step_s * 1e3:.4g} ms per step{rate}{verdict}")


def best_so_far(run: Run, price: PricePick | None) -> str:
    """The cheapest valid mix, or the fastest valid decode where there is no price yet, or the fastest valid prefill before there is a decode; else empty."""
    derived = derive_run(run, price)
    costs = [mix["usd_per_mtok"]["value"] for mix in derived.mixes if mix["valid"] and mix["usd_per_mtok"]]
    if costs:
        return f"best {dollars(min(costs))}/Mtok"
    for phase, figure, words in (("decode", "output_tokens_per_s_per_gpu", "output"), ("prefill", "input_tokens_per_s_per_gpu", "input")):
        if rates := [p[figure] for p in derived.points if p.get("valid") and p.get("phase") == phase and p[figure]]:
            return f"best {quantity(max(rates))} {words} tok/s"
    return ""
