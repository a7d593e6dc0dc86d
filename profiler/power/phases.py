"""Where in the power sensor's cycle windows begin."""

from __future__ import annotations

import random

# A100 and H100 class sensors look at 25 ms of every 100 ms (arXiv 2312.02741), and the energy counter sums what they see.
SENSOR_CYCLE_S = 0.1


def pause_s(now_s: float, window: int, windows: int, *, seed: int = 0) -> float:
    """Seconds to wait without work, so that each window begins in its own n-th of the cycle, at random within it: under 0.1 s.

    A step that takes a whole number of cycles, or a cycle a whole number of steps, would else be met at one phase in every window: windows that agree on a
    wrong figure. Work does not shift such a step's phase; only a pause does. With even parts the phases' mean is known better than their spread says.
    """
    parts = list(range(windows))
    rng = random.Random(seed)
    rng.shuffle(parts)
    within = [rng.random() for _ in parts]
    begin_s = (parts[window] + within[window]) / windows * SENSOR_CYCLE_S
    return (begin_s - now_s) % SENSOR_CYCLE_S
