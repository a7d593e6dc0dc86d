"""How operations are run alone: how long each, how often, on which device."""

from __future__ import annotations

from dataclasses import dataclass, replace

from profiler.power.source import PowerSource, has_sensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """How long an operation is run, in seconds, how often, and what the whole pass may take (None: all that it needs)."""

    look_s: float  # a first look at every operation, which tells its share of the step
    settle_s: float  # before each window: clocks and power become the operation's own
    window_s: float
    tail_s: float  # load after a window, so that the sample which brackets it still sees it
    repeats: int = 5
    seed: int = 0
    budget_s: float | None = None
    library_window_s: float | None = None  # of PyTorch's counterpart beside it, which needs no joules; None: nothing is compared


# On a GPU a window of 2 s holds twenty ticks of the energy counter. The step's windows have warmed the board already; clocks and the power sensor (25 to
# 100 ms) follow a new load well within the half second before a window.
METHODS = {
    "cuda": Method(look_s=0.1, settle_s=0.5, window_s=2.0, tail_s=0.15, library_window_s=0.5),
    "cpu": Method(look_s=0.03, settle_s=0.02, window_s=0.1, tail_s=0.0),
}
WINDOW_WITHOUT_SENSOR_S = 0.2  # nothing to wait for but repeatable times


def method_for(device: str, source: PowerSource, *, window_s: float, repeats: int, seed: int, budget_s: float | None) -> Method:
    """The device's method; `window_s`: the step's windows, which an operation's never exceed, nor what it settles in, nor a library's windows."""
    own = METHODS[device]
    longest_s = own.window_s if has_sensor(source) else min(own.window_s, WINDOW_WITHOUT_SENSOR_S)
    library_s = None if own.library_window_s is None else min(own.library_window_s, window_s)
    return replace(
        own, window_s=min(longest_s, window_s), settle_s=min(own.settle_s, window_s), library_window_s=library_s, repeats=repeats, seed=seed, budget_s=budget_s
    )
