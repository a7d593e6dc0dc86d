"""The verdict on an observed point: every gate, in one place."""

from __future__ import annotations

from profiler.measure.observe import Observed
from profiler.measure.other_load import load_warnings
from profiler.measure.statistics import NOISE_LIMIT, Summary, noise_gate
from profiler.measure.validity import Verdict, judge_clocks, judge_states
from profiler.power.point_power import PointPower

FEWEST_WINDOWS = 5
SHORTEST_WINDOW_S = 2.0  # of power: twenty ticks of an energy counter of 100 ms
MOST_LATE_BLOCKS = 0.01


def judge(seen: Observed, power: PointPower, summary: Summary) -> Verdict:
    """What speaks against the point, and what to know before believing it."""
    verdict, on_gpu = Verdict(), seen.device == "cuda"
    if seen.mismatch is not None:
        verdict.add(["facts_mismatch"], [seen.mismatch])
    if not seen.warm.settled:
        spread = "too few steps to tell" if seen.warm.spread is None else f"the last steps of the warm-up differ by {seen.warm.spread:.1%}"
        # On a CPU other processes come and go; the spread between windows says whether that mattered.
        verdict.add(["not_settled"] if on_gpu else [], [f"not_settled: {spread}"])
    if not on_gpu:  # a GPU's graphs are replayed whatever the CPUs do
        verdict.add([], load_warnings(seen.others))
    _judge_repetition(verdict, seen, power, summary)
    _judge_lateness(verdict, seen)
    verdict.add(power.invalid_reasons, power.warnings)
    judge_clocks(verdict, seen.board, seen.spans, power.event_share)
    judge_states(verdict, *seen.states)
    return verdict


def _judge_repetition(verdict: Verdict, seen: Observed, power: PointPower, summary: Summary) -> None:
    on_gpu = seen.device == "cuda"
    verdict.add(*noise_gate(summary, seen.device))
    if len(seen.windows) < FEWEST_WINDOWS:
        verdict.add([], [f"few_windows: the interval is of {len(seen.windows)} windows"])
    if power.energy_j is None or seen.board.kind == "assumed":
        return
    shortest_s = min(w.duration_s for w in seen.spans)
    if shortest_s < SHORTEST_WINDOW_S:
        verdict.add(["window_too_short"] if on_gpu else [], [f"window_too_short: {shortest_s:.2g} s of power"])
    joules = power.energy_per_step_j
    if joules is not None and joules["ci95"] is not None:
        share = (joules["ci95"][1] - joules["ci95"][0]) / 2 / joules["mean"]
        if share > NOISE_LIMIT:
            verdict.add(["energy_noise_above_limit"] if on_gpu else [], [f"noise: the joules per step are known to +/- {share:.1%} only"])


def _judge_lateness(verdict: Verdict, seen: Observed) -> None:
    """Who should have acted in time and did not: the host that feeds the GPU, the thread that reads its power."""
    blocks, late = sum(len(w.samples_s) for w in seen.windows), sum(w.late_blocks for w in seen.windows)
    if late > MOST_LATE_BLOCKS * blocks:
        verdict.add(["host_late"], [f"host_late: the GPU had run dry before {late} of {blocks} blocks"])
    if seen.lateness is not None and seen.lateness.too_late:
        verdict.add(["sampler_late"], [f"sampler_late: by {seen.lateness.largest_s:.1f} s at worst"])
