"""Measured maps, from the file to the mesh, with one command."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

import chemomech as cm
from chemomech.cli import main
from chemomech.cli_maps import MAPS
from chemomech.meshing.ebsd import mesh_map
from chemomech.meshing.generate import generate
from chemomech.microstructure.ebsd.reading import SUFFIXES
from tests.tools import record

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CHEMOMECH_EBSD", ROOT.parent / "shared" / "ebsd"))
FILES = [f"S{k:02d}.ANG" for k in range(8)] + ["twins.ctf"]

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="meshes are made on one rank")
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the maps are not here")


def synthetic(path: Path, shape: tuple[int, int] = (20, 30), seed: int = 0) -> Path:
    """An .ang file of four grains in quarters, with orientations of its own."""
    rows, columns = shape
    angles = np.random.default_rng(seed).uniform(0.3, 1.2, (4, 3))
    lines = [
        "# TEM_PIXperUM          1.000000", "# Phase 1", "# MaterialName  \tSilver", "# Symmetry              43",
        "# LatticeConstants      4.086 4.086 4.086  90.000  90.000  90.000", "# GRID: SqrGrid",
        "# XSTEP: 0.500000", "# YSTEP: 0.500000",
        f"# NCOLS_ODD: {columns}", f"# NCOLS_EVEN: {columns}", f"# NROWS: {rows}",
    ]  # fmt: skip
    for i in range(rows):
        for j in range(columns):
            a = angles[2 * (i >= rows // 2) + (j >= columns // 2)]
            euler = "  ".join(f"{x:.5f}" for x in a)
            lines.append(f"  {euler}  {0.5 * j:.5f}  {0.5 * i:.5f}  100.0  0.900  1  0  1.0")
    path.write_text("\n".join(lines) + "\n")
    return path


@real
@pytest.mark.parametrize("name", FILES)
def test_every_real_map_becomes_a_mesh(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = tmp_path / "mesh.msh", tmp_path / "map.png"
    assert main(["mesh", str(SHARED / name), "--out", str(out), "--figure", str(picture)]) == 0
    said = capsys.readouterr().out
    assert out.stat().st_size > 10_000 and picture.stat().st_size > 50_000
    assert ("header does not match" in said) == name.endswith(".ANG")
    made = mesh_map(SHARED / name, 0.4e-6 if name.endswith(".ANG") else 0.3e-6)
    quality, areas = made.mesh.quality(), made.mesh.grain_measures()
    whole = len(made.measured) * made.measured.cell_area
    assert np.abs(made.area_changes).max() < 0.02
    assert abs(areas.sum() / whole - 1.0) < 1e-12
    assert quality.worst >= 0.15 and quality.mean > 0.8
    # Edges of cells are chords of the smooth boundaries.
    assert abs(made.mesh.boundary_measures() / made.structure.measures - 1.0).max() < 0.02
    if name == "twins.ctf":
        assert len(made.structure.of_class("twin")) > 40
    record(
        f"map_{name.partition('.')[0]}", grains=len(made.structure), cells=quality.cells, worst=quality.worst,
        mean=quality.mean, area=float(np.abs(made.area_changes).max()), total=abs(float(areas.sum() / whole - 1.0)),
    )  # fmt: skip


def test_map_to_mesh_to_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The mesh of a map goes straight into a case; its phases and boundary classes have names there."""
    source, out = synthetic(tmp_path / "quarters.ang"), tmp_path / "mesh.msh"
    assert main(["mesh", str(source), "--size", "1 um", "--out", str(out)]) == 0
    assert "grains      4" in capsys.readouterr().out
    assert (tmp_path / "mesh.png").is_file()
    table = (tmp_path / "mesh.grains.csv").read_text().splitlines()
    assert len(table) == 5 and table[1].split(",")[-1] == "150"
    case = cm.Case.model_validate(
        {
            "mode": "equilibrium",
            "domain": {"path": str(out)},
            "materials": {"silver": {"library": "Ag", "reference_concentration": 0.05}},
            "initial": {"concentration": 0.05},
        }
    )
    mesh = generate(case)
    assert {"left", "right", "bottom", "top"} <= set(mesh.boundaries)
    assert {"HAGB", "LAGB", "twin", "other"} & set(mesh.boundaries)
    result = cm.run(case)
    assert abs(result.summary["hydrostatic_stress_max_Pa"]) < 1.0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--size", "0 um"], "--size"),
        (["--size", "fast"], "--size"),
        (["--size", "1 um", "--boundary-size", "2 um"], "boundary_size"),
        (["--minimum", "0"], "minimum"),
        (["--least", "ci=good"], "--least"),
        (["--least", "beauty=3"], "beauty"),
        (["--out", "mesh.stl"], "--out"),
    ],
)
def test_wrong_options(words: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = synthetic(tmp_path / "quarters.ang")
    out = [] if "--out" in words else ["--out", str(tmp_path / "mesh.msh")]
    assert main(["mesh", str(source), *words, *out]) == 2
    said = capsys.readouterr().err
    assert problem in said and "Traceback" not in said
    assert not (tmp_path / "mesh.msh").exists()


def test_the_command_knows_all_kinds_of_maps() -> None:
    assert MAPS == SUFFIXES


def test_options_of_maps_do_not_belong_to_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mesh", "llzo-edge-dislocation", "--size", "1 nm"]) == 2
    assert "mesh.size" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["empty", "cut", "columns", "nan", "unindexed", "huge"])
def test_hostile_files_end_with_2_or_a_warning(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = synthetic(tmp_path / "map.ang")
    lines = source.read_text().splitlines()
    if damage == "empty":
        lines = []
    elif damage == "cut":
        lines = [*lines[:300], lines[300][:9]]
    elif damage == "columns":
        lines = [*lines[:11], *(" ".join(line.split()[:4]) for line in lines[11:])]
    elif damage == "nan":
        lines[100:140] = [line.replace(line.split()[0], "nan", 1) for line in lines[100:140]]
    elif damage == "unindexed":
        lines = [*lines[:11], *(line.replace(" 0.900 ", " -1 ") for line in lines[11:])]
    else:
        lines[8:11] = ["# NCOLS_ODD: 50000", "# NCOLS_EVEN: 50000", "# NROWS: 50000"]
    source.write_text("\n".join(lines))
    code = main(["mesh", str(source), "--out", str(tmp_path / "mesh.msh")])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    if damage in ("empty", "columns", "unindexed"):
        assert code == 2 and not (tmp_path / "mesh.msh").exists()
    else:
        assert code == 2 or (code == 0 and ("warning" in said.out or "filled" in said.out))


def test_a_large_hole_is_said_or_kept(tmp_path: Path) -> None:
    source = synthetic(tmp_path / "map.ang")
    lines = source.read_text().splitlines()
    for i, line in enumerate(lines[11:]):
        if 5 <= i // 30 < 15 and 10 <= i % 30 < 20:
            lines[11 + i] = line.replace(" 0.900 ", " -1 ")
    source.write_text("\n".join(lines))
    filled = mesh_map(source, 1e-6)
    assert filled.largest_filled == 100 and any("hole of 100 points" in text for text in filled.warnings)
    kept = mesh_map(source, 1e-6, largest_hole=50)
    assert kept.largest_filled == 0 and not any("hole" in text for text in kept.warnings)
    assert kept.mesh.grain_measures().sum() == pytest.approx(500 * kept.cleaned.cell_area, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("periodic", [("x",), ("x", "y")])
def test_periodic_polycrystal_goes_into_a_periodic_case(periodic: tuple[str, ...], tmp_path: Path) -> None:
    """Nodes match across the sides; a body that wants to swell and can't along x takes -E e/(1 - nu)."""
    structure = cm.polycrystal(2, ["6 um", "4 um"], mean_size="1 um", periodic=periodic, seed=2, phase="silver")
    mesh = cm.mesh_grains(structure, 0.25e-6, boundary_size=0.15e-6)
    for axis, (name, extent) in enumerate({"x": 6e-6, "y": 4e-6}.items()):
        if name in periodic:
            low, high = (
                np.sort(mesh.points[np.abs(mesh.points[:, axis] - c) < 1e-12, 1 - axis]) for c in (0.0, extent)
            )
            assert len(low) == len(high) > 5 and np.abs(low - high).max() < 1e-15
    assert len(np.unique(mesh.cells)) == len(mesh.points)
    mesh.save(tmp_path / "film.msh", "class")
    silver = {"library": "Ag", "reference_concentration": 0.05, "eigenstrain": 0.01}
    case = cm.Case.model_validate(
        {
            "mode": "equilibrium",
            "domain": {"path": str(tmp_path / "film.msh"), "periodic": ["x"]},
            "materials": {"silver": silver},
            "initial": {"concentration": 0.05},
        }
    )
    stress = cm.run(case).evaluate("stress", [[2e-6, 2e-6]])[0]
    elasticity = case.materials["silver"].elasticity
    assert isinstance(elasticity, cm.Isotropic)
    expected = -elasticity.youngs_modulus * 0.01 / (1.0 - elasticity.poissons_ratio)
    assert np.diag(stress) == pytest.approx([expected, 0.0, expected], rel=1e-6, abs=1.0)
