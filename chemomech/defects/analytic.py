"""Closed forms of a straight edge dislocation with a spread core in an infinite isotropic medium.

The Burgers vector is spread by ``spreading.line_density``. The Airy function of the spread dislocation is
phi = -(D/2) y ln(x^2 + y^2 + a^2) with D = G b / (2 pi (1 - nu)); stress and displacement follow from it
(stress: Cai et al. 2006; the displacement is derived in docs/theory.md). All functions use the local frame:
x along the Burgers vector, y along the slip-plane normal, the extra half plane at y > 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chemomech.typing import Array


@dataclass(frozen=True, slots=True)
class EdgeField:
    """Fields of one edge dislocation in its own frame.

    Attributes:
        burgers: Magnitude b, m.
        core: Core width a, m.
        shear_modulus: G, Pa.
        poissons_ratio: nu.
        plane: Plane strain, or plane stress.
    """

    burgers: float
    core: float
    shear_modulus: float
    poissons_ratio: float
    plane: str = "strain"

    @property
    def _nu(self) -> float:
        """Poisson's ratio of the plane problem: nu/(1 + nu) stands for nu in plane stress."""
        return self.poissons_ratio if self.plane == "strain" else self.poissons_ratio / (1.0 + self.poissons_ratio)

    @property
    def prefactor(self) -> float:
        """D = G b / (2 pi (1 - nu)), N/m."""
        return self.shear_modulus * self.burgers / (2.0 * np.pi * (1.0 - self._nu))

    def stress(self, x: Array, y: Array) -> Array:
        """Stress, Pa.

        Args:
            x: Coordinates along the Burgers vector, m, shape (n,).
            y: Coordinates along the slip-plane normal, m, shape (n,).

        Returns:
            Tensors of shape (n, 3, 3) in the local frame (Burgers vector, normal, line).
        """
        a2, d = self.core**2, self.prefactor
        r2 = x**2 + y**2 + a2
        s = np.zeros((*np.shape(x), 3, 3))
        s[..., 0, 0] = -d * y / r2 * (1.0 + 2.0 * (x**2 + a2) / r2)
        s[..., 1, 1] = d * y / r2 * (1.0 - 2.0 * (y**2 + a2) / r2)
        s[..., 0, 1] = s[..., 1, 0] = d * x / r2 * (1.0 - 2.0 * y**2 / r2)
        if self.plane == "strain":
            s[..., 2, 2] = self.poissons_ratio * (s[..., 0, 0] + s[..., 1, 1])
        return s

    def displacement(self, x: Array, y: Array) -> Array:
        """Displacement, m, shape (n, 3), for the slipped half plane behind the line (x < 0).

        The jump across the slipped plane is spread like the core: d u_x / d y holds the plastic slip b W.
        """
        a2, nu, b = self.core**2, self._nu, self.burgers
        c2 = y**2 + a2
        c = np.sqrt(c2)
        r2 = x**2 + c2
        u = np.zeros((*np.shape(x), 3))
        turn = np.arctan2(c, x) * (1.0 / c + a2 / (2.0 * c2 * c)) - a2 * x / (2.0 * c2 * r2)
        u[..., 0] = b / (2.0 * np.pi) * (x * y / (2.0 * (1.0 - nu) * r2) + y * turn)
        u[..., 1] = (
            b
            / (4.0 * np.pi * (1.0 - nu))
            * (y**2 / r2 + (1.0 - nu) * a2 / r2 - 0.5 * (1.0 - 2.0 * nu) * np.log(r2 / a2))
        )
        return u
