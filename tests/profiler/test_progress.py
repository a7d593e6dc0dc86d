"""The live line of a run: what is best so far, from the first point on."""

from typing import Any

import pytest

from profiler.report.progress import best_so_far
from tests.profiler import handmade_run as made

# The hand-made prefill is 8192 tokens in 0.2 s, the decode 32 in 20 ms; both are one GPU's.
PREFILL, DECODE = made.prefill(mix=None), made.decode(32, 0.020, 480.0, mix=None)


@pytest.mark.parametrize(
    "points, said",
    [
        ([PREFILL], "best 41 K input tok/s"),
        ([PREFILL, DECODE], "best 1.6 K output tok/s"),
        ([PREFILL | {"valid": False, "invalid_reasons": ["not_settled"]}], ""),
    ],
    ids=["a prefill alone", "a decode says more", "not valid"],
)
def test_the_first_valid_point_has_a_figure(points: list[dict[str, Any]], said: str) -> None:
    assert best_so_far(made.run(*points), None) == said
