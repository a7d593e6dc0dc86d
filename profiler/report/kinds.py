"""Where a figure came from, in few letters, and why one is missing."""

from __future__ import annotations

from collections.abc import Iterable

from profiler.economics.points import is_reduced
from profiler.economics.prices import PricePick
from profiler.report.rows import Figures, Row, ok, size_of

SHORT = {"measured": "meas", "emulated": "emul", "replayed": "repl", "reference": "ref", "modelled": "model", "assumed": "assum"}
LEGEND = {
    "meas": "measured in this run",
    "emul": "one rank measured, its link modelled",
    "repl": "from a recorded trace",
    "ref": "cited",
    "model": "computed",
    "assum": "declared",
}
_NO_POWER = "no_power: "


def short(kind: str | None) -> str:
    """`measured` -> `meas`; a figure without a recorded kind is nobody's measurement."""
    return SHORT.get(kind or "", "assum")


def kind_of(figures: Figures | None, name: str) -> str | None:
    """The recorded kind of a figure; None when the figure is not there."""
    return None if figures is None else (figures.get("provenance") or {}).get(name)


def kinds_of(figures: Iterable[tuple[Figures | None, str]]) -> str:
    """The kinds of one column, each once: `meas` or `meas/emul`."""
    found = (kind_of(*figure) for figure in figures)
    return "/".join(dict.fromkeys(short(kind) for kind in found if kind is not None))


def price_kind(price: PricePick | None) -> str:
    """`×ref`: money is of the kind of its time and, beside it, of its price."""
    return "" if price is None or price.provenance is None else f"×{short(price.provenance)}"


def why_no_power(point: Figures) -> str:
    """Why a point has no joules."""
    said = [str(w).removeprefix(_NO_POWER) for w in point.get("warnings") or () if str(w).startswith(_NO_POWER)]
    fix = "--watts W declares the machine's watts"
    if not said:
        return f"no power source on this machine; {fix}"
    return f"no power: {said[0]}" if "--watts" in said[0] else f"no power: {said[0]}; {fix}"


def why_no_prefill(row: Row) -> str:
    if row.decode is not None and row.decode.get("kind") == "serving" and ok(row.decode):
        return "a server's own rate: prefill shares its GPUs, and is in the all-in price"
    if row.prefill is not None:
        return _why_failed(row.prefill)
    return "no prefill measured: --phase both --mix ISL/OSL measures it" if row.decode is None or ok(row.decode) else _why_failed(row.decode)


def why_no_decode(row: Row) -> str:
    return "no decode measured: --phase both --mix ISL/OSL measures it" if row.decode is None else _why_failed(row.decode)


def why_no_price(row: Row, price: PricePick | None) -> str:
    """Why a row has no dollars."""
    if row.mix is None:
        failed = next((point for point in row.points if not ok(point)), None)
        return _why_failed(failed) if failed is not None else "a price needs a mix: --phase both --mix ISL/OSL"
    return str(row.mix.get("why_null") or (price.why_null if price else None) or "no price")


def why_no_class(row: Row, price: PricePick | None) -> str:
    """Why a row has no dollars by class; a server's are all-in until its shared steps are split."""
    priced = row.mix is not None and row.mix.get("usd_per_mtok") is not None
    return str((row.mix or {}).get("by_class_why_null")) if priced and (row.mix or {}).get("by_class_why_null") else why_no_price(row, price)


def why_no_floor(point: Figures) -> str:
    if not ok(point):
        return _why_failed(point)
    if point.get("kind") == "serving":
        return "no roofline: another tool's result holds no plan"
    return "no roofline: a rate that the plan needs was neither measured nor is it on a datasheet"


def _why_failed(point: Figures) -> str:
    status, error = point.get("status"), point.get("error")
    what = "serving" if point.get("kind") == "serving" else point.get("phase")
    name = " ".join(str(part) for part in (what, point.get("precision"), size_of(point)) if part)
    if status == "oom":
        why = str(error).partition("MemoryError: ")[2] if error and "what fits" in str(error) else ""
        return f"{name}: out of memory, a result too{f' ({why})' if why else ''}"
    if is_reduced(point):
        return f"{name}: some layers were left out (--layers), so no tokens/s and no price"
    return f"{name}: {error or 'has no figure'}" if not ok(point) else f"{name}: no figure was recorded"
