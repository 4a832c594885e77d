"""Stacks of sections: maps of parallel planes become one body of voxels, its grains, and tetrahedra that fill them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.classes import DEFAULT_RULES, Rule
from chemomech.microstructure.ebsd.map import EbsdMap
from chemomech.microstructure.ebsd.segmentation import MapGrains, grains_of
from chemomech.microstructure.solid import CellComplex
from chemomech.microstructure.structure import Microstructure
from chemomech.typing import Array, Longs

_MOST_CELLS = 50_000_000


@dataclass(frozen=True, eq=False)
class EbsdStack(EbsdMap):
    """Sections of a body one below the other; clean-up and segmentation take it like a map.

    Rows are counted on from section to section. Points have neighbours in the sections above and below.

    Attributes:
        planes: Number of sections.
        spacing: Distance of sections, m.
    """

    planes: int = 1
    spacing: float = 1.0

    @property
    def rows(self) -> int:
        """Rows of one section."""
        return self.shape[0] // self.planes

    @property
    def steps(self) -> tuple[float, float, float]:
        """Distances of points along x, y and z, m."""
        return self.step, self.row_step, self.spacing

    @property
    def cell_area(self) -> float:
        """Volume that belongs to a point, m^3."""
        return self.step * self.row_step * self.spacing

    @cached_property
    def neighbours(self) -> Longs:
        """The next points right, down, below, left, up, above; or -1. Shape (n, 6)."""
        found = [self._shift(*steps) for steps in ((0, 1), (1, 0), (self.rows, 0), (0, -1), (-1, 0), (-self.rows, 0))]
        row = self.row % self.rows
        found[1] = np.where(row == self.rows - 1, -1, found[1])
        found[4] = np.where(row == 0, -1, found[4])
        return np.stack(found, axis=1)

    @cached_property
    def surroundings(self) -> Longs:
        """The same."""
        return self.neighbours

    def to_volume(self, labels: Longs) -> Longs:
        """Labels of points in planes, rows and columns; -2 where there is no point."""
        return self.to_image(labels).reshape(self.planes, self.rows, self.shape[1])


def stacked(maps: Sequence[EbsdMap], spacing: float) -> EbsdStack:
    """Put sections one below the other, the first point of each below that of the one before.

    Args:
        maps: Square maps with the same rows, columns, steps and phases, from the surface down. They must be aligned.
        spacing: Distance of sections, m.

    Raises:
        CaseError: No maps, or maps that do not fit each other.
    """
    if not len(maps):
        raise CaseError("sections", 0, "there are no sections", "one map or more")
    if not (np.isfinite(spacing) and spacing > 0.0):
        raise CaseError("spacing", spacing, "must be positive", "the distance of sections in m")
    first = maps[0]
    for number, other in enumerate(maps):
        if other.grid != "square":
            raise CaseError(f"sections.{number}", other.grid, "sections on a hexagonal grid", "square grids")
        if other.shape != first.shape:
            raise CaseError(
                f"sections.{number}", other.shape, "rows and columns differ", f"{first.shape}, as the first"
            )
        if not np.allclose((other.step, other.row_step), (first.step, first.row_step), rtol=0.01):
            raise CaseError(f"sections.{number}", (other.step, other.row_step), "the steps differ from the first")
        if (other.phases, other.point_groups) != (first.phases, first.point_groups):
            raise CaseError(f"sections.{number}", other.phases, "the phases differ", f"{first.phases}, as the first")
    rows, columns = first.shape
    names = set.intersection(*(set(one.quality) for one in maps))
    return EbsdStack(
        x=np.tile(first.x, len(maps)),
        y=np.tile(first.y, len(maps)),
        step=first.step,
        row_step=first.row_step,
        grid="square",
        shape=(rows * len(maps), columns),
        row=np.concatenate([one.row + rows * number for number, one in enumerate(maps)]),
        column=np.concatenate([one.column for one in maps]),
        phase=np.concatenate([one.phase for one in maps]),
        quaternions=np.concatenate([one.quaternions for one in maps]),
        phases=first.phases,
        point_groups=first.point_groups,
        quality={name: np.concatenate([one.quality[name] for one in maps]) for name in sorted(names)},
        warnings=tuple(dict.fromkeys(word for one in maps for word in one.warnings)),
        planes=len(maps),
        spacing=float(spacing),
    )


def stack_to_structure(
    stack: EbsdStack,
    labels: Longs,
    *,
    grains: MapGrains | None = None,
    rules: Sequence[Rule] = DEFAULT_RULES,
) -> Microstructure:
    """The grains of a stack, bounded by faces of voxels.

    Args:
        stack: The sections.
        labels: Grain of each point from 0, as `segment` gives it, -1 for none (a hole), shape (n,).
        grains: Phases and orientations of the grains, if they are known already.
        rules: How boundaries are classified.

    Raises:
        CaseError: Labels that do not fit the stack.
    """
    known = grains_of(stack, labels) if grains is None else grains
    body = voxel_complex(stack.to_volume(labels), stack.steps, _origin(stack))
    return Microstructure.from_geometry(
        body, stack.phases, known.phase, known.orientations, stack.point_groups, rules=rules
    )


def stack_cells(stack: EbsdStack, labels: Longs, size: float | None = None) -> tuple[Array, Longs, Longs]:
    """Tetrahedra in the voxels of a stack, as `voxel_cells` gives them."""
    return voxel_cells(stack.to_volume(labels), stack.steps, _origin(stack), size)


def _origin(stack: EbsdStack) -> tuple[float, float, float]:
    return float(stack.x.min()), float(stack.y.min()), 0.0


def _checked(labels: Longs) -> Longs:
    volume = np.asarray(labels)
    if volume.ndim != 3 or not np.issubdtype(volume.dtype, np.integer) or not np.any(volume >= 0):
        raise CaseError("labels", volume.shape, "grain numbers in planes, rows and columns are needed", "numbers in 3D")
    return np.asarray(np.maximum(volume, -1), dtype=np.int64)


def voxel_complex(
    labels: Longs, steps: tuple[float, float, float], origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> CellComplex:
    """The grains of a volume of labels, with the faces of its voxels.

    Args:
        labels: Grain of each voxel, negative for none, shape (planes, rows, columns).
        steps: Distances of voxels along x, y and z, m.
        origin: Centre of the first voxel, m.

    Raises:
        CaseError: No grain, or labels that are no volume.
    """
    ring = np.pad(_checked(labels), 1, constant_values=-1).transpose(2, 1, 0)
    shape = np.array(ring.shape) - 1
    faces, left, right = [], [], []
    for axis in range(3):
        one, other = (np.moveaxis(ring, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        place = np.stack(np.nonzero(one != other))
        # The corner of the face nearest to the origin, counted in corners of voxels.
        corner = np.empty_like(place)
        corner[axis] = place[0]
        rest = [k for k in range(3) if k != axis]
        corner[rest[0]], corner[rest[1]] = place[1] - 1, place[2] - 1
        second, third = np.zeros((3, 1), np.int64), np.zeros((3, 1), np.int64)
        second[(axis + 1) % 3] = third[(axis + 2) % 3] = 1
        around = [corner, corner + second, corner + second + third, corner + third]
        faces.append(np.stack([np.ravel_multi_index(tuple(c), tuple(shape)) for c in around], axis=1))
        left.append(one[tuple(place)])
        right.append(other[tuple(place)])
    used, numbers = np.unique(np.concatenate(faces), return_inverse=True)
    corners = np.stack(np.unravel_index(used, tuple(shape)), axis=1)
    return CellComplex(
        points=(corners - 0.5) * np.asarray(steps) + np.asarray(origin),
        faces=tuple(numbers.reshape(-1, 4).astype(np.int64)),
        left=np.concatenate(left),
        right=np.concatenate(right),
    )


# Corners of a cube as x + 2 y + 4 z; four tetrahedra at corners and one between them, and the same mirrored.
_EVEN = np.array([[0, 1, 2, 4], [3, 2, 1, 7], [5, 4, 7, 1], [6, 7, 4, 2], [1, 2, 4, 7]])
_FIVE = np.stack([_EVEN, (_EVEN ^ 1)[:, [0, 1, 3, 2]]])


def voxel_cells(
    labels: Longs,
    steps: tuple[float, float, float],
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    size: float | None = None,
) -> tuple[Array, Longs, Longs]:
    """Five tetrahedra in each voxel, mirrored from voxel to voxel, so that they fit.

    Args:
        labels: Grain of each voxel, negative for none, shape (planes, rows, columns).
        steps: Distances of voxels along x, y and z, m.
        origin: Centre of the first voxel, m.
        size: Voxels with edges longer than this are cut into equal parts, m.

    Returns:
        Points, m, shape (n, 3), positively oriented cells, shape (m, 4), and their grains, shape (m,).

    Raises:
        CaseError: No grain, a size that is not positive, or more than 50 million voxels.
    """
    volume = _checked(labels).transpose(2, 1, 0)
    step, parts = np.asarray(steps, dtype=float), np.ones(3, dtype=np.int64)
    if size is not None:
        if not (np.isfinite(size) and size > 0.0):
            raise CaseError("size", size, "must be positive", "a length in m")
        parts = np.ceil(step / size * (1.0 - 1e-9)).astype(np.int64)
    if volume.size * float(parts.prod()) > _MOST_CELLS:
        raise CaseError("size", size, "too many voxels", f"at most {_MOST_CELLS}, so a larger size")
    for axis in range(3):
        volume = np.repeat(volume, parts[axis], axis=axis)
    place = np.stack(np.nonzero(volume >= 0))
    shape = tuple(n + 1 for n in volume.shape)
    bits = np.stack([np.arange(8) & 1, np.arange(8) >> 1 & 1, np.arange(8) >> 2], axis=0)
    corners = np.ravel_multi_index(tuple(place[:, :, None] + bits[:, None, :]), shape)
    chosen = _FIVE[place.sum(axis=0) % 2].reshape(-1, 20)
    cells = np.take_along_axis(corners, chosen, axis=1).reshape(-1, 4)
    used, numbers = np.unique(cells, return_inverse=True)
    lattice = np.stack(np.unravel_index(used, shape), axis=1)
    points = (lattice / parts - 0.5) * step + np.asarray(origin)
    return points, numbers.reshape(-1, 4).astype(np.int64), np.repeat(volume[tuple(place)], 5)
