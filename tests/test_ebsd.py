"""Maps: read from good and bad files, cleaned, cut into grains, and measured for the bending of the lattice."""

from __future__ import annotations

import os
import shutil
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from chemomech.errors import CaseError
from chemomech.microstructure.ebsd import cleanup, kam, reading, segmentation
from chemomech.microstructure.ebsd.map import EbsdMap
from chemomech.microstructure.orientations import (
    disorientation_angles,
    from_euler,
    inverse,
    mackenzie_mean,
    mean_orientations,
    product,
    random_orientations,
    reduced,
)
from chemomech.microstructure.relations import disorientation, rotations, tensile_twin, twin_deviation
from tests.tools import record

pytest.importorskip("orix")

SHARED = Path(os.environ.get("CHEMOMECH_EBSD", Path(__file__).parents[2] / "shared" / "ebsd"))
REAL = sorted(SHARED.glob("*.ANG")) + sorted(SHARED.glob("*.ctf"))
real = pytest.mark.skipif(not REAL, reason="no measured maps here")
UM = 1e-6


# ---- makers --------------------------------------------------------------------------------------------
def axis_angle(axis: np.ndarray, degrees: np.ndarray | float) -> np.ndarray:
    half = np.radians(np.asarray(degrees, float)) / 2
    direction = np.asarray(axis, float) / np.linalg.norm(axis)
    return np.concatenate([np.cos(half)[..., None], np.sin(half)[..., None] * direction], axis=-1)


def jitter(shape: tuple[int, ...], degrees: float, seed: int = 0) -> np.ndarray:
    """Small rotations whose vectors have this standard deviation in each component."""
    vector = np.random.default_rng(seed).normal(scale=np.radians(degrees) / 2, size=(*shape, 3))
    found = np.concatenate([np.ones((*shape, 1)), vector], axis=-1)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def voronoi(rows: int, columns: int, grains: int, noise: float = 0.3, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Labels and noisy orientations of an image of random grains."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    seeds = rng.random((grains, 2)) * [columns, rows]
    labels = cKDTree(seeds).query(np.stack([x.ravel(), y.ravel()], axis=1))[1].reshape(rows, columns)
    return labels, product(jitter((rows, columns), noise, seed), crystals(grains, seed)[labels])


def pieces(labels: np.ndarray) -> np.ndarray:
    """Connected parts of an image of labels; the tip of a grain may be cut off by the pixels."""
    found = np.zeros(labels.shape, np.int64)
    for one in np.unique(labels):
        part, _ = ndimage.label(labels == one)
        found += np.where(part > 0, part + found.max(), 0)
    return segmentation.numbered(found.ravel())


def crystals(number: int, seed: int = 1) -> np.ndarray:
    """Random orientations; a few of them are 15 degrees apart from each other."""
    pool = random_orientations(number * 4, seed)
    if number > 100:
        return pool[:number]
    chosen = [pool[0]]
    for one in pool[1:]:
        near = [disorientation_angles(np.array(chosen), np.tile(one, (len(chosen), 1)), g) for g in ("m-3m", "6/mmm")]
        if min(angles.min() for angles in near) > 15.0 and len(chosen) < number:
            chosen.append(one)
    assert len(chosen) == number
    return np.array(chosen)


ANG = """# TEM_PIXperUM 1.000000
# Phase 1
# MaterialName  Nickel
# Formula Ni
# Symmetry 43
# LatticeConstants 3.52 3.52 3.52 90 90 90
#
# GRID: {grid}
# XSTEP: {step:.6f}
# YSTEP: {step:.6f}
# NCOLS_ODD: {columns}
# NCOLS_EVEN: {even}
# NROWS: {rows}
#
"""


def euler(count: int, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.random(count) * 2 * np.pi, np.arccos(1 - 2 * rng.random(count)), rng.random(count) * 2 * np.pi]
    ).round(5)


def ang_rows(angles: np.ndarray, x: np.ndarray, y: np.ndarray, phase: int = 0, ci: float = 0.5) -> list[str]:
    return [
        f"  {a:.5f}  {b:.5f}  {c:.5f}  {p:.5f}  {q:.5f} 100.0 {ci:.3f} {phase} 100 1.2"
        for (a, b, c), p, q in zip(angles, x, y, strict=True)
    ]


def square(rows: int = 6, columns: int = 8, step: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    row, column = np.divmod(np.arange(rows * columns), columns)
    return step * column, step * row


def ang(path: Path, lines: list[str] | None = None, **header: Any) -> Path:
    values = {"grid": "SqrGrid", "step": 0.5, "columns": 8, "even": 8, "rows": 6} | header
    body = ang_rows(euler(48), *square()) if lines is None else lines
    path.write_text(ANG.format(**values) + "\n".join(body) + "\n")
    return path


CTF = """Channel Text File
Prj\tnone
Author\t
JobMode\tGrid
XCells\t{columns}
YCells\t{rows}
XStep\t{step}
YStep\t{step}
AcqE1\t0
AcqE2\t0
AcqE3\t0
Euler angles refer to Sample Coordinate system (CS0)!\tMag\t1\tCoverage\t1\tDevice\t1\tKV\t1\tTiltAngle\t1\tTiltAxis\t0
Phases\t{phases}
{lines}
Phase\tX\tY\tBands\tError\tEuler1\tEuler2\tEuler3\tMAD\tBC\tBS
"""
IRON = "2.866;2.866;2.866\t90;90;90\tIron\t11\t229\t\t\tnone"
MAGNESIUM = "3.209;3.209;5.210\t90;90;120\tMagnesium\t9\t194\t\t\tnone"


def ctf(path: Path, phase: np.ndarray, angles: np.ndarray, lines: list[str], columns: int, step: float = 0.5) -> Path:
    x, y = square(len(phase) // columns, columns, step)
    head = CTF.format(columns=columns, rows=len(phase) // columns, step=step, phases=len(lines), lines="\n".join(lines))
    rows = [
        f"{p}\t{a:.4f}\t{b:.4f}\t8\t0\t{e[0]:.6f}\t{e[1]:.6f}\t{e[2]:.6f}\t0.5\t120\t200"
        for p, a, b, e in zip(phase, x, y, np.degrees(angles), strict=True)
    ]
    path.write_text(head + "\n".join(rows) + "\n")
    return path


def to_ctf(ebsd: EbsdMap, path: Path, line: str) -> Path:
    from orix.quaternion import Rotation

    return ctf(path, ebsd.phase + 1, Rotation(ebsd.quaternions).to_euler(), [line], ebsd.shape[1], ebsd.step / UM)


# ---- orientations --------------------------------------------------------------------------------------
@pytest.mark.parametrize("group", ["m-3m", "6/mmm", "m-3", "-3m", "4/mmm", "mmm", "2/m", "-1"])
def test_disorientation_is_that_of_orix(group: str) -> None:
    from orix.quaternion import Orientation

    first, second = random_orientations(2000, 1), random_orientations(2000, 2)
    second[:500] = product(jitter((500,), 1.0), product(rotations(group)[-1], first[:500]))
    symmetry = __import__("chemomech.microstructure.relations", fromlist=["point_group"]).point_group(group)
    expected = Orientation(first, symmetry=symmetry).angle_with(Orientation(second, symmetry=symmetry), degrees=True)
    found = disorientation_angles(first, second, group)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(found, disorientation(first, second, group)[0], atol=1e-9, rtol=0)


def test_small_angles_are_exact() -> None:
    first = random_orientations(50, 4)
    for size in (1e-7, 1e-4, 0.1):
        second = product(axis_angle(np.array([1.0, 2.0, 3.0]), size), first)
        np.testing.assert_allclose(disorientation_angles(first, second, "m-3m"), size, rtol=1e-6)


def test_mackenzie_mean_of_cubic_crystals() -> None:
    mean = mackenzie_mean(100_000)
    record("ebsd_mackenzie", mean=mean)
    assert mean == pytest.approx(40.74, abs=0.2)


@pytest.mark.parametrize("group", ["m-3m", "6/mmm"])
def test_mean_does_not_depend_on_the_description(group: str) -> None:
    true = random_orientations(20, 7)
    labels = np.repeat(np.arange(20), 400)
    points = product(jitter((8000,), 1.0, 2), true[labels])
    elements = rotations(group)
    points = product(elements[np.random.default_rng(1).integers(len(elements), size=8000)], points)
    points[::50] = random_orientations(160, 9)  # a few that were given to the grain
    mean, spread = mean_orientations(points, labels, 20, group)
    assert disorientation_angles(mean, true, group).max() < 0.25  # 1 degree over 20, three times
    assert 1.5 < spread.mean() < 3.0
    near = reduced(points, mean[labels], group)
    assert np.allclose(disorientation_angles(near, points, group), 0.0, atol=1e-5)


def test_a_grain_without_points_has_the_identity() -> None:
    mean, spread = mean_orientations(random_orientations(3, 1), np.array([0, 0, 2]), 3, "m-3m")
    assert mean[1].tolist() == [1, 0, 0, 0] and spread[1] == 0.0


# ---- files ---------------------------------------------------------------------------------------------
def test_ang_is_what_orix_reads(tmp_path: Path) -> None:
    from orix.io import load

    path = ang(tmp_path / "a.ang")
    ebsd = reading.read_map(path, frame="same")
    assert ebsd.warnings == () and ebsd.shape == (6, 8) and ebsd.grid == "square"
    assert (ebsd.phases, ebsd.point_groups) == (("Nickel",), ("m-3m",))
    assert ebsd.step == pytest.approx(0.5 * UM, rel=1e-6, abs=0.0) and ebsd.cell_area == pytest.approx(
        0.25 * UM**2, rel=1e-6, abs=0.0
    )
    other = load(path, autogen_names=False)
    np.testing.assert_allclose(np.abs((ebsd.quaternions * other.rotations.data).sum(axis=1)), 1.0, atol=1e-12)
    np.testing.assert_allclose(ebsd.x, other.x * UM, atol=1e-15)
    np.testing.assert_allclose(ebsd.y, other.y * UM, atol=1e-15)
    assert set(ebsd.quality) == {"iq", "ci", "signal", "fit"}
    turned = reading.read_map(path)  # x and y of EDAX's angles are the map's y and x
    z = product(product(turned.quaternions, [0, 0, 0, 1.0]), inverse(turned.quaternions))
    same = product(product(ebsd.quaternions, [0, 0, 0, 1.0]), inverse(ebsd.quaternions))
    np.testing.assert_allclose(z, -same, atol=1e-12)


@pytest.mark.parametrize("comma", [False, True])
def test_ctf_with_two_phases(tmp_path: Path, comma: bool) -> None:
    phase = np.array([1, 1, 2, 0] * 12)
    path = ctf(tmp_path / "a.CTF", phase, euler(48), [IRON, MAGNESIUM], 8)
    if comma:
        head, mark, rows = path.read_text().partition("Phase\tX")
        path.write_bytes((head + mark + rows.replace(".", ",")).replace("\n", "\r\n").encode())
    ebsd = reading.read_map(path, frame="same")
    assert ebsd.phases == ("Iron", "Magnesium") and ebsd.point_groups == ("m-3m", "6/mmm")
    assert ebsd.phase.tolist() == (phase - 1).tolist() and ebsd.warnings == ()
    plain = from_euler(euler(48))
    assert disorientation_angles(ebsd.quaternions[phase == 1], plain[phase == 1], "-1").max() < 1e-5
    # Oxford's hexagonal crystals have a* along x, orix's have a
    between = disorientation_angles(ebsd.quaternions[phase == 2], plain[phase == 2], "-1")
    np.testing.assert_allclose(between, 30.0, atol=1e-5)
    assert set(ebsd.quality) == {"bands", "error", "mad", "bc", "bs"}


@pytest.mark.parametrize("shifted", [0, 1])
def test_hexagonal_grid(tmp_path: Path, shifted: int) -> None:
    x, y = [], []
    for row in range(7):
        moved = row % 2 == shifted
        x += [0.5 * (k + 0.5 * moved) for k in range(8 - moved)]
        y += [round(0.5 * np.sqrt(0.75) * row, 5)] * (8 - moved)
    rows = ang_rows(euler(len(x)), np.array(x), np.array(y))
    ebsd = reading.read_map(ang(tmp_path / "h.ang", rows, grid="HexGrid", columns=8, even=7, rows=7, step=0.5))
    assert (ebsd.grid, ebsd.shifted, ebsd.shape, len(ebsd)) == ("hexagonal", shifted, (7, 8), len(x))
    assert [text for text in ebsd.warnings if "along x" in text or "columns" in text] == []
    np.testing.assert_allclose(ebsd.x, np.array(x) * UM, atol=1e-12)
    away = np.hypot(*(v[ebsd.pairs[:, 0]] - v[ebsd.pairs[:, 1]] for v in (ebsd.x, ebsd.y)))
    np.testing.assert_allclose(away, 0.5 * UM, rtol=1e-4)
    tree = cKDTree(np.stack([ebsd.x, ebsd.y], axis=1))
    assert {tuple(sorted(pair)) for pair in ebsd.pairs.tolist()} == tree.query_pairs(0.55 * UM)
    assert (ebsd.to_image(np.zeros(len(ebsd), np.int64)) == -2).sum() == ebsd.shape[0] * 8 - len(x)
    around = ebsd.neighbours
    for side in range(3):  # there and back
        there = np.flatnonzero(around[:, side] >= 0)
        assert (around[around[there, side], side + 3] == there).all()


def test_points_in_any_order_are_the_same_map(tmp_path: Path) -> None:
    rows = ang_rows(euler(48), *square())
    plain = reading.read_map(ang(tmp_path / "a.ang", rows))
    np.random.default_rng(1).shuffle(rows)
    mixed = reading.read_map(ang(tmp_path / "b.ang", rows))
    assert np.array_equal(plain.quaternions, mixed.quaternions) and np.array_equal(plain.x, mixed.x)


def h5(path: Path, maker: str) -> np.ndarray:
    """A small file as EDAX, Bruker or Oxford write it; its angles in rad."""
    angles = euler(48)
    x, y = square()
    with h5py.File(path, "w") as file:
        data, header = file.create_group("1/EBSD/Data"), file.create_group("1/EBSD/Header")
        if maker == "oxford":
            data["Euler"], data["Phase"] = angles, np.ones((48, 1), np.uint8)
            data["X"], data["Y"], data["Mean Angular Deviation"] = x[:, None], y[:, None], np.full(48, 0.01)
            data["Unprocessed Patterns"] = np.zeros((48, 2, 2), np.uint8)
            header["X Cells"], header["Y Cells"], header["X Step"], header["Y Step"] = [8], [6], [0.5], [0.5]
            one = header.create_group("Phases/1")
            one["Phase Name"], one["Laue Group"], one["Space Group"] = "Nickel", np.array([11], np.int32), [225]
        elif maker == "edax":
            for name, column in zip(("Phi1", "Phi", "Phi2"), angles.T, strict=True):
                data[name] = column
            data["X Position"], data["Y Position"], data["CI"] = x, y, np.full(48, 0.4)
            data["Phase"] = np.zeros(48, np.int8)
            header["Step X"], header["Step Y"], header["nColumns"], header["nRows"] = [0.1], [0.5], [8], [6]
            one = header.create_group("Phase/1")
            one["MaterialName"], one["Symmetry"] = np.bytes_("Nickel"), np.bytes_("43")
        else:
            for name, column in zip(("phi1", "PHI", "phi2"), np.degrees(angles).T, strict=True):
                data[name] = column
            data["X SAMPLE"], data["Y SAMPLE"], data["Phase"] = x[::-1], y, np.ones(48, np.int32)
            data["X BEAM"], data["Y BEAM"] = (x / 0.5).astype(int) * 3 + 7, (y / 0.5).astype(int) * 3
            data["MAD"] = np.full(48, 0.3)
            header["XSTEP"], header["YSTEP"], header["NCOLS"], header["NROWS"] = 0.5, 0.5, 8, 6
            one = header.create_group("Phases/1")
            one["Name"], one["IT"] = "Nickel", 225
    return angles


@pytest.mark.parametrize(("maker", "name"), [("oxford", "a.h5oina"), ("edax", "a.oh5"), ("bruker", "a.h5")])
def test_hdf5(tmp_path: Path, maker: str, name: str) -> None:
    angles = h5(tmp_path / name, maker)
    ebsd = reading.read_map(tmp_path / name, frame="same")
    assert ebsd.shape == (6, 8) and ebsd.phases == ("Nickel",) and ebsd.point_groups == ("m-3m",)
    assert disorientation_angles(ebsd.quaternions, from_euler(angles), "-1").max() < 1e-5
    np.testing.assert_allclose(ebsd.x, square()[0] * UM, atol=1e-13)
    assert ("along x" in "".join(ebsd.warnings)) == (maker == "edax")  # its header was made wrong
    if maker == "oxford":
        assert ebsd.quality["mad"][0] == pytest.approx(np.degrees(0.01), rel=1e-6, abs=0.0)


def test_hdf5_that_claims_a_lot_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.h5oina"
    with h5py.File(path, "w") as file:
        data = file.create_group("1/EBSD/Data")
        data.create_dataset("Euler", shape=(300_000_000, 3), dtype="f4", chunks=(1 << 16, 3), compression="gzip")
        data.create_dataset("Phase", shape=(300_000_000,), dtype="u1", chunks=(1 << 16,))
    with pytest.raises(CaseError, match="claims"):
        reading.read_map(path)
    broken = tmp_path / "cut.h5"
    h5(tmp_path / "whole.h5", "edax")
    broken.write_bytes((tmp_path / "whole.h5").read_bytes()[:3000])
    with pytest.raises(CaseError, match="HDF5"):
        reading.read_map(broken)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["something"] = [1.0]
    with pytest.raises(CaseError, match="no EBSD data"):
        reading.read_map(tmp_path / "other.h5")


# ---- hostile files -------------------------------------------------------------------------------------
ROWS = ang_rows(euler(48), *square())


def replaced(place: int, *texts: str) -> list[str]:
    return [*ROWS[:place], *texts, *ROWS[place + 1 :]]


REFUSED: dict[str, Callable[[], list[str]]] = {
    "no points": list,
    "words": lambda: ["hello world"] * 48,
    "few columns": lambda: [" ".join(row.split()[:5]) for row in ROWS],
    "not indexed": lambda: ang_rows(euler(48), *square(), ci=-1.0),
    "nan": lambda: ["nan nan nan nan nan nan nan 0 0 0"] * 48,
    "nan angles": lambda: [" ".join(["nan"] * 3 + row.split()[3:]) for row in ROWS],
    "one line of points": lambda: ROWS[:8],
    "one point": lambda: ROWS[:1],
    "no grid": lambda: ang_rows(euler(48), *np.random.default_rng(1).random((2, 48)) * 4),
    "far away": lambda: replaced(20, ROWS[20].replace(ROWS[20].split()[3], "1000000000.0")),
    "ragged": lambda: [row + " 1" * (k % 5) for k, row in enumerate(ROWS)],
}


@pytest.mark.parametrize("name", REFUSED)
def test_useless_files_are_refused_in_one_paragraph(tmp_path: Path, name: str) -> None:
    path = ang(tmp_path / "bad.ang", REFUSED[name]())
    with pytest.raises(CaseError) as caught:
        reading.read_map(path)
    assert "bad.ang" in str(caught.value) and "\n" not in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize("suffix", [".ang", ".ctf", ".h5", ".h5oina"])
@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\0" * 200_000, b"\x89HDF\r\n\x1a\n", b"# only\n# a header\n", b"PK\3\4"]
)
def test_files_of_nothing(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(CaseError) as caught:
        reading.read_map(path)
    assert "\n" not in str(caught.value)


def test_wrong_paths(tmp_path: Path) -> None:
    (tmp_path / "map.xyz").write_text("1 2 3")
    for path in (tmp_path / "none.ang", tmp_path, tmp_path / "map.xyz"):
        with pytest.raises(CaseError):
            reading.read_map(path)
    with pytest.raises(CaseError, match="frame"):
        reading.read_map(ang(tmp_path / "a.ang"), frame="z")
    with pytest.raises(CaseError, match="no such phase"):
        reading.read_map(ang(tmp_path / "a.ang"), point_groups={"Gold": "m-3m"})


def test_large_claims_cost_nothing(tmp_path: Path) -> None:
    """A header of 10 GB, a sparse file of 5 GB: neither is believed."""
    path = ang(tmp_path / "claims.ang", columns=100_000, even=100_000, rows=100_000)
    reading.read_map(path)
    tracemalloc.start()
    ebsd = reading.read_map(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(ebsd) == 48 and peak < 20e6 and "100000" in ebsd.warnings[0]
    sparse = tmp_path / "sparse.ang"
    for size in (1_000_000_000, 5_000_000_000):
        with sparse.open("wb") as stream:
            stream.truncate(size)
        begun = time.perf_counter()
        with pytest.raises(CaseError):
            reading.read_map(sparse)
        assert time.perf_counter() - begun < 2.0


WARNED: dict[str, tuple[Callable[[], list[str]], str, int]] = {
    "cut off": (lambda: [*ROWS[:46], ROWS[46][:20]], "line", 46),
    "a bad line": (lambda: replaced(10, "1 2 three"), "line", 47),
    "nan": (lambda: replaced(10, "nan nan nan " + " ".join(ROWS[10].split()[3:])), "valid orientation", 47),
    "twice": (lambda: [*ROWS, *ROWS[:5]], "5 points lie where", 48),
    "hole": (lambda: ROWS[:10] + ROWS[13:], "3 of 48 places", 45),
    "strange phase": (lambda: [*ang_rows(euler(40), *(v[:40] for v in square()), phase=1), *ROWS[40:]], "phase", 40),
    "wrong header": (lambda: ang_rows(euler(48), *square(step=0.2)), "does not match", 48),
    "oblong": (lambda: ang_rows(euler(48), square()[0], square()[1] * 0.5), "no squares", 48),
    "nowhere": (lambda: [*ROWS, "1 1 1 nan nan 1 1 0 1 1"], "without coordinates", 48),
    "degrees": (lambda: ang_rows(np.degrees(euler(48)) + 20, *square()), "degrees", 48),
}


@pytest.mark.parametrize("name", WARNED)
def test_flawed_files_are_read_with_a_warning(tmp_path: Path, name: str) -> None:
    rows, word, indexed = WARNED[name]
    ebsd = reading.read_map(ang(tmp_path / "a.ang", rows()))
    assert word in "; ".join(ebsd.warnings)
    assert ebsd.shape == (6, 8) and len(ebsd) == 48 and int(ebsd.indexed.sum()) == indexed
    labels = segmentation.segment(ebsd)
    assert ((labels >= 0) == ebsd.indexed).all()


def test_headers_without_symmetry(tmp_path: Path) -> None:
    path = ang(tmp_path / "a.ang")
    text = path.read_text()
    path.write_text(text.replace("Symmetry 43", "Symmetry 99"))
    with pytest.raises(CaseError, match="99"):
        reading.read_map(path)
    assert reading.read_map(path, point_groups={"Nickel": "432"}).point_groups == ("m-3m",)
    path.write_text("\n".join(ROWS))
    with pytest.raises(CaseError, match="no phase"):
        reading.read_map(path)
    assert reading.read_map(path, point_groups={"Nickel": "m-3m"}).phases == ("Nickel",)
    broken = ctf(tmp_path / "a.ctf", np.ones(48, int), euler(48), [IRON], 8)
    broken.write_text(broken.read_text().replace("Phases\t1", "Phases\t900"))
    with pytest.raises(CaseError, match="fewer phases"):
        reading.read_map(broken)


def test_arrays() -> None:
    labels, q = voronoi(20, 30, 12)
    ebsd = reading.map_of_arrays(q, 0.1 * UM, phase=np.where(labels == 3, -1, 0))
    assert ebsd.shape == (20, 30) and (ebsd.phase.reshape(20, 30) == -1).sum() == (labels == 3).sum()
    for wrong in (
        {"orientations": q[0]},
        {"step": -1.0},
        {"phase": np.ones((20, 30), int)},
        {"phase": np.zeros(5, int)},
        {"point_groups": ("m-3m", "6/mmm")},
        {"x": np.zeros(600)},
    ):
        with pytest.raises(CaseError):
            reading.map_of_arrays(**({"orientations": q, "step": 0.1 * UM} | wrong))  # type: ignore[arg-type]


# ---- measured maps -------------------------------------------------------------------------------------
@real
@pytest.mark.parametrize("path", REAL, ids=[path.name for path in REAL])
def test_measured_maps(path: Path) -> None:
    ebsd = reading.read_map(path)
    if path.suffix == ".ctf":
        assert ebsd.shape == (137, 167) and ebsd.point_groups == ("6/mmm",) and ebsd.warnings == ()
        assert (~ebsd.indexed).sum() == 46
    else:
        assert (
            ebsd.shape == (40, 35)
            and ebsd.step == pytest.approx(0.4 * UM, rel=1e-6, abs=0.0)
            and ebsd.point_groups == ("m-3m",)
        )
        assert len(ebsd.warnings) == 1 and "header" in ebsd.warnings[0] and "140" in ebsd.warnings[0]
    cleaned, reports = cleanup.clean(ebsd)
    labels = segmentation.segment(cleaned, minimum=5)
    assert cleaned.indexed.all() and labels.min() == 0 and np.bincount(labels).min() >= 5
    assert reports[-1].counts["left"] == 0


@real
def test_twins_lie_along_their_planes() -> None:
    """Decides both frames: {10-12} twins of magnesium must be twins, and their boundaries run along their planes."""
    ebsd = reading.read_map(SHARED / "twins.ctf")
    pairs = ebsd.pairs[ebsd.indexed[ebsd.pairs].all(axis=1)]
    twin = tensile_twin()
    between = [ebsd.quaternions[pairs[:, side]] for side in (0, 1)]
    missing, normals = twin_deviation(*between, twin, "6/mmm")
    angles = disorientation_angles(*between, "6/mmm")
    assert (missing < 5.0).sum() > 0.9 * (np.abs(angles - 86.3) < 4.0).sum() > 1000
    chosen = np.flatnonzero(missing < 5.0)
    middle = np.stack([v[pairs[chosen]].mean(axis=1) for v in (ebsd.x, ebsd.y)], axis=1)
    tree = cKDTree(middle)
    off = []
    for number, near in enumerate(tree.query_ball_point(middle, 2 * UM)):
        if len(near) >= 8:
            _, sizes, rows = np.linalg.svd(middle[near] - middle[near].mean(axis=0), full_matrices=False)
            trace = np.stack([-normals[chosen[number], :, 1], normals[chosen[number], :, 0]], axis=1)
            length = np.linalg.norm(trace, axis=1)
            if sizes[1] < 0.25 * sizes[0] and length.min() > 0.3:
                off.append(np.degrees(np.arccos(np.minimum(np.abs(trace @ rows[0]) / length, 1.0))).min())
    assert len(off) > 100 and np.median(off) < 10.0


# ---- cleaning ------------------------------------------------------------------------------------------
def test_quality_limits() -> None:
    _, q = voronoi(10, 10, 3)
    ci = np.linspace(0, 1, 100)
    ebsd = reading.map_of_arrays(q, UM, quality={"ci": ci})
    new, report = cleanup.drop_unreliable(ebsd, minimum={"ci": 0.25}, maximum={"ci": 0.9})
    bad = (ci < 0.25) | (ci > 0.9)
    ci[50] = np.nan  # without a value there is nothing against a point
    assert np.array_equal(new.indexed, ~bad) and report.counts == {"points taken out": bad.sum()}
    assert ebsd.indexed.all() and "points taken out" in str(report)
    with pytest.raises(CaseError, match="mad"):
        cleanup.drop_unreliable(ebsd, maximum={"mad": 1.0})
    with pytest.raises(CaseError, match="no point is left"):
        cleanup.clean(new, maximum={"ci": -1.0}, minimum={"ci": 2.0})


def test_spikes_are_found_and_filled() -> None:
    labels, q = voronoi(40, 50, 6)
    rng = np.random.default_rng(3)
    wild = np.zeros((40, 50), bool)
    wild[2:-2:4, 2:-2:4] = rng.random((9, 12)) < 0.5
    q[wild] = random_orientations(int(wild.sum()), 8)
    ebsd = reading.map_of_arrays(q, UM)
    new, report = cleanup.remove_spikes(ebsd)
    assert np.array_equal(new.indexed, ~wild.ravel()) and report.counts["points taken out"] == wild.sum()
    filled, report = cleanup.fill(new)
    assert report.counts == {"points filled": wild.sum(), "left": 0}
    assert segmentation.segment(filled, minimum=5).max() == pieces(labels).max()


def test_filling_moves_little_and_keeps_large_holes() -> None:
    labels, q = voronoi(60, 60, 8)
    missing = np.random.default_rng(5).random((60, 60)) < 0.3
    missing[20:30, 20:30] = True
    ebsd = reading.map_of_arrays(q, UM, phase=np.where(missing, -1, 0))
    filled, report = cleanup.fill(ebsd)
    assert report.counts["left"] == 0 and filled.indexed.all()
    true = crystals(8)[labels.ravel()]
    wrong = disorientation_angles(filled.quaternions, true, "m-3m") > 5.0
    assert wrong.mean() < 0.03
    kept, report = cleanup.fill(ebsd, largest=60)
    assert 100 <= report.counts["left"] < 200
    assert not kept.indexed.reshape(60, 60)[20:30, 20:30].any()


def test_filling_takes_the_majority() -> None:
    a, b = random_orientations(2, 2)
    q = np.tile(a, (3, 3, 1))
    q[0, 0] = q[0, 1] = b
    ebsd = reading.map_of_arrays(q, UM, phase=np.array([[0, 0, 0], [0, -1, 0], [0, 0, 0]]))
    filled, _ = cleanup.fill(ebsd)
    np.testing.assert_array_equal(filled.quaternions[4], a)


def test_pseudosymmetry_is_merged_on_request_only() -> None:
    labels, q = voronoi(40, 40, 5)
    inside = np.zeros((40, 40), bool)
    inside[5:12, 5:12] = labels[5:12, 5:12] == labels[8, 8]
    false = product(axis_angle(np.array([-1.0, 1.0, 1.0]), 60.0), q[inside])
    true = q.copy()
    q[inside] = product(rotations("m-3m")[7], false)
    ebsd = reading.map_of_arrays(q, UM)
    before = segmentation.segment(ebsd).max() + 1
    merged, report = cleanup.merge_pseudosymmetry(ebsd)
    assert segmentation.segment(merged).max() + 1 == before - 1
    assert report.counts == {"points turned": inside.sum(), "grains turned": 1}
    assert disorientation_angles(merged.quaternions, true.reshape(-1, 4), "m-3m").max() < 1e-4
    unchanged, reports = cleanup.clean(ebsd)
    assert segmentation.segment(unchanged).max() + 1 == before and len(reports) == 2
    assert cleanup.merge_pseudosymmetry(reading.map_of_arrays(q, UM, point_groups=["6/mmm"]))[1].counts == {
        "points turned": 0,
        "grains turned": 0,
    }


# ---- grains --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("group", ["m-3m", "6/mmm"])
def test_grains_are_found_again(group: str) -> None:
    labels, q = voronoi(80, 100, 40)
    elements = rotations(group)
    q = product(elements[np.random.default_rng(2).integers(len(elements), size=(80, 100))], q)
    ebsd = reading.map_of_arrays(q, UM, point_groups=[group])
    found = segmentation.segment(ebsd)
    assert np.array_equal(found, pieces(labels))
    grains = segmentation.grains_of(ebsd, found)
    assert len(grains) >= len(np.unique(labels)) and grains.points.sum() == 8000
    true = crystals(40)[labels.ravel()[np.unique(found, return_index=True)[1]]]
    off = disorientation_angles(grains.orientations, true, group)
    assert (off < 4 * 0.3 * np.sqrt(3 / grains.points)).all()
    assert 0.3 < grains.spread[grains.points > 20].mean() < 0.7


def test_threshold_and_phases() -> None:
    q = axis_angle(np.array([0.0, 0.0, 1.0]), np.repeat([0.0, 4.0, 11.0], 5))[None].repeat(4, axis=0)
    ebsd = reading.map_of_arrays(q, UM)
    assert [segmentation.segment(ebsd, angle).max() + 1 for angle in (3.0, 5.0, 10.0)] == [3, 2, 1]
    phase = np.zeros((4, 15), int)
    phase[1:3, 1:3], phase[0, 14] = 1, -1
    two = reading.map_of_arrays(q, UM, phase=phase, phases=["a", "b"], point_groups=["m-3m", "6/mmm"])
    labels = segmentation.segment(two, 10.0)
    assert labels.max() + 1 == 2 and labels[14] == -1
    grains = segmentation.grains_of(two, labels)
    assert grains.phase.tolist() == [0, 1] and grains.points.tolist() == [55, 4]
    for wrong in ({"angle": 0.0}, {"angle": np.nan}, {"minimum": -1}):
        with pytest.raises(CaseError):
            segmentation.segment(ebsd, **wrong)  # type: ignore[arg-type]


def test_small_grains_go_to_the_longest_boundary() -> None:
    a, b, c = random_orientations(3, 5)
    q = np.tile(a, (6, 8, 1))
    q[:, 4:] = b
    q[2:4, 3:5] = c  # two columns, one in each half
    q[2:4, 5] = c  # and one more in the right half: three sides of it lie there
    labels = segmentation.segment(reading.map_of_arrays(q, UM), minimum=10).reshape(6, 8)
    assert labels.max() == 1 and (labels[2:4, 3:6] == labels[0, 7]).all()
    assert np.bincount(labels.ravel()).tolist() == [22, 26]
    alone = reading.map_of_arrays(q[2:4, 3:6], UM)
    assert segmentation.segment(alone, minimum=10).max() == 0


def test_foreign_inclusions_below_the_minimum_vanish_and_noise_ends() -> None:
    _, q = voronoi(30, 30, 4)
    phase = np.zeros((30, 30), int)
    phase[10, 10], phase[20:24, 20:24] = 1, 1
    q[20:24, 20:24] = q[20, 20]
    q[:8, :8] = random_orientations(64, 3).reshape(8, 8, 4)
    ebsd = reading.map_of_arrays(q, UM, phase=phase, phases=["a", "b"], point_groups=["m-3m", "m-3m"])
    labels = segmentation.segment(ebsd, minimum=6)
    assert np.bincount(labels).min() >= 6 and labels.min() == 0
    assert segmentation.grains_of(ebsd, labels).phase.tolist().count(1) == 1


# ---- local misorientation ------------------------------------------------------------------------------
def bent(rows: int, columns: int, per_step: float, direction: float = 0.0, grid: str = "square") -> EbsdMap:
    """A lattice that turns by so many degrees per step, about an axis in the plane, along a direction in it."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    if grid == "square":
        x, y = column * 1.0, row * 1.0
    else:
        x, y = column + 0.5 * (row % 2), row * np.sqrt(0.75)
    turn = per_step * (x * np.cos(direction) + y * np.sin(direction))
    q = product(axis_angle(np.array([0.3, 1.0, 0.2]), turn), random_orientations(1, 11))
    return reading.map_of_arrays(q, UM, x=x * 15e-9, y=y * 15e-9)


@pytest.mark.parametrize("grid", ["square", "hexagonal"])
@pytest.mark.parametrize("direction", [0.0, 0.6, np.pi / 2, 2.2])
def test_constant_curvature_gives_its_density(grid: str, direction: float) -> None:
    ebsd = bent(40, 50, 0.1889, direction, grid)
    assert ebsd.grid == grid
    found = kam.curvature(ebsd)
    assert kam.curvature(ebsd, fit="linear").theta == pytest.approx(found.theta, rel=1e-6, abs=0.0)
    assert found.theta == pytest.approx(0.1889, rel=0.02, abs=0.0) and abs(found.noise) < 1e-3
    assert np.nanmedian(found.local) == pytest.approx(0.1889, rel=0.02, abs=0.0)
    density = kam.gnd_density(found.theta, ebsd.step, 0.2889e-9)
    record(f"ebsd_curvature_{grid}_{direction:.1f}", ratio=density / 7.608e14)
    assert density == pytest.approx(7.6e14, rel=0.02, abs=0.0)


def test_density_of_one_slope() -> None:
    assert kam.gnd_density(0.1889, 15e-9, 0.2889e-9) == pytest.approx(7.6e14, rel=2e-3, abs=0.0)
    assert kam.gnd_density(0.1889, 15e-9, 0.2889e-9, alpha=2.0) == pytest.approx(1.52e15, rel=2e-3, abs=0.0)
    for wrong in ({"step": 0.0}, {"burgers": -1.0}, {"alpha": np.nan}):
        with pytest.raises(CaseError):
            kam.gnd_density(**({"theta": 0.1, "step": 1e-9, "burgers": 1e-10} | wrong))


@pytest.mark.parametrize(("noise", "fit"), [(0.3, "linear"), (0.3, "quadratic"), (1.5, "quadratic")])
def test_noise_is_told_from_curvature(noise: float, fit: Any) -> None:
    """Noise in units of the bending per step; the straight line needs little of it, the default does not."""
    ebsd = bent(100, 100, 0.2, 0.7)
    q = product(jitter((len(ebsd),), noise * 0.2, 4), ebsd.quaternions)
    noisy = ebsd.with_values(ebsd.phase, q)
    found = kam.curvature(noisy, fit=fit)
    record(f"ebsd_noise_{noise}_{fit}", ratio=found.theta / 0.2)
    assert found.theta == pytest.approx(0.2, rel=0.1, abs=0.0)
    assert kam.gnd_density(found.theta, 15e-9, 0.2889e-9) == pytest.approx(
        kam.gnd_density(0.2, 15e-9, 0.2889e-9), rel=0.1, abs=0.0
    )
    if fit == "quadratic":  # two points, three components
        assert found.noise == pytest.approx(np.sqrt(6) * noise * 0.2, rel=0.15, abs=0.0)
    if noise < 1:
        assert kam.kam(noisy).mean() > 1.1 * kam.kam(ebsd).mean()


def test_noise_alone_is_no_curvature() -> None:
    ebsd = bent(80, 80, 0.0)
    noisy = ebsd.with_values(ebsd.phase, product(jitter((6400,), 0.3), ebsd.quaternions))
    assert kam.curvature(noisy).theta < 0.02
    found = kam.curvature(noisy, fit="linear")
    assert found.theta < 0.01 and found.noise == pytest.approx(0.3 * np.sqrt(2) * 1.596, rel=0.03, abs=0.0)


def test_kam_stops_at_boundaries() -> None:
    q = np.tile(np.array([1.0, 0, 0, 0]), (6, 20, 1))
    q[:, 10:] = axis_angle(np.array([0, 0, 1.0]), 20.0)
    ebsd = reading.map_of_arrays(q, UM)
    assert all(np.allclose(kam.kam(ebsd, n), 0.0, atol=1e-6) for n in (1, 2, 4))
    assert kam.kam(ebsd, 1, threshold=30.0).max() == pytest.approx(20.0 / 4, rel=0.5, abs=0.0)
    labels = np.arange(120) % 20 // 5
    steps = bent(6, 20, 1.0)
    alone = kam.kam(steps, 4, labels=labels).reshape(6, 20)
    assert np.allclose(alone[2, [0, 4, 5]], 4.0, atol=1e-3) and kam.kam(steps, 4)[0] == pytest.approx(
        2.0, rel=1e-6, abs=0.05
    )
    single = reading.map_of_arrays(random_orientations(9, 1).reshape(3, 3, 4), UM)
    assert np.isnan(kam.kam(single)).all()
    with pytest.raises(CaseError, match="no two points"):
        kam.curvature(single)
    for wrong in ({"kernel": 0}, {"threshold": 0.0}):
        with pytest.raises(CaseError):
            kam.kam(ebsd, **wrong)  # type: ignore[arg-type]
    with pytest.raises(CaseError):
        kam.curvature(ebsd, kernels=(2,))
    with pytest.raises(CaseError):
        kam.curvature(ebsd, fit="cubic")  # type: ignore[arg-type]


# ---- a second implementation ---------------------------------------------------------------------------
def defdap_grains(path: Path, angle: float) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        defdap = pytest.importorskip("defdap.ebsd")
        other = defdap.Map(path)
        other.data.generate("grain_boundaries", misori_tol=angle)
        other.find_grains(min_grain_size=10)
    return len(other)


def large(ebsd: EbsdMap, angle: float) -> int:
    labels = segmentation.segment(ebsd, angle)
    return int((np.bincount(labels[labels >= 0]) >= 10).sum())


@real
@pytest.mark.parametrize("angle", [5.0, 10.0])
def test_grains_agree_with_defdap(tmp_path: Path, angle: float) -> None:
    shutil.copy(SHARED / "twins.ctf", tmp_path / "twins.ctf")
    found, other = large(reading.read_map(SHARED / "twins.ctf"), angle), defdap_grains(tmp_path / "twins.ctf", angle)
    assert abs(found - other) <= 0.02 * other
    both = {"twins": (found, other)}
    for path in sorted(SHARED.glob("*.ANG")):  # whose headers DefDAP takes at their word: it gets them as .ctf
        ebsd = reading.read_map(path)
        both[path.stem] = large(ebsd, angle), defdap_grains(to_ctf(ebsd, tmp_path / f"{path.stem}.ctf", IRON), angle)
    record(f"ebsd_defdap_{angle:.0f}", grains=both)
    assert all(abs(a - b) <= 0.02 * b for a, b in both.values())


@pytest.mark.parametrize("line", [IRON, MAGNESIUM], ids=["cubic", "hexagonal"])
def test_made_grains_agree_with_defdap(tmp_path: Path, line: str) -> None:
    group = "m-3m" if line is IRON else "6/mmm"
    _, q = voronoi(60, 60, 60, noise=1.0)
    ebsd = reading.map_of_arrays(q, 0.5 * UM, point_groups=[group])
    path = to_ctf(ebsd, tmp_path / "made.ctf", line)
    for angle in (5.0, 10.0):
        assert large(ebsd, angle) == large(reading.read_map(path), angle) == defdap_grains(path, angle)


# ---- size ----------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_million_points(tmp_path: Path) -> None:
    labels, q = voronoi(1000, 1000, 3000)
    ebsd = reading.map_of_arrays(q, 0.1 * UM)
    begun = time.perf_counter()
    found = segmentation.segment(ebsd, minimum=10)
    took = time.perf_counter() - begun
    record("ebsd_million", seconds=took)
    assert took < 60.0
    assert abs(int(found.max()) - len(np.unique(labels))) < 0.02 * 3000
    begun = time.perf_counter()
    cleaned, _ = cleanup.clean(ebsd.unindexed(np.random.default_rng(1).random(len(ebsd)) < 0.1))
    segmentation.grains_of(cleaned, segmentation.segment(cleaned, minimum=10))
    assert time.perf_counter() - begun < 120.0
