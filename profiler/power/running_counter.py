"""Energy counters of CPUs, which begin again at 0 when their register is full."""

from __future__ import annotations

MOST_W = 10_000.0  # of one zone: no socket draws it, so a jump beyond is no wrap but a counter that was reset


class RunningCounter:
    """Joules that only grow, from a register that wraps at `range_j`. After a reset they run backwards, which the reader of the trace sees."""

    def __init__(self, range_j: float | None) -> None:
        self._range_j = range_j
        self._last: tuple[float, float] | None = None
        self._carried_j = 0.0

    def total_j(self, register_j: float, t_s: float) -> float:
        """The register as a total. Read more often than it wraps: 65 kJ are two minutes of 500 W."""
        if self._last is not None and self._range_j is not None and register_j < self._last[0]:
            grown_j = register_j + self._range_j - self._last[0]
            if 0 <= grown_j <= MOST_W * max(t_s - self._last[1], 1e-3):
                self._carried_j += self._range_j
        self._last = (register_j, t_s)
        return self._carried_j + register_j
