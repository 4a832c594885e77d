"""Meshes of grains: conforming, named, of good shape, the same on any number of ranks; and those of other programs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from chemomech.errors import CaseError
from chemomech.meshing.arrays import measures
from chemomech.meshing.body import distribute
from chemomech.meshing.foreign import read_grain_mesh, read_microstructpy, read_tess
from chemomech.meshing.grains import SIDES, GrainMesh, grain_facets, mesh_grains
from chemomech.meshing.layers import Layers
from chemomech.meshing.outline import outline
from chemomech.meshing.quality import shape
from chemomech.microstructure.planar import PlanarMap
from chemomech.microstructure.solid import CellComplex
from chemomech.microstructure.structure import Microstructure
from chemomech.microstructure.voronoi import polycrystal
from tests.tools import record

alone = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="needs no ranks")
ALIKE = [1.0, 0.0, 0.0, 0.0]


def structure_of(geometry: PlanarMap | CellComplex, phases: list[int] | None = None) -> Microstructure:
    """Random orientations; one cubic phase unless told."""
    grains = int(max(geometry.left.max(), geometry.right.max())) + 1
    turned = np.random.default_rng(3).normal(size=(grains, 4))
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    return Microstructure.from_geometry(
        geometry, ("a", "b"), np.array(phases or [0] * grains), turned, ("m-3m", "6/mmm")
    )


def section(points: list[list[float]], chains: list[tuple[list[int], int, int]]) -> PlanarMap:
    plane = PlanarMap(
        np.array(points, dtype=float) * 1e-6,
        tuple(np.array(chain) for chain, _, _ in chains),
        np.array([left for _, left, _ in chains]),
        np.array([right for _, _, right in chains]),
    )
    plane.check()
    return plane


def two_halves() -> PlanarMap:
    """A square of 1 um in two halves."""
    places = [[0.5, 0], [0.5, 1], [0, 0], [0, 1], [1, 0], [1, 1]]
    return section(places, [([0, 1], 0, 1), ([1, 3, 2, 0], 0, -1), ([0, 4, 5, 1], 1, -1)])


def island() -> PlanarMap:
    """A round grain inside a square one, and a triangle inside the round one."""
    turn = np.linspace(0, 2 * np.pi, 65)[:-1]
    circle = np.stack([0.5 + 0.3 * np.cos(turn), 0.5 + 0.3 * np.sin(turn)], axis=1).tolist()
    places = [[0, 0], [1, 0], [1, 1], [0, 1], *circle, [0.45, 0.45], [0.55, 0.45], [0.5, 0.55]]
    ring = [*range(4, 68), 4]
    return section(places, [([0, 1, 2, 3, 0], 0, -1), (ring, 1, 0), ([68, 69, 70, 68], 2, 1)])


def lens() -> PlanarMap:
    """Two grains that meet in two separate chains, around a lens of a third one."""
    t = np.linspace(0.2, 0.8, 21)
    bow = 0.12 * (1.0 - ((t - 0.5) / 0.3) ** 2)
    low = np.stack([t, 0.5 - bow], axis=1)[1:-1].tolist()
    high = np.stack([t, 0.5 + bow], axis=1)[1:-1].tolist()
    places = [[0, 0.5], [0.2, 0.5], [0.8, 0.5], [1, 0.5], [0, 0], [1, 0], [1, 1], [0, 1], *low, *high]
    n = len(low)
    return section(places, [
        ([0, 1], 1, 0), ([2, 3], 1, 0), ([1, *range(8, 8 + n), 2], 2, 0), ([1, *range(8 + n, 8 + 2 * n), 2], 1, 2),
        ([0, 4, 5, 3], 0, -1), ([3, 6, 7, 0], 1, -1),
    ])  # fmt: skip


def two_cubes() -> CellComplex:
    """Two cubes of 1 um on one another along x."""
    points = np.array([[x, y, z] for x in (0, 1, 2) for y in (0, 1) for z in (0, 1)], dtype=float) * 1e-6
    faces, left, right = [], [], []
    for grain in (0, 1):
        at = 4 * grain
        sides = [[at, at + 2, at + 6, at + 4], [at + 1, at + 5, at + 7, at + 3], [at, at + 4, at + 5, at + 1],
                 [at + 2, at + 3, at + 7, at + 6]]  # fmt: skip
        sides.append([0, 1, 3, 2] if grain == 0 else [8, 10, 11, 9])
        faces += sides
        left += [grain] * 5
        right += [-1] * 5
    body = CellComplex(
        points, tuple(np.array(f) for f in [*faces, [4, 6, 7, 5]]), np.array([*left, 0]), np.array([*right, 1])
    )
    body.check()
    return body


def checked(mesh: GrainMesh, lengths: float = 1e-10) -> None:
    """What every mesh has to be."""
    structure = mesh.structure
    assert mesh.boundary_measures() == pytest.approx(structure.measures, rel=lengths, abs=0.0)
    assert mesh.grain_measures().sum() == pytest.approx(structure.sizes.sum(), rel=1e-12, abs=0.0)
    facets, sides = grain_facets(mesh.cells, mesh.cell_grain)
    # Each facet between two grains and each outer one is there once, and is tagged by its pair.
    assert {tuple(sorted(f)) for f in facets.tolist()} == {tuple(sorted(f)) for f in mesh.facets.tolist()}
    assert len(mesh.facets) == len(np.unique(np.sort(mesh.facets, axis=1), axis=0))
    of_pair = dict(zip([tuple(sorted(f)) for f in facets.tolist()], np.sort(sides, axis=1).tolist(), strict=True))
    for facet, number in zip(mesh.facets.tolist(), mesh.facet_boundary.tolist(), strict=True):
        pair = of_pair[tuple(sorted(facet))]
        assert pair[0] < 0 if number < 0 else structure.pairs[number].tolist() == pair
    # No node hangs: a mesh of a disc or ball has the right number of edges for its nodes.
    assert len(np.unique(mesh.cells)) == len(mesh.points)


# ---- sections ----------------------------------------------------------------------------------------
@alone
@pytest.mark.parametrize("make", [two_halves, island, lens])
def test_small_sections(make: object) -> None:
    plane = make()  # type: ignore[operator]
    mesh = mesh_grains(structure_of(plane), 0.1e-6, boundary_size=0.05e-6, growth=0.5)
    bent = any(len(chain) > 2 and -1 not in (a, b)
               for chain, a, b in zip(plane.chains, plane.left, plane.right, strict=True))  # fmt: skip
    checked(mesh, 2e-2 if bent else 1e-12)
    assert mesh.grain_measures() == pytest.approx(plane.areas, rel=1e-9, abs=0.0)
    q = mesh.quality()
    assert q.worst > 0.4
    assert q.mean > 0.9
    assert q.shortest > 0.2 * 0.05e-6
    assert q.longest < 2.0 * 0.1e-6
    for side in SIDES[:4]:
        assert q.facets_of[side] >= 10
    assert "free" not in q.facets_of


@alone
def test_voronoi_lengths_are_exact() -> None:
    structure = polycrystal(2, (10e-6, 6e-6), number=60, short_edges=0.0, seed=5)
    mesh = mesh_grains(structure, 0.4e-6, boundary_size=0.15e-6)
    checked(mesh)
    assert mesh.grain_measures() == pytest.approx(structure.sizes, rel=1e-12, abs=0.0)
    assert mesh.quality().mean > 0.9


@alone
def test_sizes_grow_inwards() -> None:
    mesh = mesh_grains(structure_of(two_halves()), 0.1e-6, boundary_size=0.01e-6, growth=0.3)
    middle = mesh.points[mesh.cells].mean(axis=1)
    edge = np.sqrt(measures(mesh.points, mesh.cells) * 4.0 / np.sqrt(3.0))
    near = np.abs(middle[:, 0] - 0.5e-6)
    off = np.minimum.reduce([middle[:, 0], 1e-6 - middle[:, 0], middle[:, 1], 1e-6 - middle[:, 1], near])
    assert np.median(edge[off < 0.01e-6]) < 0.012e-6
    assert np.median(edge[off > 0.15e-6]) > 0.03e-6


@alone
def test_the_same_every_time() -> None:
    structure = polycrystal(2, (4e-6, 4e-6), number=20, seed=2)
    one, two = (mesh_grains(structure, 0.3e-6, boundary_size=0.2e-6) for _ in range(2))
    assert np.array_equal(one.points, two.points)
    assert np.array_equal(one.cells, two.cells)
    assert np.array_equal(one.facet_boundary, two.facet_boundary)


@alone
def test_progress_is_told() -> None:
    told: list[tuple[int, int, str]] = []
    structure = polycrystal(2, (4e-6, 4e-6), number=70, seed=2)
    mesh_grains(structure, 0.3e-6, progress=lambda done, total, text: told.append((done, total, text)))
    assert told == [(64, 70, "grains"), (70, 70, "grains")]


@alone
def test_a_grain_in_several_pieces() -> None:
    structure = polycrystal(2, (4e-6, 4e-6), number=8, periodic=("x", "y"), seed=2)
    mesh = mesh_grains(structure, 0.3e-6)
    assert mesh.grain_measures() == pytest.approx(structure.sizes, rel=1e-12, abs=0.0)


@alone
def test_lines_near_each_other_are_cut_fine() -> None:
    points = np.array([[0, 0], [1, 0], [0, 0.02], [1, 0.02], [0, 1], [1, 1]], dtype=float)
    cut = outline(points, [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])], 0.2, 0.2)
    assert len(cut.lines[0]) == len(cut.lines[1]) > 40
    assert len(cut.lines[2]) == 6


@alone
@pytest.mark.parametrize(
    ("key", "given"),
    [("size", {"size": 0.0}), ("boundary_size", {"size": 1e-7, "boundary_size": 2e-7}), ("growth", {"growth": 0.0})],
)
def test_senseless_numbers(key: str, given: dict[str, float]) -> None:
    with pytest.raises(CaseError, match=key):
        mesh_grains(structure_of(two_halves()), **{"size": 1e-7, **given})


@alone
def test_layers_do_not_exist_in_3d_and_nothing_is_meshed_without_geometry() -> None:
    with pytest.raises(CaseError, match="2D"):
        mesh_grains(structure_of(two_cubes()), 3e-7, layers=Layers(1e-9))
    bare = structure_of(two_halves())
    with pytest.raises(CaseError, match="geometry"):
        mesh_grains(Microstructure(**{**_fields(bare), "geometry": None}), 1e-7)


def _fields(structure: Microstructure) -> dict[str, object]:
    return {name: getattr(structure, name) for name in structure.__dataclass_fields__}


# ---- layers ------------------------------------------------------------------------------------------
@alone
def test_layers_along_a_boundary() -> None:
    layers = Layers(2e-9, 1.4, 4)
    mesh = mesh_grains(structure_of(two_halves()), 0.1e-6, boundary_size=0.05e-6, layers=layers)
    checked(mesh, 1e-12)
    heights = np.abs(mesh.points[:, 0] - 0.5e-6)
    # Away from the ends every level is there, on both sides.
    middle = np.abs(mesh.points[:, 1] - 0.5e-6) < 0.3e-6
    for height in layers.heights[1:]:
        assert np.sum(np.abs(heights[middle] - height) < 1e-15) >= 20
    assert layers.heights[-1] == pytest.approx(2e-9 * (1 + 1.4 + 1.4**2 + 1.4**3), rel=1e-6, abs=0.0)


@alone
def test_layers_give_way_at_junctions() -> None:
    structure = polycrystal(2, (4e-6, 4e-6), number=30, seed=4)
    with pytest.warns(UserWarning, match="no room for layers"):
        mesh = mesh_grains(structure, 0.15e-6, boundary_size=0.08e-6, layers=Layers(8e-9, 1.3, 5))
    checked(mesh)
    thin = mesh_grains(structure, 0.15e-6, boundary_size=0.08e-6)
    assert len(mesh.cells) > 1.5 * len(thin.cells)
    cells = mesh.points[mesh.cells][:, :, :2]
    longest = max(np.linalg.norm(cells[:, i] - cells[:, j], axis=1).max() for i, j in ((0, 1), (1, 2), (2, 0)))
    assert longest < 0.4e-6


@alone
def test_layers_round_an_island() -> None:
    mesh = mesh_grains(structure_of(island()), 0.1e-6, boundary_size=0.03e-6, layers=Layers(2e-9, 1.3, 3))
    assert mesh.grain_measures() == pytest.approx(structure_of(island()).sizes, rel=1e-9, abs=0.0)


@alone
@pytest.mark.parametrize("given", [{"first": 0.0}, {"first": 1e-9, "growth": 0.5}, {"first": 1e-9, "count": 0}])
def test_senseless_layers(given: dict[str, float]) -> None:
    with pytest.raises(CaseError, match="layers"):
        Layers(**given)  # type: ignore[arg-type]


# ---- bodies ------------------------------------------------------------------------------------------
@alone
def test_two_cubes() -> None:
    mesh = mesh_grains(structure_of(two_cubes(), [0, 1]), 0.3e-6)
    checked(mesh)
    assert mesh.grain_measures() == pytest.approx([1e-18, 1e-18], rel=1e-12, abs=0.0)
    q = mesh.quality()
    assert q.worst > 0.2
    assert list(q.facets_of) == list(SIDES[:6])
    assert list(q.interfaces_of) == ["a|b"]


@alone
@pytest.mark.parametrize("columnar", [None, "z"])
def test_polycrystal_in_space(columnar: str | None) -> None:
    structure = polycrystal(3, (2e-6, 2e-6, 2e-6), number=12, columnar=columnar, seed=1)
    mesh = mesh_grains(structure, 0.5e-6, boundary_size=0.3e-6, growth=0.4)
    checked(mesh)
    assert mesh.grain_measures() == pytest.approx(structure.sizes, rel=1e-9, abs=0.0)
    assert mesh.quality().worst > 0.1


@alone
def test_a_grain_in_several_pieces_in_space() -> None:
    structure = polycrystal(3, (2e-6, 2e-6, 2e-6), number=6, periodic=("x", "y"), seed=2)
    mesh = mesh_grains(structure, 0.5e-6)
    assert mesh.grain_measures() == pytest.approx(structure.sizes, rel=1e-9, abs=0.0)


# ---- names and files ---------------------------------------------------------------------------------
def phased() -> GrainMesh:
    structure = polycrystal(2, (4e-6, 4e-6), number=20, seed=2)
    phases = np.arange(20) % 2
    structure = Microstructure.from_geometry(
        structure.geometry, ("iron", "cementite"), phases, structure.orientations, ("m-3m", "mmm")
    )
    return mesh_grains(structure, 0.4e-6, boundary_size=0.3e-6)


@alone
def test_names() -> None:
    mesh = phased()
    by_phase, by_grain, by_class = (mesh.to_arrays(by) for by in ("phase", "grain", "class"))
    assert by_phase.phases == by_class.phases == {"iron": 1, "cementite": 2}
    assert set(by_phase.boundaries) == {*SIDES[:4], "iron|cementite", "HAGB", "LAGB"} & set(by_phase.boundaries)
    assert "iron|cementite" in by_phase.boundaries
    assert "phase" in by_class.boundaries
    assert list(by_grain.phases)[3] == "grain-3"
    assert list(by_grain.boundaries)[4:] == list(mesh.structure.names)
    assert np.array_equal(by_grain.cell_tags, mesh.cell_grain + 1)
    for arrays in (by_phase, by_grain, by_class):
        assert set(arrays.facet_tags.tolist()) <= set(arrays.boundaries.values())
        assert len(arrays.facet_tags) == len(mesh.facets)
    with pytest.raises(CaseError, match="did you mean 'grain'"):
        mesh.to_arrays("grains")  # type: ignore[arg-type]


@alone
def test_unknown_phases_have_a_name() -> None:
    plane = two_halves()
    structure = Microstructure.from_geometry(plane, ("a",), np.array([0, -1]), np.tile(ALIKE, (2, 1)), ("m-3m",))
    assert mesh_grains(structure, 3e-7).to_arrays().phases == {"a": 1, "unknown": 2}


@alone
def test_there_and_back(tmp_path: Path) -> None:
    mesh = phased()
    mesh.save(tmp_path / "grains.msh")
    turned = mesh.structure.orientations
    back = read_grain_mesh(tmp_path / "grains.msh", orientations=turned)
    assert np.array_equal(back.structure.pairs, mesh.structure.pairs)
    assert back.structure.measures == pytest.approx(mesh.structure.measures, rel=1e-12, abs=0.0)
    assert back.structure.sizes == pytest.approx(mesh.structure.sizes, rel=1e-12, abs=0.0)
    assert len(back.structure.junctions) == len(mesh.structure.junctions)
    mesh.save(tmp_path / "grains.vtu")
    import meshio

    seen = meshio.read(tmp_path / "grains.vtu")
    assert np.array_equal(seen.cell_data["grain"][0], mesh.cell_grain)
    with pytest.raises(CaseError, match="ending"):
        mesh.save(tmp_path / "grains.stl")


@alone
def test_there_and_back_in_space(tmp_path: Path) -> None:
    mesh = mesh_grains(structure_of(two_cubes()), 0.5e-6)
    mesh.save(tmp_path / "cubes.msh")
    with pytest.warns(UserWarning, match="oriented alike"):
        back = read_grain_mesh(tmp_path / "cubes.msh")
    assert back.structure.measures == pytest.approx([1e-12], rel=1e-12, abs=0.0)
    assert back.structure.sizes == pytest.approx([1e-18, 1e-18], rel=1e-12, abs=0.0)


@alone
def test_what_is_no_mesh(tmp_path: Path) -> None:
    (tmp_path / "a.msh").write_text("nothing of that kind\n")
    for read, name in (
        (read_grain_mesh, "a.msh"),
        (read_tess, "a.msh"),
        (read_microstructpy, "a.msh"),
        (read_tess, "b"),
    ):
        with pytest.raises(CaseError, match="path"):
            read(tmp_path / name)  # type: ignore[operator]


# ---- other programs ----------------------------------------------------------------------------------
TESS = """***tess
 **format
   3.5
 **general
   2 standard
 **cell
  2
  *id
   1 2
  *crysym
   cubic
  *ori
   {descriptor}
 **vertex
 6
   1 0.5 0.0 0.0 0
   2 0.5 1.0 0.0 0
   3 0.0 0.0 0.0 0
   4 0.0 1.0 0.0 0
   5 1.0 0.0 0.0 0
   6 1.0 1.0 0.0 0
 **edge
 7
   1 1 2 0
   2 2 4 0
   3 4 3 0
   4 3 1 0
   5 1 5 0
   6 5 6 0
   7 6 2 0
 **face
 2
   1 4 1 2 4 3
     4 1 2 3 4
     0.0 0.0 0.0 1.0
     0 -1 0.0 0.0 0.0
   2 4 1 5 6 2
     4 5 6 7 -1
     0.0 0.0 0.0 -1.0
     0 -1 0.0 0.0 0.0
***end
"""


@alone
@pytest.mark.parametrize(
    ("descriptor", "second"),
    [
        ("rodrigues:active\n 0 0 0\n 0 0 0.26794919243112270", [0.9659258262890683, 0, 0, -0.25881904510252074]),
        ("rodrigues:passive\n 0 0 0\n 0 0 0.26794919243112270", [0.9659258262890683, 0, 0, 0.25881904510252074]),
        ("euler-bunge:active\n 0 0 0\n 10 0 20", [0.9659258262890683, 0, 0, -0.25881904510252074]),
        ("axis-angle:active\n 0 0 1 0\n 0 0 2 30", [0.9659258262890683, 0, 0, -0.25881904510252074]),
    ],
)
def test_neper_tessellation(tmp_path: Path, descriptor: str, second: list[float]) -> None:
    (tmp_path / "two.tess").write_text(TESS.format(descriptor=descriptor))
    structure = read_tess(tmp_path / "two.tess", length_unit=1e-6)
    assert structure.sizes == pytest.approx([0.5e-12, 0.5e-12], rel=1e-6, abs=0.0)
    assert structure.measures == pytest.approx([1e-6], rel=1e-6, abs=0.0)
    assert structure.angles == pytest.approx([30.0], rel=1e-6, abs=0.0)
    assert structure.orientations[1] == pytest.approx(second, rel=1e-6, abs=0.0)
    structure.geometry.check()  # type: ignore[union-attr]
    checked(mesh_grains(structure, 0.2e-6))


@alone
def test_euler_angles_are_those_of_orix(tmp_path: Path) -> None:
    orientation = pytest.importorskip("orix.quaternion").Orientation
    (tmp_path / "two.tess").write_text(TESS.format(descriptor="euler-bunge:active\n 0 0 0\n 31 47 112"))
    found = read_tess(tmp_path / "two.tess").orientations[1]
    wanted = orientation.from_euler([31, 47, 112], degrees=True).data[0]
    assert abs(found @ wanted) == pytest.approx(1.0, abs=1e-12)


@alone
def test_microstructpy(tmp_path: Path) -> None:
    text = (
        "Mesh Points: 4\n\t0.0, 0.0\n\t1.0, 0.0\n\t3.0, 2.0\n\t2.0, 2.0\nMesh Facets: 5\n\t0, 1\n\t1, 2\n\t2, 3\n"
        "\t3, 0\n\t1, 3\nMesh Regions: 2\n\t0, 4, 3\n\t1, 2, 4\nSeed Numbers: 2\n\t0\n\t1\nPhase Numbers: 2\n\t0\n\t1\n"
    )
    (tmp_path / "polymesh.txt").write_text(text)
    with pytest.warns(UserWarning, match="oriented alike"):
        structure = read_microstructpy(
            tmp_path / "polymesh.txt", length_unit=1e-6, phases=("a", "b"), point_groups=("m-3m", "m-3m")
        )
    assert structure.sizes == pytest.approx([1e-12, 1e-12], rel=1e-6, abs=0.0)
    assert structure.classes == ("phase",)
    mesh = mesh_grains(structure, 0.3e-6)
    checked(mesh)
    assert "free" in mesh.to_arrays().boundaries
    with pytest.raises(CaseError, match="phases"):
        read_microstructpy(tmp_path / "polymesh.txt")


# ---- ranks -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dimension", [2, 3])
def test_tags_on_all_ranks(dimension: int) -> None:
    """Every interior facet between two grains has one tag, and the tagged lengths are those of the structure."""
    import ufl
    from dolfinx import fem

    comm = MPI.COMM_WORLD
    number, size = (25, 0.4e-6) if dimension == 2 else (6, 1.0e-6)
    structure = polycrystal(dimension, (3e-6,) * dimension, number=number, seed=6)
    mesh = mesh_grains(structure, size) if comm.rank == 0 else None
    body = distribute(mesh.to_arrays("grain") if mesh else None, 1e-6, comm)
    measure = ufl.Measure("dS", domain=body.mesh, subdomain_data=body.facet_tags)
    one = fem.Constant(body.mesh, 1.0)
    for name, wanted in zip(structure.names, structure.measures, strict=True):
        found = fem.assemble_scalar(fem.form(one * measure(body.boundaries[name])))
        assert comm.allreduce(found) * 1e-6 ** (dimension - 1) == pytest.approx(wanted, rel=1e-10, abs=0.0)
    values = np.zeros(len(body.cell_tags.values), dtype=np.int64)
    values[body.cell_tags.indices] = body.cell_tags.values
    facets = body.mesh.topology.index_map(dimension - 1)
    tag_of = dict(zip(body.facet_tags.indices.tolist(), body.facet_tags.values.tolist(), strict=True))
    assert len(tag_of) == len(body.facet_tags.indices)
    names = {tag: name for name, tag in body.boundaries.items()}
    cells_of = body.mesh.topology.connectivity(dimension - 1, dimension)
    for facet in range(facets.size_local):
        grains = sorted({int(values[cell]) - 1 for cell in cells_of.links(facet)})
        if len(grains) == 2:
            assert names[tag_of[facet]] == "|".join(f"grain-{g}" for g in grains)
        elif len(cells_of.links(facet)) == 2:
            assert facet not in tag_of


@pytest.mark.mpi
@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts ranks itself")
@pytest.mark.parametrize("ranks", [2, 3])
def test_on_several_ranks(ranks: int, tmp_path: Path) -> None:
    launch = ["mpirun", "--oversubscribe", "-n", str(ranks), sys.executable, "-m", "pytest", "-q", "--color=no"]
    done = subprocess.run(
        [*launch, "-p", "no:cacheprovider", "-k", "test_tags_on_all_ranks", __file__],
        capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTEST_DEBUG_TEMPROOT": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.count("2 passed") == ranks


# ---- real maps and large numbers ---------------------------------------------------------------------
def _maps() -> list[Path]:
    folder = Path(os.environ.get("CHEMOMECH_EBSD", Path(__file__).parents[2] / "shared" / "ebsd"))
    return sorted(folder.glob("*.ANG")) + sorted(folder.glob("*.ctf"))


@alone
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", _maps(), ids=lambda path: path.name)
@pytest.mark.parametrize("steps", [1.0, 2.5])
def test_real_maps(path: Path, steps: float) -> None:
    from chemomech.microstructure.ebsd.cleanup import clean
    from chemomech.microstructure.ebsd.reading import read_map
    from chemomech.microstructure.ebsd.segmentation import segment
    from chemomech.microstructure.ebsd.structure import section_to_structure

    ebsd = clean(read_map(path))[0]
    structure = section_to_structure(ebsd, segment(ebsd, 10.0, 5))
    mesh = mesh_grains(structure, 2.0 * steps * ebsd.step, boundary_size=steps * ebsd.step)
    q = mesh.quality()
    assert q.worst > 0.15
    assert q.mean > 0.8
    assert mesh.grain_measures() == pytest.approx(structure.sizes, rel=0.01, abs=0.0)
    assert q.volume == pytest.approx(structure.sizes.sum(), rel=1e-12, abs=0.0)


@alone
@pytest.mark.slow
@pytest.mark.parametrize(("dimension", "number", "limit"), [(2, 10_000, 180.0), (3, 1_000, 600.0)])
def test_many_grains(dimension: int, number: int, limit: float) -> None:
    structure = polycrystal(dimension, (1e-4,) * dimension, number=number, seed=1)
    grain = 1e-4 / number ** (1.0 / dimension)
    begin, clock = time.process_time(), time.perf_counter()
    mesh = mesh_grains(structure, 0.45 * grain, boundary_size=(0.2 if dimension == 2 else 0.45) * grain, growth=0.4)
    took = time.process_time() - begin
    record(
        f"grain_mesh_{dimension}d", grains=number, cells=len(mesh.cells), cpu_seconds=took,
        wall_seconds=time.perf_counter() - clock,
        boundaries=float(np.abs(mesh.boundary_measures() / structure.measures - 1.0).max()),
    )  # fmt: skip
    assert took < limit
    assert mesh.boundary_measures() == pytest.approx(structure.measures, rel=1e-10, abs=0.0)
    assert np.mean(shape(mesh.to_arrays()) < 0.15) < 1e-3
