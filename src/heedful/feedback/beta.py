"""The beta distribution's quantile, without loading scipy: the dashboard asks for it, and should stay small."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

TINY = 1e-300
STEPS = 500  # of the continued fraction; it needs some √max(a, b)
HALVES = 1100  # bisection down to the smallest double


def beta_quantile(q: float, a: float, b: float) -> float:
    """x with I_x(a, b) = q, for q in (0, 1) and a, b > 0, as near as a double comes: found by halving."""
    low, high = 0.0, 1.0
    for _ in range(HALVES):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if beta_share(middle, a, b) < q else (low, middle)
    return (low + high) / 2


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b): what lies below x (DLMF 8.17.22).

    The fraction converges fast below x = (a+1)/(a+b+2); above it I_x(a, b) = 1 − I_{1−x}(b, a) is taken.
    """
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    front = exp(a * log(x) + b * log1p(-x) - (lgamma(a) + lgamma(b) - lgamma(a + b)))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """1/(1+ d₁/(1+ d₂/(1+ …))) by Lentz's method, with d_2m = m(b−m)x/((a+2m−1)(a+2m)) and
    d_2m+1 = −(a+m)(a+b+m)x/((a+2m)(a+2m+1))."""
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for part in (even, odd):
            d = 1 / _away(1 + part * d)
            c = _away(1 + part / c)
            value *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return value


def _away(value: float) -> float:
    """Not zero, so that it can be divided by."""
    return value if abs(value) > TINY else TINY
