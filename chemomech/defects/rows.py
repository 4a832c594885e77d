"""Sums over the images of a straight line in a row: one line, or one in every period of an axis.

A line at x = 0, y = 0 has images at x = n L. With c the distance from the plane of the row, widened by the core, and
X_n = x - n L, r_n^2 = X_n^2 + c^2, every field of the row is made of sum 1/r^2, sum 1/r^4, sum X_n/r^2 and
sum X_n/r^4, and every displacement also of the sum of the angles atan2(c, X_n) and of ln r_n^2. The sums follow from
ln|sin(pi (x + i c)/L)| and its derivatives. Those that converge conditionally are taken over -N..N, N to infinity.
With q = exp(-2 pi c/L) instead of hyperbolic functions nothing overflows far away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chemomech.typing import Array


class Sums(NamedTuple):
    """Sums over the images: of 1/r^2 (``s1``), 1/r^4 (``s2``), X/r^2 (``t1``) and X/r^4 (``t2``)."""

    s1: Array
    s2: Array
    t1: Array
    t2: Array


@dataclass(frozen=True, slots=True)
class Row:
    """A line and its images.

    Attributes:
        period: Distance L of neighbours, m; none for a single line.
    """

    period: float | None = None

    def sums(self, x: Array, c2: Array) -> Sums:
        """The sums of which stress and distortion are made.

        Args:
            x: Coordinates along the row, m, shape (n,).
            c2: Squared distance from its plane plus the squared core width, m^2, shape (n,).
        """
        if self.period is None:
            s1 = 1.0 / (x**2 + c2)
            t1 = x * s1
            return Sums(s1, s1 * s1, t1, t1 * s1)
        length = self.period
        c = np.sqrt(c2)
        q, less, sine2, sine, den = self._waves(x, c)
        even = less * (1.0 + q)  # 1 - q^2
        p = np.pi / length
        turn = q * (less**2 - 2.0 * (1.0 + q**2) * sine2) / den**2
        s1 = p * even / (c * den)
        s2 = (0.5 * s1 + 2.0 * p**2 * turn) / c2
        t1 = 2.0 * p * q * sine / den
        t2 = 2.0 * p**2 * q * sine * even / (c * den**2)
        return Sums(s1, s2, t1, t2)

    def sixth(self, x: Array, c2: Array) -> Array:
        """The sum of 1/r^6, 1/m^6."""
        s1, s2, _, _ = self.sums(x, c2)
        if self.period is None:
            return s2 * s1
        c = np.sqrt(c2)
        q, less, sine2, _, den = self._waves(x, c)
        p = np.pi / self.period
        turn = q * (less**2 - 2.0 * (1.0 + q**2) * sine2) / den**2
        cosine = 1.0 - 2.0 * sine2
        slope = q * less * (1.0 + q) * (4.0 * q * sine2 * (3.0 - 2.0 * sine2) - cosine * less**2) / den**3
        return np.asarray(0.25 * (s2 + s1 / c2 + 4.0 * p**2 * turn / c2 - 4.0 * p**3 * slope / c) / c2)

    def angle(self, x: Array, c: Array) -> Array:
        """The sum of atan2(c, X); in a row it falls by pi per period, through pi/2 at the line."""
        if self.period is None:
            return np.arctan2(c, x)
        q, less, sine2, sine, _ = self._waves(x, c)
        return np.asarray(0.5 * np.pi - np.pi * x / self.period - np.arctan2(q * sine, less + 2.0 * q * sine2))

    def logarithm(self, x: Array, c: Array, core: Array | float) -> Array:
        """The sum of ln r^2, less a constant: ln(r^2/core^2) for a line, tending to 2 pi c/L far from a row."""
        if self.period is None:
            return np.asarray(np.log((x**2 + c**2) / core**2))
        return np.asarray(2.0 * np.pi * c / self.period + np.log(self._waves(x, c)[-1]))

    def nearest(self, x: Array) -> Array:
        """Coordinate from the nearest image, m."""
        return x if self.period is None else np.asarray(x - self.period * np.round(x / self.period))

    def _waves(self, x: Array, c: Array) -> tuple[Array, Array, Array, Array, Array]:
        """q, 1 - q, sin^2(pi x/L), sin(2 pi x/L) and 1 + q^2 - 2 q cos(2 pi x/L), none of them by a difference."""
        p = np.pi / self.period if self.period else 0.0
        q, less = np.exp(-2.0 * p * c), -np.expm1(-2.0 * p * c)
        half = p * self.nearest(x)
        s = np.sin(half)
        sine2 = s * s
        return q, less, sine2, 2.0 * s * np.cos(half), less**2 + 4.0 * q * sine2
