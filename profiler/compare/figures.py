"""The figures that runs are compared by: what their noise is made of, which way is worse, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass

from profiler.economics.formulas import BOUNDARIES


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure of a row. `worse`: +1 where more of it is worse (seconds, joules, dollars), -1 where less is (rates)."""

    name: str
    short: str  # on a screen
    unit: str
    worse: int
    more: str  # the word where it grew
    less: str


def _figure(name: str, short: str, unit: str, worse: int, more: str, less: str) -> Figure:
    return Figure(name=name, short=short, unit=unit, worse=worse, more=more, less=less)


PER_MW = "tokens_per_s_per_mw"

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        _figure("usd_per_mtok", "$/Mtok", "USD/Mtok", 1, "dearer", "cheaper"),
        _figure("step_s", "step", "s", 1, "slower", "faster"),
        _figure("output_tokens_per_s_per_gpu", "out tok/s", "tokens/s", -1, "faster", "slower"),
        _figure("input_tokens_per_s_per_gpu", "in tok/s", "tokens/s", -1, "faster", "slower"),
        _figure("tokens_per_s_per_user", "tok/s/user", "tokens/s", -1, "faster", "slower"),
        _figure("energy_j_per_output_token", "J/out token", "J/token", 1, "more energy", "less energy"),
        _figure("energy_j_per_total_token", "J/token", "J/token", 1, "more energy", "less energy"),
        *(_figure(f"{PER_MW}.{b}", f"tok/s/MW {b.replace('_', '+')}", "tokens/s/MW", -1, "more per MW", "less per MW") for b in BOUNDARIES),
    )
}
