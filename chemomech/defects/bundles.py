"""Bundles of parallel lines, whose closed forms are evaluated many lines at once.

A bundle lives in the plane across its lines, with coordinates along the first two rows of ``basis``. ``evaluate`` takes
one line per row of points, so that any pairs of points and lines fill one call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from chemomech.defects.analytic import ENTRIES, displacements, entries, plane_fields, plane_poisson, slip_tail, step
from chemomech.defects.rows import Row
from chemomech.typing import Array, Longs

if TYPE_CHECKING:
    from chemomech.defects.dislocations import Line


@dataclass(frozen=True, slots=True, eq=False)
class Bundle(ABC):
    """Parallel lines of one period.

    Attributes:
        basis: Two directions across the lines and that of the lines, as rows, shape (3, 3).
        places: Where the lines cross the plane, m, shape (lines, 2).
        frames: The first two rows of the frame of each line in the plane, shape (lines, 2, 2).
        burgers: b in the plane for lines along ``basis[2]``, m, shape (lines, 2).
        core: Core widths, m, shape (lines,).
        rest: Sides of rows at rest, shape (lines,).
        forward: Lines whose slipped half plane lies ahead, shape (lines,).
        row: The images.
        nu: Poisson's ratio of the plane problem.
        components: Numbers that ``evaluate`` gives per point.
    """

    components: ClassVar[int] = 4
    basis: Array
    places: Array
    frames: Array
    burgers: Array
    core: Array
    rest: Array
    forward: Array
    row: Row
    nu: float

    @classmethod
    def of(cls, lines: Sequence[Line], poissons_ratio: float, plane: str) -> Self:
        """Gather lines of one direction and period; none of the rest need be the same."""
        basis = lines[0].frame
        sign = [1.0 if line.frame[2] @ basis[2] > 0.0 else -1.0 for line in lines]
        return cls(
            basis=basis,
            places=np.array([line.position @ basis[:2].T for line in lines]),
            frames=np.array([line.frame[:2] @ basis[:2].T for line in lines]),
            burgers=np.array([s * line.vector @ basis[:2].T for s, line in zip(sign, lines, strict=True)]),
            core=np.array([line.core for line in lines]),
            rest=np.array([float(line.rest) for line in lines]),
            forward=np.array([float(line.forward) for line in lines]),
            row=Row(lines[0].period),
            nu=plane_poisson(poissons_ratio, plane),
        )

    def __len__(self) -> int:
        return len(self.core)

    @property
    def strength(self) -> Array:
        """b of every line, m."""
        return np.hypot(self.burgers[:, 0], self.burgers[:, 1])

    def flat(self, points: Array) -> Array:
        """Coordinates in the plane of points (..., 3), shape (..., 2)."""
        return np.asarray(points @ self.basis[:2].T)

    def _signed(self, which: Longs) -> Array:
        """b for the lines' own directions, m, shape (k, 2)."""
        f = self.frames[which]
        sign = f[:, 0, 0] * f[:, 1, 1] - f[:, 0, 1] * f[:, 1, 0]
        return np.asarray(sign[:, None] * self.burgers[which])

    def _local(self, points: Array, which: Longs) -> tuple[Array, Array]:
        """Coordinates in the frame of the lines, each of shape (k, q)."""
        d = points - self.places[which][:, None]
        f = self.frames[which][:, None]
        x = f[..., 0, 0] * d[..., 0] + f[..., 0, 1] * d[..., 1]
        y = f[..., 1, 0] * d[..., 0] + f[..., 1, 1] * d[..., 1]
        return x, y

    def distance(self, points: Array, which: Longs) -> Array:
        """Distance of points (k, 2) from the singularities of the field of a line each, m, shape (k,).

        These lie at X +- i a from a line: along any straight path the field is analytic up to the distance
        r = (X^2 + a^2)^(1/2) (docs/theory.md, section 3.6).
        """
        x, y = (part[:, 0] for part in self._local(points[:, None], which))
        return np.asarray(np.sqrt(self.row.nearest(x) ** 2 + y**2 + self.core[which] ** 2))

    @abstractmethod
    def evaluate(self, points: Array, which: Longs) -> Array:
        """Values of one line per row of points.

        Args:
            points: In the plane, m, shape (k, q, 2).
            which: Number of the line, shape (k,).

        Returns:
            Shape (components, k, q).
        """


class Elastic(Bundle):
    """s_xx/G, s_yy/G, s_xy/G and beta_yx in the basis."""

    def evaluate(self, points: Array, which: Longs) -> Array:
        """See ``Bundle``."""
        d = points - self.places[which][:, None]
        b = self.burgers[which]
        core, rest = self.core[which][:, None], self.rest[which][:, None]
        return plane_fields(d[..., 0], d[..., 1], (b[:, :1], b[:, 1:]), core, self.nu, self.row, rest)

    def distortion(self, values: Array, plane: str) -> Array:
        """Tensors in space, shape (n, 3, 3), of sums (4, n) over the lines."""
        matrix = np.array([np.outer(self.basis[i], self.basis[j]).ravel() for i, j in ENTRIES])
        return np.asarray((entries(values, self.nu, plane) @ matrix).reshape(-1, 3, 3))

    def stress(self, values: Array, shear_modulus: float, plane: str) -> Array:
        """Stress in space, Pa, shape (n, 3, 3), of sums (4, n) over the lines."""
        xx, yy, xy, _ = shear_modulus * values
        s = np.zeros((len(xx), 3, 3))
        s[:, 0, 0], s[:, 1, 1] = xx, yy
        s[:, 0, 1] = s[:, 1, 0] = xy
        if plane == "strain":
            s[:, 2, 2] = self.nu * (xx + yy)
        return np.asarray(self.basis.T @ s @ self.basis)


class Slip(Bundle):
    """The distortion -b n W of the slip: its entries xx, xy, yx and yy in the basis."""

    def distance(self, points: Array, which: Longs) -> Array:
        """From the line, or from the slipped half plane behind it, as ``Bundle.distance``."""
        x, y = (part[:, 0] for part in self._local(points[:, None], which))
        if self.row.period is None:
            ahead = np.maximum(np.where(self.forward[which] > 0.0, -x, x), 0.0)
        else:
            ahead = np.zeros_like(x)
        return np.asarray(np.sqrt(ahead**2 + y**2 + self.core[which] ** 2))

    def evaluate(self, points: Array, which: Longs) -> Array:
        """See ``Bundle``."""
        x, y = self._local(points, which)
        way = 1.0 - 2.0 * self.forward[which][:, None]
        density = way * slip_tail(way * x, y, self.core[which][:, None], self.row)
        return np.asarray(-self._tensors(which).T[:, :, None] * density)

    def _tensors(self, which: Longs) -> Array:
        """b n, (k, 4)."""
        return np.asarray((self._signed(which)[:, :, None] * self.frames[which, 1][:, None]).reshape(-1, 4))

    def distortion(self, values: Array, plane: str) -> Array:
        """Tensors in space, shape (n, 3, 3), of sums (4, n) over the lines."""
        del plane  # slip is the same in both
        matrix = np.array([np.outer(self.basis[i], self.basis[j]).ravel() for i in (0, 1) for j in (0, 1)])
        return np.asarray((values.T @ matrix).reshape(-1, 3, 3))


class Displacement(Bundle):
    """u in the plane.

    Across the slipped plane it has a step b, spread by the core only. In boxes away from the line itself the step is
    taken off (``evaluate_smooth``), and added point by point (``steps``).
    """

    components = 2

    def behind(self, points: Array, which: Longs, reach: float) -> Array:
        """How many steps lie between points and the side of each line at rest, shape (k,).

        NaN at a distance of more than ``reach`` from the slipped plane, where the step itself is smooth.
        """
        x, y = (part[:, 0] for part in self._local(points[:, None], which))
        count = np.where(x < 0.0, 1.0, 0.0) if self.row.period is None else -np.floor(x / self.row.period)
        return np.where(np.hypot(y, self.core[which]) < reach, count, np.nan)

    def evaluate(self, points: Array, which: Longs) -> Array:
        """See ``Bundle``."""
        return self.evaluate_smooth(points, which, np.full(len(which), np.nan))

    def evaluate_smooth(self, points: Array, which: Longs, behind: Array) -> Array:
        """As ``evaluate``, less the steps of lines whose ``behind`` is not NaN."""
        x, y = self._local(points, which)
        b, core, rest = self._own(which)[:, :, None], self.core[which][:, None], self.rest[which][:, None]
        turned = np.pi * np.nan_to_num(behind)[:, None]
        u = displacements(x, y, (b[:, 0], b[:, 1]), core, self.nu, self.row, rest, turned)
        ahead = self.forward[which][:, None]
        if ahead.any():
            # Slip ahead instead of behind: the half above the plane moves as a whole by -b, spread by the core.
            still = 0.0 if self.row.period is None else -0.5 * rest
            moved = ahead * (still - np.where(np.isnan(behind)[:, None], step(y, core), 0.0))
            u += moved * b.transpose(1, 0, 2)
        return self._turned_back(u, which)

    def steps(self, points: Array, which: Longs, behind: Array) -> Array:
        """The sum of what ``evaluate_smooth`` has left out of some lines, at points (n, 2), shape (2, n)."""
        d, f = points - self.places[which][:, None], self.frames[which][:, 1, :, None]
        y = f[:, 0] * d[..., 0] + f[:, 1] * d[..., 1]
        b = (behind - self.forward[which])[:, None] * self._signed(which)
        return np.asarray(b.T @ step(y, self.core[which][:, None]))

    def _own(self, which: Longs) -> Array:
        """b in the frames of the lines, (k, 2)."""
        return np.asarray(np.einsum("kij,kj->ki", self.frames[which], self._signed(which)))

    def _turned_back(self, u: Array, which: Longs) -> Array:
        f = self.frames[which][:, :, :, None]
        return np.stack([f[:, 0, i] * u[0] + f[:, 1, i] * u[1] for i in (0, 1)])
