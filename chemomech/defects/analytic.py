"""Closed forms of straight edge dislocations with spread cores in an infinite isotropic medium, single or in a row.

The Burgers vector is spread by ``spreading.line_density``. For b along x the Airy function is
phi = -(D/2) y ln(x^2 + y^2 + a^2) with D = G b / (2 pi (1 - nu)); stress and displacement follow from it (stress: Cai
et al. 2006; the displacement is derived in docs/theory.md); for b along y all is turned by a right angle. All
functions use the local frame: x along the row (or, for a single line, usually along the Burgers vector), y the normal
of the plane through all its lines, the extra half plane of b = b e_x at y > 0.

The slip b e_y W(x, y) (dyadic) lies behind the lines: for b along x they have glided, for b along y the plane behind
them has opened. The distortion of the lattice does not depend on that choice, only the displacement does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chemomech.defects.rows import Row
from chemomech.typing import Array


@dataclass(frozen=True, slots=True)
class EdgeField:
    """Fields of one edge dislocation, or of a row of equal ones along x, in its own frame.

    Above and below a row the distortion tends to two different uniform ones. That of the side at rest is taken off, so
    that the medium is unstrained there; with the one below at rest, the one above takes the mean strain -b_x/L along
    the row and the tilt b_y/L. No closed form of a single line is changed.

    Attributes:
        burgers: b, m, along x, or the components (b_x, b_y).
        core: Core width a, m.
        shear_modulus: G, Pa.
        poissons_ratio: nu.
        plane: Plane strain, or plane stress.
        period: Distance L of neighbours in a row, m; none for a single line.
        rest: Side of a row at rest: 1 below, -1 above; 0 neither, which leaves half the change to each.
    """

    burgers: float | tuple[float, float]
    core: float
    shear_modulus: float
    poissons_ratio: float
    plane: str = "strain"
    period: float | None = None
    rest: int = 1

    @property
    def _nu(self) -> float:
        """Poisson's ratio of the plane problem: nu/(1 + nu) stands for nu in plane stress."""
        return self.poissons_ratio if self.plane == "strain" else self.poissons_ratio / (1.0 + self.poissons_ratio)

    @property
    def components(self) -> tuple[float, float]:
        """The Burgers vector (b_x, b_y), m."""
        return self.burgers if isinstance(self.burgers, tuple) else (self.burgers, 0.0)

    @property
    def prefactor(self) -> float:
        """D = G |b| / (2 pi (1 - nu)), N/m."""
        return float(self.shear_modulus * np.hypot(*self.components) / (2.0 * np.pi * (1.0 - self._nu)))

    def w(self, x: Array, y: Array) -> Array:
        """How the Burgers vector is spread, 1/m^2, shape (n,); in a row the sum over all images."""
        return np.asarray(2.0 * self.core**4 / np.pi * Row(self.period).sixth(x, y**2 + self.core**2))

    def slip_density(self, x: Array, y: Array) -> Array:
        """W, 1/m, shape (n,): dW/dx = -w.

        Behind a row it grows by one step per line; halfway between two lines it is a whole number of steps and a half.
        """
        row, c2 = Row(self.period), y**2 + self.core**2
        c = np.sqrt(c2)
        _, _, t1, t2 = row.sums(x, c2)
        tail = 3.0 * row.angle(x, c) / (8.0 * c2**2 * c) - 3.0 * t1 / (8.0 * c2**2) - t2 / (4.0 * c2)
        return np.asarray(2.0 * self.core**4 / np.pi * tail)

    def stress(self, x: Array, y: Array) -> Array:
        """Stress, Pa.

        Args:
            x: Coordinates along the row, m, shape (n,).
            y: Coordinates along its normal, m, shape (n,).

        Returns:
            Tensors of shape (n, 3, 3) in the local frame (x, y, line).
        """
        xx, yy, xy, _ = self.shear_modulus * self._plane(x, y)
        s = np.zeros((*np.shape(x), 3, 3))
        s[..., 0, 0], s[..., 1, 1] = xx, yy
        s[..., 0, 1] = s[..., 1, 0] = xy
        if self.plane == "strain":
            s[..., 2, 2] = self.poissons_ratio * (xx + yy)
        return s

    def distortion(self, x: Array, y: Array) -> Array:
        """Elastic distortion, beta_ij = d u_i / d x_j less the slip, shape (n, 3, 3)."""
        beta = np.zeros((*np.shape(x), 3, 3))
        for value, (i, j) in zip(self.distortion_entries(x, y).T, ENTRIES, strict=True):
            beta[..., i, j] = value
        return beta

    def distortion_entries(self, x: Array, y: Array) -> Array:
        """The entries of ``distortion`` that do not vanish, in the order of ``ENTRIES``, shape (n, 5)."""
        xx, yy, xy, yx = self._plane(x, y)
        trace = xx + yy
        out = np.empty((len(xx), len(ENTRIES)))
        out[:, 0] = 0.5 * (xx - self._nu * trace)
        out[:, 1] = 0.5 * (yy - self._nu * trace)
        out[:, 2] = xy - yx
        out[:, 3] = yx
        out[:, 4] = 0.0 if self.plane == "strain" else -0.5 * self._nu * trace
        return out

    def _plane(self, x: Array, y: Array) -> Array:
        """s_xx/G, s_yy/G, s_xy/G and beta_yx, shape (4, n)."""
        a2, nu, (b_x, b_y) = self.core**2, self._nu, self.components
        c2, y2 = y**2 + a2, y**2
        s1, s2, t1, t2 = Row(self.period).sums(x, c2)
        out = np.zeros((4, len(s1)))
        if b_x:
            d = b_x / (2.0 * np.pi * (1.0 - nu))
            out[0] = -d * y * (3.0 * s1 - 2.0 * y2 * s2)
            out[1] = d * y * (s1 - 2.0 * c2 * s2)
            out[2] = d * (t1 - 2.0 * y2 * t2)
            out[3] = -d * ((y2 + (1.0 - nu) * a2) * t2 + (0.5 - nu) * t1)
        if b_y:
            d = b_y / (2.0 * np.pi * (1.0 - nu))
            out[0] += d * (t1 - 2.0 * y2 * t2)
            out[1] += d * (t1 + 2.0 * c2 * t2)
            out[2] += d * y * (s1 - 2.0 * c2 * s2)
            out[3] -= d * y * ((c2 + (1.0 - nu) * a2) * s2 + (0.5 - nu) * s1)
        if self.period is not None:
            out[0] -= self.rest * b_x / ((1.0 - nu) * self.period)
            out[3] -= self.rest * 0.5 * b_y / self.period
        return out

    def displacement(self, x: Array, y: Array) -> Array:
        """Displacement, m, shape (n, 3), with the slipped half plane behind the line (x < 0).

        The jump across the slipped plane is spread like the core: the y derivative holds the slip b W. Far below a row
        nothing moves; a single line leaves a rigid motion open.
        """
        row, a2, nu, (b_x, b_y) = Row(self.period), self.core**2, self._nu, self.components
        c2 = y**2 + a2
        c = np.sqrt(c2)
        s1, _, t1, _ = row.sums(x, c2)
        logarithm = (0.5 - nu) * row.logarithm(x, c, self.core)
        turn = row.angle(x, c) * (1.0 / c + a2 / (2.0 * c2 * c)) - a2 * t1 / (2.0 * c2)
        across = y * t1 / (2.0 * (1.0 - nu))
        k = 1.0 / (4.0 * np.pi * (1.0 - nu))
        u = np.zeros((*np.shape(x), 3))
        u[..., 0] = b_x / (2.0 * np.pi) * (across + y * turn)
        u[..., 0] += b_y * k * ((c2 - (1.0 - nu) * a2) * s1 + logarithm)
        u[..., 1] = b_x * k * ((y**2 + (1.0 - nu) * a2) * s1 - logarithm)
        u[..., 1] += b_y / (2.0 * np.pi) * (y * turn - across)
        if self.period is not None:
            h_x, h_y = 0.5 * b_x / self.period, 0.5 * b_y / self.period
            u[..., 0] += self.rest * (0.25 * b_x - h_x * x + h_y * y)
            u[..., 1] += self.rest * (0.25 * b_y - h_y * x + nu / (1.0 - nu) * h_x * y)
        return u


# Entries of the distortion that do not vanish in plane problems.
ENTRIES = ((0, 0), (1, 1), (0, 1), (1, 0), (2, 2))
