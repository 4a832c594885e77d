"""From an image of grain numbers to the planar map of its cells: a staircase with exact areas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.planar import OUTSIDE, PlanarMap
from chemomech.typing import Array, Flags, Longs

type Grid = Literal["square", "hexagonal"]

HOLE: Final = -1
ABSENT: Final = -2
_MOST_CELLS: Final = 100_000_000


@dataclass(frozen=True, eq=False)
class Staircase(PlanarMap):
    """The map of an image: every edge between two cells is one segment.

    Attributes:
        step: Distance of columns and of rows, m.
        grid: ``square``, or ``hexagonal`` with every other row shifted by half a step.
        border: Chains that bound the image; those around holes do not. Shape (chains,).
        cells: Number of cells that are there, holes included.
    """

    step: tuple[float, float]
    grid: Grid
    border: Flags
    cells: int


def from_labels(
    labels: Longs,
    step: float | tuple[float, float] = 1.0,
    origin: tuple[float, float] = (0.0, 0.0),
    *,
    grid: Grid = "square",
    shifted: Literal[0, 1] = 1,
) -> Staircase:
    """The boundaries of an image of grain numbers.

    Corners where four cells of a square grid differ crosswise stay one junction of four chains: nothing crosses.

    Args:
        labels: Grain of each cell, shape (rows, cols); -1 for holes (not indexed), -2 for cells that are not there.
        step: Distance of columns, or of columns and rows, m; the rows of a hexagonal grid are sqrt(3)/2 apart if one
            number is given.
        origin: Centre of the first cell of the first unshifted column, m.
        grid: ``square`` or ``hexagonal``.
        shifted: On a hexagonal grid, whether odd rows (1) or even ones (0) are half a step to the right.

    Raises:
        CaseError: No cells, no grains, steps that are not positive, more than 10^8 cells.
    """
    image = np.asarray(labels)
    if image.ndim != 2 or not np.issubdtype(image.dtype, np.integer):
        raise CaseError("labels", image.shape, "grain numbers in rows and columns are needed", "whole numbers in 2D")
    if image.size > _MOST_CELLS:
        raise CaseError("labels", image.shape, "too many cells", f"at most {_MOST_CELLS}")
    if not np.any(image >= 0):
        raise CaseError("labels", image.shape, "there is no grain", "at least one number that is not negative")
    across, along = _steps(step, grid)
    # Of the cells outside only those that are not there belong to the border; holes are like grains until the end.
    ring = np.pad(np.where(image < 0, np.where(image == HOLE, -2, -1), image).astype(np.int64), 1, constant_values=-1)
    if grid == "square":
        tails, heads, left, right, width = _square(ring)
        scale, shift = np.array([across, along]), np.array([-0.5, -0.5])
    else:
        tails, heads, left, right, width = _hexagonal(ring, shifted)
        scale, shift = np.array([across / 2.0, along / 3.0]), np.array([0.0, 0.0])
    used, numbers = np.unique(np.concatenate([tails, heads]), return_inverse=True)
    tails, heads = numbers[: len(tails)], numbers[len(tails) :]
    places = np.stack([used % width, used // width], axis=1) + shift
    if grid == "hexagonal":
        places -= _HEX_MARGIN
    chains, firsts = _chains(tails, heads, left, right, len(used))
    keep = (left[firsts] >= 0) | (right[firsts] >= 0)
    sides = [np.maximum(side[firsts][keep], OUTSIDE) for side in (left, right)]
    return Staircase(
        points=places * scale + np.asarray(origin, dtype=float),
        chains=tuple(chain for chain, kept in zip(chains, keep, strict=True) if kept),
        left=sides[0],
        right=sides[1],
        step=(across, along),
        grid=grid,
        border=(np.minimum(left, right)[firsts][keep] == -1) | (np.maximum(left, right)[firsts][keep] == -1),
        cells=int(np.count_nonzero(ring != -1)),
    )


def from_points(x: Array, y: Array, labels: Longs, step: float | tuple[float, float], *, grid: Grid) -> Staircase:
    """The boundaries of a map given point by point, in any order; places without a point are not there.

    Args:
        x: Places of the points, m.
        y: Places of the points, m.
        labels: Grain of each point, -1 for holes.
        step: Distance of columns, or of columns and rows, m.
        grid: ``square`` or ``hexagonal``.

    Raises:
        CaseError: Two points at one place, or points that do not lie on such a grid.
    """
    across, along = _steps(step, grid)
    if not len(x) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise CaseError("map", None, "points with places that are numbers are needed", "at least one point")
    row = np.rint((y - y.min()) / along).astype(np.int64)
    column_place = (x - x.min()) / across
    shifted: Literal[0, 1] = 1
    if grid == "hexagonal":
        # The row that begins leftmost is not shifted.
        parity = int(row[np.argmin(x)] % 2)
        shifted = 0 if parity else 1
        column_place = column_place - 0.5 * (row % 2 == shifted)
    column = np.rint(column_place).astype(np.int64)
    off = max(float(np.abs(column_place - column).max()), float(np.abs((y - y.min()) / along - row).max()))
    if off > 0.3:
        raise CaseError(
            "map", step, f"points lie up to {off:.2f} steps beside a {grid} grid", "the true step of the map"
        )
    shape = (int(row.max()) + 1, int(column.max()) + 1)
    if shape[0] * shape[1] > _MOST_CELLS:
        raise CaseError("map", shape, "too many cells", f"at most {_MOST_CELLS}")
    place = row * shape[1] + column
    if len(np.unique(place)) < len(place):
        raise CaseError("map", None, f"{len(place) - len(np.unique(place))} points share a place with another one")
    image = np.full(shape, ABSENT, dtype=np.int64)
    image.ravel()[place] = np.maximum(labels, HOLE)
    return from_labels(image, (across, along), (float(x.min()), float(y.min())), grid=grid, shifted=shifted)


def _steps(step: float | tuple[float, float], grid: Grid) -> tuple[float, float]:
    if grid not in ("square", "hexagonal"):
        raise CaseError("grid", grid, "unknown grid", "'square' or 'hexagonal'")
    both = np.asarray(step, dtype=float)
    if both.shape not in ((), (2,)) or not (np.isfinite(both).all() and (both > 0.0).all()):
        raise CaseError("step", step, "steps must be positive", "one length, or one for columns and one for rows")
    if both.ndim == 0:
        return float(both), float(both) * (1.0 if grid == "square" else np.sqrt(0.75))
    return float(both[0]), float(both[1])


# ---- edges -------------------------------------------------------------------------------------------
type _Edges = tuple[Longs, Longs, Longs, Longs, int]


def _square(ring: Longs) -> _Edges:
    """Ends, grains on the left and right of all edges, and the width by which places were numbered."""
    width = ring.shape[1] - 1
    r, c = np.nonzero(ring[1:-1, :-1] != ring[1:-1, 1:])
    upright = (r * width + c, (r + 1) * width + c, ring[r + 1, c], ring[r + 1, c + 1])
    r, c = np.nonzero(ring[:-1, 1:-1] != ring[1:, 1:-1])
    level = (r * width + c, r * width + c + 1, ring[r + 1, c + 1], ring[r, c + 1])
    tails, heads, left, right = (np.concatenate(both) for both in zip(upright, level, strict=True))
    return tails, heads, left, right, width


_HEX_MARGIN: Final = np.array([8.0, 8.0])


def _hexagonal(ring: Longs, shifted: int) -> _Edges:
    """The same, with places counted in half columns and thirds of rows, and a margin against negative ones."""
    rows, columns = ring.shape
    width = 2 * columns + 16
    found = []
    for up, start, stop in ((0, (1, 1), (1, -1)), (1, (1, 1), (0, 2)), (-1, (0, 2), (-1, 1))):
        # A cell and its neighbour to the right, above right, above left; ends relative to the cell's centre.
        r, c = np.indices(ring.shape).reshape(2, -1)
        odd = ((r - 1) % 2 == shifted).astype(np.int64)
        if up == 0:
            other_r, other_c = r, c + 1
            ends = ((1, -1), (1, 1))
        else:
            other_r, other_c = r + 1, c + odd if up > 0 else c + odd - 1
            ends = (start, stop)
        inside = (other_c >= 0) & (other_c < columns) & (other_r < rows)
        r, c, other_r, other_c, odd = r[inside], c[inside], other_r[inside], other_c[inside], odd[inside]
        differ = ring[r, c] != ring[other_r, other_c]
        r, c, other_r, other_c, odd = r[differ], c[differ], other_r[differ], other_c[differ], odd[differ]
        u, v = 2 * (c - 1) + odd + 8, 3 * (r - 1) + 8
        tail, head = ((v + dv) * width + u + du for du, dv in ends)
        found.append((tail, head, ring[r, c], ring[other_r, other_c]))
    tails, heads, left, right = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return tails, heads, left, right, width


# ---- chains ------------------------------------------------------------------------------------------
def _chains(tails: Longs, heads: Longs, left: Longs, right: Longs, size: int) -> tuple[list[Longs], Longs]:
    """Chain edges up, those with the smaller number on the left walking along; also an edge of each chain.

    ``left`` and ``right`` are put in that order in place, as are the ends.
    """
    turn = left > right
    left[turn], right[turn] = right[turn], left[turn]
    start, stop = np.where(turn, heads, tails), np.where(turn, tails, heads)
    degree = np.bincount(start, minlength=size) + np.bincount(stop, minlength=size)
    passing = degree == 2
    # At a place with two edges between one pair of grains one edge comes and one goes. Where holes meet the border
    # the pairs may differ, and the chain ends.
    comes, goes = np.full(size, -1), np.full(size, -1)
    comes[stop], goes[start] = np.arange(len(stop)), np.arange(len(start))
    passing &= (comes >= 0) & (goes >= 0)
    passing &= (left[comes] == left[goes]) & (right[comes] == right[goes])
    after = np.where(passing[stop], goes[stop], -1)
    begins = np.flatnonzero(~passing[start])
    chains, firsts = [], []
    follow, seen = after.tolist(), np.zeros(len(start), dtype=bool)
    for edge in begins.tolist():
        walk = [edge]
        while (edge := follow[edge]) >= 0:
            walk.append(edge)
        seen[walk] = True
        chains.append(np.append(start[walk], stop[walk[-1]]))
        firsts.append(walk[0])
    for edge in np.flatnonzero(~seen).tolist():
        if seen[edge]:
            continue
        walk = [edge]
        while (edge := follow[edge]) != walk[0]:
            walk.append(edge)
        seen[walk] = True
        chains.append(np.append(start[walk], start[walk[0]]))
        firsts.append(walk[0])
    return chains, np.asarray(firsts, dtype=np.int64)
