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

type Components = tuple[Array | float, Array | float]


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
        return plane_poisson(self.poissons_ratio, self.plane)

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
        return slip_tail(x, y, self.core, Row(self.period))

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
        return entries(self._plane(x, y), self._nu, self.plane)

    def _plane(self, x: Array, y: Array) -> Array:
        """s_xx/G, s_yy/G, s_xy/G and beta_yx, shape (4, n)."""
        return plane_fields(x, y, self.components, self.core, self._nu, Row(self.period), self.rest)

    def displacement(self, x: Array, y: Array) -> Array:
        """Displacement, m, shape (n, 3), with the slipped half plane behind the line (x < 0).

        The jump across the slipped plane is spread like the core: the y derivative holds the slip b W. Far below a row
        nothing moves; a single line leaves a rigid motion open.
        """
        u = np.zeros((*np.shape(x), 3))
        u[..., 0], u[..., 1] = displacements(x, y, self.components, self.core, self._nu, Row(self.period), self.rest)
        return u


def plane_poisson(nu: float, plane: str) -> float:
    """Poisson's ratio of the plane problem: nu/(1 + nu) stands for nu in plane stress."""
    return nu if plane == "strain" else nu / (1.0 + nu)


# -- for one line or many: all numbers of a line may be arrays that broadcast against the coordinates ------


def slip_tail(x: Array, y: Array, core: Array | float, row: Row) -> Array:
    """W, 1/m, of ``EdgeField.slip_density``."""
    c2 = y**2 + core**2
    c = np.sqrt(c2)
    _, _, t1, t2 = row.sums(x, c2)
    tail = 3.0 * row.angle(x, c) / (8.0 * c2**2 * c) - 3.0 * t1 / (8.0 * c2**2) - t2 / (4.0 * c2)
    return np.asarray(2.0 * core**4 / np.pi * tail)


def plane_fields(
    x: Array, y: Array, burgers: Components, core: Array | float, nu: float, row: Row, rest: Array | float
) -> Array:
    """The fields of which stress and distortion are made.

    Args:
        x: Coordinates along the row, m.
        y: Coordinates along its normal, m.
        burgers: b_x and b_y, m.
        core: Core width a, m.
        nu: Poisson's ratio of the plane problem.
        row: The images.
        rest: Side of a row at rest.

    Returns:
        s_xx/G, s_yy/G, s_xy/G and beta_yx, shape (4, ...).
    """
    b_x, b_y = burgers
    a2, y2 = core**2, y**2
    c2 = y2 + a2
    s1, s2, t1, t2 = row.sums(x, c2)
    out = np.zeros((4, *s1.shape))
    if np.any(b_x):
        d = b_x / (2.0 * np.pi * (1.0 - nu))
        out[0] = -d * y * (3.0 * s1 - 2.0 * y2 * s2)
        out[1] = d * y * (s1 - 2.0 * c2 * s2)
        out[2] = d * (t1 - 2.0 * y2 * t2)
        out[3] = -d * ((y2 + (1.0 - nu) * a2) * t2 + (0.5 - nu) * t1)
    if np.any(b_y):
        d = b_y / (2.0 * np.pi * (1.0 - nu))
        out[0] += d * (t1 - 2.0 * y2 * t2)
        out[1] += d * (t1 + 2.0 * c2 * t2)
        out[2] += d * y * (s1 - 2.0 * c2 * s2)
        out[3] -= d * y * ((c2 + (1.0 - nu) * a2) * s2 + (0.5 - nu) * s1)
    if row.period is not None:
        out[0] -= rest * b_x / ((1.0 - nu) * row.period)
        out[3] -= rest * 0.5 * b_y / row.period
    return out


def displacements(
    x: Array, y: Array, burgers: Components, core: Array | float, nu: float, row: Row, rest: Array | float,
    turned: Array | float = 0.0,
) -> Array:  # fmt: skip
    """Components u_x and u_y of ``EdgeField.displacement``, m, shape (2, ...).

    Args:
        x: Coordinates along the row, m.
        y: Coordinates along its normal, m.
        burgers: b_x and b_y, m.
        core: Core width a, m.
        nu: Poisson's ratio of the plane problem.
        row: The images.
        rest: Side of a row at rest.
        turned: Taken off the sum of the angles of the images: with its value in the plane of the row, pi behind a
            line, the displacement is smooth across that plane, and misses turned/pi b ``step``.
    """
    b_x, b_y = burgers
    a2 = core**2
    c2 = y**2 + a2
    c = np.sqrt(c2)
    s1, _, t1, _ = row.sums(x, c2)
    logarithm = (0.5 - nu) * row.logarithm(x, c, core)
    turn = (row.angle(x, c) - turned) * (1.0 / c + a2 / (2.0 * c2 * c)) - a2 * t1 / (2.0 * c2)
    across = y * t1 / (2.0 * (1.0 - nu))
    k = 1.0 / (4.0 * np.pi * (1.0 - nu))
    u = np.zeros((2, *s1.shape))
    u[0] = b_x / (2.0 * np.pi) * (across + y * turn)
    u[0] += b_y * k * ((c2 - (1.0 - nu) * a2) * s1 + logarithm)
    u[1] = b_x * k * ((y**2 + (1.0 - nu) * a2) * s1 - logarithm)
    u[1] += b_y / (2.0 * np.pi) * (y * turn - across)
    if row.period is not None:
        h_x, h_y = 0.5 * b_x / row.period, 0.5 * b_y / row.period
        u[0] += rest * (0.25 * b_x - h_x * x + h_y * y)
        u[1] += rest * (0.25 * b_y - h_y * x + nu / (1.0 - nu) * h_x * y)
    return u


def step(y: Array, core: Array | float) -> Array:
    """Integral of W(-inf, y) from y = 0: y (1/c + a^2/(2 c^3))/2, from -1/2 to 1/2."""
    c2 = y**2 + core**2
    return np.asarray(0.5 * y * (1.0 + 0.5 * core**2 / c2) / np.sqrt(c2))


def entries(plane: Array, nu: float, state: str) -> Array:
    """The entries of the distortion that do not vanish, (n, 5) in the order of ``ENTRIES``, of ``plane_fields`` (4, n).

    Args:
        plane: What ``plane_fields`` returns, or a sum of it.
        nu: Poisson's ratio of the plane problem.
        state: Plane ``strain`` or plane ``stress``.
    """
    xx, yy, xy, yx = plane
    trace = xx + yy
    out = np.empty((len(xx), len(ENTRIES)))
    out[:, 0] = 0.5 * (xx - nu * trace)
    out[:, 1] = 0.5 * (yy - nu * trace)
    out[:, 2] = xy - yx
    out[:, 3] = yx
    out[:, 4] = 0.0 if state == "strain" else -0.5 * nu * trace
    return out


# Entries of the distortion that do not vanish in plane problems.
ENTRIES = ((0, 0), (1, 1), (0, 1), (1, 0), (2, 2))
