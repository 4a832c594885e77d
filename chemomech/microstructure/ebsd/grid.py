"""From loose points to rows and columns: the grid is found from the coordinates, whatever a header says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.ebsd.map import UNINDEXED, EbsdMap, Grid
from chemomech.typing import Array, Ints, Longs

_OFF_GRID: Final = 0.25  # steps a point may be off its place: coordinates in files are rounded
_EMPTY: Final = 4.0  # cells per point from which on the coordinates are taken to be wrong
_COORDINATES: Final = "points on a square or hexagonal grid, x along the rows"


@dataclass(frozen=True)
class Points:
    """What a file holds, in its order, before it is a map; units and frames are those of `EbsdMap`.

    Attributes:
        x, y: m, finite.
        phase: -1 where not indexed.
        quaternions: Sample to crystal.
        quality: By name.
        phases, point_groups: One per phase.
        claims: What the header says of ``columns``, ``rows``, ``step`` and ``row_step`` (m), where it does.
    """

    x: Array
    y: Array
    phase: Ints
    quaternions: Array
    phases: tuple[str, ...]
    point_groups: tuple[str, ...]
    quality: Mapping[str, Array]
    claims: Mapping[str, float]


@dataclass(frozen=True)
class _Layout:
    grid: Grid
    shifted: Literal[0, 1]
    step: float
    row_step: float
    row: Longs
    column: Longs


def lay_out(points: Points, warnings: Sequence[str] = (), file: str | Path | None = None) -> EbsdMap:
    """The map of these points.

    Points measured twice count once, cells without a point get one that is not indexed, and claims of a header that
    do not fit the coordinates are passed over: all with a warning.

    Raises:
        CaseError: The points lie on a line, on no grid, or fill less than a quarter of it; none of them is indexed.
    """
    said = list(warnings)
    try:
        found = _find(points.x, points.y)
    except CaseError as error:
        raise error.located(file, None) from None
    if not (points.phase >= 0).any():
        raise CaseError("map", len(points.x), "none of the points is indexed", "at least one orientation", file=file)
    rows, columns = int(found.row.max()) + 1, int(found.column.max()) + 1
    cell = found.row * columns + found.column
    _, first = np.unique(cell, return_index=True)
    if len(first) < len(cell):
        said.append(f"{len(cell) - len(first)} points lie where there is one already: the first one counts")
    longest = {parity: _length(found, parity, columns) for parity in (0, 1)}
    width = np.array([longest[row % 2] for row in range(rows)])
    row = np.repeat(np.arange(rows), width)
    column = np.arange(len(row)) - np.repeat(np.cumsum(width) - width, width)
    source = np.full(rows * columns, -1, np.int64)
    source[cell[first]] = first
    source = source[row * columns + column]
    given = source >= 0
    if not given.all():
        said.append(f"{int((~given).sum())} of {len(row)} places of the grid have no point: taken as not indexed")
    _compare(points.claims, found, (rows, columns), said)
    if found.grid == "square" and abs(found.row_step / found.step - 1.0) > 0.01:
        said.append(f"the cells are no squares: {found.step:.6g} m along the rows, {found.row_step:.6g} m across")
    if found.grid == "hexagonal" and abs(found.row_step / found.step / np.sqrt(0.75) - 1.0) > 0.02:
        said.append(f"the hexagons are not regular: {found.step:.6g} m along the rows, {found.row_step:.6g} m across")
    start = np.array([points.x.min(), points.y.min()])
    moved = 0.5 * (row % 2 == found.shifted) if found.grid == "hexagonal" else 0.0
    phase = np.where(given, points.phase[source], UNINDEXED).astype(np.int32)
    quaternions = np.where((phase >= 0)[:, None], points.quaternions[source], [1.0, 0.0, 0.0, 0.0])
    return EbsdMap(
        x=start[0] + found.step * (column + moved),
        y=start[1] + found.row_step * row,
        step=found.step,
        row_step=found.row_step,
        grid=found.grid,
        shape=(rows, columns),
        row=row,
        column=column,
        shifted=found.shifted,
        phase=phase,
        quaternions=np.ascontiguousarray(quaternions),
        phases=points.phases,
        point_groups=points.point_groups,
        quality={name: np.where(given, values[source], np.nan) for name, values in points.quality.items()},
        warnings=tuple(said),
    )


def _length(found: _Layout, parity: int, columns: int) -> int:
    if found.grid == "square":
        return columns
    here = found.column[found.row % 2 == parity]
    return int(here.max()) + 1 if len(here) else columns


def _spacing(values: Array, tolerance: float) -> float:
    """Median of the gaps between values that differ; 0 if they do not."""
    gaps = np.diff(np.sort(values))
    gaps = gaps[gaps > tolerance]
    return float(np.median(gaps)) if len(gaps) else 0.0


def _numbered(values: Array, step: float) -> tuple[Longs, float]:
    """Whole number of steps from the least value, and the step that fits best; the numbers are -1 if none does."""
    away = values - values.min()
    count = round(float(away.max()) / step)
    if count:
        step = float(away.max()) / count
    numbers = np.round(away / step)
    return (numbers if np.abs(away / step - numbers).max() <= _OFF_GRID else numbers * 0 - 1).astype(np.int64), step


def _find(x: Array, y: Array) -> _Layout:
    extent = float(max(np.ptp(x), np.ptp(y)))
    tolerance = 1e-6 * extent
    row_step = _spacing(y, tolerance)
    if extent == 0.0 or row_step == 0.0:
        raise CaseError("map", len(x), "all points lie on one line", _COORDINATES)
    if np.ptp(y) / row_step > _EMPTY * len(x):
        raise CaseError("map", len(x), "the coordinates do not fit the number of points", _COORDINATES)
    row, row_step = _numbered(y, row_step)
    if row[0] < 0:
        raise CaseError("map", len(x), "the rows are not equally far apart", _COORDINATES)
    order = np.lexsort((x, row))
    gaps = np.diff(x[order])[np.diff(row[order]) == 0]
    gaps = gaps[gaps > tolerance]
    if not len(gaps):
        raise CaseError("map", len(x), "all points lie on one line", _COORDINATES)
    step = float(np.median(gaps))
    if np.ptp(x) / step * np.ptp(y) / row_step > max(_EMPTY * len(x), 100.0):
        raise CaseError("map", len(x), "the points fill less than a quarter of their rectangle", _COORDINATES)
    grid, shifted, step, column = _columns(x, row, step)
    return _Layout(grid, shifted, step, row_step, row, column)


def _columns(x: Array, row: Longs, step: float) -> tuple[Grid, Literal[0, 1], float, Longs]:
    halves, half = _numbered(x, 0.5 * step)
    if halves[0] < 0:
        raise CaseError("map", len(x), "the points of a row are not equally far apart", _COORDINATES)
    odd = [float(np.mean(halves[row % 2 == parity] % 2)) if (row % 2 == parity).any() else 0.0 for parity in (0, 1)]
    whole = tuple(round(share) for share in odd)
    if whole[0] == whole[1]:  # a point on the left edge is even, so both are
        column, square = _numbered(x, step)
        if column[0] < 0 or max(odd) > 0.01:
            raise CaseError("map", len(x), "the points of a row are not equally far apart", _COORDINATES)
        return "square", 1, square, column
    shifted: Literal[0, 1] = 1 if whole[1] else 0
    if odd[shifted] < 0.99 or odd[1 - shifted] > 0.01:
        raise CaseError("map", len(x), "the rows are shifted against each other without order", _COORDINATES)
    return "hexagonal", shifted, 2.0 * half, halves // 2


def _compare(claims: Mapping[str, float], found: _Layout, shape: tuple[int, int], said: list[str]) -> None:
    true = {"step": found.step, "row_step": found.row_step, "rows": shape[0], "columns": shape[1]}
    words = {"step": "the step along x", "row_step": "the step along y", "rows": "rows", "columns": "columns"}
    wrong = []
    for name, value in claims.items():
        slack = 0.01 * true[name] if "step" in name else 0.5
        if np.isfinite(value) and abs(value - true[name]) > slack:
            told, is_so = (f"{v:.6g} m" if "step" in name else f"{v:.0f}" for v in (value, true[name]))
            wrong.append(f"{words[name]} {told} (the points say {is_so})")
    if wrong:
        said.append("the header does not match the data, which are trusted: " + "; ".join(wrong))
