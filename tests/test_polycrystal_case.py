"""Cases that make their own polycrystal or take a map: what is made, what is refused, and what the physics gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

import chemomech as cm
from chemomech.case import Polycrystal
from chemomech.errors import CaseError
from chemomech.materials.laws import Cubic
from chemomech.materials.orientation import crystal_axes, stiffnesses
from chemomech.meshing.arrays import MeshArrays, measures
from chemomech.meshing.generate import generate
from chemomech.meshing.quality import quality
from chemomech.microstructure.described import polycrystal_of
from chemomech.microstructure.relations import SIGMA3, disorientation, rotated, twin_deviation
from tests.test_ebsd import ang, ang_rows, euler, square
from tests.tools import gathered, physics_of

UM = 1e-6
alone = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="no other rank takes part")
SIDES = ("left", "right", "bottom", "top", "back", "front")
SILVER: dict[str, Any] = {"library": "Ag", "elasticity": {"kind": "cubic"}}


def case(domain: dict[str, Any], **more: Any) -> cm.Case:
    return cm.Case(**{"domain": domain, "materials": {"silver": SILVER}, "time": {"end": "1 s"}} | more)


def grains(**words: Any) -> dict[str, Any]:
    given = {"size": ["9 um", "8 um"], "grains": 20, "kind": "voronoi"} | words
    return {"shape": "polycrystal"} | {key: value for key, value in given.items() if value is not None}


def names_of(mesh: MeshArrays) -> dict[str, np.ndarray]:
    """Name -> corners of its facets, (f, d, 3)."""
    return {name: mesh.points[mesh.facets[mesh.facet_tags == tag]] for name, tag in mesh.boundaries.items()}


def lengths(mesh: MeshArrays) -> dict[str, float]:
    return {n: float(np.linalg.norm(x[:, 1] - x[:, 0], axis=1).sum()) for n, x in names_of(mesh).items()}


def pairs_of(mesh: MeshArrays, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The two grains at each facet of a class, (f, 2), and the direction of the facet, (f, 3)."""
    edges: dict[tuple[int, ...], list[int]] = {}
    for cell, grain in zip(mesh.cells.tolist(), mesh.cell_grain.tolist(), strict=True):
        for k in range(3):
            edges.setdefault(tuple(sorted(cell[:k] + cell[k + 1 :])), []).append(grain)
    facets = mesh.facets[mesh.facet_tags == mesh.boundaries[name]]
    along = mesh.points[facets[:, 1]] - mesh.points[facets[:, 0]]
    two = np.array([edges[tuple(sorted(f))] for f in facets.tolist()])
    return two, along / np.linalg.norm(along, axis=1)[:, None]


# -- what is made ----------------------------------------------------------------------------------------------


@alone
@pytest.mark.parametrize(
    "words",
    [
        {},
        {"grains": None, "grain_size": "2 um", "center": ["1 um", "-3 um"]},
        {"kind": "laguerre", "elongation": 3.0, "spread": 0.4},
        {"kind": "columnar", "grains": 6},
        {"kind": "bicrystal", "grains": None, "misorientation": "random"},
        {"kind": "single", "grains": None},
        {"size": ["3 um", "4 um", "3 um"], "grains": 6},
        {"size": ["4 um", "2 um", "3 um"], "kind": "columnar", "grains": 5},
        {"size": ["3 um", "2 um", "2 um"], "kind": "bicrystal", "grains": None, "misorientation": ["twin", "12 deg"]},
    ],
    ids=["grains", "size", "elongated", "columns", "bicrystal", "single", "box", "prisms", "tricrystal"],
)
def test_bodies_of_grains(words: dict[str, Any]) -> None:
    """They fill the rectangle or box, have its sides by name and a class for every facet between two grains."""
    given = case(grains(**words), mesh={"size": "0.7 um"})
    mesh = generate(given)
    domain = given.domain
    assert isinstance(domain, Polycrystal)
    d = len(domain.size)
    low = np.array(domain.center) - 0.5 * np.array(domain.size)
    assert mesh.points[:, :d].min(axis=0) == pytest.approx(low, abs=1e-12)
    assert mesh.points[:, :d].max(axis=0) == pytest.approx(low + domain.size, abs=1e-12)
    volume = np.bincount(mesh.cell_grain, measures(mesh.points, mesh.cells))
    assert np.all(volume > 0.0)
    assert volume.sum() == pytest.approx(np.prod(domain.size), rel=1e-9, abs=0.0)
    assert mesh.phases == {"silver": 1}
    assert len(volume) == mesh.grains == len(polycrystal_of(domain))
    sides = names_of(mesh)
    for k, name in enumerate(SIDES[: 2 * d]):
        axis = k // 2
        place = low[axis] + (k % 2) * domain.size[axis]
        assert len(sides.pop(name))
        assert names_of(mesh)[name][:, :, axis] == pytest.approx(place, abs=1e-12)
    assert set(sides) <= {"HAGB", "LAGB", "twin", "other"}
    assert quality(mesh).worst > 0.1
    again = generate(given)
    assert all(np.array_equal(a, b) for a, b in zip(mesh.to_dict().values(), again.to_dict().values(), strict=True))


@alone
def test_seeds_and_sizes() -> None:
    one, other = (generate(case(grains(seed=k), mesh={"size": "0.8 um"})) for k in (0, 1))
    assert np.abs(one.orientations - other.orientations).max() > 0.1
    assert one.points.shape != other.points.shape
    made = polycrystal_of(case(grains(kind="laguerre", grains=200, spread=0.3)).domain)  # type: ignore[arg-type]
    assert np.std(np.log(made.diameters)) == pytest.approx(0.3, rel=1e-6, abs=0.05)
    long = polycrystal_of(case(grains(grains=200, elongation=4.0, size=["20 um", "20 um"])).domain)  # type: ignore[arg-type]
    across, along = (np.abs(long.parts.directions[:, k]) @ long.parts.lengths for k in (0, 1))  # type: ignore[union-attr]
    assert along > 2.0 * across


@alone
def test_shares_of_classes() -> None:
    """Twins and low angles as asked for, twins in their planes; and the limits of the classes."""
    given = case(grains(grains=80, twins=0.25, low_angle=0.15, size=["20 um", "20 um"]), mesh={"size": "1.5 um"})
    mesh = generate(given)
    share = lengths(mesh)
    total = sum(share[name] for name in share if name not in SIDES)
    assert share["twin"] / total == pytest.approx(0.25, rel=1e-6, abs=0.05)
    assert share["LAGB"] / total == pytest.approx(0.15, rel=1e-6, abs=0.05)
    two, along = pairs_of(mesh, "twin")
    first, second = mesh.orientations[two[:, 0]], mesh.orientations[two[:, 1]]
    off, normals = twin_deviation(first, second, SIGMA3, "m-3m")
    assert np.median(off) < 1e-4
    assert off.max() < 15.0 / 3.0**0.5
    tilt = np.degrees(np.arcsin(np.abs(np.einsum("fpi,fi->fp", normals, along)))).min(axis=1)
    assert np.median(tilt) < 10.0
    two, _ = pairs_of(mesh, "LAGB")
    assert disorientation(mesh.orientations[two[:, 0]], mesh.orientations[two[:, 1]], "m-3m")[0].max() <= 15.0
    strict = generate(given.replace({"domain.classes.high_angle": "5 deg"}))
    two, _ = pairs_of(strict, "LAGB")
    assert disorientation(strict.orientations[two[:, 0]], strict.orientations[two[:, 1]], "m-3m")[0].max() <= 5.0
    with pytest.raises(CaseError, match=r"domain\.twins = 0\.9: these grains allow a share of 0\.\d+ only"):
        generate(given.replace({"domain.twins": 0.9, "domain.low_angle": None}))


@alone
@pytest.mark.parametrize(("turn", "name"), [("random", "HAGB"), ("twin", "twin"), (20.0, "HAGB"), ("9 deg", "LAGB")])
def test_bicrystals(turn: Any, name: str) -> None:
    mesh = generate(case(grains(kind="bicrystal", grains=None, misorientation=turn), mesh={"size": "1 um"}))
    assert mesh.grains == 2
    assert set(names_of(mesh)) == {*SIDES[:4], name}
    assert names_of(mesh)[name][:, :, 0] == pytest.approx(0.0, abs=1e-15)
    assert lengths(mesh)[name] == pytest.approx(8 * UM, rel=1e-9, abs=0.0)
    angle, axis = disorientation(mesh.orientations[:1], mesh.orientations[1:], "m-3m")
    if name == "twin":
        assert angle == pytest.approx(60.0, abs=1e-6)
        planes = rotated(mesh.orientations, np.array([1.0, 0.0, 0.0]))  # normal of the boundary in both crystals
        assert np.abs(planes) == pytest.approx(3.0**-0.5, abs=1e-9)
    elif turn != "random":
        assert angle == pytest.approx(20.0 if name == "HAGB" else 9.0, abs=1e-6)
        assert axis[0] == pytest.approx([0.0, 0.0, 1.0], abs=1e-6)
        left = crystal_axes(mesh.orientations[:1])[0]  # the left one leans to the left
        assert np.degrees(np.arctan2(left[1, 0], left[0, 0])) == pytest.approx(float(angle[0]) / 2.0, abs=1e-6)


@alone
def test_boundaries_side_by_side() -> None:
    turns = ["twin", "random", "twin", "8 deg"]
    mesh = generate(case(grains(kind="bicrystal", grains=None, misorientation=turns), mesh={"size": "0.6 um"}))
    angles = disorientation(mesh.orientations[:-1], mesh.orientations[1:], "m-3m")[0]
    assert angles[[0, 2, 3]] == pytest.approx([60.0, 60.0, 8.0], abs=1e-6)
    assert angles[1] > 15.0
    at = {name: np.unique(x[:, :, 0].round(9)) for name, x in names_of(mesh).items() if name not in SIDES}
    assert at["twin"] == pytest.approx(np.array([-2.7, 0.9]) * UM, abs=1e-9)
    assert at["HAGB"] == pytest.approx(np.array([-0.9]) * UM, abs=1e-9)


@alone
def test_texture() -> None:
    words = grains(texture={"direction": [1, 1, 1], "along": "y"}, grains=30)
    mesh = generate(case(words, mesh={"size": "1 um"}))
    up = rotated(mesh.orientations, np.array([0.0, 1.0, 0.0]))
    assert np.abs(up) == pytest.approx(3.0**-0.5, abs=1e-9)


# -- layers ----------------------------------------------------------------------------------------------------


@alone
@pytest.mark.parametrize("along", [["bottom"], ["boundaries"], ["boundaries", "bottom", "left"]])
def test_layers(along: list[str]) -> None:
    """Thin cells where they were asked for, up to the sides and on both sides of boundaries that end there."""
    words = {"first": "2 nm", "growth": 1.5, "count": 6, "along": along}
    given = case(grains(grains=8), mesh={"size": "0.6 um", "layers": words})
    mesh = generate(given)
    area = measures(mesh.points, mesh.cells)
    assert np.all(area > 0.0)
    assert area.sum() == pytest.approx(72 * UM**2, rel=1e-9, abs=0.0)
    assert len(np.unique(mesh.cells)) == len(mesh.points)
    # Conforming: a facet has two cells, or one and a name of the outside.
    facets = np.sort(np.concatenate([np.delete(mesh.cells, k, axis=1) for k in range(3)]), axis=1)
    count = np.unique(facets, axis=0, return_counts=True)[1]
    assert count.max() == 2
    assert int((count == 1).sum()) == sum(len(x) for name, x in names_of(mesh).items() if name in SIDES)
    # Depth of the cells on each name, from the area on a facet.
    key = {tuple(f): k % len(mesh.cells) for k, f in enumerate(facets.tolist())}
    thin = {}
    for name, tag in mesh.boundaries.items():
        own = np.sort(mesh.facets[mesh.facet_tags == tag], axis=1)
        size = np.linalg.norm(np.diff(mesh.points[own], axis=1)[:, 0], axis=1)
        depth = np.array([2.0 * area[key[tuple(f)]] for f in own.tolist()]) / size
        thin[name] = float(size[depth < 2.1e-9].sum() / size.sum())
    for name in ("bottom", "left"):
        assert (thin[name] > 0.9) == (name in along)
    assert (thin["HAGB"] > 0.8) == ("boundaries" in along)


@alone
def test_layers_reach_the_end_of_a_side() -> None:
    """Also where boundaries that have none stand on it."""
    words = {"first": "4 nm", "growth": 1.0, "count": 5, "along": ["bottom"]}
    given = case(grains(kind="bicrystal", grains=None, misorientation="twin"), mesh={"size": "0.5 um", "layers": words})
    mesh = generate(given)
    for x in (-4.5e-6, 0.0, 4.5e-6):
        here = mesh.points[np.abs(mesh.points[:, 0] - x) < 1e-12][:, 1] + 4 * UM
        assert np.sort(here)[:6] == pytest.approx(4e-9 * np.arange(6), abs=1e-12)


# -- maps ------------------------------------------------------------------------------------------------------

MADE = {
    "size": ["9 um", "6 um"],
    "step": "0.15 um",
    "grain_size": "1.8 um",
    "twins": 0.2,
    "noise": "0.3 deg",
    "seed": 4,
}


@alone
def test_made_map() -> None:
    """Through all that a measured map goes through: grains found again, twins still along their planes, y up."""
    given = case({"made": MADE | {"lost": 0.05}}, mesh={"size": "0.4 um"})
    mesh = generate(given)
    assert given.dimension == 2
    assert mesh.points.min(axis=0) == pytest.approx(0.0, abs=1e-15)
    assert mesh.points.max(axis=0) == pytest.approx([9 * UM, 6 * UM, 0.0], abs=1e-12)
    assert set(names_of(mesh)) - {"HAGB", "LAGB", "twin", "other"} == set(SIDES[:4])
    assert names_of(mesh)["bottom"][:, :, 1] == pytest.approx(0.0, abs=1e-15)
    two, along = pairs_of(mesh, "twin")
    off, normals = twin_deviation(mesh.orientations[two[:, 0]], mesh.orientations[two[:, 1]], SIGMA3, "m-3m")
    assert off.max() < 1.0
    tilt = np.degrees(np.arcsin(np.abs(np.einsum("fpi,fi->fp", normals, along)))).min(axis=1)
    assert np.median(tilt) < 10.0
    other = generate(given.replace({"domain.made.seed": 5}))
    assert other.points.shape != mesh.points.shape


def blocks(folder: Path) -> Path:
    """An .ang file of 24 by 16 points 0.5 um apart: six grains of 8 by 8 points."""
    x, y = square(16, 24)
    of = (x // 4.0 + 3 * (y // 4.0)).astype(int)
    return ang(folder / "map.ang", ang_rows(euler(6)[of], x, y), columns=24, even=24, rows=16)


@alone
def test_a_map_from_a_file(tmp_path: Path) -> None:
    """The case makes of it what ``chemomech mesh`` makes, turned by half a turn about x."""
    path = blocks(tmp_path)
    given = case({"path": str(path)}, mesh={"size": "0.5 um"})
    mesh = generate(given)
    plain = cm.mesh_map(path, 0.5 * UM).mesh.to_arrays("class")
    low, high = plain.points.min(axis=0), plain.points.max(axis=0)
    assert mesh.points[:, 0] == pytest.approx(plain.points[:, 0] - low[0], abs=1e-15)
    assert mesh.points[:, 1] == pytest.approx(high[1] - plain.points[:, 1], abs=1e-15)
    assert np.array_equal(mesh.cell_grain, plain.cell_grain)
    assert np.all(measures(mesh.points, mesh.cells) > 0.0)
    vectors = np.random.default_rng(0).standard_normal((len(plain.orientations), 3))
    there = vectors * [1.0, -1.0, -1.0]
    assert rotated(mesh.orientations, there) == pytest.approx(rotated(plain.orientations, vectors), abs=1e-12)
    part = generate(given.replace({"domain.crop": ["2 um", "0 um", "7 um", "3 um"]}))
    assert part.points.max(axis=0) == pytest.approx([5 * UM, 3 * UM, 0.0], abs=1e-12)
    # The lower right part of the picture: its corner has the orientation that the whole map has there.
    inside = [m.points[m.cells].mean(axis=1)[:, :2] for m in (mesh, part)]
    nearest = [
        int(np.argmin(((x - p) ** 2).sum(axis=1))) for x, p in zip(inside, ([3e-6, 1e-6], [1e-6, 1e-6]), strict=True)
    ]
    turned = [m.orientations[m.cell_grain[[k]]] for m, k in zip((mesh, part), nearest, strict=True)]
    assert disorientation(*turned, "m-3m")[0] == pytest.approx(0.0, abs=1e-3)
    half = generate(given.replace({"domain.scale": 0.5, "mesh.size": "0.25 um"}))
    assert half.points == pytest.approx(0.5 * mesh.points, abs=1e-15)


# -- what is refused -------------------------------------------------------------------------------------------

LINE = {"position": [0, 0], "burgers": ["1 nm", 0], "core": "1 nm"}
BI = {"kind": "bicrystal", "grains": None}
MAP = {"shape": "ebsd", "size": None, "grains": None, "kind": None, "made": MADE}


@alone
@pytest.mark.parametrize(
    ("domain", "more", "message"),
    [
        ({"grains": None}, {}, r"domain\.grains: how many grains there are is not clear"),
        ({"grain_size": "1 um"}, {}, "how many grains there are is not clear"),
        ({"grain_size": "90 um", "grains": None}, {}, r"domain\.grain_size = '90 um': a grain would be larger"),
        ({"size": ["9 um"]}, {}, r"domain\.size.*a section has two entries, a body in space three"),
        ({"center": ["0 um"]}, {}, r"domain\.center.*differ in their number of entries"),
        ({"kind": "round"}, {}, r"domain\.kind = 'round'"),
        ({"seed": -1}, {}, "a seed must not be negative"),
        ({"spread": 0.3}, {}, r"domain\.spread = 0\.3: does not belong to a domain of the kind 'voronoi'"),
        ({"orientation": [10, 0, 0]}, {}, r"domain\.orientation.*does not belong.*kind = 'single'"),
        ({"kind": "single"}, {}, r"domain\.grains = 20: does not belong to a domain of the kind 'single'"),
        (BI, {}, r"domain\.misorientation: is missing"),
        (BI | {"misorientation": "twins"}, {}, r"domain\.misorientation.*did you mean 'twin'"),
        (BI | {"misorientation": "60 deg"}, {}, r"no further than 45 degrees"),
        (BI | {"misorientation": ["8 deg", "twin"]}, {}, r"domain\.misorientation.*right of a tilt"),
        ({"twins": 0.7, "low_angle": 0.7}, {}, "the shares are more than the whole"),
        ({"twins": 0.1, "texture": {"direction": [1, 1, 1]}}, {}, "a texture leaves no choice"),
        ({"texture": {"direction": [0, 0, 0]}}, {}, r"domain\.texture\.direction.*must not be zero"),
        ({"classes": {"high_angle": "1 deg"}}, {}, r"domain\.classes\.high_angle = 1\.0: there is no angle between"),
        ({"material": "gold"}, {}, r"domain\.material = 'gold'"),
        ({}, {"mesh": {"size": "5 um"}}, r"mesh\.size = '5 um': a cell would be larger than a grain"),
        ({}, {"mesh": {"structured": True}}, r"mesh\.structured = True: right-angled cells can't follow"),
        ({}, {"mesh": {"adapt": {}}}, r"mesh\.adapt: grains are not meshed anew"),
        ({}, {"mesh": {"core_size": "1 nm"}}, r"mesh\.core_size = '1 nm': there are no dislocation cores"),
        ({}, {"mesh": {"size": "1 um", "boundary_size": "2 um"}}, r"mesh\.boundary_size = '2 um': cells can't"),
        ({}, {"mesh": {"layers": {"growth": 2.0}}}, r"mesh\.layers\.first: is missing"),
        ({"size": ["3 um"] * 3}, {"mesh": {"layers": {"first": "1 nm"}}}, r"mesh\.layers: thin layers are made in 2D"),
        ({}, {"dislocations": [LINE]}, r"dislocations = .*: dislocations and misfits are computed in bodies of one"),
        ({}, {"boundaries": {"back": {"roller": True}}}, r"boundaries\.back: a polycrystal has no boundary 'back'"),
        ({}, {"grain_boundaries": {"Twin": {"diffusivity": 1e-14}}}, r"grain_boundaries\.Twin.*did you mean 'twin'"),
        (MAP | {"made": None}, {}, r"domain\.path: is missing"),
        (MAP | {"path": "gone.ang"}, {}, r"domain\.path = '.*gone\.ang': there is no such file"),
        (MAP | {"crop": ["1 um", 0, 0, "1 um"]}, {}, r"domain\.crop.*nothing lies between"),
        (MAP | {"materials": {"made": "gold"}}, {}, r"domain\.materials\.made = 'gold'"),
        (MAP | {"made": MADE | {"lost": 0.9}}, {}, "too many points are lost"),
    ],
)  # fmt: skip
def test_refused(domain: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(CaseError, match=message):
        case(grains(**domain), **more)


@alone
@pytest.mark.parametrize(
    ("domain", "more", "message"),
    [
        (MAP | {"crop": ["20 um", 0, "30 um", "1 um"]}, {}, r"domain\.crop.*no point of the map lies there"),
        (MAP | {"quality": {"ci": 0.1}}, {}, r"domain\.quality = 'ci': the map has no such values"),
        (MAP | {"made": MADE | {"step": "1.5 um"}}, {}, r"domain\.made\.step = 1\.5e-06: grains would be lost"),
        (MAP, {"boundaries": {"free": {"roller": True}}}, r"boundaries\.free.*the map has no boundary of this name"),
    ],
)  # fmt: skip
def test_refused_when_it_is_made(domain: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(CaseError, match=message):
        generate(case(grains(**domain), **more))


@alone
def test_grains_belong_to_grains() -> None:
    for words in ({"boundary_size": "1 nm"}, {"layers": {"first": "1 nm"}}):
        with pytest.raises(CaseError, match=r"mesh\.\w+.*: there are no grains"):
            case({"size": ["9 um", "9 um"]}, mesh=words)


@alone
def test_phases_of_a_map_and_materials(tmp_path: Path) -> None:
    path = blocks(tmp_path)
    two = {"silver": SILVER, "other": SILVER}
    with pytest.raises(CaseError, match=r"domain\.materials = 'Nickel': this phase of the map has no material"):
        generate(case({"path": str(path)}, materials=two))
    named = case({"path": str(path), "materials": {"Nickel": "other"}}, materials=two)
    assert generate(named).phases == {"other": 1}
    with pytest.raises(CaseError, match=r"the phase 'Nickel' of the map is hexagonal"):
        text = path.read_text().replace("Symmetry 43", "Symmetry 62")
        hexagonal = tmp_path / "hex.ang"
        hexagonal.write_text(text)
        generate(case({"path": str(hexagonal)}))


# -- what the physics gets -------------------------------------------------------------------------------------


def pulled(domain: dict[str, Any], **more: Any) -> cm.Case:
    """The top moved up by a thousandth of the height in plane stress, without lithium's strain."""
    silver = SILVER | {"partial_molar_volume": 0.0}
    sides = {"bottom": {"displacement": {"y": 0.0}}, "top": {"displacement": {"y": 8e-9}}}
    given = {"plane": "stress", "materials": {"silver": silver}, "boundaries": sides, "mode": "equilibrium"}
    return case(domain, **given | {"mesh": {"size": "1 um"}} | more)


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (45.0, 0.0, 0.0), (20.0, 35.0, 70.0)])
def test_orientations_reach_the_stiffness(angles: tuple[float, float, float]) -> None:
    """Modulus along y of a single crystal: 1/S_22 of its compliance turned by its Bunge angles."""
    result = cm.run(pulled(grains(kind="single", grains=None, orientation=angles)))
    elasticity = Cubic(c11=124e9, c12=93.4e9, c44=46.1e9, orientation=angles)
    compliance = np.linalg.inv(stiffnesses(elasticity, np.eye(3)[None])[0])
    stress = gathered(result, "stress")
    assert stress[:, 1, 1] == pytest.approx(1e-3 / compliance[1, 1], rel=1e-6, abs=0.0)
    result_grain = gathered(result, "grain")
    assert np.all(result_grain == 0)


def test_the_same_as_from_a_file(tmp_path: Path) -> None:
    """A body of grains made in the case, and one written and read: the same energy; also on several ranks."""
    comm = MPI.COMM_WORLD
    here = pulled(grains(grains=12, seed=3))
    result = cm.run(here)
    path = Path(comm.bcast(tmp_path / "grains.msh", root=0))
    if comm.rank == 0:
        structure = polycrystal_of(here.domain)  # type: ignore[arg-type]
        cm.mesh_grains(structure, 1 * UM).save(path, "class")
    comm.Barrier()
    other = cm.run(here.replace({"domain": {"shape": "file", "path": str(path)}}))
    assert result.summary["free_energy_J_per_m"] == pytest.approx(
        other.summary["free_energy_J_per_m"], rel=1e-9, abs=0.0
    )
    if comm.size == 1:
        stiff = cm.run(here.replace({"domain.texture": {"direction": [1, 1, 1], "along": "y"}}))
        assert stiff.summary["free_energy_J_per_m"] > 1.2 * result.summary["free_energy_J_per_m"]


FILM = {
    "kind": "bicrystal", "grains": None, "misorientation": ["twin", "random"], "size": ["3 um", "4 um"],
    "center": ["0 um", "2 um"],
}  # fmt: skip


def film(**more: Any) -> cm.Case:
    silver = SILVER | {"reference_potential": "18697 J/mol", "reference_concentration": 1e-6}
    slow = {"diffusivity": "1.7e-18 m^2/s", "segregation_energy": "-9000 J/mol"}
    fast = {"diffusivity": "1.7e-14 m^2/s", "segregation_energy": "-20444 J/mol"}
    given = {
        "temperature": "30 degC", "materials": {"silver": silver},
        "grain_boundaries": {"HAGB": fast, "twin": slow, "LAGB": slow},
        "boundaries": {"bottom": {"chemical_potential": "0 J/mol"}}, "time": {"end": "20 s"},
        "output": {"figures": False}, "mesh": {"size": "0.6 um", "boundary_size": "0.3 um"},
    }  # fmt: skip
    return case(grains(**FILM), **given | more)


def test_classes_reach_the_boundaries(tmp_path: Path) -> None:
    """The random boundary fills, the twin does not; a class that does not occur is no error; and a run goes on."""
    folder = Path(MPI.COMM_WORLD.bcast(tmp_path / "run", root=0))
    result = cm.run(film(), folder)
    means = result.summary["boundary_mean_concentration"]
    assert set(means) == {"HAGB", "twin"}
    # Uptake of a half-space, 2 c sqrt(D t/pi)/height, with c = 2/3.
    expected = 2.0 * 2.0 / 3.0 * np.sqrt(1.7e-14 * 20.0 / np.pi) / 4e-6
    assert means["HAGB"] == pytest.approx(expected, rel=0.06, abs=0.0)
    assert means["twin"] < 0.02 * means["HAGB"]
    stored = cm.Case.load(folder / "case.toml")
    assert stored == film()
    assert cm.Case.loads(stored.to_toml()) == stored
    arrays, again = (physics_of(r).body.source for r in (result, cm.run(stored.replace({"time.end": "1 s"}))))
    if arrays is not None and again is not None:
        assert np.array_equal(arrays.points, again.points)
        assert np.array_equal(arrays.orientations, again.orientations)
    longer = cm.run(stored.replace({"time.end": "30 s"}), folder, resume=True)
    straight = cm.run(film(time={"end": "30 s"}))
    one, two = (r.summary["boundary_mean_concentration"]["HAGB"] for r in (longer, straight))
    assert one == pytest.approx(two, rel=2e-3, abs=0.0)


# -- built-in cases --------------------------------------------------------------------------------------------


@alone
def test_single_crystal_case() -> None:
    """It takes up what a half-space takes up, 2 c sqrt(D t/pi), and the rest of it nothing."""
    result = cm.run(cm.Case.load("ag-single-crystal").replace({"output.figures": False}))
    contact = 0.0006
    expected = 2.0 * contact * np.sqrt(1e-20 * 4 * 3600.0 / np.pi) * 1.5e-6 * 97353.0
    assert result.summary["lithium_supplied_mol_per_m"] == pytest.approx(expected, rel=2e-2, abs=0.0)
    assert result.summary["concentration_max"] < 1e-3


@alone
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["ag-grain-boundary-network", "ag-twin-vs-random", "ag-ebsd"])
def test_cases_of_silver(name: str) -> None:
    """Random boundaries fill, the others stay below a twentieth of them; grains stay dilute, nothing is lost."""
    result = cm.run(cm.Case.load(name).replace({"output.figures": False}))
    means = result.summary["boundary_mean_concentration"]
    assert means["HAGB"] > 0.05
    if name == "ag-twin-vs-random":  # a half-space as deep as the film
        assert means["HAGB"] == pytest.approx(4.0 / 3.0 * np.sqrt(1.7e-14 * 2400.0 / np.pi) / 30e-6, rel=0.03, abs=0.0)
    assert all(value < 0.05 * means["HAGB"] for other, value in means.items() if other != "HAGB")
    assert result.summary["concentration_max"] < 1e-3
    assert result.summary["mass_relative_drift"] == pytest.approx(0.0, abs=1e-12)
