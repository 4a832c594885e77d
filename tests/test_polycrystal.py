"""Voronoi and Laguerre grains: exact partitions, sizes as asked for, sides that match, columns, textures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

import chemomech as cm
from chemomech.microstructure.assembly import cell_complex, chained, planar_map
from chemomech.microstructure.laguerre import edges_of, laguerre, twins
from chemomech.microstructure.planar import PlanarMap
from chemomech.microstructure.relations import rotated
from chemomech.microstructure.sizing import fitted, lognormal_sizes, number_of_grains, relaxed
from chemomech.microstructure.solid import CellComplex
from chemomech.microstructure.textures import Texture, around, shortest, uniform_orientations
from chemomech.microstructure.tidying import tidied
from chemomech.microstructure.voronoi import Tessellation, polycrystal, tessellate

BOX: dict[int, Any] = {2: np.array([2e-6, 1e-6]), 3: np.array([2e-6, 1e-6, 0.7e-6])}
EXACT = 1e-12


def somewhere(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Random seeds in the box."""
    return np.asarray(np.random.default_rng(seed).random((count, dimension)) * BOX[dimension])


def size_of(geometry: PlanarMap | CellComplex) -> np.ndarray:
    """Areas or volumes of all grains."""
    return np.asarray(geometry.areas if isinstance(geometry, PlanarMap) else geometry.volumes[geometry.grains])


def pair_measures(geometry: PlanarMap | CellComplex) -> dict[tuple[int, int], float]:
    """Length or area of each boundary."""
    values = geometry.lengths if isinstance(geometry, PlanarMap) else geometry.areas
    found: dict[tuple[int, int], float] = {}
    for a, b, value in zip(geometry.left.tolist(), geometry.right.tolist(), values.tolist(), strict=True):
        found[min(a, b), max(a, b)] = found.get((min(a, b), max(a, b)), 0.0) + value
    return {pair: value for pair, value in found.items() if pair[0] >= 0}


# ---- diagrams ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("periodic", [(), (0,), (0, 1)])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 60])
@pytest.mark.parametrize("dimension", [2, 3])
def test_pieces_fill_the_box(dimension: int, count: int, periodic: tuple[int, ...], heavy: bool) -> None:
    size = BOX[dimension]
    spacing = (np.prod(size) / count) ** (1 / dimension)
    weights = np.random.default_rng(5).random(count) * 0.1 * spacing**2 if heavy else None
    partition = laguerre(somewhere(count, dimension), weights, size, periodic)
    assert abs(partition.sizes.sum() / np.prod(size) - 1) < EXACT
    geometry = planar_map(partition) if dimension == 2 else cell_complex(partition)
    geometry.check()
    assert abs(size_of(geometry).sum() / np.prod(size) - 1) < EXACT
    np.testing.assert_allclose(size_of(geometry), partition.sizes[partition.sizes > 0], rtol=1e-9)
    assert np.all(geometry.points >= 0) and np.all(geometry.points <= size)


@pytest.mark.parametrize("dimension", [2, 3])
def test_points_belong_to_the_nearest_seed(dimension: int) -> None:
    seeds = somewhere(40, dimension)
    partition = laguerre(seeds, None, BOX[dimension])
    # volume by counting random points, and each corner as far from its grain's seed as from no other
    points = somewhere(200_000, dimension, 3)
    share = np.bincount(cKDTree(seeds).query(points)[1], minlength=40) / len(points)
    np.testing.assert_allclose(partition.sizes / np.prod(BOX[dimension]), share, atol=5e-3)
    owner = np.repeat(partition.left, partition.loops.lengths)
    corners = partition.points[partition.loops.flat]
    mine = np.linalg.norm(corners - seeds[partition.piece_grain[owner]], axis=1)
    np.testing.assert_allclose(mine, cKDTree(seeds).query(corners)[0], rtol=1e-9)


def test_cells_contain_their_seeds() -> None:
    seeds = somewhere(300, 2)
    partition = laguerre(seeds, None, BOX[2])
    loops = partition.loops
    arm = partition.points[loops.flat] - seeds[partition.piece_grain[loops.owner]]
    cross = arm[:, 0] * arm[loops.after, 1] - arm[:, 1] * arm[loops.after, 0]
    assert np.all(cross > 0)


def test_no_weights_are_equal_weights() -> None:
    for dimension in (2, 3):
        seeds = somewhere(50, dimension)
        plain = laguerre(seeds, None, BOX[dimension])
        equal = laguerre(seeds, np.full(50, 3e-13), BOX[dimension])
        np.testing.assert_allclose(equal.sizes, plain.sizes, rtol=1e-9)


def test_edges_of_three_seeds_are_the_analytic_ones() -> None:
    """Bisectors of (1,1), (3,1), (2,3) in a square of edge 4 meet at (2, 1.75)."""
    made = tessellate(2, (4.0, 4.0), seeds=[(1, 1), (3, 1), (2, 3)])
    found = pair_measures(made.geometry)
    assert found == pytest.approx({(0, 1): 1.75, (0, 2): np.sqrt(5), (1, 2): np.sqrt(5)}, rel=1e-13, abs=0.0)
    geometry = made.geometry
    assert isinstance(geometry, PlanarMap)
    np.testing.assert_allclose(geometry.areas, [4.5, 4.5, 7.0], rtol=1e-13)
    places = geometry.points[geometry.junctions()]
    assert np.min(np.linalg.norm(places - [2, 1.75], axis=1)) < 1e-13


def test_weights_move_an_edge_by_the_analytic_distance() -> None:
    r"""Between seeds at a distance d the boundary moves by (w_1 - w_2) / 2d."""
    for dimension, size in ((2, (2.0, 1.0)), (3, (2.0, 1.0, 1.0))):
        seeds = np.full((2, dimension), 0.5)
        seeds[1, 0] = 1.5
        made = tessellate(dimension, size, seeds=seeds, weights=[0.3, 0.1], short_edges=0)
        np.testing.assert_allclose(size_of(made.geometry), [1.1, 0.9], rtol=1e-13)


def test_lattices_are_exact_though_degenerate() -> None:
    grid = (np.stack(np.meshgrid(*[np.arange(4)] * 2, indexing="ij"), -1).reshape(-1, 2) + 0.5) / 4
    made = tessellate(2, (1.0, 1.0), seeds=grid).geometry
    assert isinstance(made, PlanarMap)
    made.check()
    np.testing.assert_allclose(made.areas, 1 / 16, rtol=1e-13)
    assert len(made.points) == 25
    assert list(pair_measures(made).values()) == pytest.approx([0.25] * 24, rel=1e-6, abs=0.0)


def test_body_centred_seeds_give_truncated_octahedra() -> None:
    """Volume a^3/2, six squares of a^2/8, eight hexagons of 3 sqrt(3)/16 a^2."""
    a = 0.5
    grid = (np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.3) * a
    seeds = np.concatenate([grid, grid + a / 2]) % 1.0
    made = cell_complex(laguerre(seeds, None, np.ones(3), (0, 1, 2)))
    made.check()
    np.testing.assert_allclose(made.volumes, a**3 / 2, rtol=1e-12)
    hexagon, square = 3 * np.sqrt(3) / 16 * a**2, a**2 / 8
    for pair, area in pair_measures(made).items():
        # with two cells along each axis a grain meets the same one across both squares
        assert area == pytest.approx(hexagon if (pair[0] < 8) != (pair[1] < 8) else 2 * square, rel=1e-9, abs=0.0)


def test_a_wall_through_corners_and_faces_of_cells() -> None:
    """Seeds on the sides and images symmetric about them: boundaries lie in the cut."""
    made = tessellate(3, (1.0, 1.0, 1.0), seeds=[(0, 0, 0), (0.5, 0.5, 0.5)], periodic=("x", "y", "z"), short_edges=0)
    assert size_of(made.geometry) == pytest.approx([0.5, 0.5], rel=1e-12, abs=0.0)
    made = tessellate(2, (1.0, 1.0), seeds=[(0.25, 0.25), (0.75, 0.75)], periodic=("x", "y"), short_edges=0)
    assert size_of(made.geometry) == pytest.approx([0.5, 0.5], rel=1e-12, abs=0.0)


# ---- periodic ---------------------------------------------------------------------------------------------------


def sides_of(geometry: PlanarMap | CellComplex, axis: int, value: float) -> list[tuple[tuple[float, ...], int]]:
    """Facets on a side: the middle of their corners without the axis, and the grain behind."""
    others = [k for k in range(geometry.points.shape[1]) if k != axis]
    if isinstance(geometry, CellComplex):
        loops, chain = [face.tolist() for face in geometry.faces], list(range(len(geometry.faces)))
    else:
        loops, chain = geometry.segments.tolist(), geometry.segment_chains.tolist()
    found = []
    for loop, k in zip(loops, chain, strict=True):
        x = geometry.points[loop]
        if np.all(x[:, axis] == value):
            middle = tuple(np.round(x[:, others].mean(axis=0) * 1e6, 9).tolist())
            found.append((middle, max(int(geometry.left[k]), int(geometry.right[k]))))
    return sorted(found)


@pytest.mark.parametrize("short_edges", [0.0, 0.05])
@pytest.mark.parametrize("count", [5, 40])
@pytest.mark.parametrize("dimension", [2, 3])
def test_opposite_sides_match(dimension: int, count: int, short_edges: float) -> None:
    axes = ("x", "y", "z")[:dimension]
    made = tessellate(dimension, BOX[dimension], number=count, periodic=axes, short_edges=short_edges, seed=2)
    geometry = made.geometry
    geometry.check()
    assert abs(size_of(geometry).sum() / np.prod(BOX[dimension]) - 1) < EXACT
    assert len(geometry.grains) == count
    for axis in range(dimension):
        low, high = twins(geometry.points, axis, BOX[dimension][axis])
        others = [k for k in range(dimension) if k != axis]
        assert np.array_equal(geometry.points[low][:, others], geometry.points[high][:, others])
        assert sides_of(geometry, axis, 0.0) == sides_of(geometry, axis, BOX[dimension][axis])


def test_a_periodic_diagram_does_not_depend_on_where_it_is_cut() -> None:
    for dimension in (2, 3):
        seeds, size = somewhere(30, dimension), BOX[dimension]
        axes = tuple(range(dimension))
        here = laguerre(seeds, None, size, axes)
        there = laguerre((seeds + 0.37 * size) % size, None, size, axes)
        np.testing.assert_allclose(here.sizes, there.sizes, rtol=1e-9)
        np.testing.assert_allclose(
            np.exp(2j * np.pi * (here.centroids / size + 0.37)), np.exp(2j * np.pi * there.centroids / size), rtol=1e-8
        )


# ---- sizes ------------------------------------------------------------------------------------------------------


def test_lloyd_lowers_the_second_moment() -> None:
    for dimension in (2, 3):
        seeds, points = somewhere(60, dimension), somewhere(100_000, dimension, 1)
        moments = []
        for _ in range(5):
            moments.append(float(np.mean(cKDTree(seeds).query(points)[0] ** 2)))
            _, seeds, _ = relaxed(laguerre(seeds, None, BOX[dimension]).centroids, None, BOX[dimension], (), 0)
        assert np.all(np.diff(moments) < 0)
        assert moments[-1] < 0.9 * moments[0]


@pytest.mark.parametrize("periodic", [(), (0, 1)])
@pytest.mark.parametrize("dimension", [2, 3])
def test_fitted_weights_give_any_sizes(dimension: int, periodic: tuple[int, ...]) -> None:
    size = BOX[dimension]
    targets = np.random.default_rng(3).permutation(lognormal_sizes(40, 0.6, dimension, float(np.prod(size))))
    partition, weights = fitted(somewhere(40, dimension), targets, size, periodic)
    np.testing.assert_allclose(partition.sizes, targets, rtol=1e-5)
    np.testing.assert_allclose(laguerre(somewhere(40, dimension), weights, size, periodic).sizes, targets, rtol=1e-5)


@pytest.mark.parametrize(("dimension", "mean"), [(2, 0.05e-6), (3, 0.15e-6)])
def test_grains_are_log_normal_as_asked_for(dimension: int, mean: float) -> None:
    made = tessellate(dimension, BOX[dimension], mean_size=mean, spread=0.35, lloyd=1)
    ball = {2: np.pi / 4, 3: np.pi / 6}[dimension]
    diameters = (size_of(made.geometry) / ball) ** (1 / dimension)
    assert diameters.mean() == pytest.approx(mean, rel=0.01, abs=0.0)
    assert np.log(diameters).std() == pytest.approx(0.35, rel=0.03, abs=0.0)
    skew = np.mean(((np.log(diameters) - np.log(diameters).mean()) / np.log(diameters).std()) ** 3)
    assert abs(skew) < 0.15


def test_equal_grains_and_their_number() -> None:
    made = tessellate(2, (1e-6, 1e-6), mean_size="0.1 um", spread=0.0, short_edges=0)
    areas = size_of(made.geometry)
    assert len(areas) == round(1 / (np.pi / 4 * 0.01)) == number_of_grains(1e-7, 0.0, 2, 1e-12)
    np.testing.assert_allclose(areas, 1e-12 / len(areas), rtol=1e-5)


def test_lognormal_sizes_are_quantiles() -> None:
    sizes = lognormal_sizes(4000, 0.3, 3, 2.0)
    assert sizes.sum() == pytest.approx(2.0, rel=1e-13, abs=0.0)
    assert np.log(sizes).std() == pytest.approx(0.9, rel=0.01, abs=0.0)
    assert np.array_equal(lognormal_sizes(5, 0.0, 2, 1.0), np.full(5, 0.2))


# ---- short edges ------------------------------------------------------------------------------------------------


def edge_lengths(geometry: PlanarMap | CellComplex) -> np.ndarray:
    """Of all straight edges."""
    ends = geometry.segments if isinstance(geometry, PlanarMap) else geometry.edges
    return np.asarray(np.linalg.norm(geometry.points[ends[:, 1]] - geometry.points[ends[:, 0]], axis=1))


@pytest.mark.parametrize("periodic", [(), ("x", "y")])
@pytest.mark.parametrize(("dimension", "count"), [(2, 800), (3, 80)])
def test_short_edges_go(dimension: int, count: int, periodic: tuple[str, ...]) -> None:
    size = BOX[dimension]
    rough = tessellate(dimension, size, number=count, periodic=periodic, short_edges=0)
    tidy = tessellate(dimension, size, number=count, periodic=periodic)
    limit = 0.05 * (np.prod(size) / count) ** (1 / dimension)
    assert tidy.shortest == pytest.approx(limit, rel=1e-6, abs=0.0)
    before, after = edge_lengths(rough.geometry), edge_lengths(tidy.geometry)
    assert np.sum(after < limit) == tidy.left
    assert tidy.collapsed > 10
    assert tidy.left <= 0.06 * np.sum(before < limit)
    tidy.geometry.check()
    sizes, old = size_of(tidy.geometry), size_of(rough.geometry)  # a periodic one is cut elsewhere: sizes are the same
    assert abs(sizes.sum() / np.prod(size) - 1) < EXACT
    assert np.abs(sizes - old).max() < 0.1 * old.mean()
    assert np.array_equal(tidy.geometry.grains, np.arange(count))


def test_faces_stay_plane_and_sides_stay_sides() -> None:
    made = tessellate(3, BOX[3], number=60, short_edges=0.15)
    geometry = made.geometry
    assert isinstance(geometry, CellComplex)
    geometry.check()  # faces are plane
    outer = geometry.right < 0
    for axis in range(3):
        normals = np.abs(geometry.vectors[outer]) / geometry.areas[outer, None]
        area = geometry.areas[outer][normals[:, axis] > 1 - 1e-12].sum()
        assert area == pytest.approx(2 * np.prod(BOX[3]) / BOX[3][axis], rel=1e-12, abs=0.0)


@pytest.mark.parametrize("periodic", [(), ("x", "y", "z")])
def test_every_point_lies_in_one_grain(periodic: tuple[str, ...]) -> None:
    """Solid angles: the surface of a grain winds once around points within, not at all around others."""
    geometry = tessellate(3, BOX[3], number=30, short_edges=0.15, periodic=periodic).geometry
    assert isinstance(geometry, CellComplex)
    loops, points = geometry.loops, somewhere(200, 3, 9)
    first = geometry.points[loops.flat[loops.starts[:-1]]][loops.owner]
    corners = [first, geometry.points[loops.flat], geometry.points[loops.flat[loops.after]]]
    angles = np.zeros((len(points), len(geometry.faces)))
    for k, place in enumerate(points):
        a, b, c = ((x - place) / np.linalg.norm(x - place, axis=1)[:, None] for x in corners)
        dot = 1 + (a * b).sum(1) + (b * c).sum(1) + (c * a).sum(1)
        angles[k] = loops.sums(2 * np.arctan2((a * np.cross(b, c)).sum(1), dot))
    winding = np.zeros((len(points), 31))
    np.add.at(winding.T, geometry.left, angles.T / (4 * np.pi))
    np.add.at(winding.T, geometry.right, -angles.T / (4 * np.pi))
    winding = winding[:, :-1]  # the last is the outside
    np.testing.assert_allclose(np.sort(winding, axis=1)[:, -1], 1, atol=1e-9)
    np.testing.assert_allclose(np.sort(winding, axis=1)[:, :-1], 0, atol=1e-9)


def test_nothing_is_collapsed_on_request() -> None:
    partition = laguerre(somewhere(30, 2), None, BOX[2])
    assert tidied(partition, 0.0).partition is partition


# ---- columns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"spread": 0.4}, {"lloyd": 2}])
@pytest.mark.parametrize("periodic", [(), ("x",), ("x", "y")])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_columns_in_a_section_are_upright(axis: str, periodic: tuple[str, ...], options: dict[str, Any]) -> None:
    made = tessellate(2, BOX[2], number=12, columnar=axis, periodic=periodic, **options)
    geometry = made.geometry
    assert isinstance(geometry, PlanarMap)
    geometry.check()
    across = 1 - "xy".index(axis)
    assert len(geometry.grains) == 12
    assert abs(geometry.areas.sum() / np.prod(BOX[2]) - 1) < EXACT
    for chain, left, right in zip(geometry.chains, geometry.left, geometry.right, strict=True):
        if min(left, right) >= 0:
            assert len(set(geometry.points[chain][:, across].tolist())) == 1
    for pair, length in pair_measures(geometry).items():
        assert pair[0] != pair[1]
        assert length % BOX[2][1 - across] == pytest.approx(0, abs=1e-18)
    if "spread" in options:
        np.testing.assert_allclose(np.sort(geometry.areas), lognormal_sizes(12, 0.4, 1, np.prod(BOX[2])), rtol=1e-9)


def test_columns_contain_their_seeds() -> None:
    seeds = np.array([[1.7e-6], [0.2e-6], [0.9e-6]])
    for periodic, widths in (((), [0.7, 0.55, 0.75]), (("x",), [0.65, 0.6, 0.75])):
        made = tessellate(2, BOX[2], seeds=seeds, columnar="y", periodic=periodic)
        np.testing.assert_allclose(size_of(made.geometry), np.array(widths) * 1e-12, rtol=1e-12)


@pytest.mark.parametrize("periodic", [(), ("x", "y", "z")])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_columns_in_space_are_extruded(axis: int, periodic: tuple[str, ...]) -> None:
    made = tessellate(3, BOX[3], number=25, columnar="xyz"[axis], periodic=periodic, spread=0.3, lloyd=2)
    geometry = made.geometry
    assert isinstance(geometry, CellComplex)
    geometry.check()
    assert abs(geometry.volumes.sum() / np.prod(BOX[3]) - 1) < EXACT
    assert np.all(geometry.vectors[geometry.right >= 0][:, axis] == 0)
    assert np.log(geometry.volumes).std() == pytest.approx(0.6, rel=0.1, abs=0.0)


# ---- orientations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.0, 5.0, 20.0])
def test_fibre_texture(spread: float) -> None:
    texture = Texture((1, 1, 0), along=(0.0, 1.0, 2.0), spread=spread)
    turned = texture.orientations(20_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1, atol=1e-12)
    crystal = rotated(turned, np.broadcast_to(texture.fibre, (20_000, 3)))
    tilt = np.degrees(np.arccos(np.clip(crystal @ np.array([1, 1, 0]) / np.sqrt(2), -1, 1)))
    # Rayleigh's law: the mean tilt is spread sqrt(pi / 2)
    assert tilt.mean() == pytest.approx(spread * np.sqrt(np.pi / 2), rel=0.03, abs=1e-5)
    # no direction across is preferred, and nothing about the fibre: a crystal direction across it goes all around
    other = rotated(turned * [1, -1, -1, -1], np.broadcast_to(np.array([0.0, 0.0, 1.0]), (20_000, 3)))
    assert np.abs(other.mean(axis=0)).max() < 0.02
    across = np.array([1.0, 0.0, 0.0])
    angle = np.arctan2(other @ np.cross(texture.fibre, across), other @ across)
    assert abs(np.exp(1j * angle).mean()) < 0.02 and abs(np.exp(2j * angle).mean()) < 0.02


def test_a_texture_may_hold_for_some_grains_only() -> None:
    turned = Texture((0, 0, 1), "z", 0.0, fraction=0.3).orientations(1000, np.random.default_rng(0))
    crystal = rotated(turned, np.broadcast_to(np.array([0.0, 0.0, 1.0]), (1000, 3)))
    assert np.sum(crystal[:, 2] > 1 - 1e-12) == 300


def test_orientations_are_those_of_orix() -> None:
    orix = pytest.importorskip("orix.quaternion")
    vector = pytest.importorskip("orix.vector")
    turned = Texture((1, 1, 1), "x").orientations(5, np.random.default_rng(0))
    crystal = (orix.Orientation(turned) * vector.Vector3d([1, 0, 0])).data
    np.testing.assert_allclose(crystal, np.full((5, 3), 1 / np.sqrt(3)), atol=1e-12)


def test_random_orientations_and_directions() -> None:
    rng = np.random.default_rng(0)
    turned = uniform_orientations(50_000, rng)
    # for uniform rotations the angle's density is (1 - cos)/pi: its mean is pi/2 + 2/pi
    angle = 2 * np.arccos(np.abs(turned[:, 0]))
    assert angle.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, rel=0.005, abs=0.0)
    even = around(np.array([0.0, 0.0, 1.0]), 1e6, 50_000, rng)  # so wide that nothing is preferred
    assert np.abs(even.mean(axis=0)).max() < 0.01
    assert np.mean(even[:, 2] ** 2) == pytest.approx(1 / 3, rel=0.02, abs=0.0)


def test_shortest_rotation_of_opposite_vectors() -> None:
    for target in np.eye(3):
        np.testing.assert_allclose(rotated(shortest(-target[None], target), -target[None]), target[None], atol=1e-12)


# ---- the whole --------------------------------------------------------------------------------------------------


def test_a_polycrystal_is_a_microstructure() -> None:
    for dimension in (2, 3):
        made = polycrystal(dimension, BOX[dimension], number=25, texture=Texture((1, 0, 0), "y", 3.0), phase="llzo")
        assert (made.dimension, len(made), made.phases, made.point_groups) == (dimension, 25, ("llzo",), ("m-3m",))
        assert made.sizes.sum() == pytest.approx(np.prod(BOX[dimension]), rel=1e-12, abs=0.0)
        assert made.geometry is not None
        made.geometry.check()
        assert pair_measures(made.geometry) == pytest.approx(
            dict(zip(map(tuple, made.pairs.tolist()), made.measures.tolist(), strict=True)), rel=1e-9, abs=0.0
        )


def test_the_same_seed_gives_the_same() -> None:
    def make(seed: int, **options: Any) -> Any:
        return polycrystal(2, BOX[2], number=30, spread=0.3, lloyd=1, seed=seed, **options)

    one, two, other = make(1), make(1), make(2)
    assert np.array_equal(one.geometry.points, two.geometry.points)
    assert np.array_equal(one.orientations, two.orientations)
    assert not np.array_equal(one.orientations, other.orientations)
    assert np.array_equal(make(1, short_edges=0.0).orientations, one.orientations)


def test_many_grains() -> None:
    made = tessellate(2, (1e-4, 1e-4), number=10_000)
    assert isinstance(made, Tessellation)
    geometry = made.geometry
    geometry.check()
    assert len(geometry.grains) == 10_000
    assert abs(size_of(geometry).sum() / 1e-8 - 1) < EXACT


def test_chains_run_from_junction_to_junction() -> None:
    geometry = tessellate(2, BOX[2], number=50, short_edges=0).geometry
    assert isinstance(geometry, PlanarMap)
    ends = np.bincount(geometry.ends.ravel(), minlength=len(geometry.points))
    inner = np.concatenate([chain[1:-1] for chain in geometry.chains])
    assert len(inner) and np.all(ends[inner] == 0)  # corners of the box
    chains, first = chained(np.array([[0, 1], [2, 1], [2, 0], [3, 4]]))
    assert [chain.tolist() for chain in chains] == [[3, 4], [0, 1, 2, 0]] and first.tolist() == [3, 0]


def test_edges_know_both_sides() -> None:
    partition = laguerre(np.array([[0.5, 0.5], [1.5, 0.5]]), None, np.array([2.0, 1.0]))
    ends, sides = edges_of(partition.loops)
    assert np.sum(sides[:, 1] >= 0) == 1 and np.sum(sides[:, 1] < 0) == 6
    assert sorted(sides[sides[:, 1] >= 0][0].tolist()) == [0, 1]
    assert len(ends) == 7


def test_complexes_that_are_none_are_refused() -> None:
    good = cell_complex(laguerre(somewhere(5, 3), None, BOX[3]))
    good.check()
    assert good.volume(2) == good.volumes[2] and good.area(3) == good.areas[3]
    assert sum(good.area(face) for face, _ in good.faces_of(0)) > 0
    bent = good.points.copy()
    bent[int(good.quadruple_points()[0])] += 1e-8
    with pytest.raises(ValueError, match="not plane"):
        CellComplex(bent, good.faces, good.left, good.right).check()
    with pytest.raises(ValueError, match="not closed"):
        CellComplex(good.points, good.faces[1:], good.left[1:], good.right[1:]).check()
    with pytest.raises(ValueError, match="no volume"):
        CellComplex(good.points, tuple(f[::-1] for f in good.faces), good.left, good.right).check()
    with pytest.raises(ValueError, match="both sides"):
        CellComplex(good.points, good.faces, good.left, good.left).check()


def test_junctions_of_four_cubes() -> None:
    seeds = [(x, y, 0.5) for x in (0.5, 1.5) for y in (0.5, 1.5)]
    made = tessellate(3, (2.0, 2.0, 1.0), seeds=seeds).geometry
    assert isinstance(made, CellComplex)
    lines = made.points[made.triple_lines()]
    assert lines.shape == (1, 2, 3) and np.all(lines[..., :2] == 1.0)
    assert np.all(made.points[made.quadruple_points()][:, :2] == 1.0)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"dimension": 4}, "dimension"),
        ({"size": (1e-6,)}, "size"),
        ({"size": (1e-6, -1.0)}, "size"),
        ({"size": (1e-6, "3 kg")}, "size"),
        ({"number": None}, "number"),
        ({"number": 0}, "number"),
        ({"mean_size": 1e-7}, "number"),
        ({"number": None, "mean_size": "1 fm"}, "mean_size"),
        ({"number": None, "mean_size": 0.0}, "mean_size"),
        ({"spread": -0.1}, "spread"),
        ({"spread": float("nan")}, "spread"),
        ({"lloyd": -1}, "lloyd"),
        ({"short_edges": 0.9}, "short_edges"),
        ({"periodic": ("z",)}, "periodic"),
        ({"columnar": "w"}, "columnar"),
        ({"number": None, "seeds": [(0.1, 0.1, 0.1)]}, "seeds"),
        ({"number": None, "seeds": [(1e-7, 1e-7), (3e-6, 0.0)]}, "seeds.1"),
        ({"number": None, "seeds": [(float("nan"), 0.0)]}, "seeds.0"),
        ({"number": None, "seeds": [(1e-7, 1e-7), (0, 0), (1e-7, 1e-7)]}, "seeds.2"),
        ({"number": None, "seeds": [(0, 1e-7), (1e-6, 1e-7)], "periodic": ("x",)}, "seeds.1"),
        ({"weights": [0.0] * 10}, "weights"),
        ({"number": None, "seeds": [(1e-7, 1e-7), (2e-7, 2e-7)], "weights": [0.0, 1e-12]}, "weights"),
        ({"number": None, "seeds": [(1e-7, 1e-7)], "weights": [0.0, 1e-12]}, "weights"),
    ],
)
def test_nonsense_is_refused(arguments: dict[str, Any], key: str) -> None:
    given: dict[str, Any] = {"dimension": 2, "size": (1e-6, 1e-6), "number": 10} | arguments
    with pytest.raises(cm.CaseError) as error:
        polycrystal(given.pop("dimension"), given.pop("size"), **given)
    assert error.value.key == key


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"direction": (0, 0, 0)}, "texture.direction"),
        ({"direction": (1, 0, 0), "along": "w"}, "texture.along"),
        ({"direction": (1, 0, 0), "along": (0, 0)}, "texture.along"),
        ({"direction": (1, 0, 0), "spread": -1}, "texture.spread"),
        ({"direction": (1, 0, 0), "fraction": 1.5}, "texture.fraction"),
    ],
)
def test_no_texture(arguments: dict[str, Any], key: str) -> None:
    with pytest.raises(cm.CaseError) as error:
        Texture(**arguments)
    assert error.value.key == key
