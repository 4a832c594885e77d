"""Dislocation lines placed in a body: frames, superposed closed forms, eigenstrain of every cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from chemomech.case import Case, Dislocation
from chemomech.defects.analytic import EdgeField
from chemomech.defects.simplex import cell_averages
from chemomech.defects.spreading import slip_density
from chemomech.materials.laws import Isotropic
from chemomech.typing import Array


@dataclass(frozen=True, slots=True)
class Line:
    """A dislocation line with its frame.

    Attributes:
        position: A point of the line, shape (3,), m.
        frame: Rows are the slip direction, the slip-plane normal and the line direction, shape (3, 3).
        burgers: Magnitude b, m.
        core: Core width a, m.
        forward: The slipped half plane lies ahead of the line instead of behind it.
        slip: The eigenstrain is the slip itself (see ``cell_eigenstrain``).
    """

    position: Array
    frame: Array
    burgers: float
    core: float
    forward: bool = False
    slip: bool = False

    @classmethod
    def of(cls, dislocation: Dislocation) -> Line:
        """The line a case describes."""
        pad = (0.0,) * (3 - len(dislocation.position))
        b = np.array([*dislocation.burgers, *pad])
        line = np.array(dislocation.line) / np.linalg.norm(dislocation.line)
        slip = b / np.linalg.norm(b)
        normal = np.cross(line, slip)
        if dislocation.normal is not None and np.dot(normal, [*dislocation.normal, *pad]) < 0.0:
            # b and n make the eigenstrain; the line direction follows from them.
            line, normal = -line, -normal
        return cls(
            position=np.array([*dislocation.position, *pad]),
            frame=np.array([slip, normal, line]),
            burgers=float(np.linalg.norm(b)),
            core=dislocation.core,
            forward=dislocation.cut == "forward",
            slip=dislocation.eigenstrain == "slip",
        )

    def local(self, points: Array) -> Array:
        """Coordinates along slip direction, normal and line, shape (n, 3)."""
        return np.asarray((points - self.position) @ self.frame.T)

    def slip_density(self, points: Array) -> Array:
        """W at points of shape (n, 3), 1/m; negative where the slipped plane lies ahead of the line."""
        x, y, _ = self.local(points).T
        return -slip_density(-x, y, self.core) if self.forward else slip_density(x, y, self.core)

    @property
    def slip_tensor(self) -> Array:
        """(b n + n b)/2, shape (3, 3), m: the eigenstrain for W = 1/m (paper 004, eq. 6)."""
        slip, normal, _ = self.frame
        return 0.5 * self.burgers * (np.outer(slip, normal) + np.outer(normal, slip))


def lines(case: Case) -> tuple[Line, ...]:
    """The dislocation lines of a case."""
    return tuple(Line.of(d) for d in case.dislocations)


def cell_eigenstrain(
    lines: Sequence[Line], vertices: Array, poissons_ratio: float = 0.3, plane: str = "strain", tolerance: float = 1e-5
) -> Array:
    """Mean dislocation eigenstrain of every cell.

    Linear displacements have a constant strain per cell, and so must have the eigenstrain: otherwise its
    variation inside a cell would act as a spurious stress (paper 004, section 3.2).

    A line whose eigenstrain is ``slip`` gives sym(b n) W (paper 004, eq. 6). One whose eigenstrain is
    ``elastic`` gives minus the elastic strain of the line in an infinite medium. The two differ by the strain
    of ``infinite_medium_displacement``, which is compatible: only the displacement notices.

    Args:
        lines: Dislocation lines.
        vertices: Corners of the simplices, shape (cells, corners, 3), m.
        poissons_ratio: nu of the infinite medium; any will do, that of the body makes the rest small.
        plane: ``strain`` or ``stress``.
        tolerance: Error of a mean allowed, relative to b/a.

    Returns:
        Shape (cells, 3, 3).
    """
    out = np.zeros((len(vertices), 9))
    for line in lines:
        allowed = tolerance * line.burgers / line.core
        out += cell_averages(partial(_eigenstrain, line, poissons_ratio, plane), vertices, allowed)
    return out.reshape(-1, 3, 3)


def _eigenstrain(line: Line, nu: float, plane: str, points: Array) -> Array:
    if line.slip:
        return line.slip_density(points)[:, None, None] * line.slip_tensor
    unit = Isotropic(youngs_modulus=2.0 * (1.0 + nu), poissons_ratio=nu)  # G = 1
    stress = _superpose([line], unit, plane, points, "stress")
    trace = np.trace(stress, axis1=1, axis2=2)[:, None, None]
    return np.asarray(-0.5 * (stress - nu / (1.0 + nu) * trace * np.eye(3)))


def lift(lines: Sequence[Line], poissons_ratio: float, plane: str, points: npt.ArrayLike) -> Array:
    """Displacement that lines with ``elastic`` eigenstrain leave out of the unknown, shape (n, 3), m."""
    unit = Isotropic(youngs_modulus=1.0, poissons_ratio=poissons_ratio)
    return infinite_medium_displacement([line for line in lines if not line.slip], unit, points, plane)


def _superpose(lines: Sequence[Line], material: Isotropic, plane: str, points: Array, what: str) -> Array:
    shear = material.youngs_modulus / (2.0 * (1.0 + material.poissons_ratio))
    rank = 2 if what == "stress" else 1
    total = np.zeros((len(points),) + (3,) * rank)
    for line in lines:
        field = EdgeField(line.burgers, line.core, shear, material.poissons_ratio, plane)
        x, y, _ = line.local(points).T
        if what == "stress":
            total += np.einsum("ai,nab,bj->nij", line.frame, field.stress(x, y), line.frame)
            continue
        u = field.displacement(x, y)
        if line.forward:
            # Slip ahead instead of behind: the half above the plane moves as a whole by -b, spread by the core.
            u[:, 0] -= line.burgers * _step(y, line.core)
        total += u @ line.frame
    return total


def _step(y: Array, core: float) -> Array:
    """Integral of W(-inf, y) from y = 0: y (1/c + a^2/(2 c^3))/2, from -1/2 to 1/2."""
    c2 = y**2 + core**2
    return np.asarray(0.5 * y * (1.0 + 0.5 * core**2 / c2) / np.sqrt(c2))


def _in_space(points: npt.ArrayLike) -> Array:
    given = np.atleast_2d(np.asarray(points, dtype=float))
    out = np.zeros((len(given), 3))
    out[:, : given.shape[1]] = given
    return out


def infinite_medium_stress(
    lines: Sequence[Line], material: Isotropic, points: npt.ArrayLike, plane: str = "strain"
) -> Array:
    """Stress of dislocations in an infinite isotropic medium.

    Args:
        lines: Dislocation lines (``lines(case)``).
        material: Isotropic elasticity.
        points: Shape (n, 2) or (n, 3), m.
        plane: ``strain`` or ``stress``.

    Returns:
        Shape (n, 3, 3), Pa.
    """
    return _superpose(lines, material, plane, _in_space(points), "stress")


def infinite_medium_displacement(
    lines: Sequence[Line], material: Isotropic, points: npt.ArrayLike, plane: str = "strain"
) -> Array:
    """Displacement of dislocations in an infinite isotropic medium, shape (n, 3), m, up to a rigid motion."""
    return _superpose(lines, material, plane, _in_space(points), "displacement")
