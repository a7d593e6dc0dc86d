"""The one thing worth doing next, in dollars, and what a run says nothing about."""

from __future__ import annotations

from collections.abc import Sequence

from profiler.economics.points import is_reduced
from profiler.economics.prices import PricePick
from profiler.report.headline import Phase, Plans, phases
from profiler.report.numbers import percent, usd
from profiler.report.rows import Figures, Row, cheapest, ok, priced
from profiler.report.text import printable


def next_line(rows: Sequence[Row], plans: Plans) -> str:
    """The largest saving in sight: the distance of a phase to its roofline, or, where the last step in batch still paid more, a larger batch."""
    best = cheapest(rows)
    if best is None or best.mix is None:
        return _make_it_valid(rows)
    gap, step = _largest_gap(phases(best, plans)), _last_step(best, rows)
    if step is not None and (gap is None or step[0] > _saving(gap)):
        share, before = step
        batch = int(best.subject["batch"])
        return f"--batch {2 * batch}: the step from {before} to {batch}, the largest tried, {_step(share, best.mix)}"
    if gap is None:
        return "no roofline is known here, so no saving can be computed; measure ceilings with the points"
    part = _largest_part(gap)
    return f"{gap.name} runs at {percent(gap.share_of_roofline)} of its roofline: all of it would save {_money(_saving(gap), best.mix)} (model){part}"


def _money(share: float, mix: Figures) -> str:
    """A share of the mix's all-in price, in dollars where it has a price."""
    price = mix.get("usd_per_mtok")
    if not price:
        return f"{percent(share)} of the dollars (--usd-per-gpu-hour says how many)"
    return f"{usd(share * price['value'])} of {usd(price['value'])} per Mtok, {percent(share)}"


def _step(share: float, mix: Figures) -> str:
    """What a step in batch saved, `share` being of the price after it."""
    price = mix.get("usd_per_mtok")
    cut = percent(share / (1 + share))
    return f"saved {cut} of the dollars" if not price else f"saved {usd(share * price['value'])} of {usd((1 + share) * price['value'])} per Mtok, {cut}"


def _saving(phase: Phase) -> float:
    """The share of the all-in price that running at the roofline would save."""
    assert phase.share_of_roofline is not None, phase.name
    return phase.share * max(0.0, 1 - phase.share_of_roofline)


def _largest_gap(parts: Sequence[Phase]) -> Phase | None:
    return max((phase for phase in parts if phase.share_of_roofline is not None), key=_saving, default=None)


def _largest_part(phase: Phase) -> str:
    """Where in the model the floor's largest share lies: the place to look first."""
    if phase.floor is None or not phase.floor.floor_s:
        return ""
    by_part: dict[str, float] = {}
    for op in phase.floor.ops:
        by_part[op["part"]] = by_part.get(op["part"], 0.0) + op["floor_s"]
    part = max(by_part, key=lambda name: by_part[name])
    return f"; {percent(by_part[part] / phase.floor.floor_s)} of that floor is {printable(part)}"


def _last_step(best: Row, rows: Sequence[Row]) -> tuple[float, int] | None:
    """What the last step in batch saved, when the cheapest is the largest that was tried: (share of the best's price, from which batch)."""
    batch = int(best.subject.get("batch") or 0)
    tried = [row for row in rows if row.group == best.group]
    before = [row for row in priced(tried) if int(row.subject.get("batch") or 0) < batch and row.mix and row.mix.get("output_tokens_per_s_per_gpu")]
    if best.mix is None or not before or batch < max(int(row.subject.get("batch") or 0) for row in tried):
        return None
    last = max(before, key=lambda row: int(row.subject.get("batch") or 0))
    assert last.mix is not None
    # Dollars per token go with one over the rate.
    return best.mix["output_tokens_per_s_per_gpu"] / last.mix["output_tokens_per_s_per_gpu"] - 1, int(last.subject["batch"])


def _make_it_valid(rows: Sequence[Row]) -> str:
    reasons = list(dict.fromkeys(reason for row in rows for reason in row.invalid_reasons))
    if reasons:
        return f"no mix is valid ({printable(', '.join(reasons))}): free the machine, then run again with more or longer windows (--windows, --window)"
    if any(not ok(point) for row in rows for point in row.points):
        return "points failed: see the footnotes; a smaller --batch or --context takes less memory"
    if any(is_reduced(point) for row in rows for point in row.points):
        return "some layers were left out: a device, or a deployment of more GPUs, that holds all of them gives tokens/s and dollars (tokenmill floor)"
    return "no mix was measured: --phase both --mix 8k/1k gives dollars per token"


def not_covered(points: Sequence[Figures], price: PricePick | None) -> str:
    """What the figures above do not contain, from what was and was not measured."""
    ran = [point for point in points if ok(point)]
    gaps = ["serving (scheduler, queueing)", "the host"]
    if all((point.get("deployment_gpus") or 1) == 1 for point in ran):
        gaps.append("the network between GPUs")
    elif any(point.get("energy_j") is not None for point in ran):
        gaps.append("the network's joules")
    if any(point.get("device") == "cpu" for point in ran):
        gaps.append("GPUs (a CPU runs the operations' PyTorch references, not the kernels)")
    elif any(point.get("kernel_ratio") is None for point in ran):
        gaps.append("a library's kernels beside ours")
    if any(point.get("weights") == "random" for point in ran):
        gaps.append("a trained router's choices")
        gaps.append("accuracy")
    if all(point.get("energy_j") is None for point in ran):
        gaps.append("power")
    if price is not None and price.utilisation == 1:
        gaps.append("idle hours")
    return ", ".join(gaps)
