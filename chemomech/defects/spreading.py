"""Spreading functions of a non-singular dislocation core (Cai et al., J. Mech. Phys. Solids 54, 561, 2006)."""

from __future__ import annotations

import numpy as np

from chemomech.typing import Array


def line_density(rho: Array, core: float) -> Array:
    """Burgers vector density w of a straight line at distance ``rho``, integrated along the line, 1/m^2.

    w = 2 a^4 / (pi (rho^2 + a^2)^3); its integral over the plane is one.
    """
    return 2.0 * core**4 / (np.pi * (rho**2 + core**2) ** 3)


def slip_density(x: Array, y: Array, core: float) -> Array:
    """The spreading function W of paper 004, eq. 7, for a slipped half plane x < 0, y = 0; 1/m.

    W(x, y) = integral of w(x', y) over x' > x: what a line at the origin with the slipped plane behind it
    spreads over its surroundings. Across the slipped plane W integrates to one.

    Args:
        x: Coordinate along the slip direction, from the line.
        y: Coordinate along the slip-plane normal.
        core: Core width a.
    """
    a2 = y**2 + core**2
    a = np.sqrt(a2)
    r2 = x**2 + a2
    # atan2(a, x) = pi/2 - atan(x/a), without cancellation far ahead of the line.
    tail = 3.0 * np.arctan2(a, x) / (8.0 * a2**2 * a) - 3.0 * x / (8.0 * a2**2 * r2) - x / (4.0 * a2 * r2**2)
    return 2.0 * core**4 / np.pi * tail
