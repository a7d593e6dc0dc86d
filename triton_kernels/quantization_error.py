"""What a number format costs in accuracy: the error that encoding normally distributed values makes, from the format's definition alone. Needs numpy.

The figure is sqrt(E[(x - q(x))^2] / E[x^2]) of independent x ~ N(0, spread^2). n values share a scale s(m), a function of their largest magnitude m.
m lies below z with probability F(z)^n, F(z) = P(|x| < z); one value is then m itself and the n - 1 others are x given |x| < m. So

    E[(x - q(x))^2] = mean over m of ((m - q(m))^2 + (n - 1) E[(x - q(x))^2 given |x| < m]) / n

and inside, with a and b the ends of the numbers that are rounded to v, the closed form of the sum over v of the integral of (x - v)^2 over the normal density.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from triton_kernels.formats import ELEMENTS, Element, Format

DIMS = (4096, 4096)  # of the matrix whose figure the table of formats states: what a scale of a whole row or tensor spans
_POINTS = 2000  # quantiles over which the mean over m is taken; a power-of-two scale jumps within them
_WHOLE_POINTS = 10  # quantiles of a whole matrix's largest value, on which a global scale depends little
_Array = npt.NDArray[np.float64]


def relative_error(fmt: Format, *, dims: tuple[int, int] = DIMS, spread: float = 1.0, scale_whole: bool = True) -> float:
    """Of a matrix of `dims` (N, K) of N(0, spread^2) in `fmt`. `scale_whole` as in operand.encode."""
    if fmt.plain:
        return _plain_error(fmt.element, spread)
    assert fmt.block is not None, fmt.name
    n = math.prod(min(size or whole, whole) for size, whole in zip(fmt.block, dims, strict=True))
    m_P = spread * _largest(n, _POINTS)
    if not (fmt.global_scale and scale_whole):
        return _scaled_error(fmt.element, m_P, _scales(fmt, m_P, 1.0), n, spread)
    widest = ELEMENTS["e4m3"].largest * fmt.element.largest
    wholes = spread * _largest(math.prod(dims), _WHOLE_POINTS) / widest
    return math.sqrt(np.mean([_scaled_error(fmt.element, m_P, _scales(fmt, m_P, whole), n, spread) ** 2 for whole in wholes]))


def magnitudes(element: Element) -> _Array:
    """Every finite value of an element, 0 and up."""
    steps = 2**element.mantissa_bits
    values = [i * element.smallest for i in range(steps)]  # subnormals
    first = steps * element.smallest  # the least normal number: from there every octave has as many steps
    octaves = math.floor(math.log2(element.largest / first)) + 1
    values += [first * 2.0**octave * (1 + i / steps) for octave in range(octaves) for i in range(steps)]
    return np.array([v for v in values if v <= element.largest])


def _largest(n: int, points: int) -> _Array:
    """The middles of `points` equally likely intervals of the largest magnitude of n values of N(0, 1)."""
    quantiles = (np.arange(points) + 0.5) / points
    return np.array([NormalDist().inv_cdf((1 + q ** (1 / n)) / 2) for q in quantiles])


def _scales(fmt: Format, m_P: _Array, whole: float) -> _Array:
    """Each block's scale, times the global one: operand.encode's rules."""
    wanted = m_P / fmt.element.largest
    if fmt.scale == "fp32":
        return wanted
    if fmt.scale == "e8m0":
        return np.asarray(2.0 ** np.ceil(np.log2(wanted)), dtype=np.float64)
    return whole * _nearest(wanted / whole, magnitudes(ELEMENTS["e4m3"]))


def _nearest(x: _Array, values: _Array) -> _Array:
    """The value nearest to each x; beyond the largest, that."""
    return np.asarray(values[np.searchsorted((values[1:] + values[:-1]) / 2, x)])


def _scaled_error(element: Element, m_P: _Array, scale_P: _Array, n: int, spread: float) -> float:
    values_V = magnitudes(element)
    largest_error_P = (m_P - scale_P * _nearest(m_P / scale_P, values_V)) ** 2
    ends_E = np.concatenate(([0.0], (values_V[1:] + values_V[:-1]) / 2, [np.inf]))
    # In units of the spread, the intervals end where the largest value is.
    z_PE = np.minimum(scale_P[:, None] * ends_E, m_P[:, None]) / spread
    v_PV = scale_P[:, None] * values_V / spread
    below_PE = np.vectorize(math.erf)(z_PE / math.sqrt(2)) / 2  # the density's integral from 0, then of x and of x^2 times it
    density_PE = np.exp(-(z_PE**2) / 2) / math.sqrt(2 * math.pi)
    zeroth, first, second = (np.diff(moment) for moment in (below_PE, -density_PE, below_PE - z_PE * density_PE))
    inside_P = (second - 2 * v_PV * first + v_PV**2 * zeroth).sum(1) / below_PE[:, -1]
    return math.sqrt(np.mean(largest_error_P / spread**2 + (n - 1) * inside_P) / n)


def _plain_error(element: Element, spread: float) -> float:
    """In the octave from 2^k, values stand 2^(k - mantissa bits) apart, and a number is anywhere between two of them: its error's variance is step^2 / 12."""
    octaves = range(-60, 8)  # below, nothing is left to add; above, 2^8 spreads, there are no values
    inside = [math.erf(2.0 ** (k + 1) / spread / math.sqrt(2)) - math.erf(2.0**k / spread / math.sqrt(2)) for k in octaves]
    return math.sqrt(sum(p * 4.0 ** (k - element.mantissa_bits) for k, p in zip(octaves, inside, strict=True)) / 12) / spread
