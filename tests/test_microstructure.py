"""What is measured, classified, counted and drawn of a microstructure, on geometries made by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("orix")

from chemomech.errors import OutputError
from chemomech.microstructure import classes, maps, plots, statistics
from chemomech.microstructure import relations as rel
from chemomech.microstructure.classes import DEFAULT_RULES, Rule
from chemomech.microstructure.planar import PlanarMap
from chemomech.microstructure.solid import CellComplex
from chemomech.microstructure.structure import Microstructure
from chemomech.typing import Array

UM = 1e-6
ONE = np.array([1.0, 0.0, 0.0, 0.0])


def turn(axis: Sequence[float], degrees: float) -> Array:
    unit = np.array(axis, float) / np.linalg.norm(axis)
    return np.concatenate([[math.cos(math.radians(degrees) / 2)], math.sin(math.radians(degrees) / 2) * unit])


def random_quaternions(count: int, seed: int = 0) -> Array:
    q = np.random.default_rng(seed).normal(size=(count, 4))
    return np.asarray(q / np.linalg.norm(q, axis=1)[:, None])


def from_polygons(polygons: Sequence[Array]) -> PlanarMap:
    """One grain per polygon, counter-clockwise; corners that coincide are one; each edge is a chain."""
    corners = np.concatenate(polygons)
    rounded = np.round(corners / UM, 6) + 0.0
    _, first, number = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
    numbers = np.split(number.reshape(-1), np.cumsum([len(p) for p in polygons])[:-1])
    sides: dict[tuple[int, int], list[int]] = {}
    for grain, loop in enumerate(numbers):
        for a, b in zip(loop.tolist(), np.roll(loop, -1).tolist(), strict=True):
            if (b, a) in sides:
                sides[b, a][1] = grain
            else:
                sides[a, b] = [grain, -1]
    chains = tuple(np.array(edge, np.int64) for edge in sides)
    left, right = np.array(list(sides.values()), np.int64).T
    return PlanarMap(corners[first], chains, left, right)


def square(x: float, y: float, size: float = 1.0) -> Array:
    return UM * np.array([(x, y), (x + size, y), (x + size, y + size), (x, y + size)])


def squares() -> PlanarMap:
    return from_polygons([square(x, y) for y in (0, 1) for x in (0, 1)])


def honeycomb(rows: int = 4, columns: int = 5, side: float = 1.0) -> PlanarMap:
    corner = np.radians(30 + 60 * np.arange(6))
    cell = side * UM * np.column_stack([np.cos(corner), np.sin(corner)])
    step = math.sqrt(3) * side * UM
    middles = [(step * (i + 0.5 * (j % 2)), 1.5 * side * UM * j) for j in range(rows) for i in range(columns)]
    return from_polygons([cell + np.array(middle) for middle in middles])


def island() -> PlanarMap:
    """A square with a square hole, in which another grain lies; the boundary is one closed chain."""
    points = np.concatenate([square(0, 0, 3), square(1, 1)])
    chains = (np.array([0, 1, 2, 3, 0]), np.array([4, 5, 6, 7, 4]))
    return PlanarMap(points, chains, np.array([0, 1]), np.array([-1, 0]))


def two(direction: Sequence[float], *, bend: float = 0.0) -> PlanarMap:
    """Two grains left and right of a line along ``direction``; ``bend`` moves its middle aside, in its length."""
    along = np.array(direction[:2], float) / np.linalg.norm(direction[:2])
    across = np.array([-along[1], along[0]])
    places = [(0, 0), (0.5, bend), (1, 0), (1, 1), (0, 1), (1, -1), (0, -1)]
    points = np.array([UM * (a * along + b * across) for a, b in places])
    chains = tuple(np.array(c) for c in ([0, 1, 2], [2, 3, 4, 0], [0, 6, 5, 2]))
    return PlanarMap(points, chains, np.array([0, 0, 1]), np.array([1, -1, -1]))


def boxes(counts: tuple[int, int, int], frame: Array | None = None) -> CellComplex:
    """Cubes of 1 um side by side; their axes are the columns of ``frame``."""
    at = {tuple(k): n for n, k in enumerate(np.ndindex(*(c + 1 for c in counts)))}
    grain = {tuple(k): n for n, k in enumerate(np.ndindex(*counts))}
    points = UM * np.array(list(at), float) @ (np.eye(3) if frame is None else frame).T
    faces, left, right = [], [], []
    for axis in range(3):
        one, other = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        for place in np.ndindex(*(c + (k == axis) for k, c in enumerate(counts))):
            base = np.array(place)
            before = base - np.eye(3, dtype=int)[axis]
            loop = [base, base + one, base + one + other, base + other]
            inner, outer = grain.get(tuple(before.tolist()), -1), grain.get(tuple(place), -1)
            if inner < 0:
                loop, inner, outer = loop[::-1], outer, inner
            faces.append(np.array([at[tuple(corner.tolist())] for corner in loop]))
            left.append(inner)
            right.append(outer)
    return CellComplex(points, tuple(faces), np.array(left), np.array(right))


def structure(geometry: PlanarMap | CellComplex, orientations: Array | None = None, **more: Any) -> Microstructure:
    count = int(max(geometry.left.max(initial=-1), geometry.right.max(initial=-1))) + 1
    q = random_quaternions(count) if orientations is None else orientations
    given = {"phases": ["copper"], "grain_phase": [0] * count, "point_groups": ["m-3m"], **more}
    return Microstructure.from_geometry(geometry, orientations=q, **given)


# ---- measures ------------------------------------------------------------------------------------------
def test_squares() -> None:
    found = structure(squares())
    np.testing.assert_allclose(found.sizes, UM**2, rtol=1e-12)
    np.testing.assert_allclose(found.centroids / UM, [(0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5)], rtol=1e-12)
    assert found.pairs.tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]
    np.testing.assert_allclose(found.measures, UM, rtol=1e-12)
    assert found.names[0] == "grain-0|grain-1"
    assert found.number(3, 1) == 2 and not found.touch(0, 3)
    with pytest.raises(KeyError):
        found.number(0, 3)
    assert found.junctions.grains == ((0, 1, 2, 3),)
    np.testing.assert_allclose(found.junctions.places, [[UM, UM]])
    assert found.junctions.counts() == {4: 1}
    assert statistics.junction_types(found) == {0: 0, 1: 0, 2: 0, 3: 0}
    np.testing.assert_allclose(found.diameters, 2 * UM / math.sqrt(math.pi))


def test_honeycomb() -> None:
    side = 0.7
    geometry = honeycomb(side=side)
    found = structure(geometry)
    np.testing.assert_allclose(found.sizes, 1.5 * math.sqrt(3) * (side * UM) ** 2, rtol=1e-12)
    np.testing.assert_allclose(found.measures, side * UM, rtol=1e-12)
    assert len(found.pairs) == 4 * 4 + 3 * 9  # along rows, between rows
    assert set(found.junctions.counts()) == {3}
    for place, around in zip(found.junctions.places, found.junctions.grains, strict=True):
        spokes = found.centroids[list(around)] - place
        angles = np.sort(np.degrees(np.arctan2(spokes[:, 1], spokes[:, 0])))
        np.testing.assert_allclose(np.diff(angles), 120.0, atol=1e-6)


def test_the_same_as_the_geometry() -> None:
    for geometry in (squares(), honeycomb(), island(), two((1, 2), bend=0.2)):
        found = structure(geometry)
        np.testing.assert_allclose(found.sizes, [geometry.area(k) for k in range(len(found))], rtol=1e-12)
        lengths = [geometry.boundary_length((a, b)) for a, b in found.pairs.tolist()]
        np.testing.assert_allclose(found.measures, lengths, rtol=1e-12)
        np.testing.assert_allclose(found.centroids, geometry.centroids, atol=1e-9 * UM)


def test_an_island() -> None:
    found = structure(island())
    np.testing.assert_allclose(found.sizes, [8 * UM**2, UM**2], rtol=1e-12)
    np.testing.assert_allclose(found.measures, [4 * UM], rtol=1e-12)
    np.testing.assert_allclose(found.centroids[0], [1.5 * UM] * 2, rtol=1e-12)
    assert len(found.junctions) == 0
    assert statistics.counted(found, whole=True).tolist() == [1]


def test_several_chains_are_one_boundary() -> None:
    # A lamella that ends inside a grain touches it with three sides.
    polygons = [UM * np.array(p, float) for p in (
        [(0, 0), (3, 0), (3, 3), (0, 3), (0, 2), (2, 2), (2, 1), (0, 1)],
        [(0, 1), (2, 1), (2, 2), (0, 2)],
    )]  # fmt: skip
    geometry = from_polygons(polygons)
    found = structure(geometry)
    np.testing.assert_allclose(found.measures, [5 * UM], rtol=1e-12)
    assert found.parts is not None
    assert (found.parts.boundary == 0).sum() == 3


def test_boxes() -> None:
    geometry = boxes((2, 2, 2))
    geometry.check()
    found = structure(geometry)
    np.testing.assert_allclose(found.sizes, UM**3, rtol=1e-12)
    np.testing.assert_allclose(found.centroids[0], [0.5 * UM] * 3, rtol=1e-12)
    np.testing.assert_allclose(found.measures, UM**2, rtol=1e-12)
    assert len(found.pairs) == 12
    # At the outside four grains meet as well, in the middles of six faces.
    assert sorted(len(around) for around in found.junctions.grains) == [4] * 6 + [8]
    assert [len(around) for around in found.junctions.line_grains] == [4] * 6
    np.testing.assert_allclose(found.diameters, (6 / math.pi) ** (1 / 3) * UM)


@pytest.mark.parametrize("dimension", [2, 3])
def test_none_and_one(dimension: int, tmp_path: Path) -> None:
    none = np.zeros(0, np.int64)
    nothing = PlanarMap(np.zeros((0, 2)), (), none, none) if dimension == 2 else None
    alone = from_polygons([square(0, 0)]) if dimension == 2 else boxes((1, 1, 1))
    nothing_3d = CellComplex(np.zeros((0, 3)), (), none, none)
    for count, geometry in ((0, nothing or nothing_3d), (1, alone)):
        found = structure(geometry)
        assert len(found) == count and found.dimension == dimension
        assert len(found.pairs) == len(found.junctions) == 0
        numbers = statistics.summary(found)
        json.dumps(numbers, allow_nan=False)
        assert numbers["log_normal_by_number"] is None
        assert numbers["disorientation_mean_by_number_deg"] is None
        plots.overview(found, tmp_path / f"{count}.png")


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="grain 3, but there are phases for 2"):
        structure(squares(), random_quaternions(2), grain_phase=[0, 0])
    with pytest.raises(ValueError, match="grain 4 has no size"):
        structure(squares(), random_quaternions(5), grain_phase=[0] * 5)
    with pytest.raises(ValueError, match="orientation of grain 2"):
        structure(squares(), random_quaternions(4) * np.array([[1.0], [1.0], [1.01], [1.0]]))
    with pytest.raises(ValueError, match="did you mean 'm-3m'"):
        structure(squares(), point_groups=["m3m"])
    with pytest.raises(ValueError, match="a phase that is none"):
        structure(squares(), grain_phase=[0, 0, 0, 1])


# ---- disorientation and classes ------------------------------------------------------------------------
@pytest.mark.parametrize("group", ["m-3m", "432", "m-3", "6/mmm", "-3m", "4/mmm", "mmm", "2/m", "-1"])
def test_disorientation_is_that_of_orix(group: str) -> None:
    from orix.quaternion import Orientation

    symmetry = rel.point_group(group)
    first, second = random_quaternions(500, 1), random_quaternions(500, 2)
    second[:50] = rel.product(turn((1, 2, 3), 1e-4), first[:50])
    angles, axes = rel.disorientation(first, second, group)
    one, other = (Orientation(q, symmetry=symmetry) for q in (first, second))
    np.testing.assert_allclose(angles[50:], one.angle_with(other, degrees=True)[50:], atol=1e-6)
    np.testing.assert_allclose(angles[:50], 1e-4, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1.0)
    inside = axes @ symmetry.laue.fundamental_sector.data.T
    assert inside.min(initial=1.0) > -3e-3  # orix is a little off at the edges for m-3


def test_axis() -> None:
    first = random_quaternions(20, 3)
    for axis, angle in (((1, 1, 1), 60.0), ((0, 0, 1), 30.0), ((0, 1, 1), 38.94)):
        angles, axes = rel.disorientation(first, rel.product(turn(axis, angle), first), "m-3m")
        np.testing.assert_allclose(angles, angle)
        np.testing.assert_allclose(axes, np.tile(_sector(axis), (20, 1)), atol=1e-7)
    angles, axes = rel.disorientation(first, first, "m-3m")
    assert angles.max() < 1e-6


def _sector(axis: Sequence[float]) -> Array:
    """In the sector of orix x >= y >= 0 and z >= x: the smallest number second, the largest last."""
    small, middle, large = sorted(abs(a) for a in axis)
    return np.array([middle, small, large]) / np.linalg.norm(axis)


@pytest.mark.parametrize(
    ("angle", "name"),
    [(0.0, "other"), (1.9, "other"), (2.1, "LAGB"), (10.0, "LAGB"), (14.9, "LAGB"), (15.1, "HAGB"), (45.0, "HAGB")],
)
def test_angles_and_classes(angle: float, name: str) -> None:
    start = random_quaternions(1, 5)[0]
    found = structure(two((1, 0)), np.stack([start, rel.product(turn((0, 0, 1), angle), start)]))
    assert found.angles[0] == pytest.approx(angle, abs=1e-6)
    assert found.classes == (name,)


def _trace(start: Array, normal: Sequence[float]) -> tuple[Array, Array]:
    """Direction in the section of a plane of the crystal, and across it."""
    n = rel.rotated(rel.inverse(start), np.array(normal, float) / np.linalg.norm(normal))
    along = np.cross([0.0, 0.0, 1.0], n)
    return along, np.array([-along[1], along[0], 0.0])


@pytest.mark.parametrize("seed", range(6))
def test_a_twin_has_its_trace(seed: int) -> None:
    start = random_quaternions(1, seed)[0]
    symmetric = rel.product(rel.rotations("m-3m")[(5 * seed) % 24], start)  # the same crystal in other words
    pair = np.stack([symmetric, rel.product(turn((1, -1, 1), 60.0), start)])
    along, across = _trace(start, (1, -1, 1))
    assert structure(two(along), pair).classes == ("twin",)
    assert structure(two(-along), pair[::-1]).classes == ("twin",)
    steep = np.degrees(np.arcsin(np.linalg.norm(along)))
    assert structure(two(across), pair).classes == ("twin" if steep < 10 else "HAGB",)
    assert structure(two(across), pair, rules=(classes.ANY_SIGMA3,)).classes == ("Σ3",)
    assert structure(two(along, bend=0.02), pair).classes == ("twin",)


def test_tolerance_of_a_trace() -> None:
    normal = np.array([1.0, 1.0, 1.0])
    along, across = _trace(ONE, normal)
    pair = np.stack([ONE, turn(normal, 60.0)])
    for angle, name in ((9.0, "twin"), (11.0, "twin"), (13.0, "HAGB")):  # 10 degrees to the plane are 12.3 to its trace
        turned = math.cos(math.radians(angle)) * along + math.sin(math.radians(angle)) * across
        assert structure(two(turned), pair).classes == (name,), angle


@pytest.mark.parametrize(("off", "name"), [(0.0, "twin"), (8.5, "twin"), (8.8, "HAGB")])
@pytest.mark.parametrize("axis", [(1, 1, 1), (1, -1, 0)])
def test_brandon(off: float, name: str, axis: Sequence[float]) -> None:
    along, _ = _trace(ONE, (1, 1, 1))
    pair = np.stack([ONE, rel.product(turn(axis, off), turn((1, 1, 1), 60.0))])
    assert structure(two(along), pair).classes == (name,)


def test_twins_in_space() -> None:
    n = np.array([1.0, 1.0, 1.0]) / math.sqrt(3)
    other = np.array([1.0, -1.0, 0.0]) / math.sqrt(2)
    frame = np.column_stack([n, other, np.cross(n, other)])
    pair = np.stack([ONE, turn(n, 60.0)])
    assert structure(boxes((2, 1, 1), frame), pair).classes == ("twin",)
    assert structure(boxes((1, 2, 1), frame), pair).classes == ("HAGB",)


@pytest.mark.parametrize(("axis", "frame"), [((1, 0, 0), "a"), ((0, 1, 0), "a*")])
def test_tensile_twins(axis: Sequence[float], frame: Any) -> None:
    hexagonal = {"phases": ["magnesium"], "point_groups": ["6/mmm"]}
    pair = np.stack([ONE, turn(axis, 86.3)])
    rule = classes.twin_rule("twin", rel.tensile_twin(first_axis=frame), 5.0, trace=None)
    found = structure(two((1, 0)), pair, **hexagonal, rules=(rule, *DEFAULT_RULES))
    assert found.angles[0] == pytest.approx(86.3, rel=1e-6, abs=0.0)
    assert found.classes == ("twin",)
    assert found.classified().classes == (("twin",) if frame == "a" else ("HAGB",))
    missing, normals = rel.twin_deviation(pair[:1], pair[1:], rel.tensile_twin(first_axis=frame), "6/mmm")
    assert missing[0] < 0.02
    # The plane is shared: it is the same one seen from the other crystal, 43.15 degrees off its basal plane.
    for q in pair:
        inside = rel.rotated(q, normals[0, 0])
        assert math.degrees(math.acos(abs(inside[2]))) == pytest.approx(43.15, rel=1e-6, abs=0.03)
    assert structure(two((1, 0)), np.stack([ONE, turn(axis, 75.0)]), **hexagonal).classes == ("HAGB",)
    assert structure(two((1, 0)), pair).classes == ("LAGB",)  # of a cubic crystal: 3.7 degrees


def test_phases_and_unknown_ones() -> None:
    found = structure(
        squares(),
        np.array([ONE, ONE, turn((0, 0, 1), 20), [0, 0, 0, 0]]),
        phases=["copper", "magnesium"],
        point_groups=["m-3m", "6/mmm"],
        grain_phase=[0, 1, 0, -1],
    )
    assert found.classes == ("phase", "HAGB", "other", "other")
    assert np.isnan(found.angles).tolist() == [True, False, True, True]
    numbers = statistics.summary(found)
    assert numbers["phases"]["not indexed"] == {"grains": 1, "area_fraction": pytest.approx(0.25, rel=1e-6, abs=0.0)}
    assert numbers["boundary_classes"]["phase"] == {
        "count": 1,
        "length_m": pytest.approx(UM, rel=1e-6, abs=0.0),
        "fraction": 0.25,
    }


def test_rules_of_a_user() -> None:
    found = structure(honeycomb())
    rule = Rule.of("lucky", lambda b: b.angle > 40 and b.axis[2] > 0.9 and b.phases == ("copper", "copper"))
    chosen = found.where(lambda b: b.angle > 40 and b.axis[2] > 0.9)
    new = found.classified((rule, *DEFAULT_RULES))
    assert 0 < len(chosen) < len(found.pairs)
    assert new.of_class("lucky").tolist() == chosen.tolist()
    assert new.parts is found.parts
    one = new.boundary(int(chosen[0]))
    assert one.name == "lucky" and one.grains == tuple(found.pairs[chosen[0]].tolist())
    assert one.measure == pytest.approx(UM, rel=1e-6, abs=0.0) and one.sizes == (
        found.sizes[one.grains[0]],
        found.sizes[one.grains[1]],
    )
    everything = Rule.any_of("any", classes.LOW_ANGLE, classes.HIGH_ANGLE)
    assert (everything.holds(found) == (found.angles >= 2)).all()


# ---- statistics ----------------------------------------------------------------------------------------
def test_mackenzie() -> None:
    from scipy.integrate import quad

    def density(angle: float) -> float:
        return float(statistics.mackenzie(np.array([angle]))[0])

    breaks, end = [45.0, 60.0, 60.72], statistics.LARGEST_CUBIC
    assert end == pytest.approx(62.7994, abs=1e-4)
    assert quad(density, 0, end, points=breaks)[0] == pytest.approx(1.0, abs=1e-7)
    assert quad(lambda a: a * density(a), 0, end, points=breaks)[0] == pytest.approx(40.74, rel=1e-6, abs=0.005)
    assert statistics.mackenzie(np.array([-1.0, 0.0, 63.0, 90.0])).tolist() == [0.0, 0.0, 0.0, 0.0]
    for corner in breaks:  # no jumps, so no branch is wrong
        assert density(corner - 1e-6) == pytest.approx(density(corner + 1e-6), rel=1e-4, abs=0.0)


def test_random_crystals() -> None:
    angles, _ = rel.disorientation(random_quaternions(100_000, 1), random_quaternions(100_000, 2), "m-3m")
    assert angles.mean() == pytest.approx(statistics.MACKENZIE_MEAN, abs=0.2)
    counts, edges = np.histogram(angles, np.arange(0, 64, 3.0), density=True)
    fine = [statistics.mackenzie(np.linspace(a, a + 3, 61)).mean() for a in edges[:-1]]
    np.testing.assert_allclose(counts, fine, atol=4e-4)
    middles, sampled = statistics._sampled("m-3m")
    np.testing.assert_allclose(sampled, statistics.mackenzie(middles), atol=7e-4)


@pytest.mark.parametrize(("group", "largest"), [("6/mmm", 93.84), ("m-3", 90.0), ("4/mmm", 98.42), ("mmm", 120.0)])
def test_random_crystals_of_other_groups(group: str, largest: float) -> None:
    angles = np.linspace(0, 180, 3601)
    density = statistics.random_density(angles, group)
    assert np.trapezoid(density, angles) == pytest.approx(1.0, abs=2e-3)
    assert largest - 2 < angles[density > 0].max() < largest + 2
    assert largest - 1 <= statistics.largest_angle(group) < largest + 2


def test_log_normal() -> None:
    rng = np.random.default_rng(0)
    diameters = 2e-6 * np.exp(0.45 * rng.normal(size=200_000))
    fit = statistics.fit_log_normal(diameters)
    assert fit is not None
    assert fit.median == pytest.approx(2e-6, rel=5e-3, abs=0.0) and fit.sigma == pytest.approx(0.45, rel=5e-3, abs=0.0)
    assert fit.mean == pytest.approx(diameters.mean(), rel=5e-3, abs=0.0)
    by_area = statistics.fit_log_normal(diameters, diameters**2)
    assert by_area is not None  # weighting by a power shifts a log-normal distribution and leaves its width
    assert by_area.median == pytest.approx(2e-6 * math.exp(2 * 0.45**2), rel=2e-2, abs=0.0)
    assert by_area.sigma == pytest.approx(0.45, rel=2e-2, abs=0.0)
    x = np.linspace(0, 4e-5, 40001)
    assert np.trapezoid(fit.density(x), x) == pytest.approx(1.0, abs=1e-6)
    assert statistics.fit_log_normal(diameters[:1]) is None


def test_histograms() -> None:
    found = structure(honeycomb())
    sizes = statistics.size_histogram(found, by_size=True)
    assert sizes.fractions.sum() == pytest.approx(1.0, rel=1e-6, abs=0.0) and sizes.fractions[-1] == pytest.approx(
        1.0, rel=1e-6, abs=0.0
    )
    angles = statistics.disorientation_histogram(found)
    assert angles.fractions.sum() == pytest.approx(1.0, rel=1e-6, abs=0.0)
    mean = float((angles.edges[:-1] + 1.25) @ angles.fractions)
    assert mean == pytest.approx(statistics.summary(found)["disorientation_mean_by_length_deg"], abs=1.25)
    assert statistics.disorientation_histogram(structure(two((1, 0)), np.array([ONE, ONE]))).fractions[0] == 1.0


def test_junctions_by_special_boundaries() -> None:
    q = np.stack([ONE, turn((0, 0, 1), 10), turn((1, 2, 3), 40)])
    corner = np.radians([0, 120, 240])
    spokes = np.column_stack([np.cos(corner), np.sin(corner)])
    polygons = [
        UM * np.array([(0, 0), spokes[k], spokes[k] + spokes[(k + 1) % 3], spokes[(k + 1) % 3]]) for k in range(3)
    ]
    found = structure(from_polygons(polygons), q)
    assert sorted(found.classes) == ["HAGB", "HAGB", "LAGB"]
    assert statistics.junction_types(found) == {0: 0, 1: 1, 2: 0, 3: 0}
    assert statistics.summary(found)["triple_points"] == 1


def test_summary() -> None:
    numbers = statistics.summary(structure(honeycomb()), whole=True)
    json.dumps(numbers, allow_nan=False)
    assert (numbers["grains"], numbers["grains_measured"]) == (20, 6)
    assert numbers["boundary_length_m"] == pytest.approx(43 * UM, rel=1e-6, abs=0.0)
    assert sum(row["fraction"] for row in numbers["boundary_classes"].values()) == pytest.approx(1.0, rel=1e-6, abs=0.0)
    solid = statistics.summary(structure(boxes((2, 2, 2))))
    assert solid["volume_m3"] == pytest.approx(8 * UM**3, rel=1e-6, abs=0.0) and solid[
        "boundary_area_m2"
    ] == pytest.approx(12 * UM**2, rel=1e-6, abs=0.0)


# ---- pictures ------------------------------------------------------------------------------------------
def test_colours() -> None:
    q = np.array([ONE, turn((1, 0, 0), 45), rel.inverse(turn((1, -1, 0), math.degrees(math.acos(3**-0.5)))), ONE])
    colours = maps.ipf_colours(q, np.array([0, 0, 0, -1]), ("m-3m",))
    np.testing.assert_allclose(colours[:3], np.eye(3), atol=0.02)  # [001] red, [101] green, [111] blue
    np.testing.assert_allclose(colours[3], maps.UNKNOWN)
    words = maps.class_colours(("HAGB", "mine", "yours"))
    assert len(set(words.values())) == 3 and words["HAGB"] == maps.COLOURS["HAGB"]


def test_outlines_have_the_area_of_the_grains() -> None:
    for geometry in (squares(), honeycomb(), island(), two((1, 2), bend=0.2)):
        found = structure(geometry)
        for path, size in zip(maps.outlines(found), found.sizes, strict=True):
            area, start = 0.0, 0
            for end in np.flatnonzero(path.codes == path.CLOSEPOLY) + 1:
                x, y = path.vertices[start:end].T
                area += 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))
                start = end
            assert area == pytest.approx(size, rel=1e-9, abs=0.0)


def _ebsd(hexagonal: bool) -> Any:
    step = 0.5 * UM
    rows, columns = np.divmod(np.arange(12 * 10), 10)
    x = step * (columns + (0.5 * (rows % 2) if hexagonal else 0.0))
    y = step * rows * (math.sqrt(0.75) if hexagonal else 1.0)
    phase = np.zeros(120, np.int32)
    phase[7] = -1
    q = random_quaternions(120)
    return SimpleNamespace(x=x, y=y, step=step, phase=phase, quaternions=q, phases=("copper",), point_groups=("m-3m",))


@pytest.mark.parametrize("hexagonal", [False, True])
def test_image_of_a_map(hexagonal: bool) -> None:
    from matplotlib.figure import Figure

    ebsd = _ebsd(hexagonal)
    values = np.arange(120.0)
    image = maps.paint_map(Figure().add_subplot(), ebsd, values)
    picture, (left, right, low, high) = np.ma.filled(image.get_array(), np.nan), image.get_extent()
    column = ((ebsd.x - left) / (right - left) * picture.shape[1]).astype(int)
    row = ((ebsd.y - low) / (high - low) * picture.shape[0]).astype(int)
    np.testing.assert_array_equal(picture[row, column], values)
    if not hexagonal:
        assert not np.isnan(picture).any()
        assert (np.bincount(picture.astype(int).ravel()) == picture.size // 120).all()


def test_pictures(tmp_path: Path) -> None:
    found = structure(honeycomb())
    ebsd, kam = _ebsd(True), np.random.default_rng(0).exponential(size=120)
    kam[3] = np.nan
    plots.overview(found, tmp_path / "all.png", title="copper", ebsd=ebsd, kam=kam)
    plots.overview(found, tmp_path / "new" / "map.pdf", ebsd=ebsd)
    plots.overview(structure(boxes((2, 2, 1))), tmp_path / "solid.png")
    plots.draw_ipf(found, tmp_path / "ipf.png", (1, 0, 0))
    plots.draw_classes(found, tmp_path / "classes.png")
    plots.draw_sizes(found, tmp_path / "sizes.png", whole=True)
    plots.draw_disorientations(found, tmp_path / "angles.png")
    plots.draw_map(ebsd, tmp_path / "map.png")
    plots.draw_field(ebsd, kam, tmp_path / "kam.png", "KAM (°)")
    plots.draw_field(ebsd, 1e14 * kam, tmp_path / "gnd.png", "GND density (1/m²)", logarithmic=True)
    plots.draw_field(ebsd, np.full(120, np.nan), tmp_path / "blank.png", "nothing")
    assert len(list(tmp_path.rglob("*.p[nd][gf]"))) == 11
    assert not list(tmp_path.rglob("*.part"))
    with pytest.raises(OutputError):
        plots.draw_sizes(found, tmp_path / "ipf.png" / "below.png")
