"""Dislocation lines placed in a body: frames, images, superposed closed forms, known distortion of every cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from chemomech.case import Case, Dislocation
from chemomech.case.parts import Box, Domain, Rectangle
from chemomech.case.regions import AXES, NEAR
from chemomech.defects.across import Across
from chemomech.defects.analytic import ENTRIES, EdgeField, step
from chemomech.defects.bundles import Displacement, Elastic, Slip
from chemomech.defects.many import blocks, cell_sums, point_sums, reaches
from chemomech.defects.rows import Row
from chemomech.defects.simplex import ORDER, Simplices, averages, cell_averages, rule, sampled_averages
from chemomech.errors import CaseError
from chemomech.materials.laws import Isotropic
from chemomech.typing import Array, Flags, Longs


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


def _with_images(line: Line, domain: Domain, corners: npt.ArrayLike | None) -> tuple[Line, ...]:
    names = [name for name in (*domain.periodic, *domain.mirror) if abs(line.frame[2, AXES[name]]) < 0.5]
    if not names:
        return (line,)
    if isinstance(domain, Rectangle | Box):
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
    lines: Sequence[Line], vertices: Array | Simplices, poissons_ratio: float = 0.3, plane: str = "strain",
    tolerance: float = 1e-5, out: Array | None = None,
) -> Array:  # fmt: skip
    """Mean distortion that dislocations bring into every cell beforehand.

    Linear displacements have a constant gradient per cell, and so must have this: otherwise its variation inside a
    cell would act as a spurious stress (paper 004, section 3.2). A line whose eigenstrain is ``elastic`` brings the
    elastic distortion it has in an infinite medium; one whose eigenstrain is ``slip`` brings minus its slip, -b n W.

    Args:
        lines: Dislocation lines.
        vertices: Corners of the simplices, shape (cells, corners, 3), m.
        poissons_ratio: nu of the infinite medium; any will do, that of the body makes the rest small.
        plane: ``strain`` or ``stress``.
        tolerance: Error of a mean allowed per line, relative to b/a.
        out: Where to write the result, if there is an array for it.

    Returns:
        Shape (cells, 3, 3).
    """
    if out is None:
        out = np.empty((len(vertices), 3, 3))
    few, many = _gathered(lines)
    for some in blocks(len(vertices)):
        out[some] = _distortion_of(few, vertices[some], poissons_ratio, plane, tolerance)
    corners, weights = rule(vertices.shape[1])
    for parallel in many:
        bundle = _bundle(parallel, poissons_ratio, plane)
        add, refine = partial(_add_distortion, bundle, plane, out[:, None]), partial(_refined, bundle, tolerance)
        cell_sums(bundle, vertices, corners, weights[:, None], tolerance, add, refine)
    return out


def _add_distortion(bundle: Elastic | Slip, plane: str, out: Array, cells: Longs, values: Array) -> None:
    out[cells] += bundle.distortion(values.reshape(len(values), -1), plane).reshape(*values.shape[1:], 3, 3)


def _distortion_of(lines: Sequence[Line], vertices: Array, nu: float, plane: str, tolerance: float) -> Array:
    """The sum over lines, one by one."""
    out = np.zeros((len(vertices), 3, 3))
    for line in lines:
        allowed = tolerance * line.burgers / line.core
        if line.slip:
            density = cell_averages(line.slip_density, vertices, allowed / line.burgers)
            out -= density[:, :, None] * np.outer(line.vector, line.frame[1])
            continue
        entries = np.zeros((len(vertices), len(ENTRIES)))
        function = partial(_entries, line, nu, plane)
        center = vertices.mean(axis=1)
        x, y, _ = line.local(center).T
        r = np.sqrt(Row(line.period).nearest(x) ** 2 + y**2 + line.core**2)
        rough = _rough(r, line.core, reaches(vertices), tolerance, ORDER[vertices.shape[1]])
        smooth = np.logical_not(rough)
        entries[smooth] = sampled_averages(function, vertices[smooth])
        entries[rough] = cell_averages(function, vertices[rough], 0.1 * allowed)  # errors of parts of a cell add up
        out += (entries @ _turned(line.frame)).reshape(-1, 3, 3)
    return out


def _refined(
    bundle: Elastic | Slip, tolerance: float, vertices: Array, owner: Longs, which: Longs
) -> tuple[Flags, Array]:
    """Pairs whose mean is not accurate by one application of the rule, and these means (4, those, 1).

    Args:
        bundle: The lines.
        tolerance: As of ``cell_distortion``.
        vertices: Corners of some simplices.
        owner: Number of the simplex of each pair.
        which: Number of the line of each pair.
    """
    allowed = tolerance * bundle.strength[which] / bundle.core[which]
    if isinstance(bundle, Slip):
        rough = np.ones(len(which), dtype=bool)
    else:
        r = bundle.distance(bundle.flat(vertices.mean(axis=1))[owner], which)
        rough = _rough(r, bundle.core[which], reaches(vertices)[owner], tolerance, ORDER[vertices.shape[1]])
        allowed = 0.1 * allowed
    lines = which[rough]

    def values(x: Array, pair: Longs) -> Array:
        return bundle.evaluate(bundle.flat(x)[:, None], lines[pair])[..., 0].T

    return rough, averages(values, vertices[owner[rough]], allowed[rough]).T[..., None]


def _rough(r: Array, core: Array | float, reach: Array, tolerance: float, order: int) -> Flags:
    """Cells in which one application of the rule is not accurate enough.

    Along any straight path the fields are analytic up to the distance r from the nearest core, r^2 = x^2 + y^2 + a^2.
    In a cell that reaches to d from its center the rule misses less than 0.01 b/r (d/r)^n (found by trial).
    """
    return np.asarray(0.05 * (reach / r) ** order * core / r >= tolerance)


FEW = 20
"""Up to so many parallel lines are summed one by one."""


def _gathered(lines: Sequence[Line]) -> tuple[list[Line], list[list[Line]]]:
    """Lines that have few others parallel to them, and the others, those of one direction, period and kind together."""
    if len(lines) <= FEW:
        return list(lines), []
    groups: list[list[Line]] = []
    for line in lines:
        for group in groups:
            first = group[0]
            parallel = abs(first.frame[2] @ line.frame[2]) > 1.0 - 1e-14
            if parallel and (first.period, first.slip) == (line.period, line.slip):
                group.append(line)
                break
        else:
            groups.append([line])
    few = [line for group in groups if len(group) <= FEW for line in group]
    return few, [group for group in groups if len(group) > FEW]


def _bundle(lines: Sequence[Line], nu: float, plane: str) -> Elastic | Slip:
    return (Slip if lines[0].slip else Elastic).of(lines, nu, plane)


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
    few, many = _gathered(lines)
    for some in blocks(len(x)):
        for line in few:
            if line.slip:
                out[some] -= np.outer(line.slip_density(x[some]), np.outer(line.vector, line.frame[1]))
            else:
                out[some] += _entries(line, poissons_ratio, plane, x[some]) @ _turned(line.frame)
    for parallel in many:
        bundle = _bundle(parallel, poissons_ratio, plane)
        out += bundle.distortion(point_sums(bundle, x), plane).reshape(-1, 9)
    return out.reshape(-1, 3, 3)


def distortion_in_cells(
    lines: Sequence[Line], vertices: Array | Simplices, corners: Array, poissons_ratio: float, plane: str = "strain",
    tolerance: float = 1e-6, out: Array | None = None,
) -> Array:  # fmt: skip
    """``distortion_at`` at some points of every cell.

    Args:
        lines: Dislocation lines.
        vertices: Corners of the simplices, shape (cells, corners, 3), m.
        corners: Barycentric coordinates of the points, shape (q, corners).
        poissons_ratio: nu of the infinite medium.
        plane: ``strain`` or ``stress``.
        tolerance: Error allowed per line, relative to b/a, where there are more than ``FEW`` parallel ones.
        out: Where to write the result, if there is an array for it.

    Returns:
        Shape (cells, q, 3, 3).
    """
    q = len(corners)
    if out is None:
        out = np.empty((len(vertices), q, 3, 3))
    few, many = _gathered(lines)
    for some in blocks(len(vertices)):
        points = (corners @ vertices[some]).reshape(-1, 3)
        out[some] = distortion_at(few, points, poissons_ratio, plane).reshape(-1, q, 3, 3)
    for parallel in many:
        bundle = _bundle(parallel, poissons_ratio, plane)
        cell_sums(bundle, vertices, corners, np.eye(q), tolerance, partial(_add_distortion, bundle, plane, out))
    return out


def lift(lines: Sequence[Line], poissons_ratio: float, plane: str, points: npt.ArrayLike) -> Array:
    """Displacement that lines with ``elastic`` eigenstrain leave out of the unknown, shape (n, 3), m.

    On one side of a row it is not periodic: from one period to the next it changes by -b (below, if above is at rest,
    by b).
    """
    unit = Isotropic(youngs_modulus=1.0, poissons_ratio=poissons_ratio)
    return infinite_medium_displacement([line for line in lines if not line.slip], unit, points, plane)


# -- an infinite medium ------------------------------------------------------------------------------------


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
    nu = material.poissons_ratio
    few, many = _gathered([replace(line, slip=False) for line in lines])
    for some in blocks(len(space)):
        for line in few:
            x, y, _ = line.local(space[some]).T
            total[some] += line.frame.T @ line.field(_shear(material), nu, plane).stress(x, y) @ line.frame
    for parallel in many:
        bundle = Elastic.of(parallel, nu, plane)
        total += bundle.stress(point_sums(bundle, space), _shear(material), plane)
    return total


def infinite_medium_displacement(
    lines: Sequence[Line], material: Isotropic, points: npt.ArrayLike, plane: str = "strain"
) -> Array:
    """Displacement of dislocations in an infinite isotropic medium, shape (n, 3), m, up to a rigid motion.

    Far from a row, on the side at rest, nothing moves.
    """
    space = _in_space(points)
    total = np.zeros((len(space), 3))
    few, many = _gathered([replace(line, slip=False) for line in lines])
    for some in blocks(len(space)):
        for line in few:
            x, y, _ = line.local(space[some]).T
            field = line.field(_shear(material), material.poissons_ratio, plane)
            total[some] += field.displacement(x, y) @ line.frame
            if line.forward:
                # Slip ahead instead of behind: the half above the plane moves as a whole by -b, spread by the core.
                still = 0.0 if line.period is None else -0.5 * line.rest
                total[some] -= np.outer(step(y, line.core) - still, line.vector)
    for parallel in many:
        bundle = Displacement.of(parallel, material.poissons_ratio, plane)
        total += point_sums(bundle, space).T @ bundle.basis[:2]
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
    places = np.array([line.position for line in lines])
    count = Across(places, lines[0]).count(points, np.sqrt(square))
    return np.asarray(count / (np.pi * square))
