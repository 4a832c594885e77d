"""Dislocation lines placed in a body: frames, images, superposed closed forms, known distortion of every cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from chemomech.case import Case, Dislocation
from chemomech.case.parts import Box, MeshFile, Rectangle
from chemomech.case.regions import AXES, NEAR
from chemomech.defects.analytic import ENTRIES, EdgeField
from chemomech.defects.rows import Row
from chemomech.defects.simplex import ORDER, cell_averages, sampled_averages
from chemomech.errors import CaseError
from chemomech.materials.laws import Isotropic
from chemomech.typing import Array, Flags


@dataclass(frozen=True, slots=True)
class Line:
    """A dislocation line with its frame, or a row of equal ones.

    Attributes:
        position: A point of the line, shape (3,), m.
        frame: Rows are the slip direction, the slip-plane normal and the line direction, shape (3, 3). In a row:
            the direction of the row, the normal of the plane through its lines, and the line direction.
        burgers: Magnitude b, m.
        core: Core width a, m.
        forward: The slipped half plane lies ahead of the line instead of behind it.
        slip: The eigenstrain is the slip itself (see ``cell_eigenstrain``).
        direction: Of the Burgers vector, its components along the first two rows of ``frame``.
        period: Distance of the lines of a row, m; none for a single line.
        rest: Which side of a row keeps its size: 1 below, -1 above; 0 shares the change between both.
        image: It is the mirror image of a line.
        index: Number of the dislocation in ``case.all_dislocations``.
    """

    position: Array
    frame: Array
    burgers: float
    core: float
    forward: bool = False
    slip: bool = False
    direction: tuple[float, float] = (1.0, 0.0)
    period: float | None = None
    rest: int = 1
    image: bool = False
    index: int = 0

    @classmethod
    def of(cls, dislocation: Dislocation, index: int = 0) -> Line:
        """The single line a case describes."""
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
            rest=1 if dislocation.at_rest == "below" else -1,
            index=index,
        )

    @property
    def vector(self) -> Array:
        """b, shape (3,), m, for the line direction ``frame[2]``."""
        return np.asarray(self.burgers * (np.array(self.direction) @ self.frame[:2]))

    def field(self, shear_modulus: float, poissons_ratio: float, plane: str) -> EdgeField:
        """Its closed forms in an infinite medium, in its own frame."""
        b = (self.burgers * self.direction[0], self.burgers * self.direction[1])
        return EdgeField(b, self.core, shear_modulus, poissons_ratio, plane, self.period, self.rest)

    def local(self, points: Array) -> Array:
        """Coordinates along the rows of ``frame``, shape (n, 3)."""
        return np.asarray((points - self.position) @ self.frame.T)

    def distance(self, points: Array) -> Array:
        """Distance of points (n, 3) from the line, or from the nearest one of its row, m, shape (n,)."""
        x, y, _ = self.local(points).T
        return np.asarray(np.hypot(Row(self.period).nearest(x), y))

    def slip_density(self, points: Array) -> Array:
        """W at points of shape (n, 3), 1/m; negative where the slipped plane lies ahead of the line."""
        x, y, _ = self.local(points).T
        field = self.field(1.0, 0.0, "strain")
        return -field.slip_density(-x, y) if self.forward else field.slip_density(x, y)

    @property
    def slip_tensor(self) -> Array:
        """(b n + n b)/2, shape (3, 3), m: the eigenstrain for W = 1/m (paper 004, eq. 6)."""
        slip = np.outer(self.vector, self.frame[1])
        return np.asarray(0.5 * (slip + slip.T))


# -- lines of a case and their images ----------------------------------------------------------------------


def lines(case: Case, corners: npt.ArrayLike | None = None) -> tuple[Line, ...]:
    """The dislocation lines of a case, and what periods and planes of symmetry make of them.

    In a periodic body every line across the period stands for a row of lines. In a body between two planes of symmetry
    it also has a mirror image, and both are rows with twice the size of the body as their period; a line in such a
    plane is its own image. The case has seen to it that lines run along x or z there.

    Args:
        case: The case.
        corners: The lowest and the highest coordinates of the body, shape (2, 2 or 3), m; a mesh file does not say.

    Raises:
        CaseError: The body is periodic or mirrored, and its size is not known; or a line in a plane of symmetry is not
            symmetric to it.
    """
    found: list[Line] = []
    for index, dislocation in enumerate(case.all_dislocations):
        found += _with_images(Line.of(dislocation, index), case.domain, corners)
    return tuple(found)


def _with_images(line: Line, domain: Rectangle | Box | MeshFile, corners: npt.ArrayLike | None) -> tuple[Line, ...]:
    names = [name for name in (*domain.periodic, *domain.mirror) if abs(line.frame[2, AXES[name]]) < 0.5]
    if not names:
        return (line,)
    if not isinstance(domain, MeshFile):
        center, size = (np.array([*given, 0.0])[:3] for given in (domain.center, domain.size))
    elif corners is not None:
        low, high = _in_space(corners)
        center, size = 0.5 * (low + high), high - low
    else:
        problem = "how far apart the images of this dislocation are is known only where the mesh is"
        raise CaseError(
            f"dislocations.{line.index}", None, problem, "no dislocations in this periodic or mirrored body"
        )
    axis = AXES[names[0]]
    if names[0] in domain.periodic:
        return (_row(line, axis, float(size[axis])),)
    return _mirrored(_row(line, axis, 2.0 * float(size[axis])), center)


def _row(line: Line, axis: int, period: float) -> Line:
    """The row of a line along an axis; its normal is y."""
    along, up = np.eye(3)[axis], np.eye(3)[1]
    xi = np.cross(along, up)
    b = line.vector / line.burgers if xi @ line.frame[2] > 0.0 else -line.vector / line.burgers
    direction = (float(b @ along), float(b @ up))
    return replace(line, frame=np.array([along, up, xi]), direction=direction, period=period)


def _mirrored(row: Line, center: Array) -> tuple[Line, ...]:
    """A row and its image in the planes of symmetry at a quarter of its period from the center of the body."""
    along, size = row.frame[0], 0.5 * (row.period or 0.0)
    distance = float((row.position - center) @ along)
    for side in (-0.5 * size, 0.5 * size):
        if abs(distance - side) <= NEAR * size:
            if abs(row.direction[1]) > NEAR:
                problem = "this line lies in a plane of symmetry and is not symmetric to it"
                raise CaseError(
                    f"dislocations.{row.index}.burgers", row.vector.tolist(), problem,
                    "a Burgers vector along the normal of that plane, or another position",
                )  # fmt: skip
            return (replace(row, position=row.position - (distance - side) * along),)
    # Mirrored, the density b xi has -M b for the direction of the line that is kept here.
    place = row.position - 2.0 * (distance + 0.5 * size) * along
    return row, replace(row, position=place, direction=(row.direction[0], -row.direction[1]), image=True)


# -- what they bring into the cells of a body --------------------------------------------------------------


def cell_distortion(
    lines: Sequence[Line], vertices: Array, poissons_ratio: float = 0.3, plane: str = "strain", tolerance: float = 1e-5
) -> Array:
    """Mean distortion that dislocations bring into every cell beforehand.

    Linear displacements have a constant gradient per cell, and so must have this: otherwise its variation inside a
    cell would act as a spurious stress (paper 004, section 3.2). A line whose eigenstrain is ``elastic`` brings the
    elastic distortion it has in an infinite medium; one whose eigenstrain is ``slip`` brings minus its slip, -b n W.

    Args:
        lines: Dislocation lines.
        vertices: Corners of the simplices, shape (cells, corners, 3), m.
        poissons_ratio: nu of the infinite medium; any will do, that of the body makes the rest small.
        plane: ``strain`` or ``stress``.
        tolerance: Error of a mean allowed, relative to b/a.

    Returns:
        Shape (cells, 3, 3).
    """
    out = np.zeros((len(vertices), 3, 3))
    for line in lines:
        allowed = tolerance * line.burgers / line.core
        if line.slip:
            density = cell_averages(line.slip_density, vertices, allowed / line.burgers)
            out -= density[:, :, None] * np.outer(line.vector, line.frame[1])
            continue
        entries = np.zeros((len(vertices), len(ENTRIES)))
        function = partial(_entries, line, poissons_ratio, plane)
        rough = _rough_inside(line, vertices, tolerance)
        smooth = np.logical_not(rough)
        entries[smooth] = sampled_averages(function, vertices[smooth])
        entries[rough] = cell_averages(function, vertices[rough], 0.1 * allowed)  # errors of parts of a cell add up
        out += (entries @ _turned(line.frame)).reshape(-1, 3, 3)
    return out


def _rough_inside(line: Line, vertices: Array, tolerance: float) -> Flags:
    """Cells in which one application of the rule is not accurate enough.

    Along any straight path the fields are analytic up to the distance r from the nearest core, r^2 = x^2 + y^2 + a^2.
    In a cell that reaches to d from its center the rule misses less than 0.01 b/r (d/r)^n (found by trial).
    """
    center = vertices.mean(axis=1)
    reach = np.sqrt(np.max(np.sum((vertices - center[:, None]) ** 2, axis=2), axis=1))
    x, y, _ = line.local(center).T
    r = np.sqrt(Row(line.period).nearest(x) ** 2 + y**2 + line.core**2)
    return np.asarray(0.05 * (reach / r) ** ORDER[vertices.shape[1]] * line.core / r >= tolerance)


def cell_eigenstrain(
    lines: Sequence[Line], vertices: Array, poissons_ratio: float = 0.3, plane: str = "strain", tolerance: float = 1e-5
) -> Array:
    """Mean dislocation eigenstrain of every cell: minus the symmetric part of ``cell_distortion``.

    A line whose eigenstrain is ``slip`` gives sym(b n) W (paper 004, eq. 6). One whose eigenstrain is ``elastic``
    gives minus the elastic strain of the line in an infinite medium. The two differ by the strain of
    ``infinite_medium_displacement``, which is compatible: only the displacement notices.

    Args and the shape returned are those of ``cell_distortion``.
    """
    beta = cell_distortion(lines, vertices, poissons_ratio, plane, tolerance)
    return np.asarray(-0.5 * (beta + beta.transpose(0, 2, 1)))


def _entries(line: Line, nu: float, plane: str, points: Array) -> Array:
    x, y, _ = line.local(points).T
    return line.field(1.0, nu, plane).distortion_entries(x, y)


def _turned(frame: Array) -> Array:
    """Matrix from ``ENTRIES`` of a tensor in the frame of a line to its nine entries in space."""
    return np.array([np.outer(frame[i], frame[j]).ravel() for i, j in ENTRIES])


def distortion_at(lines: Sequence[Line], points: npt.ArrayLike, poissons_ratio: float, plane: str = "strain") -> Array:
    """What ``cell_distortion`` takes the mean of, at points of shape (n, 2) or (n, 3), m; shape (n, 3, 3)."""
    x = _in_space(points)
    out = np.zeros((len(x), 9))
    for line in lines:
        if line.slip:
            out -= np.outer(line.slip_density(x), np.outer(line.vector, line.frame[1]))
        else:
            out += _entries(line, poissons_ratio, plane, x) @ _turned(line.frame)
    return out.reshape(-1, 3, 3)


def lift(lines: Sequence[Line], poissons_ratio: float, plane: str, points: npt.ArrayLike) -> Array:
    """Displacement that lines with ``elastic`` eigenstrain leave out of the unknown, shape (n, 3), m.

    On one side of a row it is not periodic: from one period to the next it changes by -b (below, if above is at rest,
    by b).
    """
    unit = Isotropic(youngs_modulus=1.0, poissons_ratio=poissons_ratio)
    return infinite_medium_displacement([line for line in lines if not line.slip], unit, points, plane)


# -- an infinite medium ------------------------------------------------------------------------------------


def _step(y: Array, core: float) -> Array:
    """Integral of W(-inf, y) from y = 0: y (1/c + a^2/(2 c^3))/2, from -1/2 to 1/2."""
    c2 = y**2 + core**2
    return np.asarray(0.5 * y * (1.0 + 0.5 * core**2 / c2) / np.sqrt(c2))


def _in_space(points: npt.ArrayLike) -> Array:
    given = np.atleast_2d(np.asarray(points, dtype=float))
    out = np.zeros((len(given), 3))
    out[:, : given.shape[1]] = given
    return out


def _shear(material: Isotropic) -> float:
    return material.youngs_modulus / (2.0 * (1.0 + material.poissons_ratio))


def infinite_medium_stress(
    lines: Sequence[Line], material: Isotropic, points: npt.ArrayLike, plane: str = "strain"
) -> Array:
    """Stress of dislocations in an infinite isotropic medium; of a row, less its uniform stress on the side at rest.

    Args:
        lines: Dislocation lines (``lines(case)``).
        material: Isotropic elasticity.
        points: Shape (n, 2) or (n, 3), m.
        plane: ``strain`` or ``stress``.

    Returns:
        Shape (n, 3, 3), Pa.
    """
    space = _in_space(points)
    total = np.zeros((len(space), 3, 3))
    for line in lines:
        x, y, _ = line.local(space).T
        stress = line.field(_shear(material), material.poissons_ratio, plane).stress(x, y)
        total += line.frame.T @ stress @ line.frame
    return total


def infinite_medium_displacement(
    lines: Sequence[Line], material: Isotropic, points: npt.ArrayLike, plane: str = "strain"
) -> Array:
    """Displacement of dislocations in an infinite isotropic medium, shape (n, 3), m, up to a rigid motion.

    Far from a row, on the side at rest, nothing moves.
    """
    space = _in_space(points)
    total = np.zeros((len(space), 3))
    for line in lines:
        x, y, _ = line.local(space).T
        total += line.field(_shear(material), material.poissons_ratio, plane).displacement(x, y) @ line.frame
        if line.forward:
            # Slip ahead instead of behind: the half above the plane moves as a whole by -b, spread by the core.
            still = 0.0 if line.period is None else -0.5 * line.rest
            total -= np.outer(_step(y, line.core) - still, line.vector)
    return total


def peach_koehler(stress: Array, line: Line) -> Array:
    """Force of a stress on a line, (sigma b) x xi per length, N/m.

    Args:
        stress: Shape (n, 3, 3), Pa; without that of the line itself.
        line: The line.

    Returns:
        Shape (n, 3).
    """
    return np.cross(stress @ line.vector, line.frame[2])


MANY = 8
"""Lines that the circle holds in which their density is counted; with fewer there is none."""


def local_density(lines: Sequence[Line], points: Array, area: float) -> Array:
    """Length of parallel lines per volume around points, 1/m^2, shape (n,).

    Lines are counted in a circle that holds eight of them on average; it is not cut at the surface of the body.

    Args:
        lines: At least eight parallel lines, without the images of rows.
        points: Shape (n, 3), m.
        area: Of the body's section across the lines, m^2.
    """
    square = MANY * area / (np.pi * len(lines))
    count = np.zeros(len(points))
    for line in lines:
        count += line.distance(points) ** 2 < square
    return np.asarray(count / (np.pi * square))
