# ruff: noqa: E501
"""Layers, misfits and ensembles: their words, their checks, the dislocations they stand for, and their meshes."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chemomech.case import Case, Dislocation, Ensemble, Inclusion, Layer, Material, Misfit, MisfitArray, Rectangle
from chemomech.case.regions import materials_at
from chemomech.errors import CaseError
from chemomech.meshing.arrays import MeshArrays, measures
from chemomech.meshing.generate import generate
from chemomech.meshing.generate.fields import size_fields
from chemomech.meshing.quality import quality
from chemomech.output.meshfile import write_mesh
from chemomech.report import mesh_table

LAYERED = """\
mode = "equilibrium"
[domain]
size = ["41.067 nm", "80 nm"]
periodic = ["x"]
[[domain.layers]]
material = "llzo"
thickness = "40 nm"
[[domain.layers]]
material = "lithium"
[mesh]
size = "4 nm"
[materials.llzo]
library = "LLZO"
[materials.lithium]
library = "Li"
[initial]
concentration = 0.5
[[misfits]]
phase = "lithium"
substrate = "llzo"
coincidence = "3:11"
[misfits.array]
relaxation = 1.0
core = "0.5 nm"
"""
LAYERS = [{"material": "llzo", "thickness": "40 nm"}, {"material": "lithium"}]
UPSIDE_DOWN = [{"material": "lithium"}, {"material": "llzo", "thickness": "40 nm"}]
BOX = {
    "domain.shape": "box", "domain.size": ["41.067 nm", "80 nm", "82.134 nm"], "domain.layers": LAYERS,
    "domain.periodic": ["x", "z"], "mesh.size": "8 nm", "mesh.core_size": "3 nm", "misfits.0.array.core": "4 nm",
}  # fmt: skip
NO_ARRAY: dict[str, Any] = {"misfits.0.array": None}
NO_MISFIT: dict[str, Any] = {"misfits": []}
BARE_BOX = {k: v for k, v in BOX.items() if "array" not in k}
FREE: dict[str, Any] = {"domain.periodic": []}
MIRROR: dict[str, Any] = {"domain.periodic": [], "domain.mirror": ["x"]}
LINE = {"position": ["0 nm", "5 nm"], "burgers": ["0.3 nm", "0 nm"], "core": "1 nm"}
ENSEMBLE = {"density": "5e15 1/m^2", "burgers": "0.3 nm", "core": "0.5 nm", "seed": 3, "phase": "llzo"}
NM = 1e-9


def layered(*changes: dict[str, Any]) -> Case:
    return Case.loads(LAYERED).replace({k: v for change in changes for k, v in change.items()})


def refused(make: Callable[[], object], key: str, *words: str) -> CaseError:
    with pytest.raises(CaseError) as caught:
        make()
    message = str(caught.value)
    assert caught.value.key == key, message
    for word in words:
        assert word in message, message
    assert "Allowed: " in message and "\n" not in message
    return caught.value


# ---- words ------------------------------------------------------------------------------------------


def everything() -> Case:
    """Every new word at once."""
    return layered(
        {
            "domain.inclusions": [{"material": "lithium", "center": ["5 nm", "-20 nm"], "radius": "4 nm"}],
            "mesh.interface_size": "1 nm",
            "materials.llzo.eigenstrain": [1e-3, 0, 2e-3],
            "materials.llzo.fracture_energy": "1.5 J/m^2",
            "materials.llzo.fracture_length": "2 nm",
            "misfits.0.out_of_plane": "coherent",
            "misfits.0.array.offset": "0.7 nm",
            "misfits.0.array.burgers": "0.351 nm",
            "misfits.0.array.directions": ["x"],
            "dislocations": [{**LINE, "phase": "lithium"}],
            "ensembles": [{**ENSEMBLE, "angles": ["0 deg", "45 deg"], "signs": "negative"}],
        }
    )


@pytest.mark.parametrize("make", [layered, everything, lambda: layered(BOX), lambda: layered(MIRROR)])
def test_round_trip(make: Callable[[], Case]) -> None:
    case = make()
    again = Case.loads(case.to_toml())
    assert again == case and again.to_toml() == case.to_toml()
    assert again.all_dislocations == case.all_dislocations
    assert pickle.loads(pickle.dumps(case)) == case
    assert case.replace({"misfits.0.coincidence": "6:22"}).all_dislocations == case.all_dislocations


def test_python_says_the_same() -> None:
    case = Case(
        mode="equilibrium",
        domain=Rectangle(
            size=("41.067 nm", "80 nm"), periodic=("x",),
            layers=(Layer(material="llzo", thickness="40 nm"), Layer(material="lithium")),
        ),
        mesh={"size": "4 nm"},
        materials={"llzo": Material.from_library("LLZO"), "lithium": Material.from_library("Li")},
        initial={"concentration": 0.5},
        misfits=[Misfit(phase="lithium", substrate="llzo", coincidence=" 3 : 11", array=MisfitArray(relaxation=1, core="0.5 nm"))],
    )  # fmt: skip
    assert case == layered()
    assert Inclusion(material="a", center=("1 nm", 0), radius=1e-9).center == (1e-9, 0.0)
    assert Ensemble(density="1e10 cm^-2", burgers=1e-9, core=1e-9).density == pytest.approx(1e14, rel=1e-6, abs=0.0)


def test_the_library_knows_lattice_constants() -> None:
    case = layered()
    assert case.materials["llzo"].lattice_constant == 1.298e-9
    assert case.materials["lithium"].lattice_constant == 0.351e-9
    other = {"materials.lithium.lattice_constant": "0.352 nm"}
    assert layered(NO_ARRAY, other).materials["lithium"].lattice_constant == 3.52e-10
    assert case.materials["llzo"].eigenstrain == 0.0 and case.materials["llzo"].fracture_energy is None


def test_who_lies_where() -> None:
    case = everything()
    assert case.used_materials.keys() == {"llzo", "lithium"}
    assert case.interfaces == ((0.0, "llzo", "lithium"),)
    domain = case.domain
    assert isinstance(domain, Rectangle)
    places = {
        (0, 5): ("lithium",),
        (0, -5): ("llzo",),
        (0, 0): ("llzo", "lithium"),
        (5, -20): ("lithium",),
        (1, -20): ("lithium", "llzo"),
    }
    for (x, y), names in places.items():
        assert materials_at(domain, (x * NM, y * NM)) == names
    single = Case.loads(LAYERED[: LAYERED.index("[[misfits]]")]).replace(
        {"domain.layers": [LAYERS[0], {"material": "llzo"}]}
    )
    assert single.interfaces == () and list(single.used_materials) == ["llzo"]
    moved = layered(
        {"domain.center": ["7 nm", "9 nm"]}, {"domain.layers": [LAYERS[1], {"material": "llzo", "thickness": "13 nm"}]}
    )
    (interface,) = moved.interfaces
    assert interface.height == pytest.approx((9 + 40 - 13) * NM, rel=1e-6, abs=0.0) and interface.lower == "lithium"
    turned = Rectangle(size=(4.0, 2.0), rotation=90.0, layers=(Layer(material="a", thickness=0.5), Layer(material="b")))
    assert materials_at(turned, (0.75, 1.0)) == ("a",) and materials_at(turned, (-0.75, 1.0)) == ("b",)


def test_resolved_mesh_looks_at_all_dislocations_and_interfaces() -> None:
    case = layered()
    assert case.resolved_mesh.core_size == pytest.approx(0.125 * NM, rel=1e-6, abs=0.0)
    assert case.resolved_mesh.interface_size == 4e-9
    assert layered({"mesh.interface_size": "1 nm"}).resolved_mesh.interface_size == 1e-9
    assert layered({"ensembles": [{**ENSEMBLE, "core": "0.4 nm"}]}).resolved_mesh.core_size == pytest.approx(
        0.1 * NM, rel=1e-6, abs=0.0
    )
    refused(
        lambda: layered({"mesh.core_size": "0.6 nm"}),
        "mesh.core_size",
        "does not resolve the dislocation core of 500 pm",
    )


# ---- misfits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "percent"), [("3:11", 0.8547), ("4:15", -1.387), ("7:26", -0.4383), ("1:4", -7.550)])
def test_strain_of_a_coincidence(ratio: str, percent: float) -> None:
    case = layered(NO_ARRAY, {"misfits.0.coincidence": ratio})
    strain = case.misfits[0].elastic_strain(case.materials)
    n, m = (int(part) for part in ratio.split(":"))
    assert strain == pytest.approx((n * 1.298 - m * 0.351) / (m * 0.351), rel=1e-12, abs=0.0)
    assert 100 * strain == pytest.approx(percent, rel=5e-4, abs=0.0)
    assert case.misfit_strain("lithium") == pytest.approx(-strain * np.diag([1, 0, 1]), rel=1e-6, abs=0.0)
    assert not case.misfit_strain("llzo").any()


def test_misfit_strain_out_of_plane() -> None:
    strain = 0.033 / 3.861
    half = {"misfits.0.array.relaxation": 0.5, "domain.size": ["82.134 nm", "80 nm"]}
    for out_of_plane, part in (("array", 0.5), ("coherent", 1.0), ("none", 0.0)):
        case = layered(half, {"misfits.0.out_of_plane": out_of_plane})
        assert case.misfit_strain("lithium") == pytest.approx(-strain * np.diag([1, 0, part]), rel=1e-12, abs=0.0)
    assert layered().misfit_strain("lithium") == pytest.approx(-strain * np.diag([1, 0, 0]), abs=1e-15)
    assert layered(BOX).misfit_strain("lithium") == pytest.approx(-strain * np.diag([1, 0, 1]), rel=1e-6, abs=0.0)


def test_an_array_fills_a_period() -> None:
    case = layered()
    (line,) = case.all_dislocations
    assert line == Dislocation(position=(0.0, 0.0), burgers=(0.351e-9, 0.0), core=0.5e-9, phase="lithium")
    assert line.eigenstrain == "elastic"
    two = layered(
        {"domain.size": ["82.134 nm", "80 nm"], "domain.center": ["3 nm", "0 nm"], "misfits.0.array.offset": "1 nm"}
    )
    places = [line.position for line in two.all_dislocations]
    assert np.array(places) == pytest.approx(
        NM * np.array([[3 - 41.067 / 2, 1], [3 + 41.067 / 2, 1]]), rel=1e-6, abs=0.0
    )


@pytest.mark.parametrize(("half_periods", "count", "on_planes"), [(1, 1, 1), (2, 2, 2), (3, 2, 1), (4, 3, 2)])
def test_an_array_between_mirrors(half_periods: int, count: int, on_planes: int) -> None:
    width = half_periods * 41.067 / 2
    case = layered(MIRROR, {"domain.size": [f"{width} nm", "80 nm"]})
    x = np.array([line.position[0] for line in case.all_dislocations]) / NM
    assert len(x) == count
    assert x == pytest.approx(-width / 2 + 41.067 * np.arange(count), rel=1e-6, abs=0.0)
    assert np.isclose(np.abs(x), width / 2, rtol=1e-12).sum() == on_planes
    # as many lines per length as in the periodic body: all of the misfit is taken up
    assert case.misfit_strain("lithium")[2, 2] == pytest.approx(0.0, abs=1e-15)


def test_an_array_of_a_free_body_is_centred() -> None:
    case = layered(FREE, {"domain.size": ["130 nm", "80 nm"], "domain.center": ["5 nm", "0 nm"]})
    x = np.array([line.position[0] for line in case.all_dislocations]) / NM
    assert x == pytest.approx([5 - 41.067, 5, 5 + 41.067], rel=1e-6, abs=0.0)
    given = layered(FREE, {"misfits.0.array": {"spacing": "20 nm", "core": "0.5 nm", "burgers": "0.1 nm"}})
    x = np.array([line.position[0] for line in given.all_dislocations]) / NM
    assert x == pytest.approx([-10, 10], rel=1e-6, abs=0.0)
    assert given.misfit_strain("lithium")[2, 2] == pytest.approx(
        -0.033 / 3.861 * (1 - 0.1 / 20 / (0.033 / 3.861)), rel=1e-6, abs=0.0
    )


@pytest.mark.parametrize(
    ("layers", "ratio"), [(LAYERS, "3:11"), (UPSIDE_DOWN, "3:11"), (LAYERS, "4:15"), (UPSIDE_DOWN, "4:15")]
)
def test_the_extra_half_plane_is_where_atoms_are_missing(layers: list[Any], ratio: str) -> None:
    """A film under tension is short of atoms; the normal line x b points to the extra half plane."""
    case = layered(FREE, {"domain.layers": layers, "misfits.0.coincidence": ratio, "misfits.0.array.offset": "1 nm"})
    lines = case.all_dislocations
    assert lines
    stretched = case.misfits[0].elastic_strain(case.materials) > 0
    film_above = layers is LAYERS
    for line in lines:
        normal_y = line.burgers[0]  # z x b
        assert (normal_y > 0) == (film_above == stretched)
        assert line.position[1] == pytest.approx(1e-9 if film_above else -1e-9, rel=1e-6, abs=0.0)
        assert math.hypot(*line.burgers) == pytest.approx(0.351e-9, rel=1e-6, abs=0.0)


def test_both_interfaces_of_a_film_get_an_array() -> None:
    layers = [
        {"material": "llzo", "thickness": "20 nm"},
        {"material": "lithium"},
        {"material": "llzo", "thickness": "25 nm"},
    ]
    lower, upper = layered({"domain.layers": layers, "misfits.0.array.offset": "2 nm"}).all_dislocations
    assert (lower.position[1], upper.position[1]) == pytest.approx((-18e-9, 13e-9), rel=1e-6, abs=0.0)
    assert lower.burgers[0] == -upper.burgers[0] > 0


def test_an_array_of_a_box_has_two_families() -> None:
    lines = layered(BOX).all_dislocations
    across_x = [line for line in lines if line.line == (0.0, 0.0, 1.0)]
    across_z = [line for line in lines if line.line == (-1.0, 0.0, 0.0)]
    assert (len(across_x), len(across_z), len(lines)) == (1, 2, 3)
    for line in lines:
        normal = np.cross(line.line, line.burgers)
        assert normal / np.linalg.norm(normal) == pytest.approx([0, 1, 0], rel=1e-6, abs=0.0)
    assert [line.position[2] for line in across_z] == pytest.approx([-20.5335e-9, 20.5335e-9], rel=1e-6, abs=0.0)
    assert [line.line for line in layered(BOX, {"misfits.0.array.directions": ["z"]}).all_dislocations] == [
        (-1, 0, 0)
    ] * 2
    fit = refused(
        lambda: layered(BOX, {"domain.size": ["41.067 nm", "80 nm", "60 nm"]}),
        "misfits.0.array.relaxation",
        "60 nm wide along z",
    )
    assert "41.067 nm or 82.134 nm (domain.size.2)" in str(fit)


def test_positions_from_a_list_and_a_file(tmp_path: Path) -> None:
    wide = {"domain.size": ["400 nm", "80 nm"], **FREE}
    listed = layered(wide, {"misfits.0.array": {"positions": ["-9 nm", "11 nm"], "core": "0.5 nm"}})
    assert [line.position[0] for line in listed.all_dislocations] == pytest.approx([-9e-9, 11e-9], rel=1e-6, abs=0.0)
    taken = 2 * 0.351 / 400 / (0.033 / 3.861)
    assert listed.misfit_strain("lithium")[2, 2] == pytest.approx(-0.033 / 3.861 * (1 - taken), rel=1e-6, abs=0.0)
    (tmp_path / "lines.csv").write_text("name, x_nm ,z_angstrom\na,-9,5\nb,11,\n\n")
    text = (
        LAYERED.replace('periodic = ["x"]', "")
        .replace("41.067 nm", "400 nm")
        .replace("relaxation = 1.0", 'file = "lines.csv"')
    )
    (tmp_path / "case.toml").write_text(text)
    case = Case.load(tmp_path / "case.toml")
    assert case.misfits[0].array is not None and case.misfits[0].array.file == str(tmp_path / "lines.csv")
    assert [line.position for line in case.all_dislocations] == [line.position for line in listed.all_dislocations]
    assert Case.loads(case.to_toml()) == case
    box = case.replace({**BOX, "domain.size": ["400 nm", "80 nm", "400 nm"], "domain.periodic": []})
    assert [line.position[2] for line in box.all_dislocations if line.line[0]] == pytest.approx(
        [0.5e-9], rel=1e-6, abs=0.0
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ("the file is empty",)),
        ("\n \n", ("the file is empty",)),
        ("z_nm\n1\n", ("has no column x_nm", "it has z_nm")),
        ("x\n1\n", ("has no column x_nm", "a unit belongs to the name")),
        ("x_nm,x_m\n1,2\n", ("2 columns for x",)),
        ("x_GPa\n1\n", ("column x_GPa", "not a unit of length")),
        ("x_nm\n", ("holds no position",)),
        ("x_nm\n1\nnan\n", ("line 3, column x_nm: 'nan' is no finite number",)),
        ("x_nm\n1\n2\nabc\n", ("line 4, column x_nm: 'abc' is no finite number",)),
        ("x_nm\n300\n", ("lies outside the body by 100 nm",)),
        (b"\xff\xfe\xff", ("can't be read (it is not utf-8 text)",)),
        (None, ("can't be read (no such file or directory)",)),
    ],
)  # fmt: skip
def test_bad_files_of_positions(content: str | bytes | None, words: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "lines.csv"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    array = {"file": str(file), "core": "0.5 nm"}
    refused(
        lambda: layered(FREE, {"domain.size": ["400 nm", "80 nm"], "misfits.0.array": array}),
        "misfits.0.array.file",
        *words,
    )


# ---- ensembles --------------------------------------------------------------------------------------


def test_an_ensemble_has_its_density_and_stays_in_its_phase() -> None:
    case = layered({"ensembles": [ENSEMBLE]})
    lines = case.all_dislocations[1:]
    assert len(lines) == round(5e15 * 41.067e-9 * 40e-9) == 8
    y = np.array([line.position[1] for line in lines])
    assert y.min() >= -39.5e-9 and y.max() <= -0.5e-9
    places = np.array([line.position for line in lines])
    apart = places[:, None] - places[None]
    apart[..., 0] -= 41.067e-9 * np.round(apart[..., 0] / 41.067e-9)
    assert (np.linalg.norm(apart, axis=-1) + np.eye(len(lines)) > 0.5e-9).all()
    b = np.array([line.burgers for line in lines])
    assert np.linalg.norm(b, axis=1) == pytest.approx(0.3e-9, rel=1e-6, abs=0.0)
    angle = np.rad2deg(np.arctan2(b[:, 1], b[:, 0])) % 180
    assert all(min(abs(a - s) for s in (0, 60, 120, 180)) < 1e-9 for a in angle)
    assert layered({"ensembles": [ENSEMBLE]}).all_dislocations == case.all_dislocations
    assert layered({"ensembles": [{**ENSEMBLE, "seed": 4}]}).all_dislocations != case.all_dislocations


@pytest.mark.parametrize(("signs", "plus"), [("mixed", 51), ("positive", 101), ("negative", 0)])
def test_signs_of_an_ensemble(signs: str, plus: int) -> None:
    ensemble = {**ENSEMBLE, "density": f"{101 / (41.067e-9 * 40e-9)} 1/m^2", "signs": signs, "angles": [0.0]}
    lines = layered({"ensembles": [ensemble]}).all_dislocations[1:]
    assert len(lines) == 101
    assert sum(line.burgers[0] > 0 for line in lines) == plus


def test_ensembles_of_a_body_with_an_inclusion_and_of_a_box() -> None:
    holes = {"domain.inclusions": [{"material": "lithium", "center": ["0 nm", "-20 nm"], "radius": "15 nm"}]}
    dense = {**ENSEMBLE, "density": "5e16 1/m^2"}
    case = layered(
        NO_MISFIT,
        holes,
        {"ensembles": [dense, {**dense, "phase": "lithium", "seed": 8}, {**dense, "phase": "", "seed": 9}]},
    )
    areas = [41.067 * 40 - np.pi * 225, 41.067 * 40 + np.pi * 225, 41.067 * 80]
    assert len(case.all_dislocations) == sum(round(0.05 * area) for area in areas)
    domain = case.domain
    assert isinstance(domain, Rectangle)
    for line in case.all_dislocations:
        assert not line.phase or line.phase in materials_at(domain, line.position)
        away = abs(math.dist(line.position, (0, -20e-9)) - 15e-9)
        assert not line.phase or away >= 0.5e-9 * (1 - 1e-12)
    box = layered(BOX, {"ensembles": [{**ENSEMBLE, "core": "4 nm", "density": "2e15 1/m^2"}]}).all_dislocations[3:]
    assert len(box) == 3 and all(
        line.line == (0, 0, 1) and line.burgers[2] == 0 and len(line.position) == 3 for line in box
    )


# ---- what is refused --------------------------------------------------------------------------------

BAD: list[tuple[list[dict[str, Any]], str, tuple[str, ...]]] = [
    # layers
    ([{"domain.layers.1.thickness": "30 nm"}], "domain.layers", ("70 nm thick together, the body 80 nm", "leave a gap of 10 nm")),
    ([{"domain.layers.1.thickness": "41 nm"}], "domain.layers", ("overlap by 1 nm",)),
    ([{"domain.layers.0.thickness": "80 nm"}], "domain.layers", ("nothing is left for the layer without a thickness",)),
    ([{"domain.layers.0.thickness": None}], "domain.layers", ("2 layers have no thickness",)),
    ([{"domain.layers.0.thickness": "0 nm"}], "domain.layers.0.thickness", ("must be above zero",)),
    ([{"domain.layers.0.material": "lzo"}], "domain.layers.0.material", ("did you mean 'llzo'?",)),
    ([{"domain.material": "llzo"}], "domain.material", ("the layers say already",)),
    ([{"domain.layers": []}], "domain.material", ("is missing, and there are several",)),
    # inclusions
    ([{"domain.inclusions": [{"material": "lithium", "center": ["0 nm", "-20 nm"], "radius": "21 nm"}]}], "domain.inclusions.0.radius", ("reaches out of the body by 1 nm", "less than 20 nm")),
    ([{"domain.inclusions": [{"material": "lithium", "center": ["0 nm", "-20 nm"], "radius": "20 nm"}]}], "domain.inclusions.0.radius", ("touches the edge of the body",)),
    ([{"domain.inclusions": [{"material": "lithium", "center": ["0 nm", "-50 nm"], "radius": "2 nm"}]}], "domain.inclusions.0.radius", ("a center inside the body",)),
    ([{"domain.inclusions": [{"material": "lithium", "center": ["0 nm", "-3 nm"], "radius": "4 nm"}]}], "domain.inclusions.0.center", ("crosses or touches the interface at y = 0 m",)),
    ([{"domain.inclusions": [{"material": "lithium", "center": ["0 nm", "-20 nm"], "radius": "4 nm"}, {"material": "llzo", "center": ["7 nm", "-20 nm"], "radius": "4 nm"}]}], "domain.inclusions.1.center", ("overlaps domain.inclusions.0 by 1 nm",)),
    ([{"domain.inclusions": [{"material": "lithium", "center": ["0 nm", "-20 nm"], "radius": "4 nm"}, {"material": "llzo", "center": ["8 nm", "-20 nm"], "radius": "4 nm"}]}], "domain.inclusions.1.center", ("touches domain.inclusions.0",)),
    ([{"domain.inclusions": [{"material": "x", "center": ["0 nm", "-20 nm"], "radius": "4 nm"}]}], "domain.inclusions.0.material", ("no material of this name",)),
    ([{"domain.inclusions": [{"material": "lithium", "center": ["0 nm"], "radius": "4 nm"}]}], "domain.inclusions.0.center", ("has 1 component where",)),
    ([NO_MISFIT, {"mesh.structured": True, "domain.inclusions": [{"material": "lithium", "center": ["0 nm", "-20 nm"], "radius": "4 nm"}]}], "mesh.structured", ("can't follow the edge of an inclusion",)),
    # periodic and mirror
    ([{"domain.mirror": ["x"]}], "domain.mirror", ("the axis x is periodic too",)),
    ([{"domain.periodic": ["x", "x"]}], "domain.periodic", ("an axis is given twice",)),
    ([{"domain.periodic": ["y"]}], "domain.periodic.0", ("'x'",)),
    ([{"domain.rotation": "90 deg"}], "domain.rotation", ("the sides of a periodic body are along y", "0 deg")),
    ([MIRROR, {"domain.rotation": "90 deg"}], "domain.rotation", ("mirrored body",)),
    ([{"boundaries.left.concentration": 0.5, "mode": "transient", "time.end": 1.0}], "boundaries.left", ("along the periodic axis x the body has no sides", "bottom or top")),
    ([{"boundaries.right": {}}], "boundaries.right", ("has no sides",)),
    ([MIRROR, {"boundaries.right.roller": True}], "boundaries.right.roller", ("'right' is a mirror plane", "bottom or top")),
    ([MIRROR, {"boundaries.left.traction": ["0 Pa", "0 Pa"]}], "boundaries.left.traction", ("is a mirror plane",)),
    ([{"boundaries.outer.displacement": {"x": 0.0}}], "boundaries.outer.displacement", ("outer is not the whole", "on bottom and top")),
    ([{"boundaries.outer.roller": True}], "boundaries.outer.roller", ("on bottom and top",)),
    ([{"mode": "transient", "time.end": 1.0, "boundaries.outer.molar_flux": 0.0}], "boundaries.outer.molar_flux", ("on bottom and top",)),
    ([MIRROR, {"boundaries.outer.roller": True}], "boundaries.outer.roller", ("mirror planes too", "on bottom and top")),
    ([BOX, {"domain.periodic": ["z"], "domain.mirror": ["x"], "boundaries.outer.roller": True}], "boundaries.outer.roller", ("on bottom and top",)),
    ([NO_MISFIT, {"dislocations": [LINE], "domain.layers": [], "domain.material": "llzo", "boundaries.top.traction": "dislocations"}], "boundaries.top.traction", ("images of a periodic body",)),
    ([NO_MISFIT, MIRROR, {"dislocations": [LINE], "domain.layers": [], "domain.material": "llzo", "boundaries.top.traction": "dislocations"}], "boundaries.top.traction", ("images of a mirrored body",)),
    ([FREE, {"boundaries.top.traction": "dislocations"}], "boundaries.top.traction", ("one stiffness in the whole body",)),
    # dislocations
    ([{"dislocations": [{**LINE, "eigenstrain": "slip"}]}], "dislocations.0.eigenstrain", ("slipped plane can't end", "'elastic'")),
    ([MIRROR, {"dislocations": [{**LINE, "eigenstrain": "slip"}]}], "dislocations.0.eigenstrain", ("mirrored side",)),
    ([BOX, {"dislocations": [{"position": [0, 0, 0], "burgers": ["1 nm", 0, 0], "line": [0, 1, 0], "core": "4 nm"}]}], "dislocations.0.line", ("runs along x or z", "[1, 0, 0] or [0, 0, 1]")),
    ([MIRROR, {"dislocations": [{**LINE, "position": ["20.5335 nm", "5 nm"], "burgers": ["0.3 nm", "0.3 nm"]}]}], "dislocations.0.burgers", ("lies on a mirror plane and is not its own image", "along x")),
    ([MIRROR, {"dislocations": [{**LINE, "position": ["21 nm", "5 nm"]}]}], "dislocations.0.position", ("outside the body by 466.5 pm",)),
    ([{"dislocations": [{**LINE, "position": ["-22.5335 nm", "5 nm"]}]}], "dislocations.0.position", ("outside the body by 2 nm",)),
    ([{"dislocations": [{**LINE, "position": ["0 nm", "40 nm"]}]}], "dislocations.0.position", ("on the edge of the body",)),
    ([{"dislocations": [{**LINE, "phase": "llzo"}]}], "dislocations.0.phase", ("at (0 m, 5 nm) lies on the wrong side: in lithium", "y = 0 m (llzo below, lithium above)", "phase = 'lithium'")),
    ([{"dislocations": [{**LINE, "phase": "lllzo"}]}], "dislocations.0.phase", ("did you mean 'llzo'?",)),
    # misfits
    ([{"misfits.0.phase": "li"}], "misfits.0.phase", ("no material of this name",)),
    ([{"materials.x": {"library": "Ag"}, "misfits.0.substrate": "x"}], "misfits.0.substrate", ("the body has no such phase", "llzo or lithium")),
    ([{"misfits.0.substrate": "lithium"}], "misfits.0.substrate", ("a phase fits to itself",)),
    ([{"misfits": [{"phase": "lithium", "substrate": "llzo", "strain": 0.01}] * 2}], "misfits.1.phase", ("misfits.0 already says",)),
    ([{"materials.x": {"library": "Ag"}, "domain.layers": [LAYERS[0], {"material": "x", "thickness": "5 nm"}, LAYERS[1]]}], "misfits.0.substrate", ("lithium and llzo touch nowhere",)),
    ([FREE, {"domain.rotation": "90 deg"}], "domain.rotation", ("a misfit lies in a plane normal to y",)),
    ([BOX, {"misfits.0.out_of_plane": "none"}], "misfits.0.out_of_plane", ("in a box",)),
    ([{"materials.lithium.library": "", "materials.lithium": {k: v for k, v in Material.from_library("Li").model_dump().items() if k not in ("library", "lattice_constant")}}], "materials.lithium.lattice_constant", ("is missing, and a coincidence is made of it", "strain instead")),
    ([{"misfits.0.coincidence": "3-11"}], "misfits.0.coincidence", ("the form n:m", "'3:11'")),
    ([{"misfits.0.coincidence": "0:11"}], "misfits.0.coincidence", ("the form n:m",)),
    ([{"misfits.0.coincidence": "1:1"}], "misfits.0.coincidence", ("strain lithium by 269.8 %",)),
    ([{"misfits.0.strain": 0.01}], "misfits.0.strain", ("can't both be given",)),
    ([{"misfits.0.coincidence": None}], "misfits.0", ("size of the misfit is missing", "coincidence", "strain")),
    ([{"misfits.0.coincidence": None, "misfits.0.strain": 0.7}], "misfits.0.strain", ("no small strain",)),
    ([{"misfits.0.coincidence": None, "misfits.0.strain": 0.0}], "misfits.0.array", ("the misfit is zero",)),
    # arrays
    ([{"misfits.0.array.relaxation": 1.1}], "misfits.0.array.relaxation", ("at most the whole misfit", "a number in (0, 1]")),
    ([{"misfits.0.array.relaxation": 0.0}], "misfits.0.array.relaxation", ("a number in (0, 1]",)),
    ([{"misfits.0.array.relaxation": None}], "misfits.0.array", ("nothing says where", "exactly one of relaxation, spacing, positions and file")),
    ([{"misfits.0.array.spacing": "20 nm"}], "misfits.0.array.spacing", ("relaxation and spacing are given", "exactly one of")),
    ([{"misfits.0.array": {"positions": [], "core": 1e-9}}], "misfits.0.array.positions", ("there is no position",)),
    ([{"misfits.0.array.directions": ["z"]}], "misfits.0.array.directions", ("a 2D body has no lines across z",)),
    ([{"misfits.0.array.directions": ["x", "x"]}], "misfits.0.array.directions", ("given twice",)),
    ([{"misfits.0.array.burgers": "-0.3 nm"}], "misfits.0.array.burgers", ("must be above zero",)),
    ([{"misfits.0.array.offset": "-1 nm"}], "misfits.0.array.offset", ("wrong side, in llzo", "lithium, which is 40 nm thick")),
    ([{"misfits.0.array.offset": "40 nm"}], "misfits.0.array.offset", ("wrong side, beyond lithium", "less than 40 nm")),
    ([{"domain.size": ["60 nm", "80 nm"]}], "misfits.0.array.relaxation", ("does not fit the periodic body", "spacing is 41.067 nm", "60 nm wide along x", "41.067 nm or 82.134 nm (domain.size.0)")),
    ([{"domain.size": ["30 nm", "80 nm"]}], "misfits.0.array.relaxation", ("a width of 41.067 nm (domain.size.0)",)),
    ([MIRROR, {"domain.size": ["30 nm", "80 nm"]}], "misfits.0.array.relaxation", ("does not fit the mirrored body", "(half a period)", "20.5335 nm or 41.067 nm")),
    ([FREE, {"domain.size": ["30 nm", "80 nm"]}], "misfits.0.array.relaxation", ("no dislocation of this array fits", "41.067 nm", "30 nm wide")),
    ([{"misfits.0.array": {"spacing": "20.5335 nm", "core": "0.5 nm"}}], "misfits.0.array.spacing", ("take up 2 times the misfit of 0.8547 %", "at least 41.067 nm")),
    ([{"misfits.0.array": {"positions": ["-9 nm", "9 nm"], "core": "0.5 nm"}}], "misfits.0.array.positions", ("take up 2 times",)),
    ([{"misfits.0.array": {"positions": ["0 nm", "-25 nm"], "core": "0.5 nm"}}], "misfits.0.array.positions.1", ("outside the body by 4.4665 nm", "between -20.5335 nm and 20.5335 nm")),
    ([FREE, {"misfits.0.array": {"positions": ["20.5335 nm"], "core": "0.5 nm"}}], "misfits.0.array.positions.0", ("on the edge of the body",)),
    ([{"misfits.0.array": {"positions": ["-20.5335 nm", "0 nm", "20.5335 nm"], "core": "0.5 nm"}}], "misfits.0.array.positions.0", ("another dislocation of this array lies at this place",)),
    ([FREE, {"misfits.0.array": {"spacing": "1e-13 m", "core": "0.5 nm", "burgers": "1e-20 m"}}], "misfits.0.array.spacing", ("4.11e+05 dislocations along x", "at most 20000")),
    ([NO_MISFIT, {"domain.layers": [], "domain.material": "llzo", "domain.inclusions": [{"material": "lithium", "center": [0, 0], "radius": "4 nm"}], "misfits": [{"phase": "lithium", "substrate": "llzo", "strain": 0.01, "array": {"relaxation": 1, "core": 1e-9}}]}], "misfits.0.array", ("a flat interface between layers", "an inclusion")),
    # ensembles
    ([{"ensembles": [{**ENSEMBLE, "density": "1e14 1/m^2"}]}], "ensembles.0.density", ("holds 0.164 lines, so that there is none", "at least 6.088e+14 1/m^2")),
    ([{"ensembles": [{**ENSEMBLE, "density": "1e22 1/m^2"}]}], "ensembles.0.density", ("1.64e+07 lines", "at most 20000 lines")),
    ([{"ensembles": [{**ENSEMBLE, "density": "1e14 m"}]}], "ensembles.0.density", ("'m' is not a unit of line density",)),
    ([{"ensembles": [{**ENSEMBLE, "core": "15 nm"}]}], "ensembles.0.core", ("of 8 lines find a place",)),
    ([{"ensembles": [{**ENSEMBLE, "phase": "lzo"}]}], "ensembles.0.phase", ("did you mean 'llzo'?",)),
    ([{"materials.x": {"library": "Ag"}, "ensembles": [{**ENSEMBLE, "phase": "x"}]}], "ensembles.0.phase", ("the body has no such phase",)),
    ([{"ensembles": [{**ENSEMBLE, "angles": []}]}], "ensembles.0.angles", ("no slip direction",)),
    ([{"ensembles": [{**ENSEMBLE, "seed": -1}]}], "ensembles.0.seed", ("must not be negative",)),
    # materials
    ([{"materials.llzo.eigenstrain": 0.6}], "materials.llzo.eigenstrain", ("small strains",)),
    ([{"materials.llzo.eigenstrain": "1 nm"}], "materials.llzo.eigenstrain", ("a strain is a number",)),
    ([{"materials.llzo.eigenstrain": [[0, 0.1, 0], [0, 0, 0], [0, 0, 0]]}], "materials.llzo.eigenstrain", ("not symmetric",)),
    ([{"materials.llzo.fracture_energy": "1 J/m"}], "materials.llzo.fracture_energy", ("not a unit of energy per area",)),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "words"), BAD, ids=[f"{b[1]}-{i}" for i, b in enumerate(BAD)])
def test_what_is_refused(changes: list[dict[str, Any]], key: str, words: tuple[str, ...]) -> None:
    layered()
    refused(lambda: layered(*changes), key, *words)


def test_an_array_needs_a_length_of_its_burgers_vector() -> None:
    plain = {
        k: v for k, v in Material.from_library("Li").model_dump().items() if k not in ("library", "lattice_constant")
    }
    change = {"materials.lithium": plain, "misfits.0.coincidence": None, "misfits.0.strain": 0.01}
    refused(lambda: layered(change), "misfits.0.array.burgers", "lithium has no lattice_constant to take instead")
    layered(change, FREE, {"misfits.0.array.burgers": "0.3 nm"})


def test_what_is_allowed_at_closed_sides() -> None:
    side = {"position": ["20.5335 nm", "5 nm"], "core": "1 nm"}
    layered({"dislocations": [{**side, "burgers": ["0 nm", "0.3 nm"]}]})
    layered(MIRROR, {"dislocations": [{**side, "burgers": ["0.3 nm", "0 nm"]}]})
    layered(MIRROR, {"mode": "transient", "time.end": 1.0, "boundaries.left.concentration": 0.5})
    along_x = {
        "position": [0, "5 nm", 0],
        "burgers": [0, 0, "0.3 nm"],
        "line": [1, 0, 0],
        "core": "4 nm",
        "phase": "lithium",
    }
    layered(BOX, {"dislocations": [along_x]})
    layered(
        BOX,
        {
            "domain.periodic": ["x"],
            "domain.size": ["41.067 nm", "80 nm", "90 nm"],
            "dislocations": [along_x, {**along_x, "line": [0, 0, 1], "burgers": ["0.3 nm", 0, 0]}],
        },
    )
    strained = {
        "domain.layers": [],
        "domain.material": "llzo",
        "domain.inclusions": [{"material": "lithium", "center": [0, 0], "radius": "4 nm"}],
    }
    case = layered(NO_ARRAY, strained)
    assert case.misfit_strain("lithium")[0, 0] < 0 and case.all_dislocations == ()


def test_the_line_of_an_error(tmp_path: Path) -> None:
    file = tmp_path / "case.toml"
    file.write_text(LAYERED.replace("41.067 nm", "60 nm"))
    with pytest.raises(CaseError) as caught:
        Case.load(file)
    assert caught.value.line == LAYERED[: LAYERED.index("relaxation")].count("\n") + 1


# ---- meshes -----------------------------------------------------------------------------------------


def euler(mesh: MeshArrays) -> int:
    """Corners - edges + facets (- tetrahedra) of the mesh with twins made one."""
    root = np.arange(len(mesh.points))
    root[mesh.twins[:, 0]] = mesh.twins[:, 1]
    cells = root[mesh.cells]
    assert (np.sort(cells, axis=1)[:, 1:] != np.sort(cells, axis=1)[:, :-1]).all()
    assert len(np.unique(np.sort(cells, axis=1), axis=0)) == len(cells)
    count = len(np.unique(cells))
    for size in range(2, mesh.dimension + 2):
        parts = [np.sort(cells[:, list(c)], axis=1) for c in combinations(range(mesh.dimension + 1), size)]
        count += (-1) ** (size - 1) * len(np.unique(np.concatenate(parts), axis=0))
    return count


def check(case: Case, exact: bool = True) -> MeshArrays:
    """Everything that holds for each mesh of layers."""
    mesh = generate(case)
    domain: Any = case.domain
    size, center = np.array(domain.size), np.array(domain.center)
    dimension = len(size)
    assert (measures(mesh.points, mesh.cells) > 0).all()
    assert (
        list(mesh.phases) == list(dict.fromkeys(layer.material for layer in domain.layers))
        and mesh.phases[domain.layers[0].material] == 1
    )
    q = quality(mesh)
    assert q.volume == pytest.approx(float(np.prod(size)), rel=1e-12, abs=0.0)
    x = mesh.points[:, :dimension]
    assert x.min(axis=0) == pytest.approx(center - size / 2, rel=1e-14, abs=0.0) and x.max(axis=0) == pytest.approx(
        center + size / 2, rel=1e-14, abs=0.0
    )
    if exact:
        heights = [center[1] - size[1] / 2, *(i.height for i in case.interfaces), center[1] + size[1] / 2]
        for name in mesh.phases:
            runs = zip(
                heights, heights[1:], [case.interfaces[0].lower, *(i.upper for i in case.interfaces)], strict=False
            )
            thickness = sum(high - low for low, high, material in runs if material == name)
            assert q.volume_of[name] == pytest.approx(thickness * float(np.prod(size)) / size[1], rel=1e-12, abs=0.0)
        (name,) = q.interfaces_of
        between = mesh.facets[mesh.facet_tags == mesh.boundaries[name]]
        assert set(x[between][..., 1].ravel()) <= {i.height for i in case.interfaces}
        lengths = (
            np.linalg.norm(x[between[:, 1]] - x[between[:, 0]], axis=1)
            if dimension == 2
            else 0.5
            * np.linalg.norm(np.cross(x[between[:, 1]] - x[between[:, 0]], x[between[:, 2]] - x[between[:, 0]]), axis=1)
        )
        assert lengths.sum() == pytest.approx(len(case.interfaces) * float(np.prod(size)) / size[1], rel=1e-12, abs=0.0)
    axes = [{"x": 0, "z": 2}[axis] for axis in domain.periodic]
    high = np.unique(np.concatenate([np.flatnonzero(x[:, a] == x[:, a].max()) for a in axes] or [np.zeros(0, int)]))
    assert np.array_equal(mesh.twins[:, 0], high)
    assert not np.isin(mesh.twins[:, 1], mesh.twins[:, 0]).any()
    apart = x[mesh.twins[:, 0]] - x[mesh.twins[:, 1]]
    for a in range(dimension):
        steps = np.round(apart[:, a] / size[a])
        assert apart[:, a] == pytest.approx(steps * size[a], rel=1e-12, abs=1e-22)
        assert set(steps) <= ({0.0, 1.0} if a in axes else {0.0})
    assert euler(mesh) == (0 if axes else 1)
    again = MeshArrays.from_dict(mesh.to_dict())
    assert np.array_equal(again.twins, mesh.twins) and again.boundaries == mesh.boundaries
    return mesh


STRUCTURED = {"mesh.structured": True, "mesh.size": "0.5 nm"}


@pytest.mark.parametrize(
    "changes",
    [[], [FREE], [MIRROR], [STRUCTURED], [STRUCTURED, FREE], [{"domain.center": ["3 nm", "-7 nm"]}], [{"domain.layers": UPSIDE_DOWN}],
     [{"domain.layers": [LAYERS[0], {"material": "lithium", "thickness": "3 nm"}, {"material": "llzo"}]}],
     [{"ensembles": [ENSEMBLE], "mesh.interface_size": "1 nm"}], [NO_ARRAY]],
)  # fmt: skip
def test_meshes_of_layers(changes: list[dict[str, Any]]) -> None:
    mesh = check(layered(*changes))
    assert list(mesh.boundaries) == ["left", "right", "bottom", "top", "|".join(mesh.phases)]
    assert quality(mesh).worst > 0.4


@pytest.mark.parametrize(
    "changes",
    [[], [{"mesh.structured": True, "mesh.size": "4 nm"}], [{"domain.periodic": ["z"], "domain.center": ["1 nm", "2 nm", "3 nm"], "misfits.0.array.directions": ["z"]}], [{"domain.periodic": []}],
     [{"domain.periodic": ["x"], "domain.mirror": ["z"]}]],
)  # fmt: skip
def test_meshes_of_layers_in_three_dimensions(changes: list[dict[str, Any]]) -> None:
    mesh = check(layered(BOX, *changes))
    assert list(mesh.boundaries)[4:] == ["back", "front", "llzo|lithium"]
    assert quality(mesh).worst > 0.1


def test_meshes_of_inclusions() -> None:
    flat = {
        "domain.inclusions": [{"material": "lithium", "center": ["5 nm", "-20 nm"], "radius": "5 nm"}],
        "mesh.interface_size": "0.5 nm",
    }
    mesh = check(layered(flat), exact=False)
    assert quality(mesh).volume_of["lithium"] == pytest.approx((41.067 * 40 + 25 * np.pi) * 1e-18, rel=1e-3, abs=0.0)
    between = mesh.points[mesh.facets[mesh.facet_tags == mesh.boundaries["llzo|lithium"]]]
    round_ones = between[(between[..., 1] < -1e-9).all(axis=1)]
    assert np.hypot(*(round_ones - [5e-9, -20e-9, 0])[..., :2].T) == pytest.approx(5e-9, rel=1e-6, abs=0.0)
    assert np.linalg.norm(round_ones[:, 1] - round_ones[:, 0], axis=1).max() < 0.75e-9
    ball = {
        "domain.inclusions": [{"material": "lithium", "center": ["5 nm", "-20 nm", "0 nm"], "radius": "12 nm"}],
        "mesh.interface_size": "3 nm",
    }
    mesh = check(layered(BOX, ball), exact=False)
    extra = quality(mesh).volume_of["lithium"] - 41.067 * 40 * 82.134e-27
    assert extra == pytest.approx(4 / 3 * np.pi * 12**3 * 1e-27, rel=0.05, abs=0.0)
    other = layered(
        NO_MISFIT,
        {
            "materials.x": {"library": "Ag"},
            "domain.inclusions": [{"material": "x", "center": ["5 nm", "-20 nm"], "radius": "5 nm"}],
        },
    )
    mesh = generate(other)
    assert list(mesh.phases) == ["llzo", "lithium", "x"] and set(quality(mesh).interfaces_of) == {
        "llzo|lithium",
        "llzo|x",
    }


def test_the_mesh_is_fine_where_it_is_asked_to_be() -> None:
    coarse, fine = (check(layered(NO_ARRAY, {"mesh.interface_size": size})) for size in (None, "0.5 nm"))

    def longest(mesh: MeshArrays) -> float:
        between = mesh.points[mesh.facets[mesh.facet_tags == mesh.boundaries["llzo|lithium"]]]
        return float(np.linalg.norm(between[:, 1] - between[:, 0], axis=1).max())

    assert longest(coarse) > 3e-9 and longest(fine) < 0.6e-9
    assert quality(fine).longest > 3e-9
    # a core on the seam is fine on both sides of it
    line = {"position": ["-20.5335 nm", "13 nm"], "burgers": ["0.3 nm", "0 nm"], "core": "1 nm"}
    mesh = check(layered(NO_ARRAY, {"dislocations": [line]}))
    for side in (-20.5335e-9, 20.5335e-9):
        near = np.linalg.norm(mesh.points[mesh.cells].mean(axis=1)[:, :2] - [side, 13e-9], axis=1) < 2e-9
        sizes = np.sqrt(measures(mesh.points, mesh.cells)[near])
        assert near.sum() > 100 and sizes.max() < 0.25e-9


def test_a_thousand_cores_make_few_fields() -> None:
    case = layered({"domain.size": ["410.67 nm", "400 nm"], "mesh.size": "40 nm", "mesh.core_size": "0.5 nm", "domain.layers.0.thickness": "200 nm"},
                   {"ensembles": [{**ENSEMBLE, "density": "1.2e16 1/m^2", "phase": "", "core": "1 nm"}]})  # fmt: skip
    assert len(case.all_dislocations) == 10 + round(1.2e16 * 410.67e-9 * 400e-9)
    added: list[str] = []

    class Field:
        def add(self, kind: str) -> int:
            added.append(kind)
            return len(added)

        def __getattr__(self, name: str) -> Callable[..., int]:
            return lambda *_: 1

    model: Any = SimpleNamespace(mesh=SimpleNamespace(field=Field()), occ=Field())
    size_fields(case, case.domain, model, 40e-9, 4e-9)  # type: ignore[arg-type]
    assert added == ["Distance", "Threshold"] * 2


def test_a_turned_body_takes_layers_and_cores_with_it() -> None:
    line = {"position": ["10 nm", "0 nm"], "burgers": ["0.3 nm", "0 nm"], "core": "1 nm"}
    case = layered(NO_MISFIT, FREE, {"domain.rotation": "90 deg", "dislocations": [{**line, "phase": "llzo"}]})
    mesh = generate(case)
    middle = mesh.points[mesh.cells].mean(axis=1)
    assert (middle[mesh.cell_tags == mesh.phases["llzo"], 0] > 0).all()
    assert (middle[mesh.cell_tags == mesh.phases["lithium"], 0] < 0).all()
    finest = middle[np.argmin(measures(mesh.points, mesh.cells))]
    assert np.hypot(finest[0] - 10e-9, finest[1]) < 4e-9


def test_a_periodic_body_is_three_cells_wide() -> None:
    narrow = {"domain.size": ["4 nm", "40 nm"], "domain.layers.0.thickness": "20 nm", "mesh.size": "2 nm"}
    refused(
        lambda: generate(layered(NO_ARRAY, narrow)),
        "mesh.size",
        "4 nm wide along the periodic axis x, is less than 3 cells wide",
        "at most 1 nm",
    )
    refused(lambda: generate(layered(NO_ARRAY, narrow, {"mesh.structured": True})), "mesh.size", "less than 3 cells")
    check(layered(NO_ARRAY, narrow, {"mesh.size": "1.3 nm", "mesh.structured": True}))
    check(layered(NO_ARRAY, FREE, narrow))


def test_what_is_said_of_a_mesh() -> None:
    mesh = generate(layered(STRUCTURED))
    table = mesh_table(mesh)
    assert "interfaces  llzo|lithium 82" in table and "boundaries  left 160, right 160, bottom 82, top 82\n" in table
    nodes, twins = 83 * 161, 161
    assert (
        f"nodes       {nodes}, of which {twins} stand for one on the opposite side, about {4 * (nodes - twins)} unknowns"
        in table
    )
    old = {name: data for name, data in mesh.to_dict().items() if name != "twins"}
    assert MeshArrays.from_dict(old).twins.shape == (0, 2)
    single = mesh_table(generate(layered(NO_MISFIT, FREE, {"domain.layers": [], "domain.material": "llzo"})))
    assert "interfaces" not in single and "opposite" not in single


# ---- mesh files -------------------------------------------------------------------------------------


def from_file(mesh: MeshArrays, path: Path, **domain: Any) -> Case:
    """A case on the mesh, written to a file."""
    write_mesh(mesh, path)
    case = layered(NO_MISFIT)
    return Case(**{**case.model_dump(), "domain": {"path": str(path), **domain}})


def plain_mesh() -> MeshArrays:
    return generate(layered(NO_ARRAY, {"mesh.structured": True}))


def test_a_file_may_be_periodic(tmp_path: Path) -> None:
    for changes in ({}, {"mesh.structured": True}, BARE_BOX):
        mesh = generate(layered(NO_ARRAY, changes))
        case = from_file(mesh, tmp_path / "body.msh", periodic=["x", "z"][: mesh.dimension - 1])
        read = generate(case)
        assert len(read.twins) == len(mesh.twins) and euler(read) == 0
        assert read.phases.keys() == mesh.phases.keys() and quality(read).interfaces_of == quality(mesh).interfaces_of
        assert quality(read).volume_of == pytest.approx(quality(mesh).volume_of, rel=1e-12, abs=0.0)
    assert len(generate(from_file(plain_mesh(), tmp_path / "body.msh")).twins) == 0
    generate(from_file(plain_mesh(), tmp_path / "body.msh", mirror=["x"]))


def test_interfaces_of_a_file_are_named(tmp_path: Path) -> None:
    mesh = plain_mesh()
    sides = mesh.facet_tags <= 4
    bare = replace(
        mesh,
        facets=mesh.facets[sides],
        facet_tags=mesh.facet_tags[sides],
        boundaries={k: v for k, v in mesh.boundaries.items() if v <= 4},
    )
    read = generate(from_file(bare, tmp_path / "body.msh"))
    assert quality(read).interfaces_of == {"llzo|lithium": 10} == quality(mesh).interfaces_of
    kept = replace(mesh, boundaries={**{k: v for k, v in mesh.boundaries.items() if v <= 4}, "seam": 5})
    assert quality(generate(from_file(kept, tmp_path / "body.msh"))).facets_of["seam"] == 10


def split(mesh: MeshArrays) -> MeshArrays:
    """The mesh with a copy of every node on the interface, for the upper phase."""
    upper = mesh.cell_tags == 2
    shared = np.intersect1d(mesh.cells[upper], mesh.cells[~upper])
    new = np.arange(len(mesh.points))
    new[shared] = len(mesh.points) + np.arange(len(shared))
    cells = np.where(upper[:, None], new[mesh.cells], mesh.cells)
    return replace(mesh, points=np.concatenate([mesh.points, mesh.points[shared]]), cells=cells)


def shaken(mesh: MeshArrays) -> MeshArrays:
    """The mesh with one node of the right side moved along it."""
    points = mesh.points.copy()
    side = np.flatnonzero((points[:, 0] == points[:, 0].max()) & (np.abs(points[:, 1]) < 30e-9))
    points[side[0], 1] += 0.1e-9
    return replace(mesh, points=points)


def wavy(mesh: MeshArrays) -> MeshArrays:
    points = mesh.points.copy()
    points[:, 0] += 1e-9 * np.cos(points[:, 1] * 1.1e8)
    return replace(mesh, points=points)


def twice(mesh: MeshArrays) -> MeshArrays:
    """The mesh with one cell in both phases."""
    first = np.flatnonzero(mesh.cell_tags == 1)[:1]
    return replace(
        mesh, cells=np.concatenate([mesh.cells, mesh.cells[first]]), cell_tags=np.append(mesh.cell_tags, np.int32(2))
    )


@pytest.mark.parametrize(
    ("change", "domain", "key", "words"),
    [
        (twice, {}, "domain.path", ("1 cells are in two physical groups, one at (", "overlap")),
        (split, {}, "domain.path", ("the phases lithium and llzo have nodes of their own at one place", "0 m): a gap", "conforming")),
        (shaken, {"periodic": ["x"]}, "domain.path", ("sides of the periodic axis x do not match", "the nearest is off by 100 pm", "Periodic Line")),
        (wavy, {"periodic": ["x"]}, "domain.path", ("no face of the mesh lies in a side of the periodic axis x",)),
        (wavy, {"mirror": ["x"]}, "domain.path", ("no face of the mesh lies in a side of the mirror axis x",)),
        (None, {"periodic": ["x", "z"]}, "domain.periodic", ("the mesh has no axis z",)),
        (None, {"periodic": ["x"], "mirror": ["x"]}, "domain.mirror", ("the axis x is periodic too",)),
    ],
)  # fmt: skip
def test_bad_files(
    change: Callable[[MeshArrays], MeshArrays] | None,
    domain: dict[str, Any],
    key: str,
    words: tuple[str, ...],
    tmp_path: Path,
) -> None:
    mesh = plain_mesh()
    generate(from_file(mesh, tmp_path / "good.msh"))
    refused(lambda: generate(from_file(change(mesh) if change else mesh, tmp_path / "bad.msh", **domain)), key, *words)


def test_cells_without_a_group_are_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "body.msh"
    case = from_file(plain_mesh(), path)
    head, body = path.read_text().split("$Elements\n")
    count, *lines = body.split("\n")
    cell = next(i for i, line in enumerate(lines) if line.split()[1] == "2")
    number, kind, tags, _, _, *corners = lines[cell].split()
    lines[cell] = " ".join([number, kind, tags, "0", "99", *corners])
    path.write_text(f"{head}$Elements\n" + "\n".join([count, *lines]))
    refused(lambda: generate(case), "domain.path", "1 of 400 cells are in no physical group", "gap")


def test_conditions_on_closed_sides_of_a_file(tmp_path: Path) -> None:
    mesh, path = plain_mesh(), tmp_path / "body.msh"
    case = from_file(mesh, path, periodic=["x"])
    refused(
        lambda: generate(case.replace({"boundaries.left.roller": True})),
        "boundaries.left.roller",
        "lies on a side of the periodic axis x",
    )
    generate(case.replace({"boundaries.top.roller": True}))
    refused(
        lambda: case.replace({"boundaries.outer.roller": True}),
        "boundaries.outer.roller",
        "the boundaries of the mesh by name",
    )
    mirrored = case.replace({"domain.periodic": [], "domain.mirror": ["x"]})
    refused(
        lambda: generate(mirrored.replace({"boundaries.right.traction": [0, 0]})),
        "boundaries.right.traction",
        "mirror plane of the mirror axis x",
    )
    generate(mirrored.replace({"mode": "transient", "time.end": 1.0, "boundaries.right.concentration": 0.4}))
    slip = {**LINE, "eigenstrain": "slip"}
    refused(lambda: case.replace({"dislocations": [slip]}), "dislocations.0.eigenstrain", "slipped plane can't end")
    misfit = {"phase": "lithium", "substrate": "llzo", "coincidence": "3:11"}
    assert case.replace({"misfits": [misfit]}).misfit_strain("lithium")[2, 2] == pytest.approx(
        -0.033 / 3.861, rel=1e-6, abs=0.0
    )
    refused(
        lambda: case.replace({"misfits": [{**misfit, "array": {"relaxation": 1, "core": 1e-9}}]}),
        "misfits.0.array",
        "a mesh file does not have",
    )
    refused(lambda: case.replace({"ensembles": [ENSEMBLE]}), "ensembles.0", "the area of a mesh file is not known")
    wide = generate(layered(NO_ARRAY, FREE, {"domain.size": ["8 nm", "80 nm"], "mesh.structured": True}))
    refused(lambda: generate(from_file(wide, path, periodic=["x"])), "domain.path", "less than 3 cells wide")
