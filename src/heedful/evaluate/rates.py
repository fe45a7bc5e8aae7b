"""Intervals for rates of counts. Imports arithmetic alone: the studio's dashboard reads it, and stays small."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)  # of a two-sided 95 % interval


def wilson(k: float, n: float, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval for a rate of k in n; k may be fractional, as ties count half (Wilson 1927, eq. 4)."""
    if n == 0:
        return 0.0, 1.0
    rate = k / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def newcombe(k: float, n: float, other_k: float, other_n: float) -> tuple[float, float]:
    """Interval for the difference of two rates k/n − other_k/other_n (Newcombe 1998, method 10).

    It keeps a width where neither side saw a single event, which no bootstrap does.
    """
    if n == 0 or other_n == 0:
        return -1.0, 1.0
    rate, other = k / n, other_k / other_n
    (low, high), (other_low, other_high) = wilson(k, n), wilson(other_k, other_n)
    down = sqrt((rate - low) ** 2 + (other_high - other) ** 2)
    up = sqrt((high - rate) ** 2 + (other - other_low) ** 2)
    return rate - other - down, rate - other + up
