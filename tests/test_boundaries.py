"""From images of grain numbers to smooth boundaries: areas are kept, nothing crosses, hostile images included."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from chemomech.errors import CaseError
from chemomech.microstructure.boundaries import Grid, PlanarMap, from_labels, from_points, resample, smooth
from chemomech.typing import Longs

GRIDS: list[Grid] = ["square", "hexagonal"]
MAPS = Path(os.environ.get("CHEMOMECH_EBSD", Path(__file__).resolve().parents[2] / "shared/ebsd"))


def disc(radius: float, cells: int = 60) -> Longs:
    y, x = np.mgrid[:cells, :cells]
    return ((x - cells / 2 + 0.3) ** 2 + (y - cells / 2 - 0.2) ** 2 < radius**2).astype(np.int64)


def voronoi(cells: int, grains: int, grid: Grid = "square") -> Longs:
    y, x = np.mgrid[:cells, :cells].astype(float)
    if grid == "hexagonal":
        x, y = x + 0.5 * (y % 2), y * np.sqrt(0.75)
    seeds = np.random.default_rng(0).random((grains, 2)) * [x.max(), y.max()]
    return np.asarray(cKDTree(seeds).query(np.stack([x.ravel(), y.ravel()], axis=1))[1]).reshape(cells, cells)


def noise(values: int, low: int = 0, cells: int = 20) -> Longs:
    return np.random.default_rng(values).integers(low, values, (cells, cells))


def thin() -> Longs:
    labels = np.zeros((20, 20), dtype=np.int64)
    steps = np.arange(19)
    labels[steps, steps] = labels[steps, steps + 1] = 1
    labels[15, :12] = 2
    labels[3:17, 17] = 3
    return labels


def nested() -> Longs:
    """Islands in islands, one of a single cell, some at the border, one of which touches another at a corner."""
    labels = np.zeros((15, 17), dtype=np.int64)
    labels[2:13, 3:14] = 1
    labels[4:11, 5:12] = 2
    labels[7, 8] = 3
    labels[:2, :3] = 4
    labels[13:, 14:] = 5
    labels[5:7, :1] = 6
    return labels


IMAGES = {
    "disc": disc(20),
    "small disc": disc(3, 9),
    "dot": disc(0.9, 7),
    "voronoi": voronoi(60, 40),
    "two, at random": noise(2),
    "four, at random": noise(4),
    "all different": np.arange(400).reshape(20, 20),
    "holes": noise(5, -1),
    "holes and gaps": noise(5, -2),
    "one grain": np.zeros((3, 4), dtype=np.int64),
    "one cell": np.zeros((1, 1), dtype=np.int64),
    "one row": np.array([[0, 0, 1, 0, 2]]),
    "thin": thin(),
    "stripes": np.mgrid[:9, :9][0] % 3,
    "chessboard": np.add.outer(np.arange(8), np.arange(8)) % 2,
    "nested": nested(),
    "large numbers": voronoi(20, 6) * 1000 + 7,
}
images = pytest.mark.parametrize("name", IMAGES)
grids = pytest.mark.parametrize("grid", GRIDS)


def stepped(name: str, grid: Grid) -> PlanarMap:
    return from_labels(IMAGES[name], 0.3e-6, (5e-6, -7e-6), grid=grid)


def counted(name: str, grid: Grid) -> np.ndarray:
    labels = IMAGES[name]
    return np.unique(labels[labels >= 0], return_counts=True)[1] * 0.09e-12 * (np.sqrt(0.75) if grid != "square" else 1)


def moved(plane: PlanarMap, areas: np.ndarray) -> float:
    return float(np.abs(plane.areas / areas - 1.0).max())


# ---- the staircase -----------------------------------------------------------------------------------
@grids
@images
def test_the_staircase_is_a_partition_with_the_areas_of_its_cells(name: str, grid: Grid) -> None:
    plane = stepped(name, grid)
    plane.check()
    labels = IMAGES[name]
    assert plane.grains.tolist() == np.unique(labels[labels >= 0]).tolist()
    assert moved(plane, counted(name, grid)) < 1e-12
    ends = set(plane.ends.ravel().tolist())
    for chain in plane.chains:
        assert not ends & set(chain[1:-1].tolist())
        assert len(set(chain[:-1].tolist())) == len(chain) - 1


@images
def test_lengths_and_centres_of_the_staircase(name: str) -> None:
    plane, labels = stepped(name, "square"), IMAGES[name]
    ring = np.pad(np.maximum(labels, -1), 1, constant_values=-1)
    for pair in {tuple(sorted(pair)) for pair in zip(plane.left.tolist(), plane.right.tolist(), strict=True)}:
        steps = sum(
            np.count_nonzero((np.minimum(a, b) == pair[0]) & (np.maximum(a, b) == pair[1]))
            for a, b in ((ring[1:], ring[:-1]), (ring[:, 1:], ring[:, :-1]))
        )
        assert plane.boundary_length(pair) == pytest.approx(0.3e-6 * steps, rel=1e-12, abs=0.0)
    for grain, centre in zip(plane.grains, plane.centroids, strict=True):
        row, column = np.nonzero(labels == grain)
        expected = 0.3e-6 * column.mean() + 5e-6, 0.3e-6 * row.mean() - 7e-6
        assert centre == pytest.approx(expected, rel=1e-9, abs=0.0)


@grids
@images
def test_loops_are_simple_and_add_up(name: str, grid: Grid) -> None:
    plane = stepped(name, grid)
    used = []
    for grain in plane.grains.tolist():
        areas = []
        for loop in plane.loops(grain):
            used += [(chain, way) for chain, way in loop]
            numbers = plane.polygon(loop)
            assert len(set(numbers.tolist())) == len(numbers)
            x, y = (plane.points[numbers] - plane.points[numbers[0]]).T
            areas.append(0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))
        assert areas == pytest.approx(sorted(areas, reverse=True), rel=1e-9, abs=0.0)
        assert sum(areas) == pytest.approx(plane.area(grain), rel=1e-9, abs=0.0)
    inner = [(c, 1) for c in np.flatnonzero(plane.left >= 0)] + [(c, -1) for c in np.flatnonzero(plane.right >= 0)]
    assert sorted(used) == sorted(inner)


def test_junctions() -> None:
    plane = from_labels(np.array([[0, 0, 1], [2, 3, 1]]))
    where = {
        tuple(p): g for p, g in zip(plane.points[plane.junctions()].tolist(), plane.junction_grains(), strict=True)
    }
    assert where == {
        (-0.5, 0.5): (-1, 0, 2),
        (0.5, 0.5): (0, 2, 3),
        (1.5, 0.5): (0, 1, 3),
        (1.5, -0.5): (-1, 0, 1),
        (0.5, 1.5): (-1, 2, 3),
        (1.5, 1.5): (-1, 1, 3),
    }
    pairs, lengths = plane.boundaries
    assert dict(zip(map(tuple, pairs.tolist()), lengths.tolist(), strict=True)) == {
        (0, 1): 1.0,
        (0, 2): 1.0,
        (0, 3): 1.0,
        (1, 3): 1.0,
        (2, 3): 1.0,
    }
    chess = from_labels(np.array([[0, 1], [1, 0]]))
    assert chess.junction_grains().count((0, 1)) == 1
    assert len(chess.loops(0)) == 2
    assert from_labels(disc(20)).junctions().size == 0


def test_a_quarter_hole_ends_the_outline_of_its_grain() -> None:
    plane = from_labels(np.array([[0, 0], [0, -1]]))
    plane.check()
    assert plane.areas.tolist() == [3.0]
    assert smooth(plane).areas == pytest.approx([3.0], rel=1e-12, abs=0.0)


@grids
@pytest.mark.parametrize("shifted", [0, 1])
def test_points_in_any_order_are_the_image(grid: Grid, shifted: int) -> None:
    labels = voronoi(12, 7)
    row, column = np.indices(labels.shape).reshape(2, -1)
    order = np.random.default_rng(3).permutation(len(row))
    offset = 0.5 * (row % 2 == shifted) if grid == "hexagonal" else 0.0
    x, y = 2.0 * (column + offset) + 5.0, 2.0 * row * (np.sqrt(0.75) if grid == "hexagonal" else 1.0) - 3.0
    plane = from_points(x[order], y[order], labels.ravel()[order], 2.0, grid=grid)
    same = from_labels(labels, 2.0, (5.0, -3.0), grid=grid, shifted=1 if shifted else 0)
    assert plane.boundaries[0].tolist() == same.boundaries[0].tolist()
    assert plane.boundaries[1] == pytest.approx(same.boundaries[1], rel=1e-12, abs=0.0)
    assert plane.bounds == pytest.approx(same.bounds, rel=1e-12, abs=0.0)


def test_short_rows_of_a_hexagonal_map() -> None:
    labels = voronoi(30, 8, "hexagonal")
    labels[1::2, -1] = -2
    plane = from_labels(labels, 1.0, grid="hexagonal")
    plane.check()
    shown = smooth(plane)
    shown.check()
    assert moved(shown, plane.areas) < 0.02
    assert shown.areas.sum() == pytest.approx(plane.areas.sum(), rel=1e-12, abs=0.0)
    low, high = shown.bounds
    assert np.prod(high - low) == pytest.approx(plane.areas.sum(), rel=1e-12, abs=0.0)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"labels": np.zeros((3, 0), dtype=int)}, "labels"),
        ({"labels": np.full((3, 3), -1)}, "labels"),
        ({"labels": np.zeros(5, dtype=int)}, "labels"),
        ({"labels": np.zeros((3, 3))}, "labels"),
        ({"labels": disc(2, 9), "step": 0.0}, "step"),
        ({"labels": disc(2, 9), "step": (1.0, np.nan)}, "step"),
        ({"labels": disc(2, 9), "grid": "triangular"}, "grid"),
    ],
)
def test_images_that_are_none(arguments: dict[str, object], key: str) -> None:
    with pytest.raises(CaseError) as error:
        from_labels(**arguments)  # type: ignore[arg-type]
    assert error.value.key == key


def test_points_that_are_no_grid() -> None:
    x, y = np.meshgrid(np.arange(4.0), np.arange(4.0))
    labels = np.zeros(16, dtype=np.int64)
    with pytest.raises(CaseError, match="share a place"):
        from_points(np.append(x, 1.0), np.append(y, 1.0), np.append(labels, 0), 1.0, grid="square")
    with pytest.raises(CaseError, match="beside a square grid"):
        from_points(x.ravel() * 1.4, y.ravel(), labels, 1.0, grid="square")
    with pytest.raises(CaseError, match="too many cells"):
        from_points(np.array([0.0, 1e9]), np.array([0.0, 1e9]), labels[:2], 1.0, grid="square")


# ---- what check() finds ------------------------------------------------------------------------------
def bent(plane: PlanarMap, number: int, by: tuple[float, float]) -> PlanarMap:
    points = plane.points.copy()
    points[number] += by
    return PlanarMap(points, plane.chains, plane.left, plane.right)


def test_check_finds_every_kind_of_fault() -> None:
    plane = from_labels(np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 2, 2]]))
    plane.check()
    middle = int(np.flatnonzero((plane.points == (1.5, 0.5)).all(axis=1))[0])
    with pytest.raises(ValueError, match="crosses"):
        bent(plane, middle, (3.0, 0.0)).check()
    with pytest.raises(ValueError, match="crosses"):
        bent(plane, middle, (-2.0, 0.0)).check()  # exactly onto the outline
    with pytest.raises(ValueError, match="wrong order"):
        PlanarMap(plane.points, plane.chains, np.where(plane.left == 0, 7, plane.left), plane.right).check()
    with pytest.raises(ValueError, match="same grain"):
        PlanarMap(plane.points, plane.chains, plane.right, plane.right).check()
    with pytest.raises(ValueError, match="wrong order"):
        PlanarMap(plane.points, plane.chains[1:], plane.left[1:], plane.right[1:]).check()
    island = from_labels(np.pad(np.ones((2, 2), dtype=int), 3))
    chain = next(c for c in range(2) if island.border[c] == 0)
    moved_points = island.points.copy()
    moved_points[island.chains[chain][:-1]] += (20.0, 0.0)
    with pytest.raises(ValueError, match="wrong grain"):
        PlanarMap(moved_points, island.chains, island.left, island.right).check()
    twice = tuple(np.append(chain[:2], chain[1:]) for chain in plane.chains)
    with pytest.raises(ValueError, match="through a point"):
        PlanarMap(plane.points, twice, plane.left, plane.right).check()
    with pytest.raises(ValueError, match="no grain 9"):
        plane.area(9)


# ---- smoothing ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("junctions", ["fixed", "free"])
@grids
@images
def test_smooth_boundaries_keep_areas_and_do_not_cross(name: str, grid: Grid, junctions: str) -> None:
    plane = stepped(name, grid)
    shown = smooth(plane, junctions=junctions)  # type: ignore[arg-type]
    shown.check()
    assert moved(shown, counted(name, grid)) < 0.02
    assert shown.areas.sum() == pytest.approx(counted(name, grid).sum(), rel=1e-12, abs=0.0)
    assert shown.lengths.sum() <= plane.lengths.sum() * 1.1  # one hexagon becomes a rectangle
    assert shown.boundaries[0].tolist() == plane.boundaries[0].tolist()
    if grid == "square":
        assert shown.bounds.tolist() == plane.bounds.tolist()


@grids
@images
def test_triple_points_stay_unless_told_otherwise(name: str, grid: Grid) -> None:
    plane = stepped(name, grid)
    shown = smooth(plane, outline="kept")
    before, after = ({tuple(np.round(p * 1e12).tolist()) for p in m.points[m.junctions()]} for m in (plane, shown))
    assert before == after


@pytest.mark.parametrize("radius", [4.0, 8.0, 20.0])
def test_a_disc_becomes_round(radius: float) -> None:
    plane = from_labels(disc(radius))
    circumference = 2.0 * np.pi * radius
    assert plane.boundary_length((0, 1)) > 1.24 * circumference
    shown = smooth(plane)
    for section in (shown, resample(shown, 1.5)):
        assert section.boundary_length((0, 1)) == pytest.approx(circumference, rel=0.03, abs=0.0)
        assert section.area(1) == pytest.approx(plane.area(1), rel=0.005, abs=0.0)
        distance = np.hypot(*(section.points[section.chains[int(np.argmin(section.lengths))]] - [29.7, 30.2]).T)
        assert np.abs(distance - radius).max() < 0.75


@grids
def test_a_straight_boundary_becomes_straight(grid: Grid) -> None:
    row, column = np.indices((40, 40))
    x, y = (column, row) if grid == "square" else (column + 0.5 * (row % 2), row * np.sqrt(0.75))
    plane = from_labels((y > 3.2 + 0.37 * x).astype(np.int64), grid=grid)
    shown = smooth(plane, junctions="free")
    chain = shown.points[shown.chains[int(shown.chains_between((0, 1))[0])]]
    direction = np.array([1.0, 0.37]) / np.hypot(1.0, 0.37)
    beside = (chain - chain.mean(axis=0)) @ [-direction[1], direction[0]]
    inner = np.abs((chain - chain.mean(axis=0)) @ direction) < 15.0
    assert np.abs(beside[inner]).max() < 0.15
    assert shown.boundary_length((0, 1)) < 1.01 * np.hypot(*(chain[-1] - chain[0]))


def test_where_areas_cannot_be_kept_the_staircase_stays() -> None:
    plane = from_labels(voronoi(40, 30))
    shown = smooth(plane, moved=1e-14)
    shown.check()
    assert moved(shown, plane.areas) < 1e-11


def test_unequal_steps() -> None:
    plane = from_labels(voronoi(40, 20), (1.0, 3.0))
    shown = resample(smooth(plane), 2.0)
    shown.check()
    assert moved(shown, plane.areas) < 0.02
    assert shown.bounds.tolist() == plane.bounds.tolist()


@grids
def test_the_outline(grid: Grid) -> None:
    labels = voronoi(30, 12, grid)
    plane = from_labels(labels, grid=grid)
    shown = resample(smooth(plane), 2.0)
    outer = np.flatnonzero((shown.left < 0) | (shown.right < 0))
    points = shown.points[np.unique(np.concatenate([shown.chains[c] for c in outer]))]
    low, high = shown.bounds
    on = np.isclose(points, low, atol=1e-9) | np.isclose(points, high, atol=1e-9)
    assert on.any(axis=1).all()
    assert on.all(axis=1).sum() == 4
    assert np.prod(high - low) == pytest.approx(plane.areas.sum(), rel=1e-12, abs=0.0)


def test_arguments() -> None:
    plane = from_labels(disc(3, 9))
    with pytest.raises(CaseError, match="iterations"):
        smooth(plane, -1)
    with pytest.raises(CaseError, match="moved"):
        smooth(plane, moved=0.0)
    with pytest.raises(CaseError, match="size"):
        resample(plane, float("nan"))
    assert smooth(plane, 0).areas == pytest.approx(plane.areas, rel=0.02, abs=0.0)


# ---- points as far apart as a mesh needs -------------------------------------------------------------
@pytest.mark.parametrize("size", [0.15e-6, 0.9e-6, 30e-6])
@pytest.mark.parametrize("first", ["smooth", "stepped"])
@grids
@images
def test_fewer_points_keep_areas_and_do_not_cross(name: str, grid: Grid, first: str, size: float) -> None:
    plane = stepped(name, grid)
    section = smooth(plane) if first == "smooth" else plane  # type: ignore[arg-type]
    shown = resample(section, size)
    shown.check()
    assert moved(shown, counted(name, grid)) < 0.02
    assert shown.areas.sum() == pytest.approx(counted(name, grid).sum(), rel=1e-12, abs=0.0)
    assert shown.boundaries[0].tolist() == plane.boundaries[0].tolist()
    assert len(shown.junctions()) == len(plane.junctions())


def test_points_are_as_far_apart_as_asked_for() -> None:
    shown = resample(smooth(from_labels(voronoi(300, 40))), 5.0)
    steps = np.hypot(*np.diff(shown.points[shown.segments], axis=1)[:, 0].T)
    long = shown.lengths[shown.segment_chains] > 15.0
    assert steps.max() < 7.6
    assert np.quantile(steps[long], 0.02) > 4.0
    assert len(shown.segments) < 0.35 * len(from_labels(voronoi(300, 40)).segments)


# ---- large and real ----------------------------------------------------------------------------------
@pytest.mark.slow
def test_ten_thousand_grains_within_a_minute() -> None:
    labels = voronoi(1500, 10_000)
    begin = time.process_time()
    plane = from_labels(labels, 1e-6)
    shown = resample(smooth(plane), 3e-6)
    assert time.process_time() - begin < 60.0
    shown.check()
    assert moved(shown, np.bincount(labels.ravel()) * 1e-12) < 0.02
    assert shown.areas.sum() == pytest.approx(2.25e-6, rel=1e-12, abs=0.0)


@pytest.mark.skipif(not MAPS.is_dir(), reason="no maps")
@pytest.mark.parametrize("name", [*(f"S0{n}.ANG" for n in range(8)), "twins.ctf"])
def test_real_maps(name: str) -> None:
    pytest.importorskip("orix")
    from chemomech.microstructure.ebsd.reading import read_map
    from chemomech.microstructure.ebsd.segmentation import segment
    from chemomech.microstructure.ebsd.structure import section_to_structure

    ebsd = read_map(MAPS / name)
    labels = segment(ebsd, 10.0, minimum=5)
    structure = section_to_structure(ebsd, labels, size=1.5 * ebsd.step)
    assert isinstance(structure.geometry, PlanarMap)
    structure.geometry.check()
    points = np.bincount(labels[labels >= 0])
    assert np.abs(structure.sizes / (points * ebsd.cell_area) - 1.0).max() < 0.02
    assert structure.sizes.sum() == pytest.approx(points.sum() * ebsd.cell_area, rel=1e-12, abs=0.0)
    assert len(structure.junctions) > 30
