"""Calls that take turns, run again and again as profiler.measure.timing wants it: eagerly on a CPU, as replays of a captured graph on a GPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

LEAST_REPLAY_S = 1e-3  # of a graph, so that launching it (about 10 us of the host) is never waited for


class CallRunner:
    """iteration(i) is one of `calls` on a CPU, a replayed graph of rounds of all of them on a GPU."""

    def __init__(self, calls: Iterable[Callable[[], Any]], device: torch.device) -> None:
        self.device = device
        self._calls = tuple(calls)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._rounds = 1

    @property
    def rotated(self) -> int:
        """Calls that take turns."""
        return len(self._calls)

    @property
    def sets(self) -> int:
        """Iterations of a whole round."""
        return 1 if self._graph is not None else self.rotated

    @property
    def calls_per_iteration(self) -> int:
        return self.rotated * self._rounds if self._graph is not None else 1

    @torch.inference_mode()
    def call(self, i: int) -> Any:
        """The i-th call, eagerly; what it returns."""
        return self._calls[i % self.rotated]()

    def capture(self, pool: Any) -> None:
        """Captures rounds of the calls in a graph that lasts about LEAST_REPLAY_S or longer. On the CPU there is nothing to capture.

        `pool`: torch.cuda.graph_pool_handle(), shared by all operations: nothing that a graph leaves in it is read afterwards.
        """
        if self.device.type != "cuda" or self._graph is not None:
            return
        for i in range(self.rotated):  # compiles every kernel variant outside the capture
            self.call(i)
        torch.cuda.synchronize(self.device)
        one = self._captured(1, pool)
        rounds = max(1, math.ceil(LEAST_REPLAY_S / _replay_s(one)))
        self._graph = one if rounds == 1 else self._captured(rounds, pool)  # `one` lives until then: a pool without a graph is gone
        self._rounds = rounds

    @torch.inference_mode()
    def _captured(self, rounds: int, pool: Any) -> torch.cuda.CUDAGraph:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        try:
            with torch.cuda.graph(graph, pool=pool):
                for _ in range(rounds):
                    for call in self._calls:
                        call()
        except BaseException:  # what cannot be captured (a library that waits for the GPU) leaves torch on its capturing stream
            torch.cuda.set_stream(stream)
            raise
        return graph

    def iteration(self, i: int) -> None:
        """Enqueues iteration i: a graph replay where captured (asynchronous), one eager call otherwise."""
        if self._graph is not None:
            self._graph.replay()
        else:
            self.call(i)


def _replay_s(graph: torch.cuda.CUDAGraph) -> float:
    """Device seconds of one replay, the second: the first uploads the graph."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    graph.replay()
    start.record()
    graph.replay()
    end.record()
    end.synchronize()
    return max(1e-6, float(start.elapsed_time(end)) / 1e3)
