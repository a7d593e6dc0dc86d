"""FLOPS per dollar: which peak of the GPU a claim was made of, whether a ratio compares like things, and what it is of like ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from profiler.audit.claims import Cell, Claims, Column, Ratio
from profiler.audit.interval import Interval, product
from profiler.audit.peaks import MATRIX_LANES, Peak, dense_peak, nearest, peaks_of
from profiler.audit.relations import ratio_equation
from profiler.audit.verdicts import AGREES, DISAGREES, NOT_CHECKABLE, UNLIKE, Check, compared, judge
from profiler.economics.formulas import weakest

ROW, PRICE = "pflops_per_usd", "usd_per_gpu_hour"
PETA = 1e15


def peak_check(claims: Claims, column: Column) -> Check:
    """PFLOPS per $ = a peak of the GPU's datasheet / $ per GPU-hour: the peak that fits, else the nearest."""
    cell, price = column.cells[ROW], column.cells.get(PRICE)
    base = Check(
        relation="peak_of_the_gpu", words="PFLOPS per $/h = a peak of the GPU's datasheet / $ per GPU-hour", role="check", target=cell.id,
        inputs=(f"{column.key}.{PRICE}",), derived=None, claimed=cell.interval, printed=cell.printed, tolerance=claims.tolerance_of(cell),
        verdict=NOT_CHECKABLE, note="no price" if price is None else "no GPU of the catalogue", provenance=cell.provenance,
    )  # fmt: skip
    if price is None or column.gpu is None or not peaks_of(column.gpu):
        return base
    implied = implied_peak(cell, price)
    fits = fitting(claims, column)
    peak = nearest(fits or peaks_of(column.gpu), implied)
    derived = product(peak.flops_per_s / PETA, [(price.interval, -1)])
    verdict = compared(derived, cell.interval.widened(base.tolerance))
    is_it = "which is" if verdict == AGREES else "which is no peak of it: the nearest is"
    note = f"{cell.printed} x {price.printed} = {implied.value / PETA:.3g} PFLOP/s, {is_it} {column.gpu.name}'s {_names(fits or (peak,))}"
    return replace(
        base, derived=derived, verdict=verdict, note=f"{note} ({peak.flops_per_s / PETA:.4g})", provenance=weakest(cell.provenance, price.provenance),
        detail={"implied_flops_per_s": implied.json(), "peak": peak.json(), "fits": [p.name for p in fits]},
    )  # fmt: skip


def implied_peak(cell: Cell, price: Cell) -> Interval:
    """FLOP/s that the claim rests on."""
    return product(PETA, [(cell.interval, 1), (price.interval, 1)])


def fitting(claims: Claims, column: Column) -> tuple[Peak, ...]:
    """The peaks of its GPU that a column's claim may have been made of: of one size more than one, such as dense fp8 and sparse bf16."""
    cell, price = column.cells.get(ROW), column.cells.get(PRICE)
    if cell is None or price is None or column.gpu is None:
        return ()
    claimed = cell.interval.widened(claims.tolerance_of(cell))
    return tuple(peak for peak in peaks_of(column.gpu) if product(peak.flops_per_s / PETA, [(price.interval, -1)]).overlaps(claimed))


def _names(peaks: Iterable[Peak]) -> str:
    return " or ".join(dict.fromkeys(peak.name for peak in peaks))


def ratio_check(claims: Claims, ratio: Ratio) -> Check:
    """The printed ratio of FLOPS per dollar; `unlike` where its two sides rest on peaks of different kinds."""
    check = judge(ratio_equation(ratio, ROW), claims)
    prices = tuple(f"{column.key}.{PRICE}" for column in (ratio.of, ratio.over) if PRICE in column.cells)
    check = replace(check, inputs=(*check.inputs, *prices))
    of, over = (fitting(claims, column) for column in (ratio.of, ratio.over))
    if not of or not over or {p.name for p in of} & {p.name for p in over} or check.verdict == DISAGREES:
        return check
    sides = f"{ratio.over.label}'s {_names(over)} and {ratio.of.label}'s {_names(of)}"
    return replace(check, verdict=UNLIKE, note=f"unlike things: {sides}")


def like_for_like(claims: Claims, ratio: Ratio) -> Iterator[Check]:
    """The same ratio of one dense format that both have, and of the best dense format of each, at the table's prices."""
    cell, of, over = ratio.cells[ROW], ratio.of, ratio.over
    if of.gpu is None or over.gpu is None or PRICE not in of.cells or PRICE not in over.cells:
        return
    best = [max((p for p in peaks_of(gpu) if not p.sparse), key=lambda p: p.flops_per_s, default=None) for gpu in (of.gpu, over.gpu)]
    common = next((lane for lane in reversed(MATRIX_LANES) if lane in of.gpu.flops_per_s and lane in over.gpu.flops_per_s), None)
    pairs = [("dense_" + common, dense_peak(of.gpu, common), dense_peak(over.gpu, common))] if common else []
    if best[0] and best[1] and (best[0].lane, best[1].lane) != (common, common):
        pairs.append(("best_dense", best[0], best[1]))
    for name, first, last in pairs:
        assert first is not None, name
        assert last is not None, name
        derived = product(first.flops_per_s / last.flops_per_s, [(over.cells[PRICE].interval, 1), (of.cells[PRICE].interval, -1)])
        what = first.name if name != "best_dense" else f"best dense of each ({first.lane.upper()} over {last.lane.upper()})"
        yield Check(
            relation=name, words=f"ratio of FLOPS per dollar = {of.key}'s / {over.key}'s, of {what}", role="like for like", target=cell.id,
            inputs=(of.cells[PRICE].id, over.cells[PRICE].id), derived=derived, claimed=cell.interval, printed=cell.printed,
            tolerance=claims.tolerance_of(cell), verdict=compared(derived, cell.interval.widened(claims.tolerance_of(cell))), note=what,
            provenance=weakest(cell.provenance, of.cells[PRICE].provenance, over.cells[PRICE].provenance),
            detail={"of": first.json(), "over": last.json()},
        )  # fmt: skip
