"""A measured map: a phase and an orientation at each point of a square or hexagonal grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal

import numpy as np

from chemomech.typing import Array, Flags, Ints, Longs

type Grid = Literal["square", "hexagonal"]

UNINDEXED: Final = -1
ABSENT: Final = -2  # a cell of the image where there is no point at all, as at the ends of hexagonal rows

# Steps in rows and columns, one direction after the other all around, so that opposite ones are half a round apart.
_SQUARE: Final = ((0, 1), (1, 0), (0, -1), (-1, 0))
_DIAGONAL: Final = ((1, 1), (1, -1), (-1, -1), (-1, 1))


@dataclass(frozen=True, eq=False)
class EbsdMap:
    """Points row after row, without gaps: where nothing was measured, a point is there and not indexed.

    Coordinates are those of the file: x to the right, y *down* the picture. Orientations belong to the same axes, with
    z = x × y into the specimen, whatever the file had; so the trace of a crystal plane may be compared with a boundary.

    Attributes:
        x, y: Places, m, shape (n,).
        step: Distance of neighbours in a row, m.
        row_step: Distance of rows, m.
        grid: ``square`` (four neighbours) or ``hexagonal`` (six; every other row is shifted by half a step).
        shape: Rows and columns. A shifted row may have one point less.
        row, column: Of each point, shape (n,).
        shifted: On a hexagonal grid, whether odd rows (1) or even ones (0) are half a step to the right.
        phase: Number of the phase, -1 where not indexed, shape (n,).
        quaternions: Orientations, sample to crystal, shape (n, 4); the identity where not indexed.
        quality: What else was measured, by names in small letters (``ci``, ``iq``, ``fit``, ``mad``, ``bands``, ``bc``,
            ``bs``, ...), each of shape (n,), nan where there is none.
        phases: Name of each phase.
        point_groups: Laue group of each phase, as orix names it.
        warnings: What was wrong with the file and how it was read.
    """

    x: Array
    y: Array
    step: float
    row_step: float
    grid: Grid
    shape: tuple[int, int]
    row: Longs
    column: Longs
    phase: Ints
    quaternions: Array
    phases: tuple[str, ...]
    point_groups: tuple[str, ...]
    shifted: Literal[0, 1] = 1
    quality: Mapping[str, Array] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    @property
    def indexed(self) -> Flags:
        """Which points have a phase and an orientation, shape (n,)."""
        return np.asarray(self.phase >= 0)

    @property
    def cell_area(self) -> float:
        """Area that belongs to a point, m^2."""
        return self.step * self.row_step

    @cached_property
    def image(self) -> Longs:
        """Number of the point in each row and column, -1 where there is none."""
        numbers = np.full(self.shape, -1, np.int64)
        numbers[self.row, self.column] = np.arange(len(self))
        return numbers

    def to_image(self, labels: Longs) -> Longs:
        """Labels of points in rows and columns; -2 where there is no point."""
        picture = np.full(self.shape, ABSENT, np.int64)
        picture[self.row, self.column] = labels
        return picture

    def _shift(self, down: int, right: Longs | int) -> Longs:
        """Number of the point so many rows down and columns to the right of each point, -1 where there is none."""
        row, column = self.row + down, self.column + right
        inside = (row >= 0) & (row < self.shape[0]) & (column >= 0) & (column < self.shape[1])
        found = np.full(len(self), -1, np.int64)
        found[inside] = self.image[row[inside], column[inside]]
        return found

    @cached_property
    def neighbours(self) -> Longs:
        """The four or six next points of each or -1, all around, opposite ones half a round apart; (n, 4 | 6)."""
        if self.grid == "square":
            return np.stack([self._shift(down, right) for down, right in _SQUARE], axis=1)
        moved = (self.row % 2 == self.shifted).astype(np.int64)
        steps: tuple[tuple[int, Longs | int], ...]
        steps = ((0, 1), (1, moved), (1, moved - 1), (0, -1), (-1, moved - 1), (-1, moved))
        return np.stack([self._shift(down, right) for down, right in steps], axis=1)

    @cached_property
    def surroundings(self) -> Longs:
        """The neighbours, on a square grid the diagonal ones too, shape (n, 8 | 6); -1 where there is none."""
        if self.grid == "hexagonal":
            return self.neighbours
        diagonal = np.stack([self._shift(down, right) for down, right in _DIAGONAL], axis=1)
        return np.concatenate([self.neighbours, diagonal], axis=1)

    @cached_property
    def pairs(self) -> Longs:
        """All pairs of neighbours, each once, shape (p, 2)."""
        half = self.neighbours[:, : self.neighbours.shape[1] // 2]
        first, side = np.nonzero(half >= 0)
        return np.stack([first, half[first, side]], axis=1)

    def unindexed(self, points: Flags) -> EbsdMap:
        """The map with these points not indexed."""
        phase, quaternions = self.phase.copy(), self.quaternions.copy()
        phase[points], quaternions[points] = UNINDEXED, (1.0, 0.0, 0.0, 0.0)
        return self.with_values(phase, quaternions)

    def with_values(self, phase: Ints, quaternions: Array) -> EbsdMap:
        """The map with other phases and orientations at the same points."""
        made = replace(self, phase=phase, quaternions=quaternions)
        for name in ("image", "neighbours", "surroundings", "pairs"):
            if name in self.__dict__:  # the grid is the same
                made.__dict__[name] = self.__dict__[name]
        return made
