"""Student's t without scipy: closed forms, published tables, and scipy itself."""

import math

import pytest
from scipy.special import stdtr, stdtrit

from profiler.compare.student import t_95, two_sided


@pytest.mark.parametrize("t", [0.0, 1e-9, 0.3, 1.0, 7.0, 1e5, math.inf])
def test_closed_forms(t: float) -> None:
    """One degree is Cauchy's: 1 - 2/pi atan t. Two: 1 - t / sqrt(2 + t^2)."""
    assert two_sided(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), abs=1e-12)
    assert two_sided(t, 2) == pytest.approx(0.0 if math.isinf(t) else 1 - t / math.sqrt(2 + t * t), abs=1e-12)
    assert two_sided(-t, 2) == two_sided(t, 2)


# NIST/SEMATECH e-Handbook, table 1.3.6.7.2.
@pytest.mark.parametrize("degrees, t", [(1, 12.706), (4, 2.776), (8, 2.306), (30, 2.042), (60, 2.000), (120, 1.980)])
def test_quantiles_as_published(degrees: int, t: float) -> None:
    assert t_95(degrees) == pytest.approx(t, abs=5e-4)
    assert two_sided(t, degrees) == pytest.approx(0.05, abs=5e-5)


@pytest.mark.parametrize("degrees", [1, 3.3, 4, 8.7, 19, 38.2, 1000.5])
def test_the_same_as_scipy_far_into_the_tail(degrees: float) -> None:
    assert t_95(degrees) == pytest.approx(float(stdtrit(degrees, 0.975)), rel=1e-9)
    for t in (0.1, 1.0, 2.5, 8.0, 40.0, 300.0):
        assert two_sided(t, degrees) == pytest.approx(2 * float(stdtr(degrees, -t)), rel=1e-9)
