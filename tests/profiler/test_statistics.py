"""Quantiles, intervals and gates with figures worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measure.statistics import mean_interval, median, noise, noise_gate, quantile, summarise, t_95


def test_quantiles_by_hand() -> None:
    values = [40.0, 10.0, 20.0, 30.0]
    assert median(values) == 25.0
    assert quantile(values, 0.1) == pytest.approx(13.0)  # place 0.3: 10 + 0.3 x 10
    assert quantile(values, 0.9) == pytest.approx(37.0)
    assert quantile([7.0], 0.9) == 7.0


def test_interval_by_hand() -> None:
    # Mean 3, variance 2.5, n 5: 2.7764 x sqrt(0.5) = 1.9632.
    low, high = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0]) or (0.0, 0.0)
    assert (low, high) == (pytest.approx(1.0368, abs=1e-4), pytest.approx(4.9632, abs=1e-4))
    assert mean_interval([1.0]) is None


# NIST/SEMATECH e-Handbook, table 1.3.6.7.2.
@pytest.mark.parametrize("degrees, t", [(1, 12.706), (4, 2.776), (30, 2.042), (60, 2.000), (120, 1.980)])
def test_t_as_published(degrees: int, t: float) -> None:
    assert t_95(degrees) == pytest.approx(t, abs=5e-4)


def test_many_values_are_resampled() -> None:
    """One slow window in twenty-five. Resampling sees that the mean can hardly lie lower, and more easily higher: the interval leans, as t's never does."""
    values = [1.0] * 12 + [1.02] * 12 + [1.5]
    low, high = mean_interval(values) or (0.0, 0.0)
    mean = sum(values) / 25  # (12 + 12.24 + 1.5) / 25 = 1.0296
    assert mean == pytest.approx(1.0296)
    assert low < mean < high
    assert high - mean > 1.5 * (mean - low)
    assert mean_interval(values) == (low, high)  # the same draws every time
    assert mean_interval([1.0] * 30) == (1.0, 1.0)


def test_summary_takes_the_interval_from_windows() -> None:
    summary = summarise([1.0, 1.0, 1.0, 9.0], [2.0, 4.0])
    # Mean 3, variance 2, n 2: 12.706 x 1.
    assert summary.ci95 == (pytest.approx(3 - 12.706, abs=1e-3), pytest.approx(3 + 12.706, abs=1e-3))
    assert (summary.median, summary.n, summary.windows) == (1.0, 4, 2)
    assert summary.json()["ci95"] == [pytest.approx(3 - 12.706, abs=1e-3), pytest.approx(3 + 12.706, abs=1e-3)]


def gated(device: str, share: float) -> tuple[list[str], list[str]]:
    """The gate at a half-width of `share` of the median: two windows at 1 +/- d have a half-width of 12.706 d."""
    summary = summarise([1.0], [1 - share / 12.7062, 1 + share / 12.7062])
    assert noise(summary) == pytest.approx(share, rel=1e-4)
    return noise_gate(summary, device)


def test_repeatability_gate() -> None:
    assert gated("cuda", 0.04) == ([], [])
    assert gated("cuda", 0.06) == (["noise_above_limit"], ["noise: the windows' mean is known to +/- 6.0% only"])
    assert gated("cpu", 0.04) == ([], [])
    assert gated("cpu", 0.26) == ([], ["noise: the windows' mean is known to +/- 26.0% only"])  # on a CPU noise warns
    assert noise_gate(summarise([1.0], [1.0]), "cpu") == (["not_repeated"], [])


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=50), st.floats(0, 1))
def test_quantile_lies_between_its_neighbours(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert min(values) <= found <= max(values)
    below = sum(v < found for v in values)
    assert below <= share * (len(values) - 1) + 1


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=30), st.floats(0.1, 10))
def test_interval_scales_and_holds_the_mean(values: list[float], factor: float) -> None:
    low, high = mean_interval(values) or (1.0, 0.0)
    mean = sum(values) / len(values)
    assert low <= mean * (1 + 1e-9)
    assert high >= mean * (1 - 1e-9)
    scaled = mean_interval([v * factor for v in values])
    assert scaled == (pytest.approx(low * factor, abs=1e-6), pytest.approx(high * factor, abs=1e-6))
