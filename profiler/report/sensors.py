"""`tokenmill doctor --sensors` on one screen of 100 columns: what the sensors do in plain findings, then a row per load, then spreads of joules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from profiler.report.labelled import labelled
from profiler.report.numbers import NONE, percent, si
from profiler.report.text import printable

WIDTH = 100
_FIGURES = {"counter_j": "counter", "instant_w": "instant", "average_w": "average", "memory_w": "memory", "module_w": "module"}
_LINES_LEFT_OUT = 4
_SAME = 0.01  # of two readings of one sensor, a moment apart

Found = Mapping[str, Any]


def print_sensors(found: Found, console: Console | None = None) -> None:
    """`found`: the document of `--json`."""
    console = console or Console(highlight=False)
    width = min(console.width, WIDTH)
    console.print(labelled(_findings(found)), width=width)
    if found["stages"]:
        console.print()
        console.print(_stages(found["stages"]), width=width)
    console.print()
    if found["windows"]:
        console.print(_windows(found["windows"]), width=width)
    else:
        console.print(labelled([("spread", "no joules of a steady load")]), width=width)
    console.print(labelled(_tail(found)), width=width)


def _findings(found: Found) -> list[tuple[str, str]]:
    lines = [
        ("board", _board(found)),
        ("looks", _looks(found)),
        ("counter", _counter(found)),
        ("update", _updates(found)),
        ("lag", _lag("instant power", found["lag_s"]["instant_w"])),
        ("", _lag("average power", found["lag_s"]["average_w"])),
        ("integral", _by_stage(found, "counter_over_instant", lambda ratio: f"{ratio:.3f}", "counter over integrated instant power", "not compared")),
        ("memory", _memory(found)),
        ("cap", _cap(found)),
        ("rates", _rates(found)),
    ]
    return [*([("note", f"[bold]{printable(found['note'])}[/]")] if found["note"] else []), *lines]


def _board(found: Found) -> str:
    gpu = found["gpu"]
    if not gpu:
        return f"no GPU, device {printable(found['device'])}" if found["device"] else "none was reached"
    limit = f", power limit {si(gpu['power_limit_w'], 'W')}" if gpu.get("power_limit_w") else ""
    return f"{printable(gpu.get('name'))}, driver {printable(found['driver'] or 'unknown')}{limit}"


def _looks(found: Found) -> str:
    call, look = found["sample_call_s"], found["look_s"]
    if not call or not look:
        return "none"
    failed = {figure: share for figure, share in found["failed_looks"].items() if share > 0}
    unanswered = ", ".join(f"{_FIGURES.get(figure, figure)} {percent(share)}" for figure, share in failed.items()) or "none"
    return f"{call['n']:,}, one every {si(look['median'], 's')}; one takes {si(call['median'], 's')} (p99 {si(call['p99'], 's')}); unanswered: {unanswered}"


def _counter(found: Found) -> str:
    counter = found["counter"]
    tick_s, tick_j = counter["tick_s"], counter["tick_j"]
    if not tick_s or not tick_j:
        return "no energy counter that ticks"
    return f"ticks {_every(tick_s, found)}, {si(tick_j['p10'], 'J')} to {si(tick_j['p90'], 'J')} a tick, in steps of {si(counter['resolution_j'], 'J')}"


def _every(period: Found, found: Found) -> str:
    """A period with its spread; looks can tell none that is shorter than about two of them."""
    hasty = found["look_s"] is not None and period["median"] < 2 * found["look_s"]["median"]
    least, most = si(period["p10"], "s"), si(period["p90"], "s")
    return "with every look, or faster" if hasty else f"every {si(period['median'], 's')} ({least} to {most})"


def _updates(found: Found) -> str:
    told = {name: found["update_s"][figure] for figure, name in _FIGURES.items() if figure in found["update_s"]}
    return "; ".join(f"{name} {_every(period, found) if period else NONE}" for name, period in told.items())


def _lag(name: str, lag: Found | None) -> str:
    if lag is None:
        return f"{name}: no step was seen"
    ways = []
    for word, way in (("up", "rise"), ("down", "fall")):
        parts = [f"{share} % after {si(one['median'], 's')}" for share in ("50", "90") if (one := lag[f"{way}{share}"])]
        ways.append(f"{word} {', '.join(parts) or NONE}")
    return f"{name}: {'; '.join(ways)} ({lag['n']} steps)"


def _by_stage(found: Found, figure: str, shown: Callable[[float], str], words: str, nothing: str) -> str:
    told = [f"{printable(row['name'])} {shown(row[figure])}" for row in found["stages"] if row[figure] is not None]
    return f"{words}: {', '.join(told)}" if told else nothing


def _memory(found: Found) -> str:
    """A driver that does not know the scope may answer with the whole GPU's watts."""
    told = [(row["memory_w"], row["instant_w"]) for row in found["stages"] if row["memory_w"] is not None and row["instant_w"]]
    if told and all(abs(memory_w / instant_w - 1) < _SAME for memory_w, instant_w in told):
        return "asked for the memory's power this board gives the whole GPU's"
    return _by_stage(found, "memory_w", lambda watts: si(watts, "W"), "memory's part of the power", "this board tells no memory power")


def _cap(found: Found) -> str:
    shares = {row["name"]: row["event_share"].get("sw_power_cap") for row in found["stages"]}
    known = {name: share for name, share in shares.items() if share is not None}
    at = [f"{printable(name)} {percent(share)}" for name, share in known.items() if share >= 0.005]
    others = sorted({why for row in found["stages"] for why, share in row["event_share"].items() if why != "sw_power_cap" and share >= 0.005})
    also = f"; also held back: {', '.join(map(printable, others))}" if others else ""
    return (f"share of time at the power cap: {', '.join(at)}" if at else "never at the power cap" if known else "not told by this board") + also


def _rates(found: Found) -> str:
    told = []
    for row in found["stages"]:
        if row["burst"] and row["sustained"]:
            change = row["sustained"] / row["burst"] - 1
            told.append(f"{printable(row['name'])} {change:+.1%}")
    return f"sustained against burst: {', '.join(told)}" if told else "no load ran long enough"


def _stages(rows: Sequence[Found]) -> Table:
    table = _table("load", "counter", "instant", "average", "memory", "module", "SM MHz", "°C", "burst", "sustained")
    for row in rows:
        watts = [_watts(row[figure]) for figure in ("counter_w", "instant_w", "average_w", "memory_w", "module_w")]
        clock = NONE if row["sm_hz"] is None else f"{row['sm_hz'] / 1e6:.0f}"
        rates = [si(row[name], _unit(row)) for name in ("burst", "sustained")]
        table.add_row(printable(row["name"]), *watts, clock, NONE if row["temperature_c"] is None else f"{row['temperature_c']:.0f}", *rates)
    return table


def _watts(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f} W"


def _unit(row: Found) -> str:
    return {"bytes/s": "B/s"}.get(row["rate_unit"] or "", row["rate_unit"] or "")


def _windows(rows: Sequence[Found]) -> Table:
    """A row per load and half of it: spread between windows of each length."""
    lengths = sorted({row["window_s"] for row in rows})
    table = _table("J per step, spread between windows", "mean", *(f"of {length:g} s (n)" for length in lengths), "°C")
    for load, soaked in dict.fromkeys((row["load"], row["soaked"]) for row in rows):
        found = {row["window_s"]: row for row in rows if (row["load"], row["soaked"]) == (load, soaked)}
        shown = [f"{percent(row['cv'])} ({row['n']})" if (row := found.get(length)) else NONE for length in lengths]
        first = next(iter(found.values()))
        degrees = first["temperature_c"]
        mean = si(first["j_per_step"], "J", 4)
        table.add_row(f"{printable(load)}, {'soaked' if soaked else 'cold'}", mean, *shown, f"{degrees[0]:.0f}–{degrees[1]:.0f}" if degrees else NONE)
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", no_wrap=i > 0, overflow="fold", min_width=len("square"))
    return table


def _tail(found: Found) -> list[tuple[str, str]]:
    lines = [printable(line) for line in found["left_out"]]
    if len(lines) > _LINES_LEFT_OUT:
        lines = [*lines[: _LINES_LEFT_OUT - 1], f"and {len(lines) - _LINES_LEFT_OUT + 1} more: --json names them"]
    return [("left out" if i == 0 else "", line) for i, line in enumerate(lines)]
