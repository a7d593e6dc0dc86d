"""More than noise? Intervals worked by hand, degenerate windows, and simulations that count false alarms."""

from __future__ import annotations

import math
import random

import pytest

from profiler.compare.difference import difference, holm, of_sum
from profiler.compare.spread import Noise, noise_of, spread_of, together

SCATTER = (-0.02, -0.01, 0.0, 0.01, 0.02)  # of logarithms: variance 10e-4 / 4 = 2.5e-4, of the mean of five 5e-5


def noise(middle: float = 0.0, scatter: tuple[float, ...] = SCATTER) -> Noise:
    return noise_of(spread_of([math.exp(middle + s) for s in scatter]))


def test_spread_by_hand() -> None:
    spread = spread_of([math.exp(s) for s in SCATTER])
    assert spread is not None
    assert (spread.n, spread.mean, spread.variance) == (5, pytest.approx(0.0, abs=1e-15), pytest.approx(2.5e-4))
    assert spread.logs == ()  # nobody resamples five
    assert len((spread_of([1.0 + n / 100 for n in range(20)]) or spread).logs) == 20


def test_what_has_no_logarithm_has_no_spread() -> None:
    assert spread_of([]) is None
    assert spread_of([1.0, 0.0]) is None  # a counter that did not tick
    with pytest.raises(ValueError, match="finite"):
        spread_of([1.0, math.inf])


def test_welch_by_hand() -> None:
    """Both variances of a mean are 5e-5: standard error sqrt(1e-4) = 0.01, (1e-4)^2 / (2 x (5e-5)^2 / 4) = 8 degrees, t = 2.306."""
    found = difference(0.1, noise(), noise(0.1))
    assert (found.low, found.high) == (pytest.approx(0.1 - 0.02306, abs=1e-6), pytest.approx(0.1 + 0.02306, abs=1e-6))
    assert (found.method, found.n) == ("welch", (5, 5))
    assert found.p == pytest.approx(8.5e-6, rel=0.02)  # Student's t at 10 with 8 degrees


def test_one_side_without_scatter() -> None:
    """Only the old one's 5e-5 is left: 4 degrees, 2.7764 x 0.0070711 = 0.019632."""
    found = difference(0.1, noise(), noise(0.1, (0.0,) * 5))
    assert (found.low, found.high) == (pytest.approx(0.1 - 0.019632, abs=1e-6), pytest.approx(0.1 + 0.019632, abs=1e-6))


def test_windows_without_any_scatter() -> None:
    """Any difference is more than no noise at all; a copy, and the last digit of a sum, are none."""
    still = noise(0.0, (0.0,) * 5)
    assert difference(0.001, still, noise(0.001, (0.0,) * 5)).p == 0.0
    for log_ratio in (0.0, 2e-16):
        same = difference(log_ratio, still, still)
        assert (same.p, same.low, same.high) == (1.0, log_ratio, log_ratio)
    many = noise(0.0, (0.0,) * 25)
    assert difference(0.001, many, many).p == 0.0


def test_too_few_windows_tell_nothing_but_that_copies_are_alike() -> None:
    few, one = noise(scatter=(-0.01, 0.0, 0.01, 0.02)), noise(scatter=(0.0,))
    found = difference(0.5, few, noise(0.5))
    assert (found.p, found.n, found.method) == (None, (4, 5), "welch")
    assert found.low is not None
    alone = difference(0.5, one, noise())
    assert (alone.low, alone.high, alone.p, alone.method) == (None, None, None, None)
    assert difference(0.5, (), ()).p is None
    assert difference(0.0, (), ()).p == 1.0
    assert difference(0.0, few, few).p == 1.0


def test_a_request_weighs_its_phases_by_their_share() -> None:
    """0.2 s and 0.64 s weigh 0.2381 and 0.7619: 5e-5 x (0.0567 + 0.5805) = 3.186e-5 a run, so an error of sqrt(6.372e-5) = 0.007982.

    Degrees: (6.372e-5)^2 / (2 x ((2.834e-6)^2 + (2.9025e-5)^2) / 4) = 9.55.
    """
    request = together((0.2, noise()), (0.64, noise()))
    assert [weight for weight, _ in request] == [pytest.approx(0.2381, abs=1e-4), pytest.approx(0.7619, abs=1e-4)]
    error, degrees = of_sum([(weight * weight * 5e-5, 4.0) for weight, _ in (*request, *request)])
    assert (error, degrees) == (pytest.approx(0.007982, abs=1e-6), pytest.approx(9.55, abs=0.01))
    found = difference(0.0, request, request)
    assert found.high == pytest.approx(error * 2.2425, rel=1e-3)  # t of 9.55 degrees, between 2.262 (9) and 2.228 (10)
    assert together((0.2, noise()), (0.64, ())) == ()


def test_twenty_windows_are_resampled() -> None:
    rng = random.Random(1)
    old, new = ([math.exp(shift + rng.gauss(0, 0.01)) for _ in range(20)] for shift in (0.0, 0.02))
    log_ratio = math.log(sum(new) / sum(old))
    found = difference(log_ratio, noise_of(spread_of(old)), noise_of(spread_of(new)))
    assert found.method == "bootstrap"
    again = difference(log_ratio, noise_of(spread_of(old)), noise_of(spread_of(new)))
    assert (again.low, again.high, again.p) == (found.low, found.high, found.p)  # the same draws every time
    assert found.low is not None
    assert found.high is not None
    # 2.024 x sqrt(2 x 1e-4 / 20) = 0.0064 to either side, as far as 20 windows of 1 % tell it.
    assert found.high - found.low == pytest.approx(2 * 0.0064, rel=0.25)
    assert found.p is not None
    assert found.p < 1e-4
    assert difference(0.0, noise_of(spread_of(old)), noise_of(spread_of(old))).p == 1.0


def test_holm_by_hand() -> None:
    """Of four: 0.01 x 4; then 0.02 x 3 = 0.06; 0.03 x 2 = 0.06; 0.5 x 1. Never below the one before, never above 1."""
    assert holm([0.5, 0.01, 0.03, 0.02]) == [0.5, pytest.approx(0.04), pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([0.04, 0.04]) == [pytest.approx(0.08), pytest.approx(0.08)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("windows, seeds", [(5, 600), (20, 300)])
@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_noise_alone_is_rarely_taken_for_a_difference(windows: int, seeds: int, kind: str) -> None:
    """Six figures at once, 1 % noise, no difference: one false alarm in 5 % of the tables or fewer, up to three standard errors of the count."""
    alarms = 0
    for seed in range(seeds):
        rng = random.Random(seed)
        p_values = []
        for _ in range(6):
            old, new = ([draw(rng, kind) for _ in range(windows)] for _ in range(2))
            found = difference(math.log(sum(new) / sum(old)), noise_of(spread_of(old)), noise_of(spread_of(new)))
            assert found.p is not None
            p_values.append(found.p)
        alarms += min(holm(p_values)) <= 0.05
    assert alarms / seeds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / seeds)


def draw(rng: random.Random, kind: str) -> float:
    """A window's step: normal around 1, or mostly quick and now and then slow."""
    return rng.gauss(1, 0.01) if kind == "normal" else 1 + 0.01 * rng.expovariate(1)


@pytest.mark.parametrize("windows", [5, 20])
def test_intervals_cover_what_they_should(windows: int) -> None:
    """A true difference of 3 % lies inside in 95 % of the intervals, within three standard errors of the count."""
    seeds, inside = 500, 0
    for seed in range(seeds):
        rng = random.Random(seed)
        old, new = ([shift * rng.gauss(1, 0.01) for _ in range(windows)] for shift in (1.0, 1.03))
        found = difference(math.log(sum(new) / sum(old)), noise_of(spread_of(old)), noise_of(spread_of(new)))
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= math.log(1.03) <= found.high
    assert abs(inside / seeds - 0.95) <= 3 * math.sqrt(0.05 * 0.95 / seeds)
