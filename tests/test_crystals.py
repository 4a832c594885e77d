"""Crystals in a general position: conventions, u_z in 2D, grains that a mesh brings along; exact solutions."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from orix.quaternion import Rotation
from orix.vector import Vector3d
from scipy.spatial.transform import Rotation as Turn

import chemomech as cm
from chemomech.errors import CaseError
from chemomech.materials.laws import Cubic, Isotropic, Material
from chemomech.materials.orientation import (
    VOIGT,
    crystal_axes,
    rotation_matrix,
    stiffness,
    stiffnesses,
    turned,
)
from chemomech.meshing.arrays import MeshArrays
from chemomech.meshing.generate import generate
from chemomech.microstructure.orientations import from_euler, random_orientations
from chemomech.output.meshfile import write_mesh
from chemomech.simulation import Simulation
from tests.tools import gathered, physics_of, record

UM, GPA, MPA = 1e-6, 1e9, 1e6
AG = {"c11": 124 * GPA, "c12": 93.4 * GPA, "c44": 46.1 * GPA}
SILVER = {
    "elasticity": AG,
    "partial_molar_volume": 0.0,
    "reference_concentration": 0.5,
    "maximum_concentration": "97353 mol/m^3",
    "diffusivity": "1e-16 m^2/s",
}
OBLIQUE = (37.0, 51.0, 23.0)
SIDES = {"left": (-1, 0, 0), "right": (1, 0, 0), "bottom": (0, -1, 0), "top": (0, 1, 0), "back": (0, 0, -1),
         "front": (0, 0, 1)}  # fmt: skip
SHEAR = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])


# -- small things, made independently of the package -----------------------------------------------------------


def tensor(vector: np.ndarray) -> np.ndarray:
    """Of a strain (xx, yy, zz, 2 yz, 2 xz, 2 xy)."""
    out = np.zeros((3, 3))
    for (i, j), value, factor in zip(VOIGT, vector, SHEAR, strict=True):
        out[i, j] = out[j, i] = value / factor
    return out


def stress_tensor(vector: np.ndarray) -> np.ndarray:
    return tensor(vector * SHEAR)


def rotated(axes: np.ndarray) -> np.ndarray:
    """The stiffness of silver by turning its tensor of fourth order."""
    c = np.zeros((3, 3, 3, 3))
    for a, (i, j) in enumerate(VOIGT):
        for b, (k, m) in enumerate(VOIGT):
            value = AG["c44"] * (a == b) if max(a, b) > 2 else AG["c11"] if a == b else AG["c12"]
            for p, q in ((i, j), (j, i)):
                for r, s in ((k, m), (m, k)):
                    c[p, q, r, s] = value
    full = np.einsum("ip,jq,kr,ls,pqrs->ijkl", axes, axes, axes, axes, c)
    rows, columns = np.array(VOIGT).T
    return np.asarray(full[rows[:, None], columns[:, None], rows[None], columns[None]])


def quaternion(axes: np.ndarray) -> np.ndarray:
    """Sample to crystal, of crystal axes in the sample frame."""
    return np.asarray(Turn.from_matrix(np.swapaxes(axes, -1, -2)).as_quat(scalar_first=True))


# -- conventions -----------------------------------------------------------------------------------------------


def test_quaternions_and_angles_mean_the_same() -> None:
    """orix: an orientation takes the components of a vector in the sample to those in the crystal."""
    angles = np.deg2rad([[10.0, 20.0, 30.0], OBLIQUE, [200.0, 100.0, 300.0], [0.0, 0.0, 0.0]])
    axes = crystal_axes(from_euler(angles))
    assert np.abs(axes - [rotation_matrix(*a) for a in np.rad2deg(angles)]).max() < 1e-14
    v = np.array([0.3, -1.2, 0.7])
    for k, orientation in enumerate(Rotation.from_euler(angles)):
        in_crystal = (orientation * Vector3d(v)).data.ravel()
        assert np.abs(axes[k] @ in_crystal - v).max() < 1e-14
    assert np.abs(quaternion(axes) @ from_euler(angles).T).diagonal() == pytest.approx(np.ones(4), abs=1e-14)
    assert np.abs(crystal_axes(-3.0 * from_euler(angles)) - axes).max() < 1e-14


def test_stiffness_of_many_grains() -> None:
    assert Material.from_library("Ag", elasticity={"kind": "cubic"}).elasticity == Cubic(**AG)
    axes = crystal_axes(random_orientations(20, 1))
    found = stiffnesses(Cubic(**AG), axes)
    assert np.abs(found - [rotated(a) for a in axes]).max() < 1e-12 * AG["c11"]
    # The orientation of the elasticity is within the crystal: crystal first, then grain.
    relative = stiffnesses(Cubic(**AG, orientation=OBLIQUE), axes)
    assert np.abs(relative - [rotated(a @ rotation_matrix(*OBLIQUE)) for a in axes]).max() < 1e-12 * AG["c11"]
    assert np.abs(stiffness(Cubic(**AG, orientation=OBLIQUE)) - rotated(rotation_matrix(*OBLIQUE))).max() < 1.0
    t = np.array([[1.0, 0.2, 0.3], [0.2, 2.0, -0.4], [0.3, -0.4, 5.0]])
    assert np.abs(turned(t, axes) - [a @ t @ a.T for a in axes]).max() < 1e-14


# -- bodies ----------------------------------------------------------------------------------------------------


def structured(size: tuple[float, ...], cell: float, **domain: Any) -> MeshArrays:
    """Equal cells; lengths in um."""
    case = cm.Case.model_validate(
        {
            "domain": {"size": [s * UM for s in size], **domain},
            "mesh": {"size": cell * UM, "structured": True},
            "materials": {"silver": SILVER},
            "mode": "equilibrium",
        }
    )
    return generate(case)


def with_grains(mesh: MeshArrays, grain: np.ndarray, orientations: np.ndarray) -> MeshArrays:
    return MeshArrays.from_dict({**mesh.to_dict(), "cell_grain": grain, "orientations": orientations})


def middles(mesh: MeshArrays) -> np.ndarray:
    return np.asarray(mesh.points[mesh.cells].mean(axis=1))


def file_of(mesh: MeshArrays, folder: Path) -> Path:
    """The mesh as a file, written once and seen by every rank."""
    path = MPI.COMM_WORLD.bcast(folder / "body.msh", root=0)
    if MPI.COMM_WORLD.rank == 0:
        write_mesh(mesh, path)
    MPI.COMM_WORLD.Barrier()
    return Path(path)


def body(path: Path, *, material: dict[str, Any] | None = None, **more: Any) -> cm.Case:
    domain = more.pop("domain", {})
    return cm.Case.model_validate(
        {
            "mode": "equilibrium",
            "domain": {"path": str(path), **domain},
            "materials": {"silver": {**SILVER, **(material or {})}},
            "initial": {"concentration": 0.5},
        }
        | more
    )


def tractions(stress: np.ndarray, dimension: int, turn: np.ndarray | None = None) -> dict[str, Any]:
    """Those of a uniform stress on the sides, of a body that was turned with its load."""
    q = np.eye(3) if turn is None else turn
    names = list(SIDES)[: 2 * dimension]
    return {name: {"traction": (q @ stress @ SIDES[name])[:dimension].tolist()} for name in names}


def in_plane_strain(c: np.ndarray, stress: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strain and stress, (3, 3), with e_zz = 0 and no shear stress out of the plane."""
    strain = np.zeros(6)
    free = [0, 1, 3, 4, 5]
    strain[free] = np.linalg.solve(c[np.ix_(free, free)], [stress[0, 0], stress[1, 1], 0.0, 0.0, stress[0, 1]])
    return tensor(strain), stress_tensor(c @ strain)


LOAD = MPA * np.array([[30.0, 12.0, 0.0], [12.0, -20.0, 0.0], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize("way", ["grain", "material", "both"])
def test_single_crystal_in_plane_strain(way: str, tmp_path: Path) -> None:
    """A free crystal in a general position under uniform tractions: stress and strain are uniform."""
    mesh = structured((4.0, 3.0), 0.5)
    axes, relative = rotation_matrix(*OBLIQUE), (12.0, 77.0, 31.0)
    turn = {"grain": OBLIQUE, "both": OBLIQUE}.get(way)
    if turn is not None:
        mesh = with_grains(mesh, np.zeros(len(mesh.cells)), from_euler(np.deg2rad([turn])))
    own: dict[str, Any] = {"material": {"orientation": OBLIQUE}, "both": {"orientation": relative}}.get(way, {})
    if way == "both":
        axes = axes @ rotation_matrix(*relative)
    elasticity = {"elasticity": {**AG, **own}}
    result = cm.run(body(file_of(mesh, tmp_path), material=elasticity, boundaries=tractions(LOAD, 2)))
    strain, stress = in_plane_strain(rotated(axes), LOAD)
    assert physics_of(result).u.function_space.dofmap.bs == 3
    assert abs(strain[0, 2]) > 0.05 * np.abs(strain).max()
    assert np.abs(gathered(result, "stress") - stress).max() < 1e-9 * np.abs(stress).max()
    assert np.abs(gathered(result, "strain") - strain).max() < 1e-9 * np.abs(strain).max()
    # u_z is linear with that slope.
    u = result.evaluate("displacement", [[0.0, 0.0], [1 * UM, 0.0], [0.0, 1 * UM]])[:, 2]
    assert (u[1:] - u[0]) / UM == pytest.approx(2.0 * strain[:2, 2], rel=1e-8, abs=0.0)
    errors = [float(np.abs(gathered(result, n) / np.abs(w).max() - w / np.abs(w).max()).max())
              for n, w in (("stress", stress), ("strain", strain))]  # fmt: skip
    record(f"crystal_plane_strain_{way}", error=max(errors))


def test_single_crystal_in_plane_stress(tmp_path: Path) -> None:
    """A thin sheet: no stress out of the plane, strains by the compliance of the crystal, two unknowns per node."""
    mesh = structured((4.0, 3.0), 0.5)
    elasticity = {"elasticity": {**AG, "orientation": OBLIQUE}}
    case = body(file_of(mesh, tmp_path), material=elasticity, plane="stress", boundaries=tractions(LOAD, 2))
    result = cm.run(case)
    assert physics_of(result).u.function_space.dofmap.bs == 2
    compliance = np.linalg.inv(rotated(rotation_matrix(*OBLIQUE)))
    strain = tensor(compliance @ [LOAD[0, 0], LOAD[1, 1], 0, 0, 0, LOAD[0, 1]])
    assert np.abs(gathered(result, "stress") - LOAD).max() < 1e-9 * np.abs(LOAD).max()
    assert np.abs((gathered(result, "strain") - strain)[:, :2, :2]).max() < 1e-9 * np.abs(strain).max()


def test_two_components_where_no_grain_needs_more(tmp_path: Path) -> None:
    """Crystals turned about z, or with z along <110> and a mirror plane across, do not couple u_z."""
    mesh = structured((2.0, 2.0), 0.5)
    half = (middles(mesh)[:, 0] > 0).astype(int)

    def count(*angles: tuple[float, float, float], **more: Any) -> int:
        turn = from_euler(np.deg2rad(angles))
        found = with_grains(mesh, half, turn)
        simulation = Simulation(body(Path("none"), **more), MPI.COMM_WORLD, _alone(found), given=True)
        bs = int(simulation.physics.space_u.dofmap.bs)
        simulation.destroy()
        return bs

    good = [(0, 0, 0), (30, 0, 20), (0, 90, 0), (17, 90, 0), (0, 45, 0), (17, 90, 45)]
    for one, other in pairwise(good):
        assert count(one, other) == 2
    assert count((0, 0, 0), (0, 20, 0)) == 3
    assert count((0, 0, 0), (0, 54.7356, 45)) == 3
    assert count((0, 0, 0), (0, 20, 0), plane="stress") == 2
    tensor_shaped = {"partial_molar_volume": [1e-6, 1e-6, 4e-6]}
    isotropic = {"elasticity": {"kind": "isotropic", "youngs_modulus": 80 * GPA, "poissons_ratio": 0.3}}
    assert count((0, 0, 0), (0, 20, 0), material=isotropic) == 2
    assert count((0, 0, 0), (40, 0, 0), material={**isotropic, **tensor_shaped}) == 2
    assert count((0, 0, 0), (0, 20, 0), material={**isotropic, **tensor_shaped}) == 3
    assert count((0, 0, 0), (0, 0, 0), boundaries={"left": {"displacement": {"z": 0.0}}}) == 3
    with pytest.raises(CaseError, match="moves freely along z"):
        count((0, 0, 0), (0, 0, 0), plane="stress", boundaries={"left": {"displacement": {"z": 0.0}}})


@pytest.mark.parametrize("plane", ["strain", "stress"])
def test_orientation_of_a_rectangle(plane: str) -> None:
    """Without grains the orientation of the material decides; z may be held in plane strain only."""
    case = cm.Case.model_validate(
        {
            "mode": "equilibrium",
            "plane": plane,
            "domain": {"size": [2 * UM, 2 * UM]},
            "mesh": {"size": UM, "structured": True},
            "materials": {"silver": SILVER},
            "boundaries": {"left": {"displacement": {"x": 0.0, "y": 0.0}}},
            "initial": {"concentration": 0.5},
        }
    )

    def count(**changes: Any) -> int:
        keys = {f"materials.silver.{key}": value for key, value in changes.items()}
        return int(physics_of(cm.run(case.replace(keys))).u.function_space.dofmap.bs)

    more = 3 if plane == "strain" else 2
    for good in ((0, 0, 0), (30, 0, 20), (0, 45, 0), (17, 90, 45)):
        assert count(elasticity={**AG, "orientation": good}) == 2
    for bad in ((0, 20, 0), (0, 54.7356, 45)):
        assert count(elasticity={**AG, "orientation": bad}) == more
    shear = [[0, 0, 0.01], [0, 0, 0], [0.01, 0, 0]]
    assert count(eigenstrain=shear) == count(partial_molar_volume=(1e-4 * np.array(shear)).tolist()) == more
    held = {"boundaries.left.displacement.z": 0.0}
    if plane == "strain":
        assert physics_of(cm.run(case.replace(held))).u.function_space.dofmap.bs == 3
    else:
        with pytest.raises(CaseError, match=r"boundaries\.left\.displacement\.z.*moves freely along z"):
            case.replace(held)


def _alone(mesh: MeshArrays) -> MeshArrays | None:
    return mesh if MPI.COMM_WORLD.rank == 0 else None


# -- laminates -------------------------------------------------------------------------------------------------


def laminate(stiff: list[np.ndarray], part: list[float], free: list[np.ndarray], mean: np.ndarray) -> list[np.ndarray]:
    """Stress in each layer across y, held along x and z; ``mean`` is u(top) - u(bottom) over the height.

    The unknown strains are yy, 2 yz and 2 xy of each layer, with equal tractions yy, yz, xy: from Hill's jump rules.
    """
    across = [1, 3, 5]
    n = len(stiff)
    matrix, right = np.zeros((3 * n, 3 * n)), np.zeros(3 * n)
    for k in range(n - 1):
        for side, sign in ((k, 1.0), (k + 1, -1.0)):
            matrix[3 * k : 3 * k + 3, 3 * side : 3 * side + 3] = sign * stiff[side][np.ix_(across, across)]
            right[3 * k : 3 * k + 3] += sign * (stiff[side] @ free[side])[across]
    for k in range(n):
        matrix[3 * n - 3 :, 3 * k : 3 * k + 3] = part[k] * np.eye(3)
    right[3 * n - 3 :] = mean[[1, 2, 0]]
    strains = np.linalg.solve(matrix, right).reshape(n, 3)
    out = []
    for k in range(n):
        strain = np.zeros(6)
        strain[across] = strains[k]
        out.append(stress_tensor(stiff[k] @ (strain - free[k])))
    return out


OMEGA = np.array([[4e-6, 1e-6, 0.0], [1e-6, 7e-6, -1e-6], [0.0, -1e-6, 2e-6]])
FREE = np.array([[0.002, 0.001, 0.0], [0.001, -0.003, 0.0005], [0.0, 0.0005, 0.001]])


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("load", ["pulled", "eigenstrain", "lithium"])
def test_laminate_of_grains(load: str, dimension: int, tmp_path: Path) -> None:
    """Three layers of random orientations between walls: exact, as strain is uniform in each."""
    size, axes = ((3.0, 4.0), ["x"]) if dimension == 2 else ((3.0, 4.0, 3.0), ["x", "z"])
    mesh = structured(size, 1.0)
    y = middles(mesh)[:, 1] / UM
    grain = np.digitize(y, [-1.0, 1.0])
    turn = crystal_axes(random_orientations(3, 5))
    mean = np.array([0.001, -0.002, 0.003]) if load == "pulled" else np.zeros(3)
    material: dict[str, Any] = {}
    if load == "eigenstrain":
        material = {"eigenstrain": FREE.tolist()}
    elif load == "lithium":
        material = {"partial_molar_volume": OMEGA.tolist()}
    walls = {"bottom": [0.0, 0.0, 0.0], "top": (4 * UM * mean).tolist()}
    held = {name: {"displacement": dict(zip("xyz", u, strict=True))} for name, u in walls.items()}
    path = file_of(with_grains(mesh, grain, quaternion(turn)), tmp_path)
    case = body(path, material=material, boundaries=held, domain={"periodic": axes}, initial={"concentration": 0.6})
    simulation = Simulation(case, MPI.COMM_WORLD)
    simulation.begin()
    eigen = {"pulled": 0.0 * FREE, "eigenstrain": FREE, "lithium": 97353 / 3.0 * OMEGA * (0.6 - 0.5)}[load]
    free = [np.array([t[i, j] for i, j in VOIGT]) * SHEAR for t in turned(eigen, turn)]
    wanted = laminate([rotated(a) for a in turn], [0.25, 0.5, 0.25], free, mean)
    found = simulation.function("stress").x.array.reshape(-1, 3, 3)
    own = simulation.body.cell_grain
    assert len(own) == len(found)
    error = np.abs(found - np.array(wanted)[own]).max() / np.abs(wanted).max()
    assert error < 1e-9
    assert np.abs(np.diff(np.array(wanted), axis=0)[:, 0, 0]).min() > 0.02 * np.abs(wanted).max()
    record(f"laminate_{load}_{dimension}d", error=float(error))
    simulation.destroy()


def test_grains_beside_a_phase_without_directions(tmp_path: Path) -> None:
    """Two grains under a layer of an isotropic phase: exact at first; both solvers agree on the rest."""
    soft = {**SILVER, "elasticity": {"youngs_modulus": 20 * GPA, "poissons_ratio": 0.3}}
    phases = {"silver": {**SILVER, "partial_molar_volume": OMEGA.tolist()}, "soft": soft}
    layers = [{"material": "silver", "thickness": 3 * UM}, {"material": "soft", "thickness": UM}]
    flat = {"domain": {"size": [3 * UM, 4 * UM], "layers": layers}, "mesh": {"size": 0.5 * UM, "structured": True}}
    mesh = generate(cm.Case.model_validate({**flat, "materials": phases, "mode": "equilibrium"}))
    grain = np.digitize(middles(mesh)[:, 1] / UM, [-1.0, 1.0])
    turn = crystal_axes(random_orientations(3, 6))
    turn[2] = np.eye(3)
    path = file_of(with_grains(mesh, grain, quaternion(turn)), tmp_path)
    held = {"displacement": {"x": 0.0, "y": 0.0, "z": 0.0}}
    case = body(path, boundaries={"bottom": held, "top": held}, domain={"periodic": ["x"]})
    case = case.replace({"materials": phases, "initial.concentration": 0.6})
    simulation = Simulation(case, MPI.COMM_WORLD)
    simulation.begin()
    strains = [*turned(97353 / 3.0 * OMEGA * (0.6 - 0.5), turn[:2]), np.zeros((3, 3))]
    free = [np.array([t[i, j] for i, j in VOIGT]) * SHEAR for t in strains]
    stiff = [*(rotated(a) for a in turn[:2]), stiffness(Isotropic(**soft["elasticity"]))]
    wanted = np.array(laminate(stiff, [0.25, 0.5, 0.25], free, np.zeros(3)))
    found = simulation.function("stress").x.array.reshape(-1, 3, 3)
    assert np.abs(found - wanted[simulation.body.cell_grain]).max() < 1e-9 * np.abs(wanted).max()
    simulation.destroy()
    results = [cm.run(case.replace({"solver.linear": kind})) for kind in ("direct", "block")]
    one, two = (gathered(result, "stress") for result in results)
    assert np.abs(one - two).max() < 1e-7 * np.abs(one).max()
    assert results[1].summary["linear_iterations"] < 15 * results[1].summary["newton_iterations"]


# -- turning everything turns the answer -----------------------------------------------------------------------


def turned_run(mesh: MeshArrays, axes: np.ndarray, q: np.ndarray, stress: np.ndarray, folder: Path) -> cm.Result:
    """Body, crystals and loads turned by q: swelling by a tensor, tractions, diffusion to rest."""
    d = mesh.dimension
    moved = MeshArrays.from_dict({**mesh.to_dict(), "points": mesh.points @ q.T})
    path = file_of(with_grains(moved, mesh.cell_grain, quaternion(q @ axes)), folder)
    material = {"partial_molar_volume": OMEGA.tolist(), "eigenstrain": (0.1 * FREE).tolist()}
    case = body(path, material=material, boundaries=tractions(stress, d, q), initial={"concentration": 0.55})
    return cm.run(case)


@pytest.mark.parametrize("dimension", [2, 3])
def test_turning_body_crystals_and_loads(dimension: int, tmp_path: Path) -> None:
    """By any rotation in 3D, about z in 2D: the fields turn along, the concentration stays."""
    size = (4.0, 3.0) if dimension == 2 else (4.0, 3.0, 3.0)
    mesh = structured(size, 0.5 if dimension == 2 else 1.0)
    corner = np.sum((middles(mesh)[:, :dimension] > 0) * 2 ** np.arange(dimension), axis=1)
    axes = crystal_axes(random_orientations(2**dimension, 8))
    mesh = with_grains(mesh, corner, quaternion(axes))
    stress = LOAD + (0.0 if dimension == 2 else MPA * np.array([[0, 0, 9.0], [0, 0, -14.0], [9.0, -14.0, 25.0]]))
    turn = Turn.from_euler("z", 33, degrees=True) if dimension == 2 else Turn.from_euler("zxz", OBLIQUE, degrees=True)
    q = turn.as_matrix()
    (tmp_path / "turned").mkdir()
    straight = turned_run(mesh, axes, np.eye(3), stress, tmp_path)
    other = turned_run(mesh, axes, q, stress, tmp_path / "turned")
    for name, size_of in (("stress", MPA), ("strain", 1e-4)):
        one, two = gathered(straight, name), gathered(other, name)
        scale = np.abs(one).max()
        assert scale > size_of
        assert np.abs(q @ one @ q.T - two).max() < 1e-8 * scale
    c = gathered(straight, "concentration")
    assert np.ptp(c) > 1e-3
    assert np.abs(c - gathered(other, "concentration")).max() < 1e-9
    v = gathered(straight, "von_mises_stress")
    record(f"crystal_turned_{dimension}d", error=float(np.abs(v - gathered(other, "von_mises_stress")).max() / v.max()))
    assert np.abs(v - gathered(other, "von_mises_stress")).max() < 1e-8 * v.max()
    assert other.summary["free_energy_J" + ("_per_m" if dimension == 2 else "")] == pytest.approx(
        straight.summary["free_energy_J" + ("_per_m" if dimension == 2 else "")], rel=1e-10, abs=0.0
    )
