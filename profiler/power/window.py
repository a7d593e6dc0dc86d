"""A measured stretch of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A measured stretch of time on the trace's clock."""

    t_start_s: float
    t_end_s: float

    @property
    def duration_s(self) -> float:
        return self.t_end_s - self.t_start_s

    def holds(self, t_s: float) -> bool:
        return self.t_start_s <= t_s <= self.t_end_s


def stretch(windows: Sequence[Window]) -> Window:
    """From the first window's start to the last one's end."""
    return Window(t_start_s=windows[0].t_start_s, t_end_s=windows[-1].t_end_s)
